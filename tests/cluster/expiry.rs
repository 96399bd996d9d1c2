//! TTLs: what expires at the source expires at the target at the same moment, however long it waits in between.

use crate::lab::{Lab, Node, THEN};
use crate::oracle::Kind;
use crate::proxy::{PAYLOAD, Proxy, times, writes};
use scylla_proxy::{Reaction, RequestReaction, RequestRule};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// All rows in one partition: one range holds them.
const CREATE: &str = "CREATE TABLE cells (room int, id int, a text, b text, PRIMARY KEY (room, id))";

/// By so many seconds two expiries may differ, as a write may wait at the target before it is executed. Writes that are to show
/// that their TTLs shrink meanwhile wait for longer.
const TOLERANCE: u64 = 15;

/// When each cell of the column expires, in seconds from now; none is never.
fn expiries(node: &Node, column: &str) -> BTreeMap<i32, Option<i32>> {
    node.rows::<(i32, Option<i32>)>(&format!("SELECT id, TTL({column}) FROM cells")).into_iter().collect()
}

/// Asserts that the column's cells expire at the same time on both sides.
fn assert_same_expiry(lab: &Lab, column: &str) {
    let asked = Instant::now();
    let (source, target) = (expiries(&lab.source, column), expiries(&lab.target, column));
    let tolerance = TOLERANCE + asked.elapsed().as_secs();
    assert!(source.keys().eq(target.keys()), "{column}: {source:?} at the source, {target:?} at the target");
    for (id, expiry) in source {
        match (expiry, target[&id]) {
            (None, None) => {}
            (Some(source), Some(target)) if u64::from(source.abs_diff(target)) <= tolerance => {}
            (source, target) => panic!("{column} of {id} expires in {source:?} s, and in {target:?} s at the target"),
        }
    }
}

/// Goal: a cell keeps the moment of its expiry though it waits for half a minute, and one that has expired meanwhile is
/// not written but counted.
///
/// Method: rows of one partition, which are read in the first seconds; a request for each, one at a time, each held back for three
/// seconds: the last row is sent some 30 s after it was read. Of four rows, two live long, one lives for 25 s, and one has a
/// permanent cell beside one that lives for 25 s.
#[test]
fn cells_keep_their_expiry_while_they_wait_and_the_expired_are_counted() {
    let Some(lab) = Lab::open("expiry_waiting") else { return };
    lab.both(CREATE);
    let insert =
        format!("INSERT INTO cells (room, id, a, b) VALUES (1, ?, '{PAYLOAD}', 'b') USING TIMESTAMP ? AND TTL ?");
    let update = "UPDATE cells USING TIMESTAMP ? AND TTL 25 SET b = 'late' WHERE room = 1 AND id = ?";
    let ids = |rest: i32| (0..12).filter(move |id| id % 4 == rest);
    lab.source.load(&insert, (0..12).filter(|id| id % 2 == 0).map(|id| (id, THEN, 600 + id)));
    lab.source.load(&insert, ids(1).map(|id| (id, THEN, 25)));
    lab.source.load(&insert, ids(3).map(|id| (id, THEN, 0)));
    lab.source.load(update, ids(3).map(|id| (THEN + 1, id)));

    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.on_requests(vec![RequestRule(writes(), RequestReaction::delay(Duration::from_secs(3)))]);
    let job = lab.job("cells").args(&["--readers", "1", "--writers", "1", "--batch", "none"]).target(&proxy.address);
    let started = Instant::now();
    job.succeed();
    assert!(started.elapsed() > Duration::from_secs(25), "nothing had to wait");

    assert_same_expiry(&lab, "a");
    // Its cells of 25 s are gone, which the target may know a little later.
    let late = |node: &Node| node.rows::<(i32,)>("SELECT id FROM cells WHERE b = 'late' ALLOW FILTERING").len();
    let ended = Instant::now();
    while late(&lab.source) + late(&lab.target) > 0 {
        assert!(ended.elapsed() < Duration::from_secs(TOLERANCE), "what expires at the source stays at the target");
        std::thread::sleep(Duration::from_millis(200)); // Nothing but time makes them expire.
    }
    assert_same_expiry(&lab, "b");
    let status = job.status();
    let count = |name: &str| status[name].as_u64().unwrap();
    assert_eq!(count("rows_read"), 12);
    assert_eq!(count("rows_read"), count("rows_written") + count("rows_expired"));
    // Of rows 1, 5 and 9 the first is sent in time and the last is not.
    assert!((1..=2).contains(&count("rows_expired")), "{status:#}");
    assert_eq!(u64::try_from(lab.target.writes("cells")).unwrap(), count("rows_written"), "a mutation for each row");
    // The files of the source still hold what has expired; nothing else may differ.
    let report = lab.differences_within(TOLERANCE, "cells", "cells");
    let missing = report.differences.get(&Kind::MissingRow).copied().unwrap_or_default();
    assert_eq!(missing, count("rows_expired"), "{report}");
    assert_eq!(report.differences.len(), 1, "{report}");
    assert_eq!(lab.target.rows::<(i32, Option<String>)>("SELECT id, a FROM cells WHERE room = 1 AND id = 11")[0].0, 11);
}

