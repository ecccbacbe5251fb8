//! Trees that somebody broke, or made to do harm.

use super::hooked_fs::HookedFs;
use super::*;
use crate::limits;
use crate::site::SiteError;
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;

#[test]
fn a_folder_that_is_no_site_is_refused() {
    let empty = TempDir::new().unwrap();
    let opened = crate::site::open_source(Arc::new(RealFs), empty.path().to_str().unwrap());
    assert!(matches!(opened.map(drop), Err(SiteError::NotASite(_))));
    let missing = crate::site::open_source(Arc::new(RealFs), "dir:/nowhere/at/all");
    assert!(matches!(missing.map(drop), Err(SiteError::Io { .. })));
    let Err(unknown) = crate::site::open_source(Arc::new(RealFs), "imap:host") else { panic!("no such scheme") };
    assert_eq!(
        unknown.to_string(),
        "no kind of site is called \"imap\"; known are a folder, dir:FOLDER and a site description FILE.toml \
         (a folder of that name is ./imap:…)"
    );
}

#[test]
fn nothing_is_poured_into_a_folder_that_holds_something_else() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("thesis.tex"), "").unwrap();
    let create = |path: &Path| DirectorySite::create(Arc::new(RealFs), path, None).map(drop);
    assert!(matches!(create(home.path()), Err(SiteError::NotASite(_))));
    create(&home.path().join("new")).unwrap();
    create(&home.path().join("new")).unwrap();
}

#[test]
fn names_that_are_no_text_and_names_with_line_ends_are_items_all_the_same() {
    let world = World::new();
    let cur = world.write(&format!("{MAILDIR}/cur/1:2,S"), "x").path(MAILDIR).join("cur");
    fs::write(cur.join(OsStr::from_bytes(b"a\xffb:2,S")), "bytes").unwrap();
    fs::write(cur.join("a\nb:2,"), "newline").unwrap();
    fs::write(cur.join("a\\xffb:2,"), "twin").unwrap();
    fs::create_dir_all(world.path(MAILDIR).join(OsStr::from_bytes(b".b\xff"))).unwrap();
    let site = world.site();
    let listing = site.listing(ANN, &mail("INBOX"), None);
    assert_eq!(names(&listing), ["1", "a\nb", "a\\xffb"]);
    assert_eq!(
        lines(&listing.rejected),
        ["ann@a.test:INBOX/a\\xffb: bad name: another message has a name that looks the same"]
    );
    assert_eq!(site.text(&mail("INBOX"), &listing.items.get(1).unwrap()), "newline");
    assert_eq!(world.folders(ANN), ["INBOX", "b\\xff"]);
    assert!(world.list("b\\xff").items.is_empty());
}

#[test]
fn folder_names_that_are_none_are_rejected_and_the_others_stay() {
    let world = World::new();
    for dir in [".A..B", ".INBOX", ".&AAA-", ".Good"] {
        fs::create_dir_all(world.path(MAILDIR).join(dir).join("cur")).unwrap();
    }
    fs::create_dir_all(world.path(MAILDIR).join(".x".repeat(limits::FOLDER_DEPTH + 1))).unwrap();
    fs::create_dir_all(world.path(MAILDIR).join(".Gr&APY-n")).unwrap();
    fs::create_dir_all(world.path(MAILDIR).join(".Grön")).unwrap();
    let scan = world.site().mailbox(ANN).unwrap();
    let paths: Vec<_> = scan.folders.iter().map(|found| found.key.path()).collect();
    assert_eq!(paths, ["Good", "Grön", "INBOX"]);
    let told = lines(&scan.rejected);
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.contains(&"ann@a.test:.INBOX: bad name: the inbox is the Maildir itself".to_owned()));
    assert!(told.contains(&"ann@a.test:Grön: bad name: .Grön is another spelling of it".to_owned()));
}

#[test]
fn loops_of_links_end_and_links_to_strangers_are_not_followed() {
    let world = World::new();
    world
        .write(&format!("{MAILDIR}/cur/1:2,S"), "x")
        .write(&format!("{MAILDIR}/.Real/cur/2:2,S"), "y")
        .write("mail/a.test/eve/Maildir/cur/3:2,S", "secret")
        .link(".", &format!("{MAILDIR}/.Loop"))
        .link(".Self", &format!("{MAILDIR}/.Self"))
        .link("nowhere", &format!("{MAILDIR}/.Dangling"))
        .link(".Real", &format!("{MAILDIR}/.Again"))
        .link("../../eve/Maildir", &format!("{MAILDIR}/.Stolen"))
        .link("1:2,S", &format!("{MAILDIR}/cur/9:2,S"));
    // The link is the user's, what it leads to is not.
    std::os::unix::fs::lchown(world.path(MAILDIR).join(".Stolen"), Some(4711), Some(4711)).unwrap_or(());
    let scan = world.site().mailbox(ANN).unwrap();
    let paths: Vec<_> = scan.folders.iter().map(|found| found.key.path()).collect();
    let told = lines(&scan.rejected);
    let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata(world.path("mail")).unwrap()) == 0;
    if is_root {
        assert_eq!(paths, ["INBOX", "Real"]);
        assert!(told.iter().any(|line| line.contains("Stolen") && line.contains("somebody else")), "{told:?}");
    }
    for name in ["Loop: bad name: the same directory as INBOX", "Again: bad name: the same directory as Real", "Self"] {
        assert!(told.iter().any(|line| line.contains(name)), "{name}: {told:?}");
    }
    let inbox = world.list("INBOX");
    assert_eq!(names(&inbox), ["1"]);
    assert_eq!(lines(&inbox.rejected), ["ann@a.test:INBOX/9:2,S: bad name: it is a symbolic link among messages"]);
}

