//! One table, on both sides.

use super::error::PreflightError;
use super::{PATIENCE, ReadyTable, Sides};
use crate::call::{CallError, Class};
use crate::cluster::changes::Truncations;
use crate::cluster::source::unreadable;
use crate::cluster::target::list_way;
use crate::cluster::{Cluster, CqlSource, CqlTarget};
use crate::engine::retry::{GaveUp, with_retries};
use crate::engine::seam::{Position, Read, Scan, Source};
use crate::engine::standstill::Calls;
use crate::event::Events;
use crate::job::{Admitted, JobTable};
use crate::ring::{Token, TokenRange};
use crate::row::Layout;
use crate::schema::compare::compare;
use crate::schema::fidelity::{Fidelity, Kept, Lists, Means, fidelity};
use crate::schema::read::{ReadError, read_table};
use crate::schema::{Table, TableName};
use crate::settings::{Patience, Settings};
use crate::shutdown::Stop;
use crate::side::Side;
use std::sync::Arc;

/// Looks at a table on both sides.
///
/// # Errors
/// The first thing that stands in the way of copying it.
pub(super) async fn look(
    sides: &Sides,
    table: &JobTable,
    truncations: &[Truncations],
    settings: &Settings,
    events: &Events,
) -> Result<ReadyTable, PreflightError> {
    let Sides { source, target } = sides;
    let (from, to) = (&table.source, &table.target);
    let (source_table, target_table) = both(sides, table, truncations, events).await?;
    let differences = compare(&source_table, &target_table);
    if !differences.is_empty() {
        let (source_table, target_table) = (from.clone(), to.clone());
        return Err(PreflightError::Differ { source_table, target_table, differences });
    }
    let means = means(sides, &source_table, &target_table, settings, events).await?;
    let columns = expect_exact(&source_table, &target_table, &means)?;
    let layout = Arc::new(source_table.layout(|column| !means.unreadable.contains(&column.name)));
    let (reader, writer) = tokio::join!(
        try_read(source, &source_table, &layout, events),
        try_write(target, &target_table, means.lists, events)
    );
    let (reader, writer) = (reader?, writer?);
    Ok(ReadyTable { reader, writer, source: source_table, target: target_table, layout, fidelity: columns })
}

/// What is kept of each column, which must be all that there is.
///
/// # Errors
/// Where something of it can't be written as it is.
pub(super) fn expect_exact(source: &Table, target: &Table, means: &Means) -> Result<Vec<Fidelity>, PreflightError> {
    if !target.readded.is_empty() {
        return Err(PreflightError::Readded { table: target.name.clone(), columns: target.readded.clone() });
    }
    let columns = fidelity(source, means);
    if columns.iter().any(|column| matches!(column.kept, Kept::Refused(_))) {
        return Err(PreflightError::Inexact { table: source.name.clone(), columns });
    }
    Ok(columns)
}

/// What the two sides and the operator allow.
pub(super) async fn means(
    sides: &Sides,
    source_table: &Table,
    target_table: &Table,
    settings: &Settings,
    events: &Events,
) -> Result<Means, PreflightError> {
    let Sides { source, target } = sides;
    let unreadable = patiently(source, PATIENCE, events, || unreadable(source, source_table)).await;
    let lists = patiently(target, PATIENCE, events, || list_way(target, target_table)).await;
    Ok(Means {
        unreadable: unreadable.map_err(|error| refusal(source, &source_table.name, "read", "SELECT", error))?,
        lists: lists.map_err(|error| refusal(target, &target_table.name, "write", "MODIFY", error))?,
        counters: settings.counters,
        row_marker: settings.row_marker,
    })
}

/// Makes sure that a table of one side is what the job has taken in, given what it is now, if there is one.
///
/// # Errors
/// What changed.
pub(super) fn still(
    side: Side,
    name: &TableName,
    known: &Admitted,
    found: Option<&Table>,
) -> Result<(), PreflightError> {
    let (id, readded) = match side {
        Side::Source => (known.source_id, known.source_readded.as_str()),
        Side::Target => (known.target_id, ""),
    };
    let what = match found {
        None => "it was dropped".to_owned(),
        Some(found) if found.id != id => "it was dropped and created again".to_owned(),
        Some(found) if found.readded_description() != readded => {
            let columns: Vec<&str> = found.readded.keys().map(String::as_str).collect();
            format!("columns of it were dropped and added again: {}", columns.join(", "))
        }
        Some(found) if found.description() != known.columns => other_columns(&known.columns, &found.description()),
        Some(_) => return Ok(()),
    };
    Err(PreflightError::Changed { side, table: name.clone(), what })
}

/// Makes sure that the target's table wasn't truncated since the job has it.
///
/// # Errors
/// Where it was.
pub(super) fn untruncated(name: &TableName, known: &Admitted, now: &[Truncations]) -> Result<(), PreflightError> {
    if !now.iter().any(|now| now.is_new(known.target_id, &known.target_truncations)) {
        return Ok(());
    }
    Err(PreflightError::Changed { side: Side::Target, table: name.clone(), what: "it was truncated".to_owned() })
}

