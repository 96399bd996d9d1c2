//! Options of target tables that the job has set for its duration.

use super::create::draft_path;
use super::error::CheckpointError;
use super::{Checkpoint, Reserved, open};
use crate::schema::TableName;
use rusqlite::{Connection, params};
use std::path::Path;

/// An option that was changed, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedOption {
    /// The table's number in the job.
    pub table: usize,
    /// The option's name.
    pub name: String,
    /// The value to go back to, as a CQL literal.
    pub old: String,
    /// The value for the copy, as a CQL literal.
    pub new: String,
}

/// What became of an option that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionEnd {
    /// It has its old value again.
    Restored,
    /// Somebody else has set another: it is theirs.
    Left,
}

impl Checkpoint {
    /// The options that the job still has to set back, each with whether every range of its table is done.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn managed_options(&self) -> Result<Vec<(ManagedOption, bool)>, CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "read the managed options", error);
        managed(&self.connection).map_err(fail)
    }

    /// Whether the job has set back, or given up, an option of this table before.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn is_option_settled(&self, table: usize, name: &str) -> Result<bool, CheckpointError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM managed_option WHERE table_id = ? AND name = ? AND state <> 'managed')";
        let settled = self.connection.query_row(sql, params![table, name], |row| row.get(0));
        settled.map_err(|error| CheckpointError::sqlite(&self.path, "read the managed options", error))
    }

    /// Commits what an option's value was, before it is changed.
    ///
    /// # Errors
    /// Where the file can't be written: then nothing may be changed.
    pub fn manage_option(&mut self, option: &ManagedOption) -> Result<(), CheckpointError> {
        let stored = store(&self.connection, option);
        stored.map_err(|error| CheckpointError::sqlite(&self.path, "store a managed option", error))?;
        self.still_there()
    }

    /// Forgets an option that could not be changed after all.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn forget_option(&mut self, option: &ManagedOption) -> Result<(), CheckpointError> {
        self.write_option(
            "DELETE FROM managed_option WHERE table_id = ? AND name = ?",
            params![option.table, option.name],
        )
    }

    /// Commits what became of an option.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn settle_option(&mut self, option: &ManagedOption, end: OptionEnd) -> Result<(), CheckpointError> {
        let state = match end {
            OptionEnd::Restored => "restored",
            OptionEnd::Left => "left",
        };
        let sql = "UPDATE managed_option SET state = ?3 WHERE table_id = ?1 AND name = ?2";
        self.write_option(sql, params![option.table, option.name, state])
    }

    fn write_option(&mut self, sql: &str, values: impl rusqlite::Params) -> Result<(), CheckpointError> {
        let written = self.connection.execute(sql, values);
        written.map_err(|error| CheckpointError::sqlite(&self.path, "store a managed option", error))?;
        self.still_there()
    }
}

/// An option that an earlier job still has to set back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The name of the cluster that it was set at.
    pub cluster: String,
    /// The table there.
    pub table: TableName,
    /// The option, by that job's number of the table.
    pub option: ManagedOption,
}

impl Reserved {
    /// What an earlier job, whose file is to be set aside, still has to set back; nothing where there is no such job.
    ///
    /// # Errors
    /// Where there is one, but it can't be read.
    pub fn owed(&self) -> Result<Vec<Owed>, CheckpointError> {
        match owed_by(&self.path) {
            // Killed when the old file was moved aside and the new one, complete, hadn't its name yet.
            Err(CheckpointError::Missing { .. }) => Ok(owed_by(&draft_path(&self.path)).unwrap_or_default()),
            Err(CheckpointError::Foreign { .. }) => Ok(Vec::new()),
            owed => owed,
        }
    }

    /// Has the new job set these back, as if it had changed them: by its own numbers of the tables.
    pub fn take_over(&mut self, options: Vec<ManagedOption>) {
        self.options = options;
    }
}

/// [`Checkpoint::managed_options`].
pub(super) fn managed(connection: &Connection) -> rusqlite::Result<Vec<(ManagedOption, bool)>> {
    let sql = "SELECT table_id, name, old_value, new_value,
                      NOT EXISTS (SELECT 1 FROM token_range r WHERE r.table_id = o.table_id AND r.state <> 'done')
               FROM managed_option o WHERE state = 'managed' ORDER BY table_id, name";
    let mut statement = connection.prepare(sql)?;
    let options = statement.query_map((), |row| {
        let (table, name, old, new) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok((ManagedOption { table, name, old, new }, row.get(4)?))
    })?;
    options.collect()
}

fn owed_by(path: &Path) -> Result<Vec<Owed>, CheckpointError> {
    let connection = open::open_read_only(path)?;
    open::check_kind(&connection, path)?;
    read_owed(&connection).map_err(|error| CheckpointError::sqlite(path, "read the managed options", error))
}

fn read_owed(connection: &Connection) -> rusqlite::Result<Vec<Owed>> {
    let sql = "SELECT (SELECT value FROM job WHERE job.name = 'target'), target_keyspace, target_table,
                      table_id, name, old_value, new_value
               FROM managed_option JOIN copied_table ON id = table_id
               WHERE managed_option.state = 'managed' ORDER BY table_id, name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map((), |row| {
        Ok(Owed {
            cluster: row.get(0)?,
            table: TableName { keyspace: row.get(1)?, table: row.get(2)? },
            option: ManagedOption { table: row.get(3)?, name: row.get(4)?, old: row.get(5)?, new: row.get(6)? },
        })
    })?;
    rows.collect()
}

/// Stores what an option's value was.
pub(super) fn store(connection: &Connection, option: &ManagedOption) -> rusqlite::Result<()> {
    let sql = "INSERT INTO managed_option (table_id, name, old_value, new_value, state) VALUES (?, ?, ?, ?, 'managed')";
    connection.execute(sql, params![option.table, option.name, option.old, option.new]).map(drop)
}
