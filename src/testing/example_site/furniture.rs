//! What has no file of its own in a mail tree: classes of service, the kinds of lists and rooms, identities,
//! signatures, preferences, mountpoints, and grants to others than users and groups. Written through the
//! [`Target`] trait, as any connector's target would get it.

use super::people::{ALL, ANN, BERT, CLARA, EMIL, FRIDA, GERDA, OHARA, ROOM, TEAM};
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::model::provisioning::{
    AccountClass, Attributes, ClassOfService, DistributionList, Domain, Record, Secret, SiteSettings,
};
use crate::model::setting::Setting;
use crate::model::share::{Grant, Grantee, Rights};
use crate::site::{RecordChange, SiteError, Target};

/// Puts everything in place. The tree's own files must be there already.
pub fn put(target: &dyn Target) -> Result<(), SiteError> {
    let changes: Vec<_> = records(target)?.into_iter().map(|record| RecordChange::Put { record, was: None }).collect();
    for outcome in target.put_records(&changes)? {
        accepted(outcome)?;
    }
    for (account, setting) in settings() {
        accepted(target.put_setting(account, &setting)?)?;
    }
    for (account, kind, path, grants) in grants() {
        accepted(target.put_grants(account, &folder(kind, path)?, &grants)?)?;
    }
    Ok(())
}

fn accepted(outcome: Result<(), crate::event::Reason>) -> Result<(), SiteError> {
    outcome.map_err(|reason| SiteError::Unsupported(format!("the example site was refused: {reason}")))
}

