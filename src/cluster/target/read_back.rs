//! Reading a row of the target before it is written, for what can't be written twice: elements of lists without keys, and
//! counters.
//!
//! What was read decides what is written, so nothing may take effect in between. Within one process nothing does: a row is in
//! one batch at a time. What is left is a request of ours whose outcome is unknown, because it timed out or because the
//! process that sent it was killed. Such a request takes effect within the server's own time limit, or is lost (but for
//! hints, see [`ReadBack::row`]), so that time is waited out first.

use super::limits;
use crate::call::CallError;
use crate::cluster::{Cluster, call};
use crate::row::bind::KeyOf;
use crate::row::layout::Part;
use crate::schema::{Column, Table, statements};
use scylla::client::session::Session;
use scylla::deserialize::row::ColumnIterator;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Requests of ours that may still take effect, and with them the time at which what is read can be trusted.
#[derive(Debug)]
pub(super) struct Stragglers {
    /// How long a request can take effect after its client is gone.
    time: Duration,
    /// Those of an earlier process have ended then. Whether there was one is not asked: its checkpoint may be elsewhere.
    not_before: Instant,
}

impl Stragglers {
    /// By the target's own limits.
    pub(super) async fn of(cluster: &Cluster) -> Stragglers {
        let time = limits::request_time(cluster).await + Duration::from_secs(1);
        Stragglers { time, not_before: Instant::now() + time }
    }

    /// Waits until nothing of an earlier process, or of the `tries` failed ones before, can still take effect. No server tells
    /// when that is: time is all there is to wait for.
    pub(super) async fn wait(&self, tries: u32) {
        tokio::time::sleep_until(self.not_before).await;
        if tries > 0 {
            tokio::time::sleep(self.time).await;
        }
    }
}

/// Reads some columns of one row, or of one partition's statics.
#[derive(Debug)]
pub(super) struct ReadBack {
    session: Arc<Session>,
    select: PreparedStatement,
    part: Part,
}

/// The raw cells of a row; all null where there is none.
pub(super) type Cells = Vec<Option<Vec<u8>>>;

impl ReadBack {
    /// Prepares it; `None` where there is nothing to read.
    pub(super) async fn prepare(
        cluster: &Cluster,
        table: &Table,
        part: Part,
        columns: &[&Column],
        writetimes: bool,
    ) -> Result<Option<ReadBack>, CallError> {
        if columns.is_empty() {
            return Ok(None);
        }
        let mut select = cluster.prepare(statements::read_back(table, part, columns, writetimes)).await?;
        // A write that reached one replica of three must be seen, whatever level writes are acknowledged at. What this can't
        // see is a write that every replica missed and that the coordinator has kept as a hint.
        select.set_consistency(Consistency::All);
        Ok(Some(ReadBack { session: Arc::clone(&cluster.session), select, part }))
    }

    /// The columns of the row at `key`, or of its partition.
    pub(super) async fn row(&self, key: KeyOf<'_>) -> Result<Cells, CallError> {
        let result = self.session.execute_unpaged(&self.select, key.of(self.part)).await.map_err(call::classify)?;
        let rows = result.into_rows_result().map_err(call::nonsense)?;
        let width = rows.column_specs().len();
        let mut rows = rows.rows::<ColumnIterator<'_, '_>>().map_err(call::nonsense)?;
        let Some(row) = rows.next() else { return Ok(vec![None; width]) };
        let cells = row.map_err(call::nonsense)?;
        cells
            .map(|cell| cell.map(|cell| cell.slice.map(|slice| slice.as_slice().to_vec())).map_err(call::nonsense))
            .collect()
    }
}
