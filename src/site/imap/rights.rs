//! Access lists: between a server's identifiers (RFC 4314; Dovecot's and Cyrus's ways of naming groups) and grants. Pure.

use crate::model::share::{Grant, Grantee, Rights};

/// How a server names those who are no single user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// `$group`, `authenticated`, `owner`.
    Dovecot,
    /// `group:name`; the owner by address.
    Cyrus,
}

/// What an owner has where nothing limits it.
const ALL: &str = "lrwstipekxa";

/// The grants that an access list means for the folders of `account`. The owner's own full rights are no grant.
pub fn grants(entries: &[(String, String)], account: &str) -> Vec<Grant> {
    let mut found: Vec<Grant> = entries
        .iter()
        .filter_map(|(identifier, letters)| {
            let (negative, name) =
                identifier.strip_prefix('-').map_or((false, identifier.as_str()), |name| (true, name));
            let grantee = grantee(name, account)?;
            let rights = said(letters);
            let full = !negative && grantee == Grantee::Owner && rights.as_str() == ALL;
            (!full).then_some(Grant { grantee, rights, negative })
        })
        .collect();
    found.sort();
    found.dedup_by(|one, other| one.grantee == other.grantee && one.negative == other.negative);
    found
}

/// The rights that a server says, without `c` and `d` where they only sum up others: one that knows `k`, `x`, `t` or
/// `e` says them beside those for old clients, `d` also where there is but one of `t` and `e` (RFC 4314, section
/// 2.1.1).
pub fn said(letters: &str) -> Rights {
    let is_new = letters.contains(['k', 'x', 't', 'e']);
    let own: String = letters.chars().filter(|letter| !(is_new && matches!(letter, 'c' | 'd'))).collect();
    Rights::from_letters(&own)
}

fn grantee(name: &str, account: &str) -> Option<Grantee> {
    let named = |who: &str| (!who.is_empty()).then(|| who.to_owned());
    if name.eq_ignore_ascii_case(account) || name == "owner" {
        return Some(Grantee::Owner);
    }
    match name {
        "anyone" | "authenticated" => return Some(Grantee::Everyone),
        "anonymous" => return Some(Grantee::Public),
        _ => {}
    }
    if let Some(group) = name.strip_prefix("group:").or(name.strip_prefix("!$")).or(name.strip_prefix('$')) {
        return named(group).map(Grantee::Group);
    }
    // Dovecot's `#` begins the global file of the administrator, which is no matter of the folder.
    if name.starts_with('#') { None } else { named(name).map(Grantee::User) }
}

/// The identifier for a grantee; `None` where the server has no word for it.
pub fn identifier(grant: &Grant, account: &str, dialect: Dialect) -> Option<String> {
    let name = match (&grant.grantee, dialect) {
        (Grantee::User(who), _) => who.clone(),
        (Grantee::Group(who), Dialect::Dovecot) => format!("${who}"),
        (Grantee::Group(who), Dialect::Cyrus) => format!("group:{who}"),
        (Grantee::Owner, Dialect::Dovecot) => "owner".to_owned(),
        (Grantee::Owner, Dialect::Cyrus) => account.to_owned(),
        (Grantee::Everyone, Dialect::Dovecot) => "authenticated".to_owned(),
        (Grantee::Everyone, Dialect::Cyrus) => "anyone".to_owned(),
        (Grantee::Public, Dialect::Cyrus) => "anonymous".to_owned(),
        _ => return None,
    };
    let clean = !name.is_empty() && !name.contains(|c: char| c.is_control());
    clean.then(|| if grant.negative { format!("-{name}") } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_both_families_become_grants() {
        let list = |entries: &[(&str, &str)]| {
            let entries: Vec<_> = entries.iter().map(|(who, what)| ((*who).to_owned(), (*what).to_owned())).collect();
            grants(&entries, "ann@a.test")
        };
        let dovecot = list(&[("ann@a.test", "lrwstipekxacd"), ("bob@a.test", "lr"), ("-$eng", "w"), ("anyone", "l")]);
        let cyrus =
            list(&[("ann@a.test", "lrswipkxtecdan"), ("bob@a.test", "lr"), ("-group:eng", "w"), ("anyone", "l")]);
        assert_eq!(dovecot, cyrus);
        assert_eq!(dovecot.len(), 3);
        for grant in &dovecot {
            for dialect in [Dialect::Dovecot, Dialect::Cyrus] {
                let name = identifier(grant, "ann@a.test", dialect).unwrap();
                assert_eq!(list(&[(&name, grant.rights.as_str())]), std::slice::from_ref(grant), "{name}");
            }
        }
    }

    #[test]
    fn rights_that_an_owner_lacks_are_a_grant() {
        let own = grants(&[("ann@a.test".to_owned(), "lr".to_owned())], "ann@a.test");
        assert_eq!(own, [Grant { grantee: Grantee::Owner, rights: Rights::from_letters("lr"), negative: false }]);
    }

    #[test]
    fn letters_of_the_old_rights_say_nothing_beside_the_new_ones() {
        let rights = |letters: &str| {
            let all = grants(&[("bob@a.test".to_owned(), letters.to_owned())], "ann@a.test");
            all[0].rights.to_string()
        };
        // As Dovecot says `ilrstw`, and a server of RFC 2086 what it has.
        assert_eq!(
            (rights("ilrstwd"), rights("lrkc"), rights("lrcd")),
            ("lrwsti".into(), "lrk".into(), "lrtekx".into())
        );
    }
}
