//! To whom a collection is open: its access list (RFC 3744 5.5) as grants.
//!
//! Read only. Writing it through ACL is left out: Cyrus knows no principal of another domain there, and takes rights from the
//! owner that DAV has no word for.

use super::href;
use super::session::Session;
use super::xml::{Node, Ns};
use crate::model::share::{Grant, Grantee, Rights};
use url::Url;

/// The grants of an `acl` property, sorted. What the owner has by himself is none, nor is what DAV alone knows (who may see
/// when somebody is busy).
pub fn grants(session: &Session, base: &Url, acl: &Node) -> Vec<Grant> {
    let mut grants: Vec<Grant> = acl.children.iter().filter_map(|ace| grant(session, base, ace)).collect();
    grants.sort();
    grants.dedup();
    grants
}

fn grant(session: &Session, base: &Url, ace: &Node) -> Option<Grant> {
    let inherited = ["protected", "inherited"].iter().any(|mark| ace.child(Ns::Dav, mark).is_some());
    let principal = ace.child(Ns::Dav, "principal").filter(|_| !inherited)?;
    let is = |name| principal.child(Ns::Dav, name).is_some();
    let grantee = match principal.child(Ns::Dav, "href") {
        Some(href) => grantee(session, &href::resolve(base, &href.text).ok()?)?,
        None if is("authenticated") => Grantee::Everyone,
        None if is("all") => Grantee::Public,
        None => return None,
    };
    let (list, negative) = match (ace.child(Ns::Dav, "grant"), ace.child(Ns::Dav, "deny")) {
        (Some(list), _) => (list, false),
        (None, Some(list)) => (list, true),
        (None, None) => return None,
    };
    let privileges = list.children.iter().flat_map(|privilege| &privilege.children);
    let letters: String =
        privileges.filter(|privilege| privilege.ns == Ns::Dav).map(|one| letters(&one.name)).collect();
    let rights = Rights::from_letters(&letters);
    (!rights.as_str().is_empty()).then_some(Grant { grantee, rights, negative })
}

/// The rights of RFC 4314 that come nearest to a privilege of RFC 3744 3.
fn letters(privilege: &str) -> &'static str {
    match privilege {
        "read" => "lr",
        "write" => "wite",
        "write-content" => "w",
        "bind" => "i",
        "unbind" => "te",
        "write-acl" => "a",
        "all" => "lrwstipekxa",
        _ => "",
    }
}

/// Whose principal this is. Others are named as the account's own is: by the whole address, or by its local part.
fn grantee(session: &Session, principal: &Url) -> Option<Grantee> {
    let own = session.principal.as_ref()?;
    let (own_name, name) = (href::last_level(own)?, href::last_level(principal)?);
    if href::is_same(own, principal) {
        return None;
    }
    let siblings = href::is_same(&href::above(own), &href::above(principal));
    let (local, domain) = session.account.split_once('@')?;
    if !siblings {
        return Some(Grantee::Group(name));
    }
    match own_name {
        own_name if own_name == session.account => Some(Grantee::User(name)),
        own_name if own_name == local => Some(Grantee::User(format!("{name}@{domain}"))),
        _ => None,
    }
}
