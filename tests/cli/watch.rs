//! `migrate status --watch`, beside a live process and after its end.

use crate::checkpoints::{new_job, sql};
use crate::tool::Tool;
use std::io::{BufRead, BufReader};

#[test]
fn what_has_changed_is_shown_until_the_run_has_ended() {
    let tool = Tool::new();
    let path = tool.path("migrate.db");
    let live = new_job(&path);
    let mut watch = tool.start(&["status", "--watch", "--json"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || {
        let status: serde_json::Value = serde_json::from_str(&lines.next()?.unwrap()).expect("a document in each line");
        Some((status["state"].as_str()?.to_owned(), status["ranges_failed"].as_u64()?))
    };
    assert_eq!(next(), Some(("running".to_owned(), 0)));
    sql(&path, "UPDATE token_range SET state = 'failed', error = 'no answer' WHERE position = 0");
    assert_eq!(next(), Some(("running".to_owned(), 1)));
    drop(live);
    assert_eq!(next(), Some(("incomplete".to_owned(), 1)));
    assert_eq!(next(), None);
    assert!(watch.wait().unwrap().success());
}

#[test]
fn of_a_job_that_nobody_works_on_it_is_shown_once() {
    let tool = Tool::new();
    drop(new_job(&tool.path("migrate.db")));
    assert_eq!(tool.run(&["status", "--watch"]).expect(0).out, tool.run(&["status"]).out);
    let drawn = tool.on_terminal(&[], &["status", "--watch"]).expect(0).out.clone();
    let once = tool.on_terminal(&[], &["status"]).expect(0).out.clone();
    assert_eq!(drawn, format!("\u{1b}[H\u{1b}[2J{once}"));
    let missing = Tool::new().run(&["status", "--watch"]).line();
    assert!(missing.starts_with("5 error: there is no checkpoint"), "{missing}");
}

#[test]
fn whoever_has_read_enough_ends_it() {
    let tool = Tool::new();
    let path = tool.path("migrate.db");
    let _live = new_job(&path);
    let mut watch = tool.start(&["status", "--watch"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("running"));
    drop(lines);
    sql(&path, "UPDATE token_range SET state = 'failed', error = 'no answer' WHERE position = 0");
    assert!(watch.wait().unwrap().success());
}
