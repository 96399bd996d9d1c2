//! A line every ten seconds, for logs and pipes.

use super::progress::{Snapshot, TableProgress};
use super::text::{Style, short, to_stderr};
use super::{Renderer, Waiting, summary};
use crate::clock::unix_ms;
use crate::copy::Ended;
use crate::event::Event;
use crate::settings::units::Bytes;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);

/// Writes to stderr.
pub(super) struct Lines {
    last: Instant,
    last_trouble: Option<Instant>,
    running: bool,
    waiting: Waiting,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines { last: Instant::now(), last_trouble: None, running: false, waiting: Waiting::default() }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "numbers to look at"
)]
fn line(snapshot: &Snapshot) -> String {
    let eta = snapshot.eta_s.map_or_else(|| "unknown".to_owned(), |eta| format!("{eta}s"));
    format!(
        "{} copying {:.1}% {}/{} ranges {} rows {}/s {}/s eta {eta} in_flight={} retries={} failed={}{}\n",
        super::text::instant(unix_ms()),
        snapshot.fraction * 100.0,
        snapshot.ranges_done,
        snapshot.ranges,
        short(snapshot.rows_total as f64),
        short(snapshot.rows_per_second),
        Bytes(snapshot.bytes_per_second as u64),
        snapshot.in_flight,
        snapshot.retries,
        snapshot.ranges_failed,
        snapshot.pace.slowed_by.map_or_else(String::new, |by| format!(" {}", super::bar::slowed(by, &snapshot.pace))),
    )
}

impl Renderer for Lines {
    fn event(&mut self, event: &Event, _: &Snapshot) {
        self.running |= matches!(event, Event::RangeClaimed { .. } | Event::Paused);
        self.waiting.event(event);
        if self.waiting.explains(event) {
            return;
        }
        // There may be thousands of either; all are counted.
        if matches!(event, Event::Retry { .. } | Event::RowsRejected { .. }) {
            if self.last_trouble.is_some_and(|at| at.elapsed() < EVERY) {
                return;
            }
            self.last_trouble = Some(Instant::now());
        }
        if let Some(text) = summary::event_line(event, Style::stderr()) {
            to_stderr(&format!("{text}\n"));
        }
    }

    fn tick(&mut self, snapshot: &Snapshot, _: bool) {
        if self.running && self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            to_stderr(&line(snapshot));
        }
    }

    fn finish(&mut self, snapshot: &Snapshot, tables: &[TableProgress], ended: Option<&Ended>) {
        if let Some(ended) = ended {
            to_stderr(&format!("{}\n", summary::summary(snapshot, tables, ended, Style::stderr())));
        }
    }
}
