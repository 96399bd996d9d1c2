//! What a verification has come to, and what to do next.

use super::snapshot::{Comparison, LastPass, Snapshot, TableProgress};
use super::summary::broken;
use super::text::{Style, count, counted, duration, safe, short};
use super::verify::{came_to, left_out, words};
use crate::job::{Conclusion, RunOutcome, Verdict};
use crate::settings::units::Bytes;
use crate::verify::difference::Class;
use crate::verify::ended::{VerificationBegun, VerifyEnded};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use std::fmt::Write;
use std::time::Duration;

/// The verdict, the counts behind it, where the differences are, and what to type next.
pub(super) fn verdict(snapshot: &Snapshot, tables: &[TableProgress], ended: &VerifyEnded, style: Style) -> String {
    let compared = snapshot.compared.clone().unwrap_or_default();
    let mut text = format!("{}\n{}", headline(snapshot, &compared, ended, tables, style), counts(snapshot, ended));
    for (class, rows) in ended.verdict.harmless() {
        if rows > 0 {
            let _ = write!(text, "\n* {}", harmless(class));
        }
    }
    if let Some(LastPass { pass, ended, verdict }) = &compared.last_pass {
        let (different, left_out) = (came_to(["differed"; 2], ended, verdict, style), left_out(ended, verdict));
        let which = if ended.all_compared { "last whole pass" } else { "last pass" };
        let _ = write!(text, "\n{which}, number {}: {different}{left_out}", count(*pass));
    }
    text += &each_table(tables, &ended.verdict);
    text += &broken(tables, style);
    if let Some(file) = &ended.differences {
        let _ = write!(text, "\n{} each row is listed in {}", style.warn("file:"), safe(&file.display().to_string()));
    }
    let _ = write!(text, "\n{} {}", style.dim("next:"), next(&compared.begun, ended, tables));
    text
}

#[expect(clippy::cast_precision_loss, reason = "numbers to look at")]
fn headline(
    snapshot: &Snapshot,
    compared: &Comparison,
    ended: &VerifyEnded,
    tables: &[TableProgress],
    style: Style,
) -> String {
    let verdict = &ended.verdict;
    let word = match (ended.conclusion(), ended.outcome) {
        (Conclusion::Equal, _) => style.good("equal:"),
        (Conclusion::Differences, _) if verdict.rows_different == 1 => style.bad("1 row differs:"),
        (Conclusion::Differences, _) => style.bad(&format!("{} rows differ:", count(verdict.rows_different))),
        (Conclusion::Incomplete, _) if has_no_rows(&compared.begun, ended, tables) => {
            style.warn("no row to compare at either side:")
        }
        (Conclusion::Incomplete, _) => style.warn("nothing differs, but not everything could be compared:"),
        (Conclusion::Unfinished, RunOutcome::Error) => style.bad("stopped by an error, nothing differs so far:"),
        (Conclusion::Unfinished, _) if compared.last_pass.is_some() => {
            style.warn("stopped, nothing differs so far in this pass:")
        }
        (Conclusion::Unfinished, _) => style.warn("stopped, nothing differs so far:"),
    };
    let elapsed = Duration::from_millis(snapshot.elapsed_ms);
    let this_run = match compared.rows_compared {
        rows if rows < verdict.rows_compared => format!(", {} of them", count(rows)),
        rows if rows > verdict.rows_compared && compared.begun.follow => {
            format!(", {} with the passes before,", count(rows))
        }
        _ => String::new(),
    };
    let rate = compared.rows_compared as f64 / elapsed.as_secs_f64().max(0.001);
    format!(
        "{word} {} compared{this_run} in {} ({} rows/s), {}",
        counted(verdict.rows_compared, "row"),
        duration(elapsed),
        short(rate),
        extent(snapshot, &compared.begun, tables)
    )
}

