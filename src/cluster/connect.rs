//! Connecting: a session with this side's own settings, and what the cluster says of itself.

use super::tls::{self, TlsError};
use super::{Cluster, ClusterInfo, Product, consistency, query};
use crate::call::{CallError, Class};
use crate::ring::Token;
use crate::settings::Access;
use crate::settings::endpoint::TlsMode;
use crate::side::Side;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::client::{PoolSize, WriteCoalescingDelay};
use scylla::errors::{
    BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError,
    MetadataError, NewSessionError,
};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use secrecy::ExposeSecret;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A TCP connection and a handshake take no longer, or the host isn't there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Each connection is asked this often whether it is alive …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// … and broken when it hasn't said so by then: what hangs on a node that stands still fails, and goes to another one. Long
/// enough for a long collection of garbage, and for an answer behind pages that come in slowly.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(12);
/// A node that stands still is known by then, during a handshake too.
const SILENCE: Duration = KEEPALIVE_INTERVAL.saturating_add(KEEPALIVE_TIMEOUT);
/// A contact point that answers has done so by then, and its cluster is known, with a silent node among the others.
const SESSION_TIMEOUT: Duration = Duration::from_secs(22);
/// Contact points of which the first may be silent are asked one by one from then on.
const ALONE_AFTER: Duration = Duration::from_secs(5);
/// Well above the servers' own timeouts (2 to 10 s by default): a request that the client gives up first keeps its stream
/// id, and too many of those break the connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a cluster can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers.
    #[error("failed to connect to the {side} {hosts}: {why}")]
    Unreachable {
        /// Which side.
        side: Side,
        /// The contact points.
        hosts: String,
        /// The last error.
        why: String,
    },
    /// The user or the password is wrong, or missing.
    #[error("the {side} {hosts} doesn't let {} in: {why}", user.as_deref().unwrap_or("anybody without a user"))]
    Login {
        /// Which side.
        side: Side,
        /// The contact points.
        hosts: String,
        /// The role.
        user: Option<String>,
        /// The server's words.
        why: String,
    },
    /// Encryption fails.
    #[error("failed to encrypt the connection to the {side} {hosts}: {why}")]
    Encryption {
        /// Which side.
        side: Side,
        /// The contact points.
        hosts: String,
        /// What rustls says.
        why: String,
    },
    /// A certificate has expired, or isn't valid yet.
    #[error("failed to encrypt the connection to the {side} {hosts}: {why}")]
    Dates {
        /// Which side.
        side: Side,
        /// The contact points.
        hosts: String,
        /// Since when, or until when.
        why: String,
    },
    /// The files for encryption are wrong.
    #[error("the {side}'s encryption: {error}")]
    Tls {
        /// Which side.
        side: Side,
        /// What is wrong.
        error: TlsError,
    },
    /// It answers, but not what it should.
    #[error("failed to ask the {side} what it is: {error}")]
    Probe {
        /// Which side.
        side: Side,
        /// Why.
        error: CallError,
    },
    /// Nobody said which datacenter to use: any node of any of them would be asked.
    #[error("the {side} has several datacenters: {}", found.join(", "))]
    Datacenters {
        /// Which side.
        side: Side,
        /// What there is.
        found: Vec<String>,
    },
    /// The named datacenter isn't there.
    #[error("the {side} has no datacenter `{named}`: it has {}", found.join(", "))]
    Datacenter {
        /// Which side.
        side: Side,
        /// What the settings say.
        named: String,
        /// What there is.
        found: Vec<String>,
    },
}

