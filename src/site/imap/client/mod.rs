//! Speaking IMAP (RFC 3501, RFC 9051) over one connection: greeting, STARTTLS, login, commands sent ahead of their
//! answers, answers as typed values.
//!
//! Knows nothing of accounts, folders of ours or what is done with an answer. Everything a server sends is bounded before
//! it is held.

pub mod answer;
mod append;
mod code;
mod command;
mod connection;
mod login;
mod start;
pub mod utf7;
mod value;
pub mod wire;

pub use answer::{Fetched, Listed, Status, Untagged, set_of};
pub use append::{Mended, Message};
pub use code::{Code, Said};
pub use command::Command;
pub use connection::{Connection, Selected, Sent};
pub use start::{ClientOptions, connect, is_here};
