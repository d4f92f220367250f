//! What waits after an outage, and the incidents that stay open until it has come.

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};

use super::Ledger;
use super::explanations::holder;
use crate::agenda::Matter;
use crate::catching_up::CatchingUp;
use crate::cause::{Cause, Key, Subject, Topic};
use crate::event::Source;
use crate::incident::{Change, OpenIncident};
use crate::promise::State;
use crate::workload::Workload;

impl Ledger {
    /// An agent said how much of a workload waits with it: so many sealed drops, and so many bytes to be
    /// read of them.
    pub(super) fn observe_backlog(
        &mut self,
        name: &WorkloadName,
        source: &Source,
        (drops, bytes): (u64, u64),
    ) {
        if !self.state.workloads.contains(name) || !self.state.sources.contains(source) {
            return;
        }
        let known = self.backlogs.entry(source.clone()).or_default();
        let before = known.insert(name.clone(), (drops > 0).then_some(bytes)).flatten();
        if before.is_some_and(|before| drops == 0 || bytes < before) {
            self.observe_moved(source);
        }
    }

    /// Something that waited at a source moved.
    pub(super) fn observe_moved(&mut self, source: &Source) {
        let now = self.state.head.now;
        for key in self.catching_up() {
            if concerns(&key, source)
                && let Some(incident) = self.state.open.get_mut(&key)
                && let Some(catching_up) = &mut incident.catching_up
            {
                catching_up.moved(now);
            }
        }
    }

    /// The incidents whose cause is gone, and that stay open while what they held up comes.
    fn catching_up(&self) -> Vec<Key> {
        let open = self.state.open.iter();
        let open = open.filter(|(_, incident)| incident.catching_up.is_some());
        open.map(|(key, _)| key.clone()).collect()
    }

    /// Whether what a source held up is still expected.
    pub(super) fn is_catching_up(&self, source: &Source) -> bool {
        self.catching_up().iter().any(|key| concerns(key, source))
    }

    /// How long nothing may move: as long as an agent may be silent, at least.
    fn patience(&self) -> Duration {
        self.settings.stall.max(self.settings.agent_deadline)
    }

    /// Whether a drop of a workload is known to wait.
    pub(super) fn waits(&self, name: &WorkloadName, workload: &Workload) -> bool {
        let source = workload.source.as_ref();
        let told = source.and_then(|source| self.backlogs.get(source)?.get(name));
        // Its agent knows best: a drop that was rejected waits no more.
        told.map_or(workload.waiting_since.is_some(), Option::is_some)
    }

    /// The workloads that what is over held up, and that still wait: those whose broken promise it
    /// explains, and, if it was an outage, those that waited at its end.
    fn left_of(&self, key: &Key, incident: u64, outage: Option<Timestamp>) -> u64 {
        let now = self.state.head.now;
        let is_left = |(name, workload): &(&WorkloadName, &Workload)| {
            is_held_up(key, workload)
                && self.waits(name, workload)
                && !matches!(workload.state(now), State::Retired | State::Paused)
                && (workload.waiting_since.is_some_and(|since| Some(since) <= outage)
                    || self.is_folded_into(name, incident))
        };
        self.state.workloads.iter().filter(is_left).count() as u64
    }

    /// Whether an incident, whose cause has just gone, kept everything from coming. Of most certificates the
    /// end is told long before that, and what is wrong with a share that can be used need be no more than
    /// slow.
    fn was_outage(&self, key: &Key, incident: &OpenIncident) -> bool {
        match (key.topic, &key.subject) {
            (Topic::Certificate, _) => false,
            (Topic::Share, Subject::Source(source)) => {
                let known = self.state.sources.get(source);
                let back = known.and_then(|known| known.recovering.as_ref());
                matches!(incident.cause, Cause::ShareSilent { .. })
                    || back.is_some_and(|back| back.incident == incident.id)
            }
            _ => true,
        }
    }

    fn is_folded_into(&self, name: &WorkloadName, incident: u64) -> bool {
        let broken = self.state.open.get(&Key::of_workload(Topic::RecoveryPoint, name));
        broken.is_some_and(|broken| broken.folded_into == Some(incident))
    }

    /// The cause of an incident is gone. It resolves, or stays open while what it held up comes.
    /// Returns its id.
    pub(super) fn end_incident(&mut self, key: &Key, changes: &mut Vec<Change>) -> Option<u64> {
        let now = self.state.head.now;
        let incident = self.state.open.get(key)?;
        let (id, announced) = (incident.id, incident.announced);
        if incident.catching_up.is_some() {
            // Its end is for `settle_backlogs` to say.
            return None;
        }
        let cutoff = now.saturating_add(self.settings.agent_deadline);
        let outage = self.was_outage(key, incident).then_some(cutoff);
        let left = if announced { self.left_of(key, id, outage) } else { 0 };
        if left > 0 {
            if let Some(incident) = self.state.open.get_mut(key) {
                incident.catching_up = Some(CatchingUp::begun(now, left));
            }
            return Some(id);
        }
        self.resolve(key, changes);
        Some(id)
    }

