//! Verifications in the file, under use and abuse.

use super::tests::{created, job, sql};
use super::*;
use crate::event::Events;
use crate::job::{Conclusion, Cursor, RangeKey, Verification};
use crate::ring::{Token, tile};
use crate::row::RowKey;
use proptest::prelude::*;
use tempfile::TempDir;

fn parameters() -> BTreeMap<String, String> {
    BTreeMap::from([("sample".to_owned(), "1%".to_owned()), ("seed".to_owned(), "7".to_owned())])
}

/// Each table in four ranges in another order than the ring's, of which the one at `skipped` isn't compared.
fn quarters(skipped: usize) -> BTreeMap<usize, Vec<(TokenRange, bool)>> {
    let mut ranges = tile(&[], 4);
    ranges.rotate_left(1);
    let ranges: Vec<_> = ranges.into_iter().enumerate().map(|(position, range)| (range, position != skipped)).collect();
    BTreeMap::from([(0, ranges.clone()), (1, ranges)])
}

/// A verification of two tables with three ranges each that are compared, in a file of a copy that has yet to begin.
fn begun() -> (TempDir, PathBuf, Checkpoint) {
    let (folder, path) = created();
    let mut checkpoint = open(&path).expect("opens");
    checkpoint.begin_verification(&parameters(), &quarters(2)).expect("begun");
    (folder, path, checkpoint)
}

fn latest(checkpoint: &Checkpoint) -> Verification {
    checkpoint.verification().expect("readable").expect("there is one")
}

fn keys(checkpoint: &Checkpoint) -> Vec<RangeKey> {
    checkpoint.verification_work().expect("tiles").1.iter().map(|work| work.key).collect()
}

/// Ten rows, of which one is missing.
fn one_missing() -> Verdict {
    Verdict { rows_compared: 10, rows_different: 1, rows_missing: 1, bytes_read: 99, ..Verdict::default() }
}

fn ten_equal() -> Verdict {
    Verdict { rows_compared: 10, bytes_read: 99, ..Verdict::default() }
}

fn one_repaired() -> Verdict {
    Verdict { rows_repaired: 1, ..Verdict::default() }
}

/// A run in which `changes` are reported, each in a group of its own or all in one; gives what is committed by its events.
fn run(path: &Path, changes: &[Change<Verdict>], outcome: Option<RunOutcome>) -> Verdict {
    let mut checkpoint = open(path).expect("opens");
    let events = Events::none();
    *events.counters().verdict() = checkpoint.verification_work().expect("tiles").0.verdict;
    checkpoint.begin_run(RunCommand::Verify, stored::LEVELS).expect("begun");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let committer: Committer<Verdict> = Committer::start(checkpoint, events.clone());
        let ledger = committer.ledger();
        for change in changes {
            ledger.report(change.clone()).await.expect("taken");
        }
        if let Some(outcome) = outcome {
            let mut checkpoint = committer.finish(outcome, 0, vec![]).await.expect("ended");
            checkpoint.end_verification(outcome).expect("ended");
        }
    });
    *events.counters().verdict()
}

#[test]
fn what_is_set_meanwhile_holds_a_commit_up_and_does_not_fail_it() {
    let (_folder, path, mut checkpoint) = begun();
    let key = keys(&checkpoint)[0];
    checkpoint.begin_run(RunCommand::Verify, stored::LEVELS).expect("begun");
    let (held, holds) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let setting = scope.spawn(|| {
            control::write_beside(&path, "set", |connection| {
                let set = "INSERT INTO control (name, value, set_at) VALUES ('readers', '3', 1)";
                connection.execute(set, ()).expect("set");
                held.send(()).expect("awaited");
                // As long as a busy disk may take.
                std::thread::sleep(Duration::from_millis(200));
                Ok(())
            })
        });
        holds.recv().expect("held");
        checkpoint.commit::<Verdict>(&fold::fold(vec![Change::Claimed { key }])).expect("committed");
        setting.join().expect("no panic").expect("set");
    });
}

