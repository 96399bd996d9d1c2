//! What is remembered of a look at a row until the next one: that it was such a row, not which. Rows may be large, and many of them
//! may differ.

use super::difference::{CellState, Class, ColumnDifference};
use super::look::Looked;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Of a row with more differences than these, some are remembered together.
const PLACES: usize = 16;

/// A look at a row.
#[derive(Debug)]
pub(super) struct Glance {
    /// The class of a row that one side alone has.
    alone: Option<Class>,
    state: u64,
    /// What differs of a row that both sides have.
    columns: Remembered,
}

/// Differences of columns and elements, by their hashes.
#[derive(Debug)]
enum Remembered {
    /// In ascending order.
    Each(Box<[u64]>),
    /// The sum of those that have the same place.
    Sums(Box<[u64; PLACES]>),
}

impl Glance {
    /// What it takes of memory at most, in bytes.
    pub(super) const SIZE_MAX: usize = size_of::<Glance>() + PLACES * size_of::<u64>();

    pub(super) fn of(looked: &Looked) -> Glance {
        let columns = if looked.alone.is_none() { &looked.columns[..] } else { &[] };
        Glance { alone: looked.alone, state: looked.state, columns: Remembered::of(columns) }
    }

    /// Whether the same side has the row alone, or neither does.
    pub(super) fn is_alone_as(&self, now: &Looked) -> bool {
        self.alone == now.alone
    }

    /// What differs in the same way in two looks. In a row that applications write all the time, one column may still lack what
    /// was written to it long ago.
    pub(super) fn standing(&self, now: &Looked) -> Option<Looked> {
        if self.alone.is_some() || now.alone.is_some() {
            return (self.alone == now.alone && self.state == now.state).then(|| now.clone());
        }
        let columns = self.columns.standing(&now.columns);
        // What is harmless for ever tells nothing of what else is wrong, and changes with each look.
        let is_harmless = |columns: &[ColumnDifference]| columns.iter().all(|column| column.class.is_harmless());
        let decides = !columns.is_empty() && (!is_harmless(&columns) || is_harmless(&now.columns));
        decides.then(|| Looked { columns, ..now.clone() })
    }
}

impl Remembered {
    fn of(columns: &[ColumnDifference]) -> Remembered {
        if columns.len() > PLACES {
            return Remembered::Sums(Box::new(sums(columns)));
        }
        let mut hashes: Box<[u64]> = columns.iter().map(hash).collect();
        hashes.sort_unstable();
        Remembered::Each(hashes)
    }

    /// Those of `now` that are among what is remembered. Where many are remembered, what has the place of one that has changed isn't:
    /// it is the next time, unless its neighbours change with each look.
    fn standing(&self, now: &[ColumnDifference]) -> Vec<ColumnDifference> {
        let sums_now = sums(now);
        let stands = |now: &&ColumnDifference| match self {
            Remembered::Each(hashes) => hashes.binary_search(&hash(now)).is_ok(),
            Remembered::Sums(sums) => sums[place(now)] == sums_now[place(now)],
        };
        now.iter().filter(stands).cloned().collect()
    }
}

fn sums(columns: &[ColumnDifference]) -> [u64; PLACES] {
    let mut sums = [0u64; PLACES];
    for column in columns {
        let sum = &mut sums[place(column)];
        *sum = sum.wrapping_add(hash(column));
    }
    sums
}

/// Where a difference of this column or element is remembered, whatever it is.
fn place(column: &ColumnDifference) -> usize {
    let mut hasher = DefaultHasher::new();
    (column.value, &column.element).hash(&mut hasher);
    usize::from(hasher.finish().to_le_bytes()[0]) % PLACES
}

/// Tells two differences apart; an expiry is an estimate, and no part of it.
fn hash(column: &ColumnDifference) -> u64 {
    let mut hasher = DefaultHasher::new();
    (column.value, &column.element, column.class).hash(&mut hasher);
    for state in [&column.source, &column.target] {
        state.as_ref().map(|CellState { bytes, writetime, .. }| (bytes, writetime)).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::difference::ElementKey;
    use super::*;

    /// A row of which these elements are missing at the target, each with its writetime at the source.
    fn lacks(elements: impl IntoIterator<Item = (usize, i64)>) -> Looked {
        let column = |(field, writetime)| ColumnDifference {
            value: 3,
            class: Class::ColumnMissing,
            source: Some(CellState { bytes: vec![7], writetime: Some(writetime), expires_at: None }),
            target: None,
            element: Some(ElementKey::Field(field)),
            list: None,
            adds_from: None,
        };
        let columns = elements.into_iter().map(column).collect();
        Looked { alone: None, columns, state: 0, newest_at_target: None, is_ending: false }
    }

    fn standing(before: &Looked, now: &Looked) -> Vec<usize> {
        let field = |column: &ColumnDifference| match column.element {
            Some(ElementKey::Field(field)) => field,
            _ => unreachable!("there are only fields"),
        };
        let standing = Glance::of(before).standing(now);
        standing.iter().flat_map(|looked| &looked.columns).map(field).collect()
    }

    #[test]
    fn few_differences_are_known_again_one_by_one() {
        let before = lacks((0..16).map(|field| (field, 1)));
        let now = lacks((0..16).map(|field| (field, if field == 5 { 2 } else { 1 })));
        let all_but_one: Vec<usize> = (0..16).filter(|&field| field != 5).collect();
        assert_eq!(standing(&before, &now), all_but_one);
        assert_eq!(standing(&before, &lacks((5..40).map(|field| (field, 1)))), (5..16).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_harmless_hides_nothing_that_changes() {
        let with_capped = |others: Looked| {
            let mut columns = lacks([(1, 1)]).columns;
            columns[0].class = Class::Capped;
            columns.extend(others.columns);
            Looked { columns, ..others }
        };
        let looks = [1, 2].map(|writetime| with_capped(lacks([(2, writetime)])));
        assert!(standing(&looks[0], &looks[1]).is_empty(), "nobody knows yet what becomes of the other one");
        assert_eq!(standing(&looks[0], &looks[0]), [1, 2]);
        let capped = with_capped(lacks([]));
        assert_eq!(standing(&capped, &capped), [1], "nothing else is wrong");
    }

    #[test]
    fn many_differences_are_known_again_but_for_some() {
        let before = lacks((0..5000).map(|field| (field, 1)));
        assert_eq!(standing(&before, &before).len(), 5000, "all stand");
        let rewritten = lacks((0..5000).map(|field| (field, 1 + i64::from(field == 77))));
        let gone = lacks((0..5000).filter(|&field| field != 77).map(|field| (field, 1)));
        for now in [rewritten, gone] {
            let standing = standing(&before, &now);
            assert!((4000..5000).contains(&standing.len()), "{} stand", standing.len());
            assert!(!standing.contains(&77), "it has changed");
        }
        assert!(standing(&before, &lacks((0..5000).map(|field| (field, 2)))).is_empty(), "all have changed");
        assert!(standing(&before, &lacks([])).is_empty());
    }
}
