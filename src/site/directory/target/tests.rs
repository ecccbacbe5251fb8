//! Stories of a directory site that is written: what an administrator and a server find afterwards.

use super::*;
use crate::fs::{Fs, RealFs};
use crate::model::provisioning::{
    Account, AccountClass, AccountStatus, Alias, Attributes, DistributionList, Domain, Record, Secret,
};
use crate::model::share::{Grantee, Rights};
use crate::site::{ItemContent, open_source, open_target};
use std::num::NonZeroU32;
use std::sync::Arc;

const ANN: &str = "ann@a.test";

struct World {
    dir: tempfile::TempDir,
    target: Box<dyn Target>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = open(&dir.path().join("site"));
        target.prepare(&"first".parse().unwrap()).unwrap();
        let world = Self { dir, target };
        world.put(&[account(ANN)]);
        world
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    fn put(&self, records: &[Record]) -> Vec<Result<(), Reason>> {
        let changes: Vec<_> =
            records.iter().map(|record| RecordChange::Put { record: record.clone(), was: None }).collect();
        self.target.put_records(&changes).unwrap()
    }

    fn text(&self, path: &str) -> String {
        let bytes = RealFs.read(&self.root().join(path), 1 << 20).unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        RealFs.create_dir_all(path.parent().unwrap()).unwrap();
        RealFs.replace(&path, text.as_bytes(), 0o644).unwrap();
    }

    /// Every file below a folder of the site, sorted.
    fn files(&self, below: &str) -> Vec<String> {
        fn walk(dir: &Path, prefix: &str, all: &mut Vec<String>) {
            for entry in RealFs.list(dir).unwrap_or_default() {
                let name = format!("{prefix}{}", entry.name.to_str().unwrap());
                match entry.kind {
                    crate::fs::FileKind::Dir => walk(&dir.join(&entry.name), &format!("{name}/"), all),
                    _ => all.push(name),
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.root().join(below), "", &mut all);
        all.sort();
        all
    }

    fn folder(&self, key: &FolderKey, change: impl FnOnce(&mut Folder)) -> FolderKey {
        let mut folder = Folder::at(key.clone());
        change(&mut folder);
        self.target.put_folder(ANN, &folder).unwrap().unwrap().key
    }

    fn deliver(&self, key: &FolderKey, batch: Vec<Delivery>) -> (Vec<Delivered>, UidsKept) {
        self.target.deliver(ANN, key, batch).unwrap()
    }

    /// Items of a folder as the site's own source lists them: name, flags, keywords, tags, UID.
    fn items(&self, key: &FolderKey) -> Vec<String> {
        let source = open_source(Arc::new(RealFs), self.root().to_str().unwrap()).unwrap();
        let FolderScan::Listed(listing) = source.folder(ANN, key, None, Depth::Deep).unwrap() else {
            return vec!["(no folder)".to_owned()];
        };
        assert_eq!(listing.rejected, []);
        let uid = |uid: Option<NonZeroU32>| uid.map_or("-".to_owned(), |uid| uid.to_string());
        let shown = |i: &FoundItem| {
            format!("{} {} {} {} {}", uid(i.uid), i.name, i.flags, i.keywords.join(","), i.tags.join(","))
        };
        listing.items.iter().map(shown).collect()
    }
}

fn open(root: &Path) -> Box<dyn Target> {
    open_target(Arc::new(RealFs), root.to_str().unwrap(), None).unwrap()
}

fn account(address: &str) -> Record {
    Record::Account(Account {
        address: address.to_owned(),
        class: AccountClass::User,
        name: None,
        password: Some(Secret::new("{PLAIN}x")),
        quota_bytes: None,
        status: AccountStatus::Active,
        cos: None,
        groups: vec![],
        attributes: Attributes::new(),
    })
}

fn domain(name: &str, catch_all: &[&str]) -> Record {
    Record::Domain(Domain {
        name: name.to_owned(),
        alias_of: None,
        catch_all: catch_all.iter().map(|&address| address.to_owned()).collect(),
        attributes: Attributes::new(),
    })
}

fn alias(address: &str, target: &str) -> Record {
    Record::Alias(Alias { address: address.to_owned(), targets: vec![target.to_owned()] })
}

fn mail(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

fn calendar(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Calendars, path).unwrap()
}

fn item(name: &str, uid: u32) -> Delivery {
    Delivery {
        name: name.to_owned(),
        content: ItemContent::Bytes(format!("content of {name}").into_bytes()),
        date: 1_000_000_000,
        flags: Flags::from_letters("S"),
        keywords: vec![],
        tags: vec![],
        uid: NonZeroU32::new(uid),
        uidl: None,
    }
}

#[test]
fn a_new_account_takes_mail_at_once_and_has_no_uids_yet() {
    let world = World::new();
    let maildir = world.root().join("mail/a.test/ann/Maildir");
    assert!(["cur", "new", "tmp"].iter().all(|sub| RealFs.stat(&maildir.join(sub)).is_ok()));
    assert_eq!(world.files("mail"), Vec::<String>::new());
    assert_eq!(world.text("etc/passwd"), "ann@a.test:{PLAIN}x::::::\n");
}

#[test]
fn provisioning_said_twice_changes_no_file_and_what_others_wrote_stays() {
    let world = World::new();
    world.write("etc/virtual_alias", "# by hand\nroot@a.test   ann@a.test\n");
    let records = [domain("a.test", &["ann@a.test"]), account("o'neil@a.test"), alias("abuse@a.test", "ann@a.test")];
    assert_eq!(world.put(&records), [Ok(()), Ok(()), Ok(())]);
    let expected = "# by hand\nroot@a.test   ann@a.test\n@a.test\tann@a.test\nabuse@a.test\tann@a.test\n\
        ann@a.test\tann@a.test\no'neil@a.test\to'neil@a.test\n";
    assert_eq!(world.text("etc/virtual_alias"), expected, "each account beneath the catch-all has a line of its own");
    assert_eq!(world.text("etc/passwd"), "ann@a.test:{PLAIN}x::::::\no\\'neil@a.test:{PLAIN}x::::::\n");
    let inode = || RealFs.stat(&world.root().join("etc/passwd")).unwrap().ino;
    let before = inode();
    world.put(&records);
    assert_eq!(inode(), before);
    assert_eq!(world.text("etc/virtual_alias"), expected);
}

#[test]
fn a_value_that_would_make_a_second_line_is_refused_and_the_rest_is_done() {
    let world = World::new();
    let mut evil = account("evil@a.test");
    if let Record::Account(account) = &mut evil {
        account.password = Some(Secret::new("x\nroot@a.test:{PLAIN}y"));
    }
    let list = Record::List(DistributionList {
        address: "team@a.test".to_owned(),
        name: None,
        members: vec!["x@a.test\nroot@a.test y@a.test".to_owned()],
        owners: vec![],
        attributes: Attributes::new(),
    });
    let records = [evil, account("../../etc@a.test"), list, domain("a/b", &[]), account("bob@a.test")];
    let outcomes = world.put(&records);
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, false, false, true]);
    assert_eq!(world.text("etc/passwd"), "ann@a.test:{PLAIN}x::::::\nbob@a.test:{PLAIN}x::::::\n");
    assert_eq!(world.text("etc/virtual_alias"), "");
}

