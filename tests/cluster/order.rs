//! The order in which rows are answered: two streams can only be merged if `schema::order` knows it.

use crate::encodings::{cells, collection};
use crate::lab::{Lab, Raw};
use crate::planting::{key_around, key_of};
use crate::random::Random;
use migrate::schema::cql_type::Udts;
use migrate::schema::order::RowOrder;
use migrate::schema::order::value::ValueOrder;
use migrate::schema::{Column, ColumnKind, CqlType, Descending, Table, TableName};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a clustering column may be; `pair` is a user-defined type.
const TYPES: [&str; 34] = [
    "ascii",
    "bigint",
    "blob",
    "boolean",
    "date",
    "decimal",
    "double",
    "float",
    "inet",
    "int",
    "smallint",
    "text",
    "time",
    "timestamp",
    "timeuuid",
    "tinyint",
    "uuid",
    "varint",
    "frozen<list<int>>",
    "frozen<list<uuid>>",
    "frozen<set<text>>",
    "frozen<set<varint>>",
    "frozen<map<decimal, double>>",
    "frozen<map<text, frozen<list<tinyint>>>>",
    "tuple<int, text, decimal>",
    "tuple<frozen<set<timeuuid>>, boolean>",
    "frozen<pair>",
    "frozen<map<int, frozen<list<frozen<pair>>>>>",
    "vector<float, 3>",
    "vector<smallint, 2>",
    "vector<text, 2>",
    "vector<varint, 2>",
    "vector<frozen<list<int>>, 2>",
    "vector<vector<bigint, 2>, 2>",
];

fn udts() -> Udts {
    let fields = [("a", "int"), ("b", "text"), ("c", "frozen<list<bigint>>")];
    Udts::from([("pair".to_owned(), fields.map(|(name, of)| (name.to_owned(), of.to_owned())).to_vec())])
}

/// A table of these columns of the key, as the program reads it from the schema.
fn table(columns: &[(&str, &str, ColumnKind)]) -> Table {
    let column = |&(name, of, kind): &(&str, &str, ColumnKind)| {
        let cql_type = CqlType::parse(of, &udts()).unwrap();
        Column { name: name.to_owned(), kind, cql_type }
    };
    Table {
        name: TableName { keyspace: "k".to_owned(), table: "t".to_owned() },
        id: Uuid::nil(),
        columns: columns.iter().map(column).collect(),
        readded: BTreeMap::new(),
        is_view: false,
        is_compact: false,
    }
}

/// Cells with their lengths, as a page has them.
fn span(row: &[Option<Vec<u8>>]) -> Vec<u8> {
    cells(&row.iter().map(Option::as_deref).collect::<Vec<_>>())
}

/// Any bytes of a value of this type: often one on the edge, often one that is near to others.
fn value(random: &mut Random, of: &CqlType) -> Vec<u8> {
    match of {
        CqlType::Native(name) => native(random, name),
        CqlType::Frozen(inner) => value(random, inner),
        CqlType::Collection(name, inner) => {
            let mut entries: Vec<Vec<Vec<u8>>> =
                (0..random.below(4)).map(|_| inner.iter().map(|inner| value(random, inner)).collect()).collect();
            if name != "list" {
                // As the servers keep them.
                let order = ValueOrder::of(&inner[0]).unwrap();
                entries.sort_by(|a, b| order.compare(&a[0], &b[0]));
                entries.dedup_by(|a, b| order.compare(&a[0], &b[0]).is_eq());
            }
            let count = entries.len();
            collection(&entries.iter().flatten().map(Vec::as_slice).collect::<Vec<_>>(), count)
        }
        CqlType::Tuple(inner) => fields(random, inner.iter()),
        CqlType::Udt(_, inner) => fields(random, inner.iter().map(|(_, inner)| inner)),
        CqlType::Vector(inner, dimensions) => {
            let has_length = !["bigint", "float", "vector<bigint, 2>"].contains(&inner.to_string().as_str());
            let elements = (0..dimensions.parse().unwrap()).flat_map(|_: usize| {
                let element = if has_length { value_or_nothing(random, inner) } else { value(random, inner) };
                let length = has_length.then(|| u8::try_from(element.len()).unwrap());
                assert!(length.is_none_or(|length| length < 0x80), "a varint of one byte");
                length.into_iter().chain(element).collect::<Vec<_>>()
            });
            elements.collect()
        }
        CqlType::Custom(_) => unreachable!("no table has it"),
    }
}

