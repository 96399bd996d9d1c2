//! The order in which both servers answer the rows of a scan by token, so that two ordered streams can be merged. It works on the
//! bytes of the wire: nothing is decoded or copied.
//!
//! Partitions come by token; those of one token by the bytes of their stored key, unsigned (Cassandra's `DecoratedKey.compareTo`,
//! ScyllaDB's `partition_key::legacy_tri_compare`). Rows of a partition come by their clustering columns, each in the order of
//! its type ([`value`]); null, which only static rows and rows of compact tables have there, comes before everything, in
//! descending columns, too (`ClusteringComparator.compareComponent`).
//!
//! Where bytes aren't what they should be, the order is still one, if not the servers'.

mod decimal;
#[cfg(test)]
mod tests;
pub mod value;

pub use value::ValueOrder;

use super::{Column, Descending, Table};
use crate::escape::safe;
use crate::row::key::stored_order;
use std::cmp::Ordering;
use value::{Cells, nulls_first};

/// The order of a table's rows.
#[derive(Clone, Debug)]
pub struct RowOrder {
    /// Whether the partition key has several columns.
    is_composite: bool,
    clustering: Vec<(ValueOrder, Descending)>,
}

/// A clustering column's type has an order that isn't known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the order of the rows isn't known: the clustering column {} has the type {}", safe(column), safe(cql_type))]
pub struct Unordered {
    /// The column.
    pub column: String,
    /// Its type.
    pub cql_type: String,
}

impl Unordered {
    /// What can be done about it.
    pub fn hint(&self) -> String {
        "rows of this table can be copied, but not verified: leave it out with --exclude".to_owned()
    }
}

impl RowOrder {
    /// The order of the table's rows.
    ///
    /// # Errors
    /// Where the type of a clustering column has no order that is known, as classes that only Java knows.
    pub fn of(table: &Table) -> Result<RowOrder, Unordered> {
        let order = |column: &Column| {
            let unordered = || Unordered { column: column.name.clone(), cql_type: column.cql_type.to_string() };
            ValueOrder::of(&column.cql_type).ok_or_else(unordered)
        };
        let clustering = table.clustering_key().map(|(column, descending)| Ok((order(column)?, descending)));
        Ok(RowOrder {
            is_composite: table.partition_key().count() > 1,
            clustering: clustering.collect::<Result<_, _>>()?,
        })
    }

    /// The order of partitions of one token. `a` and `b` are the cells of the partition key, with their lengths.
    pub fn partitions(&self, a: &[u8], b: &[u8]) -> Ordering {
        stored_order(a, b, self.is_composite)
    }

    /// The order of rows of one partition. `a` and `b` are the cells of the clustering key, with their lengths.
    pub fn rows(&self, a: &[u8], b: &[u8]) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        let (mut a, mut b) = (Cells::of(a), Cells::of(b));
        for (order, Descending(descending)) in &self.clustering {
            let found = match (a.next().flatten(), b.next().flatten()) {
                (Some(a), Some(b)) if *descending => order.compare(b, a),
                (a, b) => nulls_first(order, a, b),
            };
            if found.is_ne() {
                return found;
            }
        }
        Ordering::Equal
    }
}
