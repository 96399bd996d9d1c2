//! The task that commits. Everything that a copy has to remember passes through here, in order, and becomes an event when
//! it is durable.
//!
//! Commits are grouped: many ranges may end in the time of one fsync. A crash loses what was reported since the last
//! commit, which is at most `GROUP` old; those rows are copied again, which changes nothing.
//!
//! Between the last change of a group and its commit, the [`Guard`] looks at the tables: of one that it doesn't trust any more,
//! no progress is committed from then on, and whoever works on it is told.

use super::fold::{RangeState, RangeUpdate, Update, fold};
use super::{Checkpoint, CheckpointError, Guard};
use crate::blocking::blocking;
use crate::event::{Event, Events};
use crate::job::{Counts, Cursor, RangeKey, RunOutcome, Tally, Work};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long the first change of a group waits for others. Long enough that ten thousand ranges cost a few dozen commits
/// rather than ten thousand, short enough that a crash repeats little.
const GROUP: Duration = Duration::from_millis(500);
/// Tables that somebody works on are looked at this often though nothing is reported of them: calls that fail since a table was
/// changed must not be tried again for long.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Something to remember about a range; `C` is what is counted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<C = Tally> {
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
        tally: C,
    },
    /// All of it is acknowledged.
    Done {
        /// Which one.
        key: RangeKey,
        /// Rows after the last cursor.
        tally: C,
    },
    /// It is several ranges from now on.
    Split {
        /// Which one.
        key: RangeKey,
        /// The pieces, which tile it, with their cursors.
        into: Vec<Work>,
    },
    /// It goes back to its beginning and is pending, with nothing counted but [`Counts::KEPT`]. Whoever goes on with it claims
    /// it again.
    Again {
        /// Which one.
        key: RangeKey,
        /// Of what came since the last change of this range, what is counted all the same.
        kept: C,
    },
    /// Rows beyond its cursor are counted, though they are come to again in the next run: [`Counts::BEYOND`]. Nothing is
    /// counted after that in this run.
    Beyond {
        /// Which one.
        key: RangeKey,
        /// The counts.
        counts: C,
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

impl<C> Change<C> {
    /// The range that changed.
    pub fn key(&self) -> RangeKey {
        match self {
            Change::Claimed { key }
            | Change::Moved { key, .. }
            | Change::Done { key, .. }
            | Change::Split { key, .. }
            | Change::Again { key, .. }
            | Change::Beyond { key, .. }
            | Change::Failed { key, .. } => *key,
        }
    }

    /// Whether it says that rows arrived: a range that is split has cursors in its pieces.
    fn is_progress(&self) -> bool {
        matches!(
            self,
            Change::Moved { .. }
                | Change::Done { .. }
                | Change::Split { .. }
                | Change::Again { .. }
                | Change::Beyond { .. }
        )
    }
}

/// Reports changes to the committer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger<C = Tally> {
    changes: mpsc::Sender<Change<C>>,
    distrusted: watch::Receiver<BTreeSet<usize>>,
}

impl<C: Counts> Ledger<C> {
    /// Hands over a change. It is durable once its event was emitted, not when this returns. Waits where the disk can't
    /// keep up, so that no more than a bounded amount of work is ever at risk.
    ///
    /// # Errors
    /// [`CheckpointError::CommitterGone`]: a commit failed, and nothing may go on.
    pub async fn report(&self, change: Change<C>) -> Result<(), CheckpointError> {
        self.changes.send(change).await.map_err(|_| CheckpointError::CommitterGone)
    }

    /// Resolves once nothing can be recorded any more, because a commit failed.
    pub async fn gone(&self) {
        self.changes.closed().await;
    }

