//! The ledger: what was observed, what follows from it, and who has to be told.
//!
//! `observe` turns events into facts, `settle` makes the open incidents agree with the facts; here is
//! what both go by, time, and what is stored.

mod backlog;
mod explain;
mod explanations;
mod handovers;
mod limits;
mod missed;
mod observe;
mod platform;
mod renamed;
mod settle;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};

use self::explanations::Explanations;
use crate::agenda::{Agenda, Matter};
use crate::error::LedgerError;
use crate::event::{Event, Source};
use crate::form::{self, Row, Unsaved};
use crate::incident::{Change, OpenIncident};
use crate::source_state::SourceState;
use crate::state::{Head, LedgerState, VaultOutage};
use crate::status::Settings;
use crate::workload::Workload;

/// Shares of one agent that are told apart; one that names more is in error, or means harm.
const SOURCES_MAX: usize = 16;

/// A clock that jumps back by less than this was read a moment too early by another thread; by
/// more, it was set.
const CLOCK_JITTER: Duration = Duration::from_secs(1);

/// Keeps account of all workloads, agents and incidents.
///
/// Every call takes the present moment. It may repeat or step back a little; when the clock was
/// set back, all remembered moments move with it, so that what counts is the time that passed.
///
/// A call changes rows in memory. Those that changed since they were last stored are
/// [`unsaved`](Self::unsaved); once they are stored, [`mark_saved`](Self::mark_saved) says so, and if
/// they cannot be, [`restore_saved`](Self::restore_saved) takes the changes back.
#[derive(Debug, Clone)]
pub struct Ledger {
    settings: Settings,
    state: LedgerState,
    /// Whether what is stored is of an older version.
    is_outdated: bool,
    /// `None` if everything must be looked at.
    settled: Option<Settled>,
    /// How many workloads are known by the word of each agent alone; `None` if it is to be counted.
    hearsay: Option<BTreeMap<String, usize>>,
    /// What waits at each source, in bytes that are still to be read, as its reports of this run say; none
    /// of a workload of which nothing does.
    backlogs: BTreeMap<Source, BTreeMap<WorkloadName, Option<u64>>>,
    /// The workloads of which nobody but an agent ever spoke; `None` if they are to be looked for. Few,
    /// so that what is said of an agent need not look at all workloads.
    flotsam: Option<BTreeSet<WorkloadName>>,
    /// What was open of a name that another workload got: the next call says that it is over.
    superseded: Vec<OpenIncident>,
}

/// What follows from the state as long as nothing happens; it makes a call cheap, whatever the number
/// of workloads.
#[derive(Debug, Clone, Default)]
struct Settled {
    agenda: Agenda,
    explanations: Explanations,
}

impl Ledger {
    /// An empty ledger. Incidents are numbered from after `last_incident_id`: that of the last one
    /// that an earlier ledger told of.
    pub fn new(settings: Settings, last_incident_id: u64, now: Timestamp) -> Self {
        let state = LedgerState::of(Head { last_incident_id, ..Head::new(now) });
        // Even an empty one is to be stored whole.
        let mut ledger = Self::of(settings, state, true);
        ledger.adopt_policy();
        ledger
    }

    fn of(settings: Settings, state: LedgerState, is_outdated: bool) -> Self {
        let (backlogs, superseded) = (BTreeMap::new(), Vec::new());
        let (settled, hearsay, flotsam) = (None, None, None);
        Self { settings, state, is_outdated, settled, hearsay, flotsam, backlogs, superseded }
    }

    /// Goes on from the rows that were stored. What is open stays open and is not told again. The
    /// time since then, in which nobody listened, is not counted against any agent; promises that
    /// broke in it are explained by one incident of the vault's own.
    pub fn resume(
        settings: Settings,
        rows: impl IntoIterator<Item = Row>,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        Self::resume_renamed(settings, rows, [], now)
    }

