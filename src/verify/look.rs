//! Rows that differed, read once more by their keys at both sides.

use super::compare::{Malformed, Row, alone, compare, has_any, is_equal};
use super::difference::{Class, ColumnDifference};
use super::merge::Suspect;
use super::task::Comparing;
use crate::call::{CallError, Class as Failure};
use crate::engine::fetch::{Arrived, Unread, Wanted, fetch};
use crate::engine::retry::GaveUp;
use crate::engine::seam::{Partitions, Position, Scan, Slice, Source, Target};
use crate::engine::{Learned, Shared, Task};
use crate::row::layout::Part;
use crate::row::slice::Cut;
use crate::row::{Layout, RowKey};
use crate::side::Side;
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What a suspect looked like.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    /// The class of a row that one side alone has.
    pub(super) alone: Option<Class>,
    /// What differs of it.
    pub(super) columns: Vec<ColumnDifference>,
    /// Tells states of both sides apart, but for TTLs.
    pub(super) state: u64,
    /// The highest writetime that the target shows of it; none where it shows none.
    pub(super) newest_at_target: Option<i64>,
}

/// Reads `run`, which are neighbouring rows of a partition or the statics of one, and says of each how it differs: not at all,
/// where there is nothing.
///
/// # Errors
/// Where a side can't be read.
pub(super) async fn look<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    run: &[&Suspect],
) -> Result<Vec<Option<Looked>>, GaveUp> {
    let (source, target) =
        futures::future::try_join(read(shared, learned, Side::Source, run), read(shared, learned, Side::Target, run))
            .await?;
    let now = shared.clock.seconds();
    let difference = |suspect: &&Suspect| {
        let pair = &learned.task.pair;
        let source = find(learned, Side::Source, &source, suspect);
        let target = find(learned, Side::Target, &target, suspect);
        let part = suspect.part;
        let (class, mut columns) = match (source, target) {
            (None, None) => return Ok(None),
            (Some(a), Some(b)) if is_equal(a, b, part, &pair.rules) => return Ok(None),
            (Some(a), Some(b)) => (None, compare(a, b, part, &pair.rules)?),
            (Some(a), None) => alone(a, Side::Source, part).map(|alone| (Some(alone.class), alone.columns))?,
            (None, Some(b)) => alone(b, Side::Target, part).map(|alone| (Some(alone.class), alone.columns))?,
        };
        // What is about to expire at one side may have expired at the other: no clock is that exact.
        let is_ending = |column: &ColumnDifference| {
            let ends = [&column.source, &column.target].map(|state| state.as_ref().and_then(|state| state.expires_at));
            ends.into_iter().flatten().max().is_some_and(|at| at <= now + pair.rules.expiry_tolerance)
                && (column.source.is_none() || column.target.is_none())
        };
        columns.iter_mut().for_each(shorten);
        let any = !columns.is_empty();
        columns.retain(|column| !is_ending(column));
        if columns.is_empty() && (any || class.is_none()) {
            return Ok(None);
        }
        let class = class.map(|class| match class {
            Class::Marker if !pair.infers_markers => Class::Extra,
            class => class,
        });
        let state = state([source, target], part);
        let newest_at_target = target.and_then(|row| newest(row, part));
        Ok(Some(Looked { alone: class, columns, state, newest_at_target }))
    };
    run.iter()
        .map(difference)
        .collect::<Result<_, Malformed>>()
        .map_err(|error| GaveUp::Failed(CallError { class: Failure::Other, message: error.to_string() }, 1))
}

/// The scan of a run of suspects.
pub(super) fn scan(run: &[&Suspect]) -> Option<Scan> {
    let (first, last) = (run.first()?, run.last()?);
    let of = Partitions::One(first.token, Arc::new(first.key.partition_key()));
    let clustering = |suspect: &Suspect| suspect.key.clustering_key().filter(|_| suspect.part == Part::Regular);
    let from = clustering(first).map_or(Cut::START, Cut::before);
    let to = clustering(last).map_or(Cut::END, Cut::after);
    Some(Scan::Slice(Slice { of, from, to, reversed: false }))
}

