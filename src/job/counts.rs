//! What is counted of ranges, by a copy and by a verification.

use super::RangeKey;
use crate::event::Event;
use crate::ring::Token;
use serde::Serialize;
use std::convert::Infallible;
use std::fmt::Debug;
use std::ops::AddAssign;

/// What is counted of the ranges of a pass over the tables: each count is a column of their table in the checkpoint, and a field
/// of the JSON, of the same name.
pub trait Counts: Copy + Default + AddAssign + Debug + PartialEq + Eq + Send + Sync + 'static {
    /// The checkpoint's table of these ranges.
    const RANGES: &'static str;
    /// The names of the counts.
    const NAMES: &'static [&'static str];
    /// Of these, the ones that stay where a range is begun anew: they tell what was done, not what the range holds.
    const KEPT: &'static [&'static str] = &[];
    /// Whether rows beyond the cursor of a range that isn't done are counted until they are come to again.
    const BEYOND: bool = false;

    /// The counts, in the order of their names.
    fn values(&self) -> impl Iterator<Item = u64>;

    /// All counts, each by its name.
    ///
    /// # Errors
    /// The first error of `value`.
    fn try_from_values<E>(value: impl FnMut(&'static str) -> Result<u64, E>) -> Result<Self, E>;

    /// A range's cursor is durable, and `counts` is of the rows since the last one.
    fn moved(key: RangeKey, cursor: Option<Token>, counts: Self) -> Event;

    /// A range is done, durably, and `counts` is of the rows since its last cursor.
    fn done(key: RangeKey, counts: Self) -> Event;

    /// A range is to be begun anew, durably, and `taken_back` doesn't count any more. Nothing to tell where no range ever is.
    fn begun_anew(_key: RangeKey, _taken_back: Self) -> Option<Event> {
        None
    }

    /// A range was claimed again, durably, and `taken_back`, of rows beyond its cursor, doesn't count any more. Nothing to tell
    /// where such rows never count.
    fn taken_back(_key: RangeKey, _taken_back: Self) -> Option<Event> {
        None
    }

    /// Rows that the target has acknowledged.
    fn rows_written(&self) -> u64;

    /// The counts in [`Counts::KEPT`] alone.
    #[must_use]
    fn kept(&self) -> Self {
        self.each(|name, count| if Self::KEPT.contains(&name) { count } else { 0 })
    }

    /// What is left of each count without those of `other`.
    #[must_use]
    fn less(&self, other: &Self) -> Self {
        let mut others = other.values();
        self.each(|_, count| count.saturating_sub(others.next().unwrap_or_default()))
    }

    /// Each count by its name, made into another.
    #[must_use]
    fn each(&self, mut of: impl FnMut(&'static str, u64) -> u64) -> Self {
        let mut values = self.values();
        let Ok(counts) = Self::try_from_values(|name| Ok::<_, Infallible>(of(name, values.next().unwrap_or_default())));
        counts
    }
}

/// Declares [`Counts`]: their fields, each of which is a count, and the rest of the trait.
macro_rules! counts {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $field:ident),* $(,)? } $($rest:tt)*) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct $name { $($(#[doc = $doc])* pub $field: u64),* }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                $(self.$field += other.$field;)*
            }
        }

        impl Counts for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            fn values(&self) -> impl Iterator<Item = u64> {
                [$(self.$field),*].into_iter()
            }

            fn try_from_values<E>(mut value: impl FnMut(&'static str) -> Result<u64, E>) -> Result<$name, E> {
                Ok($name { $($field: value(stringify!($field))?),* })
            }

            $($rest)*
        }
    };
}

counts! {
    /// Counts of rows and bytes that are copied. `rows_read = rows_written + rows_expired + rows_rejected` wherever one is
    /// committed.
    Tally {
        /// Rows that the scan returned.
        rows_read,
        /// Rows that the target acknowledged.
        rows_written,
        /// Rows of which nothing was alive any more when they were to be written.
        rows_expired,
        /// Rows that the target refused for good; their keys are in the rejects file.
        rows_rejected,
        /// Of the rows read, those with nothing but a key: their timestamp and TTL can't be read, so they get the unknown
        /// timestamp and stay for ever.
        rows_key_only,
        /// Of the rows read, those whose row marker follows from their cells.
        rows_marker_inferred,
        /// Of these, those of which all expires: their row marker was taken to expire too.
        rows_marker_expires,
        /// Of the rows read, those with elements whose writetime and TTL the source can't tell: they get the unknown timestamp
        /// and stay for ever.
        rows_unknown_timestamp,
        /// Of the rows read, those with a writetime too far ahead for the target, which was lowered.
        rows_capped,
        /// Lists whose elements stand in another order than at the source.
        lists_reordered,
        /// Bytes of keys and values.
        bytes_read,
    }

    const RANGES: &'static str = "token_range";

    fn moved(key: RangeKey, cursor: Option<Token>, tally: Tally) -> Event {
        Event::RangeMoved { key, cursor, tally }
    }

    fn done(key: RangeKey, tally: Tally) -> Event {
        Event::RangeDone { key, tally }
    }

    fn rows_written(&self) -> u64 {
        self.rows_written
    }
}

