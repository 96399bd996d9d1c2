//! `migrate` against real databases: what it promises, broken on purpose.
//!
//! The nodes are those of `scripts/cluster up`: Cassandra as source and as target. The tests make their own keyspaces and
//! drop them; they run at the same time on the same nodes. Whether a copy is equal is judged by Cassandra's own
//! `sstabledump` (`support/oracle.rs`), and, where its text hides how a value is encoded, by the raw bytes of a SELECT.
//! How much was written is judged by the target's own count of mutations.
//!
//! `tests/traps.md` says which test proves what.
//!
//! Without `MIGRATE_TEST_CLUSTER=1` every test says "skipped" and passes. Random data comes from a seed that is printed,
//! another one each time; `MIGRATE_TEST_SEED=N` replays it. (`scripts/test` always takes the same one.)

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "these are tests")]

mod batches;
mod changes;
mod clock;
mod disks;
mod dual_writes;
mod empty_pages;
mod encodings;
mod expiry;
mod faults;
mod job;
mod kills;
mod lab;
mod matrix;
mod memory;
mod metadata;
mod nodes;
mod options;
#[path = "../support/oracle.rs"]
mod oracle;
mod order;
mod pace;
#[path = "../support/planting/mod.rs"]
mod planting;
mod proxy;
mod random;
mod rejects;
mod resume;
mod shapes;
mod signals;
mod splits;
mod stall;
mod storage;
mod streams;
mod tables;
mod tombstones;
mod trace;
mod traps;
mod types;
mod unrepeatable;
mod verify;
