//! How many requests to one side may be under way: additive increase, multiplicative decrease.
//!
//! It begins wide open. A request that times out, or that the server finds too much, halves the number, and so does latency
//! above the operator's limit, though by less; each good moment brings some back. What is asked for by a single sick range
//! or batch is rare among the others, and so costs little of what they bring back meanwhile.

use super::latency::Latencies;
use super::permits::{Permit, Permits};
use crate::call::{CallError, Class};
use crate::event::Counters;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often some are added while all goes well …
const STEP_EVERY: Duration = Duration::from_millis(250);
/// … and in how many steps, at most, from the lowest number to the highest.
const STEPS_MAX: usize = 64;
/// How often latency is judged.
const JUDGE_EVERY: Duration = Duration::from_millis(500);

/// Why fewer requests are under way than might be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlowCause {
    /// They take longer than the operator allows.
    Latency,
    /// Some time out.
    Timeouts,
    /// The server asks for less.
    Overloaded,
}

/// A decrease is news for this long.
const NEWS: Duration = Duration::from_secs(2);

/// Where nothing is answered for this long, that is what stands in the way.
pub(in crate::engine) const SILENT: Duration = Duration::from_secs(2);

/// The requests to one side.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Permits,
    state: Mutex<State>,
    /// Whether anybody had to wait since that was last asked.
    held_up: AtomicBool,
}

#[derive(Debug)]
struct State {
    max: usize,
    limit: usize,
    /// Why the limit is below the maximum.
    cause: SlowCause,
    /// Requests that began before this have had their say.
    decreased: Instant,
    /// When the limit last changed.
    stepped: Instant,
    judged: Instant,
    latency_max: Option<Duration>,
    latencies: Latencies,
    under_way: usize,
    /// Since when some are under way and none was answered.
    unanswered: Option<Instant>,
}

/// A request that is under way, until this is dropped.
pub(super) struct Turn<'a> {
    gate: &'a Gate,
    began: Instant,
    _permit: Permit,
    in_flight: Option<&'a Arc<Counters>>,
}

/// What is told of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Requests at a time, now.
    pub(super) limit: usize,
    /// Why they are fewer than they may be, where somebody had to wait for that, or they were just made fewer.
    pub(super) slowed: Option<SlowCause>,
    /// The 99th percentile of the last seconds.
    pub(super) p99: Option<Duration>,
    /// Some are under way, and none was answered for a while.
    pub(super) is_silent: bool,
}

impl Gate {
    /// Lets `max` requests through at a time, and fewer when they take longer than `latency_max`.
    pub(super) fn new(max: usize, latency_max: Option<Duration>) -> Gate {
        let now = Instant::now();
        let state = State {
            max,
            limit: max,
            cause: SlowCause::Timeouts,
            decreased: now,
            stepped: now,
            judged: now,
            latency_max,
            latencies: Latencies::default(),
            under_way: 0,
            unanswered: None,
        };
        Gate { permits: Permits::new(max), state: Mutex::new(state), held_up: false.into() }
    }

