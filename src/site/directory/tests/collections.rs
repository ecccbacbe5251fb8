//! Calendars, contacts, files and scripts.

use super::*;
use crate::model::setting::SettingKind;

fn key(kind: FolderKind, path: &str) -> FolderKey {
    FolderKey::new(kind, path).unwrap()
}

#[test]
fn a_vdir_tree_gives_folders_of_every_kind() {
    let world = World::new();
    let dav = "dav/a.test/ann";
    world
        .write(&format!("{dav}/calendars/personal/one.ics"), "BEGIN:VCALENDAR")
        .write(&format!("{dav}/calendars/personal/displayname"), "Ann\n")
        .write(&format!("{dav}/calendars/personal/color"), "#3a87ad\n")
        .write(&format!("{dav}/calendars/personal/description"), "Two\nlines\n")
        .write(&format!("{dav}/calendars/personal/order"), "3")
        .write(&format!("{dav}/calendars/personal/.cache"), "")
        .write(&format!("{dav}/calendars/personal/new.ics.tmp"), "")
        .write(&format!("{dav}/calendars/personal/notes.txt"), "")
        .write(&format!("{dav}/calendars/stray.ics"), "")
        .write(&format!("{dav}/contacts/book/eve.VCF"), "BEGIN:VCARD")
        .write(&format!("{dav}/tasks/todo/t.ics"), "BEGIN:VTODO")
        .write(&format!("{dav}/files/Documents/displayname"), "a file of this name")
        .write(&format!("{dav}/files/Documents/2024/.hidden"), "seen");
    let scan = world.site().mailbox(ANN).unwrap();
    let folders: Vec<_> = scan.folders.iter().map(|found| found.key.to_string()).collect();
    assert_eq!(
        folders,
        ["calendars/personal", "contacts/book", "tasks/todo", "files/Documents", "files/Documents/2024"]
    );
    assert_eq!(lines(&scan.rejected), ["ann@a.test:calendars/stray.ics: bad name: it is a file outside of any folder"]);
    let site = world.site();
    let personal = site.listing(ANN, &key(FolderKind::Calendars, "personal"), None);
    assert_eq!(names(&personal), ["one.ics"]);
    assert_eq!((personal.folder.title.as_deref(), personal.folder.color.as_deref()), (Some("Ann"), Some("#3a87ad")));
    let more = (personal.folder.description.as_deref(), personal.folder.order.as_deref());
    assert_eq!(more, (Some("Two\nlines"), Some("3")));
    assert_eq!(
        lines(&personal.rejected),
        ["ann@a.test:calendars/personal/notes.txt: bad name: it is no item of a collection like this"]
    );
    let documents = key(FolderKind::Files, "Documents");
    let listing = site.listing(ANN, &documents, None);
    assert_eq!((names(&listing), listing.folder.title.clone()), (vec!["displayname".to_owned()], None));
    assert_eq!(site.text(&documents, &listing.items.get(0).unwrap()), "a file of this name");
    assert_eq!(names(&site.listing(ANN, &key(FolderKind::Files, "Documents/2024"), None)), [".hidden"]);
}

#[test]
fn an_item_edited_in_place_is_seen_even_with_its_old_time_and_size() {
    let world = World::new();
    let file = "dav/a.test/ann/calendars/work/one.ics";
    world.write(file, "BEGIN").write("dav/a.test/ann/calendars/work/displayname", "Work");
    let (site, work) = (world.site(), key(FolderKind::Calendars, "work"));
    let first = site.listing(ANN, &work, None);
    assert!(site.is_unchanged(ANN, &work, &first.mark));
    let time = fs::metadata(world.path(file)).unwrap().modified().unwrap();
    world.write(file, "OTHER");
    fs::File::options().write(true).open(world.path(file)).unwrap().set_modified(time).unwrap();
    let second = site.listing(ANN, &work, Some(&first.mark));
    let version = |listing: &FolderListing| listing.items.get(0).unwrap().version;
    assert_ne!(version(&first), version(&second));
    world.write("dav/a.test/ann/calendars/work/displayname", "Werk");
    assert_eq!(site.listing(ANN, &work, Some(&second.mark)).folder.title.as_deref(), Some("Werk"));
}

#[test]
fn scripts_are_items_and_the_link_names_the_active_one() {
    let world = World::new();
    let home = "mail/a.test/ann";
    world
        .write(&format!("{home}/sieve/main script.sieve"), "keep;")
        .write(&format!("{home}/sieve/holiday.sieve"), "discard;")
        .write(&format!("{home}/sieve/holiday.svbin"), "")
        .write(&format!("{home}/sieve/tmp/x"), "")
        .link("sieve/main script.sieve", &format!("{home}/.dovecot.sieve"));
    let (site, scripts) = (world.site(), key(FolderKind::Filters, "sieve"));
    assert_eq!(world.folders(ANN), ["filters/sieve"]);
    let listing = site.listing(ANN, &scripts, None);
    assert_eq!(names(&listing), ["holiday", "main script"]);
    assert_eq!(listing.folder.active.as_deref(), Some("main script"));
    assert!(site.is_unchanged(ANN, &scripts, &listing.mark));
    fs::remove_file(world.path(&format!("{home}/.dovecot.sieve"))).unwrap();
    world.link(world.path(&format!("{home}/sieve/gone.sieve")), &format!("{home}/.dovecot.sieve"));
    let listing = site.listing(ANN, &scripts, Some(&listing.mark));
    assert_eq!(listing.folder.active, None);
    assert_eq!(
        lines(&listing.rejected),
        ["ann@a.test:filters/sieve/.dovecot.sieve: bad name: it leads to none of the account's scripts"]
    );
}

#[test]
fn a_script_without_a_folder_of_scripts_is_the_active_one() {
    let world = World::new();
    world.write("mail/a.test/ann/.dovecot.sieve", "keep;");
    let (site, scripts) = (world.site(), key(FolderKind::Filters, "sieve"));
    let listing = site.listing(ANN, &scripts, None);
    assert_eq!(
        (names(&listing), listing.folder.active.as_deref()),
        (vec!["dovecot.orig".to_owned()], Some("dovecot.orig"))
    );
    assert_eq!(site.text(&scripts, &listing.items.get(0).unwrap()), "keep;");
}

#[test]
fn settings_come_from_the_database_sorted_and_bad_rows_are_told() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1"), "").sql(
        r##"INSERT INTO account VALUES ('ann@a.test', 'user', 'active', NULL, NULL, '[]', '{}');
        INSERT INTO setting VALUES ('ann@a.test', 'tag', 'red', '{"kind":"tag","name":"red","color":"#f00"}');
        INSERT INTO setting VALUES ('ann@a.test', 'preference', 'skin', '{"kind":"preference","name":"skin","value":"dark"}');
        INSERT INTO setting VALUES ('ann@a.test', 'preference', 'bad', 'no JSON');"##,
    );
    let scan = world.site().mailbox(ANN).unwrap();
    let keys: Vec<_> = scan.settings.iter().map(crate::model::setting::Setting::key).collect();
    assert_eq!(keys, [(SettingKind::Preference, "skin".to_owned()), (SettingKind::Tag, "red".to_owned())]);
    assert_eq!(lines(&scan.rejected), ["ann@a.test: malformed: row 1 of setting in site.sqlite makes no sense"]);
}
