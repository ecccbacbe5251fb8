//! Every bound, size and threshold, with its unit, its reason and the damage that it prevents.
//!
//! Input is hostile: a length is read, compared with one of these, and only then allocated. Reaching a bound is a
//! reported reason, never a crash.

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;

/// Longest folder path, bytes of UTF-8. Twice what servers let through (Dovecot 4096 a path, RFC 3501 has no bound);
/// stops manifests that would make megabyte paths.
pub const FOLDER_PATH_BYTES: usize = 8 * KIB as usize;

/// Largest item that is held in memory as a whole and taken apart, bytes. Larger ones are streamed and stored whole,
/// so that a 200 MB message needs no 200 MB.
pub const WHOLE_ITEM_BYTES: u64 = 32 * MIB;

/// Most message bytes held between scan and store. An item larger than this is let through alone.
pub const IN_FLIGHT_BYTES: u64 = 16 * MIB;

/// Accounts that a later pass looks at ahead of the one whose turn it is, for each thread: while a large one is looked at,
/// the other threads go on with small ones. Of each, what changed is held.
pub const ACCOUNTS_AHEAD: usize = 4;

/// Steps that go from one stage of a pass to the next at once. Waking a thread for each message took a tenth of the
/// processors' time (docs/measurements.md).
pub const QUEUE_BATCH: usize = 32;

/// Batches that wait between two stages of a pipeline; bounds counts, as [`IN_FLIGHT_BYTES`] bounds bytes.
pub const QUEUED_BATCHES: usize = 8;

/// Message bytes at which a splitter hands over what it has of a batch, so that a batch of large messages does not wait
/// for its last.
pub const HANDED_OVER_BYTES: u64 = 512 * KIB;

/// Largest control file of a site (uidlist, passwd, alias map, ACL, subscriptions) that is read, bytes. A uidlist of a
/// million messages has about 60 MB.
pub const CONTROL_FILE_BYTES: u64 = 256 * MIB;

/// Deepest nesting of MIME parts that is taken apart. Deeper ones stay in the skeleton; they cost size, never bytes.
pub const MIME_DEPTH: usize = 64;

/// Most parts taken out of one message; what comes after stays in the skeleton.
pub const MIME_PARTS: usize = 2_000;

/// Smallest part taken out, bytes of its raw form (architecture section 3: around 1 KiB). Below it, the name and the
/// header of an entry cost more than a second copy inside a compressed segment.
pub const PART_BYTES: usize = 1024;

/// Folder levels a mailbox may have; deeper folders are rejected. Dovecot's own bound is of the same order.
pub const FOLDER_DEPTH: usize = 64;

/// Most folders of one account. A loop of symbolic links ends here.
pub const FOLDERS_PER_ACCOUNT: usize = 100_000;

/// Longest reason kept with a rejection, bytes.
pub const REASON_BYTES: usize = 500;

/// Manifests of an account that build on one another before a full one is written: each costs a read at every replay.
pub const MANIFEST_CHAIN: u64 = 60;

/// Lines that such a chain may have beyond twice the account's items; keeps small mailboxes from being written anew
/// each day.
pub const MANIFEST_SLACK_LINES: u64 = 1_000;

// Import and map.

/// Rows of the map that are held while an account is compared; bounds memory, not what an account may hold.
pub const MAP_PAGE_ROWS: u32 = 4096;

/// Most renaming rules in one file. A million addresses are more than any site that moves at once.
pub const RENAME_RULES: usize = 1_000_000;

/// Items of one delivery: intents are committed, the items delivered, the outcomes committed. Each of the three waits for
/// the disk, so few large batches are faster; a killed import has at most one such batch a thread to settle.
pub const BATCH_ITEMS: usize = 1024;

/// Bytes that all threads of an import hold together; each delivers its share at a time, and at least
/// [`BATCH_BYTES_LEAST`]. An item larger than that goes alone.
pub const BATCH_BYTES: u64 = 16 * MIB;

