//! What is to be created beside what the target has.

use super::Dialect;
use super::compaction::short_class;
use super::model::{Index, Options, TableDefinition, View};
use super::render::{index_target, literal};
use crate::cluster::record::Cell;
use crate::schema::compare::compare;
use std::collections::BTreeMap;

/// Differences of two tables: columns, then options.
pub(super) fn tables(wanted: &TableDefinition, found: &TableDefinition, dialect: Dialect) -> Vec<String> {
    let mut differences: Vec<String> =
        compare(&wanted.table, &found.table).iter().map(|difference| format!("column {difference}")).collect();
    if wanted.is_compact() != found.is_compact() {
        differences.push("one of both is COMPACT STORAGE".to_owned());
    }
    let masks = |table: &TableDefinition| -> BTreeMap<String, Cell> {
        table.masks.iter().map(|(column, mask)| (format!("mask of {column}"), Cell::Text(mask.clone()))).collect()
    };
    differences.extend(options(&masks(wanted), &masks(found), dialect));
    differences.extend(options(&wanted.options, &found.options, dialect));
    differences
}

/// Differences of two views.
pub(super) fn views(wanted: &View, found: &View, dialect: Dialect) -> Vec<String> {
    let mut differences: Vec<String> =
        compare(&wanted.table, &found.table).iter().map(|difference| format!("column {difference}")).collect();
    differences.extend(differs("base table", &wanted.base, &found.base));
    // ScyllaDB spells the clause in its own way.
    if dialect == Dialect::Cassandra {
        differences.extend(differs("WHERE", &wanted.filter, &found.filter));
    }
    differences.extend(options(&wanted.options, &found.options, dialect));
    differences
}

/// Differences of two indexes.
pub(super) fn indexes(wanted: &Index, found: &Index, dialect: Dialect) -> Vec<String> {
    let mut differences: Vec<String> = differs("table", &wanted.table, &found.table).into_iter().collect();
    match dialect {
        Dialect::Cassandra => {
            differences.extend(differs("target", &index_target(&wanted.target), &index_target(&found.target)));
        }
        // ScyllaDB keeps `values` of a set as `keys`.
        Dialect::Scylla => differences.extend(differs("column", &wanted.target.column, &found.target.column)),
    }
    let class = |index: &Index| index.class.as_deref().map_or("none", short_class).to_owned();
    differences.extend(differs("class", &class(wanted), &class(found)));
    let of =
        |index: &Index| index.options.iter().map(|(name, value)| (name.clone(), Cell::Text(value.clone()))).collect();
    differences.extend(options(&of(wanted), &of(found), dialect));
    differences
}

/// Differences of two types, field by field.
pub(super) fn types(wanted: &[(String, String)], found: &[(String, String)]) -> Vec<String> {
    let text = |fields: &[(String, String)]| -> Vec<String> {
        fields.iter().map(|(name, cql_type)| format!("{name} {cql_type}")).collect()
    };
    differs("fields", &text(wanted).join(", "), &text(found).join(", ")).into_iter().collect()
}

/// Options that differ. What `ScyllaDB` has of its own isn't asked for, so it can't differ.
pub(super) fn options(wanted: &Options, found: &Options, dialect: Dialect) -> Vec<String> {
    let text = |value: Option<&Cell>| value.map_or_else(|| "nothing".to_owned(), |value| literal(&normal(value)));
    let mut names: Vec<&String> = wanted.keys().collect();
    if dialect == Dialect::Cassandra {
        names.extend(found.keys().filter(|name| !wanted.contains_key(*name)));
    }
    names.into_iter().filter_map(|name| differs(name, &text(wanted.get(name)), &text(found.get(name)))).collect()
}

/// A value in which classes have no package and percentiles one spelling.
fn normal(value: &Cell) -> Cell {
    match value {
        Cell::Map(map) => {
            let class = |name: &str| matches!(name, "class" | "sstable_compression");
            let pair = |(name, value): (&String, &String)| {
                let value = if class(name) { short_class(value) } else { value };
                (name.clone(), value.to_owned())
            };
            // No compression is an empty map, too.
            Cell::Map(map.iter().map(pair).filter(|(name, value)| !(class(name) && value.is_empty())).collect())
        }
        other => other.clone(),
    }
}

fn differs(what: &str, wanted: &str, found: &str) -> Option<String> {
    (wanted != found).then(|| format!("{what}: {wanted} expected, {found} at the target"))
}
