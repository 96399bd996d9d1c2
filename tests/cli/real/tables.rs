use crate::lab::{Lab, ROWS, SOURCE, TARGET};
use std::net::TcpListener;

#[test]
fn the_same_cluster_on_both_sides_is_refused() {
    let Some(lab) = Lab::new("same") else { return };
    let table = lab.usual();
    insta::assert_snapshot!(lab.plan(SOURCE, SOURCE), @r#"
    exit code 5
    -- stderr
    error: source and target are the same cluster `source`: copying a table onto itself is refused
    hint: check `--source` and `--target`
    "#);
    // Even into another table, and through another of its addresses.
    let into = format!("{table}={}", lab.table("u"));
    lab.tool().run(&["--source", SOURCE, "--target", "127.0.0.1:9042", "--table", &into]).expect(5);
}

#[test]
fn a_table_that_is_not_there_is_told_with_its_side() {
    let Some(lab) = Lab::new("missing") else { return };
    lab.create(&[&lab.source], "t", "id int PRIMARY KEY");
    insta::assert_snapshot!(lab.plan(SOURCE, TARGET), @r#"
    exit code 5
    -- stderr
    error: there is no table KS.t at the target
    hint: create it at the target first: `migrate schema --source … --target … --table KEYSPACE.TABLE --apply`
    "#);
    insta::assert_snapshot!(lab.plan(TARGET, SOURCE), @r#"
    exit code 5
    -- stderr
    error: there is no table KS.t at the source
    hint: check `--table KEYSPACE.TABLE`: names are taken as they are, upper and lower case apart
    "#);
}

#[test]
fn every_column_that_differs_is_named() {
    let Some(lab) = Lab::new("differ") else { return };
    lab.create(&[&lab.source], "t", "a int, b int, c int, same int, gone text, wider int, PRIMARY KEY ((a, b), c)");
    let target = "b int, a int, c int, same int, wider bigint, new frozen<set<int>>, PRIMARY KEY ((b, a), c)";
    lab.create(&[&lab.target], "t", &format!("{target}) WITH CLUSTERING ORDER BY (c DESC"));
    let answer = lab.plan(SOURCE, TARGET);
    insta::assert_snapshot!(answer, @r#"
    exit code 5
    -- stderr
    error: the columns of KS.t at the source and KS.t at the target differ
      a: int (partition key 0) at the source, int (partition key 1) at the target
      b: int (partition key 1) at the source, int (partition key 0) at the target
      c: int (clustering key 0) at the source, int (clustering key 0 descending) at the target
      gone: text (regular) at the source, missing at the target
      wider: int (regular) at the source, bigint (regular) at the target
      new: missing at the source, frozen<set<int>> (regular) at the target
    hint: make the target's table like the source's
    "#);
    let table = lab.table("t");
    let tool = lab.tool();
    assert_eq!(
        tool.run(&["--source", SOURCE, "--target", TARGET, "--table", &table]).err.lines().last(),
        answer.err.lines().last()
    );
    assert_eq!(tool.listing().len(), 0);
}

#[test]
fn a_materialized_view_is_refused() {
    let Some(lab) = Lab::new("view") else { return };
    lab.create(&[&lab.source, &lab.target], "base", "id int PRIMARY KEY, v int");
    lab.create(&[&lab.target], "t", "v int, id int, PRIMARY KEY (v, id)");
    let (view, base) = (lab.table("t"), lab.table("base"));
    lab.source.cql(&format!(
        "CREATE MATERIALIZED VIEW {view} AS SELECT v, id FROM {base} WHERE v IS NOT NULL AND id IS NOT NULL PRIMARY KEY (v, id)"
    ));
    insta::assert_snapshot!(lab.plan(SOURCE, TARGET), @r#"
    exit code 5
    -- stderr
    error: KS.t is a materialized view at the source: its rows come from its base table
    hint: copy the base table; the target builds its own view
    "#);
    insta::assert_snapshot!(lab.plan(TARGET, SOURCE), @r#"
    exit code 5
    -- stderr
    error: KS.t is a materialized view at the target: its rows come from its base table
    hint: copy the base table; the target builds its own view
    "#);
}

/// The text without what differs from run to run: widths of columns, times, sizes, and numbers of ranges, which are the nodes'
/// own affair.
fn steady(text: &str) -> String {
    let varies = ["bytes", "ranges", "of", "rows/s),"];
    let told = |line: &&str| !(line.is_empty() || line.contains(" partitions, ") || line.starts_with("run "));
    let lines = text.lines().filter(told).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        if words.iter().any(|word| varies.contains(word)) {
            words.into_iter().map(|word| if number(word) || word.starts_with('(') { "…" } else { word }).collect()
        } else {
            words.into_iter().map(|word| if word.contains('/') && number(word) { "…" } else { word }).collect()
        }
    });
    lines.map(|words: Vec<&str>| words.join(" ")).collect::<Vec<_>>().join("\n")
}

/// Of three tables and a view, one table differs and one is missing at the target.
#[test]
fn a_plan_a_summary_and_a_status_list_each_table_and_what_is_broken() {
    let Some(lab) = Lab::new("several") else { return };
    let both = [&lab.source, &lab.target];
    lab.create(&both, "a", "id int PRIMARY KEY, v int");
    lab.create(&[&lab.source], "b", "id int PRIMARY KEY, v int, w text");
    lab.create(&[&lab.target], "b", "id int PRIMARY KEY, v int");
    lab.create(&[&lab.source], "c", "id int PRIMARY KEY");
    lab.create(&[&lab.source], "tmp_1", "id int PRIMARY KEY");
    lab.source.cql(&format!("INSERT INTO {} (id, v) VALUES (1, 2)", lab.table("a")));
    lab.source.cql(&format!(
        "CREATE MATERIALIZED VIEW {} AS SELECT v, id FROM {} WHERE v IS NOT NULL AND id IS NOT NULL PRIMARY KEY (v, id)",
        lab.table("va"),
        lab.table("a"),
    ));
    let (every, excluded) = (lab.table("*"), lab.table("tmp_*"));
    let job = ["--source", SOURCE, "--target", TARGET, "--table", &every, "--exclude", &excluded, "--ranges", "1"];
    let tool = lab.tool();
    let plan = tool.run(&[&["plan"], &job[..]].concat());
    insta::assert_snapshot!(steady(plan.expect(3).out.split_once("(new)").unwrap().1), @"
    note left out, as the target builds its own materialized views: KS.va
    note left out by `--exclude`: KS.tmp_1
    column type part kept
    id int partition key 0 value
    v int regular value, writetime, TTL
    (row) row marker inferred from the cells: no query shows it (--row-marker)
    KS.b can't be copied: the columns of KS.b at the source and KS.b at the target differ
    w: text (regular) at the source, missing at the target
    KS.c can't be copied: there is no table KS.c at the target
    ");
    let copy = tool.run(&job);
    insta::assert_snapshot!(steady(copy.expect(3).err.split_once("datacenter1\nnote").unwrap().1), @"
    : left out, as the target builds its own materialized views: KS.va
    note: left out by `--exclude`: KS.tmp_1
    new job … ranges of … tables
    broken: KS.b: the columns of KS.b at the source and KS.b at the target differ
    w: text (regular) at the source, missing at the target
    hint: make the target's table like the source's
    broken: KS.c: there is no table KS.c at the target
    hint: create it at the target first: `migrate schema --source … --target … --table KEYSPACE.TABLE --apply`
    incomplete: … rows in … … rows/s), … % of the ring, … of … tables broken
    this run whole job
    rows written 1 1
    rows expired meanwhile 0
    row markers inferred 1
    bytes read … B … B
    ranges done … of …
    ranges failed …
    retries 0
    table state rows written ranges done ranges failed
    KS.a done … … of … …
    KS.b broken … … of … …
    KS.c broken … … of … …
    broken: KS.b: the columns of KS.b at the source and KS.b at the target differ
    w: text (regular) at the source, missing at the target
    broken: KS.c: there is no table KS.c at the target
    next: mend what is broken; the same command tries those tables again, and ranges that failed. What takes another flag is a job of its own: `--table KEYSPACE.TABLE … --checkpoint OTHER.db`
    ");
    insta::assert_snapshot!(steady(&tool.run(&["status"]).expect(0).out), @"
    incomplete … % of the ring … ranges … rows … B … of … tables broken
    from `source` to `target`, checkpoint migrate.db
    copied: 1 row read at LOCAL_QUORUM and written at LOCAL_QUORUM
    table state ring ranges claimed failed rows written rows expired rejected
    KS.a done 100.0 % … 0 0 1 0 0
    KS.b broken 0.0 % … 0 0 0 0 0
    KS.c broken 0.0 % … 0 0 0 0 0
    broken: KS.b: the columns of KS.b at the source and KS.b at the target differ
    w: text (regular) at the source, missing at the target
    broken: KS.c: there is no table KS.c at the target
    ");
    let json = tool.run(&["status", "--json"]).json();
    assert_eq!((&json["state"], &json["tables"][2]["state"]), (&"incomplete".into(), &"broken".into()));
}

#[test]
fn a_plan_tells_column_by_column_what_is_kept_and_what_is_refused() {
    let Some(lab) = Lab::new("inexact") else { return };
    let both = [&lab.source, &lab.target];
    for node in both {
        node.cql(&format!("CREATE TYPE {} (street text)", lab.table("address")));
    }
    let columns = "id int, at int, s int static, tags set<text>, l list<int>, m map<int, text>, home address,
                   fine frozen<list<int>>, PRIMARY KEY (id, at)";
    lab.create(&both, "t", columns);
    insta::assert_snapshot!(steady(&lab.plan(SOURCE, TARGET).to_string()), @"
    exit code 0
    -- stdout
    source Apache Cassandra 5.0.6, cluster `source`, 1 node, datacenter datacenter1, LOCAL_QUORUM
    target Apache Cassandra 5.0.6, cluster `target`, 1 node, datacenter datacenter1, LOCAL_QUORUM
    pace … readers, … writers, … MiB of memory
    file migrate.db (new)
    column type part kept
    id int partition key 0 value
    at int clustering key 0 value
    s int static value, writetime, TTL
    fine frozen<list<int>> regular value, writetime, TTL
    home address … text) regular value, writetime, TTL of each element
    l list<int> regular value, writetime, TTL of each element; the target is read first
    m map<int, text> regular value, writetime, TTL of each element
    tags set<text> regular value, writetime, TTL of each element
    (row) row marker inferred from the cells: no query shows it (--row-marker)
    ");
    for node in both {
        node.cql(&format!("DROP TABLE {}", lab.table("t")));
    }
    lab.create(&both, "t", "id int PRIMARY KEY, hits counter");
    insta::assert_snapshot!(steady(&lab.plan(SOURCE, TARGET).to_string()), @"
    exit code 5
    -- stdout
    source Apache Cassandra 5.0.6, cluster `source`, 1 node, datacenter datacenter1, LOCAL_QUORUM
    target Apache Cassandra 5.0.6, cluster `target`, 1 node, datacenter datacenter1, LOCAL_QUORUM
    pace … readers, … writers, … MiB of memory
    file migrate.db (new)
    KS.t can't be copied: KS.t has columns that can't be copied
    column type part kept
    id int partition key 0 value
    hits counter regular refused: a counter can't be written twice; `--counters delta` copies it while nobody writes
    -- stderr
    error: KS.t has columns that can't be copied
    hits counter is refused: a counter can't be written twice; `--counters delta` copies it while nobody writes
    ");
}

#[test]
fn a_datacenter_that_does_not_exist_is_told_with_those_that_do() {
    let Some(lab) = Lab::new("datacenter") else { return };
    lab.usual();
    insta::assert_snapshot!(lab.plan(&format!("cassandra://{SOURCE}/?dc=nowhere"), TARGET), @r#"
    exit code 2
    -- stderr
    error: the source has no datacenter `nowhere`: it has datacenter1
    hint: name one of these with `dc=` in `--source`
    "#);
    let answer = lab.plan(SOURCE, &format!("cassandra://{TARGET}/?dc=nowhere"));
    assert!(answer.expect(2).err.contains("the target has no datacenter `nowhere`"), "{answer}");
    lab.plan(&format!("cassandra://{SOURCE}/?dc=datacenter1"), TARGET).expect(0);
}

#[test]
fn a_contact_point_that_is_dead_or_silent_does_not_matter_where_another_answers() {
    let Some(lab) = Lab::new("dead_contact") else { return };
    let table = lab.usual();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tool = lab.tool();
    let hosts = format!("{closed},{SOURCE}");
    tool.run(&["--source", &hosts, "--target", TARGET, "--table", &table]).expect(0);
    assert_eq!(lab.target.count(&table), ROWS);
    // The system takes connections for a listener that never looks at them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = format!("{},{SOURCE}", silent.local_addr().unwrap());
    tool.run(&["plan", "--source", &hosts, "--target", TARGET, "--table", &table]).expect(0);
}
