//! A site's shares as they are: every folder with its access list, every mountpoint, and what a reference may refer to.
//!
//! Read from a living site or from a snapshot in an archive; both give the same type, so that they can be compared. What
//! cannot be read is listed, and nothing is concluded from its absence.

use super::SharesError;
use crate::archive::history::History;
use crate::event::{Event, Phase, Place, Rejection, Sink};
use crate::model::id::SiteId;
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::{Record, domain_of};
use crate::model::setting::{Setting, SettingKind};
use crate::model::share::{Grant, Grantee};
use crate::site::{Depth, FolderScan, Source};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The grantee's end of a share.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Mountpoint {
    /// Where it appears in the mailbox of its holder.
    pub at: FolderKey,
    pub owner: String,
    pub folder: FolderKey,
}

impl Mountpoint {
    /// The mountpoint that a setting is.
    pub fn of(setting: &Setting) -> Option<Self> {
        match setting {
            Setting::Mountpoint { at, owner, folder } => {
                Some(Self { at: at.clone(), owner: owner.clone(), folder: folder.clone() })
            }
            _ => None,
        }
    }

    pub fn setting(&self) -> Setting {
        Setting::Mountpoint { at: self.at.clone(), owner: self.owner.clone(), folder: self.folder.clone() }
    }
}

/// One account, as far as shares are concerned.
#[derive(Clone, Debug, Default)]
pub struct AccountView {
    pub groups: Vec<String>,
    pub cos: Option<String>,
    /// Every folder, with its access list.
    pub folders: BTreeMap<FolderKey, Vec<Grant>>,
    /// By place.
    pub mountpoints: BTreeMap<FolderKey, Mountpoint>,
    /// Something of it could not be read: a folder that is not here may be there.
    pub incomplete: bool,
}

/// A site's shares and all that they refer to.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub locator: String,
    /// The site's id in archives and maps, where it is known.
    pub site: Option<SiteId>,
    pub accounts: BTreeMap<String, AccountView>,
    /// Members as the site lists them.
    pub lists: BTreeMap<String, Vec<String>>,
    pub aliases: BTreeMap<String, Vec<String>>,
    pub domains: BTreeSet<String>,
    pub classes: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    pub rejected: Vec<Rejection>,
}

/// Reads every account's folders and mountpoints.
///
/// Trouble with one folder or account is a rejection; an interrupt ends it with [`SharesError::Interrupted`].
pub fn survey(site: &dyn Source, sink: &dyn Sink) -> Result<Survey, SharesError> {
    let found = site.provisioning()?;
    let description = site.describe()?;
    let mut survey = Survey {
        locator: description.locator,
        site: description.id,
        rejected: found.rejected.clone(),
        ..Survey::default()
    };
    found.records.iter().for_each(|found| survey.add_record(&found.record));
    let accounts: Vec<String> = survey.accounts.keys().cloned().collect();
    sink.emit(Event::PhaseStarted { phase: Phase::Check, total: Some(accounts.len() as u64) });
    for account in &accounts {
        if sink.interrupted() {
            return Err(SharesError::Interrupted);
        }
        survey.read_mailbox(site, account);
        sink.emit(Event::Advanced { phase: Phase::Check, items: 1, bytes: 0 });
    }
    sink.emit(Event::PhaseFinished { phase: Phase::Check });
    for rejection in &survey.rejected {
        sink.emit(Event::Rejected(rejection.clone()));
    }
    Ok(survey)
}

/// The shares of a source as a snapshot has them. Reads the manifests of every account.
pub fn survey_archive(history: &History<'_>, sink: &dyn Sink) -> Result<Survey, SharesError> {
    let (provisioning, _) = history.provisioning()?;
    let head = history.head();
    let mut survey = Survey { locator: head.locator.clone(), site: Some(head.source.clone()), ..Survey::default() };
    provisioning.records.values().for_each(|stored| survey.add_record(&stored.record));
    for (id, account) in provisioning.accounts() {
        if sink.interrupted() {
            return Err(SharesError::Interrupted);
        }
        let state = history.account(id)?;
        state.folders.values().for_each(|folder| {
            survey.add_folder(&account.address, &folder.key, &folder.grants);
        });
        state.settings.values().for_each(|setting| survey.add_setting(&account.address, setting));
    }
    Ok(survey)
}

impl Survey {
    /// Takes in a provisioning record; what shares never refer to is passed over.
    pub fn add_record(&mut self, record: &Record) {
        match record {
            Record::Settings(_) => {}
            Record::Domain(domain) => drop(self.domains.insert(domain.name.clone())),
            Record::Cos(cos) => drop(self.classes.insert(cos.name.clone())),
            Record::List(list) => drop(self.lists.insert(list.address.clone(), list.members.clone())),
            Record::Alias(alias) => drop(self.aliases.insert(alias.address.clone(), alias.targets.clone())),
            Record::Account(account) => {
                self.domains.insert(domain_of(&account.address).to_owned());
                self.classes.extend(account.cos.clone());
                self.groups.extend(account.groups.iter().cloned());
                let view = self.accounts.entry(account.address.clone()).or_default();
                view.groups.clone_from(&account.groups);
                view.cos.clone_from(&account.cos);
            }
        }
    }

