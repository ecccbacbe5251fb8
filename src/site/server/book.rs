//! Where provisioning comes from or goes to: a directory server, a file, a list in the description.

use super::Survey;
use crate::event::Reason;
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::site::{PlannedRecords, ProvisioningScan, RecordChange, SiteError};

/// Provisioning records and settings of a site. Calls come from several threads.
pub trait Book: Send + Sync {
    /// Where it is, without any secret: an URL, a path.
    fn locator(&self) -> String;

    /// What it can and cannot give or hold, for `wagon site check`. Logs in.
    fn survey(&self) -> Result<Survey, SiteError>;

    /// As [`Source::provisioning`](crate::site::Source::provisioning).
    fn provisioning(&self) -> Result<ProvisioningScan, SiteError>;

    /// Settings of an account that the book keeps (identities, forwarding …), sorted by key.
    fn settings(&self, _account: &str) -> Result<Vec<Setting>, SiteError> {
        Ok(Vec::new())
    }

    /// Kinds of settings that it can be given.
    fn setting_kinds(&self) -> Vec<SettingKind> {
        Vec::new()
    }

    /// As [`Target::put_records`](crate::site::Target::put_records).
    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError>;

    /// As [`Target::plan_records`](crate::site::Target::plan_records).
    fn plan_records(&self, changes: &[RecordChange]) -> Result<Option<PlannedRecords>, SiteError> {
        let _ = changes;
        Ok(None)
    }

    /// As [`Target::put_setting`](crate::site::Target::put_setting).
    fn put_setting(&self, _account: &str, setting: &Setting) -> Result<Result<(), Reason>, SiteError> {
        let _ = setting;
        Ok(Err(Reason::Unsupported(format!("{} has no place for settings", self.locator()))))
    }

    /// As [`Target::remove_setting`](crate::site::Target::remove_setting).
    fn remove_setting(&self, _account: &str, _key: &SettingKey) -> Result<(), SiteError> {
        Ok(())
    }
}
