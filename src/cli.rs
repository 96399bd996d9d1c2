//! The command line: types and help texts. No behaviour.

use crate::row::{BatchMode, RowMarker};
use crate::schema::ddl::{Dialect, Replication, Section};
use crate::schema::fidelity::Counters;
use crate::settings::choices::{ConsistencyLevel, FutureTimestamps};
use crate::settings::endpoint::Endpoint;
use crate::settings::live::Assignment;
use crate::settings::sample::Share;
use crate::settings::schedule::{BytesSchedule, RowsSchedule};
use crate::settings::tables::{TableGlob, TablePattern};
use crate::settings::units::{Bytes, Latency, Period};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use std::num::NonZeroUsize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  migrate --source cass1,cass2 --target scylla1,scylla2 --table chat.messages
  migrate schema --source cass1 --target scylla1 --table chat.messages --apply
  migrate --source cass1 --target scylla1 --table 'shop.*' --exclude 'shop.tmp_*'
  migrate plan --source cass1 --target scylla1 --table chat.messages
  migrate verify --source cass1 --target scylla1 --table chat.messages
  migrate verify --source cass1 --target scylla1 --table chat.messages --partition 42,7
  migrate status --checkpoint migrate.db
  migrate set rows-per-second=20k writers=64

Run the same line again after any crash or stop: it carries on where it was.

Exit codes:
  0 all done   1 unexpected failure   2 bad flags or settings   3 finished, but ranges or tables failed (run it again) or rows were rejected
  4 `verify` found differences   5 refused: another job's checkpoint, in use, schemas differ, unsafe target   6 can't connect or not permitted
  129, 130, 143 stopped by a closed terminal, Ctrl-C, SIGTERM: progress saved";

/// Not a doc comment, where it would be read as a link.
const SOURCE_HELP: &str =
    "The cluster to read: HOST[:PORT],… or cassandra://USER@HOST,…/?dc=…&tls=verify&ca=FILE&cert=FILE&key=FILE";

/// Of `migrate verify`.
const COMPARED_TABLE_HELP: &str = "A table to compare, or all tables of a keyspace (`KEYSPACE.*`); repeatable. \
     KEYSPACE.TABLE=KEYSPACE.TABLE where its name differs at the target, `KEYSPACE.*=KEYSPACE.*` where only the keyspace does";

/// Moves live tables from Apache Cassandra to ScyllaDB: fast, exact, and resumable after any crash
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it")]
    pub job: JobArgs,
    /// Show the driver's log too; twice for its details
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    #[command(subcommand)]
    #[expect(missing_docs, reason = "clap would show it")]
    pub command: Option<Command>,
}

/// What to do instead of copying.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a copy would do; writes nothing
    Plan(JobArgs),
    /// Compare both sides, whoever copied the rows: every row, value, writetime and expiry; repair what differs
    Verify(VerifyArgs),
    /// Show the statements that create the source's schema at the target, or create it
    Schema(SchemaArgs),
    /// Show the progress of a job from its checkpoint alone, running or not
    Status(StatusArgs),
    /// Change the pace of a job, running or not; it holds until it is set to `default`
    Set(SetArgs),
    /// Let a job read and write nothing new, running or not
    Pause(ControlArgs),
    /// Let a paused job go on
    Continue(ControlArgs),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Everything that describes a copy. Each has the same name as a flag, as a key of the `--config` file and, in capitals with