/// Smallest share of [`BATCH_BYTES`], so that many threads do not mean a sync for every message.
pub const BATCH_BYTES_LEAST: u64 = MIB;

/// Messages of which an import remembers where it delivered them, for the sake of their copies in other mailboxes: about
/// 150 bytes each, 5 MB. Copies of what is older are read from the archive.
pub const COPIES_REMEMBERED: usize = 32_768;

/// Provisioning changes that are given to a target at once.
pub const BATCH_RECORDS: usize = 4096;
// Looking into an archive.

/// Most bytes of a header that are parsed to show or search it, the rest is passed over. A million-line header is
/// searched in its first part only; real ones stay below a tenth of this.
pub const HEADER_BYTES: usize = MIB as usize;

/// Longest file name that `extract` writes, bytes: what file systems take (255), less room for Maildir flags, a suffix
/// that keeps two names apart, and an ending.
pub const EXTRACTED_NAME_BYTES: usize = 200;

/// Most boundaries of nested multiparts that are kept in mind while attachment names are collected. A deeper one's names
/// are not found.
pub const OPEN_BOUNDARIES: usize = 64;

/// Most attachment names of one message that are looked at.
pub const ATTACHMENT_NAMES: usize = 1_000;
// The archive's files.

/// Uncompressed bytes at which a segment that collects small objects is closed (architecture section 3: about 256 KiB).
/// Larger ones would compress little better and make reading one message slower.
pub const SEGMENT_BYTES: usize = 256 * KIB as usize;

/// An object of at least this size gets a segment of its own: it fills a gzip window by itself.
pub const OWN_SEGMENT_BYTES: usize = 64 * KIB as usize;

/// An object of more than this size is compressed as a stream with a few buffers, instead of being held twice more.
pub const STREAMED_OBJECT_BYTES: usize = 4 * MIB as usize;

/// Uncompressed bytes of segments that wait for compression or for their turn in the pack; bounds the writer's memory.
pub const SEALED_BYTES: u64 = 8 * MIB;

/// Segments after which, or [`SEALED_BYTES`] after which, one counts for the size of its pack: as many as eight threads keep
/// under way. The same for any number of threads, because it decides with which segment a pack ends.
pub const LAG_SEGMENTS: usize = 16;

/// Bytes of small objects of one kind, as tar entries, that are ordered before they go into segments. More would save
/// more, but spread a folder's messages over more segments than a reader keeps (docs/measurements.md).
pub const WINDOW_BYTES: u64 = 2 * MIB;

/// Bytes of a pack after which the disk is asked to begin writing them. Chosen.
pub const WRITE_BEHIND_BYTES: u64 = 4 * MIB;

/// Largest buffer that a compressor keeps for the next segment, bytes; that for a rare large one is given back.
pub const KEPT_BUFFER_BYTES: usize = MIB as usize;

/// A pack that has reached this size is published (architecture section 2: 16 to 64 MiB). One large object can make a
/// pack of any size.
pub const PACK_BYTES: u64 = 32 * MIB;

/// Most segments of one pack; their numbers have 16 bits in the index. A pack is published when it has so many.
pub const SEGMENTS_PER_PACK: usize = 60_000;

/// Most uncompressed bytes of a segment that is inflated in memory; larger ones are streamed. Holds the largest object
/// that is held at all, with its header and padding.
pub const WHOLE_SEGMENT_BYTES: u64 = WHOLE_ITEM_BYTES + MIB;

/// DEFLATE cannot do better than 258 bytes from two bits (RFC 1951 3.2.5). A claim beyond is a lie, and is refused
/// before memory is asked for.
pub const DEFLATE_RATIO: u64 = 1032;

/// Largest index of a pack that is read, bytes: eleven million objects. Stops a forged file from filling the memory.
pub const INDEX_BYTES: u64 = 256 * MIB;

