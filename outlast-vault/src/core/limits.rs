//! What policy lets agents have: counted by the vault's clock, kept, and refused beyond.
//!
//! Counts of the day, and what is stored of each workload and by whom, are in `usage.json`, written every
//! few seconds: a crash forgets what came since. A lost record costs the day's counts; what is stored is
//! measured again by a job.

mod policy;
mod usage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use outlast_promise::{Excess, Limit};
use outlast_types::{Clock, WorkloadName};
use outlast_wire::{Peer, Role};

use self::usage::Usage;
use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

pub use self::policy::{AgentLimits, LimitPolicy, UNLIMITED};

/// Stock restic reads a tree with a request for each of its directories.
const OTHERS_REQUESTS_PER_SECOND: u32 = 5000;

const RECORD: &str = "usage.json";
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// What agents may have, and what they have.
pub(crate) struct Limits {
    storage: Storage,
    clock: Arc<dyn Clock>,
    policy: RwLock<Arc<LimitPolicy>>,
    state: Mutex<State>,
}

struct State {
    usage: Usage,
    is_changed: bool,
}

impl Limits {
    /// Goes on with what was counted.
    pub(crate) fn open(
        storage: &Storage,
        clock: Arc<dyn Clock>,
        policy: LimitPolicy,
    ) -> Result<Self, VaultError> {
        let record = storage.read(RECORD, RECORD_BYTES_MAX);
        let record = record.map_err(StorageError::of(&**storage, "read", RECORD))?;
        let usage = match record.map(|record| Usage::parse(&record)) {
            None => Usage::default(),
            Some(Ok(usage)) => usage,
            Some(Err(error)) => {
                tracing::error!(%error, "what agents used cannot be read; it is counted anew");
                Usage::default()
            }
        };
        let state = Mutex::new(State { usage, is_changed: false });
        let policy = RwLock::new(Arc::new(policy));
        Ok(Self { storage: Storage::clone(storage), clock, policy, state })
    }

    /// Other limits hold from now on. What was counted stays.
    pub(crate) fn adopt(&self, policy: LimitPolicy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    fn policy(&self) -> Arc<LimitPolicy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many requests a peer may make in a second.
    pub(crate) fn requests_per_second(&self, peer: &Peer) -> u32 {
        match peer.role() {
            Role::Agent => self.policy().of(peer).requests_per_second,
            _ => OTHERS_REQUESTS_PER_SECOND,
        }
    }

    /// Whether an agent may begin one more workload today.
    pub(crate) fn may_begin(&self, peer: &Peer) -> Result<(), VaultError> {
        if peer.role() != Role::Agent {
            return Ok(());
        }
        let allowed = self.policy().of(peer).new_workloads;
        let begun = self.state().usage.today(self.clock.now().day(), peer.name()).begun;
        within(begun < allowed, peer, Limit::NewWorkloads, allowed, None)
    }

    /// A repository was made for a workload of an agent.
    pub(crate) fn begun(&self, peer: &Peer, workload: &WorkloadName) {
        let mut state = self.state();
        state.is_changed = true;
        if peer.role() == Role::Agent {
            state.usage.today(self.clock.now().day(), peer.name()).begun += 1;
            state.usage.store(workload, Some(peer.name()), 0);
        }
    }

    /// A peer sends one more object of a workload.
    pub(crate) fn begin_object(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
    ) -> Result<(), VaultError> {
        // Before anything of it is taken: whoever is beyond is so with its first byte.
        self.receive(peer, workload, 0, 0)?;
        if peer.role() != Role::Agent {
            return Ok(());
        }
        let allowed = self.policy().of(peer).objects;
        let mut state = self.state();
        state.is_changed = true;
        let today = state.usage.today(self.clock.now().day(), peer.name());
        today.objects = today.objects.saturating_add(1);
        within(today.objects <= allowed, peer, Limit::Objects, allowed, None)
    }

    /// A peer sends `bytes` more of an object of which `before` came already.
    pub(crate) fn receive(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        before: u64,
        bytes: u64,
    ) -> Result<(), VaultError> {
        let mut state = self.state();
        let on_its_way = before.saturating_add(bytes);
        let allowed = self.policy().stored_of(workload);
        let stored = state.usage.stored_of(workload).saturating_add(on_its_way);
        within(stored <= allowed, peer, Limit::WorkloadStored, allowed, Some(workload))?;
        if peer.role() != Role::Agent {
            return Ok(());
        }
        let AgentLimits { received, stored: allowed, .. } = *self.policy().of(peer);
        let stored = state.usage.stored_by(peer.name()).saturating_add(on_its_way);
        within(stored <= allowed, peer, Limit::Stored, allowed, None)?;
        state.is_changed = true;
        let today = state.usage.today(self.clock.now().day(), peer.name());
        today.received = today.received.saturating_add(bytes);
        within(today.received <= received, peer, Limit::Received, received, None)
    }

    /// So much of a workload was stored for a peer.
    pub(crate) fn stored(&self, peer: &Peer, workload: &WorkloadName, bytes: u64) {
        let mut state = self.state();
        state.is_changed = true;
        let agent = Some(peer.name()).filter(|_| peer.role() == Role::Agent);
        state.usage.store(workload, agent, bytes);
    }

    /// So much is stored of a workload, whatever was counted.
    pub(crate) fn measured(&self, workload: &WorkloadName, bytes: u64) {
        let mut state = self.state();
        state.is_changed = true;
        state.usage.measured(workload, bytes);
    }

    /// What is stored of each workload.
    pub(crate) fn all_stored(&self) -> BTreeMap<WorkloadName, u64> {
        self.state().usage.all_stored()
    }

    /// Writes what was counted since the last time.
    pub(crate) fn write(&self) -> Result<(), VaultError> {
        let record = {
            let mut state = self.state();
            if !std::mem::take(&mut state.is_changed) {
                return Ok(());
            }
            state.usage.written()
        };
        let written = self.storage.replace(RECORD, &record, Durability::Durable);
        if written.is_err() {
            self.state().is_changed = true;
        }
        Ok(written.map_err(StorageError::of(&*self.storage, "write", RECORD))?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn within(
    is_within: bool,
    peer: &Peer,
    limit: Limit,
    allowed: u64,
    workload: Option<&WorkloadName>,
) -> Result<(), VaultError> {
    if is_within {
        return Ok(());
    }
    let excess = Excess { limit, allowed, workload: workload.cloned() };
    Err(VaultError::OverLimit { peer: peer.clone(), excess })
}

#[cfg(test)]
mod tests;
