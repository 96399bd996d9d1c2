//! Rows that can't be read in one go, from memory: tombstones, pages that take too long, partitions of many pages.

use super::collisions::key_of;
use super::fakes::{Key, MemorySource, MemoryTarget, Rows, sample_rows};
use super::tests::{
    Scene, assert_accounts_close, assert_committed_rows_are_written, copy, crash, lane, open, pace, runtime,
};
use crate::call::Class;
use crate::checkpoint::status::State;
use crate::event::{Event, Events};
use crate::job::RunOutcome;
use crate::ring::{Token, tile};
use crate::row::token_of;
use crate::settings::Pace;
use crate::shutdown::{Signal, Stop};
use crate::side::Side;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) fn key(partition: u64, clustering: u64) -> Key {
    let partition = partition.to_be_bytes().to_vec();
    (token_of([partition.as_slice()].into_iter()), partition, clustering.to_be_bytes().to_vec())
}

/// `count` rows in one partition, with others around it.
pub(crate) fn giant(count: usize) -> Rows {
    let mut rows = sample_rows(50);
    let cell = || Some((b"v".to_vec(), 7, 0));
    rows.extend((0..count as u64).map(|i| (key(u64::MAX, i * 10), [cell(), None])));
    rows
}

/// Tombstones between the rows of the giant partition: from, to, as numbers of rows.
fn deleted(stretches: &[(u64, u64)]) -> BTreeSet<Key> {
    stretches.iter().flat_map(|&(from, to)| from * 10..to * 10).map(|i| key(u64::MAX, i)).collect()
}

fn source(scene: &Scene, stretches: &[(u64, u64)]) -> MemorySource {
    MemorySource { tombstones: (deleted(stretches), 40), page_rows: usize::MAX, ..scene.source() }
}

#[test]
fn a_range_that_is_resumed_behind_its_last_row_is_done() {
    // A partition of statics alone, as one of a table without a clustering key: nothing of it can come behind.
    let mut rows = sample_rows(50);
    let ranges = tile(&[], 4);
    let last = ranges[1].last();
    rows.insert((last, key_of(last, 0), Vec::new()), [None, None]);
    let scene = Scene::with(rows, ranges);
    // The row was recorded; that no page comes behind it was not.
    let checkpoint = rusqlite::Connection::open(scene.path()).expect("opens");
    let cursor =
        "UPDATE token_range SET cursor = ?1 - 1, partition_key = ?2, clustering_key = x'' WHERE last_token = ?1";
    let key = [&16u32.to_be_bytes()[..], &key_of(last, 0)].concat();
    assert_eq!(checkpoint.execute(cursor, rusqlite::params![last.0, key]).expect("set"), 1);
    drop(checkpoint);
    let source = MemorySource { has_statics: true, ..scene.source() };
    let ended = runtime().block_on(scene.copy(source, scene.target(), Events::none(), Stop::default()));
    assert_eq!(ended.expect("ran").outcome, RunOutcome::Done, "{:?}", scene.status().failures);
}

#[test]
fn tombstones_anywhere_in_a_partition_are_passed() {
    let end = 1000 / 10;
    for stretches in [
        // Behind the first row, before it, behind the last one, everywhere.
        &[(3, 30)][..],
        &[(0, 30)],
        &[(60, end)],
        &[(0, 20), (30, 50), (60, end)],
        &[(0, end)],
    ] {
        let mut rows = giant(100);
        // Rows in a stretch are gone, but for every 20th: tombstones around single rows.
        rows.retain(|(_, partition, clustering), _| {
            let number = u64::from_be_bytes(clustering[..].try_into().expect("eight bytes")) / 10;
            *partition != u64::MAX.to_be_bytes()
                || number % 20 == 5
                || !stretches.iter().any(|&(a, b)| (a..b).contains(&number))
        });
        let count = rows.len() as u64;
        let scene = Scene::around(rows, 0, 3);
        let ranges = scene.status().counts.ranges;
        let target = MemoryTarget { delay: Duration::from_secs(2), ..scene.target() };
        let copied = scene.copy(source(&scene, stretches), target, Events::none(), Stop::default());
        let ended = runtime().block_on(copied);
        let status = scene.status();
        assert_eq!(ended.expect("ran").outcome, RunOutcome::Done, "{stretches:?} {:?}", status.failures);
        scene.assert_equal();
        // Rows may be read twice on the way around tombstones.
        assert!((count..count + 200).contains(&status.counts.tally.rows_written), "{:?}", status.counts);
        assert!(status.counts.ranges > ranges, "its token was parted from the others");
        let parts = status.counts.tally;
        assert_eq!(parts.rows_read, parts.rows_written + parts.rows_expired + parts.rows_rejected);
    }
}

