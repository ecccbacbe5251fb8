//! The calls of [`Store`] on ManageSieve.

use super::scripts::Listed;
use super::{FOLDER, SieveStore, lock, names};
use crate::event::{Place, Reason, Rejection};
use crate::limits;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::share::Grant;
use crate::site::server::{Store, Survey};
use crate::site::{
    Content, Delivered, Delivery, Depth, FolderListing, FolderPut, FolderScan, FoundFolder, FoundItem, MailboxScan,
    Present, SiteError, UidsKept,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a look at the scripts gave: the next one compares with it.
#[derive(PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Mark {
    /// Another form of mark says nothing.
    v: u8,
    active: Option<String>,
    scripts: BTreeMap<String, Seen>,
}

/// One script: hash of its bytes, and when it was first seen so, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Seen {
    hash: u64,
    since: i64,
}

const MARK_VERSION: u8 = 1;

impl Store for SieveStore {
    fn kinds(&self) -> &'static [FolderKind] {
        &[FolderKind::Filters]
    }

    fn locator(&self) -> String {
        self.endpoint.to_string()
    }

    fn survey(&self, account: &str) -> Result<Survey, SiteError> {
        let listed = self.with(account, |scripts| scripts.list())?;
        // The connection that listed them is waiting, and knows what the server can do.
        let mut survey = Survey { items: Some(listed.names.len() as u64), ..Survey::default() };
        if let Some(capabilities) = self.pool.capabilities(account) {
            survey.software = capabilities.get("IMPLEMENTATION").cloned();
            let line = |(name, value): (&String, &String)| format!("{name} {value}").trim_end().to_owned();
            survey.capabilities = capabilities.iter().map(line).collect();
        }
        survey.cannot_give.push("the times of scripts: each counts as changed when it is first seen".to_owned());
        survey.cannot_hold.push("scripts that its compiler refuses, and the times of scripts".to_owned());
        Ok(survey)
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let listed = self.with(account, |scripts| scripts.list())?;
        let exists = !listed.names.is_empty() || !listed.unreadable.is_empty() || lock(&self.made).contains(account);
        let folders = exists.then(|| FoundFolder { key: key(), ident: None }).into_iter().collect();
        Ok(MailboxScan { folders, ..MailboxScan::default() })
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        _depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        if *key != self::key() {
            return Ok(FolderScan::Vanished);
        }
        let (listed, found) = self.with(account, |scripts| {
            let listed = scripts.list()?;
            let mut found = BTreeMap::new();
            for name in &listed.names {
                if let Some(bytes) = scripts.get(name)? {
                    found.insert(name.clone(), hash(&bytes));
                }
            }
            Ok((listed, found))
        })?;
        let before: Mark = mark.and_then(|mark| serde_json::from_slice(mark).ok()).unwrap_or_default();
        let now = now();
        let since = |name: &String, hash: u64| match before.scripts.get(name) {
            Some(seen) if seen.hash == hash => seen.since,
            _ => now,
        };
        let scripts: BTreeMap<_, _> =
            found.into_iter().map(|(name, hash)| (name.clone(), Seen { hash, since: since(&name, hash) })).collect();
        let present = Mark { v: MARK_VERSION, active: listed.active.clone(), scripts };
        if mark.is_some() && before == present {
            return Ok(FolderScan::Unchanged);
        }
        Ok(FolderScan::Listed(Box::new(listing(account, &listed, &present))))
    }

    fn read(&self, account: &str, _key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        let date = <[u8; 8]>::try_from(item.place.as_slice()).map_or_else(|_| now(), i64::from_le_bytes);
        let bytes = self.with(account, |scripts| scripts.get(&item.name))?;
        Ok(bytes.map_or(Content::Vanished, |bytes| Content::Bytes { bytes, date }))
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
        if folder.key != key() {
            return Ok(Err(only_one(&folder.key)));
        }
        let (outcome, created) = self.with(account, |scripts| {
            let listed = scripts.list()?;
            let outcome = match listed.active == folder.active {
                true => Ok(()),
                false => scripts.activate(folder.active.as_deref())?,
            };
            Ok((outcome, listed.names.is_empty()))
        })?;
        Ok(outcome.map(|()| {
            let new = lock(&self.made).insert(account.to_owned());
            FolderPut { key: key(), created: created && new, lost: Vec::new() }
        }))
    }

    fn rename_folder(&self, _: &str, _: &FolderKey, to: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        Ok(Err(only_one(to)))
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        let listed = self.with(account, |scripts| scripts.list())?;
        if !listed.names.is_empty() {
            return Ok(Err(Reason::Refused(format!("{key} is not empty"))));
        }
        lock(&self.made).remove(account);
        Ok(Ok(()))
    }

    fn put_grants(&self, _: &str, _: &FolderKey, grants: &[Grant]) -> Result<Result<(), Reason>, SiteError> {
        Ok(match grants {
            [] => Ok(()),
            _ => Err(Reason::Unsupported("scripts are their owner's alone".to_owned())),
        })
    }

    fn reserve_names(&self, account: &str, _: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        let listed = self.with(account, |scripts| scripts.list())?;
        Ok(names::reserve(wanted, &listed.names))
    }

    fn deliver(
        &self,
        account: &str,
        _: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        let mut wanted = Vec::new();
        for delivery in batch {
            wanted.push((delivery.name, delivery.content.whole(limits::SIEVE_SCRIPT_BYTES)));
        }
        let outcomes = self.with(account, |scripts| {
            let listed = scripts.list()?;
            let mut outcomes = Vec::new();
            for (name, bytes) in &wanted {
                let bytes = match bytes {
                    Ok(bytes) => bytes,
                    Err(reason) => {
                        outcomes.push(Delivered::Rejected(reason.clone()));
                        continue;
                    }
                };
                // One that is there is this very script, delivered before a crash, or somebody's own.
                let there = if listed.has(name) { scripts.get(name)? } else { None };
                let outcome = match there {
                    Some(there) if there == *bytes => Ok(()),
                    Some(_) => Err(Reason::Refused(format!("a script called {name:?} was made there meanwhile"))),
                    None => scripts.put(name, bytes)?,
                };
                outcomes.push(outcome.map_or_else(Delivered::Rejected, |()| Delivered::Done { uid: None }));
            }
            Ok(outcomes)
        })?;
        Ok((outcomes, UidsKept::Yes))
    }

    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        let listed = self.with(account, |scripts| scripts.list())?;
        let found = |name: &String| {
            let there = || Present { key: key.clone(), name: name.clone(), flags: Flags::default(), keywords: vec![] };
            listed.has(name).then(there)
        };
        Ok(names.iter().map(found).collect())
    }

    fn set_flags(&self, account: &str, _: &FolderKey, name: &str, _: Flags, _: &[String]) -> Result<bool, SiteError> {
        // A script has no flags; that it is there is all that can be told.
        Ok(self.with(account, |scripts| scripts.list())?.has(name))
    }

    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        Err(SiteError::Unsupported(format!("{account}: {name} cannot move from {from} to {to}")))
    }

    fn replace_item(&self, account: &str, _: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        let Delivery { name, content, .. } = delivery;
        let bytes = content.whole(limits::SIEVE_SCRIPT_BYTES).map_err(SiteError::Refused)?;
        let outcome = self.with(account, |scripts| match scripts.list()?.has(&name) {
            true => scripts.put(&name, &bytes).map(Some),
            false => Ok(None),
        })?;
        match outcome {
            Some(Ok(())) => Ok(true),
            Some(Err(reason)) => Err(SiteError::Refused(reason)),
            None => Ok(false),
        }
    }

    fn remove_item(&self, account: &str, _: &FolderKey, name: &str) -> Result<bool, SiteError> {
        // A first try may have deleted it, and its answer was lost.
        let mut asked = false;
        self.with(account, |scripts| {
            let listed = scripts.list()?;
            // RFC 5804 2.10: the active script cannot be deleted.
            if listed.active.as_deref() == Some(name)
                && let Err(reason) = scripts.activate(None)?
            {
                return Err(SiteError::Server { server: self.locator(), what: format!("{account}: {reason}") });
            }
            if !listed.has(name) {
                return Ok(asked);
            }
            asked = true;
            scripts.delete(name)
        })
    }
}

