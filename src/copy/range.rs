//! One range: a pass over what is left of it, and another one where something of it can't be read in one go.

use super::fetch::{Unread, partitions_behind};
use super::pass::{Pass, PassEnd, RangeEnd};
use super::queue::Claim;
use super::retry::GaveUp;
use super::scans::Scans;
use super::seam::{Scan, Source, Target};
use super::split::{self, Step};
use super::{Learned, Shared};
use crate::call::{CallError, Class};
use crate::checkpoint::{Change, CheckpointError};
use crate::event::Event;
use crate::job::{Cursor, RangeKey, Tally, Work};
use crate::ring::TokenRange;

/// Copies what is left of a range.
///
/// # Errors
/// Where the committer is gone.
pub(super) async fn copy<S: Source, T: Target>(
    shared: &Shared<S, T>,
    Claim { work, is_suspect }: Claim,
) -> Result<RangeEnd, CheckpointError> {
    let Work { key, mut cursor } = work;
    shared.events.emit(Event::RangeClaimed { key, cursor: cursor.token });
    shared.ledger.report(Change::Claimed { key }).await?;
    let learned = &shared.lanes[&key.table];
    let mut in_slices = false;
    loop {
        let Some(rest) = key.range.after(cursor.token) else {
            shared.ledger.report(Change::Done { key, tally: Tally::default() }).await?;
            return Ok(RangeEnd::Done { wrote: false });
        };
        let (scans, goes_on) = match scans(shared, learned, rest, &cursor, in_slices).await {
            Ok(scans) => scans,
            Err(GaveUp::Stopped) => return Ok(RangeEnd::Stopped),
            Err(GaveUp::Failed(error, tries)) => return failed(shared, key, &error, tries).await,
        };
        let before = cursor.token;
        let pass = Pass::new(shared, learned, key, (rest, cursor), scans, is_suspect || in_slices);
        let (scan, had_rows, error, tries) = match pass.run().await? {
            PassEnd::Ended(end) => return Ok(end),
            PassEnd::Unreadable { cursor: reached, scan, had_rows, error, tries } => {
                cursor = reached;
                (scan, had_rows, error, tries)
            }
        };
        let scan = match scan {
            // The next pass would read the same rows again and come no further, for ever. This is what could not be read first.
            Scan::Tokens(_) if !goes_on && cursor.token == before => Scan::FirstRows(rest.first()),
            scan => scan,
        };
        match split::next(key, &scan, had_rows) {
            Step::Resume => {}
            Step::Slices => in_slices = true,
            Step::GiveUp => return failed(shared, key, &error, tries).await,
            Step::Cut(cuts) => {
                let into = Work { key, cursor }.cut(&cuts);
                shared.ledger.report(Change::Split { key, into: into.clone() }).await?;
                return Ok(RangeEnd::Split(into));
            }
        }
    }
}

/// How what is left of a range is to be read, and whether that goes on where the cursor stands, rather than before it.
async fn scans<S: Source, T: Target>(
    shared: &Shared<S, T>,
    learned: &Learned<S, T>,
    rest: TokenRange,
    cursor: &Cursor,
    in_slices: bool,
) -> Result<(Scans, bool), GaveUp> {
    let row = cursor.row.as_ref().filter(|row| row.token() == rest.first());
    let others = match row {
        None => None,
        Some(row) => match partitions_behind(shared, learned, row).await {
            Ok(others) => Some((row, others)),
            // All of its partitions are read again; so they are where the source knows no PER PARTITION LIMIT (before 3.6).
            Err(Unread::Unreadable(..)) => None,
            Err(Unread::GaveUp(GaveUp::Failed(error, _))) if error.class == Class::Rejected => None,
            Err(Unread::GaveUp(gave_up)) => return Err(gave_up),
        },
    };
    let goes_on = row.is_none() || others.is_some();
    let scans = match others {
        Some((row, others)) if in_slices => Scans::slices_behind(row, &others),
        Some((row, others)) => Scans::resuming(rest, row, &others),
        None if in_slices => Scans::slices(&learned.lane.source, rest),
        None => Scans::of(rest),
    };
    Ok((scans, goes_on))
}

async fn failed<S, T>(
    shared: &Shared<S, T>,
    key: RangeKey,
    error: &CallError,
    tries: u32,
) -> Result<RangeEnd, CheckpointError> {
    let error = format!("read failed after {tries} tries: {error}");
    shared.ledger.report(Change::Failed { key, error, remedy: None }).await?;
    Ok(RangeEnd::Failed { own: false })
}
