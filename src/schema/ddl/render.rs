//! Statements as text. Names are always quoted; texts are literals with doubled quotes.

use super::model::{Index, IndexTarget, Options, TableDefinition, View};
use crate::cluster::record::Cell;
use crate::schema::statements::quote;
use crate::schema::{Column, ColumnKind, CqlType, Descending, Table, TableName};
use std::collections::BTreeMap;

/// A text as a CQL literal: `'it''s'`.
pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A map as a CQL literal.
pub(crate) fn map_literal(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        map.iter().map(|(key, value)| format!("{}: {}", text_literal(key), text_literal(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// An option's value as a CQL literal.
pub(super) fn literal(value: &Cell) -> String {
    match value {
        Cell::Text(text) => text_literal(text),
        Cell::Number(number) => number.clone(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Map(map) => map_literal(map),
        Cell::Texts(texts) => {
            format!("{{{}}}", texts.iter().map(|text| text_literal(text)).collect::<Vec<_>>().join(", "))
        }
    }
}

pub(super) fn keyspace(name: &str, options: &Options) -> String {
    format!("CREATE KEYSPACE {}{}", quote(name), with(&option_clauses(options)))
}

pub(super) fn user_type(keyspace: &str, name: &str, fields: &[(String, CqlType)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(field, cql_type)| format!("    {} {}", quote(field), cql_type.cql())).collect();
    format!("CREATE TYPE {}.{} (\n{}\n)", quote(keyspace), quote(name), fields.join(",\n"))
}

pub(super) fn table(definition: &TableDefinition) -> String {
    let compact = definition.is_compact();
    let table = if compact { &without_hidden_columns(definition) } else { &definition.table };
    let mut lines: Vec<String> = Vec::with_capacity(table.columns.len() + 1);
    for column in &table.columns {
        let fixed = if column.kind == ColumnKind::Static { " STATIC" } else { "" };
        let mask = definition.masks.get(&column.name).map_or_else(String::new, |mask| format!(" MASKED WITH {mask}"));
        lines.push(format!("    {} {}{fixed}{mask}", quote(&column.name), column.cql_type.cql()));
    }
    lines.push(format!("    {}", primary_key(table)));
    let mut clauses = Vec::new();
    clauses.extend(compact.then(|| "COMPACT STORAGE".to_owned()));
    clauses.extend(clustering_order(table));
    clauses.extend(option_clauses(&definition.options));
    format!("CREATE TABLE {} (\n{}\n){}", table.name.cql(), lines.join(",\n"), with(&clauses))
}

/// A compact table as it was declared: the storage engine adds columns that can't be typed.
fn without_hidden_columns(definition: &TableDefinition) -> Table {
    let mut table = definition.table.clone();
    let is_dense = definition.flags.contains("dense");
    table.columns.retain(|column| match column.kind {
        ColumnKind::Regular if is_dense => column.cql_type != CqlType::Native("empty".to_owned()),
        ColumnKind::Regular | ColumnKind::Clustering(..) => is_dense || definition.flags.contains("compound"),
        ColumnKind::PartitionKey(_) | ColumnKind::Static => true,
    });
    for column in table.columns.iter_mut().filter(|column| column.kind == ColumnKind::Static) {
        column.kind = ColumnKind::Regular;
    }
    table
}

pub(super) fn view(view: &View) -> String {
    let columns = if view.all_columns {
        "*".to_owned()
    } else {
        view.table.columns.iter().map(|column| quote(&column.name)).collect::<Vec<_>>().join(", ")
    };
    let base = TableName { keyspace: view.table.name.keyspace.clone(), table: view.base.clone() };
    let clauses: Vec<String> = clustering_order(&view.table).into_iter().chain(option_clauses(&view.options)).collect();
    format!(
        "CREATE MATERIALIZED VIEW {} AS\n    SELECT {columns}\n    FROM {}\n    WHERE {}\n    {}{}",
        view.table.name.cql(),
        base.cql(),
        view.filter,
        primary_key(&view.table),
        with(&clauses)
    )
}

pub(super) fn index(keyspace: &str, name: &str, index: &Index) -> String {
    let table = TableName { keyspace: keyspace.to_owned(), table: index.table.clone() };
    let target = index_target(&index.target);
    let Some(class) = &index.class else {
        return format!("CREATE INDEX {} ON {} ({target})", quote(name), table.cql());
    };
    let options = if index.options.is_empty() {
        String::new()
    } else {
        format!("\n    WITH OPTIONS = {}", map_literal(&index.options))
    };
    let class = text_literal(class);
    format!("CREATE CUSTOM INDEX {} ON {} ({target}) USING {class}{options}", quote(name), table.cql())
}

/// `"v"`, `keys("m")`.
pub(super) fn index_target(target: &IndexTarget) -> String {
    match &target.part {
        Some(part) => format!("{part}({})", quote(&target.column)),
        None => quote(&target.column),
    }
}

pub(super) fn trigger(table: &TableName, name: &str, class: &str) -> String {
    format!("CREATE TRIGGER {} ON {} USING {}", quote(name), table.cql(), text_literal(class))
}

fn primary_key(table: &Table) -> String {
    let names = |columns: Vec<&Column>| columns.iter().map(|column| quote(&column.name)).collect::<Vec<_>>().join(", ");
    let partition_key = table.partition_key().collect();
    let clustering: Vec<&Column> = clustering_key(table).map(|(column, _)| column).collect();
    let separator = if clustering.is_empty() { "" } else { ", " };
    format!("PRIMARY KEY (({}){separator}{})", names(partition_key), names(clustering))
}

fn clustering_key(table: &Table) -> impl Iterator<Item = (&Column, bool)> {
    table.columns.iter().filter_map(|column| match column.kind {
        ColumnKind::Clustering(_, Descending(descending)) => Some((column, descending)),
        ColumnKind::PartitionKey(_) | ColumnKind::Static | ColumnKind::Regular => None,
    })
}

fn clustering_order(table: &Table) -> Option<String> {
    let order = |(column, descending): (&Column, bool)| {
        format!("{} {}", quote(&column.name), if descending { "DESC" } else { "ASC" })
    };
    let order: Vec<String> = clustering_key(table).map(order).collect();
    (!order.is_empty()).then(|| format!("CLUSTERING ORDER BY ({})", order.join(", ")))
}

fn option_clauses(options: &Options) -> Vec<String> {
    options.iter().map(|(name, value)| format!("{name} = {}", literal(value))).collect()
}

fn with(clauses: &[String]) -> String {
    if clauses.is_empty() { String::new() } else { format!(" WITH {}", clauses.join("\n    AND ")) }
}
