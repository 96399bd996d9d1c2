//! `load`: tables with a past, for the demo, the tests and the benchmarks.
//!
//! The same seed gives the same data; only expiry starts anew with each load. What the data looks like is told where it is
//! made: [`messages`], and [`shapes`] for the rest.
//!
//! Run it with `cargo run --release --example load -- --host 127.0.0.1 --table chat.messages`.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program of its own; this is how it speaks.
// Numbers drawn at random and numbers of rows: all far from any limit.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

mod messages;
mod random;
mod shapes;

use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{ExecutionError, PrepareError};
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, MaybeUnset};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const ATTEMPTS: u32 = 6;

/// Creates a table and fills it.
#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    /// A node of the cluster, HOST or HOST:PORT.
    #[arg(long)]
    host: String,
    /// The table; it and its keyspace are created if missing.
    #[arg(long, value_name = "KEYSPACE.TABLE", value_parser = parse_table)]
    table: Table,
    /// What the table is like.
    #[arg(long, value_enum, default_value_t)]
    shape: ShapeName,
    /// How many rows.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Another seed gives other data.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// messages: how many rows to add that have a key and nothing else.
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    key_only: u64,
    /// messages: edit those that expire as well; no copy through CQL can know the row markers of these.
    #[arg(long)]
    edit_expiring: bool,
    /// Create keyspace and table, load nothing.
    #[arg(long)]
    create_only: bool,
    /// Drop the table first.
    #[arg(long)]
    drop: bool,
    /// messages: the `default_time_to_live` of a new table; those without a TTL of their own take it.
    #[arg(long, value_name = "SECONDS")]
    default_ttl: Option<u32>,
    /// The replication factor of a new keyspace.
    #[arg(long, value_name = "N", default_value_t = 1)]
    replication: u32,
    /// How many batches are under way at once.
    #[arg(long, value_name = "N", default_value_t = 64)]
    concurrency: usize,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum ShapeName {
    /// Chat messages: partitions of all sizes
    #[default]
    Messages,
    /// Fifty columns
    Wide,
    /// One row per partition
    Narrow,
    /// A set, a map and a user-defined type, none of them frozen
    Collections,
    /// Lists that aren't frozen
    Lists,
    /// One partition, a third of it deleted
    Giant,
    /// One MiB in each row
    Blobs,
}

impl ShapeName {
    fn of(self, arguments: &Arguments) -> Box<dyn Shape> {
        match self {
            ShapeName::Messages => Box::new(messages::Messages::new(arguments)),
            ShapeName::Wide => Box::new(shapes::wide(arguments)),
            ShapeName::Narrow => Box::new(shapes::narrow(arguments)),
            ShapeName::Collections => Box::new(shapes::collections(arguments)),
            ShapeName::Lists => Box::new(shapes::lists(arguments)),
            ShapeName::Giant => Box::new(shapes::giant(arguments)),
            ShapeName::Blobs => Box::new(shapes::blobs(arguments)),
        }
    }
}

/// One kind of table, and what fills it: batches of writes, each of one partition.
trait Shape: Iterator<Item = Vec<Write>> {
    /// What creates the table where it is missing.
    fn schema(&self, table: &Table) -> Vec<String>;
    /// The statements that [`Write::statement`] counts.
    fn statements(&self, table: &Table) -> Vec<String>;
    /// What was handed out so far, for people.
    fn summary(&self) -> String;
}

/// A statement, as an index into [`Shape::statements`], and its values.
struct Write {
    statement: usize,
    values: Vec<Value>,
}

type Value = MaybeUnset<CqlValue>;

fn bigint(value: i64) -> Value {
    MaybeUnset::Set(CqlValue::BigInt(value))
}

fn int(value: i32) -> Value {
    MaybeUnset::Set(CqlValue::Int(value))
}

fn text(value: String) -> Value {
    MaybeUnset::Set(CqlValue::Text(value))
}

#[derive(Clone)]
struct Table {
    keyspace: String,
    name: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#""{}"."{}""#, self.keyspace, self.name)
    }
}

