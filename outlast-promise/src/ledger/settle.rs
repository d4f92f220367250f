//! From facts to incidents.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::WorkloadName;

use super::Ledger;
use crate::memory::{Absence, OpenIncident, Recovering};
use crate::view::Source;
use crate::{Cause, Change, Key, Owner, State, Validity};

impl Ledger {
    /// Makes the open incidents agree with the facts. Explanations first: what is explained by an
    /// incident that opens in this very moment must not page beside it.
    pub(crate) fn reconcile(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.settle_sources(&mut changes);
        self.settle_absence(&mut changes);
        self.settle_evidence(&mut changes);
        // Those that are forgotten, too: what was told of them must be resolved.
        let told = self.memory.open.values().filter_map(|incident| incident.cause.workload());
        let names: BTreeSet<WorkloadName> =
            self.memory.workloads.keys().chain(told).cloned().collect();
        for name in &names {
            self.settle_workload(name, &mut changes);
        }
        self.quiet_until = self.next_deadline();
        changes
    }

    pub(super) fn settle_sources(&mut self, changes: &mut Vec<Change>) {
        self.settle_certificates(changes);
        let sources: Vec<Source> = self.memory.sources.keys().cloned().collect();
        let mut from = 0;
        while let Some(first) = sources.get(from) {
            let of_agent = sources[from..].iter().take_while(|source| source.agent == first.agent);
            let to = from + of_agent.count();
            self.settle_agent(&sources[from..to], changes);
            from = to;
        }
        let now = self.memory.now;
        for standing in self.memory.sources.values_mut() {
            standing.recovering.take_if(|recovering| recovering.until <= now);
        }
    }

    /// Settles what is known of one agent, which is all of its `sources`.
    fn settle_agent(&mut self, sources: &[Source], changes: &mut Vec<Change>) {
        let Some(Source { agent, .. }) = sources.first() else { return };
        let deadline = self.settings.agent_deadline;
        let standings: Vec<_> =
            sources.iter().filter_map(|source| self.memory.sources.get(source)).collect();
        let last_heard = standings.iter().map(|standing| standing.heard).max();
        let is_silent = standings.iter().all(|standing| self.is_silent(standing));
        let is_missed = sources.iter().any(|source| self.is_missed(source));
        let silent = last_heard
            .filter(|_| is_silent && is_missed)
            .map(|last_heard| Cause::AgentSilent { agent: agent.clone(), last_heard, deadline });
        let holder = format!("agent {agent}");
        // Who was let in until its certificate ended says no more for that reason.
        let ended = self.memory.open.get(&Key::Certificate(holder)).and_then(|open| {
            let Cause::CertificateEnds { until, .. } = open.cause else { return None };
            (until <= self.memory.now).then_some(open.id)
        });
        if let Some(incident) = self.settle(&Key::Agent(agent.clone()), silent, ended, changes) {
            for source in sources {
                self.recovers(source, incident);
            }
        }
        for source in sources {
            let Some(standing) = self.memory.sources.get(source) else { continue };
            let problem = standing.problem.clone().map(|problem| Cause::ShareUnusable {
                agent: source.agent.clone(),
                share: source.share,
                problem,
            });
            // Only where another process of that name is heard: else the agent's silence says it.
            let is_unheard = !is_silent
                && source.share.is_some()
                && self.is_silent(standing)
                && self.is_depended_on(source);
            let unheard = is_unheard.then(|| Cause::ShareSilent {
                source: source.clone(),
                last_heard: standing.heard,
                deadline,
            });
            let key = Key::Share(source.clone());
            let (agent, share) = (source.agent.clone(), source.share);
            let work = standing.hindrance.clone().map(|problem| Cause::AgentHindered {
                agent: agent.clone(),
                share,
                problem,
            });
            let stray = standing.stray.clone();
            let stray = stray.map(|problem| Cause::StrayOnShare { agent, share, problem });
            // What an agent whose share works lacks is, most likely, what the vault itself lacks.
            let lost = if standing.usable { self.lost_repository(source) } else { None };
            let resolved = [
                self.settle(&key, unheard.or(problem), lost, changes),
                self.settle(&Key::Work(source.clone()), work, lost, changes),
            ];
            self.settle(&Key::Stray(source.clone()), stray, None, changes);
            for incident in resolved.into_iter().flatten() {
                self.recovers(source, incident);
            }
        }
    }

    /// The incident of a repository that is missing, or was until a moment ago, of a workload from
    /// this source.
    fn lost_repository(&self, source: &Source) -> Option<u64> {
        let workloads = self.memory.workloads.iter();
        let mut of_source = workloads.filter(|(_, w)| w.source.as_ref() == Some(source));
        of_source.find_map(|(name, workload)| {
            let open = self.memory.open.get(&Key::Repository(name.clone()));
            let recovering = workload.recovering.as_ref().map(|recovering| recovering.incident);
            open.map(|open| open.id).or(recovering)
        })
    }