/// Goal: a write that fails for some time is sent with the TTL that is left by then.
///
/// Method: the first twelve tries of the only row are answered with Overloaded, which takes more than twenty seconds of waiting.
#[test]
fn a_write_that_is_tried_again_carries_the_ttl_of_that_moment() {
    let Some(lab) = Lab::open("expiry_retry") else { return };
    lab.both(CREATE);
    lab.source.run(&format!("INSERT INTO cells (room, id, a, b) VALUES (1, 1, 'a', '{PAYLOAD}') USING TTL 600"));
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.on_requests(vec![times(12, writes(), RequestReaction::forge().overloaded())]);
    let started = Instant::now();
    let finished = lab.job("cells").target(&proxy.address).succeed();
    assert!(started.elapsed() > Duration::from_secs(TOLERANCE + 5), "nothing had to wait");
    assert!(finished.end()["retries"].as_u64() >= Some(12), "{}", finished.end());
    assert_same_expiry(&lab, "a");
    assert_same_expiry(&lab, "b");
}

/// Goal: "no TTL" is said, not left out: a default of the target's table doesn't apply to what is permanent at the source.
#[test]
fn permanent_cells_stay_permanent_where_the_target_has_a_default_ttl() {
    let Some(lab) = Lab::open("expiry_default") else { return };
    lab.both(CREATE);
    lab.target.run("ALTER TABLE cells WITH default_time_to_live = 3600");
    let insert = "INSERT INTO cells (room, id, a, b) VALUES (?, ?, 'a', 'b') USING TIMESTAMP ?";
    lab.source.load(insert, (0..200).map(|n| (n % 20, n, THEN)));
    lab.source.load("INSERT INTO cells (room, id) VALUES (?, ?)", (0..10).map(|n| (n, 1000))); // Only a key.
    lab.source.load(
        "UPDATE cells USING TIMESTAMP ? AND TTL 900 SET b = 'soon' WHERE room = ? AND id = ?",
        (0..50).map(|n| (THEN + 5, n % 20, n)),
    );
    lab.job("cells").args(&["--unknown-timestamp", "7"]).succeed();
    for column in ["a", "b"] {
        assert_same_expiry(&lab, column);
    }
    let permanent = lab.target.rows::<(Option<i32>,)>("SELECT TTL(a) FROM cells");
    assert!(permanent.iter().all(|row| row.0.is_none()), "{permanent:?}");
    // The dumps show the row markers too: not one that expires. A key-only row's marker has its own timestamp.
    let report = lab.differences("cells", "cells");
    let unexpected = report.samples.iter().find(|difference| difference.kind != Kind::MarkerTimestamp);
    assert!(unexpected.is_none(), "{report}");
    assert_eq!((report.samples.len(), report.rows), (10, 210));
}
