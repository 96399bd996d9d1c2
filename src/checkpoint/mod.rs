//! The checkpoint: one job in one SQLite file. The only code that knows SQLite; `migrations.sql` is its DDL.
//!
//! [`Checkpoint`] is the open file of the one live process, [`committer`] the task that commits what a copy reports,
//! [`status`] a look from outside that changes nothing.

pub mod committer;
mod create;
mod error;
mod files;
mod lock;
mod open;
pub mod options;
pub mod status;

#[cfg(test)]
mod tests;

pub use committer::{Change, Committer, Ledger};
pub use create::{Existing, Reserved, create, reserve};
pub use error::{CheckpointError, JobDifference};
pub use open::open;

use committer::{RangeState, RangeUpdate};

use crate::clock::unix_ms;
use crate::job::{Found, Job, JobTable, RangeKey, RunOutcome, Tally, Work};
use crate::ring::{TilingCheck, Token, TokenRange};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};

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

    /// Makes sure that this is the checkpoint of `job`.
    ///
    /// # Errors
    /// [`CheckpointError::OtherJob`] with each thing that differs.
    pub fn expect_job(&self, job: &Job) -> Result<(), CheckpointError> {
        let found = self.job()?;
        let mut differences = Vec::new();
        let mut differ = |what: &str, checkpoint: &str, command: &str| {
            if checkpoint != command {
                differences.push(JobDifference::new(what, checkpoint, command));
            }
        };
        for (name, command) in &job.identity {
            let stored = found.identity.iter().find(|(stored, _)| stored == name).map(|(_, value)| value.as_str());
            differ(name, stored.unwrap_or_default(), command);
        }
        let names = |tables: &[JobTable]| {
            tables.iter().map(|table| format!("{}={}", table.source, table.target)).collect::<Vec<_>>().join(" ")
        };
        differ("table", &names(&found.tables), &names(&job.tables));
        for table in &job.tables {
            if let Some(stored) = found.tables.iter().find(|stored| stored.source == table.source) {
                differ(
                    &format!("id of {} at the source", table.source),
                    &stored.source_id.to_string(),
                    &table.source_id.to_string(),
                );
                differ(
                    &format!("id of {} at the target", table.target),
                    &stored.target_id.to_string(),
                    &table.target_id.to_string(),
                );
                differ(&format!("columns of {}", table.source), &stored.columns, &table.columns);
            }
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(CheckpointError::OtherJob { path: self.path.clone(), differences })
        }
    }

    /// The job that the file was made for.
    fn job(&self) -> Result<StoredJob, CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "read the job", error);
        let mut statement = self.connection.prepare("SELECT name, value FROM job").map_err(fail)?;
        let identity = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).map_err(fail)?;
        let identity = identity.collect::<Result<_, _>>().map_err(fail)?;
        Ok(StoredJob { identity, tables: status::tables(&self.connection).map_err(fail)? })
    }

    /// Checks that the ranges of each table tile the ring, and lists those that aren't done in the order of their claims.
    ///
    /// # Errors
    /// [`CheckpointError::Tiling`] where tokens are missing or double.
    pub fn work(&self) -> Result<(Found, Vec<Work>), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "read the ranges", error);
        let runs = self.connection.query_row("SELECT count(*) FROM run", (), |row| row.get(0)).map_err(fail)?;
        let tables = status::tables(&self.connection).map_err(fail)?.len();
        let mut found = Found { runs, ..Found::default() };
        let mut work: Vec<(i64, Work)> = Vec::new();
        let mut checks: Vec<TilingCheck> = (0..tables).map(|_| TilingCheck::default()).collect();
        let mut statement = self
            .connection
            .prepare(
                "SELECT table_id, first_token, last_token, position, state = 'done', cursor, rows_read, rows_written,
                        rows_expired, bytes_read, state = 'failed', rows_key_only FROM token_range ORDER BY table_id, first_token",
            )
            .map_err(fail)?;
        let mut rows = statement.query(()).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let table: usize = row.get::<_, i64>(0).map_err(fail)?.try_into().unwrap_or(usize::MAX);
            let (first, last) = (Token(row.get(1).map_err(fail)?), Token(row.get(2).map_err(fail)?));
            let tiling = |error| CheckpointError::Tiling { path: self.path.clone(), table, error };
            let (Some(range), Some(check)) = (TokenRange::new(first, last), checks.get_mut(table)) else {
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
            found.ranges_failed += u64::from(row.get::<_, bool>(10).map_err(fail)?);
            found.fraction += range.fraction() - range.after(cursor).map_or(0.0, TokenRange::fraction);
            found.tally += Tally {
                rows_read: row.get(6).map_err(fail)?,
                rows_written: row.get(7).map_err(fail)?,
                rows_expired: row.get(8).map_err(fail)?,
                bytes_read: row.get(9).map_err(fail)?,
                rows_key_only: row.get(11).map_err(fail)?,
            };
            if !done {
                work.push((row.get(3).map_err(fail)?, Work { key: RangeKey { table, range }, cursor }));
            }
        }
        for (table, check) in checks.into_iter().enumerate() {
            check.finish().map_err(|error| CheckpointError::Tiling { path: self.path.clone(), table, error })?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of tables")]
        let tables = tables.max(1) as f64;
        found.fraction = if found.ranges_done == found.ranges { 1.0 } else { found.fraction / tables };
        work.sort_unstable_by_key(|&(position, work)| (position, work.key.table));
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

    /// Notes how the run ended.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn end_run(&mut self, outcome: RunOutcome, retries: u64) -> Result<(), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "end the run", error);
        self.connection
            .execute(
                "UPDATE run SET ended_at = ?, outcome = ?, retries = ? WHERE id = ?",
                params![unix_ms(), outcome.word(), retries, self.run],
            )
            .map_err(fail)?;
        self.still_there()
    }

    /// Commits `updates`, all or none.
    ///
    /// # Errors
    /// Where the commit failed. Whether it took effect is then unknown: the caller must stop, and trust only what the file
    /// says when it is opened again.
    fn commit(&mut self, updates: &[RangeUpdate]) -> Result<(), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "commit progress", error);
        let now = unix_ms();
        let transaction = self.connection.transaction().map_err(fail)?;
        let mut rows_written = 0;
        for update in updates {
            rows_written += update.tally.rows_written;
            if store(&transaction, update, now).map_err(fail)? != 1 {
                let what = format!("range {} is gone", update.key.range);
                return Err(CheckpointError::Corrupt { path: self.path.clone(), what });
            }
        }
        transaction
            .prepare_cached("UPDATE run SET rows_written = rows_written + ? WHERE id = ?")
            .and_then(|mut statement| statement.execute(params![rows_written, self.run]))
            .map_err(fail)?;
        transaction.commit().map_err(fail)?;
        self.still_there()
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

