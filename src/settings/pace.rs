//! How fast, and how patient. None of this changes what arrives.

use super::live::{Key, Live};
use super::schedule::{BytesSchedule, RowsSchedule};
use super::units::{Latency, UnitError};
use crate::call::Class;
use std::time::Duration;

/// More readers or writers than this are a slip of the finger.
pub(super) const HANDS_MAX: usize = 65_536;

/// How a copy is run.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Ranges that are scanned at the same time.
    pub readers: usize,
    /// Write requests under way at the same time.
    pub writers: usize,
    /// Bytes of all pages in memory, and of all requests under way.
    pub memory: u64,
    /// When to give up a call that keeps failing.
    pub patience: Patience,
    /// What the clusters are to be spared.
    pub limits: Limits,
}

/// What the clusters are to be spared. Nothing, unless the operator says so.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Rows that are sent to the target in a second.
    pub rows_per_second: RowsSchedule,
    /// Bytes of keys and values that are sent to the target in a second.
    pub bytes_per_second: BytesSchedule,
    /// Where one of a hundred pages takes longer than this, fewer are asked for at a time.
    pub source_latency: Latency,
    /// Where one of a hundred writes takes longer than this, fewer are sent at a time.
    pub target_latency: Latency,
}

impl Default for Pace {
    fn default() -> Pace {
        let patience = Patience::of(Duration::from_secs(900));
        Pace { readers: 8, writers: 32, memory: 256 << 20, patience, limits: Limits::default() }
    }
}

impl Pace {
    /// This, but for what the operator has set since. What isn't understood stays as it is.
    #[must_use]
    pub fn with(mut self, live: &Live) -> Pace {
        for (key, value) in &live.values {
            let _ = self.set(*key, value);
        }
        self
    }

    /// Sets one of its values from text.
    ///
    /// # Errors
    /// Where the text makes no sense; nothing has changed then.
    pub fn set(&mut self, key: Key, value: &str) -> Result<(), UnitError> {
        match key {
            Key::RowsPerSecond => self.limits.rows_per_second = value.parse()?,
            Key::BytesPerSecond => self.limits.bytes_per_second = value.parse()?,
            Key::SourceLatency => self.limits.source_latency = value.parse()?,
            Key::TargetLatency => self.limits.target_latency = value.parse()?,
            Key::Readers => self.readers = hands(value)?,
            Key::Writers => self.writers = hands(value)?,
        }
        Ok(())
    }
}

fn hands(value: &str) -> Result<usize, UnitError> {
    let number = value.parse().ok().filter(|number| (1..=HANDS_MAX).contains(number));
    number.ok_or_else(|| UnitError(format!("`{}` isn't a number from 1 to {HANDS_MAX}", value.escape_debug())))
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
