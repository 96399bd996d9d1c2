//! Who owns what, and how much there is: what the plan asks of the source's ring.

use super::Cluster;
use crate::ring::Token;
use crate::schema::TableName;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::routing::Token as DriverToken;
use scylla::statement::{Consistency, Statement};
use std::time::Duration;
use uuid::Uuid;

/// A node that doesn't answer by then is left out of the estimate.
const ESTIMATE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the source's nodes guess of a table (`system.size_estimates`, refreshed by each node every five minutes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeEstimate {
    /// Partitions.
    pub partitions: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Cluster {
    /// The first replica of a token, for spreading work: `None` where the driver knows none.
    pub fn owner(&self, table: &TableName, token: Token) -> Option<Uuid> {
        let state = self.session.get_cluster_state();
        let replicas = state.get_token_endpoints(&table.keyspace, &table.table, DriverToken::new(token.0));
        replicas.first().map(|(node, _)| node.host_id)
    }

    /// Sums up `system.size_estimates` over all nodes: each knows its own primary ranges. `None` where they have no figure
    /// yet, as for a table that was just filled.
    pub async fn size_estimate(&self, table: &TableName) -> Option<SizeEstimate> {
        let cql = "SELECT partitions_count, mean_partition_size FROM system.size_estimates
                   WHERE keyspace_name = ? AND table_name = ?";
        let state = self.session.get_cluster_state();
        let asked: FuturesUnordered<_> = state
            .get_nodes_info()
            .iter()
            .map(|node| {
                let mut statement = Statement::new(cql);
                statement.set_consistency(Consistency::One);
                let node = NodeIdentifier::Node(std::sync::Arc::clone(node));
                statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(node, None)));
                let rows = self.session.query_unpaged(statement, (table.keyspace.as_str(), table.table.as_str()));
                async move { tokio::time::timeout(ESTIMATE_TIMEOUT, rows).await.ok()?.ok()?.into_rows_result().ok() }
            })
            .collect();
        let mut sum = SizeEstimate::default();
        for result in asked.filter_map(std::future::ready).collect::<Vec<_>>().await {
            for (partitions, mean) in result.rows::<(i64, i64)>().ok()?.flatten() {
                let (partitions, mean) = (u64::try_from(partitions).unwrap_or(0), u64::try_from(mean).unwrap_or(0));
                sum.partitions += partitions;
                sum.bytes += partitions.saturating_mul(mean);
            }
        }
        (sum.partitions > 0).then_some(sum)
    }
}
