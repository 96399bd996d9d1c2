//! Every type, byte for byte: as a value, as a clustering key, as a partition key.

use crate::lab::{Lab, Raw, THEN};

/// A type, and encodings of its values that Cassandra takes: usual ones, extremes, and odd ones, which a decoder would
/// turn into something else.
struct Type {
    cql: &'static str,
    name: &'static str,
    values: Vec<Vec<u8>>,
    /// Whether a value of no bytes at all is taken. It is neither null nor, but for texts, the value of anything.
    empty: bool,
    /// Whether it may be part of a primary key.
    key: bool,
}

fn be<const N: usize>(values: &[[u8; N]]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_vec()).collect()
}

fn texts(values: &[&str]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn bytes(values: &[&[u8]]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_vec()).collect()
}

/// Cells of a collection or a tuple: each with its length in front, -1 for null.
fn cells(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        out.extend(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()).to_be_bytes());
        out.extend(value.unwrap_or_default());
    }
    out
}

fn collection(values: &[&[u8]], count: usize) -> Vec<u8> {
    let mut out = i32::try_from(count).unwrap().to_be_bytes().to_vec();
    out.extend(cells(&values.iter().map(|value| Some(*value)).collect::<Vec<_>>()));
    out
}

fn types() -> Vec<Type> {
    let one = 1i32.to_be_bytes();
    let two = 2i32.to_be_bytes();
    let date_uuid = [0xd2, 0x17, 0x7d, 0xd0, 0xea, 0xa2, 0x11, 0xde, 0xa5, 0x72, 0, 0x1b, 0x77, 0x9c, 0x76, 0xe3];
    let mut late_uuid = [0xff; 16];
    late_uuid[6] = 0x1f; // Version 1.
    let of = |name, cql, values, empty, key| Type { cql, name, values, empty, key };
    vec![
        of("c_ascii", "ascii", texts(&["a", "~ \t\n\"'"]), true, true),
        of("c_bigint", "bigint", be(&[0i64, 1, -1, i64::MIN, i64::MAX].map(i64::to_be_bytes)), true, true),
        of("c_blob", "blob", bytes(&[&[0], &[0xff, 0, 0xfe], &[7; 300]]), true, true),
        // Any byte but 0 is true; only 1 is what a driver would write.
        of("c_boolean", "boolean", bytes(&[&[0], &[1], &[2], &[0xff]]), true, true),
        of("c_date", "date", be(&[0u32, 1 << 31, u32::MAX].map(u32::to_be_bytes)), false, true),
        // 0, 1.0, 1.00, -1 at a scale of i32::MIN and i32::MAX, 1.0 with a superfluous byte.
        of(
            "c_decimal",
            "decimal",
            bytes(&[
                &[0, 0, 0, 0, 0],
                &[0, 0, 0, 1, 10],
                &[0, 0, 0, 2, 100],
                &[0, 0, 0, 1, 0, 10],
                &[0, 0, 0, 30, 0xff],
            ]),
            true,
            true,
        ),
        of(
            "c_double",
            "double",
            be(&[0.0f64, -0.0, f64::MIN, f64::MAX, f64::INFINITY, f64::NAN].map(f64::to_be_bytes)),
            true,
            true,
        ),
        // Months, days, nanoseconds, as zigzag varints; negative ones; the longest forms.
        of(
            "c_duration",
            "duration",
            bytes(&[
                &[0, 0, 0],
                &[2, 4, 6],
                &[1, 3, 5],
                &[0xf0, 0xff, 0xff, 0xff, 0xfe, 0xf0, 0xff, 0xff, 0xff, 0xfe, 0],
            ]),
            false,
            false,
        ),
        of(
            "c_float",
            "float",
            [0.0f32, -0.0, f32::MIN, f32::MAX, f32::NEG_INFINITY]
                .map(|value| value.to_be_bytes().to_vec())
                .into_iter()
                .chain([vec![0x7f, 0xc0, 0x12, 0x34]]) // A NaN with a payload.
                .collect(),
            true,
            true,
        ),
        of(
            "c_inet",
            "inet",
            bytes(&[&[0; 4], &[255; 4], &[0; 16], &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]),
            true,
            true,
        ),
        of("c_int", "int", be(&[0i32, 1, -1, i32::MIN, i32::MAX].map(i32::to_be_bytes)), true, true),
        of("c_smallint", "smallint", be(&[0i16, -1, i16::MIN, i16::MAX].map(i16::to_be_bytes)), false, true),
        of("c_text", "text", texts(&["a", "ÄÖÜ ✓ 𝄞", "\0\u{1b}[31m", "null"]), true, true),
        of("c_time", "time", be(&[0i64, 1, 86_399_999_999_999].map(i64::to_be_bytes)), false, true),
        of("c_timestamp", "timestamp", be(&[0i64, -1, i64::MIN, i64::MAX].map(i64::to_be_bytes)), true, true),
        of("c_timeuuid", "timeuuid", be(&[date_uuid, late_uuid]), true, true),
        of("c_tinyint", "tinyint", be(&[0i8, 1, -1, i8::MIN, i8::MAX].map(i8::to_be_bytes)), false, true),
        of("c_uuid", "uuid", be(&[[0; 16], [0xff; 16], date_uuid]), true, true),
        of("c_varchar", "varchar", texts(&["b"]), true, true),
        // 1 in one, two and five bytes; -1; a large one.
        of("c_varint", "varint", bytes(&[&[1], &[0, 1], &[0, 0, 0, 0, 1], &[0xff], &[0x7f; 40]]), true, true),
        of(
            "c_vector",
            "vector<float, 3>",
            bytes(&[&[0; 12], &[0x3f, 0x80, 0, 0, 0x80, 0, 0, 0, 0x7f, 0xc0, 0, 1]]),
            false,
            true,
        ),
        of("c_list", "frozen<list<int>>", vec![collection(&[], 0), collection(&[&two, &one, &two], 3)], false, true),
        // With an element of no bytes, which Cassandra refuses in a key.
        of("c_odd_list", "frozen<list<int>>", vec![collection(&[&two, &[]], 2)], false, false),
        of("c_set", "frozen<set<text>>", vec![collection(&[], 0), collection(&[b"", b"a", b"b"], 3)], false, true),
        of(
            "c_map",
            "frozen<map<text, int>>",
            vec![collection(&[], 0), collection(&[b"a", &one, b"b", &two], 2)],
            false,
            true,
        ),
        // All fields; a null one; fewer fields than the type has, as before an ALTER TYPE; none at all.
        of(
            "c_udt",
            "frozen<pair>",
            vec![
                cells(&[Some(&one), Some(b"x")]),
                cells(&[None, Some(b"")]),
                cells(&[Some(&one)]),
                cells(&[None, None]),
            ],
            false,
            true,
        ),
        of(
            "c_tuple",
            "tuple<int, text, boolean>",
            vec![cells(&[Some(&one), Some(b"x"), Some(&[2])]), cells(&[Some(&one), None, None]), cells(&[Some(&one)])],
            false,
            true,
        ),
        of(
            "c_nested",
            "frozen<map<int, frozen<list<frozen<pair>>>>>",
            vec![collection(&[&one, &collection(&[&cells(&[Some(&one)]), &cells(&[None, Some(b"y")])], 2)], 1)],
            false,
            true,
        ),
    ]
}

