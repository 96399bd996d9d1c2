//! A checkpoint on a disk that is full, or can't be written.

use crate::job::Job;
use crate::lab::{Lab, THEN, skipped};
use crate::proxy::{PAYLOAD, Proxy};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ROWS: i32 = 20_000;

/// A small file system of its own, unmounted when this is dropped. Only root may mount.
struct Disk<'a> {
    path: &'a Path,
}

impl<'a> Disk<'a> {
    fn mount(path: &'a Path, size: &str) -> Option<Disk<'a>> {
        std::fs::create_dir(path).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        if !mounted.is_ok_and(|out| out.status.success()) {
            skipped("only root may mount a tmpfs");
            return None;
        }
        Some(Disk { path })
    }

    /// Takes all of the space that is left.
    fn fill(&self) {
        let mut file = File::create(self.path.join("filler")).unwrap();
        for size in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path).status();
    }
}

fn fill(lab: &Lab) {
    lab.both("CREATE TABLE t (id int PRIMARY KEY, a text)");
    let insert = format!("INSERT INTO t (id, a) VALUES (?, '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..ROWS).map(|id| (id, THEN)));
}

/// Has the job last for twenty seconds: it writes through a proxy that holds each of some 400 batches back.
fn slow(job: &Job, proxy: &mut Proxy) -> Job {
    proxy.hold_writes(Duration::from_millis(200));
    job.clone().args(&["--writers", "4"]).target(&proxy.address)
}

/// Goal: a disk that fills up stops the copy with a message about the file, and costs nothing but time.
///
/// Method: the disk is filled while a slow copy runs, then freed; then it is full from the start.
#[test]
fn a_full_disk_stops_the_copy_and_free_space_resumes_it() {
    let Some(lab) = Lab::open("disk_full") else { return };
    let folder = lab.folder.path().join("disk");
    let Some(disk) = Disk::mount(&folder, "2m") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").checkpoint(&folder.join("job.db")).args(&["--ranges", "400", "--readers", "4"]);
    let name = job.checkpoint.to_string_lossy().into_owned();

    let mut run = slow(&job, &mut proxy).start();
    run.await_progress();
    disk.fill();
    let finished = run.finish();
    finished.assert_code(1);
    finished.assert_says(&[&name, "full", "free space"]);
    // Looking needs no space.
    let status = job.status();
    assert_eq!(status["state"], "stopped");
    let rows = status["rows_read"].as_i64().unwrap();
    assert!(rows > 0 && rows < ROWS.into(), "{rows}");

    let still_full = job.run();
    still_full.assert_code(1);
    still_full.assert_says(&[&name]);
    disk.free();
    job.succeed();
    assert_eq!(job.status()["rows_read"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());

    disk.fill();
    let new = lab.job("t").checkpoint(&folder.join("new.db")).run();
    new.assert_code(1);
    new.assert_says(&[&folder.join("new.db").to_string_lossy()]);
    disk.free();
    lab.job("t").checkpoint(&folder.join("new.db")).succeed();
}

/// Goal: a folder that can't be written is refused before anything else is done.
#[test]
fn a_read_only_disk_is_refused_early() {
    let Some(lab) = Lab::open("disk_read_only") else { return };
    let folder = lab.folder.path().join("disk");
    let Some(disk) = Disk::mount(&folder, "2m") else { return };
    fill(&lab);
    let job = lab.job("t").checkpoint(&folder.join("job.db"));
    job.succeed();
    let writes = lab.target.writes("t");
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path).status().unwrap();
    assert!(remounted.success());
    for job in [&job, &lab.job("t").checkpoint(&folder.join("new.db"))] {
        let finished = job.run();
        finished.assert_code(1);
        finished.assert_says(&[&job.checkpoint.to_string_lossy(), "Read-only file system", "permissions"]);
        assert_eq!(finished.count("connected"), 0, "nobody needs to be asked for this");
    }
    assert_eq!(lab.target.writes("t"), writes);
}

/// Goal: a checkpoint that is deleted, or that another file takes the place of, stops the copy at the next commit; the same
/// command then makes a new one, or carries on from what is there, and ends exact.
#[test]
fn a_checkpoint_that_is_deleted_or_replaced_stops_the_copy() {
    let Some(lab) = Lab::open("disk_gone") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let job = lab.job("t").args(&["--ranges", "400", "--readers", "4"]);
    let backup = job.checkpoint.with_extension("backup");
    for replaced in [true, false] {
        let mut run = slow(&job, &mut proxy).start();
        run.await_begin();
        // Whole, since nothing was written to it since it was opened.
        std::fs::copy(&job.checkpoint, &backup).unwrap();
        run.await_progress();
        if replaced {
            std::fs::rename(&backup, &job.checkpoint).unwrap();
        } else {
            std::fs::remove_file(&job.checkpoint).unwrap();
        }
        let finished = run.finish();
        finished.assert_code(1);
        finished.assert_says(&[&job.checkpoint.to_string_lossy(), "deleted or replaced", "put the file back"]);
        if replaced {
            let known = job.status()["ranges_done"].as_i64().unwrap();
            assert!(known < 400, "{known}");
        }
    }
    job.succeed();
    assert_eq!((&job.status()["rows_read"], &job.status()["runs"]), (&ROWS.into(), &1.into()), "it began anew");
    lab.assert_equal("t", ROWS.try_into().unwrap());
}
