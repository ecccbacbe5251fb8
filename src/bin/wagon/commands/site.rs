//! `wagon site`

use super::open;
use crate::cli::workers;
use crate::exit::{CliError, Outcome};
use crate::interrupt;
use crate::render::Screen;
use crate::render::table::{bytes, count};
use clap::{Args, Subcommand};
use serde::Serialize;
use stationwagon::model::text::printable;
use stationwagon::site::Source;
use stationwagon::site::server::description::{Description, Server};
use stationwagon::site::server::draft::{Draft, DraftLogin, SecretSource, secret_source};
use stationwagon::site::server::{self, Examination, ExamineOptions, FirstPass, ServerReport};
use stationwagon::verbs::show::globs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Describe a site of running servers, and look whether it can be reached
#[derive(Debug, Args)]
pub struct SiteArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Check(CheckArgs),
    Init(Box<InitArgs>),
}

/// Log in everywhere, and tell what the servers can do, what gets lost, and how long a first pass takes
///
/// Changes nothing. Ends with status 3 where an account could not be entered.
#[derive(Debug, Args)]
struct CheckArgs {
    /// The site description
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Only accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
    /// Logins at the same time; without it as many as there are cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

/// Ask what is needed to reach a site, and write its description
///
/// What an option says is not asked for. Answers are read from standard input, a line each; an empty one leaves out
/// what can be left out. Passwords are never asked for: the description says where each is.
#[derive(Debug, Args)]
struct InitArgs {
    /// The file to write; nothing may lie there yet
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Ask nothing: what no option says is left out
    #[arg(long)]
    no_questions: bool,
    /// Where the accounts are: ldaps://HOST, or a CSV file or passwd-file
    #[arg(long, value_name = "PLACE")]
    accounts: Option<String>,
    /// Where in the LDAP directory they are: dc=example,dc=org
    #[arg(long, value_name = "DN")]
    base: Option<String>,
    /// As whom the LDAP directory is read
    #[arg(long, value_name = "DN")]
    bind: Option<String>,
    /// Where that one's password is: "file PATH", "env NAME" or "command LINE"
    #[arg(long, value_name = "WHERE")]
    bind_password: Option<String>,
    /// The LDAP directory's schema
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// The server with the mail: imaps://HOST, or imap://HOST for STARTTLS
    #[arg(long, value_name = "URL")]
    imap: Option<String>,
    /// The server with the filters: sieve://HOST
    #[arg(long, value_name = "URL")]
    managesieve: Option<String>,
    /// The server with calendars and contacts: https://HOST/, or the domain, if DNS is to tell it
    #[arg(long, value_name = "URL")]
    dav: Option<String>,
    /// How to log in for the accounts: master, proxy, oauth2 or own
    #[arg(long, value_name = "HOW")]
    login: Option<String>,
    /// The master user or administrator
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Where his password is: "file PATH", "env NAME" or "command LINE"
    #[arg(long, value_name = "WHERE")]
    password: Option<String>,
    /// A CSV file with the columns address and password, for own and oauth2
    #[arg(long, value_name = "FILE")]
    passwords: Option<String>,
    /// How to log in for calendars and contacts, where that is otherwise
    #[arg(long, value_name = "HOW", help_heading = DAV)]
    dav_login: Option<String>,
    /// The administrator there
    #[arg(long, value_name = "NAME", help_heading = DAV)]
    dav_user: Option<String>,
    /// Where his password is: "file PATH", "env NAME" or "command LINE"
    #[arg(long, value_name = "WHERE", help_heading = DAV)]
    dav_password: Option<String>,
    /// A CSV file with the columns address and password, for own and oauth2
    #[arg(long, value_name = "FILE", help_heading = DAV)]
    dav_passwords: Option<String>,
    /// Trust the certificates of this file instead of the system's
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// Trust the key (sha256//BASE64) or the certificate (sha256:HEX) with this SHA-256 alone
    #[arg(long, value_name = "HASH", conflicts_with = "tls_ca")]
    pin: Option<String>,
    /// Look at no certificate, and do without TLS where the URL names none
    #[arg(long, conflicts_with_all = ["tls_ca", "pin"])]
    insecure: bool,
}

const DAV: &str = "Another login for calendars and contacts";

pub fn run(args: &SiteArgs, screen: &Screen) -> Result<Outcome, CliError> {
    match &args.what {
        What::Check(args) => check(args, screen),
        What::Init(args) => init(args, screen),
    }
}

fn check(args: &CheckArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let site = server::open_source(open::files(), &args.file)?;
    screen.warn(site.cautions());
    let wanted = globs(&args.account)?;
    let chosen = |address: &str| wanted.as_ref().is_none_or(|globs| globs.is_match(address));
    interrupt::arm();
    let interrupted = || interrupt::asked();
    let options = ExamineOptions { chosen: &chosen, jobs: workers(args.jobs).get(), interrupted: &interrupted };
    let report = site.examine(&options)?;
    if interrupt::asked() {
        return Err(CliError::Interrupted { go_on: "nothing was changed" });
    }
    screen.report("site check", &report, |out| write_check(out, &report, screen.verbose()))?;
    Ok(if report.all_entered() { Outcome::Done } else { Outcome::Rejected })
}

/// Logins of one server that are told one by one without `--verbose`.
const FAILED_SHOWN: usize = 10;

fn write_check(out: &mut dyn Write, report: &Examination, verbose: bool) -> io::Result<()> {
    let says =
        |software: &Option<String>| software.as_ref().map_or(String::new(), |text| format!(": {}", printable(text)));
    let book = &report.accounts;
    writeln!(out, "accounts: {} in {}{}", book.number, printable(&book.url), says(&book.software))?;
    if book.rejected > 0 {
        writeln!(out, "  {} of it cannot be read; `wagon export` names each", count(book.rejected, "record"))?;
    }
    write_words(out, &book.capabilities)?;
    for server in &report.servers {
        write_server(out, server, &says(&server.software), verbose)?;
    }
    write_list(out, "an export of this site cannot bring", &report.lost_as_source)?;
    write_list(out, "an import into this site cannot leave there", &report.lost_as_target)?;
    write_estimate(out, &report.first_pass)
}

fn write_server(out: &mut dyn Write, server: &ServerReport, says: &str, verbose: bool) -> io::Result<()> {
    let kinds: Vec<_> = server.holds.iter().map(|kind| kind.word()).collect();
    writeln!(out, "\n{}: {}{says}", kinds.join(", "), printable(&server.url))?;
    write_words(out, &server.capabilities)?;
    let all = server.logged_in + server.failed.len() as u64;
    writeln!(out, "  logged in for {} of {}", server.logged_in, count(all, "account"))?;
    let shown = if verbose { server.failed.len() } else { FAILED_SHOWN };
    for failed in server.failed.iter().take(shown) {
        writeln!(out, "  not for {}: {}", printable(&failed.account), printable(&failed.why))?;
    }
    match server.failed.len().saturating_sub(shown) {
        0 => {}
        more => writeln!(out, "  and not for {more} more; --verbose shows them all")?,
    }
    match (server.items, server.bytes) {
        (Some(items), Some(size)) => writeln!(out, "  {}, {}", count(items, "item"), bytes(size)),
        (Some(items), None) => writeln!(out, "  {}", count(items, "item")),
        _ => Ok(()),
    }
}

fn write_words(out: &mut dyn Write, words: &[String]) -> io::Result<()> {
    match words {
        [] => Ok(()),
        words => writeln!(out, "  it can: {}", printable(&words.join(" "))),
    }
}

fn write_list(out: &mut dyn Write, what: &str, sentences: &[String]) -> io::Result<()> {
    if sentences.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{what}:")?;
    sentences.iter().try_for_each(|sentence| writeln!(out, "  - {}", printable(sentence)))
}

fn write_estimate(out: &mut dyn Write, first: &FirstPass) -> io::Result<()> {
    let Some(items) = first.items else {
        return writeln!(out, "\nhow much a first pass moves is not known: the servers do not tell");
    };
    let size = match first.bytes {
        Some(0) if first.at_least => String::new(),
        Some(size) if first.at_least => format!(", at least {}", bytes(size)),
        Some(size) => format!(", {}", bytes(size)),
        None => String::new(),
    };
    writeln!(out, "\na first pass moves {}{size}, in {}", count(items, "item"), count(first.counted, "account"))?;
    match (first.seconds, first.sample_items, first.sample_seconds) {
        (Some(seconds), Some(sample), Some(took)) => {
            let sample = count(sample, "message");
            writeln!(out, "  at most {}, if all is as fast as {sample} read one by one in {took:.1} s", span(seconds))
        }
        _ => Ok(()),
    }
}

/// A time as people say it.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} seconds"),
        s if s < 7200.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.1} hours", s / 3600.0),
    }
}

