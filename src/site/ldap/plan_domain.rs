//! Plans for domains and classes of service.

use super::change::{Change, Part};
use super::dn;
use super::entry::{EntryKind, Name};
use super::plan::{Plan, no_place, set};
use crate::event::Reason;
use crate::model::provisioning::{ClassOfService, Domain};

impl Plan<'_> {
    pub fn put_domain(&mut self, domain: &Domain, key: &str) -> Result<(), Reason> {
        let Some(map) = &self.mapping().domain else {
            let plain = domain.alias_of.is_none() && domain.catch_all.is_empty();
            // Addresses imply their domain.
            return if plain { Ok(()) } else { Err(no_place("alias domains and catch-all addresses")) };
        };
        let name = domain.name.as_str();
        let known = self.domain_entry(key);
        if let Some(of) = &domain.alias_of {
            let of = self
                .domain_entry(of)
                .ok_or_else(|| Reason::Refused(format!("there is no domain {of} that {name} could repeat")))?;
            let has = self
                .tree
                .at(&of)
                .is_some_and(|entry| entry.all(&map.name).iter().any(|has| has.eq_ignore_ascii_case(name)));
            if !has && map.alias_of.is_none() {
                let part = Part { attribute: map.name.clone(), delete: Vec::new(), add: vec![name.to_owned()] };
                self.modify(&of, vec![part], false);
            }
            return Ok(());
        }
        let found = known.and_then(|known| self.tree.copy(&known));
        let Some(entry) = found else {
            let mut values =
                vec![("objectClass".to_owned(), map.new.classes.clone()), (map.name.clone(), vec![name.to_owned()])];
            if let Some(attribute) = &map.catch_all {
                values.extend(domain.catch_all.first().map(|_| (attribute.clone(), domain.catch_all.clone())));
            }
            values.extend(self.attribute_values(&domain.attributes, &map.attributes)?);
            let dn = dn::below(&dn::rdn(&map.new.rdn, name), &self.place(&map.new));
            self.step(Change::Add { dn, values }, &[EntryKind::Domain], false);
            return Ok(());
        };
        let mut parts = self.attribute_parts(&entry, &domain.attributes, &map.attributes)?;
        if let Some(attribute) = &map.catch_all {
            parts.extend(set(&entry, attribute, &domain.catch_all));
        } else if !domain.catch_all.is_empty() {
            return Err(no_place("catch-all addresses"));
        }
        if key != name {
            self.rename(&dn::normal(&entry.dn), &dn::rdn(&map.new.rdn, name));
            let now = dn::normal(&dn::below(&dn::rdn(&map.new.rdn, name), dn::parent(&entry.dn)));
            self.modify(&now, parts, false);
            return Ok(());
        }
        self.modify(&dn::normal(&entry.dn), parts, false);
        Ok(())
    }

    pub fn remove_domain(&mut self, name: &str) -> Result<(), Reason> {
        let Some(map) = &self.mapping().domain else { return Ok(()) };
        let Some(at) = self.domain_entry(name) else { return Ok(()) };
        let own = self.tree.at(&at).and_then(|entry| self.reader().domain(&entry).into_iter().next());
        if own.is_some_and(|own| own.name == name) {
            return self.remove_entry(&at, EntryKind::Domain);
        }
        let part = Part { attribute: map.name.clone(), delete: vec![name.to_owned()], add: Vec::new() };
        self.modify(&at, vec![part], false);
        Ok(())
    }

    fn domain_entry(&self, name: &str) -> Option<Name> {
        let map = self.mapping().domain.as_ref()?;
        let mut domains = self.tree.of(EntryKind::Domain);
        let found = domains.find(|(_, entry)| entry.all(&map.name).iter().any(|has| has.eq_ignore_ascii_case(name)));
        found.map(|(at, _)| at.clone())
    }

    pub fn put_class(&mut self, class: &ClassOfService) -> Result<(), Reason> {
        // A class is what accounts say of it; what it says itself has no place.
        match self.mapping().account.class_of_service {
            Some(_) if class.quota_bytes.is_none() && class.attributes.is_empty() => Ok(()),
            Some(_) => Err(no_place("quota and attributes of a class of service")),
            None => Err(no_place("classes of service")),
        }
    }
}
