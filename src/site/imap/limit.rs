//! How many connections a server is asked for at once: fewer as soon as it refuses one, and one more again after a while in
//! which all went well. Each refusal makes the while twice as long, so that a server with a fixed limit is seldom asked in
//! vain. Pure.

use crate::limits;

pub struct Limit {
    now: usize,
    most: usize,
    /// What went well since the limit last changed.
    good: usize,
    /// How much has to go well before one more is tried.
    needed: usize,
}

impl Limit {
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { now: most, most, good: 0, needed: limits::IMAP_GOOD_FIRST }
    }

    pub fn now(&self) -> usize {
        self.now
    }

    /// A connection was refused while `open` others were there: they are enough.
    pub fn refused(&mut self, open: usize) {
        if self.now < self.most {
            self.needed = self.needed.saturating_mul(2).min(limits::IMAP_GOOD_MOST);
        }
        (self.now, self.good) = (open.max(1), 0);
    }

    /// A connection was given back in good order.
    pub fn went_well(&mut self) {
        self.good += 1;
        if self.now < self.most && self.good >= self.needed {
            (self.now, self.good) = (self.now + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_a_refusal_lowered_rises_again_while_all_goes_well_and_ever_more_slowly() {
        let mut limit = Limit::new(4);
        limit.refused(2);
        assert_eq!(limit.now(), 2);
        let until_more = |limit: &mut Limit| {
            let before = limit.now();
            (1..).find(|_| {
                limit.went_well();
                limit.now() > before
            })
        };
        assert_eq!(until_more(&mut limit), Some(limits::IMAP_GOOD_FIRST));
        limit.refused(2);
        assert_eq!(until_more(&mut limit), Some(2 * limits::IMAP_GOOD_FIRST));
        assert_eq!(until_more(&mut limit), Some(2 * limits::IMAP_GOOD_FIRST));
        assert_eq!(limit.now(), 4);
        (0..10_000).for_each(|_| limit.went_well());
        assert_eq!(limit.now(), 4, "never more than was allowed");
        limit.refused(0);
        assert_eq!(limit.now(), 1, "and never none");
    }
}
