//! Composes messages as a mail client and two relays would: the message as sent, and what delivery put on top of it.
//!
//! All recipients get the same bytes below their own trace, and attachments are sent to several people, because that is
//! what an archive of real mail lives on.

use super::dice::Dice;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A message on its way, without trace.
pub struct Letter {
    pub from: &'static str,
    pub to: String,
    pub date: i64,
    pub subject: String,
    pub message_id: String,
    pub in_reply_to: Option<String>,
    pub content: Part,
}

/// A body with its MIME headers.
#[derive(Clone)]
pub struct Part {
    headers: String,
    body: Vec<u8>,
}

impl Letter {
    /// The message as its sender's client wrote it, LF at line ends.
    pub fn raw(&self) -> Vec<u8> {
        let mut raw = format!(
            "From: {}\nTo: {}\nSubject: {}\nDate: {}\nMessage-ID: <{}>\n",
            self.from,
            self.to,
            encoded_word(&self.subject),
            rfc2822(self.date),
            self.message_id
        );
        if let Some(earlier) = &self.in_reply_to {
            raw.push_str(&format!("In-Reply-To: <{earlier}>\nReferences: <{earlier}>\n"));
        }
        raw.push_str("MIME-Version: 1.0\n");
        raw.push_str(&self.content.headers);
        raw.push('\n');
        let mut raw = raw.into_bytes();
        raw.extend_from_slice(&self.content.body);
        raw
    }

    /// The message as it lies in the mailbox of `recipient`, to whom it came through `via`.
    pub fn delivered(&self, recipient: &str, via: Option<&str>, dice: &mut Dice) -> Vec<u8> {
        let sender = self.from.rsplit_once('<').map_or(self.from, |(_, address)| address.trim_end_matches('>'));
        let mut trace = format!("Return-Path: <{sender}>\nDelivered-To: {recipient}\n");
        if let Some(list) = via {
            trace.push_str(&format!("X-Original-To: {list}\n"));
        }
        trace.push_str(&format!(
            "Received: from relay.station.example\n\tby mail.station.example with LMTP\n\tid {}\n\t(envelope-from \
             <{sender}>)\n\tfor <{recipient}>; {}\nReceived: from [192.0.2.{}] (unknown [192.0.2.{}])\n\tby \
             relay.station.example (Postfix) with ESMTPS id {}\n\tfor <{recipient}>; {}\nX-Spam-Score: -{}.{}\n",
            STANDARD.encode(dice.bytes(12)),
            rfc2822(self.date + 2),
            dice.below(250) + 1,
            dice.below(250) + 1,
            dice.hex(6).to_uppercase(),
            rfc2822(self.date + 1),
            dice.below(4),
            dice.below(10),
        ));
        let mut bytes = trace.into_bytes();
        bytes.extend_from_slice(&self.raw());
        bytes
    }
}

/// Seconds since 1970 as a header has them.
pub fn rfc2822(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// RFC 2047, for what is not ASCII.
fn encoded_word(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { format!("=?UTF-8?B?{}?=", STANDARD.encode(text)) }
}

impl Part {
    pub fn text(text: &str) -> Self {
        Self {
            headers: "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n".to_owned(),
            body: text.as_bytes().to_vec(),
        }
    }

    /// HTML as quoted-printable.
    pub fn html(text: &str) -> Self {
        let paragraphs: String = text.split("\n\n").map(|paragraph| format!("<p>{paragraph}</p>\n")).collect();
        let html = format!("<html><body style=\"color: #222\">\n{paragraphs}</body></html>\n");
        Self {
            headers: "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n".to_owned(),
            body: quoted_printable(&html).into_bytes(),
        }
    }

    /// A file, as base64 in lines of 76.
    pub fn file(kind: &str, name: &str, bytes: &[u8]) -> Self {
        Self {
            headers: format!(
                "Content-Type: {kind}; name=\"{name}\"\nContent-Disposition: attachment; \
                 filename=\"{name}\"\nContent-Transfer-Encoding: base64\n"
            ),
            body: base64_lines(bytes, 76, "\n").into_bytes(),
        }
    }

    /// A message within a message.
    pub fn message(raw: &[u8]) -> Self {
        Self {
            headers: "Content-Type: message/rfc822\nContent-Disposition: attachment\n".to_owned(),
            body: raw.to_vec(),
        }
    }

    /// `multipart/KIND` of `parts`.
    pub fn multi(kind: &str, boundary: &str, parts: &[Part]) -> Self {
        let mut body = b"This is a message in several parts.\n".to_vec();
        for part in parts {
            body.extend_from_slice(format!("--{boundary}\n{}\n", part.headers).as_bytes());
            body.extend_from_slice(&part.body);
            if !part.body.ends_with(b"\n") {
                body.push(b'\n');
            }
        }
        body.extend_from_slice(format!("--{boundary}--\n").as_bytes());
        Self { headers: format!("Content-Type: multipart/{kind};\n\tboundary=\"{boundary}\"\n"), body }
    }
}

/// Base64 folded at `width`, each line ended by `end`.
pub fn base64_lines(bytes: &[u8], width: usize, end: &str) -> String {
    let digits = STANDARD.encode(bytes);
    digits.as_bytes().chunks(width).map(|line| format!("{}{end}", String::from_utf8_lossy(line))).collect()
}

/// RFC 2045 6.7, with soft line breaks.
fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for &byte in text.as_bytes() {
        if byte == b'\n' {
            out.push('\n');
            column = 0;
            continue;
        }
        let piece = match byte {
            b' '..=b'~' if byte != b'=' => char::from(byte).to_string(),
            _ => format!("={byte:02X}"),
        };
        if column + piece.len() > 75 {
            out.push_str("=\n");
            column = 0;
        }
        column += piece.len();
        out.push_str(&piece);
    }
    out
}

