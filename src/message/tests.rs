//! Properties of taking apart and joining, and what is expected of single messages.

use super::*;
use crate::format::FormatError;
use crate::limits;
use crate::model::id::ObjectId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;

/// Joins what was taken apart, as a reader of an archive does; `None` when it was not taken apart.
fn joined(raw: &[u8]) -> Option<Vec<u8>> {
    let split = split(raw)?;
    let skeleton = ObjectId::of(&split.skeleton);
    let recipe = encode_recipe(&skeleton, split.trace);
    let mut objects: HashMap<_, _> = split.parts.into_iter().map(|part| (part.id, part.bytes.into_owned())).collect();
    objects.insert(skeleton, split.skeleton);
    let mut out = Vec::new();
    let mut fetch = |id: &ObjectId, most: u64| match objects.get(id) {
        Some(bytes) if bytes.len() as u64 <= most && ObjectId::of(bytes) == *id => Ok(bytes.clone()),
        other => Err(other.is_some()),
    };
    let len = join(&recipe, raw.len() as u64, &mut fetch, &mut out).unwrap();
    assert_eq!(len, out.len() as u64);
    Some(out)
}

fn assert_exact(raw: &[u8]) {
    if let Some(joined) = joined(raw) {
        assert!(joined == raw, "{:?} came back as {:?}", raw.escape_ascii().to_string(), joined.escape_ascii());
    }
}

/// The lines of a skeleton without the names: `L 120 | B 3000 76 n | L 20`.
fn outline(raw: &[u8]) -> String {
    let Some(split) = split(raw) else { return "whole".to_owned() };
    let text = String::from_utf8_lossy(&split.skeleton).into_owned();
    let lines = text.lines().skip(1).take_while(|line| !line.is_empty());
    let mut out: Vec<String> = vec![format!("T {}", split.trace.len())];
    out.extend(lines.map(|line| line.split(' ').filter(|word| word.len() != 64).collect::<Vec<_>>().join(" ")));
    out.join(" | ")
}

/// Base64 of `len` bytes in lines of `width`.
fn base64_lines(len: usize, width: usize, line_end: &str) -> String {
    let bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
    let digits = STANDARD.encode(bytes);
    let lines: Vec<&str> = digits.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(line_end)
}

fn base64_message(body: &str) -> Vec<u8> {
    format!("Subject: x\nContent-Transfer-Encoding: base64\n\n{body}").into_bytes()
}

#[derive(Debug, Clone)]
enum Entity {
    Text { body: Vec<u8> },
    Base64 { len: usize, width: usize, tail: &'static str },
    Multipart { boundary: String, digest: bool, children: Vec<Entity>, closed: bool, preamble: usize },
    Message { inner: Box<Entity> },
}

fn entity() -> impl Strategy<Value = Entity> {
    let width = prop_oneof![Just(76), Just(72), Just(64), Just(60), Just(78), Just(57), Just(1), Just(100_000)];
    let leaf = prop_oneof![
        vec(any::<u8>(), 0..2500).prop_map(|body| Entity::Text { body }),
        (0_usize..4000, width, prop_oneof![Just(""), Just("\n"), Just("\n\n_____\nfooter"), Just(" "), Just("=\n")])
            .prop_map(|(len, width, tail)| Entity::Base64 { len, width, tail }),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            ("[a-c=_-]{0,3}", any::<bool>(), vec(inner.clone(), 0..4), any::<bool>(), 0_usize..2000).prop_map(
                |(boundary, digest, children, closed, preamble)| Entity::Multipart {
                    boundary,
                    digest,
                    children,
                    closed,
                    preamble
                }
            ),
            inner.prop_map(|inner| Entity::Message { inner: Box::new(inner) }),
        ]
    })
}

