//! A look at a checkpoint from outside: while a run is alive or after it died. Changes nothing.

use super::error::CheckpointError;
use super::found::{self, State as RangeState, Stored, Sum};
use super::{CopiedAt, JobTable, Tally, control, files, identity, levels, lock, open, options, tables, verification};
use crate::job::{self, Conclusion, RunCommand, RunOutcome, Verdict, Verification, share};
use crate::ring::TokenRange;
use crate::schema::TableName;
use crate::settings::live::Live;
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Failed ranges that are listed; all are counted.
const FAILURES_LISTED: usize = 10;

/// What a checkpoint says of its job.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The file.
    pub checkpoint: PathBuf,
    /// Where the keys of rejected rows are, where there are any.
    pub rejects: Option<PathBuf>,
    /// What the job is doing.
    pub state: State,
    /// What the operator has set for it; it comes before the command line.
    #[serde(flatten)]
    pub live: Live,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// The share of the job that is done, 0 to 1; a table weighs as many ranges as it has.
    pub fraction: f64,
    /// The rows that were copied or repaired, by the consistency levels at which they were.
    pub copied_at: Vec<CopiedAt>,
    /// All tables together.
    #[serde(flatten)]
    pub counts: Counts,
    /// Each table.
    pub tables: Vec<TableStatus>,
    /// The first failed ranges.
    pub failures: Vec<Failure>,
    /// The latest verification, where there is any.
    pub verification: Option<VerificationStatus>,
    /// Runs of the program.
    pub runs: u64,
    /// Those that copied.
    pub copies: u64,
    /// The last of them.
    pub last_run: Option<Run>,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process works on it.
    Running,
    /// A process works on it, and compares what both sides hold.
    Verifying,
    /// No process works on it, and ranges are left.
    Stopped,
    /// No process works on it; ranges have failed, tables are broken, or the last copy ended before everything was done.
    Incomplete,
    /// Every range is done, of every table.
    Done,
}

impl State {
    /// Whether a process works on it.
    pub fn is_live(self) -> bool {
        matches!(self, State::Running | State::Verifying)
    }
}

/// How far a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// Ranges are left.
    Unfinished,
    /// Every range is done.
    Done,
    /// It can't be copied, or what was copied can't be trusted.
    Broken,
}

impl TableState {
    /// From its ranges, those that are done, and whether it is broken.
    pub fn of(ranges: u64, ranges_done: u64, broken: bool) -> TableState {
        match broken {
            true => TableState::Broken,
            false if ranges_done == ranges => TableState::Done,
            false => TableState::Unfinished,
        }
    }

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            TableState::Unfinished => "unfinished",
            TableState::Done => "done",
            TableState::Broken => "broken",
        }
    }
}

/// Ranges and rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All ranges.
    pub ranges: u64,
    /// Those that are done.
    pub ranges_done: u64,
    /// Those that somebody copies.
    pub ranges_claimed: u64,
    /// Those that were given up in the last run.
    pub ranges_failed: u64,
    /// Rows up to the cursors.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One table of a job.
#[derive(Clone, Debug, Serialize)]
pub struct TableStatus {
    /// At the source.
    pub source: TableName,
    /// At the target.
    pub target: TableName,
    /// How far it is.
    pub state: TableState,
    /// Why it is broken, if it is. Untrusted text.
    pub reason: Option<String>,
    /// The share of its ring that is done, 0 to 1.
    pub fraction: f64,
    /// Options of it that the job has altered at the target, and has yet to set back.
    pub altered: Vec<AlteredOption>,
    /// Its ranges and rows.
    #[serde(flatten)]
    pub counts: Counts,
    /// [`crate::job::FoundTable::weight`]
    #[serde(skip)]
    weight: u64,
}

/// How far a verification is, and what it says.
#[derive(Clone, Debug, Serialize)]
pub struct VerificationStatus {
    /// The verification.
    #[serde(flatten)]
    pub verification: Verification,
    /// Whether a process works on it.
    pub running: bool,
    /// The share of it that is done, 0 to 1.
    pub fraction: f64,
    /// What it says of both sides.
    pub conclusion: Conclusion,
    /// The first of its failed ranges.
    pub failures: Vec<Failure>,
}

