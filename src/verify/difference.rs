//! The words for how a row of the target differs from the source's.

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A class of difference. In the order of severity, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The row, or the partition's statics, are at the source alone.
    Missing,
    /// They are at the target alone.
    Extra,
    /// Values differ, and the target's is older.
    ValueOlder,
    /// Values differ, and the target's is newer.
    ValueNewer,
    /// Values differ that have one writetime.
    ValueTie,
    /// Values differ, and a side can't tell the writetime.
    ValueUnknown,
    /// The source has a cell, an element or a field that the target lacks.
    ColumnMissing,
    /// The target has one that the source lacks.
    ColumnExtra,
    /// The elements of a list are in another order, or some are missing, added or doubled.
    List,
    /// The same value with another writetime.
    Writetime,
    /// The same value and writetime with another expiry.
    Expiry,
    /// It changed with each look, and was never equal.
    Unsettled,
    /// The row is at the target alone and shows nothing but its key: its cells have expired or were deleted, and what keeps it
    /// is the marker that a copy inferred.
    Marker,
    /// The source can't tell the writetime, and the target has the one that a copy writes then.
    UnknownTimestamp,
    /// The source's writetime is too high for a copy, and the target has the one to which it is lowered.
    Capped,
}

impl Class {
    /// All of them, the worst first.
    pub const ALL: [Class; 15] = [
        Class::Missing,
        Class::Extra,
        Class::ValueOlder,
        Class::ValueNewer,
        Class::ValueTie,
        Class::ValueUnknown,
        Class::ColumnMissing,
        Class::ColumnExtra,
        Class::List,
        Class::Writetime,
        Class::Expiry,
        Class::Unsettled,
        Class::Marker,
        Class::UnknownTimestamp,
        Class::Capped,
    ];

    /// Whether it is what a copy does by design.
    pub fn is_harmless(self) -> bool {
        self >= Class::Marker
    }

    /// Its name, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Class::Missing => "missing",
            Class::Extra => "extra",
            Class::ValueOlder => "value_older",
            Class::ValueNewer => "value_newer",
            Class::ValueTie => "value_tie",
            Class::ValueUnknown => "value_unknown",
            Class::ColumnMissing => "column_missing",
            Class::ColumnExtra => "column_extra",
            Class::List => "list",
            Class::Writetime => "writetime",
            Class::Expiry => "expiry",
            Class::Unsettled => "unsettled",
            Class::Marker => "marker",
            Class::UnknownTimestamp => "unknown_timestamp",
            Class::Capped => "capped",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The classes that one row shows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Classes(u32);

impl Classes {
    /// Adds one.
    pub fn insert(&mut self, class: Class) {
        self.0 |= 1 << class as u32;
    }

    /// Whether it is among them.
    pub fn contains(self, class: Class) -> bool {
        self.0 & 1 << class as u32 != 0
    }

    /// The worst first.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |&class| self.contains(class))
    }

    /// The worst.
    pub fn first(self) -> Option<Class> {
        self.iter().next()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all are what a copy does by design.
    pub fn is_harmless(self) -> bool {
        self.iter().all(Class::is_harmless)
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<T: IntoIterator<Item = Class>>(classes: T) -> Self {
        let mut all = Classes::default();
        classes.into_iter().for_each(|class| all.insert(class));
        all
    }
}

impl From<Class> for Classes {
    fn from(class: Class) -> Self {
        [class].into_iter().collect()
    }
}

impl fmt::Debug for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Classes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for class in self.iter() {
            seq.serialize_element(&class)?;
        }
        seq.end()
    }
}

/// How one column of a row, or one element of it, differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDifference {
    /// The column: its index in [`crate::row::Layout::values`].
    pub value: usize,
    /// How it differs.
    pub class: Class,
    /// What the source has; none where it has nothing.
    pub source: Option<CellState>,
    /// What the target has.
    pub target: Option<CellState>,
    /// Which part of the column; none where it is all of it.
    pub element: Option<ElementKey>,
    /// Of a list whose elements aren't the same: how.
    pub list: Option<ListChange>,
    /// Of a list whose elements aren't the same: from which of the source's elements on it is to be written so that it becomes the
    /// source's; none where no write makes it that.
    pub adds_from: Option<usize>,
}

/// What tells an element from the others of its column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementKey {
    /// Raw bytes of the element of a set, or of the key of a map.
    Key(Vec<u8>),
    /// Index of a field of a user-defined type, from 0.
    Field(usize),
    /// Index in a list, from 0.
    Index(usize),
}

/// How the elements of a list at the target differ from the source's, writetimes aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListChange {
    /// The same elements in another order.
    Order,
    /// Some are missing.
    Missing,
    /// Some are there more often than at the source.
    Doubled,
    /// There are some that the source doesn't have at all.
    Extra,
    /// Some are missing, and there are others.
    Changed,
}

/// One cell as a side showed it, or all cells of a column with elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellState {
    /// Raw bytes: of the value; of an element, without its length (of a map, of what the key stands for; of a set, those of the
    /// element once more).
    pub bytes: Vec<u8>,
    /// Microseconds since the Unix epoch by convention; none where it can't be told. Of several cells, the newest's.
    pub writetime: Option<i64>,
    /// Seconds since the Unix epoch; none for "never", and where it can't be told. Of several cells, the last one's.
    pub expires_at: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json_and_the_order_is_severity() {
        for (place, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place);
            assert_eq!(serde_json::to_value(class).expect("a word"), class.word());
            assert_eq!(serde_json::from_value::<Class>(class.word().into()).expect("a class"), class);
        }
        let harmless: Vec<Class> = Class::ALL.into_iter().filter(|class| class.is_harmless()).collect();
        assert_eq!(harmless, [Class::Marker, Class::UnknownTimestamp, Class::Capped]);
    }

    #[test]
    fn classes_are_a_set_with_the_worst_first() {
        let mut classes = Classes::default();
        assert!(classes.is_empty() && classes.first().is_none());
        classes.insert(Class::Capped);
        assert!(classes.is_harmless());
        classes.insert(Class::Expiry);
        classes.insert(Class::Expiry);
        classes.insert(Class::ValueTie);
        assert_eq!(classes.iter().collect::<Vec<_>>(), [Class::ValueTie, Class::Expiry, Class::Capped]);
        assert_eq!(classes.first(), Some(Class::ValueTie));
        assert!(!classes.is_harmless() && !classes.contains(Class::Missing));
        assert_eq!(serde_json::to_string(&classes).expect("words"), r#"["value_tie","expiry","capped"]"#);
        assert_eq!(Class::ALL.into_iter().collect::<Classes>().iter().collect::<Vec<_>>(), Class::ALL);
    }
}
