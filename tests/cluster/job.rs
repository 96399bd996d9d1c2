//! The program under test, as a process.

use crate::lab::{SOURCE, TARGET};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing takes longer, or it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A command line.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) checkpoint: PathBuf,
    source: String,
    target: String,
    args: Vec<String>,
    under: Vec<String>,
    /// `verify`; none is a copy.
    subcommand: Option<&'static str>,
}

impl Job {
    /// A copy between the two nodes, without a table yet.
    pub(crate) fn new(checkpoint: &Path) -> Job {
        Job {
            checkpoint: checkpoint.to_owned(),
            source: SOURCE.to_owned(),
            target: TARGET.to_owned(),
            args: Vec::new(),
            under: Vec::new(),
            subcommand: None,
        }
    }

    /// `migrate verify` of the same tables, with the same checkpoint.
    pub(crate) fn verify(&self) -> Job {
        let mut job = Job { subcommand: Some("verify"), ..self.clone() };
        // That is about writing, and refused.
        if let Some(at) = job.args.iter().position(|argument| argument == "--batch") {
            job.args.drain(at..at + 2);
        }
        job
    }

    /// Where a verification lists what differs.
    pub(crate) fn differences(&self) -> PathBuf {
        PathBuf::from(format!("{}-differences.jsonl", self.checkpoint.display()))
    }

    /// Has another program run it: `strace`, `prlimit`, `env` …
    pub(crate) fn under(mut self, program: &[&str]) -> Job {
        self.under = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    pub(crate) fn arg(mut self, arg: &str) -> Job {
        self.args.push(arg.to_owned());
        self
    }

    pub(crate) fn args(self, args: &[&str]) -> Job {
        args.iter().fold(self, |job, arg| job.arg(arg))
    }

    /// Reads through a proxy.
    pub(crate) fn source(mut self, address: &str) -> Job {
        address.clone_into(&mut self.source);
        self
    }

    /// Writes through a proxy.
    pub(crate) fn target(mut self, address: &str) -> Job {
        address.clone_into(&mut self.target);
        self
    }

    pub(crate) fn checkpoint(mut self, path: &Path) -> Job {
        path.clone_into(&mut self.checkpoint);
        self
    }

    /// The command line, for those who want its streams for themselves.
    pub(crate) fn command(&self) -> Command {
        let mut command = command(&self.under);
        command.args(self.subcommand);
        command.args(["--source", &self.source, "--target", &self.target, "--checkpoint"]);
        command.arg(&self.checkpoint).args(&self.args);
        command
    }

    /// Starts it, with its events on stdout.
    pub(crate) fn start(&self) -> Running {
        let mut child = self.command().arg("--json").spawn().unwrap();
        let (sender, events) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines() {
                // The last line of a killed process may be cut off.
                let Some(event) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { return };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { child, incoming: events, events: Vec::new(), stderr: Some(stderr) }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Finished {
        self.start().finish()
    }

    /// Runs it to its end, which is a good one.
    pub(crate) fn succeed(&self) -> Finished {
        let finished = self.run();
        finished.assert_code(0);
        finished
    }

    /// `migrate status --json` of its checkpoint.
    pub(crate) fn status(&self) -> Value {
        let out = command(&[]).args(["status", "--json", "--checkpoint"]).arg(&self.checkpoint).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }
}

/// The program, without arguments, run by another one where `under` names one.
fn command(under: &[String]) -> Command {
    let mut words = under.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_migrate")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    // Variables like MIGRATE_RANGES are flags.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MIGRATE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A live process. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    incoming: Receiver<Value>,
    /// What it said so far.
    pub(crate) events: Vec<Value>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next event; nothing after its last one, or where there is none before `deadline`.
    pub(crate) fn next(&mut self, deadline: Instant) -> Option<Value> {
        match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => {
                self.events.push(event.clone());
                Some(event)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Waits for an event that fits. One that never comes is a failure.
    pub(crate) fn await_event(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline) {
                Some(event) if fits(&event) => return event,
                Some(_) => {}
                None => {
                    let _ = self.child.kill();
                    let stderr = self.stderr.take().map(|stderr| stderr.join().unwrap());
                    panic!("waited in vain for {what}; stderr: {stderr:?}; events: {:#?}", self.events);
                }
            }
        }
    }

    /// Waits for an event of that type.
    pub(crate) fn await_type(&mut self, wanted: &str) -> Value {
        self.await_event(wanted, |event| event["type"] == wanted)
    }

    /// Waits until the first range is about to be claimed.
    pub(crate) fn await_begin(&mut self) {
        self.await_event("the begin", |event| {
            matches!(event["type"].as_str(), Some("planned" | "resumed" | "verification_begun"))
        });
    }

    /// Waits until rows have been written and are recorded.
    pub(crate) fn await_progress(&mut self) {
        self.await_event("progress", |event| {
            event["type"] == "range_done" && event["rows_written"] != 0
                || event["type"] == "progress" && event["rows_committed"] != 0
        });
    }

    /// Sends SIGTERM, SIGINT …
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    /// `kill -9`, and what it said until then.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while self.next(Instant::now() + PATIENCE).is_some() {}
        std::mem::take(&mut self.events)
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Finished {
        self.finish_within(PATIENCE)
    }

    /// Waits for its end, which takes no longer than `time`.
    pub(crate) fn finish_within(mut self, time: Duration) -> Finished {
        let deadline = Instant::now() + time;
        while self.next(deadline).is_some() {}
        if Instant::now() >= deadline {
            let _ = self.child.kill();
        }
        let status = self.child.wait().unwrap();
        assert!(Instant::now() < deadline, "it hangs; its last events: {:#?}", self.events.iter().rev().take(5));
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Finished { code: status.code(), events: std::mem::take(&mut self.events), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
    pub(crate) stderr: String,
}

impl Finished {
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) {
        let told = self.events.iter().filter(|event| event["type"] == "range_failed" || event["type"] == "finished");
        let told: Vec<String> = told.map(ToString::to_string).collect();
        assert_eq!(self.code, Some(code), "exit code; stderr: {}; events: {told:#?}", self.stderr);
    }

    /// Its `finished` event.
    pub(crate) fn end(&self) -> &Value {
        self.events.iter().find(|event| event["type"] == "finished").expect("the last line is of type finished")
    }

    /// How many events are of that type.
    pub(crate) fn count(&self, wanted: &str) -> usize {
        self.events.iter().filter(|event| event["type"] == wanted).count()
    }

    /// stderr holds each of these texts.
    #[track_caller]
    pub(crate) fn assert_says(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.stderr.contains(text), "stderr doesn't say {text:?}:\n{}", self.stderr);
        }
    }
}
