//! Bytes to values and back, for everything in an archive. Pure functions: no files, no threads, no clock.
//! Specified in format-spec/; text and code change together.

pub mod archive_header;
pub mod items;
pub mod manifest;
pub mod pack_index;
pub mod parity;
pub mod parity_code;
pub mod segment;
pub mod snapshot;
pub mod tar_entry;

/// What is wrong with bytes that should follow the format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    #[error("format {found} is newer than {known}, the newest this wagon reads")]
    TooNew { found: u32, known: u32 },
    #[error("{what} at byte {at}")]
    Malformed { what: String, at: u64 },
    #[error("line {line}: {what}")]
    BadLine { line: u64, what: String },
    #[error("{what}: {found} is over the bound of {bound}")]
    OverBound { what: &'static str, found: u64, bound: u64 },
}

impl FormatError {
    /// Whether it may be due to damage: what is newer was written so.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::TooNew { .. })
    }
}
