//! The copy: both sides, the job and its checkpoint, the rows, and a last look at the tables.

use super::open::{Opened, open, policy};
use super::{Error, unseen, whole};
use crate::blocking::blocking;
use crate::checkpoint::{Checkpoint, CheckpointError, Committer};
use crate::cluster::{CqlSource, CqlTarget};
use crate::copy::{self, Ended, Lane};
use crate::engine::pace::Steering;
use crate::event::{Event, Events};
use crate::job::{JobTable, Levels, RunCommand, RunOutcome, Work};
use crate::preflight::{self, Candidate, PreflightError, ReadyTable, Sides, TableGuard};
use crate::rejects::Rejects;
use crate::row::{BatchMode, Policy};
use crate::schema::TableName;
use crate::settings::Settings;
use crate::settings::verify::VerifySettings;
use crate::shutdown::{Signal, Stop};
use crate::side::Side;
use crate::table_options::{self, OptionsError};
use crate::ui::{Mode, Ui};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// Copies, shows how it goes, and gives the exit code.
///
/// # Errors
/// What stood in the way.
pub(super) async fn command(settings: &Settings) -> Result<u8, Error> {
    let ui = Ui::start(Mode::choose(settings.json));
    let (stop, emit) = (Stop::default(), ui.events().clone());
    stop.on_signals(move |signal, draining| emit.emit(Event::Stopping { signal, draining }))
        .map_err(|error| Error::Io { what: "listen to signals", error })?;
    let result = Box::pin(copy(settings, ui.events(), &stop)).await;
    if let Err(error) = &result {
        ui.events().emit(Event::Error { message: whole(error), hint: error.hint(), exit_code: error.exit_code() });
    }
    ui.finish(result.as_ref().ok().map(|(ended, _)| ended.clone()), &stop).await;
    let (ended, options_back) = result?;
    let code = match ended.outcome {
        RunOutcome::Done if ended.rejects.is_some() || !options_back => 3,
        RunOutcome::Done => 0,
        RunOutcome::Incomplete => 3,
        RunOutcome::Stopped | RunOutcome::Error => return Ok(ended.signal.map_or(1, Signal::exit_code)),
    };
    if !settings.verify || ended.gave_up.is_some() {
        return Ok(code);
    }
    // It may have come when nothing was left to drain: whoever asks to stop doesn't want something of hours to begin.
    if stop.is_requested() {
        return Ok(stop.signal().map_or(1, Signal::exit_code));
    }
    // What wasn't copied differs, and is worth to be told as that.
    match Box::pin(super::verify::command(VerifySettings::of(settings.clone()))).await? {
        0 => Ok(code),
        worse => Ok(worse),
    }
}

/// A job that is about to be copied.
struct Begun {
    sides: Sides,
    /// By their number.
    tables: Vec<JobTable>,
    /// Whether there are tables that the job should have, and can't.
    has_misfits: bool,
    /// Of the tables that are ready, by their number.
    lanes: BTreeMap<usize, Lane<CqlSource, CqlTarget>>,
    rejects: Rejects,
    /// Whether an earlier run has rejected rows.
    has_rejected: bool,
    checkpoint: Checkpoint,
    work: Vec<Work>,
}

