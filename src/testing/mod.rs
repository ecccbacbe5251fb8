//! What tests need and production does not, public because connector writers and the demo use it too.

pub mod example_site;
pub mod failing_fs;
pub mod memory_site;
pub mod memory_store;