/// `MIGRATE_` before it, as an environment variable; but for those that are about a single call.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct JobArgs {
    /// The cluster to read.
    #[arg(help = SOURCE_HELP, long, value_name = "HOSTS", env = "MIGRATE_SOURCE", help_heading = "What")]
    #[serde(deserialize_with = "parsed")]
    pub source: Option<Endpoint>,
    /// The cluster to write, in the same form
    #[arg(long, value_name = "HOSTS", env = "MIGRATE_TARGET", help_heading = "What")]
    #[serde(deserialize_with = "parsed")]
    pub target: Option<Endpoint>,
    /// A table to copy, or all tables of a keyspace (`KEYSPACE.*`); repeatable. KEYSPACE.TABLE=KEYSPACE.TABLE where its
    /// name differs at the target, `KEYSPACE.*=KEYSPACE.*` where only the keyspace does
    #[arg(long, value_name = "KEYSPACE.TABLE", env = "MIGRATE_TABLE", value_delimiter = ' ', help_heading = "What")]
    pub table: Vec<TablePattern>,
    /// A table that a `*` of `--table` is not to stand for; `KEYSPACE.TMP_*` for several. Repeatable
    #[arg(long, value_name = "KEYSPACE.TABLE", env = "MIGRATE_EXCLUDE", value_delimiter = ' ', help_heading = "What")]
    pub exclude: Vec<TableGlob>,
    /// Where progress is kept [default: migrate.db]
    #[arg(long, value_name = "FILE", env = "MIGRATE_CHECKPOINT", help_heading = "What")]
    pub checkpoint: Option<PathBuf>,
    /// Begin anew: the old checkpoint is moved aside
    #[arg(long, help_heading = "What")]
    #[serde(skip)]
    pub restart: bool,
    /// Show what would be done, as `migrate plan` does; writes nothing
    #[arg(long, help_heading = "What")]
    #[serde(skip)]
    pub dry_run: bool,
    /// Settings from a TOML file; flags and environment come first
    #[arg(long, value_name = "FILE", env = "MIGRATE_CONFIG", help_heading = "What")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// A file whose first line is the source user's password
    #[arg(long, value_name = "FILE", env = "MIGRATE_SOURCE_PASSWORD_FILE", help_heading = "Login")]
    pub source_password_file: Option<PathBuf>,
    /// A command that prints the source user's password; `MIGRATE_SOURCE_PASSWORD` and a prompt are the other ways
    #[arg(long, value_name = "COMMAND", env = "MIGRATE_SOURCE_PASSWORD_COMMAND", help_heading = "Login")]
    pub source_password_command: Option<String>,
    /// A file whose first line is the target user's password
    #[arg(long, value_name = "FILE", env = "MIGRATE_TARGET_PASSWORD_FILE", help_heading = "Login")]
    pub target_password_file: Option<PathBuf>,
    /// A command that prints the target user's password; `MIGRATE_TARGET_PASSWORD` and a prompt are the other ways
    #[arg(long, value_name = "COMMAND", env = "MIGRATE_TARGET_PASSWORD_COMMAND", help_heading = "Login")]
    pub target_password_command: Option<String>,

    /// Consistency level of reads and writes [default: `LOCAL_QUORUM`]
    #[arg(long, value_name = "LEVEL", env = "MIGRATE_CONSISTENCY", help_heading = "How exact")]
    pub consistency: Option<ConsistencyLevel>,
    /// Consistency level of reads, where it differs
    #[arg(long, value_name = "LEVEL", env = "MIGRATE_SOURCE_CONSISTENCY", help_heading = "How exact")]
    pub source_consistency: Option<ConsistencyLevel>,
    /// Consistency level of writes, where it differs
    #[arg(long, value_name = "LEVEL", env = "MIGRATE_TARGET_CONSISTENCY", help_heading = "How exact")]
    pub target_consistency: Option<ConsistencyLevel>,
    /// The writetime, in microseconds, of what has none that can be read: rows of a key alone, elements at old sources.
    /// Older than all that the applications wrote, so that any dual write wins [default: 1]
    #[arg(
        long,
        value_name = "MICROS",
        env = "MIGRATE_UNKNOWN_TIMESTAMP",
        allow_negative_numbers = true,
        help_heading = "How exact"
    )]
    pub unknown_timestamp: Option<i64>,
    /// Which rows get a row marker, which no query shows [default: infer]
    #[arg(long, value_name = "RULE", env = "MIGRATE_ROW_MARKER", help_heading = "How exact")]
    pub row_marker: Option<RowMarker>,
    /// What to do with tables of counters, which can't be written twice [default: refuse]
    #[arg(long, value_name = "RULE", env = "MIGRATE_COUNTERS", help_heading = "How exact")]
    pub counters: Option<Counters>,
    /// What to do with writetimes that lie too far ahead for the target [default: reject]
    #[arg(long, value_name = "RULE", env = "MIGRATE_FUTURE_TIMESTAMPS", help_heading = "How exact")]
    pub future_timestamps: Option<FutureTimestamps>,

    /// Keep the target tables' tombstones for as long as the copy takes: `tombstone_gc` on ScyllaDB, `gc_grace_seconds` on
    /// Cassandra, set back at the end of the run that has done a table
    #[arg(
        long,
        value_name = "BOOL",
        env = "MIGRATE_MANAGE_TABLE_OPTIONS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        help_heading = "How exact"
    )]
    pub manage_table_options: Option<bool>,

    /// Ranges that are scanned at the same time, at most [default: 8]
    #[arg(long, value_name = "N", env = "MIGRATE_READERS", help_heading = "How fast")]
    pub readers: Option<NonZeroUsize>,
    /// Write requests under way at the same time, at most [default: 32]
    #[arg(long, value_name = "N", env = "MIGRATE_WRITERS", help_heading = "How fast")]
    pub writers: Option<NonZeroUsize>,
    /// Rows per second at most: a number (`20k`), `off`, or a schedule by local time (`08:00,20k 19:00,off`) [default: off]
    #[arg(long, value_name = "LIMIT", env = "MIGRATE_ROWS_PER_SECOND", help_heading = "How fast")]
    pub rows_per_second: Option<RowsSchedule>,
    /// Bytes of keys and values per second at most: a size (`20MiB`), `off`, or a schedule [default: off]
    #[arg(long, value_name = "LIMIT", env = "MIGRATE_BYTES_PER_SECOND", help_heading = "How fast")]
    pub bytes_per_second: Option<BytesSchedule>,
    /// Read with fewer requests at a time while more than one page in a hundred takes longer [default: off]
    #[arg(long, value_name = "TIME", env = "MIGRATE_SOURCE_LATENCY", help_heading = "How fast")]
    pub source_latency: Option<Latency>,
    /// Write with fewer requests at a time while more than one write in a hundred takes longer [default: off]
    #[arg(long, value_name = "TIME", env = "MIGRATE_TARGET_LATENCY", help_heading = "How fast")]
    pub target_latency: Option<Latency>,
    /// Memory for all that is read and not yet acknowledged by the target [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "MIGRATE_MEMORY", help_heading = "How fast")]
    pub memory: Option<Bytes>,
    /// Which rows may share a batch [default: auto]
    #[arg(long, value_name = "MODE", env = "MIGRATE_BATCH", help_heading = "How fast")]
    pub batch: Option<BatchMode>,
    /// In how many ranges to cut the ring of a new job, at least [default: by the table's size]
    #[arg(long, value_name = "N", env = "MIGRATE_RANGES", help_heading = "How fast")]
    pub ranges: Option<NonZeroUsize>,
    /// Threads of this program, for clusters that are faster than one core of this machine [default: 1]
    #[arg(long, value_name = "N", env = "MIGRATE_THREADS", help_heading = "How fast")]
    pub threads: Option<NonZeroUsize>,
    /// How long a request may keep failing before its range is given up [default: 15m]
    #[arg(long, value_name = "TIME", env = "MIGRATE_GIVE_UP_AFTER", help_heading = "How fast")]
    pub give_up_after: Option<Period>,

    /// After the copy, compare both sides, as `migrate verify` does; its exit code is 4 where they differ
    #[arg(
        long,
        value_name = "BOOL",
        env = "MIGRATE_VERIFY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        help_heading = "How to compare"
    )]
    pub verify: Option<bool>,
    /// When rows that differ are looked at again: after this long, then twice as long, and so on. What live writes have
    /// made equal by then is no difference [default: 2s]
    #[arg(long, value_name = "TIME", env = "MIGRATE_RECHECK_AFTER", help_heading = "How to compare")]
    pub recheck_after: Option<Period>,
    /// How far apart the moments may lie at which a value expires at either side, in whole seconds [default: 5s]
    #[arg(long, value_name = "TIME", env = "MIGRATE_EXPIRY_TOLERANCE", help_heading = "How to compare")]
    pub expiry_tolerance: Option<Period>,
    /// Where every difference is listed, as JSON lines [default: beside the checkpoint, as migrate.db-differences.jsonl]
    #[arg(long, value_name = "FILE", env = "MIGRATE_DIFFERENCES", help_heading = "How to compare")]
    pub differences: Option<PathBuf>,

    /// Events as JSON lines on stdout; `plan`: one JSON document
    #[arg(long, help_heading = "Output")]
    #[serde(skip)]
    pub json: bool,
}