/// Sometimes no bytes at all, which is a value of most types.
fn value_or_nothing(random: &mut Random, of: &CqlType) -> Vec<u8> {
    if random.one_in(9) && may_be_empty(of) { Vec::new() } else { value(random, of) }
}

/// Whether a value of no bytes is taken.
fn may_be_empty(of: &CqlType) -> bool {
    match of {
        CqlType::Native(name) => !["date", "smallint", "time", "tinyint"].contains(&name.as_str()),
        CqlType::Frozen(inner) => may_be_empty(inner),
        of => matches!(of, CqlType::Tuple(_) | CqlType::Udt(..)),
    }
}

/// Fields, some of them null, some missing at the end; all of them where that isn't taken.
fn fields<'a>(random: &mut Random, inner: impl Iterator<Item = &'a CqlType>) -> Vec<u8> {
    let mut fields: Vec<Option<Vec<u8>>> =
        inner.map(|inner| (!random.one_in(4)).then(|| value_or_nothing(random, inner))).collect();
    if random.one_in(3) {
        let present = usize::try_from(random.below(fields.len() as u64)).unwrap() + 1;
        fields.truncate(present);
    }
    span(&fields)
}

fn native(random: &mut Random, name: &str) -> Vec<u8> {
    let length = match name {
        "tinyint" => 1,
        "smallint" => 2,
        "int" | "date" | "float" => 4,
        "bigint" | "time" | "timestamp" | "double" => 8,
        "uuid" | "timeuuid" => 16,
        "boolean" => return vec![[0, 1, 2, 0xff][usize::try_from(random.below(4)).unwrap()]],
        "inet" => [4, 16][usize::try_from(random.below(2)).unwrap()],
        "ascii" | "text" => return text(random, name == "text"),
        "blob" => usize::try_from(random.below(4)).unwrap(),
        "varint" => return varint(random),
        "decimal" => {
            let scales = [0, 0, 1, 1, 2, 3, 20, -1, -2, -20, i32::MAX, i32::MIN, random.int()];
            let scale = scales[usize::try_from(random.below(scales.len() as u64)).unwrap()];
            // Powers of ten, so that many are equal.
            let power = 10_i64.pow(u32::try_from(random.below(6)).unwrap()).to_be_bytes();
            let unscaled = if random.one_in(2) { varint(random) } else { power.to_vec() };
            return [scale.to_be_bytes().to_vec(), unscaled].concat();
        }
        _ => unreachable!("{name}"),
    };
    let mut bytes: Vec<u8> = (0..length).map(|_| byte(random)).collect();
    match name {
        "float" | "double" if random.one_in(2) => {
            let edges =
                [0.0, -0.0, 1.5, -1.5, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN];
            let edge = edges[usize::try_from(random.below(edges.len() as u64)).unwrap()];
            #[allow(clippy::cast_possible_truncation, reason = "infinity, then")]
            return if name == "float" { (edge as f32).to_be_bytes().to_vec() } else { edge.to_be_bytes().to_vec() };
        }
        "timeuuid" => bytes[6] = bytes[6] & 0xf | 0x10,
        // Most of version 1 and 4, some of versions that don't exist.
        "uuid" if !random.one_in(4) => {
            bytes[6] = bytes[6] & 0xf | [0x10, 0x40][usize::try_from(random.below(2)).unwrap()];
        }
        _ => {}
    }
    if length == 16 && random.one_in(2) {
        // The same time.
        bytes[..8].copy_from_slice(&[0xd2, 0x17, 0x7d, 0xd0, 0xea, 0xa2, 0x11, 0xde]);
    }
    bytes
}

/// Bytes on both sides of all borders.
fn byte(random: &mut Random) -> u8 {
    let edges = [0, 0, 1, 0x7f, 0x80, 0xff, 0xff];
    let any = u8::try_from(random.below(256)).unwrap();
    edges.get(usize::try_from(random.below(10)).unwrap()).copied().unwrap_or(any)
}

