//! Objects that come in parts, each in a request of its own: where the road is narrow and breaks, what
//! arrived of a large object need not be sent again, and others have their turns between its parts.
//!
//! `POST …?offset=N&size=TOTAL` with the bytes from `N` on. What came so far is kept in a bounded table,
//! for the peer that sent it and nobody else. It is a convenience: it is forgotten after a while in which
//! nothing comes, with a restart, and when others need the room; whoever sends is told where to go on,
//! and loses nothing but time. An object that is whole is hashed, judged and stored as any other.

mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use outlast_store::{Kind, Object};
use outlast_types::WorkloadName;
use ring::digest;
use tokio::time::{Instant, sleep};

use self::table::{Bounds, Place, Table};
use super::host::{HostError, Incoming};
use crate::peer::{Peer, Role};

/// The longest part that is taken, in bytes.
pub(super) const PART_BYTES_MAX: u64 = 4 << 20;

/// What is kept. Packs lie in files; documents are held in memory, which counts in bytes.
const BOUNDS: Bounds = Bounds { each: 32, total: 128, bytes_each: 32 << 20, bytes_total: 64 << 20 };
/// A media server brings what many agents send.
const OF_A_MEDIA_SERVER: usize = 2;

/// How long an object waits for its next part.
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);

/// Which part of an object a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    /// Of the whole object.
    pub(super) size: u64,
}

impl Part {
    /// The part that a query names, if it names one; an error in words if it names none that can be.
    pub(super) fn parse(query: Option<&str>, bytes_max: u64) -> Result<Option<Self>, String> {
        let (mut offset, mut size) = (None, None);
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some(("offset", number)) => offset = Some(number.parse::<u64>()),
                Some(("size", number)) => size = Some(number.parse::<u64>()),
                // What others ask for, we do not know.
                _ => {}
            }
        }
        match (offset, size) {
            (None, None) => Ok(None),
            (Some(Ok(offset)), Some(Ok(size))) if offset <= size && size > 0 => {
                match size <= bytes_max {
                    true => Ok(Some(Self { offset, size })),
                    false => Err(format!("an object of this kind has at most {bytes_max} bytes")),
                }
            }
            _ => Err("a part is named by an offset and a size, both numbers of bytes, the offset \
                      within the size"
                .to_owned()),
        }
    }
}

/// What is coming in parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) peer: Peer,
    pub(super) workload: WorkloadName,
    pub(super) object: Object,
}

/// What came of an object so far.
struct Partial {
    incoming: Box<dyn Incoming>,
    hash: digest::Context,
}

/// Why a part is not taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotNow {
    /// The object goes on somewhere else.
    At(u64),
    /// Another part of it is being taken.
    InUse,
    /// There is no room, and nothing of the peer's own that could make some.
    Full,
}

/// All that is coming in parts.
pub(super) struct Parts {
    table: Mutex<Table<Key, Peer, Partial>>,
    /// Whether somebody watches what nobody goes on with.
    is_watched: AtomicBool,
}

/// An object of which nobody else takes a part meanwhile. Dropped, what came of it is kept, unless it is
/// given up or whole.
pub(super) struct Claimed {
    parts: Arc<Parts>,
    key: Key,
    part: Part,
    at: u64,
    now: Duration,
    /// `None` of an object that begins, or that is given up.
    partial: Option<Partial>,
}

impl Parts {
    pub(super) fn new() -> Arc<Self> {
        let table = Mutex::new(Table::new(BOUNDS));
        Arc::new(Self { table, is_watched: AtomicBool::new(false) })
    }

    /// Where an object goes on that `part` is to be of, unless there.
    pub(super) fn expects(&self, key: &Key, part: Part) -> Result<(), NotNow> {
        self.table().expects(key, part.size, part.offset).map_err(not_now)
    }

    /// Takes the object of which `part` is to be the next one.
    pub(super) fn claim(
        self: &Arc<Self>,
        key: Key,
        part: Part,
        now: Duration,
    ) -> Result<Claimed, NotNow> {
        let bytes = if key.object.kind() == Kind::Data { 0 } else { part.size };
        let weight = if key.peer.role() == Role::Media { OF_A_MEDIA_SERVER } else { 1 };
        let mut table = self.table();
        let mut gone = table.expire(now, IDLE_MAX);
        let owner = (key.peer.clone(), weight);
        let claimed = table.claim(&key, owner, (part.size, bytes), part.offset, &mut gone);
        drop(table);
        // Files go without anybody waiting for it at the table.
        drop(gone);
        let partial = claimed.map_err(not_now)?;
        let parts = Arc::clone(self);
        Ok(Claimed { parts, key, part, at: part.offset, now, partial })
    }

    /// Sees to it that what nobody goes on with is forgotten, also if nobody sends a part any more.
    pub(super) fn watch(self: &Arc<Self>, began: Instant) {
        if self.is_watched.swap(true, Ordering::Relaxed) {
            return;
        }
        let parts = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                sleep(IDLE_MAX / 2).await;
                let parts = Arc::clone(&parts);
                let expire = move || parts.expire(began.elapsed());
                if !matches!(tokio::task::spawn_blocking(expire).await, Ok(true)) {
                    return;
                }
            }
        });
    }

    /// Forgets what waited for too long; whether anything is left.
    fn expire(&self, now: Duration) -> bool {
        let mut table = self.table();
        let gone = table.expire(now, IDLE_MAX);
        let is_left = !table.is_empty();
        if !is_left {
            // With the table at hand: whoever adds to it next sees that nobody watches.
            self.is_watched.store(false, Ordering::Relaxed);
        }
        drop(table);
        drop(gone);
        is_left
    }

    fn table(&self) -> MutexGuard<'_, Table<Key, Peer, Partial>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_now(place: Place) -> NotNow {
    match place {
        Place::At(at) => NotNow::At(at),
        Place::InUse => NotNow::InUse,
        Place::Full => NotNow::Full,
    }
}

impl Claimed {
    /// Whether nothing of the object came before.
    pub(super) fn is_new(&self) -> bool {
        self.partial.is_none()
    }

    /// Begins the object with what its host made for it.
    pub(super) fn begin(&mut self, incoming: Box<dyn Incoming>) {
        self.partial = Some(Partial { incoming, hash: digest::Context::new(&digest::SHA256) });
    }

    /// Takes the bytes of the part. What its host does not take ends the object.
    pub(super) fn take(mut self, bytes: &Bytes) -> Result<Self, HostError> {
        if let Some(mut partial) = self.partial.take() {
            partial.incoming.take(bytes)?;
            partial.hash.update(bytes);
            self.at += bytes.len() as u64;
            self.partial = Some(partial);
        }
        Ok(self)
    }

    /// Up to where it came.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn is_whole(&self) -> bool {
        self.at == self.part.size && self.partial.is_some()
    }

    /// The whole object, of which nothing is kept any more, and its SHA-256.
    pub(super) fn finish(mut self) -> Option<(Box<dyn Incoming>, [u8; 32])> {
        let Partial { incoming, hash } = self.partial.take()?;
        let mut sum = [0; 32];
        sum.copy_from_slice(hash.finish().as_ref());
        Some((incoming, sum))
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let partial = self.partial.take();
        self.parts.table().give_back(&self.key, self.at, partial, self.now);
    }
}

#[cfg(test)]
mod tests;
