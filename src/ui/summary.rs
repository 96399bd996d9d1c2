//! What is said while a copy runs, and at its end.

use super::snapshot::{Snapshot, TableProgress};
use super::text::{Style, count, duration, indented, safe, short};
use super::verify;
use crate::call::Class;
use crate::checkpoint::status::TableState;
use crate::copy::Ended;
use crate::event::Event;
use crate::job::{RunOutcome, Tally};
use crate::settings::units::Bytes;
use crate::side::Nodes;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use std::fmt::Write;
use std::time::Duration;

/// What is said of an event, if anything is.
pub(super) fn event_line(event: &Event, style: Style) -> Option<String> {
    Some(match event {
        Event::Connected { side, product, version, cluster, datacenter, nodes } => format!(
            "  {side}   {product} {}, cluster `{}`, {nodes} {}, datacenter {}",
            safe(version),
            safe(cluster),
            if *nodes == 1 { "node" } else { "nodes" },
            safe(datacenter)
        ),
        Event::Warning { message } => format!("{} {}", style.warn("warning:"), safe(message)),
        Event::Note { message } => format!("{} {}", style.dim("note:"), safe(message)),
        Event::Question { text } => text.clone(),
        Event::TableBroken { source, reason, hint, .. } => {
            let hint = hint.as_ref().map_or_else(String::new, |hint| format!("\n  {} {}", style.dim("hint:"), safe(hint)));
            format!("{} {}: {}{hint}", style.bad("broken:"), safe(&source.to_string()), indented(reason))
        }
        Event::Planned { ranges, tables } if tables.len() > 1 => {
            format!("  new job  {} ranges of {} tables", count(*ranges), tables.len())
        }
        Event::Planned { ranges, .. } => format!("  new job  {} ranges", count(*ranges)),
        Event::Resumed { runs, ranges, ranges_done, ranges_failed, fraction, tally, .. } => {
            let failed = if *ranges_failed > 0 { format!(", {ranges_failed} that failed are tried again") } else { String::new() };
            format!(
                "{} {} of {} ranges and {} rows are done ({:.1} %) after {runs} {}{failed}",
                style.good("resuming:"),
                count(*ranges_done),
                count(*ranges),
                count(tally.rows_written),
                fraction * 100.0,
                if *runs == 1 { "run" } else { "runs" },
            )
        }
        Event::Retry { side, class, message, tries, .. } => {
            format!("{} {side} {}, trying again (try {tries}): {}", style.warn("retry:"), class.words(), safe(message))
        }
        Event::Waiting { side, since_s, nodes, class, message, gives_up_in_s } => format!(
            "{} for the {side} since {}: {}; giving up in {}",
            style.warn("waiting"),
            seconds(*since_s),
            silence(*nodes, *class, message),
            seconds(*gives_up_in_s)
        ),
        Event::Back { side, after_s } => {
            format!("{} the {side} answers again, after {}", style.good("back:"), seconds(*after_s))
        }
        Event::GaveUp { side, after_s, nodes, class, message } => format!(
            "{} nothing got through to the {side} for {}: {}. What is recorded stays; once the {side} answers, the same command \
             carries on from there",
            style.bad("gave up:"),
            seconds(*after_s),
            silence(*nodes, *class, message)
        ),
        Event::RowsRejected { key, rows, reason } => {
            let what = if *rows == 1 { "row" } else { "rows" };
            format!("{} {} {what} of range {}: {}", style.bad("rejected:"), count(*rows), key.range, safe(reason))
        }
        Event::Set { key, value: Some(value) } => {
            format!("{} {key} is {}, as set for this job (`migrate set {key}=default` takes it back)", style.warn("set:"), safe(value))
        }
        Event::Set { key, value: None } => format!("{} {key} is what the command line says", style.warn("set:")),
        Event::Paused => {
            format!("{} nothing new is read or written until `migrate continue`; what is in flight is saved", style.warn("paused:"))
        }
        Event::Continued => format!("{} reading and writing go on", style.good("continued:")),
        Event::Slowed { by: Some(by) } => format!("{} {}", style.warn("pace:"), by.words()),
        Event::Slowed { by: None } => format!("{} nothing holds it back any more", style.dim("pace:")),
        Event::RangeFailed { key, error, remedy } => {
            let remedy = remedy.as_ref().map_or_else(String::new, |remedy| format!("\n  hint: {}", safe(remedy)));
            format!("{} range {}: {}{remedy}", style.bad("failed:"), key.range, safe(error))
        }
        Event::VerificationBegun(begun) => verify::begun(begun, style),
        Event::PassDone { pass, took_ms, ended, verdict } => verify::pass_done(*pass, *took_ms, ended, verdict, style),
        Event::Stopping { draining: true, .. } => {
            "stopping: finishing what is in flight and recording it, as far as both sides answer. Once more stops at once; nothing is lost either way.".to_owned()
        }
        Event::Stopping { draining: false, .. } => "stopping now: what was in flight is done again next time".to_owned(),
        Event::RangeClaimed { .. }
        | Event::PageRead { .. }
        | Event::BatchWritten { .. }
        | Event::RangeMoved { .. }
        | Event::RangeSplit { .. }
        | Event::RangeDone { .. }
        | Event::RangeCompared { .. }
        | Event::Compared { .. }
        | Event::Rechecked { .. }
        | Event::RangeVerified { .. }
        | Event::RangeReopened { .. }
        | Event::RangeTakenBack { .. }
        | Event::Committed { .. }
        // Shown as examples.
        | Event::Difference(_)
        | Event::Mended(_)
        // Told on stderr by whoever ends the program.
        | Event::Error { .. } => return None,
    })
}

