//! The checkpoint: one job in one SQLite file. The only code that knows SQLite; `migrations.sql` is its DDL.
//!
//! [`Checkpoint`] is the open file of the one live process, [`committer`] the task that commits what a copy reports,
//! [`guard`] its question whether that may still be done, [`status`] a look from outside that changes nothing.

pub mod committer;
pub mod control;
mod create;
mod error;
mod files;
mod fold;
pub mod guard;
mod lock;
mod open;
pub mod options;
mod ranges;
pub mod status;
mod tables;

#[cfg(test)]
pub(crate) mod stored;
#[cfg(test)]
mod tests;

pub use committer::{Change, Committer, Ledger};
pub use create::{Existing, Reserved, create, reserve};
pub use error::{CheckpointError, JobDifference};
pub use guard::Guard;
pub use open::open;
pub use tables::look;

use fold::Update;
use ranges::{Ranges, counts};

use crate::clock::unix_ms;
use crate::job::{Counts, Cursor, Found, FoundTable, JobTable, RangeKey, RunOutcome, Tally, Work, share};
use crate::ring::{TilingCheck, Token, TokenRange};
use crate::row::RowKey;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The checkpoint of the one process that works on the job.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// Of the file at `path` when it was opened.
    identity: Option<(u64, u64)>,
    connection: Connection,
    run: Option<i64>,
    /// Last, so that the file is closed before another process may have it.
    _lock: lock::Lock,
}

impl Checkpoint {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the job was made, since the Unix epoch.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn created_at(&self) -> Result<Duration, CheckpointError> {
        let text = identity(&self.connection, "created_at");
        let text = text.map_err(|error| CheckpointError::sqlite(&self.path, "read the job", error))?;
        Ok(Duration::from_millis(text.and_then(|ms| ms.parse().ok()).unwrap_or_default()))
    }

