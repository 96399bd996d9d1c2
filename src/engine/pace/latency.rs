//! How long requests take: the 99th percentile of the last few seconds.

use std::time::Duration;
use tokio::time::Instant;

/// Each half of the window.
const HALF: Duration = Duration::from_secs(2);
/// Buckets per doubling: a percentile is at most an eighth too high.
const STEPS: u32 = 8;
/// The first bucket holds all below 8 µs, the last one all above two hours.
const BUCKETS: usize = 31 * STEPS as usize;

/// A histogram over a sliding window: the current half and the one before it.
#[derive(Debug)]
pub(super) struct Latencies {
    halves: [Box<[u32; BUCKETS]>; 2],
    began: Instant,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { halves: [Box::new([0; BUCKETS]), Box::new([0; BUCKETS])], began: Instant::now() }
    }
}

impl Latencies {
    /// Remembers that a request took so long.
    pub(super) fn record(&mut self, took: Duration) {
        self.slide();
        let count = &mut self.halves[0][bucket(took)];
        *count = count.saturating_add(1);
    }

    /// What 99 of 100 requests took at most, rounded up; none where there were none.
    pub(super) fn p99(&mut self) -> Option<Duration> {
        self.slide();
        let count = |bucket: usize| u64::from(self.halves[0][bucket]) + u64::from(self.halves[1][bucket]);
        let all: u64 = (0..BUCKETS).map(count).sum();
        let above = all / 100;
        let mut seen = 0;
        (0..BUCKETS)
            .rev()
            .find(|&bucket| {
                seen += count(bucket);
                seen > above
            })
            .map(highest)
    }

    /// Forgets everything: what was measured says nothing of what is done now.
    pub(super) fn clear(&mut self) {
        self.halves.iter_mut().for_each(|half| half.fill(0));
        self.began = Instant::now();
    }

    fn slide(&mut self) {
        let now = Instant::now();
        let passed = now - self.began;
        if passed >= HALF * 2 {
            self.clear();
        } else if passed >= HALF {
            self.halves.swap(0, 1);
            self.halves[0].fill(0);
            self.began = now;
        }
    }
}

/// The bucket of a time: its highest bit, and the three below.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(doublings) = (micros / u64::from(STEPS)).checked_ilog2() else { return 0 };
    let step = (micros >> doublings) % u64::from(STEPS);
    usize::try_from(u64::from(doublings * STEPS) + step).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

/// The longest time of a bucket.
fn highest(bucket: usize) -> Duration {
    let (doublings, step) = (bucket / STEPS as usize, bucket % STEPS as usize);
    Duration::from_micros(((STEPS as usize + step + 1) as u64) << doublings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_close(micros in 8u64..4_000_000_000) {
            let took = Duration::from_micros(micros);
            let told = highest(bucket(took));
            prop_assert!(told > took && told <= took.mul_f64(1.0 + 1.0 / 8.0) + Duration::from_micros(1), "{:?}", told);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_hundredth_does_not_count_and_old_times_are_forgotten() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.p99(), None);
        for _ in 0..990 {
            latencies.record(Duration::from_millis(2));
        }
        for _ in 0..9 {
            latencies.record(Duration::from_secs(30));
        }
        let p99 = latencies.p99().expect("some");
        assert!(p99 < Duration::from_millis(3), "{p99:?}");
        for _ in 0..5 {
            latencies.record(Duration::from_secs(30));
        }
        assert!(latencies.p99() > Some(Duration::from_secs(29)));
        tokio::time::sleep(HALF).await;
        latencies.record(Duration::from_millis(2));
        assert!(latencies.p99() > Some(Duration::from_secs(29)), "the half before");
        tokio::time::sleep(HALF).await;
        assert!(latencies.p99() < Some(Duration::from_millis(3)));
        tokio::time::sleep(HALF * 2).await;
        assert_eq!(latencies.p99(), None);
    }

    #[test]
    fn the_extremes_have_a_bucket() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }
}
