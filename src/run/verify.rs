//! The verification: both sides, the job and its checkpoint, what of the ring is compared, and the passes over it.

use super::open::{Opened, open, policy};
use super::{Error, whole};
use crate::checkpoint::{Checkpoint, Committer};
use crate::cluster::{CqlSource, CqlTarget};
use crate::engine::pace::Steering;
use crate::event::{Event, Events};
use crate::job::{JobTable, RunCommand, RunOutcome, Verdict};
use crate::json_lines::JsonLines;
use crate::preflight::{self, Candidate, ReadyPair, Sides, TableGuard};
use crate::rejects::Rejects;
use crate::ring::{Token, TokenRange};
use crate::row::{Policy, token_of};
use crate::schema::{Table, TableName, parse_literal};
use crate::settings::sample::sampled;
use crate::settings::verify::{GivenKey, VerifySettings};
use crate::shutdown::Stop;
use crate::ui::ask::may_delete;
use crate::ui::{Mode, Ui};
use crate::verify::compare::Rules;
use crate::verify::ended::{VerificationBegun, VerifyEnded};
use crate::verify::line::LineTable;
use crate::verify::report::Report;
use crate::verify::{self, Conduct, Mending, Pair};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

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
    parameters: BTreeMap<String, String>,
    /// What of each table is compared.
    ranges: BTreeMap<usize, Vec<(TokenRange, bool)>>,
    seed: u64,
    checkpoint: Checkpoint,
}

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
        events.emit(Event::PassDone { pass: passes, took_ms, verdict: ended.verdict });
        // What differed first, once: it may have been mended meanwhile. Then everything.
        is_second_look = !is_second_look && begun.checkpoint.reopen_different()? > 0;
        if !is_second_look {
            begin_anew(&mut begun)?;
        }
    }
}

/// Everything before the first row.
async fn begin(settings: &VerifySettings, events: &Events) -> Result<Begun, Error> {
    let (job, mends) = (&settings.job, settings.repair || settings.delete_extra);
    let look = async |sides: &Sides, known| preflight::look_at_pairs(sides, job, known, mends, events).await;
    // `--restart` begins the verification anew: what the copy has done stays.
    let Opened { sides, tables, candidates, has_misfits, checkpoint } = open(job, false, look, events).await?;
    if settings.delete_extra && !settings.yes {
        let targets: Vec<TableName> = tables.iter().map(|table| table.target.clone()).collect();
        if !may_delete(&sides.target.info.name, &targets).await {
            return Err(Error::Declined);
        }
    }
    let policy = policy(job, &sides, checkpoint.created_at()?, events).await;
    let ready = candidates.iter().enumerate().filter_map(|(number, candidate)| {
        let ready = candidate.verdict.as_ref().ok()?;
        Some((number, (&ready.source, &ready.target.name)))
    });
    let rejects = Rejects::beside(checkpoint.path(), ready.clone());
    let lines = ready.map(|(number, (source, target))| (number, LineTable::new(source, target))).collect();
    let seed = settings.seed.unwrap_or_else(|| fastrand::u64(..));
    let copied = checkpoint.copy_ranges()?;
    let (mut pairs, mut ranges) = (BTreeMap::new(), BTreeMap::new());
    for (number, Candidate { table, verdict }) in candidates.into_iter().enumerate() {
        match verdict {
            Ok(ready) => {
                let of_table = copied.get(&number).cloned().unwrap_or_default();
                ranges.insert(number, compared(settings, &ready.source, of_table, seed)?);
                pairs.insert(number, Arc::new(pair(settings, policy, &rejects, *ready)));
            }
            Err(error) => {
                let (source, reason) = (table.source, error.to_string());
                events.emit(Event::TableBroken { table: number, source, reason, hint: error.hint() });
            }
        }
    }
    let file = settings.differences_file(checkpoint.path());
    let report = Report::new(JsonLines::at(&file), lines);
    let mut begun = Begun {
        sides,
        tables,
        has_misfits,
        pairs,
        report,
        file,
        parameters: parameters(settings),
        ranges,
        seed,
        checkpoint,
    };
    if !goes_on(settings, &mut begun)? {
        if let Some(aside) = begun.report.set_aside()? {
            let message = format!("the differences of an earlier verification are now in {}", aside.display());
            events.emit(Event::Note { message });
        }
        begin_anew(&mut begun)?;
    }
    Ok(begun)
}

/// What is compared, in the words of the checkpoint: two verifications of the same are one.
fn parameters(settings: &VerifySettings) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::from([("expiry-tolerance".to_owned(), settings.expiry_tolerance.to_string())]);
    if let Some(sample) = settings.sample {
        parameters.insert("sample".to_owned(), sample.to_string());
    }
    if !settings.partitions.is_empty() {
        let mut keys: Vec<&str> = settings.partitions.iter().map(|key| key.text.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        parameters.insert("partitions".to_owned(), keys.join("\n"));
    }
    parameters
}

/// Which tokens of a table's ranges are compared.
fn compared(
    settings: &VerifySettings,
    table: &Table,
    ranges: Vec<TokenRange>,
    seed: u64,
) -> Result<Vec<(TokenRange, bool)>, Error> {
    if let Some(share) = settings.sample {
        return Ok(ranges.into_iter().flat_map(|range| sampled(range, share, seed)).collect());
    }
    if settings.partitions.is_empty() {
        return Ok(ranges.into_iter().map(|range| (range, true)).collect());
    }
    let token = |given: &GivenKey| {
        let key = parse_literal::partition_key(table, &given.text);
        let key = key.map_err(|error| Error::Partition { place: given.place.clone(), error })?;
        Ok(token_of(key.iter().map(Vec::as_slice)))
    };
    let tokens: BTreeSet<Token> = settings.partitions.iter().map(token).collect::<Result<_, Error>>()?;
    let cuts: Vec<Token> = tokens.iter().flat_map(|token| token.previous().into_iter().chain([*token])).collect();
    let pieces = ranges.into_iter().flat_map(|range| {
        let inside: Vec<Token> = cuts.iter().copied().filter(|cut| range.contains(*cut)).collect();
        range.cut(&inside)
    });
    Ok(pieces.map(|piece| (piece, piece.width() == 1 && tokens.contains(&piece.first()))).collect())
}

