//! Where the copy stands: events and counters, turned into the numbers that every renderer shows.

use super::snapshot::{Comparison, LastPass, RunRows, Snapshot, TableProgress};
use crate::checkpoint::status::TableState;
use crate::event::{Counters, Event};
use crate::job::{Counts, FoundTable, RangeKey, Tally, Verdict};
use crate::ring::{Token, TokenRange};
use crate::side::Side;
use crate::slowed::{PaceNow, Slowed};
use crate::verify::ended::VerificationBegun;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rates are averages over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// The remaining time is judged by what was done in this long: ranges end in lumps, and what was before a limit was set, or
/// before a pause, says nothing of what comes.
const SHARE_WINDOW: Duration = Duration::from_secs(60);

/// Follows the copy.
#[derive(Debug)]
pub(super) struct Progress {
    counters: Arc<Counters>,
    tables: Vec<TableProgress>,
    /// What is compared, once that has begun.
    verification: Option<Box<VerificationBegun>>,
    /// The last pass that came to its end, where one follows another.
    last_pass: Option<LastPass>,
    /// Rows that this run had compared by then.
    compared_before: u64,
    started: Instant,
    ranges: u64,
    ranges_done: u64,
    ranges_failed: u64,
    before: Tally,
    runs_before: u64,
    fraction_before: f64,
    /// The share of the job that was done in this run.
    fraction: f64,
    cursors: HashMap<RangeKey, Option<Token>>,
    /// Of each table, [`FoundTable::weight`].
    weights: Vec<u64>,
    /// The side to which nothing gets through.
    silent: Option<Side>,
    /// The share that was done in this run, at some moments of the last [`SHARE_WINDOW`].
    shares: VecDeque<(Instant, f64)>,
    /// Rows and bytes at some moments of the last [`WINDOW`].
    window: VecDeque<(Instant, u64, u64)>,
}

impl Progress {
    pub(super) fn new(counters: Arc<Counters>) -> Progress {
        Progress {
            counters,
            tables: Vec::new(),
            verification: None,
            last_pass: None,
            compared_before: 0,
            started: Instant::now(),
            ranges: 0,
            ranges_done: 0,
            ranges_failed: 0,
            before: Tally::default(),
            runs_before: 0,
            fraction_before: 0.0,
            fraction: 0.0,
            cursors: HashMap::new(),
            weights: Vec::new(),
            silent: None,
            shares: VecDeque::new(),
            window: VecDeque::new(),
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Planned { ranges, tables } => {
                self.ranges = *ranges;
                self.found(tables);
            }
            Event::Resumed { runs, ranges, ranges_done, fraction, tally, tables, .. } => {
                (self.ranges, self.ranges_done, self.before) = (*ranges, *ranges_done, *tally);
                (self.runs_before, self.fraction_before) = (*runs, *fraction);
                self.found(tables);
            }
            Event::VerificationBegun(begun) => self.verification_begun(begun),
            Event::PassDone { pass, ended, verdict, .. } => {
                self.last_pass = Some(LastPass { pass: *pass, ended: ended.clone(), verdict: *verdict });
            }
            Event::TableBroken { table, reason, .. } => {
                self.table(*table, |table| table.reason = Some(reason.clone()));
            }
            Event::RangeClaimed { key, cursor } => drop(self.cursors.insert(*key, *cursor)),
            Event::RangeMoved { key, cursor, tally } => {
                if let Some(cursor) = cursor {
                    self.moved(*key, *cursor);
                }
                self.table(key.table, |table| table.add_written(tally));
            }
            Event::RangeDone { key, tally } => {
                self.done(*key);
                self.table(key.table, |table| table.add_written(tally));
            }
            Event::RangeCompared { key, cursor, verdict } => {
                if let Some(cursor) = cursor {
                    self.moved(*key, *cursor);
                }
                self.table(key.table, |table| table.compare(|counted| *counted += *verdict));
            }
            Event::RangeVerified { key, verdict } => {
                self.done(*key);
                self.table(key.table, |table| table.compare(|counted| *counted += *verdict));
            }
            Event::RangeReopened { key, verdict } => {
                let from = self.cursors.insert(*key, None).flatten();
                self.fraction -= self.share(*key, None, from);
                self.table(key.table, |table| table.compare(|counted| *counted = counted.less(verdict)));
            }
            Event::RangeTakenBack { key, verdict } => {
                self.table(key.table, |table| table.compare(|counted| *counted = counted.less(verdict)));
            }
            Event::RangeSplit { key, into } => {
                let cursor = self.cursors.remove(key).flatten();
                for &range in into {
                    let done = cursor.filter(|&cursor| cursor >= range.first()).map(|cursor| cursor.min(range.last()));
                    self.cursors.insert(RangeKey { table: key.table, range }, done);
                }
                let more = into.len().saturating_sub(1) as u64;
                self.ranges += more;
                self.table(key.table, |table| table.ranges += more);
            }
            Event::RangeFailed { key, .. } => {
                self.cursors.remove(key);
                self.ranges_failed += 1;
                self.table(key.table, |table| table.ranges_failed += 1);
            }
            Event::Waiting { side, .. } => self.silent = Some(*side),
            Event::Back { side, .. } => self.silent = self.silent.filter(|silent| silent != side),
            Event::Connected { .. }
            | Event::Warning { .. }
            | Event::Note { .. }
            | Event::Question { .. }
            | Event::PageRead { .. }
            | Event::BatchWritten { .. }
            | Event::RowsRejected { .. }
            | Event::Retry { .. }
            | Event::GaveUp { .. }
            | Event::Compared { .. }
            | Event::Rechecked { .. }
            | Event::Difference(_)
            | Event::Mended(_)
            | Event::Committed { .. }
            | Event::Set { .. }
            | Event::Paused
            | Event::Continued
            | Event::Slowed { .. }
            | Event::Error { .. }
            | Event::Stopping { .. } => {}
        }
    }

