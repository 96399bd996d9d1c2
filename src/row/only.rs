//! What of a row is written, where it isn't all of it.

use super::layout::Part;
use std::collections::BTreeMap;

/// Some of a row's values, or of its partition's statics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    part: Part,
    /// Each by its index in [`super::Layout::values`], with the first of its elements that is written, where it is a list; none
    /// where all of them are written.
    values: Option<BTreeMap<usize, usize>>,
}

impl Only {
    /// All of one part.
    pub fn part(part: Part) -> Only {
        Only { part, values: None }
    }

    /// Of one part these values, each with the index of the first element that is written where it is a list. The row's marker
    /// stays what follows from all of the row.
    pub fn values(part: Part, values: impl IntoIterator<Item = (usize, usize)>) -> Only {
        Only { part, values: Some(values.into_iter().collect()) }
    }

    /// Whether anything of this part is written.
    pub(super) fn has(&self, part: Part) -> bool {
        self.part == part
    }

    /// Whether some values of its part are left out.
    pub(super) fn leaves_out(&self) -> bool {
        self.values.is_some()
    }

    /// The first element of a value that is written; none where the value isn't.
    pub(super) fn first_of(&self, value: usize) -> Option<usize> {
        self.values.as_ref().map_or(Some(0), |values| values.get(&value).copied())
    }
}