/// Updates one range; answers how many there are of it, which is one.
fn store(transaction: &rusqlite::Transaction<'_>, update: &RangeUpdate, now: i64) -> rusqlite::Result<usize> {
    let (state, ended_at, error) = match &update.state {
        RangeState::Claimed => ("claimed", None, None),
        RangeState::Done => ("done", Some(now), None),
        RangeState::Failed(error) => ("failed", Some(now), Some(error)),
    };
    let tally = update.tally;
    transaction
        .prepare_cached(
            "UPDATE token_range
             SET state = ?3, cursor = coalesce(?4, cursor), attempts = attempts + ?5,
                 claimed_at = CASE WHEN ?5 > 0 THEN ?6 ELSE claimed_at END, ended_at = ?7, error = ?8,
                 rows_read = rows_read + ?9, rows_written = rows_written + ?10, rows_expired = rows_expired + ?11,
                 rows_key_only = rows_key_only + ?12, bytes_read = bytes_read + ?13
             WHERE table_id = ?1 AND first_token = ?2",
        )?
        .execute(params![
            update.key.table,
            update.key.range.first().0,
            state,
            update.cursor.map(|cursor| cursor.0),
            update.claims,
            now,
            ended_at,
            error,
            tally.rows_read,
            tally.rows_written,
            tally.rows_expired,
            tally.rows_key_only,
            tally.bytes_read,
        ])
}

/// A job as the file has it.
struct StoredJob {
    identity: Vec<(String, String)>,
    tables: Vec<JobTable>,
}

/// The one value of `name` in the job, for those who look without opening the job.
fn identity(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM job WHERE name = ?", [name], |row| row.get(0)).optional()
}
