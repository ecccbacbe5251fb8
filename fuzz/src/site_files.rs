//! What describes a site of live servers, and who is on it: the description, the list of accounts, the entries of a
//! directory.

use stationwagon::site::ldap::decode::Reader;
use stationwagon::site::ldap::entry::{Entry, EntryKind, Tree};
use stationwagon::site::ldap::index::{Index, addresses_of};
use stationwagon::site::ldap::{Mapping, dn, value};
use stationwagon::site::server::Description;
use stationwagon::site::server::csv_file::{self, CsvFile};
use std::collections::HashSet;
use std::path::Path;

pub fn description(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Description::parse(Path::new("/etc/wagon/old.toml"), text) {
        Ok(description) => {
            for server in description.servers() {
                assert!(server.max_connections > 0, "{text:?}");
            }
            let _ = (description.asks_servers(), description.cautions());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The rows of a file stay as they are when each account is written as it is, and come back from a file that is made of
/// them.
pub fn csv(bytes: &[u8]) {
    let Ok((mut file, _)) = CsvFile::parse(bytes) else { return };
    let accounts: Vec<_> = file.accounts().map(|(account, aliases, _)| (account.clone(), aliases.to_vec())).collect();
    let before = file.encode();
    for (account, _) in &accounts {
        file.put(account, Some(&account.address));
    }
    assert_eq!(file.encode(), before);
    let (mut made, _) = CsvFile::parse(b"").unwrap();
    for (mut account, aliases) in accounts {
        // What has no column of the usual ones has no place in a file that is made.
        account.attributes.clear();
        if csv_file::refusal(&account).is_some() || aliases.iter().any(|alias| alias == &account.address) {
            continue;
        }
        made.put(&account, None);
        let (again, bad) = CsvFile::parse(&made.encode()).unwrap();
        assert_eq!(bad, vec![], "{account:?}");
        let found: Vec<_> = again.accounts().filter(|(one, ..)| one.address == account.address).collect();
        assert_eq!(found.iter().map(|(one, ..)| *one).collect::<Vec<_>>(), [&account]);
        made.remove(&account.address);
    }
}

/// Lines of `name: value`; `dn` begins an entry and `kind` says what it is.
fn entries(text: &str) -> Tree {
    let mut tree = Tree::default();
    let mut entry = Entry::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name {
            "dn" => tree.put(std::mem::replace(&mut entry, Entry { dn: value.to_owned(), ..Entry::default() })),
            "kind" => entry.kinds.extend(match value {
                "account" => Some(EntryKind::Account),
                "list" => Some(EntryKind::List),
                "group" => Some(EntryKind::Group),
                "domain" => Some(EntryKind::Domain),
                "class" => Some(EntryKind::Class),
                "alias" => Some(EntryKind::Alias),
                _ => None,
            }),
            "strange" => drop(entry.strange.insert(value.to_ascii_lowercase())),
            _ => entry.values.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned()),
        }
    }
    tree.put(entry);
    tree
}

pub fn ldap(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    names(&text);
    let tree = entries(&text);
    for preset in ["dovecot", "inetorgperson", "postfix-book", "zimbra"] {
        let mapping = Mapping::preset(preset).unwrap();
        let index = Index::new(&tree, &mapping);
        let placeholders = HashSet::new();
        let reader = Reader { mapping: &mapping, tree: &tree, index: &index, placeholders: &placeholders, now: 0 };
        for (_, entry) in tree.iter() {
            let entry: &Entry = &entry;
            let (own, beside) = addresses_of(entry, &mapping.account.address, mapping.lower_case);
            for address in own.iter().chain(&beside) {
                assert!(!address.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/'), "{address:?}");
            }
            let address = own.unwrap_or_default();
            let (account, _) = reader.account(entry, &address);
            // Passwords are shown nowhere.
            if let Some(password) = account.password.as_ref().map(|password| password.reveal()) {
                assert!(
                    password.len() < 8
                        || text.matches(password).count() > 1
                        || !format!("{account:?}").contains(password)
                );
            }
            let _ =
                (reader.forward(entry, &address), reader.vacation(entry), reader.domain(entry), reader.class(entry));
            if let Some(map) = &mapping.list {
                let (list, _) = reader.list(map, entry, &address);
                assert!(list.members.is_sorted());
            }
        }
    }
}

/// A value that becomes part of a name stays one value of one part.
fn names(text: &str) {
    let once = dn::normal(text);
    assert_eq!(dn::normal(&once), once);
    let name = dn::below(&dn::rdn("cn", text), "dc=a");
    assert!(!name.contains(['\n', '\0']), "{name:?}");
    let parts = dn::parse(&name).unwrap();
    assert_eq!((parts.len(), &parts[0]), (2, &vec![("cn".to_owned(), text.as_bytes().to_vec())]));
    assert_eq!(dn::parent(&name), "dc=a");
    let mut values: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    values.sort();
    values.dedup();
    assert_eq!(value::split(&value::join(&values)), values);
}
