//! Which partitions a table has, and what is planted where: all of it follows from a seed.

use super::case::{Case, EQUAL, EXTRA_ROW, MISSING_ROW};
use super::table::{Row, Table, Write};
use super::tokens::key_of;
use super::{Planted, Wanted};
use fastrand::Rng;
use std::collections::HashMap;

/// September 2020.
const THEN: i64 = 1_600_000_000_000_000;
/// Rows of the partition in which each row is a case, at most: several pages.
const DENSE_ROWS_MAX: u64 = 12_000;

/// A partition on both sides.
pub struct Partition {
    /// At the source, and at the target.
    pub writes: [Vec<Write>; 2],
    pub planted: Vec<Planted>,
    /// Rows that a scan of either side shows, statics included.
    pub rows: u64,
}

/// What a partition is like.
#[derive(Clone, Copy)]
enum Kind {
    /// Its rows are dealt with in turn: so many of each case in the whole table.
    Dealt,
    /// Each row is any case, or equal where it is not chosen: one in so many is.
    Random(u32),
    /// At one side alone.
    Only(&'static Case),
}

struct Spot {
    token: i64,
    salt: u64,
    rows: u64,
    kind: Kind,
}

/// All partitions of one table.
pub struct Plan {
    table: &'static Table,
    cases: Vec<&'static Case>,
    statics: Vec<&'static Case>,
    statements: Vec<String>,
    random: Rng,
    spots: std::vec::IntoIter<Spot>,
    /// By the number of the row among those that are dealt with.
    row_cases: HashMap<u64, &'static Case>,
    row: u64,
    /// By the number of the partition among those.
    static_cases: HashMap<u64, &'static Case>,
    partition: u64,
}

impl Plan {
    pub fn new(table: &'static Table, wanted: &Wanted) -> Plan {
        let mut random = Rng::with_seed(wanted.seed);
        let mut spots = dealt(table, wanted.rows, &mut random);
        let [cases, statics] = [table.cases, table.statics]
            .map(|cases| cases.iter().filter(|case| !wanted.mendable || case.is_mendable()).collect::<Vec<_>>());
        let (rows, partitions) = (wanted.rows, spots.len() as u64);
        special(&mut spots, wanted, &mut random);
        random.shuffle(&mut spots);
        Plan {
            table,
            statements: table.statements(),
            row_cases: deal(&cases, wanted.per_case, rows, &mut random),
            static_cases: deal(&statics, wanted.per_case, partitions, &mut random),
            cases,
            statics,
            random,
            spots: spots.into_iter(),
            row: 0,
            partition: 0,
        }
    }

    fn row_case(&mut self, kind: Kind) -> &'static Case {
        match kind {
            Kind::Dealt => {
                self.row += 1;
                self.row_cases.get(&(self.row - 1)).copied().unwrap_or(&EQUAL)
            }
            Kind::Random(one_in) if self.random.u32(..one_in) == 0 => any(&self.cases, &mut self.random),
            Kind::Random(_) => &EQUAL,
            Kind::Only(case) => case,
        }
    }

    fn static_case(&mut self, kind: Kind) -> Option<&'static Case> {
        if self.table.statics.is_empty() {
            return None;
        }
        match kind {
            Kind::Dealt => {
                self.partition += 1;
                // Half of the partitions have statics.
                let equal = self.random.bool().then_some(&EQUAL);
                self.static_cases.get(&(self.partition - 1)).copied().or(equal)
            }
            Kind::Random(one_in) if self.random.u32(..one_in) == 0 => Some(any(&self.statics, &mut self.random)),
            Kind::Random(_) => Some(&EQUAL),
            Kind::Only(case) => Some(case),
        }
    }
}

impl Iterator for Plan {
    type Item = Partition;

