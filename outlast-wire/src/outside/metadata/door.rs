//! Asking a metadata service: small answers in plain HTTP, soon or never.

use std::io;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderName;
use outlast_types::Interrupt;

use crate::client::{AddressError, Credentials, Http};
use crate::road::Roads;

/// How long an answer may take; it comes from the host that the machine runs on.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any answer that we ask for.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
/// As much of a strange answer as a person reads.
const WORDS_MAX: usize = 120;

/// Why a metadata service told nothing.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("the metadata service at {address} cannot be asked: {source}")]
    Call { address: String, source: io::Error },
    #[error("the metadata service at {address} answers {status} when asked for {path}: {words:?}")]
    Status { address: String, path: String, status: u16, words: String },
    #[error("what the metadata service at {address} says of {path} is not understood: {words:?}")]
    Strange { address: String, path: String, words: String },
}

/// What was answered.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: String,
}

/// The service, which is asked directly: no proxy knows of it.
pub(super) struct Door(Http);

impl Door {
    pub(super) fn new(address: &str) -> Result<Self, AddressError> {
        Http::new(address, Credentials::None, &Roads::default()).map(Self)
    }

    pub(super) fn heed(&mut self, interrupt: &Interrupt) {
        self.0.heed(interrupt);
    }

    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        header: (&'static str, &str),
        body: &[u8],
    ) -> Result<Answered, MetadataError> {
        let mut call = self.0.request(method, path, 0).within(PATIENCE);
        call = call.header(HeaderName::from_static(header.0), header.1).body(body.to_vec());
        let answer = call.send(|_| true, ANSWER_BYTES_MAX).map_err(|source| {
            let address = self.0.location().to_owned();
            MetadataError::Call { address, source }
        })?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(Answered { status: answer.status.as_u16(), body })
    }

    /// An answer with a status that tells nothing.
    pub(super) fn refused(&self, path: &str, answered: &Answered) -> MetadataError {
        MetadataError::Status {
            address: self.0.location().to_owned(),
            path: path.to_owned(),
            status: answered.status,
            words: words(&answered.body),
        }
    }

    /// An answer that is not what it should be.
    pub(super) fn strange(&self, path: &str, body: &str) -> MetadataError {
        MetadataError::Strange {
            address: self.0.location().to_owned(),
            path: path.to_owned(),
            words: words(body),
        }
    }
}

fn words(body: &str) -> String {
    body.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}
