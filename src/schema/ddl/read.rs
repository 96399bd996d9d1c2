//! A catalog from `system_schema`. Whole rows are read, since each version has columns of its own: what isn't known by name
//! is an option.

use super::masks;
use super::model::{Catalog, Index, IndexTarget, Keyspace, Options, TableDefinition, View};
use crate::call::CallError;
use crate::cluster::Cluster;
use crate::cluster::record::Record;
use crate::schema::cql_type::{CqlType, Udts, UnknownType};
use crate::schema::{Column, ColumnKind, Descending, Table, TableName};
use crate::settings::selection::{SYSTEM_KEYSPACES, Selection};
use crate::settings::tables::TablePattern;
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
    /// A pattern that stands for nothing.
    #[error("`--table {pattern}` stands for no table of the {side}")]
    NoMatch {
        /// Which side.
        side: Side,
        /// The pattern.
        pattern: TablePattern,
    },
    /// A table that was asked for isn't there.
    #[error("there is no table {table} at the {side}")]
    NoTable {
        /// Which side.
        side: Side,
        /// Its name.
        table: TableName,
    },
}

impl CatalogError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            CatalogError::NoTable { .. } | CatalogError::NoMatch { .. } => Some(
                "check `--table KEYSPACE.TABLE`: names are taken as they are, upper and lower case apart".to_owned(),
            ),
            CatalogError::Type { .. } => Some("name the other tables with `--table KEYSPACE.TABLE`".to_owned()),
            CatalogError::Call { .. } => None,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            CatalogError::Call { error, .. } if error.class.is_trouble() => 6,
            CatalogError::Call { .. } => 1,
            CatalogError::Type { .. } | CatalogError::NoTable { .. } | CatalogError::NoMatch { .. } => 5,
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
    let mut catalog = Catalog::default();
    for mut row in keyspaces {
        let name = row.take_text("keyspace_name");
        let is_wanted = match wanted {
            Wanted::Everything => !SYSTEM_KEYSPACES.contains(&name.as_str()),
            Wanted::Keyspaces(names) => names.contains(&name),
            Wanted::Tables(selection) => selection.source_keyspaces().contains(&name),
        };
        if is_wanted {
            let rows = Rows::read(cluster, &own, &name).await.map_err(call)?;
            let only = match wanted {
                Wanted::Tables(selection) => Some(selected(selection, &name, &rows.tables)),
                Wanted::Everything | Wanted::Keyspaces(_) => None,
            };
            let keyspace = rows.keyspace(side, &name, options(row), only.as_ref())?;
            catalog.keyspaces.insert(name, keyspace);
        }
    }
    match wanted {
        Wanted::Tables(selection) => renamed(side, &catalog, selection),
        Wanted::Everything | Wanted::Keyspaces(_) => Ok(catalog),
    }
}

/// The tables of a keyspace that a selection comes to.
fn selected(selection: &Selection, keyspace: &str, tables: &[Record]) -> BTreeSet<String> {
    let names = tables.iter().map(|row| row.text("table_name").to_owned());
    let is_meant = |table: &String| {
        let name = TableName { keyspace: keyspace.to_owned(), table: table.clone() };
        selection.tables.iter().any(|pattern| target_of(pattern, selection, &name).is_some())
    };
    names.filter(is_meant).collect()
}

/// Where a pattern puts a table, if it stands for it.
fn target_of(pattern: &TablePattern, selection: &Selection, table: &TableName) -> Option<TableName> {
    match pattern {
        TablePattern::One { source, target } => (source == table).then(|| target.clone()),
        TablePattern::Every { from, target_keyspace } => {
            let is_meant = from.matches(table) && !selection.excludes.iter().any(|exclude| exclude.matches(table));
            is_meant.then(|| TableName { keyspace: target_keyspace.clone(), table: table.table.clone() })
        }
    }
}

/// The tables under the names that they are to have, each with what belongs to it. One that is named outright goes where that
/// says, whatever a pattern says too.
fn renamed(side: Side, found: &Catalog, selection: &Selection) -> Result<Catalog, CatalogError> {
    let names =
        || found.keyspaces.values().flat_map(|keyspace| keyspace.tables.values()).map(|table| &table.table.name);
    let mut targets: BTreeMap<&TableName, TableName> = BTreeMap::new();
    let is_one = |pattern: &&TablePattern| matches!(pattern, TablePattern::One { .. });
    let (ones, patterns): (Vec<_>, Vec<_>) = selection.tables.iter().partition(is_one);
    for pattern in ones.into_iter().chain(patterns) {
        let meant: Vec<_> = names().filter_map(|name| Some((name, target_of(pattern, selection, name)?))).collect();
        if meant.is_empty() {
            return Err(match pattern {
                TablePattern::One { source, .. } => CatalogError::NoTable { side, table: source.clone() },
                TablePattern::Every { .. } => CatalogError::NoMatch { side, pattern: pattern.clone() },
            });
        }
        for (name, target) in meant {
            targets.entry(name).or_insert(target);
        }
    }
    let mut catalog = Catalog::default();
    for (source, target) in &targets {
        let keyspace = &found.keyspaces[&source.keyspace];
        let table = &keyspace.tables[&source.table];
        let new = catalog.keyspace_mut(target);
        new.options.clone_from(&keyspace.options);
        new.types.extend(keyspace.types.clone());
        let mut table = table.clone();
        table.table.name.clone_from(target);
        new.tables.insert(target.table.clone(), table);
        for (name, index) in keyspace.indexes_of(&source.table) {
            new.indexes.insert(name.clone(), Index { table: target.table.clone(), ..index.clone() });
        }
        for (name, view) in keyspace.views.iter().filter(|(_, view)| view.base == source.table) {
            let mut view = View { base: target.table.clone(), ..view.clone() };
            view.table.name.keyspace.clone_from(&target.keyspace);
            new.views.insert(name.clone(), view);
        }
        for ((_, name), class) in keyspace.triggers.iter().filter(|((of, _), _)| *of == source.table) {
            new.triggers.insert((target.table.clone(), name.clone()), class.clone());
        }
    }
    catalog.keyspaces.values_mut().for_each(Keyspace::keep_used_types);
    Ok(catalog)
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
                Ok(columns) => Ok(Table { name: table, id, columns, is_view, is_compact: false }),
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
