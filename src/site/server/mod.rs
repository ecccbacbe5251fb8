//! A site made of running servers: one [`Book`] with the provisioning, and [`Store`]s that hold folders of different kinds
//! (IMAP mail, ManageSieve filters, DAV calendars and contacts). Which ones, a site description says.
//!
//! A connector of one protocol implements [`Book`] or [`Store`] and knows nothing of the others.

mod book;
mod login;
mod store;

pub use book::{Book, PlannedRecords};
pub use login::{Credentials, Login, LoginMode};
pub use store::{Store, Survey};
