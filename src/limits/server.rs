//! Bounds of any live server: connections, silences, retries, secrets.

use std::time::Duration;

use super::{KIB, MIB};

/// Longest wait for a server to take a connection.
pub const SERVER_CONNECT: Duration = Duration::from_secs(30);

/// Longest silence of a server within an answer, and longest time that it takes no byte of ours. RFC 9051 5.4 lets a server
/// log out after 30 minutes; a search in a large mailbox takes one or two.
pub const SERVER_SILENCE: Duration = Duration::from_secs(300);

/// Longest wait for one answer of a nameserver, and how often it is asked: what resolv.conf(5) has as defaults.
pub const DNS_WAIT: Duration = Duration::from_secs(5);
pub const DNS_TRIES: usize = 2;

/// Addresses of one host that are tried.
pub const SERVER_ADDRESSES: usize = 8;

/// Largest file of root certificates, bytes. Debian's whole bundle has 220 KB.
pub const CERTIFICATE_FILE_BYTES: u64 = 16 * MIB;

/// Largest file with a secret, bytes.
pub const SECRET_BYTES: u64 = 64 * KIB;

/// Connections to one server at a time, unless the description says otherwise. Cyrus and Dovecot take ten a user and
/// address as they are delivered (`mail_max_userip_connections`).
pub const SERVER_CONNECTIONS: usize = 8;

/// Most connections to one server that a description may ask for.
pub const SERVER_CONNECTIONS_MOST: usize = 256;

/// Further tries where a connection is lost or a server is busy, of what was not done yet or may be done twice.
pub const SERVER_RETRIES: usize = 4;

/// Shortest wait before another try; it doubles with each.
pub const SERVER_RETRY_LEAST: Duration = Duration::from_millis(500);

/// Connections to one server that wait for more to do, each logged in for one account. An importer has a few accounts at
/// work at a time, and servers bound their connections (Dovecot: 10 a user and address, 1024 logins in all).
pub const SERVER_IDLE: usize = 16;

/// A bearer token is fetched anew when it is so old. They live for five minutes (Keycloak's default) to an hour.
pub const TOKEN_FRESH: Duration = Duration::from_secs(240);

/// One that is refused is fetched anew, unless it was fetched so short a time ago that another one would be no other.
pub const TOKEN_NEW: Duration = Duration::from_secs(5);
