//! Events as JSON lines on stdout. Each has `v` (1), `at` (milliseconds since the Unix epoch) and `type`; fields are only
//! ever added. The last line of a run that ended is of type `finished`.

use super::out::Out;
use super::snapshot::{Snapshot, TableProgress};
use super::text::to_stderr;
use super::{Finish, Renderer};
use crate::clock::unix_ms;
use crate::event::Event;
use serde::Serialize;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Writes to stdout. A reader that goes away, or stands still, doesn't stop the copy.
pub(super) struct Json {
    last: Instant,
    out: Out,
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
    /// Nobody read them in time: so many lines are missing here.
    Lost {
        lines: u64,
    },
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
    /// The same of a verification.
    #[serde(rename = "finished")]
    Verified {
        outcome: crate::job::RunOutcome,
        conclusion: crate::job::Conclusion,
        exit_code: u8,
        /// Where every difference is listed, where there is any.
        differences: Option<&'a std::path::Path>,
        gave_up: Option<crate::side::Side>,
        #[serde(flatten)]
        snapshot: &'a Snapshot,
        tables: &'a [TableProgress],
    },
}

impl Json {
    pub(super) fn new() -> Json {
        Json { last: Instant::now(), out: Out::to(std::io::stdout(), |lines| line(Extra::Lost { lines })) }
    }
}

fn line(body: impl Serialize) -> String {
    serde_json::to_string(&Line { v: 1, at: unix_ms(), body }).map(|text| text + "\n").unwrap_or_default()
}

impl Renderer for Json {
    fn event(&mut self, event: &Event, _: &Snapshot) {
        // Who answers doesn't read JSON.
        if let Event::Question { text } = event {
            to_stderr(&format!("{text}\n"));
        }
        // The small steps are in `progress`; a job may have a million ranges.
        if !matches!(
            event,
            Event::RangeClaimed { .. }
                | Event::RangeMoved { .. }
                | Event::RangeCompared { .. }
                | Event::Committed { .. }
        ) {
            self.out.write(line(event));
        }
    }

    fn tick(&mut self, snapshot: &Snapshot, first_row: bool) {
        if first_row || self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            self.out.write(line(Extra::Progress(snapshot)));
        }
    }

    fn finish(&mut self, snapshot: &Snapshot, tables: &[TableProgress], ended: Option<&Finish>) {
        let end = ended.map(|ended| match ended {
            Finish::Copy(ended) => Extra::Finished {
                outcome: ended.outcome,
                rejects: ended.rejects.as_deref(),
                gave_up: ended.gave_up,
                snapshot,
                tables,
            },
            Finish::Verify(ended) => Extra::Verified {
                outcome: ended.outcome,
                conclusion: ended.conclusion(),
                exit_code: ended.exit_code(),
                differences: ended.differences.as_deref(),
                gave_up: ended.gave_up,
                snapshot,
                tables,
            },
        });
        if let Some(end) = end {
            self.out.write_surely(line(end));
        }
        // Data: whoever reads it may take their time.
        self.out.flush(Duration::MAX);
    }
}
