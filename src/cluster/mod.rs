//! The two clusters, through the driver. Nothing outside this folder names a driver's session.

pub mod call;
pub mod changes;
mod connect;
pub mod placement;
pub mod record;
pub mod ring;
pub mod source;
pub mod target;
mod tls;

pub use connect::{ConnectError, connect};
pub use source::CqlSource;
pub use target::CqlTarget;

use crate::call::CallError;
use crate::ring::Token;
use crate::settings::choices::ConsistencyLevel;
use crate::side::Nodes;
use crate::side::Side;
use scylla::client::session::Session;
use scylla::statement::{Consistency, Statement};
use std::sync::Arc;
use uuid::Uuid;

/// A cluster that answered.
#[derive(Clone)]
pub struct Cluster {
    /// Which of the two.
    pub side: Side,
    /// What it is.
    pub info: ClusterInfo,
    /// The role that is logged in.
    pub user: Option<String>,
    session: Arc<Session>,
    consistency: Consistency,
    /// Asked instead of any node, where it is [`Cluster::at`] some.
    pinned: Option<Arc<source::Pinned>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("side", &self.side).field("info", &self.info).finish_non_exhaustive()
    }
}

/// What a cluster says of itself.
#[derive(Clone, Debug)]
pub struct ClusterInfo {
    /// Which database.
    pub product: Product,
    /// The product's version.
    pub version: String,
    /// `cluster_name`.
    pub name: String,
    /// The datacenter that is used: the one named in the settings, or the only one.
    pub datacenter: String,
    /// Class name without its package.
    pub partitioner: String,
    /// Ids of all nodes: two sides that share one are one cluster.
    pub host_ids: Vec<Uuid>,
    /// The ring's tokens, of all nodes.
    pub tokens: Vec<Token>,
}

/// A database that speaks CQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Apache Cassandra.
    Cassandra,
    /// ScyllaDB.
    Scylla,
}

impl Product {
    /// The product's name.
    pub fn name(self) -> &'static str {
        match self {
            Product::Cassandra => "Apache Cassandra",
            Product::Scylla => "ScyllaDB",
        }
    }
}

impl Cluster {
    /// All rows of a small system query, typed.
    ///
    /// # Errors
    /// Where the query fails or answers other types.
    pub(crate) async fn rows<R>(
        &self,
        cql: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<Vec<R>, CallError>
    where
        R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
    {
        let mut statement = Statement::new(cql);
        if let Some(pinned) = &self.pinned {
            statement.set_request_timeout(Some(changes::TIMEOUT));
            statement.set_load_balancing_policy(Some(Arc::clone(pinned) as _));
        }
        rows(&self.session, statement, values).await
    }
}

/// [`Cluster::rows`] before there is a cluster. One page is enough for what is asked: system tables of a schema.
async fn query<R>(
    session: &Session,
    cql: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, CallError>
where
    R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
{
    rows(session, Statement::new(cql), values).await
}

async fn rows<R>(
    session: &Session,
    mut statement: Statement,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, CallError>
where
    R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
{
    // System tables are local to the node, whatever the level of the data is.
    statement.set_consistency(Consistency::LocalOne);
    statement.set_is_idempotent(true);
    let result = session.query_unpaged(statement, values).await.map_err(call::classify)?;
    let rows = result.into_rows_result().map_err(call::nonsense)?;
    rows.rows::<R>().map_err(call::nonsense)?.collect::<Result<Vec<R>, _>>().map_err(call::nonsense)
}

impl Cluster {
    /// How far ahead of its clock the cluster takes a writetime; `None` where it takes any.
    ///
    /// # Errors
    /// Where the role may not read the cluster's settings.
    pub async fn future_limit(&self) -> Result<Option<std::time::Duration>, CallError> {
        target::limits::future(self).await
    }
}

/// The nodes of a datacenter, and how many of them there is no connection to.
fn nodes(session: &Session, datacenter: &str) -> Nodes {
    let state = session.get_cluster_state();
    let nodes = state.get_nodes_info().iter().filter(|node| node.datacenter.as_deref() == Some(datacenter));
    nodes.fold(Nodes { all: 0, silent: 0 }, |nodes, node| Nodes {
        all: nodes.all + 1,
        silent: nodes.silent + usize::from(!node.is_connected()),
    })
}

fn consistency(level: ConsistencyLevel) -> Consistency {
    match level {
        ConsistencyLevel::One => Consistency::One,
        ConsistencyLevel::Two => Consistency::Two,
        ConsistencyLevel::Three => Consistency::Three,
        ConsistencyLevel::Quorum => Consistency::Quorum,
        ConsistencyLevel::All => Consistency::All,
        ConsistencyLevel::LocalOne => Consistency::LocalOne,
        ConsistencyLevel::LocalQuorum => Consistency::LocalQuorum,
        ConsistencyLevel::EachQuorum => Consistency::EachQuorum,
    }
}

impl Cluster {
    /// Prepares a statement with this side's consistency level and no retries but our own.
    ///
    /// # Errors
    /// Where the server refuses it, or doesn't answer: the driver itself waits without end.
    pub(crate) async fn prepare(
        &self,
        cql: String,
    ) -> Result<scylla::statement::prepared::PreparedStatement, CallError> {
        let prepared = tokio::time::timeout(PREPARE_TIMEOUT, self.session.prepare(cql)).await;
        let prepared = prepared.map_err(|_| CallError {
            class: crate::call::Class::Timeout,
            message: format!("the {} didn't prepare a statement within {} s", self.side, PREPARE_TIMEOUT.as_secs()),
        })?;
        let mut statement = prepared.map_err(|error| call::classify_prepare(&error))?;
        statement.set_consistency(self.consistency);
        statement.set_is_idempotent(true);
        Ok(statement)
    }
}

/// PREPARE touches no data, but the driver asks all nodes, and waits for one that has just begun to stand still.
const PREPARE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);