const SENTENCES: [&str; 24] = [
    "The early freight will leave from track four, not from track two.",
    "Please look at the attached sheet before you answer.",
    "We have two coaches too few on Fridays and one too many on Mondays.",
    "The signal box at the junction reports a fault about twice a week.",
    "Könnten wir den Fahrplan für den Herbst bis Mittwoch haben?",
    "I talked to the depot and they can lend us the crane until noon.",
    "Nobody has found the key to the shed since the last inspection.",
    "The new wheels arrive on the ninth; the old ones may go.",
    "As far as I can see the invoice was paid in February.",
    "The platform lights come on an hour too late since the change of the clocks.",
    "Could you tell me who ordered forty boxes of sand?",
    "It would help if the morning train waited for the ferry.",
    "The timetable in the hall still shows the summer.",
    "Three of the brake pads are worn, the others are good for a year.",
    "Let us meet in room 1, the coffee there is better.",
    "The crew on the night shift asks for a second lamp.",
    "I have put the drawings on the shelf behind your desk.",
    "Le train de nuit part désormais à vingt-deux heures cinq.",
    "There is nothing to add from our side, it can be signed.",
    "If the bridge stays closed we shall need buses from Thursday on.",
    "The gauge reads seven, and it should read nine.",
    "Somebody has painted the buffer stop green.",
    "A wagon full of tape left this morning and nobody knows its bandwidth.",
    "We can take the heavy parts on the way back.",
];

/// Some paragraphs of office prose, wrapped at 72.
pub fn prose(dice: &mut Dice, sentences: usize) -> String {
    let mut text = String::new();
    let mut column = 0;
    for number in 0..sentences {
        for word in dice.pick(&SENTENCES).split(' ') {
            let width = word.chars().count();
            if column > 0 && column + 1 + width > 72 {
                text.push('\n');
                column = 0;
            } else if column > 0 {
                text.push(' ');
                column += 1;
            }
            text.push_str(word);
            column += width;
        }
        if number % 4 == 3 {
            text.push_str("\n\n");
            column = 0;
        }
    }
    format!("{}\n", text.trim_end())
}

/// `text` with `> ` before each line.
pub fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}\n")).collect()
}

/// Something that a program would take for a PDF until it looks inside.
pub fn pdf(dice: &mut Dice, bytes: usize) -> Vec<u8> {
    [b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec(), dice.bytes(bytes), b"\n%%EOF\n".to_vec()].concat()
}

/// Something with the first bytes of a JPEG.
pub fn jpeg(dice: &mut Dice, bytes: usize) -> Vec<u8> {
    [b"\xff\xd8\xff\xe0\x00\x10JFIF\0".to_vec(), dice.bytes(bytes), b"\xff\xd9".to_vec()].concat()
}

/// A table that compresses well.
pub fn csv(dice: &mut Dice, rows: u64) -> Vec<u8> {
    let mut text = String::from("train;from;to;departs;arrives\r\n");
    for row in 0..rows {
        let (hour, minute) = (5 + row % 18, dice.below(60));
        text.push_str(&format!("RE {};Station;Depot;{hour:02}:{minute:02};{:02}:{minute:02}\r\n", 100 + row, hour + 1));
    }
    text.into_bytes()
}