    /// Changes what is allowed.
    pub(super) fn allow(&self, max: usize, latency_max: Option<Duration>) {
        let mut state = self.state();
        state.latency_max = latency_max;
        if max != state.max {
            // Where nothing stood in the way of the old maximum, nothing stands in the way of the new one.
            let limit = if state.limit == state.max { max } else { state.limit.min(max) };
            state.max = max;
            self.resize(&mut state, limit);
        }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Permit {
        if let Some(permit) = self.permits.try_acquire() {
            return permit;
        }
        self.held_up.store(true, Ordering::Relaxed);
        self.permits.acquire().await
    }

    /// The request begins now. It counts as in flight where there is a counter.
    pub(super) fn begin<'a>(&'a self, permit: Permit, in_flight: Option<&'a Arc<Counters>>) -> Turn<'a> {
        if let Some(counters) = in_flight {
            counters.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let began = Instant::now();
        let mut state = self.state();
        state.under_way += 1;
        state.unanswered.get_or_insert(began);
        drop(state);
        Turn { gate: self, began, _permit: permit, in_flight }
    }

    /// How it stands.
    pub(super) fn look(&self) -> Look {
        let held_up = self.held_up.swap(false, Ordering::Relaxed);
        let mut state = self.state();
        let is_new = state.decreased.elapsed() < NEWS;
        let slowed = (state.limit < state.max && (held_up || is_new)).then_some(state.cause);
        let is_silent = state.unanswered.is_some_and(|since| since.elapsed() >= SILENT);
        Look { limit: state.limit, slowed, p99: state.latencies.p99(), is_silent }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resize(&self, state: &mut State, limit: usize) {
        self.permits.resize(state.limit, limit);
        state.limit = limit;
        state.stepped = Instant::now();
    }

    fn decrease(&self, state: &mut State, limit: usize, cause: SlowCause) {
        state.cause = cause;
        state.decreased = Instant::now();
        state.latencies.clear();
        self.resize(state, limit.max(1));
    }

    fn answered(&self, began: Instant) {
        let now = Instant::now();
        let took = now - began;
        let mut state = self.state();
        state.unanswered = Some(now);
        if began >= state.decreased {
            state.latencies.record(took);
        }
        let is_fast = match state.latency_max {
            Some(max) if now - state.judged >= JUDGE_EVERY => {
                state.judged = now;
                let is_fast = state.latencies.p99().is_none_or(|p99| p99 <= max);
                if !is_fast {
                    let limit = state.limit - state.limit.div_ceil(4);
                    self.decrease(&mut state, limit, SlowCause::Latency);
                }
                is_fast
            }
            // Between two judgements a request has but its own time to show.
            Some(max) => took <= max,
            None => true,
        };
        if is_fast && state.limit < state.max && now - state.stepped >= STEP_EVERY {
            let limit = (state.limit + state.max.div_ceil(STEPS_MAX)).min(state.max);
            self.resize(&mut state, limit);
        }
    }

    fn failed(&self, began: Instant, class: Class) {
        let cause = match class {
            Class::Timeout => SlowCause::Timeouts,
            Class::Overloaded => SlowCause::Overloaded,
            _ => return,
        };
        let mut state = self.state();
        // One decrease for all that were under way together.
        if began >= state.decreased {
            let limit = state.limit / 2;
            self.decrease(&mut state, limit, cause);
        }
    }
}

impl Turn<'_> {
    /// The request has ended.
    pub(super) fn ended<T>(self, result: &Result<T, CallError>) {
        match result {
            Ok(_) => self.gate.answered(self.began),
            Err(error) => self.gate.failed(self.began, error.class),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.in_flight {
            counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        let mut state = self.gate.state();
        state.under_way -= 1;
        if state.under_way == 0 {
            state.unanswered = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn request(gate: &Gate, took: Duration, answer: Option<Class>) {
        let turn = gate.begin(gate.enter().await, None);
        tokio::time::sleep(took).await;
        turn.ended(&match answer {
            None => Ok(()),
            Some(class) => Err(CallError { class, message: String::new() }),
        });
    }

    /// Requests, each as soon as there is room, for some time.
    async fn load(gate: &Gate, time: Duration, took: impl Fn(usize) -> Duration, answer: Option<Class>) {
        let worker = async || loop {
            let took = took(gate.look().limit);
            request(gate, took, answer).await;
        };
        let workers = futures::future::join_all((0..64).map(|_| worker()));
        drop(tokio::time::timeout(time, workers).await);
    }

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn it_begins_wide_open_and_stays_so() {
        let gate = Gate::new(32, Some(50 * MS));
        load(&gate, Duration::from_secs(20), |_| 10 * MS, None).await;
        assert_eq!(gate.look().limit, 32);
        load(&gate, Duration::from_secs(2), |_| 10 * MS, Some(Class::Unavailable)).await;
        assert_eq!(gate.look().limit, 32, "less load would not bring a replica back");
    }

    #[tokio::test(start_paused = true)]
    async fn overload_halves_it_once_per_round_and_it_recovers() {
        let gate = Gate::new(32, None);
        let together = (0..32).map(|_| request(&gate, 10 * MS, Some(Class::Overloaded)));
        futures::future::join_all(together).await;
        assert_eq!(gate.look().limit, 16, "they were all under way together");
        request(&gate, 10 * MS, Some(Class::Timeout)).await;
        assert_eq!(gate.look().limit, 8);
        load(&gate, Duration::from_secs(1), |_| 10 * MS, Some(Class::Overloaded)).await;
        let look = gate.look();
        assert_eq!((look.limit, look.slowed), (1, Some(SlowCause::Overloaded)));
        load(&gate, Duration::from_secs(9), |_| 10 * MS, None).await;
        assert_eq!((gate.look().limit, gate.look().slowed), (32, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_sick_request_does_not_hold_up_the_others() {
        let gate = Gate::new(32, None);
        let sick = async {
            loop {
                request(&gate, Duration::from_secs(2), Some(Class::Timeout)).await;
                // As a call waits that is repeated.
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        };
        let mut looks = Vec::new();
        let look = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                looks.push(gate.look().limit);
            }
        };
        tokio::select! {
            () = sick => {}
            () = look => {}
            () = load(&gate, Duration::from_secs(300), |_| 10 * MS, None) => {}
        }
        let average = looks.iter().sum::<usize>() / looks.len();
        assert!(average >= 24, "{average}");
    }

    /// A server that takes 2 ms for each request that is under way: 50 ms are kept with 22 of them.
    #[tokio::test(start_paused = true)]
    async fn latency_above_the_limit_is_brought_below_it() {
        let gate = Gate::new(64, Some(50 * MS));
        let server = |limit: usize| 2 * MS * u32::try_from(limit).expect("small");
        load(&gate, Duration::from_secs(30), server, None).await;
        let look = gate.look();
        assert!((8..=26).contains(&look.limit), "{look:?}");
        assert_eq!(look.slowed, Some(SlowCause::Latency));
        gate.allow(64, None);
        load(&gate, Duration::from_secs(20), server, None).await;
        assert_eq!(gate.look().limit, 64, "nobody minds any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_answers_nothing_is_silent_and_one_that_answers_some_is_not() {
        let gate = Gate::new(8, None);
        let hanging = gate.begin(gate.enter().await, None);
        tokio::time::sleep(1900 * MS).await;
        assert!(!gate.look().is_silent);
        tokio::time::sleep(200 * MS).await;
        assert!(gate.look().is_silent);
        request(&gate, MS, None).await;
        assert!(!gate.look().is_silent, "another one got through");
        tokio::time::sleep(2 * SILENT).await;
        request(&gate, MS, Some(Class::Timeout)).await;
        assert!(gate.look().is_silent, "that was no answer");
        drop(hanging);
        assert!(!gate.look().is_silent, "nothing is asked");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_allowed_changes_at_once() {
        let gate = Gate::new(8, None);
        gate.allow(64, None);
        assert_eq!(gate.look().limit, 64);
        gate.allow(4, None);
        assert_eq!(gate.look().limit, 4);
        request(&gate, MS, Some(Class::Timeout)).await;
        gate.allow(16, None);
        assert_eq!(gate.look().limit, 2, "and yet it isn't what stands in the way");
        load(&gate, Duration::from_secs(5), |_| MS, None).await;
        assert_eq!(gate.look().limit, 16);
    }
}
