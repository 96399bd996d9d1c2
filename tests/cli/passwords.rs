//! Passwords where they don't belong, and where none is.

use crate::tool::Tool;

const CANARY: &str = "c4nary-7f3a";

fn urls() -> Vec<String> {
    let forms = [
        "cassandra://me:PASSWORD@host",
        "scylla://me:PASSWORD@host:9042,other/?dc=x",
        "cassandra://:PASSWORD@host",
        "cassandra://me:pa@PASSWORD@host",
        "cassandra://me:PASSWORD/x@host",
        "cassandra://me:12?PASSWORD@host",
        "cassandra://me:PASSWORD?x@host",
        "cassandra://me:PASSWORD?dc=PASSWORD@host",
        "me:PASSWORD@host",
        "http://me:PASSWORD@host",
        "cassandra://me:PASSWORD,x@host",
        "cassandra://me:PASSWORD#x@host",
    ];
    forms.iter().map(|form| form.replace("PASSWORD", CANARY)).collect()
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    let tool = Tool::new();
    for url in urls() {
        for flag in ["--source", "--target"] {
            let answer = tool.run(&[flag, &url, "--table", "a.b"]);
            assert!(!answer.expect(2).to_string().contains(CANARY), "{url}: {answer}");
        }
    }
    let answer = tool.run(&["--source", &urls()[0]]);
    insta::assert_snapshot!(answer, @"
    exit code 2
    -- stderr
    error: invalid value '…' for '--source <HOSTS>': a password doesn't belong on the command line, where `ps` shows it: leave out `:PASSWORD` and use a password file, command, environment variable or the prompt

    For more information, try '--help'.
    ");
    let answer = tool.run(&["plan", "--source", &urls()[5]]);
    insta::assert_snapshot!(answer, @"
    exit code 2
    -- stderr
    error: invalid value '…' for '--source <HOSTS>': an `@` behind the `?` is written %40; a password doesn't belong here at all

    For more information, try '--help'.
    ");
}

#[test]
fn a_password_in_a_url_of_the_environment_is_not_repeated() {
    let tool = Tool::new();
    for url in urls() {
        for call in [&[][..], &["plan"], &["status"]] {
            let answer = tool.run_with(&[("MIGRATE_SOURCE", &url)], call);
            assert!(!answer.to_string().contains(CANARY), "{url}: {answer}");
        }
    }
}

#[test]
fn a_password_in_a_settings_file_is_refused_and_not_repeated() {
    let tool = Tool::new();
    let lines = [format!("source-password = \"{CANARY}\""), format!("source-password = {CANARY}")];
    for line in lines.into_iter().chain(urls().iter().map(|url| format!("target = \"{url}\""))) {
        let file = tool.write("job.toml", format!("readers = 3\n{line}\n"));
        let answer = tool.run(&["--config", &file]);
        assert!(!answer.expect(2).to_string().contains(CANARY), "{line}: {answer}");
        assert!(answer.err.contains("line 2"), "{answer}");
    }
}

#[test]
fn a_user_without_a_password_is_told_the_ways_to_give_one() {
    let call = ["--source", "cassandra://me@127.0.0.1:1", "--target", "127.0.0.1:1", "--table", "a.b"];
    insta::assert_snapshot!(Tool::new().run(&call), @r#"
    exit code 2
    -- stderr
    error: the source has a user but no password
    hint: give it by `--source-password-file FILE`, `--source-password-command COMMAND` or MIGRATE_SOURCE_PASSWORD, or run in a terminal to be asked
    "#);
}

#[test]
fn a_password_file_or_command_that_fails_is_named() {
    let tool = Tool::new();
    let call = |flag, value| {
        let user = "cassandra://me@127.0.0.1:1";
        tool.run(&["--source", user, "--target", "127.0.0.1:1", "--table", "a.b", flag, value])
    };
    insta::assert_snapshot!(call("--source-password-file", "none"), @r#"
    exit code 2
    -- stderr
    error: failed to read the password file none
      caused by: No such file or directory (os error 2)
    "#);
    insta::assert_snapshot!(call("--source-password-command", "echo c4nary-7f3a; exit 3"), @r#"
    exit code 2
    -- stderr
    error: the source password command failed: exit status: 3
    "#);
}
