//! Messages taken apart into trace, skeleton and parts, and joined again, byte for byte (architecture, section 3).
//!
//! Promises that [`join`] gives back what [`split`] took apart, for any bytes: `split` has joined them before it answers.
//! Where the cuts fall is a matter of size, never of correctness; broken MIME costs size. Pure functions, linear in the
//! message. Called by the export and by whoever reads objects. Format: format-spec/message.md.

mod base64_body;
mod header;
mod join;
mod likeness;
mod line_ends;
mod outline;
mod refers;
mod scan;
mod skeleton;
mod split;
mod trace;

#[cfg(test)]
mod tests;

pub use join::{Fetch, JoinError, join};
pub use likeness::{Likeness, likeness};
pub use line_ends::{CrlfWriter, with_crlf};
pub use outline::outline;
pub use refers::{likeness_of, parts_of, skeleton_of};
pub use skeleton::{RECIPE_HEAD, encode_recipe, parse_recipe};
pub use split::{Part, Split, split};
pub use trace::end as trace_end;
