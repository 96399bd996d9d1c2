//! What the job of a checkpoint decides for a command that goes on beside it, whoever works on the job meanwhile.

use super::lock::Lock;
use super::{CheckpointError, control, created_at, files, open, status, tables};
use crate::schema::TableName;
use rusqlite::params;
use std::path::Path;
use std::time::Duration;

/// What there is to know of a job without its checkpoint being ours.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// When the job was made, since the Unix epoch.
    pub created_at: Duration,
    /// [`super::Checkpoint::any_marker_inferred`].
    pub any_marker_inferred: bool,
}

/// Looks at the job in `path`; nothing where there is no such file, and nothing is changed.
///
/// # Errors
/// Where the file is foreign, newer or damaged, or the job isn't that of `identity`, which needn't be all of it.
pub fn beside(path: &Path, identity: &[(&'static str, String)]) -> Result<Option<Beside>, CheckpointError> {
    let path = &files::real(path);
    let connection = match open::open_read_only(path) {
        Err(CheckpointError::Missing { .. }) => return Ok(None),
        connection => connection?,
    };
    open::check_kind(&connection, path)?;
    tables::expect_job(&connection, path, identity)?;
    Ok(Some(Beside {
        created_at: created_at(&connection, path)?,
        any_marker_inferred: status::any_marker_inferred(&connection, path)?,
    }))
}

/// As long as this lives, nobody works on a job.
#[derive(Debug)]
pub struct Hold {
    _lock: Lock,
}

/// Keeps all others from work on the job in `path`, whether there is such a file or not; it isn't touched.
///
/// # Errors
/// [`CheckpointError::InUse`] where somebody works on it, or where no lock can be made.
pub fn hold(path: &Path) -> Result<Hold, CheckpointError> {
    Ok(Hold { _lock: Lock::take(&files::real(path))? })
}

/// Notes in the job in `path` that rows of these tables of the source were written with a row marker that follows from their cells.
/// Where the file is gone by now there is nothing that would have to know it.
///
/// # Errors
/// As [`beside`], or where the file can't be written.
pub fn note_marker_inferred(
    path: &Path,
    identity: &[(&'static str, String)],
    sources: &[TableName],
) -> Result<(), CheckpointError> {
    let path = &files::real(path);
    let what = "note that row markers were inferred";
    let noted = control::write_beside(path, what, |connection| {
        tables::expect_job(connection, path, identity)?;
        sources.iter().try_for_each(|TableName { keyspace, table }| {
            let update = "UPDATE copied_table SET marker_inferred = 1 WHERE source_keyspace = ? AND source_table = ?";
            connection
                .execute(update, params![keyspace, table])
                .map(drop)
                .map_err(|error| CheckpointError::sqlite(path, what, error))
        })
    });
    match noted {
        Err(CheckpointError::Missing { .. }) => Ok(()),
        noted => noted.map(drop),
    }
}
