//! What is to be written of a row: statements that point into its page.

use super::element::Element;
use super::key::RowKey;
use super::layout::Part;
use super::{Layout, Only, Page, token_of};
use crate::ring::Token;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Some cells of a row, or of its partition, that share a writetime and a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The row's index in its page; for statics, the row that they were read with.
    pub row: u32,
    /// Which statement it is.
    pub form: Form,
    /// What is remarkable about the row; on one of its statements only.
    pub notes: Notes,
    /// Which values of one cell are written.
    pub cells: Cells,
    /// Which elements and fields are written: from, to in the page's elements, ordered by column.
    pub elements: (u32, u32),
    /// Microseconds since the Unix epoch by convention; the source's own number, whatever it means.
    pub writetime: i64,
    /// Seconds left when the page was read; 0 is "never expires".
    pub ttl: i32,
}

/// Which of a table's statements; their texts are in [`crate::schema::statements`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// INSERT: regular values of one cell, and the row marker.
    Insert,
    /// UPDATE of a row: regular values of one cell, elements, fields.
    Update,
    /// UPDATE of a partition: the same of its statics.
    Static,
    /// UPDATE of one element of one list.
    Element,
    /// UPDATE of a row's counters: what is written isn't known before the target was read.
    Counters,
    /// The same of a partition's static counters.
    StaticCounters,
}

/// Which values of one cell a statement writes, of those that aren't null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// All of its part: they share one writetime and TTL.
    All,
    /// Those with the statement's writetime and TTL.
    Matching,
    /// This one alone, by its index in [`Layout::values`]: the row is too large for one request.
    One(u16),
    /// None.
    None,
}

/// What the operator should know of a row, since no query can tell it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes(u8);

impl Notes {
    /// The row has nothing but its key, so its marker has the unknown timestamp and doesn't expire.
    pub const KEY_ONLY: Notes = Notes(1);
    /// The row's marker follows from its cells.
    pub const MARKER_INFERRED: Notes = Notes(16);
    /// All of the row expires, so its marker was taken to expire too.
    pub const MARKER_EXPIRES: Notes = Notes(2);
    /// Elements whose writetime and TTL can't be read have the unknown timestamp and don't expire.
    pub const UNKNOWN_TIMESTAMP: Notes = Notes(4);
    /// A writetime that lies too far ahead for the target was lowered.
    pub const CAPPED: Notes = Notes(8);

    /// Both.
    #[must_use]
    pub fn and(self, other: Notes) -> Notes {
        Notes(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    pub fn has(self, other: Notes) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Whether a row gets a marker: what tells an INSERT from an UPDATE, and keeps a row without cells visible. It can't be read
/// (CASSANDRA-9312, scylladb#14019).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RowMarker {
    /// As old as the oldest permanent cell and permanent, or as the oldest cell and expiring with it where all expire
    #[default]
    Infer,
    /// Permanent, as old as the oldest cell: rows were inserted without a TTL, whatever became of their cells
    Always,
    /// None, but for rows that have nothing else: rows were written by UPDATE
    Never,
}

/// What is decided once for all rows of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The writetime of what has none that can be read, in microseconds since the Unix epoch.
    pub unknown_timestamp: i64,
    /// Which rows get a marker.
    pub row_marker: RowMarker,
    /// Higher writetimes are lowered to this one, in microseconds since the Unix epoch.
    pub timestamp_max: i64,
}

impl Policy {
    /// Whether this is what a higher writetime was lowered to.
    pub(crate) fn is_capped(self, writetime: i64) -> bool {
        writetime == self.timestamp_max && writetime != i64::MAX
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy { unknown_timestamp: 1, row_marker: RowMarker::Infer, timestamp_max: i64::MAX }
    }
}

/// A page with what is to be done with it.
#[derive(Debug)]
pub struct Rows {
    pub(super) page: Page,
    pub(super) layout: Arc<Layout>,
    pub(super) statements: Vec<Statement>,
    pub(super) elements: Vec<Element>,
    /// For each element of a list, what makes its key: see [`super::list_key`].
    pub(super) places: Vec<super::list_key::Place>,
    /// When the page was asked for, in seconds since the Unix epoch ([`crate::clock::Clock::seconds`]).
    pub(super) read_at: i64,
    pub(super) policy: Policy,
    /// What of each row is written, where it isn't all of it.
    pub(super) only: Option<Only>,
}

impl Rows {
    /// Seconds that a statement's cells have left at `now`: 0 is "for ever", `None` is "expired".
    ///
    /// The servers keep expiry in whole seconds of their own clock, so whole seconds are what is subtracted here.
    pub(super) fn ttl_left(&self, statement: &Statement, now: i64) -> Option<i32> {
        if statement.ttl == 0 {
            return Some(0);
        }
        let left = self.read_at + i64::from(statement.ttl) - now;
        i32::try_from(left).ok().filter(|&left| left > 0)
    }

