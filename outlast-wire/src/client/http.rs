//! What both clients share: a blocking HTTP client with deadlines, whose calls can be broken off,
//! and errors in plain words.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use outlast_types::{Interrupt, ShareId};
use rustls::ClientConfig;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::address::{Address, AddressError};
use super::connector::{Born, Connector};
use super::probe;
use super::trouble::{io_error, tls_error, tls_trouble};
use crate::api::{ErrorBody, ErrorCode};
use crate::certificate::Validity;
use crate::identity::Identity;
use crate::identity_handle::{Derived, IdentityHandle};
use crate::protocol::{REQUEST_ID_HEADER, TICKET_HEADER};
use crate::road::{Road, RoadError, Roads};
use crate::tls::{self, TlsError};

/// How long a call may take beyond the time that its bytes need, for example to become durable.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A slower road than this, in bytes per second, counts as broken.
const RATE_MIN: u64 = 64 << 10;

/// Shorter than the server's patience, so that a reused connection is never just being closed; longer
/// than the pause between two reports.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// An older connection is not used again: the name may be of another host by now.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);

/// How long a call may go on after it was asked to end: enough for a peer that is well to answer,
/// and for a lock to be given back.
const LAST_WORD: Duration = Duration::from_secs(2);

/// As much of an error's body as a message can use.
const ERROR_BYTES_MAX: usize = 64 << 10;

const AGENT: &str = concat!("outlast/", env!("CARGO_PKG_VERSION"));

/// Whom to trust and who to be.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// Show a certificate, and trust its authority.
    Identity(&'a Identity),
    /// The same, of the identity that is in force at each call.
    Handle(&'a IdentityHandle),
    /// Show none, and trust the authority in this PEM.
    Authority(&'a str),
    /// Show none, and believe nobody: what comes back must prove itself.
    Stranger,
    /// Plain http, with what the address itself carries (`http://user:password@host/`).
    None,
}

/// A blocking client for what lies below one address. Connections are reused, also by the clients that
/// are made of this one.
pub(crate) struct Http {
    shared: Arc<Shared>,
    address: Address,
    interrupt: Interrupt,
    /// Of which share we speak, once it is known.
    share: OnceLock<ShareId>,
    /// What lets a media server act for us.
    ticket: Option<HeaderValue>,
    /// What our requests belong to, if it has a name.
    errand: Errand,
    /// Whom we believe, if that may change.
    believes: Option<IdentityHandle>,
}

/// The id under which requests go, to be changed while clients are at work. A copy is the same one.
#[derive(Clone, Default)]
struct Errand(Arc<Mutex<Option<HeaderValue>>>);

impl Errand {
    fn get(&self) -> Option<HeaderValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, id: Option<&str>) {
        let id = id.and_then(|id| HeaderValue::from_str(id).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }
}

/// Where connections live.
struct Shared {
    way: Way,
    /// Taken when this goes.
    runtime: Option<Runtime>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nobody waits for its connections any more.
            runtime.shutdown_background();
        }
    }
}

/// How connections are made.
enum Way {
    Fixed(Connections),
    Following(Derived<Connections, AddressError>),
}

/// Connections with one certificate.
#[derive(Clone)]
struct Connections {
    client: Client<Connector, Body>,
    connector: Connector,
    /// How long our own certificate is valid; `None` if we show none.
    certificate: Option<Validity>,
    is_secure: bool,
}

impl Way {
    fn connections(&self) -> Connections {
        match self {
            Self::Fixed(connections) => connections.clone(),
            Self::Following(connections) => connections.get(),
        }
    }
}

impl Connections {
    fn of(
        identity: &Identity,
        handle: Option<&IdentityHandle>,
        road: &Arc<Road>,
    ) -> Result<Self, AddressError> {
        let tls = match handle {
            Some(handle) => tls::heeding_client_config(identity, handle)?,
            None => tls::client_config(identity)?,
        };
        Ok(Self::new(Some((tls, Some(identity.validity()))), road)?)
    }

