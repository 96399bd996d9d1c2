//! Counters, which can only be added to: both sides are read, and the difference is added.
//!
//! It converges however often it is repeated, as long as nobody else writes to the table on either side. An addition whose
//! outcome is unknown is never repeated blindly: the row is read again first, once nothing of it can still take effect.

use super::read_back::{ReadBack, Stragglers};
use super::{columns_of, statements};
use crate::call::{CallError, Class};
use crate::cluster::{Cluster, call};
use crate::row::bind::KeyOf;
use crate::row::layout::{Part, Shape};
use crate::row::{Batch, Form, Rows};
use crate::schema::Table;
use scylla::client::session::Session;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;

/// The writes of a table of counters.
#[derive(Debug)]
pub(super) struct CounterWrites {
    session: Arc<Session>,
    stragglers: Stragglers,
    /// Of rows and of partitions, where there are such counters; never neither.
    regular: Option<CounterWrite>,
    statics: Option<CounterWrite>,
}

#[derive(Debug)]
struct CounterWrite {
    part: Part,
    read_back: ReadBack,
    add: PreparedStatement,
    /// As indices into the layout's values.
    columns: Vec<usize>,
}

impl CounterWrites {
    pub(super) async fn prepare(cluster: &Cluster, table: &Table) -> Result<CounterWrites, CallError> {
        Ok(CounterWrites {
            session: Arc::clone(&cluster.session),
            stragglers: Stragglers::of(cluster).await,
            regular: CounterWrite::prepare(cluster, table, Part::Regular).await?,
            statics: CounterWrite::prepare(cluster, table, Part::Static).await?,
        })
    }

    /// One of its statements, to try whether the role may write.
    pub(super) fn any_update(&self) -> &PreparedStatement {
        let either = self.regular.as_ref().or(self.statics.as_ref());
        &either.expect("a table of counters has a counter").add
    }

    /// Waits until what the target has of counters can be trusted.
    pub(super) async fn ready(&self, tries: u32) {
        self.stragglers.wait(tries).await;
    }

    /// Brings the counters of the batch's rows to what they were at the source, row after row.
    pub(super) async fn write(&self, batch: &Batch) -> Result<(), CallError> {
        for (_, statement) in batch.statements() {
            let write = match statement.form {
                Form::StaticCounters => self.statics.as_ref(),
                _ => self.regular.as_ref(),
            };
            if let Some(write) = write {
                write.bring_up(&self.session, batch.rows(), statement.row as usize).await?;
            }
        }
        Ok(())
    }
}

impl CounterWrite {
    async fn prepare(cluster: &Cluster, table: &Table, part: Part) -> Result<Option<CounterWrite>, CallError> {
        let (columns, counters): (Vec<_>, Vec<_>) = columns_of(table, part, Shape::Counter).into_iter().unzip();
        let Some(add) = statements::add_counters(table, part) else { return Ok(None) };
        let Some(read_back) = ReadBack::prepare(cluster, table, part, &counters, false).await? else { return Ok(None) };
        let mut add = cluster.prepare(add).await?;
        add.set_is_idempotent(false);
        Ok(Some(CounterWrite { part, read_back, add, columns }))
    }

    /// Adds what is missing and reads the row again, until nothing is: a counter that was deleted at the target may come back
    /// with what it had, or not at all.
    async fn bring_up(&self, session: &Session, rows: &Rows, row: usize) -> Result<(), CallError> {
        let key = KeyOf::new(rows, row);
        let counter = |cell: Option<&[u8]>| cell.and_then(|cell| cell.try_into().ok()).map(i64::from_be_bytes);
        let mut additions = 0;
        loop {
            let found = self.read_back.row(key).await?;
            let sides = self.columns.iter().zip(&found);
            let sides = sides.map(|(&column, target)| (counter(rows.value(row, column)), counter(target.as_deref())));
            let differences: Vec<Option<i64>> = sides.map(|(source, target)| difference(source, target)).collect();
            if differences.iter().all(Option::is_none) {
                return Ok(());
            }
            if additions == ADDITIONS_MAX {
                let message =
                    format!("its counters are others after {additions} additions: were they deleted at the target?");
                return Err(CallError { class: Class::Rejected, message });
            }
            additions += 1;
            let values = Addition { differences: &differences, key: key.of(self.part) };
            session.execute_unpaged(&self.add, values).await.map_err(call::classify)?;
        }
    }
}

/// Additions to one row in one try, each followed by a look at what came of it.
const ADDITIONS_MAX: u32 = 3;

/// What is to be added, if anything: a counter that is 0 at the source is there, unlike one that was never written.
fn difference(source: Option<i64>, target: Option<i64>) -> Option<i64> {
    let (wanted, found) = (source?, target);
    (found != Some(wanted)).then(|| wanted.wrapping_sub(found.unwrap_or(0)))
}

/// Binds what is to be added to each counter, then the key. What isn't to be changed is unset.
struct Addition<'a> {
    differences: &'a [Option<i64>],
    key: KeyOf<'a>,
}

impl SerializeRow for Addition<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        for difference in self.differences {
            let cell = writer.make_cell_writer();
            match difference {
                Some(number) => cell.set_value(&number.to_be_bytes()).map_err(SerializationError::new)?,
                None => cell.set_unset(),
            };
        }
        self.key.serialize(context, writer)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_what_brings_the_target_to_the_source() {
        assert_eq!(difference(Some(5), None), Some(5));
        assert_eq!(difference(Some(0), None), Some(0), "a counter of 0 is there");
        assert_eq!(difference(Some(5), Some(7)), Some(-2));
        assert_eq!(difference(Some(5), Some(5)), None);
        assert_eq!(difference(None, Some(7)), None, "a deleted counter can't come back: it is left alone");
        assert_eq!(difference(Some(i64::MAX), Some(-1)), Some(i64::MIN), "sums wrap around");
    }
}
