//! Bounds of directory servers (LDAP).

use super::{KIB, MIB};

/// Entries asked for in one page of a search (RFC 2696); servers commonly allow 500 or 1000.
pub const LDAP_PAGE: u32 = 500;

/// Most entries that a search takes, and most pages and references; what comes after is reported as not looked at. A server
/// that never ends stops here.
pub const LDAP_ENTRIES: usize = 2_000_000;

/// Most bytes of values held of a directory at once. A hundred thousand accounts have about 40 MB.
pub const LDAP_BOOK_BYTES: usize = 1024 * MIB as usize;

/// Longest message of a server that is taken, bytes. A list of a million members has about sixty bytes a member; a photo, even
/// a large one, has a few MiB.
pub const LDAP_MESSAGE_BYTES: usize = 64 * MIB as usize;

/// Memory that is taken for a message on its word alone, bytes; more comes as its bytes do.
pub const LDAP_MESSAGE_BYTES_AT_ONCE: usize = 64 * KIB as usize;

/// Most levels of elements within a message; the protocol's own answers have five. Each is a call within a call of the
/// decoder, whose stack a hundred thousand of them overflow.
pub const LDAP_MESSAGE_DEPTH: usize = 16;

/// Most elements (values, names, and what holds them) of a message: the members of the longest list, and the rest of its
/// entry. Each takes some fifty bytes of memory, and may be two bytes long.
pub const LDAP_MESSAGE_ELEMENTS: usize = LDAP_MEMBERS + 64 * KIB as usize;

/// Characters that are told of a server's words, or of a URL that it refers to.
pub const LDAP_WORDS_CHARS: usize = 500;

/// Longest value of an attribute that is looked at, bytes; a longer one (a photo, a certificate) counts as not there.
pub const LDAP_VALUE_BYTES: usize = 256 * KIB as usize;

/// Deepest nesting of groups that have no address of their own and are resolved to their members.
pub const LDAP_GROUP_DEPTH: usize = 32;

/// Most members of a list that groups without an address give together.
pub const LDAP_MEMBERS: usize = 1_000_000;

/// Entries that are fetched one by one where only they changed since the last scan; above it all are fetched in pages.
pub const LDAP_SINGLE_FETCHES: usize = 200;

/// Largest cache of a directory's entries that is read back, bytes.
pub const LDAP_CACHE_BYTES: u64 = 1024 * MIB;

/// Changes to entries that are written between two rewritings of the file that takes them back.
pub const LDAP_UNDO_BATCH: usize = 512;
