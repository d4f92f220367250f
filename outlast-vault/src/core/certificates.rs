//! Which certificates this vault issued, which are revoked, and which authorities are of the past: one
//! line each, appended and never changed.
//!
//! What is revoked must stay so, whatever is lost. A line is on disk, and its content in the audit log,
//! before it is in force; a file that is gone or was put back from an older copy is behind the log's
//! count, and is filled from the log. The number of the last line is that of the list that other tiers
//! hear of, who take none with a lower number.
//!
//! Certificates that others issued are noted when they are met, in a file of their own, which may be
//! lost: then they are met again.

mod line;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_types::Timestamp;
use outlast_wire::revocation::{Revocation, Revocations, Revoked};
use outlast_wire::{Authorities, Certified, Ended, Fingerprint, Peer};

use super::audit::{AuditLog, Source};
use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

pub(crate) use self::line::What;
use self::line::{Line, Met};

const KEY: &str = "certificates.jsonl";
const MET_KEY: &str = "certificates-met.jsonl";
/// A longer file was not written by us: a million certificates.
const BYTES_MAX: u64 = 1 << 30;
/// So many certificates of others are noted.
const MET_MAX: usize = 10_000;

/// A certificate that is known here.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) certified: Certified,
    /// When it was issued or met, and by whom: `operator up`; `None` if others issued it.
    pub(crate) at: Timestamp,
    pub(crate) by: Option<String>,
    /// On what grounds: `token 7`, `renewal`.
    pub(crate) grounds: Option<String>,
}

/// The record.
pub(crate) struct Certificates {
    storage: Storage,
    audit: Arc<AuditLog>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were issued or met.
    known: Vec<Known>,
    places: HashMap<Fingerprint, usize>,
    revocations: Vec<Revocation>,
    ended: HashMap<Fingerprint, Ended>,
    /// The number of the last line, and of the list of revocations.
    number: u64,
    /// Where the next line goes: behind the last whole one.
    end: u64,
    met_end: u64,
    met: usize,
}

impl Certificates {
    /// Reads the record, and fills it from the audit log if it is behind.
    pub(crate) fn open(storage: &Storage, audit: &Arc<AuditLog>) -> Result<Self, VaultError> {
        let (lines, end) = read::<Line>(storage, KEY)?;
        let mut state = State { end, ..State::default() };
        for line in &lines {
            line.check().map_err(invalid(storage, KEY))?;
            audit.record_member(Source::Certificates, line.number, line.entry())?;
            state.take(line);
        }
        let (storage, audit) = (Storage::clone(storage), Arc::clone(audit));
        let record = Self { storage, audit, state: Mutex::new(state) };
        record.fill_in(lines.last().map_or(0, |line| line.number))?;
        let (met, met_end) = read::<Met>(&record.storage, MET_KEY)?;
        let mut state = record.lock();
        state.met_end = met_end;
        for Met { at, certified, .. } in met {
            state.meet(certified, at);
        }
        drop(state);
        Ok(record)
    }

