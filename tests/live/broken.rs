//! Connections that break, lag and lie, and servers that refuse: each item arrives exactly once all the same.

use crate::client::Mailbox;
use crate::proxy::{Counts, Faults, Proxy};
use crate::world::{Kind, Site, World, ready};
use std::fs;
use std::time::Duration;

const ANN: &str = "ann@a.test";

/// Messages of about this many bytes each; together they are what a pass carries.
const BODIES: [usize; 4] = [40, 3000, 200, 9000];

fn message(number: usize, size: usize) -> String {
    let line = format!("line of message {number}\n");
    format!(
        "From: x@a.test\nSubject: message {number}\nMessage-ID: <{number}@a.test>\n\n{}",
        line.repeat(size / line.len() + 1)
    )
}

/// A directory site with one account and a few messages in two folders, exported.
fn exported(world: &World) {
    exported_with(world, &BODIES);
}

fn exported_with(world: &World, bodies: &[usize]) {
    for (folder, range) in [("", 0..bodies.len() / 2), (".Archive", bodies.len() / 2..bodies.len())] {
        let dir = world.path("old/mail/a.test/ann/Maildir").join(folder);
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        for number in range {
            let name = format!("cur/{}.M{number}P1.host:2,S", 1_600_000_000 + number);
            fs::write(dir.join(name), message(number, bodies[number])).unwrap();
        }
    }
    world.write("old/mail/a.test/ann/Maildir/subscriptions", "V\t2\n\nArchive\n");
    fs::create_dir_all(world.path("old/etc")).unwrap();
    world.write("old/etc/passwd", "ann@a.test:{PLAIN}pw-ann::::::\n");
    world.wagon(0, "export --from {}/old --archive {}/archive");
}

/// The site of [`exported`] behind a Dovecot and a proxy, described as `old.toml`.
fn served(world: &World) -> (Site, Proxy) {
    let source = world.dovecot("old");
    let proxy = Proxy::to(source.port());
    world.describe_open(&source, proxy.port, "file = \"old/etc/passwd\"");
    (source, proxy)
}

fn wanted() -> Vec<String> {
    wanted_of(&BODIES)
}

fn wanted_of(bodies: &[usize]) -> Vec<String> {
    let mut all: Vec<_> =
        bodies.iter().enumerate().map(|(number, size)| message(number, *size).replace('\n', "\r\n")).collect();
    all.sort();
    all
}

fn found(mailbox: &Mailbox) -> Vec<String> {
    let contents = mailbox.values().flat_map(|folder| &folder.messages);
    let mut all: Vec<_> = contents.map(|one| String::from_utf8_lossy(&one.content).into_owned()).collect();
    all.sort();
    all
}

/// A server behind a proxy, with a description for each of several targets that know nothing of each other.
struct Behind {
    site: Site,
    proxy: Proxy,
    /// How the description names its accounts.
    accounts: Option<String>,
    bodies: &'static [usize],
}

impl Behind {
    fn new(world: &World, accounts: &[String]) -> Self {
        let names: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let site = world.cyrus("new", &names);
        let proxy = Proxy::to(site.port());
        Self { site, proxy, accounts: None, bodies: &BODIES }
    }

    /// A server of that kind with its files in `folder`.
    fn of(world: &World, kind: Kind, folder: &str, accounts: &[String], bodies: &'static [usize]) -> Self {
        let names: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let (site, accounts) = match kind {
            Kind::Cyrus => (world.cyrus(folder, &names), None),
            Kind::Dovecot => {
                world.empty_site(folder, &names);
                (world.dovecot(folder), Some(format!("file = \"{folder}/etc/passwd\"")))
            }
        };
        let proxy = Proxy::to(site.port());
        Self { site, proxy, accounts, bodies }
    }