#[test]
fn a_verification_has_its_own_ranges_order_and_counts() {
    let (_folder, path, checkpoint) = begun();
    let (found, work) = checkpoint.verification_work().expect("tiles");
    let expected: Vec<_> = quarters(2)[&0].iter().filter(|(_, compared)| *compared).map(|(range, _)| *range).collect();
    let of = |table| work.iter().filter(|work| work.key.table == table).map(|work| work.key.range).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), (expected.clone(), expected));
    assert_eq!(work[0].key.table, 0, "tables take turns");
    assert_eq!(work[1].key.table, 1, "tables take turns");
    assert_eq!((found.ranges, found.ranges_done, found.fraction), (6, 0, 0.0));
    drop(checkpoint);

    let keys: Vec<RangeKey> = work.iter().map(|work| work.key).collect();
    let half = Cursor { token: Some(keys[1].range.cuts(2)[0]), row: None };
    let committed = run(
        &path,
        &[
            Change::Done { key: keys[0], tally: one_missing() },
            Change::Moved { key: keys[1], cursor: half.clone(), tally: ten_equal() },
            Change::Failed { key: keys[2], error: "no".to_owned(), remedy: Some("try".to_owned()) },
        ],
        Some(RunOutcome::Incomplete),
    );
    let checkpoint = open(&path).expect("opens");
    let (found, left) = checkpoint.verification_work().expect("tiles");
    assert_eq!((found.ranges_done, found.ranges_failed, left.len()), (1, 1, 5));
    assert_eq!(left[0], Work { key: keys[1], cursor: half });
    assert!((found.tables[0].fraction - 1.0 / 3.0).abs() < 1e-9, "what is skipped doesn't count: {found:?}");
    assert!((found.fraction - 0.25).abs() < 1e-9, "half of one of three, and one of three: {found:?}");
    assert_eq!((found.verdict.rows_compared, found.verdict.rows_missing), (20, 1));
    assert_eq!(committed, found.verdict);

    let verification = latest(&checkpoint);
    assert_eq!((verification.id, verification.parameters.clone()), (1, parameters()));
    assert_eq!((verification.outcome, verification.is_finished()), (Some(RunOutcome::Incomplete), false));
    assert_eq!((verification.ranges, verification.ranges_different), (6, 1));
    assert_eq!(verification.conclusion(), Conclusion::Differences);
    // The copy has seen nothing of it.
    let (copy, work) = checkpoint.work().expect("tiles");
    assert_eq!((copy.runs, copy.ranges_done, copy.tally, work.len()), (0, 0, Tally::default(), 9));
}

#[test]
fn a_verification_begins_from_the_present_ranges_of_the_copy() {
    let (_folder, path) = created();
    let mut checkpoint = open(&path).expect("opens");
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    let key = checkpoint.work().expect("tiles").1[0].key;
    let into = Work { key, cursor: Cursor::default() }.cut(&key.range.cuts(3));
    checkpoint.commit(&[Update::<Tally>::Split { key, into }]).expect("committed");
    let ranges = checkpoint.copy_ranges().expect("tiles");
    assert_eq!((ranges[&0].len(), ranges[&1].len()), (8, 3));
    assert_eq!(ranges[&0][0].first(), key.range.first(), "in the order of the claims");
    let all =
        ranges.into_iter().map(|(table, ranges)| (table, ranges.into_iter().map(|range| (range, true)).collect()));
    checkpoint.begin_verification(&parameters(), &all.collect()).expect("begun");
    assert_eq!(checkpoint.verification_work().expect("tiles").1.len(), 11);
}

#[test]
fn a_crash_loses_what_was_not_committed_and_no_more() {
    let (_folder, path, checkpoint) = begun();
    let keys = keys(&checkpoint);
    drop(checkpoint);
    run(&path, &[Change::Done { key: keys[0], tally: one_missing() }], Some(RunOutcome::Stopped));
    // The committer is dropped before the end of its first group.
    let changes = [Change::Claimed { key: keys[1] }, Change::Done { key: keys[1], tally: one_missing() }];
    run(&path, &changes, None);
    let checkpoint = open(&path).expect("opens");
    let verification = latest(&checkpoint);
    assert_eq!((verification.ranges_done, verification.verdict), (1, one_missing()));
    assert_eq!(checkpoint.verification_work().expect("tiles").1.len(), 5);
}

