//! One pass over a range: both sides read side by side and merged; what differs is looked at again while the merge goes on.

use super::look::Unseen;
use super::merge::{Merge, Merged, Statics, Suspect};
use super::recheck::{self, Rechecked};
use super::stream::{Head, Stream};
use super::task::Comparing;
use crate::checkpoint::{Change, CheckpointError};
use crate::engine::course::{Course, REPORT_EVERY};
use crate::engine::fetch::Unread;
use crate::engine::pace::Load;
use crate::engine::range::{PassEnd, RangeEnd};
use crate::engine::retry::GaveUp;
use crate::engine::seam::{Scan, Source, Target};
use crate::engine::watermark::{BatchNumber, Piece};
use crate::engine::{Begun, Learned, Shared, Task};
use crate::event::Event;
use crate::job::{Counts, Cursor, Verdict, Work};
use crate::ring::Token;
use crate::row::RowKey;
use crate::side::Side;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use std::future::poll_fn;
use std::task::Poll;

/// What suspects of a pass take at most while they are looked at again, as a share of what there is for pages: 4 MiB of the default. What
/// comes behind waits.
const SUSPECTS_MAX: usize = 48;
/// A pass that has nothing but suspects left, and no more than this of them, lets another range begin: most of the time that
/// looks take is waiting.
const SUSPECTS_AT_REST: usize = 768;

/// The scan that is merged.
struct Merging<'a, S: Source, T: Target> {
    streams: [Stream<'a, Comparing<S, T>>; 2],
    merge: Merge<'a>,
    /// Of a scan whose rows aren't in the order of keys: what was found so far. It counts once all of the scan is read.
    withheld: Option<Merged>,
    /// Bytes of suspects among it.
    withheld_bytes: usize,
    /// It is as much of another scan as can be withheld.
    is_part: bool,
    /// The statics that were compared before it began.
    statics: Statics,
}

/// What became of suspects.
struct Settled {
    number: BatchNumber,
    rows: u64,
    bytes: usize,
    done: Rechecked,
    result: Result<(), Unseen>,
}

/// The state of one pass over one range.
///
/// Pages of both sides arrive ahead of the merge. A step of the merge is a piece of the watermark; it is acknowledged when all of
/// its suspects are settled, and until then the cursor stays before it.
pub(super) struct Pass<'a, S: Source, T: Target> {
    course: Course<'a, Comparing<S, T>>,
    /// Where an earlier pass had come to: [`Merge::new`].
    behind: Option<(Token, RowKey)>,
    statics: Statics,
    /// Bytes of suspects that are looked at again.
    suspects: usize,
    /// Rows that were written or deleted in this pass.
    mended: u64,
    /// Whether it began where its range begins. Rows before the cursor of a range that was split are counted in another one, so
    /// what began there can't be compared once more from the beginning without counting them twice.
    is_from_start: bool,
}

impl<'a, S: Source, T: Target> Pass<'a, S, T> {
    /// A pass over what is left of a range.
    pub(super) fn new(
        shared: &'a Shared<Comparing<S, T>>,
        learned: &'a Learned<Comparing<S, T>>,
        begun: Begun,
    ) -> Self {
        let is_from_start = begun.cursor == Cursor::default();
        let row = begun.cursor.row.clone();
        let behind = row.map(|row| (row.token(), row));
        Pass {
            course: Course::new(shared, learned, begun),
            behind,
            statics: Statics::default(),
            suspects: 0,
            mended: 0,
            is_from_start,
        }
    }

