//! Provisioning: accounts, domains, aliases and lists of a directory site, changed together.
//!
//! Promises: `etc/passwd`, `etc/virtual_domains`, `etc/virtual_alias` and `etc/virtual_mailbox` are each replaced once a
//! call, and only when they change; what others wrote in them stays. A new account's mailbox is there before its line is,
//! so that mail is taken from the first moment on. What cannot stand in these files is refused, never written damaged.

use super::super::passwd_file;
use super::super::postfix;
use super::super::site_db_write::{self as db, SiteDbWrite};
use super::hand::{Hand, PUBLIC, Sync};
use super::place::{AccountPlace, split_address};
use super::text_edit::{TextFile, map_value};
use crate::db::DbError;
use crate::event::Reason;
use crate::model::provisioning::{Account, Alias, DistributionList, Domain, Record, RecordKind, domain_of};
use crate::site::{RecordChange, SiteError};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Mode of `etc/passwd`: it holds password hashes.
const PASSWD_MODE: u32 = 0o640;

/// The files of `etc/`, being changed.
pub struct Provisioning<'a> {
    hand: &'a Hand,
    root: &'a Path,
    passwd: TextFile,
    domains: TextFile,
    aliases: TextFile,
    /// Every account once more, for Postfix: it refuses unknown addresses by this file, for it cannot read `passwd`.
    mailboxes: TextFile,
}

fn paths(root: &Path) -> [PathBuf; 4] {
    ["passwd", "virtual_domains", "virtual_alias", "virtual_mailbox"].map(|name| root.join("etc").join(name))
}

impl<'a> Provisioning<'a> {
    /// Reads the files as they are now.
    pub fn read(hand: &'a Hand, root: &'a Path) -> Result<Self, SiteError> {
        let [passwd, domains, aliases, mailboxes] = paths(root);
        let bytes = |path: &Path| Ok::<_, SiteError>(hand.read(path)?.unwrap_or_default());
        Ok(Self {
            hand,
            root,
            passwd: TextFile::of_passwd(&bytes(&passwd)?),
            domains: TextFile::of_map(&bytes(&domains)?),
            aliases: TextFile::of_map(&bytes(&aliases)?),
            mailboxes: TextFile::of_map(&bytes(&mailboxes)?),
        })
    }

