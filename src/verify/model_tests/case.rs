//! What a case is made of: the source, the cuts and the runs of a copy's case, and how the target differs.

use super::spec::Row;
use crate::copy::collisions::key_of;
use crate::copy::fakes::{Cell, Key};
use crate::copy::model_tests::case::{self as of_copy, SHORT, below, one_in, pick};
use crate::copy::model_tests::search;
use crate::ring::Token;
use crate::row::token_of;
use crate::side::Side;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A table at both sides, and the runs of a verification. The last one meets no trouble.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn on its own")]
pub(super) struct Case {
    /// The source and its troubles, the ranges, the runs.
    pub(super) source: of_copy::Case,
    /// Rows that aren't the same at the target; none where it lacks them.
    pub(super) others: BTreeMap<Key, Option<Row>>,
    /// When rows were deleted at the target: what is older never comes back.
    pub(super) deleted: BTreeMap<Key, i64>,
    /// What stands in the way at the target.
    pub(super) tombstones: BTreeSet<Key>,
    pub(super) tombstones_max: usize,
    pub(super) timeout_above: Option<usize>,
    pub(super) can_bisect: bool,
    /// After so long, what differs is looked at again.
    pub(super) recheck_ms: u64,
    /// No copy has written anything newer.
    pub(super) timestamp_max: i64,
    pub(super) repairs: bool,
    pub(super) deletes: bool,
    /// What applications change during a run.
    pub(super) changes: Vec<Change>,
    /// Whether rows that nobody has compared change at one side between the runs.
    pub(super) drifts: bool,
    /// Whether ranges with differences are taken up again between the runs.
    pub(super) reopens: bool,
    /// Whether the second value is a static one. Rows without a clustering key have it.
    pub(super) has_statics: bool,
    /// Whether tombstones are compacted away by the time that somebody comes to them from behind.
    pub(super) is_clear_behind: bool,
}

/// A row that changes at one side first, and a moment later at the other one.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// In which run.
    pub(super) run: usize,
    pub(super) at_ms: u64,
    pub(super) lag_ms: u64,
    pub(super) first: Side,
    pub(super) key: Key,
    /// What becomes of it; none where it is deleted.
    pub(super) into: Option<Row>,
}

