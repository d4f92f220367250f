//! What both clients share: a blocking HTTP client with deadlines, whose calls can be broken off,
//! and errors in plain words.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use outlast_types::{Interrupt, ShareId};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use rustls::ClientConfig;
use tokio::runtime::Runtime;

use super::probe;
use super::trouble::{chain, io_error, tls_error, tls_trouble};
use crate::api::{ErrorBody, ErrorCode};
use crate::certificate::Validity;
use crate::identity::Identity;
use crate::identity_handle::{Derived, IdentityHandle};
use crate::protocol::SHARE_HEADER;
use crate::tls::{self, TlsError};

/// How long a call may take beyond the time that its bytes need, for example to become durable.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A slower road than this, in bytes per second, counts as broken.
const RATE_MIN: u64 = 64 << 10;

/// Shorter than the server's patience, so that a reused connection is never just being closed.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The kernel gives up on a peer that acknowledges nothing for this long.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a call may go on after it was asked to end: enough for a peer that is well to answer,
/// and for a lock to be given back.
const LAST_WORD: Duration = Duration::from_secs(2);

/// As much of an error's body as a message can use.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Why a client cannot be made for an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("{address:?} is not an address such as rest:https://host:8443/repo/shop-db/: {reason}")]
    Invalid { address: String, reason: String },
    #[error("{address} is not encrypted, so our certificate cannot be used there; use https")]
    NotEncrypted { address: String },
    #[error("{address} needs the certificate of an authority to trust; give an identity")]
    NoTrust { address: String },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot set up a client for {address}: {reason}")]
    Client { address: String, reason: String },
}

/// Whom to trust and who to be.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// Show a certificate, and trust its authority.
    Identity(&'a Identity),
    /// The same, of the identity that is in force at each call.
    Handle(&'a IdentityHandle),
    /// Show none, and trust the authority in this PEM.
    Authority(&'a str),
    /// Plain http, with what the address itself carries (`http://user:password@host/`).
    None,
}

/// A blocking client for what lies below one address. Connections are reused; proxies from the
/// environment are not, since this road is private.
pub(crate) struct Http {
    road: Road,
    base: Url,
    location: String,
    interrupt: Interrupt,
    /// Where connections live; taken when this goes.
    runtime: Option<Runtime>,
    /// Of which share we speak, once it is known.
    share: OnceLock<ShareId>,
}

/// How connections are made.
enum Road {
    Fixed(Connector),
    Following(Derived<Connector, AddressError>),
}

/// Connections with one certificate.
#[derive(Clone)]
struct Connector {
    client: Client,
    /// How long our own certificate is valid; `None` if we show none.
    certificate: Option<Validity>,
    tls: Arc<ClientConfig>,
}

impl Road {
    fn connector(&self) -> Connector {
        match self {
            Self::Fixed(connector) => connector.clone(),
            Self::Following(connectors) => connectors.get(),
        }
    }
}

impl Connector {
    fn of(identity: &Identity, location: &str) -> Result<Self, AddressError> {
        Self::new(tls::client_config(identity)?, Some(identity.validity()), location)
    }

    fn new(
        tls: ClientConfig,
        certificate: Option<Validity>,
        location: &str,
    ) -> Result<Self, AddressError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .user_agent(concat!("outlast/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_user_timeout(SILENCE_MAX)
            .tcp_keepalive(SILENCE_MAX / 2)
            .build()
            .map_err(|error| AddressError::Client {
                address: location.to_owned(),
                reason: chain(&error),
            })?;
        Ok(Self { client, certificate, tls: Arc::new(tls) })
    }

    /// Why an exchange with `url` failed before there was an answer.
    async fn failed(&self, url: &Url, error: reqwest::Error) -> io::Error {
        let told = tls_error(&error).is_some() || error.is_timeout() || error.is_builder();
        if told || url.scheme() != "https" {
            return io_error(error, self.certificate);
        }
        match probe::refusal(&self.tls, url).await {
            Some(refusal) => tls_trouble(&refusal, self.certificate),
            None => io_error(error, self.certificate),
        }
    }
}

impl Http {
    pub(crate) fn new(address: &str, credentials: Credentials<'_>) -> Result<Self, AddressError> {
        let base = parse(address)?;
        let location = redacted(&base);
        let road = match (base.scheme(), credentials) {
            ("https", Credentials::Identity(identity)) => {
                Road::Fixed(Connector::of(identity, &location)?)
            }
            ("https", Credentials::Handle(identity)) => {
                let shown = location.clone();
                Road::Following(Derived::new(identity, move |it| Connector::of(it, &shown))?)
            }
            ("https", Credentials::Authority(ca_pem)) => {
                let tls = tls::anonymous_client_config(ca_pem)?;
                Road::Fixed(Connector::new(tls, None, &location)?)
            }
            ("https", Credentials::None) => {
                return Err(AddressError::NoTrust { address: location });
            }
            (_, Credentials::Identity(_) | Credentials::Handle(_)) => {
                return Err(AddressError::NotEncrypted { address: location });
            }
            _ => Road::Fixed(Connector::new(tls::no_trust_config()?, None, &location)?),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(|error| AddressError::Client {
                address: location.clone(),
                reason: error.to_string(),
            })?;
        let (interrupt, share) = (Interrupt::default(), OnceLock::new());
        Ok(Self { road, base, location, interrupt, runtime: Some(runtime), share })
    }

    /// Lets `interrupt` break off calls, under way and later ones.
    pub(crate) fn heed(&mut self, interrupt: &Interrupt) {
        self.interrupt = interrupt.clone();
    }

    /// Says in each request from now on of which share we speak. The first word counts.
    pub(crate) fn speak_of(&self, share: ShareId) {
        self.share.get_or_init(|| share);
    }

    /// What breaks off calls.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Of which share we speak.
    pub(crate) fn share(&self) -> Option<ShareId> {
        self.share.get().copied()
    }

    /// The address without its password.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// A request for `path` below the address, whose deadline leaves time for `bytes` to pass.
    pub(crate) fn request(&self, method: Method, path: &str, bytes: u64) -> Call<'_> {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(query);
        let deadline = CALL_TIMEOUT + Duration::from_secs(bytes / RATE_MIN);
        let connector = self.road.connector();
        let mut request = connector.client.request(method, url).timeout(deadline);
        if let Some(share) = self.share.get() {
            request = request.header(SHARE_HEADER, share.to_string());
        }
        Call { http: self, connector, request }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nobody waits for its connections any more.
            runtime.shutdown_background();
        }
    }
}

/// A call that is being put together.
pub(crate) struct Call<'a> {
    http: &'a Http,
    connector: Connector,
    request: RequestBuilder,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Whole for a status that was wanted; else as much as an error's message can use.
    pub(crate) body: Vec<u8>,
}

impl Call<'_> {
    pub(crate) fn header(self, name: HeaderName, value: impl AsRef<str>) -> Self {
        Self { request: self.request.header(name, value.as_ref()), ..self }
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self { request: self.request.body(body.into()), ..self }
    }

    /// Makes the call. A body of at most `max` bytes is read if the status is `wanted`.
    pub(crate) fn send(self, wanted: impl Fn(StatusCode) -> bool, max: u64) -> io::Result<Answer> {
        let Self { http, connector, request } = self;
        let runtime = http.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| io::Error::other("this client has ended"))?;
        let exchange = async {
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => return Err(connector.failed(&http.base, error).await),
            };
            let (status, headers) = (response.status(), response.headers().clone());
            let body = if wanted(status) {
                whole_body(response, max).await?
            } else {
                beginning_of_body(response).await
            };
            Ok(Answer { status, headers, body })
        };
        let broken_off = async {
            http.interrupt.requested().await;
            tokio::time::sleep(LAST_WORD).await;
        };
        runtime.block_on(async {
            tokio::select! {
                answer = exchange => answer,
                () = broken_off => {
                    let words = "it was broken off, because this program was asked to end";
                    Err(io::Error::new(io::ErrorKind::TimedOut, words))
                }
            }
        })
    }
}

