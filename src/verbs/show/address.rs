//! Addresses of what an archive holds: `ACCOUNT`, `ACCOUNT:FOLDER`, `ACCOUNT:FOLDER/ITEM`.
//!
//! An account's name may hold colons and a folder's name slashes, so an address is not cut by its punctuation but by what
//! the snapshot has: the longest account that fits, then the longest folder. Where a mail folder and another fit alike
//! (`calendars/team` may be both), the mail folder is meant. An item's name holds no slash.

use super::{ShowError, View};
use crate::format::manifest::AccountState;
use crate::model::id::{FolderId, ItemId, RecordId};
use crate::model::mailbox::Folder;

/// What an address names, together with the mailbox that it was looked up in.
#[derive(Debug)]
pub struct Resolved {
    pub account: RecordId,
    /// The account's address as the site spells it.
    pub address: String,
    pub mailbox: AccountState,
    pub within: Within,
}

/// The part of a mailbox that an address names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Within {
    Account,
    Folder(FolderId),
    Item(ItemId),
    /// No folder itself, but others lie beneath it: `Archive` where only `Archive/2023` exists, or `calendars`.
    Above(String),
}

/// Looks up what `text` names.
pub fn resolve(view: &View<'_>, text: &str) -> Result<Resolved, ShowError> {
    let accounts: Vec<_> = view.provisioning.accounts().map(|(id, account)| (id, account.address.as_str())).collect();
    let (account, rest) =
        split_account(text, &accounts).ok_or_else(|| view.no_account(text.split(':').next().unwrap_or(text)))?;
    let address = accounts.iter().find(|(id, _)| *id == account).map(|(_, address)| (*address).to_owned());
    let address = address.unwrap_or_default();
    let mailbox = view.mailbox(account)?;
    let within = match rest {
        None | Some("") => Within::Account,
        Some(rest) => {
            let found = within(&mailbox, rest);
            view.archive.check_scratch()?;
            found.ok_or_else(|| ShowError::NotInAccount { account: address.clone(), what: rest.to_owned() })?
        }
    };
    Ok(Resolved { account, address, mailbox, within })
}

/// Cuts `text` behind the longest account that it begins with. The account's exact spelling counts first; upper and
/// lower case are alike only where no other account is spelled so too.
fn split_account<'t>(text: &'t str, accounts: &[(RecordId, &str)]) -> Option<(RecordId, Option<&'t str>)> {
    let mut cuts: Vec<_> = text.match_indices(':').map(|(at, _)| (text.get(..at), text.get(at + 1..))).collect();
    cuts.push((Some(text), None));
    let cuts = cuts.into_iter().rev().filter_map(|(account, rest)| Some((account?, rest)));
    for (name, rest) in cuts {
        let exact = accounts.iter().find(|(_, address)| *address == name);
        let mut alike = accounts.iter().filter(|(_, address)| address.to_lowercase() == name.to_lowercase());
        if let Some((id, _)) = exact.or_else(|| alike.next().filter(|_| alike.next().is_none())) {
            return Some((*id, rest));
        }
    }
    None
}

/// Looks up `FOLDER` or `FOLDER/ITEM` in a mailbox.
fn within(mailbox: &AccountState, rest: &str) -> Option<Within> {
    let rest = rest.trim_end_matches('/');
    if let Some(folder) = folders_called(mailbox, rest).next() {
        return Some(Within::Folder(folder));
    }
    if let Some((folder, item)) = rest.rsplit_once('/')
        && let Some(found) = folders_called(mailbox, folder).find_map(|folder| item_called(mailbox, folder, item))
    {
        return Some(Within::Item(found));
    }
    let prefix = format!("{rest}/");
    mailbox
        .folders
        .values()
        .any(|folder| folder.key.to_string().starts_with(&prefix))
        .then(|| Within::Above(rest.to_owned()))
}

/// Folders that an address calls `name`: the mail folder first.
fn folders_called<'m>(mailbox: &'m AccountState, name: &str) -> impl Iterator<Item = FolderId> + use<'m> {
    let mut found: Vec<(&Folder, FolderId)> =
        mailbox.folders.iter().map(|(id, folder)| (folder, *id)).filter(|(f, _)| f.key.to_string() == name).collect();
    found.sort_by_key(|(folder, _)| folder.key.kind());
    found.into_iter().map(|(_, id)| id)
}

