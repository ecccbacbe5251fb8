//! Making, renaming, removing and sharing folders; an account's mailbox as a whole.

use super::client::{Command, Said, Untagged};
use super::listing::{PRIVATE_COMMENT, SHARED_COMMENT, SPECIAL_USES};
use super::look::Opening;
use super::names::stand_ins;
use super::rights::{self, Dialect};
use super::state::{About, FolderRow};
use super::{ImapStore, pool};
use crate::event::Reason;
use crate::limits;
use crate::model::mailbox::{Folder, FolderKey, FolderKind, SpecialUse};
use crate::model::share::{Grant, Grantee, Rights};
use crate::site::server::LoginMode;
use crate::site::{FolderPut, SiteError};
use std::sync::PoisonError;

type Done = Result<(), Reason>;

impl ImapStore {
    pub(super) fn make_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.state.account(account)?;
        if seen.spelling.is_none() {
            self.refresh(account, &mut seen)?;
        }
        let spelling = seen.spelling.clone().unwrap_or_default();
        seen.fresh.remove(folder.key.path());
        let known = self.state.folder(id, folder.key.path())?;
        let (mut wire, _) = match &known {
            Some(row) => (row.wire.clone(), false),
            None => spelling.wire(&folder.key),
        };
        let mut lease = self.lease(account)?;
        let (mut created, mut lost) = (false, Vec::new());
        let mut about = known.as_ref().map(|row| row.about.clone()).unwrap_or_default();
        let is_new = known.is_none() && folder.key != FolderKey::inbox();
        if is_new {
            let mut made = create(&mut lease, &wire, folder.special_use)?;
            for stand_in in stand_ins(&folder.key) {
                let (other, _) = spelling.wire(&stand_in);
                // Where there are too many folders, another name does not help.
                if made.said.is_ok() || made.exists() || made.said.asks_to_wait() {
                    break;
                }
                if other == wire {
                    continue;
                }
                let again = create(&mut lease, &other, folder.special_use)?;
                if again.said.is_ok() || again.exists() {
                    (wire, made) = (other, again);
                }
            }
            if !made.said.is_ok() && !made.exists() {
                return Ok(Err(Reason::Refused(made.said.to_string())));
            }
            created = made.said.is_ok();
            if made.with_use {
                about.special_use = folder.special_use;
            }
        }
        // What the server calls it now is what a later listing will call it.
        let key = match spelling.key(&wire) {
            Some(Ok(key)) => key,
            _ => return Ok(Err(Reason::BadName("the server would list it under a name without a path".to_owned()))),
        };
        if about.subscribed != folder.subscribed {
            let verb = if folder.subscribed { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
            let said = lease.ask(&Command::new(verb).string(&wire), &mut |_| Ok(()))?;
            match said.is_ok() {
                true => about.subscribed = folder.subscribed,
                false => lost.push(format!("the target does not take {verb}: {said}")),
            }
        }
        if about.special_use != folder.special_use {
            let wanted = folder.special_use.and_then(use_name);
            // An annotation (RFC 6154, section 4).
            match annotate(&mut lease, &wire, "/private/specialuse", wanted.as_deref())? {
                Ok(()) => about.special_use = folder.special_use,
                Err(why) => {
                    let wanted = wanted.unwrap_or_else(|| "none".to_owned());
                    lost.push(format!("the target does not take its special use ({wanted}): {why}"));
                }
            }
        }
        let comments = [
            ("description", SHARED_COMMENT, &folder.description, &mut about.description),
            ("comment", PRIVATE_COMMENT, &folder.comment, &mut about.comment),
        ];
        for (what, entry, wanted, present) in comments {
            if wanted == present {
                continue;
            }
            match annotate(&mut lease, &wire, entry, wanted.as_deref())? {
                Ok(()) => present.clone_from(wanted),
                Err(why) => lost.push(format!("the target does not take its {what}: {why}")),
            }
        }
        let number = self.state.add_folder(id, key.path(), &wire)?;
        self.state.set_about(number, &about)?;
        seen.fresh.remove(key.path());
        Ok(Ok(FolderPut { key, created, lost }))
    }

