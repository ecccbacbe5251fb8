//! `etc/passwd`: Dovecot's passwd-file, an account a line.
//!
//! `user:password:uid:gid:gecos:home:shell:extra`; `extra` is the rest of the line, fields separated by spaces. The
//! name is written with `\` before `'`, `"` and `\`, as Dovecot looks it up. Specified in Dovecot's "Passwd-file" page;
//! pure.
//!
//! Of the extra fields, the storage limit of `userdb_quota_rule=*:…`, `userdb_acl_groups` and `nologin` have fields of
//! their own in an [`Account`]. Everything else is kept as text in its attributes, under the keys below.

use super::text_file::{BadLine, Concerns, lines, split_once};
use crate::model::provisioning::{Account, AccountClass, AccountStatus, Attributes, Secret};
use std::collections::HashSet;

/// Attributes that hold the columns of a line as they stand; absent where a column is empty.
pub const UID: &str = "passwd.uid";
pub const GID: &str = "passwd.gid";
pub const HOME: &str = "passwd.home";
pub const SHELL: &str = "passwd.shell";
/// The extra fields that have no place of their own.
pub const EXTRA: &str = "passwd.extra";
/// Limits of the quota rule beside storage (`messages=1000`).
pub const QUOTA_LIMITS: &str = "passwd.quota_limits";

const QUOTA_RULE: &str = "userdb_quota_rule=";
const GROUPS: &str = "userdb_acl_groups=";

/// Parses a file: its accounts in their order, each with its line. Comments and empty lines say nothing; of two lines
/// for one user the first counts, as in Dovecot.
pub fn parse(bytes: &[u8]) -> (Vec<(usize, Account)>, Vec<BadLine>) {
    let (mut accounts, mut bad, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (line, text) in lines(bytes) {
        if text.trim_ascii().is_empty() || text.starts_with(b"#") {
            continue;
        }
        let parsed = match std::str::from_utf8(text) {
            Ok(text) => parse_line(text),
            Err(_) => Err("is not UTF-8"),
        };
        match parsed {
            Ok(account) if seen.insert(account.address.clone()) => accounts.push((line, account)),
            Ok(account) => {
                let what = format!("{} has a line above already", account.address);
                bad.push(BadLine::new(line, what).concerning(Concerns::None));
            }
            Err(what) => bad.push(BadLine::new(line, what).concerning(concerns(text))),
        }
    }
    (accounts, bad)
}

/// Whose line it could be: its first column tells, where it has several and that one could name somebody.
fn concerns(line: &[u8]) -> Concerns {
    let name = split_once(line, b':').and_then(|(name, _)| std::str::from_utf8(name).ok()).map(unescape);
    name.filter(|name| is_name(name)).map_or(Concerns::Any, Concerns::Key)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_control() || c == '/' || c == ' ')
}

/// Parses one line, without its end.
pub fn parse_line(text: &str) -> Result<Account, &'static str> {
    let mut columns = text.splitn(8, ':');
    let address = unescape(columns.next().unwrap_or_default());
    if address.is_empty() {
        return Err("names no user");
    }
    if !is_name(&address) {
        return Err("has a user name with a control character, a space or a slash");
    }
    let password = columns.next().ok_or("has no password column")?;
    let [uid, gid, gecos, home, shell, extra] = std::array::from_fn(|_| columns.next().unwrap_or_default());
    let mut account = Account {
        address,
        class: AccountClass::User,
        name: (!gecos.is_empty()).then(|| gecos.to_owned()),
        password: (!password.is_empty()).then(|| Secret::new(password)),
        quota_bytes: None,
        status: AccountStatus::Active,
        cos: None,
        groups: Vec::new(),
        attributes: Attributes::new(),
    };
    for (key, value) in [(UID, uid), (GID, gid), (HOME, home), (SHELL, shell)] {
        if !value.is_empty() {
            account.attributes.insert(key.to_owned(), value.to_owned());
        }
    }
    parse_extra(extra, &mut account);
    Ok(account)
}

