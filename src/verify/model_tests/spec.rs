//! What a verification must say, worked out from both tables row by row: nothing here knows how the verifier compares.

use super::super::difference::Class;
use crate::copy::fakes::{Cell, TargetRow, Written};
use crate::job::Verdict;
use std::collections::BTreeSet;

/// The cells of a row, each with the seconds that it has to live.
pub(super) type Row = [Option<Cell>; 2];

/// Seconds by which expiries may differ.
pub(super) const TOLERANCE: i64 = 5;

/// The classes that a row shows: none where it is equal, or at neither side.
pub(super) fn classes(source: Option<&Row>, target: Option<&Row>, timestamp_max: i64) -> BTreeSet<Class> {
    match (source, target) {
        (None, None) => BTreeSet::new(),
        (Some(_), None) => BTreeSet::from([Class::Missing]),
        (None, Some([None, None])) => BTreeSet::from([Class::Marker]),
        (None, Some(_)) => BTreeSet::from([Class::Extra]),
        (Some(source), Some(target)) => {
            let cells = source.iter().zip(target);
            cells.filter_map(|(source, target)| class(source.as_ref(), target.as_ref(), timestamp_max)).collect()
        }
    }
}

fn class(source: Option<&Cell>, target: Option<&Cell>, timestamp_max: i64) -> Option<Class> {
    let ((a, at, ttl), (b, bt, other_ttl)) = match (source, target) {
        (None, None) => return None,
        (Some(_), None) => return Some(Class::ColumnMissing),
        (None, Some(_)) => return Some(Class::ColumnExtra),
        (Some(source), Some(target)) => (source, target),
    };
    let is_lowered = timestamp_max != i64::MAX && *bt == timestamp_max && at > bt;
    if a != b {
        return Some(match bt.cmp(at) {
            _ if is_lowered => Class::ValueTie,
            std::cmp::Ordering::Less => Class::ValueOlder,
            std::cmp::Ordering::Equal => Class::ValueTie,
            std::cmp::Ordering::Greater => Class::ValueNewer,
        });
    }
    let expires_otherwise = (*ttl == 0) != (*other_ttl == 0) || i64::from((ttl - other_ttl).abs()) > TOLERANCE;
    match (at == bt, is_lowered, expires_otherwise) {
        (false, false, _) => Some(Class::Writetime),
        (_, _, true) => Some(Class::Expiry),
        (_, true, false) => Some(Class::Capped),
        (true, false, false) => None,
    }
}

pub(super) fn is_harmless(classes: &BTreeSet<Class>) -> bool {
    classes.iter().all(|class| matches!(class, Class::Marker | Class::UnknownTimestamp | Class::Capped))
}

/// What a row counts that is at either side.
pub(super) fn count(classes: &BTreeSet<Class>) -> Verdict {
    let one = |class| u64::from(classes.contains(&class));
    Verdict {
        rows_compared: 1,
        rows_different: u64::from(!is_harmless(classes)),
        rows_missing: one(Class::Missing),
        rows_extra: one(Class::Extra),
        rows_value_older: one(Class::ValueOlder),
        rows_value_newer: one(Class::ValueNewer),
        rows_value_tie: one(Class::ValueTie),
        rows_writetime: one(Class::Writetime),
        rows_expiry: one(Class::Expiry),
        rows_column_missing: one(Class::ColumnMissing),
        rows_column_extra: one(Class::ColumnExtra),
        rows_marker: one(Class::Marker),
        rows_capped: one(Class::Capped),
        ..Verdict::default()
    }
}

/// What a client sees of a stored row, at this time.
pub(super) fn seen(row: &TargetRow, now: i64) -> Option<Row> {
    let is_alive = |expiry: i64| expiry == 0 || expiry > now;
    let cell = |cell: &Option<Written>| {
        let (value, writetime, expiry) = cell.as_ref().filter(|cell| is_alive(cell.2))?;
        let ttl = if *expiry == 0 { 0 } else { i32::try_from(expiry - now).unwrap_or(i32::MAX) };
        Some((value.clone(), *writetime, ttl))
    };
    let cells = [cell(&row.cells[0]), cell(&row.cells[1])];
    let is_there = cells.iter().any(Option::is_some) || row.marker.is_some_and(|(_, expiry)| is_alive(expiry));
    is_there.then_some(cells)
}

/// Whether `after` is what the target's row may be once it is mended.
pub(super) fn is_mended(
    source: Option<&Row>,
    before: Option<&TargetRow>,
    after: Option<&TargetRow>,
    (now, timestamp_max): (i64, i64),
    (repairs, deletes): (bool, bool),
) -> Result<(), String> {
    let (was, is) = (before.and_then(|row| seen(row, now)), after.and_then(|row| seen(row, now)));
    let classes = classes(source, was.as_ref(), timestamp_max);
    let is_repaired = repairs
        && classes.iter().any(|class| {
            matches!(
                class,
                Class::Missing
                    | Class::ValueOlder
                    | Class::ValueTie
                    | Class::ColumnMissing
                    | Class::Writetime
                    | Class::Expiry
            )
        });
    if deletes && classes.contains(&Class::Extra) {
        return if is.is_none() { Ok(()) } else { Err("a row that the target alone had is still there".to_owned()) };
    }
    let tombstone = before.and_then(|row| row.deleted).unwrap_or(i64::MIN);
    for i in 0..2 {
        let (old, new) = (was.as_ref().and_then(|row| row[i].clone()), is.as_ref().and_then(|row| row[i].clone()));
        let written = source.and_then(|row| row[i].clone()).map(|(value, at, ttl)| (value, at.min(timestamp_max), ttl));
        let expected = match (old, written) {
            // Cells of different writetimes are deleted one after another.
            (Some(old), None) if deletes && source.is_some() => vec![None, Some(old)],
            (old, None) => vec![old],
            (old, Some(_)) if !is_repaired => vec![old],
            (old, Some(written)) if written.1 <= tombstone => vec![old],
            (None, written) => vec![written],
            (Some(old), Some(written)) => winners(old, written).into_iter().map(Some).collect(),
        };
        let is_one = expected.iter().any(|expected| match (expected, &new) {
            (None, None) => true,
            (Some(a), Some(b)) => (&a.0, a.1, a.2 == 0) == (&b.0, b.1, b.2 == 0) && (a.2 - b.2).abs() < 10,
            _ => false,
        });
        if !is_one {
            return Err(format!("cell {i} is {new:?}, and should be {expected:?}"));
        }
    }
    Ok(())
}

/// What the servers keep of two cells.
fn winners(old: Cell, written: Cell) -> Vec<Cell> {
    let expires = |cell: &Cell| cell.2 != 0;
    match old.1.cmp(&written.1) {
        std::cmp::Ordering::Less => vec![written],
        std::cmp::Ordering::Greater => vec![old],
        // The later expiry wins, if it is that of the same moment or not: here it may be either.
        std::cmp::Ordering::Equal if expires(&old) && expires(&written) => vec![old, written],
        std::cmp::Ordering::Equal => vec![std::cmp::max_by_key(old, written, |cell| (cell.2 != 0, cell.0.clone()))],
    }
}
