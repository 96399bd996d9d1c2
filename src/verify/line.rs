//! The line of a difference, and of what was done about it, as JSON: keys as CQL literals for `cqlsh`, raw bytes beside.

use super::difference::{CellState, Class, Classes, ColumnDifference, ElementKey, ListChange};
use crate::row::RowKey;
use crate::schema::literal::literal;
use crate::schema::{CqlType, Table, TableName};
use serde::{Serialize, Serializer};
use std::fmt::Write;

/// Values are shown up to so many bytes of text. Keys are shown whole.
const SHOWN: usize = 200;
/// Values of more bytes are shown as bytes: it isn't worth the memory to spell them out.
const LITERAL: usize = 64 << 10;

/// What of a table goes into its lines.
#[derive(Clone, Debug)]
pub struct LineTable {
    source: String,
    target: String,
    /// Names and types of the primary key's columns.
    key: Vec<(String, CqlType)>,
    /// The same of the others, in the order of [`crate::row::Layout::values`].
    values: Vec<(String, CqlType)>,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferenceLine {
    /// The table's name at the source.
    pub table: String,
    /// The same at the target.
    pub target: String,
    /// The worst of `classes`.
    pub class: Option<Class>,
    /// All that the row shows, the worst first.
    pub classes: Classes,
    /// The primary key as CQL literals; of statics, the partition key.
    pub key: KeyLiterals,
    /// The same as raw bytes, in the order of the key.
    pub key_hex: Vec<String>,
    /// The partition's token.
    pub token: i64,
    /// Whether these are a partition's statics.
    #[serde(rename = "static")]
    pub is_static: bool,
    /// What differs of it.
    pub columns: Vec<ColumnLine>,
    /// Whether all of it is what a copy does by design.
    pub harmless: bool,
    /// What else there is to say.
    pub note: Option<String>,
}

/// A row that was written to the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrittenLine {
    /// What was done.
    #[serde(rename = "type")]
    pub what: Written,
    /// The table's name at the source.
    pub table: String,
    /// The same at the target.
    pub target: String,
    /// The primary key as CQL literals; of statics, the partition key.
    pub key: KeyLiterals,
    /// The same as raw bytes, in the order of the key.
    pub key_hex: Vec<String>,
    /// The partition's token.
    pub token: i64,
    /// Whether these are a partition's statics.
    #[serde(rename = "static")]
    pub is_static: bool,
    /// Before it is done: how both sides differ, with what the target has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnLine>,
}

/// What was done to a row of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// The source's cells are going to be written.
    Repairing,
    /// What the target alone has is going to be deleted.
    Deleting,
    /// The source's cells were written, and the row is another one now.
    Repaired,
    /// It was deleted.
    Deleted,
}

/// Names of columns and their literals, in the order of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLiterals(pub Vec<(String, String)>);

impl Serialize for KeyLiterals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, literal)| (name, literal)))
    }
}

/// How one column differs, or one element of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnLine {
    /// The column's name.
    pub column: String,
    /// Which part of it: the element of a set or the key of a map as a literal, the name of a field, the index in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// How it differs.
    pub class: Class,
    /// How the elements of a list do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<ListChange>,
    /// What the source has.
    pub source: Option<CellLine>,
    /// What the target has.
    pub target: Option<CellLine>,
}

/// What a side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellLine {
    /// As a CQL literal; a long one ends in "…".
    pub value: String,
    /// The raw bytes; long ones end in "…".
    pub hex: String,
    /// Microseconds since the Unix epoch by convention.
    pub writetime: Option<i64>,
    /// Seconds since the Unix epoch; none for "never".
    pub expires_at: Option<i64>,
}

impl LineTable {
    /// Of a table of the source, and where it goes.
    pub fn new(source: &Table, target: &TableName) -> LineTable {
        let described = |column: &crate::schema::Column| (column.name.clone(), column.cql_type.clone());
        LineTable {
            source: source.name.to_string(),
            target: target.to_string(),
            key: source.key_columns().map(described).collect(),
            values: source.value_columns().into_iter().map(described).collect(),
        }
    }

