//! Messages, their headers, and Sieve scripts.

use stationwagon::message::{encode_recipe, join, outline, split};
use stationwagon::model::id::ObjectId;
use stationwagon::verbs::import::sieve::rewrite_addresses;
use stationwagon::verbs::show::{header, mime_names};
use std::collections::HashMap;

/// Whatever is taken apart comes back byte for byte.
pub fn message(raw: &[u8]) {
    let Some(split) = split(raw) else { return };
    let skeleton = ObjectId::of(&split.skeleton);
    let recipe = encode_recipe(&skeleton, split.trace);
    let mut objects: HashMap<_, _> = split.parts.into_iter().map(|part| (part.id, part.bytes.into_owned())).collect();
    objects.insert(skeleton, split.skeleton);
    let mut fetch =
        |id: &ObjectId, most: u64| objects.get(id).filter(|bytes| bytes.len() as u64 <= most).cloned().ok_or(());
    let mut out = Vec::new();
    let written = join(&recipe, raw.len() as u64, &mut fetch, &mut out).unwrap();
    assert_eq!(written, raw.len() as u64);
    assert!(out == raw, "the message does not come back");
    outline(&recipe, raw.len() as u64, &mut fetch).unwrap();
}

/// A skeleton that somebody else wrote never makes a message longer than what was asked for, nor asks for more.
pub fn skeleton(bytes: &[u8]) {
    const LIMIT: u64 = 64 * 1024;
    // As a recipe of its own, of which nothing can be had.
    let nothing = |_: &ObjectId, _: u64| -> Result<Vec<u8>, ()> { Err(()) };
    let _ = join(bytes, LIMIT, &mut { nothing }, &mut Vec::new());
    let name = ObjectId::of(bytes);
    let recipe = encode_recipe(&name, b"Received: by mx\r\n");
    let mut fetch = |id: &ObjectId, most: u64| -> Result<Vec<u8>, ()> {
        match *id == name {
            true => Ok(bytes.to_vec()),
            false if most <= LIMIT => Ok(vec![b'x'; most as usize]),
            false => panic!("a part of {most} bytes for a message of {LIMIT}"),
        }
    };
    let mut out = Vec::new();
    if let Ok(written) = join(&recipe, LIMIT, &mut fetch, &mut out) {
        assert!(written <= LIMIT && written == out.len() as u64, "{written} said, {} written", out.len());
    }
    let _ = outline(&recipe, LIMIT, &mut fetch);
}

/// Headers are shown as text, whatever they are.
pub fn header(message: &[u8]) {
    for field in header::fields(message) {
        let _ = field.text();
    }
    let _ = mime_names::attachment_names(message);
    let _ = header::decode(&String::from_utf8_lossy(message));
}

/// Where every redirect leads to one address, leading them there once more changes nothing.
pub fn sieve(script: &[u8]) {
    let nobody = |_: &str| None;
    assert!(rewrite_addresses(script, &nobody).is_none());
    let one = |_: &str| Some("o\"ne\\@new.example".to_owned());
    if let Some(rewritten) = rewrite_addresses(script, &one) {
        assert_eq!(rewrite_addresses(&rewritten, &one).as_deref(), Some(rewritten.as_slice()));
    }
}
