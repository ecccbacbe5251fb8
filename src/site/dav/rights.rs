//! To whom a collection is open: its access list (RFC 3744 5.5) as grants, and grants as such a list (RFC 3744 8.1).
//!
//! ACL replaces the whole list, so what is in it and is no grant (the owner's own rights, who may see when somebody is
//! busy) is sent again as it was; where that is in words unknown here, nothing is sent. What a server refuses, it
//! refuses as a whole: Cyrus names no person in a list that comes this way, only everybody (docs/connectors.md).

use super::client::Say;
use super::collection::Collection;
use super::href;
use super::multistatus::{self, HEAD, NAMES, XML};
use super::session::Session;
use super::xml::{self, Node, Ns};
use crate::event::Reason;
use crate::model::share::{Grant, Grantee, Rights};
use crate::site::SiteError;
use url::Url;

/// Whose collection it is, and how the server names people.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    pub account: &'a str,
    pub principal: Option<&'a Url>,
}

impl<'a> Owner<'a> {
    pub fn of(session: &'a Session) -> Self {
        Self { account: &session.account, principal: session.principal.as_ref() }
    }
}

/// The grants of an `acl` property, sorted. What the owner has by himself is none, nor is what DAV alone knows (who may see
/// when somebody is busy).
pub fn grants(owner: Owner<'_>, base: &Url, acl: &Node) -> Vec<Grant> {
    let mut grants: Vec<Grant> = acl.children.iter().filter_map(|ace| grant(owner, base, ace)).collect();
    grants.sort();
    grants.dedup();
    grants
}

fn grant(owner: Owner<'_>, base: &Url, ace: &Node) -> Option<Grant> {
    let principal = ace.child(Ns::Dav, "principal").filter(|_| !is_fixed(ace))?;
    let is = |name| principal.child(Ns::Dav, name).is_some();
    let grantee = match principal.child(Ns::Dav, "href") {
        Some(href) => grantee(owner, &href::resolve(base, &href.text).ok()?)?,
        None if is("authenticated") => Grantee::Everyone,
        None if is("all") => Grantee::Public,
        None => return None,
    };
    let (list, negative) = match (ace.child(Ns::Dav, "grant"), ace.child(Ns::Dav, "deny")) {
        (Some(list), _) => (list, false),
        (None, Some(list)) => (list, true),
        (None, None) => return None,
    };
    let letters: String = privileges(list).map(letters).collect();
    let rights = Rights::from_letters(&letters);
    (!rights.as_str().is_empty()).then_some(Grant { grantee, rights, negative })
}

/// Whether an entry is the server's own, and no list that is sent may have it.
fn is_fixed(ace: &Node) -> bool {
    ["protected", "inherited"].iter().any(|mark| ace.child(Ns::Dav, mark).is_some())
}

fn privileges(list: &Node) -> impl Iterator<Item = &Node> {
    list.children.iter().flat_map(|privilege| &privilege.children)
}

/// The rights of RFC 4314 that come nearest to a privilege of RFC 3744 3.
fn letters(privilege: &Node) -> &'static str {
    match privilege.name.as_str() {
        _ if privilege.ns != Ns::Dav => "",
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

/// The other way. Whoever may see that a folder is there (`l`) may read it, and what is deleted goes at once (`t`, `e`);
/// marks, posting and folders below (`s`, `p`, `k`, `x`) are nothing that a collection has.
fn words(rights: &Rights) -> Vec<&'static str> {
    let has = |letters: &str| letters.chars().all(|letter| rights.as_str().contains(letter));
    if has("lrwstipekxa") {
        return vec!["all"];
    }
    let some = |letters: &str| letters.chars().any(|letter| rights.as_str().contains(letter));
    let mut words = Vec::new();
    words.extend(some("r").then_some("read"));
    if has("wite") {
        words.push("write");
    } else {
        words.extend(some("w").then_some("write-content"));
        words.extend(some("i").then_some("bind"));
        words.extend(some("te").then_some("unbind"));
    }
    words.extend(some("a").then_some("write-acl"));
    words
}

/// Whose principal this is. Others are named as the account's own is: by the whole address, or by its local part.
fn grantee(owner: Owner<'_>, principal: &Url) -> Option<Grantee> {
    let own = owner.principal?;
    let (own_name, name) = (href::last_level(own)?, href::last_level(principal)?);
    if href::is_same(own, principal) {
        return None;
    }
    let siblings = href::is_same(&href::above(own), &href::above(principal));
    let (local, domain) = owner.account.split_once('@')?;
    if !siblings {
        return Some(Grantee::Group(name));
    }
    match own_name {
        own_name if own_name == owner.account => Some(Grantee::User(name)),
        own_name if own_name == local => Some(Grantee::User(format!("{name}@{domain}"))),
        _ => None,
    }
}

