//! Plans for distribution lists.

use super::change::{Change, Part};
use super::entry::{Entry, EntryKind};
use super::mapping::ListMap;
use super::plan::{Plan, no_place, refuse_address, set, swap};
use super::plan_account::{fill_with, in_order};
use super::{dn, value};
use crate::event::Reason;
use crate::model::provisioning::DistributionList;
use std::borrow::Cow;
use std::collections::BTreeSet;

impl Plan<'_> {
    pub fn put_list(&mut self, list: &DistributionList, key: &str) -> Result<(), Reason> {
        refuse_address(&list.address)?;
        let map = self.mapping().list.as_ref().ok_or_else(|| no_place("distribution lists"))?;
        match self.index.list(key).or_else(|| self.index.list(&list.address)).cloned() {
            Some(name) => self.change_list(map, list, &name),
            None => self.make_list(map, list),
        }
    }

    fn make_list(&mut self, map: &ListMap, list: &DistributionList) -> Result<(), Reason> {
        let (local, domain) = list.address.rsplit_once('@').unwrap_or((&list.address, ""));
        let fill = |template: &str| {
            fill_with(template, &|word| match word {
                "address" => Some(list.address.clone()),
                "local" => Some(local.to_owned()),
                "domain" => Some(domain.to_owned()),
                "name" => Some(list.name.clone().unwrap_or_else(|| local.to_owned())),
                other => list.attributes.get(other).cloned(),
            })
        };
        // A group of that name without an address is this list: accounts that are counted to it came before.
        let may_become =
            |entry: &Entry| entry.is(EntryKind::Group) && !entry.is(EntryKind::List) && !entry.is(EntryKind::Account);
        let (dn, named) = self.free_name(&map.new, &fill, &may_become)?;
        let address = map.address.first().ok_or_else(|| no_place("addresses"))?;
        if let Some(group) = self.tree.get(&dn).map(Cow::into_owned) {
            let mut parts = Vec::new();
            let classes: Vec<_> = map.new.classes.iter().filter(|class| !group.has_class(class)).cloned().collect();
            if !classes.is_empty() {
                parts.push(Part { attribute: "objectClass".to_owned(), delete: Vec::new(), add: classes });
            }
            parts.extend(set(&group, address, std::slice::from_ref(&list.address)));
            parts.extend(self.list_parts(map, &group, list)?);
            let parts: Vec<_> = parts.into_iter().filter(|part| part.delete != part.add).collect();
            let kinds = [EntryKind::List, EntryKind::Group];
            self.step(Change::Modify { dn: group.dn.clone(), parts }, &kinds, false);
            return Ok(());
        }
        let mut entry = Entry { dn: dn.clone(), ..Entry::default() };
        entry.change(&map.new.rdn, &[], &[named]);
        entry.change(address, &[], std::slice::from_ref(&list.address));
        for part in self.list_parts(map, &entry, list)? {
            let held = entry.all(&part.attribute).to_vec();
            let add: Vec<_> = part.add.iter().filter(|value| !held.contains(value)).cloned().collect();
            entry.change(&part.attribute, &part.delete, &add);
        }
        for (attribute, template) in &map.new.with {
            if entry.all(attribute).is_empty() {
                entry.change(attribute, &[], &fill(template).into_iter().collect::<Vec<_>>());
            }
        }
        let is_group = self.mapping().group.is_some() && map.member_entry.is_some();
        let kinds: &[EntryKind] = if is_group { &[EntryKind::List, EntryKind::Group] } else { &[EntryKind::List] };
        self.step(Change::Add { dn, values: in_order(entry, &map.new.classes) }, kinds, false);
        Ok(())
    }

    fn change_list(&mut self, map: &ListMap, list: &DistributionList, name: &str) -> Result<(), Reason> {
        let Some(entry) = self.tree.copy(name) else { return Ok(()) };
        let was = self.index.addresses.get(name).cloned().unwrap_or_default();
        let mut parts = self.list_parts(map, &entry, list)?;
        let mut name = name.to_owned();
        if *was != *list.address {
            let attribute = map.address.iter().find(|attribute| !entry.all(attribute).is_empty());
            let attribute = attribute.ok_or_else(|| no_place("addresses"))?.clone();
            let lower_case = self.mapping().lower_case;
            let is_old = |text: &&String| value::address(text, lower_case).as_deref() == Some(&*was);
            let delete: Vec<_> = entry.all(&attribute).iter().filter(is_old).cloned().collect();
            parts.push(Part { attribute, delete, add: vec![list.address.clone()] });
            let local =
                |address: &str| address.rsplit_once('@').map_or(address.to_owned(), |(local, _)| local.to_owned());
            for (old, new) in [(local(&was), local(&list.address)), (was.to_string(), list.address.clone())] {
                let old = dn::below(&dn::rdn(&map.new.rdn, &old), dn::parent(&entry.dn));
                let rdn = dn::rdn(&map.new.rdn, &new);
                let new = dn::below(&rdn, dn::parent(&entry.dn));
                if dn::normal(&old) == name && self.tree.get(&new).is_none() {
                    self.rename(&name, &rdn);
                    name = dn::normal(&new);
                    break;
                }
            }
        }
        self.modify(&name, parts, false);
        Ok(())
    }

    /// What has to change for an entry to say what the list says.
    fn list_parts(&self, map: &ListMap, entry: &Entry, list: &DistributionList) -> Result<Vec<Part>, Reason> {
        let (now, _) = self.reader().list(map, entry, &list.address);
        let mut parts = self.attribute_parts(entry, &list.attributes, &map.attributes)?;
        if now.name != list.name {
            match map.name.first() {
                Some(attribute) => parts.extend(swap(entry, attribute, now.name.as_ref(), list.name.as_ref())),
                None => return Err(no_place("names of lists")),
            }
        }
        let wanted: BTreeSet<&String> = list.members.iter().collect();
        let is_empty = map.never_empty && map.members.iter().all(|attribute| entry.all(attribute).is_empty());
        if now.members.iter().collect::<BTreeSet<_>>() != wanted || is_empty {
            parts.extend(self.member_parts(map, entry, &wanted)?);
        }
        if now.owners.iter().collect::<BTreeSet<_>>() != list.owners.iter().collect() {
            let attribute = map.owners.as_ref().ok_or_else(|| no_place("owners of lists"))?;
            let mut owners = Vec::new();
            for owner in &list.owners {
                let name = self.index.holder(owner).and_then(|name| self.tree.at(name));
                let name = name.ok_or_else(|| no_place(&format!("the owner {owner}, who has no entry")))?;
                owners.push(name.dn.clone());
            }
            parts.extend(set(entry, attribute, &owners));
        }
        Ok(parts)
    }

    /// Members by their entry where they have one, else by their address. Values that lead to a member that stays, and
    /// those that lead nowhere, are left as they stand.
    fn member_parts(&self, map: &ListMap, entry: &Entry, wanted: &BTreeSet<&String>) -> Result<Vec<Part>, Reason> {
        let reader = self.reader();
        let mut left = wanted.clone();
        let mut parts: Vec<Part> = Vec::new();
        for attribute in &map.members {
            let mut delete = Vec::new();
            for text in entry.all(attribute) {
                match reader.address_of(text) {
                    Some(member) if wanted.contains(&member) => {
                        left.remove(&member);
                    }
                    Some(_) => delete.push(text.clone()),
                    None => {}
                }
            }
            if !delete.is_empty() {
                parts.push(Part { attribute: attribute.clone(), delete, add: Vec::new() });
            }
        }
        let mut add = |attribute: &str, value: String| match parts.iter_mut().find(|part| part.attribute == attribute) {
            Some(part) => part.add.push(value),
            None => parts.push(Part { attribute: attribute.to_owned(), delete: Vec::new(), add: vec![value] }),
        };
        for member in left {
            let found =
                self.index.holder(member).and_then(|name| self.tree.at(name)).filter(|found| found.dn != entry.dn);
            match (&map.member_entry, found, &map.member_address) {
                (Some(attribute), Some(found), _) => {
                    // A group that has its members as unique ones goes on so.
                    let kept = map
                        .members
                        .iter()
                        .find(|held| !entry.all(held).is_empty() && held.to_lowercase().ends_with("member"));
                    add(kept.unwrap_or(attribute), found.dn.clone());
                }
                (_, _, Some(attribute)) => add(attribute, member.clone()),
                _ => return Err(no_place(&format!("the member {member}, which has no entry"))),
            }
        }
        if let Some(attribute) = map.member_entry.as_ref().filter(|_| map.never_empty) {
            let held = entry.all(attribute).len();
            let (going, coming) = parts
                .iter()
                .find(|part| part.attribute == *attribute)
                .map_or((0, 0), |part| (part.delete.len(), part.add.len()));
            if held + coming == going && entry.all("uniqueMember").is_empty() {
                let base = self.options.base.clone();
                match parts.iter_mut().find(|part| part.attribute == *attribute) {
                    Some(part) => part.add.push(base),
                    None => parts.push(Part { attribute: attribute.clone(), delete: Vec::new(), add: vec![base] }),
                }
            }
        }
        Ok(parts)
    }
}
