//! What can stand in the way of a copy, and what to type next.

use crate::call::CallError;
use crate::cluster::ConnectError;
use crate::escape::safe;
use crate::schema::TableName;
use crate::schema::compare::Difference;
use crate::schema::fidelity::{Fidelity, Kept};
use crate::schema::order::Unordered;
use crate::schema::read::ReadError;
use crate::select::SelectError;
use crate::side::Side;
use std::collections::BTreeMap;

/// Why the copy can't begin, or a table can't be part of it.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// A side can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Both sides are one cluster.
    #[error("source and target are the same cluster `{name}`: copying a table onto itself is refused")]
    SameCluster {
        /// The cluster's name.
        name: String,
    },
    /// Tokens of another kind.
    #[error("the {side} uses {partitioner}: only Murmur3Partitioner is supported")]
    Partitioner {
        /// Which side.
        side: Side,
        /// Its class.
        partitioner: String,
    },
    /// The source doesn't say what it has.
    #[error("failed to read the names of the tables in `{keyspace}` at the source: {error}")]
    Names {
        /// The keyspace.
        keyspace: String,
        /// Why.
        error: CallError,
    },
    /// The tables that are meant.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// No such table.
    #[error("there is no table {table} at the {side}")]
    NoTable {
        /// Which side.
        side: Side,
        /// The name.
        table: TableName,
    },
    /// A view has no rows of its own.
    #[error("{table} is a materialized view at the {side}: its rows come from its base table")]
    View {
        /// Which side.
        side: Side,
        /// The name.
        table: TableName,
    },
    /// The tables aren't alike.
    #[error("the columns of {source_table} at the source and {target_table} at the target differ{}", list(differences))]
    Differ {
        /// At the source.
        source_table: TableName,
        /// At the target.
        target_table: TableName,
        /// Each column that differs.
        differences: Vec<Difference>,
    },
    /// The target hides what is old.
    #[error("columns of {table} at the target were dropped and added again, so it hides all that was written to them at the source before{}", list(&instants(columns)))]
    Readded {
        /// The table at the target.
        table: TableName,
        /// The columns, and when they were dropped, in milliseconds since the Unix epoch.
        columns: BTreeMap<String, i64>,
    },
    /// Rows that CQL doesn't show as they are.
    #[error("{table} has COMPACT STORAGE: its rows can't be compared")]
    Compact {
        /// The table at the source.
        table: TableName,
    },
    /// The order of its rows isn't known.
    #[error("{table} can't be compared: {error}")]
    Unordered {
        /// The table at the source.
        table: TableName,
        /// Why.
        error: Unordered,
    },
    /// Some columns can't be copied exactly.
    #[error("{table} has columns that can't be copied{}", list(&refused(columns)))]
    Inexact {
        /// The table at the source.
        table: TableName,
        /// All of its columns.
        columns: Vec<Fidelity>,
    },
    /// The role isn't allowed to.
    #[error("the role `{role}` may not {verb} {table} at the {side}: {message}")]
    Permission {
        /// Which side.
        side: Side,
        /// The role.
        role: String,
        /// `read` or `write`.
        verb: &'static str,
        /// The table.
        table: TableName,
        /// The server's words.
        message: String,
        /// What an administrator types.
        grant: String,
    },
    /// The table's description isn't understood.
    #[error("failed to read the description of {table} at the {side}: {error}")]
    Schema {
        /// Which side.
        side: Side,
        /// The table.
        table: TableName,
        /// Why.
        error: ReadError,
    },
    /// A table isn't what it was when the job took it in.
    #[error("{table} was changed at the {side} since the job took it in: {what}")]
    Changed {
        /// Which side.
        side: Side,
        /// The table.
        table: TableName,
        /// What changed.
        what: String,
    },
    /// A statement is refused.
    #[error("failed to try {table} at the {side}: {error}")]
    Try {
        /// Which side.
        side: Side,
        /// The table.
        table: TableName,
        /// Why.
        error: CallError,
    },
}

fn list<T: std::fmt::Display>(lines: &[T]) -> String {
    use std::fmt::Write;
    lines.iter().fold(String::new(), |mut text, line| {
        // Names are anybody's text: one with a line break in it must not look like a line of ours.
        let _ = write!(text, "\n  {}", safe(&line.to_string()));
        text
    })
}

fn instants(columns: &BTreeMap<String, i64>) -> Vec<String> {
    let at = |ms: &i64| jiff::Timestamp::from_millisecond(*ms).map_or_else(|_| ms.to_string(), |at| at.to_string());
    columns.iter().map(|(name, ms)| format!("{name}: dropped at {}", at(ms))).collect()
}

fn refused(columns: &[Fidelity]) -> Vec<String> {
    let refused = columns.iter().filter(|column| matches!(column.kept, Kept::Refused(_)));
    refused.map(|column| format!("{} {} is {}", column.column, column.cql_type, column.words)).collect()
}

impl PreflightError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            PreflightError::Connect(error) => error.hint(),
            PreflightError::SameCluster { .. } => Some("check `--source` and `--target`".to_owned()),
            PreflightError::NoTable { side: Side::Target, .. } => {
                Some("create it at the target first: `migrate schema --source … --target … --table KEYSPACE.TABLE --apply`".to_owned())
            }
            PreflightError::NoTable { side: Side::Source, .. } => {
                Some("check `--table KEYSPACE.TABLE`: names are taken as they are, upper and lower case apart".to_owned())
            }
            PreflightError::Select(error) => error.hint(),
            PreflightError::Unordered { error, .. } => Some(error.hint()),
            PreflightError::Compact { .. } => Some("run ALTER TABLE … DROP COMPACT STORAGE first".to_owned()),
            PreflightError::View { .. } => Some("copy the base table; the target builds its own view".to_owned()),
            PreflightError::Readded { .. } => Some("drop the target's table and create it anew".to_owned()),
            PreflightError::Differ { .. } => Some("make the target's table like the source's".to_owned()),
            PreflightError::Permission { grant, .. } => Some(format!("let an administrator run: {grant}")),
            PreflightError::Changed { .. } => Some(
                "rows may be missing: begin anew with `--restart`, or copy this table in a job of its own; copying again changes nothing that was copied. To verify alone, name another file with `--checkpoint FILE`".to_owned(),
            ),
            PreflightError::Partitioner { .. }
            | PreflightError::Names { .. }
            | PreflightError::Inexact { .. }
            | PreflightError::Schema { .. }
            | PreflightError::Try { .. } => None,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            PreflightError::Connect(error) if error.is_setting() => 2,
            PreflightError::Connect(_) | PreflightError::Permission { .. } => 6,
            PreflightError::Try { error, .. }
            | PreflightError::Names { error, .. }
            | PreflightError::Schema { error: ReadError::Call(error), .. }
                if error.class.is_trouble() =>
            {
                6
            }
            PreflightError::SameCluster { .. }
            | PreflightError::Partitioner { .. }
            | PreflightError::NoTable { .. }
            | PreflightError::Select(_)
            | PreflightError::View { .. }
            | PreflightError::Differ { .. }
            | PreflightError::Readded { .. }
            | PreflightError::Unordered { .. }
            | PreflightError::Compact { .. }
            | PreflightError::Changed { .. }
            | PreflightError::Inexact { .. }
            | PreflightError::Schema { error: ReadError::Type(_), .. } => 5,
            PreflightError::Schema { .. } | PreflightError::Try { .. } | PreflightError::Names { .. } => 1,
        }
    }
}
