//! Rows of system tables whose columns differ from version to version: cells by their column's name.

use super::{Cluster, call};
use crate::call::CallError;
use scylla::statement::{Consistency, Statement};
use scylla::value::{CqlValue, Row};
use std::collections::BTreeMap;

/// A row of a system table. Columns that are null aren't there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(BTreeMap<String, Cell>);

/// A cell of a system table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `text`, and `uuid` as text.
    Text(String),
    /// Any number, as CQL text.
    Number(String),
    /// `boolean`.
    Flag(bool),
    /// A list or a set: its elements as text.
    Texts(Vec<String>),
    /// A map: keys and values as text, blobs in hexadecimal.
    Map(BTreeMap<String, String>),
}

impl Record {
    /// Takes a text out; empty where it is null.
    pub fn take_text(&mut self, column: &str) -> String {
        match self.0.remove(column) {
            Some(Cell::Text(text) | Cell::Number(text)) => text,
            _ => String::new(),
        }
    }

    /// A text that stays where it is; empty where it is null.
    pub fn text(&self, column: &str) -> &str {
        match self.0.get(column) {
            Some(Cell::Text(text) | Cell::Number(text)) => text,
            _ => "",
        }
    }

    /// Takes a list out; empty where it is null.
    pub fn take_texts(&mut self, column: &str) -> Vec<String> {
        match self.0.remove(column) {
            Some(Cell::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    /// Takes a map out; empty where it is null.
    pub fn take_map(&mut self, column: &str) -> BTreeMap<String, String> {
        match self.0.remove(column) {
            Some(Cell::Map(map)) => map,
            _ => BTreeMap::new(),
        }
    }

    /// Takes a boolean out; false where it is null.
    pub fn take_flag(&mut self, column: &str) -> bool {
        matches!(self.0.remove(column), Some(Cell::Flag(true)))
    }

    /// What was not taken out.
    pub fn rest(self) -> BTreeMap<String, Cell> {
        self.0
    }
}

impl FromIterator<(String, Cell)> for Record {
    fn from_iter<T: IntoIterator<Item = (String, Cell)>>(cells: T) -> Record {
        Record(cells.into_iter().collect())
    }
}

impl Cluster {
    /// All rows of a small system query, whatever columns this version of the table has.
    ///
    /// # Errors
    /// Where the query fails.
    pub(crate) async fn records(
        &self,
        cql: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<Vec<Record>, CallError> {
        let mut statement = Statement::new(cql);
        statement.set_consistency(Consistency::LocalOne);
        statement.set_is_idempotent(true);
        let result = self.session.query_unpaged(statement, values).await.map_err(call::classify)?;
        let rows = result.into_rows_result().map_err(call::nonsense)?;
        let names: Vec<String> = rows.column_specs().iter().map(|spec| spec.name().to_owned()).collect();
        let record = |row: Row| {
            let cells = names.iter().zip(row.columns);
            cells.filter_map(|(name, value)| Some((name.clone(), cell(value?)?))).collect::<Record>()
        };
        let rows = rows.rows::<Row>().map_err(call::nonsense)?;
        rows.map(|row| row.map(record).map_err(call::nonsense)).collect()
    }

    /// Runs a statement that changes the schema, and waits until all nodes have the same one.
    ///
    /// # Errors
    /// Where the server refuses it, or the nodes don't agree in time.
    pub(crate) async fn change(&self, cql: &str) -> Result<(), CallError> {
        let mut statement = Statement::new(cql);
        statement.set_is_idempotent(false);
        // The driver waits for agreement after every answer that says the schema changed.
        self.session.query_unpaged(statement, ()).await.map_err(call::classify)?;
        Ok(())
    }
}

fn cell(value: CqlValue) -> Option<Cell> {
    Some(match value {
        CqlValue::Boolean(flag) => Cell::Flag(flag),
        CqlValue::Int(number) => Cell::Number(number.to_string()),
        CqlValue::BigInt(number) => Cell::Number(number.to_string()),
        CqlValue::Double(number) => Cell::Number(number.to_string()),
        CqlValue::Float(number) => Cell::Number(number.to_string()),
        CqlValue::List(values) | CqlValue::Set(values) => Cell::Texts(values.into_iter().filter_map(text).collect()),
        CqlValue::Map(pairs) => {
            Cell::Map(pairs.into_iter().filter_map(|(key, value)| Some((text(key)?, text(value)?))).collect())
        }
        // An empty text is a value: the comment of a table without one.
        CqlValue::Empty => Cell::Text(String::new()),
        value => Cell::Text(text(value)?),
    })
}

/// The text of a value within a collection; `None` for types that no system table nests.
fn text(value: CqlValue) -> Option<String> {
    use std::fmt::Write;
    Some(match value {
        CqlValue::Text(text) | CqlValue::Ascii(text) => text,
        CqlValue::Boolean(flag) => flag.to_string(),
        CqlValue::Int(number) => number.to_string(),
        CqlValue::Uuid(id) => id.to_string(),
        CqlValue::Blob(bytes) => bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
        _ => return None,
    })
}
