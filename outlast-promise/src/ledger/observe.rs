//! From events to facts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_types::{ContentHash, Day, WorkloadName};

use super::Ledger;
use crate::agenda::Matter;
use crate::cause::{Cause, Key, Topic, cut};
use crate::event::{Event, Order, Source, Validity};
use crate::incident::Recovering;
use crate::promise::Declaration;
use crate::state::MediaTrouble;
use crate::stopped::Stopped;
use crate::verified::Verification;
use crate::workload::{Rejected, Retirement, Suspect, UnderFormer, Workload};

/// An agent's clock that differs less from the vault's is right enough.
const CLOCK_OFF_MIN: Duration = Duration::from_secs(300);

/// How exactly it is kept when a workload was named: not a row changes for it more often.
const NAMED_STEP: Duration = Duration::from_secs(24 * 3600);
/// Whose agent was heard within this time would name it, if it were still there.
const SPEAKS: Duration = Duration::from_secs(3600);

/// Media servers of which something may be the matter at one time.
const MEDIA_MAX: usize = 256;

impl Ledger {
    /// Notes the facts of `event`. What it is about goes into `touched`.
    pub(super) fn observe(&mut self, event: Event, touched: &mut BTreeSet<Matter>) {
        let named = event.named().cloned();
        self.take_in(event, touched);
        if let Some(name) = named {
            self.note_named(&name);
        }
    }

    fn take_in(&mut self, event: Event, touched: &mut BTreeSet<Matter>) {
        let now = self.state.head.now;
        let concerned = event.workload().map(|name| Matter::Workload(name.clone()));
        // The agent that it comes from no more, if it now comes from another one.
        touched.extend(concerned.as_ref().and_then(|matter| self.agent_of(matter)));
        match event {
            Event::Declared { workload, source, declaration } => {
                // A directory on a share is no workload before anything is dropped or declared.
                let is_one = declaration.is_some() || self.state.workloads.contains(&workload);
                if is_one && self.is_noted(&workload, &source, touched) {
                    self.observe_declaration(&workload, source, declaration);
                }
            }
            Event::Vaulted { workload, at } => self.account(&workload).vaulted(at.min(now)),
            Event::Suspected { workload, drop, at, why } => {
                self.observe_suspect(&workload, Suspect { drop, at, why: cut(&why) });
            }
            Event::Forgotten { workload } => self.forget(&workload),
            Event::Custody(finding) => {
                let is_news = self.state.evidence.note(finding, now);
                touched.extend(is_news.then_some(Matter::Evidence));
            }
            Event::Ordered { number, workload, order } => {
                self.observe_order(number, &workload, order);
            }
            Event::Renamed { number, workload, to } => {
                self.observe_renamed(number, &workload, &to, touched);
            }
            Event::Waiting { workload, source } => {
                self.observe_waiting(&workload, source, touched);
            }
            Event::Rejected { workload, source, drop, code, reason, place } => {
                let (reason, at) = (cut(&reason), Some(now));
                let rejected = (Rejected { drop, code, reason, at }, place);
                self.observe_rejected(&workload, source, rejected, touched);
            }
            Event::AgentHeard { source, certificate } => {
                self.observe_word(source, certificate, touched);
            }
            Event::ShareSeen { source, problem, usable } => {
                touched.insert(Matter::Agent(source.agent.clone()));
                self.observe_share(source, problem.as_deref(), usable);
            }
            Event::Hindered { source, work, stray } => {
                touched.insert(Matter::Agent(source.agent.clone()));
                self.observe_hindrance(source, work.as_deref(), stray.as_deref());
            }
            Event::ClockSeen { source, ahead } => self.observe_clock(source, ahead, touched),
            Event::Content { workload, source, problem } => {
                self.observe_content(&workload, source, problem.as_deref(), touched);
            }
            Event::Failing { workload, source, why } => {
                self.observe_failing(&workload, source, why.as_deref(), touched);
            }
            Event::Stopped { workload, source: _, stopped } => {
                self.observe_stopped(&workload, stopped)
            }
            Event::OverLimit { agent, excess } => self.observe_excess(agent, excess, touched),
            event @ (Event::Confirmed { .. }
            | Event::Withdrawn { .. }
            | Event::Lying { .. }
            | Event::HandedOver { .. }) => self.observe_handed(event, touched),
            event => self.take_in_beside_drops(event, touched),
        }
        touched.extend(concerned);
    }

