use crate::wagon::Wagon;
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn with_json_each_line_is_an_event_and_the_last_the_report() {
    let wagon = Wagon::exported_twice();
    std::fs::create_dir(wagon.path("out")).unwrap();
    let verbs = [
        ("export --from source --archive archive", "export"),
        ("export --from source --archive archive --dry-run", "export"),
        ("import --archive archive --to target", "import"),
        ("verify --archive archive --to target", "verify"),
        ("check --archive archive", "check"),
        ("snapshots --archive archive", "snapshots"),
        ("ls --archive archive", "ls"),
        ("ls --archive archive ann@station.example:INBOX", "ls"),
        ("show --archive archive", "show"),
        ("show --archive archive ann@station.example", "show"),
        ("diff --archive archive 1 2", "diff"),
        ("find --archive archive --subject e", "find"),
        ("extract --archive archive ann@station.example --output new", "extract"),
        ("shares matrix --site target", "shares matrix"),
        ("map show --site target", "map show"),
        ("config --site target", "config"),
    ];
    for (line, verb) in verbs {
        let seen = wagon.run(&format!("--json -q {line}"));
        assert_eq!(seen.status, 0, "{line}: {}", seen.err);
        let lines = lines(&seen.out);
        let (last, events) = lines.split_last().unwrap();
        assert_eq!((&last["event"], &last["verb"]), (&"report".into(), &verb.into()), "{line}");
        let known = ["phase-started", "advanced", "phase-finished", "rejected", "conflict", "notice"];
        for event in events {
            assert!(known.iter().any(|known| event["event"] == *known), "{line}: {event}");
        }
    }
}

#[test]
fn with_json_an_error_is_the_last_line_too() {
    let wagon = Wagon::empty();
    let seen = wagon.run("ls --archive missing --json");
    assert_eq!(seen.status, 1);
    let last = lines(&seen.out).pop().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"error".into(), &1.into()));
    assert!(last["message"].as_str().unwrap().contains("missing") && last["hint"].is_string());
    assert!(seen.err.starts_with("error: "), "people read it as well");
}

#[test]
fn no_report_has_a_password() {
    let wagon = Wagon::exported_twice();
    for line in [
        "show --archive archive --provisioning",
        "diff --archive archive 1 2",
        "show --archive archive clara@station.example",
    ] {
        for json in ["--json", "-q"] {
            let seen = wagon.run(&format!("{line} {json}"));
            assert_eq!(seen.status, 0, "{}", seen.err);
            for scheme in ["{SHA512-CRYPT}", "{BLF-CRYPT}", "{PLAIN}", "{SSHA", "$6$"] {
                assert!(!seen.out.contains(scheme), "{line}: {scheme}");
            }
        }
    }
}
