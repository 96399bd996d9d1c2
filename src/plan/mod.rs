//! What a copy will do, as data: the ranges of each table, their order, and what is told to the operator beforehand.

mod estimate;

pub use estimate::Estimate;

use crate::checkpoint::status;
use crate::cluster::Cluster;
use crate::job::{Job, JobTable};
use crate::preflight::Ready;
use crate::ring::{TokenRange, tile};
use crate::schema::TableName;
use crate::schema::fidelity::Fidelity;
use crate::settings::Settings;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use uuid::Uuid;

/// A range should hold about this much: small enough to spread, to retry and to show progress; large enough that what is
/// kept of each is nothing beside it.
const RANGE_BYTES: u64 = 32 << 20;
/// Fewer ranges can't be spread over readers and replicas.
const RANGES_MIN: u64 = 64;
/// More ranges only cost time: at this number, opening the checkpoint takes a second or two.
const RANGES_MAX: u64 = 1_000_000;

/// What a copy will do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The cluster to read.
    pub source: ClusterPlan,
    /// The cluster to write.
    pub target: ClusterPlan,
    /// Each table.
    pub tables: Vec<TablePlan>,
    /// The checkpoint file.
    pub checkpoint: PathBuf,
    /// The share of the ring that is done in it, 0 to 1; none where there is no such file yet.
    pub checkpoint_fraction: Option<f64>,
    /// Ranges that are scanned at the same time.
    pub readers: usize,
    /// Write requests under way at the same time.
    pub writers: usize,
    /// Bytes of pages in memory.
    pub memory: u64,
    /// Of reads.
    pub source_consistency: String,
    /// Of writes.
    pub target_consistency: String,
}

/// What is told of a cluster.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterPlan {
    /// Its name.
    pub name: String,
    /// Product and version.
    pub product: String,
    /// The datacenter that is used.
    pub datacenter: String,
    /// Its nodes, in all datacenters.
    pub nodes: usize,
}

/// What is told of a table.
#[derive(Clone, Debug, Serialize)]
pub struct TablePlan {
    /// At the source.
    pub source: TableName,
    /// At the target.
    pub target: TableName,
    /// Guesses at its size.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Into how many ranges the ring is cut.
    pub ranges: usize,
    /// What is kept of each column.
    pub columns: Vec<Fidelity>,
}

/// The plan, and the ranges that it speaks of: for each table, in the order in which they are to be claimed.
pub async fn plan(settings: &Settings, ready: &Ready) -> (Plan, Vec<Vec<TokenRange>>) {
    let mut tables = Vec::new();
    let mut ranges = Vec::new();
    for table in &ready.tables {
        let estimate = estimate::estimate(&ready.source, table).await;
        let ranges_min = settings.ranges.unwrap_or_else(|| ranges_for(estimate));
        let cut = tile(&ready.source.info.tokens, ranges_min);
        let in_order = spread(cut, |range| ready.source.owner(&table.source.name, range.last()));
        tables.push(TablePlan {
            source: table.source.name.clone(),
            target: table.target.name.clone(),
            estimate,
            ranges: in_order.len(),
            columns: table.fidelity.clone(),
        });
        ranges.push(in_order);
    }
    let plan = Plan {
        source: of_cluster(&ready.source),
        target: of_cluster(&ready.target),
        tables,
        checkpoint: settings.checkpoint.clone(),
        checkpoint_fraction: status::read(&settings.checkpoint).ok().map(|status| status.fraction),
        readers: settings.pace.readers,
        writers: settings.pace.writers,
        memory: settings.pace.memory,
        source_consistency: settings.source.consistency.to_string(),
        target_consistency: settings.target.consistency.to_string(),
    };
    (plan, ranges)
}

/// What makes this job this job.
pub fn job(settings: &Settings, ready: &Ready) -> Job {
    let mut identity = vec![("source", ready.source.info.name.clone()), ("target", ready.target.info.name.clone())];
    identity.extend(settings.identity());
    let table = |table: &crate::preflight::ReadyTable| JobTable {
        source: table.source.name.clone(),
        source_id: table.source.id,
        target: table.target.name.clone(),
        target_id: table.target.id,
        columns: table.source.description(),
    };
    Job { identity, tables: ready.tables.iter().map(table).collect() }
}

fn of_cluster(cluster: &Cluster) -> ClusterPlan {
    let info = &cluster.info;
    ClusterPlan {
        name: info.name.clone(),
        product: format!("{} {}", info.product.name(), info.version),
        datacenter: info.datacenter.clone(),
        nodes: info.host_ids.len(),
    }
}

fn ranges_for(estimate: Estimate) -> usize {
    let ranges = estimate.bytes.unwrap_or(0).div_ceil(RANGE_BYTES).clamp(RANGES_MIN, RANGES_MAX);
    usize::try_from(ranges).unwrap_or(usize::MAX)
}

/// Deals the ranges out owner by owner, so that readers at neighbouring places of the list read from different nodes.
fn spread(ranges: Vec<TokenRange>, owner: impl Fn(TokenRange) -> Option<Uuid>) -> Vec<TokenRange> {
    let count = ranges.len();
    let mut by_owner: BTreeMap<Option<Uuid>, VecDeque<TokenRange>> = BTreeMap::new();
    for range in ranges {
        by_owner.entry(owner(range)).or_default().push_back(range);
    }
    let mut dealt = Vec::with_capacity(count);
    while dealt.len() < count {
        dealt.extend(by_owner.values_mut().filter_map(VecDeque::pop_front));
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Token;

    #[test]
    fn neighbours_in_the_order_belong_to_different_owners() {
        let owner = |range: TokenRange| Some(Uuid::from_u128(if range.last() < Token(0) { 1 } else { 2 }));
        let dealt = spread(tile(&[], 64), owner);
        assert_eq!(dealt.len(), 64);
        assert!(dealt.windows(2).all(|pair| owner(pair[0]) != owner(pair[1])));
        let mut sorted = dealt.clone();
        sorted.sort_by_key(|range| range.first());
        assert_eq!(sorted, tile(&[], 64), "every range is there once");
    }

    #[test]
    fn ranges_follow_the_size() {
        let of = |bytes| ranges_for(Estimate { bytes, ..Estimate::default() });
        assert_eq!(of(None), 64);
        assert_eq!(of(Some(100 << 30)), 3200);
        assert_eq!(of(Some(u64::MAX)), 1_000_000);
    }
}