#[test]
fn pieces_of_the_only_range_are_copied_side_by_side() {
    let mut rows = giant(100);
    rows.retain(|row, _| row.1 != u64::MAX.to_be_bytes() || !(key(0, 30).2..key(0, 300).2).contains(&row.2));
    let scene = Scene::with(rows, tile(&[], 1));
    let claims: Arc<Mutex<Vec<tokio::time::Instant>>> = Arc::default();
    let into = Arc::clone(&claims);
    let events = Events::to(move |event| {
        if let Event::RangeClaimed { .. } = event {
            into.lock().expect("not poisoned").push(tokio::time::Instant::now());
        }
    });
    let target = MemoryTarget { delay: Duration::from_secs(2), ..scene.target() };
    let copied = scene.copy(source(&scene, &[(3, 30)]), target, events, Stop::default());
    assert_eq!(runtime().block_on(copied).expect("ran").outcome, RunOutcome::Done);
    scene.assert_equal();
    let claims = claims.lock().expect("not poisoned");
    // One alone would claim the last of the three pieces once the rows of those before it were written.
    assert!(claims[3] - claims[1] < Duration::from_secs(1), "one after another: {claims:?}");
}

#[test]
fn what_can_not_be_read_is_quarantined_and_its_neighbours_are_copied() {
    let mut rows = giant(100);
    let is_gone = |key: &Key| {
        key.1 == u64::MAX.to_be_bytes()
            && (300..600).contains(&u64::from_be_bytes(key.2[..].try_into().expect("eight")))
    };
    rows.retain(|key, _| !is_gone(key));
    let scene = Scene::of(rows, 3);
    let tombstones = source(&scene, &[(30, 60)]);
    let source = MemorySource { can_bisect: false, ..tombstones };
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&seen);
    let events = Events::to(move |event| {
        if let Event::RangeFailed { error, remedy, .. } = event {
            into.lock().expect("not poisoned").push(format!("{error} | {}", remedy.as_deref().unwrap_or_default()));
        }
    });
    let ended = runtime().block_on(scene.copy(source, scene.target(), events, Stop::default())).expect("ran");
    assert_eq!((ended.outcome, ended.failed), (RunOutcome::Incomplete, 1));
    scene.assert_equal(); // Everything that is alive was read, from both ends.
    let status = scene.status();
    assert_eq!((status.state, status.counts.ranges_failed), (State::Incomplete, 1));
    let (failure, token) = (&status.failures[0], key(u64::MAX, 0).0);
    assert_eq!((failure.range.first(), failure.range.last()), (token, token));
    assert!(failure.error.contains("too many tombstones"), "{}", failure.error);
    assert_eq!(failure.remedy, Some(format!("compact {token}:{token}")));
    assert_eq!(seen.lock().expect("not poisoned").len(), 1);

    // Compacted: the same job tries it again.
    let ended = runtime().block_on(scene.copy(scene.source(), scene.target(), Events::none(), Stop::default()));
    assert_eq!(ended.expect("ran").outcome, RunOutcome::Done);
    scene.assert_equal();
    assert_accounts_close(&scene.status(), scene.rows.len() as u64);
}

