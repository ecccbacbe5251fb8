//! Starts a Postfix whose `main.cf` says for the site what `wagon config … postfix` prints and nothing else. It keeps to
//! its own folder and to 127.0.0.1, and nothing leaves the machine: mail for other domains is thrown away.

use super::dovecot::open_dir;
use super::{free_ports, lmtp};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// What this instance is, beside the site: where it lives and listens, and that it knows no other mail.
const INSTANCE: &str = "\
compatibility_level = 3.6
config_directory = {dir}/etc
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file_prefixes = {dir}
maillog_file = {dir}/log
myhostname = mx.test.invalid
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:5.1.1 no local mail
default_transport = discard:
relay_transport = discard:
smtpd_relay_restrictions = reject_unauth_destination
";

/// Debian's services, none of them in a chroot, since the folder has none of what a chroot needs.
const SERVICES: &str = "\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix.
pub struct Postfix {
    master: Child,
    /// Its configuration, queue and log. Removed at the end.
    dir: tempfile::TempDir,
    pub smtp: u16,
}

/// Why no Postfix can be started here; `None`: it can.
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("starting Postfix needs root");
    }
    let all = [MASTER, "/usr/sbin/postfix"].iter().all(|program| Path::new(program).exists());
    (!all).then_some("Postfix is not installed; ./test installs it where no other mail server is")
}

impl Postfix {
    /// `printed` is what `wagon config … postfix` says.
    pub fn start(printed: &str) -> Self {
        let dir = open_dir();
        let [smtp] = free_ports();
        let at = dir.path().to_str().unwrap();
        for name in ["etc", "queue", "data"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("etc/main.cf"), INSTANCE.replace("{dir}", at) + printed).unwrap();
        fs::write(dir.path().join("etc/master.cf"), SERVICES.replace("{port}", &smtp.to_string())).unwrap();
        let owned = Command::new("chown").arg("postfix:").arg(dir.path().join("data")).status().unwrap();
        assert!(owned.success());
        // Makes the folders of the queue, and finds what is wrong in the configuration.
        postfix(&dir.path().join("etc"), "check");
        let out = fs::File::create(dir.path().join("out")).unwrap();
        let master = Command::new(MASTER)
            .arg("-c")
            .arg(dir.path().join("etc"))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut server = Self { master, dir, smtp };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", smtp)).is_err() {
            let ended = server.master.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "Postfix does not answer:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Sends by SMTP and returns when everything is delivered; the error is the line that refuses.
    pub fn send(&self, from: &str, to: &str, message: &str) -> Result<(), String> {
        let confirmed = lmtp::transaction(self.smtp, "EHLO", from, to, message)?;
        let (_, id) = confirmed.rsplit_once(" as ").unwrap_or_else(|| panic!("no queue id in {confirmed:?}"));
        let done = format!("{id}: removed");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.log().contains(&done) {
            assert!(Instant::now() < deadline, "{to}: {id} stays in the queue:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Makes it read its maps again.
    pub fn reload(&self) {
        postfix(&self.etc(), "reload");
    }

    fn etc(&self) -> PathBuf {
        self.dir.path().join("etc")
    }

    /// What it has printed and logged so far.
    pub fn log(&self) -> String {
        let read = |name| fs::read(self.dir.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&[read("out"), read("log")].concat()).into_owned()
    }
}

fn postfix(etc: &Path, command: &str) {
    let out = Command::new("/usr/sbin/postfix").arg("-c").arg(etc).arg(command).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "postfix {command}: {said}");
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Asked to, the master ends its children; killed, it would leave them.
        let pid = rustix::process::Pid::from_child(&self.master);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.master.wait();
    }
}
