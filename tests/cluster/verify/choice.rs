//! Which rows are compared, and how fast; and a copy that is verified at its end.

use super::{Field, Size, counted, counts, lines};
use crate::job::Job;
use crate::lab::{Lab, THEN};
use crate::planting::judge::{self, Differences};
use crate::proxy::{PAYLOAD, Proxy};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn found(job: &Job) -> Differences {
    let text = std::fs::read(job.differences()).unwrap_or_default();
    judge::read(&text[..]).unwrap()
}

/// Goal: a sample compares about so much of the ring, tells nothing that isn't so, and is the same where the seed is.
#[test]
fn a_sample_is_a_share_and_its_seed_makes_it_again() {
    let Some(field) = Field::plant("verify_sample", Size { rows: 20_000, per_case: 60 }, false) else { return };
    let truth = judge::truth(&field.truth.planted);
    let sample = |seed: &str| {
        let job = field.verify().args(&["--sample", "25%", "--seed", seed, "--restart"]);
        job.run().assert_code(4);
        (found(&job), counts(&job.checkpoint)["rows_compared"])
    };
    let (first, rows) = sample("7");
    for (key, classes) in &first {
        assert_eq!(truth.get(key), Some(classes), "{key:?}");
    }
    // Two partitions have a third of all rows: only what is left of the rest tells something.
    assert!(rows > 0 && rows < field.truth.rows, "{rows} rows");
    assert!(first.len() > 50, "{} differences", first.len());
    assert_eq!(sample("7"), (first.clone(), rows), "the same seed");
    assert_ne!(sample("8").0, first, "another seed");
    // All of them, afterwards.
    field.verify().run().assert_code(4);
    field.assert_found(&truth);
}

/// A verification of partitions, which keeps nothing but its list.
fn partitions(job: &Job) -> Job {
    let verify = job.verify().args(&["--recheck-after", "50ms"]);
    let differences = verify.differences();
    verify.args(&["--differences", differences.to_str().unwrap()])
}

const KEYS: &[(&str, &str)] = &[
    ("text", "'it''s a room'"),
    ("int", "-7"),
    ("bigint", "9223372036854775807"),
    ("blob", "0xff00"),
    ("boolean", "true"),
    ("uuid", "01234567-89ab-4def-8123-456789abcdef"),
    ("timestamp", "'2020-02-29T12:34:56.789Z'"),
    ("date", "'2020-02-29'"),
    ("time", "'01:02:03.000000004'"),
    ("inet", "'2001:db8::1'"),
    ("decimal", "1.50"),
    ("varint", "123456789012345678901234567890"),
    ("double", "-0.5"),
    ("frozen<list<int>>", "[1, 2]"),
    ("frozen<set<text>>", "{'a', 'b'}"),
    ("frozen<map<int, text>>", "{1: 'one'}"),
    ("tuple<int, text>", "(1, 'one')"),
];

/// Goal: a partition is named by the literals of its key, of any type, as cqlsh takes them and as a difference tells them; only it is
/// compared.
///
/// Method: a table for each type, of two partitions, both of which differ.
#[test]
fn a_partition_is_named_by_literals_of_any_type() {
    let Some(lab) = Lab::open("verify_part") else { return };
    for (number, (of, literal)) in KEYS.iter().enumerate() {
        let table = format!("t{number}");
        lab.both(&format!("CREATE TABLE {table} (k {of}, n int, c int, v int, PRIMARY KEY ((k, n), c))"));
        for n in [1, 2] {
            for c in [1, 2] {
                let insert = |at| format!("INSERT INTO {table} (k, n, c, v) VALUES ({literal}, {n}, {c}, {at})");
                lab.source.run(&format!("{} USING TIMESTAMP {}", insert(2), THEN + 2));
                lab.target.run(&format!("{} USING TIMESTAMP {THEN}", insert(1)));
            }
        }
        let verify = partitions(&lab.job(&table));
        let named = verify.clone().args(&["--partition", &format!("{literal}, 2")]).run();
        named.assert_code(4);
        let one = found(&verify);
        assert_eq!(one.len(), 2, "{of}: {one:?}");
        assert!(one.keys().all(|(_, key, _)| key[1] == "0x00000002"), "{of}: {one:?}");
        assert_eq!(counted(&named, "rows_compared"), 2, "{of}");
        // As it is told, it may be given.
        let line = &lines(&verify)[0];
        let told = format!("{},{}", line["key"]["k"].as_str().unwrap(), line["key"]["n"].as_str().unwrap());
        verify.clone().args(&["--partition", &told]).run().assert_code(4);
        assert_eq!(found(&verify), one, "{of}: {told}");
    }
}

