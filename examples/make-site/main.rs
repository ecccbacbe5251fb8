//! Writes a directory site of many small messages, to see how cost grows with their number, and lets a day pass in it.
//!
//!     cargo run --release --example make-site -- --messages N OUT
//!     cargo run --release --example make-site -- --day OUT
//!
//! The mail is made up, and the same arguments give the same site, to the byte and the second. A company of twenty accounts
//! (10,000 messages, 2.5 copies of each letter) is made by itself, so memory does not grow with the site and every core
//! has work. `.make-site` in OUT says what was made; a day passes only where that is found, never in somebody's own mail.

#![allow(clippy::disallowed_methods, reason = "a program that writes files; fs::Fs is for what reads and moves sites")]

mod company;
mod day;
mod dice;
mod letter;
mod maildir;

use company::Company;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, thread};

/// What `.make-site` holds: the size of the site and how many days have passed.
struct State {
    messages: u64,
    days: u64,
}

const STATE: &str = ".make-site";

impl State {
    fn read(site: &Path) -> io::Result<Self> {
        let path = site.join(STATE);
        let text = fs::read_to_string(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}; not made by make-site", path.display()))
        })?;
        let number = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        match (number("messages"), number("days")) {
            (Some(messages), Some(days)) => Ok(Self { messages, days }),
            _ => Err(io::Error::other(format!("{} does not say how many messages and days", path.display()))),
        }
    }

    fn write(&self, site: &Path) -> io::Result<()> {
        fs::write(site.join(STATE), format!("messages {}\ndays {}\n", self.messages, self.days))
    }
}

enum Order {
    Make { messages: u64, site: PathBuf },
    Day { site: PathBuf },
}

const USAGE: &str = "make-site --messages N OUT | make-site --day OUT";

fn order() -> Option<Order> {
    let (mut messages, mut day, mut site) = (None, false, None);
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--messages") => messages = Some(words.next()?.to_str()?.parse().ok().filter(|number| *number > 0)?),
            Some("--day") => day = true,
            Some(option) if option.starts_with('-') => return None,
            _ if site.is_none() => site = Some(PathBuf::from(word)),
            _ => return None,
        }
    }
    match (messages, day) {
        (Some(messages), false) => Some(Order::Make { messages, site: site? }),
        (None, true) => Some(Order::Day { site: site? }),
        _ => None,
    }
}

fn main() -> ExitCode {
    let Some(order) = order() else { return complain(USAGE, 2) };
    let outcome = match order {
        Order::Make { messages, site } => make(messages, &site),
        Order::Day { site } => day_passes(&site),
    };
    outcome.map_or_else(|error| complain(&error.to_string(), 1), |()| ExitCode::SUCCESS)
}

fn complain(text: &str, status: u8) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(status)
}

fn make(messages: u64, site: &Path) -> io::Result<()> {
    fs::create_dir_all(site)?;
    if fs::read_dir(site)?.next().is_some() {
        return Err(io::Error::other(format!("{} is not empty", site.display())));
    }
    for_each_company(messages, |company| company.write(site))?;
    let mut passwd = String::new();
    for company in Company::all(messages) {
        company.passwd(&mut passwd);
    }
    fs::create_dir_all(site.join("etc"))?;
    fs::write(site.join("etc/passwd"), passwd)?;
    State { messages, days: 0 }.write(site)
}

fn day_passes(site: &Path) -> io::Result<()> {
    let mut state = State::read(site)?;
    state.days += 1;
    for_each_company(state.messages, |company| day::pass(&company, site, state.days))?;
    state.write(site)
}

/// Does it for every company of the site, on all cores; which core has which makes no difference to what is written.
fn for_each_company(messages: u64, work: impl Fn(Company) -> io::Result<()> + Sync) -> io::Result<()> {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let one = || {
            while let Some(company) = Company::nth(next.fetch_add(1, Ordering::Relaxed), messages) {
                work(company)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread of make-site died")))
        })
    })
}
