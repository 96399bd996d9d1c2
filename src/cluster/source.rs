//! A table at the source: pages by `execute_single_page`, each sent to a replica of its range.

use super::{Cluster, call};
use crate::call::{CallError, Class};
use crate::engine::seam::{Fetched, Partitions, Position, Read, Scan, Slice, Source};
use crate::ring::TokenRange;
use crate::row::layout::{Part, Shape};
use crate::row::slice::{Cut, bisect, legs};
use crate::row::{Layout, Page};
use crate::schema::literal::literal;
use crate::schema::{Column, Descending, Table, TableName, ordinal, statements};
use crate::side::Nodes;
use bytes::Bytes;
use scylla::client::session::Session;
use scylla::cluster::{ClusterState, Node, NodeRef};
use scylla::deserialize::row::ColumnIterator;
use scylla::policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo};
use scylla::response::query_result::QueryRowsResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::routing::{Shard, Token as DriverToken};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::prepared::PreparedStatement;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads one table of the source.
#[derive(Debug)]
pub struct CqlSource {
    cluster: Cluster,
    session: Arc<Session>,
    table: Table,
    layout: Layout,
    select: PreparedStatement,
    /// Those that are seldom needed, by their text.
    others: Mutex<HashMap<String, PreparedStatement>>,
    datacenter: String,
}

/// One request: a statement and what it binds.
struct Request {
    select: PreparedStatement,
    values: Vec<Vec<u8>>,
    /// How many requests the scan comes to.
    of: usize,
}

impl CqlSource {
    /// Prepares the scan of `table`.
    ///
    /// # Errors
    /// Where the source refuses the statement.
    pub async fn prepare(cluster: &Cluster, table: &Table, layout: &Layout) -> Result<CqlSource, CallError> {
        Ok(CqlSource {
            cluster: cluster.clone(),
            session: Arc::clone(&cluster.session),
            table: table.clone(),
            layout: layout.clone(),
            select: prepare(cluster, statements::select(table, layout)).await?,
            others: Mutex::default(),
            datacenter: cluster.info.datacenter.clone(),
        })
    }

    /// A statement that is seldom needed.
    async fn other(&self, text: String) -> Result<PreparedStatement, CallError> {
        let known = self.others.lock().unwrap_or_else(PoisonError::into_inner).get(&text).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let prepared = prepare(&self.cluster, text.clone()).await?;
        self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(text, prepared.clone());
        Ok(prepared)
    }

    async fn request(&self, scan: &Scan, leg: usize) -> Result<Option<Request>, CallError> {
        let range = scan.range();
        let tokens = [range.first(), range.last()].map(|token| token.0.to_be_bytes().to_vec()).to_vec();
        let slice = match scan {
            Scan::Tokens(_) => return Ok(Some(Request { select: self.select.clone(), values: tokens, of: 1 })),
            Scan::FirstRows(_) => {
                let select = self.other(statements::select_first_rows(&self.table, &self.layout)).await?;
                return Ok(Some(Request { select, values: tokens, of: 1 }));
            }
            Scan::Slice(slice) | Scan::FirstRowsOf(slice) => slice,
        };
        let mut legs = legs(&slice.from, &slice.to);
        if slice.reversed {
            legs.reverse();
        }
        let Some(wanted) = legs.get(leg) else { return Ok(None) };
        let (by_key, mut values) = match &slice.of {
            Partitions::All(_) => (false, tokens),
            Partitions::One(_, key) => (true, key.to_vec()),
        };
        let text = match scan {
            Scan::FirstRowsOf(_) => statements::select_first_rows_of_leg(&self.table, &self.layout, wanted),
            _ => statements::select_leg(&self.table, &self.layout, wanted, by_key, slice.reversed),
        };
        values.extend(wanted.equal.iter().cloned());
        values.extend([&wanted.low, &wanted.high].into_iter().flatten().map(|(value, _)| value.clone()));
        Ok(Some(Request { select: self.other(text).await?, values, of: legs.len() }))
    }

