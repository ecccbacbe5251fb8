//! `wagon site check`: logs in everywhere for every account, and tells what the servers say of themselves, what gets
//! lost in which direction, and how long a first pass takes. Changes nothing.
//!
//! The time is measured, not guessed: some messages of the largest mailbox are read one after the other, and what all
//! mailboxes have is put in proportion. A pass fetches several at once, so it needs less.

use super::{ServerSite, Store, Survey};
use crate::limits::{SAMPLE_BYTES, SAMPLE_ITEMS, SAMPLE_TIME};
use crate::model::mailbox::FolderKind;
use crate::model::provisioning::{AccountStatus, Record};
use crate::site::{Content, Depth, FolderScan, SiteError, Source, Target};
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What is to be looked at.
pub struct ExamineOptions<'a> {
    /// Accounts for which one logs in.
    pub chosen: &'a (dyn Fn(&str) -> bool + Sync),
    /// Threads that log in.
    pub jobs: usize,
    /// Whether the user asked to stop.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// What a site of servers is like.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    pub site: String,
    pub accounts: BookReport,
    pub servers: Vec<ServerReport>,
    /// A sentence each: what an export of this site cannot bring.
    pub lost_as_source: Vec<String>,
    /// A sentence each: what an import into this site cannot leave there.
    pub lost_as_target: Vec<String>,
    pub first_pass: FirstPass,
}

/// Where the accounts are.
#[derive(Clone, Debug, Serialize)]
pub struct BookReport {
    pub url: String,
    pub software: Option<String>,
    pub capabilities: Vec<String>,
    pub number: u64,
    /// Records that cannot be read.
    pub rejected: u64,
}

/// A server that holds folders.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    pub url: String,
    /// Kinds of folders.
    pub holds: Vec<FolderKind>,
    pub software: Option<String>,
    pub capabilities: Vec<String>,
    pub cannot_give: Vec<String>,
    pub cannot_hold: Vec<String>,
    /// Of the accounts whose server tells.
    pub items: Option<u64>,
    pub bytes: Option<u64>,
    /// Some account has items and does not tell their size.
    pub at_least: bool,
    pub logged_in: u64,
    pub failed: Vec<FailedLogin>,
}

/// An account that could not be entered.
#[derive(Clone, Debug, Serialize)]
pub struct FailedLogin {
    pub account: String,
    pub why: String,
}

/// What a first pass would have to move, and how fast a sample of it came.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FirstPass {
    /// Of all servers together, as far as they tell.
    pub items: Option<u64>,
    pub bytes: Option<u64>,
    /// Some server with items does not tell their size.
    pub at_least: bool,
    /// Accounts that were counted.
    pub counted: u64,
    /// At most so long, in seconds; less, because a pass fetches several messages at once.
    pub seconds: Option<f64>,
    pub sample_items: Option<u64>,
    pub sample_bytes: Option<u64>,
    pub sample_seconds: Option<f64>,
}

impl Examination {
    /// Whether every account could be entered everywhere.
    pub fn all_entered(&self) -> bool {
        self.servers.iter().all(|server| server.failed.is_empty()) && self.accounts.rejected == 0
    }
}

impl ServerSite {
    /// Looks at everything. An account that cannot be entered is told; only a book that cannot be read is an error.
    pub fn examine(&self, options: &ExamineOptions<'_>) -> Result<Examination, SiteError> {
        let book = self.book().survey()?;
        let found = self.provisioning()?;
        let all: Vec<&str> = found
            .records
            .iter()
            .filter_map(|found| match &found.record {
                // Whoever is closed can often not be entered, and is told of by the pass itself.
                Record::Account(account) if account.status != AccountStatus::Closed => Some(account.address.as_str()),
                _ => None,
            })
            .collect();
        let accounts: Vec<&str> = all.iter().copied().filter(|address| (options.chosen)(address)).collect();
        let mut servers = Vec::new();
        let mut largest = None;
        for store in self.stores() {
            let (report, heaviest) = examine_store(store, &accounts, options);
            if store.kinds().contains(&FolderKind::Mail) {
                largest = heaviest;
            }
            servers.push(report);
        }
        let sum =
            |part: fn(&ServerReport) -> Option<u64>| servers.iter().filter_map(part).reduce(|a, b| a.saturating_add(b));
        let mut first_pass = FirstPass {
            items: sum(|server| server.items),
            bytes: sum(|server| server.bytes),
            at_least: servers.iter().any(|server| server.at_least),
            counted: accounts.len() as u64,
            ..FirstPass::default()
        };
        if let Some(account) = largest {
            self.time_a_sample(account, &mut first_pass);
        }
        let lost = |own: &dyn Fn(&ServerReport) -> Vec<String>, book: &[String], more: Vec<String>| {
            let named =
                servers.iter().flat_map(|server| own(server).into_iter().map(|what| format!("{}: {what}", server.url)));
            let book = book.iter().map(|what| format!("{}: {what}", self.book().locator()));
            book.chain(named).chain(more).collect::<Vec<_>>()
        };
        let lost_as_source = lost(&|server| server.cannot_give.clone(), &book.cannot_give, self.gives_not());
        let lost_as_target = lost(&|server| server.cannot_hold.clone(), &book.cannot_hold, self.holds_not());
        Ok(Examination {
            site: self.describe()?.locator,
            accounts: BookReport {
                url: self.book().locator(),
                software: book.software,
                capabilities: book.capabilities,
                number: all.len() as u64,
                rejected: found.rejected.len() as u64,
            },
            servers,
            lost_as_source,
            lost_as_target,
            first_pass,
        })
    }

