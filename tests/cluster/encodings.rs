//! Every CQL type, and odd encodings of its values.

/// A type, and encodings of its values that Cassandra takes: usual ones, extremes, and odd ones, which a decoder would
/// turn into something else.
#[derive(Clone, Debug)]
pub(crate) struct Type {
    pub(crate) cql: String,
    /// A name for a column of it.
    pub(crate) name: String,
    pub(crate) values: Vec<Vec<u8>>,
    /// Encodings on which `sstabledump` throws.
    pub(crate) odd: Vec<Vec<u8>>,
    /// Whether it may be part of a primary key, an element of a set, a key of a map.
    pub(crate) key: bool,
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
pub(crate) fn cells(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        out.extend(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()).to_be_bytes());
        out.extend(value.unwrap_or_default());
    }
    out
}

/// The elements of a collection; `count` is half their number for a map.
pub(crate) fn collection(values: &[&[u8]], count: usize) -> Vec<u8> {
    let mut out = i32::try_from(count).unwrap().to_be_bytes().to_vec();
    out.extend(cells(&values.iter().map(|value| Some(*value)).collect::<Vec<_>>()));
    out
}

/// Each type, with its name as the name of a column. `pair` is a user-defined type: `CREATE TYPE pair (a int, b text)`.
#[allow(clippy::too_many_lines, reason = "it is a table")]
pub(crate) fn types() -> Vec<Type> {
    let one = 1i32.to_be_bytes();
    let two = 2i32.to_be_bytes();
    let date_uuid = [0xd2, 0x17, 0x7d, 0xd0, 0xea, 0xa2, 0x11, 0xde, 0xa5, 0x72, 0, 0x1b, 0x77, 0x9c, 0x76, 0xe3];
    let mut late_uuid = [0xff; 16];
    late_uuid[6] = 0x1f; // Version 1.
    // `empty`: whether a value of no bytes at all is taken. It is neither null nor, but for texts, the value of anything.
    let of = |name: &str, cql: &str, values: Vec<Vec<u8>>, empty: bool, key| {
        let values = values.into_iter().chain(empty.then(Vec::new)).collect();
        Type { cql: cql.to_owned(), name: name.to_owned(), values, odd: Vec::new(), key }
    };
    let odd = |mut t: Type, odd: &[Vec<u8>]| {
        t.odd = odd.to_vec();
        t
    };
    vec![
        of("c_ascii", "ascii", texts(&["a", "~ \t\n\"'"]), true, true),
        of("c_bigint", "bigint", be(&[0i64, 1, -1, i64::MIN, i64::MAX].map(i64::to_be_bytes)), true, true),
        of("c_blob", "blob", bytes(&[&[0], &[0xff, 0, 0xfe], &[7; 300]]), true, true),
        // Any byte but 0 is true; only 1 is what a driver would write.
        odd(of("c_boolean", "boolean", bytes(&[&[0], &[1], &[2], &[0xff]]), false, true), &[vec![]]),
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
        odd(
            of("c_odd_list", "frozen<list<int>>", vec![collection(&[], 0)], false, false),
            &[collection(&[&two, &[]], 2)],
        ),
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
        odd(
            of(
                "c_tuple",
                "tuple<int, text, boolean>",
                vec![cells(&[Some(&one), Some(b"x"), Some(&[2])]), cells(&[Some(&one), None, None])],
                false,
                true,
            ),
            &[cells(&[Some(&one)])],
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
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        self.values.iter().chain(&self.odd).cloned().collect()
    }

    /// As an element of a collection that isn't frozen: Cassandra fails to write one of no bytes, but for texts and blobs.
    pub(crate) fn as_element(&self) -> Type {
        let mut t = self.clone();
        if !matches!(t.cql.as_str(), "ascii" | "text" | "varchar" | "blob") {
            t.values.retain(|value| !value.is_empty());
            t.odd.retain(|value| !value.is_empty());
        }
        t
    }

    /// What is the same for encodings that compare equal, so that a set holds but one of them.
    pub(crate) fn class(&self, value: &[u8]) -> Vec<u8> {
        let without = |mut value: &[u8], end: &[u8]| {
            while let Some(rest) = value.strip_suffix(end) {
                value = rest;
            }
            value.to_vec()
        };
        match (self.cql.as_str(), value) {
            ("boolean", [byte]) => vec![u8::from(*byte != 0)],
            ("varint", [.., 1]) if value[..value.len() - 1].iter().all(|&byte| byte == 0) => vec![1],
            ("decimal", [0, 0, 0, 1, .., 10] | [0, 0, 0, 2, 100]) => vec![1],
            // Fields that are null or missing, at the end.
            (cql, _) if cql.starts_with("tuple") || cql == "frozen<pair>" => without(value, &[0xff; 4]),
            _ => value.to_vec(),
        }
    }

    /// The bytes that an element of a list gets: Cassandra reads each and writes it again, the shortest way, but keeps a
    /// decimal's scale and takes tuples as they come.
    pub(crate) fn in_list(&self, value: &[u8]) -> Vec<u8> {
        match (self.cql.as_str(), value) {
            ("boolean" | "varint", _) => self.class(value),
            ("decimal", [0, 0, 0, 1, .., 10]) => vec![0, 0, 0, 1, 10],
            _ => value.to_vec(),
        }
    }
}
