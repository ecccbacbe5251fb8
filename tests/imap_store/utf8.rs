//! A server that speaks UTF-8 (RFC 6855), which neither of the testbed's families does: names are not encoded, and a header
//! beyond ASCII is taken only where it is announced as what it is.

use super::{ANN, bytes_of, delivery, key, listing, login, put, store};
use stationwagon::event::Reason;
use stationwagon::site::Delivered;
use stationwagon::site::server::{LoginMode, Store};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Kept {
    folders: Vec<String>,
    messages: Vec<Vec<u8>>,
    heard: Vec<String>,
}

/// Serves one account whose inbox holds all messages.
fn serve(offers: &'static str) -> (u16, Arc<Mutex<Kept>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let kept = Arc::new(Mutex::new(Kept { folders: vec!["INBOX".into(), "Entwürfe".into()], ..Kept::default() }));
    let shared = Arc::clone(&kept);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&shared);
            std::thread::spawn(move || talk(client, offers, &kept));
        }
    });
    (port, kept)
}

fn talk(mut client: TcpStream, offers: &str, kept: &Mutex<Kept>) {
    let _ = write!(client, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN ENABLE {offers}] here\r\n");
    let mut lines = BufReader::new(client.try_clone().unwrap());
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = String::from_utf8(line).unwrap().trim_end().to_owned();
        let (tag, command) = line.split_once(' ').unwrap();
        kept.lock().unwrap().heard.push(command.to_owned());
        let mut end = "OK done".to_owned();
        let mut out: Vec<u8> = Vec::new();
        if command.starts_with("ENABLE") {
            out.extend(b"* ENABLED UTF8=ACCEPT\r\n");
        } else if command.starts_with("LIST") {
            for folder in &kept.lock().unwrap().folders {
                out.extend(format!("* LIST () \"/\" \"{folder}\"\r\n").into_bytes());
            }
        } else if let Some(name) = command.strip_prefix("CREATE ") {
            kept.lock().unwrap().folders.push(name.trim_matches('"').to_owned());
        } else if let Some(rest) = command.strip_prefix("STATUS ") {
            let (name, count) = (rest.split('(').next().unwrap().trim(), count(name_of(rest), kept));
            out.extend(
                format!("* STATUS {name} (MESSAGES {count} UIDNEXT {} UIDVALIDITY 7)\r\n", count + 1).into_bytes(),
            );
        } else if command.starts_with("EXAMINE") || command.starts_with("SELECT") {
            let count = count(name_of(command), kept);
            out.extend(
                format!("* {count} EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT {}] x\r\n", count + 1)
                    .into_bytes(),
            );
        } else if command.starts_with("APPEND") {
            let size = command.trim_end_matches('}').rsplit_once('{').unwrap().1.parse().unwrap();
            client.write_all(b"+ go on\r\n").unwrap();
            let mut bytes = vec![0; size];
            lines.read_exact(&mut bytes).unwrap();
            let mut behind = String::new();
            lines.read_line(&mut behind).unwrap();
            let header = bytes.split(|&byte| byte == b'\r').next().unwrap();
            let announced = command.contains(" UTF8 (~{");
            assert_eq!(behind.trim_end(), if announced { ")" } else { "" }, "{command}");
            match header.is_ascii() || announced {
                true => kept.lock().unwrap().messages.push(bytes),
                false => end = "NO [CANNOT] a header beyond ASCII comes as UTF8".to_owned(),
            }
        } else if command.starts_with("UID FETCH") {
            let messages = kept.lock().unwrap().messages.clone();
            for (at, message) in messages.iter().enumerate() {
                let (uid, size) = (at + 1, message.len());
                let about =
                    format!("UID {uid} FLAGS () RFC822.SIZE {size} INTERNALDATE \"03-Feb-2001 03:05:06 +0000\"");
                out.extend(format!("* {uid} FETCH ({about}").into_bytes());
                for (asked, name) in [("BODY.PEEK[HEADER]", "BODY[HEADER]<0>"), ("BODY.PEEK[]", "BODY[]<0>")] {
                    if command.contains(asked) {
                        out.extend(format!(" {name} ~{{{size}}}\r\n").into_bytes());
                        out.extend(message);
                    }
                }
                out.extend(b")\r\n");
            }
        }
        out.extend(format!("{tag} {end}\r\n").into_bytes());
        if client.write_all(&out).is_err() {
            return;
        }
    }
}

/// The folder that a command names first.
fn name_of(command: &str) -> &str {
    command.split('"').nth(1).unwrap()
}

fn count(folder: &str, kept: &Mutex<Kept>) -> usize {
    if folder == "INBOX" { kept.lock().unwrap().messages.len() } else { 0 }
}

#[test]
fn a_server_that_speaks_utf8_gets_names_and_headers_as_they_are() {
    for offers in ["UTF8=ACCEPT", "UTF8=ONLY"] {
        let dir = tempfile::tempdir().unwrap();
        let (port, kept) = serve(offers);
        let store = store(port, dir.path(), login(LoginMode::Master, "master", "secret"));
        let folders: Vec<_> = store.mailbox(ANN).unwrap().folders.into_iter().map(|found| found.key).collect();
        assert_eq!(folders, [key("Entwürfe"), key("INBOX")]);
        assert!(put(&store, "Grün").created);
        assert!(kept.lock().unwrap().folders.contains(&"Grün".to_owned()));

        let utf8 = "Subject: grün\r\n\r\nbody\r\n".as_bytes();
        let latin1 = b"Subject: gr\xfcn\r\n\r\nbody\r\n";
        let batch = vec![delivery("utf8", utf8, "", &[]), delivery("latin1", latin1, "", &[])];
        let (outcomes, _) = store.deliver(ANN, &key("INBOX"), batch).unwrap();
        assert!(matches!(outcomes[0], Delivered::Done { .. }), "{outcomes:?}");
        let Delivered::Rejected(Reason::Refused(words)) = &outcomes[1] else { panic!("{outcomes:?}") };
        assert!(words.contains("beyond ASCII"), "{words}");
        let inbox = listing(&store, "INBOX", None);
        assert_eq!(inbox.items.len(), 1);
        assert_eq!(inbox.items.get(0).unwrap().name, "utf8");
        assert_eq!(bytes_of(&store, "INBOX", &inbox.items.get(0).unwrap()), (utf8.to_vec(), 981_169_506));
    }
}