    /// Applies the changes to the mailboxes and to the files as they are in memory. One outcome for each.
    pub fn apply(&mut self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            outcomes.push(match change {
                RecordChange::Put { record, was } => self.put(record, was.as_deref())?,
                RecordChange::Remove { record } => self.remove(record)?,
            });
        }
        self.keep_accounts_beneath_catch_alls();
        self.name_mailboxes();
        Ok(outcomes)
    }

    /// Writes what has changed: accounts last, so that whoever can log in can also get mail.
    pub fn save(&self) -> Result<(), SiteError> {
        let [passwd, domains, aliases, mailboxes] = paths(self.root);
        self.hand.make_dir(&self.root.join("etc"), 0o755)?;
        self.hand.update(&domains, &self.domains.encode(), PUBLIC)?;
        self.hand.update(&aliases, &self.aliases.encode(), PUBLIC)?;
        self.hand.update(&mailboxes, &self.mailboxes.encode(), PUBLIC)?;
        self.hand.update(&passwd, &self.passwd.encode(), PASSWD_MODE)?;
        Ok(())
    }

    fn put(&mut self, record: &Record, was: Option<&str>) -> Result<Result<(), Reason>, SiteError> {
        let was = was.filter(|was| *was != record.key());
        Ok(match record {
            Record::Account(account) => return self.put_account(account, was),
            Record::Domain(domain) => self.put_domain(domain, was),
            Record::List(list) => self.put_list(list, was),
            Record::Alias(alias) => self.put_alias(alias, was),
            Record::Cos(_) | Record::Settings(_) => Ok(()),
        })
    }

    fn put_account(&mut self, account: &Account, was: Option<&str>) -> Result<Result<(), Reason>, SiteError> {
        let place = match AccountPlace::of(self.root, &account.address) {
            Ok(place) => place,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some(why) = passwd_file::refusal(account) {
            return Ok(Err(Reason::Refused(why.to_owned())));
        }
        if let Some(was) = was
            && let Ok(before) = AccountPlace::of(self.root, was)
        {
            for (from, to) in [(&before.home, &place.home), (&before.dav, &place.dav)] {
                if let Err(reason) = self.move_dir(from, to)? {
                    return Ok(Err(reason));
                }
            }
            self.remove_identity_line(was);
            self.mailboxes.remove(was);
        }
        make_mailbox(self.hand, &place)?;
        let line = passwd_file::encode_line(account);
        match was {
            Some(was) => self.passwd.rename(was, &account.address, &line),
            None => self.set_passwd(&account.address, &line),
        }
        Ok(Ok(()))
    }

    /// Leaves a line alone that says the same in other words.
    fn set_passwd(&mut self, address: &str, line: &str) {
        let present = self.passwd.get(address).and_then(|text| std::str::from_utf8(text.trim_ascii_end()).ok());
        let same = present.and_then(|text| passwd_file::parse_line(text).ok()) == passwd_file::parse_line(line).ok();
        if !same {
            self.passwd.set(address, line);
        }
    }

    /// Moves a mailbox to its new address. That it has moved already is fine; two of them are not.
    fn move_dir(&self, from: &Path, to: &Path) -> Result<Result<(), Reason>, SiteError> {
        if !self.hand.is_dir(from)? {
            return Ok(Ok(()));
        }
        if self.hand.is_dir(to)? {
            return Ok(Err(Reason::Refused(format!("{} and {} both exist", from.display(), to.display()))));
        }
        let above = to.parent().unwrap_or(self.root);
        self.hand.make_dir(above, 0o755)?;
        self.hand.rename(from, to)?;
        Ok(Ok(()))
    }

    fn put_domain(&mut self, domain: &Domain, was: Option<&str>) -> Result<(), Reason> {
        // The domain of an account has to be a folder's name as well.
        split_address(&format!("x@{}", domain.name))?;
        for address in domain.catch_all.iter().chain(domain.alias_of.iter()) {
            check_address(address)?;
        }
        check_address(&domain.name)?;
        let key = format!("@{}", domain.name);
        if let Some(was) = was {
            self.domains.rename(was, &domain.name, &format!("{}\tOK", domain.name));
            self.aliases.remove(&format!("@{was}"));
        } else if self.domains.get(&domain.name).is_none() {
            self.domains.set(&domain.name, &format!("{}\tOK", domain.name));
        }
        let targets = match &domain.alias_of {
            Some(original) => vec![format!("@{original}")],
            None => domain.catch_all.clone(),
        };
        self.set_alias(&key, &targets);
        Ok(())
    }

    fn put_list(&mut self, list: &DistributionList, was: Option<&str>) -> Result<(), Reason> {
        check_address(&list.address)?;
        list.members.iter().chain(&list.owners).try_for_each(|address| check_address(address))?;
        self.aliases_rename(was);
        self.set_alias(&list.address, &list.members);
        Ok(())
    }

    fn put_alias(&mut self, alias: &Alias, was: Option<&str>) -> Result<(), Reason> {
        check_address(&alias.address)?;
        alias.targets.iter().try_for_each(|address| check_address(address))?;
        if alias.targets.is_empty() {
            return Err(Reason::Refused("an alias map has no place for an alias without a target".to_owned()));
        }
        self.aliases_rename(was);
        self.set_alias(&alias.address, &alias.targets);
        Ok(())
    }

    fn aliases_rename(&mut self, was: Option<&str>) {
        if let Some(was) = was {
            self.aliases.remove(was);
        }
    }

    /// Makes these the targets of a key; without any the key goes. A line that says the same stays as it is spelled.
    fn set_alias(&mut self, key: &str, targets: &[String]) {
        if targets.is_empty() {
            return self.aliases.remove(key);
        }
        let line = format!("{key}\t{}", targets.join(", "));
        let spelled = |map: &TextFile| map_value(map, key).map(|value| words(&value));
        if spelled(&self.aliases) != Some(words(&targets.join(", "))) {
            self.aliases.set(key, &line);
        }
    }

    fn remove(&mut self, record: &Record) -> Result<Result<(), Reason>, SiteError> {
        match record {
            Record::Account(account) => {
                let place = match AccountPlace::of(self.root, &account.address) {
                    Ok(place) => place,
                    Err(reason) => return Ok(Err(reason)),
                };
                self.put_aside(&account.address, &place)?;
                self.passwd.remove(&account.address);
                self.remove_identity_line(&account.address);
                self.mailboxes.remove(&account.address);
            }
            Record::Domain(domain) => {
                self.domains.remove(&domain.name);
                self.aliases.remove(&format!("@{}", domain.name));
            }
            Record::List(list) => self.aliases.remove(&list.address),
            Record::Alias(alias) => self.aliases.remove(&alias.address),
            Record::Cos(_) | Record::Settings(_) => {}
        }
        Ok(Ok(()))
    }

    /// A removed account's mail is not deleted but moved to `.wagon/removed`, from where an administrator can take it.
    fn put_aside(&self, address: &str, place: &AccountPlace) -> Result<(), SiteError> {
        for (kind, from) in [("mail", &place.home), ("dav", &place.dav)] {
            if !self.hand.is_dir(from)? {
                continue;
            }
            let above = self.root.join(".wagon").join("removed").join(kind);
            self.hand.make_dir(&above, 0o700)?;
            let mut to = above.join(address);
            let mut count = 1;
            while self.hand.stat(&to)?.is_some() {
                count += 1;
                to = above.join(format!("{address}.{count}"));
            }
            self.hand.rename(from, &to)?;
        }
        Ok(())
    }

    fn remove_identity_line(&mut self, address: &str) {
        if map_value(&self.aliases, address).as_deref() == Some(address) {
            self.aliases.remove(address);
        }
    }

    /// A catch-all also takes the mail of the accounts beneath it, unless each has a line of its own (virtual(5)).
    fn keep_accounts_beneath_catch_alls(&mut self) {
        let caught: HashSet<&str> = self.aliases.keys().filter_map(|key| key.strip_prefix('@')).collect();
        let in_need = |address: &&str| caught.contains(domain_of(address)) && self.aliases.get(address).is_none();
        for address in self.accounts_where(in_need) {
            self.aliases.set(&address, &format!("{address}\t{address}"));
        }
    }

    /// Gives every account its line in the map of mailboxes, those too that others wrote into `passwd`.
    fn name_mailboxes(&mut self) {
        for address in self.accounts_where(|address| self.mailboxes.get(address).is_none()) {
            self.mailboxes.set(&address, &format!("{address}\tOK"));
        }
    }

    /// The accounts that a map has a place for and `wanted` says yes to, sorted.
    fn accounts_where(&self, wanted: impl Fn(&&str) -> bool) -> Vec<String> {
        let has_place = |address: &&str| postfix::refusal(address).is_none();
        let mut found: Vec<String> = self.passwd.keys().filter(has_place).filter(wanted).map(str::to_owned).collect();
        found.sort_unstable();
        found
    }
}

