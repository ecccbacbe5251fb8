use crate::wagon::{Wagon, files};

#[test]
fn a_dry_run_says_what_the_run_then_says() {
    let wagon = Wagon::exported();
    let line = "extract --archive archive ann@station.example --output out -q";
    let dry = wagon.run(&format!("{line} --dry-run"));
    assert!(!wagon.path("out").exists());
    let done = wagon.run(line);
    assert_eq!((dry.status, done.status), (0, 0));
    assert_eq!(dry.out.replace("would extract", "extracted"), done.out);
    let again = wagon.run(line);
    assert_eq!(again.status, 1);
    assert!(again.err.contains("out is there already"), "{}", again.err);
    // What a killed run left in a folder of the tree goes; what only looks alike stays.
    let some_file = wagon.path("out").join(&files(&wagon.path("out"))[0]);
    let left = [".wagon-extract-Ab12Cd", ".wagon-mine"].map(|name| some_file.with_file_name(name));
    left.iter().for_each(|path| std::fs::write(path, "half of a message").unwrap());
    assert_eq!(wagon.run(&format!("{line} --force")).status, 0);
    assert_eq!(left.map(|path| path.exists()), [false, true]);
}

#[test]
fn a_link_in_the_output_leads_nothing_out_of_it() {
    let wagon = Wagon::exported();
    for dir in ["out", "elsewhere"] {
        std::fs::create_dir(wagon.path(dir)).unwrap();
    }
    std::os::unix::fs::symlink(wagon.path("elsewhere"), wagon.path("out/mail")).unwrap();
    let refused = wagon.run("extract --archive archive ann@station.example --output out --force");
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("out/mail") && refused.err.contains("symbolic link"), "{}", refused.err);
    assert_eq!(files(&wagon.path("elsewhere")), [] as [String; 0]);
    assert_eq!(std::fs::read_dir(wagon.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn every_message_of_an_account_comes_out_byte_for_byte() {
    let wagon = Wagon::exported();
    assert_eq!(wagon.run("extract --archive archive postmaster@station.example --output out").status, 0);
    let contents = |root: &str, wanted: &dyn Fn(&str) -> bool| {
        let root = wagon.path(root);
        let mut found: Vec<_> = files(&root)
            .iter()
            .filter(|name| wanted(name))
            .map(|name| std::fs::read(root.join(name)).unwrap())
            .collect();
        found.sort();
        found
    };
    let message = |name: &str| name.contains("cur/") || name.contains("new/");
    let source = contents("source/mail/station.example/postmaster/Maildir", &message);
    let extracted = contents("out/mail", &message);
    assert!(source.len() > 10);
    assert_eq!(source.len(), extracted.len());
    assert!(source == extracted, "some message is not the same");
}

#[test]
fn a_folder_comes_out_as_an_mbox() {
    let wagon = Wagon::exported();
    let line = "extract --archive archive ann@station.example:Projects/Timetable --format mbox --output box";
    assert_eq!(wagon.run(line).status, 0);
    let mbox = std::fs::read(wagon.path("box")).unwrap();
    let begins = |at: usize| mbox[at..].starts_with(b"From MAILER-DAEMON ") && (at == 0 || mbox[at - 1] == b'\n');
    let messages = (0..mbox.len()).filter(|&at| begins(at)).count();
    let listed = wagon.run("ls --archive archive ann@station.example:Projects/Timetable").out;
    assert_eq!(messages, listed.lines().count() - 1);
}