/// An option that the job has altered, or was about to.
#[derive(Clone, Debug, Serialize)]
pub struct AlteredOption {
    /// Its name.
    pub name: String,
    /// The value to go back to, as a CQL literal. Untrusted text.
    pub old: String,
    /// The value for the copy, as a CQL literal.
    pub new: String,
}

/// A range that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The table at the source.
    pub table: TableName,
    /// Its tokens.
    #[serde(flatten)]
    pub range: TokenRange,
    /// How often it was tried.
    pub attempts: u64,
    /// Why it failed. Untrusted text.
    pub error: String,
    /// What can be done about it, where that is known. Untrusted text.
    pub remedy: Option<String>,
}

/// A run of the program.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// `copy` or `verify`.
    pub command: String,
    /// Milliseconds since the Unix epoch.
    pub started_at: i64,
    /// Milliseconds since the Unix epoch; none while it runs, or where it was killed.
    pub ended_at: Option<i64>,
    /// `done`, `incomplete`, `stopped` or `error`.
    pub outcome: Option<String>,
    /// Why it ended before everything was done, where neither ranges nor tables tell. Untrusted text.
    pub reason: Option<String>,
    /// Its process.
    pub process_id: u32,
    /// Its machine.
    pub host: String,
    /// Of `migrate`.
    pub version: String,
}

/// Reads the status of the job in `path`.
///
/// # Errors
/// Where the file is missing, foreign, newer or damaged.
pub fn read(path: &Path) -> Result<Status, CheckpointError> {
    let path = &files::real(path);
    let connection = open::open_read_only(path)?;
    open::check_kind(&connection, path)?;
    let fail = |error| CheckpointError::sqlite(path, "read the status", error);
    // One transaction, so that a running copy can't move things between two queries.
    let snapshot = connection.unchecked_transaction().map_err(fail)?;
    let job_tables = tables::read(&snapshot).map_err(fail)?;
    let (sums, failures) = ranges::<Tally>(&snapshot, path, &job_tables)?;
    let (runs, copies, last_run) = last_run(&snapshot).map_err(fail)?;
    let is_worked_on = lock::is_worked_on(path);
    let is_verifying = is_worked_on
        && last_run.as_ref().is_some_and(|run| run.command == RunCommand::Verify.word() && run.ended_at.is_none());
    let verification = match verification::latest(&snapshot, path)? {
        Some(verification) => {
            let (sums, failures) = ranges::<Verdict>(&snapshot, path, &job_tables)?;
            let fraction = share(sums.iter().map(|sum| (sum.fraction(), sum.weight)));
            let conclusion = verification.conclusion();
            Some(VerificationStatus { verification, running: is_verifying, fraction, conclusion, failures })
        }
        None => None,
    };
    let mut tables: Vec<TableStatus> = job_tables.into_iter().zip(sums).map(TableStatus::new).collect();
    for (option, _) in options::managed(&snapshot).map_err(fail)? {
        if let Some(table) = tables.get_mut(option.table) {
            table.altered.push(AlteredOption { name: option.name, old: option.old, new: option.new });
        }
    }
    let is_copying = is_worked_on && !is_verifying;
    let mut counts = Counts::default();
    for table in &mut tables {
        if !is_copying {
            // What a process had claimed when it died, or was told to stop.
            table.counts.ranges_claimed = 0;
        }
        counts.add(&table.counts);
    }
    let fraction = share(tables.iter().map(|table| (table.fraction, table.weight)));
    let was_incomplete = snapshot
        .query_row("SELECT outcome FROM run WHERE command = 'copy' ORDER BY id DESC LIMIT 1", (), |row| row.get(0))
        .optional()
        .map_err(fail)?
        == Some(Some(RunOutcome::Incomplete.word().to_owned()));
    let broken = tables.iter().any(|table| table.state == TableState::Broken);
    let state = if is_verifying {
        State::Verifying
    } else if is_worked_on {
        State::Running
    } else if counts.ranges_done == counts.ranges && !broken {
        State::Done
    } else if counts.ranges_failed > 0 || broken || was_incomplete {
        State::Incomplete
    } else {
        State::Stopped
    };
    let name = |which| identity(&snapshot, which).map(Option::unwrap_or_default).map_err(fail);
    Ok(Status {
        checkpoint: path.to_owned(),
        rejects: (counts.tally.rows_rejected > 0).then(|| crate::rejects::path(path)),
        state,
        live: control::read(&snapshot, path)?,
        source: name("source")?,
        target: name("target")?,
        fraction,
        copied_at: levels::copied_at(&snapshot).map_err(fail)?,
        counts,
        tables,
        failures,
        verification,
        runs,
        copies,
        last_run,
    })
}

