//! A small mail site, made of nothing: the demo's world and the tests'. Promises the same tree on every machine, to the
//! byte and the second, written in well under a second.
//!
//! Two domains and an alias domain, eight accounts and a room, lists, aliases, a catch-all, two classes of service, some
//! 120 messages (attachments that several received, nested and broken MIME), calendars, contacts, tasks, Sieve, and
//! shares of every kind. The password of `USER@DOMAIN` is `pw-USER`. [`a_day_passes`], [`users_work_on_the_target`] and
//! [`a_last_day`] go on with the story.

mod collections;
mod dice;
mod furniture;
mod later;
mod letter;
mod maildir;
mod oddities;
pub mod people;
mod post;
mod scripts;
mod tree;

pub use later::{a_day_passes, a_last_day, an_old_mountpoint_comes_back, users_work_on_the_target};

use crate::fs::Fs;
use crate::model::id::{BadSiteId, SiteId};
use crate::site::directory::DirectorySite;
use crate::site::directory::target::DirectoryTarget;
use crate::site::{SiteError, Target};
use maildir::{Mail, Names, Place};
use people::{ANN, BERT, FRIDA, OHARA, PEOPLE, POSTMASTER, folder_of};
use std::path::Path;
use std::sync::Arc;
use tree::Tree;

/// Monday, 4 March 2024, 08:00 UTC: the first day of the example site.
pub const START: i64 = 1_709_539_200;

/// Makes the site in `root`, which must be empty or missing.
pub fn build(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    build_tree(fs, root)?;
    let site = DirectoryTarget::new(DirectorySite::create(Arc::clone(fs), root, None)?);
    site.prepare(&site_id()?)?;
    furniture::put(&site)
}

/// The id of a site that has none yet.
fn site_id() -> Result<SiteId, SiteError> {
    "example".parse().map_err(|bad: BadSiteId| SiteError::Unsupported(bad.to_string()))
}

/// Writes the tree: `mail/`, `dav/`, `etc/`. `root` must be empty or missing.
pub fn build_tree(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    let tree = Tree { fs, root };
    people::write(&tree, START)?;
    write_mail(&tree)?;
    collections::write(&tree, START)?;
    scripts::write(&tree, START)?;
    write_access_lists(&tree)
}

fn write_mail(tree: &Tree<'_>) -> Result<(), SiteError> {
    let mut post = post::write_all(START);
    let odd = post.boxes.entry(POSTMASTER).or_default().folder(".Oddities");
    for (number, (_, bytes)) in (0..).zip(oddities::ALL) {
        let (raw, date) = (bytes.to_vec(), START + 60 * number);
        odd.push(Mail { raw, date, flags: "S".to_owned(), keywords: Vec::new(), place: Place::Cur, uidl: None });
    }
    for person in &PEOPLE {
        let mailbox = post.boxes.entry(person.address).or_default();
        for (folder, mails) in &mut mailbox.folders {
            for (number, mail) in mails.iter_mut().enumerate() {
                if person.address == FRIDA && folder.is_empty() {
                    // Frida's mail came from a server whose POP3 clients must not load everything again.
                    mail.uidl = Some(format!("{:08x}{number:08x}", START));
                }
                if person.address == BERT && folder == ".Sent" {
                    // A client that was written for another system.
                    mail.raw = String::from_utf8_lossy(&mail.raw).replace('\n', "\r\n").into_bytes();
                }
            }
        }
        let names = if person.address == OHARA { Names::CourierAndQmail } else { Names::Dovecot };
        let subscribed: Vec<_> = mailbox.folders.keys().map(|name| name.trim_start_matches('.').to_owned()).collect();
        let subscribed: Vec<_> =
            subscribed.iter().map(String::as_str).filter(|name| !matches!(*name, "" | "Trash" | "Notices")).collect();
        maildir::write(tree, &person.folder(), mailbox, names, &subscribed, START)?;
    }
    Ok(())
}

