//! The commands, from settings to exit code.

mod choice;
mod control;
mod copy;
mod open;
mod status;
mod verify;

use crate::checkpoint::{self, CheckpointError};
use crate::cli::{Cli, Command, JobArgs};
use crate::create_schema::{SchemaError, create_schema};
use crate::event::{Event, Events};
use crate::open_files;
use crate::plan;
use crate::preflight::{self, PreflightError};
use crate::schema::parse_literal::LiteralError;
use crate::settings::schema::SchemaSettings;
use crate::settings::verify::VerifySettings;
use crate::settings::{Settings, SettingsError};
use crate::shutdown::Signal;
use crate::side::Side;
use crate::table_options::OptionsError;
use crate::ui::tables;
use crate::ui::text::{Style, to_stderr, to_stdout};

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A flag that this command doesn't take.
    #[error("`--{flag}` {}", if *known { format!("belongs behind `{command}`: migrate {command} --{flag} …") } else { format!("means nothing to `{command}`: leave it out") })]
    MisplacedFlag {
        /// The flag.
        flag: String,
        /// The command.
        command: String,
        /// Whether the command has such a flag.
        known: bool,
    },
    /// The clusters or the tables.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Options of the target's tables.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// `migrate schema`.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The rejects file, or that of the differences.
    #[error(transparent)]
    JsonLines(#[from] crate::json_lines::JsonLinesError),
    /// A partition that was named.
    #[error("{}{error}", place.as_ref().map(|(file, line)| format!("{}, line {line}: ", file.display())).unwrap_or_default())]
    Partition {
        /// The file and the line, where it wasn't the command line.
        place: Option<(std::path::PathBuf, usize)>,
        /// Why it isn't one.
        error: LiteralError,
    },
    /// An unfinished verification of something else.
    #[error("the checkpoint has an unfinished verification ({done} of {of} ranges are compared) of something else: {}", parameters.join(", "))]
    OtherVerification {
        /// Its ranges that are done.
        done: u64,
        /// All of its ranges.
        of: u64,
        /// What it compares, and how.
        parameters: Vec<String>,
    },
    /// The operating system.
    #[error("failed to {what}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        #[source]
        error: std::io::Error,
    },
    /// The operating system's limit of open files.
    #[error("this process may have no more than {0} files and connections open, which is too few")]
    FewFiles(u64),
    /// The operator didn't want rows to be deleted.
    #[error("the answer wasn't `yes`: nothing was deleted, and nothing compared")]
    Declined,
    /// A signal came before there was anything to drain.
    #[error("stopped before it began: nothing was read or written")]
    Stopped(Signal),
}

impl Error {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        if out_of_files(self) {
            return Some(
                "raise the limit of open files with `ulimit -n 4096`, then run the same command again".to_owned(),
            );
        }
        match self {
            Error::Settings(error) => error.hint(),
            Error::Preflight(error) => error.hint(),
            Error::Checkpoint(error) => error.hint(),
            Error::Options(error) => error.hint(),
            Error::Schema(error) => error.hint(),
            Error::JsonLines(_) => {
                Some("check the folder's permissions and free space, then run the same command again".to_owned())
            }
            Error::OtherVerification { .. } => Some(
                "run that one to its end, drop it with `migrate verify … --restart`, or name another file with `--checkpoint FILE`"
                    .to_owned(),
            ),
            Error::Partition { .. }
            | Error::MisplacedFlag { .. }
            | Error::Io { .. }
            | Error::FewFiles(_)
            | Error::Declined
            | Error::Stopped(_) => None,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Settings(_) | Error::Partition { .. } | Error::MisplacedFlag { .. } => 2,
            Error::Preflight(error) => error.exit_code(),
            Error::Schema(error) => error.exit_code(),
            Error::Options(error) => error.exit_code(),
            Error::Checkpoint(error) if error.is_refusal() => 5,
            Error::Declined | Error::OtherVerification { .. } => 5,
            Error::Checkpoint(_) | Error::JsonLines(_) | Error::Io { .. } | Error::FewFiles(_) => 1,
            Error::Stopped(signal) => signal.exit_code(),
        }
    }
}

/// Whether this process, or this machine, has no file descriptor left. Some of what causes it is kept as text.
fn out_of_files(error: &Error) -> bool {
    let texts =
        std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source()).map(ToString::to_string);
    // EMFILE and ENFILE, as the standard library words them.
    matches!(error, Error::FewFiles(_))
        || texts.into_iter().any(|text| text.contains("(os error 24)") || text.contains("(os error 23)"))
}

/// Does what the command line says, and gives the exit code.
///
/// # Errors
/// What stood in the way.
pub async fn run(cli: Cli) -> Result<u8, Error> {
    match cli.command {
        None => Box::pin(copy_or_plan(cli.job, false)).await,
        Some(Command::Plan(args)) => Box::pin(copy_or_plan(args, true)).await,
        Some(Command::Verify(args)) => Box::pin(verify::command(VerifySettings::resolve(args)?)).await,
        Some(Command::Schema(args)) => {
            let settings = SchemaSettings::resolve(args).map_err(SchemaError::from)?;
            Ok(Box::pin(create_schema(settings)).await?)
        }
        Some(Command::Status(args)) => status::command(&args).await,
        Some(Command::Set(args)) => control::set(&args),
        Some(Command::Pause(args)) => control::pause(&args, true),
        Some(Command::Continue(args)) => control::pause(&args, false),
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "migrate", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
    }
}