impl TableStatus {
    fn new((table, sum): (JobTable, Sum<Tally>)) -> TableStatus {
        let JobTable { source, target, broken: reason, .. } = table;
        let counts = Counts {
            ranges: sum.ranges,
            ranges_done: sum.done,
            ranges_claimed: sum.claimed,
            ranges_failed: sum.failed,
            tally: sum.counts,
        };
        let state = TableState::of(sum.ranges, sum.done, reason.is_some());
        let (fraction, weight) = (sum.fraction(), sum.weight);
        TableStatus { source, target, state, reason, fraction, altered: Vec::new(), counts, weight }
    }
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.ranges += other.ranges;
        self.ranges_done += other.ranges_done;
        self.ranges_claimed += other.ranges_claimed;
        self.ranges_failed += other.ranges_failed;
        self.tally += other.tally;
    }
}

/// Whether a row marker that follows from a row's cells was ever written to the target: by the copy, or by a repair.
///
/// # Errors
/// Where the file can't be read.
pub(super) fn any_marker_inferred(connection: &Connection, path: &Path) -> Result<bool, CheckpointError> {
    let of = |table| format!("EXISTS (SELECT 1 FROM {table} WHERE rows_marker_inferred > 0)");
    let counted = ["token_range", "verification", "verified_range"].map(of).join(" OR ");
    let any = format!("SELECT {counted} OR EXISTS (SELECT 1 FROM copied_table WHERE marker_inferred)");
    let any = connection.query_row(&any, (), |row| row.get(0));
    any.map_err(|error| CheckpointError::sqlite(path, "read what was written", error))
}

/// Sums up all ranges that are counted with `C`, table by table, and lists the first failures.
fn ranges<C: job::Counts>(
    connection: &Connection,
    path: &Path,
    tables: &[JobTable],
) -> Result<(Vec<Sum<C>>, Vec<Failure>), CheckpointError> {
    let mut sums = vec![Sum::default(); tables.len()];
    let mut failures = Vec::new();
    found::each(connection, path, |stored: Stored<C>| {
        let (Some(table), Some(sum)) = (tables.get(stored.table), sums.get_mut(stored.table)) else { return Ok(()) };
        sum.add(&stored);
        let Stored { range, attempts, error, remedy, .. } = stored;
        if stored.state == RangeState::Failed && failures.len() < FAILURES_LISTED {
            let (table, error) = (table.source.clone(), error.unwrap_or_default());
            failures.push(Failure { table, range, attempts, error, remedy });
        }
        Ok(())
    })?;
    Ok((sums, failures))
}

fn last_run(connection: &Connection) -> rusqlite::Result<(u64, u64, Option<Run>)> {
    let counts = "SELECT count(*), count(*) FILTER (WHERE command = 'copy') FROM run";
    let (runs, copies) = connection.query_row(counts, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut statement = connection.prepare(
        "SELECT command, started_at, ended_at, outcome, reason, process_id, host, version FROM run ORDER BY id DESC LIMIT 1",
    )?;
    let mut found = statement.query_map((), |row| {
        Ok(Run {
            command: row.get(0)?,
            started_at: row.get(1)?,
            ended_at: row.get(2)?,
            outcome: row.get(3)?,
            reason: row.get(4)?,
            process_id: row.get(5)?,
            host: row.get(6)?,
            version: row.get(7)?,
        })
    })?;
    Ok((runs, copies, found.next().transpose()?))
}
