//! Tables as `system_schema` describes them. Read by ourselves: the driver's own schema reader gives up on all tables when
//! it doesn't know the type of one.

use super::cql_type::{CqlType, Udts, UnknownType};
use super::{Column, ColumnKind, Descending, Table, TableName};
use crate::call::CallError;
use crate::cluster::Cluster;
use scylla::value::CqlTimestamp;
use std::collections::HashSet;
use uuid::Uuid;

/// Why a table can't be described.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The query failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A column has a type that isn't understood.
    #[error(transparent)]
    Type(#[from] UnknownType),
}

/// Describes a table; `None` where there is none of that name.
///
/// # Errors
/// Where the cluster doesn't answer, or a column's type isn't understood.
pub async fn read_table(cluster: &Cluster, name: &TableName) -> Result<Option<Table>, ReadError> {
    let key = (name.keyspace.as_str(), name.table.as_str());
    let tables = "SELECT id, flags FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let views = "SELECT id FROM system_schema.views WHERE keyspace_name = ? AND view_name = ?";
    let columns = "SELECT column_name, clustering_order, kind, position, type FROM system_schema.columns
                   WHERE keyspace_name = ? AND table_name = ?";
    let dropped = "SELECT column_name, dropped_time FROM system_schema.dropped_columns
                   WHERE keyspace_name = ? AND table_name = ?";
    let (tables, views, columns, dropped, udts) = tokio::join!(
        cluster.rows::<(Uuid, Option<HashSet<String>>)>(tables, key),
        cluster.rows::<(Uuid,)>(views, key),
        cluster.rows::<(String, Option<String>, String, i32, String)>(columns, key),
        cluster.rows::<(String, CqlTimestamp)>(dropped, key),
        read_udts(cluster, &name.keyspace),
    );
    let (id, flags, is_view) = match (tables?.into_iter().next(), views?.into_iter().next()) {
        (Some((id, flags)), _) => (id, flags, false),
        (None, Some((id,))) => (id, None, true),
        (None, None) => return Ok(None),
    };
    // Tables that CQL made are `compound` and not `dense` (Cassandra's `TableMetadata.Flag`).
    let is_compact = flags.is_some_and(|flags| {
        ["dense", "super"].iter().any(|flag| flags.contains(*flag)) || !flags.contains("compound")
    });
    let udts = udts?;
    let mut columns = columns?
        .into_iter()
        .map(|(name, order, kind, position, cql_type)| {
            let kind = match kind.as_str() {
                "partition_key" => ColumnKind::PartitionKey(position),
                "clustering" => ColumnKind::Clustering(position, Descending(order.as_deref() == Some("desc"))),
                "static" => ColumnKind::Static,
                _ => ColumnKind::Regular,
            };
            Ok(Column { name, kind, cql_type: CqlType::parse(&cql_type, &udts)? })
        })
        .collect::<Result<Vec<_>, UnknownType>>()?;
    columns.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    let is_here = |name: &String| columns.iter().any(|column| column.name == *name);
    let readded = dropped?.into_iter().filter(|(name, _)| is_here(name)).map(|(name, at)| (name, at.0)).collect();
    Ok(Some(Table { name: name.clone(), id, columns, readded, is_view, is_compact }))
}

/// What a keyspace has.
#[derive(Debug)]
pub struct Names {
    /// Its tables.
    pub tables: Vec<TableName>,
    /// Its materialized views.
    pub views: Vec<TableName>,
}

/// Names the tables and views of a keyspace; none where there is no such keyspace.
///
/// # Errors
/// Where the cluster doesn't answer.
pub async fn read_names(cluster: &Cluster, keyspace: &str) -> Result<Names, CallError> {
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let views = "SELECT view_name FROM system_schema.views WHERE keyspace_name = ?";
    let (tables, views) =
        tokio::join!(cluster.rows::<(String,)>(tables, (keyspace,)), cluster.rows::<(String,)>(views, (keyspace,)),);
    let names = |rows: Vec<(String,)>| {
        rows.into_iter().map(|(table,)| TableName { keyspace: keyspace.to_owned(), table }).collect()
    };
    Ok(Names { tables: names(tables?), views: names(views?) })
}

async fn read_udts(cluster: &Cluster, keyspace: &str) -> Result<Udts, CallError> {
    let types = "SELECT type_name, field_names, field_types FROM system_schema.types WHERE keyspace_name = ?";
    let rows = cluster.rows::<(String, Vec<String>, Vec<String>)>(types, (keyspace,)).await?;
    Ok(rows.into_iter().map(|(name, fields, types)| (name, fields.into_iter().zip(types).collect())).collect())
}
