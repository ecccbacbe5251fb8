//! The entries of the last scan, kept in the state folder. It holds password hashes, so only its owner can read it; it
//! can be removed at any time, and is then made again.

use super::LdapOptions;
use super::entry::Tree;
use crate::fs::{FileRead, Fs};
use crate::limits;
use crate::model::hex;
use crate::site::SiteError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Changes whenever what is kept means something else.
const VERSION: u32 = 2;

/// A scan to compare with.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// The server's change numbers when it was made; empty: none, or not to be believed.
    pub context: Vec<String>,
    pub tree: Tree,
}

/// The first line of the file. Each further one is an entry.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    context: Vec<String>,
    entries: usize,
}

impl Cache {
    /// What the last scan of this very book left; empty where there is nothing usable.
    pub fn read(fs: &dyn Fs, options: &LdapOptions) -> Self {
        Self::lines(fs, &path(options)).ok().flatten().unwrap_or_default()
    }

    /// Line by line: the file is a third of what the whole may take.
    fn lines(fs: &dyn Fs, path: &Path) -> io::Result<Option<Self>> {
        let file = fs.open_plain(path)?;
        let mut lines = BufReader::new(Reading { file: file.as_ref(), at: 0 }.take(limits::LDAP_CACHE_BYTES));
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line)?;
        let Ok(head) = serde_json::from_slice::<Head>(&line) else { return Ok(None) };
        let mut tree = Tree::default();
        for _ in 0..head.entries {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            tree.put_line(line.trim_ascii_end())?;
        }
        let whole = head.version == VERSION && tree.count() == head.entries;
        Ok(whole.then_some(Self { context: head.context, tree }))
    }
}

struct Reading<'f> {
    file: &'f dyn FileRead,
    at: u64,
}

impl Read for Reading<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Keeps what a scan found for the next one.
pub fn write(fs: &dyn Fs, options: &LdapOptions, context: &[String], tree: &Tree) -> Result<(), SiteError> {
    let path = path(options);
    let written = write_lines(fs, &path, context, tree);
    written.map_err(|source| SiteError::Io { action: "write", path, source })
}

fn write_lines(fs: &dyn Fs, path: &Path, context: &[String], tree: &Tree) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs.create_dir_all(dir)?;
    let mut file = fs.create_temp(dir, ".wagon-")?;
    file.set_mode(0o600)?;
    let mut lines = BufWriter::new(&mut file);
    let head = Head { version: VERSION, context: context.to_vec(), entries: tree.count() };
    serde_json::to_writer(&mut lines, &head)?;
    for line in tree.lines() {
        lines.write_all(b"\n")?;
        lines.write_all(&line?)?;
    }
    lines.flush()?;
    drop(lines);
    file.sync()?;
    let temporary = file.keep();
    fs.rename(&temporary, path).inspect_err(|_| drop(fs.remove_file(&temporary)))?;
    fs.sync_dir(dir)
}

/// The file for this server, base, reader and mapping: others see other entries.
fn path(options: &LdapOptions) -> PathBuf {
    let LdapOptions { endpoint, base, bind, mapping, .. } = options;
    let what = format!("{endpoint}\0{base}\0{bind}\0{mapping:?}");
    let name = hex::encode(&Sha256::digest(what.as_bytes()));
    options.state_dir.join(format!("ldap-{}.json", name.get(..16).unwrap_or(&name)))
}
