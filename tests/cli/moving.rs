use crate::wagon::{Wagon, snapshot};

#[test]
fn export_says_what_it_took() {
    let wagon = Wagon::exported();
    let dry = wagon.run("export --from source --archive other --dry-run -q");
    assert_eq!(dry.status, 0, "{}", dry.err);
    assert!(!wagon.path("other").exists(), "a dry run makes no archive");
    snapshot("export_dry_run", &dry.out);
    snapshot("export", &wagon.run("export --from source --archive other -q").out);
    // How many folders are read again depends on how long ago they changed.
    let unchanged = wagon.run("export --from dir:source --archive other -q").out;
    assert!(unchanged.contains("0 of 9 accounts changed"), "{unchanged}");
    assert!(unchanged.contains("items: 0 added, 0 changed, 0 moved, 0 removed"), "{unchanged}");
}

#[test]
fn an_import_ends_with_its_ledger() {
    let wagon = Wagon::exported();
    let dry = wagon.run("import --archive archive --to target -q --dry-run");
    assert_eq!(dry.status, 0, "{}", dry.err);
    assert!(!wagon.path("target/mail").exists(), "a dry run writes nothing");
    snapshot("import_dry_run", dry.out.split("\n\nchanged on both").next().unwrap_or_default());
    let first = wagon.run("import --archive archive --to target --provisioning-only -q");
    snapshot("import_provisioning_only", &first.out);
    let second = wagon.run("import --archive archive --to target -q");
    assert_eq!((first.status, second.status), (0, 0), "{}{}", first.err, second.err);
    snapshot("import", &second.out);
    let verified = wagon.run("verify --archive archive --to target -q");
    assert_eq!(verified.status, 0, "{}", verified.out);
    snapshot("verify", &verified.out);
    snapshot("map_show", &wagon.run("map show --site target").out);
    assert_eq!(wagon.run("config --site target postfix").status, 0);
}

#[test]
fn verify_tells_a_missing_message_from_a_change_of_a_user() {
    let wagon = Wagon::exported();
    assert_eq!(wagon.run("import --archive archive --to target -q").status, 0);
    let inbox = wagon.path("target/mail/station.example/ann/Maildir/cur");
    let victim = std::fs::read_dir(&inbox).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&victim).unwrap();
    let seen = wagon.run("verify --archive archive --to target -q");
    assert_eq!(seen.status, 5, "{}", seen.out);
    let name = victim.file_name().unwrap().to_string_lossy().split(":2,").next().unwrap().to_owned();
    assert!(seen.out.contains(&name), "{}", seen.out);
}

#[test]
fn a_map_reads_as_a_table() {
    let wagon = Wagon::exported();
    assert_eq!(wagon.run("import --archive archive --to target -q").status, 0);
    let csv = wagon.run("map export --site target").out;
    assert!(csv.starts_with("source_site,what,account,id,source,target,state,reason,snapshot\r\n"), "{csv:.200}");
    let json = wagon.run("map export target/map_example.sqlite --format json").out;
    assert_eq!(json.lines().count() + 1, csv.lines().count());
    assert_eq!(wagon.run("map export --site target --output rows.csv").status, 0);
    assert_eq!(wagon.run("map export --site target --output rows.csv").status, 1, "nothing is overwritten");
}

#[test]
fn who_sees_what_is_the_same_on_both_sides() {
    let wagon = Wagon::exported();
    assert_eq!(wagon.run("import --archive archive --to target -q").status, 0);
    let seen = wagon.run("shares matrix --archive archive --site target --compare -q");
    assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    assert!(seen.out.contains(" 0 different"), "{}", seen.out);
    let matrix = |line: &str| wagon.run(line).out;
    assert_eq!(matrix("shares matrix --archive archive -q"), matrix("shares matrix --site target -q"));
}
