//! What lies beside packs and snapshots: `wagon.json`, signatures, parity files.

use super::memory_fs::MemoryFs;
use sha2::{Digest, Sha256};
use stationwagon::archive::check::check;
use stationwagon::archive::{Archive, TrustedKeys};
use stationwagon::event::Silent;
use stationwagon::format::archive_header::ArchiveHeader;
use stationwagon::format::parity;
use stationwagon::model::hex;
use std::path::Path;
use std::sync::Arc;

const HEADER: &str = r#"{"archive":"wagon","format":1,"id":"fuzzed","created":0}"#;

/// A public key of minisign, made for this; nobody has the other half.
const TRUSTED: &str = "RWQUilX2VqPgwmRaGevKfUObVMC/oMqw8nwoNRYRSNqk88sXLI1dbtig";

/// `wagon.json`: what is taken for a header is written as one, and opens or is refused.
pub fn archive(bytes: &[u8]) {
    if let Ok(header) = ArchiveHeader::parse(bytes) {
        // A header may come without its checksum, and is written with it.
        let again = ArchiveHeader::parse(&header.encode()).unwrap();
        assert_eq!(ArchiveHeader { sha256: header.sha256.clone(), ..again }, header);
    }
    let mut files = MemoryFs::default();
    files.put("/archive/wagon.json", bytes.to_vec());
    if let Ok(archive) = Archive::open(Arc::new(files), Path::new("/archive")) {
        assert_eq!(archive.is_encrypted(), !archive.recipients().is_empty());
        let _ = check(&archive, true, &Silent);
    }
}

/// A signature beside a snapshot, and a public key: nobody signed with it, so nothing is ever believed.
pub fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut keys = TrustedKeys::default();
    let _ = keys.add(&text);
    let mut keys = TrustedKeys::default();
    assert!(keys.add(TRUSTED).is_ok(), "the key of this target is none");
    let snapshot = b"no snapshot";
    let name = format!("00000001-{}.tar.gz", hex::encode(&Sha256::digest(snapshot)[..8]));
    let mut files = MemoryFs::default();
    files.put("/archive/wagon.json", HEADER.into());
    files.put(format!("/archive/snapshots/{name}"), snapshot.to_vec());
    files.put(format!("/archive/snapshots/{name}.minisig"), bytes.to_vec());
    let archive = Archive::open(Arc::new(files), Path::new("/archive")).unwrap().with_trust(keys);
    assert!(archive.snapshot_heads().is_err(), "a signature that nobody made was believed");
    let _ = check(&archive, true, &Silent);
}

/// Blocks of a parity file, of the file whose hash they say and of another. Their checksums are computed here.
pub fn parity(bytes: &[u8]) {
    let mut file = Vec::new();
    for chunk in bytes.chunks(parity::BLOCK - 4).take(64) {
        let mut block = chunk.to_vec();
        block.resize(parity::BLOCK - 4, 0);
        block.extend(parity::checksum(&block));
        let block: [u8; parity::BLOCK] = block.try_into().unwrap();
        if let Some((protected, _)) = parity::parse(&block) {
            let spans = parity::spans(protected.length, protected.percent);
            let whole: u64 = spans.iter().flatten().map(|span| span.blocks as u64).sum();
            assert!(spans.is_err() || whole == protected.length.div_ceil(parity::BLOCK as u64).max(1));
        }
        file.extend(block);
    }
    let content = vec![7; 3 * parity::BLOCK + 1];
    let name = hex::encode(&Sha256::digest(&content));
    let pack = format!("packs/{}/{name}.tar.gz", &name[..2]);
    for parity in [file, bytes.to_vec()] {
        let mut files = MemoryFs::default();
        files.put("/archive/wagon.json", HEADER.into());
        files.put(format!("/archive/{pack}"), content.clone());
        files.put(format!("/archive/parity/{pack}.par"), parity.clone());
        files.put("/archive/parity/wagon.json.par", parity);
        let archive = Archive::open(Arc::new(files), Path::new("/archive")).unwrap();
        let _ = check(&archive, true, &Silent);
    }
}
