//! The CQL that reads a table and writes it. Column names are always listed and always quoted; values are always bound.
//!
//! `SELECT *` is never used: after an `ALTER TABLE … ADD` the same prepared statement answers its columns in another order.
//! A value with elements is never assigned as a whole, which would write a tombstone over what an application has put there:
//! elements are added, fields are set.

use super::{Column, Descending, Table};
use crate::row::bind::ListWrite;
use crate::row::layout::{Part, Shape};
use crate::row::slice::Leg;
use crate::row::{Layout, RemovedPart};

/// An identifier in double quotes: names may be mixed case, reserved words, or hold anything at all.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The scan of one token range, both bounds included: keys, values, and the writetimes and TTLs of those that `layout` says
/// are readable.
pub fn select(table: &Table, layout: &Layout) -> String {
    format!("{} WHERE {}", select_from(table, layout), of_tokens(table))
}

/// The first row of each partition of some tokens, with its statics: binds the first and the last token.
pub fn select_first_rows(table: &Table, layout: &Layout) -> String {
    format!("{} PER PARTITION LIMIT 1", select(table, layout))
}

/// One leg of a slice. Binds the partition key, or, where it isn't known, the first and the last token; then the leg's equal
/// columns, its lower bound and its upper one.
pub fn select_leg(table: &Table, layout: &Layout, leg: &Leg, by_key: bool, reversed: bool) -> String {
    let partitions = if by_key { key(table, Part::Static) } else { of_tokens(table) };
    let mut text = format!("{} WHERE {partitions}{}", select_from(table, layout), of_leg(table, leg));
    if reversed {
        let order = |(column, Descending(descending)): (&Column, Descending)| {
            format!("{} {}", name(column), if descending { "ASC" } else { "DESC" })
        };
        text = format!("{text} ORDER BY {}", join(table.clustering_key().map(order)));
    }
    if by_key { text } else { format!("{text}{UNFILTERED}") }
}

/// The first row of each partition of some tokens in one leg of a slice. Binds the same as [`select_leg`] without a partition key.
pub fn select_first_rows_of_leg(table: &Table, layout: &Layout, leg: &Leg) -> String {
    format!("{}{} PER PARTITION LIMIT 1{UNFILTERED}", select(table, layout), of_leg(table, leg))
}

/// Without a partition key the servers want to hear that we know what we ask for; slices are still sought, not filtered.
const UNFILTERED: &str = " ALLOW FILTERING";

fn of_leg(table: &Table, leg: &Leg) -> String {
    let mut columns = table.clustering_key();
    let mut terms: Vec<String> =
        columns.by_ref().take(leg.equal.len()).map(|(column, _)| format!(" AND {} = ?", name(column))).collect();
    if let Some((column, Descending(descending))) = columns.next() {
        // What is stored behind a value of a descending column is less than it.
        let term =
            |sign: &str, includes: bool| format!(" AND {} {sign}{} ?", name(column), if includes { "=" } else { "" });
        let (behind, before) = if descending { ("<", ">") } else { (">", "<") };
        terms.extend(leg.low.iter().map(|(_, includes)| term(behind, *includes)));
        terms.extend(leg.high.iter().map(|(_, includes)| term(before, *includes)));
    }
    terms.concat()
}

fn of_tokens(table: &Table) -> String {
    let token = format!("token({})", join(table.partition_key().map(name)));
    format!("{token} >= ? AND {token} <= ?")
}

fn select_from(table: &Table, layout: &Layout) -> String {
    let values = table.value_columns();
    let readable = || values.iter().zip(&layout.values).filter(|(_, value)| value.metadata.is_some());
    let columns = table.key_columns().chain(values.iter().copied()).map(name);
    let writetimes = readable().map(|(column, _)| writetime(column));
    let ttls = readable().map(|(column, _)| format!("TTL({})", name(column)));
    let columns = join(columns.chain(writetimes).chain(ttls));
    format!("SELECT {columns} FROM {}", table.name.cql())
}