/// How much of the tables that is.
fn extent(snapshot: &Snapshot, begun: &VerificationBegun, tables: &[TableProgress]) -> String {
    let percent = snapshot.fraction * 100.0;
    // Nothing is compared of a table that is broken, and the share is that of the others.
    let ready = tables.iter().filter(|table| table.reason.is_none()).count();
    let of = if ready == tables.len() { String::new() } else { format!(", of {ready} of {} tables", tables.len()) };
    match (&begun.sample, begun.partitions) {
        (Some(share), _) => {
            let seed = begun.seed.unwrap_or_default();
            format!("{percent:.1} % of a sample of {share} of the ring (--seed {seed}){of}")
        }
        (None, 0) => format!("{percent:.1} % of the ring{of}"),
        (None, 1) => "1 partition".to_owned(),
        (None, partitions) => format!("{} partitions", count(partitions as u64)),
    }
}

/// Whether partitions were named of which neither side has a row.
fn has_no_rows(begun: &VerificationBegun, ended: &VerifyEnded, tables: &[TableProgress]) -> bool {
    let is_all_read = ended.is_all_read() && tables.iter().all(|table| table.reason.is_none());
    let Verdict { rows_compared, rows_repaired, rows_deleted, .. } = ended.verdict;
    begun.partitions > 0 && rows_compared + rows_repaired + rows_deleted == 0 && is_all_read
}

/// The counts, class by class: what differs, then what is harmless, then what was done.
fn counts(snapshot: &Snapshot, ended: &VerifyEnded) -> Table {
    let verdict = &ended.verdict;
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut row = |name: &str, number: String| {
        table.add_row([Cell::new(name), Cell::new(number).set_alignment(CellAlignment::Right)]);
    };
    row("rows compared", count(verdict.rows_compared));
    row("rows that differ", count(verdict.rows_different));
    for (class, rows) in verdict.classes() {
        row(&format!("  {}", class_words(class)), count(rows));
    }
    if verdict.rows_unsettled > 0 {
        row("rows that changed with each look", count(verdict.rows_unsettled));
    }
    for (class, rows) in verdict.harmless() {
        row(&format!("harmless: {} *", class_words(class)), count(rows));
    }
    for (name, rows) in [
        ("rows looked at again", verdict.rows_rechecked),
        ("rows repaired", verdict.rows_repaired),
        ("rows deleted", verdict.rows_deleted),
    ] {
        if rows > 0 {
            row(name, count(rows));
        }
    }
    row("bytes compared", Bytes(verdict.bytes_read).to_string());
    row("ranges compared", format!("{} of {}", count(snapshot.ranges_done), count(snapshot.ranges)));
    row("ranges failed", count(ended.failed));
    row("retries", count(snapshot.retries));
    table
}

/// A class by its name, for people.
fn class_words(name: &str) -> &str {
    Class::ALL.iter().find(|class| class.word() == name).map_or(name, |class| words(*class))
}

/// Why a difference is none.
fn harmless(class: &str) -> &'static str {
    match class {
        "marker" => {
            "nothing but its key, at the target alone: its cells have expired or were deleted, and the row marker that a copy \
             inferred is left"
        }
        "unknown_timestamp" => "the source can't tell these writetimes, so a copy writes the --unknown-timestamp",
        _ => "these writetimes lie too far ahead for the target, so a copy lowers them (--future-timestamps)",
    }
}

/// A line for each table, where there are several: with the classes that any of them shows.
fn each_table(tables: &[TableProgress], all: &Verdict) -> String {
    if tables.len() < 2 {
        return String::new();
    }
    let classes: Vec<&str> = all.classes().chain(all.harmless()).map(|(class, _)| class).collect();
    let mut lines = Table::new();
    lines.load_style(NOTHING);
    let mut header = vec!["table".to_owned(), "state".to_owned(), "rows compared".to_owned(), "differ".to_owned()];
    header.extend(classes.iter().map(|class| class.replace('_', " ")));
    lines.add_row(header);
    for table in tables {
        let verdict = table.verdict();
        let of = |class: &str| verdict.classes().chain(verdict.harmless()).find(|(name, _)| *name == class);
        let number = |rows: u64| Cell::new(count(rows)).set_alignment(CellAlignment::Right);
        let mut cells = vec![
            Cell::new(safe(&table.source.to_string())),
            Cell::new(table.state.word()),
            number(verdict.rows_compared),
            number(verdict.rows_different),
        ];
        cells.extend(classes.iter().map(|class| number(of(class).map_or(0, |(_, rows)| rows))));
        lines.add_row(cells);
    }
    format!("\n{lines}")
}

