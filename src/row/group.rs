//! From rows to batches.
//!
//! Neighbouring mutations become one UNLOGGED batch: of the same partition always, of neighbouring partitions where the same
//! replicas own them. Batching is the largest lever on speed that there is: one request per row costs the client ten times
//! the CPU of batches.

use super::batch::Extent;
use super::layout::Part;
use super::mutation::{Misread, Scratch, mutation};
use super::statement::Policy;
use super::{Batch, Layout, Only, Page, Rows, token_of};
use crate::ring::{Token, TokenRange};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which mutations may share a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BatchMode {
    /// `replicas` where the target's replicas are known, `partition` where they are not.
    #[default]
    Auto,
    /// Mutations of one partition.
    Partition,
    /// Mutations of neighbouring partitions that the same replicas own.
    Replicas,
    /// A request per row.
    None,
}

/// How large a batch may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows in a batch.
    pub rows_max: usize,
    /// Bytes of a batch of several partitions: both servers warn about and refuse those by size.
    pub bytes_max: usize,
    /// Bytes of a batch of one partition: the servers set no limit but the mutation's; this one keeps latency even.
    pub partition_bytes_max: usize,
}

/// Turns the pages of one range, in order, into batches.
#[derive(Debug)]
pub struct Grouper {
    layout: Arc<Layout>,
    limits: BatchLimits,
    mode: BatchMode,
    policy: Policy,
    range: TokenRange,
    /// What of a row is written, where it isn't all of it.
    only: Option<Only>,
    last_token: Option<Token>,
    /// The partition key of the last row, as it was on the wire: a partition may go on on the next page.
    last_partition: Vec<u8>,
    scratch: Scratch,
}