#[derive(Serialize)]
struct InitReport {
    file: String,
    sections: Vec<&'static str>,
}

fn init(args: &InitArgs, screen: &Screen) -> Result<Outcome, CliError> {
    if open::files().lstat(&args.file).is_ok() {
        return Err(CliError::Usage(format!("{} is there already", args.file.display())));
    }
    let draft = draft(args, &mut Questions::new(args.no_questions))?;
    let description = draft.write(open::files().as_ref(), &args.file)?;
    let sections = description.servers().map(|server: &Server| server.section);
    let report = InitReport {
        file: args.file.display().to_string(),
        sections: std::iter::once("accounts").chain(sections).collect(),
    };
    screen.report("site init", &report, |out| write_init(out, &args.file, &description))?;
    Ok(Outcome::Done)
}

fn write_init(out: &mut dyn Write, file: &Path, description: &Description) -> io::Result<()> {
    writeln!(out, "wrote {}", printable(&file.display().to_string()))?;
    let check = format!("wagon site check {}", file.display());
    for server in description.servers() {
        let Some(domain) = &server.domain else { continue };
        // The description stands, whatever DNS says of it today.
        match server::dav_url(server) {
            Ok(url) => writeln!(out, "{} has its calendars and contacts at {}", domain.name, printable(&url))?,
            Err(error) => writeln!(out, "{}", printable(&error.as_reason().to_string()))?,
        }
    }
    match description.servers().next() {
        Some(_) => writeln!(out, "`{}` tells whether everybody can be logged in", printable(&check)),
        None => {
            writeln!(out, "it names no server for mail, filters, calendars or contacts: only accounts will be moved")
        }
    }
}

