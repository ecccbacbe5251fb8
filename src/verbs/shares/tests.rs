use super::access::Access;
use super::fix::{Change, Step};
use super::journal::{Journal, rewrite_journal, write_journal};
use super::matrix::bounded_matrix;
use super::*;
use crate::fs::{Fs as _, RealFs};
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::{Account, Alias, DistributionList, Record};
use crate::model::setting::Setting;
use crate::model::share::{Grant, Grantee, Rights};

fn key(path: &str) -> FolderKey {
    FolderKey::new(Default::default(), path).unwrap()
}

fn account(address: &str, groups: &[&str]) -> Record {
    Record::Account(Account {
        address: address.to_owned(),
        class: Default::default(),
        name: None,
        password: None,
        quota_bytes: None,
        status: Default::default(),
        cos: Some("gold".to_owned()).filter(|_| address.starts_with('g')),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        attributes: Default::default(),
    })
}

fn list(address: &str, members: &[&str]) -> Record {
    Record::List(DistributionList {
        address: address.to_owned(),
        name: None,
        members: members.iter().map(|&member| member.to_owned()).collect(),
        owners: Vec::new(),
        attributes: Default::default(),
    })
}

fn grant(grantee: Grantee, rights: &str) -> Grant {
    Grant { grantee, rights: Rights::from_letters(rights), negative: false }
}

fn site(records: &[Record]) -> Survey {
    let mut survey = Survey::default();
    records.iter().for_each(|record| survey.add_record(record));
    survey
}

/// An entry of a `dovecot-acl` file.
fn entry(text: &str) -> Grant {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (who, rights) = text.split_once(' ').unwrap();
    let grantee = match who.split_once('=') {
        Some(("user", who)) => Grantee::User(who.to_owned()),
        Some(("group", who)) => Grantee::Group(who.to_owned()),
        None if who == "anyone" => Grantee::Public,
        None if who == "authenticated" => Grantee::Everyone,
        None if who == "owner" => Grantee::Owner,
        _ => panic!("{who}"),
    };
    Grant { grantee, rights: Rights::from_letters(rights), negative }
}

#[test]
fn rights_are_those_that_a_real_dovecot_gave() {
    let survey =
        site(&[account("ann", &[]), account("bob", &["g1"]), account("cat", &["g1", "g2"]), account("dan", &[])]);
    let access = Access::new(&survey);
    let mut lists = 0;
    for line in include_str!("dovecot_rights.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut cells = line.split(" | ");
        let grants: Vec<Grant> = cells.next().unwrap().split(", ").map(entry).collect();
        for (who, measured) in ["ann", "bob", "cat", "dan"].into_iter().zip(cells) {
            let rights = access.rights(who, "ann", &grants);
            assert_eq!(rights.as_str(), measured.trim_start_matches('-'), "{who} by {line}");
        }
        lists += 1;
    }
    assert_eq!(lists, 60);
}

#[test]
fn lists_that_hold_each_other_end_and_aliases_within_lists_are_followed() {
    let mut survey =
        site(&[account("ann", &[]), account("bob", &[]), list("a", &["b", "ann"]), list("b", &["a", "x"])]);
    survey.add_record(&Record::Alias(Alias { address: "x".to_owned(), targets: vec!["bob".to_owned()] }));
    let members = survey.list_members();
    assert_eq!(members.get("a"), Some(&["ann", "bob"].into()));
    assert_eq!(members.get("b"), members.get("a"));
}

#[test]
fn every_kind_of_grantee_is_expanded_and_negative_rights_and_owners_are_heeded() {
    let mut survey = site(&[
        account("ann@a.org", &[]),
        account("bob@a.org", &["staff"]),
        account("gus@b.org", &[]),
        list("team@a.org", &["bob@a.org", "stranger@elsewhere.org"]),
    ]);
    let negative = Grant { negative: true, ..grant(Grantee::User("bob@a.org".to_owned()), "w") };
    let owner = "ann@a.org";
    let folders = [
        ("class", grant(Grantee::Cos("gold".to_owned()), "lr")),
        ("domain", grant(Grantee::Domain("a.org".to_owned()), "lr")),
        ("everyone", grant(Grantee::Everyone, "lrw")),
        ("group", grant(Grantee::Group("staff".to_owned()), "lr")),
        ("guest", grant(Grantee::Guest("stranger@elsewhere.org".to_owned()), "lr")),
        ("list", grant(Grantee::List("team@a.org".to_owned()), "lr")),
        ("owner", grant(Grantee::Owner, "lr")),
        ("public", grant(Grantee::Public, "l")),
    ];
    for (path, grant) in folders {
        let second = (path == "everyone").then(|| negative.clone());
        survey.add_folder(owner, &key(path), &[Some(grant), second].into_iter().flatten().collect::<Vec<_>>());
    }
    let rows = matrix(&survey).access;
    let seen: Vec<_> = rows.iter().map(|row| format!("{} {} {}", row.folder, row.account, row.rights)).collect();
    assert_eq!(
        seen,
        [
            "class gus@b.org lr",
            "domain bob@a.org lr",
            "everyone bob@a.org lr",
            "everyone gus@b.org lrw",
            "group bob@a.org lr",
            "list bob@a.org lr",
            "owner ann@a.org lr",
            "public bob@a.org l",
            "public gus@b.org l",
        ]
    );
}

#[test]
fn a_matrix_that_would_grow_without_bound_names_the_folders_that_it_left_out() {
    let accounts: Vec<_> = (0..20).map(|no| account(&format!("{no}@a.org"), &[])).collect();
    let mut survey = site(&accounts);
    for path in ["one", "two"] {
        survey.add_folder("0@a.org", &key(path), &[grant(Grantee::Everyone, "l")]);
    }
    let matrix = bounded_matrix(&survey, 30);
    assert_eq!((matrix.grants.len(), matrix.access.len()), (2, 19));
    assert_eq!(matrix.not_expanded, ["0@a.org:two"]);
}

