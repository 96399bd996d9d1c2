//! Source, target, disk, guard and operator of one run, as its plan has them. All that is left to chance is drawn from the
//! thread's own generator, which is seeded for each run.

use super::case::{Act, Crash, Plan, Weather};
use super::check;
use crate::call::{CallError, Class};
use crate::checkpoint::Guard;
use crate::clock::Clock;
use crate::copy::fakes::{Key, MemorySource, MemoryTarget, Rows, Store};
use crate::engine::seam::{Fetched, Partitions, Placement, Read, Scan, Slice, Source, Target};
use crate::event::{Event, Events};
use crate::job::Cursor;
use crate::ring::{Token, TokenRange};
use crate::row::slice::Cut;
use crate::row::{Batch, Removal, Settled};
use crate::settings::live::Live;
use crate::shutdown::{Signal, Stop};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What everybody in a run knows.
pub(crate) struct World {
    /// What is at the source.
    pub(crate) rows: Rows,
    pub(crate) store: Store,
    pub(crate) rejects: PathBuf,
    /// Instants so far, and the one to die at.
    instants: AtomicU64,
    crash_at: u64,
    /// Nothing has any effect any more: the process is dead.
    pub(crate) dead: Arc<AtomicBool>,
    distrusted: AtomicBool,
    /// The first law that was broken.
    pub(crate) violation: Mutex<Option<String>>,
    /// All events, in their order.
    pub(crate) trace: Mutex<DefaultHasher>,
    /// Tokens of which rows may have been counted more than once: see [`check::accounts`].
    pub(crate) read_again: Mutex<BTreeSet<Token>>,
}

impl World {
    pub(crate) fn new(rows: &Rows, store: &Store, rejects: PathBuf, plan: &Plan) -> Arc<World> {
        let crash_at = if let Some(Crash::Instant(n)) = plan.crash { n } else { u64::MAX };
        Arc::new(World {
            rows: rows.clone(),
            store: store.clone(),
            rejects,
            instants: 0.into(),
            crash_at,
            dead: Arc::default(),
            distrusted: false.into(),
            violation: Mutex::default(),
            trace: Mutex::default(),
            read_again: Mutex::default(),
        })
    }

    pub(crate) fn instants(&self) -> u64 {
        self.instants.load(Ordering::Relaxed)
    }

    /// One instant more. Nobody who passes one after the crash gets any further.
    pub(crate) fn instant(&self) {
        if self.instants.fetch_add(1, Ordering::Relaxed) + 1 >= self.crash_at || self.is_dead() {
            self.dead.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("crash"));
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Relaxed)
    }

    pub(crate) fn blame(&self, violation: String) {
        self.violation.lock().expect("not poisoned").get_or_insert(violation);
    }

    /// Checks the laws whenever something is said to be durable.
    pub(crate) fn events(self: &Arc<World>) -> Events {
        let world = Arc::clone(self);
        Events::to(move |event| {
            let done = match event {
                Event::RangeDone { key, .. } => Some(key.range),
                Event::RangeMoved { key, cursor, .. } => {
                    cursor.and_then(|cursor| TokenRange::new(key.range.first(), cursor))
                }
                _ => None,
            };
            let is_progress =
                matches!(event, Event::RangeDone { .. } | Event::RangeMoved { .. } | Event::RangeSplit { .. });
            if is_progress && world.distrusted.load(Ordering::Relaxed) {
                world.blame(format!("progress of a distrusted table was committed: {event:?}"));
            }
            if let Some(range) = done
                && let Err(violation) = check::arrived(&world, |key| range.contains(key.0))
            {
                world.blame(format!("{violation}, at {event:?}"));
            }
            // Some tell what time it is on the real clock, or how long something took on it.
            if !matches!(event, Event::Committed { .. } | Event::Difference(_) | Event::Mended(_)) {
                format!("{event:?}").hash(&mut *world.trace.lock().expect("not poisoned"));
            }
            world.instant();
        })
    }
}

impl Weather {
    /// What becomes of a call that takes its time: the class of a failure, if it is one.
    pub(crate) async fn meet(&self, number: u64) -> Option<Class> {
        if fastrand::u32(..1000) < self.slow {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..=self.slow_ms))).await;
        } else {
            for _ in 0..fastrand::u8(..6) {
                tokio::task::yield_now().await;
            }
        }
        let is_out = self.outage.is_some_and(|(from, calls)| (from..from + calls).contains(&number));
        (is_out || fastrand::u32(..1000) < self.failing).then(|| fastrand::choice(&self.classes).copied())?
    }
}

pub(crate) fn forged(class: Class) -> CallError {
    CallError { class, message: "forged".to_owned() }
}

/// The table at the source.
pub(crate) struct ModelSource {
    pub(crate) world: Arc<World>,
    pub(crate) inner: MemorySource,
    pub(crate) weather: Weather,
    pub(crate) calls: AtomicU64,
}

impl ModelSource {
    async fn answer(&self, read: &Read) -> Result<Fetched, CallError> {
        self.world.instant();
        if let Some(class) = self.weather.meet(self.calls.fetch_add(1, Ordering::Relaxed)).await {
            return Err(forged(class));
        }
        // Servers may answer less than they are asked for: nothing at all, too.
        let rows = if fastrand::u8(..4) == 0 { fastrand::i32(0..=read.rows) } else { read.rows };
        let fetched = self.inner.read_page(&Read { rows, ..read.clone() }).await;
        self.world.instant();
        fetched
    }
}

