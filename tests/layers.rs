//! Who may know what: reads every `crate::` path under `src/` and prints those that point upwards. The table is the one of
//! CONTRIBUTING.md; a layer uses what its row names, and itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module, and the modules it may use.
const LAYERS: [(&str, &[&str]); 16] = [
    ("limits", &[]),
    ("model", &["limits"]),
    ("event", &["model"]),
    ("fs", &["limits"]),
    ("db", &["fs", "limits"]),
    ("shelf", &["model", "fs", "limits"]),
    ("message", &["format", "model", "limits"]),
    ("format", &["message", "model", "shelf", "limits", "event"]),
    ("archive", &["format", "message", "model", "shelf", "fs", "db", "limits", "event"]),
    ("catalog", &["format", "model", "fs", "db", "limits", "event"]),
    ("map", &["format", "model", "fs", "db", "limits", "event"]),
    ("net", &["model", "fs", "limits"]),
    ("site", &["model", "shelf", "fs", "db", "net", "limits", "event"]),
    (
        "verbs",
        &["archive", "catalog", "map", "site", "format", "message", "model", "shelf", "fs", "db", "limits", "event"],
    ),
    ("testing", &["site", "model", "shelf", "fs", "db", "limits", "event"]),
    ("lib", &[]),
];

/// What the binary may use of the library: verbs, what they take, opening an archive and a site, and every error, `db`'s
/// among them, because it maps them to an exit status.
const BINARY: [&str; 12] =
    ["db", "verbs", "event", "model", "archive", "catalog", "map", "site", "fs", "limits", "testing", "format"];

#[test]
fn no_layer_uses_one_above_it() {
    let mut offenders = Vec::new();
    for file in sources(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = code_without_tests(&fs::read_to_string(&file).unwrap());
        let inside = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().to_owned();
        let binary = inside.starts_with("bin");
        let layer = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let allowed: &[&str] = match LAYERS.iter().find(|(name, _)| *name == layer) {
            _ if binary => &BINARY,
            Some((_, allowed)) => allowed,
            None => panic!("{layer} has no row in tests/layers.rs"),
        };
        for path in paths_in(&text, if binary { "stationwagon::" } else { "crate::" }) {
            let used = path.split("::").next().unwrap();
            if used != layer && !allowed.contains(&used) {
                offenders.push(format!("{}: {layer} uses {path}", inside.display()));
            }
            if let Some(offence) = verb_uses_another(&inside, &path) {
                offenders.push(offence);
            }
        }
    }
    assert!(offenders.is_empty(), "these point upwards or sideways:\n{}", offenders.join("\n"));
}

/// A verb's folder uses no other verb's folder; a file beside them, which several share, is nobody's.
fn verb_uses_another(inside: &Path, path: &str) -> Option<String> {
    let verbs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/verbs");
    let mut levels = inside.iter().map(|level| level.to_string_lossy().into_owned());
    let (layer, verb) = (levels.next()?, levels.next()?);
    let other = path.strip_prefix("verbs::")?.split("::").next()?.to_owned();
    let sideways = layer == "verbs" && verbs.join(&verb).is_dir() && verb != other && verbs.join(&other).is_dir();
    sideways.then(|| format!("{}: verb {verb} uses verb {other}", inside.display()))
}

#[test]
fn terminal_crates_are_used_by_the_binary_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let offenders: Vec<_> = sources(src.clone())
        .into_iter()
        .filter(|file| !file.starts_with(src.join("bin")))
        .filter(|file| {
            let text = code_without_tests(&fs::read_to_string(file).unwrap());
            ["clap::", "indicatif::", "ctrlc::"].iter().any(|name| text.contains(name))
        })
        .collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}

fn sources(dir: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code without comments and without what stands at the end under `#[cfg(test)]`, which may use everything.
fn code_without_tests(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths after each `prefix`, those in braces one by one.
fn paths_in(code: &str, prefix: &str) -> BTreeSet<String> {
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut paths = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut one = String::new();
            for c in group.chars() {
                match c {
                    '}' if depth == 0 => break,
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => drop(paths.insert(std::mem::take(&mut one))),
                    c if depth == 0 && name(c) => one.push(c),
                    _ => {}
                }
            }
            paths.insert(one);
        } else {
            paths.insert(rest.chars().take_while(|&c| name(c)).collect());
        }
    }
    paths.remove("");
    paths
}

#[test]
fn the_reader_of_paths_finds_them_in_every_spelling() {
    let code = "use crate::a::B;\nuse crate::{c::D, e, f::{G, H}};\nfn x() { crate::i::j() } // crate::comment";
    let found: Vec<_> = paths_in(&code_without_tests(code), "crate::").into_iter().collect();
    assert_eq!(found, ["a::B", "c::D", "e", "f::", "i::j"]);
}
