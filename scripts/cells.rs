//! `cells`: reads a table of two clusters by CQL alone and compares every cell: its value, its writetime, and its TTL
//! within a few seconds. For scripts/smoke: `ScyllaDB` has no `sstabledump`, whose output `same` compares. For tables
//! that fit into memory. Of counters, and of collections and user-defined types that aren't frozen, only the values are
//! compared: not every `ScyllaDB` tells the writetimes of elements.
//!
//! `cells SOURCE TARGET KEYSPACE.TABLE`; exit code 0: all equal, 1: not, 2: it could not be found out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for scripts")]

use futures::TryStreamExt;
use scylla::client::session_builder::SessionBuilder;
use scylla::cluster::metadata::{ColumnType, NativeType};
use scylla::statement::Statement;
use scylla::value::{CqlValue, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// How far apart two expiries may be, in seconds: both sides are read at their own pace, and TTLs are whole seconds.
const TOLERANCE: u64 = 10;
/// How many differences are printed.
const SHOWN: usize = 20;

/// A cell that is no part of the key. The expiry is in seconds since the Unix epoch.
#[derive(Debug, PartialEq)]
struct Cell {
    value: CqlValue,
    writetime: Option<CqlValue>,
    expiry: Option<i64>,
}

/// Key and column, as text that says which cell it is; a row's key alone stands for the row, which may have no cell.
type Cells = BTreeMap<String, Option<Cell>>;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, table] = args.as_slice() else {
        eprintln!("usage: cells SOURCE TARGET KEYSPACE.TABLE");
        return ExitCode::from(2);
    };
    // At the same time, so that TTLs have the same time to run down.
    match tokio::try_join!(read(source, table), read(target, table)) {
        Ok((source, target)) => compare(&source, &target),
        Err(error) => {
            eprintln!("cells: {error}");
            ExitCode::from(2)
        }
    }
}

async fn read(host: &str, table: &str) -> Result<Cells, Box<dyn Error>> {
    let (keyspace, name) = table.split_once('.').ok_or("the table must be named KEYSPACE.TABLE")?;
    let session = SessionBuilder::new().known_node(host).keyspaces_to_fetch([keyspace]).build().await?;
    let state = session.get_cluster_state();
    let schema = state.get_keyspace(keyspace).and_then(|keyspace| keyspace.tables.get(name));
    let schema = schema.ok_or_else(|| format!("{host} has no table {table}"))?;

    let keys: Vec<&String> = schema.partition_key.iter().chain(&schema.clustering_key).collect();
    // With how much is asked of each: the value, and its writetime and TTL where it has one of each.
    let columns = schema.columns.iter().filter(|(name, _)| !keys.contains(name));
    let mut columns: Vec<(&String, usize)> =
        columns.map(|(name, column)| (name, if is_one_cell(&column.typ) { 3 } else { 1 })).collect();
    columns.sort_unstable();
    let selected = keys.iter().map(|name| format!("\"{name}\""));
    let select_cell = |(name, cells): &(&String, usize)| match cells {
        1 => format!("\"{name}\""),
        _ => format!("\"{name}\", WRITETIME(\"{name}\"), TTL(\"{name}\")"),
    };
    let selected = selected.chain(columns.iter().map(select_cell));
    let select = format!("SELECT {} FROM {table}", selected.collect::<Vec<_>>().join(", "));

    let mut cells = Cells::new();
    let mut rows = session.query_iter(Statement::new(select), &[]).await?.rows_stream::<Row>()?;
    while let Some(Row { columns: values }) = rows.try_next().await? {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let (key, mut rest) = values.split_at(keys.len());
        let key = format!("{key:?}");
        for &(column, count) in &columns {
            let (cell, after) = rest.split_at(count);
            rest = after;
            if let [Some(value), metadata @ ..] = cell {
                let writetime = metadata.first().cloned().flatten();
                let ttl = metadata.get(1).and_then(Option::as_ref).and_then(CqlValue::as_int);
                let expiry = ttl.map(|ttl| now + i64::from(ttl));
                cells.insert(format!("{key} {column}"), Some(Cell { value: value.clone(), writetime, expiry }));
            }
        }
        cells.insert(key, None);
    }
    Ok(cells)
}

/// Whether a column has one writetime and one TTL.
fn is_one_cell(column: &ColumnType<'_>) -> bool {
    !matches!(
        column,
        ColumnType::Native(NativeType::Counter)
            | ColumnType::Collection { frozen: false, .. }
            | ColumnType::UserDefinedType { frozen: false, .. }
    )
}

fn compare(source: &Cells, target: &Cells) -> ExitCode {
    let names: BTreeSet<&String> = source.keys().chain(target.keys()).collect();
    let different: Vec<&String> =
        names.into_iter().filter(|name| !equal(source.get(*name), target.get(*name))).collect();
    for name in different.iter().take(SHOWN) {
        println!("{name}\n  source: {:?}\n  target: {:?}", source.get(*name), target.get(*name));
    }
    let rows = source.values().filter(|cell| cell.is_none()).count();
    println!("{rows} rows, {} cells, {} differences", source.len() - rows, different.len());
    ExitCode::from(u8::from(!different.is_empty()))
}

fn equal(source: Option<&Option<Cell>>, target: Option<&Option<Cell>>) -> bool {
    match (source, target) {
        (Some(Some(source)), Some(Some(target))) => {
            let expiries_equal = match (source.expiry, target.expiry) {
                (Some(source), Some(target)) => source.abs_diff(target) <= TOLERANCE,
                (source, target) => source == target,
            };
            source.value == target.value && source.writetime == target.writetime && expiries_equal
        }
        (source, target) => source == target,
    }
}
