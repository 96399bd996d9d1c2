//! One side of a scan: its rows in order, page by page, with the next page asked for while one is compared.

use super::merge::Feed;
use crate::engine::fetch::{Arrived, Unread, Wanted, fetch};
use crate::engine::seam::{Position, Scan};
use crate::engine::{Learned, Shared, Task};
use crate::row::Page;
use crate::side::Side;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// The rows of a scan at one side.
pub(super) struct Stream<'a, K: Task> {
    shared: &'a Shared<K>,
    learned: &'a Learned<K>,
    side: Side,
    scan: Scan,
    is_suspect: bool,
    /// Rows per page at most, since more could not be read before.
    rows_max: i32,
    /// The page after those that were asked for.
    next: Option<Position>,
    reading: Option<(usize, BoxFuture<'a, Result<Arrived, Unread>>)>,
    /// Notified when nothing can go on without the page that is read now.
    needed: Arc<Notify>,
    /// What has arrived: the page that is compared, and the next one.
    pages: [Option<Held>; 2],
    /// Why nothing more comes.
    failed: Option<Unread>,
}

/// A page, and how far it is compared.
pub(super) struct Held {
    arrived: Arrived,
    /// The leg of the scan that it is of: [`Position::leg`].
    pub(super) leg: usize,
    /// The row that comes next.
    pub(super) at: usize,
}

impl Held {
    /// The rows.
    pub(super) fn page(&self) -> &Page {
        &self.arrived.fetched.page
    }

    /// When it was asked for, in seconds since the Unix epoch.
    pub(super) fn read_at(&self) -> i64 {
        self.arrived.read_at
    }
}

/// What a stream has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A row: the next one of the page at hand.
    Row,
    /// All rows of the scan were given.
    End,
    /// Nothing more, since it can't be read on.
    Failed,
}

impl<'a, K: Task> Stream<'a, K> {
    /// Begins to read.
    pub(super) fn new(
        shared: &'a Shared<K>,
        learned: &'a Learned<K>,
        side: Side,
        scan: Scan,
        (rows_max, is_suspect): (i32, bool),
    ) -> Self {
        Stream {
            shared,
            learned,
            side,
            scan,
            is_suspect,
            rows_max,
            next: Some(Position::default()),
            reading: None,
            needed: Arc::default(),
            pages: [None, None],
            failed: None,
        }
    }

    /// Resolves when it is known what comes next. Must be asked again after each page; meanwhile pages go on to arrive.
    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Head> {
        loop {
            if self.pages[0].as_ref().is_some_and(|held| held.at >= held.page().rows()) {
                self.pages[0] = None;
            }
            if self.pages[0].is_none() {
                self.pages[0] = self.pages[1].take();
            }
            let has_row = self.pages[0].as_ref().is_some_and(|held| held.at < held.page().rows());
            if self.reading.is_none()
                && self.failed.is_none()
                && self.pages[1].is_none()
                && let Some(position) = self.next.take()
            {
                self.ask(position);
            }
            let Some((leg, reading)) = &mut self.reading else {
                return match (has_row, &self.pages[0], &self.failed) {
                    (true, ..) => Poll::Ready(Head::Row),
                    // It is a page without rows.
                    (false, Some(_), _) => continue,
                    (false, None, Some(_)) => Poll::Ready(Head::Failed),
                    (false, None, None) => Poll::Ready(Head::End),
                };
            };
            let leg = *leg;
            match reading.poll_unpin(context) {
                Poll::Pending if has_row => return Poll::Ready(Head::Row),
                Poll::Pending => {
                    self.needed.notify_one();
                    return Poll::Pending;
                }
                Poll::Ready(result) => {
                    self.reading = None;
                    self.take(leg, result);
                }
            }
        }
    }

    fn ask(&mut self, position: Position) {
        let (leg, scan) = (position.leg, self.scan.clone());
        self.needed = Arc::default();
        let (rows_max, is_suspect, needed) = (self.rows_max, self.is_suspect, Arc::clone(&self.needed));
        let wanted = Wanted { scan, position, rows_max, is_suspect, turn: 0, needed };
        self.reading = Some((leg, Box::pin(fetch(self.shared, self.learned, self.side, wanted))));
    }

    fn take(&mut self, leg: usize, result: Result<Arrived, Unread>) {
        match result {
            Ok(arrived) => {
                self.rows_max = arrived.shrunk_to.unwrap_or(self.rows_max.saturating_mul(2));
                self.next.clone_from(&arrived.fetched.next);
                let place = usize::from(self.pages[0].is_some());
                self.pages[place] = Some(Held { arrived, leg, at: 0 });
            }
            Err(unread) => self.failed = Some(unread),
        }
    }

    /// What is at hand, once it is known what comes next.
    pub(super) fn feed(&self) -> Feed<'_> {
        let has_ended = self.pages[0].is_none() && self.failed.is_none();
        Feed { held: self.pages[0].as_ref(), layout: self.learned.task.layout(self.side), has_ended }
    }

    /// All rows of the page at hand before `at` are compared.
    pub(super) fn advance(&mut self, at: usize) {
        if let Some(held) = &mut self.pages[0] {
            held.at = at;
        }
    }

    /// Rows that a page may have, by the last one.
    pub(super) fn rows_max(&self) -> i32 {
        self.rows_max
    }

    /// Why it ended early.
    pub(super) fn failure(&mut self) -> Option<Unread> {
        self.failed.take()
    }
}
