//! What of a table arrives exactly, column by column, and what stands in the way of copying it at all.

use super::{Column, ColumnKind, Table};
use serde::Serialize;

/// What is kept of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fidelity {
    /// The column's name.
    pub column: String,
    /// Its type, user-defined types spelled out.
    #[serde(rename = "type")]
    pub cql_type: String,
    /// Its part in the table.
    pub part: String,
    /// What is kept, or why the column can't be copied.
    pub kept: Kept,
}

/// What is kept of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The bytes; a key has neither writetime nor TTL.
    Bytes,
    /// The bytes, the writetime and the expiry of each cell.
    BytesWritetimeTtl,
    /// The table is refused because of this column.
    Refused(Refusal),
}

/// Why a column can't be copied exactly yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Lists, sets, maps and user-defined types that aren't frozen have a writetime per element.
    MultiCell,
    /// A static column has one value per partition.
    Static,
    /// Counters can't be written twice.
    Counter,
    /// A Java class that only Cassandra knows.
    CustomClass,
}

impl Kept {
    /// In the words of the plan.
    pub fn words(self) -> &'static str {
        match self {
            Kept::Bytes => "value",
            Kept::BytesWritetimeTtl => "value, writetime, TTL",
            Kept::Refused(Refusal::MultiCell) => {
                "refused: elements have writetimes of their own, which isn't copied yet (a frozen one is)"
            }
            Kept::Refused(Refusal::Static) => "refused: static columns aren't copied yet",
            Kept::Refused(Refusal::Counter) => {
                "refused: a counter can't be written twice, so a resumed copy would count double"
            }
            Kept::Refused(Refusal::CustomClass) => "refused: its type is a Java class that only Cassandra knows",
        }
    }
}

/// What is kept of each column of `table`.
pub fn fidelity(table: &Table) -> Vec<Fidelity> {
    let of = |column: &Column| Fidelity {
        column: column.name.clone(),
        cql_type: column.cql_type.to_string(),
        part: column.kind.to_string(),
        kept: kept(column),
    };
    table.columns.iter().map(of).collect()
}

fn kept(column: &Column) -> Kept {
    if column.cql_type.custom_class().is_some() {
        return Kept::Refused(Refusal::CustomClass);
    }
    match column.kind {
        ColumnKind::PartitionKey(_) | ColumnKind::Clustering(..) => Kept::Bytes,
        _ if column.cql_type.is_counter() => Kept::Refused(Refusal::Counter),
        ColumnKind::Static => Kept::Refused(Refusal::Static),
        ColumnKind::Regular if column.cql_type.is_multi_cell() => Kept::Refused(Refusal::MultiCell),
        ColumnKind::Regular => Kept::BytesWritetimeTtl,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::*;

    #[test]
    fn what_is_not_copied_exactly_is_refused() {
        let table = table(&[
            ("k", "pk0 int"),
            ("s", "static int"),
            ("frozen", "frozen<list<int>>"),
            ("pair", "tuple<int, text>"),
            ("near", "vector<float, 3>"),
            ("tags", "set<text>"),
            ("address", "address"),
            ("hits", "counter"),
            ("odd", "'org.example.Type'"),
        ]);
        let kept: Vec<Kept> = fidelity(&table).into_iter().map(|column| column.kept).collect();
        assert_eq!(
            kept,
            [
                Kept::Bytes,
                Kept::Refused(Refusal::Static),
                Kept::BytesWritetimeTtl,
                Kept::BytesWritetimeTtl,
                Kept::BytesWritetimeTtl,
                Kept::Refused(Refusal::MultiCell),
                Kept::Refused(Refusal::MultiCell),
                Kept::Refused(Refusal::Counter),
                Kept::Refused(Refusal::CustomClass),
            ]
        );
    }
}
