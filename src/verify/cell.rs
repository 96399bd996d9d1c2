//! One cell of both sides.

use super::compare::Rules;
use super::difference::{CellState, Class, ColumnDifference, ElementKey};

/// A cell as a side shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) bytes: &'a [u8],
    /// None where the side can't tell.
    pub(super) times: Option<Times>,
}

/// When a cell was written, and when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Times {
    pub(super) writetime: i64,
    /// Seconds since the Unix epoch; none for "never".
    pub(super) expires_at: Option<i64>,
}

impl Cell<'_> {
    pub(super) fn state(&self) -> CellState {
        CellState {
            bytes: self.bytes.to_vec(),
            writetime: self.times.map(|times| times.writetime),
            expires_at: self.times.and_then(|times| times.expires_at),
        }
    }
}

/// How the target's cell differs; none where it doesn't, or where that can't be known.
pub(super) fn class_of(source: Option<Cell>, target: Option<Cell>, rules: &Rules) -> Option<Class> {
    match (source, target) {
        (None, None) => None,
        (Some(_), None) => Some(Class::ColumnMissing),
        (None, Some(_)) => Some(Class::ColumnExtra),
        (Some(source), Some(target)) if source.bytes == target.bytes => of_times(source.times, target.times, rules),
        (Some(source), Some(target)) => Some(of_values(source.times, target.times, rules)),
    }
}

/// The same with both cells; `element` is which part of its column they are.
pub(super) fn difference(
    value: usize,
    element: impl FnOnce() -> Option<ElementKey>,
    source: Option<Cell>,
    target: Option<Cell>,
    rules: &Rules,
) -> Option<ColumnDifference> {
    let class = class_of(source, target, rules)?;
    let state = |cell: Option<Cell>| cell.map(|cell| cell.state());
    Some(ColumnDifference {
        value,
        class,
        source: state(source),
        target: state(target),
        element: element(),
        list: None,
        adds_from: None,
    })
}

/// Of two cells of one value.
fn of_times(source: Option<Times>, target: Option<Times>, rules: &Rules) -> Option<Class> {
    match (source, target) {
        (Some(source), Some(target)) => {
            let is_capped = rules.is_capped(source, target);
            if source.writetime != target.writetime && !is_capped {
                Some(Class::Writetime)
            } else if rules.expires_otherwise(source.expires_at, target.expires_at) {
                Some(Class::Expiry)
            } else {
                is_capped.then_some(Class::Capped)
            }
        }
        // Another writetime is one that somebody knew who wrote both sides. Whether it is the source's, nobody can tell.
        (None, Some(target)) => (target.writetime == rules.policy.unknown_timestamp && target.expires_at.is_none())
            .then_some(Class::UnknownTimestamp),
        (_, None) => None,
    }
}

/// Of two cells of different values.
fn of_values(source: Option<Times>, target: Option<Times>, rules: &Rules) -> Class {
    let (Some(source), Some(target)) = (source, target) else { return Class::ValueUnknown };
    // As high as a copy can write: of two values at this one writetime, the servers keep the greater.
    if source.writetime == target.writetime || rules.is_capped(source, target) {
        Class::ValueTie
    } else if target.writetime < source.writetime {
        Class::ValueOlder
    } else {
        Class::ValueNewer
    }
}

impl Rules {
    /// Whether the target has what a copy makes of the source's writetime, as it is too high for it.
    fn is_capped(&self, source: Times, target: Times) -> bool {
        self.policy.is_capped(target.writetime) && source.writetime > target.writetime
    }

