//! The file under use and abuse.

use super::fold::{RangeState, RangeUpdate, Update};
use super::*;
use crate::event::Events;
use crate::job::{Admitted, Cursor, Job, RunCommand};
use crate::ring::{Token, tile};
use crate::row::RowKey;
use crate::schema::TableName;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tempfile::TempDir;
use uuid::Uuid;

pub(super) fn job() -> Job {
    let name = |table: &str| TableName { keyspace: "ks".to_owned(), table: table.to_owned() };
    let table = |n: u128, text: &str| JobTable {
        source: name(text),
        target: name(text),
        admitted: Some(Admitted {
            source_id: Uuid::from_u128(n),
            target_id: Uuid::from_u128(n + 100),
            columns: "\"k\" int partition key 0\n\"v\" text regular\n".to_owned(),
            source_readded: "\"v\" 5\n".to_owned(),
            target_truncations: BTreeMap::from([
                (Uuid::from_u128(7), String::new()),
                (Uuid::from_u128(8), "ab".to_owned()),
            ]),
        }),
        broken: None,
    };
    Job {
        identity: vec![
            ("source", "old".to_owned()),
            ("target", "new".to_owned()),
            ("unknown_timestamp", "1".to_owned()),
            ("table", "ks.a\nks.b".to_owned()),
            ("exclude", String::new()),
        ],
        tables: vec![table(1, "a"), table(2, "b")],
    }
}

fn ranges() -> Vec<Vec<TokenRange>> {
    vec![tile(&[Token(17)], 5), tile(&[], 3)]
}

fn new(path: &Path, existing: Existing) -> Result<(Checkpoint, Option<PathBuf>), CheckpointError> {
    create(reserve(path)?, &job(), &ranges(), existing)
}

pub(super) fn created() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a %b?.db");
    new(&path, Existing::Keep).expect("created").0.close().expect("closed");
    (folder, path)
}

pub(super) fn sql(path: &Path, text: &str) -> rusqlite::Result<()> {
    Connection::open(path).expect("opens").execute_batch(text)
}

#[test]
fn ranges_come_back_in_the_order_of_the_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut order = tile(&[], 50);
    order.rotate_left(13);
    let job = Job { tables: job().tables[..1].to_vec(), ..job() };
    let checkpoint =
        create(reserve(&folder.path().join("m.db")).expect("free"), &job, &[order.clone()], Existing::Keep)
            .expect("created")
            .0;
    let (found, work) = checkpoint.work().expect("readable");
    assert_eq!(work.iter().map(|work| work.key.range).collect::<Vec<_>>(), order);
    assert_eq!((found.ranges, found.runs, found.ranges_done), (50, 0, 0));
}

#[test]
fn the_file_is_private_and_says_what_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = created();
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let connection = Connection::open(&path).expect("opens");
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("a number");
    assert_eq!((pragma("application_id"), pragma("user_version")), (0x4D49_4752, 1));
}

