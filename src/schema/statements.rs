//! The CQL that reads a table and writes it. Column names are always listed and always quoted; values are always bound.
//!
//! `SELECT *` is never used: after an `ALTER TABLE … ADD` the same prepared statement answers its columns in another order.

use super::Table;

/// An identifier in double quotes: names may be mixed case, reserved words, or hold anything at all.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The scan of one token range, both bounds included: keys, values, writetimes, TTLs, as in [`crate::row::Layout`].
pub fn select(table: &Table) -> String {
    let keys = table.key_columns().map(|column| quote(&column.name));
    let values = table.value_columns().map(|column| quote(&column.name));
    let writetimes = table.value_columns().map(|column| format!("WRITETIME({})", quote(&column.name)));
    let ttls = table.value_columns().map(|column| format!("TTL({})", quote(&column.name)));
    let columns = join(keys.chain(values).chain(writetimes).chain(ttls));
    let token = partition_token(table);
    format!("SELECT {columns} FROM {} WHERE {token} >= ? AND {token} <= ?", table.name.cql())
}

/// Cells with row marker: binds keys, values, writetime, TTL.
pub fn insert(table: &Table) -> String {
    let columns = join(table.key_columns().chain(table.value_columns()).map(|column| quote(&column.name)));
    let marks = join(table.key_columns().chain(table.value_columns()).map(|_| "?".to_owned()));
    format!("INSERT INTO {} ({columns}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?", table.name.cql())
}

/// Cells without row marker: binds writetime, TTL, values, keys. `None` for a table that has only a key.
pub fn update(table: &Table) -> Option<String> {
    let values = join(table.value_columns().map(|column| format!("{} = ?", quote(&column.name))));
    let keys =
        table.key_columns().map(|column| format!("{} = ?", quote(&column.name))).collect::<Vec<_>>().join(" AND ");
    (!values.is_empty())
        .then(|| format!("UPDATE {} USING TIMESTAMP ? AND TTL ? SET {values} WHERE {keys}", table.name.cql()))
}

fn partition_token(table: &Table) -> String {
    format!("token({})", join(table.partition_key().map(|column| quote(&column.name))))
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::*;

    #[test]
    fn the_statements_of_a_table() {
        let table = table(&[("a", "pk0 int"), ("B", "pk1 text"), ("c\"", "ck0 int"), ("v", "int"), ("w", "text")]);
        insta::assert_snapshot!(select(&table), @r#"SELECT "a", "B", "c""", "v", "w", WRITETIME("v"), WRITETIME("w"), TTL("v"), TTL("w") FROM "ks"."t" WHERE token("a", "B") >= ? AND token("a", "B") <= ?"#);
        insta::assert_snapshot!(insert(&table), @r#"INSERT INTO "ks"."t" ("a", "B", "c""", "v", "w") VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"#);
        insta::assert_snapshot!(update(&table).expect("has values"), @r#"UPDATE "ks"."t" USING TIMESTAMP ? AND TTL ? SET "v" = ?, "w" = ? WHERE "a" = ? AND "B" = ? AND "c""" = ?"#);
    }

    #[test]
    fn a_table_of_only_keys_has_no_update() {
        let table = table(&[("a", "pk0 int")]);
        assert_eq!(update(&table), None);
        insta::assert_snapshot!(select(&table), @r#"SELECT "a" FROM "ks"."t" WHERE token("a") >= ? AND token("a") <= ?"#);
    }
}
