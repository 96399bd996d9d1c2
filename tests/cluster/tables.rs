//! Jobs of several tables: patterns, broken tables beside others, tables that come and go.

use crate::job::{Finished, Job};
use crate::lab::{Lab, Node, THEN};
use crate::proxy::{PAYLOAD, Proxy};
use serde_json::Value;
use std::time::{Duration, Instant};

const ROWS: u64 = 2000;

fn create(node: &Node, table: &str) {
    node.run(&format!("CREATE TABLE {table} (id int PRIMARY KEY, a text)"));
}

/// The table at the source, with rows.
fn fill(lab: &Lab, table: &str) {
    create(&lab.source, table);
    let insert = format!("INSERT INTO {table} (id, a) VALUES (?, ?) USING TIMESTAMP ?");
    let rows = 0..i32::try_from(ROWS).unwrap();
    lab.source.load(&insert, rows.map(|id| (id, format!("{PAYLOAD} of {table}: {id}"), THEN + i64::from(id))));
}

/// The table on both sides, with rows at the source.
fn both(lab: &Lab, table: &str) {
    fill(lab, table);
    create(&lab.target, table);
}

/// A job of what these patterns stand for in the lab's keyspace.
fn job(lab: &Lab, patterns: &[&str]) -> Job {
    let job = Job::new(&lab.folder.path().join("several.db"));
    patterns.iter().fold(job, |job, pattern| job.arg("--table").arg(&lab.name(pattern)))
}

/// Name, state, and how many of its ranges are done and how many there are, of each table in a status or a last event.
fn states(of: &Value) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tables = of["tables"].as_array().unwrap().iter();
    let state = |table: &Value| {
        let whole = table["ranges"] == table["ranges_done"] && table["ranges"] != 0;
        (text(&table["source"]["table"]), text(&table["state"]), whole)
    };
    tables.map(state).collect()
}

fn state(table: &str, state: &str, whole: bool) -> (String, String, bool) {
    (table.to_owned(), state.to_owned(), whole)
}

/// What was said of the tables.
fn told<'a>(finished: &'a Finished, wanted: &str, field: &str) -> Vec<&'a str> {
    let of_type = finished.events.iter().filter(|event| event["type"] == wanted);
    of_type.map(|event| event[field].as_str().unwrap()).collect()
}

/// Goal: a keyspace is copied by one pattern; its views and what is excluded are not, and what is named goes where it is to.
#[test]
fn a_keyspace_is_copied_without_its_views_and_what_is_excluded() {
    let Some(lab) = Lab::open("tables_all") else { return };
    both(&lab, "a");
    fill(&lab, "b");
    create(&lab.target, "b_there");
    fill(&lab, "tmp_1");
    both(&lab, "tmp_2");
    lab.source.run(
        "CREATE MATERIALIZED VIEW v AS SELECT a, id FROM a WHERE a IS NOT NULL AND id IS NOT NULL PRIMARY KEY (a, id)",
    );
    let job = job(&lab, &["*", "tmp_2"]).arg("--table").arg(&format!("{}={}", lab.name("b"), lab.name("b_there")));
    let job = job.arg("--exclude").arg(&lab.name("tmp_*"));
    let finished = job.succeed();
    let notes = [
        format!("left out, as the target builds its own materialized views: {}", lab.name("v")),
        format!("left out by `--exclude`: {}", lab.name("tmp_1")),
    ];
    assert_eq!(told(&finished, "note", "message"), notes);
    let done = ["a", "b", "tmp_2"].map(|table| state(table, "done", true));
    assert_eq!(states(finished.end()), done);
    assert_eq!(states(&job.status()), done);
    assert_eq!(finished.end()["tables"][1]["rows_written"], ROWS);
    lab.assert_equal("a", ROWS);
    lab.assert_equal_into("b", "b_there", ROWS);
    lab.assert_equal("tmp_2", ROWS);
}

/// Goal: one table that can't be copied doesn't stop the others; once it is mended, the same line completes the job.
#[test]
fn a_broken_table_does_not_stop_the_others_and_is_tried_again() {
    let Some(lab) = Lab::open("tables_broken") else { return };
    both(&lab, "a");
    fill(&lab, "b");
    both(&lab, "c");
    let job = job(&lab, &["*"]);
    let finished = job.run();
    finished.assert_code(3);
    assert_eq!(finished.end()["outcome"], "incomplete");
    let missing = format!("there is no table {} at the target", lab.name("b"));
    assert_eq!(told(&finished, "table_broken", "reason"), [&missing]);
    assert!(told(&finished, "table_broken", "hint")[0].contains("create it at the target"));
    let states_then = [state("a", "done", true), state("b", "broken", false), state("c", "done", true)];
    assert_eq!(states(finished.end()), states_then);
    let status = job.status();
    assert_eq!((status["state"].as_str(), states(&status)), (Some("incomplete"), states_then.to_vec()));
    assert_eq!(status["tables"][1]["reason"], missing.as_str());
    lab.assert_equal("a", ROWS);
    lab.assert_equal("c", ROWS);

    // Nothing has changed: nothing is written, and the answer is the same.
    let writes = lab.target.writes("a");
    job.run().assert_code(3);
    assert_eq!(lab.target.writes("a"), writes);

    create(&lab.target, "b");
    let finished = job.succeed();
    assert_eq!(states(finished.end()), ["a", "b", "c"].map(|table| state(table, "done", true)));
    assert_eq!(told(&finished, "note", "message"), [format!("the job takes in {}", lab.name("b"))]);
    assert_eq!(finished.end()["rows_written"], ROWS, "of the mended one alone");
    assert_eq!(job.status()["state"], "done");
    lab.assert_equal("b", ROWS);
    assert_eq!(lab.target.writes("a"), writes);
}

