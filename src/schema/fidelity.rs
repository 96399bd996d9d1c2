//! What of a table arrives exactly, column by column, what can't be read and gets a rule instead, and what stands in the way
//! of copying it at all.

use super::{Column, ColumnKind, Table};
use crate::row::RowMarker;
use crate::row::layout::Shape;
use serde::Serialize;
use std::collections::BTreeSet;

/// What the two sides and the operator allow for one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Means {
    /// Columns whose writetime and TTL the source can't tell, by name.
    pub unreadable: BTreeSet<String>,
    /// How elements get into lists at the target.
    pub lists: Lists,
    /// Whether counters are to be copied.
    pub counters: Counters,
    /// Which rows get a marker.
    pub row_marker: RowMarker,
}

/// How elements get into lists at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Under keys that follow from what was read: writing twice changes nothing.
    Keyed,
    /// The target is read, and what is missing is added: Cassandra takes no keys.
    ReadBack,
    /// Not at all: a ScyllaDB that takes no keys.
    Impossible,
}

/// Whether counters are to be copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Counters {
    /// Tables of counters are refused
    #[default]
    Refuse,
    /// Nobody writes to them during the copy: both sides are read, and the difference is added at the target
    Delta,
}

/// What is kept of one column, or of the row as such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fidelity {
    /// The column's name; `(row)` for the row marker.
    pub column: String,
    /// Its type, user-defined types spelled out.
    #[serde(rename = "type")]
    pub cql_type: String,
    /// Its part in the table.
    pub part: String,
    /// What is kept, or why the column can't be copied.
    pub kept: Kept,
    /// The same in words.
    pub words: &'static str,
}

/// What is kept of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The bytes; a key has neither writetime nor TTL.
    Bytes,
    /// The bytes, the writetime and the expiry of each cell.
    BytesWritetimeTtl,
    /// The same of each element or field.
    Elements,
    /// The same of each element of a list, under keys of its own.
    ListKeyed,
    /// The same of each element of a list, by reading the target first.
    ListReadBack,
    /// The bytes; the source can't tell writetime and TTL.
    UnknownTimestamp,
    /// A list's elements; the source can't tell writetime and TTL.
    ListUnknownTimestamp,
    /// The difference to the target is added.
    CounterDelta,
    /// The row marker follows from the cells.
    MarkerInferred,
    /// Every row gets a permanent marker.
    MarkerAlways,
    /// Only rows of a key alone get a marker.
    MarkerNever,
    /// The table is refused because of this column.
    Refused(Refusal),
}

/// Why a column can't be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A counter can't be written twice.
    Counter,
    /// A Java class that only Cassandra knows.
    CustomClass,
    /// The target can't be told the keys of a list's elements.
    List,
    /// The table has compact storage.
    CompactStorage,
}

impl Kept {
    /// In the words of the plan.
    pub fn words(self) -> &'static str {
        match self {
            Kept::Bytes => "value",
            Kept::BytesWritetimeTtl => "value, writetime, TTL",
            Kept::Elements => "value, writetime, TTL of each element",
            Kept::ListKeyed => "value, writetime, TTL of each element, under repeatable keys",
            Kept::ListReadBack => "value, writetime, TTL of each element; the target is read first",
            Kept::UnknownTimestamp | Kept::ListUnknownTimestamp => {
                "value; the source can't tell writetime and TTL: --unknown-timestamp, never expires"
            }
            Kept::CounterDelta => "value: the difference to the target is added; nobody may write meanwhile",
            Kept::MarkerInferred => "inferred from the cells: no query shows it (--row-marker)",
            Kept::MarkerAlways => "permanent in every row (--row-marker always)",
            Kept::MarkerNever => "only in rows that have nothing else (--row-marker never)",
            Kept::Refused(Refusal::Counter) => {
                "refused: a counter can't be written twice; `--counters delta` copies it while nobody writes"
            }
            Kept::Refused(Refusal::CustomClass) => "refused: its type is a Java class that only Cassandra knows",
            Kept::Refused(Refusal::List) => {
                "refused: this target doesn't take SCYLLA_TIMEUUID_LIST_INDEX, so a repeated write would double the list"
            }
            Kept::Refused(Refusal::CompactStorage) => {
                "refused: COMPACT STORAGE can hold rows that CQL can't write; run ALTER TABLE … DROP COMPACT STORAGE at the source first"
            }
        }
    }
}

