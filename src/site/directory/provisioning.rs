//! Every record of the site: from `etc/`, from the tree, and from `site.sqlite`, put together.
//!
//! A file or directory that is there and cannot be read is a rejection, and so is a line that does not follow its format.
//! `unseen` says what must not be taken for gone or emptied because of it. A target is not judged by half: there the
//! scan ends instead.

use super::maildir::{UIDLIST, uidlist};
use super::postfix::{AddressKind, MapLine, Virtual};
use super::site_db::RecordRows;
use super::text_file::{BadLine, Concerns};
use super::unseen::Blank;
use super::{DirectorySite, Unreadable, io_error, layout, mailbox, passwd_file, postfix, tree, vdir};
use crate::event::{Place, Reason, Rejection};
use crate::fs::FileKind;
use crate::model::mailbox::FolderKind;
use crate::model::provisioning::{
    Account, AccountClass, AccountStatus, Attributes, DistributionList, Domain, Record, domain_of,
};
use crate::model::text;
use crate::site::{FoundRecord, ProvisioningScan, SiteError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Enough of a uidlist to have its first line whole.
const UIDLIST_HEAD_BYTES: usize = 512;

impl DirectorySite {
    pub(super) fn scan_provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        let mut scan = Scan { site: self, rejected: Vec::new(), blank: Blank::default() };
        let mut rows = scan.database()?;
        let mut accounts = scan.passwd()?;
        scan.blank.in_passwd = accounts.keys().cloned().collect();
        for address in scan.tree()? {
            accounts.entry(address.clone()).or_insert_with(|| bare_account(address));
        }
        self.follow_renamed(&mut rows, |address| accounts.contains_key(address));
        let maps = scan.maps(&rows, &accounts)?;
        let Scan { rejected, blank, .. } = scan;

        let mut records: Vec<Record> = Vec::new();
        records.extend(rows.settings.iter().cloned().map(Record::Settings));
        records.extend(domains(&rows, &maps, &accounts).into_values().map(Record::Domain));
        records.extend(rows.classes.iter().cloned().map(Record::Cos));
        for (address, mut account) in accounts {
            add_row(&rows, &address, &mut account);
            records.push(Record::Account(account));
        }
        records.extend(lists(&rows, maps.lists).into_values().map(Record::List));
        records.extend(maps.aliases.into_iter().map(Record::Alias));
        records.sort_by(|a, b| (a.kind(), a.key()).cmp(&(b.kind(), b.key())));
        let with_idents = |record| self.with_idents(&rows, &blank, record);
        let mut records: Vec<_> = records.into_iter().map(with_idents).collect();
        keep_telling_idents(&mut records);
        Ok(ProvisioningScan { records, rejected, incomplete: blank.kinds(), unclear: blank.unclear })
    }

    fn with_idents(&self, rows: &RecordRows, blank: &Blank, record: Record) -> FoundRecord {
        let mut idents = Vec::new();
        let mut idents_unseen = blank.database;
        if let Some(id) = rows.ids.get(&(record.kind(), record.key().to_owned())) {
            idents.push(format!("id:{id}"));
        }
        if let Record::Account(account) = &record
            && let Some(maildir) = self.maildir(&account.address)
        {
            // A hint that cannot be had is only missing; reading the mailbox tells what is wrong.
            let fs = self.fs.as_ref();
            let head = tree::read_head(fs, &maildir.join(UIDLIST), UIDLIST_HEAD_BYTES);
            let stat = tree::stat(fs, &maildir);
            idents_unseen |= blank.tree || head.is_err() || stat.is_err();
            let head = head.ok().flatten();
            let guid = head.and_then(|head| uidlist::parse_head(&head).guid);
            idents.extend(guid.map(|guid| format!("guid:{guid}")));
            idents.extend(stat.ok().flatten().map(|stat| mailbox::ident(&stat)));
        }
        let seen = blank.seen(rows, &record);
        FoundRecord { record, idents, idents_unseen, seen }
    }
}

/// Removes hints that two records share: a mailbox that was copied has the GUID of the first, and is not the first.
fn keep_telling_idents(records: &mut [FoundRecord]) {
    let mut counts: HashMap<String, u32> = HashMap::new();
    for ident in records.iter().flat_map(|found| &found.idents) {
        *counts.entry(ident.clone()).or_default() += 1;
    }
    for found in records {
        found.idents.retain(|ident| counts.get(ident) == Some(&1));
    }
}

struct Scan<'a> {
    site: &'a DirectorySite,
    rejected: Vec<Rejection>,
    blank: Blank,
}

