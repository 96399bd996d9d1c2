//! Texts for people: numbers, colour.

pub use crate::escape::{lines, safe};

use std::io::{IsTerminal, Write as _};
use std::time::Duration;

/// Somebody's text, made harmless, with its further lines set off from ours.
pub fn indented(text: &str) -> String {
    text.lines().map(|line| safe(line.trim_start())).collect::<Vec<_>>().join("\n    ")
}

/// `1 000 000`: digits in groups of three.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `1 234 rows`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `196 k`: three digits or so.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate to read")]
pub fn short(number: f64) -> String {
    match number {
        n if n >= 1e10 => format!("{:.0} G", n / 1e9),
        n if n >= 1e7 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n => count(n.max(0.0) as u64),
    }
}

/// `1m 05s`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, _) => format!("{:.1}s", time.as_secs_f64()),
        (0, 0, m, s) => format!("{m}m {s:02}s"),
        (0, h, m, _) => format!("{h}h {m:02}m"),
        (d, h, ..) => format!("{d}d {h:02}h"),
    }
}

/// `2026-11-22T10:42:10Z` from milliseconds since the Unix epoch.
pub fn instant(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Colour where it is wanted: not off-terminal, not under `NO_COLOR`, not on a dumb terminal.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// For stderr as it is.
    pub fn stderr() -> Style {
        Style::of(anstream::AutoStream::choice(&std::io::stderr()))
    }

    /// For stdout as it is.
    pub fn stdout() -> Style {
        Style::of(anstream::AutoStream::choice(&std::io::stdout()))
    }

    /// Without colour.
    #[cfg(test)]
    pub(super) fn plain() -> Style {
        Style { colour: false }
    }

    fn of(choice: anstream::ColorChoice) -> Style {
        // A terminal that says it is dumb is believed, even where `CI` is set: anstream takes that for a wish for colour.
        Style { colour: choice != anstream::ColorChoice::Never && !is_dumb() }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Something went wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Something to look at.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// All is well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Beside the point.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Talk. Whether anybody reads it makes no difference: it returns at once. [`super::flush`] waits.
pub fn to_stderr(text: &str) {
    super::out::STDERR.write(text.to_owned());
}

/// Whether stdout is a terminal on which text can be drawn over.
pub fn is_screen() -> bool {
    std::io::stdout().is_terminal() && !is_dumb()
}

/// The text at the top of the terminal, and nothing else on it.
pub fn redraw(text: &str) -> String {
    format!("\x1b[H\x1b[2J{text}")
}

/// Data.
///
/// # Errors
/// Where stdout is closed.
pub fn to_stdout(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!([0, 1, 2000].map(|rows| counted(rows, "row")), ["0 rows", "1 row", "2 000 rows"]);
        assert_eq!(short(196_400.0), "196 k");
        assert_eq!(short(950.4), "950");
        assert_eq!(duration(Duration::from_millis(5_140)), "5.1s");
        assert_eq!(duration(Duration::from_secs(65)), "1m 05s");
        assert_eq!(duration(Duration::from_secs(90_000)), "1d 01h");
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
    }
}
