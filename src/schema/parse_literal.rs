//! CQL literals as raw bytes, for the keys that people type: the inverse of [`super::literal`].
//!
//! Every type takes `0x…`: its raw bytes, as they stand. Where nothing but a value of its column can be meant, a text may go
//! without quotes, and a number, a date or a UUID may have them. Elements of frozen sets and maps are taken in the order in which
//! they are typed, as the servers show them.

use super::literal::{DOUBLE_NAN, EPOCH_DAY, FLOAT_NAN};
use super::{Column, CqlType, Table};
use crate::escape::safe;
use jiff::Timestamp;
use jiff::civil::Date;
use std::net::IpAddr;
use uuid::Uuid;

/// A text that is no key of a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    /// One of its values is none of its column.
    #[error(
        "`{}` isn't a value of `{}`, which is {}: {example} is, and so are its bytes as `0x…`",
        safe(found),
        safe(column),
        safe(cql_type)
    )]
    Value {
        /// What was typed.
        found: String,
        /// The column that it is for.
        column: String,
        /// The column's type.
        cql_type: String,
        /// A value of it.
        example: &'static str,
    },
    /// Too few values, or too many.
    #[error("`{}` has {}, and the partition key of {} has {} ({}): {example} is one; a text with a comma goes in single quotes",
        safe(text), many(*found, "value"), safe(table), many(columns.len(), "column"), safe(&columns.join(", ")))]
    Count {
        /// What was typed.
        text: String,
        /// How many it has.
        found: usize,
        /// The table.
        table: String,
        /// The partition key's columns and their types.
        columns: Vec<String>,
        /// A key.
        example: String,
    },
}

fn many(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The raw bytes of each column of a partition's key, from its literals with commas between them: `42,7`, `'a,b''c',0x00ff`.
///
/// # Errors
/// Where the text isn't a key of `table`.
pub fn partition_key(table: &Table, text: &str) -> Result<Vec<Vec<u8>>, LiteralError> {
    let columns: Vec<&Column> = table.partition_key().collect();
    let parts = split(text);
    if parts.len() != columns.len() {
        let examples: Vec<&str> = columns.iter().map(|column| example(&column.cql_type)).collect();
        return Err(LiteralError::Count {
            text: text.to_owned(),
            found: parts.len(),
            table: table.name.to_string(),
            columns: columns.iter().map(|column| format!("{} {}", column.name, column.cql_type.cql())).collect(),
            example: examples.join(","),
        });
    }
    let value = |(column, part): (&&Column, &str)| {
        value(&column.cql_type, part).ok_or_else(|| LiteralError::Value {
            found: part.trim().to_owned(),
            column: column.name.clone(),
            cql_type: column.cql_type.cql(),
            example: example(&column.cql_type),
        })
    };
    columns.iter().zip(parts).map(value).collect()
}

/// The raw bytes of a value from its literal, and nothing before or behind it; `None` where it isn't one of the type.
pub fn value(cql_type: &CqlType, text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if let Some(hex) = text.strip_prefix("0x") {
        return bytes(hex);
    }
    match cql_type {
        CqlType::Native(name) => {
            let word = if text.starts_with('\'') { unquoted(text)? } else { text.to_owned() };
            // A blank word is nothing that anybody would type on purpose.
            if word.is_empty() && text.is_empty() { None } else { native(name, &word) }
        }
        CqlType::Frozen(inner) => value(inner, text),
        CqlType::Collection(name, types) => collection(name, types, text),
        CqlType::Tuple(types) => {
            let parts = within(text, '(', ')')?;
            if parts.len() != types.len() {
                return None;
            }
            cells(types.iter().zip(parts))
        }
        CqlType::Udt(_, fields) => {
            let parts = within(text, '{', '}')?;
            if parts.len() != fields.len() {
                return None;
            }
            let mut pairs = Vec::new();
            for ((name, of), part) in fields.iter().zip(parts) {
                let (field, value) = at_colon(part)?;
                if super::statements::quote(name) != field && *name != field {
                    return None;
                }
                pairs.push((of, value));
            }
            cells(pairs.into_iter())
        }
        CqlType::Vector(..) | CqlType::Custom(_) => None,
    }
}

fn collection(name: &str, types: &[CqlType], text: &str) -> Option<Vec<u8>> {
    let parts = if name == "list" { within(text, '[', ']')? } else { within(text, '{', '}')? };
    let count = i32::try_from(parts.len()).ok()?.to_be_bytes().to_vec();
    let elements = match types {
        [of] => cells(parts.into_iter().map(|part| (of, part)))?,
        [key, of] => {
            let pairs: Vec<_> = parts.into_iter().map(at_colon).collect::<Option<_>>()?;
            cells(pairs.into_iter().flat_map(|(left, right)| [(key, left), (of, right)]))?
        }
        _ => return None,
    };
    Some([count, elements].concat())
}

/// Values with their lengths in front; `null` has a length of -1.
fn cells<'a>(parts: impl Iterator<Item = (&'a CqlType, &'a str)>) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for (cql_type, text) in parts {
        if text.trim() == "null" {
            all.extend((-1i32).to_be_bytes());
            continue;
        }
        // Only at the top is a bare word a text.
        if matches!(cql_type, CqlType::Native(name) if name == "text" || name == "ascii")
            && !(text.trim().starts_with('\'') || text.trim().starts_with("0x"))
        {
            return None;
        }
        let cell = value(cql_type, text)?;
        all.extend(i32::try_from(cell.len()).ok()?.to_be_bytes());
        all.extend(cell);
    }
    Some(all)
}

