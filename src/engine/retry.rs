//! When a failed call is tried again. One loop for both sides; the driver's own retries are switched off, since they
//! can't wait and never repeat a write that timed out.

use super::standstill::{Calls, Failing};
use crate::call::{CallError, Class};
use crate::event::Event;
use crate::settings::Patience;
use crate::side::Side;
use std::time::Duration;
use tokio::time::Instant;

/// The first wait; each one after it is twice as long, up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(50);
/// No wait is longer. A cluster that comes back is noticed within this time.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Why a call came to nothing.
#[derive(Debug)]
pub enum GaveUp {
    /// The last error, after this many tries.
    Failed(CallError, u32),
    /// The operator asked to stop while the call was failing.
    Stopped,
}

/// Calls `call` with the number of failed tries so far, until it succeeds, can't succeed, or patience ends: its own where
/// other calls get through or there is no copy ([`Calls::alone`]), that of the whole copy where none does. Patience doesn't end while
/// the copy is paused; calls outside of one know of no pause.
pub fn with_retries<T, F>(
    side: Side,
    patience: Patience,
    calls: &Calls,
    call: impl FnMut(u32) -> F,
) -> impl Future<Output = Result<T, GaveUp>>
where
    F: Future<Output = Result<T, CallError>>,
{
    with_retries_where(|_| true, side, patience, calls, call)
}

/// The same for calls that may succeed without a word from the cluster: `is_answer` tells whether there was one.
pub(crate) async fn with_retries_where<T, F>(
    is_answer: impl Fn(&T) -> bool,
    side: Side,
    patience: Patience,
    calls: &Calls,
    mut call: impl FnMut(u32) -> F,
) -> Result<T, GaveUp>
where
    F: Future<Output = Result<T, CallError>>,
{
    let standstill = calls.standstill();
    let mut tries = 0;
    let mut failing_for = None;
    let mut last: Option<(CallError, Failing<'_>)> = None;
    loop {
        let began = Instant::now();
        let error = tokio::select! {
            biased;
            result = call(tries) => match result {
                Ok(value) => {
                    if is_answer(&value) {
                        standstill.done(side);
                    }
                    return Ok(value);
                }
                Err(error) => error,
            },
            () = calls.abandoned() => return Err(dropped(calls, last, tries)),
            () = standstill.cut() => return Err(dropped(calls, last, tries)),
        };
        tries += 1;
        let patience = patience.with(error.class);
        let failing_for = failing_for.get_or_insert_with(|| standstill.stopwatch()).elapsed();
        let wait = wait(tries, error.class, fastrand::f64());
        let is_over = failing_for.saturating_add(wait) > patience && !standstill.is_shared(side, patience);
        if !error.class.is_retryable() || is_over {
            return Err(GaveUp::Failed(error, tries));
        }
        standstill.events().emit(Event::Retry {
            side,
            class: error.class,
            message: error.message.clone(),
            tries,
            wait_ms: wait.as_millis(),
        });
        let failing = match last.take() {
            None => calls.failing(side, began, &error),
            Some((_, failing)) => failing.again(began, &error),
        };
        last = Some((error, failing));
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = calls.abandoned() => return Err(dropped(calls, last, tries)),
            () = calls.stop().requested() => return Err(dropped(calls, last, tries)),
        }
    }
}

/// What comes of a call that isn't tried any longer, since it is abandoned or everybody stops.
fn dropped(calls: &Calls, last: Option<(CallError, Failing<'_>)>, tries: u32) -> GaveUp {
    match last {
        Some((error, _)) if calls.are_over() => GaveUp::Failed(error, tries),
        _ => GaveUp::Stopped,
    }
}

/// The wait before the try after `tries` failed ones, with full jitter: `fraction` of the upper half is random, so that
/// requests that failed together don't come back together.
fn wait(tries: u32, class: Class, fraction: f64) -> Duration {
    let first = if class == Class::Overloaded { WAIT_MIN * 4 } else { WAIT_MIN };
    let whole = first.saturating_mul(1 << (tries - 1).min(10)).min(WAIT_MAX);
    whole.mul_f64(0.5 + fraction / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Events;
    use crate::shutdown::Stop;
    use std::cell::Cell;

    fn error(class: Class) -> CallError {
        CallError { class, message: "no".to_owned() }
    }

    fn alone() -> Calls {
        Calls::alone(Events::none(), Stop::default())
    }

    async fn run(failures: u32, class: Class, give_up_after: Duration) -> (Result<u32, GaveUp>, Duration) {
        let calls = Cell::new(0);
        let started = Instant::now();
        let result = with_retries(Side::Target, Patience::of(give_up_after), &alone(), |tries| {
            assert_eq!(tries, calls.get());
            calls.set(tries + 1);
            async move { if tries < failures { Err(error(class)) } else { Ok(tries) } }
        })
        .await;
        (result, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_until_it_does() {
        for class in
            [Class::Timeout, Class::Overloaded, Class::Unavailable, Class::Connection, Class::Failure, Class::Other]
        {
            let (result, _) = run(7, class, Duration::from_secs(900)).await;
            assert!(matches!(result, Ok(7)), "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_pass_is_tried_once() {
        for class in [Class::Rejected, Class::Unauthorized] {
            let (result, _) = run(1, class, Duration::from_secs(900)).await;
            assert!(matches!(result, Err(GaveUp::Failed(_, 1))), "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_in_time() {
        let (result, took) = run(u32::MAX, Class::Unavailable, Duration::from_secs(60)).await;
        assert!(matches!(result, Err(GaveUp::Failed(_, tries)) if tries > 10));
        assert!((Duration::from_secs(50)..=Duration::from_secs(60)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_waiting() {
        let calls = alone();
        calls.stop().drain(crate::shutdown::Signal::Interrupt);
        let fails = |_| async { Err::<(), _>(error(Class::Timeout)) };
        let result = with_retries(Side::Source, Patience::of(Duration::MAX / 4), &calls, fails).await;
        assert!(matches!(result, Err(GaveUp::Stopped)));
    }

    #[test]
    fn waits_grow_to_a_limit_and_differ() {
        assert!(wait(1, Class::Timeout, 1.0) < wait(2, Class::Timeout, 0.5));
        assert_eq!(wait(40, Class::Timeout, 1.0), WAIT_MAX);
        assert_ne!(wait(3, Class::Timeout, 0.1), wait(3, Class::Timeout, 0.9));
    }
}
