//! Everything that can be known before the first row: are both sides there, apart, and fit for each other; may we read and
//! write; does every column arrive exactly. Nothing is written.

use crate::call::{CallError, Class};
use crate::cluster::{self, Cluster, ConnectError, CqlSource, CqlTarget};
use crate::copy::retry::{GaveUp, with_retries};
use crate::copy::seam::{Position, Read, Source};
use crate::escape::safe;
use crate::event::{Event, Events};
use crate::job::Job;
use crate::ring::{Token, TokenRange};
use crate::schema::compare::{Difference, compare};
use crate::schema::fidelity::{Fidelity, Kept, fidelity};
use crate::schema::read::{ReadError, read_table};
use crate::schema::{Table, TableName};
use crate::settings::{Patience, Settings};
use crate::shutdown::Stop;
use crate::side::Side;
use crate::table_options;
use std::time::Duration;

/// Before the first row, an operator waits.
const PATIENCE: Patience = Patience { give_up_after: Duration::from_secs(5) };

/// Both sides, ready.
#[derive(Debug)]
pub struct Ready {
    /// The cluster to read.
    pub source: Cluster,
    /// The cluster to write.
    pub target: Cluster,
    /// The tables, in the settings' order.
    pub tables: Vec<ReadyTable>,
}

/// A table that can be copied exactly.
#[derive(Debug)]
pub struct ReadyTable {
    /// As the source describes it.
    pub source: Table,
    /// As the target describes it.
    pub target: Table,
    /// Reads it.
    pub reader: CqlSource,
    /// Writes it.
    pub writer: CqlTarget,
    /// What is kept of each column.
    pub fidelity: Vec<Fidelity>,
}

/// Why the copy can't begin.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// A side can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Both sides are one cluster.
    #[error("source and target are the same cluster `{name}`: copying a table onto itself is refused")]
    SameCluster {
        /// The cluster's name.
        name: String,
    },
    /// Tokens of another kind.
    #[error("the {side} uses {partitioner}: only Murmur3Partitioner is supported")]
    Partitioner {
        /// Which side.
        side: Side,
        /// Its class.
        partitioner: String,
    },
    /// No such table.
    #[error("there is no table {table} at the {side}")]
    NoTable {
        /// Which side.
        side: Side,
        /// The name.
        table: TableName,
    },
    /// A view has no rows of its own.
    #[error("{table} is a materialized view at the {side}: its rows come from its base table")]
    View {
        /// Which side.
        side: Side,
        /// The name.
        table: TableName,
    },
    /// The tables aren't alike.
    #[error("the columns of {source_table} at the source and {target_table} at the target differ{}", list(differences))]
    Differ {
        /// At the source.
        source_table: TableName,
        /// At the target.
        target_table: TableName,
        /// Each column that differs.
        differences: Vec<Difference>,
    },
    /// Some columns can't be copied exactly.
    #[error("{table} can't be copied exactly yet{}", list(&refused(columns)))]
    Inexact {
        /// The table at the source.
        table: TableName,
        /// All of its columns.
        columns: Vec<Fidelity>,
    },
    /// The role isn't allowed to.
    #[error("the role `{role}` may not {verb} {table} at the {side}: {message}")]
    Permission {
        /// Which side.
        side: Side,
        /// The role.
        role: String,
        /// `read` or `write`.
        verb: &'static str,
        /// The table.
        table: TableName,
        /// The server's words.
        message: String,
        /// What an administrator types.
        grant: String,
    },
    /// The table's description isn't understood.
    #[error("failed to read the description of {table} at the {side}: {error}")]
    Schema {
        /// Which side.
        side: Side,
        /// The table.
        table: TableName,
        /// Why.
        error: ReadError,
    },
    /// A table isn't what it was when the copy began.
    #[error("{table} was changed at the {side} while it was copied: {what}")]
    Changed {
        /// Which side.
        side: Side,
        /// The table.
        table: TableName,
        /// What changed.
        what: &'static str,
    },
    /// A statement is refused.
    #[error("failed to try {table} at the {side}: {error}")]
    Try {
        /// Which side.
        side: Side,
        /// The table.
        table: TableName,
        /// Why.
        error: CallError,
    },
}

fn list<T: std::fmt::Display>(lines: &[T]) -> String {
    use std::fmt::Write;
    lines.iter().fold(String::new(), |mut text, line| {
        // Names are anybody's text: one with a line break in it must not look like a line of ours.
        let _ = write!(text, "\n  {}", safe(&line.to_string()));
        text
    })
}

fn refused(columns: &[Fidelity]) -> Vec<String> {
    let refused = columns.iter().filter(|column| matches!(column.kept, Kept::Refused(_)));
    refused.map(|column| format!("{} {} is {}", column.column, column.cql_type, column.kept.words())).collect()
}

