//! Tables, views and keyspaces as ScyllaDB takes them. It refuses options that it doesn't know: `cf_prop_defs::validate` in its
//! `cql3/statements/cf_prop_defs.cc`, from which the names below are.

use super::model::{Options, TableDefinition, View};
use super::render::literal;
use super::{compaction, compression};
use crate::cluster::record::Cell;
use crate::schema::{Column, CqlType};
use std::collections::BTreeMap;

/// Taken as they are.
const KEPT: [&str; 9] = [
    "bloom_filter_fp_chance",
    "comment",
    "crc_check_chance",
    "default_time_to_live",
    "gc_grace_seconds",
    "max_index_interval",
    "min_index_interval",
    "paxos_grace_seconds",
    "synchronous_updates",
];
/// The shortest period of flushing that is taken (`DEFAULT_MEMTABLE_FLUSH_PERIOD_MIN_VALUE`), but for 0.
const MIN_FLUSH_PERIOD_MS: u64 = 60_000;

/// Something as `ScyllaDB` takes it.
#[derive(Debug)]
pub(super) struct Translated<T> {
    /// It.
    pub(super) what: T,
    /// What was changed, for the operator.
    pub(super) notes: Vec<String>,
}

/// A table, or why it can't be had.
pub(super) fn table(table: &TableDefinition) -> Result<Translated<TableDefinition>, String> {
    if table.is_compact() {
        return Err(
            "COMPACT STORAGE, which ScyllaDB doesn't create: run `ALTER TABLE … DROP COMPACT STORAGE` at the source \
                    first, or create a table with the columns that you want and copy into it"
                .to_owned(),
        );
    }
    columns(&table.table.columns)?;
    let Translated { what: options, mut notes } = options(&table.options);
    notes.extend(table.masks.iter().map(|(column, mask)| {
        format!("column {column}: left out, ScyllaDB has no dynamic data masking: MASKED WITH {mask}")
    }));
    let is_time_window = matches!(table.options.get("compaction"), Some(Cell::Map(map))
        if map.get("class").is_some_and(|class| class.ends_with("TimeWindowCompactionStrategy")));
    if is_time_window && table.options.get("default_time_to_live").is_none_or(|ttl| literal(ttl) == "0") {
        notes.push(
            "TimeWindowCompactionStrategy without default_time_to_live: ScyllaDB may warn or refuse by its guardrails"
                .to_owned(),
        );
    }
    if table.is_counter() {
        notes.push(
            "counters: a ScyllaDB that refuses them in a keyspace with tablets (2025.2 does) needs one created with \
             `AND tablets = {'enabled': false}`"
                .to_owned(),
        );
    }
    let what = TableDefinition { options, masks: BTreeMap::new(), ..table.clone() };
    Ok(Translated { what, notes })
}

/// A view, or why it can't be had.
pub(super) fn view(view: &View) -> Result<Translated<View>, String> {
    columns(&view.table.columns)?;
    let Translated { what: options, notes } = options(&view.options);
    Ok(Translated { what: View { options, ..view.clone() }, notes })
}

fn columns(columns: &[Column]) -> Result<(), String> {
    let empty = CqlType::Native("empty".to_owned());
    for Column { name, cql_type, .. } in columns {
        if let Some(class) = cql_type.custom_class() {
            return Err(format!("the type of the column {name} is a Java class that ScyllaDB doesn't have: {class}"));
        }
        if *cql_type == empty {
            return Err(format!(
                "the column {name} is of the type `empty`, left by COMPACT STORAGE: drop it at the source"
            ));
        }
    }
    Ok(())
}

