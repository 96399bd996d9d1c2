//! The consistency levels of a job's runs.

use crate::job::{CopiedAt, Levels};
use crate::settings::ConsistencyLevel;
use clap::ValueEnum;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, Row};

/// The rows that were copied or repaired, by the levels at which they were, in the order of the runs.
pub(super) fn copied_at(connection: &Connection) -> rusqlite::Result<Vec<CopiedAt>> {
    let mut statement = connection.prepare(
        "SELECT source_consistency, target_consistency, sum(rows_written) FROM run
         WHERE rows_written > 0
         GROUP BY source_consistency, target_consistency ORDER BY min(id)",
    )?;
    let copied = |row: &Row<'_>| {
        let (Level(source), Level(target)) = (row.get(0)?, row.get(1)?);
        Ok(CopiedAt { levels: Levels { source, target }, rows_written: row.get(2)? })
    };
    statement.query_map((), copied)?.collect()
}

struct Level(ConsistencyLevel);

impl FromSql for Level {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Level> {
        ConsistencyLevel::from_str(value.as_str()?, false).map(Level).map_err(|_| FromSqlError::InvalidType)
    }
}
