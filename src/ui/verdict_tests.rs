//! The end of verifications, as operators see it.

use super::*;
use crate::checkpoint::status::TableState;
use crate::schema::TableName;
use crate::shutdown::Signal;
use crate::side::Side;
use crate::ui::snapshot::Counted;
use crate::verify::ended::PassEnded;
use std::path::PathBuf;

fn snapshot(rows_compared: u64) -> Snapshot {
    let compared = Comparison { rows_compared, ..Comparison::default() };
    Snapshot {
        fraction: 1.0,
        ranges: 24,
        ranges_done: 24,
        elapsed_ms: 5_140,
        compared: Some(compared),
        ..Snapshot::default()
    }
}

fn begun(snapshot: &mut Snapshot) -> &mut VerificationBegun {
    &mut snapshot.compared.as_mut().expect("of a verification").begun
}

fn ended(outcome: RunOutcome, verdict: Verdict) -> VerifyEnded {
    let differences = (verdict.rows_different > 0).then(|| PathBuf::from("migrate.db-differences.jsonl"));
    VerifyEnded { outcome, verdict, failed: 0, unclaimed: 0, signal: None, gave_up: None, differences }
}

fn table(name: &str, verdict: Verdict) -> TableProgress {
    let name = TableName { keyspace: "chat".to_owned(), table: name.to_owned() };
    TableProgress {
        source: name.clone(),
        target: name,
        state: TableState::Done,
        reason: None,
        ranges: 12,
        ranges_done: 12,
        ranges_failed: 0,
        counted: Counted::Compared(verdict),
    }
}

fn text(snapshot: &Snapshot, tables: &[TableProgress], ended: &VerifyEnded) -> String {
    verdict(snapshot, tables, ended, Style::plain())
}

const COMPARED: u64 = 1_000_000;

fn equal() -> Verdict {
    Verdict { rows_compared: COMPARED, bytes_read: 268_435_456, ..Verdict::default() }
}

