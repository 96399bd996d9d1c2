//! What a target takes, as its own settings say.

use crate::call::CallError;
use crate::cluster::{Cluster, Product};
use crate::row::BatchLimits;
use crate::settings::units::{Bytes, Period};
use std::collections::HashMap;
use std::time::Duration;

/// Rows of one batch at most.
pub(super) const BATCH_ROWS: usize = 100;
/// Bytes of one batch at most: larger ones make the latency of the target's other clients uneven.
const BATCH_BYTES: usize = 48 << 10;

/// How far ahead of its clock ScyllaDB takes a writetime, unless `restrict_future_timestamp` is off
/// (`cql3/util.cc`, `validate_timestamp`).
const SCYLLA_FUTURE: Duration = Duration::from_secs(3 * 86_400);

/// Batches of several partitions stay at half of the size that the target warns about: its limit counts the mutation as it
/// is stored, which is somewhat more than the wire's bytes.
pub(super) async fn batch_limits(cluster: &Cluster) -> BatchLimits {
    let warn = warn_threshold(cluster).await.unwrap_or(5 << 10); // Cassandra's default, the lower of the two.
    BatchLimits { rows_max: BATCH_ROWS, bytes_max: (warn / 2).min(BATCH_BYTES), partition_bytes_max: BATCH_BYTES }
}

/// `batch_size_warn_threshold` of the target in bytes.
async fn warn_threshold(cluster: &Cluster) -> Option<usize> {
    size(cluster, &[("batch_size_warn_threshold", 1), ("batch_size_warn_threshold_in_kb", 1 << 10)]).await
}

/// How many bytes a request may have, where the target says so. ScyllaDB takes 256 MiB of them, and no row comes to that.
pub(super) async fn request_max(cluster: &Cluster) -> Option<usize> {
    size(cluster, &[("native_transport_max_frame_size", 1), ("native_transport_max_frame_size_in_mb", 1 << 20)]).await
}

/// A size in bytes, under the first of its names, with their units, that this version knows.
async fn size(cluster: &Cluster, names: &[(&str, u64)]) -> Option<usize> {
    for &(name, unit) in names {
        if let Ok(Some(text)) = setting(cluster, name).await
            && let Ok(Bytes(number)) = text.parse()
        {
            return usize::try_from(number * unit).ok();
        }
    }
    None
}

/// How far ahead of its clock the target takes a writetime; `None` where it takes any.
pub(crate) async fn future(cluster: &Cluster) -> Result<Option<Duration>, CallError> {
    Ok(match cluster.info.product {
        Product::Scylla => {
            let restricts = setting(cluster, "restrict_future_timestamp").await?;
            (restricts.as_deref() != Some("false")).then_some(SCYLLA_FUTURE)
        }
        Product::Cassandra => {
            let text = setting(cluster, "maximum_timestamp_fail_threshold").await?;
            text.and_then(|text| text.parse().ok()).map(|Period(period)| period)
        }
    })
}

/// Time limits of Cassandra and their defaults: of a request in its queue (since 5.0), of a write, and of one of a counter.
const TIMES: [(&[&str], Duration); 3] = [
    (&["native_transport_timeout"], Duration::from_secs(12)),
    (&["write_request_timeout", "write_request_timeout_in_ms"], Duration::from_secs(2)),
    (&["counter_write_request_timeout", "counter_write_request_timeout_in_ms"], Duration::from_secs(5)),
];

/// How long the target may work on a request after its client is gone: in the queue, then on the write, whichever it is.
pub(super) async fn request_time(cluster: &Cluster) -> Duration {
    let mut settings = HashMap::new();
    for name in TIMES.into_iter().flat_map(|(names, _)| names) {
        if let Ok(Some(text)) = setting(cluster, name).await {
            settings.insert(*name, text);
        }
    }
    request_time_by(&settings)
}

fn request_time_by(settings: &HashMap<&str, String>) -> Duration {
    let period = |name: &&str| {
        let text = settings.get(name)?;
        let text = if name.ends_with("_in_ms") { format!("{text}ms") } else { text.clone() };
        text.parse().ok().map(|Period(period)| period)
    };
    let [queue, write, counter] = TIMES.map(|(names, default)| names.iter().find_map(period).unwrap_or(default));
    queue + write.max(counter)
}

/// One of the target's settings, as text.
async fn setting(cluster: &Cluster, name: &str) -> Result<Option<String>, CallError> {
    let table = match cluster.info.product {
        Product::Cassandra => "system_views.settings",
        Product::Scylla => "system.config",
    };
    let cql = format!("SELECT value FROM {table} WHERE name = ?");
    let rows = cluster.rows::<(Option<String>,)>(&cql, (name,)).await?;
    Ok(rows.into_iter().next().and_then(|row| row.0))
}

/// Whether a ScyllaDB keyspace keeps its tables in tablets. The column is there since tablets are (ScyllaDB 6.0).
pub(super) async fn has_tablets(cluster: &Cluster, keyspace: &str) -> bool {
    let cql = "SELECT initial_tablets FROM system_schema.scylla_keyspaces WHERE keyspace_name = ?";
    cluster.info.product == Product::Scylla
        && cluster
            .rows::<(Option<i32>,)>(cql, (keyspace,))
            .await
            .is_ok_and(|rows| rows.first().is_some_and(|row| row.0.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_write_may_take_longest_is_waited_for() {
        let time = |settings: &[(&'static str, &str)]| {
            let settings = settings.iter().map(|&(name, text)| (name, text.to_owned())).collect();
            request_time_by(&settings).as_secs()
        };
        assert_eq!(time(&[]), 12 + 5, "by default");
        assert_eq!(time(&[("write_request_timeout", "30s")]), 12 + 30);
        assert_eq!(time(&[("write_request_timeout_in_ms", "30000")]), 12 + 30, "before 4.1");
        assert_eq!(
            time(&[("native_transport_timeout", "100s"), ("counter_write_request_timeout", "40000ms")]),
            100 + 40
        );
    }
}
