//! One live process per checkpoint.
//!
//! The lock is an advisory lock of the operating system on a file beside the checkpoint: it goes with the process, however
//! that ends, so there is no stale lock to guess about. It isn't taken on the checkpoint itself, because closing any handle
//! of that file would drop SQLite's own POSIX locks (sqlite.org/howtocorrupt, §2.2).

use super::error::CheckpointError;
use super::files::sibling;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Said aloud, since a child process that was just forked may have the file open for a moment longer.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of the checkpoint `path`.
    pub(super) fn take(path: &Path) -> Result<Lock, CheckpointError> {
        let lock_path = sibling(path, "-lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| CheckpointError::io(&lock_path, "open the lock file", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim();
                let owner = if owner.is_empty() { "another process" } else { owner };
                return Err(CheckpointError::InUse { path: path.to_owned(), owner: owner.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(CheckpointError::io(&lock_path, "lock", error)),
        }
        let owner = format!("process {} on {}\n", std::process::id(), host_name());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(owner.as_bytes()))
            .map_err(|error| CheckpointError::io(&lock_path, "write the lock file", error))?;
        Ok(Lock { file })
    }
}

/// Whether a live process has the lock. Looks without creating the lock file.
pub(super) fn is_held(path: &Path) -> bool {
    let file = File::open(sibling(path, "-lock"));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// This machine's name, for people.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "this host".to_owned(), |name| name.trim().to_owned())
}
