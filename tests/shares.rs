//! Shares on their way: real sites, exported and imported, and what `shares check`, `fix`, `undo` and `matrix` make of
//! them afterwards. One story for each case that an administrator meets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use stationwagon::archive::Archive;
use stationwagon::archive::history::History;
use stationwagon::catalog::Catalog;
use stationwagon::event::{Event, Silent, Sink};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::map::Map;
use stationwagon::model::mailbox::{Folder, FolderKey, FolderKind};
use stationwagon::model::provisioning::{Account, Alias, DistributionList, Domain, Record};
use stationwagon::model::setting::Setting;
use stationwagon::model::share::{Grant, Grantee, Rights};
use stationwagon::site::{
    Delivery, Depth, FolderScan, ItemContent, RecordChange, Source, Target, open_source, open_target,
};
use stationwagon::verbs::export::{ExportOptions, export};
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{ImportOptions, ImportReport, import};
use stationwagon::verbs::shares::{
    CheckReport, Comparison, FixReport, Maps, Plan, Problem, SharesError, Standing, apply, check, compare, matrix,
    plan_fix, plan_undo, survey, survey_archive, undo,
};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAT: &str = "cat@example.org";

/// Sites and archives in one folder, by name.
struct World {
    dir: tempfile::TempDir,
}

fn fs() -> Arc<dyn Fs> {
    Arc::new(RealFs)
}

