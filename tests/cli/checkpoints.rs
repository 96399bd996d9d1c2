//! Checkpoint files that can't be used, and what `status` says of those that can.

use crate::tool::{Answer, Tool};
use rusqlite::Connection;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Ranges of the job below, all of one width.
const RANGES: i64 = 64;

/// A checkpoint as a live process has it: open, and locked.
pub(crate) struct Job {
    _connection: Connection,
    lock: File,
}

impl Drop for Job {
    fn drop(&mut self) {
        // A process that another test starts at this moment has a copy of the file's handle: closing ours would not unlock it.
        self.lock.unlock().unwrap();
    }
}

/// A job that nobody has worked on yet, from the DDL that `migrate` itself makes its files with.
pub(crate) fn new_job(path: &Path) -> Job {
    let mut lock = File::create_new(path.with_file_name("migrate.db-lock")).unwrap();
    lock.try_lock().unwrap();
    writeln!(lock, "process {} on a-host", std::process::id()).unwrap();
    let ddl = include_str!("../../migrations.sql");
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "application_id", 0x4D49_4752).unwrap();
    connection.pragma_update(None, "user_version", ddl.matches("\n-- version ").count()).unwrap();
    connection.execute_batch(ddl).unwrap();
    let job = "BEGIN;
        INSERT INTO job VALUES ('source', 'old'), ('target', 'new'), ('unknown_timestamp', '1');
        INSERT INTO copied_table (id, source_keyspace, source_table, target_keyspace, target_table, state,
                source_table_id, target_table_id, columns, target_truncations, source_readded)
            VALUES (0, 'shop', 'orders', 'shop', 'orders', 'ready', '00000000-0000-0000-0000-000000000001',
                '00000000-0000-0000-0000-000000000002', '\"id\" int partition key 0', '', '');";
    let tile = |i| {
        format!(
            "INSERT INTO token_range (table_id, first_token, last_token, position) VALUES (0, {}, {}, {i});",
            first(i),
            last(i)
        )
    };
    connection.execute_batch(&format!("{job}{}COMMIT", (0..RANGES).map(tile).collect::<String>())).unwrap();
    Job { _connection: connection, lock }
}

fn first(index: i64) -> i64 {
    (index - RANGES / 2) * (1 << 58)
}

fn last(index: i64) -> i64 {
    first(index) + ((1 << 58) - 1)
}

/// Another connection to the file, as a look from outside has it.
pub(crate) fn sql(path: &Path, statements: &str) {
    Connection::open(path).unwrap().execute_batch(statements).unwrap();
}

/// What a run writes down, for the range at this place of the ring.
fn range(index: i64, change: &str) -> String {
    format!("UPDATE token_range SET {change} WHERE first_token = {};", first(index))
}

fn done(index: i64) -> String {
    range(
        index,
        "state = 'done', cursor = last_token, rows_read = 12, rows_written = 10, rows_expired = 2, bytes_read = 4096",
    )
}

const CLAIMED: &str = "state = 'claimed', attempts = attempts + 1";
const RUN_BEGINS: &str =
    "INSERT INTO run (command, started_at, process_id, host, version, source_consistency, target_consistency)
    VALUES ('copy', 1700000000000, 4242, 'here', '0', 'LOCAL_QUORUM', 'LOCAL_QUORUM');";

fn run_ends(outcome: &str) -> String {
    format!("UPDATE run SET ended_at = 1700000060000, outcome = '{outcome}' WHERE ended_at IS NULL;")
}

