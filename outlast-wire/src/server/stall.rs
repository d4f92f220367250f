//! Streams and bodies that break when the other side does too little for too long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bounds the time of every write. Reads are bounded where their meaning is known: the head of a
/// request by the HTTP layer, its body by [`PacedBody`].
pub(super) struct Stalling<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, timer: None }
    }

    fn bounded<T>(
        &mut self,
        context: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.timer = None;
            return progress;
        }
        let patience = self.patience;
        let timer =
            self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the other side takes nothing any more",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.bounded(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, progress)
    }
}

/// The least that a client must send while somebody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    pub bytes: u64,
    /// In each so long.
    pub window: Duration,
}

/// A client sends too little: it holds what others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("less than {} bytes came within {} ms", of.bytes, of.window.as_millis())]
pub struct TooSlow {
    of: MinRate,
}

/// Whether it is why a body broke off that it came too slowly.
pub fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<TooSlow>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The body of a request, which must come at a rate. Only the time in which somebody waits for the
/// client counts: what the server needs for itself is not held against it.
pub(super) struct PacedBody<B> {
    body: B,
    pace: Pace,
    /// Runs while somebody waits.
    timer: Option<Pin<Box<Sleep>>>,
}

/// How a client keeps pace: pure.
struct Pace {
    rate: MinRate,
    /// What came in this window, and how much of it was waited.
    came: u64,
    waited: Duration,
    /// Since when somebody waits.
    since: Option<Instant>,
}

impl Pace {
    fn new(rate: MinRate) -> Self {
        Self { rate, came: 0, waited: Duration::ZERO, since: None }
    }

    /// Somebody waits; when the window ends if nothing comes.
    fn waits(&mut self, now: Instant) -> Instant {
        *self.since.get_or_insert(now) + self.rate.window.saturating_sub(self.waited)
    }

    /// So much came, or it is time to look; an error if the window is over, and too little came in it.
    fn look(&mut self, bytes: u64, now: Instant) -> Result<(), TooSlow> {
        self.came += bytes;
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        if self.waited < self.rate.window {
            return Ok(());
        }
        if self.came < self.rate.bytes {
            return Err(TooSlow { of: self.rate });
        }
        (self.came, self.waited) = (0, Duration::ZERO);
        Ok(())
    }
}

impl<B> PacedBody<B> {
    pub(super) fn new(body: B, rate: MinRate) -> Self {
        Self { body, pace: Pace::new(rate), timer: None }
    }
}

impl<B> HttpBody for PacedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.timer = None;
            let Some(frame) = frame else { return Poll::Ready(None) };
            let frame = frame.map_err(Into::into);
            let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            let paced = self.pace.look(bytes as u64, Instant::now());
            return Poll::Ready(Some(paced.map_err(Into::into).and(frame)));
        }
        loop {
            let end = self.pace.waits(Instant::now());
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            if let Err(slow) = self.pace.look(0, Instant::now()) {
                return Poll::Ready(Some(Err(slow.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (near, _far) = duplex(8);
        let mut near = Stalling::new(near, Duration::from_millis(20));
        let error = near.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_takes_its_time_is_served() {
        let (near, mut far) = duplex(8);
        let mut near = Stalling::new(near, Duration::from_secs(30));
        let reader = tokio::spawn(async move {
            let mut taken = Vec::new();
            far.read_to_end(&mut taken).await.map(|_| taken)
        });
        near.write_all(&[7; 100]).await.unwrap();
        near.shutdown().await.unwrap();
        drop(near);
        assert_eq!(reader.await.unwrap().unwrap(), [7; 100]);
    }

    const RATE: MinRate = MinRate { bytes: 100, window: Duration::from_secs(10) };

    #[test]
    fn who_drips_is_cut_at_the_end_of_a_window_and_who_keeps_pace_never_is() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut drips = Pace::new(RATE);
        for second in 0..9 {
            assert_eq!(drips.waits(at(second)), at(10), "the window ends when it ends");
            drips.look(1, at(second + 1)).unwrap();
        }
        drips.waits(at(9));
        assert_eq!(drips.look(1, at(10)), Err(TooSlow { of: RATE }));
        let mut keeps = Pace::new(RATE);
        for window in 0..5 {
            keeps.waits(at(10 * window));
            keeps.look(100, at(10 * window + 10)).unwrap();
        }
    }

    #[test]
    fn what_the_server_needs_for_itself_is_not_held_against_a_client() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut pace = Pace::new(RATE);
        for hour in 0..9 {
            pace.waits(at(3600 * hour));
            pace.look(1, at(3600 * hour + 1)).unwrap();
        }
        assert_eq!(pace.waits(at(99_999)), at(100_000), "nine of ten seconds were waited");
    }

    #[tokio::test]
    async fn a_body_of_which_nothing_comes_ends_with_the_reason() {
        struct Silent;
        impl HttpBody for Silent {
            type Data = Bytes;
            type Error = io::Error;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
                Poll::Pending
            }
        }
        let body = axum::body::Body::new(PacedBody::new(
            Silent,
            MinRate { window: Duration::from_millis(20), ..RATE },
        ));
        let error = axum::body::to_bytes(body, 9).await.unwrap_err();
        assert!(is_too_slow(&error), "{error:?}");
        assert!(!is_too_slow(&io::Error::other("something else")));
    }
}
