//! `migrate schema`: what it prints, what it creates, and whether that is the same as what there was.

use crate::lab::{Lab, Node, SECURE, SOURCE, TARGET, eventually};
use crate::tool::{Answer, Tool};
use serde_json::Value;

/// Types in the wrong order for their names, keys in every order, a column whose name could end a comment and a statement, a
/// table of each kind.
fn fill(node: &Node, keyspace: &str) {
    let statements = [
        "CREATE TYPE KS.zeta (n int, \"odd \"\"field\" text)",
        "CREATE TYPE KS.alpha (z frozen<zeta>, l frozen<list<frozen<zeta>>>, m list<int>)",
        "CREATE TYPE KS.\"Mixed\" (a frozen<alpha>)",
        "CREATE TABLE KS.events (\"p\"\"1\" int, p2 text, at timestamp, \"Desc\" int, s text static, who frozen<\"Mixed\">,
            home zeta, tags set<text>, m map<text, frozen<list<int>>>, l list<int>, pair tuple<int, text>,
            near vector<float, 3>, d duration, i inet, \"evil\n; DROP KEYSPACE x; --\" text,
            PRIMARY KEY ((\"p\"\"1\", p2), at, \"Desc\")) WITH CLUSTERING ORDER BY (at DESC, \"Desc\" ASC)
            AND comment = 'it''s\ntwo lines -- of it' AND default_time_to_live = 86400 AND gc_grace_seconds = 3600
            AND compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4'}
            AND compression = {'class': 'ZstdCompressor', 'chunk_length_in_kb': '256', 'compression_level': '5'}
            AND speculative_retry = 'MIN(99p,50ms)' AND memtable_flush_period_in_ms = 5000
            AND caching = {'keys': 'NONE', 'rows_per_partition': '10'} AND bloom_filter_fp_chance = 0.001
            AND allow_auto_snapshot = false AND incremental_backups = true",
        "CREATE TABLE KS.hits (id int PRIMARY KEY, n counter)",
        "CREATE TABLE KS.plain (id int PRIMARY KEY, v text, w int, tags set<text>, fm frozen<map<int, int>>, \"order\" int)
            WITH compaction = {'class': 'LeveledCompactionStrategy', 'sstable_size_in_mb': '100', 'fanout_size': '8'}
            AND compression = {'enabled': 'false'}",
        "CREATE TABLE KS.series (id int, t timestamp, v double, PRIMARY KEY (id, t)) WITH speculative_retry = 'NEVER'
            AND compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS'}",
        "CREATE TABLE KS.dense (id int, c int, v int, PRIMARY KEY (id, c)) WITH COMPACT STORAGE",
        "CREATE TABLE KS.keys_only (id int, c int, PRIMARY KEY (id, c)) WITH COMPACT STORAGE",
        "CREATE TABLE KS.fixed (id int PRIMARY KEY, v int, w text) WITH COMPACT STORAGE",
        "CREATE TABLE KS.java (id int PRIMARY KEY,
            v 'org.apache.cassandra.db.marshal.DynamicCompositeType(a=>org.apache.cassandra.db.marshal.Int32Type)')",
        "CREATE INDEX plain_w ON KS.plain (w)",
        "CREATE INDEX plain_tags ON KS.plain (tags)",
        "CREATE INDEX plain_fm ON KS.plain (full(fm))",
        "CREATE INDEX plain_order ON KS.plain (\"order\")",
        "CREATE INDEX events_m ON KS.events (entries(m))",
        "CREATE CUSTOM INDEX plain_v ON KS.plain (v) USING 'StorageAttachedIndex' WITH OPTIONS = {'case_sensitive': 'false'}",
        "CREATE CUSTOM INDEX plain_w_sai ON KS.plain (w) USING 'StorageAttachedIndex'",
        "CREATE CUSTOM INDEX near ON KS.events (near) USING 'sai' WITH OPTIONS = {'similarity_function': 'dot_product'}",
        "CREATE MATERIALIZED VIEW KS.by_v AS SELECT id, v, w FROM KS.plain WHERE v IS NOT NULL AND id > 5
            PRIMARY KEY (v, id) WITH CLUSTERING ORDER BY (id DESC) AND comment = 'view'",
        "CREATE MATERIALIZED VIEW KS.by_t AS SELECT * FROM KS.series WHERE id IS NOT NULL AND t IS NOT NULL
            PRIMARY KEY (t, id)",
    ];
    for statement in statements {
        node.cql(&statement.replace("KS", keyspace));
    }
}

/// All that `system_schema` says of a keyspace, but for ids.
fn described(node: &Node, keyspace: &str) -> Vec<Value> {
    let tables = ["keyspaces", "types", "tables", "columns", "indexes", "views"];
    let mut rows = Vec::new();
    for table in tables {
        let cql = format!("SELECT JSON * FROM system_schema.{table} WHERE keyspace_name = '{keyspace}'");
        let result = node.select(&cql);
        for row in result.rows::<(String,)>().unwrap() {
            let mut row: Value = serde_json::from_str(&row.unwrap().0).unwrap();
            let row_map = row.as_object_mut().unwrap();
            row_map.remove("id");
            row_map.remove("base_table_id");
            rows.push(row);
        }
    }
    rows
}

fn schema(tool: &Tool, more: &[&str]) -> Answer {
    tool.run(&[&["schema", "--source", SOURCE], more].concat())
}

/// `--table` for all of them.
fn named(lab: &Lab, tables: &[&str]) -> Vec<String> {
    tables.iter().flat_map(|table| ["--table".to_owned(), lab.table(table)]).collect()
}

const TABLES: [&str; 8] = ["events", "hits", "plain", "series", "dense", "keys_only", "fixed", "java"];

#[test]
fn a_schema_with_everything_is_created_again_exactly() {
    let Some(lab) = Lab::new("schema_all") else { return };
    lab.target.cql(&format!("DROP KEYSPACE {}", lab.keyspace));
    fill(&lab.source, &lab.keyspace);
    let tool = lab.tool();
    let tables = named(&lab, &TABLES);
    let apply = |section: &[&str]| {
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        schema(&tool, &[&["--target", TARGET, "--apply"], section, &tables].concat())
    };
    insta::assert_snapshot!(apply(&[]), @r#"
    exit code 0
    -- stdout
    created   keyspace "KS"
    created   type "KS"."zeta"
    created   type "KS"."alpha"
    created   type "KS"."Mixed"
    created   table "KS"."dense"
    created   table "KS"."events"
    created   table "KS"."fixed"
    created   table "KS"."hits"
    created   table "KS"."java"
    created   table "KS"."keys_only"
    created   table "KS"."plain"
    created   table "KS"."series"
    "#);
    insta::assert_snapshot!(apply(&["--section", "after"]), @r#"
    exit code 0
    -- stdout
    created   index "KS"."events_m"
    created   index "KS"."near"
    created   index "KS"."plain_fm"
    created   index "KS"."plain_order"
    created   index "KS"."plain_tags"
    created   index "KS"."plain_v"
    created   index "KS"."plain_w"
    created   index "KS"."plain_w_sai"
    created   materialized view "KS"."by_t"
    created   materialized view "KS"."by_v"
    "#);
    let (source, target) = (described(&lab.source, &lab.keyspace), described(&lab.target, &lab.keyspace));
    assert!(source.len() > 60, "all of it was read");
    assert_eq!(source, target);

    // A second time it only compares.
    let again = apply(&[]);
    assert!(again.expect(0).out.lines().all(|line| line.starts_with("same ")), "{again}");
    let again = apply(&["--section", "after"]);
    assert!(again.expect(0).out.lines().all(|line| line.starts_with("same ")), "{again}");
    assert_eq!(tool.listing().len(), 0);
}

#[test]
#[expect(clippy::too_many_lines, reason = "they are of the answer")]
fn for_scylladb_what_it_lacks_is_translated_or_left_out_and_said() {
    let Some(lab) = Lab::new("schema_scylla") else { return };
    fill(&lab.source, &lab.keyspace);
    let tool = lab.tool();
    let tables = named(&lab, &TABLES);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let whole = schema(&tool, &[&["--replication", "east:3,west:2"], &tables[..]].concat());
    insta::assert_snapshot!(whole, @r#"
    exit code 0
    -- stdout
    -- The schema of Apache Cassandra 5.0.6, cluster `source`, for ScyllaDB. Made by migrate 0.1.0.

    -- To run before the copy: keyspaces, types, tables.

    CREATE KEYSPACE "KS" WITH durable_writes = true
        AND replication = {'class': 'NetworkTopologyStrategy', 'east': '3', 'west': '2'};

    CREATE TYPE "KS"."zeta" (
        "n" int,
        "odd ""field" text
    );

    CREATE TYPE "KS"."alpha" (
        "z" frozen<"zeta">,
        "l" frozen<list<frozen<"zeta">>>,
        "m" list<int>
    );

    CREATE TYPE "KS"."Mixed" (
        "a" frozen<"alpha">
    );

    -- left out: the table "KS"."dense": COMPACT STORAGE, which ScyllaDB doesn't create: run `ALTER TABLE … DROP COMPACT STORAGE` at the source first, or create a table with the columns that you want and copy into it

    -- compaction: ScyllaDB has no UnifiedCompactionStrategy; every version takes SizeTieredCompactionStrategy, and from 2025.1 on IncrementalCompactionStrategy is the better choice
    -- compression: chunks of 256 KiB; ScyllaDB has at most 128
    -- left out, ScyllaDB takes 0 or 60000 and above: memtable_flush_period_in_ms = 5000
    -- speculative_retry: ScyllaDB has nothing like MIN(99p,50ms); 99.0PERCENTILE is the nearest
    -- left out, ScyllaDB has no such option: additional_write_policy = '99p', allow_auto_snapshot = false, read_repair = 'BLOCKING'
    CREATE TABLE "KS"."events" (
        "p""1" int,
        "p2" text,
        "at" timestamp,
        "Desc" int,
        "s" text STATIC,
        "d" duration,
        "evil
    ; DROP KEYSPACE x; --" text,
        "home" "zeta",
        "i" inet,
        "l" list<int>,
        "m" map<text, frozen<list<int>>>,
        "near" vector<float, 3>,
        "pair" frozen<tuple<int, text>>,
        "tags" set<text>,
        "who" frozen<"Mixed">,
        PRIMARY KEY (("p""1", "p2"), "at", "Desc")
    ) WITH CLUSTERING ORDER BY ("at" DESC, "Desc" ASC)
        AND bloom_filter_fp_chance = 0.001
        AND caching = {'keys': 'NONE', 'rows_per_partition': '10'}
        AND comment = 'it''s
    two lines -- of it'
        AND compaction = {'class': 'SizeTieredCompactionStrategy'}
        AND compression = {'chunk_length_in_kb': '128', 'compression_level': '5', 'sstable_compression': 'ZstdCompressor'}
        AND crc_check_chance = 1
        AND default_time_to_live = 86400
        AND gc_grace_seconds = 3600
        AND max_index_interval = 2048
        AND min_index_interval = 128
        AND speculative_retry = '99.0PERCENTILE';

    -- left out: the table "KS"."fixed": COMPACT STORAGE, which ScyllaDB doesn't create: run `ALTER TABLE … DROP COMPACT STORAGE` at the source first, or create a table with the columns that you want and copy into it

    -- speculative_retry: 99p is 99.0PERCENTILE in ScyllaDB
    -- left out, ScyllaDB has no such option: additional_write_policy = '99p', read_repair = 'BLOCKING'
    -- counters: a ScyllaDB that refuses them in a keyspace with tablets (2025.2 does) needs one created with `AND tablets = {'enabled': false}`
    CREATE TABLE "KS"."hits" (
        "id" int,
        "n" counter,
        PRIMARY KEY (("id"))
    ) WITH bloom_filter_fp_chance = 0.01
        AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}
        AND comment = ''
        AND compaction = {'class': 'SizeTieredCompactionStrategy', 'max_threshold': '32', 'min_threshold': '4'}
        AND compression = {'chunk_length_in_kb': '16', 'sstable_compression': 'LZ4Compressor'}
        AND crc_check_chance = 1
        AND default_time_to_live = 0
        AND gc_grace_seconds = 864000
        AND max_index_interval = 2048
        AND memtable_flush_period_in_ms = 0
        AND min_index_interval = 128
        AND speculative_retry = '99.0PERCENTILE';

    -- left out: the table "KS"."java": the type of the column v is a Java class that ScyllaDB doesn't have: org.apache.cassandra.db.marshal.DynamicCompositeType(a=>org.apache.cassandra.db.marshal.Int32Type)

    -- left out: the table "KS"."keys_only": COMPACT STORAGE, which ScyllaDB doesn't create: run `ALTER TABLE … DROP COMPACT STORAGE` at the source first, or create a table with the columns that you want and copy into it

    -- compaction: left out, ScyllaDB's LeveledCompactionStrategy has no such option: fanout_size = '8'
    -- speculative_retry: 99p is 99.0PERCENTILE in ScyllaDB
    -- left out, ScyllaDB has no such option: additional_write_policy = '99p', read_repair = 'BLOCKING'
    CREATE TABLE "KS"."plain" (
        "id" int,
        "fm" frozen<map<int, int>>,
        "order" int,
        "tags" set<text>,
        "v" text,
        "w" int,
        PRIMARY KEY (("id"))
    ) WITH bloom_filter_fp_chance = 0.1
        AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}
        AND comment = ''
        AND compaction = {'class': 'LeveledCompactionStrategy', 'max_threshold': '32', 'min_threshold': '4', 'sstable_size_in_mb': '100'}
        AND compression = {'sstable_compression': ''}
        AND crc_check_chance = 1
        AND default_time_to_live = 0
        AND gc_grace_seconds = 864000
        AND max_index_interval = 2048
        AND memtable_flush_period_in_ms = 0
        AND min_index_interval = 128
        AND speculative_retry = '99.0PERCENTILE';

    -- speculative_retry: NEVER is NONE in ScyllaDB
    -- left out, ScyllaDB has no such option: additional_write_policy = '99p', read_repair = 'BLOCKING'
    -- TimeWindowCompactionStrategy without default_time_to_live: ScyllaDB may warn or refuse by its guardrails
    CREATE TABLE "KS"."series" (
        "id" int,
        "t" timestamp,
        "v" double,
        PRIMARY KEY (("id"), "t")
    ) WITH CLUSTERING ORDER BY ("t" ASC)
        AND bloom_filter_fp_chance = 0.01
        AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}
        AND comment = ''
        AND compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'max_threshold': '32', 'min_threshold': '4'}
        AND compression = {'chunk_length_in_kb': '16', 'sstable_compression': 'LZ4Compressor'}
        AND crc_check_chance = 1
        AND default_time_to_live = 0
        AND gc_grace_seconds = 864000
        AND max_index_interval = 2048
        AND memtable_flush_period_in_ms = 0
        AND min_index_interval = 128
        AND speculative_retry = 'NONE';

    -- To run after the copy: indexes, materialized views, triggers.

    CREATE INDEX "events_m" ON "KS"."events" (entries("m"));

    -- a storage-attached index; `vector_index` is ScyllaDB's, where it has Vector Search
    CREATE CUSTOM INDEX "near" ON "KS"."events" ("near") USING 'vector_index'
        WITH OPTIONS = {'similarity_function': 'dot_product'};

    CREATE INDEX "plain_fm" ON "KS"."plain" (full("fm"));

    CREATE INDEX "plain_order" ON "KS"."plain" ("order");

    CREATE INDEX "plain_tags" ON "KS"."plain" (values("tags"));

    -- left out: the index "KS"."plain_v": a storage-attached index with case_sensitive = 'false'; ScyllaDB has nothing like it

    CREATE INDEX "plain_w" ON "KS"."plain" ("w");

    -- left out: the index "KS"."plain_w_sai": another index of the same column is above

    -- speculative_retry: 99p is 99.0PERCENTILE in ScyllaDB
    -- left out, ScyllaDB has no such option: additional_write_policy = '99p', read_repair = 'BLOCKING'
    CREATE MATERIALIZED VIEW "KS"."by_t" AS
        SELECT *
        FROM "KS"."series"
        WHERE id IS NOT NULL AND t IS NOT NULL
        PRIMARY KEY (("t"), "id") WITH CLUSTERING ORDER BY ("id" ASC)
        AND bloom_filter_fp_chance = 0.01
        AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}
        AND comment = ''
        AND compaction = {'class': 'SizeTieredCompactionStrategy', 'max_threshold': '32', 'min_threshold': '4'}
        AND compression = {'chunk_length_in_kb': '16', 'sstable_compression': 'LZ4Compressor'}
        AND crc_check_chance = 1
        AND gc_grace_seconds = 864000
        AND max_index_interval = 2048
        AND memtable_flush_period_in_ms = 0
        AND min_index_interval = 128
        AND speculative_retry = '99.0PERCENTILE';

    -- speculative_retry: 99p is 99.0PERCENTILE in ScyllaDB
    -- left out, ScyllaDB has no such option: additional_write_policy = '99p', read_repair = 'BLOCKING'
    CREATE MATERIALIZED VIEW "KS"."by_v" AS
        SELECT "v", "id", "w"
        FROM "KS"."plain"
        WHERE v IS NOT NULL AND id > 5
        PRIMARY KEY (("v"), "id") WITH CLUSTERING ORDER BY ("id" DESC)
        AND bloom_filter_fp_chance = 0.01
        AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}
        AND comment = 'view'
        AND compaction = {'class': 'SizeTieredCompactionStrategy', 'max_threshold': '32', 'min_threshold': '4'}
        AND compression = {'chunk_length_in_kb': '16', 'sstable_compression': 'LZ4Compressor'}
        AND crc_check_chance = 1
        AND gc_grace_seconds = 864000
        AND max_index_interval = 2048
        AND memtable_flush_period_in_ms = 0
        AND min_index_interval = 128
        AND speculative_retry = '99.0PERCENTILE';
    "#);
    // Each section by itself is the same text.
    let part = |section| {
        let answer = schema(&tool, &[&["--replication", "east:3,west:2", "--section", section], &tables[..]].concat());
        answer.expect(0).out.split_once("\n\n").unwrap().1.to_owned()
    };
    let body = whole.out.split_once("\n\n").unwrap().1;
    assert_eq!(format!("{}\n{}", part("before"), part("after")), body);
}

