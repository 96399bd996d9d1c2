//! What is done about a row that differs, where the operator wants something done. A repair is what the copy would do: the
//! source's row of this moment, with its own writetimes, so that it never wins over what is newer.

use super::difference::{Class, ColumnDifference, ElementKey};
use super::line::Written;
use super::look::{Looked, Unseen, look_at, read};
use super::merge::Suspect;
use super::removal::{self, removals};
use super::task::{Comparing, Mending};
use crate::call::{CallError, Class as Failure};
use crate::copy::write::{Outlet, write};
use crate::engine::pace::Load;
use crate::engine::retry::{GaveUp, with_retries_where};
use crate::engine::seam::{Source, Target};
use crate::engine::{Learned, Shared};
use crate::job::RangeKey;
use crate::ring::TokenRange;
use crate::row::layout::{Part, Shape};
use crate::row::{BatchMode, Grouper, Layout, Only, Removal, RowKey};
use crate::side::Side;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The note of a row that a repair did not bring back.
const SHADOWED: &str = "it was written again, and a newer delete at the target shadows it";
/// The note of a row that a repair left as it was.
const WINS: &str = "it was written again, and what the target has is as new or newer";

/// The note of a row with a list that a repair would double, or leave in another order.
const KEYLESS: &str =
    "its list is left as it is: elements have no key by which they could be written again, or in between";

/// The note of a row that was to be deleted, and wasn't.
const YOUNG: &str = "not deleted: it is a list, a counter, an element that the source has in other bytes, or so young that it may be on its \
                     way to the source";
/// The note of a row that the target would not take, or not let go.
const REFUSED: &str = "the target refuses what would mend it";

/// The note of a row that was to be mended, and is another one by now.
const CHANGED: &str = "left as it is: it has changed since it was looked at";

/// What is looked at so long before a delete is looked at again.
const FRESH: Duration = Duration::from_secs(10);

/// What came of a write or a delete.
#[derive(Debug, Default)]
struct Tried {
    /// Whether the target has acknowledged anything.
    is_acknowledged: bool,
    /// Why it wasn't done, or not all of it.
    note: Option<String>,
}

/// What became of a row.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// How it differs still.
    pub(super) left: Option<Looked>,
    /// What to say of that.
    pub(super) note: Option<String>,
    /// What was done, in this order.
    pub(super) done: Vec<Written>,
    /// What the target has acknowledged, and nobody has looked at since.
    unseen: Option<Written>,
    /// Rows that were written with a row marker that follows from their cells.
    pub(super) markers_inferred: u64,
}

/// What is going to be done about a row.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// This of the source's row is written.
    pub(super) repairs: Option<Only>,
    /// This is deleted.
    pub(super) removals: Vec<Removal>,
}

/// What can be done about a row, and is wanted.
pub(super) fn steps<S: Source, T: Target>(
    learned: &Learned<Comparing<S, T>>,
    suspect: &Suspect,
    looked: &Looked,
) -> Steps {
    let Comparing { pair, conduct, .. } = &learned.task;
    let Some(mending) = &pair.mending else { return Steps::default() };
    // Counters can't be deleted with a time of their own.
    let deletes = mending.deletes && !pair.target_layout.has_counters();
    let latest = removal::latest(conduct.began_at);
    let removals = if deletes { removals(suspect, looked, &pair.key_orders, latest) } else { Vec::new() };
    let repairs = mending.repairs && looked.can_be_repaired();
    Steps { repairs: repairs.then(|| looked.repairable(suspect.part)), removals }
}

/// Mends a row as far as it can be, and looks at it once more. What was done is told with an error, too.
pub(super) async fn mend<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    key: RangeKey,
    suspect: &Suspect,
    looked: Looked,
    steps: Steps,
) -> (Mended, Result<(), Unseen>) {
    let mut mended = Mended { left: Some(looked), ..Mended::default() };
    let tried = try_to_mend(shared, learned, key, suspect, steps, &mut mended).await;
    if tried.is_err() {
        // How it is now, nobody knows.
        mended.left = None;
        mended.done.extend(mended.unseen.take());
    }
    (mended, tried)
}

