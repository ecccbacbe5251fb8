//! Archives of every released format are read by this version: checked, imported, compared with what was written down
//! when they were made. They are in `fixtures/archives/`, one folder a format, and never edited.
//!
//! A new format gets its folder by `cargo test --test golden -- --ignored write_the_archive_of_this_format`, once, when it
//! is released.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod sites;

use age::secrecy::ExposeSecret as _;
use sites::{Place, look};
use stationwagon::archive::{Archive, Identities, Recipients, SigningKey, new_locked_identity};
use stationwagon::catalog::Catalog;
use stationwagon::event::Silent;
use stationwagon::format::archive_header::{ENCRYPTED_FORMAT, FORMAT};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::model::hex;
use stationwagon::model::mailbox::FolderKey;
use stationwagon::site::{
    Content, Depth, FolderScan, FoundItem, MailboxScan, ProvisioningScan, SiteDescription, SiteError, Source,
    open_source,
};
use stationwagon::testing::example_site;
use stationwagon::verbs::export::{ExportOptions, export};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The formats, oldest first; with the first what upkeep leaves in one. The second is encrypted.
const FORMATS: [&str; 3] = ["v1", "v1-upkeep", ENCRYPTED];

/// An archive for a key and a passphrase, signed, protected by parity, and with all second copies.
const ENCRYPTED: &str = "v2";

/// A file that opens the golden archives, or says who signed them; it guards nothing else.
fn key(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keys").join(name)
}

/// What the command line needs for an archive of this format.
fn opened_by(format: &str) -> String {
    match format {
        ENCRYPTED => format!(" --identity {}", key("golden.key").display()),
        _ => String::new(),
    }
}

fn archives() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/archives")
}

#[test]
fn each_folder_of_archives_is_tested() {
    let mut found: Vec<_> = fs::read_dir(archives())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, FORMATS);
    for format in FORMAT..=ENCRYPTED_FORMAT {
        assert!(FORMATS.contains(&format!("v{format}").as_str()), "format {format} has no golden archive");
    }
}

#[test]
fn an_archive_of_each_format_is_sound_and_gives_its_site_back() {
    for format in FORMATS {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path());
        let archive = archives().join(format);
        let shown = archive.display();
        let keys = opened_by(format);
        place.wagon(0, &format!("check --archive {shown} --read-data{keys}"));
        place.wagon(0, &format!("import --archive {shown} --to {{}}/target{keys}"));
        place.wagon(0, &format!("verify --archive {shown} --to {{}}/target{keys}"));
        let wanted = fs::read_to_string(archives().join(format!("{format}.listing"))).unwrap();
        let found = listing(&place.path("target"));
        let missing: Vec<_> = wanted.lines().filter(|line| !found.contains(line)).collect();
        assert!(found == wanted, "{format}: the imported site differs; missing:\n{}", missing.join("\n"));
    }
}

#[test]
fn the_encrypted_one_is_opened_by_its_passphrase_signed_by_its_key_and_mended_by_its_parity() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    copy_tree(&archives().join(ENCRYPTED), &place.path("archive"));
    let (phrase, signer) = (key("golden.phrase"), key("golden.minisign.pub"));
    let (phrase, signer) = (phrase.display(), signer.display());
    place.wagon(0, &format!("check --archive {{}}/archive --passphrase-file {phrase} --trust {signer}"));
    let before = bytes_below(&place.path("archive"));
    for file in files_below(&place.path("archive")) {
        let bytes = fs::read(&file).unwrap();
        if bytes.is_empty() {
            continue; // the lock
        }
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 0x20;
        fs::write(&file, &flipped).unwrap();
        place.wagon(0, &format!("repair --archive {{}}/archive --identity {}", key("golden.key").display()));
        assert!(bytes_below(&place.path("archive")) == before, "{}", file.display());
    }
}

