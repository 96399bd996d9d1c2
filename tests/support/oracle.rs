//! The oracle: are two tables equal, down to the last timestamp?
//!
//! It reads what Cassandra's own `sstabledump -l -t` prints of the files of either side (`scripts/cluster dump`), so it
//! shares no code with the tool that it judges and sees what CQL cannot: row markers, tombstones, the paths of
//! collection elements. Both dumps are in token order and are read side by side; a partition of each is in memory.
//!
//! Two things a dump does not tell:
//!
//! - In a row with a TTL, a cell is printed without its own one both if it has none and if it has the same number of
//!   seconds. [`Report::open_ttls`] counts the cells for which this leaves the expiry open. The details (the output of
//!   `sstabledump -d` on the same file, or just its rows with a TTL) settle it: see [`Dump::details`].
//! - NaN and the infinities are all printed as null.

#![allow(dead_code, unreachable_pub)] // Several programs include this file; none uses all of it, none exports it.

#[path = "dump.rs"]
mod dump;

use dump::{Bound, BoundKind, Cell, Deletion, Expiry, Line, Number, Partition, Reader, Row, RowKind};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::io::BufRead;

pub use dump::{Dump, Error, Side};

/// Where partitions lack on one side, this much of both dumps is searched for the next common one.
const LOOKAHEAD_BYTES: usize = 1 << 30;
/// How much of a long value a difference shows.
const EXCERPT_CHARS: usize = 100;

/// What counts as equal.
#[derive(Clone, Debug)]
pub struct Options {
    /// By how many seconds two expiry times may differ.
    pub ttl_tolerance: u64,
    /// Whether the target may lack tombstones that the source has. Extra ones on the target always count.
    pub ignore_source_tombstones: bool,
    /// Whether elements of a list are told apart by their order only. Their paths are time UUIDs, which a copy through
    /// CQL makes anew.
    pub lists_by_order: bool,
    /// How many differences are described; all are counted.
    pub samples: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { ttl_tolerance: 2, ignore_source_tombstones: false, lists_by_order: false, samples: 20 }
    }
}

/// What the comparison found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Partitions that are on both sides.
    pub partitions: u64,
    /// Rows that are on both sides and are more than a tombstone, static ones included.
    pub rows: u64,
    /// Cells of the source's side of these rows, less tombstones.
    pub cells: u64,
    /// Cells whose expiry the dumps leave open, and which count as equal in it.
    pub open_ttls: u64,
    /// How many differences there are of each kind.
    pub differences: BTreeMap<Kind, u64>,
    /// The first of them.
    pub samples: Vec<Difference>,
}

impl Report {
    /// Whether no difference was found.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { partitions, rows, cells, .. } = self;
        if self.is_equal() {
            return write!(f, "equal: {partitions} partitions, {rows} rows, {cells} cells");
        }
        for sample in &self.samples {
            writeln!(f, "{sample}")?;
        }
        let total: u64 = self.differences.values().sum();
        if total > self.samples.len() as u64 {
            writeln!(f, "…")?;
        }
        write!(f, "differences: {total} (on both sides: {partitions} partitions, {rows} rows)")?;
        for (kind, count) in &self.differences {
            write!(f, "\n{count:>10}  {kind}")?;
        }
        Ok(())
    }
}

/// One difference, told in the words of the dumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub kind: Kind,
    /// The partition's key.
    pub partition: String,
    /// The row's clustering columns, or "static"; nothing if the whole partition differs.
    pub row: Option<String>,
    /// The column, with the path of the element in it; nothing if the whole row differs.
    pub column: Option<String>,
    /// How it is on the source.
    pub source: String,
    /// How it is on the target.
    pub target: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: partition {}", self.kind, self.partition)?;
        if let Some(row) = &self.row {
            write!(f, ", row {row}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", {column}")?;
        }
        write!(f, ": source {}, target {}", self.source, self.target)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The kinds of differences.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Kind::$name => $text,)*
                })
            }
        }
    };
}

