//! HTTP requests for one account: logged in, on connections of its own, tried again where that may help, and every answer
//! bounded.

use super::places::{Place, Places};
use super::wire::{Dial, NoNames, net_error};
use super::{href, xml};
use crate::limits;
use crate::net::Dialer;
use crate::site::SiteError;
use crate::site::server::{Credentials, Login, LoginMode, no_other};
use backon::{BackoffBuilder as _, BlockingRetryable as _, ExponentialBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{HeaderMap, HeaderValue, Request};
use url::Url;
use zeroize::Zeroizing;

/// The connections to one server, which all accounts share: every request says by itself who asks.
#[derive(Clone)]
pub struct Wires {
    agent: ureq::Agent,
    places: Arc<Places>,
}

impl Wires {
    /// Connects to nobody yet; later to at most so many places at once.
    pub fn new(dialer: &Dialer, max_connections: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("stationwagon/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(limits::DAV_HEADER_BYTES)
            .max_idle_connections(max_connections)
            .max_idle_connections_per_host(max_connections)
            .build();
        let agent = ureq::Agent::with_parts(config, Dial { dialer: dialer.clone() }, NoNames);
        Self { agent, places: Places::new(max_connections) }
    }
}

/// What says requests for one account.
pub struct Client {
    wires: Wires,
    /// Scheme, host and port that all requests go to.
    pub base: Url,
    /// Says anew with each request who asks: a token may have become another one.
    login: Arc<Login>,
    account: String,
    /// An administrator asks for himself and not for the account.
    as_itself: bool,
    /// Who logs in, and for whom, for a person.
    who: String,
}

/// A request's method, its own headers, and its body.
pub struct Say<'a> {
    pub method: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// An answer. The body of a good one has not been read, and holds its connection until it has been; that of any other is at
/// hand, so that the next question can be asked about it.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// An earlier try of the request ended without an answer, so it may have been done twice: what is refused now may have
    /// been done then.
    pub repeated: bool,
    body: Box<dyn Read + Send>,
}

/// What comes on a connection.
struct Body {
    inner: ureq::BodyReader<'static>,
    /// Given back after the connection is.
    _place: Place,
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf)
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, which the reader has to bound.
    pub fn into_body(self) -> Box<dyn Read + Send> {
        self.body
    }

    /// Hears the answer to its end, so that the connection can be used again; the status.
    pub fn finish(mut self) -> u16 {
        xml::drain(&mut self.body);
        self.status
    }

    /// The status and what the server says about it, for a person.
    pub fn words(self) -> String {
        let status = self.status;
        let is_xml = self.header("content-type").is_some_and(|kind| kind.contains("xml"));
        let said = if is_xml {
            xml::texts(BufReader::new(self.body), limits::DAV_WORDS_BYTES)
        } else {
            let is_html = self.header("content-type").is_some_and(|kind| kind.contains("html"));
            let mut text = Vec::new();
            match self.body.take(limits::DAV_WORDS_BYTES).read_to_end(&mut text) {
                Ok(_) if !is_html => String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" "),
                _ => String::new(),
            }
        };
        let said: String = said.chars().take(limits::DAV_WORDS_CHARS).collect();
        let reason = ureq::http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
        let reason = reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"));
        if said.is_empty() { reason } else { format!("{reason}: {said}") }
    }
}

/// An attempt that did not end in an answer to be looked at.
enum Trouble {
    /// The server asks for patience (429, 503), for at least so long.
    Busy(Duration, String),
    /// Nobody heard the request.
    Unreached(io::Error),
    /// What became of the request nobody knows.
    Lost(io::Error),
    /// The server does not let in who says this; its words.
    Refused(Credentials, String),
    Other(SiteError),
}

impl Client {
    /// An error where nothing is known to log in with, or nothing that HTTP can carry.
    pub fn new(wires: &Wires, base: &Url, login: &Arc<Login>, account: &str) -> Result<Self, SiteError> {
        let who = match login.of(account)? {
            Credentials::Password { user, acts_for: Some(account), .. } => format!("{user} for {account}"),
            Credentials::Password { user, .. } | Credentials::Bearer { user, .. } => user,
        };
        let (wires, base, account) = (wires.clone(), base.clone(), account.to_owned());
        let client = Self { wires, base, login: Arc::clone(login), account, as_itself: false, who };
        client.says_who(&client.login.of(&client.account)?).map(|_| client)
    }

