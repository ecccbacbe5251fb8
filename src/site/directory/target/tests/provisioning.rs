//! Accounts, domains, aliases; who may write the site.

use super::*;

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
