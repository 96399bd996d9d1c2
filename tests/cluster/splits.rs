//! Rows that can't be read in one go: behind more tombstones than the source passes, or in a partition of many pages.

use crate::job::Job;
use crate::lab::{Lab, THEN};
use crate::proxy::Proxy;
use serde_json::Value;
use std::time::Duration;

/// More than the 100,000 that Cassandra passes in one read (`tombstone_failure_threshold`).
const TOMBSTONES: i64 = 101_500;
const PARTITIONS: i32 = 300;

/// Two rows in each partition, on both sides of where the deleted ones are.
fn live() -> impl Iterator<Item = (i32, i64, i64)> {
    (0..PARTITIONS).flat_map(|id| [(id, -5, THEN), (id, 500_000, THEN + 1)])
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// Goal: a partition whose rows lie behind too many tombstones is copied, wherever they are in it, and so are its neighbours.
///
/// Method: tombstones before the first row, between two rows, and behind the last one, in a table whose clustering columns are
/// ordered differently; and in one with statics. The source refuses to read them at once; that is tried first.
#[test]
fn rows_behind_too_many_tombstones_are_copied() {
    let Some(lab) = Lab::open("tombs") else { return };
    lab.both(
        "CREATE TABLE mixed (id int, at bigint, kind text, v text, PRIMARY KEY (id, at, kind))
         WITH CLUSTERING ORDER BY (at DESC, kind ASC) AND compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}",
    );
    lab.both("CREATE TABLE with_statics (id int, at bigint, s text static, v text, PRIMARY KEY (id, at))");
    let insert = "INSERT INTO mixed (id, at, kind, v) VALUES (?, ?, 'x', 'here') USING TIMESTAMP ?";
    lab.source.load(insert, live());
    lab.source.load("INSERT INTO with_statics (id, at, s, v) VALUES (?, ?, 'all', 'here') USING TIMESTAMP ?", live());
    let delete = "DELETE FROM mixed USING TIMESTAMP ? WHERE id = ? AND at = ? AND kind = 'x'";
    let gone = |id: i32, from: i64| (from..from + TOMBSTONES).map(move |at| (THEN + 2, id, at));
    lab.source.load(delete, gone(3, 0));
    lab.source.load(delete, gone(4, -5)); // The last row that is stored, and what is before it.
    lab.source.load(delete, gone(5, 500_000 - TOMBSTONES + 1)); // The first one, and what is behind it.
    lab.source.load("DELETE FROM with_statics USING TIMESTAMP ? WHERE id = ? AND at = ?", gone(6, 0));
    let refused = lab.source.refusal("SELECT * FROM mixed WHERE id = 4");
    assert!(refused.contains("TOMBSTONES"), "the source passes them all: {refused}");

    let finished = lab.job("mixed").args(&["--ranges", "8"]).succeed();
    assert!(finished.count("range_split") > 3, "{}", finished.count("range_split"));
    let rows = u64::try_from(2 * PARTITIONS - 2).unwrap();
    lab.assert_equal("mixed", rows);
    assert!(number(finished.end(), "rows_written") >= i64::try_from(rows).unwrap());
    let other = lab.folder.path().join("statics.db");
    lab.job("with_statics").checkpoint(&other).args(&["--ranges", "8"]).succeed();
    // The oracle counts the statics of a partition as a row.
    lab.assert_equal("with_statics", u64::try_from(3 * PARTITIONS).unwrap());
}

/// Goal: rows that are read twice on the way around tombstones are never on their way twice: lists on Cassandra aren't doubled.
///
/// Method: rows with lists between two stretches of tombstones, in a partition that begins with some, too, so that its key isn't known
/// when it is taken apart. Each deleted row counts as a hundred tombstones.
#[test]
fn lists_behind_tombstones_are_not_doubled() {
    const CELLS: usize = 100;
    let Some(lab) = Lab::open("tomb_lists") else { return };
    let names = |suffix: &str| (0..CELLS).map(|n| format!("c{n}{suffix}")).collect::<Vec<_>>().join(", ");
    lab.both(&format!("CREATE TABLE t (pk int, ck int, l list<int>, {}, PRIMARY KEY (pk, ck))", names(" int")));
    let nothing = format!("UPDATE t USING TIMESTAMP ? SET {} WHERE pk = 7 AND ck = ?", names(" = null"));
    let gone = (-5000..-4400).chain(1..431).chain(3000..4030);
    lab.source.load(&nothing, gone.map(|ck| (THEN, ck)));
    let lists = (1001..1051).map(|ck| (ck, vec![1, 2, 3], THEN));
    lab.source.load("INSERT INTO t (pk, ck, l) VALUES (7, ?, ?) USING TIMESTAMP ?", lists);
    let finished = lab.job("t").args(&["--ranges", "8"]).succeed();
    assert!(finished.count("range_split") > 3);
    let select = "SELECT ck, l FROM t WHERE pk = 7 AND ck > 1000 AND ck < 2000";
    assert_eq!(lab.target.raw(select), lab.source.raw(select));
}

