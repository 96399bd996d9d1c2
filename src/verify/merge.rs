//! The merge of two ordered streams of rows: which rows are at both sides, and whether they are equal. What isn't is a
//! [`Suspect`], to be looked at again. Memory is constant, however large a partition is.
//!
//! Both servers answer a scan in the order of tokens, partition keys and clustering keys. That the order is the one that we
//! know is checked at each row: in another one, rows that are at both sides would be taken for missing and extra.

use super::compare::{Malformed, Row, Rules, compare, has_any, is_equal};
use super::difference::Classes;
use super::recheck::count;
use super::stream::Held;
use crate::engine::seam::{Partitions, Scan, Slice};
use crate::job::Verdict;
use crate::ring::{Token, TokenRange};
use crate::row::layout::Part;
use crate::row::slice::Cut;
use crate::row::{Layout, RowKey, token_of};
use crate::schema::order::RowOrder;
use crate::side::Side;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// A row, or the statics of a partition, that differed when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    /// Its key; of statics, that of the row that they came with.
    pub(super) key: RowKey,
    pub(super) token: Token,
    pub(super) part: Part,
    /// Whether it comes right behind the suspect before it, in the same partition: both can be read at once.
    pub(super) follows: bool,
    /// Whether it was counted as compared. Statics of which the side that was read has none are, once the other has some.
    pub(super) is_counted: bool,
}

impl Suspect {
    /// The key of what a repair of it writes: statics are the partition's, whichever row they came with.
    pub(super) fn written(&self) -> RowKey {
        match self.part {
            Part::Regular => self.key.clone(),
            Part::Static => RowKey::new(self.key.bytes().0, &[]),
        }
    }
}

/// Which partitions' statics were compared, of a single token: its scans are several, and each may show them.
#[derive(Clone, Debug, Default)]
pub(super) struct Statics {
    seen: BTreeSet<Vec<u8>>,
    /// Those of which one side alone has shown a row by now, and that row.
    owed: BTreeMap<Vec<u8>, Owed>,
}

#[derive(Clone, Debug)]
struct Owed {
    key: RowKey,
    token: Token,
    /// Whether there were statics with it.
    any: bool,
}

/// What a step of the merge has found.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Rows at either side; the statics of a partition are one more.
    pub(super) rows: u64,
    /// Bytes of keys and values, at both sides.
    pub(super) bytes: u64,
    pub(super) suspects: Vec<Suspect>,
    /// Rows that differ by design alone: nobody needs to look at them again.
    pub(super) harmless: Verdict,
    /// The token of the first row.
    pub(super) first_token: Option<Token>,
    /// The last row, with its token.
    pub(super) last: Option<(Token, RowKey)>,
    /// The last row that was read; it may be one that was compared before.
    pub(super) reached: Option<RowKey>,
    /// The partition of the first one.
    pub(super) reached_from: Option<Vec<u8>>,
}

impl Statics {
    /// Whether some are still to be compared, though rows of their partitions were.
    pub(super) fn are_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Those that no scan can show at both sides: they are to be looked at by their partitions' keys.
    pub(super) fn take_owed(&mut self) -> Option<Merged> {
        let owed: Vec<Owed> = std::mem::take(&mut self.owed).into_values().collect();
        let (first, last) = (owed.first()?, owed.last()?);
        Some(Merged {
            // Where the side that was read has none, nobody knows yet whether there are any.
            rows: owed.iter().map(|owed| u64::from(owed.any)).sum(),
            first_token: Some(first.token),
            last: Some((last.token, last.key.clone())),
            suspects: owed.into_iter().map(Owed::suspect).collect(),
            ..Merged::default()
        })
    }
}

impl Owed {
    fn suspect(self) -> Suspect {
        Suspect { key: self.key, token: self.token, part: Part::Static, follows: false, is_counted: self.any }
    }
}

impl Merged {
    /// Adds what a later step has found.
    pub(super) fn add(&mut self, more: Merged) {
        self.rows += more.rows;
        self.bytes += more.bytes;
        self.suspects.extend(more.suspects);
        self.harmless += more.harmless;
        self.first_token = self.first_token.or(more.first_token);
        self.last = more.last.or(self.last.take());
        self.reached = more.reached.or(self.reached.take());
        self.reached_from = self.reached_from.take().or(more.reached_from);
    }
}

