//! The state folder of a site of servers: its lasting id, the lock of whoever writes it, and a folder for each store with
//! what its server cannot keep. Maps and ledgers lie here too. Losing it costs the id: the site then counts as another.

use crate::fs::Fs;
use crate::model::id::SiteId;
use crate::site::SiteError;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

const ID: &str = "site-id";
const LOCK: &str = "site.lock";

/// Longest id file, bytes: an id and a line end, and room for whoever edited it.
const ID_BYTES: u64 = 1024;

/// The folder, which need not be there yet.
pub struct State {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
}

impl State {
    pub fn new(fs: Arc<dyn Fs>, dir: PathBuf) -> Self {
        Self { fs, dir }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes it, for its owner alone: names of accounts and folders lie in it.
    pub fn make(&self) -> Result<(), SiteError> {
        if self.fs.stat(&self.dir).is_ok() {
            return Ok(());
        }
        self.fs.create_dir_all(&self.dir).map_err(|error| io_error("make the folder", &self.dir, error))?;
        self.fs.set_mode(&self.dir, 0o700).map_err(|error| io_error("set the mode of", &self.dir, error))
    }

    /// Takes the site for one writer, until the guard goes.
    pub fn lock(&self) -> Result<Box<dyn Send + Sync>, SiteError> {
        self.make()?;
        let path = self.dir.join(LOCK);
        let lock = self.fs.try_lock(&path).map_err(|error| io_error("lock", &path, error))?;
        lock.ok_or_else(|| SiteError::Locked { path, since: "an import that is still running".to_owned() })
    }

    /// The site's id, if it has one.
    pub fn id(&self) -> Result<Option<SiteId>, SiteError> {
        let path = self.dir.join(ID);
        let bytes = match self.fs.read(&path, ID_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let bad =
            |error: crate::model::id::BadSiteId| SiteError::Malformed { path: path.clone(), what: error.to_string() };
        SiteId::from_str(text.trim()).map(Some).map_err(bad)
    }

    /// The site's id, which becomes `fallback` where it has none.
    pub fn id_or(&self, fallback: &SiteId) -> Result<SiteId, SiteError> {
        if let Some(id) = self.id()? {
            return Ok(id);
        }
        let path = self.dir.join(ID);
        let written = self.fs.replace(&path, format!("{fallback}\n").as_bytes(), 0o600);
        written.map_err(|error| io_error("write", &path, error))?;
        Ok(fallback.clone())
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> SiteError {
    SiteError::Io { action, path: path.to_owned(), source }
}
