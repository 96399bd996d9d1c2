//! The task that commits. Everything that a copy has to remember passes through here, in order, and becomes an event when
//! it is durable.
//!
//! Commits are grouped: many ranges may end in the time of one fsync. A crash loses what was reported since the last
//! commit, which is at most `GROUP` old; those rows are copied again, which changes nothing.

use super::{Checkpoint, CheckpointError, RangeKey, RunOutcome, Tally, Work};
use crate::event::{Event, Events};
use crate::job::Cursor;
use crate::ring::Token;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long the first change of a group waits for others. Long enough that ten thousand ranges cost a few dozen commits
/// rather than ten thousand, short enough that a crash repeats little.
const GROUP: Duration = Duration::from_millis(500);

/// Something to remember about a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its scan begins.
    Claimed {
        /// Which one.
        key: RangeKey,
    },
    /// Everything up to `cursor` is acknowledged; `tally` counts what came since the last change of this range. Where the
    /// cursor has no token, that of the range stays as it is.
    Moved {
        /// Which one.
        key: RangeKey,
        /// The new cursor.
        cursor: Cursor,
        /// Rows between the old cursor and the new one.
        tally: Tally,
    },
    /// All of it is acknowledged.
    Done {
        /// Which one.
        key: RangeKey,
        /// Rows after the last cursor.
        tally: Tally,
    },
    /// It is several ranges from now on.
    Split {
        /// Which one.
        key: RangeKey,
        /// The pieces, which tile it, with their cursors.
        into: Vec<Work>,
    },
    /// It was given up, for this run.
    Failed {
        /// Which one.
        key: RangeKey,
        /// Why.
        error: String,
        /// What can be done about it, where that is known.
        remedy: Option<String>,
    },
}

impl Change {
    /// The range that changed.
    pub fn key(&self) -> RangeKey {
        match self {
            Change::Claimed { key }
            | Change::Moved { key, .. }
            | Change::Done { key, .. }
            | Change::Split { key, .. }
            | Change::Failed { key, .. } => *key,
        }
    }
}

/// Reports changes to the committer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    changes: mpsc::Sender<Change>,
}

impl Ledger {
    /// Hands over a change. It is durable once its event was emitted, not when this returns. Waits where the disk can't
    /// keep up, so that no more than a bounded amount of work is ever at risk.
    ///
    /// # Errors
    /// [`CheckpointError::CommitterGone`]: a commit failed, and nothing may go on.
    pub async fn report(&self, change: Change) -> Result<(), CheckpointError> {
        self.changes.send(change).await.map_err(|_| CheckpointError::CommitterGone)
    }

    /// Resolves once nothing can be recorded any more, because a commit failed.
    pub async fn gone(&self) {
        self.changes.closed().await;
    }
}

/// The file, and why nothing more can be committed to it, if so. The file stays locked until the readers have stopped too.
type Ended = (Checkpoint, Result<(), CheckpointError>);

/// The running task.
#[derive(Debug)]
pub struct Committer {
    task: tokio::task::JoinHandle<Ended>,
    finish: oneshot::Sender<()>,
    ledger: Ledger,
}

impl Committer {
    /// Starts to commit.
    pub fn start(checkpoint: Checkpoint, events: Events) -> Committer {
        // Room for the changes of some hundred readers; a full queue makes them wait.
        let (changes, inbox) = mpsc::channel(1024);
        let (finish, finished) = oneshot::channel();
        let task = tokio::spawn(run(checkpoint, inbox, finished, events));
        Committer { task, finish, ledger: Ledger { changes } }
    }

    /// The way to report changes.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Commits what was reported, notes how the run ended, and which tables, by their number, turned out to be broken; gives
    /// the file back.
    ///
    /// # Errors
    /// The error of any commit, this last one or an earlier one.
    pub async fn finish(
        self,
        outcome: RunOutcome,
        retries: u64,
        broken: Vec<(usize, String)>,
    ) -> Result<Checkpoint, CheckpointError> {
        let _ = self.finish.send(());
        let (mut checkpoint, committed) = self.task.await.map_err(|_| CheckpointError::CommitterGone)?;
        let outcome = if committed.is_err() { RunOutcome::Error } else { outcome };
        let ended =
            tokio::task::spawn_blocking(move || checkpoint.end_run(outcome, retries, &broken).map(|()| checkpoint));
        let ended = ended.await.map_err(|_| CheckpointError::CommitterGone)?;
        committed.and(ended)
    }
}