/// Why the merge can't go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MergeError {
    #[error("the {side} answered {found} columns where {expected} were asked for: was the table altered?")]
    Columns { side: Side, found: usize, expected: usize },
    #[error("the {side} answered a row whose partition key is null")]
    NullKey { side: Side },
    #[error(
        "the {side} answered token {token} after {after} in a scan of {range}: rows can't be compared in that order"
    )]
    Tokens { side: Side, token: Token, after: Token, range: TokenRange },
    #[error(
        "the {side} answered rows of token {token} in an order that isn't that of their keys, so they can't be compared: \
         please report this with the table's schema"
    )]
    Keys { side: Side, token: Token },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The merge of one scan.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of the scan but for the last")]
pub(super) struct Merge<'a> {
    order: &'a RowOrder,
    rules: &'a Rules,
    range: TokenRange,
    /// Rows come from the last to the first.
    reversed: bool,
    /// Only statics are compared: rows are the first ones of their partitions.
    only_statics: bool,
    /// Whether keys must rise from row to row.
    is_ordered: bool,
    has_statics: bool,
    /// A partition comes with its statics, whether it has rows or not.
    shows_statics: bool,
    /// Up to this row of its token, all was compared before.
    behind: Option<(Token, RowKey)>,
    sides: [Seen; 2],
    /// The partition whose rows come now.
    partition: Option<Vec<u8>>,
    /// The row before differed, in the same partition.
    last_differed: bool,
}

/// What was seen of one side.
#[derive(Debug, Default)]
struct Seen {
    /// The partition of the last row, and its token.
    partition: Vec<u8>,
    token: Option<Token>,
    /// The clustering key of the last row of the page before; of the page at hand, the page knows it.
    clustering: Vec<u8>,
}