    /// Checks that the ranges of each table tile the ring, and lists those that aren't done in the order of their claims.
    /// Those of tables that are broken are no work.
    ///
    /// # Errors
    /// [`CheckpointError::Tiling`] where tokens are missing or double.
    pub fn work(&self) -> Result<(Found, Vec<Work>), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "read the ranges", error);
        let runs = self.connection.query_row("SELECT count(*) FROM run", (), |row| row.get(0)).map_err(fail)?;
        let tables = tables::read(&self.connection).map_err(fail)?;
        let mut found = Found { runs, ..Found::default() };
        let mut work: Vec<(i64, Work)> = Vec::new();
        let mut checks: Vec<TilingCheck> = tables.iter().map(|_| TilingCheck::default()).collect();
        let admitted: Vec<bool> = tables.iter().map(|table| table.admitted.is_some()).collect();
        found.tables = tables.into_iter().map(FoundTable::new).collect();
        let mut statement = self
            .connection
            .prepare(&format!(
                "SELECT table_id, first_token, last_token, position, state = 'done', cursor, state = 'failed',
                     partition_key, clustering_key, {}
                     FROM token_range ORDER BY table_id, first_token",
                Tally::NAMES.join(", ")
            ))
            .map_err(fail)?;
        let mut rows = statement.query(()).map_err(fail)?;
        let mut before = None;
        while let Some(row) = rows.next().map_err(fail)? {
            let table: usize = row.get::<_, i64>(0).map_err(fail)?.try_into().unwrap_or(usize::MAX);
            let (first, last) = (Token(row.get(1).map_err(fail)?), Token(row.get(2).map_err(fail)?));
            let tiling = |error| CheckpointError::Tiling { path: self.path.clone(), table, error };
            let (Some(range), Some(check), Some(of_table)) =
                (TokenRange::new(first, last), checks.get_mut(table), found.tables.get_mut(table))
            else {
                return Err(CheckpointError::Corrupt {
                    path: self.path.clone(),
                    what: format!("range {first}:{last} of table {table}"),
                });
            };
            check.push(range).map_err(tiling)?;
            let cursor = row.get::<_, Option<i64>>(5).map_err(fail)?.map(Token);
            let done: bool = row.get(4).map_err(fail)?;
            found.ranges += 1;
            found.ranges_done += u64::from(done);
            found.ranges_failed += u64::from(row.get::<_, bool>(6).map_err(fail)?);
            of_table.ranges += 1;
            let position: i64 = row.get(3).map_err(fail)?;
            // Pieces of a range stand beside each other and have its position.
            of_table.weight += u64::from(before != Some((table, position)));
            before = Some((table, position));
            of_table.ranges_done += u64::from(done);
            of_table.fraction += range.fraction() - range.after(cursor).map_or(0.0, TokenRange::fraction);
            let tally: Tally = counts(row, 9).map_err(fail)?;
            of_table.rows_written += tally.rows_written;
            found.tally += tally;
            if !done && of_table.broken.is_none() {
                let last_row = match (row.get::<_, Option<Vec<u8>>>(7), row.get::<_, Option<Vec<u8>>>(8)) {
                    (Ok(partition), Ok(clustering)) => partition.zip(clustering),
                    (Err(error), _) | (_, Err(error)) => return Err(fail(error)),
                };
                let last_row = last_row.map(|(partition, clustering)| RowKey::new(&partition, &clustering));
                let cursor = Cursor { token: cursor, row: last_row };
                work.push((position, Work { key: RangeKey { table, range }, cursor }));
            }
        }
        for (table, (check, _)) in checks.into_iter().zip(admitted).enumerate().filter(|(_, (_, admitted))| *admitted) {
            check.finish().map_err(|error| CheckpointError::Tiling { path: self.path.clone(), table, error })?;
        }
        for table in found.tables.iter_mut().filter(|table| table.ranges > 0 && table.ranges_done == table.ranges) {
            table.fraction = 1.0; // Not less by what a sum of fractions loses.
        }
        found.fraction = share(found.tables.iter().map(|table| (table.fraction, table.weight)));
        // Pieces of a range have its position, and keep their order.
        work.sort_by_key(|(position, work)| (*position, work.key.table));
        Ok((found, work.into_iter().map(|(_, work)| work).collect()))
    }

    /// Notes that a run begins. Ranges that had failed, or were claimed by a run that was killed, are pending again.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn begin_run(&mut self) -> Result<(), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "begin a run", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        transaction
            .execute("UPDATE token_range SET state = 'pending' WHERE state IN ('failed', 'claimed')", ())
            .and_then(|_| {
                transaction.execute(
                    "INSERT INTO run (started_at, process_id, host, version) VALUES (?, ?, ?, ?)",
                    params![unix_ms(), std::process::id(), lock::host_name(), env!("CARGO_PKG_VERSION")],
                )
            })
            .map_err(fail)?;
        let run = transaction.last_insert_rowid();
        transaction.commit().map_err(fail)?;
        self.run = Some(run);
        Ok(())
    }

    /// Notes how the run ended, and which tables, by their number, turned out to be broken at its end.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn end_run(
        &mut self,
        outcome: RunOutcome,
        retries: u64,
        broken: &[(usize, String)],
    ) -> Result<(), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "end the run", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        transaction
            .execute(
                "UPDATE run SET ended_at = ?, outcome = ?, retries = ? WHERE id = ?",
                params![unix_ms(), outcome.word(), retries, self.run],
            )
            .and_then(|_| {
                broken.iter().try_for_each(|(table, reason)| tables::store_broken(&transaction, *table, reason))
            })
            .and_then(|()| transaction.commit())
            .map_err(fail)?;
        self.still_there()
    }

    /// Commits `updates`, all or none; gives what each range that is begun anew had counted, in their order.
    ///
    /// # Errors
    /// Where the commit failed. Whether it took effect is then unknown: the caller must stop, and trust only what the file
    /// says when it is opened again.
    fn commit<C: Counts>(&mut self, updates: &[Update<C>]) -> Result<Vec<C>, CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "commit progress", error);
        let now = unix_ms();
        let transaction = self.connection.transaction().map_err(fail)?;
        let ranges = Ranges::<C>::of(&transaction);
        let (mut rows_written, mut taken_back) = (0, Vec::new());
        for update in updates {
            let (key, stored) = match update {
                Update::Range(update) => {
                    rows_written += update.tally.rows_written();
                    (update.key, ranges.update(update, now))
                }
                Update::Split { key, into } => (*key, ranges.split(*key, into)),
                Update::Anew { key, kept } => {
                    rows_written += kept.rows_written();
                    let begun = ranges.begin_anew(*key, kept);
                    (*key, begun.map(|before| before.map(|before| taken_back.push(before)).map_or(0, |()| 1)))
                }
            };
            if stored.map_err(fail)? != 1 {
                let what = format!("range {} is gone", key.range);
                return Err(CheckpointError::Corrupt { path: self.path.clone(), what });
            }
        }
        transaction
            .prepare_cached("UPDATE run SET rows_written = rows_written + ? WHERE id = ?")
            .and_then(|mut statement| statement.execute(params![rows_written, self.run]))
            .map_err(fail)?;
        transaction.commit().map_err(fail)?;
        self.still_there()?;
        Ok(taken_back)
    }

    /// A file that was deleted or replaced takes commits as before, for nobody to find.
    fn still_there(&self) -> Result<(), CheckpointError> {
        if files::identity(&self.path) == self.identity {
            Ok(())
        } else {
            Err(CheckpointError::Gone { path: self.path.clone() })
        }
    }

    /// Closes the file, so that all of it is in one piece and no side file is left.
    ///
    /// # Errors
    /// Where SQLite can't.
    pub fn close(self) -> Result<(), CheckpointError> {
        let Checkpoint { path, connection, _lock, .. } = self;
        connection.close().map_err(|(_, error)| CheckpointError::sqlite(&path, "close the checkpoint", error))
    }
}

impl FoundTable {
    fn new(table: JobTable) -> FoundTable {
        let JobTable { source, target, broken, .. } = table;
        FoundTable { source, target, broken, ranges: 0, weight: 0, ranges_done: 0, fraction: 0.0, rows_written: 0 }
    }
}

/// The one value of `name` in the job, for those who look without opening the job.
fn identity(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM job WHERE name = ?", [name], |row| row.get(0)).optional()
}
