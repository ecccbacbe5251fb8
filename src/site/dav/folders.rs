//! Making, describing, renaming and removing collections.
//!
//! A collection has one name below its home, and calendars and lists of tasks share a home: where the wanted name has several
//! levels, is another kind's, or is refused, a name like it is taken, always the same for the same folder.

use super::client::Say;
use super::collection::{self, Collection};
use super::members;
use super::multistatus::{self, HEAD, NAMES, Outcome, XML};
use super::scheduling::ASLEEP;
use super::session::Session;
use super::{href, lock, xml};
use crate::event::Reason;
use crate::model::hex;
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::site::{FolderPut, SiteError};
use sha2::{Digest, Sha256};
use url::Url;

/// Makes a folder or brings the description of one that is there up to date.
pub fn put(session: &Session, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
    let kind = folder.key.kind();
    let Some(home) = session.home_of(kind) else {
        let why = format!("{} has no place for {}", session.client.base, kind.word());
        return Ok(Err(Reason::Unsupported(why)));
    };
    let mut refused = None;
    for name in names(&folder.key) {
        let Ok(key) = FolderKey::new(kind, &name) else { continue };
        let url = href::below(home, &name, true);
        session.forget(&key);
        match collection::at(session, &url)? {
            Some(there) if there.folder.key.kind() == kind => {
                let described = describe(session, &there, folder)?;
                return Ok(described.map(|()| FolderPut { key, created: false, lost: Vec::new() }));
            }
            Some(_) => {}
            None => match make(session, &url, folder)? {
                Ok(()) => return Ok(Ok(FolderPut { key, created: true, lost: Vec::new() })),
                Err(reason) => drop(refused.get_or_insert(reason)),
            },
        }
    }
    let taken = || Reason::BadName(format!("every name like {} is taken there", folder.key.path()));
    Ok(Err(refused.unwrap_or_else(taken)))
}

/// Names for a folder, the best first.
fn names(key: &FolderKey) -> Vec<String> {
    let path = key.path();
    let digest: [u8; 32] = Sha256::digest(path.as_bytes()).into();
    let id = hex::encode(digest.get(..4).unwrap_or_default());
    let slug: String = path.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(100).collect();
    let ascii: String = slug.chars().map(|c| if c.is_ascii() { c } else { '-' }).collect();
    let (kind, mut names) = (key.kind().word(), Vec::new());
    if key.levels().count() == 1 {
        names.push(path.to_owned());
        names.push(format!("{path}-{kind}"));
    }
    names.push(format!("{slug}-{id}"));
    names.push(format!("{ascii}-{kind}-{id}"));
    names.dedup();
    names
}

/// Makes a collection with its description; one that will not have the description is made without.
fn make(session: &Session, url: &Url, folder: &Folder) -> Result<Result<(), Reason>, SiteError> {
    let described: String = properties(folder).into_iter().map(|(_, set)| set).collect();
    let components = |names: &[&str]| -> String {
        let names: String = names.iter().map(|name| format!("<C:comp name=\"{name}\"/>")).collect();
        format!("<C:supported-calendar-component-set>{names}</C:supported-calendar-component-set>")
    };
    let book = "<D:resourcetype><D:collection/><R:addressbook/></D:resourcetype>".to_owned();
    let calendar = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>".to_owned();
    // A folder of events may have tasks and journals in it as well; a server that wants them apart gets events alone.
    let attempts = match folder.key.kind() {
        FolderKind::Contacts => vec![("MKCOL", format!("{book}{described}")), ("MKCOL", book)],
        FolderKind::Tasks => {
            let tasks = components(&["VTODO"]);
            vec![
                ("MKCALENDAR", format!("{described}{tasks}")),
                ("MKCOL", format!("{calendar}{described}{tasks}")),
                ("MKCALENDAR", tasks),
            ]
        }
        _ => {
            let all = components(&["VEVENT", "VTODO", "VJOURNAL"]);
            vec![
                ("MKCALENDAR", format!("{described}{all}")),
                ("MKCOL", format!("{calendar}{described}{all}")),
                ("MKCALENDAR", format!("{described}{}", components(&["VEVENT"]))),
                ("MKCALENDAR", all),
            ]
        }
    };
    let mut refused = String::new();
    for (at, (method, props)) in attempts.iter().enumerate() {
        let root = if *method == "MKCOL" { "D:mkcol" } else { "C:mkcalendar" };
        let body = format!("{HEAD}<{root} {NAMES}><D:set><D:prop>{props}</D:prop></D:set></{root}>");
        let say = Say { method, headers: &[("content-type", XML)], body: body.as_bytes() };
        let reply = session.client.send(url, &say)?;
        match reply.status {
            200 | 201 => {
                reply.finish();
                if at > 0
                    && let Some(there) = collection::at(session, url)?
                {
                    // What it would not have at once it may have now; a collection without a colour is one all the same.
                    let _ = describe(session, &there, folder)?;
                }
                return Ok(Ok(()));
            }
            _ => {
                let words = reply.words();
                if refused.is_empty() {
                    refused = words;
                }
            }
        }
    }
    Ok(Err(Reason::Refused(refused)))
}

