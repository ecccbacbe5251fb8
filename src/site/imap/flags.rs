//! Flags and keywords, between Maildir's letters and what IMAP calls them. Pure.

use crate::model::mailbox::Flags;

/// Flags and keywords as IMAP spells them. `P`assed has no flag there; the keyword that clients use stands for it.
pub fn flag_names(flags: Flags, keywords: &[String]) -> Vec<String> {
    let system = SYSTEM_FLAGS.iter().filter(|(letter, _)| flags.contains(*letter)).map(|(_, name)| format!("\\{name}"));
    let mut names: Vec<String> = system.collect();
    names.extend(keywords.iter().filter(|keyword| is_atom(keyword)).cloned());
    if flags.contains('P') && !names.iter().any(|name| name == FORWARDED) {
        names.push(FORWARDED.to_owned());
    }
    names
}

/// Those of `keywords` that no command can carry.
pub fn unfit(keywords: &[String]) -> Vec<String> {
    keywords.iter().filter(|keyword| !is_atom(keyword)).cloned().collect()
}

/// Whether a keyword can be sent at all (RFC 9051, section 9, flag-keyword).
fn is_atom(keyword: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
    !keyword.is_empty() && keyword.bytes().all(fits)
}

/// System flags as letters; keywords sorted, each once. `\Recent` is nobody's to keep.
pub fn split_flags(all: &[String]) -> (Flags, Vec<String>) {
    let mut letters = String::new();
    let mut keywords = Vec::new();
    for flag in all {
        match flag.strip_prefix('\\') {
            Some(system) => {
                letters.extend(SYSTEM_FLAGS.iter().find(|(_, name)| name.eq_ignore_ascii_case(system)).map(|f| f.0));
            }
            None => keywords.push(flag.clone()),
        }
    }
    keywords.sort();
    keywords.dedup();
    (Flags::from_letters(&letters), keywords)
}

/// Maildir letters and what IMAP calls them.
pub const SYSTEM_FLAGS: [(char, &str); 5] =
    [('D', "Draft"), ('F', "Flagged"), ('R', "Answered"), ('S', "Seen"), ('T', "Deleted")];

/// The keyword that clients set on what they passed on (RFC 5788 registers it).
pub const FORWARDED: &str = "$Forwarded";

/// Whether `P` was set without the keyword that stands for it.
pub fn is_passed(flags: Flags, keywords: &[String]) -> bool {
    flags.contains('P') && !keywords.iter().any(|keyword| keyword == FORWARDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_atom_is_left_out_and_named() {
        let keywords = ["$Work", "two words", "gr\u{fc}n", "", "a]b", "x(y", "plain"].map(str::to_owned);
        assert_eq!(flag_names(Flags::from_letters("SP"), &keywords), ["\\Seen", "$Work", "plain", FORWARDED]);
        assert_eq!(unfit(&keywords), ["two words", "gr\u{fc}n", "", "a]b", "x(y"]);
    }
}