    /// With TLS, or without.
    fn new(
        tls: Option<(ClientConfig, Option<Validity>)>,
        road: &Arc<Road>,
    ) -> Result<Self, TlsError> {
        let is_secure = tls.is_some();
        let (tls, certificate) = match tls {
            Some(tls) => tls,
            None => (tls::no_trust_config()?, None),
        };
        let connector = Connector::new(Arc::clone(road), Arc::new(tls));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector.clone());
        Ok(Self { client, connector, certificate, is_secure })
    }

    /// The head of the answer to `request`.
    async fn answer(&self, mut request: Request<Body>) -> io::Result<Response<Incoming>> {
        let connection = capture_connection(&mut request);
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Err(self.failed(error).await),
        };
        let born = response.extensions().get::<Born>();
        if born.is_some_and(|born| born.0.elapsed() >= CONNECTION_AGE_MAX)
            && let Some(connection) = connection.connection_metadata().as_ref()
        {
            connection.poison();
        }
        Ok(response)
    }

    /// Why an exchange failed before there was an answer.
    async fn failed(&self, error: legacy::Error) -> io::Error {
        let told = tls_error(&error).is_some() || RoadError::find(&error).is_some();
        if told || !self.is_secure {
            return io_error(&error, self.certificate);
        }
        match probe::refusal(&self.connector).await {
            Some(refusal) => tls_trouble(&refusal, self.certificate),
            None => io_error(&error, self.certificate),
        }
    }
}

impl Http {
    pub(crate) fn new(
        address: &str,
        credentials: Credentials<'_>,
        roads: &Roads,
    ) -> Result<Self, AddressError> {
        let address = Address::parse(address)?;
        let road = Arc::new(Road::to(&address.uri(), roads));
        let shown = || address.shown.clone();
        let way = match (address.is_secure(), credentials) {
            (true, Credentials::Identity(identity)) => {
                Way::Fixed(Connections::of(identity, None, &road)?)
            }
            (true, Credentials::Handle(identity)) => {
                let handle = identity.clone();
                let connections = move |it: &Identity| Connections::of(it, Some(&handle), &road);
                Way::Following(Derived::new(identity, connections)?)
            }
            (true, Credentials::Authority(ca_pem)) => {
                let tls = tls::anonymous_client_config(ca_pem)?;
                Way::Fixed(Connections::new(Some((tls, None)), &road)?)
            }
            (true, Credentials::Stranger) => {
                let tls = tls::stranger_client_config()?;
                Way::Fixed(Connections::new(Some((tls, None)), &road)?)
            }
            (true, Credentials::None) => return Err(AddressError::NoTrust { address: shown() }),
            (false, Credentials::Identity(_) | Credentials::Handle(_) | Credentials::Stranger) => {
                return Err(AddressError::NotEncrypted { address: shown() });
            }
            (false, _) => Way::Fixed(Connections::new(None, &road)?),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(|error| AddressError::Client {
                address: shown(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            shared: Arc::new(Shared { way, runtime: Some(runtime) }),
            address,
            interrupt: Interrupt::default(),
            share: OnceLock::new(),
            ticket: None,
            errand: Errand::default(),
            believes: match credentials {
                Credentials::Handle(identity) => Some(identity.clone()),
                _ => None,
            },
        })
    }

    /// Whom we believe, if that may change.
    pub(crate) fn believes(&self) -> Option<&IdentityHandle> {
        self.believes.as_ref()
    }

    /// A client of the directory `path` below this one's address, over the same connections and on the
    /// same errands.
    pub(crate) fn below(&self, path: &str) -> Self {
        let errand = self.errand.clone();
        Self { address: self.address.directory(path), errand, ..self.beside() }
    }

    /// Another client of the same address, over the same connections, on errands of its own.
    pub(crate) fn beside(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            address: self.address.clone(),
            interrupt: self.interrupt.clone(),
            share: self.share.clone(),
            ticket: self.ticket.clone(),
            errand: Errand::default(),
            believes: self.believes.clone(),
        }
    }

    /// Says in each request from now on, also of the clients below this one, that it belongs to what has
    /// this id, or to nothing.
    pub(crate) fn carry(&self, id: Option<&str>) {
        self.errand.set(id);
    }

    /// Lets `interrupt` break off calls, under way and later ones.
    pub(crate) fn heed(&mut self, interrupt: &Interrupt) {
        self.interrupt = interrupt.clone();
    }

    /// Notes of which share we speak from now on. The first word counts.
    pub(crate) fn speak_of(&self, share: ShareId) {
        self.share.get_or_init(|| share);
    }

    /// Shows a ticket in each request from now on. One that no header can hold is no ticket.
    pub(crate) fn show_ticket(&mut self, text: &str) {
        self.ticket = HeaderValue::from_str(text).ok();
    }

    /// Of which share we speak.
    pub(crate) fn share(&self) -> Option<ShareId> {
        self.share.get().copied()
    }

    /// The address without its password.
    pub(crate) fn location(&self) -> &str {
        &self.address.shown
    }

    /// A request for `path` below the address, whose deadline leaves time for `bytes` to pass.
    pub(crate) fn request(&self, method: Method, path: &str, bytes: u64) -> Call<'_> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = self.address.below(path);
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(value) = &self.address.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        if let Some(ticket) = &self.ticket {
            headers.insert(TICKET_HEADER, ticket.clone());
        }
        if let Some(id) = self.errand.get() {
            headers.insert(REQUEST_ID_HEADER, id);
        }
        let deadline = CALL_TIMEOUT + Duration::from_secs(bytes / RATE_MIN);
        Call { http: self, request, deadline }
    }
}