impl ConnectError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConnectError::Unreachable { side, .. } => Some(format!(
                "check `--{side}`: the host, the port of the native protocol (9042 where none is given), and whether the port wants TLS (`cassandra://HOST/?tls=verify`)"
            )),
            ConnectError::Login { side, user: None, .. } => {
                Some(format!("name the user: `--{side} cassandra://USER@HOST`"))
            }
            ConnectError::Login { side, user: Some(_), .. } => Some(format!(
                "check the user in `--{side}` and the password (`--{side}-password-file`, `--{side}-password-command`, {})",
                side.password_variable()
            )),
            ConnectError::Encryption { side, .. } => Some(format!(
                "name the authority that signed the nodes' certificates with `ca=FILE` in `--{side}`, or, where the certificates \
                 don't carry the nodes' addresses, the name that they do carry with `tls-name=NAME`"
            )),
            ConnectError::Dates { .. } => Some(format!(
                "put certificates on the nodes that are valid now; if theirs should be, set this machine's clock, which says {}",
                jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
            )),
            ConnectError::Datacenter { side, .. } | ConnectError::Datacenters { side, .. } => {
                Some(format!("name one of these with `dc=` in `--{side}`"))
            }
            ConnectError::Probe { side, error } if error.class == Class::Connection => Some(format!(
                "the {side}'s nodes must be reachable from here at the address that they broadcast (`broadcast_rpc_address`, \
                 or `rpc_address`) and the port of `--{side}`: a port that is mapped or tunnelled isn't enough"
            )),
            ConnectError::Tls { .. } | ConnectError::Probe { .. } => None,
        }
    }

    /// Whether the settings are wrong, rather than the cluster.
    pub fn is_setting(&self) -> bool {
        matches!(self, ConnectError::Tls { .. } | ConnectError::Datacenter { .. } | ConnectError::Datacenters { .. })
    }
}

/// Connects to one side. `keyspaces` are those whose replication is needed.
///
/// # Errors
/// Where it can't be reached, doesn't let us in, or isn't understood.
pub async fn connect(side: Side, access: &Access, keyspaces: &[String]) -> Result<Cluster, ConnectError> {
    let endpoint = &access.endpoint;
    let tls = tls::config(&endpoint.tls).map_err(|error| ConnectError::Tls { side, error })?;
    let consistency = consistency(access.consistency);
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &endpoint.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone()).permit_dc_failover(false);
    }
    let profile = ExecutionProfile::builder()
        .consistency(consistency)
        .retry_policy(Arc::new(FallthroughRetryPolicy))
        .load_balancing_policy(policy.build())
        .request_timeout(Some(REQUEST_TIMEOUT))
        .build();
    let mut builder = SessionBuilder::new()
        .connection_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE_INTERVAL)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        // The kernel's own probes: a host that vanishes during a TLS handshake, which the driver waits for without end.
        .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
        .default_execution_profile_handle(profile.into_handle())
        .tls_context(tls)
        // One unreadable type anywhere in the schema would blind the session, and thousands of tables would slow its start.
        .fetch_full_schema_metadata(false)
        .keyspaces_to_fetch(keyspaces.iter().cloned())
        .write_coalescing_delay(WriteCoalescingDelay::SmallNondeterministic)
        .driver_config_reporting(false);
    if side == Side::Source {
        // Pages are large and each connection is served by one task.
        builder = builder.pool_size(PoolSize::PerHost(NonZeroUsize::MIN.saturating_add(1)));
    }
    if let (Some(user), Some(password)) = (&endpoint.user, &access.password) {
        builder = builder.user(user, password.expose_secret());
    }
    let session = open_session(side, access, &builder).await?;
    let info = probe(side, &session, endpoint.datacenter.as_deref()).await?;
    Ok(Cluster { side, info, user: endpoint.user.clone(), session: Arc::new(session), consistency, pinned: None })
}

/// Opens a session by all contact points together and, where that takes long, by each of them alone too: the driver asks one
/// after another, and waits for one that takes the connection and says nothing.
async fn open_session(side: Side, access: &Access, builder: &SessionBuilder) -> Result<Session, ConnectError> {
    let hosts: Vec<String> = access.endpoint.hosts.iter().map(ToString::to_string).collect();
    let attempt = |contact_points: &[String]| {
        let builder = builder.clone().known_nodes(contact_points);
        let session = async move { tokio::time::timeout(SESSION_TIMEOUT, builder.build()).await };
        Box::pin(async {
            match session.await {
                Ok(session) => session.map_err(|error| refused(side, access, &error)),
                Err(_) => Err(ConnectError::Unreachable { side, hosts: access.endpoint.to_string(), why: silence() }),
            }
        })
    };
    let mut together = attempt(&hosts);
    if hosts.len() == 1 {
        return together.await;
    }
    if let Ok(result) = tokio::time::timeout(ALONE_AFTER, &mut together).await {
        return result;
    }
    let attempts = std::iter::once(together).chain(hosts.chunks(1).map(attempt));
    futures::future::select_ok(attempts).await.map(|(session, _)| session)
}

