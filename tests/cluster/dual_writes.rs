//! The applications write to both clusters while the copy runs: what is newer wins, whatever comes first.

use crate::lab::{Lab, THEN};
use crate::proxy::Proxy;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A row's number, and its two cells with their writetimes.
type Row = (i32, Option<String>, Option<i64>, Option<String>, Option<i64>);

/// Goal: the copy never covers what is newer than the source, and covers what is older; cell by cell, and deletes too.
///
/// Method: each row of the source has writetime 1000. The target has something older or newer in place before the copy.
#[test]
fn what_is_newer_at_the_target_survives_and_what_is_older_is_covered() {
    let Some(lab) = Lab::open("dual") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, b text, PRIMARY KEY (room, id))");
    lab.both("CREATE TABLE keys (room int, id int, a text, PRIMARY KEY (room, id))");
    let insert = "INSERT INTO t (room, id, a, b) VALUES (?, ?, 'old', 'old') USING TIMESTAMP 1000";
    lab.source.load(insert, (0..14).map(|id| (id / 10, id)));
    lab.source.load("INSERT INTO keys (room, id) VALUES (?, ?) USING TIMESTAMP 1000", (0..4).map(|id| (id, id)));
    for cql in [
        "INSERT INTO t (room, id, a, b) VALUES (0, 1, 'new', 'new') USING TIMESTAMP 2000",
        "INSERT INTO t (room, id, a, b) VALUES (0, 2, 'older', 'older') USING TIMESTAMP 500",
        "UPDATE t USING TIMESTAMP 2000 SET a = 'new' WHERE room = 0 AND id = 3",
        "UPDATE t USING TIMESTAMP 500 SET b = 'older' WHERE room = 0 AND id = 3",
        "DELETE FROM t USING TIMESTAMP 2000 WHERE room = 0 AND id = 4",
        "DELETE FROM t USING TIMESTAMP 500 WHERE room = 0 AND id = 5",
        "DELETE a FROM t USING TIMESTAMP 2000 WHERE room = 0 AND id = 6",
        "DELETE a FROM t USING TIMESTAMP 500 WHERE room = 0 AND id = 7",
        "DELETE FROM t USING TIMESTAMP 2000 WHERE room = 0 AND id > 7",
        "DELETE FROM t USING TIMESTAMP 999 WHERE room = 1",
        "DELETE FROM t USING TIMESTAMP 1000 WHERE room = 1 AND id = 12", // The same time: a delete wins.
        "DELETE FROM t USING TIMESTAMP 2000 WHERE room = 1 AND id = 13",
        "INSERT INTO t (room, id, a) VALUES (1, 13, 'back') USING TIMESTAMP 3000",
        // A row that has only a key is written at --unknown-timestamp, 1 by default: older than any application.
        "DELETE FROM keys USING TIMESTAMP 999 WHERE room = 1",
        "INSERT INTO keys (room, id, a) VALUES (2, 2, 'new') USING TIMESTAMP 2",
        "DELETE FROM keys USING TIMESTAMP 0 WHERE room = 3",
    ] {
        lab.target.run(cql);
    }
    lab.job("t").succeed();
    lab.job("keys").succeed();

    let found = lab.target.rows::<Row>("SELECT id, a, WRITETIME(a), b, WRITETIME(b) FROM t");
    let cell = |text: &str, time| (Some(text.to_owned()), Some(time));
    let (old, new, none) = (cell("old", 1000), cell("new", 2000), (None, None));
    let mut expected = vec![(0, old.clone(), old.clone())];
    expected.push((1, new.clone(), new.clone()));
    expected.push((2, old.clone(), old.clone()));
    expected.push((3, new, old.clone()));
    expected.push((5, old.clone(), old.clone()));
    expected.push((6, none.clone(), old.clone()));
    expected.push((7, old.clone(), old.clone()));
    expected.extend([10, 11].map(|id| (id, old.clone(), old.clone())));
    expected.push((13, cell("back", 3000), none));
    let mut found: Vec<_> = found.into_iter().map(|(id, a, at, b, bt)| (id, (a, at), (b, bt))).collect();
    found.sort();
    assert_eq!(found, expected);
    let mut keys = lab.target.rows::<(i32, Option<String>)>("SELECT id, a FROM keys");
    keys.sort();
    assert_eq!(keys, [(0, None), (2, Some("new".to_owned())), (3, None)]);
}

/// Goal: a copy beside live writes ends with two equal tables.
///
/// Method: while a slow copy runs, two writers change, add and delete rows on both sides, each change with one timestamp; one
/// of them writes to the source first, the other to the target. Equality is judged by the dumps, so that every cell's
/// writetime counts, and no deleted row may come back.
#[test]
fn a_copy_beside_live_writes_ends_with_equal_tables() {
    const ROWS: i32 = 20_000;
    let Some(lab) = Lab::open("dual_live") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, b text, PRIMARY KEY (room, id))");
    let insert = "INSERT INTO t (room, id, a, b) VALUES (?, ?, 'first', 'first') USING TIMESTAMP ?";
    lab.source.load(insert, (0..ROWS).map(|id| (id / 5, id, THEN)));

    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let mut run = lab.job("t").args(&["--writers", "4", "--readers", "4"]).target(&proxy.address).start();
    run.await_type("planned");
    proxy.delay_answers(Duration::from_millis(60));
    let over = Arc::new(AtomicBool::new(false));
    let written: Vec<i32> = std::thread::scope(|scope| {
        let writers = [0u64, 1].map(|writer| {
            let (over, mut random) = (Arc::clone(&over), lab.random.clone());
            random = crate::random::Random::new(random.next() + writer);
            let sides = if writer == 0 { [&lab.source, &lab.target] } else { [&lab.target, &lab.source] };
            scope.spawn(move || {
                let mut changes = 0;
                while !over.load(Ordering::Relaxed) {
                    // Each writer has rows of its own: two changes of one cell in one microsecond would be a tie.
                    let id = i32::try_from(random.below(ROWS as u64 / 2) * 2 + writer).unwrap();
                    let (room, at) = (id / 5, THEN + 1000 + i64::from(changes));
                    // A row that is deleted stays so: an UPDATE would make it one without a marker, and the copy infers one.
                    let cql = match (random.below(3), id % 3) {
                        (0, 0) => format!("DELETE FROM t USING TIMESTAMP {at} WHERE room = {room} AND id = {id}"),
                        (0, _) => format!("DELETE b FROM t USING TIMESTAMP {at} WHERE room = {room} AND id = {id}"),
                        (1, 1..) => {
                            format!("UPDATE t USING TIMESTAMP {at} SET b = 'second' WHERE room = {room} AND id = {id}")
                        }
                        _ => format!(
                            "INSERT INTO t (room, id, a, b) VALUES ({room}, {}, 'new', 'new') USING TIMESTAMP {at}",
                            id + ROWS
                        ),
                    };
                    for side in sides {
                        side.run(&cql);
                    }
                    changes += 1;
                }
                changes
            })
        });
        let finished = run.finish();
        over.store(true, Ordering::Relaxed);
        finished.assert_code(0);
        writers.map(|writer| writer.join().unwrap()).into()
    });
    println!("changes while the copy ran: {written:?}");
    assert!(written.iter().all(|&changes| changes > 100), "{written:?}");
    let report = lab.differences("t", "t");
    assert!(report.is_equal(), "{report}");
}