#[test]
fn a_split_keeps_tiling_and_counts() {
    let (_folder, path, checkpoint) = begun();
    let key = keys(&checkpoint)[0];
    drop(checkpoint);
    let row = RowKey::new(&[0; 12], &[]);
    let cursor = Cursor { token: Some(key.range.cuts(4)[0]), row: Some(row) };
    let into = Work { key, cursor: cursor.clone() }.cut(&key.range.cuts(3));
    let changes = [
        Change::Claimed { key },
        Change::Moved { key, cursor, tally: one_missing() },
        Change::Split { key, into: into.clone() },
        Change::Done { key: into[2].key, tally: ten_equal() },
    ];
    run(&path, &changes, Some(RunOutcome::Stopped));
    let checkpoint = open(&path).expect("opens");
    let (found, work) = checkpoint.verification_work().expect("tiles");
    assert_eq!((found.ranges, found.ranges_done, found.verdict.rows_compared), (8, 1, 20));
    let pieces: Vec<&Work> = work.iter().filter(|work| key.range.contains(work.key.range.first())).take(2).collect();
    assert_eq!(pieces, [&into[0], &into[1]]);
    assert_eq!(found.tables[0].weight, 3, "pieces weigh what the range did");
}

#[test]
fn a_range_that_is_begun_anew_keeps_what_was_done_to_the_target() {
    for each_alone in [true, false] {
        let (_folder, path, checkpoint) = begun();
        let key = keys(&checkpoint)[0];
        drop(checkpoint);
        let cursor = Cursor { token: Some(key.range.cuts(2)[0]), row: None };
        let changes = [
            Change::Moved { key, cursor, tally: Verdict { rows_repaired: 2, ..one_missing() } },
            Change::Again { key, kept: one_repaired() },
            Change::Done { key, tally: ten_equal() },
        ];
        let expected = Verdict { rows_repaired: 3, ..ten_equal() };
        let mut committed = Verdict::default();
        if each_alone {
            for change in &changes {
                committed = run(&path, std::slice::from_ref(change), Some(RunOutcome::Stopped));
                let checkpoint = open(&path).expect("opens");
                assert_eq!(latest(&checkpoint).verdict, committed);
                if matches!(change, Change::Again { .. }) {
                    assert_eq!(committed, Verdict { rows_repaired: 3, ..Verdict::default() });
                    let work = &checkpoint.verification_work().expect("tiles").1[0];
                    assert_eq!(*work, Work { key, cursor: Cursor::default() });
                }
            }
        } else {
            committed = run(&path, &changes, Some(RunOutcome::Stopped));
        }
        let verification = latest(&open(&path).expect("opens"));
        assert_eq!((verification.verdict, committed), (expected, expected));
        assert_eq!(verification.ranges_done, 1);
    }
}

#[test]
fn what_a_run_takes_back_of_earlier_ones_is_told() {
    let (_folder, path, checkpoint) = begun();
    let key = keys(&checkpoint)[0];
    drop(checkpoint);
    run(&path, &[Change::Done { key, tally: one_missing() }], Some(RunOutcome::Done));
    let committed = run(&path, &[Change::Again { key, kept: one_repaired() }], Some(RunOutcome::Stopped));
    assert_eq!(committed, one_repaired());
    assert_eq!(latest(&open(&path).expect("opens")).verdict, one_repaired());
}

