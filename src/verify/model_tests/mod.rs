//! A model of everything that can happen to a verification, in any order, as there is one of the copy: the real streams, merge,
//! rechecks, mending, watermark, committer and checkpoint between two sides of which each answer is drawn from a seed.
//!
//! A case is a table at both sides, with rows that differ in each way that these can show, and a few runs of a verification. Each side
//! has a weather and tombstones of its own, so that ranges are split, sliced and given up at different places; pages come late, short,
//! empty; the operator pauses, sets, and stops; the process dies at any instant; applications write to one side after the other. After
//! each run the laws are looked at from outside ([`check`]), by what both tables say ([`spec`]).
//! The last run meets no trouble and must end with all of it compared.

mod case;
mod check;
mod spec;
mod world;

use super::compare::Rules;
use super::line::LineTable;
use super::report::Report;
use super::{Conduct, Mending, Pair, run};
use crate::checkpoint::{self, Checkpoint, CheckpointError, Committer};
use crate::clock::{Clock, unix_ms};
use crate::copy::Answers;
use crate::copy::fakes::{MemorySource, MemoryTarget, Rows, Store};
use crate::copy::model_tests::case::{Act, Plan, Weather};
use crate::copy::model_tests::one_run;
use crate::copy::model_tests::search::{self, search};
use crate::copy::model_tests::world::{ModelGuard, ModelTarget, World};
use crate::copy::tests::{job, rejects};
use crate::engine::pace::Steering;
use crate::job::{RunCommand, RunOutcome, Verdict};
use crate::json_lines::JsonLines;
use crate::row::layout::{Part, Shape};
use crate::row::{Layout, Policy};
use crate::schema::TableName;
use crate::schema::order::RowOrder;
use crate::schema::tests::table;
use crate::settings::live::Live;
use crate::settings::{Pace, Patience};
use crate::shutdown::Stop;
use crate::side::Side;
use case::Case;
use check::Book;
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use world::{Applications, ModelSide, Sides};

#[test]
fn the_laws_hold_whatever_happens() {
    search::<Case>(3_000);
}

#[test]
fn the_same_seed_brings_the_same_order_of_everything() {
    // Who of several goes on first after a pause is left to chance by tokio.
    let pauses =
        |case: &Case| case.source.runs.iter().flat_map(|plan| &plan.acts).any(|act| matches!(act.1, Act::Pause));
    let cases = (0..60).map(<Case as search::Case>::of).filter(|case| !pauses(case));
    for case in cases {
        let seed = case.source.seed;
        let [once, again] = [(); 2].map(|()| search::try_case(&case));
        assert_eq!(once, again, "seed {seed}");
    }
}

/// All that is to be known of the table.
struct Known {
    order: RowOrder,
    line: LineTable,
}

fn all_runs(case: &Case) -> Result<Vec<u64>, String> {
    // Where there is one, a disk in memory: it is all the same for what is tried here, and much faster.
    let in_memory = Path::new("/dev/shm");
    let folder = if in_memory.is_dir() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() };
    let folder = folder.map_err(|error| error.to_string())?;
    let (path, file) = (folder.path().join("migrate.db"), folder.path().join("differences.jsonl"));
    let refused = |error: CheckpointError| format!("the checkpoint: {error}");
    let reserved = checkpoint::reserve(&path).map_err(refused)?;
    let ranges = case.source.ranges();
    let created = checkpoint::create(reserved, &job(), std::slice::from_ref(&ranges), checkpoint::Existing::Keep);
    let mut checkpoint = created.map_err(refused)?.0;
    let compared = ranges.into_iter().map(|range| (range, true)).collect();
    checkpoint.begin_verification(&BTreeMap::new(), &BTreeMap::from([(0, compared)])).map_err(refused)?;

    let of_fakes = table(&[
        ("k", "pk0 blob"),
        ("c", "ck0 blob"),
        ("a", "blob"),
        ("b", if case.has_statics { "static blob" } else { "blob" }),
    ]);
    let name = TableName { keyspace: "ks".to_owned(), table: "t".to_owned() };
    let order = RowOrder::of(&of_fakes).map_err(|error| error.to_string())?;
    let known = Known { order, line: LineTable::new(&of_fakes, &name) };
    let now = unix_ms() / 1000;
    let sides = Sides::of(case, now);
    let mut book = Book::new(case, now);
    let mut traces = Vec::new();
    let mut work = Vec::new();
    for (number, plan) in case.source.runs.iter().enumerate() {
        fastrand::seed(case.source.seed.wrapping_add(number as u64));
        let world = World::new(&Rows::new(), &sides.target, crate::rejects::path(&path), plan);
        let explain = |violation: String| format!("{violation} (in run {number})");
        book.before_a_run(&sides);
        let applications = Applications::new(case, number, &sides, now);
        let report = Report::new(JsonLines::at(&file), BTreeMap::from([(0, known.line.clone())]));
        let verify = async |live, stop| {
            tokio::select! {
                biased;
                () = applications.write() => unreachable!("it never ends"),
                ended = verify(case, plan, checkpoint, &world, (&sides, &known), report, live, stop) => ended,
            }
        };
        let outcome = one_run(plan, &world, verify).map_err(explain)?;
        applications.finish();
        traces.push(world.trace.lock().expect("not poisoned").finish());
        checkpoint = checkpoint::open(&path).map_err(refused).map_err(explain)?;
        work = book.after_a_run(&sides, &checkpoint, &file).map_err(explain)?;
        // Of a distrusted table, a run can end well and yet not be committed.
        if !world.is_distrusted() && outcome.is_some_and(|outcome| (outcome == RunOutcome::Done) != work.is_empty()) {
            return Err(explain(format!("it ended {outcome:?}, and {} ranges are left", work.len())));
        }
        if case.reopens && number + 2 < case.source.runs.len() {
            checkpoint.reopen_different().map_err(refused).map_err(explain)?;
            work = checkpoint.verification_work().map_err(refused)?.1;
        }
        if case.drifts {
            book.drift(&sides, &work);
        }
    }
    if work.is_empty() {
        Ok(traces)
    } else {
        Err(format!("ranges are left after a calm run: {:?}", checkpoint::stored::failures::<Verdict>(&checkpoint)))
    }
}

