//! CQL types as `system_schema.columns` spells them.

use super::statements::quote;
use crate::row::layout::Shape;
use std::collections::BTreeMap;
use std::fmt;

/// A CQL type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CqlType {
    /// `text`, `bigint`, `counter` …
    Native(String),
    /// `list<…>`, `set<…>`, `map<…, …>`, with its name and its parameters.
    Collection(String, Vec<CqlType>),
    /// `tuple<…>`: always written as one cell.
    Tuple(Vec<CqlType>),
    /// `vector<…, dimensions>`: always written as one cell.
    Vector(Box<CqlType>, String),
    /// A user-defined type: its name, and its fields in order (empty where the type's definition isn't known).
    Udt(String, Vec<(String, CqlType)>),
    /// `frozen<…>`: one cell, whatever is inside.
    Frozen(Box<CqlType>),
    /// A Java class that the CQL parser knows no name for, in quotes.
    Custom(String),
}

/// Fields of the user-defined types of a keyspace, by the type's name.
pub type Udts = BTreeMap<String, Vec<(String, String)>>;

const NATIVES: [&str; 22] = [
    "ascii",
    "bigint",
    "blob",
    "boolean",
    "counter",
    "date",
    "decimal",
    "double",
    "duration",
    "empty",
    "float",
    "inet",
    "int",
    "smallint",
    "text",
    "time",
    "timestamp",
    "timeuuid",
    "tinyint",
    "uuid",
    "varchar",
    "varint",
];

/// A type text that doesn't parse.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the type `{0}` isn't understood")]
pub struct UnknownType(pub String);

impl CqlType {
    /// Parses the text of a type; `udts` gives the fields of the user-defined ones.
    ///
    /// # Errors
    /// Where the text isn't a type.
    pub fn parse(text: &str, udts: &Udts) -> Result<CqlType, UnknownType> {
        Self::parse_within(text, udts, 0)
    }

    fn parse_within(text: &str, udts: &Udts, depth: usize) -> Result<CqlType, UnknownType> {
        let fail = || UnknownType(text.to_owned());
        let text = text.trim();
        // User-defined types can't contain themselves; the limit is for a schema that says otherwise.
        if text.is_empty() || depth > 64 {
            return Err(fail());
        }
        let parse = |text: &str| Self::parse_within(text, udts, depth + 1);
        if text.starts_with('\'') {
            return Ok(CqlType::Custom(text.trim_matches('\'').to_owned()));
        }
        if !text.starts_with('"')
            && let Some((name, rest)) = text.split_once('<')
        {
            let inner = rest.strip_suffix('>').ok_or_else(fail)?;
            let parts = split_parameters(inner);
            return match (name.trim(), &parts[..]) {
                ("frozen", [inner]) => Ok(CqlType::Frozen(Box::new(parse(inner)?))),
                (name @ ("list" | "set"), [_]) | (name @ "map", [_, _]) => {
                    Ok(CqlType::Collection(name.to_owned(), parts.into_iter().map(parse).collect::<Result<_, _>>()?))
                }
                ("tuple", [_, ..]) => Ok(CqlType::Tuple(parts.into_iter().map(parse).collect::<Result<_, _>>()?)),
                ("vector", [inner, dimensions]) => {
                    Ok(CqlType::Vector(Box::new(parse(inner)?), dimensions.trim().to_owned()))
                }
                _ => Err(fail()),
            };
        }
        if NATIVES.contains(&text) {
            // `varchar` is another name of `text`.
            return Ok(CqlType::Native(if text == "varchar" { "text" } else { text }.to_owned()));
        }
        let name = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => text.to_owned(),
        };
        let fields = udts.get(&name).map(Vec::as_slice).unwrap_or_default();
        let fields = fields.iter().map(|(field, text)| Ok((field.clone(), parse(text)?))).collect::<Result<_, _>>()?;
        Ok(CqlType::Udt(name, fields))
    }

    /// What a column of this type is made of: one cell, or one per element or field, each with its own writetime and TTL.
    pub fn shape(&self) -> Shape {
        match self {
            CqlType::Native(name) if name == "counter" => Shape::Counter,
            CqlType::Collection(name, _) => match name.as_str() {
                "map" => Shape::Map,
                "set" => Shape::Set,
                _ => Shape::List,
            },
            CqlType::Udt(_, fields) => Shape::Udt(u16::try_from(fields.len()).unwrap_or(u16::MAX)),
            CqlType::Native(_) | CqlType::Tuple(_) | CqlType::Vector(..) | CqlType::Frozen(_) | CqlType::Custom(_) => {
                Shape::Cell
            }
        }
    }

    /// The type as CQL text: user-defined types by their name, in quotes.
    pub fn cql(&self) -> String {
        let list = |inner: &[CqlType]| inner.iter().map(CqlType::cql).collect::<Vec<_>>().join(", ");
        match self {
            CqlType::Native(name) => name.clone(),
            CqlType::Custom(class) => format!("'{}'", class.replace('\'', "''")),
            CqlType::Collection(name, inner) => format!("{name}<{}>", list(inner)),
            CqlType::Tuple(inner) => format!("tuple<{}>", list(inner)),
            CqlType::Vector(inner, dimensions) => format!("vector<{}, {dimensions}>", inner.cql()),
            CqlType::Udt(name, _) => quote(name),
            CqlType::Frozen(inner) => format!("frozen<{}>", inner.cql()),
        }
    }

    /// The user-defined types that the type names, not those within their fields.
    pub fn udts(&self) -> Vec<&str> {
        match self {
            CqlType::Native(_) | CqlType::Custom(_) => Vec::new(),
            CqlType::Collection(_, inner) | CqlType::Tuple(inner) => inner.iter().flat_map(CqlType::udts).collect(),
            CqlType::Vector(inner, _) | CqlType::Frozen(inner) => inner.udts(),
            CqlType::Udt(name, _) => vec![name],
        }
    }

    /// Whether this is a frozen collection or user-defined type.
    pub fn is_frozen(&self) -> bool {
        matches!(self, CqlType::Frozen(_))
    }

    /// The names of the fields, where this is a user-defined type.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let fields = if let CqlType::Udt(_, fields) = self { fields.as_slice() } else { &[] };
        fields.iter().map(|(name, _)| name.as_str())
    }

    /// The first class within the type that only Java knows, if there is one.
    pub fn custom_class(&self) -> Option<&str> {
        match self {
            CqlType::Native(_) => None,
            CqlType::Custom(class) => Some(class),
            CqlType::Collection(_, inner) | CqlType::Tuple(inner) => inner.iter().find_map(CqlType::custom_class),
            CqlType::Vector(inner, _) | CqlType::Frozen(inner) => inner.custom_class(),
            CqlType::Udt(_, fields) => fields.iter().find_map(|(_, inner)| inner.custom_class()),
        }
    }
}