/// Describes both tables, which must be what the job has taken in, if it has.
async fn both(
    sides: &Sides,
    table: &JobTable,
    truncations: &[Truncations],
    events: &Events,
) -> Result<(Table, Table), PreflightError> {
    let (source, target) =
        tokio::join!(describe(&sides.source, &table.source, events), describe(&sides.target, &table.target, events),);
    let (source, target) = (source?, target?);
    if let Some(known) = &table.admitted {
        let of_source = still(Side::Source, &table.source, known, Some(&source));
        let of_target = still(Side::Target, &table.target, known, Some(&target));
        // Another table explains more than other columns do.
        if target.id == known.target_id { of_source.and(of_target) } else { of_target }?;
        untruncated(&table.target, known, truncations)?;
    }
    Ok((source, target))
}

/// How the columns of a table differ from those that the job knows: its descriptions then and now.
fn other_columns(then: &str, now: &str) -> String {
    let only = |text: &str, other: &str, word: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !other.lines().any(|o| o == *line));
        lines.map(|line| format!("{line} is {word}")).collect()
    };
    let changes = [only(then, now, "gone"), only(now, then, "new")].concat();
    format!("its columns are others: {}", changes.join(", "))
}

pub(super) async fn describe(cluster: &Cluster, name: &TableName, events: &Events) -> Result<Table, PreflightError> {
    let (side, table) = (cluster.side, name.clone());
    let read = || async {
        match Box::pin(read_table(cluster, name)).await {
            Err(ReadError::Call(error)) => Err(error),
            answer => Ok(answer),
        }
    };
    match patiently(cluster, PATIENCE, events, read).await.unwrap_or_else(|error| Err(error.into())) {
        Err(error) => Err(PreflightError::Schema { side, table, error }),
        Ok(None) => Err(PreflightError::NoTable { side, table }),
        Ok(Some(found)) if found.is_view => Err(PreflightError::View { side, table }),
        Ok(Some(found)) => Ok(found),
    }
}

/// Prepares the scan and reads one token's worth of it.
pub(super) async fn try_read(
    cluster: &Cluster,
    table: &Table,
    layout: &Layout,
    events: &Events,
) -> Result<CqlSource, PreflightError> {
    let refused = |error| refusal(cluster, &table.name, "read", "SELECT", error);
    let reader =
        patiently(cluster, PATIENCE, events, || CqlSource::prepare(cluster, table, layout)).await.map_err(refused)?;
    let scan = Scan::Tokens(TokenRange::of(Token(0)));
    let read = Read { scan, position: Position::default(), rows: 1, turn: 0 };
    patiently(cluster, PATIENCE, events, || reader.read_page(&read)).await.map_err(refused)?;
    Ok(reader)
}

/// Prepares the writes and tries one that can't succeed.
pub(super) async fn try_write(
    cluster: &Cluster,
    table: &Table,
    lists: Lists,
    events: &Events,
) -> Result<CqlTarget, PreflightError> {
    let refused = |error| refusal(cluster, &table.name, "write", "MODIFY", error);
    let writer =
        patiently(cluster, PATIENCE, events, || CqlTarget::prepare(cluster, table, lists)).await.map_err(refused)?;
    match patiently(cluster, PATIENCE, events, || writer.probe_permission()).await {
        Err(error) if error.class != Class::Rejected => Err(refused(error)),
        _ => Ok(writer),
    }
}

/// A call that fails for a moment is no reason not to begin.
pub(super) async fn patiently<T, F: Future<Output = Result<T, CallError>>>(
    cluster: &Cluster,
    patience: Patience,
    events: &Events,
    mut call: impl FnMut() -> F,
) -> Result<T, CallError> {
    let alone = Calls::alone(events.clone(), Stop::default());
    match with_retries(cluster.side, patience, &alone, |_| call()).await {
        Ok(value) => Ok(value),
        Err(GaveUp::Failed(error, _)) => Err(error),
        Err(GaveUp::Stopped) => Err(CallError { class: Class::Other, message: "stopped".to_owned() }),
    }
}

pub(super) fn refusal(
    cluster: &Cluster,
    table: &TableName,
    verb: &'static str,
    permission: &str,
    error: CallError,
) -> PreflightError {
    let (side, table) = (cluster.side, table.clone());
    if error.class != Class::Unauthorized {
        return PreflightError::Try { side, table, error };
    }
    let role = cluster.user.clone().unwrap_or_else(|| "anonymous".to_owned());
    let grant = format!("GRANT {permission} ON TABLE {} TO {};", table.cql(), crate::schema::statements::quote(&role));
    PreflightError::Permission { side, role, verb, table, message: error.message, grant }
}
