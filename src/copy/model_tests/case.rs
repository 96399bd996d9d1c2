//! What a case is made of, drawn from its seed, and how a failing one becomes smaller.

use crate::call::Class;
use crate::copy::collisions::key_of;
use crate::copy::fakes::{Cell, Key, Rows};
use crate::ring::{Token, TokenRange, tile};
use crate::row::{BatchLimits, BatchMode, token_of};
use crate::settings::live::Key as Knob;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Cells that live no longer than this may be gone before they can be written.
pub(crate) const SHORT: i32 = 30;

/// A table, how its ring is cut, and the runs of a job that copies it. The last run meets no trouble.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) rows: Rows,
    pub(crate) tombstones: BTreeSet<Key>,
    /// So many tombstones a page may pass.
    pub(crate) tombstones_max: usize,
    /// Pages of more rows take too long.
    pub(crate) timeout_above: Option<usize>,
    /// Whether a value between two others can be told.
    pub(crate) can_bisect: bool,
    pub(crate) cuts: Vec<Token>,
    pub(crate) ranges_min: usize,
    pub(crate) limits: BatchLimits,
    pub(crate) mode: BatchMode,
    /// The target refuses rows of this clustering key.
    pub(crate) poison: Option<Vec<u8>>,
    pub(crate) runs: Vec<Plan>,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) readers: usize,
    pub(crate) writers: usize,
    pub(crate) memory: u64,
    pub(crate) give_up_after_s: u64,
    /// Rows of a page at most.
    pub(crate) page_rows: usize,
    pub(crate) source: Weather,
    pub(crate) target: Weather,
    /// What the operator does: after so many milliseconds each.
    pub(crate) acts: Vec<(u64, Act)>,
    pub(crate) crash: Option<Crash>,
    /// From this look on, the guard objects.
    pub(crate) distrusted_from: Option<usize>,
    /// The longest that a commit, or a look of the guard, takes.
    pub(crate) commit_ms: u64,
    /// The source has no tombstones any more, and is as fast as one could wish.
    pub(crate) compacted: bool,
}

/// How a side behaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// How many of a thousand calls fail …
    pub(crate) failing: u32,
    /// … in one of these ways.
    pub(crate) classes: Vec<Class>,
    /// Calls that fail one after another: the first, and how many.
    pub(crate) outage: Option<(u64, u64)>,
    /// How many of a thousand calls are slow …
    pub(crate) slow: u32,
    /// … by up to so many milliseconds.
    pub(crate) slow_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Pause,
    Continue,
    Set(Knob, Option<String>),
    Drain,
    SecondSignal,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Crash {
    /// At the n-th instant: an event, a call that begins, one that took effect, one that is about to be answered.
    Instant(u64),
    /// After so many milliseconds, wherever everybody stands.
    After(u64),
}

impl Case {
    pub(crate) fn of(seed: u64) -> Case {
        let rng = &mut Rng::with_seed(seed);
        let (rows, tombstones) = table(rng);
        let tokens: Vec<Token> = rows.keys().chain(&tombstones).map(|key| key.0).collect();
        let cuts = cuts(rng, &tokens);
        let bytes_max = rng.usize(60..500);
        let poison = one_in(rng, 16).then(|| rng.choice(rows.keys()).map(|key| key.2.clone())).flatten();
        let rough = below(rng, &[2, 3, 5]);
        Case {
            seed,
            tombstones_max: rng.usize(2..30),
            timeout_above: one_in(rng, 8).then(|| rng.usize(1..20)),
            can_bisect: !one_in(rng, 4),
            ranges_min: rng.usize(1..=6),
            limits: BatchLimits { rows_max: rng.usize(1..=12), bytes_max, partition_bytes_max: bytes_max * 2 },
            mode: *pick(rng, &[BatchMode::Auto, BatchMode::Partition, BatchMode::Replicas, BatchMode::None]),
            runs: (0..=rough).map(|run| if run < rough { Plan::rough(rng) } else { Plan::calm(rng) }).collect(),
            rows,
            tombstones,
            cuts,
            poison,
        }
    }

    pub(crate) fn ranges(&self) -> Vec<TokenRange> {
        tile(&self.cuts, self.ranges_min)
    }

