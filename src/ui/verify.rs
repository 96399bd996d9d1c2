//! What is said while both sides are compared.

use super::text::{Style, count, counted, duration, safe};
use crate::event::Event;
use crate::job::Verdict;
use crate::verify::difference::Class;
use crate::verify::ended::{PassEnded, VerificationBegun};
use crate::verify::line::{ColumnLine, DifferenceLine, KeyLiterals, Written, WrittenLine};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// So many differences are shown one by one, and as many rows that were written. All are counted, and in the file.
const SHOWN: u64 = 10;

/// The differences that are shown one by one.
#[derive(Debug, Default)]
pub(super) struct Examples {
    differences: u64,
    mended: u64,
    file: PathBuf,
}

impl Examples {
    /// What is said of a row that differs or was written: nothing, where there were enough of them. None where the event is another.
    pub(super) fn line(&mut self, event: &Event, style: Style) -> Option<String> {
        let (number, line, what) = match event {
            Event::VerificationBegun(begun) => {
                *self = Examples { file: begun.differences.clone(), ..Examples::default() };
                return None;
            }
            Event::Difference(line) => (&mut self.differences, difference(line, style), "rows that differ"),
            // What was not done in the end isn't worth a line here; the file has all of it.
            Event::Mended(line) if matches!(line.what, Written::Repairing | Written::Deleting) => {
                return Some(String::new());
            }
            Event::Mended(line) => (&mut self.mended, mended(line, style), "rows that were written"),
            _ => return None,
        };
        *number += 1;
        Some(match (*number).cmp(&(SHOWN + 1)) {
            std::cmp::Ordering::Less => line,
            std::cmp::Ordering::Equal => {
                let file = safe(&self.file.display().to_string());
                format!("{} more {what} are counted, not shown; all of them are in {file}", style.dim("note:"))
            }
            std::cmp::Ordering::Greater => String::new(),
        })
    }
}

/// What is compared.
pub(super) fn begun(begun: &VerificationBegun, style: Style) -> String {
    let VerificationBegun { sample, seed, partitions, found, .. } = begun;
    let tables = found.tables.iter().filter(|table| table.ranges > 0).count();
    let tables = if tables == 1 { "1 table".to_owned() } else { format!("{tables} tables") };
    let what = match (sample, partitions) {
        (Some(share), _) => format!("{share} of {tables}, --seed {}", seed.unwrap_or_default()),
        (None, 0) => tables,
        (None, 1) => format!("1 partition of {tables}"),
        (None, partitions) => format!("{} partitions of {tables}", count(*partitions as u64)),
    };
    if !begun.resumed {
        return format!("  verify   {what}, {}", counted(found.ranges, "range"));
    }
    let failed = match found.ranges_failed {
        0 => String::new(),
        failed => format!(", {} that failed are tried again", count(failed)),
    };
    format!(
        "{} {what}: {} of {} and {} are compared ({:.1} %){failed}",
        style.good("resuming:"),
        count(found.ranges_done),
        counted(found.ranges, "range"),
        counted(found.verdict.rows_compared, "row"),
        found.fraction * 100.0,
    )
}

/// A row that differs, on one line.
fn difference(line: &DifferenceLine, style: Style) -> String {
    let class = line.class.unwrap_or(Class::Unsettled);
    let word = match class {
        Class::Unsettled => style.warn("unsettled:"),
        _ if line.harmless => style.dim("harmless:"),
        _ => style.bad("differs:"),
    };
    let mut text = format!("{word} {}: {}", place(&line.table, &line.key, line.is_static), words(class));
    // Of a row that one side alone has, the columns say nothing new.
    let columns = if matches!(class, Class::Missing | Class::Extra) { &[][..] } else { &line.columns };
    if let Some(first) = columns.iter().find(|column| column.class == class) {
        let _ = write!(text, ": {}", column(first));
    }
    if columns.len() > 1 {
        let _ = write!(text, " (and {} more)", columns.len() - 1);
    }
    if let Some(note) = &line.note {
        let _ = write!(text, "; {}", safe(note));
    }
    text
}

