//! The copy: what becomes of the rows of a range. They are grouped, and the batches are written through one bounded pool
//! of requests; what is acknowledged is reported to the committer.
//!
//! A reader drives its own writes: the futures of a range's requests live in the reader's task. A queue between reader
//! tasks and writer tasks was the first design; it costs two wake-ups per batch and hands every acknowledgement back
//! across tasks, only to reach the range's low-water mark. The pool is the semaphore that all of them share.

mod pass;
pub(crate) mod write;

#[cfg(test)]
pub(crate) mod collisions;
#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod lost_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
pub(crate) mod model_tests;
#[cfg(test)]
mod pace_tests;
#[cfg(test)]
mod several_tests;
#[cfg(test)]
pub(crate) mod split_tests;
#[cfg(test)]
mod standstill_tests;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
pub(crate) use pass::{piece, tally};
pub use write::Answers;

use crate::checkpoint::{CheckpointError, Ledger};
use crate::engine::pace::Steering;
use crate::engine::range::PassEnd;
use crate::engine::seam::{Source, Target};
use crate::engine::{self, Begun, Learned, Shared, Task};
use crate::event::Events;
use crate::job::{RunOutcome, Tally, Work};
use crate::rejects::Rejects;
use crate::row::{BatchLimits, BatchMode, Layout, Policy};
use crate::shutdown::{Signal, Stop};
use crate::side::{Nodes, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One table, from where to where and how.
#[derive(Debug)]
pub struct Lane<S, T> {
    /// Where it is read.
    pub source: S,
    /// Where it is written.
    pub target: T,
    /// What stands where in a row.
    pub layout: Arc<Layout>,
    /// How large a batch may be.
    pub limits: BatchLimits,
    /// What may share a batch.
    pub mode: BatchMode,
    /// What is decided for rows of which not everything can be read.
    pub policy: Policy,
    /// Whether the target has taken rows of it in an earlier run.
    pub takes_rows: bool,
}

/// How a copy ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As the checkpoint has it.
    pub outcome: RunOutcome,
    /// Ranges that failed in this run.
    pub failed: u64,
    /// Ranges that nobody claimed, because too many before them had failed.
    pub unclaimed: usize,
    /// Tables of this run that have ranges left.
    pub unfinished: BTreeSet<usize>,
    /// Where the keys of rejected rows are, where any row of the job was rejected.
    pub rejects: Option<PathBuf>,
    /// What asked it to stop, if anything did.
    pub signal: Option<Signal>,
    /// The side to which nothing got through for too long, if that is why it ended.
    pub gave_up: Option<Side>,
}

/// A lane that is copied.
#[derive(Debug)]
struct Copying<S, T> {
    lane: Lane<S, T>,
    rejects: Rejects,
    /// What its target has answered.
    answers: Answers,
}

impl<S: Source, T: Target> Task for Copying<S, T> {
    type Counts = Tally;
    type Source = S;

    const SIDES: &'static [Side] = &[Side::Source];
    /// One that is being written, and the next one.
    const PAGES: usize = 2;

    fn table(&self, _: Side) -> &S {
        &self.lane.source
    }

    fn layout(&self, _: Side) -> &Arc<Layout> {
        &self.lane.layout
    }

    fn nodes(&self, side: Side) -> Option<Nodes> {
        match side {
            Side::Source => self.lane.source.nodes(),
            Side::Target => self.lane.target.nodes(),
        }
    }

    async fn pass(shared: &Shared<Self>, learned: &Learned<Self>, begun: Begun) -> Result<PassEnd, CheckpointError> {
        pass::Pass::new(shared, learned, begun).run().await
    }
}

/// Copies `work`, range by range in its order, and reports it to `ledger`; rows that the target will never take go to `rejects`.
/// There is a lane for each table that has work, by the table's number. How it ends is told in [`engine::run`].
pub async fn run<S: Source, T: Target>(
    lanes: BTreeMap<usize, Lane<S, T>>,
    work: Vec<Work>,
    steering: impl Into<Steering>,
    ledger: Ledger,
    rejects: Rejects,
    events: Events,
    stop: Stop,
) -> Ended {
    let task = |(number, lane): (usize, Lane<S, T>)| {
        let answers = Answers::of_table(lane.takes_rows);
        (number, Copying { lane, rejects: rejects.clone(), answers })
    };
    let tasks = lanes.into_iter().map(task).collect();
    let ended = engine::run(tasks, work, steering, ledger, events.clone(), stop).await;
    let any_rejected = events.counters().rows_rejected.load(Ordering::Relaxed) > 0;
    let rejects = any_rejected.then(|| rejects.path().to_path_buf());
    let engine::Ended { outcome, failed, unclaimed, unfinished, signal, gave_up } = ended;
    Ended { outcome, failed, unclaimed, unfinished, rejects, signal, gave_up }
}
