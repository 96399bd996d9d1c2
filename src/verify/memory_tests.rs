//! Rows that are looked at again share the memory budget, however large they are.

use super::withheld_tests::verify;
use crate::call::CallError;
use crate::copy::fakes::{MemorySource, Rows};
use crate::copy::split_tests::giant;
use crate::engine::seam::{Fetched, Read, Scan, Slice, Source};
use crate::job::RunOutcome;
use crate::ring::TokenRange;
use crate::row::slice::Cut;
use crate::side::Side;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of a row.
const ROW: usize = 64 << 10;

/// A side that counts the rows which looks have of the source. The target takes its time, so that they wait for it meanwhile.
struct Counting {
    inner: MemorySource,
    side: Side,
    /// Now, and at most.
    rows: Arc<[AtomicUsize; 2]>,
}

impl Source for Counting {
    async fn read_page(&self, read: &Read) -> Result<Fetched, CallError> {
        let fetched = self.inner.read_page(read).await?;
        if !matches!(read.scan, Scan::Slice(_)) {
            return Ok(fetched);
        }
        let [now, most] = &*self.rows;
        match self.side {
            Side::Source => {
                let before = now.fetch_add(fetched.page.rows(), Ordering::Relaxed);
                most.fetch_max(before + fetched.page.rows(), Ordering::Relaxed);
            }
            Side::Target => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                now.fetch_sub(fetched.page.rows(), Ordering::Relaxed);
            }
        }
        Ok(fetched)
    }

    fn bisect(&self, slice: &Slice) -> Option<Cut> {
        self.inner.bisect(slice)
    }

    fn has_statics(&self) -> bool {
        self.inner.has_statics()
    }

    fn describe(&self, scan: &Scan) -> String {
        self.inner.describe(scan)
    }

    fn remedy(&self, range: TokenRange) -> String {
        self.inner.remedy(range)
    }
}

#[test]
fn large_rows_that_differ_share_the_memory_when_they_are_looked_at() {
    let with = |writetime: i64| -> Rows {
        let large = move || Some((vec![7; ROW], writetime, 0));
        giant(200).into_keys().map(|key| (key, [large(), None])).collect()
    };
    let rows = Arc::new([0, 0].map(AtomicUsize::new));
    let side = |side, writetime| {
        let inner = MemorySource { page_rows: 500, ..MemorySource::new(with(writetime)) };
        Counting { inner, side, rows: Arc::clone(&rows) }
    };
    // An eighth of it is for looks: a page of each side has no room there with others beside it.
    let (verdict, outcome, _) = verify(side(Side::Source, 8), side(Side::Target, 7), 4 << 20);
    assert_eq!((outcome, verdict.rows_writetime), (RunOutcome::Done, 250));
    let most = rows[1].load(Ordering::Relaxed) * ROW;
    assert!(most <= 1 << 20, "{most} bytes of the source together");
}
