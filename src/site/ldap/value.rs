//! Values as directories spell them: quotas, states, passwords, addresses, several values as one text. Pure.

use super::mapping::{QuotaMap, StatusMap};
use crate::limits;
use crate::model::provisioning::{AccountStatus, Secret};

/// An address in one spelling; `None` where it is none that a mail site could have.
pub fn address(text: &str, lower_case: bool) -> Option<String> {
    let text = text.trim_matches(' ');
    let (local, domain) = text.rsplit_once('@')?;
    let fits = |part: &str| !part.is_empty() && part.len() <= limits::ADDRESS_PART_BYTES;
    let strange = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | '/' | '\\');
    if !fits(local) || !fits(domain) || text.contains(strange) || local.contains('@') {
        return None;
    }
    Some(if lower_case { text.to_lowercase() } else { text.to_owned() })
}

/// Bytes; none where there is no limit, which is also what 0 says.
pub fn quota(text: &str, map: &QuotaMap) -> Result<Option<u64>, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" => map.unit_bytes,
        "b" | "s" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return Err(format!("{} {text:?} has a strange unit", map.attribute)),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match number {
        Some(0) => Ok(None),
        Some(bytes) => Ok(Some(bytes)),
        None => Err(format!("{} {text:?} is no number of bytes", map.attribute)),
    }
}

/// As it is written: whole units, rounded up, so that nobody gets less than before.
pub fn encode_quota(bytes: u64, map: &QuotaMap) -> String {
    bytes.div_ceil(map.unit_bytes.max(1)).to_string()
}

/// What a word says; an account without one is active. A word that the mapping does not know is an error.
pub fn status(word: Option<&str>, map: &StatusMap) -> Result<AccountStatus, String> {
    let Some(word) = word else { return Ok(AccountStatus::Active) };
    let has = |words: &[String]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    match () {
        () if has(&map.active) => Ok(AccountStatus::Active),
        () if has(&map.locked) => Ok(AccountStatus::Locked),
        () if has(&map.closed) => Ok(AccountStatus::Closed),
        () => Err(format!("the mapping does not say what {} {word:?} means", map.attribute)),
    }
}

/// The word of a status. A book that knows no locked accounts holds them as closed: nobody gets in who should not.
pub fn encode_status(status: AccountStatus, map: &StatusMap) -> Option<&str> {
    let words = match status {
        AccountStatus::Active => map.active.first(),
        AccountStatus::Locked => map.locked.first().or(map.closed.first()),
        AccountStatus::Closed => map.closed.first().or(map.locked.first()),
    };
    words.map(String::as_str)
}

/// A time as directories write it (RFC 4517 3.3.13): `20240131230000Z`, with or without minutes, seconds and a fraction.
pub fn time(text: &str) -> Option<jiff::Timestamp> {
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let zone = rest.trim_start_matches(|c: char| matches!(c, '.' | ',') || c.is_ascii_digit());
    let zone = match (zone, zone.len()) {
        ("Z", _) => "+0000".to_owned(),
        (hours, 3) => format!("{hours}00"),
        _ => zone.to_owned(),
    };
    if !matches!(digits.len(), 10 | 12 | 14) {
        return None;
    }
    jiff::Timestamp::strptime("%Y%m%d%H%M%S%z", format!("{digits:0<14}{zone}")).ok()
}

/// A hash with its scheme, as records have it. A value without one is the password itself (RFC 4519 section 2.41).
pub fn password(text: &str) -> Secret {
    let has_scheme = text.starts_with('{') && text.contains('}');
    Secret::new(if has_scheme { text.to_owned() } else { format!("{{PLAIN}}{text}") })
}

