//! Every bound, size and threshold, with its unit, its reason and the damage that it prevents.
//!
//! Input is hostile: a length is read, compared with one of these, and only then allocated. Reaching a bound is a
//! reported reason, never a crash.
//!
//! One file a topic; all names lie flat in here, so that a bound may move to another file without its users.

mod archive;
mod crypt;
mod dav;
mod description;
mod directory;
mod export;
mod imap;
mod import;
mod ldap;
mod managesieve;
mod message;
mod parity;
mod server;
mod shares;
mod shelf;
mod show;
mod site;
mod throttle;
mod upkeep;

pub use archive::*;
pub use crypt::*;
pub use dav::*;
pub use description::*;
pub use directory::*;
pub use export::*;
pub use imap::*;
pub use import::*;
pub use ldap::*;
pub use managesieve::*;
pub use message::*;
pub use parity::*;
pub use server::*;
pub use shares::*;
pub use shelf::*;
pub use show::*;
pub use site::*;
pub use throttle::*;
pub use upkeep::*;

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;
