//! What a directory gives as a source.

use super::*;
use stationwagon::model::provisioning::{AccountStatus, RecordKind};
use stationwagon::model::setting::Setting;
use stationwagon::net::Protection;
use stationwagon::site::server::Book;
use stationwagon::site::{Seen, SiteError};
use std::os::unix::fs::PermissionsExt;

#[test]
fn twelve_hundred_accounts_come_in_pages_with_what_mail_needs() {
    let Some(slapd) = Slapd::start(1200, 4) else { return };
    let book = open(options(&slapd));
    let scan = book.provisioning().unwrap();
    assert_eq!(scan.rejected, [], "nothing is odd in it, photos are passed by");
    assert_eq!(accounts(&scan).len(), 1200);
    let ann = account(&scan, "user000035@a2.test");
    assert_eq!(ann.name.as_deref(), Some("Müller, Jürgen 35"));
    assert_eq!((ann.quota_bytes, ann.status), (Some(3 << 30), AccountStatus::Closed));
    assert_eq!((ann.cos.as_deref(), ann.groups.as_slice()), (Some("basic"), ["group0003".to_owned()].as_slice()));
    assert!(ann.password.as_ref().unwrap().reveal().starts_with("{SSHA}"));
    assert_eq!(ann.attributes.get("ldap.telephoneNumber").map(String::as_str), Some("+49 30 000035"));
    assert_eq!(account(&scan, "user000004@a1.test").quota_bytes, None, "0 is no limit");

    let team = list(&scan, "group0003@a0.test");
    assert_eq!((team.members.len(), team.name.as_deref()), (300, Some("Gruppe 3")));
    assert_eq!(team.owners, ["user000003@a0.test"]);
    let of: Vec<_> =
        aliases(&scan).into_iter().filter(|alias| alias.targets.contains(&"user000055@a1.test".to_owned())).collect();
    let shown: Vec<_> = of.iter().map(|alias| (alias.address.as_str(), alias.targets.len())).collect();
    assert_eq!(shown, [("user000055.alias@a1.test", 1), ("user000055@a1.test", 2), ("user000055@alias1.test", 1)]);
    let domains: Vec<_> = scan.records.iter().filter(|found| found.record.kind() == RecordKind::Domain).collect();
    assert_eq!(domains.len(), 6, "three and their aliases");
    assert!(matches!(domains[5].record, Record::Domain(ref domain) if domain.alias_of.as_deref() == Some("a2.test")));
    assert_eq!(scan.records.iter().filter(|found| found.record.kind() == RecordKind::Cos).count(), 2);
    let reply = book.settings("user000013@a1.test").unwrap();
    assert!(matches!(&reply[..], [Setting::Vacation { enabled: true, text, .. }] if text.ends_with("Grüße")));
}

#[test]
fn what_has_not_changed_is_not_read_again_and_what_has_is_found() {
    let Some(slapd) = Slapd::start(60, 3) else { return };
    let first = open(options(&slapd)).provisioning().unwrap();
    let kept: Vec<_> = std::fs::read_dir(slapd.path().join("state")).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o600, "hashes lie in it");
    assert_eq!(open(options(&slapd)).provisioning().unwrap().records, first.records);

    let suffix = slapd.get("LDAP_SUFFIX");
    let (taken, said) = slapd.modify(&format!(
        "dn: uid=user000005,ou=people,{suffix}\nchangetype: modify\nreplace: mailQuota\nmailQuota: 4096\n\n\
         dn: uid=user000006,ou=people,{suffix}\nchangetype: modrdn\nnewrdn: uid=renamed\ndeleteoldrdn: 1\n\n\
         dn: uid=renamed,ou=people,{suffix}\nchangetype: modify\nreplace: mail\nmail: renamed@a1.test\n\n\
         dn: uid=user000007,ou=people,{suffix}\nchangetype: delete\n"
    ));
    assert!(taken, "{said}");
    let second = open(options(&slapd)).provisioning().unwrap();
    assert_eq!(account(&second, "user000005@a2.test").quota_bytes, Some(4096));
    assert_eq!(accounts(&second).len(), 59);
    let (was, is) = (ident(&first, "user000006@a0.test"), ident(&second, "renamed@a1.test"));
    assert!(was == is && was[0].starts_with("uuid:"), "{was:?} {is:?}");
    std::fs::remove_dir_all(slapd.path().join("state")).unwrap();
    let anew = open(options(&slapd)).provisioning().unwrap();
    assert_eq!(anew.records, second.records, "what is taken from the cache is what a full read gives");
}

