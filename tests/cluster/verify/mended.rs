//! `--repair` and `--delete-extra`.

use super::{Field, Size, counted, counts, lines};
use crate::job::Job;
use crate::lab::{Lab, Node, THEN};
use crate::oracle::Kind;
use crate::planting::Planted;
use crate::planting::judge::{self, Key};
use serde_json::Value;
use std::collections::BTreeSet;

const SIZE: Size = Size { rows: 20_000, per_case: 60 };

/// The rows of lines of that type.
fn listed(job: &Job, wanted: &str) -> BTreeSet<Key> {
    lines(job).iter().filter(|line| line["type"] == wanted).map(judge::key).collect()
}

fn note(line: &Value) -> &str {
    line["note"].as_str().unwrap_or_default()
}

/// Goal: a repair mends all that the source's own writes can mend, and nothing else is touched; what it can't mend is still
/// told, and of what a newer delete covers it is said so; then `--delete-extra` deletes the rows and cells that the target alone has.
#[test]
fn a_repair_leaves_what_only_the_target_can_have() {
    let Some(field) = Field::plant("verify_repair", SIZE, false) else { return };
    let planted = &field.truth.planted;
    let left = judge::truth_after_repair(planted);
    let finished = field.verify().arg("--repair").run();
    finished.assert_code(4);
    let repaired = listed(&field.job, "repaired");
    for row in planted.iter().filter(|row| row.classes != row.left) {
        assert!(repaired.contains(&row.key()), "{}: {:?} is not listed as repaired", row.case, row.key());
    }
    let known: BTreeSet<Key> = planted.iter().map(Planted::key).collect();
    assert!(repaired.is_subset(&known), "rows were repaired in which nothing differs");
    // What was written and changed nothing is listed, and isn't counted; a list may have got what it lacked, elsewhere.
    let mended = planted.iter().filter(|row| row.classes != row.left).count() as u64;
    let lists = planted.iter().filter(|row| row.left == ["list"]).count() as u64;
    let counted_rows = counted(&finished, "rows_repaired");
    assert!((mended..=mended + lists).contains(&counted_rows), "{counted_rows} of {mended} to {}", mended + lists);
    // What a delete covers.
    let said = lines(&field.job);
    for row in planted.iter().filter(|row| row.case.contains("deleted at the target")) {
        let notes = said.iter().filter(|line| judge::key(line) == row.key()).map(note).collect::<Vec<_>>();
        assert!(notes.iter().any(|note| note.contains("delete")), "{}: {notes:?}", row.case);
    }

    field.verify().arg("--restart").run().assert_code(4);
    field.assert_found(&left);

    let finished = field.verify().args(&["--delete-extra", "--yes"]).run();
    finished.assert_code(4);
    let (extra, left) = judge::truth_without_extra(&left);
    assert_eq!(listed(&field.job, "deleted"), extra);
    assert_eq!(counted(&finished, "rows_deleted"), extra.len() as u64);
    field.verify().arg("--restart").run().assert_code(4);
    field.assert_found(&left);
}

/// Goal: where everything can be mended, both sides end equal, to the last writetime and expiry.
///
/// Method: the dumps judge. What was deleted has a tombstone at the target, and nothing else may differ.
#[test]
fn what_is_mended_is_equal() {
    let Some(field) = Field::plant("verify_mend", SIZE, true) else { return };
    field.verify().arg("--repair").run().assert_code(4);
    let finished = field.verify().args(&["--delete-extra", "--yes"]).run();
    finished.assert_code(0);
    let counted = counts(&field.job.checkpoint);
    assert_eq!(counted["rows_different"], 0, "{counted:?}");
    field.verify().succeed();
    assert_eq!(std::fs::read_to_string(field.job.differences()).unwrap_or_default(), "");
    for table in ["plain", "rich"] {
        let report = field.lab.differences(table, table);
        let tombstones = |kind: Kind| {
            matches!(
                kind,
                Kind::RowTombstone
                    | Kind::CellTombstone
                    | Kind::CollectionTombstone
                    | Kind::RangeTombstone
                    | Kind::PartitionTombstone
            )
        };
        let others: Vec<_> = report.differences.iter().filter(|(kind, _)| !tombstones(**kind)).collect();
        assert!(others.is_empty(), "{table}: {others:?}\n{report}");
        assert!(report.rows > SIZE.rows / 10, "{table} has {} rows", report.rows);
    }
}

/// Goal: a repair that is killed is one that goes on: nothing stays unrepaired, and what was mended is verified again.
#[test]
fn a_repair_that_is_killed_goes_on() {
    let Some(mut field) = Field::plant("verify_rekill", Size { rows: 10_000, per_case: 60 }, true) else { return };
    let slow = field.verify().args(&["--repair", "--rows-per-second", "15k"]);
    for _ in 0..6 {
        let mut run = slow.start();
        run.await_begin();
        let killed_at = std::time::Instant::now() + std::time::Duration::from_millis(field.lab.random.below(1500));
        while run.next(killed_at).is_some() {}
        run.kill();
    }
    // Whatever the last one was doing: until one ends with nothing left to repair.
    field.verify().arg("--repair").run().assert_code(4);
    field.verify().arg("--restart").run().assert_code(4);
    field.assert_found(&judge::truth_after_repair(&field.truth.planted));
}