kinds! {
    /// The target lacks a partition.
    MissingPartition = "missing partition",
    /// The source lacks a partition.
    ExtraPartition = "extra partition",
    /// The target lacks a row.
    MissingRow = "missing row",
    /// The source lacks a row.
    ExtraRow = "extra row",
    /// The target lacks a cell.
    MissingCell = "missing cell",
    /// The source lacks a cell.
    ExtraCell = "extra cell",
    /// A cell's values differ.
    Value = "value",
    /// A cell's or a cell tombstone's write times differ.
    Timestamp = "timestamp",
    /// A cell expires on one side only.
    Ttl = "TTL",
    /// A cell expires at different times.
    Expiry = "expiry",
    /// One side has a row marker and the other has none.
    Marker = "row marker",
    /// The write times of the row markers differ.
    MarkerTimestamp = "row marker's timestamp",
    /// A row marker expires on one side only.
    MarkerTtl = "row marker's TTL",
    /// A row marker expires at different times.
    MarkerExpiry = "row marker's expiry",
    /// The deletions of a cell, which is a cell on one side and a tombstone on the other, or on one side only.
    CellTombstone = "cell tombstone",
    /// The deletions of whole collections, which also precede whatever writes a whole collection.
    CollectionTombstone = "collection tombstone",
    /// The deletions of a row.
    RowTombstone = "row tombstone",
    /// The deletions of ranges of rows.
    RangeTombstone = "range tombstone",
    /// The deletions of a partition.
    PartitionTombstone = "partition tombstone",
}

/// Compares two dumps.
pub fn compare(source: impl BufRead, target: impl BufRead, options: &Options) -> Result<Report, Error> {
    let plain = |json| Dump { json, details: None };
    compare_dumps(plain(Box::new(source)), plain(Box::new(target)), options)
}

/// Compares two dumps, with the details of one or both.
pub fn compare_dumps(source: Dump<'_>, target: Dump<'_>, options: &Options) -> Result<Report, Error> {
    let mut source = Reader::new(Side::Source, source);
    let mut target = Reader::new(Side::Target, target);
    let mut comparison = Comparison { options, report: Report::default() };
    loop {
        match (source.next()?, target.next()?) {
            (None, None) => return Ok(comparison.report),
            (Some(line), None) => comparison.lone_partition(&mut source, &line)?,
            (None, Some(line)) => comparison.lone_partition(&mut target, &line)?,
            (Some(source_line), Some(target_line)) => {
                let mut source_partition = source.parse(&source_line)?;
                let mut target_partition = target.parse(&target_line)?;
                if source_partition.key() == target_partition.key() {
                    source.settle(&mut source_partition, options)?;
                    target.settle(&mut target_partition, options)?;
                    comparison.report.partitions += 1;
                    comparison.partition(&source_partition, &target_partition);
                    continue;
                }
                source.ahead.push_front(source_line);
                target.ahead.push_front(target_line);
                let (only_source, only_target) = next_common(&mut source, &mut target)?;
                for (side, count) in [(&mut source, only_source), (&mut target, only_target)] {
                    for _ in 0..count {
                        if let Some(line) = side.next()? {
                            comparison.lone_partition(side, &line)?;
                        }
                    }
                }
            }
        }
    }
}

/// Finds the next partition that both sides have. How many does each have before it? The order of tokens cannot be told
/// from a dump, so both are searched in turns.
fn next_common(source: &mut Reader<'_>, target: &mut Reader<'_>) -> Result<(usize, usize), Error> {
    let mut source_keys = HashMap::new();
    let mut target_keys = HashMap::new();
    let mut bytes = 0;
    for index in 0.. {
        let source_key = source.peek(index)?;
        let target_key = target.peek(index)?;
        if source_key.is_none() && target_key.is_none() {
            break;
        }
        if let Some((key, length)) = source_key {
            source_keys.insert(key.clone(), index);
            bytes += length;
            if let Some(&target_index) = target_keys.get(&key) {
                return Ok((index, target_index));
            }
        }
        if let Some((key, length)) = target_key {
            if let Some(&source_index) = source_keys.get(&key) {
                return Ok((source_index, index));
            }
            target_keys.insert(key, index);
            bytes += length;
        }
        if bytes > LOOKAHEAD_BYTES {
            return Err(Error::NothingInCommon {
                source_line: source.ahead.front().map_or(0, |line| line.number),
                target_line: target.ahead.front().map_or(0, |line| line.number),
            });
        }
    }
    Ok((source.ahead.len(), target.ahead.len()))
}

