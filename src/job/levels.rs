//! At which consistency levels rows were copied or repaired: what a job may say of rows follows from the lowest.

use crate::settings::{ConsistencyLevel, Settings};
use crate::side::Side;
use serde::Serialize;

/// The levels of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Levels {
    /// At which it reads.
    pub source: ConsistencyLevel,
    /// At which the target acknowledges its rows.
    pub target: ConsistencyLevel,
}

/// Rows that were copied or repaired at the same levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CopiedAt {
    /// The levels.
    #[serde(flatten)]
    pub levels: Levels,
    /// How many the target acknowledged.
    pub rows_written: u64,
}

impl From<&Settings> for Levels {
    fn from(settings: &Settings) -> Levels {
        Levels { source: settings.source.consistency, target: settings.target.consistency }
    }
}

impl Levels {
    fn of(self, side: Side) -> ConsistencyLevel {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }

    /// What is to be told of rows that were `copied` before, at levels that don't promise what these do; a sentence for each side.
    pub fn shortfalls(self, copied: &[CopiedAt]) -> Vec<String> {
        let told = [(Side::Source, "read"), (Side::Target, "written")].map(|(side, verb)| {
            let asked = self.of(side);
            let short = || copied.iter().filter(|copied| !copied.levels.of(side).covers(asked));
            let rows: u64 = short().map(|copied| copied.rows_written).sum();
            let mut levels: Vec<String> = short().map(|copied| copied.levels.of(side).to_string()).collect();
            levels.sort_unstable();
            levels.dedup();
            let (were, levels) = (if rows == 1 { "row of this job was" } else { "rows of this job were" }, levels.join(" or "));
            (rows > 0).then(|| {
                format!(
                    "{rows} {were} {verb} at {levels} before, which doesn't promise what {asked} does, and this run leaves them as they \
                     are. To have all rows at {asked}, copy anew with `--restart`: it changes nothing that is copied"
                )
            })
        });
        told.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ConsistencyLevel::{All, LocalQuorum, One, Quorum};

    #[test]
    fn rows_at_levels_that_promise_less_are_told_with_their_number() {
        let copied = [(One, One, 3), (One, LocalQuorum, 40), (LocalQuorum, All, 500)]
            .map(|(source, target, rows_written)| CopiedAt { levels: Levels { source, target }, rows_written });
        let told = |source, target| Levels { source, target }.shortfalls(&copied).join("\n");
        assert_eq!(told(One, One), "");
        insta::assert_snapshot!(told(LocalQuorum, Quorum), @"
        43 rows of this job were read at ONE before, which doesn't promise what LOCAL_QUORUM does, and this run leaves them as they are. To have all rows at LOCAL_QUORUM, copy anew with `--restart`: it changes nothing that is copied
        43 rows of this job were written at LOCAL_QUORUM or ONE before, which doesn't promise what QUORUM does, and this run leaves them as they are. To have all rows at QUORUM, copy anew with `--restart`: it changes nothing that is copied
        ");
        assert_eq!(Levels { source: All, target: All }.shortfalls(&[]), Vec::<String>::new());
    }
}
