//! Which scans a range is read by, one after another; and what is read instead where a part of a single token can't be.

use super::seam::{Partitions, Scan, Slice, Source};
use crate::call::CallError;
use crate::ring::TokenRange;
use crate::row::RowKey;
use crate::row::slice::Cut;
use std::collections::VecDeque;
use std::sync::Arc;

/// After so many slices of a token that could not be read, the rest of it isn't taken apart any further.
pub(super) const FAILURES_MAX: usize = 1000;

/// The scans that are left.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    queue: VecDeque<Scan>,
    /// Whether what can't be read is taken apart, rather than ending the pass.
    takes_apart: bool,
    /// Whether a slice has answered any row: the statics of its partition came with it.
    any_rows: bool,
    /// The partition of the last of them, and whether there were others.
    partition: Vec<u8>,
    several: bool,
    failures: usize,
    holes: Vec<Hole>,
}

/// Rows that can't be read.
#[derive(Debug)]
pub(crate) struct Hole {
    /// Where they are, if there are any.
    pub(crate) scan: Scan,
    /// What the source said at last.
    pub(crate) error: CallError,
}

impl Scans {
    /// All of a range.
    pub(crate) fn of(range: TokenRange) -> Scans {
        Scans::new([Scan::Tokens(range)], false)
    }

    /// What is left of a range whose first token is done up to `row`; `others` are partitions of that token that come behind.
    pub(crate) fn resuming(range: TokenRange, row: &RowKey, others: &[RowKey]) -> Scans {
        let behind = range.after(Some(range.first())).map(Scan::Tokens);
        Scans::new(Self::of_partitions(row, others).chain(behind), false)
    }

    /// A single token that has these partitions, in slices of each.
    pub(crate) fn slices_of(partitions: &[RowKey]) -> Scans {
        Scans::new(partitions.iter().map(|key| slice_of(key, Cut::START)), true)
    }

    /// A single token of which nobody can tell what partitions it has, in slices of them all.
    pub(crate) fn slices<S: Source>(source: &S, range: TokenRange) -> Scans {
        let slice = Slice::whole(Partitions::All(range.first()));
        // Its rows as a whole could not be read, or nobody would ask for slices.
        let slices = halves(source, &slice).unwrap_or_else(|| vec![Scan::Tokens(range)]);
        let statics = source.has_statics().then(|| Scan::FirstRows(range.first()));
        Scans::new(slices.into_iter().chain(statics), true)
    }

    /// What is left of a single token that is done up to `row`, in slices. Parts of the `others` show statics with rows alone.
    pub(crate) fn slices_behind<S: Source>(source: &S, row: &RowKey, others: &[RowKey]) -> Scans {
        let asks = source.has_statics() && !others.is_empty();
        let statics = asks.then(|| Scan::FirstRows(row.token()));
        let scans = Scans::new(Self::of_partitions(row, others).chain(statics), true);
        Scans { several: !others.is_empty(), ..scans }
    }

    fn new(scans: impl IntoIterator<Item = Scan>, takes_apart: bool) -> Scans {
        Scans { queue: scans.into_iter().collect(), takes_apart, ..Scans::default() }
    }

    fn of_partitions(row: &RowKey, others: &[RowKey]) -> impl Iterator<Item = Scan> {
        // A partition that has no clustering key, or only statics, was read with its one row.
        let rest = row.clustering_key().map(|clustering| slice_of(row, Cut::after(clustering)));
        rest.into_iter().chain(others.iter().map(|row| slice_of(row, Cut::START)))
    }

    /// The next scan.
    pub(crate) fn next(&mut self) -> Option<Scan> {
        self.queue.pop_front()
    }

    /// A scan has answered rows, the last of them of this partition.
    pub(crate) fn answered(&mut self, partition: &[u8]) {
        if self.partition != partition {
            self.several |= self.any_rows;
            self.partition = partition.to_vec();
        }
        self.any_rows = true;
    }

    /// Whether rows of more than one partition were answered. Of a single token, there may be others of which nothing is known yet.
    pub(crate) fn know_several(&self) -> bool {
        self.several
    }

    /// Takes a scan that can't be read on behind `last`, the last row that it answered. Answers whether the others are to be
    /// read: either it was replaced by smaller ones, or there is one hole more.
    pub(crate) fn failed<S: Source>(
        &mut self,
        source: &S,
        scan: Scan,
        last: Option<&RowKey>,
        error: CallError,
    ) -> bool {
        if !self.takes_apart {
            return false;
        }
        self.failures += 1;
        // The partition that was to be asked for its statics is known by now. That another one, without any row, has the same
        // token of 64 bits can't be ruled out; but then nothing with static columns behind tombstones could ever be called done.
        // Where two are known to have it, there is more to it than the bad luck of a lifetime.
        if matches!(scan, Scan::FirstRows(_)) && self.any_rows && !self.several {
            return true;
        }
        match replace(source, scan, last.and_then(RowKey::clustering_key)) {
            Ok(smaller) if self.failures < FAILURES_MAX => {
                smaller.into_iter().rev().for_each(|scan| self.queue.push_front(scan));
            }
            Ok(left) => self.holes.extend(left.into_iter().map(|scan| Hole { scan, error: error.clone() })),
            Err(scan) => self.holes.push(Hole { scan, error }),
        }
        true
    }

