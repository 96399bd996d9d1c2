//! Somebody else's text, made harmless for a terminal.

use std::fmt::Write;

/// Text from a database or a server, on one line: whatever could move a cursor, change a colour or turn the direction of
/// writing is spelled out. Names and messages are anybody's bytes (CWE-150).
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
        if c.is_control() || invisible {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// [`safe`], but lines stay lines: for our own messages with somebody's text inside.
pub fn lines(text: &str) -> String {
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_unescaped() {
        assert_eq!(safe("a\x1b[31mb\nc\u{202e}d\u{9b}"), "a\\u{1b}[31mb\\u{a}c\\u{202e}d\\u{9b}");
        assert_eq!(safe("\u{ad}\u{61c}\u{2028}\u{2060}"), "\\u{ad}\\u{61c}\\u{2028}\\u{2060}");
        assert_eq!(safe("chat.messages é 你好"), "chat.messages é 你好");
        assert_eq!(lines("one\ntwo\x07"), "one\ntwo\\u{7}");
    }
}