    fn found(&mut self, tables: &[FoundTable]) {
        self.tables = tables.iter().map(TableProgress::new).collect();
        self.weights = tables.iter().map(|table| table.weight).collect();
    }

    /// A verification begins: the first, or the next pass.
    fn verification_begun(&mut self, begun: &VerificationBegun) {
        self.tables = begun.found.tables.iter().map(TableProgress::of_verified).collect();
        self.weights = begun.found.tables.iter().map(|table| table.weight).collect();
        (self.ranges, self.ranges_done, self.ranges_failed) = (begun.found.ranges, begun.found.ranges_done, 0);
        (self.fraction_before, self.fraction) = (begun.found.fraction, 0.0);
        self.cursors.clear();
        self.shares.clear();
        // What an earlier pass has compared is no part of this one.
        self.compared_before = load(&self.counters.rows_compared);
        self.verification = Some(Box::new(begun.clone()));
    }

    fn moved(&mut self, key: RangeKey, to: Token) {
        let from = self.cursors.insert(key, Some(to)).flatten();
        self.fraction += self.share(key, from, Some(to));
    }

    fn done(&mut self, key: RangeKey) {
        self.moved(key, key.range.last());
        self.cursors.remove(&key);
        self.ranges_done += 1;
        self.table(key.table, |table| table.ranges_done += 1);
    }

    /// The share of the job that lies between two cursors of a range.
    fn share(&self, key: RangeKey, from: Option<Token>, to: Option<Token>) -> f64 {
        let left = |cursor| key.range.after(cursor).map_or(0.0, TokenRange::fraction);
        // A table weighs as many ranges as it has.
        #[expect(clippy::cast_precision_loss, reason = "a share to look at")]
        let weight =
            self.weights.get(key.table).map_or(0.0, |&ranges| ranges as f64 / self.weights.iter().sum::<u64>() as f64);
        let whole = self.verification.as_ref().map_or(1.0, |begun| begun.share());
        (left(from) - left(to)) * weight / whole
    }

