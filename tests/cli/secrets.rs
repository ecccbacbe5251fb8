//! Password hashes, passwords of other servers and keys: never in anything that is printed, in either form, and in no
//! file that others may read.

use crate::wagon::{Wagon, files};
use stationwagon::testing::example_site;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Secrets that stand in extra fields, and in a line that is none.
const ODD: [&str; 4] = ["proxy-word", "crypt-word", "imapc-word", "{PLAIN}of-a-bad-line"];

fn hashes(passwd: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(passwd).unwrap();
    let column = |line: &str| line.split(':').nth(1).filter(|hash| hash.len() > 8).map(str::to_owned);
    text.lines().filter(|line| !line.starts_with('#')).filter_map(column).collect()
}

fn says_none(said: &[u8], secrets: &BTreeSet<String>, what: &str) {
    let said = String::from_utf8_lossy(said);
    for secret in secrets {
        assert!(!said.contains(secret.as_str()), "{what} shows {secret}:\n{said}");
    }
}

#[test]
fn whatever_is_done_with_a_site_no_output_has_a_secret_and_no_file_with_one_is_open_to_others() {
    let wagon = Wagon::exported();
    let passwd = wagon.path("source/etc/passwd");
    let mut secrets = hashes(&passwd);
    assert!(secrets.len() > 5, "{secrets:?}");
    secrets.insert("example-only".to_owned());
    secrets.extend(ODD.map(str::to_owned));

    let [proxy, crypt, imapc, bad] = ODD;
    let mut lines = OpenOptions::new().append(true).open(&passwd).unwrap();
    writeln!(
        lines,
        "proxied@station.example:{{PLAIN}}long-enough:::::: proxy=y pass={proxy} \
         userdb_mail_crypt_private_password={crypt} userdb_imapc_password={imapc}\nbad user:{bad}:::::"
    )
    .unwrap();
    drop(lines);
    secrets.insert("{PLAIN}long-enough".to_owned());
    fs::create_dir_all(wagon.path("source/mail/station.example/proxied/Maildir/cur")).unwrap();

    let run = |line: &str, secrets: &BTreeSet<String>| {
        for form in ["--verbose", "--json"] {
            let output = wagon.command(&format!("{form} {line}")).output().unwrap();
            assert!(matches!(output.status.code(), Some(0 | 1 | 3 | 5)), "{line}: {output:?}");
            says_none(&output.stdout, secrets, line);
            says_none(&output.stderr, secrets, line);
        }
    };
    run("export --from source --archive archive", &secrets);
    run("import --archive archive --to target --provisioning-only", &secrets);
    run("import --archive archive --to target", &secrets);
    // Both sides change a password: a conflict, which is told without either.
    example_site::a_day_passes(&wagon.fs(), &wagon.path("source")).unwrap();
    example_site::users_work_on_the_target(&wagon.fs(), &wagon.path("target")).unwrap();
    secrets.extend(hashes(&passwd));
    secrets.extend(hashes(&wagon.path("target/etc/passwd")));
    let edited = fs::read_to_string(&passwd).unwrap().replace(proxy, "other-proxy-word");
    fs::write(&passwd, edited).unwrap();
    secrets.insert("other-proxy-word".to_owned());
    for line in [
        "export --from source --archive archive",
        "import --archive archive --to target --dry-run",
        "import --archive archive --to target",
        "import --archive archive --to target --additive",
        "verify --archive archive --to target",
        "check --archive archive --read-data",
        "snapshots --archive archive",
        "ls --archive archive",
        "ls --archive archive station.example",
        "ls --archive archive frida@wagon.example",
        "show --archive archive",
        "show --archive archive --provisioning",
        "show --archive archive --settings",
        "show --archive archive frida@wagon.example",
        "show --archive archive clara@station.example",
        "show --archive archive proxied@station.example",
        "diff --archive archive 1 2",
        "diff --archive archive 2 3",
        "find --archive archive",
        "extract --archive archive frida@wagon.example --output out",
        "shares check --site target",
        "shares matrix --site target",
        "shares fix --site target --dry-run target/map_example.sqlite",
        "map show --site target",
        "map export --site target",
        "map export --site target --format json",
        "config --site target",
    ] {
        run(line, &secrets);
    }

    // Shares that need mending, bad sectors, and all upkeep.
    example_site::a_last_day(&wagon.fs(), &wagon.path("source")).unwrap();
    secrets.extend(hashes(&passwd));
    for line in ["export --from source --archive archive", "import --archive archive --to target"] {
        run(line, &secrets);
    }
    example_site::an_old_mountpoint_comes_back(&wagon.fs(), &wagon.path("target")).unwrap();
    let planned = wagon.run("shares fix --site target target/map_example.sqlite --dry-run");
    assert!(planned.out.contains("Tender, from backup"), "{}{}", planned.out, planned.err);
    for line in [
        "shares check --site target target/map_example.sqlite",
        "shares fix --site target target/map_example.sqlite",
        "shares undo --site target --dry-run",
        "shares undo --site target",
        "protect --archive archive",
    ] {
        run(line, &secrets);
    }
    let mended = wagon.run("shares undo --site target");
    assert!(mended.status == 1 || mended.out.contains("nothing"), "it was undone: {}{}", mended.out, mended.err);
    let snapshot = files(&wagon.path("archive")).into_iter().find(|name| name.starts_with("snapshots/")).unwrap();
    let pack = files(&wagon.path("archive")).into_iter().find(|name| name.starts_with("packs/")).unwrap();
    let flip = |name: &str| {
        let path = wagon.path("archive").join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    for line in
        ["check --archive archive --read-data", "repair --archive archive --dry-run", "repair --archive archive"]
    {
        flip(&snapshot);
        flip(&pack);
        run(line, &secrets);
        flip(&snapshot);
        flip(&pack);
    }
    assert_eq!(wagon.run("repair --archive archive").status, 0);
    // Without parity something is lost, and is named.
    fs::remove_dir_all(wagon.path("archive/parity")).unwrap();
    flip(&pack);
    for line in [
        "repair --archive archive",
        "export --from source --archive archive",
        "forget --archive archive --keep-last 1",
        "prune --archive archive --max-unused 0",
        "repack --archive archive",
        "protect --archive archive",
    ] {
        run(line, &secrets);
    }

    let mut holders = BTreeSet::new();
    for name in files(&wagon.path(".")).into_iter().filter(|name| !name.starts_with("source/")) {
        let path = wagon.path(&name);
        let mut bytes = fs::read(&path).unwrap();
        if name.ends_with(".gz") {
            let mut inflated = Vec::new();
            let read = flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut inflated);
            // What a repair has set aside is looked into as far as it goes.
            assert!(read.is_ok() || name.starts_with("archive/damaged/"), "{name}: {read:?}");
            bytes = inflated;
        }
        let text = String::from_utf8_lossy(&bytes);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if secrets.iter().any(|secret| text.contains(secret.as_str())) {
            // Dovecot's group must be able to read the passwd-file, and nobody else.
            let most = if name == "target/etc/passwd" { 0o640 } else { 0o600 };
            assert_eq!(mode, most, "{name} holds a secret");
            let kind = name.split('/').take(2).collect::<Vec<_>>().join("/");
            holders.insert(kind);
        }
        let private = ["archive/", "home/", "target/map_", "target/ledger_", "target/site.sqlite"];
        if private.iter().any(|prefix| name.starts_with(prefix)) {
            assert_eq!(mode, 0o600, "{name}");
        }
    }
    let expected = ["archive/snapshots", "target/etc", "target/map_example.sqlite", "target/site.sqlite"];
    assert_eq!(holders.into_iter().collect::<Vec<_>>(), expected, "what docs/connectors.md and SECURITY.md say");
}

