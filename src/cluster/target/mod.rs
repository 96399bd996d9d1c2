//! A table at the target: one EXECUTE or one UNLOGGED BATCH per batch of mutations.

mod counters;
pub(crate) mod limits;
mod lists;
mod read_back;
mod removals;

use super::placement::ReplicaSets;
use super::{Cluster, Product, call};
use crate::call::{CallError, Class};
use crate::clock::Clock;
use crate::engine::seam::{Placement, Target};
use crate::row::bind::{Bound, ListWrite};
use crate::row::layout::{Part, Shape};
use crate::row::{Batch, BatchLimits, Form, Removal, Settled};
use crate::schema::fidelity::Lists;
use crate::schema::read::read_table;
use crate::schema::{Column, Table, statements};
use crate::side::Nodes;
use counters::CounterWrites;
use limits::BATCH_ROWS;
use lists::ListWrites;
use scylla::client::session::Session;
use scylla::cluster::ClusterState;
use scylla::statement::batch::{Batch as CqlBatch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A request holds this many statements at most (the protocol's limit is 65,535) …
const REQUEST_STATEMENTS: usize = 1000;
/// … and about this many bytes, unless one statement alone is larger: Cassandra takes 16 MiB of them.
const REQUEST_BYTES: usize = 2 << 20;

/// The driver holds what it sends twice: the values of a statement, and the frame that they go into.
const COPIES: usize = 2;

/// Writes one table of the target.
pub struct CqlTarget {
    cluster: Cluster,
    session: Arc<Session>,
    table: Table,
    insert: Option<PreparedStatement>,
    update: Option<PreparedStatement>,
    update_static: Option<PreparedStatement>,
    lists: Option<ListWrites>,
    counters: Option<CounterWrites>,
    /// Batches of n INSERTs, at n − 1: the driver takes a batch by reference, so the usual ones are made once.
    inserts: Vec<OnceLock<CqlBatch>>,
    /// Batches of several kinds of statements that are not under way: the next one differs in few places.
    mixed: Mutex<Vec<CqlBatch>>,
    limits: BatchLimits,
    /// Bytes of a request at most, where that is known.
    request_max: Option<usize>,
    /// The ring's state that was last seen, and the replica sets that follow from it.
    replica_sets: Mutex<Option<SeenRing>>,
    /// Tablets move on their own, and the driver learns of them one by one: nothing is known of neighbours.
    tablets: bool,
}

/// A state of the ring, and the replica sets that follow from it, where any are known.
type SeenRing = (Arc<ClusterState>, Option<Arc<ReplicaSets>>);

impl std::fmt::Debug for CqlTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CqlTarget")
            .field("table", &self.table.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// How elements get into the lists of a table at this target: ScyllaDB is asked whether it takes their keys.
///
/// # Errors
/// Where the target doesn't answer.
pub async fn list_way(cluster: &Cluster, table: &Table) -> Result<Lists, CallError> {
    let columns = table.value_columns();
    let list = columns.into_iter().find(|column| column.cql_type.shape() == Shape::List);
    match (cluster.info.product, list) {
        (Product::Cassandra, _) => Ok(Lists::ReadBack),
        (Product::Scylla, None) => Ok(Lists::Keyed),
        (Product::Scylla, Some(list)) => {
            match cluster.prepare(statements::list_element(table, list, ListWrite::Keyed)).await {
                Ok(_) => Ok(Lists::Keyed),
                Err(error) if error.class == Class::Rejected => Ok(Lists::Impossible),
                Err(error) => Err(error),
            }
        }
    }
}

impl CqlTarget {
    /// Prepares the writes of `table`.
    ///
    /// # Errors
    /// Where the target refuses a statement.
    pub async fn prepare(cluster: &Cluster, table: &Table, lists: Lists) -> Result<CqlTarget, CallError> {
        let values = table.value_columns();
        let has = |shape| values.iter().any(|column| column.cql_type.shape() == shape);
        let has_counters = has(Shape::Counter);
        let optional = |text: Option<String>| async move {
            match text.filter(|_| !has_counters) {
                Some(text) => cluster.prepare(text).await.map(Some),
                None => Ok(None),
            }
        };
        let writes_lists = has(Shape::List) && lists != Lists::Impossible;
        Ok(CqlTarget {
            cluster: cluster.clone(),
            session: Arc::clone(&cluster.session),
            insert: optional(Some(statements::insert(table))).await?,
            update: optional(statements::update(table, Part::Regular)).await?,
            update_static: optional(statements::update(table, Part::Static)).await?,
            lists: if writes_lists { Some(ListWrites::prepare(cluster, table, lists).await?) } else { None },
            counters: if has_counters { Some(CounterWrites::prepare(cluster, table).await?) } else { None },
            inserts: (0..BATCH_ROWS).map(|_| OnceLock::new()).collect(),
            mixed: Mutex::default(),
            limits: limits::batch_limits(cluster).await,
            request_max: limits::request_max(cluster).await,
            replica_sets: Mutex::new(None),
            tablets: limits::has_tablets(cluster, &table.name.keyspace).await,
            table: table.clone(),
        })
    }

    /// How large batches may be.
    pub fn limits(&self) -> BatchLimits {
        self.limits
    }

    /// Whether what is written follows from what the target has: two processes that do it at the same time do it twice.
    pub fn reads_back(&self) -> bool {
        self.counters.is_some() || self.lists.as_ref().is_some_and(ListWrites::reads_back)
    }

    /// What the target says to a write without a key: permission is checked before values are, so the answer tells whether
    /// this role may write, and nothing is written either way.
    ///
    /// # Errors
    /// Always; [`crate::call::Class::Rejected`] is the good answer.
    pub async fn probe_permission(&self) -> Result<(), CallError> {
        let statement = match (&self.insert, &self.counters) {
            (Some(insert), _) => insert,
            (None, Some(counters)) => counters.any_update(),
            (None, None) => return Err(call::nonsense("a table that can't be written")),
        };
        self.session.execute_unpaged(statement, Nulls).await.map(drop).map_err(call::classify)
    }

    fn statement(&self, bound: &Bound, index: usize) -> Result<&PreparedStatement, CallError> {
        let form = bound.statement(index).form;
        let found = match form {
            Form::Insert => self.insert.as_ref(),
            Form::Update => self.update.as_ref(),
            Form::Static => self.update_static.as_ref(),
            Form::Element => {
                let (list, how) = (bound.list_of(index), bound.pick(index).list);
                self.lists.as_ref().zip(list).and_then(|(lists, list)| lists.statement(list, how))
            }
            Form::Counters | Form::StaticCounters => None,
        };
        found.ok_or_else(|| call::nonsense(format!("{form:?} of a table that has nothing to write by it")))
    }

    /// Sends what is alive of a batch by now, and what of its lists and counters the target lacks.
    async fn send(&self, batch: &Batch, clock: Clock, tries: u32) -> Result<Settled, CallError> {
        if let Some(counters) = &self.counters {
            counters.write(batch).await?;
            return Ok(Settled::default());
        }
        let lists = match &self.lists {
            Some(lists) if batch.has(Form::Element) => lists.found(batch).await?,
            _ => None,
        };
        // TTLs are those of this moment: whatever had to be waited for comes before.
        let mut bound = batch.bind(clock.seconds());
        let mut settled = batch.settled(&bound);
        if let Some(lists) = lists {
            let reordered;
            (bound, reordered) = lists.missing(batch, &bound);
            settled += reordered;
        }
        if !bound.is_empty() {
            self.execute_all(&bound, batch, clock, tries).await?;
        }
        Ok(settled)
    }

    /// Sends statements, in as many requests as their number and size ask for; after `tries` failed ones, in smaller ones: a
    /// request that took too long once may always do.
    async fn execute_all(&self, bound: &Bound, batch: &Batch, clock: Clock, tries: u32) -> Result<(), CallError> {
        let shift = tries.min(5);
        let (statements_max, bytes_max) = (REQUEST_STATEMENTS >> shift, REQUEST_BYTES >> shift);
        if bound.len() <= statements_max && request_bytes(batch, bound.len()) < bytes_max {
            return self.execute(bound).await;
        }
        let (mut from, mut size) = (0, 0);
        for index in 0..=bound.len() {
            let more = if index < bound.len() { bound.size(index) } else { usize::MAX };
            if index > from && (index - from == statements_max || more > bytes_max - size.min(bytes_max)) {
                // What comes later carries the TTLs of its own moment.
                let part = bound.part(from, index, clock.seconds());
                if !part.is_empty() {
                    self.execute(&part).await?;
                }
                (from, size) = (index, 0);
            }
            size = size.saturating_add(more);
        }
        Ok(())
    }

    async fn execute(&self, bound: &Bound) -> Result<(), CallError> {
        let count = bound.len();
        if count == 1 {
            let statement = self.statement(bound, 0)?;
            expect_room(bound.size(0), self.request_max)?;
            return self.session.execute_unpaged(statement, bound).await.map(drop).map_err(call::classify);
        }
        if let (Some(cell), Some(insert)) = (self.inserts.get(count - 1), &self.insert)
            && bound.only_inserts()
        {
            let batch = cell.get_or_init(|| unlogged(vec![BatchStatement::PreparedStatement(insert.clone()); count]));
            return self.session.batch(batch, bound.clone()).await.map(drop).map_err(call::classify);
        }
        let mixed = self.mixed(bound)?;
        let result = self.session.batch(&mixed, bound.clone()).await.map(drop).map_err(call::classify);
        self.mixed.lock().unwrap_or_else(PoisonError::into_inner).push(mixed);
        result
    }

    /// A batch of these statements, made of one that was sent before where there is one: a copy of a statement is dear.
    fn mixed(&self, bound: &Bound) -> Result<CqlBatch, CallError> {
        let spare = self.mixed.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut batch = spare.unwrap_or_else(|| unlogged(Vec::new()));
        batch.statements.truncate(bound.len());
        for index in 0..bound.len() {
            let wanted = self.statement(bound, index)?;
            let copy = || BatchStatement::PreparedStatement(wanted.clone());
            match batch.statements.get_mut(index) {
                // Copies share what was prepared, its id included.
                Some(BatchStatement::PreparedStatement(found)) if std::ptr::eq(found.get_id(), wanted.get_id()) => {}
                Some(found) => *found = copy(),
                None => batch.statements.push(copy()),
            }
        }
        Ok(batch)
    }

    /// The replica sets of this moment. They are read anew when the ring has changed.
    fn replica_sets(&self) -> Option<Arc<ReplicaSets>> {
        if self.tablets {
            return None;
        }
        let state = self.session.get_cluster_state();
        let mut known = self.replica_sets.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((seen, sets)) if Arc::ptr_eq(seen, &state) => sets.clone(),
            _ => {
                let name = &self.table.name;
                let sets = ReplicaSets::read(&state, &name.keyspace, &name.table).map(Arc::new);
                *known = Some((state, sets.clone()));
                sets
            }
        }
    }
}

impl Target for CqlTarget {
    async fn ready(&self, batch: &Batch, tries: u32) {
        if let Some(counters) = &self.counters {
            counters.ready(tries).await;
        }
        if let Some(lists) = self.lists.as_ref().filter(|_| batch.has(Form::Element)) {
            lists.ready(tries).await;
        }
    }

    async fn write(&self, batch: &Batch, clock: Clock, tries: u32) -> Result<Settled, CallError> {
        self.send(batch, clock, tries).await.map_err(call::waits_for_schema)
    }

    async fn delete(&self, removal: &Removal) -> Result<(), CallError> {
        removals::delete(&self.cluster, &self.table, removal).await
    }

    fn in_flight(&self, batch: &Batch) -> usize {
        let whole = request_bytes(batch, batch.statement_count());
        let request = if whole < REQUEST_BYTES { whole } else { REQUEST_BYTES.max(batch.largest_statement()) };
        let reads_lists = self.lists.as_ref().is_some_and(ListWrites::reads_back) && batch.has(Form::Element);
        let read_back = if reads_lists { batch.bytes() + batch.statement_count() * lists::ELEMENT_MEMORY } else { 0 };
        COPIES * request + read_back
    }

    async fn is_unchanged(&self) -> Result<bool, CallError> {
        let found = match Box::pin(read_table(&self.cluster, &self.table.name)).await {
            Ok(found) => found,
            Err(crate::schema::read::ReadError::Call(error)) => return Err(error),
            Err(crate::schema::read::ReadError::Type(_)) => None,
        };
        Ok(found.is_some_and(|found| found.id == self.table.id && found.columns == self.table.columns))
    }

    fn nodes(&self) -> Option<Nodes> {
        Some(super::nodes(&self.session, &self.cluster.info.datacenter))
    }

    fn placement(&self) -> Option<Arc<dyn Placement>> {
        // Rows that need the target to be read first are written one by one anyway.
        if self.counters.is_some() {
            return None;
        }
        self.replica_sets().map(|sets| sets as Arc<dyn Placement>)
    }
}

/// Refuses a statement that the target would: `size` bytes of it are known, and every request holds some more.
fn expect_room(size: usize, request_max: Option<usize>) -> Result<(), CallError> {
    match request_max {
        Some(max) if size > max => {
            let message = format!("a value of it takes a request of {size} bytes, and the target takes {max} at most");
            Err(CallError { class: Class::Rejected, message })
        }
        _ => Ok(()),
    }
}

/// What so many statements of a batch take in requests, in bytes at most: each repeats its row's key, and has a place for
/// each column.
fn request_bytes(batch: &Batch, statements: usize) -> usize {
    batch.bytes() + statements * batch.bytes() / batch.row_count().max(1)
}

/// The columns of one part that have a shape, with their indices in [`crate::row::Layout::values`].
fn columns_of(table: &Table, part: Part, shape: Shape) -> Vec<(usize, &Column)> {
    let columns = table.value_columns().into_iter().enumerate();
    columns.filter(|(_, column)| column.part() == part && column.cql_type.shape() == shape).collect()
}

fn unlogged(statements: Vec<BatchStatement>) -> CqlBatch {
    let mut batch = CqlBatch::new_with_statements(BatchType::Unlogged, statements);
    batch.set_is_idempotent(true);
    batch
}

/// Binds every value of a write to null.
struct Nulls;

impl scylla::serialize::row::SerializeRow for Nulls {
    fn serialize(
        &self,
        context: &scylla::serialize::row::RowSerializationContext<'_>,
        writer: &mut scylla::serialize::writers::RowWriter<'_>,
    ) -> Result<(), scylla::serialize::SerializationError> {
        for _ in context.columns() {
            writer.make_cell_writer().set_null();
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused_before_it_is_sent() {
        let error = expect_room(16_777_217, Some(16 << 20)).expect_err("one byte too many");
        assert_eq!(error.class, Class::Rejected);
        assert!(error.message.contains("16777217") && error.message.contains("16777216"), "{error}");
        assert!(expect_room(16 << 20, Some(16 << 20)).is_ok());
        assert!(expect_room(usize::MAX, None).is_ok(), "who doesn't say will refuse it");
    }
}
