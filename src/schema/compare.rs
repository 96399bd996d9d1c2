//! How a source table and its target table differ.

use super::{Column, Table};
use serde::Serialize;
use std::fmt;

/// A difference between the columns of two tables that stands in the way of copying bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// The source has a column that the target lacks.
    MissingOnTarget {
        /// The column's name.
        column: String,
        /// Its part and type at the source.
        source: String,
    },
    /// The target has a column that the source lacks.
    MissingOnSource {
        /// The column's name.
        column: String,
        /// Its part and type at the target.
        target: String,
    },
    /// Both have it, not alike.
    Differs {
        /// The column's name.
        column: String,
        /// Its part and type at the source.
        source: String,
        /// Its part and type at the target.
        target: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::MissingOnTarget { column, source } => {
                write!(f, "{column}: {source} at the source, missing at the target")
            }
            Difference::MissingOnSource { column, target } => {
                write!(f, "{column}: missing at the source, {target} at the target")
            }
            Difference::Differs { column, source, target } => {
                write!(f, "{column}: {source} at the source, {target} at the target")
            }
        }
    }
}

/// All differences, by column: the source's first, in its order, then what only the target has.
pub fn compare(source: &Table, target: &Table) -> Vec<Difference> {
    let text = |column: &Column| format!("{} ({})", column.cql_type, column.kind);
    let find = |table: &Table, name: &str| table.columns.iter().find(|column| column.name == name).map(text);
    let of_source = source.columns.iter().filter_map(|column| {
        let (name, source) = (column.name.clone(), text(column));
        match find(target, &name) {
            None => Some(Difference::MissingOnTarget { column: name, source }),
            Some(target) if target != source => Some(Difference::Differs { column: name, source, target }),
            Some(_) => None,
        }
    });
    let of_target = target.columns.iter().filter(|column| find(source, &column.name).is_none());
    of_source
        .chain(
            of_target.map(|column| Difference::MissingOnSource { column: column.name.clone(), target: text(column) }),
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::*;

    #[test]
    fn each_kind_of_difference_is_named() {
        let source = table(&[("id", "pk0 int"), ("at", "ck0 desc int"), ("a", "int"), ("b", "text")]);
        let target = table(&[("id", "pk0 int"), ("at", "ck0 int"), ("a", "bigint"), ("c", "frozen<set<int>>")]);
        let text: Vec<String> = compare(&source, &target).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        at: int (clustering key 0 descending) at the source, int (clustering key 0) at the target
        a: int (regular) at the source, bigint (regular) at the target
        b: text (regular) at the source, missing at the target
        c: missing at the source, frozen<set<int>> (regular) at the target
        ");
        assert_eq!(compare(&source, &source), []);
    }
}
