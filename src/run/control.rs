//! `migrate set`, `pause` and `continue`.

use super::{Error, print};
use crate::checkpoint::control::{self, Changed};
use crate::cli::{ControlArgs, SetArgs};
use crate::ui::control as text;

/// Sets values for a job, and says what held and what holds.
pub(super) fn set(args: &SetArgs) -> Result<u8, Error> {
    let changed = control::set(&args.checkpoint, &args.assignments)?;
    let keys = args.assignments.iter().map(|assignment| assignment.key);
    print(&text::set(&changed, keys))
}

/// Pauses a job, or lets it go on.
pub(super) fn pause(args: &ControlArgs, paused: bool) -> Result<u8, Error> {
    let changed: Changed = control::pause(&args.checkpoint, paused)?;
    print(&text::pause(&changed))
}
