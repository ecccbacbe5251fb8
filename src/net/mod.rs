//! Reaching servers: where one is ([`Endpoint`]), whether it is who it says ([`TlsPolicy`]), a stream of bytes to it
//! ([`Stream`]), which host gives a service of a domain ([`service`]), and secrets that stand neither on a command line
//! nor in a description ([`SecretSource`]).
//!
//! No protocol is spoken here. Every wait is bounded: a server that says nothing ends in an error, never in a hang.

mod endpoint;
mod error;
mod own_roots;
mod secret;
mod service;
mod stream;
mod tls;

pub use endpoint::{Endpoint, Protection, Scheme};
pub use error::NetError;
pub use secret::SecretSource;
pub use service::{Offer, Service, service};
pub use stream::{Dialer, Stream};
pub use tls::{Pin, TlsPolicy};
