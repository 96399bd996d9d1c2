//! What events add up to.

use super::Event;
use crate::job::{Counts, Tally, Verdict};
use crate::slowed::PaceNow;
use crate::verify::difference::Class;
use crate::verify::line::Written;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counters of this run, for whoever looks.
#[derive(Debug, Default)]
pub struct Counters {
    /// Rows read from the source.
    pub rows_read: AtomicU64,
    /// Rows that the target acknowledged.
    pub rows_written: AtomicU64,
    /// Rows that had expired.
    pub rows_expired: AtomicU64,
    /// Rows that the target refused for good.
    pub rows_rejected: AtomicU64,
    /// What is committed to the checkpoint.
    pub committed: Mutex<Tally>,
    /// What is committed of a verification. What earlier runs had counted may be taken back in this one: whoever begins a run
    /// sets it to what they had come to.
    pub verdict: Mutex<Verdict>,
    /// The pace of this moment.
    pub pace: Mutex<PaceNow>,
    /// Bytes read from the source.
    pub bytes_read: AtomicU64,
    /// Write requests that are under way.
    pub in_flight: AtomicU64,
    /// Reads and writes that wait for room in the memory budget at this moment.
    pub waiting_for_memory: AtomicU64,
    /// Calls that were tried again.
    pub retries: AtomicU64,
    /// Rows of both sides that were compared.
    pub rows_compared: AtomicU64,
    /// Their bytes of keys and values.
    pub bytes_compared: AtomicU64,
    /// Rows that differed as they were read, and are looked at again at this moment.
    pub rechecking: AtomicU64,
    /// Rows that differ.
    pub rows_different: AtomicU64,
    /// Rows that were written or deleted to make both sides equal.
    pub rows_mended: AtomicU64,
    /// Ranges done.
    pub ranges_done: AtomicU64,
    /// Ranges failed.
    pub ranges_failed: AtomicU64,
    /// Commits to the checkpoint.
    pub commits: AtomicU64,
    /// Time spent in them, in microseconds.
    pub commit_us: AtomicU64,
}

impl Counters {
    /// What is committed to the checkpoint.
    pub fn committed(&self) -> MutexGuard<'_, Tally> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is committed of a verification, by all of its runs.
    pub fn verdict(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pace of this moment.
    pub fn pace(&self) -> MutexGuard<'_, PaceNow> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the counters by what has happened.
    pub(super) fn count(&self, event: &Event) {
        let add = |counter: &AtomicU64, n: u64| {
            counter.fetch_add(n, Ordering::Relaxed);
        };
        match event {
            Event::PageRead { rows, bytes } => {
                add(&self.rows_read, *rows);
                add(&self.bytes_read, *bytes);
            }
            Event::BatchWritten { rows, expired, rejected } => {
                add(&self.rows_written, *rows);
                add(&self.rows_expired, *expired);
                add(&self.rows_rejected, *rejected);
            }
            Event::Compared { rows, bytes, suspects } => {
                add(&self.rows_compared, *rows);
                add(&self.bytes_compared, *bytes);
                add(&self.rechecking, *suspects);
            }
            Event::Rechecked { rows } => drop(self.rechecking.fetch_sub(*rows, Ordering::Relaxed)),
            Event::Difference(line) => {
                add(&self.rows_different, u64::from(!line.harmless && line.class != Some(Class::Unsettled)));
            }
            Event::Mended(line) => {
                let is_done = matches!(line.what, Written::Repaired | Written::Deleted);
                add(&self.rows_mended, u64::from(is_done));
            }
            Event::Retry { .. } => add(&self.retries, 1),
            Event::RangeMoved { tally, .. } => *self.committed() += *tally,
            Event::RangeDone { tally, .. } => {
                *self.committed() += *tally;
                add(&self.ranges_done, 1);
            }
            Event::RangeCompared { verdict, .. } => *self.verdict() += *verdict,
            Event::RangeVerified { verdict, .. } => {
                *self.verdict() += *verdict;
                add(&self.ranges_done, 1);
            }
            Event::RangeReopened { verdict, .. } | Event::RangeTakenBack { verdict, .. } => {
                let mut sums = self.verdict();
                *sums = sums.less(verdict);
            }
            Event::RangeFailed { .. } => add(&self.ranges_failed, 1),
            Event::Committed { took_us } => {
                add(&self.commits, 1);
                add(&self.commit_us, u64::try_from(*took_us).unwrap_or(u64::MAX));
            }
            Event::Connected { .. }
            | Event::Warning { .. }
            | Event::Note { .. }
            | Event::Question { .. }
            | Event::TableBroken { .. }
            | Event::Planned { .. }
            | Event::Resumed { .. }
            | Event::RangeClaimed { .. }
            | Event::RowsRejected { .. }
            | Event::Set { .. }
            | Event::Paused
            | Event::Continued
            | Event::Slowed { .. }
            | Event::Waiting { .. }
            | Event::Back { .. }
            | Event::GaveUp { .. }
            | Event::RangeSplit { .. }
            | Event::VerificationBegun(_)
            | Event::PassDone { .. }
            | Event::Error { .. }
            | Event::Stopping { .. } => {}
        }
    }
}
