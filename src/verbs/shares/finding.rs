//! One inconsistency: where, what is wrong, why, and what mends it.

use crate::event::Place;
use crate::model::id::SiteId;
use crate::model::share::Rights;
use crate::model::text::printable;
use serde::Serialize;
use std::fmt;

/// The two ends of a share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    Grant,
    Mountpoint,
}

/// What does not hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// A grant names somebody who is not there.
    GranteeMissing,
    /// A mountpoint names an account that is not there.
    OwnerMissing,
    /// A mountpoint names a folder that its owner does not have.
    FolderMissing,
    /// A mountpoint of the source is not on the target.
    MountpointMissing,
    /// The holder of a mountpoint has no right to find the folder.
    NoRight,
    /// A grant gives other rights than the source gave; `None`: there is no such grant.
    RightsDiffer { source: Option<Rights>, target: Option<Rights> },
}

/// Why it does not hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// An account, list, class or folder has another name now.
    Renamed { to: String },
    /// The whole domain has another name now.
    DomainRenamed { from: String, to: String, now: String },
    /// It had not arrived when the share was imported, and is there now.
    Arrived { as_name: String },
    /// A source has it, and it has not been imported yet.
    NotYetImported { source: SiteId },
    /// It was imported and is not on the target any more.
    GoneFromTarget,
    /// No map knows it.
    NeverKnown,
    /// No map knows it, but it resembles something that is there.
    Resembles { name: String },
    /// Several maps know it, each as another.
    Ambiguous { names: Vec<String> },
    /// It is a list or an alias, and a grant to a user opens nothing to those.
    NoAccount,
    /// Nobody ever granted it.
    NotGranted,
    /// The source had it so too.
    SameOnSource,
    /// Nobody changed the target, and yet the source says something else: the import did not come so far.
    NotApplied,
    /// Somebody changed it on the target since the import; the target stays.
    ChangedOnTarget,
}

/// What mends it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    /// `wagon shares fix` with the map at this path.
    Fix { map: String },
    /// An import of this account from this source.
    Import { source: SiteId, account: String },
    /// A person must decide; the advice says between what.
    ByHand { advice: String },
    /// Nothing needs to be done.
    Nothing,
}

/// How a finding stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// `wagon shares fix` mends it.
    Mendable,
    /// A later import makes it whole.
    Waiting,
    /// A person must decide.
    Open,
    /// A change of the target's own, which stays.
    Kept,
}

/// One inconsistency.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Finding {
    /// The owner's folder with the grant, or the holder's mailbox and where the mountpoint appears in it.
    #[serde(flatten)]
    pub place: Place,
    pub end: End,
    /// What it refers to: `user bob@example.org`, `ann@example.org:Projects`.
    pub refers: String,
    pub problem: Problem,
    pub cause: Cause,
    pub mend: Mend,
}

impl Finding {
    pub fn standing(&self) -> Standing {
        match self.mend {
            Mend::Fix { .. } => Standing::Mendable,
            Mend::Import { .. } => Standing::Waiting,
            Mend::ByHand { .. } => Standing::Open,
            Mend::Nothing => Standing::Kept,
        }
    }
}

/// `ann@example.org:Projects: grant to user bob@old.example: no such grantee; renamed to bob@new.example`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            End::Grant => "grant to",
            End::Mountpoint => "mountpoint of",
        };
        write!(f, "{}: {end} {}: {}; {}", self.place, printable(&self.refers), self.problem, self.cause)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GranteeMissing => f.write_str("no such grantee"),
            Self::OwnerMissing => f.write_str("no such owner"),
            Self::FolderMissing => f.write_str("the owner has no such folder"),
            Self::MountpointMissing => f.write_str("it is not there"),
            Self::NoRight => f.write_str("its holder has no right to find the folder"),
            Self::RightsDiffer { source, target } => {
                let show = |rights: &Option<Rights>| match rights {
                    Some(rights) if rights.as_str().is_empty() => "no right".to_owned(),
                    Some(rights) => rights.to_string(),
                    None => "nothing".to_owned(),
                };
                write!(f, "the source gives {}, the target {}", show(source), show(target))
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed { to } => write!(f, "renamed to {}", printable(to)),
            Self::DomainRenamed { from, to, now } => {
                write!(f, "domain {} renamed to {}, so it is {} now", printable(from), printable(to), printable(now))
            }
            Self::Arrived { as_name } => write!(f, "it has arrived since, as {}", printable(as_name)),
            Self::NotYetImported { source } => write!(f, "not imported yet from source {source}"),
            Self::GoneFromTarget => f.write_str("it was imported and is gone from the target"),
            Self::NeverKnown => f.write_str("no map knows it"),
            Self::Resembles { name } => write!(f, "no map knows it; {} resembles it", printable(name)),
            Self::Ambiguous { names } => {
                write!(
                    f,
                    "maps know it as {}",
                    names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(" and as ")
                )
            }
            Self::NoAccount => f.write_str("it is a list or an alias, not an account"),
            Self::NotGranted => f.write_str("nobody granted it"),
            Self::SameOnSource => f.write_str("it was so on the source too"),
            Self::NotApplied => f.write_str("the import has not applied it"),
            Self::ChangedOnTarget => f.write_str("changed on the target since the import"),
        }
    }
}

impl Mend {
    /// The command that mends it on `site`, ready for a shell; what to do, where no command does.
    pub fn command(&self, site: &str) -> String {
        match self {
            Self::Fix { map } => format!("wagon shares fix --site {} {}", quoted(site), quoted(map)),
            Self::Import { source, account } => {
                let (site, account) = (quoted(site), quoted(account));
                format!("wagon import --to {site} --account {account} --archive DIR  (the archive of source {source})")
            }
            Self::ByHand { advice } => advice.clone(),
            Self::Nothing => "nothing: the target's change stays".to_owned(),
        }
    }
}

/// A word for a shell, and for a terminal.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    let word = printable(word);
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