    fn recovers(&mut self, source: &Source, incident: u64) {
        let until = self.memory.now.saturating_add(self.settings.agent_deadline);
        if let Some(standing) = self.memory.sources.get_mut(source) {
            standing.recovering = Some(Recovering { incident, until });
        }
    }

    /// Whether a workload whose promise counts comes from this source.
    fn is_depended_on(&self, source: &Source) -> bool {
        let now = self.memory.now;
        self.memory.workloads.values().any(|workload| {
            workload.source.as_ref() == Some(source) && workload.state(now) != State::Retired
        })
    }

    /// Whether anybody would miss a source: not if all that ever came from it is retired.
    fn is_missed(&self, source: &Source) -> bool {
        let mut of_source =
            self.memory.workloads.values().filter(|w| w.source.as_ref() == Some(source)).peekable();
        let now = self.memory.now;
        of_source.peek().is_none() || of_source.any(|w| w.state(now) != State::Retired)
    }

    /// The end of each certificate is announced in time; of an agent's, that which ends first
    /// among those that are in use.
    fn settle_certificates(&mut self, changes: &mut Vec<Change>) {
        let now = self.memory.now;
        let mut holders: BTreeMap<String, Validity> = self.memory.certificates.clone();
        for (source, standing) in &self.memory.sources {
            let Some(certificate) = standing.certificate else { continue };
            let entry = holders.entry(format!("agent {}", source.agent)).or_insert(certificate);
            if certificate.until < entry.until {
                *entry = certificate;
            }
        }
        let open = self.memory.open.keys().filter_map(|key| match key {
            Key::Certificate(holder) => Some(holder.clone()),
            _ => None,
        });
        let names: BTreeSet<String> = open.chain(holders.keys().cloned()).collect();
        for holder in names {
            let cause = holders.get(&holder).and_then(|held| {
                let holder = holder.clone();
                if !held.has_begun(now) {
                    return Some(Cause::CertificateEarly { holder, from: held.from });
                }
                let ends = held.announced() <= now;
                ends.then_some(Cause::CertificateEnds { holder, until: held.until })
            });
            self.settle(&Key::Certificate(holder), cause, None, changes);
        }
    }

    /// An absence of the vault is told only if a promise broke in it.
    fn settle_absence(&mut self, changes: &mut Vec<Change>) {
        let now = self.memory.now;
        self.memory.absence.take_if(|absence| absence.recovered <= now);
        let broke = |absence: &Absence| {
            self.memory.workloads.values().any(|workload| {
                workload.state(now) == State::Broken
                    && workload.due() <= now
                    && absence.explains(workload.due())
            })
        };
        let cause = self
            .memory
            .absence
            .as_ref()
            .filter(|absence| broke(absence))
            .map(|absence| Cause::VaultAbsent { from: absence.from, until: absence.until });
        self.settle(&Key::Vault, cause, None, changes);
    }

    pub(super) fn settle_evidence(&mut self, changes: &mut Vec<Change>) {
        for (key, cause) in self.memory.evidence.causes(self.memory.now) {
            self.settle(&key, cause, None, changes);
        }
    }

    /// Settles all that is about one workload, or was about one that is forgotten.
    pub(super) fn settle_workload(&mut self, name: &WorkloadName, changes: &mut Vec<Change>) {
        let now = self.memory.now;
        let workload = self.memory.workloads.get(name);
        let rejected = workload.and_then(|workload| workload.rejected.as_ref()).map(|rejected| {
            Cause::DropRejected {
                workload: name.clone(),
                drop: rejected.drop,
                reason: rejected.reason.clone(),
            }
        });
        let missing = workload
            .and_then(|workload| workload.missing.clone())
            .map(|what| Cause::RepositoryMissing { workload: name.clone(), what });
        let retired =
            workload.and_then(|workload| workload.revival).map(|revival| Cause::RetiredDropped {
                workload: name.clone(),
                retired: revival.retired,
                dropped: revival.dropped,
            });
        let broken = workload.filter(|w| w.state(now) == State::Broken).map(|workload| {
            workload.waiting_since.map_or_else(
                || Cause::NothingDropped {
                    workload: name.clone(),
                    rpo: workload.promise().rpo(),
                    last_vaulted: workload.last_vaulted,
                    known_since: workload.known_since,
                },
                |waiting_since| Cause::NotVaulted {
                    workload: name.clone(),
                    rpo: workload.promise().rpo(),
                    waiting_since,
                },
            )
        });
        let content = workload
            .and_then(|workload| workload.content_problem.clone())
            .map(|problem| Cause::ContentUnusable { workload: name.clone(), problem });
        self.settle(&Key::RejectedDrop(name.clone()), rejected, None, changes);
        self.settle(&Key::Retired(name.clone()), retired, None, changes);
        self.settle(&Key::Content(name.clone()), content, None, changes);
        let found = self.settle(&Key::Repository(name.clone()), missing, None, changes);
        let until = now.saturating_add(self.settings.agent_deadline);
        if let Some(workload) = self.memory.workloads.get_mut(name) {
            if let Some(incident) = found {
                workload.recovering = Some(Recovering { incident, until });
            }
            workload.recovering.take_if(|recovering| recovering.until <= now);
        }
        let explanation = self.explanation(name);
        self.settle(&Key::RecoveryPoint(name.clone()), broken, explanation, changes);
    }

