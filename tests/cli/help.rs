use crate::wagon::{Wagon, snapshot};

#[test]
fn help_groups_the_verbs_and_names_every_exit_status() {
    let wagon = Wagon::empty();
    let seen = wagon.run("help");
    assert_eq!(seen.status, 0);
    snapshot("help", &seen.out);
    snapshot("help_short", &wagon.run("-h").out);
}

#[test]
fn each_verb_says_what_it_does() {
    let wagon = Wagon::empty();
    let verbs = [
        "export",
        "import",
        "verify",
        "site",
        "site check",
        "site init",
        "config",
        "snapshots",
        "ls",
        "show",
        "diff",
        "find",
        "extract",
        "shares",
        "shares check",
        "shares fix",
        "shares undo",
        "shares matrix",
        "check",
        "repair",
        "protect",
        "forget",
        "prune",
        "repack",
        "passphrase",
        "map",
        "map show",
        "map export",
        "completions",
        "man",
    ];
    for verb in verbs {
        let seen = wagon.run(&format!("help {verb}"));
        assert_eq!(seen.status, 0, "{verb}");
        // The global options are the same for all.
        let own = seen.out.split("\nGlobal options:").next().unwrap_or_default();
        snapshot(&format!("help_{}", verb.replace(' ', "_")), own);
    }
}

#[test]
fn the_manual_page_has_every_verb_status_and_variable() {
    let wagon = Wagon::empty();
    let page = wagon.run("man").out;
    for wanted in
        ["wagon export", "wagon shares fix", "way\\-back", "EXIT STATUS", "\\fB130\\fR", "WAGON_ARCHIVE", "FILES"]
    {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("wagon generate"), "hidden is hidden");
}

#[test]
fn completions_and_manual_page_are_written_for_packages() {
    let wagon = Wagon::empty();
    assert_eq!(wagon.run("generate out").status, 0);
    let found = crate::wagon::files(&wagon.path("out"));
    assert_eq!(found, ["_wagon", "_wagon.ps1", "wagon.1", "wagon.bash", "wagon.elv", "wagon.fish"]);
    assert!(wagon.run("completions bash").out.contains("--provisioning-only"));
}
