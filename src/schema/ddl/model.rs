//! What there is in a cluster's schema, as plain data.

use crate::cluster::record::Cell;
use crate::schema::Table;
use std::collections::{BTreeMap, BTreeSet};

/// Options of a keyspace, a table or a view, by name.
pub(crate) type Options = BTreeMap<String, Cell>;

/// The keyspaces of a cluster, or those of them that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By name.
    pub keyspaces: BTreeMap<String, Keyspace>,
}

/// A keyspace and what is in it.
#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    /// `replication`, `durable_writes` and whatever else there is.
    pub options: Options,
    /// User-defined types, by name: their fields in order, with the text of their types.
    pub types: BTreeMap<String, Vec<(String, String)>>,
    /// By name.
    pub tables: BTreeMap<String, TableDefinition>,
    /// By name.
    pub views: BTreeMap<String, View>,
    /// By name.
    pub indexes: BTreeMap<String, Index>,
    /// By table and name.
    pub triggers: BTreeMap<(String, String), String>,
    /// User-defined functions and aggregates: their names with the types of their arguments.
    pub functions: Vec<String>,
    /// What is to be said of it. Anybody's text.
    pub notes: Vec<String>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct TableDefinition {
    /// Name, key and columns.
    pub table: Table,
    /// Everything that stands behind `WITH`.
    pub options: Options,
    /// How the storage engine sees the table; without `compound` it is of the old, compact kind.
    pub flags: BTreeSet<String>,
    /// What a role without `UNMASK` sees of a column: the text behind `MASKED WITH`.
    pub masks: BTreeMap<String, String>,
    /// Columns that have constraints, a feature of Cassandra 6.
    pub constrained: BTreeSet<String>,
}

/// A materialized view.
#[derive(Clone, Debug)]
pub struct View {
    /// Name, key and columns.
    pub table: Table,
    /// The table that it shows, in the same keyspace.
    pub base: String,
    /// Whether it was made with `SELECT *`.
    pub all_columns: bool,
    /// The text behind `WHERE`.
    pub filter: String,
    /// Everything that stands behind `WITH`.
    pub options: Options,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The table that it indexes.
    pub table: String,
    /// What of the table.
    pub target: IndexTarget,
    /// The class of an index that isn't of the plain kind.
    pub class: Option<String>,
    /// The options of such an index.
    pub options: BTreeMap<String, String>,
}

/// What an index is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexTarget {
    /// `keys`, `values`, `entries` or `full` of a collection.
    pub part: Option<String>,
    /// The column.
    pub column: String,
}

impl IndexTarget {
    /// Reads `v`, `"V"`, `values(tags)` …, as `system_schema.indexes` spells it.
    pub fn parse(text: &str) -> IndexTarget {
        let of = |part: &str| {
            let inner = text.strip_prefix(part)?.strip_prefix('(')?.strip_suffix(')')?;
            Some((part.to_owned(), inner))
        };
        let found = ["keys", "values", "entries", "full"].into_iter().find_map(of);
        let (part, column) = found.map_or((None, text), |(part, column)| (Some(part), column));
        let column = match column.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => column.to_owned(),
        };
        IndexTarget { part, column }
    }
}

impl TableDefinition {
    /// Whether the table was made `WITH COMPACT STORAGE`, or by Thrift.
    pub fn is_compact(&self) -> bool {
        !self.flags.contains("compound") || self.flags.contains("dense") || self.flags.contains("super")
    }

    /// Whether the table counts.
    pub fn is_counter(&self) -> bool {
        self.flags.contains("counter")
    }
}

impl Keyspace {
    /// The user-defined types, each behind those that its fields name. Types can't contain themselves; a schema that says
    /// otherwise gets them in the order of their names.
    pub fn types_in_order(&self) -> Vec<&str> {
        fn visit<'a>(keyspace: &'a Keyspace, name: &'a str, path: &mut Vec<&'a str>, order: &mut Vec<&'a str>) {
            if order.contains(&name) || path.contains(&name) {
                return;
            }
            path.push(name);
            for inner in keyspace.inner_types(name) {
                visit(keyspace, inner, path, order);
            }
            path.pop();
            order.push(name);
        }
        let mut order = Vec::new();
        for name in self.types.keys() {
            visit(self, name, &mut Vec::new(), &mut order);
        }
        order
    }

    /// The types that the fields of `name` name.
    pub(super) fn inner_types(&self, name: &str) -> Vec<&str> {
        use crate::schema::CqlType;
        let fields = self.types.get(name).map(Vec::as_slice).unwrap_or_default();
        let parsed = fields.iter().filter_map(|(_, text)| CqlType::parse(text, &BTreeMap::new()).ok());
        let named: BTreeSet<String> =
            parsed.flat_map(|found| found.udts().into_iter().map(str::to_owned).collect::<Vec<_>>()).collect();
        self.types.keys().map(String::as_str).filter(|known| named.contains(*known)).collect()
    }

    /// Leaves out the types that no table needs.
    pub fn keep_used_types(&mut self) {
        let mut used: BTreeSet<String> = BTreeSet::new();
        let columns = self.tables.values().flat_map(|table| &table.table.columns);
        let mut wanted: Vec<String> = columns.flat_map(|column| column.cql_type.udts()).map(str::to_owned).collect();
        while let Some(name) = wanted.pop() {
            if used.insert(name.clone()) {
                wanted.extend(self.inner_types(&name).into_iter().map(str::to_owned));
            }
        }
        self.types.retain(|name, _| used.contains(name));
    }

    /// The indexes of a table.
    pub fn indexes_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a String, &'a Index)> {
        self.indexes.iter().filter(move |(_, index)| index.table == table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_targets_are_read_with_their_quotes() {
        let parsed = |text| {
            let target = IndexTarget::parse(text);
            (target.part.unwrap_or_default(), target.column)
        };
        assert_eq!(parsed("v"), (String::new(), "v".to_owned()));
        assert_eq!(parsed("\"a\"\"b\""), (String::new(), "a\"b".to_owned()));
        assert_eq!(parsed("values(tags)"), ("values".to_owned(), "tags".to_owned()));
        assert_eq!(parsed("keys(\"M(1)\")"), ("keys".to_owned(), "M(1)".to_owned()));
        assert_eq!(parsed("\"keys(m)\""), (String::new(), "keys(m)".to_owned()), "a column of that very name");
    }

    #[test]
    fn types_come_behind_what_they_name() {
        let fields = |texts: &[&str]| texts.iter().map(|text| ("f".to_owned(), (*text).to_owned())).collect::<Vec<_>>();
        let keyspace = Keyspace {
            types: BTreeMap::from([
                ("a".to_owned(), fields(&["frozen<list<frozen<z>>>", "int"])),
                ("m".to_owned(), fields(&["int"])),
                ("z".to_owned(), fields(&["frozen<m>"])),
                ("loop1".to_owned(), fields(&["frozen<loop2>"])),
                ("loop2".to_owned(), fields(&["frozen<loop1>"])),
            ]),
            ..Keyspace::default()
        };
        assert_eq!(keyspace.types_in_order(), ["m", "z", "a", "loop2", "loop1"]);
    }
}