    pub(super) fn move_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Result<Done, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.state.account(account)?;
        if *from == FolderKey::inbox() {
            return Ok(Err(Reason::Unsupported("the inbox cannot be renamed; that would empty it".to_owned())));
        }
        let listing = self.refresh(account, &mut seen)?;
        let spelling = listing.spelling;
        // A rename that an earlier run did.
        if !listing.folders.contains_key(from) && listing.folders.contains_key(to) {
            return Ok(Ok(()));
        }
        let Some(row) = self.state.folder(id, from.path())? else {
            return Ok(Err(Reason::Refused(format!("there is no folder {from}"))));
        };
        let (wire, mapped) = spelling.wire(to);
        if mapped {
            return Ok(Err(Reason::BadName(format!("the server cannot spell {to}"))));
        }
        let mut lease = self.lease(account)?;
        let said = lease.ask(&Command::new("RENAME").string(&row.wire).string(&wire), &mut |_| Ok(()))?;
        if !said.is_ok() {
            return refused(&said);
        }
        let above = format!("{}/", from.path());
        let moved: Vec<FolderRow> = self.state.folders(id)?;
        for folder in moved.into_iter().filter(|folder| folder.id == row.id || folder.path.starts_with(&above)) {
            let rest = folder.path.get(from.path().len()..).unwrap_or_default();
            let Ok(key) = FolderKey::new(FolderKind::Mail, &format!("{}{rest}", to.path())) else { continue };
            let (wire, _) = spelling.wire(&key);
            self.state.rename_folder(folder.id, key.path(), &wire)?;
            if folder.about.subscribed {
                // Subscriptions are names, and do not follow.
                lease.ask(&Command::new("UNSUBSCRIBE").string(&folder.wire), &mut |_| Ok(()))?;
                lease.ask(&Command::new("SUBSCRIBE").string(&wire), &mut |_| Ok(()))?;
            }
        }
        seen.fresh.clear();
        Ok(Ok(()))
    }

    pub(super) fn drop_folder(&self, account: &str, key: &FolderKey) -> Result<Done, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.state.account(account)?;
        if *key == FolderKey::inbox() {
            return Ok(Err(Reason::Unsupported("the inbox cannot be removed".to_owned())));
        }
        let Some(row) = self.state.folder(id, key.path())? else { return Ok(Ok(())) };
        let mut lease = self.lease(account)?;
        match lease.open(&row.wire, false, "", &mut |_| Ok(()))? {
            Ok(selected) if selected.messages > 0 => {
                return Ok(Err(Reason::Refused(format!("it holds {} messages", selected.messages))));
            }
            Ok(_) => {}
            Err(said) if said.has("NONEXISTENT") => {
                self.state.remove_folder(id, row.id)?;
                return Ok(Ok(()));
            }
            Err(said) => return refused(&said),
        }
        lease.close()?;
        let said = lease.ask(&Command::new("DELETE").string(&row.wire), &mut |_| Ok(()))?;
        if !said.is_ok() && !said.has("NONEXISTENT") {
            return refused(&said);
        }
        lease.ask(&Command::new("UNSUBSCRIBE").string(&row.wire), &mut |_| Ok(()))?;
        self.state.remove_folder(id, row.id)?;
        seen.fresh.remove(key.path());
        Ok(Ok(()))
    }

    pub(super) fn set_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Result<Done, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.state.account(account)?;
        let row = match self.state.folder(id, key.path())? {
            Some(row) => row,
            None => match self.present(account, key, &mut seen, Opening::ToRead)? {
                Some(row) => row,
                None => return Ok(Err(Reason::Refused(format!("there is no folder {key}")))),
            },
        };
        seen.fresh.remove(key.path());
        let mut lease = self.lease(account)?;
        if !lease.can("ACL") {
            let none = grants.is_empty();
            return Ok(if none { Ok(()) } else { Err(Reason::Unsupported("it has no access lists (ACL)".to_owned())) });
        }
        let dialect = if lease.is_dovecot() { Dialect::Dovecot } else { Dialect::Cyrus };
        let mut present = Vec::new();
        let said = lease.ask(&Command::new("GETACL").string(&row.wire), &mut |untagged| {
            if let Untagged::Acl(_, entries) = untagged {
                present = entries;
            }
            Ok(())
        })?;
        if !said.is_ok() {
            return refused(&said);
        }
        let mut trouble: Vec<String> = Vec::new();
        let mut wanted: Vec<(String, Rights)> = Vec::new();
        for grant in grants {
            match rights::identifier(grant, account, dialect) {
                Some(name) => wanted.push((name, guarded(grant))),
                None => trouble.push(format!("it has no word for {}", grant.grantee)),
            }
        }
        let (mut steps, own) = (Vec::new(), [account, "owner"]);
        for (name, due) in &wanted {
            let same = present.iter().any(|(known, letters)| known == name && rights::said(letters) == *due);
            if !same {
                steps.push(
                    Command::new("SETACL").string(&row.wire).string(name.as_bytes()).string(due.as_str().as_bytes()),
                );
            }
        }
        for (name, _) in &present {
            // The owner's own rights stay unless a grant says otherwise; the administrator's file is not ours.
            let kept = own.iter().any(|own| own.eq_ignore_ascii_case(name)) || name.starts_with('#');
            if !kept && !wanted.iter().any(|(wanted, _)| wanted == name) {
                steps.push(Command::new("DELETEACL").string(&row.wire).string(name.as_bytes()));
            }
        }
        for step in steps {
            let said = lease.ask(&step, &mut |_| Ok(()))?;
            if !said.is_ok() {
                trouble.push(format!("{}: {said}", step.shown()));
            }
        }
        let mut now = Vec::new();
        lease.ask(&Command::new("GETACL").string(&row.wire), &mut |untagged| {
            if let Untagged::Acl(_, entries) = untagged {
                now = rights::grants(&entries, account);
            }
            Ok(())
        })?;
        self.state.set_about(row.id, &About { grants: now, ..row.about })?;
        Ok(if trouble.is_empty() { Ok(()) } else { Err(Reason::Refused(trouble.join("; "))) })
    }

    /// Makes sure that the account has an inbox: most servers make it at the first login, others want an administrator.
    pub(super) fn make_mailbox(&self, account: &str, quota_bytes: Option<u64>) -> Result<Done, SiteError> {
        let has_inbox = match self.lease(account) {
            Ok(mut lease) => {
                let mut found = false;
                lease.ask(&Command::new("LIST \"\" INBOX"), &mut |untagged| {
                    found |= matches!(untagged, Untagged::List(_));
                    Ok(())
                })?;
                found
            }
            // Some let nobody act for an account without a mailbox.
            Err(SiteError::Server { .. }) if self.pool.login().mode == LoginMode::Proxy => false,
            Err(error) => return Err(error),
        };
        if has_inbox && quota_bytes.is_none() {
            return Ok(Ok(()));
        }
        let admin = match self.pool.lease_admin(&|| self.readers.release()) {
            Ok(admin) => admin,
            // The one who acts for accounts need not have a login of his own (Dovecot).
            Err(SiteError::Server { .. }) if has_inbox => None,
            Err(error) => return Err(error),
        };
        let Some(mut admin) = admin else { return Ok(Ok(())) };
        let mut separator = b'/';
        admin.ask(&Command::new("LIST \"\" \"\""), &mut |untagged| {
            if let Untagged::List(listed) = untagged {
                separator = listed.separator.unwrap_or(separator);
            }
            Ok(())
        })?;
        let (local, domain) = account.split_once('@').unwrap_or((account, ""));
        // Where the dot parts levels, Cyrus writes it as ^ within a name.
        let local = if separator == b'.' { local.replace('.', "^") } else { local.to_owned() };
        let mut root = format!("user{}{local}", char::from(separator));
        if !domain.is_empty() {
            root.push('@');
            root.push_str(domain);
        }
        if !has_inbox {
            let said = admin.ask(&Command::new("CREATE").string(root.as_bytes()), &mut |_| Ok(()))?;
            if !said.is_ok() && !exists(&said) {
                return refused(&said);
            }
        }
        if let Some(bytes) = quota_bytes.filter(|_| admin.can("QUOTA")) {
            let storage = format!("(STORAGE {})", bytes.div_ceil(limits::KIB));
            let said = admin.ask(&Command::new("SETQUOTA").string(root.as_bytes()).words(&storage), &mut |_| Ok(()))?;
            if !said.is_ok() {
                return refused(&said);
            }
        }
        Ok(Ok(()))
    }
}

