//! Stories of looking into an archive that was made by hand: two snapshots, two accounts, mail and a calendar.

use super::diff::diff;
use super::extract::{ExtractOptions, Format, copy_item, extract};
use super::find::{Query, find};
use super::list::{Listing, list, sources};
use super::record::{Part, Shown, show, show_part};
use super::snapshots::snapshots;
use super::{Secrets, ShowError, View};
use crate::archive::Archive;
use crate::archive::pack_writer::Class;
use crate::event::{Place, Reason, Rejection, Silent};
use crate::format::archive_header::FORMAT;
use crate::format::manifest::{FolderLine, ItemChange, ItemLine, ManifestLine};
use crate::format::snapshot::{
    AccountEntry, Counts, ProvisioningLine, Selection, SnapshotHead, StoredRecord, push_line,
};
use crate::fs::{Fs, RealFs};
use crate::message;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId, SnapshotNo};
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind, Item};
use crate::model::provisioning::{Account, Record, Secret, SiteSettings};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A letter with an attachment large enough to become a part, and a trace.
fn letter() -> Vec<u8> {
    let line = "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZywgdHdpY2UuIA==\r\n".repeat(40);
    format!(
        "Return-Path: <bob@example.org>\r\nDelivered-To: ann@example.org\r\nFrom: =?utf-8?q?B=C3=B6b?= <bob@example.org>\r\n\
         To: ann@example.org\r\nSubject: The plan\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nFrom here on\r\n\
         --b\r\nContent-Type: application/pdf; name=plan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{line}\
         --b\r\nContent-Disposition: attachment; filename=last.txt\r\n\r\nshort\r\n--b--\r\n"
    )
    .into_bytes()
}

const NOTE: &[u8] = b"Subject: Note\n\nFrom me\n";
const EVENT: &[u8] = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n";

fn account(id: u32, address: &str, password: &str) -> ProvisioningLine {
    let account = Account {
        address: address.to_owned(),
        class: Default::default(),
        name: Some("Somebody".to_owned()),
        password: Some(Secret::new(password)),
        quota_bytes: None,
        status: Default::default(),
        cos: None,
        groups: Vec::new(),
        attributes: Default::default(),
    };
    ProvisioningLine::Put(StoredRecord { id: RecordId(id), idents: Vec::new(), record: Record::Account(account) })
}

fn folder(id: u32, kind: FolderKind, path: &str) -> ManifestLine {
    let folder = Folder::at(FolderKey::new(kind, path).unwrap());
    ManifestLine::Folder(FolderLine { id: FolderId(id), folder })
}

fn item(id: u32, folder: u32, name: &str, bytes: &[u8]) -> ManifestLine {
    let item = Item {
        name: name.to_owned(),
        object: ObjectId::of(bytes),
        size: bytes.len() as u64,
        date: 1_700_000_000 + i64::from(id),
        flags: Flags::from_letters("S"),
        keywords: Vec::new(),
        tags: Vec::new(),
        uid: None,
        uidl: None,
    };
    ManifestLine::Item(ItemLine { id: ItemId(id), folder: FolderId(folder), item })
}

fn store(archive: &Archive, messages: &[&[u8]]) {
    let lock = archive.lock("the test", 0).unwrap();
    let mut writer = archive.pack_writer(&lock, 1).unwrap();
    for raw in messages {
        let id = ObjectId::of(raw);
        match message::split(raw) {
            None => writer.add(id, Class::Part, raw).unwrap(),
            Some(split) => {
                split.parts.iter().for_each(|part| writer.add(part.id, Class::Part, &part.bytes).unwrap());
                let skeleton = ObjectId::of(&split.skeleton);
                writer.add(skeleton, Class::Skeleton, &split.skeleton).unwrap();
                writer
                    .add_recipe(id, message::Likeness::default(), &message::encode_recipe(&skeleton, split.trace))
                    .unwrap();
            }
        }
    }
    writer.finish().unwrap();
}

