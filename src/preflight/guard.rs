//! The guard of a running copy: notices that a table was altered, dropped and created again, or truncated at the target,
//! before anything that this may have spoiled is committed.
//!
//! A look costs a few small queries. Only where the nodes' schema versions moved since the last one, tables are described anew.

use super::error::PreflightError;
use super::{Sides, table};
use crate::call::{CallError, Class};
use crate::checkpoint::Guard;
use crate::cluster::Cluster;
use crate::cluster::changes::{NODES_AT_ONCE, SchemaVersions, is_silent};
use crate::engine::retry::{GaveUp, with_retries};
use crate::engine::standstill::Calls;
use crate::event::{Event, Events};
use crate::job::{Admitted, JobTable};
use crate::schema::TableName;
use crate::schema::read::{ReadError, read_table};
use crate::settings::Patience;
use crate::settings::live::Live;
use crate::shutdown::Stop;
use crate::side::Side;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// A look that lasts longer is told: nothing is recorded meanwhile.
const TELL_AFTER: Duration = Duration::from_secs(15);
/// What is told then.
const NOT_YET: &str = "nothing is recorded for now: before that, both sides are asked whether the tables still are what they \
     were, and one of them doesn't answer, or its nodes don't agree. It is asked again and again; whoever stops the run loses nothing that is recorded";

/// Looks at the tables of a job while they are copied.
#[derive(Debug)]
pub struct TableGuard {
    source: Watch,
    target: Watch,
    tables: BTreeMap<usize, JobTable>,
    patience: Patience,
    live: watch::Receiver<Live>,
    events: Events,
    stop: Stop,
    findings: Findings,
}

/// What a [`TableGuard`] has found so far. Cheap to clone; all clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Findings(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    changed: BTreeMap<usize, PreflightError>,
    /// Tables that nobody could look at, and why.
    unseen: BTreeMap<usize, Option<String>>,
}

/// One side, and what was seen of it.
#[derive(Debug)]
struct Watch {
    cluster: Cluster,
    seen: Seen,
}

/// The tables that were as the job knows them, with these versions of the schema.
#[derive(Clone, Debug, Default)]
struct Seen {
    versions: SchemaVersions,
    tables: BTreeSet<usize>,
}

/// What is wrong, by the number of the table.
type Wrong = BTreeMap<usize, PreflightError>;

impl Findings {
    /// Takes out the tables that were changed, by their number.
    pub fn take_changed(&self) -> Vec<(usize, PreflightError)> {
        std::mem::take(&mut self.lock().changed).into_iter().collect()
    }

    /// The tables that nobody could look at.
    pub fn unseen(&self) -> BTreeSet<usize> {
        self.lock().unseen.keys().copied().collect()
    }

    /// Why nobody could, where it wasn't for a signal.
    pub fn why_unseen(&self) -> Option<String> {
        self.lock().unseen.values().flatten().next().cloned()
    }

