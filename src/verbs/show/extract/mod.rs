//! Taking mail out of an archive as files: one item, a folder, an account. Reads the segments that hold it and no others.
//!
//! Promises: nothing is written outside the output, whatever names the archive brings (`plan`); a file that is visible
//! under its name is complete; nothing that is there is overwritten unless that is asked for. `--dry-run` counts the very
//! plan that is carried out.

mod mbox;
mod plan;

use super::address::{Within, resolve};
use super::{ShowError, View};
use crate::archive::ArchiveError;
use crate::archive::pack_reader::ObjectReader;
use crate::event::{Event, Phase, Reason, Rejection, Sink};
use crate::fs::{DirEntry, FileKind, Fs};
use crate::limits::WHOLE_ITEM_BYTES;
use plan::{Content, Planned, PlannedFile, Taken};
use serde::Serialize;
use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How temporary names begin; what a killed run left under one, the next with `force` removes.
const TEMPORARY: &str = ".wagon-extract-";

/// As what mail is written. Calendars, contacts and filters are files of their own in each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// `cur`, `new` and `tmp`, flags in the names, internal date as the file's time.
    #[default]
    Maildir,
    /// One mboxrd file a folder.
    Mbox,
    /// One `.eml` file a message.
    Eml,
}

/// How to extract.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtractOptions {
    pub format: Format,
    /// Write into an output that holds something already, replacing files of the same names.
    pub force: bool,
    /// Say what would be extracted, write nothing.
    pub dry_run: bool,
}

/// What was extracted.
#[derive(Debug, Clone, Serialize)]
pub struct ExtractReport {
    pub output: PathBuf,
    pub files: u64,
    pub items: u64,
    pub bytes: u64,
    pub rejected: Vec<Rejection>,
    pub dry_run: bool,
}

/// Writes the bytes of one item to `out` and returns their number; what was written is only good when this is `Ok`.
pub fn copy_item(view: &View<'_>, address: &str, out: &mut dyn Write) -> Result<u64, ShowError> {
    let found = resolve(view, address)?;
    let Within::Item(id) = found.within else { return Err(ShowError::NotAnItem(address.to_owned())) };
    let at = found.mailbox.items.get(id).ok_or_else(|| ShowError::NotAnItem(address.to_owned()))?;
    Ok(view.archive.objects()?.copy(&at.item.object, out)?)
}

/// Writes what `address` names to `output`: an item to that file, or into that folder if it is one; a folder as a
/// Maildir, an mbox file or a folder of `.eml` files; an account as a folder of such.
pub fn extract(
    view: &View<'_>,
    fs: &dyn Fs,
    address: &str,
    output: &Path,
    options: &ExtractOptions,
    sink: &dyn Sink,
) -> Result<ExtractReport, ShowError> {
    let found = resolve(view, address)?;
    let there = match fs.stat(output) {
        Ok(stat) => Some(stat.kind),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(io_error("look at", output, source)),
    };
    let planned = plan::plan(&found, options.format, output, there == Some(FileKind::Dir));
    if !options.force {
        check_free(fs, output, &planned, there)?;
    }
    view.archive.check_scratch()?;
    let (items, bytes) = planned.totals();
    let mut report = ExtractReport {
        output: output.to_owned(),
        files: planned.files.len() as u64,
        items,
        bytes,
        rejected: Vec::new(),
        dry_run: options.dry_run,
    };
    if options.dry_run {
        return Ok(report);
    }
    sink.emit(Event::PhaseStarted { phase: Phase::Extract, total: Some(items) });
    (report.files, report.items, report.bytes) = (0, 0, 0);
    let objects = view.archive.objects()?;
    let mut made = HashSet::new();
    let sweep = options.force && planned.tree;
    let mut make = |dir: &Path| {
        if !made.insert(dir.to_owned()) {
            return Ok(());
        }
        refuse_links(fs, output, dir)?;
        fs.create_dir_all(dir).map_err(|source| io_error("make", dir, source))?;
        if sweep { remove_unfinished(fs, dir) } else { Ok(()) }
    };
    planned.dirs.iter().try_for_each(|dir| make(dir))?;
    // One message must not wait for what others have written to the same file system, as `syncfs` would.
    let sync = if planned.tree { Sync::Later } else { Sync::File };
    for file in &planned.files {
        make(dir_of(&file.path))?;
        write_file(fs, &objects, file, options.force, sync, sink, &mut report)?;
    }
    if sync == Sync::Later {
        fs.sync_all(output).map_err(|source| io_error("sync", output, source))?;
    }
    sink.emit(Event::PhaseFinished { phase: Phase::Extract });
    Ok(report)
}

/// Refuses an output that holds something: a file where a file is to be, a folder with anything in it where a tree is.
fn check_free(fs: &dyn Fs, output: &Path, planned: &Planned, there: Option<FileKind>) -> Result<(), ShowError> {
    let (path, taken) = match there {
        Some(FileKind::Dir) if planned.tree => {
            (output, !fs.list(output).map_err(|source| io_error("list", output, source))?.is_empty())
        }
        _ if planned.tree => (output, there.is_some()),
        _ => {
            let path = planned.files.first().map_or(output, |file| file.path.as_path());
            (path, fs.lstat(path).is_ok())
        }
    };
    if taken { Err(ShowError::Exists(path.to_owned())) } else { Ok(()) }
}

