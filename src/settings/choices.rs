//! Settings that are one of a few words.

use serde::{Deserialize, Serialize};

/// The consistency levels that make sense for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "they are CQL's own names")]
pub enum ConsistencyLevel {
    One,
    Two,
    Three,
    Quorum,
    All,
    LocalOne,
    LocalQuorum,
    EachQuorum,
}

impl ConsistencyLevel {
    /// Whether whatever was acknowledged at this level is so at the `other` one too, with any replication.
    #[must_use]
    pub fn covers(self, other: ConsistencyLevel) -> bool {
        use ConsistencyLevel::{All, EachQuorum, LocalOne, LocalQuorum, One, Quorum, Three, Two};
        let also: &[ConsistencyLevel] = match self {
            All => return true,
            EachQuorum => &[LocalQuorum, Quorum, LocalOne, One],
            LocalQuorum => &[LocalOne, One],
            Three => &[Two, One],
            Quorum | Two | LocalOne => &[One],
            One => &[],
        };
        self == other || also.contains(&other)
    }
}

impl std::fmt::Display for ConsistencyLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What becomes of writetimes that lie further ahead than the target takes: three days at ScyllaDB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FutureTimestamps {
    /// Their rows go to the rejects file
    #[default]
    Reject,
    /// They are lowered to the latest that the target took when the job was made
    Cap,
}

#[cfg(test)]
mod tests {
    use super::ConsistencyLevel::{All, EachQuorum, LocalOne, LocalQuorum, One, Quorum, Three, Two};
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn a_level_covers_what_it_implies_with_any_replication() {
        let all = ConsistencyLevel::value_variants();
        assert!(all.iter().all(|&level| level.covers(level) && level.covers(One) && All.covers(level)));
        let no = [
            (One, LocalOne),
            (One, Two),
            (Two, LocalQuorum),
            // Of a replication factor of 3 in one datacenter, and of 7 in one.
            (LocalQuorum, Three),
            (Three, LocalQuorum),
            // Of two datacenters.
            (LocalQuorum, Quorum),
            (Quorum, LocalQuorum),
            (Quorum, LocalOne),
            (LocalQuorum, EachQuorum),
            (EachQuorum, All),
        ];
        assert!(no.iter().all(|&(level, other)| !level.covers(other)));
        assert!(EachQuorum.covers(Quorum) && EachQuorum.covers(LocalQuorum) && LocalQuorum.covers(LocalOne));
    }
}
