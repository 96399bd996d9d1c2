//! The order of values of each type, as Cassandra's `AbstractType.compare` has it (`org.apache.cassandra.db.marshal`, 5.0), and
//! ScyllaDB's `abstract_type::compare` (`types/types.cc`) after it. They differ where nobody's data is:
//!
//! - a `time` below zero, which has no meaning: Cassandra compares unsigned, ScyllaDB signed ones;
//! - a tuple of no bytes at all: it comes before one of nulls at Cassandra, and is the same as that at ScyllaDB.
//!
//! A `timestamp` that is stored as `DateType`, of tables that are older than Cassandra 2.0, is sorted there by unsigned bytes.

use super::decimal;
use crate::schema::CqlType;
use std::cmp::Ordering;

/// How the values of a type are sorted. A value of no bytes comes before all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrder {
    /// By bytes, unsigned.
    Bytes,
    /// Numbers of a fixed length, in two's complement.
    Signed,
    /// False, then true, which is every byte but 0.
    Boolean,
    /// IEEE 754, of four or eight bytes: −0 before 0, all NaNs equal and last.
    Float,
    /// Numbers of any length; those with more bytes than they need are equal to those without.
    Varint,
    /// By value: 1.0 and 1.00 are equal.
    Decimal,
    /// By version; those of version 1 by time.
    Uuid,
    /// By time, then by the other half, each byte signed.
    TimeUuid,
    /// By elements, in turn of each of these types: keys and values of a map.
    Collection(Vec<ValueOrder>),
    /// By fields, null first; one that is missing is null.
    Tuple(Vec<ValueOrder>),
    /// By elements, each of so many bytes, or else with its length in front.
    Vector(Box<ValueOrder>, Option<usize>),
}

impl ValueOrder {
    /// The order of values of the type, frozen where it can be; `None` where it isn't known.
    pub fn of(cql_type: &CqlType) -> Option<ValueOrder> {
        let all = |types: &[CqlType]| types.iter().map(ValueOrder::of).collect::<Option<Vec<_>>>();
        Some(match cql_type {
            CqlType::Native(name) => match name.as_str() {
                "ascii" | "text" | "blob" | "inet" | "date" | "time" | "empty" => ValueOrder::Bytes,
                "tinyint" | "smallint" | "int" | "bigint" | "counter" | "timestamp" => ValueOrder::Signed,
                "boolean" => ValueOrder::Boolean,
                "float" | "double" => ValueOrder::Float,
                "varint" => ValueOrder::Varint,
                "decimal" => ValueOrder::Decimal,
                "uuid" => ValueOrder::Uuid,
                "timeuuid" => ValueOrder::TimeUuid,
                _ => return None,
            },
            CqlType::Collection(_, inner) => ValueOrder::Collection(all(inner)?),
            CqlType::Tuple(inner) => ValueOrder::Tuple(all(inner)?),
            CqlType::Vector(inner, _) => ValueOrder::Vector(Box::new(ValueOrder::of(inner)?), fixed_length(inner)),
            CqlType::Udt(_, fields) if !fields.is_empty() => {
                ValueOrder::Tuple(fields.iter().map(|(_, inner)| ValueOrder::of(inner)).collect::<Option<_>>()?)
            }
            CqlType::Frozen(inner) => ValueOrder::of(inner)?,
            CqlType::Udt(..) | CqlType::Custom(_) => return None,
        })
    }

    /// The order of two values.
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        if a.is_empty() || b.is_empty() {
            return b.is_empty().cmp(&a.is_empty());
        }
        match self {
            ValueOrder::Bytes => a.cmp(b),
            ValueOrder::Signed => a[0].cast_signed().cmp(&b[0].cast_signed()).then_with(|| a.cmp(b)),
            ValueOrder::Boolean => (a[0] != 0).cmp(&(b[0] != 0)),
            ValueOrder::Float => by_key(a, b, float),
            ValueOrder::Varint => varint(a).cmp(&varint(b)),
            ValueOrder::Decimal => decimal::compare(a, b),
            ValueOrder::Uuid => by_key(a, b, uuid),
            ValueOrder::TimeUuid => by_key(a, b, time_uuid),
            ValueOrder::Collection(inner) => collections(inner, a, b),
            ValueOrder::Tuple(inner) => tuples(inner, a, b),
            ValueOrder::Vector(inner, Some(length)) => {
                let elements = |bytes| <[u8]>::chunks(bytes, *length).map(Some);
                sequences(std::iter::repeat(&**inner), elements(a), elements(b))
            }
            ValueOrder::Vector(inner, None) => {
                sequences(std::iter::repeat(&**inner), VectorElements(a).map(Some), VectorElements(b).map(Some))
            }
        }
    }
}

/// Null before everything else.
pub fn nulls_first(order: &ValueOrder, a: Option<&[u8]>, b: Option<&[u8]>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => order.compare(a, b),
        _ => a.is_some().cmp(&b.is_some()),
    }
}

/// By what is made of both; bytes of which nothing can be made come first.
fn by_key<K: Ord>(a: &[u8], b: &[u8], key: impl Fn(&[u8]) -> Option<K>) -> Ordering {
    match (key(a), key(b)) {
        (None, None) => a.cmp(b),
        (a, b) => a.cmp(&b),
    }
}

