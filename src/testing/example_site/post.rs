//! The mail of the example site: who wrote what to whom in March 2024, and where it lies since.

use super::dice::Dice;
use super::letter::{Letter, Part, csv, jpeg, pdf, prose, quoted};
use super::maildir::{Mail, Mailbox, Place};
use super::people::{ALL, ANN, BERT, CLARA, EMIL, FRIDA, GERDA, OHARA, PEOPLE, POSTMASTER, TEAM};
use std::collections::BTreeMap;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Mailboxes being filled.
pub struct Post {
    pub boxes: BTreeMap<&'static str, Mailbox>,
    dice: Dice,
    clock: i64,
    sent: u32,
}

/// Everything sent until the first export; `start` in seconds since 1970.
pub fn write_all(start: i64) -> Post {
    let boxes = PEOPLE.iter().map(|person| (person.address, Mailbox::default())).collect();
    let mut post = Post { boxes, dice: Dice::of("post"), clock: start, sent: 0 };
    post.make_folders();
    for week in 1..=4 {
        post.timetable_of_the_week(week);
        post.newsletter(week);
        post.talk(ANN, BERT, "Coaches on Fridays", ".Projects.Timetable");
        post.talk(EMIL, CLARA, "The crane", ".Archive.2024");
        post.talk(FRIDA, OHARA, "Sand, forty boxes", ".Archive.2024");
    }
    post.photo();
    post.talk(ANN, GERDA, "Handover", ".Handover");
    post.talk(GERDA, BERT, "Night shift", ".Archive.2024");
    post.talk(ANN, EMIL, "Entwurf für den Herbst", ".Fahrpl&AOQ-ne");
    post.junk();
    post.draft();
    post
}

/// Folders by account; what is not listed arises when mail is put there.
pub const FOLDERS: [(&str, &[&str]); 8] = [
    (
        ANN,
        &[
            "",
            ".Sent",
            ".Drafts",
            ".Trash",
            ".Junk",
            ".Archive",
            ".Archive.2024",
            ".Projects",
            ".Projects.Timetable",
            ".Projects.R&-D",
            ".Projects.Tender",
            ".Projects.Tender.Offers",
            ".Fahrpl&AOQ-ne",
            ".&UhePZg-",
            ".Handover",
            ".Notices",
        ],
    ),
    (BERT, &["", ".Sent", ".Drafts", ".Trash", ".Junk", ".Archive.2024", ".Projects.Timetable", ".Dispatch"]),
    (CLARA, &["", ".Sent", ".Drafts", ".Trash", ".Junk", ".Archive.2024", ".Lists", ".Lists.Team"]),
    (POSTMASTER, &["", ".Sent", ".Trash", ".Oddities"]),
    (EMIL, &["", ".Sent", ".Drafts", ".Trash", ".Junk", ".Archive.2024", ".Fahrpl&AOQ-ne"]),
    (FRIDA, &["", ".Sent", ".Drafts", ".Trash", ".Archive.2024", ".Photos"]),
    (OHARA, &["", ".Sent", ".Trash", ".Archive.2024"]),
    (GERDA, &["", ".Sent", ".Trash", ".Archive.2024", ".Handover", ".Shift plans"]),
];

impl Post {
    fn make_folders(&mut self) {
        for (account, folders) in FOLDERS {
            for folder in folders {
                self.mailbox(account).folder(folder);
            }
        }
        self.mailbox(super::people::ROOM).folder("");
    }

    fn mailbox(&mut self, account: &str) -> &mut Mailbox {
        let name = PEOPLE.iter().map(|person| person.address).find(|&address| address == account).unwrap_or(ANN);
        self.boxes.entry(name).or_default()
    }

