//! One batch into the target: whole, in parts, or as rejected rows.
//!
//! A batch that the target refuses for good is halved until the rows are found that are to blame; those are rejected, once
//! their keys are on the disk, and everything else is written. A batch that keeps failing at the replicas is taken apart in the
//! same way: what a server says of a row that is too large for it, or that it can't decode, is often no more than that
//! a write failed.

use crate::call::{CallError, Class};
use crate::engine::pace::Load;
use crate::engine::retry::{GaveUp, with_retries, with_retries_where};
use crate::engine::seam::Target;
use crate::engine::{Learned, Shared, Task};
use crate::event::Event;
use crate::job::RangeKey;
use crate::rejects::{Reject, Rejects};
use crate::row::{Batch, Settled};
use crate::settings::Patience;
use crate::side::Side;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After this long, a batch that fails at the replicas is taken apart. What it says when it stands alone is waited for as long
/// as anything.
const PATIENCE_WITH_BATCHES: Duration = Duration::from_secs(10);

/// So many rows may be refused by a target that has taken none of the table yet. Then it isn't the rows that are to blame, and what is
/// listed as rejected is never tried again.
const REFUSED_FIRST_MAX: u64 = 100;

/// What a target has answered to the writes of one table.
#[derive(Debug)]
pub struct Answers {
    /// Requests, in this run.
    acknowledged: AtomicU64,
    /// Rows, in this run.
    refused: AtomicU64,
    takes_rows: bool,
}

impl Answers {
    /// None so far. `takes_rows` tells whether the target is known to take rows of the table.
    pub fn of_table(takes_rows: bool) -> Answers {
        Answers { acknowledged: 0.into(), refused: 0.into(), takes_rows }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a row that the target refuses; says whether the row may be to blame.
    fn may_refuse(&self) -> bool {
        let before = self.refused.fetch_add(1, Ordering::Relaxed);
        self.takes_rows || self.acknowledged() > 0 || before < REFUSED_FIRST_MAX
    }
}

/// Where batches go.
#[derive(Debug)]
pub(crate) struct Outlet<'a, T> {
    pub(crate) target: &'a T,
    /// How often the batch was tried before, with an outcome that may be unknown.
    pub(crate) tried: u32,
    /// What it has answered.
    pub(crate) answers: &'a Answers,
    /// Where those rows go that it will never take.
    pub(crate) rejects: &'a Rejects,
}

/// Writes a batch, patiently.
pub(crate) async fn write<K: Task, T: Target>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    Outlet { target, tried, answers, rejects }: Outlet<'_, T>,
    key: RangeKey,
    batch: Batch,
) -> Result<Settled, GaveUp> {
    let mut settled = Settled { unacknowledged: true, ..Settled::default() };
    let mut rejected: Vec<Reject> = Vec::new();
    // With each part, how often it was tried, alone or as part of a larger one, with an outcome that may be unknown.
    let mut parts = vec![(batch, tried)];
    while let Some((part, before)) = parts.pop() {
        let is_divisible = part.row_count() > 1 || part.halves().is_some();
        let of_failures = if is_divisible { PATIENCE_WITH_BATCHES } else { Duration::MAX };
        let patience = Patience { of_failures, ..shared.patience };
        let acknowledged = answers.acknowledged();
        let turns = shared.pacer.turns(Side::Target, learned.calls.stop());
        let load = Load { rows: part.row_count() as u64, bytes: part.bytes() as u64 };
        let in_flight = target.in_flight(&part);
        let (turns, whole) = (&turns, &part);
        let send = |tries| async move {
            let tries = before + tries;
            turns.before(target.ready(whole, tries)).await;
            let room = shared.budget.request(in_flight);
            turns.call(load, room, move || target.write(whole, shared.clock, tries)).await
        };
        // What has expired says nothing of the target.
        let is_answer = |settled: &Settled| !settled.unacknowledged;
        let calls = with_retries_where(is_answer, Side::Target, patience, &learned.calls, send);
        let written = turns.or_stopped(pin!(calls)).await;
        let (error, tries) = match written {
            Ok(more) => {
                if is_answer(&more) {
                    answers.acknowledge();
                }
                settled += more;
                continue;
            }
            Err(GaveUp::Failed(error, tries)) if error.class.may_be_the_request() && !learned.calls.are_over() => {
                (error, tries)
            }
            Err(gave_up) => return Err(gave_up),
        };
        if let Some([first, second]) = part.halves() {
            // A refusal is an answer: nothing of that try can still take effect.
            let before = before + tries - u32::from(error.class == Class::Rejected);
            parts.extend([(second, before), (first, before)]);
            continue;
        }
        // Where nothing else got through meanwhile, the row isn't to blame.
        let alone = answers.acknowledged() > acknowledged;
        if error.class != Class::Rejected && !alone {
            return Err(GaveUp::Failed(error, tries));
        }
        // Every row is refused by a table that is gone, or that is another one by now.
        let look = |_| target.is_unchanged();
        if !with_retries(Side::Target, shared.patience, &learned.calls, look).await? {
            let message = format!("{} (the target's table was changed or dropped)", error.message);
            return Err(GaveUp::Failed(CallError { message, ..error }, tries));
        }
        if !answers.may_refuse() {
            let so_far = format!("so were {REFUSED_FIRST_MAX} rows before it, and none was taken yet");
            return Err(GaveUp::Failed(CallError { message: format!("{} ({so_far})", error.message), ..error }, tries));
        }
        if part.row_count() > 0 || part.is_statics() {
            settled.rejected += 1;
        }
        if part.is_statics() {
            // The row that they came with is next. It is written, and counts as rejected already.
            let row = parts.pop().map(|(row, before)| (row.uncounted(), before));
            parts.extend(row);
        }
        rejected.push(Reject { batch: part, reason: error.to_string() });
    }
    if let Some(first) = rejected.first() {
        let (rows, reason) = (rejected.len() as u64, first.reason.clone());
        if let Err(error) = rejects.append(key, rejected).await {
            let class = Class::Other;
            return Err(GaveUp::Failed(CallError { class, message: error.to_string() }, 1));
        }
        settled.refusal = Some(reason.clone());
        shared.events.emit(Event::RowsRejected { key, rows, reason });
    }
    Ok(settled)
}
