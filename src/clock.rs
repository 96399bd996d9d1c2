//! What time it is, for expiry.
//!
//! The wall clock is read once, when the process starts; from then on the monotonic clock counts. A clock that is set
//! back or forward meanwhile can't lengthen or shorten any cell's life.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A clock that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    /// Reads the wall clock, for the only time.
    pub fn start() -> Clock {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), started_at }
    }

    /// Time since the Unix epoch.
    pub fn now(&self) -> Duration {
        self.started_at + self.started.elapsed()
    }

    /// Whole seconds since the Unix epoch: the unit in which both databases keep a cell's expiry.
    #[expect(clippy::cast_possible_wrap, reason = "seconds since 1970 fit")]
    pub fn seconds(&self) -> i64 {
        self.now().as_secs() as i64
    }
}

/// Milliseconds since the Unix epoch on the wall clock: for records that people read, never for arithmetic on expiry.
#[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit")]
pub fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
