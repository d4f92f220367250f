//! From facts to incidents.
//!
//! What may explain is settled before what it may explain: the own incidents of workloads, such as a
//! rejected drop; then agents and the vault; then recovery points. What is explained by an incident
//! that opens in this very moment must not page beside it.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::WorkloadName;

use super::explanations::{Explanations, OfSource, holder};
use super::{Ledger, Settled, missed};
use crate::agenda::Matter;
use crate::cause::{Cause, Key, Subject, Topic};
use crate::class::Quiet;
use crate::event::{Source, Validity};
use crate::incident::{Change, OpenIncident, Recovering};
use crate::limit::OverLimit;
use crate::promise::State;
use crate::source_state::SourceState;
use crate::verified::Verification;

impl Ledger {
    /// All that there is to look at, and all that was told of what is forgotten: it must be resolved.
    pub(super) fn everything(&self) -> BTreeSet<Matter> {
        let vault = [Matter::Certificates, Matter::Evidence, Matter::Outage];
        let agents = self.state.sources.keys().map(|source| Matter::Agent(source.agent.clone()));
        let over = self.state.over_limits.keys().map(|agent| Matter::Agent(agent.clone()));
        let agents = agents.chain(over);
        vault.into_iter().chain(agents).chain(self.every_workload().map(Matter::Workload)).collect()
    }

    fn every_workload(&self) -> impl Iterator<Item = WorkloadName> {
        let told = self.state.open.values().filter_map(|incident| incident.cause.workload());
        self.state.workloads.keys().chain(told).cloned()
    }

    /// Makes the open incidents agree with the facts, as far as these matters are concerned and what
    /// they explain.
    pub(super) fn settle(&mut self, mut touched: BTreeSet<Matter>, changes: &mut Vec<Change>) {
        let mut settled = self.settled.take().unwrap_or_default();
        loop {
            self.settle_once(&mut touched, &mut settled.explanations, changes);
            // What has come, or has taken too long, explains nothing any more; there are few of these.
            if !self.settle_backlogs(&mut touched, changes) {
                break;
            }
        }
        for matter in &touched {
            self.put_on_agenda(matter, &mut settled);
        }
        self.settled = Some(settled);
    }

    fn settle_once(
        &mut self,
        touched: &mut BTreeSet<Matter>,
        explanations: &mut Explanations,
        changes: &mut Vec<Change>,
    ) {
        // Whether an agent is missed follows from its workloads.
        let agents: Vec<Matter> =
            touched.iter().filter_map(|matter| self.agent_of(matter)).collect();
        touched.extend(agents);
        touched.insert(Matter::Outage);
        self.note_flotsam(touched);
        self.advance_backlogs(touched);
        self.settle_all_limits(touched, changes);
        for matter in &*touched {
            if let Matter::Workload(name) = matter {
                self.settle_own(name, changes);
            }
        }
        let mut has_news = false;
        for matter in &*touched {
            has_news |= self.settle_matter(matter, explanations, changes);
        }
        if has_news {
            // What may explain one workload may explain them all.
            touched.extend(self.every_workload().map(Matter::Workload));
        }
        for matter in &*touched {
            if let Matter::Workload(name) = matter {
                self.settle_recovery_point(name, explanations, changes);
            }
        }
    }

    /// What explains even what is a workload's own comes first.
    fn settle_all_limits(&mut self, touched: &mut BTreeSet<Matter>, changes: &mut Vec<Change>) {
        let agents = touched.iter().filter_map(|matter| match matter {
            Matter::Agent(agent) => Some(agent.clone()),
            _ => None,
        });
        for agent in agents.collect::<Vec<_>>() {
            if !self.settle_limits(&agent, changes) {
                continue;
            }
            let workloads = self.state.workloads.iter().filter(|(_, workload)| {
                workload.source.as_ref().is_some_and(|source| source.agent == agent)
            });
            touched.extend(workloads.map(|(name, _)| Matter::Workload(name.clone())));
        }
    }