    /// Takes in a folder with its access list.
    pub fn add_folder(&mut self, account: &str, key: &FolderKey, grants: &[Grant]) {
        self.accounts.entry(account.to_owned()).or_default().folders.insert(key.clone(), grants.to_vec());
    }

    /// Takes in a setting, where it is a mountpoint.
    pub fn add_setting(&mut self, account: &str, setting: &Setting) {
        if let Some(mountpoint) = Mountpoint::of(setting) {
            let view = self.accounts.entry(account.to_owned()).or_default();
            view.mountpoints.insert(mountpoint.at.clone(), mountpoint);
        }
    }

    fn read_mailbox(&mut self, site: &dyn Source, account: &str) {
        let scan = match site.mailbox(account) {
            Ok(scan) => scan,
            Err(error) => return self.reject(account, Place::account(account), &error),
        };
        scan.settings.iter().for_each(|setting| self.add_setting(account, setting));
        if !scan.rejected.is_empty() {
            self.accounts.entry(account.to_owned()).or_default().incomplete = true;
            self.rejected.extend(scan.rejected);
        }
        for found in &scan.folders {
            match site.folder(account, &found.key, None, Depth::Marks) {
                Ok(FolderScan::Listed(listing)) => self.add_folder(account, &found.key, &listing.folder.grants),
                // Without a mark nothing is unchanged; a connector that says so has told us nothing of the grants.
                Ok(FolderScan::Unchanged | FolderScan::Vanished) => {}
                Err(error) => self.reject(account, Place::folder(account, &found.key), &error),
            }
        }
    }

    fn reject(&mut self, account: &str, place: Place, error: &crate::site::SiteError) {
        self.accounts.entry(account.to_owned()).or_default().incomplete = true;
        self.rejected.push(Rejection { place, reason: error.as_reason() });
    }

    /// Folders with an access list, and mountpoints.
    pub fn counts(&self) -> (u64, u64) {
        let shared = self.accounts.values().flat_map(|view| view.folders.values()).filter(|grants| !grants.is_empty());
        let mountpoints = self.accounts.values().map(|view| view.mountpoints.len() as u64).sum();
        (shared.count() as u64, mountpoints)
    }

    /// The access list of a folder; empty where there is none.
    pub fn grants(&self, account: &str, folder: &FolderKey) -> &[Grant] {
        self.accounts.get(account).and_then(|view| view.folders.get(folder)).map_or(&[], Vec::as_slice)
    }

    /// Whether the folder is there, or may be there unseen.
    pub fn has_folder(&self, account: &str, folder: &FolderKey) -> bool {
        self.accounts.get(account).is_some_and(|view| view.incomplete || view.folders.contains_key(folder))
    }

    /// Whether a grantee refers to something that exists. A group is doubted only on a site that knows of any group:
    /// many keep their groups where this survey does not reach.
    pub fn has_grantee(&self, grantee: &Grantee) -> bool {
        match grantee {
            Grantee::User(who) => self.accounts.contains_key(who),
            Grantee::List(who) => self.lists.contains_key(who),
            Grantee::Domain(who) => self.domains.contains(who),
            Grantee::Cos(who) => self.classes.contains(who),
            Grantee::Group(who) => self.groups.is_empty() || self.groups.contains(who),
            Grantee::Everyone | Grantee::Public | Grantee::Guest(_) | Grantee::Owner => true,
        }
    }

    /// As [`Self::has_grantee`] under another name, where a list or an alias will do for a user as well.
    pub(super) fn has_name(&self, grantee: &Grantee, name: &str) -> bool {
        let user = matches!(grantee, Grantee::User(_));
        (user && (self.lists.contains_key(name) || self.aliases.contains_key(name)))
            || self.has_grantee(&super::known::renamed(grantee, name.to_owned()))
    }

    /// Every list with the accounts that it reaches, through lists and aliases within it, each once. A list that holds
    /// itself adds nothing.
    pub fn list_members(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        self.lists.keys().map(|list| (list.as_str(), self.reached_from(list))).collect()
    }

    fn reached_from<'a>(&'a self, list: &'a str) -> BTreeSet<&'a str> {
        let (mut seen, mut accounts, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![list]);
        while let Some(address) = open.pop() {
            if !seen.insert(address) {
                continue;
            }
            if let Some((account, _)) = self.accounts.get_key_value(address) {
                accounts.insert(account.as_str());
            } else if let Some(next) = self.lists.get(address).or_else(|| self.aliases.get(address)) {
                open.extend(next.iter().map(String::as_str));
            }
        }
        accounts
    }
}

/// What a mountpoint's key in a mailbox is.
pub(super) fn mountpoint_key(at: &FolderKey) -> crate::model::setting::SettingKey {
    (SettingKind::Mountpoint, at.to_string())
}
