//! Two small questions about what others do to a cluster meanwhile: was its schema changed, was a table truncated. Both are
//! asked of one node, by what it keeps of itself and of the others. So is what a changed schema says, until a node disagrees.

use super::source::Pinned;
use super::{Cluster, Product, call};
use crate::call::{CallError, Class};
use futures::StreamExt;
use scylla::cluster::Node;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// These are answered from memory. A node that takes longer isn't well, and another one is asked.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How many nodes are asked at the same time, where all are.
pub const NODES_AT_ONCE: usize = 8;

/// The version of the schema that each node has, by its host id, as one of them knows it. Where two of these are equal, no live
/// node has seen another schema in between; while a change spreads, they differ.
pub type SchemaVersions = BTreeSet<(Option<Uuid>, Option<Uuid>)>;

/// What one node keeps of the last `TRUNCATE` of each table. Other nodes keep another record of the same one, so only what the
/// same node says can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncations {
    /// The node's host id.
    pub node: Uuid,
    /// By the table's id, in no particular words. A table that was never truncated isn't here; dropping it removes its record.
    pub records: BTreeMap<Uuid, String>,
}

impl Cluster {
    /// This cluster, of whose nodes one alone is asked for what system tables say; after `tries` failures, another one. What two
    /// answers of it tell belongs together.
    #[must_use]
    pub fn one(&self, tries: u32) -> Cluster {
        self.at(self.nodes(tries).get(..1).unwrap_or_default())
    }

    /// The same for each node of the own datacenter that is connected.
    pub fn each(&self) -> Vec<Cluster> {
        self.nodes(0).chunks(1).filter(|node| node[0].is_connected()).map(|node| self.at(node)).collect()
    }

    /// This cluster, of whose nodes the first of `nodes` that is connected is asked for what system tables say.
    fn at(&self, nodes: &[Arc<Node>]) -> Cluster {
        let nodes = nodes.iter().map(|node| (Arc::clone(node), None)).collect();
        Cluster { pinned: Some(Arc::new(Pinned(nodes))), ..self.clone() }
    }

    /// The version of each node's schema, which has to be asked of [`Cluster::one`].
    ///
    /// # Errors
    /// Where the node doesn't answer.
    pub async fn schema_versions(&self) -> Result<SchemaVersions, CallError> {
        let (local, peers) = tokio::join!(
            self.rows("SELECT host_id, schema_version FROM system.local WHERE key = 'local'", ()),
            self.rows("SELECT host_id, schema_version FROM system.peers", ()),
        );
        Ok(local?.into_iter().chain(peers?).collect())
    }

    /// What one node keeps of truncations: one of `known`, where any of these is connected. A `TRUNCATE` needs all nodes, so
    /// each of them knows of it.
    ///
    /// # Errors
    /// Where the node doesn't answer, or, [`Class::Rejected`] or [`Class::Unauthorized`], doesn't tell.
    pub async fn truncations(&self, known: &BTreeSet<Uuid>, tries: u32) -> Result<Truncations, CallError> {
        let mut nodes = self.nodes(tries);
        nodes.sort_by_key(|node| !(node.is_connected() && known.contains(&node.host_id)));
        self.truncations_of(&nodes).await
    }

