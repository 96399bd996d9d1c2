//! Making the file of a new job.

use super::error::CheckpointError;
use super::files::{self, sibling};
use super::lock::Lock;
use super::options::{self, ManagedOption};
use super::{Checkpoint, open, tables};
use crate::clock::unix_ms;
use crate::job::Job;
use crate::paths::folder;
use crate::ring::TokenRange;
use rusqlite::{Connection, params};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What to do about a checkpoint that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    Keep,
    /// Move it aside, once the new one is ready to take its place.
    SetAside,
}

/// A name for a checkpoint that nobody else can take meanwhile.
#[derive(Debug)]
pub struct Reserved {
    pub(super) path: PathBuf,
    lock: Lock,
    /// What the new job has to set back from its beginning.
    pub(super) options: Vec<ManagedOption>,
}

/// Reserves `path` for a new checkpoint, before anything that takes long is done for it.
///
/// # Errors
/// Where another process works on it, or the folder can't be written.
pub fn reserve(path: &Path) -> Result<Reserved, CheckpointError> {
    let path = files::real(path);
    files::expect_local(&path)?;
    let lock = Lock::take(&path)?;
    Ok(Reserved { path, lock, options: Vec::new() })
}

/// Makes the checkpoint of `job`, with `ranges` for each of its tables in the order in which they are to be claimed (none for
/// a table that isn't admitted); says, too, where what was there before is now, if anything was.
///
/// The file appears under its name when it is complete: a crash meanwhile leaves nothing that could be taken for a job.
///
/// # Errors
/// Where there is a file that is to be kept, or the folder can't be written.
pub fn create(
    reserved: Reserved,
    job: &Job,
    ranges: &[Vec<TokenRange>],
    existing: Existing,
) -> Result<(Checkpoint, Option<PathBuf>), CheckpointError> {
    let Reserved { path, lock, options } = reserved;
    let path = &path;
    let cant = |error| CheckpointError::io(path, "create the checkpoint", error);
    if existing == Existing::Keep && path.exists() {
        return Err(cant(std::io::ErrorKind::AlreadyExists.into()));
    }
    let placed = draft(path, job, ranges, &options).and_then(|draft| {
        let aside = files::set_aside(path)?;
        std::fs::rename(&draft, path).map_err(cant)?;
        Ok(aside)
    });
    let aside = placed.inspect_err(|_| {
        // On a full disk, this is what fills it. What can't be removed now is before the next attempt.
        let _ = discard_draft(path);
    })?;
    let folder = folder(path);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| CheckpointError::io(folder, "sync the folder", error))?;

    let checkpoint = open::open_locked(path, lock)?;
    // Where anything at all has happened to it, it isn't what was just made.
    let untouched =
        "SELECT NOT EXISTS (SELECT 1 FROM run) AND NOT EXISTS (SELECT 1 FROM token_range WHERE state <> 'pending')";
    match checkpoint.connection.query_row(untouched, (), |row| row.get(0)) {
        Ok(true) => Ok((checkpoint, aside)),
        Ok(false) => {
            Err(CheckpointError::Corrupt { path: path.clone(), what: "it is new, yet work is done in it".to_owned() })
        }
        Err(error) => Err(CheckpointError::sqlite(path, "look at the new job", error)),
    }
}

/// The name of a file that isn't complete, or hasn't its name yet.
pub(super) fn draft_path(path: &Path) -> PathBuf {
    sibling(path, "-new")
}

/// Removes what is left of a draft.
fn discard_draft(path: &Path) -> Result<(), CheckpointError> {
    let draft = draft_path(path);
    for leftover in [draft.clone(), sibling(&draft, "-journal")] {
        match std::fs::remove_file(&leftover) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(CheckpointError::io(&leftover, "remove", error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes the whole file under another name.
fn draft(
    path: &Path,
    job: &Job,
    ranges: &[Vec<TokenRange>],
    options: &[ManagedOption],
) -> Result<PathBuf, CheckpointError> {
    discard_draft(path)?;
    let draft = draft_path(path);
    let private = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    private.map_err(|error| CheckpointError::io(path, "create the checkpoint", error))?;
    let fail = |error| CheckpointError::sqlite(path, "store the plan", error);
    let mut connection = open::connect(&draft, path)?;
    connection.pragma_update(None, "application_id", open::APPLICATION_ID).map_err(fail)?;
    open::migrate(&mut connection, path)?;
    store(&mut connection, job, ranges, options).map_err(fail)?;
    connection.close().map_err(|(_, error)| fail(error))?;
    Ok(draft)
}

fn store(
    connection: &mut Connection,
    job: &Job,
    ranges: &[Vec<TokenRange>],
    options: &[ManagedOption],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute("INSERT INTO job (name, value) VALUES ('created_at', ?)", [unix_ms().to_string()])?;
    for (name, value) in &job.identity {
        transaction.execute("INSERT INTO job (name, value) VALUES (?, ?)", params![name, value])?;
    }
    tables::store(&transaction, job.tables.iter().zip(ranges).enumerate())?;
    options.iter().try_for_each(|option| options::store(&transaction, option))?;
    transaction.commit()
}
