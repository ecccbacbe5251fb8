//! Delivers mail over LMTP (RFC 2033), one recipient a message.

use super::Lines;

/// Delivers; the error is the line that refuses.
pub fn deliver(port: u16, from: &str, to: &str, message: &str) -> Result<(), String> {
    let mut lines = Lines::connect(port);
    expect(&mut lines, "220")?;
    for (command, answer) in [
        ("LHLO test.example".to_owned(), "250"),
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
    expect(&mut lines, "250")?;
    lines.send(b"QUIT\r\n");
    expect(&mut lines, "221")
}

/// Reads one answer, which may have several lines (`250-…`).
fn expect(lines: &mut Lines, status: &str) -> Result<(), String> {
    loop {
        let line = String::from_utf8_lossy(&lines.line()).into_owned();
        match line.strip_prefix(status) {
            Some(rest) if rest.starts_with('-') => {}
            Some(_) => return Ok(()),
            None => return Err(line),
        }
    }
}
