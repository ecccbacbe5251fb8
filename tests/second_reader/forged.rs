//! Parity files that lie: the second reader ends with a word, in bounded memory, and gives nothing out that is not what it
//! should be.

use crate::mended::protected;
use crate::python::{change, copy_tree, has_python, repository, tree};
use crate::sites::{Place, skip};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the reader may ask the system for at all, KiB.
const ADDRESS_SPACE: u64 = 400 << 10;

/// A block as it is, with the checksum that it needs to count.
pub fn with_checksum(block: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(&block[..4092]);
    [&block[..4092], &crc.sum().to_le_bytes()].concat()
}

/// What the head of a stored block says.
struct Says {
    version: u16,
    percent: u16,
    length: u64,
    digest: [u8; 32],
}

impl Says {
    fn block(&self, span: u32, number: u32) -> Vec<u8> {
        let mut block = b"wagonpar".to_vec();
        block.extend(self.version.to_le_bytes());
        block.extend(self.percent.to_le_bytes());
        block.extend(self.length.to_le_bytes());
        block.extend(self.digest);
        block.extend(span.to_le_bytes());
        block.extend(number.to_le_bytes());
        block.resize(4096, 0x33);
        with_checksum(&block)
    }

    fn blocks(&self, count: u32) -> Vec<u8> {
        (0..count).flat_map(|number| self.block(0, number)).collect()
    }
}

#[test]
fn parity_that_lies_costs_no_memory_and_nothing_wrong_gets_a_name() {
    if !has_python() {
        return skip("parity that lies", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let sound = protected(&place);
    let before = tree(&sound);
    let (pack, bytes) =
        before.iter().filter(|(path, _)| path.starts_with("packs")).max_by_key(|(_, b)| b.len()).unwrap();
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let honest = before[&Path::new("parity").join(format!("{}.par", pack.display()))].clone();
    let says = |version, percent, length| Says { version, percent, length, digest };
    let length = bytes.len() as u64;
    let strangers = |count: u8| -> Vec<u8> {
        let one = |number| Says { version: 1, percent: 5, length: 9, digest: [number; 32] }.block(0, 0);
        (0..count).flat_map(one).collect()
    };
    let others =
        |count: u64| -> Vec<u8> { (0..count).flat_map(|more| says(1, 10, length + 1 + more).block(0, 0)).collect() };
    // What lies there as parity of a pack that is damaged, and whether the pack comes back all the same.
    let cases: Vec<(&str, Vec<u8>, bool)> = vec![
        ("no percentage", says(1, 0, length).blocks(40), false),
        ("51 per cent", says(1, 51, length).blocks(40), false),
        ("65535 per cent", says(1, u16::MAX, length).blocks(40), false),
        ("another version", says(2, 10, length).blocks(40), false),
        ("a file without end", says(1, 50, u64::MAX).blocks(40), false),
        ("a file just above the bound", says(1, 50, (16 << 30) + 1).blocks(40), false),
        ("the largest file, and few blocks", says(1, 50, 16 << 30).blocks(40), false),
        ("as large a file as so many blocks allow", says(1, 50, 400 << 20).blocks(1024), false),
        ("no length", says(1, 10, 0).blocks(40), false),
        ("blocks of which all but the checksum is nonsense", says(1, 10, length).blocks(60), false),
        ("numbers without end", (0..40).flat_map(|n| says(1, 10, length).block(n, u32::MAX - n)).collect(), false),
        ("spans without end", (0..40).flat_map(|n| says(1, 10, length).block(u32::MAX - n, n)).collect(), false),
        ("nothing", Vec::new(), false),
        ("less than a block", honest[..4000].to_vec(), false),
        ("many other files before the right one", [strangers(200), honest.clone()].concat(), true),
        ("some lengths before the right one", [others(15), honest.clone()].concat(), true),
        ("many lengths before the right one", [others(16), honest.clone()].concat(), false),
        ("many lengths behind the right one", [honest.clone(), others(5000)].concat(), true),
        ("its blocks, and others of the same numbers", [honest.clone(), says(1, 10, length).blocks(60)].concat(), true),
        ("half a block at the end", [&honest[..], &honest[..2048]].concat(), true),
    ];
    for (what, parity, comes_back) in cases {
        let copy = place.path("copy");
        copy_tree(&sound, &copy);
        change(&copy.join(pack), |bytes| bytes[50_000..70_000].fill(0x5a));
        fs::write(copy.join("parity").join(format!("{}.par", pack.display())), &parity).unwrap();
        for (line, status) in [("mend copy out", i32::from(!comes_back)), ("check copy", 1)] {
            let begun = Instant::now();
            let reader = repository().join("format-spec/reader/wagon_restore.py");
            let limited = format!("ulimit -v {ADDRESS_SPACE} && exec python3 -B '{}' {line}", reader.display());
            let out =
                Command::new("bash").arg("-c").arg(limited).current_dir(&place.root).stdin(Stdio::null()).output();
            let out = out.unwrap();
            let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
            assert_eq!(out.status.code(), Some(status), "{what}: {line}: {said}");
            assert!(!said.contains("Traceback") && !said.contains("MemoryError"), "{what}: {line}: {said}");
            assert!(said.contains(pack.to_str().unwrap()), "{what}: {line}: {said}");
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {line}: {:?}", begun.elapsed());
        }
        let written = tree(&place.path("out"));
        assert!(written.iter().all(|(path, bytes)| before.get(path) == Some(bytes)), "{what}: {:?}", written.keys());
        assert_eq!(written.contains_key(pack), comes_back, "{what}");
        for folder in ["copy", "out"] {
            fs::remove_dir_all(place.path(folder)).unwrap();
        }
    }
}
