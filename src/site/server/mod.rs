//! A site made of running servers: one [`Book`] with the provisioning, and [`Store`]s that hold folders of different kinds
//! (IMAP mail, ManageSieve filters, DAV calendars and contacts). Which ones, a site description says.
//!
//! A connector of one protocol implements [`Book`] or [`Store`] and knows nothing of the others.

mod accounts;
mod book;
mod connect;
pub mod csv_file;
pub mod description;
pub mod draft;
mod examine;
mod file_book;
mod list_book;
mod login;
mod passwords;
mod raw;
mod secret_key;
mod section;
mod site;
mod state;
mod store;
mod target;

pub use book::Book;
pub use connect::{dav_url, open_source, open_target};
pub use description::Description;
pub use examine::{Examination, ExamineOptions, FailedLogin, FirstPass, ServerReport};
pub use file_book::{FileBook, Use};
pub use login::{Credentials, Login, LoginMode, Token, no_other};
pub use site::ServerSite;
pub use state::State;
pub use store::{Store, Survey};
