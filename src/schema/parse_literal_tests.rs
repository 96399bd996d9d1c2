//! Keys that people type, and the way back from [`literal`].

use super::*;
use crate::schema::cql_type::Udts;
use crate::schema::literal::literal;
use crate::schema::{ColumnKind, TableName};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn of(text: &str) -> CqlType {
    let fields = [("street".to_owned(), "text".to_owned()), ("No".to_owned(), "int".to_owned())];
    CqlType::parse(text, &Udts::from([("address".to_owned(), fields.to_vec())])).expect("a type")
}

/// A table with these columns as its partition key.
fn table(types: &[&str]) -> Table {
    let column = |(position, text): (i32, &&str)| Column {
        name: format!("k{position}"),
        kind: ColumnKind::PartitionKey(position),
        cql_type: of(text),
    };
    Table {
        name: TableName { keyspace: "chat".to_owned(), table: "messages".to_owned() },
        id: Uuid::nil(),
        columns: (0..).zip(types).map(column).collect(),
        readded: BTreeMap::new(),
        is_view: false,
        is_compact: false,
    }
}

#[test]
fn keys_as_people_type_them() {
    let text = |text: &str| text.as_bytes().to_vec();
    let int = |number: i32| number.to_be_bytes().to_vec();
    for (types, typed, expected) in [
        (&["bigint", "int"][..], "42,7", vec![42i64.to_be_bytes().to_vec(), int(7)]),
        (&["bigint", "int"], " -42 , '7' ", vec![(-42i64).to_be_bytes().to_vec(), int(7)]),
        (&["text"], "'a,b''c'", vec![text("a,b'c")]),
        (&["text"], "general", vec![text("general")]),
        (&["text"], "it's", vec![text("it's")]),
        (&["text", "text"], "it's,'it''s, too'", vec![text("it's"), text("it's, too")]),
        (&["text", "text"], "'',x", vec![text(""), text("x")]),
        (&["text"], "null", vec![text("null")]),
        (&["text"], "42", vec![text("42")]),
        (&["text"], "a (b) [c] {d}", vec![text("a (b) [c] {d}")]),
        (&["text", "int"], "a (b,7", vec![text("a (b"), int(7)]),
        (&["text"], "'0x61'", vec![text("0x61")]),
        (&["text"], "0x61", vec![text("a")]),
        (&["int"], "0x", vec![Vec::new()]),
        (&["blob"], "0x00fF", vec![vec![0, 255]]),
        (&["boolean"], "TRUE", vec![vec![1]]),
        (&["timestamp"], "2020-09-13 12:26:40.123Z", vec![1_600_000_000_123i64.to_be_bytes().to_vec()]),
        (&["timestamp"], "'2020-09-13T14:26:40.123+02:00'", vec![1_600_000_000_123i64.to_be_bytes().to_vec()]),
        (&["timestamp"], "1600000000123", vec![1_600_000_000_123i64.to_be_bytes().to_vec()]),
        (&["date"], "1970-01-02", vec![0x8000_0001u32.to_be_bytes().to_vec()]),
        (&["time"], "00:00:01.5", vec![1_500_000_000u64.to_be_bytes().to_vec()]),
        (&["decimal"], "1.50", vec![vec![0, 0, 0, 2, 0, 150]]),
        (&["decimal"], "-5e3", vec![vec![255, 255, 255, 253, 251]]),
        (&["varint"], "128", vec![vec![0, 128]]),
        (&["inet"], "::1", vec![std::net::Ipv6Addr::LOCALHOST.octets().to_vec()]),
        (
            &["uuid"],
            "8fcb6f9e-2ad1-4a0b-9a5c-0d6f7f3ad5c1",
            vec![Uuid::from_u128(0x8fcb6f9e_2ad1_4a0b_9a5c_0d6f7f3ad5c1).as_bytes().to_vec()],
        ),
        (&["frozen<list<int>>", "text"], "[9], x", vec![vec![0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9], text("x")]),
        (
            &["frozen<map<text, int>>"],
            "{'a:,}': null}",
            vec![[&[0, 0, 0, 1, 0, 0, 0, 4][..], b"a:,}", &[255; 4]].concat()],
        ),
        (&["frozen<tuple<int, text>>"], "(null, 'x')", vec![[&[255; 4][..], &[0, 0, 0, 1], b"x"].concat()]),
        (&["frozen<address>"], "{street: 'x', \"No\": null}", vec![[&[0, 0, 0, 1][..], b"x", &[255; 4]].concat()]),
    ] {
        assert_eq!(partition_key(&table(types), typed), Ok(expected), "{types:?} {typed}");
    }
}