/// A number that is sorted as Java's `Double.compare` does it.
fn float(bytes: &[u8]) -> Option<u64> {
    let value = match *bytes {
        [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
        _ => f64::from_be_bytes(bytes.try_into().ok()?),
    };
    let bits = value.to_bits();
    Some(match value {
        _ if value.is_nan() => u64::MAX,
        _ if value.is_sign_negative() => !bits,
        _ => bits | 1 << 63,
    })
}

/// Its length, negative for a negative number, and its bytes, without those that only repeat the sign.
fn varint(bytes: &[u8]) -> (isize, &[u8]) {
    let bytes = minimal(bytes);
    let length = bytes.len().cast_signed();
    (if is_negative(bytes) { -length } else { length }, bytes)
}

/// Whether a number of two's complement is below zero.
pub(super) fn is_negative(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 != 0)
}

/// A number of two's complement without the bytes that only repeat its sign.
pub(super) fn minimal(mut bytes: &[u8]) -> &[u8] {
    while let [0 | 0xff, second, ..] = bytes
        && (bytes[0] ^ second) & 0x80 == 0
    {
        bytes = &bytes[1..];
    }
    bytes
}

/// The time of a UUID of version 1 is its first half, last part first.
fn time(first_half: u64) -> u64 {
    first_half << 48 | (first_half << 16) & 0xffff_0000_0000 | first_half >> 32
}

fn halves(bytes: &[u8]) -> Option<(u64, u64)> {
    let number = u128::from_be_bytes(bytes.try_into().ok()?);
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    Some(((number >> 64) as u64, number as u64))
}

fn uuid(bytes: &[u8]) -> Option<(u64, u64, u64)> {
    let (first, last) = halves(bytes)?;
    let version = first >> 12 & 0xf;
    Some((version, if version == 1 { time(first) } else { first }, last))
}

fn time_uuid(bytes: &[u8]) -> Option<(u64, u64)> {
    halves(bytes).map(|(first, last)| (time(first), last ^ 0x8080_8080_8080_8080))
}

/// By what comes first and differs; what ends earlier comes first.
fn sequences<'a>(
    orders: impl Iterator<Item = &'a ValueOrder>,
    mut a: impl Iterator<Item = Option<&'a [u8]>>,
    mut b: impl Iterator<Item = Option<&'a [u8]>>,
) -> Ordering {
    for order in orders {
        let found = match (a.next(), b.next()) {
            (Some(a), Some(b)) => nulls_first(order, a, b),
            (None, None) => return Ordering::Equal,
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        if found.is_ne() {
            return found;
        }
    }
    Ordering::Equal
}

fn collections(inner: &[ValueOrder], a: &[u8], b: &[u8]) -> Ordering {
    let elements = |bytes| {
        let (count, rest) = <[u8]>::split_first_chunk(bytes).unwrap_or((&[0; 4], &[]));
        let count = usize::try_from(i32::from_be_bytes(*count)).unwrap_or(0);
        Cells::of(rest).take(count.saturating_mul(inner.len()))
    };
    sequences(inner.iter().cycle(), elements(a), elements(b))
}

fn tuples(inner: &[ValueOrder], a: &[u8], b: &[u8]) -> Ordering {
    let missing = std::iter::repeat(None);
    sequences(inner.iter(), Cells::of(a).chain(missing.clone()), Cells::of(b).chain(missing))
}

/// `[bytes]` after `[bytes]` (native protocol v4, §6); a negative length is null. What reaches past the end is cut there.
#[derive(Clone, Debug)]
pub struct Cells<'a>(&'a [u8]);

impl<'a> Cells<'a> {
    /// The cells of these bytes.
    pub fn of(bytes: &'a [u8]) -> Cells<'a> {
        Cells(bytes)
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (cell, rest) = rest.split_at(length.unwrap_or(0).min(rest.len()));
        self.0 = rest;
        Some(length.map(|_| cell))
    }
}

/// The elements of a vector whose elements differ in length: each has its own in front, as a varint. The first byte of that has as
/// many leading ones as there are bytes behind it.
struct VectorElements<'a>(&'a [u8]);

impl<'a> Iterator for VectorElements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&first, rest) = self.0.split_first()?;
        let (more, rest) = rest.split_at((first.leading_ones() as usize).min(rest.len()));
        let own = 0xff_u8.checked_shr(first.leading_ones() + 1).unwrap_or(0) & first;
        let length = more.iter().fold(u64::from(own), |length, &byte| length << 8 | u64::from(byte));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (element, rest) = rest.split_at(length.min(rest.len()));
        self.0 = rest;
        Some(element)
    }
}

/// How many bytes each element of a vector of this type has; `None` where each has its length in front. Not all types of one length
/// count as such (`AbstractType.valueLengthIfFixed`).
fn fixed_length(cql_type: &CqlType) -> Option<usize> {
    match cql_type {
        CqlType::Native(name) => match name.as_str() {
            "boolean" => Some(1),
            "int" | "float" => Some(4),
            "bigint" | "double" | "timestamp" => Some(8),
            "uuid" | "timeuuid" => Some(16),
            _ => None,
        },
        CqlType::Vector(inner, dimensions) => fixed_length(inner)?.checked_mul(dimensions.parse().ok()?),
        CqlType::Frozen(inner) => fixed_length(inner),
        _ => None,
    }
    .filter(|length| *length > 0)
}
