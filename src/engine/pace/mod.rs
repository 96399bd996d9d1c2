//! The pace: how much is asked of either cluster at this moment, and why it isn't more.
//!
//! Each request passes here on its way out. In this order it waits for the end of a pause, for the limits in rows and bytes
//! per second (writes only; reads follow, since the queues are bounded), and for a place among those that are under way.

mod gate;
mod latency;
mod limiter;
mod local;
mod permits;
mod steer;

use super::retry::GaveUp;
use crate::call::CallError;
use crate::event::Events;
use crate::settings::Pace;
use crate::settings::live::Live;
use crate::shutdown::Stop;
use crate::side::Side;
use gate::Gate;
pub(in crate::engine) use gate::SILENT;
use limiter::Limiter;
pub(crate) use permits::{Permit, Permits};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;

/// What was typed, and what the operator sets since.
#[derive(Debug)]
pub struct Steering {
    /// The settings of this run.
    pub pace: Pace,
    /// What comes before them, as of now.
    pub live: watch::Receiver<Live>,
}

impl From<Pace> for Steering {
    /// Nobody will set anything.
    fn from(pace: Pace) -> Steering {
        Steering { pace, live: watch::channel(Live::default()).1 }
    }
}

/// The pace of one copy.
#[derive(Debug)]
pub(crate) struct Pacer {
    typed: Pace,
    live: watch::Receiver<Live>,
    /// What was set when it was made.
    begun: Live,
    /// As of now: what was typed, but for what is set.
    now: Mutex<Pace>,
    events: Events,
    stop: Stop,
    paused: watch::Sender<bool>,
    readers: watch::Sender<usize>,
    source: Gate,
    target: Gate,
    /// Batches that are on their way, those that wait to be repeated included.
    pub(crate) pool: Permits,
    rows: Limiter,
    bytes: Limiter,
}

/// What a request carries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// The tries of one call.
pub(crate) struct Turns<'a> {
    pacer: &'a Pacer,
    side: Side,
    stop: &'a Stop,
    /// Somebody asked to stop while it waited for its turn.
    halted: AtomicBool,
}

impl Pacer {
    /// A pace for as long as `stop` doesn't end it.
    pub(crate) fn new(steering: Steering, events: Events, stop: Stop) -> Pacer {
        let Steering { pace: typed, mut live } = steering;
        let begun = live.borrow_and_update().clone();
        let pace = typed.clone().with(&begun);
        let pacer = Pacer {
            source: Gate::new(pace.readers, pace.limits.source_latency.0),
            target: Gate::new(pace.writers, pace.limits.target_latency.0),
            pool: Permits::new(pace.writers),
            readers: watch::Sender::new(pace.readers),
            paused: watch::Sender::new(false),
            rows: Limiter::default(),
            bytes: Limiter::default(),
            now: Mutex::new(pace),
            typed,
            live,
            begun,
            events,
            stop,
        };
        pacer.begin();
        pacer
    }

    /// How many ranges may be scanned at the same time, now and whenever that changes.
    pub(crate) fn readers(&self) -> watch::Receiver<usize> {
        self.readers.subscribe()
    }

    /// Whether nothing new is to be begun.
    pub(crate) fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Resolves when a pause begins, or at once during one.
    pub(crate) async fn paused(&self) {
        let _ = self.paused.subscribe().wait_for(|paused| *paused).await;
    }

    /// Resolves when a pause has lasted for `time`.
    pub(crate) async fn pause_lasts(&self, time: Duration) {
        loop {
            self.paused().await;
            tokio::time::sleep(time).await;
            if self.is_paused() {
                return;
            }
        }
    }

    /// Resolves when there is no pause, or no more time to wait for its end.
    pub(crate) async fn go_on(&self) {
        if self.is_paused() {
            let mut paused = self.paused.subscribe();
            tokio::select! {
                biased;
                _ = paused.wait_for(|paused| !paused) => {}
                () = self.stop.requested() => {}
            }
        }
    }

    /// Waits until so much may be done, by the limits in rows and bytes per second, and until no pause holds it up.
    pub(crate) async fn charge(&self, load: Load) {
        self.go_on().await;
        self.rows.take(load.rows).await;
        self.bytes.take(load.bytes).await;
    }

    /// For the tries of one call, which isn't made any more once `stop` asks for that.
    pub(crate) fn turns<'a>(&'a self, side: Side, stop: &'a Stop) -> Turns<'a> {
        Turns { pacer: self, side, stop, halted: false.into() }
    }

    /// Waits until a request may go out; nothing where somebody asks to stop meanwhile.
    async fn turn(&self, side: Side, load: Load, stop: &Stop) -> Option<Permit> {
        let waited = async {
            if side == Side::Target {
                self.rows.take(load.rows).await;
                self.bytes.take(load.bytes).await;
            }
            let gate = self.gate(side);
            loop {
                let permit = gate.enter().await;
                if !self.is_paused() {
                    return permit;
                }
                drop(permit);
                self.go_on().await;
                if stop.is_requested() {
                    // Whoever waits for this is told by the other branch.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            permit = waited => Some(permit),
            () = stop.requested() => None,
        }
    }

    fn gate(&self, side: Side) -> &Gate {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

impl Turns<'_> {
    /// Makes a call when it is its turn and there is `room`, which is held meanwhile, and learns from how it ends. The call is
    /// made here rather than handed in: a future that is handed in takes its place twice, and the driver's are large.
    pub(crate) async fn call<R, T, F>(
        &self,
        load: Load,
        room: impl Future<Output = R>,
        call: impl FnOnce() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let Some(permit) = self.pacer.turn(self.side, load, self.stop).await else {
            self.halted.store(true, Ordering::Relaxed);
            return std::future::pending().await;
        };
        let _room = room.await;
        let in_flight = (self.side == Side::Target).then_some(self.pacer.events.counters());
        let turn = self.pacer.gate(self.side).begin(permit, in_flight);
        let result = call().await;
        turn.ended(&result);
        result
    }

    /// Waits for what comes before the turn of a call, which isn't made any more once somebody asks to stop.
    pub(crate) async fn before(&self, ready: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = ready => {}
            () = self.stop.requested() => {
                self.halted.store(true, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
        }
    }

    /// The outcome of `calls`, whose each try is made by [`Turns::call`]. What waits for its turn isn't waited for when
    /// somebody asks to stop: it has not been sent.
    pub(crate) async fn or_stopped<T>(
        &self,
        mut calls: Pin<&mut impl Future<Output = Result<T, GaveUp>>>,
    ) -> Result<T, GaveUp> {
        std::future::poll_fn(|context| match calls.as_mut().poll(context) {
            Poll::Pending if self.halted.load(Ordering::Relaxed) => Poll::Ready(Err(GaveUp::Stopped)),
            polled => polled,
        })
        .await
    }
}
