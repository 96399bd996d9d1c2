//! Statements into requests: the raw cells of a page, written front to back into the frame that goes to the target.
//!
//! What each form binds, in which order, stands beside its text in [`crate::schema::statements`]. A value that isn't written is
//! *unset*, never null: a null is a tombstone.

use super::element::Element;
use super::layout::{Part, Shape};
use super::statement::{Form, Rows, Statement};
use scylla::serialize::SerializationError;
use scylla::serialize::batch::{BatchValues, BatchValuesIterator};
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use std::sync::Arc;

/// What a statement takes in a request at least, beside its key and its values: its id, its writetime, its TTL.
const STATEMENT_BYTES: usize = 40;

/// Statements of one page, bound as of one instant.
#[derive(Clone, Debug)]
pub struct Bound {
    rows: Arc<Rows>,
    statements: Statements,
    /// Seconds since the Unix epoch.
    now: i64,
    /// Whether nothing had expired.
    whole: bool,
}

/// Which statements: nearly always a run of neighbours, since cells seldom expire while they wait.
#[derive(Clone, Debug)]
enum Statements {
    Run(usize, usize),
    Picked(Arc<[Pick]>, usize, usize),
}

/// A statement of a page, and how its element gets into its list, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its place in the page.
    pub statement: usize,
    /// How.
    pub list: ListWrite,
}

/// How an element gets into its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListWrite {
    /// Under a key that follows from what was read ([`super::list_key`]): ScyllaDB.
    Keyed,
    /// Behind what is there.
    Append,
    /// Before what is there.
    Prepend,
}

impl Bound {
    /// The statements `from..to` of the page, less those whose cells have expired at `now`.
    pub(super) fn new(rows: &Arc<Rows>, (from, to): (usize, usize), now: i64) -> Bound {
        let alive = |&statement: &usize| rows.ttl_left(&rows.statements[statement], now).is_some();
        let whole = (from..to).all(|statement| alive(&statement));
        let statements = if whole {
            Statements::Run(from, to)
        } else {
            let pick = |statement| Pick { statement, list: ListWrite::Keyed };
            let picks: Arc<[Pick]> = (from..to).filter(alive).map(pick).collect();
            let count = picks.len();
            Statements::Picked(picks, 0, count)
        };
        Bound { rows: Arc::clone(rows), statements, now, whole }
    }

    /// The same instant, but these statements.
    #[must_use]
    pub fn picked(&self, picks: Vec<Pick>) -> Bound {
        let count = picks.len();
        Bound { statements: Statements::Picked(picks.into(), 0, count), ..self.clone() }
    }

    /// Some of the statements, less those whose cells have expired at `now`: a later moment than that of the whole.
    #[must_use]
    pub fn part(&self, from: usize, to: usize, now: i64) -> Bound {
        let part = Bound { now, ..self.clone() };
        if (from..to).all(|index| part.is_alive(part.statement(index))) {
            let statements = match &self.statements {
                Statements::Run(start, _) => Statements::Run(start + from, start + to),
                Statements::Picked(picks, start, _) => Statements::Picked(Arc::clone(picks), start + from, start + to),
            };
            return Bound { statements, ..part };
        }
        part.picked(
            (from..to)
                .map(|index| part.pick(index))
                .filter(|&pick| part.is_alive(part.rows.statement(pick.statement)))
                .collect(),
        )
    }

