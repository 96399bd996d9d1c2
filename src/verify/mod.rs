//! Whether both sides hold the same: rows of the source beside rows of the target.
//!
//! [`compare`] tells two rows apart by their raw bytes, [`difference`] has the words for what it finds, [`line`] is how a
//! difference stands in the file of differences.

mod cell;
pub mod compare;
pub mod difference;
mod elements;
pub mod line;
mod look;
mod mend;
mod merge;
mod pass;
mod recheck;
pub mod report;
mod stream;
mod task;