impl Scan<'_> {
    fn database(&mut self) -> Result<RecordRows, SiteError> {
        let place = Place { folder: Some(super::site_db::FILE.to_owned()), ..Place::default() };
        let rows = match self.site.record_rows()? {
            Ok(rows) => rows,
            Err(reason) => {
                self.rejected.push(Rejection { place, reason });
                self.blank.database = true;
                return Ok(RecordRows::default());
            }
        };
        self.blank.rows = !rows.bad.is_empty();
        self.rejected.extend(rows.bad.iter().map(|what| Rejection {
            place: place.clone(),
            reason: Reason::Malformed(format!("{what} makes no sense")),
        }));
        Ok(rows)
    }

    fn passwd(&mut self) -> Result<BTreeMap<String, Account>, SiteError> {
        let bytes = self.read(layout::PASSWD, |blank| &mut blank.passwd)?;
        let (accounts, bad) = passwd_file::parse(&bytes);
        self.blank.passwd |= self.reject_lines(layout::PASSWD, bad);
        Ok(accounts.into_iter().map(|(_, account)| (account.address.clone(), account)).collect())
    }

    fn maps(&mut self, rows: &RecordRows, accounts: &BTreeMap<String, Account>) -> Result<Virtual, SiteError> {
        let domains = self.map(layout::VIRTUAL_DOMAINS, |blank| &mut blank.domains)?;
        let aliases = self.map(layout::VIRTUAL_ALIAS, |blank| &mut blank.aliases)?;
        let kind_of = |address: &str| match rows.addresses.get(address) {
            Some(row) if row.is_list => Some(AddressKind::List),
            Some(_) => Some(AddressKind::Alias),
            // What an account's own address stands for is where its mail goes, not a list.
            None => accounts.contains_key(address).then_some(AddressKind::Alias),
        };
        let (records, bad) = postfix::to_records(&domains, &aliases, kind_of);
        self.blank.aliases |= self.reject_lines(layout::VIRTUAL_ALIAS, bad);
        Ok(records)
    }

    fn map(&mut self, file: &'static str, part: fn(&mut Blank) -> &mut bool) -> Result<Vec<MapLine>, SiteError> {
        let bytes = self.read(file, part)?;
        let (lines, bad) = postfix::parse_map(&bytes);
        *part(&mut self.blank) |= self.reject_lines(file, bad);
        Ok(lines)
    }

    /// The bytes of a control file; none where there is none, or it cannot be read, which is listed then.
    fn read(&mut self, file: &str, part: fn(&mut Blank) -> &mut bool) -> Result<Vec<u8>, SiteError> {
        let path = self.site.root.join(file);
        match tree::read_control(self.site.fs.as_ref(), &path) {
            Ok(bytes) => return Ok(bytes.unwrap_or_default()),
            Err(error) if self.site.unreadable == Unreadable::Fails => return Err(io_error("read", &path)(error)),
            Err(error) => self.reject(Path::new(file), unreadable(&error)),
        }
        *part(&mut self.blank) = true;
        Ok(Vec::new())
    }

    /// Lists bad lines; whether one of them could have been anybody's.
    fn reject_lines(&mut self, file: &str, bad: Vec<BadLine>) -> bool {
        let mut any = false;
        for bad in &bad {
            match &bad.concerns {
                Concerns::Any => any = true,
                Concerns::Key(key) => drop(self.blank.unclear.insert(key.clone())),
                Concerns::None => {}
            }
        }
        self.rejected.extend(bad.into_iter().map(|bad| Rejection {
            place: Place { account: None, folder: Some(file.to_owned()), item: Some(format!("line {}", bad.line)) },
            reason: Reason::Malformed(bad.what),
        }));
        any
    }

    /// Addresses that have a mailbox or a part of `dav/`.
    fn tree(&mut self) -> Result<BTreeSet<String>, SiteError> {
        let mut found = BTreeSet::new();
        let kinds = [FolderKind::Calendars, FolderKind::Contacts, FolderKind::Tasks, FolderKind::Files];
        let dav_marks: Vec<&str> = kinds.into_iter().filter_map(vdir::kind_dir).collect();
        let mail_marks = [layout::MAILDIR, layout::SIEVE, layout::ACTIVE_SIEVE];
        for (top, marks) in [(layout::MAIL, &mail_marks[..]), (layout::DAV, &dav_marks)] {
            for domain in self.dirs_or_none(Path::new(top))? {
                let dir = Path::new(top).join(&domain);
                for user in self.dirs_or_none(&dir)? {
                    let home = dir.join(&user);
                    if !marks.iter().any(|mark| self.may_exist(&home.join(mark))) {
                        continue;
                    }
                    let address = [text::from_bytes(user.as_bytes()), text::from_bytes(domain.as_bytes())].join("@");
                    // The address has to lead back: a domain with an `@` in it does not, nor a name that only looks like
                    // one in another encoding.
                    let homes = [layout::mail_home(&address), layout::dav_home(&address)];
                    if homes.iter().flatten().any(|known| *known == home) {
                        found.insert(address);
                    } else {
                        self.reject(&home, Reason::BadName("it gives no address that leads back to it".to_owned()));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Directories in `dir`; where it cannot be listed, that is listed as a rejection.
    fn dirs_or_none(&mut self, dir: &Path) -> Result<Vec<OsString>, SiteError> {
        match self.dirs(dir) {
            Ok(names) => return Ok(names),
            Err(error) if self.site.unreadable == Unreadable::Fails => {
                return Err(io_error("list", &self.site.root.join(dir))(error));
            }
            Err(error) => self.reject(dir, unreadable(&error)),
        }
        self.blank.tree = true;
        Ok(Vec::new())
    }

    /// Directories in `dir`, a path relative to the root, sorted; a link that is not followed is rejected.
    fn dirs(&mut self, dir: &Path) -> io::Result<Vec<OsString>> {
        let fs = self.site.fs.as_ref();
        let mut names = Vec::new();
        let entries = tree::list(fs, &self.site.root.join(dir))?.unwrap_or_default();
        for entry in entries.into_iter().filter(|entry| !layout::is_hidden(&entry.name)) {
            let path = dir.join(&entry.name);
            let is_dir = match entry.kind {
                FileKind::Dir => true,
                FileKind::Symlink => match tree::stat(fs, &self.site.root.join(&path)) {
                    Ok(stat) => stat.is_some_and(|stat| stat.kind == FileKind::Dir),
                    Err(error) => {
                        self.reject(&path, unreadable(&error));
                        self.blank.tree = true;
                        false
                    }
                },
                FileKind::File | FileKind::Other => false,
            };
            if is_dir {
                names.push(entry.name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether something lies there, as far as can be told: what may not be looked at counts, and reading it will fail.
    fn may_exist(&self, path: &Path) -> bool {
        !matches!(tree::found(self.site.fs.lstat(&self.site.root.join(path))), Ok(None))
    }

    fn reject(&mut self, path: &Path, reason: Reason) {
        let place = Place { folder: Some(text::from_bytes(path.as_os_str().as_bytes())), ..Place::default() };
        self.rejected.push(Rejection { place, reason });
    }
}

/// Why a file or directory of the site says nothing.
fn unreadable(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Reason::TooLarge(error.to_string()),
        _ => Reason::Unreadable(error.to_string()),
    }
}

fn bare_account(address: String) -> Account {
    Account {
        address,
        class: AccountClass::User,
        name: None,
        password: None,
        quota_bytes: None,
        status: AccountStatus::Active,
        cos: None,
        groups: Vec::new(),
        attributes: Attributes::new(),
    }
}

/// Adds what the database says of an account. Of two that speak, `etc/passwd` counts: an administrator edits that.
fn add_row(rows: &RecordRows, address: &str, account: &mut Account) {
    let Some(row) = rows.accounts.get(address) else { return };
    account.class = row.class;
    account.cos.clone_from(&row.cos);
    if account.name.is_none() {
        account.name.clone_from(&row.name);
    }
    let in_passwd = account.password.is_some() || account.attributes.keys().any(|key| key.starts_with("passwd."));
    account.status = match (account.status, row.status) {
        (AccountStatus::Active, status) if !in_passwd => status,
        (AccountStatus::Locked, AccountStatus::Closed) => AccountStatus::Closed,
        (status, _) => status,
    };
    for group in &row.groups {
        if !account.groups.contains(group) {
            account.groups.push(group.clone());
        }
    }
    for (key, value) in row.attributes.iter().filter(|(key, _)| !key.starts_with("passwd.")) {
        account.attributes.insert(key.clone(), value.clone());
    }
}

/// The domains of the maps and of every account, with their attributes.
fn domains(rows: &RecordRows, maps: &Virtual, accounts: &BTreeMap<String, Account>) -> BTreeMap<String, Domain> {
    let mut domains = maps.domains.clone();
    for address in accounts.keys().filter(|address| address.contains('@')) {
        let name = domain_of(address);
        domains.entry(name.to_owned()).or_insert_with(|| Domain {
            name: name.to_owned(),
            alias_of: None,
            catch_all: Vec::new(),
            attributes: Attributes::new(),
        });
    }
    for (name, domain) in &mut domains {
        if let Some(attributes) = rows.domains.get(name) {
            domain.attributes.clone_from(attributes);
        }
    }
    domains
}

/// The lists of the alias map with what the database adds, and those that have no member, which only the database has.
fn lists(rows: &RecordRows, mapped: Vec<DistributionList>) -> BTreeMap<String, DistributionList> {
    let mut lists: BTreeMap<_, _> = mapped.into_iter().map(|list| (list.address.clone(), list)).collect();
    for (address, row) in rows.addresses.iter().filter(|(_, row)| row.is_list) {
        if !row.mapped && !lists.contains_key(address) {
            lists.insert(
                address.clone(),
                DistributionList {
                    address: address.clone(),
                    name: None,
                    members: Vec::new(),
                    owners: Vec::new(),
                    attributes: Attributes::new(),
                },
            );
        }
        if let Some(list) = lists.get_mut(address) {
            list.name.clone_from(&row.name);
            list.owners.clone_from(&row.owners);
            list.attributes.clone_from(&row.attributes);
        }
    }
    lists
}
