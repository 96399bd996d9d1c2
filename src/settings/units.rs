//! Settings with a unit, and names with quotes: the texts that operators type.

use crate::schema::TableName;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A text that isn't what the setting needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

/// Bytes: `268435456`, `256MiB`, `1GiB`, `500MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

/// A time: `90s`, `15m`, `2h`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

/// A table and where it goes: `ks.t`, or `ks.t=ks2.t2`. Names are taken as they are, upper and lower case apart; one that
/// holds a dot, an equals sign or a quote is written in double quotes, as in CQL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TableMapping {
    /// The table to read.
    pub source: TableName,
    /// The table to write.
    pub target: TableName,
}

/// Splits `15m` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Bytes, UnitError> {
        let fail = || UnitError(format!("`{}` isn't a size: 256MiB, 1GiB and 1000000 are", text.escape_debug()));
        let (number, unit) = number_and_unit(text.trim()).ok_or_else(fail)?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            _ => return Err(fail()),
        };
        number.checked_mul(factor).map(Bytes).ok_or_else(fail)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= factor {
                #[expect(clippy::cast_precision_loss, reason = "for people")]
                return write!(f, "{:.1} {unit}", self.0 as f64 / factor as f64);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Period, UnitError> {
        let fail = || UnitError(format!("`{}` isn't a time: 90s, 15m, 2h and 500ms are", text.escape_debug()));
        let (number, unit) = number_and_unit(text.trim()).ok_or_else(fail)?;
        let ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fail()),
        };
        number.checked_mul(ms).map(|ms| Period(Duration::from_millis(ms))).ok_or_else(fail)
    }
}

impl FromStr for TableMapping {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<TableMapping, UnitError> {
        let fail = || {
            UnitError(format!(
                "`{}` isn't a table: KEYSPACE.TABLE and KEYSPACE.TABLE=KEYSPACE.TABLE are",
                text.escape_debug()
            ))
        };
        let mut rest = text;
        let source = table_name(&mut rest).ok_or_else(fail)?;
        let target = match rest.strip_prefix('=') {
            Some(after) => {
                rest = after;
                table_name(&mut rest).ok_or_else(fail)?
            }
            None => source.clone(),
        };
        if rest.is_empty() { Ok(TableMapping { source, target }) } else { Err(fail()) }
    }
}

/// Takes `ks.t` from the front of `text`.
fn table_name(text: &mut &str) -> Option<TableName> {
    let keyspace = name(text)?;
    *text = text.strip_prefix('.')?;
    let table = name(text)?;
    Some(TableName { keyspace, table })
}

/// Takes a name, quoted or not, from the front of `text`.
fn name(text: &mut &str) -> Option<String> {
    let mut name = String::new();
    if let Some(quoted) = text.strip_prefix('"') {
        let mut chars = quoted.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match (c, chars.peek()) {
                ('"', Some((_, '"'))) => {
                    name.push('"');
                    chars.next();
                }
                ('"', _) => {
                    *text = &quoted[at + 1..];
                    return (!name.is_empty()).then_some(name);
                }
                (c, _) => name.push(c),
            }
        }
        return None;
    }
    let end = text.find(['.', '=', '"']).unwrap_or(text.len());
    name.push_str(&text[..end]);
    *text = &text[end..];
    (!name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '*')).then_some(name)
}

macro_rules! from_text {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = UnitError;
            fn try_from(text: String) -> Result<Self, UnitError> {
                text.parse()
            }
        }
    )*};
}
from_text!(Bytes, Period, TableMapping);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!("256MiB".parse(), Ok(Bytes(256 << 20)));
        assert_eq!("1000".parse(), Ok(Bytes(1000)));
        assert_eq!("15m".parse(), Ok(Period(Duration::from_secs(900))));
        for text in ["", "MiB", "-1", "1.5GiB", "12 parsecs", "99999999999999GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        assert!("15".parse::<Period>().is_err(), "a time needs its unit");
        assert_eq!(Bytes(1536 << 20).to_string(), "1.5 GiB");
    }

    #[test]
    fn tables() {
        let mapping: TableMapping = "shop.orders".parse().expect("a table");
        assert_eq!(mapping.source, mapping.target);
        let mapping: TableMapping = "\"My.Shop\".\"a\"\"b\"=store.Orders".parse().expect("a mapping");
        assert_eq!((mapping.source.keyspace.as_str(), mapping.source.table.as_str()), ("My.Shop", "a\"b"));
        assert_eq!(mapping.target.to_string(), "store.Orders");
        for text in
            ["", "orders", ".orders", "shop.", "shop.orders.x", "shop.orders=", "a.b=c", "\"a.b", "shop.*", "a.b c"]
        {
            assert!(text.parse::<TableMapping>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_them_panic(text in "\\PC{0,40}") {
            let _ = (text.parse::<Bytes>(), text.parse::<Period>(), text.parse::<TableMapping>());
        }
    }
}