fn draft(args: &InitArgs, ask: &mut Questions) -> Result<Draft, CliError> {
    let mut draft =
        Draft { tls_ca: args.tls_ca.clone(), pin: args.pin.clone(), insecure: args.insecure, ..Draft::default() };
    let accounts = ask.about("where are the accounts (ldaps://HOST, or a CSV file or passwd-file)?", &args.accounts)?;
    draft.accounts =
        accounts.ok_or_else(|| CliError::Usage("a site needs accounts; give --accounts PLACE".to_owned()))?;
    if draft.is_ldap() {
        draft.base = ask.about("where in the directory (dc=example,dc=org)?", &args.base)?;
        draft.bind = ask.about("as whom is it read (cn=reader,…; empty: anonymously)?", &args.bind)?;
        if draft.bind.is_some() {
            let question = "where is that one's password (file PATH, env NAME or command LINE)?";
            draft.bind_password = ask.secret(question, &args.bind_password)?;
        }
        draft.preset = ask.about("what schema does it have (empty: the usual one)?", &args.preset)?;
    }
    draft.imap = ask.about("which server has the mail (imaps://HOST; empty: none)?", &args.imap)?;
    draft.managesieve = ask.about("which server has the filters (sieve://HOST; empty: none)?", &args.managesieve)?;
    draft.dav = ask.about(
        "which server has calendars and contacts (https://HOST/, or a domain that DNS tells it of; empty: none)?",
        &args.dav,
    )?;
    if draft.imap.is_none() && draft.managesieve.is_none() && draft.dav.is_none() {
        return Ok(draft);
    }
    let only_dav = draft.imap.is_none() && draft.managesieve.is_none();
    let how = if only_dav && args.dav_login.is_some() { LoginArgs::of_dav(args) } else { LoginArgs::of_all(args) };
    let mode = ask.about("how does one log in for the accounts (master, proxy, oauth2 or own)?", how.mode)?;
    draft.login = login(mode, &how, ask)?;
    if draft.dav.is_some() && !only_dav {
        let how = LoginArgs::of_dav(args);
        let question = "and for calendars and contacts (master, proxy, oauth2 or own; empty: the same way)?";
        if let Some(mode) = ask.about(question, how.mode)? {
            draft.dav_login = login(Some(mode), &how, ask)?;
        }
    }
    Ok(draft)
}