/// Of a field that stands there twice the last counts, as in Dovecot; those before it say nothing and are not kept.
fn parse_extra(extra: &str, account: &mut Account) {
    let rule = split_fields(extra).filter_map(|field| field.strip_prefix(QUOTA_RULE)).last();
    let quota = rule.and_then(parse_quota);
    let mut kept = Vec::new();
    for field in split_fields(extra) {
        if let Some(groups) = field.strip_prefix(GROUPS) {
            account.groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
        } else if locks(field) {
            account.status = AccountStatus::Locked;
        } else if quota.is_none() || !field.starts_with(QUOTA_RULE) {
            kept.push(field);
        }
    }
    if let Some((quota_bytes, limits)) = quota {
        account.quota_bytes = Some(quota_bytes);
        if !limits.is_empty() {
            account.attributes.insert(QUOTA_LIMITS.to_owned(), limits);
        }
    }
    if !kept.is_empty() {
        account.attributes.insert(EXTRA.to_owned(), kept.join(" "));
    }
}

fn locks(field: &str) -> bool {
    matches!(field, "nologin" | "nologin=y" | "nologin=yes")
}

/// Why a passwd-file has no place for this account; `None` where it has.
pub fn refusal(account: &Account) -> Option<&'static str> {
    let breaks = |text: &str| text.contains([':', '\n', '\r', '\0']);
    let column = |key| account.attributes.get(key).is_some_and(|value| breaks(value));
    if account.address.is_empty()
        || account.address.starts_with('#')
        || account.address.contains(|c: char| c.is_control() || matches!(c, '/' | ' ' | ':'))
    {
        Some("a passwd-file holds no user name with a control character, a space, a slash or a colon")
    } else if account.password.as_ref().is_some_and(|password| breaks(password.reveal())) {
        Some("a passwd-file holds no password with a colon or a line end")
    } else if [UID, GID, HOME, SHELL].into_iter().any(column) {
        Some("a passwd-file holds no column with a colon or a line end")
    } else if account.attributes.get(QUOTA_LIMITS).is_some_and(|limits| !is_one_field(limits)) {
        Some("a passwd-file holds no quota limits with a control character, a space or a backslash")
    } else {
        None
    }
}

/// Whether the file can hold this name of a person; any other has its place in `site.sqlite`.
pub fn holds_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_control() || c == ':')
}

/// Whether the file can hold this group; any other has its place in `site.sqlite`.
pub fn holds_group(group: &str) -> bool {
    !group.is_empty() && !group.contains(',') && is_one_field(group)
}

/// Whether what is written before other fields stays apart from them: a backslash would take in the space behind it, and
/// with it the next field, which may be what locks the account.
fn is_one_field(value: &str) -> bool {
    !value.contains(|c: char| c.is_control() || matches!(c, ' ' | '\\'))
}

/// The line of an account, without its end; [`refusal`] has to be `None`. What the line has no place for is left out.
pub fn encode_line(account: &Account) -> String {
    let attribute = |key| account.attributes.get(key).map_or("", String::as_str);
    let mut extra = Vec::new();
    if let Some(bytes) = account.quota_bytes {
        let limits = attribute(QUOTA_LIMITS);
        let colon = if limits.is_empty() { "" } else { ":" };
        extra.push(format!("{QUOTA_RULE}*:storage={}{colon}{limits}", encode_storage(bytes)));
    }
    let groups: Vec<_> = account.groups.iter().map(String::as_str).filter(|group| holds_group(group)).collect();
    if !groups.is_empty() {
        extra.push(format!("{GROUPS}{}", groups.join(",")));
    }
    if account.status != AccountStatus::Active {
        extra.push("nologin".to_owned());
    }
    // What has a place of its own in the account is said there, whatever an archive has among the others.
    let said = |field: &str| {
        field.starts_with(GROUPS) || locks(field) || (field.starts_with(QUOTA_RULE) && account.quota_bytes.is_some())
    };
    let others = split_fields(attribute(EXTRA)).filter(|field| !said(field) && !field.contains(char::is_control));
    extra.extend(others.map(str::to_owned));
    format!(
        "{}:{}:{}:{}:{}:{}:{}:{}",
        escape(&account.address),
        account.password.as_ref().map_or("", Secret::reveal),
        attribute(UID),
        attribute(GID),
        account.name.as_deref().filter(|name| holds_name(name)).unwrap_or_default(),
        attribute(HOME),
        attribute(SHELL),
        extra.join(" "),
    )
}

