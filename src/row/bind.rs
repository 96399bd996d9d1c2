//! Statements into requests: the raw cells of a page, written front to back into the frame that goes to the target.
//!
//! An INSERT binds `keys, values, writetime, ttl`; an UPDATE binds `writetime, ttl, values, keys`, as their texts in
//! [`crate::schema::statements`] have it. A value that isn't written is *unset*, never null: a null is a tombstone.

use super::{Cells, Kind, Rows, Statement};
use scylla::serialize::SerializationError;
use scylla::serialize::batch::{BatchValues, BatchValuesIterator};
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use std::sync::Arc;

/// Statements of one page, bound as of one instant.
#[derive(Clone, Debug)]
pub struct Bound {
    rows: Arc<Rows>,
    statements: Statements,
    now: i64,
}

/// Which statements: nearly always a run of neighbours, since cells seldom expire while they wait.
#[derive(Clone, Debug)]
enum Statements {
    Run(usize, usize),
    Picked(Vec<usize>),
}

impl Bound {
    /// The statements `from..to` of the page, less those whose cells have expired at `now`.
    pub(super) fn new(rows: &Arc<Rows>, from: usize, to: usize, now: i64) -> Bound {
        let alive = |&index: &usize| rows.ttl_left(&rows.statements[index], now).is_some();
        let statements = if (from..to).all(|index| alive(&index)) {
            Statements::Run(from, to)
        } else {
            Statements::Picked((from..to).filter(alive).collect())
        };
        Bound { rows: Arc::clone(rows), statements, now }
    }

    /// How many statements there are to send.
    pub fn len(&self) -> usize {
        match &self.statements {
            Statements::Run(from, to) => to - from,
            Statements::Picked(picked) => picked.len(),
        }
    }

    /// Whether everything has expired.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `index`-th statement, out of [`Bound::len`].
    pub fn statement(&self, index: usize) -> &Statement {
        let index = match &self.statements {
            Statements::Run(from, _) => from + index,
            Statements::Picked(picked) => picked[index],
        };
        &self.rows.statements[index]
    }

    /// Whether all of them are INSERTs.
    pub fn only_inserts(&self) -> bool {
        (0..self.len()).all(|index| self.statement(index).kind == Kind::Insert)
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
        match statement.kind {
            Kind::Insert => {
                self.write_keys(statement, writer)?;
                self.write_values(statement, writer)?;
                write_cell(writer, Some(&statement.writetime.to_be_bytes()))?;
                write_cell(writer, Some(&ttl.to_be_bytes()))
            }
            Kind::Update => {
                write_cell(writer, Some(&statement.writetime.to_be_bytes()))?;
                write_cell(writer, Some(&ttl.to_be_bytes()))?;
                self.write_values(statement, writer)?;
                self.write_keys(statement, writer)
            }
        }
    }

    fn write_keys(&self, statement: &Statement, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        (0..self.rows.layout.keys())
            .try_for_each(|column| write_cell(writer, self.rows.page.cell(statement.row as usize, column)))
    }

    fn write_values(&self, statement: &Statement, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        let (rows, row) = (&self.rows, statement.row as usize);
        (0..rows.layout.values).try_for_each(|value| {
            let chosen = match statement.cells {
                Cells::All => true,
                Cells::None => false,
                Cells::Matching => {
                    rows.writetime(row, value) == statement.writetime && rows.ttl(row, value) == statement.ttl
                }
            };
            write_cell(writer, if chosen { rows.value(row, value) } else { None })
        })
    }
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
