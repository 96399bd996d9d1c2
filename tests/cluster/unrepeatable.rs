//! What can't be written twice: elements of lists on a Cassandra target, and counters. The target is read before it is
//! written, also after a write whose outcome nobody knows.

use crate::lab::{Lab, Node, Raw, THEN};
use crate::proxy::Proxy;
use scylla::errors::ExecutionError;
use scylla::value::Counter;
use scylla_proxy::{
    Condition, Reaction, ResponseFrame, ResponseOpcode, ResponseReaction, ResponseRule, example_db_errors,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const ROWS: u64 = 400;

/// The first `lies` writes take effect, and are answered by a timeout. Only writes are answered by a result of kind "void".
fn lie_about_writes(proxy: &mut Proxy, lies: u32) -> Arc<AtomicU32> {
    let told = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&told);
    let lie = ResponseReaction::transform_frame(Arc::new(move |frame: ResponseFrame| {
        if *frame.body != 1i32.to_be_bytes() || counter.fetch_add(1, Ordering::Relaxed) >= lies {
            return frame;
        }
        ResponseFrame::forged_error(frame.params.for_request(), example_db_errors::write_timeout(), None).unwrap()
    }));
    proxy.on_responses(vec![ResponseRule(Condition::ResponseOpcode(ResponseOpcode::Result), lie)]);
    told
}

fn lists(lab: &Lab) {
    lab.both("CREATE TABLE lists (k int, c int, l list<int>, s list<text> static, v int, PRIMARY KEY (k, c))");
    let append = "UPDATE lists USING TIMESTAMP ? AND TTL ? SET l = l + ? WHERE k = ? AND c = ?";
    let element = |i: i32| vec![i % 3, i];
    let rows = 0..i32::try_from(ROWS).unwrap();
    // In the order of their writes, so that the keys at the source are in that order too.
    for round in 0..3 {
        let ttl = if round == 1 { 90_000 } else { 0 };
        let write = |i: i32| (THEN + i64::from(3 - round), ttl, element(i + round), i / 20, i);
        lab.source.load_singly(append, rows.clone().map(write));
    }
    lab.source.load_singly(
        "UPDATE lists USING TIMESTAMP ? SET s = ? + s WHERE k = ?",
        (0..20).map(|k| (THEN, vec!["a", "b"], k)),
    );
    lab.source
        .load("INSERT INTO lists (k, c, v) VALUES (?, ?, ?) USING TIMESTAMP ?", rows.map(|i| (i / 20, i, i, THEN - 5)));
}

fn assert_lists_equal(lab: &Lab) {
    let report = lab.differences("lists", "lists");
    assert!(report.is_equal(), "{report}");
    assert_eq!(report.rows, ROWS + 20, "the statics of a partition are one row of a dump");
}

