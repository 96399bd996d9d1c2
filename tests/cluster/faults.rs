//! Errors on the way, forged between the program and a real node.

use crate::job::{Job, Running};
use crate::lab::{Lab, THEN};
use crate::proxy::{PAYLOAD, Proxy, counted, scans, times, writes};
use scylla_proxy::{
    Condition, Reaction, RequestReaction, RequestRule, ResponseFrame, ResponseOpcode, ResponseReaction, ResponseRule,
    example_db_errors,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const ROWS: i32 = 5000;

fn fill(lab: &Lab) {
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    let insert = format!("INSERT INTO t (room, id, a) VALUES (?, ?, '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..ROWS).map(|id| (id / 3, id, THEN)));
}

/// Starts the job, two hundred scans that are slow until there are other rules for them: some scans before the copy begins look like
/// its own, so that these rules can't be in place from the start.
fn begun(job: &Job, before_source: &mut Proxy) -> Running {
    before_source.on_requests(vec![RequestRule(scans(|_| true), RequestReaction::delay(Duration::from_millis(200)))]);
    let mut run = job.clone().args(&["--ranges", "200", "--readers", "2"]).start();
    run.await_begin();
    run
}

/// Goal: whatever passes is tried again until it does; nothing is lost, nothing is counted twice.
///
/// Method: each kind of error a few times, on both sides in one copy; each is counted where it is made. Some of the
/// writes are carried out and then reported as timed out: the tool can't know, and repeats them.
#[test]
fn errors_that_pass_are_tried_again_and_counted() {
    let Some(lab) = Lab::open("faults_pass") else { return };
    fill(&lab);
    let (mut before_source, mut before_target) =
        (Proxy::before(&lab.source, lab.runtime()), Proxy::before(&lab.target, lab.runtime()));
    let job = lab.job("t").source(&before_source.address).target(&before_target.address);
    let mut run = job.start();
    run.await_begin();
    let forge = RequestReaction::forge();
    let mut counters = Vec::new();
    let mut rule = |n, requests, reaction| {
        let (reaction, counter) = counted(reaction);
        counters.push((n, counter));
        times(n, requests, reaction)
    };
    let scans = || scans(|_| true);
    // Where the node that keeps the role is down.
    let words = "Unable to perform authorization of permissions: Cannot achieve consistency level LOCAL_ONE".to_owned();
    let unread = RequestReaction::forge_with_error_and_message(example_db_errors::unauthorized(), Some(words));
    before_source.on_requests(vec![
        rule(2, scans(), unread.clone()),
        rule(3, scans(), forge.read_timeout()),
        rule(3, scans(), forge.read_failure()),
        rule(3, scans(), forge.unavailable()),
        rule(3, scans(), forge.overloaded()),
        rule(2, scans(), forge.server_error()),
        rule(2, scans(), RequestReaction::forge_with_error(example_db_errors::is_bootstrapping())),
    ]);
    before_target.on_requests(vec![
        rule(2, writes(), unread),
        rule(5, writes(), forge.write_timeout()),
        rule(5, writes(), forge.overloaded()),
        rule(5, writes(), forge.unavailable()),
        rule(5, writes(), forge.write_failure()),
        rule(3, writes(), forge.server_error()),
    ]);
    // The answer to a write that was carried out is a result of kind "void".
    let lies = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&lies);
    let lie = ResponseReaction::transform_frame(Arc::new(move |frame| {
        if *frame.body != 1i32.to_be_bytes() || told.fetch_add(1, Ordering::Relaxed) >= 5 {
            return frame;
        }
        ResponseFrame::forged_error(frame.params.for_request(), example_db_errors::write_timeout(), None).unwrap()
    }));
    before_target.on_responses(vec![ResponseRule(Condition::ResponseOpcode(ResponseOpcode::Result), lie)]);
    let finished = run.finish();
    finished.assert_code(0);
    for (expected, counter) in &mut counters {
        assert_eq!(counter.take().len(), *expected, "the proxy forged fewer errors than it should");
    }
    assert!(lies.load(Ordering::Relaxed) > 5);
    let forged: usize = counters.iter().map(|(n, _)| n).sum::<usize>() + 5;
    assert_eq!(finished.end()["retries"], forged, "each failure is one retry");
    assert_eq!(finished.count("retry"), forged);
    let sides =
        |side: &str| finished.events.iter().filter(|event| event["side"] == side && event["type"] == "retry").count();
    assert_eq!((sides("source"), sides("target")), (18, forged - 18));
    assert_eq!(job.status()["rows_read"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a node that doesn't know the table yet, or a column of it, costs no row: what it refuses is tried again.
#[test]
fn a_node_that_lags_behind_the_schema_rejects_no_row() {
    let Some(lab) = Lab::open("faults_lags") else { return };
    fill(&lab);
    let (mut before_source, mut before_target) =
        (Proxy::before(&lab.source, lab.runtime()), Proxy::before(&lab.target, lab.runtime()));
    let words = ["table t does not exist", "unconfigured table t", "Undefined column name a in table ks.t"];
    let refuses = |requests: Condition, words: &str| {
        let words = Some(words.to_owned());
        times(7, requests, RequestReaction::forge_with_error_and_message(example_db_errors::invalid(), words))
    };
    before_target.on_requests(words.map(|words| refuses(writes(), words)).into());
    let run = begun(&lab.job("t").source(&before_source.address).target(&before_target.address), &mut before_source);
    before_source.on_requests(words.map(|words| refuses(scans(|_| true), words)).into());
    let finished = run.finish();
    finished.assert_code(0);
    let waits = |side: &str| {
        let waits = finished.events.iter().filter(|event| event["type"] == "retry" && event["class"] == "unavailable");
        waits.filter(|event| event["side"] == side).count()
    };
    assert!(waits("source") >= 21 && waits("target") >= 21, "{}", finished.end());
    assert_eq!(finished.end()["rows_rejected"], 0);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: connections that break, on either side, cost nothing but time.
#[test]
fn connections_that_break_are_made_anew() {
    let Some(lab) = Lab::open("faults_drop") else { return };
    fill(&lab);
    let (mut before_source, mut before_target) =
        (Proxy::before(&lab.source, lab.runtime()), Proxy::before(&lab.target, lab.runtime()));
    let job = lab.job("t").source(&before_source.address).target(&before_target.address);
    before_target.on_requests(vec![times(3, writes(), RequestReaction::drop_connection())]);
    let run = begun(&job, &mut before_source);
    before_source.on_requests(vec![times(3, scans(|_| true), RequestReaction::drop_connection())]);
    let finished = run.finish();
    finished.assert_code(0);
    assert!(finished.end()["retries"].as_u64().unwrap() >= 2, "{}", finished.end());
    assert_eq!(job.status()["rows_read"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a request without an answer is given up by the client, and sent again.
#[test]
fn requests_that_are_never_answered_are_sent_again() {
    let Some(lab) = Lab::open("faults_silent") else { return };
    fill(&lab);
    let (mut before_source, mut before_target) =
        (Proxy::before(&lab.source, lab.runtime()), Proxy::before(&lab.target, lab.runtime()));
    let job = lab.job("t").source(&before_source.address).target(&before_target.address);
    before_target.on_requests(vec![times(2, writes(), RequestReaction::drop_frame())]);
    let run = begun(&job, &mut before_source);
    before_source.on_requests(vec![times(1, scans(|_| true), RequestReaction::drop_frame())]);
    let finished = run.finish();
    finished.assert_code(0);
    // Others, too, may wait too long for a node that is busy.
    let timeouts = finished.events.iter().filter(|event| event["type"] == "retry" && event["class"] == "timeout");
    assert!(timeouts.count() >= 3, "{}", finished.end());
    assert_eq!(finished.end()["retries"], finished.count("retry"));
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: what doesn't pass ends the copy with code 3 and a reason, and the same command finishes it later.
#[test]
fn a_target_that_stays_overloaded_fails_ranges_and_the_same_command_finishes_later() {
    let Some(lab) = Lab::open("faults_stay") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").args(&["--give-up-after", "2s"]);
    proxy.on_requests(vec![RequestRule(writes(), RequestReaction::forge().overloaded())]);
    let finished = job.clone().target(&proxy.address).run();
    finished.assert_code(3);
    assert_eq!(finished.end()["outcome"], "incomplete");
    let status = job.status();
    assert_eq!(status["state"], "incomplete");
    assert!(status["ranges_failed"].as_u64().unwrap() > 0, "{status:#}");
    let error = status["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("overloaded") && error.contains("tries"), "{error}");
    // Nothing got around the proxy.
    assert_eq!(lab.target.writes("t"), 0);

    let again = job.succeed();
    assert_eq!(again.count("resumed"), 1);
    let status = job.status();
    assert_eq!((&status["state"], &status["ranges_failed"]), (&"done".into(), &0.into()));
    lab.assert_equal("t", ROWS.try_into().unwrap());
}
