//! Verifications: their beginning, what is left of the latest one, and its end.

use super::error::CheckpointError;
use super::{Checkpoint, found};
use crate::clock::unix_ms;
use crate::job::{Counts, FoundVerification, RangeKey, RunOutcome, Verdict, Verification, VerifiedTable, Work, share};
use crate::ring::{TilingCheck, Token, TokenRange};
use crate::schema::TableName;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

impl Checkpoint {
    /// The latest verification, and what its ranges come to at this moment.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn verification(&self) -> Result<Option<Verification>, CheckpointError> {
        latest(&self.connection, &self.path)
    }

    /// Whether rows were copied since the latest verification was last worked on: what it has found may be what they were lacking.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn copied_since_verified(&self) -> Result<bool, CheckpointError> {
        let copied = "SELECT EXISTS (SELECT 1 FROM run WHERE command = 'copy' AND rows_written > 0
                          AND id > (SELECT coalesce(max(id), 0) FROM run WHERE command = 'verify'))";
        let copied = self.connection.query_row(copied, (), |row| row.get(0));
        copied.map_err(|error| CheckpointError::sqlite(&self.path, "read the runs", error))
    }

    /// Begins a verification with these `parameters`. Of the one before, the sums are kept.
    ///
    /// `ranges` are those of each table that is compared, by its number, in the order in which they are to be claimed; `false` is
    /// what is skipped. Those of a table tile the ring.
    ///
    /// # Errors
    /// [`CheckpointError::Tiling`] where tokens are missing or double: then the one before is still there. Also where the file
    /// can't be written.
    pub fn begin_verification(
        &mut self,
        parameters: &BTreeMap<String, String>,
        ranges: &BTreeMap<usize, Vec<(TokenRange, bool)>>,
    ) -> Result<(), CheckpointError> {
        let placed = ranges.iter().map(|(&table, ranges)| {
            let mut placed: Vec<Placed> = (0..).zip(ranges.iter().copied()).collect();
            placed.sort_unstable_by_key(|(_, (range, _))| range.first()); // So it is checked, and inserted faster.
            (table, placed)
        });
        let placed: BTreeMap<usize, Vec<Placed>> = placed.collect();
        for (&table, placed) in &placed {
            let mut check = TilingCheck::default();
            let checked =
                placed.iter().try_for_each(|(_, (range, _))| check.push(*range)).and_then(|()| check.finish());
            checked.map_err(|error| CheckpointError::Tiling { path: self.path.clone(), table, error })?;
        }
        let fail = |error| CheckpointError::sqlite(&self.path, "begin a verification", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        replace(&transaction, parameters, &placed).and_then(|()| transaction.commit()).map_err(fail)?;
        self.still_there()
    }

    /// Checks that the ranges of each table of the latest verification tile the ring, and lists those that are neither done nor
    /// skipped, in the order of their claims. Those of tables that are broken are no work.
    ///
    /// # Errors
    /// [`CheckpointError::Tiling`] where tokens are missing or double.
    pub fn verification_work(&self) -> Result<(FoundVerification, Vec<Work>), CheckpointError> {
        let tables = self.tables()?;
        let verified = self.verification()?.map(|verification| verification.tables).unwrap_or_default();
        let (sums, work) = found::left::<Verdict>(&self.connection, &self.path, &tables, &verified)?;
        let mut found = FoundVerification::default();
        for (sum, table) in sums.into_iter().zip(tables) {
            found.ranges += sum.ranges;
            found.ranges_done += sum.done;
            found.ranges_failed += sum.failed;
            found.verdict += sum.counts;
            found.tables.push(VerifiedTable {
                fraction: sum.fraction(),
                source: table.source,
                target: table.target,
                ranges: sum.ranges,
                weight: sum.weight,
                ranges_done: sum.done,
                verdict: sum.counts,
                broken: table.broken,
            });
        }
        found.fraction = share(found.tables.iter().map(|table| (table.fraction, table.weight)));
        Ok((found, work))
    }

    /// The ranges of the latest verification that are done, and held no row at either side: none that it has deleted, either.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn ranges_without_rows(&self) -> Result<Vec<RangeKey>, CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "read the verification", error);
        let mut statement = self
            .connection
            .prepare(
                "SELECT table_id, first_token, last_token FROM verified_range
                 WHERE state = 'done' AND rows_compared = 0 AND rows_repaired = 0 AND rows_deleted = 0",
            )
            .map_err(fail)?;
        let key = |row: &Row<'_>| Ok((row.get::<_, usize>(0)?, Token(row.get(1)?), Token(row.get(2)?)));
        let keys =
            statement.query_map((), key).and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>).map_err(fail)?;
        let key = |(table, first, last)| Some(RangeKey { table, range: TokenRange::new(first, last)? });
        Ok(keys.into_iter().filter_map(key).collect())
    }

    /// Tables of the source of which the latest verification wrote a row with a row marker that follows from its cells.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn repaired_with_inferred_markers(&self) -> Result<Vec<TableName>, CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "read the verification", error);
        let tables = "SELECT source_keyspace, source_table FROM copied_table
                      WHERE id IN (SELECT table_id FROM verified_range WHERE rows_marker_inferred > 0)";
        let mut statement = self.connection.prepare(tables).map_err(fail)?;
        let name = |row: &Row<'_>| Ok(TableName { keyspace: row.get(0)?, table: row.get(1)? });
        statement.query_map((), name).and_then(Iterator::collect).map_err(fail)
    }

    /// Puts each range with rows that differ, or that nobody could tell of, back to its beginning, with all pieces of a range that
    /// was split (the first of them has counts of the others), with nothing counted but
    /// [`Counts::KEPT`]; the latest verification goes on. Gives how many such ranges there are. Those that failed stay as they
    /// are: they are tried again anyway.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn reopen_different(&mut self) -> Result<usize, CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "begin ranges anew", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        let forgotten = Verdict::NAMES.iter().filter(|name| !Verdict::KEPT.contains(name));
        let forgotten: Vec<String> = forgotten.map(|name| format!("{name} = 0")).collect();
        let reopened = transaction
            .execute(
                &format!(
                    "UPDATE verified_range SET state = 'pending', cursor = NULL, partition_key = NULL, clustering_key = NULL,
                         ended_at = NULL, error = NULL, remedy = NULL, beyond = NULL, {}
                     WHERE state <> 'skipped' AND (table_id, position) IN
                         (SELECT table_id, position FROM verified_range WHERE rows_different > 0 OR rows_unsettled > 0)",
                    forgotten.join(", ")
                ),
                (),
            )
            .map_err(fail)?;
        let goes_on = "UPDATE verification SET ended_at = NULL, outcome = NULL
                       WHERE ?1 > 0 AND id = (SELECT max(id) FROM verification)";
        transaction.execute(goes_on, [reopened]).and_then(|_| transaction.commit()).map_err(fail)?;
        self.still_there()?;
        Ok(reopened)
    }

    /// Notes how a run of the latest verification ended, and what it has come to.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn end_verification(&mut self, outcome: RunOutcome) -> Result<(), CheckpointError> {
        let fail = |error| CheckpointError::sqlite(&self.path, "end the verification", error);
        let transaction = self.connection.transaction().map_err(fail)?;
        let ended = "UPDATE verification SET ended_at = ?, outcome = ? WHERE id = (SELECT max(id) FROM verification)";
        keep_sums(&transaction)
            .and_then(|()| transaction.execute(ended, params![unix_ms(), outcome.word()]))
            .and_then(|_| transaction.commit())
            .map_err(fail)?;
        self.still_there()
    }
}

