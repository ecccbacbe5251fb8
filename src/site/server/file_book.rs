//! A file of accounts as the [`Book`] of a site: CSV ([`csv_file`](super::csv_file)) or a Dovecot passwd-file. As a
//! target it is written as `etc/passwd` of a directory site is: complete under its name or not at all, and lines of
//! others stay.

use super::csv_file::{self, CsvFile};
use super::description::FileFormat;
use super::{Book, Survey, accounts};
use crate::event::{Place, Reason, Rejection};
use crate::fs::Fs;
use crate::limits;
use crate::model::provisioning::{Account, Alias, Record, RecordKind};
use crate::site::directory::passwd_file;
use crate::site::directory::target::text_edit::TextFile;
use crate::site::directory::text_file::{BadLine, Concerns};
use crate::site::{ProvisioningScan, RecordChange, SiteError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether the file has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    Source,
    /// It is made where it is missing.
    Target,
}

/// A file of accounts.
pub struct FileBook {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    format: Option<FileFormat>,
    purpose: Use,
    /// Reading and writing again is one step.
    editing: Mutex<()>,
}

impl FileBook {
    pub fn new(fs: Arc<dyn Fs>, path: PathBuf, format: Option<FileFormat>, purpose: Use) -> Self {
        Self { fs, path, format, purpose, editing: Mutex::default() }
    }

    fn bytes(&self) -> Result<Vec<u8>, SiteError> {
        match self.fs.read(&self.path, limits::ACCOUNTS_FILE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.purpose == Use::Target => Ok(Vec::new()),
            outcome => outcome.map_err(|error| self.io("read", error)),
        }
    }

    fn io(&self, action: &'static str, source: io::Error) -> SiteError {
        SiteError::Io { action, path: self.path.clone(), source }
    }

    /// As the description says, or as the file looks; an empty one by its name.
    fn format(&self, bytes: &[u8]) -> FileFormat {
        self.format.unwrap_or_else(|| look(&self.path, bytes))
    }

    fn csv(&self, bytes: &[u8]) -> Result<(CsvFile, Vec<BadLine>), SiteError> {
        CsvFile::parse(bytes).map_err(|what| SiteError::Malformed { path: self.path.clone(), what: what.to_owned() })
    }

    /// Writes the file with the mode and owner that it had; a new one for its owner alone, because it holds hashes.
    fn write(&self, bytes: &[u8]) -> Result<(), SiteError> {
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let before = self.fs.stat(&self.path).ok();
        let mut file = self.fs.create_temp(dir, ".wagon-").map_err(|error| self.io("write beside", error))?;
        io::Write::write_all(&mut file, bytes).map_err(|error| self.io("write", error))?;
        file.set_mode(before.map_or(0o600, |stat| stat.mode & 0o7777)).map_err(|error| self.io("write", error))?;
        if let Some(stat) = before.filter(|_| rustix::process::geteuid().is_root()) {
            self.fs.set_owner(file.path(), stat.uid, stat.gid).map_err(|error| self.io("set the owner of", error))?;
        }
        file.sync().map_err(|error| self.io("write", error))?;
        let temporary = file.keep();
        let renamed = self.fs.rename(&temporary, &self.path).inspect_err(|_| drop(self.fs.remove_file(&temporary)));
        renamed.and_then(|()| self.fs.sync_dir(dir)).map_err(|error| self.io("write", error))
    }

    fn rejection(&self, bad: &BadLine) -> Rejection {
        let folder = Some(self.path.display().to_string());
        let place = Place { account: None, folder, item: Some(format!("line {}", bad.line)) };
        Rejection { place, reason: Reason::Malformed(bad.what.clone()) }
    }
}

/// A passwd-file has a colon before any comma in its first entry; a CSV file begins with the names of its columns.
fn look(path: &Path, bytes: &[u8]) -> FileFormat {
    let mut lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(first) = lines.find(|line| !line.is_empty() && !line.starts_with(b"#")) else {
        let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        return if is_csv { FileFormat::Csv } else { FileFormat::Passwd };
    };
    match first.iter().find(|byte| matches!(byte, b':' | b',')) {
        Some(b':') => FileFormat::Passwd,
        _ => FileFormat::Csv,
    }
}

impl Book for FileBook {
    /// Resolved, so that one file is one place whatever it is called.
    fn locator(&self) -> String {
        self.fs.canonical(&self.path).unwrap_or_else(|_| self.path.clone()).display().to_string()
    }

