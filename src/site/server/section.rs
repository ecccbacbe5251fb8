//! A section of a site description that names a server: where it is, how one logs in, and whom its connections trust.

use super::LoginMode;
use super::description::{Domain, IMAP, Logins, MANAGESIEVE, Server};
use super::raw::{Place, RawServer, Tls};
use crate::limits;
use crate::net::{Endpoint, Pin, TlsPolicy};
use crate::site::SiteError;
use std::net::{IpAddr, SocketAddr};
use toml::Spanned;

/// What a section says of its server; `first` is how one logs in to the section before it.
pub(super) fn server(
    place: &Place<'_>,
    (section, key): (&'static str, &'static str),
    raw: Spanned<RawServer>,
    above: &Tls,
    connections: Option<usize>,
    first: Option<&Logins>,
) -> Result<Server, SiteError> {
    let at = raw.span().start;
    let raw = raw.into_inner();
    let urls = [("imap", &raw.imap), ("managesieve", &raw.managesieve), ("dav", &raw.dav)];
    if let Some((other, Some(url))) = urls.into_iter().find(|(name, url)| *name != key && url.is_some()) {
        return Err(place.wrong(
            url,
            &format!("{section}.{other}"),
            format!("has no place here; [{section}] takes {key}"),
        ));
    }
    let Some((_, Some(url))) = urls.into_iter().find(|(name, _)| *name == key) else {
        return Err(place.error(at, &format!("{section}.{key}"), "is missing; it is the URL of the server"));
    };
    let (tls, insecure) = policy(place, section, &raw.tls(), above)?;
    let name = format!("{section}.{key}");
    let domain = domain(place, section, url, raw.dns.as_ref(), insecure)?;
    if domain.is_none() {
        check_url(place, &name, url, insecure)?;
    }
    let login = match (raw.says_how_to_log_in(), first) {
        (false, Some(first)) => first.clone(),
        _ => logins(place, section, at, &raw)?,
    };
    let max_connections = match &raw.max_connections {
        Some(number) => place.connections(number, &format!("{section}.max_connections"))?,
        None => connections.unwrap_or(limits::SERVER_CONNECTIONS),
    };
    let elsewhere = |name: &str| format!("{section}.{name}");
    if key != "dav" {
        let no_place = "has no place here; it is for [groupware]";
        if let Some(principal) = &raw.principal {
            return Err(place.wrong(principal, &elsewhere("principal"), no_place));
        }
        if let Some(scheduling) = &raw.scheduling {
            return Err(place.wrong(scheduling, &elsewhere("scheduling"), no_place));
        }
    }
    if let Some(quotas) = raw.quotas.as_ref().filter(|_| key != "imap") {
        return Err(place.wrong(quotas, &elsewhere("quotas"), "has no place here; it is for [mail]"));
    }
    let quotas = raw.quotas.as_ref().is_some_and(|quotas| *quotas.get_ref());
    let principal = raw.principal.as_ref().map(|principal| principal.get_ref().clone());
    let scheduling_is_off = raw.scheduling.is_some();
    let url = domain.as_ref().map_or_else(|| url.get_ref().clone(), |domain| format!("https://{}/", domain.name));
    Ok(Server { section, url, domain, login, tls, insecure, max_connections, principal, scheduling_is_off, quotas })
}

/// The domain that stands in place of a DAV server's URL, if one does.
fn domain(
    place: &Place<'_>,
    section: &str,
    url: &Spanned<String>,
    dns: Option<&Spanned<String>>,
    insecure: bool,
) -> Result<Option<Domain>, SiteError> {
    let text = url.get_ref();
    let is_name = section == "groupware" && !text.is_empty() && !text.contains([':', '/', '@', '?', '#', '[']);
    let key = |key: &str| format!("{section}.{key}");
    if !is_name {
        return match dns {
            Some(dns) => {
                Err(place.wrong(dns, &key("dns"), "is for a dav that names a domain, and this one names none"))
            }
            None => Ok(None),
        };
    }
    let Ok(url::Host::Domain(name)) = url::Host::parse(text) else {
        return Err(place.wrong(url, &key("dav"), "is neither an https:// URL nor a domain"));
    };
    if insecure {
        let what = "is a domain, whose server only TLS proves, and that is switched off; write a URL";
        return Err(place.wrong(url, &key("dav"), what));
    }
    let nameserver = dns.map(|dns| {
        let text = dns.get_ref();
        let address = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
        address.map_err(|_| {
            place.wrong(dns, &key("dns"), "is no address of a nameserver, as 192.0.2.53 or 127.0.0.1:5353")
        })
    });
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    Ok(Some(Domain { name, nameserver: nameserver.transpose()? }))
}

