//! The low-water mark of a range: up to which row everything is acknowledged, and what that comes to in rows.
//!
//! Batches are sent in the order of the scan and acknowledged in any. The mark stands behind the last row before which no
//! row waits for its acknowledgement. A token is done only when it is certain that no row of it is still to come: a partition
//! may go on in the next batch or on the next page, and two partitions may share a token. Until then the mark stands inside of it.

use crate::job::{Counts, Cursor};
use crate::ring::{Token, TokenRange};
use crate::row::RowKey;
use std::collections::VecDeque;

/// Tracks one range.
#[derive(Debug)]
pub(crate) struct Watermark<C> {
    range: TokenRange,
    /// Where the mark stands before any row.
    start: Cursor,
    /// Batches from the first unacknowledged one on; those that are acknowledged are marked so.
    waiting: VecDeque<(Piece<C>, bool)>,
    /// The number of the batch at the front of `waiting`.
    front: u64,
    /// Rows below the mark since it was last taken.
    settled: C,
    /// The last row below the mark, with its token.
    last_row: Option<(Token, RowKey)>,
    /// How many batches there are in all, once that is known.
    last: Option<BatchNumber>,
    taken: Cursor,
    frozen: bool,
}

/// Rows that are acknowledged together: a batch.
#[derive(Debug)]
pub(crate) struct Piece<C> {
    /// The token of the first row.
    pub(crate) first_token: Token,
    /// The token of the last row.
    pub(crate) last_token: Token,
    /// The last row.
    pub(crate) last_key: RowKey,
    /// What is counted of the rows.
    pub(crate) counts: C,
}

/// The number of a batch within its range, in the order of the scan.
pub(crate) type BatchNumber = u64;

impl<C: Counts> Watermark<C> {
    /// For scans of `range`, of which everything up to `start` is done.
    pub(crate) fn new(range: TokenRange, start: Cursor) -> Watermark<C> {
        Watermark {
            range,
            start: start.clone(),
            waiting: VecDeque::new(),
            front: 0,
            settled: C::default(),
            last_row: None,
            last: None,
            taken: start,
            frozen: false,
        }
    }

    /// Announces the next batch of the scan.
    pub(crate) fn sent(&mut self, piece: Piece<C>) -> BatchNumber {
        self.waiting.push_back((piece, false));
        self.front + self.waiting.len() as u64 - 1
    }

    /// Takes the acknowledgement of a batch; `counts` is what there is to add to what was counted of it.
    pub(crate) fn acked(&mut self, number: BatchNumber, counts: C) {
        let index = usize::try_from(number - self.front).expect("a batch is acknowledged once, after it was sent");
        let (piece, acked) = &mut self.waiting[index];
        *acked = true;
        piece.counts += counts;
        while self.waiting.front().is_some_and(|(_, acked)| *acked) {
            let (piece, _) = self.waiting.pop_front().expect("there is one");
            self.front += 1;
            self.settled += piece.counts;
            self.last_row = Some((piece.last_token, piece.last_key));
        }
    }

    /// The scan ended: after `batches` more, no further one will come.
    pub(crate) fn scan_ended_after(&mut self, batches: usize) {
        self.last = Some(self.front + (self.waiting.len() + batches) as BatchNumber);
    }

    /// Whether all is scanned and acknowledged.
    pub(crate) fn is_complete(&self) -> bool {
        self.last == Some(self.front)
    }

    /// All before `token` is scanned; takes effect where all of it is acknowledged, too.
    pub(crate) fn reached(&mut self, token: Token) {
        if token > self.range.first() && self.waiting.is_empty() && !self.frozen {
            (self.start, self.last_row) = (Cursor { token: token.previous(), row: None }, None);
        }
    }

    /// Where the mark stood when it was last taken.
    pub(crate) fn cursor(&self) -> Cursor {
        self.taken.clone()
    }

