//! A catalog from `system_schema`. Whole rows are read, since each version has columns of its own: what isn't known by name
//! is an option.

use super::masks;
use super::merge::{MergeError, merge};
use super::model::{Catalog, Index, IndexTarget, Keyspace, Options, TableDefinition, View};
use crate::call::CallError;
use crate::cluster::Cluster;
use crate::cluster::record::Record;
use crate::job::JobTable;
use crate::schema::cql_type::{CqlType, Udts, UnknownType};
use crate::schema::{Column, ColumnKind, Descending, Table, TableName};
use crate::select::{Catalogue, SelectError, select};
use crate::settings::selection::{SYSTEM_KEYSPACES, Selection};
use crate::side::Side;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What to read of a cluster.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// All keyspaces but the database's own.
    Everything,
    /// These keyspaces, whole.
    Keyspaces(BTreeSet<String>),
    /// These tables, with their types, indexes and views, under the names that they are to have.
    Tables(Selection),
}

/// Why a schema can't be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A query failed.
    #[error("failed to read the schema of the {side}: {error}")]
    Call {
        /// Which side.
        side: Side,
        /// Why.
        error: CallError,
    },
    /// A column has a type that isn't understood.
    #[error("failed to read the table {table} of the {side}: {error}")]
    Type {
        /// Which side.
        side: Side,
        /// The table.
        table: TableName,
        /// Why.
        error: UnknownType,
    },
    /// The tables that are meant.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// They don't fit into one keyspace.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

impl CatalogError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            CatalogError::Select(error) => error.hint(),
            CatalogError::Merge(error) => Some(error.hint()),
            CatalogError::Type { .. } => Some("name the other tables with `--table KEYSPACE.TABLE`".to_owned()),
            CatalogError::Call { .. } => None,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            CatalogError::Call { error, .. } if error.class.is_trouble() => 6,
            CatalogError::Call { .. } => 1,
            CatalogError::Type { .. } | CatalogError::Select(_) | CatalogError::Merge(_) => 5,
        }
    }
}

/// Reads what is wanted of a cluster's schema. Keyspaces that aren't there aren't in the catalog either.
///
/// # Errors
/// Where the cluster doesn't answer, a table that was asked for is missing, or isn't understood.
pub async fn read_catalog(cluster: &Cluster, wanted: &Wanted) -> Result<Catalog, CatalogError> {
    let side = cluster.side;
    let call = |error| CatalogError::Call { side, error };
    let own = cluster.records("SELECT * FROM system_schema.tables WHERE keyspace_name = 'system_schema'", ());
    let keyspaces = cluster.records("SELECT * FROM system_schema.keyspaces", ());
    let (own, keyspaces) = tokio::try_join!(own, keyspaces).map_err(call)?;
    // Which of these tables there are depends on the version.
    let own: BTreeSet<String> = own.into_iter().map(|mut row| row.take_text("table_name")).collect();
    let mut found = Vec::new();
    for mut row in keyspaces {
        let name = row.take_text("keyspace_name");
        let is_wanted = match wanted {
            Wanted::Everything => !SYSTEM_KEYSPACES.contains(&name.as_str()),
            Wanted::Keyspaces(names) => names.contains(&name),
            Wanted::Tables(selection) => selection.source_keyspaces().contains(&name),
        };
        if is_wanted {
            let rows = Rows::read(cluster, &own, &name).await.map_err(call)?;
            found.push((name, options(row), rows));
        }
    }
    let tables = match wanted {
        Wanted::Tables(selection) => {
            let (tables, views) =
                (names(&found, |rows| &rows.tables, "table_name"), names(&found, |rows| &rows.views, "view_name"));
            Some(select(selection, &Catalogue { tables, views }, Vec::new())?.tables)
        }
        Wanted::Everything | Wanted::Keyspaces(_) => None,
    };
    let mut catalog = Catalog::default();
    for (name, options, rows) in found {
        let of_keyspace = |tables: &Vec<JobTable>| -> BTreeSet<String> {
            tables
                .iter()
                .filter(|table| table.source.keyspace == name)
                .map(|table| table.source.table.clone())
                .collect()
        };
        let only = tables.as_ref().map(of_keyspace);
        let keyspace = rows.keyspace(side, &name, options, only.as_ref())?;
        catalog.keyspaces.insert(name, keyspace);
    }
    match tables {
        Some(tables) => Ok(merge(&catalog, tables.into_iter().map(|table| (table.source, table.target)))?),
        None => Ok(catalog),
    }
}

/// The full names in a column of these rows.
fn names(found: &[(String, Options, Rows)], rows: impl Fn(&Rows) -> &[Record], column: &str) -> BTreeSet<TableName> {
    let of_keyspace = |(keyspace, _, all): &(String, Options, Rows)| {
        let name = |row: &Record| TableName { keyspace: keyspace.clone(), table: row.text(column).to_owned() };
        rows(all).iter().map(name).collect::<Vec<_>>()
    };
    found.iter().flat_map(of_keyspace).collect()
}

/// The rows of one keyspace.
struct Rows {
    tables: Vec<Record>,
    views: Vec<Record>,
    columns: Vec<Record>,
    types: Vec<Record>,
    indexes: Vec<Record>,
    triggers: Vec<Record>,
    functions: Vec<Record>,
    aggregates: Vec<Record>,
    masks: Vec<Record>,
    constraints: Vec<Record>,
}

