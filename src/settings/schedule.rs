//! A limit that may follow the time of day: `20k`, `off`, `08:00,20k 19:00,off`.

use super::units::{Bytes, Count, UnitError};
use serde::Deserialize;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Minutes since midnight, on this machine's wall clock.
pub type Minute = u16;

/// A limit per second for each time of day; `U` is how its numbers are typed. No entry is no limit, ever.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String", bound(deserialize = "U: Unit"))]
pub struct Schedule<U> {
    /// From when on which limit holds, in the order of time; the last one holds until the first.
    entries: Vec<(Minute, Option<NonZeroU64>)>,
    unit: PhantomData<U>,
}

/// Rows per second.
pub type RowsSchedule = Schedule<Count>;
/// Bytes per second.
pub type BytesSchedule = Schedule<Bytes>;

/// How the numbers of a schedule are typed.
pub trait Unit: FromStr<Err = UnitError> + Into<u64> {}
impl<U: FromStr<Err = UnitError> + Into<u64>> Unit for U {}

impl<U> Default for Schedule<U> {
    fn default() -> Self {
        Schedule { entries: Vec::new(), unit: PhantomData }
    }
}

impl<U> Schedule<U> {
    /// The limit at that time of day; none is no limit.
    pub fn at(&self, now: Minute) -> Option<NonZeroU64> {
        let begun = self.entries.partition_point(|(from, _)| *from <= now);
        // Before the first of today, the last of yesterday holds.
        let entry = begun.checked_sub(1).map_or(self.entries.last(), |last| self.entries.get(last));
        entry.and_then(|(_, limit)| *limit)
    }

    /// Whether it changes in the course of a day.
    pub fn changes(&self) -> bool {
        self.entries.len() > 1
    }
}

impl<U: Unit> FromStr for Schedule<U> {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut entries = if text.trim().is_empty() {
            return Err(UnitError("a limit is missing: `20k`, `off` and `08:00,20k 19:00,off` are some".to_owned()));
        } else if text.contains([',', ':']) {
            text.split_whitespace().map(parse_entry::<U>).collect::<Result<Vec<_>, _>>()?
        } else {
            vec![(0, parse_limit::<U>(text.trim())?)]
        };
        entries.sort_unstable_by_key(|(from, _)| *from);
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (hour, minute) = (pair[0].0 / 60, pair[0].0 % 60);
            return Err(UnitError(format!("{hour:02}:{minute:02} is there twice")));
        }
        Ok(Schedule { entries, unit: PhantomData })
    }
}

