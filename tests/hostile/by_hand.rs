//! An administrator renames accounts and calendars with `mv` on a site that has a `site.sqlite`.

use crate::world::{World, assert_says};
use stationwagon::archive::Archive;
use stationwagon::archive::history::History;
use stationwagon::format::manifest::AccountState;
use stationwagon::fs::RealFs;
use stationwagon::model::mailbox::{Folder, FolderKind};
use stationwagon::model::provisioning::{Account, Record};
use std::fs;
use std::sync::Arc;

const ANN: &str = "ann@station.example";
const ROOM: &str = "room-1@station.example";

fn account(world: &World, address: &str) -> (Account, AccountState) {
    let archive = Archive::open(Arc::new(RealFs), &world.path("archive")).unwrap();
    let history = History::open(&archive, None, None).unwrap();
    let (records, _) = history.provisioning().unwrap();
    let found = records.records.values().find(|stored| stored.record.key() == address).unwrap();
    let Record::Account(account) = &found.record else { panic!("{address} is no account") };
    assert!(found.idents.iter().any(|ident| ident.starts_with("id:")), "{:?}", found.idents);
    (account.clone(), history.account(found.id).unwrap())
}

fn calendar<'a>(mailbox: &'a AccountState, path: &str) -> &'a Folder {
    let is_it = |folder: &&Folder| folder.key.kind() == FolderKind::Calendars && folder.key.path() == path;
    mailbox.folders.values().find(is_it).unwrap()
}

/// Moves everything that has a file to another address, and leaves `site.sqlite` as it is.
fn rename(world: &World, from: &str, to: &str) {
    for top in ["mail", "dav"] {
        let domain = world.path("source").join(top).join("station.example");
        if domain.join(from).exists() {
            fs::rename(domain.join(from), domain.join(to)).unwrap();
        }
    }
    for file in ["etc/passwd", "etc/virtual_alias"] {
        let path = world.path("source").join(file);
        let text = fs::read_to_string(&path).unwrap();
        let (old, new) = (format!("{from}@station.example"), format!("{to}@station.example"));
        fs::write(&path, text.replace(&old, &new).replace(&format!("/{from}:"), &format!("/{to}:"))).unwrap();
    }
}

#[test]
fn an_account_that_was_moved_by_hand_keeps_what_the_database_has_under_its_old_address() {
    let world = World::exported();
    let (before, mailbox) = account(&world, ANN);
    assert!(before.cos.is_some() && !mailbox.settings.is_empty());
    rename(&world, "ann", "anna");
    // The second pass has recorded the rename already; the third writes everything anew, and the fourth reads that.
    for options in ["", "", " --full --deep", ""] {
        world.wagon(0, &format!("export --from {{}}/source --archive {{}}/archive{options}"));
        let (now, moved) = account(&world, "anna@station.example");
        assert_eq!((&now.cos, now.class, &now.groups), (&before.cos, before.class, &before.groups), "{options}");
        assert_eq!(moved.settings, mailbox.settings, "{options}");
        assert_eq!(moved.folders, mailbox.folders, "{options}");
        assert!(moved.items == mailbox.items, "{options}");
    }
    world.wagon(0, "import --archive {}/archive --to {}/target");
    world.wagon(0, "verify --archive {}/archive --to {}/target");

    // Somebody new gets the old address: what lies under it is his then, as the site says.
    let line = format!("{ANN}:{{PLAIN}}new::::::\n");
    let passwd = world.path("source/etc/passwd");
    fs::write(&passwd, fs::read_to_string(&passwd).unwrap() + &line).unwrap();
    world.wagon(0, "export --from {}/source --archive {}/archive");
    assert_says(&world.wagon(0, "ls --archive {}/archive"), &[ANN, "anna@station.example"]);
}

#[test]
fn a_calendar_that_was_moved_by_hand_keeps_its_grants() {
    let world = World::exported();
    let before = calendar(&account(&world, ROOM).1, "bookings").grants.clone();
    assert!(!before.is_empty());
    let calendars = world.path("source/dav/station.example/room-1/calendars");
    let mut last = "bookings";
    for (name, options) in [("first", ""), ("second", ""), ("second", " --full"), ("second", " --deep"), ("third", "")]
    {
        if name != last {
            fs::rename(calendars.join(last), calendars.join(name)).unwrap();
        }
        fs::write(calendars.join(name).join(format!("{name}{}.ics", options.len())), "BEGIN:VCALENDAR\n").unwrap();
        world.wagon(0, &format!("export --from {{}}/source --archive {{}}/archive{options}"));
        assert_eq!(calendar(&account(&world, ROOM).1, name).grants, before, "{name}{options}");
        last = name;
    }
    // A calendar of the old name is another one, and the grants are its own.
    fs::create_dir(calendars.join("bookings")).unwrap();
    fs::write(calendars.join("third/more.ics"), "BEGIN:VCALENDAR\n").unwrap();
    world.wagon(0, "export --from {}/source --archive {}/archive");
    let mailbox = account(&world, ROOM).1;
    assert_eq!(calendar(&mailbox, "bookings").grants, before);
    assert_eq!(calendar(&mailbox, "third").grants, []);
}
