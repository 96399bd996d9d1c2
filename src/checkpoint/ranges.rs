//! Changes of ranges in the file. Those that are copied and those that are verified have a table each, alike but for the counts: the SQL is
//! written once, for any [`Counts`].

use super::fold::{RangeState, RangeUpdate};
use super::found::counts;
use crate::job::{Counts, RangeKey, Work};
use crate::row::RowKey;
use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// Changes the ranges that are counted with `C`. The texts are made once per transaction.
pub(super) struct Ranges<'t, C> {
    transaction: &'t Transaction<'t>,
    update: String,
    insert: String,
    shrink: String,
    counted: String,
    beyond: String,
    find_beyond: String,
    forget_beyond: String,
    begin_anew: String,
    counts: PhantomData<C>,
}

impl<'t, C: Counts> Ranges<'t, C> {
    pub(super) fn of(transaction: &'t Transaction<'t>) -> Ranges<'t, C> {
        let (table, names) = (C::RANGES, C::NAMES);
        let list = |set: &mut dyn Iterator<Item = String>| set.collect::<Vec<_>>().join(", ");
        let add = list(&mut names.iter().zip(14..).map(|(name, index)| format!("{name} = {name} + ?{index}")));
        let anew = list(&mut names.iter().zip(4..).map(|(name, index)| {
            let before = if C::KEPT.contains(name) { name } else { "0" };
            format!("{name} = {before} + ?{index}")
        }));
        let more = list(&mut names.iter().zip(5..).map(|(name, index)| format!("{name} = {name} + ?{index}")));
        let less = list(
            &mut names.iter().map(|name| format!("{name} = {name} - coalesce(json_extract(beyond, '$.{name}'), 0)")),
        );
        Ranges {
            transaction,
            // Moves a range on: binds its table and tokens, its state, and what is new of it; the counts follow from the 14th on.
            update: format!(
                "UPDATE {table}
                 SET state = ?3, cursor = coalesce(?6, cursor),
                     partition_key = CASE WHEN ?5 THEN ?7 ELSE partition_key END,
                     clustering_key = CASE WHEN ?5 THEN ?8 ELSE clustering_key END,
                     attempts = attempts + ?9, claimed_at = CASE WHEN ?9 > 0 THEN ?10 ELSE claimed_at END,
                     ended_at = ?11, error = ?12, remedy = ?13, {add}
                 WHERE table_id = ?1 AND first_token = ?2 AND last_token = ?4"
            ),
            insert: format!(
                "INSERT INTO {table} (table_id, first_token, last_token, position, cursor, partition_key, clustering_key)
                 SELECT table_id, ?3, ?4, position, ?5, ?6, ?7 FROM {table} WHERE table_id = ?1 AND first_token = ?2"
            ),
            shrink: format!(
                "UPDATE {table} SET last_token = ?4, partition_key = ?5, clustering_key = ?6, state = 'pending'
                 WHERE table_id = ?1 AND first_token = ?2 AND last_token = ?3"
            ),
            counted: format!(
                "SELECT {} FROM {table} WHERE table_id = ?1 AND first_token = ?2 AND last_token = ?3",
                names.join(", ")
            ),
            beyond: format!(
                "UPDATE {table} SET beyond = ?4, {more} WHERE table_id = ?1 AND first_token = ?2 AND last_token = ?3 AND beyond IS NULL"
            ),
            find_beyond: format!("SELECT beyond FROM {table} WHERE table_id = ?1 AND first_token = ?2 AND last_token = ?3"),
            forget_beyond: format!(
                "UPDATE {table} SET {less}, beyond = NULL WHERE table_id = ?1 AND first_token = ?2 AND last_token = ?3"
            ),
            begin_anew: format!(
                "UPDATE {table} SET state = 'pending', cursor = NULL, partition_key = NULL, clustering_key = NULL,
                     ended_at = NULL, error = NULL, remedy = NULL, {anew}
                 WHERE table_id = ?1 AND first_token = ?2 AND last_token = ?3"
            ),
            counts: PhantomData,
        }
    }

    /// Updates one range; answers how many there are of it, which is one.
    pub(super) fn update(&self, update: &RangeUpdate<C>, now: i64) -> rusqlite::Result<usize> {
        let (state, ended_at, error, remedy) = match &update.state {
            RangeState::Claimed => ("claimed", None, None, None),
            RangeState::Done => ("done", Some(now), None, None),
            RangeState::Failed { error, remedy } => ("failed", Some(now), Some(error), remedy.as_ref()),
        };
        let row = update.cursor.as_ref().and_then(|cursor| cursor.row.as_ref()).map(RowKey::bytes);
        let mut values: Vec<Value> = vec![
            (update.key.table as u64).into_value(),
            update.key.range.first().0.into(),
            state.to_owned().into(),
            update.key.range.last().0.into(),
            update.cursor.is_some().into(),
            update.cursor.as_ref().and_then(|cursor| cursor.token).map(|token| token.0).into(),
            row.map(|(partition, _)| partition.to_vec()).into(),
            row.map(|(_, clustering)| clustering.to_vec()).into(),
            i64::from(update.claims).into(),
            now.into(),
            ended_at.into(),
            error.cloned().into(),
            remedy.cloned().into(),
        ];
        values.extend(update.tally.values().map(IntoValue::into_value));
        self.transaction.prepare_cached(&self.update)?.execute(rusqlite::params_from_iter(values))
    }

    /// Makes several ranges of one. What was counted stays with the first of them.
    pub(super) fn split(&self, key: RangeKey, into: &[Work]) -> rusqlite::Result<usize> {
        let row =
            |work: &Work| work.cursor.row.as_ref().map(|row| (row.bytes().0.to_vec(), row.bytes().1.to_vec())).unzip();
        let (table, first) = (key.table as u64, key.range.first().0);
        // From the last to the first, and then the one that becomes smaller: no token is ever without a range.
        for work in into.iter().skip(1).rev() {
            let (partition, clustering) = row(work);
            let range = work.key.range;
            self.transaction.prepare_cached(&self.insert)?.execute(params![
                table.into_value(),
                first,
                range.first().0,
                range.last().0,
                work.cursor.token.map(|token| token.0),
                partition,
                clustering
            ])?;
        }
        let Some(left) = into.first() else { return Ok(0) };
        let (partition, clustering) = row(left);
        self.transaction.prepare_cached(&self.shrink)?.execute(params![
            table.into_value(),
            first,
            key.range.last().0,
            left.key.range.last().0,
            partition,
            clustering
        ])
    }

    /// Takes back what a range that is claimed again had counted beyond its cursor, and gives that; none where there is nothing.
    pub(super) fn take_back(&self, key: RangeKey) -> rusqlite::Result<Option<C>> {
        if !C::BEYOND {
            return Ok(None);
        }
        let range = [(key.table as u64).into_value(), key.range.first().0.into(), key.range.last().0.into()];
        let found: Option<Option<String>> = self
            .transaction
            .prepare_cached(&self.find_beyond)?
            .query_row(rusqlite::params_from_iter(&range), |row| row.get(0))
            .optional()?;
        let Some(beyond) = found.flatten() else { return Ok(None) };
        self.transaction.prepare_cached(&self.forget_beyond)?.execute(rusqlite::params_from_iter(range))?;
        let beyond: BTreeMap<String, u64> =
            serde_json::from_str(&beyond).map_err(|error| FromSqlConversionFailure(0, Type::Text, error.into()))?;
        C::try_from_values(|name| Ok(beyond.get(name).copied().unwrap_or_default())).map(Some)
    }

    /// Counts rows beyond the cursor of a range, until it is claimed again ([`Ranges::take_back`]); answers how many such ranges there are, which is one.
    pub(super) fn beyond(&self, key: RangeKey, counts: &C) -> rusqlite::Result<usize> {
        let later = counts.less(&counts.kept());
        let later: BTreeMap<_, _> = C::NAMES.iter().zip(later.values()).filter(|(_, count)| *count > 0).collect();
        let later =
            serde_json::to_string(&later).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let range =
            [(key.table as u64).into_value(), key.range.first().0.into(), key.range.last().0.into(), later.into()];
        let values = range.into_iter().chain(counts.values().map(IntoValue::into_value));
        self.transaction.prepare_cached(&self.beyond)?.execute(rusqlite::params_from_iter(values))
    }

    /// Puts a range back to its beginning, with nothing counted but what is kept, and `kept` added to it. Gives the counts that
    /// it doesn't have any more; none where there is no such range.
    pub(super) fn begin_anew(&self, key: RangeKey, kept: &C) -> rusqlite::Result<Option<C>> {
        let range = [(key.table as u64).into_value(), key.range.first().0.into(), key.range.last().0.into()];
        let found = self
            .transaction
            .prepare_cached(&self.counted)?
            .query_row(rusqlite::params_from_iter(&range), |row| counts::<C>(row, 0))
            .optional()?;
        let values = range.into_iter().chain(kept.values().map(IntoValue::into_value));
        self.transaction.prepare_cached(&self.begin_anew)?.execute(rusqlite::params_from_iter(values))?;
        Ok(found.map(|found| found.less(&found.kept())))
    }
}

/// Ranges that had failed, or were claimed by a run that was killed, are pending again.
pub(super) fn begin_run<C: Counts>(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let text = format!("UPDATE {} SET state = 'pending' WHERE state IN ('failed', 'claimed')", C::RANGES);
    transaction.execute(&text, ()).map(drop)
}

/// SQLite's integers are signed.
trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for u64 {
    fn into_value(self) -> Value {
        Value::Integer(i64::try_from(self).unwrap_or(i64::MAX))
    }
}
