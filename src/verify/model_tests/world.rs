//! Both sides of one run, and the applications that write to them meanwhile.

use super::case::{Case, Change};
use super::spec::{Row, seen};
use crate::call::CallError;
use crate::clock::Clock;
use crate::copy::fakes::{Key, MemorySource, Rows, Store, Stored, TargetRow};
use crate::copy::model_tests::case::Weather;
use crate::copy::model_tests::world::{World, forged};
use crate::engine::seam::{Fetched, Read, Scan, Slice, Source};
use crate::ring::TokenRange;
use crate::row::slice::Cut;
use crate::row::token_of;
use crate::side::Side;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// What both sides have.
#[derive(Clone, Default)]
pub(super) struct Sides {
    pub(super) source: Store,
    pub(super) target: Store,
}

impl Sides {
    /// As a case begins, at this time.
    pub(super) fn of(case: &Case, now: i64) -> Sides {
        let sides = Sides::default();
        for key in case.keys() {
            if let Some(row) = case.source.rows.get(key) {
                sides.put(Side::Source, key, Some(row), now);
            }
            if let Some(row) = case.at_target(key) {
                sides.put(Side::Target, key, Some(row), now);
            }
        }
        for (key, at) in &case.deleted {
            let mut store = sides.target.0.lock().expect("not poisoned");
            store.entry((key.1.clone(), key.2.clone())).or_default().deleted = Some(*at);
        }
        sides
    }

    pub(super) fn at(&self, side: Side) -> &Store {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Makes a row what it is to be.
    pub(super) fn put(&self, side: Side, key: &Key, row: Option<&Row>, now: i64) {
        let mut store = self.at(side).0.lock().expect("not poisoned");
        let key = (key.1.clone(), key.2.clone());
        match row {
            None => drop(store.remove(&key)),
            Some(row) => drop(store.insert(key, stored(row, now))),
        }
    }

    /// The rows of a side as a client sees them.
    pub(super) fn rows(&self, side: Side, now: i64) -> Rows {
        visible(&self.at(side).0.lock().expect("not poisoned"), TokenRange::RING, now)
    }
}

fn stored(row: &Row, now: i64) -> TargetRow {
    let cells = row.clone().map(|cell| {
        let (value, writetime, ttl) = cell?;
        Some((value, writetime, if ttl == 0 { 0 } else { now + i64::from(ttl) }))
    });
    let alive = || cells.iter().flatten();
    let expiry = if alive().any(|cell| cell.2 == 0) { None } else { alive().map(|cell| cell.2).max() };
    let marker = Some((alive().map(|cell| cell.1).min().unwrap_or(1), expiry.unwrap_or(0)));
    TargetRow { cells, marker, deleted: None }
}

fn visible(store: &Stored, range: TokenRange, now: i64) -> Rows {
    let mut partition = None;
    let of_range = store.iter().filter_map(|((key, clustering), row)| {
        let (_, token) = match partition {
            Some((known, token)) if known == key => (key, token),
            _ => *partition.insert((key, token_of([key.as_slice()].into_iter()))),
        };
        let row = range.contains(token).then(|| seen(row, now))??;
        Some(((token, key.clone(), clustering.clone()), row))
    });
    of_range.collect()
}

/// One side.
pub(super) struct ModelSide {
    pub(super) world: Arc<World>,
    pub(super) store: Store,
    /// Its troubles; it has no rows of its own.
    pub(super) inner: MemorySource,
    /// The same, as it is for those who come from behind.
    pub(super) from_behind: MemorySource,
    pub(super) weather: Weather,
    pub(super) calls: AtomicU64,
    pub(super) clock: Clock,
}

impl Source for ModelSide {
    async fn read_page(&self, read: &Read) -> Result<Fetched, CallError> {
        self.world.instant();
        if let Some(class) = self.weather.meet(self.calls.fetch_add(1, Ordering::Relaxed)).await {
            return Err(forged(class));
        }
        // Servers may answer less than they are asked for: nothing at all, too.
        let rows = if fastrand::u8(..4) == 0 { fastrand::i32(0..=read.rows) } else { read.rows };
        let read = Read { rows, ..read.clone() };
        let is_from_behind = matches!(&read.scan, Scan::Slice(slice) if slice.reversed);
        let inner = if is_from_behind { &self.from_behind } else { &self.inner };
        let number = inner.meet_trouble(&read).await?;
        let rows = {
            let store = self.store.0.lock().expect("not poisoned");
            visible(&store, read.scan.range(), self.clock.seconds())
        };
        let fetched = inner.page(&rows, &read, number);
        self.world.instant();
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

/// Applications that write during a run.
pub(super) struct Applications<'a> {
    sides: &'a Sides,
    now: i64,
    /// When which change takes effect at which side, in milliseconds.
    halves: Vec<(u64, Side, &'a Change)>,
    /// How many of them did.
    done: Mutex<usize>,
}

impl<'a> Applications<'a> {
    pub(super) fn new(case: &'a Case, run: usize, sides: &'a Sides, now: i64) -> Applications<'a> {
        let of_run = case.changes.iter().filter(|change| change.run == run);
        let both = of_run.flat_map(|change| {
            let second = if change.first == Side::Source { Side::Target } else { Side::Source };
            [(change.at_ms, change.first, change), (change.at_ms + change.lag_ms, second, change)]
        });
        let mut halves: Vec<_> = both.collect();
        halves.sort_by_key(|(at, ..)| *at);
        Applications { sides, now, halves, done: 0.into() }
    }

    /// Writes, and then nothing more for ever.
    pub(super) async fn write(&self) {
        let started = Instant::now();
        for (at, side, change) in &self.halves {
            tokio::time::sleep_until(started + Duration::from_millis(*at)).await;
            self.sides.put(*side, &change.key, change.into.as_ref(), self.now);
            *self.done.lock().expect("not poisoned") += 1;
        }
        std::future::pending::<()>().await;
    }

    /// After the run, however it ended: what one side has got the other one gets, too.
    pub(super) fn finish(self) {
        let done = self.done.into_inner().expect("not poisoned");
        let begun: BTreeSet<&Key> = self.halves[..done].iter().map(|(_, _, change)| &change.key).collect();
        for (_, side, change) in self.halves[done..].iter().filter(|(_, _, change)| begun.contains(&change.key)) {
            self.sides.put(*side, &change.key, change.into.as_ref(), self.now);
        }
    }
}
