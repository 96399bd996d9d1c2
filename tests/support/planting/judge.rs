//! What a verification said, beside the truth.

use super::Planted;
use super::case::EXTRAS;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

/// Table, key, whether it is the statics'.
pub type Key = (String, Vec<String>, bool);
/// The classes of each row that differs.
pub type Differences = BTreeMap<Key, BTreeSet<String>>;

/// What the lines of a file with differences say. A row that comes twice counts once; the later line holds.
pub fn read(lines: impl BufRead) -> io::Result<Differences> {
    let mut found = Differences::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(&line?).map_err(io::Error::other)?;
        // Others tell what was repaired.
        if line.get("class").is_some() {
            found.insert(key(&line), classes(&line));
        }
    }
    Ok(found)
}

/// The row that a line is about.
pub fn key(line: &Value) -> Key {
    // Its name without the keyspace, which isn't the truth's.
    let table = line["table"].as_str().unwrap_or_default();
    let table = table.rsplit_once('.').map_or(table, |(_, name)| name).trim_matches('"');
    (table.to_owned(), texts(&line["key_hex"]).collect(), line["static"] == true)
}

/// The classes that it tells.
pub fn classes(line: &Value) -> BTreeSet<String> {
    texts(&line["classes"]).collect()
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// What a verification must say.
pub fn truth<'a>(planted: impl IntoIterator<Item = &'a Planted>) -> Differences {
    planted.into_iter().map(|planted| (planted.key(), planted.classes.iter().cloned().collect())).collect()
}

/// What one must say after a repair.
pub fn truth_after_repair<'a>(planted: impl IntoIterator<Item = &'a Planted>) -> Differences {
    let left = planted.into_iter().filter(|planted| !planted.left.is_empty());
    left.map(|planted| (planted.key(), planted.left.iter().cloned().collect())).collect()
}

/// Those with something that the target alone has, and what one must say once that is deleted.
pub fn truth_without_extra(truth: &Differences) -> (BTreeSet<Key>, Differences) {
    let is_extra = |class: &String| EXTRAS.contains(&class.as_str());
    let deleted = truth.iter().filter(|(_, classes)| classes.iter().any(is_extra)).map(|(key, _)| key.clone());
    let left = truth.iter().map(|(key, classes)| {
        (key.clone(), classes.iter().filter(|class| !is_extra(class)).cloned().collect::<BTreeSet<_>>())
    });
    (deleted.collect(), left.filter(|(_, classes)| !classes.is_empty()).collect())
}

/// How many rows show each class.
pub fn counts(differences: &Differences) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for class in differences.values().flatten() {
        *counts.entry(class.clone()).or_default() += 1;
    }
    counts
}

impl Planted {
    pub fn key(&self) -> Key {
        (self.table.clone(), self.key_hex.clone(), self.is_static)
    }
}

/// Where what was found isn't the truth: a line per row, the case in front; at most `shown` of each case.
pub fn errors(truth: &Differences, found: &Differences, planted: &[Planted], shown: usize) -> Vec<String> {
    let cases: BTreeMap<Key, &str> = planted.iter().map(|planted| (planted.key(), planted.case.as_str())).collect();
    let mut errors: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let keys: BTreeSet<&Key> = truth.keys().chain(found.keys()).collect();
    for key in keys.into_iter().filter(|key| truth.get(*key) != found.get(*key)) {
        let case = cases.get(key).copied().unwrap_or("(not planted)");
        let (expected, said) = (truth.get(key), found.get(key));
        errors.entry(case).or_default().push(format!("{key:?}: it is {expected:?}, and was said to be {said:?}"));
    }
    let lines = errors.into_iter().flat_map(|(case, rows)| {
        let count = rows.len();
        rows.into_iter().take(shown).map(move |row| format!("{case} ({count} such rows): {row}"))
    });
    lines.collect()
}