/// Goal: partitions come from a file or from stdin, too, one per line; what is equal is equal whatever else differs.
#[test]
fn partitions_come_from_a_file_and_from_stdin() {
    let Some(lab) = Lab::open("verify_stdin") else { return };
    lab.both("CREATE TABLE t (k text, n int, c int, v int, PRIMARY KEY ((k, n), c))");
    for (k, n) in [("a room", 1), ("a room", 2), ("it''s", 1), ("other", 1)] {
        lab.source.run(&format!("INSERT INTO t (k, n, c, v) VALUES ('{k}', {n}, 1, 1) USING TIMESTAMP {THEN}"));
    }
    lab.target.run(&format!("INSERT INTO t (k, n, c, v) VALUES ('other', 1, 1, 1) USING TIMESTAMP {THEN}"));
    let file = lab.folder.path().join("partitions");
    std::fs::write(&file, "# two of them\n\n'a room', 2\n'it''s', 1\n").unwrap();
    let verify = partitions(&lab.job("t"));
    verify.clone().args(&["--partition", &format!("@{}", file.display())]).run().assert_code(4);
    let keys: Vec<_> = found(&verify).into_keys().map(|(_, key, _)| key).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");

    let mut command = verify.clone().args(&["--json", "--partition", "-"]).command();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"other,1\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let last = String::from_utf8(out.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(last["verdict"]["rows_compared"], 1);
}

/// Goal: a list that a copy and a repair of its partition would write at the same time isn't doubled: the repair is refused, until the
/// copy has ended.
#[test]
fn a_repair_of_lists_waits_for_the_copy() {
    let Some(lab) = Lab::open("verify_hold") else { return };
    lab.both("CREATE TABLE t (k int PRIMARY KEY, l list<int>, v text)");
    let insert = format!("INSERT INTO t (k, l, v) VALUES (?, [1, 2], '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..200).map(|k| (k, THEN)));
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.hold_writes(Duration::from_secs(3));
    let job = lab.job("t");
    let mut copy = job.clone().target(&proxy.address).start();
    copy.await_begin();
    let verify = partitions(&job).args(&["--partition", "7"]);
    let refused = verify.clone().arg("--repair").run();
    refused.assert_code(5);
    refused.assert_says(&["in use by process"]);
    proxy.behave();
    copy.finish().assert_code(0);
    verify.arg("--repair").run().assert_code(0);
    lab.assert_equal("t", 200);
}

/// Goal: calls for one partition each, side by side and one after the other, list what they find in one file, and lose nothing of each other.
#[test]
fn partitions_side_by_side_share_a_list_of_differences() {
    let Some(lab) = Lab::open("verify_beside") else { return };
    lab.both("CREATE TABLE t (k int, c int, v int, PRIMARY KEY (k, c))");
    lab.source.load("INSERT INTO t (k, c, v) VALUES (?, ?, 1) USING TIMESTAMP ?", (0..40).map(|c| (c % 4, c, THEN)));
    let verify = lab.job("t").verify().args(&["--recheck-after", "50ms"]);
    let named = |k: i32| verify.clone().args(&["--partition", &k.to_string()]).start();
    for together in [[0, 1], [2, 3]] {
        for run in together.map(named) {
            let finished = run.finish();
            finished.assert_code(4);
            assert_eq!(counted(&finished, "rows_missing"), 10);
        }
    }
    let file = format!("{}-partition-differences.jsonl", verify.checkpoint.display());
    let text = std::fs::read_to_string(&file).unwrap();
    let told: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 40, "{text}");
    let runs: std::collections::BTreeSet<_> =
        told.iter().map(|line| (line["key"]["k"].to_string(), line["started_at"].as_i64().unwrap())).collect();
    let moments: std::collections::BTreeSet<_> = runs.iter().map(|(_, at)| at).collect();
    assert_eq!(runs.len(), 4, "each partition belongs to one call: {runs:?}");
    assert!(moments.len() > 1, "{runs:?}");
    assert!(!Path::new(&format!("{file}.1")).exists());
}

