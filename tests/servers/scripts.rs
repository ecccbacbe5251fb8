//! Servers that the testbed's own scripts start (`../shared/testbed`, or `WAGON_TESTBED`), each below a folder of the test.
//! They end with the value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the scripts are; `Err`: why they cannot be run here.
pub fn scripts() -> Result<PathBuf, &'static str> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testbed");
    let scripts = std::env::var_os("WAGON_TESTBED").map_or(beside, PathBuf::from);
    if !scripts.join("lib.sh").exists() {
        return Err("the testbed is not here; set WAGON_TESTBED to its folder");
    }
    if !rustix::process::geteuid().is_root() {
        return Err("the testbed's servers need root");
    }
    Ok(scripts)
}

/// The scripts, where Dovecot can be started.
pub fn dovecot() -> Result<PathBuf, &'static str> {
    let scripts = scripts()?;
    if Path::new("/usr/sbin/dovecot").exists() {
        Ok(scripts)
    } else {
        Err("Dovecot is not installed; ./test installs it")
    }
}

/// The scripts, where Cyrus can be started.
pub fn cyrus() -> Result<PathBuf, &'static str> {
    let scripts = scripts()?;
    let prefix = std::env::var_os("TESTBED_PREFIX").map_or(PathBuf::from("/opt/wagon-testbed"), PathBuf::from);
    let installed = prefix.join("cyrus/usr/lib/cyrus/bin/master").exists();
    if installed { Ok(scripts) } else { Err("Cyrus is not installed; the testbed's cyrus/install.sh does it") }
}

/// A running server.
pub struct Server {
    stop: PathBuf,
    dir: PathBuf,
    said: BTreeMap<String, String>,
}

impl Server {
    /// Starts `name` with its state in `dir` and what else its script takes; every port is a free one.
    pub fn start(scripts: &Path, name: &str, dir: &Path, argument: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(scripts.join(name).join("start.sh"));
        command.arg(dir).arg(argument);
        for port in ["IMAP_PORT", "IMAPS_PORT", "LMTP_PORT", "SIEVE_PORT", "HTTP_PORT"] {
            command.env(port, "auto");
        }
        let out = command.envs(environment.iter().copied()).output().unwrap();
        assert!(out.status.success(), "{name} does not start: {}", String::from_utf8_lossy(&out.stderr));
        let said = String::from_utf8(out.stdout).unwrap();
        let said = said.lines().filter_map(|line| line.split_once('='));
        let said = said.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { stop: scripts.join(name).join("stop.sh"), dir: dir.to_owned(), said }
    }

    /// What the script said under this key.
    pub fn says(&self, key: &str) -> &str {
        self.said.get(key).unwrap_or_else(|| panic!("the script does not say {key}: {:?}", self.said))
    }

    pub fn port(&self, key: &str) -> u16 {
        self.says(key).parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(&self.stop).arg(&self.dir).output();
    }
}