#[test]
fn another_job_is_refused_by_what_differs() {
    let (_folder, path) = created();
    let checkpoint = open(&path).expect("opens");
    assert!(checkpoint.expect_job(&job().identity).is_ok());
    let mut other = job().identity;
    other[0].1 = "older".to_owned();
    other[3].1 = "ks.a\nks.*=ks2.*".to_owned();
    other[4].1 = "ks.tmp_*".to_owned();
    let text = checkpoint.expect_job(&other).expect_err("another job").to_string();
    assert_eq!(look(&path, &other).expect_err("another job").to_string(), text);
    insta::assert_snapshot!(text.split_once('\n').expect("a list").1, @r"
      source: the checkpoint has old, this command has older
      table: the checkpoint has ks.b, this command has ks.*=ks2.*
      exclude: the checkpoint has nothing, this command has ks.tmp_*
    ");
}

fn broken(table: &str) -> JobTable {
    let name = TableName { keyspace: "ks".to_owned(), table: table.to_owned() };
    JobTable { source: name.clone(), target: name, admitted: None, broken: Some("no\nsuch table".to_owned()) }
}

#[test]
fn a_broken_table_has_no_work_until_it_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.db");
    let mut tables = job().tables;
    tables.push(broken("c"));
    let whole = Job { tables: tables.clone(), ..job() };
    let cut = [ranges(), vec![vec![]]].concat();
    let mut checkpoint = create(reserve(&path).expect("free"), &whole, &cut, Existing::Keep).expect("created").0;
    assert_eq!(checkpoint.tables().expect("readable"), tables);
    assert_eq!(checkpoint.work().expect("readable").1.len(), 9);
    assert_eq!(status::read(&path).expect("readable").tables[2].reason.as_deref(), Some("no\nsuch table"));

    // One is mended, one breaks.
    let mended = JobTable { broken: None, admitted: tables[0].admitted.clone(), ..tables[2].clone() };
    tables[1].broken = Some("gone".to_owned());
    tables[2] = mended;
    checkpoint.settle(&tables, &[vec![], vec![], tile(&[], 7)]).expect("settled");
    assert_eq!(checkpoint.tables().expect("readable"), tables);
    let (found, work) = checkpoint.work().expect("each tiles the ring");
    let of = |table| work.iter().filter(|work| work.key.table == table).count();
    assert_eq!((of(0), of(1), of(2)), (6, 0, 7));
    assert_eq!((found.ranges, found.tables[1].ranges, found.tables[2].ranges), (16, 3, 7));

    // What broke is whole again: its ranges are those that it had.
    tables[1].broken = None;
    checkpoint.settle(&tables, &[vec![], vec![], vec![]]).expect("settled");
    assert_eq!(checkpoint.work().expect("readable").1.len(), 16);
}

#[test]
fn a_table_is_taken_in_with_its_ranges_or_not_at_all() {
    let (_folder, path) = created();
    let mut checkpoint = open(&path).expect("opens");
    let before = checkpoint.tables().expect("readable");
    let name = |table: &str| TableName { keyspace: "ks".to_owned(), table: table.to_owned() };
    let new = |table: &str| JobTable { source: name(table), target: name(table), ..before[0].clone() };
    // The second of the new tables has a range twice: neither is there afterwards.
    let mut twice = tile(&[], 4);
    twice.push(twice[2]);
    let tables = [&before[..], &[new("c"), new("d")]].concat();
    checkpoint.settle(&tables, &[vec![], vec![], tile(&[], 4), twice]).expect_err("a range is there twice");
    assert_eq!(checkpoint.tables().expect("readable"), before);
    assert_eq!(checkpoint.work().expect("readable").0.ranges, 9);
    checkpoint.settle(&tables, &[vec![], vec![], tile(&[], 4), tile(&[], 2)]).expect("settled");
    assert_eq!(checkpoint.work().expect("readable").0.ranges, 15);
    drop(checkpoint);
    sql(&path, "DELETE FROM token_range WHERE table_id = 3 AND position = 0").expect("SQLite lets us");
    assert!(matches!(open(&path).expect("opens").work(), Err(CheckpointError::Tiling { table: 3, .. })));
}