/// Goal: where differences can't be listed, the run ends with that error; no range is blamed, and the next run finds all of them.
#[test]
fn a_list_that_can_not_be_written_ends_the_run() {
    let Some(lab) = Lab::open("verify_full") else { return };
    lab.both("CREATE TABLE t (k int, c int, v int, PRIMARY KEY (k, c))");
    lab.source.load("INSERT INTO t (k, c, v) VALUES (?, ?, 1) USING TIMESTAMP ?", (0..40).map(|c| (c % 4, c, THEN)));
    let verify = lab.job("t").verify().args(&["--recheck-after", "50ms"]);
    let finished = verify.clone().args(&["--differences", "/dev/full"]).run();
    finished.assert_code(1);
    assert_eq!(finished.count("range_failed"), 0, "{:#?}", finished.events);
    let error = finished.events.iter().find(|event| event["type"] == "error").unwrap();
    assert!(error["message"].as_str().unwrap().starts_with("failed to write /dev/full"), "{error}");
    let connection = rusqlite::Connection::open(&verify.checkpoint).unwrap();
    let outcome: String = connection.query_row("SELECT outcome FROM run", [], |row| row.get(0)).unwrap();
    assert_eq!(outcome, "error");
    drop(connection);
    verify.run().assert_code(4);
    assert_eq!(counts(&verify.checkpoint)["rows_missing"], 40);
}

/// Goal: what was compared at one consistency level isn't mixed with what is compared at another; the same goes for another tolerance.
#[test]
fn an_unfinished_verification_goes_on_as_it_was_begun_or_not_at_all() {
    let Some(lab) = Lab::open("verify_levels") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    for node in [&lab.source, &lab.target] {
        let insert = "INSERT INTO t (room, id, a) VALUES (?, ?, 'text') USING TIMESTAMP ?";
        node.load(insert, (0..4000).map(|id| (id / 40, id, THEN)));
    }
    let verify = lab.job("t").verify();
    let mut run = verify.clone().args(&["--consistency", "ONE", "--rows-per-second", "300"]).start();
    run.await_type("range_verified");
    run.signal("INT");
    run.finish().assert_code(130);
    for other in [&["--consistency", "ALL"][..], &["--consistency", "ONE", "--expiry-tolerance", "9s"]] {
        let refused = verify.clone().args(other).run();
        refused.assert_code(5);
        assert!(refused.stderr.contains("source-consistency=ONE, target-consistency=ONE"), "{}", refused.stderr);
    }
    verify.clone().args(&["--consistency", "ONE"]).run().assert_code(0);
    // What is finished stands in nobody's way.
    verify.clone().args(&["--consistency", "ALL"]).run().assert_code(0);
    assert_eq!(counts(&verify.checkpoint)["rows_compared"], 4000);
}

