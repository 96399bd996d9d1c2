//! Dumps of `sstabledump`: reading them, and filling in what they leave out.

use super::{LOOKAHEAD_BYTES, Options};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead};

/// At least so many bytes lie between the positions of a partition's last row and of the next partition: an end mark (1),
/// the next key (3), the time of its deletion (1).
const PARTITION_GAP: u64 = 5;

/// One side's dump.
pub struct Dump<'a> {
    /// The output of `sstabledump -l -t`.
    pub json: Box<dyn BufRead + 'a>,
    /// The output of `sstabledump -d` on the same file; rows without a TTL may be left out.
    pub details: Option<Box<dyn BufRead + 'a>>,
}

/// The side of the comparison that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The table that was copied.
    Source,
    /// The copy.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

/// Why two dumps could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot read the dump of the {side}: {error}")]
    Read {
        /// Whose dump it is.
        side: Side,
        /// Why it failed.
        error: io::Error,
    },
    /// A line is not what `sstabledump -l -t` prints.
    #[error("line {line} of the {side}'s dump is not of `sstabledump -l -t`: {error}")]
    Malformed {
        /// Whose dump it is.
        side: Side,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Several files were dumped one after another.
    #[error(
        "line {line} of the {side}'s dump starts another SSTable, so the dump isn't sorted; \
         flush and compact the table until one is left, and dump that"
    )]
    SeveralTables {
        /// Whose dump it is.
        side: Side,
        /// The line, counted from 1.
        line: u64,
    },
    /// The details are not of the same file.
    #[error("the details of the {side} do not fit its dump: {problem} at position {position}; dump both from one file")]
    Details {
        /// Whose details they are.
        side: Side,
        /// What does not fit.
        problem: &'static str,
        /// The row, by its position in the file.
        position: u64,
    },
    /// The search for a common partition was given up.
    #[error("no common partition within {} MiB, from line {source_line} of the source's dump on and line {target_line} \
             of the target's", LOOKAHEAD_BYTES >> 20)]
    NothingInCommon {
        /// The line where the search began on the source, counted from 1.
        source_line: u64,
        /// The line where the search began on the target, counted from 1.
        target_line: u64,
    },
}

/// One partition.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) number: u64,
}

pub(super) struct Reader<'a> {
    pub(super) side: Side,
    json: Box<dyn BufRead + 'a>,
    details: Option<Details<'a>>,
    lines: u64,
    /// Lines that were read in search of a common partition.
    pub(super) ahead: VecDeque<Line>,
    /// The last line whose order was checked, and the position of its last row.
    checked: Option<(u64, u64)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(side: Side, dump: Dump<'a>) -> Reader<'a> {
        let details = dump.details.map(|text| Details { side, text, record: None, next_line: String::new() });
        Reader { side, json: dump.json, details, lines: 0, ahead: VecDeque::new(), checked: None }
    }

    pub(super) fn next(&mut self) -> Result<Option<Line>, Error> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        self.read()
    }

    fn read(&mut self) -> Result<Option<Line>, Error> {
        let mut text = String::new();
        loop {
            text.clear();
            self.lines += 1;
            match self.json.read_line(&mut text) {
                Ok(0) => return Ok(None),
                Ok(_) if text.trim().is_empty() => {}
                Ok(_) => return Ok(Some(Line { text, number: self.lines })),
                Err(error) => return Err(Error::Read { side: self.side, error }),
            }
        }
    }

    /// The key of a partition further on, and its size.
    pub(super) fn peek(&mut self, index: usize) -> Result<Option<(String, usize)>, Error> {
        if index == self.ahead.len() {
            let Some(line) = self.read()? else { return Ok(None) };
            self.parse(&line)?;
            self.ahead.push_back(line);
        }
        let Some(line) = self.ahead.get(index) else {
            return Ok(None);
        };
        let key = parse(self.side, line)?.key().to_owned();
        Ok(Some((key, line.text.len())))
    }

    pub(super) fn parse<'l>(&mut self, line: &'l Line) -> Result<Partition<'l>, Error> {
        let partition = parse(self.side, line)?;
        match self.checked {
            Some((checked, _)) if line.number <= checked => {}
            // Positions in a file grow, so this is another file.
            Some((_, end)) if partition.header.position < end + PARTITION_GAP => {
                return Err(Error::SeveralTables { side: self.side, line: line.number });
            }
            _ => {
                let end = partition.rows.iter().filter_map(|row| row.position).max();
                self.checked = Some((line.number, end.unwrap_or(partition.header.position)));
            }
        }
        Ok(partition)
    }

    /// Fills in what the dump leaves out. Partitions have to come in their order.
    pub(super) fn settle(&mut self, partition: &mut Partition<'_>, options: &Options) -> Result<(), Error> {
        for row in &mut partition.rows {
            if options.lists_by_order {
                number_elements(&mut row.cells);
            }
            for cell in &mut row.cells {
                cell.settle(row.liveness_info.as_ref());
            }
            if let (Some(details), Some(position), Some(Liveness { ttl: Some(_), .. })) =
                (&mut self.details, row.position, &row.liveness_info)
            {
                details.settle(position, &mut row.cells)?;
            }
        }
        Ok(())
    }
}