fn key(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

fn user(who: &str, rights: &str) -> Grant {
    Grant { grantee: Grantee::User(who.to_owned()), rights: Rights::from_letters(rights), negative: false }
}

fn account(address: &str) -> Record {
    Record::Account(Account {
        address: address.to_owned(),
        class: Default::default(),
        name: None,
        password: None,
        quota_bytes: None,
        status: Default::default(),
        cos: None,
        groups: Vec::new(),
        attributes: Default::default(),
    })
}

fn list(address: &str, members: &[&str]) -> Record {
    Record::List(DistributionList {
        address: address.to_owned(),
        name: None,
        members: members.iter().map(|&member| member.to_owned()).collect(),
        owners: Vec::new(),
        attributes: Default::default(),
    })
}

fn domain(name: &str) -> Record {
    Record::Domain(Domain {
        name: name.to_owned(),
        alias_of: None,
        catch_all: Vec::new(),
        attributes: Default::default(),
    })
}

/// A site that is open for writing.
struct Site(Box<dyn Target>);

impl Site {
    fn put(&self, record: Record) -> &Self {
        self.change(RecordChange::Put { record, was: None })
    }

    fn rename(&self, from: &str, to: &str) -> &Self {
        self.change(RecordChange::Put { record: account(to), was: Some(from.to_owned()) })
    }

    fn change(&self, change: RecordChange) -> &Self {
        self.0.put_records(&[change]).unwrap().into_iter().for_each(|outcome| outcome.unwrap());
        self
    }

    fn folder(&self, owner: &str, path: &str) -> &Self {
        self.0.put_folder(owner, &Folder::at(key(path))).unwrap().unwrap();
        self
    }

    fn grant(&self, owner: &str, path: &str, grants: &[Grant]) -> &Self {
        self.folder(owner, path).0.put_grants(owner, &key(path), grants).unwrap().unwrap();
        self
    }

    fn message(&self, owner: &str, path: &str) -> &Self {
        let delivery = Delivery {
            name: "1700000000.M1P1.host".to_owned(),
            content: ItemContent::Bytes(b"Subject: plan\n\nNorth, then east.\n".to_vec()),
            date: 1_700_000_000,
            flags: Default::default(),
            keywords: Vec::new(),
            tags: Vec::new(),
            uid: None,
            uidl: None,
        };
        self.0.deliver(owner, &key(path), vec![delivery]).unwrap();
        self
    }

    fn mount(&self, holder: &str, at: &str, owner: &str, path: &str) -> &Self {
        let setting = Setting::Mountpoint { at: key(at), owner: owner.to_owned(), folder: key(path) };
        self.0.put_setting(holder, &setting).unwrap().unwrap();
        self
    }

    fn grants(&self, owner: &str, path: &str) -> Vec<String> {
        match self.0.folder(owner, &key(path), None, Depth::Marks).unwrap() {
            FolderScan::Listed(listing) => listing
                .folder
                .grants
                .iter()
                .map(|grant| format!("{}{} {}", if grant.negative { "-" } else { "" }, grant.grantee, grant.rights))
                .collect(),
            other => panic!("{owner}:{path} is {other:?}"),
        }
    }

    fn mounts(&self, holder: &str) -> Vec<String> {
        let settings = self.0.mailbox(holder).unwrap().settings;
        let mounts = settings.iter().filter_map(|setting| match setting {
            Setting::Mountpoint { at, owner, folder } => Some(format!("{at} -> {owner}:{folder}")),
            _ => None,
        });
        mounts.collect()
    }
}

/// What to do otherwise than usual in a pass.
#[derive(Default)]
struct Otherwise {
    accounts: Vec<&'static str>,
    rename: &'static str,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Opens a site for writing, and makes it when it is missing.
    fn site(&self, name: &str) -> Site {
        let site = open_target(fs(), self.path(name).to_str().unwrap(), None).unwrap();
        site.prepare(&name.parse().unwrap()).unwrap();
        Site(site)
    }

    fn reading(&self, name: &str) -> Box<dyn Source> {
        open_source(fs(), self.path(name).to_str().unwrap()).unwrap()
    }

    fn archive(&self, source: &str) -> Archive {
        let path = self.path(&format!("{source}-archive"));
        if path.exists() {
            Archive::open(fs(), &path).unwrap()
        } else {
            Archive::create(fs(), &path, format!("archive-of-{source}").parse().unwrap(), 1).unwrap()
        }
    }

    /// Exports a site and imports it into `new`.
    fn pass(&self, source: &str) -> ImportReport {
        self.pass_with(source, Otherwise::default())
    }

    fn pass_with(&self, source: &str, otherwise: Otherwise) -> ImportReport {
        let archive = self.archive(source);
        let mut catalog = Catalog::open(&self.path(&format!("{source}.catalog"))).unwrap();
        let options = ExportOptions {
            source: None,
            accounts: Vec::new(),
            exclude: Vec::new(),
            deep: false,
            full: false,
            label: None,
            dry_run: false,
            workers: NonZeroUsize::MIN,
            clock: || 1_700_000_000,
            holder: "a test".to_owned(),
        };
        export(self.reading(source).as_ref(), &archive, &mut catalog, &options, &Silent).unwrap();
        let options = ImportOptions {
            fs: fs(),
            source: None,
            snapshot: None,
            provisioning_only: false,
            additive: false,
            delete: false,
            accounts: otherwise.accounts.iter().map(|&account| account.to_owned()).collect(),
            rename: RenameRules::parse(otherwise.rename).unwrap(),
            since: None,
            skip: Default::default(),
            dry_run: false,
            jobs: NonZeroUsize::MIN,
            adopt: None,
            way_back: None,
            new_site_id: "new".parse().unwrap(),
            now: 1_700_000_100,
        };
        let target = open_target(fs(), self.path("new").to_str().unwrap(), None).unwrap();
        import(&archive, target.as_ref(), &options, &Silent).unwrap()
    }

    fn maps(&self, sources: &[&str]) -> Vec<Map> {
        let dir = open_target(fs(), self.path("new").to_str().unwrap(), None).unwrap().state_dir();
        sources.iter().map(|source| Map::read(&dir.join(format!("map_{source}.sqlite"))).unwrap()).collect()
    }

    fn check(&self, sources: &[&str]) -> CheckReport {
        let maps = self.maps(sources);
        check(self.reading("new").as_ref(), &maps.iter().collect::<Vec<_>>(), &Silent).unwrap()
    }

    fn plan(&self, sources: &[&str]) -> Plan {
        let maps = self.maps(sources);
        plan_fix(self.reading("new").as_ref(), &maps.iter().collect::<Vec<_>>(), &Silent).unwrap()
    }

    fn fix(&self, sources: &[&str]) -> FixReport {
        let plan = self.plan(sources);
        let target = open_target(fs(), self.path("new").to_str().unwrap(), None).unwrap();
        apply(target.as_ref(), &RealFs, &plan, 1_700_000_200, &Silent).unwrap()
    }

    fn undo(&self) -> Result<(usize, usize), SharesError> {
        let target = open_target(fs(), self.path("new").to_str().unwrap(), None).unwrap();
        let plan = plan_undo(target.as_ref(), &RealFs, None)?;
        let report = undo(target.as_ref(), &RealFs, &plan, 1_700_000_300, &Silent)?;
        Ok((report.done.len(), report.skipped.len()))
    }

    /// The newest snapshot of a source beside the target.
    fn compare(&self, source: &str) -> Comparison {
        let archive = self.archive(source);
        let history = History::open(&archive, None, None).unwrap();
        let old = survey_archive(&history, &Silent).unwrap();
        let new = survey(self.reading("new").as_ref(), &Silent).unwrap();
        let maps = self.maps(&[source]);
        let maps = Maps::new(&maps.iter().collect::<Vec<_>>(), None).unwrap();
        compare((&old, &matrix(&old)), (&new, &matrix(&new)), &maps).unwrap()
    }
}

/// `ann@example.org:Projects: grant to user bob@…: …`, one a finding.
fn lines(report: &CheckReport) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

/// Ann shares Projects with Bob, who has it among his folders.
fn ann_shares_with_bob(world: &World) {
    let old = world.site("old");
    old.put(domain("example.org")).put(account(ANN)).put(account(BOB));
    old.grant(ANN, "Projects", &[user(BOB, "lrws")]).mount(BOB, "Ann/Projects", ANN, "Projects");
}

#[test]
fn shares_that_came_over_whole_have_no_finding_and_the_same_matrix() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass("old");
    assert_eq!(lines(&world.check(&["old"])), [""; 0]);
    assert!(world.plan(&["old"]).steps.is_empty());
    let comparison = world.compare("old");
    assert!(comparison.is_equal(), "{comparison:?}");
    assert_eq!(comparison.same, 2);
}

