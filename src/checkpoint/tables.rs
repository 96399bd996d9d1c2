//! The tables of a job, as the file has them.

use super::error::{CheckpointError, JobDifference};
use super::{Checkpoint, files, identity, open};
use crate::job::{Admitted, JobTable};
use crate::ring::TokenRange;
use crate::schema::TableName;
use rusqlite::{Connection, Row, Transaction, params};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

impl Checkpoint {
    /// Makes sure that this is the checkpoint of the job of that [`crate::job::Job::identity`].
    ///
    /// # Errors
    /// [`CheckpointError::OtherJob`] with each thing that differs.
    pub fn expect_job(&self, identity: &[(&'static str, String)]) -> Result<(), CheckpointError> {
        expect_job(&self.connection, &self.path, identity)
    }

    /// The tables of the job, by their number.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn tables(&self) -> Result<Vec<JobTable>, CheckpointError> {
        read(&self.connection).map_err(|error| CheckpointError::sqlite(&self.path, "read the tables", error))
    }

    /// Notes what this run found of the job's tables, by their number: those that are new, or admitted only now, get their
    /// `ranges`, in the order in which they are to be claimed. All of it or nothing.
    ///
    /// # Errors
    /// Where the file can't be written, or a table that was admitted is another now.
    pub fn settle(&mut self, found: &[JobTable], ranges: &[Vec<TokenRange>]) -> Result<(), CheckpointError> {
        let known = self.tables()?;
        let news = |number: &usize, table: &JobTable| known.get(*number) != Some(table);
        let changed = found.iter().zip(ranges).enumerate().filter(|(number, (table, _))| news(number, table));
        let fail = |error| CheckpointError::sqlite(&self.path, "store the tables", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        store(&transaction, changed).and_then(|()| transaction.commit()).map_err(fail)
    }
}

/// The tables of the job in `path`, by their number; nothing is changed.
///
/// # Errors
/// Where the file is missing, foreign, newer or damaged, or another job's than that of `identity`.
pub fn look(path: &Path, identity: &[(&'static str, String)]) -> Result<Vec<JobTable>, CheckpointError> {
    let path = &files::real(path);
    if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(CheckpointError::io(path, "create the checkpoint", std::io::ErrorKind::NotFound.into()));
    }
    let connection = open::open_read_only(path)?;
    open::check_kind(&connection, path)?;
    expect_job(&connection, path, identity)?;
    read(&connection).map_err(|error| CheckpointError::sqlite(path, "read the tables", error))
}

pub(super) fn expect_job(
    connection: &Connection,
    path: &Path,
    command: &[(&'static str, String)],
) -> Result<(), CheckpointError> {
    let mut differences = Vec::new();
    for (name, command) in command {
        let stored = identity(connection, name)
            .map_err(|error| CheckpointError::sqlite(path, "read the job", error))?
            .unwrap_or_default();
        if stored != *command {
            differences.push(JobDifference::new(name, &stored, command));
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(CheckpointError::OtherJob { path: path.to_owned(), differences }) }
}

/// Stores tables by their number, new or known, and the ranges that come with them.
pub(super) fn store<'a>(
    transaction: &Transaction<'_>,
    tables: impl Iterator<Item = (usize, (&'a JobTable, &'a Vec<TokenRange>))>,
) -> rusqlite::Result<()> {
    let mut upsert = transaction.prepare(
        "INSERT INTO copied_table (id, source_keyspace, source_table, target_keyspace, target_table,
                                   state, reason, source_table_id, target_table_id, columns, target_truncations, source_readded)
         VALUES (?1, ?2, ?3, ?4, ?5, iif(?6 IS NULL, 'ready', 'broken'), ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
             source_table_id = excluded.source_table_id, target_table_id = excluded.target_table_id,
             columns = excluded.columns, target_truncations = excluded.target_truncations,
             source_readded = excluded.source_readded",
    )?;
    let mut insert = transaction
        .prepare("INSERT INTO token_range (table_id, first_token, last_token, position) VALUES (?, ?, ?, ?)")?;
    for (number, (table, ranges)) in tables {
        let admitted = table.admitted.as_ref();
        upsert.execute(params![
            number,
            table.source.keyspace,
            table.source.table,
            table.target.keyspace,
            table.target.table,
            table.broken,
            admitted.map(|admitted| admitted.source_id.to_string()),
            admitted.map(|admitted| admitted.target_id.to_string()),
            admitted.map(|admitted| &admitted.columns),
            admitted.map(|admitted| truncations_text(&admitted.target_truncations)),
            admitted.map(|admitted| &admitted.source_readded),
        ])?;
        let mut by_token: Vec<(usize, &TokenRange)> = ranges.iter().enumerate().collect();
        by_token.sort_unstable_by_key(|(_, range)| range.first()); // In key order, or a million inserts take three times as long.
        for (position, range) in by_token {
            insert.execute(params![number, range.first().0, range.last().0, position])?;
        }
    }
    Ok(())
}

/// Notes why what was copied of a table can't be trusted.
pub(super) fn store_broken(transaction: &Transaction<'_>, number: usize, reason: &str) -> rusqlite::Result<()> {
    let update = "UPDATE copied_table SET state = 'broken', reason = ? WHERE id = ?";
    transaction.execute(update, params![reason, number]).map(drop)
}

/// The tables of the job, by their number.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<JobTable>> {
    let mut statement = connection.prepare(
        "SELECT source_keyspace, source_table, target_keyspace, target_table, reason,
                source_table_id, target_table_id, columns, target_truncations, source_readded FROM copied_table ORDER BY id",
    )?;
    let tables = statement.query_map((), |row| {
        Ok(JobTable {
            source: TableName { keyspace: row.get(0)?, table: row.get(1)? },
            target: TableName { keyspace: row.get(2)?, table: row.get(3)? },
            admitted: admitted(row)?,
            broken: row.get(4)?,
        })
    })?;
    tables.collect()
}

fn admitted(row: &Row<'_>) -> rusqlite::Result<Option<Admitted>> {
    // What isn't understood is no table's id, so nothing passes for that table.
    let uuid = |text: String| Uuid::parse_str(&text).unwrap_or_default();
    let (source, target, columns): (Option<String>, Option<String>, Option<String>) =
        (row.get(5)?, row.get(6)?, row.get(7)?);
    let (truncations, readded): (Option<String>, Option<String>) = (row.get(8)?, row.get(9)?);
    Ok(source.zip(target).zip(columns).map(|((source, target), columns)| Admitted {
        source_id: uuid(source),
        target_id: uuid(target),
        columns,
        source_readded: readded.unwrap_or_default(),
        target_truncations: truncations_from(truncations.as_deref().unwrap_or_default()),
    }))
}

/// A node and its record on each line; nothing behind the node where there is none.
fn truncations_text(truncations: &BTreeMap<Uuid, String>) -> String {
    truncations.iter().map(|(node, record)| format!("{node} {record}")).collect::<Vec<_>>().join("\n")
}

fn truncations_from(text: &str) -> BTreeMap<Uuid, String> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(node, record)| Some((Uuid::parse_str(node).ok()?, record.to_owned()))).collect()
}