struct Comparison<'o> {
    options: &'o Options,
    report: Report,
}

/// What is compared right now.
#[derive(Clone, Copy)]
struct Place<'a> {
    partition: &'a str,
    row: Option<&'a str>,
    cell: Option<&'a Cell<'a>>,
}

impl Comparison<'_> {
    fn lone_partition(&mut self, reader: &mut Reader<'_>, line: &Line) -> Result<(), Error> {
        let mut partition = reader.parse(line)?;
        reader.settle(&mut partition, self.options)?;
        let place = Place { partition: partition.key(), row: None, cell: None };
        let rows = partition.rows.iter().filter(|row| row.is_live()).count();
        let nothing = partition.nothing();
        match (reader.side, partition.is_live()) {
            (Side::Source, true) => {
                self.differ(
                    Kind::MissingPartition,
                    place,
                    format_args!("{}", counted(rows, "row")),
                    format_args!("none"),
                );
            }
            (Side::Target, true) => {
                self.differ(
                    Kind::ExtraPartition,
                    place,
                    format_args!("none"),
                    format_args!("{}", counted(rows, "row")),
                );
            }
            (Side::Source, false) => self.partition(&partition, &nothing),
            (Side::Target, false) => self.partition(&nothing, &partition),
        }
        Ok(())
    }

    fn partition(&mut self, source: &Partition<'_>, target: &Partition<'_>) {
        let place = Place { partition: source.key(), row: None, cell: None };
        let (source_deletion, target_deletion) = (source.header.deletion_info, target.header.deletion_info);
        self.tombstones(Kind::PartitionTombstone, place, deleted(source_deletion), deleted(target_deletion));
        for pair in pairs(&limits(source), &limits(target), Limit::key) {
            let row = pair.any().describe();
            let (source, target) = pair.map(|limit| limit.deleted);
            self.tombstones(Kind::RangeTombstone, Place { row: Some(&row), ..place }, source, target);
        }
        for pair in pairs(&rows(source), &rows(target), |row| row.key()) {
            let place = Place { row: Some(pair.any().key().1), ..place };
            let cells = pair.any().cells.len();
            match pair {
                Pair::Both(source, target) => {
                    self.report.rows += u64::from(source.is_live() && target.is_live());
                    self.row(place, source, target);
                }
                Pair::Source(row) if row.is_live() => {
                    self.differ(
                        Kind::MissingRow,
                        place,
                        format_args!("{}", counted(cells, "cell")),
                        format_args!("none"),
                    );
                }
                Pair::Target(row) if row.is_live() => {
                    self.differ(
                        Kind::ExtraRow,
                        place,
                        format_args!("none"),
                        format_args!("{}", counted(cells, "cell")),
                    );
                }
                Pair::Source(row) => self.row(place, row, &Row::nothing(row.kind)),
                Pair::Target(row) => self.row(place, &Row::nothing(row.kind), row),
            }
        }
    }

    fn row(&mut self, place: Place<'_>, source: &Row<'_>, target: &Row<'_>) {
        match (&source.liveness_info, &target.liveness_info) {
            (None, None) => {}
            (Some(liveness), None) => {
                self.differ(Kind::Marker, place, format_args!("of {}", liveness.tstamp.0), format_args!("none"));
            }
            (None, Some(liveness)) => {
                self.differ(Kind::Marker, place, format_args!("none"), format_args!("of {}", liveness.tstamp.0));
            }
            (Some(source), Some(target)) => {
                self.timestamps(Kind::MarkerTimestamp, place, Some(source.tstamp.0), Some(target.tstamp.0));
                self.expiries(Kind::MarkerTtl, Kind::MarkerExpiry, place, source.expiry(), target.expiry());
            }
        }
        self.tombstones(Kind::RowTombstone, place, deleted(source.deletion_info), deleted(target.deletion_info));
        for pair in pairs(&source.cells, &target.cells, Cell::key) {
            self.cell(Place { cell: Some(pair.any()), ..place }, &pair);
        }
    }

    fn cell(&mut self, place: Place<'_>, pair: &Pair<'_, Cell<'_>>) {
        if pair.any().is_collection_tombstone() {
            let (source, target) = pair.map(Cell::timestamp);
            return self.tombstones(Kind::CollectionTombstone, place, source, target);
        }
        match pair {
            Pair::Both(source, target) if !source.is_tombstone() && !target.is_tombstone() => {
                self.report.cells += 1;
                let (source_value, target_value) = (source.value(), target.value());
                if source_value != target_value {
                    let source = Excerpt(source_value, target_value);
                    let target = Excerpt(target_value, source_value);
                    self.differ(Kind::Value, place, format_args!("{source}"), format_args!("{target}"));
                }
                self.timestamps(Kind::Timestamp, place, source.timestamp(), target.timestamp());
                self.expiries(Kind::Ttl, Kind::Expiry, place, source.expiry, target.expiry);
            }
            Pair::Source(cell) if !cell.is_tombstone() => {
                let value = Excerpt(cell.value(), "");
                self.differ(Kind::MissingCell, place, format_args!("{value}"), format_args!("none"));
            }
            Pair::Target(cell) if !cell.is_tombstone() => {
                let value = Excerpt(cell.value(), "");
                self.differ(Kind::ExtraCell, place, format_args!("none"), format_args!("{value}"));
            }
            Pair::Both(source, target) if !source.is_tombstone() => {
                let value = Excerpt(source.value(), "");
                let target = Deleted(target.timestamp());
                self.differ(Kind::CellTombstone, place, format_args!("{value}"), format_args!("{target}"));
            }
            Pair::Both(source, target) if !target.is_tombstone() => {
                let source = Deleted(source.timestamp());
                let value = Excerpt(target.value(), "");
                self.differ(Kind::CellTombstone, place, format_args!("{source}"), format_args!("{value}"));
            }
            Pair::Both(..) | Pair::Source(_) | Pair::Target(_) => {
                let (source, target) = pair.map(Cell::timestamp);
                self.tombstones(Kind::CellTombstone, place, source, target);
            }
        }
    }

    fn timestamps(&mut self, kind: Kind, place: Place<'_>, source: Option<i64>, target: Option<i64>) {
        if source != target {
            let text = |at: Option<i64>| at.map_or("none".to_owned(), |at| at.to_string());
            self.differ(kind, place, format_args!("{}", text(source)), format_args!("{}", text(target)));
        }
    }

    fn expiries(&mut self, ttl: Kind, expiry: Kind, place: Place<'_>, source: Expiry, target: Expiry) {
        let kind = match (source, target) {
            (Expiry::Open, _) | (_, Expiry::Open) => {
                self.report.open_ttls += 1;
                return;
            }
            (Expiry::At(source), Expiry::At(target)) if source.abs_diff(target) <= self.options.ttl_tolerance => return,
            (Expiry::Never, Expiry::Never) => return,
            (Expiry::At(_), Expiry::At(_)) => expiry,
            (Expiry::At(_), Expiry::Never) | (Expiry::Never, Expiry::At(_)) => ttl,
        };
        self.differ(kind, place, format_args!("{source}"), format_args!("{target}"));
    }

    fn tombstones(&mut self, kind: Kind, place: Place<'_>, source: Option<i64>, target: Option<i64>) {
        let ignored = self.options.ignore_source_tombstones && target.is_none();
        if source != target && !ignored {
            self.differ(kind, place, format_args!("{}", Deleted(source)), format_args!("{}", Deleted(target)));
        }
    }

    fn differ(&mut self, kind: Kind, place: Place<'_>, source: fmt::Arguments<'_>, target: fmt::Arguments<'_>) {
        *self.report.differences.entry(kind).or_default() += 1;
        if self.report.samples.len() < self.options.samples {
            self.report.samples.push(Difference {
                kind,
                partition: place.partition.to_owned(),
                row: place.row.map(str::to_owned),
                column: place.cell.map(Cell::describe),
                source: source.to_string(),
                target: target.to_string(),
            });
        }
    }
}