    pub(super) fn agent_of(&self, matter: &Matter) -> Option<Matter> {
        let Matter::Workload(name) = matter else { return None };
        let source = self.state.workloads.get(name)?.source.as_ref()?;
        Some(Matter::Agent(source.agent.clone()))
    }

    /// Settles what is not a workload, and says whether it explains anything else than before.
    fn settle_matter(
        &mut self,
        matter: &Matter,
        known: &mut Explanations,
        changes: &mut Vec<Change>,
    ) -> bool {
        match matter {
            Matter::Certificates => self.settle_certificates(changes),
            Matter::Evidence => {
                for (key, cause) in self.state.evidence.causes(self.state.head.now) {
                    self.settle_incident(&key, cause, None, changes);
                }
                let problem = self.state.head.audit_problem.clone();
                let cause = problem.map(|problem| Cause::AuditLogDamaged { problem });
                self.settle_incident(&Key::of_vault(Topic::AuditLog), cause, None, changes);
                let problem = self.state.head.forgetting_problem.clone();
                let cause = problem.map(|problem| Cause::ForgettingStopped { problem });
                self.settle_incident(&Key::of_vault(Topic::Forgetting), cause, None, changes);
                let withheld = self.state.head.withheld.clone();
                let cause =
                    withheld.map(|(agents, until)| Cause::ReleasesWithheld { agents, until });
                let key = Key::of_vault(Topic::ReleasesWithheld);
                self.settle_incident(&key, cause, None, changes);
                self.settle_routes(changes);
                return self.settle_media(&mut known.media, changes);
            }
            Matter::Outage => {
                self.settle_outage(changes);
                // What does not wait is explained only until all agents had time to be heard.
                let has_time = self
                    .state
                    .head
                    .outage
                    .as_ref()
                    .is_some_and(|it| self.state.head.now < it.recovered);
                let outage = self.explaining(&Key::of_vault(Topic::Vault)).map(|id| (id, has_time));
                return std::mem::replace(&mut known.outage, outage) != outage;
            }
            Matter::Agent(agent) => {
                let sources = self.sources_of(agent);
                self.settle_agent(agent, &sources, changes);
                let handed = (agent.as_str(), &sources[..]);
                let has_news = self.settle_handovers(handed, &mut known.handovers, changes);
                return self.note_explanations(agent, &sources, &mut known.sources) || has_news;
            }
            Matter::Workload(_) => {}
        }
        false
    }

    pub(super) fn sources_of(&self, agent: &str) -> Vec<Source> {
        let first = first_of(agent);
        let sources = self.state.sources.from(&first).map(|(source, _)| source);
        sources.take_while(|source| source.agent == agent).cloned().collect()
    }

    /// Takes note of what an agent explains now, and says whether that is anything else than before.
    fn note_explanations(
        &self,
        agent: &str,
        sources: &[Source],
        known: &mut BTreeMap<Source, OfSource>,
    ) -> bool {
        // It may have learned the name of its share.
        let of_agent = known.range(first_of(agent)..).map(|(source, _)| source);
        let of_agent = of_agent.take_while(|source| source.agent == agent);
        let gone: Vec<Source> = of_agent.filter(|s| !sources.contains(s)).cloned().collect();
        let mut has_news = !gone.is_empty();
        for source in &gone {
            known.remove(source);
        }
        for source in sources {
            let of_source = self.explanation_by(source);
            has_news |= known.insert(source.clone(), of_source) != Some(of_source);
        }
        has_news
    }

