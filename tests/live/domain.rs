//! `dav = "a.test"`: a real nameserver names the DAV server of a domain, and only one within the domain gets passwords.

use crate::servers::free_ports;
use crate::servers::http::Http;
use crate::servers::testbed::{Server, password, users};
use crate::sites::skip;
use crate::world::{World, ready};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ANN: &str = "ann@a.test";

/// A program that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A nameserver with these records, in dnsmasq's words, and its port.
fn nameserver(records: &[String]) -> (Running, u16) {
    let [port] = free_ports();
    let mut dnsmasq = Command::new("/usr/sbin/dnsmasq");
    dnsmasq.args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces", "--conf-file=/dev/null"]);
    dnsmasq.args(["--pid-file=", "--local=/test/", "--listen-address=127.0.0.1", &format!("--port={port}")]);
    let child = dnsmasq.args(records).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let running = Running(child);
    answers(port);
    (running, port)
}

fn answers(port: u16) {
    let until = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nobody answers at {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The testbed's Radicale once more, on the same storage, through TLS with this certificate.
fn behind_tls(radicale: &Server, cert: &Path, key: &Path) -> (Running, u16) {
    let [port] = free_ports();
    let config = fs::read_to_string(radicale.dir().join("config")).unwrap();
    let hosts = format!("hosts = 127.0.0.1:{}", radicale.said("RADICALE_PORT"));
    assert!(config.contains(&hosts), "{config}");
    let (cert, key) = (cert.display(), key.display());
    let tls = format!("hosts = 127.0.0.1:{port}\nssl = True\ncertificate = {cert}\nkey = {key}");
    let own = radicale.dir().join("config-tls");
    fs::write(&own, config.replace(&hosts, &tls)).unwrap();
    let pid = fs::read_to_string(radicale.dir().join("radicale.pid")).unwrap();
    let line = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap();
    let words: Vec<&str> = line.split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).unwrap()).collect();
    let at = words.iter().position(|word| *word == "-C").unwrap();
    let mut command = Command::new(words[0]);
    command.args(&words[1..at]).arg("-C").arg(own).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    answers(port);
    (running, port)
}

/// A certificate for `host`, which signed itself.
fn certificate(world: &World, host: &str) -> (PathBuf, PathBuf) {
    let (cert, key) = (world.path("dav.pem"), world.path("dav.key"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    openssl.args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")]);
    openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key);
    assert!(openssl.output().unwrap().status.success());
    (cert, key)
}

/// Runs wagon where the hosts of this test have an address; its status, and what it says.
fn run(world: &World, line: &str) -> (Option<i32>, String) {
    world.write("hosts", "127.0.0.1 localhost dav.a.test a.test\n");
    let wagon = world.place.command(line);
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(world.path("hosts"));
    unshare.arg(wagon.get_program()).args(wagon.get_args());
    unshare.envs(wagon.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let out = unshare.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.code(), said)
}

fn describe(world: &World, name: &str, dns: u16) {
    world.write(
        name,
        &format!(
            "tls_ca = \"dav.pem\"\n[accounts]\nlist = [{{ address = \"{ANN}\" }}]\n[groupware]\ndav = \"a.test\"\n\
             dns = \"127.0.0.1:{dns}\"\nlogin = \"own\"\npasswords = \"logins.csv\"\n"
        ),
    );
}

#[test]
fn a_domain_leads_to_its_own_server_and_to_nobody_elses() {
    if !ready("the DAV server of a domain", &["radicale"]) {
        return;
    }
    if !Path::new("/usr/sbin/dnsmasq").exists() {
        return skip("the DAV server of a domain", "dnsmasq is not installed; ./test installs it");
    }
    let world = World::new();
    let radicale = Server::start("radicale", &users(&world.path(""), &[ANN]), &[]);
    let http = Http::new(radicale.port("RADICALE_PORT"), ANN, &password(ANN));
    http.make(&format!("/{ANN}/work/"), "Work");
    let (cert, key) = certificate(&world, "dav.a.test");
    let (_tls, port) = behind_tls(&radicale, &cert, &key);
    world.write("logins.csv", &format!("address,password\n{ANN},{}\n", password(ANN)));
    let srv = |name: &str, rest: &str| format!("--srv-host=_{name}._tcp.a.test,{rest}");

    // The lower number goes first, then the heavier; services without TLS are not looked at.
    let (_right, dns) = nameserver(&[
        srv("caldavs", "spare.a.test,1,20,0"),
        srv("caldavs", "light.a.test,2,10,1"),
        srv("caldavs", &format!("dav.a.test,{port},10,5")),
        srv("caldav", "dav.a.test,3,0,0"),
        format!("--txt-record=_caldavs._tcp.a.test,path=/{ANN}/"),
    ]);
    describe(&world, "right.toml", dns);
    let (status, said) = run(&world, "site check {}/right.toml");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("https://dav.a.test:{port}/{ANN}/")), "{said}");
    let (status, said) = run(&world, "export --from {}/right.toml --archive {}/archive");
    assert_eq!(status, Some(0), "{said}");
    assert!(world.wagon(0, "ls --archive {}/archive ann@a.test").contains("work"));

    // Somebody else's host, as a hosted domain has it, or a forger: named, and not spoken to.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let elsewhere = listener.local_addr().unwrap().port();
    let (_wrong, dns) = nameserver(&[srv("caldavs", &format!("localhost,{elsewhere},0,0"))]);
    describe(&world, "wrong.toml", dns);
    for line in ["site check {}/wrong.toml", "export --from {}/wrong.toml --archive {}/other"] {
        let (status, said) = run(&world, line);
        assert_eq!(status, Some(2), "{said}");
        assert!(
            said.contains(&format!("https://localhost:{elsewhere}/")) && said.contains("not below a.test"),
            "{said}"
        );
    }
    assert!(listener.accept().is_err(), "somebody came");

    // A certificate of another name: DNS may lie about the port, TLS does not.
    let (other_cert, other_key) = {
        fs::rename(&cert, world.path("kept.pem")).unwrap();
        fs::rename(&key, world.path("kept.key")).unwrap();
        certificate(&world, "dav.b.test")
    };
    let (_forged, port) = behind_tls(&radicale, &other_cert, &other_key);
    let (_dns, dns) = nameserver(&[srv("carddavs", &format!("dav.a.test,{port},0,0"))]);
    describe(&world, "forged.toml", dns);
    let (status, said) = run(&world, "site check {}/forged.toml");
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("certificate"), "{said}");

    // A nameserver that says nothing is an error, not a reason to guess.
    let [nobody] = free_ports();
    describe(&world, "silent.toml", nobody);
    let (status, said) = run(&world, "site check {}/silent.toml");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("DNS does not tell _caldavs._tcp.a.test"), "{said}");
}
