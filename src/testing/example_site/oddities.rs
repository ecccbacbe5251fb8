//! Messages that are not as they should be, as real mailboxes have them. Each is kept byte for byte, whatever it is.

use super::dice::Dice;
use super::letter::base64_lines;

/// All of them, in the order of their dates.
pub fn all() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"Subject: no body, no empty line, no last line end".to_vec(),
        b"\nno header at all\n".to_vec(),
        b"Subject: eight bits\nFrom: J\xfcrgen <j@elsewhere.example>\n\nGr\xfc\xdfe aus M\xfcnchen \x80\xff\n".to_vec(),
        b"Subject: NUL and bare CR\n\nbefore\0after\rand\r\nmixed\nline\r\nends\n".to_vec(),
        b"Subject: not a header\nthis line has no colon\n: empty name\nX Y: space in name\n\nbody\n".to_vec(),
        never_closed(),
        one_boundary_for_two(),
        uneven_base64(),
        base64_of_width(60),
        crlf(),
        long_line(),
        b"Received: from a\nX: 1\nReceived: from b\nSubject: trace in between\nReturn-Path: <>\n\nbody\n".to_vec(),
        b"From someone@elsewhere.example Mon Mar  4 08:00:00 2024\nSubject: mbox line on top\n\n>From here\n".to_vec(),
        empty_parts(),
    ]
}

fn never_closed() -> Vec<u8> {
    let mut raw = b"Subject: never closed\nContent-Type: multipart/mixed; boundary=\"open\"\n\n--open\n".to_vec();
    raw.extend_from_slice(b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n");
    raw.extend_from_slice(base64_lines(&Dice::of("zip").bytes(3000), 76, "\n").as_bytes());
    raw
}

fn one_boundary_for_two() -> Vec<u8> {
    let text = "Subject: the same boundary inside\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: \
                multipart/alternative; boundary=b\n\n--b\n\ninner\n--b--\nafter the inner\n--b\nagain\n--b--\n";
    text.as_bytes().to_vec()
}

/// Decodes, but encoding it again gives other bytes: a stray space, a short line, digits after the padding.
fn uneven_base64() -> Vec<u8> {
    let mut raw = b"Subject: uneven base64\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n".to_vec();
    let digits = base64_lines(&Dice::of("png").bytes(2400), 76, "\n");
    let (start, rest) = digits.split_at(500);
    raw.extend_from_slice(start.as_bytes());
    raw.extend_from_slice(b" \n");
    raw.extend_from_slice(rest.as_bytes());
    raw.extend_from_slice(b"QUJD====\n-- \nsent from my telegraph\n");
    raw
}

fn base64_of_width(width: usize) -> Vec<u8> {
    let mut raw = b"Subject: narrow base64, no last line end\nContent-Type: application/pdf\n".to_vec();
    raw.extend_from_slice(b"Content-Transfer-Encoding: BASE64\n\n");
    raw.extend_from_slice(base64_lines(&Dice::of("narrow").bytes(4000), width, "\n").trim_end().as_bytes());
    raw
}

fn crlf() -> Vec<u8> {
    let mut raw = "Subject: CRLF\r\nContent-Type: multipart/mixed; boundary=\"c\"\r\n\r\n--c\r\nContent-Type: \
                   application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .as_bytes()
        .to_vec();
    raw.extend_from_slice(base64_lines(&Dice::of("crlf").bytes(2000), 76, "\r\n").as_bytes());
    raw.extend_from_slice(b"--c--\r\n");
    raw
}

fn long_line() -> Vec<u8> {
    format!("Subject: one long line\nX-Long: {}\n\n{}", "header ".repeat(700), "words and ".repeat(2000)).into_bytes()
}

fn empty_parts() -> Vec<u8> {
    let text = "Subject: parts without anything\nContent-Type: multipart/mixed; boundary=\"e\"\n\n--e\n--e\n\n--e\n\
                Content-Transfer-Encoding: base64\n\n--e--\n--e--\ntrailing\n";
    text.as_bytes().to_vec()
}
