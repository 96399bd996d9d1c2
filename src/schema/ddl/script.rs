//! All statements in the order in which they can be run.

use super::model::{Catalog, Index, Keyspace, Options, TableDefinition, View};
use super::replication::Replication;
use super::translate::Translated;
use super::{Dialect, Section, compare, indexes, render, translate};
use crate::cluster::record::Cell;
use crate::schema::TableName;
use crate::schema::cql_type::CqlType;
use crate::schema::statements::quote;
use std::collections::{BTreeMap, BTreeSet};

/// What is to be created, in order.
#[derive(Debug)]
pub struct Script {
    /// Keyspaces, types, tables; then indexes, views, triggers.
    pub objects: Vec<Object>,
}

/// A thing to create.
#[derive(Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// The keyspace that it is in.
    pub keyspace: String,
    /// The table that an index, a view or a trigger belongs to.
    pub base: Option<TableName>,
    /// Its name as CQL text. Anybody's text.
    pub name: String,
    /// The keyspace and the types without which it can't be, or wouldn't be what it is: their names as CQL text.
    pub needs: Vec<String>,
    /// When it is to be created.
    pub section: Section,
    /// The statement, without a semicolon; `None` where the target can't have it.
    pub statement: Option<String>,
    /// What was changed, or why there is no statement. Anybody's text.
    pub notes: Vec<String>,
    /// What the target has under this name; `None` where it has nothing, or wasn't asked.
    pub found: Option<Found>,
}

/// What there is at the target already.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The same.
    Same,
    /// Something else: each difference. Anybody's text.
    Differs(Vec<String>),
}

/// Kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are CQL's own names")]
pub enum Kind {
    Keyspace,
    Type,
    Table,
    Index,
    View,
    Trigger,
    Function,
}

impl Kind {
    /// In a word or two.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Keyspace => "keyspace",
            Kind::Type => "type",
            Kind::Table => "table",
            Kind::Index => "index",
            Kind::View => "materialized view",
            Kind::Trigger => "trigger",
            Kind::Function => "function",
        }
    }
}

impl From<Vec<String>> for Found {
    fn from(differences: Vec<String>) -> Found {
        if differences.is_empty() { Found::Same } else { Found::Differs(differences) }
    }
}

/// The statements for everything in `source`, each beside what `target` has of it.
pub fn script(
    source: &Catalog,
    target: Option<&Catalog>,
    dialect: Dialect,
    replication: Option<&Replication>,
) -> Script {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (name, keyspace) in &source.keyspaces {
        let found = target.and_then(|target| target.keyspaces.get(name));
        let writer = Writer { name, keyspace, found, dialect };
        before.push(writer.keyspace(replication));
        before.extend(keyspace.functions.iter().map(|function| writer.function(function)));
        before.extend(keyspace.types_in_order().into_iter().map(|name| writer.user_type(name)));
        before.extend(keyspace.tables.values().map(|table| writer.table(table)));
        after.extend(writer.indexes());
        after.extend(keyspace.views.values().map(|view| writer.view(view)));
        after.extend(keyspace.triggers.iter().map(|((table, name), class)| writer.trigger(table, name, class)));
    }
    before.append(&mut after);
    Script { objects: before }
}

/// Writes what is in one keyspace.
struct Writer<'a> {
    name: &'a str,
    keyspace: &'a Keyspace,
    found: Option<&'a Keyspace>,
    dialect: Dialect,
}