/// An error with all of its causes, on one line.
fn whole(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Why nobody could look at the tables any more before something was to be recorded: the guard's words, where it has any.
fn unseen(why: Option<String>, gave_up: Option<Side>) -> String {
    let why = match (why, gave_up) {
        (Some(why), _) => format!(" {why}"),
        (None, Some(side)) => format!(", since the {side} doesn't answer"),
        (None, None) => " before the process was to end".to_owned(),
    };
    format!("nobody could tell whether the tables still are what they were{why}")
}

fn print(text: &str) -> Result<u8, Error> {
    // Whoever has closed it has read enough.
    print_if_read(text).map(|_| 0)
}

/// Whether anybody reads it.
fn print_if_read(text: &str) -> Result<bool, Error> {
    match to_stdout(text) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Io { what: "print", error }),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<u8, Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Io { what: "print", error: error.into() })?;
    print(&format!("{text}\n"))
}

async fn copy_or_plan(args: JobArgs, plan_only: bool) -> Result<u8, Error> {
    let settings = Settings::resolve(args)?;
    if plan_only || settings.dry_run { show_plan(&settings).await } else { copy::command(&settings).await }
}

async fn show_plan(settings: &Settings) -> Result<u8, Error> {
    let events = Events::to(|event| {
        if let Event::Warning { message } = event {
            to_stderr(&format!("warning: {message}\n"));
        }
    });
    let sides = Box::pin(preflight::connect(settings, &events)).await?;
    let mut other_job = None;
    let known = match checkpoint::look(&settings.checkpoint, &plan::identity(settings, &sides)) {
        _ if settings.restart => Vec::new(),
        Ok(known) => known,
        Err(CheckpointError::Missing { .. }) => Vec::new(),
        Err(error @ CheckpointError::OtherJob { .. }) => {
            other_job = Some(error.to_string());
            Vec::new()
        }
        // The copy would refuse it too.
        Err(error) => return Err(error.into()),
    };
    let mut looked = Box::pin(preflight::look(&sides, settings, known, &events)).await?;
    if !looked.tells_columns() {
        looked = looked.any_ready()?;
    }
    // The copy would refuse that file; the rest of the plan is as good as it was.
    let refused = other_job.is_some();
    looked.notes.extend(other_job);
    let has_misfits = !looked.misfits.is_empty();
    looked.notes.append(&mut looked.misfits);
    let plan = plan::plan(settings, &sides, &looked).await;
    let code = match plan.is_incomplete() || has_misfits {
        _ if refused => 5,
        true => 3,
        false => 0,
    };
    let printed = if settings.json { print_json(&plan) } else { print(&tables::plan(&plan, Style::stdout())) };
    printed?;
    looked.any_ready()?;
    Ok(code)
}

/// Refuses flags of a copy in front of a command, and those behind it that mean nothing to it: they would be ignored silently.
///
/// # Errors
/// [`Error::MisplacedFlag`] with the first of them.
pub fn check_flags(matches: &clap::ArgMatches) -> Result<(), Error> {
    let Some((name, behind)) = matches.subcommand() else { return Ok(()) };
    let cli = <Cli as clap::CommandFactory>::command();
    let taken = || cli.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
    let is_typed =
        |matches: &clap::ArgMatches, id: &str| matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
    let before = matches.ids().map(clap::Id::as_str).find(|&id| id != "verbose" && is_typed(matches, id));
    let mut hidden = taken().filter(|argument| argument.is_hide_set()).map(|argument| argument.get_id().as_str());
    match before.or_else(|| hidden.find(|id| is_typed(behind, id))) {
        Some(id) => {
            let known = taken().any(|argument| argument.get_id() == id && !argument.is_hide_set());
            Err(Error::MisplacedFlag { flag: id.replace('_', "-"), command: name.to_owned(), known })
        }
        None => Ok(()),
    }
}

/// The runtime that a command needs.
///
/// # Errors
/// Where the operating system has no threads or too few files left, or the settings can't be read.
pub fn runtime(cli: &Cli) -> Result<tokio::runtime::Runtime, Error> {
    open_files::raise_limit().map_err(Error::FewFiles)?;
    // Only what reads rows has work for more than one thread, and only it may stumble over the `--config` file.
    let job = match &cli.command {
        None => Some(&cli.job),
        Some(Command::Verify(args)) => Some(&args.job),
        Some(_) => None,
    };
    let threads = match job {
        Some(job) => crate::settings::with_file(job.clone())?.threads.map_or(1, |threads| threads.get().min(1024)),
        None => 1,
    };
    // One thread carries a copy of this size without a single wake-up between threads; more are for fast clusters.
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.worker_threads(threads).enable_all().build();
    runtime.map_err(|error| Error::Io { what: "start the runtime", error })
}
