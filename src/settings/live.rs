//! What an operator sets for a job while it lives: it comes before the command line, over all runs, until it is taken back.

use super::pace::Pace;
use super::units::UnitError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A value that can be set; each has a flag of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// Rows that are sent to the target in a second.
    RowsPerSecond,
    /// Bytes that are sent to the target in a second.
    BytesPerSecond,
    /// Ranges that are scanned at the same time.
    Readers,
    /// Write requests under way at the same time.
    Writers,
    /// What a page may take.
    SourceLatency,
    /// What a write may take.
    TargetLatency,
}

impl Key {
    /// All of them.
    pub const ALL: [Key; 6] =
        [Key::RowsPerSecond, Key::BytesPerSecond, Key::Readers, Key::Writers, Key::SourceLatency, Key::TargetLatency];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Key::RowsPerSecond => "rows-per-second",
            Key::BytesPerSecond => "bytes-per-second",
            Key::Readers => "readers",
            Key::Writers => "writers",
            Key::SourceLatency => "source-latency",
            Key::TargetLatency => "target-latency",
        }
    }

    /// The key of that name.
    pub fn named(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether `value` makes sense for it.
    ///
    /// # Errors
    /// Says what would.
    pub fn check(self, value: &str) -> Result<(), UnitError> {
        Pace::default().set(self, value)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// All that is set for a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Live {
    /// Nothing new is to be read or written.
    pub paused: bool,
    /// The values, as they were typed.
    #[serde(rename = "set")]
    pub values: BTreeMap<Key, String>,
}

/// `KEY=VALUE`, as it was typed; without a value, what the command line says holds again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What to set.
    pub key: Key,
    /// To what.
    pub value: Option<String>,
}

impl FromStr for Assignment {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Assignment, UnitError> {
        let names = || Key::ALL.map(Key::name).join(", ");
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| UnitError(format!("`{}` isn't KEY=VALUE; the keys are {}", text.escape_debug(), names())))?;
        let key = Key::named(name.trim()).ok_or_else(|| {
            UnitError(format!("`{}` can't be set; what can is {}", name.trim().escape_debug(), names()))
        })?;
        let value = value.trim();
        if value == "default" {
            return Ok(Assignment { key, value: None });
        }
        key.check(value)?;
        Ok(Assignment { key, value: Some(value.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_comes_first_and_can_be_taken_back() {
        let set = |text: &str| text.parse::<Assignment>().expect("well formed");
        assert_eq!(set("writers=default"), Assignment { key: Key::Writers, value: None });
        let typed = Pace { writers: 4, ..Pace::default() };
        let mut live = Live::default();
        for Assignment { key, value } in
            [set("writers=64"), set("target-latency=20ms"), set("rows-per-second=08:00,1 9:00,off")]
        {
            live.values.insert(key, value.expect("a value"));
        }
        let pace = typed.clone().with(&live);
        assert_eq!((pace.readers, pace.writers), (8, 64));
        assert_eq!(pace.limits.target_latency.0, Some(std::time::Duration::from_millis(20)));
        assert!(pace.limits.rows_per_second.changes());
        live.values.remove(&Key::Writers);
        assert_eq!(typed.with(&live).writers, 4);
    }

    #[test]
    fn what_can_not_be_set_is_refused() {
        for text in [
            "writers",
            "writers=0",
            "writers=65537",
            "writers=-1",
            "speed=9",
            "rows-per-second=0",
            "target-latency=5",
            "=1",
            "",
        ] {
            assert!(text.parse::<Assignment>().is_err(), "{text}");
        }
        assert!(Key::ALL.iter().all(|key| Key::named(key.name()) == Some(*key)));
    }
}
