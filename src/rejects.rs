//! The rejects file: keys of rows that the target refused for good, as JSON lines.
//!
//! It stands beside the checkpoint (`migrate.db-rejects.jsonl`) and holds keys and reasons, never other values. A key is on the
//! disk before its row counts as rejected. A row may be listed twice; it is counted once.

use crate::blocking::blocking;
use crate::job::RangeKey;
use crate::json_lines::{JsonLines, JsonLinesError};
use crate::paths::beside;
use crate::row::Batch;
use crate::schema::literal::literal;
use crate::schema::{CqlType, Table, TableName};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Where rejected rows go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rejects {
    lines: JsonLines,
    /// By the table's number in the job.
    tables: Arc<BTreeMap<usize, RejectTable>>,
}

/// What of a table goes into a line.
#[derive(Debug)]
struct RejectTable {
    source: String,
    target: String,
    /// Names and types of the primary key's columns.
    key: Vec<(String, CqlType)>,
}

/// What any bytes are a literal of.
static BLOB: LazyLock<CqlType> = LazyLock::new(|| CqlType::Native("blob".to_owned()));

/// A job has no row of a table that it doesn't have.
static UNKNOWN: RejectTable = RejectTable { source: String::new(), target: String::new(), key: Vec::new() };

/// A row that the target refused, or the statics of a partition.
#[derive(Debug)]
pub struct Reject {
    /// The row: a batch of one, or of statics alone.
    pub batch: Batch,
    /// What the target said. Untrusted text.
    pub reason: String,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    /// At the source.
    table: &'a str,
    target: &'a str,
    /// As CQL literals, by column; statics have no clustering key.
    key: serde_json::Map<String, serde_json::Value>,
    /// The same as raw bytes, in the order of the key.
    key_hex: Vec<String>,
    token: i64,
    first_token: i64,
    last_token: i64,
    reason: &'a str,
}

impl Rejects {
    /// For a job of these tables and where they go, by their numbers, beside its checkpoint. Nothing is created until a row is rejected.
    pub fn beside<'a>(checkpoint: &Path, tables: impl Iterator<Item = (usize, (&'a Table, &'a TableName))>) -> Rejects {
        let table = |(number, (source, target)): (usize, (&Table, &TableName))| {
            let key = source.key_columns().map(|column| (column.name.clone(), column.cql_type.clone())).collect();
            (number, RejectTable { source: source.name.to_string(), target: target.to_string(), key })
        };
        Rejects { lines: JsonLines::at(&path(checkpoint)), tables: Arc::new(tables.map(table).collect()) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.lines.path()
    }

    /// Adds rows of a range, and returns when they are on the disk.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub async fn append(&self, key: RangeKey, rejects: Vec<Reject>) -> Result<(), JsonLinesError> {
        let this = self.clone();
        blocking(move || this.lines.write(rejects.iter().map(|reject| this.line(key, reject)))).await
    }

    fn line<'a>(&'a self, range: RangeKey, Reject { batch, reason }: &'a Reject) -> Line<'a> {
        let RejectTable { source: table, target, key: columns } = self.tables.get(&range.table).unwrap_or(&UNKNOWN);
        let (rows, row) = (batch.rows(), batch.first_row());
        let count = if batch.is_statics() { rows.partition_key() } else { columns.len() };
        // A partition of only statics has a null for its clustering key.
        let cells: Vec<_> =
            columns.iter().zip(rows.key(row)).take(count).filter_map(|(column, cell)| Some((column, cell?))).collect();
        let named = cells.iter().map(|((name, cql_type), cell)| (name.clone(), literal(cql_type, cell).into()));
        Line {
            table,
            target,
            key: named.collect(),
            key_hex: cells.iter().map(|(_, cell)| literal(&BLOB, cell)).collect(),
            token: rows.token(row).0,
            first_token: range.range.first().0,
            last_token: range.range.last().0,
            reason,
        }
    }
}

/// The rejects file of the job in `checkpoint`.
pub fn path(checkpoint: &Path) -> PathBuf {
    beside(checkpoint, "-rejects.jsonl")
}
