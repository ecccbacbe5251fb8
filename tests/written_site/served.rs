//! A site in a folder of its own, and a Dovecot that serves it with wagon's configuration.

use stationwagon::fs::RealFs;
use stationwagon::model::id::SiteId;
use stationwagon::site::directory::dovecot_conf::{ServeOptions, dovecot_conf};
use stationwagon::site::{Target, open_target};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whose the mail is.
pub const OWNER: (u32, u32) = (5000, 5000);

pub struct Served {
    dir: tempfile::TempDir,
    target: Box<dyn Target>,
}

impl Served {
    /// An empty, prepared site; `None` where no Dovecot can be run.
    pub fn new() -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        let version = Command::new("dovecot").arg("--version").output();
        if !is_root || !version.is_ok_and(|version| version.stdout.starts_with(b"2.3")) {
            eprintln!("passed over: needs root and Dovecot 2.3");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("wagon-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let spec = dir.path().join("site");
        let target = open_target(Arc::new(RealFs), spec.to_str().unwrap(), Some(OWNER)).unwrap();
        target.prepare(&"served".parse::<SiteId>().unwrap()).unwrap();
        Some(Self { dir, target })
    }

    pub fn target(&self) -> &dyn Target {
        self.target.as_ref()
    }

    /// Starts a Dovecot; it ends when the value is dropped.
    pub fn serve(&self) -> Server {
        let dir = self.dir.path();
        let site = dir.join("site");
        let mut options = ServeOptions::of_site(&RealFs, &site).unwrap();
        options.lmtp.set_port(free_port());
        assert_eq!(options.owner, OWNER);
        let imap_port = free_port();
        let own = format!(
            "base_dir = {0}/run\nstate_dir = {0}/run\nlog_path = {0}/log\nlisten = 127.0.0.1\nssl = no\n\
             disable_plaintext_auth = no\nservice imap-login {{\n  inet_listener imap {{\n    port = {imap_port}\n  }}\n  \
             inet_listener imaps {{\n    port = 0\n  }}\n}}\nservice managesieve-login {{\n  inet_listener sieve {{\n    \
             port = {1}\n  }}\n}}\nservice stats {{\n  unix_listener stats-writer {{\n    mode = 0666\n  }}\n}}\n\
             service anvil {{\n  unix_listener anvil {{\n    mode = 0666\n  }}\n}}\n",
            dir.display(),
            free_port(),
        );
        std::fs::create_dir(dir.join("run")).unwrap();
        let conf = dir.join("dovecot.conf");
        std::fs::write(&conf, [dovecot_conf(&site, &options), own].concat()).unwrap();
        let child = Command::new("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let server = Server { child, imap_port, log: dir.join("log") };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", imap_port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", server.everything());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct Server {
    child: Child,
    pub imap_port: u16,
    pub log: PathBuf,
}

impl Server {
    /// Lines of the log that tell of trouble.
    pub fn errors(&self) -> String {
        let is_trouble =
            |line: &&str| ["Error:", "Warning:", "Fatal:", "Panic:"].iter().any(|word| line.contains(word));
        self.everything().lines().filter(is_trouble).map(|line| format!("{line}\n")).collect()
    }

    fn everything(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its own children.
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        drop(self.child.wait());
    }
}
