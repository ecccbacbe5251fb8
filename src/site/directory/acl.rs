//! `dovecot-acl`: who may do what with a folder.
//!
//! A line is `<identifier> <right letters> [:<named rights>]`; an identifier with a space stands in double quotes, one
//! with `-` in front takes rights away. Identifiers: `owner`, `user=`, `group=`, `group-override=`, `authenticated`,
//! `anyone`, `anonymous`. Specified in Dovecot's "ACL" page; pure.
//!
//! Dovecot's `anyone` and `authenticated` are both [`Grantee::Everyone`], and that is written as `authenticated`, so
//! that nothing becomes open to more people than before. `anonymous` is [`Grantee::Public`].

use super::text_file::{BadLines, lines, split_once};
use crate::model::share::{Grant, Grantee, Rights};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Parses a file: the grants, sorted, one for each grantee and sign; and what they cannot express.
pub fn parse(bytes: &[u8]) -> (Vec<Grant>, BadLines) {
    let mut found: BTreeMap<(Grantee, bool), (Strength, Rights)> = BTreeMap::new();
    let mut bad = BadLines::default();
    for (line, text) in lines(bytes) {
        if text.trim_ascii().is_empty() || text.starts_with(b"#") {
            continue;
        }
        let mut complain = |what: &str| bad.push(line, what);
        let Ok(text) = std::str::from_utf8(text) else {
            complain("is not UTF-8");
            continue;
        };
        let Some((identifier, letters)) = split_identifier(text) else {
            complain("has a quoted identifier that does not end");
            continue;
        };
        let (negative, name) = identifier.strip_prefix('-').map_or((false, identifier.as_str()), |name| (true, name));
        let Some((grantee, strength)) = parse_identifier(name) else {
            complain("names nobody that is known");
            continue;
        };
        if strength == Strength::Override {
            complain("group-override is kept as group, which a right of a user goes before");
        }
        let (rights, unknown) = parse_rights(letters);
        if unknown {
            complain("has rights that are no RFC 4314 rights");
        }
        // Of two lines for one grantee the stronger counts, and equals together, as in Dovecot (seen with 2.3.19).
        let slot = found.entry((grantee, negative)).or_insert((strength, rights.clone()));
        match strength.cmp(&slot.0) {
            Ordering::Less => {}
            Ordering::Equal => slot.1 = slot.1.with(&rights),
            Ordering::Greater => *slot = (strength, rights),
        }
    }
    let grants = found.into_iter().map(|((grantee, negative), (_, rights))| Grant { grantee, rights, negative });
    (grants.collect(), bad)
}

/// The file for these grants, in their order; those that Dovecot has no word for ([`holds`]) are left out.
pub fn encode(grants: &[Grant]) -> Vec<u8> {
    let mut out = String::new();
    for grant in grants {
        let Some(name) = identifier(&grant.grantee) else { continue };
        let sign = if grant.negative { "-" } else { "" };
        if name.contains([' ', '"', '\\']) {
            let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
            out.push_str(&format!("\"{sign}{escaped}\" {}\n", grant.rights));
        } else {
            out.push_str(&format!("{sign}{name} {}\n", grant.rights));
        }
    }
    out.into_bytes()
}

/// Whether Dovecot has a word for this grantee; any other has its place in `site.sqlite`.
pub fn holds(grantee: &Grantee) -> bool {
    identifier(grantee).is_some()
}

/// Whose line counts where two become one grantee.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Anyone,
    Plain,
    Override,
}

fn split_identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (identifier, rest) = text.split_once(' ').unwrap_or((text, ""));
        return Some((identifier.to_owned(), rest));
    };
    let mut identifier = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((identifier, quoted.get(at + 1..)?.trim_start())),
            '\\' => identifier.push(chars.next()?.1),
            other => identifier.push(other),
        }
    }
    None
}

fn parse_identifier(name: &str) -> Option<(Grantee, Strength)> {
    let named = |who: &str| (!who.is_empty()).then(|| who.to_owned());
    let plain = |grantee| (grantee, Strength::Plain);
    match name.split_once('=') {
        Some(("user", who)) => named(who).map(Grantee::User).map(plain),
        Some(("group", who)) => named(who).map(Grantee::Group).map(plain),
        Some(("group-override", who)) => named(who).map(|who| (Grantee::Group(who), Strength::Override)),
        Some(_) => None,
        None => match name {
            "owner" => Some(plain(Grantee::Owner)),
            "authenticated" => Some(plain(Grantee::Everyone)),
            "anyone" => Some((Grantee::Everyone, Strength::Anyone)),
            "anonymous" => Some(plain(Grantee::Public)),
            _ => None,
        },
    }
}

fn identifier(grantee: &Grantee) -> Option<String> {
    let clean = |who: &String| !who.is_empty() && !who.contains(|c: char| c.is_control());
    match grantee {
        Grantee::User(who) if clean(who) => Some(format!("user={who}")),
        Grantee::Group(who) if clean(who) => Some(format!("group={who}")),
        Grantee::Owner => Some("owner".to_owned()),
        Grantee::Everyone => Some("authenticated".to_owned()),
        Grantee::Public => Some("anonymous".to_owned()),
        _ => None,
    }
}

