//! The copy between memory and memory: every instant of a crash, every order of acknowledgements.

use super::fakes::{MemorySource, MemoryTarget, Rows, Store, TargetRow, Written, layout, sample_rows};
use super::{Ended, Lane, run};
use crate::call::Class;
use crate::checkpoint::{self, Checkpoint, CheckpointError, Committer, status};
use crate::engine::pace::Steering;
use crate::event::{Event, Events};
use crate::job::{Admitted, Job, JobTable, RunCommand, RunOutcome, Work};
use crate::rejects::Rejects;
use crate::ring::{Token, TokenRange, tile};
use crate::row::{BatchLimits, BatchMode, Policy, RowKey};
use crate::schema::TableName;
use crate::settings::{Pace, Patience};
use crate::shutdown::{Signal, Stop};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

const UNKNOWN: i64 = 1;

fn limits() -> BatchLimits {
    BatchLimits { rows_max: 10, bytes_max: 400, partition_bytes_max: 600 }
}

pub(super) fn pace() -> Pace {
    Pace {
        readers: 3,
        writers: 4,
        memory: 256 << 20,
        patience: Patience::of(Duration::from_secs(60)),
        ..Pace::default()
    }
}

pub(super) fn lane(source: MemorySource, target: MemoryTarget) -> Lane<MemorySource, MemoryTarget> {
    Lane {
        source,
        target,
        layout: layout(),
        limits: limits(),
        mode: BatchMode::Auto,
        policy: Policy::default(),
        takes_rows: false,
    }
}

pub(crate) fn job() -> Job {
    let name = TableName { keyspace: "ks".to_owned(), table: "t".to_owned() };
    let table = JobTable {
        source: name.clone(),
        target: name,
        admitted: Some(Admitted {
            source_id: Uuid::from_u128(1),
            target_id: Uuid::from_u128(2),
            columns: String::new(),
            source_readded: String::new(),
            target_truncations: BTreeMap::new(),
        }),
        broken: None,
    };
    Job { identity: vec![], tables: vec![table] }
}

pub(super) struct Scene {
    pub(super) folder: TempDir,
    store: Store,
    pub(super) rows: Rows,
}

impl Scene {
    pub(super) fn new(rows: usize, ranges: usize) -> Scene {
        Scene::of(sample_rows(rows), ranges)
    }

    pub(super) fn of(rows: Rows, ranges: usize) -> Scene {
        let middle = rows.len() / 2;
        Scene::around(rows, middle, ranges)
    }

    /// With a range for the token of the `row`-th row alone.
    pub(super) fn around(rows: Rows, row: usize, ranges: usize) -> Scene {
        // One of the ranges holds a single token, that of some row: both of its borders are borders of a partition.
        let of_row = rows.keys().nth(row).map_or(Token(0), |key| key.0);
        Scene::with(rows, tile(&[of_row, Token(of_row.0 - 1)], ranges))
    }

    pub(super) fn with(rows: Rows, ranges: Vec<TokenRange>) -> Scene {
        let scene = Scene { folder: tempfile::tempdir().expect("a folder"), store: Store::default(), rows };
        let existing = checkpoint::Existing::Keep;
        checkpoint::create(checkpoint::reserve(&scene.path()).expect("free"), &job(), &[ranges], existing)
            .expect("created")
            .0
            .close()
            .expect("closed");
        scene
    }

    pub(super) fn rows_at_the_target(&self) -> usize {
        self.store.0.lock().expect("not poisoned").len()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("migrate.db")
    }

    pub(super) fn source(&self) -> MemorySource {
        MemorySource { page_rows: 13, ..MemorySource::new(self.rows.clone()) }
    }

    pub(super) fn target(&self) -> MemoryTarget {
        MemoryTarget::new(&self.store)
    }

    pub(super) async fn copy(
        &self,
        source: MemorySource,
        target: MemoryTarget,
        events: Events,
        stop: Stop,
    ) -> Result<Ended, CheckpointError> {
        copy(open(&self.path()), lane(source, target), pace(), events, stop).await
    }