impl Writer<'_> {
    /// The full name of something in the keyspace.
    fn full(&self, name: &str) -> String {
        format!("{}.{}", quote(self.name), quote(name))
    }

    fn object(&self, kind: Kind, section: Section, name: &str) -> Object {
        let name = match kind {
            Kind::Keyspace => quote(name),
            _ => self.full(name),
        };
        let keyspace = self.name.to_owned();
        let needs = if kind == Kind::Keyspace { Vec::new() } else { vec![quote(self.name)] };
        Object { kind, keyspace, base: None, name, needs, section, statement: None, notes: Vec::new(), found: None }
    }

    fn keyspace(&self, replication: Option<&Replication>) -> Object {
        let mut options = self.keyspace.options.clone();
        options.extend(replication.map(|replication| ("replication".to_owned(), replication.option())));
        let Translated { what: options, mut notes } = match self.dialect {
            Dialect::Scylla => translate::keyspace(&options),
            Dialect::Cassandra => Translated { what: options, notes: Vec::new() },
        };
        notes.extend(self.keyspace.notes.iter().cloned());
        let found = self.found.map(|found| compare::options(&options, &found.options, self.dialect).into());
        let mut object = self.object(Kind::Keyspace, Section::Before, self.name);
        object.statement = Some(render::keyspace(self.name, &options));
        Object { notes, found, ..object }
    }

    /// An object that belongs to a table.
    fn object_of(&self, kind: Kind, table: &str, name: &str) -> Object {
        let base = TableName { keyspace: self.name.to_owned(), table: table.to_owned() };
        Object { base: Some(base), ..self.object(kind, Section::After, name) }
    }

    fn function(&self, signature: &str) -> Object {
        let name = format!("{}.{signature}", quote(self.name));
        let why = match self.dialect {
            Dialect::Scylla => "its code is for Cassandra's Java; ScyllaDB has Lua and WebAssembly, as an experiment",
            Dialect::Cassandra => {
                "code isn't carried over: `DESCRIBE FUNCTION` or `DESCRIBE AGGREGATE` at the source shows it"
            }
        };
        let object = self.object(Kind::Function, Section::Before, signature);
        Object { name, notes: vec![why.to_owned()], ..object }
    }

    fn user_type(&self, name: &str) -> Object {
        let mut object = self.object(Kind::Type, Section::Before, name);
        object.needs.extend(self.keyspace.inner_types(name).into_iter().map(|inner| self.full(inner)));
        let texts = &self.keyspace.types[name];
        let parse = |(field, text): &(String, String)| match CqlType::parse(text, &BTreeMap::new()) {
            Ok(cql_type) => Ok((field.clone(), cql_type)),
            Err(error) => Err(error.to_string()),
        };
        let fields = texts.iter().map(parse).collect::<Result<Vec<_>, String>>().and_then(|fields| {
            let custom = fields.iter().find_map(|(_, cql_type)| cql_type.custom_class());
            match custom.filter(|_| self.dialect == Dialect::Scylla) {
                Some(class) => Err(format!("a Java class that ScyllaDB doesn't have: {class}")),
                None => Ok(fields),
            }
        });
        match fields {
            Ok(fields) => object.statement = Some(render::user_type(self.name, name, &fields)),
            Err(why) => object.notes.push(why),
        }
        object.found = self.found.and_then(|found| Some(compare::types(texts, found.types.get(name)?).into()));
        object
    }

    /// The table as the target gets it, or why it doesn't.
    fn translated(&self, table: &TableDefinition) -> Result<Translated<TableDefinition>, String> {
        let (options, mut notes) = settable(&table.options);
        if !table.constrained.is_empty() {
            let columns: Vec<&str> = table.constrained.iter().map(String::as_str).collect();
            notes.push(format!(
                "left out, `DESCRIBE TABLE` at the source shows them: constraints of {}",
                columns.join(", ")
            ));
        }
        let table = TableDefinition { options, ..table.clone() };
        match self.dialect {
            Dialect::Scylla => {
                let Translated { what, notes: more } = translate::table(&table)?;
                notes.extend(more);
                Ok(Translated { what, notes })
            }
            Dialect::Cassandra => Ok(Translated { what: table, notes }),
        }
    }

    fn table(&self, table: &TableDefinition) -> Object {
        let name = &table.table.name.table;
        let mut object = self.object(Kind::Table, Section::Before, name);
        let types = table.table.columns.iter().flat_map(|column| column.cql_type.udts());
        object.needs.extend(types.map(|name| self.full(name)));
        let found = self.found.and_then(|found| found.tables.get(name));
        match self.translated(table) {
            Ok(Translated { what, notes }) => Object {
                statement: Some(render::table(&what)),
                notes,
                found: match found {
                    Some(found) => Some(compare::tables(&what, &comparable(found), self.dialect).into()),
                    None => self.taken(name, |found| &found.views, "a materialized view"),
                },
                ..object
            },
            Err(why) => Object { notes: vec![why], ..object },
        }
    }

    fn indexes(&self) -> Vec<Object> {
        let mut taken: BTreeSet<(String, String)> = BTreeSet::new();
        let mut objects = Vec::new();
        for (name, index) in &self.keyspace.indexes {
            let mut object = self.object_of(Kind::Index, &index.table, name);
            match self.translated_index(index) {
                // Two of Cassandra's kinds may come to the same index, which ScyllaDB takes once.
                Ok(Translated { what, .. })
                    if self.dialect == Dialect::Scylla
                        && !taken.insert((what.table.clone(), render::index_target(&what.target))) =>
                {
                    object.notes.push("another index of the same column is above".to_owned());
                }
                Ok(Translated { what, notes }) => {
                    object.statement = Some(render::index(self.name, name, &what));
                    let found = self.found.and_then(|found| found.indexes.get(name));
                    object.found = found.map(|found| compare::indexes(&what, found, self.dialect).into());
                    object.notes = notes;
                }
                Err(why) => object.notes.push(why),
            }
            objects.push(object);
        }
        objects
    }

    fn translated_index(&self, index: &Index) -> Result<Translated<Index>, String> {
        let table = self.base(&index.table)?;
        match self.dialect {
            Dialect::Scylla => indexes::index(index, table),
            Dialect::Cassandra => Ok(Translated { what: index.clone(), notes: Vec::new() }),
        }
    }

    /// The table of an index or a view, if the target gets it.
    fn base(&self, name: &str) -> Result<&TableDefinition, String> {
        let table = self.keyspace.tables.get(name).ok_or_else(|| format!("its table {name} isn't there"))?;
        self.translated(table).map_err(|_| format!("its table {name} is left out"))?;
        Ok(table)
    }

    /// Whether something of another kind has the name of a table or a view at the target. Cassandra 5.0 doesn't refuse the
    /// statement in time: it breaks on it.
    fn taken<T>(&self, name: &str, all: fn(&Keyspace) -> &BTreeMap<String, T>, kind: &str) -> Option<Found> {
        let found = self.found.filter(|found| all(found).contains_key(name));
        found.map(|_| Found::Differs(vec![format!("{kind} at the target")]))
    }

    fn view(&self, view: &View) -> Object {
        let name = &view.table.name.table;
        let object = self.object_of(Kind::View, &view.base, name);
        let found = self.found.and_then(|found| found.views.get(name));
        let plain = settable_view(view);
        let translated = self.base(&view.base).and_then(|_| match self.dialect {
            Dialect::Scylla => translate::view(&plain),
            Dialect::Cassandra => Ok(Translated { what: plain, notes: Vec::new() }),
        });
        match translated {
            Ok(Translated { what, notes }) => Object {
                statement: Some(render::view(&what)),
                notes,
                found: match found {
                    Some(found) => Some(compare::views(&what, &settable_view(found), self.dialect).into()),
                    None => self.taken(name, |found| &found.tables, "a table"),
                },
                ..object
            },
            Err(why) => Object { notes: vec![why], ..object },
        }
    }

    fn trigger(&self, table: &str, name: &str, class: &str) -> Object {
        let object = self.object_of(Kind::Trigger, table, name);
        let table = TableName { keyspace: self.name.to_owned(), table: table.to_owned() };
        match self.dialect {
            Dialect::Scylla => Object { notes: vec![format!("ScyllaDB has no triggers: {class}")], ..object },
            Dialect::Cassandra => {
                let existing = self.found.and_then(|found| found.triggers.get(&(table.table.clone(), name.to_owned())));
                let different = |found: &String| {
                    let text = format!("class: {class} expected, {found} at the target");
                    Found::from(if found == class { Vec::new() } else { vec![text] })
                };
                let found = existing.map(different);
                Object { statement: Some(render::trigger(&table, name, class)), found, ..object }
            }
        }
    }
}

/// Options without those that say nothing and those that no statement sets.
fn settable(options: &Options) -> (Options, Vec<String>) {
    let (mut kept, mut notes) = (Options::new(), Vec::new());
    for (name, value) in options {
        match (name.as_str(), value) {
            // Cassandra 4 and later keep the columns, always 0.
            ("read_repair_chance" | "dclocal_read_repair_chance", Cell::Number(chance))
                if chance.parse() == Ok(0.0_f64) => {}
            ("extensions", Cell::Map(map)) if map.is_empty() => {}
            ("extensions", Cell::Map(map)) => {
                let names: Vec<&str> = map.keys().map(String::as_str).collect();
                notes.push(format!("left out, no statement sets it: extensions of {}", names.join(", ")));
            }
            _ => {
                kept.insert(name.clone(), value.clone());
            }
        }
    }
    (kept, notes)
}

fn settable_view(view: &View) -> View {
    let (mut options, _) = settable(&view.options);
    // A view has none of its own, and the statement refuses even 0.
    options.remove("default_time_to_live");
    View { options, ..view.clone() }
}

/// What the target has, as far as a statement can say it.
fn comparable(found: &TableDefinition) -> TableDefinition {
    TableDefinition { options: settable(&found.options).0, ..found.clone() }
}
