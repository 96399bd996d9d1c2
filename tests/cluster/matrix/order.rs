//! What the copy of a collection rests on: the server answers writetimes and TTLs in the order of the elements.

use super::fill::Write;
use super::judge::elements;
use super::shape::{self, Part, Shape, Table};
use super::{load, open};
use crate::encodings::{Type, collection, types};
use crate::lab::Raw;

/// What an element's writetime is: it follows from the element's key, so that a list of writetimes in another order than the
/// elements' can't be mistaken for theirs.
fn writetime(key: &[u8]) -> i64 {
    key.iter().fold(1_i64, |sum, byte| (sum * 31 + i64::from(*byte)) % 1_000_000_000_000)
}

/// And its TTL, in seconds; `None` for one in three, which are permanent.
fn ttl(key: &[u8]) -> Option<i32> {
    let hash = i32::try_from(writetime(key) % 400_000).unwrap();
    (hash % 3 != 0).then_some(100_000 + hash)
}

/// Goal: trap: `WRITETIME(m)` and `TTL(m)` are lists without keys. Their order is that of the elements in `m`, for lists, sets,
/// maps and user-defined types, of each type.
///
/// Method: elements whose writetime and TTL follow from the element, written one by one in any order, in many rows; then each
/// answer is compared with what follows from its element.
#[test]
fn writetimes_and_ttls_come_in_the_order_of_the_elements() {
    let Some(mut lab) = open("m_order") else { return };
    lab.source.run(&shape::create_everything(&types()));
    let table = Table::of("t", &shape::element_shapes(&types()));
    lab.source.run(&table.create());
    let mut writes = Vec::new();
    for row in 0..6 {
        let mut first = Vec::new();
        for column in &table.columns {
            let (mark, mut written) = chosen(&column.shape);
            while !written.is_empty() {
                let next = usize::try_from(lab.random.below(written.len() as u64)).unwrap();
                let (key, element, suffix) = written.swap_remove(next);
                if lab.random.one_in(4) {
                    continue;
                }
                let name = format!("{}{suffix}", column.name);
                let set = mark.replace("{}", &name);
                let keys = if column.part == Part::Static { "p = ?" } else { "p = ? AND c = ?" };
                let cql = format!("UPDATE t USING TIMESTAMP ? AND TTL ? SET {set} WHERE {keys}");
                let mut values = vec![
                    Some(writetime(&key).to_be_bytes().to_vec()),
                    Some(ttl(&key).unwrap_or(0).to_be_bytes().to_vec()),
                    Some(element),
                ];
                values.extend(vec![Some(i32::to_be_bytes(row).to_vec()); keys.matches('?').count()]);
                first.push(Write { cql, values: Raw(values) });
            }
        }
        writes.push([first, Vec::new()]);
    }
    load(&lab.source, writes);

    let [values, writetimes, ttls] =
        [table.select_values(), table.select_of("WRITETIME", |_| true), table.select_of("TTL", |_| true)]
            .map(|cql| lab.source.raw(&cql));
    assert_eq!(values.len(), 6);
    let mut seen = 0;
    for ((values, writetimes), ttls) in values.iter().zip(&writetimes).zip(&ttls) {
        for (index, column) in table.columns.iter().enumerate() {
            let Some(value) = &values.0[index + 2] else { continue };
            let [writetimes, ttls] = [writetimes, ttls].map(|row| row.0[index + 2].as_deref().unwrap());
            let keys = keys(&column.shape, value);
            let [writetimes, ttls] = [writetimes, ttls].map(elements);
            assert_eq!([writetimes.len(), ttls.len()], [keys.len(); 2], "{}", column.name);
            for ((key, found), left) in keys.iter().zip(writetimes).zip(ttls) {
                let expected = key.as_ref().map(|key| writetime(key).to_be_bytes().to_vec());
                assert_eq!(found, expected.as_deref(), "WRITETIME of {}, element {key:02x?}", column.name);
                let left = left.map(|left| i32::from_be_bytes(left.try_into().unwrap()));
                let expected = key.as_ref().and_then(|key| ttl(key));
                let same =
                    left.zip(expected).map_or(left == expected, |(left, full)| (full - 100..=full).contains(&left));
                assert!(same, "TTL of {}, element {key:02x?}: {left:?} of {expected:?}", column.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 2000, "{seen} elements");
}

/// An element: its key, what is bound to write it, what follows the name of the column.
type Element = (Vec<u8>, Vec<u8>, String);

/// How an element of a column, `{}`, is written, and which may be.
fn chosen(shape: &Shape) -> (&'static str, Vec<Element>) {
    let one = |parts: &[&[u8]]| collection(parts, 1);
    let added = "{} = {} + ?";
    match shape {
        Shape::One(_) => unreachable!("it has one writetime"),
        Shape::List(t) | Shape::Set(t) => {
            (added, distinct(t).map(|value| (t.class(value), one(&[value]), String::new())).collect())
        }
        Shape::Map(key, value) => {
            let with_value = |k: &Vec<u8>| (key.class(k), one(&[k, &value.values[0]]), String::new());
            (added, distinct(key).map(with_value).collect())
        }
        Shape::Udt(_, fields) => {
            let field = |t: &Type| (t.name.clone().into_bytes(), t.values[0].clone(), format!(".{}", t.name));
            ("{} = ?", fields.iter().map(field).collect())
        }
    }
}

/// One of those encodings that compare equal. Besides, a boolean of 02 that is bound inside of a list is stored as 01.
fn distinct(t: &Type) -> impl Iterator<Item = &Vec<u8>> {
    let earlier = |at: usize| t.values[..at].iter().map(|value| t.class(value));
    t.values
        .iter()
        .enumerate()
        .filter(move |(at, value)| earlier(*at).all(|other| other != t.class(value)))
        .map(|(_, v)| v)
}

/// The keys of the elements that a value has, in its order; none for a field that is null.
fn keys(shape: &Shape, value: &[u8]) -> Vec<Option<Vec<u8>>> {
    let class = |t: &Type, element: Option<&[u8]>| element.map(|element| t.class(element));
    match shape {
        Shape::One(_) => unreachable!("it has one writetime"),
        Shape::List(t) | Shape::Set(t) => elements(value).into_iter().map(|element| class(t, element)).collect(),
        Shape::Map(t, _) => elements(value).into_iter().step_by(2).map(|key| class(t, key)).collect(),
        Shape::Udt(_, fields) => {
            let value = [&[0; 4], value].concat();
            let present = elements(&value).into_iter().map(|field| field.is_some()).chain(std::iter::repeat(false));
            fields.iter().zip(present).map(|(t, present)| present.then(|| t.name.clone().into_bytes())).collect()
        }
    }
}
