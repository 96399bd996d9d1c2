use super::value::ValueOrder;
use super::*;
use crate::schema::CqlType;
use crate::schema::cql_type::Udts;
use crate::schema::tests::table;
use num_bigint::BigInt;
use proptest::prelude::*;
use std::cmp::Ordering::{Equal, Greater, Less};

const TYPES: [&str; 22] = [
    "blob",
    "inet",
    "time",
    "tinyint",
    "int",
    "bigint",
    "boolean",
    "float",
    "double",
    "varint",
    "decimal",
    "uuid",
    "timeuuid",
    "frozen<list<varint>>",
    "frozen<map<boolean, decimal>>",
    "frozen<map<blob, frozen<set<int>>>>",
    "tuple<int, float, blob>",
    "tuple<varint, frozen<list<boolean>>>",
    "vector<float, 2>",
    "vector<varint, 2>",
    "vector<boolean, 3>",
    "vector<vector<int, 1>, 2>",
];

fn order(of: &str) -> ValueOrder {
    ValueOrder::of(&CqlType::parse(of, &Udts::new()).expect("a type")).expect("an order")
}

fn cells(values: &[Option<&[u8]>]) -> Vec<u8> {
    let cell = |value: Option<&[u8]>| {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("short"));
        [&length.to_be_bytes(), value.unwrap_or_default()].concat()
    };
    values.iter().copied().flat_map(cell).collect()
}

fn collection(count: i32, values: &[&[u8]]) -> Vec<u8> {
    [count.to_be_bytes().to_vec(), cells(&values.iter().copied().map(Some).collect::<Vec<_>>())].concat()
}

fn decimal(scale: i32, unscaled: impl Into<BigInt>) -> Vec<u8> {
    [scale.to_be_bytes().to_vec(), unscaled.into().to_signed_bytes_be()].concat()
}

/// Pieces of which values are made, and of which nothing is.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let edges: [&[u8]; 12] = [
        &[0],
        &[1],
        &[0x7f],
        &[0x80],
        &[0xff],
        &[0; 4],
        &[0, 0, 0, 1],
        &[0, 0, 0, 2],
        &[0, 0, 0, 4],
        &[0xff; 4],
        &[0x7f, 0xc0, 0, 0],
        &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x1e, 0xf0, 0x80],
    ];
    prop_oneof![3 => prop::sample::select(edges.map(<[u8]>::to_vec).to_vec()), 1 => any::<u8>().prop_map(|byte| vec![byte])]
}

/// Any bytes; often as many as values of a fixed length have.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat());
    (pieces, prop::option::of(prop::sample::select(vec![4usize, 8, 16]))).prop_map(|(mut bytes, length)| {
        bytes.resize(length.unwrap_or(bytes.len()), 0x42);
        bytes
    })
}

fn varint() -> impl Strategy<Value = BigInt> {
    prop_oneof![
        (-3i128..=3).prop_map(BigInt::from),
        any::<i128>().prop_map(BigInt::from),
        (0u32..60, -1000i32..=1000).prop_map(|(power, n)| BigInt::from(10).pow(power) * n),
    ]
}

