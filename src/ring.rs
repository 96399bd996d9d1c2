//! The token ring: tokens, ranges of tokens and the arithmetic of splitting. Pure; knows no database.
//!
//! A range is written with both ends **inclusive**. That way a range of one token, the lowest token and the highest
//! one need no special case, nothing wraps, and "tiles the ring" is `next.first == previous.last + 1`.

use std::fmt;

/// A Murmur3 token, as `token(pk)` answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Token(pub i64);

impl Token {
    /// The lowest token. No row of a table has it, but a materialized view's row with an empty key does on Cassandra.
    pub const MIN: Token = Token(i64::MIN);
    /// The highest token.
    pub const MAX: Token = Token(i64::MAX);

    /// The token before this one; `None` at the ring's start.
    #[must_use]
    pub fn previous(self) -> Option<Token> {
        self.0.checked_sub(1).map(Token)
    }

    /// The token after this one; `None` at the ring's end.
    #[must_use]
    pub fn next(self) -> Option<Token> {
        self.0.checked_add(1).map(Token)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All tokens from `first` to `last`, both included. Never empty, never wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct TokenRange {
    first: Token,
    last: Token,
}

impl TokenRange {
    /// The whole ring: 2^64 tokens.
    pub const RING: TokenRange = TokenRange { first: Token::MIN, last: Token::MAX };

    /// The range `first..=last`; `None` where it would be empty.
    #[must_use]
    pub fn new(first: Token, last: Token) -> Option<TokenRange> {
        (first <= last).then_some(TokenRange { first, last })
    }

    /// The range of one token.
    #[must_use]
    pub fn of(token: Token) -> TokenRange {
        TokenRange { first: token, last: token }
    }

    /// The range cut behind each of `cuts` that lies in it: pieces in ascending order, which tile it.
    #[must_use]
    pub fn cut(self, cuts: &[Token]) -> Vec<TokenRange> {
        let mut pieces = Vec::new();
        let mut rest = Some(self);
        for &cut in cuts {
            let Some(range) = rest.filter(|range| range.contains(cut) && cut != range.last) else { continue };
            pieces.push(TokenRange { first: range.first, last: cut });
            rest = range.after(Some(cut));
        }
        pieces.extend(rest);
        pieces
    }

    /// The last tokens of the pieces when the range is cut in `pieces` about equal ones, without the range's own end: none where
    /// the range is a single token. Never the lowest token, which [`tile`] never makes a range of either.
    #[must_use]
    pub fn cuts(self, pieces: u32) -> Vec<Token> {
        self.inner_cuts(pieces.into()).filter(|&cut| cut != Token::MIN).collect()
    }

    /// The lowest token in the range.
    #[must_use]
    pub fn first(self) -> Token {
        self.first
    }

    /// The highest token in the range.
    #[must_use]
    pub fn last(self) -> Token {
        self.last
    }

    /// How many tokens the range holds: 1 to 2^64.
    #[must_use]
    pub fn width(self) -> u128 {
        u128::from(self.last.0.abs_diff(self.first.0)) + 1
    }

    /// The part of the ring that the range covers, 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    pub fn fraction(self) -> f64 {
        self.width() as f64 / TokenRange::RING.width() as f64
    }

    /// Whether `token` lies in the range.
    #[must_use]
    pub fn contains(self, token: Token) -> bool {
        self.first <= token && token <= self.last
    }

    /// What is left of the range once all tokens up to `cursor` are done; `None` where nothing is.
    #[must_use]
    pub fn after(self, cursor: Option<Token>) -> Option<TokenRange> {
        match cursor {
            None => Some(self),
            Some(cursor) => TokenRange::new(self.first.max(cursor.next()?), self.last),
        }
    }

    /// The last tokens of the pieces when the range is cut in `pieces` of equal width (±1), without the range's own end.
    fn inner_cuts(self, pieces: u128) -> impl Iterator<Item = Token> {
        let width = self.width();
        let pieces = pieces.min(width);
        (1..pieces).map(move |i| {
            let offset = width / pieces * i + (width % pieces) * i / pieces - 1;
            // `offset < width <= 2^64`, so the sum stays within i64 when wrapped in u64.
            #[expect(clippy::cast_possible_truncation, reason = "offset is below 2^64")]
            Token(self.first.0.wrapping_add((offset as u64).cast_signed()))
        })
    }
}

impl fmt::Display for TokenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.first, self.last)
    }
}

/// Cuts the ring in at least `ranges_min` ranges, none of which crosses one of `node_tokens` (so that a range has one
/// set of replicas, as of today; the ranges stay what they are when the topology changes).
///
/// In ascending order, tiling the ring exactly. Never makes a range of the lowest token alone: Cassandra reads an upper
/// bound of the lowest token as "to the end of the ring" (`StatementRestrictions`, CASSANDRA-5573).
#[must_use]
pub fn tile(node_tokens: &[Token], ranges_min: usize) -> Vec<TokenRange> {
    let ranges_min = ranges_min.max(1) as u128;
    let mut ends: Vec<Token> = node_tokens.iter().copied().filter(|&t| t != Token::MIN && t != Token::MAX).collect();
    ends.sort_unstable();
    ends.dedup();

    let mut cuts = Vec::new();
    for segment in ranges_between(&ends) {
        let pieces = (segment.width() * ranges_min).div_ceil(TokenRange::RING.width());
        cuts.extend(segment.inner_cuts(pieces).filter(|&cut| cut != Token::MIN));
        cuts.push(segment.last());
    }
    cuts.pop(); // The ring's end is no cut.
    ranges_between(&cuts)
}

