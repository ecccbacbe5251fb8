//! What an account has beside its folders: identities, preferences, mountpoints …

use super::mailbox::FolderKey;
use super::provisioning::{Attributes, Secret};
use serde::{Deserialize, Serialize};

/// One setting of an account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Setting {
    Identity {
        name: String,
        /// `Ann <ann@example.org>` or an address.
        from: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// Name of the signature it uses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        #[serde(default, skip_serializing_if = "Attributes::is_empty")]
        attributes: Attributes,
    },
    Signature {
        name: String,
        text: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        html: bool,
    },
    /// Where mail goes on to; there is one at most.
    Forwarding {
        targets: Vec<String>,
        keep_copy: bool,
    },
    /// The answer to whoever writes meanwhile; there is one at most.
    Vacation {
        enabled: bool,
        subject: String,
        text: String,
        #[serde(default, skip_serializing_if = "Attributes::is_empty")]
        attributes: Attributes,
    },
    Preference {
        name: String,
        value: String,
    },
    ExternalSource {
        name: String,
        /// `imap`, `pop3`, `caldav` …
        protocol: String,
        host: String,
        user: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
        #[serde(default, skip_serializing_if = "Attributes::is_empty")]
        attributes: Attributes,
    },
    Tag {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        color: Option<String>,
    },
    /// The grantee's end of a share: where somebody else's folder appears in this mailbox.
    Mountpoint {
        /// Where it appears.
        at: FolderKey,
        /// Address of the account whose folder it is.
        owner: String,
        /// The folder in the owner's mailbox.
        folder: FolderKey,
    },
    /// That the account has subscribed to a mail folder which its mailbox does not have: one that is gone or yet to come,
    /// or somebody else's, under the name by which the server shows it. Of a folder that is there the folder tells.
    Subscription {
        /// As the server spells it, levels joined by `/`; it need be no path that a folder could have.
        path: String,
    },
}

/// The kinds of settings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKind {
    Identity,
    Signature,
    Forwarding,
    Vacation,
    Preference,
    ExternalSource,
    Tag,
    Mountpoint,
    Subscription,
}

impl SettingKind {
    /// As people are told of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Signature => "signature",
            Self::Forwarding => "forwarding",
            Self::Vacation => "vacation",
            Self::Preference => "preference",
            Self::ExternalSource => "external source",
            Self::Tag => "tag",
            Self::Mountpoint => "mountpoint",
            Self::Subscription => "subscription",
        }
    }
}

/// Names a setting within its account.
pub type SettingKey = (SettingKind, String);

impl Setting {
    /// What names it within its account. A mountpoint is named by its place, with its kind (`calendars/team`).
    pub fn key(&self) -> SettingKey {
        match self {
            Self::Identity { name, .. } => (SettingKind::Identity, name.clone()),
            Self::Signature { name, .. } => (SettingKind::Signature, name.clone()),
            Self::Forwarding { .. } => (SettingKind::Forwarding, String::new()),
            Self::Vacation { .. } => (SettingKind::Vacation, String::new()),
            Self::Preference { name, .. } => (SettingKind::Preference, name.clone()),
            Self::ExternalSource { name, .. } => (SettingKind::ExternalSource, name.clone()),
            Self::Tag { name, .. } => (SettingKind::Tag, name.clone()),
            Self::Mountpoint { at, .. } => (SettingKind::Mountpoint, at.to_string()),
            Self::Subscription { path } => (SettingKind::Subscription, path.clone()),
        }
    }
}