#[test]
fn a_grantee_renamed_between_two_passes_keeps_the_share_and_an_undo_brings_the_old_reference_back() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass("old");
    world.site("old").rename(BOB, "robert@example.org");
    world.pass("old");
    assert_eq!(lines(&world.check(&["old"])), [""; 0], "import repairs it by itself");

    // Somebody restores the old access list on the target.
    world.site("new").grant(ANN, "Projects", &[user(BOB, "lrws")]);
    let report = world.check(&["old"]);
    assert_eq!(
        lines(&report),
        ["ann@example.org:Projects: grant to user bob@example.org: no such grantee; renamed to robert@example.org"]
    );
    assert_eq!(report.findings.first().unwrap().standing(), Standing::Mendable);
    assert!(report.differs());
    assert_eq!(world.fix(&["old"]).done.len(), 1);
    assert_eq!(world.site("new").grants(ANN, "Projects"), ["user robert@example.org lrws"]);
    assert_eq!(world.undo().unwrap(), (1, 0));
    assert_eq!(world.site("new").grants(ANN, "Projects"), ["user bob@example.org lrws"]);
    assert!(matches!(world.undo(), Err(SharesError::NothingToUndo(_))), "an undo is not undone twice");
}

#[test]
fn a_renamed_owner_takes_his_mountpoints_with_him() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass("old");
    world.site("old").rename(ANN, "anna@example.org");
    world.pass("old");
    assert_eq!(world.site("new").mounts(BOB), ["Ann/Projects -> anna@example.org:Projects"]);

    world.site("new").mount(BOB, "Again", ANN, "Projects");
    assert_eq!(
        lines(&world.check(&["old"])),
        ["bob@example.org:Again: mountpoint of ann@example.org:Projects: no such owner; renamed to anna@example.org"]
    );
    world.fix(&["old"]);
    let mounts = world.site("new").mounts(BOB);
    assert_eq!(mounts, ["Again -> anna@example.org:Projects", "Ann/Projects -> anna@example.org:Projects"]);
}