/// Makes the empty mailbox of an account: it takes mail at once. Without a UID list, so that the data import may still
/// bring the source's UIDs.
pub fn make_mailbox(hand: &Hand, place: &AccountPlace) -> Result<(), SiteError> {
    hand.make_dir(&place.home, 0o700)?;
    make_maildir(hand, &place.maildir())
}

/// Makes the three directories of a Maildir folder; `cur` last, because a folder without it is none.
pub fn make_maildir(hand: &Hand, dir: &Path) -> Result<(), SiteError> {
    hand.make_dir(dir, 0o700)?;
    for sub in ["tmp", "new", "cur"] {
        hand.make_dir(&dir.join(sub), 0o700)?;
    }
    Ok(())
}

/// A line that Dovecot and Courier make to tell a folder from the mailbox itself.
pub fn make_folder_mark(hand: &Hand, dir: &Path) -> Result<(), SiteError> {
    let mark = dir.join("maildirfolder");
    if hand.stat(&mark)?.is_none() {
        hand.put(&mark, b"", 0o600, Sync::Nothing)?;
    }
    Ok(())
}

fn check_address(address: &str) -> Result<(), Reason> {
    match postfix::refusal(address) {
        Some(why) => Err(Reason::Refused(format!("{address}: {why}"))),
        None => Ok(()),
    }
}

fn words(value: &str) -> Vec<String> {
    value.split([',', ' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// What the files cannot hold of the changes that were applied, in one transaction.
pub fn save_rows(site: &SiteDbWrite, changes: &[RecordChange], outcomes: &[Result<(), Reason>]) -> Result<(), DbError> {
    site.write(|tx| {
        for (change, _) in changes.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()) {
            let (record, was) = match change {
                RecordChange::Remove { record } => {
                    db::remove_record(tx, record.kind(), record.key())?;
                    continue;
                }
                RecordChange::Put { record, was } => (record, was.as_deref().filter(|was| *was != record.key())),
            };
            db::keep_record(tx, record.kind(), record.key(), was)?;
            if let Some(was) = was {
                match record.kind() {
                    RecordKind::Account => db::rename_account(tx, was, record.key())?,
                    kind => db::remove_record(tx, kind, was)?,
                }
            }
            match record {
                Record::Settings(settings) => db::put_settings(tx, &settings.name, &settings.attributes)?,
                Record::Domain(domain) => db::put_domain(tx, &domain.name, &domain.attributes)?,
                Record::Cos(cos) => db::put_cos(tx, cos)?,
                Record::Account(account) => {
                    let name = account.name.as_deref().filter(|name| !passwd_file::holds_name(name));
                    let groups: Vec<&str> =
                        account.groups.iter().map(String::as_str).filter(|g| !passwd_file::holds_group(g)).collect();
                    db::put_account(tx, account, name, &groups)?;
                }
                Record::List(list) => db::put_list(tx, list)?,
                Record::Alias(alias) => db::put_alias(tx, alias)?,
            }
        }
        Ok(())
    })
}

/// Whether the folder at `dir` is a Maildir folder.
pub fn is_maildir(hand: &Hand, dir: &Path) -> Result<bool, SiteError> {
    hand.is_dir(&dir.join("cur"))
}
