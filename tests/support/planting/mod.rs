//! Differences of every kind, planted at random places of two tables that are equal otherwise.
//!
//! Both sides are written at the same time, with timestamps of their own, so that what differs is what was planted and
//! nothing else, and the same seed makes the same tables. It is known of each row what a verification must say of it: the
//! truth, which [`judge`] compares with what it said.

#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)] // Several programs include this; none uses all of it, none exports it.

#[path = "../again.rs"]
pub mod again;
mod case;
pub mod judge;
mod plan;
mod table;
#[path = "../tokens.rs"]
mod tokens;
mod write;

use case::Case;
use plan::Plan;
use serde::{Deserialize, Serialize};
use std::error::Error;
use table::Row;
pub use table::{PLAIN, RICH, Table};
pub use tokens::{key_around, key_of};
pub use write::Sides;

/// What is to be planted in a table.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Rows beside those of special partitions.
    pub rows: u64,
    /// How often each case is planted among them.
    pub per_case: u64,
    pub seed: u64,
    /// Tokens at which a range ends: partitions are planted at and behind each.
    pub borders: Vec<i64>,
    /// Only what `--repair` and `--delete-extra` can mend.
    pub mendable: bool,
}

/// A row that differs, or a partition's statics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    pub table: String,
    /// How it came to differ, for people.
    pub case: String,
    /// `0x…` per column of the key; of statics, the partition key.
    pub key_hex: Vec<String>,
    #[serde(rename = "static")]
    pub is_static: bool,
    /// The classes that it shows.
    pub classes: Vec<String>,
    /// Those that it still shows after a repair.
    pub left: Vec<String>,
}

impl Planted {
    /// Nothing where both sides are equal.
    fn of(table: &str, row: &Row, case: &Case) -> Option<Planted> {
        let texts = |classes: &[&str]| classes.iter().map(|&class| class.to_owned()).collect();
        (!case.classes.is_empty()).then(|| Planted {
            table: table.to_owned(),
            case: case.name.to_owned(),
            key_hex: row.key.iter().map(|cell| hex(cell)).collect(),
            is_static: row.is_static,
            classes: texts(case.classes),
            left: texts(case.left),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Creates the table where it is missing, on both sides.
pub async fn create(sides: &Sides<'_>, table: &'static Table) -> Result<(), Box<dyn Error>> {
    for statement in table.create {
        sides.run(statement).await?;
    }
    Ok(())
}

/// What a table is like that was filled.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub planted: Vec<Planted>,
    /// Rows that a scan of either side shows, statics included.
    pub rows: u64,
}

/// Fills the table on both sides.
pub async fn plant(sides: &Sides<'_>, table: &'static Table, wanted: &Wanted) -> Result<Truth, Box<dyn Error>> {
    let mut truth = Truth::default();
    let statements = sides.prepare(&table.statements()).await?;
    let plan = Plan::new(table, wanted).map(|partition| {
        truth.planted.extend(partition.planted);
        truth.rows += partition.rows;
        partition.writes
    });
    sides.write(&statements, plan, table.repeatable).await?;
    Ok(truth)
}
