//! What the operator means: flags, environment, file and defaults merged into one validated value.

pub mod choices;
pub mod endpoint;
pub mod live;
mod pace;
pub mod sample;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod selection;
pub mod tables;
pub mod units;
pub mod verify;

use crate::cli::JobArgs;
use crate::row::{BatchMode, RowMarker};
use crate::schema::fidelity::Counters;
use crate::side::Side;
pub use pace::{Limits, Pace, Patience};

pub use choices::{ConsistencyLevel, FutureTimestamps};
use clap::ValueEnum;
use endpoint::{Endpoint, TlsMode};
use secrecy::SecretString;
use selection::{Selection, SelectionError};
use std::path::PathBuf;
use std::time::Duration;
use verify::Checks;

/// How to reach one cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Present where the endpoint names a user.
    pub password: Option<SecretString>,
    /// Of all requests.
    pub consistency: ConsistencyLevel,
}

impl Access {
    /// Fetches the password, where the endpoint names a user.
    fn with_password(
        side: Side,
        endpoint: Endpoint,
        source: &secret::PasswordSource,
        consistency: ConsistencyLevel,
    ) -> Result<Access, SettingsError> {
        let password = endpoint.user.as_deref().map(|user| secret::password(side, user, source)).transpose()?;
        Ok(Access { endpoint, password, consistency })
    }

    /// Whether anybody in between could undo the encryption.
    pub fn is_insecure(&self) -> bool {
        self.endpoint.tls.mode == TlsMode::Insecure
    }
}

/// Everything about a copy, settled.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Settings {
    /// The cluster to read.
    pub source: Access,
    /// The cluster to write.
    pub target: Access,
    /// The tables.
    pub selection: Selection,
    /// The checkpoint file.
    pub checkpoint: PathBuf,
    /// Begin anew.
    pub restart: bool,
    /// Only show the plan.
    pub dry_run: bool,
    /// The writetime of what has none that can be read.
    pub unknown_timestamp: i64,
    /// Keep the target tables' tombstones meanwhile.
    pub manage_table_options: bool,
    /// Which rows get a marker.
    pub row_marker: RowMarker,
    /// Whether counters are to be copied.
    pub counters: Counters,
    /// What becomes of writetimes that lie too far ahead for the target.
    pub future_timestamps: FutureTimestamps,
    /// How fast.
    pub pace: Pace,
    /// What may share a batch.
    pub batch: BatchMode,
    /// The least number of ranges per table, where the operator wants one.
    pub ranges: Option<usize>,
    /// Compare both sides after the copy.
    pub verify: bool,
    /// How they are compared.
    pub checks: Checks,
    /// JSON on stdout.
    pub json: bool,
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Something that has no default is missing.
    #[error("`--{0}` is missing")]
    Missing(&'static str),
    /// The tables.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The file can't be read.
    #[error("failed to read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The file isn't understood.
    #[error("{} isn't understood: line {line}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why. Without the line itself, which may hold a password that doesn't belong there.
        message: String,
    },
    /// A number that makes no sense.
    #[error("`--{flag}` is {found}: {allowed} is what it may be")]
    OutOfBounds {
        /// The flag.
        flag: &'static str,
        /// What was given.
        found: String,
        /// What may be given.
        allowed: &'static str,
    },
    /// Flags that can't be meant together, or not here.
    #[error("{what}")]
    Conflict {
        /// One sentence.
        what: String,
        /// The next thing to type.
        hint: String,
    },
    /// No password.
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
}

impl SettingsError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            SettingsError::Missing(_) => Some(
                "`--source HOST --target HOST --table KEYSPACE.TABLE` is the least that is needed; `migrate --help` has the rest".to_owned(),
            ),
            SettingsError::Secret(error) => error.hint(),
            SettingsError::Conflict { hint, .. } => Some(hint.clone()),
            SettingsError::Selection(_) | SettingsError::File { .. } | SettingsError::Toml { .. } | SettingsError::OutOfBounds { .. } => None,
        }
    }
}