    /// The headers `authorization` and, where an administrator acts for the account, `authorize-as`.
    fn says_who(&self, credentials: &Credentials) -> Result<(HeaderValue, Option<HeaderValue>), SiteError> {
        let (text, acts_for) = match credentials {
            Credentials::Password { user, acts_for, password } => {
                let pair = Zeroizing::new(format!("{user}:{}", password.reveal()));
                (format!("Basic {}", STANDARD.encode(pair.as_bytes())), acts_for.as_ref())
            }
            Credentials::Bearer { token, .. } => (format!("Bearer {}", token.reveal()), None),
        };
        let header = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| {
                SiteError::Unsupported("a name or a token to log in with has characters that HTTP cannot carry".into())
            })
        };
        let mut authorization = header(&Zeroizing::new(text))?;
        authorization.set_sensitive(true);
        let acts_for = acts_for.filter(|_| !self.as_itself).map(|account| header(account)).transpose()?;
        Ok((authorization, acts_for))
    }

    /// The same login, for nobody but itself.
    pub fn as_itself(&self) -> Self {
        Self {
            wires: self.wires.clone(),
            base: self.base.clone(),
            login: Arc::clone(&self.login),
            account: self.account.clone(),
            as_itself: true,
            who: self.who.clone(),
        }
    }

    pub fn acts_for_another(&self) -> bool {
        self.login.mode == LoginMode::Proxy && !self.as_itself
    }

    /// Sends a request and waits for the beginning of its answer. A lost connection, a busy server and a gateway that has
    /// lost the server are tried again, so the request must be one that may be done twice; [`Reply::repeated`] says that
    /// it may have been. 401 is an error.
    pub fn send(&self, url: &Url, say: &Say<'_>) -> Result<Reply, SiteError> {
        let mut patience = waits().build();
        let (mut repeated, mut renewed) = (false, false);
        loop {
            let pause = match (self.once(url, say), patience.next()) {
                (Ok(Reply { status: 502 | 504, .. }) | Err(Trouble::Lost(_)), Some(pause)) => {
                    repeated = true;
                    pause
                }
                (Ok(reply), _) => return Ok(Reply { repeated, ..reply }),
                (Err(Trouble::Busy(wished, _)), Some(pause)) => pause.max(wished.min(limits::DAV_PATIENCE)),
                (Err(Trouble::Unreached(_)), Some(pause)) => pause,
                (Err(Trouble::Busy(_, words)), None) => return Err(self.says(&words)),
                (Err(Trouble::Lost(source) | Trouble::Unreached(source)), None) => {
                    return Err(self.lost(&doing(url, say), source));
                }
                (Err(Trouble::Refused(credentials, words)), _) => {
                    let refusal = format!("the login of {} was refused: {words}", self.who);
                    match self.login.instead_of(&credentials) {
                        Ok(Some(_)) if !std::mem::replace(&mut renewed, true) => Duration::ZERO,
                        Ok(_) => return Err(self.says(&refusal)),
                        Err(error) => return Err(self.says(&no_other(&refusal, &error))),
                    }
                }
                (Err(Trouble::Other(error)), _) => return Err(error),
            };
            std::thread::sleep(pause);
        }
    }

    fn once(&self, url: &Url, say: &Say<'_>) -> Result<Reply, Trouble> {
        let mut builder = Request::builder().method(say.method).uri(url.as_str());
        for (name, value) in say.headers {
            builder = builder.header(*name, *value);
        }
        let credentials = self.login.of(&self.account).map_err(Trouble::Other)?;
        let (authorization, acts_for) = self.says_who(&credentials).map_err(Trouble::Other)?;
        builder = builder.header("authorization", authorization);
        if let Some(account) = acts_for {
            builder = builder.header("authorize-as", account);
        }
        let bad = |error: &dyn std::fmt::Display| Trouble::Other(self.says(&format!("{error}, {}", doing(url, say))));
        let Wires { agent, places } = &self.wires;
        let place = places.take();
        let outcome = if say.body.is_empty() && say.method != "PUT" {
            agent.run(builder.body(()).map_err(|error| bad(&error))?)
        } else {
            agent.run(builder.body(say.body).map_err(|error| bad(&error))?)
        };
        let response = match outcome {
            Ok(response) => response,
            Err(ureq::Error::Io(error)) => {
                return Err(match net_error(error) {
                    Ok(error @ crate::net::NetError::Connect { .. }) => Trouble::Unreached(io::Error::other(error)),
                    Ok(error) => Trouble::Other(SiteError::Net(error)),
                    Err(error) => Trouble::Lost(error),
                });
            }
            Err(error) => return Err(bad(&error)),
        };
        let (parts, body) = response.into_parts();
        let body = Body { inner: body.into_with_config().limit(u64::MAX).reader(), _place: place };
        let status = parts.status.as_u16();
        let body: Box<dyn Read + Send> = match status {
            200 | 207 => Box::new(body),
            _ => Box::new(Cursor::new(short(body))),
        };
        let reply = Reply { status, headers: parts.headers, repeated: false, body };
        match reply.status {
            401 => Err(Trouble::Refused(credentials, reply.words())),
            429 | 503 => {
                let seconds = reply.header("retry-after").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
                Err(Trouble::Busy(Duration::from_secs(seconds), reply.words()))
            }
            _ => Ok(reply),
        }
    }

    /// [`Client::send`], following redirections on the same server. The URL is where the answer came from.
    pub fn send_along(&self, url: &Url, say: &Say<'_>) -> Result<(Url, Reply), SiteError> {
        let mut url = url.clone();
        for _ in 0..limits::DAV_REDIRECTS {
            let reply = self.send(&url, say)?;
            let to = match reply.status {
                301 | 302 | 303 | 307 | 308 => reply.header("location").map(str::to_owned),
                _ => None,
            };
            match to {
                Some(to) => {
                    url = href::resolve(&url, &to).map_err(|what| self.says(&what))?;
                    reply.finish();
                }
                None => return Ok((url, reply)),
            }
        }
        Err(self.says("it sends us from one address to the next without end"))
    }

    /// The whole body, of at most `limit` bytes.
    pub fn bytes(&self, reply: Reply, limit: u64, what: &str) -> Result<Vec<u8>, SiteError> {
        let mut bytes = Vec::new();
        let read = reply.body.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| self.lost(&format!("reading {what}"), source))?;
        if bytes.len() as u64 > limit {
            return Err(self.says(&format!("{what} has more than {limit} bytes")));
        }
        Ok(bytes)
    }

    pub fn lost(&self, doing: &str, source: io::Error) -> SiteError {
        if source.kind() == io::ErrorKind::InvalidData {
            return self.says(&format!("{source}, {doing}"));
        }
        SiteError::Lost { server: self.base.to_string(), doing: doing.to_owned(), source }
    }

    /// The server's words, or what is wrong with them.
    pub fn says(&self, what: &str) -> SiteError {
        SiteError::Server { server: self.base.to_string(), what: what.to_owned() }
    }
}

fn waits() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(limits::SERVER_RETRY_LEAST)
        .with_max_times(limits::SERVER_RETRIES)
        .with_jitter()
}

/// Asks once more where an answer breaks off after its beginning, which [`Client::send`] has waited for.
pub fn to_its_end<T>(ask: impl FnMut() -> Result<T, SiteError>) -> Result<T, SiteError> {
    let few = waits().with_max_times(limits::DAV_BROKEN_ANSWERS);
    ask.retry(few).when(|error| matches!(error, SiteError::Lost { .. })).call()
}

/// The beginning of what is only told to a person. A longer one costs its connection.
fn short(body: Body) -> Vec<u8> {
    let mut words = Vec::new();
    // One that breaks off is as long as it is.
    let _ = body.take(limits::DAV_WORDS_BYTES).read_to_end(&mut words);
    words
}

fn doing(url: &Url, say: &Say<'_>) -> String {
    format!("{} of {}", say.method, url.path())
}