    fn resolve(&mut self, key: &Key, changes: &mut Vec<Change>) {
        let now = self.state.head.now;
        if let Some(incident) = self.state.open.remove(key).filter(|incident| incident.announced) {
            changes.push(Change::Resolved(incident.view(Some(now))));
        }
    }

    /// Looks how far each of them is. Those that give up explain nothing from now on: what that concerns
    /// goes into `touched`.
    pub(super) fn advance_backlogs(&mut self, touched: &mut BTreeSet<Matter>) {
        let (now, patience) = (self.state.head.now, self.patience());
        for key in self.catching_up() {
            let left = self.left_now(&key);
            let Some(incident) = self.state.open.get_mut(&key) else { continue };
            let Some(catching_up) = &mut incident.catching_up else { continue };
            catching_up.advance(left, now, patience);
            if catching_up.is_over(now, patience) {
                touched.extend(matter_of(&key));
            }
        }
    }

    fn left_now(&self, key: &Key) -> u64 {
        let incident = self.state.open.get(key);
        let Some((incident, catching_up)) =
            incident.and_then(|it| Some((it, it.catching_up.as_ref()?)))
        else {
            return 0;
        };
        let cutoff = catching_up.since.saturating_add(self.settings.agent_deadline);
        let outage = (key.topic != Topic::Certificate).then_some(cutoff);
        self.left_of(key, incident.id, outage)
    }

    /// Resolves those of which all has come, and those that gave up and explain nothing any more. What that
    /// concerns goes into `touched`, if there are any.
    pub(super) fn settle_backlogs(
        &mut self,
        touched: &mut BTreeSet<Matter>,
        changes: &mut Vec<Change>,
    ) -> bool {
        let mut has_news = false;
        let (now, patience) = (self.state.head.now, self.patience());
        for key in self.catching_up() {
            let left = self.left_now(&key);
            let is_over = |incident: &OpenIncident| {
                incident.catching_up.as_ref().is_some_and(|it| it.is_over(now, patience))
            };
            if left == 0 || self.state.open.get(&key).is_some_and(is_over) {
                self.resolve(&key, changes);
                touched.extend(matter_of(&key));
                has_news = true;
            }
        }
        has_news
    }

    /// When time alone ends the patience with one of them.
    pub(super) fn backlog_deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let patience = self.patience();
        let open = self.state.open.values().filter_map(|incident| incident.catching_up.as_ref());
        open.map(move |catching_up| catching_up.over_at(patience))
    }

    /// The id of an open incident, unless it gave up on what it held up.
    pub(super) fn explaining(&self, key: &Key) -> Option<u64> {
        let (now, patience) = (self.state.head.now, self.patience());
        let incident = self.state.open.get(key)?;
        let is_over = incident.catching_up.as_ref().is_some_and(|it| it.is_over(now, patience));
        (!is_over).then_some(incident.id)
    }

    /// Whether the cause of an open incident is gone.
    pub(super) fn is_past(&self, key: &Key) -> bool {
        self.state.open.get(key).is_some_and(|incident| incident.catching_up.is_some())
    }
}

/// What is to be looked at when an incident explains nothing any more.
fn matter_of(key: &Key) -> Vec<Matter> {
    match &key.subject {
        Subject::Agent(agent) | Subject::Source(Source { agent, .. }) => {
            vec![Matter::Agent(agent.clone())]
        }
        Subject::Holder(holder) => {
            let agent = holder.strip_prefix("agent ").map(str::to_owned);
            agent.map(Matter::Agent).into_iter().collect()
        }
        Subject::Vault | Subject::Media(_) => vec![Matter::Evidence],
        Subject::Handover(handover) => vec![Matter::Agent(handover.agent.clone())],
        Subject::Route(_) | Subject::Workload(_) => Vec::new(),
    }
}

/// Whether an incident may have held up what comes from a source.
fn concerns(key: &Key, source: &Source) -> bool {
    match &key.subject {
        Subject::Agent(agent) => *agent == source.agent,
        Subject::Source(of) => of == source,
        Subject::Vault | Subject::Media(_) => true,
        Subject::Holder(of) => *of == holder(&source.agent),
        Subject::Route(_) | Subject::Handover(_) | Subject::Workload(_) => false,
    }
}

/// Whether an incident may have held up drops of a workload. Of no others it waits for the backlog.
fn is_held_up(key: &Key, workload: &Workload) -> bool {
    match (key.topic, &key.subject) {
        (Topic::Agent | Topic::Share | Topic::Work | Topic::Limits, subject) => {
            let source = workload.source.as_ref();
            match subject {
                Subject::Agent(agent) => source.is_some_and(|source| source.agent == *agent),
                Subject::Source(of) => source == Some(of),
                _ => false,
            }
        }
        (Topic::Vault, _) => true,
        (Topic::Certificate, Subject::Holder(of)) => {
            workload.source.as_ref().is_some_and(|source| holder(&source.agent) == *of)
        }
        (Topic::Media | Topic::Spool, Subject::Media(media)) => {
            workload.at_media.as_ref() == Some(media)
        }
        _ => false,
    }
}
