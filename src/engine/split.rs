//! What to do about a range whose rows can't be read in one go: read on behind what arrived, cut it in pieces, part the token that
//! is to blame from the others, or take that token apart.

use super::seam::Scan;
use crate::job::RangeKey;
use crate::ring::{Token, TokenRange};

/// A range is cut in so many pieces. Most of the ring is empty: with two, it takes some sixty failures to find the token that is
/// to blame, each as long as the source's patience; with eight, twenty. With more, each such token leaves hundreds of ranges behind.
pub(crate) const PIECES: u32 = 8;

/// The next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Rows arrived before it failed: go on behind them.
    Resume,
    /// Cut it behind these tokens.
    Cut(Vec<Token>),
    /// It is a single token: read it in slices.
    Slices,
    /// Nothing helps.
    GiveUp,
}

/// What to do about a range of which `scan` can't be read on, after it had answered rows or not.
pub(crate) fn next(key: RangeKey, scan: &Scan, had_rows: bool) -> Step {
    match scan {
        Scan::Tokens(_) if had_rows => Step::Resume,
        Scan::Tokens(range) if range.width() > 1 => match range.cuts(PIECES) {
            cuts if cuts.is_empty() => Step::GiveUp,
            cuts => Step::Cut(cuts),
        },
        scan => {
            let token = scan.range().first();
            if key.range == TokenRange::of(token) {
                Step::Slices
            } else {
                Step::Cut(token.previous().into_iter().chain([token]).collect())
            }
        }
    }
}
