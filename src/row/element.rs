//! The elements of a collection and the fields of a user-defined type, as slices of their page, and the list of writetimes
//! or TTLs that the source answers for them.
//!
//! Formats: native protocol v4, §6.10 and following. A set or list is `[count][length][bytes]…`, a map has two such cells
//! per entry, a user-defined type is the cells of its fields without a count. Nothing inside of an element is looked at.

use super::layout::Shape;
use std::ops::Range;

/// A part of a value that has a cell of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The column: its index in [`super::Layout::values`].
    pub value: u16,
    /// Which field of a user-defined type it is; for an element of a list, where its [`super::list_key::Place`] stands among the
    /// page's.
    pub index: u32,
    /// Where it lies in the page, the lengths that the wire has in front of its cells included.
    pub from: u32,
    /// Where it ends.
    pub to: u32,
}

/// The bytes of a collection aren't one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The place of each element within `cell`, its lengths included; `None` for a field that is null.
pub fn spans(shape: Shape, cell: &[u8]) -> Result<Vec<Option<Range<usize>>>, Malformed> {
    let mut at = 0;
    if let Shape::Udt(_) = shape {
        let mut spans = Vec::new();
        while at < cell.len() {
            let from = at;
            let is_null = skip(cell, &mut at)?;
            spans.push((!is_null).then_some(from..at));
        }
        return Ok(spans);
    }
    let count = usize::try_from(int(cell, &mut at)?).map_err(|_| Malformed)?;
    // Each element takes four bytes at least: a count that lies can't make us reserve memory.
    let mut spans = Vec::with_capacity(count.min(cell.len() / 4));
    for _ in 0..count {
        let from = at;
        for _ in 0..if shape == Shape::Map { 2 } else { 1 } {
            if skip(cell, &mut at)? {
                return Err(Malformed);
            }
        }
        spans.push(Some(from..at));
    }
    if at == cell.len() { Ok(spans) } else { Err(Malformed) }
}

/// The numbers of `WRITETIME(c)` (8 bytes each) or `TTL(c)` (4 bytes) of a value with elements; nulls are nulls.
pub fn numbers<const N: usize>(cell: &[u8]) -> Result<Vec<Option<[u8; N]>>, Malformed> {
    let mut at = 0;
    let count = usize::try_from(int(cell, &mut at)?).map_err(|_| Malformed)?;
    let mut numbers = Vec::with_capacity(count.min(cell.len() / 4));
    for _ in 0..count {
        let from = at + 4;
        let is_null = skip(cell, &mut at)?;
        let number = || cell[from..at].try_into().map_err(|_| Malformed);
        numbers.push(if is_null { None } else { Some(number()?) });
    }
    if at == cell.len() { Ok(numbers) } else { Err(Malformed) }
}

/// The writetimes and TTLs of a value's elements or fields, in their order.
#[derive(Debug)]
pub struct ElementTimes {
    writetimes: Vec<Option<[u8; 8]>>,
    ttls: Vec<Option<[u8; 4]>>,
}

impl ElementTimes {
    /// From the cells of `WRITETIME(c)` and `TTL(c)` of a value with so many elements.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(
        shape: Shape,
        elements: usize,
        writetimes: Option<&[u8]>,
        ttls: Option<&[u8]>,
    ) -> Result<ElementTimes, &'static str> {
        let malformed = |Malformed| "its writetimes or TTLs aren't a list of numbers";
        let writetimes = numbers::<8>(writetimes.unwrap_or_default()).map_err(malformed)?;
        let ttls = numbers::<4>(ttls.unwrap_or_default()).map_err(malformed)?;
        // A user-defined type may be shorter than its type says, where fields were added later.
        let fits = match shape {
            Shape::Udt(_) => elements <= writetimes.len(),
            _ => elements == writetimes.len(),
        };
        if !fits || ttls.len() != writetimes.len() {
            return Err("it has another number of elements than of writetimes or TTLs");
        }
        Ok(ElementTimes { writetimes, ttls })
    }

    /// The writetime of one of the elements, and its TTL; none is "never".
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(&self, element: usize) -> Result<(i64, Option<i32>), &'static str> {
        let writetime = self.writetimes[element].ok_or("an element has no writetime")?;
        Ok((i64::from_be_bytes(writetime), self.ttls[element].map(i32::from_be_bytes)))
    }
}

fn int(cell: &[u8], at: &mut usize) -> Result<i32, Malformed> {
    let bytes = cell.get(*at..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
    *at += bytes.len();
    Ok(i32::from_be_bytes(*bytes))
}

/// Steps over one `[length][bytes]`; says whether it is null.
fn skip(cell: &[u8], at: &mut usize) -> Result<bool, Malformed> {
    match int(cell, at)? {
        -1 => Ok(true),
        length => {
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            let end = at.checked_add(length).filter(|&end| end <= cell.len()).ok_or(Malformed)?;
            *at = end;
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell(value: Option<&[u8]>) -> Vec<u8> {
        let mut out = value.map_or(-1, |value| i32::try_from(value.len()).expect("small")).to_be_bytes().to_vec();
        out.extend(value.unwrap_or_default());
        out
    }

    proptest! {
        #[test]
        fn elements_are_found_where_they_lie(elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..20)) {
            for (shape, step) in [(Shape::List, 1), (Shape::Set, 1), (Shape::Map, 2)] {
                let whole = elements.len() / step;
                let mut wire = i32::try_from(whole).expect("small").to_be_bytes().to_vec();
                let parts: Vec<Vec<u8>> =
                    elements[..whole * step].chunks(step).map(|c| c.iter().flat_map(|e| cell(Some(e))).collect()).collect();
                wire.extend(parts.concat());
                let found = spans(shape, &wire).expect("well formed");
                prop_assert_eq!(found.len(), whole);
                for (span, part) in found.into_iter().zip(&parts) {
                    prop_assert_eq!(&wire[span.expect("no nulls")], part.as_slice());
                }
                wire.push(0);
                prop_assert_eq!(spans(shape, &wire), Err(Malformed), "bytes are left over");
            }
        }

        #[test]
        fn hostile_collections_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for shape in [Shape::List, Shape::Set, Shape::Map, Shape::Udt(3)] {
                if let Ok(spans) = spans(shape, &bytes) {
                    prop_assert!(spans.into_iter().flatten().all(|span| span.end <= bytes.len()));
                }
            }
            let _ = (numbers::<8>(&bytes), numbers::<4>(&bytes));
        }
    }

    #[test]
    fn fields_and_ttls_may_be_null() {
        let udt = [cell(Some(b"a")), cell(None), cell(Some(b""))].concat();
        assert_eq!(spans(Shape::Udt(4), &udt), Ok(vec![Some(0..5), None, Some(9..13)]));
        // `TTL(m)` of Apache Cassandra 5.0.6 for one permanent and one expiring element.
        let ttls = [&[0, 0, 0, 2][..], &cell(None), &cell(Some(&1000i32.to_be_bytes()))].concat();
        assert_eq!(numbers::<4>(&ttls), Ok(vec![None, Some(1000i32.to_be_bytes())]));
        assert_eq!(numbers::<8>(&ttls), Err(Malformed), "four bytes are no writetime");
    }
}