/// The principal of somebody, as an element's content.
fn principal(owner: Owner<'_>, grantee: &Grantee) -> Result<String, Reason> {
    let address = match grantee {
        Grantee::Everyone => return Ok("<D:authenticated/>".to_owned()),
        Grantee::Public => return Ok("<D:all/>".to_owned()),
        Grantee::User(address) => address,
        other => return Err(Reason::Unsupported(format!("a DAV server's access list has no place for {other}"))),
    };
    let nobody = |why: &str| Reason::Unsupported(format!("{address} cannot be named in an access list: {why}"));
    let own = owner.principal.ok_or_else(|| nobody("the server names no principals"))?;
    let own_name = href::last_level(own).unwrap_or_default();
    let parts = (owner.account.split_once('@'), address.split_once('@'));
    let name = match parts {
        _ if own_name == owner.account => address.as_str(),
        (Some((own_local, own_domain)), Some((local, domain))) if own_name == own_local => match own_domain == domain {
            true => local,
            false => return Err(nobody("the server names nobody of another domain")),
        },
        _ => return Err(nobody("its name on the server does not come from its address")),
    };
    let url = href::below(&href::above(own), name, true);
    Ok(format!("<D:href>{}</D:href>", xml::escape(url.path())))
}

/// One entry of a list to be sent: who, whether something is given or taken away, and the privileges as elements.
struct Entry {
    principal: String,
    negative: bool,
    privileges: String,
}

/// The entries of an access list that has these grants, and everything of the present list that is none.
pub fn list(owner: Owner<'_>, base: &Url, present: Option<&Node>, grants: &[Grant]) -> Result<String, Reason> {
    let mut entries = Vec::new();
    for Grant { grantee, rights, negative } in grants {
        let words = words(rights);
        if words.is_empty() {
            let what = format!("the rights {rights} of {grantee} have no word in a DAV server's access list");
            return Err(Reason::Unsupported(what));
        }
        let privileges = words.into_iter().map(|word| format!("<D:privilege><D:{word}/></D:privilege>")).collect();
        entries.push(Entry { principal: principal(owner, grantee)?, negative: *negative, privileges });
    }
    let unknown = || {
        let what = "its access list has an entry in words of its server's own, which a new list would lose";
        Reason::Unsupported(what.to_owned())
    };
    for ace in present.into_iter().flat_map(|acl| &acl.children).filter(|ace| !is_fixed(ace)) {
        let negative = ace.child(Ns::Dav, "deny").is_some();
        let list = ace.child(Ns::Dav, if negative { "deny" } else { "grant" });
        let (Some(list), Some(who)) = (list, ace.child(Ns::Dav, "principal")) else { continue };
        // Of an entry that is a grant, only what no grant can say.
        let as_grant = grant(owner, base, ace);
        let is_kept = |one: &&Node| as_grant.is_none() || one.children.iter().all(|one| letters(one).is_empty());
        let kept: Option<String> = list.children.iter().filter(is_kept).map(Node::encode).collect();
        let privileges = kept.ok_or_else(unknown)?;
        if privileges.is_empty() {
            continue;
        }
        let principal = match as_grant {
            Some(grant) => principal(owner, &grant.grantee)?,
            None => who.children.iter().map(Node::encode).collect::<Option<_>>().ok_or_else(unknown)?,
        };
        // Cyrus takes the last entry of somebody for all that he has.
        match entries.iter_mut().find(|entry| entry.negative == negative && entry.principal == principal) {
            Some(entry) => entry.privileges.push_str(&privileges),
            None => entries.push(Entry { principal, negative, privileges }),
        }
    }
    // RFC 3744 8.1.1: some servers want to be told first what is taken away.
    entries.sort_by_key(|entry| !entry.negative);
    let encode = |Entry { principal, negative, privileges }: Entry| {
        let verb = if negative { "deny" } else { "grant" };
        format!("<D:ace><D:principal>{principal}</D:principal><D:{verb}>{privileges}</D:{verb}></D:ace>")
    };
    Ok(entries.into_iter().map(encode).collect())
}

