//! Writes archives as an enemy would: every checksum right, every claim as he likes.

use crate::world::{World, contents};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write as _;

/// A gzip member.
pub fn member(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A gzip member with `head` and then so many MiB of one byte.
pub fn bomb(head: &[u8], byte: u8, mib: usize, tail: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(9));
    encoder.write_all(head).unwrap();
    let chunk = vec![byte; 1 << 20];
    (0..mib).for_each(|_| encoder.write_all(&chunk).unwrap());
    encoder.write_all(tail).unwrap();
    encoder.finish().unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A tar header with any name, size, and type.
pub fn header(name: &str, size: u64, kind: u8) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    if matches!(kind, b'1' | b'2') {
        put(157, b"/etc/passwd");
    }
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A tar entry.
pub fn entry(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = header(name, content.len() as u64, b'0');
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar
}

/// The entry of an object under its true name.
pub fn object(content: &[u8]) -> Vec<u8> {
    entry(&format!("o/{}", sha256(content)), content)
}

/// An archive in `archive`, nothing in it yet.
pub fn begin(world: &World) {
    let root = world.path("archive");
    ["packs", "index", "snapshots"].iter().for_each(|name| fs::create_dir_all(root.join(name)).unwrap());
    fs::write(root.join("wagon.json"), r#"{"archive":"wagon","format":1,"id":"forged","created":0}"#).unwrap();
}

/// A pack of these members under its right name, without an index. Returns the name.
pub fn pack(world: &World, members: &[Vec<u8>]) -> String {
    let mut bytes = members.concat();
    bytes.extend(member(&[0; 1024]));
    let name = sha256(&bytes);
    let shelf = world.path("archive/packs").join(&name[..2]);
    fs::create_dir_all(&shelf).unwrap();
    fs::write(shelf.join(format!("{name}.tar.gz")), bytes).unwrap();
    name
}

/// An index of that pack with the right checksum: rows of (offset, compressed, uncompressed), entries of (object,
/// segment, block).
pub fn index(world: &World, pack: &str, rows: &[(u64, u64, u64)], entries: &[(String, u16, u16)], count: u64) {
    let shelf = world.path("archive/packs").join(&pack[..2]);
    let length = fs::metadata(shelf.join(format!("{pack}.tar.gz"))).unwrap().len();
    let bytes = |digits: &str| -> Vec<u8> {
        (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let mut out = b"wagonidx".to_vec();
    out.extend(1u32.to_le_bytes());
    out.extend((rows.len() as u32).to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(bytes(pack));
    for (offset, compressed, uncompressed) in rows {
        [offset, compressed, uncompressed].into_iter().for_each(|number| out.extend(number.to_le_bytes()));
    }
    let mut entries: Vec<_> = entries.iter().map(|(id, segment, block)| (bytes(&id[..40]), segment, block)).collect();
    entries.sort();
    for (prefix, segment, block) in entries {
        out.extend(prefix);
        out.extend(segment.to_le_bytes());
        out.extend(block.to_le_bytes());
    }
    let digest = Sha256::digest(&out);
    out.extend(digest);
    let shelf = world.path("archive/index").join(&pack[..2]);
    fs::create_dir_all(&shelf).unwrap();
    fs::write(shelf.join(format!("{pack}.idx")), out).unwrap();
}

/// A file of members under the right name of a snapshot.
pub fn snapshot_file(world: &World, no: u32, members: &[Vec<u8>]) {
    let mut bytes = members.concat();
    bytes.extend(member(&[0; 1024]));
    let name = format!("{no:08}-{}.tar.gz", &sha256(&bytes)[..16]);
    fs::write(world.path("archive/snapshots").join(name), bytes).unwrap();
}

/// The head of a snapshot: `more` goes into the object as it is.
pub fn head(no: u32, more: &str) -> String {
    let counts = "accounts_scanned accounts_changed folders_scanned folders_read items_added items_changed items_moved \
                  items_removed bytes_read objects_added object_bytes pack_bytes rejected";
    let counts: Vec<_> = counts.split_whitespace().map(|name| format!("\"{name}\":0")).collect();
    format!(
        "{{\"format\":1,\"no\":{no},\"source\":\"site\",\"started\":1,\"finished\":2,\"locator\":\"/srv\",\"selection\":{{}},\
         \"counts\":{{{}}}{more}}}",
        counts.join(",")
    )
}

/// What a head says of a snapshot that has records, and a manifest of account 1.
pub const ANN: &str =
    r#","provisioning_lines":2,"accounts":[{"id":1,"address":"ann@h.example","lines":2,"items":1,"bytes":22}]"#;

/// A snapshot with this head and these entries.
pub fn snapshot(world: &World, no: u32, head: &str, entries: &[(&str, &[u8])]) {
    let members: Vec<_> = entries.iter().map(|(name, content)| member(&entry(name, content))).collect();
    let sizes: Vec<_> = entries.iter().map(|(_, content)| content.len() as u64).collect();
    snapshot_of(world, no, head, &entries.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &members, &sizes);
}

/// The same of members that are made already, with what is said of their sizes.
pub fn snapshot_of(world: &World, no: u32, head: &str, names: &[&str], members: &[Vec<u8>], sizes: &[u64]) {
    let line = |((name, member), size): ((&&str, &Vec<u8>), &u64)| {
        format!("{{\"n\":\"{name}\",\"z\":{},\"s\":{size}}}\n", member.len())
    };
    let contents: String = names.iter().zip(members).zip(sizes).map(line).collect();
    let mut file =
        vec![member(&entry("snapshot.json", head.as_bytes())), member(&entry("contents.jsonl", contents.as_bytes()))];
    file.extend(members.iter().cloned());
    snapshot_file(world, no, &file);
}

/// The records of a site with one account.
pub fn records(address: &str) -> Vec<u8> {
    let address = serde_json::to_string(address).unwrap();
    format!(
        "{{\"put\":{{\"id\":2,\"record\":{{\"kind\":\"domain\",\"name\":\"h.example\"}}}}}}\n\
         {{\"put\":{{\"id\":1,\"record\":{{\"kind\":\"account\",\"address\":{address}}}}}}}\n"
    )
    .into_bytes()
}

/// A manifest of one folder with one item.
pub fn manifest(folder: &str, item: &str, object: &str, size: u64) -> Vec<u8> {
    let (folder, item) = (serde_json::to_string(folder).unwrap(), serde_json::to_string(item).unwrap());
    format!(
        "{{\"folder\":{{\"i\":1,\"path\":{folder}}}}}\n\
         {{\"item\":{{\"i\":1,\"f\":1,\"n\":{item},\"o\":\"{object}\",\"s\":{size},\"d\":5}}}}\n"
    )
    .into_bytes()
}

/// A whole archive: one snapshot of Ann's one letter.
pub fn sound(world: &World, letter: &[u8]) {
    begin(world);
    let only = member(&object(letter));
    let rows = [(0, only.len() as u64, object(letter).len() as u64)];
    let name = pack(world, &[only]);
    index(world, &name, &rows, &[(sha256(letter), 0, 0)], 1);
    let manifest = manifest("INBOX", "1.a", &sha256(letter), letter.len() as u64);
    let entries: [(&str, &[u8]); 2] =
        [("accounts/1.jsonl", &manifest), ("provisioning.jsonl", &records("ann@h.example"))];
    snapshot(world, 1, &head(1, ANN), &entries);
}

/// A new key for `me.key`: what an archive is encrypted for.
fn new_key(world: &World) -> age::x25519::Recipient {
    let identity = age::x25519::Identity::generate();
    let text = format!("{}\n", age::secrecy::ExposeSecret::expose_secret(&identity.to_string()));
    fs::write(world.path("me.key"), text).unwrap();
    identity.to_public()
}

/// The header of an encrypted archive.
fn sealed_header(world: &World, recipient: &age::x25519::Recipient) {
    let header = format!(
        r#"{{"archive":"wagon","format":2,"id":"forged","created":0,"encryption":{{"method":"age","recipients":["{recipient}"]}}}}"#
    );
    fs::write(world.path("archive/wagon.json"), header).unwrap();
}

/// Encrypts a forged archive as it stands for `me.key`: every name right, everything inside as the enemy left it.
pub fn seal(world: &World) {
    let recipient = new_key(world);
    sealed_header(world, &recipient);
    let sealed = |plain: &[u8]| {
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut out = Vec::new();
        let mut writer = encryptor.wrap_output(&mut out).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap();
        out
    };
    for (path, plain) in contents(&world.path("archive/packs")) {
        let old = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz").to_owned();
        let bytes = sealed(&plain);
        let digest = Sha256::digest(&bytes);
        let name = hex(&digest);
        let put = |kind: &str, suffix: &str, bytes: &[u8]| {
            let shelf = world.path("archive").join(kind).join(&name[..2]);
            fs::create_dir_all(&shelf).unwrap();
            fs::write(shelf.join(format!("{name}{suffix}.age")), bytes).unwrap();
        };
        put("packs", ".tar.gz", &bytes);
        fs::remove_file(path).unwrap();
        let index = world.path("archive/index").join(&old[..2]).join(format!("{old}.idx"));
        if let Ok(mut plain) = fs::read(&index) {
            // The pack's name stands behind the numbers; the checksum is the last.
            plain[32..64].copy_from_slice(&digest);
            let end = plain.len() - 32;
            let checksum = Sha256::digest(&plain[..end]);
            plain[end..].copy_from_slice(&checksum);
            put("index", ".idx", &sealed(&plain));
            fs::remove_file(index).unwrap();
        }
    }
    for (path, plain) in contents(&world.path("archive/snapshots")) {
        let bytes = sealed(&plain);
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = format!("{}-{}.tar.gz.age", &name[..8], &sha256(&bytes)[..16]);
        fs::write(path.with_file_name(name), bytes).unwrap();
        fs::remove_file(path).unwrap();
    }
}

/// A `key.age` that asks for 2 to this power rounds of scrypt, in an archive that is encrypted for somebody.
pub fn locked_key(world: &World, work: &str) {
    sealed_header(world, &new_key(world));
    fs::remove_file(world.path("me.key")).unwrap();
    let mut file = format!(
        "age-encryption.org/v1\n-> scrypt {} {work}\n{}\n--- {}\n",
        "A".repeat(22),
        "A".repeat(43),
        "A".repeat(43)
    )
    .into_bytes();
    file.extend([0; 16 + 80]);
    fs::write(world.path("archive/key.age"), file).unwrap();
}
