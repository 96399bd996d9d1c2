//! Everything that is translated or left out for ScyllaDB, one by one.

use super::model::{Catalog, Index, IndexTarget, Keyspace, TableDefinition, View};
use super::*;
use crate::cluster::record::Cell;
use crate::schema::cql_type::CqlType;
use crate::schema::tests::table as columns_of;
use crate::schema::{Table, TableName};
use std::collections::{BTreeMap, BTreeSet};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn number(text: &str) -> Cell {
    Cell::Number(text.to_owned())
}

fn definition(columns: &[(&str, &str)], flags: &[&str], options: &[(&str, Cell)]) -> TableDefinition {
    TableDefinition {
        table: columns_of(columns),
        options: options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        masks: BTreeMap::new(),
        constrained: BTreeSet::new(),
    }
}

/// A keyspace `ks` with the table `ks.t`.
fn catalog(table: TableDefinition) -> Catalog {
    let mut keyspace = Keyspace::default();
    keyspace.tables.insert("t".to_owned(), table);
    Catalog { keyspaces: BTreeMap::from([("ks".to_owned(), keyspace)]) }
}

/// The table's options and notes for a dialect.
fn table_for(dialect: Dialect, options: &[(&str, Cell)]) -> String {
    let catalog = catalog(definition(&[("id", "pk0 int")], &["compound"], options));
    object(&script(&catalog, None, dialect, None), Kind::Table)
}

fn object(script: &Script, kind: Kind) -> String {
    let found = script.objects.iter().filter(|object| object.kind == kind);
    let text = found.map(|object| {
        let mut lines: Vec<String> = object.notes.iter().map(|note| format!("-- {note}")).collect();
        lines.extend(object.statement.clone());
        lines.join("\n")
    });
    text.collect::<Vec<_>>().join("\n")
}

