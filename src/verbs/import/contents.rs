//! What is delivered: the bytes of items, from the archive or from a copy on the target.
//!
//! A batch is read in the order of the archive, not in its own. Where the reader has a scratch file
//! (`archive::segment_spool`) each segment is inflated once all the same; where it has none (an encrypted archive, little
//! room), about once for the batch, instead of again and again (12 times each on site-medium).
//!
//! A batch is bounded by what the manifest says of its items, so no object may have more bytes than that.

use super::copies::Made;
use super::pass::Pass;
use super::{ImportError, sieve};
use crate::archive::pack_reader::Stored;
use crate::archive::{ArchiveError, SealError};
use crate::event::Reason;
use crate::format::items::ItemAt;
use crate::limits;
use crate::message::{CrlfWriter, with_crlf};
use crate::model::id::ObjectId;
use crate::model::mailbox::{FolderKind, Item};
use crate::site::{ItemContent, LineEnds};
use sha2::{Digest as _, Sha256};
use std::io;

/// What is to be delivered for an item.
pub struct Found {
    pub content: ItemContent,
    /// Its name where that is not the source's object.
    pub target_object: Option<ObjectId>,
    /// What copies of it in other mailboxes have in common with it.
    pub made: Option<Made>,
}

impl Found {
    fn plain(content: ItemContent) -> Self {
        Self { content, target_object: None, made: None }
    }
}

/// What is to be delivered for each of these items, in their order, or why the archive cannot give it.
pub fn read_all(pass: &Pass<'_>, items: &[(&ItemAt, FolderKind)]) -> Result<Vec<Result<Found, Reason>>, ImportError> {
    let mut found: Vec<Option<Found>> = items.iter().map(|_| None).collect();
    if !pass.options.dry_run {
        read_in_order(pass, items, &mut found)?;
    }
    let each = items.iter().zip(found);
    each.map(|(&(at, kind), found)| match found {
        Some(found) => in_lines(pass, kind, found).map(Ok),
        None => content(pass, at, kind),
    })
    .collect()
}

/// The content with the line ends that the target keeps.
fn in_lines(pass: &Pass<'_>, kind: FolderKind, found: Found) -> Result<Found, ImportError> {
    if pass.options.dry_run || pass.target.line_ends(kind) == LineEnds::Kept {
        return Ok(found);
    }
    let (content, target_object) = match found.content {
        ItemContent::Bytes(bytes) => match with_crlf(&bytes) {
            None => (ItemContent::Bytes(bytes), found.target_object),
            Some(bytes) => {
                let name = ObjectId::of(&bytes);
                (ItemContent::Bytes(bytes), Some(name))
            }
        },
        ItemContent::Stream { size, write } => {
            // Read once beforehand: its name has to stand in the map before it is delivered.
            let mut digest = Digest::default();
            let broken = |source| ImportError::Io {
                action: "read the message for",
                path: pass.started.state_dir.clone(),
                source,
            };
            let mut lines = CrlfWriter::new(&mut digest);
            write(&mut lines).map_err(broken)?;
            let written = lines.written();
            let name = digest.name();
            let write = move |out: &mut dyn io::Write| {
                let mut lines = CrlfWriter::new(out);
                write(&mut lines)?;
                Ok(lines.written())
            };
            let target_object = if written == size { found.target_object } else { Some(name) };
            (ItemContent::Stream { size: written, write: Box::new(write) }, target_object)
        }
    };
    Ok(Found { content, target_object, made: None })
}

/// Names what is written into it.
#[derive(Default)]
struct Digest(Sha256);

impl Digest {
    fn name(self) -> ObjectId {
        ObjectId::from_digest(self.0.finalize().into())
    }
}

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what is read best together; what is wrong with an item, reading it alone says.
fn read_in_order(
    pass: &Pass<'_>,
    items: &[(&ItemAt, FolderKind)],
    found: &mut [Option<Found>],
) -> Result<(), ImportError> {
    let objects = pass.objects()?;
    let together = |(at, kind): &(&ItemAt, FolderKind)| {
        *kind != FolderKind::Filters && at.item.size <= limits::WHOLE_ITEM_BYTES // those are rewritten, or streamed
    };
    let mut order: Vec<_> = items
        .iter()
        .zip(found)
        .filter(|(item, _)| together(item))
        .map(|((at, _), found)| (objects.place_in_order(&at.item.object), &at.item, found))
        .collect();
    order.sort_by(|a, b| a.0.cmp(&b.0));
    let mut apart = Vec::new();
    for (_, Item { object, size, .. }, found) in order {
        match objects.stored(object, *size) {
            Ok(Stored::Whole(bytes)) => *found = Some(Found::plain(ItemContent::Bytes(bytes))),
            Ok(Stored::Recipe(recipe)) => {
                match pass.copies.find(pass.target, object, &recipe.skeleton, recipe.trace())? {
                    Some(bytes) if bytes.len() as u64 > *size => {} // as any other that is larger than it may be
                    Some(bytes) => *found = Some(Found::plain(ItemContent::Bytes(bytes))),
                    None => apart.push((objects.place_in_order(&recipe.skeleton), object, *size, recipe, found)),
                }
            }
            Err(_) => {}
        }
    }
    apart.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, object, size, recipe, found) in apart {
        if let Ok(bytes) = objects.joined(object, &recipe, size) {
            let made = Made::of(recipe.skeleton, recipe.trace());
            *found = Some(Found { content: ItemContent::Bytes(bytes), target_object: None, made });
        }
    }
    Ok(())
}

/// What is to be delivered for an item.
pub fn content(pass: &Pass<'_>, at: &ItemAt, kind: FolderKind) -> Result<Result<Found, Reason>, ImportError> {
    let Item { object, size, .. } = at.item;
    if pass.options.dry_run && kind != FolderKind::Filters {
        return Ok(Ok(Found::plain(ItemContent::Bytes(Vec::new()))));
    }
    let objects = pass.objects()?;
    if size > limits::WHOLE_ITEM_BYTES {
        let write = move |out: &mut dyn io::Write| objects.copy(&object, out).map_err(io::Error::other);
        return in_lines(pass, kind, Found::plain(ItemContent::Stream { size, write: Box::new(write) })).map(Ok);
    }
    let bytes = match objects.read(&object, size) {
        Ok(bytes) => bytes,
        Err(error) => return damage(error).map(Err),
    };
    let rename = |address: &str| Some(pass.book.address(address)).filter(|new| new != address);
    let rewritten = (kind == FolderKind::Filters).then(|| sieve::rewrite_addresses(&bytes, &rename)).flatten();
    Ok(Ok(match rewritten {
        Some(script) => {
            let name = ObjectId::of(&script);
            Found { content: ItemContent::Bytes(script), target_object: Some(name), made: None }
        }
        None => in_lines(pass, kind, Found::plain(ItemContent::Bytes(bytes)))?,
    }))
}

/// Damage that costs one item, as its reason; any other trouble with the archive ends the pass.
pub fn damage(error: ArchiveError) -> Result<Reason, ImportError> {
    match error {
        ArchiveError::NoObject { .. }
        | ArchiveError::DamagedObject { .. }
        | ArchiveError::DamagedSegment { .. }
        | ArchiveError::Sealed { source: SealError::Damaged(_), .. }
        | ArchiveError::Format { .. } => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                text = format!("{text}: {inner}");
                cause = inner.source();
            }
            Ok(Reason::Damaged(text))
        }
        other => Err(other.into()),
    }
}