    fn table(&mut self, number: usize, change: impl FnOnce(&mut TableProgress)) {
        if let Some(table) = self.tables.get_mut(number) {
            change(table);
            table.state = TableState::of(table.ranges, table.ranges_done, table.reason.is_some());
        }
    }

    /// Where each table stands, by its number.
    pub(super) fn tables(&self) -> &[TableProgress] {
        &self.tables
    }

    /// The pace, and what stands in its way: a side that doesn't answer before anything but a pause.
    fn pace(&self) -> PaceNow {
        let pace = *self.counters.pace();
        let silent = self.silent.filter(|_| pace.slowed_by != Some(Slowed::Paused));
        let silent = silent.map(|side| match side {
            Side::Source => Slowed::SourceSilent,
            Side::Target => Slowed::TargetSilent,
        });
        PaceNow { slowed_by: silent.or(pace.slowed_by), ..pace }
    }

    /// How fast the job's share grows, of late; none where it doesn't.
    fn share_per_second(&self) -> Option<f64> {
        let ((from, before), (to, now)) = (self.shares.front()?, self.shares.back()?);
        let (seconds, gained) = ((*to - *from).as_secs_f64(), now - before);
        (seconds > 0.0 && gained > 0.0).then(|| gained / seconds)
    }

    /// Remembers this moment for the rates.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        // A pause says nothing of what comes after it.
        if self.counters.pace().slowed_by == Some(Slowed::Paused) {
            self.shares.clear();
        }
        self.shares.push_back((now, self.fraction));
        while self.shares.front().is_some_and(|(at, _)| now - *at > SHARE_WINDOW) {
            self.shares.pop_front();
        }
        let rows = match self.verification {
            None => load(&self.counters.rows_written),
            Some(_) => load(&self.counters.rows_compared),
        };
        let bytes = load(&self.counters.bytes_read);
        if self.window.back().is_some_and(|(_, before, _)| *before != rows) {
            self.silent = None;
        }
        if rows > 0 {
            self.window.push_back((now, rows, bytes));
        }
        while self.window.front().is_some_and(|(at, ..)| now - *at > WINDOW) {
            self.window.pop_front();
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers to look at"
    )]
    pub(super) fn snapshot(&self) -> Snapshot {
        let c = &self.counters;
        let committed = *c.committed();
        let mut job = self.before;
        job += committed;
        let run = RunRows {
            rows_read: load(&c.rows_read),
            rows_written: load(&c.rows_written),
            rows_expired: load(&c.rows_expired),
            rows_committed: committed.rows_written,
            rows_rejected: load(&c.rows_rejected),
            bytes_read: load(&c.bytes_read),
        };
        let elapsed = self.started.elapsed();
        let (rows_per_second, bytes_per_second) = match (self.window.front(), self.window.back()) {
            (Some((from, rows, bytes)), Some((to, rows_now, bytes_now))) if to > from => {
                let seconds = (*to - *from).as_secs_f64();
                ((rows_now - rows) as f64 / seconds, (bytes_now - bytes) as f64 / seconds)
            }
            _ => (0.0, 0.0),
        };
        // Not less at the end by what a sum of fractions loses.
        let all_done = self.ranges_done == self.ranges && self.ranges > 0;
        let fraction = if all_done { 1.0 } else { (self.fraction_before + self.fraction).clamp(0.0, 1.0) };
        let eta_s = self.share_per_second().map(|share| ((1.0 - fraction) / share).ceil() as u64);
        Snapshot {
            fraction,
            ranges: self.ranges,
            ranges_done: self.ranges_done,
            ranges_failed: self.ranges_failed,
            rows_total: match &self.verification {
                None => self.before.rows_written + run.rows_written,
                Some(begun) => {
                    begun.found.verdict.rows_compared + load(&c.rows_compared).saturating_sub(self.compared_before)
                }
            },
            run,
            job,
            bytes_total: self.before.bytes_read + run.bytes_read,
            runs_before: self.runs_before,
            rows_per_second,
            bytes_per_second,
            in_flight: load(&c.in_flight),
            pace: self.pace(),
            retries: load(&c.retries),
            commits: load(&c.commits),
            commit_us: load(&c.commit_us),
            elapsed_ms: elapsed.as_millis() as u64,
            eta_s,
            compared: self.verification.as_ref().map(|begun| self.compared(begun)),
        }
    }

    fn compared(&self, begun: &VerificationBegun) -> Comparison {
        let mut verdict = Verdict::default();
        self.tables.iter().for_each(|table| verdict += table.verdict());
        let c = &self.counters;
        Comparison {
            rows_compared: load(&c.rows_compared),
            bytes_compared: load(&c.bytes_compared),
            rows_rechecking: load(&c.rechecking),
            rows_different: load(&c.rows_different),
            rows_mended: load(&c.rows_mended),
            verdict,
            last_pass: self.last_pass.clone(),
            begun: begun.clone(),
        }
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::tile;
    use crate::schema::TableName;
    use crate::ui::snapshot::Counted;

    fn found(table: &str, ranges: u64, ranges_done: u64) -> FoundTable {
        let name = TableName { keyspace: "ks".to_owned(), table: table.to_owned() };
        let (source, target) = (name.clone(), name);
        FoundTable { source, target, ranges, weight: ranges, ranges_done, fraction: 0.0, rows_written: 0, broken: None }
    }

    #[test]
    fn an_earlier_run_counts_for_the_share_but_not_for_the_rate() {
        let mut progress = Progress::new(Arc::default());
        let tally = Tally { rows_written: 500, ..Tally::default() };
        let tables = vec![found("t", 4, 2)];
        let (ranges, ranges_done, ranges_failed) = (4, 2, 0);
        progress.event(&Event::Resumed { runs: 1, ranges, ranges_done, ranges_failed, fraction: 0.5, tally, tables });
        assert_eq!(progress.snapshot().eta_s, None, "nothing was done in this run");
        let key = RangeKey { table: 0, range: tile(&[], 4)[2] };
        progress.event(&Event::RangeClaimed { key, cursor: None });
        progress.event(&Event::RangeMoved {
            key,
            cursor: Some(Token(key.range.first().0 + (1 << 60))),
            tally: Tally::default(),
        });
        progress.tick();
        progress.event(&Event::RangeDone { key, tally: Tally::default() });
        std::thread::sleep(Duration::from_millis(2)); // Time that goes by is what is measured.
        progress.tick();
        let snapshot = progress.snapshot();
        assert!((snapshot.fraction - 0.75).abs() < 1e-9, "{}", snapshot.fraction);
        assert_eq!((snapshot.rows_total, snapshot.ranges_done), (500, 3));
        assert!(snapshot.eta_s.is_some());
    }

    #[test]
    fn a_table_of_many_ranges_weighs_more() {
        let mut progress = Progress::new(Arc::default());
        progress.event(&Event::Planned { ranges: 16, tables: vec![found("small", 4, 0), found("large", 12, 0)] });
        let done = |table, of| Event::RangeDone {
            key: RangeKey { table, range: tile(&[], of)[0] },
            tally: Tally { rows_written: 3, ..Tally::default() },
        };
        progress.event(&done(0, 4));
        assert!((progress.snapshot().fraction - 1.0 / 16.0).abs() < 1e-9);
        progress.event(&done(1, 12));
        assert!((progress.snapshot().fraction - 2.0 / 16.0).abs() < 1e-9);
        let (source, reason) = (progress.tables()[1].source.clone(), "gone".to_owned());
        progress.event(&Event::TableBroken { table: 1, source, reason, hint: None });
        let lines = progress.tables().iter().map(|table| (table.ranges_done, table.counted, table.state));
        let counted = Counted::Copied { rows_written: 3 };
        let expected = [(1, counted, TableState::Unfinished), (1, counted, TableState::Broken)];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }
}
