//! The configuration with which a stock Dovecot 2.3 and a stock Postfix serve a directory site as it stands.
//!
//! Each unusual line answers a trap that was met on a real server; docs/serving.md tells them.
//! The site's own data stay in the site; the servers' state is theirs. [`ServeOptions::of_site`] alone looks at files.

use super::target::SHARED_DICT;
use super::{io_error, layout, site_db, site_db_write};
use crate::fs::Fs;
use crate::limits::CONTROL_FILE_BYTES;
use crate::model::mailbox::SpecialUse;
use crate::site::SiteError;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// What the configuration depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServeOptions {
    /// Whose the mail is: user and group id. Dovecot never serves as root.
    pub owner: (u32, u32),
    /// Further folders with a special use: path and use, beside the five that have their usual names.
    pub special_uses: Vec<(String, SpecialUse)>,
    /// Storage limit of accounts that have none of their own, as Dovecot spells it (`5G`); `None`: unlimited.
    pub default_quota: Option<String>,
    /// Where Dovecot takes mail from Postfix.
    pub lmtp: SocketAddr,
    /// Whether `user+anything@domain` is mail for `user@domain`, as both servers are used to have it. Not where an
    /// account has a `+` in its name: its mail would go to another.
    pub plus_details: bool,
    /// Which of Postfix's maps the site does not have, by their path in it. A map that is named and missing stops Postfix.
    pub missing_maps: Vec<&'static str>,
}

/// LMTP on this machine alone, at its registered port. An Internet socket rather than a Unix one, because that would
/// need Postfix's user and folders to be there before Dovecot starts.
pub const LMTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 24);

impl ServeOptions {
    /// Options for the site at `root` as it is: its owner, and the special uses that its database names, the most
    /// frequent first.
    pub fn of_site(fs: &dyn Fs, root: &Path) -> Result<Self, SiteError> {
        let mail = root.join(layout::MAIL);
        let stat = fs.stat(&mail).map_err(io_error("look at", &mail))?;
        let path = root.join(site_db::FILE);
        let special_uses = match fs.stat(&path) {
            Ok(_) => site_db_write::special_uses(&path).map_err(|source| SiteError::Database { path, source })?,
            Err(_) => Vec::new(),
        };
        let plus_details = !account_has_plus(fs, &root.join(layout::PASSWD))?;
        let maps = [layout::VIRTUAL_DOMAINS, layout::VIRTUAL_MAILBOX, layout::VIRTUAL_ALIAS];
        let missing_maps = maps.into_iter().filter(|name| fs.stat(&root.join(name)).is_err()).collect();
        Ok(Self {
            owner: (stat.uid, stat.gid),
            special_uses,
            default_quota: None,
            lmtp: LMTP,
            plus_details,
            missing_maps,
        })
    }
}

fn account_has_plus(fs: &dyn Fs, passwd: &Path) -> Result<bool, SiteError> {
    let Ok(_) = fs.stat(passwd) else { return Ok(false) };
    let bytes = fs.read(passwd, CONTROL_FILE_BYTES).map_err(io_error("read", passwd))?;
    let user =
        |line: &[u8]| Some(line.split(|&byte| byte == b':').next()?.split(|&byte| byte == b'@').next()?.to_vec());
    let has_plus = |line: &[u8]| !line.starts_with(b"#") && user(line).is_some_and(|user| user.contains(&b'+'));
    Ok(bytes.split(|&byte| byte == b'\n').any(has_plus))
}

/// The folders that have a special use by their name alone.
const USUAL: [(&str, SpecialUse); 5] = [
    ("Drafts", SpecialUse::Drafts),
    ("Sent", SpecialUse::Sent),
    ("Junk", SpecialUse::Junk),
    ("Trash", SpecialUse::Trash),
    ("Archive", SpecialUse::Archive),
];