#[test]
fn names_that_differ_in_case_or_hide_behind_an_alias_are_pointed_out_and_not_guessed() {
    let mut survey = site(&[account("ann@a.org", &[]), account("bob@a.org", &[]), list("team@a.org", &["ann@a.org"])]);
    survey.add_record(&Record::Alias(Alias { address: "b@a.org".to_owned(), targets: vec!["bob@a.org".to_owned()] }));
    let user = |who: &str| grant(Grantee::User(who.to_owned()), "lr");
    survey.add_folder("ann@a.org", &key("P"), &[user("Bob@a.org"), user("b@a.org"), user("team@a.org")]);
    let examination = examine::examine(&survey, &Maps::new(&[], None).unwrap()).unwrap();
    let causes: Vec<_> = examination.findings.into_iter().map(|finding| finding.cause).collect();
    let bob = Cause::Resembles { name: "bob@a.org".to_owned() };
    assert_eq!(causes, [bob.clone(), bob, Cause::NoAccount]);
    assert!(examination.steps.is_empty());
}

#[test]
fn what_could_not_be_read_is_not_taken_for_missing() {
    let mut survey = site(&[account("ann@a.org", &[]), account("bob@a.org", &[])]);
    survey.accounts.get_mut("ann@a.org").unwrap().incomplete = true;
    let (at, folder, owner) = (key("Ann"), key("Unreadable"), "ann@a.org".to_owned());
    survey.add_setting("bob@a.org", &Setting::Mountpoint { at, owner, folder });
    let examination = examine::examine(&survey, &Maps::new(&[], None).unwrap()).unwrap();
    assert_eq!(examination.findings, []);
}

fn step() -> Step {
    let before = vec![grant(Grantee::User("bob@a.org".to_owned()), "lr")];
    let change = Change::Grants { folder: key("P"), before, after: Vec::new() };
    Step { account: "ann@a.org".to_owned(), change, reasons: vec!["why".to_owned()] }
}

fn journal(made: i64) -> Journal {
    Journal::new(Some("new".parse().unwrap()), "/srv/new".to_owned(), made, vec![step()])
}

#[test]
fn the_newest_journal_that_is_not_undone_is_found_also_when_two_came_in_one_second() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(latest_journal(&RealFs, dir.path()), Err(SharesError::NothingToUndo(_))));
    let first = write_journal(&RealFs, dir.path(), &journal(1_700_000_000)).unwrap();
    let second = write_journal(&RealFs, dir.path(), &journal(1_700_000_000)).unwrap();
    write_journal(&RealFs, dir.path(), &journal(1_600_000_000)).unwrap();
    assert_eq!(first.file_name().unwrap(), "shares_undo_20231114T221320Z.json");
    assert_eq!(second.file_name().unwrap(), "shares_undo_20231114T221320Z_2.json");
    assert_eq!(latest_journal(&RealFs, dir.path()).unwrap(), second);
    let undone = Journal { undone: Some(1), ..journal(1_700_000_000) };
    rewrite_journal(&RealFs, &second, &undone).unwrap();
    assert_eq!(read_journal(&RealFs, &second).unwrap(), undone);
    assert_eq!(latest_journal(&RealFs, dir.path()).unwrap(), first);
    let names = RealFs.list(dir.path()).unwrap();
    assert_eq!(names.len(), 3, "no temporary file is left: {names:?}");
}

#[test]
fn the_example_of_the_specification_is_what_is_read() {
    let text = include_str!("../../../format-spec/shares-undo.md");
    let example = text.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shares_undo_20231114T221320Z.json");
    RealFs.replace(&path, example.as_bytes(), 0o600).unwrap();
    let journal = read_journal(&RealFs, &path).unwrap();
    let again = serde_json::to_value(&journal).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(example).unwrap(), "every field of it, and no other");
    assert_eq!(journal.steps.len(), 2);
}

#[test]
fn a_journal_that_is_none_is_newer_or_sets_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shares_undo_x.json");
    let good = serde_json::to_value(journal(1)).unwrap();
    let mut newer = good.clone();
    newer["format"] = 2.into();
    newer["steps"] = "another shape".into();
    let mut sets = good.clone();
    sets["steps"] = serde_json::json!([{
        "account": "ann@a.org", "change": "mountpoint", "at": {"path": "P"},
        "before": {"kind": "forwarding", "targets": ["eve@evil.org"], "keep_copy": true}
    }]);
    let mut elsewhere = good.clone();
    elsewhere["steps"] = serde_json::json!([{
        "account": "ann@a.org", "change": "mountpoint", "at": {"path": "P"},
        "after": {"at": {"path": "Q"}, "owner": "eve@evil.org", "folder": {"path": "P"}}
    }]);
    for (bytes, says) in [
        (b"{".to_vec(), "EOF"),
        (newer.to_string().into_bytes(), "newer than 1"),
        (sets.to_string().into_bytes(), "missing field `at`"),
        (elsewhere.to_string().into_bytes(), "another mountpoint"),
    ] {
        RealFs.replace(&path, &bytes, 0o600).unwrap();
        let refused = read_journal(&RealFs, &path).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn the_command_that_mends_is_ready_for_a_shell() {
    let mend = Mend::Fix { map: "/srv/it's new/map_old.sqlite".to_owned() };
    assert_eq!(mend.command("/srv/new"), r"wagon shares fix --site /srv/new '/srv/it'\''s new/map_old.sqlite'");
}
