//! How a verification begins and ends, for whoever tells of it.

use crate::job::{Conclusion, FoundVerification, RunOutcome, Verdict};
use crate::schema::TableName;
use crate::settings::verify::VerifySettings;
use crate::shutdown::Signal;
use crate::side::Side;
use serde::Serialize;
use std::path::PathBuf;

/// A verification that begins, or goes on.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct VerificationBegun {
    /// Its number: 1 is the job's first.
    pub id: i64,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    /// The share of each range that is compared, where that isn't all of it.
    pub sample: Option<String>,
    /// Which share.
    pub seed: Option<u64>,
    /// How many partitions were named; 0 where all are compared.
    pub partitions: usize,
    /// Whether what is missing or older at the target is written.
    pub repair: bool,
    /// Whether what the target alone has is deleted.
    pub delete_extra: bool,
    /// Whether another pass follows this one.
    pub follow: bool,
    /// Where differences are listed.
    pub differences: PathBuf,
    /// What was found of it.
    #[serde(flatten)]
    pub found: FoundVerification,
}

impl VerificationBegun {
    /// What is told of a verification with these settings. `seed` is the one that was given or drawn.
    pub fn new(
        settings: &VerifySettings,
        id: i64,
        seed: Option<u64>,
        partitions: usize,
        differences: PathBuf,
        found: FoundVerification,
    ) -> VerificationBegun {
        VerificationBegun {
            id,
            resumed: found.ranges_done > 0 || found.fraction > 0.0,
            sample: settings.sample.map(|share| share.to_string()),
            seed: seed.filter(|_| settings.sample.is_some()),
            partitions,
            repair: settings.repair,
            delete_extra: settings.delete_extra,
            follow: settings.follow,
            differences,
            found,
        }
    }
}

impl VerificationBegun {
    /// How much of each table's ring is compared, above 0, at most 1.
    pub fn share(&self) -> f64 {
        let percent = self.sample.as_ref().and_then(|sample| sample.strip_suffix('%')?.parse::<f64>().ok());
        percent.map_or(1.0, |percent| percent / 100.0)
    }
}

/// How a verification ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyEnded {
    /// As the checkpoint has it: done only where all was compared, of all tables.
    pub outcome: RunOutcome,
    /// What it has come to, in all of its runs.
    pub verdict: Verdict,
    /// Ranges that failed in this run.
    pub failed: u64,
    /// Ranges that nobody claimed, because too many before them had failed.
    pub unclaimed: usize,
    /// What asked it to stop, if anything did.
    pub signal: Option<Signal>,
    /// The side to which nothing got through for too long, if that is why it ended.
    pub gave_up: Option<Side>,
    /// Where the differences are, where there are any or rows were written.
    pub differences: Option<PathBuf>,
}

/// How much a pass of several has compared, and what that says of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassEnded {
    /// As that of a verification which ends with it.
    pub conclusion: Conclusion,
    /// Whether every row was compared, of all tables that the job should have.
    pub all_compared: bool,
    /// Ranges that are not compared: they failed, or came behind too many that did, or are of a table that broke in this pass.
    pub ranges_left_out: u64,
    /// Tables that are broken, by their names at the source.
    pub tables_left_out: Vec<TableName>,
}

impl VerifyEnded {
    /// Whether no range failed, or was left out because others did.
    pub fn is_all_read(&self) -> bool {
        self.failed == 0 && self.unclaimed == 0
    }

    /// Whether every row was compared, of all tables that the job should have.
    pub fn all_compared(&self) -> bool {
        self.outcome == RunOutcome::Done && self.is_all_read() && self.verdict.rows_unsettled == 0
    }

    /// What it says of both sides.
    pub fn conclusion(&self) -> Conclusion {
        Conclusion::of(&self.verdict, Some(self.outcome), self.is_all_read())
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match (self.outcome, self.conclusion()) {
            (RunOutcome::Stopped | RunOutcome::Error, _) => self.signal.map_or(1, Signal::exit_code),
            (_, Conclusion::Differences) => 4,
            (_, Conclusion::Incomplete | Conclusion::Unfinished) => 3,
            (_, Conclusion::Equal) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_the_exit_code() {
        let ended = |outcome, rows_different, rows_unsettled, failed| VerifyEnded {
            outcome,
            verdict: Verdict { rows_different, rows_unsettled, rows_marker: 9, ..Verdict::default() },
            failed,
            unclaimed: 0,
            signal: (outcome == RunOutcome::Stopped).then_some(Signal::Interrupt),
            gave_up: None,
            differences: None,
        };
        for (outcome, different, unsettled, failed, conclusion, code) in [
            (RunOutcome::Done, 0, 0, 0, Conclusion::Equal, 0),
            (RunOutcome::Done, 1, 0, 0, Conclusion::Differences, 4),
            (RunOutcome::Done, 0, 1, 0, Conclusion::Incomplete, 3),
            (RunOutcome::Done, 1, 1, 0, Conclusion::Differences, 4),
            (RunOutcome::Incomplete, 0, 0, 1, Conclusion::Incomplete, 3),
            (RunOutcome::Incomplete, 1, 0, 1, Conclusion::Differences, 4),
            (RunOutcome::Stopped, 0, 0, 0, Conclusion::Unfinished, 130),
            (RunOutcome::Stopped, 1, 0, 0, Conclusion::Differences, 130),
            (RunOutcome::Error, 0, 0, 0, Conclusion::Unfinished, 1),
        ] {
            let ended = ended(outcome, different, unsettled, failed);
            assert_eq!((ended.conclusion(), ended.exit_code()), (conclusion, code), "{ended:?}");
            let is_whole = outcome == RunOutcome::Done && unsettled == 0 && failed == 0;
            assert_eq!(ended.all_compared(), is_whole, "{ended:?}");
        }
    }
}