#[test]
fn progress_is_not_handed_to_another_table() {
    let (_folder, path) = created();
    let mut checkpoint = open(&path).expect("opens");
    let mut tables = checkpoint.tables().expect("readable");
    tables[0].admitted = tables[1].admitted.clone();
    assert!(checkpoint.settle(&tables, &[vec![], vec![]]).is_err());
    for wrong in [
        "UPDATE copied_table SET state = 'broken'",
        "UPDATE copied_table SET reason = 'why'",
        "INSERT INTO copied_table (id, source_keyspace, source_table, target_keyspace, target_table, state)
             VALUES (7, 'ks', 'x', 'ks', 'x', 'ready')",
        "INSERT INTO copied_table (id, source_keyspace, source_table, target_keyspace, target_table, state, reason)
             VALUES (7, 'ks', 'x', 'ks', 'a', 'broken', 'two into one')",
    ] {
        assert!(sql(&path, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_breaks_at_the_end_of_a_run_is_kept() {
    let (_folder, path) = created();
    let mut checkpoint = open(&path).expect("opens");
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    checkpoint.end_run(RunOutcome::Incomplete, None, 0, &[(1, "created again".to_owned())]).expect("ended");
    checkpoint.close().expect("closed");
    let status = status::read(&path).expect("readable");
    assert_eq!(status.state, status::State::Incomplete);
    let found: Vec<_> = status.tables.iter().map(|table| (table.state, table.reason.as_deref())).collect();
    let expected = [(status::TableState::Unfinished, None), (status::TableState::Broken, Some("created again"))];
    assert_eq!(found, expected);
}

#[test]
fn one_process_at_a_time() {
    let (_folder, path) = created();
    let first = open(&path).expect("opens");
    let error = open(&path).expect_err("in use");
    let mine = format!("process {}", std::process::id());
    assert!(matches!(&error, CheckpointError::InUse { owner, .. } if owner.contains(&mine)), "{error}");
    let again = new(&path, Existing::SetAside);
    assert!(matches!(again, Err(CheckpointError::InUse { .. })));
    drop(first);
    open(&path).expect("the lock went with its holder");
}

#[test]
fn a_missing_or_double_range_is_found() {
    for damage in [
        "DELETE FROM token_range WHERE table_id = 1 AND position = 1",
        "DELETE FROM token_range WHERE table_id = 0 AND first_token = (SELECT max(first_token) FROM token_range)",
        "DROP TRIGGER a_cut_loses_no_token; UPDATE token_range SET last_token = last_token - 1 WHERE table_id = 0 AND position = 2",
        "INSERT INTO token_range (table_id, first_token, last_token, position) VALUES (0, 5, 6, 99)",
        "DELETE FROM token_range WHERE table_id = 1",
    ] {
        let (_folder, path) = created();
        sql(&path, damage).expect("SQLite lets us");
        let error = open(&path).expect("opens").work().expect_err(damage);
        assert!(matches!(error, CheckpointError::Tiling { .. }), "{damage}: {error}");
    }
}

#[test]
fn the_file_itself_refuses_what_can_not_be() {
    let (_folder, path) = created();
    let done = "UPDATE token_range SET state = 'done', cursor = last_token WHERE table_id = 0 AND position = 0";
    sql(&path, done).expect("a range may become done");
    for wrong in [
        "UPDATE token_range SET state = 'pending' WHERE state = 'done'",
        "UPDATE token_range SET rows_read = 5, rows_written = 5 WHERE state = 'done'",
        "UPDATE token_range SET state = 'done' WHERE table_id = 0 AND position = 1",
        "UPDATE token_range SET cursor = last_token + 1 WHERE table_id = 0 AND position = 1",
        "UPDATE token_range SET rows_read = 5, rows_written = 4 WHERE table_id = 0 AND position = 1",
        "UPDATE token_range SET state = 'perhaps' WHERE table_id = 0 AND position = 1",
        "UPDATE token_range SET cursor = 7 WHERE table_id = 0 AND first_token <= 6 AND last_token >= 7;
         UPDATE token_range SET cursor = 6 WHERE cursor = 7",
    ] {
        assert!(sql(&path, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_foreign_newer_or_damaged_file_is_refused_and_left_alone() {
    let (folder, path) = created();
    let whole = std::fs::read(&path).expect("readable");
    let mut cases: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    cases.insert("empty", Vec::new());
    cases.insert("text", b"not a database at all, but long enough to be one".repeat(50));
    cases.insert("truncated", whole[..whole.len() / 2].to_vec());
    let mut flipped = whole.clone();
    for byte in &mut flipped[4096..4160] {
        *byte ^= 0xff;
    }
    cases.insert("flipped", flipped);
    for (name, bytes) in cases {
        let file = folder.path().join(name);
        std::fs::write(&file, &bytes).expect("written");
        let error = open(&file).and_then(|checkpoint| checkpoint.work().map(drop)).expect_err(name);
        assert!(error.is_refusal(), "{name}: {error:?}");
        assert!(error.hint().is_some());
        assert_eq!(std::fs::read(&file).expect("readable"), bytes, "{name}");
    }
    sql(&path, "PRAGMA user_version = 99").expect("set");
    assert!(matches!(open(&path), Err(CheckpointError::Newer { found: 99, known: 1, .. })));
    sql(&path, "PRAGMA application_id = 7").expect("set");
    assert!(matches!(open(&path), Err(CheckpointError::Foreign { .. })));
    assert!(matches!(open(folder.path()), Err(CheckpointError::Foreign { .. })));
    assert!(matches!(open(&folder.path().join("none")), Err(CheckpointError::Missing { .. })));
    assert!(matches!(new(&path, Existing::Keep), Err(CheckpointError::Io { .. })), "nothing is ever overwritten");
}

#[test]
fn looking_changes_no_byte() {
    let (folder, path) = created();
    let all = || -> BTreeMap<PathBuf, Vec<u8>> {
        let files = std::fs::read_dir(folder.path()).expect("readable");
        files
            .map(|file| file.expect("a file").path())
            .map(|path| (path.clone(), std::fs::read(path).expect("readable")))
            .collect()
    };
    let at_rest = all();
    assert_eq!(status::read(&path).expect("readable").state, status::State::Stopped);
    assert_eq!(all(), at_rest);

    let mut checkpoint = open(&path).expect("opens");
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    let in_use = all();
    assert!(in_use.len() > at_rest.len(), "there is a WAL");
    assert_eq!(status::read(&path).expect("readable").state, status::State::Running);
    assert_eq!(all().keys().collect::<Vec<_>>(), in_use.keys().collect::<Vec<_>>());
    assert_eq!(all()[&path], in_use[&path]);
}

#[test]
fn what_is_set_aside_is_kept() {
    let (_folder, path) = created();
    for n in 1..=2 {
        let (checkpoint, aside) = new(&path, Existing::SetAside).expect("created");
        checkpoint.close().expect("closed");
        let aside = aside.expect("there was one");
        assert!(aside.to_string_lossy().ends_with(&format!(".{n}")));
        assert_eq!(open(&aside).expect("a whole checkpoint").work().expect("readable").1.len(), 9);
    }
}

/// Side files as a killed process leaves them: a copy of what is there while one works.
fn kill_in_the_middle(path: &Path) {
    let mut checkpoint = open(path).expect("opens");
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    let key = checkpoint.work().expect("readable").1[0].key;
    let tally = Tally { rows_read: 7, rows_written: 7, ..Tally::default() };
    let cursor = Some(Cursor { token: Some(key.range.last()), row: None });
    let done = RangeUpdate { key, claims: 1, cursor, tally, state: RangeState::Done };
    checkpoint.commit(&[Update::Range(done)]).expect("committed");
    let files = [path.to_owned(), files::sibling(path, "-wal"), files::sibling(path, "-shm")];
    let left: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("readable")).collect();
    drop(checkpoint);
    for (file, bytes) in files.iter().zip(left) {
        std::fs::write(file, bytes).expect("written");
    }
}

#[test]
fn what_is_left_of_a_deleted_checkpoint_never_gets_into_a_new_one() {
    for existing in [Existing::Keep, Existing::SetAside] {
        let (_folder, path) = created();
        kill_in_the_middle(&path);
        assert_eq!(status::read(&path).expect("readable").counts.ranges_done, 1, "the WAL has it");
        std::fs::remove_file(&path).expect("deleted, as an operator would");
        let (checkpoint, aside) = new(&path, existing).expect("created");
        let (found, work) = checkpoint.work().expect("readable");
        assert_eq!((found.runs, found.ranges_done, work.len()), (0, 0, 9));
        assert!(files::sibling(&aside.expect("the WAL is kept"), "-wal").exists());
    }
}

#[test]
fn a_link_leads_to_the_same_lock() {
    let (folder, path) = created();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    let first = open(&path).expect("opens");
    assert!(matches!(open(&link), Err(CheckpointError::InUse { .. })));
    assert_eq!(status::read(&link).expect("readable").state, status::State::Running);
    drop(first);
    assert_eq!(status::read(&link).expect("readable").state, status::State::Stopped);
}

#[test]
fn a_second_name_is_refused() {
    let (folder, path) = created();
    let other = folder.path().join("other.db");
    std::fs::hard_link(&path, &other).expect("linked");
    for name in [&path, &other] {
        assert!(matches!(open(name), Err(CheckpointError::Linked { .. })), "{}", name.display());
        assert!(matches!(control::pause(name, true), Err(CheckpointError::Linked { .. })), "{}", name.display());
        status::read(name).expect("may be looked at");
    }
    std::fs::remove_file(&other).expect("there");
    control::pause(&path, true).expect("paused");
    open(&path).expect("opens");
}

#[test]
fn a_file_that_is_deleted_or_replaced_under_our_hands_is_noticed() {
    let (folder, path) = created();
    let mut checkpoint = open(&path).expect("opens");
    checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
    let kept = folder.path().join("kept");
    std::fs::rename(&path, &kept).expect("moved");
    assert!(matches!(checkpoint.commit::<Tally>(&[]), Err(CheckpointError::Gone { .. })));
    std::fs::copy(&kept, &path).expect("copied");
    assert!(matches!(checkpoint.end_run(RunOutcome::Done, None, 0, &[]), Err(CheckpointError::Gone { .. })));
    std::fs::rename(&kept, &path).expect("put back");
    checkpoint.commit::<Tally>(&[]).expect("there again");
}

fn four_rows() -> Tally {
    Tally { rows_read: 4, rows_written: 2, rows_expired: 1, rows_rejected: 1, bytes_read: 10, ..Tally::default() }
}

/// One step in the life of the ranges that are left, by numbers.
fn change(left: &mut Vec<Work>, range: usize, step: u8, number: u64) -> Change {
    let at = range % left.len();
    let Work { key, cursor } = &mut left[at];
    let (key, rest) = (*key, key.range.after(cursor.token));
    match (step % 8, rest) {
        (0, _) | (_, None) => Change::Claimed { key },
        (1, _) => Change::Failed { key, error: "no".to_owned(), remedy: (step > 100).then(|| "try".to_owned()) },
        (2, _) => {
            left.remove(at);
            Change::Done { key, tally: four_rows() }
        }
        (3 | 4, Some(rest)) => {
            let cells = [&8u32.to_be_bytes()[..], &number.to_be_bytes()].concat();
            cursor.row = Some(RowKey::new(&cells, &cells));
            // Without a token, the one that there was stays.
            let token = (step % 8 == 3).then(|| rest.first().next().unwrap_or(rest.first()));
            cursor.token = token.or(cursor.token).filter(|token| key.range.contains(*token));
            Change::Moved {
                key,
                cursor: Cursor { token: cursor.token.filter(|_| token.is_some()), row: cursor.row.clone() },
                tally: four_rows(),
            }
        }
        (5..=7, Some(rest)) => {
            let cuts: Vec<Token> =
                rest.first().previous().into_iter().chain([rest.first()]).chain(rest.cuts(3)).collect();
            let into = left.remove(at).cut(&cuts);
            left.extend(into.iter().cloned());
            Change::Split { key, into }
        }
        (8.., Some(_)) => unreachable!("a remainder"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever is reported, in whatever groups: the file says what was reported, what is done stays done, and the ranges tile
    /// the ring however often they are cut.
    #[test]
    fn the_file_says_what_was_reported(steps in prop::collection::vec((any::<usize>(), any::<u8>()), 0..80), crash in any::<bool>()) {
        let (_folder, path) = created();
        let mut checkpoint = open(&path).expect("opens");
        let (_, mut left) = checkpoint.work().expect("readable");
        checkpoint.begin_run(RunCommand::Copy, stored::LEVELS).expect("begun");
        let (mut done, mut rows) = (0, 0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let committer = Committer::start(checkpoint, Events::none());
            let ledger = committer.ledger();
            for (number, &(range, step)) in (0..).zip(&steps) {
                if left.is_empty() {
                    break;
                }
                let change = change(&mut left, range, step, number);
                match &change {
                    Change::Done { tally, .. } => { done += 1; rows += tally.rows_written; }
                    Change::Moved { tally, .. } => rows += tally.rows_written,
                    Change::Claimed { .. }
                    | Change::Failed { .. }
                    | Change::Split { .. }
                    | Change::Again { .. }
                    | Change::Beyond { .. } => {}
                }
                ledger.report(change).await.expect("taken");
            }
            if crash { drop(committer) } else { drop(committer.finish(RunOutcome::Stopped, 0, vec![]).await.expect("ended")) }
        });
        drop(runtime);
        let (found, mut work) = open(&path).expect("opens").work().expect("tiles");
        if crash {
            prop_assert!(found.ranges_done <= done && found.tally.rows_written <= rows);
        } else {
            prop_assert_eq!(found.ranges_done, done);
            prop_assert_eq!(found.tally.rows_written, rows);
            let order = |work: &Work| (work.key.table, work.key.range.first());
            work.sort_by_key(order);
            left.sort_by_key(order);
            prop_assert_eq!(work, left);
        }
    }
}

#[test]
fn a_range_can_not_be_cut_short() {
    let (_folder, path) = created();
    let error = sql(&path, "UPDATE token_range SET last_token = last_token - 1").expect_err("tokens would be lost");
    assert!(error.to_string().contains("tokens would be lost"), "{error}");
}

#[test]
fn a_managed_option_is_remembered_until_it_is_settled() {
    use options::{ManagedOption, OptionEnd};
    let (_folder, path) = created();
    let option = |table, old: &str| ManagedOption {
        table,
        name: "gc_grace_seconds".to_owned(),
        old: old.to_owned(),
        new: "315360000".to_owned(),
    };
    let mut checkpoint = open(&path).expect("opens");
    checkpoint.manage_option(&option(0, "10")).expect("stored");
    checkpoint.manage_option(&option(1, "20")).expect("stored");
    checkpoint.manage_option(&option(0, "11")).expect_err("the old value is committed once");
    checkpoint.close().expect("closed");
    sql(&path, "UPDATE token_range SET state = 'done', cursor = last_token WHERE table_id = 1").expect("done");

    let mut checkpoint = open(&path).expect("opens");
    let managed = checkpoint.managed_options().expect("readable");
    assert_eq!(managed, [(option(0, "10"), false), (option(1, "20"), true)], "only the second table is done");
    checkpoint.settle_option(&option(1, "20"), OptionEnd::Restored).expect("settled");
    assert!(checkpoint.is_option_settled(1, "gc_grace_seconds").expect("readable"));
    assert!(!checkpoint.is_option_settled(0, "gc_grace_seconds").expect("readable"));
    checkpoint.close().expect("closed");

    // A job that is begun anew has them from its first byte on.
    let mut reserved = reserve(&path).expect("free");
    let owed = reserved.owed().expect("readable");
    let owed: Vec<_> = owed.iter().map(|o| format!("{} {} {}", o.cluster, o.table, o.option.old)).collect();
    assert_eq!(owed, ["new ks.a 10"]);
    reserved.take_over(vec![option(1, "10")]);
    drop(create(reserved, &job(), &ranges(), Existing::SetAside).expect("created"));
    assert_eq!(open(&path).expect("opens").managed_options().expect("readable"), [(option(1, "10"), false)]);
    let draft = path.with_file_name("killed.db-new");
    std::fs::copy(&path, &draft).expect("copied");
    let owed = reserve(&path.with_file_name("killed.db")).expect("free").owed().expect("readable");
    assert_eq!(owed.len(), 1, "killed before the new file had its name");
    // Nothing is owed by what isn't there, or is no job's.
    let reserved = reserve(&path.with_file_name("other.db")).expect("free");
    assert_eq!(reserved.owed().expect("no job"), []);
    std::fs::write(&reserved.path, "garbage").expect("written");
    assert_eq!(reserved.owed().expect("no job"), []);

    let mut checkpoint = open(&path).expect("opens");
    checkpoint.forget_option(&option(1, "10")).expect("forgotten");
    assert_eq!(checkpoint.managed_options().expect("readable"), []);
}

#[test]
fn a_checkpoint_that_can_not_be_made_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("job.db");
    let mut job = job();
    job.identity.push(("source", "another".to_owned()));
    let made = create(reserve(&path).expect("free"), &job, &ranges(), Existing::Keep);
    assert!(matches!(made, Err(CheckpointError::Sqlite { .. })), "{made:?}");
    let left = std::fs::read_dir(folder.path()).expect("readable").map(|entry| entry.expect("readable").file_name());
    assert_eq!(left.filter(|name| name != "job.db-lock").collect::<Vec<_>>(), Vec::<std::ffi::OsString>::new());
}
