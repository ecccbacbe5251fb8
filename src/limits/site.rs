//! Bounds of what any site may hold: folders, control files, reasons.

use super::{KIB, MIB};

/// Longest folder path, bytes of UTF-8. Twice what servers let through (Dovecot 4096 a path, RFC 3501 has no bound);
/// stops manifests that would make megabyte paths.
pub const FOLDER_PATH_BYTES: usize = 8 * KIB as usize;

/// Largest control file of a site (uidlist, passwd, alias map, ACL, subscriptions) that is read, bytes. A uidlist of a
/// million messages has about 60 MB.
pub const CONTROL_FILE_BYTES: u64 = 256 * MIB;

/// Bytes that are held of a control file that is read piece by piece: a thousand lines of a uidlist.
pub const CONTROL_WINDOW_BYTES: usize = 64 * KIB as usize;

/// Folder levels a mailbox may have; deeper folders are rejected. Dovecot's own bound is of the same order.
pub const FOLDER_DEPTH: usize = 64;

/// Most folders of one account. A loop of symbolic links ends here.
pub const FOLDERS_PER_ACCOUNT: usize = 100_000;

/// Longest reason kept with a rejection, bytes.
pub const REASON_BYTES: usize = 500;
