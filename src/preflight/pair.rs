//! One table, on both sides, that is to be compared: less must hold of it than for a copy.

use super::error::PreflightError;
use super::table::{describe, expect_exact, means, patiently, refusal, still, try_read, try_write};
use super::{PATIENCE, ReadyPair, Sides};
use crate::cluster::Cluster;
use crate::cluster::source::unreadable;
use crate::event::Events;
use crate::job::JobTable;
use crate::row::Layout;
use crate::schema::Table;
use crate::schema::compare::compare;
use crate::schema::order::RowOrder;
use crate::settings::Settings;
use crate::side::Side;
use std::sync::Arc;

/// Looks at a table on both sides.
///
/// # Errors
/// The first thing that stands in the way of comparing it, or of mending it.
pub(super) async fn look(
    sides: &Sides,
    table: &JobTable,
    mends: bool,
    settings: &Settings,
    events: &Events,
) -> Result<ReadyPair, PreflightError> {
    let Sides { source, target } = sides;
    let (source_table, target_table) =
        tokio::join!(describe(source, &table.source, events), describe(target, &table.target, events));
    let (source_table, target_table) = (source_table?, target_table?);
    if let Some(known) = &table.admitted {
        still(Side::Source, &table.source, known, Some(&source_table))?;
        still(Side::Target, &table.target, known, Some(&target_table))?;
    }
    let differences = compare(&source_table, &target_table);
    if !differences.is_empty() {
        let (source_table, target_table) = (table.source.clone(), table.target.clone());
        return Err(PreflightError::Differ { source_table, target_table, differences });
    }
    if source_table.is_compact || target_table.is_compact {
        return Err(PreflightError::Compact { table: table.source.clone() });
    }
    let order = RowOrder::of(&source_table)
        .map_err(|error| PreflightError::Unordered { table: table.source.clone(), error })?;
    let (source_layout, target_layout) =
        tokio::join!(layout(source, &source_table, events), layout(target, &target_table, events));
    let (source_layout, target_layout) = (source_layout?, target_layout?);
    let (source_reader, target_reader) = tokio::join!(
        try_read(source, &source_table, &source_layout, events),
        try_read(target, &target_table, &target_layout, events)
    );
    let writer = if mends {
        let means = means(sides, &source_table, &target_table, settings, events).await?;
        expect_exact(&source_table, &target_table, &means)?;
        Some(try_write(target, &target_table, means.lists, events).await?)
    } else {
        None
    };
    Ok(ReadyPair {
        source_reader: source_reader?,
        target_reader: target_reader?,
        source_layout,
        target_layout,
        order,
        writer,
        source: source_table,
        target: target_table,
    })
}

/// What stands where in a row of a side. Both have the same keys and values; what each can tell of them may differ.
async fn layout(cluster: &Cluster, table: &Table, events: &Events) -> Result<Arc<Layout>, PreflightError> {
    let unreadable = patiently(cluster, PATIENCE, events, || unreadable(cluster, table)).await;
    let unreadable = unreadable.map_err(|error| refusal(cluster, &table.name, "read", "SELECT", error))?;
    Ok(Arc::new(table.layout(|column| !unreadable.contains(&column.name))))
}
