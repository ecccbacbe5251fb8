//! A stream of bytes to a server, in the open or through TLS. Protocols read and write it and never ask which.

use super::{Endpoint, NetError, Protection};
use crate::limits;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

/// A connection. Each read and write waits at most [`limits::SERVER_SILENCE`].
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects; through TLS where the endpoint wants it from the first byte. For [`Protection::StartTls`] the caller
    /// speaks its protocol and then calls [`Stream::secure`].
    pub fn connect(endpoint: &Endpoint, config: &Arc<ClientConfig>) -> Result<Self, NetError> {
        let tcp = dial(endpoint).map_err(|source| NetError::Connect { endpoint: endpoint.to_string(), source })?;
        let stream = Self::Plain(tcp);
        if endpoint.protection == Protection::Tls { stream.secure(endpoint, config) } else { Ok(stream) }
    }

    /// The same connection through TLS from here on. What the server said before this must have been thrown away by the
    /// caller (RFC 9051 11.1): nothing that came in the open is believed.
    pub fn secure(self, endpoint: &Endpoint, config: &Arc<ClientConfig>) -> Result<Self, NetError> {
        let Self::Plain(mut tcp) = self else { return Ok(self) };
        let bad = |source| NetError::Tls { endpoint: endpoint.to_string(), source };
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| bad(io::Error::other(error)))?;
        let mut connection =
            ClientConnection::new(config.clone(), name).map_err(|error| bad(io::Error::other(error)))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).map_err(bad)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, tcp))))
    }

    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
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
            Self::Plain(tcp) => tcp.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buf),
            Self::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
