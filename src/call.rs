//! A call to a database that failed, and what that means.

use std::fmt;

/// What a failed call means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The server or the driver gave up waiting; the outcome of a write is unknown.
    Timeout,
    /// The server asks for less.
    Overloaded,
    /// Too few replicas are up, or no write is taken for now.
    Unavailable,
    /// The connection broke, or there is none.
    Connection,
    /// A replica failed while it worked on the request: too many tombstones, for one.
    Failure,
    /// The server will never take this request.
    Rejected,
    /// The role isn't allowed to do this.
    Unauthorized,
    /// An answer that makes no sense.
    Other,
}

impl Class {
    /// Whether the same call may succeed later.
    pub fn is_retryable(self) -> bool {
        !matches!(self, Class::Rejected | Class::Unauthorized)
    }

    /// Whether it may be the request's own fault, whatever state the cluster is in.
    pub fn may_be_the_request(self) -> bool {
        matches!(self, Class::Rejected | Class::Failure | Class::Other)
    }

    /// Whether it is the cluster's state that stands in the way, rather than the request.
    pub fn is_trouble(self) -> bool {
        matches!(self, Class::Timeout | Class::Overloaded | Class::Unavailable | Class::Connection)
    }

    /// In a word or two.
    pub fn words(self) -> &'static str {
        match self {
            Class::Timeout => "timeout",
            Class::Overloaded => "overloaded",
            Class::Unavailable => "replicas unavailable",
            Class::Connection => "connection",
            Class::Failure => "failure at a replica",
            Class::Rejected => "rejected",
            Class::Unauthorized => "not permitted",
            Class::Other => "unexpected answer",
        }
    }
}

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub struct CallError {
    /// What it means.
    pub class: Class,
    /// What the server or the driver said. Untrusted text.
    pub message: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.words(), self.message)
    }
}
