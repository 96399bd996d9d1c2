//! What is told of rows that differ: a line in the file of differences, on the disk before the row counts, and an event.

use super::difference::{Classes, ColumnDifference};
use super::line::{DifferenceLine, LineTable, Written, WrittenLine};
use super::merge::Suspect;
use crate::blocking::blocking;
use crate::call::{CallError, Class};
use crate::engine::retry::GaveUp;
use crate::event::{Event, Events};
use crate::job::RangeKey;
use crate::json_lines::{JsonLines, JsonLinesError};
use crate::row::layout::Part;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The note of a row that never stood still.
pub(super) const STILL_CHANGES: &str = "it was another row with each look";

/// Where differences are told. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Report {
    file: JsonLines,
    /// By the table's number in the job.
    tables: Arc<BTreeMap<usize, LineTable>>,
}

/// A line of the file.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Difference(DifferenceLine),
    Written(WrittenLine),
}

impl Report {
    /// Tells of these tables, by their number in the job.
    pub fn new(file: JsonLines, tables: BTreeMap<usize, LineTable>) -> Report {
        Report { file, tables: Arc::new(tables) }
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
        note: Option<String>,
    ) -> Option<Line> {
        let table = self.tables.get(&key.table)?;
        Some(Line::Written(table.written(what, &suspect.key, suspect.part == Part::Static, note)))
    }

    /// Tells lines, and returns when they are on the disk.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub(super) async fn tell(&self, events: &Events, lines: Vec<Line>) -> Result<(), GaveUp> {
        if lines.is_empty() {
            return Ok(());
        }
        let file = self.file.clone();
        let (written, lines) = blocking(move || (file.write(&lines), lines)).await;
        written.map_err(|error| {
            let class = Class::Other;
            GaveUp::Failed(CallError { class, message: error.to_string() }, 1)
        })?;
        for line in lines {
            events.emit(match line {
                Line::Difference(line) => Event::Difference(Box::new(line)),
                Line::Written(line) => Event::Mended(Box::new(line)),
            });
        }
        Ok(())
    }
}
