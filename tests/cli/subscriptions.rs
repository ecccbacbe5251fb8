//! What people subscribed to and have no folder for: a folder that is gone, one yet to come, somebody else's.

use crate::wagon::Wagon;
use std::collections::BTreeSet;
use std::fs;

const SUBSCRIPTIONS: &str = "mail/station.example/ann/Maildir/subscriptions";

fn lines(wagon: &Wagon, site: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(wagon.path(&format!("{site}/{SUBSCRIPTIONS}"))).unwrap();
    text.lines().filter(|line| !matches!(*line, "" | "V\t2")).map(str::to_owned).collect()
}

fn change(wagon: &Wagon, act: impl FnOnce(&mut BTreeSet<String>)) {
    let mut all = lines(wagon, "source");
    act(&mut all);
    let text: String = all.iter().map(|line| format!("{line}\n")).collect();
    fs::write(wagon.path(&format!("source/{SUBSCRIPTIONS}")), format!("V\t2\n\n{text}")).unwrap();
}

fn pass(wagon: &Wagon, options: &str) {
    for line in
        ["export --from source --archive archive -q", &format!("import --archive archive --to target -q {options}")]
    {
        let seen = wagon.run(line);
        assert_eq!(seen.status, 0, "{line}\n{}{}", seen.out, seen.err);
    }
}

#[test]
fn every_subscription_arrives_and_follows_the_source_whether_its_folder_is_there_or_not() {
    let wagon = Wagon::exported();
    change(&wagon, |all| {
        all.extend(["Gone\t2019", "Entw&APw-rfe v1.0", "shared\tbert@station.example\tINBOX"].map(str::to_owned));
    });
    pass(&wagon, "");
    assert_eq!(lines(&wagon, "target"), lines(&wagon, "source"));
    let shown = wagon.run("show ann@station.example --archive archive").out;
    assert!(shown.contains("shared/bert@station.example/INBOX"), "{shown}");
    let verified = wagon.run("verify --archive archive --to target --verbose");
    assert_eq!(verified.status, 0, "{}", verified.out);
    assert!(!verified.err.contains("subscription"), "{}", verified.err);

    // Gone is made again, the shared folder is given up, and a folder goes whose subscription stays.
    let maildir = wagon.path("source/mail/station.example/ann/Maildir");
    fs::create_dir_all(maildir.join(".Gone.2019/cur")).unwrap();
    fs::remove_dir_all(maildir.join(".Archive.2024")).unwrap();
    change(&wagon, |all| assert!(all.remove("shared\tbert@station.example\tINBOX")));
    assert!(lines(&wagon, "source").contains("Archive\t2024"));
    pass(&wagon, "--delete");
    assert!(!wagon.path("target/mail/station.example/ann/Maildir/.Archive.2024").exists());
    assert_eq!(lines(&wagon, "target"), lines(&wagon, "source"));

    // One that is not on the target any more is told of.
    let file = wagon.path(&format!("target/{SUBSCRIPTIONS}"));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("Archive\t2024\n", "")).unwrap();
    let verified = wagon.run("verify --archive archive --to target --verbose");
    assert!(verified.err.contains("the subscription Archive/2024 is not on the target any more"), "{}", verified.err);
}

#[test]
fn a_subscription_to_the_folder_of_somebody_who_is_renamed_leads_to_him() {
    let wagon = Wagon::exported();
    change(&wagon, |all| assert!(all.insert("shared\tbert@station.example\tINBOX".to_owned())));
    fs::write(wagon.path("names"), "bert@station.example berta@station.example\n").unwrap();
    pass(&wagon, "--rename names");
    assert!(lines(&wagon, "target").contains("shared\tberta@station.example\tINBOX"), "{:?}", lines(&wagon, "target"));
}
