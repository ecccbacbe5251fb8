//! Where a server is, as a URL says it: `imaps://imap.example.org`, `sieve://mail.example.org:4190`.

use super::NetError;
use std::fmt;

/// How the bytes to a server are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// TLS from the first byte.
    Tls,
    /// The protocol's own STARTTLS before anything else is said; a server that does not offer it is an error, never a
    /// reason to go on in the open.
    StartTls,
    /// None. Only where the description says `insecure`, or the server is this machine itself.
    Plain,
}

/// A scheme that a kind of server has, with its port and protection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scheme {
    pub name: &'static str,
    pub port: u16,
    pub protection: Protection,
}

/// A server's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub protection: Protection,
    scheme: &'static str,
}

impl Endpoint {
    /// Reads `text` as a URL of one of `schemes`, without user, password, path and query: secrets do not belong in it.
    pub fn parse(text: &str, schemes: &[Scheme]) -> Result<Self, NetError> {
        let known = || schemes.iter().map(|scheme| format!("{}://", scheme.name)).collect::<Vec<_>>().join(" or ");
        // Somebody may have written a password into it.
        let shown = match text.rsplit_once('@') {
            Some((_, behind)) => format!("…@{behind}"),
            None => text.to_owned(),
        };
        let bad = |what: &str| NetError::BadUrl(format!("{shown:?} {what}; expected is {} and a host", known()));
        let url = url::Url::parse(text).map_err(|_| bad("is not a URL"))?;
        let Some(scheme) = schemes.iter().find(|scheme| scheme.name == url.scheme()) else {
            return Err(bad("has another scheme"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("names a user or a password, which have keys of their own"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("has more than a host and a port"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("has no host"))?;
        // An IPv6 address stands in brackets in a URL and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(scheme.port), protection: scheme.protection, scheme: scheme.name })
    }

    /// The same server without any protection.
    pub fn in_the_open(self) -> Self {
        Self { protection: Protection::Plain, ..self }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{}://{host}:{}", self.scheme, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAP: &[Scheme] = &[
        Scheme { name: "imaps", port: 993, protection: Protection::Tls },
        Scheme { name: "imap", port: 143, protection: Protection::StartTls },
    ];

    #[test]
    fn a_url_names_host_port_and_protection() {
        let endpoint = Endpoint::parse("imaps://imap.example.org", IMAP).unwrap();
        assert_eq!(
            (endpoint.host.as_str(), endpoint.port, endpoint.protection),
            ("imap.example.org", 993, Protection::Tls)
        );
        let endpoint = Endpoint::parse("imap://[::1]:10143/", IMAP).unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.protection), ("::1", 10143, Protection::StartTls));
        assert_eq!(endpoint.to_string(), "imap://[::1]:10143");
    }

    #[test]
    fn what_is_no_such_server_is_refused_and_no_password_is_shown() {
        for text in ["imap.example.org", "http://a.test", "imaps://", "imaps://a.test/INBOX", "imaps://a.test?x=1"] {
            assert!(Endpoint::parse(text, IMAP).is_err(), "{text}");
        }
        let error = Endpoint::parse("imaps://ann:hunter2@a.test", IMAP).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
