//! How many files and connections this process may have open at the same time.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewer wouldn't do for the smallest of copies: a connection to each node and some for control, the checkpoint and what the
/// runtime keeps.
const MIN: u64 = 64;
/// As many as anybody needs: a few connections for each core of each node of a large cluster.
const ENOUGH: u64 = 65_536;

/// Raises the limit as far as this process is allowed to, as shells set a low one by default.
///
/// # Errors
/// The limit, where that is too low to begin.
pub fn raise_limit() -> Result<(), u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
    // No limit at all is none.
    let Some(limit) = current else { return Ok(()) };
    if limit < wanted && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return expect_enough(wanted);
    }
    expect_enough(limit)
}

fn expect_enough(limit: u64) -> Result<(), u64> {
    if limit < MIN { Err(limit) } else { Ok(()) }
}
