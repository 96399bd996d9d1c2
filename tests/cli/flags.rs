//! Flags, environment variables and the `--config` file, up to where a copy would begin.

use crate::tool::Tool;
use clap::{CommandFactory, Parser};
use migrate::cli::Cli;

/// A call that is complete, but for what is added to it. Nothing listens at port 1.
const COMPLETE: [&str; 6] = ["--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"];

/// Calls with one flag more, a line for each.
fn each(lines: &[(&str, &str)]) -> String {
    let tool = Tool::new();
    let line = |(flag, value): &(&str, &str)| {
        let given: Vec<&str> = COMPLETE.chunks(2).filter(|pair| pair[0] != *flag).flatten().copied().collect();
        // In one word, as a value that begins with a dash would be taken for a flag.
        let added = format!("{flag}={value}");
        let call = [given, vec![added.as_str()]].concat();
        let answer = tool.run(&call);
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{flag}={value}: {answer}");
        answer.line()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_file_switches_on_can_be_switched_off() {
    let tool = Tool::new();
    let config = tool.write("on.toml", "manage-table-options = true");
    let settled = |more: &[&str]| {
        let call = [&["migrate"], &COMPLETE[..], &["--config", &config], more].concat();
        let cli = Cli::try_parse_from(call).unwrap();
        migrate::settings::Settings::resolve(cli.job).unwrap().manage_table_options
    };
    assert!(settled(&[]) && settled(&["--manage-table-options"]));
    assert!(!settled(&["--manage-table-options=false"]));
    let answer = tool.run_with(&[("MIGRATE_MANAGE_TABLE_OPTIONS", "sometimes")], &COMPLETE);
    assert!(answer.expect(2).err.contains("sometimes"), "the environment says it with the same words: {answer}");
}

#[test]
fn a_host_that_is_none_is_refused_with_its_reason() {
    let hosts = [
        "",
        "a,,b",
        "a b",
        "a:0",
        "a:99999",
        "a:port",
        "[::1",
        "http://a",
        "me@a",
        "cassandra://a/shop",
        "cassandra://a?nope=1",
        "cassandra://a?dc=",
        "cassandra://a?dc=%zz",
        "cassandra://a?tls=maybe",
        "cassandra://a?cert=x",
        "cassandra://a?tls=off&ca=x",
    ];
    let lines: Vec<(&str, &str)> = hosts.iter().map(|host| ("--source", *host)).collect();
    insta::assert_snapshot!(each(&lines), @"
    2 error: invalid value '…' for '--source <HOSTS>': `` isn't a host
    2 error: invalid value '…' for '--source <HOSTS>': `` isn't a host
    2 error: invalid value '…' for '--source <HOSTS>': `a b` isn't a host
    2 error: invalid value '…' for '--source <HOSTS>': the port of `a` isn't one: 1 to 65535 are
    2 error: invalid value '…' for '--source <HOSTS>': the port of `a` isn't one: 1 to 65535 are
    2 error: invalid value '…' for '--source <HOSTS>': the port of `a` isn't one: 1 to 65535 are
    2 error: invalid value '…' for '--source <HOSTS>': `[::1` lacks its closing bracket
    2 error: invalid value '…' for '--source <HOSTS>': `http://` isn't known: cassandra:// and scylla:// are
    2 error: invalid value '…' for '--source <HOSTS>': a user needs the form cassandra://USER@HOST
    2 error: invalid value '…' for '--source <HOSTS>': `/shop` behind the hosts means nothing: the table is named with `--table`
    2 error: invalid value '…' for '--source <HOSTS>': `nope` isn't known: dc, tls, ca, cert, key and tls-name are
    2 error: invalid value '…' for '--source <HOSTS>': `dc` needs a value: dc=…
    2 error: invalid value '…' for '--source <HOSTS>': a `%` must be followed by two hexadecimal digits; a percent sign itself is %25
    2 error: invalid value '…' for '--source <HOSTS>': tls=maybe isn't known: off, verify and insecure are
    2 error: invalid value '…' for '--source <HOSTS>': a client certificate needs both cert=FILE and key=FILE
    2 error: invalid value '…' for '--source <HOSTS>': tls=off contradicts the certificates that are named
    ");
    let target = each(&[("--target", "a:99999")]);
    insta::assert_snapshot!(target, @"2 error: invalid value '…' for '--target <HOSTS>': the port of `a` isn't one: 1 to 65535 are");
}

#[test]
fn a_table_that_is_none_is_refused_with_the_form_that_it_should_have() {
    let tables = ["", "orders", "shop.", ".orders", "*.orders", "a.b.c", "a.b=c", "a.*=b.c", "\"a.b"];
    insta::assert_snapshot!(each(&tables.map(|table| ("--table", table))), @r#"
    2 error: invalid value '' for '--table <KEYSPACE.TABLE>': `` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value 'orders' for '--table <KEYSPACE.TABLE>': `orders` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value 'shop.' for '--table <KEYSPACE.TABLE>': `shop.` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value '.orders' for '--table <KEYSPACE.TABLE>': `.orders` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value '*.orders' for '--table <KEYSPACE.TABLE>': `*.orders` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value 'a.b.c' for '--table <KEYSPACE.TABLE>': `a.b.c` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value 'a.b=c' for '--table <KEYSPACE.TABLE>': `a.b=c` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value 'a.*=b.c' for '--table <KEYSPACE.TABLE>': `a.*=b.c` isn't possible: tables of a pattern keep their names, so only `=KEYSPACE.*` may follow one
    2 error: invalid value '"a.b' for '--table <KEYSPACE.TABLE>': `\"a.b` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    "#);
}

#[test]
fn a_number_that_makes_no_sense_is_refused() {
    insta::assert_snapshot!(each(&[
        ("--readers", "0"), ("--readers", "-1"), ("--writers", "0"), ("--writers", "many"), ("--threads", "0"),
        ("--ranges", "0"), ("--ranges", "10000001"),
        ("--memory", "1"), ("--memory", "5 parsecs"), ("--memory", "-1"), ("--memory", "99999999999GiB"),
        ("--give-up-after", "15"), ("--give-up-after", "-1s"), ("--give-up-after", "1y"),
        ("--give-up-after", "0s"), ("--give-up-after", "999ms"),
        ("--unknown-timestamp", "now"), ("--unknown-timestamp", "-9223372036854775808"),
        ("--unknown-timestamp", "9223372036854775808"),
    ]), @"
    2 error: invalid value '0' for '--readers <N>': number would be zero for non-zero type
    2 error: invalid value '-1' for '--readers <N>': invalid digit found in string
    2 error: invalid value '0' for '--writers <N>': number would be zero for non-zero type
    2 error: invalid value 'many' for '--writers <N>': invalid digit found in string
    2 error: invalid value '0' for '--threads <N>': number would be zero for non-zero type
    2 error: invalid value '0' for '--ranges <N>': number would be zero for non-zero type
    2 error: `--ranges` is 10000001: 1 to 10000000 is what it may be
    2 error: `--memory` is 1: 1MiB or more is what it may be
    2 error: invalid value '5 parsecs' for '--memory <SIZE>': `5 parsecs` isn't a size: 256MiB, 1GiB and 1000000 are
    2 error: invalid value '-1' for '--memory <SIZE>': `-1` isn't a size: 256MiB, 1GiB and 1000000 are
    2 error: invalid value '99999999999GiB' for '--memory <SIZE>': `99999999999GiB` isn't a size: 256MiB, 1GiB and 1000000 are
    2 error: invalid value '15' for '--give-up-after <TIME>': `15` isn't a time: 90s, 15m, 2h and 500ms are
    2 error: invalid value '-1s' for '--give-up-after <TIME>': `-1s` isn't a time: 90s, 15m, 2h and 500ms are
    2 error: invalid value '1y' for '--give-up-after <TIME>': `1y` isn't a time: 90s, 15m, 2h and 500ms are
    2 error: `--give-up-after` is 0ms: 1s or more is what it may be
    2 error: `--give-up-after` is 999ms: 1s or more is what it may be
    2 error: invalid value 'now' for '--unknown-timestamp <MICROS>': invalid digit found in string
    2 error: `--unknown-timestamp` is -9223372036854775808: anything above is what it may be
    2 error: invalid value '9223372036854775808' for '--unknown-timestamp <MICROS>': number too large to fit in target type
    ");
}

#[test]
fn a_word_that_is_none_of_the_possible_ones_is_refused_and_they_are_listed() {
    insta::assert_snapshot!(each(&[
        ("--consistency", "SERIAL"), ("--source-consistency", "local_quorum"), ("--target-consistency", "ANY"),
        ("--batch", "all"),
    ]), @r#"
    2 error: invalid value 'SERIAL' for '--consistency <LEVEL>'   [possible values: ONE, TWO, THREE, QUORUM, ALL, LOCAL_ONE, LOCAL_QUORUM, EACH_QUORUM]
    2 error: invalid value 'local_quorum' for '--source-consistency <LEVEL>'   [possible values: ONE, TWO, THREE, QUORUM, ALL, LOCAL_ONE, LOCAL_QUORUM, EACH_QUORUM]
    2 error: invalid value 'ANY' for '--target-consistency <LEVEL>'   [possible values: ONE, TWO, THREE, QUORUM, ALL, LOCAL_ONE, LOCAL_QUORUM, EACH_QUORUM]
    2 error: invalid value 'all' for '--batch <MODE>'   [possible values: auto, partition, replicas, none]
    "#);
}

#[test]
fn a_table_named_twice_is_refused() {
    let tool = Tool::new();
    let twice = [&COMPLETE[..], &["--table", "a.b=c.d"]].concat();
    insta::assert_snapshot!(tool.run(&twice).line(), @"2 error: `--table a.b` is named twice");
    let both_into_one = [&COMPLETE[..], &["--table", "c.d=a.b"]].concat();
    insta::assert_snapshot!(tool.run(&both_into_one).line(), @"2 error: a.b and c.d would both be written to a.b");
}

#[test]
fn a_selection_that_can_not_be_meant_is_refused() {
    let calls = [
        ["--table", "a.*", "--table", "a.*=c.*"],
        ["--table", "a.c", "--exclude", "a.c"],
        ["--table", "a.c", "--exclude", "tmp_*"],
        ["--table", "a.c", "--table", "system_auth.roles"],
        ["--table", "a.c", "--table", "b.*=system.*"],
    ];
    let tool = Tool::new();
    let answers = calls.map(|call| tool.run(&[&COMPLETE[..], &call].concat()).line());
    insta::assert_snapshot!(answers.join("\n"), @"
    2 error: `--table a.*` is named twice
    2 error: a.c is named by `--table` and by `--exclude`
    2 error: invalid value 'tmp_*' for '--exclude <KEYSPACE.TABLE>': `tmp_*` isn't a table: KEYSPACE.TABLE and KEYSPACE.TMP_* are
    2 error: `system_auth` is a keyspace of the database itself: its tables belong to one cluster and aren't copied
    2 error: `system` is a keyspace of the database itself: its tables belong to one cluster and aren't copied
    ");
}

#[test]
fn what_is_missing_is_asked_for_one_after_the_other() {
    let tool = Tool::new();
    insta::assert_snapshot!(tool.run(&[]), @r#"
    exit code 2
    -- stderr
    error: `--source` is missing
    hint: `--source HOST --target HOST --table KEYSPACE.TABLE` is the least that is needed; `migrate --help` has the rest
    "#);
    for (have, missing) in [(2, "target"), (4, "table")] {
        for command in [&[][..], &["plan"]] {
            let answer = tool.run(&[command, &COMPLETE[..have]].concat());
            assert!(answer.line().starts_with(&format!("2 error: `--{missing}` is missing")), "{answer}");
        }
    }
}

#[test]
fn a_word_that_is_mistyped_is_named_with_what_was_meant() {
    let tool = Tool::new();
    let calls: [&[&str]; 6] = [
        &["--wirters", "3"],
        &["--writers"],
        &["statsu"],
        &["status", "--writers", "9"],
        &["completions", "tcsh"],
        &["completions"],
    ];
    let lines = calls.map(|call| tool.run(call).line());
    insta::assert_snapshot!(lines.join("\n"), @r#"
    2 error: unexpected argument '--wirters' found
    2 error: a value is required for '--writers <N>' but none was supplied
    2 error: unrecognized subcommand 'statsu'
    2 error: unexpected argument '--writers' found
    2 error: invalid value 'tcsh' for '<SHELL>'   [possible values: bash, elvish, fish, powershell, zsh]
    2 error: the following required arguments were not provided:   <SHELL>
    "#);
}

#[test]
fn a_flag_in_front_of_a_command_is_refused_instead_of_ignored() {
    let tool = Tool::new();
    let calls: [&[&str]; 5] = [
        &["--writers", "9", "plan"],
        &["--writers", "9", "status"],
        &["--checkpoint", "x", "status"],
        &["--json", "status"],
        &["--checkpoint", "x", "completions", "bash"],
    ];
    let lines = calls.map(|call| tool.run(call).line());
    insta::assert_snapshot!(lines.join("\n"), @r#"
    2 error: `--writers` belongs behind `plan`: migrate plan --writers …
    2 error: `--writers` means nothing to `status`: leave it out
    2 error: `--checkpoint` belongs behind `status`: migrate status --checkpoint …
    2 error: `--json` belongs behind `status`: migrate status --json …
    2 error: `--checkpoint` means nothing to `completions`: leave it out
    "#);
}

#[test]
fn verbose_may_stand_on_either_side_of_a_command() {
    let tool = Tool::new();
    for call in [["-v", "status"], ["status", "-v"]] {
        let answer = tool.run(&call);
        assert!(answer.expect(5).err.starts_with("error: there is no checkpoint migrate.db"), "{answer}");
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_refused_like_its_flag() {
    let tool = Tool::new();
    let variables = [("MIGRATE_WRITERS", "many"), ("MIGRATE_TABLE", "a.b orders"), ("MIGRATE_GIVE_UP_AFTER", "15")];
    let lines = variables.map(|variable| tool.run_with(&[variable], &["--source", "a", "--target", "b"]).line());
    insta::assert_snapshot!(lines.join("\n"), @"
    2 error: invalid value 'many' for '--writers <N>': invalid digit found in string
    2 error: invalid value 'orders' for '--table <KEYSPACE.TABLE>': `orders` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: invalid value '15' for '--give-up-after <TIME>': `15` isn't a time: 90s, 15m, 2h and 500ms are
    ");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let tool = Tool::new();
    let call = ["plan", "--source", "127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"];
    let names = "READERS TABLE EXCLUDE CHECKPOINT CONFIG SOURCE MEMORY GIVE_UP_AFTER CONSISTENCY VERIFY BATCH";
    let names: Vec<String> = names.split(' ').map(|name| format!("MIGRATE_{name}")).collect();
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    tool.run_with(&empty, &call).expect(6);
    assert_eq!(tool.run_with(&empty, &["status"]).line(), tool.run(&["status"]).line());
    let missing = tool.run_with(&empty, &["--target", "127.0.0.1:1"]).line();
    assert_eq!(missing, tool.run(&["--target", "127.0.0.1:1"]).line());
    assert!(missing.contains("`--source` is missing"), "{missing}");
    let with_user = ["plan", "--source", "cassandra://me@127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"];
    let without_password = tool.run_with(&[("MIGRATE_SOURCE_PASSWORD", "")], &with_user).line();
    assert!(without_password.contains("no password"), "{without_password}");
}

#[test]
fn a_settings_file_that_is_not_understood_is_refused_with_its_line() {
    let tool = Tool::new();
    let files = [
        "readers = 4\nwirters = 3\n",
        "writers = 0\n",
        "memory = \"lots\"\n",
        "memory = 5\n",
        "table = \"a.b\"\n",
        "table = [\"orders\"]\n",
        "batch = \"all\"\n",
        "source = \"a:0\"\n",
        "restart = true\n",
        "readers = \n",
    ];
    let lines = files.map(|text| {
        tool.write("job.toml", text);
        tool.run(&["--config", "job.toml"]).line()
    });
    insta::assert_snapshot!(lines.join("\n"), @r#"
    2 error: job.toml isn't understood: line 2: unknown field `wirters`, expected one of `source`, `target`, `table`, `exclude`, `checkpoint`, `source-password-file`, `source-password-command`, `target-password-file`, `target-password-command`, `consistency`, `source-consistency`, `target-consistency`, `unknown-timestamp`, `row-marker`, `counters`, `future-timestamps`, `manage-table-options`, `readers`, `writers`, `rows-per-second`, `bytes-per-second`, `source-latency`, `target-latency`, `memory`, `batch`, `ranges`, `threads`, `give-up-after`, `verify`, `recheck-after`, `expiry-tolerance`, `differences`
    2 error: job.toml isn't understood: line 1: invalid value: integer `0`, expected a nonzero usize
    2 error: job.toml isn't understood: line 1: `lots` isn't a size: 256MiB, 1GiB and 1000000 are
    2 error: job.toml isn't understood: line 1: invalid type: integer `5`, expected a string
    2 error: job.toml isn't understood: line 1: invalid type: string "a.b", expected a sequence
    2 error: job.toml isn't understood: line 1: `orders` isn't a table: KEYSPACE.TABLE, KEYSPACE.* and KEYSPACE.TABLE=KEYSPACE.TABLE are
    2 error: job.toml isn't understood: line 1: unknown variant `all`, expected one of `auto`, `partition`, `replicas`, `none`
    2 error: job.toml isn't understood: line 1: the port of `a` isn't one: 1 to 65535 are
    2 error: job.toml isn't understood: line 1: unknown field `restart`, expected one of `source`, `target`, `table`, `exclude`, `checkpoint`, `source-password-file`, `source-password-command`, `target-password-file`, `target-password-command`, `consistency`, `source-consistency`, `target-consistency`, `unknown-timestamp`, `row-marker`, `counters`, `future-timestamps`, `manage-table-options`, `readers`, `writers`, `rows-per-second`, `bytes-per-second`, `source-latency`, `target-latency`, `memory`, `batch`, `ranges`, `threads`, `give-up-after`, `verify`, `recheck-after`, `expiry-tolerance`, `differences`
    2 error: job.toml isn't understood: line 1: string values must be quoted, expected literal string
    "#);
    insta::assert_snapshot!(tool.run(&["--config", "none.toml"]), @r#"
    exit code 2
    -- stderr
    error: failed to read none.toml
      caused by: No such file or directory (os error 2)
    "#);
    insta::assert_snapshot!(tool.run(&["plan", "--config", "."]), @r#"
    exit code 2
    -- stderr
    error: failed to read .
      caused by: Is a directory (os error 21)
    "#);
}

#[test]
fn status_and_completions_do_not_care_for_a_settings_file() {
    let tool = Tool::new();
    let environment = [("MIGRATE_CONFIG", "none.toml")];
    tool.run_with(&environment, &["completions", "bash"]).expect(0);
    let answer = tool.run_with(&environment, &["status"]);
    assert!(answer.expect(5).err.contains("no checkpoint"), "{answer}");
}

#[test]
fn a_call_that_is_refused_leaves_nothing_behind() {
    let tool = Tool::new();
    tool.run(&["--source", "127.0.0.1:1"]).expect(2);
    tool.run(&COMPLETE).expect(6);
    assert_eq!(tool.listing().len(), 0, "{:?}", tool.listing().keys());
}

#[test]
fn help_names_every_flag_with_what_it_does() {
    let tool = Tool::new();
    let mut cli = Cli::command();
    cli.build();
    for (call, command) in [
        (&["--help"][..], &cli),
        (&["plan", "--help"], cli.find_subcommand("plan").unwrap()),
        (&["verify", "--help"], cli.find_subcommand("verify").unwrap()),
    ] {
        let answer = tool.run(call);
        assert_eq!(answer.expect(0).err, "");
        for argument in command.get_arguments() {
            if let Some(long) = argument.get_long().filter(|_| !argument.is_hide_set()) {
                assert!(answer.out.contains(&format!("--{long}")), "--{long} isn't in {answer}");
                assert!(argument.get_help().is_some(), "--{long} has no help");
            }
        }
    }
    let help = tool.run(&["--help"]).out;
    for code in [
        "0 all done",
        "2 bad flags",
        "3 finished, but",
        "4 `verify`",
        "5 refused",
        "6 can't connect",
        "130, 143 stopped",
    ] {
        assert!(help.contains(code), "{code} isn't in {help}");
    }
    let status = tool.run(&["status", "-h"]);
    insta::assert_snapshot!(status, @"
    exit code 0
    -- stdout
    Show the progress of a job from its checkpoint alone, running or not

    Usage: migrate status [OPTIONS]

    Options:
          --checkpoint <FILE>  The checkpoint file [env: MIGRATE_CHECKPOINT=] [default: migrate.db]
          --json               One JSON document on stdout; with `--watch` one per line
          --watch              Show it again whenever it has changed, until nobody works on the job any
                               more
      -v, --verbose...         Show the driver's log too; twice for its details
      -h, --help               Print help
    ");
}

#[test]
fn the_version_is_the_packages() {
    let answer = Tool::new().run(&["--version"]);
    assert_eq!(answer.expect(0).out, format!("migrate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_shell_gets_completions_with_all_commands_and_flags() {
    let tool = Tool::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let answer = tool.run(&["completions", shell]);
        assert_eq!(answer.expect(0).err, "");
        for word in ["give-up-after", "source-password-file", "status", "plan", "LOCAL_QUORUM"] {
            assert!(answer.out.contains(word), "{shell} doesn't know {word}");
        }
    }
    let bash = tool.run(&["completions", "bash"]).out;
    let script = format!(
        "{bash}\nCOMP_WORDS=(migrate stat); COMP_CWORD=1; _migrate migrate stat migrate; echo \"${{COMPREPLY[@]}}\""
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "status\n", "{output:?}");
}
