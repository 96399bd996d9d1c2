//! Tables that somebody alters, drops, creates again or truncates while they are copied.
//!
//! In each test, the change falls in the midst of a copy: some ranges are recorded, and all further writes are held back by the
//! proxy until it has been made.

use crate::job::{Finished, Job, Running};
use crate::lab::{Lab, Node, THEN};
use crate::pace::control;
use crate::proxy::{PAYLOAD, Proxy, times};
use crate::signals::assert_within;
use scylla_proxy::{Condition, Reaction, RequestFrame, RequestOpcode, RequestReaction, RequestRule};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROWS: i32 = 4000;
/// Writes are held back for this long while a table is changed, three of some sixty at a time: what is left lasts longer than any change.
const HELD: Duration = Duration::from_secs(5);

fn create(node: &Node, table: &str) {
    node.run(&format!("CREATE TABLE {table} (room int, id int, a text, b int, PRIMARY KEY (room, id))"));
}

fn fill(lab: &Lab, table: &str) {
    let insert = format!("INSERT INTO {table} (room, id, a, b) VALUES (?, ?, '{PAYLOAD}', ?) USING TIMESTAMP ?");
    lab.source.load(&insert, (0..ROWS).map(|id| (id / 5, id, id, THEN)));
}

fn both(lab: &Lab, table: &str) {
    create(&lab.source, table);
    create(&lab.target, table);
    fill(lab, table);
}

/// So slow that it is in its midst for long.
fn slow(job: Job) -> Job {
    job.args(&["--ranges", "60", "--readers", "3", "--writers", "3"])
}

/// Runs a copy, with `change` in the midst of it.
fn amid(lab: &Lab, job: &Job, change: impl FnOnce()) -> Finished {
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.hold_writes(Duration::from_millis(150));
    let mut run = slow(job.clone()).target(&proxy.address).start();
    run.await_progress();
    proxy.hold_writes(HELD);
    change();
    proxy.behave();
    run.finish()
}

/// A copy that has just begun, and writes nothing for a while.
fn begun(proxy: &mut Proxy, job: &Job) -> Running {
    proxy.hold_writes(Duration::from_secs(2));
    let mut run = job.start();
    run.await_begin();
    run
}

/// Questions about the version of the schema.
fn looks() -> Condition {
    let version = Condition::BodyContainsCaseSensitive(b"schema_version".as_slice().into());
    Condition::RequestOpcode(RequestOpcode::Query).and(version)
}

/// The one table of a job was changed: the job is refused with these words, and again when it is repeated; nothing that came after
/// the change is recorded.
#[track_caller]
fn assert_refused(job: &Job, finished: &Finished, says: &str) {
    finished.assert_code(5);
    finished.assert_says(&[says, "--restart"]);
    let status = job.status();
    assert_eq!(status["last_run"]["outcome"], "error");
    assert_eq!(status["tables"][0]["state"], "broken");
    let done = status["ranges_done"].as_u64().unwrap();
    assert!(done > 0 && done < status["ranges"].as_u64().unwrap(), "{status:#}");
    assert_eq!(status["rows_rejected"], 0);
    let again = job.run();
    again.assert_code(5);
    again.assert_says(&[says]);
    assert_eq!(again.count("range_claimed"), 0);
}

/// The reason that is told of a table.
fn reason(lab: &Lab, table: &str, side: &str, what: &str) -> String {
    format!("{} was changed at the {side} since the job took it in: {what}", lab.name(table))
}

