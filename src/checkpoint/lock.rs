//! One live process per checkpoint.
//!
//! The lock is an advisory lock of the operating system on a file beside the checkpoint: it goes with the process, however
//! that ends, so there is no stale lock to guess about. It isn't taken on the checkpoint itself, because closing any handle
//! of that file would drop SQLite's own POSIX locks (sqlite.org/howtocorrupt, §2.2).
//!
//! Commands that set something have the lock for a moment, where no copy has it. A second lock tells them apart from copies:
//! nobody is to take such a moment for a copy at work.

use super::error::CheckpointError;
use super::files::{self, sibling};
use super::open::BUSY;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a command that only sets something may have its lock, before it is taken to be in trouble: its commit waits for
/// another one, and for the disk.
const SHORT: Duration = BUSY.saturating_mul(2);
/// Between two tries for a lock. There is no event to wait for: what waits for such a lock in the kernel can't give up.
const RETRY: Duration = Duration::from_millis(5);

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    checkpoint: PathBuf,
    suffix: &'static str,
}

/// Of whoever works on the checkpoint: a copy, or a command that sets something in a checkpoint on which no copy works.
const WORK: &str = "-lock";
/// Of a command that sets something. It has this one before it asks for the other, so whoever has this one and doesn't get the
/// other knows that a copy has it.
const CONTROL: &str = "-control-lock";

impl Drop for Lock {
    fn drop(&mut self) {
        // Where there is no checkpoint, there is nothing to lock: a call that was refused leaves nothing behind.
        if !self.checkpoint.exists() {
            let _ = std::fs::remove_file(sibling(&self.checkpoint, self.suffix));
        }
        // Said aloud, since a child process that was just forked may have the file open for a moment longer.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of the checkpoint `path`, for a copy. Where a command that sets something has it, waits for its end.
    pub(super) fn take(path: &Path) -> Result<Lock, CheckpointError> {
        loop {
            match Lock::attempt(path, WORK) {
                Err(CheckpointError::InUse { .. }) if !is_worked_on(path) => {}
                taken => return taken,
            }
        }
    }

    /// Takes the lock that commands have which set something, one after another; whoever has it may [`Lock::work`].
    pub(super) fn control(path: &Path) -> Result<Lock, CheckpointError> {
        let begun = Instant::now();
        loop {
            match Lock::attempt(path, CONTROL) {
                Err(CheckpointError::InUse { .. }) if begun.elapsed() < SHORT => std::thread::sleep(RETRY),
                taken => return taken,
            }
        }
    }

    /// Takes the lock of the checkpoint for whoever has `control`; none where a copy has it.
    pub(super) fn work(control: &Lock) -> Result<Option<Lock>, CheckpointError> {
        match Lock::attempt(&control.checkpoint, WORK) {
            Ok(lock) => Ok(Some(lock)),
            Err(CheckpointError::InUse { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn attempt(path: &Path, suffix: &'static str) -> Result<Lock, CheckpointError> {
        let lock_path = sibling(path, suffix);
        let cant = |what| move |error| CheckpointError::io(path, what, error);
        let mut file = loop {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
            let mut file = file.map_err(cant("lock"))?;
            match file.try_lock() {
                Ok(()) => {}
                // Somebody only looks whether it is held, which takes a moment.
                Err(TryLockError::WouldBlock) if file.try_lock_shared().is_ok() => {
                    file.unlock().map_err(cant("lock"))?;
                    std::thread::sleep(RETRY);
                    continue;
                }
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
            if is_named(&file, &lock_path).map_err(cant("lock"))? {
                break file;
            }
        };
        let owner = format!("process {} on {}\n", std::process::id(), host_name());
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(owner.as_bytes()));
        written.map_err(cant("lock"))?;
        Ok(Lock { file, checkpoint: path.to_owned(), suffix })
    }
}

fn is_named(file: &File, name: &Path) -> std::io::Result<bool> {
    let ours = file.metadata()?;
    Ok(files::identity(name) == Some((ours.dev(), ours.ino())))
}

/// Whether a live process has the lock, a copy or a command that sets something. Looks without creating the lock file.
pub(super) fn is_held(path: &Path) -> bool {
    let file = File::open(sibling(path, WORK));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether a copy has the lock. Waits for commands that have it, and creates nothing.
pub(super) fn is_worked_on(path: &Path) -> bool {
    let control_path = sibling(path, CONTROL);
    let begun = Instant::now();
    while is_held(path) {
        // As long as we share this lock, or its file doesn't exist, no command has the other.
        let control = File::open(&control_path);
        let is_clear = match &control {
            Ok(control) => control.try_lock_shared().is_ok() && is_named(control, &control_path).unwrap_or(false),
            Err(_) => true,
        };
        if is_clear && is_held(path) && (control.is_ok() || !control_path.exists()) {
            return true;
        }
        if begun.elapsed() > SHORT {
            return true;
        }
        drop(control);
        std::thread::sleep(RETRY);
    }
    false
}

/// This machine's name, for people.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "this host".to_owned(), |name| name.trim().to_owned())
}
