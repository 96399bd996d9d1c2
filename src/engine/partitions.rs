//! Which partitions a token has. Nearly always it is one, but nothing forbids two; rows are read in the order of keys, and a cursor
//! stands between two of them, only where all are known.

use super::fetch::{Arrived, Unread, Wanted, fetch};
use super::retry::GaveUp;
use super::scans::{FAILURES_MAX, halves_of};
use super::seam::{Partitions, Position, Scan, Slice, Source};
use super::{Learned, Shared, Task};
use crate::call::Class;
use crate::ring::Token;
use crate::row::RowKey;
use crate::side::Side;
use std::sync::Arc;

/// The partitions of a token, at any of the sides that are read, in their order, whatever tombstones their first rows are behind.
/// `None` where they can't be told: in a place that can't be read there may be one more, and slices don't show those that have
/// statics alone.
pub(crate) async fn of_token<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    token: Token,
) -> Result<Option<Vec<RowKey>>, GaveUp> {
    let mut known = Vec::new();
    for &side in K::SIDES {
        if learned.task.table(side).has_statics() {
            return Ok(None);
        }
        match told(in_slices(shared, learned, side, token).await)? {
            Some(more) => add(&mut known, more),
            None => return Ok(None),
        }
    }
    known.sort_by(RowKey::by_partition);
    Ok(Some(known))
}

/// The partitions of a row's token that come behind that of the row, at any of the sides that are read: nearly always none. `None`
/// where that can't be told.
pub(crate) async fn behind<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    row: &RowKey,
) -> Result<Option<Vec<RowKey>>, GaveUp> {
    let mut behind: Vec<RowKey> = Vec::new();
    for &side in K::SIDES {
        match told(behind_at(shared, learned, side, row).await)? {
            Some(more) => add(&mut behind, more),
            None => return Ok(None),
        }
    }
    if K::SIDES.len() > 1 {
        // Where one side has only statics of a partition, the other one may have rows of it that come behind them.
        if row.clustering_key().is_none() {
            behind.retain(|key| !key.is_beside(row));
            behind.push(RowKey::new(row.bytes().0, &[]));
        }
        behind.sort_by(RowKey::by_partition);
    }
    Ok(Some(behind))
}

/// What was read, if anything can be told of it; not so where the source knows no PER PARTITION LIMIT (before 3.6), either.
fn told(read: Result<Vec<RowKey>, Unread>) -> Result<Option<Vec<RowKey>>, GaveUp> {
    match read {
        Ok(keys) => Ok(Some(keys)),
        Err(Unread::Unreadable(..)) => Ok(None),
        Err(Unread::GaveUp(GaveUp::Failed(error, _))) if error.class == Class::Rejected => Ok(None),
        Err(Unread::GaveUp(gave_up)) => Err(gave_up),
    }
}

async fn behind_at<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    side: Side,
    row: &RowKey,
) -> Result<Vec<RowKey>, Unread> {
    let whole = Wanted { rows_max: 100, is_suspect: false, ..wanted(Scan::FirstRows(row.token())) };
    let mut found = match first_rows(shared, learned, side, whole).await {
        Err(Unread::Unreadable(..)) if !learned.task.table(side).has_statics() => {
            in_slices(shared, learned, side, row.token()).await?
        }
        found => found?,
    };
    // A partition that is gone has nothing left; whether it came before the others or behind them can't be told any more.
    let at = found.iter().position(|key| key.is_beside(row));
    Ok(found.split_off(at.map_or(0, |at| at + 1)))
}

/// The partitions of a token that have rows, told from slices of it, each halved as long as it can't be read.
async fn in_slices<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    side: Side,
    token: Token,
) -> Result<Vec<RowKey>, Unread> {
    let table = learned.task.table(side);
    let mut left = vec![Slice::whole(Partitions::All(token))];
    let (mut found, mut failures) = (Vec::new(), 0);
    while let Some(slice) = left.pop() {
        match first_rows(shared, learned, side, wanted(Scan::FirstRowsOf(slice.clone()))).await {
            Ok(more) => add(&mut found, more),
            Err(Unread::Unreadable(error, tries)) => {
                failures += 1;
                let Some(halves) = halves_of(table, &slice).filter(|_| failures < FAILURES_MAX) else {
                    return Err(Unread::Unreadable(error, tries));
                };
                left.extend(halves);
            }
            Err(unread) => return Err(unread),
        }
    }
    found.sort_by(RowKey::by_partition);
    Ok(found)
}

/// Of a slice that may well begin with tombstones: each row is asked for alone, so that what fails does so at once.
fn wanted(scan: Scan) -> Wanted {
    Wanted { scan, position: Position::default(), rows_max: 1, is_suspect: true, turn: 0, needed: Arc::default() }
}

/// The keys of the partitions whose first rows a scan answers.
async fn first_rows<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    side: Side,
    wanted: Wanted,
) -> Result<Vec<RowKey>, Unread> {
    let layout = learned.task.layout(side);
    let mut found: Vec<RowKey> = Vec::new();
    let mut position = Some(wanted.position.clone());
    while let Some(at) = position {
        let Arrived { fetched, .. } =
            fetch(shared, learned, side, Wanted { position: at, needed: Arc::default(), ..wanted.clone() }).await?;
        let page = &fetched.page;
        found.extend((0..page.rows()).map(|row| RowKey::new(page.span(row, 0, layout.partition_key), &[])));
        position = fetched.next;
    }
    Ok(found)
}

fn add(known: &mut Vec<RowKey>, more: Vec<RowKey>) {
    for key in more {
        if !known.contains(&key) {
            known.push(key);
        }
    }
}
