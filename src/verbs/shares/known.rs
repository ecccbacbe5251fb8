//! What the maps know of a reference: where the record or folder of that old name is now.
//!
//! A site that was split over several servers has one map each. An old address may be known by several of them; then the
//! map whose source brought the account that holds the reference decides. Where none decides and several answer
//! differently, all answers are given and nobody guesses.

use super::SharesError;
use crate::map::{FolderState, Map, MapError, RecordRow, RecordState};
use crate::model::id::{RecordId, SiteId};
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::{RecordKind, domain_of};
use crate::model::share::Grantee;
use std::collections::{BTreeMap, BTreeSet};

/// Where a reference leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Found<T> {
    /// It is that on the target now; the map with this number says so.
    Now(T, usize),
    /// The map with this number expects it; it has not arrived.
    Waiting(usize),
    /// It was imported, and a later pass removed it.
    Removed(usize),
    /// Maps that know it differ.
    Several(Vec<T>),
    Unknown,
}

impl<T> Found<T> {
    /// What it is on the target, where one answer is known.
    pub fn now(self) -> Option<T> {
        match self {
            Self::Now(now, _) => Some(now),
            Self::Waiting(_) | Self::Removed(_) | Self::Several(_) | Self::Unknown => None,
        }
    }
}

/// The maps of all sources that were imported into one target.
pub struct Maps<'a> {
    maps: Vec<Known<'a>>,
}

/// One map, and what of it is asked for again and again.
struct Known<'a> {
    map: &'a Map,
    /// Addresses that links of this source wait for.
    awaited: BTreeSet<String>,
    /// What became of the domains of its accounts; more than one where accounts went different ways.
    domains: BTreeMap<String, BTreeSet<String>>,
    /// Accounts whose data has been imported completely at least once.
    imported: BTreeSet<RecordId>,
}

impl<'a> Maps<'a> {
    /// Refuses a map of another target than `site`, where that has an id.
    pub fn new(maps: &[&'a Map], site: Option<&SiteId>) -> Result<Self, SharesError> {
        let known = |map: &&'a Map| -> Result<Known<'a>, SharesError> {
            let found = &map.meta().target_site;
            if let Some(wanted) = site.filter(|site| *site != found) {
                let (path, found, wanted) = (map.path().to_owned(), found.clone(), wanted.clone());
                return Err(MapError::OtherTarget { path, found, wanted }.into());
            }
            Ok(Known {
                map,
                awaited: map.pending()?.into_iter().filter(|row| row.is_expected()).map(|row| row.refers).collect(),
                domains: domains(map)?,
                imported: map.progress()?.into_iter().map(|(record, _)| record).collect(),
            })
        };
        Ok(Self { maps: maps.iter().map(known).collect::<Result<_, _>>()? })
    }

    /// The maps, in the order in which they were given.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'a Map)> {
        self.maps.iter().map(|known| known.map).enumerate()
    }

    /// The source of the map with this number.
    pub(super) fn source(&self, at: usize) -> Option<&SiteId> {
        self.maps.get(at).map(|known| &known.map.meta().source_site)
    }

    /// The records of one map, by id.
    pub(super) fn records(map: &Map) -> Result<BTreeMap<RecordId, RecordRow>, SharesError> {
        Ok(map.records()?.into_iter().map(|row| (row.id, row)).collect())
    }

    /// The record of `kind` that a source calls, or once called, `old`, for a reference held by the target's `holder`.
    pub fn by_source_name(&self, kind: RecordKind, old: &str, holder: &str) -> Result<Found<String>, SharesError> {
        self.decide(holder, |known| known.by_source_name(kind, old))
    }

    /// The same for a name that was found on the target and leads nowhere there: one of a source, or one that the target
    /// had before a rename.
    pub fn by_target_name(&self, kind: RecordKind, stale: &str, holder: &str) -> Result<Found<String>, SharesError> {
        self.decide(holder, |known| known.by_target_name(kind, stale))
    }

    /// The account that `source` calls, or once called, `old`; without a map of that source, whatever all maps agree on.
    pub fn account_of(&self, source: Option<&SiteId>, old: &str) -> Result<Found<String>, SharesError> {
        let mut answers = Vec::new();
        let known = self.maps.iter().enumerate();
        for (at, known) in known.filter(|(_, known)| Some(&known.map.meta().source_site) == source) {
            answers.push((known.by_source_name(RecordKind::Account, old)?, at));
        }
        if answers.is_empty() { self.by_source_name(RecordKind::Account, old, "") } else { Ok(agree(answers)) }
    }

    /// Where the folder is that the target's account `owner` had at `old` on its source.
    pub fn folder(&self, owner: &str, old: &FolderKey) -> Result<Found<FolderKey>, SharesError> {
        self.decide(owner, |known| known.folder(owner, old))
    }

    /// Whether one of the sources brought this account of the target.
    pub fn brought(&self, account: &str) -> Result<bool, SharesError> {
        Ok(!self.deciding(account)?.is_empty())
    }

    /// The numbers of the maps whose source brought this account of the target.
    fn deciding(&self, account: &str) -> Result<Vec<usize>, SharesError> {
        let mut deciding = Vec::new();
        for (at, known) in self.maps.iter().enumerate() {
            if known.account_at_target(account)?.is_some() {
                deciding.push(at);
            }
        }
        Ok(deciding)
    }

