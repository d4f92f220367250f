//! One connection over the line: two threads, one for each way.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes that are carried at one time: a few packets.
const PIECE_BYTES: usize = 16 << 10;
/// How often a connection that hangs looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    There,
    Back,
}

/// What carries the bytes of all connections.
pub(super) trait Carrier: Send + Sync + 'static {
    /// Waits until `bytes` have passed one way.
    fn pass(&self, direction: Direction, bytes: usize);

    /// Hears that a connection was cut, hangs or was changed.
    fn troubled(&self);
}

/// What becomes of a connection when it has carried so many bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) what: What,
    pub(super) at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Cut,
    Stall,
    Change,
}

pub(super) struct Connection {
    ends: Arc<Ends>,
}

struct Ends {
    near: TcpStream,
    far: TcpStream,
    is_over: AtomicBool,
    /// Both ways together.
    carried: AtomicU64,
    trouble: Option<Trouble>,
    had_trouble: AtomicBool,
}

impl Connection {
    pub(super) fn begin(
        carrier: Arc<dyn Carrier>,
        near: TcpStream,
        far: TcpStream,
        trouble: Option<Trouble>,
    ) -> io::Result<Self> {
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ends = Arc::new(Ends {
            near,
            far,
            is_over: AtomicBool::new(false),
            carried: AtomicU64::new(0),
            trouble,
            had_trouble: AtomicBool::new(false),
        });
        for direction in [Direction::There, Direction::Back] {
            let (carrier, ends) = (Arc::clone(&carrier), Arc::clone(&ends));
            thread::spawn(move || {
                // However it ended, the other way hears of it.
                let _ = ends.carry(&*carrier, direction);
            });
        }
        Ok(Self { ends })
    }

    pub(super) fn cut(&self) {
        self.ends.cut();
    }

    pub(super) fn is_over(&self) -> bool {
        self.ends.is_over.load(Ordering::Relaxed)
    }
}

impl Ends {
    fn cut(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Those that are closed already need no more.
        let _ = self.near.shutdown(Shutdown::Both);
        let _ = self.far.shutdown(Shutdown::Both);
    }

    fn carry(&self, carrier: &dyn Carrier, direction: Direction) -> io::Result<()> {
        let (mut from, mut into) = match direction {
            Direction::There => (&self.near, &self.far),
            Direction::Back => (&self.far, &self.near),
        };
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = match from.read(&mut piece) {
                Ok(0) => {
                    // The other way may still have something to say.
                    return into.shutdown(Shutdown::Write);
                }
                Ok(count) => count,
                Err(error) => {
                    self.cut();
                    return Err(error);
                }
            };
            let part = self.suffer(carrier, &mut piece[..count]);
            carrier.pass(direction, part);
            if into.write_all(&piece[..part]).is_err() || part < count {
                self.cut();
                return Ok(());
            }
        }
    }

    /// Does to a piece what is to become of it; how much of it goes on.
    fn suffer(&self, carrier: &dyn Carrier, piece: &mut [u8]) -> usize {
        let before = self.carried.fetch_add(piece.len() as u64, Ordering::Relaxed);
        let Some(trouble) = self.trouble else { return piece.len() };
        let Some(at) = trouble.at.checked_sub(before).and_then(|at| usize::try_from(at).ok())
        else {
            return piece.len();
        };
        if at >= piece.len() || self.had_trouble.swap(true, Ordering::Relaxed) {
            return piece.len();
        }
        carrier.troubled();
        match trouble.what {
            What::Cut => at,
            What::Change => {
                piece[at] ^= 0x55;
                piece.len()
            }
            What::Stall => {
                while !self.is_over.load(Ordering::Relaxed) {
                    thread::sleep(LOOK);
                }
                0
            }
        }
    }
}