/// `dovecot-acl` as Dovecot writes it, for what Dovecot knows.
fn write_access_lists(tree: &Tree<'_>) -> Result<(), SiteError> {
    for (account, folder, text) in [
        (ANN, ".Projects.Timetable", "user=bert@station.example lrwsti\nuser=emil@wagon.example lr\n"),
        (ANN, ".Projects.Tender", "owner lrwstipekxa\nuser=bert@station.example lrs\n"),
        (ANN, ".Handover", "user=gerda@wagon.example lrs\n"),
        (ANN, ".Notices", "authenticated lr\n-user=frida@wagon.example r\n"),
        (ANN, ".Archive", "anonymous l\n"),
        (BERT, ".Dispatch", "group=dispatch lrwsi\n"),
    ] {
        tree.file(&format!("{}/dovecot-acl", maildir::folder_dir(&folder_of(account), folder)), text, START)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use crate::model::provisioning::Record;
    use crate::site::{Depth, FolderScan, Source};
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::time::UNIX_EPOCH;

    fn files_of(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u64)> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![root.to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in dir.read_dir().unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    let time = entry.metadata().unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
                    let content = RealFs.read(&entry.path(), 1 << 20).unwrap();
                    let seconds = if entry.file_type().unwrap().is_symlink() { 0 } else { time.as_secs() };
                    files.insert(entry.path().strip_prefix(root).unwrap().to_owned(), (content, seconds));
                }
            }
        }
        files
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        build_tree(&fs, dir.path()).unwrap();
        dir
    }

    #[test]
    fn the_same_tree_arises_each_time() {
        assert!(files_of(tree().path()) == files_of(tree().path()));
    }

    #[test]
    fn it_has_about_120_messages_and_small_ones_only() {
        let site = tree();
        let files = files_of(site.path());
        let messages: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.parent().is_some_and(|dir| dir.ends_with("cur") || dir.ends_with("new")))
            .collect();
        let bytes: usize = files.values().map(|(content, _)| content.len()).sum();
        assert!((115..=135).contains(&messages.len()), "{} messages", messages.len());
        assert!(bytes < 4 << 20, "{bytes} bytes");
        assert!(messages.iter().any(|(path, _)| path.parent().unwrap().ends_with("new")), "some mail is unread");
    }

    #[test]
    fn a_day_changes_some_files_and_leaves_the_rest() {
        let site = tree();
        let before = files_of(site.path());
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        a_day_passes(&fs, site.path()).unwrap();
        let after = files_of(site.path());
        let kept = after.iter().filter(|(path, state)| before.get(*path) == Some(state)).count();
        assert!(kept * 10 > before.len() * 7, "{kept} of {} files stayed", before.len());
        assert!(after.keys().any(|path| path.to_string_lossy().contains(".Projects.Research/maildirfolder")));
        let passwd = String::from_utf8(after[Path::new("etc/passwd")].0.clone()).unwrap();
        assert!(passwd.contains(people::BERT_SECOND_HASH));
        users_work_on_the_target(&fs, site.path()).unwrap();
        a_last_day(&fs, site.path()).unwrap();
    }

    #[test]
    fn the_directory_connector_reads_all_of_it_without_a_complaint() {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        build(&fs, dir.path()).unwrap();
        let site = DirectorySite::open(fs, dir.path()).unwrap();
        let scan = site.provisioning().unwrap();
        assert_eq!(scan.rejected, []);
        let mut kinds = BTreeMap::<_, usize>::new();
        let (mut settings, mut grantees) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
        for found in scan.records {
            *kinds.entry(found.record.kind().word()).or_default() += 1;
            let Record::Account(account) = found.record else { continue };
            let mailbox = site.mailbox(&account.address).unwrap();
            assert_eq!(mailbox.rejected, [], "{}", account.address);
            for setting in mailbox.settings {
                *settings.entry(setting.key().0).or_default() += 1;
            }
            for folder in mailbox.folders {
                let scan = site.folder(&account.address, &folder.key, None, Depth::Marks).unwrap();
                let FolderScan::Listed(listing) = scan else { panic!("{} {}: {scan:?}", account.address, folder.key) };
                assert_eq!(listing.rejected, [], "{} {}", account.address, folder.key);
                for grant in listing.folder.grants {
                    let kind = grant.grantee.to_string().split(' ').next().unwrap().to_owned();
                    *grantees.entry(kind).or_default() += 1;
                }
            }
        }
        let kinds: Vec<_> = kinds.into_iter().collect();
        assert_eq!(kinds, [("account", 9), ("alias", 3), ("cos", 2), ("domain", 3), ("list", 3), ("settings", 1)]);
        assert_eq!(settings.len(), 8, "every kind of setting: {settings:?}");
        assert_eq!(grantees.len(), 9, "every kind of grantee: {grantees:?}");
    }
}
