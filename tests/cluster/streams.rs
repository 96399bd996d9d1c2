//! Readers that leave or stand still, a terminal that closes, and file descriptors that run out.

use crate::job::{Job, PATIENCE};
use crate::lab::{Lab, THEN};
use crate::proxy::{PAYLOAD, Proxy, writes};
use scylla_proxy::{Reaction, RequestReaction, RequestRule};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ROWS: i32 = 5000;
/// What a pipe holds, less a text that doesn't fit any more.
const PIPE: usize = 60 << 10;

fn fill(lab: &Lab) {
    lab.both("CREATE TABLE t (id int PRIMARY KEY, a text)");
    let insert = format!("INSERT INTO t (id, a) VALUES (?, '{PAYLOAD}') USING TIMESTAMP ?");
    lab.source.load(&insert, (0..ROWS).map(|id| (id, THEN)));
}

/// Waits for what no event tells.
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Its exit code, with nobody reading what it says.
fn await_end(child: &mut Child) -> Option<i32> {
    await_that("the end", || child.try_wait().unwrap().is_some());
    child.wait().unwrap().code()
}

/// The command line of a job, as a shell takes it.
fn words(job: &Job) -> String {
    let command = job.command();
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

/// What a terminal shows.
struct Screen {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Screen {
    /// Nothing is added for a while in which a bar moves several times.
    fn is_still(&self) -> bool {
        let shown = || self.bytes.lock().unwrap().len();
        let before = shown();
        std::thread::sleep(Duration::from_secs(2));
        before == shown()
    }

    /// All of it, once the terminal is gone.
    fn end(self) -> String {
        self.reader.join().unwrap();
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// Has a shell run the line on a terminal of its own.
fn on_terminal(line: &str) -> (Child, Screen) {
    let mut terminal = Command::new("env")
        .args(["--default-signal=HUP", "TERM=xterm", "SHELL=/bin/sh", "script", "-qefc", line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = terminal.stdout.take().unwrap();
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stdout.read(&mut buffer) {
            shown.lock().unwrap().extend_from_slice(&buffer[..length]);
        }
    });
    (terminal, Screen { bytes, reader })
}

fn assert_copied(lab: &Lab, job: &Job) {
    assert_eq!(job.status()["rows_written"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}

/// Goal: `migrate --json | head -1` copies everything all the same: whether somebody looks is no part of the job.
#[test]
fn a_reader_of_events_that_leaves_does_not_stop_the_copy() {
    let Some(lab) = Lab::open("streams_left") else { return };
    fill(&lab);
    let job = lab.job("t");
    let mut child = job.command().arg("--json").spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"type\":"), "{first}");
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr)), (Some(0), "".into()));
    assert_copied(&lab, &job);
}

/// Goal: a stderr that nobody reads holds up neither the copy nor its end, whatever is to be said there.
///
/// Method: the driver's log, which is more than a pipe holds; it is read when the process is gone.
#[test]
fn a_stderr_that_nobody_reads_holds_up_nothing() {
    let Some(lab) = Lab::open("streams_stderr") else { return };
    fill(&lab);
    let job = lab.job("t").arg("-vvv");
    let mut child = job.command().env("RUST_LOG", "trace").spawn().unwrap();
    assert_eq!(await_end(&mut child), Some(0));
    let mut said = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut said).unwrap();
    assert!(said.len() >= PIPE, "the pipe held all {} bytes", said.len());
    assert_copied(&lab, &job);
}

/// Goal: events that nobody reads hold up no copy; its process waits for their reader as any program does, until a signal.
#[test]
fn events_that_nobody_reads_hold_up_no_copy() {
    let Some(lab) = Lab::open("streams_stdout") else { return };
    fill(&lab);
    let job = lab.job("t").args(&["--ranges", "1000", "--json"]);
    let mut child = job.command().spawn().unwrap();
    await_that("the checkpoint", || job.checkpoint.exists());
    await_that("the end of the copy", || job.status()["state"] == "done");
    assert_eq!(child.try_wait().unwrap(), None, "a thousand events fit into the pipe");
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(await_end(&mut child), Some(0), "the job was done by then");
    assert_copied(&lab, &job);
}