    /// Asks the maps that brought `holder`; if none of them knows, the others.
    fn decide<T: Ord + Clone>(
        &self,
        holder: &str,
        ask: impl Fn(&Known<'a>) -> Result<Answer<T>, SharesError>,
    ) -> Result<Found<T>, SharesError> {
        let deciding = self.deciding(holder)?;
        let (first, rest): (Vec<_>, Vec<_>) = self.maps.iter().enumerate().partition(|(at, _)| deciding.contains(at));
        for maps in [first, rest] {
            let mut answers = Vec::new();
            for (at, known) in maps {
                answers.push((ask(known)?, at));
            }
            match agree(answers) {
                Found::Unknown => {}
                found => return Ok(found),
            }
        }
        Ok(Found::Unknown)
    }
}

/// What one map says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Answer<T> {
    Now(T),
    Waiting,
    Removed,
    Unknown,
}

/// The one thing that all who know say. That something has arrived outweighs that another map waits for it.
fn agree<T: Ord + Clone>(answers: Vec<(Answer<T>, usize)>) -> Found<T> {
    let mut places: BTreeMap<&T, usize> = BTreeMap::new();
    for (answer, at) in &answers {
        if let Answer::Now(place) = answer {
            places.entry(place).or_insert(*at);
        }
    }
    let first = |wanted: Answer<T>| answers.iter().find(|(answer, _)| *answer == wanted).map(|(_, at)| *at);
    let mut known = places.iter();
    match (known.next(), known.next()) {
        (Some((&place, &at)), None) => Found::Now(place.clone(), at),
        (Some(_), Some(_)) => Found::Several(places.keys().map(|&place| place.clone()).collect()),
        (None, _) => match (first(Answer::Waiting), first(Answer::Removed)) {
            (Some(at), _) => Found::Waiting(at),
            (None, Some(at)) => Found::Removed(at),
            (None, None) => Found::Unknown,
        },
    }
}

impl Known<'_> {
    fn account_at_target(&self, account: &str) -> Result<Option<RecordRow>, SharesError> {
        let row = self.map.record_at_target(RecordKind::Account, account)?;
        Ok(row.filter(|row| row.state == RecordState::Done))
    }

    fn by_source_name(&self, kind: RecordKind, old: &str) -> Result<Answer<String>, SharesError> {
        let mut row = self.map.record_once_called(kind, old)?;
        if row.is_none() && kind != RecordKind::Cos {
            // Servers compare addresses without regard to case, and keep them in lower case.
            row = self.map.record_once_called(kind, &old.to_ascii_lowercase())?;
        }
        Ok(match row {
            Some(row) => match row.state {
                RecordState::Done => Answer::Now(row.target_key),
                RecordState::Intent => Answer::Waiting,
                RecordState::Removed => Answer::Removed,
            },
            None if self.awaited.contains(old) => Answer::Waiting,
            None if kind == RecordKind::Domain => self.domain_of_accounts(old),
            None => Answer::Unknown,
        })
    }

    /// A site without a list of its domains has them in its addresses alone.
    fn domain_of_accounts(&self, old: &str) -> Answer<String> {
        let mut now = self.domains.get(old).into_iter().flatten();
        match (now.next(), now.next()) {
            (Some(now), None) => Answer::Now(now.clone()),
            _ => Answer::Unknown,
        }
    }

    fn by_target_name(&self, kind: RecordKind, stale: &str) -> Result<Answer<String>, SharesError> {
        let answer = self.by_source_name(kind, stale)?;
        if answer != Answer::Unknown || matches!(kind, RecordKind::Domain | RecordKind::Cos) {
            return Ok(answer);
        }
        // Import may have renamed the domain, so the stale name was never one of the source; its local part was.
        let domain = domain_of(stale);
        let Some(row) = self.map.record_at_target(RecordKind::Domain, domain)? else { return Ok(answer) };
        match stale.strip_suffix(domain) {
            Some(local) if row.source_key != domain => self.by_source_name(kind, &format!("{local}{}", row.source_key)),
            _ => Ok(answer),
        }
    }

    fn folder(&self, owner: &str, old: &FolderKey) -> Result<Answer<FolderKey>, SharesError> {
        let Some(account) = self.account_at_target(owner)? else { return Ok(Answer::Unknown) };
        Ok(match self.map.folder_once_at(account.id, old)? {
            Some(row) => match row.state {
                FolderState::Done => Answer::Now(row.target_key),
                FolderState::Removed => Answer::Removed,
            },
            None if !self.imported.contains(&account.id) => Answer::Waiting,
            None => Answer::Unknown,
        })
    }
}

/// Where the accounts of each of the source's domains went.
fn domains(map: &Map) -> Result<BTreeMap<String, BTreeSet<String>>, SharesError> {
    let mut domains: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in map.records()? {
        if row.kind == RecordKind::Account && row.state == RecordState::Done {
            let (from, to) = (domain_of(&row.source_key), domain_of(&row.target_key));
            domains.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
    }
    Ok(domains)
}

/// Which kind of record a grantee refers to, and its name; `None` where it refers to none.
pub(super) fn reference(grantee: &Grantee) -> Option<(RecordKind, &str)> {
    match grantee {
        Grantee::User(who) => Some((RecordKind::Account, who)),
        Grantee::List(who) => Some((RecordKind::List, who)),
        Grantee::Domain(who) => Some((RecordKind::Domain, who)),
        Grantee::Cos(who) => Some((RecordKind::Cos, who)),
        Grantee::Group(_) | Grantee::Everyone | Grantee::Public | Grantee::Guest(_) | Grantee::Owner => None,
    }
}

/// The same kind of grantee under another name.
pub(super) fn renamed(grantee: &Grantee, name: String) -> Grantee {
    match grantee {
        Grantee::User(_) => Grantee::User(name),
        Grantee::List(_) => Grantee::List(name),
        Grantee::Domain(_) => Grantee::Domain(name),
        Grantee::Cos(_) => Grantee::Cos(name),
        Grantee::Group(_) | Grantee::Everyone | Grantee::Public | Grantee::Guest(_) | Grantee::Owner => grantee.clone(),
    }
}
