//! Source and target.

use serde::Serialize;
use std::fmt;

/// One of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Where rows are read.
    Source,
    /// Where they are written.
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

impl Side {
    /// The environment variable of this side's password.
    pub fn password_variable(self) -> &'static str {
        match self {
            Side::Source => "MIGRATE_SOURCE_PASSWORD",
            Side::Target => "MIGRATE_TARGET_PASSWORD",
        }
    }
}

/// The nodes of one side's datacenter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Nodes {
    /// All of them.
    pub all: usize,
    /// Those to which there is no connection.
    pub silent: usize,
}
