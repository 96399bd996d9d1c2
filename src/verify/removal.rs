//! What is to be deleted of a row at the target. Each delete has the writetime of what it deletes, so that whatever an
//! application writes meanwhile stays, and so does what it wrote later to another column. What is young stays, too: an
//! application that writes to both sides may be about to write it to the source, and a delete would hide it for ever.

use super::difference::{Class, ColumnDifference, ElementKey};
use super::look::Looked;
use super::merge::Suspect;
use super::task::KeyOrders;
use crate::row::{Removal, RemovedPart};
use std::collections::BTreeMap;

/// A statement may not have more marks than 65,535, and a request of very many is slow.
const PARTS_MAX: usize = 1000;

/// Nothing is deleted that was written later than so many microseconds before the run began.
const YOUNG: i64 = 60_000_000;

/// The latest writetime that is deleted in a run that began at `began_at`, both in microseconds since the Unix epoch.
pub(super) fn latest(began_at: i64) -> i64 {
    began_at.saturating_sub(YOUNG)
}

/// The deletes of what the target alone has of a row, as far as it isn't younger than `latest`; none where there is nothing.
pub(super) fn removals(suspect: &Suspect, left: &Looked, key_orders: &KeyOrders, latest: i64) -> Vec<Removal> {
    let removal = |of, timestamp| Removal { row: suspect.key.clone(), part: suspect.part, of, timestamp };
    if left.alone == Some(Class::Extra) {
        // No query shows when a row marker was written, or a cell whose writetime can't be read.
        let timestamp = left.newest_at_target.unwrap_or(latest);
        return if timestamp <= latest { vec![removal(Vec::new(), timestamp)] } else { Vec::new() };
    }
    let extra = left.columns.iter().filter(|column| {
        column.class == Class::ColumnExtra && !is_there_in_other_bytes(column, &left.columns, key_orders)
    });
    let mut by_time: BTreeMap<i64, Vec<RemovedPart>> = BTreeMap::new();
    for column in extra {
        let writetime = column.target.as_ref().and_then(|cell| cell.writetime);
        by_time.entry(writetime.unwrap_or(latest)).or_default().extend(part(column));
    }
    by_time.retain(|time, parts| *time <= latest && !parts.is_empty());
    let chunks = |(time, parts): (i64, Vec<RemovedPart>)| {
        parts.chunks(PARTS_MAX).map(|parts| removal(parts.to_vec(), time)).collect::<Vec<_>>()
    };
    by_time.into_iter().flat_map(chunks).collect()
}

/// Whether the source has an element that the servers take for the same as this one, though its key has other bytes: the decimals 1.0 and
/// 1.00 are one. To delete it would delete that.
fn is_there_in_other_bytes(extra: &ColumnDifference, columns: &[ColumnDifference], key_orders: &KeyOrders) -> bool {
    let (Some(ElementKey::Key(key)), Some(order)) = (&extra.element, key_orders.get(&extra.value)) else {
        return false;
    };
    columns.iter().any(|column| match &column.element {
        Some(ElementKey::Key(other)) if column.value == extra.value && column.class == Class::ColumnMissing => {
            order.as_ref().is_none_or(|order| order.compare(other, key).is_eq())
        }
        _ => false,
    })
}

/// Of a row that was deleted and shows nothing but its key: its marker is newer than its cells were.
pub(super) fn of_marker(suspect: &Suspect, latest: i64) -> Removal {
    Removal { row: suspect.key.clone(), part: suspect.part, of: Vec::new(), timestamp: latest }
}

