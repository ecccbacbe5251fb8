//! The calls of [`Store`] on DAV.

use super::ahead::{self, Ahead};
use super::mark::Mark;
use super::members::{self, Look};
use super::{DavStore, collection, folders, items, lock, rights};
use crate::event::{Place, Reason, Rejection};
use crate::limits;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::share::Grant;
use crate::site::server::{Store, Survey};
use crate::site::{
    Content, Delivered, Delivery, Depth, FolderListing, FolderPut, FolderScan, FoundFolder, FoundItem, MailboxScan,
    Present, SiteError, StoredAs, UidsKept,
};
use std::sync::{Arc, Mutex};

impl Store for DavStore {
    fn kinds(&self) -> &'static [FolderKind] {
        &[FolderKind::Calendars, FolderKind::Contacts, FolderKind::Tasks]
    }

    fn locator(&self) -> String {
        self.url.to_string()
    }

    fn survey(&self, account: &str) -> Result<Survey, SiteError> {
        let session = self.session(account)?;
        let manner = session.manner()?;
        let mut survey = Survey { software: manner.software, capabilities: manner.features, ..Survey::default() };
        if session.calendars.is_none() {
            survey.cannot_give.push("calendars and tasks: it names no home of calendars".to_owned());
            survey.cannot_hold.push("calendars and tasks".to_owned());
        }
        if session.contacts.is_none() {
            survey.cannot_give.push("contacts: it names no home of address books".to_owned());
            survey.cannot_hold.push("contacts".to_owned());
        }
        if manner.unquiet && !self.scheduling_is_off {
            survey.cannot_hold.push("events with attendees: it would send invitations to them".to_owned());
        }
        let shares = match survey.capabilities.iter().any(|feature| feature == "access-control") {
            true => {
                "shares of calendars, tasks and contacts with groups, lists and domains, and those that its ACL refuses"
            }
            false => "shares of calendars, tasks and contacts",
        };
        survey.cannot_hold.push(shares.to_owned());
        survey.cannot_hold.push("the times of items: each counts as new on the day of its import".to_owned());
        let (mut items, mut bytes) = (0, 0);
        for collection in collection::list(&session)?.0 {
            let look = members::all(&session, &collection)?;
            items += look.members.len() as u64;
            bytes += look.members.values().filter_map(|member| member.size).sum::<u64>();
        }
        (survey.items, survey.bytes) = (Some(items), Some(bytes));
        Ok(survey)
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let session = self.session(account)?;
        let (collections, rejected) = collection::list(&session)?;
        let found = collections.iter().map(|one| FoundFolder { key: one.folder.key.clone(), ident: None });
        let folders = found.collect();
        *lock(&session.seen) = collections.into_iter().map(|one| (one.folder.key.clone(), one)).collect();
        Ok(MailboxScan { folders, rejected, ..MailboxScan::default() })
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        let session = self.session(account)?;
        let Some(collection) = collection::of(&session, key)? else { return Ok(FolderScan::Vanished) };
        let before = mark.filter(|_| depth == Depth::Marks).and_then(Mark::read);
        if before.as_ref().is_some_and(|before| before.holds(&collection)) {
            return Ok(FolderScan::Unchanged);
        }
        let known = before.as_ref().and_then(Mark::members);
        let token = before.as_ref().and_then(|before| before.token.as_deref());
        let later = match (token, &known) {
            (Some(token), Some(known)) => members::since(&session, &collection, token, known)?,
            _ => None,
        };
        let Look { members, token, strange } = later.map_or_else(|| members::all(&session, &collection), Ok)?;
        let present = Mark::of(&collection, token, &members);
        if before.as_ref() == Some(&present) {
            return Ok(FolderScan::Unchanged);
        }
        let known = known.unwrap_or_default();
        let ahead = Ahead::expect(&members, |name| {
            known.get(name).map(|member| member.version) != members.get(name).map(|member| member.version)
        });
        lock(&session.ahead).insert(key.clone(), Arc::new(Mutex::new(ahead)));
        let rejection = |path: &String| Rejection {
            place: Place::item(account, key, path),
            reason: Reason::Malformed("it is listed in the collection and does not lie there".to_owned()),
        };
        let item = |(name, member): (String, members::Member)| FoundItem {
            name,
            place: Vec::new(),
            flags: Flags::default(),
            keywords: Vec::new(),
            tags: Vec::new(),
            uid: None,
            uidl: None,
            version: member.version,
        };
        Ok(FolderScan::Listed(Box::new(FolderListing {
            rejected: strange.iter().map(rejection).collect(),
            mark: present.encode(),
            folder: collection.folder,
            items: members.into_iter().map(item).collect(),
            beside_unseen: false,
            subscription_unseen: false,
        })))
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        let session = self.session(account)?;
        let Some(url) = session.url_of(key) else { return Ok(Content::Vanished) };
        let ahead = Arc::clone(lock(&session.ahead).entry(key.clone()).or_default());
        // One thread fetches what several are about to ask for.
        let mut ahead = lock(&ahead);
        ahead.read(&session, &url, key.kind(), &item.name)
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
        folders::put(&*self.session(account)?, folder)
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        folders::rename(&*self.session(account)?, from, to)
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        folders::remove(&*self.session(account)?, key)
    }

    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Result<Result<(), Reason>, SiteError> {
        let session = self.session(account)?;
        match collection::of(&session, key)? {
            Some(there) => rights::put(&session, &there, grants),
            None => Ok(Err(Reason::Refused(format!("there is no {key}")))),
        }
    }

    fn reserve_names(&self, account: &str, key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        items::reserve(&*self.session(account)?, key, wanted)
    }

    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        Ok((self.deliver_items(&*self.session(account)?, key, batch)?, UidsKept::Yes))
    }

    /// Cyrus folds long lines of events anew, Radicale puts properties in another order; others convert cards.
    fn stored_as(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<StoredAs>>, SiteError> {
        let session = self.session(account)?;
        match session.url_of(key) {
            Some(url) => {
                let stored = ahead::stored(&session, &url, key.kind(), names)?;
                let as_they_are = |object: Option<_>| object.map(|object| StoredAs { object, by_server: true });
                Ok(stored.into_iter().map(as_they_are).collect())
            }
            None => Ok(vec![None; names.len()]),
        }
    }

    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        items::settle(&*self.session(account)?, key, names)
    }

    fn set_flags(&self, account: &str, key: &FolderKey, name: &str, _: Flags, _: &[String]) -> Result<bool, SiteError> {
        // Items of a collection have no flags; that it is there is all that can be told.
        let settled = self.settle(account, key, &[name.to_owned()])?;
        Ok(settled.iter().any(Option::is_some))
    }

    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        if from.kind() != to.kind() {
            return Err(SiteError::Unsupported(format!("{account}: {name} cannot move from {from} to {to}")));
        }
        items::relocate(&*self.session(account)?, from, name, to)
    }

    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        let session = self.session(account)?;
        let Delivery { name, content, .. } = delivery;
        let outcome = match content.whole(limits::DAV_RESOURCE_BYTES) {
            Ok(bytes) => self.replace(&session, key, &name, &bytes)?,
            Err(reason) => Err(reason),
        };
        outcome.map_err(SiteError::Refused)
    }

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        items::remove(&*self.session(account)?, key, name)
    }
}
