//! A group of changes, as the rows that it comes to.

use super::committer::Change;
use crate::job::{Counts, Cursor, RangeKey, Work};
use crate::ring::Token;
use std::collections::BTreeMap;

/// Something to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Update<C> {
    /// A range moves on.
    Range(RangeUpdate<C>),
    /// It becomes several.
    Split { key: RangeKey, into: Vec<Work> },
    /// It goes back to its beginning.
    Anew { key: RangeKey, kept: C },
    /// Rows beyond its cursor count for a while.
    Beyond { key: RangeKey, counts: C },
}

/// All that a group says of one range: one row to update, however much happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeUpdate<C> {
    pub(super) key: RangeKey,
    /// How often it was claimed.
    pub(super) claims: u32,
    /// Its last cursor, if it moved. Without a token, that of the range stays.
    pub(super) cursor: Option<Cursor>,
    /// All rows of the group.
    pub(super) tally: C,
    pub(super) state: RangeState,
}

/// The state that a range ends a group in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RangeState {
    Claimed,
    Done,
    Failed { error: String, remedy: Option<String> },
}

/// Folds the changes of a group, in their order, into one update per range; a split, and a new beginning, part what was before
/// from what comes after.
pub(super) fn fold<C: Counts>(group: Vec<Change<C>>) -> Vec<Update<C>> {
    let mut folded = Vec::new();
    let mut updates: BTreeMap<(usize, Token), RangeUpdate<C>> = BTreeMap::new();
    for change in group {
        let key = change.key();
        match change {
            Change::Split { into, .. } => {
                folded.extend(std::mem::take(&mut updates).into_values().map(Update::Range));
                folded.push(Update::Split { key, into });
                continue;
            }
            Change::Again { kept, .. } => {
                folded.extend(updates.remove(&(key.table, key.range.first())).map(Update::Range));
                folded.push(Update::Anew { key, kept });
                continue;
            }
            Change::Beyond { counts, .. } => {
                folded.extend(updates.remove(&(key.table, key.range.first())).map(Update::Range));
                folded.push(Update::Beyond { key, counts });
                continue;
            }
            _ => {}
        }
        let update = updates.entry((key.table, key.range.first())).or_insert_with(|| RangeUpdate {
            key,
            claims: 0,
            cursor: None,
            tally: C::default(),
            state: RangeState::Claimed,
        });
        match change {
            Change::Claimed { .. } => {
                update.claims += 1;
                update.state = RangeState::Claimed;
            }
            Change::Moved { cursor, tally, .. } => {
                let token = cursor.token.or(update.cursor.as_ref().and_then(|before| before.token));
                update.cursor = Some(Cursor { token, ..cursor });
                update.tally += tally;
            }
            Change::Done { tally, .. } => {
                update.cursor = Some(Cursor { token: Some(key.range.last()), row: None });
                update.tally += tally;
                update.state = RangeState::Done;
            }
            Change::Failed { error, remedy, .. } => update.state = RangeState::Failed { error, remedy },
            Change::Split { .. } | Change::Again { .. } | Change::Beyond { .. } => {}
        }
    }
    folded.extend(updates.into_values().map(Update::Range));
    folded
}
