//! Mutations that travel together.

use super::bind::Bound;
use super::key::RowKey;
use super::layout::Part;
use super::statement::{Form, Notes, Rows, Statement};
use crate::ring::Token;
use std::ops::AddAssign;
use std::sync::Arc;

/// Some neighbouring rows of one page, and their statements.
#[derive(Clone, Debug)]
pub struct Batch {
    rows: Arc<Rows>,
    extent: Extent,
}

/// Where a batch lies in its page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Statements of the page: from, to.
    pub(super) statements: (usize, usize),
    /// Rows of the page: from, to.
    pub(super) span: (usize, usize),
    pub(super) first_token: Token,
    pub(super) last_token: Token,
    pub(super) partitions: usize,
    pub(super) bytes: usize,
    /// Whether these are statics alone, parted from their row.
    pub(super) statics: bool,
}

/// What became of rows that were not simply written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Rows of which nothing was alive any more.
    pub expired: u64,
    /// Rows that the target refused for good.
    pub rejected: u64,
    /// Lists whose elements stand in another order than at the source.
    pub lists_reordered: u64,
    /// What the target says of the first of what it refused.
    pub refusal: Option<String>,
    /// The target has acknowledged nothing: it wasn't asked, as nothing was alive any more, or it refused all.
    pub unacknowledged: bool,
}

impl AddAssign for Settled {
    fn add_assign(&mut self, other: Settled) {
        self.expired += other.expired;
        self.rejected += other.rejected;
        self.lists_reordered += other.lists_reordered;
        self.refusal = self.refusal.take().or(other.refusal);
        self.unacknowledged &= other.unacknowledged;
    }
}

/// How many rows have which [`Notes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// [`Notes::KEY_ONLY`]
    pub key_only: u64,
    /// [`Notes::MARKER_INFERRED`]
    pub marker_inferred: u64,
    /// [`Notes::MARKER_EXPIRES`]
    pub marker_expires: u64,
    /// [`Notes::UNKNOWN_TIMESTAMP`]
    pub unknown_timestamp: u64,
    /// [`Notes::CAPPED`]
    pub capped: u64,
}

impl Noted {
    fn add(&mut self, notes: Notes) {
        self.key_only += u64::from(notes.has(Notes::KEY_ONLY));
        self.marker_inferred += u64::from(notes.has(Notes::MARKER_INFERRED));
        self.marker_expires += u64::from(notes.has(Notes::MARKER_EXPIRES));
        self.unknown_timestamp += u64::from(notes.has(Notes::UNKNOWN_TIMESTAMP));
        self.capped += u64::from(notes.has(Notes::CAPPED));
    }
}

impl Batch {
    pub(super) fn new(rows: &Arc<Rows>, extent: Extent) -> Batch {
        Batch { rows: Arc::clone(rows), extent }
    }

    #[cfg(test)]
    pub(super) fn extent(&self) -> Extent {
        self.extent
    }

    /// The page that the rows are from.
    pub fn rows(&self) -> &Arc<Rows> {
        &self.rows
    }

    /// The statements, with their places in the page.
    pub fn statements(&self) -> impl Iterator<Item = (usize, &Statement)> {
        let (from, to) = self.extent.statements;
        (from..to).zip(&self.rows.statements[from..to])
    }

    /// The statements whose cells are alive at `now` (seconds since the Unix epoch), ready to be sent.
    pub fn bind(&self, now: i64) -> Bound {
        Bound::new(&self.rows, self.extent.statements, now)
    }

    /// How many rows had nothing left to write at the time that `bound` was made.
    pub fn settled(&self, bound: &Bound) -> Settled {
        let unacknowledged = bound.is_empty();
        if bound.is_whole() {
            return Settled { unacknowledged, ..Settled::default() };
        }
        let (from, to) = self.extent.span;
        let mut alive = vec![false; to - from];
        for (_, statement) in self.statements().filter(|(_, statement)| bound.is_alive(statement)) {
            if let Some(alive) = alive.get_mut(statement.row as usize - from) {
                *alive = true;
            }
        }
        let expired = alive.iter().filter(|alive| !**alive).count() as u64;
        Settled { expired, unacknowledged, ..Settled::default() }
    }

    /// Two halves, for a batch that the target refuses. A single row that carries its partition's statics is parted from
    /// them, statics first; `None` for what can't be parted.
    pub fn halves(&self) -> Option<[Batch; 2]> {
        let extent = self.extent;
        if self.row_count() < 2 {
            let of_row = |statement: &Statement| self.rows.part_of(statement) == Part::Regular;
            let (cut, _) = self.statements().find(|(_, statement)| of_row(statement))?;
            let (from, to) = extent.statements;
            let part = |statements, statics| Batch {
                rows: Arc::clone(&self.rows),
                extent: Extent { statements, statics, ..extent },
            };
            return (cut > from).then(|| [part((from, cut), true).uncounted(), part((cut, to), false)]);
        }
        let middle = extent.span.0 + self.row_count() / 2;
        let cut = self.statements().find(|(_, statement)| statement.row as usize >= middle);
        let cut = cut.map_or(extent.statements.1, |(index, _)| index);
        let half = |statements, span| Batch {
            rows: Arc::clone(&self.rows),
            extent: Extent { statements, span, bytes: extent.bytes / 2, ..extent },
        };
        Some([
            half((extent.statements.0, cut), (extent.span.0, middle)),
            half((cut, extent.statements.1), (middle, extent.span.1)),
        ])
    }

    /// The token of the first row.
    pub fn first_token(&self) -> Token {
        self.extent.first_token
    }

    /// The token of the last row. Its partition may go on in the next batch.
    pub fn last_token(&self) -> Token {
        self.extent.last_token
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.extent.span.1 - self.extent.span.0
    }

    /// Whether this is the statics of a partition, parted from the row that they came with. They are no row.
    pub fn is_statics(&self) -> bool {
        self.extent.statics
    }

    /// The same statements, of rows that are accounted for elsewhere.
    #[must_use]
    pub fn uncounted(self) -> Batch {
        let span = (self.extent.span.0, self.extent.span.0);
        Batch { extent: Extent { span, ..self.extent }, ..self }
    }

    /// The first row's place in its page.
    pub fn first_row(&self) -> usize {
        self.extent.span.0
    }

    /// The key of the last row.
    pub fn last_key(&self) -> RowKey {
        self.rows.row_key(self.extent.span.1.saturating_sub(1))
    }

    /// What is to be noted of the rows.
    pub fn noted(&self) -> Noted {
        let mut noted = Noted::default();
        for (_, statement) in self.statements().filter(|(_, statement)| statement.notes != Notes::default()) {
            noted.add(statement.notes);
        }
        noted
    }

    /// Whether there is a statement of this form.
    pub fn has(&self, form: Form) -> bool {
        self.statements().any(|(_, statement)| statement.form == form)
    }

    /// How many partitions the rows belong to.
    pub fn partitions(&self) -> usize {
        self.extent.partitions
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.extent.bytes
    }

    /// How many statements there are.
    pub fn statement_count(&self) -> usize {
        self.extent.statements.1 - self.extent.statements.0
    }

    /// About how many bytes the largest of the statements takes in a request.
    pub fn largest_statement(&self) -> usize {
        self.statements().map(|(_, statement)| self.rows.request_size(statement)).max().unwrap_or(0)
    }
}
