//! What a copy does by design, and what time does by itself, is no difference.

use super::{counted as counted_at_end, counts, lines};
use crate::job::PATIENCE;
use crate::lab::{Lab, Node, OLD, THEN};
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// Goal: cells that expire while they are compared are no differences.
///
/// Method: some expire in each second of a slow verification, the row with them or beside a cell that stays. Rows are written on both
/// sides within two seconds, so that a second or two may lie between their expiries.
#[test]
fn cells_that_expire_meanwhile_are_no_differences() {
    const ROWS: i32 = 30_000;
    const CHUNK: i32 = 1000;
    let Some(lab) = Lab::open("verify_expiring") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, b text, PRIMARY KEY (room, id))");
    let insert = "INSERT INTO t (room, id, a, b) VALUES (?, ?, 'text', 'text') USING TIMESTAMP ? AND TTL ?";
    let update = "UPDATE t USING TIMESTAMP ? AND TTL ? SET b = 'soon' WHERE room = ? AND id = ?";
    let seconds = |id: i32| 2 + id % 16;
    let ttl = |id: i32| if id % 3 == 0 { seconds(id) } else { 0 };
    let write = |node: &Node, rows: Range<i32>| {
        node.load(insert, rows.clone().map(|id| (id / 5, id, THEN, ttl(id))));
        let some = rows.filter(|id| id % 3 == 1);
        node.load(update, some.map(|id| (THEN + 1, seconds(id), id / 5, id)));
    };
    for first in (0..ROWS).step_by(CHUNK.try_into().unwrap()) {
        let began = Instant::now();
        loop {
            let started = Instant::now();
            std::thread::scope(|scope| {
                for node in [&lab.source, &lab.target] {
                    scope.spawn(|| write(node, first..first + CHUNK));
                }
            });
            // Written again, the later expiry wins on both sides.
            if started.elapsed() < Duration::from_secs(2) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "a side is too slow");
        }
    }
    let job = lab.job("t").args(&["--ranges", "60"]);
    let slow = job.verify().args(&["--recheck-after", "200ms", "--rows-per-second", "4k"]);
    let finished = slow.run();
    println!("{:?}", counts(&job.checkpoint));
    assert!(lines(&job).is_empty(), "{:#?}", lines(&job));
    finished.assert_code(0);
}

/// Goal: a writetime that a copy has lowered, as it was asked to, is counted and is no difference; its value still is.
#[test]
fn capped_writetimes_are_told_apart() {
    let Some(lab) = Lab::open("verify_capped") else { return };
    lab.both("CREATE TABLE t (k int, c int, a text, PRIMARY KEY (k, c))");
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let insert = "INSERT INTO t (k, c, a) VALUES (?, ?, 'a') USING TIMESTAMP ?";
    let at = |i: i32| if i % 100 == 7 { now + i64::from(i) * DAY } else { THEN };
    lab.source.load(insert, (0..1000).map(|i| (i / 20, i, at(i))));
    let job = lab.job("t").args(&["--future-timestamps", "cap"]);
    job.succeed();
    let verify = job.verify().args(&["--recheck-after", "50ms"]);
    verify.succeed();
    let counted = counts(&job.checkpoint);
    assert_eq!((counted["rows_capped"], counted["rows_different"]), (10, 0));
    // One partition alone, beside the job, is judged as the job has it, and not in another way.
    let named = verify.clone().args(&["--partition", "5"]);
    let finished = named.succeed();
    assert_eq!((counted_at_end(&finished, "rows_capped"), counted_at_end(&finished, "rows_compared")), (1, 20));
    for other in [&["--future-timestamps", "reject"][..], &["--row-marker", "never"], &["--unknown-timestamp", "7"]] {
        lab.job("t").verify().args(other).args(&["--partition", "5"]).run().assert_code(5);
    }
    lab.source.run(&format!("UPDATE t USING TIMESTAMP {} SET a = 'b' WHERE k = 5 AND c = 107", now + 2000 * DAY));
    verify.run().assert_code(4);
    let counted = counts(&job.checkpoint);
    assert_eq!((counted["rows_capped"], counted["rows_different"], counted["rows_value_tie"]), (9, 1, 1));
}

/// Goal: from Cassandra 4.1, which tells no writetime of an element, what a copy has made is equal: elements that have the
/// unknown timestamp are counted. What has another value, or another writetime in one cell, differs.
#[test]
fn unknown_timestamps_are_told_apart() {
    let Some(lab) = Lab::open_from("verify_old", OLD) else { return };
    lab.both("CREATE TABLE t (k int, c int, a text, m map<int, text>, PRIMARY KEY (k, c))");
    let insert = "INSERT INTO t (k, c, a, m) VALUES (?, ?, 'a', ?) USING TIMESTAMP ?";
    let map = |i: i32| std::collections::HashMap::from([(i, "v".to_owned())]);
    lab.source.load(insert, (0..300).map(|i| (i / 10, i, (i % 3 == 0).then(|| map(i)), THEN)));
    let job = lab.job("t").args(&["--unknown-timestamp", "7"]);
    job.succeed();
    let verify = job.verify().args(&["--recheck-after", "50ms"]);
    verify.succeed();
    let counted = counts(&job.checkpoint);
    assert_eq!((counted["rows_unknown_timestamp"], counted["rows_different"], counted["rows_compared"]), (100, 0, 300));
    lab.target.run(&format!("UPDATE t USING TIMESTAMP {THEN} SET m[3] = 'w' WHERE k = 0 AND c = 3"));
    lab.target.run(&format!("UPDATE t USING TIMESTAMP {} SET a = 'a' WHERE k = 0 AND c = 4", THEN + 5));
    verify.run().assert_code(4);
    let counted = counts(&job.checkpoint);
    assert_eq!((counted["rows_value_unknown"], counted["rows_writetime"], counted["rows_different"]), (1, 1, 2));
}

