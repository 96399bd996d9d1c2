//! From rows to mutations to batches.
//!
//! A row becomes one mutation: one statement for each (writetime, TTL) among its cells. Neighbouring mutations become one
//! UNLOGGED batch: of the same partition always, of neighbouring partitions where the same replicas own them. Batching is
//! the largest lever on speed that there is: one request per row costs the client ten times the CPU of batches.

use super::bind::Bound;
use super::{Cells, Kind, Layout, Page, Rows, Statement, token_of};
use crate::ring::{Token, TokenRange};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
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
    layout: Layout,
    limits: BatchLimits,
    mode: BatchMode,
    unknown_timestamp: i64,
    range: TokenRange,
    last_token: Option<Token>,
}

/// Mutations of one page that travel together: some neighbouring rows, and their statements.
#[derive(Debug)]
pub struct Batch {
    rows: Arc<Rows>,
    statements: (usize, usize),
    /// The rows of the page: from, to.
    span: (usize, usize),
    /// The first of the rows that carry [`Batch::last_token`].
    tail: usize,
    first_token: Token,
    last_token: Token,
    partitions: usize,
    bytes: usize,
}

/// How many rows of a batch had expired when it was sent, told apart by whether their partition may go on in the next
/// batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Rows of tokens below the batch's last one.
    pub head: u64,
    /// Rows of the batch's last token.
    pub tail: u64,
}

impl std::ops::AddAssign for Expired {
    fn add_assign(&mut self, other: Expired) {
        self.head += other.head;
        self.tail += other.tail;
    }
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
}

impl Grouper {
    /// For the scan of `range`. `unknown_timestamp` is the writetime of rows that have only a key.
    pub fn new(
        layout: Layout,
        limits: BatchLimits,
        mode: BatchMode,
        unknown_timestamp: i64,
        range: TokenRange,
    ) -> Self {
        Grouper { layout, limits, mode, unknown_timestamp, range, last_token: None }
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
        let layout = self.layout;
        if page.columns() != layout.columns() {
            return Err(GroupError::Columns { found: page.columns(), expected: layout.columns() });
        }
        let count = page.rows();
        let mut rows = Rows {
            page,
            layout,
            statements: Vec::with_capacity(count),
            read_at,
            unknown_timestamp: self.unknown_timestamp,
        };
        let mut cuts: Vec<Draft> = Vec::new();
        let mut scratch = Vec::new();
        let mut open: Option<Draft> = None;
        let mut place = 0;
        for row in 0..count {
            let first_statement = rows.statements.len();
            let bytes = rows.page.span(row, 0, layout.keys() + layout.values).len();
            let same_partition = row > 0
                && rows.page.span(row, 0, layout.partition_key) == rows.page.span(row - 1, 0, layout.partition_key);
            let token =
                if same_partition { self.last_token.unwrap_or(Token::MIN) } else { self.next_token(&rows, row)? };
            if !same_partition && self.mode == BatchMode::Replicas {
                place = placement(token);
            }
            for column in layout.partition_key..layout.keys() {
                if rows.page.cell(row, column).is_none() {
                    return Err(GroupError::NullKey { column });
                }
            }
            mutation(&mut rows, row, &mut scratch);

            let joins = open.as_ref().is_some_and(|open| self.joins(open, same_partition, bytes, place));
            if !joins {
                cuts.extend(open.take());
            }
            let draft = open.get_or_insert_with(|| Draft::starting_at(row, first_statement, token, place));
            draft.add(row, rows.statements.len(), token, bytes, same_partition && joins);
        }
        cuts.extend(open);
        let rows = Arc::new(rows);
        Ok(cuts.into_iter().map(|draft| draft.finish(&rows)).collect())
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
        let one_partition = same_partition && open.partitions == 1;
        let bytes_max = if one_partition { self.limits.partition_bytes_max } else { self.limits.bytes_max };
        let allowed = match self.mode {
            BatchMode::None => false,
            BatchMode::Auto | BatchMode::Partition => same_partition,
            BatchMode::Replicas => same_partition || open.place == place,
        };
        allowed && open.rows < self.limits.rows_max && open.bytes + bytes <= bytes_max
    }
}

/// A batch that still grows.
#[derive(Debug)]
struct Draft {
    statements: (usize, usize),
    span: (usize, usize),
    tail: usize,
    first_token: Token,
    last_token: Token,
    partitions: usize,
    rows: usize,
    bytes: usize,
    place: u32,
}

impl Draft {
    fn starting_at(row: usize, statement: usize, token: Token, place: u32) -> Draft {
        Draft {
            statements: (statement, statement),
            span: (row, row),
            tail: row,
            first_token: token,
            last_token: token,
            partitions: 0,
            rows: 0,
            bytes: 0,
            place,
        }
    }

    fn add(&mut self, row: usize, statements_end: usize, token: Token, bytes: usize, same_partition: bool) {
        if token != self.last_token {
            self.tail = row;
            self.last_token = token;
        }
        self.partitions += usize::from(!same_partition);
        self.statements.1 = statements_end;
        self.span.1 = row + 1;
        self.rows += 1;
        self.bytes += bytes;
    }

