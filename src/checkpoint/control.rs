//! Control of a job while it lives, or before its next run: what an operator sets is kept in the file, and the running process
//! looks at it a few times a second.

use super::error::CheckpointError;
use super::{Checkpoint, files, lock, open};
use crate::clock::unix_ms;
use crate::settings::live::{Assignment, Key, Live};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// The row that says that the job is paused.
const PAUSED: &str = "paused";
/// How often the running process looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What held before.
    pub before: Live,
    /// What holds now.
    pub after: Live,
    /// Whether a process works on the job, and takes it up.
    pub is_running: bool,
}

/// Sets values of the job in `path`, or takes them back.
///
/// # Errors
/// Where the file is missing, foreign, newer or damaged, or can't be written.
pub fn set(path: &Path, assignments: &[Assignment]) -> Result<Changed, CheckpointError> {
    change(path, |transaction| {
        assignments.iter().try_for_each(|Assignment { key, value }| store(transaction, key.name(), value.as_deref()))
    })
}

/// Pauses the job in `path`, or lets it go on.
///
/// # Errors
/// Where the file is missing, foreign, newer or damaged, or can't be written.
pub fn pause(path: &Path, paused: bool) -> Result<Changed, CheckpointError> {
    change(path, |transaction| store(transaction, PAUSED, paused.then_some("yes")))
}

fn change(path: &Path, change: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<Changed, CheckpointError> {
    let path = &files::real(path);
    let ((before, after), is_running) = write_beside(path, "set what is to hold", |connection| {
        let found = read(connection, path);
        change(connection).map_err(|error| CheckpointError::sqlite(path, "set what is to hold", error))?;
        let after = read(connection, path)?;
        // What made no sense before is mended by now.
        Ok((found.unwrap_or_else(|_| after.clone()), after))
    })?;
    Ok(Changed { before, after, is_running })
}

/// Changes the file of a job all at once or not at all, whoever works on it, and tells whether anybody does; `what` is done is for
/// the message of an error.
pub(super) fn write_beside<T>(
    path: &Path,
    what: &'static str,
    change: impl FnOnce(&Connection) -> Result<T, CheckpointError>,
) -> Result<(T, bool), CheckpointError> {
    // Looked at without a write first: a file of somebody else's must stay as it is.
    open::check_kind(&open::open_read_only(path)?, path)?;
    files::expect_sole(path)?;
    let identity = files::identity(path);
    let control = lock::Lock::control(path)?;
    // Let go after the other one. Where nobody works on it, nobody shall begin to, and least of all move it aside, in the middle of this.
    let lock = lock::Lock::work(&control)?;
    let fail = |error| CheckpointError::sqlite(path, what, error);
    let mut connection = open::connect(path, path)?;
    let transaction = connection.transaction().map_err(fail)?;
    let changed = change(&transaction)?;
    transaction.commit().map_err(fail)?;
    connection.close().map_err(|(_, error)| fail(error))?;
    if files::identity(path) != identity {
        return Err(CheckpointError::Gone { path: path.to_owned() });
    }
    Ok((changed, lock.is_none()))
}

fn store(connection: &Connection, name: &str, value: Option<&str>) -> rusqlite::Result<()> {
    match value {
        Some(value) => connection.execute(
            "INSERT INTO control (name, value, set_at) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET value = excluded.value, set_at = excluded.set_at WHERE value <> excluded.value",
            params![name, value, unix_ms()],
        ),
        None => connection.execute("DELETE FROM control WHERE name = ?", [name]),
    }
    .map(drop)
}

/// What is set. A value that makes no sense is not of our making.
pub(super) fn read(connection: &Connection, path: &Path) -> Result<Live, CheckpointError> {
    let fail = |error| CheckpointError::sqlite(path, "read what is set", error);
    let mut live = Live::default();
    let mut statement = connection.prepare_cached("SELECT name, value FROM control").map_err(fail)?;
    let mut rows = statement.query(()).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let (name, value): (String, String) = (row.get(0).map_err(fail)?, row.get(1).map_err(fail)?);
        if name == PAUSED {
            live.paused = true;
            continue;
        }
        // Other names aren't to be had in a file of this format.
        let key = Key::named(&name).ok_or_else(|| CheckpointError::Corrupt {
            path: path.to_owned(),
            what: format!("`{name}` can't be set"),
        })?;
        key.check(&value).map_err(|error| {
            let why = error.to_string();
            CheckpointError::Setting { path: path.to_owned(), name, why }
        })?;
        live.values.insert(key, value);
    }
    Ok(live)
}

/// Looks at what is set, until it is dropped: then its connection is closed, so that the job's own is the last one.
#[derive(Debug)]
pub struct Watch {
    live: watch::Receiver<Live>,
    /// Dropped first, which ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// What is set, as of now.
    pub fn live(&self) -> watch::Receiver<Live> {
        self.live.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Checkpoint {
    /// Watches what is set for this job from now on.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn watch(&self) -> Result<Watch, CheckpointError> {
        let path = self.path.clone();
        let fail = |error| CheckpointError::sqlite(&path, "watch what is set", error);
        // Not `immutable`, and so on: here somebody does write meanwhile.
        let connection = open::open_file(&path, &path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "trusted_schema", false).map_err(fail)?;
        let mut version = data_version(&connection).map_err(fail)?;
        let (sender, live) = watch::channel(read(&connection, &path)?);
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                // A file that can't be read at this moment is the committer's business.
                let Ok(found) = data_version(&connection) else { continue };
                if found != version
                    && let Ok(now) = read(&connection, &path)
                {
                    version = found;
                    sender.send_if_modified(|live| std::mem::replace(live, now.clone()) != now);
                }
            }
        });
        Ok(Watch { live, stop: Some(stop), thread: Some(thread) })
    }
}

/// A number that changes with each commit of another connection.
fn data_version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection.query_row("PRAGMA data_version", (), |row| row.get(0)).optional()
}