/// Fields end at a space that no `\` stands before.
fn split_fields(extra: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    extra
        .split(move |c| {
            let ends = c == ' ' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })
        .filter(|field| !field.is_empty())
}

fn unescape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

fn escape(name: &str) -> String {
    let escape = |c| if matches!(c, '\'' | '"' | '\\') { vec!['\\', c] } else { vec![c] };
    name.chars().flat_map(escape).collect()
}

/// The storage limit of a rule `*:storage=5G:messages=100`, bytes, and its other limits; `None` where the rule is for
/// one folder, relative, unlimited, or has no storage limit: then it stays as it is.
fn parse_quota(rule: &str) -> Option<(u64, String)> {
    let limits = rule.strip_prefix("*:").filter(|limits| is_one_field(limits))?;
    let (storage, others): (Vec<_>, Vec<_>) =
        limits.split(':').partition(|limit| limit.starts_with("storage=") || limit.starts_with("bytes="));
    let [storage] = storage.as_slice() else { return None };
    let (unit, value) = storage.split_once('=')?;
    Some((parse_storage(value, if unit == "bytes" { 1 } else { 1024 })?, others.join(":")))
}

const UNITS: [(&str, u64); 4] = [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)];

/// `value` with its unit, in any case; `default` is the unit of a bare number. `None` where it is no size, or nothing.
pub fn parse_storage(value: &str, default: u64) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = value.get(digits.len()..)?;
    let factor = match unit {
        "" => default,
        "b" | "B" => 1,
        other => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(other))?.1,
    };
    super::text_file::number::<u64>(digits.as_bytes())?.checked_mul(factor).filter(|&bytes| bytes > 0)
}