/// The elements of two lists that belong together, and those that are alone.
enum Pair<'a, T> {
    Both(&'a T, &'a T),
    Source(&'a T),
    Target(&'a T),
}

impl<'a, T> Pair<'a, T> {
    fn any(&self) -> &'a T {
        match self {
            Pair::Both(element, _) | Pair::Source(element) | Pair::Target(element) => element,
        }
    }

    fn map<U>(&self, get: impl Fn(&T) -> Option<U>) -> (Option<U>, Option<U>) {
        match self {
            Pair::Both(source, target) => (get(source), get(target)),
            Pair::Source(source) => (get(source), None),
            Pair::Target(target) => (None, get(target)),
        }
    }
}

/// Pairs the elements of two lists by their keys.
fn pairs<'a, T, K: Eq + Hash>(source: &'a [T], target: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<Pair<'a, T>> {
    // Nearly always both have the same keys, which takes no map.
    let same = source.iter().zip(target).take_while(|(source, target)| key(source) == key(target)).count();
    let mut pairs = Vec::with_capacity(source.len().max(target.len()));
    pairs.extend(source[..same].iter().zip(target).map(|(source, target)| Pair::Both(source, target)));
    if same == source.len() && same == target.len() {
        return pairs;
    }
    // A key that comes twice on one side is alone the second time.
    let target = &target[same..];
    let mut unpaired: HashMap<K, usize> = HashMap::with_capacity(target.len());
    for (index, element) in target.iter().enumerate() {
        unpaired.entry(key(element)).or_insert(index);
    }
    let mut paired = vec![false; target.len()];
    for element in &source[same..] {
        if let Some(index) = unpaired.remove(&key(element)) {
            paired[index] = true;
            pairs.push(Pair::Both(element, &target[index]));
        } else {
            pairs.push(Pair::Source(element));
        }
    }
    let alone = target.iter().zip(paired).filter(|(_, paired)| !paired);
    pairs.extend(alone.map(|(element, _)| Pair::Target(element)));
    pairs
}

