//! Values as numbers in the order in which the servers sort them, for types that have such numbers: to find a value between two
//! others. Nothing that is copied comes through here.
//!
//! The orders are those of [`super::order::value`], which the tests hold this to. Not all values are looked for: no addresses of
//! IPv6, no UUIDs but those of version 4. A value that isn't between its bounds does no harm: the parts of what is cut there are
//! together the whole.

use super::CqlType;

/// A value that is sorted behind or at `low` and before `high`, about in the middle; `None` where there is none, or where the
/// type's order has no numbers here. A bound that is missing is the type's own.
pub fn between(cql_type: &CqlType, low: Option<&[u8]>, high: Option<&[u8]>, descending: bool) -> Option<Vec<u8>> {
    let CqlType::Native(name) = cql_type else { return None };
    // In a descending column, what is stored first is the larger value.
    let (low, high) = if descending { (high, low) } else { (low, high) };
    match name.as_str() {
        "tinyint" => integer::<1>(low, high, descending, SIGN),
        "smallint" => integer::<2>(low, high, descending, SIGN),
        "int" => integer::<4>(low, high, descending, SIGN),
        "bigint" | "timestamp" | "time" => integer::<8>(low, high, descending, SIGN),
        "date" | "inet" => integer::<4>(low, high, descending, 0),
        "boolean" => boolean(low, high, descending),
        "float" => floating::<4>(low, high, descending),
        "double" => floating::<8>(low, high, descending),
        "varint" => varint(low, high, descending),
        "timeuuid" => time_uuid(low, high, descending),
        "uuid" => random_uuid(low, high, descending),
        "blob" => bytes(low, high, descending, u8::MAX),
        "ascii" => bytes(low, high, descending, 0x7f),
        "text" => text(low, high, descending),
        _ => None,
    }
}

/// Flips the first bit of a number of two's complement, so that it sorts as an unsigned one.
const SIGN: u8 = 0x80;

/// The middle of two bounds: the lower one may be the answer, the upper one not; the other way around where they are descending.
fn middle(low: u128, high: u128, descending: bool) -> Option<u128> {
    (low < high).then(|| low + (high - low) / 2 + u128::from(descending && (high - low) % 2 == 1))
}

/// The answer of `middle` where a bound may be missing: then the type's own first or last value is no bound but a value.
fn middle_within(low: Option<u128>, high: Option<u128>, last: u128, descending: bool) -> Option<u128> {
    match (low, high, descending) {
        (low, Some(high), false) => middle(low.unwrap_or(0), high, false),
        (Some(low), high, true) => middle(low, high.unwrap_or(last), true),
        (Some(low), None, false) if low == last => Some(last),
        (None, Some(0), true) => Some(0),
        (low, None, false) => middle(low.unwrap_or(0), last, false),
        (None, high, true) => middle(0, high.unwrap_or(last), true),
    }
}

fn integer<const N: usize>(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool, flip: u8) -> Option<Vec<u8>> {
    // A value of no bytes is sorted before all others.
    let number = |value: Option<&[u8]>| match value {
        Some([]) | None => Ok(None),
        Some(value) => <[u8; N]>::try_from(value).map(|mut bytes| {
            bytes[0] ^= flip;
            Some(bytes.iter().fold(0u128, |number, &byte| number << 8 | u128::from(byte)))
        }),
    };
    let last = (1u128 << (8 * N)) - 1;
    if high == Some(&[]) {
        return None;
    }
    let found = middle_within(number(low).ok()?, number(high).ok()?, last, descending)?;
    let mut bytes = found.to_be_bytes()[16 - N..].to_vec();
    bytes[0] ^= flip;
    Some(bytes)
}

/// False is sorted before true.
fn boolean(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool) -> Option<Vec<u8>> {
    let first = u8::from(descending);
    (low.is_none() && high.is_none()).then(|| vec![first])
}

