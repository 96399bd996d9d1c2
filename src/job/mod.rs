//! The nouns of a job: its tables, its ranges, what was counted, how a run ended. Data alone; the checkpoint keeps it, the
//! copy moves it on, events carry it.

mod counts;
mod levels;
mod verification;

pub use counts::{Counts, Tally, Verdict};
pub use levels::{CopiedAt, Levels};
pub use verification::{Conclusion, FoundVerification, Verification, VerifiedTable};

use crate::ring::{Token, TokenRange};
use crate::row::RowKey;
use crate::schema::TableName;
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What may not change between two runs of it: cluster names, the selection of tables, and the settings that decide what
    /// is written.
    pub identity: Vec<(&'static str, String)>,
    /// The tables that the selection has come to. Later runs may add some at the end.
    pub tables: Vec<JobTable>,
}

/// One table of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTable {
    /// Where it is read.
    pub source: TableName,
    /// Where it is written.
    pub target: TableName,
    /// What it was when the job took it in and cut its ranges; none where it could never be copied yet.
    pub admitted: Option<Admitted>,
    /// Why it can't be copied, or why what was copied can't be trusted. Untrusted text.
    pub broken: Option<String>,
}

impl JobTable {
    /// The same, of which no truncation is known.
    #[must_use]
    pub fn without_truncations(mut self) -> JobTable {
        if let Some(admitted) = &mut self.admitted {
            admitted.target_truncations.clear();
        }
        self
    }
}

/// What a table was when its ranges were cut. It may not change until they are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The source cluster's id of the table.
    pub source_id: Uuid,
    /// The target cluster's id of the table.
    pub target_id: Uuid,
    /// [`crate::schema::Table::description`], of both tables.
    pub columns: String,
    /// [`crate::schema::Table::readded_description`] of the source's table. The target's has no such columns.
    pub source_readded: String,
    /// What each node of the target says of the last `TRUNCATE` of its table, by the node's host id; nothing where there was none.
    pub target_truncations: BTreeMap<Uuid, String>,
}

/// A range of a job's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RangeKey {
    /// The table's number: its index in [`Job::tables`].
    pub table: usize,
    /// The tokens.
    #[serde(flatten)]
    pub range: TokenRange,
}

/// Up to where a range is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// All rows of all tokens up to this one; none where not even its first token is done.
    pub token: Option<Token>,
    /// Of the token behind that one, all rows up to this one, in the order of a scan.
    pub row: Option<RowKey>,
}

/// A range that isn't done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Which one.
    pub key: RangeKey,
    /// Up to where it is done.
    pub cursor: Cursor,
}

impl Work {
    /// The range, cut behind each of `cuts` that lies in it: what is done of it stays done.
    pub fn cut(self, cuts: &[Token]) -> Vec<Work> {
        let Work { key: RangeKey { table, range }, cursor: Cursor { token, mut row } } = self;
        let piece = |piece: TokenRange| {
            let done = token.filter(|&token| token >= piece.first()).map(|token| token.min(piece.last()));
            // The row is in the piece that isn't done yet.
            let row = if done == Some(piece.last()) { None } else { row.take() };
            Work { key: RangeKey { table, range: piece }, cursor: Cursor { token: done, row } }
        };
        range.cut(cuts).into_iter().map(piece).collect()
    }
}

/// What a checkpoint holds when it is opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Earlier runs that copied.
    pub runs: u64,
    /// All ranges.
    pub ranges: u64,
    /// Those that are done.
    pub ranges_done: u64,
    /// Those that had failed.
    pub ranges_failed: u64,
    /// The share of the job that is done, 0 to 1: [`share`] of its tables.
    pub fraction: f64,
    /// What was copied so far.
    pub tally: Tally,
    /// Each table, by its number.
    pub tables: Vec<FoundTable>,
}

/// What a checkpoint holds of one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundTable {
    /// Where it is read.
    pub source: TableName,
    /// Where it is written.
    pub target: TableName,
    /// All of its ranges.
    pub ranges: u64,
    /// What it weighs among the job's tables: as many ranges as it had before any was cut again.
    #[serde(skip)]
    pub weight: u64,
    /// Those that are done.
    pub ranges_done: u64,
    /// The share of its ring that is done, 0 to 1; parts of ranges included.
    pub fraction: f64,
    /// Rows that were written so far.
    pub rows_written: u64,
    /// Why it can't be copied. Untrusted text.
    pub broken: Option<String>,
}

/// The share of a job that is done, 0 to 1, from the share and the weight of each table: ranges are cut by size, so a table that
/// weighs as many as it had at first weighs what it holds.
pub fn share(tables: impl Iterator<Item = (f64, u64)>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    let (done, all) = tables
        .fold((0.0, 0.0), |(done, all), (fraction, ranges)| (done + fraction * ranges as f64, all + ranges as f64));
    if all > 0.0 { done / all } else { 0.0 }
}

/// What a run of the program does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunCommand {
    /// It copies.
    Copy,
    /// It compares what both sides hold.
    Verify,
}

impl RunCommand {
    /// The word that the checkpoint keeps.
    pub(crate) fn word(self) -> &'static str {
        match self {
            RunCommand::Copy => "copy",
            RunCommand::Verify => "verify",
        }
    }
}

/// How a run ended, as the checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every range is done.
    Done,
    /// Some ranges failed, or some tables couldn't be copied.
    Incomplete,
    /// Somebody asked it to stop.
    Stopped,
    /// It could not go on.
    Error,
}

impl RunOutcome {
    /// The outcome of that [`RunOutcome::word`].
    pub(crate) fn named(word: &str) -> Option<RunOutcome> {
        let all = [RunOutcome::Done, RunOutcome::Incomplete, RunOutcome::Stopped, RunOutcome::Error];
        all.into_iter().find(|outcome| outcome.word() == word)
    }

    /// The word that the checkpoint keeps.
    pub(crate) fn word(self) -> &'static str {
        match self {
            RunOutcome::Done => "done",
            RunOutcome::Incomplete => "incomplete",
            RunOutcome::Stopped => "stopped",
            RunOutcome::Error => "error",
        }
    }
}