impl Entity {
    fn write(&self, eol: &str, out: &mut Vec<u8>) {
        match self {
            Self::Text { body } => {
                out.extend(format!("Subject: x{eol}{eol}").bytes());
                out.extend(body);
            }
            Self::Base64 { len, width, tail } => {
                out.extend(format!("Content-Transfer-Encoding: BASE64{eol}{eol}").bytes());
                out.extend(base64_lines(*len, *width, eol).bytes());
                out.extend(tail.bytes());
            }
            Self::Multipart { boundary, digest, children, closed, preamble } => {
                let kind = if *digest { "digest" } else { "mixed" };
                out.extend(format!("Content-Type: multipart/{kind};{eol}\tboundary=\"{boundary}\"{eol}{eol}").bytes());
                out.extend(std::iter::repeat_n(b'p', *preamble));
                for child in children {
                    out.extend(format!("{eol}--{boundary}{eol}").bytes());
                    child.write(eol, out);
                }
                if *closed {
                    out.extend(format!("{eol}--{boundary}--{eol}").bytes());
                }
            }
            Self::Message { inner } => {
                out.extend(format!("Content-Type: message/rfc822{eol}{eol}").bytes());
                inner.write(eol, out);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_survive(raw in vec(any::<u8>(), 0..3000)) {
        assert_exact(&raw);
    }

    #[test]
    fn any_body_below_a_trace_survives(body in vec(any::<u8>(), 0..3000)) {
        let raw = [b"Return-Path: <>\nReceived: from a ([::1]) by b for <c@d>; e\n\tf\n".as_slice(), &body].concat();
        prop_assert_eq!(joined(&raw), Some(raw));
    }

    #[test]
    fn anything_like_mime_survives_and_so_does_what_damage_leaves_of_it(
        entity in entity(),
        crlf in any::<bool>(),
        trace in any::<bool>(),
        damage in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), vec(any::<u8>(), 0..4)), 0..4),
    ) {
        let eol = if crlf { "\r\n" } else { "\n" };
        let mut raw = if trace { format!("Delivered-To: a@b{eol}Received: x{eol}").into_bytes() } else { Vec::new() };
        entity.write(eol, &mut raw);
        assert_exact(&raw);
        for (from, len, with) in damage {
            let from = from.index(raw.len() + 1);
            let to = (from + len.index(100)).min(raw.len());
            raw.splice(from..to, with);
            assert_exact(&raw);
        }
    }

    #[test]
    fn every_regular_base64_body_is_decoded(len in 1000_usize..9000, width in 1_usize..200, crlf in any::<bool>()) {
        let raw = base64_message(&base64_lines(len, width, if crlf { "\r\n" } else { "\n" }));
        let split = split(&raw).unwrap();
        prop_assert_eq!(split.parts.len(), 1);
        prop_assert_eq!(split.parts[0].bytes.len(), len);
        assert_exact(&raw);
    }

    #[test]
    fn a_hostile_recipe_or_skeleton_stays_within_the_bound(
        lines in vec("[LRB] ([0-9a-f]{64} )?[0-9]{1,20}( [0-9]{1,20} r?n)?", 0..6),
        literals in vec(any::<u8>(), 0..40),
        head in prop_oneof![Just("wagon-skeleton 1\n".to_owned()), "wagon-skeleton [0-9]{1,12}\n", ".{0,20}"],
        cut in any::<prop::sample::Index>(),
        limit in prop_oneof![0_u64..2000, Just(u64::MAX)],
        honest in any::<bool>(),
    ) {
        let mut skeleton = format!("{head}{}\n\n", lines.join("\n")).into_bytes();
        skeleton.extend(&literals);
        skeleton.truncate(cut.index(2 * skeleton.len() + 1));
        let recipe = encode_recipe(&ObjectId::of(b"skeleton"), b"trace");
        let mut skeleton = Some(skeleton);
        let mut fetch = |_: &ObjectId, most: u64| match skeleton.take() {
            Some(skeleton) if skeleton.len() as u64 <= most => Ok(skeleton),
            Some(_) => Err(()),
            // What cannot be had is refused; the bound on it may be as large as the limit lets it be.
            None if honest && most <= 4096 => Ok(vec![b'x'; most as usize]),
            None if honest => Err(()),
            None => Ok(vec![b'x'; 7]),
        };
        let mut out = Vec::new();
        let result = join(&recipe, limit, &mut fetch, &mut out);
        prop_assert!(out.len() as u64 <= limit);
        if let Ok(len) = result {
            prop_assert_eq!(len, out.len() as u64);
        }
    }

    #[test]
    fn any_bytes_as_a_recipe_are_an_error_or_a_name(recipe in vec(any::<u8>(), 0..200)) {
        let result = join::<()>(&recipe, 1000, &mut |_, _| Err(()), &mut Vec::new());
        prop_assert!(result.is_err());
    }
}

