//! Parts of a partition: the rows between two places in the order of its clustering keys.

/// A place between rows: before or after all rows whose clustering key begins with some values. It is a place in the order in
/// which rows are stored, whatever the order of each column's values is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    prefix: Vec<Vec<u8>>,
    after: bool,
}

/// What one SELECT can read of a slice: rows whose first clustering columns are equal to some values, and whose next one lies
/// between two others. A bound comes with whether it is part of the leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Values of the first columns.
    pub equal: Vec<Vec<u8>>,
    /// The next column is stored behind this.
    pub low: Option<(Vec<u8>, bool)>,
    /// The next column is stored before this.
    pub high: Option<(Vec<u8>, bool)>,
}

impl Cut {
    /// Before every row of a partition.
    pub const START: Cut = Cut { prefix: Vec::new(), after: false };
    /// After every row of a partition.
    pub const END: Cut = Cut { prefix: Vec::new(), after: true };

    /// Before all rows whose clustering key begins with `prefix`.
    pub fn before(prefix: Vec<Vec<u8>>) -> Cut {
        Cut { prefix, after: false }
    }

    /// After all rows whose clustering key begins with `prefix`.
    pub fn after(prefix: Vec<Vec<u8>>) -> Cut {
        Cut { prefix, after: true }
    }

    /// The values that the rows beside it begin with.
    pub fn prefix(&self) -> &[Vec<u8>] {
        &self.prefix
    }

    /// Whether it is behind those rows.
    pub fn is_after(&self) -> bool {
        self.after
    }

    /// Whether a bound on the column `column` is part of what lies on the side of the rows that are meant.
    fn bound(&self, column: usize, includes: bool) -> Option<(Vec<u8>, bool)> {
        let is_last = column + 1 == self.prefix.len();
        self.prefix.get(column).map(|value| (value.clone(), is_last && includes))
    }
}

/// The legs of the slice from `from` to `to`, in the order in which their rows are stored. Tuples of columns can't express it:
/// where some columns are descending and others are not, `(a, b) > (?, ?)` isn't what is stored behind a row.
pub fn legs(from: &Cut, to: &Cut) -> Vec<Leg> {
    let common = from.prefix.iter().zip(&to.prefix).take_while(|(a, b)| a == b).count();
    if (from.prefix.len() == common && from.after) || (to.prefix.len() == common && !to.after) {
        return Vec::new();
    }
    let up = (common + 1..from.prefix.len()).rev().map(|column| Leg {
        equal: from.prefix[..column].to_vec(),
        low: from.bound(column, !from.after),
        high: None,
    });
    let middle = Leg {
        equal: from.prefix[..common].to_vec(),
        low: from.bound(common, !from.after),
        high: to.bound(common, to.after),
    };
    let down = (common + 1..to.prefix.len()).map(|column| Leg {
        equal: to.prefix[..column].to_vec(),
        low: None,
        high: to.bound(column, to.after),
    });
    up.chain([middle]).chain(down).collect()
}

/// A place between `from` and `to`, so that each of both parts is smaller; `None` where none can be told. There are `columns`
/// clustering columns. `between` gives a value of a column that is stored behind or at the first bound and before the second;
/// a bound that is missing is none.
pub fn bisect(
    from: &Cut,
    to: &Cut,
    columns: usize,
    between: impl Fn(usize, Option<&[u8]>, Option<&[u8]>) -> Option<Vec<u8>>,
) -> Option<Cut> {
    let mut path: Vec<Vec<u8>> = Vec::new();
    // Whether `path` is still what both begin with.
    let (mut on_from, mut on_to) = (true, true);
    for column in 0..columns {
        let low = from.prefix.get(column).filter(|_| on_from);
        let high = to.prefix.get(column).filter(|_| on_to);
        if let (Some(a), Some(b)) = (low, high)
            && a == b
        {
            path.push(a.clone());
            continue;
        }
        if let Some(value) = between(column, low.map(Vec::as_slice), high.map(Vec::as_slice)) {
            // Behind the value that `from` is behind of already, nothing is gained.
            let gains = low != Some(&value) || from.prefix.len() > column + 1 || !from.after;
            if gains {
                path.push(value);
                return Some(Cut::after(path));
            }
        }
        // No value lies between: what is left are the rows that begin with the upper one, as far as `to`.
        let value = high?;
        if to.prefix.len() == column + 1 && !to.after {
            return None;
        }
        path.push(value.clone());
        (on_from, on_to) = (false, true);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec((0u8..5).prop_map(|byte| vec![byte]), 0..=3)
    }

    fn cut() -> impl Strategy<Value = Cut> {
        (prefix(), any::<bool>()).prop_map(|(prefix, after)| Cut { prefix, after })
    }

    fn rows() -> Vec<Vec<Vec<u8>>> {
        let values = || 0u8..5;
        values()
            .flat_map(|a| values().flat_map(move |b| values().map(move |c| vec![vec![a], vec![b], vec![c]])))
            .collect()
    }

    fn is_behind(row: &[Vec<u8>], cut: &Cut) -> bool {
        let start = &row[..cut.prefix.len()];
        if cut.after { start > &cut.prefix[..] } else { start >= &cut.prefix[..] }
    }

    fn count(from: &Cut, to: &Cut) -> usize {
        rows().into_iter().filter(|row| is_behind(row, from) && !is_behind(row, to)).count()
    }

    fn is_in(row: &[Vec<u8>], leg: &Leg) -> bool {
        let next = &row.get(leg.equal.len());
        let low =
            leg.low.as_ref().is_none_or(|(low, with)| next.is_some_and(|next| next > low || *with && next == low));
        let high =
            leg.high.as_ref().is_none_or(|(high, with)| next.is_some_and(|next| next < high || *with && next == high));
        row.starts_with(&leg.equal) && low && high
    }

    /// Floor of the middle, as the servers' integers are halved.
    fn between(_: usize, low: Option<&[u8]>, high: Option<&[u8]>) -> Option<Vec<u8>> {
        let (low, high) = (low.map_or(0, |low| low[0]), high.map_or(5, |high| high[0]));
        (low < high).then(|| vec![low + (high - low) / 2]).filter(|value| value[0] < 5)
    }

    proptest! {
        #[test]
        fn legs_are_the_slice_in_order(from in cut(), to in cut()) {
            prop_assume!(count(&from, &to) > 0);
            let expected: Vec<_> = rows().into_iter().filter(|row| is_behind(row, &from) && !is_behind(row, &to)).collect();
            let found: Vec<_> = legs(&from, &to).iter().flat_map(|leg| rows().into_iter().filter(|row| is_in(row, leg))).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn halves_are_the_whole_and_shrink_to_single_rows(from in cut(), to in cut()) {
            prop_assume!(count(&from, &to) > 0);
            let mut left = vec![(from, to)];
            let mut steps = 0;
            while let Some((from, to)) = left.pop() {
                steps += 1;
                prop_assert!(steps < 2000, "it comes to an end");
                match bisect(&from, &to, 3, between) {
                    Some(cut) => {
                        prop_assert_eq!(count(&from, &to), count(&from, &cut) + count(&cut, &to));
                        if count(&from, &to) > 0 {
                            left.extend([(from, cut.clone()), (cut, to)]);
                        }
                    }
                    None => prop_assert!(count(&from, &to) <= 1, "{:?} {:?} can be told apart", from, to),
                }
            }
        }
    }
}
