//! `dovecot-keywords`: which IMAP keyword each of the letters `a` to `z` in the file names of a folder means.
//!
//! A line is `<number> <keyword>`, 0 for `a`, 25 for `z`. Specified in Dovecot's "Maildir" format page.

use super::super::text_file::{lines, number, split_once};
use super::name::KeywordLetters;

/// The keywords of a folder by letter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keywords {
    names: [Option<String>; 26],
}

impl Keywords {
    /// Parses the file; lines that are no keyword are passed over, of two with the same number the last counts (as in
    /// Dovecot).
    pub fn parse(bytes: &[u8]) -> Self {
        let mut keywords = Self::default();
        for (_, line) in lines(bytes) {
            let Some((letter, name)) = split_once(line, b' ') else { continue };
            let slot = number::<usize>(letter).and_then(|at| keywords.names.get_mut(at));
            if let (Some(slot), Ok(name)) = (slot, std::str::from_utf8(name))
                && is_keyword(name)
            {
                *slot = Some(name.to_owned());
            }
        }
        keywords
    }

    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let lines = self.names.iter().enumerate();
        lines.filter_map(|(at, name)| Some(format!("{at} {}\n", name.as_ref()?))).collect::<String>().into_bytes()
    }

    /// What `letter` means, if the file says.
    pub fn name(&self, letter: u8) -> Option<&str> {
        self.names.get(usize::from(letter.checked_sub(b'a')?))?.as_deref()
    }

    /// The letter that means `keyword`, in any case, as keywords are compared (RFC 9051 2.3.2).
    pub fn letter(&self, keyword: &str) -> Option<u8> {
        (b'a'..=b'z').find(|&letter| self.name(letter).is_some_and(|name| name.eq_ignore_ascii_case(keyword)))
    }

    /// The letter that means `keyword` from now on: the one it has, or the first free one. `None` when all are taken or
    /// no keyword has such a name.
    pub fn assign(&mut self, keyword: &str) -> Option<u8> {
        if let Some(letter) = self.letter(keyword) {
            return Some(letter);
        }
        let (letter, slot) = (b'a'..=b'z').zip(&mut self.names).find(|(_, name)| name.is_none())?;
        is_keyword(keyword).then(|| {
            *slot = Some(keyword.to_owned());
            letter
        })
    }

    /// The keywords that the letters of a file name mean, sorted, each once; letters without a meaning are passed over.
    pub fn of(&self, letters: KeywordLetters) -> Vec<String> {
        let mut names: Vec<_> = letters.iter().filter_map(|letter| self.name(letter)).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Whether the file can hold this keyword: an atom is free of controls and spaces (RFC 9051 section 9).
fn is_keyword(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_control() || c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letters_mean_what_the_file_says() {
        let keywords = Keywords::parse(b"0 $Forwarded\n1 NonJunk\n25 todo\n26 none\nx y\n\n3\n4 \n1 Junk\r\n");
        assert_eq!(
            (keywords.name(b'a'), keywords.name(b'b'), keywords.name(b'z')),
            (Some("$Forwarded"), Some("Junk"), Some("todo"))
        );
        assert_eq!((keywords.name(b'c'), keywords.name(b'A'), keywords.letter("JUNK")), (None, None, Some(b'b')));
        let letters = KeywordLetters::default().with(b'z').with(b'a').with(b'q');
        assert_eq!(keywords.of(letters), ["$Forwarded", "todo"]);
        assert_eq!(keywords.encode(), b"0 $Forwarded\n1 Junk\n25 todo\n");
    }

    #[test]
    fn a_folder_has_room_for_26_keywords() {
        let mut keywords = Keywords::default();
        for number in 0..26 {
            assert_eq!(keywords.assign(&format!("k{number}")), Some(b'a' + number));
        }
        assert_eq!((keywords.assign("K3"), keywords.assign("more")), (Some(b'd'), None));
        assert_eq!(Keywords::default().assign("two words"), None);
        assert_eq!(Keywords::parse(&keywords.encode()), keywords);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_keyword_file(bytes: Vec<u8>) {
            let keywords = Keywords::parse(&bytes);
            prop_assert_eq!(Keywords::parse(&keywords.encode()), keywords);
        }
    }
}
