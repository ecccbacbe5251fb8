//! Ways to log in that the other tests do not go: each with the own password, and with a bearer token that a server checks.

use crate::servers::testbed::{Server, password};
use crate::world::{World, ready};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

const ANN: &str = "ann@a.test";

/// A site with one message and one script, served by a Dovecot.
fn dovecot(world: &World) -> Server {
    world.empty_site("old", &[ANN]);
    let inbox = world.path("old/mail/a.test/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(sub)).unwrap();
    }
    fs::write(inbox.join("cur/1600000000.M1P1.host:2,S"), "Subject: one\n\ntext\n").unwrap();
    let home = world.path("old/mail/a.test/ann");
    fs::create_dir_all(home.join("sieve")).unwrap();
    fs::write(home.join("sieve/main.sieve"), "keep;\n").unwrap();
    Server::start("dovecot", &world.path("old"), &[])
}

/// A description of it with this login; the same of its mail alone, for logins that fail: the server lets each one wait longer.
fn describe(world: &World, name: &str, server: &Server, login: &str) {
    let [imap, sieve] = ["DOVECOT_IMAP_PORT", "DOVECOT_SIEVE_PORT"].map(|name| server.port(name));
    let mail = format!(
        "insecure = true\n[accounts]\nlist = [{{ address = \"{ANN}\" }}]\n[mail]\nimap = \"imap://localhost:{imap}\"\n{login}\n"
    );
    let filters = format!("[filters]\nmanagesieve = \"sieve://localhost:{sieve}\"\n");
    world.write(&format!("{name}.toml"), &(mail.clone() + &filters));
    world.write(&format!("{name}-mail.toml"), &mail);
}

/// Exports the message and the script of that description.
fn exports_both(world: &World, name: &str) {
    let said = world.wagon(0, &format!("export --from {{}}/{name}.toml --archive {{}}/{name}"));
    assert!(said.contains("2 added"), "{said}");
}

#[test]
fn each_account_logs_in_with_its_own_password() {
    if !ready("own passwords", &["dovecot"]) {
        return;
    }
    let world = World::new();
    let server = dovecot(&world);
    world.write("logins.csv", &format!("address,password\n{ANN},{}\n", password(ANN)));
    describe(&world, "file", &server, "login = \"own\"\npasswords = \"logins.csv\"");
    exports_both(&world, "file");
    world.write("logins.csv", &format!("address,password\n{ANN},wrong\n"));
    let (_, said) = world.report("export --from {}/file-mail.toml --archive {}/again", &[3]);
    assert!(said.contains(ANN) && said.contains("AUTHENTICATIONFAILED"), "{said}");
}

/// A token that says of itself who it is for (RFC 7519), signed with this key.
fn token(account: &str, key: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let now = jiff::Timestamp::now().as_second();
    let body = format!(
        "{{\"sub\":\"{account}\",\"iss\":\"test\",\"iat\":{},\"nbf\":{},\"exp\":{}}}",
        now - 60,
        now - 60,
        now + 3600
    );
    let signed = format!("{}.{}", part("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), part(&body));
    let mut openssl = Command::new("sh");
    openssl.args(["-c", "printf %s \"$0\" | openssl dgst -sha256 -hmac \"$1\" -binary"]).args([&signed, key]);
    let signature = openssl.output().unwrap();
    assert!(signature.status.success());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.stdout))
}

/// Starts the server anew with a passdb that checks tokens itself, for these mechanisms.
fn with_tokens(server: &Server, key: &str, mechanisms: &str) {
    let dir = server.dir();
    let keys = dir.join("keys/default/HS256");
    fs::create_dir_all(&keys).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(key);
    fs::write(keys.join("default"), encoded).unwrap();
    let at = dir.display();
    let oauth = format!(
        "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={at}/keys/\nusername_attribute = sub\n"
    );
    fs::write(dir.join("oauth2.conf.ext"), oauth).unwrap();
    for entry in ["keys", "keys/default", "keys/default/HS256"] {
        fs::set_permissions(dir.join(entry), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = dir.join("dovecot.conf");
    let conf = fs::read_to_string(&path).unwrap();
    let start = conf.find("auth_mechanisms = ").unwrap();
    let end = start + conf[start..].find('\n').unwrap();
    let conf = format!("{}auth_mechanisms = {mechanisms}{}", &conf[..start], &conf[end..]);
    let passdb = format!(
        "passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {at}/oauth2.conf.ext\n}}\n"
    );
    let conf = if conf.contains("driver = oauth2") { conf } else { format!("{conf}\n{passdb}") };
    fs::write(&path, conf).unwrap();
    let reloaded = Command::new("doveadm").arg("-c").arg(&path).arg("reload").output().unwrap();
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
}

#[test]
fn a_bearer_token_that_the_server_checks_lets_in_by_either_mechanism() {
    if !ready("bearer tokens", &["dovecot"]) {
        return;
    }
    let world = World::new();
    let server = dovecot(&world);
    let key = "a key that only the test and its server know";
    for (mechanism, name) in [("oauthbearer", "bearer"), ("xoauth2", "xoauth")] {
        with_tokens(&server, key, mechanism);
        world.write("token", &format!("{}\n", token(ANN, key)));
        describe(&world, name, &server, "login = \"oauth2\"\npassword = { file = \"token\" }");
        exports_both(&world, name);
        // Signed with another key, or for somebody else.
        for (nth, wrong) in [token(ANN, "another key"), token("bob@a.test", key)].into_iter().enumerate() {
            world.write("token", &format!("{wrong}\n"));
            let line = format!("export --from {{}}/{name}-mail.toml --archive {{}}/{name}{nth}");
            let (_, said) = world.report(&line, &[1, 3]);
            assert!(!said.contains("1 added") && !said.contains("2 added") && !said.contains(&wrong), "{said}");
        }
    }
}
