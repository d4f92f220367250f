//! A repository behind the restic REST protocol, as a [`Store`].

use std::io;

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RANGE};
use hyper::{Method, StatusCode};
use outlast_store::{Kind, Object, Store, StoreError, Verb};
use outlast_types::{Interrupt, ShareId};
use serde::Deserialize;

use super::address::AddressError;
use super::http::{Answer, Call, Failure, Http};
use super::way::Credentials;
use crate::identity::Identity;
use crate::protocol::{LIST_V2, OBJECT_BYTES_MAX, TICKET_HEADER};
use crate::road::Roads;

/// The longest object that is read as a whole, in bytes. Ours are far smaller; stock restic may
/// have made a large index.
const READ_BYTES_MAX: u64 = 1 << 30;

/// A repository served by our vault, by a media server, or by a plain rest-server.
///
/// Speaks version 2 of the protocol, and version 1 with servers that know no other. Every call
/// has a deadline; connections are reused. All calls block: never call them from asynchronous
/// code.
pub struct RestStore {
    http: Http,
    /// What is shown instead of a ticket when a pack is read.
    grant: Option<String>,
}

impl RestStore {
    /// The repository at `address`: `rest:https://host:port/path/`, with or without `rest:`.
    /// With an identity, TLS is mutual; without one, only `http://` is possible.
    pub fn open(address: &str, identity: Option<&Identity>) -> Result<Self, AddressError> {
        Self::with(address, identity.map_or(Credentials::None, Credentials::Identity))
    }

    /// The same with a choice of credentials.
    pub fn with(address: &str, credentials: Credentials<'_>) -> Result<Self, AddressError> {
        Self::over(address, credentials, &Roads::default())
    }

    /// The same, by roads of one's own.
    pub fn over(
        address: &str,
        credentials: Credentials<'_>,
        roads: &Roads,
    ) -> Result<Self, AddressError> {
        Ok(Self::of(Http::new(address, credentials, roads)?))
    }

    /// What lies below a client of a vault, over its connections.
    pub(super) fn of(http: Http) -> Self {
        Self { http, grant: None }
    }

    /// The same store, whose calls end soon when `interrupt` asks for the end.
    #[must_use]
    pub fn heeding(mut self, interrupt: &Interrupt) -> Self {
        self.http.heed(interrupt);
        self
    }

    /// Says in each request from now on of which share this client speaks.
    pub fn speak_of(&self, share: ShareId) {
        self.http.speak_of(share);
    }

    /// Shows an agent's ticket in each request from now on: an agent to its media server, and that
    /// one to the vault. `text` is as [`ticket::header_text`](crate::ticket::header_text) makes it.
    pub fn show_ticket(&mut self, text: &str) {
        self.http.show_ticket(text);
    }

    /// Shows a vault's grant whenever a pack is read from now on. A ticket lets nobody read packs, and a
    /// grant nothing else.
    pub fn show_grant(&mut self, text: &str) {
        self.grant = Some(text.to_owned());
    }

    /// A request for an object's content, of which about `bytes` come back.
    fn get(&self, object: &Object, bytes: u64) -> Call<'_> {
        let call = self.http.request(Method::GET, &Self::path(object), bytes);
        match self.grant.as_ref().filter(|_| object.pack().is_some()) {
            Some(grant) => call.header(HeaderName::from_static(TICKET_HEADER), grant),
            None => call,
        }
    }

    /// Asks the server to make room for a new repository at this address, before its first
    /// objects are created. Harmless if there is one already.
    pub fn create_layout(&self) -> Result<(), StoreError> {
        let sent = self.http.request(Method::POST, "?create=true", 0).send(no_body, 0);
        let answer = sent.map_err(|error| self.broken(Verb::Create, &Object::Config, error))?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(()),
            _ => Err(self.failure(Verb::Create, &Object::Config, answer)),
        }
    }

    fn path(object: &Object) -> String {
        object.to_string()
    }

    fn broken(&self, verb: Verb, object: &Object, source: io::Error) -> StoreError {
        StoreError::Io { verb: verb.as_str(), object: *object, location: self.location(), source }
    }

    /// What an answer that is no success means.
    fn failure(&self, verb: Verb, object: &Object, answer: Answer) -> StoreError {
        self.refusal(verb, object, Failure::of(answer))
    }

    fn refusal(&self, verb: Verb, object: &Object, failure: Failure) -> StoreError {
        let location = self.location();
        let (verb, object) = (verb.as_str(), *object);
        match failure.status {
            StatusCode::NOT_FOUND => StoreError::NotFound { object, location },
            StatusCode::CONFLICT => StoreError::AlreadyExists { object, location },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => {
                StoreError::Refused { verb, object, location, reason: failure.text() }
            }
            StatusCode::INSUFFICIENT_STORAGE => StoreError::Full { verb, object, location },
            status => {
                let kind = match status {
                    StatusCode::RANGE_NOT_SATISFIABLE => io::ErrorKind::UnexpectedEof,
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                        io::ErrorKind::TimedOut
                    }
                    // The server, or something on the way, does not understand us: for good.
                    status if status.is_client_error() => io::ErrorKind::InvalidData,
                    _ => io::ErrorKind::Other,
                };
                let text = format!("{} ({})", failure.text(), status.as_u16());
                let source = io::Error::new(kind, text);
                StoreError::Io { verb, object, location, source }
            }
        }
    }

    fn listing(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        let failed = |source| StoreError::List { kind, location: self.location(), source };
        // As many as a million names take a few seconds on a slow road.
        let expected_bytes = 128 << 20;
        let answer = self
            .http
            .request(Method::GET, &format!("{kind}/"), expected_bytes)
            .header(ACCEPT, LIST_V2)
            .send(|status| status == StatusCode::OK, READ_BYTES_MAX)
            .map_err(failed)?;
        if answer.status != StatusCode::OK {
            let failure = Failure::of(answer);
            let kind = match failure.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => io::ErrorKind::PermissionDenied,
                StatusCode::NOT_FOUND => io::ErrorKind::NotFound,
                _ => io::ErrorKind::Other,
            };
            return Err(failed(io::Error::new(kind, failure.text())));
        }
        let version_2 = answer.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == LIST_V2);
        let body = answer.body;
        let unreadable =
            |error| failed(io::Error::new(io::ErrorKind::InvalidData, format!("{error}")));
        if version_2 {
            let entries: Vec<ListedObject> = serde_json::from_slice(&body).map_err(unreadable)?;
            let named = entries.into_iter().filter_map(|entry| {
                // Strange files in a foreign server's directory are no objects.
                Some((Object::parse(kind, &entry.name).ok()?, entry.size))
            });
            return Ok(named.collect());
        }
        let names: Vec<String> = serde_json::from_slice(&body).map_err(unreadable)?;
        let mut objects = Vec::new();
        for object in names.iter().filter_map(|name| Object::parse(kind, name).ok()) {
            match self.size(&object) {
                Ok(size) => objects.push((object, size)),
                // Removed since it was listed.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(failed(io::Error::other(error.to_string()))),
            }
        }
        Ok(objects)
    }
}

