//! Keeps the pace: takes up what the operator sets, follows the schedules, and tells why it is slow.

use super::gate::SlowCause;
use super::{Pacer, local};
use crate::event::Event;
use crate::settings::live::{Key, Live};
use crate::settings::schedule::Minute;
use crate::side::Side;
use crate::slowed::{PaceNow, Slowed};
use std::num::NonZeroU64;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A reason is told when it has held for this long …
const TELL_AFTER: Duration = Duration::from_secs(2);
/// … and the one before it was told this long ago.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Pacer {
    /// Takes up what holds at the beginning, and tells it.
    pub(super) fn begin(&self) {
        for (key, value) in &self.begun.values {
            self.events.emit(Event::Set { key: *key, value: Some(value.clone()) });
        }
        self.take_up(&self.begun);
    }

    /// Steers until it is dropped. `fails` says whether calls to a side fail, and none gets through.
    pub(in crate::engine) async fn steer(&self, fails: impl Fn(Side) -> bool) {
        // Seen up to the beginning: what was set since is a change.
        let mut live = self.live.clone();
        let mut before = self.begun.clone();
        let mut teller = Teller::default();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if live.has_changed().unwrap_or(false) {
                let after = live.borrow_and_update().clone();
                for key in Key::ALL.into_iter().filter(|key| before.values.get(key) != after.values.get(key)) {
                    self.events.emit(Event::Set { key, value: after.values.get(&key).cloned() });
                }
                self.take_up(&after);
                before = after;
            }
            self.limit(local::minute());
            let now = self.look(&fails);
            if teller.is_due(now.slowed_by) {
                self.events.emit(Event::Slowed { by: now.slowed_by });
            }
            *self.events.counters().pace() = now;
        }
    }

    fn take_up(&self, live: &Live) {
        let pace = self.typed.clone().with(live);
        self.source.allow(pace.readers, pace.limits.source_latency.0);
        self.target.allow(pace.writers, pace.limits.target_latency.0);
        if (pace.limits.rows_per_second.changes() || pace.limits.bytes_per_second.changes())
            && let Some(message) = local::unknown_zone()
        {
            self.events.emit(Event::Warning { message });
        }
        let readers = pace.readers;
        let writers = {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, pace.clone()).writers
        };
        self.pool.resize(writers, pace.writers);
        self.limit(local::minute());
        self.readers.send_if_modified(|now| std::mem::replace(now, readers) != readers);
        if self.paused.send_if_modified(|now| std::mem::replace(now, live.paused) != live.paused) {
            self.events.emit(if live.paused { Event::Paused } else { Event::Continued });
        }
    }

    /// Applies the schedules.
    fn limit(&self, minute: Minute) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        self.rows.set(now.limits.rows_per_second.at(minute));
        self.bytes.set(now.limits.bytes_per_second.at(minute));
    }

    /// How it stands, and what stands most in the way.
    fn look(&self, fails: impl Fn(Side) -> bool) -> PaceNow {
        let minute = local::minute();
        let limits = self.now.lock().unwrap_or_else(PoisonError::into_inner).limits.clone();
        let (source, target) = (self.source.look(), self.target.look());
        let (rows, bytes) = (self.rows.held_up(), self.bytes.held_up());
        let limited = |is_scheduled, by| if is_scheduled { Slowed::Schedule } else { by };
        let slowed_by = if self.is_paused() {
            Some(Slowed::Paused)
        } else if target.is_silent || fails(Side::Target) {
            Some(Slowed::TargetSilent)
        } else if let Some(cause) = target.slowed {
            Some(by(Side::Target, cause))
        } else if rows {
            Some(limited(limits.rows_per_second.changes(), Slowed::RowsPerSecond))
        } else if bytes {
            Some(limited(limits.bytes_per_second.changes(), Slowed::BytesPerSecond))
        } else if source.is_silent || fails(Side::Source) {
            Some(Slowed::SourceSilent)
        } else if let Some(cause) = source.slowed {
            Some(by(Side::Source, cause))
        } else {
            let waiting = self.events.counters().waiting_for_memory.load(Ordering::Relaxed);
            (waiting > 0).then_some(Slowed::Memory)
        };
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        PaceNow {
            slowed_by,
            readers: source.limit as u64,
            writers: target.limit as u64,
            rows_per_second_max: limits.rows_per_second.at(minute).map(NonZeroU64::get),
            bytes_per_second_max: limits.bytes_per_second.at(minute).map(NonZeroU64::get),
            source_p99_ms: source.p99.map(ms),
            target_p99_ms: target.p99.map(ms),
        }
    }
}

fn by(side: Side, cause: SlowCause) -> Slowed {
    match (side, cause) {
        (Side::Source, SlowCause::Latency) => Slowed::SourceLatency,
        (Side::Source, SlowCause::Timeouts) => Slowed::SourceTimeouts,
        (Side::Source, SlowCause::Overloaded) => Slowed::SourceOverloaded,
        (Side::Target, SlowCause::Latency) => Slowed::TargetLatency,
        (Side::Target, SlowCause::Timeouts) => Slowed::TargetTimeouts,
        (Side::Target, SlowCause::Overloaded) => Slowed::TargetOverloaded,
    }
}

/// Tells a reason when it lasts, and not all the time.
#[derive(Debug, Default)]
struct Teller {
    told: Option<Slowed>,
    told_at: Option<Instant>,
    seen: Option<Slowed>,
    seen_since: Option<Instant>,
}

impl Teller {
    /// Whether that is to be told now.
    fn is_due(&mut self, by: Option<Slowed>) -> bool {
        let now = Instant::now();
        // A pause has events of its own, and says nothing of what comes after it.
        if by == Some(Slowed::Paused) {
            self.seen_since = Some(now);
            return false;
        }
        if by != self.seen {
            (self.seen, self.seen_since) = (by, Some(now));
        }
        let lasts = self.seen_since.is_none_or(|since| now - since >= TELL_AFTER);
        let is_time = self.told_at.is_none_or(|at| now - at >= TELL_EVERY);
        let is_due = by != self.told && lasts && is_time;
        if is_due {
            (self.told, self.told_at) = (by, Some(now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::super::Steering;
    use super::*;
    use crate::event::Events;
    use crate::settings::Pace;
    use crate::shutdown::Stop;
    use tokio::sync::watch;

    #[tokio::test(start_paused = true)]
    async fn what_is_set_before_the_first_look_is_taken_up() {
        let (set, live) = watch::channel(Live::default());
        let pacer = Pacer::new(Steering { pace: Pace::default(), live }, Events::none(), Stop::default());
        set.send_replace(Live { paused: true, ..Live::default() });
        let paused = async {
            tokio::select! { () = pacer.paused() => {}, () = pacer.steer(|_| false) => {} }
        };
        tokio::time::timeout(Duration::from_secs(60), paused).await.expect("paused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_is_told_when_it_lasts_and_not_more_often_than_is_good() {
        let mut teller = Teller::default();
        let mut told = Vec::new();
        for tick in 0..400u32 {
            let by = match tick / 4 {
                // To and fro, for a while.
                10..20 => (tick % 3 == 0).then_some(Slowed::SourceTimeouts),
                20..60 => Some(Slowed::TargetOverloaded),
                60..62 => Some(Slowed::RowsPerSecond),
                62..64 => Some(Slowed::Paused),
                _ => None,
            };
            if teller.is_due(by) {
                told.push((tick / 4, by));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        assert_eq!(told, [(22, Some(Slowed::TargetOverloaded)), (66, None)]);
    }
}