#[test]
fn a_renamed_account_takes_its_mailbox_its_settings_and_its_line_along() {
    let world = World::new();
    world.folder(&mail("INBOX"), |_| {});
    world.deliver(&mail("INBOX"), vec![item("1.a", 0)]);
    let setting = Setting::Preference { name: "theme".to_owned(), value: "dark".to_owned() };
    world.target.put_setting(ANN, &setting).unwrap().unwrap();
    world.put(&[account("bob@a.test")]);
    let rename = RecordChange::Put { record: account("anna@b.test"), was: Some(ANN.to_owned()) };
    for _ in 0..2 {
        assert_eq!(world.target.put_records(std::slice::from_ref(&rename)).unwrap(), [Ok(())]);
    }
    assert_eq!(world.files("mail/b.test/anna"), ["Maildir/cur/1.a:2,S"]);
    assert_eq!(world.text("etc/passwd"), "anna@b.test:{PLAIN}x::::::\nbob@a.test:{PLAIN}x::::::\n");
    assert_eq!(world.target.mailbox("anna@b.test").unwrap().settings, [setting]);
    let onto_another = RecordChange::Put { record: account("bob@a.test"), was: Some("anna@b.test".to_owned()) };
    assert!(matches!(world.target.put_records(&[onto_another]).unwrap().as_slice(), [Err(Reason::Refused(_))]));
}

