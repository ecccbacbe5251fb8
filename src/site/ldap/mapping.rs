//! Which attribute of which entry says what: part of a site description, on top of a preset.
//!
//! ```toml
//! [accounts.mapping]
//! preset = "inetorgperson"
//! account = { classes = ["inetOrgPerson", "qmailUser"], aliases = ["mailAlternateAddress"] }
//! ```
//!
//! A key of the description replaces that of the preset; tables are merged key by key. Presets lie beside this file, in
//! the very form that a description has.

use super::wire::request;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Presets by name.
const PRESETS: [(&str, &str); 4] = [
    ("inetorgperson", include_str!("presets/inetorgperson.toml")),
    ("zimbra", include_str!("presets/zimbra.toml")),
    ("dovecot", include_str!("presets/dovecot.toml")),
    ("postfix-book", include_str!("presets/postfix-book.toml")),
];

/// The preset where a description names none.
const DEFAULT: &str = "inetorgperson";

/// The whole mapping.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Mapping(Parts);

impl std::ops::Deref for Mapping {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parts {
    /// Why nothing is written with this mapping; absent where it can be.
    pub read_only: Option<String>,
    pub account: AccountMap,
    pub list: Option<ListMap>,
    pub group: Option<GroupMap>,
    pub domain: Option<DomainMap>,
    pub class: Option<ClassMap>,
    /// Attributes of records that have no place here and are left out on purpose; a `*` at the end stands for any rest.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// Addresses are taken in lower case, as servers compare them.
    #[serde(default = "yes")]
    pub lower_case: bool,
}

fn yes() -> bool {
    true
}

/// Where new entries of a kind are made and how they are named.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Making {
    /// Relative to the base of the book.
    pub below: String,
    pub classes: Vec<String>,
    /// The attribute that names the entry.
    pub rdn: String,
    /// What its value is, the first that nobody has: `{local}`, `{domain}`, `{address}`, `{name}`, `{surname}`, or `{}`
    /// around an attribute of the record.
    pub names: Vec<String>,
    /// Attributes that a new entry has beside the mapped ones, with values as above.
    pub with: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccountMap {
    pub filter: String,
    #[serde(default)]
    pub new: Making,
    /// The first of these that has a value holds the address; further values of it are aliases.
    pub address: Vec<String>,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub name: Vec<String>,
    pub password: Option<String>,
    pub quota: Option<QuotaMap>,
    pub status: Option<StatusMap>,
    pub class_of_service: Option<String>,
    pub kind: Option<KindMap>,
    pub forward: Option<ForwardMap>,
    pub vacation: Option<VacationMap>,
    /// Attributes of the record, and where they lie in the entry.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuotaMap {
    pub attribute: String,
    /// Bytes that one stands for. A value may also end in K, M, G or T.
    #[serde(default = "one")]
    pub unit_bytes: u64,
}

fn one() -> u64 {
    1
}

/// Words of a status; the first of each is the one that is written.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatusMap {
    pub attribute: String,
    pub active: Vec<String>,
    #[serde(default)]
    pub locked: Vec<String>,
    #[serde(default)]
    pub closed: Vec<String>,
}