#[test]
fn what_was_told_beyond_a_cursor_counts_until_it_is_come_to_again() {
    for end in [None, Some("no")] {
        let (_folder, path, checkpoint) = begun();
        let keys = keys(&checkpoint);
        drop(checkpoint);
        let (key, counts) = (keys[0], Verdict { rows_repaired: 2, ..one_missing() });
        let cursor = Cursor { token: Some(key.range.cuts(2)[0]), row: None };
        let failed = end.map(|error| Change::Failed { key, error: error.to_owned(), remedy: None });
        let changes = [
            Change::Claimed { key },
            Change::Moved { key, cursor: cursor.clone(), tally: ten_equal() },
            Change::Beyond { key, counts },
        ];
        let changes: Vec<_> = changes.into_iter().chain(failed).collect();
        let mut all = ten_equal();
        all += counts;
        assert_eq!(run(&path, &changes, Some(RunOutcome::Incomplete)), all);
        let mut checkpoint = open(&path).expect("opens");
        let verification = latest(&checkpoint);
        assert_eq!((verification.verdict, verification.ranges_different), (all, 1));
        assert_eq!(verification.conclusion(), Conclusion::Differences);
        // A run that never comes to it changes nothing.
        checkpoint.begin_run(RunCommand::Verify, stored::LEVELS).expect("begun");
        let (found, work) = checkpoint.verification_work().expect("tiles");
        assert_eq!((found.verdict, &work[0]), (all, &Work { key, cursor }));
        drop(checkpoint);
        // What was done to the target stays so.
        let expected = Verdict { rows_repaired: 2, ..ten_equal() };
        assert_eq!(run(&path, &[Change::Claimed { key }], Some(RunOutcome::Stopped)), expected);
        assert_eq!(latest(&open(&path).expect("opens")).verdict, expected);
        let changes = [Change::Claimed { key }, Change::Beyond { key, counts: one_missing() }];
        run(&path, &changes, Some(RunOutcome::Stopped));
        let changes = [Change::Claimed { key }, Change::Done { key, tally: one_missing() }];
        let committed = run(&path, &changes, Some(RunOutcome::Incomplete));
        assert_eq!(committed, latest(&open(&path).expect("opens")).verdict);
        let verdict = latest(&open(&path).expect("opens")).verdict;
        assert_eq!((verdict.rows_compared, verdict.rows_missing, verdict.rows_repaired), (20, 1, 2));
    }
}

#[test]
fn ranges_that_differ_are_taken_up_again() {
    let (_folder, path, checkpoint) = begun();
    let keys = keys(&checkpoint);
    drop(checkpoint);
    let cursor = Cursor { token: Some(keys[4].range.cuts(2)[0]), row: None };
    let unsettled = Verdict { rows_unsettled: 1, ..ten_equal() };
    let changes = [
        Change::Done { key: keys[0], tally: Verdict { rows_deleted: 5, ..one_missing() } },
        Change::Done { key: keys[1], tally: ten_equal() },
        Change::Done { key: keys[2], tally: unsettled },
        Change::Done { key: keys[3], tally: Verdict { rows_marker: 1, ..ten_equal() } },
        // What differs in front of the place that can't be read has to be looked at, too.
        Change::Moved { key: keys[4], cursor, tally: one_missing() },
        Change::Failed { key: keys[4], error: "no".to_owned(), remedy: None },
        Change::Failed { key: keys[5], error: "no".to_owned(), remedy: None },
    ];
    run(&path, &changes, Some(RunOutcome::Incomplete));
    let mut checkpoint = open(&path).expect("opens");
    assert_eq!(checkpoint.reopen_different().expect("reopened"), 3);
    let (found, work) = checkpoint.verification_work().expect("tiles");
    let left: Vec<_> = work.iter().map(|work| work.key).collect();
    assert_eq!(left, [keys[0], keys[2], keys[4], keys[5]]);
    assert!(work.iter().all(|work| work.cursor == Cursor::default()));
    let expected =
        Verdict { rows_compared: 20, rows_marker: 1, rows_deleted: 5, bytes_read: 198, ..Verdict::default() };
    assert_eq!((found.verdict, found.ranges_failed), (expected, 1));
    let verification = latest(&checkpoint);
    assert_eq!((verification.ended_at, verification.outcome), (None, None), "it goes on");
    assert_eq!(checkpoint.reopen_different().expect("nothing left"), 0);
}

