//! What of a table a verification compares: all of it, a share of each range, or partitions that were named.

use super::Error;
use crate::ring::{Token, TokenRange};
use crate::row::token_of;
use crate::schema::{Table, parse_literal};
use crate::settings::sample::sampled;
use crate::settings::verify::{GivenKey, VerifySettings};
use std::collections::BTreeMap;

/// What is compared, in the words of the checkpoint: two verifications of the same are one.
pub(super) fn parameters(settings: &VerifySettings) -> BTreeMap<String, String> {
    // At another level, other replicas answer, and may have something else to say.
    let mut parameters = BTreeMap::from([
        ("expiry-tolerance".to_owned(), settings.expiry_tolerance.to_string()),
        ("source-consistency".to_owned(), settings.job.source.consistency.to_string()),
        ("target-consistency".to_owned(), settings.job.target.consistency.to_string()),
    ]);
    if let Some(sample) = settings.sample {
        parameters.insert("sample".to_owned(), sample.to_string());
    }
    parameters
}

/// What of a table is compared.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Its ranges, in the order of their claims, and whether each is compared.
    pub(super) ranges: Vec<(TokenRange, bool)>,
    /// The partitions that were named, and the tokens of their keys; empty where all are compared.
    pub(super) partitions: BTreeMap<Token, String>,
}

/// Which tokens of a table's ranges are compared.
///
/// # Errors
/// Where a partition that was named is none of the table.
pub(super) fn compared(
    settings: &VerifySettings,
    table: &Table,
    ranges: Vec<TokenRange>,
    seed: u64,
) -> Result<Compared, Error> {
    if let Some(share) = settings.sample {
        let ranges = ranges.into_iter().flat_map(|range| sampled(range, share, seed)).collect();
        return Ok(Compared { ranges, ..Compared::default() });
    }
    if settings.partitions.is_empty() {
        let ranges = ranges.into_iter().map(|range| (range, true)).collect();
        return Ok(Compared { ranges, ..Compared::default() });
    }
    let token = |given: &GivenKey| {
        let key = parse_literal::partition_key(table, &given.text);
        let key = key.map_err(|error| Error::Partition { place: given.place.clone(), error })?;
        Ok((token_of(key.iter().map(Vec::as_slice)), given.text.clone()))
    };
    let partitions: BTreeMap<Token, String> = settings.partitions.iter().map(token).collect::<Result<_, Error>>()?;
    let cuts: Vec<Token> = partitions.keys().flat_map(|token| token.previous().into_iter().chain([*token])).collect();
    let pieces = ranges.into_iter().flat_map(|range| {
        let from = cuts.partition_point(|cut| *cut < range.first());
        let to = cuts.partition_point(|cut| *cut <= range.last());
        range.cut(&cuts[from..to])
    });
    let is_named = |piece: TokenRange| piece.width() == 1 && partitions.contains_key(&piece.first());
    Ok(Compared { ranges: pieces.map(|piece| (piece, is_named(piece))).collect(), partitions })
}