    /// Takes a scan that is read up to `last` apart there: what was read of it comes next, and then the rest. Answers whether that is
    /// possible.
    pub(crate) fn cut(&mut self, scan: &Scan, last: &RowKey) -> bool {
        let (Scan::Slice(slice), Some(last)) = (scan, last.clustering_key()) else { return false };
        let cut = if slice.reversed { Cut::before(last) } else { Cut::after(last) };
        if cut == slice.from || cut == slice.to {
            return false;
        }
        let mut parts = parted(slice, &cut);
        if !slice.reversed {
            parts.reverse();
        }
        for part in parts {
            self.queue.push_front(part);
        }
        true
    }

    /// What could not be read.
    pub(crate) fn holes(&self) -> &[Hole] {
        &self.holes
    }
}

/// The scans that come to what is left of one that fails behind `last`, or that part of it which nothing can be done about.
fn replace<S: Source>(source: &S, scan: Scan, last: Option<Vec<Vec<u8>>>) -> Result<Vec<Scan>, Scan> {
    let Scan::Slice(slice) = scan else { return Err(scan) };
    match (&slice.of, last) {
        // There may be other partitions with rows before the place that this one was read to.
        (Partitions::All(_), Some(last)) if Cut::after(last.clone()) != slice.to => {
            Ok(parted(&slice, &Cut::after(last)))
        }
        (Partitions::All(_), _) => halves(source, &slice).ok_or(Scan::Slice(slice)),
        (Partitions::One(..), Some(last)) if slice.reversed => {
            let slice = Slice { to: Cut::before(last), reversed: false, ..slice };
            halves(source, &slice).ok_or(Scan::Slice(slice))
        }
        (Partitions::One(..), Some(last)) => Ok(vec![Scan::Slice(Slice { from: Cut::after(last), ..slice })]),
        (Partitions::One(..), None) if slice.reversed => Err(Scan::Slice(Slice { reversed: false, ..slice })),
        // What stands in the way may be passed from behind.
        (Partitions::One(..), None) => {
            Ok(halves(source, &slice).unwrap_or_else(|| vec![Scan::Slice(Slice { reversed: true, ..slice })]))
        }
    }
}

/// What is behind a place of the partition of `key`.
fn slice_of(key: &RowKey, from: Cut) -> Scan {
    let of = Partitions::One(key.token(), Arc::new(key.partition_key()));
    Scan::Slice(Slice { from, ..Slice::whole(of) })
}

/// Both parts of a slice, each smaller than it; `None` where no place between its rows can be told.
pub(super) fn halves_of<S: Source>(source: &S, slice: &Slice) -> Option<[Slice; 2]> {
    source.bisect(slice).map(|cut| parts_of(slice, &cut))
}

fn halves<S: Source>(source: &S, slice: &Slice) -> Option<Vec<Scan>> {
    halves_of(source, slice).map(|halves| halves.map(Scan::Slice).to_vec())
}

fn parted(slice: &Slice, cut: &Cut) -> Vec<Scan> {
    parts_of(slice, cut).map(Scan::Slice).to_vec()
}

fn parts_of(slice: &Slice, cut: &Cut) -> [Slice; 2] {
    [Slice { to: cut.clone(), ..slice.clone() }, Slice { from: cut.clone(), ..slice.clone() }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Class;
    use crate::copy::collisions::key_of;
    use crate::copy::fakes::{MemorySource, Rows};
    use crate::ring::Token;

    /// A row of the `n`-th partition of one and the same token.
    fn row(n: u64) -> RowKey {
        let cells = |cell: &[u8]| [&u32::try_from(cell.len()).expect("short").to_be_bytes(), cell].concat();
        RowKey::new(&cells(&key_of(Token(42), n)), &cells(&[1]))
    }

    #[test]
    fn statics_of_a_partition_beside_are_owed_until_they_are_looked_for() {
        for (others, holes) in [(vec![], 0), (vec![row(1)], 1)] {
            let source = MemorySource { has_statics: true, ..MemorySource::new(Rows::new()) };
            let mut scans = Scans::slices_behind(&source, &row(0), &others);
            scans.answered(row(0).bytes().0);
            let error = CallError { class: Class::Timeout, message: "tombstones".to_owned() };
            assert!(scans.failed(&source, Scan::FirstRows(Token(42)), None, error));
            assert_eq!(scans.holes().len(), holes);
        }
    }
}
