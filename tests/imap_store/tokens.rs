//! Bearer tokens that a server refuses before their time.

use super::{ANN, login, store};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use stationwagon::model::provisioning::Secret;
use stationwagon::site::server::{Login, LoginMode, Store, Token};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A server with an inbox that lets in whoever shows the second token; what it was shown goes to `shown`.
fn talk(mut client: TcpStream, shown: &AtomicU32) {
    let _ = write!(client, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER] here\r\n");
    let lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
    for line in lines {
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        let (out, end) = match command.split(' ').next().unwrap_or_default() {
            "AUTHENTICATE" => {
                shown.fetch_add(1, Ordering::Relaxed);
                let text = BASE64_STANDARD.decode(command.split(' ').nth(2).unwrap()).unwrap();
                let good = String::from_utf8(text).unwrap().contains("auth=Bearer token-1\x01");
                ("", if good { "OK come in" } else { "NO [AUTHENTICATIONFAILED] this token has expired" })
            }
            "LIST" => ("* LIST () \"/\" INBOX\r\n", "OK done"),
            "STATUS" => ("* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7)\r\n", "OK done"),
            "EXAMINE" => ("* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 1] x\r\n", "OK done"),
            _ => ("", "OK done"),
        };
        if write!(client, "{out}{tag} {end}\r\n").is_err() {
            return;
        }
    }
}

/// What comes of a look at ann's account with a token that was fetched so long ago, and how many tokens were shown.
fn looked(ago: Duration) -> (Result<usize, String>, u32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let shown = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&shown);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let shown = Arc::clone(&shown);
            std::thread::spawn(move || talk(client, &shown));
        }
    });
    let fetched = AtomicU32::new(0);
    let fetch = move || Ok(Secret::new(format!("token-{}", fetched.fetch_add(1, Ordering::Relaxed))));
    let token = Token::new(fetch, Instant::now().checked_sub(ago).unwrap()).unwrap();
    let login = Login { secret: None, token: Some(Arc::new(token)), ..login(LoginMode::OAuth2, "", "") };
    let state = tempfile::tempdir().unwrap();
    let mailbox = store(port, state.path(), login).mailbox(ANN);
    (mailbox.map(|mailbox| mailbox.folders.len()).map_err(|error| error.to_string()), seen.load(Ordering::Relaxed))
}

#[test]
fn a_token_that_is_refused_before_its_time_is_fetched_anew() {
    assert_eq!(looked(Duration::from_secs(60)), (Ok(1), 2));
}

#[test]
fn one_that_is_refused_at_once_is_told_in_the_servers_words() {
    let (outcome, shown) = looked(Duration::ZERO);
    let error = outcome.unwrap_err();
    assert!(error.contains("does not let ann@a.test in") && error.contains("this token has expired"), "{error}");
    assert_eq!(shown, 1);
}
