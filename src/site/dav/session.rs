//! One account on a DAV server: its login, where its homes are, and what is remembered from one call to the next.
//!
//! Homes are found as RFC 6764 6, RFC 5397 and RFC 4791 6.2.1 say: the address of the description or the well-known ones,
//! the principal of whoever logged in, the home sets of that principal. Two accounts with one home are an error: a server
//! that does not know for whom an administrator acts would else mix them all in the administrator's own.

use super::ahead::Ahead;
use super::client::{Client, Say};
use super::collection::Collection;
use super::multistatus::{self, Resource};
use super::scheduling::Manner;
use super::xml::Ns;
use super::{DavStore, href, lock};
use crate::limits;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::SiteError;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};
use url::Url;

/// An account's place on the server.
pub struct Session {
    pub account: String,
    pub client: Client,
    /// Who it is to the server, where that tells.
    pub principal: Option<Url>,
    /// Where its calendars and lists of tasks are.
    pub calendars: Option<Url>,
    pub contacts: Option<Url>,
    /// Collections as the last listing saw them, each for one look.
    pub seen: Mutex<BTreeMap<FolderKey, Collection>>,
    /// What will probably be read next.
    pub ahead: Mutex<BTreeMap<FolderKey, Arc<Mutex<Ahead>>>>,
    /// Names that are taken, of folders that are written to.
    pub taken: Mutex<BTreeMap<FolderKey, HashSet<String>>>,
    manner: OnceLock<Manner>,
}

const HOMES: &str = "<D:current-user-principal/><C:calendar-home-set/><R:addressbook-home-set/>";

