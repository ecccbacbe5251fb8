//! What is delivered: the bytes of items, from the archive or from a copy on the target.
//!
//! A batch is read in the order of the archive, not in its own: each segment is then inflated about once for it, where in
//! the order of delivery the few that a reader keeps were inflated again and again (12 times each on site-medium).
//!
//! A batch is bounded by what the manifest says of its items, so no object may have more bytes than that.

use super::copies::Made;
use super::pass::Pass;
use super::{ImportError, sieve};
use crate::archive::ArchiveError;
use crate::archive::pack_reader::Stored;
use crate::event::Reason;
use crate::format::manifest::ItemAt;
use crate::limits;
use crate::model::id::ObjectId;
use crate::model::mailbox::{FolderKind, Item};
use crate::site::ItemContent;
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
    each.map(|(&(at, kind), found)| found.map_or_else(|| content(pass, at, kind), |found| Ok(Ok(found)))).collect()
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
        return Ok(Ok(Found::plain(ItemContent::Stream { size, write: Box::new(write) })));
    }
    let bytes = match objects.read(&object, size) {
        Ok(bytes) => bytes,
        Err(error) => return damage(error).map(Err),
    };
    let rename = |address: &str| Some(pass.book.address(address)).filter(|new| new != address);
    let rewritten = (kind == FolderKind::Filters).then(|| sieve::rewrite_redirects(&bytes, &rename)).flatten();
    Ok(Ok(match rewritten {
        Some(script) => {
            let name = ObjectId::of(&script);
            Found { content: ItemContent::Bytes(script), target_object: Some(name), made: None }
        }
        None => Found::plain(ItemContent::Bytes(bytes)),
    }))
}

/// Damage that costs one item, as its reason; any other trouble with the archive ends the pass.
pub fn damage(error: ArchiveError) -> Result<Reason, ImportError> {
    match error {
        ArchiveError::NoObject { .. }
        | ArchiveError::DamagedObject { .. }
        | ArchiveError::DamagedSegment { .. }
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
