//! The directory site: what Dovecot, Pigeonhole, Postfix and the vdir world read from disk, as a source and a target
//! that need no server.
//!
//! Layout below the root: `mail/<domain>/<user>/Maildir` (Maildir++), `mail/<domain>/<user>/sieve`,
//! `dav/<domain>/<user>/{calendars,contacts,tasks,files}/…` (vdir), `etc/passwd` (Dovecot passwd-file),
//! `etc/virtual_domains` and `etc/virtual_alias` (Postfix), and `site.sqlite` for what has no file format of its own.
//! The modules named after a file format are pure functions between bytes and values; docs/connectors.md describes the
//! whole.

pub mod acl;
pub mod maildir;
pub mod passwd_file;
pub mod postfix;
pub mod site_db;
pub mod target;
pub mod text_file;
pub mod vdir;