/// Of an answer whose status says all.
fn no_body(_: StatusCode) -> bool {
    false
}

#[derive(Deserialize)]
struct ListedObject {
    name: String,
    size: u64,
}

impl Store for RestStore {
    fn location(&self) -> String {
        self.http.location().to_owned()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        let verb = Verb::Create;
        let answer = self
            .http
            .request(Method::POST, &Self::path(object), content.len() as u64)
            .body(content)
            .send(no_body, 0)
            .map_err(|error| self.broken(verb, object, error))?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(()),
            StatusCode::FORBIDDEN => {
                let failure = Failure::of(answer);
                // A plain rest-server says the same to a forbidden verb and to an existing object.
                let ours = !failure.body.code.is_none();
                if !ours && self.size(object).is_ok() {
                    let location = self.location();
                    return Err(StoreError::AlreadyExists { object: *object, location });
                }
                Err(self.refusal(verb, object, failure))
            }
            _ => Err(self.failure(verb, object, answer)),
        }
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        let verb = Verb::Read;
        let answer = self
            .get(object, OBJECT_BYTES_MAX)
            .send(|status| status == StatusCode::OK, READ_BYTES_MAX)
            .map_err(|error| self.broken(verb, object, error))?;
        match answer.status {
            StatusCode::OK => Ok(answer.body.into()),
            _ => Err(self.failure(verb, object, answer)),
        }
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let verb = Verb::Read;
        let beyond_end = || {
            let text = format!("it does not have {length} bytes at {offset}");
            self.broken(verb, object, io::Error::new(io::ErrorKind::UnexpectedEof, text))
        };
        if length == 0 {
            // HTTP has no empty range.
            return match self.size(object)? {
                size if offset <= size => Ok(Bytes::new()),
                _ => Err(beyond_end()),
            };
        }
        let last = offset.checked_add(length as u64 - 1).ok_or_else(beyond_end)?;
        let answer = self
            .get(object, length as u64)
            .header(RANGE, format!("bytes={offset}-{last}"))
            .send(|status| status == StatusCode::PARTIAL_CONTENT, length as u64)
            .map_err(|error| self.broken(verb, object, error))?;
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                let content = answer.body;
                if content.len() == length { Ok(content.into()) } else { Err(beyond_end()) }
            }
            StatusCode::OK => {
                let text = "the server ignores ranges, so it is not a restic REST server";
                let source = io::Error::new(io::ErrorKind::Unsupported, text);
                Err(self.broken(verb, object, source))
            }
            _ => Err(self.failure(verb, object, answer)),
        }
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        let verb = Verb::Size;
        let answer = self
            .http
            .request(Method::HEAD, &Self::path(object), 0)
            .send(no_body, 0)
            .map_err(|error| self.broken(verb, object, error))?;
        if answer.status != StatusCode::OK {
            return Err(self.failure(verb, object, answer));
        }
        let length = answer.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        length.ok_or_else(|| {
            let text = "the server does not tell the size";
            self.broken(verb, object, io::Error::new(io::ErrorKind::InvalidData, text))
        })
    }

    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        if kind != Kind::Config {
            return self.listing(kind);
        }
        match self.size(&Object::Config) {
            Ok(size) => Ok(vec![(Object::Config, size)]),
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let verb = Verb::Remove;
        let answer = self
            .http
            .request(Method::DELETE, &Self::path(object), 0)
            .send(no_body, 0)
            .map_err(|error| self.broken(verb, object, error))?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.failure(verb, object, answer)),
        }
    }
}
