//! What `shares` asks of the rows of a map, beyond what import asks.

use super::PendingRow;

/// How the cause of a link ends that no import will make whole: the source does not know whom it names, and neither
/// does the target.
pub const KNOWN_TO_NOBODY: &str = "is known neither to the source nor to the target";

impl PendingRow {
    /// Whether the link waits for somebody whom the source has.
    pub fn is_expected(&self) -> bool {
        !self.cause.ends_with(KNOWN_TO_NOBODY)
    }
}