/// Options of `migrate verify`: those of a copy, since both sides are read the same way, and what is about one call of it.
#[derive(Args, Clone, Debug, Default)]
#[command(
    mut_arg("target", |arg| arg.help("The cluster to compare with, in the same form")),
    mut_arg("table", |arg| arg.help(COMPARED_TABLE_HELP)),
    mut_arg("checkpoint", |arg| arg.help("Where progress is kept; `--partition` keeps none [default: migrate.db]")),
    mut_arg("restart", |arg| arg.help("Begin the verification anew; the progress of the copy stays")),
    mut_arg("source_consistency", |arg| arg.help("Consistency level at the source, where it differs")),
    mut_arg("target_consistency", |arg| arg.help("Consistency level at the target, where it differs")),
    mut_arg("row_marker", |arg| arg.help("`--repair`: which rows get a row marker, which no query shows [default: infer]")),
    mut_arg("writers", |arg| arg.help("Requests to the target under way at the same time, at most, and rows that are looked at again [default: 32]")),
    mut_arg("target_latency", |arg| {
        arg.help("Send fewer requests to the target at a time while more than one in a hundred takes longer [default: off]")
    }),
    mut_arg("memory", |arg| arg.help("Memory for all that is read and not yet compared [default: 256MiB]")),
    mut_arg("json", |arg| arg.help("Events as JSON lines on stdout; each row that differs is one")),
    mut_arg("dry_run", |arg| arg.hide(true)),
    mut_arg("manage_table_options", |arg| arg.hide(true)),
    mut_arg("batch", |arg| arg.hide(true)),
    mut_arg("verify", |arg| arg.hide(true))
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct VerifyArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it")]
    pub job: JobArgs,
    /// Compare a random share of the ring alone, for a first answer in minutes: `1%`, `0.5%`
    #[arg(long, value_name = "SHARE", help_heading = "What to compare")]
    pub sample: Option<Share>,
    /// Which share: the same number is the same one, with the same checkpoint or `--ranges` [default: drawn, and told]
    #[arg(long, value_name = "N", help_heading = "What to compare")]
    pub seed: Option<u64>,
    /// Compare one partition alone: the columns of its key as CQL literals (`42,7`; `'a,b',0x00ff`). Repeatable; `@FILE`
    /// and `-` (stdin) have one per line. A line that begins with `#` is a comment: a key that does goes in quotes
    #[arg(long, value_name = "KEY|@FILE|-", allow_hyphen_values = true, help_heading = "What to compare")]
    pub partition: Vec<String>,
    /// Go on in passes until stopped: what differed is compared again, then everything
    #[arg(long, help_heading = "What to compare")]
    pub follow: bool,
    /// Write what is missing or older at the target, as it is at the source at that moment; then compare it again
    #[arg(long, help_heading = "What to do about it")]
    pub repair: bool,
    /// Delete rows and values that the target alone has, after asking
    #[arg(long, help_heading = "What to do about it")]
    pub delete_extra: bool,
    /// Don't ask before `--delete-extra`
    #[arg(long, help_heading = "What to do about it")]
    pub yes: bool,
}