fn snapshot(archive: &Archive, records: &[ProvisioningLine], accounts: &[(u32, &str, &[ManifestLine])]) {
    let lock = archive.lock("the test", 0).unwrap();
    let mut writer = archive.snapshot_writer(&lock).unwrap();
    let no = writer.no();
    let lines = |lines: &mut dyn Iterator<Item = Vec<u8>>| lines.flatten().collect::<Vec<u8>>();
    let line = |value: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        value(&mut out);
        out
    };
    let provisioning = lines(&mut records.iter().map(|record| line(&|out| push_line(out, record))));
    if !provisioning.is_empty() {
        writer.add("provisioning.jsonl", &provisioning).unwrap();
    }
    for (id, _, manifest) in accounts {
        let bytes = lines(&mut manifest.iter().map(|entry| line(&|out| push_line(out, entry))));
        writer.add(&format!("accounts/{id}.jsonl"), &bytes).unwrap();
    }
    let rejection =
        Rejection { place: Place::account("carl@example.org"), reason: Reason::Unreadable("no rights".to_owned()) };
    writer.add("rejected.jsonl", &line(&|out| push_line(out, &rejection))).unwrap();
    let head = SnapshotHead {
        format: FORMAT,
        no,
        source: "old".parse().unwrap(),
        lost: Vec::new(),
        replaces: None,
        parent: (no.0 > 1).then(|| SnapshotNo(no.0 - 1)),
        started: 1_700_000_000,
        finished: 1_700_000_001,
        label: None,
        locator: "/srv/mail".to_owned(),
        selection: Selection::default(),
        provisioning_lines: records.len() as u64,
        accounts: accounts
            .iter()
            .map(|(id, address, manifest)| AccountEntry {
                id: RecordId(*id),
                address: (*address).to_owned(),
                full: false,
                salvaged: false,
                lines: manifest.len() as u64,
                items: 3,
                bytes: 100,
            })
            .collect(),
        counts: Counts::default(),
    };
    writer.publish(&head).unwrap();
}

/// Ann has a letter, a note and an event; then the note moves, a second one comes, and her password changes.
fn world() -> (TempDir, Archive) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::create(Arc::new(RealFs), &dir.path().join("archive"), "a".parse().unwrap(), 0).unwrap();
    let letter = letter();
    assert!(message::split(&letter).is_some_and(|split| !split.parts.is_empty()), "the letter has a part");
    store(&archive, &[&letter, NOTE, EVENT]);
    let settings = SiteSettings {
        name: "global".to_owned(),
        attributes: [("hostname", "mail"), ("db_password", "hunter2")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into_iter()
            .collect(),
    };
    let settings = StoredRecord { id: RecordId(9), idents: Vec::new(), record: Record::Settings(settings) };
    let ann = [
        folder(1, FolderKind::Mail, "INBOX"),
        folder(2, FolderKind::Mail, "Archive/2023"),
        folder(3, FolderKind::Calendars, "own"),
        item(1, 1, "1.letter", &letter),
        item(2, 1, "2.note", NOTE),
        item(3, 3, "x.ics", EVENT),
    ];
    let records = [
        account(1, "ann@example.org", "{PLAIN}secret1"),
        account(2, "bob@example.com", "{PLAIN}x"),
        ProvisioningLine::Put(settings),
    ];
    snapshot(&archive, &records, &[(1, "ann@example.org", &ann)]);
    let change = ItemChange { id: ItemId(2), folder: Some(FolderId(2)), ..ItemChange::default() };
    let day = [ManifestLine::Change(change), item(4, 1, "3.note", NOTE)];
    snapshot(&archive, &[account(1, "ann@example.org", "{PLAIN}secret2")], &[(1, "ann@example.org", &day)]);
    (dir, archive)
}

fn view(archive: &Archive) -> View<'_> {
    View::open(archive, None, None).unwrap()
}

