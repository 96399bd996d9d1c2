//! Rows between the two clusters: raw cells in, mutations out.
//!
//! [`page`] finds the cells of a page, [`element`] those of a collection; `mutation` turns a row into [`statement`]s, [`group`]
//! rows into a [`batch`], and [`bind`] writes statements into a request. Nothing here knows a session, a checkpoint or a retry.

pub mod batch;
pub mod bind;
pub mod element;
pub mod group;
pub mod key;
pub mod layout;
pub mod list_align;
pub mod list_key;
mod mutation;
mod only;
pub mod page;
pub mod removal;
pub mod slice;
pub mod statement;

pub use batch::{Batch, Settled};
pub use group::{BatchLimits, BatchMode, Grouper};
pub use key::RowKey;
pub use layout::Layout;
pub use only::Only;
pub use page::Page;
pub use removal::{Removal, RemovedPart};
pub use statement::{Form, Policy, RowMarker, Rows};

use crate::ring::Token;
use scylla::routing::partitioner::{Murmur3Partitioner, Partitioner, PartitionerHasher};

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