#[test]
fn options_that_scylladb_lacks_are_left_out_and_named() {
    let options = [
        ("additional_write_policy", text("99p")),
        ("allow_auto_snapshot", Cell::Flag(false)),
        ("bloom_filter_fp_chance", number("0.01")),
        ("caching", Cell::Map(map(&[("keys", "ALL"), ("rows_per_partition", "NONE"), ("new", "1")]))),
        ("cdc", Cell::Flag(true)),
        ("comment", text("it's")),
        ("dclocal_read_repair_chance", number("0.1")),
        ("default_time_to_live", number("60")),
        ("extensions", Cell::Map(map(&[]))),
        ("fast_path", text("simple")),
        ("gc_grace_seconds", number("864000")),
        ("incremental_backups", Cell::Flag(true)),
        ("max_index_interval", number("2048")),
        ("memtable", text("skiplist")),
        ("memtable_flush_period_in_ms", number("5000")),
        ("min_index_interval", number("128")),
        ("read_repair", text("NONE")),
        ("read_repair_chance", number("0")),
    ];
    insta::assert_snapshot!(table_for(Dialect::Scylla, &options), @r#"
    -- cdc = true isn't taken over: ScyllaDB's CDC writes a log table; add `cdc = {'enabled': true}` where you read that
    -- left out, ScyllaDB takes 0 or 60000 and above: memtable_flush_period_in_ms = 5000
    -- left out, ScyllaDB has no such option: additional_write_policy = '99p', allow_auto_snapshot = false, caching.new = 1, dclocal_read_repair_chance = 0.1, fast_path = 'simple', incremental_backups = true, memtable = 'skiplist', read_repair = 'NONE'
    CREATE TABLE "ks"."t" (
        "id" int,
        PRIMARY KEY (("id"))
    ) WITH bloom_filter_fp_chance = 0.01
        AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}
        AND comment = 'it''s'
        AND default_time_to_live = 60
        AND gc_grace_seconds = 864000
        AND max_index_interval = 2048
        AND min_index_interval = 128
    "#);
    insta::assert_snapshot!(table_for(Dialect::Cassandra, &options), @r#"
    CREATE TABLE "ks"."t" (
        "id" int,
        PRIMARY KEY (("id"))
    ) WITH additional_write_policy = '99p'
        AND allow_auto_snapshot = false
        AND bloom_filter_fp_chance = 0.01
        AND caching = {'keys': 'ALL', 'new': '1', 'rows_per_partition': 'NONE'}
        AND cdc = true
        AND comment = 'it''s'
        AND dclocal_read_repair_chance = 0.1
        AND default_time_to_live = 60
        AND fast_path = 'simple'
        AND gc_grace_seconds = 864000
        AND incremental_backups = true
        AND max_index_interval = 2048
        AND memtable = 'skiplist'
        AND memtable_flush_period_in_ms = 5000
        AND min_index_interval = 128
        AND read_repair = 'NONE'
    "#);
}

#[test]
fn extensions_are_named_since_no_statement_sets_them() {
    let options = [("extensions", Cell::Map(map(&[("audit", "0x01")])))];
    insta::assert_snapshot!(table_for(Dialect::Cassandra, &options), @r#"
    -- left out, no statement sets it: extensions of audit
    CREATE TABLE "ks"."t" (
        "id" int,
        PRIMARY KEY (("id"))
    )
    "#);
    insta::assert_snapshot!(table_for(Dialect::Scylla, &options), @r#"
    -- left out, no statement sets it: extensions of audit
    CREATE TABLE "ks"."t" (
        "id" int,
        PRIMARY KEY (("id"))
    )
    "#);
}

#[test]
fn speculative_retries() {
    let all = ["99p", "99.95PERCENTILE", "50ms", "ALWAYS", "NEVER", "NONE", "MIN(99p,50ms)", "MAX(50ms,95p)", "odd"];
    let lines =
        all.map(|retry| format!("# {retry}\n{}", table_for(Dialect::Scylla, &[("speculative_retry", text(retry))])));
    insta::assert_snapshot!(lines.join("\n").replace("CREATE TABLE \"ks\".\"t\" (\n    \"id\" int,\n    PRIMARY KEY ((\"id\"))\n)", ""), @"
    # 99p
    -- speculative_retry: 99p is 99.0PERCENTILE in ScyllaDB
     WITH speculative_retry = '99.0PERCENTILE'
    # 99.95PERCENTILE
     WITH speculative_retry = '99.95PERCENTILE'
    # 50ms
     WITH speculative_retry = '50ms'
    # ALWAYS
     WITH speculative_retry = 'ALWAYS'
    # NEVER
    -- speculative_retry: NEVER is NONE in ScyllaDB
     WITH speculative_retry = 'NONE'
    # NONE
     WITH speculative_retry = 'NONE'
    # MIN(99p,50ms)
    -- speculative_retry: ScyllaDB has nothing like MIN(99p,50ms); 99.0PERCENTILE is the nearest
     WITH speculative_retry = '99.0PERCENTILE'
    # MAX(50ms,95p)
    -- speculative_retry: ScyllaDB has nothing like MAX(50ms,95p); 95.0PERCENTILE is the nearest
     WITH speculative_retry = '95.0PERCENTILE'
    # odd
    -- speculative_retry: ScyllaDB has nothing like odd; 99.0PERCENTILE is the nearest
     WITH speculative_retry = '99.0PERCENTILE'
    ");
}

#[test]
fn keyspaces() {
    let of = |dialect, replication: Option<&str>, pairs: &[(&str, &str)]| {
        let options = BTreeMap::from([
            ("replication".to_owned(), Cell::Map(map(pairs))),
            ("durable_writes".to_owned(), Cell::Flag(false)),
            ("fast_path".to_owned(), text("simple")),
        ]);
        let keyspace = Keyspace { options, ..Keyspace::default() };
        let catalog = Catalog { keyspaces: BTreeMap::from([("ks".to_owned(), keyspace)]) };
        let replication = replication.map(|text| text.parse().expect("a replication"));
        object(&script(&catalog, None, dialect, replication.as_ref()), Kind::Keyspace)
    };
    let network = [("class", "org.apache.cassandra.locator.NetworkTopologyStrategy"), ("east", "3"), ("west", "3/1")];
    let simple = [("class", "org.apache.cassandra.locator.SimpleStrategy"), ("replication_factor", "3")];
    let old = [("class", "org.apache.cassandra.locator.OldNetworkTopologyStrategy"), ("replication_factor", "3")];
    let all = [
        of(Dialect::Scylla, None, &network),
        of(Dialect::Scylla, None, &simple),
        of(Dialect::Scylla, None, &old),
        of(Dialect::Scylla, Some("north:2"), &network),
        of(Dialect::Cassandra, None, &network),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    -- left out, ScyllaDB has no such option: fast_path = 'simple'
    -- west: 3/1 has transient replicas, which ScyllaDB doesn't have: 3
    CREATE KEYSPACE "ks" WITH durable_writes = false
        AND replication = {'class': 'NetworkTopologyStrategy', 'east': '3', 'west': '3'}
    -- left out, ScyllaDB has no such option: fast_path = 'simple'
    -- SimpleStrategy knows no datacenters, and ScyllaDB's tablets don't take it: `--replication 'DC:N'` names the target's
    CREATE KEYSPACE "ks" WITH durable_writes = false
        AND replication = {'class': 'SimpleStrategy', 'replication_factor': '3'}
    -- left out, ScyllaDB has no such option: fast_path = 'simple'
    -- ScyllaDB may not have OldNetworkTopologyStrategy: `--replication 'DC:N'` names the target's datacenters
    CREATE KEYSPACE "ks" WITH durable_writes = false
        AND replication = {'class': 'OldNetworkTopologyStrategy', 'replication_factor': '3'}
    -- left out, ScyllaDB has no such option: fast_path = 'simple'
    CREATE KEYSPACE "ks" WITH durable_writes = false
        AND replication = {'class': 'NetworkTopologyStrategy', 'north': '2'}
    CREATE KEYSPACE "ks" WITH durable_writes = false
        AND fast_path = 'simple'
        AND replication = {'class': 'org.apache.cassandra.locator.NetworkTopologyStrategy', 'east': '3', 'west': '3/1'}
    "#);
}

#[test]
fn tables_that_scylladb_cannot_have_are_left_out_with_what_belongs_to_them() {
    let columns = [("id", "pk0 int"), ("v", "int")];
    let class = "'org.apache.cassandra.db.marshal.DynamicCompositeType(a=>Foo)'";
    let mut masked = definition(&columns, &["compound"], &[]);
    masked.masks.insert("v".to_owned(), "mask_default()".to_owned());
    masked.constrained.insert("v".to_owned());
    let all = [
        definition(&columns, &[], &[]),
        definition(&columns, &["dense", "compound"], &[]),
        definition(&columns, &["super", "compound"], &[]),
        definition(&[("id", "pk0 int"), ("odd", class)], &["compound"], &[]),
        definition(&[("id", "pk0 int"), ("value", "empty")], &["compound"], &[]),
        definition(&[("id", "pk0 int"), ("hits", "counter")], &["compound", "counter"], &[]),
        masked,
    ];
    let shown = all.map(|table| {
        let mut catalog = catalog(table);
        let keyspace = catalog.keyspaces.get_mut("ks").expect("it is there");
        keyspace.indexes.insert("i".to_owned(), index("id", None, &[]));
        keyspace.functions.push("plus(int, int)".to_owned());
        keyspace.triggers.insert(("t".to_owned(), "tr".to_owned()), "com.example.Trigger".to_owned());
        let script = script(&catalog, None, Dialect::Scylla, None);
        [Kind::Table, Kind::Index, Kind::Trigger, Kind::Function].map(|kind| object(&script, kind)).join("\n")
    });
    insta::assert_snapshot!(shown.join("\n"), @r#"
    -- COMPACT STORAGE, which ScyllaDB doesn't create: run `ALTER TABLE … DROP COMPACT STORAGE` at the source first, or create a table with the columns that you want and copy into it
    -- its table t is left out
    -- ScyllaDB has no triggers: com.example.Trigger
    -- its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment
    -- COMPACT STORAGE, which ScyllaDB doesn't create: run `ALTER TABLE … DROP COMPACT STORAGE` at the source first, or create a table with the columns that you want and copy into it
    -- its table t is left out
    -- ScyllaDB has no triggers: com.example.Trigger
    -- its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment
    -- COMPACT STORAGE, which ScyllaDB doesn't create: run `ALTER TABLE … DROP COMPACT STORAGE` at the source first, or create a table with the columns that you want and copy into it
    -- its table t is left out
    -- ScyllaDB has no triggers: com.example.Trigger
    -- its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment
    -- the type of the column odd is a Java class that ScyllaDB doesn't have: org.apache.cassandra.db.marshal.DynamicCompositeType(a=>Foo)
    -- its table t is left out
    -- ScyllaDB has no triggers: com.example.Trigger
    -- its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment
    -- the column value is of the type `empty`, left by COMPACT STORAGE: drop it at the source
    -- its table t is left out
    -- ScyllaDB has no triggers: com.example.Trigger
    -- its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment
    -- counters: a ScyllaDB that refuses them in a keyspace with tablets (2025.2 does) needs one created with `AND tablets = {'enabled': false}`
    CREATE TABLE "ks"."t" (
        "id" int,
        "hits" counter,
        PRIMARY KEY (("id"))
    )
    CREATE INDEX "i" ON "ks"."t" ("id")
    -- ScyllaDB has no triggers: com.example.Trigger
    -- its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment
    -- left out, `DESCRIBE TABLE` at the source shows them: constraints of v
    -- column v: left out, ScyllaDB has no dynamic data masking: MASKED WITH mask_default()
    CREATE TABLE "ks"."t" (
        "id" int,
        "v" int,
        PRIMARY KEY (("id"))
    )
    CREATE INDEX "i" ON "ks"."t" ("id")
    -- ScyllaDB has no triggers: com.example.Trigger
    -- its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment
    "#);
}

fn index(column: &str, class: Option<&str>, options: &[(&str, &str)]) -> Index {
    let target = IndexTarget::parse(column);
    Index { table: "t".to_owned(), target, class: class.map(str::to_owned), options: map(options) }
}

#[test]
fn indexes() {
    let sai = Some("org.apache.cassandra.index.sai.StorageAttachedIndex");
    let table = [("id", "pk0 int"), ("v", "text"), ("w", "int"), ("near", "vector<float, 3>"), ("m", "map<int, int>")];
    let mut catalog = catalog(definition(&table, &["compound"], &[]));
    let keyspace = catalog.keyspaces.get_mut("ks").expect("it is there");
    let all = [
        ("a_plain", index("\"v\"", None, &[])),
        ("b_entries", index("entries(m)", None, &[])),
        ("c_vector", index("near", sai, &[("similarity_function", "cosine"), ("source_model", "x")])),
        ("d_analyzed", index("v", Some("sai"), &[("index_analyzer", "standard")])),
        ("e_caseless", index("v", Some("StorageAttachedIndex"), &[("case_sensitive", "false")])),
        ("f_same", index("w", sai, &[("case_sensitive", "true")])),
        ("g_twice", index("w", None, &[])),
        ("h_sasi", index("v", Some("org.apache.cassandra.index.sasi.SASIIndex"), &[("mode", "CONTAINS")])),
        ("i_custom", index("v", Some("com.example.Index"), &[])),
    ];
    keyspace.indexes.extend(all.map(|(name, index)| (name.to_owned(), index)));
    insta::assert_snapshot!(object(&script(&catalog, None, Dialect::Scylla, None), Kind::Index), @r#"
    CREATE INDEX "a_plain" ON "ks"."t" ("v")
    CREATE INDEX "b_entries" ON "ks"."t" (entries("m"))
    -- a storage-attached index; `vector_index` is ScyllaDB's, where it has Vector Search
    -- left out: source_model = 'x'
    CREATE CUSTOM INDEX "c_vector" ON "ks"."t" ("near") USING 'vector_index'
        WITH OPTIONS = {'similarity_function': 'cosine'}
    -- a storage-attached index with index_analyzer = 'standard'; ScyllaDB has nothing like it
    -- a storage-attached index with case_sensitive = 'false'; ScyllaDB has nothing like it
    -- a storage-attached index; a secondary index serves its queries with = (and CONTAINS), not those with < or >
    CREATE INDEX "f_same" ON "ks"."t" ("w")
    -- another index of the same column is above
    -- a SASI index; ScyllaDB has none, and none of its own that serves LIKE
    -- a custom index; ScyllaDB has no class com.example.Index
    "#);
    insta::assert_snapshot!(object(&script(&catalog, None, Dialect::Cassandra, None), Kind::Index), @r#"
    CREATE INDEX "a_plain" ON "ks"."t" ("v")
    CREATE INDEX "b_entries" ON "ks"."t" (entries("m"))
    CREATE CUSTOM INDEX "c_vector" ON "ks"."t" ("near") USING 'org.apache.cassandra.index.sai.StorageAttachedIndex'
        WITH OPTIONS = {'similarity_function': 'cosine', 'source_model': 'x'}
    CREATE CUSTOM INDEX "d_analyzed" ON "ks"."t" ("v") USING 'sai'
        WITH OPTIONS = {'index_analyzer': 'standard'}
    CREATE CUSTOM INDEX "e_caseless" ON "ks"."t" ("v") USING 'StorageAttachedIndex'
        WITH OPTIONS = {'case_sensitive': 'false'}
    CREATE CUSTOM INDEX "f_same" ON "ks"."t" ("w") USING 'org.apache.cassandra.index.sai.StorageAttachedIndex'
        WITH OPTIONS = {'case_sensitive': 'true'}
    CREATE INDEX "g_twice" ON "ks"."t" ("w")
    CREATE CUSTOM INDEX "h_sasi" ON "ks"."t" ("v") USING 'org.apache.cassandra.index.sasi.SASIIndex'
        WITH OPTIONS = {'mode': 'CONTAINS'}
    CREATE CUSTOM INDEX "i_custom" ON "ks"."t" ("v") USING 'com.example.Index'
    "#);
}

#[test]
fn views_and_the_shape_of_tables() {
    let columns = [
        ("p", "pk0 int"),
        ("Q", "pk1 text"),
        ("c", "ck0 desc int"),
        ("d\"", "ck1 int"),
        ("s", "static int"),
        ("v", "int"),
    ];
    let mut catalog = catalog(definition(&columns, &["compound"], &[]));
    let name = TableName { keyspace: "ks".to_owned(), table: "by_v".to_owned() };
    let view = View {
        table: Table { name, ..columns_of(&[("v", "pk0 int"), ("p", "ck0 int")]) },
        base: "t".to_owned(),
        all_columns: false,
        filter: "v IS NOT NULL AND p IS NOT NULL".to_owned(),
        options: BTreeMap::from([
            ("default_time_to_live".to_owned(), number("0")),
            ("cdc".to_owned(), Cell::Flag(false)),
        ]),
    };
    catalog.keyspaces.get_mut("ks").expect("it is there").views.insert("by_v".to_owned(), view);
    let script = script(&catalog, None, Dialect::Scylla, None);
    insta::assert_snapshot!([object(&script, Kind::Table), object(&script, Kind::View)].join("\n"), @r#"
    CREATE TABLE "ks"."t" (
        "p" int,
        "Q" text,
        "c" int,
        "d""" int,
        "s" int STATIC,
        "v" int,
        PRIMARY KEY (("p", "Q"), "c", "d""")
    ) WITH CLUSTERING ORDER BY ("c" DESC, "d""" ASC)
    CREATE MATERIALIZED VIEW "ks"."by_v" AS
        SELECT "v", "p"
        FROM "ks"."t"
        WHERE v IS NOT NULL AND p IS NOT NULL
        PRIMARY KEY (("v"), "p") WITH CLUSTERING ORDER BY ("p" ASC)
    "#);
}

#[test]
fn what_differs_at_the_target_is_named() {
    let compaction = |class: &str| ("compaction", Cell::Map(map(&[("class", class)])));
    let source = catalog(definition(
        &[("id", "pk0 int"), ("v", "int")],
        &["compound"],
        &[
            compaction("org.apache.cassandra.db.compaction.LeveledCompactionStrategy"),
            ("gc_grace_seconds", number("10")),
        ],
    ));
    let target = |columns: &[(&str, &str)], grace: &str| {
        let options =
            [compaction("LeveledCompactionStrategy"), ("gc_grace_seconds", number(grace)), ("tombstone_gc", text("x"))];
        catalog(definition(columns, &["compound"], &options))
    };
    let found = |target: &Catalog, dialect| {
        let script = script(&source, Some(target), dialect, None);
        script.objects.into_iter().find(|object| object.kind == Kind::Table).and_then(|object| object.found)
    };
    let same = target(&[("id", "pk0 int"), ("v", "int")], "10");
    assert_eq!(found(&same, Dialect::Scylla), Some(Found::Same));
    let Some(Found::Differs(differences)) = found(&same, Dialect::Cassandra) else { panic!("an option more") };
    insta::assert_snapshot!(differences.join("\n"), @"tombstone_gc: nothing expected, 'x' at the target");
    let other = target(&[("id", "pk0 int"), ("v", "bigint")], "20");
    let Some(Found::Differs(differences)) = found(&other, Dialect::Scylla) else { panic!("it differs") };
    insta::assert_snapshot!(differences.join("\n"), @"
    column v: int (regular) at the source, bigint (regular) at the target
    gc_grace_seconds: 10 expected, 20 at the target
    ");
    assert_eq!(found(&Catalog::default(), Dialect::Scylla), None);
}

#[test]
fn types_keep_their_fields_and_lose_java() {
    let fields = |texts: &[(&str, &str)]| {
        texts.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect::<Vec<_>>()
    };
    let keyspace = Keyspace {
        types: BTreeMap::from([
            ("a\"b".to_owned(), fields(&[("x y", "frozen<list<frozen<other>>>")])),
            ("other".to_owned(), fields(&[("n", "int")])),
            ("odd".to_owned(), fields(&[("n", "'org.example.Type'")])),
        ]),
        ..Keyspace::default()
    };
    let catalog = Catalog { keyspaces: BTreeMap::from([("ks".to_owned(), keyspace)]) };
    insta::assert_snapshot!(object(&script(&catalog, None, Dialect::Scylla, None), Kind::Type), @r#"
    CREATE TYPE "ks"."other" (
        "n" int
    )
    CREATE TYPE "ks"."a""b" (
        "x y" frozen<list<frozen<"other">>>
    )
    -- a Java class that ScyllaDB doesn't have: org.example.Type
    "#);
    assert_eq!(CqlType::Custom("it's".to_owned()).cql(), "'it''s'");
}
