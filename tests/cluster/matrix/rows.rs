//! Rows and partitions of odd shapes: where one is neither an INSERT of all columns nor small.

use super::judge::elements;
use super::{assert_verified, copy_under_kills};
use crate::encodings::collection;
use crate::job::Job;
use crate::lab::{Lab, Raw, THEN};
use crate::oracle::Kind;
use std::time::{Duration, Instant};

/// Copies under kills, and compares values; copies all of it once more, which changes nothing, and compares the dumps.
fn prove(lab: &mut Lab, job: &Job, tables: &[(&str, u64)]) {
    copy_under_kills(lab, job);
    let assert_same_values = |lab: &Lab| {
        for (table, _) in tables {
            assert_same(lab, &format!(r#"SELECT * FROM "{table}""#));
        }
    };
    assert_same_values(lab);
    job.clone().arg("--restart").succeed();
    assert_same_values(lab);
    assert_verified(job);
    for (table, rows) in tables {
        lab.assert_equal(table, *rows);
    }
}

/// A SELECT answers the same on both sides. Answers the number of rows.
fn assert_same(lab: &Lab, cql: &str) -> usize {
    let (source, target) = (lab.source.raw(cql), lab.target.raw(cql));
    assert_eq!(source.len(), target.len(), "{cql}");
    for (source, target) in source.iter().zip(&target) {
        let cells = source.0.iter().zip(&target.0);
        let different: Vec<usize> = cells.enumerate().filter(|(_, (a, b))| a != b).map(|(index, _)| index).collect();
        assert_eq!(different, [0; 0], "columns of a row that differ: {cql}; key {:02x?}", source.0[0]);
    }
    source.len()
}

fn run_all(lab: &Lab, statements: &[&str]) {
    for cql in statements {
        lab.source.run(cql);
    }
}

fn int(value: i32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn bigint(value: i64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

/// Goal: traps: statics are written with every row, or with a null for a clustering key, or not at all where a partition has
/// nothing else, or twice where it spans pages.
///
/// Method: a partition of many pages (the first page has one row), partitions of a few rows, partitions of statics alone;
/// statics of every shape, in part expiring, in part deleted. A list would show what is written twice.
#[test]
fn static_columns_arrive_once_per_partition() {
    let Some(mut lab) = Lab::open("m_static") else { return };
    lab.both("CREATE TYPE pair (a int, b text)");
    lab.both(
        "CREATE TABLE t (p int, c int, v text, s text static, gone text static, u pair static, l list<int> static,
                         m map<int, text> static, e set<text> static, f frozen<list<int>> static, PRIMARY KEY (p, c))",
    );
    let filler = "x".repeat(200);
    let rows = |partition: i32, rows: i32| (0..rows).map(move |row| (partition, row));
    let rows: Vec<(i32, i32)> = rows(0, 30_000).chain((1..200).flat_map(|p| rows(p, p % 4))).collect();
    let count = rows.len() as u64;
    let insert = format!("INSERT INTO t (p, c, v) VALUES (?, ?, '{filler}') USING TIMESTAMP {THEN}");
    lab.source.load(&insert, rows);
    let mut with_statics = 0;
    for p in (0..200).filter(|p| p % 3 == 0) {
        with_statics += 1;
        let at = THEN - 1000 * i64::from(p);
        run_all(
            &lab,
            &[
                &format!("UPDATE t USING TIMESTAMP {at} SET s = 's', gone = 'g', m = {{1: 'a', 2: 'b'}} WHERE p = {p}"),
                &format!(
                    "UPDATE t USING TIMESTAMP {} AND TTL 70000 SET m = m + {{3: 'c'}}, u.a = 5 WHERE p = {p}",
                    at + 1
                ),
                &format!(
                    "UPDATE t USING TIMESTAMP {} SET l = [1, 1, 2], e = {{'', 'x'}}, u.b = '' WHERE p = {p}",
                    at + 2
                ),
                &format!("UPDATE t USING TIMESTAMP {} AND TTL 80000 SET l = l + [1], f = [] WHERE p = {p}", at + 3),
                &format!("DELETE gone, m[2] FROM t USING TIMESTAMP {} WHERE p = {p}", at + 4),
            ],
        );
    }
    let job = lab.job("t").args(&["--ranges", "4", "--writers", "4"]);
    prove(&mut lab, &job, &[("t", count + with_statics)]);
}

/// Goal: traps: tables with no regular column at all, or only with collections, are copied as nothing; rows of a key alone, and
/// rows that were never inserted, get lost.
#[test]
fn rows_without_a_plain_cell_arrive() {
    let Some(mut lab) = Lab::open("m_bare") else { return };
    lab.both("CREATE TABLE keys (a text, b text, c text, PRIMARY KEY ((a, b), c))");
    lab.both("CREATE TABLE statics (p int, c int, s set<int> static, PRIMARY KEY (p, c))");
    lab.both("CREATE TABLE bags (id int PRIMARY KEY, l list<text>, m map<text, text>, s set<text>)");
    let texts = ["", "a", "\0", "ab"];
    for (a, b, c) in (0..64).map(|n| (texts[n % 4], texts[n / 4 % 4], texts[n / 16])) {
        lab.source.load_singly("INSERT INTO keys (a, b, c) VALUES (?, ?, ?) USING TIMESTAMP 7", [(a, b, c)]);
    }
    lab.source.load("INSERT INTO statics (p, c) VALUES (?, ?) USING TIMESTAMP 7", (0..300).map(|n| (n % 50, n)));
    lab.source.load("UPDATE statics USING TIMESTAMP 3 SET s = s + {1, 2, 3} WHERE p = ?", (40..60).map(|n| (n,)));
    for id in 0..200 {
        run_all(
            &lab,
            &[
                // Elements are cells: the marker is as old as the oldest that stays.
                &format!("UPDATE bags USING TIMESTAMP 30 SET l = l + ['x', 'y', 'x'] WHERE id = {id}"),
                &format!(
                    "UPDATE bags USING TIMESTAMP 20 AND TTL 90000 SET m = m + {{'': '', 'k': 'v'}} WHERE id = {id}"
                ),
                &format!("UPDATE bags USING TIMESTAMP 40 SET s = s + {{''}} WHERE id = {id}"),
                &format!("INSERT INTO bags (id) VALUES ({id}) USING TIMESTAMP 30"),
                // An empty collection is none.
                &format!("INSERT INTO bags (id, l, m, s) VALUES ({}, [], {{}}, {{}}) USING TIMESTAMP 7", 1000 + id),
                // All of it expires, and the marker with the oldest of it.
                &format!("INSERT INTO bags (id) VALUES ({}) USING TIMESTAMP 20 AND TTL 90000", 2000 + id),
                &format!(
                    "UPDATE bags USING TIMESTAMP 20 AND TTL 90000 SET m = m + {{'k': 'v'}} WHERE id = {}",
                    2000 + id
                ),
                &format!(
                    "UPDATE bags USING TIMESTAMP 25 AND TTL 80000 SET m = m + {{'l': 'v'}} WHERE id = {}",
                    2000 + id
                ),
            ],
        );
    }
    let job = lab.job("keys").args(&["--table", &lab.name("bags"), "--table", &lab.name("statics")]);
    let job = job.args(&["--unknown-timestamp", "7", "--ranges", "30", "--writers", "2"]);
    prove(&mut lab, &job, &[("keys", 64), ("bags", 600), ("statics", 320)]);
}

/// Goal: traps: whatever was deleted at the source (cells, elements, collections, rows, ranges, partitions) comes back, or
/// arrives as tombstones, which hide what the application writes to the target with older timestamps.
#[test]
fn nothing_deleted_comes_back_and_no_tombstone_is_written() {
    let Some(mut lab) = Lab::open("m_deleted") else { return };
    lab.both(
        "CREATE TABLE t (p int, c int, v text, w text, l list<int>, m map<int, int>, s text static, z set<int> static,
                         PRIMARY KEY (p, c))",
    );
    lab.both("CREATE TABLE empty (p int, c int, v text, s text static, PRIMARY KEY (p, c))");
    for p in 0..120 {
        run_all(
            &lab,
            &[
                &format!(
                    "INSERT INTO t (p, c, v, w, l, m, s, z) VALUES ({p}, 0, 'v', 'w', [1, 2], {{1: 1, 2: 2}}, 's', {{1}}) USING TIMESTAMP 10"
                ),
                match p % 6 {
                    0 => format!("DELETE v, l, m[1], s FROM t USING TIMESTAMP 20 WHERE p = {p} AND c = 0"),
                    1 => format!("DELETE FROM t USING TIMESTAMP 20 WHERE p = {p} AND c = 0"),
                    2 => format!("DELETE FROM t USING TIMESTAMP 20 WHERE p = {p} AND c >= 0 AND c < 5"),
                    3 => format!("DELETE FROM t USING TIMESTAMP 20 WHERE p = {p}"),
                    4 => format!(
                        "UPDATE t USING TIMESTAMP 20 SET v = null, m = {{}}, l = [7], z = {{}} WHERE p = {p} AND c = 0"
                    ),
                    _ => format!(
                        "UPDATE t USING TIMESTAMP 20 SET l = [], m = m - {{1, 2}}, s = null WHERE p = {p} AND c = 0"
                    ),
                }
                .as_str(),
                &format!("INSERT INTO empty (p, c, v, s) VALUES ({p}, 0, 'v', 's') USING TIMESTAMP 10"),
                &format!("DELETE FROM empty USING TIMESTAMP 20 WHERE p = {p}"),
            ],
        );
    }
    let job = lab.job("t").args(&["--table", &lab.name("empty"), "--ranges", "30", "--writers", "2"]);
    // Of six rows three stay, and the statics of five.
    prove(&mut lab, &job, &[("t", 60 + 100), ("empty", 0)]);
    let dump = std::fs::read_to_string(lab.dump(&lab.target, "t")).unwrap();
    assert!(!dump.contains("deletion_info") && !dump.contains("tombstone"), "a tombstone at the target:\n{dump}");
}

/// Goal: traps: names are no safe text: mixed case, reserved words, quotes, line ends,
/// escape sequences; of tables, columns, types and their fields.
#[test]
fn names_of_any_text_arrive() {
    let Some(mut lab) = Lab::open("m_names") else { return };
    let odd = "a\"\"b\u{1b}[31m;--\nü";
    for cql in [
        format!(r#"CREATE TYPE "Sel""ect" ("{odd}" int, "token" text, "From" frozen<list<int>>)"#),
        format!(
            r#"CREATE TABLE "Group" ("{odd}" int, "TTL" int, "writetime" "Sel""ect", "a.b" map<text, frozen<"Sel""ect">>,
               "in" list<int>, "Static" text static, "static" "Sel""ect" static, " " frozen<"Sel""ect">,
               PRIMARY KEY ("{odd}", "TTL"))"#
        ),
    ] {
        lab.both(&cql);
    }
    for id in 0..50 {
        run_all(
            &lab,
            &[
                &format!(
                    r#"INSERT INTO "Group" ("{odd}", "TTL", "writetime", " ", "Static")
                       VALUES ({id}, 1, {{"{odd}": 1, "token": 't'}}, {{"From": [1, 2]}}, 'x') USING TIMESTAMP 50"#
                ),
                &format!(
                    r#"UPDATE "Group" USING TIMESTAMP 60 AND TTL 70000
                       SET "writetime"."From" = [3], "a.b" = "a.b" + {{'k': {{"token": ''}}}}, "in" = "in" + [4, 4]
                       WHERE "{odd}" = {id} AND "TTL" = 1"#
                ),
                &format!(r#"UPDATE "Group" USING TIMESTAMP 61 SET "static"."{odd}" = 9 WHERE "{odd}" = {id}"#),
            ],
        );
    }
    let job = lab.job("Group").args(&["--ranges", "20", "--writers", "2"]);
    prove(&mut lab, &job, &[("Group", 100)]);
}

/// Goal: traps: user-defined types that got fields after rows were written, whose values are shorter than the type.
#[test]
fn fields_that_were_added_later_stay_absent() {
    let Some(mut lab) = Lab::open("m_fields") else { return };
    for node in [&lab.source, &lab.target] {
        node.run("CREATE TYPE grown (a int)");
        node.run(
            "CREATE TABLE t (k int, c frozen<grown>, f frozen<grown>, u grown, l list<frozen<grown>>,
                             m map<frozen<grown>, frozen<grown>>, s grown static, PRIMARY KEY (k, c))",
        );
    }
    let insert = |id: i32, at: i64, value: &str| {
        lab.source.run(&format!(
            "INSERT INTO t (k, c, f, u, l, m, s) VALUES ({id}, {value}, {value}, {value}, [{value}],
                    {{{value}: {value}}}, {value}) USING TIMESTAMP {at}"
        ));
    };
    (0..40).for_each(|id| insert(id, 100, &format!("{{a: {id}}}")));
    lab.both("ALTER TYPE grown ADD b text");
    (20..40).for_each(|id| insert(id, 200, &format!("{{a: {id}, b: 'b'}}")));
    (30..60).for_each(|id| insert(id, 300, "{b: ''}"));
    let job = lab.job("t").args(&["--ranges", "20", "--writers", "2"]);
    copy_under_kills(&mut lab, &job);
    let cql = "SELECT k, c, f, u, l, m, s, WRITETIME(f), WRITETIME(u), WRITETIME(l), WRITETIME(m), WRITETIME(s) FROM t";
    assert!(assert_same(&lab, cql) > 80);
    job.clone().arg("--restart").succeed();
    assert!(assert_same(&lab, cql) > 80);
}

/// Copies under kills, and once more; the SELECTs answer the same on both sides.
fn prove_by_selects(lab: &mut Lab, job: &Job, selects: &[&str]) {
    copy_under_kills(lab, job);
    for again in [false, true] {
        if again {
            job.clone().arg("--restart").succeed();
        }
        for cql in selects {
            assert!(assert_same(lab, cql) > 0, "{cql}");
        }
    }
}

/// Goal: traps: 500 columns, each with a writetime of its own; an element for each of 70,000 writetimes, which is more
/// statements than a batch can count; lists of thousands.
#[test]
fn rows_of_many_cells_arrive() {
    let Some(mut lab) = Lab::open("m_wide") else { return };
    let names: Vec<String> = (0..500).map(|n| format!("c{n}")).collect();
    let columns: Vec<String> = names.iter().map(|name| format!("{name} int")).collect();
    lab.both(&format!("CREATE TABLE wide (id int PRIMARY KEY, {})", columns.join(", ")));
    for id in 0..20 {
        let update = |(n, name): (usize, &String)| {
            let at = THEN + i64::try_from((n + id) % 9).unwrap();
            format!("UPDATE wide USING TIMESTAMP {at} SET {name} = {n} WHERE id = {id};")
        };
        let updates: String = names.iter().enumerate().map(update).collect();
        let marker = format!("INSERT INTO wide (id) VALUES ({id}) USING TIMESTAMP {THEN};");
        lab.source.run(&format!("BEGIN UNLOGGED BATCH {updates} {marker} APPLY BATCH"));
    }
    lab.both("CREATE TABLE many (id int PRIMARY KEY, m map<int, int>, s set<int>, l list<int>)");
    let elements = (0..70_000).map(|n: i32| {
        let element = collection(&[&n.to_be_bytes(), &n.to_be_bytes()], 1);
        Raw::of([bigint(THEN + i64::from(n)), element, int(1)])
    });
    lab.source.load("UPDATE many USING TIMESTAMP ? SET m = m + ? WHERE id = ?", elements);
    let elements: Vec<[u8; 4]> = (0..70_000i32).map(i32::to_be_bytes).collect();
    let elements: Vec<&[u8]> = elements.iter().map(<[u8; 4]>::as_slice).collect();
    let row = Raw::of([bigint(THEN), collection(&elements, elements.len()), int(1)]);
    lab.source.load_singly("UPDATE many USING TIMESTAMP ? SET s = s + ? WHERE id = ?", [row]);
    let row = Raw::of([bigint(THEN), collection(&elements[..12_000], 12_000), int(1)]);
    lab.source.load_singly("UPDATE many USING TIMESTAMP ? SET l = l + ? WHERE id = ?", [row]);
    lab.source.run(&format!("INSERT INTO many (id) VALUES (1) USING TIMESTAMP {THEN}"));

    let job = lab.job("wide").args(&["--table", &lab.name("many"), "--ranges", "4"]);
    let many = "SELECT id, m, s, l, WRITETIME(m), WRITETIME(s), WRITETIME(l) FROM many";
    prove_by_selects(&mut lab, &job, &["SELECT * FROM wide", many]);
    lab.assert_equal("wide", 20);
}

/// Goal: traps: rows of 5 MB, and statics of one, which come with every row; keys as long as they may be.
///
/// Method: the rows are compared one by one, as a node has no memory for an answer with all of them.
#[test]
fn large_rows_and_long_keys_arrive() {
    let Some(mut lab) = Lab::open("m_large") else { return };
    lab.both("CREATE TABLE large (id int, c int, v blob, m map<int, blob>, s blob static, PRIMARY KEY (id, c))");
    let blob = |megabytes: usize, id: i32| vec![id.to_be_bytes()[3]; megabytes << 20];
    let rows = (0..4).map(|id| Raw::of([int(id % 2), int(id), blob(5, id), bigint(THEN)]));
    lab.source.load_singly("INSERT INTO large (id, c, v) VALUES (?, ?, ?) USING TIMESTAMP ?", rows);
    let elements = (0..4).map(|n: i32| {
        let element = collection(&[&n.to_be_bytes(), &blob(1, n)], 1);
        Raw::of([bigint(THEN + i64::from(n)), element, int(1), int(1)])
    });
    lab.source.load_singly("UPDATE large USING TIMESTAMP ? SET m = m + ? WHERE id = ? AND c = ?", elements);

    let statics = Raw::of([blob(1, 7), int(1)]);
    lab.source.load_singly(&format!("UPDATE large USING TIMESTAMP {THEN} SET s = ? WHERE id = ?"), [statics]);

    lab.both("CREATE TABLE long (a blob, b blob, c blob, v int, s int static, PRIMARY KEY ((a, b), c))");
    let key = |length: usize, n: i32| [n.to_be_bytes().to_vec(), vec![0xff; length - 4]].concat();
    let rows = (0..20).map(|n| Raw::of([key(30_000, n / 2), key(35_000, 1), key(65_535, n), int(n), int(n / 2)]));
    let insert = format!("INSERT INTO long (a, b, c, v, s) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP {THEN}");
    lab.source.load_singly(&insert, rows);

    let job = lab.job("large").args(&["--table", &lab.name("long"), "--ranges", "4"]);
    let large = "SELECT id, c, v, m, s, WRITETIME(v), WRITETIME(m), WRITETIME(s) FROM large WHERE";
    let mut selects: Vec<String> = (0..4).map(|c| format!("{large} id = {} AND c = {c}", c % 2)).collect();
    selects.push("SELECT a, b, c, v, s, WRITETIME(v), WRITETIME(s) FROM long".to_owned());
    prove_by_selects(&mut lab, &job, &selects.iter().map(String::as_str).collect::<Vec<_>>());
    assert_same(&lab, "SELECT id, c FROM large");
}

/// Goal: what row markers are written, by each rule, where they can't be exact: as documented.
#[test]
fn markers_of_rows_with_elements_follow_the_rule_that_was_chosen() {
    let Some(lab) = Lab::open("m_markers") else { return };
    lab.both("CREATE TABLE t (id int PRIMARY KEY, v text, m map<int, int>, l list<int>)");
    run_all(
        &lab,
        &[
            "INSERT INTO t (id) VALUES (1) USING TIMESTAMP 10",
            "UPDATE t USING TIMESTAMP 20 SET m = m + {1: 1} WHERE id = 1",
            "UPDATE t USING TIMESTAMP 30 SET v = 'v' WHERE id = 1",
            "UPDATE t USING TIMESTAMP 40 SET l = l + [1] WHERE id = 2",
            "UPDATE t USING TIMESTAMP 50 AND TTL 5000 SET m = m + {1: 1} WHERE id = 3",
            "UPDATE t USING TIMESTAMP 60 AND TTL 9000 SET v = 'v' WHERE id = 3",
            "INSERT INTO t (id) VALUES (4) USING TIMESTAMP 70",
        ],
    );
    let of = |id: i32, kind, source: &str, target: &str| (format!(r#"["{id}"]"#), kind, source.into(), target.into());
    let key_only = || of(4, Kind::MarkerTimestamp, "70", "1");
    // Elements are cells: the marker is as old as the oldest of all.
    let written = [
        of(1, Kind::MarkerTimestamp, "10", "20"),
        of(2, Kind::Marker, "none", "of 40"),
        of(3, Kind::Marker, "none", "of 50"),
        key_only(),
    ];
    for (rule, expected, marker_of_3) in [
        ("infer", &written[..], r#""liveness_info":{"tstamp":"50","ttl":"#),
        ("always", &written[..], r#""liveness_info":{"tstamp":"50"}"#),
        ("never", &[of(1, Kind::Marker, "of 10", "none"), key_only()], r#""tstamp":"50","ttl":"#),
    ] {
        lab.target.run("TRUNCATE t");
        lab.job("t").args(&["--restart", "--row-marker", rule]).succeed();
        let report = lab.differences("t", "t");
        let found = report.samples.into_iter().map(|d| (d.partition, d.kind, d.source, d.target));
        let mut found: Vec<(String, Kind, String, String)> = found.collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{rule}");
        let dump = std::fs::read_to_string(lab.folder.path().join(format!("{}-t.json", lab.target.host()))).unwrap();
        assert!(dump.contains(marker_of_3), "{rule}: {dump}");
    }
}

/// Goal: what expires at the source expires at the target, elements and statics too, and a row with its last cell.
///
/// Method: both sides are read until the source has nothing left that expires.
#[test]
fn elements_and_statics_expire_with_those_of_the_source() {
    let Some(lab) = Lab::open("m_expiry") else { return };
    lab.both("CREATE TABLE t (p int, c int, m map<int, int>, l list<int>, s set<int> static, PRIMARY KEY (p, c)) WITH default_time_to_live = 90000");
    for p in 0..30 {
        run_all(
            &lab,
            &[
                &format!(
                    "UPDATE t USING TTL 45 SET m = m + {{1: 1}}, l = l + [1, 1], s = s + {{1}} WHERE p = {p} AND c = 1"
                ),
                &format!(
                    "UPDATE t USING TTL 0 SET m = m + {{2: 2}}, l = l + [2], s = s + {{2}} WHERE p = {p} AND c = 2"
                ),
                &format!("UPDATE t USING TTL 45 SET m = m + {{3: 3}} WHERE p = {p} AND c = 2"),
            ],
        );
    }
    lab.job("t").succeed();
    let cql = "SELECT p, c, m, l, s FROM t";
    assert_eq!(lab.source.raw(cql), lab.target.raw(cql));
    let left = |node: &crate::lab::Node| node.raw("SELECT p FROM t WHERE c = 1 ALLOW FILTERING").len();
    while left(&lab.source) > 0 {
        std::thread::sleep(Duration::from_millis(200)); // Nothing but time makes them expire.
    }
    // Without a TTL of their own they would live for the day that the table says.
    let started = Instant::now();
    while left(&lab.target) > 0 || lab.source.raw(cql) != lab.target.raw(cql) {
        assert!(started.elapsed() < Duration::from_secs(60), "elements or rows outlive those of the source");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(left(&lab.source), 0);
    assert_eq!(lab.target.raw(cql).len(), 30, "what is permanent stays");
    let ttls = lab.target.raw("SELECT TTL(m), TTL(l), TTL(s) FROM t");
    assert!(
        ttls.iter().flat_map(|row| &row.0).flatten().flat_map(|list| elements(list)).all(|ttl| ttl.is_none()),
        "{ttls:?}"
    );
}

/// Goal: trap: a list is written twice by whatever writes twice: elements of one value, at the front, of one writetime.
#[test]
fn lists_keep_their_elements_and_order_and_are_never_doubled() {
    let Some(mut lab) = Lab::open("m_lists") else { return };
    lab.both("CREATE TABLE t (id int PRIMARY KEY, l list<int>)");
    for id in 0..300 {
        let mut statements = Vec::new();
        for _ in 0..=lab.random.below(11) {
            let (at, value) = (lab.random.below(4), lab.random.below(3));
            let ttl = if lab.random.one_in(3) { 60_000 + lab.random.below(3) * 10_000 } else { 0 };
            let set = if lab.random.one_in(3) { format!("[{value}] + l") } else { format!("l + [{value}]") };
            statements.push(format!("UPDATE t USING TIMESTAMP {at} AND TTL {ttl} SET l = {set} WHERE id = {id}"));
        }
        let set = format!("UPDATE t USING TIMESTAMP 9 SET l = l + [8, 8, 8] WHERE id = {id}");
        let marker = format!("INSERT INTO t (id) VALUES ({id}) USING TIMESTAMP 0");
        let zero = format!("UPDATE t USING TIMESTAMP 0 SET l = l + [5] WHERE id = {id}");
        let all: Vec<&str> = statements.iter().map(String::as_str).chain([&*set, &*marker, &*zero]).collect();
        run_all(&lab, &all);
    }
    let job = lab.job("t").args(&["--ranges", "40", "--writers", "4"]);
    copy_under_kills(&mut lab, &job);
    for again in [false, true] {
        if again {
            job.clone().arg("--restart").succeed();
        }
        assert_eq!(assert_same(&lab, "SELECT id, l, WRITETIME(l) FROM t"), 300);
    }
    lab.assert_equal("t", 300);
}
