//! A message of 200 MB, out of one server and into two others, in no more memory than a small one takes.

use crate::world::{Site, World, ready};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

const ANN: &str = "ann@a.test";

/// What a pass may hold at its peak, KiB.
const MEMORY_KIB: u64 = 96 * 1024;

/// 200 MB of lines like those of an attachment, no two of them the same.
fn write_large(path: &Path) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    let head = "From: x@a.test\nSubject: large\nMIME-Version: 1.0\nContent-Type: application/octet-stream\n\
                Content-Transfer-Encoding: base64\n\n";
    out.write_all(head.as_bytes()).unwrap();
    let (mut written, mut seed) = (head.len(), 88_172_645_463_325_252_u64);
    while written < 200_000_000 {
        let mut line = [b'\n'; 77];
        for byte in &mut line[..76] {
            // xorshift: cheap, and nothing that compresses.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *byte = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(seed % 64) as usize];
        }
        out.write_all(&line).unwrap();
        written += line.len();
    }
    out.flush().unwrap();
}

/// The hash of a message as IMAP has it, with CRLF at each line's end, whichever the file has.
fn hash_of(path: &Path) -> [u8; 32] {
    let (mut digest, mut line) = (Sha256::new(), Vec::new());
    let mut lines = BufReader::new(File::open(path).unwrap());
    while lines.read_until(b'\n', &mut line).unwrap() > 0 {
        digest.update(line.trim_ascii_end());
        digest.update(b"\r\n");
        line.clear();
    }
    digest.finalize().into()
}

/// The large file below, where there is one.
fn large_file(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.map(|entry| entry.unwrap().path());
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => large_file(&path),
        false => (path.metadata().unwrap().len() > 150_000_000).then_some(path),
    })
}

#[test]
fn a_message_of_200_megabytes_goes_from_server_to_server_in_the_memory_of_a_small_one() {
    if !ready("a message of 200 MB", &["dovecot", "cyrus"]) {
        return;
    }
    let world = World::new();
    world.empty_site("old", &[ANN]);
    let cur = world.path("old/mail/a.test/ann/Maildir/cur");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(cur.with_file_name(sub)).unwrap();
    }
    let original = cur.join("1600000000.M1P1.host:2,S");
    write_large(&original);
    let hash = hash_of(&original);
    let source = world.dovecot("old");
    let (held, said) = world.place.peak(&[0], "export --from {}/old.toml --archive {}/archive");
    assert!(said.contains("1 added"), "{said}");
    assert!(held < MEMORY_KIB, "export: {held} KiB");
    eprintln!("out of Dovecot: {held} KiB");
    drop(source);
    fs::remove_dir_all(world.path("old")).unwrap();

    let into = |site: Site, store: PathBuf| {
        let (held, said) = world.place.peak(&[0], &format!("import --archive {{}}/archive --to {{}}/{}", site.name));
        assert!(said.contains("1 imported") || !said.contains("refused"), "{said}");
        assert!(held < MEMORY_KIB, "import into {}: {held} KiB", site.name);
        eprintln!("into {}: {held} KiB", site.name);
        let there = large_file(&store).expect("the message lies in the server's store");
        assert!(hash_of(&there) == hash, "{} has other bytes", site.name);
        let (held, _) = world.place.peak(&[0], &format!("verify --archive {{}}/archive --to {{}}/{}", site.name));
        assert!(held < MEMORY_KIB, "verify of {}: {held} KiB", site.name);
    };
    world.empty_site("dovecot", &[ANN]);
    into(world.dovecot("dovecot"), world.path("dovecot"));
    let cyrus = world.cyrus("cyrus", &[ANN]);
    let store = cyrus.server().dir();
    into(cyrus, store);
}