/// Objects whose places are held in memory; more are merged into a table on disk. They take up to 35 bytes each; half as
/// many would mean twice as many merges of a large table.
pub const TABLE_HELD_OBJECTS: usize = 128 * 1024;

/// Packs whose indexes are held in memory, so that a table that is opened again need not read thousands of small files.
pub const TABLE_HELD_PACKS: usize = 256;

/// Indexes that one merge reads from their files; each takes an open file and a buffer of 64 KiB.
pub const TABLE_MERGED_AT_ONCE: usize = 64;

/// Bytes of a table that are written at once. Chosen; nothing depends on it.
pub const TABLE_WRITE_BYTES: usize = 256 * KIB as usize;

/// Searches of single indexes after which a reader makes a table, beside what the size of the archive allows. A table of
/// a hundred thousand objects costs as much time.
pub const DIRECT_SEARCHES: u64 = 4096;

/// Inflated segments that a reader keeps, bytes. Neighbours are read together.
pub const SEGMENT_CACHE_BYTES: usize = 8 * MIB as usize;

/// Indexes that a reader keeps open while it looks into them as they lie; a quarter of what a process may open.
pub const OPEN_INDEXES: usize = 256;

/// Packs that a reader keeps open.
pub const OPEN_PACKS: usize = 64;

/// Most bytes of an object that is copied out without being held: what a tar header can say (eleven octal digits).
pub const COPIED_BYTES: u64 = 0o77_777_777_777;

/// How deep recipes may refer to objects that are recipes themselves. Loops cannot exist as long as SHA-256 holds; a
/// forged archive could still make a tower.
pub const JOIN_DEPTH: usize = 8;

/// Largest `wagon.json`, bytes.
pub const ARCHIVE_HEADER_BYTES: u64 = 64 * KIB;

/// Largest head of a snapshot, bytes of JSON: about half a million changed accounts.
pub const SNAPSHOT_HEAD_BYTES: u64 = 64 * MIB;

/// Largest table of contents of a snapshot, bytes of JSON lines.
pub const SNAPSHOT_CONTENTS_BYTES: u64 = 64 * MIB;

/// Largest entry of a snapshot, bytes: a full manifest of about five million items.
pub const SNAPSHOT_ENTRY_BYTES: u64 = 1024 * MIB;

/// Largest entry of a snapshot that is inflated in one go; larger ones are read line by line. Chosen so that ordinary
/// manifests keep the faster way (libdeflate) and a bomb does not get memory.
pub const WHOLE_ENTRY_BYTES: u64 = 8 * MIB;

/// Longest line of a snapshot's entry, bytes: a list of half a million members. Bounds what one line of a forged manifest
/// can take.
pub const SNAPSHOT_LINE_BYTES: u64 = 32 * MIB;

/// Accounts in the heads of the snapshots that an open archive keeps parsed. Reading a chain account by account opens
/// each snapshot again and again.
pub const KEPT_HEAD_ACCOUNTS: usize = 200_000;

/// Most objects and most places that one finding of a check names; beyond, it only counts.
pub const FINDING_NAMES: usize = 1_000;
// Messages taken apart (src/message, format-spec/message.md).

/// Longest MIME boundary that is searched for, bytes. RFC 2046, section 5.1.1, allows 70; some mailers write more. A
/// multipart with a longer one is not divided.
pub const MIME_BOUNDARY_BYTES: usize = 256;

/// Most pieces of a skeleton: every part with a literal before it, and one behind the last.
pub const SKELETON_PIECES: usize = 2 * MIME_PARTS + 1;

/// Longest line in the head of a skeleton, bytes with its line end. The longest that can be written has 112: kind, name,
/// two numbers of 20 digits, line end.
pub const SKELETON_LINE_BYTES: usize = 128;

/// Most bytes of a skeleton before its literals. Keeps a skeleton that is fetched within what its message may have.
pub const SKELETON_HEAD_BYTES: u64 = (SKELETON_PIECES as u64 + 2) * SKELETON_LINE_BYTES as u64;