#[test]
fn a_renamed_domain_is_named_as_the_cause() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass_with("old", Otherwise { rename: "example.org new.example\n", ..Otherwise::default() });
    assert_eq!(lines(&world.check(&["old"])), [""; 0]);
    assert!(world.compare("old").is_equal());

    let new = world.site("new");
    new.grant("ann@new.example", "Projects", &[user(BOB, "lrws")]).mount("bob@new.example", "Old", ANN, "Projects");
    drop(new);
    assert_eq!(
        lines(&world.check(&["old"])),
        [
            "ann@new.example:Projects: grant to user bob@example.org: no such grantee; \
             domain example.org renamed to new.example, so it is bob@new.example now",
            "bob@new.example:Old: mountpoint of ann@example.org:Projects: no such owner; \
             domain example.org renamed to new.example, so it is ann@new.example now",
        ]
    );
    world.fix(&["old"]);
    assert_eq!(lines(&world.check(&["old"])), [""; 0]);
}

#[test]
fn an_owner_who_is_not_imported_yet_leaves_the_mountpoint_waiting_and_a_later_pass_makes_it_whole() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass_with("old", Otherwise { accounts: vec![BOB], ..Otherwise::default() });
    let report = world.check(&["old"]);
    assert_eq!(
        lines(&report),
        [
            "bob@example.org:Ann/Projects: mountpoint of ann@example.org:Projects: no such owner; not imported yet from source old"
        ]
    );
    assert_eq!(report.findings.first().unwrap().standing(), Standing::Waiting);
    assert!(world.plan(&["old"]).steps.is_empty(), "what is to come is left alone");
    let waiting = world.compare("old");
    assert!(waiting.is_equal() && !waiting.waiting.is_empty(), "{waiting:?}");

    world.pass("old");
    assert_eq!(lines(&world.check(&["old"])), [""; 0]);
    assert_eq!(world.site("new").mounts(BOB), ["Ann/Projects -> ann@example.org:Projects"]);
}

#[test]
fn a_grantee_who_is_not_imported_yet_and_one_that_nobody_knows_are_told_apart() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.site("old").grant(ANN, "Projects", &[user(BOB, "lrws"), user("ghost@example.org", "lr")]);
    world.pass_with("old", Otherwise { accounts: vec![ANN], ..Otherwise::default() });
    assert_eq!(
        lines(&world.check(&["old"])),
        [
            "ann@example.org:Projects: grant to user bob@example.org: no such grantee; not imported yet from source old",
            "ann@example.org:Projects: grant to user ghost@example.org: no such grantee; no map knows it",
        ]
    );
    world.pass("old");
    let report = world.check(&["old"]);
    assert_eq!(
        lines(&report),
        ["ann@example.org:Projects: grant to user ghost@example.org: no such grantee; no map knows it"]
    );
    assert_eq!(report.findings.first().unwrap().standing(), Standing::Open);
}

#[test]
fn a_folder_renamed_on_the_source_between_two_passes_is_followed() {
    let world = World::new();
    ann_shares_with_bob(&world);
    // A folder is known again by what it holds.
    world.site("old").message(ANN, "Projects");
    world.pass("old");
    let old = world.site("old");
    old.0.rename_folder(ANN, &key("Projects"), &key("Work")).unwrap().unwrap();
    drop(old);
    world.pass("old");
    assert_eq!(world.site("new").mounts(BOB), ["Ann/Projects -> ann@example.org:Work"], "the old path leads there");

    world.site("new").mount(BOB, "Again", ANN, "Projects");
    assert_eq!(
        lines(&world.check(&["old"])),
        [
            "bob@example.org:Again: mountpoint of ann@example.org:Projects: the owner has no such folder; renamed to Work"
        ]
    );
    world.fix(&["old"]);
    assert_eq!(world.site("new").mounts(BOB).first().unwrap(), "Again -> ann@example.org:Work");
}