/// All pages of a run at one side. Of statics, the first row is enough.
pub(super) async fn read<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    side: Side,
    run: &[&Suspect],
) -> Result<Vec<Arrived>, GaveUp> {
    let Some(scan) = scan(run) else { return Ok(Vec::new()) };
    let is_static = run.iter().any(|suspect| suspect.part == Part::Static);
    // One more, so that a server knows without another page that it was the last.
    let rows_max = if is_static { 1 } else { i32::try_from(run.len()).unwrap_or(i32::MAX).saturating_add(1) };
    let mut pages: Vec<Arrived> = Vec::new();
    let mut position = Some(Position::default());
    while let Some(at) = position {
        let needed = Arc::new(tokio::sync::Notify::new());
        needed.notify_one();
        let wanted = Wanted { scan: scan.clone(), position: at, rows_max, is_suspect: false, needed };
        let arrived = match fetch(shared, learned, side, wanted).await {
            Ok(arrived) => arrived,
            Err(Unread::GaveUp(gave_up)) => return Err(gave_up),
            Err(Unread::Unreadable(error, tries)) => return Err(GaveUp::Failed(error, tries)),
        };
        let next = arrived.fetched.next.clone();
        let has_rows = arrived.fetched.page.rows() > 0;
        if has_rows {
            pages.push(arrived);
        }
        position = next.filter(|_| !(is_static && has_rows));
    }
    Ok(pages)
}

/// The row of a suspect among those that were read.
fn find<'p, S: Source, T: Target>(
    learned: &'p Learned<Comparing<S, T>>,
    side: Side,
    pages: &'p [Arrived],
    suspect: &Suspect,
) -> Option<Row<'p>> {
    let (layout, order) = (learned.task.layout(side), &learned.task.pair.order);
    if suspect.part == Part::Static {
        return pages.first().map(|arrived| of(arrived, 0, layout)).filter(|row| has_any(*row, Part::Static));
    }
    let (_, wanted) = suspect.key.bytes();
    for arrived in pages {
        let page = &arrived.fetched.page;
        let key = |row| page.span(row, layout.partition_key, layout.clustering_key);
        let is_row = |row| (layout.partition_key..layout.keys()).all(|column| page.cell(row, column).is_some());
        let (mut from, mut to) = (0, page.rows());
        while from < to {
            let middle = from + (to - from) / 2;
            match if is_row(middle) { order.rows(key(middle), wanted) } else { Ordering::Less } {
                Ordering::Equal => return Some(of(arrived, middle, layout)),
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
            }
        }
    }
    None
}

/// A row of a page that has arrived.
fn of<'p>(arrived: &'p Arrived, row: usize, layout: &'p Layout) -> Row<'p> {
    Row { page: &arrived.fetched.page, row, layout, read_at: arrived.read_at }
}

/// Bytes of a value that are kept for the report. Rows may be of many megabytes, and many of them differ.
const KEPT: usize = 4 << 10;

fn shorten(column: &mut ColumnDifference) {
    for state in [&mut column.source, &mut column.target].into_iter().flatten() {
        if state.bytes.len() > KEPT {
            state.bytes = state.bytes[..KEPT].to_vec();
        }
    }
}

/// Tells apart what both sides show of a part, but for TTLs, which go down while nothing happens. The other part is that of
/// others: in a busy partition, the statics change, and so does its first row, which they are read with.
fn state(rows: [Option<Row<'_>>; 2], part: Part) -> u64 {
    let mut hasher = DefaultHasher::new();
    for row in rows {
        row.is_some().hash(&mut hasher);
        let Some(Row { page, row, layout, .. }) = row else { continue };
        for (index, value) in layout.values.iter().enumerate().filter(|(_, value)| value.part == part) {
            page.cell(row, layout.keys() + index).hash(&mut hasher);
            value.metadata.map(|at| page.cell(row, at.writetime)).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The highest writetime of a part of a row.
fn newest(row: Row<'_>, part: Part) -> Option<i64> {
    let values = row.layout.values.iter().filter(|value| value.part == part);
    let cells = values.filter_map(|value| row.page.cell(row.row, value.metadata?.writetime));
    // Of a value with elements, the writetimes come as a list: each of eight bytes, behind its length.
    cells.filter_map(newest_of).max()
}

fn newest_of(cell: &[u8]) -> Option<i64> {
    if let Ok(one) = cell.try_into() {
        return Some(i64::from_be_bytes(one));
    }
    let all = crate::row::element::numbers::<8>(cell).ok()?;
    all.into_iter().flatten().map(i64::from_be_bytes).max()
}

impl Suspect {
    /// What it takes of memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let (partition, clustering) = self.key.bytes();
        size_of::<Suspect>() + partition.len() + clustering.len()
    }

    /// Whether both are of one partition.
    pub(super) fn is_beside(&self, other: &Suspect) -> bool {
        self.part == other.part && RowKey::is_beside(&self.key, &other.key)
    }
}