/// Bytes collected before a joined message is written on; parts and literals above it are not copied.
pub const JOIN_BUFFER_BYTES: usize = 32 * KIB as usize;
// The directory site as a target.

/// How long another program's `dovecot-uidlist.lock` is waited for; Dovecot waits as long.
pub const LOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(130);

/// A lock file that has not changed for so long belongs to nobody; Dovecot's own number for its uidlist.
pub const LOCK_STALE: std::time::Duration = std::time::Duration::from_secs(120);

/// How often a held lock is looked at. Chosen; a uidlist is locked for milliseconds.
pub const LOCK_POLL: std::time::Duration = std::time::Duration::from_millis(20);

/// Largest UID that is kept. A higher one would leave a folder without room for new mail: a hostile archive could close
/// a mailbox with one message.
pub const LARGEST_KEPT_UID: u32 = 4_000_000_000;

/// Longest item name that is written as it is, bytes; a file name has 255 at most, and flags and temporary names need
/// some of them.
pub const ITEM_NAME_BYTES: usize = 200;

/// Longest local part or domain that becomes a folder's name, bytes (a file name's bound; RFC 5321 has 64 and 255).
pub const ADDRESS_PART_BYTES: usize = 255;

/// Batches of at most so many messages are made durable one by one; larger ones with one `syncfs`, which costs one
/// commit of the journal as each `fsync` does, but also writes what others have not synced. Chosen.
pub const SYNC_ONE_BY_ONE: usize = 2;

/// Accounts whose item names are remembered at once; the one unused for longest is read again when it is needed.
/// An account of 50,000 messages takes about 1 MB.
pub const NAME_SETS: usize = 16;

/// Maildir folders whose listings are remembered at once while single messages are changed. A folder of 50,000 messages
/// takes about 10 MB.
pub const FOLDER_VIEWS: usize = 6;
// The directory site as a source.

/// Most rows of one table of a `site.sqlite` that are read at once; a hostile file must not fill the memory. A mailbox
/// of a million messages, each with three tags, has three million.
pub const SITE_DB_ROWS: u64 = 10_000_000;

/// Longest value in a `site.sqlite`, bytes: a signature with pictures in it has hundreds of kilobytes.
pub const SITE_DB_VALUE_BYTES: usize = 16 * MIB as usize;

/// How near a file's time may be to the clock of the scan that saw it, nanoseconds, for the scan mark not to be trusted.
/// File times step by up to 10 ms (the kernel's tick), on some network file systems by a second.
pub const RACY_NANOS: u128 = 1_000_000_000;

/// How often a Maildir folder that changes while it is listed is listed in one scan. What the last listing may still
/// have missed changes the folder's times, so the next pass finds it.
pub const LISTING_ROUNDS: usize = 3;

/// Accounts whose subscriptions and database rows are kept between two looks at their folders; at least the number of
/// accounts that are scanned at once.
pub const VIEWS_KEPT: usize = 32;

/// For how long these are not compared with their files again while the folders of their account are compared with the
/// marks of an earlier pass.
pub const VIEW_FRESH: std::time::Duration = std::time::Duration::from_secs(1);

/// Bad lines of one control file in a mailbox that are reported one by one.
pub const BAD_LINES_SHOWN: usize = 20;
// Tables for people.

/// Widest column, characters; what is longer stands out of it. One name of a megabyte would else widen every row, and
/// formatting knows no width above 65,535.
pub const COLUMN_CHARS: usize = 120;

// Shares.

/// Largest journal of a fix that is read, bytes. A step has about 500, so this is half a million shares mended at once.
pub const JOURNAL_BYTES: u64 = 256 * MIB;

/// Fixes that one second can bring, so that finding a free name for a journal ends. Chosen; nothing depends on it.
pub const JOURNALS_A_SECOND: u32 = 1000;

