//! What a row is besides its values: writetimes and TTLs of each cell, absence, emptiness, the row marker.

use crate::lab::{Lab, Raw, THEN, TTL_TOLERANCE};
use crate::oracle::Kind;

/// A row's number, and the TTLs of its cells.
type Ttls = (i32, Option<i32>, Option<i32>, Option<i32>, Option<i32>, Option<i32>);

/// Goal: each cell keeps its own writetime and TTL, no null becomes a tombstone, an empty text stays one, and a permanent
/// cell stays beside an expiring one.
///
/// Method: rows whose five cells are written one by one, at random: not at all, bound to null, empty, or a text; each
/// with its own writetime, some with a TTL, some of the rows by INSERT and some by UPDATE alone. The dumps judge. A row marker
/// can't be read, so it is inferred; all that may differ is the marker, in the ways that are expected of each row.
#[test]
fn each_cell_keeps_its_own_writetime_and_ttl() {
    const ROWS: i32 = 4000;
    let Some(mut lab) = Lab::open("metadata") else { return };
    lab.both("CREATE TABLE t (room int, id int, a text, b text, c text, d text, e int, PRIMARY KEY (room, id))");
    let random = &mut lab.random;
    let (mut inserted, mut keys_only, mut cells) = (Vec::new(), Vec::new(), [const { Vec::new() }; 5]);
    for id in 0..ROWS {
        let room = id / 7;
        let marker = !random.one_in(4);
        if marker {
            inserted.push((room, id, THEN));
        }
        let mut any = false;
        for (column, cells) in cells.iter_mut().enumerate() {
            let ttl = if random.one_in(4) { 50_000 + i32::try_from(random.below(50_000)).unwrap() } else { 0 };
            let at = if random.one_in(2) { THEN } else { THEN - i64::from(random.int()) };
            let value = match random.below(6) {
                0 | 1 => continue,
                2 => vec![],
                _ => format!("{id}").into_bytes(),
            };
            let value = if column == 4 { id.to_be_bytes().to_vec() } else { value };
            let cell = |bytes: &[u8]| Some(bytes.to_vec());
            let row = [cell(&at.to_be_bytes()), cell(&ttl.to_be_bytes()), Some(value)];
            cells.push(Raw(row.into_iter().chain([cell(&room.to_be_bytes()), cell(&id.to_be_bytes())]).collect()));
            any = true;
        }
        if marker && !any {
            keys_only.push(id);
        }
    }
    lab.source.load("INSERT INTO t (room, id) VALUES (?, ?) USING TIMESTAMP ?", inserted);
    for (column, cells) in ["a", "b", "c", "d", "e"].iter().zip(cells) {
        let cql = format!("UPDATE t USING TIMESTAMP ? AND TTL ? SET {column} = ? WHERE room = ? AND id = ?");
        lab.source.load(&cql, cells);
    }
    // Nulls that were bound at the source are tombstones there, and nothing at the target.
    let nulls = "INSERT INTO t (room, id, a, b, c) VALUES (?, ?, 'x', null, ?) USING TIMESTAMP ?";
    lab.source.load(nulls, (0..100).map(|n| (n + ROWS, n + ROWS, None::<String>, THEN)));

    lab.job("t").args(&["--unknown-timestamp", "12345"]).succeed();
    let report = lab.differences("t", "t");
    let allowed = |kind| matches!(kind, Kind::Marker | Kind::MarkerTimestamp | Kind::MarkerTtl | Kind::MarkerExpiry);
    let unexpected = report.differences.keys().find(|kind| !allowed(**kind));
    assert!(unexpected.is_none(), "{unexpected:?}\n{report}");
    assert!(report.cells > 10_000, "{report}");

    // The same, as a client sees it: values, writetimes, and TTLs about so.
    let cql =
        "SELECT room, id, a, b, c, d, e, WRITETIME(a), WRITETIME(b), WRITETIME(c), WRITETIME(d), WRITETIME(e) FROM t";
    let (source, target) = (lab.source.raw(cql), lab.target.raw(cql));
    assert!(source == target, "a client sees two different tables");
    let ttls = "SELECT id, TTL(a), TTL(b), TTL(c), TTL(d), TTL(e) FROM t";
    let (source, target) = (lab.source.rows::<Ttls>(ttls), lab.target.rows::<Ttls>(ttls));
    for (source, target) in source.iter().zip(&target) {
        let list = |row: &Ttls| [row.1, row.2, row.3, row.4, row.5];
        for pair in list(source).into_iter().zip(list(target)) {
            let same = match pair {
                (Some(source), Some(target)) => u64::from(source.abs_diff(target)) <= TTL_TOLERANCE,
                pair => pair.0 == pair.1,
            };
            assert!(same, "row {}: {source:?} at the source, {target:?} at the target", source.0);
        }
    }

    // A row that has only a key: its marker carries the number that was asked for.
    let text = std::fs::read_to_string(lab.dump(&lab.target, "t")).unwrap();
    let marked = text.matches("\"tstamp\" : \"12345\"").count() + text.matches("\"tstamp\":\"12345\"").count();
    assert!(!keys_only.is_empty());
    assert_eq!(marked, keys_only.len(), "rows at the unknown timestamp");
}

/// Goal: what the markers of rows are inferred to be.
///
/// Method: one row of each kind; the dumps say what differs, row by row.
#[test]
fn row_markers_are_inferred_as_documented() {
    let Some(lab) = Lab::open("markers") else { return };
    lab.both("CREATE TABLE t (id int PRIMARY KEY, a text, b text)");
    for cql in [
        // One statement wrote it all: the marker is the same.
        "INSERT INTO t (id, a, b) VALUES (1, 'a', 'b') USING TIMESTAMP 100",
        // All of it expires together: so does the marker.
        "INSERT INTO t (id, a, b) VALUES (2, 'a', 'b') USING TIMESTAMP 100 AND TTL 5000",
        // An UPDATE later on: the marker is as old as the oldest permanent cell.
        "INSERT INTO t (id, a, b) VALUES (3, 'a', 'b') USING TIMESTAMP 100",
        "UPDATE t USING TIMESTAMP 200 SET b = 'c' WHERE id = 3",
        // A permanent cell beside an expiring one: the marker is permanent.
        "INSERT INTO t (id, a, b) VALUES (4, 'a', 'b') USING TIMESTAMP 100",
        "UPDATE t USING TIMESTAMP 200 AND TTL 5000 SET b = 'c' WHERE id = 4",
        // Never INSERTed: a marker is written though there was none. A row too many later on is better than one too few.
        "UPDATE t USING TIMESTAMP 100 SET a = 'a' WHERE id = 5",
        // Nothing but a key.
        "INSERT INTO t (id) VALUES (6) USING TIMESTAMP 100",
    ] {
        lab.source.run(cql);
    }
    lab.job("t").succeed();
    let report = lab.differences("t", "t");
    let mut found: Vec<_> =
        report.samples.iter().map(|d| (d.partition.as_str(), d.kind, d.source.as_str(), d.target.as_str())).collect();
    found.sort_unstable();
    let expected = [(r#"["5"]"#, Kind::Marker, "none", "of 100"), (r#"["6"]"#, Kind::MarkerTimestamp, "100", "1")];
    assert_eq!(found, expected);
    assert_eq!(report.rows, 6);
}