    /// What is known beside the drops themselves: of releases and repositories, of what waits and moves, and
    /// of what the vault and media servers find themselves.
    fn take_in_beside_drops(&mut self, event: Event, touched: &mut BTreeSet<Matter>) {
        match event {
            Event::Released { workload, at, release, is_last } => {
                let release = release.as_deref().map(cut);
                let at = at.min(self.state.head.now);
                self.account(&workload).released(at, release, is_last);
            }
            Event::FormerName { workload, former, source, until, waits } => {
                let found = UnderFormer { name: former, source, until };
                self.observe_former_name(&workload, found, waits);
            }
            Event::Deploying { workload, at, until } => {
                let at = at.min(self.state.head.now);
                self.account(&workload).deploying(at, until);
            }
            Event::Repository { workload, missing } => {
                self.account(&workload).missing = missing.as_deref().map(cut);
            }
            Event::Scrubbed { workload, damage, unread } => {
                self.account(&workload).verification.scrubbed(damage, unread);
            }
            Event::Drilled { workload, trouble } => {
                self.account(&workload).verification.drilled(trouble);
            }
            Event::Shortening { workload, asked } => {
                self.account(&workload).verification.shortened(asked);
            }
            Event::Backlog { workload, source, drops, bytes } => {
                self.observe_backlog(&workload, &source, (drops, bytes));
            }
            Event::Moved { source } => {
                touched.insert(Matter::Agent(source.agent.clone()));
                self.observe_moved(&source);
            }
            Event::Looked { source, began } => {
                touched.insert(Matter::Agent(source.agent.clone()));
                self.hear(source).looked = Some(began.min(self.state.head.now));
            }
            Event::MediaSeen { media, silent_since, problem, holds } => {
                let trouble = MediaTrouble { silent_since, problem: problem.as_deref().map(cut) };
                self.observe_media(media, trouble, holds.as_ref(), touched);
            }
            Event::RouteSeen { route, problem } => {
                touched.insert(Matter::Evidence);
                let routes = &mut self.state.head.routes;
                match problem {
                    Some(problem) => drop(routes.insert(cut(&route), cut(&problem))),
                    None => drop(routes.remove(&cut(&route))),
                }
            }
            Event::AuditLog { problem } => {
                touched.insert(Matter::Evidence);
                self.state.head.audit_problem = problem.as_deref().map(cut);
            }
            Event::Forgetting { problem } => {
                touched.insert(Matter::Evidence);
                self.state.head.forgetting_problem = problem.as_deref().map(cut);
            }
            Event::ReleasesWithheld { agents, until } => {
                touched.insert(Matter::Evidence);
                let agents = agents.iter().map(|agent| cut(agent)).collect();
                self.state.head.withheld = until.map(|until| (agents, until));
            }
            Event::OwnCertificate { holder, certificate } => {
                touched.insert(Matter::Certificates);
                self.state.head.certificates = BTreeMap::from([(cut(&holder), certificate)]);
            }
            _ => {}
        }
    }

    fn observe_media(
        &mut self,
        media: String,
        trouble: MediaTrouble,
        holds: Option<&BTreeSet<WorkloadName>>,
        touched: &mut BTreeSet<Matter>,
    ) {
        touched.insert(Matter::Evidence);
        let known = &mut self.state.head.media;
        // One more than anybody has is a flood; one that is well need not be known.
        let is_well = trouble == MediaTrouble::default();
        if !known.contains_key(&media) && (is_well || known.len() >= MEDIA_MAX) {
            return;
        }
        if let Some(holds) = holds {
            self.observe_held(&media, holds, touched);
        }
        self.state.head.media.insert(media, trouble);
    }

