//! Environment variables that are empty: CI systems and compose files make them of what isn't set, so they count as that.

use clap::builder::Resettable;
use clap::{Arg, Command};

/// The command, which takes nothing from a variable that is empty.
#[must_use]
pub fn without_empty(command: Command) -> Command {
    command.mut_args(without_empty_variable).mut_subcommands(without_empty)
}

fn without_empty_variable(argument: Arg) -> Arg {
    match argument.get_env() {
        Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => argument.env(Resettable::Reset),
        _ => argument,
    }
}