    fn survey(&self) -> Result<Survey, SiteError> {
        let bytes = self.bytes()?;
        let (kind, cannot) = match self.format(&bytes) {
            FileFormat::Csv => {
                drop(self.csv(&bytes)?);
                (
                    "CSV file",
                    "lists, classes of service, catch-alls, alias domains, and aliases of more than one account",
                )
            }
            FileFormat::Passwd => (
                "passwd-file",
                "aliases, lists, classes of service, catch-alls, alias domains, names of rooms, and names with a colon",
            ),
        };
        let accounts =
            self.provisioning()?.records.iter().filter(|found| matches!(found.record, Record::Account(_))).count();
        Ok(Survey {
            software: Some(format!("{kind} with {accounts} accounts")),
            cannot_give: vec![cannot.to_owned()],
            cannot_hold: vec![cannot.to_owned()],
            ..Survey::default()
        })
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        let bytes = self.bytes()?;
        let (accounts, aliases, bad) = match self.format(&bytes) {
            FileFormat::Passwd => {
                let (accounts, bad) = passwd_file::parse(&bytes);
                (accounts.into_iter().map(|(_, account)| account).collect(), Vec::new(), bad)
            }
            FileFormat::Csv => {
                let (file, bad) = self.csv(&bytes)?;
                let mut targets: BTreeMap<&str, Vec<String>> = BTreeMap::new();
                for (account, aliases, _) in file.accounts() {
                    aliases.iter().for_each(|alias| targets.entry(alias).or_default().push(account.address.clone()));
                }
                let alias = |(address, targets): (&str, _)| Alias { address: address.to_owned(), targets };
                let aliases: Vec<_> = targets.into_iter().map(alias).collect();
                (file.accounts().map(|(account, ..)| account.clone()).collect::<Vec<Account>>(), aliases, bad)
            }
        };
        let mut scan = accounts::scan(accounts, aliases);
        for bad in &bad {
            scan.rejected.push(self.rejection(bad));
            match &bad.concerns {
                Concerns::Key(key) => drop(scan.unclear.insert(key.clone())),
                Concerns::Any => {
                    scan.incomplete.extend([RecordKind::Account, RecordKind::Alias, RecordKind::Domain]);
                }
                Concerns::None => {}
            }
        }
        Ok(scan)
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        let _editing = self.editing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.bytes()?;
        let name = self.locator();
        let (outcomes, after) = match self.format(&before) {
            FileFormat::Csv => {
                let mut file = self.csv(&before)?.0;
                let outcomes: Vec<_> = changes.iter().map(|change| put_csv(&mut file, change, &name)).collect();
                (outcomes, file.encode())
            }
            FileFormat::Passwd => {
                let mut file = TextFile::of_passwd(&before);
                let outcomes: Vec<_> = changes.iter().map(|change| put_passwd(&mut file, change, &name)).collect();
                (outcomes, file.encode())
            }
        };
        if after != before {
            self.write(&after)?;
        }
        Ok(outcomes)
    }
}

fn put_csv(file: &mut CsvFile, change: &RecordChange, name: &str) -> Result<(), Reason> {
    match change {
        RecordChange::Put { record: Record::Account(account), was } => match csv_file::refusal(account) {
            Some(why) => Err(Reason::Refused(format!("{}: {why}", account.address))),
            None => {
                file.put(account, was.as_deref());
                Ok(())
            }
        },
        RecordChange::Put { record: Record::Alias(alias), was } => {
            let target = match alias.targets.as_slice() {
                [target] if !alias.address.contains([';', ' ']) => target,
                _ => return Err(Reason::Unsupported(format!("{name} has a place for aliases of one account only"))),
            };
            if !file.put_alias(&alias.address, target) {
                return Err(Reason::Unsupported(format!("{name} has no account {target} to give this alias to")));
            }
            was.iter().filter(|was| **was != alias.address).for_each(|was| file.remove_alias(was));
            Ok(())
        }
        RecordChange::Put { record, .. } => accounts::without_place(record, name),
        RecordChange::Remove { record: Record::Account(account) } => {
            file.remove(&account.address);
            Ok(())
        }
        RecordChange::Remove { record: Record::Alias(alias) } => {
            file.remove_alias(&alias.address);
            Ok(())
        }
        RecordChange::Remove { .. } => Ok(()),
    }
}

fn put_passwd(file: &mut TextFile, change: &RecordChange, name: &str) -> Result<(), Reason> {
    match change {
        RecordChange::Put { record: Record::Account(account), was } => match passwd_file::refusal(account) {
            Some(why) => Err(Reason::Refused(format!("{}: {why}", account.address))),
            None => {
                let line = passwd_file::encode_line(account);
                match was.as_deref().filter(|was| *was != account.address) {
                    Some(was) => file.rename(was, &account.address, &line),
                    None => file.set(&account.address, &line),
                }
                Ok(())
            }
        },
        RecordChange::Put { record, .. } => accounts::without_place(record, name),
        RecordChange::Remove { record: Record::Account(account) } => {
            file.remove(&account.address);
            Ok(())
        }
        RecordChange::Remove { .. } => Ok(()),
    }
}
