//! The outline of a message: what can be read of it without its parts.
//!
//! Promises its header, the headers of its parts and of messages inside it, and its small bodies, in order; what is an
//! object of its own is left out. Called by whoever reads objects, for searching. Format: format-spec/message.md.

use super::join::{Fetch, JoinError};
use super::skeleton::{Skeleton, parse_recipe};
use crate::limits;

/// The trace and the literal pieces of the message; `fetch` is asked for the skeleton and for nothing else. Not the
/// message's bytes, so nothing that its name could prove.
pub fn outline<E>(recipe: &[u8], limit: u64, fetch: &mut Fetch<'_, E>) -> Result<Vec<u8>, JoinError<E>> {
    let (id, trace) = parse_recipe(recipe)?;
    let skeleton = fetch(&id, limit.saturating_add(limits::SKELETON_HEAD_BYTES)).map_err(JoinError::Part)?;
    let literals = Skeleton::parse(&skeleton)?.literals;
    Ok([trace, literals].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{encode_recipe, split};
    use crate::model::id::ObjectId;

    #[test]
    fn an_outline_has_every_header_and_asks_for_no_part() {
        let body = "a line of some length, again and again\r\n".repeat(100);
        let message = format!(
            "Received: by mx\r\nSubject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Disposition: attachment; filename=one.txt\r\n\r\n{body}\
             --b\r\nContent-Disposition: attachment; filename=two.txt\r\n\r\n{body}--b--\r\n"
        );
        let split = split(message.as_bytes()).unwrap();
        assert!(!split.parts.is_empty());
        let skeleton = ObjectId::of(&split.skeleton);
        let recipe = encode_recipe(&skeleton, split.trace);
        let mut fetch = |id: &ObjectId, _: u64| if *id == skeleton { Ok(split.skeleton.clone()) } else { Err(()) };
        let outline = String::from_utf8(outline(&recipe, 1 << 20, &mut fetch).unwrap()).unwrap();
        assert!(outline.starts_with("Received: by mx\r\nSubject: s\r\n"));
        assert!(outline.contains("filename=one.txt") && outline.contains("filename=two.txt"));
        assert!(!outline.contains("again and again"));
    }
}