/// Numbers of IEEE 754: with their first bit flipped, or, where they are negative, all bits, they are sorted as integers.
fn floating<const N: usize>(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool) -> Option<Vec<u8>> {
    let flip = |value: &[u8], is_negative: bool| match value {
        value if is_negative => value.iter().map(|byte| !byte).collect::<Vec<u8>>(),
        value => value.iter().enumerate().map(|(i, byte)| if i == 0 { byte ^ SIGN } else { *byte }).collect(),
    };
    let ordinal = |value: &[u8]| flip(value, value.first().is_some_and(|byte| byte & SIGN != 0));
    let (low, high) = (low.map(ordinal), high.map(ordinal));
    let found = integer::<N>(low.as_deref(), high.as_deref(), descending, 0)?;
    Some(flip(&found, found[0] & SIGN == 0))
}

/// Integers of any length, as far as they have at most eight bytes; further ones are seldom keys.
fn varint(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool) -> Option<Vec<u8>> {
    let widen = |value: &[u8]| {
        let is_negative = value.first().is_some_and(|byte| byte & SIGN != 0);
        let missing = 8usize.checked_sub(value.len())?;
        let mut wide = vec![if is_negative { u8::MAX } else { 0 }; missing];
        wide.extend_from_slice(value);
        Some(if value.is_empty() { Vec::new() } else { wide })
    };
    let widened = |value: Option<&[u8]>| match value {
        None => Some(None),
        Some(value) => widen(value).map(Some),
    };
    let (low, high) = (widened(low)?, widened(high)?);
    let found = integer::<8>(low.as_deref(), high.as_deref(), descending, SIGN)?;
    // As short as it can be: a byte that only repeats the sign is left out.
    let extra = found
        .windows(2)
        .take_while(|pair| pair[0] == 0 && pair[1] & SIGN == 0 || pair[0] == u8::MAX && pair[1] & SIGN != 0);
    let extra = extra.count();
    Some(found[extra..].to_vec())
}

/// 60 bits of time, then 64 bits that are compared byte by byte as signed ones.
fn time_uuid(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool) -> Option<Vec<u8>> {
    const SIGNS: u64 = 0x8080_8080_8080_8080;
    let number = |value: Option<&[u8]>| match value {
        Some([]) | None => Ok(None),
        Some(value) => <[u8; 16]>::try_from(value).map(|bytes| {
            let number = u128::from_be_bytes(bytes);
            let (time_low, time_mid, time_high) = (number >> 96, (number >> 80) & 0xffff, (number >> 64) & 0xfff);
            #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
            let rest = number as u64 ^ SIGNS;
            Some((time_high << 48 | time_mid << 32 | time_low) << 64 | u128::from(rest))
        }),
    };
    if high == Some(&[]) {
        return None;
    }
    let found = middle_within(number(low).ok()?, number(high).ok()?, (1u128 << 124) - 1, descending)?;
    let time = found >> 64;
    let (time_low, time_mid, time_high) = (time & 0xffff_ffff, (time >> 32) & 0xffff, time >> 48);
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let rest = found as u64 ^ SIGNS;
    let version_one = 0x1000;
    Some((time_low << 96 | time_mid << 80 | (version_one | time_high) << 64 | u128::from(rest)).to_be_bytes().to_vec())
}

/// UUIDs of version 4, which are sorted by their bytes among themselves. Others have orders of their own.
fn random_uuid(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool) -> Option<Vec<u8>> {
    let number = |value: Option<&[u8]>| match value {
        None => Some(None),
        Some(value) => {
            let number = u128::from_be_bytes(value.try_into().ok()?);
            let of_version_four = (number >> 76) & 0xf == 4;
            // Without the version: 48 bits, 12 bits, 64 bits.
            of_version_four.then_some(Some(number >> 80 << 76 | number & ((1 << 76) - 1)))
        }
    };
    let found = middle_within(number(low)?, number(high)?, (1u128 << 124) - 1, descending)?;
    Some((found >> 76 << 80 | 4 << 76 | found & ((1 << 76) - 1)).to_be_bytes().to_vec())
}