/// Why nothing gets through.
fn silence(nodes: Option<Nodes>, class: Class, message: &str) -> String {
    let words = format!("{}: {}", class.words(), safe(message));
    match nodes {
        Some(Nodes { all, silent }) if silent > 0 => {
            let verb = if silent == 1 { "doesn't" } else { "don't" };
            format!("{silent} of {all} {} {verb} answer ({words})", if all == 1 { "node" } else { "nodes" })
        }
        _ => words,
    }
}

fn seconds(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { duration(Duration::from_secs(seconds)) }
}

/// What a run came to, and what to do next.
#[expect(clippy::cast_precision_loss, reason = "numbers to look at")]
pub(super) fn summary(snapshot: &Snapshot, tables: &[TableProgress], ended: &Ended, style: Style) -> String {
    let elapsed = Duration::from_millis(snapshot.elapsed_ms);
    let (run, job) = (&snapshot.run, &snapshot.job);
    if ended.outcome == RunOutcome::Done
        && snapshot.run.rows_read == 0
        && snapshot.ranges_done == snapshot.ranges
        && snapshot.runs_before > 0
    {
        return format!(
            "{} all {} ranges were done already: {} rows, {} runs",
            style.good("done:"),
            count(snapshot.ranges),
            count(snapshot.rows_total),
            snapshot.runs_before
        );
    }
    let word = match ended.outcome {
        RunOutcome::Done => style.good("done:"),
        RunOutcome::Incomplete => style.bad("incomplete:"),
        RunOutcome::Stopped => style.warn("stopped:"),
        RunOutcome::Error => style.bad("stopped by an error:"),
    };
    let rate = run.rows_written as f64 / elapsed.as_secs_f64().max(0.001);
    let broken = tables.iter().filter(|table| table.state == TableState::Broken).count();
    let but = if broken > 0 { format!(", {broken} of {} tables broken", tables.len()) } else { String::new() };
    let mut text = format!(
        "{word} {} rows in {} ({} rows/s), {:.1} % of the ring{but}",
        count(run.rows_written),
        duration(elapsed),
        short(rate),
        snapshot.fraction * 100.0
    );
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut row = |name: &str, this: String, all: String| {
        table.add_row([
            Cell::new(name),
            Cell::new(this).set_alignment(CellAlignment::Right),
            Cell::new(all).set_alignment(CellAlignment::Right),
        ]);
    };
    row("", "this run".to_owned(), "whole job".to_owned());
    // What isn't committed will be copied again, so it is no part of the whole.
    let saved = snapshot.rows_total - (run.rows_written - run.rows_committed.min(run.rows_written));
    row("rows written", count(run.rows_written), count(saved));
    row("rows expired meanwhile", count(run.rows_expired), String::new());
    if run.rows_rejected + job.rows_rejected > 0 {
        row("rows rejected", count(run.rows_rejected), count(job.rows_rejected));
    }
    if job.rows_marker_inferred > 0 {
        row("row markers inferred", String::new(), count(job.rows_marker_inferred));
    }
    let notes = notes(job);
    for (name, number, _) in &notes {
        row(name, String::new(), count(*number));
    }
    row("bytes read", Bytes(run.bytes_read).to_string(), Bytes(snapshot.bytes_total).to_string());
    row("ranges done", String::new(), format!("{} of {}", count(snapshot.ranges_done), count(snapshot.ranges)));
    row("ranges failed", count(ended.failed), String::new());
    row("retries", count(snapshot.retries), String::new());
    let _ = write!(text, "\n{table}");
    for (_, _, words) in notes {
        let _ = write!(text, "\n* {words}");
    }
    if let Some(file) = &ended.rejects {
        let file = safe(&file.display().to_string());
        // Those whose batch isn't committed are in the file, too, and no part of the whole.
        let rows = job.rows_rejected.max(run.rows_rejected);
        let _ = write!(
            text,
            "\n{} {} rows were refused by the target for good: {file}",
            style.bad("rejected:"),
            count(rows)
        );
    }
    text.push_str(&each_table(tables, style));
    let next = match ended.outcome {
        RunOutcome::Done if ended.rejects.is_some() => {
            "every range is done, but for the rejected rows; look at their keys and reasons, and copy them by other means"
        }
        RunOutcome::Done => "every range is done; the same command says so at once",
        RunOutcome::Incomplete if ended.unclaimed > 0 => {
            "too many ranges failed one after another, so the rest of their table was not begun: see `migrate status`, then run the same command again"
        }
        RunOutcome::Incomplete if broken > 0 => {
            "mend what is broken; the same command tries those tables again, and ranges that failed. What takes another flag is a job \
             of its own: `--table KEYSPACE.TABLE … --checkpoint OTHER.db`"
        }
        RunOutcome::Incomplete if ended.failed == 0 => {
            "the warnings above say why not everything is done; the same command carries on from here"
        }
        RunOutcome::Incomplete => {
            "see `migrate status` for the reasons; the same command tries the failed ranges again"
        }
        RunOutcome::Stopped | RunOutcome::Error => "the same command carries on from here",
    };
    let next = ended.gave_up.map_or_else(
        || next.to_owned(),
        |side| format!("once the {side} answers again, the same command carries on from here"),
    );
    let _ = write!(text, "\n{} {next}", style.dim("next:"));
    text
}

