//! How many rows to ask for. Cassandra cuts pages by rows, not bytes: five thousand rows may be 30 MB or 100 KB.

use crate::row::Page;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Pages should come out near this many bytes: large enough that a request's cost vanishes, small enough for memory.
const PAGE_BYTES: usize = 1 << 20;
/// The first page of a table: nothing is known of its rows, and each reader asks for one. A few round trips later the size
/// is learned.
const ROWS_FIRST: u32 = 1;
/// More rows than this save nothing.
const ROWS_MAX: u32 = 20_000;
/// What a row may come to that nobody has seen: as much as a node takes at once.
const ROW_UNSEEN: usize = 16 << 20;

/// The page size of one table, learned from its pages by all readers together.
#[derive(Debug)]
pub(crate) struct PageSize {
    /// Pages must not come out larger than this many bytes, if they can help it.
    bytes_max: usize,
    rows: AtomicU32,
    /// Bytes of the largest row; 0 before the first. It fades with each page that has none like it, since a row that is large
    /// is seldom the last, and one alone should not make all pages small for ever.
    largest: AtomicUsize,
}

impl PageSize {
    /// For pages of at most `bytes_max` bytes, as far as their rows are like those before them.
    pub(crate) fn new(bytes_max: usize) -> PageSize {
        PageSize { bytes_max, rows: ROWS_FIRST.into(), largest: 0.into() }
    }

    /// Rows to ask for.
    pub(crate) fn rows(&self) -> i32 {
        self.rows.load(Ordering::Relaxed).cast_signed()
    }

    /// Bytes that a page may come to.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_of(usize::MAX, None)
    }

    /// Bytes that so many rows of a page may come to: as if each were as large as the largest. Where none was seen yet, they are like
    /// those of `another` side.
    pub(crate) fn bytes_of(&self, rows: usize, another: Option<&PageSize>) -> usize {
        let largest = self.largest().or_else(|| another?.largest()).unwrap_or(ROW_UNSEEN);
        largest.saturating_mul(rows.min(self.rows.load(Ordering::Relaxed) as usize))
    }

    fn largest(&self) -> Option<usize> {
        Some(self.largest.load(Ordering::Relaxed)).filter(|&largest| largest > 0)
    }

    /// Learns from a page. Shrinks at once, grows fourfold at most: the next rows may be larger.
    pub(crate) fn learn(&self, page: &Page) {
        if page.rows() > 0 {
            self.learn_from(page.rows(), page.wire_size(), page.largest_row());
        }
    }

    fn learn_from(&self, rows: usize, bytes: usize, largest_row: usize) {
        let seen = self.largest.load(Ordering::Relaxed);
        let largest = largest_row.max(seen - seen / 8).max(1);
        self.largest.store(largest, Ordering::Relaxed);
        let asked = self.rows.load(Ordering::Relaxed);
        let fitting = (PAGE_BYTES / bytes.div_ceil(rows).max(1)).min(self.bytes_max / largest);
        let fitting = u32::try_from(fitting).unwrap_or(ROWS_MAX);
        // A page that came out short says little: the range may have ended.
        let grown = if rows as u64 * 2 >= u64::from(asked) { asked.saturating_mul(4) } else { asked };
        self.rows.store(fitting.min(grown).clamp(1, ROWS_MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(size: &PageSize) -> usize {
        usize::try_from(size.rows()).expect("positive")
    }

    /// A page as large as was asked for, of rows of this size.
    fn learn(size: &PageSize, row: usize) {
        size.learn_from(rows(size), rows(size) * row, row);
    }

    #[test]
    fn pages_settle_near_their_size() {
        let size = PageSize::new(8 << 20);
        assert_eq!((size.rows(), size.bytes()), (1, 16 << 20), "nobody knows what a row is like");
        for _ in 0..10 {
            learn(&size, 200);
        }
        assert_eq!((size.rows(), size.bytes()), (5242, 5242 * 200));
    }

    #[test]
    fn large_rows_shrink_the_page_at_once() {
        let size = PageSize::new(8 << 20);
        for _ in 0..5 {
            learn(&size, 10);
        }
        assert_eq!(size.rows(), 1024);
        size.learn_from(1024, 1 << 30, 1 << 20);
        assert_eq!(size.rows(), 1);
        learn(&size, 100 << 20);
        assert_eq!((size.rows(), size.bytes()), (1, 100 << 20));
    }

    #[test]
    fn one_large_row_among_small_ones_is_feared_for_a_while() {
        let size = PageSize::new(8 << 20);
        for _ in 0..10 {
            learn(&size, 100);
        }
        assert_eq!(size.rows(), 10485);
        size.learn_from(10_485, 2 << 20, 1 << 20);
        assert_eq!((size.rows(), size.bytes()), (8, 8 << 20), "all rows may be like the largest");
        learn(&size, 100);
        assert_eq!(size.rows(), 9);
        for _ in 0..60 {
            learn(&size, 100);
        }
        assert_eq!(size.rows(), 10485, "and forgotten");
    }

    #[test]
    fn a_short_page_does_not_grow_it() {
        let size = PageSize::new(8 << 20);
        size.learn_from(1, 100, 100);
        size.learn_from(4, 400, 100);
        assert_eq!(size.rows(), 16);
        size.learn_from(3, 300, 100);
        assert_eq!(size.rows(), 16);
    }
}