/// What tells whether a column's writetime and TTL are readable: servers answer that when they prepare it.
pub fn probe_metadata(table: &Table, column: &Column) -> String {
    format!("SELECT {}, TTL({}) FROM {} LIMIT 1", writetime(column), name(column), table.name.cql())
}

/// Row marker and regular values of one cell: binds keys, values, writetime, TTL.
pub fn insert(table: &Table) -> String {
    let cells =
        table.value_columns().into_iter().filter(|c| c.part() == Part::Regular && c.cql_type.shape() == Shape::Cell);
    let columns: Vec<String> = table.key_columns().chain(cells).map(name).collect();
    let marks = join(columns.iter().map(|_| "?".to_owned()));
    format!("INSERT INTO {} ({}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?", table.name.cql(), columns.join(", "))
}

/// All values of one part but lists, without row marker: binds writetime, TTL, values, key. A user-defined type takes a
/// value for each of its fields. `None` where the part has no such value.
pub fn update(table: &Table, part: Part) -> Option<String> {
    let assign = |column: &Column| {
        let name = name(column);
        match column.cql_type.shape() {
            Shape::Cell => vec![format!("{name} = ?")],
            Shape::Set | Shape::Map => vec![format!("{name} = {name} + ?")],
            Shape::Udt(_) => column.cql_type.fields().map(|field| format!("{name}.{} = ?", quote(field))).collect(),
            Shape::List | Shape::Counter => vec![],
        }
    };
    let values = table.value_columns();
    let assignments = join(values.into_iter().filter(|column| column.part() == part).flat_map(assign));
    (!assignments.is_empty()).then(|| update_of(table, part, " USING TIMESTAMP ? AND TTL ?", &assignments))
}

/// One element of a list: binds writetime, TTL, for [`ListWrite::Keyed`] the element's key, the element (as a list of one, where
/// it is added), key.
pub fn list_element(table: &Table, column: &Column, how: ListWrite) -> String {
    let name = name(column);
    let assignment = match how {
        ListWrite::Keyed => format!("{name}[SCYLLA_TIMEUUID_LIST_INDEX(?)] = ?"),
        ListWrite::Append => format!("{name} = {name} + ?"),
        ListWrite::Prepend => format!("{name} = ? + {name}"),
    };
    update_of(table, column.part(), " USING TIMESTAMP ? AND TTL ?", &assignment)
}

/// Deletes some cells of one part of a row, or all of it: binds the elements or their keys, the timestamp, the row's key or, for
/// statics, that of the partition.
pub fn delete(table: &Table, part: Part, of: &[RemovedPart]) -> String {
    let values = table.value_columns();
    let column = |value: &usize| values.get(*value).map(|column| name(column)).unwrap_or_default();
    let field =
        |value: &usize, field: &usize| values.get(*value).and_then(|column| column.cql_type.fields().nth(*field));
    let what = |of: &RemovedPart| match of {
        RemovedPart::Column { value } => column(value),
        RemovedPart::Element { value, .. } => format!("{}[?]", column(value)),
        RemovedPart::Field { value, field: index } => {
            format!("{}.{}", column(value), field(value, index).map(quote).unwrap_or_default())
        }
    };
    let all_statics = || values.iter().filter(|column| column.part() == Part::Static).map(|column| name(column));
    let what = match part {
        Part::Static if of.is_empty() => join(all_statics()),
        _ => join(of.iter().map(what)),
    };
    let space = if what.is_empty() { "" } else { " " };
    format!("DELETE{space}{what} FROM {} USING TIMESTAMP ? WHERE {}", table.name.cql(), key(table, part))
}

/// All counters of one part: binds what is to be added to each, key. `None` where the part has none.
pub fn add_counters(table: &Table, part: Part) -> Option<String> {
    let counters = table.value_columns().into_iter().filter(|column| column.part() == part);
    let assignments = join(counters.map(|column| format!("{0} = {0} + ?", name(column))));
    (!assignments.is_empty()).then(|| update_of(table, part, "", &assignments))
}

