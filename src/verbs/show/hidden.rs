//! Takes secrets out of what is shown, unless they were asked for by name. Whether there is one stays visible; what it is
//! does not.

use crate::model::provisioning::{Attributes, Record, Secret};
use crate::model::setting::Setting;

/// What stands where a secret was.
pub const HIDDEN: &str = "(hidden)";

/// Whether passwords, their hashes and keys are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Secrets {
    #[default]
    Hidden,
    /// As the archive has them: somebody asked for that by name.
    Shown,
}

impl Secrets {
    pub(super) fn of_record(self, stored: &Record) -> Record {
        match self {
            Self::Hidden => record(stored),
            Self::Shown => stored.clone(),
        }
    }

    pub(super) fn of_setting(self, stored: &Setting) -> Setting {
        match self {
            Self::Hidden => setting(stored),
            Self::Shown => stored.clone(),
        }
    }
}

/// Parts of attribute names that mean a secret on the systems we know.
const SECRET_NAMES: &[&str] =
    &["password", "passwd", "passphrase", "secret", "token", "privatekey", "preauthkey", "apikey", "credential"];

fn secret(secret: &mut Option<Secret>) {
    if secret.is_some() {
        *secret = Some(Secret::new(HIDDEN));
    }
}

/// What stands before a dot says where an attribute comes from (`passwd.home`), not what it is.
fn plain(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_lowercase().replace(['-', '_'], "")
}

/// `pass` alone is what Dovecot calls the password of a proxied login.
fn is_secret(plain: &str) -> bool {
    plain == "pass" || plain.ends_with("masterpass") || SECRET_NAMES.iter().any(|word| plain.contains(word))
}

fn attributes(attributes: &mut Attributes) {
    for (name, value) in attributes {
        let plain = plain(name);
        if is_secret(&plain) {
            *value = HIDDEN.to_owned();
        } else if plain == "extra" {
            *value = fields(value);
        }
    }
}

/// The extra fields of a passwd line, `key=value` with spaces between, without the values of those that are secrets. A
/// space that belongs to a value has a backslash before it.
fn fields(extra: &str) -> String {
    let (mut shown, mut hiding) = (Vec::new(), false);
    for word in extra.split(' ') {
        let belongs_to_the_last = std::mem::take(&mut hiding);
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        if belongs_to_the_last {
            hiding = word.ends_with('\\');
        } else if !value.is_empty() && is_secret(&plain(key)) {
            shown.push(format!("{key}={HIDDEN}"));
            hiding = word.ends_with('\\');
        } else {
            shown.push(word.to_owned());
        }
    }
    shown.join(" ")
}

/// The record without its secrets.
pub fn record(record: &Record) -> Record {
    let mut record = record.clone();
    match &mut record {
        Record::Settings(settings) => attributes(&mut settings.attributes),
        Record::Domain(domain) => attributes(&mut domain.attributes),
        Record::Cos(cos) => attributes(&mut cos.attributes),
        Record::Account(account) => {
            secret(&mut account.password);
            attributes(&mut account.attributes);
        }
        Record::List(list) => attributes(&mut list.attributes),
        Record::Alias(_) => {}
    }
    record
}

/// The setting without its secrets.
pub fn setting(setting: &Setting) -> Setting {
    let mut setting = setting.clone();
    match &mut setting {
        Setting::ExternalSource { password, attributes: named, .. } => {
            secret(password);
            attributes(named);
        }
        Setting::Identity { attributes: named, .. } | Setting::Vacation { attributes: named, .. } => attributes(named),
        Setting::Preference { name, value } => {
            let mut named = Attributes::from_iter([(name.clone(), std::mem::take(value))]);
            attributes(&mut named);
            *value = named.remove(name).unwrap_or_default();
        }
        Setting::Signature { .. }
        | Setting::Forwarding { .. }
        | Setting::Tag { .. }
        | Setting::Mountpoint { .. }
        | Setting::Subscription { .. } => {}
    }
    setting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::provisioning::SiteSettings;

    #[test]
    fn extra_fields_of_a_passwd_line_are_shown_without_their_secrets() {
        let shown = fields(r"proxy=y pass=one\ two userdb_mail=~/M userdb_imapc_password=three auth_bind=no x\ pass=y");
        assert_eq!(
            shown,
            r"proxy=y pass=(hidden) userdb_mail=~/M userdb_imapc_password=(hidden) auth_bind=no x\ pass=(hidden)"
        );
    }

    #[test]
    fn what_is_called_a_secret_is_hidden_wherever_it_stands() {
        let named =
            [("ldap_root_password", "x"), ("zimbraPreAuthKey", "y"), ("hostname", "mail"), ("passwd.home", "/home")];
        let named = named.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let shown = record(&Record::Settings(SiteSettings { name: "server".to_owned(), attributes: named }));
        let Record::Settings(settings) = shown else { panic!("another kind") };
        let values: Vec<_> = settings.attributes.values().map(String::as_str).collect();
        assert_eq!(values, ["mail", HIDDEN, "/home", HIDDEN]);
    }
}
