//! Shares: references are repaired through the map, and what cannot be repaired yet waits.

use crate::world::{World, export_site, grant, mail, mountpoint, new_archive};
use stationwagon::event::Silent;
use stationwagon::map::LinkKind;
use stationwagon::model::mailbox::FolderKey;
use stationwagon::model::provisioning::{Record, RecordKind};
use stationwagon::model::setting::Setting;
use stationwagon::model::share::Grant;
use stationwagon::testing::memory_site::MemorySite;
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{ImportOptions, import};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

fn shared() -> World {
    let world = World::new();
    world.account(ANN, &["one"]);
    world.account(BOB, &["two"]);
    world.message(ANN, "Team", "three");
    world.source.edit(|site| {
        site.folder(ANN, &mail("Team")).folder.grants = vec![grant(BOB, "lrs")];
        let mount = mountpoint("Shared/Team", ANN, "Team");
        site.mailboxes.get_mut(BOB).unwrap().settings.insert(mount.key(), mount);
    });
    world
}

pub fn rename_account(site: &MemorySite, from: &str, to: &str) {
    site.edit(|site| {
        let key = (RecordKind::Account, from.to_owned());
        let Record::Account(mut account) = site.records[&key].record.clone() else { panic!() };
        account.address = to.to_owned();
        site.rename_record(RecordKind::Account, from, Record::Account(account));
    });
}

fn grants(site: &MemorySite, account: &str, folder: &str) -> Vec<Grant> {
    site.edit(|site| site.mailboxes[account].folders[&mail(folder)].folder.grants.clone())
}

fn mounted(site: &MemorySite, account: &str) -> Vec<(String, String)> {
    site.edit(|site| {
        let settings = site.mailboxes[account].settings.values();
        let mounts = settings.filter_map(|setting| match setting {
            Setting::Mountpoint { owner, folder, .. } => Some((owner.clone(), folder.to_string())),
            _ => None,
        });
        mounts.collect()
    })
}

#[test]
fn both_ends_of_a_share_get_the_new_addresses() {
    let world = shared();
    let rename = RenameRules::parse("ann@example.org anna@new.example\nbob@example.org rob@new.example").unwrap();
    let report = world.export().import_with(&ImportOptions { rename, ..world.options() });
    assert_eq!(grants(&world.target, "anna@new.example", "Team"), [grant("rob@new.example", "lrs")]);
    assert_eq!(mounted(&world.target, "rob@new.example"), [("anna@new.example".to_owned(), "Team".to_owned())]);
    assert_eq!(report.ledger.grants.imported, 1);
    assert_eq!(world.import().ledger.grants.already_there, 1);
}

#[test]
fn a_share_with_somebody_who_comes_later_becomes_whole_by_itself() {
    let world = shared();
    world.export();
    let first = world.import_with(&ImportOptions { accounts: vec![ANN.to_owned()], ..world.options() });
    assert_eq!(grants(&world.target, ANN, "Team"), []);
    assert_eq!(first.ledger.grants.pending, 1);
    assert_eq!((first.pending[0].link, first.pending[0].refers.as_str()), (LinkKind::Grant, BOB));
    let second = world.import();
    assert_eq!(grants(&world.target, ANN, "Team"), [grant(BOB, "lrs")]);
    assert_eq!(mounted(&world.target, BOB), [(ANN.to_owned(), "Team".to_owned())]);
    assert_eq!(second.pending, []);
}

#[test]
fn a_mountpoint_waits_for_its_owner() {
    let world = shared();
    world.export();
    let first = world.import_with(&ImportOptions { accounts: vec![BOB.to_owned()], ..world.options() });
    assert_eq!(mounted(&world.target, BOB), []);
    assert_eq!(first.ledger.settings.pending, 1);
    world.import();
    assert_eq!(mounted(&world.target, BOB), [(ANN.to_owned(), "Team".to_owned())]);
}