/// The source answered rows that it should not have: copying on could lose rows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GroupError {
    /// A partition outside the scanned range, or below one that came before it.
    #[error(
        "the source answered token {token} after {after} in a scan of {range}: rows would be lost, so this range stops"
    )]
    OutOfOrder {
        /// The token of the row.
        token: Token,
        /// The token that came before it, or the range's first.
        after: Token,
        /// The scanned range.
        range: TokenRange,
    },
    /// A page with another number of columns than asked for.
    #[error("the source answered {found} columns where {expected} were asked for: was the table altered?")]
    Columns {
        /// Columns of the page.
        found: usize,
        /// Columns of the SELECT.
        expected: usize,
    },
    /// A row without its key.
    #[error("the source answered a row whose key column {column} is null")]
    NullKey {
        /// Position in the primary key.
        column: usize,
    },
    /// A value that isn't what its type says, or that has such metadata.
    #[error("the source answered a value of column {column} (counted after the key) that can't be copied: {what}")]
    Value {
        /// Position among the values of the SELECT.
        column: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl Grouper {
    /// For the scan of `range`.
    pub fn new(layout: Arc<Layout>, limits: BatchLimits, mode: BatchMode, policy: Policy, range: TokenRange) -> Self {
        let (last_partition, scratch) = (Vec::new(), Scratch::default());
        Grouper { layout, limits, mode, policy, range, only: None, last_token: None, last_partition, scratch }
    }

    /// Of rows, this alone.
    #[must_use]
    pub fn only(self, only: Only) -> Self {
        Grouper { only: Some(only), ..self }
    }

    /// The batches of the next page, in token order. `read_at` is when the page was asked for, in seconds since the Unix
    /// epoch; `placement` numbers the replica sets of the target: mutations of different numbers never share a batch.
    ///
    /// # Errors
    /// Where the rows aren't what the scan asked for.
    pub fn group(
        &mut self,
        page: Page,
        read_at: i64,
        mut placement: impl FnMut(Token) -> u32,
    ) -> Result<Vec<Batch>, GroupError> {
        let layout = Arc::clone(&self.layout);
        if page.columns() != layout.columns() {
            return Err(GroupError::Columns { found: page.columns(), expected: layout.columns() });
        }
        let count = page.rows();
        let mut rows = Rows {
            page,
            layout: Arc::clone(&layout),
            statements: Vec::with_capacity(count),
            elements: Vec::new(),
            places: Vec::new(),
            read_at,
            policy: self.policy,
            only: self.only.clone(),
        };
        let mut cuts: Vec<Draft> = Vec::new();
        let mut open: Option<Draft> = None;
        let mut place = 0;
        for row in 0..count {
            let first_statement = rows.statements.len();
            let bytes = rows.page.span(row, 0, layout.keys() + layout.values.len()).len();
            let partition = rows.page.span(row, 0, layout.partition_key);
            // On a new page, the partition of the last row may go on; its batch has ended with its page.
            let (same_partition, is_first) = if row == 0 {
                (false, partition != self.last_partition)
            } else {
                let same = partition == rows.page.span(row - 1, 0, layout.partition_key);
                (same, !same)
            };
            let token =
                if same_partition { self.last_token.unwrap_or(Token::MIN) } else { self.next_token(&rows, row)? };
            if !same_partition && self.mode == BatchMode::Replicas {
                place = placement(token);
            }
            check_clustering(&rows, row)?;
            mutation(&mut rows, row, is_first, &mut self.scratch)
                .map_err(|Misread { value, what }| GroupError::Value { column: value, what })?;
            if self.only.is_some() && rows.statements.len() == first_statement {
                continue;
            }

            let joins = open.as_ref().is_some_and(|open| self.joins(open, same_partition, bytes, place));
            if !joins {
                cuts.extend(open.take());
            }
            let draft = open.get_or_insert_with(|| Draft::starting_at(row, first_statement, token, place));
            draft.add(row, rows.statements.len(), token, bytes, same_partition && joins);
        }
        self.scratch.trim();
        if let Some(last) = count.checked_sub(1) {
            self.last_partition.clear();
            self.last_partition.extend_from_slice(rows.page.span(last, 0, layout.partition_key));
        }
        cuts.extend(open);
        let rows = Arc::new(rows);
        Ok(cuts.into_iter().map(|draft| Batch::new(&rows, draft.extent)).collect())
    }

    /// The token of a partition that begins at `row`, checked against the scan's order.
    fn next_token(&mut self, rows: &Rows, row: usize) -> Result<Token, GroupError> {
        let key = (0..self.layout.partition_key).map(|column| rows.page.cell(row, column));
        if let Some(column) = key.clone().position(|cell| cell.is_none()) {
            return Err(GroupError::NullKey { column });
        }
        let token = token_of(key.map(Option::unwrap_or_default));
        let after = self.last_token.unwrap_or(self.range.first());
        if token < after || !self.range.contains(token) {
            return Err(GroupError::OutOfOrder { token, after, range: self.range });
        }
        self.last_token = Some(token);
        Ok(token)
    }

    fn joins(&self, open: &Draft, same_partition: bool, bytes: usize, place: u32) -> bool {
        let one_partition = same_partition && open.extent.partitions == 1;
        let bytes_max = if one_partition { self.limits.partition_bytes_max } else { self.limits.bytes_max };
        let allowed = match self.mode {
            BatchMode::None => false,
            BatchMode::Auto | BatchMode::Partition => same_partition,
            BatchMode::Replicas => same_partition || open.place == place,
        };
        let rows = open.extent.span.1 - open.extent.span.0;
        allowed && rows < self.limits.rows_max && open.extent.bytes + bytes <= bytes_max
    }
}

/// A clustering key is there, or it isn't: then the partition has only statics, and this row is how it shows them.
fn check_clustering(rows: &Rows, row: usize) -> Result<(), GroupError> {
    let layout = &rows.layout;
    let columns = layout.partition_key..layout.keys();
    let Some(column) = columns.clone().find(|&column| rows.page.cell(row, column).is_none()) else { return Ok(()) };
    let regular = layout.values.iter().take_while(|value| value.part == Part::Regular).count();
    let nothing_else =
        columns.chain(layout.keys()..layout.keys() + regular).all(|column| rows.page.cell(row, column).is_none());
    let has_statics = regular < layout.values.len();
    if nothing_else && has_statics { Ok(()) } else { Err(GroupError::NullKey { column }) }
}

/// A batch that still grows.
#[derive(Debug)]
struct Draft {
    extent: Extent,
    place: u32,
}

impl Draft {
    fn starting_at(row: usize, statement: usize, token: Token, place: u32) -> Draft {
        let extent = Extent {
            statements: (statement, statement),
            span: (row, row),
            first_token: token,
            last_token: token,
            partitions: 0,
            bytes: 0,
            statics: false,
        };
        Draft { extent, place }
    }

    fn add(&mut self, row: usize, statements_end: usize, token: Token, bytes: usize, same_partition: bool) {
        let extent = &mut self.extent;
        if token != extent.last_token {
            extent.last_token = token;
        }
        extent.partitions += usize::from(!same_partition);
        extent.statements.1 = statements_end;
        extent.span.1 = row + 1;
        extent.bytes += bytes;
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
