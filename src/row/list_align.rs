//! What a list lacks of another one, where elements can be put only before or behind what is there: Apache Cassandra takes no keys
//! of elements.

use super::bind::ListWrite;
use std::collections::{HashMap, VecDeque};

/// An element: its bytes, and its writetime where that is known.
pub type Item<'a> = (&'a [u8], Option<i64>);

/// Which elements of `source` the list `target` lacks, in the order in which they are to be added, and whether the list then has
/// the source's order.
pub fn align(source: &[Item<'_>], target: &[Item<'_>]) -> (Vec<(usize, ListWrite)>, bool) {
    let mut places: HashMap<Item<'_>, VecDeque<usize>> = HashMap::new();
    for (place, item) in target.iter().enumerate() {
        places.entry(*item).or_default().push_back(place);
    }
    let matched: Vec<Option<usize>> =
        source.iter().map(|item| places.get_mut(item).and_then(VecDeque::pop_front)).collect();
    let first = matched.iter().position(Option::is_some);
    let is_before = |index: usize| match first {
        Some(first) => index < first,
        // Nothing in common: what is there is either newer than the whole list, or nobody knows.
        None => match (source.iter().map(|item| item.1).max(), target.iter().map(|item| item.1).min()) {
            (Some(Some(latest)), Some(Some(earliest))) => earliest > latest,
            _ => false,
        },
    };
    let missing = (0..source.len()).filter(|&index| matched[index].is_none());
    let (before, behind): (Vec<usize>, Vec<usize>) = missing.partition(|&index| is_before(index));
    // The list that comes of it, as places in the source's; what only the target has is left out.
    let mut known: Vec<(usize, usize)> = matched.iter().enumerate().filter_map(|(s, t)| t.map(|t| (t, s))).collect();
    known.sort_unstable();
    let result: Vec<usize> =
        before.iter().copied().chain(known.iter().map(|&(_, s)| s)).chain(behind.iter().copied()).collect();
    let adds = !before.is_empty() || !behind.is_empty();
    // Elements that only the target has stand between old and added ones: nobody knows whether they should.
    let strangers_behind =
        !behind.is_empty() && known.last().map_or(!target.is_empty(), |&(t, _)| t + 1 < target.len());
    let strangers_before = !before.is_empty() && known.first().is_some_and(|&(t, _)| t > 0);
    let in_order = !adds || result.is_sorted() && !strangers_behind && !strangers_before;
    let adds = before.into_iter().rev().map(|index| (index, ListWrite::Prepend));
    (adds.chain(behind.into_iter().map(|index| (index, ListWrite::Append))).collect(), in_order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Applies what `align` says to a list, as the server would.
    fn apply<'a>(source: &[Item<'a>], target: &[Item<'a>]) -> (Vec<Item<'a>>, bool) {
        let (adds, in_order) = align(source, target);
        let mut list: VecDeque<Item<'a>> = target.iter().copied().collect();
        for (index, how) in adds {
            match how {
                ListWrite::Prepend => list.push_front(source[index]),
                ListWrite::Append | ListWrite::Keyed => list.push_back(source[index]),
            }
        }
        (list.into(), in_order)
    }

    fn items(list: &[(u8, i64)]) -> Vec<(Vec<u8>, i64)> {
        list.iter().map(|&(byte, at)| (vec![byte], at)).collect()
    }

    fn borrowed(list: &[(Vec<u8>, i64)]) -> Vec<Item<'_>> {
        list.iter().map(|(bytes, at)| (bytes.as_slice(), Some(*at))).collect()
    }

    fn check(source: &[(u8, i64)], target: &[(u8, i64)], expected: &[(u8, i64)], in_order: bool) {
        let (s, t, e) = (items(source), items(target), items(expected));
        assert_eq!(apply(&borrowed(&s), &borrowed(&t)), (borrowed(&e), in_order), "{source:?} into {target:?}");
    }

    #[test]
    fn what_is_missing_is_added_where_it_belongs() {
        let list = [(1, 10), (2, 20), (2, 20), (3, 5)];
        check(&list, &[], &list, true);
        check(&list, &list, &list, true);
        // A dual write came first: what is older goes before it.
        check(&[(1, 10), (2, 20), (9, 90)], &[(9, 90)], &[(1, 10), (2, 20), (9, 90)], true);
        check(&[(1, 10), (2, 20)], &[(9, 90)], &[(1, 10), (2, 20), (9, 90)], true);
        check(&[(1, 10), (2, 20), (3, 30)], &[(1, 10)], &[(1, 10), (2, 20), (3, 30)], true);
        // No place in the middle can be named.
        check(&[(1, 10), (2, 20), (3, 30)], &[(1, 10), (3, 30)], &[(1, 10), (3, 30), (2, 20)], false);
        check(&[(1, 10), (2, 20)], &[(1, 10), (9, 90)], &[(1, 10), (9, 90), (2, 20)], false);
        // The same bytes written at another time are another element.
        check(&[(1, 10)], &[(1, 11)], &[(1, 10), (1, 11)], true);
    }

    proptest! {
        #[test]
        fn a_list_is_never_doubled(list in prop::collection::vec((0u8..4, 0i64..4), 0..12), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
            let list = items(&list);
            let whole = borrowed(&list);
            // Whatever run of it had arrived, the rest follows, and once more changes nothing.
            let (a, b) = (from.index(whole.len() + 1), to.index(whole.len() + 1));
            let part = &whole[a.min(b)..a.max(b)];
            let (result, _) = apply(&whole, part);
            let (mut sorted, mut expected) = (result.clone(), whole.clone());
            sorted.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(sorted, expected);
            prop_assert_eq!(apply(&whole, &result).0, result);
        }
    }
}
