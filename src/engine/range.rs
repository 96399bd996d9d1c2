//! One range: a pass over what is left of it, and another one where something of it can't be read in one go.

use super::partitions;
use super::queue::Claim;
use super::retry::GaveUp;
use super::scans::Scans;
use super::seam::Scan;
use super::split::{self, Step};
use super::{Begun, Learned, Shared, Task};
use crate::call::CallError;
use crate::checkpoint::{Change, CheckpointError};
use crate::event::Event;
use crate::job::{Cursor, RangeKey, Work};
use crate::ring::TokenRange;

/// How the work on a range ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeEnd {
    /// All of it is done.
    Done {
        /// Whether there were any rows.
        any_rows: bool,
    },
    /// It was given up; the error is in the checkpoint.
    Failed {
        /// Whether that was for rows of its own, so that it says nothing about others.
        own: bool,
    },
    /// It is several ranges now, which are all to be worked on.
    Split(Vec<Work>),
    /// It is to be done once more, from its beginning.
    Again(Work),
    /// Somebody asked to stop; what is done is in the checkpoint.
    Stopped,
}

/// How a pass over a range ended, where more is to be decided.
#[derive(Debug)]
pub enum PassEnd {
    /// There is nothing more to decide.
    Ended(RangeEnd),
    /// A scan can't be read on.
    Unreadable {
        /// Up to where the range is done.
        cursor: Cursor,
        /// The scan.
        scan: Scan,
        /// Whether it had answered any rows.
        had_rows: bool,
        /// What the server said at last.
        error: CallError,
        /// How often it was asked.
        tries: u32,
    },
}

/// Works on what is left of a range.
///
/// # Errors
/// Where the committer is gone.
pub(crate) async fn work<K: Task>(
    shared: &Shared<K>,
    Claim { work, is_suspect }: Claim,
) -> Result<RangeEnd, CheckpointError> {
    let Work { key, mut cursor } = work;
    shared.events.emit(Event::RangeClaimed { key, cursor: cursor.token });
    shared.ledger.report(Change::Claimed { key }).await?;
    let learned = &shared.tasks[&key.table];
    let mut in_slices = false;
    loop {
        let Some(rest) = key.range.after(cursor.token) else {
            shared.ledger.report(Change::Done { key, tally: K::Counts::default() }).await?;
            return Ok(RangeEnd::Done { any_rows: false });
        };
        let (scans, goes_on) = match scans(shared, learned, rest, &cursor, in_slices).await {
            Ok(scans) => scans,
            Err(GaveUp::Stopped) => return Ok(RangeEnd::Stopped),
            Err(GaveUp::Failed(error, tries)) => return failed(shared, key, &error, tries).await,
        };
        let before = cursor.token;
        let begun = Begun { key, rest, cursor, scans, is_suspect: is_suspect || in_slices };
        let (scan, had_rows, error, tries) = match K::pass(shared, learned, begun).await? {
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
async fn scans<K: Task>(
    shared: &Shared<K>,
    learned: &Learned<K>,
    rest: TokenRange,
    cursor: &Cursor,
    in_slices: bool,
) -> Result<(Scans, bool), GaveUp> {
    let row = cursor.row.as_ref().filter(|row| row.token() == rest.first());
    let source = learned.task.table(K::SIDES[0]);
    let Some(row) = row else {
        let known = if in_slices { partitions::of_token(shared, learned, rest.first()).await? } else { None };
        let scans = match known {
            Some(partitions) => Scans::slices_of(&partitions),
            None if in_slices => Scans::slices(source, rest),
            None => Scans::of(rest),
        };
        return Ok((scans, true));
    };
    let others = partitions::behind(shared, learned, row).await?;
    let goes_on = others.is_some();
    let scans = match others {
        Some(others) if in_slices => Scans::slices_behind(source, row, &others),
        Some(others) => Scans::resuming(rest, row, &others),
        // All of its partitions are read again.
        None if in_slices => Scans::slices(source, rest),
        None => Scans::of(rest),
    };
    Ok((scans, goes_on))
}

async fn failed<K: Task>(
    shared: &Shared<K>,
    key: RangeKey,
    error: &CallError,
    tries: u32,
) -> Result<RangeEnd, CheckpointError> {
    let error = format!("read failed after {tries} tries: {error}");
    shared.ledger.report(Change::Failed { key, error, remedy: None }).await?;
    Ok(RangeEnd::Failed { own: false })
}
