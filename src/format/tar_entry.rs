//! Tar entries as an archive has them: one ustar header with nothing in it but a name and a size, the content, and
//! zeros up to the next block of 512 bytes.
//!
//! Promises: one name and size give one header, and no other header is read. So the same objects make the same packs,
//! and there is nothing in a header that a stranger could lie about. Format: format-spec/pack.md.

use super::FormatError;
use crate::limits::COPIED_BYTES;
use crate::model::id::ObjectId;
use std::fmt;

/// Bytes of a tar block.
pub const BLOCK: usize = 512;

/// What ends a tar file: two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Longest name of an entry; the header has no room for more.
const NAME_BYTES: usize = 100;

/// The name of an entry in a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryName {
    /// `o/<64 hex>`: the content is the object.
    Object(ObjectId),
    /// `m/<64 hex>`: the content is the recipe from which the object is joined.
    Recipe(ObjectId),
}

impl EntryName {
    /// The object that the entry gives, as it is or joined.
    pub fn id(&self) -> &ObjectId {
        match self {
            Self::Object(id) | Self::Recipe(id) => id,
        }
    }

    /// The name that `text` spells; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, hex) = text.split_once('/')?;
        let id = hex.parse().ok()?;
        match kind {
            "o" => Some(Self::Object(id)),
            "m" => Some(Self::Recipe(id)),
            _ => None,
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(id) => write!(f, "o/{id}"),
            Self::Recipe(id) => write!(f, "m/{id}"),
        }
    }
}

/// The header of an entry. Names have 1 to 100 bytes of `a-z`, `0-9`, `.`, `-`, `_` and `/`, no level empty or beginning
/// with a dot; sizes fit eleven octal digits (8 GiB).
pub fn header(name: &str, size: u64) -> Result<[u8; BLOCK], FormatError> {
    if !is_name(name) {
        let shown: String = name.chars().take(NAME_BYTES).collect();
        return Err(FormatError::Malformed { what: format!("{shown:?} is no name of an entry"), at: 0 });
    }
    if size > COPIED_BYTES {
        return Err(FormatError::OverBound { what: "size of an entry", found: size, bound: COPIED_BYTES });
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(text) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    for (to, from) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").as_bytes()) {
        *to = *from;
    }
    Ok(block)
}

/// Name and size that a header says; `at` is where it lies, for the error. Refuses any header but the one that
/// [`header`] makes.
pub fn parse_header(block: &[u8], at: u64) -> Result<(&str, u64), FormatError> {
    let malformed = || FormatError::Malformed { what: "no tar header of an archive".to_owned(), at };
    let name = block.get(..NAME_BYTES).and_then(|field| field.split(|&byte| byte == 0).next()).ok_or_else(malformed)?;
    let name = std::str::from_utf8(name).map_err(|_| malformed())?;
    let digits = block.get(124..135).and_then(|field| std::str::from_utf8(field).ok()).ok_or_else(malformed)?;
    let size = u64::from_str_radix(digits, 8).map_err(|_| malformed())?;
    if header(name, size).map_err(|_| malformed())?.as_slice() != block {
        return Err(malformed());
    }
    Ok((name, size))
}

/// The zeros that follow a content of `size` bytes, 0 to 511.
pub fn padding(size: u64) -> usize {
    // The remainder is below 512.
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Bytes that an entry with a content of `size` bytes takes, header and padding included.
pub fn entry_bytes(size: u64) -> u64 {
    size.saturating_add(BLOCK as u64).saturating_add(padding(size) as u64)
}

/// The entry whose header lies at byte `at` of `tar`: its name and content.
pub fn entry_at(tar: &[u8], at: usize) -> Result<(&str, &[u8]), FormatError> {
    let short = || FormatError::Malformed { what: "an entry that reaches beyond its end".to_owned(), at: at as u64 };
    let block = at.checked_add(BLOCK).and_then(|end| tar.get(at..end)).ok_or_else(short)?;
    let (name, size) = parse_header(block, at as u64)?;
    let rest = tar.get(at + BLOCK..).ok_or_else(short)?;
    let content = usize::try_from(size).ok().and_then(|size| rest.get(..size)).ok_or_else(short)?;
    let zeros = rest.get(content.len()..content.len() + padding(size)).ok_or_else(short)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(FormatError::Malformed { what: "padding that is not zero".to_owned(), at: at as u64 });
    }
    Ok((name, content))
}

/// The entries that fill `tar` from its first to its last byte: where each begins, its name, its content. Ends with the
/// first that is malformed.
pub fn entries(tar: &[u8]) -> impl Iterator<Item = Result<(usize, &str, &[u8]), FormatError>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let at = next.filter(|&at| at < tar.len())?;
        let entry = entry_at(tar, at);
        // A content that lies in memory has a length that does not overflow.
        next = entry.as_ref().ok().map(|(_, content)| at + BLOCK + content.len() + padding(content.len() as u64));
        Some(entry.map(|(name, content)| (at, name, content)))
    })
}

fn is_name(name: &str) -> bool {
    let fine = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'/');
    name.len() <= NAME_BYTES
        && name.bytes().all(fine)
        && name.split('/').all(|level| !level.is_empty() && !level.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_the_one_that_the_specification_shows() {
        let block = header("snapshot.json", 1234).unwrap();
        let text: String = block.iter().map(|&byte| if byte == 0 { '~' } else { char::from(byte) }).collect::<String>();
        assert!(text.starts_with("snapshot.json~"));
        assert_eq!(&text[100..157], "0000644~0000000~0000000~00000002322~00000000000~010476~ 0");
        assert_eq!(&text[257..265], "ustar~00");
        assert_eq!(parse_header(&block, 0).unwrap(), ("snapshot.json", 1234));
    }

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        for name in ["", "/etc/passwd", "a//b", "../x", "a/../b", ".hidden", "a/", "A", "a b", &"x".repeat(101)] {
            assert!(header(name, 0).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_size_that_tar_cannot_say_is_refused() {
        assert!(header("o", COPIED_BYTES).is_ok());
        assert!(matches!(header("o", COPIED_BYTES + 1), Err(FormatError::OverBound { .. })));
    }

    proptest! {
        #[test]
        fn entries_come_back(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..5)) {
            let mut tar = Vec::new();
            for (at, content) in contents.iter().enumerate() {
                tar.extend(header(&format!("accounts/{at}.jsonl"), content.len() as u64).unwrap());
                tar.extend(content);
                tar.resize(tar.len() + padding(content.len() as u64), 0);
            }
            let read: Vec<_> = entries(&tar).map(|entry| entry.unwrap().2.to_vec()).collect();
            prop_assert_eq!(read, contents);
        }

        #[test]
        fn any_other_header_is_refused(at in 0..BLOCK, flip in 1..=255u8) {
            let mut block = header("o/1", 77).unwrap();
            block[at] ^= flip;
            prop_assert!(parse_header(&block, 0).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = entries(&bytes).count();
        }
    }
}