/// With more bytes than it needs, now and then.
fn varint(random: &mut Random) -> Vec<u8> {
    let length = if random.one_in(2) { 1 + random.below(3) } else { 1 + random.below(24) };
    let mut bytes: Vec<u8> = (0..length).map(|_| byte(random)).collect();
    if random.one_in(4) {
        let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
        bytes.splice(0..0, vec![sign; usize::try_from(random.below(10)).unwrap()]);
    }
    bytes
}

fn text(random: &mut Random, beyond_ascii: bool) -> Vec<u8> {
    let parts = ["a", "b", "B", "\0", "~", "ab", "ß", "\u{ffff}", "𝄞"];
    let known = if beyond_ascii { parts.len() } else { 6 };
    let mut part = || parts[usize::try_from(random.below(known as u64)).unwrap()];
    let length = part().len() + part().len() - 2;
    (0..length).map(|_| part()).collect::<String>().into_bytes()
}

/// Goal: rows come in the order that `RowOrder` says, and those that it calls equal are one row: for each type, ascending and
/// descending, and both together.
///
/// Method: hundreds of values of each type in a column of each order; pairs of few values in both.
#[test]
fn rows_come_in_the_order_of_their_types() {
    let Some(mut lab) = Lab::open("order") else { return };
    lab.source.run("CREATE TYPE pair (a int, b text, c frozen<list<bigint>>)");
    for (index, of) in TYPES.into_iter().enumerate() {
        lab.source.run(&format!(
            "CREATE TABLE t{index} (p int, a {of}, b {of}, PRIMARY KEY (p, a, b)) WITH CLUSTERING ORDER BY (a ASC, b DESC)"
        ));
        let clustering = |position, descending| ColumnKind::Clustering(position, Descending(descending));
        let order = RowOrder::of(&table(&[
            ("p", "int", ColumnKind::PartitionKey(0)),
            ("a", of, clustering(0, false)),
            ("b", of, clustering(1, true)),
        ]));
        let order = order.unwrap();
        let cql_type = CqlType::parse(of, &udts()).unwrap();
        let mut values: Vec<Vec<u8>> = (0..250).map(|_| value(&mut lab.random, &cql_type)).collect();
        values.extend(may_be_empty(&cql_type).then(Vec::new));
        let any = values[0].clone();
        let few = &values[values.len() - 12..];
        let written = [
            values.iter().map(|value| [value.clone(), any.clone()]).collect::<Vec<_>>(),
            values.iter().map(|value| [any.clone(), value.clone()]).collect(),
            few.iter().flat_map(|a| few.iter().map(|b| [a.clone(), b.clone()])).collect(),
        ];
        for (p, rows) in (0i32..).zip(written) {
            let key = |[a, b]: [Vec<u8>; 2]| Raw::of([p.to_be_bytes().to_vec(), a, b]);
            lab.source.load(&format!("INSERT INTO t{index} (p, a, b) VALUES (?, ?, ?)"), rows.iter().cloned().map(key));
            let read = lab.source.raw(&format!("SELECT a, b FROM t{index} WHERE p = {p}"));
            let read: Vec<Vec<u8>> = read.iter().map(|row| span(&row.0)).collect();
            for pair in read.windows(2) {
                assert_eq!(order.rows(&pair[0], &pair[1]), Ordering::Less, "{of}, partition {p}: {pair:02x?}");
            }
            let mut expected: Vec<Vec<u8>> = rows.into_iter().map(|row| span(&row.map(Some))).collect();
            expected.sort_by(|a, b| order.rows(a, b));
            expected.dedup_by(|a, b| order.rows(a, b).is_eq());
            let alike = expected.iter().zip(&read).all(|(a, b)| order.rows(a, b).is_eq());
            assert!(expected.len() == read.len() && alike, "{of}, partition {p}: {} of {}", read.len(), expected.len());
        }
    }
}