/// What stands between two brackets, cut at its commas; nothing is no part.
fn within(text: &str, open: char, close: char) -> Option<Vec<&str>> {
    let inner = text.strip_prefix(open)?.strip_suffix(close)?;
    Some(if inner.trim().is_empty() { Vec::new() } else { split(inner) })
}

/// Cuts at the first colon that is outside of brackets and quotes.
fn at_colon(text: &str) -> Option<(&str, &str)> {
    let at = outside(text).find(|(_, c)| *c == ':')?.0;
    Some((text[..at].trim(), text[at + 1..].trim()))
}

/// Cuts at the commas that are outside of brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    for (at, _) in outside(text).filter(|(_, c)| *c == ',') {
        parts.push(text[from..at].trim());
        from = at + 1;
    }
    parts.push(text[from..].trim());
    parts
}

/// The characters that are outside of brackets and quotes, and where they stand. A quote within a bare word is one of its
/// characters.
fn outside(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut depth, mut quote, mut before) = (0usize, None, ',');
    text.char_indices().filter(move |&(_, c)| {
        let begins = matches!(before, ',' | ':' | '[' | '{' | '(');
        match (quote, c) {
            (Some(open), c) if c == open => {
                quote = None;
                // Twice is one within: the next one opens again.
                before = ',';
                return false;
            }
            (Some(_), _) => return false,
            (None, '\'' | '"') if begins => quote = Some(c),
            (None, '[' | '{' | '(') if begins || depth > 0 => depth += 1,
            (None, ']' | '}' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
        depth == 0 && quote.is_none()
    })
}

/// The text within quotes, in which two stand for one.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let pieces: Vec<&str> = inner.split("''").collect();
    (!pieces.iter().any(|piece| piece.contains('\''))).then(|| pieces.join("'"))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

fn native(name: &str, word: &str) -> Option<Vec<u8>> {
    Some(match name {
        "text" => word.as_bytes().to_vec(),
        "ascii" => word.is_ascii().then(|| word.as_bytes().to_vec())?,
        "bigint" => word.parse::<i64>().ok()?.to_be_bytes().to_vec(),
        "int" => word.parse::<i32>().ok()?.to_be_bytes().to_vec(),
        "smallint" => word.parse::<i16>().ok()?.to_be_bytes().to_vec(),
        "tinyint" => word.parse::<i8>().ok()?.to_be_bytes().to_vec(),
        "varint" => varint(word.parse().ok()?),
        "decimal" => decimal(word)?,
        "boolean" if word.eq_ignore_ascii_case("true") => vec![1],
        "boolean" if word.eq_ignore_ascii_case("false") => vec![0],
        "uuid" | "timeuuid" if word.len() == 36 => Uuid::try_parse(word).ok()?.as_bytes().to_vec(),
        "float" if word == "NaN" => FLOAT_NAN.to_be_bytes().to_vec(),
        "double" if word == "NaN" => DOUBLE_NAN.to_be_bytes().to_vec(),
        // Rust's own words for what is no number aren't CQL's.
        "float" if is_number(word) => word.parse::<f32>().ok()?.to_be_bytes().to_vec(),
        "double" if is_number(word) => word.parse::<f64>().ok()?.to_be_bytes().to_vec(),
        "inet" => match word.parse().ok()? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => address.octets().to_vec(),
                None => address.octets().to_vec(),
            },
        },
        "timestamp" => timestamp(word)?.to_be_bytes().to_vec(),
        "date" => {
            let days = word.parse::<Date>().ok()?.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
            u32::try_from(days + EPOCH_DAY).ok()?.to_be_bytes().to_vec()
        }
        "time" => time(word)?.to_be_bytes().to_vec(),
        _ => return None,
    })
}

