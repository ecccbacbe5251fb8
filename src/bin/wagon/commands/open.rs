//! Opening what the command line names: archives, sites, views; and the facts of this machine that passes ask for.

use crate::cli::{ArchiveArg, AtArgs, Global, KeyArgs, Owner, SignArgs, TrustArgs};
use crate::exit::CliError;
use crate::render::Screen;
use stationwagon::archive::{
    Archive, ArchiveError, Identities, Recipients, SigningKey, TrustedKeys, new_locked_identity,
};
use stationwagon::catalog::Catalog;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::limits::KEY_FILE_BYTES;
use stationwagon::map::{self, Map};
use stationwagon::model::hex;
use stationwagon::model::id::{ObjectId, SiteId};
use stationwagon::site::{self, Source, Target};
use stationwagon::verbs::show::View;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// The operating system's files.
pub fn files() -> Arc<dyn Fs> {
    Arc::new(RealFs)
}

/// The archive in a folder; whatever is damaged in it and costs nothing is told.
pub fn archive_in(dir: &Path, screen: &Screen) -> Result<Archive, ArchiveError> {
    Ok(Archive::open(files(), dir)?.with_notes_to(screen.hear()))
}

/// The archive, which must be there.
pub fn archive(arg: &ArchiveArg, screen: &Screen) -> Result<Archive, CliError> {
    unlock(archive_in(&arg.dir, screen)?, &arg.keys)
}

/// The archive for whoever does not look into its files: a key that is given is tried, none is asked for.
pub fn archive_to_keep(arg: &ArchiveArg, screen: &Screen) -> Result<Archive, CliError> {
    unlock_for_export(archive_in(&arg.dir, screen)?, &arg.keys)
}

/// The archive for somebody with these keys. Where a passphrase opens it, none was given and somebody sits there, it is
/// asked for.
pub fn unlock(archive: Archive, keys: &KeyArgs) -> Result<Archive, CliError> {
    let mut archive = archive;
    if !archive.is_encrypted() {
        return Ok(archive);
    }
    for path in &keys.identity {
        let text = secret(path)?;
        let identities = Identities::parse(&text).map_err(|source| CliError::Keys { path: path.clone(), source })?;
        archive = archive.with_identities(identities);
    }
    if let Some(path) = &keys.passphrase_file {
        return Ok(archive.with_passphrase(&passphrase(path)?)?);
    }
    if !archive.has_identities() && archive.has_passphrase() && io::stdin().is_terminal() {
        return Ok(archive.with_passphrase(&asked("passphrase of the archive: ")?)?);
    }
    Ok(archive)
}

/// Asks for a passphrase that is not given by `option`, if somebody sits there.
pub fn ask(prompt: &str, option: &str) -> Result<Zeroizing<String>, CliError> {
    match io::stdin().is_terminal() {
        true => asked(prompt),
        false => Err(CliError::Usage(format!("nobody can be asked for it here: give {option} FILE"))),
    }
}

fn asked(prompt: &str) -> Result<Zeroizing<String>, CliError> {
    let asked = rpassword::prompt_password(prompt).map(Zeroizing::new);
    asked.map_err(|error| CliError::Machine(format!("cannot ask for the passphrase: {error}")))
}

/// The archive for somebody who believes the keys on the command line alone.
pub fn trusting(archive: Archive, args: &TrustArgs) -> Result<Archive, CliError> {
    let mut keys = TrustedKeys::default();
    for text in &args.trust {
        let path = PathBuf::from(text);
        let bad = |source| CliError::PublicKey { path: path.clone(), source };
        // A key has 56 letters and digits, and no folder in it that is there.
        match files().lstat(&path).is_ok() {
            true => keys.add(&secret(&path)?).map_err(bad)?,
            false => keys.add(text).map_err(bad)?,
        }
    }
    Ok(archive.with_trust(keys))
}

/// The archive for somebody who signs, if the command line says so.
pub fn signing(archive: Archive, args: &SignArgs) -> Result<Archive, CliError> {
    let Some(path) = &args.sign_with else { return Ok(archive) };
    let password = args.sign_password_file.as_deref().map(passphrase).transpose()?;
    let key = SigningKey::parse(&secret(path)?, password.as_ref().map(|password| password.as_str()));
    Ok(archive.with_signer(key.map_err(|source| CliError::PublicKey { path: path.clone(), source })?))
}

/// A passphrase from a file: its first line.
pub fn passphrase(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let text = secret(path)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(CliError::Usage(format!("{} has no passphrase in its first line", path.display()))),
    }
}

