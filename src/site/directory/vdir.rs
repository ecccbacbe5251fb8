//! The files of a vdir collection that are no items: `displayname`, `color`, `description`, `order` and `components`.
//!
//! The first two are specified at <https://vdirsyncer.pimutils.org/en/stable/vdir.html>, the next two are what vdirsyncer
//! 0.19 keeps beside them, the last is ours. Pure.

use crate::model::mailbox::{Folder, FolderKind};
use crate::model::text;
use std::collections::BTreeSet;

pub const DISPLAYNAME: &str = "displayname";
pub const COLOR: &str = "color";
pub const DESCRIPTION: &str = "description";
pub const ORDER: &str = "order";
pub const COMPONENTS: &str = "components";

/// All of them.
pub const METADATA: [&str; 5] = [DISPLAYNAME, COLOR, DESCRIPTION, ORDER, COMPONENTS];

/// What a metadata file holds of a folder; `None` where the file is none.
pub fn metadata<'f>(folder: &'f mut Folder, file: &[u8]) -> Option<&'f mut Option<String>> {
    match METADATA.into_iter().find(|name| name.as_bytes() == file)? {
        DISPLAYNAME => Some(&mut folder.title),
        COLOR => Some(&mut folder.color),
        DESCRIPTION => Some(&mut folder.description),
        ORDER => Some(&mut folder.order),
        _ => Some(&mut folder.components),
    }
}

/// The metadata files of a folder, each with what it should say.
pub fn metadata_files(folder: &Folder) -> [(&'static str, &Option<String>); 5] {
    let Folder { title, color, description, order, components, .. } = folder;
    [(DISPLAYNAME, title), (COLOR, color), (DESCRIPTION, description), (ORDER, order), (COMPONENTS, components)]
}

/// Longest of these that is taken, bytes; what a calendar list can show has far less.
const METADATA_BYTES: usize = 4096;

/// What a metadata file says: its text without white space around it; nothing when it is empty.
pub fn parse_metadata(bytes: &[u8]) -> Option<String> {
    let trimmed = bytes.get(..METADATA_BYTES).unwrap_or(bytes).trim_ascii();
    (!trimmed.is_empty()).then(|| text::from_bytes(trimmed))
}

/// Names of components as the archive has them: in capitals, sorted, each once, with spaces between them.
pub fn components(text: &str) -> Option<String> {
    let names: BTreeSet<String> = text.split_ascii_whitespace().map(str::to_ascii_uppercase).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(" "))
}

/// A metadata file.
pub fn encode_metadata(value: &str) -> Vec<u8> {
    format!("{}\n", value.trim_ascii()).into_bytes()
}

/// The directory below an account's part of `dav/` that holds the folders of `kind`; `None` for what does not lie there.
pub fn kind_dir(kind: FolderKind) -> Option<&'static str> {
    match kind {
        FolderKind::Calendars | FolderKind::Contacts | FolderKind::Tasks | FolderKind::Files => Some(kind.word()),
        FolderKind::Mail | FolderKind::Filters => None,
    }
}

/// The ending that items of a kind have, without a dot; `None` where any file is an item.
pub fn extension(kind: FolderKind) -> Option<&'static str> {
    match kind {
        FolderKind::Calendars | FolderKind::Tasks => Some("ics"),
        FolderKind::Contacts => Some("vcf"),
        FolderKind::Filters => Some("sieve"),
        FolderKind::Mail | FolderKind::Files => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_trimmed_and_comes_back() {
        assert_eq!(parse_metadata(b" Feiertage & Ferien \n\n").as_deref(), Some("Feiertage & Ferien"));
        assert_eq!(parse_metadata(b"\n"), None);
        assert_eq!(components("vtodo VEVENT\nVTODO").as_deref(), Some("VEVENT VTODO"));
        assert_eq!(components(" "), None);
        for title in ["#3a87ad", "\u{a0}Ferien\u{b}"] {
            assert_eq!(parse_metadata(&encode_metadata(title)).as_deref(), Some(title));
        }
        assert_eq!(parse_metadata(&vec![b'x'; 10_000]).map(|title| title.len()), Some(METADATA_BYTES));
    }
}