fn is_number(word: &str) -> bool {
    matches!(word, "Infinity" | "-Infinity") || word.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c))
}

/// Milliseconds since the Unix epoch: a number of them, or an instant with its offset (`Z`, `+01:00`).
fn timestamp(word: &str) -> Option<i64> {
    if let Ok(ms) = word.parse() {
        return Some(ms);
    }
    let instant: Timestamp = word.parse().ok()?;
    // What is finer isn't kept, so it isn't what was meant.
    instant.as_nanosecond().rem_euclid(1_000_000).eq(&0).then(|| instant.as_millisecond())
}

/// Nanoseconds since midnight.
fn time(word: &str) -> Option<i64> {
    let (clock, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else { return None };
    let number = |digits: &str, below: i64| {
        let is_number = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|c| c.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|&number| is_number && number < below)
    };
    let whole = number(hours, 24)? * 3600 + number(minutes, 60)? * 60 + number(seconds, 60)?;
    number(fraction, 1_000_000_000)?;
    Some(whole * 1_000_000_000 + number(&format!("{fraction:0<9}"), 1_000_000_000)?)
}

/// Two's complement in as few bytes as hold it.
fn varint(number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let sign = if number < 0 { 0xff } else { 0 };
    let redundant = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) < 0x80).count();
    bytes[redundant..].to_vec()
}

/// The scale, then the digits as a [`varint`]: `1.50` is 150 with a scale of 2.
fn decimal(word: &str) -> Option<Vec<u8>> {
    let (mantissa, exponent) = word.split_once(['e', 'E']).unwrap_or((word, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent.parse().ok()?)?;
    Some([i32::try_from(scale).ok()?.to_be_bytes().to_vec(), varint(unscaled)].concat())
}

/// A literal of a type.
fn example(cql_type: &CqlType) -> &'static str {
    match cql_type {
        CqlType::Native(name) => match name.as_str() {
            "text" | "ascii" => "'it''s'",
            "boolean" => "true",
            "uuid" => "8fcb6f9e-2ad1-4a0b-9a5c-0d6f7f3ad5c1",
            "timeuuid" => "50554d6e-29bb-11e5-b345-feff819cdc9f",
            "float" | "double" | "decimal" => "1.5",
            "inet" => "'127.0.0.1'",
            "timestamp" => "'2026-01-31T12:00:00Z'",
            "date" => "'2026-01-31'",
            "time" => "'12:00:00'",
            "bigint" | "int" | "smallint" | "tinyint" | "varint" => "42",
            _ => "0x00ff",
        },
        CqlType::Frozen(inner) => example(inner),
        CqlType::Collection(name, types) => match (name.as_str(), types.len()) {
            ("list", _) => "[…, …]",
            (_, 1) => "{…, …}",
            _ => "{…: …}",
        },
        CqlType::Tuple(_) => "(…, …)",
        CqlType::Udt(..) => "{field: …, …} with every field in its order",
        CqlType::Vector(..) | CqlType::Custom(_) => "0x00ff",
    }
}

#[cfg(test)]
#[path = "parse_literal_tests.rs"]
mod tests;
