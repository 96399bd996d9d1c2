//! The checkpoint: one job in one SQLite file. The only code that knows SQLite; `migrations.sql` is its DDL.
//!
//! [`Checkpoint`] is the open file of the one live process, [`committer`] the task that commits what a copy or a verification
//! reports, [`guard`] its question whether that may still be done, [`status`] a look from outside that changes nothing.

mod beside;
pub mod committer;
pub mod control;
mod create;
mod error;
mod files;
mod fold;
mod found;
pub mod guard;
mod levels;
mod lock;
mod open;
pub mod options;
mod ranges;
pub mod status;
mod tables;
mod verification;

#[cfg(test)]
pub(crate) mod stored;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod verification_tests;

pub use beside::{Beside, Hold, beside, hold, note_marker_inferred};
pub use committer::{Change, Committer, Ledger};
pub use create::{Existing, Reserved, create, reserve};
pub use error::{CheckpointError, JobDifference};
pub use guard::Guard;
pub use open::open;
pub use tables::look;

use fold::Update;
use found::Stored;
use ranges::Ranges;

use crate::clock::unix_ms;
use crate::job::{
    CopiedAt, Counts, Found, FoundTable, JobTable, Levels, RunCommand, RunOutcome, Tally, Verdict, Work, share,
};
use crate::ring::TokenRange;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};
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
        created_at(&self.connection, &self.path)
    }

    /// Checks that the ranges of each table tile the ring, and lists those that aren't done in the order of their claims.
    /// Those of tables that are broken are no work.
    ///
    /// # Errors
    /// [`CheckpointError::Tiling`] where tokens are missing or double.
    pub fn work(&self) -> Result<(Found, Vec<Work>), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "read the runs", error);
        let runs = "SELECT count(*) FROM run WHERE command = 'copy'";
        let runs = self.connection.query_row(runs, (), |row| row.get(0)).map_err(fail)?;
        let tables = self.tables()?;
        let (sums, work) = found::left::<Tally>(&self.connection, &self.path, &tables, &admitted(&tables))?;
        let mut found = Found { runs, ..Found::default() };
        for (sum, table) in sums.into_iter().zip(tables) {
            found.ranges += sum.ranges;
            found.ranges_done += sum.done;
            found.ranges_failed += sum.failed;
            found.tally += sum.counts;
            found.tables.push(FoundTable {
                fraction: sum.fraction(),
                source: table.source,
                target: table.target,
                ranges: sum.ranges,
                weight: sum.weight,
                ranges_done: sum.done,
                rows_written: sum.counts.rows_written,
                broken: table.broken,
            });
        }
        found.fraction = share(found.tables.iter().map(|table| (table.fraction, table.weight)));
        Ok((found, work))
    }

    /// The present ranges of each table that was admitted, by its number, in the order in which a copy claims them.
    ///
    /// # Errors
    /// [`CheckpointError::Tiling`] where tokens are missing or double.
    pub fn copy_ranges(&self) -> Result<BTreeMap<usize, Vec<TokenRange>>, CheckpointError> {
        let admitted = admitted(&self.tables()?);
        let mut ranges: BTreeMap<usize, Vec<(i64, TokenRange)>> = BTreeMap::new();
        found::each_tiled(&self.connection, &self.path, &admitted, |stored: Stored<Tally>| {
            ranges.entry(stored.table).or_default().push((stored.position, stored.range));
        })?;
        let in_order = |mut ranges: Vec<(i64, TokenRange)>| {
            ranges.sort_by_key(|(position, _)| *position);
            ranges.into_iter().map(|(_, range)| range).collect()
        };
        Ok(ranges.into_iter().map(|(table, ranges)| (table, in_order(ranges))).collect())
    }

    /// Whether any row of the target has a row marker that follows from its cells: one that the copy or a repair wrote.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn any_marker_inferred(&self) -> Result<bool, CheckpointError> {
        status::any_marker_inferred(&self.connection, &self.path)
    }

    /// The rows that were copied or repaired so far, by their consistency levels.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn copied_at(&self) -> Result<Vec<CopiedAt>, CheckpointError> {
        levels::copied_at(&self.connection)
            .map_err(|error| CheckpointError::sqlite(&self.path, "read the consistency levels", error))
    }

    /// Notes that a run begins, at these consistency levels. Ranges that it works on, and that had failed, or were claimed by a run
    /// that was killed, are pending again.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn begin_run(&mut self, command: RunCommand, levels: Levels) -> Result<(), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "begin a run", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        let begun = match command {
            RunCommand::Copy => ranges::begin_run::<Tally>(&transaction),
            RunCommand::Verify => ranges::begin_run::<Verdict>(&transaction),
        };
        begun
            .and_then(|()| {
                let (host, version) = (lock::host_name(), env!("CARGO_PKG_VERSION"));
                let (source, target) = (levels.source.to_string(), levels.target.to_string());
                transaction.execute(
                    "INSERT INTO run (command, started_at, process_id, host, version, source_consistency, target_consistency)
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                    params![command.word(), unix_ms(), std::process::id(), host, version, source, target],
                )
            })
            .map_err(fail)?;
        let run = transaction.last_insert_rowid();
        transaction.commit().map_err(fail)?;
        self.run = Some(run);
        Ok(())
    }

    /// Notes how the run ended, for which `reason` where neither ranges nor tables tell it, and which tables, by their number, turned
    /// out to be broken at its end.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn end_run(
        &mut self,
        outcome: RunOutcome,
        reason: Option<&str>,
        retries: u64,
        broken: &[(usize, String)],
    ) -> Result<(), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "end the run", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        transaction
            .execute(
                "UPDATE run SET ended_at = ?, outcome = ?, reason = ?, retries = ? WHERE id = ?",
                params![unix_ms(), outcome.word(), reason, retries, self.run],
            )
            .and_then(|_| {
                broken.iter().try_for_each(|(table, reason)| tables::store_broken(&transaction, *table, reason))
            })
            .and_then(|()| transaction.commit())
            .map_err(fail)?;
        self.still_there()
    }

    /// Commits `updates`, all or none; gives what each of them takes back of what its range had counted.
    ///
    /// # Errors
    /// Where the commit failed. Whether it took effect is then unknown: the caller must stop, and trust only what the file
    /// says when it is opened again.
    fn commit<C: Counts>(&mut self, updates: &[Update<C>]) -> Result<Vec<Option<C>>, CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "commit progress", error);
        let now = unix_ms();
        let transaction = self.connection.transaction().map_err(fail)?;
        let ranges = Ranges::<C>::of(&transaction);
        let (mut rows_written, mut taken_back) = (0, Vec::new());
        for update in updates {
            let mut before = None;
            let (key, stored) = match update {
                Update::Range(update) => {
                    rows_written += update.tally.rows_written();
                    if update.claims > 0 {
                        before = ranges.take_back(update.key).map_err(fail)?;
                    }
                    (update.key, ranges.update(update, now))
                }
                Update::Split { key, into } => (*key, ranges.split(*key, into)),
                Update::Beyond { key, counts } => {
                    rows_written += counts.rows_written();
                    (*key, ranges.beyond(*key, counts))
                }
                Update::Anew { key, kept } => {
                    rows_written += kept.rows_written();
                    before = ranges.begin_anew(*key, kept).map_err(fail)?;
                    (*key, Ok(usize::from(before.is_some())))
                }
            };
            taken_back.push(before);
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

/// The tables that have ranges.
fn admitted(tables: &[JobTable]) -> BTreeSet<usize> {
    tables.iter().enumerate().filter(|(_, table)| table.admitted.is_some()).map(|(number, _)| number).collect()
}

/// The one value of `name` in the job, for those who look without opening the job.
fn created_at(connection: &Connection, path: &Path) -> Result<Duration, CheckpointError> {
    let text = identity(connection, "created_at");
    let text = text.map_err(|error| CheckpointError::sqlite(path, "read the job", error))?;
    Ok(Duration::from_millis(text.and_then(|ms| ms.parse().ok()).unwrap_or_default()))
}

fn identity(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM job WHERE name = ?", [name], |row| row.get(0)).optional()
}