#[test]
fn a_removed_account_leaves_its_mail_aside_for_the_administrator() {
    let world = World::new();
    world.deliver(&mail("INBOX"), vec![item("1.a", 0)]);
    world.target.put_records(&[RecordChange::Remove { record: account(ANN) }]).unwrap();
    assert_eq!(world.text("etc/passwd"), "");
    assert_eq!(world.files(".wagon/removed"), ["mail/ann@a.test/Maildir/cur/1.a:2,S"]);
    assert_eq!(world.target.provisioning().unwrap().records.len(), 0);
}

#[test]
fn a_second_importer_hears_who_has_the_site_and_since_when() {
    let world = World::new();
    let second = open(&world.root());
    match second.prepare(&"second".parse().unwrap()) {
        Err(SiteError::Locked { since, .. }) => {
            assert!(since.contains(&format!("process {}", std::process::id())), "{since}");
        }
        other => panic!("{other:?}"),
    }
    let World { dir, target } = world;
    drop(target);
    assert_eq!(open(&dir.path().join("site")).prepare(&"third".parse().unwrap()).unwrap().as_str(), "first");
}

#[test]
fn messages_that_come_newest_first_have_the_uids_of_the_source() {
    let world = World::new();
    let inbox = mail("INBOX");
    world.folder(&inbox, |folder| {
        folder.uid_validity = NonZeroU32::new(77);
        folder.uid_next = NonZeroU32::new(50);
        folder.guid = Some("0123456789abcdef0123456789abcdef".to_owned());
    });
    assert_eq!(world.deliver(&inbox, vec![item("c", 40), item("d", 49)]).1, UidsKept::Yes);
    assert_eq!(world.deliver(&inbox, vec![item("a", 3), item("b", 39)]).1, UidsKept::Yes);
    assert_eq!(
        world.text("mail/a.test/ann/Maildir/dovecot-uidlist"),
        "3 V77 N50 G0123456789abcdef0123456789abcdef\n3 :a\n39 :b\n40 :c\n49 :d\n"
    );
    assert_eq!(world.items(&inbox), ["3 a S  ", "39 b S  ", "40 c S  ", "49 d S  "]);
}

#[test]
fn a_delivery_that_is_repeated_brings_nothing_twice() {
    let world = World::new();
    let inbox = mail("INBOX");
    world.folder(&inbox, |folder| folder.uid_validity = NonZeroU32::new(77));
    let first = world.deliver(&inbox, vec![item("a", 3)]);
    assert_eq!(world.deliver(&inbox, vec![item("a", 3)]), first);
    assert!(world.target.set_flags(ANN, &inbox, "a", Flags::from_letters("FS"), &[]).unwrap());
    assert_eq!(world.deliver(&inbox, vec![item("a", 3)]), first, "also when a user has flagged it since");
    assert_eq!(world.items(&inbox), ["3 a FS  "]);
    let twins = world.deliver(&inbox, vec![item("b", 4), item("b", 5)]).0;
    assert!(matches!(twins.as_slice(), [Delivered::Done { .. }, Delivered::Rejected(Reason::BadName(_))]), "{twins:?}");
}

#[test]
fn what_a_crash_left_half_done_is_settled() {
    let world = World::new();
    let (inbox, archive) = (mail("INBOX"), mail("Archive"));
    for key in [&inbox, &archive] {
        world.folder(key, |folder| folder.uid_validity = NonZeroU32::new(77));
    }
    world.deliver(&archive, vec![item("moved", 1)]);
    // A file without its entry, a file still in tmp, one that a user has moved, one that never came.
    world.write("mail/a.test/ann/Maildir/cur/bare:2,F", "content of bare");
    world.write("mail/a.test/ann/Maildir/tmp/wagon.staged", "conte");
    let names = ["bare", "staged", "moved", "never"].map(str::to_owned);
    let settled = world.target.settle(ANN, &inbox, &names).unwrap();
    let places: Vec<_> = settled.iter().map(|found| found.as_ref().map(|found| found.key.path())).collect();
    assert_eq!(places, [Some("INBOX"), None, Some("Archive"), None]);
    assert_eq!(world.items(&inbox), ["1 bare F  "]);
    world.deliver(&inbox, vec![item("staged", 2)]);
    assert_eq!(world.items(&inbox), ["1 bare F  ", "2 staged S  "]);
    assert!(!world.files("mail").iter().any(|file| file.contains("/tmp/")), "nothing is left in tmp");
}