/// A small file of text that is nobody else's business.
pub fn secret(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let bytes = Zeroizing::new(files().read(path, KEY_FILE_BYTES).map_err(io_error("read", path))?);
    let text = std::str::from_utf8(&bytes).map_err(|_| CliError::Usage(format!("{} is not text", path.display())))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The archive for whoever looks up many objects.
pub fn archive_to_read(arg: &ArchiveArg, global: &Global, screen: &Screen) -> Result<Archive, CliError> {
    Ok(with_tables(archive(arg, screen)?, global))
}

/// What a large archive needs for finding objects lies beside the catalogs, or without a home among temporary files.
fn with_tables(archive: Archive, global: &Global) -> Archive {
    let Ok(dir) = cache_dir(global) else { return archive };
    // A home that cannot be written is no reason to stop: most archives need no table.
    if files().create_dir_all(&dir).is_ok() { archive.with_tables_in(&dir) } else { archive }
}

/// The wanted source at the wanted snapshot.
pub fn view<'a>(archive: &'a Archive, at: &AtArgs) -> Result<View<'a>, CliError> {
    Ok(View::open(archive, at.source.as_ref(), at.snapshot)?)
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Who holds a lock, for whoever comes second: this machine. The lock itself knows the process.
pub fn holder() -> String {
    let host = RealFs.read(Path::new("/proc/sys/kernel/hostname"), 256).unwrap_or_default();
    let host = String::from_utf8_lossy(&host);
    if host.trim().is_empty() { "a machine without a name".to_owned() } else { host.trim().to_owned() }
}

/// An archive, with what must outlive it.
pub struct OpenedArchive {
    pub archive: Archive,
    /// The empty archive of a dry run lies here until the end.
    _stand_in: Option<tempfile::TempDir>,
}

/// For whom an archive is to be encrypted, as the command line says.
pub struct ForWhom {
    pub recipients: Recipients,
    /// A file with a passphrase whose knower may read it as well.
    pub passphrase_file: Option<PathBuf>,
}

/// The archive to export to; a new one where there is none. A dry run makes none: it gets an empty one that vanishes.
pub fn archive_or_new(
    arg: &ArchiveArg,
    global: &Global,
    for_whom: &ForWhom,
    dry_run: bool,
    screen: &Screen,
) -> Result<OpenedArchive, CliError> {
    match archive_in(&arg.dir, screen) {
        Ok(archive) => {
            compare(&archive, for_whom)?;
            let archive = for_export(unlock_for_export(archive, &arg.keys)?, global)?;
            return Ok(OpenedArchive { archive, _stand_in: None });
        }
        Err(ArchiveError::NotAnArchive(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let id = new_id()?;
    let stand_in = match dry_run {
        true => Some(tempfile::tempdir().map_err(io_error("make a folder in", &std::env::temp_dir()))?),
        false => None,
    };
    let dir = stand_in.as_ref().map_or(arg.dir.clone(), |dir| dir.path().join("archive"));
    let mut recipients = for_whom.recipients.clone();
    let mut locked = None;
    if let Some(path) = &for_whom.passphrase_file {
        let (recipient, file) =
            new_locked_identity(&passphrase(path)?).map_err(|source| CliError::Keys { path: path.clone(), source })?;
        recipients = recipients.join(recipient).map_err(|source| CliError::Keys { path: path.clone(), source })?;
        locked = Some(file);
    }
    let archive = match recipients.is_empty() {
        true => Archive::create(files(), &dir, id, now())?,
        false => Archive::create_encrypted(files(), &dir, id, now(), &recipients, locked.as_deref())?,
    };
    // What vanishes is not to be remembered.
    let archive = if dry_run { archive } else { for_export(archive, global)? };
    Ok(OpenedArchive { archive, _stand_in: stand_in })
}

/// Whether an archive that is there is what the command line would make.
fn compare(archive: &Archive, for_whom: &ForWhom) -> Result<(), CliError> {
    let there = archive.recipients();
    let wanted = &for_whom.recipients;
    let usage = |text: String| Err(CliError::Usage(text));
    let name = archive.dir().display();
    if there.is_empty() && !wanted.is_empty() {
        return usage(format!("{name} is not encrypted, and an archive stays as it was made; name a new one"));
    }
    let with_passphrase = usize::from(archive.has_passphrase());
    if !wanted.is_empty() && (!there.has_all(wanted) || there.len() > wanted.len() + with_passphrase) {
        return usage(format!("{name} is encrypted for others than --recipient says; see its wagon.json"));
    }
    Ok(())
}

/// Export needs no private key, so it asks for none.
fn unlock_for_export(archive: Archive, keys: &KeyArgs) -> Result<Archive, CliError> {
    if keys.identity.is_empty() && keys.passphrase_file.is_none() { Ok(archive) } else { unlock(archive, keys) }
}

fn for_export(archive: Archive, global: &Global) -> Result<Archive, CliError> {
    let archive = with_tables(archive, global);
    let dir = cache_dir(global)?.join(format!("chain_{}", archive.id()));
    Ok(archive.with_copies_in(&dir)?)
}

/// An I/O error as the binary's, naming the path.
pub fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CliError + use<> {
    let path = path.display().to_string();
    move |source| CliError::Io { action, path, source }
}

/// The catalog of this site in this archive. One that is no database any more is made anew: it only saves time.
pub fn catalog(global: &Global, source: &dyn Source, archive: &Archive) -> Result<Catalog, CliError> {
    let site = source.describe()?;
    let key = site.id.map_or_else(|| ObjectId::of(site.locator.as_bytes()).to_string(), |id| id.to_string());
    let dir = cache_dir(global)?;
    files().create_dir_all(&dir).map_err(io_error("make", &dir))?;
    let path = dir.join(format!("catalog_{}_{}.sqlite", archive.id(), key.get(..16).unwrap_or(&key)));
    make_private(&path)?;
    let opened = match Catalog::open(&path) {
        Err(error) if error.is_damage() => {
            for end in ["", "-wal", "-shm"] {
                let mut name = path.clone().into_os_string();
                name.push(end);
                match files().remove_file(Path::new(&name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(io_error("remove", Path::new(&name))(error));
                    }
                    _ => {}
                }
            }
            make_private(&path)?;
            Catalog::open(&path)
        }
        outcome => outcome,
    };
    opened.map_err(|source| CliError::Catalog { path, source: Box::new(source) })
}

/// A catalog names accounts and folders, so it is made for its owner alone, before SQLite makes it for everybody.
fn make_private(path: &Path) -> Result<(), CliError> {
    match files().create_new(path) {
        Ok(file) => drop(file.keep()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("make", path)(error)),
    }
    Ok(())
}

fn cache_dir(global: &Global) -> Result<PathBuf, CliError> {
    let from = |name: &str, below: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value).join(below))
    };
    let found = global.cache_dir.clone().or_else(|| from("XDG_CACHE_HOME", "wagon"));
    found
        .or_else(|| from("HOME", ".cache/wagon"))
        .ok_or_else(|| CliError::Usage("there is no home for the catalog; name one with --cache-dir".to_owned()))
}

