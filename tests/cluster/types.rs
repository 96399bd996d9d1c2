//! Every type, byte for byte: as a value, as a clustering key, as a partition key.

use crate::encodings::{Type, types};
use crate::lab::{Lab, Raw, THEN};

/// Goal: bytes arrive as they are, whatever they mean.
///
/// Method: four tables, in one job. In the first, each type is a regular column: one row for each encoding of each, alone and
/// beside others. In the second and third, each is a clustering column, every other one descending; in the last, a component
/// of the partition key. Bound as raw bytes, and compared as the raw cells of SELECTs. A dump would print 1 for a varint of 01 and of
/// 0001; it throws on a boolean of no bytes and on a short tuple, so that only the last table has one.
#[test]
fn every_type_arrives_byte_for_byte_wherever_it_stands() {
    let Some(lab) = Lab::open("types") else { return };
    let types = types();
    lab.both("CREATE TYPE pair (a int, b text)");
    let list = |types: &[&Type], with_type: bool| {
        let text = |t: &&Type| if with_type { format!("{} {}", t.name, t.cql) } else { t.name.clone() };
        types.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&Type> = types.iter().collect();
    let keys: Vec<&Type> = types.iter().filter(|t| t.key).collect();
    let orders = |order: [&str; 2]| {
        let each = keys.iter().zip(order.iter().cycle()).map(|(t, order)| format!("{} {order}", t.name));
        each.collect::<Vec<_>>().join(", ")
    };
    let (columns, key_columns) = (list(&all, true), list(&keys, true));
    let key_names = list(&keys, false);
    lab.both(&format!("CREATE TABLE regular (id int PRIMARY KEY, {columns})"));
    for (table, order) in [("clustering", ["ASC", "DESC"]), ("reversed", ["DESC", "ASC"])] {
        lab.both(&format!(
            "CREATE TABLE {table} (id int, {key_columns}, v int, PRIMARY KEY (id, {key_names}))
             WITH CLUSTERING ORDER BY ({})",
            orders(order)
        ));
    }
    lab.both(&format!("CREATE TABLE partition ({key_columns}, v int, PRIMARY KEY (({key_names})))"));

    // Regular: each encoding alone in its row; then rows of all columns, the n-th encoding of each; then no value at all.
    let mut rows: Vec<Vec<Option<Vec<u8>>>> = Vec::new();
    for (column, t) in types.iter().enumerate() {
        rows.extend(t.all().into_iter().map(|value| {
            let mut row = vec![None; types.len()];
            row[column] = Some(value);
            row
        }));
    }
    let longest = types.iter().map(|t| t.all().len()).max().unwrap();
    let nth = |t: &Type, n: usize| t.all().into_iter().cycle().nth(n);
    rows.extend((0..longest).map(|n| types.iter().map(|t| nth(t, n)).collect()));
    rows.push(vec![None; types.len()]);
    let count = rows.len() as u64;
    let insert = |table: &str, names: &str, columns: usize| {
        let marks = vec!["?"; columns].join(", ");
        format!("INSERT INTO {table} ({names}) VALUES ({marks}) USING TIMESTAMP {THEN}")
    };
    let numbered =
        (0i32..).zip(rows).map(|(id, row)| Raw(std::iter::once(Some(id.to_be_bytes().to_vec())).chain(row).collect()));
    lab.source.load_singly(&insert("regular", &format!("id, {}", list(&all, false)), types.len() + 1), numbered);

    // Keys: one row for each encoding of each column, the others at their first one.
    let first: Vec<Vec<u8>> = keys.iter().map(|t| t.all()[0].clone()).collect();
    let mut key_rows = vec![first.clone()];
    for (column, t) in keys.iter().enumerate() {
        key_rows.extend(t.all().into_iter().skip(1).map(|value| {
            let mut row = first.clone();
            row[column] = value;
            row
        }));
    }
    let one = 1i32.to_be_bytes().to_vec();
    let as_row = |row: &Vec<Vec<u8>>| row.iter().cloned().map(Some).chain([Some(one.clone())]).collect::<Vec<_>>();
    let names = format!("{key_names}, v");
    let partitions = key_rows.iter().map(|row| Raw(as_row(row)));
    lab.source.load_singly(&insert("partition", &names, keys.len() + 1), partitions);
    let clusterings = key_rows.iter().map(|row| Raw(std::iter::once(Some(one.clone())).chain(as_row(row)).collect()));
    let clusterings: Vec<Raw> = clusterings.collect();
    for table in ["clustering", "reversed"] {
        lab.source.load_singly(&insert(table, &format!("id, {names}"), keys.len() + 2), clusterings.clone());
    }

    let mut job = lab.job("regular");
    for table in ["clustering", "reversed", "partition"] {
        job = job.arg("--table").arg(&lab.name(table));
    }
    job.succeed();
    let writetimes = types.iter().map(|t| format!("WRITETIME({0}), TTL({0})", t.name)).collect::<Vec<_>>().join(", ");
    let selects = [
        ("regular", format!("SELECT id, {}, {writetimes} FROM regular", list(&all, false)), Some(count)),
        // As clustering keys, encodings that compare equal are one row.
        ("clustering", format!("SELECT id, {names}, WRITETIME(v) FROM clustering"), None),
        ("reversed", format!("SELECT id, {names}, WRITETIME(v) FROM reversed"), None),
        ("partition", format!("SELECT {names}, WRITETIME(v) FROM partition"), Some(key_rows.len() as u64)),
    ];
    for (table, cql, expected) in selects {
        let (source, target) = (lab.source.raw(&cql), lab.target.raw(&cql));
        assert_eq!(source.len(), target.len(), "rows of {table}");
        for (source, target) in source.iter().zip(&target) {
            assert_eq!(source, target, "a row of {table}");
        }
        assert!(expected.is_some() || source.len() > 70, "{table} has {} rows", source.len());
        assert!(expected.is_none_or(|rows| rows == source.len() as u64), "{table} has {} rows", source.len());
    }
    let report = lab.differences("partition", "partition");
    assert!(report.is_equal(), "{report}");
}

/// Goal: a partition key of one column, which is hashed as it is: encodings that decode to the same value are different
/// partitions, and each lands in its own.
#[test]
fn partition_keys_that_decode_equal_stay_apart() {
    let Some(lab) = Lab::open("types_pk") else { return };
    lab.both("CREATE TYPE pair (a int, b text)");
    // A lone key of no bytes is refused.
    let encodings = |t: &Type| t.all().into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>();
    let keys: Vec<Type> = types().into_iter().filter(|t| t.key).collect();
    let mut job = lab.job(&keys[0].name);
    for t in &keys {
        lab.both(&format!("CREATE TABLE {} (k {} PRIMARY KEY, v blob)", t.name, t.cql));
        let rows = encodings(t).into_iter().map(|value| Raw(vec![Some(value.clone()), Some(value)]));
        let cql = format!("INSERT INTO {} (k, v) VALUES (?, ?) USING TIMESTAMP {THEN}", t.name);
        lab.source.load_singly(&cql, rows);
        if t.name != keys[0].name {
            job = job.arg("--table").arg(&lab.name(&t.name));
        }
    }
    job.succeed();
    for t in &keys {
        let cql = format!("SELECT k, v, WRITETIME(v), token(k) FROM {}", t.name);
        let (source, target) = (lab.source.raw(&cql), lab.target.raw(&cql));
        assert_eq!(source, target, "{}", t.name);
        assert_eq!(target.len(), encodings(t).len(), "{}: each encoding is a partition", t.name);
        assert!(target.iter().all(|row| row.0[0] == row.0[1]), "{}: each key has its own value", t.name);
    }
}
