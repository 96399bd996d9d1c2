//! A table whose two sides are compared.

use super::compare::Rules;
use super::pass::Pass;
use super::report::Report;
use crate::checkpoint::CheckpointError;
use crate::engine::range::PassEnd;
use crate::engine::seam::{Source, Target};
use crate::engine::{Begun, Learned, Shared, Task};
use crate::job::Verdict;
use crate::rejects::Rejects;
use crate::row::{BatchLimits, Layout, Policy};
use crate::schema::order::RowOrder;
use crate::side::{Nodes, Side};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// One table at both sides.
#[derive(Debug)]
pub struct Pair<S, T> {
    /// Where the source's rows are read.
    pub source: S,
    /// Where the target's rows are read.
    pub target: S,
    /// What stands where in a row of the source.
    pub source_layout: Arc<Layout>,
    /// What stands where in a row of the target: the same, but for writetimes that a side can't tell.
    pub target_layout: Arc<Layout>,
    /// The order of rows.
    pub order: RowOrder,
    /// What isn't a difference.
    pub rules: Rules,
    /// What is done about differences, if anything is.
    pub mending: Option<Mending<T>>,
}

/// What is done about differences.
#[derive(Debug)]
pub struct Mending<T> {
    /// Where rows are written.
    pub writer: T,
    /// How large a batch may be.
    pub limits: BatchLimits,
    /// What is decided for rows of which not everything can be read.
    pub policy: Policy,
    /// Where rows go that the target will never take.
    pub rejects: Rejects,
    /// Whether rows that are missing or older at the target are written.
    pub repairs: bool,
    /// Whether rows that the target has alone are deleted.
    pub deletes: bool,
    /// Requests that the target has acknowledged.
    pub acknowledged: AtomicU64,
}

/// When a row that differs is looked at again.
#[derive(Clone, Copy, Debug)]
pub struct Rechecks {
    /// For the first time; then after twice as long, and so on.
    pub after: Duration,
    /// When the verification began, in microseconds since the Unix epoch.
    pub started_at: i64,
}

/// A pair that is compared.
#[derive(Debug)]
pub(super) struct Comparing<S, T> {
    pub(super) pair: Arc<Pair<S, T>>,
    pub(super) rechecks: Rechecks,
    pub(super) report: Report,
}

impl<S: Source, T: Target> Task for Comparing<S, T> {
    type Counts = Verdict;
    type Source = S;

    const SIDES: &'static [Side] = &[Side::Source, Side::Target];
    /// Of each side one that is compared, and the next one.
    const PAGES: usize = 4;

    fn table(&self, side: Side) -> &S {
        match side {
            Side::Source => &self.pair.source,
            Side::Target => &self.pair.target,
        }
    }

    fn layout(&self, side: Side) -> &Arc<Layout> {
        match side {
            Side::Source => &self.pair.source_layout,
            Side::Target => &self.pair.target_layout,
        }
    }

    fn nodes(&self, side: Side) -> Option<Nodes> {
        self.table(side).nodes()
    }

    async fn pass(shared: &Shared<Self>, learned: &Learned<Self>, begun: Begun) -> Result<PassEnd, CheckpointError> {
        Pass::new(shared, learned, begun).run().await
    }
}
