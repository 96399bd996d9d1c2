//! Rows that the target will never take: their keys go to the rejects file, all others arrive.

use crate::job::{Finished, Job};
use crate::lab::{Lab, THEN};
use crate::proxy::Proxy;
use scylla_proxy::{Condition, RequestReaction, RequestRule};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

const ROWS: i32 = 3000;
const DAY: i64 = 86_400_000_000;

fn file(job: &Job) -> PathBuf {
    PathBuf::from(format!("{}-rejects.jsonl", job.checkpoint.display()))
}

/// The lines of the rejects file, which belongs to its owner alone.
fn rejects(job: &Job) -> Vec<Value> {
    assert_eq!(std::fs::metadata(file(job)).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(file(job)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Code 3, all ranges done, and so many rows rejected.
fn assert_rejected(job: &Job, finished: &Finished, rows: u64) {
    finished.assert_code(3);
    assert_eq!(finished.end()["rejects"], file(job).display().to_string());
    let status = job.status();
    assert_eq!((&status["state"], &status["rows_rejected"]), (&"done".into(), &rows.into()), "{status:#}");
    assert_eq!(status["rows_read"], ROWS);
    assert_eq!(status["rows_written"], u64::try_from(ROWS).unwrap() - rows);
}

/// Goal: a write that the target will never take isn't repeated for ever, and costs no other row. Once the target does take it, a
/// repair brings it.
#[test]
fn a_row_that_is_refused_is_named_and_the_rest_arrives() {
    let Some(lab) = Lab::open("rejects_one") else { return };
    lab.both("CREATE TABLE t (room int, id text, a text, PRIMARY KEY (room, id))");
    let insert = "INSERT INTO t (room, id, a) VALUES (?, ?, ?) USING TIMESTAMP ?";
    let poisoned = |id: i32| id % 1000 == 291;
    let text = |id| if poisoned(id) { "poison" } else { "text" };
    lab.source.load(insert, (0..ROWS).map(|id| (id / 300, format!("it's {id}"), text(id), THEN)));
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    // Whatever holds such a row is refused; so batches are halved, down to it.
    let poison = Condition::BodyContainsCaseSensitive(Box::from(*b"poison"));
    proxy.on_requests(vec![RequestRule(poison, RequestReaction::forge().invalid())]);
    let job = lab.job("t");
    let finished = job.clone().target(&proxy.address).run();
    assert_rejected(&job, &finished, 3);
    let lines = rejects(&job);
    let keys: BTreeSet<(&str, &str)> =
        lines.iter().map(|line| (line["key"]["room"].as_str().unwrap(), line["key"]["id"].as_str().unwrap())).collect();
    assert_eq!(keys, [("0", "'it''s 291'"), ("4", "'it''s 1291'"), ("7", "'it''s 2291'")].into());
    for line in &lines {
        assert_eq!(line["table"], lab.name("t"));
        let number = |name: &str| line[name].as_i64().unwrap();
        assert!((number("first_token")..=number("last_token")).contains(&number("token")), "{line}");
        assert!(!line["reason"].as_str().unwrap().is_empty() && !line.to_string().contains("poison"), "{line}");
    }
    // What is at the target is everything else, and the literals find the rows at the source.
    assert_eq!(lab.target.rows::<(i64,)>("SELECT COUNT(*) FROM t")[0].0, i64::from(ROWS) - 3);
    let found = "SELECT a FROM t WHERE room = 4 AND id = 'it''s 1291'";
    assert_eq!(lab.source.rows::<(String,)>(found)[0].0, "poison");
    // There is nothing left to do, and it still isn't all right.
    job.run().assert_code(3);
    let refused = job.clone().target(&proxy.address).verify().args(&["--repair", "--recheck-after", "100ms"]).run();
    refused.assert_code(4);
    assert_eq!(refused.end()["verdict"]["rows_missing"], 3, "{}", refused.end());
    let notes: Vec<&str> = refused.events.iter().filter_map(|event| event["note"].as_str()).collect();
    assert!(notes.len() >= 3 && notes.iter().all(|note| note.contains("refuses")), "{notes:?}");
    assert_eq!(rejects(&job).len(), 6, "each of them once more");
    let mended = job.verify().args(&["--repair", "--recheck-after", "100ms"]).run();
    mended.assert_code(0);
    assert_eq!(mended.end()["verdict"]["rows_repaired"], 3, "{}", mended.end());
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Rows, some of which are written further ahead than the target takes: more than three days, as at ScyllaDB.
fn far_future(lab: &Lab) -> i64 {
    lab.both("CREATE TABLE t (k int, c int, a text, m map<int, int>, PRIMARY KEY (k, c))");
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let at = |i: i32| match i {
        7 => now + 3650 * DAY,
        // Nanoseconds that were taken for microseconds.
        1800 => now * 1000,
        i => THEN + i64::from(i),
    };
    let insert = "INSERT INTO t (k, c, a) VALUES (?, ?, ?) USING TIMESTAMP ?";
    lab.source.load(insert, (0..ROWS).map(|i| (i / 50, i, format!("text {i}"), at(i))));
    // One element of a row that is as old as the others.
    let element = "UPDATE t USING TIMESTAMP ? SET m = m + ? WHERE k = ? AND c = ?";
    let map = |key: i32| std::collections::HashMap::from([(key, key)]);
    lab.source.load_singly(element, [(now + 4 * DAY, map(1), 2, 120), (THEN, map(2), 2, 120)]);
    now
}

/// Goal: rows from the future go to the rejects file, unless the operator wants them capped.
///
/// The target's limit binds no superuser, and everybody is one where nobody logs in. So the proxy refuses what has such a
/// writetime.
#[test]
fn timestamps_of_the_far_future_are_rejected() {
    let Some(lab) = Lab::open("rejects_future") else { return };
    let now = far_future(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let late = [now + 3650 * DAY, now * 1000, now + 4 * DAY];
    let late = late.map(|writetime| Condition::BodyContainsCaseSensitive(Box::from(writetime.to_be_bytes())));
    proxy.on_requests(vec![RequestRule(Condition::any(late), RequestReaction::forge().invalid())]);
    let job = lab.job("t");
    let finished = job.clone().target(&proxy.address).run();
    assert_rejected(&job, &finished, 3);
    let keys: BTreeSet<String> =
        rejects(&job).iter().map(|line| line["key"]["c"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, ["7", "120", "1800"].map(str::to_owned).into());
    let there = lab.target.rows::<(i32,)>("SELECT c FROM t");
    assert_eq!(there.len(), usize::try_from(ROWS - 3).unwrap());
}

/// Goal: capped writetimes arrive, counted, as late as the target took them when the job was made; in each run the same.
#[test]
fn timestamps_of_the_far_future_are_capped_where_asked_for() {
    let Some(lab) = Lab::open("rejects_capped") else { return };
    let now = far_future(&lab);
    let job = lab.job("t").args(&["--future-timestamps", "cap"]);
    let finished = job.succeed();
    assert_eq!(finished.end()["job"]["rows_capped"], 3, "{}", finished.end());
    assert_eq!(job.status()["rows_capped"], 3);
    assert!(!file(&job).exists());
    let writetimes = || {
        let cells = lab.target.rows::<(i32, i64)>("SELECT c, WRITETIME(a) FROM t");
        cells.into_iter().filter(|(c, _)| [7, 120, 1800].contains(c)).collect::<Vec<_>>()
    };
    let found = writetimes();
    let late: BTreeSet<i64> = found.iter().filter(|(c, _)| *c != 120).map(|(_, writetime)| *writetime).collect();
    assert_eq!(late.len(), 1, "{found:?}");
    let ahead = late.first().unwrap() - now;
    assert!((2 * DAY..3 * DAY).contains(&ahead), "{ahead} µs ahead");
    assert!(found.contains(&(120, THEN + 120)), "its other cells keep theirs: {found:?}");
    let map = lab.target.rows::<(Vec<i64>,)>("SELECT WRITETIME(m) FROM t WHERE k = 2 AND c = 120");
    assert_eq!(map[0].0, [*late.first().unwrap(), THEN]);
}

/// Goal: statics travel with the first row of their partition, and yet neither is rejected for the other.
#[test]
fn statics_are_not_rejected_with_their_first_row_nor_the_row_with_them() {
    let Some(lab) = Lab::open("rejects_statics") else { return };
    lab.both("CREATE TABLE t (k int, c int, s text static, l list<text> static, v text, PRIMARY KEY (k, c))");
    let row = "INSERT INTO t (k, c, v) VALUES (?, ?, ?) USING TIMESTAMP ?";
    let partitions = ROWS / 10;
    let text = |poisoned: bool| if poisoned { "poison" } else { "fine" };
    lab.source.load(row, (0..ROWS).map(|i| (i / 10, i % 10, text(i % 400 == 0), THEN)));
    let statics = "UPDATE t USING TIMESTAMP ? SET s = ?, l = l + ? WHERE k = ?";
    lab.source.load(statics, (0..partitions).map(|k| (THEN, text(k % 60 == 7 || k == 40), vec!["element"], k)));
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let poison = Condition::BodyContainsCaseSensitive(Box::from(*b"poison"));
    proxy.on_requests(vec![RequestRule(poison, RequestReaction::forge().invalid())]);
    let job = lab.job("t");
    let finished = job.clone().target(&proxy.address).run();
    // Rows 0, 400 … 2800; the statics of 7, 67 … 247 count as the row that they came with, and 40 is both.
    assert_rejected(&job, &finished, 8 + 5);
    let lines = rejects(&job);
    let of = |statics: bool| {
        let lines = lines.iter().filter(move |line| line["key"].get("c").is_none() == statics);
        lines.map(|line| line["key"]["k"].as_str().unwrap().parse().unwrap()).collect::<BTreeSet<i32>>()
    };
    assert_eq!(of(true), [7, 40, 67, 127, 187, 247].into());
    assert_eq!(of(false), (0..8).map(|n| n * 40).collect());
    let token = |k: i32| lab.source.rows::<(i64,)>(&format!("SELECT token(k) FROM t WHERE k = {k} LIMIT 1"))[0].0;
    for line in &lines {
        assert_eq!(line["token"], token(line["key"]["k"].as_str().unwrap().parse().unwrap()), "{line}");
    }
    let there = |cql: &str| lab.target.rows::<(i64,)>(cql)[0].0;
    assert_eq!(there("SELECT COUNT(v) FROM t"), i64::from(ROWS) - 8);
    let statics = lab.target.rows::<(i32, Option<String>)>("SELECT DISTINCT k, s FROM t");
    assert_eq!(statics.iter().filter(|(_, s)| s.is_some()).count(), usize::try_from(partitions).unwrap() - 6);
}