/// Goal: the row that a copy left behind as a bare marker, once its cells have expired, is told apart; so is one whose last cell was
/// deleted at both sides.
#[test]
fn markers_that_a_copy_inferred_are_told_apart() {
    let Some(lab) = Lab::open("verify_marker") else { return };
    lab.both("CREATE TABLE t (k int, c int, a text, PRIMARY KEY (k, c))");
    // No marker at the source, which an UPDATE doesn't write.
    lab.source.load("UPDATE t USING TIMESTAMP ? SET a = 'a' WHERE k = ? AND c = ?", (0..100).map(|i| (THEN, i / 9, i)));
    let job = lab.job("t");
    job.succeed();
    let delete = "DELETE a FROM t USING TIMESTAMP ? WHERE k = ? AND c = ?";
    for node in [&lab.source, &lab.target] {
        node.load(delete, (0..20).map(|i| (THEN + 1, i / 9, i)));
    }
    job.verify().args(&["--recheck-after", "50ms"]).succeed();
    let counted = counts(&job.checkpoint);
    assert_eq!((counted["rows_marker"], counted["rows_different"], counted["rows_compared"]), (20, 0, 100));
    let lines = lines(&job);
    assert!(lines.iter().all(|line| line["harmless"] == true && line["class"] == "marker"), "{lines:#?}");
}

/// Goal: a row of the target that shows nothing but its key is one that the source doesn't have, unless somebody did infer a row marker
/// before; that a repair was asked for makes no difference.
#[test]
fn bare_rows_are_no_inferred_markers_where_nobody_inferred_any() {
    let Some(lab) = Lab::open("verify_bare") else { return };
    lab.both("CREATE TABLE t (k int PRIMARY KEY, a text)");
    lab.both(&format!("INSERT INTO t (k, a) VALUES (1, 'a') USING TIMESTAMP {THEN}"));
    lab.target.run("INSERT INTO t (k) VALUES (2)");
    let job = lab.job("t").verify().args(&["--recheck-after", "50ms"]);
    let found = |job: &crate::job::Job, code| {
        job.run().assert_code(code);
        let counted = counts(&job.checkpoint);
        ["rows_extra", "rows_marker", "rows_repaired", "rows_marker_inferred"].map(|name| counted[name])
    };
    assert_eq!(found(&job, 4), [1, 0, 0, 0]);
    let repair = job.clone().arg("--repair");
    assert_eq!(found(&repair, 4), [1, 0, 0, 0]);
    // From now on it may have been one.
    lab.source.run(&format!("INSERT INTO t (k, a) VALUES (3, 'a') USING TIMESTAMP {THEN}"));
    assert_eq!(found(&repair.arg("--restart"), 4), [1, 0, 1, 1]);
    assert_eq!(found(&job, 0), [0, 1, 0, 0]);
}

/// Goal: a repair of one partition, beside the job's checkpoint, tells the job of the row marker that it inferred.
#[test]
fn a_job_knows_of_markers_that_repairs_of_partitions_inferred() {
    let Some(lab) = Lab::open("verify_beside") else { return };
    lab.both("CREATE TABLE t (k int PRIMARY KEY, a text)");
    let job = lab.job("t");
    job.succeed();
    lab.source.run(&format!("UPDATE t USING TIMESTAMP {THEN} SET a = 'a' WHERE k = 1"));
    let verify = job.verify().args(&["--recheck-after", "50ms"]);
    let repair = verify.clone().args(&["--partition", "1", "--repair"]);
    repair.succeed();
    lab.both(&format!("DELETE a FROM t USING TIMESTAMP {} WHERE k = 1", THEN + 1));
    verify.succeed();
    let counted = counts(&job.checkpoint);
    assert_eq!(["rows_extra", "rows_marker", "rows_different"].map(|name| counted[name]), [0, 1, 0]);
}

/// Goal: what one side lacks is told, however far apart expiries may lie, and also where all that shows of it is about to expire.
#[test]
fn expiries_hide_nothing_that_one_side_lacks() {
    let Some(lab) = Lab::open("verify_lacks") else { return };
    lab.both("CREATE TABLE t (k int PRIMARY KEY, a text)");
    lab.both(&format!("INSERT INTO t (k, a) VALUES (0, 'there') USING TTL 3000 AND TIMESTAMP {THEN}"));
    lab.source.run("INSERT INTO t (k, a) VALUES (1, 'missing') USING TTL 3000");
    lab.target.run("INSERT INTO t (k, a) VALUES (2, 'extra') USING TTL 3000");
    let found = |table: &str, more: &[&str]| {
        let job = lab.job(table).verify().args(&["--recheck-after", "50ms"]).args(more);
        job.run().assert_code(4);
        let counted = counts(&job.checkpoint);
        ["rows_missing", "rows_extra", "rows_different"].map(|name| counted[name])
    };
    assert_eq!(found("t", &["--expiry-tolerance", "1h"]), [1, 1, 2]);
    // Its cell lives for some seconds, and its marker for good.
    lab.both("CREATE TABLE u (k int PRIMARY KEY, a text)");
    lab.source.run("INSERT INTO u (k) VALUES (3)");
    lab.source.run("UPDATE u USING TTL 4 SET a = 'ending' WHERE k = 3");
    assert_eq!(found("u", &[]), [1, 0, 1]);
}
