//! What a copy and a verification have in common before the first row: both sides, the job, its checkpoint, its tables.

use super::Error;
use crate::blocking::blocking;
use crate::checkpoint::{self, Checkpoint, CheckpointError, Existing};
use crate::event::{Event, Events};
use crate::job::{Job, JobTable};
use crate::json_lines;
use crate::preflight::{self, Candidate, Looked, PreflightError, Ready, Sides};
use crate::row::Policy;
use crate::settings::{FutureTimestamps, Settings};
use crate::{plan, rejects, table_options};
use std::path::Path;
use std::time::Duration;

/// A job whose checkpoint is ours, and what is known of its tables.
pub(super) struct Opened<R> {
    pub(super) sides: Sides,
    /// By their number.
    pub(super) tables: Vec<JobTable>,
    /// The same, with what is known of each.
    pub(super) candidates: Vec<Candidate<R>>,
    /// Whether there are tables that the job should have, and can't.
    pub(super) has_misfits: bool,
    pub(super) checkpoint: Checkpoint,
}

/// Opens a job, or begins one; with `restart` in any case. `look` looks at the tables, given those that the job knows.
pub(super) async fn open<R: Ready>(
    settings: &Settings,
    restart: bool,
    look: impl AsyncFnOnce(&Sides, Vec<JobTable>) -> Result<Looked<R>, PreflightError>,
    events: &Events,
) -> Result<Opened<R>, Error> {
    // A file that can't be used is refused before anybody is asked for anything.
    let path = settings.checkpoint.clone();
    let found = blocking(move || find(&path, restart)).await?;
    let sides = Box::pin(preflight::connect(settings, events)).await?;
    let identity = plan::identity(settings, &sides);
    let known = match &found {
        FoundFile::Job(checkpoint) => {
            checkpoint.expect_job(&identity)?;
            checkpoint.tables()?
        }
        FoundFile::Room(_) => Vec::new(),
    };
    let looked = Box::pin(look(&sides, known.clone())).await?.any_ready()?;
    for message in looked.notes {
        events.emit(Event::Note { message });
    }
    let has_misfits = !looked.misfits.is_empty();
    for message in looked.misfits {
        events.emit(Event::Warning { message });
    }
    let ranges = plan::admit(settings, &sides.source, &looked.tables, &known).await;
    let tables: Vec<JobTable> = looked.tables.iter().map(|candidate| candidate.table.clone()).collect();
    let checkpoint = match found {
        FoundFile::Job(mut checkpoint) => {
            let had = |number: usize| known.get(number).is_some_and(|table| table.admitted.is_some());
            for (_, table) in
                tables.iter().enumerate().filter(|(number, table)| table.admitted.is_some() && !had(*number))
            {
                events.emit(Event::Note { message: format!("the job takes in {}", table.source) });
            }
            let tables = tables.clone();
            blocking(move || checkpoint.settle(&tables, &ranges).map(|()| checkpoint)).await?
        }
        FoundFile::Room(mut reserved) => {
            let owed = reserved.owed().unwrap_or_else(|error| {
                let what =
                    "what options of the target's tables an earlier job had altered isn't known, and not set back";
                events.emit(Event::Warning { message: format!("{what}: {error}") });
                Vec::new()
            });
            reserved.take_over(Box::pin(table_options::take_over(&sides.target, owed, &tables, events)).await);
            let existing = if restart { Existing::SetAside } else { Existing::Keep };
            let job = Job { identity, tables: tables.clone() };
            let (checkpoint, aside) = blocking(move || checkpoint::create(reserved, &job, &ranges, existing)).await?;
            if let Some(aside) = aside {
                let message = format!("what there was of an earlier checkpoint is now {}", aside.display());
                events.emit(Event::Warning { message });
            }
            if let Some(aside) = json_lines::set_aside(&rejects::path(checkpoint.path()))? {
                let message = format!("the rejected rows of an earlier job are now in {}", aside.display());
                events.emit(Event::Warning { message });
            }
            checkpoint
        }
    };
    Ok(Opened { sides, tables, candidates: looked.tables, has_misfits, checkpoint })
}

/// The rules for what can't be read or kept. A writetime that is capped is capped to the same one in every run of a job.
pub(super) async fn policy(settings: &Settings, sides: &Sides, created_at: Duration, events: &Events) -> Policy {
    let limit = match settings.future_timestamps {
        FutureTimestamps::Reject => None,
        FutureTimestamps::Cap => sides.target.future_limit().await.unwrap_or_else(|error| {
            let why = format!("the target's settings can't be read, so no timestamp is capped: {error}");
            events.emit(Event::Warning { message: why });
            None
        }),
    };
    // Less a minute, for clocks that differ.
    let latest = limit.map(|limit| (created_at + limit).saturating_sub(Duration::from_secs(60)));
    Policy {
        unknown_timestamp: settings.unknown_timestamp,
        row_marker: settings.row_marker,
        timestamp_max: latest.map_or(i64::MAX, |latest| i64::try_from(latest.as_micros()).unwrap_or(i64::MAX)),
    }
}

/// What there is under the checkpoint's name. Either way, it is ours from now on.
enum FoundFile {
    /// A job that was begun.
    Job(Checkpoint),
    /// Room for a new one.
    Room(checkpoint::Reserved),
}

fn find(path: &Path, restart: bool) -> Result<FoundFile, CheckpointError> {
    if restart {
        return checkpoint::reserve(path).map(FoundFile::Room);
    }
    match checkpoint::open(path) {
        Ok(checkpoint) => Ok(FoundFile::Job(checkpoint)),
        Err(CheckpointError::Missing { .. }) => checkpoint::reserve(path).map(FoundFile::Room),
        Err(error) => Err(error),
    }
}