    /// The line of a row that differs, or of a partition's statics.
    pub fn difference(
        &self,
        key: &RowKey,
        is_static: bool,
        classes: Classes,
        columns: &[ColumnDifference],
        note: Option<String>,
    ) -> DifferenceLine {
        let (literals, key_hex) = self.key(key, is_static);
        DifferenceLine {
            table: self.source.clone(),
            target: self.target.clone(),
            class: classes.first(),
            classes,
            key: literals,
            key_hex,
            token: key.token().0,
            is_static,
            columns: columns.iter().map(|difference| self.column(difference)).collect(),
            harmless: classes.is_harmless(),
            note,
        }
    }

    /// The line of a row that was written to the target, or of a partition's statics.
    pub fn written(&self, what: Written, key: &RowKey, is_static: bool, columns: &[ColumnDifference]) -> WrittenLine {
        let (literals, key_hex) = self.key(key, is_static);
        WrittenLine {
            what,
            table: self.source.clone(),
            target: self.target.clone(),
            key: literals,
            key_hex,
            token: key.token().0,
            is_static,
            columns: columns.iter().map(|difference| self.column(difference)).collect(),
        }
    }

    fn key(&self, key: &RowKey, is_static: bool) -> (KeyLiterals, Vec<String>) {
        let mut cells = key.partition_key();
        if !is_static {
            cells.extend(key.clustering_key().unwrap_or_default());
        }
        let named = self.key.iter().zip(&cells);
        let named = named.map(|((name, cql_type), cell)| (name.clone(), literal(cql_type, cell)));
        (KeyLiterals(named.collect()), cells.iter().map(|cell| hex(cell, cell.len())).collect())
    }

    fn column(&self, difference: &ColumnDifference) -> ColumnLine {
        let (name, cql_type) = &self.values[difference.value];
        let (element, cql_type) = match &difference.element {
            None => (None, cql_type),
            Some(element) => {
                let (element, cql_type) = named(cql_type, element);
                (Some(element), cql_type)
            }
        };
        let cell = |state: &CellState| CellLine {
            value: shown(cql_type, &state.bytes),
            hex: hex(&state.bytes, SHOWN / 2),
            writetime: state.writetime,
            expires_at: state.expires_at,
        };
        ColumnLine {
            column: name.clone(),
            element,
            class: difference.class,
            list: difference.list,
            source: difference.source.as_ref().map(cell),
            target: difference.target.as_ref().map(cell),
        }
    }
}

/// An element as text, and the type of its cell.
fn named<'a>(column: &'a CqlType, element: &ElementKey) -> (String, &'a CqlType) {
    match (element, column) {
        (ElementKey::Key(key), CqlType::Collection(_, types)) => {
            let (of_key, of_cell) = (types.first().unwrap_or(column), types.last().unwrap_or(column));
            (shown(of_key, key), of_cell)
        }
        (ElementKey::Index(index), CqlType::Collection(_, types)) => {
            (index.to_string(), types.last().unwrap_or(column))
        }
        (ElementKey::Field(index), CqlType::Udt(_, fields)) if *index < fields.len() => {
            (fields[*index].0.clone(), &fields[*index].1)
        }
        (ElementKey::Key(key), _) => (hex(key, SHOWN / 2), column),
        (ElementKey::Field(index) | ElementKey::Index(index), _) => (index.to_string(), column),
    }
}

/// The literal of a value; of a long one, how it begins.
fn shown(cql_type: &CqlType, bytes: &[u8]) -> String {
    if bytes.len() > LITERAL {
        return hex(bytes, SHOWN / 2);
    }
    let mut text = literal(cql_type, bytes);
    if text.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// The first bytes.
fn hex(bytes: &[u8], shown: usize) -> String {
    let mut text = "0x".to_owned();
    for byte in bytes.iter().take(shown) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > shown {
        text.push('…');
    }
    text
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