    /// Runs to its end.
    ///
    /// # Errors
    /// Where the committer is gone.
    pub(super) async fn run(mut self) -> Result<PassEnd, CheckpointError> {
        let Course { shared, learned, .. } = self.course;
        let mut settles = FuturesUnordered::new();
        let mut charge: Option<BoxFuture<'a, ()>> = None;
        let mut merging = self.next_scan();
        let mut pause = Box::pin(shared.pacer.pause_lasts(REPORT_EVERY));
        let mut resting = None;
        loop {
            if self.course.halted() {
                (merging, charge) = (None, None);
                if settles.is_empty() {
                    break;
                }
            }
            if self.course.mark.is_complete() || self.course.is_unreadable() && settles.is_empty() {
                break;
            }
            if merging.is_none() && settles.is_empty() && !self.course.is_unreadable() {
                // Nothing can happen any more, yet something was never settled. Better a failed range than a lost row.
                self.course.fail("a comparison got lost inside migrate: please report this".to_owned());
                continue;
            }
            if merging.is_none() && resting.is_none() && self.suspects <= shared.budget.for_pages() / SUSPECTS_AT_REST {
                resting = shared.rest();
            }
            let has_room = settles.is_empty() || self.suspects < self.suspects_max();
            let may_step = has_room && charge.is_none();
            tokio::select! {
                biased;
                Some(settled) = settles.next(), if !settles.is_empty() => self.take_settled(settled),
                () = poll_some(&mut charge), if charge.is_some() => charge = None,
                heads = heads(&mut merging, may_step), if merging.is_some() => {
                    let Some(now) = &mut merging else { continue };
                    match self.step(now, heads) {
                        Step::Merged(merged) => {
                            let load = Load { rows: merged.rows, bytes: merged.bytes };
                            let mut wait: BoxFuture<'a, ()> = Box::pin(shared.pacer.charge(load));
                            charge = wait.as_mut().now_or_never().is_none().then_some(wait);
                            settles.extend(self.submit(merged));
                        }
                        Step::ScanEnded(merged) => {
                            settles.extend(merged.and_then(|merged| self.submit(merged)));
                            merging = self.next_scan();
                        }
                        Step::GoOn => merging = Some(self.merging()),
                        Step::Parted => merging = Some(Merging { is_part: true, ..self.merging() }),
                        Step::Halted => merging = None,
                    }
                }
                () = learned.calls.stop().requested(), if !self.course.is_stopping() => self.course.stop(),
                // What is settled is to be saved, though nothing more happens for a long time.
                () = &mut pause => pause = Box::pin(shared.pacer.pause_lasts(REPORT_EVERY)),
            }
            self.course.report(REPORT_EVERY).await?;
        }
        drop(resting);
        self.end().await
    }

    /// What suspects take at most, in bytes.
    fn suspects_max(&self) -> usize {
        self.course.shared.budget.for_pages() / SUSPECTS_MAX
    }