/// The one folder that there is.
fn key() -> FolderKey {
    // The path is our own and follows the rules of paths.
    FolderKey::new(FolderKind::Filters, FOLDER).unwrap_or_else(|_| FolderKey::inbox())
}

fn only_one(key: &FolderKey) -> Reason {
    Reason::BadName(format!("a server has one folder of scripts, {FOLDER}, and none called {}", key.path()))
}

fn listing(account: &str, listed: &Listed, present: &Mark) -> FolderListing {
    let item = |(name, seen): (&String, &Seen)| FoundItem {
        name: name.clone(),
        place: seen.since.to_le_bytes().to_vec(),
        flags: Flags::default(),
        keywords: Vec::new(),
        tags: Vec::new(),
        uid: None,
        uidl: None,
        version: seen.hash,
    };
    let rejection = |name: &String| Rejection {
        place: Place::item(account, &key(), name),
        reason: Reason::BadName("its name is not UTF-8, and nobody can ask for it".to_owned()),
    };
    FolderListing {
        folder: Folder { active: listed.active.clone(), ..Folder::at(key()) },
        items: present.scripts.iter().map(item).collect(),
        rejected: listed.unreadable.iter().map(rejection).collect(),
        beside_unseen: false,
        subscription_unseen: false,
        // An empty mark is never trusted.
        mark: serde_json::to_vec(present).unwrap_or_default(),
    }
}

/// Never 0, which would say that the content cannot change.
fn hash(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}
