//! What is told of rows that differ: a line in the file of differences, on the disk before the row counts, and an event.

use super::difference::{Classes, ColumnDifference};
use super::line::{DifferenceLine, LineTable, Written, WrittenLine};
use super::merge::Suspect;
use crate::blocking::blocking;
use crate::engine::retry::GaveUp;
use crate::event::{Event, Events};
use crate::job::RangeKey;
use crate::json_lines::{JsonLines, JsonLinesError};
use crate::row::layout::Part;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The note of a row that never stood still.
pub(super) const STILL_CHANGES: &str = "it was another row with each look";

/// Where differences are told. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Report {
    file: JsonLines,
    /// By the table's number in the job.
    tables: Arc<BTreeMap<usize, LineTable>>,
    verification: Numbered,
    /// Whether anything was told.
    any: Arc<AtomicBool>,
    /// Why nothing more can be told, if so.
    failure: Arc<Mutex<Option<JsonLinesError>>>,
}

/// What tells verifications apart: of partitions alone, each is the first one.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Numbered {
    /// Its number in its job.
    verification: i64,
    /// When it began, in milliseconds since the Unix epoch.
    started_at: i64,
}

/// A line to be told.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Difference(DifferenceLine),
    Written(WrittenLine),
}

/// The same in the file: as its event, but for what it belongs to.
#[derive(Serialize)]
#[serde(untagged)]
enum Stored<'a> {
    Difference {
        #[serde(rename = "type")]
        what: &'static str,
        #[serde(flatten)]
        verification: Numbered,
        #[serde(flatten)]
        line: &'a DifferenceLine,
    },
    Written {
        #[serde(flatten)]
        verification: Numbered,
        #[serde(flatten)]
        line: &'a WrittenLine,
    },
}

impl<'a> Stored<'a> {
    fn of(line: &'a Line, verification: Numbered) -> Stored<'a> {
        match line {
            Line::Difference(line) => Stored::Difference { what: "difference", verification, line },
            Line::Written(line) => Stored::Written { verification, line },
        }
    }
}

impl Report {
    /// Tells of these tables, by their number in the job.
    pub fn new(file: JsonLines, tables: BTreeMap<usize, LineTable>) -> Report {
        let tables = Arc::new(tables);
        Report { file, tables, verification: Numbered::default(), any: Arc::default(), failure: Arc::default() }
    }

    /// The same, of the verification of this number, which began at that time since the Unix epoch.
    #[must_use]
    pub fn of(&self, verification: i64, started_at: Duration) -> Report {
        let started_at = i64::try_from(started_at.as_millis()).unwrap_or(i64::MAX);
        Report { verification: Numbered { verification, started_at }, ..self.clone() }
    }

    /// Whether anything was told by this process.
    pub fn has_told(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Why something could not be told, if so: what is found since isn't worth much.
    pub fn take_failure(&self) -> Option<JsonLinesError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes sure that the file can be written before there is something to tell.
    ///
    /// # Errors
    /// Where it can't.
    pub fn probe(&self) -> Result<(), JsonLinesError> {
        self.file.probe()
    }

    /// Moves the file of an earlier verification aside, and says where it is now.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn set_aside(&self) -> Result<Option<PathBuf>, JsonLinesError> {
        self.file.set_aside()
    }

    /// The line of a row that differs.
    pub(super) fn difference(
        &self,
        key: RangeKey,
        suspect: &Suspect,
        classes: Classes,
        columns: &[ColumnDifference],
        note: Option<String>,
    ) -> Option<Line> {
        let table = self.tables.get(&key.table)?;
        let is_static = suspect.part == Part::Static;
        Some(Line::Difference(table.difference(&suspect.key, is_static, classes, columns, note)))
    }

    /// The line of a row that was written or deleted.
    pub(super) fn written(
        &self,
        key: RangeKey,
        what: Written,
        suspect: &Suspect,
        columns: &[ColumnDifference],
    ) -> Option<Line> {
        let table = self.tables.get(&key.table)?;
        Some(Line::Written(table.written(what, &suspect.key, suspect.part == Part::Static, columns)))
    }

    /// Tells lines, and returns when they are on the disk.
    ///
    /// # Errors
    /// Where the file can't be written: [`Report::take_failure`].
    pub(super) async fn tell(&self, events: &Events, lines: Vec<Line>) -> Result<(), GaveUp> {
        if lines.is_empty() {
            return Ok(());
        }
        let (file, verification) = (self.file.clone(), self.verification);
        let (written, lines) =
            blocking(move || (file.write(lines.iter().map(|line| Stored::of(line, verification))), lines)).await;
        written.map_err(|error| {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            // No side is to blame, and no row: all that isn't told yet is compared again in the next run.
            GaveUp::Stopped
        })?;
        self.any.store(true, Ordering::Relaxed);
        for line in lines {
            events.emit(match line {
                Line::Difference(line) => Event::Difference(Box::new(line)),
                Line::Written(line) => Event::Mended(Box::new(line)),
            });
        }
        Ok(())
    }
}