#[test]
fn statics_behind_tombstones_come_with_rows_or_not_at_all() {
    for (rows_left, outcome) in [(100, RunOutcome::Done), (0, RunOutcome::Incomplete)] {
        let mut rows = giant(200);
        // The first half of the partition is gone, or all of it: nobody can tell then whether there are statics.
        let is_giant = |key: &Key| key.1 == u64::MAX.to_be_bytes();
        let number = |key: &Key| u64::from_be_bytes(key.2[..].try_into().expect("eight bytes"));
        rows.retain(|key, _| !is_giant(key) || number(key) >= 2000 - rows_left * 10);
        let scene = Scene::around(rows, 0, 3);
        let source = MemorySource { has_statics: true, ..source(&scene, &[(0, 200 - rows_left)]) };
        let ended = runtime().block_on(scene.copy(source, scene.target(), Events::none(), Stop::default()));
        assert_eq!(ended.expect("ran").outcome, outcome, "{:?}", scene.status().failures);
        scene.assert_equal();
    }
}

#[test]
fn pages_that_take_too_long_become_smaller() {
    let scene = Scene::of(giant(300), 2);
    let source = MemorySource { timeout_above: Some(5), page_rows: usize::MAX, ..scene.source() };
    let ended = runtime().block_on(scene.copy(source, scene.target(), Events::none(), Stop::default())).expect("ran");
    assert_eq!((ended.outcome, scene.status().counts.ranges_failed), (RunOutcome::Done, 0));
    scene.assert_equal();
}

#[test]
fn a_token_that_always_times_out_is_found_wherever_it_stands_in_its_range() {
    let rows = sample_rows(300);
    let token = rows.keys().nth(150).expect("there is one").0;
    let of_token = rows.keys().filter(|key| key.0 == token).count();
    for ranges in [
        tile(&[Token(token.0 - 1), Token(token.0 + 10)], 2),
        tile(&[Token(token.0 - 10), token], 2),
        tile(&[Token(token.0 - 1), token], 2),
        tile(&[], 1),
    ] {
        let scene = Scene::with(rows.clone(), ranges);
        let source = MemorySource { timeout_at: Some(token), ..scene.source() };
        let pace = Pace { readers: 1, ..pace() };
        let copied = copy(open(&scene.path()), lane(source, scene.target()), pace, Events::none(), Stop::default());
        let ended = runtime().block_on(copied).expect("ran");
        assert_eq!((ended.outcome, ended.failed, ended.gave_up), (RunOutcome::Incomplete, 1, None));
        let status = scene.status();
        assert_eq!((status.failures[0].range.first(), status.failures[0].range.last()), (token, token));
        assert_eq!(scene.rows_at_the_target(), rows.len() - of_token, "its neighbours are copied");
    }
}

#[test]
fn a_source_that_fails_everywhere_is_waited_for_and_not_cut_to_pieces() {
    for (class, readers) in [(Class::Timeout, 1), (Class::Timeout, 3), (Class::Failure, 1), (Class::Other, 3)] {
        let scene = Scene::of(sample_rows(300), 8);
        let ranges = scene.status().counts.ranges;
        let source = MemorySource { fail_every: Some((1, class)), ..scene.source() };
        let pace = Pace { readers, ..pace() };
        let copied = copy(open(&scene.path()), lane(source, scene.target()), pace, Events::none(), Stop::default());
        let took = runtime().block_on(async {
            let began = tokio::time::Instant::now();
            let ended = tokio::time::timeout(Duration::from_secs(3600), copied).await.expect("it ends").expect("ran");
            assert_eq!((ended.outcome, ended.gave_up), (RunOutcome::Incomplete, Some(Side::Source)), "{class:?}");
            began.elapsed()
        });
        assert!((60..90).contains(&took.as_secs()), "{class:?} {readers}: {took:?}");
        assert_eq!(scene.status().counts.ranges, ranges, "{class:?}");
    }
}

/// Copies until it is stopped in the middle of the giant partition, and then the rest; answers how many rows the first run has saved,
/// and how many the second one has read.
fn in_two_runs(scene: &Scene, source: impl Fn() -> MemorySource) -> (u64, u64) {
    let rows_before_stop = 1000;
    let stop = Stop::default();
    let (asked, read) = (stop.clone(), AtomicU64::new(0));
    let events = Events::to(move |event| {
        if let Event::PageRead { rows, .. } = event
            && read.fetch_add(*rows, Ordering::Relaxed) > rows_before_stop
        {
            asked.drain(Signal::Interrupt);
        }
    });
    let pace = Pace { readers: 1, ..pace() };
    let first = copy(open(&scene.path()), lane(source(), scene.target()), pace, events, stop);
    assert_eq!(runtime().block_on(first).expect("ran").outcome, RunOutcome::Stopped);
    let saved = scene.status().counts.tally.rows_written;
    assert!(saved > 500, "progress inside of the partition is saved: {saved}");
    let events = Events::none();
    let second = runtime().block_on(scene.copy(source(), scene.target(), events.clone(), Stop::default()));
    assert_eq!(second.expect("ran").outcome, RunOutcome::Done);
    scene.assert_equal();
    (saved, events.counters().rows_read.load(Ordering::Relaxed))
}

