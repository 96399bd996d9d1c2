//! The guard of a running copy: notices that a table was altered, dropped and created again, or truncated at the target,
//! before anything that this may have spoiled is committed.
//!
//! A look costs a few small queries. Only where the nodes' schema versions moved since the last one, tables are described anew.

use super::error::PreflightError;
use super::{Sides, table};
use crate::call::CallError;
use crate::checkpoint::Guard;
use crate::cluster::Cluster;
use crate::cluster::changes::{SchemaVersions, is_silent};
use crate::engine::retry::{GaveUp, with_retries};
use crate::engine::standstill::Calls;
use crate::event::{Event, Events};
use crate::job::{Admitted, JobTable};
use crate::schema::read::{ReadError, read_table};
use crate::settings::Patience;
use crate::shutdown::Stop;
use crate::side::Side;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Looks at the tables of a job while they are copied.
#[derive(Debug)]
pub struct TableGuard {
    source: Watch,
    target: Watch,
    tables: BTreeMap<usize, JobTable>,
    patience: Patience,
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
            events: events.clone(),
            stop: stop.clone(),
            findings: Findings::default(),
        }
    }

    /// What it has found, as it finds it.
    pub fn findings(&self) -> Findings {
        self.findings.clone()
    }

    /// Looks at both sides, for as long as `patience` has it.
    async fn see(&mut self, numbers: &BTreeSet<usize>, patience: Patience) -> Result<Wrong, GaveUp> {
        let TableGuard { source, target, tables, events, stop, .. } = self;
        let known: Vec<(usize, &JobTable, &Admitted)> = numbers
            .iter()
            .filter_map(|number| tables.get_key_value(number))
            .filter_map(|(number, table)| Some((*number, table, table.admitted.as_ref()?)))
            .collect();
        let (known, looker, target_side) = (known.as_slice(), &*source, &*target);
        let calls = Calls::alone(events.clone(), stop.clone());
        let (of_source, of_target) = tokio::join!(
            with_retries(Side::Source, patience, &calls, |tries| looker.look(known, tries)),
            with_retries(Side::Target, patience, &calls, |tries| async move {
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
        let versions = self.cluster.schema_versions(tries).await?;
        let mut seen = if versions == self.seen.versions { self.seen.clone() } else { Seen::default() };
        let side = self.cluster.side;
        let unseen = known.iter().filter(|(number, ..)| !seen.tables.contains(number));
        let looks = unseen.map(|(number, table, admitted)| async move {
            let name = if side == Side::Source { &table.source } else { &table.target };
            let verdict = match Box::pin(read_table(&self.cluster, name)).await {
                Ok(found) => table::still(side, name, admitted, found.as_ref()),
                Err(ReadError::Call(error)) => return Err(error),
                Err(error) => Err(PreflightError::Schema { side, table: name.clone(), error }),
            };
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

impl Guard for TableGuard {
    async fn look(&mut self, tables: &BTreeSet<usize>, must_know: bool) -> BTreeSet<usize> {
        let before = self.findings.distrusted();
        let tables: BTreeSet<usize> = tables.difference(&before).copied().collect();
        if tables.is_empty() {
            return before;
        }
        // Longer than the copy waits: where nothing gets through, it is the copy that gives up.
        let whole = self.patience.give_up_after.saturating_add(Duration::from_secs(60));
        let patience = if must_know { Patience::of(whole) } else { Patience::of(Duration::ZERO) };
        let stop = self.stop.clone();
        let seen = tokio::select! {
            seen = Box::pin(self.see(&tables, patience)) => seen,
            () = stop.immediate() => Err(GaveUp::Stopped),
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