impl Type {
    fn all(&self) -> Vec<Vec<u8>> {
        let mut all = self.values.clone();
        if self.empty {
            all.push(Vec::new());
        }
        all
    }
}

/// Goal: bytes arrive as they are, whatever they mean.
///
/// Method: three tables, in one job. In the first, each type is a regular column: one row for each encoding of each, alone and
/// beside others. In the second, each is a clustering column, every other one descending; in the third, a component of the
/// partition key. Bound as raw bytes, and compared as the raw cells of SELECTs. A dump would print 1 for a varint of 01 and of
/// 0001; it throws on a boolean of no bytes and on a short tuple, so that only the third table has one.
#[test]
fn every_type_arrives_byte_for_byte_wherever_it_stands() {
    let Some(lab) = Lab::open("types") else { return };
    let types = types();
    lab.both("CREATE TYPE pair (a int, b text)");
    let list = |types: &[&Type], with_type: bool| {
        let text = |t: &&Type| if with_type { format!("{} {}", t.name, t.cql) } else { t.name.to_owned() };
        types.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&Type> = types.iter().collect();
    let keys: Vec<&Type> = types.iter().filter(|t| t.key).collect();
    let orders: Vec<String> =
        keys.iter().zip(["ASC", "DESC"].iter().cycle()).map(|(t, order)| format!("{} {order}", t.name)).collect();
    let orders = orders.join(", ");
    let (columns, key_columns) = (list(&all, true), list(&keys, true));
    let key_names = list(&keys, false);
    lab.both(&format!("CREATE TABLE regular (id int PRIMARY KEY, {columns})"));
    lab.both(&format!(
        "CREATE TABLE clustering (id int, {key_columns}, v int, PRIMARY KEY (id, {key_names}))
         WITH CLUSTERING ORDER BY ({orders})"
    ));
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
    lab.source.load_singly(&insert("clustering", &format!("id, {names}"), keys.len() + 2), clusterings);

    let mut job = lab.job("regular");
    for table in ["clustering", "partition"] {
        job = job.arg("--table").arg(&lab.name(table));
    }
    job.succeed();
    let writetimes = types.iter().map(|t| format!("WRITETIME({0}), TTL({0})", t.name)).collect::<Vec<_>>().join(", ");
    let selects = [
        ("regular", format!("SELECT id, {}, {writetimes} FROM regular", list(&all, false)), Some(count)),
        // As clustering keys, encodings that compare equal are one row.
        ("clustering", format!("SELECT id, {names}, WRITETIME(v) FROM clustering"), None),
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
    let types = types();
    let mut job = lab.job("varint");
    let names = ["varint", "boolean", "decimal", "float", "blob"];
    for name in names {
        lab.both(&format!("CREATE TABLE {name} (k {name} PRIMARY KEY, v blob)"));
        let t = types.iter().find(|t| t.cql == name).unwrap();
        let rows = t.values.iter().map(|value| Raw(vec![Some(value.clone()), Some(value.clone())]));
        let cql = format!("INSERT INTO {name} (k, v) VALUES (?, ?) USING TIMESTAMP {THEN}");
        lab.source.load_singly(&cql, rows);
        if name != "varint" {
            job = job.arg("--table").arg(&lab.name(name));
        }
    }
    job.succeed();
    for name in names {
        let cql = format!("SELECT k, v, WRITETIME(v), token(k) FROM {name}");
        let (source, target) = (lab.source.raw(&cql), lab.target.raw(&cql));
        assert_eq!(source, target, "{name}");
        let expected = types.iter().find(|t| t.cql == name).unwrap().values.len();
        assert_eq!(target.len(), expected, "{name}: each encoding is a partition");
        assert!(target.iter().all(|row| row.0[0] == row.0[1]), "{name}: each key has its own value");
    }
}
