//! One pass over a range: its scans, from the first page to the last acknowledgement.

use super::budget::Reservation;
use super::fetch::{Arrived, Unread, Wanted, fetch};
use super::pace::Permit;
use super::retry::GaveUp;
use super::scans::{Hole, Scans};
use super::seam::{Placement, Position, Scan, Source, Target};
use super::watermark::{BatchNumber, Watermark};
use super::{Learned, Shared, write};
use crate::call::CallError;
use crate::checkpoint::{Change, CheckpointError};
use crate::event::Event;
use crate::job::{Cursor, RangeKey, Work};
use crate::ring::TokenRange;
use crate::row::{Batch, BatchMode, Grouper, RowKey, Settled};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a range that takes long reports its cursor.
const REPORT_EVERY: Duration = Duration::from_millis(500);

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

/// How the work on a range ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RangeEnd {
    /// All of it is acknowledged.
    Done {
        /// Whether there was anything to write.
        wrote: bool,
    },
    /// It was given up; the error is in the checkpoint.
    Failed {
        /// Whether that was for rows of its own, so that it says nothing about others.
        own: bool,
    },
    /// It is several ranges now, which are all to be copied.
    Split(Vec<Work>),
    /// Somebody asked to stop; what was acknowledged is in the checkpoint.
    Stopped,
}

/// How a pass over a range ended, where more is to be decided.
pub(super) enum PassEnd {
    /// There is nothing more to decide.
    Ended(RangeEnd),
    /// A scan can't be read on.
    Unreadable {
        /// Up to where the range is done.
        cursor: Cursor,
        /// The scan.
        scan: Scan,
        /// Whether it had answered any rows.
        had_rows: bool,
        /// What the source said at last.
        error: CallError,
        /// How often it was asked.
        tries: u32,
    },
}

/// The state of one pass over one range.
///
/// A page is known to be next (`wanted`), then asked for (`reading`), then it has arrived and waits for the queue to empty
/// (`arrived`), then its batches wait for a place in the pool (`queue`), then for their acknowledgements (`writes`). The next page
/// is asked for when one is grouped, so at most two are held. None of the first three is the end of all scans; the pass ends
/// when the watermark is complete. Once it is halted (`failure`, `stopping`), all but `writes` is dropped. Once a scan is
/// `unreadable`, nothing more is read, but what has arrived before is still written, so that each page is read once.
pub(super) struct Pass<'a, S, T> {
    shared: &'a Shared<S, T>,
    learned: &'a Learned<S, T>,
    key: RangeKey,
    is_suspect: bool,
    grouper: Grouper,
    mark: Watermark,
    scans: Scans,
    /// The scan that is read now.
    scan: Scan,
    /// The last row that it answered.
    last_row: Option<RowKey>,
    /// Rows per page at most, since more could not be read before.
    rows_max: i32,
    queue: VecDeque<Queued>,
    failure: Option<String>,
    unreadable: Option<(CallError, u32)>,
    stopping: bool,
    wrote: bool,
    reported: Instant,
}

