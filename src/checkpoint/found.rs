//! The ranges that are found in a file: read, checked and summed up, those that are copied as those that are verified.

use super::error::CheckpointError;
use crate::job::{Counts, Cursor, JobTable, RangeKey, Work};
use crate::ring::{TilingCheck, Token, TokenRange};
use crate::row::RowKey;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A range as it is stored.
pub(super) struct Stored<C> {
    pub(super) table: usize,
    pub(super) range: TokenRange,
    /// Pieces of one range have one position.
    pub(super) position: i64,
    pub(super) state: State,
    pub(super) cursor: Cursor,
    pub(super) attempts: u64,
    pub(super) error: Option<String>,
    pub(super) remedy: Option<String>,
    pub(super) counts: C,
}

/// The state of a range, as the file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Claimed,
    Done,
    Failed,
    Skipped,
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<State> {
        Ok(match value.as_str()? {
            "pending" => State::Pending,
            "claimed" => State::Claimed,
            "done" => State::Done,
            "failed" => State::Failed,
            "skipped" => State::Skipped,
            _ => return Err(FromSqlError::InvalidType),
        })
    }
}

/// Reads all ranges that are counted with `C`, table by table in ascending order.
///
/// # Errors
/// Where the file can't be read, or the first error of `take`.
pub(super) fn each<C: Counts>(
    connection: &Connection,
    path: &Path,
    mut take: impl FnMut(Stored<C>) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    let fail = |error| CheckpointError::sqlite(path, "read the ranges", error);
    let text = format!(
        "SELECT table_id, first_token, last_token, position, state, cursor, partition_key, clustering_key, attempts, error,
             remedy, {} FROM {} ORDER BY table_id, first_token",
        C::NAMES.join(", "),
        C::RANGES
    );
    let mut statement = connection.prepare(&text).map_err(fail)?;
    let mut rows = statement.query(()).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let (table, first, last) = place(row).map_err(fail)?;
        let (Ok(table), Some(range)) = (usize::try_from(table), TokenRange::new(first, last)) else {
            return Err(stray(path, table, first, last));
        };
        take(stored(row, table, range).map_err(fail)?)?;
    }
    Ok(())
}

fn place(row: &Row<'_>) -> rusqlite::Result<(i64, Token, Token)> {
    Ok((row.get(0)?, Token(row.get(1)?), Token(row.get(2)?)))
}

fn stored<C: Counts>(row: &Row<'_>, table: usize, range: TokenRange) -> rusqlite::Result<Stored<C>> {
    let key: Option<(Vec<u8>, Vec<u8>)> = row.get::<_, Option<_>>(6)?.zip(row.get(7)?);
    Ok(Stored {
        table,
        range,
        position: row.get(3)?,
        state: row.get(4)?,
        cursor: Cursor {
            token: row.get::<_, Option<i64>>(5)?.map(Token),
            row: key.map(|(partition, clustering)| RowKey::new(&partition, &clustering)),
        },
        attempts: row.get(8)?,
        error: row.get(9)?,
        remedy: row.get(10)?,
        counts: counts(row, 11)?,
    })
}

fn stray(path: &Path, table: impl std::fmt::Display, first: Token, last: Token) -> CheckpointError {
    CheckpointError::Corrupt { path: path.to_owned(), what: format!("range {first}:{last} of table {table}") }
}

/// Reads all ranges that are counted with `C`, and checks that those of each of `tables` tile the ring, and that there are no others.
///
/// # Errors
/// [`CheckpointError::Tiling`] where tokens are missing or double.
pub(super) fn each_tiled<C: Counts>(
    connection: &Connection,
    path: &Path,
    tables: &BTreeSet<usize>,
    mut take: impl FnMut(Stored<C>),
) -> Result<(), CheckpointError> {
    let tiling = |table| move |error| CheckpointError::Tiling { path: path.to_owned(), table, error };
    let mut checks: BTreeMap<usize, TilingCheck> =
        tables.iter().map(|table| (*table, TilingCheck::default())).collect();
    each(connection, path, |stored: Stored<C>| {
        let (table, range) = (stored.table, stored.range);
        let check = checks.get_mut(&table).ok_or_else(|| stray(path, table, range.first(), range.last()))?;
        check.push(range).map_err(tiling(table))?;
        take(stored);
        Ok(())
    })?;
    checks.into_iter().try_for_each(|(table, check)| check.finish().map_err(tiling(table)))
}

/// What the ranges of a table come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum<C> {
    /// Those that are to be worked on.
    pub(super) ranges: u64,
    pub(super) done: u64,
    pub(super) claimed: u64,
    pub(super) failed: u64,
    /// As many as there were before any was cut again.
    pub(super) weight: u64,
    pub(super) counts: C,
    /// The share of the ring that they are, and of it what is done.
    width: f64,
    width_done: f64,
    /// The position of the last one.
    position: Option<i64>,
}

impl<C: Counts> Sum<C> {
    /// Takes the next range, in ascending order.
    pub(super) fn add(&mut self, stored: &Stored<C>) {
        let Stored { state, range, position, .. } = stored;
        // Pieces of a range stand beside each other and have its position.
        let is_piece = self.position.replace(*position) == Some(*position);
        if *state == State::Skipped {
            return;
        }
        self.ranges += 1;
        self.done += u64::from(*state == State::Done);
        self.claimed += u64::from(*state == State::Claimed);
        self.failed += u64::from(*state == State::Failed);
        self.weight += u64::from(!is_piece);
        self.counts += stored.counts;
        self.width += range.fraction();
        self.width_done += range.fraction() - range.after(stored.cursor.token).map_or(0.0, TokenRange::fraction);
    }

    /// The share of the table that is done, 0 to 1.
    pub(super) fn fraction(&self) -> f64 {
        if self.ranges > 0 && self.done == self.ranges {
            return 1.0; // Not less by what a sum of fractions loses.
        }
        if self.width > 0.0 { self.width_done / self.width } else { 0.0 }
    }
}

/// The ranges of each table, summed up, and the work that is left of those that aren't broken, in the order of its claims.
///
/// # Errors
/// [`CheckpointError::Tiling`] where tokens are missing or double in one of `tiled`.
pub(super) fn left<C: Counts>(
    connection: &Connection,
    path: &Path,
    tables: &[JobTable],
    tiled: &BTreeSet<usize>,
) -> Result<(Vec<Sum<C>>, Vec<Work>), CheckpointError> {
    let mut sums: Vec<Sum<C>> = vec![Sum::default(); tables.len()];
    let mut work: Vec<(i64, Work)> = Vec::new();
    each_tiled(connection, path, tiled, |stored: Stored<C>| {
        let table = stored.table;
        let (Some(sum), Some(JobTable { broken, .. })) = (sums.get_mut(table), tables.get(table)) else { return };
        sum.add(&stored);
        if !matches!(stored.state, State::Done | State::Skipped) && broken.is_none() {
            work.push((stored.position, Work { key: RangeKey { table, range: stored.range }, cursor: stored.cursor }));
        }
    })?;
    // Pieces of a range have its position, and keep their order.
    work.sort_by_key(|(position, work)| (*position, work.key.table));
    Ok((sums, work.into_iter().map(|(_, work)| work).collect()))
}

/// The counts in a row, from the column `first` on, in the order of their names.
pub(super) fn counts<C: Counts>(row: &Row<'_>, first: usize) -> rusqlite::Result<C> {
    let mut columns = first..;
    C::try_from_values(|_| row.get(columns.next().unwrap_or_default()))
}
