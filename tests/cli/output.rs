//! What is printed, and where it goes: terminals, pipes, full disks.

use crate::checkpoints::new_job;
use crate::tool::{Tool, program};
use std::process::{Command, Stdio};

fn tool_with_job() -> Tool {
    let tool = Tool::new();
    drop(new_job(&tool.path("migrate.db")));
    tool
}

const CALLS: [&[&str]; 5] = [
    &["status"],
    &["status", "--checkpoint", "none"],
    &["--help"],
    &["--writers", "0"],
    &["--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b", "--checkpoint", "new.db"],
];

#[test]
fn nothing_is_coloured_off_terminal() {
    let tool = tool_with_job();
    for call in CALLS {
        let answer = tool.run(call);
        assert!(!answer.to_string().contains('\x1b'), "{call:?}: {answer:?}");
    }
}

#[test]
fn a_terminal_gets_colour_unless_it_asks_for_none() {
    let tool = tool_with_job();
    for call in CALLS {
        let coloured = tool.on_terminal(&[], call);
        assert!(coloured.out.contains("\x1b["), "{call:?}: {coloured:?}");
        // The bar may move the cursor without colour; a dumb terminal can't do that either.
        let plain = tool.on_terminal(&[("NO_COLOR", "1")], call);
        let mut codes =
            plain.out.split("\x1b[").skip(1).map(|rest| rest.trim_start_matches(|c: char| !c.is_alphabetic()));
        assert!(codes.all(|code| !code.starts_with('m')), "{call:?}: {plain:?}");
        let dumb = tool.on_terminal(&[("TERM", "dumb")], call);
        assert!(!dumb.out.contains('\x1b'), "{call:?}: {dumb:?}");
        assert_eq!((plain.code, dumb.code), (coloured.code, coloured.code));
    }
}

fn run_into(stdout: impl Into<Stdio>, arguments: &[&str], tool: &Tool) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(tool.folder.path()).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let tool = tool_with_job();
    for call in [&["status"][..], &["status", "--json"], &["completions", "zsh"], &["--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run_into(writer, call, &tool), (Some(0), String::new()), "{call:?}");
    }
}

#[test]
fn a_full_disk_behind_stdout_is_told() {
    let tool = tool_with_job();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, err) = run_into(full, &["status"], &tool);
    assert_eq!(code, Some(1), "{err}");
    insta::assert_snapshot!(err, @r#"
    error: failed to print
      caused by: No space left on device (os error 28)
    "#);
}
