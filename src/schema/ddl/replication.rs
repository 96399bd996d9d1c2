//! `--replication 'east:3,west:2'`: the target's datacenters.

use crate::cluster::record::Cell;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Replicas by datacenter; at least one datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication(BTreeMap<String, u16>);

/// A replication that isn't understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` isn't a replication: DATACENTER:REPLICAS,… is, as in `east:3,west:2`", .0.escape_debug())]
pub struct ReplicationError(String);

impl FromStr for Replication {
    type Err = ReplicationError;

    fn from_str(text: &str) -> Result<Replication, ReplicationError> {
        let fail = || ReplicationError(text.to_owned());
        let mut replicas = BTreeMap::new();
        for part in text.split(',') {
            let (datacenter, count) = part.trim().rsplit_once(':').ok_or_else(fail)?;
            let count: u16 = count.trim().parse().map_err(|_| fail())?;
            let twice = replicas.insert(datacenter.trim().to_owned(), count).is_some();
            if twice || datacenter.trim().is_empty() {
                return Err(fail());
            }
        }
        Ok(Replication(replicas))
    }
}

impl Replication {
    /// The value of a keyspace's option `replication`.
    pub(super) fn option(&self) -> Cell {
        let class = ("class".to_owned(), "NetworkTopologyStrategy".to_owned());
        let replicas = self.0.iter().map(|(datacenter, count)| (datacenter.clone(), count.to_string()));
        Cell::Map(std::iter::once(class).chain(replicas).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replications() {
        let replication: Replication = "east:3, eu:west:2".parse().expect("a replication");
        assert_eq!(replication.0, BTreeMap::from([("east".to_owned(), 3), ("eu:west".to_owned(), 2)]));
        for text in ["", "east", "east:", ":3", "east:3,", "east:x", "east:-1", "east:3,east:2"] {
            assert!(text.parse::<Replication>().is_err(), "{text}");
        }
    }
}
