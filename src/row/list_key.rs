//! Keys for the elements of lists.
//!
//! A list that isn't frozen keeps each element under a version 1 UUID, which orders the list. CQL doesn't show these keys,
//! and both databases make fresh ones whenever a list is written, so writing a list twice doubles it. ScyllaDB lets a client
//! name the key (`l[SCYLLA_TIMEUUID_LIST_INDEX(?)] = ?`, docs/features/cdc/cdc-advanced-types.rst). Keys that follow from
//! what was read make the write repeatable: the same list gets the same keys.
//!
//! A list that has grown or shrunk at an end, as lists do, should keep the keys of what it still has. So a key follows from
//! its element's writetime, not from its index: as both databases do, elements that were put behind others have the time at
//! which they were written, and those that were put before others have that time mirrored at the year 2010. Which of the two
//! an element was can be seen from the writetimes: they fall towards the oldest element and rise behind it.

/// 2010-01-01 in microseconds since the Unix epoch, where both databases mirror the keys of elements that are put in front
/// (Cassandra's `Lists.Prepender`, ScyllaDB's `lists::prepender`).
const REFERENCE: i64 = 1_262_304_000_000_000;
/// The latest time that has a key on both sides of the mirror: in the 25th century.
const LATEST: i64 = 14_000_000_000_000_000;
/// 100 ns steps between the Gregorian reform and 1970 (RFC 9562, §5.1).
const GREGORIAN: i64 = 0x01b2_1dd2_1381_4000;

/// The place of an element in its list, as far as it follows from the writetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether it was put before the oldest element.
    front: bool,
    /// The latest writetime among the element and those between it and the oldest one.
    latest: i64,
    /// How many of those between have the same `latest`.
    tie: u32,
}

/// The places of a list's elements, from their writetimes in list order.
pub fn places(writetimes: impl Iterator<Item = i64>) -> Vec<Place> {
    // Times that no clock has shown: the tie is then all that orders them.
    let times: Vec<i64> = writetimes.map(|writetime| writetime.clamp(REFERENCE, LATEST)).collect();
    let oldest = times.iter().enumerate().min_by_key(|&(_, time)| time).map_or(0, |(index, _)| index);
    // Where the oldest is the last of several, they were all put in front of each other.
    let fronts = if oldest > 0 && oldest + 1 == times.len() { times.len() } else { oldest };
    let mut places: Vec<Place> = run(true, times[..fronts].iter().rev()).collect();
    places.reverse();
    places.extend(run(false, times[fronts..].iter()));
    places
}

/// Places outwards from the oldest element.
fn run<'a>(front: bool, times: impl Iterator<Item = &'a i64>) -> impl Iterator<Item = Place> {
    times.scan(None, move |last: &mut Option<Place>, &time| {
        let place = match *last {
            Some(Place { latest, tie, .. }) if time <= latest => Place { front, latest, tie: tie + 1 },
            _ => Place { front, latest: time, tie: 0 },
        };
        *last = Some(place);
        *last
    })
}

impl Place {
    /// The key, in order of the places of a list.
    ///
    /// Both databases compare time first, then the other half as signed bytes. There, the side of the oldest element comes first,
    /// then the tie in bytes below 0x80.
    pub fn key(self) -> [u8; 16] {
        let time = if self.front { 2 * REFERENCE - self.latest } else { self.latest };
        let time = (time * 10 + GREGORIAN).to_be_bytes();
        let mut key = [0; 16];
        key[..4].copy_from_slice(&time[4..]);
        key[4..6].copy_from_slice(&time[2..4]);
        key[6..8].copy_from_slice(&[time[0] | 0x10, time[1]]);
        key[8] = if self.front { 0x80 } else { 0x81 }; // The upper two bits are the variant.
        let mut rest = if self.front { u64::MAX - u64::from(self.tie) } else { self.tie.into() };
        for byte in key[9..].iter_mut().rev() {
            *byte = rest.to_le_bytes()[0] & 0x7f;
            rest >>= 7;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(writetimes: &[i64]) -> Vec<[u8; 16]> {
        places(writetimes.iter().copied()).into_iter().map(Place::key).collect()
    }

    /// The order of `timeuuid` at both servers (Cassandra's `TimeUUIDType`, ScyllaDB's `timeuuid_tri_compare`).
    fn order(key: [u8; 16]) -> (u64, [i8; 8]) {
        let uuid = uuid::Uuid::from_bytes(key);
        let (ticks, _) = uuid.get_timestamp().expect("version 1").to_gregorian();
        let rest: [u8; 8] = key[8..].try_into().expect("eight");
        (ticks, rest.map(|byte| i8::from_be_bytes([byte])))
    }

    fn writetime() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => 1_600_000_000_000_000i64..1_800_000_000_000_000,
            2 => 1_600_000_000_000_000i64..1_600_000_000_000_004,
            1 => any::<i64>(),
            1 => Just(1),
        ]
    }

    proptest! {
        #[test]
        fn keys_keep_the_order_of_the_list(writetimes in prop::collection::vec(writetime(), 1..60)) {
            let keys = keys(&writetimes);
            prop_assert!(keys.windows(2).all(|pair| order(pair[0]) < order(pair[1])), "strictly rising: {:?}", keys);
            for key in keys {
                prop_assert_eq!(uuid::Uuid::from_bytes(key).get_version_num(), 1);
            }
        }

        /// Elements are put behind and before others, each later than all that were there.
        #[test]
        fn a_list_that_grows_at_its_ends_keeps_its_keys(ends in prop::collection::vec(any::<bool>(), 2..40)) {
            let mut list = vec![1_700_000_000_000_000i64, 1_700_000_000_000_001];
            for (step, front) in ends.into_iter().enumerate() {
                let before = keys(&list);
                let writetime = 1_700_000_000_000_002 + i64::try_from(step).expect("small");
                list.insert(if front { 0 } else { list.len() }, writetime);
                let after = keys(&list);
                prop_assert_eq!(&after[usize::from(front)..][..before.len()], &before[..]);
            }
        }
    }

    #[test]
    fn a_list_of_the_latest_keeps_its_keys_at_both_ends() {
        let day = 1_700_000_000_000_000;
        // Prepended four times; once more; then the oldest goes.
        let before = keys(&[day + 40, day + 30, day + 20, day + 10]);
        let grown = keys(&[day + 50, day + 40, day + 30, day + 20, day + 10]);
        assert_eq!(grown[1..], before);
        assert_eq!(keys(&[day + 50, day + 40, day + 30, day + 20]), grown[..4]);
        // Appended, and the oldest goes.
        let before = keys(&[day + 10, day + 20, day + 30]);
        assert_eq!(keys(&[day + 20, day + 30]), before[1..]);
        // Several at once share a writetime.
        let before = keys(&[day, day, day + 1]);
        assert_eq!(keys(&[day, day, day + 1, day + 2])[..3], before);
    }

    #[test]
    fn times_that_no_clock_shows_have_keys_of_their_own() {
        for writetimes in [[i64::MAX - 5, i64::MAX - 3], [i64::MIN + 1, -1], [0, 1]] {
            let keys = keys(&writetimes);
            assert!(order(keys[0]) < order(keys[1]), "{writetimes:?}");
        }
        assert_eq!(uuid::Uuid::from_bytes(keys(&[1, 1])[1]).to_string(), "9ab0c000-f668-11de-8100-000000000001");
    }
}
