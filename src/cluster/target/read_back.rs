//! Reading a row of the target before it is written, for what can't be written twice: elements of lists without keys, and
//! counters.
//!
//! What was read decides what is written, so nothing may take effect in between. Within one process nothing does: a row is in
//! one batch at a time. What is left is a request of ours whose outcome is unknown, because it timed out or because the
//! process that sent it was interrupted. Such a request takes effect within the server's own time limit, or is lost (but for
//! hints, see [`ReadBack::row`]), so that time is waited out first.

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

/// The longest that a server works on a write by default is 5 s, of a counter (`counter_write_request_timeout`); of others 2 s.
const SETTLE: Duration = Duration::from_secs(6);

/// Requests of ours that may still take effect, and with them the time at which what is read can be trusted.
#[derive(Debug)]
pub(super) struct Stragglers {
    not_before: Option<Instant>,
}

impl Stragglers {
    /// After `interrupted`, requests of an earlier process may still be on their way.
    pub(super) fn after(interrupted: bool) -> Stragglers {
        Stragglers { not_before: interrupted.then(|| Instant::now() + SETTLE) }
    }

    /// Waits until nothing of an earlier process, or of the `tries` failed ones before, can still take effect.
    pub(super) async fn wait(&self, tries: u32) {
        if let Some(instant) = self.not_before {
            tokio::time::sleep_until(instant).await;
        }
        if tries > 0 {
            tokio::time::sleep(SETTLE).await;
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
