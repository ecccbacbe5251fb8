//! Passwords from outside a description: a file, the environment, or what a command prints.

use super::NetError;
use crate::fs::Fs;
use crate::limits;
use crate::model::provisioning::Secret;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// Where a secret is, as a description writes it: `{ file = "…" }`, `{ env = "…" }` or `{ command = "…" }`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SecretSource {
    /// Its first line. Relative to the description's folder.
    File(PathBuf),
    /// The variable of that name.
    Env(String),
    /// The first line that `sh -c` prints for it; asked once a run, for a token every few minutes.
    Command(String),
}

impl SecretSource {
    /// Fetches the secret; `beside` is the folder of the description.
    pub fn fetch(&self, fs: &dyn Fs, beside: &Path) -> Result<Secret, NetError> {
        match self {
            Self::File(path) => {
                let path = beside.join(path);
                let bytes = fs.read(&path, limits::SECRET_BYTES);
                let bytes = bytes.map_err(|source| NetError::SecretFile { path: path.clone(), source })?;
                first_line(Zeroizing::new(bytes), &path.display().to_string())
            }
            Self::Env(name) => {
                let value = std::env::var(name).map_err(|_| NetError::SecretVariable(name.clone()))?;
                first_line(Zeroizing::new(value.into_bytes()), &format!("the variable {name}"))
            }
            Self::Command(command) => {
                let bad = |what: String| NetError::SecretCommand { command: command.clone(), what };
                // Its questions go to the terminal, its answer to us.
                let output = Command::new("sh").args(["-c", command]).stderr(Stdio::inherit()).output();
                let output = output.map_err(|error| bad(error.to_string()))?;
                if !output.status.success() {
                    return Err(bad(format!("ended with {}", output.status)));
                }
                first_line(Zeroizing::new(output.stdout), command)
            }
        }
    }
}

fn first_line(bytes: Zeroizing<Vec<u8>>, whence: &str) -> Result<Secret, NetError> {
    let bad = || NetError::BadSecret(whence.to_owned());
    let text = std::str::from_utf8(&bytes).map_err(|_| bad())?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    fn fetch(source: SecretSource) -> Result<String, String> {
        let secret = source.fetch(&RealFs, Path::new("/nowhere"));
        secret.map(|secret| secret.reveal().to_owned()).map_err(|error| error.to_string())
    }

    fn printed(line: &str) -> Result<String, String> {
        fetch(SecretSource::Command(line.to_owned()))
    }

    #[test]
    fn a_command_gives_its_first_line_without_the_end_of_it() {
        for line in ["echo hunter2", "printf hunter2", "printf 'hunter2\\r\\n'", "printf 'hunter2\\nuser: ann\\n'"] {
            assert_eq!(printed(line).as_deref(), Ok("hunter2"), "{line}");
        }
        assert_eq!(printed("printf ' a b \\n'").as_deref(), Ok(" a b "), "spaces may belong to a password");
    }

    #[test]
    fn a_command_that_does_not_end_well_or_says_nothing_gives_no_password_and_none_is_told() {
        let failed = printed("echo hunter2; exit 3").unwrap_err();
        assert!(failed.contains("ended with exit status: 3") && failed.contains("should print a password"), "{failed}");
        assert!(printed("/no/such/program 2>/dev/null").unwrap_err().contains("ended with exit status: 127"));
        for line in ["true", "echo", "printf '\\nhunter3\\n'", "printf '\\377\\n'"] {
            let error = printed(line).unwrap_err();
            assert_eq!(error, format!("the password from {line} is empty or not text"));
        }
    }

    #[test]
    fn a_variable_gives_its_first_line_and_one_that_is_not_there_is_named() {
        // Cargo sets it for every test; the environment of a process cannot be changed safely in a test of several threads.
        assert_eq!(fetch(SecretSource::Env("CARGO_PKG_NAME".to_owned())).as_deref(), Ok("stationwagon"));
        let missing = fetch(SecretSource::Env("WAGON_NO_SUCH_VARIABLE".to_owned())).unwrap_err();
        assert_eq!(missing, "the environment has no WAGON_NO_SUCH_VARIABLE, which should hold a password");
    }

    #[test]
    fn a_file_gives_its_first_line_and_one_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.secret"), "hunter2\nmore\n").unwrap();
        let source = SecretSource::File("x.secret".into());
        assert_eq!(source.fetch(&RealFs, dir.path()).unwrap().reveal(), "hunter2");
        assert!(fetch(source).unwrap_err().contains("/nowhere/x.secret"));
    }
}
