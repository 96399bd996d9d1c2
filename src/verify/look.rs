//! Rows that differed, read once more by their keys at both sides.

use super::compare::{Malformed, Row, Rules, alone, compare, has_any, is_equal};
use super::difference::{Class, ColumnDifference};
use super::glance::Glance;
use super::merge::Suspect;
use super::task::Comparing;
use crate::call::{CallError, Class as Failure};
use crate::engine::fetch::{Arrived, Unread, Wanted, fetch_into};
use crate::engine::retry::GaveUp;
use crate::engine::seam::{Partitions, Position, Scan, Slice, Source, Target};
use crate::engine::{Learned, Shared, Task};
use crate::row::layout::Part;
use crate::row::slice::Cut;
use crate::row::{Layout, RowKey};
use crate::schema::order::RowOrder;
use crate::side::Side;
use futures::future::BoxFuture;
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

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
    /// Nothing differs of it but cells in their last seconds: what becomes of the row is to be seen after that.
    pub(super) is_ending: bool,
}

/// A cell that expires within so many seconds may have expired at the other side: no two clocks are that close, and expiries
/// may lie apart by what is tolerated. A long tolerance isn't waited for: looks would take as long.
pub(super) fn last_seconds(rules: &Rules) -> i64 {
    rules.expiry_tolerance.clamp(5, 60)
}

/// What reading suspects again has shown.
pub(super) struct Seen {
    /// Of each suspect, how it differs; nothing where it doesn't.
    pub(super) looked: Vec<Option<Looked>>,
    /// Bytes of keys and values that were read, at both sides.
    pub(super) bytes: u64,
}

/// Why suspects could not be looked at.
#[derive(Debug)]
pub(super) enum Unseen {
    /// Nothing can be done about it now.
    GaveUp(GaveUp),
    /// A side can't read them, whatever is tried.
    Unreadable {
        /// The side.
        side: Side,
        /// What it says.
        error: CallError,
        /// Which rows, for people.
        place: String,
    },
}

impl From<GaveUp> for Unseen {
    fn from(gave_up: GaveUp) -> Unseen {
        Unseen::GaveUp(gave_up)
    }
}

/// Reads `run`, which are neighbouring rows of a partition or the statics of one, and says of each how it differs: not at all,
/// where there is nothing. Where they can't be read together, for the tombstones that lie between them, they are read apart. With each
/// `turn`, other replicas are asked first: at a level at which one answers, one that has missed something isn't believed again and again.
///
/// # Errors
/// Where a side can't be read.
pub(super) fn look<'a, S: Source, T: Target>(
    shared: &'a Shared<Comparing<S, T>>,
    learned: &'a Learned<Comparing<S, T>>,
    run: &'a [&'a Suspect],
    turn: u32,
) -> BoxFuture<'a, Result<Seen, Unseen>> {
    Box::pin(async move {
        match look_at_all(shared, learned, run, turn).await {
            Err(Unseen::Unreadable { .. }) if run.len() > 1 => {
                let (first, second) = run.split_at(run.len() / 2);
                let mut seen = look(shared, learned, first, turn).await?;
                let more = look(shared, learned, second, turn).await?;
                seen.looked.extend(more.looked);
                seen.bytes += more.bytes;
                Ok(seen)
            }
            seen => seen,
        }
    })
}

async fn look_at_all<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    run: &[&Suspect],
    turn: u32,
) -> Result<Seen, Unseen> {
    let (source, target) = {
        // For both at once: whoever waited for the other side's with one side's in hand could wait in a circle.
        let _expected =
            shared.budget.look(|| expected(learned, Side::Source, run) + expected(learned, Side::Target, run)).await;
        let of = |side| read_side(shared, learned, side, run, turn);
        futures::future::try_join(of(Side::Source), of(Side::Target)).await?
    };
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
        let is_ending = |column: &ColumnDifference| {
            let ends = [&column.source, &column.target].map(|state| state.as_ref().and_then(|state| state.expires_at));
            ends.into_iter().flatten().max().is_some_and(|at| at <= now + last_seconds(&pair.rules))
                && (column.source.is_none() || column.target.is_none())
        };
        columns.iter_mut().for_each(shorten);
        let any = !columns.is_empty();
        columns.retain(|column| !is_ending(column));
        let is_ending = columns.is_empty() && any;
        if columns.is_empty() && !any && class.is_none() {
            return Ok(None);
        }
        let class = class.map(|class| match class {
            Class::Marker if !pair.infers_markers.load(Relaxed) => Class::Extra,
            class => class,
        });
        let state = state([source, target], part);
        let newest_at_target = target.and_then(|row| newest(row, part));
        Ok(Some(Looked { alone: class, columns, state, newest_at_target, is_ending }))
    };
    let bytes = [Side::Source, Side::Target].into_iter().zip([&source, &target]).map(|(side, pages)| {
        let layout = learned.task.layout(side);
        let stored = layout.keys() + layout.values.len();
        pages.iter().map(|arrived| arrived.fetched.page.bytes_of(stored) as u64).sum::<u64>()
    });
    let bytes = bytes.sum();
    let looked = run
        .iter()
        .map(difference)
        .collect::<Result<_, Malformed>>()
        .map_err(|error| GaveUp::Failed(CallError { class: Failure::Other, message: error.to_string() }, 1))?;
    Ok(Seen { looked, bytes })
}

