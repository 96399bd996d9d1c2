//! The copy: readers claim ranges, scan them page by page, group the rows and write the batches through one bounded pool
//! of requests; what is acknowledged is reported to the committer.
//!
//! A reader drives its own writes: the futures of a range's requests live in the reader's task. A queue between reader
//! tasks and writer tasks was the first design; it costs two wake-ups per batch and hands every acknowledgement back
//! across tasks, only to reach the range's low-water mark. The pool is the semaphore that all of them share.

mod beside;
mod budget;
mod fetch;
pub mod pace;
pub(crate) mod page_size;
mod pass;
mod queue;
mod range;
pub mod retry;
mod scans;
pub mod seam;
mod split;
pub mod standstill;
mod watermark;
mod write;

#[cfg(test)]
mod collisions;
#[cfg(test)]
mod fakes;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod lost_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod pace_tests;
#[cfg(test)]
mod several_tests;
#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod standstill_tests;
#[cfg(test)]
mod tests;

use crate::checkpoint::{CheckpointError, Ledger};
use crate::clock::Clock;
use crate::event::Events;
use crate::job::{RunOutcome, Work};
use crate::rejects::Rejects;
use crate::row::{BatchLimits, BatchMode, Layout, Policy};
use crate::settings::Patience;
use crate::shutdown::{Signal, Stop};
use crate::side::Nodes;
use crate::side::Side;
use beside::Beside;
use budget::Budget;
use pace::{Pacer, Steering};
use page_size::PageSize;
use pass::RangeEnd;
use queue::{Claim, Queue};
use seam::{Source, Target};
use standstill::{Calls, Standstill};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::task::JoinSet;

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

/// A run of ranges of one table that failed one after another, with none done between them: something is wrong that no further
/// range of it would escape. The rest stays pending.
const FAILURES_IN_A_ROW_MAX: u64 = 16;

/// A lane, and what was learned on it in this run.
struct Learned<S, T> {
    lane: Lane<S, T>,
    page_size: PageSize,
    beside: Beside,
    failures_in_a_row: AtomicU64,
    /// Requests that its target has acknowledged.
    acknowledged: AtomicU64,
    /// Its ranges that are not done.
    left: AtomicUsize,
    /// Those for this table.
    calls: Calls,
}

impl<S, T> Learned<S, T> {
    /// Whether more of it is to be begun.
    fn is_open(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) < FAILURES_IN_A_ROW_MAX
    }
}

/// What all readers share.
struct Shared<S, T> {
    /// By the number of the table.
    lanes: BTreeMap<usize, Learned<S, T>>,
    queue: Queue,
    failed: AtomicU64,
    unclaimed: AtomicUsize,
    ledger: Ledger,
    rejects: Rejects,
    events: Events,
    stop: Stop,
    budget: Budget,
    pacer: Pacer,
    /// Readers that are at work.
    readers: AtomicUsize,
    patience: Patience,
    standstill: Arc<Standstill>,
    clock: Clock,
}

