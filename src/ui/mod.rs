//! What the operator sees. The only code that prints: talk goes to stderr, data to stdout.
//!
//! [`Ui`] is a thread that reads events and, ten times a second, the counters; the copy never waits for a terminal, or for
//! whoever reads.

pub mod ask;
mod bar;
pub mod control;
pub mod ddl;
mod json;
mod lines;
mod out;
mod progress;
mod snapshot;
mod summary;
pub mod tables;
mod terminal;
pub mod text;
mod verdict;
mod verify;

use crate::copy::Ended;
use crate::event::{Event, Events};
use crate::shutdown::Stop;
use crate::side::Side;
use crate::verify::ended::VerifyEnded;
use progress::Progress;
use snapshot::{Snapshot, TableProgress};
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often the counters are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a program that has ended waits for whoever reads what it said.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A bar that is drawn over.
    Bar,
    /// A line every ten seconds, for logs.
    Lines,
    /// Events as JSON lines on stdout.
    Json,
}

impl Mode {
    /// What fits where stderr goes.
    pub fn choose(json: bool) -> Mode {
        if json {
            Mode::Json
        } else if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            Mode::Bar
        } else {
            Mode::Lines
        }
    }
}

/// One way to show what happens.
trait Renderer {
    /// Something happened.
    fn event(&mut self, event: &Event, snapshot: &Snapshot);
    /// A moment has passed; `first_row` says that rows arrived for the first time in this run.
    fn tick(&mut self, snapshot: &Snapshot, first_row: bool);
    /// The end.
    fn finish(&mut self, snapshot: &Snapshot, tables: &[TableProgress], ended: Option<&Finish>);
}

/// The sides that are waited for: what fails there meanwhile needs no line of its own.
#[derive(Debug, Default)]
struct Waiting(Vec<Side>);

impl Waiting {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Waiting { side, .. } if !self.0.contains(side) => self.0.push(*side),
            Event::Back { side, .. } => self.0.retain(|waiting| waiting != side),
            _ => {}
        }
    }

    fn explains(&self, event: &Event) -> bool {
        matches!(event, Event::Retry { side, .. } if self.0.contains(side))
    }
}

/// How what was shown has ended.
#[derive(Clone, Debug)]
pub enum Finish {
    /// A copy.
    Copy(Ended),
    /// A verification.
    Verify(VerifyEnded),
}

impl From<Ended> for Finish {
    fn from(ended: Ended) -> Finish {
        Finish::Copy(ended)
    }
}

impl From<VerifyEnded> for Finish {
    fn from(ended: VerifyEnded) -> Finish {
        Finish::Verify(ended)
    }
}

enum Message {
    Event(Box<Event>),
    Finish(Box<Option<Finish>>),
}

/// The thread that shows what happens.
#[derive(Debug)]
pub struct Ui {
    messages: mpsc::Sender<Message>,
    /// Dropped at the end of the thread.
    shown: oneshot::Receiver<()>,
    events: Events,
}

impl Ui {
    /// Starts to listen.
    pub fn start(mode: Mode) -> Ui {
        let (messages, inbox) = mpsc::channel();
        let sender = messages.clone();
        let events = Events::to(move |event| {
            // These only move the counters; there may be ten thousand a second.
            let is_small = matches!(
                event,
                Event::PageRead { .. } | Event::BatchWritten { .. } | Event::Compared { .. } | Event::Rechecked { .. }
            );
            if !is_small {
                let _ = sender.send(Message::Event(Box::new(event.clone())));
            }
        });
        let progress = Progress::new(std::sync::Arc::clone(events.counters()));
        let (showing, shown) = oneshot::channel();
        std::thread::spawn(move || {
            show(mode, &inbox, progress);
            drop(showing);
        });
        Ui { messages, shown, events }
    }

    /// Where events go.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Shows the end and stops. No end is an error that is told elsewhere. Where nobody reads, a signal ends the waiting.
    pub async fn finish(self, ended: Option<impl Into<Finish>>, stop: &Stop) {
        let _ = self.messages.send(Message::Finish(Box::new(ended.map(Into::into))));
        tokio::select! {
            _ = self.shown => {}
            () = stop.another_signal() => {}
        }
    }
}

fn show(mode: Mode, inbox: &mpsc::Receiver<Message>, mut progress: Progress) {
    let mut renderer: Box<dyn Renderer> = match mode {
        Mode::Bar => Box::new(bar::Bar::new()),
        Mode::Lines => Box::new(lines::Lines::new()),
        Mode::Json => Box::new(json::Json::new()),
    };
    let mut next_tick = Instant::now();
    let mut rows_seen = false;
    loop {
        match inbox.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
            Ok(Message::Event(event)) => {
                progress.event(&event);
                renderer.event(&event, &progress.snapshot());
            }
            Ok(Message::Finish(ended)) => {
                return renderer.finish(&progress.snapshot(), progress.tables(), (*ended).as_ref());
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                next_tick = Instant::now() + TICK;
                progress.tick();
                let snapshot = progress.snapshot();
                let first_row = !rows_seen && snapshot.rows_of_this_run() > 0;
                rows_seen |= first_row;
                renderer.tick(&snapshot, first_row);
            }
        }
    }
}

/// What it came to, and what to do next.
fn end(snapshot: &Snapshot, tables: &[TableProgress], finish: &Finish, style: text::Style) -> String {
    match finish {
        Finish::Copy(ended) => summary::summary(snapshot, tables, ended, style),
        Finish::Verify(ended) => verdict::verdict(snapshot, tables, ended, style),
    }
}

/// Waits a moment for what was said on stderr to be written: the last thing to do.
pub fn flush() {
    out::STDERR.flush(LAST_WORDS);
}

/// What only the end of the program prints: errors.
pub fn print_error(error: &dyn std::error::Error, hint: Option<String>) {
    let style = text::Style::stderr();
    let mut out = format!("{} {}\n", style.bad("error:"), text::lines(&error.to_string()));
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = writeln!(out, "  caused by: {}", text::lines(&error.to_string()));
        cause = error.source();
    }
    if let Some(hint) = hint {
        let _ = writeln!(out, "{} {}", style.dim("hint:"), text::lines(&hint));
    }
    text::to_stderr(&out);
}

/// Shows the driver's own log on stderr: from the second `-v` on with its details. Silent without: the driver repeats every
/// warning of a server, and what matters of its errors comes back as an error.
pub fn log_driver(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "warn",
        2 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| out::Log).with_ansi(false).init();
}
