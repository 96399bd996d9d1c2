//! The commands, from settings to exit code.

use crate::checkpoint::{self, CheckpointError, Committer, Existing, status};
use crate::cli::{Cli, Command, JobArgs, StatusArgs};
use crate::copy::{self, Ended, Lane};
use crate::create_schema::{SchemaError, create_schema};
use crate::event::{Event, Events};
use crate::job::{Job, RunOutcome, Work};
use crate::plan;
use crate::preflight::{self, PreflightError, Ready};
use crate::schema::TableName;
use crate::settings::schema::SchemaSettings;
use crate::settings::{Settings, SettingsError};
use crate::shutdown::{Signal, Stop};
use crate::table_options::{self, OptionsError};
use crate::ui::text::{Style, to_stderr, to_stdout};
use crate::ui::{Mode, Ui, tables};
use std::path::Path;
use std::sync::atomic::Ordering;

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
    /// `migrate schema`.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Options of the target's tables.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The operating system.
    #[error("failed to {what}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        #[source]
        error: std::io::Error,
    },
    /// A signal came before there was anything to drain.
    #[error("stopped before the copy began; nothing was written")]
    Stopped(Signal),
}

impl Error {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Settings(error) => error.hint(),
            Error::Preflight(error) => error.hint(),
            Error::Schema(error) => error.hint(),
            Error::Checkpoint(error) => error.hint(),
            Error::Options(error) => error.hint(),
            Error::MisplacedFlag { .. } | Error::Io { .. } | Error::Stopped(_) => None,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Settings(_) | Error::MisplacedFlag { .. } => 2,
            Error::Preflight(error) => error.exit_code(),
            Error::Schema(error) => error.exit_code(),
            Error::Options(error) => error.exit_code(),
            Error::Checkpoint(error) if error.is_refusal() => 5,
            Error::Checkpoint(_) | Error::Io { .. } => 1,
            Error::Stopped(signal) => signal.exit_code(),
        }
    }
}

/// Does what the command line says, and gives the exit code.
///
/// # Errors
/// What stood in the way.
pub async fn run(cli: Cli) -> Result<u8, Error> {
    match cli.command {
        None => Box::pin(copy_or_plan(cli.job, false)).await,
        Some(Command::Plan(args)) => Box::pin(copy_or_plan(args, true)).await,
        Some(Command::Schema(args)) => {
            let settings = SchemaSettings::resolve(args).map_err(SchemaError::from)?;
            Ok(Box::pin(create_schema(settings)).await?)
        }
        Some(Command::Status(args)) => show_status(&args),
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "migrate", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
    }
}