    fn letter(&mut self, from: &'static str, to: &str, subject: &str, content: Part) -> Letter {
        self.clock += HOUR + self.dice.below(7 * HOUR as u64) as i64;
        self.sent += 1;
        Letter {
            from: from_header(from),
            to: to.to_owned(),
            date: self.clock,
            subject: subject.to_owned(),
            message_id: format!("{}.{}@{}", self.sent, self.dice.hex(6), crate::model::provisioning::domain_of(from)),
            in_reply_to: None,
            content,
        }
    }

    /// Puts a copy with its own trace into `folder` of each recipient, and the message as sent into the sender's Sent.
    fn send(&mut self, from: &str, letter: &Letter, to: &[&str], via: Option<&str>, folder: &str) {
        for recipient in to {
            let raw = letter.delivered(recipient, via, &mut self.dice);
            let flags = *self.dice.pick(&["", "S", "S", "S", "S", "FS", "RS", "PS"]);
            let place = if flags.is_empty() && self.dice.chance(1, 2) { Place::New } else { Place::Cur };
            let keywords = match (place, self.dice.below(6)) {
                (Place::Cur, 0) => vec!["NonJunk"],
                (Place::Cur, 1) => vec!["NonJunk", "todo"],
                _ => Vec::new(),
            };
            let (date, flags) = (letter.date + 2, flags.to_owned());
            self.mailbox(recipient).folder(folder).push(Mail { raw, date, flags, keywords, place, uidl: None });
        }
        if PEOPLE.iter().any(|person| person.address == from) {
            self.put(from, ".Sent", letter.raw(), letter.date, "S");
        }
    }

    fn put(&mut self, account: &str, folder: &str, raw: Vec<u8>, date: i64, flags: &str) {
        let flags = flags.to_owned();
        let mail = Mail { raw, date, flags, keywords: Vec::new(), place: Place::Cur, uidl: None };
        self.mailbox(account).folder(folder).push(mail);
    }

    /// A table and a drawing for the whole team, every Monday.
    fn timetable_of_the_week(&mut self, week: u32) {
        let text = prose(&mut self.dice, 5);
        let drawing = pdf(&mut self.dice, 18_000 + 2_000 * week as usize);
        let table = csv(&mut self.dice, 120);
        let content = Part::multi(
            "mixed",
            &format!("=_week_{week}"),
            &[
                Part::text(&text),
                Part::file("application/pdf", &format!("week-{week}.pdf"), &drawing),
                Part::file("text/csv", &format!("week-{week}.csv"), &table),
            ],
        );
        let letter = self.letter(CLARA, TEAM, &format!("Timetable, week {week}"), content);
        self.send(CLARA, &letter, &[ANN, BERT, EMIL], Some(TEAM), "");
        self.send("", &letter, &[CLARA], Some(TEAM), ".Lists.Team");
        self.clock += DAY;
    }

    /// From outside, as text and HTML.
    fn newsletter(&mut self, week: u32) {
        let text = prose(&mut self.dice, 12);
        let content =
            Part::multi("alternative", &format!("----=_Part_{week}"), &[Part::text(&text), Part::html(&text)]);
        let letter =
            self.letter("news@elsewhere.example", "Readers <news@elsewhere.example>", "Rails and sleepers", content);
        self.send("", &letter, &[ANN, FRIDA, OHARA], None, "");
    }

    /// Three messages to and fro; the last is filed by its recipient.
    fn talk(&mut self, one: &'static str, other: &'static str, subject: &str, folder: &str) {
        let first = prose(&mut self.dice, 6);
        let letter = self.letter(one, &to_header(other), subject, Part::text(&first));
        self.send(one, &letter, &[other], None, "");
        let second = format!("{}\n{}", prose(&mut self.dice, 3), quoted(&first));
        let mut answer = self.letter(other, &to_header(one), &format!("Re: {subject}"), Part::text(&second));
        answer.in_reply_to = Some(letter.message_id);
        self.send(other, &answer, &[one], None, folder);
    }

