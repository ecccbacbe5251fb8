//! Names for scripts that arrive. A server has to take any name of RFC 5804 1.6, up to 128 characters; what no server need
//! take gets a stand-in. Pure.

use crate::limits;
use crate::model::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The wanted names where they may be a script's and are free, else others; the same for the same wishes.
pub fn reserve(wanted: &[String], taken: &[String]) -> Vec<String> {
    let mut taken: BTreeSet<String> = taken.iter().cloned().collect();
    let mut free = |wish: &String| {
        let base = if may_be_a_script(wish) { wish.clone() } else { stand_in(wish) };
        let mut name = base.clone();
        let mut count = 0u64;
        while !taken.insert(name.clone()) {
            count += 1;
            name = format!("{base}-w{count}");
        }
        name
    };
    wanted.iter().map(&mut free).collect()
}

/// RFC 5804 1.6, and what Pigeonhole and Cyrus refuse beside: `/`, a dot at the beginning.
fn may_be_a_script(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '/');
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().count() <= limits::SIEVE_NAME_CHARS
        && !name.chars().any(forbidden)
}

fn stand_in(wanted: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(wanted.as_bytes()).into();
    format!("wagon-{}", hex::encode(digest.get(..10).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_name_is_kept_a_taken_one_gets_a_number_and_an_impossible_one_a_stand_in() {
        let wanted = ["main", "main", "a/b", "Урлаб", ".x", ""].map(str::to_owned);
        let given = reserve(&wanted, &["main".to_owned()]);
        assert_eq!(given[..2], ["main-w1", "main-w2"]);
        assert_eq!(given[3], "Урлаб");
        for at in [2, 4, 5] {
            assert!(given[at].starts_with("wagon-"), "{}", given[at]);
        }
        assert_eq!(given, reserve(&wanted, &["main".to_owned()]));
    }
}