    fn put_on_agenda(&self, matter: &Matter, settled: &mut Settled) {
        let (state, now) = (&self.state, self.state.head.now);
        let agenda = &mut settled.agenda;
        match matter {
            Matter::Certificates => {
                let own = state.head.certificates.values();
                agenda.put(matter, own.flat_map(Validity::turning_points), now);
            }
            Matter::Evidence => agenda.put(matter, state.evidence.deadlines(), now),
            Matter::Outage => {
                let outage = state.head.outage.iter().map(|outage| outage.recovered);
                agenda.put(matter, outage.chain(self.backlog_deadlines()), now);
            }
            Matter::Agent(agent) => {
                let deadline = self.settings.agent_deadline;
                let first = first_of(agent);
                let of_agent = state.sources.from(&first);
                let of_agent = of_agent.take_while(|(source, _)| source.agent == *agent);
                let of_agent = of_agent.flat_map(|(_, known)| known.deadlines(deadline));
                let over = state.over_limits.get(agent).map(OverLimit::told_until);
                let handed = self.handover_deadlines(agent);
                agenda.put(matter, of_agent.chain(over).chain(handed), now);
            }
            Matter::Workload(name) => {
                let workload = state.workloads.get(name).into_iter();
                agenda.put(matter, workload.flat_map(|workload| workload.deadlines(now)), now);
            }
        }
    }

    /// The end of each certificate that no agent shows is announced in time.
    fn settle_certificates(&mut self, changes: &mut Vec<Change>) {
        let open = self.state.open.keys().filter_map(|key| match &key.subject {
            Subject::Holder(holder) => Some(holder.clone()),
            _ => None,
        });
        let own = self.state.head.certificates.keys().cloned();
        let holders: BTreeSet<String> = open.chain(own).collect();
        for name in holders {
            let is_agents = self.state.sources.keys().any(|source| holder(&source.agent) == name);
            if !is_agents {
                let held = self.state.head.certificates.get(&name).copied();
                self.settle_certificate(&name, held, changes);
            }
        }
    }

    fn settle_certificate(
        &mut self,
        holder: &str,
        held: Option<Validity>,
        changes: &mut Vec<Change>,
    ) {
        let now = self.state.head.now;
        let cause = held.and_then(|held| {
            let holder = holder.to_owned();
            if !held.has_begun(now) {
                return Some(Cause::CertificateEarly { holder, from: held.from });
            }
            let ends = held.announced() <= now;
            ends.then_some(Cause::CertificateEnds { holder, until: held.until })
        });
        self.settle_incident(&Key::of_certificate(holder), cause, None, changes);
    }

    /// Settles what is known of one agent, which is all of its `sources`.
    fn settle_agent(&mut self, agent: &str, sources: &[Source], changes: &mut Vec<Change>) {
        let (deadline, now) = (self.settings.agent_deadline, self.state.head.now);
        let known = || sources.iter().filter_map(|source| self.state.sources.get(source));
        let Some(last_heard) = known().map(|known| known.heard).max() else { return };
        // Of several certificates in use, the one that ends first is told.
        let certificate = known().filter_map(|known| known.certificate).min_by_key(|c| c.until);
        let is_silent = known().all(|known| known.is_silent(deadline, now));
        self.settle_certificate(&holder(agent), certificate, changes);

        let is_told = is_silent && sources.iter().any(|source| self.is_missed(source));
        let silent =
            is_told.then(|| Cause::AgentSilent { agent: agent.to_owned(), last_heard, deadline });
        let ended = self.ended_certificate(agent);
        let resolved = self.settle_incident(&Key::of_agent(agent), silent, ended, changes);
        for source in sources {
            self.recovers(source, resolved);
            self.settle_source(source, is_silent, changes);
        }
    }

