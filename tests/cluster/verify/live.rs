//! The applications write to both clusters while a verification runs.

use super::{assert_same, counts, lines, verified_from};
use crate::job::{Job, PATIENCE};
use crate::lab::{Lab, Node, THEN};
use crate::planting::again::{self, again};
use crate::planting::judge::{self, Differences, Key};
use crate::random::Random;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where nothing else is asked for.
const ROWS: i32 = 40_000;
const WRITERS: usize = 12;
/// So many writes are left out, at least, where that is looked at in full. Some of these rows are written again.
const DROPPED: u64 = 50;

/// What the last write of a row made of it: its value, or nothing.
type Last = Option<i64>;

/// Writers that change, add and delete rows on both sides, each row by one writer alone, each change with one timestamp. Half of
/// them write to the source first.
struct Writers {
    stop: std::sync::Arc<AtomicBool>,
    tally: watch::Sender<Tally>,
    tasks: Vec<JoinHandle<BTreeMap<i32, [Last; 2]>>>,
}

/// What they have done.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    writes: u64,
    /// Those of them that the target never got.
    dropped: u64,
}

impl Writers {
    /// They write to so many rows, and leave out one in so many writes to the target; none at 0.
    fn start(lab: &mut Lab, rows: i32, dropped_one_in: u64) -> Writers {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let tally = watch::Sender::default();
        let tasks = (0..WRITERS).map(|writer| {
            let mut sides = [(0, lab.source.clone()), (1, lab.target.clone())];
            if writer % 2 == 1 {
                sides.reverse();
            }
            let random = Random::new(lab.random.next());
            let (stop, tally) = (std::sync::Arc::clone(&stop), tally.clone());
            lab.runtime().spawn(write(sides, writer, rows, dropped_one_in, random, stop, tally))
        });
        let tasks = tasks.collect();
        Writers { stop, tally, tasks }
    }

    /// Waits until so many writes were left out, and tells how many there were by then.
    fn await_dropped(&self, lab: &Lab, dropped: u64, patience: Duration) -> Tally {
        let mut tally = self.tally.subscribe();
        let enough = tally.wait_for(|tally| tally.dropped >= dropped);
        *lab.source.block_on(async { tokio::time::timeout(patience, enough).await }).expect("they write").unwrap()
    }

    /// Waits for their last writes. Answers what they left on both sides of each row that they touched.
    fn stop(self, lab: &Lab) -> BTreeMap<i32, [Last; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.tasks.into_iter().map(|task| lab.source.block_on(task).unwrap());
        ended.flatten().collect()
    }
}

async fn write(
    sides: [(usize, Node); 2],
    writer: usize,
    rows: i32,
    dropped_one_in: u64,
    mut random: Random,
    stop: std::sync::Arc<AtomicBool>,
    tally: watch::Sender<Tally>,
) -> BTreeMap<i32, [Last; 2]> {
    let mut statements = Vec::new();
    for (_, node) in &sides {
        let insert = "INSERT INTO t (room, id, a, b) VALUES (?, ?, 'text', ?) USING TIMESTAMP ?";
        let delete = "DELETE FROM t USING TIMESTAMP ? WHERE room = ? AND id = ?";
        let prepared = [again::prepare(&node.session, insert).await, again::prepare(&node.session, delete).await];
        statements.push(prepared.map(Result::unwrap));
    }
    let mut last = BTreeMap::new();
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        let writers = u64::try_from(WRITERS).unwrap();
        // A tenth of the rows is new.
        let id = random.below(u64::try_from(rows + rows / 10).unwrap() / writers) * writers;
        let id = i32::try_from(id).unwrap() + i32::try_from(writer).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        at = i64::try_from(now).unwrap().max(at + 1);
        let is_delete = random.one_in(10);
        let loaded = (id < rows).then_some(0);
        let row = last.entry(id).or_insert([loaded; 2]);
        let is_dropped = dropped_one_in > 0 && random.one_in(dropped_one_in);
        for ((side, node), [insert, delete]) in sides.iter().zip(&statements) {
            if is_dropped && *side == 1 {
                continue;
            }
            let write = |_| async {
                if is_delete {
                    node.session.execute_unpaged(delete, (at, id / 5, id)).await
                } else {
                    node.session.execute_unpaged(insert, (id / 5, id, at, at)).await
                }
            };
            again(true, write).await.unwrap();
            row[*side] = (!is_delete).then_some(at);
        }
        tally.send_modify(|tally| {
            tally.writes += 1;
            tally.dropped += u64::from(is_dropped);
        });
    }
    last
}

