//! The control files of a directory site. What was read and written again reads the same, and no value makes a line.

use stationwagon::model::provisioning::{Account, AccountStatus};
use stationwagon::site::directory::maildir::{keywords, subscriptions as subscribed, uidlist as uids};
use stationwagon::site::directory::postfix::AddressKind;
use stationwagon::site::directory::{acl as acls, passwd_file, postfix};
use stationwagon::verbs::import::rename::RenameRules;

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

pub fn uidlist(bytes: &[u8]) {
    let parse = |bytes: &[u8]| {
        let mut entries = uids::Added::default();
        let (list, bad) = uids::read(bytes, |entry| entries.add(entry)).unwrap();
        (list, entries, bad)
    };
    let (list, entries, _) = parse(bytes);
    let mut written = Vec::new();
    let (_, _, places) = uids::locate(bytes, &[], |_| false).unwrap();
    uids::write(&mut written, &list, bytes, &places, &uids::Added::default()).unwrap();
    let (again, entries_again, bad) = parse(&written);
    if list.uid_validity.is_some() {
        assert_eq!(lines(&written), 1 + list.messages);
        assert_eq!(bad.first, []);
        assert_eq!(entries_again, entries);
        assert_eq!(again.uid_validity, list.uid_validity);
    }
    assert_eq!(uids::parse_head(bytes).uid_validity, uids::parse_head(&written).uid_validity);
}

pub fn keywords(bytes: &[u8]) {
    let found = keywords::Keywords::parse(bytes);
    let written = found.encode();
    assert!(lines(&written) <= 26);
    assert_eq!(keywords::Keywords::parse(&written), found);
}

pub fn subscriptions(bytes: &[u8]) {
    let _ = subscribed::parse_courier(bytes);
    let paths = subscribed::parse(bytes);
    let written = subscribed::encode(&paths);
    assert_eq!(lines(&written), 2 + paths.len());
    let named: std::collections::BTreeSet<_> = paths.into_iter().filter(|path| !path.is_empty()).collect();
    assert_eq!(subscribed::parse(&subscribed::encode(&named)), named);
}

pub fn acl(bytes: &[u8]) {
    let (mut grants, _) = acls::parse(bytes);
    // The others have their place in site.sqlite.
    grants.retain(|grant| acls::holds(&grant.grantee));
    let written = acls::encode(&grants);
    assert_eq!(lines(&written), grants.len());
    let (again, bad) = acls::parse(&written);
    assert_eq!((again, bad.first), (grants, vec![]));
}

pub fn passwd(bytes: &[u8]) {
    for (_, mut account) in passwd_file::parse(bytes).0 {
        // Names and groups that the file cannot hold have their place in site.sqlite; fields with control characters have
        // none.
        account.name = account.name.filter(|name| passwd_file::holds_name(name));
        account.groups.retain(|group| passwd_file::holds_group(group));
        if account.attributes.get(passwd_file::EXTRA).is_some_and(|extra| extra.contains(char::is_control)) {
            account.attributes.remove(passwd_file::EXTRA);
        }
        if passwd_file::refusal(&account).is_some() {
            continue;
        }
        let line = passwd_file::encode_line(&account);
        assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
        assert_eq!(passwd_file::parse_line(&line).as_ref(), Ok(&account), "{line:?}");
        let (read, bad) = passwd_file::parse(format!("{line}\n").as_bytes());
        assert_eq!((read.len(), bad.len()), (1, 0), "{line:?}");
    }
}

/// The line of any account that is not refused is one line, of that account, and neither unlocks it nor changes its
/// password or its quota, whatever the account's other values are.
pub fn line_of(account: &Account) {
    if passwd_file::refusal(account).is_some() {
        return;
    }
    let line = passwd_file::encode_line(account);
    assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
    let again = passwd_file::parse_line(&line).unwrap();
    assert_eq!(again.address, account.address);
    assert_eq!(again.password, account.password.clone().filter(|password| !password.reveal().is_empty()));
    assert_eq!(again.status == AccountStatus::Active, account.status == AccountStatus::Active, "{line:?}");
    if account.quota_bytes.is_some_and(|bytes| bytes > 0) {
        assert_eq!(again.quota_bytes, account.quota_bytes, "{line:?}");
    }
    assert!(again.groups.iter().all(|group| account.groups.contains(group)) || account.groups.is_empty(), "{line:?}");
}

pub fn aliases(bytes: &[u8]) {
    let (map, _) = postfix::parse_map(bytes);
    for kind in [None, Some(AddressKind::Alias), Some(AddressKind::List)] {
        let (mut records, _) = postfix::to_records(&map, &map, |_| kind);
        // What the target would refuse is never written.
        let fits = |address: &String| postfix::refusal(address).is_none();
        records.aliases.retain(|alias| fits(&alias.address) && alias.targets.iter().all(fits));
        records.lists.retain(|list| fits(&list.address) && list.members.iter().all(fits));
        records.domains.retain(|name, domain| {
            fits(name) && !name.contains('"') && domain.alias_of.iter().all(fits) && domain.catch_all.iter().all(fits)
        });
        let domains = postfix::encode_domains(records.domains.keys().map(String::as_str));
        let written = postfix::encode_aliases(&records, []);
        let ((domains, bad), (aliases, worse)) = (postfix::parse_map(&domains), postfix::parse_map(&written));
        assert_eq!((bad, worse), (vec![], vec![]), "{}", String::from_utf8_lossy(&written));
        let (mut again, bad) = postfix::to_records(&domains, &aliases, |_| kind);
        assert_eq!(bad, vec![]);
        records.aliases.sort_by(|a, b| a.address.cmp(&b.address));
        records.lists.sort_by(|a, b| a.address.cmp(&b.address));
        again.aliases.sort_by(|a, b| a.address.cmp(&b.address));
        again.lists.sort_by(|a, b| a.address.cmp(&b.address));
        assert_eq!(again, records, "{}", String::from_utf8_lossy(&written));
    }
}

pub fn rename(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(rules) = RenameRules::parse(&text) else { return };
    for word in text.split_whitespace() {
        let new = rules.address(word);
        assert!(!new.contains(char::is_whitespace), "{new:?}");
        let _ = rules.domain(word);
    }
}