fn check_url(place: &Place<'_>, name: &str, url: &Spanned<String>, insecure: bool) -> Result<(), SiteError> {
    let text = url.get_ref();
    let schemes = match name {
        "mail.imap" => IMAP,
        "filters.managesieve" => MANAGESIEVE,
        _ => {
            let parsed = url::Url::parse(text).ok().filter(|parsed| parsed.has_host());
            return match parsed {
                Some(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
                    Err(place.wrong(url, name, "names a user or a password, which have keys of their own"))
                }
                Some(parsed) if parsed.scheme() == "https" => Ok(()),
                Some(parsed) if parsed.scheme() == "http" && insecure => Ok(()),
                Some(parsed) if parsed.scheme() == "http" => {
                    Err(place.wrong(url, name, "is not encrypted; only with insecure = true, or better with https://"))
                }
                _ => Err(place.wrong(url, name, "is neither an https:// URL nor a domain")),
            };
        }
    };
    Endpoint::parse(text, schemes).map(drop).map_err(|error| place.wrong(url, name, &error))
}

fn logins(place: &Place<'_>, section: &str, at: usize, raw: &RawServer) -> Result<Logins, SiteError> {
    let key = |name: &str| format!("{section}.{name}");
    let Some(login) = &raw.login else {
        return Err(place.error(at, &key("login"), "is missing; it is master, proxy, oauth2 or own"));
    };
    let mode = *login.get_ref();
    match mode {
        LoginMode::Master | LoginMode::Proxy if raw.user.is_none() || raw.password.is_none() => {
            return Err(place.wrong(login, &key("login"), "needs a user and his password"));
        }
        LoginMode::OAuth2 if raw.password.is_none() && raw.passwords.is_none() => {
            return Err(place.wrong(
                login,
                &key("login"),
                "needs a token (password = …) or tokens of the accounts (passwords = \"FILE\")",
            ));
        }
        LoginMode::Own if raw.password.is_some() => {
            return Err(place.wrong(login, &key("login"), "takes the passwords of the accounts, not one for all"));
        }
        _ => {}
    }
    Ok(Logins {
        mode,
        user: raw.user.clone().unwrap_or_default(),
        separator: raw.separator.clone().unwrap_or_else(|| "*".to_owned()),
        password: raw.password.clone().map(|key| key.0),
        passwords: raw.passwords.as_ref().map(|file| place.beside().join(file)),
    })
}

/// Whom connections of a section trust; what it does not say stands above all sections.
pub(super) fn policy(place: &Place<'_>, section: &str, own: &Tls, above: &Tls) -> Result<(TlsPolicy, bool), SiteError> {
    let (tls, prefix) = if own.is_empty() { (above, String::new()) } else { (own, format!("{section}.")) };
    let insecure = tls.insecure.as_ref().filter(|insecure| *insecure.get_ref());
    match (&tls.tls_ca, &tls.pin, insecure) {
        (Some(_), Some(pin), _) => Err(place.wrong(pin, &format!("{prefix}pin"), "and tls_ca exclude each other")),
        (Some(_), _, Some(insecure)) | (_, Some(_), Some(insecure)) => {
            Err(place.wrong(insecure, &format!("{prefix}insecure"), "excludes tls_ca and pin, which say whom to trust"))
        }
        (None, None, Some(_)) => Ok((TlsPolicy::Insecure, true)),
        (Some(roots), None, None) => Ok((TlsPolicy::Roots(place.beside().join(roots.get_ref())), false)),
        (None, Some(pin), None) => {
            let parsed =
                Pin::parse(pin.get_ref()).map_err(|error| place.wrong(pin, &format!("{prefix}pin"), &error))?;
            Ok((TlsPolicy::Pinned(parsed), false))
        }
        (None, None, None) => Ok((TlsPolicy::System, false)),
    }
}
