//! What a recipe and a skeleton refer to, without fetching any of it: for whoever has to know which objects are needed.
//! Format: format-spec/message.md.

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