/// Gives how it ended, and whether the target's tables have their own options again, as far as their rows are copied.
async fn copy(settings: &Settings, events: &Events, stop: &Stop) -> Result<(Ended, bool), Error> {
    // Where nothing was begun, there is nothing to drain.
    let Begun { sides, tables, has_misfits, mut lanes, rejects, has_rejected, checkpoint, mut work } = tokio::select! {
        begun = begin(settings, events) => begun?,
        () = stop.requested() => return Err(Error::Stopped(stop.signal().unwrap_or(Signal::Interrupt))),
    };
    let targets: Vec<TableName> = tables.iter().map(|table| table.target.clone()).collect();
    if work.is_empty() {
        let options_back = release(&sides, &targets, checkpoint, events).await?;
        let outcome =
            if lanes.len() == tables.len() && !has_misfits { RunOutcome::Done } else { RunOutcome::Incomplete };
        let rejects = has_rejected.then(|| rejects.path().to_path_buf());
        let ended = Ended {
            outcome,
            failed: 0,
            unclaimed: 0,
            unfinished: BTreeSet::new(),
            rejects,
            signal: None,
            gave_up: None,
        };
        return Ok((ended, options_back));
    }
    let levels = Levels::from(settings);
    // From here on tables are altered: a signal is no reason to forget which.
    let mut checkpoint = blocking(move || {
        let mut checkpoint = checkpoint;
        checkpoint.begin_run(RunCommand::Copy, levels).map(|()| checkpoint)
    })
    .await?;
    let mut refused = Vec::new();
    if settings.manage_table_options {
        refused = engage(&sides, &targets, &work, &mut checkpoint, stop, events).await?;
        work.retain(|work| refused.iter().all(|(number, _)| *number != work.key.table));
        if work.is_empty() {
            checkpoint.end_run(RunOutcome::Error, None, 0, &reasons(&refused))?;
            release(&sides, &targets, checkpoint, events).await?;
            return Err(refused.swap_remove(0).1.into());
        }
        for (number, error) in &refused {
            lanes.remove(number);
            let (source, reason) = (tables[*number].source.clone(), error.to_string());
            events.emit(Event::TableBroken { table: *number, source, reason, hint: error.hint() });
        }
    }
    let ready: BTreeSet<usize> = lanes.keys().copied().collect();
    let all_ready = ready.len() == tables.len() && !has_misfits;
    let rejects_file = rejects.path().to_path_buf();
    let watch = checkpoint.watch()?;
    let steering = Steering { pace: settings.pace.clone(), live: watch.live() };
    let guarded = lanes.keys().map(|&number| (number, tables[number].clone())).collect();
    let guard = TableGuard::new(&sides, guarded, settings.pace.patience, events, stop).pausing(watch.live());
    let findings = guard.findings();
    let committer = Committer::guarded(checkpoint, guard, events.clone());
    let mut ended = copy::run(lanes, work, steering, committer.ledger(), rejects, events.clone(), stop.clone()).await;
    if has_rejected {
        ended.rejects = Some(rejects_file);
    }
    // With the last commit, the guard has looked for the last time.
    let mut drained = committer.drain().await?;
    drop(watch);
    let (mut changed, unseen) = (findings.take_changed(), findings.unseen());
    if !unseen.is_empty() {
        let message = unrecorded(events, findings.why_unseen(), ended.gave_up);
        events.emit(Event::Warning { message: message.clone() });
        drained = drained.because(message);
    }
    let broken = [reasons(&refused), reasons(&changed)].concat();
    // Where no table is left that can be trusted, the job has come to nothing.
    let is_lost = !changed.is_empty() && changed.len() == ready.len();
    if is_lost {
        ended.outcome = RunOutcome::Error;
    } else if ended.outcome == RunOutcome::Done && !(all_ready && changed.is_empty() && unseen.is_empty()) {
        ended.outcome = RunOutcome::Incomplete;
        // What nobody could look at, since a signal came, isn't recorded.
        if changed.is_empty() && stop.is_requested() {
            (ended.outcome, ended.signal) = (RunOutcome::Stopped, stop.signal());
        }
    }
    let retries = events.counters().retries.load(Ordering::Relaxed);
    let checkpoint = drained.end(ended.outcome, retries, broken).await?;
    let options_back = tokio::select! {
        options_back = release(&sides, &targets, checkpoint, events) => options_back?,
        // The checkpoint knows which aren't back.
        () = stop.immediate() => false,
    };
    if is_lost {
        return Err(changed.swap_remove(0).1.into());
    }
    Ok((ended, options_back))
}

/// What became of rows whose tables nobody could look at any more after they were acknowledged.
fn unrecorded(events: &Events, why: Option<String>, gave_up: Option<Side>) -> String {
    let counters = events.counters();
    let recorded = counters.committed().rows_written;
    let what = match counters.rows_written.load(Ordering::Relaxed).saturating_sub(recorded) {
        0 => "what was done last is".to_owned(),
        1 => "1 row that the target acknowledged is".to_owned(),
        rows => format!("{rows} rows that the target acknowledged are"),
    };
    format!("{what} not recorded, and will be copied again: {}", unseen(why, gave_up))
}