/// Goal: a column that is added at the source isn't left out of a copy that counts as done.
#[test]
fn a_column_that_is_added_at_the_source_is_noticed() {
    let Some(lab) = Lab::open("chg_add") else { return };
    both(&lab, "t");
    let job = lab.job("t");
    let finished = amid(&lab, &job, || {
        lab.source.run("ALTER TABLE t ADD c text");
        lab.source.run(&format!("UPDATE t USING TIMESTAMP {THEN} SET c = 'new' WHERE room = 0 AND id = 0"));
    });
    assert_refused(&job, &finished, &reason(&lab, "t", "source", "its columns are others: \"c\" text regular is new"));
    lab.target.run("ALTER TABLE t ADD c text");
    job.arg("--restart").succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: the same of a column that is dropped, after which the scan's own statement is refused.
#[test]
fn a_column_that_is_dropped_at_the_source_is_noticed() {
    let Some(lab) = Lab::open("chg_drop") else { return };
    both(&lab, "t");
    let job = lab.job("t");
    let finished = amid(&lab, &job, || lab.source.run("ALTER TABLE t DROP b"));
    assert_refused(&job, &finished, &reason(&lab, "t", "source", "its columns are others: \"b\" int regular is gone"));
    lab.target.run("ALTER TABLE t DROP b");
    job.arg("--restart").succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a table at the target that gets another column, or loses one, isn't the source's any more.
#[test]
fn columns_that_come_and_go_at_the_target_are_noticed() {
    let Some(lab) = Lab::open("chg_target") else { return };
    for (table, change, back, what) in [
        ("t", "ADD c text", "DROP c", "\"c\" text regular is new"),
        ("u", "DROP b", "ADD b int", "\"b\" int regular is gone"),
    ] {
        both(&lab, table);
        let job = lab.job(table);
        let finished = amid(&lab, &job, || lab.target.run(&format!("ALTER TABLE {table} {change}")));
        let what = format!("its columns are others: {what}");
        assert_refused(&job, &finished, &reason(&lab, table, "target", &what));
        lab.target.run(&format!("ALTER TABLE {table} {back}"));
    }
    lab.job("t").arg("--restart").succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a type that gets another field while values of it are read: they are neither misread nor written in part, and what
/// can't be read any more isn't tried for long.
#[test]
fn a_field_that_is_added_to_a_type_is_noticed() {
    let Some(lab) = Lab::open("chg_type") else { return };
    for (table, cql_type) in [("whole", "frozen<place>"), ("parts", "place")] {
        if table == "whole" {
            lab.both("CREATE TYPE place (street text, number int)");
        }
        lab.both(&format!("CREATE TABLE {table} (room int, id int, a text, p {cql_type}, PRIMARY KEY (room, id))"));
        let insert = format!(
            "INSERT INTO {table} (room, id, a, p) VALUES (?, ?, '{PAYLOAD}', {{street: 'x', number: 1}}) USING TIMESTAMP {THEN}"
        );
        lab.source.load(&insert, (0..ROWS).map(|id| (id / 5, id)));
    }
    for (table, field) in [("whole", "zip"), ("parts", "town")] {
        let job = lab.job(table);
        let finished = amid(&lab, &job, || {
            lab.source.run(&format!("ALTER TYPE place ADD {field} text"));
            let value = format!("{{street: 'y', number: 2, {field}: 'new'}}");
            let rows = (0..ROWS).filter(|id| id % 7 == 0).map(|id| (id / 5, id));
            lab.source.load(
                &format!("UPDATE {table} USING TIMESTAMP {} SET p = {value} WHERE room = ? AND id = ?", THEN + 1),
                rows,
            );
        });
        assert_refused(&job, &finished, &reason(&lab, table, "source", "its columns are others: "));
        finished.assert_says(&[field]);
        lab.target.run(&format!("ALTER TYPE place ADD {field} text"));
        job.arg("--restart").succeed();
        let count = lab.target.rows::<(i64,)>(&format!("SELECT count(*) FROM {table}"))[0].0;
        assert_eq!(count, i64::from(ROWS));
        let cql = format!("SELECT room, id, p, WRITETIME(p) FROM {table}");
        assert!(lab.source.raw(&cql) == lab.target.raw(&cql), "a client sees two different tables");
    }
}

/// Goal: a table that is dropped and created again at either side isn't taken for the one that was.
#[test]
fn a_table_that_is_created_again_is_noticed() {
    let Some(lab) = Lab::open("chg_again") else { return };
    for (table, side) in [("t", "source"), ("u", "target")] {
        both(&lab, table);
        let node = if side == "source" { &lab.source } else { &lab.target };
        let job = lab.job(table);
        let finished = amid(&lab, &job, || {
            node.run(&format!("DROP TABLE {table}"));
            create(node, table);
        });
        // A look may come between the two statements.
        assert_refused(&job, &finished, &reason(&lab, table, side, "it was dropped"));
        job.run().assert_says(&["it was dropped and created again"]);
        if side == "source" {
            fill(&lab, table);
        }
        job.arg("--restart").succeed();
        lab.assert_equal(table, ROWS.try_into().unwrap());
    }
}

/// Goal: a target that is truncated has lost what was recorded.
#[test]
fn a_target_that_is_truncated_is_noticed() {
    let Some(lab) = Lab::open("chg_truncate") else { return };
    both(&lab, "t");
    // What was truncated before the job began has lost none of its rows.
    lab.target.run("INSERT INTO t (room, id) VALUES (1, 1)");
    lab.target.run("TRUNCATE t");
    let job = lab.job("t");
    let finished = amid(&lab, &job, || lab.target.run("TRUNCATE t"));
    assert_refused(&job, &finished, &reason(&lab, "t", "target", "it was truncated"));
    // It can be compared; that brings nothing back.
    job.verify().args(&["--recheck-after", "50ms"]).run().assert_code(4);
    assert_eq!(job.status()["tables"][0]["state"], "broken");
    let restarted = job.clone().arg("--restart");
    restarted.succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());

    // The source may lose its rows; what was copied stays.
    lab.source.run("TRUNCATE t");
    job.succeed();
    // A job that was done, too.
    lab.target.run("TRUNCATE t");
    let refused = job.run();
    refused.assert_code(5);
    refused.assert_says(&[&reason(&lab, "t", "target", "it was truncated"), "--restart"]);
}

/// Goal: the same between two runs.
#[test]
fn a_target_that_is_truncated_between_two_runs_is_noticed() {
    let Some(lab) = Lab::open("chg_between") else { return };
    both(&lab, "t");
    let job = lab.job("t");
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.hold_writes(Duration::from_millis(150));
    let mut run = slow(job.clone()).target(&proxy.address).start();
    run.await_progress();
    run.signal("TERM");
    run.finish().assert_code(143);
    lab.target.run("TRUNCATE t");
    let recorded = job.status();
    let refused = job.run();
    refused.assert_code(5);
    refused.assert_says(&[&reason(&lab, "t", "target", "it was truncated"), "--restart"]);
    assert_eq!(job.status(), recorded);
    job.arg("--restart").succeed();
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: of two tables, the one that is changed is broken, at once; the other is done.
#[test]
fn a_table_that_is_changed_does_not_stop_the_others() {
    let Some(lab) = Lab::open("chg_two") else { return };
    both(&lab, "a");
    both(&lab, "b");
    let job = lab.job("a").arg("--table").arg(&lab.name("b"));
    let finished = amid(&lab, &job, || lab.target.run("TRUNCATE a"));
    finished.assert_code(3);
    let broken = finished.events.iter().position(|event| event["type"] == "table_broken").unwrap();
    assert_eq!(finished.events[broken]["reason"], reason(&lab, "a", "target", "it was truncated"));
    let later = &finished.events[broken..];
    let done = |table| later.iter().filter(|event| event["type"] == "range_done" && event["table"] == table).count();
    assert_eq!(done(0), 0, "recorded though it is known that rows are lost");
    assert!(done(1) > 0, "told at the end only");
    let states: Vec<_> =
        finished.end()["tables"].as_array().unwrap().iter().map(|table| table["state"].clone()).collect();
    assert_eq!(states, ["broken", "done"]);
    lab.assert_equal("b", ROWS.try_into().unwrap());
    job.run().assert_code(3);
}

/// Goal: what others do to other tables, and to what doesn't concern rows of this one, disturbs nothing.
#[test]
fn changes_of_other_tables_disturb_nothing() {
    let Some(lab) = Lab::open("chg_other") else { return };
    both(&lab, "t");
    let finished = amid(&lab, &lab.job("t"), || {
        create(&lab.source, "another");
        create(&lab.target, "another");
        lab.target.run("TRUNCATE another");
        lab.target.run("DROP TABLE another");
        lab.target.run("ALTER TABLE t WITH comment = 'text'");
        lab.source.run("CREATE TYPE place (street text)");
    });
    finished.assert_code(0);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: nothing is recorded while nobody can look at the tables; once somebody can, all goes on.
#[test]
fn nothing_is_recorded_unseen() {
    let Some(lab) = Lab::open("chg_unseen") else { return };
    both(&lab, "t");
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = slow(lab.job("t")).target(&proxy.address);
    let mut run = begun(&mut proxy, &job);
    proxy.on_requests(vec![RequestRule(looks(), RequestReaction::forge().overloaded())]);
    let mut recorded = Value::Null;
    loop {
        let tries = run.await_type("retry")["tries"].as_u64().unwrap();
        let before = std::mem::replace(&mut recorded, job.status()["rows_written"].clone());
        // What was looked at before the rule was in place may be recorded.
        if tries >= 5 && before == recorded {
            break;
        }
    }
    for _ in 0..2 {
        run.await_type("retry");
    }
    assert_eq!(job.status()["rows_written"], recorded);
    assert_ne!(recorded, ROWS);
    proxy.behave();
    run.finish().assert_code(0);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a node that lags behind the schema, and knows no such table yet, ends no job: the nodes are asked until they agree.
#[test]
fn a_node_that_lags_behind_the_schema_has_not_dropped_the_table() {
    let Some(lab) = Lab::open("chg_lags") else { return };
    both(&lab, "t");
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = slow(lab.job("t")).target(&proxy.address);
    let run = begun(&mut proxy, &job);
    // The values change places, so the one question is answered with no row.
    let asked: &[u8] = b"keyspace_name = ? AND table_name = ?";
    let swapped: &[u8] = b"table_name = ? AND keyspace_name = ?";
    let astray = RequestReaction::transform_frame(Arc::new(move |mut frame: RequestFrame| {
        let mut body = frame.body.to_vec();
        let at = body.windows(asked.len()).position(|words| words == asked).unwrap();
        body[at..at + asked.len()].copy_from_slice(swapped);
        frame.body = body.into();
        frame
    }));
    let question =
        Condition::BodyContainsCaseSensitive(b"SELECT id, flags FROM system_schema.tables".as_slice().into());
    proxy.on_requests(vec![times(1, Condition::RequestOpcode(RequestOpcode::Prepare).and(question), astray)]);
    // The tables are described anew.
    lab.target.run("CREATE TABLE another (k int PRIMARY KEY)");
    let finished = run.finish();
    finished.assert_code(0);
    assert!(finished.events.iter().any(|event| event.to_string().contains("don't agree about")), "nobody lagged");
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a look outlasts a pause, however long: once the job is continued and the side answers, all goes on.
#[test]
fn a_look_outlasts_a_pause() {
    /// What is left to a look, beyond the time after which the copy gives up.
    const MORE: Duration = Duration::from_secs(60);
    let Some(lab) = Lab::open("chg_pause") else { return };
    both(&lab, "t");
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = slow(lab.job("t")).target(&proxy.address).args(&["--give-up-after", "1s"]);
    let mut run = begun(&mut proxy, &job);
    proxy.on_requests(vec![RequestRule(looks(), RequestReaction::forge().overloaded())]);
    // There is something to be recorded.
    run.await_type("retry");
    let begun = Instant::now();
    control(&job, &["pause"]);
    run.await_type("paused");
    let is_told = |event: &Value| event["message"].as_str().is_some_and(|words| words.contains("nothing is recorded"));
    run.await_event("what it waits for", is_told);
    while begun.elapsed() < MORE + Duration::from_secs(8) {
        run.await_type("progress");
    }
    proxy.behave();
    control(&job, &["continue"]);
    run.finish().assert_code(0);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a second signal ends a look that gets no answer, and what it was for isn't recorded.
#[test]
fn a_second_signal_ends_a_look() {
    let Some(lab) = Lab::open("chg_signal") else { return };
    both(&lab, "t");
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = slow(lab.job("t"));
    let through = job.clone().target(&proxy.address);
    // A look by itself takes five seconds.
    assert_within(Duration::from_secs(4), || {
        let mut run = begun(&mut proxy, &through);
        proxy.on_requests(vec![RequestRule(looks(), RequestReaction::drop_frame())]);
        // The first look has been given up, so there is something to be recorded since long.
        run.await_type("retry");
        run.signal("TERM");
        run.await_type("stopping");
        run.signal("TERM");
        let signalled = Instant::now();
        let finished = run.finish();
        let took = signalled.elapsed();
        finished.assert_code(143);
        assert_eq!(finished.end()["outcome"], "stopped");
        let status = job.status();
        assert_ne!(status["rows_written"], ROWS);
        assert_eq!((&status["state"], &status["ranges_claimed"]), (&"stopped".into(), &0.into()), "nobody works on it");
        let reason = status["last_run"]["reason"].as_str().unwrap();
        assert!(reason.contains("not recorded") && reason.contains("nobody could tell"), "{reason}");
        took
    });
    job.succeed();
    assert_eq!(job.status()["last_run"]["reason"], Value::Null);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: a column that is dropped and added again is noticed though the table looks as before: the source hides what was copied of
/// it, or the target hides what comes.
#[test]
fn a_column_that_is_dropped_and_added_again_is_noticed() {
    let Some(lab) = Lab::open("chg_readded") else { return };
    let what = "columns of it were dropped and added again: b";
    both(&lab, "t");
    let job = lab.job("t");
    let finished = amid(&lab, &job, || {
        lab.source.run("ALTER TABLE t DROP b");
        lab.source.run("ALTER TABLE t ADD b int");
        lab.source.load("UPDATE t SET b = 7 WHERE room = ? AND id = ?", (0..ROWS).map(|id| (id / 5, id)));
    });
    // A look may come between the two statements.
    assert_refused(&job, &finished, &reason(&lab, "t", "source", ""));
    job.run().assert_says(&[what]);
    lab.target.run("DROP TABLE t");
    create(&lab.target, "t");
    job.arg("--restart").succeed();
    let cql = "SELECT room, id, a, b, WRITETIME(b) FROM t";
    assert!(lab.source.raw(cql) == lab.target.raw(cql), "a client sees two different tables");

    both(&lab, "u");
    let job = lab.job("u");
    let finished = amid(&lab, &job, || {
        lab.target.run("ALTER TABLE u DROP b");
        lab.target.run("ALTER TABLE u ADD b int");
    });
    // A look may come between the two statements.
    assert_refused(&job, &finished, &reason(&lab, "u", "target", ""));
    job.run().assert_says(&[what]);

    // To begin anew in that table would lose whatever is older.
    let refused = job.clone().arg("--restart").run();
    refused.assert_code(5);
    refused.assert_says(&["were dropped and added again, so it hides", "b: dropped at 20", "create it anew"]);
    lab.target.run("DROP TABLE u");
    create(&lab.target, "u");
    job.arg("--restart").succeed();
    lab.assert_equal("u", ROWS.try_into().unwrap());
}
