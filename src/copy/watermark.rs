//! The low-water mark of a range: up to which token everything is acknowledged, and what that comes to in rows.
//!
//! Batches are sent in token order and acknowledged in any. The mark moves to token T once every batch that holds a row of
//! a token ≤ T is acknowledged, and only when it is certain that no row of T is still to come: a partition may go on in
//! the next batch or on the next page, and two partitions may share a token.

use crate::job::Tally;
use crate::ring::{Token, TokenRange};
use crate::row::batch::Noted;
use crate::row::{Batch, Settled, Split};
use std::collections::VecDeque;

/// Tracks one range.
#[derive(Debug)]
pub(super) struct Watermark {
    range: TokenRange,
    /// Batches from the first unacknowledged one on.
    waiting: VecDeque<Waiting>,
    /// The number of the batch at the front of `waiting`.
    front: u64,
    /// Rows below the mark since it was last taken.
    settled: Tally,
    /// Acknowledged rows of `open_token`, whose partition may go on.
    open: Tally,
    open_token: Option<Token>,
    /// How many batches there are in all, once that is known.
    last: Option<BatchNumber>,
    taken: Option<Token>,
}

#[derive(Debug)]
struct Waiting {
    first_token: Token,
    last_token: Token,
    /// Rows and bytes below `last_token`, and of it.
    head: Tally,
    tail: Tally,
    acked: bool,
}

/// The number of a batch within its range, in token order.
pub(super) type BatchNumber = u64;

impl Watermark {
    /// For a scan of `range` from its first token.
    pub(super) fn new(range: TokenRange) -> Watermark {
        Watermark {
            range,
            waiting: VecDeque::new(),
            front: 0,
            settled: Tally::default(),
            open: Tally::default(),
            open_token: None,
            last: None,
            taken: None,
        }
    }

    /// Announces the next batch in token order.
    pub(super) fn sent(&mut self, batch: &Batch) -> BatchNumber {
        let tail_rows = batch.tail_count() as u64;
        let head_rows = batch.row_count() as u64 - tail_rows;
        let bytes = batch.bytes() as u64;
        let tail_bytes = bytes * tail_rows / (head_rows + tail_rows).max(1);
        let noted = batch.noted();
        let tally = |rows_read, bytes_read, noted: Noted| Tally {
            rows_read,
            bytes_read,
            rows_key_only: noted.key_only,
            rows_marker_inferred: noted.marker_inferred,
            rows_marker_expires: noted.marker_expires,
            rows_unknown_timestamp: noted.unknown_timestamp,
            rows_capped: noted.capped,
            ..Tally::default()
        };
        self.waiting.push_back(Waiting {
            first_token: batch.first_token(),
            last_token: batch.last_token(),
            head: tally(head_rows, bytes - tail_bytes, noted.head),
            tail: tally(tail_rows, tail_bytes, noted.tail),
            acked: false,
        });
        self.front + self.waiting.len() as u64 - 1
    }

    /// Takes the acknowledgement of a batch: all of its rows are written, but for the `settled` ones.
    pub(super) fn acked(&mut self, number: BatchNumber, settled: Split<Settled>) {
        let index = usize::try_from(number - self.front).expect("a batch is acknowledged once, after it was sent");
        let batch = &mut self.waiting[index];
        batch.acked = true;
        for (tally, settled) in [(&mut batch.head, settled.head), (&mut batch.tail, settled.tail)] {
            tally.rows_expired = settled.expired;
            tally.rows_rejected = settled.rejected;
            tally.rows_written = tally.rows_read - settled.expired - settled.rejected;
            tally.lists_reordered = settled.lists_reordered;
        }
        while self.waiting.front().is_some_and(|batch| batch.acked) {
            let batch = self.waiting.pop_front().expect("there is one");
            self.front += 1;
            if self.open_token != Some(batch.last_token) {
                self.settled += std::mem::take(&mut self.open);
            }
            self.settled += batch.head;
            self.open += batch.tail;
            self.open_token = Some(batch.last_token);
        }
    }

    /// The scan ended: after `batches` more, no further one will come.
    pub(super) fn scan_ended_after(&mut self, batches: usize) {
        self.last = Some(self.front + (self.waiting.len() + batches) as BatchNumber);
    }

