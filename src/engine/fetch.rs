//! One page, patiently: what fails is tried again, with fewer rows each time, until it is certain that it is the rows that are
//! in the way and not the state of the cluster.

use super::budget::Reservation;
use super::pace::Load;
use super::retry::{GaveUp, with_retries};
use super::seam::{Fetched, Position, Read, Scan, Source};
use super::standstill::Failing;
use super::{Learned, Shared, Task};
use crate::call::{CallError, Class};
use crate::event::Event;
use crate::settings::Patience;
use crate::side::Side;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Each try asks for this many times fewer rows than the one before: what is too much for a server is found in few tries.
const SHRINK: i32 = 16;

/// A page that arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) fetched: Fetched,
    /// When it was asked for, in seconds since the Unix epoch.
    pub(crate) read_at: i64,
    /// How many rows were asked for in the try that succeeded, where others had failed.
    pub(crate) shrunk_to: Option<i32>,
    pub(crate) reservation: Reservation,
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Nothing can be done about it now.
    GaveUp(GaveUp),
    /// Other rows are read: these are too many, or there are too many tombstones among them.
    Unreadable(CallError, u32),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) scan: Scan,
    pub(crate) position: Position,
    /// Rows at most.
    pub(crate) rows_max: i32,
    /// Whether rows around here could not be read before: then it is no surprise, and not worth a long wait.
    pub(crate) is_suspect: bool,
    /// Whoever asks for the same rows again asks another replica, where this is another number.
    pub(crate) turn: u32,
    /// Notified when whoever asks can't free anything before it has this page: then it doesn't wait for memory.
    pub(crate) needed: Arc<Notify>,
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

/// Asks one side for a page, once there is room for it.
pub(crate) async fn fetch<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    side: Side,
    wanted: Wanted,
) -> Result<Arrived, Unread> {
    let page_size = &learned.read(side).page_size;
    let reservation = tokio::select! {
        biased;
        reservation = shared.budget.page(|| page_size.bytes()) => reservation,
        () = wanted.needed.notified() => shared.budget.page_now(page_size.bytes()),
    };
    fetch_into(shared, learned, side, wanted, reservation).await
}

/// Asks one side for a page that has room already.
pub(crate) async fn fetch_into<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    side: Side,
    wanted: Wanted,
    mut reservation: Reservation,
) -> Result<Arrived, Unread> {
    let (calls, table, layout) = (&learned.calls, learned.task.table(side), learned.task.layout(side));
    let super::Read { page_size, beside } = learned.read(side);
    let Wanted { scan, position, rows_max, is_suspect, turn, .. } = wanted;
    let asking_for = calls.standstill().stopwatch();
    let began = Instant::now();
    let mut before = 0;
    // For as long as it fails, whatever is tried about it.
    let mut failing: Option<Failing<'_>> = None;
    let mut last: Option<CallError> = None;
    loop {
        let rows_at = |tries: u32| {
            let rows = page_size.rows().min(rows_max);
            (rows / SHRINK.saturating_pow(tries.min(7))).max(1)
        };
        let turns = shared.pacer.turns(side, calls.stop());
        let read_page = |tries: u32| {
            let attempt = before + tries;
            let rows = rows_at(attempt);
            let turn = turn.wrapping_add(attempt);
            let read = Read { scan: scan.clone(), position: position.clone(), rows, turn };
            turns.call(Load::default(), std::future::ready(()), move || async move {
                // The server takes the time when the request arrives, so the time of asking is the closer one.
                let read_at = shared.clock.seconds();
                let fetched = table.read_page(&read).await?;
                Ok((fetched, read_at, (attempt > 0).then_some(read.rows)))
            })
        };
        let patience = patience(is_suspect, shared.patience);
        let read = turns.or_stopped(pin!(with_retries(side, patience, calls, read_page))).await;
        let (error, tries) = match read {
            Ok((fetched, read_at, shrunk_to)) => {
                page_size.learn(&fetched.page);
                reservation.fit(fetched.page.size());
                let stored = layout.keys() + layout.values.len();
                let (rows, bytes) = (fetched.page.rows() as u64, fetched.page.bytes_of(stored) as u64);
                shared.events.emit(Event::PageRead { rows, bytes });
                return Ok(Arrived { fetched, read_at, shrunk_to, reservation });
            }
            Err(GaveUp::Failed(error, tries)) if may_be_the_rows(error.class) && !calls.are_over() => (error, tries),
            // Given up before this try came to anything: why is known from the one before.
            Err(GaveUp::Stopped)
                if calls.are_over()
                    && let Some(error) = last =>
            {
                return Err(Unread::GaveUp(GaveUp::Failed(error, before)));
            }
            Err(gave_up) => return Err(Unread::GaveUp(gave_up)),
        };
        before += tries;
        failing = Some(match failing {
            None => calls.failing(side, began, &error),
            Some(failing) => failing.again(began, &error),
        });
        let at_one_row = (0..before).rev().take_while(|&tries| rows_at(tries) == 1).count();
        let is_certain = || at_one_row >= beside.tries_needed() as usize;
        if at_one_row > 0 && beside.answers(table, scan.range()).await && is_certain() {
            // The cluster isn't what is waited for.
            calls.standstill().done(side);
            return Err(Unread::Unreadable(error, before));
        }
        let whole = shared.patience.give_up_after;
        if asking_for.elapsed() > whole && !calls.standstill().is_shared(side, whole) {
            return Err(Unread::GaveUp(GaveUp::Failed(error, before)));
        }
        last = Some(error);
        tokio::task::yield_now().await;
    }
}

/// Whether a read may fail in this way because of what it is to read.
fn may_be_the_rows(class: Class) -> bool {
    matches!(class, Class::Timeout | Class::Failure | Class::Other)
}