/// Elements of lists have no key of their own that a client could name, and stay.
fn part(column: &ColumnDifference) -> Option<RemovedPart> {
    let value = column.value;
    match &column.element {
        None => Some(RemovedPart::Column { value }),
        Some(ElementKey::Key(key)) => Some(RemovedPart::Element { value, key: key.clone() }),
        Some(ElementKey::Field(field)) => Some(RemovedPart::Field { value, field: *field }),
        Some(ElementKey::Index(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::RowKey;
    use crate::row::layout::Part;
    use crate::schema::order::ValueOrder;
    use crate::verify::difference::CellState;

    fn suspect() -> Suspect {
        let key = RowKey::new(&[0, 0, 0, 1, 7], &[]);
        Suspect { token: key.token(), key, part: Part::Regular, follows: false, is_counted: true }
    }

    fn extra(value: usize, class: Class, writetime: i64) -> ColumnDifference {
        let target = Some(CellState { bytes: vec![1], writetime: Some(writetime), expires_at: None });
        ColumnDifference { value, class, source: None, target, element: None, list: None, adds_from: None }
    }

    fn looked(alone: Option<Class>, columns: Vec<ColumnDifference>) -> Looked {
        let newest_at_target = columns.iter().filter_map(|column| column.target.as_ref()?.writetime).max();
        Looked { alone, columns, state: 0, newest_at_target, is_ending: false }
    }

    fn parts(removals: &[Removal]) -> Vec<(usize, i64)> {
        removals.iter().map(|removal| (removal.of.len(), removal.timestamp)).collect()
    }

    #[test]
    fn each_cell_goes_with_its_own_writetime_unless_it_is_young() {
        let columns = vec![
            extra(0, Class::ColumnExtra, 40),
            extra(1, Class::ColumnExtra, 9),
            extra(2, Class::ColumnExtra, 51),
            extra(3, Class::ValueNewer, 5),
        ];
        assert_eq!(parts(&removals(&suspect(), &looked(None, columns), &KeyOrders::new(), 50)), [(1, 9), (1, 40)]);
    }

    #[test]
    fn a_row_goes_at_once_unless_any_of_it_is_young() {
        let row = |writetimes: &[i64]| {
            let cells = writetimes.iter().enumerate().map(|(value, &time)| extra(value, Class::Extra, time));
            parts(&removals(&suspect(), &looked(Some(Class::Extra), cells.collect()), &KeyOrders::new(), 50))
        };
        assert_eq!(row(&[10, 20]), [(0, 20)]);
        assert_eq!(row(&[10, 90]), [], "an application is at it");
        assert_eq!(row(&[]), [(0, 50)], "a marker tells no time");
    }

    #[test]
    fn a_statement_has_so_many_marks_at_most() {
        let columns = (0..2500).map(|_| extra(0, Class::ColumnExtra, 7)).collect();
        assert_eq!(
            parts(&removals(&suspect(), &looked(None, columns), &KeyOrders::new(), 50)),
            [(1000, 7), (1000, 7), (500, 7)]
        );
    }

    #[test]
    fn an_element_that_the_source_has_in_other_bytes_stays() {
        let element = |class, key: &[u8]| ColumnDifference {
            element: Some(ElementKey::Key(key.to_vec())),
            ..extra(0, class, 10)
        };
        let decimal = |scale: u8, unscaled: u8| [0, 0, 0, scale, unscaled];
        let at_source = element(Class::ColumnMissing, &decimal(1, 10));
        let removed = |key: &[u8], orders: &KeyOrders| {
            removals(&suspect(), &looked(None, vec![at_source.clone(), element(Class::ColumnExtra, key)]), orders, 50)
                .len()
        };
        let decimals = KeyOrders::from([(0, Some(ValueOrder::Decimal))]);
        assert_eq!(removed(&decimal(2, 100), &decimals), 0, "1.00 is 1.0");
        assert_eq!(removed(&decimal(2, 101), &decimals), 1, "1.01 isn't");
        assert_eq!(removed(&decimal(2, 101), &KeyOrders::from([(0, None)])), 0, "nobody knows");
        assert_eq!(removed(&decimal(2, 101), &KeyOrders::from([(1, None)])), 1, "of another column");
    }
}
