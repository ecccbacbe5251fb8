//! Pseudo-random numbers that are the same on every machine and in every year: SplitMix64 (Steele, Lea, Flood 2014).

/// A sequence of numbers that its seed decides.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence number `nth` of a kind; sequences of different kinds have nothing to do with one another.
    pub fn of(kind: &str, nth: u64) -> Self {
        // FNV-1a, 64 bits; the number stirred in by one draw.
        let seed = kind
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self(Self(seed ^ nth).next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 for 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True `n` times in 1000.
    pub fn chance(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// One of `choices`; the default of an empty slice.
    pub fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap_or_default();
        choices.get(at).copied().unwrap_or_default()
    }
}
