//! Rows that differed are looked at again, several times, before anybody is told: live applications write to one side after
//! the other, and a reader that comes in between sees a difference that is none.

use super::difference::{Class, Classes};
use super::glance::Glance;
use super::line::Written;
use super::look::{Looked, Seen, Unseen, last_seconds, look};
use super::mend::{self, Mended};
use super::merge::Suspect;
use super::report::{Line, Report, STILL_CHANGES};
use super::task::Comparing;
use crate::engine::pace::Load;
use crate::engine::retry::GaveUp;
use crate::engine::seam::{Source, Target};
use crate::engine::{Learned, Shared};
use crate::job::{RangeKey, Verdict};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use std::collections::VecDeque;
use std::time::Duration;

/// A row must differ in so many looks, and in the same way in the last two of them.
const LOOKS: u32 = 3;
/// A row that one side alone has in so many looks, over a minute, is no matter of time, however often it is written there.
const LOOKS_ALONE: u32 = 6;
/// A row that is another one with each look is given up after so many.
const LOOKS_MAX: u32 = 10;
/// No wait between two looks is longer.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Suspects of one piece that are looked at, or mended, at the same time.
const LOOKS_AT_ONCE: usize = 16;
/// Suspects are looked at in groups of as many as a page has rows, and of no fewer than this.
const GROUP_MIN: usize = 64;
/// After so many suspects that can't be looked at, the others aren't waited for: each costs a server as much as it can give.
const UNREADABLE_MAX: usize = 16;
/// So much is kept of what is to be told, in bytes; then it is told. Each time is a sync of the file.
const TOLD_TOGETHER: usize = 256 << 10;

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
    /// What the last look has shown.
    before: Option<Glance>,
    /// In how many looks, one after another, the same side alone had it.
    alone: u32,
}

/// The suspects of a piece, and whoever tells of them.
struct Settling<'a, S: Source, T: Target> {
    shared: &'a Shared<Comparing<S, T>>,
    learned: &'a Learned<Comparing<S, T>>,
    key: RangeKey,
    done: &'a mut Rechecked,
    /// What is certain to differ, and how.
    certain: Vec<(Suspect, Looked)>,
    /// What never stood still, as it was last.
    unsettled: Vec<(Suspect, Looked)>,
    /// What both take of memory, in bytes.
    held: usize,
    /// Why some of them can't be looked at, where that is so, and how many.
    unreadable: Option<Unseen>,
    unreadable_rows: usize,
    /// Whether cells of some are in their last seconds.
    any_ending: bool,
}

/// What a look has shown of a suspect.
enum Shown {
    Equal,
    Differs(Looked),
    Unreadable,
}