/// Relative paths and sizes of all files, and empty folders.
fn tree(root: &Path) -> String {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in RealFs.list(dir).unwrap() {
            let path = dir.join(&entry.name);
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let stat = RealFs.lstat(&path).unwrap();
            if entry.kind == crate::fs::FileKind::Dir {
                if RealFs.list(&path).unwrap().is_empty() {
                    found.push(format!("{name}/"));
                }
                walk(root, &path, found);
            } else {
                found.push(format!("{name} {} bytes, {} s", stat.size, stat.mtime_nanos / 1_000_000_000));
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found.join("\n")
}

#[test]
fn listing_walks_from_the_site_down_to_an_item() {
    let (_dir, archive) = world();
    let view = view(&archive);
    assert_eq!(sources(&archive).unwrap().len(), 1);
    assert_eq!(snapshots(&archive, None).unwrap().len(), 2);
    let Listing::Site { accounts, .. } = list(&view, None).unwrap() else { panic!("another listing") };
    let names: Vec<_> = accounts.iter().map(|line| line.address.as_str()).collect();
    assert_eq!(names, ["bob@example.com", "ann@example.org"], "by domain");
    let Listing::Site { accounts, .. } = list(&view, Some("EXAMPLE.com")).unwrap() else { panic!("another listing") };
    assert_eq!(accounts.len(), 1);
    let Listing::Account { folders, .. } = list(&view, Some("ann@example.org")).unwrap() else {
        panic!("another listing")
    };
    let folders: Vec<_> = folders.iter().map(|line| (line.folder.as_str(), line.items)).collect();
    assert_eq!(folders, [("INBOX", 2), ("Archive/2023", 1), ("calendars/own", 1)]);
    let Listing::Folder { items, .. } = list(&view, Some("ann@example.org:INBOX")).unwrap() else {
        panic!("another listing")
    };
    let items: Vec<_> = items.iter().map(|line| line.name).collect();
    assert_eq!(items, ["1.letter", "3.note"]);
    assert!(matches!(list(&view, Some("ann@example.org:Nowhere")), Err(ShowError::NotInAccount { .. })));
    assert!(matches!(list(&view, Some("carl@example.org")), Err(ShowError::NoAccount { .. })));
}

#[test]
fn what_is_shown_has_the_header_but_no_password() {
    let (_dir, archive) = world();
    let view = view(&archive);
    let Shown::Item { header, .. } = show(&view, "ann@example.org:INBOX/1.letter:2,S", Secrets::Hidden).unwrap() else {
        panic!("another thing")
    };
    let from = header.iter().find(|field| field.name == "From").unwrap();
    assert_eq!(from.value, "Böb <bob@example.org>");
    assert!(header.iter().any(|field| field.name == "Return-Path"), "the trace is a part of the header");
    let both = |secrets| {
        [show(&view, "ann@example.org", secrets).unwrap(), show_part(&view, Part::Provisioning, secrets).unwrap()]
    };
    let text = |shown| format!("{} {shown:?}", serde_json::to_string(&shown).unwrap());
    let [account, records] = both(Secrets::Shown).map(text);
    assert!(
        account.contains("secret2") && records.contains("secret2") && records.contains("hunter2"),
        "{account} {records}"
    );
    for text in both(Secrets::Hidden).map(text) {
        assert!(text.contains("(hidden)") && !text.contains("secret2") && !text.contains("hunter2"), "{text}");
    }
    let Shown::Snapshot { head, rejected } = show_part(&view, Part::Snapshot, Secrets::Hidden).unwrap() else {
        panic!("another thing")
    };
    assert_eq!((head.no, rejected.len()), (SnapshotNo(2), 1));
    assert!(matches!(show(&view, "nothing", Secrets::Hidden), Err(ShowError::NoRecord(_))));
}

#[test]
fn two_snapshots_differ_by_what_the_day_brought() {
    let (_dir, archive) = world();
    let first = View::open(&archive, None, Some(SnapshotNo(1))).unwrap();
    let found = diff(&first, &view(&archive), &[]).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&found).unwrap(), @r#"
    {
      "a": 1,
      "b": 2,
      "records": [
        {
          "how": "changed",
          "what": "account ann@example.org",
          "details": [
            "password"
          ]
        }
      ],
      "accounts": [
        {
          "account": "ann@example.org",
          "differences": [
            {
              "how": "moved",
              "what": "item Archive/2023/2.note",
              "details": [
                "was in INBOX"
              ]
            },
            {
              "how": "added",
              "what": "item INBOX/3.note"
            }
          ]
        }
      ]
    }
    "#);
    assert!(diff(&first, &first, &[]).unwrap().accounts.is_empty());
}

#[test]
fn mail_is_found_by_header_date_and_attachment() {
    let (_dir, archive) = world();
    let view = view(&archive);
    let addresses = |query: Query| {
        let report = find(&view, &query, &Silent).unwrap();
        (report.read, report.found.into_iter().map(|found| found.address).collect::<Vec<_>>())
    };
    let some = |text: &str| Some(text.to_owned());
    let letter = vec!["ann@example.org:INBOX/1.letter".to_owned()];
    assert_eq!(addresses(Query { from: some("BÖB"), ..Query::default() }), (3, letter.clone()));
    assert_eq!(addresses(Query { attachment: some("plan.pdf"), ..Query::default() }).1, letter);
    assert_eq!(addresses(Query { attachment: some("last.txt"), ..Query::default() }).1, letter);
    let late = Query { since: Some(1_700_000_004), subject: some("note"), ..Query::default() };
    assert_eq!(addresses(late), (1, vec!["ann@example.org:INBOX/3.note".to_owned()]));
    assert_eq!(addresses(Query { accounts: vec!["bob@*".to_owned()], ..Query::default() }), (0, Vec::new()));
}

#[test]
fn an_account_comes_out_as_files_in_each_format() {
    let (dir, archive) = world();
    let view = view(&archive);
    let trees = [Format::Maildir, Format::Mbox, Format::Eml].map(|format| {
        let out = dir.path().join(format!("{format:?}"));
        let options = ExtractOptions { format, ..ExtractOptions::default() };
        let report = extract(&view, &RealFs, "ann@example.org", &out, &options, &Silent).unwrap();
        assert_eq!((report.items, report.rejected.len()), (4, 0));
        let again = extract(&view, &RealFs, "ann@example.org", &out, &options, &Silent);
        assert!(matches!(again, Err(ShowError::Exists(_))));
        let forced = ExtractOptions { force: true, ..options };
        extract(&view, &RealFs, "ann@example.org", &out, &forced, &Silent).unwrap();
        // The time of an mbox is that of its writing.
        tree(&out)
            .lines()
            .map(|line| line.split_once(" s").map_or(line, |(line, _)| line).to_owned())
            .collect::<Vec<_>>()
    });
    let names = |at: usize| {
        let name = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        trees[at].iter().map(name).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(trees[0].join("\n"), @r"
    calendars/own/x.ics 32 bytes, 1700000003
    mail/Archive/2023/cur/2.note:2,S 23 bytes, 1700000002
    mail/Archive/2023/new/
    mail/Archive/2023/tmp/
    mail/INBOX/cur/1.letter:2,S 3381 bytes, 1700000001
    mail/INBOX/cur/3.note:2,S 23 bytes, 1700000004
    mail/INBOX/new/
    mail/INBOX/tmp/
    ");
    insta::assert_snapshot!(names(1), @r"
    calendars/own/x.ics
    mail/Archive/2023.mbox
    mail/INBOX.mbox
    ");
    insta::assert_snapshot!(names(2), @r"
    calendars/own/x.ics
    mail/Archive/2023/2.note.eml
    mail/INBOX/1.letter.eml
    mail/INBOX/3.note.eml
    ");
    let mbox = RealFs.read(&dir.path().join("Mbox/mail/INBOX.mbox"), 1 << 20).unwrap();
    let mbox = String::from_utf8(mbox).unwrap();
    assert_eq!(mbox.matches("\nFrom MAILER-DAEMON ").count() + 1, 2);
    assert!(mbox.starts_with("From MAILER-DAEMON ") && mbox.contains("\n>From here on\r\n"));
    let letter_file = dir.path().join("Eml/mail/INBOX/1.letter.eml");
    assert_eq!(RealFs.read(&letter_file, 1 << 20).unwrap(), letter());
}

#[test]
fn one_item_comes_out_as_a_file_or_into_a_folder_but_over_nothing() {
    let (dir, archive) = world();
    let view = view(&archive);
    let address = "ann@example.org:INBOX/1.letter";
    let file = dir.path().join("one");
    let options = ExtractOptions::default();
    let dry = ExtractOptions { dry_run: true, ..options };
    let planned = extract(&view, &RealFs, address, &file, &dry, &Silent).unwrap();
    assert!(RealFs.lstat(&file).is_err());
    let done = extract(&view, &RealFs, address, &file, &options, &Silent).unwrap();
    assert_eq!((planned.items, planned.files, planned.bytes), (done.items, done.files, done.bytes));
    assert_eq!(RealFs.read(&file, 1 << 20).unwrap(), letter());
    assert!(matches!(extract(&view, &RealFs, address, &file, &options, &Silent), Err(ShowError::Exists(_))));
    extract(&view, &RealFs, address, dir.path(), &options, &Silent).unwrap();
    assert_eq!(RealFs.read(&dir.path().join("1.letter"), 1 << 20).unwrap(), letter());
    let mut bytes = Vec::new();
    assert_eq!(copy_item(&view, address, &mut bytes).unwrap(), bytes.len() as u64);
    assert_eq!(bytes, letter());
    assert!(matches!(copy_item(&view, "ann@example.org", &mut bytes), Err(ShowError::NotAnItem(_))));
}

#[test]
fn what_the_archive_lost_is_named_and_the_rest_comes_out() {
    let (dir, archive) = world();
    let lost = [folder(1, FolderKind::Mail, "INBOX"), item(1, 1, "gone", b"never stored"), item(2, 1, "here", NOTE)];
    snapshot(&archive, &[], &[(2, "bob@example.com", &lost)]);
    let view = view(&archive);
    let out = dir.path().join("out");
    let report = extract(&view, &RealFs, "bob@example.com:INBOX", &out, &ExtractOptions::default(), &Silent).unwrap();
    assert_eq!((report.items, report.files), (1, 1));
    assert_eq!(report.rejected[0].place.to_string(), "bob@example.com:INBOX/gone");
    let searched = find(&view, &Query::default(), &Silent).unwrap();
    assert_eq!((searched.found.len(), searched.rejected), (4, 1));
}
