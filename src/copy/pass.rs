//! One pass over a range: its scans, from the first page to the last acknowledgement.

use super::write::Outlet;
use super::{Copying, Lane, write};
use crate::checkpoint::CheckpointError;
use crate::engine::budget::Reservation;
use crate::engine::course::{Course, REPORT_EVERY};
use crate::engine::fetch::{Arrived, Unread, Wanted, fetch};
use crate::engine::pace::Permit;
use crate::engine::range::PassEnd;
use crate::engine::retry::GaveUp;
use crate::engine::seam::{Placement, Position, Source, Target};
use crate::engine::watermark::{BatchNumber, Piece};
use crate::engine::{Begun, Learned, Shared};
use crate::event::Event;
use crate::job::Tally;
use crate::row::{Batch, BatchMode, Grouper, RowKey, Settled};
use crate::side::Side;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// A batch that waits for its turn. The page that it points into stays reserved until its last batch is acknowledged.
struct Queued {
    batch: Batch,
    reservation: Arc<Reservation>,
}

/// What became of a batch.
struct Written {
    number: BatchNumber,
    rows: u64,
    result: Result<Settled, GaveUp>,
}

/// The state of one pass over one range.
///
/// A page is known to be next (`wanted`), then asked for (`reading`), then it has arrived and waits for the queue to empty
/// (`arrived`), then its batches wait for a place in the pool (`queue`), then for their acknowledgements (`writes`). The next page
/// is asked for when one is grouped, so at most two are held. None of the first three is the end of all scans; the pass ends
/// when the watermark is complete. Once it is halted, all but `writes` is dropped. Once a scan is
/// unreadable, nothing more is read, but what has arrived before is still written, so that each page is read once.
pub(super) struct Pass<'a, S: Source, T: Target> {
    course: Course<'a, Copying<S, T>>,
    grouper: Grouper,
    queue: VecDeque<Queued>,
    /// Never notified: pages go as their batches are acknowledged, whatever is read meanwhile.
    needed: Arc<Notify>,
}

impl<'a, S: Source, T: Target> Pass<'a, S, T> {
    /// A pass over a range by these scans: of what is left of it behind the cursor.
    pub(super) fn new(shared: &'a Shared<Copying<S, T>>, learned: &'a Learned<Copying<S, T>>, begun: Begun) -> Self {
        let lane = &learned.task.lane;
        // What batches may hold is settled per range: a topology change shows from the next one on.
        let mode = match lane.mode {
            BatchMode::Auto | BatchMode::Replicas if lane.target.placement().is_some() => BatchMode::Replicas,
            BatchMode::Auto | BatchMode::Replicas | BatchMode::Partition => BatchMode::Partition,
            BatchMode::None => BatchMode::None,
        };
        let grouper = Grouper::new(Arc::clone(&lane.layout), lane.limits, mode, lane.policy, begun.rest);
        let course = Course::new(shared, learned, begun);
        Pass { course, grouper, queue: VecDeque::new(), needed: Arc::default() }
    }

