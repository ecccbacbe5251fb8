//! Plans for accounts: their entries, where their mail goes, what answers for them, the groups that count them.

use super::change::{Change, Part};
use super::entry::{Entry, EntryKind};
use super::mapping::{AccountMap, Making};
use super::plan::{Plan, no_place, refuse_address, set, swap};
use super::{dn, value};
use crate::event::Reason;
use crate::model::provisioning::{Account, AccountClass, AccountStatus};
use crate::model::setting::Setting;

impl Plan<'_> {
    pub fn put_account(&mut self, account: &Account, key: &str) -> Result<(), Reason> {
        refuse_address(&account.address)?;
        let known = self.index.account(key).or_else(|| self.index.account(&account.address)).cloned();
        let name = match known {
            Some(name) => self.change_account(account, &name)?,
            None => self.make_account(account)?,
        };
        self.count_to_groups(account, &name)
    }

    fn make_account(&mut self, account: &Account) -> Result<String, Reason> {
        let map = &self.mapping().account;
        let fill = |template: &str| fill(template, account);
        let (dn, named) = self.free_name(&map.new, &fill, &|_| false)?;
        let mut entry = Entry { dn: dn.clone(), ..Entry::default() };
        entry.change("objectClass", &[], &map.new.classes);
        entry.change(&map.new.rdn, &[], &[named]);
        let address = map.address.first().ok_or_else(|| no_place("addresses"))?;
        entry.change(address, &[], std::slice::from_ref(&account.address));
        for part in self.account_parts(&entry, account)? {
            let held = entry.all(&part.attribute).to_vec();
            let add: Vec<_> = part.add.iter().filter(|value| !held.contains(value)).cloned().collect();
            entry.change(&part.attribute, &part.delete, &add);
        }
        for (attribute, template) in &map.new.with {
            if entry.all(attribute).is_empty() {
                entry.change(attribute, &[], &fill(template).into_iter().collect::<Vec<_>>());
            }
        }
        let values = in_order(entry, &map.new.classes);
        self.step(Change::Add { dn: dn.clone(), values }, &[EntryKind::Account], false);
        Ok(dn::normal(&dn))
    }

    fn change_account(&mut self, account: &Account, name: &str) -> Result<String, Reason> {
        let map = &self.mapping().account;
        let Some(entry) = self.tree.copy(name) else { return Ok(name.to_owned()) };
        let was = self.index.addresses.get(name).cloned().unwrap_or_default();
        let mut parts = self.account_parts(&entry, account)?;
        let mut name = name.to_owned();
        if *was != *account.address {
            let attribute = map.address.iter().find(|attribute| !entry.all(attribute).is_empty());
            let attribute = attribute.ok_or_else(|| no_place("addresses"))?.clone();
            let lower_case = self.mapping().lower_case;
            let is_old = |text: &&String| value::address(text, lower_case).as_deref() == Some(&*was);
            let delete: Vec<_> = entry.all(&attribute).iter().filter(is_old).cloned().collect();
            parts.push(Part { attribute, delete, add: vec![account.address.clone()] });
            if let Some(rdn) = self.renamed(&map.new, &entry, account, &was)? {
                self.rename(&name, &rdn);
                name = dn::normal(&dn::below(&rdn, dn::parent(&entry.dn)));
            }
        }
        self.modify(&name, parts, false);
        Ok(name)
    }

    /// The entry's new name, where its old one was made of the old address.
    fn renamed(&self, making: &Making, entry: &Entry, account: &Account, was: &str) -> Result<Option<String>, Reason> {
        let before = Account { address: was.to_owned(), attributes: Default::default(), ..account.clone() };
        let own = dn::parse(&entry.dn).and_then(|parts| parts.into_iter().next()).unwrap_or_default();
        let Some((_, value)) = own.iter().find(|(name, _)| name.eq_ignore_ascii_case(&making.rdn)) else {
            return Ok(None);
        };
        let value = String::from_utf8_lossy(value).to_lowercase();
        let of_address = |template: &&String| fill(template, &before).is_some_and(|old| old.to_lowercase() == value);
        let Some(template) = making.names.iter().find(of_address) else { return Ok(None) };
        let after = Account { attributes: Default::default(), ..account.clone() };
        let place = dn::parent(&entry.dn);
        let candidates = std::iter::once(template).chain(&making.names).filter_map(|template| fill(template, &after));
        for value in candidates {
            let rdn = dn::rdn(&making.rdn, &value);
            let dn = dn::below(&rdn, place);
            if dn::normal(&dn) == dn::normal(&entry.dn) || self.tree.get(&dn).is_none() {
                return Ok(Some(rdn));
            }
        }
        Ok(None)
    }

    /// What has to change for an entry to say what the record says. Only what differs in meaning is touched.
    fn account_parts(&self, entry: &Entry, account: &Account) -> Result<Vec<Part>, Reason> {
        let map = &self.mapping().account;
        let (now, _) = self.reader().account(entry, &account.address);
        let mut parts = self.attribute_parts(entry, &account.attributes, &map.attributes)?;
        if now.name != account.name {
            // A common name has to stay, so the name of a person who has only that goes to the first place for names; and a
            // person without a name keeps it.
            let of_person = |attribute: &&String| !attribute.eq_ignore_ascii_case("cn");
            let held = map.name.iter().find(|attribute| !entry.all(attribute).is_empty()).filter(of_person);
            match held.or(map.name.first()) {
                Some(attribute) if of_person(&attribute) => {
                    parts.extend(swap(entry, attribute, now.name.as_ref(), account.name.as_ref()));
                }
                None if account.name.is_some() => return Err(no_place("names of persons")),
                _ => {}
            }
        }
        if let Some(attribute) = &map.password {
            let wanted = account.password.as_ref().map(value::encode_password);
            let held = wanted.as_ref().is_some_and(|wanted| entry.all(attribute).contains(wanted));
            if now.password != account.password && !held {
                parts.extend(set(entry, attribute, &wanted.into_iter().collect::<Vec<_>>()));
            }
        } else if account.password.is_some() {
            return Err(no_place("passwords"));
        }
        self.plain_parts(map, entry, (&now, account), &mut parts)?;
        Ok(parts)
    }

    fn plain_parts(
        &self,
        map: &AccountMap,
        entry: &Entry,
        (now, account): (&Account, &Account),
        parts: &mut Vec<Part>,
    ) -> Result<(), Reason> {
        let one = |text: &str| vec![text.to_owned()];
        if now.quota_bytes != account.quota_bytes {
            let quota = map.quota.as_ref().ok_or_else(|| no_place("quotas"))?;
            let text = account.quota_bytes.map(|bytes| value::encode_quota(bytes, quota));
            parts.extend(set(entry, &quota.attribute, &text.into_iter().collect::<Vec<_>>()));
        }
        if now.status != account.status {
            let status = map.status.as_ref().ok_or_else(|| no_place("locked and closed accounts"))?;
            let word =
                value::encode_status(account.status, status).ok_or_else(|| no_place("locked and closed accounts"))?;
            let shown = value::status(Some(word), status).unwrap_or_default();
            if shown != now.status || entry.first(&status.attribute).is_none() {
                parts.extend(set(entry, &status.attribute, &one(word)));
            }
        } else if account.status == AccountStatus::Active {
            // A new entry says that it is active where the book has a word for that.
            let status =
                map.status.as_ref().filter(|status| entry.id.is_none() && entry.all(&status.attribute).is_empty());
            let word = status.and_then(|status| Some((status, value::encode_status(AccountStatus::Active, status)?)));
            if let Some((status, word)) = word.filter(|_| !self.tree.has(&dn::normal(&entry.dn))) {
                parts.extend(set(entry, &status.attribute, &one(word)));
            }
        }
        if now.cos != account.cos {
            let attribute = map.class_of_service.as_ref().ok_or_else(|| no_place("classes of service"))?;
            parts.extend(set(entry, attribute, &account.cos.iter().cloned().collect::<Vec<_>>()));
        }
        if now.class != account.class {
            let kind = map.kind.as_ref().ok_or_else(|| no_place("rooms and equipment"))?;
            let word = match account.class {
                AccountClass::User => Vec::new(),
                AccountClass::Location => one(&kind.location),
                AccountClass::Equipment => one(&kind.equipment),
            };
            parts.extend(set(entry, &kind.attribute, &word));
        }
        Ok(())
    }

    /// Where an account's mail goes; only its mailbox where `targets` is empty.
    pub fn set_forward(&mut self, name: &str, address: &str, targets: &[String]) -> Result<(), Reason> {
        let keep = targets.is_empty() || targets.iter().any(|target| target == address);
        let others: Vec<_> = targets.iter().filter(|target| *target != address).cloned().collect();
        let Some(entry) = self.tree.copy(name) else { return Ok(()) };
        let Some(map) = &self.mapping().account.forward else {
            return if others.is_empty() { Ok(()) } else { Err(no_place("forwarding")) };
        };
        if self.reader().forward(&entry, address).map(|now| now.targets).unwrap_or_default() == sorted(targets) {
            return Ok(());
        }
        let Some(attribute) = map.attributes.first() else { return Err(no_place("forwarding")) };
        let mut parts: Vec<_> = map.attributes.iter().skip(1).filter_map(|more| set(&entry, more, &[])).collect();
        parts.extend(set(&entry, attribute, &others));
        match &map.options {
            Some(options) => {
                let mut words = entry.all(options).to_vec();
                words.retain(|word| !word.eq_ignore_ascii_case(&map.forward) && !word.eq_ignore_ascii_case(&map.keep));
                if !others.is_empty() {
                    words.push(map.forward.clone());
                }
                if keep && (!words.is_empty() || !others.is_empty()) {
                    words.push(map.keep.clone());
                }
                parts.extend(set(&entry, options, &words));
            }
            None if !keep && map.no_copy.is_none() => return Err(no_place("forwarding without a copy in the mailbox")),
            None => {}
        }
        if let Some(attribute) = &map.no_copy {
            let word = if keep { Vec::new() } else { vec!["TRUE".to_owned()] };
            parts.extend(set(&entry, attribute, &word));
        }
        self.modify(name, parts, false);
        Ok(())
    }

    /// Sets or removes what answers for an account.
    pub fn set_vacation(&mut self, address: &str, vacation: Option<&Setting>) -> Result<(), Reason> {
        let Some(map) = &self.mapping().account.vacation else {
            return Err(no_place("answers to whoever writes meanwhile"));
        };
        let name = self.index.account(address).cloned();
        let name = name.ok_or_else(|| Reason::Refused(format!("there is no account {address}")))?;
        let Some(entry) = self.tree.copy(&name) else { return Ok(()) };
        let (text, enabled) = match vacation {
            Some(Setting::Vacation { subject, attributes, .. }) if !subject.is_empty() || !attributes.is_empty() => {
                return Err(no_place("the subject and the times of an answer"));
            }
            Some(Setting::Vacation { enabled, text, .. }) => (Some(text.clone()), *enabled),
            _ => (None, false),
        };
        let mut parts: Vec<_> = set(&entry, &map.text, &text.into_iter().collect::<Vec<_>>()).into_iter().collect();
        if let Some(options) = map.enabled.as_ref().filter(|_| !map.word.is_empty()) {
            let mut words = entry.all(options).to_vec();
            words.retain(|word| !word.eq_ignore_ascii_case(&map.word));
            let keep =
                self.mapping().account.forward.as_ref().filter(|forward| forward.options.as_ref() == Some(options));
            // Without any word everything holds, so a text that is not sent needs another one.
            if let Some(keep) = keep.filter(|_| words.is_empty()).map(|forward| forward.keep.clone()) {
                words.push(keep);
            }
            if enabled {
                words.push(map.word.clone());
            }
            parts.extend(set(&entry, options, &words));
        }
        // An answer without times is sent at any.
        for attribute in map.from.iter().chain(&map.until) {
            parts.extend(set(&entry, attribute, &[]));
        }
        self.modify(&name, parts, false);
        Ok(())
    }

    fn count_to_groups(&mut self, account: &Account, name: &str) -> Result<(), Reason> {
        // Whom a list has as members, the list tells.
        let is_list = |group: &String| self.index.groups.get(group).is_some_and(|at| self.tree.is(at, EntryKind::List));
        let Some(entry) = self.tree.copy(name) else { return Ok(()) };
        let now = self.index.groups_of(&entry).into_iter().filter(|group| !is_list(group));
        let now: Vec<String> = now.collect();
        let wanted: Vec<_> = sorted(&account.groups).into_iter().filter(|group| !is_list(group)).collect();
        if now == wanted {
            return Ok(());
        }
        let map = self.mapping().group.as_ref().ok_or_else(|| no_place("groups"))?;
        let dn = entry.dn;
        let attribute = map.members.first().ok_or_else(|| no_place("groups"))?;
        for group in wanted.iter().filter(|group| !now.contains(group)) {
            if let Some(at) = self.index.groups.get(group).cloned() {
                let held = self.tree.at(&at).and_then(|at| map.members.iter().find(|held| !at.all(held).is_empty()));
                let attribute = held.unwrap_or(attribute).clone();
                let member = self.as_member(&attribute, name, &dn);
                self.modify(&at, vec![Part { attribute, delete: Vec::new(), add: vec![member] }], false);
            } else if map.new.classes.is_empty() {
                return Err(no_place(&format!("the group {group}, which is not there")));
            } else {
                let member = self.as_member(attribute, name, &dn);
                let values = vec![
                    ("objectClass".to_owned(), map.new.classes.clone()),
                    (map.name.clone(), vec![group.clone()]),
                    (attribute.clone(), vec![member]),
                ];
                let at = dn::below(&dn::rdn(&map.new.rdn, group), &self.place(&map.new));
                self.step(Change::Add { dn: at, values }, &[EntryKind::Group], false);
            }
        }
        for group in now.iter().filter(|group| !wanted.contains(group)) {
            let Some(at) = self.index.groups.get(group).cloned() else { continue };
            let Some(entry) = self.tree.copy(&at) else { continue };
            let mut parts = Vec::new();
            for attribute in &map.members {
                let member = dn::normal(&self.as_member(attribute, name, &dn));
                let held = entry.all(attribute);
                let delete: Vec<_> = held.iter().filter(|text| dn::normal(text) == member).cloned().collect();
                let last = map.never_empty && delete.len() == held.len();
                let add = if last { vec![self.options.base.clone()] } else { Vec::new() };
                if !delete.is_empty() {
                    parts.push(Part { attribute: attribute.clone(), delete, add });
                }
            }
            self.modify(&at, parts, false);
        }
        Ok(())
    }

    /// A member of a group as the attribute has it: by its name, or its user name.
    fn as_member(&self, attribute: &str, name: &str, dn: &str) -> String {
        let by_user = attribute.eq_ignore_ascii_case("memberUid");
        let user = self.tree.at(name).filter(|_| by_user).and_then(|entry| entry.first("uid").map(str::to_owned));
        user.unwrap_or_else(|| dn.to_owned())
    }
}

