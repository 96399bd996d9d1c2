//! What is in the file, for tests that look at all of it.

use super::{Checkpoint, found::counts};
use crate::job::{Counts, Levels, Tally};
use crate::ring::{Token, TokenRange};
use crate::settings::ConsistencyLevel;

/// Levels of runs that nobody looks at.
pub(crate) const LEVELS: Levels =
    Levels { source: ConsistencyLevel::LocalQuorum, target: ConsistencyLevel::LocalQuorum };

/// A range as it is stored.
pub(crate) struct Stored<C = Tally> {
    /// Pieces of one range have one position.
    pub(crate) position: i64,
    pub(crate) range: TokenRange,
    /// What is counted up to the cursor.
    pub(crate) tally: C,
}

/// The ranges of the first table, in ascending order.
pub(crate) fn ranges<C: Counts>(checkpoint: &Checkpoint) -> Vec<Stored<C>> {
    let (names, ranges) = (C::NAMES.join(", "), C::RANGES);
    let beyond = if C::BEYOND { "beyond" } else { "NULL" };
    let text = format!(
        "SELECT position, first_token, last_token, {beyond}, {names} FROM {ranges} WHERE table_id = 0 ORDER BY first_token"
    );
    let mut statement = checkpoint.connection.prepare(&text).expect("is SQL");
    let range = |row: &rusqlite::Row<'_>| {
        let range = TokenRange::new(Token(row.get(1)?), Token(row.get(2)?)).expect("not empty");
        let beyond: Option<serde_json::Value> =
            row.get::<_, Option<String>>(3)?.map(|beyond| serde_json::from_str(&beyond).expect("is JSON"));
        let beyond = |name: &str| beyond.as_ref().and_then(|counts| counts.get(name)?.as_u64()).unwrap_or(0);
        let tally = counts::<C>(row, 4)?.each(|name, count| count - beyond(name));
        Ok(Stored { position: row.get(0)?, range, tally })
    };
    statement.query_map((), range).expect("readable").map(|range| range.expect("readable")).collect()
}

/// Why ranges failed.
pub(crate) fn failures<C: Counts>(checkpoint: &Checkpoint) -> Vec<String> {
    let text = format!("SELECT error FROM {} WHERE state = 'failed'", C::RANGES);
    let mut statement = checkpoint.connection.prepare(&text).expect("is SQL");
    statement.query_map((), |row| row.get(0)).expect("readable").map(|error| error.expect("readable")).collect()
}