    /// Runs to its end.
    ///
    /// # Errors
    /// Where the committer is gone.
    pub(super) async fn run(mut self) -> Result<PassEnd, CheckpointError> {
        let Course { shared, learned, .. } = self.course;
        let mut writes = FuturesUnordered::new();
        let mut wanted = self.next_scan();
        if wanted.is_none() {
            // The row that the range was resumed behind was the last one.
            self.course.mark.scan_ended_after(0);
        }
        let mut reading = None;
        let mut arrived: Option<Arrived> = None;
        let mut pause = Box::pin(shared.pacer.pause_lasts(REPORT_EVERY));
        loop {
            if self.course.halted() {
                (wanted, reading, arrived) = (None, None, None);
                self.queue.clear();
                if writes.is_empty() {
                    break;
                }
            } else if self.course.is_unreadable() && self.queue.is_empty() && writes.is_empty() {
                break;
            } else if self.queue.is_empty()
                && let Some(page) = arrived.take()
            {
                // The next page is asked for before this one is written.
                self.look_at(&page);
                wanted = match page.fetched.next.clone() {
                    Some(position) => Some(self.wanted(position)),
                    None => self.next_scan(),
                };
                let is_last = wanted.is_none();
                let next = wanted.take_if(|wanted| !Self::must_wait(wanted, true));
                reading = next.map(|wanted| Box::pin(self.fetch(wanted)));
                self.take_page(page, is_last);
                continue;
            }
            let is_writing = !self.queue.is_empty() || !writes.is_empty();
            if let Some(next) = wanted.take_if(|wanted| !Self::must_wait(wanted, is_writing)) {
                reading = Some(Box::pin(self.fetch(next)));
            }
            if self.course.mark.is_complete() {
                break;
            }
            if wanted.is_none()
                && reading.is_none()
                && self.queue.is_empty()
                && writes.is_empty()
                && !self.course.halted()
                && !self.course.is_unreadable()
            {
                // Nothing can happen any more, yet a batch was never acknowledged. Better a failed range than a lost row.
                self.course.fail("a batch got lost inside migrate: please report this".to_owned());
                continue;
            }
            tokio::select! {
                biased;
                Some(written) = writes.next(), if !writes.is_empty() => self.take_written(written),
                permit = shared.pacer.pool.acquire(), if !self.queue.is_empty() => {
                    let mut permit = Some(permit);
                    while let Some(free) = permit.take()
                        && let Some(queued) = self.queue.pop_front()
                    {
                        let number = self.course.mark.sent(piece(&queued.batch));
                        writes.push(self.write(number, queued, free));
                        permit = shared.pacer.pool.try_acquire();
                    }
                }
                page = poll_some(&mut reading), if reading.is_some() => {
                    reading = None;
                    match page {
                        Ok(page) => arrived = Some(page),
                        Err(Unread::GaveUp(GaveUp::Stopped)) => self.course.stop(),
                        Err(Unread::GaveUp(GaveUp::Failed(error, tries))) => {
                            self.course.fail(format!("read failed after {tries} tries: {error}"));
                        }
                        Err(Unread::Unreadable(error, tries)) => {
                            let goes_on = self.course.read_around(Side::Source, error, tries, self.queue.len());
                            wanted = goes_on.then(|| self.wanted(Position::default()));
                        }
                    }
                }
                () = learned.calls.stop().requested(), if !self.course.is_stopping() => self.course.stop(),
                // What is acknowledged is to be saved, though nothing more happens for a long time.
                () = &mut pause => {
                    pause = Box::pin(shared.pacer.pause_lasts(REPORT_EVERY));
                }
            }
            self.course.report(REPORT_EVERY).await?;
        }
        self.course.end().await
    }

    /// Whether what is wanted is to wait while rows are on their way: a scan that may answer rows again. What a batch does may
    /// follow from what the target has of its rows, so a row is in one batch at a time.
    fn must_wait(wanted: &Wanted, is_writing: bool) -> bool {
        is_writing && !wanted.scan.is_ordered() && wanted.position.is_start()
    }

