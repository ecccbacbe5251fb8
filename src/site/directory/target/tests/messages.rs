//! Messages that arrive, and what is done to them.

use super::*;

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
fn a_stream_that_ends_early_is_rejected_and_leaves_nothing() {
    let world = World::new();
    let write = |out: &mut dyn std::io::Write| out.write(b"half").map(|n| n as u64);
    let torn = Delivery { content: ItemContent::Stream { size: 9, write: Box::new(write) }, ..item("a", 0) };
    let (outcomes, _) = world.deliver(&mail("INBOX"), vec![torn, item("b", 0), item("c", 0)]);
    assert!(matches!(outcomes[0], Delivered::Rejected(Reason::Damaged(_))), "{outcomes:?}");
    assert_eq!(world.files("mail/a.test/ann/Maildir"), ["cur/b:2,S", "cur/c:2,S"]);
}