/// What the options say of a login.
struct LoginArgs<'a> {
    mode: &'a Option<String>,
    user: &'a Option<String>,
    password: &'a Option<String>,
    passwords: &'a Option<String>,
}

impl<'a> LoginArgs<'a> {
    fn of_all(args: &'a InitArgs) -> Self {
        Self { mode: &args.login, user: &args.user, password: &args.password, passwords: &args.passwords }
    }

    fn of_dav(args: &'a InitArgs) -> Self {
        let InitArgs { dav_login, dav_user, dav_password, dav_passwords, .. } = args;
        Self { mode: dav_login, user: dav_user, password: dav_password, passwords: dav_passwords }
    }
}

fn login(mode: Option<String>, how: &LoginArgs<'_>, ask: &mut Questions) -> Result<DraftLogin, CliError> {
    let mut login = DraftLogin { mode, passwords: how.passwords.clone(), ..DraftLogin::default() };
    match login.mode.as_deref() {
        Some("master" | "proxy") => {
            login.user = ask.about("who is the master or administrator?", how.user)?;
            login.password =
                ask.secret("where is his password (file PATH, env NAME or command LINE)?", how.password)?;
        }
        Some("oauth2") => {
            login.password = ask.secret(
                "where is the token (file PATH, env NAME or command LINE; empty: each has one)?",
                how.password,
            )?;
        }
        _ => {}
    }
    if matches!(login.mode.as_deref(), Some("own" | "oauth2")) && login.password.is_none() {
        login.passwords = ask.about("which CSV file has the columns address and password?", how.passwords)?;
    }
    Ok(login)
}

/// Asks on standard error, a line at a time, and hears standard input.
struct Questions {
    silent: bool,
    ended: bool,
}

impl Questions {
    fn new(no_questions: bool) -> Self {
        Self { silent: no_questions, ended: false }
    }

    /// What the option says, or what is answered; `None` where it is nothing.
    fn about(&mut self, question: &str, option: &Option<String>) -> Result<Option<String>, CliError> {
        if option.is_some() {
            return Ok(option.clone());
        }
        if self.silent || self.ended {
            return Ok(None);
        }
        // Nobody is asked who cannot see it.
        let _ = write!(io::stderr(), "{question} ");
        let mut answer = String::new();
        let read =
            io::stdin().lock().read_line(&mut answer).map_err(open::io_error("read", Path::new("standard input")))?;
        if !io::stdin().is_terminal() {
            let _ = writeln!(io::stderr());
        }
        self.ended = read == 0;
        Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
    }

    /// Where a secret is. Somebody who types the secret itself is asked again.
    fn secret(&mut self, question: &str, option: &Option<String>) -> Result<Option<SecretSource>, CliError> {
        loop {
            let Some(answer) = self.about(question, option)? else { return Ok(None) };
            match secret_source(&answer) {
                Ok(source) => return Ok(Some(source)),
                Err(why) if option.is_some() || self.ended || !io::stdin().is_terminal() => {
                    return Err(CliError::Usage(why.to_owned()));
                }
                Err(why) => drop(writeln!(io::stderr(), "{why}")),
            }
        }
    }
}