/// A call that is being put together.
pub(crate) struct Call<'a> {
    http: &'a Http,
    request: Request<Body>,
    deadline: Duration,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Whole for a status that was wanted; else as much as an error's message can use.
    pub(crate) body: Vec<u8>,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.request.headers_mut().insert(name, value);
        }
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// Sends a body that comes piece by piece, and whose length is known.
    pub(crate) fn stream(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }

    /// Gives up after so long.
    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Makes the call. A body of at most `max` bytes is read if the status is `wanted`.
    pub(crate) fn send(self, wanted: impl Fn(StatusCode) -> bool, max: u64) -> io::Result<Answer> {
        let Self { http, request, deadline } = self;
        let runtime = http.shared.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| io::Error::other("this client has ended"))?;
        let connections = http.shared.way.connections();
        let exchange = async {
            let response = connections.answer(request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = if wanted(status) {
                whole_body(response, max).await?
            } else {
                beginning_of_body(response).await
            };
            Ok(Answer { status, headers, body })
        };
        let exchange = async {
            timeout(deadline, exchange).await.unwrap_or_else(|_| {
                let words = format!("there was no whole answer within {} s", deadline.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, words))
            })
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

/// The next bytes of a body.
async fn chunk(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            // What is no data are trailers.
            Ok(frame) => match frame.into_data() {
                Ok(bytes) => return Some(Ok(bytes)),
                Err(_) => continue,
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The whole body, if it has at most `max` bytes.
async fn whole_body(response: Response<Incoming>, max: u64) -> io::Result<Vec<u8>> {
    let mut incoming = response.into_body();
    let announced = incoming.size_hint().lower().min(max);
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    // A body that breaks off is a passing fault, whatever the layers below call it.
    let broken_off = |error: hyper::Error| {
        io::Error::new(io::ErrorKind::ConnectionAborted, io_error(&error, None))
    };
    while let Some(bytes) = chunk(&mut incoming).await {
        let bytes = bytes.map_err(broken_off)?;
        if (body.len() + bytes.len()) as u64 > max {
            let text = format!("the answer is longer than {max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// What can be had of a body that is only worth a message.
async fn beginning_of_body(response: Response<Incoming>) -> Vec<u8> {
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while let Some(Ok(bytes)) = chunk(&mut incoming).await {
        let room = ERROR_BYTES_MAX - body.len();
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= room {
            break;
        }
    }
    body
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
