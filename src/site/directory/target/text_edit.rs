//! Editing `etc/passwd` and the Postfix maps without touching what others wrote there: comments, order, spacing and
//! lines that we do not understand stay byte for byte. Pure.

use super::super::passwd_file;
use super::super::postfix;
use std::collections::HashMap;

/// A file as blocks; a block is one entry with its lines, or something that is no entry.
pub struct TextFile {
    blocks: Vec<Vec<u8>>,
    /// First block of each key; an emptied block stays, so that places do not shift.
    places: HashMap<String, usize>,
}

impl TextFile {
    /// Takes a passwd-file apart: a block is a line, its key the account's address.
    pub fn of_passwd(bytes: &[u8]) -> Self {
        let blocks: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        let key = |block: &Vec<u8>| {
            let text = std::str::from_utf8(block.trim_ascii_end()).ok()?;
            let is_entry = !text.trim().is_empty() && !text.starts_with('#');
            is_entry.then(|| passwd_file::parse_line(text).ok()).flatten().map(|account| account.address)
        };
        Self::with_places(blocks, key)
    }

    /// Takes a Postfix map apart: a block is a logical line with its continuations and the comments between them.
    pub fn of_map(bytes: &[u8]) -> Self {
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        let mut open = None;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let trimmed = line.trim_ascii();
            let silent = trimmed.is_empty() || trimmed.starts_with(b"#");
            let continues = !silent && line.first().is_some_and(u8::is_ascii_whitespace);
            if let Some(entry) = open.filter(|_| continues) {
                // Comments that came since belong to the entry too: it goes on after them.
                let rest: Vec<u8> = blocks.drain(entry + 1..).flatten().collect();
                if let Some(block) = blocks.last_mut() {
                    block.extend(rest);
                    block.extend_from_slice(line);
                }
                continue;
            }
            if !silent {
                open = Some(blocks.len());
            }
            blocks.push(line.to_vec());
        }
        Self::with_places(blocks, |block| postfix::parse_map(block).0.into_iter().next().map(|line| line.key))
    }

    fn with_places(mut blocks: Vec<Vec<u8>>, key: impl Fn(&Vec<u8>) -> Option<String>) -> Self {
        if let Some(last) = blocks.last_mut().filter(|last| !last.ends_with(b"\n")) {
            last.push(b'\n');
        }
        let mut places = HashMap::new();
        for (at, block) in blocks.iter().enumerate() {
            if let Some(key) = key(block) {
                places.entry(key).or_insert(at);
            }
        }
        Self { blocks, places }
    }

    /// The lines of an entry; `None` when there is none.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.places.get(key).and_then(|&at| self.blocks.get(at)).map(Vec::as_slice)
    }

    /// Every key that has an entry, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Makes `line` (without its end) the entry of `key`, in its place or at the end.
    pub fn set(&mut self, key: &str, line: &str) {
        let bytes = format!("{line}\n").into_bytes();
        match self.places.get(key).and_then(|&at| self.blocks.get_mut(at)) {
            Some(block) => *block = bytes,
            None => {
                self.places.insert(key.to_owned(), self.blocks.len());
                self.blocks.push(bytes);
            }
        }
    }

    /// Gives the entry of `was` another key and line, where it stands.
    pub fn rename(&mut self, was: &str, key: &str, line: &str) {
        if !self.places.contains_key(key)
            && let Some(at) = self.places.remove(was)
        {
            self.places.insert(key.to_owned(), at);
        } else {
            self.remove(was);
        }
        self.set(key, line);
    }

    /// Removes an entry; nothing when there is none.
    pub fn remove(&mut self, key: &str) {
        if let Some(block) = self.places.remove(key).and_then(|at| self.blocks.get_mut(at)) {
            block.clear();
        }
    }

    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        self.blocks.concat()
    }
}

/// The value of a map's entry, as [`postfix::parse_map`] reads it.
pub fn map_value(map: &TextFile, key: &str) -> Option<String> {
    postfix::parse_map(map.get(key)?).0.into_iter().next().map(|line| line.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(file: &TextFile) -> String {
        String::from_utf8(file.encode()).unwrap()
    }

    #[test]
    fn an_account_is_changed_where_it_stands_and_the_rest_stays() {
        let mut file = TextFile::of_passwd(b"# ours\n\no\\'neil@a.test:x:1:2::::\nbroken\nbob@a.test:y::::::");
        file.set("o'neil@a.test", "o\\'neil@a.test:z::::::");
        file.set("new@a.test", "new@a.test:n::::::");
        file.remove("bob@a.test");
        file.remove("nobody@a.test");
        assert_eq!(text(&file), "# ours\n\no\\'neil@a.test:z::::::\nbroken\nnew@a.test:n::::::\n");
        file.rename("o'neil@a.test", "oneil@a.test", "oneil@a.test:z::::::");
        assert_eq!(text(&file), "# ours\n\noneil@a.test:z::::::\nbroken\nnew@a.test:n::::::\n");
    }

    #[test]
    fn a_map_entry_has_its_continuations_and_the_comments_between_them() {
        let bytes = b"# head\na@x b@x,\n# inside\n c@x\n# tail\nd@x e@x\n";
        let mut file = TextFile::of_map(bytes);
        assert_eq!(file.encode(), bytes);
        assert_eq!(map_value(&file, "a@x").as_deref(), Some("b@x, c@x"));
        file.set("a@x", "a@x\tz@x");
        file.remove("d@x");
        assert_eq!(text(&file), "# head\na@x\tz@x\n# tail\n");
    }

    proptest! {
        #[test]
        fn what_is_not_edited_stays_byte_for_byte(lines in proptest::collection::vec("[ #a-c@:\t]{0,8}", 0..12)) {
            let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            prop_assert_eq!(TextFile::of_map(&bytes).encode(), bytes.clone());
            prop_assert_eq!(TextFile::of_passwd(&bytes).encode(), bytes.clone());
            let mut edited = TextFile::of_map(&bytes);
            edited.set("new@x", "new@x\ty");
            prop_assert_eq!(map_value(&edited, "new@x"), Some("y".to_owned()));
            edited.remove("new@x");
            prop_assert_eq!(edited.encode(), bytes);
        }
    }
}