fn print(text: &str) -> Result<u8, Error> {
    match to_stdout(text) {
        Ok(()) => Ok(0),
        // Whoever read this has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Error::Io { what: "print", error }),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<u8, Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Io { what: "print", error: error.into() })?;
    print(&format!("{text}\n"))
}

fn show_status(args: &StatusArgs) -> Result<u8, Error> {
    let status = status::read(&args.checkpoint)?;
    if args.json { print_json(&status) } else { print(&tables::status(&status, Style::stdout())) }
}

async fn copy_or_plan(args: JobArgs, plan_only: bool) -> Result<u8, Error> {
    let settings = Settings::resolve(args)?;
    if plan_only || settings.dry_run {
        let events = Events::to(|event| {
            if let Event::Warning { message } = event {
                to_stderr(&format!("warning: {message}\n"));
            }
        });
        let ready = Box::pin(preflight::preflight(&settings, &events)).await?;
        let (plan, _) = plan::plan(&settings, &ready).await;
        return if settings.json { print_json(&plan) } else { print(&tables::plan(&plan, Style::stdout())) };
    }
    let ui = Ui::start(Mode::choose(settings.json), settings.tables.len());
    let result = Box::pin(copy(&settings, ui.events())).await;
    if let Err(error) = &result {
        ui.events().emit(Event::Error { message: whole(error), hint: error.hint(), exit_code: error.exit_code() });
    }
    ui.finish(result.as_ref().ok().copied());
    let ended = result?;
    Ok(match ended.outcome {
        RunOutcome::Done => 0,
        RunOutcome::Incomplete => 3,
        RunOutcome::Stopped | RunOutcome::Error => ended.signal.map_or(1, Signal::exit_code),
    })
}

/// An error with all of its causes, on one line.
fn whole(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn copy(settings: &Settings, events: &Events) -> Result<Ended, Error> {
    let stop = Stop::default();
    let emit = events.clone();
    stop.on_signals(move |signal, draining| emit.emit(Event::Stopping { signal, draining }))
        .map_err(|error| Error::Io { what: "listen to signals", error })?;
    // Where nothing was begun, there is nothing to drain.
    let (ready, job, checkpoint, work) = tokio::select! {
        begun = begin(settings, events) => begun?,
        () = stop.requested() => return Err(Error::Stopped(stop.signal().unwrap_or(Signal::Interrupt))),
    };
    let targets: Vec<TableName> = job.tables.iter().map(|table| table.target.clone()).collect();
    if work.is_empty() {
        let mut checkpoint = checkpoint;
        table_options::release(&ready.target, &targets, &mut checkpoint, events).await?;
        checkpoint.close()?;
        return Ok(Ended { outcome: RunOutcome::Done, failed: 0, unclaimed: 0, signal: None });
    }
    let lanes = ready.tables.into_iter().map(|table| Lane {
        layout: table.source.layout(),
        limits: table.writer.limits(),
        mode: settings.batch,
        unknown_timestamp: settings.unknown_timestamp,
        source: table.reader,
        target: table.writer,
    });
    let committer = Committer::start(checkpoint, events.clone());
    let mut ended = copy::run(lanes.collect(), work, settings.pace, committer.ledger(), events.clone(), stop).await;
    // Every row arrived in the tables that we knew. Are they still those?
    let unchanged = match ended.outcome {
        RunOutcome::Done => {
            Box::pin(preflight::unchanged(&ready.source, &ready.target, &job, settings.pace.patience, events)).await
        }
        RunOutcome::Incomplete | RunOutcome::Stopped | RunOutcome::Error => Ok(()),
    };
    if unchanged.is_err() {
        ended.outcome = RunOutcome::Error;
    }
    let mut checkpoint = committer.finish(ended.outcome, events.counters().retries.load(Ordering::Relaxed)).await?;
    table_options::release(&ready.target, &targets, &mut checkpoint, events).await?;
    checkpoint.close()?;
    unchanged?;
    Ok(ended)
}

/// Everything before the first row: both sides, the job, its checkpoint, and what is left to do.
async fn begin(settings: &Settings, events: &Events) -> Result<(Ready, Job, checkpoint::Checkpoint, Vec<Work>), Error> {
    // A file that can't be used is refused before anybody is asked for anything.
    let (path, restart) = (settings.checkpoint.clone(), settings.restart);
    let found = blocking(move || find(&path, restart)).await?;
    let ready = Box::pin(preflight::preflight(settings, events)).await?;
    let job = plan::job(settings, &ready);
    let checkpoint = match found {
        FoundFile::Job(checkpoint) => {
            checkpoint.expect_job(&job)?;
            checkpoint
        }
        FoundFile::Room(reserved) => {
            let (_, ranges) = plan::plan(settings, &ready).await;
            let existing = if settings.restart { Existing::SetAside } else { Existing::Keep };
            let (new, path, target) = (job.clone(), settings.checkpoint.clone(), ready.target.info.name.clone());
            let created = blocking(move || {
                let owed = checkpoint::options::owed(&path, &target);
                let (mut checkpoint, aside) = checkpoint::create(reserved, &new, &ranges, existing)?;
                let targets: Vec<TableName> = new.tables.into_iter().map(|table| table.target).collect();
                table_options::adopt(owed, &targets, &mut checkpoint)?;
                Ok((checkpoint, aside))
            });
            let (checkpoint, aside) = created.await?;
            if let Some(aside) = aside {
                let message = format!("what there was of an earlier checkpoint is now {}", aside.display());
                events.emit(Event::Warning { message });
            }
            checkpoint
        }
    };
    let begun = blocking(move || {
        let mut checkpoint = checkpoint;
        let (found, work) = checkpoint.work()?;
        if !work.is_empty() {
            checkpoint.begin_run()?;
        }
        Ok((checkpoint, found, work))
    });
    let (mut checkpoint, found, work) = begun.await?;
    events.emit(if found.runs > 0 { Event::from(&found) } else { Event::Planned { ranges: work.len() } });
    if settings.manage_table_options && !work.is_empty() {
        let tables: Vec<_> = job.tables.iter().map(|table| table.target.clone()).enumerate().collect();
        table_options::engage(&ready.target, &tables, &mut checkpoint, events).await?;
    }
    Ok((ready, job, checkpoint, work))
}

/// Work with the checkpoint that may take seconds, out of the way of signals.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CheckpointError> + Send + 'static,
) -> Result<T, CheckpointError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// What there is under the checkpoint's name. Either way, it is ours from now on.
enum FoundFile {
    /// A job that was begun.
    Job(checkpoint::Checkpoint),
    /// Room for a new one.
    Room(checkpoint::Reserved),
}

fn find(path: &Path, restart: bool) -> Result<FoundFile, CheckpointError> {
    if restart {
        return checkpoint::reserve(path).map(FoundFile::Room);
    }
    match checkpoint::open(path) {
        Ok(checkpoint) => Ok(FoundFile::Job(checkpoint)),
        Err(CheckpointError::Missing { .. }) => checkpoint::reserve(path).map(FoundFile::Room),
        Err(error) => Err(error),
    }
}

/// Refuses flags of a copy in front of a command: they would be ignored silently.
///
/// # Errors
/// [`Error::MisplacedFlag`] with the first of them.
pub fn check_flags(matches: &clap::ArgMatches) -> Result<(), Error> {
    let Some((command, _)) = matches.subcommand() else { return Ok(()) };
    let typed = |id: &&str| matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
    match matches.ids().map(clap::Id::as_str).filter(|id| *id != "verbose").find(typed) {
        Some(id) => {
            let cli = <Cli as clap::CommandFactory>::command();
            let known =
                cli.find_subcommand(command).is_some_and(|c| c.get_arguments().any(|argument| argument.get_id() == id));
            Err(Error::MisplacedFlag { flag: id.replace('_', "-"), command: command.to_owned(), known })
        }
        None => Ok(()),
    }
}

/// The runtime that a command needs.
///
/// # Errors
/// Where the operating system has no threads left, or the settings can't be read.
pub fn runtime(cli: &Cli) -> Result<tokio::runtime::Runtime, Error> {
    // Only a copy has work for more than one thread, and only it may stumble over the `--config` file.
    let threads = match cli.command {
        None => crate::settings::with_file(cli.job.clone())?.threads.map_or(1, |threads| threads.get().min(1024)),
        Some(_) => 1,
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
