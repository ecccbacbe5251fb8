//! One change to an entry, the change that takes it back, and both as LDIF (RFC 2849), as `ldapmodify` reads it. Pure.
//!
//! Values are deleted and added one by one, never replaced as a whole: where somebody else changed one meanwhile, the
//! server refuses instead of overwriting, and so it does when a change is taken back later.

use super::dn;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Values of one attribute that go and come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    pub attribute: String,
    pub delete: Vec<String>,
    pub add: Vec<String>,
}

/// Values hold password hashes, so a change shows only its entry; [`Change::ldif`] shows everything.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    Add {
        dn: String,
        values: Vec<(String, Vec<String>)>,
    },
    Modify {
        dn: String,
        parts: Vec<Part>,
    },
    /// The entry gets another name at the same place; the value that named it goes.
    Rename {
        dn: String,
        rdn: String,
    },
    /// With all values that can be read, so that it can be taken back.
    Delete {
        dn: String,
        values: Vec<(String, Vec<String>)>,
    },
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Add { .. } => "Add",
            Self::Modify { .. } => "Modify",
            Self::Rename { .. } => "Rename",
            Self::Delete { .. } => "Delete",
        };
        write!(f, "{what}({:?})", self.dn())
    }
}

impl Change {
    /// The entry's name before the change.
    pub fn dn(&self) -> &str {
        match self {
            Self::Add { dn, .. } | Self::Modify { dn, .. } | Self::Rename { dn, .. } | Self::Delete { dn, .. } => dn,
        }
    }

    /// What makes it undone.
    pub fn inverse(&self) -> Self {
        match self {
            Self::Add { dn, values } => Self::Delete { dn: dn.clone(), values: values.clone() },
            Self::Delete { dn, values } => Self::Add { dn: dn.clone(), values: values.clone() },
            Self::Modify { dn, parts } => {
                let back = |part: &Part| Part {
                    attribute: part.attribute.clone(),
                    delete: part.add.clone(),
                    add: part.delete.clone(),
                };
                Self::Modify { dn: dn.clone(), parts: parts.iter().rev().map(back).collect() }
            }
            Self::Rename { dn, rdn } => {
                let parent = dn::parent(dn);
                let own = dn.strip_suffix(parent).unwrap_or(dn).trim_end_matches([',', ';']);
                let own = if parent.is_empty() { dn } else { own };
                Self::Rename { dn: dn::below(rdn, parent), rdn: own.to_owned() }
            }
        }
    }

    /// One record of an LDIF file, with the empty line behind it.
    pub fn ldif(&self) -> String {
        let mut out = String::new();
        line(&mut out, "dn", self.dn());
        match self {
            Self::Add { values, .. } => {
                line(&mut out, "changetype", "add");
                for (name, all) in values {
                    all.iter().for_each(|value| line(&mut out, name, value));
                }
            }
            Self::Modify { parts, .. } => {
                line(&mut out, "changetype", "modify");
                for part in parts {
                    for (word, values) in [("delete", &part.delete), ("add", &part.add)] {
                        if !values.is_empty() {
                            line(&mut out, word, &part.attribute);
                            values.iter().for_each(|value| line(&mut out, &part.attribute, value));
                            out.push_str("-\n");
                        }
                    }
                }
            }
            Self::Rename { rdn, .. } => {
                line(&mut out, "changetype", "modrdn");
                line(&mut out, "newrdn", rdn);
                line(&mut out, "deleteoldrdn", "1");
            }
            Self::Delete { .. } => line(&mut out, "changetype", "delete"),
        }
        out.push('\n');
        out
    }
}

/// Longest line before it is folded, bytes.
const LINE: usize = 76;

/// `name: value`, or `name:: base64` where the value is anything but plain safe text (RFC 2849 section 2).
fn line(out: &mut String, name: &str, value: &str) {
    let start = value.bytes().next();
    let safe = !matches!(start, Some(b' ' | b':' | b'<'))
        && !value.ends_with(' ')
        && value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let text = if safe { format!("{name}: {value}") } else { format!("{name}:: {}", STANDARD.encode(value)) };
    // Safe text and base64 are ASCII, so any byte is a place to fold at; attribute names are checked ASCII.
    let mut rest = text.as_str();
    let mut room = LINE;
    while let Some((now, later)) = rest.split_at_checked(room).filter(|(_, later)| !later.is_empty()) {
        out.push_str(now);
        out.push_str("\n ");
        rest = later;
        room = LINE - 1;
    }
    out.push_str(rest);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads one `name: value` line as RFC 2849 says, for comparison.
    fn read(text: &str) -> (String, String) {
        let text = text.replace("\n ", "");
        let text = text.strip_suffix('\n').unwrap();
        assert!(!text.contains('\n'), "one line: {text:?}");
        let (name, value) = text.split_once(':').unwrap();
        let value = match value.strip_prefix(':') {
            Some(base64) => String::from_utf8(STANDARD.decode(base64.trim_start()).unwrap()).unwrap(),
            None => value.strip_prefix(' ').unwrap().to_owned(),
        };
        (name.to_owned(), value)
    }

    proptest! {
        #[test]
        fn every_value_survives_its_line(value in "\\PC{0,200}|[\\x00-\\x7f]{0,90}|[ :<]{0,3}[a-z]{0,200} ?") {
            let mut out = String::new();
            line(&mut out, "cn", &value);
            prop_assert_eq!(read(&out), ("cn".to_owned(), value));
        }
    }

    #[test]
    fn a_line_end_in_a_value_starts_no_record() {
        let evil = "x\ndn: cn=admin,dc=a\nchangetype: delete".to_owned();
        let change = Change::Add { dn: "cn=a,dc=b".into(), values: vec![("description".into(), vec![evil])] };
        assert_eq!(change.ldif().matches("changetype").count(), 1);
        assert_eq!(change.ldif().matches("\ndn:").count(), 0);
    }

    #[test]
    fn taking_back_twice_is_the_change_itself() {
        let part = Part { attribute: "mail".into(), delete: vec!["a@x".into()], add: vec!["b@x".into()] };
        for change in [
            Change::Rename { dn: "uid=a\\,b,ou=x,dc=y".into(), rdn: "uid=c".into() },
            Change::Rename { dn: "uid=a".into(), rdn: "uid=c".into() },
            Change::Modify { dn: "uid=a,dc=y".into(), parts: vec![part] },
            Change::Add { dn: "uid=a,dc=y".into(), values: vec![("uid".into(), vec!["a".into()])] },
        ] {
            assert_ne!(change.inverse(), change);
            assert_eq!(change.inverse().inverse(), change);
        }
    }

    #[test]
    fn no_change_shows_a_secret() {
        let values = vec![("userPassword".to_owned(), vec!["{SSHA}secret".to_owned()])];
        let change = Change::Add { dn: "uid=a".into(), values };
        assert!(!format!("{change:?}").contains("secret"));
    }
}
