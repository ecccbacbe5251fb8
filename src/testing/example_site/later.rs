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
use crate::site::SiteError;
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
    rename_folder(&tree, &ann, ".Projects.Tender", ".Projects.Tender won", time)?;
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

/// The last mail that the source gets, and changes to what has been changed on the target.
pub fn a_last_day(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    let tree = Tree { fs, root };
    let time = START + 62 * DAY;
    let (ann, gerda) = (folder_of(ANN), folder_of(GERDA));
    deliver(&tree, &ann, "", later_letter(OHARA, ANN, "One last thing", time), time)?;
    deliver(&tree, &gerda, "", later_letter(ANN, GERDA, "You are next", time + 60), time + 60)?;
    move_mail(&tree, &ann, "", 0, ".Projects")?;
    flag(&tree, &gerda, "", 0, "S")?;
    set_password(&tree, CLARA, BERT_SECOND_HASH, time)
}

/// On the target, Ann renames the folder that Gerda has in her mailbox.
pub fn a_shared_folder_is_renamed(fs: &Arc<dyn Fs>, root: &Path) -> Result<(), SiteError> {
    let tree = Tree { fs, root };
    rename_folder(&tree, &folder_of(ANN), ".Handover", ".Handed over", START + 63 * DAY)
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
