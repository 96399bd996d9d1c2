//! One live process per checkpoint.
//!
//! The lock is an advisory lock of the operating system on a file beside the checkpoint: it goes with the process, however
//! that ends, so there is no stale lock to guess about. It isn't taken on the checkpoint itself, because closing any handle
//! of that file would drop SQLite's own POSIX locks (sqlite.org/howtocorrupt, §2.2).

use super::error::CheckpointError;
use super::files::{self, sibling};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    checkpoint: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where there is no checkpoint, there is nothing to lock: a call that was refused leaves nothing behind.
        if !self.checkpoint.exists() {
            let _ = std::fs::remove_file(lock_path(&self.checkpoint));
        }
        // Said aloud, since a child process that was just forked may have the file open for a moment longer.
        let _ = self.file.unlock();
    }
}

fn lock_path(checkpoint: &Path) -> PathBuf {
    sibling(checkpoint, "-lock")
}

impl Lock {
    /// Takes the lock of the checkpoint `path`.
    pub(super) fn take(path: &Path) -> Result<Lock, CheckpointError> {
        let lock_path = lock_path(path);
        let cant = |what| move |error| CheckpointError::io(path, what, error);
        let mut file = loop {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
            let mut file = file.map_err(cant("lock"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut owner = String::new();
                    let _ = file.read_to_string(&mut owner);
                    let owner = owner.trim();
                    let owner = if owner.is_empty() { "another process" } else { owner };
                    return Err(CheckpointError::InUse { path: path.to_owned(), owner: owner.to_owned() });
                }
                Err(TryLockError::Error(error)) => return Err(cant("lock")(error)),
            }
            // Its last owner may have removed it between our two calls; then another process has the lock of that name.
            let ours = file.metadata().map_err(cant("lock"))?;
            if files::identity(&lock_path) == Some((ours.dev(), ours.ino())) {
                break file;
            }
        };
        let owner = format!("process {} on {}\n", std::process::id(), host_name());
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(owner.as_bytes()));
        written.map_err(cant("lock"))?;
        Ok(Lock { file, checkpoint: path.to_owned() })
    }
}

/// Whether a live process has the lock. Looks without creating the lock file.
pub(super) fn is_held(path: &Path) -> bool {
    let file = File::open(lock_path(path));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// This machine's name, for people.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "this host".to_owned(), |name| name.trim().to_owned())
}