/// What can't be read at the source, or kept at the target, and was settled by a rule: its name, how many rows, and the rule.
fn notes(job: &Tally) -> Vec<(&'static str, u64, &'static str)> {
    let all = [
        (
            "rows of a key alone *",
            job.rows_key_only,
            "rows of a key alone: their age can't be read, so they have the --unknown-timestamp and don't expire",
        ),
        (
            "rows that expire *",
            job.rows_marker_expires,
            "rows that expire: their row marker can't be read, so it was taken to expire with the oldest cell (--row-marker)",
        ),
        (
            "rows with elements of unknown age *",
            job.rows_unknown_timestamp,
            "elements of unknown age: this source can't tell it, so they have the --unknown-timestamp and don't expire",
        ),
        (
            "rows of the far future *",
            job.rows_capped,
            "rows of the far future: the target doesn't take their writetimes, which were lowered (--future-timestamps)",
        ),
        (
            "lists in another order *",
            job.lists_reordered,
            "lists in another order: the target had some of their elements already, and takes new ones at the ends only",
        ),
    ];
    all.into_iter().filter(|(_, number, _)| *number > 0).collect()
}

/// A line for each table, where there are several, and why those that are broken are.
fn each_table(tables: &[TableProgress], style: Style) -> String {
    let mut text = String::new();
    if tables.len() < 2 {
        return text;
    }
    let mut lines = Table::new();
    lines.load_style(NOTHING);
    lines.add_row(["table", "state", "rows written", "ranges done", "ranges failed"]);
    for table in tables {
        lines.add_row([
            Cell::new(safe(&table.source.to_string())),
            Cell::new(table.state.word()),
            Cell::new(count(table.rows_written())).set_alignment(CellAlignment::Right),
            Cell::new(format!("{} of {}", count(table.ranges_done), count(table.ranges)))
                .set_alignment(CellAlignment::Right),
            Cell::new(count(table.ranges_failed)).set_alignment(CellAlignment::Right),
        ]);
    }
    let _ = write!(text, "\n{lines}");
    text += &broken(tables, style);
    text
}

/// Why each of those tables is broken that are.
pub(super) fn broken(tables: &[TableProgress], style: Style) -> String {
    let mut text = String::new();
    for table in tables {
        if let Some(reason) = &table.reason {
            let (word, name) = (style.bad("broken:"), safe(&table.source.to_string()));
            let _ = write!(text, "\n{word} {name}: {}", indented(reason));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_whose_rejection_is_not_committed_are_told_with_their_file() {
        let (rejects, unfinished) = (Some("migrate.db-rejects.jsonl".into()), BTreeSet::from([0]));
        let outcome = RunOutcome::Incomplete;
        let ended = Ended { outcome, failed: 1, unclaimed: 0, unfinished, rejects, signal: None, gave_up: None };
        let mut snapshot = Snapshot::default();
        snapshot.run.rows_rejected = 7;
        let text = summary(&snapshot, &[], &ended, Style::plain());
        let told = text.lines().find(|line| line.starts_with("rejected:"));
        assert_eq!(told, Some("rejected: 7 rows were refused by the target for good: migrate.db-rejects.jsonl"));
    }

    #[test]
    fn what_to_do_next_speaks_of_failed_ranges_only_where_there_are_some() {
        let next = |failed| {
            let (outcome, unfinished) = (RunOutcome::Incomplete, BTreeSet::from([0]));
            let ended = Ended { outcome, failed, unclaimed: 0, unfinished, rejects: None, signal: None, gave_up: None };
            let text = summary(&Snapshot::default(), &[], &ended, Style::plain());
            text.lines().last().unwrap_or_default().to_owned()
        };
        insta::assert_snapshot!(format!("{}\n{}", next(0), next(1)), @"
        next: the warnings above say why not everything is done; the same command carries on from here
        next: see `migrate status` for the reasons; the same command tries the failed ranges again
        ");
    }
}