    /// Takes what the audit log has beyond `last`, which a file that was lost or put back has not.
    fn fill_in(&self, last: u64) -> Result<(), VaultError> {
        if !self.audit.has_member(Source::Certificates, last + 1) {
            return Ok(());
        }
        tracing::error!(
            file = KEY,
            "the record of certificates is behind the audit log: it was lost or put back; filling it \
             from the log"
        );
        let mut missing = Vec::new();
        self.audit.members(Source::Certificates, &mut |number, content| {
            if number > last
                && let Ok(line) = serde_json::from_value::<Line>(content)
            {
                missing.push(line);
            }
        })?;
        let mut state = self.lock();
        for line in missing {
            line.check().map_err(invalid(&self.storage, KEY))?;
            self.write(&mut state, &line)?;
            state.take(&line);
        }
        match self.audit.has_member(Source::Certificates, state.number + 1) {
            // Somebody may be revoked of whom nothing is left.
            true => Err(invalid(&self.storage, KEY)(
                "lines are missing that the audit log counted and does not have; put both back from \
                 a copy"
                    .to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Notes what happened: on disk and in the audit log when this returns.
    pub(crate) fn note(&self, by: &str, at: Timestamp, what: What) -> Result<(), VaultError> {
        let mut state = self.lock();
        let line = Line::new(state.number + 1, at, by, what);
        self.write(&mut state, &line)?;
        state.take(&line);
        self.audit.record_member(Source::Certificates, line.number, line.entry())
    }

    fn write(&self, state: &mut State, line: &Line) -> Result<(), StorageError> {
        let failed = || StorageError::of(&*self.storage, "write", KEY);
        let mut bytes = serde_json::to_vec(line).map_err(|error| failed()(error.into()))?;
        bytes.push(b'\n');
        // What an append that failed may have left there is written over.
        self.storage.append(KEY, state.end, &bytes, Durability::Durable).map_err(failed())?;
        state.end += bytes.len() as u64;
        Ok(())
    }

    /// Whether this certificate is known, or there is no room to note one more.
    pub(crate) fn is_known(&self, fingerprint: &Fingerprint) -> bool {
        let state = self.lock();
        state.places.contains_key(fingerprint) || state.met >= MET_MAX
    }

    /// Notes a certificate that others issued.
    pub(crate) fn meet(&self, certified: &Certified, at: Timestamp) -> Result<(), VaultError> {
        let mut state = self.lock();
        if state.places.contains_key(&certified.fingerprint) || state.met >= MET_MAX {
            return Ok(());
        }
        let failed = || StorageError::of(&*self.storage, "write", MET_KEY);
        let met = Met::new(at, certified.clone());
        let mut bytes = serde_json::to_vec(&met).map_err(|error| failed()(error.into()))?;
        bytes.push(b'\n');
        let end = state.met_end;
        self.storage.append(MET_KEY, end, &bytes, Durability::Fast).map_err(failed())?;
        state.met_end += bytes.len() as u64;
        state.meet(certified.clone(), at);
        Ok(())
    }

    /// All that are known, in the order in which they were issued or met.
    pub(crate) fn list(&self) -> Vec<Known> {
        self.lock().known.clone()
    }

    /// The list of revocations.
    pub(crate) fn revocations(&self) -> Revocations {
        let state = self.lock();
        Revocations::new(state.number, state.revocations.clone())
    }

    /// From when on a new certificate of `peer` must begin, so that it is not revoked with those before.
    pub(crate) fn holder_revoked(&self, peer: &Peer) -> Option<Timestamp> {
        let marks = |entry: &Revocation| match &entry.revoked {
            Revoked::Holder { peer: of, begun_by } if of == peer => Some(*begun_by),
            _ => None,
        };
        self.lock().revocations.iter().filter_map(marks).max()
    }

    /// `authorities`, with the points at which those of the past ended.
    pub(crate) fn with_ends(&self, authorities: &Authorities) -> Authorities {
        let state = self.lock();
        let mut authorities = authorities.clone();
        for past in &mut authorities.past {
            let recorded = past.fingerprint().ok().and_then(|it| state.ended.get(&it).cloned());
            past.ended = recorded.or_else(|| past.ended.take());
        }
        authorities
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, line: &Line) {
        self.number = line.number;
        match &line.what {
            What::Issued { certified, grounds } => self.know(Known {
                certified: certified.clone(),
                at: line.at,
                by: Some(line.by.clone()),
                grounds: Some(grounds.clone()),
            }),
            What::Revoked { revoked, reason } => {
                let (revoked, reason) = (revoked.clone(), reason.clone());
                self.revocations.push(Revocation { revoked, at: line.at, reason });
            }
            What::AuthorityEnded { fingerprint, ended, .. } => {
                self.ended.insert(*fingerprint, ended.clone());
            }
        }
    }

    fn meet(&mut self, certified: Certified, at: Timestamp) {
        if self.places.contains_key(&certified.fingerprint) {
            return;
        }
        self.met += 1;
        self.know(Known { certified, at, by: None, grounds: None });
    }

    fn know(&mut self, known: Known) {
        self.places.insert(known.certified.fingerprint, self.known.len());
        self.known.push(known);
    }
}

fn invalid(storage: &Storage, key: &'static str) -> impl Fn(String) -> VaultError {
    let storage = Storage::clone(storage);
    move |reason| {
        let source = io::Error::new(io::ErrorKind::InvalidData, reason);
        StorageError::of(&*storage, "understand", key)(source).into()
    }
}

/// The lines of a file, and where its last whole line ends. What a crash cut off there was not in force.
fn read<T: serde::de::DeserializeOwned>(
    storage: &Storage,
    key: &'static str,
) -> Result<(Vec<T>, u64), VaultError> {
    let content =
        storage.read(key, BYTES_MAX).map_err(StorageError::of(&**storage, "open", key))?;
    let (mut lines, mut end) = (Vec::new(), 0);
    for (number, line) in
        (1..).zip(content.unwrap_or_default().split_inclusive(|byte| *byte == b'\n'))
    {
        let Some(text) = line.strip_suffix(b"\n") else {
            tracing::warn!(file = key, number, "a line was cut off by a crash");
            break;
        };
        lines.push(serde_json::from_slice(text).map_err(|error| {
            invalid(storage, key)(format!("line {number} cannot be read: {error}"))
        })?);
        end += line.len() as u64;
    }
    Ok((lines, end))
}

#[cfg(test)]
mod tests;
