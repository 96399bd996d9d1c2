//! The pace of a copy: limits, live control, and clusters that ask for less.

use crate::job::{Finished, Job, Running};
use crate::lab::{Lab, THEN};
use crate::proxy::{PAYLOAD, Proxy, writes};
use scylla_proxy::{RequestReaction, RequestRule};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is asked for is done within this time: far less than what is left to copy, or the pause, would take.
const SOON: Duration = Duration::from_secs(30);

fn fill(lab: &Lab, rows: i32) {
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    let insert = format!("INSERT INTO t (room, id, a) VALUES (?, ?, '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..rows).map(|id| (id / 3, id, THEN)));
}

/// `migrate set` and the like, for this job.
pub(crate) fn control(job: &Job, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    let out = command.args(words).arg("--checkpoint").arg(&job.checkpoint).output().unwrap();
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The next report of progress.
fn progress(run: &mut Running) -> Value {
    run.await_type("progress")
}

/// So much per second, between two reports.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(of: &str, from: &Value, to: &Value) -> f64 {
    let more = to[of].as_u64().unwrap() - from[of].as_u64().unwrap();
    let ms = to["at"].as_i64().unwrap() - from["at"].as_i64().unwrap();
    more as f64 * 1000.0 / ms as f64
}

/// No report, neither `from` nor one that follows, tells of more rows than `limit` permits since `from`: a tenth more than its rate, and
/// `beside` that. A target that stands still for a while acknowledges rows later, but not more of them.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn assert_held<'a>(limit: u32, from: &Value, reports: impl Iterator<Item = &'a Value>, beside: f64) {
    let rows = |event: &Value| event["rows_written"].as_u64().unwrap_or(0) as f64;
    for report in reports {
        let seconds = (report["at"].as_i64().unwrap() - from["at"].as_i64().unwrap()) as f64 / 1000.0;
        let permitted = f64::from(limit) * 1.1 * seconds + beside;
        let more = rows(report) - rows(from);
        assert!(more <= permitted, "{more} rows in {seconds} s, of {permitted}: {report}");
    }
}

/// At some time, as much is written as `limit` permits.
fn assert_used(limit: u32, reports: &[&Value]) {
    let rates = reports.windows(2).map(|pair| rate("rows_written", pair[0], pair[1]));
    let highest = rates.fold(0.0, f64::max);
    assert!(highest >= f64::from(limit) * 0.9, "{highest} rows/s at most, of {limit}");
}

/// Goal: a limit holds, from the beginning of a copy to its end, and the copy makes use of it.
///
/// Method: copies at a fraction of their natural speed. Each report of progress has its own time.
#[test]
fn limits_are_held_within_a_tenth() {
    const ROWS: i32 = 8000;
    const LIMIT: u32 = 1000;
    /// What may be saved up, and a batch that was begun with that.
    const BESIDE: f64 = 500.0;
    let Some(lab) = Lab::open("pace_limits") else { return };
    fill(&lab, ROWS);
    let reports = |finished: &Finished| {
        // Those before tell that there is no plan yet.
        let mut events = finished.events.iter().skip_while(|event| event["type"] != "planned");
        let planned = events.next().unwrap().clone();
        (planned, events.filter(|event| event["type"] == "progress").cloned().collect::<Vec<_>>())
    };
    let job = lab.job("t").args(&["--rows-per-second", "1k", "--bytes-per-second", "off"]);
    let by_rows = job.succeed();
    let (begin, progress) = reports(&by_rows);
    let progress: Vec<&Value> = progress.iter().collect();
    assert_held(LIMIT, &begin, progress.iter().copied().chain([by_rows.end()]), BESIDE);
    assert_used(LIMIT, &progress);
    assert!(progress.iter().any(|report| report["slowed_by"] == "rows_per_second"), "no report says why");
    // What it is that slows the copy is told once it has lasted: the limit, or a node that stood still before.
    assert!(by_rows.count("slowed") > 0, "it isn't told");
    lab.assert_equal("t", ROWS.try_into().unwrap());

    let bytes_of_row = job.status()["bytes_read"].as_u64().unwrap() / u64::try_from(ROWS).unwrap();
    lab.target.run("CREATE TABLE u (room int, id int, a text, PRIMARY KEY (room, id))");
    let limit = (bytes_of_row * u64::from(LIMIT)).to_string();
    let by_bytes = lab.job_into("t", "u").args(&["--bytes-per-second", &limit]).succeed();
    let (begin, progress) = reports(&by_bytes);
    let progress: Vec<&Value> = progress.iter().collect();
    assert_held(LIMIT, &begin, progress.iter().copied().chain([by_bytes.end()]), BESIDE);
    assert_used(LIMIT, &progress);
}

