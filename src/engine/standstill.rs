//! Standing still: since when nothing gets through, what is waited for, and when the whole copy is given up.
//!
//! A call that fails doesn't know whether it is alone. Where others get through, it is given up after its own patience, and
//! its range with it. Where nothing gets through on its side, that would fail one range after another, each after a wait
//! of its own; so it goes on, until nothing at all was done for as long. Then the tables that are under way are given up; for a
//! while others are tried, if there are any; then the copy is given up as a whole.

use super::pace::SILENT;
use crate::call::{CallError, Class};
use crate::event::{Event, Events};
use crate::shutdown::Stop;
use crate::side::Nodes;
use crate::side::Side;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether anything was done.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What lasts longer is told …
const TELL_AFTER: Duration = Duration::from_secs(5);
/// … and told again: after twice as long each time, and at least this often.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Where the tables under way are given up and others are tried, those have this long to get something through.
const PROBE: Duration = Duration::from_secs(60);

/// What all calls of a copy know of each other.
#[derive(Debug)]
pub struct Standstill {
    limit: Duration,
    events: Events,
    stop: Stop,
    started: Instant,
    /// For how long the copy was paused: no fault of any cluster.
    excused: Mutex<Duration>,
    sides: [Answers; 2],
    given_up: CancellationToken,
}

/// The calls for one table.
#[derive(Debug)]
pub struct Calls {
    standstill: Arc<Standstill>,
    /// Asks to begin no more of them: everybody stops, or work on the table is in vain.
    stop: Stop,
    /// Those that failed and are tried again.
    failing: AtomicUsize,
    /// Cancelled when the table is given up.
    abandoned: CancellationToken,
}

/// What comes of the calls to one side.
#[derive(Debug, Default)]
struct Answers {
    /// When the last one got through, in microseconds since the start.
    done_us: AtomicU64,
    /// Those that failed and are tried again.
    trouble: Mutex<Option<Trouble>>,
}

/// Calls that failed and are tried again.
#[derive(Clone, Debug)]
struct Trouble {
    /// How many. None, where the last one was given up just now: others may follow in its place.
    calls: usize,
    /// When that was.
    given_up: Option<Instant>,
    /// When the first of them was begun, or, where that is later, the last other one got through.
    since: Instant,
    /// What the last failure was.
    class: Class,
    message: String,
}

/// Measures time, but for pauses.
pub(crate) struct Stopwatch<'a> {
    standstill: &'a Standstill,
    since: Instant,
    excused: Duration,
}

impl Stopwatch<'_> {
    /// How long it is since then.
    pub(crate) fn elapsed(&self) -> Duration {
        let excused = self.standstill.excused().saturating_sub(self.excused);
        self.since.elapsed().saturating_sub(excused)
    }
}

/// A call that failed and is tried again, until this is dropped.
pub(crate) struct Failing<'a> {
    calls: &'a Calls,
    side: Side,
}

impl Standstill {
    /// A copy that is given up when nothing was done for `limit`.
    pub fn new(limit: Duration, events: Events, stop: Stop) -> Standstill {
        Standstill {
            limit,
            events,
            stop,
            started: Instant::now(),
            excused: Mutex::default(),
            sides: Default::default(),
            given_up: CancellationToken::new(),
        }
    }

