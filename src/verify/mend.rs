//! What is done about a row that differs, where the operator wants something done. A repair is what the copy would do: the
//! source's row of this moment, with its own writetimes, so that it never wins over what is newer.

use super::difference::{Class, ColumnDifference, ElementKey};
use super::line::Written;
use super::look::{Looked, look, read};
use super::merge::Suspect;
use super::task::{Comparing, Mending};
use crate::call::{CallError, Class as Failure};
use crate::copy::write::{Outlet, write};
use crate::engine::retry::{GaveUp, with_retries};
use crate::engine::seam::{Removal, RemovedPart, Source, Target};
use crate::engine::{Learned, Shared};
use crate::job::RangeKey;
use crate::ring::TokenRange;
use crate::row::{BatchMode, Grouper};
use crate::side::Side;
use std::pin::pin;
use std::sync::Arc;

/// The note of a row that a repair did not bring back.
const SHADOWED: &str = "it was written again, and a newer delete at the target shadows it";
/// The note of a row that a repair left as it was.
const WINS: &str = "it was written again, and what the target has is as new or newer";

/// What became of a row.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// How it differs still.
    pub(super) left: Option<Looked>,
    /// What to say of that.
    pub(super) note: Option<&'static str>,
    /// What was written, in this order.
    pub(super) written: Vec<Written>,
}

/// What is going to be done about a row at first.
pub(super) fn steps<S: Source, T: Target>(
    learned: &Learned<Comparing<S, T>>,
    suspect: &Suspect,
    looked: &Looked,
) -> Vec<Written> {
    let Some(mending) = &learned.task.pair.mending else { return Vec::new() };
    let repairs = mending.repairs && looked.can_be_repaired();
    let deletes = mending.deletes && removal(suspect, looked, learned.task.conduct.started_at).is_some();
    let steps = [repairs.then_some(Written::Repaired), deletes.then_some(Written::Deleted)];
    steps.into_iter().flatten().collect()
}

/// Mends a row as far as it can be, and looks at it once more. What of it is deleted was known before: [`steps`].
///
/// # Errors
/// Where a side can't be read or written.
pub(super) async fn mend<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    key: RangeKey,
    suspect: &Suspect,
    looked: Looked,
) -> Result<Mended, GaveUp> {
    let removal = removal(suspect, &looked, learned.task.conduct.started_at);
    let mut mended = Mended { left: Some(looked), ..Mended::default() };
    let Some(mending) = &learned.task.pair.mending else { return Ok(mended) };
    if mending.repairs && mended.left.as_ref().is_some_and(Looked::can_be_repaired) {
        repair(shared, learned, mending, key, suspect).await?;
        mended.written.push(Written::Repaired);
        mended.left = look(shared, learned, &[suspect]).await?.pop().flatten();
        mended.note = mended.left.as_ref().filter(|left| left.can_be_repaired()).map(|left| {
            let is_gone = left.classes().iter().any(|class| matches!(class, Class::Missing | Class::ColumnMissing));
            if is_gone { SHADOWED } else { WINS }
        });
    }
    if let Some(removal) = removal.filter(|_| mending.deletes && mended.left.is_some()) {
        let _permit = shared.pacer.pool.acquire().await;
        let turns = shared.pacer.turns(Side::Target, learned.calls.stop());
        let delete = |_| {
            turns.call(crate::engine::pace::Load::default(), std::future::ready(()), || mending.writer.delete(&removal))
        };
        let delete = pin!(with_retries(Side::Target, shared.patience, &learned.calls, delete));
        turns.or_stopped(delete).await?;
        mended.written.push(Written::Deleted);
        mended.left = look(shared, learned, &[suspect]).await?.pop().flatten();
    }
    Ok(mended)
}

/// Writes the source's row as it is now, or a partition's statics: what is at the same row is somebody else's suspect, and of lists
/// two who write the same at once write it twice.
async fn repair<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    mending: &Mending<T>,
    key: RangeKey,
    suspect: &Suspect,
) -> Result<(), GaveUp> {
    let Mending { writer, limits, policy, rejects, acknowledged, .. } = mending;
    let layout = Arc::clone(&learned.task.pair.source_layout);
    let range = TokenRange::of(suspect.token);
    let mut grouper = Grouper::new(layout, *limits, BatchMode::None, *policy, range).only(suspect.part);
    let _permit = shared.pacer.pool.acquire().await;
    for page in read(shared, learned, Side::Source, &[suspect]).await? {
        let batches = grouper
            .group(page.fetched.page, page.read_at, |_| 0)
            .map_err(|error| GaveUp::Failed(CallError { class: Failure::Other, message: error.to_string() }, 1))?;
        for batch in batches {
            let outlet = Outlet { target: writer, acknowledged, rejects };
            write(shared, learned, outlet, key, batch).await?;
        }
    }
    Ok(())
}

/// What is to be deleted of a row at the target, if anything is. A delete has the writetime of the newest of what it deletes, so
/// that whatever an application writes meanwhile stays; where that can't be read, that of the verification's beginning.
fn removal(suspect: &Suspect, left: &Looked, started_at: i64) -> Option<Removal> {
    let (row, part) = (suspect.key.clone(), suspect.part);
    if left.alone == Some(Class::Extra) {
        let timestamp = left.newest_at_target.unwrap_or(started_at);
        return Some(Removal { row, part, of: Vec::new(), timestamp });
    }
    let extra = |column: &&ColumnDifference| column.class == Class::ColumnExtra;
    let of: Vec<RemovedPart> = left.columns.iter().filter(extra).filter_map(removed).collect();
    let newest = left.columns.iter().filter(extra).filter_map(|column| column.target.as_ref()?.writetime).max();
    (!of.is_empty()).then(|| Removal { row, part, of, timestamp: newest.unwrap_or(started_at) })
}

/// Elements of lists have no key of their own that a client could name, and stay.
fn removed(column: &ColumnDifference) -> Option<RemovedPart> {
    let value = column.value;
    match &column.element {
        None => Some(RemovedPart::Column { value }),
        Some(ElementKey::Key(key)) => Some(RemovedPart::Element { value, key: key.clone() }),
        Some(ElementKey::Field(field)) => Some(RemovedPart::Field { value, field: *field }),
        Some(ElementKey::Index(_)) => None,
    }
}

impl Looked {
    /// Whether writing the source's row may help.
    fn can_be_repaired(&self) -> bool {
        self.classes().iter().any(|class| match class {
            Class::Missing
            | Class::ValueOlder
            | Class::ValueTie
            | Class::ValueUnknown
            | Class::ColumnMissing
            | Class::List
            | Class::Writetime
            | Class::Expiry => true,
            Class::Extra
            | Class::ValueNewer
            | Class::ColumnExtra
            | Class::Unsettled
            | Class::Marker
            | Class::UnknownTimestamp
            | Class::Capped => false,
        })
    }
}
