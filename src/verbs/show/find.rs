//! Searching the mail of one snapshot by what its headers say. Dates come from the manifest, so a message outside them
//! is not read at all; of the others only headers and small bodies are.

use super::{ShowError, View, header, mime_names, record};
use crate::event::{Event, Phase, Place, Reason, Rejection, Sink};
use crate::model::mailbox::{FolderKind, Item};
use serde::Serialize;

/// What to look for; everything given must hold. Text is searched for anywhere in the decoded field, upper and lower
/// case alike.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub from: Option<String>,
    /// In To, Cc, Bcc and what delivery noted.
    pub to: Option<String>,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    /// In the name of any attachment.
    pub attachment: Option<String>,
    /// Internal date, seconds since 1970: not before this …
    pub since: Option<i64>,
    /// … and before this.
    pub before: Option<i64>,
    /// Globs of addresses; empty means all.
    pub accounts: Vec<String>,
}

/// One message that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// As `extract` takes it.
    pub address: String,
    /// Seconds since 1970.
    pub date: i64,
    pub size: u64,
    pub from: String,
    pub subject: String,
}

/// What a search gave.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FindReport {
    /// By account, folder and date.
    pub found: Vec<Found>,
    /// Messages that were read.
    pub read: u64,
    /// Messages that could not be.
    pub rejected: u64,
}

/// Searches all mail folders of the wanted accounts.
pub fn find(view: &View<'_>, query: &Query, sink: &dyn Sink) -> Result<FindReport, ShowError> {
    let globs = super::globs(&query.accounts)?;
    let needles = Needles::new(query);
    let objects = view.archive.objects()?;
    let mut report = FindReport::default();
    let mut accounts: Vec<_> = view.provisioning.accounts().collect();
    accounts.sort_by(|(_, a), (_, b)| a.address.cmp(&b.address));
    accounts.retain(|(_, account)| globs.as_ref().is_none_or(|globs| globs.is_match(&account.address)));
    let newest = view.newest_entries();
    let total = accounts
        .iter()
        .filter_map(|(id, _)| newest.get(id))
        .fold(0u64, |sum, (_, entry)| sum.saturating_add(entry.items));
    sink.emit(Event::PhaseStarted { phase: Phase::Scan, total: Some(total) });
    for (id, account) in accounts {
        let mailbox = view.mailbox(id)?;
        let mut found = Vec::new();
        // In order of id, which is the order of storing: neighbours share segments.
        for (_, at) in mailbox.items.iter() {
            if sink.interrupted() {
                return Err(ShowError::Stopped);
            }
            let bytes = at.item.size;
            sink.emit(Event::Advanced { phase: Phase::Scan, items: 1, bytes });
            let Some(folder) = mailbox.folders.get(&at.folder) else { continue };
            if folder.key.kind() != FolderKind::Mail || !in_time(query, &at.item) {
                continue;
            }
            match record::outline(&objects, &at.item) {
                Ok(message) => {
                    report.read += 1;
                    if let Some((from, subject)) = needles.found_in(&message) {
                        let address = format!("{}:{}/{}", account.address, folder.key, at.item.name);
                        let item = Found { address, date: at.item.date, size: bytes, from, subject };
                        found.push((folder.key.clone(), item));
                    }
                }
                Err(error) => {
                    report.rejected += 1;
                    let place = Place::item(&account.address, &folder.key, &at.item.name);
                    let reason = Reason::Damaged(error.to_string());
                    sink.emit(Event::Rejected(Rejection { place, reason }));
                }
            }
        }
        found.sort_by(|(a_folder, a), (b_folder, b)| {
            (a_folder, a.date, &a.address).cmp(&(b_folder, b.date, &b.address))
        });
        report.found.extend(found.into_iter().map(|(_, item)| item));
    }
    sink.emit(Event::PhaseFinished { phase: Phase::Scan });
    view.archive.check_scratch()?;
    Ok(report)
}

fn in_time(query: &Query, item: &Item) -> bool {
    query.since.is_none_or(|since| item.date >= since) && query.before.is_none_or(|before| item.date < before)
}

/// A query's texts in lower case.
struct Needles {
    fields: Vec<(&'static [&'static str], String)>,
    attachment: Option<String>,
}

impl Needles {
    fn new(query: &Query) -> Self {
        const TO: &[&str] = &["To", "Cc", "Bcc", "Delivered-To", "X-Original-To", "Envelope-To"];
        let wanted: [(&'static [&'static str], &Option<String>); 4] = [
            (&["From", "Sender"], &query.from),
            (TO, &query.to),
            (&["Subject"], &query.subject),
            (&["Message-ID"], &query.message_id),
        ];
        let fields = wanted.into_iter().filter_map(|(names, text)| Some((names, text.as_ref()?.to_lowercase())));
        Self { fields: fields.collect(), attachment: query.attachment.as_ref().map(|text| text.to_lowercase()) }
    }

    /// From and Subject of the message, if everything is in it.
    fn found_in(&self, message: &[u8]) -> Option<(String, String)> {
        let fields = header::fields(message);
        let holds = |(names, text): &(&[&str], String)| {
            let mut named = fields.iter().filter(|field| names.iter().any(|name| field.is(name)));
            named.any(|field| field.text().to_lowercase().contains(text))
        };
        if !self.fields.iter().all(holds) {
            return None;
        }
        if let Some(wanted) = &self.attachment
            && !mime_names::attachment_names(message).iter().any(|name| name.to_lowercase().contains(wanted))
        {
            return None;
        }
        let first = |name| fields.iter().find(|field| field.is(name)).map(header::Field::text).unwrap_or_default();
        Some((first("From"), first("Subject")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: Ann <ann@example.org>,\r\n Bob <bob@example.org>\r\n\
        Subject: Minutes of\r\n\tMay\r\nMessage-ID: <1@example.org>\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename=Plan.PDF\r\n\r\nSubject: body\r\n";

    fn matches(query: Query) -> bool {
        Needles::new(&query).found_in(MESSAGE).is_some()
    }

    #[test]
    fn everything_asked_for_must_hold_whatever_its_case() {
        let some = |text: &str| Some(text.to_owned());
        assert!(matches(Query { from: some("jürgen"), to: some("BOB@"), ..Query::default() }));
        assert!(matches(Query { subject: some("minutes of may"), attachment: some("plan.pdf"), ..Query::default() }));
        assert!(matches(Query { message_id: some("<1@example.org>"), ..Query::default() }));
        assert!(!matches(Query { subject: some("body"), ..Query::default() }), "a body is no header");
        assert!(!matches(Query { from: some("jürgen"), to: some("carol"), ..Query::default() }));
        assert!(matches(Query::default()));
    }
}
