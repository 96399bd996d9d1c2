//! From a row to its statements: one for each (writetime, TTL) among its cells.

use super::element::{Element, ElementTimes, Malformed, spans};
use super::layout::{Part, Shape};
use super::list_key;
use super::only::Only;
use super::statement::{Cells, Form, Notes, RowMarker, Rows, Statement};
use std::cmp::Reverse;
use std::ops::Range;

/// Rows above this many bytes get a statement per cell, so that they can be sent in several requests.
const LARGE_ROW: usize = 2 << 20;
/// Bytes of elements that a statement holds at most, for the same reason.
const LARGE_ELEMENTS: usize = 256 << 10;

/// Groups and elements that there is always room for.
const KEPT: usize = 1024;

/// A writetime and a TTL.
type Group = (i64, i32);

/// Room for the work on one row, allocated once.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Of everything that the row has.
    groups: Vec<Group>,
    /// Of its values of one cell.
    cell_groups: Vec<Group>,
    /// Of the elements of sets and maps, and of fields.
    elements: Vec<(Group, Element)>,
    /// Of lists.
    list_elements: Vec<(Group, Element)>,
}

impl Scratch {
    /// Gives back what a row of very many elements has taken: every range has a scratch of its own.
    pub(super) fn trim(&mut self) {
        let Scratch { groups, cell_groups, elements, list_elements } = self;
        groups.shrink_to(KEPT);
        cell_groups.shrink_to(KEPT);
        elements.shrink_to(KEPT);
        list_elements.shrink_to(KEPT);
    }
}

/// A value that isn't what its type says, or that has such metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misread {
    /// Its index among the values.
    pub(super) value: usize,
    /// What is wrong.
    pub(super) what: &'static str,
}

/// Appends the statements of one row: of its statics, where it is the first row of its partition, and its own, as far as they are
/// wanted.
pub(super) fn mutation(rows: &mut Rows, row: usize, is_first: bool, scratch: &mut Scratch) -> Result<(), Misread> {
    let leaves_out = rows.only.as_ref().is_some_and(Only::leaves_out);
    if rows.layout.is_plain() && !leaves_out && rows.page.span(row, 0, rows.layout.columns()).len() < LARGE_ROW {
        return plain(rows, row, &mut scratch.groups);
    }
    let is_wanted = |part| rows.only.as_ref().is_none_or(|only| only.has(part));
    let has_row = rows.layout.clustering_key == 0 || rows.page.cell(row, rows.layout.partition_key).is_some();
    let has_statics = is_first && rows.layout.values.last().is_some_and(|value| value.part == Part::Static);
    let (has_row, has_statics) = (has_row && is_wanted(Part::Regular), has_statics && is_wanted(Part::Static));
    if rows.layout.has_counters() {
        let forms = [(has_statics, Form::StaticCounters), (has_row, Form::Counters)];
        let wanted = forms.into_iter().filter(|(wanted, _)| *wanted);
        rows.statements.extend(wanted.map(|(_, form)| statement(row, form, Cells::All, (0, 0))));
        return Ok(());
    }
    if has_statics {
        collect(rows, row, Part::Static, Wanted::Some, scratch)?;
        let first = rows.statements.len();
        push_all(rows, row, Form::Static, None, scratch);
        annotate(rows, row, Part::Static, first);
    }
    if has_row {
        collect(rows, row, Part::Regular, Wanted::All, scratch)?;
        let first = rows.statements.len();
        let (marker, notes) = marker(rows, &scratch.groups);
        if leaves_out {
            collect(rows, row, Part::Regular, Wanted::Some, scratch)?;
        }
        push_all(rows, row, Form::Update, marker, scratch);
        annotate(rows, row, Part::Regular, first);
        if let Some(statement) = rows.statements.get_mut(first) {
            statement.notes = statement.notes.and(notes);
        }
    }
    Ok(())
}

fn statement(row: usize, form: Form, cells: Cells, (writetime, ttl): Group) -> Statement {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a page holds fewer rows than bytes, and fewer than 2^32 of those"
    )]
    let row = row as u32;
    Statement { row, form, notes: Notes::default(), cells, elements: (0, 0), writetime, ttl }
}