/// The next row of a side.
#[derive(Clone, Copy)]
struct Next<'p> {
    row: Row<'p>,
    leg: usize,
    token: Token,
    partition: &'p [u8],
    clustering: &'p [u8],
    /// Whether it is a row, and not only the statics of a partition without rows.
    is_row: bool,
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        order: &'a RowOrder,
        rules: &'a Rules,
        scan: &Scan,
        has_statics: bool,
        behind: Option<(Token, RowKey)>,
    ) -> Self {
        Merge {
            order,
            rules,
            range: scan.range(),
            reversed: matches!(scan, Scan::Slice(Slice { reversed: true, .. })),
            only_statics: matches!(scan, Scan::FirstRows(_) | Scan::FirstRowsOf(_)),
            is_ordered: scan.is_ordered(),
            has_statics,
            shows_statics: match scan {
                Scan::Tokens(_) | Scan::FirstRows(_) => true,
                Scan::FirstRowsOf(_) | Scan::Slice(Slice { of: Partitions::All(_), .. }) => false,
                Scan::Slice(Slice { of: Partitions::One(..), from, to, .. }) => (from, to) == (&Cut::START, &Cut::END),
            },
            behind,
            sides: Default::default(),
            partition: None,
            last_differed: false,
        }
    }

    /// Compares what is at hand, until one side has to bring another page. `statics` has those that were compared; more are added
    /// where the scan is of a single token.
    ///
    /// # Errors
    /// Where a side answers what was not asked for.
    pub(super) fn step(
        &mut self,
        [source, target]: [Feed<'_>; 2],
        statics: &mut Statics,
    ) -> Result<(Merged, [usize; 2]), MergeError> {
        let mut merged = Merged::default();
        let mut at = [source.at(), target.at()];
        let mut next = [self.load(Side::Source, source, at[0])?, self.load(Side::Target, target, at[1])?];
        let (mut last, mut reached): (Option<Next<'_>>, Option<Next<'_>>) = (None, None);
        let mut reached_from = None;
        loop {
            let order = match &next {
                [Some(a), Some(b)] => self.compare(a, b),
                [Some(_), None] if target.has_ended => Ordering::Less,
                [None, Some(_)] if source.has_ended => Ordering::Greater,
                _ => break,
            };
            let taken = [next[0].filter(|_| order != Ordering::Greater), next[1].filter(|_| order != Ordering::Less)];
            let Some(first) = taken[0].or(taken[1]) else { break };
            if !self.is_done(&first) {
                let same = matches!(&next, [Some(a), Some(b)] if self.partitions(a, b).is_eq());
                self.settle(if same { next } else { taken }, taken, &mut merged, statics)?;
                merged.first_token.get_or_insert(first.token);
                last = Some(first);
            }
            for (side, feed) in [(Side::Source, source), (Side::Target, target)] {
                let index = side as usize;
                if let Some(taken) = taken[index] {
                    self.consume(side, &taken, at[index])?;
                    merged.bytes += taken.bytes();
                    at[index] += 1;
                    next[index] = self.load(side, feed, at[index])?;
                }
            }
            reached_from.get_or_insert(first.partition);
            reached = Some(first);
        }
        let key = |next: Next<'_>| RowKey::new(next.partition, next.clustering);
        merged.last = last.map(|last| (last.token, key(last)));
        merged.reached = reached.map(key);
        merged.reached_from = reached_from.map(<[u8]>::to_vec);
        Ok((merged, at))
    }

    /// The row of a side at `at`, if its page has one.
    fn load<'p>(&self, side: Side, feed: Feed<'p>, at: usize) -> Result<Option<Next<'p>>, MergeError> {
        let Some(held) = feed.held.filter(|held| at < held.page().rows()) else { return Ok(None) };
        let (page, layout) = (held.page(), feed.layout);
        if page.columns() != layout.columns() {
            return Err(MergeError::Columns { side, found: page.columns(), expected: layout.columns() });
        }
        let partition = page.span(at, 0, layout.partition_key);
        let clustering = page.span(at, layout.partition_key, layout.clustering_key);
        let seen = &self.sides[side as usize];
        let token = match seen.token {
            Some(token) if seen.partition == partition => token,
            _ => {
                let cells = (0..layout.partition_key).map(|column| page.cell(at, column));
                if cells.clone().any(|cell| cell.is_none()) {
                    return Err(MergeError::NullKey { side });
                }
                token_of(cells.map(Option::unwrap_or_default))
            }
        };
        if !self.range.contains(token) {
            return Err(MergeError::Tokens { side, token, after: self.range.first(), range: self.range });
        }
        let is_row = (layout.partition_key..layout.keys()).all(|column| page.cell(at, column).is_some());
        let row = Row { page, row: at, layout, read_at: held.read_at() };
        Ok(Some(Next { row, leg: held.leg, token, partition, clustering, is_row }))
    }

    /// Which of two partitions comes first.
    fn partitions(&self, a: &Next<'_>, b: &Next<'_>) -> Ordering {
        if a.leg == b.leg && a.partition == b.partition {
            return Ordering::Equal;
        }
        let by_key = || self.order.partitions(a.partition, b.partition);
        a.leg.cmp(&b.leg).then(a.token.cmp(&b.token)).then_with(by_key)
    }

    /// Which of two rows comes first.
    fn compare(&self, a: &Next<'_>, b: &Next<'_>) -> Ordering {
        let order = self.partitions(a, b);
        if order.is_ne() || self.only_statics {
            return order;
        }
        // A partition without rows shows its statics alone.
        match (a.is_row, b.is_row) {
            (true, true) => self.rows(a.clustering, b.clustering),
            (a, b) => a.cmp(&b),
        }
    }

    fn rows(&self, a: &[u8], b: &[u8]) -> Ordering {
        let order = self.order.rows(a, b);
        if self.reversed { order.reverse() } else { order }
    }

    /// Whether a row was compared before, by an earlier scan.
    fn is_done(&self, next: &Next<'_>) -> bool {
        let Some((token, row)) = &self.behind else { return false };
        let (partition, clustering) = row.bytes();
        let order = next.token.cmp(token).then_with(|| self.order.partitions(next.partition, partition));
        order.then_with(|| self.order.rows(next.clustering, clustering)).is_le()
    }

    /// Compares the next rows, or notes one that only one side has: `taken`. `beside` has both sides' rows of its partition, which
    /// show its statics.
    fn settle(
        &mut self,
        beside: [Option<Next<'_>>; 2],
        taken: [Option<Next<'_>>; 2],
        merged: &mut Merged,
        statics: &mut Statics,
    ) -> Result<(), MergeError> {
        let Some(next) = taken[0].or(taken[1]) else { return Ok(()) };
        let is_new = self.partition.as_deref() != Some(next.partition);
        if is_new {
            self.partition = Some(next.partition.to_vec());
            self.last_differed = false;
        }
        if self.has_statics && (is_new || !self.shows_statics) && self.is_to_show(&next, beside, statics) {
            let with_statics = beside.map(|next| next.filter(|next| has_any(next.row, Part::Static)));
            self.settle_part(with_statics, Part::Static, merged)?;
        }
        if !self.only_statics {
            let rows = taken.map(|next| next.filter(|next| next.is_row));
            self.last_differed = self.settle_part(rows, Part::Regular, merged)?;
        }
        Ok(())
    }

    /// Whether a partition's statics are to be compared now. A part of a partition shows them with rows alone: where one side has
    /// none there, nobody knows what it has.
    fn is_to_show(&self, next: &Next<'_>, beside: [Option<Next<'_>>; 2], statics: &mut Statics) -> bool {
        let Next { row, token, partition, clustering, .. } = *next;
        if self.behind.as_ref().is_some_and(|(_, row)| row.bytes().0 == partition) || statics.seen.contains(partition) {
            return false;
        }
        let shows = self.shows_statics || beside.iter().all(Option::is_some);
        if !shows && !statics.owed.contains_key(partition) {
            let owed = Owed { key: RowKey::new(partition, clustering), token, any: has_any(row, Part::Static) };
            statics.owed.insert(partition.to_vec(), owed);
        }
        if shows && self.range.width() == 1 {
            statics.owed.remove(partition);
            statics.seen.insert(partition.to_vec());
        }
        shows
    }

    /// Compares one part of the rows that there are of a key, and says whether they differ.
    fn settle_part(
        &self,
        [source, target]: [Option<Next<'_>>; 2],
        part: Part,
        merged: &mut Merged,
    ) -> Result<bool, MergeError> {
        let Some(next) = source.or(target) else { return Ok(false) };
        merged.rows += 1;
        if let (Some(source), Some(target)) = (source, target) {
            if is_equal(source.row, target.row, part, self.rules) {
                return Ok(false);
            }
            let columns = compare(source.row, target.row, part, self.rules)?;
            let classes: Classes = columns.iter().map(|column| column.class).collect();
            if classes.is_harmless() {
                count(&mut merged.harmless, classes);
                return Ok(false);
            }
        }
        let follows = part == Part::Regular && self.last_differed;
        let key = RowKey::new(next.partition, next.clustering);
        merged.suspects.push(Suspect { key, token: next.token, part, follows, is_counted: true });
        Ok(true)
    }

    /// Takes note of a row that was compared, which must come behind the one before it.
    fn consume(&mut self, side: Side, next: &Next<'_>, at: usize) -> Result<(), MergeError> {
        let Next { row: Row { page, layout, .. }, token, partition, clustering, .. } = *next;
        let seen = &self.sides[side as usize];
        let is_same = seen.token == Some(token) && seen.partition == partition;
        if self.is_ordered && is_same {
            let last =
                if at > 0 { page.span(at - 1, layout.partition_key, layout.clustering_key) } else { &seen.clustering };
            if self.rows(last, clustering) != Ordering::Less {
                return Err(MergeError::Keys { side, token });
            }
        }
        if !is_same {
            let after = seen.token.unwrap_or(self.range.first());
            if self.is_ordered && token < after {
                return Err(MergeError::Tokens { side, token, after, range: self.range });
            }
            let is_behind = seen.token != Some(token) || self.order.partitions(&seen.partition, partition).is_lt();
            if self.is_ordered && !is_behind {
                return Err(MergeError::Keys { side, token });
            }
            let seen = &mut self.sides[side as usize];
            seen.token = Some(token);
            seen.partition.clear();
            seen.partition.extend_from_slice(partition);
        }
        if at + 1 == page.rows() {
            let seen = &mut self.sides[side as usize];
            seen.clustering.clear();
            seen.clustering.extend_from_slice(clustering);
        }
        Ok(())
    }
}

impl Next<'_> {
    /// Bytes of keys and values.
    fn bytes(&self) -> u64 {
        let Row { page, row, layout, .. } = self.row;
        page.span(row, 0, layout.keys() + layout.values.len()).len() as u64
    }
}

/// What is at hand of a side.
#[derive(Clone, Copy)]
pub(super) struct Feed<'p> {
    /// The page at hand.
    pub(super) held: Option<&'p Held>,
    pub(super) layout: &'p Layout,
    /// No page comes after it.
    pub(super) has_ended: bool,
}

impl Feed<'_> {
    fn at(&self) -> usize {
        self.held.map_or(0, |held| held.at)
    }
}