    /// Settles what is known of one source; `is_silent` says whether its agent is, whatever it speaks
    /// of.
    fn settle_source(&mut self, source: &Source, is_silent: bool, changes: &mut Vec<Change>) {
        let (deadline, now) = (self.settings.agent_deadline, self.state.head.now);
        let Some(known) = self.state.sources.get(source).cloned() else { return };
        let SourceState { heard: last_heard, problem, hindrance, stray, clock_off, usable, .. } =
            &known;
        // Only where another process of that name is heard: else the agent's silence says it.
        let is_unheard = !is_silent
            && source.share.is_some()
            && known.is_silent(deadline, now)
            && self.is_depended_on(source);
        let (agent, share) = (|| source.agent.clone(), source.share);
        let unheard = is_unheard.then(|| Cause::ShareSilent {
            source: source.clone(),
            last_heard: *last_heard,
            deadline,
        });
        let unusable =
            problem.clone().map(|problem| Cause::ShareUnusable { agent: agent(), share, problem });
        let work = hindrance.clone().map(|problem| Cause::AgentHindered {
            agent: agent(),
            share,
            problem,
        });
        let stray =
            stray.clone().map(|problem| Cause::StrayOnShare { agent: agent(), share, problem });
        let clock = clock_off.map(|minutes| Cause::ClockOff { agent: agent(), share, minutes });
        let is_explained = *usable && (unusable.is_some() || unheard.is_some() || work.is_some());
        let lost = if is_explained { self.lost_repository(source) } else { None };
        let key = |topic| Key::of_source(topic, source);
        let resolved =
            self.settle_incident(&key(Topic::Share), unheard.or(unusable), lost, changes);
        self.recovers(source, resolved);
        let resolved = self.settle_incident(&key(Topic::Work), work, lost, changes);
        self.recovers(source, resolved);
        self.settle_incident(&key(Topic::Stray), stray, None, changes);
        self.settle_incident(&key(Topic::Clock), clock, None, changes);
        let is_over =
            |known: &SourceState| known.recovering.as_ref().is_some_and(|r| r.until <= now);
        if self.state.sources.get(source).is_some_and(is_over)
            && let Some(known) = self.state.sources.get_mut(source)
        {
            known.recovering = None;
        }
    }

    /// After an incident of its own resolved, the backlog of a source gets its time.
    pub(super) fn recovers(&mut self, source: &Source, resolved: Option<u64>) {
        let Some(incident) = resolved else { return };
        let until = self.state.head.now.saturating_add(self.settings.agent_deadline);
        if let Some(known) = self.state.sources.get_mut(source) {
            known.recovering = Some(Recovering { incident, until });
        }
    }

    /// Settles what nothing else explains of one workload, or of one that is forgotten.
    fn settle_own(&mut self, name: &WorkloadName, changes: &mut Vec<Change>) {
        let now = self.state.head.now;
        let workload = self.state.workloads.get(name);
        let name_of = || name.clone();
        let rejected = workload.and_then(|workload| workload.rejected.clone()).map(|rejected| {
            Cause::DropRejected {
                workload: name_of(),
                drop: rejected.drop,
                code: rejected.code,
                reason: rejected.reason,
            }
        });
        let missing = workload
            .and_then(|workload| workload.missing.clone())
            .map(|what| Cause::RepositoryMissing { workload: name_of(), what });
        let retired =
            workload.and_then(|workload| workload.revival).map(|revival| Cause::RetiredDropped {
                workload: name_of(),
                retired: revival.retired,
                dropped: revival.dropped,
            });
        let former = workload.and_then(|workload| workload.under_former.clone());
        let former = former.map(|it| Cause::UnderFormerName {
            workload: name_of(),
            former: it.name,
            agent: it.source.agent,
            until: it.until,
        });
        let content = workload
            .and_then(|workload| workload.content_problem.clone())
            .map(|problem| Cause::ContentUnusable { workload: name_of(), problem });
        let is_over = workload.and_then(|w| w.recovering.as_ref()).is_some_and(|r| r.until <= now);
        let verification = workload.map(|workload| &workload.verification);
        for (key, cause) in Verification::causes(verification, name) {
            self.settle_incident(&key, cause, None, changes);
        }
        let key = |topic| Key::of_workload(topic, name);
        let flood = self.flood_of(name);
        let quiet = self.state.workloads.get(name).and_then(|workload| workload.rests(now));
        self.settle_quietly(&key(Topic::RejectedDrop), rejected, (flood, quiet.clone()), changes);
        self.settle_incident(&key(Topic::Retired), retired, None, changes);
        self.settle_incident(&key(Topic::FormerName), former, None, changes);
        self.settle_quietly(&key(Topic::Content), content, (flood, quiet), changes);
        let found = self.settle_incident(&key(Topic::Repository), missing, None, changes);
        if (is_over || found.is_some())
            && let Some(workload) = self.state.workloads.get_mut(name)
        {
            let until = now.saturating_add(self.settings.agent_deadline);
            workload.recovering = found.map(|incident| Recovering { incident, until });
        }
    }

