//! Making, describing, renaming and removing collections.
//!
//! A collection has one name below its home, and calendars and lists of tasks share a home: where the wanted name has
//! several levels, is another kind's, or is refused, a name like it is taken, always the same for the same folder.

use super::client::{Say, to_its_end};
use super::collection::{self, Collection};
use super::members;
use super::multistatus::{self, HEAD, NAMES, Outcome, XML};
use super::scheduling::ASLEEP;
use super::session::Session;
use super::{href, lock, xml};
use crate::event::Reason;
use crate::limits;
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
                let lost = describe(session, &there, folder)?;
                return Ok(Ok(FolderPut { key, created: false, lost }));
            }
            Some(_) => {}
            None => match make(session, &url, folder)? {
                Ok(lost) => return Ok(Ok(FolderPut { key, created: true, lost })),
                Err(reason) => {
                    // A first try may have made it, and its answer was lost: then the others met it.
                    if let Some(there) = collection::at(session, &url)?.filter(|there| there.folder.key.kind() == kind)
                    {
                        let lost = describe(session, &there, folder)?;
                        let created = members::all(session, &there)?.members.is_empty();
                        return Ok(Ok(FolderPut { key, created, lost }));
                    }
                    refused.get_or_insert(reason);
                }
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

/// Makes a collection with its properties; one that will not have them is made without. Gives what it does not say of
/// itself then.
fn make(session: &Session, url: &Url, folder: &Folder) -> Result<Result<Vec<String>, Reason>, SiteError> {
    let described: String = said(folder).filter_map(|(_, set)| set).collect();
    let set = |names: &[&str]| -> String {
        let names: String = names.iter().map(|name| format!("<C:comp name=\"{name}\"/>")).collect();
        format!("<C:supported-calendar-component-set>{names}</C:supported-calendar-component-set>")
    };
    let taken = components(folder);
    let usual: Vec<&str> = taken.iter().copied().filter(|name| EVENTS_AND_MORE.contains(name)).collect();
    let book = "<D:resourcetype><D:collection/><R:addressbook/></D:resourcetype>".to_owned();
    let calendar = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>".to_owned();
    // A server that wants events and tasks apart gets one of them alone.
    let attempts = match folder.key.kind() {
        FolderKind::Contacts => vec![("MKCOL", format!("{book}{described}")), ("MKCOL", book)],
        FolderKind::Tasks => {
            vec![
                ("MKCALENDAR", format!("{described}{}", set(&taken))),
                ("MKCOL", format!("{calendar}{described}{}", set(&taken))),
                ("MKCALENDAR", set(&["VTODO"])),
            ]
        }
        _ => {
            vec![
                ("MKCALENDAR", format!("{described}{}", set(&taken))),
                ("MKCOL", format!("{calendar}{described}{}", set(&taken))),
                ("MKCALENDAR", format!("{described}{}", set(&usual))),
                ("MKCALENDAR", format!("{described}{}", set(&["VEVENT"]))),
                ("MKCALENDAR", set(&usual)),
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
                if at == 0 {
                    return Ok(Ok(Vec::new()));
                }
                // What it would not have at once it may have now; a collection without a colour is one all the same.
                let there = collection::at(session, url)?;
                return Ok(Ok(there.map(|there| describe(session, &there, folder)).transpose()?.unwrap_or_default()));
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

/// What every server of calendars knows (RFC 5545).
const EVENTS_AND_MORE: [&str; 3] = ["VEVENT", "VTODO", "VJOURNAL"];

/// The components that a calendar is to take: those that its source takes, as long as they leave it a folder of its kind.
/// Where nothing is said, one of events may have tasks and journals in it as well.
fn components(folder: &Folder) -> Vec<&str> {
    let names = folder.components.as_deref().unwrap_or_default().split(' ');
    let names: Vec<&str> = names.filter(|name| collection::is_component(name)).take(limits::DAV_COMPONENTS).collect();
    let has = |wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    match folder.key.kind() {
        FolderKind::Tasks if has("VTODO") && !has("VEVENT") => names,
        FolderKind::Tasks => vec!["VTODO"],
        _ if names.is_empty() || (has("VTODO") && !has("VEVENT")) => EVENTS_AND_MORE.to_vec(),
        _ => names,
    }
}

/// A sentence where a calendar is told to take components, and takes fewer: that cannot be changed once it is there.
fn refused_components(there: &Folder, folder: &Folder) -> Option<String> {
    folder.components.as_ref()?;
    let takes: Vec<&str> = there.components.as_deref()?.split(' ').collect();
    let mut missing = components(folder);
    missing.retain(|name| !takes.iter().any(|taken| taken.eq_ignore_ascii_case(name)));
    (!missing.is_empty()).then(|| format!("takes {} on the target, not {}", takes.join(", "), missing.join(", ")))
}

/// The names of the properties that a folder of a kind can have.
fn names_of(kind: FolderKind) -> [&'static str; 4] {
    match kind {
        FolderKind::Contacts => ["D:displayname", "I:addressbook-color", "R:addressbook-description", ""],
        _ => ["D:displayname", "A:calendar-color", "C:calendar-description", "A:calendar-order"],
    }
}

/// What a folder says of itself: the property's name, and its whole element where it has a value.
fn said(folder: &Folder) -> impl Iterator<Item = (&'static str, Option<String>)> {
    let Folder { title, color, description, order, .. } = folder;
    let element = |(name, value): (&'static str, &Option<String>)| {
        let value = value.as_deref().map(|value| format!("<{name}>{}</{name}>", xml::escape(value)));
        (!name.is_empty()).then_some((name, value))
    };
    names_of(folder.key.kind()).into_iter().zip([title, color, description, order]).filter_map(element)
}

/// Brings what a collection says of itself up to date, property by property. Gives a sentence for each that the server
/// refuses: the collection takes items all the same.
fn describe(session: &Session, there: &Collection, folder: &Folder) -> Result<Vec<String>, SiteError> {
    let mut lost: Vec<String> = refused_components(&there.folder, folder).into_iter().collect();
    for ((name, wanted), (_, present)) in said(folder).zip(said(&there.folder)) {
        if wanted == present {
            continue;
        }
        let change = match wanted {
            Some(element) => format!("<D:set><D:prop>{element}</D:prop></D:set>"),
            None => format!("<D:remove><D:prop><{name}/></D:prop></D:remove>"),
        };
        let body = format!("{HEAD}<D:propertyupdate {NAMES}>{change}</D:propertyupdate>");
        let say = Say { method: "PROPPATCH", headers: &[("content-type", XML)], body: body.as_bytes() };
        // What was set or removed can be so once more.
        let (outcome, done) = to_its_end(|| {
            let mut done = false;
            let mut take = |resource: multistatus::Resource| {
                done |= !resource.props.is_empty() || resource.status.is_some_and(|status| status < 300);
                Ok(())
            };
            Ok((multistatus::ask(&session.client, &there.url, &say, &mut take)?, done))
        })?;
        let words = match outcome {
            Outcome::Done { .. } if done => continue,
            Outcome::Status(200 | 204, _) => continue,
            Outcome::Done { .. } => "the server does not let it be changed".to_owned(),
            Outcome::Status(_, words) => words,
        };
        let name = name.rsplit(':').next().unwrap_or(name);
        lost.push(format!("keeps its {name} as it was on the target: {words}"));
    }
    Ok(lost)
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
    let is_done = match reply.status {
        ..300 => true,
        // A first try may have moved it, and its answer was lost: then the second one met it.
        _ if reply.repeated => collection::at(session, &old)?.is_none() && collection::at(session, &new)?.is_some(),
        _ => false,
    };
    Ok(if is_done { Ok(()) } else { Err(Reason::Refused(reply.words())) })
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

    #[test]
    fn a_calendar_takes_what_its_source_takes_and_stays_of_its_kind() {
        let folder = |kind, said: &str| Folder {
            components: (!said.is_empty()).then(|| said.to_owned()),
            ..Folder::at(FolderKey::new(kind, "work").unwrap())
        };
        let cases = [
            (FolderKind::Calendars, "", "VEVENT VTODO VJOURNAL"),
            (FolderKind::Calendars, "VEVENT", "VEVENT"),
            (FolderKind::Calendars, "VJOURNAL", "VJOURNAL"),
            (FolderKind::Calendars, "VTODO", "VEVENT VTODO VJOURNAL"),
            (FolderKind::Calendars, "VEVENT \"/><x/> VTODO", "VEVENT VTODO"),
            (FolderKind::Tasks, "VEVENT VTODO", "VTODO"),
            (FolderKind::Tasks, "VJOURNAL VTODO", "VJOURNAL VTODO"),
        ];
        for (kind, said, expected) in cases {
            assert_eq!(components(&folder(kind, said)).join(" "), expected, "{kind:?} {said:?}");
        }
        let (less, more) = (folder(FolderKind::Calendars, "VEVENT"), folder(FolderKind::Calendars, "VEVENT VTODO"));
        assert_eq!(refused_components(&less, &more).unwrap(), "takes VEVENT on the target, not VTODO");
        assert_eq!(refused_components(&more, &less), None);
    }
}
