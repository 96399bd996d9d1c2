//! Running `migrate` and writing down its answer.

use assert_cmd::Command;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than any answer may take; what hangs is killed.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program under test.
pub(crate) fn program() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("migrate").to_owned()
}

/// A call of `migrate` in a folder of its own, without settings from the environment and without a terminal.
pub(crate) struct Tool {
    pub(crate) folder: TempDir,
    hidden: Vec<(String, &'static str)>,
}

/// What a call answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Tool {
    pub(crate) fn new() -> Tool {
        Tool { folder: tempfile::tempdir().unwrap(), hidden: Vec::new() }
    }

    /// Writes `stand_in` in answers wherever `text`, which differs from run to run, appears.
    pub(crate) fn hide(mut self, text: impl Into<String>, stand_in: &'static str) -> Tool {
        self.hidden.push((text.into(), stand_in));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(&[], arguments)
    }

    pub(crate) fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Answer {
        let mut command = Command::new(program());
        clean(|name| _ = command.env_remove(name));
        command.current_dir(self.folder.path()).timeout(PATIENCE);
        command.args(arguments).envs(environment.iter().copied());
        self.answer(&command.output().unwrap())
    }

    /// Begins such a call, whose output is to be read as it comes.
    pub(crate) fn start(&self, arguments: &[&str]) -> process::Child {
        let mut command = process::Command::new(program());
        clean(|name| _ = command.env_remove(name));
        command.current_dir(self.folder.path()).args(arguments).stdout(process::Stdio::piped()).spawn().unwrap()
    }

    /// The same on a terminal: `script` gives the call one, and what both streams write to it comes as `out`.
    pub(crate) fn on_terminal(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Answer {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let program = program().display().to_string();
        let line: Vec<String> =
            std::iter::once(program.as_str()).chain(arguments.iter().copied()).map(quoted).collect();
        let mut command = Command::new("script");
        clean(|name| _ = command.env_remove(name));
        command.current_dir(self.folder.path()).timeout(PATIENCE).env("TERM", "xterm").env_remove("NO_COLOR");
        command.args(["-qefc", &line.join(" "), "/dev/null"]).envs(environment.iter().copied());
        self.answer(&command.output().unwrap())
    }

    fn answer(&self, output: &std::process::Output) -> Answer {
        let text = |bytes: &[u8]| {
            let mut text = String::from_utf8(bytes.to_vec()).expect("what is printed is UTF-8");
            for (hidden, stand_in) in &self.hidden {
                text = text.replace(hidden, stand_in);
            }
            text.replace(&self.folder.path().display().to_string(), "FOLDER")
        };
        Answer { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// All files of the folder with their content, links with where they lead.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        listing(self.folder.path())
    }
}

pub(crate) fn listing(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let content = |path: &Path| {
        let meta = std::fs::symlink_metadata(path).unwrap();
        if meta.is_symlink() {
            std::fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
        } else if meta.is_dir() {
            b"a folder".to_vec()
        } else {
            std::fs::read(path).unwrap()
        }
    };
    entries.map(|path| (path.clone(), content(&path))).collect()
}

/// Settings that the tests' own environment has would change the answers.
fn clean(mut remove: impl FnMut(&str)) {
    for (name, _) in std::env::vars() {
        if name.starts_with("MIGRATE_")
            || ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "RUST_LOG", "CI"].contains(&name.as_str())
        {
            remove(&name);
        }
    }
}

impl Answer {
    /// What was said, on one line: for lists of many calls.
    pub(crate) fn line(&self) -> String {
        let said = self.err.split("\n\n").next().unwrap_or_default().trim_end().replace('\n', " ");
        format!("{} {said}", self.code.unwrap_or(-1))
    }

    /// Says where what should be `code` isn't.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Answer {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {}", self.code.map_or("none: killed".to_owned(), |code| code.to_string()))?;
        for (name, text) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !text.is_empty() {
                writeln!(f, "-- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}