fn fill(lab: &Lab, rows: i32) -> Job {
    lab.both("CREATE TABLE t (room int, id int, a text, b bigint, PRIMARY KEY (room, id))");
    for node in [&lab.source, &lab.target] {
        let insert = format!("INSERT INTO t (room, id, a, b) VALUES (?, ?, 'text', 0) USING TIMESTAMP {THEN}");
        node.load(&insert, (0..rows).map(|id| (id / 5, id)));
    }
    lab.job("t").args(&["--ranges", "60"])
}

/// What a verification must say of rows that were left like this.
fn truth(left: &BTreeMap<i32, [Last; 2]>) -> Differences {
    let classes = |sides: &[Last; 2]| -> Option<&[&str]> {
        match sides {
            [Some(_), None] => Some(&["missing"]),
            [None, Some(_)] => Some(&["extra"]),
            // The text is the same always.
            [Some(source), Some(target)] if source > target => Some(&["value_older", "writetime"]),
            [source, target] => {
                assert_eq!(source, target, "writes to the source are never left out");
                None
            }
        }
    };
    let differs = left
        .iter()
        .filter_map(|(id, sides)| Some((key(*id), classes(sides)?.iter().map(|&class| class.to_owned()).collect())));
    differs.collect()
}

fn key(id: i32) -> Key {
    let hex = |value: i32| {
        value.to_be_bytes().iter().fold("0x".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    ("t".to_owned(), vec![hex(id / 5), hex(id)], false)
}

fn found(job: &Job) -> Differences {
    let lines = lines(job);
    let differences =
        lines.iter().filter(|line| line.get("class").is_some()).map(|line| (judge::key(line), judge::classes(line)));
    differences.collect()
}

/// Goal: a verification beside applications that write to both sides as fast as they can says that both are equal.
#[test]
fn live_writes_are_no_differences() {
    let Some(mut lab) = Lab::open("verify_live") else { return };
    let job = fill(&lab, ROWS);
    let writers = Writers::start(&mut lab, ROWS, 0);
    // A row is looked at again after 3, 9 and 21 s: a node that stands still for some of them puts one side behind the other.
    let slow = job.verify().args(&["--recheck-after", "3s", "--rows-per-second", "20k"]);
    let started = Instant::now();
    let mut rechecked = 0;
    while rechecked == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing ever looked different");
        slow.run().assert_code(0);
        assert_eq!(found(&job), Differences::new());
        rechecked = counts(&job.checkpoint)["rows_rechecked"];
    }
    let left = writers.stop(&lab);
    println!("{} rows were written, {rechecked} looked at again", left.len());
    assert_eq!(truth(&left), Differences::new());
    job.verify().args(&["--recheck-after", "100ms"]).succeed();
}

/// Goal: writes that never reach the target are found, each of them, as soon as the writers are quiet; and beside them, nothing
/// is told that isn't so.
///
/// Method: one in 300 writes is left out, or one in `MIGRATE_TEST_DROPPED_ONE_IN`, until there are enough of them, in a table that
/// is large enough for most of them to stay. With 10000, that is a million rows and half a million writes.
#[test]
fn dropped_writes_are_found() {
    let Some(mut lab) = Lab::open("verify_drops") else { return };
    let dropped_one_in = std::env::var("MIGRATE_TEST_DROPPED_ONE_IN").map_or(300, |number| number.parse().unwrap());
    let rows = i32::try_from(dropped_one_in * 100).unwrap().max(ROWS);
    let patience = PATIENCE * u32::try_from(1 + rows / 100_000).unwrap();
    let job = fill(&lab, rows);
    let writers = Writers::start(&mut lab, rows, dropped_one_in);
    let slow = job.verify().args(&["--recheck-after", "300ms", "--rows-per-second", "20k"]);
    let code = slow.start().finish_within(patience).code;
    let beside = found(&job);
    let tally = writers.await_dropped(&lab, DROPPED, patience);
    let left = writers.stop(&lab);
    assert!(code == Some(4) || code == Some(0), "{code:?}");
    let truth = truth(&left);
    println!("{tally:?}: {} of {} rows differ; {} were found meanwhile", truth.len(), left.len(), beside.len());
    assert!(truth.len() as u64 > DROPPED / 2, "{} of {} rows", truth.len(), left.len());
    // What was told meanwhile may have been mended by a later write; but no row was ever touched and equal that isn't here.
    let touched: BTreeSet<Key> = left.keys().map(|id| key(*id)).collect();
    assert!(beside.keys().all(|key| touched.contains(key)), "rows that nobody wrote: {beside:?}");
    job.verify().args(&["--recheck-after", "100ms", "--restart"]).start().finish_within(patience).assert_code(4);
    assert_same(&truth, &found(&job), &[]);
    // Everything is repaired; of rows that were deleted at the source, those go that were written a while ago. What is younger may
    // be a row that is on its way to the source.
    let mend = job.verify().args(&["--recheck-after", "100ms", "--repair", "--delete-extra", "--yes"]);
    let finished = mend.start().finish_within(patience);
    let young_from = (verified_from(&job.checkpoint) - 60_000) * 1000;
    let (young, old): (Differences, Differences) = truth
        .into_iter()
        .filter(|(_, classes)| classes.contains("extra"))
        .partition(|(extra, _)| left.iter().any(|(id, sides)| key(*id) == *extra && sides[1] > Some(young_from)));
    finished.assert_code(if young.is_empty() { 0 } else { 4 });
    assert_eq!(finished.end()["verdict"]["rows_deleted"], old.len());
    job.verify().args(&["--recheck-after", "100ms", "--restart"]).start().finish_within(patience);
    assert_same(&young, &found(&job), &[]);
}

/// Goal: `--follow` compares again and again, so that a later pass finds what an earlier one couldn't have.
#[test]
fn following_finds_what_is_dropped_later() {
    let Some(mut lab) = Lab::open("verify_follow") else { return };
    let job = fill(&lab, ROWS);
    let mut run = job.verify().args(&["--recheck-after", "200ms", "--follow"]).start();
    run.await_event("the first pass", |event| event["type"] == "pass_done");
    assert_eq!(found(&job), Differences::new());
    let writers = Writers::start(&mut lab, ROWS, 100);
    writers.await_dropped(&lab, 30, PATIENCE);
    let left = writers.stop(&lab);
    let truth = truth(&left);
    assert!(truth.len() > 3, "{} of {} rows", truth.len(), left.len());
    // A pass may have begun before the last write, and one in two looks at known differences alone.
    let told = |events: &[Value]| -> Differences {
        let lines = events.iter().filter(|event| event["type"] == "difference");
        lines.map(|line| (judge::key(line), judge::classes(line))).collect()
    };
    let mut passes = 0;
    while truth.iter().any(|(key, classes)| told(&run.events).get(key) != Some(classes)) {
        assert!(passes < 6, "after {passes} passes, of {truth:?} it told {:?}", told(&run.events));
        run.await_event("a pass", |event| event["type"] == "pass_done");
        passes += 1;
    }
    // In the pause behind a pass: what that has found stays.
    run.signal("INT");
    let finished = run.finish();
    finished.assert_code(130);
    let end = finished.end();
    let different = counts(&job.checkpoint)["rows_different"];
    assert!(different > 0);
    assert_eq!((&end["verdict"]["rows_different"], &end["conclusion"]), (&different.into(), &"differences".into()));
    assert_eq!(end["last_pass"]["verdict"]["rows_different"], different, "{end:#}");
    assert_eq!(job.status()["verification"]["conclusion"], "differences");
}

/// Goal: a table that is altered while passes follow each other is left out of all later ones, and each of them says so: what is equal
/// is the other one alone.
#[test]
fn a_table_that_breaks_keeps_every_later_pass_from_being_whole() {
    let Some(lab) = Lab::open("verify_breaks") else { return };
    for table in ["t", "u"] {
        lab.both(&format!("CREATE TABLE {table} (k int, v int, PRIMARY KEY (k))"));
        for node in [&lab.source, &lab.target] {
            let insert = format!("INSERT INTO {table} (k, v) VALUES (?, 1) USING TIMESTAMP ?");
            node.load(&insert, (0..20).map(|k| (k, THEN)));
        }
    }
    let job = lab.job("t").args(&["--table", &lab.name("u"), "--recheck-after", "50ms"]);
    let mut run = job.verify().arg("--follow").start();
    let mut pass = || run.await_event("a pass", |event| event["type"] == "pass_done");
    let whole = pass();
    assert_eq!((&whole["conclusion"], &whole["all_compared"]), (&"equal".into(), &true.into()), "{whole}");
    lab.target.run("ALTER TABLE u ADD w int");
    for _ in 0..2 {
        let partial = pass();
        let told = (&partial["conclusion"], &partial["all_compared"], &partial["rows_different"]);
        assert_eq!(told, (&"incomplete".into(), &false.into(), &0.into()), "{partial}");
        assert_eq!(partial["tables_left_out"][0]["table"], "u", "{partial}");
    }
    run.signal("INT");
    let finished = run.finish();
    finished.assert_code(130);
    assert_eq!(finished.end()["last_pass"]["all_compared"], false, "{:#}", finished.end());
    assert_eq!(job.status()["verification"]["conclusion"], "incomplete");
}
