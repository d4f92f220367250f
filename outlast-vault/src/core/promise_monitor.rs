//! The promise loop's memory: the ledger and the catalog, changed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_catalog::{
    Catalog, Entry, IncidentRecord, LedgerChange, LedgerRow, ReportRecord, SnapshotRecord, Totals,
};
use outlast_promise::{
    Cause, Change, Event, Finding, Incident, Ledger, LedgerError, Row, Safe, ServiceStatus,
    Settings, Source, SourceStatus, Validity, WorkloadStatus,
};
use outlast_types::{Clock, Owner, SnapshotId, Timestamp, WorkloadName};

use super::deliveries::{Delivered, Deliveries};
use super::error::VaultError;
use super::former::FormerNames;
use super::incidents::{Chronicle, record_of};
use super::orders::Order;
use super::outbox::{self, Outbox};

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
    outbox: Outbox,
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
    /// The names that workloads had before.
    pub(crate) former: &'a FormerNames,
    pub(crate) certificate: Event,
    /// Where what must be told is kept.
    pub(crate) chronicle: Arc<dyn Chronicle>,
    /// Whether releases are withheld.
    pub(crate) withheld: Event,
    /// What backup products have, for a ledger that begins anew.
    pub(crate) deliveries: Option<&'a Deliveries>,
}