    /// What a copy must come to: last write wins, so a marker or a cell is what the row's own statements say.
    pub(super) fn assert_equal(&self) {
        let found = self.store.0.lock().expect("not poisoned");
        assert_eq!(found.len(), self.rows.len(), "rows");
        for ((_, partition, clustering), cells) in &self.rows {
            let row = found.get(&(partition.clone(), clustering.clone())).expect("the row is there");
            for (source, target) in cells.iter().zip(&row.cells) {
                match (source, target) {
                    (None, None) => {}
                    (Some((value, writetime, ttl)), Some((written, at, expiry))) => {
                        assert_eq!((value, writetime), (written, at));
                        assert_eq!(*ttl == 0, *expiry == 0, "permanent stays permanent");
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(row.marker.map(|marker| (marker.0, marker.1 != 0)), Some(expected_marker(cells)), "{cells:?}");
        }
    }

    pub(super) fn status(&self) -> status::Status {
        status::read(&self.path()).expect("readable")
    }
}

/// The inferred marker: its writetime, and whether it expires.
pub(super) fn expected_marker(cells: &[Option<super::fakes::Cell>; 2]) -> (i64, bool) {
    let alive: Vec<_> = cells.iter().flatten().collect();
    let permanent = alive.iter().filter(|cell| cell.2 == 0).map(|cell| cell.1).min();
    match (permanent, alive.iter().min_by_key(|cell| cell.1)) {
        (Some(writetime), _) => (writetime, false),
        (None, Some(oldest)) => (oldest.1, true),
        (None, None) => (UNKNOWN, false),
    }
}

pub(super) fn open(path: &Path) -> Checkpoint {
    checkpoint::open(path).expect("opens")
}

pub(super) async fn copy(
    mut checkpoint: Checkpoint,
    lane: Lane<MemorySource, MemoryTarget>,
    pace: impl Into<Steering>,
    events: Events,
    stop: Stop,
) -> Result<Ended, CheckpointError> {
    let (_, work) = checkpoint.work()?;
    checkpoint.begin_run(RunCommand::Copy, checkpoint::stored::LEVELS)?;
    let rejects = rejects(&checkpoint);
    let committer = Committer::start(checkpoint, events.clone());
    let ended = run(BTreeMap::from([(0, lane)]), work, pace, committer.ledger(), rejects, events.clone(), stop).await;
    committer.finish(ended.outcome, events.counters().retries.load(Ordering::Relaxed), vec![]).await?;
    Ok(ended)
}

pub(crate) fn rejects(checkpoint: &Checkpoint) -> Rejects {
    let table = crate::schema::tests::table(&[("k", "pk0 bigint"), ("c", "ck0 bigint")]);
    Rejects::beside(checkpoint.path(), (0..2).map(|number| (number, (&table, &table.name))))
}

pub(super) fn assert_accounts_close(status: &status::Status, rows: u64) {
    let tally = status.counts.tally;
    assert_eq!(tally.rows_read, tally.rows_written + tally.rows_expired + tally.rows_rejected);
    assert_eq!(tally.rows_read, rows, "each row is counted once, however often it was copied");
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

#[test]
fn a_copy_is_exact() {
    let scene = Scene::new(500, 9);
    let ended = runtime()
        .block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default()))
        .expect("copied");
    assert_eq!(ended.outcome, RunOutcome::Done);
    scene.assert_equal();
    assert_accounts_close(&scene.status(), 500);
    let key_only = scene.rows.values().filter(|cells| cells.iter().all(Option::is_none)).count() as u64;
    assert_eq!(scene.status().counts.tally.rows_key_only, key_only, "what has the unknown timestamp is counted");
    assert_eq!(scene.status().state, status::State::Done);
}

#[test]
fn acks_in_any_order_and_every_batch_mode_are_exact() {
    for mode in [BatchMode::Auto, BatchMode::Partition, BatchMode::Replicas, BatchMode::None] {
        let scene = Scene::new(300, 5);
        let target = MemoryTarget { reorder: true, ..scene.target() };
        let lane = Lane { mode, ..lane(scene.source(), target) };
        let copied = copy(open(&scene.path()), lane, pace(), Events::none(), Stop::default());
        runtime().block_on(copied).expect("copied");
        scene.assert_equal();
        assert_accounts_close(&scene.status(), 300);
    }
}

#[test]
fn an_empty_page_with_more_to_come_is_not_the_end() {
    let scene = Scene::new(300, 3);
    let source = MemorySource { empty_every: 2, ..scene.source() };
    runtime().block_on(scene.copy(source, scene.target(), Events::none(), Stop::default())).expect("copied");
    scene.assert_equal();
}

#[test]
fn failing_calls_are_repeated_until_they_succeed() {
    let scene = Scene::new(300, 3);
    let source = MemorySource { fail_every: Some((3, Class::Timeout)), ..scene.source() };
    let target = scene.target();
    let failures =
        [Class::Timeout, Class::Overloaded, Class::Connection, Class::Unavailable, Class::Failure, Class::Other];
    target.failures.lock().expect("not poisoned").extend(failures.iter().cycle().take(60));
    let events = Events::none();
    let ended = runtime().block_on(scene.copy(source, target, events.clone(), Stop::default())).expect("copied");
    assert_eq!(ended.outcome, RunOutcome::Done, "{:?}", scene.status().failures);
    assert!(events.counters().retries.load(Ordering::Relaxed) > 60);
    scene.assert_equal();
    assert_accounts_close(&scene.status(), 300);
}

#[test]
fn a_row_that_is_refused_is_rejected_and_no_other() {
    let scene = Scene::new(300, 8);
    let (_, partition, poisoned) = scene.rows.keys().nth(150).expect("there is one").clone();
    let target = MemoryTarget { poison: [poisoned.clone()].into(), ..scene.target() };
    let ended = runtime().block_on(scene.copy(scene.source(), target, Events::none(), Stop::default())).expect("ran");
    assert_eq!((ended.outcome, ended.failed), (RunOutcome::Done, 0));
    assert_accounts_close(&scene.status(), 300);
    assert_eq!(scene.status().counts.tally.rows_rejected, 1);
    assert_eq!(scene.store.0.lock().expect("not poisoned").len(), 299);

    let file = ended.rejects.expect("a row was rejected");
    let line: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("is there")).expect("one line");
    let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().expect("eight bytes")).to_string();
    assert_eq!(line["key"], serde_json::json!({ "k": number(&partition), "c": number(&poisoned) }));
    assert_eq!((line["table"].as_str(), line["reason"].as_str()), (Some("ks.t"), Some("rejected: poison")));
    assert_eq!(std::fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_row_that_fails_at_the_replicas_is_rejected_where_others_get_through() {
    for poison_class in [Class::Failure, Class::Other] {
        let scene = Scene::new(3000, 8);
        let poisoned = scene.rows.keys().nth(5).expect("there is one").2.clone();
        let delay = Duration::from_millis(500);
        let target = MemoryTarget { poison: [poisoned].into(), poison_class, delay, ..scene.target() };
        let ended =
            runtime().block_on(scene.copy(scene.source(), target, Events::none(), Stop::default())).expect("ran");
        assert_eq!(
            (ended.outcome, ended.failed, ended.rejects.is_some()),
            (RunOutcome::Done, 0, true),
            "{poison_class:?}"
        );
        assert_accounts_close(&scene.status(), 3000);
        assert_eq!(scene.status().counts.tally.rows_rejected, 1);
    }
}

#[test]
fn no_row_is_to_blame_where_all_fail() {
    let scene = Scene::new(100, 4);
    let target = scene.target();
    target.failures.lock().expect("not poisoned").extend(std::iter::repeat_n(Class::Failure, 100_000));
    let ended = runtime().block_on(scene.copy(scene.source(), target, Events::none(), Stop::default())).expect("ran");
    assert_eq!((ended.outcome, ended.rejects), (RunOutcome::Incomplete, None));
    assert_eq!(scene.status().counts.tally.rows_rejected, 0);
}

#[test]
fn no_row_is_to_blame_where_all_are_refused() {
    let scene = Scene::new(3000, 8);
    let target = scene.target();
    target.failures.lock().expect("not poisoned").extend(std::iter::repeat_n(Class::Rejected, 100_000));
    let ended = runtime().block_on(scene.copy(scene.source(), target, Events::none(), Stop::default())).expect("ran");
    assert_eq!(ended.outcome, RunOutcome::Incomplete);
    let status = scene.status();
    assert!(status.failures[0].error.contains("so were 100 rows before it"), "{:?}", status.failures);
    assert!(status.counts.tally.rows_rejected <= 100, "{:?}", status.counts.tally);

    let ended =
        runtime().block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default())).expect("ran");
    assert_eq!(ended.outcome, RunOutcome::Done, "the same job tries the failed ranges again");
    let status = scene.status();
    assert_accounts_close(&status, 3000);
    let stored = scene.store.0.lock().expect("not poisoned").len() as u64;
    assert_eq!(stored, 3000 - status.counts.tally.rows_rejected);
}