fn parse(side: Side, line: &Line) -> Result<Partition<'_>, Error> {
    serde_json::from_str(&line.text).map_err(|error| Error::Malformed { side, line: line.number, error })
}

/// The elements of lists, which are those with a time UUID for a path, get their number for a path.
fn number_elements(cells: &mut [Cell<'_>]) {
    let mut number = 0;
    for index in 0..cells.len() {
        if index > 0 && cells[index].name != cells[index - 1].name {
            number = 0;
        }
        let cell = &mut cells[index];
        let is_time_uuid = |path: &RawValue| path.get().len() == 40 && path.get().as_bytes()[16] == b'1';
        if !cell.is_tombstone() && cell.path.is_some_and(is_time_uuid) {
            cell.element = Some(number);
            number += 1;
        }
    }
}

// A line of the dump. What it says beyond this is an error, so that nothing goes unnoticed.

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Partition<'a> {
    #[serde(rename = "table kind")]
    _table_kind: Option<serde::de::IgnoredAny>,
    #[serde(borrow, rename = "partition")]
    pub(super) header: Header<'a>,
    #[serde(borrow)]
    pub(super) rows: Vec<Row<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) key: &'a RawValue,
    pub(super) position: u64,
    pub(super) deletion_info: Option<Deletion>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deletion {
    /// Only with the deletion of more than a cell; a cell tombstone has its `tstamp`.
    pub(super) marked_deleted: Option<Number>,
    #[serde(rename = "local_delete_time")]
    _local_delete_time: Number,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row<'a> {
    #[serde(rename = "type")]
    pub(super) kind: RowKind,
    pub(super) position: Option<u64>,
    #[serde(borrow)]
    pub(super) clustering: Option<&'a RawValue>,
    pub(super) liveness_info: Option<Liveness>,
    pub(super) deletion_info: Option<Deletion>,
    #[serde(borrow, default)]
    pub(super) cells: Vec<Cell<'a>>,
    #[serde(borrow)]
    pub(super) start: Option<Bound<'a>>,
    #[serde(borrow)]
    pub(super) end: Option<Bound<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RowKind {
    Row,
    StaticBlock,
    RangeTombstoneBound,
    RangeTombstoneBoundary,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Liveness {
    pub(super) tstamp: Number,
    pub(super) ttl: Option<i32>,
    pub(super) expires_at: Option<Number>,
    #[serde(rename = "expired")]
    _expired: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bound<'a> {
    #[serde(rename = "type")]
    pub(super) kind: BoundKind,
    #[serde(borrow)]
    pub(super) clustering: Option<&'a RawValue>,
    pub(super) deletion_info: Deletion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BoundKind {
    Inclusive,
    Exclusive,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cell<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) path: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    pub(super) value: Option<&'a RawValue>,
    pub(super) deletion_info: Option<Deletion>,
    pub(super) tstamp: Option<Number>,
    #[serde(rename = "ttl")]
    _ttl: Option<i32>,
    pub(super) expires_at: Option<Number>,
    #[serde(rename = "expired")]
    _expired: Option<bool>,
    #[serde(skip)]
    pub(super) element: Option<usize>,
    #[serde(skip)]
    pub(super) expiry: Expiry,
}

/// A number in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "&str")]
pub(super) struct Number(pub(super) i64);

impl TryFrom<&str> for Number {
    type Error = std::num::ParseIntError;

    fn try_from(text: &str) -> Result<Number, Self::Error> {
        text.parse().map(Number)
    }
}

/// The value null is one (NaN); only a missing one is none.
fn even_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expiry {
    #[default]
    Never,
    At(i64),
    /// Never, or some time that the dump does not tell.
    Open,
}

impl Partition<'_> {
    /// The same key with nothing under it.
    pub(super) fn nothing(&self) -> Self {
        Partition { _table_kind: None, header: Header { deletion_info: None, ..self.header }, rows: Vec::new() }
    }

    pub(super) fn key(&self) -> &str {
        self.header.key.get()
    }

    pub(super) fn is_live(&self) -> bool {
        self.rows.iter().any(Row::is_live)
    }
}

impl Row<'_> {
    /// A row with nothing in it.
    pub(super) fn nothing(kind: RowKind) -> Self {
        Row {
            kind,
            position: None,
            clustering: None,
            liveness_info: None,
            deletion_info: None,
            cells: Vec::new(),
            start: None,
            end: None,
        }
    }

    /// Whether it is more than tombstones.
    pub(super) fn is_live(&self) -> bool {
        self.liveness_info.is_some() || self.cells.iter().any(|cell| !cell.is_tombstone())
    }

    pub(super) fn key(&self) -> (RowKind, &str) {
        (self.kind, self.clustering.map_or("static", RawValue::get))
    }
}