#[test]
fn copies_of_a_message_share_all_but_their_trace() {
    let copy = |name: &str, id: u32| {
        let body = "A line that everybody gets.\n".repeat(60);
        format!(
            "Return-Path: <bounce-{id}@lists.example>\nDelivered-To: {name}@example.org\n\
             Received: from mx.example.org ([10.0.0.2])\n\tby store.example.org with LMTP id {id} for <{name}@example.org>\n\
             Received: from out.lists.example (out.lists.example [198.51.100.7])\n\tby mx.example.org (Postfix) id {id}\n\
             X-Spam-Score: {id}\nReceived: from web (localhost [127.0.0.1]) by out.lists.example for <all@lists.example>\n\
             Subject: hello\n\n{body}"
        )
    };
    let (ann, bob) = (copy("ann", 4711), copy("bob", 4712));
    let (ann, bob) = (split(ann.as_bytes()).unwrap(), split(bob.as_bytes()).unwrap());
    assert!(ann.trace.ends_with(b"X-Spam-Score: 4711\n"), "{}", ann.trace.escape_ascii());
    assert!(ann.trace != bob.trace);
    assert_eq!(ann.skeleton, bob.skeleton);
    assert!(ann.parts[0].id == bob.parts[0].id);
}

#[test]
fn a_filter_in_front_of_the_site_that_handles_each_copy_belongs_to_the_trace() {
    let message = "Delivered-To: ann@example.org\n\
        Received: from eu.filter.example ([203.0.113.5]) by mx.example.org for <ann@example.org>; date\n\
        ARC-Seal: i=1\nReceived: from out.sender.example ([198.51.100.7]) by eu.filter.example for <Ann@Example.org>; date\n\
        Received: from desk ([192.0.2.9]) by out.sender.example for <ann-old@example.org>; date\n\
        Subject: hello\n\n";
    let split = split(message.as_bytes()).unwrap();
    assert!(
        split.trace.ends_with(b"by eu.filter.example for <Ann@Example.org>; date\n"),
        "{}",
        split.trace.escape_ascii()
    );
}

#[test]
fn a_signature_of_the_sender_ends_the_trace() {
    let message = b"Received: from a by b\nDKIM-Signature: v=1\nReceived: from c by d\n\n";
    assert_eq!(outline(message), "T 22 | L 43");
}

#[test]
fn a_message_with_nothing_to_gain_is_left_whole() {
    assert_eq!(outline(b""), "whole");
    assert_eq!(outline(b"Subject: short\n\nshort\n"), "whole");
    assert_eq!(outline(&b"no header, no line end ".repeat(100)), "whole");
}

#[test]
fn a_base64_body_is_decoded_when_that_can_be_undone_and_kept_as_it_is_otherwise() {
    let lines = base64_lines(2000, 76, "\n");
    let mut unused_bits = lines.clone();
    let last = unused_bits.trim_end_matches('=').len() - 1;
    let digit = unused_bits.remove(last);
    unused_bits.insert(last, char::from(digit as u8 + 1));
    let cases = [
        ("regular", lines.clone(), "B 2000 76 n"),
        ("line ends around it", format!("\n\n{lines}\n\n\n"), "L 48 | B 2000 76 n | L 3"),
        ("a footer", format!("{lines}\n_______\nlist footer\n"), "B 2000 76 n | L 21"),
        ("CRLF", base64_lines(2000, 76, "\r\n"), "B 2000 76 rn"),
        ("one line", base64_lines(2000, 76, ""), "B 2000"),
        ("one line with an end", base64_lines(2000, 76, "") + "\n", "B 2000 | L 1"),
        ("odd width", base64_lines(2000, 77, "\n"), "B 2000 77 n"),
        ("last line full", base64_lines(1995, 76, "\n"), "B 1995 76 n"),
        ("ragged", base64_lines(1140, 76, "\n") + "\n" + &base64_lines(1140, 72, "\n"), "R"),
        ("mixed line ends", lines.replacen('\n', "\r\n", 1), "R"),
        ("no padding", lines.trim_end_matches('=').to_owned(), "R"),
        ("unused bits set", unused_bits, "R"),
        ("padding inside", base64_lines(1000, 76, "\n") + "\n" + &base64_lines(1000, 76, "\n"), "R"),
        ("white space at line ends", lines.replace('\n', " \n"), "R"),
    ];
    for (name, body, expected) in cases {
        let raw = base64_message(&body);
        assert_exact(&raw);
        let outline = outline(&raw);
        let found = outline.strip_prefix("T 0 | L 46 | ").or_else(|| outline.strip_prefix("T 0 | ")).unwrap();
        let whole = format!("R {}", body.len());
        assert_eq!(found, if expected == "R" { &whole } else { expected }, "{name}");
    }
}

