//! Columns with a cell per element or field: sets, maps, lists and user-defined types that aren't frozen.

use super::cell::{Cell, Times, difference};
use super::compare::{Malformed, Row, Rules};
use super::difference::{CellState, Class, ColumnDifference, ElementKey, ListChange};
use crate::row::element::{self, ElementTimes, spans};
use crate::row::layout::Shape;
use crate::row::list_align::{Item, align};
use crate::side::Side;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// An element, a field, or an entry of a map.
#[derive(Clone, Copy, Debug)]
struct Element<'a> {
    key: Key<'a>,
    cell: Cell<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Bytes(&'a [u8]),
    Field(usize),
    Index(usize),
}

impl From<Key<'_>> for ElementKey {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Bytes(bytes) => ElementKey::Key(bytes.to_vec()),
            Key::Field(index) => ElementKey::Field(index),
            Key::Index(index) => ElementKey::Index(index),
        }
    }
}

/// How the elements of a column differ; or the column as a whole, where a side has none of them, or a list isn't the same one.
pub(super) fn differences(
    source: Row,
    target: Row,
    value: usize,
    rules: &Rules,
) -> Result<Vec<ColumnDifference>, Malformed> {
    let mut of_source = elements(source, Side::Source, value)?;
    let mut of_target = elements(target, Side::Target, value)?;
    let is_list = source.layout.values[value].shape == Shape::List;
    let change = if is_list { list_change(&of_source, &of_target) } else { None };
    let class = match (of_source.is_empty(), of_target.is_empty()) {
        (true, true) => return Ok(Vec::new()),
        (false, true) => Some((Class::ColumnMissing, None)),
        (true, false) => Some((Class::ColumnExtra, None)),
        (false, false) => change.map(|change| (Class::List, Some(change))),
    };
    if let Some((class, list)) = class {
        let adds_from = list.and_then(|change| adds_from(change, &of_source, &of_target, rules));
        let (source, target) = (whole(source, value, &of_source), whole(target, value, &of_target));
        return Ok(vec![ColumnDifference { value, class, source, target, element: None, list, adds_from }]);
    }
    // Both databases order elements by value; nothing here depends on it.
    of_source.sort_by_key(|element| element.key);
    of_target.sort_by_key(|element| element.key);
    let pairs = paired(&of_source, &of_target);
    Ok(pairs
        .filter_map(|(key, source, target)| difference(value, || Some(key.into()), source, target, rules))
        .collect())
}

/// All of a column as one state; none where it has no cell.
pub(super) fn state(row: Row, side: Side, value: usize) -> Result<Option<CellState>, Malformed> {
    Ok(whole(row, value, &elements(row, side, value)?))
}

fn whole(row: Row, value: usize, elements: &[Element]) -> Option<CellState> {
    let times = || elements.iter().filter_map(|element| element.cell.times);
    let is_permanent = times().any(|times| times.expires_at.is_none());
    let last = times().filter_map(|times| times.expires_at).max();
    (!elements.is_empty()).then(|| CellState {
        bytes: row.value(value).unwrap_or_default().to_vec(),
        writetime: times().map(|times| times.writetime).max(),
        expires_at: last.filter(|_| !is_permanent),
    })
}

/// Whether two lists of as many TTLs come to the same expiries; false where they aren't such lists.
pub(super) fn ttls_agree(source: (Row, Option<&[u8]>), target: (Row, Option<&[u8]>), rules: &Rules) -> bool {
    let ((source, of_source), (target, of_target)) = (source, target);
    if of_source == of_target && rules.tolerates(source.read_at, target.read_at) {
        return true;
    }
    let (Some((count, mut ones)), Some((other_count, mut others))) = (counted(of_source), counted(of_target)) else {
        return false;
    };
    if count != other_count {
        return false;
    }
    while !ones.is_empty() || !others.is_empty() {
        let (Ok(one), Ok(other)) = (next_ttl(&mut ones), next_ttl(&mut others)) else { return false };
        if rules.expires_otherwise(source.expiry(one), target.expiry(other)) {
            return false;
        }
    }
    true
}

/// The count of a list, and what follows it.
fn counted(list: Option<&[u8]>) -> Option<(&[u8; 4], &[u8])> {
    list?.split_first_chunk()
}

/// Takes the next of a list of TTLs, which may be null.
fn next_ttl(list: &mut &[u8]) -> Result<Option<i32>, element::Malformed> {
    let (length, rest) = list.split_first_chunk().ok_or(element::Malformed)?;
    let (ttl, rest) = match i32::from_be_bytes(*length) {
        -1 => (None, rest),
        4 => {
            let (ttl, rest) = rest.split_first_chunk().ok_or(element::Malformed)?;
            (Some(i32::from_be_bytes(*ttl)), rest)
        }
        _ => return Err(element::Malformed),
    };
    *list = rest;
    Ok(ttl)
}

