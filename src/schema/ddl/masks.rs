//! Dynamic data masks, a feature of Cassandra 5.

use crate::cluster::record::Record;
use crate::schema::ddl::render::text_literal;
use crate::schema::statements::quote;

/// Types whose values are written without quotes.
const BARE: [&str; 12] = [
    "bigint", "boolean", "counter", "decimal", "double", "float", "int", "smallint", "timeuuid", "tinyint", "uuid",
    "varint",
];

/// The text behind `MASKED WITH`, from a row of `system_schema.column_masks`.
pub(super) fn mask(mut row: Record) -> String {
    let (keyspace, function) = (row.take_text("function_keyspace"), row.take_text("function_name"));
    let types = row.take_texts("function_argument_types");
    let nulls = row.take_texts("function_argument_nulls");
    // Values that are null take no place in the list of values on some versions, an empty one on others.
    let mut values = row.take_texts("function_argument_values").into_iter();
    let with_places = values.len() == types.len();
    let mut arguments = Vec::with_capacity(types.len());
    for (i, cql_type) in types.iter().enumerate() {
        let is_null = nulls.get(i).is_some_and(|null| null == "true");
        let value = if with_places || !is_null { values.next() } else { None };
        arguments.push(match value {
            Some(value) if !is_null => {
                if BARE.contains(&cql_type.as_str()) {
                    value
                } else {
                    text_literal(&value)
                }
            }
            _ => "null".to_owned(),
        });
    }
    let function = if keyspace == "system" { function } else { format!("{}.{}", quote(&keyspace), quote(&function)) };
    format!("{function}({})", arguments.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::record::Cell;

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn arguments_are_written_as_their_types_are() {
        let texts = |texts: &[&str]| Cell::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        let row = |keyspace: &str, values: &[&str]| {
            Record::from_iter([
                ("function_keyspace".to_owned(), text(keyspace)),
                ("function_name".to_owned(), text("mask_inner")),
                ("function_argument_types".to_owned(), texts(&["int", "int", "text"])),
                ("function_argument_nulls".to_owned(), texts(&["false", "true", "false"])),
                ("function_argument_values".to_owned(), texts(values)),
            ])
        };
        assert_eq!(mask(row("system", &["1", "", "it's"])), "mask_inner(1, null, 'it''s')");
        assert_eq!(mask(row("ks", &["1", "*"])), "\"ks\".\"mask_inner\"(1, null, '*')");
    }
}