#[test]
fn names_are_free_in_the_whole_account_and_never_lead_out_of_a_folder() {
    let world = World::new();
    world.folder(&mail("Archive"), |_| {});
    world.deliver(&mail("Archive"), vec![item("1.a,S=9", 0)]);
    let wanted = ["1.a,S=9", "2.b", "2.b", "../../x", "a:2,S"].map(str::to_owned);
    let names = open(&world.root()).reserve_names(ANN, &mail("INBOX"), &wanted).unwrap();
    assert_eq!(names[..3], ["1.a-w1,S=9", "2.b", "2.b-w1"]);
    assert!(names[3..].iter().all(|name| name.starts_with("0.") && name.ends_with(".wagon")), "{names:?}");
    assert_eq!(
        names,
        world.target.reserve_names(ANN, &mail("INBOX"), &wanted).unwrap(),
        "the same wishes, the same names"
    );
    let again = world.target.reserve_names(ANN, &mail("INBOX"), &wanted[1..2]).unwrap();
    assert_eq!(again, ["2.b-w2"], "a promised name is not promised again");
}

#[test]
fn the_27th_keyword_of_a_folder_and_all_tags_are_kept_beside_it() {
    let world = World::new();
    let (inbox, other) = (mail("INBOX"), mail("Other"));
    world.folder(&inbox, |_| {});
    world.folder(&other, |_| {});
    let mut delivery = item("a", 0);
    delivery.keywords = (10..37).map(|number| format!("k{number}")).collect();
    delivery.tags = vec!["Blue".to_owned()];
    let keywords = delivery.keywords.join(",");
    world.deliver(&inbox, vec![delivery]);
    assert_eq!(world.items(&inbox), [format!("- a S {keywords} Blue")]);
    assert!(world.target.move_item(ANN, &inbox, "a", &other).unwrap());
    assert!(!world.target.move_item(ANN, &inbox, "a", &other).unwrap(), "gone from there");
    assert_eq!(world.items(&other), [format!("- a S {keywords} Blue")]);
    assert!(world.target.set_flags(ANN, &other, "a", Flags::default(), &["k12".to_owned()]).unwrap());
    assert_eq!(world.items(&other), ["- a  k12 Blue"]);
    assert!(world.target.remove_item(ANN, &other, "a").unwrap());
    assert!(!world.target.remove_item(ANN, &other, "a").unwrap());
}

#[test]
fn a_server_may_rename_a_message_between_two_calls() {
    let world = World::new();
    let inbox = mail("INBOX");
    world.deliver(&inbox, vec![item("a", 0), item("b", 0)]);
    assert!(world.target.set_flags(ANN, &inbox, "a", Flags::default(), &[]).unwrap());
    let cur = world.root().join("mail/a.test/ann/Maildir/cur");
    RealFs.rename(&cur.join("a:2,"), &cur.join("a:2,RSq")).unwrap();
    assert!(world.target.set_flags(ANN, &inbox, "a", Flags::from_letters("F"), &[]).unwrap());
    assert_eq!(world.files("mail/a.test/ann/Maildir/cur"), ["a:2,Fq", "b:2,S"]);
    RealFs.remove_file(&cur.join("b:2,S")).unwrap();
    assert!(!world.target.set_flags(ANN, &inbox, "b", Flags::default(), &[]).unwrap());
}

#[test]
fn folders_are_made_under_names_that_maildir_can_hold_renamed_with_all_below_and_removed_when_empty() {
    let world = World::new();
    let dotted = world.folder(&mail("v1.0/~tmp"), |folder| folder.subscribed = true);
    assert_eq!(dotted, mail("v1\u{2024}0/\u{ff5e}tmp"));
    for path in ["Work", "Work/2023/Q1", "Workshop"] {
        world.folder(&mail(path), |folder| {
            folder.subscribed = true;
            folder.title = Some(path.to_owned());
        });
    }
    world.deliver(&mail("Work/2023/Q1"), vec![item("a", 0)]);
    let rename = |from, to| world.target.rename_folder(ANN, &mail(from), &mail(to)).unwrap();
    for _ in 0..2 {
        assert_eq!(rename("Work", "Old/Work"), Ok(()), "again changes nothing");
    }
    assert_eq!(world.items(&mail("Old/Work/2023/Q1")), ["- a S  "]);
    assert!(
        rename("Workshop", "Old/Work").is_err() && rename("INBOX", "x").is_err() && rename("Old", "Old/x").is_err()
    );
    assert!(rename("Workshop", "a.b").is_err(), "a name that would become another");
    let subscribed = world.text("mail/a.test/ann/Maildir/subscriptions");
    assert!(subscribed.contains("Old\tWork\t2023\tQ1\n") && subscribed.contains("Workshop\n"), "{subscribed}");
    assert!(world.target.remove_folder(ANN, &mail("Old/Work/2023/Q1")).unwrap().is_err(), "it holds a message");
    for _ in 0..2 {
        assert_eq!(world.target.remove_folder(ANN, &mail("Workshop")).unwrap(), Ok(()));
    }
    assert_eq!(world.items(&mail("Workshop")), ["(no folder)"]);
}

