//! Names that lead to files or are shown: addresses, folders, file names, ids.

use stationwagon::map;
use stationwagon::model::id::{ObjectId, SiteId};
use stationwagon::model::mailbox::{FolderKey, FolderKind};
use stationwagon::model::text;
use stationwagon::site::directory::layout;
use stationwagon::site::directory::maildir::{folder_dir, mutf7, name};
use stationwagon::site::directory::vdir;
use std::path::{Component, Path};

pub fn names(bytes: &[u8]) {
    let shown = text::from_bytes(bytes);
    assert!(!text::printable(&shown).contains(char::is_control));
    places(&shown);
    folders(bytes, &shown);
    let parsed = name::parse(bytes);
    assert!(bytes.starts_with(parsed.base) && !parsed.base.contains(&b':'));
    let again = name::encode(parsed.base, parsed.flags, parsed.keywords);
    assert_eq!(name::parse(&again), parsed);
    let _ = (name::stated_size(bytes, b'S'), name::stated_size(bytes, b'W'));
    if let Some(title) = vdir::parse_metadata(bytes) {
        assert_eq!(vdir::parse_metadata(&vdir::encode_metadata(&title)), Some(title));
    }
    if let Some(site) = map::source_of_file_name(&shown) {
        assert_eq!(map::file_name(&site), shown);
    }
    if let Ok(site) = shown.parse::<SiteId>() {
        assert_eq!(site.as_str(), shown);
    }
    if let Ok(id) = shown.parse::<ObjectId>() {
        assert_eq!(id.to_string(), shown);
    }
}

/// An address leads to a place three levels below the root, or nowhere.
fn places(address: &str) {
    for home in [layout::mail_home(address), layout::dav_home(address)].into_iter().flatten() {
        let levels: Vec<_> = home.components().collect();
        assert_eq!(levels.len(), 3, "{home:?}");
        assert!(levels.iter().all(|level| matches!(level, Component::Normal(_))), "{home:?}");
        assert!(!home.to_string_lossy().contains('\0'));
    }
}

fn folders(bytes: &[u8], shown: &str) {
    if let Some(text) = mutf7::decode(shown) {
        assert_eq!(mutf7::encode(&text), shown);
    }
    assert_eq!(mutf7::decode(&mutf7::encode(shown)).as_deref(), Some(shown));
    let _ = folder_dir::parse(bytes);
    let Ok(key) = FolderKey::new(FolderKind::Mail, shown) else { return };
    let held = folder_dir::holdable(key.path()).map_or(shown.to_owned(), |replacement| replacement.path);
    assert_eq!(folder_dir::holdable(&held), None, "a replacement needs none");
    let dir = folder_dir::encode(&held);
    assert!(dir.len() <= folder_dir::NAME_BYTES);
    let levels: Vec<_> = Path::new(&dir).components().collect();
    assert!(levels.len() <= 1 && levels.iter().all(|level| matches!(level, Component::Normal(_))), "{dir:?}");
    if held != "INBOX" {
        assert_eq!(folder_dir::parse(dir.as_bytes()), held);
    }
}