counts! {
    /// Counts of rows that are compared. A row that differs counts once in `rows_different`, and once in each class that it
    /// shows. The partition's static cells are a row of their own.
    Verdict {
        /// Rows on either side.
        rows_compared,
        /// Rows with a difference that isn't harmless by design.
        rows_different,
        /// Rows at the source alone.
        rows_missing,
        /// Rows at the target alone.
        rows_extra,
        /// Rows with another value, where the target's cell is older.
        rows_value_older,
        /// Rows with another value, where the target's cell is newer.
        rows_value_newer,
        /// Rows with another value at one and the same writetime.
        rows_value_tie,
        /// Rows with another value, where a writetime can't be read.
        rows_value_unknown,
        /// Rows with the same value at another writetime.
        rows_writetime,
        /// Rows with the same value and writetime that expire at another time.
        rows_expiry,
        /// Rows of which the target lacks a cell, an element or a field.
        rows_column_missing,
        /// Rows of which the source lacks a cell, an element or a field.
        rows_column_extra,
        /// Rows with a list whose elements stand in another order, are missing, added or doubled.
        rows_list,
        /// Rows that still changed with each look, and never were equal.
        rows_unsettled,
        /// Harmless: rows with nothing but their key, at the target alone: a row marker that was inferred.
        rows_marker,
        /// Harmless: rows with cells whose writetime the source can't tell, which have the unknown timestamp at the target.
        rows_unknown_timestamp,
        /// Harmless: rows with a writetime that was lowered for the target.
        rows_capped,
        /// Rows that were looked at again before it was said whether they differ.
        rows_rechecked,
        /// Rows that were written to the target to make it equal.
        rows_repaired,
        /// Of these, those whose row marker follows from their cells.
        rows_marker_inferred,
        /// Rows that were deleted at the target, since the source doesn't have them.
        rows_deleted,
        /// Bytes of keys and values, of both sides.
        bytes_read,
    }

    const RANGES: &'static str = "verified_range";
    const KEPT: &'static [&'static str] = &["rows_repaired", "rows_marker_inferred", "rows_deleted"];
    // What was told of a row is so, whatever becomes of its range.
    const BEYOND: bool = true;

    fn moved(key: RangeKey, cursor: Option<Token>, verdict: Verdict) -> Event {
        Event::RangeCompared { key, cursor, verdict }
    }

    fn done(key: RangeKey, verdict: Verdict) -> Event {
        Event::RangeVerified { key, verdict }
    }

    fn begun_anew(key: RangeKey, verdict: Verdict) -> Option<Event> {
        Some(Event::RangeReopened { key, verdict })
    }

    fn taken_back(key: RangeKey, verdict: Verdict) -> Option<Event> {
        Some(Event::RangeTakenBack { key, verdict })
    }

    fn rows_written(&self) -> u64 {
        self.rows_repaired
    }
}

impl Verdict {
    /// The classes of difference that rows show, by their names, and how many rows show each; those that none shows left out.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Verdict::between(self, "rows_missing", "rows_list")
    }

    /// The same of differences that are harmless by design.
    pub fn harmless(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Verdict::between(self, "rows_marker", "rows_capped")
    }

    fn between(&self, first: &str, last: &str) -> impl Iterator<Item = (&'static str, u64)> {
        let at = |name| Verdict::NAMES.iter().position(|other| *other == name).unwrap_or_default();
        let (first, last) = (at(first), at(last));
        let counts = Verdict::NAMES.iter().zip(self.values()).skip(first).take(last + 1 - first);
        counts.filter(|(_, rows)| *rows > 0).map(|(name, rows)| (name.trim_start_matches("rows_"), rows))
    }
}
