//! Provisioning: what exists on a site before any mail does.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A password hash, a token: shown by nothing. Serialised into archives, because a restored account needs it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; every call is a place to look at.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What has no field of its own, by the site's own names. Kept and given back.
pub type Attributes = BTreeMap<String, String>;

/// One provisioning record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    Settings(SiteSettings),
    Domain(Domain),
    Cos(ClassOfService),
    Account(Account),
    List(DistributionList),
    Alias(Alias),
}

/// The kinds of provisioning records, in the order in which a target needs them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    Settings,
    Domain,
    Cos,
    Account,
    List,
    Alias,
}

impl RecordKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Domain => "domain",
            Self::Cos => "cos",
            Self::Account => "account",
            Self::List => "list",
            Self::Alias => "alias",
        }
    }
}

impl Record {
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Settings(_) => RecordKind::Settings,
            Self::Domain(_) => RecordKind::Domain,
            Self::Cos(_) => RecordKind::Cos,
            Self::Account(_) => RecordKind::Account,
            Self::List(_) => RecordKind::List,
            Self::Alias(_) => RecordKind::Alias,
        }
    }

    /// What names the record on its site now: a domain's name, an account's address. Unique within its kind.
    pub fn key(&self) -> &str {
        match self {
            Self::Settings(settings) => &settings.name,
            Self::Domain(domain) => &domain.name,
            Self::Cos(cos) => &cos.name,
            Self::Account(account) => &account.address,
            Self::List(list) => &list.address,
            Self::Alias(alias) => &alias.address,
        }
    }
}

/// Server or global settings: kept for reference, never restored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteSettings {
    pub name: String,
    #[serde(default)]
    pub attributes: Attributes,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Domain {
    pub name: String,
    /// The domain whose addresses this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<String>,
    /// Where mail for unknown addresses of the domain goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catch_all: Vec<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClassOfService {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// Whether an account is a person's or a thing's that can be booked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountClass {
    #[default]
    User,
    Location,
    Equipment,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountStatus {
    #[default]
    Active,
    /// Receives mail, nobody can log in.
    Locked,
    /// Neither receives mail nor lets anybody in.
    Closed,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    pub address: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub class: AccountClass,
    /// A person's or a room's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The hash with its scheme in front (`{SHA512-CRYPT}$6$…`), as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: AccountStatus,
    /// Name of its class of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cos: Option<String>,
    /// Names of the groups that the server counts it to (Dovecot `acl_groups`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An address that stands for several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DistributionList {
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Addresses: accounts, other lists, strangers. In the site's order.
    #[serde(default)]
    pub members: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// An address that stands for another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alias {
    pub address: String,
    pub targets: Vec<String>,
}

/// The part of an address after its last `@`; the whole text where there is none.
pub fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, domain)| domain)
}
