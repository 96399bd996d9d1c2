//! The tables that a command is about: all of `--table` and `--exclude` together.

use super::tables::{TableGlob, TablePattern};
use crate::schema::TableName;
use std::fmt;

/// Keyspaces of the databases themselves, of Cassandra, of `ScyllaDB` and of `DataStax` Enterprise. What is in them belongs to
/// one cluster.
pub(crate) const SYSTEM_KEYSPACES: [&str; 23] = [
    "system",
    "system_schema",
    "system_auth",
    "system_distributed",
    "system_distributed_everywhere",
    "system_traces",
    "system_views",
    "system_virtual_schema",
    "system_cluster_metadata",
    "system_replicated_keys",
    "system_audit",
    "audit",
    "system_metrics",
    "system_accord",
    "dse_analytics",
    "dse_insights",
    "dse_insights_local",
    "dse_leases",
    "dse_perf",
    "dse_security",
    "dse_system",
    "dse_system_local",
    "solr_admin",
];

/// The tables that a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What to copy; never empty, sorted.
    pub tables: Vec<TablePattern>,
    /// What to leave out of the patterns with an asterisk; sorted.
    pub excludes: Vec<TableGlob>,
}

/// A selection that can't be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The same table, or the same pattern, twice.
    #[error("`--table {0}` is named twice")]
    Twice(String),
    /// Two tables into one.
    #[error("{first} and {second} would both be written to {target}")]
    OneTarget {
        /// A source table.
        first: TableName,
        /// Another.
        second: TableName,
        /// The target table.
        target: TableName,
    },
    /// Named, and excluded too.
    #[error("{0} is named by `--table` and by `--exclude`")]
    Excluded(TableName),
    /// A keyspace of the database itself.
    #[error("`{0}` is a keyspace of the database itself: its tables belong to one cluster and aren't copied")]
    System(String),
}

impl Selection {
    /// Puts in order what was typed; in which order that was is no part of a job.
    ///
    /// # Errors
    /// What can't be meant, whatever tables there are.
    pub fn new(mut tables: Vec<TablePattern>, mut excludes: Vec<TableGlob>) -> Result<Selection, SelectionError> {
        tables.sort();
        excludes.sort();
        excludes.dedup();
        for (i, pattern) in tables.iter().enumerate() {
            if let Some(keyspace) = pattern.keyspaces().into_iter().find(|name| SYSTEM_KEYSPACES.contains(name)) {
                return Err(SelectionError::System(keyspace.to_owned()));
            }
            for earlier in &tables[..i] {
                expect_apart(pattern, earlier)?;
            }
            if let TablePattern::One { source, .. } = pattern
                && excludes.iter().any(|exclude| exclude.table.literal().is_some() && exclude.matches(source))
            {
                return Err(SelectionError::Excluded(source.clone()));
            }
        }
        Ok(Selection { tables, excludes })
    }

    /// What a checkpoint is compared by: patterns rather than tables, since tables come and go while a job lasts.
    pub fn identity(&self) -> [(&'static str, String); 2] {
        [("table", lines(&self.tables)), ("exclude", lines(&self.excludes))]
    }

    /// The keyspaces that are read.
    pub fn source_keyspaces(&self) -> Vec<String> {
        self.tables.iter().map(|pattern| pattern.keyspaces()[0].to_owned()).collect()
    }

    /// The keyspaces that are written.
    pub fn target_keyspaces(&self) -> Vec<String> {
        self.tables.iter().map(|pattern| pattern.keyspaces()[1].to_owned()).collect()
    }
}

/// One per line, so that of two lists only what differs needs to be shown.
fn lines(patterns: &[impl fmt::Display]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Makes sure that `one` doesn't say again, or contradict, what `other` says.
fn expect_apart(one: &TablePattern, other: &TablePattern) -> Result<(), SelectionError> {
    match (one, other) {
        (TablePattern::One { source, target }, TablePattern::One { source: first, target: same }) => {
            if source == first {
                return Err(SelectionError::Twice(source.to_string()));
            }
            if target == same {
                let (first, second, target) = (first.clone(), source.clone(), target.clone());
                return Err(SelectionError::OneTarget { first, second, target });
            }
            Ok(())
        }
        (TablePattern::Every { from, .. }, TablePattern::Every { from: first, .. }) if from == first => {
            Err(SelectionError::Twice(from.to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(tables: &[&str], excludes: &[&str]) -> Result<Selection, SelectionError> {
        let excludes = excludes.iter().map(|text| text.parse().expect("a pattern")).collect();
        Selection::new(tables.iter().map(|text| text.parse().expect("a pattern")).collect(), excludes)
    }

    #[test]
    fn the_order_in_which_tables_are_typed_is_no_part_of_the_job() {
        let one = selection(&["b.*=c.*", "a.x", "b.\"y.z\"=b.q"], &["b.u_*", "b.t", "b.t"]).expect("a selection");
        let other = selection(&["b.\"y.z\"=b.q", "b.**=c.*", "a.x=a.x"], &["b.t", "b.u_*"]).expect("a selection");
        assert_eq!(one.identity(), other.identity());
        insta::assert_debug_snapshot!(one.identity(), @r#"
        [
            (
                "table",
                "a.x\nb.\"y.z\"=b.q\nb.*=c.*",
            ),
            (
                "exclude",
                "b.t\nb.u_*",
            ),
        ]
        "#);
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let error = |tables: &[&str], excludes: &[&str]| {
            selection(tables, excludes).map(|_| ()).expect_err("not to be meant").to_string()
        };
        assert_eq!(error(&["a.b", "a.b=c.d"], &[]), "`--table a.b` is named twice");
        assert_eq!(error(&["a.*", "a.*=c.*"], &[]), "`--table a.*` is named twice");
        assert_eq!(error(&["a.b", "c.d=a.b"], &[]), "a.b and c.d would both be written to a.b");
        assert_eq!(error(&["a.b"], &["a.b"]), "a.b is named by `--table` and by `--exclude`");
        assert!(error(&["system.local"], &[]).contains("`system` is a keyspace of the database itself"));
        assert!(error(&["a.*=system_auth.*"], &[]).contains("`system_auth`"));
        assert!(selection(&["a.tmp_1", "a.*"], &["a.tmp_*"]).is_ok(), "this one, and no other of its kind");
    }
}