/// Refuses a folder that a symbolic link below the output leads out to.
fn refuse_links(fs: &dyn Fs, output: &Path, dir: &Path) -> Result<(), ShowError> {
    for level in dir.ancestors().take_while(|level| *level != output && level.starts_with(output)) {
        if fs.lstat(level).is_ok_and(|stat| stat.kind == FileKind::Symlink) {
            let why = "it is a symbolic link, which may lead out of the output; remove it, or take an empty output";
            return Err(io_error("write into", level, io::Error::other(why)));
        }
    }
    Ok(())
}

/// Removes the files of a folder that a killed run did not come to name.
fn remove_unfinished(fs: &dyn Fs, dir: &Path) -> Result<(), ShowError> {
    let entries = fs.list(dir).map_err(|source| io_error("list", dir, source))?;
    let unfinished =
        |entry: &&DirEntry| entry.kind == FileKind::File && entry.name.as_bytes().starts_with(TEMPORARY.as_bytes());
    for entry in entries.iter().filter(unfinished) {
        let path = dir.join(&entry.name);
        fs.remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
    }
    Ok(())
}

/// When a file is made durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// Before it gets its name, and its folder after that.
    File,
    /// With all others.
    Later,
}

/// Writes one file and counts it; items that are damaged are left out and reported.
fn write_file(
    fs: &dyn Fs,
    objects: &ObjectReader,
    file: &PlannedFile,
    force: bool,
    sync: Sync,
    sink: &dyn Sink,
    report: &mut ExtractReport,
) -> Result<(), ShowError> {
    let write_error = |source| io_error("write", &file.path, source);
    let mut temporary = fs.create_temp(dir_of(&file.path), TEMPORARY).map_err(write_error)?;
    let mut out = BufWriter::new(&mut *temporary);
    let mut written = 0_u64;
    for item in &file.items {
        if sink.interrupted() {
            return Err(ShowError::Stopped);
        }
        match copy(objects, item, file.content, &mut out) {
            Ok(()) => {
                written += 1;
                report.bytes = report.bytes.saturating_add(item.size);
            }
            Err(CopyError::Write(source)) => return Err(write_error(source)),
            Err(CopyError::Archive(error)) => {
                let rejection = Rejection { place: item.place.clone(), reason: Reason::Damaged(error.to_string()) };
                sink.emit(Event::Rejected(rejection.clone()));
                report.rejected.push(rejection);
            }
        }
        sink.emit(Event::Advanced { phase: Phase::Extract, items: 1, bytes: item.size });
    }
    out.flush().map_err(write_error)?;
    drop(out);
    // Of a single item that cannot be read nothing is left; an mbox has the others.
    if written == 0 && !file.items.is_empty() {
        return Ok(());
    }
    if let Some(date) = file.date {
        temporary.set_mtime(date).map_err(write_error)?;
    }
    if sync == Sync::File {
        temporary.sync().map_err(write_error)?;
    }
    let from = temporary.keep();
    let renamed = if force { fs.rename(&from, &file.path) } else { fs.rename_new(&from, &file.path) };
    renamed.map_err(|source| {
        // The error that counts is the one of the rename.
        let _ = fs.remove_file(&from);
        match source.kind() {
            io::ErrorKind::AlreadyExists => ShowError::Exists(file.path.clone()),
            _ => write_error(source),
        }
    })?;
    if sync == Sync::File {
        let dir = dir_of(&file.path);
        fs.sync_dir(dir).map_err(|source| io_error("sync", dir, source))?;
    }
    report.files += 1;
    report.items += written;
    Ok(())
}

enum CopyError {
    Archive(ArchiveError),
    Write(io::Error),
}

/// Writes one item. An item that is damaged writes nothing: one small enough is read whole before, a larger one is read
/// once for its name's sake and once to be written.
fn copy(objects: &ObjectReader, item: &Taken, content: Content, out: &mut dyn Write) -> Result<(), CopyError> {
    let bytes = if item.size <= WHOLE_ITEM_BYTES {
        Some(objects.read(&item.object, WHOLE_ITEM_BYTES).map_err(CopyError::Archive)?)
    } else {
        objects.copy(&item.object, &mut io::sink()).map_err(CopyError::Archive)?;
        None
    };
    match content {
        Content::AsIs => put(objects, item, bytes.as_deref(), out),
        Content::Mbox => {
            mbox::begin(out, item.date).map_err(CopyError::Write)?;
            let mut quoting = mbox::Quoting::new(out);
            put(objects, item, bytes.as_deref(), &mut quoting)?;
            quoting.end().map_err(CopyError::Write)
        }
    }
}

/// Writes bytes that were read, or streams the object, which was read well a moment ago: what fails now is the writing.
fn put(objects: &ObjectReader, item: &Taken, bytes: Option<&[u8]>, out: &mut dyn Write) -> Result<(), CopyError> {
    match bytes {
        Some(bytes) => out.write_all(bytes).map_err(CopyError::Write),
        None => objects.copy(&item.object, out).map(drop).map_err(|error| CopyError::Write(io::Error::other(error))),
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> ShowError {
    ShowError::Io { action, path: path.to_owned(), source }
}