#[test]
fn a_folder_shared_with_a_list_reaches_its_members_through_nested_lists_on_both_sides() {
    let world = World::new();
    let old = world.site("old");
    old.put(domain("example.org")).put(account(ANN)).put(account(BOB)).put(account(CAT));
    old.put(list("inner@example.org", &[CAT, "all@example.org"]))
        .put(list("all@example.org", &[BOB, "inner@example.org"]));
    let grantee = Grantee::List("all@example.org".to_owned());
    old.grant(ANN, "Projects", &[Grant { grantee, rights: Rights::from_letters("lr"), negative: false }]);
    old.mount(CAT, "Ann/Projects", ANN, "Projects");
    drop(old);
    world.pass_with("old", Otherwise { rename: "example.org new.example\n", ..Otherwise::default() });

    assert_eq!(lines(&world.check(&["old"])), [""; 0], "Cat may look up the folder through two lists");
    let new = survey(world.reading("new").as_ref(), &Silent).unwrap();
    let text = matrix(&new).render();
    insta::assert_snapshot!(text, @r"
    As granted

    OWNER            FOLDER    TO                    RIGHTS
    ann@new.example  Projects  list all@new.example  lr

    Who sees what

    OWNER            FOLDER    ACCOUNT          RIGHTS  MOUNTED AT
    ann@new.example  Projects  bob@new.example  lr
    ann@new.example  Projects  cat@new.example  lr      Ann/Projects
    ");
    let comparison = world.compare("old");
    assert!(comparison.is_equal() && comparison.same == 3, "{comparison:?}");

    world.site("new").put(list("inner@new.example", &[]));
    let comparison = world.compare("old");
    assert_eq!(comparison.differences.len(), 1, "Cat sees it no more: {comparison:?}");
    let report = world.check(&["old"]);
    assert_eq!(report.findings.first().unwrap().problem, Problem::NoRight);
}

#[test]
fn two_source_sites_in_one_target_are_told_apart_by_the_map_that_brought_the_owner() {
    let world = World::new();
    for (site, owner) in [("east", "eva@east.example"), ("west", "wim@west.example")] {
        let old = world.site(site);
        old.put(domain("shared.example")).put(account(owner)).put(account("bob@shared.example"));
        old.grant(owner, "Projects", &[user("bob@shared.example", "lr")]);
    }
    world.pass("east");
    world.pass_with(
        "west",
        Otherwise { rename: "bob@shared.example bob.west@shared.example\n", ..Otherwise::default() },
    );
    assert_eq!(lines(&world.check(&["east", "west"])), [""; 0]);

    // Bob of the east moves on, so that the name alone decides nothing.
    world.site("east").rename("bob@shared.example", "bob.east@shared.example");
    world.pass("east");
    let new = world.site("new");
    let stale = [user("bob@shared.example", "lr")];
    new.grant("eva@east.example", "Projects", &stale).grant("wim@west.example", "Projects", &stale);
    new.put(account("new@new.example")).grant("new@new.example", "Projects", &stale);
    drop(new);
    let plan = world.plan(&["east", "west"]);
    let left: Vec<_> = plan.left.iter().map(ToString::to_string).collect();
    assert_eq!(
        left,
        ["new@new.example:Projects: grant to user bob@shared.example: no such grantee; \
          maps know it as bob.east@shared.example and as bob.west@shared.example"],
        "nobody guesses"
    );
    world.fix(&["east", "west"]);
    let new = world.site("new");
    assert_eq!(new.grants("eva@east.example", "Projects"), ["user bob.east@shared.example lr"]);
    assert_eq!(new.grants("wim@west.example", "Projects"), ["user bob.west@shared.example lr"]);
    assert_eq!(new.grants("new@new.example", "Projects"), ["user bob@shared.example lr"]);
}

#[test]
fn what_a_user_of_the_target_changed_is_kept_and_is_no_difference_that_alarms() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass("old");
    world.site("new").grant(ANN, "Projects", &[user(BOB, "lr")]);
    let report = world.check(&["old"]);
    assert_eq!(
        lines(&report),
        ["ann@example.org:Projects: grant to user bob@example.org: the source gives lrws, the target lr; \
          changed on the target since the import"]
    );
    assert!(!report.differs());
    assert!(world.plan(&["old"]).steps.is_empty());
    assert_eq!(world.compare("old").differences.len(), 2, "the entry, and what it comes to for Bob");
}

