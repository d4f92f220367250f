//! Bodies of requests and answers, within bounds of memory and time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use outlast_store::Kind;
use ring::digest;
use tokio::sync::mpsc;

use crate::api::ErrorCode;
use crate::protocol::OBJECT_BYTES_MAX;
use crate::server::budget::Share;
use crate::server::{ApiError, is_too_slow};

/// The largest index, in bytes: twice as much as stock restic writes without compression.
const INDEX_BYTES_MAX: u64 = 16 << 20;

/// The largest object of the kinds that are small by nature, in bytes. Some snapshots name thousands
/// of paths.
const SMALL_BYTES_MAX: u64 = 4 << 20;

/// As much of an unwanted body as is taken, so that the client hears the answer.
const DISCARD_BYTES_MAX: u64 = 1 << 20;

/// A body that comes without a pause gives way to other requests after so many bytes: small ones must
/// not stand behind the decryption and hashing of large ones.
const TURN_BYTES: usize = 64 << 10;

/// The most bytes of an object of this kind.
pub(super) fn longest(kind: Kind) -> u64 {
    match kind {
        Kind::Data => OBJECT_BYTES_MAX,
        Kind::Index => INDEX_BYTES_MAX,
        Kind::Config | Kind::Key | Kind::Lock | Kind::Snapshot => SMALL_BYTES_MAX,
    }
}

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
    /// How much was hashed since others last had their turn.
    in_turn: usize,
}

impl Arriving {
    pub(super) fn new(body: Body, bytes_max: u64) -> Self {
        Self { body, hash: digest::Context::new(&digest::SHA256), bytes: 0, bytes_max, in_turn: 0 }
    }

    /// The next piece, of about `length` bytes or what is left; `None` at the end.
    pub(super) async fn piece(&mut self, length: usize) -> Result<Option<Bytes>, ApiError> {
        let mut piece = BytesMut::new();
        while piece.len() < length
            && let Some(part) = next(&mut self.body).await?
        {
            self.bytes += part.len() as u64;
            if self.bytes > self.bytes_max {
                return Err(too_large(self.bytes_max));
            }
            self.hash(&part).await;
            piece.extend_from_slice(&part);
        }
        Ok(Some(piece.freeze()).filter(|piece| !piece.is_empty()))
    }

    async fn hash(&mut self, part: &[u8]) {
        for slice in part.chunks(TURN_BYTES) {
            self.hash.update(slice);
            self.in_turn += slice.len();
            if self.in_turn >= TURN_BYTES {
                self.in_turn = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes what is left of an unwanted body, so that the client hears the answer.
    pub(super) async fn discard(self) {
        discard(self.body).await;
    }

    /// The SHA-256 of what came.
    pub(super) fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.hash.finish().as_ref());
        hash
    }
}

/// The whole of a body that is short.
pub(super) async fn whole(mut body: Body, bytes_max: u64) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = next(&mut body).await? {
        if (whole.len() + piece.len()) as u64 > bytes_max {
            let text = format!("a part of an object has at most {bytes_max} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, text));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Takes a small body that nobody wants.
pub(super) async fn discard(mut body: Body) {
    let mut bytes = 0;
    while let Ok(Some(piece)) = next(&mut body).await {
        bytes += piece.len() as u64;
        if bytes > DISCARD_BYTES_MAX {
            return;
        }
    }
}

/// The next bytes; `None` at the end. That they come at all, and at a rate, is the server loop's care.
async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers mean nothing here.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(broken_off(&error)),
        }
    }
}

/// Why a body did not come to its end.
fn broken_off(error: &(dyn std::error::Error + 'static)) -> ApiError {
    if is_too_slow(error) {
        let text = format!("the content came too slowly: {error}");
        return ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::TooSlow, text)
            .hint("look for what slows the road, and send it again");
    }
    let text = format!("the content broke off: {error}");
    ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BrokenOff, text)
}

fn too_large(bytes_max: u64) -> ApiError {
    let text = format!("an object of this kind has at most {bytes_max} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, text)
}

/// Content on its way out, of which some pieces at a time are in memory. It gives its room back when it
/// is sent, or when the client is gone.
pub(super) struct Leaving {
    pieces: mpsc::Receiver<Piece>,
    left: u64,
    _room: Share,
}

/// The next bytes, or why there are none.
type Piece = Result<Bytes, io::Error>;

impl Leaving {
    /// `length` bytes that come through `pieces`.
    pub(super) fn new(pieces: mpsc::Receiver<Piece>, length: u64, room: Share) -> Self {
        Self { pieces, left: length, _room: room }
    }
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.pieces.poll_recv(context) else { return Poll::Pending };
        // What ends early must not look like a whole object.
        let piece = piece.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
        Poll::Ready(Some(piece.map(|piece| {
            self.left = self.left.saturating_sub(piece.len() as u64);
            Frame::data(piece)
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A text that is made while it is sent, and whose length is known before.
pub(super) struct Told<I> {
    pieces: I,
    left: u64,
    _room: Share,
}

impl<I> Told<I> {
    pub(super) fn new(pieces: I, length: u64, room: Share) -> Self {
        Self { pieces, left: length, _room: room }
    }
}

impl<I: Iterator<Item = Bytes> + Unpin> HttpBody for Told<I> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64).min(self.left);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_long_body_gives_way_to_others_while_it_is_hashed() {
        let content = vec![7; 1 << 20];
        let mut arriving = Arriving::new(Body::from(content.clone()), 1 << 20);
        let mut pauses = 0;
        {
            let mut piece = std::pin::pin!(arriving.piece(1 << 20));
            let mut context = Context::from_waker(Waker::noop());
            let piece = loop {
                match piece.as_mut().poll(&mut context) {
                    Poll::Ready(piece) => break piece.unwrap().unwrap(),
                    Poll::Pending => pauses += 1,
                }
            };
            assert_eq!(piece, content);
        }
        assert_eq!(pauses, (1 << 20) / TURN_BYTES);
        let hash = digest::digest(&digest::SHA256, &content);
        assert_eq!(arriving.finish(), hash.as_ref());
    }
}
