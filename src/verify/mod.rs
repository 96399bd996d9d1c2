//! Whether both sides hold the same: rows of the source beside rows of the target.
//!
//! ```text
//! scan ─► stream (source) ─┐
//!                          ├─► merge ─► suspects ─► recheck ─► mend ─► report ─► ack ─► commit
//! scan ─► stream (target) ─┘
//! ```
//!
//! [`compare`] tells two rows apart by their raw bytes, [`difference`] has the words for what it finds, [`mod@line`] is how a
//! difference stands in the file of differences. Ranges, pages, splits, pace and patience are the [`crate::engine`]'s.

mod cell;
pub mod compare;
pub mod difference;
mod elements;
pub mod ended;
mod glance;
pub mod line;
mod look;
#[cfg(test)]
mod memory_tests;
mod mend;
mod merge;
#[cfg(test)]
mod model_tests;
mod pass;
mod recheck;
mod removal;
pub mod report;
mod stream;
mod task;
#[cfg(test)]
mod withheld_tests;

pub use task::{Conduct, KeyOrders, Mending, Pair};

use crate::checkpoint::Ledger;
use crate::engine::pace::Steering;
use crate::engine::seam::{Source, Target};
use crate::engine::{self, Ended};
use crate::event::Events;
use crate::job::{Verdict, Work};
use crate::shutdown::Stop;
use std::collections::BTreeMap;
use std::sync::Arc;
use task::Comparing;

/// Compares `work`, range by range in its order, and reports it to `ledger`. There is a pair for each
/// table that has work, by the table's number. How it ends is told in [`engine::run`].
pub async fn run<S: Source, T: Target>(
    pairs: &BTreeMap<usize, Arc<Pair<S, T>>>,
    work: Vec<Work>,
    conduct: &Conduct,
    steering: impl Into<Steering>,
    ledger: Ledger<Verdict>,
    events: Events,
    stop: Stop,
) -> Ended {
    let task = |(&number, pair)| (number, Comparing::new(Arc::clone(pair), conduct.clone()));
    engine::run(pairs.iter().map(task).collect(), work, steering, ledger, events, stop).await
}
