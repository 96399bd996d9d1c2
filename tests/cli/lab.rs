//! The real nodes, and what tests make on them: a keyspace and roles of their own, dropped at the end.

use crate::again::{self, again};
use crate::tool::{Answer, Tool};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::response::query_result::QueryRowsResult;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

pub(crate) const SOURCE: &str = "127.0.0.1";
pub(crate) const TARGET: &str = "127.0.0.2";
/// Wants a login, checks permissions, speaks TLS and plaintext on the same port.
pub(crate) const SECURE: &str = "127.0.0.3";

/// The superuser of [`SECURE`] and its password.
pub(crate) const ADMIN: &str = "cassandra";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// A CQL session.
pub(crate) struct Node(Session);

impl Node {
    fn connect(address: &str) -> Node {
        let profile = ExecutionProfile::builder().request_timeout(Some(Duration::from_secs(90))).build();
        let builder = SessionBuilder::new()
            .known_node(address)
            .user(ADMIN, ADMIN)
            .default_execution_profile_handle(profile.into_handle())
            .fetch_schema_metadata(false);
        Node(RUNTIME.block_on(again::session(builder)).unwrap_or_else(|error| panic!("{address}: {error}")))
    }

    /// Runs one statement.
    pub(crate) fn cql(&self, statement: &str) {
        RUNTIME.block_on(again::run(&self.0, statement)).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The rows of a SELECT.
    pub(crate) fn select(&self, statement: &str) -> QueryRowsResult {
        let result = RUNTIME.block_on(again(true, |_| self.0.query_unpaged(statement, ())));
        result.unwrap_or_else(|error| panic!("{statement}: {error}")).into_rows_result().unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        self.select(&format!("SELECT count(*) FROM {table}")).single_row::<(i64,)>().unwrap().0
    }
}

/// What one test has on the nodes.
pub(crate) struct Lab {
    pub(crate) source: Node,
    pub(crate) target: Node,
    pub(crate) secure: Node,
    /// On all three nodes.
    pub(crate) keyspace: String,
    roles: Vec<String>,
}

impl Lab {
    /// `name` is part of the keyspace's. `None` where the tests are to do without nodes.
    pub(crate) fn new(name: &str) -> Option<Lab> {
        if std::env::var_os("MIGRATE_TEST_CLUSTER").is_none_or(|value| value != "1") {
            eprintln!("skipped: MIGRATE_TEST_CLUSTER=1 lets it ask the nodes of scripts/cluster");
            return None;
        }
        let keyspace = format!("cli_{name}_{}", std::process::id());
        let [source, target, secure] = [SOURCE, TARGET, SECURE].map(Node::connect);
        let lab = Lab { source, target, secure, keyspace, roles: Vec::new() };
        for node in lab.nodes() {
            let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
            node.cql(&format!("CREATE KEYSPACE {} WITH replication = {replication}", lab.keyspace));
        }
        Some(lab)
    }

    fn nodes(&self) -> [&Node; 3] {
        [&self.source, &self.target, &self.secure]
    }

    /// `KEYSPACE.NAME`.
    pub(crate) fn table(&self, name: &str) -> String {
        format!("{}.{name}", self.keyspace)
    }

    /// The same table on these nodes.
    pub(crate) fn create(&self, nodes: &[&Node], name: &str, columns: &str) {
        for node in nodes {
            node.cql(&format!("CREATE TABLE {} ({columns})", self.table(name)));
        }
    }

    /// A table `t (id int, v text)` on all nodes, with some rows on those that may be sources.
    pub(crate) fn usual(&self) -> String {
        self.create(&self.nodes(), "t", "id int PRIMARY KEY, v text");
        for id in 0..ROWS {
            for node in [&self.source, &self.secure] {
                node.cql(&format!("INSERT INTO {} (id, v) VALUES ({id}, 'v')", self.table("t")));
            }
        }
        self.table("t")
    }

    /// A role of the secure node that may do nothing yet.
    pub(crate) fn role(&mut self, name: &str, password: &str) -> String {
        let role = format!("{name}_{}", std::process::id());
        self.secure.cql(&format!("CREATE ROLE {role} WITH PASSWORD = '{password}' AND LOGIN = true"));
        self.roles.push(role.clone());
        role
    }

    /// A call in whose answers the keyspace is `KS`.
    pub(crate) fn tool(&self) -> Tool {
        Tool::new().hide(&self.keyspace, "KS")
    }

    /// `migrate plan` of the usual table between these two.
    pub(crate) fn plan(&self, source: &str, target: &str) -> Answer {
        self.plan_with(&[("MIGRATE_SOURCE_PASSWORD", ADMIN), ("MIGRATE_TARGET_PASSWORD", ADMIN)], source, target, &[])
    }

    pub(crate) fn plan_with(&self, environment: &[(&str, &str)], source: &str, target: &str, more: &[&str]) -> Answer {
        let table = self.table("t");
        let call = [&["plan", "--source", source, "--target", target, "--table", &table], more].concat();
        self.tool().run_with(environment, &call)
    }
}

pub(crate) const ROWS: i64 = 20;

impl Drop for Lab {
    fn drop(&mut self) {
        let drop = |node: &Node, cql: String| {
            if let Err(error) = RUNTIME.block_on(again::run(&node.0, &cql)) {
                eprintln!("{cql}: {error}");
            }
        };
        for node in self.nodes() {
            drop(node, format!("DROP KEYSPACE IF EXISTS {}", self.keyspace));
        }
        for role in &self.roles {
            drop(&self.secure, format!("DROP ROLE IF EXISTS {role}"));
        }
    }
}

/// The paths that `scripts/cluster env` prints, percent-encoded as far as a URL needs it.
pub(crate) fn tls_file(variable: &str) -> String {
    static FILES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster");
        let output = std::process::Command::new(script).arg("env").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let pair =
            |line: &str| line.strip_prefix("export ")?.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        text.lines().filter_map(pair).collect()
    });
    FILES[variable].clone()
}

/// Asks again until the answer is right: what a node caches becomes true some seconds later.
pub(crate) fn eventually(mut call: impl FnMut() -> Answer, right: impl Fn(&Answer) -> bool) -> Answer {
    let started = Instant::now();
    loop {
        let answer = call();
        if right(&answer) {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
