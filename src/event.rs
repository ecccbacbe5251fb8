//! Everything a pass tells the world. Bar, plain lines, JSON lines and log read these and nothing else, so they cannot
//! disagree. Stages emit, never format or print; sinks throttle, stages do not.

use serde::{Deserialize, Serialize};

/// A stretch of a pass with its own progress.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Scan,
    Store,
    Commit,
    Provisioning,
    Folders,
    Items,
    Links,
    Ledger,
    Check,
    Verify,
    Extract,
    /// Repair, forget, prune, repack.
    Upkeep,
}

/// Where something happened, as far as it is known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
}

impl Place {
    pub fn account(account: &str) -> Self {
        Self { account: Some(account.to_owned()), ..Self::default() }
    }

    pub fn folder(account: &str, folder: &impl ToString) -> Self {
        Self { folder: Some(folder.to_string()), ..Self::account(account) }
    }

    pub fn item(account: &str, folder: &impl ToString, item: &str) -> Self {
        Self { item: Some(item.to_owned()), ..Self::folder(account, folder) }
    }
}

/// As an address: `ann@example.org:INBOX/1587….M12P34.host`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |text: &Option<String>| text.as_deref().map(crate::model::text::printable);
        write!(f, "{}", show(&self.account).as_deref().unwrap_or("the site"))?;
        if let Some(folder) = show(&self.folder) {
            write!(f, ":{folder}")?;
        }
        if let Some(item) = show(&self.item) {
            write!(f, "/{item}")?;
        }
        Ok(())
    }
}

/// Why an item, folder or record could not be taken or given. The pass goes on; snapshot and ledger count it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "reason", content = "detail", rename_all = "kebab-case")]
pub enum Reason {
    /// The source could not read it; the cause in the system's words.
    Unreadable(String),
    /// Its name cannot be carried, or the target cannot hold it.
    BadName(String),
    /// A bound of `limits` was reached.
    TooLarge(String),
    /// A record or line that does not follow its format.
    Malformed(String),
    /// The target has no place for this kind of thing.
    Unsupported(String),
    /// The target refused; its own words.
    Refused(String),
    /// The archive no longer has these bytes.
    Damaged(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, detail) = match self {
            Self::Unreadable(detail) => ("unreadable", detail),
            Self::BadName(detail) => ("bad name", detail),
            Self::TooLarge(detail) => ("too large", detail),
            Self::Malformed(detail) => ("malformed", detail),
            Self::Unsupported(detail) => ("not supported by the target", detail),
            Self::Refused(detail) => ("refused", detail),
            Self::Damaged(detail) => ("damaged in the archive", detail),
        };
        write!(f, "{what}: {}", crate::model::text::printable(detail))
    }
}

/// One rejection: the place and the reason.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Rejection {
    #[serde(flatten)]
    pub place: Place,
    #[serde(flatten)]
    pub reason: Reason,
}

/// One event. Documented as an interface in docs/json-events.md.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A phase began. `total` counts items; it is absent where nobody knows it yet.
    PhaseStarted { phase: Phase, total: Option<u64> },
    /// Work done since the last such event. `bytes` are of items, before any compression.
    Advanced { phase: Phase, items: u64, bytes: u64 },
    /// A phase came to its end.
    PhaseFinished { phase: Phase },
    /// This could not be read or written. The pass goes on; the ledger counts it.
    Rejected(Rejection),
    /// Source and target both changed it; the target stays.
    Conflict { place: Place, what: String },
    /// Something a person should know that is no loss.
    Notice { place: Place, text: String },
    /// Something that endangers the user in every run, as a connection that nothing protects. Shown even to the quiet.
    Warning { text: String },
}

/// Takes events. Called from several threads; must return soon.
pub trait Sink: Sync {
    fn emit(&self, event: Event);

    /// Whether the user asked to stop at the next safe point (a first Ctrl-C).
    fn interrupted(&self) -> bool {
        false
    }
}

/// Hears nothing.
pub struct Silent;

impl Sink for Silent {
    fn emit(&self, _: Event) {}
}
