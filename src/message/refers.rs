//! What a recipe and a skeleton tell without anything else being fetched: which objects are needed, and what is alike.
//! Format: format-spec/message.md.

use super::likeness::{Likeness, likeness};
use super::skeleton::{Piece, Skeleton, parse_recipe};
use crate::format::FormatError;
use crate::model::id::ObjectId;

/// The skeleton of a recipe.
pub fn skeleton_of(recipe: &[u8]) -> Result<ObjectId, FormatError> {
    Ok(parse_recipe(recipe)?.0)
}

/// The parts of a skeleton, in order; one that stands twice comes twice.
pub fn parts_of(skeleton: &[u8]) -> Result<Vec<ObjectId>, FormatError> {
    let part = |piece: &Piece| match piece {
        Piece::Literal { .. } => None,
        Piece::Raw { id, .. } | Piece::Base64 { id, .. } => Some(*id),
    };
    Ok(Skeleton::parse(skeleton)?.pieces.iter().filter_map(part).collect())
}

/// The likeness of the message with this skeleton.
pub fn likeness_of(skeleton: &[u8]) -> Result<Likeness, FormatError> {
    Ok(likeness(Skeleton::parse(skeleton)?.literals))
}