/// A `dovecot.conf` for the site at `root` (absolute): IMAP, LMTP and ManageSieve, ports and TLS as the system has them.
pub fn dovecot_conf(root: &Path, options: &ServeOptions) -> String {
    let (root, (uid, gid)) = (root.display(), options.owner);
    let quota = options.default_quota.as_deref().unwrap_or("0");
    let root_note =
        if uid == 0 { "  # Dovecot refuses to serve as root: give the site to another user first.\n" } else { "" };
    let mailboxes = mailboxes(&options.special_uses);
    let delimiter = delimiter(options);
    let (lmtp_address, lmtp_port) = (options.lmtp.ip(), options.lmtp.port());
    format!(
        r#"# Serves the mail site in {root}. Certificates and ports: add yours.
protocols = imap lmtp sieve
auth_mechanisms = plain login
# Dovecot's own list lacks ' and +, which real addresses have.
auth_username_chars = abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@'+

passdb {{
  driver = passwd-file
  args = username_format=%u {root}/etc/passwd
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {root}/etc/passwd
  # The columns of the old site's lines (uid, gid, home) mean nothing here.
{root_note}  override_fields = uid={uid} gid={gid} home={root}/mail/%d/%n
}}
{delimiter}first_valid_uid = 1
first_valid_gid = 1

mail_location = maildir:~/Maildir
mail_plugins = acl quota
mail_attribute_dict = file:%h/Maildir/dovecot-attributes

namespace inbox {{
  inbox = yes
  separator = /
{mailboxes}}}
namespace shared {{
  type = shared
  separator = /
  prefix = shared/%%u/
  location = maildir:%%h/Maildir:INDEXPVT={root}/mail/%d/%n/seen-in-shared/%%u
  subscriptions = no
  list = children
}}

plugin {{
  acl = vfile
  acl_anyone = allow
  # Which owners share with whom: without it a shared folder opens, but is not listed. wagon keeps it.
  acl_shared_dict = file:{root}/{SHARED_DICT}
  quota = count:User quota
  quota_rule = *:storage={quota}
  quota_vsizes = yes
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
protocol imap {{
  mail_plugins = $mail_plugins imap_acl imap_quota
  imap_metadata = yes
}}
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
}}
service lmtp {{
  # Where Postfix delivers (virtual_transport).
  inet_listener lmtp {{
    address = {lmtp_address}
    port = {lmtp_port}
  }}
}}
service auth {{
  # Reads etc/passwd, which only its owner may.
  user = root
  # Any mail user may look others up; with a stricter mode shared folders fail.
  unix_listener auth-userdb {{
    mode = 0777
  }}
}}
"#
    )
}

/// Lines for Postfix's `main.cf`. Text maps: no `postmap` after a change, `postfix reload` is enough.
pub fn postfix_conf(root: &Path, options: &ServeOptions) -> String {
    let (port, delimiter) = (options.lmtp.port(), delimiter(options));
    let host = match options.lmtp.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let map = |setting: &str, name: &'static str| {
        let path = root.join(name);
        match options.missing_maps.contains(&name) {
            false => format!("{setting} = texthash:{}\n", path.display()),
            true => format!("# {setting}: {} is missing; an import into the site writes it\n", path.display()),
        }
    };
    [
        format!(
            "# Takes mail for the site in {} and hands it to Dovecot. None of its domains may stand in mydestination.\n\
             # After each import: postfix reload.\n",
            root.display()
        ),
        map("virtual_mailbox_domains", layout::VIRTUAL_DOMAINS),
        "# Without this map mail for unknown addresses is taken, and sent back to whom the sender pretends to be.\n"
            .to_owned(),
        map("virtual_mailbox_maps", layout::VIRTUAL_MAILBOX),
        map("virtual_alias_maps", layout::VIRTUAL_ALIAS),
        format!("virtual_transport = lmtp:inet:{host}:{port}\n{delimiter}"),
    ]
    .concat()
}

/// The line about details in addresses, which both servers spell alike and have to agree on.
fn delimiter(options: &ServeOptions) -> &'static str {
    if options.plus_details {
        "# Mail for user+anything@domain is mail for user@domain.\nrecipient_delimiter = +\n"
    } else {
        "# An account has a + in its name, so what stands behind a + is no detail here.\nrecipient_delimiter =\n"
    }
}

