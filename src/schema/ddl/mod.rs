//! The statements that create a schema at the target, from what `system_schema` says at the source.
//!
//! ```text
//! read ─► merge ─► Catalog (source) ─► translate (for ScyllaDB) ─► render ─► Script ─► printed, or applied
//!                  Catalog (target) ──────────────────────────────► compare ──┘
//! ```
//!
//! For Cassandra nothing is translated: the statements make the same tables again. For ScyllaDB whatever it would refuse is
//! changed or left out, and a note says so; `translate` and the modules below it say where ScyllaDB's sources say so.

mod apply;
mod compaction;
mod compare;
mod compression;
mod indexes;
mod masks;
mod merge;
mod model;
mod read;
mod render;
mod replication;
mod script;
#[cfg(test)]
mod tests;
mod translate;

pub use apply::{Applied, ApplyError, Outcome, apply};
pub use merge::MergeError;
pub use model::{Catalog, Keyspace};
pub use read::{CatalogError, Wanted, read_catalog};
pub(crate) use render::map_literal;
pub use replication::Replication;
pub use script::{Found, Kind, Object, Script, script};

use crate::cluster::Product;

/// Which database the statements are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// What ScyllaDB refuses is changed or left out
    Scylla,
    /// Nothing is changed
    Cassandra,
}

/// When a statement is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Section {
    /// Keyspaces, types, tables: before the copy
    Before,
    /// Indexes, materialized views: after the copy, which they would slow down
    After,
}

impl From<Product> for Dialect {
    fn from(product: Product) -> Dialect {
        match product {
            Product::Cassandra => Dialect::Cassandra,
            Product::Scylla => Dialect::Scylla,
        }
    }
}

impl Dialect {
    /// The product's name.
    pub fn product(self) -> Product {
        match self {
            Dialect::Cassandra => Product::Cassandra,
            Dialect::Scylla => Product::Scylla,
        }
    }
}