impl search::Case for Case {
    fn of(seed: u64) -> Case {
        let mut source = of_copy::Case::of(seed);
        let rng = &mut Rng::with_seed(!seed);
        let has_short = one_in(rng, 8);
        for cell in source.rows.values_mut().flatten().flatten() {
            if is_short(cell) && !has_short {
                cell.2 = 86_400;
            }
        }
        let mends = one_in(rng, 3);
        let recheck_ms = rng.u64(100..2000);
        let tombstones = tombstones(rng, &source);
        let mut case = Case {
            others: others(rng, &source),
            deleted: BTreeMap::new(),
            tombstones,
            tombstones_max: rng.usize(2..30),
            timeout_above: one_in(rng, 8).then(|| rng.usize(1..20)),
            can_bisect: !one_in(rng, 4),
            recheck_ms,
            timestamp_max: if one_in(rng, 4) { 3 } else { i64::MAX },
            repairs: mends,
            deletes: mends && one_in(rng, 2),
            changes: Vec::new(),
            drifts: one_in(rng, 4),
            reopens: one_in(rng, 4),
            has_statics: !mends && one_in(rng, 3),
            is_clear_behind: one_in(rng, 2),
            source,
        };
        if one_in(rng, 10) {
            hide_behind(rng, &mut case);
        }
        if mends {
            // In memory, a cell that is read late expires late, and what is written with a TTL may win or lose by that.
            let source = case.source.rows.values_mut().flatten().flatten();
            let others = case.others.values_mut().flatten().flatten().flatten();
            source.chain(others).for_each(|cell| cell.2 = 0);
        }
        if case.has_statics {
            add_statics(rng, &mut case);
        } else if one_in(rng, 4) {
            case.changes = changes(rng, &case);
        }
        let gone = case.others.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key);
        case.deleted = gone.filter(|_| one_in(rng, 4)).map(|key| (key.clone(), 0)).collect();
        case
    }

    fn seed(&self) -> u64 {
        self.source.seed
    }

    fn smaller(&self) -> Vec<Case> {
        let sources = self.source.smaller().into_iter();
        let mut smaller: Vec<Case> = sources.map(|source| Case { source, ..self.clone() }).collect();
        let mut with = |change: &mut dyn FnMut(&mut Case)| {
            let mut case = self.clone();
            change(&mut case);
            smaller.push(case);
        };
        with(&mut |case| case.others.clear());
        let keys: Vec<_> = self.others.keys().cloned().collect();
        for parts in [4, keys.len().min(30)] {
            for part in keys.chunks(keys.len().div_ceil(parts.max(1)).max(1)) {
                with(&mut |case| case.others.retain(|key, _| !part.contains(key)));
            }
        }
        for change in 0..self.changes.len() {
            with(&mut |case| drop(case.changes.remove(change)));
        }
        with(&mut |case| case.deleted.clear());
        with(&mut |case| case.tombstones.clear());
        with(&mut |case| case.timeout_above = None);
        with(&mut |case| case.timestamp_max = i64::MAX);
        with(&mut |case| case.deletes = false);
        with(&mut |case| (case.repairs, case.deletes) = (false, false));
        with(&mut |case| case.drifts = false);
        with(&mut |case| case.reopens = false);
        with(&mut |case| case.is_clear_behind = false);
        smaller.retain(|case| case.size() < self.size());
        smaller
    }

    fn words(&self) -> String {
        let Case { others, deleted, tombstones, tombstones_max, timeout_above, can_bisect, changes, .. } = self;
        let mut text = self.source.words();
        for (key, row) in others {
            let source = self.source.rows.get(key);
            let deleted = deleted.get(key);
            let _ =
                writeln!(text, "{}: {source:?} at the source, {row:?} at the target, deleted {deleted:?}", name(key));
        }
        for key in tombstones {
            let _ = writeln!(text, "{}: a tombstone at the target", name(key));
        }
        for change in changes {
            let _ = writeln!(text, "{}: {change:?}", name(&change.key));
        }
        let Case { recheck_ms, timestamp_max, repairs, deletes, drifts, reopens, has_statics, is_clear_behind, .. } =
            self;
        let _ = writeln!(
            text,
            "target: {tombstones_max} tombstones at most, pages above {timeout_above:?} rows time out, bisects {can_bisect}\n\
             rechecks after {recheck_ms} ms, timestamps up to {timestamp_max}, repairs {repairs}, deletes {deletes}, drifts {drifts}, reopens {reopens}, statics {has_statics}, \
             clear behind {is_clear_behind}"
        );
        text
    }

    fn run(&self) -> Result<Vec<u64>, String> {
        super::all_runs(self)
    }
}

impl Case {
    /// The target's row.
    pub(super) fn at_target(&self, key: &Key) -> Option<&Row> {
        self.others.get(key).map_or_else(|| self.source.rows.get(key), Option::as_ref)
    }

    /// All rows of either side.
    pub(super) fn keys(&self) -> BTreeSet<&Key> {
        self.source.rows.keys().chain(self.others.keys()).collect()
    }

    /// A row of this key, without what it can't have.
    pub(super) fn fitted(&self, key: &Key, mut row: Row) -> Row {
        if self.has_statics {
            row[usize::from(!key.2.is_empty())] = None;
        }
        row
    }

    /// How much there is to understand.
    fn size(&self) -> usize {
        let Case {
            others, deleted, tombstones, changes, timeout_above, timestamp_max, repairs, deletes, drifts, ..
        } = self;
        let extras = [
            !deleted.is_empty(),
            !tombstones.is_empty(),
            timeout_above.is_some(),
            *timestamp_max != i64::MAX,
            *repairs,
            *deletes,
            *drifts,
            self.reopens,
            self.is_clear_behind,
        ];
        self.source.size() + others.len() + changes.len() + extras.into_iter().filter(|&extra| extra).count()
    }
}

