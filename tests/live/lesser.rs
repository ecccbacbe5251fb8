//! Servers that can less than others, and folders that become others under their names: what is there arrives all the same,
//! and once.

use crate::client::{Mailbox, quoted};
use crate::proxy::{Faults, Proxy};
use crate::servers::imap::Imap;
use crate::world::{Kind, Site, World, ready};

const ANN: &str = "ann@a.test";

fn append(imap: &mut Imap, folder: &str, number: usize) {
    let line = format!("line of letter {number}\r\n").repeat(1 + number * 40 % 300);
    let text = format!("From: x@a.test\r\nSubject: letter {number}\r\nMessage-ID: <{number}@a.test>\r\n\r\n{line}");
    let date = format!("\"{:02}-Mar-2024 10:00:{:02} +0100\"", 1 + number % 28, number % 60);
    imap.append(folder, &date, text.as_bytes());
}

/// A mailbox with letters in two folders.
fn furnish(imap: &mut Imap) {
    imap.command("CREATE Work");
    (0..12).for_each(|number| append(imap, ["INBOX", "Work"][number % 2], number));
}

/// What a client sees, without what is known to differ between servers.
fn letters(mailbox: &Mailbox) -> Vec<String> {
    let each = mailbox.iter().flat_map(|(name, folder)| folder.messages.iter().map(move |one| (name, one)));
    let mut all: Vec<_> = each
        .map(|(name, one)| format!("{name} {:?} {} {}", one.flags, one.date, String::from_utf8_lossy(&one.content)))
        .collect();
    all.sort();
    all
}

fn uid_validity(imap: &mut Imap, folder: &str) -> String {
    let told = imap.command(&format!("STATUS {} (UIDVALIDITY)", quoted(folder)));
    told.iter().find(|answer| answer.text.contains("UIDVALIDITY")).unwrap().text.clone()
}

/// Puts another folder with the same messages in the place of one.
fn make_anew(imap: &mut Imap, folder: &str) {
    let before = uid_validity(imap, folder);
    for command in ["CREATE Beside", &format!("SELECT {folder}"), "UID COPY 1:* Beside", "SELECT INBOX"] {
        imap.command(command);
    }
    // UIDVALIDITY is the time in seconds with both servers.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    for command in [format!("DELETE {folder}"), format!("CREATE {folder}"), "SELECT Beside".to_owned()] {
        imap.command(&command);
    }
    for command in [format!("UID COPY 1:* {folder}"), "SELECT INBOX".to_owned(), "DELETE Beside".to_owned()] {
        imap.command(&command);
    }
    assert_ne!(uid_validity(imap, folder), before);
}

fn server(world: &World, kind: Kind, name: &str) -> Site {
    match kind {
        Kind::Cyrus => world.cyrus(name, &[ANN]),
        Kind::Dovecot => {
            world.empty_site(name, &[ANN]);
            world.dovecot(name)
        }
    }
}

#[test]
fn a_folder_with_another_uidvalidity_and_the_same_messages_brings_none_of_them_again() {
    if !ready("another UIDVALIDITY", &["dovecot", "cyrus"]) {
        return;
    }
    for (from, to) in [(Kind::Dovecot, Kind::Cyrus), (Kind::Cyrus, Kind::Dovecot)] {
        let world = World::new();
        let (source, target) = (server(&world, from, "old"), server(&world, to, "new"));
        if from == Kind::Cyrus {
            world.write("old.csv", &format!("address\n{ANN}\n"));
        }
        let pass = || {
            world.report("export --from {}/old.toml --archive {}/archive", &[0]);
            world.report("import --archive {}/archive --to {}/new.toml", &[0]).1
        };
        let mut user = source.client(ANN);
        furnish(&mut user);
        pass();
        assert_eq!(letters(&target.look(ANN)), letters(&source.look(ANN)));

        make_anew(&mut user, "Work");
        let said = pass();
        assert!(said.contains("\n0 B delivered"), "{said}");
        append(&mut user, "Work", 50);
        pass();
        assert_eq!(letters(&target.look(ANN)), letters(&source.look(ANN)));

        make_anew(&mut target.client(ANN), "Work");
        append(&mut user, "Work", 51);
        append(&mut user, "INBOX", 52);
        pass();
        assert_eq!(letters(&target.look(ANN)), letters(&source.look(ANN)));
    }
}