impl<'a, S: Source, T: Target> Pass<'a, S, T> {
    /// A pass over a range by these scans: of what is left of it behind the cursor.
    pub(super) fn new(
        shared: &'a Shared<S, T>,
        learned: &'a Learned<S, T>,
        key: RangeKey,
        (rest, cursor): (TokenRange, Cursor),
        scans: Scans,
        is_suspect: bool,
    ) -> Self {
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
            is_suspect,
            grouper: Grouper::new(Arc::clone(&lane.layout), lane.limits, mode, lane.policy, rest),
            mark: Watermark::new(rest, cursor),
            scans,
            scan: Scan::Tokens(rest),
            last_row: None,
            rows_max: i32::MAX,
            queue: VecDeque::new(),
            failure: None,
            unreadable: None,
            stopping: false,
            wrote: false,
            reported: Instant::now(),
        }
    }

    /// Runs to its end.
    ///
    /// # Errors
    /// Where the committer is gone.
    pub(super) async fn run(mut self) -> Result<PassEnd, CheckpointError> {
        let shared = self.shared;
        let mut writes = FuturesUnordered::new();
        let mut wanted = self.next_scan();
        let mut reading = None;
        let mut arrived: Option<Arrived> = None;
        let mut pause = Box::pin(shared.pacer.pause_lasts(REPORT_EVERY));
        loop {
            if self.halted() {
                (wanted, reading, arrived) = (None, None, None);
                self.queue.clear();
                if writes.is_empty() {
                    break;
                }
            } else if self.unreadable.is_some() && self.queue.is_empty() && writes.is_empty() {
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
            if self.mark.is_complete() {
                break;
            }
            if wanted.is_none()
                && reading.is_none()
                && self.queue.is_empty()
                && writes.is_empty()
                && !self.halted()
                && self.unreadable.is_none()
            {
                // Nothing can happen any more, yet a batch was never acknowledged. Better a failed range than a lost row.
                self.fail("a batch got lost inside migrate: please report this".to_owned());
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
                        let number = self.mark.sent(&queued.batch);
                        writes.push(self.write(number, queued, free));
                        permit = shared.pacer.pool.try_acquire();
                    }
                }
                page = poll_some(&mut reading), if reading.is_some() => {
                    reading = None;
                    match page {
                        Ok(page) => arrived = Some(page),
                        Err(Unread::GaveUp(GaveUp::Stopped)) => self.stopping = true,
                        Err(Unread::GaveUp(GaveUp::Failed(error, tries))) => {
                            self.fail(format!("read failed after {tries} tries: {error}"));
                        }
                        Err(Unread::Unreadable(error, tries)) => {
                            wanted = self.read_around(error, tries);
                        }
                    }
                }
                () = self.learned.calls.stop().requested(), if !self.stopping => self.stopping = true,
                // What is acknowledged is to be saved, though nothing more happens for a long time.
                () = &mut pause => {
                    pause = Box::pin(shared.pacer.pause_lasts(REPORT_EVERY));
                }
            }
            self.report_cursor(REPORT_EVERY).await?;
        }
        self.end().await
    }

    /// Whether what is wanted is to wait while rows are on their way: a scan that may answer rows again. What a batch does may
    /// follow from what the target has of its rows, so a row is in one batch at a time.
    fn must_wait(wanted: &Wanted, is_writing: bool) -> bool {
        is_writing && !wanted.scan.is_ordered() && wanted.position.is_start()
    }

    /// Whether nothing new is to be begun.
    fn halted(&self) -> bool {
        self.failure.is_some() || self.stopping
    }

    fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    fn fetch(&self, wanted: Wanted) -> impl Future<Output = Result<Arrived, Unread>> + use<'a, S, T> {
        fetch(self.shared, self.learned, wanted)
    }

    /// A page of the scan that is read now.
    fn wanted(&self, position: Position) -> Wanted {
        let Pass { ref scan, rows_max, is_suspect, .. } = *self;
        Wanted { scan: scan.clone(), position, rows_max, is_suspect }
    }

    /// Begins with the next scan, if there is one.
    fn next_scan(&mut self) -> Option<Wanted> {
        let scan = self.scans.next()?;
        if !scan.is_ordered() {
            self.mark.freeze();
        }
        (self.scan, self.last_row) = (scan, None);
        Some(self.wanted(Position::default()))
    }

    /// Goes on with other scans in place of one that can't be read on, where that is possible.
    fn read_around(&mut self, error: CallError, tries: u32) -> Option<Wanted> {
        let (scan, last_row) = (self.scan.clone(), self.last_row.take());
        let had_holes = self.scans.holes().len();
        if !self.scans.failed(&self.learned.lane.source, scan, last_row.as_ref(), error.clone()) {
            self.last_row = last_row;
            self.unreadable = Some((error, tries));
            return None;
        }
        if self.scans.holes().len() > had_holes {
            self.mark.freeze();
        }
        let next = self.next_scan();
        if next.is_none() {
            self.mark.scan_ended_after(self.queue.len());
        }
        next
    }

    /// Learns from a page before its rows are gone.
    fn look_at(&mut self, page: &Arrived) {
        let (rows, layout) = (&page.fetched.page, &self.learned.lane.layout);
        if let Some(last) = rows.rows().checked_sub(1)
            && rows.columns() == layout.columns()
        {
            let partition = rows.span(last, 0, layout.partition_key);
            self.scans.answered();
            self.last_row = Some(RowKey::new(partition, rows.span(last, layout.partition_key, layout.clustering_key)));
        }
        self.rows_max = page.shrunk_to.unwrap_or(self.rows_max.saturating_mul(2));
    }

    /// Groups a page into the queue.
    fn take_page(&mut self, mut page: Arrived, last: bool) {
        let placement: Option<Arc<dyn Placement>> = self.learned.lane.target.placement();
        let place = |token| placement.as_ref().map_or(0, |placement| placement.place(token));
        match self.grouper.group(page.fetched.page, page.read_at, place) {
            Ok(batches) => {
                let rows = batches.first().map_or(0, |batch| batch.rows().size());
                page.reservation.fit(rows + batches.len() * size_of::<Queued>());
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
        permit: Permit,
    ) -> impl Future<Output = Written> + use<'a, S, T> {
        let (shared, learned, key) = (self.shared, self.learned, self.key);
        async move {
            let Queued { batch, reservation } = queued;
            let rows = batch.row_count() as u64;
            let result = write::write(shared, learned, key, batch).await;
            drop((permit, reservation));
            Written { number, rows, result }
        }
    }

    fn take_written(&mut self, written: Written) {
        match written.result {
            Ok(settled) => {
                let Settled { expired, rejected, .. } = settled;
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

    async fn end(mut self) -> Result<PassEnd, CheckpointError> {
        let key = self.key;
        if self.mark.is_complete() && self.failure.is_none() {
            if !self.scans.holes().is_empty() {
                return self.quarantine().await;
            }
            let tally = self.mark.rest();
            self.shared.ledger.report(Change::Done { key, tally }).await?;
            return Ok(PassEnd::Ended(RangeEnd::Done { wrote: self.wrote }));
        }
        let had_rows = self.last_row.is_some();
        if let (Some(_), Scan::Tokens(range), false) = (&self.unreadable, &self.scan, had_rows) {
            self.mark.reached(range.first());
        }
        self.report_cursor(Duration::ZERO).await?;
        if let Some(error) = self.failure {
            self.shared.ledger.report(Change::Failed { key, error, remedy: None }).await?;
            return Ok(PassEnd::Ended(RangeEnd::Failed { own: false }));
        }
        Ok(match self.unreadable {
            Some((error, tries)) if !self.stopping => {
                PassEnd::Unreadable { cursor: self.mark.cursor(), scan: self.scan, had_rows, error, tries }
            }
            _ => PassEnd::Ended(RangeEnd::Stopped),
        })
    }

    /// Gives up rows that can't be read in any way. Whatever is around them is written; the next run tries them again.
    async fn quarantine(self) -> Result<PassEnd, CheckpointError> {
        let (key, source) = (self.key, &self.learned.lane.source);
        let holes = self.scans.holes();
        let places: Vec<String> = holes.iter().take(PLACES_LISTED).map(|hole| source.describe(&hole.scan)).collect();
        let more = holes.len().saturating_sub(PLACES_LISTED);
        let more = if more > 0 { format!(" and {more} more places") } else { String::new() };
        let words = holes.last().map_or_else(String::new, |Hole { error, .. }| error.to_string());
        let error = format!("{}{more} can't be read: {words}", places.join("; "));
        let remedy = Some(source.remedy(key.range));
        self.shared.ledger.report(Change::Failed { key, error, remedy }).await?;
        Ok(PassEnd::Ended(RangeEnd::Failed { own: true }))
    }
}

/// Places of a range that can't be read are listed up to this many.
const PLACES_LISTED: usize = 5;

/// Polls the future in place; a lost race against another branch doesn't lose the future.
async fn poll_some<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
