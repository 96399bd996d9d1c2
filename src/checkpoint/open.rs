//! Opening the file, to work with it or to look at it.

use super::error::CheckpointError;
use super::files::{self, sibling};
use super::{Checkpoint, lock::Lock};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "MIGR".
pub(super) const APPLICATION_ID: i64 = 0x4D49_4752;

/// SQLite before this one can corrupt a WAL file that two connections use (fixed in 3.51.3).
const SQLITE_MIN: i32 = 3_051_003;

/// How long a commit waits for another connection's, which waits for nothing but the disk.
pub(super) const BUSY: Duration = Duration::from_secs(30);

/// The sections of `migrations.sql`, in order.
fn migrations() -> impl Iterator<Item = &'static str> {
    include_str!("../../migrations.sql").split("\n-- version ").skip(1).map(|section| {
        // The rest of the first line is the version's number.
        section.split_once('\n').map_or("", |(_, sql)| sql)
    })
}

/// Opens the checkpoint of a job that was begun, as its one live process.
///
/// # Errors
/// Where the file is missing, foreign, newer, damaged, or in use.
pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let path = &files::real(path);
    if !path.exists() {
        return Err(CheckpointError::Missing { path: path.to_owned() });
    }
    files::expect_local(path)?;
    files::expect_sole(path)?;
    open_locked(path, Lock::take(path)?)
}

/// [`open`], by whoever has the lock.
pub(super) fn open_locked(path: &Path, lock: Lock) -> Result<Checkpoint, CheckpointError> {
    // Looked at without a write first: a file of somebody else's must stay as it is.
    check_kind(&open_read_only(path)?, path)?;
    let mut connection = connect(path, path)?;
    let fail = |error| CheckpointError::sqlite(path, "open", error);
    connection.pragma_update(None, "journal_mode", "wal").map_err(fail)?;
    migrate(&mut connection, path)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(fail)?;
    if verdict != "ok" {
        return Err(CheckpointError::Corrupt { path: path.to_owned(), what: verdict });
    }
    let identity = files::identity(path);
    Ok(Checkpoint { path: path.to_owned(), identity, connection, run: None, _lock: lock })
}

/// A connection for looking only. It leaves the file, and what lies beside it, byte for byte as they are.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, CheckpointError> {
    if !path.exists() {
        return Err(CheckpointError::Missing { path: path.to_owned() });
    }
    if !path.is_file() {
        return Err(CheckpointError::Foreign { path: path.to_owned(), what: "not a file".to_owned() });
    }
    let fail = |error| CheckpointError::sqlite(path, "open", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let uri = |how: &str| PathBuf::from(format!("file:{}?{how}", percent_encode(path)));
    // Where nobody writes, a plain read-only connection would all the same make a WAL file and its index, or write to them.
    let connection = if !sibling(path, "-wal").exists() {
        open_file(&uri("immutable=1"), path, flags)?
    } else if super::lock::is_held(path) {
        open_file(path, path, flags)?
    } else {
        let connection = open_file(&uri("vfs=unix-none"), path, flags)?;
        // Without locks and in this mode SQLite keeps the index in memory; the WAL file stays where it is.
        connection.pragma_update(None, "locking_mode", "exclusive").map_err(fail)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fail)?;
        connection
    };
    connection.pragma_update(None, "trusted_schema", false).map_err(fail)?;
    Ok(connection)
}

fn percent_encode(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.as_os_str().as_bytes().iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// Opens `file`, a path or a URI; `path` is its name in messages.
pub(super) fn open_file(file: &Path, path: &Path, flags: OpenFlags) -> Result<Connection, CheckpointError> {
    assert!(rusqlite::version_number() >= SQLITE_MIN, "the bundled SQLite is older than 3.51.3");
    Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| CheckpointError::sqlite(path, "open", error))
}

/// A connection for writing to `file`; `path` is its name in messages.
pub(super) fn connect(file: &Path, path: &Path) -> Result<Connection, CheckpointError> {
    let fail = |error| CheckpointError::sqlite(path, "open", error);
    let mut connection = open_file(file, path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY).map_err(fail)?;
    // A transaction that reads first, and writes later, fails at once where another connection has committed in between.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    // FULL costs a fraction of a millisecond per commit, and there are at most some ten commits a second. NORMAL may
    // forget acknowledged commits when the power fails.
    connection.pragma_update(None, "synchronous", "full").map_err(fail)?;
    connection.pragma_update(None, "fullfsync", true).map_err(fail)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(fail)?;
    Ok(connection)
}

/// Makes sure that the file is a checkpoint, of a format that is known.
pub(super) fn check_kind(connection: &Connection, path: &Path) -> Result<(), CheckpointError> {
    let fail = |error| CheckpointError::sqlite(path, "open", error);
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(fail);
    if number("application_id")? != APPLICATION_ID {
        let what = match std::fs::metadata(path).map_or(0, |file| file.len()) {
            0 => "the file is empty",
            1..512 => "no SQLite file", // Which is what SQLite takes for empty.
            _ => "a SQLite file of another program",
        };
        return Err(CheckpointError::Foreign { path: path.to_owned(), what: what.to_owned() });
    }
    let known = i64::try_from(migrations().count()).unwrap_or(i64::MAX);
    match number("user_version")? {
        found if found > known => Err(CheckpointError::Newer { path: path.to_owned(), found, known }),
        _ => Ok(()),
    }
}

/// Brings the file's format up to date.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), CheckpointError> {
    let fail = |error| CheckpointError::sqlite(path, "bring the format up to date", error);
    let applied: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fail)?;
    for (version, sql) in (1i64..).zip(migrations()).filter(|&(version, _)| version > applied) {
        let transaction = connection.transaction().map_err(fail)?;
        transaction.execute_batch(sql).map_err(fail)?;
        transaction.pragma_update(None, "user_version", version).map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
    Ok(())
}
