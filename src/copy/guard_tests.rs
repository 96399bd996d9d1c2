//! A guard that objects: nothing of a table that it doesn't trust is committed, its ranges stop, and the others go on.

use super::fakes::{MemoryTarget, Store};
use super::run;
use super::tests::{Scene, job, lane, open, pace, rejects, runtime};
use crate::call::Class;
use crate::checkpoint::{self, Change, Committer, Guard, status};
use crate::event::{Event, Events};
use crate::job::{JobTable, RunCommand, RunOutcome};
use crate::ring::{Token, tile};
use crate::schema::TableName;
use crate::shutdown::Stop;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Objects to table 0 from the n-th look on.
struct Objecting {
    from: usize,
    looks: Arc<AtomicUsize>,
    /// How long a look takes.
    takes: Duration,
}

impl Guard for Objecting {
    async fn look(&mut self, tables: &BTreeSet<usize>, _: bool) -> BTreeSet<usize> {
        tokio::time::sleep(self.takes).await;
        let look = self.looks.fetch_add(usize::from(tables.contains(&0)), Ordering::Relaxed);
        if look >= self.from { BTreeSet::from([0]) } else { BTreeSet::new() }
    }
}

/// Copies two equal tables, the first to `first`, with a guard that objects to the first one from a look on.
fn copy_two(scene: &Scene, first: MemoryTarget, second: MemoryTarget, from: usize, events: &Events) -> super::Ended {
    let path = scene.folder.path().join("two.db");
    let name = TableName { keyspace: "ks".to_owned(), table: "u".to_owned() };
    let mut two = job();
    two.tables.push(JobTable { source: name.clone(), target: name, ..two.tables[0].clone() });
    let ranges = [tile(&[], 40), tile(&[], 40)];
    let reserved = checkpoint::reserve(&path).expect("free");
    let mut checkpoint = checkpoint::create(reserved, &two, &ranges, checkpoint::Existing::Keep).expect("created").0;
    let (_, work) = checkpoint.work().expect("readable");
    let lanes = BTreeMap::from([(0, lane(scene.source(), first)), (1, lane(scene.source(), second))]);
    runtime().block_on(async {
        checkpoint.begin_run(RunCommand::Copy, checkpoint::stored::LEVELS).expect("begun");
        let rejects = rejects(&checkpoint);
        let guard = Objecting { from, looks: Arc::default(), takes: Duration::from_millis(300) };
        let committer = Committer::guarded(checkpoint, guard, events.clone());
        let ended = run(lanes, work, pace(), committer.ledger(), rejects, events.clone(), Stop::default()).await;
        committer.finish(ended.outcome, 0, vec![]).await.expect("closed");
        ended
    })
}

fn status_of(scene: &Scene) -> status::Status {
    status::read(&scene.folder.path().join("two.db")).expect("readable")
}

#[test]
fn nothing_of_a_distrusted_table_is_committed_and_the_others_are_done() {
    let scene = Scene::new(1000, 9);
    let slow = |store: &Store| MemoryTarget { delay: Duration::from_millis(100), ..MemoryTarget::new(store) };
    let elsewhere = slow(&Store::default());
    copy_two(
        &scene,
        elsewhere,
        MemoryTarget { delay: Duration::from_millis(100), ..scene.target() },
        0,
        &Events::none(),
    );
    let tables = status_of(&scene).tables;
    assert_eq!((tables[0].counts.ranges_done, tables[0].counts.tally.rows_written), (0, 0));
    assert_eq!(tables[1].state, status::TableState::Done);
    scene.assert_equal();
}

#[test]
fn the_ranges_of_a_distrusted_table_stop() {
    let scene = Scene::new(3000, 9);
    let target = MemoryTarget { delay: Duration::from_secs(1), ..MemoryTarget::new(&Store::default()) };
    let ended = copy_two(&scene, target, scene.target(), 3, &Events::none());
    assert_eq!((ended.outcome, ended.failed, ended.unclaimed), (RunOutcome::Incomplete, 0, 0));
    assert_eq!(ended.unfinished, BTreeSet::from([0]));
    let table = &status_of(&scene).tables[0];
    assert!(table.counts.ranges_done < 30, "it went on for long: {table:?}");
    assert_eq!(table.counts.ranges_failed, 0);
}

#[test]
fn calls_that_keep_failing_end_when_their_table_is_distrusted() {
    let scene = Scene::new(300, 9);
    let target = MemoryTarget::new(&Store::default());
    target.failures.lock().expect("not poisoned").extend(std::iter::repeat_n(Class::Other, 100_000));
    let retries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&retries);
    let events = Events::to(move |event| {
        if let Event::Retry { tries, .. } = event {
            counted.fetch_max(*tries as usize, Ordering::Relaxed);
        }
    });
    // Nothing is ever reported but that ranges were claimed: only a look without a reason can notice.
    let ended = copy_two(&scene, target, scene.target(), 2, &events);
    assert_eq!((ended.outcome, ended.failed), (RunOutcome::Incomplete, 0));
    assert!((1..12).contains(&retries.load(Ordering::Relaxed)), "{retries:?}");
    scene.assert_equal();
}

/// Goal: a split that isn't recorded takes its pieces with it, also the first one, which begins where the whole began.
#[test]
fn pieces_of_a_range_that_was_cut_in_vain_are_not_recorded() {
    let scene = Scene::new(10, 1);
    let mut checkpoint = open(&scene.path());
    let whole = checkpoint.work().expect("readable").1.remove(0);
    checkpoint.begin_run(RunCommand::Copy, checkpoint::stored::LEVELS).expect("begun");
    let into = whole.clone().cut(&[Token(whole.key.range.first().0 + 5)]);
    let (key, piece) = (whole.key, into[0].key);
    let recorded = runtime().block_on(async {
        let guard = Objecting { from: 0, looks: Arc::default(), takes: Duration::ZERO };
        let committer: Committer = Committer::guarded(checkpoint, guard, Events::none());
        let failed = Change::Failed { key: piece, error: "gone".to_owned(), remedy: None };
        for change in [Change::Claimed { key }, Change::Split { key, into }, Change::Claimed { key: piece }, failed] {
            committer.ledger().report(change).await.expect("it listens");
            // Each in a commit of its own.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        committer.finish(RunOutcome::Incomplete, 0, vec![]).await
    });
    let work = recorded.expect("nothing is wrong with the file").work().expect("readable").1;
    assert!(work.iter().any(|work| work.key == whole.key), "it is whole: {work:?}");
}
