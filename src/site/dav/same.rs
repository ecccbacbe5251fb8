//! Whether what lies on a server is what was sent: the very bytes, or what Cyrus and Radicale make of them. Pure.

use sha2::{Digest, Sha256};

/// Whether both are one item: the same bytes, or the same lines in another order and folded elsewhere.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    one == other || lines(one) == lines(other)
}

/// A sum over the lines without their folds (RFC 5545 3.1, RFC 6350 3.2), the same in any order. It takes no memory for
/// a line, of which a hostile item has millions.
fn lines(bytes: &[u8]) -> u128 {
    let mut sum = 0_u128;
    let mut unfolded = Sha256::new();
    let mut add = |line: Sha256| {
        let digest: [u8; 32] = line.finalize().into();
        let (half, _) = digest.split_at(16);
        sum = sum.wrapping_add(half.iter().fold(0, |number, &byte| (number << 8) | u128::from(byte)));
    };
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.split_first() {
            Some((b' ' | b'\t', rest)) => unfolded.update(rest),
            _ => {
                add(std::mem::replace(&mut unfolded, Sha256::new_with_prefix(line)));
            }
        }
    }
    add(unfolded);
    sum
}

/// The first UID of a calendar object or card; servers that write anew what they get keep it.
pub fn uid(bytes: &[u8]) -> Option<&[u8]> {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"UID:")).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_known_again_in_another_order_and_with_other_folds_and_no_other_way() {
        let sent = b"BEGIN:VEVENT\r\nUID:one@test\r\nSUMMARY:a long\r\n  text\r\nEND:VEVENT\r\n";
        for same in [
            b"BEGIN:VEVENT\r\nSUMMARY:a long text\r\nUID:one@test\r\nEND:VEVENT\r\n".as_slice(),
            b"BEGIN:VEVENT\nUID:one@\n\ttest\nSUMMARY:a long text\nEND:VEVENT\n",
        ] {
            assert!(is_same(sent, same), "{:?}", String::from_utf8_lossy(same));
        }
        for other in [
            b"BEGIN:VEVENT\r\nUID:one@test\r\nSUMMARY:a longer text\r\nEND:VEVENT\r\n".as_slice(),
            b"BEGIN:VEVENT\r\nUID:one@test\r\nUID:one@test\r\nSUMMARY:a long text\r\nEND:VEVENT\r\n",
            b"",
        ] {
            assert!(!is_same(sent, other), "{:?}", String::from_utf8_lossy(other));
        }
        assert_eq!(uid(sent), Some(b"one@test".as_slice()));
    }
}
