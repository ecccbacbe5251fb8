//! A proxy between wagon and an IMAP server that does what networks and servers do to each other: connections break at a
//! byte, bytes come late, slowly or garbled, and the server refuses a command or says goodbye.
//!
//! It understands lines and literals, so what it says in the server's name never lands inside of an answer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What goes wrong from now on.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The connection that carries this byte to the server, counted over all connections, breaks there; once.
    pub cut_up: Option<u64>,
    /// The same for bytes to the client.
    pub cut_down: Option<u64>,
    /// The connection breaks where the server says this; once.
    pub lose: Option<&'static str>,
    /// Each connection breaks after so many bytes to the client.
    pub each_down: Option<u64>,
    /// Before each piece that goes to the client.
    pub delay: Duration,
    /// Bytes a second to the client.
    pub rate: Option<u64>,
    /// This byte to the client arrives as another; once.
    pub garble: Option<u64>,
    /// Bytes go to the server as they come, for a protocol that does not end everything with a line. Nothing is refused then.
    pub raw: bool,
    /// Of everything that the server can, it says IMAP4rev1 and AUTH=PLAIN alone.
    pub plain: bool,
    /// These words of the server's arrive as others, of the same length.
    pub rename: &'static [(&'static str, &'static str)],
    /// Commands that begin with this (with a `*` before it: have it anywhere) are answered so, the next few times. An answer that begins with `*` is the last one.
    pub refuse: Option<(&'static str, &'static str, usize)>,
    /// The same from the moment on at which a connection was lost.
    pub then_refuse: Option<(&'static str, &'static str, usize)>,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub connections: u64,
    pub up: u64,
    pub down: u64,
    /// Commands that a fault touched.
    pub faults: u64,
}

#[derive(Default)]
struct State {
    faults: Faults,
    counts: Counts,
}

pub struct Proxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// A proxy to that port of this machine.
    pub fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { continue };
                lock(&shared).counts.connections += 1;
                serve(client, server, &shared);
            }
        });
        Self { port, state }
    }

    /// These faults from now on, and none of those before; the counts begin at zero.
    pub fn set(&self, faults: Faults) {
        *lock(&self.state) = State { faults, counts: Counts::default() };
    }

    pub fn counts(&self) -> Counts {
        lock(&self.state).counts
    }
}

/// The way to the client: what is inside of an answer, and what is to be said behind it.
struct Down {
    client: TcpStream,
    lines: Lines,
    waiting: Vec<u8>,
    /// The tag of the last command that the server answered.
    answered: String,
}

impl Down {
    fn say(&mut self, text: &[u8]) {
        self.waiting.extend_from_slice(text);
        self.flush();
    }

    fn flush(&mut self) {
        if self.lines.at_boundary() && !self.waiting.is_empty() {
            let _ = self.client.write_all(&std::mem::take(&mut self.waiting));
        }
    }
}

/// Follows lines and literals of one direction.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    /// Where in it the part behind the last literal begins.
    from: usize,
    literal: u64,
}

impl Lines {
    fn at_boundary(&self) -> bool {
        self.line.is_empty() && self.literal == 0
    }

    /// Takes a byte; a whole line, without its end, where this ends one. A line that ends in a literal goes on behind it.
    fn take(&mut self, byte: u8) -> Option<Vec<u8>> {
        if self.literal > 0 {
            self.literal -= 1;
            return None;
        }
        self.line.push(byte);
        if byte != b'\n' {
            return None;
        }
        if let Some(size) = literal(&self.line[self.from..]) {
            (self.literal, self.from) = (size, self.line.len());
            return None;
        }
        self.from = 0;
        Some(std::mem::take(&mut self.line))
    }
}

/// The size of the literal that a line ends with, synchronizing or not.
fn literal(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    let digits = text.strip_suffix('}')?.rsplit_once('{')?.1;
    digits.trim_end_matches('+').parse().ok()
}

