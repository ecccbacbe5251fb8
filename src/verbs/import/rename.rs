//! Rules by which domains and addresses get other names on the target: `--rename FILE`.
//!
//! One rule a line: `old.example new.example` for a domain, `ann@old.example anna@new.example` for an address, which
//! wins over the domain's rule. `#` begins a comment. Pure functions; the file is read by the caller.

use crate::limits;
use std::collections::BTreeMap;

/// The rules of one file. Domains are compared without regard to case; the part before the `@` as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenameRules {
    domains: BTreeMap<String, String>,
    addresses: BTreeMap<String, String>,
}

/// A line that is no rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the renaming rules: {what}")]
pub struct BadRule {
    pub line: usize,
    pub what: String,
}

impl RenameRules {
    /// Reads rules; the same name on the left twice is refused, unless both lines say the same.
    pub fn parse(text: &str) -> Result<Self, BadRule> {
        let mut rules = Self::default();
        for (at, line) in text.lines().enumerate() {
            rules.take_line(line).map_err(|what| BadRule { line: at + 1, what })?;
        }
        Ok(rules)
    }

    fn take_line(&mut self, line: &str) -> Result<(), String> {
        let rule = line.split('#').next().unwrap_or_default();
        let mut words = rule.split_whitespace();
        let Some(old) = words.next() else { return Ok(()) };
        let (Some(new), None) = (words.next(), words.next()) else {
            return Err(format!("{:?} is not an old name and a new one", shorten(rule)));
        };
        let rules = match (is_address(old), is_address(new)) {
            (true, true) => &mut self.addresses,
            (false, false) => &mut self.domains,
            _ => return Err(format!("{} and {} are not of one kind", shorten(old), shorten(new))),
        };
        if let Some(bad) = [old, new].into_iter().find(|name| !well_formed(name)) {
            return Err(format!("{:?} is neither a domain nor an address", shorten(bad)));
        }
        if rules.len() >= limits::RENAME_RULES {
            return Err(format!("more than {} rules", limits::RENAME_RULES));
        }
        let before = rules.insert(normal(old), new.to_owned());
        match before {
            Some(before) if before != new => {
                Err(format!("{} was renamed to {} before", shorten(old), shorten(&before)))
            }
            _ => Ok(()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.addresses.is_empty()
    }

    /// The domain's name on the target.
    pub fn domain(&self, name: &str) -> String {
        self.domains.get(&name.to_ascii_lowercase()).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// The address's name on the target; `@domain` (a catch-all) follows the domain's rule.
    pub fn address(&self, address: &str) -> String {
        if let Some(new) = self.addresses.get(&normal(address)) {
            return new.clone();
        }
        match address.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", self.domain(domain)),
            None => address.to_owned(),
        }
    }
}

fn is_address(name: &str) -> bool {
    name.contains('@')
}

fn well_formed(name: &str) -> bool {
    let domain = name.rsplit_once('@').map_or(name, |(_, domain)| domain);
    let local = name.rsplit_once('@').map_or("x", |(local, _)| local);
    !domain.is_empty() && !local.is_empty() && !domain.contains(['/', '\\', ':']) && !name.contains(char::is_control)
}

/// The spelling under which a rule is kept: the domain in lower case.
fn normal(name: &str) -> String {
    match name.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None => name.to_ascii_lowercase(),
    }
}

fn shorten(text: &str) -> String {
    text.trim().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_rule_wins_over_the_rule_of_its_domain() {
        let rules = RenameRules::parse("old.example new.example # all\n\nann@old.example anna@new.example\n").unwrap();
        assert_eq!(rules.address("ann@old.example"), "anna@new.example");
        assert_eq!(rules.address("bob@OLD.example"), "bob@new.example");
        assert_eq!(rules.address("@old.example"), "@new.example");
        assert_eq!(rules.address("root"), "root");
        assert_eq!(rules.address("ann@sub.old.example"), "ann@sub.old.example");
        assert_eq!(rules.domain("old.example"), "new.example");
    }

    #[test]
    fn a_bad_line_is_named() {
        let what = |text| RenameRules::parse(text).unwrap_err().to_string();
        assert_eq!(
            what("a.example b.example\nann@a.example b.example"),
            "line 2 of the renaming rules: ann@a.example and b.example are not of one kind"
        );
        assert_eq!(
            what("# x\nonly-one"),
            "line 2 of the renaming rules: \"only-one\" is not an old name and a new one"
        );
        assert_eq!(what("a b\na c"), "line 2 of the renaming rules: a was renamed to b before");
        assert_eq!(what("@ b@c"), "line 1 of the renaming rules: \"@\" is neither a domain nor an address");
    }
}
