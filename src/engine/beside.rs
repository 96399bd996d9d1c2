//! Whether it is the rows that can't be read, or the source that fails whatever it is asked for.
//!
//! A range is cut in pieces only where its replicas answer beside it. A source that fails now and then, whatever it reads,
//! answers beside it, too; were each such failure taken for a sign, more pieces would fail than there were before, and the
//! ring would be cut for ever. So reads beside say two things: that something is answered, and how often nothing is.

use super::seam::{Position, Read, Scan, Source};
use super::split;
use crate::ring::{Token, TokenRange};
use std::sync::Mutex;

/// Of pieces that are cut from a range because of failures by chance, at most so many may be cut again for the same reason:
/// with fewer than one, it comes to an end.
const PIECES_CUT_BY_CHANCE: f64 = 0.5;

/// No page is tried more often at one row than so, while others are answered.
const TRIES_MAX: u32 = 8;

/// Older answers count for less: the source may have recovered.
const REMEMBERED: f64 = 300.0;

/// What reads of hardly anything came to, beside pages that failed.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Reads, and how many of them failed.
    counts: Mutex<(f64, f64)>,
}

impl Beside {
    /// Whether the replicas of a range answer reads of hardly anything, at places of it or beside it. One of these places may
    /// be the very token that can't be read; and a source that fails at all of them is one to be waited for.
    pub(crate) async fn answers<S: Source>(&self, source: &S, range: TokenRange) -> bool {
        let (first, last) = (range.first(), range.last());
        let places = if range.width() > 1 {
            [Some(last), range.cuts(2).first().copied(), Some(first)]
        } else {
            [first.next(), first.previous(), None]
        };
        // No row has the lowest token, and a bound of it means something else.
        let places = places.into_iter().flatten().filter(|&token| token != Token::MIN);
        let look = async |token| {
            let scan = Scan::Tokens(TokenRange::of(token));
            source.read_page(&Read { scan, position: Position::default(), rows: 1, turn: 0 }).await.is_ok()
        };
        let answers = futures::future::join_all(places.map(look)).await;
        let answered = answers.iter().filter(|&&answered| answered).count();
        if answered > 0 {
            self.learn(answers.len(), answers.len() - answered);
        }
        answered > 0
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of reads")]
    fn learn(&self, reads: usize, failed: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let older = (REMEMBERED / (REMEMBERED + reads as f64)).min(1.0);
        *counts = (counts.0 * older + reads as f64, counts.1 * older + failed as f64);
    }

    /// How often a page of one row must have failed before it is certain enough that the reason is the rows: once, as long as
    /// all else is answered.
    pub(crate) fn tries_needed(&self) -> u32 {
        let (reads, failed) = *self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let by_chance = failed / reads.max(1.0);
        (1..TRIES_MAX)
            .find(|&tries| f64::from(split::PIECES) * by_chance.powf(f64::from(tries)) <= PIECES_CUT_BY_CHANCE)
            .unwrap_or(TRIES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_fails_by_chance_the_more_tries_it_takes() {
        let tries = |reads, failed| {
            let beside = Beside::default();
            beside.learn(reads, failed);
            beside.tries_needed()
        };
        assert_eq!([tries(0, 0), tries(60, 3), tries(100, 40), tries(100, 99)], [1, 1, 4, TRIES_MAX]);
    }

    #[test]
    fn a_source_that_recovered_is_trusted_again() {
        let beside = Beside::default();
        beside.learn(300, 200);
        assert!(beside.tries_needed() > 4);
        (0..1000).for_each(|_| beside.learn(3, 0));
        assert_eq!(beside.tries_needed(), 1);
    }
}