/// Goal: a table that a pattern stands for later is taken in; one that is gone, or another, is told, and the rest is done.
#[test]
fn tables_may_come_and_go_while_a_job_lasts() {
    let Some(lab) = Lab::open("tables_come") else { return };
    both(&lab, "b");
    both(&lab, "c");
    let job = job(&lab, &["*"]);
    job.succeed();

    both(&lab, "a");
    let finished = job.succeed();
    assert_eq!(told(&finished, "note", "message"), [format!("the job takes in {}", lab.name("a"))]);
    // It follows those that the job has.
    let done = ["b", "c", "a"].map(|table| state(table, "done", true));
    assert_eq!(states(finished.end()), done);
    lab.assert_equal("a", ROWS);

    lab.source.run("DROP TABLE c");
    lab.target.run("DROP TABLE b");
    create(&lab.target, "b");
    both(&lab, "d");
    let finished = job.run();
    finished.assert_code(3);
    let b = format!(
        "{} was changed at the target since the job took it in: it was dropped and created again",
        lab.name("b")
    );
    let c = format!("there is no table {} at the source", lab.name("c"));
    assert_eq!(told(&finished, "table_broken", "reason"), [&b, &c]);
    let states_then =
        [state("b", "broken", true), state("c", "broken", true), state("a", "done", true), state("d", "done", true)];
    assert_eq!(states(finished.end()), states_then);
    assert_eq!(states(&job.status()), states_then);
    lab.assert_equal("d", ROWS);
    assert_eq!(lab.target.rows::<(i64,)>("SELECT count(*) FROM b")[0].0, 0, "nothing is written to another table");
}

/// Goal: a table that appears at the source and has no place in the job keeps it from nothing, and is told.
#[test]
fn a_job_goes_on_beside_a_new_table_that_has_no_place_in_it() {
    let Some(lab) = Lab::open("tables_misfit") else { return };
    both(&lab, "a1");
    fill(&lab, "b");
    create(&lab.target, "a2");
    let job = job(&lab, &["a*"]).arg("--table").arg(&format!("{}={}", lab.name("b"), lab.name("a2")));
    job.succeed();
    fill(&lab, "a2");
    both(&lab, "a3");
    let finished = job.run();
    finished.assert_code(3);
    let (a, b) = (lab.name("a2"), lab.name("b"));
    let misfit = format!("the job doesn't take in a new table: {b} and {a} would both be written to {a}");
    assert_eq!(told(&finished, "warning", "message"), [&misfit]);
    assert_eq!(states(finished.end()), ["a1", "b", "a3"].map(|table| state(table, "done", true)));
    lab.assert_equal("a3", ROWS);
    lab.assert_equal_into("b", "a2", ROWS);
    // Where nothing is left to do, it is still not complete.
    job.run().assert_code(3);
    lab.source.run("DROP TABLE a2");
    job.succeed();
}

/// Goal: what stands for nothing is an error that names it, whatever else there is to copy.
#[test]
fn a_pattern_that_stands_for_nothing_is_refused() {
    let Some(lab) = Lab::open("tables_none") else { return };
    both(&lab, "a");
    for (pattern, says) in [("x*", "stands for no table of the source"), ("aa", "there is no table")] {
        let refused = job(&lab, &["a", pattern]).run();
        refused.assert_code(5);
        refused.assert_says(&[says, &lab.name(pattern)]);
    }
    assert_eq!(std::fs::read_dir(lab.folder.path()).unwrap().filter(is_checkpoint).count(), 0);
    assert_eq!(lab.target.writes("a"), 0);
}

fn is_checkpoint(file: &std::io::Result<std::fs::DirEntry>) -> bool {
    file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "db")
}

/// Goal: `kill -9` in the midst of several tables loses nothing of any.
#[test]
fn a_job_of_several_tables_that_is_killed_ends_exact() {
    let Some(lab) = Lab::open("tables_kill") else { return };
    for table in ["a", "b", "c"] {
        both(&lab, table);
    }
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = job(&lab, &["*"]).args(&["--readers", "3", "--ranges", "200"]);
    let slow = job.clone().args(&["--writers", "3"]).target(&proxy.address);
    proxy.hold_writes(Duration::from_millis(100));
    let mut kills = 0;
    // All tables are on their way, not one after another.
    let are_all_begun =
        |status: &Value| status["tables"].as_array().unwrap().iter().all(|table| table["ranges_done"] != 0);
    while kills < 4 || !are_all_begun(&job.status()) {
        let mut run = slow.start();
        run.await_progress();
        let killed_at = Instant::now() + Duration::from_millis(kills * 150);
        while run.next(killed_at).is_some() {}
        run.kill();
        let status = job.status();
        assert_eq!(status["state"], "stopped", "killed too late");
        assert!(status["fraction"].as_f64().unwrap() < 1.0);
        kills += 1;
    }
    let finished = job.succeed();
    assert_eq!(states(finished.end()), ["a", "b", "c"].map(|table| state(table, "done", true)));
    let status = job.status();
    assert_eq!((&status["rows_written"], &status["runs"]), (&(3 * ROWS).into(), &(kills + 1).into()));
    for table in ["a", "b", "c"] {
        lab.assert_equal(table, ROWS);
    }
}
