//! stderr as the terminal that a bar is drawn on. Nobody waits for it: a terminal may be held, or gone.

use super::out::STDERR;
use indicatif::TermLike;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Gathers what is drawn at once, and writes it in one piece.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    frame: Mutex<String>,
}

impl Terminal {
    fn frame(&self) -> MutexGuard<'_, String> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A control sequence (ECMA-48) that moves the cursor.
fn steps(n: usize, direction: char) -> String {
    if n > 0 { format!("\x1b[{n}{direction}") } else { String::new() }
}

/// Columns and rows.
fn size() -> (u16, u16) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).map(|size| (size.ws_col, size.ws_row));
    // A terminal that doesn't know says 0.
    size.ok().filter(|&(columns, rows)| columns > 0 && rows > 0).unwrap_or((80, 24))
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.write_str(&steps(n, 'A'))
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.write_str(&steps(n, 'B'))
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.write_str(&steps(n, 'C'))
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.write_str(&steps(n, 'D'))
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.frame().push_str(line);
        self.write_str("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.frame().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        STDERR.write(std::mem::take(&mut *self.frame()));
        Ok(())
    }
}