    /// The replicas of a range, those of the own datacenter only, the `turn`-th first.
    fn replicas(&self, range: TokenRange, turn: usize) -> Vec<(Arc<Node>, Option<Shard>)> {
        let state = self.session.get_cluster_state();
        let token = DriverToken::new(range.last().0);
        let TableName { keyspace, table } = &self.table.name;
        let mut replicas: Vec<_> = state
            .get_token_endpoints(keyspace, table, token)
            .into_iter()
            .filter(|(node, _)| node.datacenter.as_deref() == Some(&self.datacenter))
            .map(|(node, shard)| (node, Some(shard)))
            .collect();
        let replica_count = replicas.len().max(1);
        replicas.rotate_left(turn % replica_count);
        replicas
    }

    /// Values of the first columns of a key, for people.
    fn literals<'a>(columns: impl Iterator<Item = &'a Column>, values: &[Vec<u8>]) -> String {
        let parts = columns.zip(values);
        parts
            .map(|(column, value)| {
                format!("{} = {}", statements::quote(&column.name), literal(&column.cql_type, value))
            })
            .collect::<Vec<_>>()
            .join(" and ")
    }
}

async fn prepare(cluster: &Cluster, text: String) -> Result<PreparedStatement, CallError> {
    let mut select = cluster.prepare(text).await?;
    // The columns are named in the statement, so the metadata that came with PREPARE is the metadata of every page.
    select.set_use_cached_result_metadata(true);
    Ok(select)
}

impl Source for CqlSource {
    async fn read_page(&self, read: &Read) -> Result<Fetched, CallError> {
        let leg = read.position.leg;
        let Some(Request { mut select, values, of }) = self.request(&read.scan, leg).await? else {
            let page = Page::parse(Bytes::new(), 0, self.layout.columns()).map_err(call::nonsense)?;
            return Ok(Fetched { page, next: None });
        };
        select.set_page_size(read.rows);
        // Each range begins with another of its replicas, and each try, or look at the same rows, with the next one.
        let range = read.scan.range();
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "any number does")]
        let turn = (range.last().0 as usize).wrapping_add(read.turn as usize);
        let replicas = self.replicas(range, turn);
        if !replicas.is_empty() {
            select.set_load_balancing_policy(Some(Arc::new(Pinned(replicas))));
        }
        let state = match &read.position.state {
            None => PagingState::start(),
            Some(bytes) => PagingState::new_from_raw_bytes(Arc::clone(bytes)),
        };
        let (result, next) = self
            .session
            .execute_single_page(&select, RawCells(&values), state)
            .await
            .map_err(|error| call::waits_for_schema(call::classify(error)))?;
        let rows = result.into_rows_result().map_err(call::nonsense)?;
        let next = match next {
            PagingStateResponse::HasMorePages { state } => {
                Some(Position { leg, state: state.as_bytes_slice().cloned() })
            }
            PagingStateResponse::NoMorePages => (leg + 1 < of).then_some(Position { leg: leg + 1, state: None }),
        };
        Ok(Fetched { page: detach(&rows)?, next })
    }

    fn nodes(&self) -> Option<Nodes> {
        Some(super::nodes(&self.session, &self.datacenter))
    }

    fn bisect(&self, slice: &Slice) -> Option<Cut> {
        let columns: Vec<_> = self.table.clustering_key().collect();
        bisect(&slice.from, &slice.to, columns.len(), |column, low, high| {
            let (column, Descending(descending)) = columns.get(column)?;
            ordinal::between(&column.cql_type, low, high, *descending)
        })
    }

    fn has_statics(&self) -> bool {
        self.table.value_columns().iter().any(|column| column.part() == Part::Static)
    }

    fn describe(&self, scan: &Scan) -> String {
        match scan {
            Scan::Tokens(range) if range.width() == 1 => format!("token {}", range.first()),
            Scan::Tokens(range) => format!("tokens {range}"),
            Scan::FirstRows(token) => format!("the static columns of token {token}"),
            Scan::Slice(Slice { of, from, to, .. }) | Scan::FirstRowsOf(Slice { of, from, to, .. }) => {
                let columns = || self.table.clustering_key().map(|(column, _)| column);
                let cut = |cut: &Cut| {
                    let word = if cut.is_after() { "behind" } else { "before" };
                    (!cut.prefix().is_empty()).then(|| format!("{word} {}", Self::literals(columns(), cut.prefix())))
                };
                let (from, to) = (cut(from), cut(to).map(|to| to.replacen("behind", "up to", 1)));
                let places = [from.map(|from| from.replacen("before", "from", 1)), to];
                let places = places.into_iter().flatten().collect::<Vec<_>>().join(", ");
                let rows = if places.is_empty() { "all rows".to_owned() } else { format!("the rows {places}") };
                match of {
                    Partitions::All(token) => format!("{rows} of token {token}"),
                    Partitions::One(_, key) => {
                        format!("{rows} of the partition {}", Self::literals(self.table.partition_key(), key))
                    }
                }
            }
        }
    }

    fn remedy(&self, range: TokenRange) -> String {
        let TableName { keyspace, table } = &self.table.name;
        // Behind its start, up to its end.
        let start = range.first().0.saturating_sub(1);
        format!(
            "`nodetool compact -st {start} -et {} {keyspace} {table}` on the {}'s replicas removes tombstones that are older than \
             gc_grace_seconds; a higher tombstone_failure_threshold or read timeout there lets them be read; then run the same \
             command again",
            range.last(),
            self.cluster.side,
        )
    }
}

