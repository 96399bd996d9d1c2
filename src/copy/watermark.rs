//! The low-water mark of a range: up to which token everything is acknowledged, and what that comes to in rows.
//!
//! Batches are sent in token order and acknowledged in any. The mark moves to token T once every batch that holds a row of
//! a token ≤ T is acknowledged, and only when it is certain that no row of T is still to come: a partition may go on in
//! the next batch or on the next page, and two partitions may share a token.

use crate::checkpoint::Tally;
use crate::ring::{Token, TokenRange};
use crate::row::Batch;
use crate::row::group::Expired;
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
        let tally = |rows, bytes| Tally { rows_read: rows, bytes_read: bytes, ..Tally::default() };
        self.waiting.push_back(Waiting {
            first_token: batch.first_token(),
            last_token: batch.last_token(),
            head: tally(head_rows, bytes - tail_bytes),
            tail: tally(tail_rows, tail_bytes),
            acked: false,
        });
        self.front + self.waiting.len() as u64 - 1
    }

    /// Takes the acknowledgement of a batch: all of its rows are written, but for the `expired` ones.
    pub(super) fn acked(&mut self, number: BatchNumber, expired: Expired) {
        let index = usize::try_from(number - self.front).expect("a batch is acknowledged once, after it was sent");
        let batch = &mut self.waiting[index];
        batch.acked = true;
        batch.head.rows_expired = expired.head;
        batch.head.rows_written = batch.head.rows_read - expired.head;
        batch.tail.rows_expired = expired.tail;
        batch.tail.rows_written = batch.tail.rows_read - expired.tail;
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