/// A day of a user: letters come, are flagged, moved and removed.
fn day(imap: &mut Imap, number: usize) {
    append(imap, "INBOX", number);
    append(imap, "Work", number + 1);
    for command in [
        "SELECT INBOX",
        "STORE 1 +FLAGS (\\Flagged $Work)",
        "STORE 2 FLAGS (\\Seen)",
        "COPY 3 Work",
        "STORE 3:4 +FLAGS (\\Deleted)",
        "EXPUNGE",
    ] {
        imap.command(command);
    }
}

#[test]
fn a_server_that_lacks_one_extension_gives_and_takes_what_one_with_all_of_them_does() {
    if !ready("servers without one extension", &["dovecot"]) {
        return;
    }
    // Each in the place of what has as many letters.
    let hidden: [&[(&str, &str)]; 7] = [
        &[],
        &[("QRESYNC", "XRESYNC")],
        &[("QRESYNC", "XRESYNC"), ("CONDSTORE", "XONDSTORE")],
        &[("UIDPLUS", "XIDPLUS")],
        &[(" MOVE", " XOVE")],
        &[("LITERAL+", "LITERAL-")],
        &[("MULTIAPPEND", "XULTIAPPEND"), ("LIST-EXTENDED", "XIST-EXTENDED"), ("SPECIAL-USE", "XPECIAL-USE")],
    ];
    for hidden in hidden {
        let world = World::new();
        let (source, target) = (server(&world, Kind::Dovecot, "old"), server(&world, Kind::Dovecot, "new"));
        let proxies = [&source, &target].map(|site| {
            let proxy = Proxy::to(site.port());
            proxy.set(Faults { rename: hidden, ..Faults::default() });
            let folder = site.name.trim_end_matches(".toml").to_owned();
            world.describe_open(site, proxy.port, &format!("file = \"{folder}/etc/passwd\""));
            proxy
        });
        let mut user = source.client(ANN);
        furnish(&mut user);
        for number in [20, 30, 40] {
            world.report("export --from {}/old.toml --archive {}/archive", &[0]);
            let (_, said) = world.report("import --archive {}/archive --to {}/new.toml --delete", &[0]);
            assert_eq!(letters(&target.look(ANN)), letters(&source.look(ANN)), "{hidden:?}: {said}");
            day(&mut user, number);
        }
        assert!(proxies.iter().all(|proxy| proxy.counts().connections > 0));
    }
}

/// Without MOVE a message is copied, then removed; in between it is there twice.
#[test]
fn a_message_that_moves_on_a_server_without_move_is_there_once_wherever_the_connection_breaks() {
    if !ready("moves by copying", &["dovecot"]) {
        return;
    }
    let world = World::new();
    let (source, target) = (server(&world, Kind::Dovecot, "old"), server(&world, Kind::Dovecot, "new"));
    let proxy = Proxy::to(target.port());
    let hidden = Faults { rename: &[(" MOVE", " XOVE")], ..Faults::default() };
    proxy.set(hidden.clone());
    world.describe_open(&target, proxy.port, "file = \"new/etc/passwd\"");
    let mut user = source.client(ANN);
    furnish(&mut user);
    let import = "import --archive {}/archive --to {}/new.toml --delete";
    let pass = |statuses: &[i32]| {
        world.report("export --from {}/old.toml --archive {}/archive", &[0]);
        world.report(import, statuses).1
    };
    pass(&[0]);
    let away = ("AUTHENTICATE", "NO [AUTHENTICATIONFAILED] not now", 100);
    for lost in ["[COPYUID", "Store completed", "Expunge completed"] {
        for then_refuse in [None, Some(away)] {
            for command in ["SELECT INBOX", "UID MOVE 1 Work", "SELECT Work", "UID MOVE 1:* INBOX", "SELECT INBOX"] {
                user.command(command);
            }
            append(&mut user, "Work", 60);
            user.command("UID MOVE * Work");
            proxy.set(Faults { lose: Some(lost), then_refuse, ..hidden.clone() });
            let said = pass(if then_refuse.is_some() { &[1, 3] } else { &[0] });
            assert!(proxy.counts().connections > 1, "nothing was lost at {lost}: {said}");
            proxy.set(hidden.clone());
            let again = pass(&[0]);
            assert_eq!(letters(&target.look(ANN)), letters(&source.look(ANN)), "{lost}: {said}\n{again}");
        }
    }
}
