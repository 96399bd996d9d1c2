//! The course of a pass: which scan is read, up to where all is done, and how it ends. What becomes of rows between a
//! page and the watermark is the task's.

use super::range::{PassEnd, RangeEnd};
use super::scans::{Hole, Scans};
use super::seam::{Scan, Source};
use super::watermark::Watermark;
use super::{Begun, Learned, Shared, Task};
use crate::call::CallError;
use crate::checkpoint::{Change, CheckpointError};
use crate::job::{Counts, RangeKey};
use crate::row::RowKey;
use crate::side::Side;
use std::time::Duration;
use tokio::time::Instant;

/// How often a range that takes long reports its cursor.
pub(crate) const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Places of a range that can't be read are listed up to this many.
const PLACES_LISTED: usize = 5;

/// Where a pass stands.
#[derive(Debug)]
pub(crate) struct Course<'a, K: Task> {
    pub(crate) shared: &'a Shared<K>,
    pub(crate) learned: &'a Learned<K>,
    pub(crate) key: RangeKey,
    pub(crate) is_suspect: bool,
    pub(crate) mark: Watermark<K::Counts>,
    scans: Scans,
    /// The scan that is read now.
    pub(crate) scan: Scan,
    /// The last row of it.
    last_row: Option<RowKey>,
    /// Rows per page at most, since more could not be read before.
    pub(crate) rows_max: i32,
    /// Whether there were any rows that something was to be done about.
    pub(crate) any_rows: bool,
    /// Why the range is given up, and what can be done about it.
    failure: Option<(String, Option<String>)>,
    unreadable: Option<(CallError, u32)>,
    /// The side that could not read something, at last.
    blamed: Side,
    stopping: bool,
    /// What is counted of rows that were never acknowledged, though something is certain of them.
    uncertain: K::Counts,
    reported: Instant,
}

impl<'a, K: Task> Course<'a, K> {
    pub(crate) fn new(shared: &'a Shared<K>, learned: &'a Learned<K>, begun: Begun) -> Self {
        let Begun { key, rest, cursor, scans, is_suspect } = begun;
        Course {
            shared,
            learned,
            key,
            is_suspect,
            mark: Watermark::new(rest, cursor),
            scans,
            scan: Scan::Tokens(rest),
            last_row: None,
            rows_max: i32::MAX,
            any_rows: false,
            failure: None,
            unreadable: None,
            blamed: K::SIDES[0],
            stopping: false,
            uncertain: K::Counts::default(),
            reported: Instant::now(),
        }
    }

    /// Whether nothing new is to be begun.
    pub(crate) fn halted(&self) -> bool {
        self.failure.is_some() || self.stopping
    }

    /// Whether somebody has asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Begins nothing new, since somebody asks to stop.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Gives the range up.
    pub(crate) fn fail(&mut self, why: String) {
        self.failure.get_or_insert((why, None));
    }

    /// Gives the range up for rows that a side can't read.
    pub(crate) fn fail_at(&mut self, side: Side, why: String) {
        let remedy = self.learned.task.table(side).remedy(self.key.range);
        self.failure.get_or_insert((why, Some(remedy)));
    }