    /// Whose line is slow is asked by those whose drops wait at it, and by no others.
    fn observe_held(
        &mut self,
        media: &str,
        holds: &BTreeSet<WorkloadName>,
        touched: &mut BTreeSet<Matter>,
    ) {
        let workloads = self.state.workloads.iter();
        let moved = workloads.filter(|(name, workload)| {
            holds.contains(*name) != (workload.at_media.as_deref() == Some(media))
        });
        for name in moved.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            if let Some(workload) = self.state.workloads.get_mut(&name) {
                workload.at_media = holds.contains(&name).then(|| media.to_owned());
            }
            touched.insert(Matter::Workload(name));
        }
    }

    fn forget(&mut self, name: &WorkloadName) {
        if self.state.workloads.get(name).is_some_and(Workload::is_forgettable) {
            self.state.workloads.remove(name);
        }
    }

    /// A report named a workload.
    fn note_named(&mut self, name: &WorkloadName) {
        let now = self.state.head.now;
        let is_due = |known: &Workload| {
            known.is_forgettable() && known.named.is_none_or(|at| now.since(at) >= NAMED_STEP)
        };
        if self.state.workloads.get(name).is_some_and(is_due)
            && let Some(known) = self.state.workloads.get_mut(name)
        {
            known.named = Some(now);
        }
    }

    /// The workloads of which nothing is left but an agent's word, which that agent, although it is heard,
    /// has not repeated for so long; and the agents. Those that policy names stay.
    pub fn unnamed(&self, time: Duration) -> Vec<(WorkloadName, Source)> {
        let now = self.state.head.now;
        let is_heard = |source: &Source| {
            self.state.sources.get(source).is_some_and(|known| now.since(known.heard) < SPEAKS)
        };
        let unnamed = self.state.workloads.iter().filter(|(name, known)| {
            known.is_forgettable()
                && now.since(known.last_named()) >= time
                && !self.settings.policy.workloads.contains_key(*name)
        });
        let named_by = unnamed.filter_map(|(name, known)| Some((name, known.source.as_ref()?)));
        let heard = named_by.filter(|(_, source)| is_heard(source));
        heard.map(|(name, source)| (name.clone(), source.clone())).collect()
    }

    fn observe_word(
        &mut self,
        source: Source,
        certificate: Option<Validity>,
        touched: &mut BTreeSet<Matter>,
    ) {
        touched.insert(Matter::Agent(source.agent.clone()));
        let source = self.attributed(source);
        let known = self.hear(source);
        known.certificate = certificate.or(known.certificate);
    }

    fn observe_hindrance(&mut self, source: Source, work: Option<&str>, stray: Option<&str>) {
        let known = self.hear(source);
        (known.hindrance, known.stray) = (work.map(cut), stray.map(cut));
    }

    fn observe_clock(&mut self, source: Source, ahead: i64, touched: &mut BTreeSet<Matter>) {
        touched.insert(Matter::Agent(source.agent.clone()));
        self.hear(source).clock_off = too_far_off(ahead);
    }

    /// Takes over what policy says, in place of what it said before.
    pub(super) fn adopt_policy(&mut self) {
        let policy = &self.settings.policy;
        let now = self.state.head.now;
        for name in policy.workloads.keys().filter(|name| self.settings.expects(name)) {
            self.state.workloads.get_or_insert_with(name, || Workload::new(now));
        }
        self.state.workloads.work_out(|name, workload| {
            workload.promise_anew(name, policy);
        });
    }

    /// Forgets workloads that policy named once and of which nothing else ever spoke.
    pub(super) fn forget_what_policy_dropped(&mut self) {
        let settings = &self.settings;
        self.state
            .workloads
            .retain(|name, workload| settings.expects(name) || !workload.is_of_policy_only());
    }

    fn observe_waiting(
        &mut self,
        name: &WorkloadName,
        source: Source,
        touched: &mut BTreeSet<Matter>,
    ) {
        let now = self.state.head.now;
        touched.insert(Matter::Agent(source.agent.clone()));
        self.hear(source.clone());
        if self.is_noted(name, &source, touched) {
            if let Some(told) = self.backlogs.get_mut(&source)
                && told.get(name) == Some(&None)
            {
                told.remove(name);
            }
            let known = self.account(name);
            known.waiting_since.get_or_insert(now);
            known.source = Some(source);
        }
    }

    fn observe_suspect(&mut self, name: &WorkloadName, suspect: Suspect) {
        let at = suspect.at.min(self.state.head.now);
        self.account(name).suspect(Suspect { at, ..suspect });
    }

    fn observe_rejected(
        &mut self,
        name: &WorkloadName,
        source: Source,
        (rejected, place): (Rejected, Option<(Day, ContentHash)>),
        touched: &mut BTreeSet<Matter>,
    ) {
        touched.insert(Matter::Agent(source.agent.clone()));
        self.hear(source.clone());
        if self.is_noted(name, &source, touched) {
            self.account(name).reject(rejected, place, source);
        }
    }

    fn observe_content(
        &mut self,
        name: &WorkloadName,
        source: Source,
        problem: Option<&str>,
        touched: &mut BTreeSet<Matter>,
    ) {
        let is_one = problem.is_some() || self.state.workloads.contains(name);
        if is_one && self.is_noted(name, &source, touched) {
            let known = self.account(name);
            known.content_problem = problem.map(cut);
            known.source.get_or_insert(source);
        }
    }

    fn observe_failing(
        &mut self,
        name: &WorkloadName,
        source: Source,
        why: Option<&str>,
        touched: &mut BTreeSet<Matter>,
    ) {
        let is_one = why.is_some() || self.state.workloads.contains(name);
        if is_one && self.is_noted(name, &source, touched) {
            let known = self.account(name);
            known.failing = why.map(cut);
            known.source.get_or_insert(source);
        }
    }

    /// It says something of a workload that is known; of no other, since nobody need have meant one.
    fn observe_stopped(&mut self, name: &WorkloadName, stopped: Stopped) {
        let instance = cut(&stopped.instance);
        if let Some(known) = self.state.workloads.get_mut(name)
            && known.stopped.as_ref().is_none_or(|before| before.at <= stopped.at)
        {
            known.stopped = Some(Stopped { instance, ..stopped });
        }
    }

    fn observe_declaration(
        &mut self,
        name: &WorkloadName,
        source: Source,
        declaration: Option<Declaration>,
    ) {
        self.account(name);
        let (settings, workloads) = (&self.settings, &mut self.state.workloads);
        let Some(known) = workloads.get_mut(name) else { return };
        let share = source.share;
        known.source.get_or_insert(source);
        if let Some(share) = share {
            known.declare(share, declaration);
            known.promise_anew(name, &settings.policy);
        }
    }

    fn observe_order(&mut self, number: u64, name: &WorkloadName, order: Order) {
        if number <= self.state.head.last_order {
            return;
        }
        self.state.head.last_order = number;
        let now = self.state.head.now;
        // Heard again after a rebuild, an order may be about a workload that is no more: nothing is promised
        // of that. One that still lasts may be for one of which nothing was vaulted yet.
        let is_for_what_comes =
            matches!(order, Order::Pause { until } | Order::Retire { until, .. } if until > now);
        if !is_for_what_comes && !self.state.workloads.contains(name) {
            return;
        }
        let workload = self.account(name);
        match order {
            Order::Pause { until } => {
                workload.resume();
                workload.paused_until = Some(until);
            }
            Order::Retire { at, until } => workload.retire(Retirement { at: at.min(now), until }),
            Order::Resume => workload.resume(),
            Order::Recreate { at } => {
                let at = at.min(now);
                workload.missing = None;
                workload.verification = Verification::default();
                workload.last_vaulted.take_if(|last| *last <= at);
                workload.delivered.iter_mut().for_each(|known| known.vaulted &= known.at > at);
                workload.known_since = workload.known_since.max(at);
            }
            Order::Accept { drop, received } => {
                workload.accept(drop, received.map(|at| at.min(now)))
            }
            Order::AcceptHanded { drop } => workload.believe(drop),
        }
    }

    fn observe_share(&mut self, source: Source, problem: Option<&str>, usable: bool) {
        let until = self.state.head.now.saturating_add(self.settings.agent_deadline);
        self.name_share(&source);
        let incident = self.open_id(&Key::of_source(Topic::Share, &source));
        let known = self.hear(source);
        if usable && !known.usable {
            // It is back, if not in order: the backlog gets its time all the same.
            known.recovering = incident.map(|incident| Recovering { incident, until });
        }
        known.usable = usable;
        known.problem = problem.map(cut);
    }

    /// What was known of an agent before it said of which share it speaks was of this one.
    fn name_share(&mut self, source: &Source) {
        let unnamed = Source { share: None, ..source.clone() };
        if source.share.is_none() || self.state.sources.contains(source) {
            return;
        }
        let Some(known) = self.state.sources.remove(&unnamed) else { return };
        self.state.sources.insert(source.clone(), known);
        let is_its = |(name, workload): (&WorkloadName, &Workload)| {
            (workload.source.as_ref() == Some(&unnamed)).then(|| name.clone())
        };
        let workloads: Vec<WorkloadName> = self.state.workloads.iter().filter_map(is_its).collect();
        for name in workloads {
            if let Some(workload) = self.state.workloads.get_mut(&name) {
                workload.source = Some(source.clone());
            }
        }
        if let Some(mut incident) = self.state.open.remove(&Key::of_source(Topic::Share, &unnamed))
        {
            if let Cause::ShareUnusable { share, .. } = &mut incident.cause {
                *share = source.share;
            }
            self.state.open.insert(incident.cause.key(), incident);
        }
    }

    /// Whose word it is when an agent does not say of which share it speaks: that of its one
    /// share, if it has one.
    fn attributed(&self, source: Source) -> Source {
        if source.share.is_some() {
            return source;
        }
        let mut shares = self.state.sources.keys().filter(|known| known.agent == source.agent);
        match (shares.next(), shares.next()) {
            (Some(only), None) => only.clone(),
            _ => source,
        }
    }
}

/// The minutes of a clock that is too far off. Words travel for some seconds, and clocks drift for some
/// more: neither is worth a page.
fn too_far_off(ahead: i64) -> Option<i64> {
    (ahead.unsigned_abs() >= CLOCK_OFF_MIN.as_secs()).then_some(ahead / 60)
}