    /// Begins to read the scan that the course is at.
    fn merging(&mut self) -> Merging<'a, S, T> {
        let Course { shared, learned, ref scan, rows_max, is_suspect, .. } = self.course;
        let pair = &learned.task.pair;
        let stream = |side| Stream::new(shared, learned, side, scan.clone(), (rows_max, is_suspect));
        Merging {
            streams: [Side::Source, Side::Target].map(stream),
            merge: Merge::new(&pair.order, &pair.rules, scan, pair.source.has_statics(), self.behind.clone()),
            withheld: (!scan.is_ordered()).then(Merged::default),
            withheld_bytes: 0,
            is_part: false,
            statics: self.statics.clone(),
        }
    }

    fn next_scan(&mut self) -> Option<Merging<'a, S, T>> {
        if self.course.next_scan().is_some() {
            return Some(self.merging());
        }
        self.course.mark.scan_ended_after(0);
        None
    }

    /// Goes on with the merge.
    fn step(&mut self, now: &mut Merging<'a, S, T>, heads: [Head; 2]) -> Step {
        let rows_max = now.streams.iter().map(Stream::rows_max).min().unwrap_or(i32::MAX);
        if let Some(at) = heads.iter().position(|head| *head == Head::Failed) {
            self.course.rows_max = rows_max;
            let (side, unread) = (Comparing::<S, T>::SIDES[at], now.streams[at].failure());
            return match unread {
                None | Some(Unread::GaveUp(GaveUp::Stopped)) => {
                    self.course.stop();
                    Step::Halted
                }
                Some(Unread::GaveUp(GaveUp::Failed(error, tries))) => {
                    self.course.fail(format!("the {side} could not be read after {tries} tries: {error}"));
                    Step::Halted
                }
                Some(Unread::Unreadable(mut error, tries)) => {
                    if now.withheld.is_some() {
                        self.course.unreached();
                        self.statics = std::mem::take(&mut now.statics);
                    }
                    if matches!(self.course.scan, Scan::FirstRows(_))
                        && !self.course.knows_several()
                        && let Some(owed) = self.statics.take_owed()
                    {
                        // One side was read around what the other one can't read, and their keys are known by now.
                        return Step::ScanEnded(Some(owed));
                    }
                    error.message = format!("the {side}: {}", error.message);
                    if self.course.read_around(side, error, tries, 0) { Step::GoOn } else { Step::Halted }
                }
            };
        }
        if heads == [Head::End; 2] {
            self.course.rows_max = rows_max;
            return Step::ScanEnded(now.withheld.take());
        }
        if now.withheld_bytes > self.suspects_max() && !now.is_part && self.course.cut() {
            self.course.rows_max = rows_max;
            self.statics = std::mem::take(&mut now.statics);
            return Step::Parted;
        }
        let [source, target] = &mut now.streams;
        let (merged, at) = match now.merge.step([source.feed(), target.feed()], &mut self.statics) {
            Ok(step) => step,
            Err(error) => {
                self.course.fail(error.to_string());
                return Step::Halted;
            }
        };
        source.advance(at[0]);
        target.advance(at[1]);
        if self.statics.are_owed() {
            // Behind a row, whoever goes on takes the statics of its partition for compared.
            self.course.mark.freeze();
        }
        if let (Some(first), Some(row)) = (&merged.reached_from, &merged.reached) {
            self.course.reached(first, row.clone());
        }
        match &mut now.withheld {
            None => Step::Merged(merged),
            Some(withheld) => {
                let load = Merged { rows: merged.rows, bytes: merged.bytes, ..Merged::default() };
                now.withheld_bytes += bytes_of(&merged.suspects);
                withheld.add(merged);
                // It is paced like the others, and counted later.
                Step::Merged(load)
            }
        }
    }

    /// Counts what a step has found, and looks at its suspects again.
    fn submit(&mut self, merged: Merged) -> Option<impl Future<Output = Settled> + use<'a, S, T>> {
        let Course { shared, learned, key, .. } = self.course;
        let Merged { rows, bytes, suspects, harmless, first_token, last, .. } = merged;
        let (first_token, (last_token, last_key)) = first_token.zip(last)?;
        self.course.any_rows |= rows > 0;
        shared.events.emit(Event::Compared { rows, bytes, suspects: suspects.len() as u64 });
        let counts = Verdict { rows_compared: rows, bytes_read: bytes, ..harmless };
        let number = self.course.mark.sent(Piece { first_token, last_token, last_key, counts });
        if suspects.is_empty() {
            self.course.mark.acked(number, Verdict::default());
            return None;
        }
        let (rows, bytes) = (suspects.len() as u64, bytes_of(&suspects));
        self.suspects += bytes;
        Some(async move {
            let mut done = Rechecked::default();
            let result = recheck::settle(shared, learned, key, suspects, &mut done).await;
            Settled { number, rows, bytes, done, result }
        })
    }

    fn take_settled(&mut self, settled: Settled) {
        self.suspects -= settled.bytes;
        self.course.shared.events.emit(Event::Rechecked { rows: settled.rows });
        let Rechecked { counts, mended } = settled.done;
        self.mended += mended;
        if self.mended > 0 {
            // What was mended is compared again, whatever happens before the range ends: its cursor stays before it.
            self.course.mark.freeze();
        }
        if settled.result.is_err() {
            self.course.count(counts);
        }
        match settled.result {
            Ok(()) => self.course.mark.acked(settled.number, counts),
            Err(Unseen::GaveUp(GaveUp::Stopped)) => self.course.stop(),
            Err(Unseen::GaveUp(GaveUp::Failed(error, tries))) => {
                self.course.fail(format!("rows that differ could not be looked at again after {tries} tries: {error}"));
            }
            Err(Unseen::Unreadable { side, error, place }) => {
                let what = format!("{place} differ, and can't be looked at again at the {side}: {error}");
                self.course.fail_at(side, what);
            }
        }
    }

    async fn end(self) -> Result<PassEnd, CheckpointError> {
        let Course { shared, learned, key, .. } = self.course;
        if self.mended == 0 || !self.is_from_start || !self.course.is_whole() || !learned.task.may_begin_anew(key) {
            return self.course.end().await;
        }
        // What was written is to be seen with everything around it.
        let kept = self.course.mark.rest().kept();
        shared.ledger.report(Change::Again { key, kept }).await?;
        Ok(PassEnd::Ended(RangeEnd::Again(Work { key, cursor: Cursor::default() })))
    }
}

fn bytes_of(suspects: &[Suspect]) -> usize {
    suspects.iter().map(Suspect::size).sum()
}

/// What came of a step.
enum Step {
    /// Rows were compared.
    Merged(Merged),
    /// The scan is read to its end; what was withheld of it counts now.
    ScanEnded(Option<Merged>),
    /// Another scan takes its place.
    GoOn,
    /// What was read of it is read again as a scan of its own: more can't be withheld.
    Parted,
    /// Nothing more is to be read.
    Halted,
}

/// Resolves when it is known what comes next at both sides, and a step may be taken. Pages go on to arrive meanwhile: a read that
/// nobody polls would keep its place in the pacer's lines from all others.
async fn heads<S: Source, T: Target>(merging: &mut Option<Merging<'_, S, T>>, may_step: bool) -> [Head; 2] {
    let Some(Merging { streams: [source, target], .. }) = merging else { return std::future::pending().await };
    poll_fn(|context| match (source.poll_head(context), target.poll_head(context)) {
        (Poll::Ready(source), Poll::Ready(target)) if may_step => Poll::Ready([source, target]),
        _ => Poll::Pending,
    })
    .await
}

async fn poll_some(future: &mut Option<BoxFuture<'_, ()>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
