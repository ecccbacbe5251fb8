//! What a user does, one folder a verb. A verb works on an archive and on sites behind their traits; it names no
//! connector, prints nothing, and uses no other verb.

pub mod export;
pub mod forget;
pub mod import;
pub mod passphrase;
pub mod protect;
pub mod prune;
pub mod repair;
pub mod rollback;
pub mod shares;
pub mod show;
pub mod verify;
