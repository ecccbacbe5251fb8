//! `etc/virtual_domains` and `etc/virtual_alias`: Postfix's text maps, and the records they make.
//!
//! A logical line is a key, white space, and a value; a line that begins with white space continues the one above it;
//! `#` begins a comment line (postmap(1)). In the alias map the value is a list of addresses, separated by commas or
//! white space (virtual(5)). Pure.

use super::text_file::{BadLine, Concerns, lines};
use crate::model::provisioning::{Alias, Attributes, DistributionList, Domain, domain_of};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// One logical line of a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapLine {
    /// Of its first physical line, counted from 1.
    pub line: usize,
    pub key: String,
    pub value: String,
}

/// Takes a map apart. Of two lines with one key the first counts and the second is reported; so is what is not UTF-8,
/// and a line that continues nothing.
pub fn parse_map(bytes: &[u8]) -> (Vec<MapLine>, Vec<BadLine>) {
    let (mut logical, mut bad): (Vec<(usize, String)>, _) = (Vec::new(), Vec::new());
    for (line, text) in lines(bytes) {
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() || trimmed.starts_with(b"#") {
            continue;
        }
        let Ok(trimmed) = std::str::from_utf8(trimmed) else {
            bad.push(BadLine::new(line, "is not UTF-8"));
            continue;
        };
        if trimmed.contains(|c: char| c.is_control() && c != '\t') {
            bad.push(BadLine::new(line, "has a control character"));
            continue;
        }
        let continues = text.first().is_some_and(u8::is_ascii_whitespace);
        match logical.last_mut() {
            Some((_, above)) if continues => {
                above.push(' ');
                above.push_str(trimmed);
            }
            None if continues => bad.push(BadLine::new(line, "continues a line, and there is none above")),
            _ => logical.push((line, trimmed.to_owned())),
        }
    }
    let (mut map, mut seen) = (Vec::new(), HashSet::new());
    for (line, text) in logical {
        let (key, value) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((&text, ""));
        if seen.insert(key.to_owned()) {
            map.push(MapLine { line, key: key.to_owned(), value: value.trim().to_owned() });
        } else {
            let what = format!("{key} has a line above already");
            bad.push(BadLine::new(line, what).concerning(Concerns::None));
        }
    }
    (map, bad)
}

/// What both maps say, as records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Virtual {
    /// By name: those of `virtual_domains`, and those with a catch-all or an alias domain.
    pub domains: BTreeMap<String, Domain>,
    pub aliases: Vec<Alias>,
    pub lists: Vec<DistributionList>,
}

/// How an address with several targets, or a list with one, is told from the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressKind {
    Alias,
    List,
}

/// Makes records of the lines of both maps.
///
/// One target makes an alias, several a list, unless `kind_of` knows better. `@domain` makes a catch-all, or an alias
/// domain when its one target is `@another`. A line that gives mail for an account to itself alone keeps the account
/// beneath a catch-all and is no record; [`identity_lines`] writes it again.
pub fn to_records(
    domains: &[MapLine],
    aliases: &[MapLine],
    kind_of: impl Fn(&str) -> Option<AddressKind>,
) -> (Virtual, Vec<BadLine>) {
    let (mut found, mut bad) = (Virtual::default(), Vec::new());
    for line in domains {
        found.domains.entry(line.key.clone()).or_insert_with(|| bare_domain(&line.key));
    }
    for line in aliases {
        let targets = split_targets(&line.value);
        let kind = kind_of(&line.key);
        match (line.key.strip_prefix('@'), targets.as_slice()) {
            (Some(""), _) => bad.push(BadLine::new(line.line, "names no domain").concerning(Concerns::None)),
            (domain, []) => {
                // A word without an @ is no address, and the file may be none of addresses at all.
                let key = domain.or(line.key.contains('@').then_some(line.key.as_str()));
                let concerns = key.map_or(Concerns::Any, |key| Concerns::Key(key.to_owned()));
                bad.push(BadLine::new(line.line, format!("{} has no target", line.key)).concerning(concerns));
            }
            (Some(name), [target]) if target.len() > 1 && target.starts_with('@') => {
                let domain = found.domains.entry(name.to_owned()).or_insert_with(|| bare_domain(name));
                domain.alias_of = target.get(1..).map(str::to_owned);
            }
            (Some(name), _) => {
                let domain = found.domains.entry(name.to_owned()).or_insert_with(|| bare_domain(name));
                domain.catch_all = targets;
            }
            (None, [target]) if *target == line.key => {}
            (None, [_]) if kind != Some(AddressKind::List) => {
                found.aliases.push(Alias { address: line.key.clone(), targets });
            }
            (None, _) if kind == Some(AddressKind::Alias) => {
                found.aliases.push(Alias { address: line.key.clone(), targets });
            }
            (None, _) => found.lists.push(DistributionList {
                address: line.key.clone(),
                name: None,
                members: targets,
                owners: Vec::new(),
                attributes: Attributes::new(),
            }),
        }
    }
    (found, bad)
}

