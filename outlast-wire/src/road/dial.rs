//! Connecting to the first of several addresses that answers (RFC 8305, "happy eyeballs").

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::error::Tried;

/// How long an address has for itself before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// More addresses of one name than these are not tried.
const ADDRESSES_MAX: usize = 16;
/// The kernel gives up on a peer that acknowledges nothing for this long.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Far below the minutes after which firewalls and address translators forget a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A connection, and where it leads first.
pub(crate) struct Opened {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
}

/// The first connection that is made; what came of each address, if none is by the deadline.
pub(super) async fn first(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
) -> Result<Opened, Vec<Tried>> {
    let mut waiting = in_turn(addresses);
    let mut running: Vec<SocketAddr> = Vec::new();
    let mut attempts = JoinSet::new();
    let mut tried = Vec::new();
    let mut start = Instant::now();
    loop {
        if start <= Instant::now()
            && let Some(address) = waiting.pop_front()
        {
            running.push(address);
            attempts.spawn(async move { (address, connect(address).await) });
            start = Instant::now() + HEAD_START;
        }
        if attempts.is_empty() {
            return Err(tried);
        }
        let next = async {
            match waiting.is_empty() {
                true => pending().await,
                false => sleep_until(start).await,
            }
        };
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => match ended {
                Ok((address, Ok(stream))) => return Ok(Opened { stream, address }),
                Ok((address, Err(error))) => {
                    running.retain(|it| *it != address);
                    tried.push(Tried::new(address, &error));
                    start = Instant::now();
                }
                // An attempt that panicked is one that failed; its address stays among the running.
                Err(_) => start = Instant::now(),
            },
            () = next => {}
            () = sleep_until(deadline) => {
                tried.extend(running.into_iter().map(Tried::unanswered));
                return Err(tried);
            }
        }
    }
}

/// The addresses, those of both versions of the protocol in turn: of a network that carries only one of
/// them, no more than every second try is in vain.
fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let is_first_kind = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_first_kind);
    let mut turns = VecDeque::new();
    while !(one.is_empty() && other.is_empty()) && turns.len() < ADDRESSES_MAX {
        turns.extend(one.pop_front());
        turns.extend(other.pop_front());
    }
    turns
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_take_turns_and_too_many_are_not_tried() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"].map(at);
        let wanted = ["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"].map(at);
        assert_eq!(in_turn(given.to_vec()), wanted);
        let many = (0..99).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(in_turn(many).len(), ADDRESSES_MAX);
    }
}
