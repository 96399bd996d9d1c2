//! Parses the command line, builds the runtime, runs, and turns the result into an exit code.

use clap::{CommandFactory, FromArgMatches};
use migrate::cli::{self, Cli};
use migrate::{run, ui, variables};
use std::process::ExitCode;

/// Pages of a megabyte come and go; the C library's allocator maps and unmaps each of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = variables::without_empty(Cli::command())
        .try_get_matches()
        .unwrap_or_else(|error| cli::without_passwords(error).exit());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = run::check_flags(&matches).and_then(|()| {
        ui::log_driver(cli.verbose);
        let runtime = run::runtime(&cli)?;
        let result = runtime.block_on(run::run(cli));
        // Without waiting for what hangs: a name server that doesn't answer would hold us for its own time.
        runtime.shutdown_background();
        result
    });
    let code = result.unwrap_or_else(|error| {
        ui::print_error(&error, error.hint());
        error.exit_code()
    });
    ui::flush();
    ExitCode::from(code)
}