/// Reads one row, or the statics of one partition, once more, and says how it differs, if it does by more than cells in their last
/// seconds.
///
/// # Errors
/// Where a side can't be read.
pub(super) async fn look_at<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    suspect: &Suspect,
) -> Result<Option<Looked>, Unseen> {
    let looked = look(shared, learned, &[suspect], 0).await?.looked.pop().flatten();
    Ok(looked.filter(|looked| !looked.is_ending))
}

/// The scans of a run of suspects: the first that shows something, or is of a whole partition, tells all.
///
/// Statics come with any row of their partition. The one that they came with before is asked for first, since there may be too
/// many tombstones in front of it; where it is gone, or the other side has it alone, any row will do, from either end.
fn scans(order: &RowOrder, run: &[&Suspect]) -> Vec<Slice> {
    let (Some(mut first), Some(mut last)) = (run.first(), run.last()) else { return Vec::new() };
    if order.rows(first.key.bytes().1, last.key.bytes().1).is_gt() {
        // They were found by a scan from the last row to the first; upside down, the slice would show nothing.
        (first, last) = (last, first);
    }
    let of = Partitions::One(first.token, Arc::new(first.key.partition_key()));
    let from = first.key.clustering_key().map_or(Cut::START, Cut::before);
    let to = last.key.clustering_key().map_or(Cut::END, Cut::after);
    let rows = Slice { of: of.clone(), from, to, reversed: false };
    if first.part == Part::Regular {
        return vec![rows];
    }
    let whole = [false, true].map(|reversed| Slice { of: of.clone(), from: Cut::START, to: Cut::END, reversed });
    let with_row = (!is_whole(&rows)).then_some(rows);
    with_row.into_iter().chain(whole).collect()
}

fn is_whole(slice: &Slice) -> bool {
    slice.from == Cut::START && slice.to == Cut::END
}

/// All pages of a run at one side, once there is room for them. Of statics, the first row is enough.
pub(super) async fn read<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    side: Side,
    run: &[&Suspect],
    turn: u32,
) -> Result<Vec<Arrived>, Unseen> {
    let _expected = shared.budget.look(|| expected(learned, side, run)).await;
    read_side(shared, learned, side, run, turn).await
}

/// Bytes that a run may come to at one side. They are held until its pages, of which each has its own by then, are there.
fn expected<S: Source, T: Target>(learned: &Learned<Comparing<S, T>>, side: Side, run: &[&Suspect]) -> usize {
    learned.bytes_of(side, run.len())
}

async fn read_side<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    side: Side,
    run: &[&Suspect],
    turn: u32,
) -> Result<Vec<Arrived>, Unseen> {
    let is_static = run.iter().any(|suspect| suspect.part == Part::Static);
    let mut failed = None;
    for slice in scans(&learned.task.pair.order, run) {
        let tells_all = !is_static || is_whole(&slice);
        let scan = Scan::Slice(slice);
        let rows = (!is_static).then_some(run.len());
        match read_scan(shared, learned, side, &scan, rows, turn).await {
            Ok(pages) if tells_all || !pages.is_empty() => return Ok(pages),
            Ok(_) => {}
            Err(Unread::GaveUp(gave_up)) => return Err(gave_up.into()),
            Err(Unread::Unreadable(error, _)) => {
                let place = learned.task.table(side).describe(&scan);
                failed = Some(Unseen::Unreadable { side, error, place });
            }
        }
    }
    failed.map_or(Ok(Vec::new()), Err)
}

/// All pages of a scan of so many rows, or its first row.
async fn read_scan<S: Source, T: Target>(
    shared: &Shared<Comparing<S, T>>,
    learned: &Learned<Comparing<S, T>>,
    side: Side,
    scan: &Scan,
    rows: Option<usize>,
    turn: u32,
) -> Result<Vec<Arrived>, Unread> {
    // One more, so that a server knows without another page that it was the last.
    let rows_max = rows.map_or(1, |rows| i32::try_from(rows).unwrap_or(i32::MAX).saturating_add(1));
    let mut pages: Vec<Arrived> = Vec::new();
    let mut position = Some(Position::default());
    while let Some(at) = position {
        let wanted =
            Wanted { scan: scan.clone(), position: at, rows_max, is_suspect: false, turn, needed: Arc::default() };
        let arrived = fetch_into(shared, learned, side, wanted, shared.budget.looked_at()).await?;
        let next = arrived.fetched.next.clone();
        let has_rows = arrived.fetched.page.rows() > 0;
        if has_rows {
            pages.push(arrived);
        }
        position = next.filter(|_| rows.is_some() || !has_rows);
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

impl Looked {
    /// What it takes of memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let column = |column: &ColumnDifference| {
            let cells = [&column.source, &column.target].into_iter().flatten();
            size_of::<ColumnDifference>() + cells.map(|state| state.bytes.len()).sum::<usize>()
        };
        size_of::<Looked>() + self.columns.iter().map(column).sum::<usize>()
    }
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
    /// What it takes of memory, in bytes, with what is remembered of it from look to look.
    pub(super) fn size(&self) -> usize {
        let (partition, clustering) = self.key.bytes();
        size_of::<Suspect>() + Glance::SIZE_MAX + partition.len() + clustering.len()
    }

    /// Whether both are of one partition.
    pub(super) fn is_beside(&self, other: &Suspect) -> bool {
        self.part == other.part && RowKey::is_beside(&self.key, &other.key)
    }
}
