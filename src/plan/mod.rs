//! What a copy will do, as data: the ranges of each table, their order, and what is told to the operator beforehand.

mod estimate;

pub use estimate::Estimate;

use crate::checkpoint::status::{self, AlteredOption};
use crate::cluster::Cluster;
use crate::job::JobTable;
use crate::preflight::{AT_ONCE, Candidate, Looked, Ready, Sides};
use crate::ring::{TokenRange, tile};
use crate::schema::TableName;
use crate::schema::fidelity::Fidelity;
use crate::settings::Settings;
use crate::settings::live::Live;
use crate::table_options;
use futures::StreamExt;
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
    /// What is left out, and why: a sentence each.
    pub notes: Vec<String>,
    /// The checkpoint file.
    pub checkpoint: PathBuf,
    /// The share of the job that is done in it, 0 to 1; none where there is no such file yet.
    pub checkpoint_fraction: Option<f64>,
    /// Ranges that are scanned at the same time. This and the following: what holds now, by the command line and what is set.
    pub readers: usize,
    /// Write requests under way at the same time.
    pub writers: usize,
    /// Rows in a second, as it may be typed; `off` is no limit.
    pub rows_per_second: String,
    /// Bytes in a second, likewise.
    pub bytes_per_second: String,
    /// What a page may take, likewise.
    pub source_latency: String,
    /// What a write may take, likewise.
    pub target_latency: String,
    /// What was set for the job, which comes before the command line.
    #[serde(flatten)]
    pub live: Live,
    /// Bytes of pages in memory, and of requests under way.
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
    /// What is kept of each column, or why it can't be copied; nothing where that isn't known, as of a table that is missing.
    pub columns: Vec<Fidelity>,
    /// Options of the target's table that are altered until it is done.
    pub alters: Vec<AlteredOption>,
    /// Why it can't be copied, if it can't. Untrusted text.
    pub broken: Option<String>,
}

impl Plan {
    /// Whether some of the tables can't be copied.
    pub fn is_incomplete(&self) -> bool {
        self.tables.iter().any(|table| table.broken.is_some())
    }
}

/// What a copy of these tables will do.
pub async fn plan(settings: &Settings, sides: &Sides, looked: &Looked) -> Plan {
    let Sides { source, target } = sides;
    let tables = looked.tables.iter().map(|candidate| of_table(settings, sides, candidate));
    let found = status::read(&settings.checkpoint).ok();
    let live = found.as_ref().map(|status| status.live.clone()).unwrap_or_default();
    let pace = settings.pace.clone().with(&live);
    Plan {
        source: of_cluster(source),
        target: of_cluster(target),
        tables: futures::stream::iter(tables).buffered(AT_ONCE).collect().await,
        notes: looked.notes.clone(),
        checkpoint: settings.checkpoint.clone(),
        checkpoint_fraction: found.map(|status| status.fraction),
        readers: pace.readers,
        writers: pace.writers,
        rows_per_second: pace.limits.rows_per_second.to_string(),
        bytes_per_second: pace.limits.bytes_per_second.to_string(),
        source_latency: pace.limits.source_latency.to_string(),
        target_latency: pace.limits.target_latency.to_string(),
        live,
        memory: pace.memory,
        source_consistency: settings.source.consistency.to_string(),
        target_consistency: settings.target.consistency.to_string(),
    }
}

async fn of_table(settings: &Settings, sides: &Sides, candidate: &Candidate) -> TablePlan {
    let mut planned = TablePlan {
        source: candidate.table.source.clone(),
        target: candidate.table.target.clone(),
        estimate: Estimate::default(),
        ranges: 0,
        columns: candidate.fidelity().to_vec(),
        alters: Vec::new(),
        broken: candidate.table.broken.clone(),
    };
    if let Ok(ready) = &candidate.verdict {
        if settings.manage_table_options {
            planned.alters.extend(table_options::intended(&sides.target, &planned.target).await);
        }
        let (estimate, ranges) = cut(settings, &sides.source, ready.as_ref()).await;
        (planned.estimate, planned.ranges) = (estimate, ranges.len());
    }
    planned
}

/// Cuts the ring for a table: its ranges in the order in which they are to be claimed, and the size that they follow from.
async fn cut(settings: &Settings, source: &Cluster, table: &impl Ready) -> (Estimate, Vec<TokenRange>) {
    let estimate = estimate::estimate(source, table).await;
    let ranges_min = settings.ranges.unwrap_or_else(|| ranges_for(estimate));
    let cut = tile(&source.info.tokens, ranges_min);
    (estimate, spread(cut, |range| source.owner(&table.source().name, range.last())))
}

/// The ranges of each of these tables that the job takes in only now; none of the others, that are in `known` with theirs or
/// can't be copied.
pub async fn admit<R: Ready>(
    settings: &Settings,
    source: &Cluster,
    tables: &[Candidate<R>],
    known: &[JobTable],
) -> Vec<Vec<TokenRange>> {
    let cuts = tables.iter().enumerate().map(|(number, candidate)| async move {
        let has_ranges = known.get(number).is_some_and(|table| table.admitted.is_some());
        match &candidate.verdict {
            Ok(ready) if !has_ranges => cut(settings, source, ready.as_ref()).await.1,
            _ => Vec::new(),
        }
    });
    futures::stream::iter(cuts).buffered(AT_ONCE).collect().await
}

/// What makes this job this job: [`crate::job::Job::identity`].
pub fn identity(settings: &Settings, sides: &Sides) -> Vec<(&'static str, String)> {
    of_sides(sides).chain(settings.identity()).collect()
}

/// The same, but for the choice of tables and rows: what decides how a row is written.
pub fn row_identity(settings: &Settings, sides: &Sides) -> Vec<(&'static str, String)> {
    of_sides(sides).chain(settings.row_identity()).collect()
}

fn of_sides(sides: &Sides) -> impl Iterator<Item = (&'static str, String)> {
    [("source", sides.source.info.name.clone()), ("target", sides.target.info.name.clone())].into_iter()
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