#[test]
fn many_rows_are_refused_where_others_are_taken() {
    let scene = Scene::new(3000, 8);
    let poison = scene.rows.keys().step_by(3).map(|key| key.2.clone()).collect();
    let target = MemoryTarget { poison, ..scene.target() };
    let ended = runtime().block_on(scene.copy(scene.source(), target, Events::none(), Stop::default())).expect("ran");
    assert_eq!((ended.outcome, ended.failed), (RunOutcome::Done, 0));
    assert_accounts_close(&scene.status(), 3000);
    assert_eq!(scene.status().counts.tally.rows_rejected, 1000);
}

#[test]
fn a_table_that_is_another_one_rejects_nothing() {
    let scene = Scene::new(300, 8);
    let poisoned = scene.rows.keys().nth(150).expect("there is one").2.clone();
    let target = MemoryTarget { poison: [poisoned].into(), unchanged: false, ..scene.target() };
    let ended = runtime().block_on(scene.copy(scene.source(), target, Events::none(), Stop::default())).expect("ran");
    assert_eq!((ended.outcome, ended.failed, ended.rejects), (RunOutcome::Incomplete, 1, None));
    let status = scene.status();
    assert_eq!(status.counts.ranges_done + 1, status.counts.ranges);
    assert!(status.failures[0].error.contains("changed or dropped"), "{:?}", status.failures);

    let ended =
        runtime().block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default())).expect("ran");
    assert_eq!(ended.outcome, RunOutcome::Done, "the same job tries the failed range again");
    scene.assert_equal();
    assert_accounts_close(&scene.status(), 300);
}

