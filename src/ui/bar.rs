//! The bar: one share of the ring, and a line of numbers below it.

use super::snapshot::{Snapshot, TableProgress};
use super::terminal::Terminal;
use super::text::{Style, short, to_stderr};
use super::verify::Examples;
use super::{Finish, Renderer, Waiting, summary};
use crate::event::Event;
use crate::settings::units::Bytes;
use crate::slowed::{PaceNow, Slowed};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The bar's length: millionths of the ring.
const WHOLE: u64 = 1_000_000;
/// The same kind of trouble is told again after this long.
const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// Draws on stderr.
#[expect(clippy::struct_field_names, reason = "it is one")]
pub(super) struct Bar {
    bar: ProgressBar,
    style: Style,
    told: HashMap<String, Instant>,
    running: bool,
    stopping: bool,
    waiting: Waiting,
    examples: Examples,
    /// `copying`, or what else is done.
    doing: &'static str,
}

impl Bar {
    pub(super) fn new() -> Bar {
        let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::hidden());
        let template = "  {prefix} {bar:40.cyan/black} {msg}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix("copying");
        Bar {
            bar,
            style: Style::stderr(),
            told: HashMap::new(),
            running: false,
            stopping: false,
            waiting: Waiting::default(),
            examples: Examples::default(),
            doing: "copying",
        }
    }

    fn say(&self, line: &str) {
        if self.running {
            self.bar.println(line);
        } else {
            to_stderr(&format!("{line}\n"));
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a bar")]
    fn draw(&self, snapshot: &Snapshot) {
        self.bar.set_position((snapshot.fraction * WHOLE as f64) as u64);
        self.bar.set_message(numbers(snapshot));
    }
}

/// Both lines of numbers.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "to look at")]
fn numbers(snapshot: &Snapshot) -> String {
    let eta = snapshot.eta_s.map_or_else(|| "…".to_owned(), |eta| super::text::duration(Duration::from_secs(eta)));
    let some = |number: u64, what: &str| if number > 0 { format!("  {number} {what}") } else { String::new() };
    let rows = short(snapshot.rows_total as f64);
    let (rows, more) = match &snapshot.compared {
        None => (format!("{rows} rows"), format!("  {} in flight", snapshot.in_flight)),
        Some(compared) => (
            format!("{rows} rows compared"),
            format!("  {} differ{}", compared.verdict.rows_different, some(compared.rows_rechecking, "rechecking")),
        ),
    };
    format!(
        "{:5.1}%  {}/{} ranges  ETA {eta}\n          {rows}  {} rows/s  {}/s{more}  {} retries{}{}",
        snapshot.fraction * 100.0,
        snapshot.ranges_done,
        snapshot.ranges,
        short(snapshot.rows_per_second),
        Bytes(snapshot.bytes_per_second as u64),
        snapshot.retries,
        some(snapshot.ranges_failed, if snapshot.ranges_failed == 1 { "range failed" } else { "ranges failed" }),
        snapshot.pace.slowed_by.map_or_else(String::new, |by| format!("\n          {}", slowed(by, &snapshot.pace))),
    )
}

/// Why it isn't faster, and what holds instead.
#[expect(clippy::cast_precision_loss, reason = "to look at")]
pub(super) fn slowed(by: Slowed, pace: &PaceNow) -> String {
    let limits = [
        pace.rows_per_second_max.map(|rows| format!("{} rows/s", short(rows as f64))),
        pace.bytes_per_second_max.map(|bytes| format!("{}/s", Bytes(bytes))),
    ];
    let what = match by {
        Slowed::Paused | Slowed::Memory | Slowed::SourceSilent | Slowed::TargetSilent => String::new(),
        Slowed::RowsPerSecond | Slowed::BytesPerSecond | Slowed::Schedule => {
            format!(": {}", limits.into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        Slowed::SourceLatency | Slowed::SourceTimeouts | Slowed::SourceOverloaded => {
            format!(": {} pages at a time", pace.readers)
        }
        Slowed::TargetLatency | Slowed::TargetTimeouts | Slowed::TargetOverloaded => {
            format!(": {} writes at a time", pace.writers)
        }
    };
    format!("{}{what}", by.words())
}

impl Renderer for Bar {
    fn event(&mut self, event: &Event, snapshot: &Snapshot) {
        self.waiting.event(event);
        if self.waiting.explains(event) {
            return;
        }
        if matches!(event, Event::VerificationBegun(_)) {
            self.doing = "comparing";
            self.bar.set_prefix(self.doing);
        }
        if let Some(line) = self.examples.line(event, self.style) {
            if !line.is_empty() {
                self.say(&line);
            }
            return;
        }
        if let Some(line) = summary::event_line(event, self.style) {
            let again = match event {
                Event::Retry { side, class, .. } => Some(format!("{side} {class:?}")),
                _ => None,
            };
            let quiet =
                again.as_ref().is_some_and(|kind| self.told.get(kind).is_some_and(|at| at.elapsed() < REPEAT_AFTER));
            if !quiet {
                self.say(&line);
                if let Some(kind) = again {
                    self.told.insert(kind, Instant::now());
                }
            }
        }
        if matches!(event, Event::RangeClaimed { .. }) && !self.running {
            self.running = true;
            self.bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::<Terminal>::default(), 10));
            self.draw(snapshot);
        }
        if matches!(event, Event::Paused | Event::Continued) && !self.stopping {
            self.bar.set_prefix(if matches!(event, Event::Paused) { "paused " } else { self.doing });
        }
        if matches!(event, Event::Stopping { .. } | Event::GaveUp { .. }) {
            self.stopping = true;
            self.bar.set_prefix("stopping");
        }
    }

    fn tick(&mut self, snapshot: &Snapshot, _: bool) {
        if self.running {
            self.draw(snapshot);
        }
    }

    fn finish(&mut self, snapshot: &Snapshot, tables: &[TableProgress], ended: Option<&Finish>) {
        self.bar.finish_and_clear();
        self.running = false;
        if let Some(ended) = ended {
            self.say(&super::end(snapshot, tables, ended, self.style));
        }
        // Whoever holds a terminal is about to look.
        super::out::STDERR.flush(Duration::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::snapshot::{Comparison, RunRows};

    #[test]
    fn the_numbers_of_a_verification() {
        let verdict = crate::job::Verdict { rows_different: 3, ..Default::default() };
        let compared = Comparison { rows_rechecking: 2, verdict, ..Comparison::default() };
        let snapshot = Snapshot {
            fraction: 0.412,
            ranges: 24,
            ranges_done: 9,
            ranges_failed: 1,
            rows_total: 1_200_000,
            rows_per_second: 85_000.0,
            compared: Some(compared),
            ..Snapshot::default()
        };
        insta::assert_snapshot!(numbers(&snapshot), @"
        41.2%  9/24 ranges  ETA …
                 1200 k rows compared  85 k rows/s  0 B/s  3 differ  2 rechecking  0 retries  1 range failed
        ");
    }

    #[test]
    fn the_numbers_beside_the_bar() {
        let snapshot = Snapshot {
            fraction: 0.614,
            ranges: 12_288,
            ranges_done: 7_545,
            run: RunRows::default(),
            rows_total: 253_100_000,
            rows_per_second: 148_200.0,
            bytes_per_second: 34.2 * 1024.0 * 1024.0,
            in_flight: 32,
            eta_s: Some(2280),
            ..Snapshot::default()
        };
        insta::assert_snapshot!(numbers(&snapshot), @"
        61.4%  7545/12288 ranges  ETA 38m 00s
                 253.1 M rows  148 k rows/s  34.2 MiB/s  32 in flight  0 retries
        ");
    }
}
