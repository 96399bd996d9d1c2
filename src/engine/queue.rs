//! The ranges that are to be worked on.

use crate::job::Work;
use crate::shutdown::Stop;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A range that is to be worked on.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) work: Work,
    /// Whether rows of it could not be read before.
    pub(crate) is_suspect: bool,
}

/// The claims that nobody has taken yet, in their order.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Somebody has put a claim into the queue, or has ended one.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    claims: VecDeque<Claim>,
    /// Those that readers work on: each may become several.
    taken: usize,
}

impl Queue {
    /// All of `work`.
    pub(crate) fn new(work: Vec<Work>) -> Queue {
        let claims = work.into_iter().map(|work| Claim { work, is_suspect: false }).collect();
        Queue { state: Mutex::new(State { claims, taken: 0 }), changed: Notify::new() }
    }

    /// The next claim that `admit` makes something of; others are dropped. None where there is none and nobody works on one
    /// that may yet become several, or where somebody asks to stop.
    pub(crate) async fn take<T>(&self, stop: &Stop, admit: impl Fn(&Claim) -> Option<T>) -> Option<(Claim, T)> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                while let Some(claim) = state.claims.pop_front() {
                    if let Some(admitted) = admit(&claim) {
                        state.taken += 1;
                        return Some((claim, admitted));
                    }
                }
                if state.taken == 0 {
                    return None;
                }
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = stop.requested() => return None,
            }
        }
    }

    /// Gives back a claim that was taken; `into` is what is left to do of it, which comes next: pieces, since it could not be read,
    /// or all of it once more.
    pub(crate) fn give_back(&self, into: &[Work], is_suspect: bool) {
        let mut state = self.state();
        state.taken -= 1;
        for work in into.iter().rev() {
            state.claims.push_front(Claim { work: work.clone(), is_suspect });
        }
        self.changed.notify_waiters();
    }

    /// Drops all claims.
    pub(crate) fn clear(&self) {
        self.state().claims.clear();
    }

    /// Whether there is such a claim.
    pub(crate) fn any(&self, fits: impl Fn(&Claim) -> bool) -> bool {
        self.state().claims.iter().any(fits)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A reader that panics takes the whole run down; until then the queue is as good as it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
