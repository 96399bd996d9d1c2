//! Either side has rows behind more tombstones than it passes in one read.

use crate::lab::{Lab, Node, THEN};
use crate::verify::counts;

/// More than the 100,000 that Cassandra passes in one read (`tombstone_failure_threshold`).
const TOMBSTONES: i64 = 101_500;
const PARTITIONS: i32 = 200;

/// Two rows in each partition, on both sides of where the deleted ones are.
fn live() -> impl Iterator<Item = (i32, i64)> {
    (0..PARTITIONS).flat_map(|id| [(id, -5), (id, 500_000)])
}

fn fill(lab: &Lab) {
    lab.both("CREATE TABLE t (id int, at bigint, v text, PRIMARY KEY (id, at)) WITH CLUSTERING ORDER BY (at DESC)");
    for node in [&lab.source, &lab.target] {
        node.load(&format!("INSERT INTO t (id, at, v) VALUES (?, ?, 'here') USING TIMESTAMP {THEN}"), live());
    }
}

fn delete(node: &Node, id: i32) {
    let gone = (0..TOMBSTONES).map(|at| (THEN + 2, id, at));
    node.load("DELETE FROM t USING TIMESTAMP ? WHERE id = ? AND at = ?", gone);
    let refused = node.refusal(&format!("SELECT * FROM t WHERE id = {id}"));
    assert!(refused.contains("TOMBSTONES"), "all of them are passed: {refused}");
}

/// Goal: rows behind tombstones of either side are compared, and so are their neighbours.
#[test]
fn rows_behind_too_many_tombstones_are_compared() {
    let Some(lab) = Lab::open("verify_tombs") else { return };
    fill(&lab);
    delete(&lab.target, 3);
    delete(&lab.source, 4);
    let job = lab.job("t").args(&["--ranges", "8"]);
    let finished = job.verify().succeed();
    assert!(finished.count("range_split") > 1, "{}", finished.count("range_split"));
    let rows = u64::try_from(2 * PARTITIONS).unwrap();
    let counted = counts(&job.checkpoint);
    assert_eq!((counted["rows_compared"], counted["rows_different"]), (rows, 0));

    // What differs behind them is found.
    lab.target.run(&format!("DELETE FROM t USING TIMESTAMP {} WHERE id = 3 AND at = -5", THEN + 3));
    lab.source.run(&format!("UPDATE t USING TIMESTAMP {} SET v = 'new' WHERE id = 4 AND at = -5", THEN + 3));
    lab.source.run(&format!("UPDATE t USING TIMESTAMP {} SET v = 'new' WHERE id = 4 AND at = 500000", THEN + 3));
    job.verify().run().assert_code(4);
    let counted = counts(&job.checkpoint);
    let found = [counted["rows_different"], counted["rows_missing"], counted["rows_value_older"]];
    assert_eq!(found, [3, 1, 2]);
}

/// Goal: where one side's tombstones can't be passed, everything around them is compared, the place is told, and the exit code
/// says that not everything was.
///
/// Method: clustering keys of a type whose values nobody can count through.
#[test]
fn what_a_side_can_not_read_is_told() {
    for (name, at_source) in [("verify_quar_s", true), ("verify_quar_t", false)] {
        let Some(lab) = Lab::open(name) else { return };
        lab.both("CREATE TABLE t (id int, at frozen<tuple<bigint>>, v text, PRIMARY KEY (id, at))");
        for node in [&lab.source, &lab.target] {
            let rows = live().map(|(id, at)| (id, (at,)));
            node.load(&format!("INSERT INTO t (id, at, v) VALUES (?, ?, 'here') USING TIMESTAMP {THEN}"), rows);
        }
        let side = if at_source { &lab.source } else { &lab.target };
        let gone = (0..TOMBSTONES).map(|at| (THEN + 2, 7, (at,)));
        side.load("DELETE FROM t USING TIMESTAMP ? WHERE id = ? AND at = ?", gone);
        let job = lab.job("t").args(&["--ranges", "8"]);
        let finished = job.verify().run();
        finished.assert_code(3);
        let failed: Vec<_> = finished.events.iter().filter(|event| event["type"] == "range_failed").collect();
        assert_eq!(failed.len(), 1, "{failed:#?}");
        assert!(failed[0].to_string().contains("TOMBSTONES"), "{}", failed[0]);
        let counted = counts(&job.checkpoint);
        assert!(counted["rows_compared"] >= u64::try_from(2 * PARTITIONS - 2).unwrap(), "{counted:?}");
        assert_eq!(counted["rows_different"], 0);

        // A difference elsewhere comes first.
        lab.source.run("DELETE FROM t WHERE id = 9 AND at = (-5)");
        job.verify().arg("--restart").run().assert_code(4);
        lab.target.run("DELETE FROM t WHERE id = 9 AND at = (-5)");

        // Once they are compacted away, the same command compares what is left.
        job.verify().arg("--restart").run().assert_code(3);
        side.run("ALTER TABLE t WITH gc_grace_seconds = 0");
        lab.dump(side, "t"); // Flushes and compacts.
        job.verify().succeed();
        let rows = u64::try_from(2 * PARTITIONS - 1).unwrap();
        assert_eq!(counts(&job.checkpoint)["rows_compared"], rows);
    }
}