/// `migrate set` and the like, for this job.
fn control(job: &Job, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
    let out = command.args(words).arg("--checkpoint").arg(&job.checkpoint).output().unwrap();
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Goal: the pace of a verification is held, set, paused and continued, as a copy's is.
#[test]
fn the_pace_of_a_verification_is_held_and_changed() {
    let Some(field) = Field::plant("verify_pace", Size { rows: 20_000, per_case: 20 }, false) else { return };
    let job = field.verify().args(&["--rows-per-second", "2k"]);
    let compared = |event: &serde_json::Value| event["rows_compared"].as_u64().unwrap();
    let mut run = job.start();
    let progress = |event: &serde_json::Value| event["type"] == "progress" && event["rows_compared"].as_u64() > Some(0);
    let from = run.await_event("rows", progress);
    for _ in 0..6 {
        run.await_type("progress");
    }
    let to = run.await_type("progress");
    let ms = to["at"].as_u64().unwrap() - from["at"].as_u64().unwrap();
    let rate = (compared(&to) - compared(&from)) * 1000 / ms;
    assert!(rate <= 5000, "{rate} rows/s of both sides");
    control(&job, &["pause"]);
    run.await_type("paused");
    // What is under way comes still; then nothing more is read, for some seconds. Otherwise it would be over before.
    let mut read = std::collections::VecDeque::new();
    while read.len() < 6 || read.front() != read.back() {
        read.push_back(run.await_type("progress")["rows_read"].as_u64());
        if read.len() > 6 {
            read.pop_front();
        }
    }
    control(&job, &["set", "rows-per-second=off"]);
    control(&job, &["continue"]);
    run.await_type("continued");
    run.finish().assert_code(4);
    field.assert_found(&judge::truth(&field.truth.planted));
}

/// Goal: rows that are looked at again count for the limits, as often as they are read.
///
/// Method: no row is at the target, so that each is read four times: once by the scan, three times afterwards.
#[test]
fn rows_that_are_looked_at_again_count_for_the_limits() {
    const ROWS: i32 = 4000;
    let Some(lab) = Lab::open("verify_limits") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    let insert = "INSERT INTO t (room, id, a) VALUES (?, ?, 'some text of a row') USING TIMESTAMP ?";
    lab.source.load(insert, (0..ROWS).map(|id| (id / 40, id, THEN)));
    let verify = |limit: &str, per_second: u64| {
        let job = lab.job("t").verify().args(&["--recheck-after", "1ms", limit, &per_second.to_string()]);
        let started = Instant::now();
        let finished = job.run();
        let took = started.elapsed();
        finished.assert_code(4);
        assert_eq!(counted(&finished, "rows_missing"), u64::try_from(ROWS).unwrap());
        assert!(took > Duration::from_millis(3500), "{limit}: {took:?} for what takes four seconds");
        counts(&job.checkpoint)["bytes_read"]
    };
    let bytes = verify("--rows-per-second", u64::try_from(ROWS).unwrap());
    verify("--bytes-per-second", bytes);
}

/// Goal: a copy with `--verify` ends with the verdict on what it has copied, and with the worse of both exit codes.
#[test]
fn a_copy_is_verified_at_its_end() {
    let Some(lab) = Lab::open("verify_after") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    lab.source.load(
        "INSERT INTO t (room, id, a) VALUES (?, ?, 'text') USING TIMESTAMP ?",
        (0..5000).map(|id| (id / 7, id, THEN)),
    );
    let job = lab.job("t").args(&["--recheck-after", "50ms", "--verify"]);
    let finished = job.succeed();
    let ends: Vec<_> = finished.events.iter().filter(|event| event["type"] == "finished").collect();
    println!("{ends:#?}");
    let counted = counts(&job.checkpoint);
    assert_eq!((counted["rows_compared"], counted["rows_different"]), (5000, 0));
    lab.assert_equal("t", 5000);

    // What is at the target already, and newer, stays so.
    lab.both("CREATE TABLE u (room int, id int, a text, PRIMARY KEY (room, id))");
    lab.source
        .load("INSERT INTO u (room, id, a) VALUES (?, ?, 'text') USING TIMESTAMP ?", (0..9).map(|n| (n, n, THEN)));
    lab.target.run(&format!("INSERT INTO u (room, id, a) VALUES (3, 3, 'newer') USING TIMESTAMP {}", THEN + 1));
    lab.target.run(&format!("INSERT INTO u (room, id, a) VALUES (3, 4, 'extra') USING TIMESTAMP {}", THEN + 1));
    let job = lab.job("u").args(&["--recheck-after", "50ms", "--verify"]);
    job.run().assert_code(4);
    let counted = counts(&job.checkpoint);
    let classes = ["rows_compared", "rows_different", "rows_value_newer", "rows_extra"].map(|name| counted[name]);
    assert_eq!(classes, [10, 2, 1, 1]);
}

/// Goal: a partition of which `--delete-extra` has deleted all rows is equal at both sides; the same key, once more, is one without rows.
#[test]
fn a_partition_that_was_deleted_is_no_typo() {
    let Some(lab) = Lab::open("verify_emptied") else { return };
    lab.both("CREATE TABLE t (k int, c int, v int, PRIMARY KEY (k, c))");
    lab.target.load("INSERT INTO t (k, c, v) VALUES (7, ?, 1) USING TIMESTAMP ?", (0..3).map(|c| (c, THEN)));
    let verify = partitions(&lab.job("t")).args(&["--partition", "7", "--delete-extra", "--yes"]);
    let emptied = verify.run();
    emptied.assert_code(0);
    assert_eq!((counted(&emptied, "rows_deleted"), emptied.end()["conclusion"].as_str()), (3, Some("equal")));
    let again = verify.run();
    again.assert_code(3);
    assert_eq!(counted(&again, "rows_deleted"), 0);
}

/// Goal: what the target alone has is too young to be deleted for a minute, not for as long as the verification that found it goes on.
#[test]
fn what_has_grown_old_since_it_was_found_is_deleted() {
    let Some(lab) = Lab::open("verify_grown") else { return };
    lab.both("CREATE TABLE t (k int, v int, PRIMARY KEY (k))");
    let old_in = Duration::from_secs(10);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = (now + old_in).as_micros() - 60_000_000;
    lab.target.run(&format!("INSERT INTO t (k, v) VALUES (7, 1) USING TIMESTAMP {at}"));
    let verify = lab.job("t").verify().args(&["--recheck-after", "50ms"]);
    verify.run().assert_code(4);
    // The time that goes by is what is tested.
    std::thread::sleep(old_in + Duration::from_secs(1));
    let deleted = verify.args(&["--delete-extra", "--yes"]).run();
    deleted.assert_code(0);
    assert_eq!(counted(&deleted, "rows_deleted"), 1);
}

/// Goal: what the source has got since it was found to lack it is not deleted.
///
/// Method: deletes are slow, and while they are under way the source gets all of the rows, with the very writetimes that would be deleted.
#[test]
fn what_the_source_has_got_by_now_is_not_deleted() {
    const ROWS: usize = 400;
    let Some(lab) = Lab::open("verify_late") else { return };
    lab.both("CREATE TABLE t (k int PRIMARY KEY, v int)");
    let insert = "INSERT INTO t (k, v) VALUES (?, 1) USING TIMESTAMP ?";
    let rows = || (0..i32::try_from(ROWS).unwrap()).map(|k| (k, THEN));
    lab.target.load(insert, rows());
    let verify = lab.job("t").verify().args(&["--recheck-after", "50ms"]);
    verify.run().assert_code(4);
    let mut run = verify.args(&["--delete-extra", "--yes", "--rows-per-second", "100"]).start();
    run.await_event("a row that is going to be deleted", |event| event["type"] == "deleting");
    lab.source.load(insert, rows());
    let there: usize = lab.source.rows::<(i32,)>("SELECT k FROM t").len();
    assert_eq!(there, ROWS);
    let deleted = run.finish();
    let left = lab.target.rows::<(i32,)>("SELECT k FROM t").len();
    assert_eq!(counted(&deleted, "rows_deleted"), (ROWS - left) as u64, "{}", deleted.end());
    assert!(left > 0, "all were deleted");
}

/// Goal: what an unfinished verification of before the copy has found, or how it compared, has no part in the verdict of
/// `--verify`; that of the rows as they are now goes on where it was stopped.
#[test]
fn a_verification_of_before_the_copy_does_not_go_on_at_its_end() {
    const ROWS: i32 = 4000;
    let Some(lab) = Lab::open("verify_stale") else { return };
    for (table, share) in [("t", None), ("u", Some(["--sample", "50%"]))] {
        lab.both(&format!("CREATE TABLE {table} (room int, id int, a text, PRIMARY KEY (room, id))"));
        let insert = format!("INSERT INTO {table} (room, id, a) VALUES (?, ?, 'text') USING TIMESTAMP ?");
        lab.source.load(&insert, (0..ROWS).map(|id| (id / 40, id, THEN)));
        let job = lab.job(table).args(&["--recheck-after", "1ms"]);
        let stop_early = |job: &Job, seen: &[&str]| {
            let mut run = job.clone().args(&["--rows-per-second", "1k"]).start();
            for event in seen {
                run.await_type(event);
            }
            run.signal("INT");
            run.finish().assert_code(130);
        };
        let before = job.verify().args(share.as_ref().map_or(&[], |share| &share[..]));
        stop_early(&before, &["difference", "range_verified"]);
        assert!(counts(&job.checkpoint)["rows_missing"] > 0, "{table}");
        let copied = job.clone().arg("--verify").run();
        copied.assert_code(0);
        let anew =
            |event: &&serde_json::Value| event["message"].as_str().is_some_and(|text| text.contains("begun anew"));
        assert_eq!(copied.events.iter().filter(anew).count(), 1, "{table}");
        let counted = counts(&job.checkpoint);
        assert_eq!((counted["rows_compared"], counted["rows_different"]), (4000, 0), "{table}");

        stop_early(&job.verify(), &["range_verified"]);
        let resumed = job.arg("--verify").run();
        resumed.assert_code(0);
        let begun = resumed.events.iter().find(|event| event["type"] == "verification_begun").unwrap();
        assert_eq!(begun["resumed"], true, "{table}");
    }
}
