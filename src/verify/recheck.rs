//! Rows that differed are looked at again, several times, before anybody is told: live applications write to one side after
//! the other, and a reader that comes in between sees a difference that is none.

use super::difference::{CellState, Class, Classes, ColumnDifference};
use super::line::Written;
use super::look::{Looked, Seen, Unseen, look};
use super::mend::{self, Mended};
use super::merge::Suspect;
use super::report::{Line, STILL_CHANGES};
use super::task::{Comparing, Conduct};
use crate::engine::pace::Load;
use crate::engine::retry::GaveUp;
use crate::engine::seam::{Source, Target};
use crate::engine::{Learned, Shared};
use crate::job::{RangeKey, Verdict};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::time::Duration;

/// A row must differ in so many looks, and in the same way in the last two of them.
const LOOKS: u32 = 3;
/// A row that one side alone has in so many looks, over a minute, is no matter of time, however often it is written there.
const LOOKS_ALONE: u32 = 6;
/// A row that is another one with each look is given up after so many.
const LOOKS_MAX: u32 = 10;
/// No wait between two looks is longer.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What became of suspects.
#[derive(Debug, Default)]
pub(super) struct Rechecked {
    /// What is counted of them.
    pub(super) counts: Verdict,
    /// How many were written or deleted.
    pub(super) mended: u64,
}

/// A suspect that isn't settled.
struct Open {
    suspect: Suspect,
    looked: Option<Looked>,
    /// What of it was the same in the last look as in the one before, if anything differed in the same way.
    stands: Option<Looked>,
    /// In how many looks, one after another, the same side alone had it.
    alone: u32,
}

/// Looks at suspects until it is certain of each that it differs, or that it doesn't; mends them where that is wanted, and reports
/// those that are left.
///
/// # Errors
/// Where a side can't be read or written, or somebody asks to stop.
pub(super) async fn settle<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    key: RangeKey,
    suspects: Vec<Suspect>,
) -> Result<Rechecked, Unseen> {
    let Conduct { recheck_after, report, .. } = &learned.task.conduct;
    let mut done = Rechecked::default();
    done.counts.rows_rechecked = suspects.len() as u64;
    let mut open: Vec<Open> =
        suspects.into_iter().map(|suspect| Open { suspect, looked: None, stands: None, alone: 0 }).collect();
    let mut certain: Vec<(Suspect, Looked)> = Vec::new();
    let mut wait = *recheck_after;
    for looks in 1..=LOOKS_MAX {
        tokio::select! {
            biased;
            () = learned.calls.stop().requested() => return Err(GaveUp::Stopped.into()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(WAIT_MAX.max(*recheck_after));
        look_again(shared, learned, &mut open).await?;
        let (ready, rest): (Vec<Open>, Vec<Open>) =
            open.into_iter().partition(|open| looks >= LOOKS && open.stands.is_some());
        certain.extend(ready.into_iter().filter_map(|open| Some((open.suspect, open.stands?))));
        open = rest;
        if open.is_empty() {
            break;
        }
    }
    let mut lines = mend_all(shared, learned, key, certain, &mut done).await?;
    for Open { suspect, looked, .. } in open {
        let columns = looked.map(|looked| looked.columns).unwrap_or_default();
        let classes = Classes::from(Class::Unsettled);
        count(&mut done.counts, classes);
        let note = Some(STILL_CHANGES.to_owned());
        lines.extend(report.difference(key, &suspect, classes, &columns, note));
    }
    report.tell(&shared.events, lines).await.inspect_err(|_| learned.calls.stop().halt())?;
    Ok(done)
}

/// Mends what is certain to differ, as far as that is wanted, counts what came of it, and gives the lines of what is left.
async fn mend_all<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    key: RangeKey,
    certain: Vec<(Suspect, Looked)>,
    done: &mut Rechecked,
) -> Result<Vec<Line>, Unseen> {
    let report = &learned.task.conduct.report;
    // What is going to be written is listed before, with what there was: whatever happens in between, nothing is done in secret.
    let planned: Vec<_> = certain
        .into_iter()
        .map(|(suspect, looked)| (mend::steps(learned, &suspect, &looked), suspect, looked))
        .collect();
    let intents = planned.iter().flat_map(|(steps, suspect, looked)| {
        let columns = looked.columns.as_slice();
        let repairs = steps.repairs.then(|| report.written(key, Written::Repairing, suspect, columns));
        let deletes = (!steps.removals.is_empty()).then(|| report.written(key, Written::Deleting, suspect, columns));
        repairs.into_iter().chain(deletes).flatten().collect::<Vec<_>>()
    });
    report.tell(&shared.events, intents.collect()).await.inspect_err(|_| learned.calls.stop().halt())?;
    let mends = planned.into_iter().map(|(steps, suspect, looked)| -> BoxFuture<'_, _> {
        Box::pin(async move {
            let mended = mend::mend(shared, learned, key, &suspect, looked, steps).await?;
            Ok::<_, Unseen>((suspect, mended))
        })
    });
    let mends: Vec<BoxFuture<'_, _>> = mends.collect();
    let mut mends = futures::stream::iter(mends).buffered(LOOKS_AT_ONCE);
    let mut lines = Vec::new();
    while let Some((suspect, Mended { left, note, done: what, markers_inferred })) = mends.try_next().await? {
        done.counts.rows_marker_inferred += markers_inferred;
        for what in what {
            // That others around it are to be compared again follows only from what changed.
            done.mended += 1;
            match what {
                Written::Deleting | Written::Deleted => done.counts.rows_deleted += 1,
                Written::Repairing | Written::Repaired => done.counts.rows_repaired += 1,
            }
            lines.extend(report.written(key, what, &suspect, &[]));
        }
        if let Some(left) = left {
            count(&mut done.counts, left.classes());
            lines.extend(report.difference(key, &suspect, left.classes(), &left.columns, note));
        }
    }
    Ok(lines)
}

