//! Calendars, tasks and address books: vdir collections, one item a file, `displayname` and `color` beside them.

use super::dice::Dice;
use super::people::{ANN, BERT, EMIL, FRIDA, PEOPLE, ROOM, folder_of};
use super::tree::Tree;
use crate::site::SiteError;

const DAY: i64 = 86_400;

/// Writes all collections; items have the times of the days on which they were made.
pub fn write(tree: &Tree<'_>, start: i64) -> Result<(), SiteError> {
    for (account, name, title, color, events) in [
        (ANN, "personal", "Ann", "#3a87ad", 4),
        (ANN, "timetable", "Timetable changes", "#c0392bff", 5),
        (BERT, "personal", "Bert", "#27ae60", 2),
        (EMIL, "personal", "Emil", "", 3),
        (ROOM, "bookings", "Meeting room 1", "#7f8c8d", 3),
    ] {
        let dir = format!("dav/{}/calendars/{name}", folder_of(account));
        describe(tree, &dir, title, color, start)?;
        for number in 0..events {
            let (uid, text) = event(&dir, number, start + i64::from(number) * DAY);
            tree.file(&format!("{dir}/{uid}.ics"), text, start + i64::from(number) * 600)?;
        }
    }
    let weekly = format!("dav/{}/calendars/timetable/weekly-meeting.ics", folder_of(ANN));
    tree.file(&weekly, WEEKLY, start)?;

    let todo = format!("dav/{}/tasks/todo", folder_of(ANN));
    describe(tree, &todo, "To do", "", start)?;
    for (number, what) in ["Order sand", "Return the crane", "Find the key to the shed"].into_iter().enumerate() {
        tree.file(&format!("{todo}/task-{number}.ics"), task(number, what), start + 60)?;
    }

    for (account, name, title) in [(ANN, "addressbook", "Contacts"), (FRIDA, "addressbook", "Contacts")] {
        let dir = format!("dav/{}/contacts/{name}", folder_of(account));
        describe(tree, &dir, title, "", start)?;
        for person in PEOPLE.iter().filter(|person| person.address != account) {
            tree.file(&format!("{dir}/{}.vcf", person.user()), card(person.name, person.address), start + 30)?;
        }
    }
    Ok(())
}

/// A day of work in the calendars: one event edited in place, one added, one removed.
pub fn a_day(tree: &Tree<'_>, time: i64) -> Result<(), SiteError> {
    let dir = format!("dav/{}/calendars/personal", folder_of(ANN));
    let items: Vec<_> = tree.names(&dir)?.into_iter().filter(|name| name.ends_with(".ics")).collect();
    if let [first, .., last] = items.as_slice() {
        tree.edit(&format!("{dir}/{first}"), time, |text| text.replace("LOCATION:Room 1", "LOCATION:Canteen"))?;
        tree.remove(&format!("{dir}/{last}"))?;
    }
    let (uid, text) = event(&format!("{dir} later"), 0, time);
    tree.file(&format!("{dir}/{uid}.ics"), text, time)
}

fn describe(tree: &Tree<'_>, dir: &str, title: &str, color: &str, time: i64) -> Result<(), SiteError> {
    tree.file(&format!("{dir}/displayname"), format!("{title}\n"), time)?;
    if color.is_empty() { Ok(()) } else { tree.file(&format!("{dir}/color"), format!("{color}\n"), time) }
}

/// The event's UID and its text.
fn event(seed: &str, number: u32, day: i64) -> (String, String) {
    let mut dice = Dice::of(&format!("{seed} {number}"));
    let uid = dice.hex(8);
    let time = jiff::Timestamp::from_second(day).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%d").to_string();
    let hour = 8 + dice.below(9);
    let what = *dice.pick(&["Inspection", "Timetable", "Crane", "Ferry", "Crew change", "Prüfung der Bremsen"]);
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//station.example//calendar//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n\
         DTSTAMP:{date}T060000Z\r\nDTSTART:{date}T{hour:02}0000Z\r\nDTEND:{date}T{:02}0000Z\r\nSUMMARY:{what}\r\n\
         LOCATION:Room 1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        hour + 1
    );
    (uid, text)
}

/// A series with one meeting moved: two components with one UID in one item.
const WEEKLY: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//station.example//calendar//EN\r\nBEGIN:VEVENT\r\n\
    UID:weekly-meeting\r\nDTSTAMP:20240304T060000Z\r\nDTSTART:20240304T090000Z\r\nDTEND:20240304T100000Z\r\n\
    RRULE:FREQ=WEEKLY;COUNT=10\r\nSUMMARY:Weekly meeting\r\nORGANIZER:mailto:ann@station.example\r\n\
    ATTENDEE;PARTSTAT=ACCEPTED:mailto:bert@station.example\r\nATTENDEE;CUTYPE=RESOURCE:mailto:room-1@station.example\
    \r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:weekly-meeting\r\nDTSTAMP:20240304T060000Z\r\n\
    RECURRENCE-ID:20240311T090000Z\r\nDTSTART:20240311T130000Z\r\nDTEND:20240311T140000Z\r\n\
    SUMMARY:Weekly meeting\\, moved\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

fn task(number: usize, what: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//station.example//calendar//EN\r\nBEGIN:VTODO\r\nUID:task-{number}\
         \r\nDTSTAMP:20240304T060000Z\r\nSUMMARY:{what}\r\nSTATUS:NEEDS-ACTION\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"
    )
}

fn card(name: &str, address: &str) -> String {
    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
    format!(
        "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{address}\r\nFN:{name}\r\nN:{last};{first};;;\r\nEMAIL:{address}\r\n\
         END:VCARD\r\n"
    )
}
