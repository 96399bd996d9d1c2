//! `tombstone_gc` as ScyllaDB keeps it: an extension of the table, serialized as a map of texts (`tombstone_gc_extension.hh`,
//! `serializer_impl.hh`): a count, then keys and values, each a length and its bytes; numbers are 32 bits, little-endian.

use crate::cluster::record::Record;
use crate::schema::ddl::map_literal;
use std::collections::BTreeMap;

/// Tombstones are never dropped.
pub(super) const DISABLED: &str = "{'mode': 'disabled'}";

/// The option of a row of `system_schema.tables` as a CQL literal; `None` where it isn't there or isn't understood.
pub(super) fn read(row: &mut Record) -> Option<String> {
    // Not yet, but a version that shows it as what it is would show it so.
    let plain = row.take_map("tombstone_gc");
    let map = if plain.is_empty() { decode(row.take_map("extensions").get("tombstone_gc")?)? } else { plain };
    let known = map.keys().all(|key| matches!(key.as_str(), "mode" | "propagation_delay_in_seconds"));
    let literal = map_literal(&map);
    // Whatever else there is would be lost, or refused, when it is set again.
    (known && map.contains_key("mode")).then_some(literal)
}

/// Whether a literal of this option says so.
pub(super) fn is_disabled(literal: &str) -> bool {
    literal.contains("'mode': 'disabled'")
}

fn decode(hex: &str) -> Option<BTreeMap<String, String>> {
    let digits = hex.strip_prefix("0x")?;
    let byte = |i: usize| u8::from_str_radix(digits.get(i..i + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    let mut rest = bytes.as_slice();
    let count = number(&mut rest)?;
    let mut map = BTreeMap::new();
    for _ in 0..count {
        let key = text(&mut rest)?;
        map.insert(key, text(&mut rest)?);
    }
    rest.is_empty().then_some(map)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::record::Cell;
    use proptest::prelude::*;

    fn read_hex(hex: &str) -> Option<String> {
        let extensions = Cell::Map(BTreeMap::from([("tombstone_gc".to_owned(), hex.to_owned())]));
        read(&mut Record::from_iter([("extensions".to_owned(), extensions)]))
    }

    #[test]
    fn what_a_real_node_shows_is_understood() {
        // As `SELECT extensions` of a ScyllaDB 2023 shows it.
        let hex = "0x02000000040000006d6f6465060000007265706169721c00000070726f7061676174696f6e5f64656c61795f696e5f7365636f6e64730400000033363030";
        let literal = read_hex(hex).expect("it is understood");
        assert_eq!(literal, "{'mode': 'repair', 'propagation_delay_in_seconds': '3600'}");
        assert!(!is_disabled(&literal) && is_disabled(DISABLED));
        for broken in ["", "0x", "0x0", &hex[..hex.len() - 2], &format!("{hex}00"), "0xffffffff", "0x00000000"] {
            assert_eq!(read_hex(broken), None, "{broken}");
        }
        assert_eq!(read(&mut Record::default()), None);
    }

    #[test]
    fn what_is_not_known_is_not_managed() {
        let map = |pairs: &[(&str, &str)]| {
            let map = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            read(&mut Record::from_iter([("tombstone_gc".to_owned(), Cell::Map(map))]))
        };
        assert_eq!(map(&[("mode", "timeout")]).as_deref(), Some("{'mode': 'timeout'}"));
        assert_eq!(map(&[("mode", "timeout"), ("new", "1")]), None);
        assert_eq!(map(&[("propagation_delay_in_seconds", "1")]), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(hex in "0x([0-9a-f]{2}){0,40}|\\PC{0,20}") {
            let _ = read_hex(&hex);
        }
    }
}