#[test]
fn the_writer_pool_is_bounded() {
    let scene = Scene::new(600, 12);
    let target = MemoryTarget { delay: Duration::from_millis(5), ..scene.target() };
    let events = Events::none();
    let mut highest = 0;
    runtime().block_on(async {
        let pace = Pace { readers: 8, ..pace() };
        let counters = Arc::clone(events.counters());
        let copied = copy(open(&scene.path()), lane(scene.source(), target), pace, events, Stop::default());
        let watch = async {
            loop {
                highest = highest.max(counters.in_flight.load(Ordering::Relaxed));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! { ended = copied => drop(ended.expect("copied")), () = watch => {} }
    });
    assert_eq!(highest, 4, "as many as allowed, and no more");
    scene.assert_equal();
}

#[test]
fn draining_saves_what_is_acknowledged() {
    let scene = Scene::new(600, 12);
    let stop = Stop::default();
    let asked = stop.clone();
    let events = Events::to(move |event| {
        if matches!(event, Event::RangeDone { .. }) {
            asked.drain(Signal::Interrupt);
        }
    });
    let target = MemoryTarget { delay: Duration::from_millis(30), ..scene.target() };
    let ended = runtime().block_on(scene.copy(scene.source(), target, events.clone(), stop)).expect("ran");
    assert_eq!((ended.outcome, ended.signal), (RunOutcome::Stopped, Some(Signal::Interrupt)));
    let saved = scene.status().counts.tally.rows_written;
    let written = events.counters().rows_written.load(Ordering::Relaxed);
    // Only the partitions that were open at a cursor are written and not saved.
    assert!(saved > 0 && saved <= written && written - saved < 40 * 3, "{saved} of {written}");
    runtime().block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default())).expect("ran");
    scene.assert_equal();
    assert_accounts_close(&scene.status(), 600);
}