fn bare_domain(name: &str) -> Domain {
    Domain { name: name.to_owned(), alias_of: None, catch_all: Vec::new(), attributes: Attributes::new() }
}

/// Addresses of a value; a comma or white space inside double quotes separates nothing.
fn split_targets(value: &str) -> Vec<String> {
    let mut quoted = false;
    value
        .split(|c: char| {
            quoted ^= c == '"';
            !quoted && (c == ',' || c.is_ascii_whitespace())
        })
        .filter(|target| !target.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Why an alias map has no place for this address as key or target; `None` where it has.
pub fn refusal(address: &str) -> Option<&'static str> {
    let bare: String = address.split('"').step_by(2).collect();
    if address.is_empty() || address.starts_with('#') || address.contains(char::is_control) {
        Some("an alias map holds no empty address, none with a control character, and none that begins with #")
    } else if bare.contains([',', ' ']) || !address.matches('"').count().is_multiple_of(2) {
        Some("an alias map holds no address with a comma or a space outside quotes")
    } else if address.contains(char::is_whitespace) {
        Some("a key of an alias map holds no white space")
    } else {
        None
    }
}

/// The domain map: every domain with the value `OK`, which nobody reads.
pub fn encode_domains<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    names.into_iter().map(|name| format!("{name}\tOK\n")).collect::<String>().into_bytes()
}

/// The alias map of these records, sorted by key, with the lines that keep `accounts` beneath a catch-all.
pub fn encode_aliases<'a>(records: &Virtual, accounts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for line in identity_lines(records, accounts) {
        map.insert(line.clone(), line);
    }
    for domain in records.domains.values() {
        if let Some(original) = &domain.alias_of {
            map.insert(format!("@{}", domain.name), format!("@{original}"));
        } else if !domain.catch_all.is_empty() {
            map.insert(format!("@{}", domain.name), domain.catch_all.join(", "));
        }
    }
    let lists = records.lists.iter().map(|list| (&list.address, &list.members));
    for (address, targets) in records.aliases.iter().map(|alias| (&alias.address, &alias.targets)).chain(lists) {
        if !targets.is_empty() {
            map.insert(address.clone(), targets.join(", "));
        }
    }
    map.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect::<String>().into_bytes()
}

