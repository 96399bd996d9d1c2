//! What a checkpoint refuses, and what it says when there is nothing left to do.

use crate::job::Job;
use crate::lab::{Lab, THEN};
use crate::proxy::{PAYLOAD, Proxy};
use serde_json::{Value, json};
use std::time::Duration;

const ROWS: i32 = 3000;

fn fill(lab: &Lab, table: &str) {
    lab.both(&format!("CREATE TABLE {table} (id int PRIMARY KEY, a text)"));
    let insert = format!("INSERT INTO {table} (id, a) VALUES (?, '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..ROWS).map(|id| (id, THEN)));
}

/// The job through a proxy that holds writes back, each row by itself, so that it lasts for half a minute.
fn slow(job: &Job, proxy: &mut Proxy) -> Job {
    proxy.hold_writes(Duration::from_millis(80));
    job.clone().target(&proxy.address).args(&["--readers", "2", "--writers", "8", "--batch", "none"])
}

/// A job that was stopped in the middle.
fn begun(lab: &Lab, table: &str) -> Job {
    fill(lab, table);
    let job = lab.job(table);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let mut run = slow(&job, &mut proxy).start();
    run.await_progress();
    run.signal("TERM");
    run.finish().assert_code(143);
    job
}

/// Runs the command, which is refused with each of `texts`, and leaves the checkpoint byte for byte as it was.
#[track_caller]
fn assert_refused(job: &Job, texts: &[&str]) {
    let before = std::fs::read(&job.checkpoint).unwrap();
    let finished = job.run();
    finished.assert_code(5);
    finished.assert_says(texts);
    finished.assert_says(&["--restart"]);
    assert!(before == std::fs::read(&job.checkpoint).unwrap(), "the checkpoint was changed");
    let folder = job.checkpoint.parent().unwrap();
    let name = job.checkpoint.file_name().unwrap().to_string_lossy().into_owned();
    for beside in std::fs::read_dir(folder).unwrap() {
        let beside = beside.unwrap().file_name().to_string_lossy().into_owned();
        assert!(!beside.starts_with(&name) || beside == name || beside == format!("{name}-lock"), "{beside} is left");
    }
}

/// Goal: a checkpoint is never taken for another job's, and what differs is named.
#[test]
fn another_job_is_refused_and_each_difference_is_named() {
    let Some(lab) = Lab::open("resume_other") else { return };
    let job = begun(&lab, "t");
    fill(&lab, "other");
    let (t, other) = (lab.name("t"), lab.name("other"));

    let of_other = lab.job("other").checkpoint(&job.checkpoint);
    assert_refused(
        &of_other,
        &["another job", "table", &format!("the checkpoint has {t}"), &format!("this command has {other}")],
    );
    assert_refused(&job.clone().arg("--table").arg(&other), &["table", &other]);
    assert_refused(&lab.job_into("t", "other").checkpoint(&job.checkpoint), &[&format!("{t}={other}")]);
    assert_refused(
        &job.clone().args(&["--unknown-timestamp", "42"]),
        &["unknown_timestamp", "the checkpoint has 1", "this command has 42"],
    );
    // Two differences at once are both named.
    assert_refused(&of_other.args(&["--unknown-timestamp", "-1"]), &["unknown_timestamp", &other]);

    // What doesn't change what is written may change.
    job.args(&["--readers", "3", "--writers", "5", "--batch", "none"]).succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a table that isn't the same any more is refused; `--restart` keeps the old file and copies anew.
#[test]
fn an_altered_or_recreated_table_is_refused_and_restart_copies_anew() {
    let Some(lab) = Lab::open("resume_schema") else { return };
    let job = begun(&lab, "t");
    lab.both("ALTER TABLE t ADD b int");
    assert_refused(&job, &["changed at the source", "its columns are others", "\"b\" int regular is new"]);
    lab.source.run("UPDATE t USING TIMESTAMP 77 SET b = 5 WHERE id = 5");

    // Its columns are those of the checkpoint again, yet it is another table.
    lab.target.run("DROP TABLE t");
    lab.target.run("CREATE TABLE t (id int PRIMARY KEY, a text, b int)");
    assert_refused(&job, &["changed at the target", "it was dropped and created again"]);

    let old = std::fs::read(&job.checkpoint).unwrap();
    let restart = job.clone().arg("--restart");
    let finished = restart.succeed();
    assert_eq!(finished.count("resumed"), 0);
    let aside = job.checkpoint.with_extension("db.1");
    assert!(
        finished.events.iter().any(|event| {
            event["message"].as_str().is_some_and(|message| message.contains(&*aside.to_string_lossy()))
        })
    );
    assert!(old == std::fs::read(&aside).unwrap(), "the old checkpoint is kept as it was");
    assert_eq!(job.status()["rows_written"], ROWS);
    // The files of the dropped table may still lie beside those of the new one, so a client's view is compared.
    let cql = "SELECT id, a, b, WRITETIME(a), WRITETIME(b), TTL(a) FROM t";
    assert!(lab.source.raw(cql) == lab.target.raw(cql));
}

/// Goal: one job, one process; the second one doesn't disturb the first.
///
/// Method: the first one writes through a slow proxy, the others would not.
#[test]
fn a_second_process_is_refused_by_the_pid_of_the_first() {
    let Some(lab) = Lab::open("resume_two") else { return };
    fill(&lab, "t");
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t");
    let mut first = slow(&job, &mut proxy).start();
    first.await_type("planned");
    first.await_event("writes", |event| event["type"] == "progress");
    assert_eq!(job.status()["state"], "running");
    for second in [job.clone(), job.clone().arg("--restart")] {
        let refused = second.run();
        refused.assert_code(5);
        refused.assert_says(&["in use", &format!("process {}", first.pid())]);
    }
    proxy.behave();
    first.finish().assert_code(0);
    let status = job.status();
    assert_eq!((&status["runs"], &status["rows_read"]), (&1.into(), &ROWS.into()));
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: what is done stays done: the same command writes nothing more.
#[test]
fn the_same_command_after_the_end_writes_nothing() {
    let Some(lab) = Lab::open("resume_done") else { return };
    fill(&lab, "t");
    let job = lab.job("t");
    job.succeed();
    let (writes, before) = (lab.target.writes("t"), std::fs::read(&job.checkpoint).unwrap());
    assert_eq!(writes, i64::from(ROWS), "each row was one mutation");
    let again = job.succeed();
    assert_eq!(again.end()["outcome"], "done");
    let resumed = again.events.iter().find(|event| event["type"] == "resumed").unwrap();
    assert_eq!(resumed["ranges"], resumed["ranges_done"]);
    assert_eq!((resumed["rows_read"].as_i64(), again.count("range_done")), (Some(ROWS.into()), 0));
    assert_eq!(lab.target.writes("t"), writes);
    assert!(before == std::fs::read(&job.checkpoint).unwrap());
    assert_eq!(job.status()["runs"], 1, "a run that does nothing is none");
}

/// Goal: running anything twice changes nothing.
#[test]
fn copying_twice_into_the_same_table_changes_nothing() {
    let Some(lab) = Lab::open("resume_twice") else { return };
    fill(&lab, "t");
    lab.source.load("INSERT INTO t (id) VALUES (?)", (ROWS..ROWS + 50).map(|id| (id,)));
    lab.source.load("UPDATE t USING TTL 50000 SET a = 'soon' WHERE id = ?", (0..500).map(|id| (id,)));
    lab.job("t").succeed();
    let dumped = |name: &str| {
        let path = lab.folder.path().join(name);
        std::fs::rename(lab.dump(&lab.target, "t"), &path).unwrap();
        path
    };
    let first = dumped("first");
    lab.job("t")
        .checkpoint(&lab.folder.path().join("second.db"))
        .args(&["--batch", "none", "--ranges", "300"])
        .succeed();
    let second = dumped("second");
    assert_eq!(lab.target.writes("t"), 2 * i64::from(ROWS + 50), "everything was written twice");
    let open = |path| std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let options = crate::oracle::Options { ttl_tolerance: crate::lab::TTL_TOLERANCE, ..Default::default() };
    let report = crate::oracle::compare(open(first), open(second), &options).unwrap();
    assert!(report.is_equal(), "{report}");
    assert_eq!(report.rows, u64::try_from(ROWS + 50).unwrap());
}

/// Goal: rows that were acknowledged at a lower consistency level than a later run asks for are told with their number, by that run
/// and by the status, also once all is done, and also where a repair wrote them.
#[test]
fn rows_of_a_lower_consistency_level_are_told() {
    let Some(lab) = Lab::open("job_levels") else { return };
    fill(&lab, "t");
    let job = lab.job("t").args(&["--ranges", "100"]);
    let low = job.clone().args(&["--consistency", "ONE", "--rows-per-second", "100"]);
    let mut run = low.start();
    run.await_progress();
    run.signal("INT");
    run.finish().assert_code(130);
    let rows = job.status()["rows_written"].as_u64().unwrap();
    let warned = |args: &[&str]| {
        let finished = job.clone().args(args).succeed();
        let of = |event: &&Value| event["type"] == "warning" && event["message"].as_str().unwrap().contains("promise");
        finished.events.iter().filter(of).map(|event| event["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let warnings = warned(&["--source-consistency", "ONE", "--target-consistency", "ALL"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let expected = format!("{rows} rows of this job were written at ONE before, which doesn't promise what ALL does");
    assert!(warnings[0].starts_with(&expected) && warnings[0].contains("--restart"), "{warnings:?}");
    let all = u64::try_from(ROWS).unwrap();
    let copied =
        |target: &str, rows_written: u64| json!({"source": "ONE", "target": target, "rows_written": rows_written});
    assert_eq!(job.status()["copied_at"], json!([copied("ONE", rows), copied("ALL", all - rows)]));
    // Nothing is left to do; that is no reason to keep silent.
    assert_eq!(warned(&["--consistency", "LOCAL_QUORUM"]).len(), 2);
    assert_eq!(warned(&["--consistency", "ONE"]), Vec::<String>::new());
    lab.source.run(&format!("UPDATE t USING TIMESTAMP {} SET a = 'newer' WHERE id = 1", THEN + 1));
    job.verify().args(&["--repair", "--recheck-after", "50ms", "--consistency", "ONE"]).succeed();
    assert_eq!(job.status()["copied_at"], json!([copied("ONE", rows + 1), copied("ALL", all - rows)]));
    assert_eq!(warned(&["--consistency", "ALL", "--restart"]), Vec::<String>::new());
}