/// Values as they are on the wire.
pub(super) struct RawCells<'a>(pub(super) &'a [Vec<u8>]);

impl SerializeRow for RawCells<'_> {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        for value in self.0 {
            writer.make_cell_writer().set_value(value).map_err(SerializationError::new)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The columns whose writetime and TTL the source can't tell, by name. Elements have none before Cassandra 5.0, nor at ScyllaDB;
/// frozen values have none in old 3.x. Versions don't matter: each column that may be one is tried.
///
/// # Errors
/// Where the source doesn't answer.
pub async fn unreadable(cluster: &Cluster, table: &Table) -> Result<BTreeSet<String>, CallError> {
    let mut unreadable = BTreeSet::new();
    for column in table.value_columns() {
        match column.cql_type.shape() {
            Shape::Cell if !column.cql_type.is_frozen() => continue,
            Shape::Counter => {
                unreadable.insert(column.name.clone());
                continue;
            }
            _ => {}
        }
        match cluster.prepare(statements::probe_metadata(table, column)).await {
            Ok(_) => {}
            Err(error) if error.class == Class::Rejected => {
                unreadable.insert(column.name.clone());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(unreadable)
}

/// The page's raw rows, shared with the frame that they came in, without a copy.
fn detach(result: &QueryRowsResult) -> Result<Page, CallError> {
    let (rows, columns) = (result.rows_num(), result.column_specs().len());
    let bytes = if rows == 0 { Bytes::new() } else { row_section(result)? };
    Page::parse(bytes, rows, columns).map_err(call::nonsense)
}

/// The buffer behind the first cell that isn't null. That it begins with the first row is how the driver slices its frames,
/// not a documented promise, so it is checked: the first column is a key, and so never null.
fn row_section(result: &QueryRowsResult) -> Result<Bytes, CallError> {
    let mut rows = result.rows::<ColumnIterator<'_, '_>>().map_err(call::nonsense)?;
    let first = rows.next().ok_or_else(|| call::nonsense("a page without its first row"))?.map_err(call::nonsense)?;
    let cell =
        first.into_iter().next().ok_or_else(|| call::nonsense("a row without columns"))?.map_err(call::nonsense)?;
    let slice = cell.slice.ok_or_else(|| call::nonsense("a row whose first key column is null"))?;
    let bytes = slice.as_original_frame_bytes().clone();
    let offset = (slice.as_slice().as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    if offset == size_of::<i32>() {
        Ok(bytes)
    } else {
        Err(call::nonsense(format!("the rows begin at byte {offset} of their buffer")))
    }
}

/// Sends a request to these nodes, in this order.
#[derive(Debug)]
pub(super) struct Pinned(pub(super) Vec<(Arc<Node>, Option<Shard>)>);

impl LoadBalancingPolicy for Pinned {
    fn pick<'a>(&'a self, _: &'a RoutingInfo<'_>, _: &'a ClusterState) -> Option<(NodeRef<'a>, Option<Shard>)> {
        self.0.iter().find(|(node, _)| node.is_connected()).or(self.0.first()).map(|(node, shard)| (node, *shard))
    }

    fn fallback<'a>(&'a self, _: &'a RoutingInfo<'_>, _: &'a ClusterState) -> FallbackPlan<'a> {
        Box::new(self.0.iter().map(|(node, shard)| (node, *shard)))
    }

    fn name(&self) -> String {
        "replicas of the range".to_owned()
    }
}
