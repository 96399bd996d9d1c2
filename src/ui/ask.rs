//! Questions that only an operator can answer.

use super::text::safe;
use crate::blocking::blocking;
use crate::event::{Event, Events};
use crate::schema::TableName;
use std::io::BufRead;

/// Asks whether rows of these tables may be deleted; only a `yes` is one. The answer comes from stdin, which is a terminal then.
///
/// The question is an event, so that it is shown behind all that was said before.
pub async fn may_delete(events: &Events, cluster: &str, tables: &[TableName]) -> bool {
    events.emit(Event::Question { text: question(cluster, tables) });
    blocking(|| is_yes(std::io::stdin().lock())).await
}

fn is_yes(mut answers: impl BufRead) -> bool {
    let mut answer = String::new();
    answers.read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

fn question(cluster: &str, tables: &[TableName]) -> String {
    let names: Vec<String> = tables.iter().map(|table| format!("  {}\n", safe(&table.to_string()))).collect();
    format!(
        "`--delete-extra` deletes rows and values that the source doesn't have from the target, cluster `{}`:\n{}What was \
         written to the target alone is lost then; what is written while this runs stays.\nType yes to go on:",
        safe(cluster),
        names.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        assert!(is_yes(&b"yes\n"[..]) && is_yes(&b" yes \r\nno\n"[..]));
        assert!(["", "\n", "y\n", "Yes\n", "no\nyes\n", "yes, but\n"].iter().all(|answer| !is_yes(answer.as_bytes())));
        assert!(!is_yes(&b"\xff\n"[..]), "no text");
    }

    #[test]
    fn the_question_names_what_would_be_deleted_and_where() {
        let table = |table: &str| TableName { keyspace: "chat".to_owned(), table: table.to_owned() };
        insta::assert_snapshot!(question("prod\u{1b}[2J", &[table("messages"), table("channels")]), @r"
        `--delete-extra` deletes rows and values that the source doesn't have from the target, cluster `prod\u{1b}[2J`:
          chat.messages
          chat.channels
        What was written to the target alone is lost then; what is written while this runs stays.
        Type yes to go on:
        ");
    }
}