    /// The same where workloads have other names since: `(before, now)` of each. Policy speaks of them by
    /// those of now, so what is stored of them is known by these before anything is judged; else policy would
    /// promise a workload nothing of its own for a moment, and page for that.
    pub fn resume_renamed<'a>(
        settings: Settings,
        rows: impl IntoIterator<Item = Row>,
        renamed: impl IntoIterator<Item = (&'a WorkloadName, &'a WorkloadName)>,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let (state, is_outdated) = form::decode(rows)?;
        let mut ledger = Self::of(settings, state, is_outdated);
        for (from, to) in renamed {
            ledger.rename(from, to);
        }
        ledger.forget_what_policy_dropped();
        ledger.adopt_policy();
        ledger.slept_until(now);
        ledger.expect_lists(now);
        Ok(ledger)
    }

    /// What it goes by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes over other settings while it is at work, and says what follows from them.
    pub fn adopt(&mut self, settings: Settings, now: Timestamp) -> Vec<Change> {
        // What broke by the rules of before stays on record.
        let mut changes = self.tick(now);
        self.settings = settings;
        self.forget_what_policy_dropped();
        self.adopt_policy();
        (self.settled, self.hearsay, self.flotsam) = (None, None, None);
        changes.extend(self.tick(now));
        changes
    }

    /// The rows that changed since the last call of [`mark_saved`](Self::mark_saved).
    pub fn unsaved(&self) -> Unsaved {
        form::unsaved(&self.state, self.is_outdated)
    }

    /// All that was unsaved is stored.
    pub fn mark_saved(&mut self) {
        self.state.mark_saved();
        self.is_outdated = false;
    }

    /// Takes back what is unsaved: it could not be stored, so it did not happen.
    pub fn restore_saved(&mut self) {
        self.state.restore_saved();
        self.settled = None;
        self.superseded.clear();
        (self.hearsay, self.flotsam) = (None, None);
        self.adopt_policy();
    }

    /// Hears that nobody listened from the latest call until `now`: the host slept, or its clock was
    /// set forward. It is as if the vault had been down, see [`resume`](Self::resume).
    pub fn slept_until(&mut self, now: Timestamp) {
        let from = self.state.head.now;
        let away = now.since(from);
        if away > self.settings.agent_deadline {
            let recovered = now.saturating_add(self.settings.agent_deadline);
            // One that comes before all of the last one has been made good goes on with it.
            let first = self.state.head.outage.take().map(|outage| outage.from);
            let from = first.map_or(from, |first| first.min(from));
            self.state.head.outage = Some(VaultOutage { from, until: now, recovered });
        }
        if away > Duration::ZERO {
            self.state.sources.update_all(|source| {
                source.unheard = source.unheard.saturating_add(away);
            });
        }
        self.settled = None;
        self.pass_time(now);
    }

    /// What waits where is to be heard anew, before anything is made of its not being named.
    fn expect_lists(&mut self, now: Timestamp) {
        let until = now.saturating_add(self.settings.agent_deadline);
        let sources = self.state.sources.keys();
        let sources = sources.filter(|source| self.is_catching_up(source)).cloned();
        for source in sources.collect::<Vec<Source>>() {
            if let Some(source) = self.state.sources.get_mut(&source)
                && let Some(recovering) = &mut source.recovering
            {
                recovering.until = recovering.until.max(until);
                source.looked = None;
            }
        }
    }

    /// The time of the latest call.
    pub fn now(&self) -> Timestamp {
        self.state.head.now
    }

    /// The number of the last order that was heard.
    pub fn last_order(&self) -> u64 {
        self.state.head.last_order
    }

    /// Takes note of `event` at `now` and says what follows.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Vec<Change> {
        self.apply_all([event], now)
    }

    /// Takes note of `events` that all became known at `now`, and says what follows from them
    /// together.
    pub fn apply_all(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        now: Timestamp,
    ) -> Vec<Change> {
        // What broke before the events stays on record, even if they mend it.
        let mut changes = self.tick(now);
        let mut touched = BTreeSet::new();
        self.hearsay = None;
        for event in events {
            self.observe(event, &mut touched);
        }
        if !touched.is_empty() {
            self.settle(touched, &mut changes);
        }
        changes
    }

    /// Says what follows from it being `now`.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        self.pass_time(now);
        let due: BTreeSet<Matter> = match &self.settled {
            Some(settled) => settled.agenda.due(self.state.head.now).cloned().collect(),
            None => self.everything(),
        };
        let mut changes = self.tell_superseded();
        if !due.is_empty() || self.settled.is_none() {
            self.settle(due, &mut changes);
        }
        changes
    }

    /// The next moment at which [`tick`](Self::tick) may have something to say, if nothing else
    /// happens before; `None` if nothing ever will.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.settled.as_ref().map_or(Some(self.state.head.now), |settled| settled.agenda.next())
    }

    /// All rows, as they are stored.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<Row> {
        let rows = form::unsaved(&self.state, true).rows.into_iter();
        let row = |row: crate::RowChange| {
            Some(Row { part: row.part.to_owned(), key: row.key, state: row.state? })
        };
        rows.filter_map(row).collect()
    }

    /// What looking at everything finds.
    #[cfg(test)]
    pub(crate) fn reconcile(&mut self) -> Vec<Change> {
        self.settled = None;
        self.tick(self.state.head.now)
    }

    fn pass_time(&mut self, now: Timestamp) {
        let back = self.state.head.now.since(now);
        if back > CLOCK_JITTER {
            self.state.shift_back(back);
            self.settled = None;
        }
        self.state.head.now = self.state.head.now.max(now);
    }

    /// The workload's account; opened with the default promise if nobody declared it.
    fn account(&mut self, name: &WorkloadName) -> &mut Workload {
        let (now, settings) = (self.state.head.now, &self.settings);
        self.state.workloads.get_or_insert_with(name, || {
            let mut workload = Workload::new(now);
            workload.promise_anew(name, &settings.policy);
            workload
        })
    }

    fn hear(&mut self, mut source: Source) -> &mut SourceState {
        let heard = self.state.head.now;
        if !self.state.sources.contains(&source) {
            let of_agent = self.state.sources.keys().filter(|known| known.agent == source.agent);
            if of_agent.count() >= SOURCES_MAX {
                source.share = None;
            }
        }
        let known = self.state.sources.get_or_insert_with(&source, || SourceState::new(heard));
        known.heard = heard;
        known.unheard = Duration::ZERO;
        known
    }
}
