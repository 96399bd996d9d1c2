//! One page, patiently: what fails is tried again, with fewer rows each time, until it is certain that it is the rows that are
//! in the way and not the state of the cluster.

use super::Learned;
use super::Shared;
use super::budget::Reservation;
use super::pace::Load;
use super::retry::{GaveUp, with_retries};
use super::seam::{Fetched, Position, Read, Scan, Source};
use super::standstill::Failing;
use crate::call::{CallError, Class};
use crate::event::Event;
use crate::row::RowKey;
use crate::settings::Patience;
use crate::side::Side;
use std::time::Duration;
use tokio::time::Instant;

/// Each try asks for this many times fewer rows than the one before: what is too much for a server is found in few tries.
const SHRINK: i32 = 16;

/// A page that arrived, before it is grouped.
pub(super) struct Arrived {
    pub(super) fetched: Fetched,
    /// When it was asked for, in seconds since the Unix epoch.
    pub(super) read_at: i64,
    /// How many rows were asked for in the try that succeeded, where others had failed.
    pub(super) shrunk_to: Option<i32>,
    pub(super) reservation: Reservation,
}

/// Why there is no page.
pub(super) enum Unread {
    /// Nothing can be done about it now.
    GaveUp(GaveUp),
    /// The source reads other rows: these are too many, or there are too many tombstones among them.
    Unreadable(CallError, u32),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) scan: Scan,
    pub(super) position: Position,
    /// Rows at most.
    pub(super) rows_max: i32,
    /// Whether rows around here could not be read before: then it is no surprise, and not worth a long wait.
    pub(super) is_suspect: bool,
}

/// How long a page may fail before fewer rows, or others, are tried: failures come at once, timeouts take their time.
fn patience(is_suspect: bool, whole: Patience) -> Patience {
    let (of_failures, of_timeouts) = if is_suspect {
        (Duration::from_millis(100), Duration::from_secs(1))
    } else {
        (Duration::from_secs(3), Duration::from_secs(20))
    };
    Patience { of_failures, of_timeouts, ..whole }
}

/// Asks for a page.
pub(super) async fn fetch<S: Source, T>(
    shared: &Shared<S, T>,
    learned: &Learned<S, T>,
    wanted: Wanted,
) -> Result<Arrived, Unread> {
    let Learned { lane, page_size, calls, .. } = learned;
    let Wanted { scan, position, rows_max, is_suspect } = wanted;
    let mut reservation = shared.budget.page(|| page_size.bytes()).await;
    let asking_for = calls.standstill().stopwatch();
    let began = Instant::now();
    let mut before = 0;
    // For as long as it fails, whatever is tried about it.
    let mut failing: Option<Failing<'_>> = None;
    loop {
        let rows_at = |tries: u32| {
            let rows = page_size.rows().min(rows_max);
            (rows / SHRINK.saturating_pow(tries.min(7))).max(1)
        };
        let turns = shared.pacer.turns(Side::Source, learned.calls.stop());
        let read_page = |tries: u32| {
            let attempt = before + tries;
            let read = Read { scan: scan.clone(), position: position.clone(), rows: rows_at(attempt), attempt };
            turns.call(Load::default(), std::future::ready(()), async move {
                // The server takes the time when the request arrives, so the time of asking is the closer one.
                let read_at = shared.clock.seconds();
                let fetched = lane.source.read_page(&read).await?;
                Ok((fetched, read_at, (attempt > 0).then_some(read.rows)))
            })
        };
        let patience = patience(is_suspect, shared.patience);
        let read = with_retries(Side::Source, patience, calls, read_page);
        let (error, tries) = match turns.or_stopped(read).await {
            Ok((fetched, read_at, shrunk_to)) => {
                page_size.learn(&fetched.page);
                reservation.fit(fetched.page.size());
                let stored = lane.layout.keys() + lane.layout.values.len();
                let (rows, bytes) = (fetched.page.rows() as u64, fetched.page.bytes_of(stored) as u64);
                shared.events.emit(Event::PageRead { rows, bytes });
                return Ok(Arrived { fetched, read_at, shrunk_to, reservation });
            }
            Err(GaveUp::Failed(error, tries)) if may_be_the_rows(error.class) && !calls.are_over() => (error, tries),
            Err(gave_up) => return Err(Unread::GaveUp(gave_up)),
        };
        before += tries;
        failing = Some(match failing {
            None => calls.failing(Side::Source, began, &error),
            Some(failing) => failing.again(began, &error),
        });
        let at_one_row = (0..before).rev().take_while(|&tries| rows_at(tries) == 1).count();
        let is_certain = || at_one_row >= learned.beside.tries_needed() as usize;
        if at_one_row > 0 && learned.beside.answers(&lane.source, scan.range()).await && is_certain() {
            // The source isn't what is waited for.
            calls.standstill().done(Side::Source);
            return Err(Unread::Unreadable(error, before));
        }
        let whole = shared.patience.give_up_after;
        if asking_for.elapsed() > whole && !calls.standstill().is_shared(Side::Source, whole) {
            return Err(Unread::GaveUp(GaveUp::Failed(error, before)));
        }
        tokio::task::yield_now().await;
    }
}

/// Whether a read may fail in this way because of what it is to read.
fn may_be_the_rows(class: Class) -> bool {
    matches!(class, Class::Timeout | Class::Failure | Class::Other)
}

/// The partitions of a row's token that come behind that of the row: nearly always none.
pub(super) async fn partitions_behind<S: Source, T>(
    shared: &Shared<S, T>,
    learned: &Learned<S, T>,
    row: &RowKey,
) -> Result<Vec<RowKey>, Unread> {
    let layout = &learned.lane.layout;
    let scan = Scan::FirstRows(row.token());
    let mut found: Vec<RowKey> = Vec::new();
    let mut position = Some(Position::default());
    while let Some(at) = position {
        let wanted = Wanted { scan: scan.clone(), position: at, rows_max: 100, is_suspect: false };
        let Arrived { fetched, .. } = fetch(shared, learned, wanted).await?;
        let page = &fetched.page;
        found.extend((0..page.rows()).map(|row| RowKey::new(page.span(row, 0, layout.partition_key), &[])));
        position = fetched.next;
    }
    // A partition that is gone has nothing left; whether it came before the others or behind them can't be told any more.
    let at = found.iter().position(|key| key.is_beside(row));
    Ok(found.split_off(at.map_or(0, |at| at + 1)))
}