    fn settle_recovery_point(
        &mut self,
        name: &WorkloadName,
        explanations: &Explanations,
        changes: &mut Vec<Change>,
    ) {
        let now = self.state.head.now;
        let workload = self.state.workloads.get(name);
        let broken = workload.filter(|w| w.state(now) == State::Broken);
        let broken = broken.map(|workload| missed::cause(name, workload, now));
        let explanation = broken.is_some().then(|| self.explanation(name, explanations)).flatten();
        let quiet = workload.filter(|_| broken.is_some()).and_then(|workload| workload.quiet(now));
        let key = Key::of_workload(Topic::RecoveryPoint, name);
        self.settle_quietly(&key, broken, (explanation, quiet), changes);
    }

    /// Opens, folds, gives back or resolves the one incident of `key`, as `cause` (still there, or
    /// gone) and `explanation` demand. Returns the id of an incident whose cause has just gone.
    pub(super) fn settle_incident(
        &mut self,
        key: &Key,
        cause: Option<Cause>,
        explanation: Option<u64>,
        changes: &mut Vec<Change>,
    ) -> Option<u64> {
        self.settle_quietly(key, cause, (explanation, None), changes)
    }

    /// The same, where a page may also wait for a `quiet` time to end.
    fn settle_quietly(
        &mut self,
        key: &Key,
        cause: Option<Cause>,
        (explanation, quiet): (Option<u64>, Option<Quiet>),
        changes: &mut Vec<Change>,
    ) -> Option<u64> {
        let Some(cause) = cause else { return self.end_incident(key, changes) };
        if self.is_past(key)
            && let Some(incident) = self.state.open.get_mut(key)
        {
            // It is back before all had come: one trouble, and one page.
            (incident.cause, incident.catching_up) = (cause, None);
            return None;
        }
        if let Some(incident) = self.state.open.get(key) {
            // What was told once stays on its own: taking it back would be one more page.
            let is_news = !incident.announced
                && (incident.folded_into != explanation || incident.waits != quiet);
            if !is_news {
                return None;
            }
            let is_told = explanation.is_none() && quiet.is_none();
            // Nobody was told before: who is asked, and for what, is what is so now.
            let asked = is_told.then(|| (self.asked(&cause), cause));
            if let Some(incident) = self.state.open.get_mut(key) {
                incident.announced = is_told;
                (incident.folded_into, incident.waits) = (explanation, quiet);
                if let Some((asked, cause)) = asked {
                    incident.cause = cause;
                    (incident.team, incident.also, incident.route) = asked;
                    changes.push(Change::Opened(incident.view(None)));
                }
            }
            return None;
        }
        let incident = self.open(cause, explanation, quiet);
        if incident.announced {
            changes.push(Change::Opened(incident.view(None)));
        }
        self.state.open.insert(key.clone(), incident);
        None
    }

    fn open(
        &mut self,
        cause: Cause,
        explanation: Option<u64>,
        quiet: Option<Quiet>,
    ) -> OpenIncident {
        let (team, also, route) = self.asked(&cause);
        self.state.head.last_incident_id += 1;
        OpenIncident {
            id: self.state.head.last_incident_id,
            cause,
            team,
            opened: self.state.head.now,
            folded_into: explanation,
            announced: explanation.is_none() && quiet.is_none(),
            waits: quiet,
            also,
            route,
            catching_up: None,
        }
    }
}

/// The source of an agent that is before all others of it.
fn first_of(agent: &str) -> Source {
    Source { agent: agent.to_owned(), share: None }
}
