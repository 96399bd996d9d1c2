//! One range, from its first page to its last acknowledgement.

use super::budget::Reservation;
use super::page_size::PAGE_BYTES;
use super::retry::{GaveUp, with_retries};
use super::seam::{Fetched, Placement, Position, Read, Source, Target};
use super::watermark::{BatchNumber, Watermark};
use super::{Learned, Shared, write};
use crate::checkpoint::{Change, CheckpointError};
use crate::event::Event;
use crate::job::{RangeKey, Tally, Work};
use crate::ring::TokenRange;
use crate::row::{Batch, BatchMode, Grouper, Settled, Split};
use crate::side::Side;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How often a range that takes long reports its cursor.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// How the work on a range ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeEnd {
    /// All of it is acknowledged.
    Done {
        /// Whether there was anything to write.
        wrote: bool,
    },
    /// It was given up; the error is in the checkpoint.
    Failed,
    /// Somebody asked to stop; what was acknowledged is in the checkpoint.
    Stopped,
}

/// A page that arrived, before it is grouped.
struct Arrived {
    fetched: Fetched,
    read_at: i64,
    reservation: Reservation,
}

/// A batch that waits for its turn. The page that it points into stays reserved until its last batch is acknowledged.
struct Queued {
    batch: Batch,
    reservation: Arc<Reservation>,
}

/// What became of a batch.
struct Written {
    number: BatchNumber,
    rows: u64,
    result: Result<Split<Settled>, GaveUp>,
}

/// Copies what is left of `work`.
///
/// # Errors
/// Where the committer is gone.
pub(super) async fn copy<S: Source, T: Target>(shared: &Shared<S, T>, work: Work) -> Result<RangeEnd, CheckpointError> {
    let key = work.key;
    shared.events.emit(Event::RangeClaimed { key, cursor: work.cursor });
    shared.ledger.report(Change::Claimed { key }).await?;
    let Some(rest) = key.range.after(work.cursor) else {
        shared.ledger.report(Change::Done { key, tally: Tally::default() }).await?;
        return Ok(RangeEnd::Done { wrote: false });
    };
    Pass::new(shared, &shared.lanes[&key.table], key, rest).run().await
}

/// The state of one pass over one range.
///
/// A page is asked for (`reading`), then it has arrived and waits for the queue to empty (`arrived`), then its batches
/// wait for a place in the pool (`queue`), then for their acknowledgements (`writes`). The next page is asked for when one
/// is grouped, so at most two are held. No `reading` and no `arrived` is the end of the scan; the pass ends when the
/// watermark is complete. Once it is halted (`failure`, `stopping`), all but `writes` is dropped.
struct Pass<'a, S, T> {
    shared: &'a Shared<S, T>,
    learned: &'a Learned<S, T>,
    key: RangeKey,
    rest: TokenRange,
    grouper: Grouper,
    mark: Watermark,
    queue: VecDeque<Queued>,
    failure: Option<String>,
    stopping: bool,
    wrote: bool,
    reported: Instant,
}

impl<'a, S: Source, T: Target> Pass<'a, S, T> {
    fn new(shared: &'a Shared<S, T>, learned: &'a Learned<S, T>, key: RangeKey, rest: TokenRange) -> Self {
        let lane = &learned.lane;
        // What batches may hold is settled per range: a topology change shows from the next one on.
        let mode = match lane.mode {
            BatchMode::Auto | BatchMode::Replicas if lane.target.placement().is_some() => BatchMode::Replicas,
            BatchMode::Auto | BatchMode::Replicas | BatchMode::Partition => BatchMode::Partition,
            BatchMode::None => BatchMode::None,
        };
        Pass {
            shared,
            learned,
            key,
            rest,
            grouper: Grouper::new(Arc::clone(&lane.layout), lane.limits, mode, lane.policy, rest),
            mark: Watermark::new(rest),
            queue: VecDeque::new(),
            failure: None,
            stopping: false,
            wrote: false,
            reported: Instant::now(),
        }
    }

    async fn run(mut self) -> Result<RangeEnd, CheckpointError> {
        let shared = self.shared;
        let mut writes = FuturesUnordered::new();
        let mut reading = Some(Box::pin(self.fetch(Position::default())));
        let mut arrived: Option<Arrived> = None;
        loop {
            if self.halted() {
                (reading, arrived) = (None, None);
                self.queue.clear();
                if writes.is_empty() {
                    break;
                }
            } else if self.queue.is_empty()
                && let Some(page) = arrived.take()
            {
                // The next page is asked for before this one is written.
                reading = page.fetched.next.clone().map(|position| Box::pin(self.fetch(position)));
                self.take_page(page, reading.is_none());
                continue;
            }
            if self.mark.is_complete() {
                break;
            }
            if reading.is_none() && self.queue.is_empty() && writes.is_empty() && !self.halted() {
                // Nothing can happen any more, yet a batch was never acknowledged. Better a failed range than a lost row.
                self.fail("a batch got lost inside migrate: please report this".to_owned());
                continue;
            }
            tokio::select! {
                biased;
                Some(written) = writes.next(), if !writes.is_empty() => self.take_written(written),
                permit = Arc::clone(&shared.pool).acquire_owned(), if !self.queue.is_empty() => {
                    let mut permit = permit.ok();
                    while let Some(free) = permit.take()
                        && let Some(queued) = self.queue.pop_front()
                    {
                        let number = self.mark.sent(&queued.batch);
                        writes.push(self.write(number, queued, free));
                        permit = Arc::clone(&shared.pool).try_acquire_owned().ok();
                    }
                }
                page = poll_some(&mut reading), if reading.is_some() => {
                    reading = None;
                    match page {
                        Ok(page) => arrived = Some(page),
                        Err(GaveUp::Stopped) => self.stopping = true,
                        Err(GaveUp::Failed(error, tries)) => {
                            self.fail(format!("read failed after {tries} tries: {error}"));
                        }
                    }
                }
                () = shared.stop.requested(), if !self.stopping => self.stopping = true,
            }
            self.report_cursor(REPORT_EVERY).await?;
        }
        self.end().await
    }

