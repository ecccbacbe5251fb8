//! What can go wrong before a protocol has its say.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    #[error("{0}")]
    BadUrl(String),
    #[error("cannot reach {endpoint}")]
    Connect { endpoint: String, source: io::Error },
    #[error("no secure connection to {endpoint}")]
    Tls { endpoint: String, source: io::Error },
    #[error("{what} {path}")]
    Certificates { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the system has no root certificates; name some with tls_ca")]
    NoRoots,
    #[error("{0:?} is neither sha256: and the 64 hex digits of a certificate nor sha256// and the base64 of a key")]
    BadPin(String),
    #[error("DNS does not tell {name}: {what}")]
    Dns { name: String, what: String },
    #[error("cannot read the password file {path}")]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("the environment has no {0}, which should hold a password")]
    SecretVariable(String),
    #[error("{command} should print a password and {what}")]
    SecretCommand { command: String, what: String },
    #[error("the password from {0} is empty or not text")]
    BadSecret(String),
}
