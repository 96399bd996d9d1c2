//! Statements of the tests, tried again while a node stands still: its disk, its processors, its memory.
//!
//! What was never executed is always tried again. What may have taken effect is, unless that would make a difference.

#![allow(dead_code, unreachable_pub, missing_docs)] // Several programs include this; none uses all of it, none exports it.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError};
use scylla::frame::response::result::{CollectionType, ColumnType, NativeType};
use scylla::statement::prepared::PreparedStatement;
use std::time::{Duration, Instant};

/// A node that stands still for longer is dead.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);

/// A session with the node; where nothing listens there at all, an error at once.
pub async fn session(builder: SessionBuilder) -> Result<Session, NewSessionError> {
    let builder = builder.connection_timeout(Duration::from_secs(60));
    let started = Instant::now();
    loop {
        match builder.build().await {
            Err(error) if started.elapsed() < PATIENCE && !error.to_string().contains("refused") => {}
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Runs a statement without values.
pub async fn run(session: &Session, cql: &str) -> Result<(), ExecutionError> {
    let attempt = |number| async move {
        match session.query_unpaged(cql, ()).await {
            Err(error) if number > 1 && took_effect(cql, &error) => Ok(()),
            result => result.map(drop),
        }
    };
    again(may_repeat(cql), attempt).await
}

/// Prepares a statement.
pub async fn prepare(session: &Session, cql: &str) -> Result<PreparedStatement, ExecutionError> {
    again(true, |_| async { session.prepare(cql).await.map_err(ExecutionError::from) }).await
}

/// Makes attempts, the first of which is number 1, until one tells more than that the node is busy. `may_repeat`: also after
/// one that may have taken effect.
pub async fn again<T, F>(may_repeat: bool, mut attempt: impl FnMut(u32) -> F) -> Result<T, ExecutionError>
where
    F: Future<Output = Result<T, ExecutionError>>,
{
    let started = Instant::now();
    let mut number = 1;
    loop {
        match attempt(number).await {
            Err(error) if started.elapsed() < PATIENCE && is_passing(&error, may_repeat) => {}
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
        number += 1;
    }
}

/// Whether a statement has the same effect when it is executed twice. Elements of a list would be there twice, and counters
/// would count twice; what is bound to a `?` is judged by [`may_repeat_prepared`].
pub fn may_repeat(cql: &str) -> bool {
    let adds = |part: &str| !part.starts_with(['{', '?']);
    !cql.contains('[') && !cql.split(" + ").skip(1).any(adds)
}

/// The same for a prepared statement.
pub fn may_repeat_prepared(statement: &PreparedStatement) -> bool {
    let adds = |of: &ColumnType<'_>| match of {
        ColumnType::Native(NativeType::Counter) => true,
        ColumnType::Collection { frozen, typ } => !frozen && matches!(typ, CollectionType::List(_)),
        _ => false,
    };
    may_repeat(statement.get_statement())
        && !statement.get_variable_col_specs().as_slice().iter().any(|column| adds(column.typ()))
}

/// Whether an attempt failed because the node is busy, and another may be made.
fn is_passing(error: &ExecutionError, may_repeat: bool) -> bool {
    match error {
        ExecutionError::ConnectionPoolError(_) | ExecutionError::PrepareError(PrepareError::ConnectionPoolError(_)) => {
            true
        }
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => {
            is_passing_attempt(first_attempt, true)
        }
        ExecutionError::LastAttemptError(error) => is_passing_attempt(error, may_repeat),
        ExecutionError::RequestTimeout(_)
        | ExecutionError::SchemaAgreementError(_)
        | ExecutionError::MetadataError(_) => may_repeat,
        _ => false,
    }
}

fn is_passing_attempt(error: &RequestAttemptError, may_repeat: bool) -> bool {
    match error {
        RequestAttemptError::DbError(error, _) => match error {
            DbError::Overloaded | DbError::IsBootstrapping | DbError::Unavailable { .. } => true,
            DbError::ReadTimeout { .. } | DbError::WriteTimeout { .. } | DbError::TruncateError => may_repeat,
            _ => false,
        },
        RequestAttemptError::UnableToAllocStreamId => true,
        RequestAttemptError::BrokenConnectionError(_) => may_repeat,
        _ => false,
    }
}

/// Whether a definition is refused because an earlier attempt, whose outcome nobody knew, has made it.
fn took_effect(cql: &str, error: &ExecutionError) -> bool {
    let said = error.to_string();
    match cql.split_whitespace().next() {
        Some("CREATE" | "ALTER") => said.contains("already exist"),
        Some("DROP") => {
            said.contains("doesn't exist") || said.contains("does not exist") || said.contains("unconfigured")
        }
        _ => false,
    }
}
