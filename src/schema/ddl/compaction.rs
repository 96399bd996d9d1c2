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
        _ => ("IncrementalCompactionStrategy", &INCREMENTAL),
    };
    if class != found {
        let why = match found {
            "UnifiedCompactionStrategy" => "is ScyllaDB's default and the nearest: it compacts in tiers, and in pieces",
            "DateTieredCompactionStrategy" => {
                "is ScyllaDB's default; where rows expire by age, choose TimeWindowCompactionStrategy and its window"
            }
            _ => "is ScyllaDB's default",
        };
        notes.push(format!(
            "compaction: ScyllaDB has no {found}; {class} {why}; before ScyllaDB 2025.1 write SizeTieredCompactionStrategy"
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
