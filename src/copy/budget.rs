//! The memory budget: one number of bytes for all pages that are being read, grouped and written.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes, shared by all readers. Counted in KiB, since a semaphore counts in u32.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    total_kib: u32,
}

/// A part of the budget; it goes back when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    permit: OwnedSemaphorePermit,
    free: Arc<Semaphore>,
}

impl Budget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: u64) -> Budget {
        let total_kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 3);
        Budget { free: Arc::new(Semaphore::new(total_kib as usize)), total_kib }
    }

    /// Waits until `bytes` are free and takes them. More than the whole budget is the whole budget: one oversized page
    /// then travels alone, rather than never.
    pub(super) async fn reserve(&self, bytes: usize) -> Reservation {
        let permit = Arc::clone(&self.free).acquire_many_owned(self.kib(bytes)).await;
        Reservation { permit: permit.expect("the semaphore is never closed"), free: Arc::clone(&self.free) }
    }

    fn kib(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.total_kib)
    }
}

impl Reservation {
    /// Makes the reservation fit `bytes`, once they are known: gives back what is too much, and takes what is missing as
    /// far as it is free at this moment. It never waits: the page is in memory already, and waiting with it in hand could
    /// wait for itself.
    pub(super) fn fit(&mut self, bytes: usize) {
        let wanted = bytes.div_ceil(1024).max(1);
        let held = self.permit.num_permits();
        if held > wanted {
            drop(self.permit.split(held - wanted));
        } else {
            let missing = (wanted - held).min(self.free.available_permits());
            if let Ok(more) = Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(missing).unwrap_or(0)) {
                self.permit.merge(more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn what_is_reserved_is_given_back() {
        let budget = Budget::new(100 * 1024);
        let mut first = budget.reserve(60 * 1024).await;
        assert!(budget.reserve(60 * 1024).now_or_never().is_none(), "more than is free must wait");
        first.fit(10 * 1024);
        let second = budget.reserve(60 * 1024).now_or_never().expect("the rest was given back");
        first.fit(1 << 30);
        assert!(budget.reserve(1).now_or_never().is_none(), "all is taken");
        drop((first, second));
        assert!(budget.reserve(1 << 40).now_or_never().is_some(), "an oversized page takes the whole");
    }
}
