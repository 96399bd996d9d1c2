//! The numbers of one moment, and where each table stands: what every renderer shows, and JSON has word by word.

use crate::checkpoint::status::TableState;
use crate::job::{FoundTable, Tally, Verdict, VerifiedTable};
use crate::schema::TableName;
use crate::slowed::PaceNow;
use crate::verify::ended::{PassEnded, VerificationBegun};
use serde::Serialize;

/// Where one table stands.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TableProgress {
    /// At the source.
    pub(super) source: TableName,
    /// At the target.
    pub(super) target: TableName,
    /// How far it is.
    pub(super) state: TableState,
    /// Why it is broken, if it is.
    pub(super) reason: Option<String>,
    /// All of its ranges.
    pub(super) ranges: u64,
    /// Done, over all runs.
    pub(super) ranges_done: u64,
    /// Failed in this run.
    pub(super) ranges_failed: u64,
    /// What was counted of it, in all runs, as far as that is committed.
    #[serde(flatten)]
    pub(super) counted: Counted,
}

/// What is counted of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Counted {
    /// Of one that is copied.
    Copied {
        /// Rows that the target acknowledged.
        rows_written: u64,
    },
    /// Of one that is compared.
    Compared(Verdict),
}

/// The numbers of one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Snapshot {
    /// The share of the job that is done, over all runs, 0 to 1.
    pub(super) fraction: f64,
    /// All ranges.
    pub(super) ranges: u64,
    /// Done, over all runs.
    pub(super) ranges_done: u64,
    /// Failed in this run.
    pub(super) ranges_failed: u64,
    /// This run's rows.
    #[serde(flatten)]
    pub(super) run: RunRows,
    /// Rows of all runs, as far as they are committed, or acknowledged or compared in this one.
    pub(super) rows_total: u64,
    /// What all runs have committed.
    pub(super) job: Tally,
    /// Bytes of all runs.
    pub(super) bytes_total: u64,
    /// Earlier runs.
    pub(super) runs_before: u64,
    /// Rows acknowledged or compared per second, over the last ten seconds.
    pub(super) rows_per_second: f64,
    /// Bytes read per second, over the last ten seconds.
    pub(super) bytes_per_second: f64,
    /// Write requests under way.
    pub(super) in_flight: u64,
    /// How fast it may be, and why it isn't faster.
    #[serde(flatten)]
    pub(super) pace: PaceNow,
    /// Calls that were tried again in this run.
    pub(super) retries: u64,
    /// Commits to the checkpoint in this run.
    pub(super) commits: u64,
    /// Time spent in them, in microseconds.
    pub(super) commit_us: u64,
    /// Since the program began, in milliseconds.
    pub(super) elapsed_ms: u64,
    /// Until the end, in seconds; none before there is something to judge by.
    pub(super) eta_s: Option<u64>,
    /// Of a verification.
    #[serde(flatten)]
    pub(super) compared: Option<Comparison>,
}

/// Where a verification stands.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Comparison {
    /// Rows that were compared in this run.
    pub(super) rows_compared: u64,
    /// Bytes of their keys and values.
    pub(super) bytes_compared: u64,
    /// Rows that differed as they were read, and are looked at again at this moment.
    pub(super) rows_rechecking: u64,
    /// Rows of this run that differ.
    pub(super) rows_different: u64,
    /// Rows that were written or deleted in this run.
    pub(super) rows_mended: u64,
    /// What it has come to in all runs, as far as that is committed.
    pub(super) verdict: Verdict,
    /// The last pass that came to its end, where one follows another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_pass: Option<LastPass>,
    /// What is compared, and how.
    #[serde(skip)]
    pub(super) begun: VerificationBegun,
}

/// A pass that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LastPass {
    /// Its number in this run.
    pub(super) pass: u64,
    /// What it said, and what it left out.
    #[serde(flatten)]
    pub(super) ended: PassEnded,
    /// What it had come to.
    pub(super) verdict: Verdict,
}

/// Rows of this run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct RunRows {
    /// Read from the source.
    pub(super) rows_read: u64,
    /// Acknowledged by the target.
    pub(super) rows_written: u64,
    /// Expired before they could be written.
    pub(super) rows_expired: u64,
    /// Acknowledged and committed to the checkpoint.
    pub(super) rows_committed: u64,
    /// Refused by the target for good.
    pub(super) rows_rejected: u64,
    /// Bytes read.
    pub(super) bytes_read: u64,
}

impl Snapshot {
    /// Rows that were acknowledged or compared in this run.
    pub(super) fn rows_of_this_run(&self) -> u64 {
        self.compared.as_ref().map_or(self.run.rows_written, |compared| compared.rows_compared)
    }
}

impl TableProgress {
    pub(super) fn new(found: &FoundTable) -> TableProgress {
        let &FoundTable { ranges, ranges_done, rows_written, .. } = found;
        TableProgress {
            source: found.source.clone(),
            target: found.target.clone(),
            state: TableState::of(ranges, ranges_done, found.broken.is_some()),
            reason: found.broken.clone(),
            ranges,
            ranges_done,
            ranges_failed: 0,
            counted: Counted::Copied { rows_written },
        }
    }

    pub(super) fn of_verified(found: &VerifiedTable) -> TableProgress {
        let &VerifiedTable { ranges, ranges_done, verdict, .. } = found;
        TableProgress {
            source: found.source.clone(),
            target: found.target.clone(),
            state: TableState::of(ranges, ranges_done, found.broken.is_some()),
            reason: found.broken.clone(),
            ranges,
            ranges_done,
            ranges_failed: 0,
            counted: Counted::Compared(verdict),
        }
    }

    /// Rows of all runs that the target has acknowledged, as far as they are committed.
    pub(super) fn rows_written(&self) -> u64 {
        match self.counted {
            Counted::Copied { rows_written } => rows_written,
            Counted::Compared(verdict) => verdict.rows_repaired,
        }
    }

    /// What was found of it.
    pub(super) fn verdict(&self) -> Verdict {
        match self.counted {
            Counted::Copied { .. } => Verdict::default(),
            Counted::Compared(verdict) => verdict,
        }
    }

    pub(super) fn add_written(&mut self, tally: &Tally) {
        if let Counted::Copied { rows_written } = &mut self.counted {
            *rows_written += tally.rows_written;
        }
    }

    pub(super) fn compare(&mut self, change: impl FnOnce(&mut Verdict)) {
        if let Counted::Compared(verdict) = &mut self.counted {
            change(verdict);
        }
    }
}