fn pair(settings: &VerifySettings, policy: Policy, rejects: &Rejects, table: ReadyPair) -> Pair<CqlSource, CqlTarget> {
    let mending = table.writer.map(|writer| Mending {
        limits: writer.limits(),
        writer,
        policy,
        rejects: rejects.clone(),
        repairs: settings.repair,
        deletes: settings.delete_extra,
        acknowledged: 0.into(),
    });
    Pair {
        source: table.source_reader,
        target: table.target_reader,
        source_layout: table.source_layout,
        target_layout: table.target_layout,
        order: table.order,
        rules: Rules { expiry_tolerance: settings.expiry_tolerance, policy },
        mending,
    }
}

/// Whether the latest verification is this one, and there is something left of it: ranges that nobody has compared, or, where they
/// are to be mended, some with differences.
fn goes_on(settings: &VerifySettings, begun: &mut Begun) -> Result<bool, Error> {
    let Some(latest) = begun.checkpoint.verification()?.filter(|_| !settings.job.restart) else { return Ok(false) };
    let mut known = latest.parameters.clone();
    let seed = known.remove("seed").and_then(|seed| seed.parse().ok());
    let is_same_seed = settings.seed.is_none() || settings.seed == seed;
    let is_same = known == begun.parameters && is_same_seed && latest.tables.iter().eq(begun.pairs.keys());
    if !is_same {
        return Ok(false);
    }
    begun.seed = seed.unwrap_or(begun.seed);
    if !latest.is_finished() {
        return Ok(true);
    }
    let mends = settings.repair || settings.delete_extra;
    Ok(mends && begun.checkpoint.reopen_different()? > 0)
}

/// Begins another verification.
fn begin_anew(begun: &mut Begun) -> Result<(), Error> {
    let mut parameters = begun.parameters.clone();
    if parameters.contains_key("sample") {
        parameters.insert("seed".to_owned(), begun.seed.to_string());
    }
    begun.checkpoint.begin_verification(&parameters, &begun.ranges)?;
    Ok(())
}

/// Compares what is left of a verification.
async fn one_pass(
    settings: &VerifySettings,
    begun: Begun,
    events: &Events,
    stop: &Stop,
) -> Result<(Begun, VerifyEnded), Error> {
    let Begun { sides, tables, has_misfits, pairs, report, file, mut checkpoint, .. } = begun;
    checkpoint.begin_run(RunCommand::Verify)?;
    let (found, work) = checkpoint.verification_work()?;
    let verification = checkpoint.verification()?;
    let (id, started_at) = verification.map(|latest| (latest.id, latest.started_at)).unwrap_or_default();
    let seed = Some(begun.seed);
    *events.counters().verdict() = found.verdict;
    let told = VerificationBegun::new(settings, id, seed, file.clone(), found);
    events.emit(Event::VerificationBegun(Box::new(told)));

    let conduct = Conduct {
        recheck_after: settings.recheck_after,
        started_at: i64::try_from(started_at.as_micros()).unwrap_or(i64::MAX),
        report: report.clone(),
    };
    let watch = checkpoint.watch()?;
    let steering = Steering { pace: settings.job.pace.clone(), live: watch.live() };
    // A table that was truncated has rows missing, and that is what is looked for.
    let guarded = pairs.keys().map(|&number| (number, tables[number].clone().without_truncations())).collect();
    let guard = TableGuard::new(&sides, guarded, settings.job.pace.patience, events, stop);
    let findings = guard.findings();
    let committer = Committer::<Verdict>::guarded(checkpoint, guard, events.clone());
    let ended = verify::run(&pairs, work, &conduct, steering, committer.ledger(), events.clone(), stop.clone()).await;
    drop(watch);
    let drained = committer.drain().await?;
    let (mut changed, unseen) = (findings.take_changed(), findings.unseen());
    let all_ready = pairs.len() == tables.len() && !has_misfits;
    let is_lost = !changed.is_empty() && changed.len() == pairs.len();
    let mut outcome = ended.outcome;
    if is_lost {
        outcome = RunOutcome::Error;
    } else if outcome == RunOutcome::Done && !(all_ready && changed.is_empty() && unseen.is_empty()) {
        outcome = RunOutcome::Incomplete;
    }
    let broken = changed.iter().map(|(number, error)| (*number, error.to_string())).collect();
    let retries = events.counters().retries.load(Ordering::Relaxed);
    let mut checkpoint = drained.end(outcome, retries, broken).await?;
    checkpoint.end_verification(outcome)?;
    if is_lost {
        return Err(changed.swap_remove(0).1.into());
    }
    let verdict = checkpoint.verification()?.map(|latest| latest.verdict).unwrap_or_default();
    let told = VerifyEnded {
        outcome,
        verdict,
        failed: ended.failed,
        unclaimed: ended.unclaimed,
        signal: ended.signal,
        gave_up: ended.gave_up,
        differences: file.exists().then(|| file.clone()),
    };
    Ok((Begun { sides, tables, pairs, report, file, checkpoint, ..begun }, told))
}
