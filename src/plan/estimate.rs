//! How large a table is, roughly. Partitions and bytes as the nodes guess them; rows from the size of a few, since no
//! system table counts rows.

use crate::cluster::Cluster;
use crate::copy::seam::{Position, Read, Source};
use crate::preflight::ReadyTable;
use crate::ring::{TokenRange, tile};
use futures::future::join_all;
use serde::Serialize;
use std::time::Duration;

/// Places of the ring that are looked at.
const SAMPLES: usize = 16;
/// Rows that are read at each.
const SAMPLE_ROWS: i32 = 100;
/// A place that takes longer (a stretch of tombstones, for one) is left out.
const SAMPLE_TIMEOUT: Duration = Duration::from_millis(800);

/// Guesses; `None` where there is nothing to guess from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Rows, from the bytes and the size of a few rows.
    #[serde(rename = "rows_estimate")]
    pub rows: Option<u64>,
    /// Partitions, from `system.size_estimates`.
    #[serde(rename = "partitions_estimate")]
    pub partitions: Option<u64>,
    /// Bytes, from `system.size_estimates`: before compression.
    #[serde(rename = "bytes_estimate")]
    pub bytes: Option<u64>,
}

/// Guesses the size of a table, in a second at most.
///
/// The bytes are the nodes' own guess; how many rows they are follows from the size of some rows. A sample alone would
/// not do: of a table with a few wide partitions it sees too little, and guessing low by a factor of five is worse than
/// saying nothing.
pub(super) async fn estimate(source: &Cluster, table: &ReadyTable) -> Estimate {
    let places = tile(&[], SAMPLES);
    let samples = join_all(places.into_iter().map(|place| sample(table, place)));
    let (size, samples) = tokio::join!(source.size_estimate(&table.source.name), samples);
    let (rows, bytes) = samples.into_iter().flatten().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    Estimate {
        rows: size.and_then(|size| rows_in(size.bytes, rows, bytes)),
        partitions: size.map(|size| size.partitions),
        bytes: size.map(|size| size.bytes),
    }
}

/// How many rows `total` bytes are, where `rows` of them are `bytes`.
fn rows_in(total: u64, rows: u64, bytes: u64) -> Option<u64> {
    total.checked_div(bytes.checked_div(rows)?)
}

/// Rows at a place of the ring, and their bytes.
async fn sample(table: &ReadyTable, place: TokenRange) -> Option<(u64, u64)> {
    let read = Read { range: place, position: Position::default(), rows: SAMPLE_ROWS, attempt: 0 };
    let page = tokio::time::timeout(SAMPLE_TIMEOUT, table.reader.read_page(&read)).await.ok()?.ok()?.page;
    let stored = table.source.layout().keys() + table.source.layout().values;
    let bytes = (0..page.rows()).map(|row| page.span(row, 0, stored).len() as u64).sum();
    Some((page.rows() as u64, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_from_bytes() {
        assert_eq!(rows_in(10_000, 50, 500), Some(1000));
        assert_eq!(rows_in(10_000, 0, 0), None);
    }
}
