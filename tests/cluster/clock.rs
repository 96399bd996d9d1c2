//! The clock of this machine is set back and forward while a copy runs.

use crate::job::Job;
use crate::lab::{Lab, TARGET, THEN, skipped};
use crate::proxy::{PAYLOAD, Proxy};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROWS: i32 = 600;
/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;

/// Debian's and Ubuntu's `faketime`.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    if found.is_none() {
        skipped("libfaketime isn't installed (Debian, Ubuntu: apt-get install faketime)");
    }
    found
}

/// The job under a wall clock that differs from the real one by what stands in `file`. Its monotonic clock is the real one.
fn with_clock(job: &Job, library: &Path, file: &Path) -> Job {
    let settings = [("LD_PRELOAD", library), ("FAKETIME_TIMESTAMP_FILE", file)];
    let mut under =
        vec!["env".to_owned(), "FAKETIME_NO_CACHE=1".to_owned(), "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()];
    under.extend(settings.map(|(name, value)| format!("{name}={}", value.display())));
    job.clone().under(&under.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Goal: a clock that is set by an hour changes neither what is copied, nor when it expires, nor what is recorded.
///
/// Method: rows of which half live for a day, written one by one through a slow proxy, so that most of them wait while the clock is set
/// back, then forward; the run is stopped and another one, an hour earlier than that, ends the job.
#[test]
fn a_clock_that_is_set_changes_nothing() {
    let Some(lab) = Lab::open("clock_set") else { return };
    let Some(library) = library() else { return };
    let clock = lab.folder.path().join("clock");
    let set = |offset: &str| {
        // In one step, as it is read at any time.
        let draft = clock.with_extension("new");
        std::fs::write(&draft, offset).unwrap();
        std::fs::rename(&draft, &clock).unwrap();
    };
    lab.both("CREATE TABLE t (room int, id int, a text, PRIMARY KEY (room, id))");
    for (rest, ttl) in [(0, 86_400), (1, 0)] {
        let insert = format!("INSERT INTO t (room, id, a) VALUES (?, ?, '{PAYLOAD}') USING TIMESTAMP ? AND TTL ?");
        lab.source.load(&insert, (0..ROWS).filter(|id| id % 2 == rest).map(|id| (id / 200, id, THEN, ttl)));
    }

    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").args(&["--writers", "1", "--batch", "none"]).target(&proxy.address);
    // All of them would take a minute.
    proxy.hold_writes(Duration::from_millis(100));
    set("+0");
    let mut run = with_clock(&job, &library, &clock).start();
    let at = run.await_event("rows", |event| event["rows_written"].as_i64() > Some(0))["at"].as_i64().unwrap();
    for (offset, hours) in [("-1h", -1), ("+1h", 1)] {
        set(offset);
        run.await_event(offset, |event| {
            let moved = event["at"].as_i64().unwrap() - at - hours * HOUR;
            event["type"] == "progress" && moved.abs() < HOUR / 2
        });
    }
    run.signal("TERM");
    let finished = run.finish();
    finished.assert_code(143);
    let status = job.status();
    assert_eq!((&status["state"], &status["last_run"]["outcome"]), (&"stopped".into(), &"stopped".into()));
    let left = ROWS - i32::try_from(finished.end()["rows_written"].as_i64().unwrap()).unwrap();
    assert!(left > 0, "all rows were written before the clock was set");

    set("+0");
    with_clock(&job.clone().target(TARGET), &library, &clock).succeed();
    assert_eq!((&job.status()["rows_read"], &job.status()["runs"]), (&ROWS.into(), &2.into()));
    lab.assert_equal("t", ROWS.try_into().unwrap());
}