/// Goal: an element whose write was answered by a timeout is not there twice, and not in another place.
#[test]
fn a_list_whose_write_timed_out_is_not_doubled() {
    let Some(lab) = Lab::open("lists_timeout") else { return };
    lists(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let told = lie_about_writes(&mut proxy, 3);
    let job = lab.job("lists").target(&proxy.address);
    let finished = job.succeed();
    assert!(told.load(Ordering::Relaxed) > 3);
    assert!(finished.end()["retries"].as_u64() >= Some(3), "{}", finished.end());
    assert_eq!(job.status()["lists_reordered"], 0);
    assert_lists_equal(&lab);
    // All over again: nothing is added.
    job.clone().arg("--restart").succeed();
    assert_lists_equal(&lab);
}

/// Goal: a job that is killed while its writes are under way, again and again, doesn't double a list.
#[test]
fn a_list_is_not_doubled_by_kills() {
    let Some(mut lab) = Lab::open("lists_kills") else { return };
    lists(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    // Writes take effect at once, and the process dies before it hears of it.
    proxy.delay_answers(Duration::from_millis(60));
    let job = lab.job("lists").args(&["--ranges", "64", "--readers", "2"]);
    for _ in 0..3 {
        let mut run = job.clone().args(&["--writers", "2"]).target(&proxy.address).start();
        run.await_progress();
        std::thread::sleep(Duration::from_millis(lab.random.below(300)));
        run.kill();
    }
    assert!(job.status()["ranges_done"].as_u64() < Some(64), "killed before its end");
    job.succeed();
    assert_eq!(job.status()["rows_read"], ROWS);
    assert_lists_equal(&lab);
}

fn counters(lab: &Lab) -> Vec<Raw> {
    lab.both("CREATE TABLE hits (k int, c int, a counter, b counter, s counter static, PRIMARY KEY (k, c))");
    let rows = 0..i32::try_from(ROWS).unwrap();
    lab.source.load_singly(
        "UPDATE hits SET a = a + ? WHERE k = ? AND c = ?",
        rows.clone().map(|i| (Counter(i64::from(i) - 50), i / 20, i)),
    );
    lab.source.load_singly(
        "UPDATE hits SET b = b + ? WHERE k = ? AND c = ?",
        rows.step_by(3).map(|i| (Counter(i64::from(i) << 33), i / 20, i)),
    );
    lab.source.load_singly("UPDATE hits SET s = s + ? WHERE k = ?", (0..25).map(|k| (Counter(k.into()), k)));
    // Something is at the target already, in part.
    let add = "UPDATE hits SET a = a + ? WHERE k = ? AND c = ?";
    count_once(&lab.target, || lab.target.try_to_load_singly(add, (0..60).map(|i| (Counter(7), i / 20, i))));
    let mut all = lab.source.raw(ALL_COUNTERS);
    all.sort();
    all
}

/// Fills the table `hits`: all over again where nobody knows whether an addition took effect.
fn count_once(node: &Node, load: impl Fn() -> Result<u64, ExecutionError>) {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        match load() {
            Ok(_) => return,
            Err(error) => println!("{error}"),
        }
        std::thread::sleep(Duration::from_secs(10)); // What is under way has taken effect by then, or never will.
        node.run("TRUNCATE hits");
    }
    panic!("no {ATTEMPTS} times could the counters be written");
}

const ALL_COUNTERS: &str = "SELECT k, c, s, a, b FROM hits";

fn assert_counters_equal(lab: &Lab, expected: &[Raw]) {
    let mut found = lab.target.raw(ALL_COUNTERS);
    found.sort();
    assert_eq!(found, expected);
}

/// Goal: counters are refused, unless the operator says that nobody writes.
#[test]
fn counters_are_refused_by_default() {
    let Some(lab) = Lab::open("counters_refused") else { return };
    counters(&lab);
    let before = lab.target.raw(ALL_COUNTERS);
    let finished = lab.job("hits").run();
    finished.assert_code(5);
    finished.assert_says(&["--counters delta"]);
    assert_eq!(lab.target.raw(ALL_COUNTERS), before);
}

/// Goal: an addition that took effect and was answered by a timeout is not made again; running it all again adds nothing.
#[test]
fn a_counter_whose_addition_timed_out_is_not_counted_twice() {
    let Some(lab) = Lab::open("counters_timeout") else { return };
    let expected = counters(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let told = lie_about_writes(&mut proxy, 3);
    let job = lab.job("hits").args(&["--counters", "delta"]).target(&proxy.address);
    job.succeed();
    assert!(told.load(Ordering::Relaxed) > 3);
    assert_counters_equal(&lab, &expected);
    let writes = lab.target.writes("hits");
    job.clone().arg("--restart").succeed();
    assert_counters_equal(&lab, &expected);
    assert_eq!(lab.target.writes("hits"), writes, "there was nothing to add");
}

/// Goal: a job that is killed while additions are under way adds none twice.
#[test]
fn counters_converge_over_kills() {
    let Some(mut lab) = Lab::open("counters_kills") else { return };
    let expected = counters(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.delay_answers(Duration::from_millis(60));
    let job = lab.job("hits").args(&["--counters", "delta", "--ranges", "64", "--readers", "2", "--writers", "2"]);
    for _ in 0..3 {
        let mut run = job.clone().target(&proxy.address).start();
        run.await_progress();
        std::thread::sleep(Duration::from_millis(lab.random.below(300)));
        run.kill();
    }
    job.succeed();
    assert_counters_equal(&lab, &expected);
}

/// Goal: a counter that was deleted at the target before ends right, or is named: never wrong with exit code 0.
#[test]
fn a_counter_that_was_deleted_at_the_target_ends_right_or_is_rejected() {
    let Some(lab) = Lab::open("counters_deleted") else { return };
    lab.both("CREATE TABLE hits (k int PRIMARY KEY, a counter)");
    let add = "UPDATE hits SET a = a + ? WHERE k = ?";
    lab.source.load_singly(add, (0..20).map(|k| (Counter(6), k)));
    count_once(&lab.target, || lab.target.try_to_load_singly(add, (0..20).map(|k| (Counter(9), k))));
    lab.target.load_singly("DELETE FROM hits WHERE k = ?", (0..10).map(|k| (k,)));
    let job = lab.job("hits").args(&["--counters", "delta"]);
    let finished = job.run();
    let found = lab.target.rows::<(i32, Counter)>("SELECT k, a FROM hits");
    let right = found.iter().filter(|(_, a)| a.0 == 6).count();
    let rejected = job.status()["rows_rejected"].as_u64().unwrap();
    assert_eq!(right as u64 + rejected, 20, "{found:?}");
    finished.assert_code(if rejected == 0 { 0 } else { 3 });
}