#[test]
fn what_the_bounds_forbid_is_refused_before_anything_is_fetched_or_written() {
    let part = ObjectId::of(b"part");
    let skeleton = |lines: &str| format!("wagon-skeleton 1\n{lines}\n").into_bytes();
    let recipe = encode_recipe(&ObjectId::of(b"skeleton"), b"trace");
    let attempt = |lines: &str| {
        let mut answer = Some(skeleton(lines));
        let mut out = Vec::new();
        let error = join(&recipe, 1000, &mut |_, _| answer.take().ok_or("asked for a part"), &mut out).unwrap_err();
        assert!(out.is_empty());
        match error {
            JoinError::Format(error) => error.to_string(),
            other => other.to_string(),
        }
    };
    assert_eq!(attempt(&format!("R {part} 996\n")), "bytes of a message: 1001 is over the bound of 1000");
    assert_eq!(attempt(&format!("B {part} 700 1 rn\n")), "bytes of a message: 2811 is over the bound of 1000");
    assert_eq!(attempt(&format!("R {part} {}\n", u64::MAX).repeat(2)), "line 3: a length beyond all bounds");
    assert_eq!(attempt(&format!("B {part} {}\n", u64::MAX)), "line 2: a length beyond all bounds");
    assert_eq!(attempt("L 3\n"), "3 literal bytes announced, 0 there at byte 22");
    assert_eq!(attempt("L 03\n"), "line 2: not a piece of a message");
    assert_eq!(attempt("X 3\n"), "line 2: not a piece of a message");
    let many = format!("R {part} 1\n").repeat(limits::SKELETON_PIECES + 1);
    assert_eq!(attempt(&many), "pieces of a skeleton: 4002 is over the bound of 4001");
    let newer = join::<()>(&recipe, 9, &mut |_, _| Ok(b"wagon-skeleton 2\n".to_vec()), &mut Vec::new());
    assert!(matches!(newer, Err(JoinError::Format(FormatError::TooNew { found: 2, known: 1 }))));
}

#[test]
fn a_part_of_another_size_than_announced_is_an_error() {
    let raw = b"Subject: x\n\n".iter().copied().chain(b"text\n".repeat(300)).collect::<Vec<_>>();
    let split = split(&raw).unwrap();
    let recipe = encode_recipe(&ObjectId::of(&split.skeleton), b"");
    let mut answers = vec![b"text\n".repeat(299), split.skeleton.clone()];
    let error = join::<()>(&recipe, 10_000, &mut |_, _| answers.pop().ok_or(()), &mut Vec::new()).unwrap_err();
    let JoinError::Format(error) = error else { panic!("{error:?}") };
    let part = split.parts[0].id;
    assert_eq!(error.to_string(), format!("part {part} has 1495 bytes, the skeleton says 1500 at byte 0"));
}

#[test]
fn the_bounds_on_depth_and_number_leave_what_is_beyond_them_in_one_piece() {
    let mut deep = String::new();
    for level in 0..200 {
        deep += &format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
    }
    deep += &format!("\n{}", "x".repeat(3000));
    let outline_of_deep = outline(deep.as_bytes());
    assert_eq!(outline_of_deep.matches('R').count(), 1, "{outline_of_deep}");
    assert_exact(deep.as_bytes());

    let part = format!("--b\n\n{}\n", "x".repeat(limits::PART_BYTES));
    let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", part.repeat(limits::MIME_PARTS + 5));
    assert_eq!(split(many.as_bytes()).unwrap().parts.len(), limits::MIME_PARTS);
    assert_exact(many.as_bytes());
}
