//! What many share and nobody takes all of: connections, requests, threads, memory.
//!
//! Each peer has a bound of its own below that of all together, and a part is kept for operators, so
//! that people can look while others flood. Who waits is served by need: whoever holds least comes
//! first, and among those who came first. Every wait ends.

mod book;
mod holder;
mod rates;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::book::Book;
use super::error::ApiError;
use crate::api::ErrorCode;

pub use self::holder::{Bounds, Holder};
pub use self::rates::Rates;

/// Something that is shared.
pub struct Shares {
    /// As messages say it: "threads for calls".
    what: &'static str,
    book: Mutex<Book<oneshot::Sender<()>>>,
}

/// No share was to be had in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what} are free for {holder} now")]
pub struct Busy {
    what: &'static str,
    holder: Holder,
}

impl From<Busy> for ApiError {
    fn from(busy: Busy) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Busy, busy.to_string())
            .hint("try again later")
    }
}

impl Shares {
    pub fn new(what: &'static str, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { what, book: Mutex::new(Book::new(bounds)) })
    }

    /// Takes `amount` for `holder`, as soon as it is its turn, within `patience`. More than a holder
    /// may ever have is as much as it may have.
    pub async fn take(
        self: &Arc<Self>,
        holder: &Holder,
        amount: u32,
        patience: Duration,
    ) -> Result<Share, Busy> {
        let (turn, mut granted) = oneshot::channel();
        let place = self.queue(holder, amount, turn);
        let is_granted = match granted.try_recv() {
            Ok(()) => true,
            Err(_) if patience.is_zero() => false,
            Err(_) => timeout(patience, granted).await.is_ok_and(|turn| turn.is_ok()),
        };
        if is_granted {
            return Ok(Share { _place: place });
        }
        Err(Busy { what: self.what, holder: holder.clone() })
    }

    /// Takes `amount` for `holder` if it is there now.
    pub fn take_now(self: &Arc<Self>, holder: &Holder, amount: u32) -> Result<Share, Busy> {
        let (turn, mut granted) = oneshot::channel();
        let place = self.queue(holder, amount, turn);
        match granted.try_recv() {
            Ok(()) => Ok(Share { _place: place }),
            Err(_) => Err(Busy { what: self.what, holder: holder.clone() }),
        }
    }

    fn queue(self: &Arc<Self>, holder: &Holder, amount: u32, turn: oneshot::Sender<()>) -> Place {
        let mut book = self.book();
        let number = book.queue(holder, amount, turn);
        serve(&mut book);
        drop(book);
        Place { shares: Arc::clone(self), number }
    }

    fn book(&self) -> MutexGuard<'_, Book<oneshot::Sender<()>>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells everybody whose turn it is. Who is gone gives its share back by itself.
fn serve(book: &mut Book<oneshot::Sender<()>>) {
    while let Some(turn) = book.next_turn() {
        let _ = turn.send(());
    }
}

/// A place in the queue, and then what was waited for.
struct Place {
    shares: Arc<Shares>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut book = self.shares.book();
        book.leave(self.number);
        serve(&mut book);
    }
}

/// What somebody has; given back when it is dropped.
pub struct Share {
    _place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Peer, Role};

    fn agent(name: &str) -> Holder {
        Holder::Peer(Peer::new(Role::Agent, name).unwrap())
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_gives_back_and_no_wait_is_for_ever() {
        let shares = Shares::new("slots", Bounds { total: 1, each: 1, kept: 0 });
        let (one, two) = (agent("one"), agent("two"));
        let held = shares.take_now(&one, 1).unwrap();
        let busy = shares.take(&two, 1, Duration::from_millis(1)).await.err().unwrap();
        assert_eq!(busy.to_string(), "no slots are free for agent two now");
        assert!(shares.take_now(&two, 1).is_err());
        let waiting = tokio::spawn({
            let (shares, two) = (Arc::clone(&shares), two.clone());
            async move { shares.take(&two, 1, Duration::from_secs(60)).await.is_ok() }
        });
        // It stands in the queue before what it waits for is given back.
        while shares.book().is_nobody_waiting() {
            tokio::task::yield_now().await;
        }
        drop(held);
        assert!(waiting.await.unwrap());
        drop(shares.take_now(&one, 1).unwrap());
    }
}
