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
    /// The first line that `sh -c` prints for it; asked once a run.
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
