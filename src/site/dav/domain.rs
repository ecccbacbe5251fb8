//! Where the DAV server of a domain is (RFC 6764), without believing more of DNS than TLS then proves.
//!
//! Whoever can forge an answer of DNS could name a host of his own, with a good certificate for it, and would get every
//! password. So an answer counts only where it stays within the domain that the description names: the certificate of
//! `dav.example.org` is only given to whoever has `example.org`. Any other host is told and not spoken to.

use super::href;
use crate::net::{Offer, Service, service};
use crate::site::SiteError;
use std::net::SocketAddr;
use url::Url;

/// The URL at which asking for homes begins. Services without TLS (`_caldav._tcp`) are never asked for.
pub fn find(domain: &str, nameserver: Option<SocketAddr>) -> Result<Url, SiteError> {
    let ask = |kind: &str| service(&format!("_{kind}._tcp.{domain}"), nameserver).map_err(SiteError::Net);
    choose(domain, ask("caldavs")?, ask("carddavs")?).map_err(SiteError::Unsupported)
}

fn choose(domain: &str, calendars: Offer, contacts: Offer) -> Result<Url, String> {
    let found = match (&calendars, &contacts) {
        (Offer::At(one), Offer::At(other)) if (&one.host, one.port) != (&other.host, other.port) => {
            return Err(format!(
                "DNS says that {domain} has its calendars at {} and its contacts at {}; one [groupware] has one server: \
                 write the URL of either in place of {domain}",
                shown(one),
                shown(other)
            ));
        }
        (Offer::At(found), _) | (_, Offer::At(found)) => found,
        (Offer::Absent, _) | (_, Offer::Absent) => {
            return Err(format!(
                "DNS says that {domain} has neither calendars nor contacts through TLS; write the URL of the server, if \
                 there is one"
            ));
        }
        (Offer::Unsaid, Offer::Unsaid) => return at(domain, 443, "/"),
    };
    let path = found.path.as_deref().unwrap_or("/");
    let inside = found.host == domain || found.host.strip_suffix(domain).is_some_and(|above| above.ends_with('.'));
    if !inside {
        return Err(format!(
            "DNS says that {domain} has its calendars and contacts at {}, which is not below {domain}. A forged answer \
             could say so too, and that host would get every password: if you trust it, write this URL in place of {domain}",
            shown(found)
        ));
    }
    at(&found.host, found.port, path)
}

fn at(host: &str, port: u16, path: &str) -> Result<Url, String> {
    let base =
        Url::parse(&format!("https://{host}:{port}/")).map_err(|_| format!("DNS names {host:?}, which is no host"))?;
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(format!("DNS names the path {path:?} on {host}, which does not follow the rules of paths"));
    }
    href::resolve(&base, path).map_err(|what| format!("in what DNS says of {host}, {what}"))
}

/// The URL, for somebody to write down.
fn shown(service: &Service) -> String {
    let path = service.path.as_deref().unwrap_or("/");
    let url = at(&service.host, service.port, path).or_else(|_| at(&service.host, service.port, "/"));
    url.map_or_else(|_| format!("{:?}", service.host), |url| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(host: &str, port: u16, path: Option<&str>) -> Offer {
        Offer::At(Service { host: host.to_owned(), port, path: path.map(str::to_owned) })
    }

    #[test]
    fn a_host_of_the_domain_is_taken_with_its_port_and_path() {
        let url = choose("a.test", on("dav.a.test", 8443, Some("/cal dav/")), Offer::Unsaid).unwrap();
        assert_eq!(url.as_str(), "https://dav.a.test:8443/cal%20dav/");
        assert_eq!(choose("a.test", Offer::Absent, on("a.test", 443, None)).unwrap().as_str(), "https://a.test/");
        assert_eq!(choose("a.test", Offer::Unsaid, Offer::Unsaid).unwrap().as_str(), "https://a.test/");
    }

    #[test]
    fn a_host_outside_the_domain_is_named_and_not_taken() {
        for host in ["dav.hoster.test", "evila.test", "a.test.evil.test", "test"] {
            let why = choose("a.test", on(host, 443, Some("/x/")), Offer::Unsaid).unwrap_err();
            assert!(why.contains(&format!("https://{host}/x/")) && why.contains("not below a.test"), "{why}");
        }
        let apart = choose("a.test", on("c.a.test", 443, None), on("k.a.test", 443, None)).unwrap_err();
        assert!(apart.contains("https://c.a.test/") && apart.contains("https://k.a.test/"), "{apart}");
        assert!(choose("a.test", Offer::Absent, Offer::Unsaid).unwrap_err().contains("neither"));
    }

    #[test]
    fn a_path_that_is_none_leads_nowhere() {
        for path in ["dav", "//evil.test/", "/a/../b/", "https://evil.test/", "/a%2f..%2f"] {
            assert!(choose("a.test", on("a.test", 443, Some(path)), Offer::Unsaid).is_err(), "{path}");
        }
    }
}
