//! Messages that are not as they should be, as real mailboxes have them: the files of `fixtures/oddities/`, whose
//! README says what is odd about each. Each is kept byte for byte, whatever it is.

macro_rules! fixtures {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../../fixtures/oddities/", $name, ".eml")).as_slice())),*]
    };
}

/// Name and bytes of each, in the order of their dates. `tests/fixtures.rs` holds that none is forgotten.
pub const ALL: [(&str, &[u8]); 19] = fixtures![
    "empty" "no-body" "no-header" "eight-bit" "nul-and-bare-cr" "broken-header-lines" "never-closed"
    "same-boundary-inside" "uneven-base64" "narrow-base64" "crlf" "long-line" "trace-in-between" "mbox-line"
    "empty-parts" "boundary-with-spaces" "nested-base64-message" "mixed-line-ends" "no-boundary-parameter"
];