fn options(options: &Options) -> Translated<Options> {
    let (mut what, mut notes, mut dropped) = (Options::new(), Vec::new(), Vec::new());
    for (name, value) in options {
        match (name.as_str(), value) {
            (name, _) if KEPT.contains(&name) => {
                what.insert(name.to_owned(), value.clone());
            }
            ("speculative_retry", Cell::Text(text)) => {
                let (retry, note) = speculative_retry(text);
                notes.extend(note);
                what.insert(name.clone(), Cell::Text(retry));
            }
            ("compaction", Cell::Map(map)) => {
                let (map, more) = compaction::translate(map);
                notes.extend(more);
                what.insert(name.clone(), Cell::Map(map));
            }
            ("compression", Cell::Map(map)) => {
                let (map, more) = compression::translate(map);
                notes.extend(more);
                what.insert(name.clone(), Cell::Map(map));
            }
            // `caching_options::from_map` refuses all others.
            ("caching", Cell::Map(map)) => {
                let known = |name: &str| matches!(name, "keys" | "rows_per_partition" | "enabled");
                let (map, other): (BTreeMap<_, _>, BTreeMap<_, _>) = map.clone().into_iter().partition(|(k, _)| known(k));
                dropped.extend(other.iter().map(|(name, value)| format!("caching.{name} = {value}")));
                what.insert(name.clone(), Cell::Map(map));
            }
            ("memtable_flush_period_in_ms", Cell::Number(ms)) => {
                if ms.parse().is_ok_and(|ms: u64| ms == 0 || ms >= MIN_FLUSH_PERIOD_MS) {
                    what.insert(name.clone(), value.clone());
                } else {
                    notes.push(format!("left out, ScyllaDB takes 0 or {MIN_FLUSH_PERIOD_MS} and above: {name} = {ms}"));
                }
            }
            // ScyllaDB's own is another thing: a log table (`cdc/cdc_extension.hh` takes a map only).
            ("cdc", Cell::Flag(true)) => notes.push(
                "cdc = true isn't taken over: ScyllaDB's CDC writes a log table; add `cdc = {'enabled': true}` where you read that"
                    .to_owned(),
            ),
            ("cdc", Cell::Flag(false)) => {}
            // Maps are of ScyllaDB itself, where it is the source.
            ("cdc" | "tombstone_gc" | "per_partition_rate_limit" | "tablets", Cell::Map(_)) => {
                what.insert(name.clone(), value.clone());
            }
            _ => dropped.push(format!("{name} = {}", literal(value))),
        }
    }
    if !dropped.is_empty() {
        notes.push(format!("left out, ScyllaDB has no such option: {}", dropped.join(", ")));
    }
    Translated { what, notes }
}

/// `NONE`, `ALWAYS`, `Nms` and `NPERCENTILE` is all that there is: `speculative_retry::from_sstring` in its `schema/schema.hh`.
fn speculative_retry(text: &str) -> (String, Option<String>) {
    let upper = text.to_ascii_uppercase();
    let number = |text: &str| text.parse::<f64>().ok();
    let percentile = |text: &str| text.strip_suffix("PERCENTILE").or_else(|| text.strip_suffix('P')).and_then(number);
    let changed = |to: String| {
        let note = (to != upper).then(|| format!("speculative_retry: {text} is {to} in ScyllaDB"));
        (to, note)
    };
    match upper.as_str() {
        "ALWAYS" | "NONE" => (upper, None),
        "NEVER" => changed("NONE".to_owned()),
        _ if upper.strip_suffix("MS").and_then(number).is_some() => (text.to_ascii_lowercase(), None),
        _ => {
            if let Some(percent) = percentile(&upper) {
                return changed(format!("{percent:?}PERCENTILE"));
            }
            // MIN(99p,50ms) and MAX(…): the part that ScyllaDB has.
            let inner = upper.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
            let percent = inner.and_then(|inner| inner.split(',').find_map(|part| percentile(part.trim())));
            let to = format!("{:?}PERCENTILE", percent.unwrap_or(99.0));
            let note = format!("speculative_retry: ScyllaDB has nothing like {text}; {to} is the nearest");
            (to, Some(note))
        }
    }
}

/// A keyspace's options.
pub(super) fn keyspace(options: &Options) -> Translated<Options> {
    let (mut what, mut notes) = (Options::new(), Vec::new());
    for (name, value) in options {
        match (name.as_str(), value) {
            ("replication", Cell::Map(map)) => {
                let mut map = map.clone();
                notes.extend(replication(&mut map));
                what.insert(name.clone(), Cell::Map(map));
            }
            ("durable_writes", _) => {
                what.insert(name.clone(), value.clone());
            }
            _ => notes.push(format!("left out, ScyllaDB has no such option: {name} = {}", literal(value))),
        }
    }
    Translated { what, notes }
}

fn replication(map: &mut BTreeMap<String, String>) -> Vec<String> {
    let mut notes = Vec::new();
    let class = map.get("class").map_or("", |class| compaction::short_class(class)).to_owned();
    match class.as_str() {
        "NetworkTopologyStrategy" => {}
        "SimpleStrategy" => notes.push(
            "SimpleStrategy knows no datacenters, and ScyllaDB's tablets don't take it: `--replication 'DC:N'` names the target's"
                .to_owned(),
        ),
        _ => notes.push(format!("ScyllaDB may not have {class}: `--replication 'DC:N'` names the target's datacenters")),
    }
    for (name, value) in map.iter_mut().filter(|(name, _)| *name != "class") {
        // "3/1": one of three replicas is transient.
        if let Some((all, _)) = value.split_once('/') {
            notes.push(format!("{name}: {value} has transient replicas, which ScyllaDB doesn't have: {all}"));
            *value = all.to_owned();
        }
    }
    map.insert("class".to_owned(), class);
    notes
}