/// Looks at suspects until it is certain of each that it differs, or that it doesn't; mends them where that is wanted, and reports
/// those that are left. `done` has what came of those that were settled, also where it doesn't come to its end.
///
/// # Errors
/// Where a side can't be read or written, or somebody asks to stop.
pub(super) async fn settle<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    key: RangeKey,
    suspects: Vec<Suspect>,
    done: &mut Rechecked,
) -> Result<(), Unseen> {
    let recheck_after = learned.task.conduct.recheck_after;
    done.counts.rows_rechecked = suspects.len() as u64;
    let mut settling = Settling {
        shared,
        learned,
        key,
        done,
        certain: Vec::new(),
        unsettled: Vec::new(),
        held: 0,
        unreadable: None,
        unreadable_rows: 0,
        any_ending: false,
    };
    let open = |suspect| Open { suspect, before: None, alone: 0 };
    let mut open: Vec<Open> = suspects.into_iter().map(open).collect();
    let mut wait = recheck_after;
    for looks in 1..=LOOKS_MAX {
        tokio::select! {
            biased;
            () = learned.calls.stop().requested() => return Err(GaveUp::Stopped.into()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(WAIT_MAX.max(recheck_after));
        open = settling.look_again(open, looks).await?;
        if settling.unreadable_rows > UNREADABLE_MAX {
            break;
        }
        if learned.task.pair.mending.is_some() && !settling.certain.is_empty() {
            // What is certain now needn't be so once all others are.
            settling.tell().await?;
        }
        if std::mem::take(&mut settling.any_ending) {
            wait = wait.max(Duration::from_secs(last_seconds(&learned.task.pair.rules).unsigned_abs()));
        }
        if open.is_empty() {
            break;
        }
    }
    settling.tell().await?;
    settling.unreadable.map_or(Ok(()), Err)
}

impl<S: Source, T: Target> Settling<'_, S, T> {
    /// Looks at all that are open, and gives those that still are. What is equal by now is dropped.
    async fn look_again(&mut self, open: Vec<Open>, looks: u32) -> Result<Vec<Open>, Unseen> {
        let group_rows = usize::try_from(self.learned.page_rows()).unwrap_or(1).max(GROUP_MIN);
        let mut left = Vec::new();
        let mut before_is_gone = false;
        let mut open = open.into_iter();
        loop {
            let group: Vec<Open> = open.by_ref().take(group_rows).collect();
            if group.is_empty() {
                return Ok(left);
            }
            let shown = self.look(&group, looks).await?;
            for (mut open, shown) in group.into_iter().zip(shown) {
                // A row between that needn't be read again isn't.
                open.suspect.follows &= !std::mem::take(&mut before_is_gone);
                let still_open = match shown {
                    Shown::Differs(now) => self.judge(open, now, looks),
                    Shown::Equal | Shown::Unreadable => None,
                };
                before_is_gone = still_open.is_none();
                left.extend(still_open);
                if self.held > TOLD_TOGETHER {
                    self.tell().await?;
                }
            }
        }
    }

    /// What the rows of a group look like now.
    async fn look(&mut self, group: &[Open], turn: u32) -> Result<Vec<Shown>, Unseen> {
        let (shared, learned) = (self.shared, self.learned);
        // No more than fit into a page that the source is asked for anyway.
        let rows_max = usize::try_from(learned.page_rows()).unwrap_or(1).max(1);
        let suspects: Vec<&Suspect> = group.iter().map(|open| &open.suspect).collect();
        let runs = suspects.chunk_by(|a, b| b.follows && b.is_beside(a)).flat_map(|run| run.chunks(rows_max));
        let mut runs: VecDeque<&[&Suspect]> = runs.collect();
        let mut shown = Vec::with_capacity(group.len());
        // No more than these exist at a time: what a request needs is larger than most rows.
        let mut looks: FuturesOrdered<BoxFuture<'_, _>> = FuturesOrdered::new();
        loop {
            while looks.len() < LOOKS_AT_ONCE
                && self.unreadable_rows <= UNREADABLE_MAX
                && let Some(run) = runs.pop_front()
            {
                looks.push_back(Box::pin(async move { (run.len(), paced_look(shared, learned, run, turn).await) }));
            }
            let Some((rows, seen)) = looks.next().await else {
                shown.extend(runs.into_iter().flatten().map(|_| Shown::Unreadable));
                return Ok(shown);
            };
            match seen {
                Ok(seen) => shown.extend(seen.looked.into_iter().map(|now| now.map_or(Shown::Equal, Shown::Differs))),
                // The others are as certain without it.
                Err(unreadable @ Unseen::Unreadable { .. }) => {
                    self.unreadable.get_or_insert(unreadable);
                    self.unreadable_rows += rows;
                    shown.extend((0..rows).map(|_| Shown::Unreadable));
                }
                Err(gave_up) => return Err(gave_up),
            }
        }
    }

    /// Keeps what a look has made certain, and gives back what is to be looked at again.
    fn judge(&mut self, mut open: Open, now: Looked, looks: u32) -> Option<Open> {
        if now.is_ending && looks < LOOKS_MAX {
            self.any_ending = true;
            return Some(Open { before: None, alone: 0, ..open });
        }
        let was_alone = open.before.as_ref().is_none_or(|before| before.is_alone_as(&now));
        open.alone = if now.alone.is_some() && was_alone { open.alone + 1 } else { 0 };
        let glance = Glance::of(&now);
        let stands = |before: &Glance| if looks >= LOOKS { before.standing(&now) } else { None };
        let stands = open.before.as_ref().and_then(stands).or_else(|| (open.alone >= LOOKS_ALONE).then(|| now.clone()));
        let settled = match stands {
            Some(stands) => (&mut self.certain, stands),
            None if looks == LOOKS_MAX => (&mut self.unsettled, now),
            None => return Some(Open { before: Some(glance), ..open }),
        };
        self.held += open.suspect.size() + settled.1.size();
        settled.0.push((open.suspect, settled.1));
        None
    }

    /// Mends what is certain to differ, as far as that is wanted, and tells of all that is left.
    async fn tell(&mut self) -> Result<(), Unseen> {
        self.held = 0;
        let mut lines = Vec::new();
        let mended = self.mend(&mut lines).await;
        for (suspect, looked) in std::mem::take(&mut self.unsettled) {
            let classes = Classes::from(Class::Unsettled);
            self.count(&suspect, classes);
            let note = Some(STILL_CHANGES.to_owned());
            lines.extend(self.report().difference(self.key, &suspect, classes, &looked.columns, note));
        }
        // Also where not all could be mended: what was, is told.
        self.write(lines).await.and(mended)
    }

    /// Mends what is certain to differ, as far as that is wanted, counts what came of it, and adds the lines of what is left.
    async fn mend(&mut self, lines: &mut Vec<Line>) -> Result<(), Unseen> {
        let (shared, learned, key) = (self.shared, self.learned, self.key);
        // What is going to be written is listed before, with what there was: whatever happens in between, nothing is done in secret.
        let planned: Vec<_> = std::mem::take(&mut self.certain)
            .into_iter()
            .map(|(suspect, looked)| (mend::steps(learned, &suspect, &looked), suspect, looked))
            .collect();
        let intents = planned.iter().flat_map(|(steps, suspect, looked)| {
            let columns = looked.columns.as_slice();
            let written = |what| self.report().written(key, what, suspect, columns);
            let repairs = steps.repairs.is_some().then(|| written(Written::Repairing));
            let deletes = (!steps.removals.is_empty()).then(|| written(Written::Deleting));
            repairs.into_iter().chain(deletes).flatten().collect::<Vec<_>>()
        });
        self.write(intents.collect()).await?;
        let mut planned = planned.into_iter();
        let mut under_way: FuturesOrdered<BoxFuture<'_, _>> = FuturesOrdered::new();
        let mut failed = Ok(());
        loop {
            while under_way.len() < LOOKS_AT_ONCE
                && failed.is_ok()
                && let Some((steps, suspect, looked)) = planned.next()
            {
                under_way.push_back(Box::pin(async move {
                    let mended = mend::mend(shared, learned, key, &suspect, looked, steps).await;
                    (suspect, mended)
                }));
            }
            // Those that are under way when one fails have done something, too.
            let Some((suspect, (mended, tried))) = under_way.next().await else { return failed };
            self.take_mended(&suspect, mended, lines);
            failed = failed.and(tried);
        }
    }

    /// Counts what came of a row, and adds its lines.
    fn take_mended(&mut self, suspect: &Suspect, mended: Mended, lines: &mut Vec<Line>) {
        let Mended { left, note, done, markers_inferred, .. } = mended;
        self.done.counts.rows_marker_inferred += markers_inferred;
        for what in done {
            // That others around it are to be compared again follows only from what changed.
            self.done.mended += 1;
            match what {
                Written::Deleting | Written::Deleted => self.done.counts.rows_deleted += 1,
                Written::Repairing | Written::Repaired => self.done.counts.rows_repaired += 1,
            }
            lines.extend(self.report().written(self.key, what, suspect, &[]));
        }
        if let Some(left) = left {
            self.count(suspect, left.classes());
            lines.extend(self.report().difference(self.key, suspect, left.classes(), &left.columns, note));
        }
    }

    fn count(&mut self, suspect: &Suspect, classes: Classes) {
        self.done.counts.rows_compared += u64::from(!suspect.is_counted);
        count(&mut self.done.counts, classes);
    }

    fn report(&self) -> &Report {
        &self.learned.task.conduct.report
    }

    async fn write(&self, lines: Vec<Line>) -> Result<(), Unseen> {
        let told = self.report().tell(&self.shared.events, lines).await;
        Ok(told.inspect_err(|_| self.learned.calls.stop().halt())?)
    }
}

/// Looks at neighbouring rows when it is their turn, by the limits that hold for the scans, too.
async fn paced_look<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    run: &[&Suspect],
    turn: u32,
) -> Result<Seen, Unseen> {
    charge(shared, learned, Load { rows: run.len() as u64, bytes: 0 }).await?;
    let seen = {
        let _permit = shared.pacer.pool.acquire().await;
        look(shared, learned, run, turn).await?
    };
    // What they come to isn't known before; whoever is next waits for it.
    charge(shared, learned, Load { rows: 0, bytes: seen.bytes }).await?;
    Ok(seen)
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