/// Reads some columns of one row, or of one partition where they are static: binds its key. With `writetimes`, those of each
/// column come after the columns.
pub fn read_back(table: &Table, part: Part, columns: &[&Column], writetimes: bool) -> String {
    let metadata = columns.iter().filter(|_| writetimes).map(|column| writetime(column));
    let columns = join(columns.iter().map(|column| name(column)).chain(metadata));
    // One row of a partition is enough for its statics.
    let limit = if part == Part::Static { " LIMIT 1" } else { "" };
    format!("SELECT {columns} FROM {} WHERE {}{limit}", table.name.cql(), key(table, part))
}

fn update_of(table: &Table, part: Part, using: &str, assignments: &str) -> String {
    format!("UPDATE {}{using} SET {assignments} WHERE {}", table.name.cql(), key(table, part))
}

fn key(table: &Table, part: Part) -> String {
    let equals = |column| format!("{} = ?", name(column));
    let columns: Vec<String> = match part {
        Part::Regular => table.key_columns().map(equals).collect(),
        Part::Static => table.partition_key().map(equals).collect(),
    };
    columns.join(" AND ")
}

fn name(column: &Column) -> String {
    quote(&column.name)
}

fn writetime(column: &Column) -> String {
    format!("WRITETIME({})", name(column))
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::*;

    fn of(table: &Table) -> String {
        select(table, &table.layout(|_| true))
    }

    #[test]
    fn the_statements_of_a_table() {
        let table = table(&[("a", "pk0 int"), ("B", "pk1 text"), ("c\"", "ck0 int"), ("v", "int"), ("w", "text")]);
        insta::assert_snapshot!(of(&table), @r#"SELECT "a", "B", "c""", "v", "w", WRITETIME("v"), WRITETIME("w"), TTL("v"), TTL("w") FROM "ks"."t" WHERE token("a", "B") >= ? AND token("a", "B") <= ?"#);
        insta::assert_snapshot!(insert(&table), @r#"INSERT INTO "ks"."t" ("a", "B", "c""", "v", "w") VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"#);
        insta::assert_snapshot!(update(&table, Part::Regular).expect("has values"), @r#"UPDATE "ks"."t" USING TIMESTAMP ? AND TTL ? SET "v" = ?, "w" = ? WHERE "a" = ? AND "B" = ? AND "c""" = ?"#);
        assert_eq!(update(&table, Part::Static), None);
    }

    #[test]
    fn elements_are_added_and_never_assigned() {
        let table = table(&[
            ("k", "pk0 int"),
            ("c", "ck0 int"),
            ("s", "static set<int>"),
            ("m", "map<int, int>"),
            ("l", "list<int>"),
            ("v", "int"),
        ]);
        insta::assert_snapshot!(select(&table, &table.layout(|column| column.name != "m")), @r#"SELECT "k", "c", "v", "m", "l", "s", WRITETIME("v"), WRITETIME("l"), WRITETIME("s"), TTL("v"), TTL("l"), TTL("s") FROM "ks"."t" WHERE token("k") >= ? AND token("k") <= ?"#);
        insta::assert_snapshot!(insert(&table), @r#"INSERT INTO "ks"."t" ("k", "c", "v") VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?"#);
        insta::assert_snapshot!(update(&table, Part::Regular).expect("some"), @r#"UPDATE "ks"."t" USING TIMESTAMP ? AND TTL ? SET "v" = ?, "m" = "m" + ? WHERE "k" = ? AND "c" = ?"#);
        insta::assert_snapshot!(update(&table, Part::Static).expect("some"), @r#"UPDATE "ks"."t" USING TIMESTAMP ? AND TTL ? SET "s" = "s" + ? WHERE "k" = ?"#);
        let list = table.columns.iter().find(|column| column.name == "l").expect("it is there");
        let texts =
            [ListWrite::Keyed, ListWrite::Append, ListWrite::Prepend].map(|how| list_element(&table, list, how));
        insta::assert_snapshot!(texts.join("\n"), @r#"
        UPDATE "ks"."t" USING TIMESTAMP ? AND TTL ? SET "l"[SCYLLA_TIMEUUID_LIST_INDEX(?)] = ? WHERE "k" = ? AND "c" = ?
        UPDATE "ks"."t" USING TIMESTAMP ? AND TTL ? SET "l" = "l" + ? WHERE "k" = ? AND "c" = ?
        UPDATE "ks"."t" USING TIMESTAMP ? AND TTL ? SET "l" = ? + "l" WHERE "k" = ? AND "c" = ?
        "#);
        insta::assert_snapshot!(read_back(&table, Part::Regular, &[list], true), @r#"SELECT "l", WRITETIME("l") FROM "ks"."t" WHERE "k" = ? AND "c" = ?"#);
    }

    #[test]
    fn what_is_deleted_is_named() {
        let table =
            table(&[("k", "pk0 int"), ("c", "ck0 int"), ("v", "int"), ("m", "map<int, int>"), ("s", "static int")]);
        let parts = [RemovedPart::Column { value: 0 }, RemovedPart::Element { value: 1, key: vec![0] }];
        let texts = [
            delete(&table, Part::Regular, &[]),
            delete(&table, Part::Regular, &parts),
            delete(&table, Part::Static, &[]),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r#"
        DELETE FROM "ks"."t" USING TIMESTAMP ? WHERE "k" = ? AND "c" = ?
        DELETE "v", "m"[?] FROM "ks"."t" USING TIMESTAMP ? WHERE "k" = ? AND "c" = ?
        DELETE "s" FROM "ks"."t" USING TIMESTAMP ? WHERE "k" = ?
        "#);
    }

    #[test]
    fn counters_are_added_to() {
        let table = table(&[("k", "pk0 int"), ("c", "ck0 int"), ("s", "static counter"), ("n", "counter")]);
        insta::assert_snapshot!(add_counters(&table, Part::Regular).expect("some"), @r#"UPDATE "ks"."t" SET "n" = "n" + ? WHERE "k" = ? AND "c" = ?"#);
        insta::assert_snapshot!(add_counters(&table, Part::Static).expect("some"), @r#"UPDATE "ks"."t" SET "s" = "s" + ? WHERE "k" = ?"#);
    }

    #[test]
    fn slices_are_read_by_legs() {
        let table = table(&[("k", "pk0 int"), ("a", "ck0 int"), ("b", "ck1 int")]);
        let leg = Leg { equal: vec![vec![1]], low: Some((vec![2], false)), high: Some((vec![3], true)) };
        let layout = table.layout(|_| true);
        let texts = [
            select_leg(&table, &layout, &leg, true, false),
            select_leg(&table, &layout, &leg, true, true),
            select_leg(&table, &layout, &leg, false, false),
            select_first_rows_of_leg(&table, &layout, &leg),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r#"
        SELECT "k", "a", "b" FROM "ks"."t" WHERE "k" = ? AND "a" = ? AND "b" > ? AND "b" <= ?
        SELECT "k", "a", "b" FROM "ks"."t" WHERE "k" = ? AND "a" = ? AND "b" > ? AND "b" <= ? ORDER BY "a" DESC, "b" DESC
        SELECT "k", "a", "b" FROM "ks"."t" WHERE token("k") >= ? AND token("k") <= ? AND "a" = ? AND "b" > ? AND "b" <= ? ALLOW FILTERING
        SELECT "k", "a", "b" FROM "ks"."t" WHERE token("k") >= ? AND token("k") <= ? AND "a" = ? AND "b" > ? AND "b" <= ? PER PARTITION LIMIT 1 ALLOW FILTERING
        "#);
    }

    #[test]
    fn a_table_of_only_keys_has_no_update() {
        let table = table(&[("a", "pk0 int")]);
        assert_eq!(update(&table, Part::Regular), None);
        insta::assert_snapshot!(of(&table), @r#"SELECT "a" FROM "ks"."t" WHERE token("a") >= ? AND token("a") <= ?"#);
    }
}