/// The ranges that end at each of `cuts` (ascending, distinct, none of them the highest token), and the one after the last.
fn ranges_between(cuts: &[Token]) -> Vec<TokenRange> {
    let mut ranges = Vec::with_capacity(cuts.len() + 1);
    let mut first = Token::MIN;
    for &last in cuts {
        ranges.push(TokenRange { first, last });
        first = Token(last.0 + 1);
    }
    ranges.push(TokenRange { first, last: Token::MAX });
    ranges
}

/// Checks, range by range in ascending order, that ranges tile the ring: 2^64 tokens, no gap, no overlap.
#[derive(Debug, Default)]
pub struct TilingCheck {
    covered_to: Option<Token>,
}

impl TilingCheck {
    /// Takes the next range.
    ///
    /// # Errors
    /// Where the range does not begin right after the one before it.
    pub fn push(&mut self, range: TokenRange) -> Result<(), TilingError> {
        let expected = match self.covered_to {
            None => Some(Token::MIN),
            Some(token) => token.next(),
        };
        if expected == Some(range.first) {
            self.covered_to = Some(range.last);
            return Ok(());
        }
        Err(match expected {
            Some(expected) if expected < range.first => {
                TilingError::Gap { first: expected, last: Token(range.first.0 - 1) }
            }
            Some(_) | None => TilingError::Overlap { range },
        })
    }

    /// Says whether the ring's end was reached.
    ///
    /// # Errors
    /// Where tokens are missing at the end.
    pub fn finish(self) -> Result<(), TilingError> {
        match self.covered_to {
            Some(Token::MAX) => Ok(()),
            Some(token) => Err(TilingError::Gap { first: Token(token.0 + 1), last: Token::MAX }),
            None => Err(TilingError::Gap { first: Token::MIN, last: Token::MAX }),
        }
    }
}

/// How a list of ranges fails to tile the ring.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TilingError {
    /// Tokens that no range covers: rows would be lost.
    #[error("no range covers the tokens {first} to {last}")]
    Gap {
        /// The first uncovered token.
        first: Token,
        /// The last uncovered token.
        last: Token,
    },
    /// A range that begins inside another.
    #[error("the range {range} overlaps the one before it")]
    Overlap {
        /// The later of the two.
        range: TokenRange,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(ranges: &[TokenRange]) -> Result<(), TilingError> {
        let mut check = TilingCheck::default();
        for &range in ranges {
            check.push(range)?;
        }
        check.finish()
    }

    fn any_token() -> impl Strategy<Value = Token> {
        prop_oneof![
            8 => any::<i64>(),
            1 => Just(i64::MIN), 1 => Just(i64::MIN + 1), 1 => Just(i64::MAX), 1 => Just(i64::MAX - 1), 1 => -3..3i64
        ]
        .prop_map(Token)
    }

    proptest! {
        #[test]
        fn ranges_tile_the_ring_for_any_node_tokens(tokens in prop::collection::vec(any_token(), 0..40), min in 0usize..3000) {
            let ranges = tile(&tokens, min);
            prop_assert_eq!(check(&ranges), Ok(()));
            prop_assert_eq!(ranges.iter().map(|r| r.width()).sum::<u128>(), 1u128 << 64);
            prop_assert!(ranges.len() >= min);
            prop_assert!(ranges.iter().all(|r| r.last() != Token::MIN));
            for t in tokens {
                prop_assert!(t == Token::MIN || t == Token::MAX || ranges.iter().any(|r| r.last() == t), "{} is crossed", t);
            }
        }

        #[test]
        fn what_is_after_a_cursor_is_the_rest(a in any_token(), b in any_token(), cursor in any_token()) {
            let range = TokenRange::new(a.min(b), a.max(b)).expect("ordered");
            match range.after(Some(cursor)) {
                Some(rest) => {
                    prop_assert_eq!(rest.last(), range.last());
                    prop_assert!(!rest.contains(cursor));
                    prop_assert!(rest.first() == range.first() || rest.first().0 == cursor.0 + 1);
                }
                None => prop_assert!(cursor >= range.last()),
            }
        }

        #[test]
        fn any_damage_to_a_tiling_is_found(min in 2usize..60, at in any::<prop::sample::Index>(), longer in any::<bool>()) {
            let mut ranges = tile(&[], min);
            let i = at.index(ranges.len());
            if longer { let r = ranges[i]; ranges.insert(i, r); } else { ranges.remove(i); }
            prop_assert!(check(&ranges).is_err());
        }
    }

    #[test]
    fn ranges_of_one_token_are_ranges() {
        let ranges = tile(&[Token(5), Token(6), Token(i64::MAX - 1), Token(i64::MIN + 1)], 1);
        assert_eq!(check(&ranges), Ok(()));
        assert!(ranges.contains(&TokenRange::new(Token(6), Token(6)).expect("not empty")));
        assert!(ranges.contains(&TokenRange::new(Token::MAX, Token::MAX).expect("not empty")));
    }

    #[test]
    fn the_ring_is_two_to_the_sixty_four_tokens() {
        assert_eq!(TokenRange::RING.width(), 1 << 64);
        assert_eq!(tile(&[], 1), [TokenRange::RING]);
        assert_eq!(TokenRange::RING.after(Some(Token::MAX)), None);
    }

    #[test]
    fn equal_pieces_differ_by_one_token_at_most() {
        let widths: Vec<u128> = tile(&[], 1000).iter().map(|r| r.width()).collect();
        assert!(widths.iter().max().expect("some") - widths.iter().min().expect("some") <= 1);
    }
}