    /// Kinds of folders that no server of this site holds.
    fn lacking(&self) -> Vec<String> {
        let kinds = [
            (FolderKind::Mail, "mail: [mail] imap names no server"),
            (FolderKind::Filters, "filters: [filters] managesieve names no server"),
            (FolderKind::Calendars, "calendars, contacts and tasks: [groupware] dav names no server"),
            (FolderKind::Files, "files: no server of a site description holds them"),
        ];
        kinds.into_iter().filter(|(kind, _)| self.store(*kind).is_none()).map(|(_, what)| what.to_owned()).collect()
    }

    fn gives_not(&self) -> Vec<String> {
        let mut lost = self.lacking();
        lost.push("identities, signatures, preferences, tags and external sources: no protocol tells them".to_owned());
        lost.push("mountpoints: what is shared is told by the owner's folders alone".to_owned());
        lost
    }

    fn holds_not(&self) -> Vec<String> {
        let mut lost = self.lacking();
        let capabilities = self.capabilities();
        let settings: Vec<_> = capabilities.unsupported_settings.iter().map(|(kind, _)| kind.word()).collect();
        if !settings.is_empty() {
            lost.push(format!("settings of these kinds: {}", settings.join(", ")));
        }
        if !capabilities.all_grantees {
            lost.push("shares with lists, domains, classes of service and guests".to_owned());
        }
        lost
    }

    /// Reads some messages of an account, one by one, and puts the whole in proportion.
    fn time_a_sample(&self, account: &str, first_pass: &mut FirstPass) {
        let began = Instant::now();
        let (mut items, mut bytes) = (0_u64, 0_u64);
        let enough =
            |items: u64, bytes: u64| items >= SAMPLE_ITEMS || bytes >= SAMPLE_BYTES || began.elapsed() >= SAMPLE_TIME;
        let Some(store) = self.store(FolderKind::Mail) else { return };
        let Ok(mailbox) = store.mailbox(account) else { return };
        for found in mailbox.folders {
            if enough(items, bytes) {
                break;
            }
            let Ok(FolderScan::Listed(listing)) = store.folder(account, &found.key, None, Depth::Marks) else {
                continue;
            };
            for item in listing.items.iter() {
                if enough(items, bytes) {
                    break;
                }
                match store.read(account, &found.key, &item) {
                    Ok(Content::Bytes { bytes: content, .. }) => bytes = bytes.saturating_add(content.len() as u64),
                    Ok(Content::Large { .. } | Content::Vanished | Content::Rejected(_)) | Err(_) => continue,
                }
                items += 1;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        if items == 0 {
            return;
        }
        (first_pass.sample_items, first_pass.sample_bytes) = (Some(items), Some(bytes));
        first_pass.sample_seconds = Some(seconds);
        let by_items = first_pass.items.map(|all| seconds * all as f64 / items as f64);
        let by_bytes = first_pass.bytes.filter(|_| bytes > 0).map(|all| seconds * all as f64 / bytes as f64);
        first_pass.seconds = match (by_items, by_bytes) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
}

/// Logs in for every account; the report, and the account with the most.
fn examine_store<'a>(
    store: &dyn Store,
    accounts: &[&'a str],
    options: &ExamineOptions<'_>,
) -> (ServerReport, Option<&'a str>) {
    let next = AtomicUsize::new(0);
    let seen: Mutex<Vec<(&'a str, Result<Survey, SiteError>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, accounts.len().max(1)) {
            scope.spawn(|| {
                while let Some(account) = accounts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if (options.interrupted)() {
                        return;
                    }
                    let survey = store.survey(account);
                    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((account, survey));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    seen.sort_by_key(|(account, _)| *account);
    let mut report = ServerReport {
        url: store.locator(),
        holds: store.kinds().to_vec(),
        software: None,
        capabilities: Vec::new(),
        cannot_give: Vec::new(),
        cannot_hold: Vec::new(),
        items: None,
        bytes: None,
        at_least: false,
        logged_in: 0,
        failed: Vec::new(),
    };
    let (mut largest, mut most) = (None, None);
    for (account, outcome) in seen {
        match outcome {
            Ok(survey) => {
                report.logged_in += 1;
                let add = |sum: &mut Option<u64>, more: Option<u64>| {
                    if let Some(more) = more {
                        *sum = Some(sum.unwrap_or(0).saturating_add(more));
                    }
                };
                add(&mut report.items, survey.items);
                add(&mut report.bytes, survey.bytes);
                report.at_least |= survey.bytes.is_none() && survey.items.is_some_and(|items| items > 0);
                if largest.is_none() || survey.items > most {
                    (largest, most) = (Some(account), survey.items);
                }
                report.software = report.software.or(survey.software);
                let union = |all: &mut Vec<String>, more: Vec<String>| {
                    all.extend(more);
                    all.sort();
                    all.dedup();
                };
                union(&mut report.capabilities, survey.capabilities);
                union(&mut report.cannot_give, survey.cannot_give);
                union(&mut report.cannot_hold, survey.cannot_hold);
            }
            Err(error) => {
                let why = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
                let why = why.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                report.failed.push(FailedLogin { account: account.to_owned(), why });
            }
        }
    }
    (report, largest)
}
