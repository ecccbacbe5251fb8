//! As much IMAP as a test needs: one command, all lines up to its answer.

use super::served::Server;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

pub struct Imap {
    stream: BufReader<TcpStream>,
    count: u32,
    log: PathBuf,
}

impl Imap {
    pub fn login(server: &Server, user: &str, password: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", server.imap_port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut imap = Self { stream: BufReader::new(stream), count: 0, log: server.log.clone() };
        imap.line();
        let answer = imap.run(&format!("LOGIN \"{user}\" \"{password}\""));
        if answer.contains(" OK ") { Ok(imap) } else { Err(answer) }
    }

    /// The untagged answers and the tagged one.
    pub fn run(&mut self, command: &str) -> String {
        self.count += 1;
        let tag = format!("t{} ", self.count);
        self.stream.get_mut().write_all(format!("{tag}{command}\r\n").as_bytes()).unwrap();
        self.until(&tag)
    }

    pub fn append(&mut self, folder: &str, message: &str) {
        self.count += 1;
        let tag = format!("t{} ", self.count);
        let head = format!("{tag}APPEND {folder} {{{}+}}\r\n", message.len());
        self.stream.get_mut().write_all([head.as_str(), message, "\r\n"].concat().as_bytes()).unwrap();
        let answer = self.until(&tag);
        assert!(answer.contains(" OK "), "{answer}");
    }

    fn until(&mut self, tag: &str) -> String {
        let mut all = String::new();
        loop {
            let line = self.line();
            all.push_str(&line);
            if line.starts_with(tag) {
                return all;
            }
            if let Some(size) = line.trim_end().strip_suffix('}').and_then(|rest| rest.rsplit_once('{')) {
                let mut literal = vec![0; size.1.parse().unwrap()];
                self.stream.read_exact(&mut literal).unwrap();
                all.push_str(&String::from_utf8_lossy(&literal));
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(read > 0, "the server hung up: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
        String::from_utf8_lossy(&line).into_owned()
    }
}