/// The largest unit that leaves no rest.
pub fn encode_storage(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, factor)| bytes.is_multiple_of(*factor) && bytes > 0);
    unit.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_line_fills_an_account_and_is_written_back_as_it_was() {
        let line = r"o\'connor@example.org:{SHA512-CRYPT}$6$Ob$kO:5000:5001:Pat O'Connor:/var/vmail/o:/bin/sh:userdb_quota_rule=*:storage=500M:messages=90 userdb_acl_groups=eng,board nologin userdb_mail=maildir:~/M allow_nets=10.0.0.0/8";
        let account = parse_line(line).unwrap();
        assert_eq!(account.address, "o'connor@example.org");
        assert_eq!(account.password.as_ref().unwrap().reveal(), "{SHA512-CRYPT}$6$Ob$kO");
        assert_eq!(account.name.as_deref(), Some("Pat O'Connor"));
        assert_eq!((account.quota_bytes, account.status), (Some(500 << 20), AccountStatus::Locked));
        assert_eq!(account.groups, ["eng", "board"]);
        let attributes: Vec<_> = account.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            attributes,
            [
                ("passwd.extra", "userdb_mail=maildir:~/M allow_nets=10.0.0.0/8"),
                ("passwd.gid", "5001"),
                ("passwd.home", "/var/vmail/o"),
                ("passwd.quota_limits", "messages=90"),
                ("passwd.shell", "/bin/sh"),
                ("passwd.uid", "5000"),
            ]
        );
        assert_eq!(refusal(&account), None);
        assert_eq!(encode_line(&account), line);
    }

    #[test]
    fn groups_and_a_lock_come_from_the_account_and_never_from_its_other_fields() {
        let mut account = parse_line("ann@b.test:x::::::userdb_x=1").unwrap();
        let hidden = "userdb_acl_groups=board nologin nologin=yes userdb_x=1";
        account.attributes.insert(EXTRA.to_owned(), hidden.to_owned());
        assert_eq!(encode_line(&account), "ann@b.test:x::::::userdb_x=1");
    }

    #[test]
    fn short_lines_comments_and_bad_lines_are_told_apart() {
        let (accounts, bad) =
            parse(b"# site\n\nann@a.test:{PLAIN}x\r\nbob@a.test:\nnopassword\n:x:1\nann@a.test:y\na\xff:x\na/b:x\nAnn@a.test:z\n");
        let found: Vec<_> = accounts
            .iter()
            .map(|(line, account)| (*line, account.address.as_str(), account.password.is_some()))
            .collect();
        assert_eq!(found, [(3, "ann@a.test", true), (4, "bob@a.test", false), (10, "Ann@a.test", true)]);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        assert!(bad.iter().all(|bad| !bad.what.contains(":y")), "no password in a message");
    }

    #[test]
    fn quota_rules_in_every_unit_are_bytes_and_strange_ones_stay_text() {
        for (rule, bytes) in [("5G", 5u64 << 30), ("1024M", 1 << 30), ("12", 12 << 10), ("7B", 7), ("1t", 1 << 40)] {
            let account = parse_line(&format!("a:::::::userdb_quota_rule=*:storage={rule}")).unwrap();
            assert_eq!((account.quota_bytes, account.attributes.get(EXTRA)), (Some(bytes), None), "{rule}");
            assert_eq!(parse_line(&encode_line(&account)).unwrap(), account);
        }
        for rule in ["Trash:storage=+10%", "*:storage=0", "*:storage=+10%", "*:messages=5", "*:storage=99999999999G"] {
            let line = format!("a:::::::userdb_quota_rule={rule}");
            let account = parse_line(&line).unwrap();
            assert_eq!((account.quota_bytes, encode_line(&account)), (None, line));
        }
    }

    #[test]
    fn of_two_rules_or_lists_of_groups_the_last_counts() {
        let line = "a:::::::userdb_quota_rule=*:storage=5G userdb_acl_groups=x userdb_quota_rule=*:storage=1G userdb_acl_groups=y";
        let account = parse_line(line).unwrap();
        assert_eq!((account.quota_bytes, account.groups.as_slice()), (Some(1 << 30), ["y".to_owned()].as_slice()));
        assert_eq!(encode_line(&account), "a:::::::userdb_quota_rule=*:storage=1G userdb_acl_groups=y");
        let line = "a:::::::userdb_quota_rule=*:storage=5G userdb_quota_rule=*:storage=0";
        assert_eq!(encode_line(&parse_line(line).unwrap()), line, "without limit at last, which stays text");
    }

    #[test]
    fn an_account_that_would_break_the_file_is_refused() {
        let mut account = parse_line("a@b.test:x").unwrap();
        account.name = Some("A: B".to_owned());
        assert_eq!(refusal(&account), None);
        assert_eq!(encode_line(&account), "a@b.test:x::::::");
        for address in ["a:b", "", "a b", "a\nb", "#a"] {
            assert!(refusal(&Account { address: address.to_owned(), ..account.clone() }).is_some());
        }
        account.password = Some(Secret::new("{PLAIN}a:b"));
        assert!(refusal(&account).is_some());
        account.password = None;
        account.quota_bytes = Some(1 << 30);
        for limits in ["messages=1\nroot@b.test:{PLAIN}x", "messages=1 allow_nets=::/0", "messages=1\\"] {
            account.attributes.insert(QUOTA_LIMITS.to_owned(), limits.to_owned());
            assert!(refusal(&account).is_some(), "{limits}");
        }
    }

    #[test]
    fn a_group_that_ends_in_a_backslash_unlocks_nobody() {
        let mut account = parse_line(r"a@b.test:x::::::userdb_acl_groups=eng nologin").unwrap();
        account.groups.push("board\\".to_owned());
        let again = parse_line(&encode_line(&account)).unwrap();
        assert_eq!((again.status, again.groups), (AccountStatus::Locked, vec!["eng".to_owned()]));
    }

    proptest! {
        #[test]
        fn a_line_survives(
            user in r#"[a-z'"\\]{1,8}@[a-z]{1,5}"#, columns in proptest::array::uniform6("[ -9;-~é]{0,9}"),
            extra in proptest::collection::vec("[!-~]{1,6}|userdb_quota_rule=[!-~]{0,9}|userdb_acl_groups=[a-z,]{0,5}", 0..5),
        ) {
            let line = format!("{}:{}:{}", escape(&user), columns.join(":"), extra.join(" "));
            let account = parse_line(&line).unwrap();
            prop_assert_eq!(&account.address, &user);
            prop_assert_eq!(refusal(&account), None);
            prop_assert_eq!(parse_line(&encode_line(&account)).unwrap(), account);
        }

        #[test]
        fn any_bytes_are_a_file(bytes: Vec<u8>) {
            for (_, account) in parse(&bytes).0 {
                let _ = encode_line(&account);
            }
        }
    }
}