    fn next(&mut self) -> Option<Partition> {
        let spot = self.spots.next()?;
        let key = key_of(spot.token, spot.salt);
        let mut partition = Partition { writes: [Vec::new(), Vec::new()], planted: Vec::new(), rows: 0 };
        let mut rows = Vec::new();
        if let Some(case) = self.static_case(spot.kind) {
            let (values, writetime) = (Vec::new(), self.random.i64(THEN..THEN + THEN / 20));
            rows.push((Row { key: vec![key.clone()], values, writetime, is_static: true }, case));
        }
        for number in 0..spot.rows {
            let writetime = self.random.i64(THEN..THEN + THEN / 20);
            let case = self.row_case(spot.kind);
            rows.push((self.table.row(&key, number, writetime, &mut self.random), case));
        }
        for (row, case) in rows {
            for side in 0..2 {
                partition.writes[side].extend(self.table.writes(&self.statements, &row, case, side));
            }
            partition.rows += u64::from(case.is_shown());
            partition.planted.extend(Planted::of(self.table.name, &row, case));
        }
        Some(partition)
    }
}

/// Partitions of all sizes, with so many rows together.
fn dealt(table: &Table, rows: u64, random: &mut Rng) -> Vec<Spot> {
    // Partitions of statics are many and small, and some have nothing else.
    let [small, large] = if table.statics.is_empty() { [60, 97] } else { [98, 100] };
    let mut spots = Vec::new();
    let mut left = rows;
    while left > 0 {
        let rows = match random.u32(..100) {
            percent if percent < small => random.u64(u64::from(table.statics.is_empty())..6),
            percent if percent < large => random.u64(10..100),
            _ => random.u64(100..2000),
        };
        let rows = rows.min(left);
        left -= rows;
        spots.push(Spot { token: random.i64(i64::MIN + 1..), salt: random.u64(..), rows, kind: Kind::Dealt });
    }
    spots
}

/// Partitions where something is special about the place.
fn special(spots: &mut Vec<Spot>, wanted: &Wanted, random: &mut Rng) {
    let mut add = |token: i64, rows: u64, kind: Kind, random: &mut Rng| {
        spots.push(Spot { token, salt: random.u64(..), rows, kind });
    };
    let anywhere = |random: &mut Rng| random.i64(i64::MIN + 1..);
    // Of no rows but statics, in a table that has them; of one; of more.
    for number in 0..wanted.per_case.div_ceil(10) {
        for case in [&MISSING_ROW, &EXTRA_ROW] {
            add(anywhere(random), number % 4 * 3, Kind::Only(case), random);
        }
    }
    let sides = [Kind::Random(2), Kind::Only(&MISSING_ROW), Kind::Only(&EXTRA_ROW), Kind::Random(4), Kind::Random(1)];
    // The ends of the ring, and tokens that several partitions share.
    let shared = (0..wanted.per_case.div_ceil(10)).map(|_| anywhere(random)).collect::<Vec<_>>();
    for token in shared.into_iter().chain([i64::MIN + 1, i64::MAX]) {
        for _ in 0..random.usize(2..6) {
            add(token, random.u64(1..4), sides[random.usize(..sides.len())], random);
        }
    }
    // The last token of a range, and the first one of the next.
    for &border in &wanted.borders {
        for token in [border, border.checked_add(1).unwrap_or(i64::MIN + 1)] {
            add(token.max(i64::MIN + 1), random.u64(1..4), sides[random.usize(..sides.len())], random);
        }
    }
    let dense_rows = (wanted.rows / 8).clamp(1500, DENSE_ROWS_MAX);
    add(anywhere(random), dense_rows, Kind::Random(1), random);
    // And one of many pages in which nothing differs.
    add(anywhere(random), DENSE_ROWS_MAX, Kind::Random(u32::MAX), random);
}

/// So many of each case, at places of their own among `count`; fewer where there isn't room for all.
fn deal(cases: &[&'static Case], per_case: u64, count: u64, random: &mut Rng) -> HashMap<u64, &'static Case> {
    let mut dealt = HashMap::new();
    let per_case = per_case.min(count / 2 / (cases.len() as u64).max(1));
    for &case in cases {
        for _ in 0..per_case {
            let mut place = random.u64(..count);
            while dealt.contains_key(&place) {
                place = random.u64(..count);
            }
            dealt.insert(place, case);
        }
    }
    dealt
}

fn any(cases: &[&'static Case], random: &mut Rng) -> &'static Case {
    cases[random.usize(..cases.len())]
}