    /// Imports ann as `account`, through these faults, into a site of its own; then once more without any. The account then
    /// has each message once.
    fn import(&self, world: &World, name: &str, account: &str, faults: Faults) -> Disturbed {
        let domain = account.split_once('@').unwrap().1;
        world.write(&format!("{name}.rename"), &format!("a.test {domain}\n"));
        let site = Site { kind: self.site.kind, name: format!("{name}.toml"), server: None };
        let accounts = self.accounts.clone().unwrap_or_else(|| format!("file = \"{name}.csv\""));
        world.describe_as(&site, &self.site, self.proxy.port, &accounts, "insecure = true");
        let line = format!("import --archive {{}}/archive --to {{}}/{name}.toml --rename {{}}/{name}.rename --jobs 1");
        self.proxy.set(faults.clone());
        // What a broken connection does to a pass is its own affair; nothing but the exit statuses of trouble is allowed.
        let (status, first) = world.report(&line, &[0, 1, 3]);
        let touched = self.proxy.counts().faults;
        self.proxy.set(Faults { plain: faults.plain, ..Faults::default() });
        let (_, second) = world.report(&line, &[0]);
        let found = found(&self.site.look(account));
        // Not with assert_eq!: nobody wants to read a message of a mebibyte.
        assert!(found == wanted_of(self.bodies), "{} messages, {faults:?}\n{first}\n{second}", found.len());
        Disturbed { status, touched, said: first }
    }
}

/// What became of an import through faults.
struct Disturbed {
    status: i32,
    /// Commands and connections that a fault touched.
    touched: u64,
    said: String,
}

fn accounts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("ann@n{number}.test")).collect()
}

/// Targets for many imports, each an account that nobody has used. When a server's accounts are used up there is
/// another one.
struct Fresh {
    world: World,
    kind: Kind,
    bodies: &'static [usize],
    /// Without extensions: no UIDPLUS, no LITERAL+.
    plain: bool,
    names: Vec<String>,
    behind: Option<Behind>,
    used: usize,
    servers: usize,
}

impl Fresh {
    fn new(kind: Kind, plain: bool, bodies: &'static [usize]) -> Self {
        let world = World::new();
        exported_with(&world, bodies);
        Self { world, kind, bodies, plain, names: accounts(300), behind: None, used: 0, servers: 0 }
    }

    fn import(&mut self, faults: Faults) -> Disturbed {
        if self.behind.is_none() || self.used == self.names.len() {
            // The old one ends first; what it had is not needed any more.
            self.behind = None;
            drop(fs::remove_dir_all(self.world.path(&format!("new{}", self.servers))));
            (self.servers, self.used) = (self.servers + 1, 0);
            let folder = format!("new{}", self.servers);
            self.behind = Some(Behind::of(&self.world, self.kind, &folder, &self.names, self.bodies));
        }
        let behind = self.behind.as_ref().unwrap();
        let account = &self.names[self.used];
        self.used += 1;
        let name = format!("s{}a{}", self.servers, self.used);
        let disturbed = behind.import(&self.world, &name, account, Faults { plain: self.plain, ..faults });
        // A thousand targets would fill the disk with what is remembered of them.
        for entry in fs::read_dir(self.world.path("")).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_name().to_string_lossy().starts_with(&format!("{name}.")) {
                let path = entry.path();
                drop(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
            }
        }
        disturbed
    }

    /// How many bytes a whole import has in each direction.
    fn measured(&mut self) -> Counts {
        self.import(Faults::default());
        let behind = self.behind.as_ref().unwrap();
        let account = &self.names[self.used];
        self.used += 1;
        behind.proxy.set(Faults { plain: self.plain, ..Faults::default() });
        self.world.write("m.rename", &format!("a.test {}\n", account.split_once('@').unwrap().1));
        let site = Site { kind: self.kind, name: "m.toml".to_owned(), server: None };
        let accounts = behind.accounts.clone().unwrap_or_else(|| "file = \"m.csv\"".to_owned());
        self.world.describe_as(&site, &behind.site, behind.proxy.port, &accounts, "insecure = true");
        self.world.wagon(0, "import --archive {}/archive --to {}/m.toml --rename {}/m.rename --jobs 1");
        behind.proxy.counts()
    }

