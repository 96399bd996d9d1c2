//! Events as JSON lines on stdout. Each has `v` (1), `at` (milliseconds since the Unix epoch) and `type`; fields are only
//! ever added. The last line of a run that ended is of type `finished`.

use super::Renderer;
use super::progress::{Snapshot, TableProgress};
use super::text::to_stdout;
use crate::clock::unix_ms;
use crate::copy::Ended;
use crate::event::Event;
use serde::Serialize;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Writes to stdout. A reader that goes away doesn't stop the copy.
pub(super) struct Json {
    last: Instant,
    closed: bool,
}

#[derive(Serialize)]
struct Line<T> {
    v: u32,
    at: i64,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Extra<'a> {
    Progress(&'a Snapshot),
    Finished {
        outcome: crate::job::RunOutcome,
        /// Where the keys of rejected rows are, where any row of the job was rejected.
        rejects: Option<&'a std::path::Path>,
        /// The side to which nothing got through for too long, if that is why it ended.
        gave_up: Option<crate::side::Side>,
        #[serde(flatten)]
        snapshot: &'a Snapshot,
        tables: &'a [TableProgress],
    },
}

impl Json {
    pub(super) fn new() -> Json {
        Json { last: Instant::now(), closed: false }
    }

    fn print(&mut self, body: impl Serialize) {
        if self.closed {
            return;
        }
        if let Ok(text) = serde_json::to_string(&Line { v: 1, at: unix_ms(), body }) {
            self.closed = to_stdout(&format!("{text}\n")).is_err();
        }
    }
}

impl Renderer for Json {
    fn event(&mut self, event: &Event, _: &Snapshot) {
        // The small steps are in `progress`; a job may have a million ranges.
        if !matches!(event, Event::RangeClaimed { .. } | Event::RangeMoved { .. } | Event::Committed { .. }) {
            self.print(event);
        }
    }

    fn tick(&mut self, snapshot: &Snapshot, first_row: bool) {
        if first_row || self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            self.print(Extra::Progress(snapshot));
        }
    }

    fn finish(&mut self, snapshot: &Snapshot, tables: &[TableProgress], ended: Option<&Ended>) {
        if let Some(ended) = ended {
            let rejects = ended.rejects.as_deref();
            self.print(Extra::Finished { outcome: ended.outcome, rejects, gave_up: ended.gave_up, snapshot, tables });
        }
    }
}
