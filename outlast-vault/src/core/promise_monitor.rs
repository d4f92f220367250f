//! The promise loop's memory: the ledger and the catalog, changed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_catalog::{Catalog, Entry, IncidentRecord, ReportRecord, SnapshotRecord, Totals};
use outlast_promise::{
    Change, Event, Finding, Incident, Ledger, MemoryError, Settings, Source, Validity,
    WorkloadStatus,
};
use outlast_types::{Clock, Timestamp, WorkloadName};

use super::error::VaultError;
use super::orders::Order;

/// How often the ledger is committed although nothing changed that anybody must be told: it
/// bounds what a crash forgets of who was heard when.
const COMMIT_INTERVAL: Duration = Duration::from_secs(10);
/// The vault ticks every second. Who was not called for so long did not run: its host slept, or its
/// clock was set forward. What nobody could hear is not held against an agent.
const ASLEEP: Duration = Duration::from_secs(60);
/// Hearing a source more often than this changes nothing.
const HEARD_INTERVAL: Duration = Duration::from_secs(1);
/// Sources whose last word is remembered here; they are forgotten together, which costs nothing.
const HEARD_MAX: usize = 4096;

/// Watches over promises: hears events, ticks, tells what follows.
pub(crate) struct PromiseMonitor {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Beside the state, so that requests do not wait for a commit to learn that it is too early
    /// for another one.
    heard: Mutex<BTreeMap<Source, Heard>>,
}

struct State {
    ledger: Ledger,
    committed: Timestamp,
}

/// The last word of a source.
#[derive(Clone, Copy)]
struct Heard {
    at: Timestamp,
    certificate: Option<Validity>,
}

/// What a start knows beside what the catalog holds.
pub(crate) struct Opening<'a> {
    pub(crate) settings: Settings,
    /// All that operators ever ordered.
    pub(crate) orders: &'a [Order],
    pub(crate) certificate: Event,
}

impl PromiseMonitor {
    /// Goes on from what the catalog holds.
    pub(crate) fn open(
        catalog: Catalog,
        opening: Opening<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        let now = clock.now();
        let Opening { settings, orders, certificate } = opening;
        let remembered =
            match catalog.ledger()?.map(|text| Ledger::resume(settings.clone(), &text, now)) {
                Some(Err(error @ MemoryError::Damaged(_))) => {
                    tracing::error!(%error, "the promise ledger begins anew from the snapshots");
                    None
                }
                other => other.transpose()?,
            };
        // The catalog is new, or was lost: what the repositories hold is what we know.
        let mut events = vec![certificate];
        let mut orphans = Vec::new();
        if remembered.is_none() {
            let vaulted =
                |(workload, totals): (_, Totals)| Event::Vaulted { workload, at: totals.newest };
            events.extend(catalog.totals()?.into_iter().map(vaulted));
            // Nobody would ever resolve what the lost ledger had opened. What is still so opens again.
            orphans = catalog.incidents()?;
            orphans.retain(|incident| incident.resolved.is_none());
            orphans.iter_mut().for_each(|incident| incident.resolved = Some(now));
        }
        let last_incident_id = catalog.last_incident_id()?;
        let ledger = remembered.unwrap_or_else(|| Ledger::new(settings, last_incident_id, now));
        for incident in ledger.incidents().filter(|incident| incident.folded_into.is_none()) {
            tracing::warn!(incident.id, key = %incident.key(), "still open: {}", incident.cause);
        }
        // A crash may have come between an order and the ledger.
        let unheard = orders.iter().filter(|order| order.number > ledger.last_order());
        events.extend(unheard.map(Order::event));
        let state = State { ledger, committed: Timestamp::EPOCH };
        let (state, heard) = (Mutex::new(state), Mutex::default());
        let watch = Self { catalog, clock, state, heard };
        watch.catalog.commit(&Entry { incidents: &orphans, ..Entry::default() })?;
        watch.change(events, Entry::default(), true)?;
        Ok(watch)
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A snapshot was published: it is in the catalog, and its promise renewed, when this returns.
    pub(crate) fn vaulted(&self, snapshot: &SnapshotRecord) -> Result<(), VaultError> {
        let workload = &snapshot.workload;
        let mut events = vec![Event::Vaulted { workload: workload.clone(), at: snapshot.received }];
        let held = |drop| Event::Custody(Finding::Held { workload: workload.clone(), drop });
        events.extend(snapshot.drop.map(held));
        self.change(events, Entry { snapshot: Some(snapshot), ..Entry::default() }, true)
    }

    /// An agent reported what it saw.
    pub(crate) fn reported(
        &self,
        events: Vec<Event>,
        report: &ReportRecord,
    ) -> Result<(), VaultError> {
        self.change(events, Entry { report: Some(report), ..Entry::default() }, false)
    }

    /// Something is to be noted that no snapshot and no report brought.
    pub(crate) fn noted(&self, events: Vec<Event>) -> Result<(), VaultError> {
        if events.is_empty() {
            return Ok(());
        }
        self.change(events, Entry::default(), true)
    }

    /// An operator ordered something. With `forgotten`, the snapshots of that workload go with it.
    pub(crate) fn ordered(
        &self,
        order: &Order,
        forgotten: Option<&WorkloadName>,
    ) -> Result<(), VaultError> {
        self.change(vec![order.event()], Entry { forgotten, ..Entry::default() }, true)
    }

    /// The workloads of which a drop is known to have been vaulted, among those that `asked` picks.
    pub(crate) fn vaulted_workloads(
        &self,
        asked: impl Fn(&WorkloadName) -> bool,
    ) -> BTreeSet<WorkloadName> {
        let state = self.lock();
        let vaulted = state.ledger.workloads().filter(|status| status.last_vaulted.is_some());
        vaulted.map(|status| status.workload).filter(asked).collect()
    }

    /// Whether a word of this source would be news.
    pub(crate) fn is_news(&self, source: &Source, certificate: Option<Validity>) -> bool {
        let now = self.clock.now();
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(source).is_none_or(|last| {
            last.certificate != certificate || last.at > now || now.since(last.at) >= HEARD_INTERVAL
        })
    }

    /// A source made a request.
    pub(crate) fn heard(
        &self,
        source: Source,
        certificate: Option<Validity>,
    ) -> Result<(), VaultError> {
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() >= HEARD_MAX {
                heard.clear();
            }
            heard.insert(source.clone(), Heard { at: self.clock.now(), certificate });
        }
        self.change(vec![Event::AgentHeard { source, certificate }], Entry::default(), false)
    }