/// The properties that a folder has, each with its name and its whole element.
fn properties(folder: &Folder) -> Vec<(&'static str, String)> {
    let element = |name: &'static str, value: &Option<String>| {
        let value = value.as_deref().map(xml::escape)?;
        Some((name, format!("<{name}>{value}</{name}>")))
    };
    let title = element(TITLE, &folder.title);
    title.into_iter().chain(element(color_of(folder.key.kind()), &folder.color)).collect()
}

const TITLE: &str = "D:displayname";

fn color_of(kind: FolderKind) -> &'static str {
    match kind {
        FolderKind::Contacts => "I:addressbook-color",
        _ => "A:calendar-color",
    }
}

/// Sets title and colour of a collection where they differ.
fn describe(session: &Session, there: &Collection, folder: &Folder) -> Result<Result<(), Reason>, SiteError> {
    let wanted = properties(folder);
    let present = properties(&there.folder);
    for name in [TITLE, color_of(folder.key.kind())] {
        let of = |all: &[(&str, String)]| all.iter().find(|(one, _)| *one == name).map(|(_, set)| set.clone());
        let (wanted, present) = (of(&wanted), of(&present));
        if wanted == present {
            continue;
        }
        let change = match wanted {
            Some(element) => format!("<D:set><D:prop>{element}</D:prop></D:set>"),
            None => format!("<D:remove><D:prop><{name}/></D:prop></D:remove>"),
        };
        let body = format!("{HEAD}<D:propertyupdate {NAMES}>{change}</D:propertyupdate>");
        let say = Say { method: "PROPPATCH", headers: &[("content-type", XML)], body: body.as_bytes() };
        let mut done = false;
        let mut take = |resource: multistatus::Resource| {
            done |= !resource.props.is_empty() || resource.status.is_some_and(|status| status < 300);
            Ok(())
        };
        match multistatus::ask(&session.client, &there.url, &say, &mut take)? {
            Outcome::Done { .. } if done => {}
            Outcome::Done { .. } => return Ok(Err(Reason::Refused(format!("it does not let {name} be changed")))),
            Outcome::Status(200 | 204, _) => {}
            Outcome::Status(_, words) => return Ok(Err(Reason::Refused(words))),
        }
    }
    Ok(Ok(()))
}

/// Renames a collection with everything in it.
pub fn rename(session: &Session, from: &FolderKey, to: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
    let bad = || Reason::BadName(format!("a folder cannot be called {to} here"));
    if from.kind() != to.kind() || to.levels().count() != 1 {
        return Ok(Err(bad()));
    }
    let (Some(old), Some(new)) = (session.url_of(from), session.url_of(to)) else { return Ok(Err(bad())) };
    let (there, taken) = (collection::of(session, from)?, collection::at(session, &new)?);
    if taken.is_some() {
        let why = format!("{from}: a folder of the new name exists");
        return Ok(if there.is_some() { Err(Reason::Refused(why)) } else { Ok(()) });
    }
    for key in [from, to] {
        session.forget(key);
        lock(&session.taken).remove(key);
    }
    let headers = [ASLEEP[0], ASLEEP[1], ("destination", new.as_str()), ("overwrite", "F")];
    let reply = session.client.send(&old, &Say { method: "MOVE", headers: &headers, body: b"" })?;
    Ok(if reply.status < 300 { Ok(()) } else { Err(Reason::Refused(reply.words())) })
}

/// Removes a collection that holds nothing.
pub fn remove(session: &Session, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
    let Some(collection) = collection::of(session, key)? else { return Ok(Ok(())) };
    if !members::all(session, &collection)?.members.is_empty() {
        return Ok(Err(Reason::Refused(format!("{key} is not empty"))));
    }
    session.forget(key);
    let reply = session.client.send(&collection.url, &Say { method: "DELETE", headers: &ASLEEP, body: b"" })?;
    Ok(match reply.status {
        200..=299 | 404 | 410 => Ok(()),
        _ => Err(Reason::Refused(reply.words())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_name_of_one_level_always_the_same() {
        let key = |path: &str| FolderKey::new(FolderKind::Tasks, path).unwrap();
        assert_eq!(names(&key("work"))[..2], ["work", "work-tasks"]);
        let deep = names(&key("team/a b"));
        assert!(deep.iter().all(|name| !name.contains('/')) && deep[0].starts_with("team-a-b-"), "{deep:?}");
        assert_ne!(deep, names(&key("team/a-b")));
        assert!(names(&key("Büro")).iter().any(|name| name.is_ascii()));
    }
}