    /// A photo for everybody, which two of them pass on.
    fn photo(&mut self) {
        let picture = jpeg(&mut self.dice, 60_000);
        let text = prose(&mut self.dice, 2);
        let parts = [Part::text(&text), Part::file("image/jpeg", "steam.jpg", &picture)];
        let content = Part::multi("mixed", "=_photo", &parts);
        let letter = self.letter(FRIDA, ALL, "The old engine", content);
        self.send(FRIDA, &letter, &[EMIL, OHARA, GERDA, ANN, BERT, CLARA], Some(ALL), "");
        self.put(FRIDA, ".Photos", letter.raw(), letter.date, "FS");

        let inner = letter.delivered(EMIL, Some(ALL), &mut self.dice);
        let parts = [Part::text("For the poster?\n"), Part::message(&inner)];
        let forwarded = Part::multi("mixed", "=_forward", &parts);
        let passed_on = self.letter(EMIL, &to_header(POSTMASTER), "Fwd: The old engine", forwarded);
        self.send(EMIL, &passed_on, &[POSTMASTER, BERT], None, "");

        // The same bytes again, within a message within a message.
        let twice = Part::multi(
            "mixed",
            "=_twice",
            &[Part::text("See below.\n"), Part::message(&passed_on.raw()), Part::html("Sent from a train")],
        );
        let again = self.letter(BERT, &to_header(ANN), "Fwd: Fwd: The old engine", twice);
        self.send(BERT, &again, &[ANN], None, ".Projects.Tender.Offers");
    }

    fn junk(&mut self) {
        for account in [ANN, BERT, CLARA, EMIL] {
            let text = "You have won a locomotive. Send the freight charges first.\n";
            let letter =
                self.letter("prize@elsewhere.example", &to_header(account), "Congratulations", Part::html(text));
            self.send("", &letter, &[account], None, ".Junk");
            if let Some(mail) = self.mailbox(account).folder(".Junk").last_mut() {
                (mail.keywords, mail.place) = (vec!["Junk"], Place::Cur);
            }
        }
    }

    fn draft(&mut self) {
        let text = prose(&mut self.dice, 1);
        let letter = self.letter(ANN, "", "Offer for the tender", Part::text(&text));
        self.put(ANN, ".Drafts", letter.raw(), letter.date, "DS");
        let notice = self.letter(ANN, &to_header(ANN), "Canteen closed on Friday", Part::text("No soup.\n"));
        self.put(ANN, ".Notices", notice.raw(), notice.date, "S");
        let plan = self.letter(GERDA, &to_header(GERDA), "Shifts until May", Part::text("Week 10: late\n"));
        self.put(GERDA, ".Shift plans", plan.raw(), plan.date, "S");
    }
}

/// A message as it is delivered on a later day.
pub fn later_letter(from: &'static str, to: &str, subject: &str, date: i64) -> Vec<u8> {
    let mut dice = Dice::of(&format!("{from} {subject}"));
    let content = Part::text(&prose(&mut dice, 5));
    let message_id = format!("{}@{}", dice.hex(8), crate::model::provisioning::domain_of(from));
    let letter = Letter {
        from: from_header(from),
        to: to_header(to),
        date,
        subject: subject.to_owned(),
        message_id,
        in_reply_to: None,
        content,
    };
    letter.delivered(to, None, &mut dice)
}

fn from_header(address: &'static str) -> &'static str {
    match address {
        ANN => "Ann Ash <ann@station.example>",
        BERT => "Bert Birch <bert@station.example>",
        CLARA => "Clara Cedar <clara@station.example>",
        EMIL => "Emil Elm <emil@wagon.example>",
        FRIDA => "Frida Fir <frida@wagon.example>",
        OHARA => "=?UTF-8?Q?Siobh=C3=A1n_O'Hara?= <o'hara@wagon.example>",
        GERDA => "Gerda Gorse <gerda@wagon.example>",
        other => other,
    }
}

fn to_header(address: &str) -> String {
    let known = PEOPLE.iter().find(|person| person.address == address);
    known.map_or_else(|| address.to_owned(), |person| from_header(person.address).to_owned())
}
