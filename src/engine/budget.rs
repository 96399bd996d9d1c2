//! The memory budget: one number of bytes for all that is read, waits, and is on its way to the target.
//!
//! It has shares, so that nobody waits in a circle. A page is given back when its last batch is acknowledged, and for that
//! its batches must be sent. Who sends waits only for others that send, and those wait for the target alone; who waits for room
//! for another page goes on sending those that it has. Who looks at rows again holds pages of streams meanwhile, so it waits in
//! a share of its own, and with that in hand for nothing but requests. Of each share, one part may be larger than the whole: then it
//! travels alone, rather than never.

use crate::event::Counters;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, Notify};

/// Requests and looks have one part in this many together, pages the rest.
const PARTS: u64 = 4;

/// Bytes, shared by all readers and all their writes.
#[derive(Debug)]
pub(crate) struct Budget {
    pages: Arc<Share>,
    requests: Arc<Share>,
    looks: Arc<Share>,
}

/// A part of the budget for one purpose.
#[derive(Debug, Default)]
struct Share {
    total: usize,
    /// More than all of it, where something turned out larger than expected: nothing is handed out until that is paid back.
    used: AtomicUsize,
    /// Whose turn it is to wait for `freed`. The others wait for the turn, first come, first served: what is large would
    /// never find room otherwise.
    turn: Mutex<()>,
    freed: Notify,
    counters: Arc<Counters>,
}

/// Some bytes of the budget; they go back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    share: Arc<Share>,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes`; where rows are looked at again (`has_looks`), that has half of what requests have elsewhere. Whoever
    /// waits for room is counted while it lasts.
    pub(crate) fn new(bytes: u64, has_looks: bool, counters: &Arc<Counters>) -> Budget {
        let share = |bytes| {
            let total = usize::try_from(bytes).unwrap_or(usize::MAX);
            Arc::new(Share { total, counters: Arc::clone(counters), ..Share::default() })
        };
        let beside_pages = bytes / PARTS;
        let looks = if has_looks { beside_pages / 2 } else { 0 };
        Budget { pages: share(bytes - beside_pages), requests: share(beside_pages - looks), looks: share(looks) }
    }

    /// Bytes for all pages together.
    pub(crate) fn for_pages(&self) -> usize {
        self.pages.total
    }

    /// Waits until there is room for a page, and takes it. How many bytes that are is asked again whenever there is more room:
    /// other pages may have shown it meanwhile.
    pub(crate) async fn page(&self, bytes: impl Fn() -> usize) -> Reservation {
        Share::take(&self.pages, bytes).await
    }

    /// Takes room for a page without waiting, for those that hold others until they have it. What is too much by this is held
    /// back from those who come next.
    pub(crate) fn page_now(&self, bytes: usize) -> Reservation {
        let mut reservation = Reservation { share: Arc::clone(&self.pages), bytes: 0 };
        reservation.fit(bytes);
        reservation
    }

    /// Waits until there is room to look at so much, and takes it. With this in hand, room may be waited for that requests have,
    /// and nothing else that others hold.
    pub(crate) async fn look(&self, bytes: impl Fn() -> usize) -> Reservation {
        Share::take(&self.looks, bytes).await
    }

    /// For a page of a look, whose room was waited for: nothing of it until it is known how large it is.
    pub(crate) fn looked_at(&self) -> Reservation {
        Reservation { share: Arc::clone(&self.looks), bytes: 0 }
    }

    /// Waits until there is room for a request of `bytes`, and takes it. Nothing else may be waited for with this in hand
    /// but the target.
    pub(crate) async fn request(&self, bytes: usize) -> Reservation {
        Share::take(&self.requests, || bytes).await
    }
}

impl Share {
    async fn take(this: &Arc<Share>, bytes: impl Fn() -> usize) -> Reservation {
        if let Ok(_turn) = this.turn.try_lock()
            && let Some(reservation) = Share::try_take(this, bytes())
        {
            return reservation;
        }
        let _waits = Waits::counted(&this.counters);
        let _turn = this.turn.lock().await;
        loop {
            if let Some(reservation) = Share::try_take(this, bytes()) {
                return reservation;
            }
            this.freed.notified().await;
        }
    }