    /// Whether two expiries are further apart than clocks and slow writes explain.
    pub(super) fn expires_otherwise(&self, source: Option<i64>, target: Option<i64>) -> bool {
        match (source, target) {
            (None, None) => false,
            (Some(source), Some(target)) => !self.tolerates(source, target),
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    /// Whether two instants, in seconds, are as good as the same.
    pub(super) fn tolerates(&self, one: i64, other: i64) -> bool {
        one.abs_diff(other) <= self.expiry_tolerance.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Policy;

    const CAP: i64 = 1_000;
    const UNKNOWN: i64 = 7;

    fn rules(timestamp_max: i64) -> Rules {
        Rules { expiry_tolerance: 5, policy: Policy { unknown_timestamp: UNKNOWN, timestamp_max, ..Policy::default() } }
    }

    /// `x` null; `a` a value whose times can't be told; `a@3` its writetime; `a@3~9` its expiry.
    fn cell(text: &str) -> Option<Cell<'_>> {
        if text == "x" {
            return None;
        }
        let (value, times) = text.split_once('@').map_or((text, None), |(value, times)| (value, Some(times)));
        let number = |text: &str| text.parse().expect("a number");
        let times = times.map(|times| match times.split_once('~') {
            Some((writetime, expiry)) => Times { writetime: number(writetime), expires_at: Some(number(expiry)) },
            None => Times { writetime: number(times), expires_at: None },
        });
        Some(Cell { bytes: value.as_bytes(), times })
    }

    fn class(source: &str, target: &str, timestamp_max: i64) -> Option<Class> {
        class_of(cell(source), cell(target), &rules(timestamp_max))
    }

    #[test]
    fn a_cell_has_at_most_one_class() {
        use Class::*;
        let cases = [
            ("x", "x", None),
            ("x", "a@1", Some(ColumnExtra)),
            ("a@1", "x", Some(ColumnMissing)),
            ("a@1~100", "x", Some(ColumnMissing)),
            ("a", "x", Some(ColumnMissing)),
            ("a@1", "a@1", None),
            ("@1", "@1", None),
            ("@1", "x", Some(ColumnMissing)),
            // Values.
            ("a@2", "b@1", Some(ValueOlder)),
            ("a@1", "b@2", Some(ValueNewer)),
            ("a@1", "b@1", Some(ValueTie)),
            ("a@1", "b@1~100", Some(ValueTie)),
            ("a", "b@1", Some(ValueUnknown)),
            ("a@1", "b", Some(ValueUnknown)),
            ("a", "b", Some(ValueUnknown)),
            ("a", "b@7", Some(ValueUnknown)),
            // Writetimes.
            ("a@1", "a@2", Some(Writetime)),
            ("a@-1", "a@1", Some(Writetime)),
            ("a@1~100", "a@2", Some(Writetime)),
            // Expiry.
            ("a@1~100", "a@1~105", None),
            ("a@1~105", "a@1~100", None),
            ("a@1~100", "a@1~106", Some(Expiry)),
            ("a@1~106", "a@1~100", Some(Expiry)),
            ("a@1~1", "a@1", Some(Expiry)),
            ("a@1", "a@1~1", Some(Expiry)),
            ("a@1", "a@1~0", Some(Expiry)),
            // A side can't tell.
            ("a", "a", None),
            ("a@1", "a", None),
            ("a@7~100", "a", None),
            ("a", "a@7", Some(UnknownTimestamp)),
            ("a", "a@7~100", None),
            ("a", "a@8", None),
            // Both can, so the unknown timestamp is one as others.
            ("a@8", "a@7", Some(Writetime)),
        ];
        for (source, target, expected) in cases {
            for timestamp_max in [CAP, i64::MAX] {
                assert_eq!(class(source, target, timestamp_max), expected, "{source} {target}");
            }
        }
    }

    #[test]
    fn a_lowered_writetime_is_what_a_copy_wrote() {
        use Class::*;
        let max = i64::MAX;
        let cases = [
            ("a@1001", "a@1000", CAP, Some(Capped)),
            ("a@1001", "a@1000", max, Some(Writetime)),
            ("a@1000", "a@1000", CAP, None),
            ("a@999", "a@1000", CAP, Some(Writetime)),
            ("a@1001", "a@999", CAP, Some(Writetime)),
            ("a@1002", "a@1001", CAP, Some(Writetime)),
            // The expiry is looked at all the same.
            ("a@1001~100", "a@1000~103", CAP, Some(Capped)),
            ("a@1001~100", "a@1000~200", CAP, Some(Expiry)),
            ("a@1001", "a@1000~200", CAP, Some(Expiry)),
            // A copy can't write over it.
            ("a@1001", "b@1000", CAP, Some(ValueTie)),
            ("a@1001", "b@1000", max, Some(ValueOlder)),
            ("a@1001", "b@999", CAP, Some(ValueOlder)),
            ("a@999", "b@1000", CAP, Some(ValueNewer)),
            ("a@1001", "b@1002", CAP, Some(ValueNewer)),
            ("a@9223372036854775807", "a@9223372036854775807", max, None),
        ];
        for (source, target, timestamp_max, expected) in cases {
            assert_eq!(class(source, target, timestamp_max), expected, "{source} {target} {timestamp_max}");
        }
    }

    #[test]
    fn instants_far_apart_are_no_trouble() {
        assert!(!rules(CAP).tolerates(i64::MIN, i64::MAX));
    }
}
