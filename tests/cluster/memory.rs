//! Memory stays within its budget, whatever the rows are like and however long the target stands still.
//!
//! What counts is the kernel's own number, the highest that a process's resident memory has been (`VmHWM`).

use crate::job::Job;
use crate::lab::{Lab, Raw, THEN};
use crate::pace::control;
use crate::stall::Stall;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// What the program takes beside its budget, at most.
const BESIDE: u64 = 100 * MIB;
/// The default, and one in which hardly anything fits.
const BUDGETS: [(&[&str], u64); 2] = [(&[], 256 * MIB), (&["--memory", "64MiB"], 64 * MIB)];

/// Longer than a request waits for its answer, and a connection for a sign of life.
const STANDS_STILL: Duration = Duration::from_secs(75);

/// The highest resident memory of a process, in bytes, once it has ended.
fn peak(pid: u32) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut highest = 0;
        // A process that has ended has no such line.
        while let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status"))
            && let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            highest = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024;
            std::thread::sleep(Duration::from_millis(2));
        }
        highest
    })
}

#[track_caller]
fn assert_within(what: &str, peak: u64, budget: u64) {
    println!("{what}: {} MiB of {} MiB", peak / MIB, budget / MIB);
    assert!(peak < budget + BESIDE, "{what}: {} MiB with a budget of {} MiB", peak / MIB, budget / MIB);
}

/// Copies, and gives the peak.
fn copy(job: &Job) -> u64 {
    let run = job.start();
    let peak = peak(run.pid());
    run.finish().assert_code(0);
    peak.join().unwrap()
}

/// Bytes that don't compress, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

fn rows(lab: &Lab, cql: &str) -> [Vec<Raw>; 2] {
    [lab.source.raw(cql), lab.target.raw(cql)]
}

/// Each row by itself: all of them at once would be more than a node likes to answer.
fn assert_equal_row_by_row(lab: &Lab, columns: &str, keys: impl Iterator<Item = i32>) {
    for k in keys {
        let [source, target] = rows(lab, &format!("SELECT k, {columns} FROM t WHERE k = {k}"));
        assert!(source == target, "{k} differs: {} and {} rows", source.len(), target.len());
        assert!(!source.is_empty());
    }
}

/// Goal: a verification of which every row differs takes no more memory than one of which none does: few large rows, and many small ones.
#[test]
fn rows_that_differ_stay_within_the_budget() {
    for (table, rows, bytes) in [("fat", 20_000, 4000), ("thin", 60_000, 4)] {
        let Some(lab) = Lab::open(&format!("memory_{table}")) else { return };
        lab.both(&format!("CREATE TABLE {table} (k int, c int, v blob, PRIMARY KEY (k, c))"));
        let insert = format!("INSERT INTO {table} (k, c, v) VALUES (?, ?, ?) USING TIMESTAMP {THEN}");
        let value = noise(1, bytes);
        lab.source.load_singly(&insert, (0..rows).map(|row| (row % 16, row, value.clone())));
        let budget = 64 * MIB;
        let run = lab.job(table).verify().args(&["--memory", "64MiB", "--recheck-after", "500ms"]).start();
        let peak = peak(run.pid());
        let finished = run.finish();
        finished.assert_code(4);
        assert_eq!(finished.end()["verdict"]["rows_missing"], rows);
        assert_within(table, peak.join().unwrap(), budget);
    }
}

/// Goal: rows as large as Cassandra takes them, several readers at once.
#[test]
fn rows_of_sixteen_megabytes_stay_within_the_budget() {
    let Some(lab) = Lab::open("memory_rows") else { return };
    lab.both("CREATE TABLE t (k int PRIMARY KEY, a blob)");
    for k in 0..12 {
        let row = (k, noise(k.try_into().unwrap(), 15_500_000), THEN + i64::from(k));
        lab.source.load_singly("INSERT INTO t (k, a) VALUES (?, ?) USING TIMESTAMP ?", [row]);
    }
    for (args, budget) in BUDGETS {
        lab.target.run("TRUNCATE t");
        let job = lab.job("t").args(args).checkpoint(&lab.folder.path().join(format!("{budget}.db")));
        assert_within("rows of 15.5 MB", copy(&job), budget);
        assert_equal_row_by_row(&lab, "a, WRITETIME(a)", 0..12);
    }
}