#[test]
fn what_the_target_has_is_shown_beside_each_statement_and_left_as_it_is() {
    let Some(lab) = Lab::new("schema_differs") else { return };
    lab.create(&[&lab.source], "a", "id int PRIMARY KEY, v int, w text");
    lab.create(&[&lab.source, &lab.target], "b", "id int PRIMARY KEY");
    lab.create(&[&lab.source], "c", "id int PRIMARY KEY");
    lab.create(&[&lab.target], "a", "id int PRIMARY KEY, v bigint");
    lab.target.cql(&format!("ALTER TABLE {} WITH gc_grace_seconds = 60", lab.table("b")));
    let before = described(&lab.target, &lab.keyspace);
    let tool = lab.tool();
    let tables = named(&lab, &["a", "b", "c"]);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let printed = schema(&tool, &[&["--target", TARGET], &tables[..]].concat());
    let comments: Vec<&str> = printed.expect(0).out.lines().filter(|line| line.starts_with("--")).collect();
    insta::assert_snapshot!(comments.join("\n"), @"
    -- The schema of Apache Cassandra 5.0.6, cluster `source`, for Apache Cassandra. Made by migrate 0.1.0.
    -- To run before the copy: keyspaces, types, tables.
    -- exists at the target: same
    -- exists at the target: differs
    --   column v: int (regular) at the source, bigint (regular) at the target
    --   column w: text (regular) at the source, missing at the target
    -- exists at the target: differs
    --   gc_grace_seconds: 864000 expected, 60 at the target
    -- To run after the copy: indexes, materialized views, triggers.
    ");
    assert_eq!(described(&lab.target, &lab.keyspace), before, "without --apply nothing is written");

    let applied = schema(&tool, &[&["--target", TARGET, "--apply"], &tables[..]].concat());
    insta::assert_snapshot!(applied, @r#"
    exit code 5
    -- stdout
    same      keyspace "KS"
    differs   table "KS"."a"
              column v: int (regular) at the source, bigint (regular) at the target
              column w: text (regular) at the source, missing at the target
    differs   table "KS"."b"
              gc_grace_seconds: 864000 expected, 60 at the target
    created   table "KS"."c"
    "#);
    let after = described(&lab.target, &lab.keyspace);
    assert!(before.iter().all(|row| after.contains(row)), "what exists isn't touched");
    assert_eq!(after.len(), before.len() + 2, "the table c and its column");
    lab.tool().run(&["plan", "--source", SOURCE, "--target", TARGET, "--table", &lab.table("c")]).expect(0);
}

#[test]
fn what_the_target_refuses_keeps_only_what_needs_it() {
    let Some(lab) = Lab::new("schema_refused") else { return };
    let on = |node: &Node, statement: &str| node.cql(&statement.replace("KS", &lab.keyspace));
    on(&lab.source, "CREATE TYPE KS.inner (n int)");
    on(&lab.target, "CREATE TYPE KS.inner (n text)");
    on(&lab.source, "CREATE TYPE KS.middle (i frozen<inner>)");
    on(&lab.source, "CREATE TYPE KS.other (n int)");
    lab.create(&[&lab.source], "a", "id int PRIMARY KEY, v frozen<list<frozen<middle>>>");
    lab.create(&[&lab.source], "b", "id int PRIMARY KEY, v frozen<other>");
    lab.create(&[&lab.source], "c", "id int PRIMARY KEY");
    lab.create(&[&lab.source], "d", "id int PRIMARY KEY, u int, v int");
    lab.create(&[&lab.target], "d", "id int PRIMARY KEY, v int");
    on(&lab.source, "CREATE INDEX d_u ON KS.d (u)");
    on(&lab.source, "CREATE INDEX d_v ON KS.d (v)");
    let of_d = "AS SELECT id, v FROM KS.d WHERE id IS NOT NULL AND v IS NOT NULL PRIMARY KEY (v, id)";
    on(&lab.target, &format!("CREATE MATERIALIZED VIEW KS.c {of_d}"));
    let (tool, all) = (lab.tool(), format!("{}.*", lab.keyspace));
    let apply = |section| schema(&tool, &["--target", TARGET, "--apply", "--table", &all, "--section", section]);
    insta::assert_snapshot!(apply("before"), @r#"
    exit code 5
    -- stdout
    same      keyspace "KS"
    differs   type "KS"."inner"
              fields: n int expected, n text at the target
    not tried type "KS"."middle"
              "KS"."inner" isn't there as it should be
    created   type "KS"."other"
    not tried table "KS"."a"
              "KS"."middle" isn't there as it should be
    created   table "KS"."b"
    differs   table "KS"."c"
              a materialized view at the target
    differs   table "KS"."d"
              column u: int (regular) at the source, missing at the target
    "#);
    insta::assert_snapshot!(apply("after"), @r#"
    exit code 3
    -- stdout
    refused   index "KS"."d_u"
              rejected: Undefined column name u in table KS.d
    created   index "KS"."d_v"
    "#);
    on(&lab.target, "DROP TYPE KS.inner");
    on(&lab.target, "DROP MATERIALIZED VIEW KS.c");
    on(&lab.target, "ALTER TABLE KS.d ADD u int");
    for section in ["before", "after"] {
        apply(section).expect(0);
    }
}

#[test]
fn a_table_under_another_name_brings_its_types_and_indexes() {
    let Some(lab) = Lab::new("schema_renamed") else { return };
    for statement in
        ["CREATE TYPE KS.inner (n int)", "CREATE TYPE KS.address (i frozen<inner>)", "CREATE TYPE KS.other (n int)"]
    {
        lab.source.cql(&statement.replace("KS", &lab.keyspace));
    }
    lab.create(&[&lab.source], "t", "id int PRIMARY KEY, home frozen<address>, v int");
    lab.create(&[&lab.source], "u", "id int PRIMARY KEY");
    lab.source.cql(&format!("CREATE INDEX t_v ON {} (v)", lab.table("t")));
    let mapping = format!("{}={}", lab.table("t"), lab.table("copy"));
    let call = ["--target", TARGET, "--apply", "--table", &mapping];
    let tool = lab.tool();
    insta::assert_snapshot!(schema(&tool, &call), @r#"
    exit code 0
    -- stdout
    same      keyspace "KS"
    created   type "KS"."inner"
    created   type "KS"."address"
    created   table "KS"."copy"
    "#);
    insta::assert_snapshot!(schema(&tool, &[&call[..], &["--section", "after"]].concat()), @r#"
    exit code 0
    -- stdout
    created   index "KS"."t_v"
    "#);
}

#[test]
fn patterns_stand_for_tables_as_they_do_for_a_copy() {
    let Some(lab) = Lab::new("schema_patterns") else { return };
    for table in ["a", "b", "tmp_1", "tmp_2"] {
        lab.create(&[&lab.source], table, "id int PRIMARY KEY");
    }
    let (all, temporary) = (format!("{}.*", lab.keyspace), format!("{}.tmp_*", lab.keyspace));
    let (renamed, none) = (format!("{}=other.z", lab.table("b")), format!("{}.x*", lab.keyspace));
    let tool = lab.tool();
    let answer = schema(&tool, &["--table", &all, "--exclude", &temporary, "--table", &renamed]);
    let created = answer.expect(0).out.lines().filter(|line| line.starts_with("CREATE"));
    insta::assert_snapshot!(created.collect::<Vec<_>>().join("\n"), @r#"
    CREATE KEYSPACE "KS" WITH durable_writes = true
    CREATE TABLE "KS"."a" (
    CREATE KEYSPACE "other" WITH durable_writes = true
    CREATE TABLE "other"."z" (
    "#);
    insta::assert_snapshot!(schema(&tool, &["--table", &none]).line(), @"5 error: `--table KS.x*` stands for no table of the source hint: check the keyspace and the name: they are taken as they are, upper and lower case apart");
    // What a copy refuses, this refuses too.
    let (one, other) = (format!("{all}=x.*"), format!("{}.a*=y.*", lab.keyspace));
    insta::assert_snapshot!(schema(&tool, &["--table", &one, "--table", &other]).line(), @"5 error: KS.a would be written to x.a and to y.a hint: say which is meant: `--table KS.a=KEYSPACE.TABLE` comes before every pattern");
}

#[test]
fn a_role_that_may_not_create_is_told_the_grant() {
    let Some(mut lab) = Lab::new("schema_role") else { return };
    lab.create(&[&lab.source], "t", "id int PRIMARY KEY, v int");
    lab.source.cql(&format!("CREATE INDEX t_v ON {} (v)", lab.table("t")));
    let role = lab.role("cli_creator", "pw");
    let tool = lab.tool().hide(&role, "ROLE");
    let (url, table) = (format!("cassandra://{role}@{SECURE}"), lab.table("t"));
    let apply = |section: &str| {
        let call = ["schema", "--source", SOURCE, "--target", &url, "--apply", "--table", &table, "--section", section];
        tool.run_with(&[("MIGRATE_TARGET_PASSWORD", "pw")], &call)
    };
    let grant = |answer: &Answer| {
        let grant =
            answer.err.split("run: ").nth(1).unwrap().trim().replace("KS", &lab.keyspace).replace("ROLE", &role);
        lab.secure.cql(grant.trim_end_matches(';'));
    };
    let answer = apply("before");
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stdout
    same      keyspace "KS"
    -- stderr
    error: failed to create the table "KS"."t" at the target: not permitted: User ROLE has no CREATE permission on <all tables in KS> or any of its parents
    hint: let an administrator run: GRANT CREATE ON KEYSPACE "KS" TO "ROLE";
    "#);
    grant(&answer);
    eventually(|| apply("before"), |answer| answer.code == Some(0));
    // Who creates a table may alter it.
    eventually(|| apply("after"), |answer| answer.code == Some(0));
}

#[test]
fn calls_that_make_no_sense_are_refused_before_anything_is_created() {
    let Some(lab) = Lab::new("schema_calls") else { return };
    lab.create(&[&lab.source], "t", "id int PRIMARY KEY");
    let (tool, table, missing) = (lab.tool(), lab.table("t"), lab.table("missing"));
    let calls: [&[&str]; 5] = [
        &["--apply", "--table", &table],
        &["--apply", "--target", TARGET, "--for", "scylla", "--table", &table],
        &["--table", &table, "--table", &missing],
        &["--replication", "east"],
        &["--section", "during"],
    ];
    let lines = calls.map(|call| schema(&tool, call).line());
    insta::assert_snapshot!(lines.join("\n"), @"
    2 error: `--target` is missing hint: `migrate schema --source HOST` prints all keyspaces; `--target HOST --apply` creates them there
    2 error: the target is Apache Cassandra, the statements are for ScyllaDB hint: leave out `--for`, or `--apply`
    5 error: there is no table KS.missing at the source hint: check `--table KEYSPACE.TABLE`: names are taken as they are, upper and lower case apart
    2 error: invalid value 'east' for '--replication <DC:N,…>': `east` isn't a replication: DATACENTER:REPLICAS,… is, as in `east:3,west:2`
    2 error: invalid value 'during' for '--section <SECTION>'   [possible values: before, after]
    ");
    tool.run(&["schema"]).expect(2);
    tool.run(&["--source", SOURCE, "schema"]).expect(2);
}

#[test]
fn without_a_table_everything_but_the_databases_own_is_shown() {
    let Some(lab) = Lab::new("schema_whole") else { return };
    lab.source.cql(&format!("CREATE TYPE {} (n int)", lab.table("lonely")));
    // A keyspace of another test, dropped while it is read, may be there in part.
    let answer = eventually(|| schema(&lab.tool(), &["--section", "before"]), |answer| answer.code == Some(0));
    assert!(answer.out.contains("CREATE TYPE \"KS\".\"lonely\""), "types that no table uses come along");
    assert!(!answer.out.contains("\"system"), "{answer}");
}

#[test]
fn on_a_terminal_a_name_cannot_drive_it() {
    let Some(lab) = Lab::new("schema_evil") else { return };
    lab.create(&[&lab.source], "t", "id int PRIMARY KEY, \"\x1b[31mred\" int");
    let (tool, table) = (lab.tool(), lab.table("t"));
    let call = ["schema", "--source", SOURCE, "--table", &table];
    assert!(tool.run(&call).expect(0).out.contains("\"\x1b[31mred\" int"), "a file gets the name itself");
    let shown = tool.on_terminal(&[], &call);
    assert!(shown.out.contains("\\u{1b}[31mred") && !shown.out.contains("\x1b[31mred"), "{shown:?}");
}
