//! How fast, and how patient. None of this changes what arrives.

use crate::call::Class;
use std::time::Duration;

/// How a copy is run.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Ranges that are scanned at the same time.
    pub readers: usize,
    /// Write requests under way at the same time.
    pub writers: usize,
    /// Bytes of all pages in memory, and of all requests under way.
    pub memory: u64,
    /// When to give up a call that keeps failing.
    pub patience: Patience,
}

/// How patient the copy is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A call that has failed for this long is given up.
    pub give_up_after: Duration,
    /// The same of a call whose failures may be its own fault, where that is shorter.
    pub of_failures: Duration,
    /// The same of a call that takes too long, where that is shorter.
    pub of_timeouts: Duration,
}

impl Patience {
    /// The same with all failures.
    pub const fn of(give_up_after: Duration) -> Patience {
        Patience { give_up_after, of_failures: Duration::MAX, of_timeouts: Duration::MAX }
    }

    /// How long a call may keep failing in this way.
    pub fn with(self, class: Class) -> Duration {
        self.give_up_after.min(match class {
            Class::Timeout => self.of_timeouts,
            class if class.may_be_the_request() => self.of_failures,
            _ => Duration::MAX,
        })
    }
}