fn refused<T>(said: &Said) -> Result<Result<T, Reason>, SiteError> {
    Ok(Err(Reason::Refused(said.to_string())))
}

fn exists(said: &Said) -> bool {
    said.has("ALREADYEXISTS") || said.text.to_ascii_lowercase().contains("already exists")
}

/// What became of a CREATE.
struct Created {
    said: Said,
    with_use: bool,
}

impl Created {
    fn exists(&self) -> bool {
        exists(&self.said)
    }
}

/// Makes a folder, with its special use where the server takes that (RFC 6154, section 3).
fn create(lease: &mut pool::Lease, wire: &[u8], special: Option<SpecialUse>) -> Result<Created, SiteError> {
    let plain = Command::new("CREATE").string(wire);
    if let Some(name) = special.and_then(use_name).filter(|_| lease.can("CREATE-SPECIAL-USE")) {
        let command = plain.clone().words(&format!("(USE ({name}))"));
        let said = lease.ask(&command, &mut |_| Ok(()))?;
        if said.is_ok() || exists(&said) {
            return Ok(Created { with_use: said.is_ok(), said });
        }
    }
    Ok(Created { said: lease.ask(&plain, &mut |_| Ok(()))?, with_use: false })
}

const NO_METADATA: &str = "it has no annotations (METADATA)";

