//! The files of a Maildir++ mailbox as bytes and values: names of messages and folders, and Dovecot's control files.
//! Pure functions; `source` reads and `target` writes through them.

pub mod folder_dir;
pub mod keywords;
pub mod mutf7;
pub mod name;
pub mod subscriptions;
pub mod uidlist;

/// Names of the control files in a folder of a Maildir, as Dovecot and Courier call them.
pub const UIDLIST: &str = "dovecot-uidlist";
pub const KEYWORDS: &str = "dovecot-keywords";
pub const ACL: &str = "dovecot-acl";
pub const SUBSCRIPTIONS: &str = "subscriptions";
pub const COURIER_SUBSCRIPTIONS: &str = "courierimapsubscribed";
pub const COURIER_UIDS: &str = "courierimapuiddb";
