//! A small ManageSieve server that does what it is told, until a test has it do something else.

use super::http::listen;
use super::login;
use stationwagon::fs::RealFs;
use stationwagon::net::{Endpoint, TlsPolicy};
use stationwagon::site::managesieve::{SCHEMES, SieveOptions, SieveStore};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

/// The scripts of everybody, and what was said.
#[derive(Default)]
pub struct Scripts {
    pub scripts: BTreeMap<String, String>,
    pub active: Option<String>,
    /// The first word of each command.
    pub heard: Vec<String>,
}

impl Scripts {
    pub fn count(&self, command: &str) -> usize {
        self.heard.iter().filter(|heard| *heard == command).count()
    }
}

/// What goes wrong with a command.
pub enum Trouble {
    /// The server says this instead of doing it.
    Says(&'static str),
    /// It does it, and its answer is lost.
    Lost,
}

/// A store on a server with these scripts, and those; `trouble` is told the command and how many times it came.
pub fn sieve(
    scripts: Scripts,
    max_connections: usize,
    trouble: impl Fn(&str, usize) -> Option<Trouble> + Send + Sync + 'static,
) -> (SieveStore, Arc<Mutex<Scripts>>) {
    let scripts = Arc::new(Mutex::new(scripts));
    let shared = Arc::clone(&scripts);
    (store(listen(move |stream| serve(stream, &shared, &trouble)), max_connections), scripts)
}

/// A store on the server at this port.
pub fn store(port: u16, max_connections: usize) -> SieveStore {
    let endpoint = Endpoint::parse(&format!("sieve://127.0.0.1:{port}"), SCHEMES).unwrap().in_the_open();
    let (tls, login, insecure) = (TlsPolicy::System, login(), false);
    SieveStore::open(&RealFs, SieveOptions { endpoint, tls, login, insecure, max_connections }).unwrap()
}

pub fn serve(stream: TcpStream, scripts: &Mutex<Scripts>, trouble: &dyn Fn(&str, usize) -> Option<Trouble>) {
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    let _ = out.write_all(b"\"IMPLEMENTATION\" \"small\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n");
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut text = Vec::new();
        if let Some((_, size)) = line.trim_end().strip_suffix("+}").and_then(|line| line.rsplit_once('{')) {
            text = vec![0; size.parse().unwrap()];
            lines.read_exact(&mut text).unwrap();
            lines.read_line(&mut String::new()).unwrap();
        }
        let command = line.split_whitespace().next().unwrap().to_owned();
        let name = line.split('"').nth(1).unwrap_or_default().to_owned();
        let mut scripts = scripts.lock().unwrap();
        scripts.heard.push(command.clone());
        match trouble(&command, scripts.count(&command)) {
            Some(Trouble::Says(said)) => drop(out.write_all(said.as_bytes())),
            Some(Trouble::Lost) => {
                scripts.answer(&command, name, String::from_utf8(text).unwrap());
                return drop(out.shutdown(Shutdown::Both));
            }
            None => {
                let answer = scripts.answer(&command, name, String::from_utf8(text).unwrap());
                let _ = out.write_all(answer.as_bytes());
            }
        }
    }
}

impl Scripts {
    fn answer(&mut self, command: &str, name: String, text: String) -> String {
        match command {
            "LISTSCRIPTS" => {
                let active = |name: &String| if self.active.as_ref() == Some(name) { " ACTIVE" } else { "" };
                let lines = self.scripts.keys().map(|name| format!("\"{name}\"{}\r\n", active(name)));
                lines.collect::<String>() + "OK\r\n"
            }
            "GETSCRIPT" => match self.scripts.get(&name) {
                Some(text) => format!("{{{}}}\r\n{text}\r\nOK\r\n", text.len()),
                None => "NO (NONEXISTENT)\r\n".to_owned(),
            },
            "PUTSCRIPT" => {
                self.scripts.insert(name, text);
                "OK\r\n".to_owned()
            }
            "SETACTIVE" => {
                self.active = Some(name).filter(|name| !name.is_empty());
                "OK\r\n".to_owned()
            }
            "DELETESCRIPT" => match self.scripts.remove(&name) {
                Some(_) => "OK\r\n".to_owned(),
                None => "NO (NONEXISTENT)\r\n".to_owned(),
            },
            _ => "OK\r\n".to_owned(),
        }
    }
}