/// The `mailbox` blocks of the namespace. Dovecot knows special uses by path for all users at once, so of several uses
/// that accounts give one path the first named counts.
fn mailboxes(special_uses: &[(String, SpecialUse)]) -> String {
    let mut out = String::new();
    let mut seen = std::collections::BTreeSet::new();
    let usual = USUAL.iter().map(|&(path, special_use)| (path, special_use));
    for (path, special_use) in usual.chain(special_uses.iter().map(|(path, each)| (path.as_str(), *each))) {
        // A name in quotes: what would end them, or be taken for a variable's line end, cannot be configured.
        if path.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) || !seen.insert(path.to_owned()) {
            continue;
        }
        let name = flag(special_use);
        out.push_str(&format!("  mailbox \"{path}\" {{\n    special_use = \\{name}\n  }}\n"));
    }
    out
}

/// The attribute of RFC 6154 and RFC 8457, without its backslash.
fn flag(special_use: SpecialUse) -> &'static str {
    match special_use {
        SpecialUse::All => "All",
        SpecialUse::Archive => "Archive",
        SpecialUse::Drafts => "Drafts",
        SpecialUse::Flagged => "Flagged",
        SpecialUse::Important => "Important",
        SpecialUse::Junk => "Junk",
        SpecialUse::Sent => "Sent",
        SpecialUse::Trash => "Trash",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_use_has_one_block_and_a_hostile_path_has_none() {
        let own = |path: &str, special_use| (path.to_owned(), special_use);
        let text = mailboxes(&[
            own("Gesendete Objekte", SpecialUse::Sent),
            own("Sent", SpecialUse::Junk),
            own("a\"\n}", SpecialUse::Trash),
        ]);
        assert_eq!(text.matches("mailbox \"").count(), 6);
        assert!(text.contains("  mailbox \"Gesendete Objekte\" {\n    special_use = \\Sent\n  }\n"), "{text}");
        assert!(!text.contains("\\Junk\n  }\n  mailbox \"Sent\""));
    }

    fn plain() -> ServeOptions {
        ServeOptions {
            owner: (5000, 5001),
            special_uses: vec![],
            default_quota: None,
            lmtp: LMTP,
            plus_details: true,
            missing_maps: vec![],
        }
    }

    #[test]
    fn the_site_is_named_by_its_absolute_path_everywhere() {
        let options = plain();
        let conf = dovecot_conf(Path::new("/srv/vmail"), &options);
        assert!(conf.contains("override_fields = uid=5000 gid=5001 home=/srv/vmail/mail/%d/%n"));
        assert!(conf.contains("acl_shared_dict = file:/srv/vmail/etc/acl/shared-mailboxes"));
        assert!(conf.contains("prefix = shared/%%u/") && conf.contains("quota_rule = *:storage=0"));
        assert!(conf.contains("address = 127.0.0.1\n    port = 24"));
    }

    #[test]
    fn postfix_reads_the_sites_maps_and_delivers_where_dovecot_listens() {
        let options = plain();
        let text = postfix_conf(Path::new("/srv/vmail"), &options);
        assert!(text.contains("texthash:/srv/vmail/etc/virtual_alias"), "{text}");
        assert!(text.contains("virtual_transport = lmtp:inet:127.0.0.1:24\n"), "{text}");
        assert!(text.contains("recipient_delimiter = +\n"), "{text}");
        let missing_maps = vec![layout::VIRTUAL_MAILBOX];
        let lmtp = "[::1]:2424".parse().unwrap();
        let options = ServeOptions { lmtp, plus_details: false, missing_maps, ..options };
        let text = postfix_conf(Path::new("/srv/vmail"), &options);
        assert!(text.contains("virtual_transport = lmtp:inet:[::1]:2424\n"), "{text}");
        assert!(text.contains("recipient_delimiter =\n"), "{text}");
        assert!(text.contains("# virtual_mailbox_maps: /srv/vmail/etc/virtual_mailbox is missing"), "{text}");
    }
}
