//! The code of parity files: a Reed–Solomon code over GF(2^16), as `reed-solomon-simd` computes it in its high rate.
//!
//! Promises what format-spec/parity.md defines, whatever the library would choose by itself; a test computes the same
//! from the definition there. Shares are of any length that is a multiple of 64.

use reed_solomon_simd::engine::DefaultEngine;
use reed_solomon_simd::rate::{DecoderWork, EncoderWork, HighRateDecoder, HighRateEncoder, RateDecoder, RateEncoder};

pub use reed_solomon_simd::Error as CodeError;

/// Bytes that making parity of `data` shares of `bytes` bytes each takes.
pub fn making_bytes(data: usize, parity: usize, bytes: usize) -> usize {
    data.next_multiple_of(parity.next_power_of_two()) * bytes
}

/// Bytes that restoring takes.
pub fn restoring_bytes(data: usize, parity: usize, bytes: usize) -> usize {
    (parity.next_power_of_two() + data).next_power_of_two() * bytes
}

/// Makes parity; keeps its memory from one use to the next.
#[derive(Default)]
pub struct Maker(Option<EncoderWork>);

impl Maker {
    /// The parity of `data` shares: `next` fills the share of a number, and `take` gets each parity share.
    pub fn make<E: From<CodeError>>(
        &mut self,
        (data, parity, bytes): (usize, usize, usize),
        mut next: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<(), E> {
        let mut encoder = HighRateEncoder::new(data, parity, bytes, DefaultEngine::new(), self.0.take())?;
        let mut share = vec![0; bytes];
        for number in 0..data {
            next(number, &mut share)?;
            encoder.add_original_shard(&share)?;
        }
        let made = encoder.encode()?;
        for (number, share) in made.recovery_iter().enumerate() {
            take(number, share);
        }
        drop(made);
        self.0 = Some(encoder.into_parts().1);
        Ok(())
    }
}

/// One share that is there: of the data, or of the parity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    Data(usize),
    Parity(usize),
}

/// Restores what is missing; keeps its memory from one use to the next.
#[derive(Default)]
pub struct Restorer(Option<DecoderWork>);

impl Restorer {
    /// Restores all data shares that are not among `there`, from at least as many shares as there are of data: `next` fills
    /// each of `there`, and `take` gets each restored one.
    pub fn restore<E: From<CodeError>>(
        &mut self,
        (data, parity, bytes): (usize, usize, usize),
        there: impl Iterator<Item = Share>,
        mut next: impl FnMut(Share, &mut [u8]) -> Result<(), E>,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<(), E> {
        let mut decoder = HighRateDecoder::new(data, parity, bytes, DefaultEngine::new(), self.0.take())?;
        let mut bytes_of = vec![0; bytes];
        for share in there {
            next(share, &mut bytes_of)?;
            match share {
                Share::Data(number) => decoder.add_original_shard(number, &bytes_of)?,
                Share::Parity(number) => decoder.add_recovery_shard(number, &bytes_of)?,
            }
        }
        let restored = decoder.decode()?;
        for (number, share) in restored.restored_original_iter() {
            take(number, share);
        }
        drop(restored);
        self.0 = Some(decoder.into_parts().1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code as format-spec/parity.md defines it, with nothing but multiplication of polynomials.
    mod by_definition {
        const BASIS: [u32; 16] = [
            0x0001, 0xacca, 0x3c0e, 0x163e, 0xc582, 0xed2e, 0x914c, 0x4012, 0x6c98, 0x10d8, 0x6a72, 0xb900, 0xfdb8,
            0xfb34, 0xff38, 0x991e,
        ];

        fn times(mut a: u32, mut b: u32) -> u32 {
            let mut product = 0;
            while b > 0 {
                if b & 1 == 1 {
                    product ^= a;
                }
                (a, b) = (a << 1, b >> 1);
                if a & 0x1_0000 != 0 {
                    a ^= 0x1_002d;
                }
            }
            product
        }

        fn inverse(a: u32) -> u32 {
            // a^(2^16 - 2)
            let mut result = 1;
            for bit in (0..16).rev() {
                result = times(result, result);
                if bit > 0 {
                    result = times(result, a);
                }
            }
            result
        }

        /// The element of the field that a number stands for.
        fn element(number: u32) -> u32 {
            (0..16).filter(|bit| number >> bit & 1 == 1).fold(0, |sum, bit| sum ^ BASIS[bit as usize])
        }

        fn number(element_wanted: u32) -> u32 {
            (0..65_536).find(|&number| element(number) == element_wanted).unwrap()
        }

        /// The parity symbol `j` of `data` symbols, all as numbers.
        pub fn parity(data: &[u32], parity: usize, j: u32) -> u32 {
            let chunk = parity.next_power_of_two() as u32;
            let mut sum = 0;
            for (i, symbol) in (0u32..).zip(data) {
                let at = chunk + i;
                let mut weight = element(at - at % chunk);
                for _ in 0..chunk.trailing_zeros() {
                    weight ^= times(weight, weight);
                }
                let factor = times(weight, inverse(element(at) ^ element(j)));
                sum ^= times(factor, element(*symbol));
            }
            number(sum)
        }
    }

    fn symbol(share: &[u8], at: usize) -> u32 {
        let (cell, within) = (at / 32 * 64, at % 32);
        u32::from(share[cell + within]) | u32::from(share[cell + 32 + within]) << 8
    }

    fn made(data: &[Vec<u8>], parity: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let fill = |number: usize, share: &mut [u8]| -> Result<(), CodeError> {
            share.copy_from_slice(&data[number]);
            Ok(())
        };
        Maker::default().make((data.len(), parity, data[0].len()), fill, |_, share| out.push(share.to_vec())).unwrap();
        out
    }

    fn some_data(shares: usize, bytes: usize) -> Vec<Vec<u8>> {
        let mut state = 12_345u32;
        let mut byte = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..shares).map(|_| (0..bytes).map(|_| byte()).collect()).collect()
    }

    #[test]
    fn the_library_computes_what_the_specification_defines() {
        for (shares, parity) in [(1, 1), (3, 1), (7, 3), (20, 2), (40, 5), (5, 9)] {
            let data = some_data(shares, 128);
            let found = made(&data, parity);
            for at in [0, 31, 32, 63] {
                let symbols: Vec<u32> = data.iter().map(|share| symbol(share, at)).collect();
                for (j, share) in found.iter().enumerate() {
                    let expected = by_definition::parity(&symbols, parity, j as u32);
                    assert_eq!(symbol(share, at), expected, "{shares} and {parity}, parity {j}, symbol {at}");
                }
            }
        }
    }

    #[test]
    fn as_many_as_there_is_parity_may_be_missing() {
        let data = some_data(30, 64);
        let parity = made(&data, 4);
        let missing = [0, 7, 28, 29];
        let there = (0..30).filter(|number| !missing.contains(number)).map(Share::Data);
        let there = there.chain((0..4).map(Share::Parity));
        let mut found = Vec::new();
        let fill = |share: Share, out: &mut [u8]| -> Result<(), CodeError> {
            out.copy_from_slice(match share {
                Share::Data(number) => &data[number],
                Share::Parity(number) => &parity[number],
            });
            Ok(())
        };
        Restorer::default()
            .restore((30, 4, 64), there, fill, |number, share| found.push((number, share.to_vec())))
            .unwrap();
        let expected: Vec<_> = missing.iter().map(|&number| (number, data[number].clone())).collect();
        assert_eq!(found, expected);
    }
}
