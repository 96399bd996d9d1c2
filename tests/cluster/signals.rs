//! SIGTERM, SIGINT and SIGHUP.

use crate::lab::{Lab, TARGET, THEN};
use crate::proxy::{PAYLOAD, Proxy, writes};
use scylla_proxy::{RequestReaction, RequestRule};
use std::time::{Duration, Instant};

const ROWS: i32 = 20_000;

fn fill(lab: &Lab) {
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    let insert = format!("INSERT INTO t (room, id, a) VALUES (?, ?, '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..ROWS).map(|id| (id / 3, id, THEN)));
}

/// One of three tries takes less than `limit`: a machine that stands still for a while doesn't do so each time. No further try
/// is made after one that did.
#[track_caller]
pub(crate) fn assert_within(limit: Duration, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 3 {
        let time = attempt();
        if time < limit {
            return;
        }
        took.push(time);
    }
    panic!("{took:?}: none below {limit:?}");
}

/// Goal: the first signal finishes what is in flight, records it, and leaves a job that goes on where it was.
///
/// Method: a slow copy is stopped by SIGTERM, its resumptions by SIGINT and SIGHUP, and the last run is left alone. What was written by
/// the three that were stopped is recorded: the target has counted few mutations more than a clean copy makes, for the partitions
/// that were left open and those on both sides of a page's end.
#[test]
fn a_signal_drains_and_the_next_run_goes_on() {
    let Some(lab) = Lab::open("signals_drain") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    // As a terminal starts it, whatever started this test.
    let job = lab.job("t").under(&["env", "--default-signal=HUP"]).target(&proxy.address);
    let job = job.args(&["--readers", "4", "--writers", "4", "--batch", "partition"]);
    let mut rows = 0;
    proxy.hold_writes(Duration::from_millis(30));
    for (signal, code, runs) in [("TERM", 143, 1), ("INT", 130, 2), ("HUP", 129, 3)] {
        let mut run = job.start();
        run.await_progress();
        run.signal(signal);
        let finished = run.finish();
        finished.assert_code(code);
        assert_eq!(finished.end()["outcome"], "stopped", "SIG{signal}");
        let status = job.status();
        assert_eq!((&status["state"], &status["last_run"]["outcome"]), (&"stopped".into(), &"stopped".into()));
        assert_eq!(status["runs"], runs);
        assert_eq!(status["last_run"]["ended_at"].as_i64().map(|at| at > 0), Some(true), "a good end is noted");
        let read = status["rows_read"].as_i64().unwrap();
        assert!(read > rows && read < ROWS.into(), "{read} rows after SIG{signal}");
        rows = read;
        // Of a range that was left in the middle, the last partition may go on: up to three rows for each of four readers.
        let rows = |name: &str| finished.end()[name].as_u64().unwrap();
        let unrecorded = rows("rows_written") - rows("rows_committed");
        assert!(unrecorded <= 4 * 3, "{unrecorded} rows were acknowledged and not recorded");
    }
    job.target(TARGET).succeed();
    assert_eq!(lab.job("t").status()["rows_read"], ROWS);
    lab.target.run("CREATE TABLE clean (room int, id int, a text, PRIMARY KEY (room, id))");
    lab.job_into("t", "clean").args(&["--batch", "partition"]).succeed();
    let repeated = lab.target.writes("t") - lab.target.writes("clean");
    assert!(repeated.abs() < 200, "{repeated} mutations were written twice, though all were recorded");
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: the second signal doesn't wait for anything.
#[test]
fn a_second_signal_stops_at_once() {
    let Some(lab) = Lab::open("signals_twice") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").target(&proxy.address);
    proxy.hold_writes(Duration::from_secs(20));
    // What is in flight at the first one would be waited for, for ten seconds.
    assert_within(Duration::from_secs(5), || {
        let mut run = job.start();
        run.await_event("writes in flight", |event| event["type"] == "progress" && event["in_flight"] != 0);
        run.signal("INT");
        run.await_event("draining", |event| event["type"] == "stopping" && event["draining"] == true);
        let second = Instant::now();
        run.signal("INT");
        let finished = run.finish();
        finished.assert_code(130);
        second.elapsed()
    });
    proxy.behave();
    job.succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a stop while the target only fails doesn't wait for patience to end.
#[test]
fn a_signal_ends_a_copy_that_only_retries() {
    let Some(lab) = Lab::open("signals_retry") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").target(&proxy.address);
    proxy.on_requests(vec![RequestRule(writes(), RequestReaction::forge().overloaded())]);
    // Tries that go on would be waited for, for ten seconds.
    assert_within(Duration::from_secs(5), || {
        let mut run = job.start();
        run.await_type("retry");
        let asked = Instant::now();
        run.signal("TERM");
        run.finish().assert_code(143);
        asked.elapsed()
    });
    assert_eq!(job.status()["rows_written"], 0);
    assert_eq!(lab.target.writes("t"), 0, "what the proxy answers never reaches the node");
}

/// Goal: `nohup migrate …` outlives its terminal.
#[test]
fn a_hangup_that_is_to_be_ignored_is_ignored() {
    let Some(lab) = Lab::open("signals_nohup") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").under(&["env", "--ignore-signal=HUP"]).args(&["--writers", "2"]).target(&proxy.address);
    proxy.hold_writes(Duration::from_millis(200));
    let mut run = job.start();
    run.await_progress();
    run.signal("HUP");
    run.await_type("progress");
    proxy.behave();
    let finished = run.finish();
    finished.assert_code(0);
    assert_eq!(finished.count("stopping"), 0);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}