fn serve(client: TcpStream, server: TcpStream, state: &Arc<Mutex<State>>) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let down = Arc::new(Mutex::new(Down {
        client: client.try_clone().unwrap(),
        lines: Lines::default(),
        waiting: Vec::new(),
        answered: String::new(),
    }));
    let (up_state, up_down) = (state.clone(), down.clone());
    let (up_client, up_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        upward(up_client.try_clone().unwrap(), up_server.try_clone().unwrap(), &up_state, &up_down);
        let _ = (up_client.shutdown(Shutdown::Both), up_server.shutdown(Shutdown::Both));
    });
    let state = state.clone();
    thread::spawn(move || {
        downward(server.try_clone().unwrap(), &state, &down);
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
}

/// Client to server. A line is held until it is whole, so that it can be refused; so is a literal's line.
fn upward(mut client: TcpStream, mut server: TcpStream, state: &Mutex<State>, down: &Mutex<Down>) {
    let mut buffer = [0; 16 * 1024];
    let mut lines = Lines::default();
    // The bytes of a command as far as they have come, and whether they are thrown away.
    let (mut held, mut refused): (Vec<u8>, Option<(String, &'static str)>) = (Vec::new(), None);
    // The tag of the command that went to the server last.
    let (mut last, mut starts_command) = (String::new(), false);
    loop {
        let Ok(count @ 1..) = client.read(&mut buffer) else { return };
        if lock(state).faults.raw {
            if !forward(&buffer[..count], &mut server, state) {
                return;
            }
            continue;
        }
        for &byte in &buffer[..count] {
            let in_literal = lines.literal > 0;
            let first_line = lines.line.is_empty() && !in_literal;
            if first_line && refused.is_none() {
                held.clear();
                starts_command = true;
            }
            held.push(byte);
            let whole = lines.take(byte).is_some();
            let line_ends = byte == b'\n' && !in_literal;
            if line_ends && refused.is_none() {
                refused = refusal(&held, state);
                let waits = held.ends_with(b"}\r\n") && !held.ends_with(b"+}\r\n");
                if let Some((tag, answer)) = &refused
                    && waits
                {
                    // The client waits to be asked for its literal; it is told no instead.
                    if !tell(down, &last, tag, answer) {
                        return;
                    }
                    (refused, lines) = (None, Lines::default());
                    held.clear();
                    continue;
                }
            }
            if let Some((tag, answer)) = &refused {
                if whole {
                    if !tell(down, &last, tag, answer) {
                        return;
                    }
                    refused = None;
                    held.clear();
                }
                continue;
            }
            // Whole lines and the bytes of literals go on; of the rest it is not known yet whether they are refused.
            if line_ends || in_literal {
                if starts_command && line_ends {
                    let tag = held.split(|&byte| byte == b' ').next().unwrap_or_default();
                    last = String::from_utf8_lossy(tag).into_owned();
                }
                starts_command = false;
                if !forward(&held, &mut server, state) {
                    return;
                }
                held.clear();
            }
        }
    }
}

/// How the command in this line is refused, if it is.
fn refusal(line: &[u8], state: &Mutex<State>) -> Option<(String, &'static str)> {
    let text = String::from_utf8_lossy(line).into_owned();
    let mut state = lock(state);
    let (word, answer, left) = state.faults.refuse.as_mut()?;
    let (tag, command) = text.split_once(' ')?;
    let command = command.to_ascii_uppercase();
    let is_it = word.strip_prefix('*').map_or(command.starts_with(*word), |within| command.contains(within));
    if *left == 0 || !is_it {
        return None;
    }
    *left -= 1;
    let answer = *answer;
    state.counts.faults += 1;
    Some((tag.to_owned(), answer))
}

/// Says it in the server's name, once that has answered what came `before`; `false` where that was the last word.
fn tell(down: &Mutex<Down>, before: &str, tag: &str, answer: &str) -> bool {
    let last = answer.starts_with('*');
    // An answer to AUTHENTICATE or to a command that broke off may never come.
    for _ in 0..50 {
        if last || before.is_empty() || lock(down).answered == before {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let text = if last { format!("{answer}\r\n") } else { format!("{tag} {answer}\r\n") };
    lock(down).say(text.as_bytes());
    !last
}

fn forward(bytes: &[u8], server: &mut TcpStream, state: &Mutex<State>) -> bool {
    let keep = {
        let mut state = lock(state);
        let before = state.counts.up;
        state.counts.up += bytes.len() as u64;
        match state.faults.cut_up {
            Some(at) if at < state.counts.up => {
                state.faults.cut_up = None;
                state.counts.faults += 1;
                Some(usize::try_from(at - before).unwrap())
            }
            _ => None,
        }
    };
    match keep {
        Some(keep) => {
            let _ = server.write_all(&bytes[..keep]);
            false
        }
        None => server.write_all(bytes).is_ok(),
    }
}

/// Hides every extension, where the server tells them in one piece.
fn hide(bytes: &[u8]) -> Vec<u8> {
    let text = b"CAPABILITY IMAP4rev1";
    let Some(at) = bytes.windows(text.len()).position(|window| window == text) else { return bytes.to_vec() };
    let rest = &bytes[at + text.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b']' | b'\r')).unwrap_or(rest.len());
    [&bytes[..at], text, b" AUTH=PLAIN", &rest[end..]].concat()
}

/// Server to client, through the faults.
fn downward(mut server: TcpStream, state: &Mutex<State>, down: &Mutex<Down>) {
    let mut read = [0; 16 * 1024];
    let mut sent = 0_u64;
    loop {
        let Ok(count @ 1..) = server.read(&mut read) else { return };
        let plain = lock(state).faults.plain;
        let mut buffer = if plain { hide(&read[..count]) } else { read[..count].to_vec() };
        for (word, other) in lock(state).faults.rename {
            while let Some(at) = buffer.windows(word.len()).position(|window| window == word.as_bytes()) {
                buffer[at..at + word.len()].copy_from_slice(other.as_bytes());
            }
        }
        let count = buffer.len();
        let (faults, before) = {
            let mut state = lock(state);
            let before = state.counts.down;
            state.counts.down += count as u64;
            (state.faults.clone(), before)
        };
        let after = before + count as u64;
        if let Some(at) = faults.garble.filter(|at| (before..after).contains(at)) {
            buffer[usize::try_from(at - before).unwrap()] ^= 0x15;
            let mut state = lock(state);
            state.faults.garble = None;
            state.counts.faults += 1;
        }
        let mut keep = count;
        if let Some(at) = faults.cut_down.filter(|at| *at < after) {
            keep = usize::try_from(at.saturating_sub(before)).unwrap();
            lock(state).faults.cut_down = None;
        }
        if let Some(text) = faults.lose
            && let Some(at) = buffer[..count].windows(text.len()).position(|window| window == text.as_bytes())
        {
            keep = keep.min(at);
            let mut state = lock(state);
            state.faults.lose = None;
            state.faults.refuse = state.faults.then_refuse.take().or(state.faults.refuse);
        }
        if let Some(each) = faults.each_down {
            keep = keep.min(usize::try_from(each.saturating_sub(sent)).unwrap());
        }
        thread::sleep(faults.delay);
        if let Some(rate) = faults.rate {
            thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
        }
        let mut down = lock(down);
        for &byte in &buffer[..keep] {
            if let Some(line) = down.lines.take(byte) {
                let tag =
                    String::from_utf8_lossy(line.split(|&byte| byte == b' ').next().unwrap_or_default()).into_owned();
                down.answered =
                    if ["*", "+"].contains(&tag.as_str()) { std::mem::take(&mut down.answered) } else { tag };
            }
        }
        if down.client.write_all(&buffer[..keep]).is_err() {
            return;
        }
        down.flush();
        sent += keep as u64;
        if keep < count {
            lock(state).counts.faults += 1;
            return;
        }
    }
}
