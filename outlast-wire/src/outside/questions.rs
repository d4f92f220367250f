//! Asking a server of others for what it knows, over TLS and with a key from a file: such as a backup product for its jobs.

use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use hyper::header::{ACCEPT, AUTHORIZATION};
use outlast_types::Interrupt;
use url::Url;
use zeroize::Zeroizing;

use super::secret::{SecretError, secret};
use crate::believed::Believed;
use crate::client::{AddressError, Credentials, Http};
use crate::road::Roads;

/// As much of a refusal as a person reads.
const WORDS_MAX: usize = 200;

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error(transparent)]
    Key(#[from] SecretError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{location} cannot be asked: {source}")]
    Call { location: String, source: io::Error },
    #[error("{location} answers {status}: {words}")]
    Refused { location: String, status: u16, words: String },
}

/// A server that is asked.
pub struct Questions {
    http: Http,
    path: String,
    key: Zeroizing<String>,
    accept: String,
    deadline: Duration,
}

impl Questions {
    /// The server below an `https` address, for answers of one kind.
    pub fn new(
        address: &str,
        key: &Path,
        accept: &str,
        believed: &Believed,
        roads: &Roads,
    ) -> Result<Self, QuestionError> {
        let invalid = |reason: String| {
            QuestionError::Address(AddressError::Invalid { address: address.to_owned(), reason })
        };
        let mut url = Url::parse(address).map_err(|error| invalid(error.to_string()))?;
        if url.scheme() != "https" || !url.has_host() {
            return Err(invalid("a key goes there: it must begin with https://".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds a secret: put the key in a file".to_owned()));
        }
        let path = url.path().trim_matches('/').to_owned();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path("/");
        let http = Http::new(url.as_str(), Credentials::Believing(believed), roads)?;
        let (key, accept) = (secret(key)?, accept.to_owned());
        Ok(Self { http, path, key, accept, deadline: Duration::from_secs(60) })
    }

    /// Gives an answer so long.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Lets `interrupt` break off what is under way.
    pub fn heed(&mut self, interrupt: &Interrupt) {
        self.http.heed(interrupt);
    }

    /// The host, as it may be shown.
    pub fn location(&self) -> &str {
        self.http.location()
    }

    /// The answer to a question, of at most `max` bytes; `None` if the server has nothing under this name.
    pub fn ask(
        &self,
        path: &str,
        query: &[(&str, &str)],
        max: u64,
    ) -> Result<Option<Vec<u8>>, QuestionError> {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(query);
        // Where a space is a plus sign, not all servers see a space.
        let query = encoded.finish().replace('+', "%20");
        let mark = if query.is_empty() { "" } else { "?" };
        let whole = format!("{}/{path}{mark}{query}", self.path);
        let call = self.http.request(Method::GET, whole.trim_start_matches('/'), 0);
        let call = call.within(self.deadline).header(ACCEPT, &self.accept);
        let call = call.header(AUTHORIZATION, self.key.as_str());
        let location = || self.location().to_owned();
        let answer = call
            .send(|status| status.is_success(), max)
            .map_err(|source| QuestionError::Call { location: location(), source })?;
        if answer.status.is_success() {
            return Ok(Some(answer.body));
        }
        if answer.status.as_u16() == 404 {
            return Ok(None);
        }
        let words = String::from_utf8_lossy(&answer.body);
        let words = words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        Err(QuestionError::Refused { location: location(), status: answer.status.as_u16(), words })
    }
}
