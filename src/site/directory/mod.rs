//! Not written yet.
pub mod target;
