//! What of a target table endangers a copy beside live deletes, and setting it right for as long as the copy takes.
//!
//! A delete that reaches the target before the older row does must still be remembered when that row arrives, or the row
//! comes back. How long it is remembered is an option of the table: `tombstone_gc` on ScyllaDB, `gc_grace_seconds` on Cassandra.

mod given_up;
mod manage;
mod tombstone_gc;

pub use given_up::take_over;
pub use manage::{OptionsError, engage, release};

use crate::call::CallError;
use crate::checkpoint::status::AlteredOption;
use crate::cluster::{Cluster, Product};
use crate::event::{Event, Events};
use crate::schema::TableName;

/// Ten years: longer than any copy.
const GRACE_SECONDS: u32 = 315_360_000;
/// Cassandra's default. Who has less has chosen it.
const GRACE_SECONDS_MIN: u32 = 864_000;

/// The option that keeps tombstones, and one more thing to know of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// `tombstone_gc` or `gc_grace_seconds`.
    pub(crate) name: &'static str,
    /// Its value as a CQL literal; `None` where it can't be read.
    pub(crate) value: Option<String>,
    /// The class of the compaction, without its package.
    pub(crate) compaction: String,
}

impl Guard {
    /// Reads it; `None` where there is no such table.
    pub(crate) async fn read(cluster: &Cluster, table: &TableName) -> Result<Option<Guard>, CallError> {
        let cql = "SELECT * FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
        let rows = cluster.records(cql, (table.keyspace.as_str(), table.table.as_str())).await?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        let class = row.take_map("compaction").remove("class").unwrap_or_default();
        let compaction = class.rsplit('.').next().unwrap_or_default().to_owned();
        let (name, value) = match cluster.info.product {
            Product::Cassandra => ("gc_grace_seconds", Some(row.take_text("gc_grace_seconds"))),
            Product::Scylla => ("tombstone_gc", tombstone_gc::read(&mut row)),
        };
        Ok(Some(Guard { name, value, compaction }))
    }

    /// The value that is set for a copy, as a CQL literal.
    pub(crate) fn managed(&self) -> String {
        match self.name {
            "tombstone_gc" => tombstone_gc::DISABLED.to_owned(),
            _ => GRACE_SECONDS.to_string(),
        }
    }

    /// Whether the value is the one that is set for a copy.
    pub(crate) fn is_managed(&self) -> bool {
        let Some(value) = &self.value else { return false };
        match self.name {
            "tombstone_gc" => tombstone_gc::is_disabled(value),
            _ => *value == GRACE_SECONDS.to_string(),
        }
    }

    /// What endangers a copy: a sentence each. Of tombstones only where nobody takes care of them.
    fn hazards(&self, table: &TableName, is_managing: bool) -> Vec<String> {
        let mut hazards = Vec::new();
        let endangered = match (self.name, &self.value) {
            ("tombstone_gc", Some(value)) => !tombstone_gc::is_disabled(value),
            ("tombstone_gc", None) => true,
            (_, value) => {
                value.as_ref().and_then(|value| value.parse().ok()).is_none_or(|s: u32| s < GRACE_SECONDS_MIN)
            }
        };
        let (name, managed) = (self.name, self.managed());
        let value = self.value.as_deref().unwrap_or("unknown");
        if endangered && !is_managing {
            hazards.push(format!(
                "{table} at the target has {name} = {value}: a delete that arrives there during the copy may be forgotten \
                 before the older row is copied, which then comes back. Where rows are deleted meanwhile, use \
                 `--manage-table-options`, or run: ALTER TABLE {} WITH {name} = {managed};",
                table.cql()
            ));
        }
        if matches!(self.compaction.as_str(), "TimeWindowCompactionStrategy" | "DateTieredCompactionStrategy") {
            hazards.push(format!(
                "{table} at the target has {}: rows of all ages are copied together, so its files won't be apart by time, and \
                 expired ones stay longer",
                self.compaction
            ));
        }
        hazards
    }
}

/// Warns of what endangers a copy into these tables. What can't be read isn't warned of: other looks at the table will fail.
pub async fn warn(target: &Cluster, tables: impl IntoIterator<Item = &TableName>, is_managing: bool, events: &Events) {
    for table in tables {
        if let Ok(Some(guard)) = Guard::read(target, table).await {
            for message in guard.hazards(table, is_managing) {
                events.emit(Event::Warning { message });
            }
        }
    }
}

/// What a copy would alter of this table. Of what can't be read, nothing is altered.
pub async fn intended(target: &Cluster, table: &TableName) -> Option<AlteredOption> {
    let guard = Guard::read(target, table).await.ok()??;
    if guard.is_managed() {
        return None;
    }
    let new = guard.managed();
    Some(AlteredOption { name: guard.name.to_owned(), old: guard.value?, new })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(name: &'static str, value: Option<&str>, compaction: &str) -> Guard {
        Guard { name, value: value.map(str::to_owned), compaction: compaction.to_owned() }
    }

    #[test]
    fn what_endangers_a_copy_is_named() {
        let table = TableName { keyspace: "ks".to_owned(), table: "t".to_owned() };
        let all = [
            guard("gc_grace_seconds", Some("864000"), "UnifiedCompactionStrategy"),
            guard("gc_grace_seconds", Some("863999"), "TimeWindowCompactionStrategy"),
            guard("tombstone_gc", Some("{'mode': 'repair', 'propagation_delay_in_seconds': '3600'}"), "X"),
            guard("tombstone_gc", Some("{'mode': 'disabled', 'propagation_delay_in_seconds': '3600'}"), "X"),
            guard("tombstone_gc", None, "X"),
        ];
        let text = all.map(|guard| guard.hazards(&table, false).join("\n"));
        insta::assert_snapshot!(text.join("\n--\n"), @r#"

        --
        ks.t at the target has gc_grace_seconds = 863999: a delete that arrives there during the copy may be forgotten before the older row is copied, which then comes back. Where rows are deleted meanwhile, use `--manage-table-options`, or run: ALTER TABLE "ks"."t" WITH gc_grace_seconds = 315360000;
        ks.t at the target has TimeWindowCompactionStrategy: rows of all ages are copied together, so its files won't be apart by time, and expired ones stay longer
        --
        ks.t at the target has tombstone_gc = {'mode': 'repair', 'propagation_delay_in_seconds': '3600'}: a delete that arrives there during the copy may be forgotten before the older row is copied, which then comes back. Where rows are deleted meanwhile, use `--manage-table-options`, or run: ALTER TABLE "ks"."t" WITH tombstone_gc = {'mode': 'disabled'};
        --

        --
        ks.t at the target has tombstone_gc = unknown: a delete that arrives there during the copy may be forgotten before the older row is copied, which then comes back. Where rows are deleted meanwhile, use `--manage-table-options`, or run: ALTER TABLE "ks"."t" WITH tombstone_gc = {'mode': 'disabled'};
        "#);
        assert_eq!(guard("gc_grace_seconds", Some("1"), "X").hazards(&table, true), Vec::<String>::new());
    }
}
