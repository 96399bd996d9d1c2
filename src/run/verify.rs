//! The verification: both sides, the job and its checkpoint, what of the ring is compared, and the passes over it.

use super::open::{Opened, open, policy};
use super::{Error, choice, unseen, whole};
use crate::blocking::blocking;
use crate::checkpoint::{self, Checkpoint, CheckpointError, Committer, Hold, beside, note_marker_inferred};
use crate::clock::unix_ms;
use crate::cluster::{CqlSource, CqlTarget};
use crate::copy::Answers;
use crate::engine::pace::Steering;
use crate::event::{Event, Events};
use crate::job::{JobTable, Levels, RunCommand, RunOutcome, Verdict};
use crate::json_lines::JsonLines;
use crate::preflight::{self, Candidate, ReadyPair, Sides, TableGuard};
use crate::rejects::Rejects;
use crate::ring::Token;
use crate::row::Policy;
use crate::schema::order::ValueOrder;
use crate::schema::{Column, CqlType, Table, TableName};
use crate::settings::verify::VerifySettings;
use crate::shutdown::Stop;
use crate::ui::ask::may_delete;
use crate::ui::{Mode, Ui};
use crate::verify::compare::Rules;
use crate::verify::ended::{PassEnded, VerificationBegun, VerifyEnded};
use crate::verify::line::LineTable;
use crate::verify::report::Report;
use crate::verify::{self, Conduct, KeyOrders, Mending, Pair};
use crate::{plan, table_options};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Compares, shows how it goes, and gives the exit code.
///
/// # Errors
/// What stood in the way.
pub(super) async fn command(settings: VerifySettings) -> Result<u8, Error> {
    let ui = Ui::start(Mode::choose(settings.job.json));
    let (stop, emit) = (Stop::default(), ui.events().clone());
    stop.on_signals(move |signal, draining| emit.emit(Event::Stopping { signal, draining }))
        .map_err(|error| Error::Io { what: "listen to signals", error })?;
    let result = Box::pin(verify(&settings, ui.events(), &stop)).await;
    if let Err(error) = &result {
        ui.events().emit(Event::Error { message: whole(error), hint: error.hint(), exit_code: error.exit_code() });
    }
    ui.finish(result.as_ref().ok().cloned(), &stop).await;
    Ok(result?.exit_code())
}

