//! Tables: what they are on each side, how they differ, and which CQL reads and writes them.

pub mod compare;
pub mod cql_type;
pub mod ddl;
pub mod fidelity;
pub mod literal;
pub mod order;
pub mod ordinal;
pub mod parse_literal;
pub mod read;
pub mod statements;

pub use cql_type::CqlType;

use crate::row::Layout;
use crate::row::layout::{Part, order};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// The name of a table, as the database keeps it: case-sensitive, without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The keyspace's name.
    pub keyspace: String,
    /// The table's own name.
    pub table: String,
}

impl TableName {
    /// The name as CQL text, always quoted: `"shop"."orders"`.
    pub fn cql(&self) -> String {
        format!("{}.{}", statements::quote(&self.keyspace), statements::quote(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.keyspace, self.table)
    }
}

/// A table as `system_schema` describes it.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Unique to one creation of one table on one cluster: dropping and creating it again makes another.
    pub id: Uuid,
    /// Partition key, clustering key, statics, regulars: each in their own order.
    pub columns: Vec<Column>,
    /// Those of the columns that were dropped and added again, and when they were dropped, in milliseconds since the Unix
    /// epoch: the database hides whatever is older than that, even where it is written later.
    pub readded: BTreeMap<String, i64>,
    /// A materialized view has no rows of its own.
    pub is_view: bool,
    /// Made by `WITH COMPACT STORAGE`: it may hold rows that CQL can't write.
    pub is_compact: bool,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Case-sensitive, without quotes.
    pub name: String,
    /// Its part in the table.
    pub kind: ColumnKind,
    /// Its type, user-defined types spelled out.
    pub cql_type: CqlType,
}

/// A column's part in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnKind {
    /// Position in the partition key, from 0.
    PartitionKey(i32),
    /// Position in the clustering key, from 0, and whether it is ordered descending.
    Clustering(i32, Descending),
    /// One value per partition.
    Static,
    /// One value per row.
    Regular,
}

/// The order of a clustering column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Descending(pub bool);

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnKind::PartitionKey(position) => write!(f, "partition key {position}"),
            ColumnKind::Clustering(position, Descending(false)) => write!(f, "clustering key {position}"),
            ColumnKind::Clustering(position, Descending(true)) => write!(f, "clustering key {position} descending"),
            ColumnKind::Static => f.write_str("static"),
            ColumnKind::Regular => f.write_str("regular"),
        }
    }
}

impl Column {
    /// Whose value it is, outside of the primary key.
    pub fn part(&self) -> Part {
        if self.kind == ColumnKind::Static { Part::Static } else { Part::Regular }
    }
}

impl Table {
    /// The columns of the primary key, partition key first.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.kind < ColumnKind::Static)
    }

    /// The columns of the partition key.
    pub fn partition_key(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| matches!(column.kind, ColumnKind::PartitionKey(_)))
    }

    /// The columns of the clustering key, each with its order.
    pub fn clustering_key(&self) -> impl Iterator<Item = (&Column, Descending)> {
        self.columns.iter().filter_map(|column| match column.kind {
            ColumnKind::Clustering(_, descending) => Some((column, descending)),
            _ => None,
        })
    }

    /// The columns outside of the primary key, in the order of [`Layout::values`].
    pub fn value_columns(&self) -> Vec<&Column> {
        let mut columns: Vec<&Column> =
            self.columns.iter().filter(|column| column.kind >= ColumnKind::Static).collect();
        columns.sort_by_key(|column| order(column.part(), column.cql_type.shape()));
        columns
    }

    /// What stands where in a row of [`statements::select`], given the columns whose writetime and TTL can be read.
    pub fn layout(&self, is_readable: impl Fn(&Column) -> bool) -> Layout {
        let partition_key = self.partition_key().count();
        let values = self.value_columns().into_iter();
        let values = values.map(|column| (column.part(), column.cql_type.shape(), is_readable(column)));
        Layout::new(partition_key, self.key_columns().count() - partition_key, values.collect())
    }

    /// Names, parts and types of all columns, one per line: two tables with the same text copy to each other as bytes.
    pub fn description(&self) -> String {
        use fmt::Write;
        let mut text = String::new();
        for column in &self.columns {
            let _ = writeln!(text, "{} {} {}", statements::quote(&column.name), column.cql_type, column.kind);
        }
        text
    }

    /// The columns that were dropped and added again, and when they were dropped, one per line.
    pub fn readded_description(&self) -> String {
        use fmt::Write;
        self.readded.iter().fold(String::new(), |mut text, (name, at)| {
            let _ = writeln!(text, "{} {at}", statements::quote(name));
            text
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table `ks.t` from (name, "pk0 int" | "ck1 desc text" | "static int" | "int").
    pub(crate) fn table(columns: &[(&str, &str)]) -> Table {
        let columns = columns
            .iter()
            .map(|&(name, text)| {
                let (kind, text) = match text.split_once(' ') {
                    Some((word, rest)) if word.starts_with("pk") => {
                        (ColumnKind::PartitionKey(word[2..].parse().expect("a position")), rest)
                    }
                    Some((word, rest)) if word.starts_with("ck") => {
                        let (descending, rest) = rest.strip_prefix("desc ").map_or((false, rest), |rest| (true, rest));
                        (ColumnKind::Clustering(word[2..].parse().expect("a position"), Descending(descending)), rest)
                    }
                    Some(("static", rest)) => (ColumnKind::Static, rest),
                    _ => (ColumnKind::Regular, text),
                };
                let cql_type = CqlType::parse(text, &cql_type::Udts::new()).expect("a type");
                Column { name: name.to_owned(), kind, cql_type }
            })
            .collect();
        Table {
            name: TableName { keyspace: "ks".to_owned(), table: "t".to_owned() },
            id: Uuid::nil(),
            columns,
            readded: BTreeMap::new(),
            is_view: false,
            is_compact: false,
        }
    }
}
