//! What can be wrong with a checkpoint, and what to type next.

use crate::ring::TilingError;
use std::path::{Path, PathBuf};

/// Why a checkpoint can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file belongs to another job.
    #[error("the checkpoint {} belongs to another job{}", path.display(), list(differences))]
    OtherJob {
        /// The file.
        path: PathBuf,
        /// What differs.
        differences: Vec<JobDifference>,
    },
    /// Another process has it.
    #[error("the checkpoint {} is in use by {owner}", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// Process and host.
        owner: String,
    },
    /// A SQLite file of something else, or no SQLite file at all.
    #[error("{} isn't a checkpoint of migrate: {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// Written by a newer version of this program.
    #[error("the checkpoint {} has format {found}, this migrate knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The highest format that this program knows.
        known: i64,
    },
    /// The file is damaged.
    #[error("the checkpoint {} is damaged: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        what: String,
    },
    /// Something else was set than can be.
    #[error("what is set in the checkpoint {} makes no sense: {name}: {why}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The ranges don't tile the ring: going on would lose rows.
    #[error("the checkpoint {} is damaged: table {table}: {error}", path.display())]
    Tiling {
        /// The file.
        path: PathBuf,
        /// The table's number.
        table: usize,
        /// What is wrong.
        error: TilingError,
    },
    /// Somebody deleted or replaced the file while it was in use.
    #[error("the checkpoint {} was deleted or replaced while it was in use", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// It would be on a disk of another machine.
    #[error("the checkpoint {} would be on a network file system ({kind}), where it can be damaged", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// Which one.
        kind: &'static str,
    },
    /// It has two names, and what SQLite and the lock keep beside one of them isn't beside the other.
    #[error("the checkpoint {} is the same file under another name, too: a hard link", path.display())]
    Linked {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("there is no checkpoint {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("failed to {what} {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        #[source]
        error: std::io::Error,
    },
    /// SQLite says no.
    #[error("failed to {what} in the checkpoint {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        #[source]
        error: rusqlite::Error,
    },
    /// The task that commits has ended, which it only does after an error of its own.
    #[error("progress can't be committed any more")]
    CommitterGone,
}

/// One thing in which a command and a checkpoint differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDifference {
    /// What differs.
    pub what: String,
    /// The checkpoint's.
    pub checkpoint: String,
    /// The command's.
    pub command: String,
}

impl JobDifference {
    pub(super) fn new(what: &str, checkpoint: &str, command: &str) -> JobDifference {
        // Of a long text, such as a column list, only the lines that differ help.
        let only = |text: &str, other: &str| {
            let lines: Vec<&str> = text.lines().filter(|line| !other.lines().any(|o| o == *line)).collect();
            if lines.is_empty() { "nothing".to_owned() } else { lines.join("; ") }
        };
        JobDifference {
            what: what.to_owned(),
            checkpoint: only(checkpoint, command),
            command: only(command, checkpoint),
        }
    }
}

fn list(differences: &[JobDifference]) -> String {
    use std::fmt::Write;
    differences.iter().fold(String::new(), |mut text, d| {
        let _ = write!(text, "\n  {}: the checkpoint has {}, this command has {}", d.what, d.checkpoint, d.command);
        text
    })
}

impl CheckpointError {
    pub(super) fn sqlite(path: &Path, what: &'static str, error: rusqlite::Error) -> CheckpointError {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                CheckpointError::Foreign { path: path.to_owned(), what: "no SQLite file".to_owned() }
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                CheckpointError::Corrupt { path: path.to_owned(), what: error.to_string() }
            }
            _ => CheckpointError::Sqlite { path: path.to_owned(), what, error },
        }
    }

    pub(super) fn io(path: &Path, what: &'static str, error: std::io::Error) -> CheckpointError {
        CheckpointError::Io { path: path.to_owned(), what, error }
    }

    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            CheckpointError::OtherJob { .. } => Some(
                "type the command of that job again to resume it, or name another file with `--checkpoint FILE`; only \
                 the `--restart` of a copy moves the old file aside and begins anew"
                    .to_owned(),
            ),
            CheckpointError::InUse { path, .. } => Some(format!("look at its progress with `migrate status --checkpoint {}`", path.display())),
            CheckpointError::Network { .. } => {
                Some("name a file on a disk of this machine with `--checkpoint FILE`".to_owned())
            }
            CheckpointError::Linked { path } => Some(format!(
                "remove the other name (`find / -xdev -samefile {0}` lists all of them), once nobody works on it; or copy the file, with \
                 the -wal beside it, and name the copy with `--checkpoint FILE`",
                path.display()
            )),
            CheckpointError::Foreign { .. } => Some("name another file with `--checkpoint FILE`".to_owned()),
            CheckpointError::Newer { .. } => Some("run the newer migrate that wrote it".to_owned()),
            CheckpointError::Corrupt { .. } | CheckpointError::Tiling { .. } => Some(
                "restore the file from a backup, or copy anew with `--restart` (the damaged file is moved aside; copying \
                 again changes nothing that was copied)"
                    .to_owned(),
            ),
            CheckpointError::Setting { path, name, .. } => Some(format!(
                "take it back with `migrate set {name}=default --checkpoint {}`",
                path.display()
            )),
            CheckpointError::Missing { .. } => Some("name the file with `--checkpoint FILE`; a copy makes it when it begins".to_owned()),
            CheckpointError::Sqlite { error, .. }
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) =>
            {
                Some(
                    "the disk fails, or was set to read-only (`dmesg` tells): mend it, or move the file to another disk and \
                     name it with `--checkpoint FILE`; then run the same command again"
                        .to_owned(),
                )
            }
            CheckpointError::Io { .. } | CheckpointError::Sqlite { .. } => {
                Some("check the folder's permissions and free space, then run the same command again".to_owned())
            }
            CheckpointError::Gone { .. } => Some(
                "put the file back if you moved it; else the same command begins anew, which changes nothing that was copied".to_owned(),
            ),
            CheckpointError::CommitterGone => None,
        }
    }

    /// Whether the file was refused, rather than something having failed.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            CheckpointError::Io { .. }
                | CheckpointError::Sqlite { .. }
                | CheckpointError::Gone { .. }
                | CheckpointError::CommitterGone
        )
    }
}
