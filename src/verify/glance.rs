//! What is remembered of a look at a row until the next one: that it was such a row, not which. Rows may be large, and many of them
//! may differ.

use super::difference::{CellState, Class, ColumnDifference};
use super::look::Looked;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A look at a row.
#[derive(Debug)]
pub(super) struct Glance {
    /// The class of a row that one side alone has.
    alone: Option<Class>,
    state: u64,
    /// What differs of a row that both sides have, each by its hash, in ascending order.
    columns: Box<[u64]>,
}

impl Glance {
    pub(super) fn of(looked: &Looked) -> Glance {
        let columns = looked.columns.iter().filter(|_| looked.alone.is_none());
        let mut columns: Box<[u64]> = columns.map(hash).collect();
        columns.sort_unstable();
        Glance { alone: looked.alone, state: looked.state, columns }
    }

    /// Whether the same side has the row alone, or neither does.
    pub(super) fn is_alone_as(&self, now: &Looked) -> bool {
        self.alone == now.alone
    }

    /// What differs in the same way in two looks. In a row that applications write all the time, one column may still lack what
    /// was written to it long ago.
    pub(super) fn standing(&self, now: &Looked) -> Option<Looked> {
        if self.alone.is_some() || now.alone.is_some() {
            return (self.alone == now.alone && self.state == now.state).then(|| now.clone());
        }
        let is_same = |now: &&ColumnDifference| self.columns.binary_search(&hash(now)).is_ok();
        let columns: Vec<ColumnDifference> = now.columns.iter().filter(is_same).cloned().collect();
        (!columns.is_empty()).then(|| Looked { columns, ..now.clone() })
    }
}

/// Tells two differences apart; an expiry is an estimate, and no part of it.
fn hash(column: &ColumnDifference) -> u64 {
    let mut hasher = DefaultHasher::new();
    (column.value, &column.element, column.class).hash(&mut hasher);
    for state in [&column.source, &column.target] {
        state.as_ref().map(|CellState { bytes, writetime, .. }| (bytes, writetime)).hash(&mut hasher);
    }
    hasher.finish()
}
