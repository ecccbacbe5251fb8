//! Letters: headers and text as a client writes them, and what delivery puts on top for each recipient.

use super::dice::Dice;
use std::fmt::Write;

/// When the first letter was sent: 2024-01-01, seconds since 1970. The last comes two years later.
pub const START: i64 = 1_704_067_200;
pub const YEARS: i64 = 2 * 365 * 86_400;

const SYLLABLES: [&str; 40] = [
    "ba", "be", "ci", "co", "da", "den", "di", "el", "en", "er", "fa", "fo", "ga", "go", "ha", "in", "ka", "ki", "la",
    "le", "li", "ma", "me", "mon", "na", "ne", "no", "or", "pa", "per", "ra", "ri", "ro", "sa", "se", "sta", "te",
    "ti", "un", "ver",
];

/// Least and most bytes of a body; with headers and trace, a message has 100 bytes to 10 KB.
const BODY_LEAST: f64 = 100.0;
const BODY_MOST: f64 = 8_500.0;

/// A letter as it was sent.
pub struct Letter {
    pub sender: String,
    pub date: i64,
    /// What all recipients share.
    pub raw: String,
    /// What a program writes on this machine and delivers itself: no relay, hardly a header.
    local: bool,
}

impl Letter {
    /// Composes a letter from `sender` to the `recipients`.
    pub fn write(dice: &mut Dice, sender: String, recipients: &[String], date: i64) -> Self {
        let mut raw = String::with_capacity(4096);
        let local = dice.chance(30);
        if local {
            let _ = write!(raw, "From: {sender}\nSubject: ");
            words(dice, 20, &mut raw);
            raw.push_str("\n\n");
            words(dice, 40, &mut raw);
            raw.push('\n');
            return Self { sender, date, raw, local };
        }
        let _ = write!(raw, "From: {sender}\nTo: {}\nSubject: ", recipients.join(",\n "));
        words(dice, 12 + dice.clone().below(40), &mut raw);
        let _ = write!(
            raw,
            "\nDate: {}\nMessage-ID: <{:016x}.{date}@{}>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: 8bit\nUser-Agent: Mozilla Thunderbird\n\n",
            rfc2822(date),
            dice.next(),
            sender.split('@').next_back().unwrap_or_default(),
        );
        // Sizes of mail spread over orders of magnitude, so the logarithm is what is drawn evenly.
        let drawn = dice.below(1 << 20) as f64 / f64::from(1 << 20);
        let body = BODY_LEAST * (BODY_MOST / BODY_LEAST).powf(drawn);
        let end = raw.len() + body as usize;
        while raw.len() < end {
            words(dice, 72.min((end - raw.len()) as u64), &mut raw);
            raw.push('\n');
        }
        Self { sender, date, raw, local }
    }

    /// The letter as it lies in the mailbox of `recipient`, appended to `out`.
    pub fn delivered(&self, dice: &mut Dice, recipient: &str, out: &mut String) {
        if !self.local {
            let (when, later) = (rfc2822(self.date), rfc2822(self.date + 1));
            let host = dice.below(250);
            let _ = write!(
                out,
                "Return-Path: <{sender}>\nDelivered-To: {recipient}\nReceived: from relay{relay}.example.net\n\tby \
                 store1.example.net with LMTP\n\tid {id:016x}\n\t(envelope-from <{sender}>)\n\tfor <{recipient}>; {later}\n\
                 Received: from [192.0.2.{host}] (unknown [192.0.2.{host}])\n\tby relay{relay}.example.net (Postfix) with \
                 ESMTPS id {queue:010X}\n\tfor <{recipient}>; {when}\nX-Spam-Status: No, score=-{score}.{tenth}\n",
                sender = self.sender,
                relay = dice.below(4),
                id = dice.next(),
                queue = dice.below(1 << 40),
                score = dice.below(5),
                tenth = dice.below(10),
            );
        }
        out.push_str(&self.raw);
    }
}

/// Words of `bytes` bytes together, or a few more.
fn words(dice: &mut Dice, bytes: u64, out: &mut String) {
    let end = out.len() + usize::try_from(bytes).unwrap_or_default();
    while out.len() < end {
        // Half of all words come from a few dozen, as in a language; one draw gives a word.
        let mut drawn = dice.next();
        let common = drawn & 1 == 0;
        let syllables = if common { 1 + (drawn >> 1) % 2 } else { 2 + (drawn >> 1) % 3 };
        drawn >>= 8;
        for _ in 0..syllables {
            let below = if common { 8 } else { SYLLABLES.len() as u64 };
            out.push_str(SYLLABLES.get((drawn % below) as usize).unwrap_or(&""));
            drawn /= below;
        }
        out.push(' ');
    }
    out.truncate(out.trim_end().len());
}

/// A time as RFC 2822 writes it, UTC.
fn rfc2822(time: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (day, second) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    // Howard Hinnant's civil_from_days; years begin in March.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month_of_year = (month + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month_of_year < 2);
    let name = |names: &[&'static str], at: i64| names.get(at as usize).copied().unwrap_or_default();
    format!(
        "{}, {date} {} {year} {:02}:{:02}:{:02} +0000",
        name(&DAYS, day.rem_euclid(7)),
        name(&MONTHS, month_of_year),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}
