//! Servers that the development testbed starts (`../shared/testbed` beside the repository, or `WAGON_TESTBED`): each
//! lives in a folder of its own, listens on 127.0.0.1 only, and ends with the value.

use super::dovecot::open_dir;
use stationwagon::net::Pin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the testbed is.
pub fn testbed() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testbed");
    std::env::var_os("WAGON_TESTBED").map_or(beside, PathBuf::from)
}

/// Why none of `servers` can be started; `None`: they can. What is missing of them is installed first.
pub fn missing(servers: &[&str]) -> Option<String> {
    if !testbed().join("lib.sh").is_file() {
        return Some("the development testbed is not there".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("starting servers needs root".to_owned());
    }
    servers.iter().find_map(|server| {
        let out = script(server, "install.sh").output().unwrap();
        let failed = !out.status.success();
        failed.then(|| format!("{server} cannot be installed: {}", String::from_utf8_lossy(&out.stderr)))
    })
}

fn script(server: &str, name: &str) -> Command {
    let mut command = Command::new(testbed().join(server).join(name));
    command.stdin(Stdio::null());
    command
}

/// A running server.
pub struct Server {
    name: &'static str,
    /// Its state; removed at the end.
    dir: tempfile::TempDir,
    said: BTreeMap<String, String>,
}

impl Server {
    /// Runs `start.sh` with `argument` behind the folder of the server, on free ports, with `variables` set.
    pub fn start(name: &'static str, argument: &Path, variables: &[(&str, &str)]) -> Self {
        let dir = open_dir();
        let mut out: Option<Output> = None;
        // Two starts at once may be given the same port; the later one then says so.
        for _ in 0..3 {
            let mut command = script(name, "start.sh");
            command.arg(dir.path().join("state")).arg(argument);
            for port in ["IMAP_PORT", "IMAPS_PORT", "LMTP_PORT", "SIEVE_PORT", "HTTP_PORT", "RADICALE_PORT"] {
                command.env(port, "auto");
            }
            command.envs(variables.iter().copied());
            let done = out.insert(command.output().unwrap());
            if done.status.success() || !String::from_utf8_lossy(&done.stderr).contains("in use") {
                break;
            }
        }
        let out = out.unwrap();
        assert!(out.status.success(), "{name}/start.sh: {}", String::from_utf8_lossy(&out.stderr));
        let lines = String::from_utf8_lossy(&out.stdout).into_owned();
        let said = lines.lines().filter_map(|line| line.split_once('='));
        let said = said.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { name, dir, said }
    }

    /// What `start.sh` said under this key.
    pub fn said(&self, key: &str) -> &str {
        self.said.get(key).unwrap_or_else(|| panic!("{} says nothing of {key}: {:?}", self.name, self.said))
    }

    pub fn port(&self, key: &str) -> u16 {
        self.said(key).parse().unwrap()
    }

    /// The fingerprint of its certificate, which signed itself: no chain of trust leads to it.
    pub fn pin(&self) -> Pin {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(self.dir().join("cert.pem"));
        let out = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
        let (_, digits) = out.trim().split_once('=').unwrap();
        Pin::parse(&format!("sha256:{digits}")).unwrap()
    }

    /// Its folder.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = script(self.name, "stop.sh").arg(self.dir()).output();
    }
}

/// Writes the file of users that Cyrus and Radicale take, `name:password` a line.
pub fn users(dir: &Path, names: &[&str]) -> PathBuf {
    let path = dir.join("users");
    let line = |name: &&str| format!("{name}:{}\n", password(name));
    std::fs::write(&path, names.iter().map(line).collect::<String>()).unwrap();
    path
}

/// The password of a user made by [`users`].
pub fn password(name: &str) -> String {
    format!("pw-{}", name.split('@').next().unwrap())
}