    /// Smaller cases of the same kind.
    pub(crate) fn smaller(&self) -> Vec<Case> {
        let mut smaller = Vec::new();
        let mut with = |change: &mut dyn FnMut(&mut Case)| {
            let mut case = self.clone();
            change(&mut case);
            smaller.push(case);
        };
        for run in 0..self.runs.len() - 1 {
            with(&mut |case| drop(case.runs.remove(run)));
        }
        let partitions: BTreeSet<_> = self.rows.keys().chain(&self.tombstones).map(|key| key.1.clone()).collect();
        for partition in partitions {
            with(&mut |case| {
                case.rows.retain(|key, _| key.1 != partition);
                case.tombstones.retain(|key| key.1 != partition);
            });
        }
        let keys: Vec<_> = self.rows.keys().cloned().collect();
        for part in keys.chunks(keys.len().div_ceil(4).max(1)) {
            with(&mut |case| case.rows.retain(|key, _| !part.contains(key)));
        }
        for cut in 0..self.cuts.len() {
            with(&mut |case| case.cuts.retain(|token| *token != self.cuts[cut]));
        }
        with(&mut |case| case.tombstones.clear());
        with(&mut |case| case.timeout_above = None);
        with(&mut |case| case.poison = None);
        with(&mut |case| case.ranges_min = 1);
        for run in 0..self.runs.len() {
            for act in 0..self.runs[run].acts.len() {
                with(&mut |case| drop(case.runs[run].acts.remove(act)));
            }
            with(&mut |case| case.runs[run].source = Weather::default());
            with(&mut |case| case.runs[run].target = Weather::default());
            with(&mut |case| case.runs[run].distrusted_from = None);
            with(&mut |case| case.runs[run].crash = None);
            with(&mut |case| case.runs[run].compacted = true);
            with(&mut |case| (case.runs[run].readers, case.runs[run].writers) = (1, 1));
        }
        smaller.retain(|case| case.size() < self.size());
        smaller
    }

    /// How much there is to understand.
    pub(crate) fn size(&self) -> usize {
        let run = |plan: &Plan| {
            let Plan { readers, writers, source, target, acts, crash, distrusted_from, compacted, .. } = plan;
            let weather = |weather: &Weather| {
                usize::from(weather.failing > 0) + usize::from(weather.outage.is_some()) + usize::from(weather.slow > 0)
            };
            let is_rough =
                usize::from(crash.is_some()) + usize::from(distrusted_from.is_some()) + usize::from(!compacted);
            10 + weather(source) + weather(target) + acts.len() + is_rough + readers.min(&2) + writers.min(&2)
        };
        let extras = [!self.tombstones.is_empty(), self.timeout_above.is_some(), self.poison.is_some()];
        self.rows.len()
            + self.cuts.len()
            + self.ranges_min
            + extras.into_iter().filter(|&extra| extra).count()
            + self.runs.iter().map(run).sum::<usize>()
    }

    /// The case, for people.
    pub(crate) fn words(&self) -> String {
        let mut text = String::new();
        let mut partitions: BTreeMap<(Token, &[u8]), [Vec<u64>; 2]> = BTreeMap::new();
        let number = |key: &Key| u64::from_be_bytes(key.2[..].try_into().unwrap_or_default());
        for key in self.rows.keys() {
            partitions.entry((key.0, &key.1)).or_default()[0].push(number(key));
        }
        for key in &self.tombstones {
            partitions.entry((key.0, &key.1)).or_default()[1].push(number(key));
        }
        for ((token, key), [rows, tombstones]) in &partitions {
            let key = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
            let _ = writeln!(text, "token {token}, key {key:08x}…: rows {rows:?}, tombstones {tombstones:?}");
        }
        let Case { tombstones_max, timeout_above, can_bisect, limits, mode, poison, runs, .. } = self;
        let _ = writeln!(
            text,
            "{tombstones_max} tombstones at most, pages above {timeout_above:?} rows time out, bisects {can_bisect}, \
             {mode:?} {limits:?}, refuses {poison:?}\nranges:"
        );
        for range in self.ranges() {
            let _ = writeln!(text, "  {range}");
        }
        for plan in runs {
            let _ = writeln!(text, "{plan:?}");
        }
        text
    }
}

impl Plan {
    /// Nothing is in the way.
    fn calm(rng: &mut Rng) -> Plan {
        Plan {
            readers: rng.usize(1..=4),
            writers: rng.usize(1..=6),
            memory: *pick(rng, &[200, 3_000, 1 << 20, 1 << 28]),
            give_up_after_s: rng.u64(2..30),
            page_rows: rng.usize(1..=60),
            source: Weather::default(),
            target: Weather::default(),
            acts: Vec::new(),
            crash: None,
            distrusted_from: None,
            commit_ms: 0,
            compacted: true,
        }
    }

    /// Some things are.
    fn rough(rng: &mut Rng) -> Plan {
        let acts = if one_in(rng, 3) { acts(rng) } else { Vec::new() };
        let crash = match rng.u8(..8) {
            0..4 => Some(Crash::Instant(1 + below(rng, &[30, 150, 600]))),
            4 => Some(Crash::After(below(rng, &[20, 1500, 8000]))),
            _ => None,
        };
        Plan {
            source: Weather::of(rng),
            target: Weather::of(rng),
            acts,
            crash,
            distrusted_from: one_in(rng, 10).then(|| rng.usize(..8)),
            commit_ms: if one_in(rng, 3) { rng.u64(..2000) } else { 0 },
            compacted: one_in(rng, 4),
            ..Plan::calm(rng)
        }
    }
}