async fn try_to_mend<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    key: RangeKey,
    suspect: &Suspect,
    steps: Steps,
    mended: &mut Mended,
) -> Result<(), Unseen> {
    let Some(mending) = &learned.task.pair.mending else { return Ok(()) };
    let before = mended.left.as_ref().map(|left| left.state);
    if let Some(only) = steps.repairs {
        let adds = mended.left.as_ref().is_some_and(|left| left.adds_elements(&learned.task.pair.source_layout));
        let what = (suspect, only, adds);
        let repaired = repair(shared, learned, mending, key, what, &mut mended.markers_inferred).await;
        mended.try_to(repaired, Written::Repaired)?;
        let is_written = mended.unseen.is_some();
        mended.left = look_at(shared, learned, suspect).await?;
        mended.seen(before);
        if is_written && let Some(left) = mended.left.as_ref().filter(|left| left.can_be_repaired()) {
            let is_gone = left.classes().iter().any(|class| matches!(class, Class::Missing | Class::ColumnMissing));
            mended.note.get_or_insert_with(|| if is_gone { SHADOWED } else { WINS }.to_owned());
        }
    }
    if mending.repairs && mended.left.as_ref().is_some_and(Looked::has_keyless) {
        mended.note.get_or_insert_with(|| KEYLESS.to_owned());
    }
    if steps.removals.is_empty() || mended.left.is_none() {
        let is_extra =
            |left: &Looked| left.classes().iter().any(|class| matches!(class, Class::Extra | Class::ColumnExtra));
        if mending.deletes && mended.left.as_ref().is_some_and(is_extra) {
            mended.note.get_or_insert_with(|| YOUNG.to_owned());
        }
        return Ok(());
    }
    let before = mended.left.as_ref().map(|left| left.state);
    let latest = removal::latest(learned.task.conduct.began_at);
    for removal in steps.removals {
        let still = |now: &Looked| removals(suspect, now, &learned.task.pair.key_orders, latest).contains(&removal);
        mended.try_to(delete(shared, learned, mending, suspect, &removal, still).await, Written::Deleted)?;
    }
    mended.left = look_at(shared, learned, suspect).await?;
    let is_bare = |left: &Looked| left.alone.is_some() && left.columns.is_empty();
    if mended.left.as_ref().is_some_and(is_bare) {
        let of_marker = removal::of_marker(suspect, latest);
        mended.try_to(delete(shared, learned, mending, suspect, &of_marker, is_bare).await, Written::Deleted)?;
        mended.left = look_at(shared, learned, suspect).await?;
    }
    if let Some(left) = mended.left.as_mut().filter(|left| left.alone == Some(Class::Marker)) {
        // Whatever made the row, it was to go.
        left.alone = Some(Class::Extra);
    }
    mended.seen(before);
    Ok(())
}

impl Mended {
    /// Goes on after what the target refused for good: the row stays as it is, and others needn't.
    fn try_to(&mut self, tried: Result<Tried, Unseen>, what: Written) -> Result<(), Unseen> {
        match tried {
            Ok(Tried { is_acknowledged, note }) => {
                if is_acknowledged {
                    self.unseen = Some(what);
                }
                self.note = self.note.take().or(note);
                Ok(())
            }
            Err(Unseen::GaveUp(GaveUp::Failed(error, _))) if error.class == Failure::Rejected => {
                self.note = Some(format!("{REFUSED}: {}", error.message));
                Ok(())
            }
            Err(failed) => Err(failed),
        }
    }

    /// Notes what was done, where the row isn't any more what it was `before`.
    fn seen(&mut self, before: Option<u64>) {
        let done = self.unseen.take();
        if self.left.as_ref().map(|left| left.state) != before {
            self.done.extend(done);
        }
    }
}

/// Deletes what is `still` to be deleted when all that has to be waited for has been: the source may have got it meanwhile, and no
/// repair would bring it back.
async fn delete<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    mending: &Mending<T>,
    suspect: &Suspect,
    removal: &Removal,
    still: impl Fn(&Looked) -> bool,
) -> Result<Tried, Unseen> {
    let _permit = shared.pacer.pool.acquire().await;
    let turns = &shared.pacer.turns(Side::Target, learned.calls.stop());
    let still = &still;
    let delete = |_| async move {
        turns.before(shared.pacer.charge(Load { rows: 1, bytes: 0 })).await;
        loop {
            match look_at(shared, learned, suspect).await {
                Ok(Some(now)) if still(&now) => {}
                Ok(_) => return Ok(Ok(Tried { is_acknowledged: false, note: Some(CHANGED.to_owned()) })),
                Err(unseen) => return Ok(Err(unseen)),
            }
            let looked_at = Instant::now();
            let delete = || async {
                if looked_at.elapsed() > FRESH {
                    return Ok(false);
                }
                mending.writer.delete(removal).await.map(|()| true)
            };
            if turns.call(Load::default(), std::future::ready(()), delete).await? {
                return Ok(Ok(Tried { is_acknowledged: true, note: None }));
            }
        }
    };
    // What a look says of the cluster it has said itself.
    let is_answer = |tried: &Result<Tried, Unseen>| matches!(tried, Ok(Tried { is_acknowledged: true, .. }));
    let delete = pin!(with_retries_where(is_answer, Side::Target, shared.patience, &learned.calls, delete));
    turns.or_stopped(delete).await?
}