impl PreflightError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            PreflightError::Connect(error) => error.hint(),
            PreflightError::SameCluster { .. } => Some("check `--source` and `--target`".to_owned()),
            PreflightError::NoTable { side: Side::Target, .. } => Some(
                "create it at the target first: `migrate schema --source … --target … --table KEYSPACE.TABLE --apply`"
                    .to_owned(),
            ),
            PreflightError::NoTable { side: Side::Source, .. } => Some(
                "check `--table KEYSPACE.TABLE`: names are taken as they are, upper and lower case apart".to_owned(),
            ),
            PreflightError::View { .. } => Some("copy the base table; the target builds its own view".to_owned()),
            PreflightError::Differ { .. } => Some("make the target's table like the source's".to_owned()),
            PreflightError::Permission { grant, .. } => Some(format!("let an administrator run: {grant}")),
            PreflightError::Changed { .. } => Some(
                "rows may be missing: begin anew with `--restart`; copying again changes nothing that was copied"
                    .to_owned(),
            ),
            PreflightError::Partitioner { .. }
            | PreflightError::Inexact { .. }
            | PreflightError::Schema { .. }
            | PreflightError::Try { .. } => None,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            PreflightError::Connect(error) if error.is_setting() => 2,
            PreflightError::Connect(_) | PreflightError::Permission { .. } => 6,
            PreflightError::Try { error, .. } | PreflightError::Schema { error: ReadError::Call(error), .. }
                if error.class.is_trouble() =>
            {
                6
            }
            PreflightError::SameCluster { .. }
            | PreflightError::Partitioner { .. }
            | PreflightError::NoTable { .. }
            | PreflightError::View { .. }
            | PreflightError::Differ { .. }
            | PreflightError::Changed { .. }
            | PreflightError::Inexact { .. }
            | PreflightError::Schema { error: ReadError::Type(_), .. } => 5,
            PreflightError::Schema { .. } | PreflightError::Try { .. } => 1,
        }
    }
}

/// Looks at both sides and at every table of the job.
///
/// # Errors
/// The first thing that stands in the way.
pub async fn preflight(settings: &Settings, events: &Events) -> Result<Ready, PreflightError> {
    let keyspaces = |of: fn(&crate::settings::units::TableMapping) -> &TableName| {
        settings.tables.iter().map(|table| of(table).keyspace.clone()).collect::<Vec<_>>()
    };
    let (of_source, of_target) = (keyspaces(|table| &table.source), keyspaces(|table| &table.target));
    let (source, target) = tokio::join!(
        cluster::connect(Side::Source, &settings.source, &of_source),
        cluster::connect(Side::Target, &settings.target, &of_target),
    );
    let (source, target) = (source?, target?);
    for side in settings.insecure_sides() {
        let message =
            format!("the {side}'s certificate isn't checked (tls=insecure): anybody in between can read along");
        events.emit(Event::Warning { message });
    }
    for cluster in [&source, &target] {
        events.emit(connected(cluster));
        if cluster.info.partitioner != "Murmur3Partitioner" {
            let partitioner = cluster.info.partitioner.clone();
            return Err(PreflightError::Partitioner { side: cluster.side, partitioner });
        }
    }
    if source.info.host_ids.iter().any(|id| target.info.host_ids.contains(id)) {
        return Err(PreflightError::SameCluster { name: source.info.name });
    }
    let mut tables = Vec::with_capacity(settings.tables.len());
    for mapping in &settings.tables {
        tables.push(Box::pin(ready(&source, &target, &mapping.source, &mapping.target, events)).await?);
    }
    let targets = tables.iter().map(|table| &table.target.name);
    table_options::warn(&target, targets, settings.manage_table_options, events).await;
    Ok(Ready { source, target, tables })
}

/// Makes sure that the tables of `job` are still what they were: a table that was dropped and created again has lost what
/// was copied before, and a column that was added was not copied. A `TRUNCATE` leaves no trace to be seen here.
///
/// # Errors
/// The first thing that changed.
pub async fn unchanged(
    source: &Cluster,
    target: &Cluster,
    job: &Job,
    patience: Patience,
    events: &Events,
) -> Result<(), PreflightError> {
    for known in &job.tables {
        for (cluster, table, id) in [(source, &known.source, known.source_id), (target, &known.target, known.target_id)]
        {
            let found = describe(cluster, table, patience, events).await?;
            let changed = |what| Err(PreflightError::Changed { side: cluster.side, table: table.clone(), what });
            if found.id != id {
                return changed("it was dropped and created again");
            }
            if cluster.side == Side::Source && found.description() != known.columns {
                return changed("its columns are others");
            }
        }
    }
    Ok(())
}

