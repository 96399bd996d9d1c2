//! A table at the source: pages by `execute_single_page`, each sent to a replica of its range.

use super::{Cluster, call};
use crate::call::{CallError, Class};
use crate::copy::seam::{Fetched, Nodes, Position, Read, Source};
use crate::ring::TokenRange;
use crate::row::layout::Shape;
use crate::row::{Layout, Page};
use crate::schema::{Table, TableName, statements};
use bytes::Bytes;
use scylla::client::session::Session;
use scylla::cluster::{ClusterState, Node, NodeRef};
use scylla::deserialize::row::ColumnIterator;
use scylla::policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo};
use scylla::response::query_result::QueryRowsResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::routing::{Shard, Token as DriverToken};
use scylla::statement::prepared::PreparedStatement;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads one table of the source.
#[derive(Debug)]
pub struct CqlSource {
    session: Arc<Session>,
    select: PreparedStatement,
    table: TableName,
    datacenter: String,
}

impl CqlSource {
    /// Prepares the scan of `table`.
    ///
    /// # Errors
    /// Where the source refuses the statement.
    pub async fn prepare(cluster: &Cluster, table: &Table, layout: &Layout) -> Result<CqlSource, CallError> {
        let mut select = cluster.prepare(statements::select(table, layout)).await?;
        // The columns are named in the statement, so the metadata that came with PREPARE is the metadata of every page.
        select.set_use_cached_result_metadata(true);
        Ok(CqlSource {
            session: Arc::clone(&cluster.session),
            select,
            table: table.name.clone(),
            datacenter: cluster.info.datacenter.clone(),
        })
    }

    /// The replicas of a range, those of the own datacenter only, the `turn`-th first.
    fn replicas(&self, range: TokenRange, turn: usize) -> Vec<(Arc<Node>, Option<Shard>)> {
        let state = self.session.get_cluster_state();
        let token = DriverToken::new(range.last().0);
        let mut replicas: Vec<_> = state
            .get_token_endpoints(&self.table.keyspace, &self.table.table, token)
            .into_iter()
            .filter(|(node, _)| node.datacenter.as_deref() == Some(&self.datacenter))
            .map(|(node, shard)| (node, Some(shard)))
            .collect();
        let replica_count = replicas.len().max(1);
        replicas.rotate_left(turn % replica_count);
        replicas
    }
}

impl Source for CqlSource {
    async fn read_page(&self, read: &Read) -> Result<Fetched, CallError> {
        let mut select = self.select.clone();
        select.set_page_size(read.rows);
        // Each range begins with another of its replicas, and each try with the next one.
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "any number does")]
        let turn = (read.range.last().0 as usize).wrapping_add(read.attempt as usize);
        let replicas = self.replicas(read.range, turn);
        if !replicas.is_empty() {
            select.set_load_balancing_policy(Some(Arc::new(Pinned(replicas))));
        }
        let position = match &read.position.0 {
            None => PagingState::start(),
            Some(bytes) => PagingState::new_from_raw_bytes(Arc::clone(bytes)),
        };
        let bounds = (read.range.first().0, read.range.last().0);
        let (result, next) =
            self.session.execute_single_page(&select, bounds, position).await.map_err(call::classify)?;
        let rows = result.into_rows_result().map_err(call::nonsense)?;
        let next = match next {
            PagingStateResponse::HasMorePages { state } => Some(Position(state.as_bytes_slice().cloned())),
            PagingStateResponse::NoMorePages => None,
        };
        Ok(Fetched { page: detach(&rows)?, next })
    }

    fn nodes(&self) -> Option<Nodes> {
        Some(super::nodes(&self.session, &self.datacenter))
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
struct Pinned(Vec<(Arc<Node>, Option<Shard>)>);

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
