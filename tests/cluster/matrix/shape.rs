//! Tables of the matrix: columns of every type in every shape, and the CQL that makes and reads them.

use crate::encodings::{Type, cells, collection};

/// What a column holds.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// One cell, whatever is in it.
    One(Type),
    /// A cell per element.
    List(Type),
    /// A cell per element, which is the element.
    Set(Type),
    /// A cell per key.
    Map(Type, Type),
    /// A cell per field; the fields are named as their types are.
    Udt(&'static str, Vec<Type>),
}

/// Where a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Static,
    Regular,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) part: Part,
    pub(crate) shape: Shape,
}

/// A table whose key is `p int, c int`.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
}

impl Shape {
    pub(crate) fn cql(&self) -> String {
        match self {
            Shape::One(t) => t.cql.clone(),
            Shape::List(t) => format!("list<{}>", t.cql),
            Shape::Set(t) => format!("set<{}>", t.cql),
            Shape::Map(key, value) => format!("map<{}, {}>", key.cql, value.cql),
            Shape::Udt(name, _) => (*name).to_owned(),
        }
    }

    /// Whether it has a writetime per element.
    pub(crate) fn is_multi_cell(&self) -> bool {
        !matches!(self, Shape::One(_))
    }
}

impl Table {
    /// Each of `shapes` as a regular column and as a static one.
    pub(crate) fn of(name: &'static str, shapes: &[(String, Shape)]) -> Table {
        let column = |prefix, part, (name, shape): &(String, Shape)| Column {
            name: format!("{prefix}{name}"),
            part,
            shape: shape.clone(),
        };
        let regular = shapes.iter().map(|shape| column("", Part::Regular, shape));
        let columns = regular.chain(shapes.iter().map(|shape| column("s_", Part::Static, shape))).collect();
        Table { name, columns }
    }

    pub(crate) fn create(&self) -> String {
        let column = |column: &Column| {
            let part = if column.part == Part::Static { " static" } else { "" };
            format!("{} {}{part}", column.name, column.shape.cql())
        };
        let columns = self.columns.iter().map(column).collect::<Vec<_>>().join(", ");
        format!("CREATE TABLE {} (p int, c int, {columns}, PRIMARY KEY (p, c))", self.name)
    }

    /// Keys and values.
    pub(crate) fn select_values(&self) -> String {
        format!("SELECT p, c, {} FROM {}", self.list(|column| column.name.clone()), self.name)
    }

    /// Keys, and `function` of those columns that `chosen` chooses.
    pub(crate) fn select_of(&self, function: &str, chosen: impl Fn(&Column) -> bool) -> String {
        let of = |column: &&Column| chosen(column);
        let columns: Vec<String> =
            self.columns.iter().filter(of).map(|column| format!("{function}({})", column.name)).collect();
        format!("SELECT p, c, {} FROM {}", columns.join(", "), self.name)
    }

    fn list(&self, text: impl Fn(&Column) -> String) -> String {
        self.columns.iter().map(text).collect::<Vec<_>>().join(", ")
    }
}

/// Each type alone, and within each frozen type. `with_vector`: whether the source knows those.
pub(crate) fn frozen_shapes(types: &[Type], with_vector: bool) -> Vec<(String, Shape)> {
    let mut shapes: Vec<(String, Shape)> = Vec::new();
    for t in types {
        shapes.push((t.name.clone(), Shape::One(t.clone())));
        let in_lists =
            in_frozen(t, "l", &format!("frozen<list<{}>>", t.cql), |values| collection(values, values.len()));
        shapes.push(in_lists);
        shapes.push(in_frozen(t, "t", &format!("tuple<{0}, {0}>", t.cql), |values| {
            cells(&[values.first().copied(), values.get(1).copied()])
        }));
        // Sorted by the server, which then keeps one of those that compare equal.
        if t.key {
            let one = |values: &[&[u8]]| collection(&values[..1.min(values.len())], 1.min(values.len()));
            shapes.push(in_frozen(t, "e", &format!("frozen<set<{}>>", t.cql), one));
            shapes.push(in_frozen(t, "m", &format!("frozen<map<{0}, {0}>>", t.cql), |values| {
                let one: Vec<&[u8]> = values.first().map(|value| [*value; 2]).into_iter().flatten().collect();
                collection(&one, one.len() / 2)
            }));
        }
        // Elements of a vector have a length in front, unless all values of their type are as long.
        if with_vector && t.cql == "text" {
            shapes.push(in_frozen(t, "v", "vector<text, 2>", |values| {
                [0, 1].iter().flat_map(|&at| short(values.get(at).copied().unwrap_or_default())).collect()
            }));
        }
    }
    shapes
}

/// With its length in front as a variable integer, which is one byte below 128.
fn short(value: &[u8]) -> Vec<u8> {
    std::iter::once(u8::try_from(value.len()).unwrap()).chain(value.iter().copied()).collect()
}

/// A frozen type around `t`: nothing in it, and then each two of the encodings of `t`.
fn in_frozen(t: &Type, prefix: &str, cql: &str, wrap: impl Fn(&[&[u8]]) -> Vec<u8>) -> (String, Shape) {
    let pairs = |values: &[Vec<u8>]| -> Vec<Vec<u8>> {
        (0..values.len()).map(|n| wrap(&[&values[n], &values[(n + 1) % values.len()]])).collect()
    };
    let elements = t.as_element();
    let mut values = pairs(&elements.values);
    values.push(wrap(&[]));
    let name = format!("{prefix}_{}", t.name);
    let odd = if elements.values.len() < t.values.len() { pairs(&t.values) } else { pairs(&t.odd) };
    let t = Type { cql: cql.to_owned(), name: name.clone(), values, odd, key: false };
    (name, Shape::One(t))
}

/// Each type as element of a list and of a set, as key and as value of a map, and all of them as fields of a
/// user-defined type, `everything`.
pub(crate) fn element_shapes(types: &[Type]) -> Vec<(String, Shape)> {
    let int = types.iter().find(|t| t.cql == "int").unwrap().as_element();
    let mut shapes = Vec::new();
    for t in types.iter().map(Type::as_element) {
        shapes.push((format!("l_{}", t.name), Shape::List(t.clone())));
        shapes.push((format!("v_{}", t.name), Shape::Map(int.clone(), t.clone())));
        if t.key {
            shapes.push((format!("e_{}", t.name), Shape::Set(t.clone())));
            shapes.push((format!("k_{}", t.name), Shape::Map(t.clone(), t.clone())));
        }
    }
    shapes.push(("u".to_owned(), Shape::Udt("everything", types.to_vec())));
    shapes
}

/// The type that [`element_shapes`] has a column of.
pub(crate) fn create_everything(types: &[Type]) -> String {
    let fields: Vec<String> = types.iter().map(|t| format!("{} {}", t.name, t.cql)).collect();
    format!("CREATE TYPE everything ({})", fields.join(", "))
}