/// Goal: statics that differ in a partition that begins with too many tombstones are found, and repaired, whichever side has the
/// tombstones; so are rows that differ on both sides of them.
#[test]
fn statics_and_rows_around_too_many_tombstones_are_looked_at_again() {
    let Some(lab) = Lab::open("verify_tombst") else { return };
    lab.both("CREATE TABLE t (id int, at bigint, s int static, v text, PRIMARY KEY (id, at))");
    for node in [&lab.source, &lab.target] {
        node.load(&format!("INSERT INTO t (id, at, v) VALUES (?, ?, 'here') USING TIMESTAMP {THEN}"), live());
    }
    for (node, id) in [(&lab.source, 3), (&lab.target, 4)] {
        delete(node, id);
        node.run(&format!("DELETE FROM t USING TIMESTAMP {} WHERE id = {id} AND at = -5", THEN + 2));
    }
    for id in [3, 4] {
        lab.source.run(&format!("INSERT INTO t (id, s) VALUES ({id}, 7) USING TIMESTAMP {THEN}"));
        lab.source.run(&format!("UPDATE t USING TIMESTAMP {} SET v = 'new' WHERE id = {id} AND at = 500000", THEN + 3));
    }
    // Neighbours of each other, but for the tombstones.
    delete(&lab.source, 5);
    lab.target.run(&format!("UPDATE t USING TIMESTAMP {} SET v = 'new' WHERE id = 5 AND at = -5", THEN - 1));
    for at in [-5, 500_000] {
        lab.source.run(&format!("UPDATE t USING TIMESTAMP {} SET v = 'new' WHERE id = 5 AND at = {at}", THEN + 3));
    }
    // The target lacks it altogether.
    delete(&lab.source, 6);
    lab.source.run(&format!("INSERT INTO t (id, s) VALUES (6, 7) USING TIMESTAMP {THEN}"));
    lab.target.run(&format!("DELETE FROM t USING TIMESTAMP {THEN} WHERE id = 6"));
    for at in [-5, 500_000] {
        lab.source.run(&format!("INSERT INTO t (id, at, v) VALUES (6, {at}, 'new') USING TIMESTAMP {}", THEN + 3));
    }
    lab.source.run(&format!("UPDATE t USING TIMESTAMP {} SET s = 8 WHERE id = 6", THEN + 3));
    let job = lab.job("t").args(&["--ranges", "8", "--recheck-after", "50ms"]);
    let finished = job.verify().run();
    println!("{:#?}", finished.events.iter().filter(|event| event["type"] == "range_failed").collect::<Vec<_>>());
    finished.assert_code(4);
    let counted = counts(&job.checkpoint);
    // Of partition 3 the source, and of partition 4 the target, lacks the first row.
    let found = ["rows_different", "rows_missing", "rows_extra", "rows_value_older"].map(|name| counted[name]);
    assert_eq!(found, [11, 6, 1, 4]);

    job.verify().arg("--repair").run().assert_code(4);
    let counted = counts(&job.checkpoint);
    assert_eq!(["rows_different", "rows_extra", "rows_repaired"].map(|name| counted[name]), [2, 1, 9]);
}
