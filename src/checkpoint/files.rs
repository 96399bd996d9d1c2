//! The files of a checkpoint, and those beside it.

use super::error::CheckpointError;
pub(super) use crate::paths::beside as sibling;
use crate::paths::folder;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What SQLite keeps beside the file, and reads back when it finds it there.
const SQLITE_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Where the file really is. SQLite keeps its side files there, and so must the lock be: behind a symbolic link, two
/// processes would each have a lock of their own.
pub(super) fn real(path: &Path) -> PathBuf {
    if path.is_symlink() { path.canonicalize().unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() }
}

/// What tells a file from another of the same name: device and inode. `None` where there is none.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Makes sure that the file has no second name. Two processes would each have a lock, and SQLite a WAL file, of its own beside each.
pub(super) fn expect_sole(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() && file.nlink() > 1 => Err(CheckpointError::Linked { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// Makes sure that the folder of `path` is on a disk of this machine, as far as that can be told.
pub(super) fn expect_local(path: &Path) -> Result<(), CheckpointError> {
    match network(path) {
        Some(kind) => Err(CheckpointError::Network { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// File systems of another machine, as `statfs(2)` numbers them. `SQLite`'s WAL mode asks for memory that all who use a file
/// share, and for locks that hold: neither is to be had there (sqlite.org/wal.html).
#[cfg(target_os = "linux")]
const NETWORK: [(u32, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB 2"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9P"),
    (0x0bd0_0bd0, "Lustre"),
];

/// Which network file system the folder of `path` is on, if that is one.
#[cfg(target_os = "linux")]
fn network(path: &Path) -> Option<&'static str> {
    let folder = folder(path);
    let number = rustix::fs::statfs(folder).ok()?.f_type;
    // The kernel's numbers are of 32 bits; what they are kept in may be larger, and signed.
    NETWORK.iter().find(|(kind, _)| i64::from(*kind) == number as i64 & 0xffff_ffff).map(|(_, name)| *name)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
fn network(_: &Path) -> Option<&'static str> {
    None
}

/// Moves whatever is there under the name of `path` aside, and says where it is now. Deletes nothing.
///
/// Side files are moved even where the file itself is gone: SQLite would replay the old WAL file into the next checkpoint
/// of that name, and with it ranges that were done in another job.
pub(super) fn set_aside(path: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    let suffixes = || [""].into_iter().chain(SQLITE_SUFFIXES);
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    if !suffixes().any(|suffix| exists(&sibling(path, suffix))) {
        return Ok(None);
    }
    let names = (1..=u32::MAX).map(|n| sibling(path, &format!(".{n}")));
    let free = |aside: &PathBuf| !suffixes().any(|suffix| exists(&sibling(aside, suffix)));
    let aside = names.into_iter().find(free).unwrap_or_default();
    for suffix in suffixes() {
        let (from, to) = (sibling(path, suffix), sibling(&aside, suffix));
        if exists(&from) {
            std::fs::rename(&from, to).map_err(|error| CheckpointError::io(&from, "move aside", error))?;
        }
    }
    Ok(Some(aside))
}
