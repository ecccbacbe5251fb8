use crate::wagon::{Wagon, snapshot};

#[test]
fn ls_walks_from_the_site_to_the_items() {
    let wagon = Wagon::exported();
    for (name, line) in [
        ("ls_site", "ls --archive archive"),
        ("ls_domain", "ls --archive archive wagon.example"),
        ("ls_account", "ls --archive archive ann@station.example"),
        ("ls_folder", "ls --archive archive ann@station.example:Projects/Timetable"),
        ("ls_above", "ls --archive archive ann@station.example:calendars"),
    ] {
        let seen = wagon.run(line);
        assert_eq!((seen.status, seen.err.as_str()), (0, ""), "{line}");
        snapshot(name, &seen.out);
    }
}

#[test]
fn the_archive_may_come_from_the_environment() {
    let wagon = Wagon::exported();
    let output = wagon.command("snapshots").env("WAGON_ARCHIVE", "archive").output().unwrap();
    let seen = wagon.seen(&output);
    assert_eq!(seen.status, 0, "{}", seen.err);
    assert!(seen.out.contains("first"));
}

#[test]
fn a_day_reads_as_a_list_of_what_people_did() {
    let wagon = Wagon::exported_twice();
    let seen = wagon.run("diff --archive archive 1 2");
    assert_eq!(seen.status, 0);
    snapshot("diff", &seen.out);
    assert_eq!(wagon.run("diff --archive archive 2 2").out, "snapshots 2 and 2 are alike\n");
}

#[test]
fn an_item_is_shown_with_its_header_an_account_without_its_password() {
    let wagon = Wagon::exported();
    let listed = wagon.run("ls --archive archive ann@station.example:Projects/Timetable").out;
    let name = listed.lines().nth(1).unwrap().split_whitespace().find(|word| word.contains(".M")).unwrap();
    let address = format!("ann@station.example:Projects/Timetable/{name}");
    snapshot("show_item", &wagon.run(&format!("show --archive archive {address}")).out);
    snapshot("show_account", &wagon.run("show --archive archive ann@station.example").out);
    snapshot("show_settings", &wagon.run("show --archive archive --settings").out);
    let raw = wagon.command(&format!("show --archive archive --raw {address}")).output().unwrap().stdout;
    let out = wagon.path("one");
    assert_eq!(wagon.run(&format!("extract --archive archive {address} --output one")).status, 0);
    assert_eq!(std::fs::read(out).unwrap(), raw);
}

#[test]
fn mail_is_found_and_what_is_listed_can_be_extracted() {
    let wagon = Wagon::exported();
    let seen = wagon.run("find --archive archive --attachment week-1 -q");
    assert_eq!((seen.status, seen.err.as_str()), (0, ""));
    snapshot("find", &seen.out);
    let address = seen.out.lines().nth(1).unwrap().split_whitespace().last().unwrap().to_owned();
    let seen = wagon.run(&format!("extract --archive archive {address} --output - -q"));
    assert_eq!(seen.status, 0, "{}", seen.err);
    assert!(seen.out.contains("Subject:"));
    assert_eq!(wagon.run("find --archive archive --subject 'no such thing' -q").out, "nothing found\n");
}
