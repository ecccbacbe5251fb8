//! Answers that no well-behaved server gives, about comments (METADATA) and sizes (STATUS=SIZE): each costs at most what
//! it speaks of.

use super::{ANN, listing, login, store};
use stationwagon::site::imap::ImapStore;
use stationwagon::site::server::{LoginMode, Store};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// What a server says to a command: lines before its end, and the end.
type Answer = fn(&str) -> (String, &'static str);

/// A server with the folders INBOX and Work, whose answers to GETMETADATA and to STATUS for sizes are `odd`.
fn serving(odd: Answer, state: &tempfile::TempDir) -> ImapStore {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || talk(client, odd));
        }
    });
    store(port, state.path(), login(LoginMode::Master, "master", "secret"))
}

fn talk(mut client: TcpStream, odd: Answer) {
    let _ = write!(client, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN METADATA STATUS=SIZE] here\r\n");
    let lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
    for line in lines {
        let (tag, command) = line.split_once(' ').unwrap();
        let folder = command.split('"').nth(1).unwrap_or_default();
        let (out, end) = match command.split(' ').next().unwrap() {
            "LIST" => ("* LIST () \"/\" INBOX\r\n* LIST () \"/\" Work\r\n".to_owned(), "OK done"),
            "GETMETADATA" => odd(command),
            "STATUS" if command.ends_with("(SIZE)") => odd(command),
            "STATUS" => (format!("* STATUS \"{folder}\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7)\r\n"), "OK done"),
            "EXAMINE" => ("* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 1] x\r\n".to_owned(), "OK done"),
            _ => (String::new(), "OK done"),
        };
        if write!(client, "{out}{tag} {end}\r\n").is_err() {
            return;
        }
    }
}

/// Description and comment of the inbox, after a look at the whole account.
fn comments(odd: Answer) -> (Option<String>, Option<String>) {
    let state = tempfile::tempdir().unwrap();
    let store = serving(odd, &state);
    let mailbox = store.mailbox(ANN).unwrap();
    assert_eq!((mailbox.folders.len(), mailbox.rejected.len()), (2, 0));
    let folder = listing(&store, "INBOX", None).folder;
    (folder.description, folder.comment)
}

#[test]
fn comments_in_every_spelling_are_read_and_what_is_none_is_passed_over() {
    let some = |description: &str, comment: &str| {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        (text(description), text(comment))
    };
    let cases: [(Answer, _); 8] = [
        (
            |_| {
                (
                    "* METADATA INBOX (/shared/comment \"for \\\"all\\\"\" /private/comment {4}\r\nmine)\r\n".into(),
                    "OK done",
                )
            },
            some("for \"all\"", "mine"),
        ),
        (
            |_| ("* METADATA INBOX (/Shared/Comment ~{3}\r\nraw /private/comment NIL)\r\n".into(), "OK done"),
            some("raw", ""),
        ),
        // One entry an answer; entries that nobody asked for; one without its value; an empty one.
        (
            |_| {
                ("* METADATA INBOX (/shared/comment a)\r\n* METADATA INBOX (/private/comment b /private/filters/x y)\r\n".into(), "OK done")
            },
            some("a", "b"),
        ),
        (|_| ("* METADATA INBOX (/shared/comment \"\" /private/comment)\r\n".into(), "OK done"), some("", "")),
        // What a server says when an entry changes, without values (RFC 5464, section 4.4.2).
        (|_| ("* METADATA INBOX /shared/comment\r\n".into(), "OK done"), some("", "")),
        (|_| (String::new(), "NO [METADATA NOPRIVATE] not here"), some("", "")),
        (|_| (String::new(), "BAD what"), some("", "")),
        (
            |_| {
                (
                    format!("* METADATA INBOX (/shared/comment \"{}\" /private/comment b)\r\n", "x".repeat(5000)),
                    "OK [METADATA LONGENTRIES 5000] more",
                )
            },
            some("", "b"),
        ),
    ];
    for (number, (odd, wanted)) in cases.into_iter().enumerate() {
        assert_eq!(comments(odd), wanted, "case {number}");
    }
}

#[test]
fn sizes_are_told_only_where_every_folder_told_one() {
    let bytes = |odd: Answer| {
        let state = tempfile::tempdir().unwrap();
        serving(odd, &state).survey(ANN).unwrap().bytes
    };
    assert_eq!(bytes(|command| (format!("* STATUS {} (SIZE 21)\r\n", folder(command)), "OK done")), Some(42));
    let largest: Answer = |command| (format!("* STATUS {} (SIZE {})\r\n", folder(command), u64::MAX), "OK done");
    assert_eq!(bytes(largest), Some(u64::MAX), "a sum that no number holds is the largest there is");
    let none: [Answer; 5] = [
        |_| (String::new(), "NO not today"),
        |_| (String::new(), "OK nothing to tell"),
        |command| (format!("* STATUS {} (SIZE -1)\r\n", folder(command)), "OK done"),
        |command| (format!("* STATUS {} (SIZE 99999999999999999999999)\r\n", folder(command)), "OK done"),
        |command| match folder(command) {
            "Work" => (String::new(), "NO [SERVERBUG] no"),
            _ => ("* STATUS INBOX (SIZE 5)\r\n".to_owned(), "OK done"),
        },
    ];
    for (number, odd) in none.into_iter().enumerate() {
        assert_eq!(bytes(odd), None, "case {number}");
    }
}

fn folder(command: &str) -> &str {
    command.split('"').nth(1).unwrap()
}
