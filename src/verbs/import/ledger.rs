//! The ledger: every item, record, setting and grant of a snapshot with what became of it.
//!
//! `in the snapshot = imported + already there + rejected + excluded`, per account and folder and in sum; for links
//! also `+ pending`. The left side is counted from the snapshot, the right side from what was done, so a defect that
//! loses something shows. Text for people and JSON for scripts (docs/concepts).

use crate::event::{Reason, Rejection};
use crate::limits;
use crate::model::id::{SiteId, SnapshotNo};
use crate::model::text::printable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What became of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// This pass wrote it.
    Imported,
    /// An earlier pass wrote it, or it was found on the target.
    AlreadyThere,
    Rejected(Reason),
    /// The rule that keeps it out.
    Excluded(&'static str),
    /// A link that waits for somebody who has not arrived.
    Pending,
}

/// Counts of one kind of thing in one place.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    pub in_snapshot: u64,
    pub imported: u64,
    pub already_there: u64,
    /// By the kind of reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, u64>,
    /// By rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub excluded: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Tally {
    /// Counts one thing on the right side.
    pub fn count(&mut self, fate: &Fate) {
        self.count_many(fate, 1);
    }

    pub fn count_many(&mut self, fate: &Fate, many: u64) {
        if many == 0 {
            return;
        }
        match fate {
            Fate::Imported => self.imported += many,
            Fate::AlreadyThere => self.already_there += many,
            Fate::Rejected(reason) => *self.rejected.entry(kind_of(reason).to_owned()).or_default() += many,
            Fate::Excluded(rule) => *self.excluded.entry((*rule).to_owned()).or_default() += many,
            Fate::Pending => self.pending += many,
        }
    }

    pub fn rejected_sum(&self) -> u64 {
        self.rejected.values().sum()
    }

    pub fn excluded_sum(&self) -> u64 {
        self.excluded.values().sum()
    }

    fn accounted(&self) -> u64 {
        self.imported + self.already_there + self.rejected_sum() + self.excluded_sum() + self.pending
    }

    /// What the snapshot has and nobody has accounted for.
    pub fn missing(&self) -> u64 {
        self.in_snapshot.saturating_sub(self.accounted())
    }

    pub fn balanced(&self) -> bool {
        self.in_snapshot == self.accounted()
    }

    pub fn add(&mut self, other: &Self) {
        self.in_snapshot += other.in_snapshot;
        self.imported += other.imported;
        self.already_there += other.already_there;
        self.pending += other.pending;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason.clone()).or_default() += count;
        }
        for (rule, count) in &other.excluded {
            *self.excluded.entry(rule.clone()).or_default() += count;
        }
    }

    /// The same thing as a later pass sees it that has nothing to do: what was imported is there.
    pub fn settled(&self) -> Self {
        Self { imported: 0, already_there: self.already_there + self.imported, ..self.clone() }
    }
}

/// `12 in snapshot = 2 imported + 10 already there + 0 rejected + 0 excluded`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { in_snapshot, imported, already_there, pending, .. } = self;
        let (rejected, excluded) = (self.rejected_sum(), self.excluded_sum());
        write!(
            f,
            "{in_snapshot} in snapshot {} {imported} imported + {already_there} already there + {rejected} rejected + \
             {excluded} excluded",
            if self.balanced() { "=" } else { "≠" }
        )?;
        if *pending > 0 { write!(f, " + {pending} pending") } else { Ok(()) }
    }
}

fn kind_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::Unreadable(_) => "unreadable",
        Reason::BadName(_) => "bad name",
        Reason::TooLarge(_) => "too large",
        Reason::Malformed(_) => "malformed",
        Reason::Unsupported(_) => "not supported by the target",
        Reason::Refused(_) => "refused",
        Reason::Damaged(_) => "damaged in the archive",
    }
}

/// One account's part.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AccountLedger {
    /// Address on the source.
    pub source: String,
    /// Address on the target; absent while the account is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Items by folder, as the source calls it; what was never looked at is under an empty name.
    pub folders: BTreeMap<String, Tally>,
    #[serde(default)]
    pub settings: Tally,
    #[serde(default)]
    pub grants: Tally,
    /// Why this pass could not go through the account.
    #[serde(skip)]
    pub failed: Option<Reason>,
}

impl AccountLedger {
    /// All items of the account.
    pub fn items(&self) -> Tally {
        sum(self.folders.values())
    }

    /// As a later pass sees it that has nothing to do in this account.
    pub fn settled(&self) -> Self {
        let folders = self.folders.iter().map(|(name, tally)| (name.clone(), tally.settled())).collect();
        Self { folders, settings: self.settings.settled(), grants: self.grants.settled(), ..self.clone() }
    }

