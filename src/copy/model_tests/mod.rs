//! A model of everything that can happen to a copy, in any order: the real readers, splits, watermark, committer and checkpoint
//! between a source and a target of which each answer is drawn from a seed.
//!
//! A case is a table and a few runs of a job that copies it. Pages come late, short, empty or not at all; writes fail with
//! and without effect; acknowledgements come in any order; the operator pauses, sets, and stops; the process dies at any instant; the
//! guard objects. After each run, and whenever something is said to be durable, the laws are looked at from outside ([`check`]).
//! The last run meets no trouble and must end with all of it done.
//!
//! The same seed brings the same order of everything: one thread, paused time, no disk in between. [`search`] tries seeds.

pub(crate) mod case;
mod check;
pub(crate) mod search;
pub(crate) mod world;

use super::fakes::{MemorySource, MemoryTarget, Store, layout};
use super::tests::{job, rejects};
use super::{Lane, run};
use crate::blocking::inline;
use crate::checkpoint::{self, Checkpoint, CheckpointError, Committer};
use crate::engine::pace::Steering;
use crate::job::{RunCommand, RunOutcome, Tally};
use crate::row::Policy;
use crate::settings::live::Live;
use crate::settings::{Pace, Patience};
use crate::shutdown::Stop;
use case::{Case, Crash, Plan};
use search::search;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use world::{ModelGuard, ModelSource, ModelTarget, World, operate};

/// Where nothing happens for as long, nothing will ever.
const STUCK_AFTER: Duration = Duration::from_secs(900);

/// A run that takes longer on the real clock goes round in circles.
const TAKES_AT_MOST: Duration = Duration::from_secs(30);

#[test]
fn the_laws_hold_whatever_happens() {
    search::<Case>(20_000);
}

#[test]
fn the_same_seed_brings_the_same_order_of_everything() {
    for seed in 0..100 {
        let [once, again] = [(); 2].map(|()| search::try_case(&Case::of(seed)));
        assert_eq!(once, again, "seed {seed}");
    }
}

impl search::Case for Case {
    fn of(seed: u64) -> Case {
        Case::of(seed)
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn smaller(&self) -> Vec<Case> {
        self.smaller()
    }

    fn words(&self) -> String {
        self.words()
    }

    fn run(&self) -> Result<Vec<u64>, String> {
        all_runs(self)
    }
}

fn all_runs(case: &Case) -> Result<Vec<u64>, String> {
    // Where there is one, a disk in memory: it is all the same for what is tried here, and much faster.
    let in_memory = Path::new("/dev/shm");
    let folder = if in_memory.is_dir() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() };
    let folder = folder.map_err(|error| error.to_string())?;
    let path = folder.path().join("migrate.db");
    let refused = |error: CheckpointError| format!("the checkpoint: {error}");
    let reserved = checkpoint::reserve(&path).map_err(refused)?;
    let created = checkpoint::create(reserved, &job(), &[case.ranges()], checkpoint::Existing::Keep);
    let mut checkpoint = created.map_err(refused)?.0;

    let (store, mut read_again, mut below) = (Store::default(), BTreeSet::new(), BTreeSet::new());
    let mut traces = Vec::new();
    for (number, plan) in case.runs.iter().enumerate() {
        fastrand::seed(case.seed.wrapping_add(number as u64));
        let world = World::new(&case.rows, &store, crate::rejects::path(&path), plan);
        let explain = |violation: String| format!("{violation} (in run {number})");
        let copy = |live, stop| copy(case, plan, checkpoint, &world, live, stop);
        let outcome = one_run(plan, &world, copy).map_err(explain)?;
        traces.push(world.trace.lock().expect("not poisoned").finish());
        read_again.append(&mut *world.read_again.lock().expect("not poisoned"));
        checkpoint = checkpoint::open(&path).map_err(refused).map_err(explain)?;
        let now = check::after_a_run(case, &world, &read_again, &checkpoint).map_err(explain)?;
        if let Some(lost) = below.difference(&now).find(|key: &&super::fakes::Key| !read_again.contains(&key.0)) {
            return Err(explain(format!("a cursor moved back before {lost:?}")));
        }
        let is_done = checkpoint.work().map_err(refused)?.1.is_empty();
        // Of a distrusted table, a copy can end well and yet not be committed.
        if !world.is_distrusted() && outcome.is_some_and(|outcome| (outcome == RunOutcome::Done) != is_done) {
            return Err(explain(format!("it ended {outcome:?}, yet all ranges done is {is_done}")));
        }
        below = now;
    }
    if checkpoint.work().map_err(refused)?.1.is_empty() {
        Ok(traces)
    } else {
        Err(format!("ranges are left after a calm run: {:?}", checkpoint::stored::failures::<Tally>(&checkpoint)))
    }
}

