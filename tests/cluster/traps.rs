//! Traps that other tools fell into, each with a table that springs it. `tests/traps.md` lists all of them.

use crate::lab::Lab;
use std::collections::BTreeMap;

type Map = BTreeMap<i32, i32>;

/// Goal: trap: a whole set or map that is assigned, or a row that is replaced, erases what a dual write put beside it.
///
/// Method: the target has older and newer elements, fields and cells of its own; the copy adds to them.
#[test]
fn elements_that_the_target_has_already_stay() {
    let Some(lab) = Lab::open("trap_append") else { return };
    lab.both("CREATE TYPE pair (a int, b text)");
    lab.both(
        "CREATE TABLE t (p int, c int, m map<int, int>, s set<int>, u pair, z set<int> static, PRIMARY KEY (p, c))",
    );
    for (node, key, at) in [(&lab.target, 1, 5), (&lab.source, 2, 10), (&lab.target, 3, 15)] {
        let field = if key == 2 { "u.a = 2" } else { "u.b = 'b'" };
        node.run(&format!(
            "UPDATE t USING TIMESTAMP {at} SET m = m + {{{key}: {key}}}, s = s + {{{key}}}, z = z + {{{key}}}, {field}
             WHERE p = 1 AND c = 1"
        ));
    }
    lab.job("t").succeed();
    let found = lab.target.rows::<(Map, Vec<i32>, Vec<i32>, Vec<i64>)>("SELECT m, s, z, WRITETIME(m) FROM t");
    let m = Map::from([(1, 1), (2, 2), (3, 3)]);
    assert_eq!(found, [(m, vec![1, 2, 3], vec![1, 2, 3], vec![5, 10, 15])]);
    assert_eq!(lab.target.rows::<(i32, String)>("SELECT u.a, u.b FROM t"), [(2, "b".to_owned())]);
}

/// Goal: trap: what a dual write deleted or replaced at the target comes back with the copy of what is older.
#[test]
fn what_the_target_deleted_or_replaced_later_stays_so() {
    let Some(lab) = Lab::open("trap_deleted") else { return };
    lab.both("CREATE TABLE t (p int, c int, m map<int, int>, s set<int> static, v int, PRIMARY KEY (p, c))");
    for c in 0..4 {
        lab.source.run(&format!(
            "INSERT INTO t (p, c, m, s, v) VALUES (1, {c}, {{1: 1, 2: 2}}, {{1, 2}}, 1) USING TIMESTAMP 10"
        ));
    }
    for cql in [
        "DELETE m[1], s[1] FROM t USING TIMESTAMP 20 WHERE p = 1 AND c = 0",
        "DELETE m, v FROM t USING TIMESTAMP 20 WHERE p = 1 AND c = 1",
        "DELETE FROM t USING TIMESTAMP 20 WHERE p = 1 AND c = 2",
        "UPDATE t USING TIMESTAMP 20 SET m = {3: 3}, v = 3 WHERE p = 1 AND c = 3",
    ] {
        lab.target.run(cql);
    }
    let job = lab.job("t");
    for _ in 0..2 {
        job.clone().arg("--restart").succeed();
        let found = lab.target.rows::<(i32, Option<Map>, Vec<i32>, Option<i32>)>("SELECT c, m, s, v FROM t");
        let two = vec![2];
        let expected = [
            (0, Some(Map::from([(2, 2)])), two.clone(), Some(1)),
            (1, None, two.clone(), None),
            (3, Some(Map::from([(3, 3)])), two, Some(3)),
        ];
        assert_eq!(found, expected);
    }
}

/// Goal: trap: a cell that was written on both sides at the same microsecond. The copy ends as if both writes had met on one
/// node, and a second copy changes nothing: a tombstone wins, then what expires, then the larger value.
#[test]
fn ties_end_as_if_both_writes_had_met_on_one_node() {
    let Some(lab) = Lab::open("trap_ties") else { return };
    lab.both("CREATE TABLE t (id int PRIMARY KEY, v int, m map<int, int>)");
    lab.target.run("CREATE TABLE met (id int PRIMARY KEY, v int, m map<int, int>)");
    let at_source = |table: &str, id: i32, ttl: i32, value: i32| {
        format!(
            "UPDATE {table} USING TIMESTAMP 10 AND TTL {ttl} SET v = {value}, m = m + {{1: {value}}} WHERE id = {id}"
        )
    };
    let deleted = |table: &str, id: i32| format!("DELETE v, m[1] FROM {table} USING TIMESTAMP 10 WHERE id = {id}");
    let source: [(i32, i32, i32); 6] = [(0, 0, 1), (1, 0, -1), (2, 9000, 1), (3, 0, 5), (4, 0, 5), (5, 5000, 5)];
    let target: [(i32, i32, i32); 5] = [(0, 0, 2), (1, 0, 1), (2, 0, 5), (3, 9000, 1), (5, 9000, 1)];
    for (id, ttl, value) in source {
        lab.source.run(&at_source("t", id, ttl, value));
        lab.target.run(&at_source("met", id, ttl, value));
    }
    for table in ["t", "met"] {
        for (id, ttl, value) in target {
            lab.target.run(&at_source(table, id, ttl, value));
        }
        lab.target.run(&deleted(table, 4));
    }
    let found = |table: &str| {
        let mut rows = lab.target.raw(&format!("SELECT id, v, m, WRITETIME(v), WRITETIME(m) FROM {table}"));
        // The copy infers a marker for row 4, whose cells are deleted.
        rows.retain(|row| row.0[1].is_some());
        rows
    };
    let expiring = |table: &str| {
        let rows = lab.target.rows::<(i32, Option<i32>)>(&format!("SELECT id, TTL(v) FROM {table}"));
        let hours = |(id, ttl): (i32, Option<i32>)| (id, ttl.map(|ttl| (ttl + 500) / 1000));
        rows.into_iter().filter(|row| row.0 != 4).map(hours).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        lab.job("t").arg("--restart").succeed();
        assert_eq!(found("t"), found("met"));
        assert_eq!(found("t").len(), 5);
        assert_eq!(expiring("t"), expiring("met"));
    }
}

/// Goal: trap: columns that are named like what holds another column's TTL or writetime in a tool that goes by names.
#[test]
fn columns_that_are_named_like_metadata_are_columns() {
    let Some(lab) = Lab::open("trap_helpers") else { return };
    lab.both(
        r#"CREATE TABLE t (id int PRIMARY KEY, v int, v_ttl int, v_writetime bigint, "ttl(v)" int, "writetime(v)" bigint,
                           "TTL(v)" int)"#,
    );
    lab.source.run(
        r#"INSERT INTO t (id, v, v_ttl, v_writetime, "ttl(v)", "writetime(v)", "TTL(v)") VALUES (1, 2, 3, 4, 5, 6, 7)
           USING TIMESTAMP 10"#,
    );
    lab.source.run("UPDATE t USING TIMESTAMP 20 AND TTL 7000 SET v = 3 WHERE id = 1");
    lab.job("t").succeed();
    lab.assert_equal("t", 1);
}
