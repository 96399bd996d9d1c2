//! What is told of the pace.

use serde::Serialize;

/// What stands in the way of more speed, where that is somebody's wish or a cluster in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Slowed {
    /// The operator's `migrate pause`.
    Paused,
    /// `--rows-per-second`.
    RowsPerSecond,
    /// `--bytes-per-second`.
    BytesPerSecond,
    /// Either of them, as it is at this time of day.
    Schedule,
    /// Pages take longer than `--source-latency`.
    SourceLatency,
    /// Reads time out.
    SourceTimeouts,
    /// The source asks for less.
    SourceOverloaded,
    /// Writes take longer than `--target-latency`.
    TargetLatency,
    /// Writes time out.
    TargetTimeouts,
    /// The target asks for less.
    TargetOverloaded,
    /// `--memory` is full.
    Memory,
    /// Nothing gets through to the source.
    SourceSilent,
    /// Nothing gets through to the target.
    TargetSilent,
}

impl Slowed {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Slowed::Paused => "paused",
            Slowed::RowsPerSecond => "held back by rows-per-second",
            Slowed::BytesPerSecond => "held back by bytes-per-second",
            Slowed::Schedule => "held back by the schedule",
            Slowed::SourceLatency => "held back by source-latency",
            Slowed::SourceTimeouts => "held back by timeouts at the source",
            Slowed::SourceOverloaded => "held back, since the source is overloaded",
            Slowed::TargetLatency => "held back by target-latency",
            Slowed::TargetTimeouts => "held back by timeouts at the target",
            Slowed::TargetOverloaded => "held back, since the target is overloaded",
            Slowed::Memory => "held back by memory",
            Slowed::SourceSilent => "waiting for the source",
            Slowed::TargetSilent => "waiting for the target",
        }
    }
}

/// The pace of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PaceNow {
    /// What stands in the way of more speed, if anything does.
    pub slowed_by: Option<Slowed>,
    /// Pages that may be asked for at the same time.
    pub readers: u64,
    /// Writes that may be under way at the same time.
    pub writers: u64,
    /// Rows per second at most.
    pub rows_per_second_max: Option<u64>,
    /// Bytes per second at most.
    pub bytes_per_second_max: Option<u64>,
    /// What 99 of 100 pages took at most in the last seconds, in milliseconds.
    pub source_p99_ms: Option<u64>,
    /// What 99 of 100 writes took at most in the last seconds, in milliseconds.
    pub target_p99_ms: Option<u64>,
}