    /// The same of every node that answers.
    ///
    /// # Errors
    /// Where the nodes don't tell, or none answers.
    pub async fn all_truncations(&self) -> Result<Vec<Truncations>, CallError> {
        let nodes = self.nodes(0);
        let asked = nodes.chunks(1).map(|node| self.truncations_of(node));
        let answers: Vec<_> = futures::stream::iter(asked).buffered(NODES_AT_ONCE).collect().await;
        let (mut told, mut failure) = (Vec::new(), None);
        for answer in answers {
            match answer {
                Ok(truncations) => told.push(truncations),
                Err(error) if error.class.is_trouble() => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        match failure {
            Some(error) if told.is_empty() => Err(error),
            _ => Ok(told),
        }
    }

    async fn truncations_of(&self, nodes: &[Arc<Node>]) -> Result<Truncations, CallError> {
        let node = self.at(nodes);
        let nobody = || call::nonsense("system.local is empty");
        if self.info.product == Product::Scylla {
            let (local, records) = tokio::join!(
                node.rows::<(Uuid,)>("SELECT host_id FROM system.local WHERE key = 'local'", ()),
                node.rows::<(Uuid, Option<scylla::value::CqlTimestamp>)>(
                    "SELECT DISTINCT table_uuid, truncated_at FROM system.truncated",
                    (),
                ),
            );
            let (node,) = local?.pop().ok_or_else(nobody)?;
            let records = records?.into_iter().filter_map(|(table, at)| Some((table, at?.0.to_string())));
            return Ok(Truncations { node, records: records.collect() });
        }
        let local = "SELECT host_id, truncated_at FROM system.local WHERE key = 'local'";
        let mut local = node.rows::<(Uuid, Option<HashMap<Uuid, Vec<u8>>>)>(local, ()).await?;
        let (node, records) = local.pop().ok_or_else(nobody)?;
        let records = records.unwrap_or_default().into_iter().map(|(table, record)| (table, hex(&record)));
        Ok(Truncations { node, records: records.collect() })
    }

    /// The nodes of the own datacenter, those that are connected first; the `turn`-th of them before the others.
    fn nodes(&self, turn: u32) -> Vec<Arc<Node>> {
        let state = self.session.get_cluster_state();
        let own = |node: &&Arc<Node>| node.datacenter.as_deref() == Some(&self.info.datacenter);
        let mut nodes: Vec<Arc<Node>> = state.get_nodes_info().iter().filter(own).cloned().collect();
        nodes.sort_by_key(|node| (!node.is_connected(), node.host_id));
        let connected = nodes.iter().filter(|node| node.is_connected()).count();
        if connected > 0 {
            nodes[..connected].rotate_left(turn as usize % connected);
        }
        nodes
    }
}

impl Truncations {
    /// What is to be remembered of a table: by each node, its record, or nothing where it had none.
    pub fn of_table(all: &[Truncations], table: Uuid) -> BTreeMap<Uuid, String> {
        all.iter().map(|of_node| (of_node.node, of_node.records.get(&table).cloned().unwrap_or_default())).collect()
    }

    /// Whether a table was truncated since the record of [`Truncations::of_table`] was made, as far as this node can tell.
    pub fn is_new(&self, table: Uuid, since: &BTreeMap<Uuid, String>) -> bool {
        self.records.get(&table).zip(since.get(&self.node)).is_some_and(|(now, then)| now != then)
    }
}

/// Whether nobody will ever tell of truncations, as opposed to not now.
pub fn is_silent(error: &CallError) -> bool {
    matches!(error.class, Class::Rejected | Class::Unauthorized)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncation_is_new_where_the_same_node_has_another_record() {
        let (table, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let node = |node: u128, records: &[(Uuid, &str)]| Truncations {
            node: Uuid::from_u128(node),
            records: records.iter().map(|&(table, record)| (table, record.to_owned())).collect(),
        };
        let then = [node(10, &[(table, "a"), (other, "x")]), node(11, &[])];
        let since = Truncations::of_table(&then, table);
        assert!(!then.iter().any(|now| now.is_new(table, &since)));
        assert!(!node(10, &[(table, "a"), (other, "y")]).is_new(table, &since), "that was another table");
        assert!(node(10, &[(table, "b")]).is_new(table, &since));
        assert!(node(11, &[(table, "a")]).is_new(table, &since), "it had no record before");
        assert!(!node(12, &[(table, "b")]).is_new(table, &since), "nobody knows what this one said before");
        assert!(!node(10, &[]).is_new(table, &since), "a record that is gone tells nothing");
    }
}