    /// Whether nothing new is to be begun.
    fn halted(&self) -> bool {
        self.failure.is_some() || self.stopping
    }

    fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    /// Asks for one page, patiently.
    fn fetch(&self, position: Position) -> impl Future<Output = Result<Arrived, GaveUp>> + use<'a, S, T> {
        let (shared, range) = (self.shared, self.rest);
        let Learned { lane, page_size, calls, .. } = self.learned;
        async move {
            let mut reservation = shared.budget.reserve(PAGE_BYTES * 5 / 4).await;
            let (fetched, read_at) = with_retries(Side::Source, shared.patience, calls, |attempt| {
                let read = Read { range, position: position.clone(), rows: page_size.rows(), attempt };
                async move {
                    // The server takes the time when the request arrives, so the time of asking is the closer one.
                    let read_at = shared.clock.seconds();
                    lane.source.read_page(&read).await.map(|fetched| (fetched, read_at))
                }
            })
            .await?;
            reservation.fit(fetched.page.size());
            page_size.learn(fetched.page.rows(), fetched.page.wire_size());
            let (rows, bytes) = (fetched.page.rows() as u64, fetched.page.wire_size() as u64);
            shared.events.emit(Event::PageRead { rows, bytes });
            Ok(Arrived { fetched, read_at, reservation })
        }
    }

    /// Groups a page into the queue.
    fn take_page(&mut self, page: Arrived, last: bool) {
        let placement: Option<Arc<dyn Placement>> = self.learned.lane.target.placement();
        let place = |token| placement.as_ref().map_or(0, |placement| placement.place(token));
        match self.grouper.group(page.fetched.page, page.read_at, place) {
            Ok(batches) => {
                let reservation = Arc::new(page.reservation);
                self.queue
                    .extend(batches.into_iter().map(|batch| Queued { batch, reservation: Arc::clone(&reservation) }));
                if last {
                    self.mark.scan_ended_after(self.queue.len());
                }
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    /// Writes one batch, patiently. A batch that the target will never take is halved, down to the row that is to blame.
    fn write(
        &self,
        number: BatchNumber,
        queued: Queued,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Written> + use<'a, S, T> {
        let (shared, learned, key) = (self.shared, self.learned, self.key);
        let in_flight = &shared.events.counters().in_flight;
        in_flight.fetch_add(1, Ordering::Relaxed);
        async move {
            let Queued { batch, reservation } = queued;
            let rows = batch.row_count() as u64;
            let result = write::write(shared, learned, key, batch).await;
            in_flight.fetch_sub(1, Ordering::Relaxed);
            drop((permit, reservation));
            Written { number, rows, result }
        }
    }

    fn take_written(&mut self, written: Written) {
        match written.result {
            Ok(settled) => {
                let expired = settled.head.expired + settled.tail.expired;
                let rejected = settled.head.rejected + settled.tail.rejected;
                let rows = written.rows - expired - rejected;
                self.shared.events.emit(Event::BatchWritten { rows, expired, rejected });
                self.mark.acked(written.number, settled);
                self.wrote = true;
            }
            Err(GaveUp::Stopped) => self.stopping = true,
            Err(GaveUp::Failed(error, tries)) => self.fail(format!("write failed after {tries} tries: {error}")),
        }
    }

    async fn report_cursor(&mut self, at_most_every: Duration) -> Result<(), CheckpointError> {
        if self.reported.elapsed() < at_most_every || self.mark.is_complete() {
            return Ok(());
        }
        self.reported = Instant::now();
        if let Some((cursor, tally)) = self.mark.take() {
            self.shared.ledger.report(Change::Moved { key: self.key, cursor, tally }).await?;
        }
        Ok(())
    }

    async fn end(mut self) -> Result<RangeEnd, CheckpointError> {
        let key = self.key;
        if self.mark.is_complete() && self.failure.is_none() {
            let tally = self.mark.rest();
            self.shared.ledger.report(Change::Done { key, tally }).await?;
            return Ok(RangeEnd::Done { wrote: self.wrote });
        }
        self.report_cursor(Duration::ZERO).await?;
        match self.failure {
            Some(error) => {
                self.shared.ledger.report(Change::Failed { key, error }).await?;
                Ok(RangeEnd::Failed)
            }
            None => Ok(RangeEnd::Stopped),
        }
    }
}

/// Polls the future in place; a lost race against another branch doesn't lose the future.
async fn poll_some<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