    /// Cuts the connection at every `every`-th byte up and down.
    fn cut_at_every(mut self, what: &str, every: u64) {
        let measured = self.measured();
        let step = usize::try_from(every).unwrap();
        let up = (1..measured.up).step_by(step).map(|at| Faults { cut_up: Some(at), ..Faults::default() });
        let down = (1..measured.down).step_by(step).map(|at| Faults { cut_down: Some(at), ..Faults::default() });
        let (mut tried, mut hit, mut went_on) = (0, 0, 0);
        for faults in up.chain(down) {
            let disturbed = self.import(faults);
            tried += 1;
            hit += disturbed.touched.min(1);
            went_on += u64::from(disturbed.status == 0);
        }
        let Counts { up, down, .. } = measured;
        let told = format!(
            "{what}: {tried} imports, {hit} cut off, {went_on} completed all the same, every {every} of {up} bytes up and {down} down"
        );
        assert!(tried >= 5 && hit * 10 >= tried * 9, "{told}");
        // Where a message was on its way nobody knows whether it arrived before the next look; else an import goes on.
        assert!(went_on * 10 >= tried * 9, "{told}");
        eprintln!("{told}");
    }
}

/// Bytes between cuts: `WAGON_EVERY_BYTE`, else the `usual` ones, with which a story takes some seconds.
fn every_byte(usual: u64) -> u64 {
    match std::env::var("WAGON_EVERY_BYTE") {
        Err(_) => usual,
        Ok(text) => text.parse().ok().filter(|every| *every > 0).expect("WAGON_EVERY_BYTE is a number of bytes"),
    }
}

#[test]
fn a_connection_that_breaks_at_any_byte_of_an_import_leaves_each_message_once() {
    if ready("connections break at any byte", &["cyrus"]) {
        Fresh::new(Kind::Cyrus, false, &BODIES).cut_at_every("Cyrus", every_byte(1201));
    }
}

/// Dovecot is given messages without being asked for each (LITERAL+), so there is more on the way when it breaks.
#[test]
fn a_connection_to_dovecot_that_breaks_at_any_byte_leaves_each_message_once() {
    if ready("connections to Dovecot break at any byte", &["dovecot"]) {
        Fresh::new(Kind::Dovecot, false, &BODIES).cut_at_every("Dovecot", every_byte(4003));
    }
}

/// Without UIDPLUS nothing but a search tells whether a message arrived, and where.
#[test]
fn a_connection_to_a_server_without_uidplus_that_breaks_at_any_byte_leaves_each_message_once() {
    if ready("connections without UIDPLUS break at any byte", &["dovecot"]) {
        Fresh::new(Kind::Dovecot, true, &BODIES).cut_at_every("without extensions", every_byte(4003));
    }
}

/// A message that comes in more than one piece from the archive and goes out in many writes.
#[test]
fn a_connection_that_breaks_in_a_message_of_more_than_a_mebibyte_leaves_it_once() {
    const LONG: [usize; 2] = [1_300_000, 300];
    if !ready("connections break in a long message", &["cyrus", "dovecot"]) {
        return;
    }
    // In the archive's direction there is little to cut, and the steps are wide: what counts is the message.
    for (kind, plain, what) in [(Kind::Cyrus, false, "Cyrus, long"), (Kind::Dovecot, false, "Dovecot, long")] {
        Fresh::new(kind, plain, &LONG).cut_at_every(what, 301_019);
    }
}

