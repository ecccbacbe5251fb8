//! Reading a tree that users can write to: links are followed only where that opens nothing new, only regular files are
//! opened, and control files are bounded.
//!
//! A link is followed when root made it, or when it belongs to the owner of what it leads to. Otherwise a user with a
//! shell could link a stranger's mail into his own and have an export by root carry it off.

use crate::fs::{DirEntry, FileKind, FileRead, Fs, Stat, not_regular, read_whole};
use crate::limits;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// What lies at `path`, through links that may be followed; `None` where nothing does.
pub fn stat(fs: &dyn Fs, path: &Path) -> io::Result<Option<Stat>> {
    let Some(link) = found(fs.lstat(path))? else { return Ok(None) };
    if link.kind != FileKind::Symlink {
        return Ok(Some(link));
    }
    let target = fs.stat(path)?;
    if link.uid != 0 && link.uid != target.uid {
        let what = "a symbolic link to what belongs to somebody else, not followed";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(Some(target))
}

/// The entries of a directory; `None` where there is none.
pub fn list(fs: &dyn Fs, dir: &Path) -> io::Result<Option<Vec<DirEntry>>> {
    match stat(fs, dir)? {
        Some(stat) if stat.kind == FileKind::Dir => found(fs.list(dir)),
        Some(_) => Err(io::ErrorKind::NotADirectory.into()),
        None => Ok(None),
    }
}

/// Hands over the entries of a directory, if there is one.
pub fn each_entry(fs: &dyn Fs, dir: &Path, take: &mut dyn FnMut(DirEntry)) -> io::Result<()> {
    match stat(fs, dir)? {
        Some(stat) if stat.kind == FileKind::Dir => found(fs.each_entry(dir, take)).map(Option::unwrap_or_default),
        Some(_) => Err(io::ErrorKind::NotADirectory.into()),
        None => Ok(()),
    }
}

/// Opens a regular file that no link stands for; `None` where there is none. Never waits, as opening a pipe would.
pub fn open_regular(fs: &dyn Fs, path: &Path) -> io::Result<Option<(Box<dyn FileRead>, Stat)>> {
    let Some(file) = found(fs.open_plain(path))? else { return Ok(None) };
    let stat = file.stat()?;
    if stat.kind != FileKind::File {
        return Err(not_regular());
    }
    Ok(Some((file, stat)))
}

/// A whole control file, through a link that may be followed; `None` where there is none.
pub fn read_control(fs: &dyn Fs, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match stat(fs, path)? {
        Some(stat) if stat.kind == FileKind::File => found(fs.read(path, limits::CONTROL_FILE_BYTES)),
        Some(_) => Err(not_regular()),
        None => Ok(None),
    }
}

/// The same to be read from its beginning to its end, of which not all should be held.
pub fn open_control(fs: &dyn Fs, path: &Path) -> io::Result<Option<impl BufRead + use<>>> {
    match stat(fs, path)? {
        Some(stat) if stat.kind == FileKind::File => {
            let Some(file) = found(fs.open(path))? else { return Ok(None) };
            if file.stat()?.size > limits::CONTROL_FILE_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let reader = Reader { file, at: 0 }.take(limits::CONTROL_FILE_BYTES);
            Ok(Some(BufReader::with_capacity(limits::CONTROL_WINDOW_BYTES, reader)))
        }
        Some(_) => Err(not_regular()),
        None => Ok(None),
    }
}

/// Reads an open file from its beginning on.
struct Reader {
    file: Box<dyn FileRead>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The beginning of a control file: its first `limit` bytes at most.
pub fn read_head(fs: &dyn Fs, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let Some((file, _)) = open_regular(fs, path)? else { return Ok(None) };
    let mut head = vec![0; limit];
    let n = file.read_at(&mut head, 0)?;
    head.truncate(n);
    Ok(Some(head))
}

/// The whole of an open file that had `size` bytes.
pub fn read_open(file: &dyn FileRead, size: u64) -> io::Result<Vec<u8>> {
    read_whole(file, size, limits::WHOLE_ITEM_BYTES)
}

/// `None` for what is not there, also where a folder above it is not.
pub fn found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