impl Liveness {
    pub(super) fn expiry(&self) -> Expiry {
        self.expires_at.map_or(Expiry::Never, |Number(at)| Expiry::At(at))
    }
}

impl Cell<'_> {
    pub(super) fn settle(&mut self, liveness: Option<&Liveness>) {
        self.expiry = match (self.expires_at, liveness) {
            (Some(Number(at)), _) => Expiry::At(at),
            // Written by the statement that wrote the row marker: the dump leaves out what is the same.
            (None, Some(liveness)) if self.tstamp.is_none() => liveness.expiry(),
            (None, Some(Liveness { ttl: Some(_), .. })) => Expiry::Open,
            (None, _) => Expiry::Never,
        };
        if self.is_tombstone() {
            self.expiry = Expiry::Never;
        }
        self.tstamp = self.tstamp.or(liveness.map(|liveness| liveness.tstamp));
    }

    /// Whether it deletes a whole collection.
    pub(super) fn is_collection_tombstone(&self) -> bool {
        self.deletion_info.is_some_and(|deletion| deletion.marked_deleted.is_some())
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.deletion_info.is_some()
    }

    pub(super) fn timestamp(&self) -> Option<i64> {
        self.deletion_info.and_then(|deletion| deletion.marked_deleted).or(self.tstamp).map(|Number(at)| at)
    }

    pub(super) fn key(&self) -> (&str, Option<&str>, Option<usize>, bool) {
        let path = if self.element.is_some() { None } else { self.path.map(RawValue::get) };
        (&self.name, path, self.element, self.is_collection_tombstone())
    }

    pub(super) fn value(&self) -> &str {
        self.value.map_or("none", RawValue::get)
    }

    pub(super) fn describe(&self) -> String {
        match (self.element, self.path) {
            (Some(element), _) => format!("{}, element {}", self.name, element + 1),
            (None, Some(path)) => format!("{} {path}", self.name),
            (None, None) => self.name.to_string(),
        }
    }
}

