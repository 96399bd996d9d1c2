//! The engine: readers claim ranges, read them page by page and patiently, split what can't be read in one go, keep to a budget of
//! memory and to a pace, and report what is done to the committer. What becomes of the rows is a [`Task`]: the copy, or the
//! verification.

mod beside;
pub(crate) mod budget;
pub(crate) mod course;
pub(crate) mod fetch;
pub mod pace;
pub(crate) mod page_size;
mod partitions;
mod queue;
pub(crate) mod range;
pub mod retry;
pub(crate) mod scans;
pub mod seam;
mod split;
pub mod standstill;
mod task;
pub(crate) mod watermark;

pub use task::{Begun, Task};

use crate::checkpoint::{CheckpointError, Ledger};
use crate::clock::Clock;
use crate::event::Events;
use crate::job::{RunOutcome, Work};
use crate::settings::Patience;
use crate::shutdown::{Signal, Stop};
use crate::side::{Nodes, Side};
use beside::Beside;
use budget::Budget;
use pace::{Pacer, Steering};
use page_size::PageSize;
use queue::{Claim, Queue};
use range::RangeEnd;
use standstill::{Calls, Standstill};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a run ended.
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
    /// What asked it to stop, if anything did.
    pub signal: Option<Signal>,
    /// The side to which nothing got through for too long, if that is why it ended.
    pub gave_up: Option<Side>,
}

/// A run of ranges of one table that failed one after another, with none done between them: something is wrong that no further
/// range of it would escape. The rest stays pending.
const FAILURES_IN_A_ROW_MAX: u64 = 16;

/// A table's task, and what was learned of the table in this run.
#[derive(Debug)]
pub struct Learned<K> {
    pub(crate) task: K,
    /// Of each of [`Task::SIDES`].
    read: Vec<Read>,
    failures_in_a_row: AtomicU64,
    /// Its ranges that are not done.
    left: AtomicUsize,
    /// Those for this table.
    pub(crate) calls: Calls,
}

/// What was learned of reading a table at one side.
#[derive(Debug)]
struct Read {
    page_size: PageSize,
    beside: Beside,
}

impl<K: Task> Learned<K> {
    /// Rows of a page of the side that leads, as far as that is learned.
    pub(crate) fn page_rows(&self) -> i32 {
        self.read[0].page_size.rows()
    }

    /// Bytes that so many rows of a side may come to, as far as that is learned, there or at the other side.
    pub(crate) fn bytes_of(&self, side: Side, rows: usize) -> usize {
        let another = K::SIDES.iter().find(|&&of| of != side);
        self.read(side).page_size.bytes_of(rows, another.map(|&side| &self.read(side).page_size))
    }

    fn read(&self, side: Side) -> &Read {
        &self.read[K::SIDES.iter().position(|&of| of == side).unwrap_or(0)]
    }
}

impl<K> Learned<K> {
    /// Whether more of it is to be begun.
    fn is_open(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) < FAILURES_IN_A_ROW_MAX
    }
}

/// What all readers share.
#[derive(Debug)]
pub struct Shared<K: Task> {
    /// By the number of the table.
    tasks: BTreeMap<usize, Learned<K>>,
    queue: Queue,
    failed: AtomicU64,
    unclaimed: AtomicUsize,
    pub(crate) ledger: Ledger<K::Counts>,
    pub(crate) events: Events,
    stop: Stop,
    pub(crate) budget: Budget,
    pub(crate) pacer: Pacer,
    /// Readers that are at work.
    readers: AtomicUsize,
    /// Those among them that read nothing more: others may take their places.
    resting: watch::Sender<usize>,
    pub(crate) patience: Patience,
    standstill: Arc<Standstill>,
    pub(crate) clock: Clock,
}