#[test]
fn servers_that_lag_refuse_or_say_goodbye_cost_time_and_nothing_else() {
    if !ready("servers refuse", &["cyrus"]) {
        return;
    }
    let world = World::new();
    exported(&world);
    let names = accounts(15);
    let behind = Behind::new(&world, &names);
    let refusals = [
        ("APPEND", "NO [UNAVAILABLE] try again later", 1, 0),
        ("APPEND", "NO [LIMIT] too many at once", 1, 0),
        ("APPEND", "NO [OVERQUOTA] the mailbox is full", 2, 3),
        ("APPEND", "* BYE [UNAVAILABLE] restarting", 1, 0),
        ("AUTHENTICATE", "NO [UNAVAILABLE] the directory does not answer", 1, 0),
        ("AUTHENTICATE", "* BYE too many connections", 1, 0),
        ("CREATE", "NO [LIMIT] too many folders", 2, 3),
        ("CREATE", "NO [INUSE] a moment please", 2, 0),
        ("SUBSCRIBE", "NO [UNAVAILABLE] in a moment", 1, 0),
        ("SUBSCRIBE", "* BYE [UNAVAILABLE] restarting", 1, 0),
    ];
    for (at, &(word, answer, times, wanted)) in refusals.iter().enumerate() {
        let faults = Faults { refuse: Some((word, answer, times)), ..Faults::default() };
        let Disturbed { status, touched, said } = behind.import(&world, &format!("refused{at}"), &names[at], faults);
        assert!(touched > 0, "{word} was never sent");
        assert_eq!(status, wanted, "{word}, {answer}: {said}");
        // What is not done in the same pass is told in the server's words.
        let words = answer.trim_start_matches("NO ");
        assert!(status == 0 || said.contains(words), "{word}, {answer}: {said}");
    }
    let slow = [
        Faults { delay: Duration::from_millis(20), ..Faults::default() },
        Faults { rate: Some(64 * 1024), ..Faults::default() },
        Faults { garble: Some(700), ..Faults::default() },
        Faults { garble: Some(1500), ..Faults::default() },
        Faults { each_down: Some(3000), ..Faults::default() },
    ];
    for (at, faults) in slow.into_iter().enumerate() {
        behind.import(&world, &format!("slow{at}"), &names[refusals.len() + at], faults);
    }
}

/// Mail whose text is commands, for a server that finds no room for a message: with Cyrus 3.6 the literal of a refused
/// APPEND is not skipped but read as what comes next (its staging file cannot be made: disk full, or two first deliveries
/// to a new server at once).
#[test]
fn a_server_that_refuses_messages_is_never_given_their_text_as_commands() {
    if !ready("refused messages are no commands", &["cyrus", "dovecot"]) {
        return;
    }
    let world = World::new();
    exported(&world);
    let dir = world.path("old/mail/a.test/ann/Maildir/cur");
    for number in 5..9 {
        let text = format!("Subject: {number}\n\nt{number} CREATE stolen{number}\nt LOGOUT\n");
        fs::write(dir.join(format!("{}.M{number}P1.host:2,S", 1_600_000_000 + number)), text).unwrap();
    }
    world.wagon(0, "export --from {}/old --archive {}/archive");
    let cyrus = world.cyrus("cyrus", &[ANN]);
    let staging = cyrus.server().dir().join("spool/stage.");
    world.empty_site("dovecot", &[ANN]);
    let dovecot = world.dovecot("dovecot");
    drop(dovecot.client(ANN));
    let tmp = world.path("dovecot/mail/a.test/ann/Maildir/tmp");
    // Dovecot's other folder has a tmp of its own.
    for (site, obstacle, refused) in [(cyrus, staging, 8), (dovecot, tmp, 6)] {
        drop(fs::remove_dir(&obstacle));
        fs::write(&obstacle, "").unwrap();
        let import = format!("import --archive {{}}/archive --to {{}}/{}", site.name);
        let (_, said) = world.report(&import, &[3]);
        let folders: Vec<String> = site.look(ANN).into_keys().collect();
        assert!(folders.iter().all(|name| ["INBOX", "Archive"].contains(&name.as_str())), "{folders:?}\n{said}");
        assert!(said.contains(&format!("  {refused} refused")), "{said}");
        fs::remove_file(&obstacle).unwrap();
        let (_, said) = world.report(&import, &[0]);
        assert_eq!(site.look(ANN).values().map(|folder| folder.messages.len()).sum::<usize>(), 8, "{said}");
    }
}

