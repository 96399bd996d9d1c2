//! Tables of all shapes.

use crate::lab::{Lab, THEN};

/// Goal: a table's shape doesn't matter: several columns in either key, mixed orders, only keys, odd names, nothing at all,
/// and partitions from one row to fifty thousand.
///
/// Method: all of them in one job; the dumps judge.
#[test]
fn tables_of_all_shapes_arrive_in_one_job() {
    let Some(mut lab) = Lab::open("shapes") else { return };
    let random = &mut lab.random;
    let composite: Vec<(i32, String, i32, String, i32, String, i64)> = (0..3000)
        .map(|n| {
            let (a, b) = (n % 40, format!("b{}", n % 7));
            (a, b, n % 5, random.text(5) + &n.to_string(), n, random.text(40), THEN + i64::from(n))
        })
        .collect();
    let wide: Vec<(i32, i32, String, i64)> = (0..50_000).map(|n| (1, n, random.text(40), THEN)).collect();
    let narrow: Vec<(i32, String, i64)> = (0..5000).map(|n| (n, random.text(20), THEN)).collect();
    let keys: Vec<(i32, i32, String)> = (0..1000).map(|n| (n / 10, n, random.text(9))).collect();

    for (name, ddl) in [
        (
            "composite",
            "(a int, b text, c int, d text, e int, v text, PRIMARY KEY ((a, b), c, d, e)) \
                       WITH CLUSTERING ORDER BY (c DESC, d ASC, e DESC)",
        ),
        ("wide", "(room int, id int, v text, PRIMARY KEY (room, id)) WITH CLUSTERING ORDER BY (id DESC)"),
        ("narrow", "(id int PRIMARY KEY, v text)"),
        ("keys", "(a int, b int, c text, PRIMARY KEY (a, b, c))"),
        ("nothing", "(id int PRIMARY KEY, v text)"),
        (
            r#""Select""#,
            r#"("From" int, "token" text, "a b" int, "quo""te" text, "ÄÖ" int, ttl int, writetime text,
                           PRIMARY KEY (("From", "token"), "a b"))"#,
        ),
    ] {
        lab.both(&format!("CREATE TABLE {name} {ddl}"));
    }
    let source = &lab.source;
    source.load("INSERT INTO composite (a, b, c, d, e, v) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?", composite);
    source.load("INSERT INTO wide (room, id, v) VALUES (?, ?, ?) USING TIMESTAMP ?", wide);
    source.load("INSERT INTO narrow (id, v) VALUES (?, ?) USING TIMESTAMP ?", narrow);
    // The marker of a row that has only a key can't be read; this is what it is written with.
    source.load("INSERT INTO keys (a, b, c) VALUES (?, ?, ?) USING TIMESTAMP 99", keys);
    source.load(
        r#"INSERT INTO "Select" ("From", "token", "a b", "quo""te", "ÄÖ", ttl, writetime)
           VALUES (?, 'x', ?, 'q', 1, 2, 'w') USING TIMESTAMP 5"#,
        (0..500).map(|n| (n / 3, n)),
    );

    let tables =
        [("composite", 3000), ("wide", 50_000), ("narrow", 5000), ("keys", 1000), ("Select", 500), ("nothing", 0)];
    let mut job = lab.job("composite").args(&["--unknown-timestamp", "99", "--memory", "16MiB"]);
    for (table, _) in &tables[1..] {
        job = job.arg("--table").arg(&lab.name(table));
    }
    job.succeed();
    let status = job.status();
    for (table, rows) in tables {
        // The tables of a job are kept by name, however they were typed.
        let status = status["tables"].as_array().unwrap().iter().find(|one| one["source"]["table"] == table).unwrap();
        assert_eq!((&status["rows_read"], &status["rows_written"]), (&rows.into(), &rows.into()), "{table}");
        lab.assert_equal(table, rows);
    }
}