/// Most rows of a matrix in which grants are expanded to accounts. A grant to everyone on each folder of a large site has
/// as many as folders times accounts; what comes after is listed as granted only.
pub const MATRIX_ROWS: usize = 1_000_000;

/// Most recipients of one copy that are remembered while looking for the end of its trace; keeps that linear.
pub const TRACE_RECIPIENTS: usize = 8;

/// Longest address in a trace that is understood, bytes. RFC 5321, section 4.5.3.1: 64 + 1 + 255, and brackets.
pub const TRACE_ADDRESS_BYTES: usize = 322;

/// How far into a Received field the peer's address is looked for, bytes. It stands in the first line or two.
pub const TRACE_PEER_BYTES: usize = 2 * KIB as usize;

// Encryption and signatures.

/// Longest header of an encrypted file, and largest `key.age`, bytes. A public key takes about 100, so this is room for ten
/// times [`RECIPIENTS`]; `age` itself would read on for ever.
pub const AGE_HEADER_BYTES: u64 = 64 * KIB;

/// Most public keys of an archive: every file carries a line for each.
pub const RECIPIENTS: usize = 64;

/// Chunks of 64 KiB that each open encrypted file holds decrypted. Two, because a segment seldom ends where a chunk does.
pub const HELD_CHUNKS: usize = 2;

/// Least bytes that an encrypted file is filled up to: what a pass that found nothing and one that found a little share.
pub const LEAST_SEALED_BYTES: u64 = 4 * KIB;

/// Hardest work that a `key.age` may ask for, as a power of two: about 16 times what `age` asks for on a machine of today.
/// A forged one would otherwise keep a processor busy for hours and take all memory.
pub const SCRYPT_WORK_FACTOR: u8 = 22;

/// Largest file of keys, bytes: a thousand with comments.
pub const KEY_FILE_BYTES: u64 = 256 * KIB;

/// Largest signature, bytes: four short lines.
pub const SIGNATURE_BYTES: u64 = 4 * KIB;

/// Largest list of snapshots that are other exporters', bytes: a million of them.
pub const FOREIGN_BYTES: u64 = 64 * MIB;
// Upkeep: broken chains, repair, forget, prune.

/// How far numbers of records, folders and items jump when a pass has to go on without a snapshot that may have given
/// some away. More than any snapshot adds to one account; the 32 bits have room for four thousand such jumps.
pub const NUMBER_GAP: u32 = 1 << 20;

/// How long a reader waits for a prune that removes files, which takes milliseconds, and a prune for readers.
pub const READER_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Bytes of packs that are written anew before the old ones go: what a prune needs of the disk beside the archive.
pub const REWRITE_BATCH_BYTES: u64 = 256 * MIB;

/// A pack of less than this is small; several of them are put together.
pub const SMALL_PACK_BYTES: u64 = 4 * MIB;

/// So many small packs are worth putting together. Fewer would be written anew by every prune.
pub const SMALL_PACKS: usize = 8;

/// Bytes of entries that a repack holds and sorts, so that like lies beside like.
pub const LIKENESS_BYTES: usize = 24 * MIB as usize;

/// Largest `wanted.json`, bytes.
pub const WANTED_BYTES: u64 = 64 * MIB;

/// Bytes of recipes that a check collects before it joins them in the order of what they are joined from.
pub const JOIN_WINDOW_BYTES: usize = 8 * MIB as usize;

/// Segments that a check looks at before it goes on with what they gave; bounds what is held of them.
pub const CHECK_SEGMENTS: usize = 32;

// Throttles.

/// Bursts that make a second's worth: an eighth of a second's bytes may pass at once. Long enough that a wait is longer than
/// what the scheduler adds to it, short enough that nobody else at the disk notices.
pub const THROTTLE_BURSTS_A_SECOND: u64 = 8;

/// Least bytes that a throttled read or write is cut to: a page; less would only cost calls.
pub const THROTTLE_PIECE_BYTES: usize = 4 * KIB as usize;

