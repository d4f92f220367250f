//! A line that is narrow, slow and breaks: between two programs that speak TCP.
//!
//! It listens on loopback and carries what comes to another address, as its [`Weather`] allows, which a
//! test changes while programs are at work. All connections share the line's rate, each way its own.
//! It cuts connections in the middle of what they carry, lets them hang without closing them, and
//! changes bytes; and it counts what went over it. What is random comes from a seed, so that a bad
//! day can be had again, as far as the programs do the same again.

mod carrying;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::carrying::{Carrier, Connection, Direction, Trouble, What};
use crate::chance::Sequence;

/// How long the other side may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the line is. The default carries everything at once.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Whether anybody gets through. If not, connections are closed, and new ones at once.
    pub is_up: bool,
    /// In bytes per second, each way.
    pub rate: Option<u64>,
    /// How much later everything arrives, each way.
    pub delay: Duration,
    /// Connections of a hundred that are cut somewhere within [`Weather::within`] bytes.
    pub cuts: u8,
    /// Connections of a hundred that carry nothing any more from somewhere on, and stay open.
    pub stalls: u8,
    /// Connections of a hundred in which a byte is changed.
    pub changes: u8,
    /// Where troubles come: within so many bytes of a connection, both ways taken together.
    pub within: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            is_up: true,
            rate: None,
            delay: Duration::ZERO,
            cuts: 0,
            stalls: 0,
            changes: 0,
            within: 4 << 20,
        }
    }
}

impl Weather {
    /// A line that nobody gets through.
    pub fn down() -> Self {
        Self { is_up: false, ..Self::default() }
    }

    /// One that carries so many bytes per second each way.
    pub fn of_rate(bytes: u64) -> Self {
        Self { rate: Some(bytes), ..Self::default() }
    }
}

/// What went over a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes towards the far end.
    pub there: u64,
    /// Bytes from it.
    pub back: u64,
    pub connections: u64,
    /// Connections that were cut, hung or changed on purpose.
    pub troubled: u64,
}

/// A line to one address, until it is dropped.
pub struct FaultyLine {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    far_end: SocketAddr,
    weather: Mutex<Weather>,
    chance: Mutex<Sequence>,
    connections: Mutex<Vec<Connection>>,
    ways: [Way; 2],
    taken: AtomicU64,
    troubled: AtomicU64,
    is_over: AtomicBool,
}

/// One direction of the line.
#[derive(Default)]
struct Way {
    carried: AtomicU64,
    /// When the bytes that were taken so far have passed, at the line's rate.
    free_at: Mutex<Option<Instant>>,
}

impl FaultyLine {
    /// A line to `far_end`, such as `127.0.0.1:8443`.
    pub fn to(far_end: impl ToSocketAddrs, seed: u64) -> io::Result<Self> {
        let far_end = far_end.to_socket_addrs()?.next();
        let far_end = far_end.ok_or_else(|| io::Error::other("the far end has no address"))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            far_end,
            weather: Mutex::default(),
            chance: Mutex::new(Sequence::new(seed)),
            connections: Mutex::default(),
            ways: Default::default(),
            taken: AtomicU64::new(0),
            troubled: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.take_connections(&listener))
        };
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where the near end is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how the line is. If it is down, all connections break.
    pub fn set(&self, weather: Weather) {
        let is_up = weather.is_up;
        *self.shared.weather() = weather;
        if !is_up {
            self.cut();
        }
    }

    /// Cuts all connections of this moment; how many there were.
    pub fn cut(&self) -> usize {
        let cut = std::mem::take(&mut *self.shared.connections());
        cut.iter().for_each(Connection::cut);
        cut.len()
    }

    /// What went over it.
    pub fn carried(&self) -> Carried {
        let of = |direction| self.shared.way(direction).carried.load(Ordering::Relaxed);
        Carried {
            there: of(Direction::There),
            back: of(Direction::Back),
            connections: self.shared.taken.load(Ordering::Relaxed),
            troubled: self.shared.troubled.load(Ordering::Relaxed),
        }
    }
}

impl Drop for FaultyLine {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.cut();
        // It waits for one more.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.cut();
    }
}

impl Shared {
    fn take_connections(self: &Arc<Self>, listener: &TcpListener) {
        for near in listener.incoming() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let Ok(near) = near else { continue };
            if !self.weather().is_up {
                continue;
            }
            let Ok(far) = TcpStream::connect_timeout(&self.far_end, PATIENCE) else { continue };
            // Held, so that whoever cuts all of them cuts this one, too.
            let mut connections = self.connections();
            if !self.weather().is_up {
                continue;
            }
            self.taken.fetch_add(1, Ordering::Relaxed);
            let trouble = self.trouble();
            let Ok(connection) = Connection::begin(Arc::clone(self) as _, near, far, trouble)
            else {
                continue;
            };
            connections.retain(|it| !it.is_over());
            connections.push(connection);
        }
    }

    /// What will become of a connection, as chance wants it.
    fn trouble(&self) -> Option<Trouble> {
        let weather = self.weather().clone();
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let (lot, at) = (chance.below(100), chance.below(weather.within.max(1)));
        let cuts = u64::from(weather.cuts);
        let stalls = cuts + u64::from(weather.stalls);
        let what = match lot {
            lot if lot < cuts => What::Cut,
            lot if lot < stalls => What::Stall,
            lot if lot < stalls + u64::from(weather.changes) => What::Change,
            _ => return None,
        };
        Some(Trouble { what, at })
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::There => &self.ways[0],
            Direction::Back => &self.ways[1],
        }
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier for Shared {
    fn pass(&self, direction: Direction, bytes: usize) {
        let Weather { rate, delay, .. } = self.weather().clone();
        let way = self.way(direction);
        let now = Instant::now();
        let mut until = now;
        if let Some(rate) = rate {
            let mut free_at = way.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let begins = free_at.unwrap_or(now).max(now);
            until = begins + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            *free_at = Some(until);
        }
        thread::sleep((until + delay).saturating_duration_since(Instant::now()));
        way.carried.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn troubled(&self) {
        self.troubled.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