/// Splits `a, map<b, c>, "d,e"` at the commas that are outside of brackets and quotes.
fn split_parameters(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut quoted, mut from) = (Vec::new(), 0usize, false, 0);
    for (at, c) in text.char_indices() {
        match c {
            '"' | '\'' => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The type's text with user-defined types spelled out, so that equal texts mean equal bytes.
impl fmt::Display for CqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, inner: &[CqlType]| {
            inner.iter().enumerate().try_for_each(|(i, t)| write!(f, "{}{t}", if i == 0 { "" } else { ", " }))
        };
        match self {
            CqlType::Native(name) => f.write_str(name),
            CqlType::Custom(class) => write!(f, "'{class}'"),
            CqlType::Collection(name, inner) => {
                write!(f, "{name}<")?;
                list(f, inner)?;
                f.write_str(">")
            }
            CqlType::Tuple(inner) => {
                f.write_str("tuple<")?;
                list(f, inner)?;
                f.write_str(">")
            }
            CqlType::Vector(inner, dimensions) => write!(f, "vector<{inner}, {dimensions}>"),
            CqlType::Frozen(inner) => write!(f, "frozen<{inner}>"),
            CqlType::Udt(name, fields) => {
                write!(f, "{name}")?;
                if fields.is_empty() {
                    return Ok(());
                }
                f.write_str(" (")?;
                for (i, (field, inner)) in fields.iter().enumerate() {
                    write!(f, "{}{field} {inner}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CqlType {
        let udts = Udts::from([
            (
                "address".to_owned(),
                vec![("street".to_owned(), "text".to_owned()), ("zips".to_owned(), "frozen<list<int>>".to_owned())],
            ),
            ("Odd,Name".to_owned(), vec![("a".to_owned(), "int".to_owned())]),
        ]);
        CqlType::parse(text, &udts).expect(text)
    }

    #[test]
    fn types_keep_their_text() {
        for text in ["int", "frozen<list<int>>", "map<text, frozen<set<uuid>>>", "tuple<int, text>", "vector<float, 3>"]
        {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("varchar"), parse("text"));
    }

    #[test]
    fn user_defined_types_are_spelled_out() {
        assert_eq!(parse("frozen<address>").to_string(), "frozen<address (street text, zips frozen<list<int>>)>");
        assert_eq!(
            parse("frozen<map<int, frozen<\"Odd,Name\">>>").to_string(),
            "frozen<map<int, frozen<Odd,Name (a int)>>>"
        );
    }

    #[test]
    fn what_is_not_frozen_keeps_a_cell_per_element() {
        let shapes = ["list<int>", "set<int>", "map<int, int>", "address", "counter"].map(|text| parse(text).shape());
        assert_eq!(shapes, [Shape::List, Shape::Set, Shape::Map, Shape::Udt(2), Shape::Counter]);
        for text in ["frozen<list<int>>", "tuple<int, text>", "frozen<address>", "vector<float, 3>", "text"] {
            assert_eq!(parse(text).shape(), Shape::Cell, "{text}");
        }
    }

    #[test]
    fn custom_classes_are_found_inside() {
        let class = "org.apache.cassandra.db.marshal.DynamicCompositeType(a=>Foo)";
        assert_eq!(parse(&format!("frozen<list<'{class}'>>")).custom_class(), Some(class));
        assert_eq!(parse("int").custom_class(), None);
    }

    #[test]
    fn cql_text_names_user_defined_types_in_quotes() {
        let text = "map<text, frozen<tuple<frozen<\"Odd,Name\">, frozen<address>>>>";
        assert_eq!(parse(text).cql(), "map<text, frozen<tuple<frozen<\"Odd,Name\">, frozen<\"address\">>>>");
        assert_eq!(parse(text).udts(), ["Odd,Name", "address"]);
        assert_eq!(parse("empty"), CqlType::Native("empty".to_owned()));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["", "list<", "list<int, int>", "map<int>", "frozen<>"] {
            assert!(CqlType::parse(text, &Udts::new()).is_err(), "{text}");
        }
    }
}
