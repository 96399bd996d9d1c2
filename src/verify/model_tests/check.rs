//! The laws of a verification, looked at from outside: at the checkpoint, the file of differences, and the target.

use super::super::difference::Class;
use super::case::{Case, is_short, name};
use super::spec::{Row, classes, count, is_harmless, is_mended};
use super::world::Sides;
use crate::checkpoint::{Checkpoint, stored};
use crate::copy::fakes::{Key, Rows, Stored};
use crate::copy::model_tests::world::is_below;
use crate::job::{Verdict, Work};
use crate::side::Side;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is known from run to run.
pub(super) struct Book<'a> {
    case: &'a Case,
    /// The time for which tables are looked at.
    now: i64,
    /// Rows that change at both sides while they are compared: equal, whenever one looks twice.
    pub(super) restless: BTreeSet<Key>,
    /// What was last told of a row.
    told: BTreeMap<Key, BTreeSet<Class>>,
    lines: usize,
    /// Rows that there were before a run.
    known: BTreeSet<Key>,
    below: BTreeSet<Key>,
    /// The target, and which rows differed, before the run.
    before: (Stored, BTreeSet<Key>),
}

impl<'a> Book<'a> {
    pub(super) fn new(case: &'a Case, now: i64) -> Book<'a> {
        let short = case.source.rows.iter().filter(|(_, row)| row.iter().flatten().any(is_short));
        let changed = case.changes.iter().map(|change| &change.key);
        let restless = short.map(|(key, _)| key).chain(changed).cloned().collect();
        let before = (Stored::new(), BTreeSet::new());
        Book {
            case,
            now,
            restless,
            told: BTreeMap::new(),
            lines: 0,
            known: BTreeSet::new(),
            below: BTreeSet::new(),
            before,
        }
    }

    /// What each row of either side shows.
    fn classes(&self, sides: &Sides) -> BTreeMap<Key, BTreeSet<Class>> {
        let [source, target] = [Side::Source, Side::Target].map(|side| sides.rows(side, self.now));
        let keys: BTreeSet<&Key> = source.keys().chain(target.keys()).collect();
        let of = |key| classes(source.get(key), target.get(key), self.case.timestamp_max);
        keys.into_iter().map(|key| (key.clone(), of(key))).collect()
    }

    pub(super) fn before_a_run(&mut self, sides: &Sides) {
        let target = sides.target.0.lock().expect("not poisoned").clone();
        let now = self.classes(sides);
        self.known.extend(now.keys().cloned());
        let different = now.into_iter().filter(|(_, classes)| !is_harmless(classes));
        self.before = (target, different.map(|(key, _)| key).collect());
    }

    /// Checks all laws after a run; answers which ranges are left.
    pub(super) fn after_a_run(
        &mut self,
        sides: &Sides,
        checkpoint: &Checkpoint,
        file: &Path,
    ) -> Result<Vec<Work>, String> {
        // This checks that its ranges tile the ring.
        let (found, work) = checkpoint.verification_work().map_err(|error| format!("the checkpoint: {error}"))?;
        if work.is_empty() != (found.ranges == found.ranges_done) {
            return Err(format!("{} of {} ranges are done, {} are left", found.ranges_done, found.ranges, work.len()));
        }
        let now = self.classes(sides);
        let below: BTreeMap<&Key, &BTreeSet<Class>> = now.iter().filter(|(key, _)| !is_left(key, &work)).collect();
        let is_lost = |key: &&Key| !below.contains_key(*key) && now.contains_key(*key);
        if !self.mends()
            && !self.case.reopens
            && let Some(lost) = self.below.iter().find(is_lost)
        {
            return Err(format!("a cursor moved back before {}", name(lost)));
        }
        self.read_lines(file, &now)?;
        for (key, classes) in
            below.iter().filter(|(key, classes)| !is_harmless(classes) && !self.restless.contains(**key))
        {
            if self.told.get(*key) != Some(classes) && !self.is_shadowed(key, &now) {
                return Err(format!("{} is {classes:?}, {:?} was told", name(key), self.told.get(*key)));
            }
        }
        self.accounts(checkpoint, &now, &below)?;
        self.mended(sides, work.is_empty())?;
        self.below = below.into_keys().cloned().collect();
        Ok(work)
    }

    fn mends(&self) -> bool {
        self.case.repairs || self.case.deletes
    }

    /// What is new in the file: it tells what is so.
    fn read_lines(&mut self, file: &Path, now: &BTreeMap<Key, BTreeSet<Class>>) -> Result<(), String> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        for line in text.lines().skip(self.lines) {
            self.lines += 1;
            let line: serde_json::Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
            let key = key_of(&line).ok_or_else(|| format!("no key: {line}"))?;
            if self.restless.contains(&key) {
                return Err(format!("{} was told of, and it was never unequal for long: {line}", name(&key)));
            }
            if line["classes"].is_null() {
                if !self.before.1.contains(&key) {
                    return Err(format!("{} was written, and it didn't differ: {line}", name(&key)));
                }
                continue;
            }
            let told: BTreeSet<Class> =
                serde_json::from_value(line["classes"].clone()).map_err(|error| format!("{error}: {line}"))?;
            if told.is_empty() || now.get(&key) != Some(&told) {
                return Err(format!("{} is {:?}, and this was told: {line}", name(&key), now.get(&key)));
            }
            self.told.insert(key, told);
        }
        Ok(())
    }