#[test]
fn grants_that_dovecot_knows_are_in_its_file_and_the_others_beside_it() {
    let world = World::new();
    let key = mail("Team");
    world.folder(&key, |_| {});
    let grant = |grantee| Grant { grantee, rights: Rights::from_letters("lr"), negative: false };
    let grants = [
        grant(Grantee::User("bob@a.test".to_owned())),
        grant(Grantee::Domain("b.test".to_owned())),
        grant(Grantee::Everyone),
    ];
    for _ in 0..2 {
        world.target.put_grants(ANN, &key, &grants).unwrap().unwrap();
    }
    world.target.finish().unwrap();
    assert_eq!(world.text("mail/a.test/ann/Maildir/.Team/dovecot-acl"), "user=bob@a.test lr\nauthenticated lr\n");
    let dict = "shared/shared-boxes/anyone/ann@a.test\n1\nshared/shared-boxes/user/bob@a.test/ann@a.test\n1\n";
    assert_eq!(world.text(SHARED_DICT), dict);
    let FolderScan::Listed(listing) = world.target.folder(ANN, &key, None, Depth::Deep).unwrap() else { panic!() };
    let mut expected = grants.to_vec();
    expected.sort();
    assert_eq!(listing.folder.grants, expected);
    world.target.put_grants(ANN, &key, &[]).unwrap().unwrap();
    world.target.finish().unwrap();
    assert_eq!((world.text("mail/a.test/ann/Maildir/.Team/dovecot-acl"), world.text(SHARED_DICT)), Default::default());
}

#[test]
fn collections_and_scripts_are_files_that_are_replaced_whole() {
    let world = World::new();
    let team = world.folder(&calendar("team"), |folder| {
        folder.title = Some("The team".to_owned());
        folder.color = Some("#00ff00".to_owned());
    });
    world.deliver(&team, vec![item("e1.ics", 0), item("e2.ics", 0), item("e3.ics", 0), item("no-extension", 0)]);
    assert_eq!(world.files("dav/a.test/ann/calendars/team"), ["color", "displayname", "e1.ics", "e2.ics", "e3.ics"]);
    let replacement = Delivery { content: ItemContent::Bytes(b"new".to_vec()), ..item("e1.ics", 0) };
    assert!(world.target.replace_item(ANN, &team, replacement).unwrap());
    assert_eq!(world.text("dav/a.test/ann/calendars/team/e1.ics"), "new");
    assert!(!world.target.replace_item(ANN, &team, item("gone.ics", 0)).unwrap());
    assert!(world.target.remove_folder(ANN, &team).unwrap().is_err());
    assert!(world.target.replace_item(ANN, &mail("INBOX"), item("m", 0)).is_err(), "a message never changes");

    let filters = FolderKey::new(FolderKind::Filters, "sieve").unwrap();
    world.folder(&filters, |folder| folder.active = Some("holiday".to_owned()));
    world.deliver(&filters, vec![item("holiday", 0), item("old rules", 0)]);
    assert_eq!(world.text("mail/a.test/ann/.dovecot.sieve"), "content of holiday");
    world.folder(&filters, |_| {});
    assert_eq!(world.files("mail/a.test/ann"), ["sieve/holiday.sieve", "sieve/old rules.sieve"]);
    assert_eq!(world.items(&filters), ["- holiday   ", "- old rules   "]);
}

#[test]
fn a_stream_that_ends_early_is_rejected_and_leaves_nothing() {
    let world = World::new();
    let write = |out: &mut dyn std::io::Write| out.write(b"half").map(|n| n as u64);
    let torn = Delivery { content: ItemContent::Stream { size: 9, write: Box::new(write) }, ..item("a", 0) };
    let (outcomes, _) = world.deliver(&mail("INBOX"), vec![torn, item("b", 0), item("c", 0)]);
    assert!(matches!(outcomes[0], Delivered::Rejected(Reason::Damaged(_))), "{outcomes:?}");
    assert_eq!(world.files("mail/a.test/ann/Maildir"), ["cur/b:2,S", "cur/c:2,S"]);
}