    /// Resolves when there are more tables of which no progress is committed any more, and gives all of them, by their number: work on
    /// these is in vain.
    pub async fn distrusted(&mut self) -> BTreeSet<usize> {
        match self.distrusted.changed().await {
            Ok(()) => self.distrusted.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// The file, and why nothing more can be committed to it, if so. The file stays locked until the readers have stopped too.
type Ended = (Checkpoint, Result<(), CheckpointError>);

/// The running task.
#[derive(Debug)]
pub struct Committer<C = Tally> {
    task: tokio::task::JoinHandle<Ended>,
    finish: oneshot::Sender<()>,
    ledger: Ledger<C>,
}

impl<C: Counts> Committer<C> {
    /// Starts to commit what `guard` doesn't object to.
    pub fn guarded(checkpoint: Checkpoint, guard: impl Guard, events: Events) -> Committer<C> {
        // Room for the changes of some hundred readers; a full queue makes them wait.
        let (changes, inbox) = mpsc::channel(1024);
        let (finish, finished) = oneshot::channel();
        let (tell, distrusted) = watch::channel(BTreeSet::new());
        let watched = Watched { guard, tell, open: BTreeMap::new(), unknown: HashSet::new() };
        let task = tokio::spawn(run(checkpoint, inbox, finished, watched, events));
        Committer { task, finish, ledger: Ledger { changes, distrusted } }
    }

    /// Starts to commit whatever is reported.
    #[cfg(test)]
    pub(crate) fn start(checkpoint: Checkpoint, events: Events) -> Committer<C> {
        Committer::guarded(checkpoint, super::guard::Trusting, events)
    }

    /// The way to report changes.
    pub fn ledger(&self) -> Ledger<C> {
        self.ledger.clone()
    }

    /// Commits what was reported; only then is it known of which tables the guard let everything pass.
    ///
    /// # Errors
    /// Where the task is gone.
    pub async fn drain(self) -> Result<Drained, CheckpointError> {
        let _ = self.finish.send(());
        let ended = self.task.await.map_err(|_| CheckpointError::CommitterGone)?;
        Ok(Drained { ended, reason: None })
    }

    /// [`Committer::drain`] and [`Drained::end`].
    #[cfg(test)]
    pub(crate) async fn finish(
        self,
        outcome: RunOutcome,
        retries: u64,
        broken: Vec<(usize, String)>,
    ) -> Result<Checkpoint, CheckpointError> {
        self.drain().await?.end(outcome, retries, broken).await
    }
}

/// A file to which everything is committed that will be in this run.
#[derive(Debug)]
pub struct Drained {
    ended: Ended,
    reason: Option<String>,
}

impl Drained {
    /// Why the run ended before everything was done, where no range and no table can tell.
    #[must_use]
    pub fn because(self, reason: String) -> Drained {
        Drained { reason: Some(reason), ..self }
    }

    /// Notes how the run ended, and which tables, by their number, turned out to be broken; gives the file back.
    ///
    /// # Errors
    /// The error of any commit, this last one or an earlier one.
    pub async fn end(
        self,
        outcome: RunOutcome,
        retries: u64,
        broken: Vec<(usize, String)>,
    ) -> Result<Checkpoint, CheckpointError> {
        let Drained { ended: (mut checkpoint, committed), reason } = self;
        let outcome = if committed.is_err() { RunOutcome::Error } else { outcome };
        let ended =
            blocking(move || checkpoint.end_run(outcome, reason.as_deref(), retries, &broken).map(|()| checkpoint))
                .await;
        committed.and(ended)
    }
}

/// What the guard watches over.
struct Watched<G> {
    guard: G,
    tell: watch::Sender<BTreeSet<usize>>,
    /// The tables that were claimed in this run, and how many of their ranges have not ended.
    open: BTreeMap<usize, u64>,
    /// Pieces of ranges that the checkpoint doesn't know, since their splits were not to be committed.
    unknown: HashSet<RangeKey>,
}

impl<G: Guard> Watched<G> {
    /// Looks at the tables of `group` and at those that somebody works on, in the end at all of this run, and leaves of the group
    /// what may be committed.
    async fn pass<C: Counts>(&mut self, group: &mut Vec<Change<C>>, is_last: bool) {
        for change in group.iter() {
            let open = self.open.entry(change.key().table).or_default();
            match change {
                Change::Claimed { .. } => *open += 1,
                Change::Moved { .. } | Change::Beyond { .. } => {}
                Change::Done { .. } | Change::Split { .. } | Change::Again { .. } | Change::Failed { .. } => {
                    *open = open.saturating_sub(1);
                }
            }
        }
        let in_group: BTreeSet<usize> = group.iter().map(|change| change.key().table).collect();
        let open = self.open.iter().filter(|(table, open)| is_last || **open > 0 || in_group.contains(table));
        let tables = open.map(|(table, _)| *table).collect();
        let distrusted = self.guard.look(&tables, group.iter().any(Change::is_progress)).await;
        let unknown = &mut self.unknown;
        group.retain(|change| {
            let key = change.key();
            if !distrusted.contains(&key.table) {
                return true;
            }
            if let Change::Split { into, .. } = change {
                unknown.extend(into.iter().map(|piece| piece.key));
            }
            !change.is_progress() && !unknown.contains(&key)
        });
        self.tell.send_if_modified(|told| {
            let more = *told != distrusted;
            *told = distrusted;
            more
        });
    }
}

async fn run<C: Counts, G: Guard>(
    mut checkpoint: Checkpoint,
    mut inbox: mpsc::Receiver<Change<C>>,
    mut finished: oneshot::Receiver<()>,
    mut watched: Watched<G>,
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
                () = tokio::time::sleep(LOOK_EVERY) => {}
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
        watched.pass(&mut group, asked).await;
        if group.is_empty() {
            // Of a file that was deleted while nothing happens, in a pause for one, nobody else would tell.
            if let Err(gone) = checkpoint.still_there() {
                return (checkpoint, Err(gone));
            }
        } else {
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

async fn commit<C: Counts>(mut checkpoint: Checkpoint, updates: Vec<Update<C>>, events: &Events) -> Ended {
    let (checkpoint, updates, result, took) = blocking(move || {
        let started = std::time::Instant::now();
        let result = checkpoint.commit(&updates);
        (checkpoint, updates, result, started.elapsed())
    })
    .await;
    let taken_back = match result {
        Ok(taken_back) => taken_back,
        Err(error) => return (checkpoint, Err(error)),
    };
    for (update, taken_back) in updates.into_iter().zip(taken_back) {
        let RangeUpdate { key, cursor, tally, state, .. } = match update {
            Update::Range(update) => update,
            Update::Split { key, into } => {
                events.emit(Event::RangeSplit { key, into: into.into_iter().map(|work| work.key.range).collect() });
                continue;
            }
            Update::Beyond { key, counts } => {
                events.emit(C::moved(key, None, counts));
                continue;
            }
            Update::Anew { key, kept } => {
                let begun = taken_back.and_then(|taken_back| C::begun_anew(key, taken_back));
                begun.into_iter().chain([C::moved(key, None, kept)]).for_each(|event| events.emit(event));
                continue;
            }
        };
        taken_back
            .and_then(|taken_back| C::taken_back(key, taken_back))
            .into_iter()
            .for_each(|event| events.emit(event));
        match (&state, cursor) {
            (RangeState::Done, _) => events.emit(C::done(key, tally)),
            (RangeState::Claimed | RangeState::Failed { .. }, Some(Cursor { token, .. })) => {
                events.emit(C::moved(key, token, tally));
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
