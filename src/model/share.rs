//! Shares: the grant on the owner's folder. (The mountpoint on the grantee's side is a [`Setting`](super::setting).)

use serde::{Deserialize, Serialize};
use std::fmt;

/// To whom a folder is open.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "to", content = "who", rename_all = "kebab-case")]
pub enum Grantee {
    /// An account, by its address.
    User(String),
    /// A group that the server's directory knows by name.
    Group(String),
    /// The members of a distribution list, by its address.
    List(String),
    /// Every account of a domain.
    Domain(String),
    /// Every account of a class of service, by its name.
    Cos(String),
    /// Whoever has logged in.
    Everyone,
    /// Whoever asks, without a login.
    Public,
    /// Somebody outside, by an address of another site.
    Guest(String),
    /// The owner's own rights, where they are limited.
    Owner,
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(who) => write!(f, "user {who}"),
            Self::Group(who) => write!(f, "group {who}"),
            Self::List(who) => write!(f, "list {who}"),
            Self::Domain(who) => write!(f, "domain {who}"),
            Self::Cos(who) => write!(f, "class of service {who}"),
            Self::Everyone => f.write_str("everyone"),
            Self::Public => f.write_str("public"),
            Self::Guest(who) => write!(f, "guest {who}"),
            Self::Owner => f.write_str("owner"),
        }
    }
}

/// RFC 4314 rights as Dovecot spells them, each letter once, in the order `lrwstipekxa`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Rights(String);

impl Rights {
    const ORDER: &'static str = "lrwstipekxa";

    /// The rights that `letters` names, in the canonical order; the obsolete `c` and `d` of RFC 2086 are widened as
    /// RFC 4314 2.1.1 says (`c` = `kx`, `d` = `te`); other letters are passed over.
    pub fn from_letters(letters: &str) -> Self {
        let wide = letters.replace('c', "kx").replace('d', "te");
        Self(Self::ORDER.chars().filter(|&letter| wide.contains(letter)).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// These and the others.
    pub fn with(&self, others: &Self) -> Self {
        Self::from_letters(&format!("{self}{others}"))
    }
}

impl From<String> for Rights {
    fn from(letters: String) -> Self {
        Self::from_letters(&letters)
    }
}

impl From<Rights> for String {
    fn from(rights: Rights) -> String {
        rights.0
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of a folder's access list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Grant {
    #[serde(flatten)]
    pub grantee: Grantee,
    pub rights: Rights,
    /// These rights are taken away (`-user=…`), not given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negative: bool,
}