    fn fetch(&self, wanted: Wanted) -> impl Future<Output = Result<Arrived, Unread>> + use<'a, S, T> {
        fetch(self.course.shared, self.course.learned, Side::Source, wanted)
    }

    /// A page of the scan that is read now.
    fn wanted(&self, position: Position) -> Wanted {
        let Course { ref scan, rows_max, is_suspect, .. } = self.course;
        Wanted { scan: scan.clone(), position, rows_max, is_suspect, turn: 0, needed: Arc::clone(&self.needed) }
    }

    /// Begins with the next scan, if there is one.
    fn next_scan(&mut self) -> Option<Wanted> {
        self.course.next_scan()?;
        Some(self.wanted(Position::default()))
    }

    /// Learns from a page before its rows are gone.
    fn look_at(&mut self, page: &Arrived) {
        let (rows, layout) = (&page.fetched.page, &self.course.learned.task.lane.layout);
        if let Some(last) = rows.rows().checked_sub(1)
            && rows.columns() == layout.columns()
        {
            let partition = rows.span(last, 0, layout.partition_key);
            let clustering = rows.span(last, layout.partition_key, layout.clustering_key);
            let first = rows.span(0, 0, layout.partition_key);
            self.course.reached(first, RowKey::new(partition, clustering));
        }
        self.course.rows_max = page.shrunk_to.unwrap_or(self.course.rows_max.saturating_mul(2));
    }

    /// Groups a page into the queue.
    fn take_page(&mut self, mut page: Arrived, last: bool) {
        let placement: Option<Arc<dyn Placement>> = self.course.learned.task.lane.target.placement();
        let place = |token| placement.as_ref().map_or(0, |placement| placement.place(token));
        match self.grouper.group(page.fetched.page, page.read_at, place) {
            Ok(batches) => {
                let rows = batches.first().map_or(0, |batch| batch.rows().size());
                page.reservation.fit(rows + batches.len() * size_of::<Queued>());
                let reservation = Arc::new(page.reservation);
                self.queue
                    .extend(batches.into_iter().map(|batch| Queued { batch, reservation: Arc::clone(&reservation) }));
                if last {
                    self.course.mark.scan_ended_after(self.queue.len());
                }
            }
            Err(error) => self.course.fail(error.to_string()),
        }
    }

    /// Writes one batch, patiently. A batch that the target will never take is halved, down to the row that is to blame.
    fn write(
        &self,
        number: BatchNumber,
        queued: Queued,
        permit: Permit,
    ) -> impl Future<Output = Written> + use<'a, S, T> {
        let Course { shared, learned, key, .. } = self.course;
        async move {
            let Queued { batch, reservation } = queued;
            let rows = batch.row_count() as u64;
            let Copying { lane: Lane { target, .. }, answers, rejects } = &learned.task;
            let outlet = Outlet { target, tried: 0, answers, rejects };
            let result = write::write(shared, learned, outlet, key, batch).await;
            drop((permit, reservation));
            Written { number, rows, result }
        }
    }

    fn take_written(&mut self, written: Written) {
        match written.result {
            Ok(settled) => {
                let Settled { expired, rejected, .. } = settled;
                let rows = written.rows - expired - rejected;
                self.course.shared.events.emit(Event::BatchWritten { rows, expired, rejected });
                self.course.mark.acked(written.number, tally(written.rows, &settled));
                self.course.any_rows = true;
            }
            Err(GaveUp::Stopped) => self.course.stop(),
            Err(GaveUp::Failed(error, tries)) => self.course.fail(format!("write failed after {tries} tries: {error}")),
        }
    }
}

/// A batch, and what is known of its rows when it is sent.
pub(crate) fn piece(batch: &Batch) -> Piece<Tally> {
    let noted = batch.noted();
    let counts = Tally {
        rows_read: batch.row_count() as u64,
        bytes_read: batch.bytes() as u64,
        rows_key_only: noted.key_only,
        rows_marker_inferred: noted.marker_inferred,
        rows_marker_expires: noted.marker_expires,
        rows_unknown_timestamp: noted.unknown_timestamp,
        rows_capped: noted.capped,
        ..Tally::default()
    };
    Piece { first_token: batch.first_token(), last_token: batch.last_token(), last_key: batch.last_key(), counts }
}

/// What there is to add once a batch of so many rows is acknowledged: all of them are written, but for the `settled` ones.
pub(crate) fn tally(rows: u64, settled: &Settled) -> Tally {
    let Settled { expired, rejected, lists_reordered, .. } = *settled;
    let rows_written = rows - expired - rejected;
    Tally { rows_written, rows_expired: expired, rows_rejected: rejected, lists_reordered, ..Tally::default() }
}

/// Polls the future in place; a lost race against another branch doesn't lose the future.
async fn poll_some<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
