//! `migrate set`, `pause` and `continue`, on a checkpoint that nobody works on, and beside a live process.

use crate::checkpoints::{new_job, sql, unusable};
use crate::tool::Tool;

const COMPLETE: [&str; 6] = ["--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"];

#[test]
fn what_can_not_be_set_is_refused_with_what_can() {
    let tool = Tool::new();
    let calls: [&[&str]; 12] = [
        &["set"],
        &["set", "writers"],
        &["set", "speed=9"],
        &["set", "memory=1GiB"],
        &["set", "writers=0"],
        &["set", "readers=many"],
        &["set", "writers=9", "rows-per-second=0"],
        &["set", "rows-per-second=08:00,20k 25:00,off"],
        &["set", "bytes-per-second=20 parsecs"],
        &["set", "target-latency=20"],
        &["set", "writers=9", "--writers", "9"],
        &["pause", "writers=9"],
    ];
    let lines = calls.map(|call| tool.run(call).line());
    insta::assert_snapshot!(lines.join("\n"), @"
    2 error: the following required arguments were not provided:   <KEY=VALUE>...
    2 error: invalid value 'writers' for '<KEY=VALUE>...': `writers` isn't KEY=VALUE; the keys are rows-per-second, bytes-per-second, readers, writers, source-latency, target-latency
    2 error: invalid value 'speed=9' for '<KEY=VALUE>...': `speed` can't be set; what can is rows-per-second, bytes-per-second, readers, writers, source-latency, target-latency
    2 error: invalid value 'memory=1GiB' for '<KEY=VALUE>...': `memory` can't be set; what can is rows-per-second, bytes-per-second, readers, writers, source-latency, target-latency
    2 error: invalid value 'writers=0' for '<KEY=VALUE>...': `0` isn't a number from 1 to 65536
    2 error: invalid value 'readers=many' for '<KEY=VALUE>...': `many` isn't a number from 1 to 65536
    2 error: invalid value 'rows-per-second=0' for '<KEY=VALUE>...': 0 would never end: `off` is no limit, `migrate pause` stops
    2 error: invalid value 'rows-per-second=08:00,20k 25:00,off' for '<KEY=VALUE>...': `25:00,off` isn't a time of day and a limit: 08:00,20k and 19:00,off are
    2 error: invalid value 'bytes-per-second=20 parsecs' for '<KEY=VALUE>...': `20 parsecs` isn't a size: 256MiB, 1GiB and 1000000 are
    2 error: invalid value 'target-latency=20' for '<KEY=VALUE>...': `20` isn't a time: 90s, 15m, 2h and 500ms are; so is `off`
    2 error: unexpected argument '--writers' found
    2 error: unexpected argument 'writers=9' found
    ");
    let limits = [
        ["--rows-per-second", "0"],
        ["--rows-per-second", "08:00,1 8:00,2"],
        ["--bytes-per-second", "-1"],
        ["--source-latency", "soon"],
        ["--target-latency", "0s"],
    ];
    let lines = limits.map(|[flag, value]| tool.run(&[&COMPLETE[..], &[&format!("{flag}={value}")]].concat()).line());
    insta::assert_snapshot!(lines.join("\n"), @"
    2 error: invalid value '0' for '--rows-per-second <LIMIT>': 0 would never end: `off` is no limit, `migrate pause` stops
    2 error: invalid value '08:00,1 8:00,2' for '--rows-per-second <LIMIT>': 08:00 is there twice
    2 error: invalid value '-1' for '--bytes-per-second <LIMIT>': `-1` isn't a size: 256MiB, 1GiB and 1000000 are
    2 error: invalid value 'soon' for '--source-latency <TIME>': `soon` isn't a time: 90s, 15m, 2h and 500ms are; so is `off`
    2 error: invalid value '0s' for '--target-latency <TIME>': nothing takes no time: `off` is no limit
    ");
}

#[test]
fn what_is_set_and_paused_is_told_and_shown_by_status() {
    let tool = Tool::new();
    let live = new_job(&tool.path("migrate.db"));
    insta::assert_snapshot!(tool.run(&["set", "rows-per-second=08:00,20k 19:00,off", "writers=64"]), @"
    exit code 0
    -- stdout
    rows-per-second   is 08:00,20k 19:00,off     was as on the command line
    writers           is 64                      was as on the command line
    the run takes it up within two seconds
    ");
    insta::assert_snapshot!(tool.run(&["pause"]), @"
    exit code 0
    -- stdout
    paused: the run finishes what is in flight and saves it; `migrate continue` lets it go on
    ");
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    running, paused  0.0 % of the ring  0/64 ranges  0 rows  0 B
    from `old` to `new`, checkpoint migrate.db
    set: rows-per-second = 08:00,20k 19:00,off, which comes before the command line
    set: writers = 64, which comes before the command line
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  0.0 %  0/64    0        0       0             0             0
    ");
    drop(live);
    insta::assert_snapshot!(tool.run(&["set", "writers=default", "rows-per-second=5k", "readers=default"]), @"
    exit code 0
    -- stdout
    rows-per-second   is 5k                      was 08:00,20k 19:00,off
    readers           is as before               was as on the command line
    writers           is as on the command line  was 64
    nobody works on the job: this holds from its next run on
    ");
    insta::assert_snapshot!(tool.run(&["pause"]), @"
    exit code 0
    -- stdout
    paused already
    ");
    let status = tool.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["paused"], true);
    assert_eq!(status["set"], serde_json::json!({"rows-per-second": "5k"}));
    insta::assert_snapshot!(tool.run(&["continue"]), @"
    exit code 0
    -- stdout
    continued: nobody works on the job; run its command again
    ");
    insta::assert_snapshot!(tool.run(&["continue"]), @"
    exit code 0
    -- stdout
    not paused: there is nothing to continue
    ");
    let before = tool.listing();
    let status = tool.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["paused"], false);
    assert_eq!(tool.listing(), before, "a look changes nothing");
    assert!(!tool.path("migrate.db-wal").exists(), "and what was set is in one piece");
}

#[test]
fn a_file_that_is_no_checkpoint_is_refused_and_left_alone() {
    for (what, tool) in unusable() {
        let before = tool.listing();
        for call in [&["pause"][..], &["continue"], &["set", "writers=9"]] {
            let answer = tool.run(call);
            assert_eq!((answer.code, answer.out.as_str()), (Some(5), ""), "{what}: {answer}");
        }
        let mut after = tool.listing();
        after.retain(|name, _| !name.to_string_lossy().ends_with("-lock"));
        assert_eq!(after, before, "{what}");
    }
    let tool = Tool::new();
    insta::assert_snapshot!(tool.run(&["pause", "--checkpoint", "none.db"]).line(), @"5 error: there is no checkpoint none.db hint: name the file with `--checkpoint FILE`; a copy makes it when it begins");
    assert!(tool.listing().is_empty());
}

/// A command that sets something is no copy at work: nobody is told so, and no copy is refused for it.
#[test]
fn commands_beside_each_other_are_not_taken_for_a_copy() {
    let tool = Tool::new();
    drop(new_job(&tool.path("migrate.db")));
    let set = || (0..20).map(|_| tool.run(&["set", "readers=3"])).collect::<Vec<_>>();
    std::thread::scope(|threads| {
        let sets: Vec<_> = (0..3).map(|_| threads.spawn(set)).collect();
        while sets.iter().any(|set| !set.is_finished()) {
            assert_eq!(tool.run(&["status", "--json"]).expect(0).json()["state"], "stopped");
        }
        for answer in sets.into_iter().flat_map(|set| set.join().unwrap()) {
            assert!(answer.expect(0).out.contains("nobody works on the job"), "{answer}");
        }
    });
    std::thread::scope(|threads| {
        let sets: Vec<_> = (0..3).map(|_| threads.spawn(set)).collect();
        while sets.iter().any(|set| !set.is_finished()) {
            let copy = tool.run(&COMPLETE);
            assert_eq!(copy.code, Some(6), "nobody is there at port 1: {copy}");
        }
    });
}

#[test]
fn a_value_that_somebody_else_has_put_there_is_told() {
    let tool = Tool::new();
    drop(new_job(&tool.path("migrate.db")));
    sql(&tool.path("migrate.db"), "INSERT INTO control VALUES ('writers', 'lots', 0)");
    for call in [&["status"][..], &["set", "readers=1"]] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(tool.run(call).line(), @"5 error: what is set in the checkpoint migrate.db makes no sense: writers: `lots` isn't a number from 1 to 65536 hint: take it back with `migrate set writers=default --checkpoint migrate.db`");
        }
    }
    assert_eq!(tool.run(&["set", "writers=default"]).code, Some(0));
    let status = tool.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["set"], serde_json::json!({}));
}
