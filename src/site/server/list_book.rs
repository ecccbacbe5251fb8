//! Accounts that stand in the description itself. They are read; a target's have to be there already, because nothing of
//! ours writes into a file that a person wrote.

use super::description::ListedAccount;
use super::{Book, Survey};
use crate::event::Reason;
use crate::fs::Fs;
use crate::model::provisioning::{Account, Record, RecordKind};
use crate::site::{ProvisioningScan, RecordChange, SiteError};
use std::path::PathBuf;
use std::sync::Arc;

/// The list of a description.
pub struct ListBook {
    fs: Arc<dyn Fs>,
    description: PathBuf,
    accounts: Vec<ListedAccount>,
}

impl ListBook {
    pub fn new(fs: Arc<dyn Fs>, description: PathBuf, accounts: Vec<ListedAccount>) -> Self {
        Self { fs, description, accounts }
    }

    fn has(&self, address: &str) -> bool {
        self.accounts.iter().any(|account| account.address == address)
    }

    fn outcome(&self, change: &RecordChange) -> Result<(), Reason> {
        let record = match change {
            RecordChange::Put { record, .. } => record,
            RecordChange::Remove { record } if record.kind() != RecordKind::Account => return Ok(()),
            RecordChange::Remove { .. } => {
                return Err(Reason::Refused(format!("{} lists it; take it out there", self.locator())));
            }
        };
        match record {
            Record::Account(account) if self.has(&account.address) => Ok(()),
            Record::Account(account) => Err(Reason::Refused(format!(
                "{} does not list {}; add it there, or name a file or directory server that can be written",
                self.locator(),
                account.address
            ))),
            other => super::accounts::without_place(other, &self.locator()),
        }
    }
}

impl Book for ListBook {
    fn locator(&self) -> String {
        self.fs.canonical(&self.description).unwrap_or_else(|_| self.description.clone()).display().to_string()
    }

    fn survey(&self) -> Result<Survey, SiteError> {
        let sentence = "accounts are those that the description lists: none is made, renamed or removed, and passwords, names, \
                        status, lists and aliases have no place";
        Ok(Survey {
            software: Some(format!("list of {} accounts in the description", self.accounts.len())),
            cannot_give: vec!["password hashes, status, classes of service, groups, lists and aliases".to_owned()],
            cannot_hold: vec![sentence.to_owned()],
            ..Survey::default()
        })
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        let accounts = self.accounts.iter().map(|listed| Account {
            address: listed.address.clone(),
            name: listed.name.clone(),
            quota_bytes: listed.quota_bytes,
            ..Account::default()
        });
        Ok(super::accounts::scan(accounts.collect(), Vec::new()))
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        Ok(changes.iter().map(|change| self.outcome(change)).collect())
    }
}
