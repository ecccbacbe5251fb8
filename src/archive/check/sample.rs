//! Which packs and objects a check reads that does not read everything.
//!
//! Groups are fixed, so that checks of all of them read everything; shares and samples are others each time, so that
//! what is checked often is checked everywhere in the end.

use super::Reading;
use crate::archive::layout::PackName;
use crate::format::pack_index::{IndexEntry, PackIndex};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

/// The packs to be read whole.
pub(super) fn packs(reading: Reading, names: &[PackName]) -> BTreeSet<PackName> {
    match reading {
        Reading::Nothing | Reading::Sample(_) => BTreeSet::new(),
        Reading::Everything => names.iter().copied().collect(),
        Reading::Group { number, of } => {
            let group = |name: &PackName| {
                let [a, b, c, d, ..] = name.0;
                u32::from_be_bytes([a, b, c, d]) % of.max(1) + 1
            };
            names.iter().copied().filter(|name| group(name) == number).collect()
        }
        Reading::Percent(percent) => {
            // Rounded up; a share of nothing is nothing.
            let wanted = (names.len() as f64 * percent / 100.0).ceil() as usize;
            shuffled(names.iter().copied()).into_iter().take(wanted).collect()
        }
    }
}

/// How many of `most` objects fall to a pack with `here` of `all`; rounded up, so that every pack has some.
pub(super) fn share(most: u64, here: u64, all: u64) -> usize {
    let share = u128::from(most) * u128::from(here);
    usize::try_from(share.div_ceil(u128::from(all.max(1)))).unwrap_or(usize::MAX)
}

/// So many objects of a pack.
pub(super) fn entries(index: &PackIndex, most: usize) -> Vec<IndexEntry> {
    if most >= index.len() {
        return index.entries().collect();
    }
    let chosen: BTreeSet<usize> = shuffled(0..index.len()).into_iter().take(most).collect();
    chosen.into_iter().filter_map(|number| index.entry(number)).collect()
}

fn shuffled<T: std::hash::Hash>(things: impl Iterator<Item = T>) -> Vec<T> {
    let random = RandomState::new();
    let mut keyed: Vec<_> = things.map(|thing| (random.hash_one(&thing), thing)).collect();
    keyed.sort_unstable_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, thing)| thing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<PackName> {
        (0..40u8).map(|number| PackName([number.wrapping_mul(37); 32])).collect()
    }

    #[test]
    fn all_groups_together_are_everything_and_none_is_read_twice() {
        let mut read = Vec::new();
        for number in 1..=7 {
            read.extend(packs(Reading::Group { number, of: 7 }, &names()));
        }
        let all: BTreeSet<_> = names().into_iter().collect();
        assert_eq!((read.len(), read.into_iter().collect::<BTreeSet<_>>()), (40, all));
    }

    #[test]
    fn a_share_is_rounded_up_and_other_packs_each_time() {
        let read = |percent| packs(Reading::Percent(percent), &names());
        assert_eq!([0.0, 1.0, 5.0, 50.0, 100.0].map(|percent| read(percent).len()), [0, 1, 2, 20, 40]);
        assert!((0..20).any(|_| read(50.0) != read(50.0)));
    }

    #[test]
    fn a_sample_is_spread_over_the_packs() {
        assert_eq!([share(10, 500, 1000), share(10, 1, 1000), share(5000, 10, 20), share(3, 0, 0)], [5, 1, 2500, 0]);
    }
}
