//! What happens after the first export: a day on the source, a day of work on the target, the last day before the switch.
//!
//! Each changes the tree as the servers would, and the last two meet on purpose: both sides move one message and both
//! set Clara's password, so that an import has something to decide.

use super::maildir::{deliver, expunge, flag, move_mail, open_folder, rename_folder};
use super::people::{
    ANN, BERT, BERT_SECOND_HASH, CLARA, CLARA_THIRD_HASH, EMIL, FRIDA, GERDA, OHARA, PEOPLE, folder_of,
};
use super::post::later_letter;
use super::tree::Tree;
use super::{START, collections, scripts};
use crate::fs::Fs;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::model::setting::Setting;
use crate::site::directory::DirectorySite;
use crate::site::directory::target::DirectoryTarget;
use crate::site::{SiteError, Target};
use std::path::Path;
use std::sync::Arc;

const DAY: i64 = 86_400;

/// A day on the source: new mail, read mail, moves, a deletion, a folder rename, a password change, an alias, events,
/// scripts, an access list.
pub fn a_day_passes(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    let tree = Tree { fs, root };
    let time = START + 60 * DAY;
    let (ann, bert, emil) = (folder_of(ANN), folder_of(BERT), folder_of(EMIL));
    open_folder(&tree, &ann, "", "S")?;
    flag(&tree, &bert, "", 0, "FS")?;
    flag(&tree, &emil, "", 1, "R")?;
    move_mail(&tree, &ann, "", 1, ".Archive")?;
    expunge(&tree, &bert, ".Junk", 0)?;
    rename_folder(&tree, &ann, ".Projects.R&-D", ".Projects.Research", time)?;
    deliver(&tree, &ann, "", later_letter(BERT, ANN, "The tender is ours", time), time)?;
    deliver(&tree, &ann, "", later_letter(CLARA, ANN, "Room for Thursday", time + 60), time + 60)?;
    deliver(&tree, &bert, "", later_letter(FRIDA, BERT, "Sand has arrived", time + 120), time + 120)?;
    deliver(&tree, &emil, "", later_letter(ANN, EMIL, "Autumn, second draft", time + 180), time + 180)?;
    set_password(&tree, BERT, BERT_SECOND_HASH, time)?;
    tree.edit("etc/virtual_alias", time, |text| format!("{text}tender@station.example\tann@station.example\n"))?;
    tree.edit(&format!("mail/{ann}/Maildir/.Notices/dovecot-acl"), time, |text| format!("{text}group=dispatch lrs\n"))?;
    collections::a_day(&tree, time)?;
    scripts::switch_script(&tree, time)
}

/// Users work on the target, which mail already flows to.
pub fn users_work_on_the_target(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    let tree = Tree { fs, root };
    let time = START + 61 * DAY;
    let (ann, bert, emil) = (folder_of(ANN), folder_of(BERT), folder_of(EMIL));
    deliver(&tree, &ann, "", later_letter(FRIDA, ANN, "Hello on the new server", time), time)?;
    deliver(&tree, &bert, "", later_letter(EMIL, BERT, "Does mail arrive?", time + 60), time + 60)?;
    move_mail(&tree, &ann, "", 0, ".Archive.2024")?;
    flag(&tree, &bert, "", 1, "FS")?;
    move_mail(&tree, &emil, ".Junk", 0, ".Trash")?;
    set_password(&tree, CLARA, CLARA_THIRD_HASH, time)
}

/// The last mail that the source gets, another name for a folder that is shared, and changes to what has been changed on
/// the target.
pub fn a_last_day(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    let tree = Tree { fs, root };
    let time = START + 62 * DAY;
    let (ann, gerda) = (folder_of(ANN), folder_of(GERDA));
    deliver(&tree, &ann, "", later_letter(OHARA, ANN, "One last thing", time), time)?;
    deliver(&tree, &gerda, "", later_letter(ANN, GERDA, "You are next", time + 60), time + 60)?;
    move_mail(&tree, &ann, "", 0, ".Projects")?;
    rename_folder(&tree, &ann, ".Projects.Tender", ".Projects.Tender won", time)?;
    flag(&tree, &gerda, "", 0, "S")?;
    set_password(&tree, CLARA, BERT_SECOND_HASH, time)
}

/// On the target, Bert brings back a mountpoint from an old copy of his settings; it still names Ann's folder as it was.
pub fn an_old_mountpoint_comes_back(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    let site = DirectoryTarget::new(DirectorySite::create(Arc::clone(fs), root, None)?);
    site.prepare(&super::site_id()?)?;
    let folder =
        |path: &str| FolderKey::new(FolderKind::Mail, path).map_err(|bad| SiteError::Unsupported(bad.to_string()));
    let (at, folder) = (folder("Tender, from backup")?, folder("Projects/Tender")?);
    let outcome = site.put_setting(BERT, &Setting::Mountpoint { at, owner: ANN.to_owned(), folder })?;
    outcome.map_err(|reason| SiteError::Unsupported(reason.to_string()))
}

fn set_password(tree: &Tree<'_>, address: &str, hash: &str, time: i64) -> Result<(), SiteError> {
    tree.edit("etc/passwd", time, |text| {
        let known = PEOPLE.iter().find(|person| person.address == address);
        let with = |line: &str| match line.split_once(':') {
            Some((login, rest)) if login == address && known.is_some() => {
                // The hash may hold no colon in any of the schemes.
                format!("{login}:{hash}:{}", rest.split_once(':').map_or("", |(_, rest)| rest))
            }
            _ => line.to_owned(),
        };
        text.lines().map(|line| with(line) + "\n").collect()
    })
}
