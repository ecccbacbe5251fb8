//! IMAP servers that go on for ever: whatever they flood us with, the program holds no more than a little memory, ends, and
//! says which server did what.

use crate::world::{World, assert_says};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a pass may hold at its peak, KiB; a program built for tests takes more than the released one.
const MEMORY_KIB: u64 = 96 * 1024;

/// What a server says for ever in its answer to the command that begins so.
#[derive(Clone)]
struct Saying {
    command: &'static str,
    text: String,
}

/// A server with one folder of three messages that lets everybody in, and says what it is told to beside that.
struct Flooding {
    port: u16,
    saying: Arc<Mutex<Option<Saying>>>,
}

impl Flooding {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let saying: Arc<Mutex<Option<Saying>>> = Arc::default();
        let shared = Arc::clone(&saying);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                // A client that hangs up in the middle of a flood ends it.
                thread::spawn(move || drop(serve(client, &shared)));
            }
        });
        Self { port, saying }
    }

    fn say(&self, command: &'static str, text: &str) {
        *self.saying.lock().unwrap() = Some(Saying { command, text: text.to_owned() });
    }

    fn behave(&self) {
        *self.saying.lock().unwrap() = None;
    }
}

fn serve(mut client: TcpStream, saying: &Mutex<Option<Saying>>) -> std::io::Result<()> {
    write!(client, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ENABLE CONDSTORE QRESYNC] here\r\n")?;
    let lines = BufReader::new(client.try_clone()?).lines();
    for line in lines.map_while(Result::ok) {
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        let modseq = "[HIGHESTMODSEQ 7] counted";
        match command.split(' ').next().unwrap_or_default() {
            "ENABLE" => write!(client, "* ENABLED QRESYNC CONDSTORE\r\n")?,
            "LIST" => write!(client, "* LIST () \"/\" INBOX\r\n")?,
            "STATUS" => {
                // Who floods while a folder is opened has to make us open it.
                let floods = saying.lock().unwrap().as_ref().is_some_and(|saying| saying.command == "EXAMINE");
                let modseq = if floods { 8 } else { 7 };
                write!(client, "* STATUS INBOX (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1 HIGHESTMODSEQ {modseq})\r\n")?;
            }
            "EXAMINE" => write!(
                client,
                "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] valid\r\n* OK [UIDNEXT 4] next\r\n* OK {modseq}\r\n"
            )?,
            _ => {}
        }
        let flood = saying.lock().unwrap().clone().filter(|saying| command.starts_with(saying.command));
        if let Some(Saying { text, .. }) = flood {
            let block = text.repeat(65536 / text.len() + 1);
            loop {
                client.write_all(block.as_bytes())?;
            }
        }
        if command.starts_with("UID FETCH") && command.contains("BODY.PEEK[]") {
            for uid in 1..4 {
                let text = format!("Subject: {uid}\r\n\r\nbody\r\n");
                write!(client, "* {uid} FETCH (UID {uid} BODY[]<0> {{{}}}\r\n{text})\r\n", text.len())?;
            }
        } else if command.starts_with("UID FETCH 1:* (UID FLAGS INTERNALDATE") {
            for uid in 1..4 {
                let header = format!("Subject: {uid}\r\n\r\n");
                let date = "INTERNALDATE \"01-Jan-2024 12:00:00 +0000\"";
                let all = format!("UID {uid} FLAGS () {date} RFC822.SIZE 20");
                write!(client, "* {uid} FETCH ({all} BODY[HEADER]<0> {{{}}}\r\n{header})\r\n", header.len())?;
            }
        }
        write!(client, "{tag} OK done\r\n")?;
    }
    Ok(())
}

/// A description of that server, with one account.
fn described(world: &World, server: &Flooding) {
    fs::write(world.path("pw"), "secret\n").unwrap();
    fs::write(world.path("passwd"), "ann@h.example:{PLAIN}x::::::\n").unwrap();
    let text = format!(
        "insecure = true\n[accounts]\nfile = \"passwd\"\n[mail]\nimap = \"imap://127.0.0.1:{}\"\nlogin = \"master\"\n\
         user = \"m\"\npassword = {{ file = \"pw\" }}\n",
        server.port
    );
    fs::write(world.path("old.toml"), text).unwrap();
}

/// A pass is flooded, in little memory, and says so; the next one, with a server that behaves, goes on as if nothing was.
#[test]
fn a_server_that_floods_us_costs_a_bounded_amount_and_the_next_pass_goes_on() {
    let world = World::empty();
    let server = Flooding::start();
    described(&world, &server);
    let keywords: String = (0..60).map(|number| format!(" keyword-of-some-length-{number}")).collect();
    let new = format!("* 1 FETCH (UID 1 FLAGS (\\Seen{keywords}) INTERNALDATE NIL RFC822.SIZE 20 EMAILID (M1))\r\n");
    let changed = format!("* 1 FETCH (UID 1 FLAGS (\\Seen{keywords}))\r\n");
    let ranges: String = (0..400_000).map(|number| format!("{},", 10 + 2 * number)).collect();
    let vanished = format!("* VANISHED (EARLIER) {ranges}9999999\r\n");
    let name = |head: &str, tail: &str| format!("{head}\"{}\"{tail}\r\n", "n".repeat(100_000));
    let floods = [
        ("UID FETCH 1:* (UID FLAGS", new.clone(), "more than 200003 messages, more than it has said are there"),
        ("EXAMINE", new, "more than 200000 messages or folders in its answer to EXAMINE"),
        ("LIST", name("* LIST () \"/\" ", ""), "lists folders of ann@h.example with more than 16777216 bytes"),
        ("LSUB", name("* LSUB () \"/\" ", ""), "lists subscriptions of ann@h.example with more than 16777216 bytes"),
        ("STATUS", name("* STATUS ", " (MESSAGES 1)"), "lists counters of ann@h.example with more than 16777216 bytes"),
        ("LIST", "* OK still working on it\r\n".to_owned(), "more than 200000 answers that nobody asked for"),
        ("LSUB", format!("* OK {}\r\n", "x".repeat(200_000)), "more than 67108864 bytes that nobody asked for"),
        ("ENABLE", format!("* ENABLED{keywords}\r\n"), "more than 67108864 bytes that nobody asked for"),
        ("EXAMINE", vanished.clone(), "bytes that nobody asked for"),
    ];
    let export = "export --from {}/old.toml --archive {}/archive";
    for (command, text, words) in &floods {
        server.say(command, text);
        flooded(&world, export, command, words);
    }
    server.behave();
    let said = world.wagon(0, export);
    assert_says(&said, &["3 added"]);

    // Now it knows the folder and asks what changed in it, which the server may tell without being asked for each.
    flooded_while_changed(&world, &server, export, &changed, "more than 200003 changed messages");
    flooded_while_changed(&world, &server, export, &vanished, "more than 2000000 ranges of messages that left");
    server.behave();
    let said = world.wagon(0, export);
    assert!(!said.contains("3 added"), "{said}");
}

fn flooded(world: &World, export: &str, command: &str, words: &str) {
    let (held, said) = world.peak(&[1, 3], export);
    eprintln!("{command}, {words}: {held} KiB");
    assert_says(&said, &["imap://127.0.0.1:", words]);
    assert!(held < MEMORY_KIB, "{command}: {held} KiB\n{said}");
}

/// The counters of the folder are others, so it is opened, and then comes the flood.
fn flooded_while_changed(world: &World, server: &Flooding, export: &str, text: &str, words: &str) {
    server.say("EXAMINE", text);
    flooded(world, export, "EXAMINE", words);
}