/// Options of `migrate schema`.
#[derive(Args, Clone, Debug)]
pub struct SchemaArgs {
    /// The cluster to read.
    #[arg(help = SOURCE_HELP, long, value_name = "HOSTS", env = "MIGRATE_SOURCE", help_heading = "What")]
    pub source: Option<Endpoint>,
    /// The cluster to compare with, and to create it at; in the same form
    #[arg(long, value_name = "HOSTS", env = "MIGRATE_TARGET", help_heading = "What")]
    pub target: Option<Endpoint>,
    /// A table, with its types, indexes and views; repeatable. `KEYSPACE.*` for all of a keyspace,
    /// KEYSPACE.TABLE=KEYSPACE.TABLE where its name is to differ at the target [default: everything but the database's own]
    #[arg(long, value_name = "KEYSPACE.TABLE", env = "MIGRATE_TABLE", value_delimiter = ' ', help_heading = "What")]
    pub table: Vec<TablePattern>,
    /// A table, or several with an asterisk, to leave out of a pattern of `--table`; repeatable
    #[arg(long, value_name = "KEYSPACE.TABLE", env = "MIGRATE_EXCLUDE", value_delimiter = ' ', help_heading = "What")]
    pub exclude: Vec<TableGlob>,
    /// Only this part [default: both; with `--apply`: before]
    #[arg(long, help_heading = "What")]
    pub section: Option<Section>,
    /// Settings from a TOML file; flags and environment come first
    #[arg(long, value_name = "FILE", env = "MIGRATE_CONFIG", help_heading = "What")]
    pub config: Option<PathBuf>,

    /// Replicas in the target's datacenters, as in `east:3,west:2` [default: as at the source]
    #[arg(long, value_name = "DC:N,…", help_heading = "How")]
    pub replication: Option<Replication>,
    /// The database that the statements are for [default: the target's, or scylla]
    #[arg(long = "for", value_name = "DATABASE", help_heading = "How")]
    pub dialect: Option<Dialect>,
    /// Create what the target lacks of one section; what it has is compared, not touched. Exit code 5 where it differs
    #[arg(long, help_heading = "How")]
    pub apply: bool,