    fn finish(self, rows: &Arc<Rows>) -> Batch {
        Batch {
            rows: Arc::clone(rows),
            statements: self.statements,
            span: self.span,
            tail: self.tail,
            first_token: self.first_token,
            last_token: self.last_token,
            partitions: self.partitions,
            bytes: self.bytes,
        }
    }
}

/// Appends the statements of one row. `scratch` is only there to be allocated once.
///
/// The row marker can't be read (CASSANDRA-9312), so it is inferred: permanent and as old as the oldest permanent cell where
/// there is one, else as the oldest cell, else (no cell at all, so the marker is what keeps the row visible) permanent at the
/// unknown timestamp. Old, because the older it is the less it can hide of what an application wrote; with an edited row,
/// the oldest cell is what is left of its INSERT.
fn mutation(rows: &mut Rows, row: usize, scratch: &mut Vec<(i64, i32)>) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a page holds fewer rows than bytes, and fewer than 2^32 of those"
    )]
    let row_index = row as u32;
    scratch.clear();
    for value in 0..rows.layout.values {
        if rows.value(row, value).is_some() {
            let group = (rows.writetime(row, value), rows.ttl(row, value));
            if !scratch.contains(&group) {
                scratch.push(group);
            }
        }
    }
    let statement = |kind, cells, (writetime, ttl)| Statement { row: row_index, kind, cells, writetime, ttl };
    match scratch[..] {
        [] => rows.statements.push(statement(Kind::Insert, Cells::None, (rows.unknown_timestamp, 0))),
        [group] => rows.statements.push(statement(Kind::Insert, Cells::All, group)),
        _ => {
            let marker = scratch.iter().copied().min_by_key(|&(writetime, ttl)| (ttl != 0, writetime, Reverse(ttl)));
            rows.statements.extend(scratch.iter().map(|&group| {
                let kind = if Some(group) == marker { Kind::Insert } else { Kind::Update };
                statement(kind, Cells::Matching, group)
            }));
        }
    }
}

impl Batch {
    /// The statements whose cells are alive at `now` (seconds since the Unix epoch), ready to be sent.
    pub fn bind(&self, now: i64) -> Bound {
        Bound::new(&self.rows, self.statements.0, self.statements.1, now)
    }

    /// The rows that had nothing left to write at the time that `bound` was made.
    pub fn expired(&self, bound: &Bound) -> Expired {
        let mut expired = Expired::default();
        if bound.len() == self.statements.1 - self.statements.0 {
            return expired;
        }
        let mut alive = vec![false; self.row_count()];
        for index in 0..bound.len() {
            alive[bound.statement(index).row as usize - self.span.0] = true;
        }
        for (row, _) in (self.span.0..self.span.1).zip(alive).filter(|(_, alive)| !alive) {
            if row < self.tail {
                expired.head += 1;
            } else {
                expired.tail += 1;
            }
        }
        expired
    }

    /// The two halves of a batch of several rows; `None` where there is but one.
    pub fn split(&self) -> Option<[Batch; 2]> {
        if self.row_count() < 2 {
            return None;
        }
        let middle = self.span.0 + self.row_count() / 2;
        let statements = &self.rows.statements;
        let cut = (self.statements.0..self.statements.1)
            .find(|&index| statements[index].row as usize >= middle)
            .unwrap_or(self.statements.1);
        let part = |statements, span: (usize, usize)| Batch {
            rows: Arc::clone(&self.rows),
            statements,
            span,
            tail: self.tail.clamp(span.0, span.1),
            first_token: self.first_token,
            last_token: self.last_token,
            partitions: self.partitions,
            bytes: self.bytes / 2,
        };
        Some([
            part((self.statements.0, cut), (self.span.0, middle)),
            part((cut, self.statements.1), (middle, self.span.1)),
        ])
    }

    /// The token of the first row.
    pub fn first_token(&self) -> Token {
        self.first_token
    }

    /// The token of the last row. Its partition may go on in the next batch.
    pub fn last_token(&self) -> Token {
        self.last_token
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.span.1 - self.span.0
    }

    /// How many of the rows carry [`Batch::last_token`].
    pub fn tail_count(&self) -> usize {
        self.span.1 - self.tail
    }

    /// How many rows have nothing but a key: below [`Batch::last_token`], and of it.
    pub fn key_only(&self) -> (u64, u64) {
        let statements = &self.rows.statements[self.statements.0..self.statements.1];
        let mut count = (0, 0);
        for statement in statements.iter().filter(|statement| statement.cells == Cells::None) {
            if (statement.row as usize) < self.tail {
                count.0 += 1;
            } else {
                count.1 += 1;
            }
        }
        count
    }

    /// How many partitions the rows belong to.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key of the first row, for a message.
    pub fn first_key_hex(&self) -> String {
        self.rows.key_hex(self.span.0)
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