    /// Each row up to a cursor is counted once, with its classes, and no other. Ranges that were cut keep their counts with their
    /// first piece, so pieces are looked at together.
    fn accounts(
        &self,
        checkpoint: &Checkpoint,
        now: &BTreeMap<Key, BTreeSet<Class>>,
        below: &BTreeMap<&Key, &BTreeSet<Class>>,
    ) -> Result<(), String> {
        let mut groups: BTreeMap<i64, (Verdict, Verdict, u64)> = BTreeMap::new();
        let mut shadowed: BTreeSet<i64> = BTreeSet::new();
        for stored::Stored { position, range, tally } in stored::ranges::<Verdict>(checkpoint) {
            let (counted, expected, restless) = groups.entry(position).or_default();
            *counted += tally;
            for (key, classes) in below.iter().filter(|(key, _)| range.contains(key.0)) {
                if !self.restless.contains(*key) {
                    *expected += count(classes);
                }
                if self.is_shadowed(key, now) {
                    shadowed.insert(position);
                }
            }
            // Rows that were compared, and then deleted.
            let is_gone = |key: &&Key| self.case.deletes && !now.contains_key(*key) && !self.restless.contains(*key);
            let unsure = self.restless.iter().chain(self.known.iter().filter(is_gone));
            *restless += unsure.filter(|key| range.contains(key.0)).count() as u64;
        }
        for (position, (counted, expected, restless)) in groups {
            if shadowed.contains(&position) {
                continue;
            }
            let rows = expected.rows_compared..=expected.rows_compared + restless;
            let same = Verdict {
                rows_compared: expected.rows_compared,
                rows_rechecked: 0,
                rows_repaired: 0,
                rows_marker_inferred: 0,
                rows_deleted: 0,
                bytes_read: 0,
                ..counted
            };
            let enough = counted.rows_rechecked >= counted.rows_different;
            if same != expected || !rows.contains(&counted.rows_compared) || !enough {
                return Err(format!("in range {position} {counted:?} is counted, and should be {expected:?}"));
            }
        }
        Ok(())
    }

    /// Whether it is what the README says isn't looked for: the statics of a partition that has nothing else and shares its token with
    /// another one's tombstones.
    fn is_shadowed(&self, key: &Key, now: &BTreeMap<Key, BTreeSet<Class>>) -> bool {
        let mut tombstones = self.case.source.tombstones.iter().chain(&self.case.tombstones);
        self.case.has_statics
            && key.2.is_empty()
            && !now.keys().any(|other| other.1 == key.1 && !other.2.is_empty())
            && tombstones.any(|tombstone| tombstone.0 == key.0 && tombstone.1 != key.1)
    }

    /// The target changes as far as it is mended, and no further.
    fn mended(&self, sides: &Sides, is_done: bool) -> Result<(), String> {
        let Case { timestamp_max, repairs, deletes, .. } = *self.case;
        let source: Rows = sides.rows(Side::Source, self.now);
        let after = sides.target.0.lock().expect("not poisoned");
        let keys: BTreeSet<_> = self.before.0.keys().chain(after.keys()).collect();
        for key in keys {
            let full = (crate::row::token_of([key.0.as_slice()].into_iter()), key.0.clone(), key.1.clone());
            let (was, is, source): (_, _, Option<&Row>) = (self.before.0.get(key), after.get(key), source.get(&full));
            if self.restless.contains(&full) {
                continue;
            }
            let is_so = |before, deletes| is_mended(source, before, is, (self.now, timestamp_max), (repairs, deletes));
            if was != is
                && let Err(what) = is_so(was, false).or_else(|_| is_so(was, deletes))
            {
                return Err(format!("{}: {what}; it was {was:?}, is {is:?}, source {source:?}", name(&full)));
            }
            if is_done && let Err(what) = is_so(is, deletes) {
                return Err(format!("{} isn't mended: {what}; it is {is:?}, source {source:?}", name(&full)));
            }
        }
        Ok(())
    }

    /// Rows that nobody has compared change at one side, or at both.
    pub(super) fn drift(&mut self, sides: &Sides, work: &[Work]) {
        let [source, target] = [Side::Source, Side::Target].map(|side| sides.rows(side, self.now));
        let keys: BTreeSet<&Key> = source.keys().chain(target.keys()).collect();
        let left: Vec<&Key> =
            keys.into_iter().filter(|key| is_left(key, work) && !self.restless.contains(*key)).collect();
        for _ in 0..fastrand::usize(..6) {
            let Some(&key) = fastrand::choice(&left) else { break };
            let cell = || Some((vec![fastrand::u8(..)], fastrand::i64(6..9), 0));
            let row: Row = self.case.fitted(key, [cell(), cell()]);
            let side = if fastrand::bool() { Side::Source } else { Side::Target };
            match fastrand::u8(..4) {
                0 => sides.put(side, key, None, self.now),
                1 => sides.put(Side::Target, key, source.get(key), self.now),
                _ => sides.put(side, key, Some(&row), self.now),
            }
        }
    }
}

fn is_left(key: &Key, work: &[Work]) -> bool {
    work.iter().any(|Work { key: at, cursor }| at.range.contains(key.0) && !is_below(key, at.range, cursor))
}

fn key_of(line: &serde_json::Value) -> Option<Key> {
    let bytes = |hex: &serde_json::Value| {
        let hex = hex.as_str()?.strip_prefix("0x")?.as_bytes();
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<Vec<u8>>>()
    };
    let token = crate::ring::Token(line["token"].as_i64()?);
    let clustering = if line["static"].as_bool()? { Vec::new() } else { bytes(&line["key_hex"][1])? };
    Some((token, bytes(&line["key_hex"][0])?, clustering))
}