    /// From now on rows come in another order than that of keys, or some before them are missing: the mark stays where it was
    /// last taken. What is counted after that shows only when all is done.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
    }

    /// What was acknowledged since the mark was last taken.
    pub(crate) fn rest(self) -> C {
        self.settled
    }

    /// The same, with what was acknowledged behind rows that weren't.
    pub(crate) fn beyond(&self) -> C {
        let mut counts = self.settled;
        self.waiting.iter().filter(|(_, acked)| *acked).for_each(|(piece, _)| counts += piece.counts);
        counts
    }

    /// The mark, if it moved since it was last taken, and the rows between then and now.
    pub(crate) fn take(&mut self) -> Option<(Cursor, C)> {
        if self.frozen {
            return None;
        }
        let mark = self.mark();
        if mark == self.taken {
            return None;
        }
        self.taken = mark.clone();
        Some((mark, std::mem::take(&mut self.settled)))
    }

    fn mark(&self) -> Cursor {
        if self.is_complete() {
            return Cursor { token: Some(self.range.last()), row: None };
        }
        let done_before = |token: Token| token.previous().filter(|&token| token >= self.range.first());
        let next = self.waiting.front().map(|(piece, _)| piece.first_token);
        match &self.last_row {
            Some((token, row)) if next.is_none_or(|next| next == *token) => {
                Cursor { token: done_before(*token).or(self.start.token), row: Some(row.clone()) }
            }
            _ => match next.and_then(done_before) {
                Some(token) => Cursor { token: Some(token), row: None },
                None => self.start.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::fakes::{Key, MemorySource, layout, sample_rows};
    use crate::copy::{piece, tally};
    use crate::engine::seam::{Position, Read, Scan, Source};
    use crate::row::{Batch, BatchLimits, BatchMode, Grouper, Policy, Settled};
    use proptest::prelude::*;

    /// All batches of a scan of `rows` rows in pages of `page_rows`, and the keys of the rows in their order.
    fn batches(rows: usize, page_rows: usize) -> (Vec<Batch>, Vec<Key>) {
        let limits = BatchLimits { rows_max: 6, bytes_max: 300, partition_bytes_max: 300 };
        let mut grouper = Grouper::new(layout(), limits, BatchMode::Replicas, Policy::default(), TokenRange::RING);
        let source = MemorySource { page_rows, ..MemorySource::new(sample_rows(rows)) };
        let keys = source.rows.keys().cloned().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut batches = Vec::new();
        let mut position = Some(Position::default());
        while let Some(at) = position {
            let read = Read { scan: Scan::Tokens(TokenRange::RING), position: at, rows: 1000, turn: 0 };
            let fetched = runtime.block_on(source.read_page(&read)).expect("memory doesn't fail");
            batches.extend(grouper.group(fetched.page, 0, |_| 0).expect("in order"));
            position = fetched.next;
        }
        (batches, keys)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Batches are announced and acknowledged in any interleaving: the mark never passes a row that isn't
        /// acknowledged or not yet announced, and the rows that it reports are exactly those up to it.
        #[test]
        fn the_mark_never_passes_an_unacknowledged_row(
            rows in 1usize..200, page_rows in 1usize..40, choices in prop::collection::vec(any::<u16>(), 600)
        ) {
            let (batches, keys) = batches(rows, page_rows);
            let mut mark = Watermark::new(TokenRange::RING, Cursor::default());
            let (mut announced, mut unacked, mut counted) = (0usize, Vec::new(), 0u64);
            let mut choices = choices.into_iter().cycle();
            let mut ended = false;
            while !mark.is_complete() {
                let choice = usize::from(choices.next().expect("cycles"));
                if announced < batches.len() && (unacked.is_empty() || choice % 3 == 0) {
                    unacked.push((mark.sent(piece(&batches[announced])), announced));
                    announced += 1;
                } else if let Some(index) = (!unacked.is_empty()).then(|| choice % unacked.len()) {
                    let (number, batch) = unacked.swap_remove(index);
                    mark.acked(number, tally(batches[batch].row_count() as u64, &Settled::default()));
                }
                if !ended && (announced == batches.len() || choice % 7 == 0 && announced + 1 == batches.len()) {
                    mark.scan_ended_after(batches.len() - announced);
                    ended = true;
                }
                if choice % 2 == 0 && let Some((cursor, tally)) = mark.take() {
                    counted += tally.rows_written;
                    let row = cursor.row.map(|row| (row.token(), row.partition_key().remove(0), row.clustering_key().expect("a row").remove(0)));
                    let is_done = |key: &Key| cursor.token.is_some_and(|token| key.0 <= token) || row.as_ref().is_some_and(|row| key <= row);
                    prop_assert_eq!(counted, keys.iter().filter(|key| is_done(key)).count() as u64);
                    let open = unacked.iter().map(|&(_, index)| &batches[index]).chain(&batches[announced..]);
                    for batch in open {
                        let first = batch.rows().row_key(batch.first_row());
                        let first = (first.token(), first.partition_key().remove(0), first.clustering_key().expect("a row").remove(0));
                        prop_assert!(!is_done(&first), "{:?} is not acknowledged", first);
                    }
                }
            }
            prop_assert_eq!(counted + mark.rest().rows_written, rows as u64);
        }
    }
}
