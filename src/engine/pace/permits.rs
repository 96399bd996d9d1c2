//! A semaphore whose size may change while it is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits. What is taken away while it is in use goes when it is given back.
#[derive(Clone, Debug)]
pub(crate) struct Permits {
    free: Arc<Semaphore>,
    owed: Arc<AtomicUsize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permit: Option<OwnedSemaphorePermit>,
    owed: Arc<AtomicUsize>,
}

impl Permits {
    pub(crate) fn new(size: usize) -> Permits {
        Permits { free: Arc::new(Semaphore::new(size)), owed: Arc::default() }
    }

    /// Waits for a permit; first come, first served.
    pub(crate) async fn acquire(&self) -> Permit {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        self.given(permit.expect("the semaphore is never closed"))
    }

    /// A permit, where one is free.
    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(|permit| self.given(permit))
    }

    fn given(&self, permit: OwnedSemaphorePermit) -> Permit {
        Permit { permit: Some(permit), owed: Arc::clone(&self.owed) }
    }

    /// Makes their number `to`, which was `from`.
    pub(crate) fn resize(&self, from: usize, to: usize) {
        if to < from {
            let forgotten = self.free.forget_permits(from - to);
            self.owed.fetch_add(from - to - forgotten, Ordering::Relaxed);
        } else {
            let paid = (0..to - from).take_while(|_| pay(&self.owed)).count();
            self.free.add_permits(to - from - paid);
        }
    }
}

/// Takes one off what is owed, if anything is.
fn pay(owed: &AtomicUsize) -> bool {
    // The usual case by far, and cheap.
    owed.load(Ordering::Relaxed) > 0
        && owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| owed.checked_sub(1)).is_ok()
}

impl Drop for Permit {
    fn drop(&mut self) {
        if pay(&self.owed)
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(permits: &Permits) -> Vec<Permit> {
        std::iter::from_fn(|| permits.try_acquire()).collect()
    }

    #[test]
    fn their_number_changes_while_they_are_in_use() {
        let permits = Permits::new(8);
        let mut held = take_all(&permits);
        permits.resize(8, 2);
        held.truncate(3);
        assert!(permits.try_acquire().is_none(), "five were given back, and six are taken away");
        permits.resize(2, 4);
        assert_eq!(take_all(&permits).len(), 1, "three are in use");
        drop(held);
        assert_eq!(take_all(&permits).len(), 4);
        permits.resize(4, 1);
        assert_eq!(take_all(&permits).len(), 1);
    }
}