    fn distrusted(&self) -> BTreeSet<usize> {
        let found = self.lock();
        found.changed.keys().chain(found.unseen.keys()).copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableGuard {
    /// Guards `tables`, by their number in the job. Each is told when it turns out to be another, where there is more than one.
    pub fn new(
        sides: &Sides,
        tables: BTreeMap<usize, JobTable>,
        patience: Patience,
        events: &Events,
        stop: &Stop,
    ) -> TableGuard {
        let watch = |cluster: &Cluster| Watch { cluster: cluster.clone(), seen: Seen::default() };
        TableGuard {
            source: watch(&sides.source),
            target: watch(&sides.target),
            tables,
            patience,
            live: never_paused(),
            events: events.clone(),
            stop: stop.clone(),
            findings: Findings::default(),
        }
    }

    /// The same for a job that may be paused, as `live` tells: no patience ends in a pause.
    #[must_use]
    pub fn pausing(self, live: watch::Receiver<Live>) -> TableGuard {
        TableGuard { live, ..self }
    }

    /// What it has found, as it finds it.
    pub fn findings(&self) -> Findings {
        self.findings.clone()
    }

    /// Looks at both sides, patiently where it `must_know`.
    async fn see(&mut self, numbers: &BTreeSet<usize>, must_know: bool) -> Result<Wrong, GaveUp> {
        let TableGuard { source, target, tables, patience, live, events, stop, .. } = self;
        // Longer than the copy waits: where nothing gets through, it is the copy that gives up.
        let whole = patience.give_up_after.saturating_add(Duration::from_secs(60));
        let (patience, live) = if must_know {
            (Patience::of(whole), live.clone())
        } else {
            (Patience::of(Duration::ZERO), never_paused())
        };
        let known: Vec<(usize, &JobTable, &Admitted)> = numbers
            .iter()
            .filter_map(|number| tables.get_key_value(number))
            .filter_map(|(number, table)| Some((*number, table, table.admitted.as_ref()?)))
            .collect();
        let (known, looker, target_side) = (known.as_slice(), &*source, &*target);
        let (stop, events) = (&*stop, &*events);
        let (of_source, of_target) = tokio::join!(
            beyond_pauses(live.clone(), stop, events, Side::Source, patience, |tries| looker.look(known, tries)),
            beyond_pauses(live.clone(), stop, events, Side::Target, patience, |tries| async move {
                let (wrong, truncated) =
                    tokio::join!(target_side.look(known, tries), target_side.truncated(known, tries));
                let (mut wrong, seen) = wrong?;
                for (number, error) in truncated? {
                    wrong.entry(number).or_insert(error);
                }
                Ok((wrong, seen))
            }),
        );
        let ((mut wrong, source_seen), (of_target, target_seen)) = (of_source?, of_target?);
        (source.seen, target.seen) = (source_seen, target_seen);
        for (number, error) in of_target {
            wrong.entry(number).or_insert(error);
        }
        Ok(wrong)
    }
}

impl Watch {
    /// Describes those tables that weren't seen since the schema moved. The versions are asked for first, so that a change that
    /// comes in between makes them move again.
    async fn look(&self, known: &[(usize, &JobTable, &Admitted)], tries: u32) -> Result<(Wrong, Seen), CallError> {
        let node = self.cluster.one(tries);
        let versions = node.schema_versions().await?;
        let mut seen = if versions == self.seen.versions { self.seen.clone() } else { Seen::default() };
        let (side, node) = (self.cluster.side, &node);
        let unseen = known.iter().filter(|(number, ..)| !seen.tables.contains(number));
        let looks = unseen.map(|(number, table, admitted)| async move {
            let name = if side == Side::Source { &table.source } else { &table.target };
            let verdict = verdict(node, name, admitted).await?;
            if let Err(error) = &verdict
                && self.is_known_to_any(name, admitted).await
            {
                let message = format!("the nodes of the {side} don't agree about {name} yet; to one of them, {error}");
                return Err(CallError { class: Class::Unavailable, message });
            }
            Ok((*number, verdict))
        });
        let verdicts: Vec<_> =
            futures::stream::iter(looks.collect::<Vec<_>>()).buffered(super::AT_ONCE).try_collect().await?;
        let mut wrong = Wrong::new();
        for (number, verdict) in verdicts {
            match verdict {
                Ok(()) => drop(seen.tables.insert(number)),
                Err(error) => drop(wrong.insert(number, error)),
            }
        }
        seen.versions = versions;
        Ok((wrong, seen))
    }

    /// Whether any node has the table as the job knows it: one that has just joined, or lags behind the schema, hasn't. Nodes that
    /// don't answer know nothing.
    async fn is_known_to_any(&self, name: &TableName, admitted: &Admitted) -> bool {
        let looks = self
            .cluster
            .each()
            .into_iter()
            .map(|node| async move { matches!(verdict(&node, name, admitted).await, Ok(Ok(()))) });
        let looks = futures::stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(NODES_AT_ONCE);
        looks.any(std::future::ready).await
    }

    /// The tables that were truncated since the job has them. That doesn't move the schema's version.
    async fn truncated(&self, known: &[(usize, &JobTable, &Admitted)], tries: u32) -> Result<Wrong, CallError> {
        let nodes: BTreeSet<Uuid> =
            known.iter().flat_map(|(.., admitted)| admitted.target_truncations.keys().copied()).collect();
        // Nobody has told of any.
        if nodes.is_empty() {
            return Ok(Wrong::new());
        }
        let now = match self.cluster.truncations(&nodes, tries).await {
            Ok(now) => now,
            Err(error) if is_silent(&error) => return Ok(Wrong::new()),
            Err(error) => return Err(error),
        };
        let truncated = known.iter().filter_map(|(number, table, admitted)| {
            table::untruncated(&table.target, admitted, std::slice::from_ref(&now)).err().map(|error| (*number, error))
        });
        Ok(truncated.collect())
    }
}

/// Whether a table is what the job has taken in, as `cluster` describes it.
async fn verdict(
    cluster: &Cluster,
    name: &TableName,
    admitted: &Admitted,
) -> Result<Result<(), PreflightError>, CallError> {
    match Box::pin(read_table(cluster, name)).await {
        Ok(found) => Ok(table::still(cluster.side, name, admitted, found.as_ref())),
        Err(ReadError::Call(error)) => Err(error),
        Err(error) => Ok(Err(PreflightError::Schema { side: cluster.side, table: name.clone(), error })),
    }
}

fn never_paused() -> watch::Receiver<Live> {
    watch::channel(Live::default()).1
}

/// [`with_retries`], which gives up only where the job wasn't paused meanwhile: once it is continued, there is all of the patience again.
/// Nor does a stop end it at its next failure: what is finished then is to be recorded.
async fn beyond_pauses<T, F>(
    mut live: watch::Receiver<Live>,
    stop: &Stop,
    events: &Events,
    side: Side,
    patience: Patience,
    mut call: impl FnMut(u32) -> F,
) -> Result<T, GaveUp>
where
    F: Future<Output = Result<T, CallError>>,
{
    let calls = Calls::alone(events.clone(), Stop::default());
    loop {
        let was_paused = live.borrow_and_update().paused;
        let ended = tokio::select! {
            biased;
            ended = with_retries(side, patience, &calls, &mut call) => ended,
            () = stop.overdue() => return Err(GaveUp::Stopped),
        };
        match ended {
            // What was set meanwhile may have been a pause that is over.
            Err(GaveUp::Failed(error, _))
                if error.class.is_retryable() && (was_paused || live.has_changed().unwrap_or(false)) => {}
            ended => return ended,
        }
    }
}

impl Guard for TableGuard {
    async fn look(&mut self, tables: &BTreeSet<usize>, must_know: bool) -> BTreeSet<usize> {
        let before = self.findings.distrusted();
        let tables: BTreeSet<usize> = tables.difference(&before).copied().collect();
        if tables.is_empty() {
            return before;
        }
        let events = self.events.clone();
        let tell = async {
            tokio::time::sleep(TELL_AFTER).await;
            if must_know {
                events.emit(Event::Warning { message: NOT_YET.to_owned() });
            }
            std::future::pending().await
        };
        let seen = tokio::select! {
            seen = Box::pin(self.see(&tables, must_know)) => seen,
            never = tell => never,
        };
        match seen {
            Ok(wrong) => {
                if self.tables.len() > 1 {
                    for (number, error) in &wrong {
                        let (source, reason) = (self.tables[number].source.clone(), error.to_string());
                        self.events.emit(Event::TableBroken { table: *number, source, reason, hint: error.hint() });
                    }
                }
                self.findings.lock().changed.extend(wrong);
            }
            // Nothing depends on it, and the next look is near.
            Err(_) if !must_know => {}
            Err(gave_up) => {
                let why = match gave_up {
                    GaveUp::Failed(error, tries) => Some(format!("after {tries} tries: {error}")),
                    GaveUp::Stopped => None,
                };
                self.findings.lock().unseen.extend(tables.iter().map(|&number| (number, why.clone())));
            }
        }
        self.findings.distrusted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(65);

    /// Looks until the side answers, `back` after it was asked first; gives whether it did, and when that was known.
    async fn look(live: &watch::Receiver<Live>, class: Class, back: Duration) -> (bool, Duration) {
        look_until(&Stop::default(), live, class, back).await
    }

    /// The same, as long as `stop` lets it.
    async fn look_until(stop: &Stop, live: &watch::Receiver<Live>, class: Class, back: Duration) -> (bool, Duration) {
        let began = Instant::now();
        let answer = |_| async {
            if began.elapsed() < back {
                return Err(CallError { class, message: "silent".to_owned() });
            }
            Ok(())
        };
        let seen =
            beyond_pauses(live.clone(), stop, &Events::none(), Side::Target, Patience::of(PATIENCE), answer).await;
        (seen.is_ok(), began.elapsed())
    }

    fn paused(paused: bool) -> Live {
        Live { paused, ..Live::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_leaves_time_to_ask_again() {
        let stop = Stop::default();
        stop.drain(crate::shutdown::Signal::Interrupt);
        let live = never_paused();
        let (seen, took) = look_until(&stop, &live, Class::Timeout, Duration::from_secs(3)).await;
        assert!(seen && took < Duration::from_secs(9), "{seen} after {took:?}");
        let (seen, took) = look_until(&stop, &live, Class::Timeout, PATIENCE).await;
        assert!(!seen && took < Duration::from_secs(11), "{seen} after {took:?}");
        stop.now();
        let (seen, took) = look_until(&stop, &live, Class::Timeout, Duration::from_secs(3)).await;
        assert!(!seen && took.is_zero(), "{seen} after {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_does_not_end_in_a_pause() {
        let (set, live) = watch::channel(paused(false));
        let operator = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            set.send_replace(paused(true));
            tokio::time::sleep(Duration::from_secs(3600)).await;
            set.send_replace(paused(false));
            std::future::pending().await
        };
        // Back a little after the job goes on.
        let (seen, took) = tokio::select! {
            seen = look(&live, Class::Connection, Duration::from_secs(3640)) => seen,
            never = operator => never,
        };
        assert!(seen && took < Duration::from_secs(3646), "{seen} after {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_where_nobody_pauses_and_where_no_pause_helps() {
        let (set, live) = watch::channel(paused(false));
        let (seen, took) = look(&live, Class::Connection, PATIENCE * 2).await;
        assert!(!seen && took <= PATIENCE, "{seen} after {took:?}");
        // A pause of long ago.
        set.send_replace(paused(true));
        set.send_replace(paused(false));
        let (seen, took) = look(&live, Class::Connection, PATIENCE * 2).await;
        assert!(!seen && took <= PATIENCE, "{seen} after {took:?}");
        set.send_replace(paused(true));
        let (seen, took) = look(&live, Class::Unauthorized, PATIENCE * 2).await;
        assert!(!seen && took < Duration::from_secs(1), "{seen} after {took:?}");
    }
}
