//! What is written into a directory, and what takes it back.

use super::*;
use stationwagon::event::Reason;
use stationwagon::model::provisioning::{AccountStatus, Attributes, Domain};
use stationwagon::model::setting::Setting;
use stationwagon::site::RecordChange;
use stationwagon::site::server::Book;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn put(record: Record) -> RecordChange {
    RecordChange::Put { record, was: None }
}

fn person(address: &str) -> Account {
    Account { address: address.to_owned(), ..Account::default() }
}

fn list_of(address: &str, members: &[&str]) -> Record {
    Record::List(DistributionList {
        address: address.to_owned(),
        name: Some("Everybody".to_owned()),
        members: members.iter().map(|&member| member.to_owned()).collect(),
        owners: Vec::new(),
        attributes: Attributes::new(),
    })
}

fn alias_of(address: &str, targets: &[&str]) -> Record {
    Record::Alias(Alias {
        address: address.to_owned(),
        targets: targets.iter().map(|&target| target.to_owned()).collect(),
    })
}

/// A hash of `secret` as Dovecot names it.
fn hash(secret: &str) -> Secret {
    let output = Command::new("openssl").args(["passwd", "-6", "-salt", "wagon", secret]).output().unwrap();
    Secret::new(format!("{{SHA512-CRYPT}}{}", String::from_utf8(output.stdout).unwrap().trim()))
}

fn whole_site() -> Vec<RecordChange> {
    let domain = |name: &str, alias_of: Option<&str>| {
        put(Record::Domain(Domain {
            name: name.to_owned(),
            alias_of: alias_of.map(str::to_owned),
            catch_all: Vec::new(),
            attributes: Attributes::new(),
        }))
    };
    let ann = Account {
        name: Some("Ann Müller".to_owned()),
        password: Some(hash("ann's secret")),
        quota_bytes: Some(5 << 30),
        groups: vec!["board".to_owned(), "all".to_owned()],
        cos: Some("gold".to_owned()),
        attributes: [("passwd.home".to_owned(), "/srv/ann".to_owned()), ("ldap.title".to_owned(), "Dr.".to_owned())]
            .into_iter()
            .collect(),
        ..person("ann@new.test")
    };
    let bob = Account { status: AccountStatus::Locked, ..person("bob@new.test") };
    vec![
        domain("new.test", None),
        domain("neu.test", Some("new.test")),
        put(Record::Account(ann)),
        put(Record::Account(bob)),
        put(Record::Account(person("ann@other.test"))),
        put(list_of("everybody@new.test", &["team@new.test", "ann@new.test", "stranger@far.test"])),
        put(list_of("team@new.test", &["bob@new.test"])),
        put(list_of("all@new.test", &["ann@new.test"])),
        put(list_of("nobody@new.test", &[])),
        put(alias_of("info@new.test", &["ann@new.test"])),
        put(alias_of("bob@new.test", &["bob@new.test", "bob@far.test"])),
    ]
}