/// Goal: what is set is taken up by the running copy soon, and holds in the next run.
#[test]
fn the_rate_of_a_running_copy_is_changed() {
    const ROWS: i32 = 60_000;
    /// What may be on its way when the limit is changed: 32 batches of 100 rows.
    const ON_THE_WAY: f64 = 3200.0;
    let Some(lab) = Lab::open("pace_set") else { return };
    fill(&lab, ROWS);
    let job = lab.job("t").args(&["--rows-per-second", "1k"]);
    let mut run = job.start();
    run.await_progress();
    let answer = control(&job, &["set", "rows-per-second=3k", "writers=5", "readers=12"]);
    assert!(answer.contains("takes it up"), "{answer}");
    let asked = Instant::now();
    let set = |key: &'static str| move |event: &Value| event["type"] == "set" && event["key"] == key;
    assert_eq!(run.await_event("the change", set("rows-per-second"))["value"], "3k");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    let from = progress(&mut run);
    assert_eq!((&from["writers"], &from["rows_per_second_max"]), (&5.into(), &3000.into()));
    let mut reports = vec![from];
    while reports.len() < 4 || !reports.windows(2).any(|pair| rate("rows_written", &pair[0], &pair[1]) > 2000.0) {
        reports.push(progress(&mut run));
    }
    assert_held(3000, &reports[0], reports.iter(), ON_THE_WAY);
    run.kill();
    let status = job.status();
    assert_eq!(status["set"], serde_json::json!({"rows-per-second": "3k", "writers": "5", "readers": "12"}));

    // It comes before the command line, and the run says so; then it is taken back.
    let mut run = job.start();
    run.await_event("what holds", set("rows-per-second"));
    run.await_progress();
    let answer = control(&job, &["set", "rows-per-second=off", "writers=default"]);
    assert!(answer.contains("was 3k"), "{answer}");
    assert_eq!(run.await_event("the change", set("writers"))["value"], Value::Null);
    run.finish().assert_code(0);
    assert_eq!(job.status()["set"], serde_json::json!({"rows-per-second": "off", "readers": "12"}));
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a pause reads and writes nothing new and saves what was in flight; it outlives the process; nothing is lost by it.
///
/// Method: a copy is paused, left alone for a while, killed, begun again (paused), stopped by Ctrl-C, begun again and continued.
/// What is written is the target's own count.
#[test]
fn a_pause_is_kept_over_a_kill_and_ended_by_continue() {
    const ROWS: i32 = 60_000;
    let Some(lab) = Lab::open("pace_pause") else { return };
    fill(&lab, ROWS);
    let job = lab.job("t").args(&["--rows-per-second", "2k", "--give-up-after", "2s"]);
    let mut run = job.start();
    run.await_progress();
    assert!(control(&job, &["pause"]).contains("finishes what is in flight"));
    let asked = Instant::now();
    run.await_type("paused");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    // The last partition of a page may go on.
    let first = run.await_event("all is saved", |event| {
        let rows = |name: &str| event[name].as_u64().unwrap();
        event["type"] == "progress" && event["in_flight"] == 0 && rows("rows_written") - rows("rows_committed") <= 8 * 3
    });
    let writes = lab.target.writes("t");
    // Longer than patience.
    for _ in 0..3 {
        progress(&mut run);
    }
    let last = progress(&mut run);
    assert_eq!((&last["rows_written"], &last["rows_read"]), (&first["rows_written"], &first["rows_read"]));
    assert_eq!((lab.target.writes("t"), &last["slowed_by"]), (writes, &"paused".into()));
    run.kill();
    let status = job.status();
    assert_eq!((&status["state"], &status["paused"]), (&"stopped".into(), &true.into()));

    let mut run = job.start();
    run.await_type("paused");
    for _ in 0..3 {
        assert_eq!(progress(&mut run)["rows_read"], 0);
    }
    run.signal("INT");
    let stopped = Instant::now();
    run.finish().assert_code(130);
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
    assert_eq!(lab.target.writes("t"), writes);

    let mut run = job.start();
    run.await_type("paused");
    assert!(control(&job, &["continue"]).contains("goes on"));
    run.await_type("continued");
    control(&job, &["set", "rows-per-second=off"]);
    run.finish().assert_code(0);
    assert_eq!((&job.status()["rows_read"], &job.status()["paused"]), (&ROWS.into(), &false.into()));
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: Ctrl-C ends a copy at once that was paused in the middle, with writes that wait.
#[test]
fn a_signal_ends_a_pause() {
    const ROWS: i32 = 40_000;
    let Some(lab) = Lab::open("pace_signal") else { return };
    fill(&lab, ROWS);
    let job = lab.job("t").args(&["--rows-per-second", "1k"]);
    let mut run = job.start();
    run.await_progress();
    control(&job, &["pause"]);
    run.await_type("paused");
    progress(&mut run);
    let stopped = Instant::now();
    run.signal("TERM");
    run.finish().assert_code(143);
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
    control(&job, &["continue"]);
    control(&job, &["set", "rows-per-second=off"]);
    job.succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a target that is overloaded for a while gets fewer requests, and all of them again once it is well.
#[test]
fn overload_lowers_the_number_of_writes_and_passes() {
    const ROWS: i32 = 60_000;
    let Some(lab) = Lab::open("pace_overload") else { return };
    fill(&lab, ROWS);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").args(&["--rows-per-second", "1k"]).target(&proxy.address);
    let mut run = job.start();
    run.await_progress();
    assert_eq!(progress(&mut run)["writers"], 32);
    proxy.on_requests(vec![RequestRule(writes(), RequestReaction::forge().overloaded())]);
    run.await_event("fewer writes", |event| {
        event["type"] == "progress" && event["writers"].as_u64() <= Some(4) && event["slowed_by"] == "target_overloaded"
    });
    proxy.behave();
    run.await_event("recovery", |event| event["type"] == "progress" && event["writers"] == 32);
    control(&job, &["set", "rows-per-second=off"]);
    run.finish().assert_code(0);
    assert_eq!(job.status()["rows_read"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: latency above the operator's limit lowers the number of requests, on either side, until it is below again.
#[test]
fn latency_above_the_limit_lowers_the_number_of_requests() {
    const ROWS: i32 = 60_000;
    let Some(lab) = Lab::open("pace_latency") else { return };
    fill(&lab, ROWS);
    let mut proxies = [Proxy::before(&lab.source, lab.runtime()), Proxy::before(&lab.target, lab.runtime())];
    let job = lab.job("t").source(&proxies[0].address).target(&proxies[1].address).args(&[
        "--rows-per-second",
        "2k",
        "--ranges",
        "600",
        "--source-latency",
        "150ms",
        "--target-latency",
        "150ms",
    ]);
    let mut run = job.start();
    run.await_progress();
    for proxy in &mut proxies {
        proxy.delay_answers(Duration::from_millis(400));
    }
    let fewer = |what, most: u64, by: &'static str| {
        move |event: &Value| {
            event["type"] == "progress" && event[what].as_u64() <= Some(most) && event["slowed_by"] == by
        }
    };
    run.await_event("fewer writes", fewer("writers", 8, "target_latency"));
    run.await_event("fewer pages", |event| event["type"] == "progress" && event["readers"].as_u64() <= Some(4));
    for proxy in &mut proxies {
        proxy.behave();
    }
    control(&job, &["set", "rows-per-second=off", "target-latency=off", "source-latency=off"]);
    run.finish().assert_code(0);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}