    /// Whether a scan can't be read on, so that nothing more is read in this pass.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable.is_some()
    }

    /// Begins with the next scan, if there is one.
    pub(crate) fn next_scan(&mut self) -> Option<&Scan> {
        let scan = self.scans.next()?;
        if !scan.is_ordered() {
            self.mark.freeze();
        }
        (self.scan, self.last_row) = (scan, None);
        Some(&self.scan)
    }

    /// Goes on with other scans in place of one that a side can't read on, where that is possible; says whether it is. `queued`
    /// batches are still to be sent.
    pub(crate) fn read_around(&mut self, side: Side, error: CallError, tries: u32, queued: usize) -> bool {
        self.blamed = side;
        let (scan, last_row) = (self.scan.clone(), self.last_row.take());
        let had_holes = self.scans.holes().len();
        let table = self.learned.task.table(K::SIDES[0]);
        if !self.scans.failed(table, scan, last_row.as_ref(), error.clone()) {
            self.last_row = last_row;
            self.unreadable = Some((error, tries));
            return false;
        }
        if self.scans.holes().len() > had_holes {
            self.mark.freeze();
        }
        let goes_on = self.next_scan().is_some();
        if !goes_on {
            self.mark.scan_ended_after(queued);
        }
        goes_on
    }

    /// Begins anew with the part of the scan that was read, and leaves the rest for later; says whether that is possible.
    pub(crate) fn cut(&mut self) -> bool {
        let is_cut = self.last_row.as_ref().is_some_and(|last| self.scans.cut(&self.scan, last));
        is_cut && self.next_scan().is_some()
    }

    /// A page of the scan has arrived, from a row of this partition up to this row.
    pub(crate) fn reached(&mut self, first_partition: &[u8], row: RowKey) {
        self.scans.answered(first_partition);
        self.scans.answered(row.bytes().0);
        self.last_row = Some(row);
    }

    /// Whether rows of more than one partition were answered.
    pub(crate) fn knows_several(&self) -> bool {
        self.scans.know_several()
    }

    /// Forgets which rows of the scan were read: all of it is to be read again where it can't be read on.
    pub(crate) fn unreached(&mut self) {
        self.last_row = None;
    }

    /// Tells the committer up to where all is done, if that is due and news.
    ///
    /// # Errors
    /// Where the committer is gone.
    pub(crate) async fn report(&mut self, at_most_every: Duration) -> Result<(), CheckpointError> {
        if self.reported.elapsed() < at_most_every || self.mark.is_complete() {
            return Ok(());
        }
        self.reported = Instant::now();
        if let Some((cursor, tally)) = self.mark.take() {
            self.shared.ledger.report(Change::Moved { key: self.key, cursor, tally }).await?;
        }
        Ok(())
    }

    /// Counts something of rows that aren't acknowledged.
    pub(crate) fn count(&mut self, counts: K::Counts) {
        self.uncertain += counts;
    }

    /// What is counted beyond the cursor.
    fn beyond(&self) -> K::Counts {
        let mut counts = self.mark.beyond();
        counts += self.uncertain;
        counts
    }

    /// Reports what is counted beyond the cursor of a range that nothing more is done about in this run.
    async fn report_beyond(&self) -> Result<(), CheckpointError> {
        let counts = self.beyond();
        if K::Counts::BEYOND && counts != K::Counts::default() {
            self.shared.ledger.report(Change::Beyond { key: self.key, counts }).await?;
        }
        Ok(())
    }

    /// Reports what stays true of rows that the next pass comes to again.
    async fn report_kept(&self) -> Result<(), CheckpointError> {
        let (tally, cursor) = (self.beyond().kept(), self.mark.cursor());
        if tally != K::Counts::default() {
            self.shared.ledger.report(Change::Moved { key: self.key, cursor, tally }).await?;
        }
        Ok(())
    }

    /// Whether all of the range was read, and all that was to be done is done.
    pub(crate) fn is_whole(&self) -> bool {
        self.mark.is_complete() && self.failure.is_none() && self.scans.holes().is_empty()
    }

    /// Ends the pass.
    ///
    /// # Errors
    /// Where the committer is gone.
    pub(crate) async fn end(mut self) -> Result<PassEnd, CheckpointError> {
        let key = self.key;
        if self.mark.is_complete() && self.failure.is_none() {
            if !self.scans.holes().is_empty() {
                return self.quarantine().await;
            }
            let tally = self.mark.rest();
            self.shared.ledger.report(Change::Done { key, tally }).await?;
            return Ok(PassEnd::Ended(RangeEnd::Done { any_rows: self.any_rows }));
        }
        let had_rows = self.last_row.is_some();
        if let (Some(_), Scan::Tokens(range), false) = (&self.unreadable, &self.scan, had_rows) {
            self.mark.reached(range.first());
        }
        self.report(Duration::ZERO).await?;
        if self.failure.is_some() || self.stopping {
            self.report_beyond().await?;
        } else {
            self.report_kept().await?;
        }
        if let Some((error, remedy)) = self.failure {
            self.shared.ledger.report(Change::Failed { key, error, remedy }).await?;
            return Ok(PassEnd::Ended(RangeEnd::Failed { own: false }));
        }
        Ok(match self.unreadable {
            Some((error, tries)) if !self.stopping => {
                PassEnd::Unreadable { cursor: self.mark.cursor(), scan: self.scan, had_rows, error, tries }
            }
            _ => PassEnd::Ended(RangeEnd::Stopped),
        })
    }

    /// Gives up rows that can't be read in any way. Whatever is around them is done; the next run tries them again.
    async fn quarantine(self) -> Result<PassEnd, CheckpointError> {
        let (key, table) = (self.key, self.learned.task.table(self.blamed));
        let holes = self.scans.holes();
        let places: Vec<String> = holes.iter().take(PLACES_LISTED).map(|hole| table.describe(&hole.scan)).collect();
        let more = holes.len().saturating_sub(PLACES_LISTED);
        let more = if more > 0 { format!(" and {more} more places") } else { String::new() };
        let words = holes.last().map_or_else(String::new, |Hole { error, .. }| error.to_string());
        let error = format!("{}{more} can't be read: {words}", places.join("; "));
        let remedy = Some(table.remedy(key.range));
        self.report_beyond().await?;
        self.shared.ledger.report(Change::Failed { key, error, remedy }).await?;
        Ok(PassEnd::Ended(RangeEnd::Failed { own: true }))
    }
}
