//! How fast, and how patient. None of this changes what arrives.

use std::time::Duration;

/// How a copy is run.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Ranges that are scanned at the same time.
    pub readers: usize,
    /// Write requests under way at the same time.
    pub writers: usize,
    /// Bytes of all pages in memory.
    pub memory: u64,
    /// When to give up a call that keeps failing.
    pub patience: Patience,
}

/// How patient the copy is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A call that has failed for this long is given up.
    pub give_up_after: Duration,
}
