//! A random share of the ring: what `--sample` takes, and which tokens that are.

use super::units::UnitError;
use crate::ring::{Token, TokenRange};
use std::fmt;
use std::str::FromStr;

/// A share: `1%`, `0.5%`, `100%`. Above nothing, at most all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Parts per billion: 1 to [`WHOLE`].
    parts: u32,
}

/// Parts of the whole.
const WHOLE: u32 = 1_000_000_000;
/// A hundredth has this many decimal places of its own.
const PLACES: usize = 7;

impl Share {
    /// How many of `width` tokens: at least one.
    fn of(self, width: u128) -> u128 {
        // A width is 2^64 at most, and a billion is less than 2^30.
        (width * u128::from(self.parts) / u128::from(WHOLE)).max(1)
    }
}

/// Cuts `range` in what lies before a random part of it, that part, and what lies behind: in ascending order, each with
/// whether it is the part to look at. They tile the range; the part's width is the share of it, to a token, but at least
/// one. The same for the same seed and range, whenever it is asked.
///
/// No piece ends at the lowest token: its ranges are read to the end of the ring ([`crate::ring::tile`]).
#[must_use]
pub fn sampled(range: TokenRange, share: Share, seed: u64) -> Vec<(TokenRange, bool)> {
    let width = range.width();
    let picked = share.of(width);
    let room = width - picked;
    let mut random = Random(seed ^ mixed(range.first().0.cast_unsigned()) ^ mixed(!range.last().0.cast_unsigned()));
    let mut offset = random.below(room + 1);
    if range.first() == Token::MIN && (offset == 1 || offset == 0 && picked == 1) {
        offset = match (picked, room) {
            (2.., _) => 0,
            (_, 2..) => 2,
            _ => return vec![(range, true)],
        };
    }
    let cut = |width: u128| token_before(range, width);
    let cuts: Vec<Token> = [offset, offset + picked].into_iter().filter_map(cut).collect();
    let pieces = range.cut(&cuts);
    let begins = if offset == 0 { Some(range.first()) } else { cuts.first().and_then(|cut| cut.next()) };
    pieces.into_iter().map(|piece| (piece, Some(piece.first()) == begins)).collect()
}

/// The last of the first `width` tokens of the range; none where there are none.
fn token_before(range: TokenRange, width: u128) -> Option<Token> {
    // At most the range's own width less one: within 64 bits.
    let offset = u64::try_from(width.checked_sub(1)?).ok()?;
    Some(Token(range.first().0.wrapping_add(offset.cast_signed())))
}

