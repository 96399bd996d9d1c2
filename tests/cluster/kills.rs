//! `kill -9`, again and again.

use crate::lab::{Lab, THEN};
use crate::proxy::Proxy;
use crate::random::Random;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROWS: u64 = 300_000;
const KILLS: usize = 20;
/// The longest that a run lives after its first progress.
const LIFE_MS: u64 = 800;
/// Rows that are written in the time in which a claim may wait for its commit, on a machine that is busy.
const UNTOLD: u64 = 1500;

/// Rooms of one message mostly, some of a few, some of hundreds: neighbours share batches, and a partition may go on in the
/// next batch, on the next page, or behind the cursor of a killed run.
fn messages(mut random: Random) -> impl Iterator<Item = (i32, i32, String, String, i64)> {
    let (mut room, mut left, mut id) = (0, 0, 0);
    (0..ROWS).map(move |_| {
        if left == 0 {
            (room, id) = (room + 1, 0);
            left = match random.below(1000) {
                0..960 => 1,
                960..999 => 2 + random.below(4),
                _ => 300 + random.below(300),
            };
        }
        (left, id) = (left - 1, id + 1);
        (room, id, random.text(12), random.text(60), THEN + i64::from(random.int()))
    })
}

const CREATE: &str = "(room int, id int, author text, body text, PRIMARY KEY (room, id))";

/// Goal: however often and whenever the process is killed, the copy ends exact, and repeats no more than what was in flight.
///
/// Method: one job, slow enough to be killed 20 times at random moments, each after its run recorded some progress; then a run
/// to the end. Equality is judged by the dumps. What was written twice is the target's own count of mutations less that of
/// a copy without kills into another table. It may not exceed what was in flight at the kills: rows that were acknowledged and
/// not recorded, and pages that were read, belong to ranges that the checkpoint has as claimed and not as done; or else
/// to ranges that were claimed, perhaps even finished, since the last commit, and commits are some 100 ms apart.
#[test]
fn a_job_that_is_killed_twenty_times_ends_exact_and_repeats_only_what_was_in_flight() {
    let Some(mut lab) = Lab::open("kills") else { return };
    lab.both(&format!("CREATE TABLE messages {CREATE}"));
    lab.target.run(&format!("CREATE TABLE undisturbed {CREATE}"));
    let insert = "INSERT INTO messages (room, id, author, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    lab.source.load(insert, messages(lab.random.clone()));

    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    // What is under way when the process dies never reaches the node: the proxy holds each write back for a while, and drops
    // it when the connection is gone.
    proxy.delay_writes(Duration::from_millis(60));
    let job = lab.job("messages").args(&["--ranges", "400", "--readers", "4"]);
    // Four writes at a time, each of some 100 ms, carry a few thousand rows a second.
    let slow = job.clone().arg("--writers").arg("4").target(&proxy.address);
    let mut kills = Vec::new();
    while kills.len() < KILLS {
        let mut run = slow.start();
        run.await_progress();
        let killed_at = Instant::now() + Duration::from_millis(lab.random.below(LIFE_MS));
        while let Some(event) = run.next(killed_at) {
            assert_ne!(event["type"], "finished", "the copy is too fast: killed only {} times", kills.len());
            if event["type"] == "progress" {
                let rows = |name: &str| event[name].as_u64().unwrap();
                assert!(rows("rows_committed") <= rows("rows_written") && rows("rows_written") <= rows("rows_read"));
            }
        }
        run.kill();
        kills.push(ranges(&job.checkpoint, "claimed"));
        assert_eq!(job.status()["state"], "stopped", "a killed job is no running one");
    }
    let before_last = job.status();
    println!(
        "{} kills, {} of 400 ranges done, {} rows",
        kills.len(),
        before_last["ranges_done"],
        before_last["rows_read"]
    );
    let finished = job.succeed();
    assert_eq!(finished.end()["outcome"], "done");

    let status = job.status();
    assert_eq!(status["state"], "done");
    assert_eq!(status["rows_read"], ROWS, "every row is counted once, whatever was repeated");
    assert_eq!(status["rows_written"], ROWS);
    assert_eq!(status["runs"], KILLS + 1);

    lab.job_into("messages", "undisturbed").args(&["--ranges", "400", "--readers", "4"]).succeed();
    let repeated = lab.target.writes("messages") - lab.target.writes("undisturbed");
    let rows_of: HashMap<i64, u64> = ranges(&job.checkpoint, "done").into_iter().collect();
    let claimed: u64 = kills.iter().flatten().map(|&(range, recorded)| rows_of[&range] - recorded).sum();
    let bound = claimed + KILLS as u64 * UNTOLD;
    println!("{repeated} mutations were repeated; {claimed} rows were in ranges that were claimed at the kills");
    assert!(u64::try_from(repeated).unwrap() <= bound, "{repeated} mutations repeated, {bound} in flight");
    assert!(bound < ROWS / 2, "a bound that says nothing: {bound}");
    lab.assert_equal("messages", ROWS);
}

/// The ranges of that state, by their first token, with the rows that are recorded of each. Reads a copy of the files, as
/// opening those of a killed run would change them.
fn ranges(checkpoint: &Path, state: &str) -> Vec<(i64, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let file = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if file(checkpoint).exists() {
            std::fs::copy(file(checkpoint), file(&copy)).unwrap();
        }
    }
    let connection = rusqlite::Connection::open(copy).unwrap();
    let mut statement = connection.prepare("SELECT first_token, rows_read FROM token_range WHERE state = ?").unwrap();
    statement.query_map([state], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}