/// Goal: pages of large blobs.
#[test]
fn pages_of_large_blobs_stay_within_the_budget() {
    let Some(lab) = Lab::open("memory_blobs") else { return };
    lab.both("CREATE TABLE t (k int, c int, a blob, PRIMARY KEY (k, c))");
    for i in 0..240 {
        let row = (i % 12, i, noise(i.try_into().unwrap(), 1 << 20), THEN);
        lab.source.load_singly("INSERT INTO t (k, c, a) VALUES (?, ?, ?) USING TIMESTAMP ?", [row]);
    }
    for (args, budget) in BUDGETS {
        lab.target.run("TRUNCATE t");
        let job = lab.job("t").args(args).checkpoint(&lab.folder.path().join(format!("{budget}.db")));
        assert_within("rows of 1 MiB", copy(&job), budget);
        assert_equal_row_by_row(&lab, "c, a, WRITETIME(a)", 0..12);
    }
}

/// Goal: 5,000 columns. Three cells for each column come with a row, and each statement has a place for each of them: where all
/// columns have writetimes of their own, the lengths of what a statement doesn't write outweigh everything else.
#[test]
fn five_thousand_columns_stay_within_the_budget() {
    const COLUMNS: usize = 5000;
    const WRITETIMES: i32 = 1;
    let Some(lab) = Lab::open("memory_columns") else { return };
    let names: Vec<String> = (0..COLUMNS).map(|n| format!("c{n}")).collect();
    lab.both(&format!("CREATE TABLE t (k int PRIMARY KEY, {} int)", names.join(" int, ")));
    let values = (0..COLUMNS).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    for k in 0..300 {
        // Not prepared: Cassandra keeps 10 MB of prepared statements, and the scan of such a table is most of that.
        lab.source
            .run(&format!("INSERT INTO t (k, {}) VALUES ({k}, {values}) USING TIMESTAMP {THEN}", names.join(", ")));
    }
    for k in 0..WRITETIMES {
        for (part, names) in names.chunks(500).enumerate() {
            let one = |(n, name): (usize, &String)| {
                format!(
                    "UPDATE t USING TIMESTAMP {} SET {name} = 7 WHERE k = {k};",
                    THEN + 1 + i64::try_from(part * 500 + n).unwrap()
                )
            };
            let all: String = names.iter().enumerate().map(one).collect();
            lab.source.run(&format!("BEGIN UNLOGGED BATCH {all} APPLY BATCH"));
        }
    }
    let written = names.iter().map(|name| format!("{name}, WRITETIME({name})")).collect::<Vec<_>>().join(", ");
    for (args, budget) in BUDGETS {
        lab.target.run("TRUNCATE t");
        let job = lab.job("t").args(args).checkpoint(&lab.folder.path().join(format!("{budget}.db")));
        assert_within("rows of 5,000 columns", copy(&job), budget);
        assert_equal_row_by_row(&lab, &written, (0..300).step_by(75));
        let there = lab.target.rows::<(i64,)>("SELECT COUNT(*) FROM t");
        assert_eq!(there[0].0, 300);
    }
}

/// Goal: a target that takes nothing for longer than any request waits. Requests time out and are sent again, connections break and
/// are made anew, and none of it piles up.
#[test]
fn a_target_that_stands_still_costs_no_memory() {
    let Some(lab) = Lab::open("memory_stall") else { return };
    lab.both("CREATE TABLE t (k int, c int, a blob, PRIMARY KEY (k, c))");
    for i in 0..240 {
        let row = (i % 24, i, noise(i.try_into().unwrap(), 1 << 20), THEN);
        lab.source.load_singly("INSERT INTO t (k, c, a) VALUES (?, ?, ?) USING TIMESTAMP ?", [row]);
    }
    lab.target.run("CREATE TABLE t2 (k int, c int, a blob, PRIMARY KEY (k, c))");
    let start = |(to, (args, budget)): (_, (&[&str], u64))| {
        let stall = Stall::before(&lab.target, lab.runtime());
        let job = lab.job_into("t", to).target(&stall.address).args(args).args(&["--readers", "16"]);
        // Until it stands still, it would take half a minute for all.
        let mut run = job.clone().args(&["--bytes-per-second", "8MiB"]).start();
        let peak = peak(run.pid());
        run.await_begin();
        stall.stop();
        control(&job, &["set", "bytes-per-second=off"]);
        (run, peak, budget, stall)
    };
    let mut runs: Vec<_> = ["t", "t2"].into_iter().zip(BUDGETS).map(start).collect();
    let until = Instant::now() + STANDS_STILL;
    for (run, ..) in &mut runs {
        while run.next(until).is_some() {}
        assert!(run.events.iter().any(|event| event["type"] == "retry"), "nothing stood still");
    }
    for (.., stall) in &runs {
        stall.go_on();
    }
    for (run, peak, budget, _stall) in runs {
        run.finish().assert_code(0);
        assert_within("a target that stands still", peak.join().unwrap(), budget);
    }
    assert_equal_row_by_row(&lab, "c, a, WRITETIME(a)", 0..24);
}
