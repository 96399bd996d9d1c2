//! How large a table is, roughly. Partitions and bytes as the nodes guess them; rows from the size of a few, since no
//! system table counts rows.

use crate::cluster::Cluster;
use crate::engine::page_size::PageSize;
use crate::engine::seam::{Fetched, Position, Read, Scan, Source};
use crate::preflight::Ready;
use crate::ring::tile;
use serde::Serialize;
use std::time::Duration;

/// Places of the ring that are looked at.
const SAMPLES: usize = 16;
/// Bytes of a sample at most, where rows are like those before them.
const SAMPLE_BYTES: usize = 4 << 20;
/// Rows that are read at each, at most.
const SAMPLE_ROWS: i32 = 100;
/// What hasn't been read by then (a stretch of tombstones takes long) is left out.
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
pub(super) async fn estimate(source: &Cluster, table: &impl Ready) -> Estimate {
    let mut sum = (0, 0);
    let samples = tokio::time::timeout(SAMPLE_TIMEOUT, sample(table, &mut sum));
    let (size, _) = tokio::join!(source.size_estimate(&table.source().name), samples);
    let (rows, bytes) = sum;
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

/// Adds up rows and their bytes at some places of the ring, one after another and beginning with one row: the rows may be
/// of many megabytes.
async fn sample(table: &impl Ready, sum: &mut (u64, u64)) {
    let size = PageSize::new(SAMPLE_BYTES);
    let stored = table.layout().keys() + table.layout().values.len();
    for range in tile(&[], SAMPLES) {
        let read = Read {
            scan: Scan::Tokens(range),
            position: Position::default(),
            rows: size.rows().min(SAMPLE_ROWS),
            turn: 0,
        };
        let Ok(Fetched { page, .. }) = table.reader().read_page(&read).await else { continue };
        size.learn(&page);
        sum.0 += page.rows() as u64;
        sum.1 += (0..page.rows()).map(|row| page.span(row, 0, stored).len() as u64).sum::<u64>();
    }
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
