//! The vocabulary of everything that happens. The copy emits; bars, lines, JSON and tests read.
//!
//! Events of every page and batch only move the counters; the others reach the sink too. A reader that draws ten times a
//! second looks at the counters and costs the copy nothing.

mod counters;

pub use counters::Counters;

use crate::call::Class;
use crate::job::{Found, FoundTable, RangeKey, Tally, Verdict};
use crate::ring::{Token, TokenRange};
use crate::schema::TableName;
use crate::settings::live::Key;
use crate::shutdown::Signal;
use crate::side::{Nodes, Side};
use crate::slowed::Slowed;
use crate::verify::ended::{PassEnded, VerificationBegun};
use crate::verify::line::{DifferenceLine, WrittenLine};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// Something that happened. In JSON, `type` is the variant's name.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A cluster answered.
    Connected {
        /// Which side.
        side: Side,
        /// `Apache Cassandra` or `ScyllaDB`.
        product: &'static str,
        /// The product's version.
        version: String,
        /// The cluster's name.
        cluster: String,
        /// The datacenter that is used.
        datacenter: String,
        /// Nodes of the cluster.
        nodes: usize,
    },
    /// Something that the operator should know, and what to do about it.
    Warning {
        /// One sentence.
        message: String,
    },
    /// Something that is as it should be, and yet worth a line.
    Note {
        /// One sentence.
        message: String,
    },
    /// A table can't be copied in this run, or what was copied of it can't be trusted. The others go on.
    TableBroken {
        /// Its number.
        table: usize,
        /// Its name at the source.
        source: TableName,
        /// Why. Untrusted text.
        reason: String,
        /// The next thing to type.
        hint: Option<String>,
    },
    /// A new job's ranges are stored.
    Planned {
        /// How many.
        ranges: u64,
        /// Of each table, by its number.
        tables: Vec<FoundTable>,
    },
    /// An earlier run was found in the checkpoint; this one carries on.
    Resumed {
        /// Earlier runs.
        runs: u64,
        /// All ranges.
        ranges: u64,
        /// Those that are done.
        ranges_done: u64,
        /// Those that had failed and are tried again.
        ranges_failed: u64,
        /// The share of the job that is done, 0 to 1.
        fraction: f64,
        /// What was copied so far.
        #[serde(flatten)]
        tally: Tally,
        /// The same of each table, by its number.
        tables: Vec<FoundTable>,
    },
    /// A reader begins with a range.
    RangeClaimed {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// Where it goes on, if an earlier run had begun it.
        cursor: Option<Token>,
    },
    /// A page arrived.
    PageRead {
        /// Its rows.
        rows: u64,
        /// Its bytes of keys and values.
        bytes: u64,
    },
    /// A batch was acknowledged.
    BatchWritten {
        /// Its rows, less the expired ones.
        rows: u64,
        /// Rows that had expired.
        expired: u64,
        /// Rows that the target refused for good.
        rejected: u64,
    },
    /// Rows of a batch were refused for good; their keys are in the rejects file.
    RowsRejected {
        /// The range that they are from.
        #[serde(flatten)]
        key: RangeKey,
        /// How many.
        rows: u64,
        /// What the target said of the first.
        reason: String,
    },
    /// A call failed and will be tried again.
    Retry {
        /// Which side.
        side: Side,
        /// What the failure means.
        class: Class,
        /// What the server said.
        message: String,
        /// Failed tries of this call.
        tries: u32,
        /// Until the next one, in milliseconds.
        wait_ms: u128,
    },
    /// Nothing gets through to one side. It is told again while that lasts.
    Waiting {
        /// Which side.
        side: Side,
        /// For how long, in seconds.
        since_s: u64,
        /// Its nodes, where they are known.
        nodes: Option<Nodes>,
        /// What the last failure means.
        class: Class,
        /// What the server or the driver said of it. Untrusted text.
        message: String,
        /// Until the whole copy is given up, unless something gets through, in seconds.
        gives_up_in_s: u64,
    },
    /// What was waited for is over.
    Back {
        /// Which side.
        side: Side,
        /// How long it took, in seconds.
        after_s: u64,
    },
    /// Nothing got through for too long: the copy ends. What is recorded stays.
    GaveUp {
        /// Which side was waited for.
        side: Side,
        /// For how long, in seconds.
        after_s: u64,
        /// Its nodes, where they are known.
        nodes: Option<Nodes>,
        /// What the last failure means.
        class: Class,
        /// What the server or the driver said of it. Untrusted text.
        message: String,
    },
    /// Rows of both sides were compared. Those that differ are looked at again before anything is said.
    Compared {
        /// Rows on either side.
        rows: u64,
        /// Bytes of keys and values, of both sides.
        bytes: u64,
        /// Rows that differ as they were read.
        suspects: u64,
    },
    /// Rows that had differed were looked at again.
    Rechecked {
        /// How many.
        rows: u64,
    },
    /// A row differs; its line is in the file of differences.
    Difference(Box<DifferenceLine>),
    /// A range's cursor is durable.
    RangeMoved {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// The last token that is done; none where it goes on within the one after it.
        cursor: Option<Token>,
        /// Rows since the last one.
        #[serde(flatten)]
        tally: Tally,
    },
    /// A range is done, durably.
    RangeDone {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// Rows since its last cursor.
        #[serde(flatten)]
        tally: Tally,
    },
    /// The cursor of a range that is compared is durable.
    RangeCompared {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// The last token that is done; none where it goes on within the one after it.
        cursor: Option<Token>,
        /// Rows since the last one.
        #[serde(flatten)]
        verdict: Verdict,
    },
    /// A range is compared to its end, durably.
    RangeVerified {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// Rows since its last cursor.
        #[serde(flatten)]
        verdict: Verdict,
    },
    /// A range is to be compared anew, durably.
    RangeReopened {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// What was counted of it, by any run, and doesn't hold any more.
        #[serde(flatten)]
        verdict: Verdict,
    },
    /// What a range had counted beyond its cursor doesn't count any more: it is come to again.
    RangeTakenBack {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// What doesn't.
        #[serde(flatten)]
        verdict: Verdict,
    },
    /// Whoever sits at the terminal is asked; the answer comes from stdin.
    Question {
        /// The question.
        text: String,
    },
    /// A verification begins, or goes on.
    VerificationBegun(Box<VerificationBegun>),
    /// All was compared once, as far as that could be, and will be again.
    PassDone {
        /// How often by now.
        pass: u64,
        /// How long it took, in milliseconds.
        took_ms: u64,
        /// What that says, and what it left out.
        #[serde(flatten)]
        ended: PassEnded,
        /// What it has come to.
        #[serde(flatten)]
        verdict: Verdict,
    },
    /// A range was given up for this run.
    RangeFailed {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// Why.
        error: String,
        /// What can be done about it, where that is known.
        remedy: Option<String>,
    },
    /// A range that can't be read in one go is several from now on.
    RangeSplit {
        /// Which one.
        #[serde(flatten)]
        key: RangeKey,
        /// Its pieces, in ascending order.
        into: Vec<TokenRange>,
    },
    /// SQLite acknowledged a group of changes.
    Committed {
        /// How long it took, in microseconds.
        took_us: u128,
    },
    /// The operator has set a value, now or before this run, or has taken it back.
    Set {
        /// Which one.
        key: Key,
        /// As it was typed; none is what the command line says.
        value: Option<String>,
    },
    /// The operator wants nothing new to be read or written.
    Paused,
    /// The operator lets the copy go on.
    Continued,
    /// The pace is held back for another reason than before, or not any more.
    Slowed {
        /// Why, if it is.
        by: Option<Slowed>,
    },
    /// The run can't begin or go on; the last event there is.
    Error {
        /// Why, causes included.
        message: String,
        /// The next thing to type.
        hint: Option<String>,
        /// The process's exit code.
        exit_code: u8,
    },
    /// A signal asked to stop.
    Stopping {
        /// Which one.
        signal: Signal,
        /// Whether it is the first: finish what is in flight.
        draining: bool,
    },
    /// A row was written to the target, or deleted there, to make both sides equal. Its line has a `type` of its own.
    #[serde(untagged)]
    Mended(Box<WrittenLine>),
}

type Sink = dyn Fn(&Event) + Send + Sync;

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    counters: Arc<Counters>,
    sink: Arc<Sink>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Events {
    /// Events that go to `sink`, on the emitter's thread.
    pub fn to(sink: impl Fn(&Event) + Send + Sync + 'static) -> Events {
        Events { counters: Arc::default(), sink: Arc::new(sink) }
    }

    /// Events that nobody listens to; they are still counted.
    pub fn none() -> Events {
        Events::to(|_| {})
    }

    /// The counters.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Says that something happened.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an event is made to be emitted; `&` at each place would only be noise"
    )]
    pub fn emit(&self, event: Event) {
        self.counters.count(&event);
        (self.sink)(&event);
    }
}

impl From<Found> for Event {
    fn from(found: Found) -> Event {
        let Found { runs, ranges, ranges_done, ranges_failed, fraction, tally, tables } = found;
        if runs == 0 {
            return Event::Planned { ranges, tables };
        }
        Event::Resumed { runs, ranges, ranges_done, ranges_failed, fraction, tally, tables }
    }
}
