//! What a scan of all records could not look at, and so what of them may not be taken for gone or emptied.
//!
//! `provisioning` notes which files said nothing; here that becomes kinds of records, and how much of each was seen.

use super::site_db::RecordRows;
use crate::model::provisioning::{Account, Record, RecordKind};
use crate::site::Seen;
use std::collections::BTreeSet;

/// The files that said nothing, or not all that they hold.
#[derive(Debug, Default)]
pub struct Blank {
    pub passwd: bool,
    pub aliases: bool,
    pub domains: bool,
    /// `mail/`, `dav/`, or a directory in them.
    pub tree: bool,
    /// All of `site.sqlite`.
    pub database: bool,
    /// Rows of it.
    pub rows: bool,
    /// Keys of which a line says something that makes no sense.
    pub unclear: BTreeSet<String>,
    /// Accounts that `etc/passwd` has a good line of.
    pub in_passwd: BTreeSet<String>,
}

impl Blank {
    /// Kinds of which there may be more than were found.
    pub fn kinds(&self) -> BTreeSet<RecordKind> {
        let mut kinds = BTreeSet::new();
        if self.passwd || self.tree {
            kinds.extend([RecordKind::Account, RecordKind::Domain]);
        }
        if self.aliases {
            kinds.extend([RecordKind::Domain, RecordKind::List, RecordKind::Alias]);
        }
        if self.domains {
            kinds.insert(RecordKind::Domain);
        }
        if self.database || self.rows {
            kinds.extend([RecordKind::Settings, RecordKind::Cos, RecordKind::List]);
        }
        kinds
    }

    /// How much of a record was seen.
    pub fn seen(&self, rows: &RecordRows, record: &Record) -> Seen {
        match record {
            Record::Settings(_) | Record::Cos(_) => Seen::Whole,
            Record::Account(account) => self.seen_of_account(rows, account),
            Record::Domain(domain) if self.aliases || self.unclear.contains(&domain.name) => Seen::Existence,
            Record::Domain(domain) => self.unless_row(rows.domains.contains_key(&domain.name)),
            // Whether several targets make a list depends on whether it is an account's address.
            Record::List(_) | Record::Alias(_) if self.passwd || self.tree => Seen::Core,
            Record::List(list) => self.unless_row(rows.addresses.contains_key(&list.address)),
            Record::Alias(alias) => self.unless_row(rows.addresses.contains_key(&alias.address)),
        }
    }

    fn seen_of_account(&self, rows: &RecordRows, account: &Account) -> Seen {
        let (in_passwd, has_row) =
            (self.in_passwd.contains(&account.address), rows.accounts.contains_key(&account.address));
        let line_unseen = !in_passwd && (self.passwd || self.unclear.contains(&account.address));
        let row_unseen = self.database || (self.rows && !has_row);
        match (line_unseen, row_unseen) {
            (true, _) => Seen::Existence,
            // The row alone says whether it is locked, and what it is called.
            (false, true) if !in_passwd => Seen::Existence,
            (false, true) => Seen::Core,
            (false, false) => Seen::Whole,
        }
    }

    fn unless_row(&self, has_row: bool) -> Seen {
        if self.database || (self.rows && !has_row) { Seen::Core } else { Seen::Whole }
    }
}
