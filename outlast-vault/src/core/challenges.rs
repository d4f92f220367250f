//! What the vault gives out to be signed over, and the newest that it heard from each agent.
//!
//! The key lies in the storage, so that whoever was given a challenge before a restart need not ask
//! again. If it is lost, a new one is made: all that follows is that everybody asks once more.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use outlast_types::{Environment, ShareId, Timestamp, hex};
use outlast_wire::challenge::{Challenge, ChallengeKey, GOOD_FOR, KEY_BYTES, Stale};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::storage::{Durability, Storage, StorageError};

const RECORD: &str = "challenge.json";
const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 1 << 12;

/// Of so many shares one agent may speak within the time for which a challenge is good. More are a
/// flood.
const SHARES_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
struct RecordJson<'a> {
    version: u32,
    /// In hex. Borrowed, so that what holds it is wiped.
    key: &'a str,
}

/// The challenges of one vault.
pub(crate) struct Challenges {
    key: ChallengeKey,
    /// When this run of the vault began. It does not know what was heard before, so reports are to be
    /// signed over what it gave out itself.
    began: Timestamp,
    heard: Mutex<BTreeMap<String, BTreeMap<Option<ShareId>, Place>>>,
}

/// Where a report stands among those of its source: when its challenge was given, and its counter.
pub(crate) type Place = (Timestamp, u64);

/// Why a report does nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    #[error("a report that is newer was heard already, or this very one")]
    Older,
    #[error("it is signed over a challenge of before this vault was started")]
    OfBefore,
    #[error("this agent speaks of more than {SHARES_MAX} shares at one time")]
    TooManyShares,
}

impl Challenges {
    pub(crate) fn open(storage: &Storage, environment: &Environment) -> Result<Self, StorageError> {
        let began = environment.clock.now();
        let cannot = |action| StorageError::of(&**storage, action, RECORD);
        let content = storage.read(RECORD, RECORD_BYTES_MAX).map_err(cannot("read"))?;
        let content = content.map(Zeroizing::new);
        let secret = match content.as_deref().map(|content| parse(content)) {
            Some(Ok(secret)) => secret,
            // One of a later release stays for that one.
            Some(Err(Damaged::Newer(source))) => return Err(cannot("understand")(source)),
            None | Some(Err(Damaged::Torn)) => {
                let secret = ChallengeKey::secret(&*environment.random);
                let key = Zeroizing::new(hex::encode(&*secret));
                let record = serde_json::to_vec(&RecordJson { version: VERSION, key: &key });
                let record =
                    Zeroizing::new(record.map_err(io::Error::other).map_err(cannot("write"))?);
                storage.replace(RECORD, &record, Durability::Durable).map_err(cannot("write"))?;
                secret
            }
        };
        Ok(Self { key: ChallengeKey::new(&secret), began, heard: Mutex::default() })
    }

    pub(crate) fn issue(&self, now: Timestamp) -> Challenge {
        self.key.issue(now)
    }

    /// When the challenge was given, if it is good at `now`.
    pub(crate) fn check(&self, challenge: &Challenge, now: Timestamp) -> Result<Timestamp, Stale> {
        self.key.check(challenge, now)
    }

    /// Notes a report of an agent, if it is newer than all that was heard of it and this share.
    pub(crate) fn note(
        &self,
        agent: &str,
        share: Option<ShareId>,
        place: Place,
        now: Timestamp,
    ) -> Result<(), Unheard> {
        if place.0 < self.began && self.began <= now {
            return Err(Unheard::OfBefore);
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let shares = heard.entry(agent.to_owned()).or_default();
        // What is older than any challenge that is good, or still to come after the clock was set
        // back, is refused for that. So it need not be remembered.
        shares.retain(|_, (at, _)| *at <= now && now.since(*at) <= GOOD_FOR);
        if shares.get(&share).is_some_and(|newest| place <= *newest) {
            return Err(Unheard::Older);
        }
        if shares.len() >= SHARES_MAX && !shares.contains_key(&share) {
            return Err(Unheard::TooManyShares);
        }
        shares.insert(share, place);
        Ok(())
    }
}

enum Damaged {
    /// A crash cut it off, or it was never a record.
    Torn,
    Newer(io::Error),
}

fn parse(content: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Damaged> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let head: Head = serde_json::from_slice(content).map_err(|_| Damaged::Torn)?;
    if head.version > VERSION {
        let text = format!("version {} is newer than this program", head.version);
        return Err(Damaged::Newer(io::Error::new(io::ErrorKind::InvalidData, text)));
    }
    let record: RecordJson<'_> = serde_json::from_slice(content).map_err(|_| Damaged::Torn)?;
    hex::decode_32(record.key).map(Zeroizing::new).ok_or(Damaged::Torn)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use outlast_types::SystemRandom;

    use super::*;
    use crate::core::storage::Records as _;
    use crate::core::storage::memory::MemoryStorage;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.saturating_add(Duration::from_secs(1_000_000 + seconds))
    }

