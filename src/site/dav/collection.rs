//! A collection as its properties tell it: which folder it is, what it is called, and whether anything changed in it.

use super::client::to_its_end;
use super::multistatus::{self, Outcome, Resource};
use super::session::Session;
use super::xml::{Node, Ns};
use super::{href, lock, rights};
use crate::event::{Place, Reason, Rejection};
use crate::limits;
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::site::SiteError;
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// The properties that are asked for.
const PROPS: &str = "<D:resourcetype/><D:displayname/><D:sync-token/><S:getctag/><A:calendar-color/>\
    <I:addressbook-color/><C:supported-calendar-component-set/><C:calendar-description/><R:addressbook-description/>\
    <A:calendar-order/><D:acl/>";

/// A collection of events, tasks or contacts.
#[derive(Clone, Debug)]
pub struct Collection {
    pub url: Url,
    pub folder: Folder,
    /// RFC 6578 4: what to ask for changes since.
    pub token: Option<String>,
    /// Another text after each change, where the server has that instead.
    pub ctag: Option<String>,
}

/// What a child of a home turned out to be.
enum Kind {
    Collection(FolderKind),
    /// None of an account's data: an inbox of invitations, a plain folder.
    Ignored,
    Rejected(Reason),
}

/// All collections of an account, sorted by key, and what else lies there that cannot be taken.
pub fn list(session: &Session) -> Result<(Vec<Collection>, Vec<Rejection>), SiteError> {
    to_its_end(|| list_once(session))
}

fn list_once(session: &Session) -> Result<(Vec<Collection>, Vec<Rejection>), SiteError> {
    let mut found: BTreeMap<FolderKey, Collection> = BTreeMap::new();
    let mut rejected = Vec::new();
    for home in session.homes() {
        let mut cut_off = false;
        let mut take = |resource: Resource| {
            cut_off |= resource.says_more(home);
            if href::is_same(home, &resource.url) || resource.status.is_some_and(|status| status >= 400) {
                return Ok(());
            }
            match read(session, home, &resource) {
                Ok(Some(collection)) => {
                    let key = collection.folder.key.clone();
                    if found.insert(key.clone(), collection).is_some() {
                        let reason = Reason::BadName("another collection has the same name".to_owned());
                        rejected.push(Rejection { place: Place::folder(&session.account, &key), reason });
                    }
                }
                Ok(None) => {}
                Err((name, reason)) => {
                    rejected.push(Rejection { place: Place::folder(&session.account, &name), reason });
                }
            }
            Ok(())
        };
        match multistatus::propfind(&session.client, home, "1", PROPS, &mut take)? {
            Outcome::Done { .. } if cut_off => return Err(multistatus::cut_off(&session.client, home)),
            Outcome::Done { .. } => {}
            // The home is made with the first collection.
            Outcome::Status(404, _) => {}
            Outcome::Status(_, words) => {
                return Err(session.client.says(&format!("{words}, listing {}", home.path())));
            }
        }
    }
    if found.len() > limits::DAV_COLLECTIONS {
        return Err(session.client.says(&format!("{} has {} collections", session.account, found.len())));
    }
    Ok((found.into_values().collect(), rejected))
}

/// The collection at the place of a folder, of whatever kind; `None` where there is none.
pub fn at(session: &Session, url: &Url) -> Result<Option<Collection>, SiteError> {
    let Some(resource) = multistatus::look(&session.client, url, PROPS)? else { return Ok(None) };
    let home = session.homes().into_iter().find(|home| href::name_in(home, url).is_some());
    let Some(home) = home else { return Ok(None) };
    Ok(read(session, home, &resource).unwrap_or_default())
}

/// The collection of a folder, as the last listing saw it or as it is now.
pub fn of(session: &Session, key: &FolderKey) -> Result<Option<Collection>, SiteError> {
    if let Some(collection) = lock(&session.seen).remove(key) {
        return Ok(Some(collection));
    }
    let Some(url) = session.url_of(key).filter(|_| key.levels().count() == 1) else { return Ok(None) };
    Ok(at(session, &url)?.filter(|collection| collection.folder.key == *key))
}