    /// How many statements there are to send.
    pub fn len(&self) -> usize {
        match &self.statements {
            Statements::Run(from, to) | Statements::Picked(_, from, to) => to - from,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing had expired.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether a statement's cells are alive at the time of this.
    pub fn is_alive(&self, statement: &Statement) -> bool {
        self.rows.ttl_left(statement, self.now).is_some()
    }

    /// The `index`-th statement, out of [`Bound::len`], and its place in the page.
    pub fn pick(&self, index: usize) -> Pick {
        match &self.statements {
            Statements::Run(from, _) => Pick { statement: from + index, list: ListWrite::Keyed },
            Statements::Picked(picks, from, _) => picks[from + index],
        }
    }

    /// The `index`-th statement, out of [`Bound::len`].
    pub fn statement(&self, index: usize) -> &Statement {
        &self.rows.statements[self.pick(index).statement]
    }

    /// The list that the `index`-th statement writes to, as an index into [`super::Layout::values`].
    pub fn list_of(&self, index: usize) -> Option<usize> {
        self.rows.list_element(self.statement(index)).map(|(list, ..)| list)
    }

    /// Whether all of them are INSERTs.
    pub fn only_inserts(&self) -> bool {
        (0..self.len()).all(|index| self.statement(index).form == Form::Insert)
    }

    /// About how many bytes the `index`-th statement takes in a request.
    pub fn size(&self, index: usize) -> usize {
        self.rows.request_size(self.statement(index))
    }

    /// The bound values of the `index`-th statement, as the wire carries them: `None` is unset.
    #[cfg(test)]
    pub(crate) fn wire(&self, index: usize) -> Vec<Option<Vec<u8>>> {
        let mut buffer = Vec::new();
        self.write(index, &mut RowWriter::new(&mut buffer)).expect("small values");
        let mut rest = buffer.as_slice();
        let mut values = Vec::new();
        while let [a, b, c, d, tail @ ..] = rest {
            let length = i32::from_be_bytes([*a, *b, *c, *d]);
            assert_ne!(length, -1, "a null is a tombstone: it must never be bound");
            let (value, tail) = tail.split_at(usize::try_from(length).unwrap_or(0));
            values.push((length >= 0).then(|| value.to_vec()));
            rest = tail;
        }
        values
    }

    fn write(&self, index: usize, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        let statement = self.statement(index);
        let ttl = self.rows.ttl_left(statement, self.now).unwrap_or(1); // Alive at `now`, or it would not be here.
        let (writetime, ttl) = (statement.writetime.to_be_bytes(), ttl.to_be_bytes());
        if statement.form == Form::Insert {
            self.rows.write_keys(statement.row as usize, Part::Regular, writer)?;
            let row = statement.row as usize;
            for value in 0..self.rows.layout.cells {
                let chosen = self.rows.is_chosen(statement, value);
                write_cell(writer, if chosen { self.rows.value(row, value) } else { None })?;
            }
            write_cell(writer, Some(&writetime))?;
            return write_cell(writer, Some(&ttl));
        }
        write_cell(writer, Some(&writetime))?;
        write_cell(writer, Some(&ttl))?;
        let part = self.rows.part_of(statement);
        if statement.form == Form::Element {
            self.write_list_element(index, statement, writer)?;
        } else {
            for (value, _) in self.rows.layout.values.iter().enumerate().filter(|(_, value)| value.part == part) {
                self.write_value(statement, value, writer)?;
            }
        }
        self.rows.write_keys(statement.row as usize, part, writer)
    }

    fn write_value(
        &self,
        statement: &Statement,
        value: usize,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let rows = &self.rows;
        match rows.layout.values[value].shape {
            Shape::Cell | Shape::Counter => {
                let chosen = rows.is_chosen(statement, value);
                write_cell(writer, if chosen { rows.value(statement.row as usize, value) } else { None })
            }
            Shape::Set | Shape::Map => match rows.elements_of(statement, value) {
                [] => write_cell(writer, None),
                elements => write_collection(rows, elements, writer),
            },
            Shape::Udt(fields) => {
                let mut elements = rows.elements_of(statement, value).iter().peekable();
                (0..u32::from(fields)).try_for_each(|field| {
                    let element = elements.next_if(|element| element.index == field);
                    write_cell(writer, element.map(|&element| &rows.element_bytes(element)[4..]))
                })
            }
            // Each of its elements has a statement of its own.
            Shape::List => Ok(()),
        }
    }

    fn write_list_element(
        &self,
        index: usize,
        statement: &Statement,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let rows = &self.rows;
        let element = rows.elements[statement.elements.0 as usize];
        match self.pick(index).list {
            ListWrite::Keyed => {
                write_cell(writer, Some(&rows.places[element.index as usize].key()))?;
                write_cell(writer, Some(&rows.element_bytes(element)[4..]))
            }
            ListWrite::Append | ListWrite::Prepend => write_collection(rows, &[element], writer),
        }
    }
}

/// The key of a row, bound alone: for reading it.
#[derive(Clone, Copy, Debug)]
pub struct KeyOf<'a> {
    rows: &'a Rows,
    row: usize,
    part: Part,
}

impl<'a> KeyOf<'a> {
    /// Of the `row`-th row of the page.
    pub fn new(rows: &'a Rows, row: usize) -> Self {
        KeyOf { rows, row, part: Part::Regular }
    }