/// Sets back the options of tables that are done, closes the file, and says whether all of them are back.
async fn release(
    sides: &Sides,
    targets: &[TableName],
    mut checkpoint: Checkpoint,
    events: &Events,
) -> Result<bool, CheckpointError> {
    let all_back = table_options::release(&sides.target, targets, &mut checkpoint, events).await?;
    checkpoint.close()?;
    Ok(all_back)
}

/// Sets the options of the tables that have work, and gives those that can't be altered. The second signal drops whatever is
/// under way; the checkpoint knows of it.
async fn engage(
    sides: &Sides,
    targets: &[TableName],
    work: &[Work],
    checkpoint: &mut Checkpoint,
    stop: &Stop,
    events: &Events,
) -> Result<Vec<(usize, OptionsError)>, Error> {
    let with_work: BTreeSet<usize> = work.iter().map(|work| work.key.table).collect();
    let with_work = with_work.into_iter().map(|number| (number, targets[number].clone()));
    let engaged = tokio::select! {
        engaged = Box::pin(table_options::engage(&sides.target, with_work, checkpoint, stop, events)) => engaged,
        () = stop.immediate() => Ok(Vec::new()),
    };
    if engaged.is_err() {
        checkpoint.end_run(RunOutcome::Error, None, 0, &[])?;
    }
    Ok(engaged?)
}

/// Errors of tables, as the checkpoint keeps them.
fn reasons<E: std::fmt::Display>(errors: &[(usize, E)]) -> Vec<(usize, String)> {
    errors.iter().map(|(number, error)| (*number, error.to_string())).collect()
}

fn broken_event(number: usize, table: &JobTable, error: &PreflightError) -> Event {
    let (source, reason) = (table.source.clone(), error.to_string());
    Event::TableBroken { table: number, source, reason, hint: error.hint() }
}

/// Everything before the first row: both sides, the job, its checkpoint, and what is left to do.
async fn begin(settings: &Settings, events: &Events) -> Result<Begun, Error> {
    let look = async |sides: &Sides, known| preflight::look(sides, settings, known, events).await;
    let Opened { sides, tables, candidates, has_misfits, checkpoint } =
        open(settings, settings.restart, look, events).await?;
    let (checkpoint, found, work) =
        blocking(move || checkpoint.work().map(|(found, work)| (checkpoint, found, work))).await?;
    let has_rejected = found.tally.rows_rejected > 0;
    let created_at = checkpoint.created_at()?;
    let takes_rows: Vec<bool> = found.tables.iter().map(|table| table.rows_written > 0).collect();
    events.emit(Event::from(found));
    for message in Levels::from(settings).shortfalls(&checkpoint.copied_at()?) {
        events.emit(Event::Warning { message });
    }
    let ready = candidates.iter().enumerate();
    let ready = ready.filter_map(|(number, candidate)| {
        candidate.verdict.as_ref().ok().map(|ready| (number, (&ready.source, &ready.target.name)))
    });
    let rejects = Rejects::beside(checkpoint.path(), ready);
    let policy = policy(settings, &sides, created_at, events).await;
    let mut lanes = BTreeMap::new();
    for (number, Candidate { table, verdict }) in candidates.into_iter().enumerate() {
        match verdict {
            Ok(ready) => drop(lanes.insert(number, lane(settings, policy, *ready, takes_rows[number]))),
            Err(error) => events.emit(broken_event(number, &table, &error)),
        }
    }
    Ok(Begun { sides, tables, has_misfits, lanes, rejects, has_rejected, checkpoint, work })
}

fn lane(settings: &Settings, policy: Policy, table: ReadyTable, takes_rows: bool) -> Lane<CqlSource, CqlTarget> {
    // Counters are read and written row by row.
    let mode = if table.layout.has_counters() { BatchMode::None } else { settings.batch };
    Lane {
        layout: table.layout,
        limits: table.writer.limits(),
        mode,
        policy,
        takes_rows,
        source: table.reader,
        target: table.writer,
    }
}
