//! What the operator means by `migrate verify`.

use super::sample::Share;
use super::units::Period;
use super::{ConsistencyLevel, Settings, SettingsError};
use crate::cli::VerifyArgs;
use crate::paths::{beside, folder};
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How both sides are compared, after a copy too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// When rows that differ are looked at again for the first time; then after twice as long, and so on.
    pub recheck_after: Duration,
    /// How far apart the moments of expiry may lie, in seconds.
    pub expiry_tolerance: i64,
    /// Where differences are listed, if not beside the checkpoint.
    pub differences: Option<PathBuf>,
}

/// Everything about a verification, settled.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct VerifySettings {
    /// Both sides, the tables, the checkpoint, the pace.
    pub job: Settings,
    /// The share of each range to compare, where it isn't all of it.
    pub sample: Option<Share>,
    /// Which share, where the operator says so.
    pub seed: Option<u64>,
    /// The partitions to compare, where it isn't all of them: never empty then.
    pub partitions: Vec<GivenKey>,
    /// Write what is missing or older at the target.
    pub repair: bool,
    /// Delete what the target alone has.
    pub delete_extra: bool,
    /// Without asking.
    pub yes: bool,
    /// Go on in passes until stopped.
    pub follow: bool,
    /// See [`Checks`].
    pub recheck_after: Duration,
    /// See [`Checks`].
    pub expiry_tolerance: i64,
    /// See [`Checks`].
    pub differences: Option<PathBuf>,
}

/// The key of a partition as it was typed, and where. What it says depends on the table:
/// [`crate::schema::parse_literal::partition_key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenKey {
    /// CQL literals, with commas between them.
    pub text: String,
    /// The file and the line; none on the command line.
    pub place: Option<(PathBuf, usize)>,
}

impl Checks {
    pub(super) fn new(
        recheck_after: Option<Period>,
        expiry_tolerance: Option<Period>,
        differences: Option<PathBuf>,
        checkpoint: &Path,
    ) -> Result<Checks, SettingsError> {
        if let Some(file) = &differences {
            if file == Path::new("-") {
                return Err(SettingsError::Conflict {
                    what: "`--differences -` names no file".to_owned(),
                    hint:
                        "`--json` has the differences on stdout, among its events; a file whose name is a dash is `./-`"
                            .to_owned(),
                });
            }
            expect_apart(file, checkpoint)?;
        }
        let recheck_after = recheck_after.map_or(Duration::from_secs(2), |period| period.0);
        if recheck_after > Duration::from_secs(3600) {
            return Err(SettingsError::OutOfBounds {
                flag: "recheck-after",
                found: format!("{}s", recheck_after.as_secs()),
                allowed: "0s to 1h",
            });
        }
        let tolerance = expiry_tolerance.map_or(Duration::from_secs(5), |period| period.0);
        let seconds = i64::try_from(tolerance.as_secs()).ok().filter(|_| tolerance.subsec_nanos() == 0);
        let expiry_tolerance = seconds.ok_or_else(|| SettingsError::OutOfBounds {
            flag: "expiry-tolerance",
            found: format!("{tolerance:?}"),
            allowed: "a number of whole seconds",
        })?;
        Ok(Checks { recheck_after, expiry_tolerance, differences })
    }
}

impl VerifySettings {
    /// Merges what was typed with the `--config` file and the defaults, reads the partitions, and fetches passwords.
    ///
    /// # Errors
    /// Where something is missing or makes no sense.
    pub fn resolve(args: VerifyArgs) -> Result<VerifySettings, SettingsError> {
        expect_sense(&args)?;
        let VerifyArgs { job, sample, seed, partition, repair, delete_extra, yes, follow } = args;
        let job = Settings::resolve(job)?;
        if delete_extra {
            expect_more_than_one(job.source.consistency)?;
        }
        let partitions = given_keys(&partition)?;
        Ok(VerifySettings { sample, seed, partitions, repair, delete_extra, yes, follow, ..VerifySettings::of(job) })
    }

    /// The verification of what a copy has copied.
    #[must_use]
    pub fn of(job: Settings) -> VerifySettings {
        let Checks { recheck_after, expiry_tolerance, differences } = job.checks.clone();
        VerifySettings {
            job,
            sample: None,
            seed: None,
            partitions: Vec::new(),
            repair: false,
            delete_extra: false,
            yes: false,
            follow: false,
            recheck_after,
            expiry_tolerance,
            differences,
        }
    }
}

impl VerifySettings {
    /// Where differences are listed: beside the checkpoint, unless the operator says where.
    #[must_use]
    pub fn differences_file(&self) -> PathBuf {
        let name = if self.partitions.is_empty() { "-differences.jsonl" } else { "-partition-differences.jsonl" };
        self.differences.clone().unwrap_or_else(|| beside(&self.job.checkpoint, name))
    }
}

