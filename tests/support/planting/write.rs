//! The writes of a partition, sent to both sides at the same time: what expires, expires at the same time too.

use super::again::{self, again};
use super::table::Write;
use futures::{StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use std::error::Error;
use std::time::{Duration, Instant};

/// Statements of a request, all of one partition.
const BATCH_STATEMENTS: usize = 150;
/// Partitions that are written at the same time.
const PARTITIONS: usize = 24;
/// Sides that are too slow, or busy, for longer are no good.
const PATIENCE: Duration = Duration::from_secs(120);
/// Two sides that took longer may have different expiries: a verification tolerates 5 s, and a case has one second more.
const AT_ONCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);

/// Both sides.
pub struct Sides<'a> {
    pub sessions: [&'a Session; 2],
    pub keyspace: &'a str,
}

/// Statements that are prepared on both sides.
pub type Statements = [Vec<PreparedStatement>; 2];

struct Cells<'a>(&'a [Vec<u8>]);

impl SerializeRow for Cells<'_> {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        for cell in self.0 {
            writer.make_cell_writer().set_value(cell).map_err(SerializationError::new)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Sides<'_> {
    /// Runs a statement with `{ks}` for the keyspace on both.
    pub async fn run(&self, cql: &str) -> Result<(), Box<dyn Error>> {
        for session in self.sessions {
            again::run(session, &cql.replace("{ks}", self.keyspace)).await?;
        }
        Ok(())
    }

    pub async fn prepare(&self, texts: &[String]) -> Result<Statements, Box<dyn Error>> {
        let mut statements = [Vec::new(), Vec::new()];
        for (session, statements) in self.sessions.into_iter().zip(&mut statements) {
            for text in texts {
                statements.push(again::prepare(session, &text.replace("{ks}", self.keyspace)).await?);
            }
        }
        Ok(statements)
    }

    /// Writes partition after partition, several at a time.
    pub async fn write(
        &self,
        statements: &Statements,
        partitions: impl Iterator<Item = [Vec<Write>; 2]>,
        repeatable: bool,
    ) -> Result<(), Box<dyn Error>> {
        let writes = partitions.map(|partition| self.partition(statements, partition, repeatable));
        futures::stream::iter(writes).buffer_unordered(PARTITIONS).try_collect().await
    }

    async fn partition(
        &self,
        statements: &Statements,
        partition: [Vec<Write>; 2],
        repeatable: bool,
    ) -> Result<(), Box<dyn Error>> {
        let [mut source, mut target] = [0, 1].map(|side| partition[side].chunks(BATCH_STATEMENTS));
        loop {
            let batches = [source.next().unwrap_or_default(), target.next().unwrap_or_default()];
            if batches.iter().all(|batch| batch.is_empty()) {
                return Ok(());
            }
            let began = Instant::now();
            loop {
                let started = Instant::now();
                let both =
                    futures::try_join!(self.batch(0, statements, batches[0]), self.batch(1, statements, batches[1]));
                match both {
                    // Sent again, the later expiry wins on both sides.
                    Ok(_) if !repeatable || started.elapsed() < AT_ONCE => break,
                    Err(error) if !repeatable || began.elapsed() > PATIENCE => return Err(error),
                    Ok(_) if began.elapsed() > PATIENCE => return Err("a side is too slow".into()),
                    Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        }
    }

    async fn batch(&self, side: usize, statements: &Statements, writes: &[Write]) -> Result<(), Box<dyn Error>> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        for write in writes {
            batch.append_statement(statements[side][write.statement].clone());
        }
        let values: Vec<Cells<'_>> = writes.iter().map(|write| Cells(&write.values)).collect();
        again(false, |_| self.sessions[side].batch(&batch, &values)).await?;
        Ok(())
    }
}