/// Replaces the grants of a collection.
pub fn put(session: &Session, there: &Collection, grants: &[Grant]) -> Result<Result<(), Reason>, SiteError> {
    if there.folder.grants == grants {
        return Ok(Ok(()));
    }
    if !session.manner()?.features.iter().any(|feature| feature == "access-control") {
        let what = format!("{} has no access lists (RFC 3744)", session.client.base);
        return Ok(Err(Reason::Unsupported(what)));
    }
    let found = multistatus::look(&session.client, &there.url, "<D:acl/>")?;
    let Some(present) = found.as_ref().and_then(|found| found.prop(Ns::Dav, "acl")) else {
        let what = "the server does not show its access list, so a new one could take away what is in it";
        return Ok(Err(Reason::Unsupported(what.to_owned())));
    };
    let entries = match list(Owner::of(session), &there.url, Some(present), grants) {
        Ok(entries) => entries,
        Err(reason) => return Ok(Err(reason)),
    };
    let body = format!("{HEAD}<D:acl {NAMES}>{entries}</D:acl>");
    session.forget(&there.folder.key);
    let say = Say { method: "ACL", headers: &[("content-type", XML)], body: body.as_bytes() };
    let reply = session.client.send(&there.url, &say)?;
    Ok(match reply.status {
        200..=299 => {
            reply.finish();
            Ok(())
        }
        _ => Err(Reason::Refused(reply.words())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: &str = "<x><D:acl xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'>\
        <D:ace><D:principal><D:property><D:owner/></D:property></D:principal><D:grant><D:privilege><D:all/></D:privilege></D:grant>\
        <D:protected/></D:ace>\
        <D:ace><D:principal><D:self/></D:principal><D:grant><D:privilege><D:all/></D:privilege></D:grant></D:ace>\
        <D:ace><D:principal><D:href>/p/bob@a.test/</D:href></D:principal><D:grant><D:privilege><D:read/></D:privilege>\
        <D:privilege><C:read-free-busy/></D:privilege></D:grant></D:ace></D:acl></x>";

    fn present(text: &str) -> Node {
        let mut found = None;
        xml::read(text.as_bytes(), 1 << 20, &mut |node| {
            found = Some(node);
            Ok(())
        })
        .unwrap();
        found.unwrap()
    }

    fn url(path: &str) -> Url {
        Url::parse(&format!("https://dav.test{path}")).unwrap()
    }

    fn give(grantee: Grantee, rights: &str, negative: bool) -> Grant {
        Grant { grantee, rights: Rights::from_letters(rights), negative }
    }

    #[test]
    fn a_new_list_has_its_grants_and_keeps_what_is_no_grant() {
        let (own, home) = (url("/p/ann@a.test/"), url("/home/work/"));
        let owner = Owner { account: "ann@a.test", principal: Some(&own) };
        let present = present(PRESENT);
        assert_eq!(grants(owner, &home, &present), [give(Grantee::User("bob@a.test".into()), "lr", false)]);
        let mut wanted = [
            give(Grantee::User("bob@a.test".into()), "lrwite", false),
            give(Grantee::User("carl <c>@b.test".into()), "lri", false),
            give(Grantee::User("eve@a.test".into()), "lr", true),
            give(Grantee::Everyone, "lr", false),
        ];
        let text = list(owner, &home, Some(&present), &wanted).unwrap();
        insta::assert_snapshot!(text.replace("</D:ace>", "</D:ace>\n"), @r"
        <D:ace><D:principal><D:href>/p/eve@a.test/</D:href></D:principal><D:deny><D:privilege><D:read/></D:privilege></D:deny></D:ace>
        <D:ace><D:principal><D:href>/p/bob@a.test/</D:href></D:principal><D:grant><D:privilege><D:read/></D:privilege><D:privilege><D:write/></D:privilege><D:privilege><C:read-free-busy/></D:privilege></D:grant></D:ace>
        <D:ace><D:principal><D:href>/p/carl%20%3Cc%3E@b.test/</D:href></D:principal><D:grant><D:privilege><D:read/></D:privilege><D:privilege><D:bind/></D:privilege></D:grant></D:ace>
        <D:ace><D:principal><D:authenticated/></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace>
        <D:ace><D:principal><D:self/></D:principal><D:grant><D:privilege><D:all/></D:privilege></D:grant></D:ace>
        ");
        // What was written is what is read.
        wanted.sort();
        assert_eq!(grants(owner, &home, &self::present(&format!("<x><D:acl {NAMES}>{text}</D:acl></x>"))), wanted);
    }

    #[test]
    fn who_has_no_name_on_the_server_and_what_would_be_lost_is_told_before_anything_is_sent() {
        let (own, home) = (url("/p/ann/"), url("/home/work/"));
        let owner = Owner { account: "ann@a.test", principal: Some(&own) };
        let refused =
            |present: Option<&Node>, grant: Grant| list(owner, &home, present, &[grant]).unwrap_err().to_string();
        let bob = |domain: &str| Grantee::User(format!("bob@{domain}"));
        assert!(list(owner, &home, None, &[give(bob("a.test"), "lr", false)]).unwrap().contains("/p/bob/"));
        assert!(refused(None, give(bob("b.test"), "lr", false)).contains("nobody of another domain"));
        assert!(refused(None, give(Grantee::List("l@a.test".into()), "lr", false)).contains("no place for list"));
        assert!(refused(None, give(bob("a.test"), "ps", false)).contains("no word"));
        let strange = PRESENT.replace("<D:self/>", "<own xmlns='urn:else'/>");
        assert!(
            refused(Some(&present(&strange)), give(bob("a.test"), "lr", false)).contains("words of its server's own")
        );
    }
}