/// Goal: a terminal that is closed drains the copy, with the exit code of a hangup, though nothing can be shown any more.
///
/// Method: `script` is the terminal; it is killed while a bar is shown.
#[test]
fn a_terminal_that_closes_drains_the_copy() {
    let Some(lab) = Lab::open("streams_terminal") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    // Twenty seconds for 400 ranges.
    proxy.hold_writes(Duration::from_millis(100));
    let job = lab.job("t").args(&["--ranges", "400", "--writers", "2"]);
    let code = lab.folder.path().join("code");
    // As an interactive shell does, this one passes the signal on. It waits again where that interrupts it.
    let line = format!(
        "trap 'kill -HUP $pid' HUP; {} & pid=$!; while kill -0 $pid; do wait $pid; code=$?; done; echo $code >'{}'; mv '{1}' '{2}'",
        words(&job.clone().target(&proxy.address)),
        code.with_extension("new").display(),
        code.display()
    );
    let (mut terminal, screen) = on_terminal(&line);
    await_that("the checkpoint", || job.checkpoint.exists());
    await_that("rows", || job.status()["rows_written"].as_i64() > Some(0));
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    await_that("the exit code", || code.exists());
    assert_eq!(std::fs::read_to_string(&code).unwrap(), "129\n");
    let shown = screen.end();
    assert!(shown.contains("copying"), "no bar: {shown:?}");
    let status = job.status();
    assert_eq!(status["last_run"]["outcome"], "stopped", "it drained, rather than being killed");
    assert!(status["rows_written"].as_i64() < Some(ROWS.into()));
    job.succeed();
    assert_copied(&lab, &job);
}

/// Goal: a terminal that somebody holds (Ctrl-S) holds up no copy; once it is let go, it shows how the copy ended.
#[test]
fn a_terminal_that_is_held_holds_up_no_copy() {
    let Some(lab) = Lab::open("streams_held") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    // Twenty seconds for 400 ranges.
    proxy.hold_writes(Duration::from_millis(100));
    let job = lab.job("t").args(&["--ranges", "400", "--writers", "2"]);
    let (mut terminal, screen) = on_terminal(&words(&job.clone().target(&proxy.address)));
    let mut keyboard = terminal.stdin.take().unwrap();
    await_that("the checkpoint", || job.checkpoint.exists());
    await_that("rows", || job.status()["rows_written"].as_i64() > Some(0));
    keyboard.write_all(b"\x13").unwrap();
    await_that("the hold", || screen.is_still());
    proxy.behave();
    await_that("the end of the copy", || job.status()["state"] == "done");
    assert_eq!(terminal.try_wait().unwrap(), None, "the terminal isn't held");
    keyboard.write_all(b"\x11").unwrap();
    assert_eq!(await_end(&mut terminal), Some(0));
    let shown = screen.end();
    let end = shown.rsplit("copying").next().unwrap();
    assert!(end.contains("done:") && end.contains("rows written"), "{shown:?}");
    assert_copied(&lab, &job);
}

/// Goal: with too few file descriptors the program says so, and what to type; it neither hangs nor panics.
#[test]
fn too_few_file_descriptors_are_named() {
    let Some(lab) = Lab::open("streams_few") else { return };
    fill(&lab);
    for limit in [6, 20, 63, 64] {
        let path = lab.folder.path().join(format!("{limit}.db"));
        let job = lab.job("t").checkpoint(&path);
        let finished = job.clone().under(&["prlimit", &format!("--nofile={limit}")]).run();
        if limit < 64 {
            finished.assert_code(1);
            finished.assert_says(&[&format!("no more than {limit} files"), "ulimit -n"]);
        } else {
            finished.assert_code(0);
            assert_copied(&lab, &job);
        }
    }
}

/// Goal: file descriptors that run out during a copy are waited for, as a cluster is that is away.
///
/// Method: the limit is lowered below what is open, and every connection is cut; then it is raised again.
#[test]
fn file_descriptors_that_run_out_are_waited_for() {
    let Some(lab) = Lab::open("streams_fds") else { return };
    fill(&lab);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.delay_writes(Duration::from_millis(60));
    let job = lab.job("t").args(&["--ranges", "100", "--writers", "4"]).target(&proxy.address);
    let mut run = job.start();
    run.await_progress(); // Everything that a run opens is open.
    let pid = run.pid().to_string();
    let limit = |soft: &str| {
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={soft}:")]).status().unwrap();
        assert!(set.success());
    };
    limit("8");
    proxy.on_requests(vec![RequestRule(writes(), RequestReaction::drop_connection())]);
    run.await_type("retry");
    // Nothing passes until there are descriptors again: connections that are gone stay so.
    proxy.behave();
    let retry = run.await_event("another try", |event| event["type"] == "retry" && event["tries"].as_i64() > Some(2));
    println!("{retry}");
    limit("1024");
    run.finish().assert_code(0);
    assert_copied(&lab, &job);
}
