//! A line every ten seconds, for logs and pipes.

use super::snapshot::{Snapshot, TableProgress};
use super::text::{Style, short, to_stderr};
use super::verify::Examples;
use super::{Finish, Renderer, Waiting, summary};
use crate::clock::unix_ms;
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
    examples: Examples,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines {
            last: Instant::now(),
            last_trouble: None,
            running: false,
            waiting: Waiting::default(),
            examples: Examples::default(),
        }
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
    let (doing, more) = match &snapshot.compared {
        None => ("copying", format!("in_flight={}", snapshot.in_flight)),
        Some(compared) => {
            let different = compared.verdict.rows_different;
            ("comparing", format!("different={different} rechecking={}", compared.rows_rechecking))
        }
    };
    format!(
        "{doing} {:.1}% {}/{} ranges {} rows {}/s {}/s eta {eta} {more} retries={} failed={}{}\n",
        snapshot.fraction * 100.0,
        snapshot.ranges_done,
        snapshot.ranges,
        short(snapshot.rows_total as f64),
        short(snapshot.rows_per_second),
        Bytes(snapshot.bytes_per_second as u64),
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
        if let Some(text) = self.examples.line(event, Style::stderr()) {
            if !text.is_empty() {
                to_stderr(&format!("{text}\n"));
            }
            return;
        }
        if let Some(text) = summary::event_line(event, Style::stderr()) {
            to_stderr(&format!("{text}\n"));
        }
    }

    fn tick(&mut self, snapshot: &Snapshot, _: bool) {
        if self.running && self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            to_stderr(&format!("{} {}", super::text::instant(unix_ms()), line(snapshot)));
        }
    }

    fn finish(&mut self, snapshot: &Snapshot, tables: &[TableProgress], ended: Option<&Finish>) {
        if let Some(ended) = ended {
            to_stderr(&format!("{}\n", super::end(snapshot, tables, ended, Style::stderr())));
        }
    }
}