#[test]
fn an_undo_leaves_what_was_changed_after_the_fix() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass_with("old", Otherwise { rename: "example.org new.example\n", ..Otherwise::default() });
    let new = world.site("new");
    new.grant("ann@new.example", "Projects", &[user(BOB, "lrws")]).mount("bob@new.example", "Old", ANN, "Projects");
    drop(new);
    assert_eq!(world.fix(&["old"]).done.len(), 2);
    world.site("new").grant("ann@new.example", "Projects", &[user("bob@new.example", "l")]);
    assert_eq!(world.undo().unwrap(), (1, 1));
    let new = world.site("new");
    assert_eq!(new.grants("ann@new.example", "Projects"), ["user bob@new.example l"]);
    assert!(new.mounts("bob@new.example").contains(&"Old -> ann@example.org:Projects".to_owned()));
}

#[test]
fn a_rename_that_left_an_alias_behind_is_mended_and_the_next_import_does_not_undo_that() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass("old");
    let alias = Alias { address: BOB.to_owned(), targets: vec!["robert@example.org".to_owned()] };
    world.site("old").rename(BOB, "robert@example.org").put(Record::Alias(alias));
    world.pass("old");
    world.fix(&["old"]);
    assert_eq!(world.site("new").grants(ANN, "Projects"), ["user robert@example.org lrws"]);
    let again = world.pass("old");
    assert_eq!(again.conflicts, []);
    assert_eq!(world.site("new").grants(ANN, "Projects"), ["user robert@example.org lrws"]);
    assert_eq!(lines(&world.check(&["old"])), [""; 0]);
}

/// Asks to stop after so many answers.
struct StopAfter(AtomicUsize);

impl Sink for StopAfter {
    fn emit(&self, _: Event) {}

    fn interrupted(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn a_fix_that_was_stopped_half_way_can_be_undone_and_can_be_gone_on_with() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass_with("old", Otherwise { rename: "example.org new.example\n", ..Otherwise::default() });
    let new = world.site("new");
    new.grant("ann@new.example", "Projects", &[user(BOB, "lrws")]).mount("bob@new.example", "Old", ANN, "Projects");
    drop(new);
    let plan = world.plan(&["old"]);
    assert_eq!(plan.steps.len(), 2);
    let stopped = || {
        let target = open_target(fs(), world.path("new").to_str().unwrap(), None).unwrap();
        apply(target.as_ref(), &RealFs, &plan, 1_700_000_200, &StopAfter(AtomicUsize::new(1)))
    };
    assert!(matches!(stopped(), Err(SharesError::Interrupted)));
    assert_eq!(world.plan(&["old"]).steps.len(), 1, "the first step was made, the second not");
    assert_eq!(world.undo().unwrap(), (1, 0));
    assert_eq!(world.site("new").grants("ann@new.example", "Projects"), ["user bob@example.org lrws"]);

    assert!(matches!(stopped(), Err(SharesError::Interrupted)));
    assert_eq!(world.fix(&["old"]).done.len(), 1);
    assert_eq!(lines(&world.check(&["old"])), [""; 0]);
}

#[test]
fn without_any_map_a_broken_reference_is_found_all_the_same() {
    let world = World::new();
    let old = world.site("old");
    old.put(account(ANN)).put(account(BOB)).grant(ANN, "Projects", &[user("ghost@example.org", "lr")]);
    old.mount(BOB, "Ann/Projects", ANN, "Projects").mount(BOB, "Ann/Gone", ANN, "Gone").mount(
        BOB,
        "Eve",
        "eve@x.org",
        "X",
    );
    drop(old);
    let report = check(world.reading("old").as_ref(), &[], &Silent).unwrap();
    insta::assert_snapshot!(lines(&report).join("\n"), @r"
    ann@example.org:Projects: grant to user ghost@example.org: no such grantee; no map knows it
    bob@example.org:Ann/Gone: mountpoint of ann@example.org:Gone: the owner has no such folder; no map knows it
    bob@example.org:Ann/Projects: mountpoint of ann@example.org:Projects: its holder has no right to find the folder; nobody granted it
    bob@example.org:Eve: mountpoint of eve@x.org:X: no such owner; no map knows it
    ");
}

#[test]
fn a_map_of_another_target_is_refused() {
    let world = World::new();
    ann_shares_with_bob(&world);
    world.pass("old");
    let maps = world.maps(&["old"]);
    let refused = check(world.reading("old").as_ref(), &[maps.first().unwrap()], &Silent);
    assert!(matches!(refused, Err(SharesError::Map(_))), "{refused:?}");
}
