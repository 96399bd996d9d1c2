//! The applications write to both clusters while the copy runs: what is newer wins, whatever comes first.

use crate::lab::{Lab, Node, THEN};
use crate::proxy::{PAYLOAD, Proxy, writes};
use crate::trace::Trace;
use scylla_proxy::Condition;
use std::collections::HashSet;
use std::sync::Mutex;
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

/// A cell that was written: row, column, value, timestamp.
type Cell = (i32, &'static str, String, i64);

/// Writes to both sides, as an application does; each change has one timestamp.
struct Writer<'a> {
    /// The side that is written first comes first: one writer begins with the source, the other with the target.
    sides: [&'a Node; 2],
    log: &'a Mutex<HashSet<Cell>>,
    /// The last timestamp.
    at: i64,
}

impl Writer<'_> {
    fn run(&mut self, cql: impl Fn(i64) -> String, cells: &[(i32, &'static str, &str)]) {
        self.at += 1;
        // In the log before anybody can read it.
        let cells = cells.iter().map(|&(id, column, value)| (id, column, value.to_owned(), self.at));
        self.log.lock().unwrap().extend(cells);
        for side in self.sides {
            side.run(&cql(self.at));
        }
    }

    fn update(&mut self, id: i32, value: &str) {
        let of_row = format!("WHERE room = {} AND id = {id}", id / 5);
        self.run(|at| format!("UPDATE t USING TIMESTAMP {at} SET b = '{value}' {of_row}"), &[(id, "b", value)]);
    }

    fn insert(&mut self, id: i32) {
        let insert = format!("INSERT INTO t (room, id, a, b) VALUES ({}, {id}, '{PAYLOAD}', 'new')", id / 5);
        let cells = [(id, "a", PAYLOAD), (id, "b", "new")];
        self.run(|at| format!("{insert} USING TIMESTAMP {at}"), &cells);
    }

    fn delete(&mut self, id: i32, what: &str) {
        let of_row = format!("WHERE room = {} AND id = {id}", id / 5);
        self.run(|at| format!("DELETE {what} FROM t USING TIMESTAMP {at} {of_row}"), &[]);
    }

    /// Changes a row twice, and adds one.
    fn change(&mut self, id: i32, row_count: i32) {
        match id % 3 {
            // A row that is deleted stays so: an UPDATE would make it one without a marker, and the copy infers one.
            0 => self.delete(id, ""),
            1 => self.delete(id, "b"),
            _ => self.update(id, "second"),
        }
        if id % 3 != 0 {
            self.update(id, "third");
        }
        self.insert(id + row_count);
    }
}

/// Goal: a copy beside live writes ends with two equal tables, and never writes what isn't the source's own.
///
/// Method: while a slow copy runs, two writers change, add and delete a tenth of the rows on both sides, each change with one
/// timestamp; one of them writes to the source first, the other to the target. Equality is judged by the dumps, so that
/// every cell's writetime counts, and no deleted row may come back. Every statement that the program has sent is taken apart:
/// each cell in it is one that somebody wrote to the source, with that very timestamp, and none has one of its own.
#[test]
fn a_copy_beside_live_writes_ends_with_equal_tables() {
    const ROWS: i32 = 20_000;
    let Some(mut lab) = Lab::open("dual_live") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, b text, PRIMARY KEY (room, id))");
    let insert = format!("INSERT INTO t (room, id, a, b) VALUES (?, ?, '{PAYLOAD}', 'first') USING TIMESTAMP {THEN}");
    lab.source.load(&insert, (0..ROWS).map(|id| (id / 5, id)));
    let loaded = (0..ROWS).flat_map(|id| [(id, "a", PAYLOAD.to_owned(), THEN), (id, "b", "first".to_owned(), THEN)]);
    let log = Mutex::new(loaded.collect::<HashSet<Cell>>());
    let tenth: Vec<i32> = (0..ROWS / 10).map(|n| n * 10 + i32::try_from(lab.random.below(10)).unwrap()).collect();

    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let mut trace = Trace::of(&mut proxy);
    let slow = ["--writers", "4", "--readers", "4", "--ranges", "100"];
    trace.delay(&mut proxy, writes(), Duration::from_millis(400));
    let mut run = lab.job("t").args(&slow).target(&proxy.address).start();
    run.await_begin();
    std::thread::scope(|scope| {
        for (number, rows) in tenth.chunks(tenth.len() / 8).enumerate() {
            let sides = if number % 2 == 0 { [&lab.source, &lab.target] } else { [&lab.target, &lab.source] };
            let mut writer = Writer { sides, log: &log, at: THEN + 1000 };
            scope.spawn(move || rows.iter().for_each(|&id| writer.change(id, ROWS)));
        }
    });
    trace.delay(&mut proxy, Condition::False, Duration::ZERO);
    run.finish().assert_code(0);

    let log = log.into_inner().unwrap();
    let timestamps: HashSet<(i32, i64)> = log.iter().map(|(id, _, _, at)| (*id, *at)).collect();
    let (mut cells, mut newer) = (0, 0);
    for sent in trace.take() {
        // A statement without a key is the one that asks whether writing is permitted.
        let Some(Some(id)) = sent.get("id") else { continue };
        let bytes = |name: &str| sent[name].clone().expect("null is never bound");
        let id = i32::from_be_bytes(id[..].try_into().unwrap());
        let at = i64::from_be_bytes(bytes("[timestamp]").try_into().unwrap());
        for column in ["a", "b"].into_iter().filter(|column| sent.contains_key(*column)) {
            let cell = (id, column, String::from_utf8(bytes(column)).unwrap(), at);
            assert!(log.contains(&cell), "written, and never at the source: {cell:?}");
            (cells, newer) = (cells + 1, newer + usize::from(at > THEN));
        }
        assert!(timestamps.contains(&(id, at)), "row {id} has nothing of {at} at the source");
        assert_eq!(bytes("[ttl]"), [0; 4]);
    }
    println!("cells written: {cells}, of live writes: {newer}");
    assert!(cells > 30_000 && newer > 0, "nothing was written while it was copied");
    let report = lab.differences("t", "t");
    assert!(report.is_equal(), "{report}");
}
