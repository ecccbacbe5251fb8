//! From a description to a site: the one place that knows which connector speaks which protocol.

use super::description::{self, Accounts, Description, Server};
use super::file_book::{FileBook, Use};
use super::list_book::ListBook;
use super::passwords::Secrets;
use super::state::State;
use super::{Book, ServerSite, Store};
use crate::fs::Fs;
use crate::limits;
use crate::model::provisioning::Secret;
use crate::net::{Endpoint, Protection, Scheme};
use crate::site::SiteError;
use crate::site::dav::{self, DavOptions, DavStore};
use crate::site::imap::{ImapOptions, ImapStore};
use crate::site::ldap::{LdapBook, LdapOptions, Partly};
use crate::site::managesieve::{SieveOptions, SieveStore};
use std::path::Path;
use std::sync::Arc;

/// The site that the description at `path` describes, to be read.
pub fn open_source(fs: Arc<dyn Fs>, path: &Path) -> Result<ServerSite, SiteError> {
    open(fs, path, Use::Source)
}

/// The same, to be written.
pub fn open_target(fs: Arc<dyn Fs>, path: &Path) -> Result<ServerSite, SiteError> {
    open(fs, path, Use::Target)
}

fn open(fs: Arc<dyn Fs>, path: &Path, purpose: Use) -> Result<ServerSite, SiteError> {
    let description = Description::read(fs.as_ref(), path)?;
    let state = State::new(fs.clone(), description.state.clone());
    if description.asks_servers() {
        state.make()?;
    }
    let mut secrets = Secrets::of(&fs, &description);
    let book = book(&fs, &description, &mut secrets, purpose)?;
    let stores = stores(&fs, &description, &mut secrets)?;
    let quotas = description.servers().any(|server| server.quotas);
    Ok(ServerSite::new(book, stores, state, purpose, description.cautions()).with_quotas(quotas))
}

fn book(
    fs: &Arc<dyn Fs>,
    description: &Description,
    secrets: &mut Secrets<'_>,
    purpose: Use,
) -> Result<Box<dyn Book>, SiteError> {
    Ok(match &description.accounts {
        Accounts::File { path, format } => Box::new(FileBook::new(fs.clone(), path.clone(), *format, purpose)),
        Accounts::List(accounts) => Box::new(ListBook::new(fs.clone(), description.path.clone(), accounts.clone())),
        Accounts::Ldap(ldap) => {
            let password = ldap.password.as_ref().map(|source| secrets.fetch(source)).transpose()?;
            let open = ldap.insecure && ldap.endpoint.protection == Protection::StartTls;
            let endpoint = ldap.endpoint.clone();
            let options = LdapOptions {
                endpoint: if open { endpoint.in_the_open() } else { endpoint },
                tls: ldap.tls.clone(),
                base: ldap.base.clone(),
                bind: ldap.bind.clone().unwrap_or_default(),
                password: password.unwrap_or_else(|| Secret::new("")),
                mapping: ldap.mapping.clone(),
                state_dir: description.state.clone(),
                page_size: limits::LDAP_PAGE,
                partly: if purpose == Use::Source { Partly::Listed } else { Partly::Fails },
                started_at: jiff::Timestamp::now().as_second(),
            };
            Box::new(LdapBook::open(fs.clone(), options)?)
        }
    })
}

fn stores(
    fs: &Arc<dyn Fs>,
    description: &Description,
    secrets: &mut Secrets<'_>,
) -> Result<Vec<Box<dyn Store>>, SiteError> {
    let mut stores: Vec<Box<dyn Store>> = Vec::new();
    for server in description.servers() {
        let login = secrets.login(&server.login)?;
        stores.push(match server.section {
            "mail" => {
                let options = ImapOptions {
                    endpoint: endpoint(server, description::IMAP)?,
                    dialer: server.tls.dialer(fs.as_ref()).map_err(SiteError::Net)?,
                    login,
                    insecure: server.insecure,
                    state_dir: description.state.clone(),
                    max_connections: server.max_connections,
                };
                Box::new(ImapStore::open(fs.as_ref(), options)?)
            }
            "filters" => {
                let options = SieveOptions {
                    endpoint: endpoint(server, description::MANAGESIEVE)?,
                    tls: server.tls.clone(),
                    login,
                    insecure: server.insecure,
                    max_connections: server.max_connections,
                };
                Box::new(SieveStore::open(fs.as_ref(), options)?)
            }
            _ => {
                let options = DavOptions {
                    url: dav_url(server)?,
                    tls: server.tls.clone(),
                    login,
                    insecure: server.insecure,
                    principal: server.principal.clone(),
                    scheduling_is_off: server.scheduling_is_off,
                    max_connections: server.max_connections,
                };
                Box::new(DavStore::open(fs.as_ref(), options)?)
            }
        });
    }
    Ok(stores)
}

/// Where a DAV server is: as the description says, or as DNS does of its domain.
pub fn dav_url(server: &Server) -> Result<String, SiteError> {
    match &server.domain {
        Some(domain) => Ok(dav::domain::find(&domain.name, domain.nameserver)?.to_string()),
        None => Ok(server.url.clone()),
    }
}

/// Where a server is. Who calls it insecure goes without TLS where the URL does not ask for it from the first byte.
fn endpoint(server: &Server, schemes: &[Scheme]) -> Result<Endpoint, SiteError> {
    let endpoint = Endpoint::parse(&server.url, schemes).map_err(SiteError::Net)?;
    let open = server.insecure && endpoint.protection == Protection::StartTls;
    Ok(if open { endpoint.in_the_open() } else { endpoint })
}