    /// The writetime and the TTL of a value of one cell, which has been read before.
    #[inline]
    pub(super) fn cell_group(&self, row: usize, value: usize) -> (i64, i32) {
        self.read_group(row, value).unwrap_or((self.policy.unknown_timestamp, 0))
    }

    /// The same of one that hasn't; none where they make no sense. What is alive has time left, if it is to end at all.
    #[inline]
    pub(super) fn read_group(&self, row: usize, value: usize) -> Option<(i64, i32)> {
        let Some(metadata) = self.layout.values[value].metadata else {
            return Some((self.policy.unknown_timestamp, 0));
        };
        let writetime = match self.page.cell(row, metadata.writetime) {
            None => self.policy.unknown_timestamp,
            Some(cell) => i64::from_be_bytes(cell.try_into().ok()?),
        };
        let ttl = match self.page.cell(row, metadata.ttl) {
            None => 0,
            Some(cell) => Some(i32::from_be_bytes(cell.try_into().ok()?)).filter(|&ttl| ttl > 0)?,
        };
        Some((writetime.min(self.policy.timestamp_max), ttl))
    }

    /// What the page takes of memory with all that is to be done with it, in bytes.
    pub fn size(&self) -> usize {
        self.page.size()
            + self.statements.capacity() * size_of::<Statement>()
            + self.elements.capacity() * size_of::<Element>()
            + self.places.capacity() * size_of::<super::list_key::Place>()
    }

    /// The `index`-th statement of the page.
    pub fn statement(&self, index: usize) -> &Statement {
        &self.statements[index]
    }

    /// Whether the source tells the writetimes of the `value`-th value.
    pub fn tells_writetimes(&self, value: usize) -> bool {
        self.layout.values[value].metadata.is_some()
    }

    /// Where a statement writes one element of a list: the list as an index into [`Layout::values`], whose it is, and the
    /// element with its length, as the wire has it.
    pub fn list_element(&self, statement: &Statement) -> Option<(usize, Part, &[u8])> {
        if statement.form != Form::Element {
            return None;
        }
        let element = self.elements[statement.elements.0 as usize];
        let list = usize::from(element.value);
        Some((list, self.layout.values[list].part, self.element_bytes(element)))
    }

    /// Whose cells a statement writes.
    pub(super) fn part_of(&self, statement: &Statement) -> Part {
        match statement.form {
            Form::Insert | Form::Update | Form::Counters => Part::Regular,
            Form::Static | Form::StaticCounters => Part::Static,
            Form::Element => self.list_element(statement).map_or(Part::Regular, |(_, part, _)| part),
        }
    }

    /// The bytes of the row's `value`-th value.
    #[inline]
    pub fn value(&self, row: usize, value: usize) -> Option<&[u8]> {
        self.page.cell(row, self.layout.keys() + value)
    }

    /// Whether a value of one cell belongs to a statement.
    #[inline]
    pub(super) fn is_chosen(&self, statement: &Statement, value: usize) -> bool {
        self.is_wanted(value)
            && match statement.cells {
                Cells::All => true,
                Cells::None => false,
                Cells::One(one) => usize::from(one) == value,
                Cells::Matching => {
                    self.cell_group(statement.row as usize, value) == (statement.writetime, statement.ttl)
                }
            }
    }

    /// Whether anything of a value is to be written.
    #[inline]
    pub(super) fn is_wanted(&self, value: usize) -> bool {
        self.first_wanted(value).is_some()
    }

    /// The first element of a value that is to be written; none where nothing of it is.
    #[inline]
    pub(super) fn first_wanted(&self, value: usize) -> Option<usize> {
        self.only.as_ref().map_or(Some(0), |only| only.first_of(value))
    }

    /// The elements of one column that a statement writes.
    pub(super) fn elements_of(&self, statement: &Statement, value: usize) -> &[Element] {
        let all = &self.elements[statement.elements.0 as usize..statement.elements.1 as usize];
        let from = all.partition_point(|element| usize::from(element.value) < value);
        let to = all.partition_point(|element| usize::from(element.value) <= value);
        &all[from..to]
    }

    /// The bytes of an element as they lie in the page, lengths included.
    pub(super) fn element_bytes(&self, element: Element) -> &[u8] {
        self.page.bytes(element.from as usize, element.to as usize)
    }

    /// The token of the row's partition.
    pub fn token(&self, row: usize) -> Token {
        token_of((0..self.layout.partition_key).map(|column| self.page.cell(row, column).unwrap_or_default()))
    }

    /// The cells of the row's primary key. Those of the clustering key are null where the row has only statics.
    pub fn key(&self, row: usize) -> Vec<Option<&[u8]>> {
        (0..self.layout.keys()).map(|column| self.page.cell(row, column)).collect()
    }

    /// The row's primary key.
    pub fn row_key(&self, row: usize) -> RowKey {
        let Layout { partition_key, clustering_key, .. } = *self.layout;
        RowKey::new(self.page.span(row, 0, partition_key), self.page.span(row, partition_key, clustering_key))
    }

    /// How many columns the partition key has.
    pub fn partition_key(&self) -> usize {
        self.layout.partition_key
    }
}