/// Does `work` as long as nothing is in the way. Answers how it ended; nothing where it crashed.
pub(crate) fn one_run<F: Future<Output = Result<RunOutcome, CheckpointError>>>(
    plan: &Plan,
    world: &World,
    work: impl FnOnce(watch::Receiver<Live>, Stop) -> F,
) -> Result<Option<RunOutcome>, String> {
    search::RUNS.fetch_add(1, Ordering::Relaxed);
    thread_local!(static COMMIT_MS: Cell<u64> = const { Cell::new(0) });
    COMMIT_MS.set(plan.commit_ms);
    inline::WAIT.set(Some(|| {
        let wait = Duration::from_millis(fastrand::u64(..=COMMIT_MS.get()));
        Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        })
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let stop = Stop::default();
    let (operator, live) = watch::channel(Live::default());
    let ended = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let crash = async {
                let Some(Crash::After(ms)) = plan.crash else { return std::future::pending().await };
                tokio::time::sleep(Duration::from_millis(ms)).await;
                world.dead.store(true, Ordering::Relaxed);
            };
            tokio::select! {
                biased;
                () = crash => Ok(None),
                ended = work(live, stop.clone()) => Ok(Some(ended)),
                () = operate(plan, operator, &stop) => Ok(None),
                () = stands_still(world) => Err("nothing happens any more".to_owned()),
            }
        })
    }));
    drop(runtime);
    inline::WAIT.set(None);
    if let Some(violation) = world.violation.lock().expect("not poisoned").take() {
        return Err(violation);
    }
    match ended {
        _ if world.is_dead() => Ok(None),
        Ok(Ok(Some(Ok(outcome)))) => Ok(Some(outcome)),
        Ok(Ok(Some(Err(error)))) => Err(format!("it ended with {error}")),
        Ok(Ok(None)) => Ok(None),
        Ok(Err(violation)) => Err(violation),
        Err(panic) => Err(format!("a panic: {}", search::words(&*panic))),
    }
}

async fn stands_still(world: &World) {
    let (mut before, started) = (u64::MAX, std::time::Instant::now());
    while std::mem::replace(&mut before, world.instants()) != before && started.elapsed() < TAKES_AT_MOST {
        tokio::time::sleep(STUCK_AFTER).await;
    }
}

async fn copy(
    case: &Case,
    plan: &Plan,
    mut checkpoint: Checkpoint,
    world: &Arc<World>,
    live: watch::Receiver<Live>,
    stop: Stop,
) -> Result<RunOutcome, CheckpointError> {
    let (_, work) = checkpoint.work()?;
    checkpoint.begin_run(RunCommand::Copy, checkpoint::stored::LEVELS)?;
    let rejects = rejects(&checkpoint);
    let (from, events) = (plan.distrusted_from, world.events());
    let guard = ModelGuard { world: Arc::clone(world), from, looks: 0, takes_ms: plan.commit_ms };
    let committer = Committer::guarded(checkpoint, guard, events.clone());
    let patience = Patience::of(Duration::from_secs(plan.give_up_after_s));
    let Plan { readers, writers, memory, .. } = *plan;
    let steering = Steering { pace: Pace { readers, writers, memory, patience, ..Pace::default() }, live };
    let lanes = BTreeMap::from([(0, lane(case, plan, world))]);
    let ended = run(lanes, work, steering, committer.ledger(), rejects, events, stop).await;
    committer.finish(ended.outcome, 0, vec![]).await?;
    Ok(ended.outcome)
}

fn lane(case: &Case, plan: &Plan, world: &Arc<World>) -> Lane<ModelSource, ModelTarget> {
    let whole = MemorySource { page_rows: plan.page_rows, ..MemorySource::new(case.rows.clone()) };
    let inner = if plan.compacted {
        whole
    } else {
        MemorySource {
            tombstones: (case.tombstones.clone(), case.tombstones_max),
            timeout_above: case.timeout_above,
            can_bisect: case.can_bisect,
            ..whole
        }
    };
    let target = MemoryTarget {
        dead: Arc::<AtomicBool>::clone(&world.dead),
        poison: case.poison.clone().into_iter().collect(),
        ..MemoryTarget::new(&world.store)
    };
    let (world, calls) = (|| Arc::clone(world), AtomicU64::default);
    Lane {
        source: ModelSource { world: world(), inner, weather: plan.source.clone(), calls: calls() },
        target: ModelTarget { world: world(), inner: target, weather: plan.target.clone(), calls: calls() },
        layout: layout(),
        limits: case.limits,
        mode: case.mode,
        policy: Policy::default(),
        takes_rows: false,
    }
}
