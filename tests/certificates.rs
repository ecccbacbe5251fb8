//! Whose certificate is believed with `tls_ca`: the one that is in the file, while it is valid and for the host that it
//! names, and what a root in the file has signed. Nothing else. The certificates are openssl's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use stationwagon::fs::RealFs;
use stationwagon::net::{Endpoint, Protection, Scheme, Stream, TlsPolicy};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

const LONG: [&str; 2] = ["20200101000000Z", "20491231000000Z"];
const PAST: [&str; 2] = ["20200101000000Z", "20200201000000Z"];
const FUTURE: [&str; 2] = ["20480101000000Z", "20491231000000Z"];

/// What `openssl ca` wants to know, for a host's name and whether the certificate says that it is a CA.
const CONFIGURATION: &str = "[ca]\ndefault_ca = here\n[here]\ndatabase = DIR/index.txt\nnew_certs_dir = DIR\nrand_serial = yes\n\
    default_md = sha256\npolicy = any\nunique_subject = no\nx509_extensions = ext\n[any]\ncommonName = supplied\n\
    [ext]\nsubjectAltName = DNS:HOST\nbasicConstraints = critical,CA:IS_CA\n";

/// A workshop for certificates.
struct Openssl {
    dir: tempfile::TempDir,
}

/// A certificate and its key.
struct Identity {
    cert: PathBuf,
    key: PathBuf,
}

impl Openssl {
    /// `None` where there is no openssl.
    fn new() -> Option<Self> {
        let known = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
        if !known {
            let _ = writeln!(std::io::stderr(), "skipped: whose certificate is believed: there is no openssl");
        }
        known.then(|| Self { dir: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, line: &str) {
        let words = line.split_whitespace();
        let output = Command::new("openssl").args(words).current_dir(self.dir.path()).stdin(Stdio::null()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate for `host`, signed by itself or by `issuer`.
    fn make(&self, name: &str, host: &str, is_ca: bool, [from, to]: [&str; 2], issuer: Option<&str>) -> Identity {
        let text = CONFIGURATION.replace("DIR", self.dir.path().to_str().unwrap()).replace("HOST", host);
        fs::write(self.path("cnf"), text.replace("IS_CA", if is_ca { "TRUE" } else { "FALSE" })).unwrap();
        fs::write(self.path("index.txt"), "").unwrap();
        self.run(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -out {name}.csr -keyout {name}.key"
        ));
        let signer = match issuer {
            Some(issuer) => format!("-cert {issuer}.pem -keyfile {issuer}.key"),
            None => format!("-selfsign -keyfile {name}.key"),
        };
        self.run(&format!(
            "ca -batch -notext -config cnf {signer} -startdate {from} -enddate {to} -in {name}.csr -out {name}.pem"
        ));
        Identity { cert: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) }
    }
}

/// A server that says hello through TLS to whoever comes; its port.
fn server(identity: &Identity) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(&identity.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let _ = rustls::StreamOwned::new(connection, stream).write_all(b"hello");
        }
    });
    port
}

/// What a client that believes `file` hears at `host`; else why it went away, with all causes.
fn hear(host: &str, port: u16, file: &Path) -> Result<String, String> {
    const SCHEME: &[Scheme] = &[Scheme { name: "imaps", port: 993, protection: Protection::Tls }];
    let endpoint = Endpoint::parse(&format!("imaps://{host}:{port}"), SCHEME).unwrap();
    let config = TlsPolicy::Roots(file.to_owned()).dialer(&RealFs).unwrap();
    let mut stream = Stream::connect(&endpoint, &config).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    })?;
    let mut word = [0; 5];
    stream.read_exact(&mut word).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&word).into_owned())
}

#[test]
fn a_server_that_signed_its_own_certificate_is_believed_where_the_description_names_it() {
    let Some(openssl) = Openssl::new() else { return };
    for (name, is_ca) in [("as-a-ca", true), ("as-a-server", false)] {
        let own = openssl.make(name, "localhost", is_ca, LONG, None);
        let other = openssl.make(&format!("other-{name}"), "localhost", is_ca, LONG, None);
        let port = server(&own);
        assert_eq!(hear("localhost", port, &own.cert).as_deref(), Ok("hello"), "{name}");
        let error = hear("localhost", port, &other.cert).unwrap_err();
        assert!(error.contains("no secure connection"), "{name}: {error}");
        // The address is not the name that the certificate has.
        let error = hear("127.0.0.1", port, &own.cert).unwrap_err();
        assert!(error.contains("not valid for name"), "{name}: {error}");
        // Among others in a file it counts as well.
        let both = openssl.path("both.pem");
        fs::write(&both, [fs::read(&other.cert).unwrap(), fs::read(&own.cert).unwrap()].concat()).unwrap();
        assert_eq!(hear("localhost", port, &both).as_deref(), Ok("hello"), "{name}");
    }
}

#[test]
fn a_certificate_outside_its_time_is_refused_even_where_the_description_names_it() {
    let Some(openssl) = Openssl::new() else { return };
    for is_ca in [true, false] {
        for (name, time, word) in [("old", PAST, "expired"), ("early", FUTURE, "not valid yet")] {
            let own = openssl.make(name, "localhost", is_ca, time, None);
            let error = hear("localhost", server(&own), &own.cert).unwrap_err();
            assert!(error.contains(word), "{name}: {error}");
        }
    }
}

#[test]
fn a_root_still_vouches_for_what_it_signed_and_a_servers_certificate_counts_without_its_root() {
    let Some(openssl) = Openssl::new() else { return };
    let root = openssl.make("root", "root.test", true, LONG, None);
    let signed = openssl.make("signed", "localhost", false, LONG, Some("root"));
    let sibling = openssl.make("sibling", "localhost", false, LONG, Some("root"));
    let elsewhere = openssl.make("elsewhere", "imap.test", false, LONG, Some("root"));
    let late = openssl.make("late", "localhost", false, PAST, Some("root"));
    let port = server(&signed);
    assert_eq!(hear("localhost", port, &root.cert).as_deref(), Ok("hello"));
    assert_eq!(hear("localhost", port, &signed.cert).as_deref(), Ok("hello"));
    for (file, identity) in [(&sibling.cert, &signed), (&elsewhere.cert, &elsewhere), (&late.cert, &late)] {
        let error = hear("localhost", server(identity), file).unwrap_err();
        assert!(error.contains("no secure connection"), "{error}");
    }
    // A root that is shown as a server's certificate has the name of neither.
    let error = hear("localhost", server(&root), &root.cert).unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}
