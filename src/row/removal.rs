//! What is to be deleted of a row, as data.

use super::key::RowKey;
use super::layout::Part;

/// What is to be deleted of a row, or of a partition's statics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The row; for statics, any of its partition.
    pub row: RowKey,
    /// Whose cells.
    pub part: Part,
    /// Which of them; none for all of the part, the row marker included.
    pub of: Vec<RemovedPart>,
    /// Microseconds since the Unix epoch: what is newer stays.
    pub timestamp: i64,
}

/// A cell of a row. A `value` is an index into [`super::Layout::values`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovedPart {
    /// All of a column.
    Column {
        /// Which one.
        value: usize,
    },
    /// An element of a set, or what a key of a map stands for.
    Element {
        /// The column.
        value: usize,
        /// Raw bytes of the element or the key.
        key: Vec<u8>,
    },
    /// A field of a user-defined type.
    Field {
        /// The column.
        value: usize,
        /// Which field, from 0.
        field: usize,
    },
}
