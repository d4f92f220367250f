//! What both clients share: a blocking HTTP client with deadlines, whose calls can be broken off,
//! and errors in plain words.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use outlast_types::{DropId, Interrupt, ShareId};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::address::{Address, AddressError};
use super::trouble::io_error;
use super::way::{Credentials, Way};
use crate::api::{ErrorBody, ErrorCode};
use crate::identity_handle::IdentityHandle;
use crate::peer::Role;
use crate::protocol::{REQUEST_ID_HEADER, SHIPMENT_HEADER, TICKET_HEADER};
use crate::road::Roads;

/// How long a call may take beyond the time that its bytes need, for example to become durable.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A slower road than this, in bytes per second, counts as broken.
const RATE_MIN: u64 = 64 << 10;

/// How long a call may go on after it was asked to end: enough for a peer that is well to answer,
/// and for a lock to be given back.
const LAST_WORD: Duration = Duration::from_secs(2);

/// As much of an error's body as a message can use.
const ERROR_BYTES_MAX: usize = 64 << 10;

const AGENT: &str = concat!("outlast/", env!("CARGO_PKG_VERSION"));

/// A blocking client for what lies below one address. Connections are reused, also by the clients that
/// are made of this one.
pub(crate) struct Http {
    shared: Arc<Shared>,
    /// The same place behind each way.
    addresses: Vec<Address>,
    interrupt: Interrupt,
    /// Of which share we speak, once it is known.
    share: OnceLock<ShareId>,
    /// What lets a media server act for us.
    ticket: Option<HeaderValue>,
    /// What our requests belong to.
    errand: Errand,
    /// Whom we believe, if that may change.
    believes: Option<IdentityHandle>,
}

/// What requests belong to, to be changed while clients are at work. A copy is the same one.
#[derive(Clone, Default)]
struct Errand(Arc<Mutex<Named>>);

#[derive(Default)]
struct Named {
    /// The id under which they go.
    id: Option<HeaderValue>,
    /// The drop that they bring.
    shipment: Option<HeaderValue>,
    /// What lets media servers act for us.
    ticket: Option<HeaderValue>,
}

impl Errand {
    fn named(&self) -> MutexGuard<'_, Named> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where connections live.
struct Shared {
    /// At least one.
    ways: Vec<Way>,
    /// The one that is gone now: the last that answered, or the one after that failed.
    current: AtomicUsize,
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

impl Shared {
    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Leaves a way that failed: the next request goes the next one, unless somebody else was faster.
    fn leave(&self, way: usize) {
        let next = (way + 1) % self.ways.len();
        let _ = self.current.compare_exchange(way, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Http {
    pub(crate) fn new(
        address: &str,
        credentials: Credentials<'_>,
        roads: &Roads,
    ) -> Result<Self, AddressError> {
        Self::several(&[address], credentials, roads)
    }

    /// The same behind several addresses, which are tried in turn; at least one.
    pub(crate) fn several(
        addresses: &[&str],
        credentials: Credentials<'_>,
        roads: &Roads,
    ) -> Result<Self, AddressError> {
        let parsed = addresses.iter().map(|address| Address::parse(address));
        let addresses = parsed.collect::<Result<Vec<_>, _>>()?;
        let ways = addresses.iter().map(|address| Way::new(address, credentials, roads));
        let ways = ways.collect::<Result<Vec<_>, _>>()?;
        let shown = || addresses.first().map(|it| it.shown.clone()).unwrap_or_default();
        if ways.is_empty() {
            let reason = "there is none".to_owned();
            return Err(AddressError::Invalid { address: String::new(), reason });
        }
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
            shared: Arc::new(Shared { ways, current: AtomicUsize::new(0), runtime: Some(runtime) }),
            addresses,
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
        let addresses = self.addresses.iter().map(|address| address.directory(path)).collect();
        Self { addresses, errand: self.errand.clone(), ..self.beside() }
    }

    /// Another client of the same address, over the same connections, on errands of its own.
    pub(crate) fn beside(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            addresses: self.addresses.clone(),
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
        self.errand.named().id = id.and_then(|id| HeaderValue::from_str(id).ok());
    }

    /// Names in each request from now on, also of the clients below this one, the drop that is brought, or
    /// none.
    pub(crate) fn bring(&self, shipment: Option<DropId>) {
        let shipment = shipment.and_then(|id| HeaderValue::from_str(&id.to_string()).ok());
        self.errand.named().shipment = shipment;
    }

    /// Shows a ticket, or none, in each request from now on, also of the clients below this one; but to a
    /// vault, which needs none of us.
    pub(crate) fn bear(&self, ticket: Option<&str>) {
        let ticket = ticket.and_then(|text| HeaderValue::from_str(text).ok());
        self.errand.named().ticket = ticket;
    }

    /// The role of whoever answered last where the next request goes; `None` before the first answer, or
    /// without TLS.
    pub(crate) fn met(&self) -> Option<Role> {
        self.shared.ways.get(self.shared.current()).and_then(|way| way.met.get())
    }

    /// How many ways there are to be tried for a call; one, when the end is asked for.
    pub(crate) fn ways(&self) -> usize {
        if self.interrupt.is_requested() { 1 } else { self.shared.ways.len() }
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
        &self.addresses[self.shared.current()].shown
    }

    /// A request for `path` below the address, whose deadline leaves time for `bytes` to pass.
    pub(crate) fn request(&self, method: Method, path: &str, bytes: u64) -> Call<'_> {
        let mut request = Request::new(Body::empty());
        let way = self.shared.current();
        let address = &self.addresses[way];
        *request.method_mut() = method;
        *request.uri_mut() = address.below(path);
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(value) = &address.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let named = self.errand.named();
        let borne = named.ticket.as_ref().filter(|_| self.met() != Some(Role::Vault));
        for (name, value) in [
            (TICKET_HEADER, self.ticket.as_ref().or(borne)),
            (REQUEST_ID_HEADER, named.id.as_ref()),
            (SHIPMENT_HEADER, named.shipment.as_ref()),
        ] {
            value.into_iter().for_each(|value| drop(headers.insert(name, value.clone())));
        }
        drop(named);
        let deadline = CALL_TIMEOUT + Duration::from_secs(bytes / RATE_MIN);
        Call { http: self, way, request, deadline }
    }
}

/// A call that is being put together.
pub(crate) struct Call<'a> {
    http: &'a Http,
    /// Which way it goes.
    way: usize,
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
        let Self { http, way, request, deadline } = self;
        let runtime = http.shared.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| io::Error::other("this client has ended"))?;
        let connections = http.shared.ways[way].connections();
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
        let answer = runtime.block_on(async {
            tokio::select! {
                answer = exchange => answer,
                () = broken_off => {
                    let words = "it was broken off, because this program was asked to end";
                    Err(io::Error::new(io::ErrorKind::TimedOut, words))
                }
            }
        });
        // One that answers and cannot do it now may stand in for others that can.
        let is_left = answer.as_ref().map_or(true, |answer| {
            matches!(
                answer.status,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE
            )
        });
        if is_left {
            http.shared.leave(way);
        }
        answer
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