impl<U: Unit> TryFrom<String> for Schedule<U> {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

/// As it may be typed: `off`, `20000`, `08:00,20000 19:00,off`.
impl<U> fmt::Display for Schedule<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = |limit: &Option<NonZeroU64>| limit.map_or_else(|| "off".to_owned(), |limit| limit.to_string());
        match self.entries.as_slice() {
            [] => f.write_str("off"),
            [(_, only)] => f.write_str(&limit(only)),
            several => {
                let entry = |(from, max): &(Minute, _)| format!("{:02}:{:02},{}", from / 60, from % 60, limit(max));
                f.write_str(&several.iter().map(entry).collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// `08:00,20k`
fn parse_entry<U: Unit>(text: &str) -> Result<(Minute, Option<NonZeroU64>), UnitError> {
    let fail = || {
        let text = text.escape_debug();
        UnitError(format!("`{text}` isn't a time of day and a limit: 08:00,20k and 19:00,off are"))
    };
    let (time, limit) = text.split_once(',').ok_or_else(fail)?;
    if limit.contains([',', ':']) {
        let text = text.escape_debug();
        return Err(UnitError(format!("`{text}`: a space stands between two entries, as in 08:00,20k 19:00,off")));
    }
    let (hour, minute) = time.split_once(':').ok_or_else(fail)?;
    let number = |digits: &str, below: Minute| {
        let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<Minute>().ok().filter(|number| is_number && *number < below)
    };
    let (hour, minute) = number(hour, 24).zip(number(minute, 60)).ok_or_else(fail)?;
    Ok((hour * 60 + minute, parse_limit::<U>(limit)?))
}

/// `20k`, `off`
fn parse_limit<U: Unit>(text: &str) -> Result<Option<NonZeroU64>, UnitError> {
    if text == "off" {
        return Ok(None);
    }
    let limit = NonZeroU64::new(text.parse::<U>()?.into());
    limit.map(Some).ok_or_else(|| UnitError("0 would never end: `off` is no limit, `migrate pause` stops".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str, hour: Minute, minute: Minute) -> Option<u64> {
        text.parse::<RowsSchedule>().expect(text).at(hour * 60 + minute).map(NonZeroU64::get)
    }

    #[test]
    fn it_is_shown_as_it_may_be_typed() {
        for (typed, shown) in
            [("off", "off"), ("20k", "20000"), ("7:05,20k", "20000"), ("19:00,off 8:00,20k", "08:00,20000 19:00,off")]
        {
            let schedule: RowsSchedule = typed.parse().expect(typed);
            assert_eq!(schedule.to_string(), shown);
            assert_eq!(RowsSchedule::default().to_string(), "off");
            let again: RowsSchedule = shown.parse().expect(shown);
            assert!((0..24 * 60).all(|now| again.at(now) == schedule.at(now)), "{typed}");
        }
    }

    #[test]
    fn a_limit_holds_all_day_and_a_schedule_from_time_to_time() {
        assert_eq!(at("20k", 3, 0), Some(20_000));
        assert_eq!(at("off", 3, 0), None);
        let day = "08:00,20k 19:00,off 12:30,5";
        assert_eq!(at(day, 7, 59), None, "yesterday's last");
        assert_eq!((at(day, 8, 0), at(day, 12, 29)), (Some(20_000), Some(20_000)));
        assert_eq!((at(day, 12, 30), at(day, 18, 59), at(day, 19, 0)), (Some(5), Some(5), None));
        assert_eq!(at("19:00,off 8:00,20k", 23, 59), None);
        assert_eq!(at("08:00,20k", 0, 0), Some(20_000), "a single entry holds for ever");
        let bytes: BytesSchedule = "20MiB".parse().expect("bytes");
        assert_eq!(bytes.at(0).map(NonZeroU64::get), Some(20 << 20));
        assert_eq!(RowsSchedule::default().at(5), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_its_form() {
        let texts = [
            "",
            " ",
            "0",
            "20 parsecs",
            "08:00",
            "08:00,",
            "8,20k",
            "24:00,20k",
            "08:60,1",
            "+8:00,1",
            "08:00,1 8:00,2",
            "20k 30k",
            "08:00,20k 30k",
            "08:00,off,1",
            "08:00,20k,19:00,off",
            "on",
        ];
        let line = |text: &&str| match text.parse::<RowsSchedule>() {
            Ok(schedule) => panic!("{text}: {schedule:?}"),
            Err(error) => format!("{text:16} {error}\n"),
        };
        insta::assert_snapshot!(texts.iter().map(line).collect::<String>(), @"
                         a limit is missing: `20k`, `off` and `08:00,20k 19:00,off` are some
                         a limit is missing: `20k`, `off` and `08:00,20k 19:00,off` are some
        0                0 would never end: `off` is no limit, `migrate pause` stops
        20 parsecs       `20 parsecs` isn't a number: 20000, 20k and 1M are
        08:00            `08:00` isn't a time of day and a limit: 08:00,20k and 19:00,off are
        08:00,           `` isn't a number: 20000, 20k and 1M are
        8,20k            `8,20k` isn't a time of day and a limit: 08:00,20k and 19:00,off are
        24:00,20k        `24:00,20k` isn't a time of day and a limit: 08:00,20k and 19:00,off are
        08:60,1          `08:60,1` isn't a time of day and a limit: 08:00,20k and 19:00,off are
        +8:00,1          `+8:00,1` isn't a time of day and a limit: 08:00,20k and 19:00,off are
        08:00,1 8:00,2   08:00 is there twice
        20k 30k          `20k 30k` isn't a number: 20000, 20k and 1M are
        08:00,20k 30k    `30k` isn't a time of day and a limit: 08:00,20k and 19:00,off are
        08:00,off,1      `08:00,off,1`: a space stands between two entries, as in 08:00,20k 19:00,off
        08:00,20k,19:00,off `08:00,20k,19:00,off`: a space stands between two entries, as in 08:00,20k 19:00,off
        on               `on` isn't a number: 20000, 20k and 1M are
        ");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[0-9:,kMof \\PC]{0,30}") {
            let _ = (text.parse::<RowsSchedule>(), text.parse::<BytesSchedule>());
        }

        /// At each minute, the entry holds that began last, looking back over midnight.
        #[test]
        fn the_last_entry_before_now_holds(entries in prop::collection::btree_map(0u16..1440, 0u64..5, 1..6), now in 0u16..1440) {
            let word = |(from, limit): (&u16, &u64)| {
                let limit = if *limit == 0 { "off".to_owned() } else { limit.to_string() };
                format!("{}:{:02},{limit}", from / 60, from % 60)
            };
            let text = entries.iter().rev().map(word).collect::<Vec<_>>().join(" ");
            let schedule: RowsSchedule = text.parse().expect("well formed");
            let ago = |from: u16| (now + 1440 - from) % 1440;
            let expected = entries.iter().min_by_key(|(from, _)| ago(**from)).map_or(0, |(_, limit)| *limit);
            prop_assert_eq!(schedule.at(now).map_or(0, NonZeroU64::get), expected);
        }
    }
}