/// Sets an annotation of a folder that is there, or takes it away (RFC 5464, section 4.3). `Err` inside: why not.
fn annotate(
    lease: &mut pool::Lease,
    wire: &[u8],
    entry: &str,
    value: Option<&str>,
) -> Result<Result<(), String>, SiteError> {
    if !lease.can("METADATA") {
        return Ok(Err(NO_METADATA.to_owned()));
    }
    let command = Command::new("SETMETADATA").string(wire).words(&format!("({entry}"));
    let command = match value {
        Some(text) => command.literal(text.as_bytes()),
        None => command.words("NIL"),
    };
    let said = lease.ask(&command.raw(b")"), &mut |_| Ok(()))?;
    Ok(if said.is_ok() { Ok(()) } else { Err(said.to_string()) })
}

fn use_name(special: SpecialUse) -> Option<String> {
    let (name, _) = SPECIAL_USES.iter().find(|(_, known)| *known == special)?;
    let mut letters = name.chars();
    letters.next();
    let first = letters.next()?.to_ascii_uppercase();
    Some(format!("\\{first}{}", letters.as_str()))
}

/// The owner keeps enough to look in and to change the list again.
fn guarded(grant: &Grant) -> Rights {
    match (&grant.grantee, grant.negative) {
        (Grantee::Owner, false) => Rights::from_letters(&format!("{}lra", grant.rights)),
        _ => grant.rights.clone(),
    }
}