#[test]
fn what_cannot_be_read_is_an_error_and_never_an_absence() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1:2,S"), "x").write(&format!("{MAILDIR}/.Box/dovecot-acl"), "");
    world.write(&format!("{MAILDIR}/dovecot-uidlist"), "3 V1 N1 Ga\n").write(&format!("{MAILDIR}/new/2"), "y");
    for (broken, folder) in [("Maildir/new", "INBOX"), ("dovecot-uidlist", "INBOX"), (".Box/dovecot-acl", "Box")] {
        let fs = HookedFs::new(move |call, path| {
            let hit = path.ends_with(broken) && call != "lstat";
            if hit { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
        });
        let site = world.site_on(Arc::new(fs));
        assert_eq!(site.mailbox(ANN).unwrap().folders.len(), 2);
        let outcome = site.folder(ANN, &mail(folder), None, Depth::Marks);
        assert!(matches!(outcome, Err(SiteError::Io { .. })), "{broken}: {outcome:?}");
    }
    let fs = HookedFs::new(|call, path| {
        let hit = call == "open" && path.ends_with("1:2,S");
        if hit { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    });
    let site = world.site_on(Arc::new(fs));
    let inbox = site.listing(ANN, &mail("INBOX"), None);
    assert_eq!(site.text(&mail("INBOX"), &inbox.items.get(0).unwrap()), "unreadable: permission denied");
}

#[test]
fn strange_things_among_messages_are_rejected_and_never_opened() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1:2,S"), "x").write(&format!("{MAILDIR}/cur/:2,S"), "no base");
    world.write(&format!("{MAILDIR}/cur/dir/inside"), "").write(&format!("{MAILDIR}/new/.keep"), "");
    let (pipe, mode) = (world.path(MAILDIR).join("new/pipe"), rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let site = world.site();
    let listing = site.listing(ANN, &mail("INBOX"), None);
    assert_eq!(names(&listing), ["1"]);
    assert_eq!(listing.rejected.len(), 3, "{:?}", lines(&listing.rejected));
    let mut item = listing.items.get(0).unwrap();
    item.place = format!("{MAILDIR}/new/pipe").into_bytes();
    assert_eq!(site.text(&mail("INBOX"), &item), "unreadable: not a regular file");
}

#[test]
fn a_message_beyond_the_bound_is_streamed_as_often_as_asked() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1:2,S"), "");
    let file = fs::File::options().write(true).open(world.path(MAILDIR).join("cur/1:2,S")).unwrap();
    file.set_len(limits::WHOLE_ITEM_BYTES + 1).unwrap();
    let site = world.site();
    let item = site.listing(ANN, &mail("INBOX"), None).items.get(0).unwrap();
    let Content::Large { size, open, .. } = site.read(ANN, &mail("INBOX"), &item).unwrap() else { panic!("not large") };
    world.rename(&format!("{MAILDIR}/cur/1:2,S"), &format!("{MAILDIR}/cur/1:2,FS"));
    for _ in 0..2 {
        assert_eq!(io::copy(&mut open().unwrap(), &mut io::sink()).unwrap(), size);
    }
    file.set_len(5).unwrap();
    assert_eq!(open().unwrap().read_to_end(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn broken_control_files_are_reported_and_do_not_hide_messages() {
    let world = World::new();
    let garbage: String = (0..100).map(|number| format!("garbage {number}\n")).collect();
    world
        .write(&format!("{MAILDIR}/cur/1:2,Sq"), "x")
        .write(&format!("{MAILDIR}/dovecot-uidlist"), format!("3 V1 N5 Ga\n2 :1\n{garbage}"))
        .write(&format!("{MAILDIR}/dovecot-acl"), "nobody lr\nowner lr\n");
    let inbox = world.list("INBOX");
    assert_eq!(inbox.items.get(0).unwrap().uid.unwrap().get(), 2);
    assert_eq!(inbox.folder.grants.len(), 1);
    let told = lines(&inbox.rejected);
    assert_eq!(told.len(), limits::BAD_LINES_SHOWN + 3);
    for end in [
        "dovecot-uidlist has 80 more lines that do not follow its format",
        "dovecot-acl line 1: names nobody that is known",
        "keyword letters q have no name in dovecot-keywords",
    ] {
        assert!(told.iter().any(|line| line.ends_with(end)), "{end}: {told:?}");
    }
}

#[test]
fn a_database_of_somebody_else_or_with_sql_of_its_own_is_refused() {
    let world = World::new();
    world.write(site_db::FILE, "not a database, but long enough to be looked at as one by anybody who tries");
    let scan = world.site().mailbox(ANN).unwrap();
    assert!(scan.settings_unseen && lines(&scan.rejected).concat().contains("site.sqlite"), "{scan:?}");
    fs::remove_file(world.path(site_db::FILE)).unwrap();
    world.sql("CREATE VIEW x AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n");
    let refused = lines(&world.site().provisioning().unwrap().rejected).concat();
    assert!(refused.contains("views, triggers, virtual tables or computed columns"), "{refused}");
    let target = DirectorySite::create(Arc::new(RealFs), world.root.path(), None).unwrap();
    assert!(matches!(target.mailbox(ANN), Err(SiteError::Database { .. })), "a target is not judged without it");
}