/// A row that was written or deleted, on one line.
fn mended(line: &WrittenLine, style: Style) -> String {
    let word = match line.what {
        Written::Repairing | Written::Deleting => style.dim("about to write:"),
        Written::Repaired => style.good("repaired:"),
        Written::Deleted => style.warn("deleted:"),
    };
    format!("{word} {}", place(&line.table, &line.key, line.is_static))
}

/// What a pass has come to; another follows.
pub(super) fn pass_done(pass: u64, took_ms: u64, ended: &PassEnded, verdict: &Verdict, style: Style) -> String {
    let different = came_to(["differs", "differ"], ended, verdict, style);
    let took = duration(Duration::from_millis(took_ms));
    let compared = counted(verdict.rows_compared, "row");
    format!("pass {}: {different}, {compared} compared in {took}{}", count(pass), left_out(ended, verdict))
}

/// How much differs, or did, as `words` say of one row and of many; and whether that is all.
pub(super) fn came_to([one, many]: [&str; 2], ended: &PassEnded, verdict: &Verdict, style: Style) -> String {
    let rest = if ended.all_compared { "" } else { ", and not everything could be compared" };
    match verdict.rows_different {
        0 if ended.all_compared => style.good(&format!("nothing {one}")),
        0 => style.warn(&format!("nothing {one}, but not everything could be compared")),
        1 => style.bad(&format!("1 row {one}{rest}")),
        rows => style.bad(&format!("{} rows {many}{rest}", count(rows))),
    }
}

/// What a pass couldn't compare.
pub(super) fn left_out(ended: &PassEnded, verdict: &Verdict) -> String {
    let ranges = Some(counted(ended.ranges_left_out, "range")).filter(|_| ended.ranges_left_out > 0);
    let unsettled = Some(counted(verdict.rows_unsettled, "row") + " that changed with each look");
    let tables = ended.tables_left_out.iter().map(|table| safe(&table.to_string()));
    let parts: Vec<String> =
        ranges.into_iter().chain(unsettled.filter(|_| verdict.rows_unsettled > 0)).chain(tables).collect();
    if parts.is_empty() { String::new() } else { format!("; left out: {}", parts.join(", ")) }
}

/// Which row.
fn place(table: &str, KeyLiterals(key): &KeyLiterals, is_static: bool) -> String {
    let key: Vec<String> = key.iter().map(|(name, literal)| format!("{} = {}", safe(name), safe(literal))).collect();
    format!("{} {}{}", safe(table), key.join(", "), if is_static { " (static)" } else { "" })
}

/// What a column has at either side.
fn column(line: &ColumnLine) -> String {
    let element = line.element.as_ref().map_or_else(String::new, |element| format!("[{}]", safe(element)));
    let side = |cell: &Option<crate::verify::line::CellLine>| match (cell, line.class) {
        (None, _) => "nothing".to_owned(),
        (Some(cell), Class::Writetime | Class::Capped | Class::UnknownTimestamp) => {
            cell.writetime.map_or_else(|| "unknown".to_owned(), |writetime| writetime.to_string())
        }
        (Some(cell), Class::Expiry) => {
            cell.expires_at.map_or_else(|| "never".to_owned(), |at| super::text::instant(at.saturating_mul(1000)))
        }
        (Some(cell), _) => safe(&cell.value),
    };
    format!(
        "{}{element} is {} at the source, {} at the target",
        safe(&line.column),
        side(&line.source),
        side(&line.target)
    )
}