/// How many characters behind what both bounds begin with are looked at.
const CHARACTERS: u32 = 3;

/// A string: sorted by its bytes, which is the order of its characters' numbers.
fn text(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool) -> Option<Vec<u8>> {
    let characters = |value: &[u8]| std::str::from_utf8(value).ok().map(|text| text.chars().collect::<Vec<char>>());
    let low = characters(low.unwrap_or_default())?;
    let high = match high {
        None => None,
        Some(value) => Some(characters(value)?),
    };
    let common = high.as_ref().map_or(0, |high| low.iter().zip(high).take_while(|(a, b)| a == b).count());
    let base = u128::from(u32::from(char::MAX)) + 1;
    let window = |value: &[char]| {
        let digit = |i: u32| value.get(common + i as usize).map_or(0, |&character| u128::from(u32::from(character)));
        (0..CHARACTERS).fold(0, |number, i| number * base + digit(i))
    };
    let (from, to) = (window(&low), high.as_ref().map_or(base.pow(CHARACTERS), |high| window(high)));
    let found = middle(from, to, descending)?;
    let mut value: Vec<char> = low[..common].to_vec();
    for i in (0..CHARACTERS).rev() {
        let number = u32::try_from(found / base.pow(i) % base).ok()?;
        // Numbers that are no characters lie between two that are.
        value.push(char::from_u32(number).unwrap_or('\u{e000}'));
    }
    while value.len() > common && value.last() == Some(&'\0') {
        value.pop();
    }
    let is_behind = if descending { value > low } else { value >= low };
    let is_before = high.is_none_or(|high| if descending { value <= high } else { value < high });
    (is_behind && is_before).then(|| value.into_iter().collect::<String>().into_bytes())
}

/// How many bytes behind what both bounds begin with are looked at.
const DIGITS: usize = 8;