#[test]
fn the_next_verification_takes_the_place_of_the_last_but_for_its_sums() {
    let (_folder, path, checkpoint) = begun();
    let changes: Vec<_> = keys(&checkpoint).into_iter().map(|key| Change::Done { key, tally: one_missing() }).collect();
    drop(checkpoint);
    run(&path, &changes, Some(RunOutcome::Done));
    let mut checkpoint = open(&path).expect("opens");
    assert!(latest(&checkpoint).is_finished());
    // One that doesn't tile the ring leaves all as it was.
    let mut holed = quarters(0);
    holed.get_mut(&1).expect("there").pop();
    let refused = checkpoint.begin_verification(&parameters(), &holed);
    assert!(matches!(refused, Err(CheckpointError::Tiling { table: 1, .. })), "{refused:?}");
    assert_eq!(latest(&checkpoint).id, 1);

    let one = BTreeMap::from([(1, vec![(TokenRange::RING, true)])]);
    checkpoint.begin_verification(&BTreeMap::new(), &one).expect("begun");
    let verification = latest(&checkpoint);
    assert_eq!((verification.id, verification.ranges, verification.verdict), (2, 1, Verdict::default()));
    assert_eq!(verification.tables, BTreeSet::from([1]));
    assert_eq!((verification.is_finished(), verification.conclusion()), (false, Conclusion::Unfinished));
    assert_eq!(keys(&checkpoint), [RangeKey { table: 1, range: TokenRange::RING }]);
    drop(checkpoint);
    let sums = "SELECT ranges, ranges_done, ranges_different, rows_compared, rows_missing, rows_extra, bytes_read
                FROM verification WHERE id = 1";
    let sums: Vec<i64> = Connection::open(&path)
        .expect("opens")
        .query_row(sums, (), |row| (0..7).map(|column| row.get(column)).collect())
        .expect("kept");
    assert_eq!(sums, [6, 6, 6, 60, 6, 0, 594]);
}

#[test]
fn what_a_verification_concludes() {
    let (_folder, _path, checkpoint) = begun();
    let outcome = Some(RunOutcome::Done);
    let whole = Verification { ranges_done: 6, ended_at: Some(Duration::ZERO), outcome, ..latest(&checkpoint) };
    let with = |verdict| Verification { verdict, ..whole.clone() }.conclusion();
    assert_eq!(with(ten_equal()), Conclusion::Equal);
    assert_eq!(with(Verdict { rows_marker: 1, rows_capped: 1, ..ten_equal() }), Conclusion::Equal);
    assert_eq!(with(one_missing()), Conclusion::Differences);
    assert_eq!(with(Verdict { rows_unsettled: 1, ..ten_equal() }), Conclusion::Incomplete);
    let ended = |outcome| Verification { outcome, ..whole.clone() }.conclusion();
    assert_eq!(ended(Some(RunOutcome::Incomplete)), Conclusion::Incomplete, "a table is broken");
    assert_eq!((ended(Some(RunOutcome::Stopped)), ended(None)), (Conclusion::Unfinished, Conclusion::Unfinished));
    let outcome = Some(RunOutcome::Incomplete);
    let failed = Verification { ranges_done: 5, ranges_failed: 1, outcome, ..whole.clone() };
    assert_eq!((failed.conclusion(), failed.is_finished()), (Conclusion::Incomplete, false));
    let outcome = Some(RunOutcome::Stopped);
    assert_eq!(Verification { ranges_failed: 0, outcome, ..failed }.conclusion(), Conclusion::Unfinished);
    let nothing = Verification { ranges: 0, ranges_done: 0, ..whole.clone() };
    assert_eq!(nothing.conclusion(), Conclusion::Incomplete, "nothing was compared");
    assert!(whole.is_finished());
    assert!(!Verification { ended_at: None, ..whole }.is_finished(), "killed before its end was noted");
}