/// What is kept of each column of `table`, and of its rows as such.
pub fn fidelity(table: &Table, means: &Means) -> Vec<Fidelity> {
    let of = |column: &Column| {
        let kept = kept(column, means);
        let (cql_type, part) = (column.cql_type.to_string(), column.kind.to_string());
        Fidelity { column: column.name.clone(), cql_type, part, kept, words: kept.words() }
    };
    let mut all: Vec<Fidelity> = table.columns.iter().map(of).collect();
    let has_counters = table.columns.iter().any(|column| column.cql_type.shape() == Shape::Counter);
    let row = if table.is_compact {
        Some(Kept::Refused(Refusal::CompactStorage))
    } else {
        let marker = match means.row_marker {
            RowMarker::Infer => Kept::MarkerInferred,
            RowMarker::Always => Kept::MarkerAlways,
            RowMarker::Never => Kept::MarkerNever,
        };
        (!has_counters).then_some(marker)
    };
    all.extend(row.map(|kept| Fidelity {
        column: "(row)".to_owned(),
        cql_type: String::new(),
        part: "row marker".to_owned(),
        kept,
        words: kept.words(),
    }));
    all
}

fn kept(column: &Column, means: &Means) -> Kept {
    if column.cql_type.custom_class().is_some() {
        return Kept::Refused(Refusal::CustomClass);
    }
    if matches!(column.kind, ColumnKind::PartitionKey(_) | ColumnKind::Clustering(..)) {
        return Kept::Bytes;
    }
    let is_readable = !means.unreadable.contains(&column.name);
    match (column.cql_type.shape(), means.lists) {
        (Shape::Counter, _) if means.counters == Counters::Refuse => Kept::Refused(Refusal::Counter),
        (Shape::Counter, _) => Kept::CounterDelta,
        (Shape::List, Lists::Impossible) => Kept::Refused(Refusal::List),
        (Shape::List, _) if !is_readable => Kept::ListUnknownTimestamp,
        (Shape::List, Lists::Keyed) => Kept::ListKeyed,
        (Shape::List, Lists::ReadBack) => Kept::ListReadBack,
        _ if !is_readable => Kept::UnknownTimestamp,
        (Shape::Cell, _) => Kept::BytesWritetimeTtl,
        (Shape::Set | Shape::Map | Shape::Udt(_), _) => Kept::Elements,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::*;

    fn means() -> Means {
        Means {
            unreadable: BTreeSet::new(),
            lists: Lists::Keyed,
            counters: Counters::Refuse,
            row_marker: RowMarker::Infer,
        }
    }

    fn kept(table: &Table, means: &Means) -> Vec<Kept> {
        fidelity(table, means).into_iter().map(|column| column.kept).collect()
    }

    #[test]
    fn what_is_kept_of_each_kind_of_column() {
        let table = table(&[
            ("k", "pk0 int"),
            ("s", "static int"),
            ("frozen", "frozen<list<int>>"),
            ("near", "vector<float, 3>"),
            ("tags", "set<text>"),
            ("address", "address"),
            ("log", "list<text>"),
            ("odd", "'org.example.Type'"),
        ]);
        assert_eq!(
            kept(&table, &means()),
            [
                Kept::Bytes,
                Kept::BytesWritetimeTtl,
                Kept::BytesWritetimeTtl,
                Kept::BytesWritetimeTtl,
                Kept::Elements,
                Kept::Elements,
                Kept::ListKeyed,
                Kept::Refused(Refusal::CustomClass),
                Kept::MarkerInferred,
            ]
        );
        let old = Means { unreadable: ["tags", "log"].map(str::to_owned).into(), ..means() };
        assert_eq!(kept(&table, &old)[4..7], [Kept::UnknownTimestamp, Kept::Elements, Kept::ListUnknownTimestamp]);
        let no_keys = Means { lists: Lists::Impossible, row_marker: RowMarker::Never, ..means() };
        assert_eq!(kept(&table, &no_keys)[6], Kept::Refused(Refusal::List));
        assert_eq!(kept(&table, &no_keys)[8], Kept::MarkerNever);
    }

    #[test]
    fn counters_are_copied_when_asked_for_only() {
        let table = table(&[("k", "pk0 int"), ("hits", "counter")]);
        assert_eq!(kept(&table, &means()), [Kept::Bytes, Kept::Refused(Refusal::Counter)]);
        let delta = Means { counters: Counters::Delta, ..means() };
        assert_eq!(kept(&table, &delta), [Kept::Bytes, Kept::CounterDelta]);
    }

    #[test]
    fn compact_storage_is_refused() {
        let table = Table { is_compact: true, ..table(&[("k", "pk0 int"), ("v", "int")]) };
        assert_eq!(kept(&table, &means())[2], Kept::Refused(Refusal::CompactStorage));
    }
}
