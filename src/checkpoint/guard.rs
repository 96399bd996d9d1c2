//! The seam between the committer and whoever knows whether the tables still are what they were: rows that arrived in a table
//! that was dropped and created again meanwhile, or that came without a column that is new, must not count.

use std::collections::BTreeSet;

/// Looks at tables before anything of them is committed.
pub trait Guard: Send + 'static {
    /// Looks at `tables`, by their number, and gives all of which no progress may be committed any more in this run: those that
    /// were changed and, where it `must_know`, those that nobody could look at, however long it waited.
    ///
    /// Whatever is about to be committed was acknowledged before this is called: what the look finds as it was held for all of
    /// it. A table that was named once is named for ever.
    fn look(&mut self, tables: &BTreeSet<usize>, must_know: bool) -> impl Future<Output = BTreeSet<usize>> + Send;
}

/// Finds everything as it was.
#[cfg(test)]
pub(crate) struct Trusting;

#[cfg(test)]
impl Guard for Trusting {
    async fn look(&mut self, _: &BTreeSet<usize>, _: bool) -> BTreeSet<usize> {
        BTreeSet::new()
    }
}