impl Weather {
    fn of(rng: &mut Rng) -> Weather {
        let classes =
            [Class::Timeout, Class::Overloaded, Class::Unavailable, Class::Connection, Class::Failure, Class::Other];
        let classes = (0..rng.usize(1..=3)).map(|_| *pick(rng, &classes)).collect();
        Weather {
            failing: *pick(rng, &[0, 0, 20, 100, 400]),
            classes,
            outage: one_in(rng, 5).then(|| (rng.u64(..40), rng.u64(1..60))),
            slow: *pick(rng, &[0, 100, 1000]),
            slow_ms: *pick(rng, &[1, 20, 500, 3000]),
        }
    }
}

fn acts(rng: &mut Rng) -> Vec<(u64, Act)> {
    let act = |rng: &mut Rng| match rng.u8(..8) {
        0 | 1 => Act::Pause,
        2 => Act::Continue,
        3 => Act::Set(Knob::Readers, one_in(rng, 2).then(|| rng.usize(1..=4).to_string())),
        4 => Act::Set(Knob::Writers, one_in(rng, 2).then(|| rng.usize(1..=6).to_string())),
        5 => Act::Set(Knob::RowsPerSecond, one_in(rng, 2).then(|| rng.usize(20..500).to_string())),
        6 => Act::Drain,
        _ => Act::SecondSignal,
    };
    let mut acts: Vec<_> = (0..rng.usize(1..5)).map(|_| (below(rng, &[5, 300, 2000]), act(rng))).collect();
    // No pause is for ever.
    acts.push((rng.u64(..2000), Act::Continue));
    acts
}

/// Partitions at any tokens, at the ends of the ring, beside each other, and at one token together.
fn table(rng: &mut Rng) -> (Rows, BTreeSet<Key>) {
    let (mut rows, mut tombstones) = (Rows::new(), BTreeSet::new());
    let count = usize::try_from(below(rng, &[6, 31, 81, 201])).expect("small");
    // Cutting a range down to one token takes hundreds of reads.
    let has_tombstones = one_in(rng, 8);
    let mut tokens: Vec<Token> = Vec::new();
    while rows.len() < count {
        let token = match (rng.u8(..10), rng.choice(&tokens).copied()) {
            (0..4, Some(token)) => token,
            (4..6, Some(token)) => Token(token.0.saturating_add(rng.i64(-3..=3))),
            (6, _) => {
                *pick(rng, &[Token::MIN, Token(i64::MIN + 1), Token::MAX, Token(i64::MAX - 1), Token(0), Token(-1)])
            }
            _ => Token(rng.i64(..)),
        };
        let partition = key_of(token, rng.u64(..));
        let token = token_of([partition.as_slice()].into_iter());
        tokens.push(token);
        let rows_max = if one_in(rng, 5) { 60 } else { 6 };
        let size = rng.usize(1..=rows_max).min(count - rows.len());
        let key = |clustering: u64| (token, partition.clone(), clustering.to_be_bytes().to_vec());
        for n in 0..size as u64 {
            rows.insert(key(n * 10), cells(rng, n));
        }
        while has_tombstones && one_in(rng, 2) {
            let from = rng.u64(..size as u64 * 10 + 10);
            let to = from + rng.u64(1..80);
            tombstones.extend((from..to).map(key));
            let is_left = rng.u8(..20);
            rows.retain(|row, _| row.1 != partition || !tombstones.contains(row) || (row.2[7] / 10) % 20 == is_left);
            if one_in(rng, 3) {
                break;
            }
        }
    }
    tombstones.retain(|key| !rows.contains_key(key));
    (rows, tombstones)
}

fn cells(rng: &mut Rng, n: u64) -> [Option<Cell>; 2] {
    let mut cell = || {
        let ttl = match rng.u8(..12) {
            0 => rng.i32(1..=SHORT),
            1..4 => 86_400,
            _ => 0,
        };
        (rng.u8(..6) > 0).then(|| (n.to_be_bytes()[8 - rng.usize(..=4)..].to_vec(), rng.i64(1..5), ttl))
    };
    [cell(), cell()]
}

/// Where the ring is cut, beside what [`tile`] does: at tokens of rows, before them, and near them.
fn cuts(rng: &mut Rng, tokens: &[Token]) -> Vec<Token> {
    let mut cuts = Vec::new();
    for _ in 0..rng.usize(..4) {
        let Some(&Token(token)) = rng.choice(tokens) else { break };
        match rng.u8(..4) {
            0 => cuts.extend([Token(token), Token(token.saturating_sub(1))]),
            1 => cuts.push(Token(token)),
            2 => cuts.push(Token(token.saturating_sub(1))),
            _ => cuts.extend([Token(token.saturating_sub(20)), Token(token.saturating_add(20))]),
        }
    }
    if one_in(rng, 6) {
        cuts.extend([Token(i64::MIN + 1), Token(i64::MAX - 1)]);
    }
    cuts
}

pub(crate) fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(..n) == 0
}

/// A number below one of `limits`: small ones are as likely as large ones.
pub(crate) fn below(rng: &mut Rng, limits: &[u64]) -> u64 {
    let limit = *pick(rng, limits);
    rng.u64(..limit)
}

pub(crate) fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}