    /// Measures for how long a call fails.
    pub(crate) fn stopwatch(&self) -> Stopwatch<'_> {
        Stopwatch { standstill: self, since: Instant::now(), excused: self.excused() }
    }

    /// For how long the copy was paused.
    fn excused(&self) -> Duration {
        *self.excused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where retries are told.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// A call got through.
    pub(crate) fn done(&self, side: Side) {
        self.of(side).done_us.store(self.micros(Instant::now()), Ordering::Relaxed);
    }

    /// Begins to count anew: what was waited for so far was no fault of the clusters.
    pub fn reset(&self) {
        self.done(Side::Source);
        self.done(Side::Target);
    }

    fn note(&self, side: Side, began: Instant, error: &CallError, more: usize) {
        let mut trouble = self.of(side).trouble();
        let calls = trouble.as_ref().map_or(0, |trouble| trouble.calls) + more;
        let done = self.last_done(side);
        let ended =
            |trouble: &Trouble| trouble.given_up.map_or(Duration::ZERO, |at| began.saturating_duration_since(at));
        let lasting = trouble.as_ref().filter(|trouble| done <= trouble.since && ended(trouble) < TELL_AFTER);
        let since = lasting.map_or(began.max(done), |trouble| trouble.since);
        *trouble = Some(Trouble { calls, given_up: None, since, class: error.class, message: error.message.clone() });
    }

    /// Whether a call to this side that has failed for `patience` is to go on, since no other one gets through either: it is
    /// given up with the whole copy, or not at all.
    pub(crate) fn is_shared(&self, side: Side, patience: Duration) -> bool {
        patience >= self.limit && self.last_done(side).elapsed() >= self.limit / 2
    }

    /// Resolves when what is under way is not to be waited for any longer.
    pub(crate) async fn cut(&self) {
        tokio::select! {
            biased;
            () = self.given_up.cancelled() => {}
            () = self.stop.overdue() => {}
        }
    }

    /// Tells what is waited for, and when it is back. Resolves when the copy is given up, with the side to blame; then it
    /// has asked everybody to stop. Nothing is waited for during a pause. `nodes` are those of a side; `turn_to_others` gives
    /// up the tables under way, and says whether there are others.
    pub(crate) async fn watch(
        &self,
        is_paused: impl Fn() -> bool,
        nodes: impl Fn(Side) -> Option<Nodes>,
        turn_to_others: impl Fn() -> bool,
    ) -> Side {
        let mut told: [Option<Told>; 2] = Default::default();
        let mut turned: Option<Instant> = None;
        loop {
            let looked = Instant::now();
            tokio::time::sleep(LOOK_EVERY.min(self.limit / 4).max(Duration::from_millis(10))).await;
            if is_paused() {
                self.reset();
                self.excused.lock().unwrap_or_else(PoisonError::into_inner).add_assign(looked.elapsed());
                continue;
            }
            for (side, told) in [Side::Source, Side::Target].into_iter().zip(&mut told) {
                self.tell(side, told, &nodes);
            }
            turned = turned.filter(|turned| self.last_done(Side::Source).max(self.last_done(Side::Target)) < *turned);
            let limit = if turned.is_some() { self.limit.min(PROBE) } else { self.limit };
            if let Some((side, trouble)) = self.worst()
                && self.idle() >= limit
            {
                let any_answers = nodes(side).is_none_or(|nodes| nodes.silent < nodes.all);
                if turned.is_none() && any_answers && turn_to_others() {
                    turned = Some(Instant::now());
                    continue;
                }
                let Trouble { since, class, message, .. } = trouble;
                let after_s = since.elapsed().as_secs();
                self.events.emit(Event::GaveUp { side, after_s, nodes: nodes(side), class, message });
                // In this order: what fails now fails for this reason, and isn't merely stopped.
                self.given_up.cancel();
                self.stop.give_up();
                return side;
            }
        }
    }

    fn tell(&self, side: Side, told: &mut Option<Told>, nodes: impl Fn(Side) -> Option<Nodes>) {
        match (self.trouble(side), told.as_mut()) {
            (None, None) => {}
            (None, Some(Told { since, .. })) => {
                let (since, done) = (*since, self.last_done(side));
                *told = None;
                // Or else nobody calls any more.
                if done > since {
                    self.events.emit(Event::Back { side, after_s: (done - since).as_secs() });
                }
            }
            (Some(trouble), _) => {
                let lasts = trouble.since.elapsed();
                if lasts < told.as_ref().map_or(TELL_AFTER, |told| told.next) || self.idle() < TELL_AFTER {
                    return;
                }
                *told = Some(Told { since: trouble.since, next: lasts + lasts.min(TELL_EVERY) });
                self.events.emit(Event::Waiting {
                    side,
                    since_s: lasts.as_secs(),
                    nodes: nodes(side),
                    class: trouble.class,
                    message: trouble.message,
                    gives_up_in_s: self.limit.saturating_sub(self.idle()).as_secs(),
                });
            }
        }
    }

    /// The side that fails for longer.
    fn worst(&self) -> Option<(Side, Trouble)> {
        let of = |side| self.trouble(side).map(|trouble| (side, trouble));
        [of(Side::Source), of(Side::Target)].into_iter().flatten().min_by_key(|(_, trouble)| trouble.since)
    }

    /// How long nothing was done, on either side, while something failed.
    fn idle(&self) -> Duration {
        let Some((_, trouble)) = self.worst() else { return Duration::ZERO };
        let done = self.last_done(Side::Source).max(self.last_done(Side::Target));
        done.max(trouble.since).elapsed()
    }

    /// What fails at a side, unless something got through since.
    fn trouble(&self, side: Side) -> Option<Trouble> {
        let lasts = |trouble: &&Trouble| trouble.calls > 0 && self.last_done(side) <= trouble.since;
        self.of(side).trouble().as_ref().filter(lasts).cloned()
    }

    /// Whether calls to a side fail, and none got through for a while.
    pub(crate) fn fails(&self, side: Side) -> bool {
        self.trouble(side).is_some_and(|trouble| trouble.since.elapsed() >= SILENT)
    }

    fn last_done(&self, side: Side) -> Instant {
        self.started + Duration::from_micros(self.of(side).done_us.load(Ordering::Relaxed))
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    fn of(&self, side: Side) -> &Answers {
        match side {
            Side::Source => &self.sides[0],
            Side::Target => &self.sides[1],
        }
    }
}

impl Calls {
    /// The calls for one table of a copy.
    pub(crate) fn of(standstill: &Arc<Standstill>) -> Calls {
        let stop = standstill.stop.part();
        Calls { standstill: Arc::clone(standstill), stop, failing: 0.into(), abandoned: CancellationToken::new() }
    }

    /// Calls outside of a copy: each is given up on its own.
    pub fn alone(events: Events, stop: Stop) -> Calls {
        Calls::of(&Arc::new(Standstill::new(Duration::MAX, events, stop)))
    }

    /// Whether somebody asked to stop, or to halt this table alone.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// All calls of the copy.
    pub(crate) fn standstill(&self) -> &Standstill {
        &self.standstill
    }

    /// Whether any of them failed and is tried again.
    pub(crate) fn are_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) > 0
    }

    /// Gives up the table.
    pub(crate) fn abandon(&self) {
        self.abandoned.cancel();
    }

    /// Resolves when the table is given up.
    pub(crate) async fn abandoned(&self) {
        self.abandoned.cancelled().await;
    }

    /// Whether the table is given up, or the whole copy.
    pub(crate) fn are_over(&self) -> bool {
        self.abandoned.is_cancelled() || self.standstill.given_up.is_cancelled()
    }

    /// A call that began then has failed for the first time.
    pub(crate) fn failing(&self, side: Side, began: Instant, error: &CallError) -> Failing<'_> {
        self.failing.fetch_add(1, Ordering::Relaxed);
        self.standstill.note(side, began, error, 1);
        Failing { calls: self, side }
    }
}

impl Failing<'_> {
    /// It has failed again, this time after it was begun then.
    pub(crate) fn again(self, began: Instant, error: &CallError) -> Self {
        self.calls.standstill.note(self.side, began, error, 0);
        self
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.calls.failing.fetch_sub(1, Ordering::Relaxed);
        let mut trouble = self.calls.standstill.of(self.side).trouble();
        if let Some(trouble) = &mut *trouble {
            trouble.calls -= 1;
            trouble.given_up = (trouble.calls == 0).then(Instant::now);
        }
    }
}

impl Answers {
    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the operator was told of a side.
#[derive(Debug)]
struct Told {
    since: Instant,
    /// It is told again once it has lasted for this long.
    next: Duration,
}