/// The next command.
fn next(begun: &VerificationBegun, ended: &VerifyEnded, tables: &[TableProgress]) -> String {
    let verdict = &ended.verdict;
    if let Some(side) = ended.gave_up {
        return format!("once the {side} answers again, the same command carries on from here");
    }
    if matches!(ended.outcome, RunOutcome::Stopped | RunOutcome::Error) {
        return "the same command carries on from here".to_owned();
    }
    match ended.conclusion() {
        Conclusion::Equal if begun.sample.is_some() => {
            "a sample says what to expect; `migrate verify …` without `--sample` compares everything".to_owned()
        }
        Conclusion::Equal if begun.partitions > 0 => {
            let keys = but_for_keys(verdict);
            format!("these partitions are equal{keys}; before writes to the source end, verify once more")
        }
        Conclusion::Equal => {
            let keys = but_for_keys(verdict);
            format!(
                "both sides are equal{keys}; while applications write, `migrate verify … --follow` watches that they stay so"
            )
        }
        Conclusion::Differences => mend(begun, verdict).to_owned(),
        Conclusion::Incomplete | Conclusion::Unfinished => {
            let again = "the same command compares again what could not be compared";
            let broken = tables.iter().any(|table| table.reason.is_some());
            if broken {
                format!("mend what is broken; {again}")
            } else if verdict.rows_unsettled > 0 && ended.failed == 0 {
                "rows changed with each look: run it again when they are written less, or with a longer `--recheck-after`"
                    .to_owned()
            } else if has_no_rows(begun, ended, tables) {
                "look whether the key is the right one: a partition that has no row at either side can't be told from a typo"
                    .to_owned()
            } else if begun.partitions > 0 {
                // Nothing is kept of them that `migrate status` could show.
                format!("the lines above say why; {again}")
            } else {
                format!("see `migrate status` for the reasons; {again}")
            }
        }
    }
}

/// Rows that queries at the target alone show, though they are harmless.
fn but_for_keys(verdict: &Verdict) -> String {
    match verdict.rows_marker {
        0 => String::new(),
        1 => ", but for 1 row that the target alone shows, with nothing but its key".to_owned(),
        rows => format!(", but for {} rows that the target alone shows, with nothing but their keys", count(rows)),
    }
}

/// From so many missing rows on, and a tenth of all, the copy is faster than a repair.
const MISSING_MANY: u64 = 100_000;

/// What to do about differences.
fn mend(begun: &VerificationBegun, verdict: &Verdict) -> &'static str {
    let repairable = verdict.rows_missing
        + verdict.rows_value_older
        + verdict.rows_value_tie
        + verdict.rows_value_unknown
        + verdict.rows_column_missing
        + verdict.rows_writetime
        + verdict.rows_expiry
        + verdict.rows_list;
    if !begun.repair && verdict.rows_missing > MISSING_MANY.max(verdict.rows_compared / 10) {
        "much is missing: `migrate …`, without `verify`, copies all of it anew and faster than `--repair` does row by row (with `--restart`, \
         where the job is done); what is newer at the target stays"
    } else if !begun.repair && repairable > 0 {
        "look at the file; `migrate verify … --repair` copies what is missing or older at the target, and compares it again; \
         `--partition KEY` looks at one partition"
    } else if !begun.delete_extra && verdict.rows_extra + verdict.rows_column_extra > 0 {
        "look at the file; `migrate verify … --delete-extra` deletes what the target alone has, after asking; if the target's \
         applications wrote it, it is theirs"
    } else {
        "look at the file, where each line says why: what is newer at the target than at the source isn't overwritten"
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
