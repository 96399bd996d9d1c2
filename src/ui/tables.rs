//! Plan and status as text.

use super::text::{Style, count, counted, indented, instant, safe, short};
use crate::checkpoint::status::{Failure, State, Status, TableState, VerificationStatus};
use crate::job::Conclusion;
use crate::plan::Plan;
use crate::schema::fidelity::Fidelity;
use crate::settings::units::Bytes;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use std::fmt::Write;
use std::time::Duration;

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
        "pace     {} readers, {} writers, {} of memory{}",
        plan.readers,
        plan.writers,
        Bytes(plan.memory),
        limits(plan)
    );
    if !plan.live.values.is_empty() {
        let set = plan.live.values.iter().map(|(key, value)| format!("{key}={}", safe(value)));
        let set = set.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "set      {set}: by `migrate set`, before what the command line says");
    }
    if plan.live.paused {
        let _ = writeln!(text, "paused   until `migrate continue`");
    }
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

/// The limits that hold, if any do.
fn limits(plan: &Plan) -> String {
    let limits = [
        ("rows-per-second", &plan.rows_per_second),
        ("bytes-per-second", &plan.bytes_per_second),
        ("source-latency", &plan.source_latency),
        ("target-latency", &plan.target_latency),
    ];
    let limits = limits.into_iter().filter(|(_, limit)| *limit != "off");
    limits.flat_map(|(name, limit)| [", ", name, " ", limit.as_str()]).collect()
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
        // What is verified comes further down.
        State::Verifying | State::Stopped if status.copies == 0 && status.verification.is_some() => {
            "not copied".to_owned()
        }
        State::Verifying if status.counts.ranges_done < status.counts.ranges => style.warn("copied in part"),
        State::Verifying => style.good("copied"),
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
    text += &failures("failed:", &status.failures, counts.ranges_failed, style);
    if let Some(verification) = &status.verification {
        text += &verified(verification, style);
    }
    if let Some(run) = &status.last_run {
        let end = match (&run.ended_at, &run.outcome) {
            (Some(at), Some(outcome)) => format!("ended {} ({})", instant(*at), safe(outcome)),
            _ if matches!(status.state, State::Running | State::Verifying) => "still running".to_owned(),
            _ => "was killed".to_owned(),
        };
        let _ = writeln!(
            text,
            "run {}{} began {} as process {} on {}, {end}",
            status.runs,
            if run.command == "copy" { String::new() } else { format!(" ({})", safe(&run.command)) },
            instant(run.started_at),
            run.process_id,
            safe(&run.host)
        );
    }
    text
}

/// Failed ranges, `all` of them counted.
fn failures(word: &str, listed: &[Failure], all: u64, style: Style) -> String {
    let mut text = String::new();
    for failure in listed {
        let _ = writeln!(
            text,
            "{} {} range {} after {} tries: {}",
            style.bad(word),
            safe(&failure.table.to_string()),
            failure.range,
            failure.attempts,
            safe(&failure.error)
        );
        if let Some(remedy) = &failure.remedy {
            let _ = writeln!(text, "  hint: {}", safe(remedy));
        }
    }
    let more = all.saturating_sub(listed.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "… and {more} more");
    }
    text
}

