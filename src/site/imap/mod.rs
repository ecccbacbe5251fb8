//! IMAP servers as a store of mail.
mod client;