impl PromiseMonitor {
    /// Goes on from what the catalog holds; if that was lost, from what the repositories hold and
    /// from the history of incidents that the chronicle keeps.
    pub(crate) fn open(
        catalog: Catalog,
        opening: Opening<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        let now = clock.now();
        let Opening { settings, orders, former, certificate, chronicle, withheld, deliveries } =
            opening;
        let outbox = Outbox::new(chronicle);
        outbox.deliver(&catalog);
        let remembered = remembered(&catalog, (&settings, former), now)?;
        let history = outbox.agree(&catalog, remembered.is_none())?;
        let mut events = vec![certificate, withheld];
        let ledger = match remembered {
            Some(ledger) => ledger,
            None => {
                events.extend(begin_anew(&catalog, history, now)?);
                if let Some(deliveries) = deliveries {
                    events.extend(confirmed(&catalog, deliveries, (orders, former))?);
                }
                // What the chronicle tells of former names is told of those of now.
                for (name, former) in former.iter() {
                    catalog.rename(name, &former.present)?;
                }
                Ledger::new(settings, catalog.last_incident_id()?, now)
            }
        };
        for incident in ledger.incidents().filter(|incident| incident.folded_into.is_none()) {
            tracing::warn!(incident.id, key = %incident.key(), "still open: {}", incident.cause);
        }
        // A crash may have come between an order and the ledger.
        let unheard = orders.iter().filter(|order| order.number > ledger.last_order());
        // It knows workloads by the names that they have now.
        events.extend(unheard.map(|order| order.event_by(former)));
        let state = State { ledger, committed: Timestamp::EPOCH };
        let (state, heard) = (Mutex::new(state), Mutex::default());
        let monitor = Self { catalog, clock, state, heard, outbox };
        monitor.change(events, Entry::default(), true)?;
        monitor.outbox.deliver_news(&monitor.catalog);
        Ok(monitor)
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A snapshot was published: it is in the catalog, and, if it `counts`, its promise renewed, when
    /// this returns.
    pub(crate) fn vaulted(
        &self,
        snapshot: &SnapshotRecord,
        counts: bool,
    ) -> Result<(), VaultError> {
        let (workload, at) = (&snapshot.workload, snapshot.received);
        let point = snapshot.recovery_point();
        let mut events = match snapshot.drop.filter(|_| !counts) {
            Some(drop) => {
                let why = snapshot.sanity.why();
                vec![Event::Suspected { workload: workload.clone(), drop, at, why }]
            }
            None => vec![Event::Vaulted { workload: workload.clone(), at: point }],
        };
        let held = |drop| Event::Custody(Finding::Held { workload: workload.clone(), drop });
        events.extend(snapshot.drop.map(held));
        events.splice(0..0, released(snapshot));
        self.change(events, Entry { snapshot: Some(snapshot), ..Entry::default() }, true)
    }

    /// Snapshots of a workload were removed by the rules of retention, which breaks no promise.
    pub(crate) fn removed(
        &self,
        workload: &WorkloadName,
        snapshots: &[SnapshotId],
    ) -> Result<(), VaultError> {
        let removed = Some((workload, snapshots));
        self.change(Vec::new(), Entry { removed, ..Entry::default() }, !snapshots.is_empty())
    }

    /// An agent reported what it saw. Of a report in parts, one is kept.
    pub(crate) fn reported(
        &self,
        events: Vec<Event>,
        report: Option<&ReportRecord>,
    ) -> Result<(), VaultError> {
        self.change(events, Entry { report, ..Entry::default() }, false)
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

    /// The workloads of which a drop is known to have been vaulted.
    pub(crate) fn vaulted_workloads(&self) -> BTreeSet<WorkloadName> {
        self.lock().ledger.vaulted().cloned().collect()
    }

    /// The workloads of which nothing is left but an agent's word, not repeated for so long, by agent.
    pub(crate) fn unnamed(&self, time: Duration) -> BTreeMap<String, Vec<WorkloadName>> {
        let mut by_agent: BTreeMap<String, Vec<WorkloadName>> = BTreeMap::new();
        for (workload, source) in self.lock().ledger.unnamed(time) {
            by_agent.entry(source.agent).or_default().push(workload);
        }
        by_agent
    }

    /// The workloads of a source, or among those that `asked` picks, of whose content on the share
    /// something cannot be used, or whose drops cannot be made.
    pub(crate) fn troubled(
        &self,
        source: &Source,
        asked: impl Fn(&WorkloadName) -> bool,
    ) -> Vec<WorkloadName> {
        let state = self.lock();
        let concerned = state.ledger.troubled();
        let concerned = concerned.filter(|(name, of)| *of == Some(source) || asked(name));
        concerned.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a word of this source would be news.
    pub(crate) fn is_news(&self, source: &Source, certificate: Option<Validity>) -> bool {
        let now = self.clock.now();
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(source).is_none_or(|last| {
            last.certificate != certificate || last.at > now || now.since(last.at) >= HEARD_INTERVAL
        })
    }

    /// A source reported, over a challenge of now: the only sign of life that counts.
    pub(crate) fn heard(
        &self,
        source: Source,
        certificate: Option<Validity>,
    ) -> Result<(), VaultError> {
        let word = self.word(source, certificate);
        self.change(vec![word], Entry::default(), false)
    }

    /// That a source reported, as an event, to be heard with what it reported: whoever is back after a
    /// silence names in one breath what waits.
    pub(crate) fn word(&self, source: Source, certificate: Option<Validity>) -> Event {
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() >= HEARD_MAX {
                heard.clear();
            }
            heard.insert(source.clone(), Heard { at: self.clock.now(), certificate });
        }
        Event::AgentHeard { source, certificate }
    }

    /// Time passes.
    pub(crate) fn tick(&self) -> Result<(), VaultError> {
        self.change(Vec::new(), Entry::default(), false)?;
        // What could not be handed on before.
        self.outbox.deliver(&self.catalog);
        Ok(())
    }

    /// Goes by other settings from now on. If what follows cannot be stored, those of before hold.
    pub(crate) fn adopt(&self, settings: Settings) -> Result<(), VaultError> {
        let before = self.lock().ledger.settings().clone();
        let adopted =
            self.change_by(|ledger, now| ledger.adopt(settings, now), Entry::default(), true);
        adopted.inspect_err(|_| {
            let mut state = self.lock();
            let now = state.ledger.now();
            // Whatever this opens was open before, or is found again by the next tick.
            state.ledger.adopt(before, now);
            state.ledger.restore_saved();
        })
    }

    /// Commits the ledger whatever happened, for the end.
    pub(crate) fn close(&self) -> Result<(), VaultError> {
        self.change(Vec::new(), Entry::default(), true)
    }

    /// What it goes by.
    pub(crate) fn settings(&self) -> Settings {
        self.lock().ledger.settings().clone()
    }

    pub(crate) fn status(&self, workload: &WorkloadName) -> Option<WorkloadStatus> {
        self.lock().ledger.workload(workload)
    }

    /// Whether what a backup product has can be a recovery point of a workload.
    pub(crate) fn counts_confirmed(&self, workload: &WorkloadName) -> bool {
        self.safe(workload).counts_confirmed()
    }

    /// What policy counts as safe, of workloads that nobody spoke of yet, too.
    pub(crate) fn safe(&self, workload: &WorkloadName) -> Safe {
        self.lock().ledger.settings().policy.class(workload).safe
    }

    /// Whether what a backup product has is safe by that alone.
    pub(crate) fn is_safe_confirmed(&self, workload: &WorkloadName) -> bool {
        let status = self.status(workload);
        status.is_some_and(|status| status.promise.class().safe.is_confirmed_enough())
    }

    pub(crate) fn workloads(&self) -> Vec<WorkloadStatus> {
        self.lock().ledger.workloads().collect()
    }

    /// The workloads that consist of others.
    pub(crate) fn services(&self) -> Vec<ServiceStatus> {
        self.lock().ledger.services().collect()
    }

    /// Whether the audit log is known not to be whole.
    pub(crate) fn has_audit_incident(&self) -> bool {
        let state = self.lock();
        state.ledger.incidents().any(|open| matches!(open.cause, Cause::AuditLogDamaged { .. }))
    }

    /// What is open and nothing else explains.
    pub(crate) fn open_pages(&self) -> Vec<Incident> {
        let state = self.lock();
        // What waits for a quiet time to end is nobody's news yet.
        let is_told = |it: &Incident| it.folded_into.is_none() && it.waits.is_none();
        state.ledger.incidents().filter(is_told).collect()
    }

    /// All agents that were heard, by the shares of which they speak.
    pub(crate) fn sources(&self) -> Vec<SourceStatus> {
        self.lock().ledger.sources().collect()
    }

    /// How many incidents page this owner now; those that others explain do not.
    pub(crate) fn pages(&self, owner: Owner) -> u64 {
        let state = self.lock();
        let open = state.ledger.incidents();
        open.filter(|it| it.folded_into.is_none() && it.owner() == owner).count() as u64
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

    /// Lets the ledger hear `events`, commits what follows with `entry`, and hands on what must be
    /// told of it. If the commit fails, nothing happened: the ledger stays as it was, and the next
    /// tick finds again what time has brought.
    fn change(
        &self,
        events: Vec<Event>,
        entry: Entry<'_>,
        must_commit: bool,
    ) -> Result<(), VaultError> {
        self.change_by(|ledger, now| ledger.apply_all(events, now), entry, must_commit)
    }

    /// The same, where something else than events changes the ledger.
    fn change_by(
        &self,
        change: impl FnOnce(&mut Ledger, Timestamp) -> Vec<Change>,
        entry: Entry<'_>,
        must_commit: bool,
    ) -> Result<(), VaultError> {
        let mut state = self.lock();
        // Under the lock, so that the ledger hears times in their order.
        let now = self.clock.now();
        if now.since(state.ledger.now()) >= ASLEEP {
            tracing::warn!("nothing was heard since {}; did this host sleep?", state.ledger.now());
            state.ledger.slept_until(now);
        }
        let changes = change(&mut state.ledger, now);
        let due = state.committed > now || now.since(state.committed) >= COMMIT_INTERVAL;
        if !(must_commit || due || !changes.is_empty() || entry.snapshot.is_some()) {
            return Ok(());
        }
        let incidents: Vec<IncidentRecord> =
            changes.iter().map(|change| record_of(change.incident())).collect();
        let told = outbox::entries_of(&changes);
        let unsaved = state.ledger.unsaved();
        let rows = unsaved.rows.iter();
        let rows: Vec<_> =
            rows.map(|row| (row.part, row.key.as_str(), row.state.as_deref())).collect();
        let ledger = Some(LedgerChange { is_whole: unsaved.is_whole, rows: &rows });
        let entry = Entry { incidents: &incidents, outbox: &told, ledger, ..entry };
        if let Err(error) = self.catalog.commit(&entry) {
            state.ledger.restore_saved();
            return Err(error.into());
        }
        state.ledger.mark_saved();
        state.committed = now;
        drop(state);
        if !told.is_empty() {
            self.outbox.deliver_news(&self.catalog);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a drop says of the release that wrote it, and whether it is the last one of its instance: a claim,
/// which is told before the drop itself and moves no promise.
fn released(snapshot: &SnapshotRecord) -> Option<Event> {
    snapshot.drop?;
    let claims = snapshot.claims.as_object()?;
    let release = claims.get("release").and_then(|release| release.as_str());
    Some(Event::Released {
        workload: snapshot.workload.clone(),
        at: snapshot.recovery_point(),
        release: release.map(str::to_owned),
        is_last: claims.get("final").and_then(|is_last| is_last.as_bool()).unwrap_or_default(),
    })
}

/// The ledger that the catalog holds; `None` if there is none that can be used.
fn remembered(
    catalog: &Catalog,
    (settings, former): (&Settings, &FormerNames),
    now: Timestamp,
) -> Result<Option<Ledger>, VaultError> {
    let rows = catalog.ledger()?;
    if rows.is_empty() {
        return Ok(None);
    }
    let row = |LedgerRow { part, key, state }| Row { part, key, state };
    let renamed = former.iter().map(|(name, former)| (name, &former.present));
    match Ledger::resume_renamed(settings.clone(), rows.into_iter().map(row), renamed, now) {
        Ok(ledger) => Ok(Some(ledger)),
        Err(error @ LedgerError::Newer { .. }) => Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "the promise ledger begins anew from the snapshots");
            Ok(None)
        }
    }
}

/// The catalog is new, or lost its ledger: puts the history of incidents back into it, and says what
/// is known of workloads all the same.
fn begin_anew(
    catalog: &Catalog,
    history: Vec<IncidentRecord>,
    now: Timestamp,
) -> Result<Vec<Event>, VaultError> {
    let known: BTreeSet<u64> = catalog.incidents()?.iter().map(|incident| incident.id).collect();
    let mut lost = history;
    lost.retain(|incident| !known.contains(&incident.id));
    catalog.commit(&Entry { incidents: &lost, ..Entry::default() })?;
    // Nobody would ever resolve what the lost ledger had opened. What is still so opens again.
    let mut orphans = catalog.incidents()?;
    orphans.retain(|incident| incident.resolved.is_none());
    orphans.iter_mut().for_each(|incident| incident.resolved = Some(now));
    let told = outbox::entries(&orphans);
    catalog.commit(&Entry { incidents: &orphans, outbox: &told, ..Entry::default() })?;
    // What an operator has accepted since is heard with the orders.
    let vaulted =
        |(workload, totals): (_, Totals)| totals.newest.map(|at| Event::Vaulted { workload, at });
    Ok(catalog.totals()?.into_iter().filter_map(vaulted).collect())
}

/// What backup products are known to have: what a ledger that was lost knew of that.
fn confirmed(
    catalog: &Catalog,
    deliveries: &Deliveries,
    (orders, former): (&[Order], &FormerNames),
) -> Result<Vec<Event>, VaultError> {
    // The record lies under the name of now, and an order is of the name that it was given of.
    let is_accepted = |workload: &WorkloadName, drop| {
        orders.iter().any(|order| former.is_same(&order.workload, workload) && order.accepts(drop))
    };
    let mut events = Vec::new();
    for workload in deliveries.workloads()? {
        for known in deliveries.of(&workload)?.iter().filter(|known| known.is_confirmed()) {
            let Delivered { drop, point, .. } = known;
            let record = catalog.snapshot_of_drop(&workload, drop.drop)?;
            let counts = match &record {
                Some(record) => record.sanity.counts(),
                None => known.sanity().counts(),
            };
            if counts || is_accepted(&workload, drop.drop) {
                events.push(Event::Confirmed {
                    workload: workload.clone(),
                    drop: drop.drop,
                    at: record.as_ref().map_or(*point, SnapshotRecord::recovery_point),
                    vaulted: record.is_some(),
                });
            }
        }
    }
    Ok(events)
}
