//! Which host gives a service of a domain, as DNS tells it: SRV records (RFC 2782) and the path in TXT (RFC 6764 4).
//!
//! Answers of DNS can be forged. Nothing here says that one may be believed; whoever asks has to see to that before a
//! password goes anywhere. Asks on a small runtime of its own, and every wait is bounded.

use super::NetError;
use crate::limits;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError as DnsError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use std::net::SocketAddr;

/// A host that gives a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Without a dot at its end, in lower case.
    pub host: String,
    pub port: u16,
    /// What TXT says: `path=/dav/`.
    pub path: Option<String>,
}

/// What a domain says of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Offer {
    /// No word of it.
    Unsaid,
    /// It is decidedly not there (a target of `.`).
    Absent,
    At(Service),
}

/// Who gives the service `name`, such as `_caldavs._tcp.example.org`: the host of the lowest priority, and among equals
/// the one with the most weight, so that every run goes to the same. `nameserver` is asked instead of the system's.
pub fn service(name: &str, nameserver: Option<SocketAddr>) -> Result<Offer, NetError> {
    let bad = |what: String| NetError::Dns { name: name.to_owned(), what };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| bad(error.to_string()))?;
    runtime.block_on(ask(name, nameserver)).map_err(|error| bad(error.to_string()))
}

async fn ask(name: &str, nameserver: Option<SocketAddr>) -> Result<Offer, DnsError> {
    let mut builder = match nameserver {
        None => TokioResolver::builder_tokio()?,
        Some(address) => {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            server.connections.iter_mut().for_each(|connection| connection.port = address.port());
            let config = ResolverConfig::from_name_servers(vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.options_mut().timeout = limits::DNS_WAIT;
    builder.options_mut().attempts = limits::DNS_TRIES;
    let resolver = builder.build()?;
    // The dot at the end: this name, and none below the machine's own domain.
    let name = format!("{name}.");
    let Some(said) = records(resolver.srv_lookup(name.as_str()).await)? else { return Ok(Offer::Unsaid) };
    let hosts = said.into_iter().filter_map(|data| match data {
        RData::SRV(srv) => Some((srv.priority, u16::MAX - srv.weight, srv.target.to_ascii(), srv.port)),
        _ => None,
    });
    let Some((.., host, port)) = hosts.min() else { return Ok(Offer::Unsaid) };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.is_empty() {
        return Ok(Offer::Absent);
    }
    let texts = records(resolver.txt_lookup(name.as_str()).await)?.unwrap_or_default();
    let path = texts.into_iter().find_map(|data| match data {
        RData::TXT(txt) => txt.txt_data.iter().find_map(|text| {
            let text = std::str::from_utf8(text).ok()?;
            Some(text.strip_prefix("path=")?.to_owned())
        }),
        _ => None,
    });
    Ok(Offer::At(Service { host, port, path }))
}

/// The records of an answer; nothing where the name has none.
fn records(answer: Result<hickory_resolver::lookup::Lookup, DnsError>) -> Result<Option<Vec<RData>>, DnsError> {
    match answer {
        Ok(lookup) => Ok(Some(lookup.answers().iter().map(|record| record.data.clone()).collect())),
        Err(error) if error.is_no_records_found() => Ok(None),
        Err(error) => Err(error),
    }
}