/// A verification: how far it is, what it found, and when it was.
fn verified(status: &VerificationStatus, style: Style) -> String {
    let VerificationStatus { verification, running, fraction, conclusion, failures: failed } = status;
    let verdict = &verification.verdict;
    let classes = |classes: &mut dyn Iterator<Item = (&'static str, u64)>| {
        classes
            .map(|(class, rows)| format!("{} {}", count(rows), class.replace('_', " ")))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match conclusion {
        Conclusion::Equal => style.good("equal"),
        Conclusion::Differences => {
            let noun = if verdict.rows_different == 1 { "difference" } else { "differences" };
            let differences = style.bad(&format!("{} {noun}", count(verdict.rows_different)));
            format!("{differences} ({})", classes(&mut verdict.classes()))
        }
        Conclusion::Incomplete => style.warn("no differences, but not everything could be compared"),
        Conclusion::Unfinished => "no differences so far".to_owned(),
    };
    let word = if *running { style.good("verifying") } else { "verified".to_owned() };
    let sample = verification.parameters.get("sample");
    let mut text = format!(
        "{word} {:.1} %{}, {} compared: {found}\n",
        fraction * 100.0,
        sample.map_or_else(String::new, |share| format!(" of a sample of {}", safe(share))),
        counted(verdict.rows_compared, "row")
    );
    let harmless = classes(&mut verdict.harmless());
    if !harmless.is_empty() {
        let _ = writeln!(text, "  rows that differ harmlessly: {harmless}");
    }
    for (what, rows) in [
        ("unsettled, since they still changed with each look", verdict.rows_unsettled),
        ("repaired", verdict.rows_repaired),
        ("deleted at the target", verdict.rows_deleted),
    ] {
        if rows > 0 {
            let _ = writeln!(text, "  rows {what}: {}", count(rows));
        }
    }
    text += &failures("not compared:", failed, verification.ranges_failed, style);
    let parameters = verification.parameters.iter().map(|(name, value)| format!(" {}={}", safe(name), safe(value)));
    let instant = |at: Duration| instant(i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
    let end = match (verification.ended_at, verification.outcome) {
        (Some(at), Some(outcome)) => format!("ended {} ({})", instant(at), outcome.word()),
        _ if *running => "still running".to_owned(),
        _ => "not ended".to_owned(),
    };
    let (id, begun) = (verification.id, instant(verification.started_at));
    let _ = writeln!(text, "verification {id}{} began {begun}, {end}", parameters.collect::<String>());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{RunOutcome, Verdict, Verification};
    use crate::ring::{Token, TokenRange};
    use crate::schema::TableName;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_verification_is_told_in_a_few_lines() {
        let mut status = VerificationStatus {
            verification: Verification {
                id: 2,
                started_at: Duration::from_secs(1_750_000_000),
                ended_at: None,
                outcome: None,
                parameters: BTreeMap::from([
                    ("sample".to_owned(), "1%".to_owned()),
                    ("partitions".to_owned(), "\u{1b}[2J".to_owned()),
                ]),
                tables: BTreeSet::from([0]),
                ranges: 9,
                ranges_done: 9,
                ranges_failed: 0,
                ranges_different: 0,
                verdict: Verdict { rows_compared: 1_234_567, rows_marker: 4, ..Verdict::default() },
            },
            running: true,
            fraction: 0.632,
            conclusion: Conclusion::Unfinished,
            failures: Vec::new(),
        };
        insta::assert_snapshot!(verified(&status, Style::plain()), @r"
        verifying 63.2 % of a sample of 1%, 1 234 567 rows compared: no differences so far
          rows that differ harmlessly: 4 marker
        verification 2 partitions=\u{1b}[2J sample=1% began 2025-06-15T15:06:40Z, still running
        ");
        status.running = false;
        status.conclusion = Conclusion::Differences;
        let verification = &mut status.verification;
        verification.ended_at = Some(Duration::from_secs(1_750_000_100));
        verification.outcome = Some(RunOutcome::Incomplete);
        verification.ranges_failed = 3;
        verification.verdict = Verdict {
            rows_compared: 1_234_567,
            rows_different: 3,
            rows_missing: 2,
            rows_extra: 1,
            rows_value_older: 1000,
            rows_unsettled: 7,
            rows_repaired: 8,
            rows_deleted: 9,
            ..Verdict::default()
        };
        status.failures.push(Failure {
            table: TableName { keyspace: "chat".to_owned(), table: "messages".to_owned() },
            range: TokenRange::of(Token(7)),
            attempts: 2,
            error: "no answer".to_owned(),
            remedy: Some("ask again".to_owned()),
        });
        insta::assert_snapshot!(verified(&status, Style::plain()), @r"
        verified 63.2 % of a sample of 1%, 1 234 567 rows compared: 3 differences (2 missing, 1 extra, 1 000 value older)
          rows unsettled, since they still changed with each look: 7
          rows repaired: 8
          rows deleted at the target: 9
        not compared: chat.messages range 7:7 after 2 tries: no answer
          hint: ask again
        … and 2 more
        verification 2 partitions=\u{1b}[2J sample=1% began 2025-06-15T15:06:40Z, ended 2025-06-15T15:08:20Z (incomplete)
        ");
    }
}
