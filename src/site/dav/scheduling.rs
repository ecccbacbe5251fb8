//! Keeping a server's scheduling asleep: nobody gets an invitation because a calendar moved.
//!
//! A server with implicit scheduling (RFC 6638) sends invitations, replies and cancellations by itself when an event with
//! attendees is stored, changed or deleted. The standard has one header against that, for replies only (`Schedule-Reply`,
//! 8.1); servers have more: Cyrus knows `Scheduling-Enabled: F`, and sabre/dav takes `Schedule-Reply: F` for every message.
//! A parameter in the event would do everywhere (`SCHEDULE-AGENT`), but then the event would be another one. So on a server
//! that is neither, events with attendees are not written at all, unless the description says that its scheduling is off.

use super::client::Reply;

/// The headers that go with everything that stores, changes or deletes.
pub const ASLEEP: [(&str, &str); 2] = [("schedule-reply", "F"), ("scheduling-enabled", "F")];

/// What a server says of itself and its scheduling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manner {
    pub software: Option<String>,
    /// The tokens of its `DAV` header.
    pub features: Vec<String>,
    /// It would send invitations, and nobody knows how to keep it from that.
    pub unquiet: bool,
}

impl Manner {
    /// Reads what it says to OPTIONS.
    pub fn of(reply: &Reply) -> Self {
        let features = reply.headers.get_all("dav").iter().filter_map(|value| value.to_str().ok());
        let mut features: Vec<String> =
            features.flat_map(|line| line.split(',')).map(|token| token.trim().to_owned()).collect();
        features.sort();
        features.dedup();
        let software = reply.header("server").map(str::to_owned);
        let schedules = features.iter().any(|feature| feature == "calendar-auto-schedule");
        let is_cyrus = software.as_deref().is_some_and(|software| software.contains("Cyrus"));
        let is_sabre = reply.header("x-sabre-version").is_some()
            || features.iter().any(|feature| ["nc-", "oc-", "nextcloud-"].iter().any(|sign| feature.starts_with(sign)));
        Self { software, features, unquiet: schedules && !is_cyrus && !is_sabre }
    }
}

/// Whether storing this would make a server with implicit scheduling send something: it has an organizer and attendees
/// (RFC 6638 3.1). Folded lines begin with their name all the same (RFC 5545 3.1).
pub fn has_attendees(calendar: &[u8]) -> bool {
    let begins = |line: &[u8], name: &[u8]| {
        line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
            && matches!(line.get(name.len()), Some(b':' | b';'))
    };
    let (mut organizer, mut attendee) = (false, false);
    for line in calendar.split(|&byte| byte == b'\n' || byte == b'\r') {
        organizer |= begins(line, b"ORGANIZER");
        attendee |= begins(line, b"ATTENDEE");
    }
    organizer && attendee
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_organizer_and_attendees_is_known_by_them_alone() {
        let event = |lines: &str| format!("BEGIN:VEVENT\r\n{lines}END:VEVENT\r\n").into_bytes();
        assert!(has_attendees(&event("Organizer;CN=x:mailto:a@a.test\r\nATTENDEE:mailto:b@b.test\r\n")));
        assert!(!has_attendees(&event("ORGANIZER:mailto:a@a.test\r\n")));
        assert!(!has_attendees(&event("SUMMARY:ORGANIZER:x\r\n ATTENDEE:mailto:b@b.test\r\nATTENDEES:x\r\n")));
    }
}
