//! Bodies of requests and answers, within bounds of memory and time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use ring::digest;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::api::ErrorCode;
use crate::server::ApiError;

/// The least time that a body may take, however short it is.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A client that sends more slowly than this, in bytes per second, is cut off: it holds memory
/// that others wait for. That it sends anything at all is the server loop's care.
const RATE_MIN: u64 = 16 << 10;

/// As much of an unwanted body as is taken, so that the client hears the answer.
const DISCARD_BYTES_MAX: u64 = 1 << 20;

/// The length that the head of the request announces, if it does.
pub(super) fn announced(headers: &HeaderMap, bytes_max: u64) -> Result<Option<u64>, ApiError> {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    match length {
        Some(length) if length <= bytes_max => Ok(Some(length)),
        Some(_) => Err(too_large(bytes_max)),
        None => {
            let text = "the length of the content is not a number";
            Err(ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, text))
        }
    }
}

/// A body on its way in, which is hashed as it comes.
pub(super) struct Arriving {
    body: Body,
    hash: digest::Context,
    bytes: u64,
    bytes_max: u64,
    end: Instant,
}

impl Arriving {
    pub(super) fn new(body: Body, announced: Option<u64>, bytes_max: u64) -> Self {
        let patience = Duration::from_secs(announced.unwrap_or(bytes_max) / RATE_MIN);
        let end = Instant::now() + BODY_TIMEOUT + patience;
        Self { body, hash: digest::Context::new(&digest::SHA256), bytes: 0, bytes_max, end }
    }

    /// The next piece, of about `length` bytes or what is left; `None` at the end.
    pub(super) async fn piece(&mut self, length: usize) -> Result<Option<Bytes>, ApiError> {
        let mut piece = BytesMut::new();
        while piece.len() < length
            && let Some(part) = next(&mut self.body, self.end).await?
        {
            self.bytes += part.len() as u64;
            if self.bytes > self.bytes_max {
                return Err(too_large(self.bytes_max));
            }
            self.hash.update(&part);
            piece.extend_from_slice(&part);
        }
        Ok(Some(piece.freeze()).filter(|piece| !piece.is_empty()))
    }

    /// The SHA-256 of what came.
    pub(super) fn hash(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.hash.finish().as_ref());
        hash
    }
}

/// Takes a small body that nobody wants.
pub(super) async fn discard(mut body: Body) {
    let end = Instant::now() + BODY_TIMEOUT;
    let mut bytes = 0;
    while let Ok(Some(piece)) = next(&mut body, end).await {
        bytes += piece.len() as u64;
        if bytes > DISCARD_BYTES_MAX {
            return;
        }
    }
}

/// The next bytes; `None` at the end.
async fn next(body: &mut Body, until: Instant) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        match timeout_at(until, frame).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => {
                // Trailers mean nothing here.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Ok(Some(Err(error))) => {
                let text = format!("the content broke off: {error}");
                return Err(ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BrokenOff, text));
            }
            Err(_) => {
                let text = "the content came too slowly";
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::TooSlow, text));
            }
        }
    }
}

fn too_large(bytes_max: u64) -> ApiError {
    let text = format!("an object of this kind has at most {bytes_max} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, text)
}

/// Content on its way out that gives its room back when it is sent, or when the client is gone.
pub(super) struct Held {
    content: Option<Bytes>,
    _room: OwnedSemaphorePermit,
}

impl Held {
    pub(super) fn new(content: Bytes, room: OwnedSemaphorePermit) -> Self {
        let content = Some(content).filter(|content| !content.is_empty());
        Self { content, _room: room }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.content.take().map(|content| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.as_ref().map_or(0, Bytes::len) as u64)
    }
}
