//! Rows between the two clusters: raw cells in, mutations out.
//!
//! [`page`] finds the cells of a page, [`group`] turns rows into statements and statements into batches, [`bind`] writes
//! them into a request. Nothing here knows a session, a checkpoint or a retry.

pub mod bind;
pub mod group;
pub mod page;

pub use group::{Batch, BatchLimits, BatchMode, Grouper};
pub use page::Page;

use crate::ring::Token;
use scylla::routing::partitioner::{Murmur3Partitioner, Partitioner, PartitionerHasher};

/// What stands where in a row of the SELECT that reads a table:
/// partition key, clustering key, values, the writetime of each value, the TTL of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Columns of the partition key.
    pub partition_key: usize,
    /// Columns of the clustering key.
    pub clustering_key: usize,
    /// Columns that are neither.
    pub values: usize,
}

impl Layout {
    /// Columns of the primary key.
    pub fn keys(self) -> usize {
        self.partition_key + self.clustering_key
    }

    /// Columns of the whole SELECT.
    pub fn columns(self) -> usize {
        self.keys() + 3 * self.values
    }

    /// Where the writetime of the `value`-th value stands.
    fn writetime(self, value: usize) -> usize {
        self.keys() + self.values + value
    }

    /// Where the TTL of the `value`-th value stands.
    fn ttl(self, value: usize) -> usize {
        self.keys() + 2 * self.values + value
    }
}

/// One INSERT or UPDATE: the cells of a row that share a writetime and a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The row's index in its page.
    pub row: u32,
    /// Whether the row marker is written too.
    pub kind: Kind,
    /// Which of the row's cells are written.
    pub cells: Cells,
    /// Microseconds since the Unix epoch by convention; the source's own number, whatever it means.
    pub writetime: i64,
    /// Seconds left when the page was read; 0 is "never expires".
    pub ttl: i32,
}

/// An INSERT writes the row marker, an UPDATE does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Cells and row marker.
    Insert,
    /// Cells alone.
    Update,
}

/// Which cells of its row a statement writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// Every cell that isn't null: they all share one writetime and TTL.
    All,
    /// Those with the statement's writetime and TTL.
    Matching,
    /// None: the row has nothing but its key.
    None,
}

/// A page with what is to be done with it.
#[derive(Debug)]
pub struct Rows {
    page: Page,
    layout: Layout,
    statements: Vec<Statement>,
    /// When the page was asked for, in seconds since the Unix epoch ([`crate::clock::Clock::seconds`]).
    read_at: i64,
    /// The writetime of what has none that could be read.
    unknown_timestamp: i64,
}

impl Rows {
    /// Seconds that a statement's cells have left at `now`: 0 is "for ever", `None` is "expired".
    ///
    /// The servers keep expiry in whole seconds of their own clock, so whole seconds are what is subtracted here.
    fn ttl_left(&self, statement: &Statement, now: i64) -> Option<i32> {
        if statement.ttl == 0 {
            return Some(0);
        }
        let left = self.read_at + i64::from(statement.ttl) - now;
        i32::try_from(left).ok().filter(|&left| left > 0)
    }

    fn writetime(&self, row: usize, value: usize) -> i64 {
        let cell = self.page.cell(row, self.layout.writetime(value)).and_then(|cell| cell.try_into().ok());
        cell.map_or(self.unknown_timestamp, i64::from_be_bytes)
    }

    fn ttl(&self, row: usize, value: usize) -> i32 {
        let cell = self.page.cell(row, self.layout.ttl(value)).and_then(|cell| cell.try_into().ok());
        cell.map_or(0, i32::from_be_bytes)
    }

    /// The cell of the `value`-th value column.
    fn value(&self, row: usize, value: usize) -> Option<&[u8]> {
        self.page.cell(row, self.layout.keys() + value)
    }

    /// The row's primary key, column by column, as hexadecimal: for messages about one row.
    pub fn key_hex(&self, row: usize) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for column in 0..self.layout.keys() {
            text.push_str(if column == 0 { "0x" } else { ", 0x" });
            for byte in self.page.cell(row, column).unwrap_or_default() {
                let _ = write!(text, "{byte:02x}");
            }
        }
        text
    }
}

/// The token of a partition key, from its raw cells. A key of several columns is hashed in the form in which Cassandra
/// stores it: each component as `[u16 length][bytes][0]` (`CompositeType`).
pub fn token_of<'a>(partition_key: impl ExactSizeIterator<Item = &'a [u8]>) -> Token {
    let mut hasher = Murmur3Partitioner.build_hasher();
    let composite = partition_key.len() > 1;
    for component in partition_key {
        if composite {
            // A component above 64 KiB can't be a key: the servers refuse it.
            let length = u16::try_from(component.len()).unwrap_or(u16::MAX);
            hasher.write(&length.to_be_bytes());
        }
        hasher.write(component);
        if composite {
            hasher.write(&[0]);
        }
    }
    Token(hasher.finish().value())
}