/// Which of two decimals is less, with all their zeros written out.
fn written_out(a: &(i32, BigInt), b: &(i32, BigInt)) -> Ordering {
    let whole = |(scale, unscaled): &(i32, BigInt)| unscaled * BigInt::from(10).pow(200u32.strict_sub_signed(*scale));
    whole(a).cmp(&whole(b))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_have_an_order(of in prop::sample::select(&TYPES[..]), values in prop::array::uniform3(bytes())) {
        let order = order(of);
        let [a, b, c] = &values;
        prop_assert_eq!(order.compare(a, a), Equal);
        prop_assert_eq!(order.compare(a, b), order.compare(b, a).reverse());
        let mut sorted = [a, b, c];
        sorted.sort_by(|a, b| order.compare(a, b));
        let [a, b, c] = sorted;
        let (first, second, both) = (order.compare(a, b), order.compare(b, c), order.compare(a, c));
        prop_assert!(first.is_le() && second.is_le());
        // Less if either is less, or else equal.
        prop_assert_eq!(both, first.then(second));
    }

    #[test]
    fn rows_of_any_bytes_have_an_order(rows in prop::array::uniform3(prop::collection::vec(piece(), 0..12))) {
        let order = RowOrder::of(&table(&[("p", "pk0 int"), ("a", "ck0 int"), ("b", "ck1 desc blob"), ("v", "int")])).expect("known");
        let mut rows = rows.map(|pieces| pieces.concat());
        rows.sort_by(|a, b| order.rows(a, b));
        let [a, b, c] = &rows;
        prop_assert_eq!(order.rows(a, b), order.rows(b, a).reverse());
        prop_assert_eq!(order.rows(a, c), order.rows(a, b).then(order.rows(b, c)));
    }

    #[test]
    fn integers_are_numbers(a in any::<[i16; 2]>(), b in any::<[i64; 2]>()) {
        let bytes = a.map(i16::to_be_bytes);
        prop_assert_eq!(order("smallint").compare(&bytes[0], &bytes[1]), a[0].cmp(&a[1]));
        let bytes = b.map(i64::to_be_bytes);
        prop_assert_eq!(order("bigint").compare(&bytes[0], &bytes[1]), b[0].cmp(&b[1]));
        prop_assert_eq!(order("varint").compare(&bytes[0], &bytes[1]), b[0].cmp(&b[1]));
    }

    #[test]
    fn varints_are_numbers(a in varint(), b in varint(), more in 0usize..4) {
        let sign = if a < BigInt::ZERO { 0xff } else { 0 };
        let longer = [vec![sign; more], a.to_signed_bytes_be()].concat();
        prop_assert_eq!(order("varint").compare(&longer, &b.to_signed_bytes_be()), a.cmp(&b));
        prop_assert_eq!(order("varint").compare(&longer, &a.to_signed_bytes_be()), Equal);
    }

    #[test]
    fn decimals_are_numbers(a in (-99i32..99, varint()), b in (-99i32..99, varint()), zeros in 0u8..90) {
        let bytes = |(scale, unscaled): &(i32, BigInt)| decimal(*scale, unscaled.clone());
        prop_assert_eq!(order("decimal").compare(&bytes(&a), &bytes(&b)), written_out(&a, &b));
        let longer = (a.0 + i32::from(zeros), &a.1 * BigInt::from(10).pow(zeros.into()));
        prop_assert_eq!(order("decimal").compare(&bytes(&a), &bytes(&longer)), Equal);
        let next = (longer.0, &longer.1 + 1);
        prop_assert_eq!(order("decimal").compare(&bytes(&a), &bytes(&next)), Less);
    }

    #[test]
    fn partitions_are_sorted_as_they_are_stored(keys in prop::array::uniform2(prop::array::uniform2(prop::collection::vec(any::<u8>(), 0..3)))) {
        let composite = RowOrder::of(&table(&[("a", "pk0 int"), ("b", "pk1 text")])).expect("known");
        let stored = |key: &[Vec<u8>; 2]| {
            let part = |part: &Vec<u8>| {
                let length = u16::try_from(part.len()).expect("short").to_be_bytes();
                [&length, part.as_slice(), &[0]].concat()
            };
            key.iter().flat_map(part).collect::<Vec<u8>>()
        };
        let [a, b] = keys.each_ref().map(|[a, b]| cells(&[Some(a), Some(b)]));
        prop_assert_eq!(composite.partitions(&a, &b), stored(&keys[0]).cmp(&stored(&keys[1])));
        let single = RowOrder::of(&table(&[("a", "pk0 int")])).expect("known");
        let [a, b] = keys.each_ref().map(|[a, _]| cells(&[Some(a)]));
        prop_assert_eq!(single.partitions(&a, &b), keys[0][0].cmp(&keys[1][0]));
    }
}

/// In this order, each of them different from the next.
fn assert_ascending(of: &str, values: &[Vec<u8>]) {
    let order = order(of);
    for (at, pair) in values.windows(2).enumerate() {
        assert_eq!(order.compare(&pair[0], &pair[1]), Less, "{of}, {at}");
    }
}

#[test]
fn floating_point_numbers_are_sorted_as_java_does_it() {
    let numbers =
        [f64::NEG_INFINITY, f64::MIN, -1.5, -f64::MIN_POSITIVE, -0.0, 0.0, 5e-324, 1.5, f64::MAX, f64::INFINITY];
    let mut bytes = vec![Vec::new()];
    bytes.extend(numbers.map(|number| number.to_be_bytes().to_vec()));
    bytes.push(f64::NAN.to_be_bytes().to_vec());
    assert_ascending("double", &bytes);
    let numbers = [f32::NEG_INFINITY, f32::MIN, -0.0, 0.0, 1e-45, f32::MAX, f32::INFINITY, f32::NAN];
    assert_ascending("float", &numbers.map(|number| number.to_be_bytes().to_vec()));
    assert_eq!(order("float").compare(&[0x7f, 0xc0, 0x12, 0x34], &[0xff, 0xff, 0xff, 0xff]), Equal, "NaNs are one");
}

#[test]
fn uuids_are_sorted_by_version_and_time() {
    let uuid = |text: &str| text.parse::<uuid::Uuid>().expect("a UUID").as_bytes().to_vec();
    assert_ascending(
        "uuid",
        &[
            Vec::new(),
            uuid("ffffffff-ffff-0fff-ffff-ffffffffffff"),
            uuid("ffffffff-0000-1000-8000-000000000000"),
            uuid("00000000-0001-1000-8000-000000000000"),
            uuid("00000000-0000-1001-0000-000000000000"),
            uuid("00000000-0000-1001-8000-000000000000"),
            uuid("00000000-0000-4000-8000-000000000000"),
            uuid("00000001-0000-4000-0000-000000000000"),
        ],
    );
    assert_ascending(
        "timeuuid",
        &[
            Vec::new(),
            uuid("ffffffff-0000-1000-8000-000000000000"),
            uuid("00000000-0001-1000-8000-000000000080"),
            uuid("00000000-0001-1000-8000-000000000000"),
            uuid("00000000-0001-1000-8000-000000000000").iter().map(|byte| byte & 0x7f).collect(),
        ],
    );
}