fn all_done(outcomes: &[Result<(), Reason>]) {
    let bad: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn a_site_comes_into_the_directory_with_hashes_that_let_people_in() {
    let Some(slapd) = Slapd::start(10, 2) else { return };
    let book = open(writer(&slapd));
    all_done(&book.put_records(&whole_site()).unwrap());

    let scan = book.provisioning().unwrap();
    assert_eq!(scan.rejected, []);
    let ann = account(&scan, "ann@new.test");
    assert_eq!(
        (ann.name.as_deref(), ann.quota_bytes, ann.cos.as_deref()),
        (Some("Ann Müller"), Some(5 << 30), Some("gold"))
    );
    assert_eq!(ann.groups, ["all", "board", "everybody"], "a list of groupOfNames is a group too");
    assert!(list(&scan, "nobody@new.test").members.is_empty());
    assert_eq!(ann.attributes.get("ldap.title").map(String::as_str), Some("Dr."));
    assert_eq!(account(&scan, "bob@new.test").status, AccountStatus::Locked);
    assert_eq!(list(&scan, "everybody@new.test").members, ["ann@new.test", "stranger@far.test", "team@new.test"]);
    assert_eq!(list(&scan, "team@new.test").name.as_deref(), Some("Everybody"));
    let shown: Vec<_> = aliases(&scan).into_iter().filter(|alias| alias.address.ends_with("@new.test")).collect();
    assert_eq!(shown[0].targets, ["bob@far.test", "bob@new.test"]);
    assert_eq!((shown[1].address.as_str(), shown.len()), ("info@new.test", 2));
    let people = format!("ou=people,{}", slapd.get("LDAP_SUFFIX"));
    assert!(slapd.lets_in(&format!("uid=ann,{people}"), "ann's secret"));
    assert!(!slapd.lets_in(&format!("uid=ann,{people}"), "another"));
    let dump = slapd.dump();
    assert!(dump.contains(&format!("dn: uid=ann@other.test,{people}")), "a second ann has a longer name");
    assert!(dump.contains("dn: cn=all,ou=groups") && !dump.contains("/srv/ann"));

    all_done(&open(writer(&slapd)).put_records(&whole_site()).unwrap());
    assert_eq!(slapd.dump(), dump, "doing it again changes nothing");
}

#[test]
fn only_what_differs_is_touched_and_everything_can_be_taken_back() {
    let Some(slapd) = Slapd::start(120, 3) else { return };
    let before = slapd.dump();
    let book = open(writer(&slapd));
    let scan = book.provisioning().unwrap();
    let mut bigger = account(&scan, "user000100@a1.test").clone();
    bigger.quota_bytes = Some(7 << 30);
    bigger.password = Some(hash("new secret"));
    let renamed = Account { address: "anna@a2.test".to_owned(), ..account(&scan, "user000002@a2.test").clone() };
    let mut team = list(&scan, "group0001@a0.test").clone();
    team.members.retain(|member| member != "user000004@a1.test");
    team.members.push("stranger@far.test".to_owned());
    let gone = account(&scan, "user000008@a2.test").clone();
    let changes = [
        put(Record::Account(bigger)),
        RecordChange::Put { record: Record::Account(renamed), was: Some("user000002@a2.test".to_owned()) },
        put(Record::Account(person("new@a1.test"))),
        put(Record::List(team)),
        put(alias_of("user000005.alias@a2.test", &["user000006@a0.test"])),
        RecordChange::Remove {
            record: Record::Alias(Alias { address: "user000010@alias1.test".into(), targets: vec![] }),
        },
        RecordChange::Remove { record: Record::Account(gone) },
    ];
    let outcomes = book.put_records(&changes).unwrap();
    let refused =
        |outcome: &Result<(), Reason>| matches!(outcome, Err(Reason::Refused(words)) if words.contains("posixAccount"));
    assert!(refused(&outcomes[6]), "an entry that is more than an account is left: {outcomes:?}");
    all_done(&outcomes[..6]);

    let after = slapd.dump();
    let lines = |dump: &str| dump.lines().map(str::to_owned).collect::<Vec<_>>();
    let photo = before.lines().find(|line| line.starts_with("jpegPhoto::")).unwrap();
    assert!(after.contains(photo), "what is not mapped stays");
    let added: Vec<_> = lines(&after).into_iter().filter(|line| !before.contains(line.as_str())).collect();
    assert!(
        added.iter().any(|line| line.starts_with("member: uid=anna,ou=people")),
        "groups follow a rename: {added:?}"
    );
    assert!(added.contains(&"mailQuota: 7516192768".to_owned()));
    let now = open(writer(&slapd)).provisioning().unwrap();
    assert_eq!(ident(&now, "anna@a2.test"), ident(&scan, "user000002@a2.test"));
    assert!(list(&now, "group0001@a0.test").members.contains(&"stranger@far.test".to_owned()));
    assert!(list(&now, "group0002@a0.test").members.contains(&"anna@a2.test".to_owned()));

    let undo = slapd.path().join("state/undo-20260921T141320Z.ldif");
    assert_eq!(std::fs::metadata(&undo).unwrap().permissions().mode() & 0o777, 0o600, "hashes lie in it");
    let (taken, said) = slapd.modify(&std::fs::read_to_string(undo).unwrap());
    assert!(taken, "{said}");
    assert_eq!(slapd.dump(), before, "as it was, to the last value");
}

#[test]
fn what_was_made_goes_again_and_comes_back_whole() {
    let Some(slapd) = Slapd::start(5, 1) else { return };
    all_done(&open(writer(&slapd)).put_records(&whole_site()).unwrap());
    let before = slapd.dump();
    let book = open(LdapOptions { started_at: 1_790_000_100, ..writer(&slapd) });
    let remove: Vec<_> = whole_site()
        .into_iter()
        .rev()
        .filter_map(|change| match change {
            RecordChange::Put { record, .. } => Some(RecordChange::Remove { record }),
            RecordChange::Remove { .. } => None,
        })
        .collect();
    all_done(&book.put_records(&remove).unwrap());
    let dump = slapd.dump();
    assert!(!dump.contains("@new.test") && !dump.contains("dn: mailDomainName=new.test"), "{dump}");
    let (taken, said) =
        slapd.modify(&std::fs::read_to_string(slapd.path().join("state/undo-20260921T141500Z.ldif")).unwrap());
    assert!(taken, "{said}");
    assert_eq!(slapd.dump(), before);
}

#[test]
fn a_plan_is_ldif_that_does_what_the_pass_would_have_done() {
    let (Some(planned), Some(written)) = (Slapd::start(20, 2), Slapd::start(20, 2)) else { return };
    let changes = whole_site();
    let book = open(writer(&planned));
    let before = planned.dump();
    let mut text = String::new();
    for batch in changes.chunks(4) {
        let plan = book.plan_records(batch).unwrap().unwrap();
        all_done(&plan.outcomes);
        text.push_str(&plan.text);
    }
    assert_eq!(planned.dump(), before, "nothing is written");
    let (taken, said) = planned.modify(&text);
    assert!(taken, "{said}\n{text}");
    all_done(&open(writer(&written)).put_records(&changes).unwrap());
    assert_eq!(planned.dump(), written.dump());
}

#[test]
fn what_has_no_place_is_refused_with_a_next_step_and_the_server_speaks_for_itself() {
    let Some(slapd) = Slapd::start(3, 1) else { return };
    let before = slapd.dump();
    let odd = Account {
        attributes: Attributes::from_iter([("colour".to_owned(), "red".to_owned())]),
        ..person("red@a0.test")
    };
    let book = open(writer(&slapd));
    let outcomes = book
        .put_records(&[
            put(Record::Account(odd)),
            put(alias_of("far@a0.test", &["stranger@far.test"])),
            put(Record::Account(person("not an address"))),
            put(Record::Account(person("line\nend@a0.test"))),
        ])
        .unwrap();
    let said: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().unwrap_err().to_string()).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    not supported by the target: the mapping of the directory has no place for the attribute colour: name its place under attributes, or leave it out under leave-out
    not supported by the target: the mapping of the directory has no place for an alias that leads to stranger@far.test, which has no entry; a list can
    bad name: a directory holds no such address
    bad name: a directory holds no such address
    ");
    let mapping = toml::from_str("account = { new = { below = \"ou=nowhere\" } }").unwrap();
    let nowhere = open(LdapOptions { mapping, ..writer(&slapd) });
    let outcomes = nowhere.put_records(&[put(Record::Account(person("new@a0.test")))]).unwrap();
    assert!(
        matches!(&outcomes[0], Err(Reason::Refused(words)) if words.contains("make ou=nowhere,dc=example,dc=test first")),
        "{outcomes:?}"
    );
    let reader = open(LdapOptions { partly: Partly::Fails, ..options(&slapd) });
    let outcomes = reader.put_records(&[put(Record::Account(person("new@a0.test")))]).unwrap();
    assert!(
        matches!(&outcomes[0], Err(Reason::Refused(words)) if words.contains("insufficientAccessRights")),
        "{outcomes:?}"
    );
    assert_eq!(slapd.dump(), before);
}