fn connected(cluster: &Cluster) -> Event {
    let info = &cluster.info;
    Event::Connected {
        side: cluster.side,
        product: info.product.name(),
        version: info.version.clone(),
        cluster: info.name.clone(),
        datacenter: info.datacenter.clone(),
        nodes: info.host_ids.len(),
    }
}

async fn ready(
    source: &Cluster,
    target: &Cluster,
    from: &TableName,
    to: &TableName,
    events: &Events,
) -> Result<ReadyTable, PreflightError> {
    let (source_table, target_table) =
        tokio::join!(describe(source, from, PATIENCE, events), describe(target, to, PATIENCE, events));
    let (source_table, target_table) = (source_table?, target_table?);
    let columns = fidelity(&source_table);
    if columns.iter().any(|column| matches!(column.kept, Kept::Refused(_))) {
        return Err(PreflightError::Inexact { table: from.clone(), columns });
    }
    let differences = compare(&source_table, &target_table);
    if !differences.is_empty() {
        let (source_table, target_table) = (from.clone(), to.clone());
        return Err(PreflightError::Differ { source_table, target_table, differences });
    }
    let (reader, writer) =
        tokio::join!(try_read(source, &source_table, events), try_write(target, &target_table, events));
    Ok(ReadyTable { reader: reader?, writer: writer?, source: source_table, target: target_table, fidelity: columns })
}

async fn describe(
    cluster: &Cluster,
    name: &TableName,
    patience: Patience,
    events: &Events,
) -> Result<Table, PreflightError> {
    let (side, table) = (cluster.side, name.clone());
    let read = || async {
        match Box::pin(read_table(cluster, name)).await {
            Err(ReadError::Call(error)) => Err(error),
            answer => Ok(answer),
        }
    };
    match patiently(cluster, patience, events, read).await.unwrap_or_else(|error| Err(error.into())) {
        Err(error) => Err(PreflightError::Schema { side, table, error }),
        Ok(None) => Err(PreflightError::NoTable { side, table }),
        Ok(Some(found)) if found.is_view => Err(PreflightError::View { side, table }),
        Ok(Some(found)) => Ok(found),
    }
}

/// Prepares the scan and reads one token's worth of it.
async fn try_read(cluster: &Cluster, table: &Table, events: &Events) -> Result<CqlSource, PreflightError> {
    let refused = |error| refusal(cluster, &table.name, "read", "SELECT", error);
    let reader = patiently(cluster, PATIENCE, events, || CqlSource::prepare(cluster, table)).await.map_err(refused)?;
    let range = TokenRange::new(Token(0), Token(0)).expect("one token is a range");
    let read = Read { range, position: Position::default(), rows: 1, attempt: 0 };
    patiently(cluster, PATIENCE, events, || reader.read_page(&read)).await.map_err(refused)?;
    Ok(reader)
}

/// Prepares the writes and tries one that can't succeed.
async fn try_write(cluster: &Cluster, table: &Table, events: &Events) -> Result<CqlTarget, PreflightError> {
    let refused = |error| refusal(cluster, &table.name, "write", "MODIFY", error);
    let writer = patiently(cluster, PATIENCE, events, || CqlTarget::prepare(cluster, table)).await.map_err(refused)?;
    match patiently(cluster, PATIENCE, events, || writer.probe_permission()).await {
        Err(error) if error.class != Class::Rejected => Err(refused(error)),
        _ => Ok(writer),
    }
}

/// A call that fails for a moment is no reason not to begin.
async fn patiently<T, F: Future<Output = Result<T, CallError>>>(
    cluster: &Cluster,
    patience: Patience,
    events: &Events,
    mut call: impl FnMut() -> F,
) -> Result<T, CallError> {
    match with_retries(cluster.side, patience, events, &Stop::default(), |_| call()).await {
        Ok(value) => Ok(value),
        Err(GaveUp::Failed(error, _)) => Err(error),
        Err(GaveUp::Stopped) => Err(CallError { class: Class::Other, message: "stopped".to_owned() }),
    }
}

fn refusal(
    cluster: &Cluster,
    table: &TableName,
    verb: &'static str,
    permission: &str,
    error: CallError,
) -> PreflightError {
    let (side, table) = (cluster.side, table.clone());
    if error.class != Class::Unauthorized {
        return PreflightError::Try { side, table, error };
    }
    let role = cluster.user.clone().unwrap_or_else(|| "anonymous".to_owned());
    let grant = format!("GRANT {permission} ON TABLE {} TO {};", table.cql(), crate::schema::statements::quote(&role));
    PreflightError::Permission { side, role, verb, table, message: error.message, grant }
}
