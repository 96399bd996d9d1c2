//! How large a table is, roughly. Partitions and bytes as the nodes guess them; rows from a sample of the scan itself,
//! since no system table counts rows.

use crate::cluster::Cluster;
use crate::copy::seam::{Position, Read, Source};
use crate::preflight::ReadyTable;
use crate::ring::{TokenRange, tile};
use crate::row::token_of;
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
    /// Rows, from a sample.
    #[serde(rename = "rows_estimate")]
    pub rows: Option<u64>,
    /// Partitions, from `system.size_estimates`.
    #[serde(rename = "partitions_estimate")]
    pub partitions: Option<u64>,
    /// Bytes: from `system.size_estimates` (before compression), else from the sample (keys and values).
    #[serde(rename = "bytes_estimate")]
    pub bytes: Option<u64>,
}

/// Guesses the size of a table, in a second at most.
pub(super) async fn estimate(source: &Cluster, table: &ReadyTable) -> Estimate {
    let places = tile(&[], SAMPLES);
    let samples = join_all(places.into_iter().map(|place| sample(table, place)));
    let (size, samples) = tokio::join!(source.size_estimate(&table.source.name), samples);
    let mut sum = Sample::default();
    for sample in samples.into_iter().flatten() {
        sum.rows += sample.rows;
        sum.bytes += sample.bytes;
        sum.tokens += sample.tokens;
    }
    // Where the nodes know the bytes, the sample only has to know how large a row is; the share of the ring that it covers
    // is a worse guide, since one wide partition at the edge of a place upsets it.
    let rows = match size {
        Some(size) if sum.rows > 0 => Some(size.bytes / (sum.bytes / sum.rows).max(1)),
        _ => sum.scaled(sum.rows),
    };
    Estimate {
        rows,
        partitions: size.map(|size| size.partitions),
        bytes: size.map(|size| size.bytes).or(sum.scaled(sum.bytes)),
    }
}

/// Rows and bytes that were found in so many tokens.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    rows: u64,
    bytes: u64,
    tokens: u128,
}

impl Sample {
    /// `part`, if the whole ring were like the sample.
    fn scaled(&self, part: u64) -> Option<u64> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a guess"
        )]
        (self.tokens > 0).then(|| (part as f64 * (TokenRange::RING.width() as f64 / self.tokens as f64)) as u64)
    }
}

async fn sample(table: &ReadyTable, place: TokenRange) -> Option<Sample> {
    let read = Read { range: place, position: Position::default(), rows: SAMPLE_ROWS, attempt: 0 };
    let fetched = tokio::time::timeout(SAMPLE_TIMEOUT, table.reader.read_page(&read)).await.ok()?.ok()?;
    let (page, layout) = (&fetched.page, table.source.layout());
    let stored = |row| page.span(row, 0, layout.keys() + layout.values).len() as u64;
    let bytes = (0..page.rows()).map(stored).sum();
    let mut sample = Sample { rows: page.rows() as u64, bytes, tokens: place.width() };
    if fetched.next.is_some() {
        // The sample ends inside its place, somewhere in the last row's partition.
        let last = page.rows().checked_sub(1)?;
        let key = (0..layout.partition_key).map(|column| page.cell(last, column).unwrap_or_default());
        sample.tokens = TokenRange::new(place.first(), token_of(key).max(place.first())).map_or(1, TokenRange::width);
    }
    Some(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Token;

    #[test]
    fn a_sample_scales_to_the_ring() {
        let quarter = TokenRange::new(Token(0), Token(i64::MAX / 2)).expect("a range");
        let sample = Sample { rows: 250, bytes: 1000, tokens: quarter.width() };
        assert_eq!(sample.scaled(sample.rows), Some(1000));
        assert_eq!(Sample::default().scaled(7), None);
    }
}
