//! Deletes of what the target has alone.

use crate::call::CallError;
use crate::cluster::source::RawCells;
use crate::cluster::{Cluster, call};
use crate::row::layout::Part;
use crate::row::{Removal, RemovedPart};
use crate::schema::{Table, statements};

/// Deletes what `removal` says. It is seldom done, so the statement is prepared each time; the driver and the server know those
/// that they have seen.
pub(super) async fn delete(cluster: &Cluster, table: &Table, removal: &Removal) -> Result<(), CallError> {
    let Removal { row, part, of, timestamp } = removal;
    let delete = cluster.prepare(statements::delete(table, *part, of)).await?;
    let elements = of.iter().filter_map(|part| match part {
        RemovedPart::Element { key, .. } => Some(key.clone()),
        RemovedPart::Column { .. } | RemovedPart::Field { .. } => None,
    });
    let mut values: Vec<Vec<u8>> = elements.collect();
    values.push(timestamp.to_be_bytes().to_vec());
    values.extend(row.partition_key());
    values.extend(row.clustering_key().filter(|_| *part == Part::Regular).into_iter().flatten());
    cluster.session.execute_unpaged(&delete, RawCells(&values)).await.map(drop).map_err(call::classify)
}