/// Does `work`, range by range in its order, and reports it to `ledger`. There is a task for each table that has work, by the
/// table's number.
///
/// Where the ledger takes nothing more, the outcome is [`RunOutcome::Error`], and the committer knows why. Nothing is lost
/// then; the next run carries on from what is committed.
pub async fn run<K: Task>(
    tasks: BTreeMap<usize, K>,
    work: Vec<Work>,
    steering: impl Into<Steering>,
    ledger: Ledger<K::Counts>,
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
    let budget = Budget::new(memory, K::SIDES.len() > 1, events.counters());
    let page_max = budget.for_pages() / (K::PAGES * pacer.readers().borrow().clamp(1, ranges.max(1)));
    let standstill = Arc::new(Standstill::new(patience.give_up_after, events.clone(), stop.clone()));
    let learned = |(table, task)| {
        let read = K::SIDES.iter().map(|_| Read { page_size: PageSize::new(page_max), beside: Beside::default() });
        let left = left.get(&table).copied().unwrap_or_default().into();
        let (read, failures_in_a_row, calls) = (read.collect(), 0.into(), Calls::of(&standstill));
        (table, Learned { task, read, failures_in_a_row, left, calls })
    };
    let shared = Arc::new(Shared {
        tasks: tasks.into_iter().map(learned).collect(),
        queue: Queue::new(work),
        failed: 0.into(),
        unclaimed: 0.into(),
        ledger,
        pacer,
        readers: 0.into(),
        resting: watch::Sender::new(0),
        standstill,
        events,
        stop: stop.clone(),
        budget,
        patience,
        clock: Clock::start(),
    });
    let mut ledger = shared.ledger.clone();
    let mut running = JoinSet::new();
    let mut readers = shared.pacer.readers();
    readers.mark_changed();
    let mut resting = shared.resting.subscribe();
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
            Ok(()) = async { tokio::select! { biased; changed = readers.changed() => changed, changed = resting.changed() => changed } } => {
                // Also where there are fewer ranges: each may be split.
                let wanted = *readers.borrow_and_update() + *resting.borrow_and_update();
                while shared.readers.load(Ordering::Relaxed) < wanted {
                    shared.readers.fetch_add(1, Ordering::Relaxed);
                    running.spawn(reader(Arc::clone(&shared)));
                }
            }
            () = &mut steer => {}
            side = &mut watch, if !stop.is_requested() => gave_up = Some(side),
            ended = running.join_next() => match ended {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(_))) => { failed = true; shared.queue.clear(); }
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            },
            distrusted = ledger.distrusted() => {
                for (_, learned) in shared.tasks.iter().filter(|(table, _)| distrusted.contains(table)) {
                    learned.calls.stop().halt();
                }
            }
        }
    }
    running.shutdown().await;

    let left = |learned: &Learned<K>| learned.left.load(Ordering::Relaxed) > 0;
    let unfinished: BTreeSet<usize> =
        shared.tasks.iter().filter(|(_, learned)| left(learned)).map(|(table, _)| *table).collect();
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
    let failed = shared.failed.load(Ordering::Relaxed);
    Ended { outcome, failed, unclaimed, unfinished, signal: stop.signal(), gave_up }
}

/// Claims ranges until there are none left, there are too many readers, or somebody asks to stop.
async fn reader<K: Task>(shared: Arc<Shared<K>>) -> Result<(), CheckpointError> {
    loop {
        shared.pacer.go_on().await;
        if shared.stop.is_requested() || shared.is_one_too_many() {
            break;
        }
        let Some((claim, learned)) = shared.claim().await else { break };
        let end = range::work(&shared, claim).await;
        match &end {
            Ok(RangeEnd::Split(into)) => shared.queue.give_back(into, true),
            Ok(RangeEnd::Again(work)) => shared.queue.give_back(std::slice::from_ref(work), false),
            _ => shared.queue.give_back(&[], false),
        }
        match end? {
            RangeEnd::Done { any_rows } => {
                learned.left.fetch_sub(1, Ordering::Relaxed);
                // A range without rows says nothing about the others.
                if any_rows {
                    learned.failures_in_a_row.store(0, Ordering::Relaxed);
                }
            }
            RangeEnd::Split(into) => drop(learned.left.fetch_add(into.len() - 1, Ordering::Relaxed)),
            RangeEnd::Again(_) | RangeEnd::Stopped => {}
            RangeEnd::Failed { own } => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                learned.failures_in_a_row.fetch_add(u64::from(!own), Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// A reader that reads nothing more of its range, and has let another one take its place, until this is dropped.
#[derive(Debug)]
pub(crate) struct Resting<'a>(&'a watch::Sender<usize>);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|resting| *resting -= 1);
    }
}

/// No more readers rest at the same time.
const RESTING_MAX: usize = 256;

impl<K: Task> Shared<K> {
    /// Lets another reader begin, while this one waits for something else than rows.
    pub(crate) fn rest(&self) -> Option<Resting<'_>> {
        let one_more = |resting: &mut usize| {
            let may = *resting < RESTING_MAX;
            *resting += usize::from(may);
            may
        };
        self.resting.send_if_modified(one_more).then(|| Resting(&self.resting))
    }

    /// Whether a reader is to go, since fewer are wanted by now.
    fn is_one_too_many(&self) -> bool {
        let wanted = *self.pacer.readers().borrow() + *self.resting.borrow();
        let fewer = |now: usize| (now > wanted).then(|| now - 1);
        self.readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    /// The next range. Those of a table that keeps failing are passed over, and so is what has no task.
    async fn claim(&self) -> Option<(Claim, &Learned<K>)> {
        let admit = |claim: &Claim| match self.tasks.get(&claim.work.key.table) {
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
        for learned in self.tasks.values().filter(|learned| learned.calls.are_failing()) {
            learned.failures_in_a_row.store(FAILURES_IN_A_ROW_MAX, Ordering::Relaxed);
            learned.calls.abandon();
        }
        self.queue.any(|claim| self.tasks.get(&claim.work.key.table).is_some_and(Learned::is_open))
    }

    /// The nodes of a side: all tables share them.
    fn nodes(&self, side: Side) -> Option<Nodes> {
        self.tasks.values().next()?.task.nodes(side)
    }
}