fn read(session: &Session, home: &Url, resource: &Resource) -> Result<Option<Collection>, (String, Reason)> {
    let shown = || resource.url.path().to_owned();
    let kind = match kind_of(resource) {
        Kind::Collection(kind) => kind,
        Kind::Ignored => return Ok(None),
        Kind::Rejected(reason) => return Err((shown(), reason)),
    };
    let name = href::name_in(home, &resource.url)
        .ok_or_else(|| (shown(), Reason::Malformed("it is listed in a home and does not lie there".to_owned())))?;
    let key = FolderKey::new(kind, &name).map_err(|error| (shown(), Reason::BadName(error.to_string())))?;
    let text = |ns, prop| {
        let text = resource.text(ns, prop).filter(|text| text.len() <= limits::DAV_TITLE_BYTES);
        text.map(str::to_owned)
    };
    let (color, description) = match kind {
        FolderKind::Contacts => (text(Ns::Inf, "addressbook-color"), text(Ns::CardDav, "addressbook-description")),
        _ => (text(Ns::Apple, "calendar-color"), text(Ns::CalDav, "calendar-description")),
    };
    let order = text(Ns::Apple, "calendar-order").filter(|_| kind != FolderKind::Contacts);
    let title = text(Ns::Dav, "displayname").filter(|title| *title != name);
    let acl = resource.prop(Ns::Dav, "acl");
    let grants = acl.map(|acl| rights::grants(rights::Owner::of(session), &resource.url, acl)).unwrap_or_default();
    let components = components(resource);
    let folder = Folder { title, color, description, components, order, grants, ..Folder::at(key) };
    let mut url = resource.url.clone();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", resource.url.path()));
    }
    let (token, ctag) = (text(Ns::Dav, "sync-token"), text(Ns::CalendarServer, "getctag"));
    Ok(Some(Collection { url, folder, token, ctag }))
}

/// The components that a calendar says it takes (RFC 4791 5.2.3); `None` where it says nothing.
fn components(resource: &Resource) -> Option<String> {
    let set = resource.prop(Ns::CalDav, "supported-calendar-component-set")?;
    let names = set.children.iter().filter_map(|node| node.attribute.as_deref());
    let names: BTreeSet<String> = names.filter(|name| is_component(name)).map(str::to_ascii_uppercase).collect();
    let names: Vec<String> = names.into_iter().take(limits::DAV_COMPONENTS).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// Whether this can be a component's name (RFC 5545 3.1, `iana-token`).
pub fn is_component(name: &str) -> bool {
    (1..=limits::DAV_COMPONENT_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn kind_of(resource: &Resource) -> Kind {
    let Some(kinds) = resource.prop(Ns::Dav, "resourcetype") else { return Kind::Ignored };
    let is = |ns, name| kinds.child(ns, name).is_some();
    if is(Ns::CalendarServer, "subscribed") {
        return Kind::Rejected(Reason::Unsupported("a subscription to a calendar elsewhere".to_owned()));
    }
    if is(Ns::CalendarServer, "shared") {
        return Kind::Rejected(Reason::Unsupported("it is somebody else's, who gives it along".to_owned()));
    }
    if is(Ns::CardDav, "addressbook") {
        return Kind::Collection(FolderKind::Contacts);
    }
    if !is(Ns::CalDav, "calendar") {
        return Kind::Ignored;
    }
    let components = resource.prop(Ns::CalDav, "supported-calendar-component-set");
    let has = |wanted: &str| {
        let named = |node: &Node| node.attribute.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        components.is_some_and(|set| set.children.iter().any(named))
    };
    // A calendar that takes tasks and no events is a list of tasks.
    Kind::Collection(if has("VTODO") && !has("VEVENT") { FolderKind::Tasks } else { FolderKind::Calendars })
}