#[test]
fn a_missing_or_double_range_of_a_verification_is_found() {
    for damage in [
        "DELETE FROM verified_range WHERE table_id = 1 AND position = 1",
        "DELETE FROM verified_range WHERE table_id = 0 AND state = 'skipped'",
        "DROP TRIGGER a_cut_loses_no_verified_token;
         UPDATE verified_range SET last_token = last_token - 1 WHERE table_id = 0 AND position = 1",
        "INSERT INTO verified_range (table_id, first_token, last_token, position) VALUES (0, 5, 6, 99)",
        "DELETE FROM verified_range WHERE table_id = 1",
    ] {
        let (_folder, path, checkpoint) = begun();
        drop(checkpoint);
        sql(&path, damage).expect("SQLite lets us");
        let checkpoint = open(&path).expect("opens");
        let error = checkpoint.verification_work().expect_err(damage);
        assert!(matches!(error, CheckpointError::Tiling { .. }), "{damage}: {error}");
        checkpoint.work().expect("the copy's ranges are whole");
    }
    let (_folder, path, checkpoint) = begun();
    drop(checkpoint);
    sql(&path, "UPDATE verification SET tables = '[0]'").expect("SQLite lets us");
    let error = open(&path).expect("opens").verification_work().expect_err("ranges of another table");
    assert!(matches!(error, CheckpointError::Corrupt { .. }), "{error}");
}

#[test]
fn the_file_itself_refuses_what_can_not_be() {
    let (_folder, path, checkpoint) = begun();
    drop(checkpoint);
    let done = "UPDATE verified_range SET state = 'done', cursor = last_token, rows_compared = 3 WHERE table_id = 0 AND position = 0";
    sql(&path, done).expect("a range may become done");
    for wrong in [
        "UPDATE verified_range SET state = 'pending' WHERE state = 'done'",
        "UPDATE verified_range SET rows_compared = 5 WHERE state = 'done'",
        "UPDATE verified_range SET state = 'pending', cursor = NULL WHERE state = 'done'",
        "UPDATE verified_range SET state = 'pending' WHERE state = 'skipped'",
        "UPDATE verified_range SET state = 'done' WHERE table_id = 0 AND position = 1",
        "UPDATE verified_range SET cursor = last_token + 1 WHERE table_id = 0 AND position = 1",
        "UPDATE verified_range SET state = 'perhaps' WHERE table_id = 0 AND position = 1",
        "UPDATE verified_range SET last_token = last_token - 1",
        "UPDATE verified_range SET cursor = first_token + 7 WHERE table_id = 1 AND position = 1;
         UPDATE verified_range SET cursor = first_token + 6 WHERE table_id = 1 AND position = 1",
        "UPDATE verification SET outcome = 'done'",
        "UPDATE verification SET parameters = '7'",
    ] {
        assert!(sql(&path, wrong).is_err(), "{wrong}");
    }
    let anew = "UPDATE verified_range SET state = 'pending', cursor = NULL, rows_compared = 0 WHERE state = 'done'";
    sql(&path, anew).expect("begun anew");
}

#[test]
fn a_copy_begins_where_only_a_verification_was() {
    let (_folder, path, checkpoint) = begun();
    let changes: Vec<_> = keys(&checkpoint).into_iter().map(|key| Change::Done { key, tally: ten_equal() }).collect();
    drop(checkpoint);
    run(&path, &changes, Some(RunOutcome::Done));
    let mut checkpoint = open(&path).expect("opens");
    checkpoint.expect_job(&job().identity).expect("the same job");
    let (found, work) = checkpoint.work().expect("tiles");
    assert_eq!((found.runs, found.ranges_done, work.len()), (0, 0, 9));
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    assert_eq!(checkpoint.work().expect("tiles").0.runs, 1);
    assert!(latest(&checkpoint).is_finished(), "a copy leaves it alone");
    checkpoint.end_run(RunOutcome::Stopped, None, 0, &[]).expect("ended");
    drop(checkpoint);
    let status = status::read(&path).expect("readable");
    assert_eq!((status.runs, status.copies, status.counts.ranges_done), (2, 1, 0));
}