/// Words that make an account a room or a thing.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KindMap {
    pub attribute: String,
    pub location: String,
    pub equipment: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForwardMap {
    /// Read all, written the first.
    pub attributes: Vec<String>,
    /// Holds `forward` where mail is sent on, and `keep` where the mailbox gets it too. Without values both hold.
    pub options: Option<String>,
    #[serde(default)]
    pub forward: String,
    #[serde(default)]
    pub keep: String,
    /// `TRUE` where the mailbox gets nothing.
    pub no_copy: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VacationMap {
    pub text: String,
    /// Holds `word` (or `TRUE`) while it answers. Without values it does where there is a text.
    pub enabled: Option<String>,
    #[serde(default)]
    pub word: String,
    /// Hold the times (RFC 4517 3.3.13) from and up to which it answers; outside of them it counts as switched off.
    pub from: Option<String>,
    pub until: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListMap {
    pub filter: String,
    #[serde(default)]
    pub new: Making,
    pub address: Vec<String>,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub name: Vec<String>,
    /// Read all: names of entries, addresses, or user names.
    pub members: Vec<String>,
    /// Where a member that has an entry is written, by its name.
    pub member_entry: Option<String>,
    /// Where a member that has none is written, by its address.
    pub member_address: Option<String>,
    /// The group has at least one member; an empty one gets the base of the book.
    #[serde(default)]
    pub never_empty: bool,
    pub owners: Option<String>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// Groups that an account is counted to; a list may be one too.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GroupMap {
    pub filter: String,
    #[serde(default)]
    pub new: Making,
    pub name: String,
    pub members: Vec<String>,
    #[serde(default)]
    pub never_empty: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DomainMap {
    pub filter: String,
    #[serde(default)]
    pub new: Making,
    /// The value that names the entry is the domain's name; further ones are domains that repeat it.
    pub name: String,
    pub catch_all: Option<String>,
    /// The attribute of an alias domain that holds the `id` of the other one.
    pub alias_of: Option<String>,
    pub id: Option<String>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClassMap {
    pub filter: String,
    #[serde(default)]
    pub new: Making,
    pub name: String,
    /// What accounts name the class by, where it is not its name.
    pub id: Option<String>,
    pub quota: Option<QuotaMap>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl TryFrom<toml::Table> for Mapping {
    type Error = String;

    fn try_from(mut own: toml::Table) -> Result<Self, String> {
        let preset = match own.remove("preset") {
            None => DEFAULT.to_owned(),
            Some(toml::Value::String(name)) => name,
            Some(_) => return Err("preset is not a name".to_owned()),
        };
        let known = || PRESETS.map(|(name, _)| name).join(", ");
        let text = PRESETS.iter().find(|(name, _)| *name == preset).map(|(_, text)| *text);
        let text = text.ok_or_else(|| format!("there is no preset {preset:?}; known are {}", known()))?;
        let mut table: toml::Table = toml::from_str(text).map_err(|error| format!("preset {preset}: {error}"))?;
        lay_over(&mut table, own);
        let parts: Parts =
            toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        parts.check()?;
        Ok(Self(parts))
    }
}

impl Mapping {
    /// A preset as it is.
    pub fn preset(name: &str) -> Result<Self, String> {
        Self::try_from(toml::Table::from_iter([("preset".to_owned(), toml::Value::from(name))]))
    }
}

/// `false` takes a table of the preset away.
fn lay_over(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (_, toml::Value::Boolean(false)) if key != "lower-case" && key != "never-empty" => drop(under.remove(&key)),
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => lay_over(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

impl Parts {
    fn check(&self) -> Result<(), String> {
        let filters = [Some(&self.account.filter), self.list.as_ref().map(|map| &map.filter)]
            .into_iter()
            .chain([self.group.as_ref().map(|map| &map.filter), self.domain.as_ref().map(|map| &map.filter)])
            .chain([self.class.as_ref().map(|map| &map.filter)]);
        for filter in filters.flatten() {
            if !request::is_filter(filter) {
                return Err(format!("{filter:?} is no search filter (RFC 4515)"));
            }
        }
        let bad = |name: &&String| name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if let Some(name) = self.attributes().iter().find(bad) {
            return Err(format!("{name:?} is no name of an attribute"));
        }
        if self.account.address.is_empty() {
            return Err("account.address names no attribute".to_owned());
        }
        Ok(())
    }

    /// Every attribute that is looked at.
    pub fn attributes(&self) -> Vec<String> {
        let mut names = vec!["objectClass".to_owned()];
        let AccountMap {
            address,
            aliases,
            name,
            password,
            quota,
            status,
            class_of_service,
            kind,
            forward,
            vacation,
            ..
        } = &self.account;
        names.extend([address, aliases, name].into_iter().flatten().cloned());
        names.extend(password.iter().chain(class_of_service).cloned());
        names.extend(quota.iter().map(|map| map.attribute.clone()));
        names.extend(status.iter().map(|map| map.attribute.clone()));
        names.extend(kind.iter().map(|map| map.attribute.clone()));
        names.extend(
            forward.iter().flat_map(|map| map.attributes.iter().chain(&map.options).chain(&map.no_copy)).cloned(),
        );
        if let Some(VacationMap { text, enabled, from, until, .. }) = vacation {
            names.extend([text].into_iter().chain(enabled).chain(from).chain(until).cloned());
        }
        names.extend(self.account.attributes.values().cloned());
        if let Some(map) = &self.list {
            names.extend([&map.address, &map.aliases, &map.name, &map.members].into_iter().flatten().cloned());
            names.extend(map.member_entry.iter().chain(&map.member_address).chain(&map.owners).cloned());
            names.extend(map.attributes.values().cloned());
        }
        if let Some(map) = &self.group {
            names.extend(map.members.iter().chain([&map.name]).cloned());
        }
        if let Some(map) = &self.domain {
            names.extend([&map.name].into_iter().chain(&map.catch_all).chain(&map.alias_of).chain(&map.id).cloned());
            names.extend(map.attributes.values().cloned());
        }
        if let Some(map) = &self.class {
            names.extend([&map.name].into_iter().chain(&map.id).cloned());
            names.extend(map.quota.iter().map(|map| map.attribute.clone()));
            names.extend(map.attributes.values().cloned());
        }
        let makings = [Some(&self.account.new), self.list.as_ref().map(|map| &map.new)];
        let makings = makings.into_iter().chain([self.group.as_ref().map(|map| &map.new)]).flatten();
        names.extend(makings.map(|making| making.rdn.clone()).filter(|name| !name.is_empty()));
        names.sort();
        names.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
        names
    }

    /// Whether an attribute of a record is left out on purpose.
    pub fn leaves_out(&self, name: &str) -> bool {
        self.leave_out.iter().any(|rule| match rule.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => rule == name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_mapping() {
        for (name, _) in PRESETS {
            let mapping = Mapping::preset(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(mapping.attributes().len() > 5, "{name}");
        }
    }

    #[test]
    fn a_description_changes_single_keys_of_a_preset() {
        let text = "preset = \"inetorgperson\"\ndomain = false\n[account]\nfilter = \"(objectClass=qmailUser)\"\nquota = { attribute = \"mailQuotaSize\" }\n";
        let mapping: Mapping = toml::from_str(text).unwrap();
        assert_eq!(mapping.account.filter, "(objectClass=qmailUser)");
        assert_eq!(mapping.account.quota.as_ref().unwrap().attribute, "mailQuotaSize");
        assert_eq!(mapping.account.address, ["mail"]);
        assert_eq!(mapping.domain, None);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, word) in [
            ("preset = \"exchange\"", "inetorgperson"),
            ("[account]\nfilter = \"(mail=\"", "filter"),
            ("[account]\ncolour = \"x\"", "colour"),
            ("[account]\naddress = [\"mail)(x\"]", "attribute"),
        ] {
            let error = toml::from_str::<Mapping>(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
