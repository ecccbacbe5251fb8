//! Delivers mail over LMTP (RFC 2033) and SMTP, one recipient a message.

use super::Lines;

/// Delivers; the error is the line that refuses.
pub fn deliver(port: u16, from: &str, to: &str, message: &str) -> Result<(), String> {
    transaction(port, "LHLO", from, to, message).map(drop)
}

/// One transaction of SMTP (`hello` is `EHLO`) or LMTP; returns how the server confirms that it has the message.
pub fn transaction(port: u16, hello: &str, from: &str, to: &str, message: &str) -> Result<String, String> {
    let mut lines = Lines::connect(port);
    expect(&mut lines, "220")?;
    for (command, answer) in [
        (format!("{hello} test.example"), "250"),
        (format!("MAIL FROM:<{from}>"), "250"),
        (format!("RCPT TO:<{to}>"), "250"),
        ("DATA".to_owned(), "354"),
    ] {
        lines.send(format!("{command}\r\n").as_bytes());
        expect(&mut lines, answer)?;
    }
    let stuffed: String = message
        .lines()
        .map(|line| if line.starts_with('.') { format!(".{line}\r\n") } else { format!("{line}\r\n") })
        .collect();
    lines.send(format!("{stuffed}.\r\n").as_bytes());
    let confirmed = expect(&mut lines, "250")?;
    lines.send(b"QUIT\r\n");
    expect(&mut lines, "221")?;
    Ok(confirmed)
}

/// Reads one answer, which may have several lines (`250-…`); returns its last.
fn expect(lines: &mut Lines, status: &str) -> Result<String, String> {
    loop {
        let line = String::from_utf8_lossy(&lines.line()).into_owned();
        match line.strip_prefix(status) {
            Some(rest) if rest.starts_with('-') => {}
            Some(_) => return Ok(line),
            None => return Err(line),
        }
    }
}