/// An item by its name, or by its Maildir file name with flags behind it.
fn item_called(mailbox: &AccountState, folder: FolderId, name: &str) -> Option<ItemId> {
    let called = |name: &str| {
        let mut items = mailbox.items.names();
        items.find(|(_, lies, item)| *lies == folder && *item == name).map(|(id, ..)| id)
    };
    called(name).or_else(|| called(name.rsplit_once(":2,")?.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::items::ItemAt;
    use crate::model::id::ObjectId;
    use crate::model::mailbox::{FolderKey, FolderKind, Item};

    const ACCOUNTS: &[(RecordId, &str)] = &[
        (RecordId(1), "ann@example.org"),
        (RecordId(2), "Ann@example.org"),
        (RecordId(3), "bob@example.org"),
        (RecordId(4), "odd:name@example.org"),
        (RecordId(5), "odd"),
    ];

    fn mailbox() -> AccountState {
        let mut mailbox = AccountState::default();
        let folders = [
            (1, FolderKind::Mail, "INBOX"),
            (2, FolderKind::Mail, "Archive/2023"),
            (3, FolderKind::Calendars, "personal"),
            (4, FolderKind::Calendars, "team"),
            (5, FolderKind::Mail, "calendars/team"),
            (6, FolderKind::Mail, "INBOX/1"),
        ];
        for (id, kind, path) in folders {
            mailbox.folders.insert(FolderId(id), Folder::at(FolderKey::new(kind, path).unwrap()));
        }
        let items = [(1, 1, "1"), (2, 2, "1587.M1P2.host"), (3, 3, "x.ics"), (4, 4, "y.ics"), (5, 1, "2:2,weird")];
        for (id, folder, name) in items {
            let item = Item {
                name: name.to_owned(),
                object: ObjectId::of(name.as_bytes()),
                size: 1,
                date: 0,
                flags: Default::default(),
                keywords: Vec::new(),
                tags: Vec::new(),
                uid: None,
                uidl: None,
            };
            mailbox.items.insert(ItemId(id), &ItemAt { folder: FolderId(folder), item });
        }
        mailbox
    }

    #[test]
    fn an_account_ends_where_the_longest_one_that_fits_ends() {
        let cut = |text| split_account(text, ACCOUNTS);
        assert_eq!(cut("bob@example.org"), Some((RecordId(3), None)));
        assert_eq!(cut("bob@example.org:INBOX/1@2:3"), Some((RecordId(3), Some("INBOX/1@2:3"))));
        assert_eq!(cut("odd:name@example.org:INBOX"), Some((RecordId(4), Some("INBOX"))));
        assert_eq!(cut("odd:other"), Some((RecordId(5), Some("other"))));
        assert_eq!(cut("nobody@example.org:INBOX"), None);
    }

    #[test]
    fn case_counts_only_where_two_accounts_differ_by_it() {
        let cut = |text| split_account(text, ACCOUNTS).map(|(id, _)| id);
        assert_eq!(cut("BOB@Example.org:INBOX"), Some(RecordId(3)));
        assert_eq!(cut("Ann@example.org"), Some(RecordId(2)));
        assert_eq!(cut("ANN@example.org"), None);
    }

    #[test]
    fn the_longest_folder_wins_and_a_mail_folder_before_any_other() {
        let mailbox = mailbox();
        let at = |rest| within(&mailbox, rest);
        assert_eq!(at("INBOX"), Some(Within::Folder(FolderId(1))));
        assert_eq!(at("INBOX/1"), Some(Within::Folder(FolderId(6))));
        assert_eq!(at("Archive/2023/"), Some(Within::Folder(FolderId(2))));
        assert_eq!(at("Archive/2023/1587.M1P2.host"), Some(Within::Item(ItemId(2))));
        assert_eq!(at("calendars/personal/x.ics"), Some(Within::Item(ItemId(3))));
        assert_eq!(at("calendars/team"), Some(Within::Folder(FolderId(5))));
        assert_eq!(at("calendars/team/y.ics"), Some(Within::Item(ItemId(4))), "the mail folder has no such item");
        assert_eq!(at("calendars"), Some(Within::Above("calendars".to_owned())));
        assert_eq!(at("Archive"), Some(Within::Above("Archive".to_owned())));
        assert_eq!(at("Nowhere/1"), None);
    }

    #[test]
    fn a_maildir_name_may_bring_its_flags() {
        let mailbox = mailbox();
        assert_eq!(within(&mailbox, "Archive/2023/1587.M1P2.host:2,FS"), Some(Within::Item(ItemId(2))));
        assert_eq!(within(&mailbox, "INBOX/2:2,weird"), Some(Within::Item(ItemId(5))));
    }
}