impl DavStore {
    /// The session of an account; logs in where there is none yet.
    pub(super) fn session(&self, account: &str) -> Result<Arc<Session>, SiteError> {
        if let Some(session) = lock(&self.sessions).get(account) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.discover(account)?);
        for home in session.homes() {
            let path = home.path().trim_end_matches('/').to_owned();
            let mut owners = lock(&self.owners);
            let owner = owners.entry(path).or_insert_with(|| account.to_owned());
            if owner != account {
                let what = format!(
                    "{account} and {owner} have the same home, {}: it does not tell apart for whom we act; nothing was done",
                    home.path()
                );
                return Err(session.client.says(&what));
            }
        }
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= limits::SERVER_IDLE {
            sessions.pop_first();
        }
        sessions.insert(account.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    fn discover(&self, account: &str) -> Result<Session, SiteError> {
        let client = Client::new(&self.wires, &self.url, &self.login, account)?;
        let mut homes = Homes::default();
        let (mut own, mut said) = (None, None);
        for start in self.starts(account)? {
            let Some(found) = peek(&client, &start, &mut said)? else { continue };
            homes.take(&client, &found)?;
            if let Some(principal) = address(&client, &found, Ns::Dav, "current-user-principal")? {
                self.refuse_administrator(&client, account, &principal)?;
                own = Some(principal.clone());
                if let Some(found) = peek(&client, &principal, &mut said)? {
                    homes.take(&client, &found)?;
                }
            }
            if homes.calendars.is_some() && homes.contacts.is_some() {
                break;
            }
        }
        let Homes { calendars, contacts } = homes;
        if calendars.is_none() && contacts.is_none() {
            let said = said.map_or(String::new(), |(path, words)| format!("; of {path} it says: {words}"));
            let what = format!("it names neither a home of calendars nor one of contacts for {account}{said}");
            return Err(client.says(&what));
        }
        Ok(Session {
            account: account.to_owned(),
            client,
            principal: own,
            calendars,
            contacts,
            seen: Mutex::default(),
            ahead: Mutex::default(),
            taken: Mutex::default(),
            manner: OnceLock::new(),
        })
    }

    /// Where to begin asking: the account's principal, where the description says how it is named; else the address of the
    /// description and the two well-known ones (RFC 6764 5).
    fn starts(&self, account: &str) -> Result<Vec<Url>, SiteError> {
        if let Some(template) = &self.principal {
            let (local, domain) = account.split_once('@').unwrap_or((account, ""));
            let levels = template.split('/').filter(|level| !level.is_empty());
            let mut url = self.url.clone();
            url.set_path("/");
            for level in levels {
                let level = level.replace("{account}", account).replace("{local}", local).replace("{domain}", domain);
                url = href::below(&url, &level, true);
            }
            return Ok(vec![url]);
        }
        let well_known = |name: &str| {
            let mut url = self.url.clone();
            url.set_path(&format!("/.well-known/{name}"));
            url
        };
        Ok(vec![self.url.clone(), well_known("caldav"), well_known("carddav")])
    }

    /// Fails where the server takes no notice of for whom the administrator acts.
    fn refuse_administrator(&self, client: &Client, account: &str, principal: &Url) -> Result<(), SiteError> {
        if !client.acts_for_another() || self.login.user == account {
            return Ok(());
        }
        let alone = client.as_itself();
        let own = match peek(&alone, &self.url, &mut None)? {
            Some(found) => address(&alone, &found, Ns::Dav, "current-user-principal")?,
            None => None,
        };
        if own.is_some_and(|own| href::is_same(&own, principal)) {
            let what = format!("{} cannot act for {account} here; nothing was done", self.login.user);
            return Err(client.says(&what));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Homes {
    calendars: Option<Url>,
    contacts: Option<Url>,
}

impl Homes {
    fn take(&mut self, client: &Client, found: &Resource) -> Result<(), SiteError> {
        if self.calendars.is_none() {
            self.calendars = address(client, found, Ns::CalDav, "calendar-home-set")?;
        }
        if self.contacts.is_none() {
            self.contacts = address(client, found, Ns::CardDav, "addressbook-home-set")?;
        }
        Ok(())
    }
}

/// What is at one address; nothing where the server has nothing to say about it, and in its first words why.
fn peek(client: &Client, url: &Url, said: &mut Option<(String, String)>) -> Result<Option<Resource>, SiteError> {
    match multistatus::first(client, url, HOMES)? {
        (multistatus::Outcome::Done { .. }, found) => Ok(found),
        (multistatus::Outcome::Status(_, words), _) => {
            said.get_or_insert_with(|| (url.path().to_owned(), words));
            Ok(None)
        }
    }
}

/// The address in a property.
fn address(client: &Client, found: &Resource, ns: Ns, name: &str) -> Result<Option<Url>, SiteError> {
    let href = found.prop(ns, name).and_then(|prop| prop.child(Ns::Dav, "href"));
    let url = href.map(|href| href::resolve(&found.url, &href.text)).transpose();
    let mut url = url.map_err(|what| client.says(&what))?;
    if let Some(url) = &mut url
        && !url.path().ends_with('/')
    {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

impl Session {
    /// The homes, each once.
    pub fn homes(&self) -> Vec<&Url> {
        let mut homes: Vec<&Url> = self.calendars.iter().chain(&self.contacts).collect();
        if let [one, other] = homes.as_slice()
            && href::is_same(one, other)
        {
            homes.truncate(1);
        }
        homes
    }

    /// Where folders of a kind are.
    pub fn home_of(&self, kind: FolderKind) -> Option<&Url> {
        match kind {
            FolderKind::Calendars | FolderKind::Tasks => self.calendars.as_ref(),
            FolderKind::Contacts => self.contacts.as_ref(),
            FolderKind::Mail | FolderKind::Files | FolderKind::Filters => None,
        }
    }

    /// Where the folder is, or would be; `None` where the server has no place for its kind.
    pub fn url_of(&self, key: &FolderKey) -> Option<Url> {
        // A path of several levels is no collection's: `put_folder` names it otherwise.
        Some(href::below(self.home_of(key.kind())?, key.path(), true))
    }

    /// What the server does with invitations; asked once.
    pub fn manner(&self) -> Result<Manner, SiteError> {
        if let Some(manner) = self.manner.get() {
            return Ok(manner.clone());
        }
        let url = self.calendars.as_ref().unwrap_or(&self.client.base);
        let reply = self.client.send(url, &Say { method: "OPTIONS", headers: &[], body: b"" })?;
        Ok(self.manner.get_or_init(|| Manner::of(&reply)).clone())
    }

    /// Forgets what was seen of a folder: something is about to be changed.
    pub fn forget(&self, key: &FolderKey) {
        lock(&self.seen).remove(key);
        lock(&self.ahead).remove(key);
    }
}
