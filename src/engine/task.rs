//! What is done with the ranges of a table. The engine knows how ranges are claimed, read, split and given up; a task
//! knows what becomes of their rows.

use super::range::PassEnd;
use super::scans::Scans;
use super::seam::Source;
use super::{Learned, Shared};
use crate::checkpoint::CheckpointError;
use crate::job::{Counts, Cursor, RangeKey};
use crate::ring::TokenRange;
use crate::row::Layout;
use crate::side::{Nodes, Side};
use std::sync::Arc;

/// One table, and what is done with it.
pub trait Task: Send + Sync + Sized + 'static {
    /// What is counted of a range.
    type Counts: Counts;
    /// Where rows are read.
    type Source: Source;

    /// The sides that are read.
    const SIDES: &'static [Side];
    /// The pages that a reader holds at the same time, at most.
    const PAGES: usize;

    /// The table at one of [`Task::SIDES`].
    fn table(&self, side: Side) -> &Self::Source;

    /// What stands where in a row of the table at one of [`Task::SIDES`].
    fn layout(&self, side: Side) -> &Arc<Layout>;

    /// The nodes of a side, as of now; `None` where there are none.
    fn nodes(&self, side: Side) -> Option<Nodes>;

    /// One pass over what is left of a range.
    ///
    /// # Errors
    /// Where the committer is gone.
    fn pass(
        shared: &Shared<Self>,
        learned: &Learned<Self>,
        begun: Begun,
    ) -> impl Future<Output = Result<PassEnd, CheckpointError>> + Send;
}

/// A pass that begins.
#[derive(Debug)]
pub struct Begun {
    /// Which range.
    pub key: RangeKey,
    /// What is left of it.
    pub rest: TokenRange,
    /// Up to where it is done.
    pub cursor: Cursor,
    /// How the rest is to be read.
    pub(crate) scans: Scans,
    /// Whether rows of it could not be read before.
    pub is_suspect: bool,
}