#[test]
fn a_renamed_owner_grantee_or_folder_is_found_under_its_new_name() {
    let world = shared();
    world.export().import();
    rename_account(&world.source, ANN, "anna@example.org");
    rename_account(&world.source, BOB, "robert@example.org");
    world.source.edit(|site| site.rename_folder("anna@example.org", &mail("Team"), &mail("Crew")));
    // The source itself still says the old names in both links.
    let report = world.export().import();
    assert_eq!(grants(&world.target, "anna@example.org", "Crew"), [grant("robert@example.org", "lrs")]);
    assert_eq!(mounted(&world.target, "robert@example.org"), [("anna@example.org".to_owned(), "Crew".to_owned())]);
    assert_eq!(report.pending, []);
}

#[test]
fn rights_given_on_the_target_stay_and_those_given_on_the_source_are_added() {
    let world = shared();
    world.account("cid@example.org", &[]);
    world.export().import();
    world.target.edit(|site| {
        site.folder(ANN, &mail("Team")).folder.grants.push(grant("dan@example.org", "l"));
    });
    world.source.edit(|site| {
        site.folder(ANN, &mail("Team")).folder.grants = vec![grant("cid@example.org", "lr")];
    });
    world.export().import();
    assert_eq!(grants(&world.target, ANN, "Team"), [grant("cid@example.org", "lr"), grant("dan@example.org", "l")]);
}

#[test]
fn somebody_whom_nobody_knows_is_pending_with_the_cause() {
    let world = shared();
    world.source.edit(|site| {
        site.folder(ANN, &FolderKey::inbox()).folder.grants = vec![grant("nobody@example.org", "l")];
    });
    let report = world.export().import();
    assert_eq!(report.pending.len(), 1);
    assert_eq!(report.pending[0].cause, "nobody@example.org is known neither to the source nor to the target");
}

#[test]
fn a_site_split_over_two_servers_comes_together_in_one_target() {
    let world = shared();
    // Ann lives on another server, which has been imported into the same target.
    let state = world.dir.path().join("second");
    std::fs::create_dir(&state).unwrap();
    let second = MemorySite::new(&state);
    second.edit(|site| {
        site.id = Some("second-site".parse().unwrap());
        site.put_account("eve@example.org", "{PLAIN}x");
        site.put_item("eve@example.org", &mail("Plans"), "p", b"plan", 1);
        site.folder("eve@example.org", &mail("Plans")).folder.grants = vec![grant(BOB, "lr")];
    });
    world.source.edit(|site| {
        let mount = mountpoint("Shared/Plans", "eve@example.org", "Plans");
        site.mailboxes.get_mut(BOB).unwrap().settings.insert(mount.key(), mount);
    });
    let first = world.export().import();
    assert_eq!(first.pending.len(), 1, "eve has not arrived");

    let archive = new_archive(&world.dir.path().join("second-archive"), "second-archive");
    export_site(&second, &archive, &world.dir.path().join("second-catalog.sqlite"));
    let report = import(&archive, &world.target, &world.options(), &Silent).unwrap();
    assert_eq!(report.pending, []);
    assert_eq!(grants(&world.target, "eve@example.org", "Plans"), [grant(BOB, "lr")]);
    let again = world.import();
    assert_eq!(again.pending, []);
    assert_eq!(mounted(&world.target, BOB).len(), 2);
}

#[test]
fn a_target_that_sees_only_the_last_snapshot_learns_former_names_from_the_archive() {
    let world = World::new();
    world.account("ann@example.org", &[]);
    world.account("bert@example.org", &[]);
    world.message("ann@example.org", "Plans", "one");
    world.source.edit(|site| {
        site.folder("ann@example.org", &mail("Plans")).folder.grants = vec![grant("bert@example.org", "lr")];
    });
    world.export();
    // The access list goes on naming the account as it was called.
    rename_account(&world.source, "bert@example.org", "bertold@example.org");
    world.export().import();
    assert_eq!(grants(&world.target, "ann@example.org", "Plans"), vec![grant("bertold@example.org", "lr")]);
}
