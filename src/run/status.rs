//! `migrate status`: once, or again and again for as long as a process works on the job.

use super::{Error, print, print_if_read};
use crate::blocking::blocking;
use crate::checkpoint::status::{self, Status};
use crate::cli::StatusArgs;
use crate::ui::tables;
use crate::ui::text::{Style, is_screen, redraw};
use std::time::Duration;

/// How often it is looked whether anything has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shows what the checkpoint says.
pub(super) async fn command(args: &StatusArgs) -> Result<u8, Error> {
    if !args.watch {
        let status = status::read(&args.checkpoint)?;
        return print(&text(&status, args)?);
    }
    let is_screen = !args.json && is_screen();
    let mut shown = String::new();
    loop {
        let path = args.checkpoint.clone();
        let status = blocking(move || status::read(&path)).await?;
        let text = text(&status, args)?;
        let is_read = text == shown || if is_screen { print_if_read(&redraw(&text))? } else { print_if_read(&text)? };
        if !is_read || !status.state.is_live() {
            return Ok(0);
        }
        shown = text;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A document for programs has as many lines as it likes where it is the only one.
fn text(status: &Status, args: &StatusArgs) -> Result<String, Error> {
    let json = match (args.json, args.watch) {
        (false, _) => return Ok(tables::status(status, Style::stdout())),
        (true, false) => serde_json::to_string_pretty(status),
        (true, true) => serde_json::to_string(status),
    };
    json.map(|json| json + "\n").map_err(|error| Error::Io { what: "print", error: error.into() })
}
