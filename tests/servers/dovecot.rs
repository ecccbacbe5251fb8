//! Starts a Dovecot on a site, with the configuration that `wagon config` prints and nothing beside it but where this
//! instance listens and logs. It ends with the value.

use super::free_ports;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running Dovecot.
pub struct Dovecot {
    master: Child,
    /// Its own state: configuration, sockets, log. Removed at the end.
    dir: tempfile::TempDir,
    pub imap: u16,
    pub lmtp: u16,
}

/// Why no Dovecot can be started here; `None`: it can.
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("starting Dovecot needs root");
    }
    let programs = ["/usr/sbin/dovecot", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp", "/usr/bin/sievec"];
    let all = programs.iter().all(|program| Path::new(program).exists());
    (!all).then_some("Dovecot with IMAP, LMTP and Sieve is not installed; ./test installs it")
}

/// A folder that the server's users can walk into, unlike the 0700 ones of `tempfile`.
pub fn open_dir() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("wagon-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

impl Dovecot {
    /// `printed` is what `wagon config` says, for LMTP at this port of 127.0.0.1.
    pub fn start(printed: &str, lmtp: u16) -> Self {
        let dir = open_dir();
        let [imap, sieve] = free_ports();
        let at = dir.path().display();
        fs::write(dir.path().join("site.conf"), printed).unwrap();
        let conf = format!(
            "!include {at}/site.conf\n\
             base_dir = {at}/run\nstate_dir = {at}/run\ninstance_name = wagon-test\nlog_path = {at}/log\n\
             listen = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\nauth_cache_size = 0\n\
             service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    \
             port = 0\n  }}\n}}\n\
             service managesieve-login {{\n  inet_listener sieve {{\n    port = {sieve}\n  }}\n}}\n"
        );
        fs::write(dir.path().join("dovecot.conf"), conf).unwrap();
        let out = fs::File::create(dir.path().join("out")).unwrap();
        let master = Command::new("/usr/sbin/dovecot")
            .args(["-F", "-c"])
            .arg(dir.path().join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut server = Self { master, dir, imap, lmtp };
        server.wait_until_it_answers();
        server
    }

    fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        for port in [self.imap, self.lmtp] {
            while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
                let ended = self.master.try_wait().unwrap();
                assert!(ended.is_none() && Instant::now() < deadline, "Dovecot does not answer:\n{}", self.log());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    pub fn conf(&self) -> PathBuf {
        self.dir.path().join("dovecot.conf")
    }

    /// What it has printed and logged so far.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("out") + &read("log")
    }

    /// Runs `doveadm` on this instance.
    pub fn doveadm(&self, arguments: &[&str]) -> String {
        let out = Command::new("doveadm").arg("-c").arg(self.conf()).args(arguments).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // The master ends its children when it is asked; killed, it would leave them.
        let stopped = Command::new("doveadm").arg("-c").arg(self.conf()).arg("stop").output();
        if !stopped.is_ok_and(|out| out.status.success()) {
            let _ = self.master.kill();
        }
        let _ = self.master.wait();
    }
}
