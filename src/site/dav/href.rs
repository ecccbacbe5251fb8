//! Where a server says that something is: taken only where it lies on the very server that was asked.

use percent_encoding::percent_decode_str;
use url::Url;

/// `href` of an answer to a request for `base`, or what is wrong with it. It must be on the same server; no level of it
/// may be `.` or `..`, or hold a slash or a control character behind its encoding.
pub fn resolve(base: &Url, href: &str) -> Result<Url, String> {
    let bad = |what: &str| Err(format!("the address {:?} {what}", href.chars().take(200).collect::<String>()));
    let href = href.trim();
    let path = match href.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => rest.split_once('/').map_or("", |(_, path)| path),
        _ => href,
    };
    if !path.split('/').all(|level| decode(level).is_some_and(|level| !is_hostile(&level))) {
        return bad("does not follow the rules of paths");
    }
    let Ok(mut url) = base.join(href) else { return bad("is none") };
    if !same_server(base, &url) {
        return bad("leads to another server; if that is meant, the description has to name it");
    }
    url.set_query(None);
    url.set_fragment(None);
    // One spelling for one address, as little encoded as may be: Radicale does not decode what MOVE names.
    let is_collection = url.path().ends_with('/');
    let Some(levels) = levels(&url).filter(|levels| !levels.iter().any(|level| is_hostile(level))) else {
        return bad("does not follow the rules of paths");
    };
    if let Ok(mut path) = url.path_segments_mut() {
        path.clear().extend(levels);
        if is_collection {
            path.push("");
        }
    }
    Ok(url)
}

/// RFC 3986, section 3.1. What is none begins a path, however it goes on.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn is_hostile(level: &str) -> bool {
    matches!(level, "." | "..") || level.chars().any(|c| c == '/' || c == '\\' || c.is_control())
}

/// Whether both are the same scheme, host and port.
pub fn same_server(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

fn decode(level: &str) -> Option<String> {
    percent_decode_str(level).decode_utf8().ok().map(|text| text.into_owned())
}

/// The levels of a URL's path, decoded.
fn levels(url: &Url) -> Option<Vec<String>> {
    let path = url.path().trim_matches('/');
    path.split('/').filter(|level| !level.is_empty()).map(decode).collect()
}

/// Whether both name the same resource, whatever their encoding and whether or not they end in a slash.
pub fn is_same(one: &Url, other: &Url) -> bool {
    same_server(one, other) && levels(one).is_some_and(|levels_of_one| Some(levels_of_one) == levels(other))
}

/// The name of `member` within `collection`, where it lies directly in it.
pub fn name_in(collection: &Url, member: &Url) -> Option<String> {
    let (above, mut whole) = (levels(collection)?, levels(member)?);
    let name = whole.pop()?;
    (same_server(collection, member) && whole == above).then_some(name)
}

/// The last level, decoded.
pub fn last_level(url: &Url) -> Option<String> {
    levels(url)?.pop()
}

/// The collection in which this lies.
pub fn above(url: &Url) -> Url {
    let mut above = url.clone();
    if let Ok(mut path) = above.path_segments_mut() {
        path.pop_if_empty().pop().push("");
    }
    above
}

/// The collection or resource called `name` in `collection`.
pub fn below(collection: &Url, name: &str, is_collection: bool) -> Url {
    let mut url = collection.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(name);
        if is_collection {
            path.push("");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_only_on_the_server_that_was_asked() {
        let base = Url::parse("https://dav.test/home/ann@a.test/").unwrap();
        let url = resolve(&base, "/home/ann%40a.test/work/").unwrap();
        assert_eq!(url.as_str(), "https://dav.test/home/ann@a.test/work/");
        assert_eq!(name_in(&base, &url).as_deref(), Some("work"));
        assert_eq!(resolve(&base, "https://dav.test:443/x/").unwrap().path(), "/x/");
        for hostile in [
            "a%00b://c",
            "a%2f..%2fb&://c/d",
            "https://evil.test/home/",
            "//evil.test/home/",
            "http://dav.test/home/",
            "https://dav.test:444/",
            "../bob/",
            "/home/ann/../bob/",
            "/home/%2e%2E/bob/",
            "/home/a%2Fb.ics",
            "/home/a%00b",
            "/home/%ff",
            "a\r\nb",
        ] {
            assert!(resolve(&base, hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn a_name_comes_back_from_its_address() {
        let base = Url::parse("http://dav.test/cal/").unwrap();
        for name in ["one.ics", "a b#c?d%41.ics", "Grüße.ics", "x@y:z;p=1.vcf", "..."] {
            let url = below(&base, name, false);
            assert_eq!(name_in(&base, &resolve(&base, url.as_str()).unwrap()).as_deref(), Some(name));
        }
        assert_eq!(below(&base, "x", true).path(), "/cal/x/");
        assert!(is_same(&below(&base, "x", true), &below(&base, "x", false)));
        assert_eq!(above(&below(&base, "x", true)), base);
        assert_eq!(last_level(&below(&base, "x y", true)).as_deref(), Some("x y"));
    }
}