/// One end of a range tombstone.
struct Limit<'a> {
    is_start: bool,
    kind: BoundKind,
    clustering: Option<&'a str>,
    deleted: Option<i64>,
}

impl<'a> Limit<'a> {
    fn key(&self) -> (bool, BoundKind, Option<&'a str>) {
        (self.is_start, self.kind, self.clustering)
    }

    fn describe(&self) -> String {
        let which = if self.is_start { "from" } else { "to" };
        let kind = match self.kind {
            BoundKind::Inclusive => "inclusive",
            BoundKind::Exclusive => "exclusive",
        };
        format!("range {which} {} ({kind})", self.clustering.unwrap_or("the end"))
    }
}

fn limits<'a>(partition: &Partition<'a>) -> Vec<Limit<'a>> {
    let limit = |is_start| {
        move |bound: Bound<'a>| Limit {
            is_start,
            kind: bound.kind,
            clustering: bound.clustering.map(RawValue::get),
            deleted: deleted(Some(bound.deletion_info)),
        }
    };
    let both = |row: &Row<'a>| [row.end.map(limit(false)), row.start.map(limit(true))];
    partition.rows.iter().flat_map(both).flatten().collect()
}

fn rows<'p, 'a>(partition: &'p Partition<'a>) -> Vec<&'p Row<'a>> {
    let is_row = |row: &&Row<'_>| matches!(row.kind, RowKind::Row | RowKind::StaticBlock);
    partition.rows.iter().filter(is_row).collect()
}

fn deleted(deletion: Option<Deletion>) -> Option<i64> {
    deletion.and_then(|deletion| deletion.marked_deleted).map(|Number(at)| at)
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The write time of a tombstone.
struct Deleted(Option<i64>);

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, "deleted as of {at}"),
            None => f.write_str("none"),
        }
    }
}

/// A value; of a long one, the part in which it begins to differ from another.
struct Excerpt<'a>(&'a str, &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excerpt(value, other) = self;
        if value.chars().count() <= EXCERPT_CHARS {
            return f.write_str(value);
        }
        let same = value.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        let skipped = same.saturating_sub(EXCERPT_CHARS / 5);
        if skipped > 0 {
            f.write_str("…")?;
        }
        let shown: String = value.chars().skip(skipped).take(EXCERPT_CHARS).collect();
        f.write_str(&shown)?;
        if skipped + EXCERPT_CHARS < value.chars().count() {
            f.write_str("…")?;
        }
        Ok(())
    }
}
