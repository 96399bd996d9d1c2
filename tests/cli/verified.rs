//! What `status` says of a verification.

use crate::checkpoints::{new_job, sql};
use crate::tool::Tool;

/// A verification of the job's only table in two ranges, and a run of it.
const BEGINS: &str = "
    INSERT INTO verification (started_at, parameters, tables) VALUES (1700000000000, '{\"sample\":\"1%\",\"seed\":\"7\"}', '[0]');
    INSERT INTO verified_range (table_id, first_token, last_token, position) VALUES (0, -9223372036854775808, -1, 1);
    INSERT INTO verified_range (table_id, first_token, last_token, position) VALUES (0, 0, 9223372036854775807, 0);
    INSERT INTO run (command, started_at, process_id, host, version, source_consistency, target_consistency)
    VALUES ('verify', 1700000000000, 4242, 'here', '0', 'LOCAL_QUORUM', 'LOCAL_QUORUM');
    UPDATE verified_range SET state = 'done', cursor = last_token, rows_compared = 1234567, rows_marker = 2 WHERE position = 0;";

const ENDS: &str = "
    UPDATE verified_range SET state = 'done', cursor = last_token, rows_compared = 10, rows_different = 3, rows_missing = 2, rows_extra = 1
        WHERE position = 1;
    UPDATE verification SET ended_at = 1700000060000, outcome = 'done';
    UPDATE run SET ended_at = 1700000060000, outcome = 'done';";

#[test]
fn status_tells_of_a_verification() {
    let tool = Tool::new();
    let path = tool.path("migrate.db");
    let checkpoint = new_job(&path);
    sql(&path, BEGINS);
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    not copied  0.0 % of the ring  0/64 ranges  0 rows  0 B
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  0.0 %  0/64    0        0       0             0             0        
    verifying 50.0 % of a sample of 1%, 1 234 567 rows compared: no differences so far
      rows that differ harmlessly: 2 marker
    verification 1 sample=1% seed=7 began 2023-11-14T22:13:20Z, still running
    run 1 (verify) began 2023-11-14T22:13:20Z as process 4242 on here, still running
    ");
    drop(checkpoint);
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    not copied  0.0 % of the ring  0/64 ranges  0 rows  0 B
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  0.0 %  0/64    0        0       0             0             0        
    verified 50.0 % of a sample of 1%, 1 234 567 rows compared: no differences so far
      rows that differ harmlessly: 2 marker
    verification 1 sample=1% seed=7 began 2023-11-14T22:13:20Z, not ended
    run 1 (verify) began 2023-11-14T22:13:20Z as process 4242 on here, was killed
    ");
    sql(&path, ENDS);
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    not copied  0.0 % of the ring  0/64 ranges  0 rows  0 B
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  0.0 %  0/64    0        0       0             0             0        
    verified 100.0 % of a sample of 1%, 1 234 577 rows compared: 3 differences (2 missing, 1 extra)
      rows that differ harmlessly: 2 marker
    verification 1 sample=1% seed=7 began 2023-11-14T22:13:20Z, ended 2023-11-14T22:14:20Z (done)
    run 1 (verify) began 2023-11-14T22:13:20Z as process 4242 on here, ended 2023-11-14T22:14:20Z (done)
    ");
    let json = tool.run(&["status", "--json"]).json();
    let verification = &json["verification"];
    assert_eq!((&verification["conclusion"], &verification["rows_missing"]), (&"differences".into(), &2.into()));
    assert_eq!((&json["state"], &verification["running"]), (&"stopped".into(), &false.into()));
}