    /// The incident that explains why `name` has no recovery point, if there is one: a repository
    /// that is missing, a drop of its own that was rejected, a retirement that it outlived, or
    /// trouble on the way from its agent to here.
    fn explanation(&self, name: &WorkloadName) -> Option<u64> {
        let open = |key: &Key| self.memory.open.get(key).map(|incident| incident.id);
        let own = [Key::Repository, Key::RejectedDrop, Key::Retired];
        if let Some(own) = own.iter().find_map(|key| open(&key(name.clone()))) {
            return Some(own);
        }
        let workload = self.memory.workloads.get(name)?;
        if let Some(recovering) = &workload.recovering {
            return Some(recovering.incident);
        }
        let trouble = |source: &Source| {
            let known = self.memory.sources.get(source);
            // A stray file on a share that works must not hide, for as long as it lies there,
            // that a workload of which nothing waits produced nothing.
            let waits = workload.waiting_since.is_some();
            let by_share =
                waits || known.is_some_and(|standing| !standing.usable || self.is_silent(standing));
            let silent = open(&Key::Agent(source.agent.clone()));
            let silent = silent.map(|incident| self.told_by(incident));
            silent
                .or_else(|| open(&Key::Share(source.clone())).filter(|_| by_share))
                .or_else(|| open(&Key::Work(source.clone())).filter(|_| waits))
                .or_else(|| Some(known?.recovering.as_ref()?.incident))
        };
        let sources = match &workload.source {
            Some(source) => trouble(source),
            // Nobody spoke of it yet, so any agent could have: only trouble of all explains it.
            None => {
                let mut troubles = self.memory.sources.keys().map(trouble);
                let first = troubles.next().flatten();
                first.filter(|_| troubles.all(|trouble| trouble.is_some()))
            }
        };
        let absence = || {
            let absence = self.memory.absence.as_ref()?;
            absence.explains(workload.due()).then(|| open(&Key::Vault)).flatten()
        };
        sources.or_else(absence)
    }

    /// The incident that tells of this one: itself, or the one that explains it.
    fn told_by(&self, incident: u64) -> u64 {
        let mut open = self.memory.open.values();
        open.find(|open| open.id == incident).and_then(|open| open.folded_into).unwrap_or(incident)
    }

    /// Opens, folds, gives back or resolves the one incident of `key`, as `cause` (still there, or
    /// gone) and `explanation` demand. Returns the id of an incident that resolved.
    fn settle(
        &mut self,
        key: &Key,
        cause: Option<Cause>,
        explanation: Option<u64>,
        changes: &mut Vec<Change>,
    ) -> Option<u64> {
        let Some(cause) = cause else {
            let incident = self.memory.open.remove(key)?;
            if incident.announced {
                changes.push(Change::Resolved(incident.view(Some(self.memory.now))));
            }
            return Some(incident.id);
        };
        if let Some(incident) = self.memory.open.get_mut(key) {
            // What was told once stays on its own: taking it back would be one more page.
            if !incident.announced {
                incident.folded_into = explanation;
                incident.announced = explanation.is_none();
                if incident.announced {
                    changes.push(Change::Opened(incident.view(None)));
                }
            }
            return None;
        }
        let incident = self.open(cause, explanation);
        if incident.announced {
            changes.push(Change::Opened(incident.view(None)));
        }
        self.memory.open.insert(key.clone(), incident);
        None
    }

    fn open(&mut self, cause: Cause, explanation: Option<u64>) -> OpenIncident {
        let team = match (cause.owner(), cause.workload()) {
            (Owner::App, Some(workload)) => {
                self.memory.workloads.get(workload).map(|w| w.promise().owner().to_owned())
            }
            _ => None,
        };
        self.memory.last_incident_id += 1;
        OpenIncident {
            id: self.memory.last_incident_id,
            cause,
            team: team.unwrap_or_else(|| "platform".to_owned()),
            opened: self.memory.now,
            folded_into: explanation,
            announced: explanation.is_none(),
        }
    }
}

impl Absence {
    /// Whether a promise that broke at `due` broke because the vault was not there.
    fn explains(&self, due: outlast_types::Timestamp) -> bool {
        self.from <= due && due < self.recovered
    }
}