    fn balanced(&self) -> bool {
        self.folders.values().chain([&self.settings, &self.grants]).all(Tally::balanced)
    }
}

/// The whole account of one pass.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ledger {
    pub source_site: SiteId,
    pub snapshot: SnapshotNo,
    pub target_site: SiteId,
    /// Provisioning records by kind.
    pub records: BTreeMap<String, Tally>,
    pub accounts: Vec<AccountLedger>,
    /// Items of all accounts.
    pub items: Tally,
    pub settings: Tally,
    pub grants: Tally,
    /// What the export of the snapshot could not take, so that none of the numbers has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_exported: Vec<Rejection>,
    pub balanced: bool,
}

impl Ledger {
    pub fn new(
        (source_site, snapshot, target_site): (SiteId, SnapshotNo, SiteId),
        records: BTreeMap<String, Tally>,
        accounts: Vec<AccountLedger>,
    ) -> Self {
        let balanced = records.values().all(Tally::balanced) && accounts.iter().all(AccountLedger::balanced);
        let items = sum(accounts.iter().flat_map(|account| account.folders.values()));
        let settings = sum(accounts.iter().map(|account| &account.settings));
        let grants = sum(accounts.iter().map(|account| &account.grants));
        Self {
            source_site,
            snapshot,
            target_site,
            records,
            accounts,
            items,
            settings,
            grants,
            not_exported: Vec::new(),
            balanced,
        }
    }

    /// Rejected things of every kind.
    pub fn rejected(&self) -> u64 {
        let records: u64 = self.records.values().map(Tally::rejected_sum).sum();
        records + self.items.rejected_sum() + self.settings.rejected_sum() + self.grants.rejected_sum()
    }

    /// Each row of the table, one after the other.
    fn each_row(&self, emit: &mut dyn FnMut(&Row) -> fmt::Result) -> fmt::Result {
        emit(&Row::heading("provisioning", Some(&sum(self.records.values()))))?;
        for (kind, tally) in &self.records {
            emit(&Row::detail(kind, tally))?;
        }
        for account in &self.accounts {
            let arrow = account.target.as_ref().filter(|target| **target != account.source);
            let name = arrow.map_or(account.source.clone(), |target| format!("{} → {target}", account.source));
            emit(&Row::heading(&printable(&name), Some(&account.items())))?;
            for (name, tally) in &account.folders {
                let name = if name.is_empty() { "(not looked at)".to_owned() } else { printable(name) };
                emit(&Row::detail(&name, tally))?;
            }
            for (name, tally) in [("(settings)", &account.settings), ("(grants)", &account.grants)] {
                if tally.in_snapshot > 0 || !tally.balanced() {
                    emit(&Row::detail(name, tally))?;
                }
            }
        }
        emit(&Row::heading("in sum", None))?;
        for (name, tally) in [("items", &self.items), ("settings", &self.settings), ("grants", &self.grants)] {
            emit(&Row::detail(name, tally))?;
        }
        Ok(())
    }
}

/// The table for people. Rows are made twice, once for their width and once to be written, and never held: a site of
/// 36,000 folders would take 22 MiB.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source_site, snapshot, target_site, .. } = self;
        writeln!(f, "Ledger: snapshot {snapshot} of source {source_site} into target {target_site}\n")?;
        let (mut width, mut pending) = (0, false);
        self.each_row(&mut |row| {
            width = width.max(row.name.chars().count());
            pending |= row.cells.is_some_and(|cells| cells[5] > 0);
            Ok(())
        })?;
        let table = Table { width: width.min(limits::COLUMN_CHARS), columns: if pending { 6 } else { 5 } };
        table.write_heads(f)?;
        self.each_row(&mut |row| table.write_row(f, row))?;
        let verdict = if self.balanced { "The ledger balances." } else { "THE LEDGER DOES NOT BALANCE." };
        writeln!(f, "\nItems: {}\n{verdict}", self.items)?;
        if !self.not_exported.is_empty() {
            writeln!(f, "\nThe export could not take these; what is older of them in the archive counts:")?;
        }
        self.not_exported.iter().try_for_each(|one| writeln!(f, "  {}: {}", one.place, one.reason))
    }
}

fn sum<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Tally {
    tallies.fold(Tally::default(), |mut all, one| {
        all.add(one);
        all
    })
}

struct Row {
    name: String,
    cells: Option<[u64; 6]>,
    balanced: bool,
    notes: String,
}

impl Row {
    fn heading(name: &str, tally: Option<&Tally>) -> Self {
        let cells = tally.map(cells);
        Self { name: name.to_owned(), cells, balanced: tally.is_none_or(Tally::balanced), notes: String::new() }
    }

