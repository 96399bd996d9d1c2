//! A table whose two sides are compared.

use super::compare::Rules;
use super::pass::Pass;
use super::report::Report;
use crate::checkpoint::CheckpointError;
use crate::copy::Answers;
use crate::engine::range::PassEnd;
use crate::engine::seam::{Source, Target};
use crate::engine::{Begun, Learned, Shared, Task};
use crate::job::{RangeKey, Verdict};
use crate::rejects::Rejects;
use crate::row::{BatchLimits, Layout, Policy, RowKey};
use crate::schema::order::{RowOrder, ValueOrder};
use crate::side::{Nodes, Side};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How the servers tell the elements of sets and maps apart: [`Pair::key_orders`].
pub type KeyOrders = BTreeMap<usize, Option<ValueOrder>>;

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
    /// The order of the keys of sets and maps, by their value's index; none where it isn't known.
    pub key_orders: KeyOrders,
    /// What isn't a difference.
    pub rules: Rules,
    /// Whether a copy or a repair has inferred row markers of it, as far as that is known: then a row of the target that shows nothing but its
    /// key may be one whose cells are gone, and is harmless. Otherwise it is one that the source doesn't have.
    /// It is as of the beginning of a pass.
    pub infers_markers: AtomicBool,
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
    /// What the target has answered.
    pub answers: Answers,
    /// Rows, and partitions for their statics, of which a write has ended in this run as nobody knows: it may yet take effect, and
    /// their range is compared again.
    pub doubtful: Mutex<HashSet<RowKey>>,
}

/// How a verification goes about rows that differ.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// When they are looked at again for the first time; then after twice as long, and so on.
    pub recheck_after: Duration,
    /// When this pass over them began, in microseconds since the Unix epoch. The verification may be as old as its first run.
    pub began_at: i64,
    /// Where it is told.
    pub report: Report,
}

/// A pair that is compared.
#[derive(Debug)]
pub(super) struct Comparing<S, T> {
    pub(super) pair: Arc<Pair<S, T>>,
    pub(super) conduct: Conduct,
    /// How often ranges were begun anew in this run, since rows of them were mended.
    anew: Mutex<HashMap<RangeKey, u32>>,
}

/// A range in which something is mended each time that it is compared is begun anew no more often than this: it will be in the next
/// run.
const ANEW_MAX: u32 = 3;

impl<S, T> Comparing<S, T> {
    pub(super) fn new(pair: Arc<Pair<S, T>>, conduct: Conduct) -> Self {
        Comparing { pair, conduct, anew: Mutex::default() }
    }

    /// Whether a range is to be compared once more, and counts that.
    pub(super) fn may_begin_anew(&self, key: RangeKey) -> bool {
        let mut anew = self.anew.lock().unwrap_or_else(PoisonError::into_inner);
        let times = anew.entry(key).or_default();
        *times += 1;
        *times <= ANEW_MAX
    }
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