/// Runs of suspects of one piece that are looked at, or mended, at the same time.
const LOOKS_AT_ONCE: usize = 16;

/// Looks at all that are open; what is equal by now is dropped.
async fn look_again<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    open: &mut Vec<Open>,
) -> Result<(), Unseen> {
    // No more than fit into a page that the source is asked for anyway.
    let rows_max = usize::try_from(learned.page_rows()).unwrap_or(1).max(1);
    let suspects: Vec<&Suspect> = open.iter().map(|open| &open.suspect).collect();
    let mut looks: Vec<BoxFuture<'_, Result<Vec<Option<Looked>>, Unseen>>> = Vec::new();
    for run in suspects.chunk_by(|a, b| b.follows && b.is_beside(a)) {
        for run in run.chunks(rows_max) {
            looks.push(Box::pin(async move {
                charge(shared, learned, Load { rows: run.len() as u64, bytes: 0 }).await?;
                let Seen { looked, bytes } = {
                    let _permit = shared.pacer.pool.acquire().await;
                    look(shared, learned, run).await?
                };
                // What they come to isn't known before; whoever is next waits for it.
                charge(shared, learned, Load { rows: 0, bytes }).await?;
                Ok(looked)
            }));
        }
    }
    let looked: Vec<_> = futures::stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
    let mut looked = looked.into_iter().flatten();
    let mut before_is_gone = false;
    open.retain_mut(|open| {
        let Some(Some(now)) = looked.next() else {
            before_is_gone = true;
            return false;
        };
        // A row between that is equal by now needn't be read again.
        open.suspect.follows &= !std::mem::take(&mut before_is_gone);
        let was_alone = open.looked.as_ref().is_none_or(|before| before.alone == now.alone);
        open.alone = if now.alone.is_some() && was_alone { open.alone + 1 } else { 0 };
        let is_gone = || (open.alone >= LOOKS_ALONE).then(|| now.clone());
        open.stands = open.looked.as_ref().and_then(|before| standing(before, &now)).or_else(is_gone);
        open.looked = Some(now);
        true
    });
    Ok(())
}

/// Waits until so much may be read, by the limits that hold for the scans, too.
async fn charge<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    load: Load,
) -> Result<(), GaveUp> {
    tokio::select! {
        biased;
        () = learned.calls.stop().requested() => Err(GaveUp::Stopped),
        () = shared.pacer.charge(load) => Ok(()),
    }
}

/// What differs in the same way in two looks. In a row that applications write all the time, one column may still lack what
/// was written to it long ago.
fn standing(before: &Looked, now: &Looked) -> Option<Looked> {
    if before.alone.is_some() || now.alone.is_some() {
        return (before.alone == now.alone && before.state == now.state).then(|| now.clone());
    }
    // By what they are of: there may be as many as a collection has elements.
    let of = |column: &ColumnDifference| (column.value, column.element.clone());
    let known: HashMap<_, &ColumnDifference> = before.columns.iter().map(|column| (of(column), column)).collect();
    let is_same = |now: &&ColumnDifference| {
        known.get(&of(now)).is_some_and(|before| {
            before.class == now.class
                && before.source.as_ref().map(cells) == now.source.as_ref().map(cells)
                && before.target.as_ref().map(cells) == now.target.as_ref().map(cells)
        })
    };
    let columns: Vec<ColumnDifference> = now.columns.iter().filter(is_same).cloned().collect();
    (!columns.is_empty()).then(|| Looked { columns, ..now.clone() })
}

/// What tells two states of a cell apart; its expiry is an estimate.
fn cells(state: &CellState) -> (&[u8], Option<i64>) {
    (&state.bytes, state.writetime)
}

/// Counts a row in each of its classes, and once as different where it is.
pub(super) fn count(verdict: &mut Verdict, classes: Classes) {
    verdict.rows_different += u64::from(!classes.is_harmless() && !classes.contains(Class::Unsettled));
    for class in classes.iter() {
        *field(verdict, class) += 1;
    }
}

/// The count of a class.
fn field(verdict: &mut Verdict, class: Class) -> &mut u64 {
    match class {
        Class::Missing => &mut verdict.rows_missing,
        Class::Extra => &mut verdict.rows_extra,
        Class::ValueOlder => &mut verdict.rows_value_older,
        Class::ValueNewer => &mut verdict.rows_value_newer,
        Class::ValueTie => &mut verdict.rows_value_tie,
        Class::ValueUnknown => &mut verdict.rows_value_unknown,
        Class::ColumnMissing => &mut verdict.rows_column_missing,
        Class::ColumnExtra => &mut verdict.rows_column_extra,
        Class::List => &mut verdict.rows_list,
        Class::Writetime => &mut verdict.rows_writetime,
        Class::Expiry => &mut verdict.rows_expiry,
        Class::Unsettled => &mut verdict.rows_unsettled,
        Class::Marker => &mut verdict.rows_marker,
        Class::UnknownTimestamp => &mut verdict.rows_unknown_timestamp,
        Class::Capped => &mut verdict.rows_capped,
    }
}

impl Looked {
    /// All that it shows.
    pub(super) fn classes(&self) -> Classes {
        match self.alone {
            Some(class) => class.into(),
            None => self.columns.iter().map(|column| column.class).collect(),
        }
    }
}
