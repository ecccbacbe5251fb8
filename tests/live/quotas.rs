//! Quotas that only the mail server knows, where the description says that it is to be asked.

use crate::proxy::{Faults, Proxy};
use crate::servers::testbed::{Server, password};
use crate::world::{World, ready};

const ANN: &str = "ann@a.test";
const BOB: &str = "bob@a.test";

/// The quota that the newest snapshot has for an account.
fn quota(world: &World, account: &str) -> Option<u64> {
    let said = world.wagon(0, &format!("--json show --archive {{}}/archive {account}"));
    let (_, rest) = said.split_once("\"quota_bytes\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn a_quota_that_only_the_server_knows_is_read_where_asked_for_and_stays_when_nobody_answers() {
    if !ready("quotas of a source", &["dovecot"]) {
        return;
    }
    let world = World::new();
    world.empty_site("old", &[ANN, BOB]);
    let server = Server::start("dovecot", &world.path("old"), &[("QUOTA", "*:storage=5M")]);
    let proxy = Proxy::to(server.port("DOVECOT_IMAP_PORT"));
    let describe = |more: &str| {
        world.write(
            "old.toml",
            &format!(
                "insecure = true\n[accounts]\nlist = [{{ address = \"{ANN}\" }}, {{ address = \"{BOB}\", quota = \"7G\" }}]\n\
                 [mail]\nimap = \"imap://localhost:{}\"\nlogin = \"own\"\npasswords = \"logins.csv\"\n{more}\n",
                proxy.port
            ),
        );
    };
    let logins =
        |ann: &str| world.write("logins.csv", &format!("address,password\n{ANN},{ann}\n{BOB},{}\n", password(BOB)));
    let export = |status| world.wagon(status, "export --from {}/old.toml --archive {}/archive");

    logins(&password(ANN));
    describe("");
    export(0);
    assert_eq!((quota(&world, ANN), quota(&world, BOB)), (None, Some(7 << 30)));

    describe("quotas = true");
    export(0);
    assert_eq!(quota(&world, ANN), Some(5 << 20));
    assert_eq!(quota(&world, BOB), Some(7 << 30), "what the description says counts");

    logins("wrong");
    let (_, said) = world.report("export --from {}/old.toml --archive {}/archive", &[3]);
    assert!(said.contains(ANN) && said.contains("AUTHENTICATIONFAILED"), "{said}");
    assert_eq!(quota(&world, ANN), Some(5 << 20), "of whom the server cannot be asked, it is unchanged");

    logins(&password(ANN));
    proxy.set(Faults { refuse: Some(("GETQUOTAROOT", "NO Internal error occurred", 1)), ..Faults::default() });
    let (_, said) = world.report("export --from {}/old.toml --archive {}/archive", &[3]);
    assert!(said.contains(ANN) && said.contains("Internal error occurred"), "{said}");
    assert_eq!(quota(&world, ANN), Some(5 << 20), "and where it answers and does not tell");

    describe("");
    export(0);
    assert_eq!(quota(&world, ANN), None, "nobody says any more that there is one");
}