/// What the ranges of the latest verification come to, in the order of the columns of `verification`.
fn sums() -> String {
    let sums = Verdict::NAMES.iter().map(|name| format!("coalesce(sum({name}), 0)"));
    format!(
        "SELECT count(*) FILTER (WHERE state <> 'skipped'), count(*) FILTER (WHERE state = 'done'),
             count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE rows_different > 0), {}
         FROM verified_range",
        sums.collect::<Vec<_>>().join(", ")
    )
}

/// Stores what the ranges of the latest verification come to.
fn keep_sums(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let update = format!(
        "UPDATE verification SET (ranges, ranges_done, ranges_failed, ranges_different, {}) = ({})
         WHERE id = (SELECT max(id) FROM verification)",
        Verdict::NAMES.join(", "),
        sums()
    );
    transaction.execute(&update, ()).map(drop)
}

/// A range's position, and whether it is compared.
type Placed = (u64, (TokenRange, bool));

/// Puts a verification and the ranges of each of its tables, in ascending order, in the place of the one before.
fn replace(
    transaction: &Transaction<'_>,
    parameters: &BTreeMap<String, String>,
    ranges: &BTreeMap<usize, Vec<Placed>>,
) -> rusqlite::Result<()> {
    keep_sums(transaction)?;
    transaction.execute("DELETE FROM verified_range", ())?;
    let tables: BTreeSet<&usize> = ranges.keys().collect();
    transaction.execute(
        "INSERT INTO verification (started_at, parameters, tables) VALUES (?, ?, ?)",
        params![unix_ms(), json(parameters)?, json(&tables)?],
    )?;
    let mut insert = transaction.prepare(
        "INSERT INTO verified_range (table_id, first_token, last_token, position, state) VALUES (?, ?, ?, ?, ?)",
    )?;
    for (table, placed) in ranges {
        for (position, (range, is_compared)) in placed {
            let state = if *is_compared { "pending" } else { "skipped" };
            insert.execute(params![table, range.first().0, range.last().0, position, state])?;
        }
    }
    Ok(())
}

/// The latest verification, and what its ranges come to at this moment.
pub(super) fn latest(connection: &Connection, path: &Path) -> Result<Option<Verification>, CheckpointError> {
    let fail = |error| CheckpointError::sqlite(path, "read the verification", error);
    let last =
        "SELECT id, started_at, ended_at, outcome, parameters, tables FROM verification ORDER BY id DESC LIMIT 1";
    let Some(verification) = connection.query_row(last, (), verification).optional().map_err(fail)? else {
        return Ok(None);
    };
    let summed = connection.query_row(&sums(), (), |row| {
        Ok(Verification {
            ranges: row.get(0)?,
            ranges_done: row.get(1)?,
            ranges_failed: row.get(2)?,
            ranges_different: row.get(3)?,
            verdict: found::counts(row, 4)?,
            ..verification
        })
    });
    summed.map(Some).map_err(fail)
}

fn verification(row: &Row<'_>) -> rusqlite::Result<Verification> {
    Ok(Verification {
        id: row.get(0)?,
        started_at: Duration::from_millis(row.get(1)?),
        ended_at: row.get::<_, Option<u64>>(2)?.map(Duration::from_millis),
        outcome: row.get::<_, Option<String>>(3)?.and_then(|word| RunOutcome::named(&word)),
        parameters: from_json(row, 4)?,
        tables: from_json(row, 5)?,
        ranges: 0,
        ranges_done: 0,
        ranges_failed: 0,
        ranges_different: 0,
        verdict: Verdict::default(),
    })
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let invalid = |error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    };
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(invalid)
}