#[test]
fn scales_cost_nothing() {
    let large = BigInt::from(7).pow(150_000);
    assert_ascending(
        "decimal",
        &[
            Vec::new(),
            decimal(i32::MIN, -1),
            decimal(0, -large.clone()),
            decimal(i32::MAX, -large.clone()),
            decimal(i32::MAX, -1),
            decimal(i32::MIN, 0),
            decimal(i32::MAX, 1),
            decimal(i32::MAX, large.clone()),
            decimal(130_000, large.clone()),
            decimal(0, 1),
            decimal(0, large.clone()),
            decimal(-120_000, large.clone() * 10_000),
            decimal(-260_000, 1),
            decimal(i32::MIN, 1),
            decimal(i32::MIN, large.clone()),
        ],
    );
    assert_eq!(order("decimal").compare(&decimal(i32::MIN, 0), &decimal(i32::MAX, 0)), Equal);
    let zeros = BigInt::from(10).pow(100_000) * &large;
    assert_eq!(order("decimal").compare(&decimal(i32::MAX, zeros), &decimal(i32::MAX - 100_000, large)), Equal);
}

#[test]
fn collections_are_sorted_by_their_elements() {
    let [one, two] = [1i32, 2].map(i32::to_be_bytes);
    assert_ascending(
        "frozen<list<int>>",
        &[
            Vec::new(),
            collection(0, &[]),
            collection(1, &[&(-1i32).to_be_bytes()]),
            collection(1, &[&one]),
            collection(2, &[&one, &one]),
            collection(1, &[&two]),
        ],
    );
    assert_ascending(
        "frozen<map<int, text>>",
        &[
            collection(0, &[]),
            collection(1, &[&one, b"a"]),
            collection(2, &[&one, b"a", &two, b"a"]),
            collection(1, &[&one, b"b"]),
            collection(1, &[&two, b"a"]),
        ],
    );
}

#[test]
fn a_field_that_is_missing_is_null() {
    let one = 1i32.to_be_bytes();
    assert_ascending(
        "tuple<int, text>",
        &[
            Vec::new(),
            cells(&[None]),
            cells(&[None, Some(b"")]),
            cells(&[Some(&one)]),
            cells(&[Some(&one), Some(b"")]),
            cells(&[Some(&one), Some(b"a")]),
        ],
    );
    let missing = cells(&[Some(&one)]);
    assert_eq!(order("tuple<int, text>").compare(&missing, &cells(&[Some(&one), None])), Equal);
}

#[test]
fn elements_of_a_vector_may_have_a_length() {
    let long = [vec![0x81, 0x2c], vec![b'b'; 300]].concat();
    assert_ascending("vector<text, 1>", &[Vec::new(), b"\x01a".to_vec(), b"\x02ab".to_vec(), b"\x01b".to_vec(), long]);
    let pairs = [[-1i16, 5], [1, -1], [1, 1]];
    assert_ascending(
        "vector<smallint, 2>",
        &pairs.map(|pair| pair.map(|n| [&[2], &n.to_be_bytes()[..]].concat()).concat()),
    );
    let pairs = [[-1i32, 5], [1, -1], [1, 1]];
    assert_ascending("vector<int, 2>", &pairs.map(|pair| pair.map(i32::to_be_bytes).concat()));
}

#[test]
fn descending_columns_are_reversed_but_for_null() {
    let columns = [("p", "pk0 int"), ("s", "static int"), ("a", "ck0 desc int"), ("b", "ck1 text")];
    let order = RowOrder::of(&table(&columns)).expect("known");
    let [one, two] = [1i32, 2].map(i32::to_be_bytes);
    let rows = [
        cells(&[None, None]),
        cells(&[Some(&two), Some(b"a")]),
        cells(&[Some(&two), Some(b"b")]),
        cells(&[Some(&one), Some(b"a")]),
        cells(&[Some(b""), Some(b"a")]),
    ];
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(order.rows(row, row), Equal);
        for later in &rows[at + 1..] {
            assert_eq!((order.rows(row, later), order.rows(later, row)), (Less, Greater));
        }
    }
}

#[test]
fn a_class_of_java_is_named() {
    let unordered =
        |of: &str| RowOrder::of(&table(&[("p", "pk0 'Foo'"), ("at", of)])).expect_err("unknown").to_string();
    insta::assert_snapshot!(
        unordered("ck0 frozen<list<'a.b.Foo'>>"),
        @"the order of the rows isn't known: the clustering column at has the type frozen<list<'a.b.Foo'>>"
    );
    assert!(unordered("ck0 frozen<unknown>").contains("unknown") && unordered("ck0 duration").contains("duration"));
    assert!(RowOrder::of(&table(&[("p", "pk0 'Foo'"), ("v", "duration")])).is_ok(), "other columns have no order");
}