    /// Whether all is scanned and acknowledged.
    pub(super) fn is_complete(&self) -> bool {
        self.last == Some(self.front)
    }

    /// What was acknowledged since the mark was last taken, below it and above.
    pub(super) fn rest(mut self) -> Tally {
        self.settled += self.open;
        self.settled
    }

    /// The mark, if it moved since it was last taken, and the rows between then and now.
    pub(super) fn take(&mut self) -> Option<(Token, Tally)> {
        let mark = self.mark()?;
        if self.taken.is_some_and(|taken| mark <= taken) {
            return None;
        }
        // The open token is settled where the mark has passed it.
        if self.open_token.is_some_and(|open| open <= mark) {
            self.settled += std::mem::take(&mut self.open);
        }
        self.taken = Some(mark);
        Some((mark, std::mem::take(&mut self.settled)))
    }

    /// The highest token up to which everything is acknowledged; `None` while that is below the range.
    fn mark(&self) -> Option<Token> {
        let mark = match self.waiting.front() {
            Some(batch) => batch.first_token.previous()?,
            None if self.is_complete() => self.range.last(),
            None => self.open_token?.previous()?,
        };
        (mark >= self.range.first()).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::fakes::{MemorySource, layout, sample_rows};
    use crate::copy::seam::{Position, Read, Source};
    use crate::row::{BatchLimits, BatchMode, Grouper, Policy, token_of};
    use proptest::prelude::*;

    /// All batches of a scan of `rows` rows in pages of `page_rows`, and how many rows have each token.
    fn batches(rows: usize, page_rows: usize) -> (Vec<Batch>, Vec<Token>) {
        let limits = BatchLimits { rows_max: 6, bytes_max: 300, partition_bytes_max: 300 };
        let mut grouper = Grouper::new(layout(), limits, BatchMode::Replicas, Policy::default(), TokenRange::RING);
        let source = MemorySource { page_rows, ..MemorySource::new(sample_rows(rows)) };
        let tokens = source.rows.keys().map(|(_, key, _)| token_of([key.as_slice()].into_iter())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut batches = Vec::new();
        let mut position = Some(Position::default());
        while let Some(at) = position {
            let read = Read { range: TokenRange::RING, position: at, rows: 1000, attempt: 0 };
            let fetched = runtime.block_on(source.read_page(&read)).expect("memory doesn't fail");
            batches.extend(grouper.group(fetched.page, 0, |_| 0).expect("in order"));
            position = fetched.next;
        }
        (batches, tokens)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Batches are announced and acknowledged in any interleaving: the mark never passes a row that isn't
        /// acknowledged or not yet announced, and the rows that it reports are exactly those up to it.
        #[test]
        fn the_mark_never_passes_an_unacknowledged_row(
            rows in 1usize..200, page_rows in 1usize..40, choices in prop::collection::vec(any::<u16>(), 600)
        ) {
            let (batches, tokens) = batches(rows, page_rows);
            let mut mark = Watermark::new(TokenRange::RING);
            let (mut announced, mut unacked, mut counted) = (0usize, Vec::new(), 0u64);
            let mut choices = choices.into_iter().cycle();
            let mut ended = false;
            while !mark.is_complete() {
                let choice = usize::from(choices.next().expect("cycles"));
                if announced < batches.len() && (unacked.is_empty() || choice % 3 == 0) {
                    unacked.push((mark.sent(&batches[announced]), announced));
                    announced += 1;
                } else if let Some(index) = (!unacked.is_empty()).then(|| choice % unacked.len()) {
                    mark.acked(unacked.swap_remove(index).0, Split::default());
                }
                if !ended && (announced == batches.len() || choice % 7 == 0 && announced + 1 == batches.len()) {
                    mark.scan_ended_after(batches.len() - announced);
                    ended = true;
                }
                if choice % 2 == 0 && let Some((cursor, tally)) = mark.take() {
                    counted += tally.rows_written;
                    prop_assert_eq!(counted, tokens.iter().filter(|&&token| token <= cursor).count() as u64);
                    let open = unacked.iter().map(|&(_, index)| &batches[index]).chain(&batches[announced..]);
                    for batch in open {
                        prop_assert!(batch.first_token() > cursor, "{} is not acknowledged", batch.first_token());
                    }
                }
            }
            prop_assert_eq!(counted + mark.rest().rows_written, rows as u64);
        }
    }
}
