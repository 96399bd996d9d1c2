use crate::lab::{Lab, ROWS, SECURE, TARGET};

/// Of the source, from a command or a file.
const CANARY: &str = "c4nary-of-the-source";
/// Of the target, from the environment. The node there lets everybody in and never asks for it.
const OTHER: &str = "c4nary-of-the-target";

#[test]
fn a_password_appears_nowhere() {
    let Some(mut lab) = Lab::new("canary") else { return };
    let table = lab.usual();
    let role = lab.role("cli_canary", CANARY);
    lab.secure.cql(&format!("GRANT SELECT ON TABLE {table} TO {role}"));
    let (source, target) = (format!("cassandra://{role}@{SECURE}/?tls=insecure"), format!("cassandra://me@{TARGET}"));
    let job = ["--source", &source, "--target", &target, "--table", &table];
    // The password lies elsewhere, so that everything in the folder may be searched.
    let vault = tempfile::tempdir().unwrap();
    let secret = vault.path().join("password");
    std::fs::write(&secret, CANARY).unwrap();
    let secret = secret.display();
    // While it runs, the command writes down what `ps` could show of itself, its shell and `migrate`.
    let look =
        format!("cat /proc/self/environ /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline >seen; cat {secret}");
    let ways = [["--source-password-command", look.as_str()], ["--source-password-file", &secret.to_string()]];
    for way in ways {
        for more in [&[][..], &["-vvv"], &["-vv", "--json"], &["plan", "--json"]] {
            let tool = lab.tool();
            let call = match more {
                ["plan", flags @ ..] => [&["plan"], &job[..], &way, flags].concat(),
                flags => [&job[..], &way, flags].concat(),
            };
            lab.target.cql(&format!("TRUNCATE {table}"));
            let answer = tool.run_with(&[("MIGRATE_TARGET_PASSWORD", OTHER)], &call);
            answer.expect(0);
            if more.first() != Some(&"plan") {
                assert_eq!(lab.target.count(&table), ROWS);
                assert!(tool.path("migrate.db").exists());
            }
            if more.contains(&"-vvv") {
                assert!(answer.err.contains("scylla"), "the driver's log was asked for: {answer}");
            }
            if way[0].ends_with("command") {
                let seen = std::fs::read(tool.path("seen")).unwrap();
                assert!(holds(&seen, "PATH=") && holds(&seen, "--source-password-command"), "it saw nothing");
            }
            for password in [CANARY, OTHER] {
                assert!(!answer.to_string().contains(password), "{call:?}: {answer}");
                for (path, bytes) in tool.listing() {
                    assert!(!holds(&bytes, password), "{call:?}: {} holds {password}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_wrong_password_does_not_appear_either() {
    let Some(lab) = Lab::new("wrong_canary") else { return };
    lab.usual();
    let environment = [("MIGRATE_SOURCE_PASSWORD", CANARY)];
    let answer = lab.plan_with(&environment, &format!("cassandra://cassandra@{SECURE}"), TARGET, &["-vvv"]);
    assert!(!answer.expect(6).to_string().contains(CANARY), "{answer}");
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