/// The rights of a line, and whether some of it means no right.
fn parse_rights(text: &str) -> (Rights, bool) {
    let (letters, names) = match split_once(text.as_bytes(), b':') {
        Some(_) => text.split_once(':').unwrap_or((text, "")),
        None => (text, ""),
    };
    let mut all = letters.replace(' ', "");
    let mut unknown = !all.chars().all(|letter| "lrwstipekxacd".contains(letter));
    for name in names.split_ascii_whitespace() {
        match NAMED_RIGHTS.iter().find(|(known, _)| *known == name) {
            Some((_, letter)) => all.push(*letter),
            None => unknown = true,
        }
    }
    (Rights::from_letters(&all), unknown)
}

/// Dovecot's names of the rights that have letters.
const NAMED_RIGHTS: [(&str, char); 11] = [
    ("lookup", 'l'),
    ("read", 'r'),
    ("write", 'w'),
    ("write-seen", 's'),
    ("write-deleted", 't'),
    ("insert", 'i'),
    ("post", 'p'),
    ("expunge", 'e'),
    ("create", 'k'),
    ("delete", 'x'),
    ("admin", 'a'),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grant(grantee: Grantee, rights: &str, negative: bool) -> Grant {
        Grant { grantee, rights: Rights::from_letters(rights), negative }
    }

    fn user(who: &str) -> Grantee {
        Grantee::User(who.to_owned())
    }

    #[test]
    fn every_kind_of_identifier_becomes_a_grant() {
        let text = b"user=ann@example.org lrs\nowner lrwstipekxa\n-user=bob@example.org w\ngroup=eng lrwstie\n\
            # a comment\n\nauthenticated lr\nanonymous l\n\"user=two words\\\"s\" :lookup read write-seen\n";
        let (grants, bad) = parse(text);
        assert_eq!(bad, BadLines::default());
        assert_eq!(
            grants,
            [
                grant(user("ann@example.org"), "lrs", false),
                grant(user("bob@example.org"), "w", true),
                grant(user("two words\"s"), "lrs", false),
                grant(Grantee::Group("eng".into()), "lrwstie", false),
                grant(Grantee::Everyone, "lr", false),
                grant(Grantee::Public, "l", false),
                grant(Grantee::Owner, "lrwstipekxa", false),
            ]
        );
        assert_eq!(parse(&encode(&grants)), (grants, BadLines::default()));
    }

    #[test]
    fn anyone_is_everyone_unless_authenticated_says_otherwise_whatever_their_order() {
        assert_eq!(parse(b"anyone lr\n").0, [grant(Grantee::Everyone, "lr", false)]);
        for text in [&b"anyone lr\nauthenticated lrs\n"[..], b"authenticated lrs\nanyone lr\n"] {
            assert_eq!(parse(text).0, [grant(Grantee::Everyone, "lrs", false)]);
        }
        assert_eq!(encode(&[grant(Grantee::Everyone, "lr", false)]), b"authenticated lr\n");
    }

    #[test]
    fn several_lines_for_one_grantee_give_what_they_say_together() {
        // What GETACL and MYRIGHTS of Dovecot 2.3.19 say of these lines.
        let text = b"user=bob lr\nanyone l\nuser=bob i\nanyone r\nuser=bob\n-user=bob w\n-user=bob s\n\
            group=x lr\ngroup=x l\n";
        assert_eq!(
            parse(text),
            (
                vec![
                    grant(user("bob"), "lri", false),
                    grant(user("bob"), "ws", true),
                    grant(Grantee::Group("x".into()), "lr", false),
                    grant(Grantee::Everyone, "lr", false),
                ],
                BadLines::default()
            )
        );
    }

    #[test]
    fn what_a_grant_cannot_say_is_reported() {
        let (grants, bad) =
            parse(b"nobody lr\n\"user=x lr\nuser= lr\nuser=a lrZ\nuser=b :lookup fly\ngroup-override=g l\nuser=\xff l");
        assert_eq!(
            grants,
            [
                grant(user("a"), "lr", false),
                grant(user("b"), "l", false),
                grant(Grantee::Group("g".into()), "l", false)
            ]
        );
        assert_eq!(bad.first.iter().map(|bad| bad.line).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn grantees_that_dovecot_does_not_know_are_left_to_the_database() {
        let grants = [grant(Grantee::Domain("example.org".into()), "lr", false), grant(user("a\nb"), "lr", false)];
        assert!(grants.iter().all(|grant| !holds(&grant.grantee)));
        assert_eq!(encode(&grants), b"");
    }

    proptest! {
        #[test]
        fn grants_survive_encoding(
            all in proptest::collection::btree_map(("[!-~]{1,4}( [!-~é]{1,4})?", any::<bool>()), "[lrwstipekxa]{0,11}", 0..9),
        ) {
            let grants: Vec<_> =
                all.iter().map(|((who, negative), rights)| grant(user(who), rights, *negative)).collect();
            prop_assert_eq!(parse(&encode(&grants)), (grants, BadLines::default()));
        }

        #[test]
        fn any_bytes_are_an_acl(bytes: Vec<u8>) {
            let (grants, _) = parse(&bytes);
            prop_assert_eq!(parse(&encode(&grants)).0, grants);
        }
    }
}