/// Goal: where tombstones can't be passed, everything around them is copied, the place is told with what to do about it, and
/// the same command copies it once that is done.
///
/// Method: clustering keys of a type whose values nobody can count through. What is alive beyond the tombstones is
/// read from behind; that nothing is alive among them can't be seen until they are compacted away.
#[test]
fn what_can_not_be_read_is_told_and_tried_again() {
    let Some(lab) = Lab::open("quarantine") else { return };
    lab.both("CREATE TABLE t (id int, at frozen<tuple<bigint>>, v text, PRIMARY KEY (id, at))");
    let rows = live().map(|(id, at, writetime)| (id, (at,), writetime));
    lab.source.load("INSERT INTO t (id, at, v) VALUES (?, ?, 'here') USING TIMESTAMP ?", rows);
    let gone = (0..TOMBSTONES).map(|at| (THEN + 2, 7, (at,)));
    lab.source.load("DELETE FROM t USING TIMESTAMP ? WHERE id = ? AND at = ?", gone);

    let job = lab.job("t").args(&["--ranges", "8"]);
    let finished = job.run();
    finished.assert_code(3);
    let status = job.status();
    assert_eq!(number(&status, "ranges_failed"), 1);
    let failure = &status["failures"][0];
    assert_eq!(number(failure, "first"), number(failure, "last"), "one token alone is left");
    for words in ["\"id\" = 7", "\"at\" = (-5)", "\"at\" = (500000)", "TOMBSTONES"] {
        assert!(failure["error"].as_str().unwrap().contains(words), "{failure}");
    }
    let remedy = format!("nodetool compact -st {} -et {}", number(failure, "first") - 1, number(failure, "last"));
    assert!(failure["remedy"].as_str().unwrap().contains(&remedy), "{failure}");
    assert_eq!(number(&status, "ranges_done") + 1, number(&status, "ranges"));
    assert_eq!(lab.target.raw("SELECT id, at FROM t").len(), usize::try_from(2 * PARTITIONS).unwrap());

    lab.source.run("ALTER TABLE t WITH gc_grace_seconds = 0");
    lab.dump(&lab.source, "t"); // Flushes and compacts.
    job.succeed();
    let rows = u64::try_from(2 * PARTITIONS).unwrap();
    lab.assert_equal("t", rows);
    assert_eq!(number(&job.status(), "rows_written"), i64::try_from(rows).unwrap());
}

/// Kills so many copies after some progress inside of the partition is recorded. How many rows they have saved, and how many the run
/// has read that ended.
fn over_kills(lab: &Lab, job: &Job, kills: u32) -> (i64, i64) {
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.delay_writes(Duration::from_millis(150));
    let slow = job.clone().args(&["--writers", "8"]).target(&proxy.address);
    let mut saved = 0;
    for _ in 0..kills {
        let mut run = slow.start();
        run.await_event("progress inside the partition", |event| {
            event["type"] == "progress" && number(event, "rows_committed") > 0
        });
        run.kill();
        let now = number(&job.status(), "rows_written");
        assert!(now > saved, "{now} rows after {saved}: it goes on");
        saved = now;
    }
    (saved, number(job.succeed().end(), "rows_read"))
}

/// Goal: a partition of many pages is resumed where it was, and each row counted once.
///
/// Method: killed after some progress inside of the partition is recorded, three times.
#[test]
fn a_giant_partition_resumes_inside() {
    const ROWS: i64 = 150_000;
    let Some(lab) = Lab::open("giant") else { return };
    lab.both("CREATE TABLE t (id int, at bigint, s text static, v text, PRIMARY KEY (id, at)) WITH CLUSTERING ORDER BY (at DESC)");
    let rows = (0..ROWS).map(|at| (1, at, THEN + at));
    lab.source
        .load("INSERT INTO t (id, at, s, v) VALUES (?, ?, 'static', 'some text in each row') USING TIMESTAMP ?", rows);
    let job = lab.job("t").args(&["--ranges", "4"]);
    let (saved, read) = over_kills(&lab, &job, 3);
    // And the first row, to see that no other partition has this token.
    assert_eq!(read, ROWS - saved + 1, "{saved} rows were saved");
    assert_eq!(number(&job.status(), "rows_written"), ROWS);
    // The oracle counts the statics of a partition as a row.
    lab.assert_equal("t", u64::try_from(ROWS).unwrap() + 1);
}

/// Goal: a partition of many pages that begins with more tombstones than the source passes is resumed where it was, too.
///
/// Method: the same, with clustering columns that are ordered differently; each deleted row comes before all that are alive.
#[test]
fn a_giant_partition_that_begins_with_tombstones_resumes_inside() {
    const ROWS: i64 = 100_000;
    let Some(lab) = Lab::open("giant_tombs") else { return };
    lab.both(
        "CREATE TABLE t (id int, at bigint, kind text, v text, PRIMARY KEY (id, at, kind))
         WITH CLUSTERING ORDER BY (at DESC, kind ASC) AND compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}",
    );
    let rows = (0..ROWS).map(|at| (1, at, THEN + at));
    lab.source
        .load("INSERT INTO t (id, at, kind, v) VALUES (?, ?, 'x', 'some text in each row') USING TIMESTAMP ?", rows);
    let gone = (ROWS..ROWS + TOMBSTONES).map(|at| (THEN, 1, at));
    lab.source.load("DELETE FROM t USING TIMESTAMP ? WHERE id = ? AND at = ? AND kind = 'x'", gone);
    let job = lab.job("t").args(&["--ranges", "4"]);
    let (saved, read) = over_kills(&lab, &job, 2);
    // And the first rows of slices, to see which partitions have this token.
    assert!((ROWS - saved..ROWS - saved + 100).contains(&read), "{read} rows are read, {saved} were saved");
    assert_eq!(number(&job.status(), "rows_written"), ROWS);
    lab.assert_equal("t", u64::try_from(ROWS).unwrap());
}
