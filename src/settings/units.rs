//! Settings with a unit: the texts that operators type.

use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A text that isn't what the setting needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(pub(super) String);

/// Bytes: `268435456`, `256MiB`, `1GiB`, `500MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

/// Rows, or anything else that is counted: `20000`, `20k`, `1M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

/// A time: `90s`, `15m`, `2h`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

/// What a request may take: a time, or `off`, as which it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Latency(pub Option<Duration>);

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

impl FromStr for Count {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Count, UnitError> {
        let fail = || UnitError(format!("`{}` isn't a number: 20000, 20k and 1M are", text.escape_debug()));
        let (number, unit) = number_and_unit(text.trim()).ok_or_else(fail)?;
        let factor = match unit {
            "" => 1,
            "k" | "K" => 1000,
            "M" => 1_000_000,
            _ => return Err(fail()),
        };
        number.checked_mul(factor).map(Count).ok_or_else(fail)
    }
}

impl From<Count> for u64 {
    fn from(count: Count) -> u64 {
        count.0
    }
}

impl From<Bytes> for u64 {
    fn from(bytes: Bytes) -> u64 {
        bytes.0
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

impl FromStr for Latency {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Latency, UnitError> {
        if text.trim() == "off" {
            return Ok(Latency(None));
        }
        let Period(limit) = text.parse().map_err(|UnitError(why)| UnitError(format!("{why}; so is `off`")))?;
        if limit.is_zero() {
            return Err(UnitError("nothing takes no time: `off` is no limit".to_owned()));
        }
        Ok(Latency(Some(limit)))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(limit) => write!(f, "{}ms", limit.as_millis()),
        }
    }
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
from_text!(Bytes, Period, Latency);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!("256MiB".parse(), Ok(Bytes(256 << 20)));
        assert_eq!("1000".parse(), Ok(Bytes(1000)));
        assert_eq!("20k".parse(), Ok(Count(20_000)));
        assert_eq!("1M".parse(), Ok(Count(1_000_000)));
        assert!("1m".parse::<Count>().is_err(), "a thousandth is none");
        assert_eq!("15m".parse(), Ok(Period(Duration::from_secs(900))));
        for text in ["", "MiB", "-1", "1.5GiB", "12 parsecs", "99999999999999GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
            assert!(text.parse::<Period>().is_err(), "{text}");
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
        assert_eq!("50ms".parse(), Ok(Latency(Some(Duration::from_millis(50)))));
        assert_eq!("off".parse(), Ok(Latency(None)));
        assert!("0s".parse::<Latency>().is_err());
        assert!("15".parse::<Period>().is_err(), "a time needs its unit");
        assert_eq!(Bytes(1536 << 20).to_string(), "1.5 GiB");
    }

    proptest! {
        #[test]
        fn nothing_makes_them_panic(text in prop_oneof!["\\PC{0,40}", "[0-9]{0,22} ?[kmgdhsib]{0,3}"]) {
            let errors = [text.parse::<Bytes>().err(), text.parse::<Period>().err(), text.parse::<Count>().err()];
            for error in errors.into_iter().flatten() {
                prop_assert!(error.to_string().contains("isn't a"), "{error}");
            }
        }

        #[test]
        fn a_number_and_a_unit_are_their_product(number in any::<u64>(), unit in 0usize..4) {
            let (name, factor) = [("B", 1), ("KiB", 1 << 10), ("MB", 1_000_000), ("GiB", 1 << 30)][unit];
            let expected = number.checked_mul(factor).map(Bytes);
            prop_assert_eq!(format!("{number}{name}").parse::<Bytes>().ok(), expected);
            let (name, ms) = [("ms", 1), ("s", 1000), ("h", 3_600_000), ("d", 86_400_000)][unit];
            let expected = number.checked_mul(ms).map(|ms| Period(Duration::from_millis(ms)));
            prop_assert_eq!(format!("{number} {name}").parse::<Period>().ok(), expected);
        }
    }
}