fn sorted(values: &[String]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort();
    values.dedup();
    values
}

/// The values of a new entry, its classes first, as people write it.
pub fn in_order(entry: Entry, classes: &[String]) -> Vec<(String, Vec<String>)> {
    let mut values = vec![("objectClass".to_owned(), classes.to_vec())];
    values.extend(entry.values.into_iter().filter(|(name, _)| name != "objectclass"));
    values
}

/// A template of the mapping filled in; `None` where something in it is not there.
fn fill(template: &str, account: &Account) -> Option<String> {
    let (local, domain) = account.address.rsplit_once('@').unwrap_or((&account.address, ""));
    let name = account.name.as_deref().unwrap_or(local);
    let surname = || {
        let known = account.attributes.get("ldap.sn").and_then(|text| value::split(text).into_iter().next());
        known.unwrap_or_else(|| name.rsplit(' ').next().unwrap_or(name).to_owned())
    };
    fill_with(template, &|word| match word {
        "address" => Some(account.address.clone()),
        "local" => Some(local.to_owned()),
        "domain" => Some(domain.to_owned()),
        "name" => Some(name.to_owned()),
        "surname" => Some(surname()),
        other => account.attributes.get(other).and_then(|text| value::split(text).into_iter().next()),
    })
}

/// Replaces each `{word}` by what it stands for.
pub fn fill_with(template: &str, word: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&word(name)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