/// Writes of the source's row as it is now, or of a partition's statics, what isn't as it should be: what is at the same row is somebody
/// else's suspect, of lists two who write the same at once write it twice, and a list that is right would be there twice, too. Where
/// it `adds` elements, nothing is written of a row that has changed since: they may be there by now.
async fn repair<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    mending: &Mending<T>,
    key: RangeKey,
    (suspect, only, adds): (&Suspect, Only, bool),
    markers_inferred: &mut u64,
) -> Result<Tried, Unseen> {
    let Mending { writer, limits, policy, rejects, answers, doubtful, .. } = mending;
    let layout = Arc::clone(&learned.task.pair.source_layout);
    let range = TokenRange::of(suspect.token);
    let mut tried = Tried::default();
    let _permit = shared.pacer.pool.acquire().await;
    if adds {
        let now = look_at(shared, learned, suspect).await?;
        if now.is_none_or(|now| !now.can_be_repaired() || now.repairable(suspect.part) != only) {
            tried.note = Some(CHANGED.to_owned());
            return Ok(tried);
        }
    }
    let mut grouper = Grouper::new(layout, *limits, BatchMode::None, *policy, range).only(only);
    for page in read(shared, learned, Side::Source, &[suspect], 0).await? {
        let batches = grouper
            .group(page.fetched.page, page.read_at, |_| 0)
            .map_err(|error| GaveUp::Failed(CallError { class: Failure::Other, message: error.to_string() }, 1))?;
        for batch in batches {
            let inferred = batch.noted().marker_inferred;
            let before = u32::from(locked(doubtful).contains(&suspect.written()));
            let outlet = Outlet { target: writer, tried: before, answers, rejects };
            match write(shared, learned, outlet, key, batch).await {
                Ok(settled) => {
                    *markers_inferred += if settled.unacknowledged { 0 } else { inferred };
                    tried.is_acknowledged |= !settled.unacknowledged;
                    let refused = settled.refusal.map(|why| format!("{REFUSED}: {why}"));
                    tried.note = tried.note.take().or(refused);
                }
                Err(gave_up) => {
                    // It may have been written.
                    *markers_inferred += inferred;
                    locked(doubtful).insert(suspect.written());
                    return Err(gave_up.into());
                }
            }
        }
    }
    Ok(tried)
}

fn locked(rows: &Mutex<HashSet<RowKey>>) -> MutexGuard<'_, HashSet<RowKey>> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Looked {
    /// Whether writing the source's row may help.
    fn can_be_repaired(&self) -> bool {
        match self.alone {
            Some(class) => class == Class::Missing,
            None => self.columns.iter().any(ColumnDifference::can_be_repaired),
        }
    }

    /// Whether a repair adds elements to lists, which have no key by which they would be the same if they come twice.
    fn adds_elements(&self, layout: &Layout) -> bool {
        let has_lists = || layout.values.iter().any(|value| value.shape == Shape::List);
        self.columns.iter().any(|column| column.adds_from.is_some()) || self.alone.is_some() && has_lists()
    }

    /// What of the source's row is to be written: of a row that the target has, nothing but what differs in a way that this mends.
    fn repairable(&self, part: Part) -> Only {
        if self.alone.is_some() {
            return Only::part(part);
        }
        let columns = self.columns.iter().filter(|column| column.can_be_repaired());
        Only::values(part, columns.map(|column| (column.value, column.adds_from.unwrap_or(0))))
    }

    /// Whether there is a list that no write would mend.
    fn has_keyless(&self) -> bool {
        let is_keyless = |column: &ColumnDifference| match column.element {
            Some(ElementKey::Index(_)) => !column.class.is_harmless(),
            _ => column.class == Class::List && column.adds_from.is_none(),
        };
        self.alone.is_none() && self.columns.iter().any(is_keyless)
    }
}

impl ColumnDifference {
    /// Whether writing what the source has may help.
    fn can_be_repaired(&self) -> bool {
        match self.class {
            // An element that is written again is there twice.
            _ if matches!(self.element, Some(ElementKey::Index(_))) => false,
            Class::List => self.adds_from.is_some(),
            Class::Missing
            | Class::ValueOlder
            | Class::ValueTie
            | Class::ValueUnknown
            | Class::ColumnMissing
            | Class::Writetime
            | Class::Expiry => true,
            Class::Extra
            | Class::ValueNewer
            | Class::ColumnExtra
            | Class::Unsettled
            | Class::Marker
            | Class::UnknownTimestamp
            | Class::Capped => false,
        }
    }
}
