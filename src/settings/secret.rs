//! Passwords: from a file, a command, the environment or a prompt; never from the command line, never printed.

use crate::side::Side;
use secrecy::SecretString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where a side's password comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PasswordSource {
    /// The first line of this file.
    pub file: Option<PathBuf>,
    /// The first line that this shell command prints.
    pub command: Option<String>,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("failed to read the password file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The command failed.
    #[error("the {side} password command {why}")]
    Command {
        /// Which side.
        side: Side,
        /// What happened. Nothing that the command printed.
        why: String,
    },
    /// The prompt failed.
    #[error("failed to ask for the {side} password")]
    Prompt {
        /// Which side.
        side: Side,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Nowhere to take it from.
    #[error("the {side} has a user but no password")]
    Missing {
        /// Which side.
        side: Side,
    },
}

impl SecretError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            SecretError::Missing { side } => Some(format!(
                "give it by `--{side}-password-file FILE`, `--{side}-password-command COMMAND` or {}, or run in a terminal to be asked",
                side.password_variable()
            )),
            SecretError::File { .. } | SecretError::Command { .. } | SecretError::Prompt { .. } => None,
        }
    }
}

/// The password of `user` at `side`: from the file, else the command, else the environment, else a prompt.
///
/// # Errors
/// Where the chosen place has none.
pub fn password(side: Side, user: &str, source: &PasswordSource) -> Result<SecretString, SecretError> {
    if let Some(path) = &source.file {
        let text = std::fs::read_to_string(path).map_err(|error| SecretError::File { path: path.clone(), error })?;
        return Ok(first_line(text));
    }
    if let Some(command) = &source.command {
        let fail = |why| SecretError::Command { side, why };
        let output = Command::new("sh")
            .args(["-c", command])
            // It has no use for the passwords, and anything that it starts would have them too.
            .env_remove(Side::Source.password_variable())
            .env_remove(Side::Target.password_variable())
            .stdin(Stdio::inherit())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| fail(format!("can't be run: {error}")))?;
        if !output.status.success() {
            return Err(fail(format!("failed: {}", output.status)));
        }
        let text =
            String::from_utf8(output.stdout).map_err(|_| fail("printed something that isn't UTF-8".to_owned()))?;
        return Ok(first_line(text));
    }
    // One that is empty counts as not set, as all do.
    if let Some(text) = std::env::var(side.password_variable()).ok().filter(|text| !text.is_empty()) {
        return Ok(text.into());
    }
    if std::io::stdin().is_terminal() {
        let prompt = format!("Password of {} at the {side}: ", user.escape_debug());
        return rpassword::prompt_password(prompt).map(Into::into).map_err(|error| SecretError::Prompt { side, error });
    }
    Err(SecretError::Missing { side })
}

fn first_line(text: String) -> SecretString {
    // Zeroes the copy; the rest of the text goes the same way.
    let whole = SecretString::from(text);
    let line = secrecy::ExposeSecret::expose_secret(&whole).lines().next().unwrap_or_default();
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_file_comes_before_a_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "from file\nnot this\n").expect("written");
        let both = PasswordSource { file: Some(file), command: Some("echo from command".to_owned()) };
        assert_eq!(password(Side::Source, "me", &both).expect("a password").expose_secret(), "from file");
        let command = PasswordSource { file: None, ..both };
        assert_eq!(password(Side::Source, "me", &command).expect("a password").expose_secret(), "from command");
    }

    #[test]
    fn what_a_failed_command_printed_is_not_repeated() {
        let source = PasswordSource { file: None, command: Some("echo canary; exit 3".to_owned()) };
        let error = password(Side::Target, "me", &source).expect_err("the command failed");
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert_eq!(error.to_string(), "the target password command failed: exit status: 3");
    }

    #[test]
    fn a_password_does_not_print() {
        assert!(!format!("{:?}", first_line("canary\n".to_owned())).contains("canary"));
    }
}
