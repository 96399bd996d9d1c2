//! Plan, status and summary as text.

use super::progress::Snapshot;
use super::text::{Style, count, duration, instant, safe, short};
use crate::checkpoint::status::{State, Status};
use crate::copy::Ended;
use crate::event::Event;
use crate::job::RunOutcome;
use crate::plan::Plan;
use crate::settings::units::Bytes;
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
        Event::Planned { ranges } => format!("  new job  {} ranges", count(*ranges as u64)),
        Event::Resumed { runs, ranges, ranges_done, ranges_failed, fraction, tally } => {
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
        Event::RangeFailed { key, error } => format!("{} range {}: {}", style.bad("failed:"), key.range, safe(error)),
        Event::Stopping { draining: true, .. } => {
            "stopping: finishing what is in flight and saving progress. Once more stops at once; nothing is lost either way.".to_owned()
        }
        Event::Stopping { draining: false, .. } => "stopping now: what was in flight is copied again next time".to_owned(),
        Event::RangeClaimed { .. }
        | Event::PageRead { .. }
        | Event::BatchWritten { .. }
        | Event::RangeMoved { .. }
        | Event::RangeDone { .. }
        | Event::Committed { .. }
        // Told on stderr by whoever ends the program.
        | Event::Error { .. } => return None,
    })
}

/// What a run came to, and what to do next.
#[expect(clippy::cast_precision_loss, reason = "numbers to look at")]
pub(super) fn summary(snapshot: &Snapshot, ended: &Ended, style: Style) -> String {
    let elapsed = Duration::from_millis(snapshot.elapsed_ms);
    let run = &snapshot.run;
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
    let mut text = format!(
        "{word} {} rows in {} ({} rows/s), {:.1} % of the ring",
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
    if snapshot.key_only_total > 0 {
        row("rows of a key alone *", count(run.rows_key_only), count(snapshot.key_only_total));
    }
    row("bytes read", Bytes(run.bytes_read).to_string(), Bytes(snapshot.bytes_total).to_string());
    row("ranges done", String::new(), format!("{} of {}", count(snapshot.ranges_done), count(snapshot.ranges)));
    row("ranges failed", count(ended.failed), String::new());
    row("retries", count(snapshot.retries), String::new());
    let _ = write!(text, "\n{table}");
    if snapshot.key_only_total > 0 {
        text.push_str("\n* their age can't be read: they have the `--unknown-timestamp` and don't expire");
    }
    let next = match ended.outcome {
        RunOutcome::Done => "every range is done; the same command says so at once",
        RunOutcome::Incomplete if ended.unclaimed > 0 => {
            "too many ranges failed one after another, so the rest was not begun: see `migrate status`, then run the same command again"
        }
        RunOutcome::Incomplete => {
            "see `migrate status` for the reasons; the same command tries the failed ranges again"
        }
        RunOutcome::Stopped | RunOutcome::Error => "the same command carries on from here",
    };
    let _ = write!(text, "\n{} {next}", style.dim("next:"));
    text
}

/// The plan, for people.
#[expect(clippy::cast_precision_loss, reason = "numbers to look at")]
pub fn plan(plan: &Plan, style: Style) -> String {
    let about = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |n| format!("~{}", short(n as f64)));
    let mut text = String::new();
    for (side, cluster, consistency) in
        [("source", &plan.source, &plan.source_consistency), ("target", &plan.target, &plan.target_consistency)]
    {
        let nodes = if cluster.nodes == 1 { "node" } else { "nodes" };
        let (product, name, datacenter) = (safe(&cluster.product), safe(&cluster.name), safe(&cluster.datacenter));
        let _ = writeln!(
            text,
            "{side}   {product}, cluster `{name}`, {} {nodes}, datacenter {datacenter}, {consistency}",
            cluster.nodes
        );
    }
    let _ = writeln!(
        text,
        "pace     {} readers, {} writers, {} of memory for pages",
        plan.readers,
        plan.writers,
        Bytes(plan.memory)
    );
    let found = match plan.checkpoint_fraction {
        None => "new".to_owned(),
        Some(fraction) => format!("there already: {:.1} % of its ring are done", fraction * 100.0),
    };
    let _ = writeln!(text, "file     {} ({found})", safe(&plan.checkpoint.display().to_string()));
    for planned in &plan.tables {
        let arrow = if planned.source == planned.target {
            String::new()
        } else {
            format!(" → {}", safe(&planned.target.to_string()))
        };
        let bytes =
            planned.estimate.bytes.map_or_else(|| "unknown size".to_owned(), |bytes| format!("~{}", Bytes(bytes)));
        let _ = writeln!(
            text,
            "\n{}{arrow}   {} rows, {} partitions, {bytes}, {} ranges",
            style.good(&safe(&planned.source.to_string())),
            about(planned.estimate.rows),
            about(planned.estimate.partitions),
            count(planned.ranges as u64),
        );
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.add_row(["column", "type", "part", "kept"]);
        for column in &planned.columns {
            table.add_row([
                safe(&column.column),
                safe(&column.cql_type),
                column.part.clone(),
                column.kept.words().to_owned(),
            ]);
        }
        let _ = writeln!(text, "{table}");
    }
    text
}

/// The status, for people.
pub fn status(status: &Status, style: Style) -> String {
    let state = match status.state {
        State::Running => style.good("running"),
        State::Stopped => style.warn("stopped"),
        State::Incomplete => style.bad("incomplete"),
        State::Done => style.good("done"),
    };
    let counts = &status.counts;
    let mut text = format!(
        "{state}  {:.1} % of the ring  {}/{} ranges  {} rows  {}\nfrom `{}` to `{}`, checkpoint {}\n",
        status.fraction * 100.0,
        count(counts.ranges_done),
        count(counts.ranges),
        count(counts.tally.rows_written),
        Bytes(counts.tally.bytes_read),
        safe(&status.source),
        safe(&status.target),
        safe(&status.checkpoint.display().to_string()),
    );
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_row(["table", "ring", "ranges", "claimed", "failed", "rows written", "rows expired", "of a key alone"]);
    for one in &status.tables {
        table.add_row([
            safe(&one.source.to_string()),
            format!("{:.1} %", one.fraction * 100.0),
            format!("{}/{}", count(one.counts.ranges_done), count(one.counts.ranges)),
            count(one.counts.ranges_claimed),
            count(one.counts.ranges_failed),
            count(one.counts.tally.rows_written),
            count(one.counts.tally.rows_expired),
            count(one.counts.tally.rows_key_only),
        ]);
    }
    let _ = writeln!(text, "{table}");
    for failure in &status.failures {
        let _ = writeln!(
            text,
            "{} {} range {} after {} tries: {}",
            style.bad("failed:"),
            safe(&failure.table.to_string()),
            failure.range,
            failure.attempts,
            safe(&failure.error)
        );
    }
    let listed = status.failures.len() as u64;
    if counts.ranges_failed > listed {
        let _ = writeln!(text, "… and {} more", counts.ranges_failed - listed);
    }
    if let Some(run) = &status.last_run {
        let end = match (&run.ended_at, &run.outcome) {
            (Some(at), Some(outcome)) => format!("ended {} ({})", instant(*at), safe(outcome)),
            _ if status.state == State::Running => "still running".to_owned(),
            _ => "was killed".to_owned(),
        };
        let _ = writeln!(
            text,
            "run {} began {} as process {} on {}, {end}",
            status.runs,
            instant(run.started_at),
            run.process_id,
            safe(&run.host)
        );
    }
    text
}
