//! What a writer knows to be in the archive: a table that is opened when it is first asked, grows with every pack, and is
//! kept beside the catalog for the next pass.
//!
//! Promises never to hold an object for present that no sound index lists: a kept table is used only if each pack it
//! lists is there with the same length and the same index, and each page of it is compared with its checksum. Otherwise
//! it is removed and made again from the indexes. A pass that adds nothing opens nothing.

use super::sorted::{PackIdent, SortedFile};
use super::{Keep, ObjectTable};
use crate::archive::index::IndexState;
use crate::archive::layout::{PackName, io_error};
use crate::archive::{Archive, ArchiveError};
use crate::format::pack_index::{PackIndex, Prefix};
use crate::fs::read_exact_at;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;

/// What published packs hold.
#[derive(Default)]
pub(in crate::archive) struct KnownObjects {
    table: Option<ObjectTable>,
}

impl KnownObjects {
    /// Whether a pack holds the object. The first call opens the table.
    pub fn contains(&mut self, archive: &Archive, prefix: Prefix) -> Result<bool, ArchiveError> {
        let table = self.table(archive)?;
        match table.contains(prefix) {
            // It was damaged on its way to us.
            Err(_) if table.is_kept() => self.table_afresh(archive)?.contains(prefix),
            outcome => outcome,
        }
    }

    /// Adds a pack that has been published.
    pub fn push(&mut self, archive: &Archive, name: PackName, index: PackIndex) -> Result<(), ArchiveError> {
        // A table that is opened only now finds the pack among the others.
        let Some(table) = &mut self.table else { return Ok(()) };
        match table.push(name, index, Keep::File) {
            Err(_) if table.is_kept() => self.table_afresh(archive).map(drop),
            outcome => outcome,
        }
    }

    /// Leaves the table for the next pass, if it has a file and the archive a place for it.
    pub fn finish(self, archive: &Archive) -> Result<(), ArchiveError> {
        let Some(mut table) = self.table else { return Ok(()) };
        let Some(path) = archive.kept_table() else { return Ok(()) };
        if table.young.is_some() {
            match table.merge_all() {
                // Another pass would be no wiser; it makes the table again from the indexes.
                Err(_) if table.is_kept() => return archive.drop_kept_table(),
                outcome => outcome?,
            }
        }
        let Some(file) = table.old.as_mut().filter(|file| !file.is_kept()) else { return Ok(()) };
        let listed = table.names.iter().take(table.merged);
        let idents = listed.map(|name| archive.pack_ident(*name)).collect::<Result<Vec<_>, _>>()?;
        file.publish(archive.fs.as_ref(), &path, &idents)
    }

    fn table(&mut self, archive: &Archive) -> Result<&mut ObjectTable, ArchiveError> {
        let table = match self.table.take() {
            Some(table) => table,
            None => archive.table_for_writing()?,
        };
        Ok(self.table.insert(table))
    }

    fn table_afresh(&mut self, archive: &Archive) -> Result<&mut ObjectTable, ArchiveError> {
        self.table = None;
        archive.drop_kept_table()?;
        self.table(archive)
    }
}

impl Archive {
    /// All objects, for knowing what need not be written. Indexes that cannot be used, or that do not fit the length of
    /// their pack, are made again and written: what a damaged pack has lost is then no longer held for present.
    fn table_for_writing(&self) -> Result<ObjectTable, ArchiveError> {
        let names = self.packs()?.names;
        let mut table = self.table_from_last_pass(&names)?.unwrap_or_else(|| ObjectTable::new(self));
        let listed: HashSet<_> = table.names().collect();
        let unlisted: Vec<_> = names.into_iter().filter(|name| !listed.contains(name)).collect();
        let mut unusable = Vec::new();
        for &name in &unlisted {
            if self.index_for_writing(name)?.is_none() {
                unusable.push(name);
            }
        }
        self.write_indexes_again(&unusable)?;
        for name in unlisted {
            // What cannot be looked into counts as absent, and is stored again.
            let Some(index) = self.index_for_writing(name)? else { continue };
            match table.load(name, index, Keep::File) {
                Err(_) if table.is_kept() => {
                    self.drop_kept_table()?;
                    return self.table_for_writing();
                }
                outcome => outcome?,
            }
        }
        match table.settle() {
            Err(_) if table.is_kept() => {
                self.drop_kept_table()?;
                self.table_for_writing()
            }
            outcome => outcome.map(|()| table),
        }
    }

    /// The index of a pack, where there is one that fits it.
    fn index_for_writing(&self, name: PackName) -> Result<Option<PackIndex>, ArchiveError> {
        let path = self.dir.join(name.pack_path());
        let size = self.fs.stat(&path).map_err(io_error("look at", &path))?.size;
        match self.read_index(name)? {
            IndexState::Sound(index) if index.pack_bytes() == size => Ok(Some(index)),
            // To make it again costs the whole pack, and the disk may give it the next time.
            IndexState::Refused(error) => Err(io_error("read", &self.dir.join(name.index_path()))(error)),
            _ => Ok(None),
        }
    }

    /// The table that an earlier pass left, if it still tells the truth.
    fn table_from_last_pass(&self, names: &[PackName]) -> Result<Option<ObjectTable>, ArchiveError> {
        let Some(path) = self.kept_table() else { return Ok(None) };
        match SortedFile::open(self.fs.as_ref(), &path) {
            Ok((file, idents)) if idents.iter().all(|ident| self.is_as_listed(names, ident)) => {
                let mut table = ObjectTable::new(self);
                table.names = idents.iter().map(|ident| ident.name).collect();
                table.merged = idents.len();
                table.old = Some(file);
                Ok(Some(table))
            }
            Err(ArchiveError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            // Of another archive, of packs that are gone, damaged, or of another version.
            Ok(_) | Err(_) => self.drop_kept_table().map(|()| None),
        }
    }

    fn is_as_listed(&self, names: &[PackName], ident: &PackIdent) -> bool {
        names.binary_search(&ident.name).is_ok() && self.pack_ident(ident.name).is_ok_and(|now| now == *ident)
    }

    /// What tells whether a pack and its index are those that a table was made from. Costs the end of the index.
    fn pack_ident(&self, name: PackName) -> Result<PackIdent, ArchiveError> {
        let path = self.dir.join(name.pack_path());
        let pack_bytes = self.fs.stat(&path).map_err(io_error("look at", &path))?.size;
        let path = self.dir.join(name.index_path());
        let file = self.fs.open(&path).map_err(io_error("open", &path))?;
        let index_bytes = file.stat().map_err(io_error("look at", &path))?.size;
        let mut digest = [0; 8];
        let end = read_exact_at(file.as_ref(), index_bytes.saturating_sub(8), 8).map_err(io_error("read", &path))?;
        digest.copy_from_slice(&end);
        Ok(PackIdent { name, pack_bytes, index_bytes, digest })
    }

    /// Where the table lies between passes; `None` when the archive was given no place for it.
    fn kept_table(&self) -> Option<PathBuf> {
        Some(self.tables_dir.as_ref()?.join(format!("objects_{}.table", self.id())))
    }

    fn drop_kept_table(&self) -> Result<(), ArchiveError> {
        let Some(path) = self.kept_table() else { return Ok(()) };
        match self.fs.remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}