/// `SplitMix64`, which will be the same in every version of this program.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `bound`, which isn't 0.
    fn below(&mut self, bound: u128) -> u128 {
        (u128::from(self.next()) << 64 | u128::from(self.next())) % bound
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Share, UnitError> {
        let fail = || UnitError(format!("`{}` isn't a share: 1%, 0.5% and 100% are", text.escape_debug()));
        let number = text.trim().strip_suffix('%').ok_or_else(fail)?.trim_end();
        let (percent, places) = number.split_once('.').unwrap_or((number, ""));
        let is_number = |digits: &str| digits.bytes().all(|c| c.is_ascii_digit());
        if percent.is_empty() || number.ends_with('.') || !is_number(percent) || !is_number(places) {
            return Err(fail());
        }
        let places = places.trim_end_matches('0');
        if places.len() > PLACES {
            return Err(UnitError(format!("`{}` is finer than can be: 0.0000001% is the least", text.escape_debug())));
        }
        let parts = format!("{percent}{places:0<PLACES$}").parse::<u64>().ok().filter(|&parts| parts <= WHOLE.into());
        match parts.and_then(|parts| u32::try_from(parts).ok()) {
            Some(0) => Err(UnitError("a share of nothing proves nothing: 1% and 0.5% are shares".to_owned())),
            Some(parts) => Ok(Share { parts }),
            None => Err(UnitError(format!("`{}` is more than there is: 100% is all", text.escape_debug()))),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredth = WHOLE / 100;
        let places = format!("{:0PLACES$}", self.parts % hundredth);
        match places.trim_end_matches('0') {
            "" => write!(f, "{}%", self.parts / hundredth),
            places => write!(f, "{}.{places}%", self.parts / hundredth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::tile;
    use proptest::prelude::*;

    fn share(text: &str) -> Share {
        text.parse().expect("a share")
    }

    #[test]
    fn shares() {
        assert_eq!(share("1%"), Share { parts: 10_000_000 });
        assert_eq!(share(" 0.50 % "), Share { parts: 5_000_000 });
        assert_eq!(share("100.000000000%"), Share { parts: WHOLE });
        assert_eq!(share("0.0000001%"), Share { parts: 1 });
        for text in [
            "",
            "%",
            "1",
            "0%",
            "0.00%",
            "101%",
            "100.1%",
            "-1%",
            "1e2%",
            "1..5%",
            "1.%",
            ".5%",
            "+1%",
            "1 2%",
            "0.00000001%",
            "99999999999999999999999%",
            "٣%",
        ] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in prop_oneof!["\\PC{0,20}", "[0-9]{0,12}[.]?[0-9]{0,9}%"]) {
            if let Ok(share) = text.parse::<Share>() {
                prop_assert_eq!(share.to_string().parse(), Ok(share));
            }
        }

        #[test]
        fn what_is_shown_is_read_again(parts in 1..=WHOLE) {
            let share = Share { parts };
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }

        #[test]
        fn a_sample_is_a_part_of_its_range(
            ends in prop_oneof![
                3 => (any::<i64>(), any::<i64>()),
                1 => (Just(i64::MIN), i64::MIN..i64::MIN + 9),
                1 => (i64::MAX - 9..=i64::MAX, Just(i64::MAX)),
                1 => Just((i64::MIN, i64::MAX)),
                1 => (-9i64..9, -9i64..9),
            ],
            parts in prop_oneof![1..=WHOLE, Just(1), Just(WHOLE)],
            seed in any::<u64>(),
        ) {
            let range = TokenRange::new(Token(ends.0.min(ends.1)), Token(ends.0.max(ends.1))).expect("ordered");
            let share = Share { parts };
            let pieces = sampled(range, share, seed);
            prop_assert_eq!(&pieces, &sampled(range, share, seed));
            prop_assert_eq!(pieces.iter().filter(|(_, looked_at)| *looked_at).count(), 1);
            let mut next = Some(range.first());
            for (piece, looked_at) in &pieces {
                prop_assert_eq!(Some(piece.first()), next);
                prop_assert!(piece.last() != Token::MIN || range.last() == Token::MIN);
                next = piece.last().next();
                if *looked_at {
                    let exact = (range.width() * u128::from(parts) / u128::from(WHOLE)).max(1);
                    let whole = range.first() == Token::MIN && range.width() <= 2;
                    prop_assert!(piece.width() == exact || whole, "{} of {}", piece.width(), range.width());
                }
            }
            prop_assert_eq!(pieces.last().map(|(piece, _)| piece.last()), Some(range.last()));
        }
    }

    #[test]
    fn samples_lie_everywhere_in_their_ranges() {
        let ranges = tile(&[], 1000);
        let places: Vec<f64> = ranges
            .iter()
            .map(|&range| {
                let (sample, _) = sampled(range, share("1%"), 7).into_iter().find(|(_, is)| *is).expect("one");
                TokenRange::new(range.first(), sample.last()).expect("some").fraction() / range.fraction()
            })
            .collect();
        for tenth in 0..10 {
            let (from, to) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
            let here = places.iter().filter(|&&place| from <= place && place < to).count();
            assert!((50..=150).contains(&here), "{here} of 1000 in tenth {tenth}");
        }
    }

    #[test]
    fn another_seed_is_another_sample() {
        let of = |seed| sampled(TokenRange::RING, share("1%"), seed);
        assert_ne!(of(1), of(2));
    }
}
