//! Encrypted files of an archive: the header of age, its chunks, and what lies in them, as an enemy writes them for a
//! key that the reader has.

use super::memory_fs::MemoryFs;
use sha2::{Digest, Sha256};
use stationwagon::archive::check::check;
use stationwagon::archive::{Archive, Identities};
use stationwagon::event::Silent;
use stationwagon::limits;
use stationwagon::model::hex;
use stationwagon::model::id::ObjectId;
use std::path::Path;
use std::sync::Arc;

/// Made for this; it opens nothing else.
const KEY: &str = include_str!("../keys/sealed.key");
const PUBLIC: &str = include_str!("../keys/sealed.pub");
/// A header of age for that key with the nonce behind it, so that any bytes that follow are taken for chunks.
const HEADER: &[u8] = include_bytes!("../keys/sealed.header");

/// The input as each kind of file, as it is, and behind a header that the key opens.
pub fn sealed(bytes: &[u8]) {
    let behind = [HEADER, bytes].concat();
    for file in [bytes, &behind] {
        read_as("packs", file, Some(KEY));
        read_as("snapshots", file, Some(KEY));
        read_as("index", file, Some(KEY));
        read_as("packs", file, None);
    }
    // The identity that a passphrase opens.
    let mut files = MemoryFs::default();
    files.put("/archive/wagon.json", header());
    files.put("/archive/key.age", bytes.to_vec());
    if let Ok(archive) = Archive::open(Arc::new(files), Path::new("/archive")) {
        // A file that is no age file, or asks for hours of work, is refused before any is done.
        if !is_slow(bytes) {
            assert!(archive.with_passphrase("guess").is_err());
        }
    }
}

/// Powers of two above this one take longer, or more memory, than an input may.
const QUICK_WORK: u64 = 12;

/// Whether a key file asks for work that is allowed and takes long, which is no finding. One that asks for more than is
/// allowed has to be refused at once.
fn is_slow(bytes: &[u8]) -> bool {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"-> scrypt "));
    let works =
        lines.filter_map(|words| std::str::from_utf8(words.rsplit(|byte| *byte == b' ').next()?).ok()?.parse().ok());
    works.into_iter().any(|work: u64| (QUICK_WORK + 1..=limits::SCRYPT_WORK_FACTOR.into()).contains(&work))
}

fn header() -> Vec<u8> {
    let public = PUBLIC.trim();
    format!(
        r#"{{"archive":"wagon","format":2,"id":"fuzzed","created":0,"encryption":{{"method":"age","recipients":["{public}"]}}}}"#
    )
    .into_bytes()
}

fn read_as(kind: &str, file: &[u8], key: Option<&str>) {
    let mut files = MemoryFs::default();
    files.put("/archive/wagon.json", header());
    let name = hex::encode(&Sha256::digest(file));
    let path = match kind {
        "snapshots" => format!("/archive/snapshots/00000001-{}.tar.gz.age", &name[..16]),
        "index" => {
            // The index of a pack that is there.
            files.put(format!("/archive/packs/{}/{name}.tar.gz.age", &name[..2]), file.to_vec());
            format!("/archive/index/{}/{name}.idx.age", &name[..2])
        }
        _ => format!("/archive/packs/{}/{name}.tar.gz.age", &name[..2]),
    };
    files.put(path, file.to_vec());
    let Ok(mut archive) = Archive::open(Arc::new(files), Path::new("/archive")) else { return };
    if let Some(key) = key {
        archive = archive.with_identities(Identities::parse(key).unwrap());
    }
    if let Ok(report) = check(&archive, true, &Silent) {
        assert!(key.is_some() || report.unopened);
    }
    if let Ok(reader) = archive.objects() {
        assert!(reader.read(&ObjectId::of(b"nothing"), 1 << 20).is_err());
    }
    let _ = archive.heads();
}