#[expect(clippy::too_many_arguments, reason = "one for each that has a part in it")]
async fn verify(
    case: &Case,
    plan: &Plan,
    mut checkpoint: Checkpoint,
    world: &Arc<World>,
    (sides, known): (&Sides, &Known),
    report: Report,
    live: watch::Receiver<Live>,
    stop: Stop,
) -> Result<RunOutcome, CheckpointError> {
    let (_, work) = checkpoint.verification_work()?;
    checkpoint.begin_run(RunCommand::Verify, checkpoint::stored::LEVELS)?;
    let pair = pair(case, plan, &checkpoint, world, (sides, known));
    let (from, events) = (plan.distrusted_from, world.events());
    let guard = ModelGuard { world: Arc::clone(world), from, looks: 0, takes_ms: plan.commit_ms };
    let committer = Committer::<Verdict>::guarded(checkpoint, guard, events.clone());
    let patience = Patience::of(Duration::from_secs(plan.give_up_after_s));
    let Plan { readers, writers, memory, .. } = *plan;
    let steering = Steering { pace: Pace { readers, writers, memory, patience, ..Pace::default() }, live };
    let recheck_after = Duration::from_millis(case.recheck_ms);
    let conduct = Conduct { recheck_after, began_at: i64::MAX, report };
    let pairs = BTreeMap::from([(0, Arc::new(pair))]);
    let ended = run(&pairs, work, &conduct, steering, committer.ledger(), events, stop).await;
    let mut checkpoint = committer.drain().await?.end(ended.outcome, 0, vec![]).await?;
    checkpoint.end_verification(ended.outcome)?;
    Ok(ended.outcome)
}

fn pair(
    case: &Case,
    plan: &Plan,
    checkpoint: &Checkpoint,
    world: &Arc<World>,
    (sides, known): (&Sides, &Known),
) -> Pair<ModelSide, ModelTarget> {
    let [source, target] =
        [Side::Source, Side::Target].map(|side| [false, true].map(|behind| troubles(case, plan, side, behind)));
    let second = if case.has_statics { Part::Static } else { Part::Regular };
    let values = [Part::Regular, second].map(|part| (part, Shape::Cell, true));
    let layout = Arc::new(Layout::new(1, 1, values.to_vec()));
    let clock = Clock::start();
    let side = |store: &Store, [inner, from_behind]: [MemorySource; 2], weather: &Weather| ModelSide {
        world: Arc::clone(world),
        store: store.clone(),
        inner,
        from_behind,
        weather: weather.clone(),
        calls: AtomicU64::default(),
        clock,
    };
    let policy = Policy { timestamp_max: case.timestamp_max, ..Policy::default() };
    let mending = (case.repairs || case.deletes).then(|| Mending {
        writer: ModelTarget {
            world: Arc::clone(world),
            inner: MemoryTarget { dead: Arc::clone(&world.dead), ..MemoryTarget::new(&sides.target) },
            weather: plan.target.clone(),
            calls: AtomicU64::default(),
        },
        limits: case.source.limits,
        policy,
        rejects: rejects(checkpoint),
        repairs: case.repairs,
        deletes: case.deletes,
        answers: Answers::of_table(true),
        doubtful: Mutex::default(),
    });
    Pair {
        source: side(&sides.source, source, &plan.source),
        target: side(&sides.target, target, &plan.target),
        source_layout: Arc::clone(&layout),
        target_layout: layout,
        key_orders: crate::verify::KeyOrders::new(),
        infers_markers: true.into(),
        order: known.order.clone(),
        rules: Rules { expiry_tolerance: spec::TOLERANCE, policy },
        mending,
    }
}

/// What stands in the way of reads of a side.
fn troubles(case: &Case, plan: &Plan, side: Side, from_behind: bool) -> MemorySource {
    let whole =
        MemorySource { page_rows: plan.page_rows, has_statics: case.has_statics, ..MemorySource::new(Rows::new()) };
    if plan.compacted {
        return whole;
    }
    let (tombstones, timeout_above, can_bisect) = match side {
        Side::Source => {
            let of = &case.source;
            ((&of.tombstones, of.tombstones_max), of.timeout_above, of.can_bisect)
        }
        Side::Target => ((&case.tombstones, case.tombstones_max), case.timeout_above, case.can_bisect),
    };
    let is_clear = from_behind && case.is_clear_behind;
    let tombstones = if is_clear { whole.tombstones } else { (tombstones.0.clone(), tombstones.1) };
    MemorySource { tombstones, timeout_above, can_bisect, ..whole }
}