impl Settings {
    /// Merges what was typed with the `--config` file and the defaults, and fetches passwords.
    ///
    /// # Errors
    /// Where something is missing or makes no sense.
    pub fn resolve(args: JobArgs) -> Result<Settings, SettingsError> {
        let args = with_file(args)?;
        let source = args.source.ok_or(SettingsError::Missing("source"))?;
        let target = args.target.ok_or(SettingsError::Missing("target"))?;
        if args.table.is_empty() {
            return Err(SettingsError::Missing("table"));
        }
        let selection = Selection::new(args.table, args.exclude)?;
        if args.unknown_timestamp == Some(i64::MIN) {
            return Err(SettingsError::OutOfBounds {
                flag: "unknown-timestamp",
                found: i64::MIN.to_string(),
                allowed: "anything above",
            });
        }
        let pace = Pace::default();
        let memory = args.memory.map_or(pace.memory, |bytes| bytes.0);
        if memory < 1 << 20 {
            return Err(SettingsError::OutOfBounds {
                flag: "memory",
                found: memory.to_string(),
                allowed: "1MiB or more",
            });
        }
        // A connection that breaks takes longer to come back.
        if let Some(period) = args.give_up_after.filter(|period| period.0 < Duration::from_secs(1)) {
            return Err(SettingsError::OutOfBounds {
                flag: "give-up-after",
                found: format!("{}ms", period.0.as_millis()),
                allowed: "1s or more",
            });
        }
        for (flag, number, max, allowed) in [
            ("readers", args.readers, pace::HANDS_MAX, "1 to 65536"),
            ("writers", args.writers, pace::HANDS_MAX, "1 to 65536"),
            ("threads", args.threads, 1024, "1 to 1024"),
        ] {
            if let Some(found) = number.filter(|number| number.get() > max) {
                return Err(SettingsError::OutOfBounds { flag, found: found.to_string(), allowed });
            }
        }
        if let Some(ranges) = args.ranges.map(usize::from).filter(|&ranges| ranges > 10_000_000) {
            return Err(SettingsError::OutOfBounds {
                flag: "ranges",
                found: ranges.to_string(),
                allowed: "1 to 10000000",
            });
        }
        let access = |side, endpoint: Endpoint, file, command, own: Option<ConsistencyLevel>| {
            let consistency = own.or(args.consistency).unwrap_or(ConsistencyLevel::LocalQuorum);
            Access::with_password(side, endpoint, &secret::PasswordSource { file, command }, consistency)
        };
        let checkpoint = args.checkpoint.unwrap_or_else(|| "migrate.db".into());
        Ok(Settings {
            source: access(
                Side::Source,
                source,
                args.source_password_file,
                args.source_password_command,
                args.source_consistency,
            )?,
            target: access(
                Side::Target,
                target,
                args.target_password_file,
                args.target_password_command,
                args.target_consistency,
            )?,
            selection,
            checks: Checks::new(args.recheck_after, args.expiry_tolerance, args.differences, &checkpoint)?,
            checkpoint,
            restart: args.restart,
            dry_run: args.dry_run,
            unknown_timestamp: args.unknown_timestamp.unwrap_or(1),
            manage_table_options: args.manage_table_options.unwrap_or(false),
            row_marker: args.row_marker.unwrap_or_default(),
            counters: args.counters.unwrap_or_default(),
            future_timestamps: args.future_timestamps.unwrap_or_default(),
            pace: Pace {
                readers: args.readers.map_or(pace.readers, usize::from),
                writers: args.writers.map_or(pace.writers, usize::from),
                memory,
                patience: args.give_up_after.map_or(pace.patience, |period| Patience::of(period.0)),
                limits: Limits {
                    rows_per_second: args.rows_per_second.unwrap_or_default(),
                    bytes_per_second: args.bytes_per_second.unwrap_or_default(),
                    source_latency: args.source_latency.unwrap_or_default(),
                    target_latency: args.target_latency.unwrap_or_default(),
                },
            },
            batch: args.batch.unwrap_or_default(),
            ranges: args.ranges.map(usize::from),
            verify: args.verify.unwrap_or(false),
            json: args.json,
        })
    }

    /// The settings that decide what is written: a checkpoint made with others is another job's.
    pub fn identity(&self) -> Vec<(&'static str, String)> {
        let mut identity = self.row_identity();
        identity.extend(self.selection.identity());
        identity
    }

    /// Of these, the ones that decide how a row is written, whichever rows are chosen.
    pub fn row_identity(&self) -> Vec<(&'static str, String)> {
        let name =
            |value: Option<clap::builder::PossibleValue>| value.map_or(String::new(), |v| v.get_name().to_owned());
        vec![
            ("unknown_timestamp", self.unknown_timestamp.to_string()),
            ("row_marker", name(self.row_marker.to_possible_value())),
            ("counters", name(self.counters.to_possible_value())),
            ("future_timestamps", name(self.future_timestamps.to_possible_value())),
        ]
    }

    /// The sides whose encryption anybody could undo.
    pub fn insecure_sides(&self) -> impl Iterator<Item = Side> {
        [(Side::Source, &self.source), (Side::Target, &self.target)]
            .into_iter()
            .filter(|(_, access)| access.is_insecure())
            .map(|(side, _)| side)
    }
}

/// `args`, and what the `--config` file has for the rest.
///
/// # Errors
/// Where the file can't be read or isn't understood.
pub fn with_file(args: JobArgs) -> Result<JobArgs, SettingsError> {
    let Some(path) = args.config.clone() else { return Ok(args) };
    let text = std::fs::read_to_string(&path).map_err(|error| SettingsError::File { path: path.clone(), error })?;
    let file = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        SettingsError::Toml { path, line: before.matches('\n').count() + 1, message: error.message().to_owned() }
    })?;
    Ok(args.or(file))
}