/// Slowest rate that may be asked for, bytes a second. Below it a single message takes minutes, which is a typing error.
pub const THROTTLE_LEAST_RATE: u64 = KIB;

/// How often a throttled wait looks whether the user wants to stop.
pub const THROTTLE_LOOK: std::time::Duration = std::time::Duration::from_millis(20);

// Live servers.

/// Longest wait for a server to take a connection.
pub const SERVER_CONNECT: std::time::Duration = std::time::Duration::from_secs(30);

/// Longest silence of a server within an answer, and longest time that it takes no byte of ours. RFC 9051 5.4 lets a server
/// log out after 30 minutes; a search in a large mailbox takes one or two.
pub const SERVER_SILENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// Addresses of one host that are tried.
pub const SERVER_ADDRESSES: usize = 8;

/// Largest file of root certificates, bytes. Debian's whole bundle has 220 KB.
pub const CERTIFICATE_FILE_BYTES: u64 = 16 * MIB;

/// Largest file with a secret, bytes.
pub const SECRET_BYTES: u64 = 64 * KIB;

// Site descriptions.

/// Largest site description, bytes. One that lists ten thousand accounts itself has about one MiB.
pub const DESCRIPTION_BYTES: u64 = 16 * MIB;

/// Largest file of accounts (CSV or passwd-file) and of logins, bytes. A line has about 200, so this is over a million.
pub const ACCOUNTS_FILE_BYTES: u64 = 256 * MIB;

/// Connections to one server at a time, unless the description says otherwise. Cyrus and Dovecot take ten a user and
/// address as they are delivered (`mail_max_userip_connections`).
pub const SERVER_CONNECTIONS: usize = 8;

/// Most connections to one server that a description may ask for.
pub const SERVER_CONNECTIONS_MOST: usize = 256;

/// What `wagon site check` reads to tell how fast a server is: items, bytes and time at most.
pub const SAMPLE_ITEMS: u64 = 200;
pub const SAMPLE_BYTES: u64 = 32 * MIB;
pub const SAMPLE_TIME: std::time::Duration = std::time::Duration::from_secs(10);
/// Further tries of a connection that is lost before anything was done on it.
pub const SERVER_RETRIES: usize = 4;

/// Shortest wait before another try; it doubles with each.
pub const SERVER_RETRY_LEAST: std::time::Duration = std::time::Duration::from_millis(500);

/// Connections to one server that wait for more to do, each logged in for one account. An importer has a few accounts at
/// work at a time, and servers bound their connections (Dovecot: 10 a user and address, 1024 logins in all).
pub const SERVER_IDLE: usize = 16;

// ManageSieve.

/// Longest line of an answer, literals apart, bytes. RFC 5804 4 bounds a quoted string to 1024.
pub const SIEVE_LINE_BYTES: u64 = 16 * KIB;

/// Words of one line.
pub const SIEVE_WORDS: usize = 1024;

/// Largest script, bytes. Pigeonhole's own bound is 1 MiB, Cyrus's 32 KiB, unless they are told otherwise.
pub const SIEVE_SCRIPT_BYTES: u64 = 4 * MIB;

/// Most bytes of one answer; holds the largest script and thousands of names.
pub const SIEVE_ANSWER_BYTES: u64 = 8 * MIB;

/// Most scripts of one account.
pub const SIEVE_SCRIPTS: usize = 4096;

/// Longest name of a script that every server takes, characters (RFC 5804 1.6).
pub const SIEVE_NAME_CHARS: usize = 128;

// CalDAV and CardDAV.

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

/// Resources of a collection that its mark lists; of a larger one the mark keeps a hash, and a change costs a new listing.
pub const DAV_MARK_MEMBERS: usize = 20_000;

/// Most bytes of an error that are read, and most characters of it that are told.
pub const DAV_WORDS_BYTES: u64 = 64 * KIB;
pub const DAV_WORDS_CHARS: usize = 500;