fn silence() -> String {
    format!("no answer within {} s", SILENCE.as_secs())
}

async fn probe(side: Side, session: &Session, datacenter: Option<&str>) -> Result<ClusterInfo, ConnectError> {
    let fail = |error| ConnectError::Probe { side, error };
    let state = session.get_cluster_state();
    let mut datacenters: Vec<String> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.clone()).collect();
    datacenters.sort_unstable();
    datacenters.dedup();
    if datacenter.is_none() && datacenters.len() > 1 {
        return Err(ConnectError::Datacenters { side, found: datacenters });
    }
    // Before the first query: in a datacenter that isn't there, the driver finds no node to ask.
    if let Some(named) = datacenter
        && !datacenters.iter().any(|found| found == named)
    {
        return Err(ConnectError::Datacenter { side, named: named.to_owned(), found: datacenters });
    }
    let local = query::<(String, String, String, String, Uuid)>(
        session,
        "SELECT cluster_name, partitioner, release_version, data_center, host_id FROM system.local WHERE key = 'local'",
        (),
    );
    // Only ScyllaDB has this table; its `release_version` is a Cassandra version that it claims to be like.
    let scylla = query::<(String,)>(session, "SELECT version FROM system.versions WHERE key = 'local'", ());
    let (local, scylla) = tokio::join!(local, scylla);
    let (name, partitioner, release, local_datacenter, _) =
        local.map_err(fail)?.into_iter().next().ok_or_else(|| fail(super::call::nonsense("system.local is empty")))?;
    let (product, version) = match scylla.ok().and_then(|rows| rows.into_iter().next()) {
        Some((version,)) => (Product::Scylla, version),
        None => (Product::Cassandra, release),
    };
    Ok(ClusterInfo {
        product,
        version,
        name,
        datacenter: datacenter.map_or(local_datacenter, str::to_owned),
        partitioner: partitioner.rsplit('.').next().unwrap_or_default().to_owned(),
        host_ids: state.get_nodes_info().iter().map(|node| node.host_id).collect(),
        tokens: state.replica_locator().ring().iter().map(|(token, _)| Token(token.value())).collect(),
    })
}

fn refused(side: Side, access: &Access, error: &NewSessionError) -> ConnectError {
    let hosts = access.endpoint.to_string();
    let unreachable = |why: String| ConnectError::Unreachable { side, hosts: hosts.clone(), why };
    let last = match error {
        NewSessionError::FailedToResolveAnyHostname(names) => {
            return unreachable(format!("no address is known for {}", names.join(", ")));
        }
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
            last_connection_error,
        })) => last_connection_error,
        other => return unreachable(other.to_string()),
    };
    let login =
        |why: String| ConnectError::Login { side, hosts: hosts.clone(), user: access.endpoint.user.clone(), why };
    match last {
        ConnectionError::ConnectionSetupRequestError(setup) => match &setup.error {
            ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError | DbError::Unauthorized, words) => {
                login(words.clone())
            }
            ConnectionSetupRequestErrorKind::MissingAuthentication => {
                login("a user and a password are required".to_owned())
            }
            ConnectionSetupRequestErrorKind::BrokenConnection(error)
                if matches!(error.downcast_ref(), Some(BrokenConnectionErrorKind::KeepaliveTimeout(_))) =>
            {
                unreachable(silence())
            }
            ConnectionSetupRequestErrorKind::BrokenConnection(_) if access.endpoint.tls.mode == TlsMode::Off => {
                unreachable("the connection was closed during the handshake".to_owned())
            }
            other => unreachable(other.to_string()),
        },
        ConnectionError::IoError(io) if matches!(tls_error(io), Some(rustls::Error::InvalidMessage(_))) => {
            unreachable(format!("what answers there doesn't speak TLS ({io})"))
        }
        ConnectionError::IoError(io) if access.endpoint.tls.mode != TlsMode::Off && io.get_ref().is_some() => {
            match tls_error(io).and_then(tls::out_of_date) {
                Some(why) => ConnectError::Dates { side, hosts, why },
                None => ConnectError::Encryption { side, hosts, why: io.to_string() },
            }
        }
        other => unreachable(other.to_string()),
    }
}

fn tls_error(io: &std::io::Error) -> Option<&rustls::Error> {
    io.get_ref().and_then(|inner| inner.downcast_ref())
}