#[test]
fn what_is_no_key_is_refused_with_one_that_is() {
    let refused = |types: &[&str], text: &str| match partition_key(&table(types), text) {
        Ok(key) => panic!("{text} is {key:?}"),
        Err(error) => error.to_string(),
    };
    let lines = [
        refused(&["bigint", "int"], "42"),
        refused(&["bigint"], "42,7"),
        refused(&["text"], "a,b"),
        refused(&["bigint"], "abc"),
        refused(&["bigint"], ""),
        refused(&["text"], "  "),
        refused(&["text"], "'a"),
        refused(&["text"], "'a'b'"),
        refused(&["ascii"], "é"),
        refused(&["int"], "2147483648"),
        refused(&["uuid"], "8fcb6f9e2ad14a0b9a5c0d6f7f3ad5c1"),
        refused(&["timestamp"], "2020-09-13 12:26:40"),
        refused(&["timestamp"], "2020-09-13T12:26:40.1234Z"),
        refused(&["double"], "inf"),
        refused(&["date"], "2020-02-30"),
        refused(&["time"], "24:00:00"),
        refused(&["blob"], "0x0"),
        refused(&["blob"], "'0x00'"),
        refused(&["frozen<list<text>>"], "[a]"),
        refused(&["frozen<set<int>>"], "[1]"),
        refused(&["frozen<map<int, int>>"], "{1}"),
        refused(&["frozen<tuple<int, int>>"], "(1)"),
        refused(&["frozen<address>"], "{street: 'x'}"),
        refused(&["frozen<address>"], "{street: 'x', no: 1}"),
        refused(&["text", "duration"], "\u{1b},1h"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    `42` has 1 value, and the partition key of chat.messages has 2 columns (k0 bigint, k1 int): 42,42 is one; a text with a comma goes in single quotes
    `42,7` has 2 values, and the partition key of chat.messages has 1 column (k0 bigint): 42 is one; a text with a comma goes in single quotes
    `a,b` has 2 values, and the partition key of chat.messages has 1 column (k0 text): 'it''s' is one; a text with a comma goes in single quotes
    `abc` isn't a value of `k0`, which is bigint: 42 is, and so are its bytes as `0x…`
    `` isn't a value of `k0`, which is bigint: 42 is, and so are its bytes as `0x…`
    `` isn't a value of `k0`, which is text: 'it''s' is, and so are its bytes as `0x…`
    `'a` isn't a value of `k0`, which is text: 'it''s' is, and so are its bytes as `0x…`
    `'a'b'` isn't a value of `k0`, which is text: 'it''s' is, and so are its bytes as `0x…`
    `é` isn't a value of `k0`, which is ascii: 'it''s' is, and so are its bytes as `0x…`
    `2147483648` isn't a value of `k0`, which is int: 42 is, and so are its bytes as `0x…`
    `8fcb6f9e2ad14a0b9a5c0d6f7f3ad5c1` isn't a value of `k0`, which is uuid: 8fcb6f9e-2ad1-4a0b-9a5c-0d6f7f3ad5c1 is, and so are its bytes as `0x…`
    `2020-09-13 12:26:40` isn't a value of `k0`, which is timestamp: '2026-01-31T12:00:00Z' is, and so are its bytes as `0x…`
    `2020-09-13T12:26:40.1234Z` isn't a value of `k0`, which is timestamp: '2026-01-31T12:00:00Z' is, and so are its bytes as `0x…`
    `inf` isn't a value of `k0`, which is double: 1.5 is, and so are its bytes as `0x…`
    `2020-02-30` isn't a value of `k0`, which is date: '2026-01-31' is, and so are its bytes as `0x…`
    `24:00:00` isn't a value of `k0`, which is time: '12:00:00' is, and so are its bytes as `0x…`
    `0x0` isn't a value of `k0`, which is blob: 0x00ff is, and so are its bytes as `0x…`
    `'0x00'` isn't a value of `k0`, which is blob: 0x00ff is, and so are its bytes as `0x…`
    `[a]` isn't a value of `k0`, which is frozen<list<text>>: […, …] is, and so are its bytes as `0x…`
    `[1]` isn't a value of `k0`, which is frozen<set<int>>: {…, …} is, and so are its bytes as `0x…`
    `{1}` isn't a value of `k0`, which is frozen<map<int, int>>: {…: …} is, and so are its bytes as `0x…`
    `(1)` isn't a value of `k0`, which is frozen<tuple<int, int>>: (…, …) is, and so are its bytes as `0x…`
    `{street: 'x'}` isn't a value of `k0`, which is frozen<"address">: {field: …, …} with every field in its order is, and so are its bytes as `0x…`
    `{street: 'x', no: 1}` isn't a value of `k0`, which is frozen<"address">: {field: …, …} with every field in its order is, and so are its bytes as `0x…`
    `1h` isn't a value of `k1`, which is duration: 0x00ff is, and so are its bytes as `0x…`
    "#);
}

/// Types whose values a partition's key may have, and some bytes of them.
fn any_value() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let fixed =
        |of: &'static str, length: usize| prop::collection::vec(any::<u8>(), length).prop_map(move |bytes| (of, bytes));
    let cell = |bytes: Option<Vec<u8>>| match bytes {
        None => (-1i32).to_be_bytes().to_vec(),
        Some(bytes) => [i32::try_from(bytes.len()).expect("short").to_be_bytes().to_vec(), bytes].concat(),
    };
    let text = || prop_oneof!["\\PC{0,9}", "[ab',:{}()\\[\\]\" ]{0,9}"].prop_map(String::into_bytes);
    let int = || prop_oneof![4 => prop::collection::vec(any::<u8>(), 4), 1 => Just(Vec::new())];
    let cells = move |values: Vec<Option<Vec<u8>>>| values.into_iter().flat_map(cell).collect::<Vec<u8>>();
    let counted =
        move |count: usize, values| [i32::try_from(count).expect("few").to_be_bytes().to_vec(), cells(values)].concat();
    prop_oneof![
        text().prop_map(|bytes| ("text", bytes)),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| ("text", bytes)),
        "[ -~]{0,9}".prop_map(|text| ("ascii", text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| ("blob", bytes)),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| ("varint", bytes)),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| ("decimal", bytes)),
        (-50i32..50, any::<i128>(), any::<bool>()).prop_map(|(scale, number, is_short)| {
            ("decimal", [scale.to_be_bytes().to_vec(), varint(if is_short { number % 1000 } else { number })].concat())
        }),
        fixed("bigint", 8),
        fixed("int", 4),
        fixed("smallint", 2),
        fixed("tinyint", 1),
        fixed("boolean", 1),
        fixed("uuid", 16),
        fixed("timeuuid", 16),
        fixed("float", 4),
        fixed("double", 8),
        prop::sample::select(vec![
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            1e300,
            f64::MIN_POSITIVE
        ])
        .prop_map(|number| ("double", number.to_be_bytes().to_vec())),
        fixed("inet", 4),
        fixed("inet", 16),
        any::<[u8; 4]>().prop_map(|v4| ("inet", std::net::Ipv4Addr::from(v4).to_ipv6_mapped().octets().to_vec())),
        fixed("timestamp", 8),
        (-62_135_596_800_000i64..253_402_300_800_000).prop_map(|ms| ("timestamp", ms.to_be_bytes().to_vec())),
        fixed("date", 4),
        (-1_000_000i64..4_000_000)
            .prop_map(|day| ("date", u32::try_from(day + EPOCH_DAY).expect("within").to_be_bytes().to_vec())),
        fixed("time", 8),
        (0u64..86_400_000_000_000).prop_map(|nanos| ("time", nanos.to_be_bytes().to_vec())),
        fixed("duration", 5),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| ("vector<float, 2>", bytes)),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| ("frozen<list<text>>", bytes)),
        prop::collection::vec(prop::option::of(text()), 0..4)
            .prop_map(move |values| ("frozen<list<text>>", counted(values.len(), values))),
        prop::collection::vec(int().prop_map(Some), 0..4)
            .prop_map(move |values| ("frozen<set<int>>", counted(values.len(), values))),
        prop::collection::vec((text(), prop::option::of(int())), 0..4).prop_map(move |pairs| {
            let (count, values) =
                (pairs.len(), pairs.into_iter().flat_map(|(key, value)| [Some(key), value]).collect());
            ("frozen<map<text, int>>", counted(count, values))
        }),
        (prop::option::of(int()), prop::option::of(text()))
            .prop_map(move |(number, text)| ("frozen<tuple<int, text>>", cells(vec![number, text]))),
        (prop::option::of(text()), prop::option::of(int()))
            .prop_map(move |(text, number)| ("frozen<address>", cells(vec![text, number]))),
        text().prop_map(move |text| ("frozen<address>", cells(vec![Some(text)]))),
        prop::collection::vec(text().prop_map(Some), 0..3).prop_map(move |keys| {
            let inner = counted(keys.len(), keys);
            ("frozen<map<int, frozen<set<text>>>>", counted(1, vec![Some(vec![0, 0, 0, 1]), Some(inner)]))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_literal_is_the_value_that_it_is_of((name, bytes) in any_value()) {
        let text = literal(&of(name), &bytes);
        prop_assert_eq!(value(&of(name), &text), Some(bytes), "{} {}", name, text);
    }

    #[test]
    fn a_key_of_several_columns_is_read_column_by_column(values in prop::collection::vec(any_value(), 1..4)) {
        let (types, bytes): (Vec<&str>, Vec<Vec<u8>>) = values.into_iter().unzip();
        let literals: Vec<String> = types.iter().zip(&bytes).map(|(name, bytes)| literal(&of(name), bytes)).collect();
        for comma in [",", " , "] {
            prop_assert_eq!(partition_key(&table(&types), &literals.join(comma)), Ok(bytes.clone()), "{:?}", literals);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof!["\\PC{0,20}", "[0-9a-fx.,:'\"{}()\\[\\] eE+-]{0,20}"], (name, _) in any_value()) {
        let _ = value(&of(name), &text);
        let _ = partition_key(&table(&[name, "text"]), &text);
    }
}
