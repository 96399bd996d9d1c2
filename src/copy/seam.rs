//! The two seams of the copy: where pages come from and where batches go. The driver stands behind them in
//! [`crate::cluster`], memory in the tests.

use crate::ring::{Token, TokenRange};
use crate::row::group::Expired;
use crate::row::{Batch, Page};
use std::fmt;
use std::sync::Arc;

/// A place of pages: one table at the source.
pub trait Source: Send + Sync + 'static {
    /// One page of the scan of `read.range`.
    fn read_page(&self, read: &Read) -> impl Future<Output = Result<Fetched, CallError>> + Send;
}

/// A place for mutations: one table at the target.
pub trait Target: Send + Sync + 'static {
    /// Writes what of `batch` is alive at `now` (seconds since the Unix epoch). Returning `Ok` means that the target
    /// acknowledged every statement at the consistency level asked for. Writing twice must change nothing.
    fn write(&self, batch: &Batch, now: i64) -> impl Future<Output = Result<Expired, CallError>> + Send;

    /// Which tokens live on the same replicas, as of now; `None` where that isn't known.
    fn placement(&self) -> Option<Arc<dyn Placement>>;
}

/// Numbers the replica sets of a table.
pub trait Placement: Send + Sync {
    /// Equal numbers mean: the same replicas own both tokens.
    fn place(&self, token: Token) -> u32;
}

/// One request to read a page.
#[derive(Clone, Debug)]
pub struct Read {
    /// The tokens to scan.
    pub range: TokenRange,
    /// Where the page before this one ended.
    pub position: Position,
    /// How many rows are wanted.
    pub rows: i32,
    /// How often this page was tried before: each try may go to another replica.
    pub attempt: u32,
}

/// Where a page ended, in the server's own words. It is good for this scan in this process only: a paging state that is
/// replayed against another range answers wrong rows without an error, so it is never stored.
#[derive(Clone, Debug, Default)]
pub struct Position(pub Option<Arc<[u8]>>);

/// One page, and where to go on. No position is the end of the scan; an empty page is not.
#[derive(Debug)]
pub struct Fetched {
    /// The rows.
    pub page: Page,
    /// The place of the next page.
    pub next: Option<Position>,
}

/// What a failed call means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The server or the driver gave up waiting; the outcome of a write is unknown.
    Timeout,
    /// The server asks for less.
    Overloaded,
    /// Too few replicas are up.
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
