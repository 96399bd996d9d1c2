//! Which tokens live on the same replicas.

use crate::engine::seam::Placement;
use crate::ring::Token;
use scylla::cluster::ClusterState;
use scylla::routing::{Sharder, Token as DriverToken};
use std::collections::HashMap;
use uuid::Uuid;

/// The replica sets of one table, as of one state of the ring.
#[derive(Debug)]
pub(super) struct ReplicaSets {
    /// The last token of each vnode, ascending; the highest token belongs to the first one's owners again.
    ends: Vec<i64>,
    /// The number of each vnode's replica set; one more than `ends`, for what lies behind the last.
    sets: Vec<u32>,
    /// Splits a vnode's tokens over the shards of a ScyllaDB node.
    sharder: Option<Sharder>,
}

impl ReplicaSets {
    /// Reads them from the driver's view of the ring; `None` where that knows no replicas of the table.
    pub(super) fn read(state: &ClusterState, keyspace: &str, table: &str) -> Option<ReplicaSets> {
        let mut numbers: HashMap<Vec<Uuid>, u32> = HashMap::new();
        let mut sharder = None;
        let mut number = |token: i64| {
            let replicas = state.get_token_endpoints(keyspace, table, DriverToken::new(token));
            sharder = sharder.take().or_else(|| replicas.first().and_then(|(node, _)| node.sharder()));
            let mut ids: Vec<Uuid> = replicas.iter().map(|(node, _)| node.host_id).collect();
            if ids.is_empty() {
                return None;
            }
            ids.sort_unstable();
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            Some(*numbers.entry(ids).or_insert(next))
        };
        let mut ends: Vec<i64> = state.replica_locator().ring().iter().map(|(token, _)| token.value()).collect();
        ends.sort_unstable();
        ends.dedup();
        let sets = ends.iter().copied().chain([i64::MAX]).map(&mut number).collect::<Option<Vec<u32>>>()?;
        Some(ReplicaSets { ends, sets, sharder })
    }
}

impl Placement for ReplicaSets {
    fn place(&self, token: Token) -> u32 {
        let set = self.sets[self.ends.partition_point(|&end| end < token.0)];
        match &self.sharder {
            None => set,
            // Nodes have some hundred shards at most.
            Some(sharder) => (set << 12) | sharder.shard_of(DriverToken::new(token.0)),
        }
    }
}
