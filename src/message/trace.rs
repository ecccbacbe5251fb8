//! Finds the trace: the fields that delivery has put on top of a message.

use super::header::{empty_line, field_end};

/// Where the trace of a message ends; 0 when it has none.
pub(super) fn end(raw: &[u8]) -> usize {
    let mut at = if raw.starts_with(b"From ") { super::header::line_end(raw, 0) } else { 0 };
    let mut end = 0;
    while at < raw.len() && empty_line(raw, at) == 0 {
        let next = field_end(raw, at);
        let Some(field) = raw.get(at..next) else { break };
        if !is_delivery(field) {
            break;
        }
        at = next;
        end = at;
    }
    end
}

/// Names of fields that delivery, and what stands between delivery and the folder, puts on top.
const NAMES: &[&[u8]] = &[
    b"authentication-results",
    b"content-length",
    b"delivered-to",
    b"delivery-date",
    b"envelope-to",
    b"lines",
    b"received",
    b"received-spf",
    b"return-path",
    b"status",
    b"x-account-key",
    b"x-apparently-to",
    b"x-bogosity",
    b"x-delivered-to",
    b"x-envelope-from",
    b"x-envelope-to",
    b"x-imap",
    b"x-imapbase",
    b"x-keywords",
    b"x-original-to",
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
    b"arc-",
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

fn is_delivery(field: &[u8]) -> bool {
    let mut name = [0; NAME_BYTES];
    let mut len = 0;
    for (to, byte) in name.iter_mut().zip(field) {
        if matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n') {
            break;
        }
        *to = byte.to_ascii_lowercase();
        len += 1;
    }
    let Some((name, rest)) = name.get(..len).zip(field.get(len..)) else { return false };
    rest.trim_ascii_start().starts_with(b":")
        && (NAMES.binary_search(&name).is_ok() || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}
