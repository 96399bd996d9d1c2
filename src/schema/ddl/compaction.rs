//! Compaction as ScyllaDB has it. It refuses classes and sub-options that it doesn't know: `compaction_strategy::type` and
//! `validate_options_for_strategy_type` in its `compaction/compaction_strategy.cc`.

use super::render::text_literal;
use std::collections::BTreeMap;

const EVERY: [&str; 5] =
    ["class", "enabled", "tombstone_threshold", "tombstone_compaction_interval", "unchecked_tombstone_compaction"];
const SIZE_TIERED: [&str; 5] = ["min_sstable_size", "bucket_low", "bucket_high", "min_threshold", "max_threshold"];
const LEVELED: [&str; 1] = ["sstable_size_in_mb"];
const TIME_WINDOW: [&str; 4] = [
    "compaction_window_unit",
    "compaction_window_size",
    "timestamp_resolution",
    "expired_sstable_check_frequency_seconds",
];
const INCREMENTAL: [&str; 2] = ["sstable_size_in_mb", "space_amplification_goal"];

/// A class without its package.
pub(super) fn short_class(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// The options that `ScyllaDB` takes, and what was changed.
pub(super) fn translate(options: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut notes = Vec::new();
    let found = options.get("class").map_or("", |class| short_class(class));
    let (class, own): (&str, &[&str]) = match found {
        "SizeTieredCompactionStrategy" => (found, &[]),
        "LeveledCompactionStrategy" => (found, &LEVELED),
        "TimeWindowCompactionStrategy" => (found, &TIME_WINDOW),
        "IncrementalCompactionStrategy" => (found, &INCREMENTAL),
        _ => ("SizeTieredCompactionStrategy", &[]),
    };
    if class != found {
        // Each ScyllaDB takes it; the newest take it for the incremental one, which those before 2025.1 lack.
        let more = match found {
            "DateTieredCompactionStrategy" => {
                "; where rows expire by age, choose TimeWindowCompactionStrategy and its window"
            }
            _ => "",
        };
        notes.push(format!(
            "compaction: ScyllaDB has no {found}; every version takes {class}, and from 2025.1 on \
             IncrementalCompactionStrategy is the better choice{more}"
        ));
        // The numbers mean other things there.
        let kept = options.iter().filter(|(name, _)| EVERY.contains(&name.as_str()) && *name != "class");
        let mut kept: BTreeMap<String, String> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        kept.insert("class".to_owned(), class.to_owned());
        return (kept, notes);
    }
    let known = |name: &str| EVERY.contains(&name) || SIZE_TIERED.contains(&name) || own.contains(&name);
    let (mut kept, dropped): (BTreeMap<String, String>, BTreeMap<String, String>) =
        options.iter().map(|(name, value)| (name.clone(), value.clone())).partition(|(name, _)| known(name));
    kept.insert("class".to_owned(), class.to_owned());
    notes.extend(dropped.iter().map(|(name, value)| {
        format!("compaction: left out, ScyllaDB's {class} has no such option: {name} = {}", text_literal(value))
    }));
    (kept, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compactions() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
            let (options, notes) = translate(&pairs.collect());
            format!("{options:?} {notes:?}")
        };
        let package = "org.apache.cassandra.db.compaction";
        let all = [
            of(&[
                ("class", &format!("{package}.SizeTieredCompactionStrategy")),
                ("min_threshold", "4"),
                ("cold_reads_to_omit", "0.1"),
            ]),
            of(&[
                ("class", "LeveledCompactionStrategy"),
                ("sstable_size_in_mb", "160"),
                ("single_sstable_uplevel", "true"),
            ]),
            of(&[
                ("class", "TimeWindowCompactionStrategy"),
                ("compaction_window_unit", "DAYS"),
                ("unsafe_aggressive_sstable_expiration", "true"),
            ]),
            of(&[("class", "UnifiedCompactionStrategy"), ("scaling_parameters", "T4"), ("tombstone_threshold", "0.3")]),
            of(&[("class", "DateTieredCompactionStrategy"), ("base_time_seconds", "60"), ("enabled", "false")]),
            of(&[("class", "com.example.Mine"), ("x", "1")]),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        {"class": "SizeTieredCompactionStrategy", "min_threshold": "4"} ["compaction: left out, ScyllaDB's SizeTieredCompactionStrategy has no such option: cold_reads_to_omit = '0.1'"]
        {"class": "LeveledCompactionStrategy", "sstable_size_in_mb": "160"} ["compaction: left out, ScyllaDB's LeveledCompactionStrategy has no such option: single_sstable_uplevel = 'true'"]
        {"class": "TimeWindowCompactionStrategy", "compaction_window_unit": "DAYS"} ["compaction: left out, ScyllaDB's TimeWindowCompactionStrategy has no such option: unsafe_aggressive_sstable_expiration = 'true'"]
        {"class": "SizeTieredCompactionStrategy", "tombstone_threshold": "0.3"} ["compaction: ScyllaDB has no UnifiedCompactionStrategy; every version takes SizeTieredCompactionStrategy, and from 2025.1 on IncrementalCompactionStrategy is the better choice"]
        {"class": "SizeTieredCompactionStrategy", "enabled": "false"} ["compaction: ScyllaDB has no DateTieredCompactionStrategy; every version takes SizeTieredCompactionStrategy, and from 2025.1 on IncrementalCompactionStrategy is the better choice; where rows expire by age, choose TimeWindowCompactionStrategy and its window"]
        {"class": "SizeTieredCompactionStrategy"} ["compaction: ScyllaDB has no Mine; every version takes SizeTieredCompactionStrategy, and from 2025.1 on IncrementalCompactionStrategy is the better choice"]
        "#);
    }
}
