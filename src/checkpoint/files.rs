//! The files beside a checkpoint.

use std::path::{Path, PathBuf};

/// `path` with `suffix` behind its name.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