async fn run(
    mut checkpoint: Checkpoint,
    mut inbox: mpsc::Receiver<Change>,
    mut finished: oneshot::Receiver<()>,
    events: Events,
) -> Ended {
    let mut asked = false;
    loop {
        let mut group = Vec::new();
        if !asked {
            tokio::select! {
                biased;
                Some(change) = inbox.recv() => group.push(change),
                word = &mut finished => match word {
                    Ok(()) => asked = true,
                    // The copy is gone without a word: it crashed. What it had not seen committed must stay uncommitted.
                    Err(_) => return (checkpoint, Ok(())),
                },
            }
        }
        if asked {
            inbox.close();
            while let Some(change) = inbox.recv().await {
                group.push(change);
            }
        } else {
            let deadline = tokio::time::Instant::now() + GROUP;
            while group.len() < 100_000 {
                tokio::select! {
                    biased;
                    change = inbox.recv() => match change { Some(change) => group.push(change), None => break },
                    word = &mut finished => {
                        asked = true;
                        if word.is_err() { return (checkpoint, Ok(())); }
                        break;
                    }
                    () = tokio::time::sleep_until(deadline) => break,
                }
            }
        }
        if !group.is_empty() {
            let result;
            (checkpoint, result) = commit(checkpoint, fold(group), &events).await;
            if result.is_err() {
                return (checkpoint, result);
            }
        }
        if asked && inbox.is_closed() && inbox.is_empty() {
            return (checkpoint, Ok(()));
        }
    }
}

async fn commit(mut checkpoint: Checkpoint, updates: Vec<Update>, events: &Events) -> Ended {
    let written = tokio::task::spawn_blocking(move || {
        let started = std::time::Instant::now();
        let result = checkpoint.commit(&updates);
        (checkpoint, updates, result, started.elapsed())
    });
    let (checkpoint, updates, result, took) =
        written.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    if result.is_err() {
        return (checkpoint, result);
    }
    for update in updates {
        let RangeUpdate { key, cursor, tally, state, .. } = match update {
            Update::Range(update) => update,
            Update::Split { key, into } => {
                events.emit(Event::RangeSplit { key, into: into.into_iter().map(|work| work.key.range).collect() });
                continue;
            }
        };
        match (&state, cursor) {
            (RangeState::Done, _) => events.emit(Event::RangeDone { key, tally }),
            (RangeState::Claimed | RangeState::Failed { .. }, Some(Cursor { token, .. })) => {
                events.emit(Event::RangeMoved { key, cursor: token, tally });
            }
            (RangeState::Claimed | RangeState::Failed { .. }, None) => {}
        }
        if let RangeState::Failed { error, remedy } = state {
            events.emit(Event::RangeFailed { key, error, remedy });
        }
    }
    events.emit(Event::Committed { took_us: took.as_micros() });
    (checkpoint, Ok(()))
}

/// Something to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// A range moves on.
    Range(RangeUpdate),
    /// It becomes several.
    Split { key: RangeKey, into: Vec<Work> },
}

/// All that a group says of one range: one row to update, however much happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeUpdate {
    pub(super) key: RangeKey,
    /// How often it was claimed.
    pub(super) claims: u32,
    /// Its last cursor, if it moved. Without a token, that of the range stays.
    pub(super) cursor: Option<Cursor>,
    /// All rows of the group.
    pub(super) tally: Tally,
    pub(super) state: RangeState,
}

/// The state that a range ends a group in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RangeState {
    Claimed,
    Done,
    Failed { error: String, remedy: Option<String> },
}

/// Folds the changes of a group, in their order, into one update per range; a split parts what was before it from what comes
/// after.
fn fold(group: Vec<Change>) -> Vec<Update> {
    let mut folded = Vec::new();
    let mut updates: BTreeMap<(usize, Token), RangeUpdate> = BTreeMap::new();
    for change in group {
        let key = change.key();
        if let Change::Split { into, .. } = change {
            folded.extend(std::mem::take(&mut updates).into_values().map(Update::Range));
            folded.push(Update::Split { key, into });
            continue;
        }
        let update = updates.entry((key.table, key.range.first())).or_insert_with(|| RangeUpdate {
            key,
            claims: 0,
            cursor: None,
            tally: Tally::default(),
            state: RangeState::Claimed,
        });
        match change {
            Change::Claimed { .. } => {
                update.claims += 1;
                update.state = RangeState::Claimed;
            }
            Change::Moved { cursor, tally, .. } => {
                let token = cursor.token.or(update.cursor.as_ref().and_then(|before| before.token));
                update.cursor = Some(Cursor { token, ..cursor });
                update.tally += tally;
            }
            Change::Done { tally, .. } => {
                update.cursor = Some(Cursor { token: Some(key.range.last()), row: None });
                update.tally += tally;
                update.state = RangeState::Done;
            }
            Change::Failed { error, remedy, .. } => update.state = RangeState::Failed { error, remedy },
            Change::Split { .. } => {}
        }
    }
    folded.extend(updates.into_values().map(Update::Range));
    folded
}
