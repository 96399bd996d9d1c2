//! What stands where in a row of the SELECT that reads a table, and what each value is made of.

/// A row of the SELECT: partition key, clustering key, values, then the writetimes and the TTLs of those values that have
/// readable ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Columns of the partition key.
    pub partition_key: usize,
    /// Columns of the clustering key.
    pub clustering_key: usize,
    /// The columns that are neither: regular ones of one cell first, then the other regular ones, then the statics.
    pub values: Vec<Value>,
    /// How many of `values` are regular columns of one cell: what an INSERT writes.
    pub cells: usize,
    columns: usize,
    plain: bool,
}

/// A column outside of the primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Whose it is.
    pub part: Part,
    /// What it is made of.
    pub shape: Shape,
    /// Where its writetime and its TTL stand; `None` where the source can't tell them.
    pub metadata: Option<Metadata>,
}

/// Columns of the row that hold what is known of a value beside the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `WRITETIME(column)`: one `bigint`, or a list of one per element or field.
    pub writetime: usize,
    /// `TTL(column)`: one `int`, null for "never"; or a list, with nulls inside.
    pub ttl: usize,
}

/// Whose a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The row's.
    Regular,
    /// The partition's.
    Static,
}

/// What a value is made of. All but the first keep a cell per element or field, each with its own writetime and TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// One cell.
    Cell,
    /// A set that isn't frozen.
    Set,
    /// A map that isn't frozen.
    Map,
    /// A list that isn't frozen.
    List,
    /// A user-defined type that isn't frozen, of so many fields.
    Udt(u16),
    /// A counter: a sum, with neither writetime nor TTL.
    Counter,
}

impl Layout {
    /// The layout of a SELECT of `values` (part, shape, whether writetime and TTL are readable), put in their order:
    /// [`order`] is the order in which their columns must stand in the statements.
    pub fn new(partition_key: usize, clustering_key: usize, mut values: Vec<(Part, Shape, bool)>) -> Layout {
        values.sort_by_key(|&(part, shape, _)| order(part, shape));
        let keys = partition_key + clustering_key;
        let readable = values.iter().filter(|value| value.2).count();
        let mut next = keys + values.len();
        let place = |(part, shape, is_readable): (Part, Shape, bool)| {
            let metadata = is_readable.then(|| Metadata { writetime: next, ttl: next + readable });
            next += usize::from(is_readable);
            Value { part, shape, metadata }
        };
        let values: Vec<Value> = values.into_iter().map(place).collect();
        let cells = values.iter().take_while(|v| order(v.part, v.shape) == ONE_CELL).count();
        let plain = cells == values.len() && readable == cells;
        Layout { partition_key, clustering_key, cells, columns: keys + values.len() + 2 * readable, plain, values }
    }

    /// So many regular columns of one cell each, with readable metadata: most tables are that.
    pub fn plain(partition_key: usize, clustering_key: usize, cells: usize) -> Layout {
        Layout::new(partition_key, clustering_key, vec![(Part::Regular, Shape::Cell, true); cells])
    }

    /// Columns of the primary key.
    pub fn keys(&self) -> usize {
        self.partition_key + self.clustering_key
    }

    /// Columns of the whole SELECT.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Whether every value is one regular cell with readable metadata, which is what most tables are.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether this is a table of counters: such a table has nothing else outside of its key.
    pub fn has_counters(&self) -> bool {
        self.values.iter().any(|value| value.shape == Shape::Counter)
    }
}

/// The place of a value among the others: columns that go into an INSERT first, statics last.
pub fn order(part: Part, shape: Shape) -> (Part, bool) {
    (part, shape != Shape::Cell)
}

const ONE_CELL: (Part, bool) = (Part::Regular, false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_cells_come_first_and_metadata_follows_the_values() {
        let layout = Layout::new(
            1,
            1,
            vec![
                (Part::Static, Shape::Cell, true),
                (Part::Regular, Shape::Map, false),
                (Part::Regular, Shape::Cell, true),
                (Part::Static, Shape::Set, true),
            ],
        );
        let found: Vec<_> =
            layout.values.iter().map(|v| (v.part, v.shape, v.metadata.map(|m| (m.writetime, m.ttl)))).collect();
        assert_eq!(
            found,
            [
                (Part::Regular, Shape::Cell, Some((6, 9))),
                (Part::Regular, Shape::Map, None),
                (Part::Static, Shape::Cell, Some((7, 10))),
                (Part::Static, Shape::Set, Some((8, 11))),
            ]
        );
        assert_eq!((layout.cells, layout.columns(), layout.is_plain()), (1, 12, false));
    }
}