#[test]
fn a_range_whose_rows_were_deleted_is_not_one_without_rows() {
    let (_folder, path, checkpoint) = begun();
    let keys = keys(&checkpoint);
    drop(checkpoint);
    let deleted = Verdict { rows_deleted: 2, ..Verdict::default() };
    let changes = [
        Change::Done { key: keys[0], tally: ten_equal() },
        Change::Again { key: keys[1], kept: deleted },
        Change::Done { key: keys[1], tally: Verdict::default() },
        Change::Done { key: keys[2], tally: Verdict::default() },
    ];
    run(&path, &changes, Some(RunOutcome::Stopped));
    let empty = open(&path).expect("opens").ranges_without_rows().expect("readable");
    assert_eq!(empty, [keys[2]]);
}

#[test]
fn only_rows_that_were_copied_after_the_last_verification_overtake_it() {
    let (_folder, path, mut checkpoint) = begun();
    let overtaken = |checkpoint: &Checkpoint| checkpoint.copied_since_verified().expect("readable");
    assert!(!overtaken(&checkpoint), "nothing was ever copied");
    checkpoint.begin_run(RunCommand::Verify, stored::LEVELS).expect("begun");
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    assert!(!overtaken(&checkpoint), "that run has written nothing");
    sql(&path, "UPDATE run SET rows_written = 3").expect("SQLite lets us");
    assert!(overtaken(&checkpoint));
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    assert!(overtaken(&checkpoint), "whatever came of the run after it");
    checkpoint.begin_run(RunCommand::Verify, stored::LEVELS).expect("begun");
    assert!(!overtaken(&checkpoint));
}