#[test]
fn a_message_that_the_server_makes_shorter_is_told_and_is_there_once_where_its_answer_got_lost() {
    if !ready("a server makes messages shorter", &["dovecot"]) {
        return;
    }
    let world = World::new();
    let maildir = world.path("old/mail/a.test/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    fs::create_dir_all(world.path("old/etc")).unwrap();
    world.write("old/etc/passwd", "ann@a.test:{PLAIN}pw-ann::::::\n");
    // As they are, and as Dovecot keeps them.
    let messages = [
        ("Subject: a\r\n\r\nCR at the end\r\n\r", "Subject: a\r\n\r\nCR at the end\r\n"),
        ("Subject: b\r\n\r\ntwo\r\r\nthree\r\r\r\n", "Subject: b\r\n\r\ntwo\r\nthree\r\r\n"),
        ("Subject: c\r\n\r\nnone\r\n", "Subject: c\r\n\r\nnone\r\n"),
    ];
    for (number, (text, _)) in messages.iter().enumerate() {
        fs::write(maildir.join(format!("cur/160000000{number}.M1P1.host:2,S")), text).unwrap();
    }
    world.wagon(0, "export --from {}/old --archive {}/archive");
    world.empty_site("new", &[ANN]);
    let target = world.dovecot("new");
    let proxy = Proxy::to(target.port());
    world.describe_open(&target, proxy.port, "file = \"new/etc/passwd\"");
    proxy.set(Faults { lose: Some("[APPENDUID"), ..Faults::default() });
    let (_, said) = world.report("import --archive {}/archive --to {}/new.toml", &[0]);
    assert_eq!(proxy.counts().faults, 1);
    assert_eq!(found(&target.look(ANN)), messages.map(|(_, kept)| kept.to_owned()), "{said}");
    assert_eq!(said.matches("the target's server changed some of its bytes").count(), 2, "{said}");
    let (_, again) = world.report("import --archive {}/archive --to {}/new.toml", &[0]);
    assert!(again.contains("\n0 B delivered"), "{again}");
    world.report("verify --archive {}/archive --to {}/new.toml", &[0]);
}

/// Whether what was sent has arrived only the server knows; where it does not tell for a while, nothing is sent again.
#[test]
fn what_was_on_its_way_is_asked_for_until_the_server_tells() {
    if !ready("a server does not tell what has arrived", &["dovecot"]) {
        return;
    }
    for plain in [false, true] {
        let mut fresh = Fresh::new(Kind::Dovecot, plain, &BODIES);
        for refused in [
            ("UID FETCH", "NO Internal error occurred", 3),
            ("EXAMINE", "NO [NOPERM] Permission denied", 3),
            ("EXAMINE", "NO Internal error occurred", 3),
        ] {
            let Disturbed { status, touched, said } =
                fresh.import(Faults { lose: Some("[APPENDUID"), then_refuse: Some(refused), ..Faults::default() });
            assert!(touched >= 2 && status != 0, "{refused:?}: {touched}, {status}\n{said}");
        }
    }
}

#[test]
fn messages_that_a_server_does_not_give_are_named_and_none_of_them_counts_as_gone() {
    if !ready("a server does not give messages", &["dovecot"]) {
        return;
    }
    let world = World::new();
    exported(&world);
    let (_source, proxy) = served(&world);
    for (archive, word, answer) in [
        ("first", "*BODY.PEEK", "NO Some messages could not be FETCHed"),
        ("second", "*BODY.PEEK", "BAD no idea"),
        ("third", "*BODY.PEEK", "OK and yet nothing"),
        ("fourth", "EXAMINE \"ARCHIVE\"", "NO Internal error occurred"),
    ] {
        let line = format!("export --from {{}}/old.toml --archive {{}}/{archive}");
        // The second pass finds the listing done, and reads alone.
        proxy.set(Faults { refuse: Some((word, answer, 1000)), ..Faults::default() });
        let (_, said) = world.report(&line, &[3]);
        let words = answer.split_once(' ').unwrap().1;
        let named = said.lines().filter(|line| line.contains(words) || line.contains("does not give its text")).count();
        assert!(named > 0, "{archive}: {said}");
        let (_, again) = world.report(&line, &[3]);
        assert!(!again.contains(" removed") || again.contains("0 removed"), "{again}");
        proxy.set(Faults::default());
        world.report(&line, &[0]);
        world.wagon(0, &format!("import --archive {{}}/{archive} --to {{}}/to-{archive}"));
        let dir = world.path(&format!("to-{archive}/mail/a.test/ann/Maildir"));
        let count = |sub: &str| fs::read_dir(dir.join(sub).join("cur")).map_or(0, Iterator::count);
        assert_eq!(count("") + count(".Archive"), wanted().len(), "{archive}");
    }
}

#[test]
fn a_server_that_does_not_tell_subscriptions_or_namespaces_for_once_changes_neither_folders_nor_subscriptions() {
    if !ready("a server does not tell subscriptions", &["dovecot"]) {
        return;
    }
    for (plain, word, wanted) in [(true, "LSUB", 0), (false, "LSUB", 0), (false, "NAMESPACE", 3)] {
        let world = World::new();
        exported(&world);
        world.write("old/mail/a.test/ann/Maildir/subscriptions", "V\t2\n\nArchive\nOnce\n");
        let (_source, proxy) = served(&world);
        let export = "export --from {}/old.toml --archive {}/served";
        proxy.set(Faults { plain, ..Faults::default() });
        world.report(export, &[0]);
        let refuse = Some((word, "NO Internal error occurred", 1));
        proxy.set(Faults { plain, refuse, ..Faults::default() });
        let (_, said) = world.report(export, &[wanted]);
        assert_eq!(proxy.counts().faults, 1, "{word}: {said}");
        world.wagon(0, "import --archive {}/served --to {}/to");
        let maildir = world.path("to/mail/a.test/ann/Maildir");
        let subscribed = fs::read_to_string(maildir.join("subscriptions")).unwrap();
        assert!(["Archive", "Once"].iter().all(|name| subscribed.contains(name)), "{word}: {subscribed}\n{said}");
        assert!(maildir.join(".Archive/cur").is_dir(), "{said}");
    }
}

#[test]
fn a_source_that_breaks_off_is_read_on_and_nothing_counts_as_deleted() {
    if !ready("a source breaks off", &["dovecot"]) {
        return;
    }
    let world = World::new();
    exported(&world);
    let (source, proxy) = served(&world);
    let faults = [
        Faults { each_down: Some(2000), ..Faults::default() },
        Faults { each_down: Some(9000), ..Faults::default() },
        Faults { refuse: Some(("UID FETCH", "NO [UNAVAILABLE] try again later", 2)), ..Faults::default() },
        Faults { refuse: Some(("UID FETCH", "* BYE [UNAVAILABLE] restarting", 1)), ..Faults::default() },
        Faults { refuse: Some(("LIST", "NO [LIMIT] slow down", 1)), ..Faults::default() },
        Faults { refuse: Some(("AUTHENTICATE", "NO [UNAVAILABLE] later", 1)), ..Faults::default() },
        Faults { garble: Some(900), ..Faults::default() },
    ];
    for (at, faults) in faults.into_iter().enumerate() {
        proxy.set(faults.clone());
        let archive = format!("archive{at}");
        let line = format!("export --from {{}}/old.toml --archive {{}}/{archive}");
        let (_, first) = world.report(&line, &[0, 1, 3]);
        proxy.set(Faults::default());
        let (_, second) = world.report(&line, &[0]);
        world.wagon(0, &format!("import --archive {{}}/{archive} --to {{}}/to{at}"));
        let mut all = Vec::new();
        for folder in ["", ".Archive"] {
            let dir = world.path(&format!("to{at}/mail/a.test/ann/Maildir")).join(folder).join("cur");
            let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            all.extend(files.map(|path| fs::read_to_string(path).unwrap()));
        }
        all.sort();
        assert_eq!(all, wanted(), "{faults:?}\n{first}\n{second}");
        assert!(!second.contains(" removed") || second.contains("0 removed"), "{faults:?}\n{second}");
        assert_eq!(source.look(ANN).len(), 2);
    }
}