/// A verification that is about to go on.
struct Begun {
    sides: Sides,
    /// By their number.
    tables: Vec<JobTable>,
    has_misfits: bool,
    /// Of the tables that are ready, by their number.
    pairs: BTreeMap<usize, Arc<Pair<CqlSource, CqlTarget>>>,
    report: Report,
    file: PathBuf,
    /// As the source describes them, by their number.
    sources: BTreeMap<usize, Table>,
    seed: u64,
    /// The keys of partitions that were named, as they were typed, by table and token.
    partitions: BTreeMap<(usize, Token), String>,
    checkpoint: Checkpoint,
    /// The folder of a checkpoint that nobody needs later, and what identifies the job that has to know what is written.
    scratch: Option<(TempDir, Vec<(&'static str, String)>)>,
    /// Keeps others from the job, where two would write the same twice.
    _hold: Option<Hold>,
}

/// Between two passes of `--follow`.
const PAUSE: Duration = Duration::from_secs(10);

/// Compares both sides, in as many passes as are wanted, and gives how the last one ended.
async fn verify(settings: &VerifySettings, events: &Events, stop: &Stop) -> Result<VerifyEnded, Error> {
    let mut begun = tokio::select! {
        begun = begin(settings, events) => begun?,
        () = stop.requested() => return Err(Error::Stopped(stop.signal().unwrap_or(crate::shutdown::Signal::Interrupt))),
    };
    let mut passes = 0;
    let mut is_second_look = false;
    loop {
        let started = Instant::now();
        let ended;
        (begun, ended) = Box::pin(one_pass(settings, begun, events, stop)).await?;
        passes += 1;
        let goes_on = matches!(ended.outcome, RunOutcome::Done | RunOutcome::Incomplete) && ended.gave_up.is_none();
        if !settings.follow || !goes_on || stop.is_requested() {
            let Begun { checkpoint, .. } = begun;
            checkpoint.close()?;
            return Ok(ended);
        }
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pass = pass_ended(&begun, &ended)?;
        events.emit(Event::PassDone { pass: passes, took_ms, ended: pass, verdict: ended.verdict });
        // Whoever watches doesn't want all that both clusters can answer.
        tokio::select! {
            () = stop.requested() => {
                // What this pass has found is the last that is known, and stays.
                begun.checkpoint.close()?;
                return Ok(VerifyEnded { outcome: RunOutcome::Stopped, signal: stop.signal(), ..ended });
            }
            () = tokio::time::sleep(PAUSE.max(settings.recheck_after)) => {}
        }
        // What differed first, once: it may have been mended meanwhile. Then everything.
        is_second_look = !is_second_look && begun.checkpoint.reopen_different()? > 0;
        if !is_second_look {
            begun = begin_anew(settings, begun).await?;
        }
    }
}

/// What a pass tells beside its verdict.
fn pass_ended(begun: &Begun, ended: &VerifyEnded) -> Result<PassEnded, Error> {
    let latest = begun.checkpoint.verification()?;
    let broken = begun.tables.iter().enumerate().filter(|(number, _)| !begun.pairs.contains_key(number));
    Ok(PassEnded {
        conclusion: ended.conclusion(),
        all_compared: ended.all_compared(),
        ranges_left_out: latest.map_or(0, |latest| latest.ranges - latest.ranges_done),
        tables_left_out: broken.map(|(_, table)| table.source.clone()).collect(),
    })
}

/// Everything before the first row.
async fn begin(settings: &VerifySettings, events: &Events) -> Result<Begun, Error> {
    // Some partitions are compared at once, beside whatever goes on with the job's own checkpoint.
    let scratch = if settings.partitions.is_empty() {
        None
    } else {
        Some(tempfile::tempdir().map_err(|error| Error::Io { what: "make a folder for what is compared", error })?)
    };
    let mut job = settings.job.clone();
    if let Some(scratch) = &scratch {
        job.checkpoint = scratch.path().join("partitions.db");
    }
    let file = settings.differences_file();
    let mends = settings.repair || settings.delete_extra;
    let look = async |sides: &Sides, known| preflight::look_at_pairs(sides, &job, known, mends, events).await;
    // `--restart` begins the verification anew: what the copy has done stays.
    let Opened { sides, tables, candidates, has_misfits, checkpoint } = open(&job, false, look, events).await?;
    // What decides how rows are written is the job's, also where its checkpoint isn't touched.
    let scratch = scratch.map(|folder| (folder, plan::row_identity(&job, &sides)));
    let (identity, job_file) =
        (scratch.as_ref().map(|(_, identity)| identity.clone()), settings.job.checkpoint.clone());
    // What the checkpoint itself knows of inferred markers, each pass asks.
    let (checkpoint, created_at, infers_markers) = blocking(move || {
        let known = identity.map(|identity| beside(&job_file, &identity)).transpose()?.flatten();
        let (created_at, any_inferred) = match known {
            Some(job) => (job.created_at, job.any_marker_inferred),
            None => (checkpoint.created_at()?, false),
        };
        Ok::<_, CheckpointError>((checkpoint, created_at, any_inferred))
    })
    .await?;
    let policy = policy(&job, &sides, created_at, events).await;
    let ready = candidates.iter().enumerate().filter_map(|(number, candidate)| {
        let ready = candidate.verdict.as_ref().ok()?;
        Some((number, (&ready.source, &ready.target.name)))
    });
    let rejects = Rejects::beside(&settings.job.checkpoint, ready.clone());
    let lines = ready.map(|(number, (source, target))| (number, LineTable::new(source, target))).collect();
    let (mut pairs, mut sources) = (BTreeMap::new(), BTreeMap::new());
    for (number, Candidate { table, verdict }) in candidates.into_iter().enumerate() {
        match verdict {
            Ok(ready) => {
                sources.insert(number, ready.source.clone());
                pairs.insert(number, Arc::new(pair(settings, policy, infers_markers, &rejects, *ready)));
            }
            Err(error) => {
                let (source, reason) = (table.source, error.to_string());
                events.emit(Event::TableBroken { table: number, source, reason, hint: error.hint() });
            }
        }
    }
    let reads_back = |pair: &Arc<Pair<CqlSource, CqlTarget>>| {
        pair.mending.as_ref().is_some_and(|mending| mending.writer.reads_back())
    };
    let hold = if scratch.is_some() && pairs.values().any(reads_back) {
        let file = settings.job.checkpoint.clone();
        Some(blocking(move || checkpoint::hold(&file)).await?)
    } else {
        None
    };
    if settings.repair {
        let targets = pairs.keys().map(|&number| &tables[number].target);
        table_options::warn(&sides.target, targets, false, events).await;
    }
    let report = Report::new(JsonLines::at(&file), lines);
    // A pipe is waited for until somebody reads it.
    let probed = report.clone();
    blocking(move || probed.probe()).await?;
    let mut begun = Begun {
        sides,
        tables,
        has_misfits,
        pairs,
        sources,
        report,
        file,
        seed: settings.seed.unwrap_or_else(|| fastrand::u64(..)),
        partitions: BTreeMap::new(),
        checkpoint,
        scratch,
        _hold: hold,
    };
    if settings.delete_extra && !settings.yes {
        let targets: Vec<TableName> = begun.pairs.keys().map(|&number| begun.tables[number].target.clone()).collect();
        if !may_delete(events, &begun.sides.target.info.name, &targets).await {
            return Err(Error::Declined);
        }
    }
    if !goes_on(settings, &mut begun, events)? {
        // Verifications of partitions may go on side by side: each adds to what there is.
        let is_shared = !settings.partitions.is_empty() && settings.differences.is_none();
        if !is_shared && let Some(aside) = begun.report.set_aside()? {
            let message = format!("the differences of an earlier verification are now in {}", aside.display());
            events.emit(Event::Note { message });
        }
        begun = begin_anew(settings, begun).await?;
    }
    Ok(begun)
}

fn pair(
    settings: &VerifySettings,
    policy: Policy,
    infers_markers: bool,
    rejects: &Rejects,
    table: ReadyPair,
) -> Pair<CqlSource, CqlTarget> {
    let mending = table.writer.map(|writer| Mending {
        limits: writer.limits(),
        writer,
        policy,
        rejects: rejects.clone(),
        repairs: settings.repair,
        deletes: settings.delete_extra,
        // What is refused is told with its row.
        answers: Answers::of_table(true),
        doubtful: Mutex::default(),
    });
    Pair {
        source: table.source_reader,
        target: table.target_reader,
        source_layout: table.source_layout,
        target_layout: table.target_layout,
        order: table.order,
        key_orders: key_orders(&table.source),
        rules: Rules { expiry_tolerance: settings.expiry_tolerance, policy },
        infers_markers: infers_markers.into(),
        mending,
    }
}

fn key_orders(table: &Table) -> KeyOrders {
    let columns = table.value_columns().into_iter().enumerate();
    let order = |(value, column): (usize, &Column)| match &column.cql_type {
        CqlType::Collection(name, inner) if name != "list" => Some((value, inner.first().and_then(ValueOrder::of))),
        _ => None,
    };
    columns.filter_map(order).collect()
}

/// Whether the latest verification is this one, and there is something left of it: ranges that nobody has compared, or, where they
/// are to be mended, some with differences. None goes on that was begun before rows were copied: what they were lacking would
/// still count as missing.
///
/// # Errors
/// Where there is something left of one that compares something else.
fn goes_on(settings: &VerifySettings, begun: &mut Begun, events: &Events) -> Result<bool, Error> {
    let Some(latest) = begun.checkpoint.verification()?.filter(|_| !settings.job.restart) else { return Ok(false) };
    let is_begun = !latest.is_finished() && latest.ranges_done > 0;
    if !latest.is_finished() && begun.checkpoint.copied_since_verified()? {
        if is_begun {
            let message = format!(
                "rows were copied since the unfinished verification ({} of {} ranges are compared), which is begun anew",
                latest.ranges_done, latest.ranges
            );
            events.emit(Event::Warning { message });
        }
        return Ok(false);
    }
    let mut known = latest.parameters.clone();
    let seed = known.remove("seed").and_then(|seed| seed.parse().ok());
    let is_same_seed = settings.seed.is_none() || settings.seed == seed;
    if known != choice::parameters(settings) || !is_same_seed {
        if is_begun {
            let (done, of) = (latest.ranges_done, latest.ranges);
            let parameters = latest.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            return Err(Error::OtherVerification { done, of, parameters });
        }
        return Ok(false);
    }
    if begun.pairs.keys().any(|table| !latest.tables.contains(table)) {
        if is_begun {
            let message = "the job has more tables than its unfinished verification, which is begun anew".to_owned();
            events.emit(Event::Warning { message });
        }
        return Ok(false);
    }
    let mends = settings.repair || settings.delete_extra;
    // What was found before is to be mended, too.
    let goes_on = (mends && begun.checkpoint.reopen_different()? > 0) | !latest.is_finished();
    begun.seed = seed.filter(|_| goes_on).unwrap_or(begun.seed);
    Ok(goes_on)
}

/// Begins another verification, of as many ranges as it takes.
async fn begin_anew(settings: &VerifySettings, mut begun: Begun) -> Result<Begun, Error> {
    let settings = settings.clone();
    blocking(move || {
        let mut copied = begun.checkpoint.copy_ranges()?;
        let mut ranges = BTreeMap::new();
        for (&number, source) in &begun.sources {
            let copied = copied.remove(&number).unwrap_or_default();
            let compared = choice::compared(&settings, source, copied, begun.seed)?;
            begun.partitions.extend(compared.partitions.into_iter().map(|(token, key)| ((number, token), key)));
            ranges.insert(number, compared.ranges);
        }
        let mut parameters = choice::parameters(&settings);
        if settings.sample.is_some() {
            parameters.insert("seed".to_owned(), begun.seed.to_string());
        }
        begun.checkpoint.begin_verification(&parameters, &ranges)?;
        Ok(begun)
    })
    .await
}

/// Compares what is left of a verification.
async fn one_pass(
    settings: &VerifySettings,
    mut begun: Begun,
    events: &Events,
    stop: &Stop,
) -> Result<(Begun, VerifyEnded), Error> {
    let Begun { sides, tables, has_misfits, mut pairs, report, file, mut checkpoint, .. } = begun;
    let levels = Levels::from(&settings.job);
    let began_ms = unix_ms();
    let (checkpoint, (found, work), verification, any_inferred) = blocking(move || {
        checkpoint.begin_run(RunCommand::Verify, levels)?;
        let (work, verification) = (checkpoint.verification_work()?, checkpoint.verification()?);
        let any_inferred = checkpoint.any_marker_inferred()?;
        Ok::<_, CheckpointError>((checkpoint, work, verification, any_inferred))
    })
    .await?;
    for pair in pairs.values().filter(|_| any_inferred) {
        pair.infers_markers.store(true, Ordering::Relaxed);
    }
    let (id, started_at) = verification.map(|latest| (latest.id, latest.started_at)).unwrap_or_default();
    let seed = Some(begun.seed);
    *events.counters().verdict() = found.verdict;
    let told = VerificationBegun::new(settings, id, seed, begun.partitions.len(), file.clone(), found);
    events.emit(Event::VerificationBegun(Box::new(told)));

    let conduct = Conduct {
        recheck_after: settings.recheck_after,
        began_at: began_ms.saturating_mul(1000),
        report: report.of(id, started_at),
    };
    let watch = checkpoint.watch()?;
    let steering = Steering { pace: settings.job.pace.clone(), live: watch.live() };
    // A table that was truncated has rows missing, and that is what is looked for.
    let guarded = pairs.keys().map(|&number| (number, tables[number].clone().without_truncations())).collect();
    let guard = TableGuard::new(&sides, guarded, settings.job.pace.patience, events, stop).pausing(watch.live());
    let findings = guard.findings();
    let committer = Committer::<Verdict>::guarded(checkpoint, guard, events.clone());
    let ended = verify::run(&pairs, work, &conduct, steering, committer.ledger(), events.clone(), stop.clone()).await;
    // With the last commit, the guard has looked for the last time.
    let mut drained = committer.drain().await?;
    drop(watch);
    let (mut changed, is_unseen) = (findings.take_changed(), !findings.unseen().is_empty());
    if is_unseen {
        let why = unseen(findings.why_unseen(), ended.gave_up);
        let message = format!("what was compared last is not recorded, and will be compared again: {why}");
        events.emit(Event::Warning { message: message.clone() });
        drained = drained.because(message);
    }
    let all_ready = pairs.len() == tables.len() && !has_misfits;
    let is_lost = !changed.is_empty() && changed.len() == pairs.len();
    let untold = report.take_failure();
    let mut outcome = ended.outcome;
    if is_lost || untold.is_some() {
        outcome = RunOutcome::Error;
    } else if outcome == RunOutcome::Done && !(all_ready && changed.is_empty() && !is_unseen) {
        outcome = RunOutcome::Incomplete;
    }
    let broken = changed.iter().map(|(number, error)| (*number, error.to_string())).collect();
    // No later pass compares them, or is whole without.
    for (number, _) in &changed {
        pairs.remove(number);
        begun.sources.remove(number);
    }
    let retries = events.counters().retries.load(Ordering::Relaxed);
    let mut checkpoint = drained.end(outcome, retries, broken).await?;
    checkpoint.end_verification(outcome)?;
    if let Some((_, identity)) = &begun.scratch {
        tell_job(settings, identity, &checkpoint, events).await?;
    }
    if is_lost {
        return Err(changed.swap_remove(0).1.into());
    }
    if let Some(error) = untold {
        return Err(error.into());
    }
    if outcome == RunOutcome::Done && tell_empty(&begun.partitions, &tables, &checkpoint, events)? {
        outcome = RunOutcome::Incomplete;
    }
    let verdict = checkpoint.verification()?.map(|latest| latest.verdict).unwrap_or_default();
    let told = VerifyEnded {
        outcome,
        verdict,
        failed: ended.failed,
        unclaimed: ended.unclaimed,
        signal: ended.signal,
        gave_up: ended.gave_up,
        // Lines of an earlier run are of the same verification, but where partitions are named.
        differences: (file.exists() && (report.has_told() || settings.partitions.is_empty())).then(|| file.clone()),
    };
    Ok((Begun { sides, tables, pairs, report, file, checkpoint, ..begun }, told))
}

/// Tells the job what verifications of it have to know of rows that were written beside its checkpoint.
async fn tell_job(
    settings: &VerifySettings,
    identity: &[(&'static str, String)],
    checkpoint: &Checkpoint,
    events: &Events,
) -> Result<(), Error> {
    let tables = checkpoint.repaired_with_inferred_markers()?;
    if tables.is_empty() {
        return Ok(());
    }
    let (file, identity) = (settings.job.checkpoint.clone(), identity.to_vec());
    if let Err(error) = blocking(move || note_marker_inferred(&file, &identity, &tables)).await {
        let message = format!(
            "the job doesn't know that row markers were inferred: once all cells of such a row are gone, it may be told as extra ({error})"
        );
        events.emit(Event::Warning { message });
    }
    Ok(())
}

/// Tells which of the partitions that were named have no row at either side, and whether that is true of all of them: then nothing
/// was compared.
fn tell_empty(
    partitions: &BTreeMap<(usize, Token), String>,
    tables: &[JobTable],
    checkpoint: &Checkpoint,
    events: &Events,
) -> Result<bool, Error> {
    if partitions.is_empty() {
        return Ok(false);
    }
    let empty = checkpoint.ranges_without_rows()?;
    let empty: Vec<_> =
        empty.into_iter().filter_map(|key| partitions.get_key_value(&(key.table, key.range.first()))).collect();
    for ((table, _), key) in &empty {
        let table = &tables[*table].source;
        events.emit(Event::Warning { message: format!("{table} has no row of the partition `{key}`, at either side") });
    }
    Ok(empty.len() == partitions.len())
}
