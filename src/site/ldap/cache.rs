//! The entries of the last scan, kept in the state folder. It holds password hashes, so only its owner can read it; it
//! can be removed at any time, and is then made again.

use super::LdapOptions;
use super::entry::Entry;
use super::entry::Tree;
use crate::fs::Fs;
use crate::limits;
use crate::model::hex;
use crate::site::SiteError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// Changes whenever what is kept means something else.
const VERSION: u32 = 1;

/// A scan to compare with.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// The server's change numbers when it was made; empty: none, or not to be believed.
    pub context: Vec<String>,
    pub tree: Tree,
}

#[derive(Deserialize)]
struct Kept {
    version: u32,
    context: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Keeping<'a> {
    version: u32,
    context: &'a [String],
    entries: Vec<&'a Entry>,
}

impl Cache {
    /// What the last scan of this very book left; empty where there is nothing usable.
    pub fn read(fs: &dyn Fs, options: &LdapOptions) -> Self {
        let kept = fs.read(&path(options), limits::LDAP_CACHE_BYTES).ok();
        let kept: Option<Kept> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(kept) = kept.filter(|kept| kept.version == VERSION) else { return Self::default() };
        let mut tree = Tree::default();
        kept.entries.into_iter().for_each(|entry| tree.put(entry));
        Self { context: kept.context, tree }
    }
}

/// Keeps what a scan found for the next one.
pub fn write(fs: &dyn Fs, options: &LdapOptions, context: &[String], tree: &Tree) -> Result<(), SiteError> {
    let path = path(options);
    let bad = |source| SiteError::Io { action: "write", path: path.clone(), source };
    let keeping = Keeping { version: VERSION, context, entries: tree.entries.values().collect() };
    let bytes = serde_json::to_vec(&keeping).map_err(|error| bad(io::Error::other(error)))?;
    fs.create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(bad)?;
    fs.replace(&path, &bytes, 0o600).map_err(bad)
}

/// The file for this server, base, reader and mapping: others see other entries.
fn path(options: &LdapOptions) -> PathBuf {
    let LdapOptions { endpoint, base, bind, mapping, .. } = options;
    let what = format!("{endpoint}\0{base}\0{bind}\0{mapping:?}");
    let name = hex::encode(&Sha256::digest(what.as_bytes()));
    options.state_dir.join(format!("ldap-{}.json", name.get(..16).unwrap_or(&name)))
}
