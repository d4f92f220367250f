//! Bodies that go out piece by piece, each when it is its turn.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// A piece, in bytes.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// Waits for the turn of so many bytes.
type Turn = Box<dyn FnMut(u64) + Send>;

/// A body of `content`, of which no piece goes out before `turn` returned for it. That one is called on
/// a thread that may block, and one piece ahead at most.
pub(super) fn paced(content: Bytes, turn: impl FnMut(u64) + Send + 'static) -> Body {
    let left = content.len() as u64;
    Body::new(Paced { waiting: Some((content, Box::new(turn))), pieces: None, left })
}

struct Paced {
    /// Until somebody wants the first piece.
    waiting: Option<(Bytes, Turn)>,
    pieces: Option<mpsc::Receiver<Bytes>>,
    left: u64,
}

impl Paced {
    /// Begins to cut pieces. Whoever does so ends when nobody takes them any more.
    fn begin(&mut self) {
        let Some((mut content, mut turn)) = self.waiting.take() else { return };
        let (ready, pieces) = mpsc::channel(1);
        self.pieces = Some(pieces);
        tokio::task::spawn_blocking(move || {
            while !content.is_empty() && !ready.is_closed() {
                let piece = content.split_to(content.len().min(PIECE_BYTES));
                turn(piece.len() as u64);
                if ready.blocking_send(piece).is_err() {
                    return;
                }
            }
        });
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.begin();
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        let Poll::Ready(piece) = pieces.poll_recv(context) else { return Poll::Pending };
        // Whoever cuts died: what ends early must not look whole.
        let piece = piece.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof));
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn no_piece_goes_out_before_its_turn_and_all_of_them_do() {
        let content: Vec<u8> = (0..=255_u8).cycle().take(200_000).collect();
        let turns = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&turns);
        let turn = move |bytes| noted.lock().unwrap().push(bytes);
        let mut body = paced(content.clone().into(), turn);
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut sent = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
            let allowed: u64 = turns.lock().unwrap().iter().sum();
            assert!(sent.len() as u64 <= allowed);
        }
        assert_eq!(sent, content);
        assert_eq!(*turns.lock().unwrap(), [65_536, 65_536, 65_536, 3392]);
    }
}