/// Copies `work`, range by range in its order, and reports it to `ledger`; rows that the target will never take go to `rejects`.
/// There is a lane for each table that has work, by the table's number.
///
/// Where the ledger takes nothing more, the outcome is [`RunOutcome::Error`], and the committer knows why. Nothing is lost
/// then; the next run carries on from what is committed.
pub async fn run<S: Source, T: Target>(
    lanes: BTreeMap<usize, Lane<S, T>>,
    work: Vec<Work>,
    steering: impl Into<Steering>,
    ledger: Ledger,
    rejects: Rejects,
    events: Events,
    stop: Stop,
) -> Ended {
    let steering: Steering = steering.into();
    let (memory, patience) = (steering.pace.memory, steering.pace.patience);
    let ranges = work.len();
    let mut left: BTreeMap<usize, usize> = BTreeMap::new();
    for work in &work {
        *left.entry(work.key.table).or_default() += 1;
    }
    let pacer = Pacer::new(steering, events.clone(), stop.clone());
    let budget = Budget::new(memory, events.counters());
    // Each reader holds a page that is being written, and the next one.
    let page_max = budget.for_pages() / (2 * pacer.readers().borrow().clamp(1, ranges.max(1)));
    let standstill = Arc::new(Standstill::new(patience.give_up_after, events.clone(), stop.clone()));
    let learned = |(table, lane)| {
        let left = left.get(&table).copied().unwrap_or_default().into();
        (
            table,
            Learned {
                lane,
                page_size: PageSize::new(page_max),
                beside: Beside::default(),
                failures_in_a_row: 0.into(),
                acknowledged: 0.into(),
                left,
                calls: Calls::of(&standstill),
            },
        )
    };
    let shared = Arc::new(Shared {
        lanes: lanes.into_iter().map(learned).collect(),
        queue: Queue::new(work),
        failed: 0.into(),
        unclaimed: 0.into(),
        ledger,
        rejects,
        pacer,
        readers: 0.into(),
        standstill,
        events,
        stop: stop.clone(),
        budget,
        patience,
        clock: Clock::start(),
    });
    let mut ledger = shared.ledger.clone();
    let mut tasks = JoinSet::new();
    let mut readers = shared.pacer.readers();
    readers.mark_changed();
    let (mut failed, mut gave_up) = (false, None);
    let mut steer = std::pin::pin!(shared.pacer.steer(|side| shared.standstill.fails(side)));
    let mut watch = std::pin::pin!(shared.standstill.watch(
        || shared.pacer.is_paused(),
        |side| shared.nodes(side),
        || shared.turn_to_others()
    ));
    loop {
        tokio::select! {
            biased;
            () = stop.immediate() => break,
            // What can't be recorded needn't be finished, and a reader that waits for its cluster would notice late.
            () = shared.ledger.gone() => { failed = true; break }
            Ok(()) = readers.changed() => {
                let wanted = (*readers.borrow_and_update()).min(ranges);
                while shared.readers.load(Ordering::Relaxed) < wanted {
                    shared.readers.fetch_add(1, Ordering::Relaxed);
                    tasks.spawn(reader(Arc::clone(&shared)));
                }
            }
            () = &mut steer => {}
            side = &mut watch, if !stop.is_requested() => gave_up = Some(side),
            ended = tasks.join_next() => match ended {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(_))) => { failed = true; shared.queue.clear(); }
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            },
            distrusted = ledger.distrusted() => {
                for (_, lane) in shared.lanes.iter().filter(|(table, _)| distrusted.contains(table)) {
                    lane.calls.stop().halt();
                }
            }
        }
    }
    tasks.shutdown().await;

    let left = |learned: &Learned<S, T>| learned.left.load(Ordering::Relaxed) > 0;
    let unfinished: BTreeSet<usize> =
        shared.lanes.iter().filter(|(_, lane)| left(lane)).map(|(table, _)| *table).collect();
    let outcome = if failed {
        RunOutcome::Error
    } else if unfinished.is_empty() {
        // Counted, not inferred: a reader that was dropped in the middle says nothing.
        RunOutcome::Done
    } else if stop.is_requested() && gave_up.is_none() {
        RunOutcome::Stopped
    } else {
        RunOutcome::Incomplete
    };
    let unclaimed = shared.unclaimed.load(Ordering::Relaxed);
    let any_rejected = shared.events.counters().rows_rejected.load(Ordering::Relaxed) > 0;
    let rejects = any_rejected.then(|| shared.rejects.path().to_path_buf());
    let failed = shared.failed.load(Ordering::Relaxed);
    Ended { outcome, failed, unclaimed, unfinished, rejects, signal: stop.signal(), gave_up }
}

/// Claims ranges until there are none left, there are too many readers, or somebody asks to stop.
async fn reader<S: Source, T: Target>(shared: Arc<Shared<S, T>>) -> Result<(), CheckpointError> {
    loop {
        shared.pacer.go_on().await;
        if shared.stop.is_requested() || shared.is_one_too_many() {
            break;
        }
        let Some((claim, learned)) = shared.claim().await else { break };
        let end = range::copy(&shared, claim).await;
        shared.queue.give_back(match &end {
            Ok(RangeEnd::Split(into)) => into,
            _ => &[],
        });
        match end? {
            RangeEnd::Done { wrote } => {
                learned.left.fetch_sub(1, Ordering::Relaxed);
                // A range without rows says nothing about the target.
                if wrote {
                    learned.failures_in_a_row.store(0, Ordering::Relaxed);
                }
            }
            RangeEnd::Split(into) => drop(learned.left.fetch_add(into.len() - 1, Ordering::Relaxed)),
            RangeEnd::Stopped => {}
            RangeEnd::Failed { own } => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                learned.failures_in_a_row.fetch_add(u64::from(!own), Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

impl<S: Source, T: Target> Shared<S, T> {
    /// Whether a reader is to go, since fewer are wanted by now.
    fn is_one_too_many(&self) -> bool {
        let wanted = *self.pacer.readers().borrow();
        let fewer = |now: usize| (now > wanted).then(|| now - 1);
        self.readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    /// The next range. Those of a table that keeps failing are passed over, and so is what has no lane.
    async fn claim(&self) -> Option<(Claim, &Learned<S, T>)> {
        let admit = |claim: &Claim| match self.lanes.get(&claim.work.key.table) {
            Some(learned) if learned.calls.stop().is_requested() => None,
            Some(learned) if learned.is_open() => Some(learned),
            _ => {
                self.unclaimed.fetch_add(1, Ordering::Relaxed);
                None
            }
        };
        self.queue.take(&self.stop, admit).await
    }

    /// Gives up the tables that fail, and says whether there are others.
    fn turn_to_others(&self) -> bool {
        for learned in self.lanes.values().filter(|learned| learned.calls.are_failing()) {
            learned.failures_in_a_row.store(FAILURES_IN_A_ROW_MAX, Ordering::Relaxed);
            learned.calls.abandon();
        }
        self.queue.any(|claim| self.lanes.get(&claim.work.key.table).is_some_and(Learned::is_open))
    }

    /// The nodes of a side: all lanes share them.
    fn nodes(&self, side: Side) -> Option<Nodes> {
        let lane = &self.lanes.values().next()?.lane;
        match side {
            Side::Source => lane.source.nodes(),
            Side::Target => lane.target.nodes(),
        }
    }
}