#[test]
fn a_second_signal_is_never_taken_for_the_end() {
    // As many readers as ranges: nothing is left to claim when the signals come.
    let scene = Scene::new(300, 3);
    let target = MemoryTarget { delay: Duration::from_secs(5), ..scene.target() };
    let stop = Stop::default();
    let asked = stop.clone();
    let events = Events::to(move |event| {
        if matches!(event, Event::PageRead { .. }) {
            asked.drain(Signal::Terminate);
            asked.now();
        }
    });
    let pace = Pace { readers: 20, ..pace() };
    let copied = copy(open(&scene.path()), lane(scene.source(), target), pace, events, stop);
    let ended = runtime().block_on(copied).expect("ran");
    assert_eq!((ended.outcome, ended.signal), (RunOutcome::Stopped, Some(Signal::Terminate)));
    assert_eq!(scene.status().state, status::State::Stopped);
    runtime().block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default())).expect("ran");
    scene.assert_equal();
}

/// Stops the world at the n-th event, of whatever kind, for every n: after a page, after an acknowledgement and before its
/// commit, right after a commit. Then a new run carries on, and the result is the same as without the crash.
#[test]
fn a_crash_after_any_event_changes_nothing() {
    let rows = 120;
    let whole = Scene::new(rows, 3);
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let events = Events::to(move |_| drop(counted.fetch_add(1, Ordering::Relaxed).to_string()));
    runtime().block_on(whole.copy(whole.source(), whole.target(), events, Stop::default())).expect("copied");
    let total = count.load(Ordering::Relaxed);
    assert!(total > 40, "there are enough instants: {total}");

    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for n in 1..=total {
        let scene = Scene::new(rows, 3);
        let dead = Arc::new(AtomicBool::new(false));
        let at = crash(&scene, scene.source(), n, &dead).expect("it did crash");
        *kinds.entry(at.clone()).or_default() += 1;
        // What is committed must be acknowledged: each row below a cursor is at the target, before the next run begins.
        assert_committed_rows_are_written(&scene, &at);
        let ended = runtime().block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default()));
        assert_eq!(ended.expect("resumed").outcome, RunOutcome::Done, "after a crash at event {n}, {at}");
        scene.assert_equal();
        assert_accounts_close(&scene.status(), rows as u64);
    }
    for kind in ["page_read", "batch_written", "range_claimed", "range_done", "committed"] {
        assert!(kinds.contains_key(kind), "no crash after {kind}: {kinds:?}");
    }
}

/// Runs until the n-th event and then no step further; names the event, if there are as many.
pub(super) fn crash(scene: &Scene, source: MemorySource, n: u64, dead: &Arc<AtomicBool>) -> Option<String> {
    let seen = AtomicU64::new(0);
    let (name, named) = std::sync::mpsc::channel();
    let killed = Arc::clone(dead);
    let events = Events::to(move |event| {
        if seen.fetch_add(1, Ordering::Relaxed) + 1 >= n {
            if !killed.swap(true, Ordering::Relaxed) {
                let kind =
                    serde_json::to_value(event).expect("serializes")["type"].as_str().expect("a name").to_owned();
                let _ = name.send(kind);
            }
            // Nobody who passes an event after the crash gets any further.
            std::panic::resume_unwind(Box::new("crash"));
        }
    });
    let target = MemoryTarget { dead: Arc::clone(dead), ..scene.target() };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime().block_on(scene.copy(source, target, events, Stop::default()))
    }));
    if matches!(result, Ok(Ok(Ended { outcome: RunOutcome::Done, .. }))) {
        return None;
    }
    Some(named.try_recv().expect("the event has a name"))
}