#[test]
fn values_that_mean_something_to_a_directory_stay_values() {
    let Some(slapd) = Slapd::start(3, 1) else { return };
    let book = open(writer(&slapd));
    let suffix = slapd.get("LDAP_SUFFIX").to_owned();
    let admin = format!("cn=admin\ndn: cn=admin,{suffix}\nchangetype: delete");
    let addresses =
        ["x;ou=y+cn=z=#\"@a0.test", "*)(uid=*@a0.test", " lead@a0.test", "o'connor+tag@a0.test", "zoë@a0.test"];
    let changes: Vec<_> = addresses
        .iter()
        .map(|address| put(Record::Account(Account { name: Some(admin.clone()), ..person(address) })))
        .collect();
    let plan = open(writer(&slapd)).plan_records(&changes).unwrap().unwrap();
    let outcomes = book.put_records(&changes).unwrap();
    assert_eq!(
        plan.text.matches("\nchangetype: ").count(),
        outcomes.iter().filter(|outcome| !matches!(outcome, Err(Reason::BadName(_)))).count()
    );
    let scan = book.provisioning().unwrap();
    for (address, outcome) in addresses.iter().zip(&outcomes) {
        match outcome {
            Ok(()) => assert_eq!(account(&scan, address).name.as_deref(), Some(admin.as_str())),
            Err(Reason::BadName(_) | Reason::Refused(_)) => {}
            Err(other) => panic!("{address}: {other}"),
        }
    }
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3, "{outcomes:?}");
    assert!(slapd.dump().contains("dn: uid=user000001"), "and nothing else happened");
}

#[test]
fn forwarding_and_answers_have_their_place() {
    let Some(slapd) = Slapd::start(15, 1) else { return };
    let book = open(writer(&slapd));
    let answer = Setting::Vacation {
        enabled: true,
        subject: String::new(),
        text: "Weg\nbis Mai".into(),
        attributes: Attributes::new(),
    };
    assert_eq!(book.put_setting("user000001@a1.test", &answer).unwrap(), Ok(()));
    let forward = Setting::Forwarding { targets: vec!["x@far.test".into()], keep_copy: false };
    assert_eq!(book.put_setting("user000002@a2.test", &forward).unwrap(), Ok(()));
    let signature = Setting::Signature { name: "s".into(), text: "t".into(), html: false };
    assert!(matches!(book.put_setting("user000001@a1.test", &signature).unwrap(), Err(Reason::Unsupported(_))));
    let again = open(options(&slapd));
    assert_eq!(again.settings("user000001@a1.test").unwrap().as_slice(), std::slice::from_ref(&answer));
    let scan = again.provisioning().unwrap();
    assert!(
        aliases(&scan).iter().any(|alias| alias.address == "user000002@a2.test" && alias.targets == ["x@far.test"])
    );
    book.remove_setting("user000001@a1.test", &answer.key()).unwrap();
    assert_eq!(open(options(&slapd)).settings("user000001@a1.test").unwrap(), []);
}
