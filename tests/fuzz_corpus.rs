//! Replays what fuzzing has kept, its corpus and every past crash, through all targets: without a fuzzer, in a moment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at files as they are"
)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest that one input may take. Fuzzing allows a second in an optimised build; this one is not, and not alone.
const MOST: Duration = Duration::from_secs(20);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn replay(kind: &str) -> usize {
    let mut inputs = 0;
    for (target, run) in fuzz::TARGETS {
        let dir = root().join(kind).join(target);
        if !dir.exists() {
            continue;
        }
        for name in names(&dir) {
            let (input, begin) = (fs::read(dir.join(&name)).unwrap(), Instant::now());
            if std::panic::catch_unwind(|| run(&input)).is_err() {
                panic!("fuzz/{kind}/{target}/{name} breaks what {target} claims");
            }
            assert!(begin.elapsed() < MOST, "fuzz/{kind}/{target}/{name} takes {:?}", begin.elapsed());
            inputs += 1;
        }
    }
    inputs
}

#[test]
fn everything_that_ever_crashed_a_parser_is_harmless_now() {
    assert!(replay("crashes") > 0);
}

#[test]
fn every_input_that_reaches_new_code_holds_what_its_target_claims() {
    assert!(replay("corpus") >= fuzz::TARGETS.len());
}

#[test]
fn every_target_has_a_program_a_corpus_and_a_line_in_the_list() {
    let targets: BTreeSet<String> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets, names(&root().join("corpus")), "fuzz/corpus");
    let programs = names(&root().join("targets")).into_iter();
    assert_eq!(targets, programs.map(|name| name.trim_end_matches(".rs").to_owned()).collect(), "fuzz/targets");
    assert!(names(&root().join("crashes")).is_subset(&targets), "fuzz/crashes");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for target in &targets {
        let text = fs::read_to_string(root().join("targets").join(format!("{target}.rs"))).unwrap();
        assert!(text.contains(&format!("run(\"{target}\"")) && text.lines().count() <= 6, "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
        fuzz::run(target, b"");
    }
}
