//! Bounds of the archive's files: segments, packs, indexes, snapshots, and what a reader keeps of them.

use super::{KIB, MIB, WHOLE_ITEM_BYTES};

/// Uncompressed bytes at which a segment that collects small objects is closed (architecture section 3: about 256 KiB).
/// Larger ones would compress little better and make reading one message slower.
pub const SEGMENT_BYTES: usize = 256 * KIB as usize;

/// An object of at least this size gets a segment of its own: it fills a gzip window by itself.
pub const OWN_SEGMENT_BYTES: usize = 64 * KIB as usize;

/// An object of more than this size is compressed as a stream with a few buffers, instead of being held twice more.
pub const STREAMED_OBJECT_BYTES: usize = 4 * MIB as usize;

/// Uncompressed bytes of segments that wait for compression or for their turn in the pack; bounds the writer's memory.
pub const SEALED_BYTES: u64 = 8 * MIB;

/// Segments after which, or [`SEALED_BYTES`] after which, one counts for the size of its pack: as many as eight threads
/// keep under way. The same for any number of threads, because it decides with which segment a pack ends.
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

/// Objects at which a pack is published, whatever its size. The names of those that were not published yet are held in
/// memory: with messages of a few hundred bytes a pack of 32 MiB would have half a million (16 MiB of names), while those
/// of usual mail have about as many as this.
pub const OBJECTS_PER_PACK: usize = 32 * 1024;

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
pub const TABLE_HELD_OBJECTS: usize = 64 * 1024;

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

/// Most inflated segments in scratch files, bytes of disk, of whoever reads a whole archive. Three times what site-medium's
/// 99 MB inflate to.
pub const SPOOL_BYTES: u64 = 1024 * MIB;

/// Bytes at which a scratch file is followed by another; the oldest goes as a whole.
pub const SPOOL_FILE_BYTES: u64 = 128 * MIB;

/// Free bytes that a disk must have for scratch files to stay on it. What is imported may be the next to need them.
pub const SPOOL_LEAVES_BYTES: u64 = 2 * SPOOL_BYTES;

/// Uses of the scratch files between two looks at the free bytes.
pub const SPOOL_LOOKS: u32 = 64;

/// Read at once from a scratch file: most objects are no longer.
pub const SPOOL_READ_BYTES: usize = 8 * KIB as usize;

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

/// Bytes of an account's manifest that are held before they go to a temporary file; such a one is compressed in a stream,
/// at the level that zlib takes by itself (chosen; nothing depends on it).
pub const SNAPSHOT_HELD_BYTES: usize = 4 * MIB as usize;
pub const SNAPSHOT_LONG_LEVEL: u32 = 6;

/// Longest line of a snapshot's entry, bytes: a list of half a million members. Bounds what one line of a forged manifest
/// can take.
pub const SNAPSHOT_LINE_BYTES: u64 = 32 * MIB;

/// Accounts in the heads of the snapshots that an open archive keeps parsed. Reading a chain account by account opens
/// each snapshot again and again.
pub const KEPT_HEAD_ACCOUNTS: usize = 200_000;

/// Most objects and most places that one finding of a check names; beyond, it only counts.
pub const FINDING_NAMES: usize = 1_000;