/// What a column has, as it came; fields that are null left out.
fn elements(row: Row<'_>, side: Side, value: usize) -> Result<Vec<Element<'_>>, Malformed> {
    let Some(bytes) = row.value(value) else { return Ok(Vec::new()) };
    let fail = |what| Malformed { side, value, what };
    let shape = row.layout.values[value].shape;
    let spans = spans(shape, bytes).map_err(|_| fail("its elements can't be told apart"))?;
    let times = row.layout.values[value].metadata.map(|at| {
        let (writetimes, ttls) = (row.page.cell(row.row, at.writetime), row.page.cell(row.row, at.ttl));
        ElementTimes::read(shape, spans.len(), writetimes, ttls).map_err(fail)
    });
    let times = times.transpose()?;
    let mut elements = Vec::with_capacity(spans.len());
    for (index, span) in spans.into_iter().enumerate() {
        let Some(span) = span else { continue };
        let (first, rest) = split(&bytes[span]).ok_or_else(|| fail("its elements can't be told apart"))?;
        let (key, bytes) = match shape {
            Shape::Map => (Key::Bytes(first), split(rest).map_or(rest, |(value, _)| value)),
            Shape::Udt(_) => (Key::Field(index), first),
            Shape::List => (Key::Index(index), first),
            Shape::Cell | Shape::Set | Shape::Counter => (Key::Bytes(first), first),
        };
        let times = times.as_ref().map(|times| times.of(index)).transpose().map_err(fail)?;
        let times = times.map(|(writetime, ttl)| Times { writetime, expires_at: row.expiry(ttl) });
        elements.push(Element { key, cell: Cell { bytes, times } });
    }
    Ok(elements)
}

/// A cell without its length, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(i32::from_be_bytes(*length)).ok()?)
}

/// Both sides' cells by their keys, where both are sorted.
fn paired<'a>(
    mut source: &[Element<'a>],
    mut target: &[Element<'a>],
) -> impl Iterator<Item = (Key<'a>, Option<Cell<'a>>, Option<Cell<'a>>)> {
    std::iter::from_fn(move || {
        let order = match (source.first(), target.first()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(source), Some(target)) => source.key.cmp(&target.key),
        };
        let of_source = if order.is_le() { source.split_off_first() } else { None };
        let of_target = if order.is_ge() { target.split_off_first() } else { None };
        let key = of_source.or(of_target)?.key;
        Some((key, of_source.map(|element| element.cell), of_target.map(|element| element.cell)))
    })
}

/// How the sequence of elements changed; none where it is the same.
fn list_change(source: &[Element], target: &[Element]) -> Option<ListChange> {
    if source.iter().map(|element| element.cell.bytes).eq(target.iter().map(|element| element.cell.bytes)) {
        return None;
    }
    // How often each is there: at the source, at the target.
    let mut counts: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
    for element in source {
        counts.entry(element.cell.bytes).or_default().0 += 1;
    }
    for element in target {
        counts.entry(element.cell.bytes).or_default().1 += 1;
    }
    let missing = counts.values().any(|(source, target)| source > target);
    let added = counts.values().any(|(source, target)| source < target);
    let foreign = counts.values().any(|(source, _)| *source == 0);
    Some(match (missing, added, foreign) {
        (true, true, _) => ListChange::Changed,
        (true, false, _) => ListChange::Missing,
        (false, true, true) => ListChange::Extra,
        (false, true, false) => ListChange::Doubled,
        (false, false, _) => ListChange::Order,
    })
}

/// From which element on a list is to be written so that it becomes the source's: [`ColumnDifference::adds_from`].
fn adds_from(change: ListChange, source: &[Element], target: &[Element], rules: &Rules) -> Option<usize> {
    if change != ListChange::Missing {
        return None;
    }
    if let (Some(mut of_source), Some(of_target)) = (items(source), items(target)) {
        // Such a target is read before it is written, and gets what it lacks, element by element.
        for (_, writetime) in &mut of_source {
            *writetime = (*writetime).min(Some(rules.policy.timestamp_max));
        }
        let (adds, is_in_order) = align(&of_source, &of_target);
        return (is_in_order && adds.len() + target.len() == source.len()).then_some(0);
    }
    // Nobody knows under which keys the target has what it has: what is there isn't written, and only the end can be added.
    let (front, end) = source.split_at_checked(target.len())?;
    let there: BTreeSet<&[u8]> = target.iter().map(|element| element.cell.bytes).collect();
    let is_end = front.iter().zip(target).all(|(a, b)| a.cell.bytes == b.cell.bytes);
    (is_end && end.iter().all(|element| !there.contains(element.cell.bytes))).then_some(target.len())
}

/// Elements with their writetimes; none where these can't be told.
fn items<'a>(list: &[Element<'a>]) -> Option<Vec<Item<'a>>> {
    list.iter().map(|element| Some((element.cell.bytes, Some(element.cell.times?.writetime)))).collect()
}
