//! Connections of which it is not known yet who is at their other end.
//!
//! They cost little, and anybody can make any number of them. So there is room for some, apart from
//! the connections of those who are known, and when it is full, one that has had its chance goes: of
//! the address that has most, the one that has said nothing, longest there. Whoever shows a certificate
//! at once gets in, however many others say nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How long one that has said nothing may stay when there is no room. A client's first words come
/// with the last packet that makes the connection.
const SILENT_MIN: Duration = Duration::from_millis(250);
/// The same for one that is at its handshake: some round trips of a slow road.
const SPEAKING_MIN: Duration = Duration::from_secs(2);

/// Room for those who have not shown who they are.
pub(super) struct Lobby(Mutex<Guests<oneshot::Sender<()>>>);

/// What comes of one who wants in.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// It is in, under this number.
    In(u64),
    /// There is no room, and will be after so long at the latest.
    Wait(Duration),
}

struct Guests<T> {
    room: usize,
    last: u64,
    guests: BTreeMap<u64, Guest<T>>,
}

struct Guest<T> {
    from: IpAddr,
    since: Duration,
    has_spoken: bool,
    /// Dropped when it has to go.
    _stays: T,
}

impl<T> Guests<T> {
    fn enter(&mut self, from: IpAddr, now: Duration, stays: T) -> Result<u64, (Duration, T)> {
        if self.guests.len() >= self.room
            && let Entry::Wait(pause) = self.make_room(now)
        {
            return Err((pause, stays));
        }
        self.last += 1;
        let guest = Guest { from, since: now, has_spoken: false, _stays: stays };
        self.guests.insert(self.last, guest);
        Ok(self.last)
    }

    /// Sends one away that has had its chance.
    fn make_room(&mut self, now: Duration) -> Entry {
        let mut of_address: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for guest in self.guests.values() {
            *of_address.entry(guest.from).or_default() += 1;
        }
        let most = of_address.values().max().copied().unwrap_or(0);
        let crowd = self.guests.iter().filter(|(_, guest)| of_address[&guest.from] == most);
        let chance = |guest: &Guest<T>| guest.since + chance_of(guest.has_spoken);
        let Some((number, guest)) = crowd.min_by_key(|(number, guest)| {
            // Of those that have had their chance, the silent one; else who has had it first.
            let had = chance(guest) <= now;
            (!had, had && guest.has_spoken, chance(guest), **number)
        }) else {
            return Entry::Wait(SILENT_MIN);
        };
        let (number, chance) = (*number, chance(guest));
        if chance > now {
            return Entry::Wait(chance - now);
        }
        self.guests.remove(&number);
        Entry::In(number)
    }

    fn spoke(&mut self, number: u64) {
        if let Some(guest) = self.guests.get_mut(&number) {
            guest.has_spoken = true;
        }
    }
}

fn chance_of(has_spoken: bool) -> Duration {
    if has_spoken { SPEAKING_MIN } else { SILENT_MIN }
}

/// Where somebody is, for the purpose of counting: of the newer protocol everybody has as many
/// addresses as they like below one network.
pub(super) fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

impl Lobby {
    pub(super) fn new(room: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Guests { room, last: 0, guests: BTreeMap::new() })))
    }

    /// Lets somebody in, if need be in place of another. If there is no room, how long it takes until
    /// there is, at most.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        now: Duration,
    ) -> Result<Visit, Duration> {
        let (stays, goes) = oneshot::channel();
        let entered = self.guests().enter(place_of(address), now, stays);
        let number = entered.map_err(|(pause, _)| pause)?;
        Ok(Visit { lobby: Arc::clone(self), number, goes })
    }

    fn guests(&self) -> MutexGuard<'_, Guests<oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's time in the lobby, which ends when this is dropped.
pub(super) struct Visit {
    lobby: Arc<Lobby>,
    number: u64,
    goes: oneshot::Receiver<()>,
}

impl Visit {
    /// The client has begun to speak.
    pub(super) fn spoke(&self) {
        self.lobby.guests().spoke(self.number);
    }

    /// Completes when it has to make room for others.
    pub(super) async fn must_go(&mut self) {
        // Nothing is ever sent: the other end is dropped.
        let _ = (&mut self.goes).await;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.lobby.guests().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn full(from: IpAddr, room: usize) -> Guests<()> {
        let mut guests = Guests { room, last: 0, guests: BTreeMap::new() };
        for millis in 0..room {
            guests.enter(from, at(millis as u64), ()).unwrap();
        }
        guests
    }

    #[test]
    fn silent_ones_give_way_when_they_have_had_their_chance() {
        let mut guests = full(address(1), 4);
        assert_eq!(guests.enter(address(2), at(100), ()), Err((at(150), ())));
        guests.spoke(1);
        let entered = guests.enter(address(2), at(251), ()).unwrap();
        assert!(!guests.guests.contains_key(&2), "the longest silent of the crowd went");
        assert!(guests.guests.contains_key(&1) && guests.guests.contains_key(&entered));
    }

    #[test]
    fn a_crowd_gives_way_before_a_single_one_however_long_that_is_there() {
        let mut guests = Guests { room: 4, last: 0, guests: BTreeMap::new() };
        let alone = guests.enter(address(9), at(0), ()).unwrap();
        for _ in 0..3 {
            guests.enter(address(1), at(1), ()).unwrap();
        }
        for _ in 0..3 {
            guests.enter(address(1), at(9000), ()).unwrap();
        }
        assert!(guests.guests.contains_key(&alone));
    }

    #[test]
    fn those_at_their_handshake_have_more_time_and_give_way_all_the_same() {
        let mut guests = full(address(1), 3);
        (1..=3).for_each(|number| guests.spoke(number));
        let (pause, ()) = guests.enter(address(1), at(500), ()).unwrap_err();
        assert_eq!(pause, at(1500));
        guests.enter(address(1), at(2000), ()).unwrap();
        assert!(!guests.guests.contains_key(&1));
    }

    #[test]
    fn a_network_of_the_newer_protocol_is_one_place() {
        let place = |text: &str| place_of(text.parse().unwrap());
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:0:0:9"));
        assert_ne!(place("2001:db8:0:1::1"), place("2001:db8:0:2::1"));
        assert_eq!(place("::ffff:192.0.2.1"), address(1));
    }

    #[tokio::test]
    async fn who_has_to_go_hears_it_and_who_leaves_makes_room() {
        let lobby = Lobby::new(1);
        let mut first = lobby.enter(address(1), at(0)).unwrap();
        assert!(lobby.enter(address(2), at(1)).is_err());
        let second = lobby.enter(address(2), at(300)).unwrap();
        first.must_go().await;
        drop(first);
        assert!(lobby.enter(address(3), at(301)).is_err(), "the second is still there");
        drop(second);
        lobby.enter(address(3), at(302)).unwrap();
    }
}