/// As a directory server checks it: Dovecot's names for the kinds of crypt(3) are its `{CRYPT}`, and what has no scheme
/// in a passwd-file is one of them. Others stay as they are; whether the server knows them is its business.
pub fn encode_password(secret: &Secret) -> String {
    let text = secret.reveal();
    let Some((scheme, hash)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) else {
        return format!("{{CRYPT}}{text}");
    };
    match scheme.to_ascii_uppercase().as_str() {
        "SHA512-CRYPT" | "SHA256-CRYPT" | "MD5-CRYPT" | "DES-CRYPT" | "BLF-CRYPT" => format!("{{CRYPT}}{hash}"),
        "PLAIN" | "CLEAR" | "CLEARTEXT" => hash.to_owned(),
        _ => text.to_owned(),
    }
}

/// Several values as one text, a line each, sorted, because a directory keeps no order.
pub fn join(values: &[String]) -> String {
    let mut values: Vec<_> = values.iter().map(|value| value.replace('\\', "\\\\").replace('\n', "\\n")).collect();
    values.sort();
    values.join("\n")
}

/// The values that [`join`] put together.
pub fn split(text: &str) -> Vec<String> {
    let unescape = |line: &str| {
        let mut out = String::with_capacity(line.len());
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            out.push(match c {
                '\\' => match chars.next() {
                    Some('n') => '\n',
                    Some(other) => other,
                    None => '\\',
                },
                c => c,
            });
        }
        out
    };
    let mut values: Vec<_> = text.split('\n').map(unescape).filter(|value| !value.is_empty()).collect();
    values.sort();
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotas_of_all_makes_are_bytes() {
        let map = |unit_bytes| QuotaMap { attribute: "mailQuota".into(), unit_bytes };
        for (text, unit, bytes) in [
            ("0", 1, None),
            ("5", 1024, Some(5120)),
            ("2G", 1, Some(2 << 30)),
            ("10485760S", 1, Some(10 << 20)),
            ("1mb", 9, Some(1 << 20)),
        ] {
            assert_eq!(quota(text, &map(unit)), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "lots", "5X", "99999999999999999999", "18446744073709551615G"] {
            assert!(quota(text, &map(1)).is_err(), "{text}");
        }
        assert_eq!(encode_quota(1025, &map(1024)), "2");
    }

    #[test]
    fn times_of_directories_are_read_in_every_form_and_nothing_else_is() {
        for (text, expected) in [
            ("20240131230000Z", "2024-01-31T23:00:00Z"),
            ("202401312300Z", "2024-01-31T23:00:00Z"),
            ("2024013123Z", "2024-01-31T23:00:00Z"),
            ("20240131230000.000Z", "2024-01-31T23:00:00Z"),
            ("20240201000000+0100", "2024-01-31T23:00:00Z"),
            ("20240131200000-03", "2024-01-31T23:00:00Z"),
        ] {
            assert_eq!(time(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "Z", "2024", "20240131230000", "20241331230000Z", "20240131230000Zz", "tomorrow", "\u{221e}Z"]
        {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn a_hash_that_dovecot_names_is_one_that_a_directory_checks() {
        for (record, directory) in [
            ("{SHA512-CRYPT}$6$a$b", "{CRYPT}$6$a$b"),
            ("$6$a$b", "{CRYPT}$6$a$b"),
            ("{SSHA}abc", "{SSHA}abc"),
            ("{PLAIN}x", "x"),
        ] {
            assert_eq!(encode_password(&Secret::new(record)), directory);
        }
        assert_eq!(password("x").reveal(), "{PLAIN}x");
        assert_eq!(password("{SSHA}abc").reveal(), "{SSHA}abc");
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in ["", "a", "@a", "a@", "a b@c", "a@b@c", "a\n@b", "<a@b>", "../x@a", "a@x/../y"] {
            assert_eq!(address(text, true), None, "{text:?}");
        }
        assert_eq!(address("Ann@Example.Test", true).as_deref(), Some("ann@example.test"));
    }

    proptest! {
        #[test]
        fn several_values_survive_as_one_text(values in proptest::collection::btree_set("[a-z\\\\\n]{1,5}", 0..5)) {
            let values: Vec<String> = values.into_iter().collect();
            prop_assert_eq!(split(&join(&values)), values);
        }
    }
}
