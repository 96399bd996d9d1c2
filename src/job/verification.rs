//! What a checkpoint holds of a verification.

use super::{RunOutcome, Verdict};
use crate::schema::TableName;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A verification, and what it has come to so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// Its number: 1 is the job's first.
    pub id: i64,
    /// When it was begun, since the Unix epoch by this machine's clock; in JSON in milliseconds.
    #[serde(serialize_with = "milliseconds")]
    pub started_at: Duration,
    /// When its last run ended, likewise; none while that goes on, or where it was killed.
    #[serde(serialize_with = "milliseconds_if_any")]
    pub ended_at: Option<Duration>,
    /// How its last run ended.
    pub outcome: Option<RunOutcome>,
    /// What is compared and how, by name, for people too.
    pub parameters: BTreeMap<String, String>,
    /// The numbers of the tables that it compares.
    #[serde(skip)]
    pub tables: BTreeSet<usize>,
    /// Ranges that are compared: those that are skipped don't count.
    pub ranges: u64,
    /// Those that are done.
    pub ranges_done: u64,
    /// Those that were given up in the last run.
    pub ranges_failed: u64,
    /// Those with rows that differ.
    pub ranges_different: u64,
    /// The sums of its ranges.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Verification {
    /// Whether nothing of it is left to do. One that was killed when all was compared has yet to be ended.
    pub fn is_finished(&self) -> bool {
        self.ended_at.is_some() && self.ranges_done == self.ranges
    }

    /// What it says of both sides.
    pub fn conclusion(&self) -> Conclusion {
        Conclusion::of(&self.verdict, self.outcome, self.ranges > 0 && self.ranges_done == self.ranges)
    }
}

/// What a verification says of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Nothing differs but what is harmless by design.
    Equal,
    /// Rows differ, whatever else is left to be compared.
    Differences,
    /// Nothing differs, but not everything could be compared.
    Incomplete,
    /// Nothing differs so far, and ranges are left.
    Unfinished,
}

impl Conclusion {
    /// What `verdict` says, of a verification whose last run ended like that; none is one that goes on, or was killed. A run that
    /// came to its end with all ranges compared may still be incomplete: tables may be broken, or have no place in the job.
    pub fn of(verdict: &Verdict, outcome: Option<RunOutcome>, all_compared: bool) -> Conclusion {
        match outcome {
            _ if verdict.rows_different > 0 => Conclusion::Differences,
            None | Some(RunOutcome::Stopped | RunOutcome::Error) => Conclusion::Unfinished,
            Some(RunOutcome::Done) if all_compared && verdict.rows_unsettled == 0 => Conclusion::Equal,
            Some(RunOutcome::Done | RunOutcome::Incomplete) => Conclusion::Incomplete,
        }
    }
}

/// What a checkpoint holds of the latest verification when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FoundVerification {
    /// Ranges that are compared.
    pub ranges: u64,
    /// Those that are done.
    pub ranges_done: u64,
    /// Those that had failed.
    pub ranges_failed: u64,
    /// The share of it that is done, 0 to 1: [`super::share`] of its tables.
    pub fraction: f64,
    /// What was counted so far.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Each table of the job, by its number; those that it doesn't compare have no ranges.
    pub tables: Vec<VerifiedTable>,
}

/// What a checkpoint holds of one table's verification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedTable {
    /// At the source.
    pub source: TableName,
    /// At the target.
    pub target: TableName,
    /// Its ranges that are compared.
    pub ranges: u64,
    /// What it weighs among the tables: as many such ranges as it had before any was cut again.
    #[serde(skip)]
    pub weight: u64,
    /// Those that are done.
    pub ranges_done: u64,
    /// The share of these ranges' tokens that is done, 0 to 1; parts of ranges included.
    pub fraction: f64,
    /// What was counted so far.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Why it can't be compared. Untrusted text.
    pub broken: Option<String>,
}

fn milliseconds<S: Serializer>(instant: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    u64::try_from(instant.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "as serde wants it")]
fn milliseconds_if_any<S: Serializer>(instant: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    instant.map(|instant| u64::try_from(instant.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}
