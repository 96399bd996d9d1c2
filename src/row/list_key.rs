//! Keys for the elements of lists.
//!
//! A list that isn't frozen keeps each element under a version 1 UUID, which orders the list. CQL doesn't show these keys,
//! and both databases make fresh ones whenever a list is written, so writing a list twice doubles it. ScyllaDB lets a client
//! name the key (`l[SCYLLA_TIMEUUID_LIST_INDEX(?)] = ?`, docs/features/cdc/cdc-advanced-types.rst). Keys that follow from
//! what was read make the write repeatable: the same list gets the same keys.

/// The place of an element in its list, as far as it follows from the writetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The latest writetime among the element and those before it: never falls along the list.
    latest: i64,
    /// How many elements before it have the same `latest`.
    tie: u32,
}

/// The places of a list's elements, from their writetimes in list order.
pub fn places(writetimes: impl Iterator<Item = i64>) -> impl Iterator<Item = Place> {
    writetimes.scan(None, |last: &mut Option<Place>, writetime| {
        let place = match *last {
            Some(Place { latest, tie }) if writetime <= latest => Place { latest, tie: tie + 1 },
            _ => Place { latest: writetime, tie: 0 },
        };
        *last = Some(place);
        *last
    })
}

/// 100 ns steps between the Gregorian reform and 1970 (RFC 9562, §5.1).
const GREGORIAN: i128 = 0x01b2_1dd2_1381_4000;
/// A version 1 UUID has 60 bits for its time.
const TIME_MAX: i128 = (1 << 60) - 1;

impl Place {
    /// The key, in order of the places of a list.
    ///
    /// Both databases compare time first, then the other half as signed bytes, so the tie stands in bytes below 0x80.
    pub fn key(self) -> [u8; 16] {
        // Writetimes that no clock has shown can't be told apart by time; the tie is then all that orders them.
        let time = (i128::from(self.latest) * 10 + GREGORIAN).clamp(0, TIME_MAX);
        let time = u64::try_from(time).unwrap_or_default();
        let mut key = [0; 16];
        key[..4].copy_from_slice(&time.to_be_bytes()[4..]);
        key[4..6].copy_from_slice(&time.to_be_bytes()[2..4]);
        key[6..8].copy_from_slice(&((time >> 48) as u16 | 0x1000).to_be_bytes());
        key[8] = 0x80; // The variant.
        let mut rest = self.tie;
        for byte in key[9..].iter_mut().rev() {
            *byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The order of `timeuuid` at both servers (Cassandra's `TimeUUIDType`, ScyllaDB's `timeuuid_tri_compare`).
    fn order(key: [u8; 16]) -> (u64, [i8; 8]) {
        let uuid = uuid::Uuid::from_bytes(key);
        let (ticks, _) = uuid.get_timestamp().expect("version 1").to_gregorian();
        let rest: [u8; 8] = key[8..].try_into().expect("eight");
        (ticks, rest.map(|byte| i8::from_be_bytes([byte])))
    }

    proptest! {
        #[test]
        fn keys_keep_the_order_of_the_list(writetimes in prop::collection::vec(-5_000_000i64..1_800_000_000_000_000, 1..300)) {
            let keys: Vec<[u8; 16]> = places(writetimes.iter().copied()).map(Place::key).collect();
            prop_assert!(keys.windows(2).all(|pair| order(pair[0]) < order(pair[1])), "strictly rising: {:?}", keys);
            let again: Vec<[u8; 16]> = places(writetimes.into_iter()).map(Place::key).collect();
            prop_assert_eq!(keys, again);
        }
    }

    #[test]
    fn a_longer_list_keeps_the_keys_of_the_shorter_one() {
        let keys = |writetimes: &[i64]| places(writetimes.iter().copied()).map(Place::key).collect::<Vec<_>>();
        let list = [2000, 1000, 500, 3000, 3000];
        assert_eq!(keys(&list)[..3], keys(&list[..3]));
        assert_eq!(uuid::Uuid::from_bytes(keys(&list)[1]).to_string(), "13818e20-1dd2-11b2-8000-000000000001");
    }

    #[test]
    fn writetimes_that_no_clock_shows_still_have_keys() {
        for writetime in [i64::MIN + 1, -1, 0, i64::MAX] {
            let place = places([writetime].into_iter()).next().expect("one");
            assert_eq!(uuid::Uuid::from_bytes(place.key()).get_version_num(), 1, "{writetime}");
        }
    }
}
