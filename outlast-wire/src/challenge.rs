//! Challenges: a vault's own time, under a key that only this vault has.
//!
//! Each answer of a vault carries one. Whoever signs over it proves that the words were made after
//! it was given, by the vault's clock and nobody else's; what the signer's own clock says is never
//! needed. One is good for ten minutes, for anybody, and any number of times: it says *when*, and
//! what is signed over it says who and what.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outlast_types::{Random, Timestamp};
use ring::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How long after it was given a challenge may be signed over, by the vault's clock.
pub const GOOD_FOR: Duration = Duration::from_secs(600);

/// The bytes of a key.
pub const KEY_BYTES: usize = 32;

/// No other use of the key makes the same codes.
const CONTEXT: &[u8] = b"outlast challenge v1\0";
/// Seconds and nanoseconds.
const TIME_BYTES: usize = 12;
const CODE_BYTES: usize = 32;
/// Longer than any of ours, or of a later version.
const TEXT_BYTES_MAX: usize = 200;

/// What a vault gave out, as it travels. Empty, it is what somebody sends who was given none yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge(String);

impl Challenge {
    /// One as it stands in a header, if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let fits = (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A challenge that proves nothing now. A fresh one helps, whatever the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    #[error("none was given yet")]
    None,
    #[error("this vault did not give it")]
    Foreign,
    #[error("it was given at {at}, and one is good for {} minutes", GOOD_FOR.as_secs() / 60)]
    Old { at: Timestamp },
    /// The vault's clock was set back since.
    #[error("it was given at {at}, which is still to come by the vault's clock")]
    Ahead { at: Timestamp },
}

/// What a vault makes challenges with, and knows its own by.
pub struct ChallengeKey(hmac::Key);

impl ChallengeKey {
    pub fn new(secret: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The secret of a new key, to be kept.
    pub fn secret(random: &dyn Random) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *secret);
        secret
    }

    /// The challenge of this moment.
    pub fn issue(&self, now: Timestamp) -> Challenge {
        let time = time_bytes(now);
        let code = hmac::sign(&self.0, &[CONTEXT, &time].concat());
        Challenge(URL_SAFE_NO_PAD.encode([&time, code.as_ref()].concat()))
    }

    /// When the challenge was given, if it is good at `now`.
    pub fn check(&self, challenge: &Challenge, now: Timestamp) -> Result<Timestamp, Stale> {
        if challenge.0.is_empty() {
            return Err(Stale::None);
        }
        let at = self.given_at(challenge).ok_or(Stale::Foreign)?;
        if at > now {
            return Err(Stale::Ahead { at });
        }
        if now.since(at) > GOOD_FOR {
            return Err(Stale::Old { at });
        }
        Ok(at)
    }

    fn given_at(&self, challenge: &Challenge) -> Option<Timestamp> {
        if challenge.0.len() > TEXT_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(&challenge.0).ok()?;
        if bytes.len() != TIME_BYTES + CODE_BYTES {
            return None;
        }
        let (time, code) = bytes.split_at(TIME_BYTES);
        // In constant time.
        hmac::verify(&self.0, &[CONTEXT, time].concat(), code).ok()?;
        let (seconds, nanos) = time.split_at(8);
        let seconds = i64::from_be_bytes(seconds.try_into().ok()?);
        Timestamp::from_unix(seconds, u32::from_be_bytes(nanos.try_into().ok()?))
    }
}

fn time_bytes(at: Timestamp) -> [u8; TIME_BYTES] {
    let mut bytes = [0; TIME_BYTES];
    bytes[..8].copy_from_slice(&at.unix_seconds().to_be_bytes());
    bytes[8..].copy_from_slice(&at.nanos().to_be_bytes());
    bytes
}

/// Shows nothing of the key.
impl fmt::Debug for ChallengeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds, 5).unwrap()
    }

    #[test]
    fn a_challenge_is_good_for_ten_minutes_by_the_vaults_clock() {
        let key = ChallengeKey::new(&[7; KEY_BYTES]);
        let given = key.issue(at(1_000_000));
        let same = ChallengeKey::new(&[7; KEY_BYTES]);
        for seconds in [0, 1, 600] {
            assert_eq!(same.check(&given, at(1_000_000 + seconds)), Ok(at(1_000_000)));
        }
        let (old, ahead) = (key.check(&given, at(1_000_601)), key.check(&given, at(999_999)));
        assert_eq!(old, Err(Stale::Old { at: at(1_000_000) }));
        assert_eq!(ahead, Err(Stale::Ahead { at: at(1_000_000) }));
        assert_eq!(key.check(&Challenge::default(), at(1_000_000)), Err(Stale::None));
    }

    #[test]
    fn nobody_but_its_vault_makes_a_challenge_or_changes_one() {
        let key = ChallengeKey::new(&[7; KEY_BYTES]);
        let other = ChallengeKey::new(&[8; KEY_BYTES]);
        let now = at(1_000_000);
        assert_eq!(key.check(&other.issue(now), now), Err(Stale::Foreign));
        let given = key.issue(now);
        let bytes = URL_SAFE_NO_PAD.decode(given.as_str()).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = Challenge(URL_SAFE_NO_PAD.encode(&changed));
            assert_eq!(key.check(&changed, now), Err(Stale::Foreign), "byte {index}");
            let cut = Challenge(URL_SAFE_NO_PAD.encode(&bytes[..index]));
            assert!(key.check(&cut, now).is_err(), "cut at {index}");
        }
        assert_eq!(Challenge::parse(given.as_str()), Some(given));
        for bad in ["", "a b", "ä", "a\r\nb", &"a".repeat(TEXT_BYTES_MAX + 1)] {
            assert_eq!(Challenge::parse(bad), None, "{bad:?}");
        }
    }
}
