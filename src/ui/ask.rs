//! Questions that only an operator can answer.

use super::text::{safe, to_stderr};
use crate::blocking::blocking;
use crate::schema::TableName;

/// Asks whether rows of these tables may be deleted; only a `yes` is one. The answer comes from stdin, which is a terminal then.
pub async fn may_delete(cluster: &str, tables: &[TableName]) -> bool {
    to_stderr(&question(cluster, tables));
    super::flush();
    blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
    })
    .await
}

fn question(cluster: &str, tables: &[TableName]) -> String {
    let names: Vec<String> = tables.iter().map(|table| format!("  {}\n", safe(&table.to_string()))).collect();
    format!(
        "`--delete-extra` deletes rows and values that the source doesn't have from the target, cluster `{}`:\n{}What was \
         written to the target alone is lost then; what is written while this runs stays.\nType yes to go on: ",
        safe(cluster),
        names.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
