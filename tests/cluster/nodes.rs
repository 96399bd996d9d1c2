//! A node that dies, stands still, or is hard to reach, as far as a proxy before a single one can show it. `scripts/nodes` does
//! the same to real ones, three a side.

use crate::job::{Finished, Job, Running};
use crate::lab::{Lab, SOURCE, THEN};
use crate::proxy::{PAYLOAD, Proxy};
use crate::signals::assert_within;
use scylla_proxy::{Condition, Reaction, RequestOpcode, RequestReaction, RequestRule};
use serde_json::Value;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const ROWS: i32 = 12_000;

/// A table of rows in small partitions, and a slow copy of it, one by one, through proxies before both nodes: source, target.
fn scene(lab: &Lab) -> (Job, Proxy, Proxy) {
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    let insert = format!("INSERT INTO t (room, id, a) VALUES (?, ?, '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..ROWS).map(|id| (id / 3, id, THEN)));
    let (source, mut target) = (Proxy::before(&lab.source, lab.runtime()), Proxy::before(&lab.target, lab.runtime()));
    target.delay_writes(Duration::from_millis(20));
    // So it lasts for half a minute.
    let job = lab.job("t").args(&["--ranges", "100", "--readers", "4", "--writers", "4", "--batch", "partition"]);
    (job.source(&source.address).target(&target.address), source, target)
}

/// The node takes everything and does nothing with it for this long. It breaks no connection by itself.
const STILL: Duration = Duration::from_secs(25);

fn stand_still(proxy: &mut Proxy) {
    proxy.on_requests(vec![RequestRule(Condition::True, RequestReaction::delay(STILL))]);
}

/// The node takes everything and never says anything, not even that it is alive.
fn silence(proxy: &mut Proxy) {
    proxy.on_requests(vec![RequestRule(Condition::True, RequestReaction::drop_frame())]);
}

/// The node is gone.
fn death(proxy: &mut Proxy) {
    proxy.on_requests(vec![RequestRule(Condition::True, RequestReaction::drop_connection())]);
}

fn started(job: &Job) -> Running {
    let mut run = job.start();
    run.await_progress();
    run
}

/// Goal: a node that stands still, and comes back before the operator's patience ends, costs time and nothing else; the operator
/// is told of both.
#[test]
fn a_node_that_stands_still_is_waited_for_and_said() {
    for side in ["source", "target"] {
        let Some(lab) = Lab::open("nodes_still") else { return };
        let (job, mut source, mut target) = scene(&lab);
        let mut run = started(&job);
        let proxy = if side == "source" { &mut source } else { &mut target };
        stand_still(proxy);
        let begun = Instant::now();
        let mut waiting = run.await_type("waiting");
        assert!(begun.elapsed() < STILL, "{:?}", begun.elapsed());
        assert_eq!(waiting["side"], side, "{waiting}");
        if waiting["nodes"]["silent"] == 0 {
            // A connection broke before the driver knew that its node is silent.
            waiting = run.await_type("waiting");
        }
        assert_eq!((&waiting["nodes"]["all"], &waiting["nodes"]["silent"]), (&1.into(), &1.into()), "{waiting}");
        proxy.behave();
        let back = run.await_type("back");
        assert_eq!(back["side"], side);
        let finished = run.finish();
        finished.assert_code(0);
        assert_eq!(job.status()["rows_read"], ROWS);
        lab.assert_equal("t", ROWS.try_into().unwrap());
    }
}

/// Goal: a cluster that is gone is waited for once, by the whole copy, and the same command carries on when it is back.
#[test]
fn a_cluster_that_is_gone_is_given_up_once() {
    for side in ["source", "target"] {
        let Some(lab) = Lab::open("nodes_gone") else { return };
        let (job, mut source, mut target) = scene(&lab);
        let patient = job.clone().args(&["--give-up-after", "12s"]);
        let run = started(&patient);
        death(if side == "source" { &mut source } else { &mut target });
        let begun = Instant::now();
        let finished = run.finish();
        let took = begun.elapsed();
        finished.assert_code(3);
        let told = |event: &&Value| matches!(event["type"].as_str(), Some("waiting" | "gave_up" | "range_failed"));
        let told: Vec<_> = finished.events.iter().filter(told).collect();
        // Each of the ranges by itself would take minutes.
        assert!((12..60).contains(&took.as_secs()), "{took:?} {told:#?}");
        assert_eq!((&finished.end()["gave_up"], &finished.end()["outcome"]), (&side.into(), &"incomplete".into()));
        assert!(finished.count("waiting") > 0 && finished.count("gave_up") == 1, "{:?}", finished.events.last());
        let since = finished.events.iter().position(|event| event["type"] == "retry").unwrap();
        let slowed = || finished.events[since..].iter().filter(|event| event["type"] == "slowed");
        assert!(slowed().all(|event| !event["by"].is_null()), "{:#?}", slowed().collect::<Vec<_>>());
        assert_unrecorded_is_told(&finished, &job);
        let status = job.status();
        let failed = status["ranges_failed"].as_u64().unwrap();
        assert!((1..=4).contains(&failed), "one of each reader at most: {status:#}");
        assert!(status["failures"][0]["error"].as_str().unwrap().contains("tries"), "{status:#}");

        source.behave();
        target.behave();
        let again = job.succeed();
        assert_eq!(again.count("resumed"), 1);
        assert_eq!(job.status()["rows_read"], ROWS);
        lab.assert_equal("t", ROWS.try_into().unwrap());
    }
}

/// Rows that the target acknowledged, and that nobody could record since a side was gone, are told with their number.
fn assert_unrecorded_is_told(finished: &Finished, job: &Job) {
    let number = |name: &str| finished.end()[name].as_u64().unwrap();
    let (written, recorded) = (number("rows_written"), number("rows_committed"));
    assert_eq!(job.status()["rows_written"], recorded);
    assert!(written > recorded, "{written} {recorded}");
    let told = format!("{} rows that the target acknowledged are not recorded", written - recorded);
    let is_told = |event: &Value| event["message"].as_str().is_some_and(|message| message.contains(&told));
    assert!(
        finished.events.iter().any(is_told),
        "{told}: {:#?}",
        finished.events.iter().filter(|e| e["type"] == "warning").collect::<Vec<_>>()
    );
}

/// Goal: where the source is gone, a Ctrl-C finishes what was read, and says what of it isn't recorded.
#[test]
fn a_signal_without_a_source_says_what_is_not_recorded() {
    let Some(lab) = Lab::open("nodes_unrecorded") else { return };
    let (job, mut source, _target) = scene(&lab);
    let run = started(&job);
    death(&mut source);
    std::thread::sleep(Duration::from_secs(2)); // What was read before is written meanwhile.
    run.signal("INT");
    let finished = run.finish();
    finished.assert_code(130);
    assert_unrecorded_is_told(&finished, &job);
    source.behave();
    job.succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: with a node that stands still, the first Ctrl-C ends in seconds, the second at once.
#[test]
fn a_node_that_stands_still_holds_up_no_signal() {
    let Some(lab) = Lab::open("nodes_drain") else { return };
    let (job, _source, mut target) = scene(&lab);
    let mut stopped_by = |signals| {
        target.delay_writes(Duration::from_millis(20));
        let run = started(&job);
        silence(&mut target);
        std::thread::sleep(Duration::from_secs(1));
        let begun = Instant::now();
        for _ in 0..signals {
            run.signal("INT");
            std::thread::sleep(Duration::from_millis(300));
        }
        run.finish().assert_code(130);
        begun.elapsed()
    };
    // Ten seconds to drain, and five for a last look; its patience is a quarter of an hour.
    let took = stopped_by(1);
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_within(Duration::from_secs(5), || stopped_by(2));
    target.behave();
    job.succeed();
    assert_eq!(job.status()["rows_read"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: on a network that loses connections now and then, nothing is lost but time.
#[test]
fn connections_that_break_now_and_then_cost_nothing_but_time() {
    let Some(lab) = Lab::open("nodes_cut") else { return };
    let (job, mut source, mut target) = scene(&lab);
    let run = started(&job);
    let (page, batch) = (RequestOpcode::Execute, RequestOpcode::Batch);
    let now_and_then = |opcode, share| {
        let requests = Condition::RequestOpcode(opcode).and(Condition::RandomWithProbability(share));
        vec![RequestRule(requests, RequestReaction::drop_connection())]
    };
    source.on_requests(now_and_then(page, 0.05));
    target.on_requests(now_and_then(batch, 0.003));
    let finished = run.finish();
    finished.assert_code(0);
    assert!(finished.end()["retries"].as_u64().unwrap() > 2, "{}", finished.end());
    assert_eq!(job.status()["rows_read"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a contact point that is dead, and one that says nothing, hold nothing up for long.
#[test]
fn other_contact_points_are_asked() {
    let Some(lab) = Lab::open("nodes_contact") else { return };
    lab.both("CREATE TABLE t (room int PRIMARY KEY, a text)");
    lab.source.load("INSERT INTO t (room, a) VALUES (?, 'x') USING TIMESTAMP ?", (0..10).map(|id| (id, THEN)));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let contact_points = format!("127.0.0.1:1,{},{SOURCE}", silent.local_addr().unwrap());
    let begun = Instant::now();
    lab.job("t").source(&contact_points).succeed();
    // The one that says nothing never would.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    lab.assert_equal("t", 10);
}