/// A class for people.
pub(super) fn words(class: Class) -> &'static str {
    match class {
        Class::Missing => "missing at the target",
        Class::Extra => "at the target alone",
        Class::ValueOlder => "an older value at the target",
        Class::ValueNewer => "a newer value at the target",
        Class::ValueTie => "another value of the same writetime",
        Class::ValueUnknown => "another value of unknown writetime",
        Class::ColumnMissing => "a column or an element missing at the target",
        Class::ColumnExtra => "a column or an element at the target alone",
        Class::List => "a list in another order, or with other elements",
        Class::Writetime => "another writetime of the same value",
        Class::Expiry => "another expiry of the same value",
        Class::Unsettled => "another row with each look",
        Class::Marker => "nothing but its key, at the target alone",
        Class::UnknownTimestamp => "the --unknown-timestamp at the target",
        Class::Capped => "a writetime that was lowered for the target",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Conclusion, FoundVerification, VerifiedTable};
    use crate::schema::TableName;
    use crate::verify::difference::Classes;
    use crate::verify::line::CellLine;

    fn key() -> KeyLiterals {
        KeyLiterals(vec![("channel".to_owned(), "42".to_owned()), ("id".to_owned(), "'\u{1b}[2J'".to_owned())])
    }

    fn cell(value: &str) -> CellLine {
        CellLine { value: value.to_owned(), hex: "0x".to_owned(), writetime: Some(7), expires_at: Some(60) }
    }

    fn line(class: Class, columns: Vec<ColumnLine>) -> DifferenceLine {
        DifferenceLine {
            table: "chat.messages".to_owned(),
            target: "chat.messages".to_owned(),
            class: Some(class),
            classes: Classes::from(class),
            key: key(),
            key_hex: Vec::new(),
            token: 1,
            is_static: class == Class::Extra,
            columns,
            harmless: class.is_harmless(),
            note: None,
        }
    }

    fn column(class: Class, target: Option<CellLine>) -> ColumnLine {
        let element = (class == Class::ColumnMissing).then(|| "'k'".to_owned());
        ColumnLine { column: "body".to_owned(), element, class, list: None, source: Some(cell("'x'")), target }
    }

    #[test]
    fn each_class_is_told_in_words() {
        let lines = Class::ALL.map(|class| {
            let columns = match class {
                Class::Marker => Vec::new(),
                Class::ColumnMissing => vec![column(class, None)],
                Class::ValueTie => vec![column(class, Some(cell("'y'"))), column(Class::Expiry, Some(cell("'x'")))],
                _ => vec![column(class, Some(cell("'y'")))],
            };
            difference(&line(class, columns), Style::plain())
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        differs: chat.messages channel = 42, id = '\u{1b}[2J': missing at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J' (static): at the target alone
        differs: chat.messages channel = 42, id = '\u{1b}[2J': an older value at the target: body is 'x' at the source, 'y' at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J': a newer value at the target: body is 'x' at the source, 'y' at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J': another value of the same writetime: body is 'x' at the source, 'y' at the target (and 1 more)
        differs: chat.messages channel = 42, id = '\u{1b}[2J': another value of unknown writetime: body is 'x' at the source, 'y' at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J': a column or an element missing at the target: body['k'] is 'x' at the source, nothing at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J': a column or an element at the target alone: body is 'x' at the source, 'y' at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J': a list in another order, or with other elements: body is 'x' at the source, 'y' at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J': another writetime of the same value: body is 7 at the source, 7 at the target
        differs: chat.messages channel = 42, id = '\u{1b}[2J': another expiry of the same value: body is 1970-01-01T00:01:00Z at the source, 1970-01-01T00:01:00Z at the target
        unsettled: chat.messages channel = 42, id = '\u{1b}[2J': another row with each look: body is 'x' at the source, 'y' at the target
        harmless: chat.messages channel = 42, id = '\u{1b}[2J': nothing but its key, at the target alone
        harmless: chat.messages channel = 42, id = '\u{1b}[2J': the --unknown-timestamp at the target: body is 7 at the source, 7 at the target
        harmless: chat.messages channel = 42, id = '\u{1b}[2J': a writetime that was lowered for the target: body is 7 at the source, 7 at the target
        ");
    }

    #[test]
    fn enough_examples_are_enough() {
        let mut examples = Examples::default();
        let begun = VerificationBegun { differences: "found.jsonl".into(), ..VerificationBegun::default() };
        assert_eq!(examples.line(&Event::VerificationBegun(Box::new(begun.clone())), Style::plain()), None);
        let event = Event::Difference(Box::new(line(Class::Missing, Vec::new())));
        let lines: Vec<String> = (0..30).filter_map(|_| examples.line(&event, Style::plain())).collect();
        assert_eq!(lines.len(), 30);
        assert_eq!(lines.iter().filter(|line| line.starts_with("differs:")).count(), 10);
        assert_eq!(lines[10], "note: more rows that differ are counted, not shown; all of them are in found.jsonl");
        assert!(lines[11..].iter().all(String::is_empty));
        let written = WrittenLine {
            what: Written::Deleted,
            table: "chat.messages".to_owned(),
            target: "chat.messages".to_owned(),
            key: key(),
            key_hex: Vec::new(),
            token: 1,
            is_static: false,
            columns: Vec::new(),
        };
        let mended = Event::Mended(Box::new(written));
        insta::assert_snapshot!(examples.line(&mended, Style::plain()).unwrap_or_default(), @r"deleted: chat.messages channel = 42, id = '\u{1b}[2J'");
        // The next pass has its own.
        examples.line(&Event::VerificationBegun(Box::new(begun)), Style::plain());
        assert!(examples.line(&event, Style::plain()).is_some_and(|line| line.starts_with("differs:")));
    }

    #[test]
    fn what_is_compared_is_told() {
        let name = TableName { keyspace: "ks".to_owned(), table: "t".to_owned() };
        let table = VerifiedTable {
            source: name.clone(),
            target: name,
            ranges: 9,
            weight: 9,
            ranges_done: 3,
            fraction: 0.5,
            verdict: Verdict::default(),
            broken: None,
        };
        let verdict = Verdict { rows_compared: 1_234_567, ..Verdict::default() };
        let found = FoundVerification {
            ranges: 1024,
            ranges_done: 3,
            ranges_failed: 2,
            fraction: 0.5,
            verdict,
            tables: vec![table],
        };
        let all = VerificationBegun { found, ..VerificationBegun::default() };
        let sample = VerificationBegun { sample: Some("0.5%".to_owned()), seed: Some(7), ..all.clone() };
        let partitions = VerificationBegun { partitions: 3, resumed: true, ..all.clone() };
        let lines = [all, sample, partitions].map(|which| begun(&which, Style::plain()));
        insta::assert_snapshot!(lines.join("\n"), @"
          verify   1 table, 1 024 ranges
          verify   0.5% of 1 table, --seed 7, 1 024 ranges
        resuming: 3 partitions of 1 table: 3 of 1 024 ranges and 1 234 567 rows are compared (50.0 %), 2 that failed are tried again
        ");
    }

    #[test]
    fn a_pass_tells_whether_it_has_compared_everything() {
        let pass = |rows_different, ended: &PassEnded| {
            let verdict = Verdict { rows_compared: 1_234_567, rows_different, ..Verdict::default() };
            pass_done(2, 61_000, ended, &verdict, Style::plain())
        };
        let whole = PassEnded {
            conclusion: Conclusion::Equal,
            all_compared: true,
            ranges_left_out: 0,
            tables_left_out: Vec::new(),
        };
        let table = |table: &str| TableName { keyspace: "chat".to_owned(), table: table.to_owned() };
        let tables_left_out = vec![table("channels"), table("\u{1b}[2J")];
        let ranges = PassEnded { all_compared: false, ranges_left_out: 3, ..whole.clone() };
        let tables = PassEnded { ranges_left_out: 1, tables_left_out, ..ranges.clone() };
        // Tables that have no place in the job are told at the beginning.
        let others = PassEnded { ranges_left_out: 0, ..ranges.clone() };
        let unsettled = Verdict { rows_unsettled: 2, ..Verdict::default() };
        let lines = [
            pass(0, &whole),
            pass(1, &whole),
            pass(0, &ranges),
            pass(0, &others),
            pass(1, &tables),
            pass(2000, &ranges),
            pass_done(3, 100, &others, &unsettled, Style::plain()),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        pass 2: nothing differs, 1 234 567 rows compared in 1m 01s
        pass 2: 1 row differs, 1 234 567 rows compared in 1m 01s
        pass 2: nothing differs, but not everything could be compared, 1 234 567 rows compared in 1m 01s; left out: 3 ranges
        pass 2: nothing differs, but not everything could be compared, 1 234 567 rows compared in 1m 01s
        pass 2: 1 row differs, and not everything could be compared, 1 234 567 rows compared in 1m 01s; left out: 1 range, chat.channels, chat.\u{1b}[2J
        pass 2: 2 000 rows differ, and not everything could be compared, 1 234 567 rows compared in 1m 01s; left out: 3 ranges
        pass 3: nothing differs, but not everything could be compared, 0 rows compared in 0.1s; left out: 2 rows that changed with each look
        ");
    }
}