/// A row of nothing but readable cells, the usual case: no element, no sorting.
fn plain(rows: &mut Rows, row: usize, groups: &mut Vec<Group>) -> Result<(), Misread> {
    groups.clear();
    for value in 0..rows.layout.cells {
        if rows.value(row, value).is_some() {
            let group = read_group(rows, row, value)?;
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    let (marker, mut notes) = marker(rows, groups);
    if groups.iter().any(|group| rows.policy.is_capped(group.0)) {
        notes = notes.and(Notes::CAPPED);
    }
    let first = rows.statements.len();
    if let Some(marker) = marker.filter(|marker| !groups.contains(marker)) {
        rows.statements.push(statement(row, Form::Insert, Cells::None, marker));
    }
    let cells = if groups.len() == 1 { Cells::All } else { Cells::Matching };
    rows.statements.extend(groups.iter().map(|&group| {
        let form = if Some(group) == marker { Form::Insert } else { Form::Update };
        statement(row, form, cells, group)
    }));
    rows.statements[first].notes = notes;
    Ok(())
}

fn read_group(rows: &Rows, row: usize, value: usize) -> Result<Group, Misread> {
    rows.read_group(row, value).ok_or(Misread { value, what: "its writetime or its TTL makes no sense" })
}

/// The row's marker, from the writetimes and TTLs of its cells, and what is to be noted about it.
///
/// By default it is permanent and as old as the oldest permanent cell where there is one, else as the oldest cell, else (no
/// cell at all, so the marker is what keeps the row visible) permanent at the unknown timestamp. Old, because the older it is
/// the less it can hide of what an application wrote; and of a row that was edited, the oldest cell is what is left of its
/// INSERT.
fn marker(rows: &Rows, groups: &[Group]) -> (Option<Group>, Notes) {
    if groups.is_empty() {
        return (Some((rows.policy.unknown_timestamp, 0)), Notes::KEY_ONLY);
    }
    match rows.policy.row_marker {
        RowMarker::Never => (None, Notes::default()),
        RowMarker::Always => (groups.iter().map(|&(writetime, _)| (writetime, 0)).min(), Notes::default()),
        RowMarker::Infer => {
            let marker = groups.iter().copied().min_by_key(|&(writetime, ttl)| (ttl != 0, writetime, Reverse(ttl)));
            let expires = marker.is_some_and(|(_, ttl)| ttl != 0);
            let expires = if expires { Notes::MARKER_EXPIRES } else { Notes::default() };
            (marker, Notes::MARKER_INFERRED.and(expires))
        }
    }
}

/// Which values of a row are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// All that it has.
    All,
    /// Those that are to be written.
    Some,
}

/// Gathers what one part of a row has: groups sorted, elements sorted by group and column.
fn collect(rows: &Rows, row: usize, part: Part, wanted: Wanted, scratch: &mut Scratch) -> Result<(), Misread> {
    let Scratch { groups, cell_groups, elements, list_elements } = scratch;
    groups.clear();
    cell_groups.clear();
    elements.clear();
    list_elements.clear();
    for (index, value) in rows.layout.values.iter().enumerate().filter(|(_, value)| value.part == part) {
        if rows.value(row, index).is_none() || wanted == Wanted::Some && !rows.is_wanted(index) {
            continue;
        }
        match value.shape {
            Shape::Cell | Shape::Counter => cell_groups.push(read_group(rows, row, index)?),
            Shape::List => read_elements(rows, row, index, list_elements)?,
            Shape::Set | Shape::Map | Shape::Udt(_) => read_elements(rows, row, index, elements)?,
        }
    }
    cell_groups.sort_unstable();
    cell_groups.dedup();
    elements.sort_by_key(|&(group, _)| group); // Stable: columns and elements stay in their order.
    groups.extend(cell_groups.iter().copied());
    groups.extend(elements.iter().chain(list_elements.iter()).map(|&(group, _)| group));
    groups.sort_unstable();
    groups.dedup();
    Ok(())
}

/// Reads the elements of one value, each with its writetime and TTL.
fn read_elements(rows: &Rows, row: usize, index: usize, into: &mut Vec<(Group, Element)>) -> Result<(), Misread> {
    let value = rows.layout.values[index];
    let fail = |what| Misread { value: index, what };
    let cell = rows.value(row, index).unwrap_or_default();
    let spans = spans(value.shape, cell).map_err(|Malformed| fail("its elements can't be told apart"))?;
    let times = value.metadata.map(|at| {
        let (writetimes, ttls) = (rows.page.cell(row, at.writetime), rows.page.cell(row, at.ttl));
        ElementTimes::read(value.shape, spans.len(), writetimes, ttls).map_err(fail)
    });
    let times = times.transpose()?;
    if let Shape::Udt(fields) = value.shape
        && spans.len() > usize::from(fields)
    {
        return Err(fail("it has more fields than its type had"));
    }
    let base = rows.page.offset(row, rows.layout.keys() + index);
    for (place, span) in spans.into_iter().enumerate() {
        let Some(Range { start, end }) = span else { continue };
        let group = match &times {
            None => (rows.policy.unknown_timestamp, 0),
            Some(times) => {
                let (writetime, ttl) = times.of(place).map_err(fail)?;
                (writetime.min(rows.policy.timestamp_max), ttl.unwrap_or(0))
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a page is below 4 GiB, a table has fewer than 2^16 columns"
        )]
        let element =
            Element { value: index as u16, index: place as u32, from: (base + start) as u32, to: (base + end) as u32 };
        into.push((group, element));
    }
    Ok(())
}

/// Appends what was collected, group by group; lists element by element, in their order.
fn push_all(rows: &mut Rows, row: usize, form: Form, marker: Option<Group>, scratch: &Scratch) {
    let Scratch { groups, cell_groups, elements, list_elements } = scratch;
    let cells_span = rows.page.span(row, rows.layout.keys(), rows.layout.values.len()).len();
    let one_by_one = cells_span >= LARGE_ROW;
    let mut rest = &elements[..];
    for &group in groups {
        if one_by_one {
            push_cells(rows, row, form, group);
        } else if cell_groups.binary_search(&group).is_ok() {
            let form = if Some(group) == marker { Form::Insert } else { form };
            let cells = if cell_groups.len() == 1 { Cells::All } else { Cells::Matching };
            rows.statements.push(statement(row, form, cells, group));
        }
        let (mine, others) = rest.split_at(rest.partition_point(|element| element.0 == group));
        rest = others;
        push_elements(rows, row, form, group, mine);
    }
    for of_list in list_elements.chunk_by(|a, b| a.1.value == b.1.value) {
        let first_place = rows.places.len();
        rows.places.extend(list_key::places(of_list.iter().map(|&((writetime, _), _)| writetime)));
        let first_wanted = of_list.first().and_then(|(_, element)| rows.first_wanted(element.value.into()));
        for (place, &(group, element)) in of_list.iter().enumerate().skip(first_wanted.unwrap_or(0)) {
            let index = small(first_place + place);
            let at = small(rows.elements.len());
            rows.elements.push(Element { index, ..element });
            rows.statements
                .push(Statement { elements: (at, at + 1), ..statement(row, Form::Element, Cells::None, group) });
        }
    }
    // Last, so that a row in several requests isn't there before its cells are.
    if let Some(marker) = marker.filter(|marker| one_by_one || cell_groups.binary_search(marker).is_err()) {
        rows.statements.push(statement(row, Form::Insert, Cells::None, marker));
    }
}

/// A statement for each value of one cell with this writetime and TTL.
fn push_cells(rows: &mut Rows, row: usize, form: Form, group: Group) {
    let part = if form == Form::Static { Part::Static } else { Part::Regular };
    for index in 0..rows.layout.values.len() {
        let value = rows.layout.values[index];
        if value.part == part
            && value.shape == Shape::Cell
            && rows.is_wanted(index)
            && rows.value(row, index).is_some()
            && rows.cell_group(row, index) == group
        {
            #[expect(clippy::cast_possible_truncation, reason = "a table has fewer than 2^16 columns")]
            rows.statements.push(statement(row, form, Cells::One(index as u16), group));
        }
    }
}

/// The elements of one writetime and TTL, in as many statements as their bytes ask for.
fn push_elements(rows: &mut Rows, row: usize, form: Form, group: Group, elements: &[(Group, Element)]) {
    let mut from = rows.elements.len();
    let mut bytes = 0;
    for &(_, element) in elements {
        bytes += (element.to - element.from) as usize;
        rows.elements.push(element);
        if bytes >= LARGE_ELEMENTS {
            push_range(rows, row, form, group, from);
            (from, bytes) = (rows.elements.len(), 0);
        }
    }
    push_range(rows, row, form, group, from);
}

fn push_range(rows: &mut Rows, row: usize, form: Form, group: Group, from: usize) {
    let to = rows.elements.len();
    if from < to {
        let elements = (small(from), small(to));
        rows.statements.push(Statement { elements, ..statement(row, form, Cells::None, group) });
    }
}

/// Notes on the part's first statement what befell its writetimes.
fn annotate(rows: &mut Rows, row: usize, part: Part, first: usize) {
    let mut notes = Notes::default();
    let unreadable = |(index, value): (usize, &super::layout::Value)| {
        value.part == part && value.metadata.is_none() && rows.value(row, index).is_some()
    };
    if rows.layout.values.iter().enumerate().any(unreadable) {
        notes = notes.and(Notes::UNKNOWN_TIMESTAMP);
    }
    if rows.statements[first..].iter().any(|statement| rows.policy.is_capped(statement.writetime)) {
        notes = notes.and(Notes::CAPPED);
    }
    if let Some(statement) = rows.statements.get_mut(first) {
        statement.notes = statement.notes.and(notes);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a page has fewer elements than bytes, and fewer than 2^32 of those"
)]
fn small(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
#[path = "mutation_tests.rs"]
mod tests;