/// The site to read that the command line names.
pub fn source(name: &str) -> Result<Box<dyn Source>, CliError> {
    source_through(files(), name)
}

/// The same, its files read through `fs`.
pub fn source_through(fs: Arc<dyn Fs>, name: &str) -> Result<Box<dyn Source>, CliError> {
    Ok(site::open_source(fs, name)?)
}

/// The site to write that the command line names; a folder that is not there is made.
pub fn target(name: &str, owner: Option<Owner>) -> Result<Box<dyn Target>, CliError> {
    target_through(files(), name, owner)
}

/// The same, its files written through `fs`.
pub fn target_through(fs: Arc<dyn Fs>, name: &str, owner: Option<Owner>) -> Result<Box<dyn Target>, CliError> {
    Ok(site::open_target(fs, name, owner.map(|owner| (owner.uid, owner.gid)))?)
}

/// A site that must be there, with what only a target can tell (where its maps are).
pub fn imported(name: &str) -> Result<Box<dyn Target>, CliError> {
    // Servers are there or say so; opening them twice would fetch each secret twice.
    if !site::is_description(&RealFs, name) {
        drop(source(name)?);
    }
    target(name, None)
}

/// The maps beside a target, by name.
pub fn maps_beside(target: &dyn Target) -> Result<Vec<Map>, CliError> {
    let dir = target.state_dir();
    let mut names: Vec<_> = files()
        .list(&dir)
        .map_err(io_error("list", &dir))?
        .into_iter()
        .filter(|entry| entry.name.to_str().is_some_and(|name| map::source_of_file_name(name).is_some()))
        .map(|entry| entry.name)
        .collect();
    names.sort();
    names.into_iter().map(|name| Ok(Map::read(&dir.join(name))?)).collect()
}

/// The maps that the command line names; without any, those beside the target.
pub fn maps(named: &[PathBuf], target: &dyn Target) -> Result<Vec<Map>, CliError> {
    match named {
        [] => maps_beside(target),
        named => named.iter().map(|path| Ok(Map::read(path)?)).collect(),
    }
}

/// A name for a site that has none yet; also for an archive.
pub fn new_id() -> Result<SiteId, CliError> {
    let mut id = [0; 8];
    getrandom::fill(&mut id)
        .map_err(|error| CliError::Machine(format!("this machine gives no random numbers: {error}")))?;
    SiteId::from_str(&hex::encode(&id)).map_err(|error| CliError::Machine(error.to_string()))
}