/// Makes a partition one that is read from behind: its first row is followed by more tombstones than can be passed, and no place
/// between can be told. Some of its rows that lie beside each other differ.
fn hide_behind(rng: &mut Rng, case: &mut Case) {
    let mut partitions: BTreeMap<&[u8], Vec<&Key>> = BTreeMap::new();
    for key in case.source.rows.keys() {
        partitions.entry(&key.1).or_default().push(key);
    }
    let large: Vec<Vec<&Key>> = partitions.into_values().filter(|rows| rows.len() > 3).collect();
    let Some((first, rest)) = rng.choice(&large).and_then(|rows| rows.split_first()) else { return };
    let from = rng.usize(..rest.len() - 1);
    let to = rng.usize(from + 2..=rest.len());
    for key in &rest[from..to] {
        let row = &case.source.rows[*key];
        if !row.iter().flatten().any(is_short) {
            case.others.insert((*key).clone(), rng.bool().then(|| other(rng, row)));
        }
    }
    let behind = |suffix: u8| (first.0, first.1.clone(), [first.2.as_slice(), &[suffix]].concat());
    case.source.tombstones.extend((0..40).map(behind));
    (case.source.can_bisect, case.can_bisect, case.is_clear_behind) = (false, false, true);
}

/// Makes the second value static: most partitions have one, and some have nothing else.
fn add_statics(rng: &mut Rng, case: &mut Case) {
    let fit = |case: &Case, key: &Key, row: &Row| case.fitted(key, row.clone());
    let rows = case.source.rows.iter().map(|(key, row)| (key.clone(), fit(case, key, row))).collect();
    let others =
        case.others.iter().map(|(key, row)| (key.clone(), row.as_ref().map(|row| fit(case, key, row)))).collect();
    (case.source.rows, case.others) = (rows, others);
    let known = case.keys().into_iter().map(|key| (key.0, key.1.clone()));
    let mut partitions: BTreeSet<(Token, Vec<u8>)> = known.collect();
    for _ in 0..rng.usize(..4) {
        let token = rng.choice(&partitions).map_or(Token(0), |partition| partition.0);
        let key = key_of(if one_in(rng, 2) { token } else { Token(rng.i64(..)) }, rng.u64(..));
        partitions.insert((token_of([key.as_slice()].into_iter()), key));
    }
    for (token, partition) in partitions {
        let key = (token, partition, Vec::new());
        match rng.u8(..8) {
            0 => drop(case.others.insert(key, Some([None, Some(cell(rng))]))),
            1 => {
                case.source.rows.insert(key.clone(), [None, Some(cell(rng))]);
                case.others.insert(key, one_in(rng, 2).then(|| [None, Some(cell(rng))]));
            }
            2..6 => drop(case.source.rows.insert(key, [None, Some(cell(rng))])),
            _ => {}
        }
    }
}

/// A key, for people.
pub(super) fn name((token, partition, clustering): &Key) -> String {
    let hex = |bytes: &[u8]| bytes.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let number = u64::from_be_bytes(clustering[..].try_into().unwrap_or_default());
    format!("token {token}, key {}…, row {number}", hex(partition))
}

/// Whether it may expire while it is compared.
pub(super) fn is_short(cell: &Cell) -> bool {
    (1..=SHORT).contains(&cell.2)
}

/// Some rows of the source changed, some missing, and some that the target alone has.
fn others(rng: &mut Rng, source: &of_copy::Case) -> BTreeMap<Key, Option<Row>> {
    let mut others = BTreeMap::new();
    let rare = *pick(rng, &[2, 3, 10, 50]);
    let mut partition_lost: BTreeMap<&[u8], bool> = BTreeMap::new();
    for (key, row) in source.rows.iter().filter(|(_, row)| !row.iter().flatten().any(is_short)) {
        let is_lost = *partition_lost.entry(&key.1).or_insert_with(|| one_in(rng, 20));
        if is_lost || one_in(rng, rare) {
            let is_missing = is_lost || one_in(rng, 4);
            others.insert(key.clone(), (!is_missing).then(|| other(rng, row)));
        }
    }
    let keys: Vec<&Key> = source.rows.keys().collect();
    for _ in 0..below(rng, &[1, 3, 12, 60]) {
        let known = rng.choice(&keys).copied();
        let (token, partition) = match (rng.u8(..8), known, rng.choice(&source.cuts)) {
            (0..4, Some((token, partition, _)), _) => (*token, partition.clone()),
            (4, Some((token, ..)), _) | (5, _, Some(token)) => (*token, key_of(*token, rng.u64(..))),
            (6, _, Some(token)) => (*token, key_of(Token(token.0.saturating_add(1)), rng.u64(..))),
            _ => (Token(0), key_of(Token(rng.i64(..)), rng.u64(..))),
        };
        let _ = token;
        let token = token_of([partition.as_slice()].into_iter());
        // Between the source's rows, and behind them.
        for _ in 0..rng.usize(1..4) {
            let clustering = (rng.u64(..70) * 10 + 5).to_be_bytes().to_vec();
            let row = if one_in(rng, 6) { [None, None] } else { [Some(cell(rng)), one_in(rng, 2).then(|| cell(rng))] };
            others.insert((token, partition.clone(), clustering), Some(row));
        }
    }
    others
}

