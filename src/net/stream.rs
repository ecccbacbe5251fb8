//! A stream of bytes to a server, in the open or through TLS. Protocols read and write it and never ask which.
//!
//! Under `--max-rate` each byte on the wire takes its share of the run's one throttle, in either direction: what a server
//! reads and what it writes cost it the same.

use super::{Endpoint, NetError, Protection};
use crate::fs::Throttle;
use crate::limits;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

/// How connections to a server are made: whom they believe, and how fast they may be.
#[derive(Clone)]
pub struct Dialer {
    pub tls: Arc<ClientConfig>,
    pub throttle: Option<Arc<Throttle>>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("throttled", &self.throttle.is_some()).finish_non_exhaustive()
    }
}

/// A connection. Each read and write waits at most [`limits::SERVER_SILENCE`] for the server.
pub enum Stream {
    Plain(Wire),
    Tls(Box<StreamOwned<ClientConnection, Wire>>),
}

impl Stream {
    /// Connects; through TLS where the endpoint wants it from the first byte. For [`Protection::StartTls`] the caller
    /// speaks its protocol and then calls [`Stream::secure`].
    pub fn connect(endpoint: &Endpoint, dialer: &Dialer) -> Result<Self, NetError> {
        let tcp = dial(endpoint).map_err(|source| NetError::Connect { endpoint: endpoint.to_string(), source })?;
        let stream = Self::Plain(Wire { tcp, throttle: dialer.throttle.clone() });
        if endpoint.protection == Protection::Tls { stream.secure(endpoint, dialer) } else { Ok(stream) }
    }

    /// The same connection through TLS from here on. What the server said before this must have been thrown away by the
    /// caller (RFC 9051 11.1): nothing that came in the open is believed.
    pub fn secure(self, endpoint: &Endpoint, dialer: &Dialer) -> Result<Self, NetError> {
        let Self::Plain(mut wire) = self else { return Ok(self) };
        let bad = |source| NetError::Tls { endpoint: endpoint.to_string(), source };
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| bad(io::Error::other(error)))?;
        let mut connection =
            ClientConnection::new(dialer.tls.clone(), name).map_err(|error| bad(io::Error::other(error)))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut wire).map_err(bad)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, wire))))
    }

    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The connection below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(wire) => &wire.tcp,
            Self::Tls(tls) => &tls.sock.tcp,
        }
    }
}

/// A connection below TLS, whose bytes are counted.
pub struct Wire {
    tcp: TcpStream,
    throttle: Option<Arc<Throttle>>,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(throttle) = &self.throttle else { return self.tcp.read(buf) };
        let piece = throttle.piece(buf.len());
        let read = self.tcp.read(buf.get_mut(..piece).unwrap_or_default())?;
        throttle.pay(read);
        Ok(read)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(throttle) = &self.throttle else { return self.tcp.write(buf) };
        let piece = throttle.piece(buf.len());
        let written = self.tcp.write(buf.get(..piece).unwrap_or_default())?;
        throttle.pay(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

fn dial(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (endpoint.host.as_str(), endpoint.port).to_socket_addrs()?.take(limits::SERVER_ADDRESSES) {
        match TcpStream::connect_timeout(&address, limits::SERVER_CONNECT) {
            Ok(tcp) => {
                tcp.set_read_timeout(Some(limits::SERVER_SILENCE))?;
                tcp.set_write_timeout(Some(limits::SERVER_SILENCE))?;
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(buf),
            Self::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
