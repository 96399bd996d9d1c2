//! `plant`: two tables on two clusters, equal but for differences of every kind that are planted in them at random, to see
//! whether `migrate verify` finds these and no others.
//!
//! ```text
//! plant --source 127.0.0.1 --target 127.0.0.2 --keyspace planted --truth truth.jsonl
//! migrate verify --source 127.0.0.1 --target 127.0.0.2 --table 'planted.*'
//! plant --truth truth.jsonl --judge migrate.db-differences.jsonl
//! ```
//!
//! With `--checkpoint`, the tables must exist and be known to that file: `plant --create-only`, then `migrate` copies the
//! empty tables, then differences are planted next to the borders of its ranges.
//!
//! Exit codes: 0 done, or what was said is the truth; 1 it isn't; 2 it could not be found out.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program of its own; this is how it speaks.

#[path = "../tests/support/planting/mod.rs"]
mod planting;

use clap::Parser;
use planting::{PLAIN, Planted, RICH, Sides, Wanted, judge};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Plants differences, or judges what a verification said of them.
#[derive(Parser)]
#[command(name = "plant")]
struct Arguments {
    /// A node of the source, HOST or HOST:PORT.
    #[arg(long, required_unless_present = "judge")]
    source: Option<String>,
    /// A node of the target.
    #[arg(long, required_unless_present = "judge")]
    target: Option<String>,
    /// The keyspace of the tables, "plain" and "rich"; all are created where they are missing.
    #[arg(long, default_value = "planted")]
    keyspace: String,
    /// Rows of "plain", beside those of special partitions.
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
    /// Rows of "rich".
    #[arg(long, default_value_t = 200_000)]
    rich_rows: u64,
    /// How often each case is planted in a table, or less often where it is small.
    #[arg(long, default_value_t = 2000)]
    per_case: u64,
    /// Another seed plants other differences.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Plant only what `--repair` and `--delete-extra` can mend.
    #[arg(long)]
    mendable: bool,
    /// Create the tables, plant nothing.
    #[arg(long)]
    create_only: bool,
    /// A checkpoint of `migrate` that has these tables: something is planted next to the borders of its ranges.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// What was planted, as JSON lines.
    #[arg(long, value_name = "FILE", required_unless_present = "create_only")]
    truth: Option<PathBuf>,
    /// Plant nothing: compare this file of differences with the truth.
    #[arg(long, value_name = "FILE")]
    judge: Option<PathBuf>,
    /// The verification came after a repair.
    #[arg(long, requires = "judge")]
    repaired: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match (&arguments.judge, &arguments.truth) {
        (Some(differences), Some(truth)) => judge_differences(truth, differences, arguments.repaired),
        _ => plant(&arguments).await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("plant: {error}");
            ExitCode::from(2)
        }
    }
}

async fn plant(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let connect = async |host: &Option<String>| -> Result<Session, Box<dyn Error>> {
        let host = host.as_deref().ok_or("--source and --target are needed")?;
        let create = format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}",
            arguments.keyspace
        );
        // Of its own keyspace only: the driver can't read every type that somebody else's table may have.
        let session = SessionBuilder::new().known_node(host).keyspaces_to_fetch([&arguments.keyspace]).build().await?;
        session.query_unpaged(create, ()).await?;
        Ok(session)
    };
    let sessions = [connect(&arguments.source).await?, connect(&arguments.target).await?];
    let sides = Sides { sessions: [&sessions[0], &sessions[1]], keyspace: &arguments.keyspace };
    let tables = [(&PLAIN, arguments.rows), (&RICH, arguments.rich_rows)];
    for (table, _) in tables {
        planting::create(&sides, table).await?;
    }
    let Some(truth) = arguments.truth.as_deref().filter(|_| !arguments.create_only) else { return Ok(()) };
    let mut file = BufWriter::new(File::create(truth)?);
    for (table, rows) in tables {
        let started = Instant::now();
        let borders = arguments.checkpoint.as_deref().map_or(Ok(Vec::new()), |path| borders(path, table.name))?;
        let Arguments { per_case, seed, mendable, .. } = *arguments;
        let truth = planting::plant(&sides, table, &Wanted { rows, per_case, seed, borders, mendable }).await?;
        for planted in &truth.planted {
            writeln!(file, "{}", serde_json::to_string(planted)?)?;
        }
        let (rows, count, seconds) = (truth.rows, truth.planted.len(), started.elapsed().as_secs_f64());
        println!("{}.{}: of {rows} rows and statics, {count} differ; {seconds:.1} s", arguments.keyspace, table.name);
    }
    file.flush()?;
    Ok(())
}

/// The last tokens of the table's ranges.
fn borders(checkpoint: &Path, table: &str) -> rusqlite::Result<Vec<i64>> {
    let connection = rusqlite::Connection::open_with_flags(checkpoint, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare(
        "SELECT last_token FROM token_range JOIN copied_table ON copied_table.id = table_id WHERE source_table = ?",
    )?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn judge_differences(truth: &Path, differences: &Path, repaired: bool) -> Result<bool, Box<dyn Error>> {
    let lines = BufReader::new(File::open(truth)?).lines();
    let planted: Vec<Planted> =
        lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_, Box<dyn Error>>>()?;
    let truth = if repaired { judge::truth_after_repair(&planted) } else { judge::truth(&planted) };
    let found = judge::read(BufReader::new(File::open(differences)?))?;
    let errors = judge::errors(&truth, &found, &planted, 3);
    for error in &errors {
        println!("{error}");
    }
    for (class, count) in judge::counts(&truth) {
        println!("{count:>10}  {class}");
    }
    println!("{} rows and statics differ, {} were found", truth.len(), found.len());
    Ok(errors.is_empty())
}