fn parse_table(text: &str) -> Result<Table, String> {
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match text.split_once('.') {
        Some((keyspace, name)) if plain(keyspace) && plain(name) => {
            Ok(Table { keyspace: keyspace.to_owned(), name: name.to_owned() })
        }
        _ => Err("expected KEYSPACE.TABLE, of letters, digits and underscores".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let table = &arguments.table;
    let mut shape = arguments.shape.of(arguments);
    // Of its own keyspace only: the driver can't read every type that somebody else's table may have.
    let session =
        SessionBuilder::new().known_node(&arguments.host).keyspaces_to_fetch([&table.keyspace]).build().await?;
    create(&session, arguments, shape.schema(table)).await?;
    if arguments.create_only {
        println!("created {}.{}", table.keyspace, table.name);
        return Ok(());
    }

    let started = Instant::now();
    let writer = &Writer::prepare(&session, shape.statements(table)).await?;
    futures::stream::iter(&mut *shape)
        .map(|batch| writer.write(batch))
        .buffer_unordered(arguments.concurrency)
        .try_collect::<()>()
        .await?;
    println!("loaded {} in {:.1} s", shape.summary(), started.elapsed().as_secs_f64());
    Ok(())
}

async fn create(session: &Session, arguments: &Arguments, schema: Vec<String>) -> Result<(), ExecutionError> {
    let Arguments { table, replication, .. } = arguments;
    let mut statements = vec![format!(
        r#"CREATE KEYSPACE IF NOT EXISTS "{}"
           WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {replication}}}"#,
        table.keyspace
    )];
    if arguments.drop {
        statements.push(format!("DROP TABLE IF EXISTS {table}"));
    }
    statements.extend(schema);
    for statement in statements {
        session.query_unpaged(statement, ()).await?;
    }
    Ok(())
}

/// Sends batches. Each is of one partition, which makes it a single mutation, exempt from the limits of batch sizes.
struct Writer<'a> {
    session: &'a Session,
    statements: Vec<PreparedStatement>,
}

impl<'a> Writer<'a> {
    async fn prepare(session: &'a Session, texts: Vec<String>) -> Result<Writer<'a>, PrepareError> {
        let mut statements = Vec::new();
        for text in texts {
            statements.push(session.prepare(text).await?);
        }
        Ok(Writer { session, statements })
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), ExecutionError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        for write in &writes {
            batch.append_statement(self.statements[write.statement].clone());
        }
        let values: Vec<_> = writes.into_iter().map(|write| write.values).collect();
        // A node that is busy with other work sheds some of this load; every statement can be repeated.
        let mut attempt = 1;
        loop {
            match self.session.batch(&batch, &values).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100 << attempt)).await,
            }
            attempt += 1;
        }
    }
}

/// Run them with `cargo test --examples`.
#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    /// The writes of 5 rows, and how many values each statement takes.
    fn of(shape: ShapeName, seed: &str) -> (Vec<Write>, Vec<usize>) {
        let arguments = Arguments::parse_from(["load", "--host", "h", "--table", "k.t", "--rows", "5", "--seed", seed]);
        let mut made = shape.of(&arguments);
        let writes = made.by_ref().flatten().collect();
        (writes, made.statements(&arguments.table).iter().map(|text| text.matches('?').count()).collect())
    }

    #[test]
    fn each_write_has_the_values_of_its_statement() {
        for shape in ShapeName::value_variants() {
            let (writes, placeholders) = of(*shape, "1");
            assert!(writes.iter().filter(|write| write.statement == 0).count() == 5, "a row each");
            for Write { statement, values } in writes {
                assert_eq!(values.len(), placeholders[statement], "{statement}");
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_data() {
        for shape in ShapeName::value_variants() {
            let data = |seed| format!("{:?}", of(*shape, seed).0.iter().map(|write| &write.values).collect::<Vec<_>>());
            assert!(data("1") == data("1"));
            assert!(data("1") != data("2"));
        }
    }
}
