//! The whole path on real mail, where the development corpus lies beside the repository (`../shared/corpus`, or
//! `WAGON_CORPUS`): site-small and the site of oddities are exported, imported, and compared file by file; then days of
//! change are passed on. Without the corpus it says so and does nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod sites;

use sites::{Names, Place, assert_same, look, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A grantee who does not exist: the grant waits for him and is not given.
const NOBODY: &[&str] = &["user=ghost.nobody@example.org"];

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = std::env::var_os("WAGON_CORPUS").map_or(beside, PathBuf::from);
    corpus.join("make-site.sh").is_file().then_some(corpus)
}

/// A fresh folder below `target/tmp`; the sites are large, so each test has one place and uses it again.
fn place(name: &str) -> Place {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    Place::at(&root)
}

fn make_site(corpus: &Path, size: &str, site: &Path, more: &[&str]) {
    let out = Command::new(corpus.join("make-site.sh"))
        .arg(size)
        .arg(site)
        .args(more)
        .env("CORPUS_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus-cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success(), "make-site.sh {size}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_real_site_arrives_exactly_and_so_do_two_days_of_change() {
    let Some(corpus) = corpus() else {
        return skip("a real site arrives exactly", "the development corpus is not there");
    };
    let place = place("corpus-small");
    let (source, target) = (place.path("source"), place.path("target"));
    make_site(&corpus, "small", &source, &[]);
    place.wagon(0, "export --from {}/source --archive {}/archive");
    place.wagon(0, "import --archive {}/archive --to {}/target");
    assert!(look(&source).messages.len() >= 10_000, "the site is smaller than it should be");
    assert_same(&source, &target, Names::Kept, NOBODY);
    place.wagon(0, "verify --archive {}/archive --to {}/target");
    place.wagon(0, "check --archive {}/archive --read-data");

    for day in ["1", "2"] {
        make_site(&corpus, "small", &source, &["--day", day]);
        place.wagon(0, "export --from {}/source --archive {}/archive");
        place.wagon(0, "import --archive {}/archive --to {}/target --delete");
        assert_same(&source, &target, Names::MayDiffer, NOBODY);
        place.wagon(0, "verify --archive {}/archive --to {}/target");
    }
    fs::remove_dir_all(&place.root).unwrap();
}

#[test]
fn oddities_arrive_exactly_or_are_named() {
    let Some(corpus) = corpus() else {
        return skip("oddities arrive exactly", "the development corpus is not there");
    };
    let place = place("corpus-edge");
    make_site(&corpus, "edge", &place.path("source"), &[]);
    place.wagon(0, "export --from {}/source --archive {}/archive");
    place.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&place.path("source"), &place.path("target"), Names::Kept, NOBODY);
    place.wagon(0, "verify --archive {}/archive --to {}/target");

    // The second implementation reads the same; it holds nothing back for grantees who have not arrived.
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/reader/wagon_restore.py");
    let second = Command::new("python3")
        .arg(reader)
        .args(["restore".as_ref(), place.path("archive").as_os_str()])
        .args(["latest".as_ref(), place.path("second").as_os_str()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_same(&place.path("source"), &place.path("second"), Names::Kept, &[]);
    fs::remove_dir_all(&place.root).unwrap();
}
