//! Finds the trace of a message: the fields on top that the site where it lies has put there, and that make its copies
//! differ.
//!
//! The run of delivery's fields goes on with those of the sender's and of every relay's site, which the copies share;
//! they belong to the skeleton. Where the site begins is guessed; a wrong guess costs size (format-spec/message.md, which
//! has the rule and what it was measured to save). Called by `split`.

use super::header::{empty_line, field_end, line_end};
use crate::limits;
use memchr::memmem;
use std::net::IpAddr;

/// Where the trace of a message ends; 0 when it has none.
pub fn end(raw: &[u8]) -> usize {
    let mut at = if raw.starts_with(b"From ") { line_end(raw, 0) } else { 0 };
    let mut end = at;
    let mut site = Site { inside: true, entered: false, recipients: Vec::new() };
    while at < raw.len() && empty_line(raw, at) == 0 {
        let next = field_end(raw, at);
        let Some(field) = raw.get(at..next).filter(|field| field.ends_with(b"\n")).and_then(parse) else { break };
        site.pass(&field);
        at = next;
        if site.inside {
            end = at;
        }
    }
    end
}

/// A field of delivery.
enum Field<'a> {
    Received(&'a [u8]),
    /// It says for whom this copy is.
    Recipient(&'a [u8]),
    /// Written at the beginning or the end of a delivery: below the site's entrance, another site's.
    Edge,
    /// A verdict or a mark.
    Other,
}

/// What the fields say, going down, of the site where the message lies.
struct Site<'a> {
    /// Whether the field last seen was written by this site.
    inside: bool,
    /// Whether a hop was seen that received the message from a public address: where it came in.
    entered: bool,
    /// Whom this copy is for, as the site's own fields say.
    recipients: Vec<&'a [u8]>,
}

impl<'a> Site<'a> {
    fn pass(&mut self, field: &Field<'a>) {
        match field {
            Field::Received(value) => {
                let recipient = recipient_of(value);
                // A relay in front of the site, such as a filter, that names the recipient handles every copy by itself.
                self.inside = !self.entered || recipient.is_some_and(|recipient| self.knows(recipient));
                if !self.entered {
                    self.learn(recipient);
                    self.entered = comes_from_outside(value);
                }
            }
            Field::Recipient(value) if self.entered => self.inside = self.knows(value),
            Field::Recipient(value) => self.learn(Some(value)),
            Field::Edge if self.entered => self.inside = false,
            Field::Edge | Field::Other => {}
        }
    }

    fn knows(&self, recipient: &[u8]) -> bool {
        self.recipients.iter().any(|known| known.eq_ignore_ascii_case(recipient))
    }

    fn learn(&mut self, recipient: Option<&'a [u8]>) {
        if self.recipients.len() < limits::TRACE_RECIPIENTS {
            self.recipients.extend(recipient);
        }
    }
}

/// The address in the `for` clause of a Received field (RFC 5321, section 4.4). Mail servers leave the clause out when
/// there are several recipients, who then share the field.
fn recipient_of(received: &[u8]) -> Option<&[u8]> {
    memmem::find_iter(received, b"for").find_map(|at| {
        let (before, rest) = received.split_at_checked(at)?;
        let rest = rest.strip_prefix(b"for")?;
        (before.last()?.is_ascii_whitespace() && rest.first()?.is_ascii_whitespace()).then_some(())?;
        let text = rest.trim_ascii_start();
        let text = text.strip_prefix(b"<").unwrap_or(text);
        let mut start = text.iter().take(limits::TRACE_ADDRESS_BYTES);
        let end = start.position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b';'))?;
        text.get(..end).filter(|address| address.contains(&b'@'))
    })
}

/// Whether the peer of this hop has a public address. Of several addresses the last counts: before it stands what the
/// peer said of itself.
fn comes_from_outside(received: &[u8]) -> bool {
    let received = received.get(..limits::TRACE_PEER_BYTES).unwrap_or(received);
    received
        .split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'(' | b')' | b'[' | b']'))
        .take_while(|word| *word != b"by")
        .filter_map(|word| std::str::from_utf8(word).ok())
        .filter_map(|word| word.strip_prefix("IPv6:").unwrap_or(word).parse::<IpAddr>().ok())
        .last()
        .is_some_and(|address| match address.to_canonical() {
            IpAddr::V4(v4) => {
                let shared = matches!(v4.octets(), [100, 64..=127, ..]); // RFC 6598
                !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared)
            }
            IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
        })
}

/// Other fields that delivery, and what stands between delivery and the folder, puts on top. Sorted.
const NAMES: &[&[u8]] = &[
    b"authentication-results",
    b"content-length",
    b"delivery-date",
    b"lines",
    b"received-spf",
    b"status",
    b"x-account-key",
    b"x-apparently-to",
    b"x-bogosity",
    b"x-envelope-from",
    b"x-imap",
    b"x-imapbase",
    b"x-keywords",
    b"x-quarantine-id",
    b"x-received",
    b"x-resolved-to",
    b"x-scanned-by",
    b"x-sieve",
    b"x-status",
    b"x-uid",
    b"x-uidl",
];

/// Beginnings of such names.
const PREFIXES: &[&[u8]] = &[
    b"x-amavis-",
    b"x-barracuda-",
    b"x-evolution",
    b"x-gm-",
    b"x-gmail-",
    b"x-greylist",
    b"x-ironport-",
    b"x-mozilla-",
    b"x-ms-exchange-organization-",
    b"x-policyd-",
    b"x-proofpoint-",
    b"x-rspamd-",
    b"x-sieve-",
    b"x-spam",
    b"x-virus-",
];

/// The longest name that is looked at, bytes.
const NAME_BYTES: usize = 40;

/// `None`: not a field, or not one of delivery.
fn parse(field: &[u8]) -> Option<Field<'_>> {
    let mut name = [0; NAME_BYTES];
    let mut len = 0;
    for (to, byte) in name.iter_mut().zip(field) {
        if matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n') {
            break;
        }
        *to = byte.to_ascii_lowercase();
        len += 1;
    }
    let name = name.get(..len)?;
    let value = field.get(len..)?.trim_ascii_start().strip_prefix(b":")?;
    match name {
        b"received" => Some(Field::Received(value)),
        b"delivered-to" | b"envelope-to" | b"x-delivered-to" | b"x-envelope-to" | b"x-original-to" => {
            Some(Field::Recipient(value.trim_ascii()))
        }
        b"return-path" => Some(Field::Edge),
        _ if name.starts_with(b"arc-") => Some(Field::Edge),
        _ if NAMES.binary_search(&name).is_ok() => Some(Field::Other),
        _ if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => Some(Field::Other),
        _ => None,
    }
}