/// A string of bytes up to `byte_max`: what both bounds begin with, and some more.
fn bytes(low: Option<&[u8]>, high: Option<&[u8]>, descending: bool, byte_max: u8) -> Option<Vec<u8>> {
    let low = low.unwrap_or_default();
    let common = high.map_or(0, |high| low.iter().zip(high).take_while(|(a, b)| a == b).count());
    let base = u128::from(byte_max) + 1;
    let window = |value: &[u8], from: usize| {
        let digit = |i: usize| value.get(from + i).copied().unwrap_or(0).min(byte_max);
        (0..DIGITS).fold(0, |number, i| number * base + u128::from(digit(i)))
    };
    let (from, to) = (window(low, common), high.map_or(base.pow(8), |high| window(high, common)));
    let found = middle(from, to, descending)?;
    let mut value: Vec<u8> = low[..common].to_vec();
    #[expect(clippy::cast_possible_truncation, reason = "a digit is below the base")]
    value.extend((0u32..8).rev().map(|i| (found / base.pow(i) % base) as u8));
    while value.len() > common && value.last() == Some(&0) {
        value.pop();
    }
    let is_string = byte_max == u8::MAX || value.is_ascii();
    let is_behind = if descending { value.as_slice() > low } else { value.as_slice() >= low };
    let is_before = high.is_none_or(|high| if descending { value.as_slice() <= high } else { value.as_slice() < high });
    (is_string && is_behind && is_before).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::order::value::ValueOrder;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn native(name: &str) -> CqlType {
        CqlType::Native(name.to_owned())
    }

    fn compare(name: &str, a: &[u8], b: &[u8]) -> Ordering {
        ValueOrder::of(&native(name)).expect("an order").compare(a, b)
    }

    fn value(name: &'static str) -> BoxedStrategy<Vec<u8>> {
        let length = match name {
            "tinyint" => 1,
            "smallint" => 2,
            "int" | "date" => 4,
            "bigint" | "double" => 8,
            "ascii" => return "[a-z]{0,12}".prop_map(String::into_bytes).boxed(),
            "text" => return "[a-cß-üж中-龥\\PC]{0,6}".prop_map(String::into_bytes).boxed(),
            "varint" => return prop::collection::vec(any::<u8>(), 1..=8).boxed(),
            "blob" => return prop::collection::vec(any::<u8>(), 0..12).boxed(),
            _ => 16,
        };
        let bytes = prop::collection::vec(any::<u8>(), length..=length);
        bytes
            .prop_map(move |mut bytes| {
                match name {
                    "timeuuid" => bytes[6] = bytes[6] & 0xf | 0x10,
                    "uuid" => bytes[6] = bytes[6] & 0xf | 0x40,
                    _ => {}
                }
                if length == 16 {
                    bytes[8] = bytes[8] & 0x3f | 0x80;
                }
                bytes
            })
            .boxed()
    }

    const TYPES: [&str; 12] = [
        "tinyint", "smallint", "int", "bigint", "date", "timeuuid", "uuid", "text", "ascii", "blob", "double", "varint",
    ];

    fn case() -> impl Strategy<Value = (&'static str, Vec<u8>, Vec<u8>, bool)> {
        prop::sample::select(&TYPES[..]).prop_flat_map(|name| (Just(name), value(name), value(name), any::<bool>()))
    }

    proptest! {
        #[test]
        fn what_is_between_is_between((name, a, b, descending) in case()) {
            // As stored: `first` before `second`.
            let smaller_first = compare(name, &a, &b).is_le();
            let (first, second) = if smaller_first == descending { (b, a) } else { (a, b) };
            let stored = |x: &[u8], y: &[u8]| { let o = compare(name, x, y); if descending { o.reverse() } else { o } };
            if let Some(found) = between(&native(name), Some(&first), Some(&second), descending) {
                prop_assert!(stored(&first, &found).is_le(), "{found:?}");
                prop_assert!(stored(&found, &second).is_lt(), "{found:?}");
            } else if !matches!(name, "text" | "ascii" | "blob") {
                prop_assert_eq!(compare(name, &first, &second), Ordering::Equal);
            }
            if let Some(found) = between(&native(name), Some(&first), None, descending) {
                prop_assert!(stored(&first, &found).is_le());
            }
            if let Some(found) = between(&native(name), None, Some(&second), descending) {
                prop_assert!(stored(&found, &second).is_lt());
            }
        }
    }

    #[test]
    fn halving_ends_at_neighbours() {
        for descending in [false, true] {
            let (mut low, high) = (5i64.to_be_bytes().to_vec(), 900i64.to_be_bytes().to_vec());
            let (mut first, second) =
                if descending { (high.clone(), low.clone()) } else { (low.clone(), high.clone()) };
            for _ in 0..12 {
                let found = between(&native("bigint"), Some(&first), Some(&second), descending).expect("some");
                if found == first {
                    break;
                }
                first = found;
            }
            low = second;
            let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().expect("eight bytes"));
            assert_eq!((number(&first) - number(&low)).abs(), 1);
        }
    }

    #[test]
    fn strings_stay_strings() {
        let found = between(&native("text"), Some("straße".as_bytes()), Some("straßf".as_bytes()), false);
        assert!(String::from_utf8(found.expect("some")).expect("a string").starts_with("straße"));
        let found = between(&native("ascii"), None, None, false).expect("some");
        assert!(!found.is_empty() && found.is_ascii(), "{found:?}");
        assert_eq!(between(&native("boolean"), None, None, false), Some(vec![0]));
    }

    #[test]
    fn types_without_numbers_have_nothing_between() {
        for name in ["decimal", "duration", "counter"] {
            assert_eq!(between(&native(name), None, None, false), None);
        }
    }
}