#[test]
fn both_sides_are_equal() {
    insta::assert_snapshot!(text(&snapshot(COMPARED), &[table("messages", equal())], &ended(RunOutcome::Done, equal())), @"
    equal: 1 000 000 rows compared in 5.1s (195 k rows/s), 100.0 % of the ring
     rows compared     1 000 000 
     rows that differ          0 
     bytes compared    256.0 MiB 
     ranges compared    24 of 24 
     ranges failed             0 
     retries                   0 
    next: both sides are equal; while applications write, `migrate verify … --follow` watches that they stay so
    ");
}

#[test]
fn what_is_harmless_at_the_target_alone_is_told_where_both_sides_are_called_equal() {
    let last = |partitions, rows_marker| {
        let mut snapshot = snapshot(COMPARED);
        begun(&mut snapshot).partitions = partitions;
        let text = text(&snapshot, &[], &ended(RunOutcome::Done, Verdict { rows_marker, ..equal() }));
        text.lines().last().unwrap_or_default().to_owned()
    };
    insta::assert_snapshot!([last(0, 1), last(0, 4000), last(2, 2)].join("\n"), @"
    next: both sides are equal, but for 1 row that the target alone shows, with nothing but its key; while applications write, `migrate verify … --follow` watches that they stay so
    next: both sides are equal, but for 4 000 rows that the target alone shows, with nothing but their keys; while applications write, `migrate verify … --follow` watches that they stay so
    next: these partitions are equal, but for 2 rows that the target alone shows, with nothing but their keys; before writes to the source end, verify once more
    ");
}

#[test]
fn after_several_passes_the_rate_is_that_of_all_their_rows() {
    let passes = |rows, follow| {
        let mut snapshot = snapshot(rows);
        begun(&mut snapshot).follow = follow;
        let text = text(&snapshot, &[], &ended(RunOutcome::Done, equal()));
        text.lines().next().unwrap_or_default().to_owned()
    };
    let one = ended(RunOutcome::Done, Verdict { rows_compared: 1, ..Verdict::default() });
    let one = text(&snapshot(1), &[], &one).lines().next().unwrap_or_default().to_owned();
    insta::assert_snapshot!([passes(3 * COMPARED, true), passes(COMPARED, true), one].join("\n"), @"
    equal: 1 000 000 rows compared, 3 000 000 with the passes before, in 5.1s (584 k rows/s), 100.0 % of the ring
    equal: 1 000 000 rows compared in 5.1s (195 k rows/s), 100.0 % of the ring
    equal: 1 row compared in 5.1s (0 rows/s), 100.0 % of the ring
    ");
}

#[test]
fn a_sample_is_equal() {
    let mut snapshot = snapshot(COMPARED);
    (begun(&mut snapshot).sample, begun(&mut snapshot).seed) = (Some("1%".to_owned()), Some(7));
    let text = text(&snapshot, &[], &ended(RunOutcome::Done, equal()));
    assert!(text.contains("100.0 % of a sample of 1% of the ring (--seed 7)"), "{text}");
    assert!(text.ends_with("without `--sample` compares everything"), "{text}");
}

#[test]
fn rows_differ_in_two_tables_in_many_ways() {
    let first = Verdict {
        rows_different: 5,
        rows_missing: 2,
        rows_value_older: 2,
        rows_expiry: 1,
        rows_marker: 4,
        rows_rechecked: 12,
        ..equal()
    };
    let second =
        Verdict { rows_compared: 7, rows_different: 1, rows_extra: 1, rows_unsettled: 2, ..Verdict::default() };
    let mut all = first;
    all += second;
    let tables = [table("messages", first), table("channels", second)];
    insta::assert_snapshot!(text(&snapshot(600), &tables, &ended(RunOutcome::Done, all)), @"
    6 rows differ: 1 000 007 rows compared, 600 of them in 5.1s (116 rows/s), 100.0 % of the ring
     rows compared                                         1 000 007 
     rows that differ                                              6 
       missing at the target                                       2 
       at the target alone                                         1 
       an older value at the target                                2 
       another expiry of the same value                            1 
     rows that changed with each look                              2 
     harmless: nothing but its key, at the target alone *          4 
     rows looked at again                                         12 
     bytes compared                                        256.0 MiB 
     ranges compared                                        24 of 24 
     ranges failed                                                 0 
     retries                                                       0 
    * nothing but its key, at the target alone: its cells have expired or were deleted, and the row marker that a copy inferred is left
     table          state  rows compared  differ  missing  extra  value older  expiry  marker 
     chat.messages  done       1 000 000       5        2      0            2       1       4 
     chat.channels  done               7       1        0      1            0       0       0 
    file: each row is listed in migrate.db-differences.jsonl
    next: look at the file; `migrate verify … --repair` copies what is missing or older at the target, and compares it again; `--partition KEY` looks at one partition
    ");
}

#[test]
fn where_much_is_missing_the_copy_is_named() {
    let next = |rows_compared, rows_missing| {
        let verdict = Verdict { rows_compared, rows_different: rows_missing, rows_missing, ..Verdict::default() };
        text(&snapshot(600), &[], &ended(RunOutcome::Done, verdict)).lines().last().unwrap_or_default().to_owned()
    };
    assert!(next(300_000, 200_000).starts_with("next: much is missing: `migrate …`"), "{}", next(300_000, 200_000));
    for (compared, missing) in [(300_000, 90_000), (3_000_000, 200_000)] {
        assert!(next(compared, missing).contains("--repair` copies"), "{missing} of {compared}");
    }
}

#[test]
fn what_is_left_after_a_repair_says_what_to_do() {
    let next = |repair, delete_extra, verdict| {
        let mut snapshot = snapshot(COMPARED);
        (begun(&mut snapshot).repair, begun(&mut snapshot).delete_extra) = (repair, delete_extra);
        let text = text(&snapshot, &[], &ended(RunOutcome::Done, verdict));
        text.lines().last().unwrap_or_default().to_owned()
    };
    let extra = Verdict { rows_different: 3, rows_extra: 3, rows_repaired: 9, ..equal() };
    let newer = Verdict { rows_different: 3, rows_value_newer: 3, ..equal() };
    insta::assert_snapshot!([next(false, false, extra), next(false, false, newer), next(true, false, extra), next(true, true, newer)].join("\n"), @"
    next: look at the file; `migrate verify … --delete-extra` deletes what the target alone has, after asking; if the target's applications wrote it, it is theirs
    next: look at the file, where each line says why: what is newer at the target than at the source isn't overwritten
    next: look at the file; `migrate verify … --delete-extra` deletes what the target alone has, after asking; if the target's applications wrote it, it is theirs
    next: look at the file, where each line says why: what is newer at the target than at the source isn't overwritten
    ");
}

#[test]
fn what_could_not_be_compared_is_no_difference() {
    let mut broken = table("channels", Verdict::default());
    (broken.state, broken.reason) = (TableState::Broken, Some("it was dropped".to_owned()));
    let tables = [table("messages", equal()), broken];
    insta::assert_snapshot!(text(&snapshot(COMPARED), &tables, &ended(RunOutcome::Incomplete, equal())), @"
    nothing differs, but not everything could be compared: 1 000 000 rows compared in 5.1s (195 k rows/s), 100.0 % of the ring, of 1 of 2 tables
     rows compared     1 000 000 
     rows that differ          0 
     bytes compared    256.0 MiB 
     ranges compared    24 of 24 
     ranges failed             0 
     retries                   0 
     table          state   rows compared  differ 
     chat.messages  done        1 000 000       0 
     chat.channels  broken              0       0 
    broken: chat.channels: it was dropped
    next: mend what is broken; the same command compares again what could not be compared
    ");
    let unsettled = Verdict { rows_unsettled: 2, ..equal() };
    let text = text(&snapshot(COMPARED), &[], &ended(RunOutcome::Done, unsettled));
    assert!(text.starts_with("nothing differs, but not everything could be compared:"), "{text}");
    assert!(text.contains("longer `--recheck-after`"), "{text}");
}

#[test]
fn partitions_that_could_not_be_compared_are_in_no_status() {
    let mut named = snapshot(0);
    begun(&mut named).partitions = 1;
    let nothing = ended(RunOutcome::Incomplete, Verdict::default());
    let empty = text(&named, &[table("messages", Verdict::default())], &nothing);
    assert!(empty.starts_with("no row to compare at either side: 0 rows compared in 5.1s"), "{empty}");
    assert!(empty.contains("next: look whether the key is the right one"), "{empty}");
    let deleted = VerifyEnded { verdict: Verdict { rows_deleted: 3, ..Verdict::default() }, ..nothing.clone() };
    let deleted = text(&named, &[], &deleted);
    assert!(!deleted.contains("no row to compare"), "there were some: {deleted}");
    let failed = text(&named, &[], &VerifyEnded { failed: 1, ..nothing });
    assert!(failed.starts_with("nothing differs, but not everything could be compared:"), "{failed}");
    let next = "next: the lines above say why; the same command compares again what could not be compared";
    assert!(failed.ends_with(next), "{failed}");
}

#[test]
fn what_was_stopped_goes_on() {
    let stopped = VerifyEnded { signal: Some(Signal::Interrupt), ..ended(RunOutcome::Stopped, equal()) };
    let partly = Snapshot { fraction: 0.5, ranges_done: 12, ..snapshot(COMPARED) };
    let text = text(&partly, &[], &stopped);
    assert!(text.starts_with("stopped, nothing differs so far: 1 000 000 rows compared in 5.1s"), "{text}");
    assert!(text.contains("50.0 % of the ring") && text.ends_with("the same command carries on from here"), "{text}");
    let gave_up = VerifyEnded { gave_up: Some(Side::Target), ..ended(RunOutcome::Incomplete, equal()) };
    assert!(super::verdict(&partly, &[], &gave_up, Style::plain()).contains("once the target answers again"));
}

#[test]
fn a_pass_that_was_stopped_does_not_hide_what_the_one_before_had_found() {
    let stopped = VerifyEnded { signal: Some(Signal::Interrupt), ..ended(RunOutcome::Stopped, equal()) };
    let mut partly = Snapshot { fraction: 0.5, ..snapshot(5 * COMPARED) };
    let mut after = |rows_different, ranges_left_out| {
        let verdict = Verdict { rows_different, ..equal() };
        let (all_compared, tables_left_out) = (ranges_left_out == 0, Vec::new());
        let conclusion = Conclusion::of(&verdict, Some(RunOutcome::Done), all_compared);
        let ended = PassEnded { conclusion, all_compared, ranges_left_out, tables_left_out };
        partly.compared.as_mut().expect("of a verification").last_pass = Some(LastPass { pass: 4, ended, verdict });
        text(&partly, &[], &stopped)
    };
    let partial = after(0, 7);
    let last = "\nlast pass, number 4: nothing differed, but not everything could be compared; left out: 7 ranges\n";
    assert!(partial.contains(last), "{partial}");
    let text = after(2, 0);
    assert!(
        text.starts_with("stopped, nothing differs so far in this pass: 1 000 000 rows compared in 5.1s"),
        "{text}"
    );
    assert!(text.contains("\nlast whole pass, number 4: 2 rows differed\n"), "{text}");
}
