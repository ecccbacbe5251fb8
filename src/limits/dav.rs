//! Bounds of CalDAV and CardDAV.

use std::time::Duration;

use super::{KIB, MIB};

/// Longest piece of XML between two tags, bytes: one resource with its markup.
pub const DAV_PIECE_BYTES: u64 = 20 * MIB;

/// Most memory of what is said about one resource, bytes.
pub const DAV_ELEMENT_BYTES: usize = 24 * MIB as usize;

/// Deepest nesting of XML. Answers of real servers have less than 12 levels.
pub const DAV_XML_DEPTH: usize = 48;

/// Most bytes of one answer in XML. Read as a stream; 200 bytes a resource are usual, so this holds a million.
pub const DAV_ANSWER_BYTES: u64 = 512 * MIB;

/// Most resources in one answer.
pub const DAV_RESOURCES: usize = 1_000_000;

/// Most pages of an answer that a server cuts off.
pub const DAV_PAGES: usize = 10_000;

/// Addresses outside a collection that are told one by one.
pub const DAV_STRANGE: usize = 100;

/// Largest resource, bytes. Servers take 10 or 20 MB at most unless they are told otherwise.
pub const DAV_RESOURCE_BYTES: u64 = 16 * MIB;

/// Resources that are fetched with one request, and their bytes together. Those of a few folders at a time are in memory.
pub const DAV_MULTIGET: usize = 64;
pub const DAV_MULTIGET_BYTES: u64 = MIB;

/// Items that are asked for one by one; for more of them the collection is listed.
pub const DAV_SINGLY: usize = 4;

/// Collections of one account.
pub const DAV_COLLECTIONS: usize = 10_000;

/// Longest title, colour or token, bytes.
pub const DAV_TITLE_BYTES: usize = 4096;

/// Components that a calendar can say it takes, and the longest name of one, bytes; RFC 5545 knows six.
pub const DAV_COMPONENTS: usize = 16;
pub const DAV_COMPONENT_BYTES: usize = 64;

/// Resources of a collection that its mark lists; of a larger one the mark keeps a hash, and a change costs a new listing.
pub const DAV_MARK_MEMBERS: usize = 20_000;

/// Most bytes of an error that are read, and most characters of it that are told.
pub const DAV_WORDS_BYTES: u64 = 64 * KIB;
pub const DAV_WORDS_CHARS: usize = 500;

/// Most bytes of an answer's headers.
pub const DAV_HEADER_BYTES: usize = 64 * KIB as usize;

/// Redirections from one request.
pub const DAV_REDIRECTS: usize = 5;

/// Longest wait that a server may ask for with Retry-After.
pub const DAV_PATIENCE: Duration = Duration::from_secs(60);

/// Further requests where answers break off within their bodies; each of them is tried as often as any request.
pub const DAV_BROKEN_ANSWERS: usize = 3;