/// The whole body, if it has at most `max` bytes.
async fn whole_body(mut response: Response, max: u64) -> io::Result<Vec<u8>> {
    let announced = response.content_length().unwrap_or(0).min(max);
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    // A body that breaks off is a passing fault, whatever the layers below call it.
    let broken_off = |error: reqwest::Error| {
        io::Error::new(io::ErrorKind::ConnectionAborted, io_error(error, None))
    };
    while let Some(bytes) = response.chunk().await.map_err(broken_off)? {
        if (body.len() + bytes.len()) as u64 > max {
            let text = format!("the answer is longer than {max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// What can be had of a body that is only worth a message.
async fn beginning_of_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        let room = ERROR_BYTES_MAX - body.len();
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= room {
            break;
        }
    }
    body
}

fn parse(address: &str) -> Result<Url, AddressError> {
    let text = address.strip_prefix("rest:").unwrap_or(address);
    // An address may hold a password: one that cannot be parsed cannot be redacted either.
    let shown = text.rsplit('@').next().unwrap_or(text).chars().take(200).collect();
    let invalid = |reason: String| AddressError::Invalid { address: shown, reason };
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return Err(invalid(error.to_string())),
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("it begins with neither http:// nor https://".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it has a query or a fragment".to_owned()));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "an address with a password".to_owned();
    }
    url.to_string()
}

/// What an answer that is no success says.
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
}

impl Failure {
    /// Reads the body of an answer, ours or anybody's.
    pub(crate) fn of(answer: Answer) -> Self {
        let Answer { status, body: text, .. } = answer;
        let body = serde_json::from_slice(&text).unwrap_or_else(|_| ErrorBody {
            code: ErrorCode::default(),
            message: first_line(&text).unwrap_or_else(|| format!("the server answered {status}")),
            hint: String::new(),
            request_id: String::new(),
            missing: Vec::new(),
        });
        Self { status, body }
    }

    /// Message and next step in one text.
    pub(crate) fn text(&self) -> String {
        if self.body.hint.is_empty() {
            self.body.message.clone()
        } else {
            format!("{}; {}", self.body.message, self.body.hint)
        }
    }
}

/// What a foreign server said, short and without control characters: it goes to terminals.
fn first_line(text: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(text);
    let line = line.lines().next()?.trim();
    let clean: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    (!clean.is_empty()).then(|| format!("the server says {clean:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_restic_writes_it() {
        for (address, location) in [
            ("rest:https://host:8443/repo/shop-db/", "https://host:8443/repo/shop-db/"),
            ("https://host/repo", "https://host/repo/"),
            ("rest:http://me:secret@host:8000/", "http://me:***@host:8000/"),
        ] {
            assert_eq!(redacted(&parse(address).unwrap()), location);
        }
        for bad in ["", "rest:", "s3:bucket", "rest:/tmp", "ftp://host/", "http://h/?a=b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for address in ["rest:http://me:secret@host:port/", "ftp://me:secret@host/"] {
            let message = parse(address).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
        let http = Http::new("http://me:secret@127.0.0.1:1/", Credentials::None).unwrap();
        assert!(!http.location().contains("secret"));
    }
}