    fn challenges(began: Timestamp) -> Challenges {
        let key = ChallengeKey::new(&[1; KEY_BYTES]);
        Challenges { key, began, heard: Mutex::default() }
    }

    #[test]
    fn a_challenge_outlives_the_vault_that_gave_it_and_a_lost_key_is_made_anew() {
        let environment = Environment::system();
        let memory = Arc::new(MemoryStorage::default());
        let storage: Storage = memory.clone();
        let open = || Challenges::open(&storage, &environment).unwrap();
        let now = environment.clock.now();
        let given = open().issue(now);
        assert_eq!(open().check(&given, now), Ok(now));
        for torn in [&b""[..], b"{\"version\":1}", b"{\"version\":1,\"key\":\"ab\"}"] {
            memory.replace(RECORD, torn, Durability::Durable).unwrap();
            assert_eq!(open().check(&given, now), Err(Stale::Foreign));
        }
        memory.replace(RECORD, b"{\"version\":2}", Durability::Durable).unwrap();
        let refused = Challenges::open(&storage, &environment).err().unwrap();
        assert!(refused.to_string().contains("newer"), "{refused}");
    }

    #[test]
    fn what_is_not_newer_than_what_was_heard_does_nothing() {
        let challenges = challenges(at(0));
        let one = Some(ShareId::new(&SystemRandom));
        let note = |share, place, now| challenges.note("eu-1", share, place, now);
        assert_eq!(note(one, (at(5), 3), at(6)), Ok(()));
        for older in [(at(5), 3), (at(5), 2), (at(4), 9)] {
            assert_eq!(note(one, older, at(6)), Err(Unheard::Older), "{older:?}");
        }
        // Another share, another agent: sources of their own.
        assert_eq!(note(None, (at(4), 1), at(6)), Ok(()));
        assert_eq!(challenges.note("eu-2", one, (at(4), 1), at(6)), Ok(()));
        assert_eq!(note(one, (at(5), 4), at(7)), Ok(()));
        // A process that was started anew begins to count anew, over a newer challenge.
        assert_eq!(note(one, (at(6), 1), at(7)), Ok(()));
        assert_eq!(note(one, (at(5), 5), at(8)), Err(Unheard::Older));
    }

    #[test]
    fn reports_of_before_a_start_are_not_repeated_after_it() {
        let challenges = challenges(at(100));
        let note = |place, now| challenges.note("eu-1", None, place, now);
        assert_eq!(note((at(99), 7), at(101)), Err(Unheard::OfBefore));
        assert_eq!(note((at(100), 1), at(101)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nobody() {
        let challenges = challenges(at(5000));
        let note = |place, now| challenges.note("eu-1", None, place, now);
        assert_eq!(note((at(6000), 1), at(6000)), Ok(()));
        // An hour earlier now: what was heard is still to come, and what is said now counts.
        assert_eq!(note((at(2000), 1), at(2001)), Ok(()));
        assert_eq!(note((at(2000), 1), at(2001)), Err(Unheard::Older));
    }

    #[test]
    fn an_agent_that_makes_up_shares_fills_nothing_and_pushes_nobody_out() {
        let challenges = challenges(at(0));
        let mine = Some(ShareId::new(&SystemRandom));
        challenges.note("eu-1", mine, (at(1), 1), at(2)).unwrap();
        let flood = |now| {
            let share = Some(ShareId::new(&SystemRandom));
            challenges.note("eu-2", share, (at(1), 1), now)
        };
        assert!((0..SHARES_MAX).all(|_| flood(at(2)).is_ok()));
        assert_eq!(flood(at(2)), Err(Unheard::TooManyShares));
        let replayed = challenges.note("eu-1", mine, (at(1), 1), at(3));
        assert_eq!(replayed, Err(Unheard::Older));
        let later = (at(700), 1);
        assert_eq!(challenges.note("eu-2", None, later, at(701)), Ok(()), "the flood is over");
    }
}
