//! Tokens by which hosts get their first certificate: what each gives, and what became of it.
//!
//! A token itself is printed once and kept nowhere; what is kept checks proofs of it. Each has a record
//! of its own, durable before anything is answered. A record outlives its token by some months, so that
//! who comes late hears why, and who lost an answer gets it again.
//!
//! A record that is gone makes its token unknown, and one that was put back from an older copy must not
//! make a used token new: whoever redeems one asks the record of certificates, too.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_types::Timestamp;
use outlast_wire::enrollment::{Keys, ProofKey, TokenId};
use outlast_wire::{Certified, Grants, Peer};
use serde::{Deserialize, Serialize};

use super::error::VaultError;
use super::refusal::{TokenRefusal, USES_A_DAY};
use super::storage::{Durability, Storage, StorageError};

const VERSION: u32 = 1;
const FOLDER: &str = "tokens";
const RECORD_BYTES_MAX: u64 = 1 << 20;
/// So many records are kept.
const TOKENS_MAX: usize = 10_000;
/// How long a record outlives its token.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Wrong proofs that are told so in a minute.
const FAILURES_A_MINUTE: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// What a token gives, before it is made.
#[derive(Debug, Clone)]
pub(crate) struct NewToken {
    pub(crate) peer: Peer,
    pub(crate) grants: Grants,
    pub(crate) hosts: Vec<String>,
    pub(crate) until: Timestamp,
    pub(crate) is_reusable: bool,
}

/// What is kept of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    version: u32,
    pub(crate) id: TokenId,
    key: ProofKey,
    /// Whose certificate it gives.
    pub(crate) peer: Peer,
    pub(crate) grants: Grants,
    /// The names of a vault or media server.
    pub(crate) hosts: Vec<String>,
    pub(crate) made: Timestamp,
    /// Whose certificate ordered it: `operator up`.
    pub(crate) by: String,
    pub(crate) until: Timestamp,
    pub(crate) is_reusable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<Timestamp>,
    /// Those of the last day, the newest last.
    #[serde(default)]
    uses: Vec<Use>,
    /// The answer to the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Answered>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Use {
    at: Timestamp,
    keys: Keys,
}

/// A certificate that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) keys: Keys,
    pub(crate) certified: Certified,
    /// In PEM.
    pub(crate) chain: String,
}

/// What is to be answered to somebody who has proved to have a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A new certificate.
    New,
    /// The one that was given for these keys.
    Again(Box<Answered>),
}

impl TokenRecord {
    /// Whether the token serves for `keys`.
    pub(crate) fn judge(&self, keys: &Keys, now: Timestamp) -> Result<Verdict, TokenRefusal> {
        let id = self.id;
        if let Some(at) = self.revoked {
            return Err(TokenRefusal::Revoked { id, at });
        }
        if let Some(answer) = &self.answer
            && answer.keys == *keys
        {
            return Ok(Verdict::Again(Box::new(answer.clone())));
        }
        if self.uses.iter().any(|used| used.keys == *keys) {
            return Err(TokenRefusal::Superseded { id });
        }
        if now > self.until {
            return Err(TokenRefusal::Expired { id, until: self.until, now });
        }
        match self.uses.last() {
            Some(last) if !self.is_reusable => Err(TokenRefusal::Used { id, at: last.at }),
            _ if self.uses_of_a_day(now) >= USES_A_DAY => Err(TokenRefusal::TooOften { id }),
            _ => Ok(Verdict::New),
        }
    }

    /// When it served last.
    pub(crate) fn last_use(&self) -> Option<Timestamp> {
        self.uses.last().map(|used| used.at)
    }

    fn uses_of_a_day(&self, now: Timestamp) -> usize {
        self.uses.iter().filter(|used| now.since(used.at) < DAY).count()
    }

    /// The token has served.
    fn note_use(&mut self, at: Timestamp, answer: Answered) {
        // The newest stays, so that one that serves once has served for ever.
        self.uses.retain(|used| at.since(used.at) < DAY);
        self.uses.push(Use { at, keys: answer.keys });
        self.answer = Some(answer);
    }
}

/// All tokens of a vault.
pub(crate) struct Tokens {
    storage: Storage,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<TokenId, TokenRecord>,
    /// Wrong proofs since then, by the vault's clock.
    failures: Option<(Timestamp, u32)>,
}

impl Tokens {
    pub(crate) fn open(storage: &Storage) -> Result<Self, VaultError> {
        let listed = storage.list(FOLDER).map_err(StorageError::of(&**storage, "list", FOLDER))?;
        let mut records = BTreeMap::new();
        for name in listed {
            let Some(id) = name.strip_suffix(".json").and_then(|id| id.parse().ok()) else {
                continue;
            };
            let key = key_of(id);
            let content = storage.read(&key, RECORD_BYTES_MAX);
            let content = content.map_err(StorageError::of(&**storage, "read", &key))?;
            let invalid = |reason: String| {
                let source = io::Error::new(io::ErrorKind::InvalidData, reason);
                StorageError::of(&**storage, "understand", &key)(source)
            };
            let record: TokenRecord = serde_json::from_slice(&content.unwrap_or_default())
                .map_err(|error| invalid(error.to_string()))?;
            if record.version > VERSION || record.id != id {
                let text = format!("it is of token {} and version {}", record.id, record.version);
                return Err(invalid(text).into());
            }
            records.insert(id, record);
        }
        let state = State { records, failures: None };
        Ok(Self { storage: Storage::clone(storage), state: Mutex::new(state) })
    }

