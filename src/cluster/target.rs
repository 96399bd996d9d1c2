//! A table at the target: one EXECUTE or one UNLOGGED BATCH per batch of mutations.

use super::placement::ReplicaSets;
use super::{Cluster, Product, call};
use crate::call::CallError;
use crate::copy::seam::{Placement, Target};
use crate::row::bind::Bound;
use crate::row::group::Expired;
use crate::row::{Batch, BatchLimits, Kind};
use crate::schema::{Table, TableName, statements};
use crate::settings::units::Bytes;
use scylla::client::session::Session;
use scylla::cluster::ClusterState;
use scylla::statement::batch::{Batch as CqlBatch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Rows of one batch at most.
const BATCH_ROWS: usize = 100;
/// Bytes of one batch at most: larger ones make the latency of the target's other clients uneven.
const BATCH_BYTES: usize = 48 << 10;

/// Writes one table of the target.
pub struct CqlTarget {
    session: Arc<Session>,
    table: TableName,
    insert: PreparedStatement,
    update: Option<PreparedStatement>,
    /// Batches of n INSERTs, at n − 1: the driver takes a batch by reference, so the usual ones are made once.
    inserts: Vec<OnceLock<CqlBatch>>,
    limits: BatchLimits,
    /// The ring's state that was last seen, and the replica sets that follow from it.
    replica_sets: Mutex<Option<SeenRing>>,
    /// Tablets move on their own, and the driver learns of them one by one: nothing is known of neighbours.
    tablets: bool,
}

/// A state of the ring, and the replica sets that follow from it, where any are known.
type SeenRing = (Arc<ClusterState>, Option<Arc<ReplicaSets>>);

impl std::fmt::Debug for CqlTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CqlTarget").field("table", &self.table).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl CqlTarget {
    /// Prepares the writes of `table`.
    ///
    /// # Errors
    /// Where the target refuses a statement.
    pub async fn prepare(cluster: &Cluster, table: &Table) -> Result<CqlTarget, CallError> {
        let insert = cluster.prepare(statements::insert(table)).await?;
        let update = match statements::update(table) {
            Some(update) => Some(cluster.prepare(update).await?),
            None => None,
        };
        Ok(CqlTarget {
            session: Arc::clone(&cluster.session),
            table: table.name.clone(),
            insert,
            update,
            inserts: (0..BATCH_ROWS).map(|_| OnceLock::new()).collect(),
            limits: limits(cluster).await,
            replica_sets: Mutex::new(None),
            tablets: has_tablets(cluster, &table.name.keyspace).await,
        })
    }

    /// How large batches may be.
    pub fn limits(&self) -> BatchLimits {
        self.limits
    }

    /// What the target says to an INSERT without a key: permission is checked before values are, so the answer tells
    /// whether this role may write, and nothing is written either way.
    ///
    /// # Errors
    /// Always; [`crate::call::Class::Rejected`] is the good answer.
    pub async fn probe_permission(&self) -> Result<(), CallError> {
        self.session.execute_unpaged(&self.insert, Nulls).await.map(drop).map_err(call::classify)
    }

    fn statement(&self, kind: Kind) -> Result<&PreparedStatement, CallError> {
        match (kind, &self.update) {
            (Kind::Insert, _) => Ok(&self.insert),
            (Kind::Update, Some(update)) => Ok(update),
            (Kind::Update, None) => Err(call::nonsense("an UPDATE of a table that has only keys")),
        }
    }

    async fn execute(&self, bound: &Bound) -> Result<(), CallError> {
        let count = bound.len();
        if count == 1 {
            let statement = self.statement(bound.statement(0).kind)?;
            return self.session.execute_unpaged(statement, bound).await.map(drop).map_err(call::classify);
        }
        let mixed;
        let batch = match self.inserts.get(count - 1) {
            Some(cell) if bound.only_inserts() => {
                cell.get_or_init(|| unlogged(vec![BatchStatement::PreparedStatement(self.insert.clone()); count]))
            }
            _ => {
                let statements = (0..count)
                    .map(|i| self.statement(bound.statement(i).kind).cloned().map(BatchStatement::PreparedStatement));
                mixed = unlogged(statements.collect::<Result<_, _>>()?);
                &mixed
            }
        };
        self.session.batch(batch, bound.clone()).await.map(drop).map_err(call::classify)
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
                let sets = ReplicaSets::read(&state, &self.table.keyspace, &self.table.table).map(Arc::new);
                *known = Some((state, sets.clone()));
                sets
            }
        }
    }
}

impl Target for CqlTarget {
    async fn write(&self, batch: &Batch, now: i64) -> Result<Expired, CallError> {
        let bound = batch.bind(now);
        if !bound.is_empty() {
            self.execute(&bound).await?;
        }
        Ok(batch.expired(&bound))
    }

    fn placement(&self) -> Option<Arc<dyn Placement>> {
        self.replica_sets().map(|sets| sets as Arc<dyn Placement>)
    }
}

fn unlogged(statements: Vec<BatchStatement>) -> CqlBatch {
    let mut batch = CqlBatch::new_with_statements(BatchType::Unlogged, statements);
    batch.set_is_idempotent(true);
    batch
}

/// Binds every value of an INSERT to null.
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

/// Batches of several partitions stay at half of the size that the target warns about: its limit counts the mutation as it
/// is stored, which is somewhat more than the wire's bytes.
async fn limits(cluster: &Cluster) -> BatchLimits {
    let warn = warn_threshold(cluster).await.unwrap_or(5 << 10); // Cassandra's default, the lower of the two.
    BatchLimits { rows_max: BATCH_ROWS, bytes_max: (warn / 2).min(BATCH_BYTES), partition_bytes_max: BATCH_BYTES }
}

/// `batch_size_warn_threshold` of the target in bytes, under the name that it has there.
async fn warn_threshold(cluster: &Cluster) -> Option<usize> {
    let table = match cluster.info.product {
        Product::Cassandra => "system_views.settings",
        Product::Scylla => "system.config",
    };
    for name in ["batch_size_warn_threshold", "batch_size_warn_threshold_in_kb"] {
        let found =
            cluster.rows::<(Option<String>,)>(&format!("SELECT value FROM {table} WHERE name = ?"), (name,)).await;
        if let Some((Some(text),)) = found.ok().and_then(|rows| rows.into_iter().next())
            && let Ok(Bytes(number)) = text.parse()
        {
            let factor = if name.ends_with("_in_kb") { 1024 } else { 1 };
            return usize::try_from(number * factor).ok();
        }
    }
    None
}

/// Whether a ScyllaDB keyspace keeps its tables in tablets. The column is there since tablets are (ScyllaDB 6.0).
async fn has_tablets(cluster: &Cluster, keyspace: &str) -> bool {
    let cql = "SELECT initial_tablets FROM system_schema.scylla_keyspaces WHERE keyspace_name = ?";
    cluster.info.product == Product::Scylla
        && cluster
            .rows::<(Option<i32>,)>(cql, (keyspace,))
            .await
            .is_ok_and(|rows| rows.first().is_some_and(|row| row.0.is_some()))
}
