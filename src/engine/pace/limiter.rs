//! So much per second: a token bucket that may run a debt, since a batch can't be cut to fit.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

/// What may be saved up: enough to make up for a thread that was late.
const BURST: Duration = Duration::from_millis(200);

/// Timers are no finer.
const TICK: Duration = Duration::from_millis(1);

/// A limit that all writes share.
#[derive(Debug)]
pub(super) struct Limiter {
    /// Per second; 0 is no limit.
    rate: AtomicU64,
    changed: Notify,
    /// Whoever has it is the next to go.
    line: Mutex<Bucket>,
    /// Whether anybody had to wait since that was last asked.
    held_up: AtomicBool,
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    /// As of this moment, and with this rate since then.
    at: Instant,
    rate: f64,
}

impl Default for Limiter {
    /// No limit.
    fn default() -> Limiter {
        let line = Mutex::new(Bucket { level: 0.0, at: Instant::now(), rate: 0.0 });
        Limiter { rate: 0.into(), changed: Notify::new(), line, held_up: false.into() }
    }
}

impl Limiter {
    /// Changes the limit; whoever waits, waits by the new one from now on.
    pub(super) fn set(&self, rate: Option<NonZeroU64>) {
        let rate = rate.map_or(0, NonZeroU64::get);
        if self.rate.swap(rate, Ordering::Relaxed) != rate {
            self.changed.notify_waiters();
        }
    }

    /// Waits until `amount` may go.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub(super) async fn take(&self, amount: u64) {
        if self.rate.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut bucket = self.line.lock().await;
        loop {
            let changed = self.changed.notified();
            let rate = self.rate.load(Ordering::Relaxed) as f64;
            if rate == 0.0 {
                return;
            }
            bucket.fill_until_now();
            bucket.rate = rate;
            if bucket.level >= 0.0 {
                bucket.level -= amount as f64;
                return;
            }
            self.held_up.store(true, Ordering::Relaxed);
            let missing = Duration::try_from_secs_f64(-bucket.level / rate).unwrap_or(Duration::MAX).max(TICK);
            tokio::select! {
                biased;
                () = tokio::time::sleep(missing) => {}
                () = changed => {}
            }
        }
    }

    /// Whether anybody had to wait since this was last asked, or does so now.
    pub(super) fn held_up(&self) -> bool {
        self.held_up.swap(false, Ordering::Relaxed) || self.line.try_lock().is_err()
    }
}

impl Bucket {
    fn fill_until_now(&mut self) {
        let now = Instant::now();
        let more = self.rate * (now - self.at).as_secs_f64();
        self.level = (self.level + more).min(self.rate * BURST.as_secs_f64());
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    fn limiter(rate: u64) -> Arc<Limiter> {
        let limiter = Limiter::default();
        limiter.set(NonZeroU64::new(rate));
        Arc::new(limiter)
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_whatever_the_size_of_a_batch() {
        for (rate, amount, takes) in [(1000, 10, 1000), (1000, 2500, 8), (7, 1, 70), (1_000_000, 100, 100_000)] {
            let limiter = limiter(rate);
            let started = Instant::now();
            for _ in 0..takes {
                limiter.take(amount).await;
            }
            limiter.take(0).await;
            let expected = Duration::from_secs(takes * amount / rate);
            let took = started.elapsed();
            assert!(took >= expected.saturating_sub(BURST) && took <= expected.mul_f64(1.02), "{rate}: {took:?}");
            assert!(limiter.held_up() && !limiter.held_up());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_not_saved_up() {
        let limiter = limiter(1000);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let started = Instant::now();
        for _ in 0..100 {
            limiter.take(100).await;
        }
        assert!(started.elapsed() >= Duration::from_millis(9600), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_holds_at_once_also_for_those_who_wait() {
        let limiter = limiter(1);
        let gone = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let (limiter, gone) = (Arc::clone(&limiter), Arc::clone(&gone));
            tokio::spawn(async move {
                limiter.take(100).await;
                gone.fetch_add(1, Ordering::Relaxed);
            });
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(gone.load(Ordering::Relaxed), 1);
        assert!(limiter.held_up());
        limiter.set(NonZeroU64::new(1000));
        tokio::time::sleep(Duration::from_millis(2050)).await;
        let after_two_seconds = gone.load(Ordering::Relaxed);
        assert!((20..=23).contains(&after_two_seconds), "{after_two_seconds}");
        limiter.set(None);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(gone.load(Ordering::Relaxed), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_waits_for_nothing() {
        let limiter = Limiter::default();
        let started = Instant::now();
        for _ in 0..1000 {
            limiter.take(u64::MAX).await;
        }
        assert_eq!((started.elapsed(), limiter.held_up()), (Duration::ZERO, false));
    }
}
