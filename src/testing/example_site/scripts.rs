//! Sieve scripts: several an account, one of them active through the link `.dovecot.sieve`.

use super::people::{CLARA, EMIL, FRIDA, OHARA, folder_of};
use super::tree::Tree;
use crate::site::SiteError;

/// The Sieve script that files mail whose subject has `[list]` into `Lists/Team`; the Dovecot test delivers to it.
const CLARA_FILTER: &str = r#"require ["fileinto", "mailbox", "imap4flags"];
# mail of the list
if header :contains "X-Original-To" "team@station.example" {
    fileinto :create "Lists/Team";
    stop;
}
if header :contains "Subject" "[list]" {
    addflag "\\Flagged";
    fileinto "Lists/Team";
    stop;
}
"#;

const CLARA_HOLIDAY: &str = r#"require ["vacation"];
vacation :days 7 :subject "Away until Monday" "I read this on Monday. Bert has the keys.";
"#;

const EMIL_REDIRECT: &str = r#"require ["copy", "fileinto"];
# copies to people whose addresses may change on the way
redirect :copy "clara@station.example";
if address :is "from" "news@elsewhere.example" { discard; }
"#;

const FRIDA_PHOTOS: &str =
    "require [\"fileinto\"];\r\nif header :contains \"subject\" \"photo\" { fileinto \"Photos\"; }\r\n";

/// Writes scripts and links.
pub fn write(tree: &Tree<'_>, time: i64) -> Result<(), SiteError> {
    let script = |account, name: &str, text: &str| {
        tree.file(&format!("mail/{}/sieve/{name}.sieve", folder_of(account)), text, time)
    };
    let active = |account, name: &str| {
        tree.link(&format!("sieve/{name}.sieve"), &format!("mail/{}/.dovecot.sieve", folder_of(account)))
    };
    script(CLARA, "filter", CLARA_FILTER)?;
    script(CLARA, "holiday", CLARA_HOLIDAY)?;
    script(CLARA, "old rules", "keep;\n")?;
    active(CLARA, "filter")?;
    script(EMIL, "managesieve", EMIL_REDIRECT)?;
    active(EMIL, "managesieve")?;
    script(FRIDA, "photos", FRIDA_PHOTOS)?;
    active(FRIDA, "photos")?;
    // One that nobody has activated, and that does not compile.
    script(OHARA, "draft", "if header { keep\n")
}

/// Clara's holiday ends: another script of hers becomes active, and its text changes.
pub fn switch_script(tree: &Tree<'_>, time: i64) -> Result<(), SiteError> {
    let home = format!("mail/{}", folder_of(CLARA));
    tree.edit(&format!("{home}/sieve/filter.sieve"), time, |text| format!("{text}# reviewed\n"))?;
    tree.file(&format!("{home}/sieve/old rules.sieve"), "# replaced by filter\nkeep;\n", time)
}