    /// The whole key, or the partition key alone, for statics.
    #[must_use]
    pub fn of(self, part: Part) -> Self {
        KeyOf { part, ..self }
    }
}

impl SerializeRow for KeyOf<'_> {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        self.rows.write_keys(self.row, self.part, writer)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl Rows {
    /// About how many bytes a statement takes in a request, and hardly less.
    pub(super) fn request_size(&self, statement: &Statement) -> usize {
        let row = statement.row as usize;
        let part = self.part_of(statement);
        let of_part = || self.layout.values.iter().enumerate().filter(|(_, value)| value.part == part);
        let cells = of_part().filter(|(index, value)| value.shape == Shape::Cell && self.is_chosen(statement, *index));
        let cells: usize = cells.filter_map(|(index, _)| self.value(row, index)).map(<[u8]>::len).sum();
        let elements = &self.elements[statement.elements.0 as usize..statement.elements.1 as usize];
        let elements: usize = elements.iter().map(|element| (element.to - element.from) as usize).sum();
        // What isn't written has a length too: of a table of 5,000 columns, that is most of a request.
        let places = match statement.form {
            Form::Insert => self.layout.cells,
            Form::Element => 1,
            Form::Update | Form::Static | Form::Counters | Form::StaticCounters => {
                of_part().filter(|(_, value)| !matches!(value.shape, Shape::List | Shape::Udt(_))).count()
            }
        };
        let lengths = places * size_of::<i32>();
        let keys = if part == Part::Static { self.layout.partition_key } else { self.layout.keys() };
        STATEMENT_BYTES + self.page.span(row, 0, keys).len() + lengths + cells + elements
    }

    /// The key of a row, or of a partition for its statics.
    fn write_keys(&self, row: usize, part: Part, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        let columns = if part == Part::Static { self.layout.partition_key } else { self.layout.keys() };
        (0..columns).try_for_each(|column| write_cell(writer, self.page.cell(row, column)))
    }
}

/// A collection of these elements.
fn write_collection(rows: &Rows, elements: &[Element], writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
    let mut value = writer.make_cell_writer().into_value_builder();
    let count = i32::try_from(elements.len()).map_err(SerializationError::new)?;
    value.append_bytes(&count.to_be_bytes());
    for &element in elements {
        value.append_bytes(rows.element_bytes(element));
    }
    value.finish().map(drop).map_err(SerializationError::new)
}

fn write_cell(writer: &mut RowWriter<'_>, cell: Option<&[u8]>) -> Result<(), SerializationError> {
    let writer = writer.make_cell_writer();
    if let Some(bytes) = cell {
        writer.set_value(bytes).map(drop).map_err(SerializationError::new)
    } else {
        writer.set_unset();
        Ok(())
    }
}

/// The first statement alone, for an EXECUTE.
impl SerializeRow for Bound {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        self.write(0, writer)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl BatchValues for Bound {
    type BatchValuesIter<'r> = BoundIter<'r>;

    fn batch_values_iter(&self) -> BoundIter<'_> {
        BoundIter { bound: self, next: 0 }
    }
}

/// Iterates over the values of a batch.
#[derive(Debug)]
pub struct BoundIter<'r> {
    bound: &'r Bound,
    next: usize,
}

impl<'r> BatchValuesIterator<'r> for BoundIter<'r> {
    fn serialize_next(
        &mut self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Option<Result<(), SerializationError>> {
        let index = self.next;
        self.skip_next()?;
        Some(self.bound.write(index, writer))
    }

    fn is_empty_next(&mut self) -> Option<bool> {
        self.skip_next().map(|()| false)
    }

    fn skip_next(&mut self) -> Option<()> {
        (self.next < self.bound.len()).then(|| self.next += 1)
    }

    fn count(self) -> usize {
        self.bound.len() - self.next
    }
}