    /// Time passes.
    pub(crate) fn tick(&self) -> Result<(), VaultError> {
        self.change(Vec::new(), Entry::default(), false)
    }

    /// Commits the ledger whatever happened, for the end.
    pub(crate) fn close(&self) -> Result<(), VaultError> {
        self.change(Vec::new(), Entry::default(), true)
    }

    pub(crate) fn status(&self, workload: &WorkloadName) -> Option<WorkloadStatus> {
        self.lock().ledger.workloads().find(|status| status.workload == *workload)
    }

    pub(crate) fn workloads(&self) -> Vec<WorkloadStatus> {
        self.lock().ledger.workloads().collect()
    }

    /// How many incidents are open for each workload, those that others explain included.
    pub(crate) fn open_incidents(&self) -> BTreeMap<WorkloadName, u64> {
        let mut counts = BTreeMap::new();
        for incident in self.lock().ledger.incidents() {
            if let Some(workload) = incident.cause.workload() {
                *counts.entry(workload.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Lets the ledger hear `events`, commits what follows with `entry`, and tells it. If the
    /// commit fails, nothing happened: the ledger stays as it was, and the next tick finds again
    /// what time has brought.
    fn change(
        &self,
        events: Vec<Event>,
        entry: Entry<'_>,
        must_commit: bool,
    ) -> Result<(), VaultError> {
        let mut state = self.lock();
        // Under the lock, so that the ledger hears times in their order.
        let now = self.clock.now();
        let before = state.ledger.clone();
        if now.since(state.ledger.now()) >= ASLEEP {
            tracing::warn!("nothing was heard since {}; did this host sleep?", state.ledger.now());
            state.ledger.slept_until(now);
        }
        let changes = state.ledger.apply_all(events, now);
        let due = state.committed > now || now.since(state.committed) >= COMMIT_INTERVAL;
        if !(must_commit || due || !changes.is_empty() || entry.snapshot.is_some()) {
            return Ok(());
        }
        let incidents: Vec<IncidentRecord> =
            changes.iter().map(|change| incident_record(change.incident())).collect();
        let ledger = state.ledger.encode();
        let entry = Entry { incidents: &incidents, ledger: Some(&ledger), ..entry };
        if let Err(error) = self.catalog.commit(&entry) {
            state.ledger = before;
            return Err(error.into());
        }
        state.committed = now;
        drop(state);
        changes.iter().for_each(tell);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(change: &Change) {
    let incident = change.incident();
    let key = incident.key();
    match change {
        Change::Opened(_) => tracing::warn!(incident.id, %key, "{change}"),
        Change::Resolved(_) => tracing::info!(incident.id, %key, "{change}"),
    }
}

fn incident_record(incident: &Incident) -> IncidentRecord {
    IncidentRecord {
        id: incident.id,
        key: incident.key().to_string(),
        workload: incident.cause.workload().cloned(),
        owner: incident.owner().as_str().to_owned(),
        team: incident.team.clone(),
        cause: incident.cause.to_string(),
        opened: incident.opened,
        resolved: incident.resolved,
    }
}
