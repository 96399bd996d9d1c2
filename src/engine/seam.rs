//! The two seams of the copy: where pages come from and where batches go. The driver stands behind them in
//! [`crate::cluster`], memory in the tests.

use crate::call::CallError;
use crate::clock::Clock;
use crate::ring::{Token, TokenRange};
use crate::row::slice::Cut;
use crate::row::{Batch, Page, Removal, Settled};
use crate::side::Nodes;
use std::sync::Arc;

/// A place of pages: one table at the source.
pub trait Source: Send + Sync + 'static {
    /// One page of `read.scan`.
    fn read_page(&self, read: &Read) -> impl Future<Output = Result<Fetched, CallError>> + Send;

    /// The nodes that it talks to, as of now; `None` where there are none.
    fn nodes(&self) -> Option<Nodes> {
        None
    }

    /// A place inside a slice, so that both parts are smaller; `None` where none can be told.
    fn bisect(&self, slice: &Slice) -> Option<Cut>;

    /// Whether partitions have static columns.
    fn has_statics(&self) -> bool;

    /// What is in a scan, for people. Untrusted text.
    fn describe(&self, scan: &Scan) -> String;

    /// What an operator can do about tokens that can't be read. Untrusted text.
    fn remedy(&self, range: TokenRange) -> String;
}

/// A place for mutations: one table at the target.
pub trait Target: Send + Sync + 'static {
    /// Resolves when `batch` may be written, after `tries` that [`Target::write`] is to be told of, too. Nothing is asked of the
    /// target meanwhile.
    fn ready(&self, batch: &Batch, tries: u32) -> impl Future<Output = ()> + Send;

    /// Writes what of `batch` is alive at the time of sending. Returning `Ok` means that the target acknowledged every
    /// statement at the consistency level asked for; the answer counts what was not simply written. Writing twice must change
    /// nothing: `tries` says how often it was tried before, alone or with others, with an outcome that may be unknown.
    fn write(&self, batch: &Batch, clock: Clock, tries: u32)
    -> impl Future<Output = Result<Settled, CallError>> + Send;

    /// Deletes what `removal` says, with its timestamp. Deleting twice must change nothing.
    fn delete(&self, removal: &Removal) -> impl Future<Output = Result<(), CallError>> + Send;

    /// What a write of `batch` takes of memory while it is under way, beside the batch: at most so many bytes.
    fn in_flight(&self, batch: &Batch) -> usize;

    /// Whether the table still is what it was when it was prepared: a row that is refused may only then be laid to the row.
    fn is_unchanged(&self) -> impl Future<Output = Result<bool, CallError>> + Send;

    /// Which tokens live on the same replicas, as of now; `None` where that isn't known.
    fn placement(&self) -> Option<Arc<dyn Placement>>;

    /// The nodes that it talks to, as of now; `None` where there are none.
    fn nodes(&self) -> Option<Nodes> {
        None
    }
}

/// Numbers the replica sets of a table.
pub trait Placement: Send + Sync {
    /// Equal numbers mean: the same replicas own both tokens.
    fn place(&self, token: Token) -> u32;
}

/// What is to be read, in an order of its own. The first two of these have rows in the order of tokens, partitions and
/// clustering keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All rows of some tokens.
    Tokens(TokenRange),
    /// Some rows of one token.
    Slice(Slice),
    /// The first row of each partition of a token, with its statics.
    FirstRows(Token),
    /// The first row of each partition in a slice of all of them, which come in the order of keys within each leg of it.
    FirstRowsOf(Slice),
}

/// Rows between two places in the order of clustering keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Of which partitions.
    pub of: Partitions,
    /// Rows behind this …
    pub from: Cut,
    /// … and before this.
    pub to: Cut,
    /// From the last row to the first one.
    pub reversed: bool,
}

/// Which partitions of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// Whichever there are. Where only slices of them can be read, statics come with rows alone.
    All(Token),
    /// The one of this key. From the first place to the last, its statics come even without rows.
    One(Token, Arc<Vec<Vec<u8>>>),
}

impl Scan {
    /// The tokens of its rows.
    pub fn range(&self) -> TokenRange {
        match self {
            Scan::Tokens(range) => *range,
            Scan::Slice(slice) | Scan::FirstRowsOf(slice) => TokenRange::of(slice.token()),
            Scan::FirstRows(token) => TokenRange::of(*token),
        }
    }

    /// Whether, read one after another, such scans have their rows in the order of keys, whatever the token holds.
    pub fn is_ordered(&self) -> bool {
        match self {
            Scan::Tokens(_) => true,
            Scan::Slice(slice) => !slice.reversed && matches!(slice.of, Partitions::One(..)),
            Scan::FirstRows(_) | Scan::FirstRowsOf(_) => false,
        }
    }
}

impl Slice {
    /// All rows of some partitions.
    pub fn whole(of: Partitions) -> Slice {
        Slice { of, from: Cut::START, to: Cut::END, reversed: false }
    }

    /// The token of its partitions.
    pub fn token(&self) -> Token {
        let (Partitions::All(token) | Partitions::One(token, _)) = self.of;
        token
    }
}

/// One request to read a page.
#[derive(Clone, Debug)]
pub struct Read {
    /// What to read.
    pub scan: Scan,
    /// Where the page before this one ended.
    pub position: Position,
    /// How many rows are wanted.
    pub rows: i32,
    /// Each time that a page is tried, and that rows are looked at again, this is another number, and may go to another replica.
    pub turn: u32,
}

/// Where a page ended, in the server's own words. It is good for this scan in this process only: a paging state that is
/// replayed against another range answers wrong rows without an error, so it is never stored.
#[derive(Clone, Debug, Default)]
pub struct Position {
    /// Which of the requests that the scan comes to.
    pub leg: usize,
    /// The paging state of that request; none at its beginning.
    pub state: Option<Arc<[u8]>>,
}

impl Position {
    /// Whether nothing of the scan was read yet.
    pub fn is_start(&self) -> bool {
        self.leg == 0 && self.state.is_none()
    }
}

/// One page, and where to go on. No position is the end of the scan; an empty page is not.
#[derive(Debug)]
pub struct Fetched {
    /// The rows.
    pub page: Page,
    /// The place of the next page.
    pub next: Option<Position>,
}
