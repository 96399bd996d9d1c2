use crate::lab::{Lab, ROWS, SECURE, SOURCE, eventually};
use std::time::{SystemTime, UNIX_EPOCH};

const PASSWORD: &str = "a-password";

/// Trap: writetimes in another unit lie in the future, where `ScyllaDB` takes none. Cassandra can be told to take none
/// either, and spares superusers: hence the role.
#[test]
fn a_writetime_in_the_far_future_is_rejected_or_capped() {
    let Some(mut lab) = Lab::new("future") else { return };
    let table = lab.usual();
    lab.secure.cql(&format!("TRUNCATE {table}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    lab.source.cql(&format!("UPDATE {table} USING TIMESTAMP {} SET v = 'late' WHERE id = 3", now.as_nanos()));
    let role = lab.role("cli_future", PASSWORD);
    for grant in [format!("SELECT ON TABLE {table}"), format!("MODIFY ON TABLE {table}")] {
        lab.secure.cql(&format!("GRANT {grant} TO {role}"));
    }
    lab.secure.cql(&format!("GRANT SELECT ON TABLE system_views.settings TO {role}"));

    let tool = lab.tool();
    let url = format!("cassandra://{role}@{SECURE}");
    let call = ["--source", SOURCE, "--target", &url, "--table", &table, "--checkpoint", "job.db"];
    let run = |more: &[&str]| tool.run_with(&[("MIGRATE_TARGET_PASSWORD", PASSWORD)], &[&call[..], more].concat());
    eventually(|| run(&[]), |answer| answer.code != Some(6)).expect(3);
    assert_eq!(lab.secure.count(&table), ROWS - 1, "the secure node takes the future: delete it and start it afresh");
    let rejects = std::fs::read_to_string(tool.path("job.db-rejects.jsonl")).unwrap();
    let rejects: Vec<serde_json::Value> = rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rejects.len(), 1, "{rejects:#?}");
    assert_eq!(rejects[0]["key"], serde_json::json!({ "id": "3" }), "{rejects:#?}");

    run(&["--restart", "--future-timestamps", "cap"]).expect(0);
    assert_eq!(lab.secure.count(&table), ROWS);
    let found = lab.secure.select(&format!("SELECT WRITETIME(v) FROM {table} WHERE id = 3"));
    let hours = (found.single_row::<(i64,)>().unwrap().0 - i64::try_from(now.as_micros()).unwrap()) / 3_600_000_000;
    assert!((70..=72).contains(&hours), "{hours} hours ahead");
}