#[test]
fn nested_groups_and_broken_entries_are_told_apart() {
    let Some(slapd) = Slapd::with(&std::fs::read_to_string("tests/ldap/odd.ldif").unwrap()) else { return };
    let scan = open(options(&slapd)).provisioning().unwrap();
    assert_eq!(list(&scan, "all@a.test").members, ["ann@a.test", "bob@a.test", "stranger@b.test", "team@a.test"]);
    assert_eq!(list(&scan, "team@a.test").members, ["bob@a.test"]);
    assert_eq!(account(&scan, "bob@a.test").groups, ["all", "inner", "ring", "team"], "also through groups in groups");
    // Of several addresses that with the user's name is his own.
    assert!(aliases(&scan).iter().any(|alias| alias.address == "a.ann@a.test" && alias.targets == ["ann@a.test"]));
    let mut said: Vec<_> = scan.rejected.iter().map(|rejection| rejection.reason.to_string()).collect();
    said.sort();
    insta::assert_snapshot!(said.join("\n"), @r#"
    malformed: has no address that could be one
    malformed: has the address bob@a.test of another entry
    malformed: its member uid=gone,ou=people,dc=example,dc=test has no address
    malformed: its password is no text
    malformed: the mapping does not say what mailUserStatus "on holiday" means
    "#);
}

#[test]
fn starttls_is_never_left_out_and_a_stranger_is_not_believed() {
    let Some(slapd) = Slapd::start(3, 1) else { return };
    let plain = Endpoint::parse(slapd.get("LDAP_URL"), SCHEMES).unwrap();
    assert_eq!(plain.protection, Protection::StartTls);
    let secured = open(LdapOptions { endpoint: plain.clone(), ..options(&slapd) });
    assert_eq!(accounts(&secured.provisioning().unwrap()).len(), 3);
    for endpoint in [plain.clone(), options(&slapd).endpoint] {
        let stranger = open(LdapOptions { endpoint, tls: TlsPolicy::System, ..options(&slapd) });
        let error = stranger.provisioning().unwrap_err();
        assert!(matches!(error, SiteError::Net(_)), "{error}");
    }
    let open_air = open(LdapOptions { endpoint: plain.in_the_open(), ..options(&slapd) });
    assert_eq!(accounts(&open_air.provisioning().unwrap()).len(), 3);
    let wrong = open(LdapOptions { password: Secret::new("hunter2"), ..options(&slapd) });
    let error = wrong.provisioning().unwrap_err().to_string();
    assert!(error.contains("invalidCredentials") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_reader_who_may_not_page_through_everything_loses_nobody() {
    let Some(slapd) = Slapd::start(700, 2) else { return };
    // A user of the directory has the common limit of 500.
    let dn = format!("uid=user000001,ou=people,{}", slapd.get("LDAP_SUFFIX"));
    let user = LdapOptions { bind: dn, password: Secret::new("pw-user000001"), ..options(&slapd) };
    let scan = open(user.clone()).provisioning().unwrap();
    assert!(accounts(&scan).len() <= 500 && scan.incomplete.contains(&RecordKind::Account));
    assert!(scan.rejected[0].reason.to_string().contains("sizeLimitExceeded"), "{:?}", scan.rejected);
    let seen = accounts(&scan).iter().filter(|account| account.password.is_some()).count();
    assert_eq!(seen, 1, "he sees his own hash only");
    let target = open(LdapOptions { partly: Partly::Fails, ..user });
    assert!(target.provisioning().is_err(), "a target is not judged by half");
}

#[test]
fn a_survey_tells_what_the_server_can() {
    let Some(slapd) = Slapd::start(5, 1) else { return };
    let survey = open(options(&slapd)).survey().unwrap();
    assert!(survey.capabilities.iter().any(|known| known.ends_with("paged results")), "{survey:?}");
    assert!(survey.capabilities.iter().any(|known| known.starts_with("5 accounts")), "{survey:?}");
}

#[test]
fn hashes_that_nobody_may_read_do_not_count_as_removed() {
    let Some(slapd) = Slapd::start(5, 1) else { return };
    let nobody = LdapOptions { bind: format!("cn=reader2,{}", slapd.get("LDAP_SUFFIX")), ..options(&slapd) };
    let (taken, said) = slapd.modify(&format!(
        "dn: {}\nchangetype: add\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader2\nuserPassword: reader-secret\n",
        nobody.bind
    ));
    assert!(taken, "{said}");
    let scan = open(nobody.clone()).provisioning().unwrap();
    assert_eq!(accounts(&scan).len(), 5);
    assert!(scan.rejected[0].reason.to_string().contains("userPassword"), "{:?}", scan.rejected);
    assert!(
        scan.records
            .iter()
            .filter(|found| found.record.kind() == RecordKind::Account)
            .all(|found| found.seen == Seen::Existence)
    );
    let mapping = toml::from_str("account = { password = false }").unwrap();
    let scan = open(LdapOptions { mapping, ..nobody }).provisioning().unwrap();
    assert_eq!(scan.rejected, [], "who does not want hashes says so");
}

#[test]
fn a_server_that_numbers_its_changes_is_asked_for_that_number_only() {
    let Some(slapd) = Slapd::numbering(30) else { return };
    let of = |bind: &str| LdapOptions { bind: bind.to_owned(), ..options(&slapd) };
    let reader = of(slapd.get("LDAP_READER_DN"));
    let before = slapd.searches();
    let first = open(reader.clone()).provisioning().unwrap();
    let whole = slapd.searches() - before;
    assert_eq!(accounts(&first).len(), 30);
    let again = open(reader.clone()).provisioning().unwrap();
    assert_eq!(again.records, first.records);
    assert_eq!(slapd.searches() - before - whole, 2, "what it can and the number, instead of {whole} questions");

    let suffix = slapd.get("LDAP_SUFFIX");
    let (taken, said) = slapd.modify(&format!("dn: uid=user000005,ou=people,{suffix}\nchangetype: delete\n"));
    assert!(taken, "{said}");
    assert_eq!(accounts(&open(reader).provisioning().unwrap()).len(), 29);
}

#[test]
fn a_number_that_the_server_does_not_keep_up_hides_no_change() {
    // Loaded by a provider's `slapadd -w`, and no provider any more.
    let Some(slapd) = Slapd::with_schema("") else { return };
    let options = LdapOptions { mapping: Mapping::preset("dovecot").unwrap(), ..writer(&slapd) };
    assert_eq!(accounts(&open(options.clone()).provisioning().unwrap()).len(), 0);
    let (taken, said) = slapd.modify(&format!(
        "dn: uid=ann,ou=people,{}\nchangetype: add\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\nuid: ann\n\
         cn: Ann\nsn: Bee\nmail: ann@b.test\nuidNumber: 1\ngidNumber: 1\nhomeDirectory: /x\n",
        slapd.get("LDAP_SUFFIX")
    ));
    assert!(taken, "{said}");
    assert_eq!(accounts(&open(options).provisioning().unwrap()).len(), 1);
}
