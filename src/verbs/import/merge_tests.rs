use super::*;
use crate::model::mailbox::Flags;
use crate::model::provisioning::{Account, AccountClass, AccountStatus, Attributes, DistributionList, Secret};
use proptest::prelude::*;

fn account(password: &str, quota: Option<u64>, attributes: &[(&str, &str)]) -> Record {
    Record::Account(Account {
        address: "ann@example.org".to_owned(),
        class: AccountClass::User,
        name: Some("Ann".to_owned()),
        password: Some(Secret::new(password)),
        quota_bytes: quota,
        status: AccountStatus::Active,
        cos: None,
        groups: Vec::new(),
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    })
}

fn merged(base: Option<&Record>, source: &Record, target: &Record) -> MergedRecord {
    record(&RecordSides { base, seen: None, source, target, additive: false }).unwrap()
}

#[test]
fn each_field_of_a_record_follows_the_side_that_changed_it() {
    let base = account("p1", Some(10), &[("colour", "red"), ("lang", "de")]);
    let source = account("p2", Some(10), &[("colour", "blue"), ("lang", "de")]);
    let target = account("p1", Some(20), &[("colour", "red"), ("lang", "fr"), ("new", "x")]);
    let merged = merged(Some(&base), &source, &target);
    assert_eq!(merged.record, account("p2", Some(20), &[("colour", "blue"), ("lang", "fr"), ("new", "x")]));
    assert_eq!(merged.conflicts, Vec::<String>::new());
}

#[test]
fn what_both_changed_stays_as_the_target_has_it_and_goes_on_doing_so() {
    let base = account("p1", None, &[]);
    let (source, target) = (account("p2", None, &[]), account("p3", None, &[]));
    let first = merged(Some(&base), &source, &target);
    assert_eq!(first.record, target);
    assert_eq!(first.conflicts, ["password"]);
    // The next pass: the source changes it once more, the target is as it was.
    let seen = first.seen(&target, &source);
    let later = account("p4", None, &[]);
    let sides =
        RecordSides { base: Some(&source), seen: seen.as_ref(), source: &later, target: &target, additive: false };
    let second = record(&sides).unwrap();
    assert_eq!(second.record, target);
    assert_eq!(second.conflicts, ["password"]);
}

#[test]
fn what_a_target_shows_in_its_own_way_is_no_change_of_its_users() {
    // This target keeps no quota; the source changes it later.
    let base = account("p1", Some(10), &[]);
    let shown = account("p1", None, &[]);
    let new = merged(None, &base, &account("p1", None, &[]));
    let seen = new.seen(&shown, &base);
    assert_eq!(seen.as_ref(), Some(&shown));
    let source = account("p1", Some(30), &[]);
    let sides =
        RecordSides { base: Some(&base), seen: seen.as_ref(), source: &source, target: &shown, additive: false };
    let merged = record(&sides).unwrap();
    assert_eq!(merged.record, source);
    assert_eq!(merged.conflicts, Vec::<String>::new());
}

#[test]
fn a_record_that_was_there_before_gains_what_it_lacks_and_keeps_what_it_has() {
    let source = account("p1", Some(10), &[("lang", "de")]);
    let target = account("p9", None, &[("here", "x")]);
    let merged = merged(None, &source, &target);
    assert_eq!(merged.record, account("p9", Some(10), &[("here", "x"), ("lang", "de")]));
    assert_eq!(merged.conflicts, ["password"]);
    // What it had before counts as changed on the target from here on; the rest is as the source has it.
    assert_eq!(merged.seen(&merged.record, &source), None);
}

#[test]
fn an_additive_pass_sets_passwords_again() {
    let base = account("p1", None, &[]);
    let target = account("p9", None, &[]);
    let sides = RecordSides { base: Some(&base), seen: None, source: &base, target: &target, additive: true };
    assert_eq!(record(&sides).unwrap().record, base);
}

#[test]
fn members_merge_one_by_one() {
    let list = |members: &[&str]| {
        Record::List(DistributionList {
            address: "team@example.org".to_owned(),
            name: None,
            members: members.iter().map(|&member| member.to_owned()).collect(),
            owners: Vec::new(),
            attributes: Attributes::new(),
        })
    };
    let merged = merged(Some(&list(&["a", "b", "c"])), &list(&["a", "c", "d"]), &list(&["c", "b", "a", "x"]));
    assert_eq!(merged.record, list(&["c", "a", "x", "d"]));
}

#[test]
fn grants_merge_by_grantee() {
    let grant = |who: &str, rights: &str| Grant {
        grantee: Grantee::User(who.to_owned()),
        rights: Rights::from_letters(rights),
        negative: false,
    };
    let base = [grant("ann", "lr"), grant("bob", "lr"), grant("cid", "lr")];
    let source = [grant("ann", "lrs"), grant("cid", "lrw"), grant("dan", "l")];
    let target = [grant("ann", "lr"), grant("bob", "lr"), grant("cid", "lra"), grant("eve", "l")];
    let (merged, conflicts) = grants(&base, &source, &target, false);
    assert_eq!(merged, [grant("ann", "lrs"), grant("cid", "lra"), grant("dan", "l"), grant("eve", "l")]);
    assert_eq!(conflicts, [Grantee::User("cid".to_owned())]);
    let (kept, _) = grants(&base, &source, &target, true);
    assert!(kept.contains(&grant("bob", "lr")));
}

proptest! {
    #[test]
    fn a_set_merges_as_flags_do(base in 0u8..64, source in 0u8..64, target in 0u8..64) {
        let letters = |bits: u8| -> Vec<String> {
            "DFPRST".chars().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, c)| c.to_string()).collect()
        };
        let flags = |bits: u8| Flags::from_letters(&letters(bits).concat());
        let merged = keywords(&letters(base), &letters(source), &letters(target)).concat();
        prop_assert_eq!(merged, Flags::merge(flags(base), flags(source), flags(target)).to_string());
    }

    #[test]
    fn no_value_is_ever_lost_from_the_target(base in 0u8..4, source in 0u8..4, target in 0u8..4) {
        let verdict = one(&base, &source, &target);
        if target != base {
            prop_assert!(verdict != Verdict::Apply);
        } else if source != base {
            prop_assert_eq!(verdict, Verdict::Apply);
        }
    }
}
