//! What goes wrong with a whole site, an account or a folder. An item's trouble is no error but a rejection.

use crate::event::Reason;
use std::io;
use std::path::PathBuf;

/// What can go wrong between a verb and a site as a whole, an account, or a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{0} is not a mail site: it has neither mail/, dav/ nor etc/")]
    NotASite(PathBuf),
    #[error("{path} is unusable")]
    Database { path: PathBuf, source: crate::db::DbError },
    #[error("{path} is held by another program since {since}")]
    Locked { path: PathBuf, since: String },
    #[error("{path}: {what}")]
    Malformed { path: PathBuf, what: String },
    #[error("there is no account {0}")]
    NoAccount(String),
    #[error("{0}")]
    Unsupported(String),
    /// The target will not have what one item became, in its words; the item is as it was.
    #[error("{0}")]
    Refused(Reason),
    #[error(transparent)]
    Net(crate::net::NetError),
    /// The connection ended or fell silent; trying again later may help.
    #[error("lost {server} while {doing}")]
    Lost { server: String, doing: String, source: io::Error },
    /// The server's own words, or what is wrong with its answer.
    #[error("{server}: {what}")]
    Server { server: String, what: String },
}

impl SiteError {
    /// The error as a reason for a rejection, where only one folder or account is concerned.
    pub fn as_reason(&self) -> Reason {
        if let Self::Refused(reason) = self {
            return reason.clone();
        }
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Reason::Unreadable(text)
    }
}
