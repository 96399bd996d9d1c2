//! Plan and status as text.

use super::text::{Style, count, indented, instant, safe, short};
use crate::checkpoint::status::{State, Status, TableState};
use crate::plan::Plan;
use crate::schema::fidelity::Fidelity;
use crate::settings::units::Bytes;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use std::fmt::Write;

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
    let _ =
        writeln!(text, "pace     {} readers, {} writers, {} of memory", plan.readers, plan.writers, Bytes(plan.memory));
    let found = match plan.checkpoint_fraction {
        None => "new".to_owned(),
        Some(fraction) => format!("there already: {:.1} % of it is done", fraction * 100.0),
    };
    let _ = writeln!(text, "file     {} ({found})", safe(&plan.checkpoint.display().to_string()));
    for note in &plan.notes {
        let _ = writeln!(text, "note     {}", indented(note));
    }
    for planned in &plan.tables {
        let arrow = if planned.source == planned.target {
            String::new()
        } else {
            format!(" → {}", safe(&planned.target.to_string()))
        };
        let name = safe(&planned.source.to_string());
        if let Some(reason) = &planned.broken {
            // Where the columns are told, each says its own reason.
            let lines = if planned.columns.is_empty() { usize::MAX } else { 1 };
            let reason = reason.lines().take(lines).collect::<Vec<_>>().join("\n");
            let _ = writeln!(text, "\n{}{arrow}   can't be copied: {}", style.bad(&name), indented(&reason));
        } else {
            let bytes = planned.estimate.bytes;
            let bytes = bytes.map_or_else(|| "unknown size".to_owned(), |bytes| format!("~{}", Bytes(bytes)));
            let _ = writeln!(
                text,
                "\n{}{arrow}   {} rows, {} partitions, {bytes}, {} ranges",
                style.good(&name),
                about(planned.estimate.rows),
                about(planned.estimate.partitions),
                count(planned.ranges as u64),
            );
        }
        for option in &planned.alters {
            let (name, old, new) = (&option.name, safe(&option.old), &option.new);
            let _ = writeln!(text, " alters  {name} = {new} at the target until it is done; it is {old}");
        }
        if !planned.columns.is_empty() {
            let _ = writeln!(text, "{}", fidelity(&planned.columns));
        }
    }
    text
}

/// What is kept of each column.
fn fidelity(columns: &[Fidelity]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_row(["column", "type", "part", "kept"]);
    for column in columns {
        table.add_row([safe(&column.column), safe(&column.cql_type), column.part.clone(), column.words.to_owned()]);
    }
    table
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
    let broken = status.tables.iter().filter(|table| table.state == TableState::Broken).count();
    let but = if broken > 0 { format!("  {broken} of {} tables broken", status.tables.len()) } else { String::new() };
    let state = if status.live.paused { format!("{state}, {}", style.warn("paused")) } else { state };
    let mut text = format!(
        "{state}  {:.1} % of the ring  {}/{} ranges  {} rows  {}{but}\nfrom `{}` to `{}`, checkpoint {}\n",
        status.fraction * 100.0,
        count(counts.ranges_done),
        count(counts.ranges),
        count(counts.tally.rows_written),
        Bytes(counts.tally.bytes_read),
        safe(&status.source),
        safe(&status.target),
        safe(&status.checkpoint.display().to_string()),
    );
    for (key, value) in &status.live.values {
        let _ = writeln!(text, "{} {key} = {}, which comes before the command line", style.warn("set:"), safe(value));
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_row([
        "table",
        "state",
        "ring",
        "ranges",
        "claimed",
        "failed",
        "rows written",
        "rows expired",
        "rejected",
    ]);
    for one in &status.tables {
        table.add_row([
            safe(&one.source.to_string()),
            one.state.word().to_owned(),
            format!("{:.1} %", one.fraction * 100.0),
            format!("{}/{}", count(one.counts.ranges_done), count(one.counts.ranges)),
            count(one.counts.ranges_claimed),
            count(one.counts.ranges_failed),
            count(one.counts.tally.rows_written),
            count(one.counts.tally.rows_expired),
            count(one.counts.tally.rows_rejected),
        ]);
    }
    let _ = writeln!(text, "{table}");
    for one in &status.tables {
        if let Some(reason) = &one.reason {
            let (word, table) = (style.bad("broken:"), safe(&one.source.to_string()));
            let _ = writeln!(text, "{word} {table}: {}", indented(reason));
        }
    }
    for one in &status.tables {
        for option in &one.altered {
            let (word, table) = (style.warn("altered:"), safe(&one.target.to_string()));
            let (name, old, new) = (&option.name, safe(&option.old), &option.new);
            let _ = writeln!(text, "{word} {table} at the target has {name} = {new} until it is done; it was {old}");
        }
    }
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
        if let Some(remedy) = &failure.remedy {
            let _ = writeln!(text, "  hint: {}", safe(remedy));
        }
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
