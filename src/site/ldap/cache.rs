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

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    context: Vec<String>,
    entries: Vec<Entry>,
}

impl Cache {
    /// What the last scan of this very book left; `None` where there is nothing usable.
    pub fn read(fs: &dyn Fs, options: &LdapOptions) -> Option<Self> {
        let bytes = fs.read(&path(options), limits::LDAP_CACHE_BYTES).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok().filter(|kept: &Kept| kept.version == VERSION)?;
        let mut tree = Tree::default();
        kept.entries.into_iter().for_each(|entry| tree.put(entry));
        Some(Self { context: kept.context, tree })
    }

    pub fn write(&self, fs: &dyn Fs, options: &LdapOptions) -> Result<(), SiteError> {
        let path = path(options);
        let bad = |source| SiteError::Io { action: "write", path: path.clone(), source };
        let kept = Kept {
            version: VERSION,
            context: self.context.clone(),
            entries: self.tree.entries.values().cloned().collect(),
        };
        let bytes = serde_json::to_vec(&kept).map_err(|error| bad(io::Error::other(error)))?;
        fs.create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(bad)?;
        fs.replace(&path, &bytes, 0o600).map_err(bad)
    }
}

/// The file for this server, base, reader and mapping: others see other entries.
fn path(options: &LdapOptions) -> PathBuf {
    let LdapOptions { endpoint, base, bind, mapping, .. } = options;
    let what = format!("{endpoint}\0{base}\0{bind}\0{mapping:?}");
    let name = hex::encode(&Sha256::digest(what.as_bytes()));
    options.state_dir.join(format!("ldap-{}.json", name.get(..16).unwrap_or(&name)))
}