impl Source for ModelSource {
    async fn read_page(&self, read: &Read) -> Result<Fetched, CallError> {
        let fetched = self.answer(read).await;
        let again = match &read.scan {
            Scan::Tokens(_) => false,
            Scan::Slice(Slice { of, reversed, .. }) => *reversed || matches!(of, Partitions::All(_)),
            Scan::FirstRows(_) | Scan::FirstRowsOf(_) => fetched.is_err(),
        };
        if again {
            self.world.read_again.lock().expect("not poisoned").insert(read.scan.range().first());
        }
        fetched
    }

    fn bisect(&self, slice: &Slice) -> Option<Cut> {
        self.inner.bisect(slice)
    }

    fn has_statics(&self) -> bool {
        self.inner.has_statics()
    }

    fn describe(&self, scan: &Scan) -> String {
        self.inner.describe(scan)
    }

    fn remedy(&self, range: TokenRange) -> String {
        self.inner.remedy(range)
    }
}

/// The table at the target.
pub(crate) struct ModelTarget {
    pub(crate) world: Arc<World>,
    pub(crate) inner: MemoryTarget,
    pub(crate) weather: Weather,
    pub(crate) calls: AtomicU64,
}

impl Target for ModelTarget {
    async fn ready(&self, batch: &Batch, tries: u32) {
        self.inner.ready(batch, tries).await;
    }

    async fn write(&self, batch: &Batch, clock: Clock, tries: u32) -> Result<Settled, CallError> {
        self.world.instant();
        let failure = self.weather.meet(self.calls.fetch_add(1, Ordering::Relaxed)).await;
        let written = match (failure, fastrand::u8(..3), batch.halves()) {
            (Some(_), 0, _) => None,
            // A batch isn't written as one.
            (Some(_), 1, Some([half, _])) => Some(self.inner.write(&half, clock, tries).await),
            _ => Some(self.inner.write(batch, clock, tries).await),
        };
        self.world.instant();
        // Its answer takes a while, too.
        for _ in 0..fastrand::u8(..4) {
            tokio::task::yield_now().await;
        }
        match (failure, written) {
            (None, Some(written)) => written,
            (failure, _) => Err(forged(failure.unwrap_or(Class::Other))),
        }
    }

    async fn delete(&self, removal: &Removal) -> Result<(), CallError> {
        self.world.instant();
        let failure = self.weather.meet(self.calls.fetch_add(1, Ordering::Relaxed)).await;
        if failure.is_none() || fastrand::bool() {
            self.inner.delete(removal).await?;
        }
        self.world.instant();
        failure.map_or(Ok(()), |class| Err(forged(class)))
    }

    fn in_flight(&self, batch: &Batch) -> usize {
        self.inner.in_flight(batch)
    }

    async fn is_unchanged(&self) -> Result<bool, CallError> {
        self.inner.is_unchanged().await
    }

    fn placement(&self) -> Option<Arc<dyn Placement>> {
        self.inner.placement()
    }
}

/// Objects from a look on.
pub(crate) struct ModelGuard {
    pub(crate) world: Arc<World>,
    pub(crate) from: Option<usize>,
    pub(crate) looks: usize,
    pub(crate) takes_ms: u64,
}

impl Guard for ModelGuard {
    async fn look(&mut self, _: &BTreeSet<usize>, _: bool) -> BTreeSet<usize> {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..=self.takes_ms))).await;
        self.world.instant();
        self.looks += 1;
        if self.from.is_none_or(|from| self.looks <= from) {
            return BTreeSet::new();
        }
        self.world.distrusted.store(true, Ordering::Relaxed);
        BTreeSet::from([0])
    }
}

/// Does what the operator is to do, and then nothing for ever.
pub(crate) async fn operate(plan: &Plan, live: watch::Sender<Live>, stop: &Stop) {
    for (ms, act) in &plan.acts {
        tokio::time::sleep(Duration::from_millis(*ms)).await;
        match act {
            Act::Pause => live.send_modify(|live| live.paused = true),
            Act::Continue => live.send_modify(|live| live.paused = false),
            Act::Set(key, value) => live.send_modify(|live| match value {
                Some(value) => drop(live.values.insert(*key, value.clone())),
                None => drop(live.values.remove(key)),
            }),
            Act::Drain => stop.drain(Signal::Interrupt),
            Act::SecondSignal => stop.now(),
        }
    }
    std::future::pending::<()>().await;
}

/// Whether a row is up to a cursor of the range that it lies in.
pub(crate) fn is_below(key: &Key, range: TokenRange, cursor: &Cursor) -> bool {
    let is_done = range.after(cursor.token).is_none_or(|rest| !rest.contains(key.0));
    let is_up_to = |row: &crate::row::RowKey| {
        let clustering = row.clustering_key().unwrap_or_default();
        (key.0, &key.1, key.2.as_slice()) <= (row.token(), &row.partition_key()[0], clustering.concat().as_slice())
    };
    is_done || cursor.row.as_ref().is_some_and(is_up_to)
}
