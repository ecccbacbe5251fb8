//! The encoding of LDAP's messages (BER as RFC 4511 section 5.1 narrows it), looked through before anybody takes it apart.
//!
//! The library's decoder waits for whatever length is announced, goes one call deeper with each level, and makes a value
//! of some fifty bytes of every element, however small. So lengths, levels and elements are compared with bounds first.

use crate::limits;
use ldap3::asn1::{ASNTag, StructureTag, Tag, parse_tag, write};
use std::io::{self, Read};

/// The first byte of a message: a SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// Set in the first byte of what holds elements.
const CONSTRUCTED: u8 = 0x20;
/// The bits of the first byte that number a tag; all of them: the number follows. LDAP has no such tag.
const NUMBER: u8 = 0x1f;
/// A first byte of a length from here on tells how many bytes of it follow.
const LONG: u8 = 0x80;

/// What stands before the content of an element.
struct Header {
    first: u8,
    length: usize,
}

/// Encodes one element.
pub fn encode(element: Tag) -> io::Result<Vec<u8>> {
    let mut out = Default::default();
    write::encode_into(&mut out, element.into_structure())?;
    Ok(out.to_vec())
}

/// Reads one message and gives its elements.
///
/// `InvalidData`: it is none, or breaks a bound, which the text names. No more memory is taken than bytes come.
pub fn read_message(input: &mut impl Read) -> io::Result<Vec<StructureTag>> {
    let Header { first, length } = Header::read(input)?;
    if first != SEQUENCE {
        return Err(no_ldap());
    }
    if length > limits::LDAP_MESSAGE_BYTES {
        let most = limits::LDAP_MESSAGE_BYTES as u64 / limits::MIB;
        return Err(broken(&format!("gives an answer of {length} bytes, where at most {most} MiB are taken")));
    }
    let mut content = Vec::with_capacity(length.min(limits::LDAP_MESSAGE_BYTES_AT_ONCE));
    input.take(length as u64).read_to_end(&mut content)?;
    if content.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    elements(&content)
}

/// Takes apart elements that stand one behind the other. `InvalidData`, as [`read_message`].
pub fn elements(bytes: &[u8]) -> io::Result<Vec<StructureTag>> {
    look_through(bytes)?;
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (behind, element) = parse_tag(rest).map_err(|_| no_ldap())?;
        rest = behind;
        found.push(element);
    }
    Ok(found)
}

fn look_through(bytes: &[u8]) -> io::Result<()> {
    // For each element that is being looked into, the innermost last, how many bytes stand behind it.
    let mut behind: Vec<usize> = Vec::new();
    let mut rest = bytes;
    let mut count = 0_usize;
    while !rest.is_empty() {
        let Header { first, length } = Header::read(&mut rest).map_err(|_| no_ldap())?;
        count += 1;
        if count > limits::LDAP_MESSAGE_ELEMENTS {
            let most = limits::LDAP_MESSAGE_ELEMENTS;
            return Err(broken(&format!("gives an answer of more than {most} values")));
        }
        let end = rest.len().checked_sub(length).filter(|end| behind.last().is_none_or(|outer| end >= outer));
        let end = end.ok_or_else(no_ldap)?;
        if first & CONSTRUCTED == 0 {
            rest = rest.get(length..).unwrap_or_default();
        } else if behind.len() < limits::LDAP_MESSAGE_DEPTH {
            behind.push(end);
        } else {
            let most = limits::LDAP_MESSAGE_DEPTH;
            return Err(broken(&format!("gives an answer that nests more than {most} levels deep")));
        }
        while behind.last() == Some(&rest.len()) {
            behind.pop();
        }
    }
    if behind.is_empty() { Ok(()) } else { Err(no_ldap()) }
}