    fn detail(name: &str, tally: &Tally) -> Self {
        let counts = tally.rejected.iter().chain(&tally.excluded);
        let notes: Vec<_> = counts.map(|(why, count)| format!("{count} {why}")).collect();
        Self {
            name: format!("  {name}"),
            cells: Some(cells(tally)),
            balanced: tally.balanced(),
            notes: notes.join(", "),
        }
    }
}

fn cells(tally: &Tally) -> [u64; 6] {
    let (rejected, excluded) = (tally.rejected_sum(), tally.excluded_sum());
    [tally.in_snapshot, tally.imported, tally.already_there, rejected, excluded, tally.pending]
}

const HEADS: [&str; 6] = ["in snapshot", "imported", "already there", "rejected", "excluded", "pending"];

/// Names at the left, numbers right-aligned under their heads, the column of pending links only where there are some.
struct Table {
    width: usize,
    columns: usize,
}

impl Table {
    fn write_heads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:width$}", "", width = self.width)?;
        HEADS.iter().take(self.columns).try_for_each(|head| write!(f, "   {head}"))?;
        writeln!(f)
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
        let mut line = format!("{:width$}", row.name, width = self.width);
        for (head, cell) in HEADS.iter().zip(row.cells.into_iter().flatten()).take(self.columns) {
            line.push_str(&format!("   {cell:>width$}", width = head.len()));
        }
        if !row.balanced {
            line.push_str("   DOES NOT BALANCE");
        }
        if !row.notes.is_empty() {
            line.push_str(&format!("   {}", row.notes));
        }
        writeln!(f, "{}", line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(in_snapshot: u64, fates: &[(Fate, u64)]) -> Tally {
        let mut tally = Tally { in_snapshot, ..Tally::default() };
        fates.iter().for_each(|(fate, many)| tally.count_many(fate, *many));
        tally
    }

    fn ledger(inbox: Tally) -> Ledger {
        let sent = tally(3, &[(Fate::Excluded("older than --since"), 3)]);
        let account = AccountLedger {
            source: "ann@old.example".to_owned(),
            target: Some("anna@new.example".to_owned()),
            folders: BTreeMap::from([("INBOX".to_owned(), inbox), ("Sent".to_owned(), sent)]),
            settings: Tally::default(),
            grants: tally(1, &[(Fate::Pending, 1)]),
            failed: None,
        };
        let records = BTreeMap::from([("account".to_owned(), tally(1, &[(Fate::AlreadyThere, 1)]))]);
        let ids = ("old".parse().unwrap(), SnapshotNo(3), "new".parse().unwrap());
        Ledger::new(ids, records, vec![account])
    }

    #[test]
    fn a_ledger_reads_as_a_table_and_ends_in_one_sentence() {
        let fates = [
            (Fate::Imported, 10),
            (Fate::AlreadyThere, 100),
            (Fate::Rejected(Reason::Damaged("segment".to_owned())), 1),
        ];
        insta::assert_snapshot!(ledger(tally(111, &fates)).to_string(), @r"
        Ledger: snapshot 3 of source old into target new

                                             in snapshot   imported   already there   rejected   excluded   pending
        provisioning                                   1          0               1          0          0         0
          account                                      1          0               1          0          0         0
        ann@old.example → anna@new.example           114         10             100          1          3         0
          INBOX                                      111         10             100          1          0         0   1 damaged in the archive
          Sent                                         3          0               0          0          3         0   3 older than --since
          (grants)                                     1          0               0          0          0         1
        in sum
          items                                      114         10             100          1          3         0   1 damaged in the archive, 3 older than --since
          settings                                     0          0               0          0          0         0
          grants                                       1          0               0          0          0         1

        Items: 114 in snapshot = 10 imported + 100 already there + 1 rejected + 3 excluded
        The ledger balances.
        ");
    }

    #[test]
    fn what_is_missing_is_not_papered_over() {
        let ledger = ledger(tally(5, &[(Fate::Imported, 4)]));
        assert!(!ledger.balanced);
        assert!(ledger.to_string().contains("5 in snapshot") || ledger.to_string().contains("≠"));
        assert!(ledger.to_string().ends_with("THE LEDGER DOES NOT BALANCE.\n"));
    }

    #[test]
    fn a_pass_with_nothing_to_do_finds_everything_there() {
        let tally = tally(5, &[(Fate::Imported, 4), (Fate::Excluded("x"), 1)]);
        assert_eq!(
            tally.settled().to_string(),
            "5 in snapshot = 0 imported + 4 already there + 0 rejected + 1 excluded"
        );
    }
}
