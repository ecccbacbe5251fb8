//! Values written one behind the other in a list of bytes. A mailbox may have a million items; packed, one takes about a
//! hundred bytes and no allocation of its own, where structs with texts of their own take four to seven times that.
//!
//! For memory only: nothing of it is ever written to a file, and any version may pack otherwise.

/// Writes values at the end of a list of bytes.
pub struct Packer<'b>(&'b mut Vec<u8>);

impl<'b> Packer<'b> {
    pub fn new(bytes: &'b mut Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    pub fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Small where it is near zero on either side.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Bytes of which the reader knows how many there are.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    pub fn text_or_none(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        text.into_iter().for_each(|text| self.text(text));
    }
}

/// Reads, from the front, what a [`Packer`] wrote.
pub struct Unpacker<'b>(&'b [u8]);

impl<'b> Unpacker<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// All of that.
    pub fn rest(&self) -> &'b [u8] {
        self.0
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub fn number32(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.number()?.try_into().ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub fn texts(&mut self) -> Option<Vec<String>> {
        (0..self.number()?).map(|_| self.text().map(str::to_owned)).collect()
    }

    pub fn text_or_none(&mut self) -> Option<Option<String>> {
        match self.number()? {
            0 => Some(None),
            _ => Some(Some(self.text()?.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(
            number: u64, signed: i64, bytes: Vec<u8>, text: String, texts: Vec<String>, perhaps: Option<String>,
        ) {
            let mut packed = Vec::new();
            let mut packer = Packer::new(&mut packed);
            packer.number(number);
            packer.signed(signed);
            packer.bytes(&bytes);
            packer.fixed(b"four");
            packer.text(&text);
            packer.texts(&texts);
            packer.text_or_none(perhaps.as_deref());
            let mut unpacker = Unpacker::new(&packed);
            prop_assert_eq!(unpacker.number(), Some(number));
            prop_assert_eq!(unpacker.signed(), Some(signed));
            prop_assert_eq!(unpacker.bytes(), Some(bytes.as_slice()));
            prop_assert_eq!(unpacker.fixed(), Some(*b"four"));
            prop_assert_eq!(unpacker.text(), Some(text.as_str()));
            prop_assert_eq!(unpacker.texts(), Some(texts));
            prop_assert_eq!(unpacker.text_or_none(), Some(perhaps));
            prop_assert_eq!(unpacker.left(), 0);
        }

        #[test]
        fn other_bytes_are_nothing_or_something_and_no_panic(bytes: Vec<u8>) {
            let mut unpacker = Unpacker::new(&bytes);
            let read = unpacker.texts().is_some() && unpacker.signed().is_some() && unpacker.text_or_none().is_some();
            prop_assert!(unpacker.left() <= bytes.len() && (!read || unpacker.left() < bytes.len()));
        }
    }
}