fn folder(kind: FolderKind, path: &str) -> Result<FolderKey, SiteError> {
    FolderKey::new(kind, path).map_err(|bad| SiteError::Unsupported(bad.to_string()))
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Records that say more than `etc/` can: the accounts as the tree has them, with class of service and kind.
fn records(target: &dyn Target) -> Result<Vec<Record>, SiteError> {
    let cos = |name: &str, gigabytes: u64, features: &[(&str, &str)]| {
        let quota_bytes = Some(gigabytes << 30);
        Record::Cos(ClassOfService { name: name.to_owned(), quota_bytes, attributes: attributes(features) })
    };
    let mut records = vec![
        Record::Settings(SiteSettings {
            name: "global".to_owned(),
            attributes: attributes(&[("message-size-limit", "52428800"), ("postmaster", "postmaster@station.example")]),
        }),
        cos("standard", 1, &[("calendar", "yes"), ("mobile", "no")]),
        cos("large", 5, &[("calendar", "yes"), ("mobile", "yes")]),
        Record::Domain(Domain {
            name: "depot.example".to_owned(),
            alias_of: Some("station.example".to_owned()),
            catch_all: Vec::new(),
            attributes: Attributes::new(),
        }),
        list(TEAM, "The team", &[ANN, BERT, CLARA, EMIL], &[CLARA]),
        list(ALL, "Everybody at Wagon", &[EMIL, FRIDA, OHARA, GERDA, TEAM, "partner@elsewhere.example"], &[FRIDA, ANN]),
    ];
    for found in target.provisioning()?.records {
        if let Record::Account(mut account) = found.record {
            account.cos =
                Some(if account.address.ends_with("@wagon.example") { "large" } else { "standard" }.to_owned());
            if account.address == ROOM {
                account.class = AccountClass::Location;
                account.attributes.insert("capacity".to_owned(), "12".to_owned());
            }
            records.push(Record::Account(account));
        }
    }
    Ok(records)
}

fn list(address: &str, name: &str, members: &[&str], owners: &[&str]) -> Record {
    let texts = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    Record::List(DistributionList {
        address: address.to_owned(),
        name: Some(name.to_owned()),
        members: texts(members),
        owners: texts(owners),
        attributes: attributes(&[("reply-to", address)]),
    })
}

fn settings() -> Vec<(&'static str, Setting)> {
    let identity = |name: &str, from: &str, signature: &str| Setting::Identity {
        name: name.to_owned(),
        from: from.to_owned(),
        reply_to: Some("info@station.example".to_owned()),
        signature: Some(signature.to_owned()),
        attributes: attributes(&[("sent-folder", "Sent")]),
    };
    let signature =
        |name: &str, text: &str, html: bool| Setting::Signature { name: name.to_owned(), text: text.to_owned(), html };
    let preference = |name: &str, value: &str| Setting::Preference { name: name.to_owned(), value: value.to_owned() };
    let tag = |name: &str, color: &str| Setting::Tag { name: name.to_owned(), color: Some(color.to_owned()) };
    let mut all = vec![
        (ANN, identity("work", "Ann Ash <ann@station.example>", "short")),
        (ANN, identity("office", "Office <info@station.example>", "office")),
        (ANN, signature("short", "Ann\n", false)),
        (ANN, signature("office", "<p>Station office, <b>track 1</b></p>", true)),
        (ANN, tag("urgent", "#c0392b")),
        (ANN, tag("Herbstplan – 秋", "#27ae60")),
        (ANN, preference("theme", "dark")),
        (ANN, preference("default-calendar-share", BERT)),
        (BERT, preference("signature-position", "above")),
        (
            BERT,
            Setting::Forwarding { targets: vec!["bert@elsewhere.example".to_owned(), ANN.to_owned()], keep_copy: true },
        ),
        (
            CLARA,
            Setting::Vacation {
                enabled: true,
                subject: "Away until Monday".to_owned(),
                text: "I read this on Monday.\nBert has the keys.\n".to_owned(),
                attributes: attributes(&[("from", "2024-03-01"), ("until", "2024-03-11")]),
            },
        ),
        (
            FRIDA,
            Setting::ExternalSource {
                name: "old mailbox".to_owned(),
                protocol: "imap".to_owned(),
                host: "imap.elsewhere.example".to_owned(),
                user: "frida.fir".to_owned(),
                password: Some(Secret::new("example-only")),
                attributes: attributes(&[("port", "993"), ("folder", "Imported")]),
            },
        ),
    ];
    for (grantee, kind, at, owner, path) in MOUNTPOINTS {
        if let (Ok(at), Ok(folder)) = (folder(kind, at), folder(kind, path)) {
            all.push((grantee, Setting::Mountpoint { at, owner: owner.to_owned(), folder }));
        }
    }
    all
}

/// Grantee, kind, where it appears, owner, the owner's folder. Gerda is one of each, so both ends wait for her.
const MOUNTPOINTS: [(&str, FolderKind, &str, &str, &str); 7] = [
    (BERT, FolderKind::Mail, "Ann's timetable", ANN, "Projects/Timetable"),
    (BERT, FolderKind::Mail, "The tender", ANN, "Projects/Tender"),
    (BERT, FolderKind::Calendars, "ann", ANN, "timetable"),
    (EMIL, FolderKind::Mail, "Fahrpläne von Ann", ANN, "Fahrpläne"),
    (EMIL, FolderKind::Contacts, "ann", ANN, "addressbook"),
    (GERDA, FolderKind::Mail, "Handover from Ann", ANN, "Handover"),
    (BERT, FolderKind::Mail, "Gerda's shifts", GERDA, "Shift plans"),
];

/// Access lists, one of every kind of grantee; those to users, groups and everybody could stand in `dovecot-acl` alone.
fn grants() -> Vec<(&'static str, FolderKind, &'static str, Vec<Grant>)> {
    let to =
        |grantee: Grantee, letters: &str| Grant { grantee, rights: Rights::from_letters(letters), negative: false };
    let user = |who: &str, letters: &str| to(Grantee::User(who.to_owned()), letters);
    let without = |who: &str, letters: &str| Grant { negative: true, ..user(who, letters) };
    vec![
        (ANN, FolderKind::Mail, "Projects/Timetable", vec![user(BERT, "lrwsti"), user(EMIL, "lr")]),
        (ANN, FolderKind::Mail, "Projects/Tender", vec![user(BERT, "lrs"), to(Grantee::Owner, "lrwstipekxa")]),
        (ANN, FolderKind::Mail, "Fahrpläne", vec![user(EMIL, "lrwstie"), to(Grantee::List(TEAM.to_owned()), "lr")]),
        (ANN, FolderKind::Mail, "Handover", vec![user(GERDA, "lrs")]),
        (ANN, FolderKind::Mail, "Notices", vec![to(Grantee::Everyone, "lr"), without(FRIDA, "r")]),
        (ANN, FolderKind::Calendars, "timetable", vec![user(BERT, "lrwi"), to(Grantee::Public, "lr")]),
        (
            ANN,
            FolderKind::Contacts,
            "addressbook",
            vec![user(EMIL, "lr"), to(Grantee::Cos("standard".to_owned()), "lr")],
        ),
        (BERT, FolderKind::Mail, "Dispatch", vec![to(Grantee::Group("dispatch".to_owned()), "lrswi")]),
        (CLARA, FolderKind::Mail, "Lists/Team", vec![to(Grantee::Domain("wagon.example".to_owned()), "lr")]),
        (FRIDA, FolderKind::Mail, "Photos", vec![to(Grantee::Guest("partner@elsewhere.example".to_owned()), "lr")]),
        (GERDA, FolderKind::Mail, "Shift plans", vec![user(BERT, "lr")]),
        (ROOM, FolderKind::Calendars, "bookings", vec![to(Grantee::Everyone, "lr"), user(ANN, "lrwstie")]),
    ]
}
