//! The flags of `migrate verify`, up to where a verification would begin.

use crate::tool::Tool;
use clap::Parser;
use migrate::cli::{Cli, Command};
use migrate::settings::SettingsError;
use migrate::settings::verify::VerifySettings;
use std::path::PathBuf;
use std::time::Duration;

/// A call that is complete. Nothing listens at port 1.
const COMPLETE: [&str; 7] = ["verify", "--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"];

fn settled(more: &[&str]) -> Result<VerifySettings, SettingsError> {
    let call = [&["migrate"], &COMPLETE[..], more].concat();
    match Cli::try_parse_from(call).unwrap().command {
        Some(Command::Verify(args)) => VerifySettings::resolve(args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_said_has_its_default() {
    let settings = settled(&[]).unwrap();
    assert_eq!((settings.recheck_after, settings.expiry_tolerance), (Duration::from_secs(2), 5));
    assert_eq!((settings.sample, settings.seed, settings.differences), (None, None, None));
    assert!(settings.partitions.is_empty());
    assert!(!(settings.repair || settings.delete_extra || settings.follow));
}

#[test]
fn the_settings_file_says_it_with_the_words_of_the_flags() {
    let tool = Tool::new();
    let config = tool.write(
        "job.toml",
        "verify = true\nrecheck-after = \"500ms\"\nexpiry-tolerance = \"1m\"\ndifferences = \"found.jsonl\"\n",
    );
    let settings = settled(&["--config", &config]).unwrap();
    assert_eq!((settings.recheck_after, settings.expiry_tolerance), (Duration::from_millis(500), 60));
    assert_eq!(settings.differences, Some(PathBuf::from("found.jsonl")));
    let settings = settled(&["--config", &config, "--recheck-after", "3s", "--expiry-tolerance=0s"]).unwrap();
    assert_eq!((settings.recheck_after, settings.expiry_tolerance), (Duration::from_secs(3), 0));
    // Of a copy too.
    let call = [&["migrate"], &COMPLETE[1..], &["--config", &config]].concat();
    let settings = migrate::settings::Settings::resolve(Cli::try_parse_from(call).unwrap().job).unwrap();
    assert!(settings.verify);
    assert_eq!(settings.checks.expiry_tolerance, 60);
}

#[test]
fn partitions_come_from_the_line_from_files_and_from_stdin() {
    let tool = Tool::new();
    let file = tool.write("channels.txt", "# moved on Monday\n\n  42,7  \n'a,b'\n#43,7\n");
    let given = settled(&["--partition", "-1,2", "--partition", &format!("@{file}")]).unwrap().partitions;
    let given: Vec<_> =
        given.iter().map(|key| (key.text.as_str(), key.place.as_ref().map(|(_, line)| *line))).collect();
    assert_eq!(given, [("-1,2", None), ("42,7", Some(3)), ("'a,b'", Some(4))]);
    // No stdin is an empty one, which names none.
    let answer = tool.run(&[&COMPLETE[..], &["--partition", "-"]].concat());
    insta::assert_snapshot!(answer, @"
    exit code 2
    -- stderr
    error: no partition is named: all lines are blank or comments
    hint: put the columns of a partition's key on a line, as in `42,7`; without `--partition` all are compared
    ");
    insta::assert_snapshot!(tool.run(&[&COMPLETE[..], &["--partition", "@none.txt"]].concat()), @"
    exit code 2
    -- stderr
    error: failed to read none.txt
      caused by: No such file or directory (os error 2)
    ");
}

/// As editors of other systems write them.
#[test]
fn a_file_of_partitions_may_begin_with_a_byte_order_mark_and_must_be_text() {
    let tool = Tool::new();
    let file = tool.write("channels.txt", "\u{feff}42,7\r\n'#general',7\r\n\u{feff}#43\n");
    let given = settled(&["--partition", &format!("@{file}")]).unwrap().partitions;
    let given: Vec<_> = given.iter().map(|key| key.text.as_str()).collect();
    assert_eq!(given, ["42,7", "'#general',7", "\u{feff}#43"], "the mark means something at the beginning alone");
    std::fs::write(tool.path("latin.txt"), b"42,7\n'caf\xe9',7\n").unwrap();
    insta::assert_snapshot!(tool.run(&[&COMPLETE[..], &["--partition", "@latin.txt"]].concat()), @"
    exit code 2
    -- stderr
    error: latin.txt, line 2: it isn't UTF-8
    hint: save the file as UTF-8, or type the key's bytes as `0x…`
    ");
}

/// They may be in the environment or the `--config` file of a copy; typed, they would promise something.
#[test]
fn flags_that_mean_nothing_to_it_are_refused_and_not_shown() {
    let tool = Tool::new();
    let calls: [&[&str]; 4] = [&["--verify"], &["--manage-table-options"], &["--batch", "none"], &["--dry-run"]];
    let lines = calls.map(|call| tool.run(&[&COMPLETE[..], call].concat()).line());
    insta::assert_snapshot!(lines.join("\n"), @"
    2 error: `--verify` means nothing to `verify`: leave it out
    2 error: `--manage-table-options` means nothing to `verify`: leave it out
    2 error: `--batch` means nothing to `verify`: leave it out
    2 error: `--dry-run` means nothing to `verify`: leave it out
    ");
    let help = tool.run(&["verify", "--help"]).out;
    for flag in ["--verify", "--manage-table-options", "--batch", "--dry-run"] {
        assert!(!help.contains(&format!(" {flag}")), "{flag} is in {help}");
    }
    for false_of_it in ["moved aside", "cluster to write", "A table to copy"] {
        assert!(!help.contains(false_of_it), "`{false_of_it}` is in {help}");
    }
    let variables = [("MIGRATE_BATCH", "none"), ("MIGRATE_VERIFY", "true"), ("MIGRATE_MANAGE_TABLE_OPTIONS", "true")];
    let answer = tool.run_with(&variables, &COMPLETE);
    assert_eq!(answer.code, Some(6), "nobody is there at port 1: {answer}");
}

#[test]
fn what_can_not_be_meant_is_refused_with_what_to_type() {
    let tool = Tool::new();
    let calls: [&[&str]; 22] = [
        &["--sample", "0%"],
        &["--sample", "101%"],
        &["--sample", "1"],
        &["--sample", "a few"],
        &["--sample", "0.00000001%"],
        &["--seed", "7"],
        &["--seed", "-1", "--sample", "1%"],
        &["--sample", "1%", "--partition", "42"],
        &["--sample", "1%", "--follow"],
        &["--follow", "--delete-extra"],
        &["--delete-extra"],
        &["--delete-extra", "--partition", "-"],
        &["--delete-extra", "--yes", "--source-consistency", "LOCAL_ONE"],
        &["--yes"],
        &["--differences", "-"],
        &["--recheck-after", "2h"],
        &["--recheck-after", "2"],
        &["--expiry-tolerance", "500ms"],
        &["--expiry-tolerance", "-5s"],
        &["--verify=maybe"],
        &["--repair=false"],
        &["--partition"],
    ];
    let lines = calls.map(|call| {
        let answer = tool.run(&[&COMPLETE[..], call].concat());
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{call:?}: {answer}");
        answer.err.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    });
    insta::assert_snapshot!(lines.join("\n"), @"
    error: invalid value '0%' for '--sample <SHARE>': a share of nothing proves nothing: 1% and 0.5% are shares
    error: invalid value '101%' for '--sample <SHARE>': `101%` is more than there is: 100% is all
    error: invalid value '1' for '--sample <SHARE>': `1` isn't a share: 1%, 0.5% and 100% are
    error: invalid value 'a few' for '--sample <SHARE>': `a few` isn't a share: 1%, 0.5% and 100% are
    error: invalid value '0.00000001%' for '--sample <SHARE>': `0.00000001%` is finer than can be: 0.0000001% is the least
    error: `--seed` says which share `--sample` takes, and there is no `--sample`
    hint: add `--sample 1%`, or leave out `--seed`
    error: unexpected argument '-1' found
    error: `--sample` takes a share of the ring and `--partition` names what to compare: only one of them can be meant
    hint: leave one of them out
    error: `--follow` compares everything again and again, and `--sample` a share of it once: only one of them can be meant
    hint: leave one of them out
    error: `--delete-extra` asks about what was found once, and `--follow` finds more with each pass
    hint: leave out `--follow`, or stop it and run it with `--delete-extra`
    error: `--delete-extra` asks before it deletes, and there is no terminal to ask at
    hint: look at the differences first, without `--delete-extra`; then add `--yes`
    error: `--delete-extra` asks before it deletes, and stdin is taken by `--partition -`
    hint: add `--yes`, or name a file: `--partition @FILE`
    error: `--delete-extra` deletes what the source doesn't have, and at LOCAL_ONE one replica says so: it may have missed a write
    hint: add `--source-consistency LOCAL_QUORUM`
    error: `--yes` is the answer to `--delete-extra`, which isn't there
    hint: leave it out; `--repair` doesn't ask
    error: `--differences -` names no file
    hint: `--json` has the differences on stdout, among its events; a file whose name is a dash is `./-`
    error: `--recheck-after` is 7200s: 0s to 1h is what it may be
    error: invalid value '2' for '--recheck-after <TIME>': `2` isn't a time: 90s, 15m, 2h and 500ms are
    error: `--expiry-tolerance` is 500ms: a number of whole seconds is what it may be
    error: unexpected argument '-5' found
    error: invalid value 'maybe' for '--verify[=<BOOL>]': value was not a boolean
    error: unexpected value 'false' for '--repair' found; no more were expected
    error: a value is required for '--partition <KEY|@FILE|->' but none was supplied
    ");
    assert_eq!(tool.listing().len(), 0);
}

#[test]
fn flags_of_a_verification_are_none_of_a_copy() {
    let tool = Tool::new();
    let calls: [&[&str]; 3] = [&["--sample", "1%"], &["--repair"], &["--partition", "42"]];
    let lines = calls.map(|call| tool.run(&[&COMPLETE[1..], call].concat()).line());
    insta::assert_snapshot!(lines.join("\n"), @"
    2 error: unexpected argument '--sample' found
    2 error: unexpected argument '--repair' found
    2 error: unexpected argument '--partition' found
    ");
}