#[test]
fn secrets_are_shown_to_who_asks_for_them_by_name_and_to_nobody_else() {
    let wagon = Wagon::exported();
    let passwd = fs::read_to_string(wagon.path("source/etc/passwd")).unwrap();
    let frida = passwd.lines().find(|line| line.starts_with("frida@wagon.example:")).unwrap();
    let hash = frida.split(':').nth(1).unwrap();
    assert!(hash.len() > 8, "{frida}");
    for line in ["show frida@wagon.example", "show --provisioning"] {
        for form in ["", "--json"] {
            let line = format!("{form} {line} --archive archive");
            let hidden = wagon.run(&line);
            assert!(hidden.status == 0 && hidden.out.contains("(hidden)") && !hidden.out.contains(hash), "{line}");
            let shown = wagon.run(&format!("{line} --show-secrets"));
            assert!(shown.status == 0 && shown.out.contains(hash), "{line}: {}{}", shown.out, shown.err);
            assert!(!shown.out.contains("(hidden)") && !shown.err.contains(hash), "{line}: {}{}", shown.out, shown.err);
        }
    }
    // No other verb has it, and bytes are bytes.
    for line in ["ls", "diff 1 1", "snapshots", "find", "show frida@wagon.example:INBOX --raw"] {
        assert_eq!(wagon.run(&format!("{line} --archive archive --show-secrets")).status, 2, "{line}");
    }
}
