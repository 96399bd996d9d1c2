//! Several tables in one copy.

use super::fakes::{MemoryTarget, Store};
use super::run;
use super::tests::{Scene, job, lane, pace, rejects, runtime};
use crate::call::Class;
use crate::checkpoint::{self, Committer, status};
use crate::event::Events;
use crate::job::{JobTable, RunCommand, RunOutcome};
use crate::ring::tile;
use crate::schema::TableName;
use crate::shutdown::Stop;
use std::collections::BTreeMap;

/// Goal: a table that keeps failing gives up its own ranges, not those of another.
#[test]
fn a_table_that_keeps_failing_stops_no_other() {
    let scene = Scene::new(3000, 9);
    let path = scene.folder.path().join("two.db");
    let name = TableName { keyspace: "ks".to_owned(), table: "u".to_owned() };
    let mut two = job();
    two.tables.push(JobTable { source: name.clone(), target: name, ..two.tables[0].clone() });
    let ranges = [tile(&[], 40), tile(&[], 200)];
    let reserved = checkpoint::reserve(&path).expect("free");
    let mut checkpoint = checkpoint::create(reserved, &two, &ranges, checkpoint::Existing::Keep).expect("created").0;
    let (_, work) = checkpoint.work().expect("readable");
    let elsewhere = MemoryTarget::new(&Store::default());
    elsewhere.failures.lock().expect("not poisoned").extend(std::iter::repeat_n(Class::Unavailable, 100_000));
    let lanes = BTreeMap::from([(0, lane(scene.source(), scene.target())), (1, lane(scene.source(), elsewhere))]);
    let ended = runtime().block_on(async {
        checkpoint.begin_run(RunCommand::Copy, checkpoint::stored::LEVELS).expect("begun");
        let rejects = rejects(&checkpoint);
        let committer = Committer::start(checkpoint, Events::none());
        let ended = run(lanes, work, pace(), committer.ledger(), rejects, Events::none(), Stop::default()).await;
        committer.finish(ended.outcome, 0, vec![]).await.expect("closed");
        ended
    });
    assert_eq!(
        (ended.outcome, ended.unfinished.iter().copied().collect::<Vec<_>>()),
        (RunOutcome::Incomplete, vec![1])
    );
    assert!(ended.gave_up.is_none() && ended.unclaimed > 100 && ended.failed < 30, "{ended:?}");
    scene.assert_equal();
    let status = status::read(&path).expect("readable");
    assert_eq!(status.tables[0].state, status::TableState::Done);
}