/// The accounts that a catch-all of their domain would rob of their mail: each needs a line of its own.
pub fn identity_lines<'a>(records: &Virtual, accounts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let caught = |address: &&str| {
        records
            .domains
            .get(domain_of(address))
            .is_some_and(|domain| domain.alias_of.is_some() || !domain.catch_all.is_empty())
    };
    accounts.into_iter().filter(caught).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn both_maps_become_domains_aliases_and_lists() {
        let (domains, _) = parse_map(b"example.org\tOK\nold.example OK\n");
        let text = b"# aliases\nabuse@example.org\tann@example.org\nteam@example.org ann@example.org,\n  # inside\n  \
            o'connor@example.org bob@far.test\n@example.org postmaster@example.org\n@old.example @example.org\n\
            ann@example.org ann@example.org\n";
        let (aliases, bad) = parse_map(text);
        assert_eq!(bad, []);
        let (records, bad) = to_records(&domains, &aliases, |_| None);
        assert_eq!(bad, []);
        assert_eq!(
            records.aliases,
            [Alias { address: "abuse@example.org".into(), targets: strings(&["ann@example.org"]) }]
        );
        let list = records.lists.first().unwrap();
        assert_eq!(list.address, "team@example.org");
        assert_eq!(list.members, strings(&["ann@example.org", "o'connor@example.org", "bob@far.test"]));
        assert_eq!(records.domains["example.org"].catch_all, strings(&["postmaster@example.org"]));
        assert_eq!(records.domains["old.example"].alias_of.as_deref(), Some("example.org"));
        let written = encode_aliases(&records, ["ann@example.org", "x@other.test"]);
        assert!(String::from_utf8_lossy(&written).contains("ann@example.org\tann@example.org\n"));
        assert!(!String::from_utf8_lossy(&written).contains("x@other.test"), "no catch-all there");
        assert_eq!(to_records(&domains, &parse_map(&written).0, |_| None).0, records);
        assert_eq!(encode_domains(records.domains.keys().map(String::as_str)), b"example.org\tOK\nold.example\tOK\n");
    }

    #[test]
    fn what_the_site_says_of_an_address_goes_before_the_count_of_its_targets() {
        let (lines, _) = parse_map(b"one@a.test x@a.test\ntwo@a.test x@a.test y@a.test\n");
        let kind = |address: &str| Some(if address == "one@a.test" { AddressKind::List } else { AddressKind::Alias });
        let (records, _) = to_records(&[], &lines, kind);
        assert_eq!(records.lists.first().map(|list| list.address.as_str()), Some("one@a.test"));
        assert_eq!(records.aliases.first().map(|alias| alias.targets.len()), Some(2));
    }

    #[test]
    fn bad_lines_are_reported_with_their_numbers() {
        let (map, bad) = parse_map(b"  first\na@b.test x\n\xff y\na@b.test z\nempty@b.test\n@ x\n");
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [1, 3, 4]);
        let (records, bad) = to_records(&[], &map, |_| None);
        assert_eq!(records.aliases.len(), 1);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn quotes_keep_an_odd_address_together() {
        assert_eq!(split_targets("\"a b,c\"@x.test, d@x.test"), strings(&["\"a b,c\"@x.test", "d@x.test"]));
        assert_eq!(refusal("a@x.test"), None);
        assert!(["", "#a", "a,b@x", "a b@x", "\"a b\"@x", "\"a@x", "a\n@x"].iter().all(|text| refusal(text).is_some()));
    }

    proptest! {
        #[test]
        fn records_survive_encoding(
            aliases in proptest::collection::btree_map("a[a-z]{0,4}@x\\.test", "[a-z]{1,4}@y\\.test", 0..6),
            lists in proptest::collection::btree_map(
                "l[a-z]{0,4}@x\\.test", proptest::collection::vec("[a-z']{1,4}@y\\.test", 2..5), 0..6),
        ) {
            let records = Virtual {
                domains: BTreeMap::new(),
                aliases: aliases
                    .into_iter()
                    .map(|(address, target)| Alias { address, targets: vec![target] })
                    .collect(),
                lists: lists
                    .into_iter()
                    .map(|(address, members)| DistributionList {
                        address, name: None, members, owners: vec![], attributes: Attributes::new(),
                    })
                    .collect(),
            };
            let (lines, bad) = parse_map(&encode_aliases(&records, []));
            prop_assert_eq!(bad, vec![]);
            prop_assert_eq!(to_records(&[], &lines, |_| None).0, records);
        }

        #[test]
        fn any_bytes_are_a_map(bytes: Vec<u8>) {
            let (map, _) = parse_map(&bytes);
            let _ = to_records(&map, &map, |_| None);
        }
    }
}
