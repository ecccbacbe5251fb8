//! The connections of the HTTP client: [`Stream`]s, so that a certificate is believed as the description says, and every
//! wait is bounded as everywhere.

use crate::net::{Dialer, Endpoint, NetError, Protection, Scheme, Stream};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

/// HTTP in the open is taken here; whether it may be is decided before.
pub const SCHEMES: &[Scheme] = &[
    Scheme { name: "https", port: 443, protection: Protection::Tls },
    Scheme { name: "http", port: 80, protection: Protection::Plain },
];

/// Makes connections.
pub struct Dial {
    pub dialer: Dialer,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

impl Connector<()> for Dial {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, Error> {
        let (scheme, authority) = (details.uri.scheme_str().unwrap_or_default(), details.uri.authority());
        let url = format!("{scheme}://{}", authority.map(|authority| authority.as_str()).unwrap_or_default());
        let stream = Endpoint::parse(&url, SCHEMES).and_then(|endpoint| Stream::connect(&endpoint, &self.dialer));
        let stream = stream.map_err(|error| Error::Io(io::Error::other(error)))?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Wire { stream, buffers }))
    }
}

/// The [`NetError`] that ended an attempt to connect, if one did.
pub fn net_error(error: io::Error) -> Result<NetError, io::Error> {
    error.downcast::<NetError>()
}

/// Leaves names to [`Stream::connect`].
#[derive(Debug)]
pub struct NoNames;

impl Resolver for NoNames {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut one = self.empty();
        one.push(([0, 0, 0, 0], 0).into());
        Ok(one)
    }
}

/// One connection.
pub struct Wire {
    stream: Stream,
    buffers: LazyBuffers,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).and_then(|()| self.stream.flush()).map_err(timed_out)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome.map_err(timed_out)?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Whether nothing has been heard since the last answer: neither an end nor words that nobody asked for.
    fn is_open(&mut self) -> bool {
        let tcp = self.stream.tcp();
        let silent = || {
            tcp.set_nonblocking(true)?;
            let heard = tcp.peek(&mut [0]);
            tcp.set_nonblocking(false)?;
            heard
        };
        matches!(silent(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn is_tls(&self) -> bool {
        self.stream.is_secure()
    }
}

/// A socket's timeout has two names.
fn timed_out(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock => Error::Io(io::Error::new(ErrorKind::TimedOut, "the server fell silent")),
        _ => Error::Io(error),
    }
}
