//! Two rows of one key, compared as raw bytes.
//!
//! What a side can't tell is never a difference: a writetime is compared where both sides show it, or where the target has the
//! one that a copy writes for want of another.

use super::cell::{Cell, Times, class_of, difference};
use super::difference::{CellState, Class, ColumnDifference};
use super::elements;
use crate::row::layout::{Part, Shape};
use crate::row::{Layout, Page, Policy};
use crate::side::Side;

/// A row of a page.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The page.
    pub page: &'a Page,
    /// The row's index in it.
    pub row: usize,
    /// What stands where. Both sides have the same keys and values in the same order; not both can tell the same writetimes.
    pub layout: &'a Layout,
    /// When the page was asked for, in seconds since the Unix epoch.
    pub read_at: i64,
}

/// What isn't a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Seconds by which expiries may differ: the servers round, and count from when they work on a write.
    pub expiry_tolerance: i64,
    /// What a copy does with writetimes that can't be read or kept.
    pub policy: Policy,
}

/// A collection that isn't what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {side} answered a value of column {value} (counted after the key) that can't be compared: {what}")]
pub struct Malformed {
    /// Who answered it.
    pub side: Side,
    /// Position among the values of the SELECT.
    pub value: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// A row that only one side has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alone {
    /// [`Class::Missing`] or [`Class::Extra`]; [`Class::Marker`] for a row of the target that shows nothing but its key in a
    /// table with other columns: a row's marker can't be read, so a copy infers it, and it may outlive the cells.
    pub class: Class,
    /// Its columns that aren't null, of the same class; those with elements as one.
    pub columns: Vec<ColumnDifference>,
}

/// Whether `part` of both rows is the same: [`compare`] would find nothing. For every row, so most are done by comparing their
/// bytes once.
pub fn is_equal(source: Row, target: Row, part: Part, rules: &Rules) -> bool {
    if std::ptr::eq(source.layout, target.layout) || source.layout == target.layout {
        let layout = source.layout;
        let (keys, columns) = (layout.keys(), layout.columns());
        let ttls = (keys + layout.values.len()).midpoint(columns);
        // The same TTLs, read at other times, are other expiries; but nulls, which are all ones on the wire, are "never".
        if source.span(keys, columns) == target.span(keys, columns)
            && (rules.tolerates(source.read_at, target.read_at)
                || source.span(ttls, columns).iter().all(|&byte| byte == 0xff))
        {
            return true;
        }
    }
    values_of(source.layout, part).all(|value| {
        is_same(source, target, value, rules)
            || has_elements(source.layout, value) && differences(source, target, value, rules) == Ok(Vec::new())
    })
}

/// How `part` of the target's row differs from the source's: at most one difference for each column of one cell, and for each
/// element of the others. Empty where it doesn't.
///
/// # Errors
/// Where a collection isn't one.
pub fn compare(source: Row, target: Row, part: Part, rules: &Rules) -> Result<Vec<ColumnDifference>, Malformed> {
    let mut found = Vec::new();
    for value in values_of(source.layout, part).filter(|&value| !is_same(source, target, value, rules)) {
        found.extend(differences(source, target, value, rules)?);
    }
    Ok(found)
}

/// Whether `part` of a row has anything: where a partition's statics don't, there are none.
pub fn has_any(row: Row, part: Part) -> bool {
    values_of(row.layout, part).any(|value| row.value(value).is_some())
}

/// What is told of `part` of a row that only `side` has.
///
/// # Errors
/// Where a collection isn't one.
pub fn alone(row: Row, side: Side, part: Part) -> Result<Alone, Malformed> {
    let is_bare = part == Part::Regular && !values_of(row.layout, part).is_empty() && !has_any(row, part);
    let class = match side {
        Side::Source => Class::Missing,
        Side::Target if is_bare => Class::Marker,
        Side::Target => Class::Extra,
    };
    let mut columns = Vec::new();
    for value in values_of(row.layout, part) {
        let Some(state) = state(row, side, value)? else { continue };
        let (source, target) = if side == Side::Source { (Some(state), None) } else { (None, Some(state)) };
        columns.push(ColumnDifference { value, class, source, target, element: None, list: None, adds_from: None });
    }
    Ok(Alone { class, columns })
}

/// The values of one part: the regular ones come first.
fn values_of(layout: &Layout, part: Part) -> std::ops::Range<usize> {
    let regular = layout.values.partition_point(|value| value.part == Part::Regular);
    match part {
        Part::Regular => 0..regular,
        Part::Static => regular..layout.values.len(),
    }
}

fn has_elements(layout: &Layout, value: usize) -> bool {
    !matches!(layout.values[value].shape, Shape::Cell | Shape::Counter)
}

/// Whether a value is the same, as far as that can be seen without taking it apart: exact for one cell; a value with elements
/// may be the same still.
fn is_same(source: Row, target: Row, value: usize, rules: &Rules) -> bool {
    if !has_elements(source.layout, value) {
        return class_of(source.cell(value), target.cell(value), rules).is_none();
    }
    let bytes = source.value(value);
    if bytes != target.value(value) {
        return false;
    }
    match (source.layout.values[value].metadata, target.layout.values[value].metadata) {
        (_, None) => true,
        (None, Some(_)) => bytes.is_none(),
        (Some(at_source), Some(at_target)) => {
            let ttls = (source.column(at_source.ttl), target.column(at_target.ttl));
            bytes.is_none()
                || source.column(at_source.writetime) == target.column(at_target.writetime)
                    && elements::ttls_agree((source, ttls.0), (target, ttls.1), rules)
        }
    }
}

fn differences(source: Row, target: Row, value: usize, rules: &Rules) -> Result<Vec<ColumnDifference>, Malformed> {
    if has_elements(source.layout, value) {
        return elements::differences(source, target, value, rules);
    }
    let found = difference(value, || None, source.cell(value), target.cell(value), rules);
    Ok(found.into_iter().collect())
}

fn state(row: Row, side: Side, value: usize) -> Result<Option<CellState>, Malformed> {
    if has_elements(row.layout, value) {
        elements::state(row, side, value)
    } else {
        Ok(row.cell(value).map(|cell| cell.state()))
    }
}

impl<'a> Row<'a> {
    fn column(self, column: usize) -> Option<&'a [u8]> {
        self.page.cell(self.row, column)
    }

    /// The bytes of a value.
    pub(super) fn value(self, value: usize) -> Option<&'a [u8]> {
        self.column(self.layout.keys() + value)
    }

    /// The wire bytes of some columns.
    fn span(self, from: usize, to: usize) -> &'a [u8] {
        self.page.span(self.row, from, to - from)
    }

    /// When a cell with this TTL expires, in seconds since the Unix epoch.
    pub(super) fn expiry(self, ttl: Option<i32>) -> Option<i64> {
        ttl.map(|ttl| self.read_at.saturating_add(ttl.into()))
    }

    /// A value of one cell. A counter's writetime means nothing: each side has the one of its own last addition.
    fn cell(self, value: usize) -> Option<Cell<'a>> {
        let bytes = self.value(value)?;
        let known = self.layout.values[value];
        let times = known.metadata.filter(|_| known.shape != Shape::Counter).and_then(|at| {
            let writetime = self.column(at.writetime)?.try_into().ok().map(i64::from_be_bytes)?;
            let ttl = self.column(at.ttl).and_then(|ttl| ttl.try_into().ok()).map(i32::from_be_bytes);
            Some(Times { writetime, expires_at: self.expiry(ttl) })
        });
        Some(Cell { bytes, times })
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
