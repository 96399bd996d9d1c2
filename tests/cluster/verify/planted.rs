//! Differences of every kind are planted, and it is known of each what must be said of it.

use super::{Field, Size, assert_counts, assert_same, counted, counts, lines, told};
use crate::job::PATIENCE;
use crate::planting::judge;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const KILLS: usize = 12;
const MIN_KILLS: usize = 3;

/// Goal: every class of difference is found, wherever it is, and nothing else; each is counted.
///
/// Method: two tables that are written on both sides at the same time, with differences at places that a seed says: in rows and
/// partitions of all kinds, at both ends of the ring, in partitions that share a token, next to the borders of ranges, and in each row of
/// a partition of many pages. `MIGRATE_TEST_ROWS=2000000` makes it long.
#[test]
fn planted_differences_are_found_and_nothing_else() {
    let Some(field) = Field::plant("verify_planted", Size::of_test(), false) else { return };
    let truth = judge::truth(&field.truth.planted);
    let patience = PATIENCE * u32::try_from(1 + field.truth.rows / 200_000).unwrap();
    let finished = field.verify().start().finish_within(patience);
    finished.assert_code(4);
    field.assert_found(&truth);
    assert_eq!(counts(&field.job.checkpoint)["rows_compared"], field.truth.rows);
    for (class, count) in judge::counts(&truth) {
        assert_eq!(counted(&finished, &format!("rows_{class}")), count, "{class}");
    }
    let of_events = told(&finished.events).map(judge::key).collect::<BTreeSet<_>>();
    assert_eq!(of_events.len(), truth.len(), "each is an event, too");
    assert_eq!(lines(&field.job).len(), truth.len(), "each is a line");

    // Once more: another verification, with the same verdict.
    let again = field.verify().start().finish_within(patience);
    again.assert_code(4);
    field.assert_found(&truth);
}

/// Goal: kills at any moment change nothing of what is found and counted.
///
/// Method: killed at random moments again and again, so slow that it takes many times as long as it lives at first; then left alone.
#[test]
fn a_verification_that_is_killed_goes_on_and_counts_all_once() {
    let Some(mut field) = Field::plant("verify_kills", Size { rows: 12_000, per_case: 30 }, false) else { return };
    let truth = judge::truth(&field.truth.planted);
    let slow = field.verify().args(&["--rows-per-second", "1k", "--readers", "2"]);
    let mut compared = 0;
    for kill in 0..KILLS {
        let mut run = slow.start();
        run.await_begin();
        if kill % 3 == 2 {
            run.await_event("something that is saved", |event| {
                matches!(event["type"].as_str(), Some("range_compared" | "range_verified"))
            });
        }
        let killed_at = Instant::now() + Duration::from_millis(field.lab.random.below(2500));
        while run.next(killed_at).is_some() {}
        let ended = run.kill().iter().any(|event| event["type"] == "finished");
        let now = counts(&field.job.checkpoint)["rows_compared"];
        assert!(now >= compared, "{now} rows after {compared}: what is compared stays so");
        compared = now;
        if ended {
            assert!(kill >= MIN_KILLS, "it is too fast: killed only {kill} times");
            break;
        }
    }
    println!("{compared} of {} rows were compared before the last run", field.truth.rows);
    assert!(compared > 0, "it never got anywhere");
    let finished = field.verify().run();
    finished.assert_code(4);
    field.assert_found(&truth);
    assert_eq!(counts(&field.job.checkpoint)["rows_compared"], field.truth.rows);
}

/// Goal: the first signal ends a verification soon, what is compared is kept, and the same command goes on with it.
#[test]
fn a_signal_ends_a_verification_and_the_same_command_goes_on() {
    let Some(field) = Field::plant("verify_signals", Size { rows: 20_000, per_case: 50 }, false) else { return };
    let truth = judge::truth(&field.truth.planted);
    let slow = field.verify().args(&["--rows-per-second", "1k"]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut run = slow.start();
        run.await_event("rows", |event| event["type"] == "progress" && event["rows_compared"].as_u64() > Some(0));
        run.signal(signal);
        let asked = Instant::now();
        let finished = run.finish();
        finished.assert_code(code);
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}, where all of it takes forty", asked.elapsed());
        assert_eq!(finished.end()["outcome"], "stopped", "SIG{signal}");
    }
    assert!(counts(&field.job.checkpoint)["rows_compared"] < field.truth.rows);
    field.verify().run().assert_code(4);
    field.assert_found(&truth);
    assert_eq!(counts(&field.job.checkpoint)["rows_compared"], field.truth.rows);
    // A copy made anew would be another job; a verification made anew is the same one.
    field.verify().arg("--restart").run().assert_code(4);
    assert_counts(&truth, &counts(&field.job.checkpoint));
    let found = lines(&field.job);
    let found = found.iter().map(|line| (judge::key(line), judge::classes(line)));
    assert_same(&truth, &found.collect(), &field.truth.planted);
}
