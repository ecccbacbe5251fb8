//! The one examination behind `check` and `fix`: every reference of a survey against what is there and what the maps
//! know, with a finding for each that does not hold and a step for each that a map explains.
//!
//! Pure but for reading maps. [`grants`](super::grants) compares access lists, [`mountpoints`](super::mountpoints) the
//! other ends; the grants come first, because a mountpoint is judged by the rights that its holder will have.

use super::access::Planned;
use super::finding::{Cause, End, Finding, Mend, Problem};
use super::fix::Step;
use super::known::{Found, Maps};
use super::survey::Survey;
use super::{SharesError, grants, mountpoints};
use crate::event::Place;
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::{RecordKind, domain_of};

/// What an examination gives: all that is wrong, and what the maps can mend of it.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// Sorted, each once.
    pub findings: Vec<Finding>,
    /// At most one for a folder and one for a mountpoint; in the order of accounts, access lists first.
    pub steps: Vec<Step>,
}

/// Compares a target's shares with what the maps know.
pub(super) fn examine(survey: &Survey, maps: &Maps<'_>) -> Result<Examination, SharesError> {
    let mut examiner = Examiner { survey, maps, findings: Vec::new(), steps: Vec::new(), planned: Planned::new() };
    grants::examine(&mut examiner)?;
    mountpoints::examine(&mut examiner)?;
    let Examiner { mut findings, steps, .. } = examiner;
    findings.sort();
    findings.dedup();
    Ok(Examination { findings, steps })
}

pub(super) struct Examiner<'a> {
    pub(super) survey: &'a Survey,
    pub(super) maps: &'a Maps<'a>,
    pub(super) findings: Vec<Finding>,
    pub(super) steps: Vec<Step>,
    /// Access lists as they will be after the steps.
    pub(super) planned: Planned,
}

/// Why a reference does not lead anywhere, and what would mend that.
pub(super) type Broken = (Cause, Mend);

impl Examiner<'_> {
    /// Takes down a finding, and gives it back as the reason for a step.
    pub(super) fn find(
        &mut self,
        account: &str,
        at: &FolderKey,
        end: End,
        refers: String,
        problem: Problem,
        (cause, mend): Broken,
    ) -> String {
        let reason = format!("{refers}: {cause}");
        self.findings.push(Finding { place: Place::folder(account, at), end, refers, problem, cause, mend });
        reason
    }

    /// The fix by the map with this number.
    pub(super) fn fix_by(&self, map: usize) -> Mend {
        let path = self.maps.iter().find(|(at, _)| *at == map).map(|(_, map)| map.path());
        Mend::Fix { map: path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default() }
    }

    /// Why `old` leads nowhere, for everything that a map may say but where it is.
    pub(super) fn broken<T: ToString>(&self, found: &Found<T>, account: &str, by_hand: &str) -> Broken {
        let advice = || Mend::ByHand { advice: by_hand.to_owned() };
        match found {
            Found::Waiting(map) => match self.maps.source(*map) {
                Some(source) => (
                    Cause::NotYetImported { source: source.clone() },
                    Mend::Import { source: source.clone(), account: account.to_owned() },
                ),
                None => (Cause::NeverKnown, advice()),
            },
            Found::Now(..) | Found::Removed(_) => (Cause::GoneFromTarget, advice()),
            Found::Several(names) => {
                (Cause::Ambiguous { names: names.iter().map(ToString::to_string).collect() }, advice())
            }
            Found::Unknown => (self.resembling(account).unwrap_or(Cause::NeverKnown), advice()),
        }
    }

    /// What else bears that name: an account that differs in case only, one behind an alias, a list.
    fn resembling(&self, address: &str) -> Option<Cause> {
        let same = self.survey.accounts.keys().find(|account| account.eq_ignore_ascii_case(address));
        let behind = match self.survey.aliases.get(address).map(Vec::as_slice) {
            Some([one]) => self.survey.accounts.get_key_value(one).map(|(account, _)| account),
            _ => None,
        };
        let alike = same.or(behind).filter(|name| *name != address).map(|name| Cause::Resembles { name: name.clone() });
        let other = self.survey.lists.contains_key(address) || self.survey.aliases.contains_key(address);
        alike.or(other.then_some(Cause::NoAccount))
    }

    /// How `old` came to be called `now`, as the map with this number tells it.
    pub(super) fn rename(&self, kind: RecordKind, old: &str, now: &str, map: usize) -> Result<Cause, SharesError> {
        let renamed = Cause::Renamed { to: now.to_owned() };
        let (from, to) = (domain_of(old), domain_of(now));
        if matches!(kind, RecordKind::Domain | RecordKind::Cos) || from == to {
            return Ok(renamed);
        }
        let same_person = old.strip_suffix(from) == now.strip_suffix(to);
        let Some((_, map)) = self.maps.iter().find(|(at, _)| *at == map).filter(|_| same_person) else {
            return Ok(renamed);
        };
        let domain = map.record_once_called(RecordKind::Domain, from)?;
        Ok(match domain.filter(|row| row.target_key == to) {
            Some(_) => Cause::DomainRenamed { from: from.to_owned(), to: to.to_owned(), now: now.to_owned() },
            None => renamed,
        })
    }
}