    fn try_take(this: &Arc<Share>, bytes: usize) -> Option<Reservation> {
        let fits = |used: usize| {
            let after = used.saturating_add(bytes);
            (used == 0 || after <= this.total).then_some(after)
        };
        this.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Reservation { share: Arc::clone(this), bytes })
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        // Kept for the next one to wait, where nobody waits yet.
        self.freed.notify_one();
    }
}

impl Reservation {
    /// Makes the reservation fit `bytes`, once they are known. It never waits: they are in memory already, and waiting with
    /// them in hand could be waiting for oneself. What is too much by this is held back from those who come next.
    pub(crate) fn fit(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.share.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.share.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.share.give_back(self.bytes);
    }
}

/// Somebody waits, until this is dropped.
struct Waits<'a>(&'a Counters);

impl<'a> Waits<'a> {
    fn counted(counters: &'a Counters) -> Waits<'a> {
        counters.waiting_for_memory.fetch_add(1, Ordering::Relaxed);
        Waits(counters)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting_for_memory.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::cell::Cell;

    fn budget() -> Budget {
        Budget::new(400, true, &Arc::default())
    }

    fn waiting(budget: &Budget) -> u64 {
        budget.pages.counters.waiting_for_memory.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn what_is_taken_is_given_back() {
        let budget = budget();
        let mut first = budget.page(|| 200).await;
        assert!(budget.page(|| 101).now_or_never().is_none(), "more than is free must wait");
        assert_eq!(waiting(&budget), 0, "who was dropped waits no more");
        first.fit(190);
        let second = budget.page(|| 101).now_or_never().expect("some was given back");
        drop((first, second));
        assert!(budget.page(|| 300).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_turns_out_too_large_is_paid_back_first() {
        let budget = budget();
        let (mut first, second) = (budget.page(|| 100).await, budget.page(|| 100).await);
        first.fit(1000);
        drop(second);
        assert!(budget.page(|| 1).now_or_never().is_none());
        first.fit(299);
        assert!(budget.page(|| 1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_larger_than_everything_travels_alone() {
        let budget = budget();
        let small = budget.page(|| 1).await;
        assert!(budget.page(|| 1 << 30).now_or_never().is_none());
        drop(small);
        let large = budget.page(|| 1 << 30).now_or_never().expect("there is nobody else");
        assert!(budget.page(|| 1).now_or_never().is_none());
        let look = budget.look(|| 1 << 30).now_or_never().expect("looks don't wait for pages");
        assert!(budget.look(|| 1).now_or_never().is_none());
        assert!(budget.request(1 << 30).now_or_never().is_some(), "requests wait for neither");
        drop(look);
        drop(large);
    }

    #[tokio::test]
    async fn the_first_to_wait_is_the_first_to_be_served() {
        let budget = budget();
        let held = budget.page(|| 200).await;
        let (mut large, mut small) = (Box::pin(budget.page(|| 250)), Box::pin(budget.page(|| 10)));
        assert!(large.as_mut().now_or_never().is_none() && small.as_mut().now_or_never().is_none());
        assert_eq!(waiting(&budget), 2);
        drop(held);
        assert!(small.as_mut().now_or_never().is_none(), "the large one comes first");
        let large = large.await;
        let small = small.now_or_never().expect("there is room");
        assert_eq!(waiting(&budget), 0);
        drop((large, small));
    }

    #[tokio::test]
    async fn what_is_learned_while_waiting_counts() {
        let budget = budget();
        let expected = Cell::new(1 << 20);
        let mut held = budget.page(|| 300).await;
        let mut next = Box::pin(budget.page(|| expected.get()));
        assert!(next.as_mut().now_or_never().is_none());
        expected.set(10);
        held.fit(290);
        assert!(next.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_is_dropped_wakes_the_next() {
        let budget = budget();
        let held = budget.page(|| 200).await;
        let (mut first, mut second) = (Box::pin(budget.page(|| 250)), Box::pin(budget.page(|| 100)));
        assert!(first.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
        drop(held);
    }
}