#[test]
fn a_giant_partition_goes_on_where_it_was() {
    let scene = Scene::of(giant(3000), 2);
    let (saved, read) = in_two_runs(&scene, || scene.source());
    let all = scene.rows.len() as u64;
    // One page more at most, and the first row of the partition, to see that no other one shares its token.
    assert!(read <= all - saved + 14, "{read} of {all} rows, {saved} were saved");
    assert_accounts_close(&scene.status(), all);
}

#[test]
fn a_giant_partition_that_begins_with_tombstones_goes_on_where_it_was() {
    let mut rows = giant(3000);
    let gone = deleted(&[(0, 300)]);
    rows.retain(|key, _| !gone.contains(key));
    let scene = Scene::of(rows, 2);
    let (saved, read) = in_two_runs(&scene, || MemorySource { tombstones: (gone.clone(), 40), ..scene.source() });
    let all = scene.rows.len() as u64;
    // Here the first row of each slice, too.
    assert!(read <= all - saved + 50, "{read} of {all} rows, {saved} were saved");
    assert_accounts_close(&scene.status(), all);
}

#[test]
fn a_crash_while_it_is_cut_changes_nothing() {
    let mut rows = giant(60);
    rows.retain(|(_, partition, clustering), _| {
        let number = u64::from_be_bytes(clustering[..].try_into().expect("eight bytes"));
        *partition != u64::MAX.to_be_bytes() || !(100..300).contains(&number)
    });
    let count = rows.len() as u64;
    let new = || Scene::around(rows.clone(), 0, 2);
    let mut kinds = BTreeSet::new();
    // Every fifth event: each takes a copy, a crash and another copy.
    for n in (1..).step_by(5) {
        let scene = new();
        let dead = Arc::default();
        let Some(at) = crash(&scene, source(&scene, &[(10, 30)]), n, &dead) else { break };
        assert_committed_rows_are_written(&scene, &at);
        let again = scene.copy(source(&scene, &[(10, 30)]), scene.target(), Events::none(), Stop::default());
        assert_eq!(
            runtime().block_on(again).expect("ran").outcome,
            RunOutcome::Done,
            "after a crash at event {n}, {at}"
        );
        scene.assert_equal();
        assert!(scene.status().counts.tally.rows_written >= count);
        kinds.insert(at);
    }
    assert!(kinds.contains("retry") && kinds.contains("range_done"), "{kinds:?}");
}

/// Goal: a token of which a pass can't tell what is behind its cursor isn't begun anew for ever.
#[test]
fn a_partition_of_tombstones_behind_another_of_its_token_is_passed() {
    let token = Token(1 << 40);
    let mut partitions = [key_of(token, 1), key_of(token, 2)];
    partitions.sort();
    let at = |partition: usize, clustering: u64| {
        (token, partitions[partition].clone(), (clustering * 10).to_be_bytes().to_vec())
    };
    let mut rows = sample_rows(50);
    let cell = || Some((b"v".to_vec(), 7, 0));
    rows.extend([at(0, 0), at(0, 1), at(1, 90)].map(|key| (key, [cell(), None])));
    let scene = Scene::of(rows, 2);
    let tombstones = ((0..80).map(|n| at(1, n)).collect(), 10);
    let source = MemorySource { tombstones, page_rows: usize::MAX, ..scene.source() };
    let copied = scene.copy(source, scene.target(), Events::none(), Stop::default());
    let ended = runtime().block_on(async { tokio::time::timeout(Duration::from_secs(3600), copied).await });
    assert_eq!(ended.expect("it ends").expect("ran").outcome, RunOutcome::Done);
    scene.assert_equal();
}
