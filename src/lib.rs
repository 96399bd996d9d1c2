//! `migrate` moves live tables from Apache Cassandra to ScyllaDB: fast, exact, and resumable after any crash.
//!
//! # How data flows
//!
//! ```text
//! plan ─► ranges in SQLite ─► claim ─► scan (pages of raw rows) ─► group (mutations) ─► write (bounded pool) ─► ack ─► commit
//!                                           │                                                             │
//!                                           └────────────── events ─► bar · log lines · JSON ◄────────────┘
//! ```
//!
//! # Where things are
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`], [`variables`], [`settings`] | what was typed, and is in the environment; what is meant |
//! | [`cluster`] | the only code that knows the driver: sessions, TLS, pages in, batches out |
//! | [`schema`] | tables, their differences, the CQL that reads and writes them, what is kept of each column |
//! | [`create_schema`], [`schema::ddl`] | `migrate schema`: the statements that create a schema, translated for the target |
//! | [`select`] | from patterns to tables |
//! | [`ring`] | tokens and ranges: pure |
//! | [`job`], [`side`], [`slowed`], [`call`], [`clock`], [`escape`] | small nouns that everybody uses |
//! | [`shutdown`], [`open_files`], [`blocking`] | what the operating system asks and allows; waiting for its disks |
//! | [`row`] | raw cells and elements, grouping into mutations and batches, binding |
//! | [`rejects`], [`json_lines`] | keys of rows that the target refused for good; files of such lines |
//! | [`preflight`], [`plan`] | all that can be known before the first row; what will happen, as data |
//! | [`table_options`] | what of a target table endangers a copy, and setting it right meanwhile |
//! | [`checkpoint`] | the only code that knows SQLite; `migrations.sql` is its DDL |
//! | [`engine`] | what works through ranges: readers, pages, splits, retries, the pace, the low-water mark |
//! | [`copy`] | what becomes of rows in a copy: batches, written through one bounded pool |
//! | [`verify`] | what becomes of them in a verification: both sides merged, differences looked at again, mended, told |
//! | [`event`], [`ui`] | the vocabulary of everything that happens; the only code that prints |
//!
//! # The laws
//!
//! 1. **Acks before commit.** A range, or a prefix of it, is recorded as done only when its scan ended without error and every
//!    statement that it produced was acknowledged. Then the commit, then the event. ([`copy`], [`checkpoint::committer`])
//! 2. **The ranges tile the ring.** 2^64 tokens per table, no gap, no overlap, checked on every open. ([`ring::TilingCheck`])
//! 3. **Running anything twice changes nothing.** Every write carries its own timestamp and may be repeated in any order. What
//!    can't be repeated (elements of lists on Cassandra, counters) is decided by reading the target first.
//! 4. **Never newer than the source.** A cell carries the writetime that was read; what has none that can be read gets the one
//!    fixed `--unknown-timestamp`.
//! 5. **Expiry is absolute.** The TTL that is written is computed when it is sent; "no TTL" is an explicit 0. ([`row::bind`])
//! 6. **Bytes, not values.** Cells are never decoded. Null is absence and never bound. ([`row::page`], [`row::element`])
//! 7. **Per cell, not per row.** One statement per (writetime, TTL), one mutation per row; elements are added, never assigned.
//!    ([`row::statement`])
//! 8. **Accounting closes.** `rows_read = rows_written + rows_expired + rows_rejected` for every cursor; the checkpoint's DDL
//!    insists on it. ([`job::Tally`], [`rejects`])
//! 9. **Memory is bounded in bytes.** Pages and requests under way share one budget.
//! 10. **The checkpoint is the truth.** One job, one file, one live process; no secret in it; looking changes nothing.
//! 11. **Production first.** Limits, latency and overload set the pace; failing calls are retried with growing waits; what
//!     can't be done is said. ([`engine::pace`])
//!
//! # Words
//!
//! *source*, *target*: the cluster that is read, the one that is written. *Selection*: the patterns of tables that a job is
//! known by. *Broken*: said of a table that can't be copied, or whose copy can't be trusted, while others can. *Range*: tokens from `first` to `last`, both
//! included. *Cursor*: the token up to which a range is acknowledged, and the row of the partition behind it. *Slice*: rows of a
//! partition between two places in the order of its clustering key. *Lane*: one table's way from source to target. *Pair*: a table at both sides. *Suspect*: a row that
//! differed when it was read. *Difference*: one that still does.
//! *Page*: what a server answers at once. *Batch*: mutations that travel together. *Run*: one life of the process. *Job*:
//! what a checkpoint is for.

pub mod blocking;
pub mod call;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod copy;
pub mod create_schema;
pub mod engine;
pub mod escape;
pub mod event;
pub mod job;
pub mod json_lines;
pub mod open_files;
pub mod paths;
pub mod plan;
pub mod preflight;
pub mod rejects;
pub mod ring;
pub mod row;
pub mod run;
pub mod schema;
pub mod select;
pub mod settings;
pub mod shutdown;
pub mod side;
pub mod slowed;
pub mod table_options;
pub mod ui;
pub mod variables;
pub mod verify;