/// Files that are no checkpoint, or none that may be used, under the name `migrate.db`.
pub(crate) fn unusable() -> Vec<(&'static str, Tool)> {
    let made = |what, make: &dyn Fn(&Path)| {
        let tool = Tool::new();
        make(&tool.path("migrate.db"));
        let _ = std::fs::remove_file(tool.path("migrate.db-lock"));
        (what, tool)
    };
    let changed = |what, change: &dyn Fn(&Path)| {
        made(what, &|path| {
            drop(new_job(path));
            change(path);
        })
    };
    let bytes_of = |path: &Path| std::fs::read(path).unwrap();
    vec![
        made("empty", &|path| std::fs::write(path, "").unwrap()),
        made("text", &|path| std::fs::write(path, "dear diary\n".repeat(1000)).unwrap()),
        made("one byte", &|path| std::fs::write(path, "x").unwrap()),
        made("SQLite file of another program", &|path| {
            Connection::open(path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        }),
        changed("newer format", &|path| {
            Connection::open(path).unwrap().pragma_update(None, "user_version", 1000).unwrap();
        }),
        changed("half of a checkpoint", &|path| {
            let bytes = bytes_of(path);
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        changed("first bytes of a checkpoint", &|path| std::fs::write(path, &bytes_of(path)[..50]).unwrap()),
        changed("checkpoint with a page of noise", &|path| {
            let mut bytes = bytes_of(path);
            let page = 4096;
            for byte in &mut bytes[page..] {
                *byte ^= 0x5a;
            }
            std::fs::write(path, bytes).unwrap();
        }),
        made("folder", &|path| std::fs::create_dir(path).unwrap()),
    ]
}

fn report(answers: Vec<(&'static str, Answer)>) -> String {
    answers.into_iter().map(|(what, answer)| format!("== {what}\n{answer}")).collect::<Vec<_>>().concat()
}

#[test]
fn status_tells_what_is_wrong_with_a_file_and_leaves_it_alone() {
    let answers = unusable().into_iter().map(|(what, tool)| {
        let before = tool.listing();
        let answer = tool.run(&["status"]);
        assert_eq!(tool.listing(), before, "{what}");
        assert_eq!((answer.code, answer.out.as_str()), (Some(5), ""), "{what}: {answer}");
        (what, answer)
    });
    insta::assert_snapshot!(report(answers.collect()), @r#"
    == empty
    exit code 5
    -- stderr
    error: migrate.db isn't a checkpoint of migrate: the file is empty
    hint: name another file with `--checkpoint FILE`
    == text
    exit code 5
    -- stderr
    error: migrate.db isn't a checkpoint of migrate: no SQLite file
    hint: name another file with `--checkpoint FILE`
    == one byte
    exit code 5
    -- stderr
    error: migrate.db isn't a checkpoint of migrate: no SQLite file
    hint: name another file with `--checkpoint FILE`
    == SQLite file of another program
    exit code 5
    -- stderr
    error: migrate.db isn't a checkpoint of migrate: a SQLite file of another program
    hint: name another file with `--checkpoint FILE`
    == newer format
    exit code 5
    -- stderr
    error: the checkpoint migrate.db has format 1000, this migrate knows up to 1
    hint: run the newer migrate that wrote it
    == half of a checkpoint
    exit code 5
    -- stderr
    error: the checkpoint migrate.db is damaged: database disk image is malformed
    hint: restore the file from a backup, or copy anew with `--restart` (the damaged file is moved aside; copying again changes nothing that was copied)
    == first bytes of a checkpoint
    exit code 5
    -- stderr
    error: migrate.db isn't a checkpoint of migrate: no SQLite file
    hint: name another file with `--checkpoint FILE`
    == checkpoint with a page of noise
    exit code 5
    -- stderr
    error: the checkpoint migrate.db is damaged: database disk image is malformed
    hint: restore the file from a backup, or copy anew with `--restart` (the damaged file is moved aside; copying again changes nothing that was copied)
    == folder
    exit code 5
    -- stderr
    error: migrate.db isn't a checkpoint of migrate: not a file
    hint: name another file with `--checkpoint FILE`
    "#);
}

#[test]
fn a_copy_refuses_such_a_file_before_it_connects_and_leaves_it_alone() {
    for (what, tool) in unusable() {
        let before = tool.listing();
        // Nothing listens there: exit code 6 would mean that it tried.
        let answer = tool.run(&["--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"]);
        assert_eq!((answer.code, answer.out.as_str()), (Some(5), ""), "{what}: {answer}");
        let mut after = tool.listing();
        after.remove(&tool.path("migrate.db-lock"));
        assert_eq!(after, before, "{what}");
        // Both say the same, but for where SQLite came upon the damage.
        let kind = |answer: &Answer| answer.err.split(": ").take(2).collect::<Vec<_>>().join(": ");
        assert_eq!(kind(&answer), kind(&tool.run(&["status"])), "{what}");
    }
}

#[test]
fn a_plan_does_not_touch_such_a_file() {
    for (what, tool) in unusable() {
        let before = tool.listing();
        tool.run(&["plan", "--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"]).expect(6);
        assert_eq!(tool.listing(), before, "{what}");
    }
}

#[test]
fn a_file_that_is_not_there_is_told_by_status() {
    let tool = Tool::new();
    insta::assert_snapshot!(tool.run(&["status", "--checkpoint", "no/such.db"]), @r#"
    exit code 5
    -- stderr
    error: there is no checkpoint no/such.db
    hint: name the file with `--checkpoint FILE`; a copy makes it when it begins
    "#);
    std::os::unix::fs::symlink("nothing", tool.path("migrate.db")).unwrap();
    let before = tool.listing();
    insta::assert_snapshot!(tool.run(&["status"]), @r#"
    exit code 5
    -- stderr
    error: there is no checkpoint migrate.db
    hint: name the file with `--checkpoint FILE`; a copy makes it when it begins
    "#);
    assert_eq!(tool.listing(), before);
}

#[test]
fn a_file_that_may_not_be_read_is_told() {
    let tool = Tool::new();
    drop(new_job(&tool.path("migrate.db")));
    let mode =
        |mode| std::fs::set_permissions(tool.path("migrate.db"), std::os::unix::fs::PermissionsExt::from_mode(mode));
    mode(0o000).unwrap();
    if std::fs::File::open(tool.path("migrate.db")).is_ok() {
        return eprintln!("skipped: root may read everything");
    }
    let answer = tool.run(&["status"]);
    mode(0o600).unwrap();
    assert!(answer.expect(1).err.contains("permissions"), "{answer}");
}

#[test]
fn a_checkpoint_in_use_is_refused_with_the_process_that_has_it() {
    let tool = Tool::new().hide(std::process::id().to_string(), "PID");
    let checkpoint = new_job(&tool.path("migrate.db"));
    let before = tool.listing();
    let answer = tool.run(&["--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"]);
    insta::assert_snapshot!(answer, @r#"
    exit code 5
    -- stderr
    error: the checkpoint migrate.db is in use by process PID on a-host
    hint: look at its progress with `migrate status --checkpoint migrate.db`
    "#);
    let answer = tool.run(&["--restart", "--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"]);
    assert_eq!(tool.listing(), before, "{answer}");
    drop(checkpoint);
    tool.run(&["--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"]).expect(6);
}

#[test]
fn status_tells_how_far_a_job_is_in_every_state() {
    let tool = Tool::new();
    let path = tool.path("migrate.db");
    let checkpoint = new_job(&path);
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    running  0.0 % of the ring  0/64 ranges  0 rows  0 B
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  0.0 %  0/64    0        0       0             0             0
    ");
    sql(&path, &[RUN_BEGINS, &done(0), &range(1, CLAIMED)].concat());
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    running  1.6 % of the ring  1/64 ranges  10 rows  4.0 KiB
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  1.6 %  1/64    1        0       10            2             0        
    run 1 began 2023-11-14T22:13:20Z as process 4242 on here, still running
    ");

    // As a killed process leaves it: claimed, without an end of the run.
    drop(checkpoint);
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    stopped  1.6 % of the ring  1/64 ranges  10 rows  4.0 KiB
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  1.6 %  1/64    0        0       10            2             0        
    run 1 began 2023-11-14T22:13:20Z as process 4242 on here, was killed
    ");

    let reason = "UPDATE run SET reason = 'nobody could tell' || char(27) || '[2J';";
    sql(&path, &[run_ends("incomplete").as_str(), reason].concat());
    insta::assert_snapshot!(tool.run(&["status"]), @r"
    exit code 0
    -- stdout
    incomplete  1.6 % of the ring  1/64 ranges  10 rows  4.0 KiB
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  1.6 %  1/64    0        0       10            2             0        
    run 1 began 2023-11-14T22:13:20Z as process 4242 on here, ended 2023-11-14T22:14:20Z (incomplete)
      reason: nobody could tell\u{1b}[2J
    ");

    let failed =
        range(1, "state = 'failed', error = 'Operation timed out' || char(27) || '[2J' || char(10) || 'for good'");
    sql(&path, &[&failed, "UPDATE run SET reason = NULL;"].concat());
    insta::assert_snapshot!(tool.run(&["status"]), @r"
    exit code 0
    -- stdout
    incomplete  1.6 % of the ring  1/64 ranges  10 rows  4.0 KiB
    from `old` to `new`, checkpoint migrate.db
     table        state       ring   ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  unfinished  1.6 %  1/64    0        1       10            2             0        
    failed: shop.orders range -8935141660703064064:-8646911284551352321 after 1 tries: Operation timed out\u{1b}[2J\u{a}for good
    run 1 began 2023-11-14T22:13:20Z as process 4242 on here, ended 2023-11-14T22:14:20Z (incomplete)
    ");

    let all: String = (1..RANGES).map(done).collect();
    let level = |run, level, rows| {
        format!(
            "UPDATE run SET source_consistency = 'LOCAL_QUORUM', target_consistency = '{level}', rows_written = {rows} WHERE id = {run};"
        )
    };
    let levels = [level(1, "ONE", 10), level(2, "LOCAL_QUORUM", 630)].concat();
    sql(&path, &[RUN_BEGINS, &all, &run_ends("done"), &levels].concat());
    insta::assert_snapshot!(tool.run(&["status"]), @"
    exit code 0
    -- stdout
    done  100.0 % of the ring  64/64 ranges  640 rows  256.0 KiB
    from `old` to `new`, checkpoint migrate.db
    copied: 10 rows read at LOCAL_QUORUM and written at ONE; 630 rows read at LOCAL_QUORUM and written at LOCAL_QUORUM
     table        state  ring     ranges  claimed  failed  rows written  rows expired  rejected 
     shop.orders  done   100.0 %  64/64   0        0       640           128           0        
    run 2 began 2023-11-14T22:13:20Z as process 4242 on here, ended 2023-11-14T22:14:20Z (done)
    ");
}

#[test]
fn status_as_json_has_the_numbers() {
    let tool = Tool::new();
    drop(new_job(&tool.path("migrate.db")));
    sql(&tool.path("migrate.db"), &[RUN_BEGINS, &done(0), &run_ends("stopped")].concat());
    insta::assert_snapshot!(tool.run(&["status", "--json"]), @r#"
    exit code 0
    -- stdout
    {
      "checkpoint": "migrate.db",
      "rejects": null,
      "state": "stopped",
      "paused": false,
      "set": {},
      "source": "old",
      "target": "new",
      "fraction": 0.015625,
      "copied_at": [],
      "ranges": 64,
      "ranges_done": 1,
      "ranges_claimed": 0,
      "ranges_failed": 0,
      "rows_read": 12,
      "rows_written": 10,
      "rows_expired": 2,
      "rows_rejected": 0,
      "rows_key_only": 0,
      "rows_marker_inferred": 0,
      "rows_marker_expires": 0,
      "rows_unknown_timestamp": 0,
      "rows_capped": 0,
      "lists_reordered": 0,
      "bytes_read": 4096,
      "tables": [
        {
          "source": {
            "keyspace": "shop",
            "table": "orders"
          },
          "target": {
            "keyspace": "shop",
            "table": "orders"
          },
          "state": "unfinished",
          "reason": null,
          "fraction": 0.015625,
          "altered": [],
          "ranges": 64,
          "ranges_done": 1,
          "ranges_claimed": 0,
          "ranges_failed": 0,
          "rows_read": 12,
          "rows_written": 10,
          "rows_expired": 2,
          "rows_rejected": 0,
          "rows_key_only": 0,
          "rows_marker_inferred": 0,
          "rows_marker_expires": 0,
          "rows_unknown_timestamp": 0,
          "rows_capped": 0,
          "lists_reordered": 0,
          "bytes_read": 4096
        }
      ],
      "failures": [],
      "verification": null,
      "runs": 1,
      "copies": 1,
      "last_run": {
        "command": "copy",
        "started_at": 1700000000000,
        "ended_at": 1700000060000,
        "outcome": "stopped",
        "reason": null,
        "process_id": 4242,
        "host": "here",
        "version": "0"
      }
    }
    "#);
}

#[test]
fn status_leaves_the_files_of_a_killed_run_as_they_are() {
    // The files as they lie after a kill: a database, what was not yet merged into it, and its index.
    let alive = Tool::new();
    let checkpoint = new_job(&alive.path("migrate.db"));
    sql(&alive.path("migrate.db"), &[RUN_BEGINS, &done(0)].concat());
    for without in [&[][..], &["-shm"], &["-lock"], &["-shm", "-lock"]] {
        let tool = Tool::new();
        for (path, bytes) in alive.listing() {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !without.iter().any(|suffix| name.ends_with(suffix)) {
                tool.write(name, bytes);
            }
        }
        let merged = std::fs::metadata(tool.path("migrate.db-wal")).unwrap().len() == 0;
        assert!(!merged, "the run left nothing to merge: this test tests nothing");
        let before = tool.listing();
        let json = tool.run(&["status", "--json"]).expect(0).json();
        assert_eq!((json["ranges_done"].as_u64(), json["state"].as_str()), (Some(1), Some("stopped")));
        tool.run(&["plan", "--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"]).expect(6);
        let after = tool.listing();
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "without {without:?}");
        assert!(before == after, "a file has changed, without {without:?}");
    }
    drop(checkpoint);
}