impl Header {
    fn read(input: &mut impl Read) -> io::Result<Self> {
        let [first, short] = bytes_of(input)?;
        if first & NUMBER == NUMBER {
            return Err(no_ldap());
        }
        if short < LONG {
            return Ok(Self { first, length: usize::from(short) });
        }
        let mut length = 0_u64;
        match usize::from(short - LONG) {
            // An end that is marked instead of a length: LDAP forbids it.
            0 => return Err(no_ldap()),
            many if many > size_of::<u64>() => return Err(no_ldap()),
            many => {
                for _ in 0..many {
                    let [byte] = bytes_of(input)?;
                    length = length << 8 | u64::from(byte);
                }
            }
        }
        Ok(Self { first, length: usize::try_from(length).map_err(|_| no_ldap())? })
    }
}

fn bytes_of<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What is said of an answer that makes no sense.
pub fn no_ldap() -> io::Error {
    broken("answers something that is no LDAP")
}

pub fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An element of the SEQUENCE kind around `inside`, with a length of four bytes.
    fn around(inside: &[u8]) -> Vec<u8> {
        let length = u32::try_from(inside.len()).unwrap().to_be_bytes();
        [&[SEQUENCE, LONG + 4], length.as_slice(), inside].concat()
    }

    fn said(mut bytes: &[u8]) -> String {
        let error = read_message(&mut bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        error.to_string()
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_anything_of_it_came() {
        assert!(said(b"\x30\x84\xff\xff\xff\xff").contains("4294967295 bytes, where at most 64 MiB"));
        assert!(said(b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff").contains("64 MiB"));
    }

    #[test]
    fn levels_and_elements_have_bounds_and_up_to_them_all_is_taken() {
        let nested = |levels: usize| (0..levels).fold(Vec::new(), |inside, _| around(&inside));
        // The message itself is no level of its elements.
        assert!(read_message(&mut nested(limits::LDAP_MESSAGE_DEPTH + 1).as_slice()).is_ok());
        assert!(said(&nested(limits::LDAP_MESSAGE_DEPTH + 2)).contains("16 levels deep"));
        let many = |count: usize| around(&b"\x05\x00".repeat(count));
        let most = limits::LDAP_MESSAGE_ELEMENTS;
        assert_eq!(read_message(&mut many(most).as_slice()).unwrap().len(), most);
        assert!(said(&many(most + 1)).contains("more than"));
    }

    #[test]
    fn lengths_that_do_not_nest_are_no_ldap() {
        for bytes in [
            b"\x30\x80\x00\x00".as_slice(),
            b"\x30\x03\x04\x02a",
            b"\x30\x06\x30\x02\x04\x02ab",
            b"\x30\x03\x30\x01\x04",
            b"\x30\x01\x04",
            b"\x30\x03\x1f\x81\x00",
            b"\x30\x8b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\x04\x01a",
        ] {
            if let Err(error) = read_message(&mut &*bytes) {
                let cut_off = error.kind() == io::ErrorKind::UnexpectedEof;
                assert!(cut_off || error.to_string().contains("no LDAP"), "{bytes:x?}: {error}");
            } else {
                panic!("{bytes:x?} is taken");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_let_through_is_taken_apart_to_its_end(
            bytes in prop::collection::vec(prop_oneof![Just(0x30), Just(4), 0_u8..8, any::<u8>()], 0..64)
        ) {
            if look_through(&bytes).is_ok() {
                let encoded: usize = elements(&bytes).unwrap().into_iter()
                    .map(|element| encode(Tag::StructureTag(element)).unwrap().len()).sum();
                prop_assert!(encoded <= bytes.len(), "nothing was read twice");
            }
        }

        #[test]
        fn what_is_encoded_is_read(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let octets = Tag::OctetString(ldap3::asn1::OctetString { inner: text, ..Default::default() });
            let message = Tag::Sequence(ldap3::asn1::Sequence { inner: vec![octets.clone()], ..Default::default() });
            let read = read_message(&mut encode(message).unwrap().as_slice()).unwrap();
            prop_assert_eq!(read, vec![octets.into_structure()]);
        }
    }
}