#[test]
fn a_job_is_told_of_markers_that_were_inferred_beside_it() {
    let (folder, path, checkpoint) = begun();
    let identity = job().identity;
    assert!(!beside(&path, &identity).expect("readable").expect("there").any_marker_inferred);
    let source = job().tables[0].source.clone();
    let note = |path: &Path, identity: &[(&'static str, String)]| {
        note_marker_inferred(path, identity, std::slice::from_ref(&source))
    };
    // Whoever works on it.
    note(&path, &identity).expect("noted");
    assert!(checkpoint.any_marker_inferred().expect("readable"));
    note(&path, &identity).expect("known");
    let other: Vec<_> = identity.iter().map(|(name, value)| (*name, format!("{value}!"))).collect();
    assert!(matches!(note(&path, &other), Err(CheckpointError::OtherJob { .. })));
    note(&folder.path().join("none.db"), &identity).expect("nobody has to know");
    drop(checkpoint);
    assert!(beside(&path, &identity).expect("readable").expect("there").any_marker_inferred);
}

#[test]
fn the_status_tells_of_a_verification() {
    let (_folder, path, mut checkpoint) = begun();
    assert_eq!(status::read(&path).expect("readable").state, status::State::Running, "it has yet to begin its run");
    checkpoint.begin_run(RunCommand::Verify, stored::LEVELS).expect("begun");
    let status = status::read(&path).expect("readable");
    assert_eq!(status.state, status::State::Verifying);
    assert!(status.verification.expect("there is one").running);
    let keys = keys(&checkpoint);
    drop(checkpoint);
    let changes = [
        Change::Done { key: keys[0], tally: Verdict { rows_extra: 2, rows_different: 3, ..one_missing() } },
        Change::Done { key: keys[1], tally: Verdict { rows_marker: 1, ..ten_equal() } },
        Change::Failed { key: keys[2], error: "no".to_owned(), remedy: Some("try".to_owned()) },
    ];
    run(&path, &changes, Some(RunOutcome::Incomplete));
    let status = status::read(&path).expect("readable");
    assert_eq!(status.state, status::State::Stopped);
    let verification = status.verification.expect("there is one");
    let mut json = serde_json::to_value(&verification).expect("is JSON");
    for instant in ["started_at", "ended_at"] {
        assert!(json[instant].as_i64().is_some_and(|ms| ms > 1_500_000_000_000), "{json}");
        json[instant] = 7.into();
    }
    insta::assert_snapshot!(serde_json::to_string(&json).expect("is JSON").replace(",\"", ",\n\""), @r#"
    {"bytes_read":198,
    "conclusion":"differences",
    "ended_at":7,
    "failures":[{"attempts":0,
    "error":"no",
    "first":0,
    "last":4611686018427387903,
    "remedy":"try",
    "table":{"keyspace":"ks",
    "table":"a"}}],
    "fraction":0.3333333333333333,
    "id":1,
    "outcome":"incomplete",
    "parameters":{"sample":"1%",
    "seed":"7"},
    "ranges":6,
    "ranges_different":1,
    "ranges_done":2,
    "ranges_failed":1,
    "rows_capped":0,
    "rows_column_extra":0,
    "rows_column_missing":0,
    "rows_compared":20,
    "rows_deleted":0,
    "rows_different":3,
    "rows_expiry":0,
    "rows_extra":2,
    "rows_list":0,
    "rows_marker":1,
    "rows_marker_inferred":0,
    "rows_missing":1,
    "rows_rechecked":0,
    "rows_repaired":0,
    "rows_unknown_timestamp":0,
    "rows_unsettled":0,
    "rows_value_newer":0,
    "rows_value_older":0,
    "rows_value_tie":0,
    "rows_value_unknown":0,
    "rows_writetime":0,
    "running":false,
    "started_at":7}
    "#);
}

/// One step in the life of the ranges that are left, by numbers; `counted` has what each has counted.
fn change(
    left: &mut Vec<Work>,
    counted: &mut BTreeMap<(usize, Token), Verdict>,
    range: usize,
    step: u8,
) -> Change<Verdict> {
    let at = range % left.len();
    let Work { key, cursor } = &mut left[at];
    let (key, rest) = (*key, key.range.after(cursor.token));
    let counts = counted.entry((key.table, key.range.first())).or_default();
    match (step % 6, rest) {
        (0, _) | (_, None) => Change::Claimed { key },
        (1, _) => Change::Failed { key, error: "no".to_owned(), remedy: None },
        (2, _) => {
            *counts += one_missing();
            left.remove(at);
            Change::Done { key, tally: one_missing() }
        }
        (3, Some(rest)) => {
            let tally = Verdict { rows_repaired: u64::from(step > 100), ..one_missing() };
            *counts += tally;
            *cursor = Cursor { token: Some(rest.first()), row: None };
            Change::Moved { key, cursor: cursor.clone(), tally }
        }
        (4, _) => {
            *counts = counts.kept();
            *counts += one_repaired();
            *cursor = Cursor::default();
            Change::Again { key, kept: one_repaired() }
        }
        (5.., Some(rest)) => {
            let into = left.remove(at).cut(&rest.cuts(2));
            left.extend(into.iter().cloned());
            Change::Split { key, into }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever is reported, in whatever groups and runs: the file and the events say what was counted, and the ranges tile the
    /// ring.
    #[test]
    fn the_file_says_what_was_reported(runs in prop::collection::vec(prop::collection::vec((any::<usize>(), any::<u8>()), 0..30), 1..4)) {
        let (_folder, path, checkpoint) = begun();
        let (_, mut left) = checkpoint.verification_work().expect("tiles");
        drop(checkpoint);
        let mut counted = BTreeMap::new();
        for steps in runs {
            let mut changes = Vec::new();
            for (range, step) in steps {
                if !left.is_empty() {
                    changes.push(change(&mut left, &mut counted, range, step));
                }
            }
            let committed = run(&path, &changes, Some(RunOutcome::Stopped));
            let expected = counted.values().fold(Verdict::default(), |mut sums, counts| { sums += *counts; sums });
            prop_assert_eq!(committed, expected);
            let (found, mut work) = open(&path).expect("opens").verification_work().expect("tiles");
            prop_assert_eq!(found.verdict, expected);
            let order = |work: &Work| (work.key.table, work.key.range.first());
            work.sort_by_key(order);
            left.sort_by_key(order);
            prop_assert_eq!(&work, &left);
        }
    }
}
