use crate::lab::{ADMIN, Lab, SECURE, TARGET};

#[test]
fn a_password_from_a_file_a_command_or_the_environment_lets_us_in() {
    let Some(lab) = Lab::new("password_ways") else { return };
    let table = lab.usual();
    let tool = lab.tool();
    let file = tool.write("password", format!("{ADMIN}\nand a second line\n"));
    let url = format!("cassandra://{ADMIN}@{SECURE}");
    let call = |environment: &[(&str, &str)], more: &[&str]| {
        tool.run_with(environment, &[&["plan", "--source", &url, "--target", TARGET, "--table", &table], more].concat())
    };
    call(&[], &["--source-password-file", &file]).expect(0);
    call(&[], &["--source-password-command", &format!("echo {ADMIN}")]).expect(0);
    call(&[("MIGRATE_SOURCE_PASSWORD", ADMIN)], &[]).expect(0);
    call(&[("MIGRATE_SOURCE_PASSWORD_FILE", &file)], &[]).expect(0);
    // The file comes first, then the command, then the variable.
    let wrong = [("MIGRATE_SOURCE_PASSWORD", "wrong")];
    call(&wrong, &["--source-password-command", &format!("echo {ADMIN}")]).expect(0);
    call(&wrong, &["--source-password-file", &file, "--source-password-command", "echo wrong"]).expect(0);
    call(&[], &["--source-password-command", "echo wrong"]).expect(6);
}

#[test]
fn a_login_that_fails_is_told_with_the_side_and_where_its_password_comes_from() {
    let Some(lab) = Lab::new("login_fails") else { return };
    lab.usual();
    let wrong = [("MIGRATE_SOURCE_PASSWORD", "wrong"), ("MIGRATE_TARGET_PASSWORD", "wrong")];
    let answer = lab.plan_with(&wrong, &format!("cassandra://{ADMIN}@{SECURE}"), TARGET, &[]);
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
    error: the source 127.0.0.3:9042 doesn't let cassandra in: Provided username cassandra and/or password are incorrect
    hint: check the user in `--source` and the password (`--source-password-file`, `--source-password-command`, MIGRATE_SOURCE_PASSWORD)
    "#);
    let answer = lab.plan_with(&wrong, crate::lab::SOURCE, &format!("cassandra://nobody@{SECURE}"), &[]);
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
    error: the target 127.0.0.3:9042 doesn't let nobody in: Provided username nobody and/or password are incorrect
    hint: check the user in `--target` and the password (`--target-password-file`, `--target-password-command`, MIGRATE_TARGET_PASSWORD)
    "#);
    let answer = lab.plan(SECURE, TARGET);
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
    error: the source 127.0.0.3:9042 doesn't let anybody without a user in: a user and a password are required
    hint: name the user: `--source cassandra://USER@HOST`
    "#);
    let answer = lab.plan_with(&[], &format!("cassandra://{ADMIN}@{SECURE}"), TARGET, &[]);
    assert!(answer.expect(2).err.starts_with("error: the source has a user but no password"), "{answer}");
}