/// The cells of the partition keys of a table, in the order in which they are answered, with their tokens.
fn partition_keys(lab: &Lab, table: &str, columns: &str) -> Vec<(i64, Vec<u8>)> {
    let read = lab.source.raw(&format!("SELECT token({columns}), {columns} FROM {table}"));
    let token = |cell: &Option<Vec<u8>>| i64::from_be_bytes(cell.as_deref().unwrap().try_into().unwrap());
    read.iter().map(|Raw(row)| (token(&row[0]), span(&row[1..]))).collect()
}

/// All are `tokens` times `count`, those of one token in order.
fn assert_ordered(order: &RowOrder, keys: &[(i64, Vec<u8>)], tokens: usize, count: usize) {
    assert_eq!(keys.len(), tokens * count);
    let mut ties = 0;
    for pair in keys.windows(2) {
        assert!(pair[0].0 <= pair[1].0, "{pair:02x?}");
        if pair[0].0 == pair[1].0 {
            assert_eq!(order.partitions(&pair[0].1, &pair[1].1), Ordering::Less, "{pair:02x?}");
            ties += 1;
        }
    }
    assert_eq!(ties, tokens * (count - 1));
}

/// Goal: partitions of one token come in the order that `RowOrder` says.
///
/// Method: keys that are made for their token, some hundreds for each of a few, as blobs and as texts.
#[test]
fn partitions_of_one_token_come_in_the_order_of_their_keys() {
    let Some(mut lab) = Lab::open("order_keys") else { return };
    for (of, tokens, count) in [("blob", 5, 300), ("ascii", 3, 15)] {
        lab.source.run(&format!("CREATE TABLE {of}s (k {of} PRIMARY KEY)"));
        let order = RowOrder::of(&table(&[("k", of, ColumnKind::PartitionKey(0))])).unwrap();
        for _ in 0..tokens {
            let random = &mut lab.random;
            let token = random.next().cast_signed();
            let keys = std::iter::repeat_with(|| key_of(token, random.next()));
            let keys = keys.filter(|key| of == "blob" || key.is_ascii()).take(count);
            lab.source.load(&format!("INSERT INTO {of}s (k) VALUES (?)"), keys.map(|key| Raw::of([key])));
        }
        assert_ordered(&order, &partition_keys(&lab, &format!("{of}s"), "k"), tokens, count);
    }
}

/// Goal: the same where the partition key has several columns: the length of a column counts before its bytes.
///
/// Method: keys of a text and a blob of different lengths, some of them equal; sixteen bytes of the blob make the token.
#[test]
fn partitions_of_several_columns_come_in_the_order_of_their_lengths() {
    const TOKENS: usize = 3;
    const COUNT: usize = 400;
    let Some(mut lab) = Lab::open("order_composite") else { return };
    lab.source.run("CREATE TABLE t (a ascii, b blob, PRIMARY KEY ((a, b)))");
    let random = &mut lab.random;
    let mut keys = Vec::new();
    for _ in 0..TOKENS {
        let token = random.next().cast_signed();
        for _ in 0..COUNT {
            let a =
                ["", "a", "b", "~", "aa", "ab", "aaaaaaaaaaa"][usize::try_from(random.below(7)).unwrap()].as_bytes();
            let (pad, end) = (11 - a.len(), usize::try_from(random.below(4)).unwrap());
            // As it is stored: `[u16 length][bytes][0]` for each column, the first block up to where the sixteen bytes are.
            let mut before =
                [&[0, u8::try_from(a.len()).unwrap()], a, &[0, 0], &[u8::try_from(pad + 16 + end).unwrap()]].concat();
            before.extend((0..pad).map(|_| byte(random)));
            let key = key_around(token, random.next(), &before, &[&b"end"[..end], &[0]].concat());
            keys.push(Raw::of([a.to_vec(), key[a.len() + 5..key.len() - 1].to_vec()]));
        }
    }
    lab.source.load("INSERT INTO t (a, b) VALUES (?, ?)", keys);
    let key = |(name, of, position)| (name, of, ColumnKind::PartitionKey(position));
    let order = RowOrder::of(&table(&[("a", "ascii", 0), ("b", "blob", 1)].map(key))).unwrap();
    assert_ordered(&order, &partition_keys(&lab, "t", "a, b"), TOKENS, COUNT);
}