    /// A file whose first line is the source user's password
    #[arg(long, value_name = "FILE", env = "MIGRATE_SOURCE_PASSWORD_FILE", help_heading = "Login")]
    pub source_password_file: Option<PathBuf>,
    /// A command that prints the source user's password; `MIGRATE_SOURCE_PASSWORD` and a prompt are the other ways
    #[arg(long, value_name = "COMMAND", env = "MIGRATE_SOURCE_PASSWORD_COMMAND", help_heading = "Login")]
    pub source_password_command: Option<String>,
    /// A file whose first line is the target user's password
    #[arg(long, value_name = "FILE", env = "MIGRATE_TARGET_PASSWORD_FILE", help_heading = "Login")]
    pub target_password_file: Option<PathBuf>,
    /// A command that prints the target user's password; `MIGRATE_TARGET_PASSWORD` and a prompt are the other ways
    #[arg(long, value_name = "COMMAND", env = "MIGRATE_TARGET_PASSWORD_COMMAND", help_heading = "Login")]
    pub target_password_command: Option<String>,
}

/// Options of `migrate status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// The checkpoint file
    #[arg(long, value_name = "FILE", env = "MIGRATE_CHECKPOINT", default_value = "migrate.db")]
    pub checkpoint: PathBuf,
    /// One JSON document on stdout; with `--watch` one per line
    #[arg(long)]
    pub json: bool,
    /// Show it again whenever it has changed, until nobody works on the job any more
    #[arg(long)]
    pub watch: bool,
}

/// Options of `migrate set`.
#[derive(Args, Clone, Debug)]
pub struct SetArgs {
    /// What to set: rows-per-second, bytes-per-second, readers, writers, source-latency, target-latency. `KEY=default` goes
    /// back to what the command line says
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub assignments: Vec<Assignment>,
    /// The checkpoint file
    #[arg(long, value_name = "FILE", env = "MIGRATE_CHECKPOINT", default_value = "migrate.db")]
    pub checkpoint: PathBuf,
}

/// Options of `migrate pause` and `migrate continue`.
#[derive(Args, Clone, Debug)]
pub struct ControlArgs {
    /// The checkpoint file
    #[arg(long, value_name = "FILE", env = "MIGRATE_CHECKPOINT", default_value = "migrate.db")]
    pub checkpoint: PathBuf,
}

/// A TOML string through the type's own parser, so that the file says what the flag says.
fn parsed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Endpoint>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// The parser's error without the value that it repeats, where that may hold a password.
#[must_use]
pub fn without_passwords(mut error: clap::Error) -> clap::Error {
    let of_hosts = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.contains("<HOSTS>"),
        _ => false,
    };
    if of_hosts {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

impl JobArgs {
    /// What of this is not set is taken from `other`.
    #[must_use]
    pub fn or(self, other: JobArgs) -> JobArgs {
        // A side's password has one place: a flag that names a command isn't overruled by a file that names a file.
        let place = |file: Option<PathBuf>, command: Option<String>, other: (Option<PathBuf>, Option<String>)| {
            if file.is_some() || command.is_some() { (file, command) } else { other }
        };
        let other_source = (other.source_password_file, other.source_password_command);
        let other_target = (other.target_password_file, other.target_password_command);
        let (source_password_file, source_password_command) =
            place(self.source_password_file, self.source_password_command, other_source);
        let (target_password_file, target_password_command) =
            place(self.target_password_file, self.target_password_command, other_target);
        macro_rules! first {
            ($($field:ident),*) => { JobArgs {
                table: if self.table.is_empty() { other.table } else { self.table },
                exclude: if self.exclude.is_empty() { other.exclude } else { self.exclude },
                restart: self.restart || other.restart,
                dry_run: self.dry_run || other.dry_run,
                json: self.json || other.json,
                source_password_file,
                source_password_command,
                target_password_file,
                target_password_command,
                $($field: self.$field.or(other.$field)),*
            } };
        }
        first!(
            source,
            target,
            checkpoint,
            config,
            consistency,
            source_consistency,
            target_consistency,
            unknown_timestamp,
            row_marker,
            counters,
            future_timestamps,
            manage_table_options,
            verify,
            recheck_after,
            expiry_tolerance,
            differences,
            readers,
            writers,
            rows_per_second,
            bytes_per_second,
            source_latency,
            target_latency,
            memory,
            batch,
            ranges,
            threads,
            give_up_after
        )
    }
}