pub(super) fn assert_committed_rows_are_written(scene: &Scene, at: &str) {
    let (_, work) = open(&scene.path()).work().expect("readable");
    let store = scene.store.0.lock().expect("not poisoned");
    for key in scene.rows.keys() {
        let (token, partition, clustering) = key;
        let is_behind_row = |row: &RowKey| {
            let row_key = (row.token(), row.partition_key().remove(0), row.clustering_key().expect("a row").remove(0));
            *key > row_key
        };
        let left = work.iter().any(|Work { key, cursor }| {
            key.range.after(cursor.token).is_some_and(|rest| rest.contains(*token))
                && cursor.row.as_ref().is_none_or(is_behind_row)
        });
        let written = store.contains_key(&(partition.clone(), clustering.clone()));
        assert!(left || written, "a row below a cursor isn't written after {at}");
    }
}

#[test]
fn a_cell_that_waits_does_not_live_longer() {
    let scene = Scene::new(60, 1);
    let target = MemoryTarget { delay: Duration::from_secs(300), ..scene.target() };
    let checkpoint = open(&scene.path());
    let started = crate::clock::Clock::start().seconds();
    runtime().block_on(async {
        let pace = Pace { writers: 1, readers: 1, ..pace() };
        copy(checkpoint, lane(scene.source(), target), pace, Events::none(), Stop::default()).await.expect("copied");
    });
    for row in scene.store.0.lock().expect("not poisoned").values() {
        for (_, _, expiry) in row.cells.iter().flatten().filter(|cell| cell.2 != 0) {
            let drift = expiry - (started + 86_400);
            // Whole turns of the clock that waits, and what this machine takes to begin.
            assert!((0..=60).contains(&(drift % 300)), "{drift}");
        }
    }
    scene.assert_equal();
}

#[test]
fn what_expires_while_it_waits_is_counted_and_not_written() {
    let mut scene = Scene::new(40, 1);
    for (i, cells) in scene.rows.values_mut().enumerate() {
        *cells =
            if i % 2 == 0 { [Some((b"brief".to_vec(), 5, 10)), None] } else { [Some((b"long".to_vec(), 5, 0)), None] };
    }
    let target = MemoryTarget { delay: Duration::from_secs(30), ..scene.target() };
    let pace = Pace { writers: 1, readers: 1, ..pace() };
    let copied = copy(open(&scene.path()), lane(scene.source(), target), pace, Events::none(), Stop::default());
    runtime().block_on(copied).expect("copied");
    let tally = scene.status().counts.tally;
    assert_eq!(tally.rows_read, 40);
    assert!(tally.rows_expired >= 10, "{tally:?}");
    assert_eq!(scene.store.0.lock().expect("not poisoned").len() as u64, tally.rows_written);
}

#[test]
fn a_newer_cell_at_the_target_survives() {
    let scene = Scene::new(30, 1);
    let newer: Written = (b"dual write".to_vec(), i64::MAX, 0);
    let (_, partition, clustering) = scene.rows.keys().nth(4).expect("there is one").clone();
    let row = TargetRow { cells: [Some(newer.clone()), None], ..TargetRow::default() };
    scene.store.0.lock().expect("not poisoned").insert((partition.clone(), clustering.clone()), row);
    runtime().block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default())).expect("copied");
    let store = scene.store.0.lock().expect("not poisoned");
    assert_eq!(store[&(partition, clustering)].cells[0], Some(newer));
}
