//! Tables under the names that they are to have, each with what belongs to it. Where those of several keyspaces go into one,
//! nothing may take the place of another thing.

use super::model::{Catalog, Index, Keyspace, View};
use super::script::Kind;
use crate::schema::TableName;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Two things that would have one name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} `{name}` of `{source_keyspace}` isn't the only thing of that name that would be in `{target_keyspace}`", kind = kind.words())]
pub struct MergeError {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Where it is at the source.
    pub source_keyspace: String,
    /// Where it would be at the target.
    pub target_keyspace: String,
}

impl MergeError {
    /// The next thing to type.
    pub fn hint(&self) -> String {
        let MergeError { source_keyspace, .. } = self;
        format!("put the tables of `{source_keyspace}` into a keyspace of their own")
    }
}

/// Puts tables of `found`, each under its first name, where its second name says. Of types, those that they need.
///
/// # Errors
/// Where things that differ would have one name.
pub(super) fn merge(
    found: &Catalog,
    tables: impl IntoIterator<Item = (TableName, TableName)>,
) -> Result<Catalog, MergeError> {
    // Parts first: the types that a part needs follow from its own tables.
    let mut parts: BTreeMap<(String, String), Keyspace> = BTreeMap::new();
    for (source, target) in tables {
        let Some(keyspace) = found.keyspaces.get(&source.keyspace) else { continue };
        let Some(table) = keyspace.tables.get(&source.table) else { continue };
        let new_part =
            || Keyspace { options: keyspace.options.clone(), types: keyspace.types.clone(), ..Keyspace::default() };
        let part = parts.entry((target.keyspace.clone(), source.keyspace.clone())).or_insert_with(new_part);
        for (name, index) in keyspace.indexes_of(&source.table) {
            part.indexes.insert(name.clone(), Index { table: target.table.clone(), ..index.clone() });
        }
        for (name, view) in keyspace.views.iter().filter(|(_, view)| view.base == source.table) {
            let mut view = View { base: target.table.clone(), ..view.clone() };
            view.table.name.keyspace.clone_from(&target.keyspace);
            part.views.insert(name.clone(), view);
        }
        for ((_, name), class) in keyspace.triggers.iter().filter(|((of, _), _)| *of == source.table) {
            part.triggers.insert((target.table.clone(), name.clone()), class.clone());
        }
        let mut table = table.clone();
        table.table.name.clone_from(&target);
        part.tables.insert(target.table, table);
    }
    let mut catalog = Catalog::default();
    for ((target_keyspace, source_keyspace), mut part) in parts {
        part.keep_used_types();
        let keyspace = match catalog.keyspaces.entry(target_keyspace.clone()) {
            Entry::Vacant(entry) => entry.insert(Keyspace { options: part.options.clone(), ..Keyspace::default() }),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        if let Some((kind, name)) = clash(keyspace, &part) {
            let name = name.to_owned();
            return Err(MergeError { kind, name, source_keyspace, target_keyspace });
        }
        if keyspace.options != part.options {
            keyspace.notes.push(format!(
                "the source's keyspace `{source_keyspace}` has other options; `--replication` says what all are to have"
            ));
        }
        keyspace.types.extend(part.types);
        keyspace.tables.extend(part.tables);
        keyspace.views.extend(part.views);
        keyspace.indexes.extend(part.indexes);
        keyspace.triggers.extend(part.triggers);
    }
    Ok(catalog)
}

/// What of `part` would take the place of something in `keyspace`, or in `part` itself. No two tables have one name: that is seen to
/// when they are selected. The same type is one type.
fn clash<'a>(keyspace: &Keyspace, part: &'a Keyspace) -> Option<(Kind, &'a str)> {
    let is_other_type = |name: &str, fields| keyspace.types.get(name).is_some_and(|taken| taken != fields);
    let is_view_taken = |name: &String| {
        keyspace.views.contains_key(name) || [keyspace, part].iter().any(|of| of.tables.contains_key(name))
    };
    let types =
        part.types.iter().filter(|(name, fields)| is_other_type(name, *fields)).map(|(name, _)| (Kind::Type, name));
    let tables = part.tables.keys().filter(|name| keyspace.views.contains_key(*name)).map(|name| (Kind::Table, name));
    let views = part.views.keys().filter(|name| is_view_taken(name)).map(|name| (Kind::View, name));
    let indexes =
        part.indexes.keys().filter(|name| keyspace.indexes.contains_key(*name)).map(|name| (Kind::Index, name));
    types.chain(tables).chain(views).chain(indexes).map(|(kind, name)| (kind, name.as_str())).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::CqlType;
    use crate::schema::ddl::model::{IndexTarget, TableDefinition};
    use crate::schema::tests::table as columns_of;
    use std::collections::BTreeSet;

    fn name(text: &str) -> TableName {
        let (keyspace, table) = text.split_once('.').expect("a name");
        TableName { keyspace: keyspace.to_owned(), table: table.to_owned() }
    }

    fn definition() -> TableDefinition {
        let table = columns_of(&[("id", "pk0 int")]);
        let (options, masks) = (BTreeMap::new(), BTreeMap::new());
        TableDefinition { table, options, flags: BTreeSet::new(), masks, constrained: BTreeSet::new() }
    }

    /// A keyspace with these tables, an index and a view of the first, both named so.
    fn keyspace(tables: &[&str], index: &str, view: &str) -> Keyspace {
        let target = IndexTarget::parse("v");
        let base = tables[0].to_owned();
        let index_of = Index { table: base.clone(), target, class: None, options: BTreeMap::new() };
        let table = definition().table;
        let view_of = View { table, base, all_columns: true, filter: String::new(), options: BTreeMap::new() };
        Keyspace {
            tables: tables.iter().map(|name| ((*name).to_owned(), definition())).collect(),
            indexes: BTreeMap::from([(index.to_owned(), index_of)]),
            views: BTreeMap::from([(view.to_owned(), view_of)]),
            ..Keyspace::default()
        }
    }

    fn merged(a: Keyspace, b: Keyspace, tables: &[(&str, &str)]) -> Result<Catalog, String> {
        let found = Catalog { keyspaces: BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]) };
        let tables = tables.iter().map(|(source, target)| (name(source), name(target)));
        merge(&found, tables)
            .map_err(|error| format!("{} {} of {}", error.kind.words(), error.name, error.source_keyspace))
    }

    #[test]
    fn nothing_takes_the_place_of_something_else() {
        let both = [("a.t", "z.t"), ("b.u", "z.u")];
        let of = |a, b| merged(a, b, &both).map(|_| ()).expect_err("a clash");
        assert_eq!(of(keyspace(&["t"], "ix", "v"), keyspace(&["u"], "ix", "w")), "index ix of b");
        assert_eq!(of(keyspace(&["t"], "ix", "v"), keyspace(&["u"], "iy", "v")), "materialized view v of b");
        assert_eq!(of(keyspace(&["t"], "ix", "u"), keyspace(&["u"], "iy", "w")), "table u of b");
        assert_eq!(of(keyspace(&["t"], "ix", "v"), keyspace(&["u"], "iy", "t")), "materialized view t of b");
        let own = merged(keyspace(&["t"], "ix", "v"), Keyspace::default(), &[("a.t", "z.v")]).map(|_| ());
        assert_eq!(own.expect_err("a clash"), "materialized view v of a");
    }

    /// A keyspace with the table `t`, which has a column of the type `addr`, and a type that nobody uses.
    fn with_type(field: &str) -> Keyspace {
        let fields = |field: &str| vec![(field.to_owned(), "int".to_owned())];
        let types = BTreeMap::from([("addr".to_owned(), fields(field)), (format!("unused_{field}"), fields(field))]);
        let mut table = definition();
        table.table.columns[0].cql_type = CqlType::parse("frozen<addr>", &types).expect("a type");
        Keyspace { types, tables: BTreeMap::from([("t".to_owned(), table)]), ..Keyspace::default() }
    }

    #[test]
    fn types_of_one_name_must_be_one_type() {
        let both = [("a.t", "z.t"), ("b.t", "z.u")];
        let clash = merged(with_type("x"), with_type("y"), &both).map(|_| ());
        assert_eq!(clash.expect_err("a clash"), "type addr of b");
        let same = merged(with_type("x"), with_type("x"), &both).expect("merged");
        assert_eq!(same.keyspaces["z"].types.keys().collect::<Vec<_>>(), ["addr"]);
    }

    #[test]
    fn what_does_not_clash_is_all_there() {
        let other_options = BTreeMap::from([("durable_writes".to_owned(), crate::cluster::record::Cell::Flag(false))]);
        let b = Keyspace { options: other_options, ..keyspace(&["u"], "iy", "w") };
        let catalog = merged(keyspace(&["t", "s"], "ix", "v"), b, &[("a.t", "z.t2"), ("b.u", "z.u"), ("a.s", "y.s")]);
        let catalog = catalog.expect("merged");
        let z = &catalog.keyspaces["z"];
        assert_eq!(z.tables.keys().collect::<Vec<_>>(), ["t2", "u"]);
        assert_eq!(z.indexes.values().map(|index| index.table.as_str()).collect::<Vec<_>>(), ["t2", "u"]);
        assert_eq!(z.views.values().map(|view| view.base.as_str()).collect::<Vec<_>>(), ["t2", "u"]);
        assert!(z.notes[0].contains("`b` has other options"), "{:?}", z.notes);
        assert_eq!(catalog.keyspaces["y"].notes, [""; 0]);
    }
}