/// Most bytes of an answer's headers.
pub const DAV_HEADER_BYTES: usize = 64 * KIB as usize;

/// Connections of one account that wait for more to do.
pub const DAV_IDLE: usize = 4;

/// Redirections from one request.
pub const DAV_REDIRECTS: usize = 5;

/// Longest wait that a server may ask for with Retry-After.
pub const DAV_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
// Directory servers (LDAP).

/// Entries asked for in one page of a search (RFC 2696); servers commonly allow 500 or 1000.
pub const LDAP_PAGE: u32 = 500;

/// Most entries that a search takes; what comes after is reported as not looked at. A server that never ends stops here.
pub const LDAP_ENTRIES: usize = 2_000_000;

/// Most bytes of values held of a directory at once. A hundred thousand accounts have about 40 MB.
pub const LDAP_BOOK_BYTES: usize = 1024 * MIB as usize;

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
// IMAP.

/// Longest line of an answer without its literals, bytes. A listing of ten thousand keywords has 200 KB.
pub const IMAP_LINE_BYTES: usize = 256 * KIB as usize;

/// Longest line that only lists numbers (`VANISHED`, `SEARCH`), bytes; a mailbox of a million messages of which every other
/// one was removed gives 4 MB. It is read as ranges, not as single numbers.
pub const IMAP_NUMBERS_BYTES: usize = 16 * MIB as usize;

/// Largest literal that a server may send where no message was asked for, bytes: a folder's name, a header of
/// [`IMAP_HEADER_BYTES`].
pub const IMAP_LITERAL_BYTES: u64 = 128 * KIB;

/// How deep lists may lie in each other in an answer. What we ask for has three levels.
pub const IMAP_DEPTH: usize = 8;

/// Answers to one command that nobody asked for. A server that talks for ever is hung up on.
pub const IMAP_UNASKED: usize = 200_000;

/// Folders of one account that are listed, and ranges of numbers in one answer.
pub const IMAP_FOLDERS: usize = 200_000;
pub const IMAP_RANGES: usize = 2_000_000;

/// Bytes of a message that are asked for at once; a longer one comes in several pieces.
pub const IMAP_PIECE_BYTES: u64 = MIB;

/// Bytes and messages that are asked for ahead of their being read, for one account.
pub const IMAP_AHEAD_BYTES: u64 = 2 * MIB;
pub const IMAP_AHEAD_ITEMS: usize = 256;

/// Messages that are asked for with the first command in a folder; twice as many with each next, while they are wanted.
pub const IMAP_FIRST_WINDOW: usize = 8;

/// Folders whose order of reading is kept, and messages in them; 8 bytes each.
pub const IMAP_PLANS: usize = 4096;
pub const IMAP_PLANNED: usize = 1 << 20;

/// Commands that are sent ahead of their answers. More could fill the buffers of both sides, and each would wait for the
/// other to read.
pub const IMAP_PIPELINE: usize = 128;

/// Accounts for which messages that came ahead are kept; more than one only while a pass goes from one to the next.
pub const IMAP_AHEAD_ACCOUNTS: usize = 4;

/// Bytes of a header by which a message is known again where the server has no lasting names.
pub const IMAP_HEADER_BYTES: u64 = 64 * KIB;

/// Messages of a folder that are asked for with one command, and rows that are written to the state at once.
pub const IMAP_ROWS: usize = 5_000;

/// How often something is tried again after a lost connection or a server that asks to wait, and the waits between.
pub const IMAP_TRIES: usize = 6;
pub const IMAP_FIRST_WAIT: std::time::Duration = std::time::Duration::from_millis(200);
pub const IMAP_LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Messages and bytes of one APPEND that brings several (MULTIAPPEND): one refused message makes the server refuse all.
pub const IMAP_APPEND_ITEMS: usize = 64;
pub const IMAP_APPEND_BYTES: u64 = 4 * MIB;