/// Goal: a repair that is stopped tells each row that it has written, and that both sides differ.
#[test]
fn a_repair_that_is_stopped_tells_what_it_wrote() {
    const ROWS: i32 = 4000;
    let Some(lab) = Lab::open("verify_restop") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    lab.source.load(
        "INSERT INTO t (room, id, a) VALUES (?, ?, 'text') USING TIMESTAMP ?",
        (0..ROWS).map(|id| (id / 40, id, THEN)),
    );
    let repair = lab.job("t").verify().args(&["--repair", "--recheck-after", "20ms"]);
    let mut run = repair.clone().args(&["--rows-per-second", "200"]).start();
    run.await_type("repaired");
    run.signal("INT");
    let finished = run.finish();
    finished.assert_code(130);
    let at_target = u64::try_from(lab.target.raw("SELECT room, id FROM t").len()).unwrap();
    println!("{at_target} of {ROWS} rows are written");
    assert!(at_target > 0 && at_target < u64::try_from(ROWS).unwrap());
    assert_eq!(listed(&repair, "repaired").len() as u64, at_target);
    let end = finished.end();
    assert_eq!((&end["verdict"]["rows_repaired"], &end["conclusion"]), (&at_target.into(), &"unfinished".into()));
    assert_eq!(counts(&repair.checkpoint)["rows_repaired"], at_target);
    // The rest of it, and all of it looked at once more.
    repair.run().assert_code(0);
    let counted = counts(&repair.checkpoint);
    assert_eq!((counted["rows_different"], counted["rows_repaired"]), (0, u64::try_from(ROWS).unwrap()));
    lab.assert_equal("t", u64::try_from(ROWS).unwrap());
}

/// Goal: a repair doubles no list. What an application reads of one at the target is the source's list, or what it was before.
///
/// Method: SELECT judges, since a verification that takes lists apart as the repair does would not.
#[test]
fn a_repair_never_doubles_a_list() {
    const LISTS: &str = "SELECT k, l FROM t";
    let Some(lab) = Lab::open("verify_lists") else { return };
    lab.both("CREATE TABLE t (k int PRIMARY KEY, a text, l list<text>)");
    let write = |db: &Node, k: i32, set: &str, at: i64| {
        db.run(&format!("UPDATE t USING TIMESTAMP {} SET {set} WHERE k = {k}", THEN + at));
    };
    for k in 0..5 {
        for db in [&lab.source, &lab.target] {
            write(db, k, "a = 'old', l = ['a', 'b']", 5);
        }
    }
    // The write was lost at the target: of a list of the same elements, of a text, of both, of an end.
    write(&lab.source, 1, "l = ['a', 'b']", 10);
    write(&lab.source, 2, "a = 'new'", 10);
    write(&lab.source, 3, "a = 'new', l = ['a', 'b']", 10);
    write(&lab.source, 4, "l = l + ['c']", 10);
    // And of the list of another row, in the middle.
    write(&lab.source, 5, "l = ['a', 'x', 'b']", 10);
    write(&lab.target, 5, "l = ['a', 'b']", 10);
    let before = lab.target.raw(&format!("{LISTS} WHERE k = 5"));
    let job = lab.job("t").verify().args(&["--repair", "--recheck-after", "100ms"]);
    job.run().assert_code(4);
    let texts = "SELECT k, a FROM t";
    assert_eq!(lab.source.raw(texts), lab.target.raw(texts), "what could be repaired is");
    for k in 0..5 {
        let list = format!("{LISTS} WHERE k = {k}");
        assert_eq!(lab.source.raw(&list), lab.target.raw(&list), "the list of row {k}");
    }
    assert_eq!(lab.target.raw(&format!("{LISTS} WHERE k = 5")), before, "nothing is put where it doesn't belong");
    let said = lines(&job);
    let different: Vec<_> = said.iter().filter(|line| line["type"] == "difference").collect();
    assert_eq!(different.iter().map(|line| judge::key(line)).collect::<BTreeSet<Key>>().len(), 3, "{different:?}");
    assert!(different.iter().all(|line| note(line).contains("its list is left as it is")), "{different:?}");
    // And so it stays, however often it is repaired.
    job.args(&["--restart"]).run().assert_code(4);
    for k in 0..5 {
        let list = format!("{LISTS} WHERE k = {k}");
        assert_eq!(lab.source.raw(&list), lab.target.raw(&list), "the list of row {k}");
    }
}