    /// Keeps what is needed of a new token. It is on disk when this returns.
    pub(crate) fn make(
        &self,
        id: TokenId,
        key: ProofKey,
        by: &str,
        now: Timestamp,
        new: NewToken,
    ) -> Result<TokenRecord, VaultError> {
        let NewToken { peer, grants, hosts, until, is_reusable } = new;
        let record = TokenRecord {
            version: VERSION,
            id,
            key,
            peer,
            grants,
            hosts,
            made: now,
            by: by.to_owned(),
            until,
            is_reusable,
            revoked: None,
            uses: Vec::new(),
            answer: None,
        };
        let mut state = self.lock();
        self.forget_old(&mut state, now)?;
        if state.records.len() >= TOKENS_MAX {
            let reason =
                format!("there are {TOKENS_MAX} tokens, which is all that a vault remembers");
            return Err(VaultError::Busy { reason });
        }
        self.write(&record)?;
        state.records.insert(id, record.clone());
        Ok(record)
    }

    /// All of them, those that ended with them.
    pub(crate) fn list(&self) -> Vec<TokenRecord> {
        self.lock().records.values().cloned().collect()
    }

    /// Lets a token serve no more; `None` if there is none of this id. Again changes nothing.
    pub(crate) fn revoke(
        &self,
        id: TokenId,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, VaultError> {
        let mut state = self.lock();
        let Some(record) = state.records.get_mut(&id) else { return Ok(None) };
        if record.revoked.is_none() {
            let revoked = TokenRecord { revoked: Some(now), ..record.clone() };
            self.write(&revoked)?;
            *record = revoked;
        }
        Ok(Some(record.clone()))
    }

    /// Redeems a token: `is_proved` says whether who asks has it, `give` makes the answer, and says what
    /// was given if it is new. That it has served is on disk when this returns; nobody else redeems
    /// meanwhile.
    pub(crate) fn redeem<T>(
        &self,
        id: TokenId,
        now: Timestamp,
        is_proved: impl FnOnce(&ProofKey) -> bool,
        give: impl FnOnce(&TokenRecord) -> Result<(T, Option<Answered>), VaultError>,
    ) -> Result<T, VaultError> {
        let mut state = self.lock();
        // Cheap, and before anything else of the request is looked at.
        let proved = state.records.get(&id).filter(|record| is_proved(&record.key));
        let Some(mut record) = proved.cloned() else {
            return Err(state.failed(now).into());
        };
        let (answer, given) = give(&record)?;
        if let Some(given) = given {
            record.note_use(now, given);
            self.write(&record)?;
            state.records.insert(id, record);
        }
        Ok(answer)
    }

    fn forget_old(&self, state: &mut State, now: Timestamp) -> Result<(), StorageError> {
        let is_old = |record: &&TokenRecord| now.since(record.until) > REMEMBERED;
        let old: Vec<TokenId> = state.records.values().filter(is_old).map(|it| it.id).collect();
        for id in old {
            let key = key_of(id);
            let removed = self.storage.remove(&key).map(drop);
            removed.map_err(StorageError::of(&*self.storage, "remove", &key))?;
            state.records.remove(&id);
        }
        Ok(())
    }

    fn write(&self, record: &TokenRecord) -> Result<(), StorageError> {
        let key = key_of(record.id);
        let failed = || StorageError::of(&*self.storage, "write", &key);
        let content = serde_json::to_vec(record).map_err(|error| failed()(error.into()))?;
        self.storage.replace(&key, &content, Durability::Durable).map_err(failed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a wrong proof, and says what is answered to it. A right one is never held up by wrong ones.
    fn failed(&mut self, now: Timestamp) -> TokenRefusal {
        let (since, count) = match self.failures {
            Some((since, count)) if now.since(since) < MINUTE && now >= since => (since, count + 1),
            _ => (now, 1),
        };
        self.failures = Some((since, count));
        if count == 1 || count == FAILURES_A_MINUTE {
            tracing::warn!(
                in_this_minute = count,
                "somebody asks for a certificate with a wrong token"
            );
        }
        match count > FAILURES_A_MINUTE {
            true => TokenRefusal::TooManyFailures,
            false => TokenRefusal::NotProved,
        }
    }
}

fn key_of(id: TokenId) -> String {
    format!("{FOLDER}/{id}.json")
}

#[cfg(test)]
mod tests;
