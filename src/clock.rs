//! What time it is, for expiry.
//!
//! The wall clock is read once, when the process starts; from then on the monotonic clock counts, and the time that the machine
//! was asleep. A clock that is set back or forward meanwhile can't lengthen or shorten any cell's life.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A clock that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Duration,
    /// What [`asleep`] said then.
    asleep: Duration,
}

impl Clock {
    /// Reads the wall clock, for the only time.
    pub fn start() -> Clock {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // What expires within a test is not to depend on the part of a second in which it began.
        #[cfg(test)]
        let started_at = Duration::from_secs(started_at.as_secs());
        Clock { started: Instant::now(), started_at, asleep: asleep() }
    }

    /// Time since the Unix epoch.
    pub fn now(&self) -> Duration {
        self.at(asleep())
    }

    fn at(&self, asleep: Duration) -> Duration {
        self.started_at + self.started.elapsed() + asleep.saturating_sub(self.asleep)
    }

    /// Whole seconds since the Unix epoch: the unit in which both databases keep a cell's expiry.
    #[expect(clippy::cast_possible_wrap, reason = "seconds since 1970 fit")]
    pub fn seconds(&self) -> i64 {
        self.now().as_secs() as i64
    }
}

/// How long the machine was suspended since it was booted. The monotonic clock stands still then, and cells grow older.
#[cfg(target_os = "linux")]
fn asleep() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    // In this order, the time between the two calls can't make it negative.
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
fn asleep() -> Duration {
    Duration::ZERO
}

/// Milliseconds since the Unix epoch on the wall clock: for records that people read, never for arithmetic on expiry.
#[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit")]
pub fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_passes_as_the_monotonic_clock_says() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let passed = clock.now().saturating_sub(before);
        assert!((Duration::from_secs(3600)..Duration::from_secs(3601)).contains(&passed), "{passed:?}");
    }

    #[test]
    fn sleep_counts() {
        let clock = Clock::start();
        let minute = Duration::from_secs(60);
        let before = clock.at(clock.asleep);
        let passed = clock.at(clock.asleep + minute).saturating_sub(before);
        assert!((minute..minute * 2).contains(&passed), "{passed:?}");
    }
}