#[test]
fn the_reader_in_python_restores_an_account_of_each_format() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/reader/wagon_read.py");
    let has_age = Command::new("age").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    for format in FORMATS {
        if format == ENCRYPTED && !has_age {
            sites::skip("an encrypted account is restored", "the program age is missing");
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let out = Command::new("python3")
            .arg(&script)
            .arg(archives().join(format))
            .args(["latest", "ann@station.example"])
            .arg(dir.path().join("ann"))
            .env("WAGON_IDENTITY", key("golden.key"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(out.status.success(), "{format}: {}", String::from_utf8_lossy(&out.stderr));
        // The restored account as a site of its own, to be looked at as one.
        fs::create_dir_all(dir.path().join("site/mail/station.example")).unwrap();
        fs::rename(dir.path().join("ann"), dir.path().join("site/mail/station.example/ann")).unwrap();
        let content = |message: &sites::Message| format!("{} station.example/ann ", hex::encode(&message.content));
        let mut restored: Vec<_> = look(&dir.path().join("site")).messages.iter().map(content).collect();
        let listing = fs::read_to_string(archives().join(format!("{format}.listing"))).unwrap();
        let mut wanted: Vec<_> = listing
            .lines()
            .filter_map(|line| line.split_once(" station.example/ann ").map(|(hash, _)| hash))
            .filter(|hash| hash.len() == 64)
            .map(|hash| format!("{hash} station.example/ann "))
            .collect();
        restored.sort();
        wanted.sort();
        assert_eq!(restored, wanted, "{format}");
    }
}

/// Everything of a site in lines: a hash for each message and file, and the facts.
fn listing(site: &Path) -> String {
    let seen = look(site);
    let mut text = String::new();
    for message in &seen.messages {
        let sites::Message { account, folder, name, content, date, flags, uid } = message;
        let (content, uid) = (hex::encode(content), uid.map_or("-".to_owned(), |uid| uid.to_string()));
        writeln!(text, "{content} {account} {folder} {name} {date} {uid} {}", flags.join(",")).unwrap();
    }
    for (name, (content, date)) in &seen.files {
        writeln!(text, "{} {name} {date}", hex::encode(&sites::digest(content))).unwrap();
    }
    for fact in &seen.facts {
        writeln!(text, "{fact}").unwrap();
    }
    text
}

#[test]
#[ignore = "writes a fixture that is never changed afterwards"]
fn write_the_archive_of_this_format() {
    let format = "v1";
    let archive = archives().join(format);
    assert!(!archive.exists(), "{} is there and is never written again", archive.display());
    fs::create_dir_all(archives()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    let source = place.path("source");
    example_site::build(&real, &source).unwrap();
    {
        let written = Archive::create(real.clone(), &archive, "golden".parse().unwrap(), DAY).unwrap();
        let mut catalog = Catalog::open(&place.path("catalog.sqlite")).unwrap();
        let mut pass = |label: &str, clock: fn() -> i64| {
            let options = ExportOptions {
                source: None,
                accounts: Vec::new(),
                exclude: Vec::new(),
                deep: false,
                full: false,
                label: Some(label.to_owned()),
                dry_run: false,
                workers: NonZeroUsize::MIN,
                clock,
                holder: "golden".to_owned(),
            };
            let site = Nowhere(open_source(real.clone(), source.to_str().unwrap()).unwrap());
            let report = export(&site, &written, &mut catalog, &options, &Silent).unwrap();
            assert_eq!(report.rejected, []);
        };
        pass("first", || DAY);
        example_site::a_day_passes(&real, &source).unwrap();
        pass("second", || DAY + 86_400);
    }
    place.wagon(0, &format!("import --archive {} --to {{}}/target", archive.display()));
    fs::write(archives().join(format!("{format}.listing")), listing(&place.path("target"))).unwrap();
}

/// A letter that is taken apart into a trace, a skeleton and a part, which all letters of a name share.
fn write_letter(place: &Place, account: &str, folder: &str, name: &str) {
    let folder = place.path("source/mail/station.example").join(account).join("Maildir").join(folder);
    ["cur", "new", "tmp"].iter().for_each(|sub| fs::create_dir_all(folder.join(sub)).unwrap());
    let path = folder.join("cur").join(format!("{name}.M1P1.host:2,S"));
    let text = format!(
        "Delivered-To: {account}@station.example\nFrom: Bert <bert@station.example>\nSubject: {name}\n\n{}",
        format!("{name} says the same to everybody.\n").repeat(40)
    );
    fs::write(&path, text).unwrap();
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    fs::File::open(&path).unwrap().set_modified(date).unwrap();
}

#[test]
#[ignore = "writes a fixture that is never changed afterwards"]
fn write_the_archive_that_saw_upkeep() {
    let format = "v1-upkeep";
    let dir = archives().join(format);
    assert!(!dir.exists(), "{} is there and is never written again", dir.display());
    let work = tempfile::tempdir().unwrap();
    let place = Place::at(work.path());
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    let letter = |account: &str, folder: &str, name: &str| write_letter(&place, account, folder, name);
    let archive = Archive::create(real.clone(), &dir, "golden".parse().unwrap(), DAY).unwrap();
    let mut catalog = Catalog::open(&place.path("catalog.sqlite")).unwrap();
    let mut pass = |number: u32, full: bool| {
        let options = ExportOptions {
            source: Some("example".parse().unwrap()),
            accounts: Vec::new(),
            exclude: Vec::new(),
            deep: false,
            full,
            label: None,
            dry_run: false,
            workers: NonZeroUsize::MIN,
            clock: || DAY,
            holder: "golden".to_owned(),
        };
        let site = Nowhere(open_source(real.clone(), place.path("source").to_str().unwrap()).unwrap());
        let archive = Archive::open(real.clone(), &dir).unwrap();
        let report = export(&site, &archive, &mut catalog, &options, &Silent).unwrap();
        assert_eq!(report.snapshot.map(|no| no.0), Some(number));
        report
    };
    let home = place.path("source/mail/station.example");
    letter("ann", ".", "1700000001");
    letter("ann", ".Archive", "1700000002");
    letter("bert", ".", "1700000001");
    pass(1, false);
    letter("ann", ".", "1700000003");
    pass(2, false);
    fs::rename(home.join("ann/Maildir/.Archive"), home.join("ann/Maildir/.Old")).unwrap();
    fs::remove_file(home.join("ann/Maildir/cur/1700000001.M1P1.host:2,S")).unwrap();
    // No message, and said to be none in every pass from now on.
    fs::create_dir(home.join("bert/Maildir/cur/1700000009.M1P1.host:2,S")).unwrap();
    pass(3, false);
    letter("clara", ".", "1700000004");
    pass(4, false);
    letter("ann", ".", "1700000005");
    pass(5, false);
    drop(archive);
    // The fourth is lost; what goes on behind the gap stands alone, and the fifth is of no more use.
    let file = |number: u32| {
        let begin = format!("{number:08}-");
        let mut files = files_below(&dir.join("snapshots")).into_iter();
        files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&begin)).unwrap()
    };
    fs::remove_file(file(4)).unwrap();
    letter("clara", ".", "1700000006");
    let report = pass(6, true);
    assert_eq!(report.lost.iter().map(|no| no.0).collect::<Vec<_>>(), [4]);
    assert!(!report.salvaged.is_empty() && !report.rejected.is_empty());
    // Forgetting the second leaves another file in place of the third.
    let third = file(3);
    for number in ["5", "2"] {
        place.wagon(0, &format!("forget --archive {} {number}", dir.display()));
    }
    assert_ne!(third, file(3));
    place.wagon(0, &format!("import --archive {} --to {{}}/target", dir.display()));
    fs::write(archives().join(format!("{format}.listing")), listing(&place.path("target"))).unwrap();
}

#[test]
#[ignore = "writes a fixture that is never changed afterwards"]
fn write_the_archive_that_is_encrypted() {
    let dir = archives().join(ENCRYPTED);
    assert!(!dir.exists(), "{} is there and is never written again", dir.display());
    let work = tempfile::tempdir().unwrap();
    let place = Place::at(work.path());
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    fs::create_dir_all(key("")).unwrap();
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string();
    let note = "# opens fixtures/archives/v2 and nothing else";
    fs::write(key("golden.key"), format!("{note}\n{}\n", secret.expose_secret())).unwrap();
    fs::write(key("golden.phrase"), "opens a fixture and nothing else\n").unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    fs::write(key("golden.minisign.pub"), pair.pk.to_box().unwrap().into_string()).unwrap();
    // Nobody signs for it again, so the secret half is not kept.
    let signer = pair.sk.to_box(None).unwrap().into_string();
    let letter = |account: &str, name: &str| write_letter(&place, account, "", name);
    let (known, locked) = new_locked_identity("opens a fixture and nothing else").unwrap();
    let public = identity.to_public().to_string();
    let recipients = Recipients::parse([public.as_str()]).unwrap().join(known).unwrap();
    let id = "golden".parse().unwrap();
    drop(Archive::create_encrypted(real.clone(), &dir, id, DAY, &recipients, Some(&locked)).unwrap());
    let mut catalog = Catalog::open(&place.path("catalog.sqlite")).unwrap();
    let mut pass = || {
        let options = ExportOptions {
            source: Some("example".parse().unwrap()),
            accounts: Vec::new(),
            exclude: Vec::new(),
            deep: false,
            full: false,
            label: None,
            dry_run: false,
            workers: NonZeroUsize::MIN,
            clock: || DAY,
            holder: "golden".to_owned(),
        };
        let site = Nowhere(open_source(real.clone(), place.path("source").to_str().unwrap()).unwrap());
        let archive = Archive::open(real.clone(), &dir).unwrap();
        let archive = archive.with_identities(Identities::parse(secret.expose_secret()).unwrap());
        let archive = archive.with_signer(SigningKey::parse(&signer, None).unwrap());
        export(&site, &archive, &mut catalog, &options, &Silent).unwrap();
    };
    letter("ann", "1700000001");
    letter("bert", "1700000001");
    pass();
    letter("ann", "1700000002");
    pass();
    let (shown, keys) = (dir.display(), opened_by(ENCRYPTED));
    place.wagon(0, &format!("protect --archive {shown} --percent 5{keys}"));
    place.wagon(0, &format!("import --archive {shown} --to {{}}/target{keys}"));
    fs::write(archives().join(format!("{ENCRYPTED}.listing")), listing(&place.path("target"))).unwrap();
}

/// When the golden archives say that they were written: any fixed moment will do; seconds since 1970.
const DAY: i64 = 1_800_000_000;

/// A site that does not say where it lies: a fixture names no folder of the machine that made it.
struct Nowhere(Box<dyn Source>);

impl Source for Nowhere {
    fn describe(&self) -> Result<SiteDescription, SiteError> {
        Ok(SiteDescription { locator: "source".to_owned(), ..self.0.describe()? })
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        self.0.provisioning()
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        self.0.mailbox(account)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        self.0.folder(account, key, mark, depth)
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.0.read(account, key, item)
    }
}

#[test]
fn no_fixture_names_a_folder_of_the_machine_that_made_it() {
    for file in files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")) {
        let bytes = fs::read(&file).unwrap();
        let mut text = Vec::new();
        // Packs and snapshots are several members of gzip behind each other; anything else is taken as it is.
        if flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text).is_err() {
            text = bytes;
        }
        for home in ["/tmp/", "/home/", "/root/", "/work/", "/var/folders/", "/.tmp"] {
            let found = text.windows(home.len()).any(|window| window == home.as_bytes());
            assert!(!found, "{} names {home}", file.display());
        }
    }
}

fn bytes_below(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(dir).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