fn cell(rng: &mut Rng) -> Cell {
    (vec![rng.u8(..); rng.usize(..4)], rng.i64(1..6), if one_in(rng, 5) { 86_400 } else { 0 })
}

/// A row that is a little different, or not at all.
fn other(rng: &mut Rng, row: &Row) -> Row {
    let mut row = row.clone();
    for _ in 0..rng.usize(1..3) {
        let place = &mut row[rng.usize(..2)];
        match (&mut *place, rng.u8(..8)) {
            (None, _) => *place = Some(cell(rng)),
            (Some(_), 0) => *place = None,
            (Some(cell), change @ 1..6) => {
                if change < 5 {
                    cell.0.push(rng.u8(..));
                }
                cell.1 += [1, -1, 0, 0, 2][usize::from(change) - 1];
            }
            // What the clocks explain, and what they don't.
            (Some(cell), 6) if cell.2 > 0 => cell.2 += if one_in(rng, 2) { 1 } else { 1000 },
            (Some(cell), _) => cell.2 = if cell.2 == 0 { 86_400 } else { 0 },
        }
    }
    row
}

/// Tombstones of the target: the source's, some of them, or others.
fn tombstones(rng: &mut Rng, source: &of_copy::Case) -> BTreeSet<Key> {
    match rng.u8(..4) {
        0 => source.tombstones.clone(),
        1 => source.tombstones.iter().filter(|_| rng.bool()).cloned().collect(),
        _ if one_in(rng, 12) => {
            let keys: Vec<&Key> = source.rows.keys().collect();
            let around = |(token, partition, clustering): &Key| {
                let at = u64::from_be_bytes(clustering[..].try_into().unwrap_or_default());
                let (token, partition) = (*token, partition.clone());
                (at..at + 60).map(move |at| (token, partition.clone(), at.to_be_bytes().to_vec()))
            };
            (0..rng.usize(1..4)).filter_map(|_| rng.choice(&keys).copied()).flat_map(around).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Changes of rows that are equal, and rows that come. Each row changes at one side until it does at the other.
fn changes(rng: &mut Rng, case: &Case) -> Vec<Change> {
    let equal: Vec<&Key> = case.source.rows.keys().filter(|key| !case.others.contains_key(*key)).collect();
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..rng.usize(1..20) {
        let Some(&key) = rng.choice(&equal) else { break };
        let is_new = one_in(rng, 4);
        let key =
            if is_new { (key.0, key.1.clone(), (rng.u64(..700) | 1).to_be_bytes().to_vec()) } else { key.clone() };
        if case.others.contains_key(&key) || changes.iter().any(|change| change.key == key) {
            continue;
        }
        let mut cell = || (vec![rng.u8(..)], rng.i64(5..9), 0);
        let row = [Some(cell()), Some(cell())];
        changes.push(Change {
            run: rng.usize(..case.source.runs.len()),
            at_ms: below(rng, &[20, 1500, 8000]),
            // The last two looks are further apart than that.
            lag_ms: rng.u64(..case.recheck_ms * 4),
            first: *pick(rng, &[Side::Source, Side::Target]),
            key,
            into: (is_new || !one_in(rng, 3)).then_some(row),
        });
    }
    changes
}
