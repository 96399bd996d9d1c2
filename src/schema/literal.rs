//! Raw bytes as CQL literals, for people: to paste a key into `cqlsh`. Nothing that is copied comes through here.

use super::CqlType;
use jiff::Timestamp;
use jiff::civil::Date;
use std::fmt::Write;
use std::net::IpAddr;
use uuid::Uuid;

/// The literal of a value; where its type has none, or its bytes aren't a value of it, the bytes as a blob.
pub fn literal(cql_type: &CqlType, bytes: &[u8]) -> String {
    value(cql_type, bytes).unwrap_or_else(|| blob(bytes))
}

fn blob(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn value(cql_type: &CqlType, bytes: &[u8]) -> Option<String> {
    match cql_type {
        CqlType::Native(name) => native(name, bytes),
        CqlType::Frozen(inner) => match inner.as_ref() {
            CqlType::Collection(name, types) => collection(name, types, bytes),
            inner => value(inner, bytes),
        },
        CqlType::Collection(name, types) => collection(name, types, bytes),
        CqlType::Tuple(types) => {
            let parts = cells(bytes, 0).filter(|parts| parts.len() == types.len())?;
            let parts: Vec<String> = types.iter().zip(parts).map(|(of, cell)| part(of, cell)).collect();
            Some(format!("({})", parts.join(", ")))
        }
        CqlType::Udt(_, fields) => {
            let parts = cells(bytes, 0).filter(|parts| parts.len() == fields.len())?;
            let parts = fields.iter().zip(parts);
            let parts: Vec<String> = parts
                .map(|((name, of), cell)| format!("{}: {}", super::statements::quote(name), part(of, cell)))
                .collect();
            Some(format!("{{{}}}", parts.join(", ")))
        }
        CqlType::Vector(..) | CqlType::Custom(_) => None,
    }
}

fn part(cql_type: &CqlType, cell: Option<&[u8]>) -> String {
    cell.map_or_else(|| "null".to_owned(), |bytes| literal(cql_type, bytes))
}

fn collection(name: &str, types: &[CqlType], bytes: &[u8]) -> Option<String> {
    let parts = cells(bytes, 4)?;
    let count = usize::try_from(i32::from_be_bytes(*bytes.first_chunk()?)).ok()?;
    if Some(parts.len()) != count.checked_mul(types.len()) {
        return None;
    }
    let parts: Vec<String> = match types {
        [of] => parts.into_iter().map(|cell| part(of, cell)).collect(),
        [key, of] => {
            let pairs = parts.chunks_exact(2);
            pairs.map(|pair| format!("{}: {}", part(key, pair[0]), part(of, pair[1]))).collect()
        }
        _ => return None,
    };
    let (open, close) = if name == "list" { ("[", "]") } else { ("{", "}") };
    Some(format!("{open}{}{close}", parts.join(", ")))
}

/// Cells with their lengths in front, from `at` on.
fn cells(bytes: &[u8], mut at: usize) -> Option<Vec<Option<&[u8]>>> {
    let mut cells = Vec::new();
    while at < bytes.len() {
        let length = i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        at += 4;
        match usize::try_from(length) {
            Ok(length) => {
                cells.push(Some(bytes.get(at..at.checked_add(length)?)?));
                at += length;
            }
            Err(_) if length == -1 => cells.push(None),
            Err(_) => return None,
        }
    }
    Some(cells)
}

fn native(name: &str, bytes: &[u8]) -> Option<String> {
    Some(match name {
        "text" | "ascii" => format!("'{}'", std::str::from_utf8(bytes).ok()?.replace('\'', "''")),
        "bigint" | "counter" => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "int" => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "smallint" => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "tinyint" => i8::from_be_bytes(bytes.try_into().ok()?).to_string(),
        // Only these bytes are what the literals mean: a key of another true byte is another key.
        "boolean" if bytes == [0] => "false".to_owned(),
        "boolean" if bytes == [1] => "true".to_owned(),
        "uuid" | "timeuuid" => Uuid::from_slice(bytes).ok()?.to_string(),
        "float" => {
            let number = f32::from_be_bytes(bytes.try_into().ok()?);
            // The literal means one of the many.
            if number.is_nan() && number.to_bits() != FLOAT_NAN {
                return None;
            }
            float(number)
        }
        "double" => {
            let number = f64::from_be_bytes(bytes.try_into().ok()?);
            if number.is_nan() && number.to_bits() != DOUBLE_NAN {
                return None;
            }
            float(number)
        }
        "inet" => match bytes.len() {
            4 => format!("'{}'", IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
            16 => match IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?) {
                // The servers take its text for that of the address within, which is another key.
                IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => return None,
                address => format!("'{address}'"),
            },
            _ => return None,
        },
        "timestamp" => {
            let ms = i64::from_be_bytes(bytes.try_into().ok()?);
            // Cassandra before 4.0 takes `.1` for one millisecond.
            let text = |instant| format!("'{instant:.3}'");
            Timestamp::from_millisecond(ms).ok().filter(is_read_alike).map_or_else(|| ms.to_string(), text)
        }
        "varint" => varint(bytes)?,
        "decimal" => decimal(bytes)?,
        "date" => date(bytes)?,
        "time" => time(bytes)?,
        _ => return None,
    })
}

/// Whether both products, of any version, take the text of an instant for that one. Cassandra before 4.0 counts the days before
/// October 1582 by another calendar, `ScyllaDB` takes no year before 1400, and nobody one of more than four digits.
fn is_read_alike(instant: &Timestamp) -> bool {
    (1583..=9999).contains(&instant.to_zoned(jiff::tz::TimeZone::UTC).year())
}

/// What `NaN` means to the servers, which are written in Java.
pub(super) const FLOAT_NAN: u32 = 0x7fc0_0000;
/// The same for doubles.
pub(super) const DOUBLE_NAN: u64 = 0x7ff8_0000_0000_0000;

fn float(number: impl std::fmt::Debug) -> String {
    match format!("{number:?}").as_str() {
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        text => text.to_owned(),
    }
}

/// Days before 1970-01-01 are below this one, which is what the type counts from.
pub(super) const EPOCH_DAY: i64 = 1 << 31;

fn date(bytes: &[u8]) -> Option<String> {
    let day = i64::from(u32::from_be_bytes(bytes.try_into().ok()?)) - EPOCH_DAY;
    let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()?;
    // Years of other lengths aren't read by both products.
    (0..=9999).contains(&date.year()).then(|| format!("'{date}'"))
}

fn time(bytes: &[u8]) -> Option<String> {
    let nanos = u64::from_be_bytes(bytes.try_into().ok()?);
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    (hours < 24).then(|| format!("'{hours:02}:{minutes:02}:{seconds:02}.{nanos:09}'"))
}

/// The digits as they are, or with an exponent where they would be many.
fn decimal(bytes: &[u8]) -> Option<String> {
    let (scale, unscaled) = bytes.split_first_chunk()?;
    let (scale, unscaled) = (i32::from_be_bytes(*scale), varint(unscaled)?);
    let Some(places) = usize::try_from(scale).ok().filter(|&places| places <= 40) else {
        return Some(format!("{unscaled}E{}", -i64::from(scale)));
    };
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled.as_str()), |digits| ("-", digits));
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    Some(if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Up to 16 bytes in the shortest form: a longer form of the same number is another key.
fn varint(bytes: &[u8]) -> Option<String> {
    let (&first, rest) = bytes.split_first()?;
    let redundant = rest.first().is_some_and(|&next| first == 0 && next < 0x80 || first == 0xff && next >= 0x80);
    if redundant || bytes.len() > 16 {
        return None;
    }
    let sign = if first >= 0x80 { -1 } else { 0 };
    Some(bytes.iter().fold(sign, |number: i128, &byte| number << 8 | i128::from(byte)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::cql_type::Udts;
    use proptest::prelude::*;

    fn of(text: &str, bytes: &[u8]) -> String {
        let udts = Udts::from([("address".to_owned(), vec![("street".to_owned(), "text".to_owned())])]);
        literal(&CqlType::parse(text, &udts).expect("a type"), bytes)
    }

    #[test]
    fn values_read_as_cqlsh_takes_them() {
        assert_eq!(of("text", b"it's"), "'it''s'");
        assert_eq!(of("bigint", &(-7i64).to_be_bytes()), "-7");
        assert_eq!(of("boolean", &[1]), "true");
        assert_eq!(of("boolean", &[2]), "0x02", "another key than true");
        assert_eq!(of("varint", &[1, 0]), "256");
        assert_eq!(of("varint", &[0xff]), "-1");
        assert_eq!(of("varint", &[0, 1]), "0x0001", "another key than 1");
        assert_eq!(of("inet", &[127, 0, 0, 1]), "'127.0.0.1'");
        assert_eq!(of("timestamp", &1_600_000_000_123i64.to_be_bytes()), "'2020-09-13T12:26:40.123Z'");
        assert_eq!(
            of("timestamp", &1_600_000_000_100i64.to_be_bytes()),
            "'2020-09-13T12:26:40.100Z'",
            "`.1` is another"
        );
        assert_eq!(of("timestamp", &1_600_000_000_000i64.to_be_bytes()), "'2020-09-13T12:26:40.000Z'");
        assert_eq!(of("timestamp", &(-12_212_553_600_000i64).to_be_bytes()), "'1583-01-01T00:00:00.000Z'");
        assert_eq!(of("timestamp", &(-12_212_553_600_001i64).to_be_bytes()), "-12212553600001", "by which calendar?");
        assert_eq!(of("timestamp", &i64::MAX.to_be_bytes()), "9223372036854775807");
        assert_eq!(of("blob", &[1, 255]), "0x01ff");
        assert_eq!(of("int", &[]), "0x");
        assert_eq!(of("frozen<list<int>>", &[0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9]), "[9]");
        assert_eq!(of("frozen<address>", &[0, 0, 0, 1, b'x']), "{\"street\": 'x'}");
        assert_eq!(of("tuple<int, text>", &[255, 255, 255, 255, 0, 0, 0, 1, b'x']), "(null, 'x')");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            for text in ["text", "bigint", "varint", "uuid", "timestamp", "inet", "date", "frozen<map<int, text>>", "tuple<int, text>", "frozen<address>", "vector<float, 2>"] {
                let _ = of(text, &bytes);
            }
        }
    }
}
