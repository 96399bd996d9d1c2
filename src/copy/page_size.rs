//! How many rows to ask for. Cassandra cuts pages by rows, not bytes: five thousand rows may be 30 MB or 100 KB.

use std::sync::atomic::{AtomicU32, Ordering};

/// Pages should come out near this many bytes: large enough that a request's cost vanishes, small enough for memory.
pub(super) const PAGE_BYTES: usize = 1 << 20;
/// The first page of a table: nothing is known of its rows, and each reader asks for one. A few round trips later the size
/// is learned.
const ROWS_FIRST: u32 = 1;
/// More rows than this save nothing.
const ROWS_MAX: u32 = 20_000;

/// The page size of one table, learned from its pages by all readers together.
#[derive(Debug)]
pub(crate) struct PageSize {
    rows: AtomicU32,
}

impl Default for PageSize {
    fn default() -> Self {
        PageSize { rows: ROWS_FIRST.into() }
    }
}

impl PageSize {
    /// Rows to ask for.
    pub(crate) fn rows(&self) -> i32 {
        self.rows.load(Ordering::Relaxed).cast_signed()
    }

    /// Learns from a page of `rows` rows in `bytes`. Shrinks at once, grows fourfold at most: the next rows may be larger.
    pub(crate) fn learn(&self, rows: usize, bytes: usize) {
        if rows == 0 {
            return;
        }
        let asked = self.rows.load(Ordering::Relaxed);
        let fitting = u32::try_from(PAGE_BYTES / bytes.div_ceil(rows).max(1)).unwrap_or(ROWS_MAX);
        // A page that came out short says little: the range may have ended.
        let grown = if rows as u64 * 2 >= u64::from(asked) { asked.saturating_mul(4) } else { asked };
        self.rows.store(fitting.min(grown).clamp(1, ROWS_MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_settle_near_their_size() {
        let size = PageSize::default();
        assert_eq!(size.rows(), 1);
        for _ in 0..10 {
            let rows = usize::try_from(size.rows()).expect("positive");
            size.learn(rows, rows * 200);
        }
        assert_eq!(size.rows(), 5242);
    }

    #[test]
    fn large_rows_shrink_the_page_at_once() {
        let size = PageSize::default();
        for _ in 0..5 {
            let rows = usize::try_from(size.rows()).expect("positive");
            size.learn(rows, rows * 10);
        }
        assert_eq!(size.rows(), 1024);
        size.learn(1024, 1 << 30);
        assert_eq!(size.rows(), 1);
        size.learn(1, 16 << 20);
        assert_eq!(size.rows(), 1);
    }

    #[test]
    fn a_short_page_does_not_grow_it() {
        let size = PageSize::default();
        size.learn(1, 100);
        size.learn(4, 400);
        assert_eq!(size.rows(), 16);
        size.learn(3, 300);
        size.learn(0, 0);
        assert_eq!(size.rows(), 16);
    }
}
