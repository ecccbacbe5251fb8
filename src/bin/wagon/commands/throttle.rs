//! How hard a pass may lean on a machine that others use: `--max-rate` and `--nice`.

use super::open;
use crate::exit::CliError;
use crate::interrupt;
use clap::Args;
use stationwagon::fs::{Counted, Fs, Throttle, ThrottledFs};
use stationwagon::limits::{KIB, MIB, THROTTLE_LEAST_RATE};
use std::num::NonZeroU64;
use std::sync::Arc;

/// For a site that is in use while a pass runs.
#[derive(Debug, Args)]
pub struct ThrottleArgs {
    /// Most bytes a second: of a site's files, read by an export, written by an import; to and from its servers together.
    /// 512k, 10M
    #[arg(long, value_name = "BYTES", value_parser = rate)]
    max_rate: Option<NonZeroU64>,
    /// Give way to other programs for CPU and disk: 1 (a little) to 19 (run when nobody else does); without N, 10
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = "10",
        value_parser = clap::value_parser!(u8).range(1..=19)
    )]
    nice: Option<u8>,
}

impl ThrottleArgs {
    /// The site's files, no faster than asked for; and this process gives way from now on. To be called before threads
    /// are started, because each inherits the priority of the one that starts it.
    pub fn apply(&self, counted: Counted) -> Result<Arc<dyn Fs>, CliError> {
        if let Some(more) = self.nice {
            // Linux derives the priority of reads and writes from this (best-effort, level (nice + 20) / 5), so that
            // one call lowers both.
            rustix::process::nice(more.into())
                .map_err(|error| CliError::Machine(format!("cannot lower the priority of this process: {error}")))?;
        }
        Ok(match self.max_rate {
            Some(rate) => Arc::new(ThrottledFs::new(open::files(), Throttle::new(rate, interrupt::asked), counted)),
            None => open::files(),
        })
    }
}

/// Bytes, or with k, M or G the 1024-fold of the unit before, as rsync counts.
fn rate(text: &str) -> Result<NonZeroU64, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), KIB),
        Some((at, 'm' | 'M')) => (text.get(..at), MIB),
        Some((at, 'g' | 'G')) => (text.get(..at), 1024 * MIB),
        _ => (Some(text), 1),
    };
    digits
        .and_then(|digits| digits.parse::<u64>().ok())
        .and_then(|number| number.checked_mul(unit))
        .filter(|rate| *rate >= THROTTLE_LEAST_RATE)
        .and_then(NonZeroU64::new)
        .ok_or_else(|| "a rate is bytes a second, at least 1k: 512k, 10M, 1G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_with_a_unit_of_1024() {
        let bytes = |text: &str| rate(text).map(NonZeroU64::get);
        assert_eq!(bytes("1024"), Ok(1024));
        assert_eq!(bytes("512k"), Ok(512 * 1024));
        assert_eq!(bytes("10M"), Ok(10 * 1024 * 1024));
        assert_eq!(bytes("2g"), Ok(2 << 30));
        for wrong in [
            "",
            "k",
            "0",
            "0M",
            "1000",
            "-5M",
            "10 M",
            "10Mbit",
            "1.5M",
            "99999999999999999999",
            "9999999999999G",
            "1é",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong:?}");
        }
    }
}
