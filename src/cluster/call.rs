//! What the driver's errors mean for the copy.

use crate::call::{CallError, Class};
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

/// The class of a failed execution, and the server's own words where it spoke.
#[expect(clippy::needless_pass_by_value, reason = "so that it fits behind `map_err`")]
pub(crate) fn classify(error: ExecutionError) -> CallError {
    let class = match &error {
        ExecutionError::LastAttemptError(attempt) => return of_attempt(attempt),
        ExecutionError::PrepareError(error) => return classify_prepare(error),
        ExecutionError::RequestTimeout(_) => Class::Timeout,
        ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan => Class::Connection,
        // What the driver can't even encode will not be encoded the next time.
        ExecutionError::BadQuery(_) => Class::Rejected,
        _ => Class::Other,
    };
    CallError { class, message: error.to_string() }
}

/// The class of a failed PREPARE.
pub(crate) fn classify_prepare(error: &PrepareError) -> CallError {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => of_attempt(first_attempt),
        PrepareError::ConnectionPoolError(error) => CallError { class: Class::Connection, message: error.to_string() },
        other => CallError { class: Class::Other, message: other.to_string() },
    }
}

/// An answer that isn't what was asked for.
pub(crate) fn nonsense(error: impl std::fmt::Display) -> CallError {
    CallError { class: Class::Other, message: error.to_string() }
}

fn of_attempt(attempt: &RequestAttemptError) -> CallError {
    let (class, message) = match attempt {
        RequestAttemptError::DbError(error, message) => (of_server(error, message), message.clone()),
        RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId => {
            (Class::Connection, attempt.to_string())
        }
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
            (Class::Rejected, attempt.to_string())
        }
        _ => (Class::Other, attempt.to_string()),
    };
    CallError { class, message }
}

/// How Cassandra (since 4.1) refuses whatever is written: for the state of the cluster's disks, or for the consistency level.
const REFUSES_ALL: [&str; 2] = ["Guardrail replica_disk_usage violated", "Guardrail write_consistency_levels violated"];

fn of_server(error: &DbError, message: &str) -> Class {
    match error {
        // No row is to blame, and an operator can change it.
        DbError::Invalid if REFUSES_ALL.iter().any(|words| message.starts_with(words)) => Class::Unavailable,
        DbError::ReadTimeout { .. } | DbError::WriteTimeout { .. } => Class::Timeout,
        DbError::Overloaded | DbError::RateLimitReached { .. } => Class::Overloaded,
        DbError::Unavailable { .. } | DbError::IsBootstrapping => Class::Unavailable,
        DbError::ReadFailure { .. } | DbError::WriteFailure { .. } => Class::Failure,
        DbError::SyntaxError | DbError::Invalid | DbError::ConfigError | DbError::AlreadyExists { .. } => {
            Class::Rejected
        }
        // Cassandra can't read what it keeps of roles (`CassandraAuthorizer`): nobody was refused anything yet.
        DbError::Unauthorized if message.starts_with("Unable to perform authorization") => Class::Unavailable,
        DbError::Unauthorized | DbError::AuthenticationError => Class::Unauthorized,
        // A server that is being restarted says odd things; what lasts is given up when patience ends.
        _ => Class::Other,
    }
}

/// Of a statement that was prepared before: a node that now lacks its table, or a column, lags behind the schema that the others agree
/// on, and is waited for. Where they agree that the table is gone, the guard ends the run.
pub(crate) fn waits_for_schema(error: CallError) -> CallError {
    if lacks_schema(&error) { CallError { class: Class::Unavailable, ..error } } else { error }
}

/// Whether the node says so: Cassandra before 4.0 and ScyllaDB, then Cassandra since.
fn lacks_schema(error: &CallError) -> bool {
    let CallError { class, message } = error;
    let words = ["unconfigured table ", "Unknown identifier ", "Undefined column name "];
    *class == Class::Rejected
        && (words.iter().any(|words| message.starts_with(words)) || message.ends_with(" does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scylla::statement::Consistency;

    fn class_in_words(error: DbError, words: &str) -> Class {
        classify(ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, words.to_owned()))).class
    }

    fn class(error: DbError) -> Class {
        class_in_words(error, "words")
    }

    #[test]
    fn a_guardrail_against_all_writes_rejects_no_row() {
        let full =
            "Guardrail replica_disk_usage violated: Write request failed because disk usage exceeds failure threshold";
        let level = "Guardrail write_consistency_levels violated: Provided values [LOCAL_QUORUM] are not allowed";
        for words in [full, level] {
            assert_eq!(class_in_words(DbError::Invalid, words), Class::Unavailable, "{words}");
        }
        let large = "Guardrail column_value_size violated: Value of column 'v' has size 2MiB";
        assert_eq!(class_in_words(DbError::Invalid, large), Class::Rejected);
    }

    #[test]
    fn a_node_without_the_table_is_known_by_its_words() {
        let lacks = |class, words: &str| lacks_schema(&CallError { class, message: words.to_owned() });
        for words in [
            "unconfigured table t",
            "table t does not exist",
            "keyspace ks does not exist",
            "Undefined column name v in table ks.t",
            "Unknown identifier v",
        ] {
            assert!(lacks(Class::Rejected, words), "{words}");
        }
        assert!(!lacks(Class::Rejected, "Key may not be empty"));
        assert!(!lacks(Class::Unavailable, "table t does not exist"), "it is waited for already");
    }

    #[test]
    fn each_answer_has_its_class() {
        let consistency = Consistency::LocalQuorum;
        assert_eq!(class(DbError::Overloaded), Class::Overloaded);
        assert_eq!(class(DbError::Unavailable { consistency, required: 2, alive: 1 }), Class::Unavailable);
        assert_eq!(
            class(DbError::ReadTimeout { consistency, received: 1, required: 2, data_present: true }),
            Class::Timeout
        );
        assert_eq!(
            class(DbError::ReadFailure { consistency, received: 0, required: 1, numfailures: 1, data_present: false }),
            Class::Failure
        );
        assert_eq!(class(DbError::Invalid), Class::Rejected);
        assert_eq!(class(DbError::Unauthorized), Class::Unauthorized);
        let unread = "Unable to perform authorization of permissions: Unable to perform authorization of super-user \
                      permission: Cannot achieve consistency level LOCAL_ONE";
        assert_eq!(class_in_words(DbError::Unauthorized, unread), Class::Unavailable);
        assert_eq!(class(DbError::ServerError), Class::Other);
        assert!(Class::Other.is_retryable() && !Class::Rejected.is_retryable());
        assert_eq!(classify(ExecutionError::EmptyPlan).class, Class::Connection);
    }
}
