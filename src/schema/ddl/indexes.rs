//! Indexes as ScyllaDB takes them. Of custom classes it has only `vector_index`: `get_custom_class_factory` in its
//! `index/secondary_index_manager.cc`. Its documentation says the same of storage-attached indexes: on vectors only.

use super::compaction::short_class;
use super::model::{Index, TableDefinition};
use super::render::text_literal;
use super::translate::Translated;
use crate::schema::CqlType;
use std::collections::BTreeMap;

/// Options by which a storage-attached index finds texts that aren't equal.
const ANALYSES: [(&str, &str); 3] = [("case_sensitive", "true"), ("normalize", "false"), ("ascii", "false")];

/// An index, or why it can't be had.
pub(super) fn index(index: &Index, table: &TableDefinition) -> Result<Translated<Index>, String> {
    let column = table.table.columns.iter().find(|column| column.name == index.target.column);
    let is_vector = column.is_some_and(|column| matches!(column.cql_type, CqlType::Vector(..)));
    let Some(class) = &index.class else {
        return Ok(Translated { what: index.clone(), notes: Vec::new() });
    };
    match short_class(class).to_ascii_lowercase().as_str() {
        "storageattachedindex" | "sai" if is_vector => Ok(vector(index)),
        "storageattachedindex" | "sai" => plain(index),
        "sasiindex" => Err("a SASI index; ScyllaDB has none, and none of its own that serves LIKE".to_owned()),
        _ => Err(format!("a custom index; ScyllaDB has no class {class}")),
    }
}

fn vector(index: &Index) -> Translated<Index> {
    let (options, dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
        index.options.clone().into_iter().partition(|(name, _)| name == "similarity_function");
    let mut notes =
        vec!["a storage-attached index; `vector_index` is ScyllaDB's, where it has Vector Search".to_owned()];
    notes.extend(dropped.iter().map(|(name, value)| format!("left out: {name} = {}", text_literal(value))));
    Translated { what: Index { class: Some("vector_index".to_owned()), options, ..index.clone() }, notes }
}

/// Where it only serves equality, a secondary index does the same.
fn plain(index: &Index) -> Result<Translated<Index>, String> {
    let changes_meaning =
        |(name, value): &(&String, &String)| !ANALYSES.iter().any(|(known, plain)| name == known && value == plain);
    if let Some((name, value)) = index.options.iter().find(changes_meaning) {
        return Err(format!(
            "a storage-attached index with {name} = {}; ScyllaDB has nothing like it",
            text_literal(value)
        ));
    }
    let note =
        "a storage-attached index; a secondary index serves its queries with = (and CONTAINS), not those with < or >";
    let what = Index { class: None, options: BTreeMap::new(), ..index.clone() };
    Ok(Translated { what, notes: vec![note.to_owned()] })
}
