//! A disk that fails: errors and kills at the n-th write or sync of the checkpoint, by `strace`.

use crate::job::{Finished, Job};
use crate::lab::{Lab, skipped};
use std::process::Command;

const ROWS: i32 = 400;
/// What SQLite writes and syncs with.
const CALLS: &str = "pwrite64,fdatasync,fsync";

/// How far a sweep goes. A run makes some tens of calls; `MIGRATE_TEST_SWEEP=200` leaves none out.
fn sweep() -> i32 {
    std::env::var("MIGRATE_TEST_SWEEP").map_or(36, |n| n.parse().unwrap())
}

fn has_strace() -> bool {
    let ended = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let traces = ended.is_ok_and(|out| out.status.success());
    if !traces {
        skipped("strace isn't installed, or may not trace");
    }
    traces
}

/// The job, with a fault in some of its calls.
fn with_fault(job: &Job, calls: &str, fault: &str) -> Job {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{fault}"));
    job.clone().under(&["strace", "-f", "-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
}

/// A table that tells the `n`-th copy from those before it, and the job of that copy.
struct Sweep {
    lab: Lab,
}

impl Sweep {
    fn new(name: &str) -> Option<Sweep> {
        let lab = Lab::open(name)?;
        if !has_strace() {
            return None;
        }
        lab.both("CREATE TABLE t (id int PRIMARY KEY, a int)");
        Some(Sweep { lab })
    }

    /// Every row is written anew, so that the target lacks all of it.
    fn job(&self, n: i32) -> Job {
        let insert = "INSERT INTO t (id, a) VALUES (?, ?) USING TIMESTAMP ?";
        self.lab.source.load(insert, (0..ROWS).map(|id| (id, n, i64::from(n))));
        self.lab.job("t").checkpoint(&self.lab.folder.path().join(format!("{n}.db"))).args(&["--ranges", "20"])
    }

    /// The file opens, and the same command ends the job exact.
    fn resume(&self, n: i32, job: &Job, faulty: &Finished) {
        let why = format!("call {n}: code {:?}, {}", faulty.code, faulty.stderr);
        if job.checkpoint.exists() {
            let read = job.status()["rows_read"].as_i64().unwrap();
            assert!((0..=ROWS.into()).contains(&read), "{read} rows; {why}");
        }
        let resumed = job.run();
        assert_eq!(resumed.code, Some(0), "{}; {why}", resumed.stderr);
        let status = job.status();
        assert_eq!((&status["state"], &status["rows_read"]), (&"done".into(), &ROWS.into()), "{why}");
        let cql = "SELECT id, a, WRITETIME(a) FROM t";
        let copied = self.lab.target.rows::<(i32, i32, i64)>(cql);
        assert!(copied.iter().all(|row| (row.1, row.2) == (n, n.into())), "{why}");
        assert_eq!(copied.len(), usize::try_from(ROWS).unwrap(), "{why}");
    }
}

/// Goal: a process that dies at any write or sync of its checkpoint leaves one that opens and resumes exact, or none.
///
/// Method: SIGKILL at the n-th such call of a thread, for each n.
#[test]
fn a_kill_at_any_write_or_sync_leaves_a_checkpoint_that_resumes() {
    let Some(sweep_of) = Sweep::new("storage_kill") else { return };
    let mut killed = 0;
    for n in 1..=sweep() {
        let job = sweep_of.job(n);
        let faulty = with_fault(&job, CALLS, &format!("signal=SIGKILL:when={n}")).run();
        assert!(matches!(faulty.code, None | Some(0)), "{faulty:?}");
        killed += i32::from(faulty.code.is_none());
        sweep_of.resume(n, &job, &faulty);
    }
    println!("{killed} of {} were killed", sweep());
    assert!(killed >= 12, "{killed} runs made so many calls");
}

/// Goal: an error of the disk at any write or sync stops the copy with a message about the file and the next step; the
/// checkpoint opens and resumes exact, whatever became of the commit that failed.
///
/// Method: EIO for one sync, or for it and all after it; EROFS, as after a remount, for a write and all after it.
#[test]
fn an_error_at_any_write_or_sync_stops_the_copy_and_the_next_run_resumes() {
    let Some(sweep_of) = Sweep::new("storage_error") else { return };
    let mut copy = 0;
    for (calls, error, more, least) in
        [("fdatasync,fsync", "EIO", "", 4), ("fdatasync,fsync", "EIO", "+", 4), ("pwrite64", "EROFS", "+", 10)]
    {
        let mut failed = 0;
        for n in 1..=sweep() / 2 {
            copy += 1;
            let job = sweep_of.job(copy);
            let faulty = with_fault(&job, calls, &format!("error={error}:when={n}{more}")).run();
            if faulty.code != Some(0) {
                failed += 1;
                faulty.assert_code(1);
                // The file, or the folder that it stands in.
                let folder = sweep_of.lab.folder.path().to_string_lossy();
                faulty.assert_says(&[&folder, "error:", "hint:", "same command"]);
                println!("{}", faulty.stderr);
            }
            sweep_of.resume(copy, &job, &faulty);
        }
        println!("{error}{more} in {calls}: {failed} of {} runs failed", sweep() / 2);
        assert!(failed >= least, "{failed} runs failed by {error}{more} in {calls}");
    }
}

/// Goal: a checkpoint on a disk of another machine is refused before anything else is done.
///
/// Method: `strace` writes the number of NFS into the answer of `statfs`.
#[test]
fn a_network_file_system_is_refused_early() {
    let Some(lab) = Lab::open("storage_network") else { return };
    if !has_strace() {
        return;
    }
    lab.both("CREATE TABLE t (id int PRIMARY KEY)");
    let job = lab.job("t");
    let nfs = with_fault(&job, "statfs", "poke_exit=@arg2=6969000000000000");
    for makes_it in [true, false] {
        let refused = nfs.run();
        refused.assert_code(5);
        refused.assert_says(&[&job.checkpoint.to_string_lossy(), "network file system (NFS)", "--checkpoint FILE"]);
        assert_eq!(refused.count("connected"), 0, "nobody needs to be asked for this");
        assert_eq!(job.checkpoint.exists(), !makes_it);
        job.succeed();
    }
}
