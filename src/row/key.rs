//! The primary key of one row, as raw cells.

use super::token_of;
use crate::ring::Token;

/// A primary key: its cells as the wire has them, each with its length before it (native protocol v4, §6: `[bytes]`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    partition: Box<[u8]>,
    clustering: Box<[u8]>,
}

impl RowKey {
    /// From the cells of the partition key and of the clustering key, with their lengths.
    pub fn new(partition: &[u8], clustering: &[u8]) -> RowKey {
        RowKey { partition: partition.into(), clustering: clustering.into() }
    }

    /// The bytes of [`RowKey::new`].
    pub fn bytes(&self) -> (&[u8], &[u8]) {
        (&self.partition, &self.clustering)
    }

    /// The columns of the partition key.
    pub fn partition_key(&self) -> Vec<Vec<u8>> {
        cells(&self.partition).into_iter().map(Option::unwrap_or_default).collect()
    }

    /// The columns of the clustering key; `None` where the partition has only statics, or the table has no clustering key.
    pub fn clustering_key(&self) -> Option<Vec<Vec<u8>>> {
        cells(&self.clustering).into_iter().collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
    }

    /// Whether both are rows of one partition.
    pub fn is_beside(&self, other: &RowKey) -> bool {
        self.partition == other.partition
    }

    /// The order of two partitions of one token, at both databases: that of the bytes in which keys are stored.
    pub fn by_partition(&self, other: &RowKey) -> std::cmp::Ordering {
        let is_composite = cells(&self.partition).len() > 1;
        stored_order(&self.partition, &other.partition, is_composite)
    }

    /// The partition's token.
    pub fn token(&self) -> Token {
        token_of(self.partition_key().iter().map(Vec::as_slice))
    }
}

/// The order of two partitions of one token by the bytes in which both databases store their keys. `a`, `b`: the cells of the
/// partition key, with their lengths.
///
/// A key of several columns is stored as `[u16 length][bytes][0]` for each (`CompositeType`). Cells sort like that as they are: the
/// lengths are below 2^16, and the zeros stand at the same places as long as nothing differs. A single column is stored as it is.
pub fn stored_order(a: &[u8], b: &[u8], is_composite: bool) -> std::cmp::Ordering {
    let from = if is_composite { 0 } else { size_of::<i32>() };
    a.get(from..).cmp(&b.get(from..))
}

/// Takes `[bytes]` after `[bytes]` apart, as far as they are whole. A negative length is null.
fn cells(mut bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut cells = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let Some((cell, rest)) = rest.split_at_checked(length.unwrap_or(0)) else { break };
        cells.push(length.map(|_| cell.to_vec()));
        bytes = rest;
    }
    cells
}
