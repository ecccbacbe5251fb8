//! Real servers for tests, and clients that show every byte. A test that cannot have them says so and passes.

#![allow(dead_code, reason = "each test program uses its part of this")]

pub mod dovecot;
pub mod http;
pub mod imap;
pub mod lmtp;
pub mod postfix;
pub mod slapd;
pub mod testbed;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A connection of lines.
struct Lines {
    stream: BufReader<TcpStream>,
}

impl Lines {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// One line without its end.
    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\n"), "the server hung up after {:?}", String::from_utf8_lossy(&line));
        line.truncate(line.trim_ascii_end().len());
        line
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }
}

/// Ports that nobody listens on now; another program could take one before the server does, and then it does not start.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    std::array::from_fn(|at| listeners[at].local_addr().unwrap().port())
}