impl Rows {
    async fn read(cluster: &Cluster, own: &BTreeSet<String>, keyspace: &str) -> Result<Rows, CallError> {
        let read = async |table: &str| {
            if !own.contains(table) {
                return Ok(Vec::new());
            }
            let cql = format!("SELECT * FROM system_schema.{table} WHERE keyspace_name = ?");
            cluster.records(&cql, (keyspace,)).await
        };
        Ok(Rows {
            tables: read("tables").await?,
            views: read("views").await?,
            columns: read("columns").await?,
            types: read("types").await?,
            indexes: read("indexes").await?,
            triggers: read("triggers").await?,
            functions: read("functions").await?,
            aggregates: read("aggregates").await?,
            masks: read("column_masks").await?,
            constraints: read("column_constraints").await?,
        })
    }

    /// Puts them together; of `only` these tables, where it says so, and what belongs to them.
    fn keyspace(
        self,
        side: Side,
        name: &str,
        options: Options,
        only: Option<&BTreeSet<String>>,
    ) -> Result<Keyspace, CatalogError> {
        let types: Udts = self.types.into_iter().map(user_type).collect();
        let mut columns: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for mut row in self.columns {
            columns.entry(row.take_text("table_name")).or_default().push(row);
        }
        let mut masks: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for mut row in self.masks {
            let (table, column) = (row.take_text("table_name"), row.take_text("column_name"));
            masks.entry(table).or_default().insert(column, masks::mask(row));
        }
        let mut constrained: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for mut row in self.constraints {
            constrained.entry(row.take_text("table_name")).or_default().insert(row.take_text("column_name"));
        }
        let mut describe = |row: &mut Record, column: &str, is_view: bool| {
            let table = TableName { keyspace: name.to_owned(), table: row.take_text(column) };
            let id = row.take_text("id").parse().unwrap_or(Uuid::nil());
            let columns = columns_of(columns.remove(&table.table).unwrap_or_default(), &types);
            match columns {
                Ok(columns) => {
                    Ok(Table { name: table, id, columns, readded: BTreeMap::new(), is_view, is_compact: false })
                }
                Err(error) => Err(CatalogError::Type { side, table, error }),
            }
        };
        let wanted = |table: &str| only.is_none_or(|only| only.contains(table));
        let mut keyspace = Keyspace { options, types: types.clone(), ..Keyspace::default() };
        for mut row in self.tables {
            if !wanted(row.text("table_name")) {
                continue;
            }
            let table = describe(&mut row, "table_name", false)?;
            let flags = row.take_texts("flags").into_iter().collect();
            let masks = masks.remove(&table.name.table).unwrap_or_default();
            let constrained = constrained.remove(&table.name.table).unwrap_or_default();
            let name = table.name.table.clone();
            let options = self::options(row);
            let mut definition = TableDefinition { table, options, flags, masks, constrained };
            definition.table.is_compact = definition.is_compact();
            keyspace.tables.insert(name, definition);
        }
        for mut row in self.views {
            if !wanted(row.text("base_table_name")) {
                continue;
            }
            let table = describe(&mut row, "view_name", true)?;
            row.take_text("base_table_id");
            let base = row.take_text("base_table_name");
            let (all_columns, filter) = (row.take_flag("include_all_columns"), row.take_text("where_clause"));
            let name = table.name.table.clone();
            keyspace.views.insert(name, View { table, base, all_columns, filter, options: self::options(row) });
        }
        for mut row in self.indexes {
            let (name, table) = (row.take_text("index_name"), row.take_text("table_name"));
            if wanted(&table) {
                keyspace.indexes.insert(name, index(table, row));
            }
        }
        for mut row in self.triggers {
            let table = row.take_text("table_name");
            if wanted(&table) {
                let class = row.take_map("options").remove("class").unwrap_or_default();
                keyspace.triggers.insert((table, row.take_text("trigger_name")), class);
            }
        }
        if only.is_none() {
            let functions = self.functions.into_iter().map(|row| function(row, "function_name"));
            let aggregates = self.aggregates.into_iter().map(|row| function(row, "aggregate_name"));
            keyspace.functions = functions.chain(aggregates).collect();
        }
        Ok(keyspace)
    }
}

/// What is left of a row is its options.
fn options(mut row: Record) -> Options {
    row.take_text("keyspace_name");
    row.rest()
}

fn user_type(mut row: Record) -> (String, Vec<(String, String)>) {
    let (fields, types) = (row.take_texts("field_names"), row.take_texts("field_types"));
    (row.take_text("type_name"), fields.into_iter().zip(types).collect())
}

fn columns_of(rows: Vec<Record>, types: &Udts) -> Result<Vec<Column>, UnknownType> {
    let column = |mut row: Record| {
        let position = row.take_text("position").parse().unwrap_or(0);
        let descending = row.take_text("clustering_order") == "desc";
        let kind = match row.take_text("kind").as_str() {
            "partition_key" => ColumnKind::PartitionKey(position),
            "clustering" => ColumnKind::Clustering(position, Descending(descending)),
            "static" => ColumnKind::Static,
            _ => ColumnKind::Regular,
        };
        let cql_type = CqlType::parse(&row.take_text("type"), types)?;
        Ok(Column { name: row.take_text("column_name"), kind, cql_type })
    };
    let mut columns = rows.into_iter().map(column).collect::<Result<Vec<_>, UnknownType>>()?;
    columns.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(columns)
}

fn index(table: String, mut row: Record) -> Index {
    let mut options = row.take_map("options");
    let target = IndexTarget::parse(&options.remove("target").unwrap_or_default());
    Index { table, target, class: options.remove("class_name"), options }
}

fn function(mut row: Record, column: &str) -> String {
    format!("{}({})", row.take_text(column), row.take_texts("argument_types").join(", "))
}