/// The output of `sstabledump -d`: a record per row, which starts `[KEY]@POSITION Row[info=…` and goes on in further lines
/// if a value has line ends. Values are in it without quotes, so that it cannot be taken apart alone.
struct Details<'a> {
    side: Side,
    text: Box<dyn BufRead + 'a>,
    /// The position and text of the current row with a TTL.
    record: Option<(u64, String)>,
    /// The line after it.
    next_line: String,
}

impl Details<'_> {
    /// Reads the expiry of each cell of the row at this position.
    fn settle(&mut self, position: u64, cells: &mut [Cell<'_>]) -> Result<(), Error> {
        while self.record.as_ref().is_none_or(|(at, _)| *at < position) {
            if !self.next_record()? {
                break;
            }
        }
        let misfit = |problem| Error::Details { side: self.side, problem, position };
        let Some((_, record)) = self.record.as_ref().filter(|(at, _)| *at == position) else {
            return Err(misfit("they lack the row"));
        };
        let (_, mut rest) = record.split_once(" ]: ").ok_or_else(|| misfit("there is no list of cells"))?;
        for cell in cells {
            let (false, Some(Number(timestamp))) = (cell.is_collection_tombstone(), cell.tstamp) else {
                continue;
            };
            // In front of it is the value, which may be anything; the timestamp is known.
            let needle = format!(" ts={timestamp}");
            let tail = loop {
                let at = rest.find(&needle).ok_or_else(|| misfit("they lack a cell"))?;
                rest = &rest[at + needle.len()..];
                if rest.starts_with(']') || rest.starts_with(" ttl=") || rest.starts_with(" ldt=") {
                    break rest;
                }
            };
            if cell.is_tombstone() {
                continue;
            }
            cell.expiry = match tail.strip_prefix(" ttl=").and_then(|tail| tail.split_once(" ldt=")) {
                None => Expiry::Never,
                Some((_, tail)) => {
                    let digits = tail.split(']').next().unwrap_or_default();
                    Expiry::At(digits.parse().map_err(|_| misfit("they lack an expiry"))?)
                }
            };
        }
        Ok(())
    }

    /// Goes on to the next row with a TTL, unless there is none.
    fn next_record(&mut self) -> Result<bool, Error> {
        let mut record: Option<(u64, String)> = None;
        loop {
            if self.next_line.is_empty() {
                match self.text.read_line(&mut self.next_line) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => return Err(Error::Read { side: self.side, error }),
                }
            }
            match (record_start(&self.next_line), &mut record) {
                (Some(_), Some(_)) => break,
                (Some((position, true)), None) => record = Some((position, std::mem::take(&mut self.next_line))),
                (None, Some((_, text))) => text.push_str(&self.next_line),
                (Some((_, false)) | None, None) => {}
            }
            self.next_line.clear();
        }
        let found = record.is_some();
        self.record = record;
        Ok(found)
    }
}

/// If this line starts a record: its position, and whether it is a row with a TTL.
fn record_start(line: &str) -> Option<(u64, bool)> {
    line.match_indices("]@").find_map(|(at, _)| {
        let (position, rest) = line[at + 2..].split_once(' ')?;
        let position = position.parse().ok()?;
        if let Some(info) = rest.strip_prefix("Row[info=[ts=") {
            return Some((position, info.split(']').next().is_some_and(|info| info.contains(" ttl="))));
        }
        (rest.starts_with("Marker ") || rest.starts_with("deletedAt=")).then_some((position, false))
    })
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expiry::Never => f.write_str("none"),
            Expiry::At(at) => write!(f, "expires at {at}"),
            Expiry::Open => f.write_str("open"),
        }
    }
}