/// Refuses to list differences in a file that is something else: the checkpoint, one of the files that belong to it, or any that
/// isn't such a list.
fn expect_apart(file: &Path, checkpoint: &Path) -> Result<(), SettingsError> {
    let place = |path: &Path| {
        let folder = folder(path);
        (folder.canonicalize().unwrap_or_else(|_| folder.to_owned()), path.file_name().map(ToOwned::to_owned))
    };
    let belongs = ["", "-lock", "-wal", "-shm", "-journal", "-rejects.jsonl"].map(|end| beside(checkpoint, end));
    let is_same = |other: &PathBuf| {
        let is_one = file.canonicalize().is_ok_and(|file| other.canonicalize().is_ok_and(|other| file == other));
        is_one || place(file) == place(other)
    };
    // To open a pipe is to wait for whoever has its other end.
    let is_list = || {
        let mut first = [0];
        !file.is_file()
            || match std::fs::File::open(file).and_then(|mut file| std::io::Read::read(&mut file, &mut first)) {
                Ok(read) => read == 0 || first == *b"{",
                Err(_) => false,
            }
    };
    if belongs.iter().any(is_same) || !is_list() {
        return Err(SettingsError::Conflict {
            what: format!("`--differences {}` names a file that is something else", file.display()),
            hint: "name another file, or leave it out: differences are listed beside the checkpoint then".to_owned(),
        });
    }
    Ok(())
}

/// Refuses to delete what one replica of the source doesn't have: it may be the one that has missed it.
fn expect_more_than_one(source: ConsistencyLevel) -> Result<(), SettingsError> {
    if !matches!(source, ConsistencyLevel::One | ConsistencyLevel::LocalOne) {
        return Ok(());
    }
    Err(SettingsError::Conflict {
        what: format!(
            "`--delete-extra` deletes what the source doesn't have, and at {source} one replica says so: it may have missed a write"
        ),
        hint: "add `--source-consistency LOCAL_QUORUM`".to_owned(),
    })
}

/// Refuses flags that can't be meant together.
fn expect_sense(args: &VerifyArgs) -> Result<(), SettingsError> {
    let conflict =
        |what: &str, hint: &str| Err(SettingsError::Conflict { what: what.to_owned(), hint: hint.to_owned() });
    let asks = args.delete_extra && !args.yes;
    match args {
        _ if args.sample.is_some() && !args.partition.is_empty() => conflict(
            "`--sample` takes a share of the ring and `--partition` names what to compare: only one of them can be meant",
            "leave one of them out",
        ),
        _ if args.sample.is_none() && args.seed.is_some() => conflict(
            "`--seed` says which share `--sample` takes, and there is no `--sample`",
            "add `--sample 1%`, or leave out `--seed`",
        ),
        _ if args.follow && args.sample.is_some() => conflict(
            "`--follow` compares everything again and again, and `--sample` a share of it once: only one of them can be meant",
            "leave one of them out",
        ),
        _ if args.follow && args.delete_extra => conflict(
            "`--delete-extra` asks about what was found once, and `--follow` finds more with each pass",
            "leave out `--follow`, or stop it and run it with `--delete-extra`",
        ),
        _ if args.yes && !args.delete_extra => conflict(
            "`--yes` is the answer to `--delete-extra`, which isn't there",
            "leave it out; `--repair` doesn't ask",
        ),
        _ if asks && args.partition.iter().any(|given| given == "-") => conflict(
            "`--delete-extra` asks before it deletes, and stdin is taken by `--partition -`",
            "add `--yes`, or name a file: `--partition @FILE`",
        ),
        _ if asks && !std::io::stdin().is_terminal() => conflict(
            "`--delete-extra` asks before it deletes, and there is no terminal to ask at",
            "look at the differences first, without `--delete-extra`; then add `--yes`",
        ),
        _ => Ok(()),
    }
}

/// What `--partition` names, files and stdin read.
fn given_keys(given: &[String]) -> Result<Vec<GivenKey>, SettingsError> {
    let mut keys = Vec::new();
    for text in given {
        match text.strip_prefix('@') {
            _ if text == "-" => keys.extend(lines(Path::new("stdin"), std::io::stdin().lock())?),
            Some(file) => {
                let path = Path::new(file);
                let fail = |error| SettingsError::File { path: path.to_owned(), error };
                keys.extend(lines(path, BufReader::new(std::fs::File::open(path).map_err(fail)?))?);
            }
            None => keys.push(GivenKey { text: text.clone(), place: None }),
        }
    }
    if keys.is_empty() && !given.is_empty() {
        return Err(SettingsError::Conflict {
            what: "no partition is named: all lines are blank or comments".to_owned(),
            hint:
                "put the columns of a partition's key on a line, as in `42,7`; without `--partition` all are compared"
                    .to_owned(),
        });
    }
    Ok(keys)
}

/// One per line; blank lines and those that begin with `#` are none. Windows puts a byte order mark before the first.
fn lines(path: &Path, text: impl BufRead) -> Result<Vec<GivenKey>, SettingsError> {
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.split(b'\n')) {
        let line = line.map_err(|error| SettingsError::File { path: path.to_owned(), error })?;
        let line = str::from_utf8(&line).map_err(|_| SettingsError::Conflict {
            what: format!("{}, line {number}: it isn't UTF-8", path.display()),
            hint: "save the file as UTF-8, or type the key's bytes as `0x…`".to_owned(),
        })?;
        let text = if number == 1 { line.trim_start_matches('\u{feff}') } else { line }.trim();
        if !text.is_empty() && !text.starts_with('#') {
            keys.push(GivenKey { text: text.to_owned(), place: Some((path.to_owned(), number)) });
        }
    }
    Ok(keys)
}
