//! `migrate verify`: it finds what differs, all of it, and nothing that doesn't.

mod choice;
mod harmless;
mod live;
mod matrix;
mod mended;
mod planted;
mod tombstones;

use crate::job::{Finished, Job};
use crate::lab::Lab;
use crate::planting::judge::{self, Differences};
use crate::planting::{self, PLAIN, Planted, RICH, Sides, Table, Truth, Wanted};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Classes that a verification counts and that are no differences.
const HARMLESS: [&str; 3] = ["marker", "unknown_timestamp", "capped"];

/// A table that can't be written twice is planted so often.
const ATTEMPTS: u32 = 5;
/// A write has taken effect by then, or never will.
const NOTHING_UNDER_WAY: Duration = Duration::from_secs(10);

/// Tables with planted differences, and a job whose ranges are those of a copy.
struct Field {
    lab: Lab,
    job: Job,
    truth: Truth,
}

/// So many rows in the first table, a tenth of them in the second, and so many of each case.
#[derive(Clone, Copy)]
struct Size {
    rows: u64,
    per_case: u64,
}

impl Size {
    /// That of CI, or `MIGRATE_TEST_ROWS` rows.
    fn of_test() -> Size {
        let rows = std::env::var("MIGRATE_TEST_ROWS").map_or(60_000, |rows| rows.parse().unwrap());
        Size { rows, per_case: (rows / 300).min(3000) }
    }
}

impl Field {
    /// Two tables are copied while they are all but empty, and filled on both sides.
    fn plant(name: &str, size: Size, mendable: bool) -> Option<Field> {
        let mut lab = Lab::open(name)?;
        let sides = Sides {
            sessions: [&*lab.source.session.clone(), &*lab.target.session.clone()],
            keyspace: &lab.keyspace.clone(),
        };
        let tables: [(&'static Table, u64); 2] = [(&PLAIN, size.rows), (&RICH, size.rows / 6)];
        for (table, _) in tables {
            lab.source.block_on(planting::create(&sides, table)).unwrap();
        }
        // Only where a copy has inferred a marker, a bare row of the target is no row that is extra.
        let insert = "INSERT INTO plain (k, id, author, content) VALUES (0x00, 1, 1, 'one') USING TIMESTAMP 1000";
        lab.source.run(insert);
        let job = lab.job("plain").arg("--table").arg(&lab.name("rich")).args(&["--ranges", "40"]);
        job.succeed();
        let mut truth = Truth { rows: 1, ..Truth::default() };
        let mut attempts = 1;
        for (table, rows) in tables {
            let borders = borders(&job.checkpoint, table.name);
            let seed = lab.random.next();
            let wanted = Wanted { rows, per_case: size.per_case, seed, borders, mendable };
            let of_table = loop {
                match lab.source.block_on(planting::plant(&sides, table, &wanted)) {
                    // What can't be written twice is planted anew, once nothing is under way any more.
                    Err(error) if !table.repeatable && attempts < ATTEMPTS => {
                        println!("{}: {error}", table.name);
                        attempts += 1;
                        std::thread::sleep(NOTHING_UNDER_WAY);
                        lab.both(&format!("TRUNCATE {}", table.name));
                    }
                    planted => break planted.unwrap(),
                }
            };
            truth.planted.extend(of_table.planted);
            truth.rows += of_table.rows;
        }
        println!("{} of {} rows and statics differ", truth.planted.len(), truth.rows);
        Some(Field { lab, job, truth })
    }

    /// What expires is planted with expiries that differ by a second or by many minutes; where a node stands still while it
    /// is written to, by some seconds more.
    fn verify(&self) -> Job {
        self.job.verify().args(&["--recheck-after", "100ms", "--expiry-tolerance", "60s"])
    }

    /// What the file of differences says is this, and the counts fit.
    #[track_caller]
    fn assert_found(&self, truth: &Differences) {
        let found = judge::read(BufReader::new(File::open(self.job.differences()).unwrap())).unwrap();
        assert_same(truth, &found, &self.truth.planted);
        assert_counts(truth, &counts(&self.job.checkpoint));
    }
}

/// Differences are those that were planted.
#[track_caller]
fn assert_same(truth: &Differences, found: &Differences, planted: &[Planted]) {
    let errors = judge::errors(truth, found, planted, 3);
    assert!(errors.is_empty(), "{} expected, {} found:\n{}", truth.len(), found.len(), errors.join("\n"));
}

/// As many rows are counted in each class as show it.
#[track_caller]
fn assert_counts(truth: &Differences, counts: &BTreeMap<String, u64>) {
    let classes = counts.iter().filter_map(|(name, count)| {
        let class = name.strip_prefix("rows_")?;
        let is_class = !["compared", "different", "rechecked", "repaired", "deleted"].contains(&class);
        (is_class && *count > 0).then(|| (class.to_owned(), *count))
    });
    assert_eq!(classes.collect::<BTreeMap<_, _>>(), judge::counts(truth));
    let different = truth.values().filter(|classes| classes.iter().any(|class| !HARMLESS.contains(&class.as_str())));
    assert_eq!(counts["rows_different"], different.count() as u64);
}

/// The sums of what a checkpoint counts of its latest verification. Reads a copy of the files, as opening those of a killed
/// run would change them.
fn counts(checkpoint: &Path) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(copied(checkpoint, folder.path())).unwrap();
    let mut columns = connection.prepare("SELECT name FROM pragma_table_info('verified_range')").unwrap();
    let names = columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap);
    let is_count = |name: &String| name.starts_with("rows_") || name == "bytes_read";
    let sum = |name: String| {
        let sum = format!("SELECT coalesce(sum({name}), 0) FROM verified_range");
        let sum = connection.query_row(&sum, [], |row| row.get(0)).unwrap();
        (name, sum)
    };
    names.filter(is_count).map(sum).collect()
}

/// The last tokens of the ranges of a table.
fn borders(checkpoint: &Path, table: &str) -> Vec<i64> {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(copied(checkpoint, folder.path())).unwrap();
    let ranges = "SELECT last_token FROM token_range JOIN copied_table ON id = table_id WHERE source_table = ?";
    let mut ranges = connection.prepare(ranges).unwrap();
    ranges.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// When the latest run of a verification began, in milliseconds since the Unix epoch.
fn verified_from(checkpoint: &Path) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(copied(checkpoint, folder.path())).unwrap();
    connection.query_row("SELECT max(started_at) FROM run WHERE command = 'verify'", [], |row| row.get(0)).unwrap()
}

fn copied(checkpoint: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("copy.db");
    for suffix in ["", "-wal"] {
        let file = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if file(checkpoint).exists() {
            std::fs::copy(file(checkpoint), file(&copy)).unwrap();
        }
    }
    copy
}

/// The counts of a class in the last line of `--json`.
fn counted(finished: &Finished, name: &str) -> u64 {
    finished.end()["verdict"][name].as_u64().unwrap_or_else(|| panic!("{name} in {}", finished.end()))
}

/// The differences among the events.
fn told(events: &[Value]) -> impl Iterator<Item = &Value> {
    events.iter().filter(|event| event["type"] == "difference")
}

/// The lines of the file of differences.
fn lines(job: &Job) -> Vec<Value> {
    let text = std::fs::read_to_string(job.differences()).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
