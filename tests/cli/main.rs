//! The command line as an operator meets it: what is typed, what is answered, with which exit code.
//!
//! The first half needs no database. The second half, `real`, asks the nodes of `scripts/cluster up source target secure`;
//! without `MIGRATE_TEST_CLUSTER=1` each of its tests says "skipped" and passes.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "these are tests")]

#[path = "../support/again.rs"]
mod again;
mod certificates;
mod checkpoints;
mod control;
mod flags;
mod hosts;
mod lab;
mod names;
mod output;
mod passwords;
mod real;
mod tool;
mod verified;
mod verify;
mod watch;
