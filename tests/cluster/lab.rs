//! A keyspace on both nodes, for one test.

use crate::job::Job;
use crate::oracle::{self, Options, Report};
use crate::planting::again::{self, again};
use crate::random::Random;
use futures::{StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::ColumnIterator;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryRowsResult;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::Consistency;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const SOURCE: &str = "127.0.0.1:9042";
pub(crate) const TARGET: &str = "127.0.0.2:9042";
/// Cassandra 4.1, which answers no writetimes of elements.
pub(crate) const OLD: &str = "127.0.0.4:9042";

/// The writetime of most test data: long ago.
pub(crate) const THEN: i64 = 1_600_000_000_000_000;

/// A TTL counts from when a node executes the write, which may be seconds after it was sent: by so many seconds two expiries
/// may differ. TTLs that are to be told apart are further apart.
pub(crate) const TTL_TOLERANCE: u64 = 60;

/// Rows of a load that share a request; Cassandra warns of a batch above 5 KiB.
const LOAD_ROWS: usize = 20;
/// Requests of a load under way at the same time.
const LOAD_REQUESTS: usize = 32;

/// Says that a test can't be run here, past the harness, which shows nothing of a test that passes.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Everything that a test needs. Dropping it drops the keyspaces, whether the test passed or not.
pub(crate) struct Lab {
    pub(crate) keyspace: String,
    pub(crate) source: Node,
    pub(crate) target: Node,
    pub(crate) folder: TempDir,
    pub(crate) random: Random,
    runtime: Arc<Runtime>,
}

impl Lab {
    /// A keyspace of its own for the test `name`; nothing where no cluster is to be used.
    pub(crate) fn open(name: &str) -> Option<Lab> {
        Lab::open_from(name, SOURCE)
    }

    /// The same with another node as source.
    pub(crate) fn open_from(name: &str, source: &'static str) -> Option<Lab> {
        if std::env::var_os("MIGRATE_TEST_CLUSTER").is_none_or(|value| value != "1") {
            println!("skipped: {name} needs `scripts/cluster up` and MIGRATE_TEST_CLUSTER=1");
            return None;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = ["MIGRATE_TEST_SEED", "MIGRATE_TEST_FIRST_SEED"].iter().find_map(|name| std::env::var(name).ok());
        let seed = seed.map_or(now.subsec_nanos().into(), |seed| seed.parse().unwrap());
        println!("{name}: MIGRATE_TEST_SEED={seed}");
        let keyspace = format!("{name}_{}_{}", now.as_secs(), std::process::id());
        assert!(keyspace.len() <= 48, "Cassandra takes no longer name: {keyspace}");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let runtime = Arc::new(runtime);
        let node = |address| Node::connect(address, &keyspace, &runtime);
        let (source, target) = (node(source), node(TARGET));
        let folder = tempfile::tempdir().unwrap();
        Some(Lab { keyspace, source, target, folder, random: Random::new(seed), runtime })
    }

    /// Runs a statement on both sides.
    pub(crate) fn both(&self, cql: &str) {
        self.source.run(cql);
        self.target.run(cql);
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The full name of a table, as the command line takes it.
    pub(crate) fn name(&self, table: &str) -> String {
        format!("{}.{table}", self.keyspace)
    }

    /// A copy of `table`, with a checkpoint of its own.
    pub(crate) fn job(&self, table: &str) -> Job {
        self.job_into(table, table)
    }

    /// A copy of `from` into `to`.
    pub(crate) fn job_into(&self, from: &str, to: &str) -> Job {
        let checkpoint = self.folder.path().join(format!("{}.db", to.to_ascii_lowercase()));
        Job::new(&checkpoint).source(self.source.address).arg("--table").arg(&format!(
            "{}={}",
            self.name(from),
            self.name(to)
        ))
    }

    /// Compares the dumps of both sides. Tombstones that the target lacks are none of its business.
    pub(crate) fn differences(&self, from: &str, to: &str) -> Report {
        self.differences_within(TTL_TOLERANCE, from, to)
    }

    /// The same where expiries differ by so many seconds at most.
    pub(crate) fn differences_within(&self, ttl_tolerance: u64, from: &str, to: &str) -> Report {
        let dumps = std::thread::scope(|scope| {
            let source = scope.spawn(|| self.dump(&self.source, from));
            let target = self.dump(&self.target, to);
            (source.join().unwrap(), target)
        });
        let open = |path: &Path| BufReader::new(File::open(path).unwrap());
        let options = Options { ttl_tolerance, ignore_source_tombstones: true, lists_by_order: true, samples: 1000 };
        oracle::compare(open(&dumps.0), open(&dumps.1), &options).unwrap()
    }

    /// What Cassandra's own tool prints of the table's files on that side.
    pub(crate) fn dump(&self, node: &Node, table: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{}-{}.json", node.host(), table));
        let out = Command::new(script())
            .args(["dump", node.host(), &self.keyspace, table])
            .stdin(Stdio::null())
            .stdout(File::create(&path).unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(out.status.success(), "dump of {table}: {}", String::from_utf8_lossy(&out.stderr));
        path
    }

    /// The two tables are equal, and hold `rows` rows.
    pub(crate) fn assert_equal(&self, table: &str, rows: u64) {
        self.assert_equal_into(table, table, rows);
    }

    /// The table and its copy of another name are equal, and hold `rows` rows.
    pub(crate) fn assert_equal_into(&self, from: &str, to: &str, rows: u64) {
        let report = self.differences(from, to);
        assert!(report.is_equal(), "{from} and {to} differ\n{report}");
        assert_eq!(report.rows, rows, "rows of {from} and {to}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in [&self.source, &self.target] {
            let cql = format!("DROP KEYSPACE IF EXISTS {}", self.keyspace);
            if let Err(error) = node.runtime.block_on(node.session.query_unpaged(cql, ())) {
                println!("{} at {} stays: {error}", self.keyspace, node.address);
            }
        }
    }
}

/// `scripts/cluster`.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster")
}

/// One of the two nodes, with a session that uses the test's keyspace.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) address: &'static str,
    pub(crate) session: Arc<Session>,
    keyspace: String,
    runtime: Arc<Runtime>,
}

impl Node {
    fn connect(address: &'static str, keyspace: &str, runtime: &Arc<Runtime>) -> Node {
        let create = format!(
            "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        );
        let session = runtime.block_on(async {
            let profile = scylla::client::execution_profile::ExecutionProfile::builder()
                .consistency(Consistency::One)
                .request_timeout(Some(Duration::from_secs(90)))
                .build();
            let builder = SessionBuilder::new()
                .known_node(address)
                .default_execution_profile_handle(profile.into_handle())
                .fetch_schema_metadata(false);
            let session = again::session(builder)
                .await
                .unwrap_or_else(|error| panic!("{address}: {error}; is `scripts/cluster up` running?"));
            again::run(&session, &create).await.unwrap();
            let use_keyspace = |_| async { session.use_keyspace(keyspace, false).await.map_err(ExecutionError::from) };
            again(true, use_keyspace).await.unwrap();
            session
        });
        Node { address, session: Arc::new(session), keyspace: keyspace.to_owned(), runtime: Arc::clone(runtime) }
    }

    /// Its address without the port.
    pub(crate) fn host(&self) -> &'static str {
        self.address.split(':').next().unwrap()
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Runs a statement.
    pub(crate) fn run(&self, cql: &str) {
        if let Err(error) = self.runtime.block_on(again::run(&self.session, cql)) {
            panic!("{} at {}: {error}", cql.chars().take(500).collect::<String>(), self.address);
        }
    }

    /// What is said to a statement that fails.
    pub(crate) fn refusal(&self, cql: &str) -> String {
        self.runtime.block_on(again::run(&self.session, cql)).expect_err("it is refused").to_string()
    }

    /// All rows of a SELECT, as their raw cells.
    pub(crate) fn raw(&self, cql: &str) -> Vec<Raw> {
        let result = self.select(cql);
        let rows = result.rows::<ColumnIterator<'_, '_>>().unwrap();
        let cell = |column: Result<scylla::deserialize::row::RawColumn<'_, '_>, _>| {
            column.map(|column| column.slice.map(|slice| slice.as_slice().to_vec())).unwrap()
        };
        rows.map(|row| Raw(row.unwrap().map(cell).collect())).collect()
    }

    /// All rows of a SELECT, typed.
    pub(crate) fn rows<R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>>(&self, cql: &str) -> Vec<R> {
        self.select(cql).rows::<R>().unwrap().map(Result::unwrap).collect()
    }

    fn select(&self, cql: &str) -> QueryRowsResult {
        let result = self.runtime.block_on(again(true, |_| self.session.query_unpaged(cql, ())));
        result.unwrap_or_else(|error| panic!("{cql} at {}: {error}", self.address)).into_rows_result().unwrap()
    }

    /// Runs one statement for each of `rows`, many at a time.
    pub(crate) fn load<R: SerializeRow + Send>(&self, cql: &str, rows: impl IntoIterator<Item = R>) -> u64 {
        self.load_in_batches(cql, rows, LOAD_ROWS).unwrap_or_else(|error| panic!("{cql}: {error}"))
    }

    /// Runs one statement for each of `rows`, a request each: for large rows.
    pub(crate) fn load_singly<R: SerializeRow + Send>(&self, cql: &str, rows: impl IntoIterator<Item = R>) -> u64 {
        self.try_to_load_singly(cql, rows).unwrap_or_else(|error| panic!("{cql}: {error}"))
    }

    /// The same for what can't be written twice: where nobody knows whether a write took effect, that is an error.
    pub(crate) fn try_to_load_singly<R: SerializeRow + Send>(
        &self,
        cql: &str,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<u64, ExecutionError> {
        self.load_in_batches(cql, rows, 1)
    }

    fn load_in_batches<R: SerializeRow + Send>(
        &self,
        cql: &str,
        rows: impl IntoIterator<Item = R>,
        at_once: usize,
    ) -> Result<u64, ExecutionError> {
        let mut count = 0;
        let mut rows = rows.into_iter();
        let chunks = std::iter::from_fn(|| {
            let chunk: Vec<R> = rows.by_ref().take(at_once).collect();
            count += chunk.len() as u64;
            (!chunk.is_empty()).then_some(chunk)
        });
        self.runtime.block_on(async {
            let prepared = again::prepare(&self.session, cql).await?;
            let (statement, may_repeat) = (&prepared, again::may_repeat_prepared(&prepared));
            let writes = chunks.map(|chunk| async move {
                let statements = vec![BatchStatement::PreparedStatement(statement.clone()); chunk.len()];
                let batch = Batch::new_with_statements(BatchType::Unlogged, statements);
                let write = |_| async {
                    match chunk.as_slice() {
                        [row] => self.session.execute_unpaged(statement, row).await,
                        rows => self.session.batch(&batch, rows).await,
                    }
                };
                again(may_repeat, write).await
            });
            futures::stream::iter(writes).buffer_unordered(LOAD_REQUESTS).try_for_each(|_| async { Ok(()) }).await
        })?;
        Ok(count)
    }

    /// How many mutations this node has applied to the table since it was created: `nodetool tablestats` shows the same
    /// number as "Local write count". A batch is one mutation per partition.
    pub(crate) fn writes(&self, table: &str) -> i64 {
        let cql = format!(
            "SELECT count FROM system_views.local_write_latency WHERE keyspace_name = '{}' AND table_name = '{table}'",
            self.keyspace
        );
        self.rows::<(i64,)>(&cql)[0].0
    }
}

/// A row of raw cells. One that is missing is not set when it is bound, which isn't the same as null.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Raw(pub(crate) Vec<Option<Vec<u8>>>);

impl Raw {
    /// Cells that are all there.
    pub(crate) fn of(cells: impl IntoIterator<Item = Vec<u8>>) -> Raw {
        Raw(cells.into_iter().map(Some).collect())
    }
}

impl SerializeRow for Raw {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        for cell in &self.0 {
            let writer = writer.make_cell_writer();
            match cell {
                Some(bytes) => writer.set_value(bytes).map_err(SerializationError::new)?,
                None => writer.set_unset(),
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
