//! Which open incident explains why something else is wrong, so that one cause is one page; and who is asked of what
//! is not explained.

use outlast_types::{Owner, WorkloadName};

use super::Ledger;
use super::explanations::{Explanations, OfSource, holder};
use crate::cause::{Cause, Key, Topic};
use crate::event::Source;
use crate::incident::Recovering;
use crate::promise::State;
use crate::workload::Workload;

impl Ledger {
    /// The team that is asked about something, who is told besides, and by which route.
    pub(super) fn asked(&self, cause: &Cause) -> (String, Vec<String>, Option<String>) {
        let promise = match (cause.owner(), cause.workload()) {
            (Owner::App, Some(workload)) => self.state.workloads.get(workload),
            _ => None,
        };
        let promise = promise.map(Workload::promise);
        let product = cause.handover().filter(|_| cause.owner() == Owner::Backup);
        let product = product.map(|handover| self.settings.handover(&handover.name));
        let team = promise.map(|promise| promise.owner().to_owned());
        let team = team.or_else(|| product.map(|rule| rule.owner.clone()));
        let also = promise.map(|promise| promise.also().to_vec());
        let route = promise.and_then(|promise| promise.class().route.clone());
        let route = route.or_else(|| product.and_then(|rule| rule.route.clone()));
        let team = team.unwrap_or_else(|| "platform".to_owned());
        (team, also.unwrap_or_default(), route)
    }

    pub(super) fn open_id(&self, key: &Key) -> Option<u64> {
        self.state.open.get(key).map(|incident| incident.id)
    }

    /// The incident that explains why `name` has no recovery point, if there is one: a repository
    /// that is missing, a drop of its own that was rejected, a retirement that it outlived, or
    /// trouble on the way from its agent to here.
    pub(super) fn explanation(&self, name: &WorkloadName, of: &Explanations) -> Option<u64> {
        let own = [Topic::Repository, Topic::RejectedDrop, Topic::Retired];
        let own = own.iter().find_map(|topic| self.open_id(&Key::of_workload(*topic, name)));
        let workload = self.state.workloads.get(name)?;
        let now = self.state.head.now;
        let own = own.or_else(|| Recovering::explains(workload.recovering.as_ref(), now));
        if own.is_some() {
            return own;
        }
        if let Some(handover) = self.handover_explains(name, &of.handovers) {
            return Some(handover);
        }
        let waits = self.waits(name, workload);
        if !waits && let Some(flood) = self.flood_of(name) {
            return Some(flood);
        }
        let trouble = |of: &OfSource| if waits { of.waiting } else { of.not_waiting };
        let trouble = match &workload.source {
            Some(source) => {
                let known = of.sources.get(source).copied();
                trouble(&known.unwrap_or_else(|| self.explanation_by(source)))
            }
            // Nobody spoke of it yet, so any agent could have: only trouble of all explains it.
            None => {
                let mut troubles = of.sources.values().map(trouble);
                let first = troubles.next().flatten();
                first.filter(|_| troubles.all(|trouble| trouble.is_some()))
            }
        };
        let at_media = workload.at_media.as_ref().filter(|_| waits);
        trouble.or_else(|| of.media.get(at_media?).copied()).or_else(|| {
            let outage = self.state.head.outage.as_ref()?;
            let (incident, _) = of.outage?;
            outage.explains(workload.due(), waits, now).then_some(incident)
        })
    }

    /// The incident by which a media server explains that what waits with it does not come.
    pub(super) fn media_explains(&self, media: &str) -> Option<u64> {
        let of = |topic| self.explaining(&Key::of_media(topic, media));
        of(Topic::Media).or_else(|| of(Topic::Spool))
    }

    /// What explains how it stands with workloads of a source.
    pub(super) fn explanation_by(&self, source: &Source) -> OfSource {
        let of_agent = Key::of_agent(&source.agent);
        let agent = self.explaining(&of_agent).map(|id| {
            // That of the agent may itself be explained, by the end of its certificate.
            self.state.open.get(&of_agent).and_then(|silent| silent.folded_into).unwrap_or(id)
        });
        let known = self.state.sources.get(source);
        let now = self.state.head.now;
        let of_share = Key::of_source(Topic::Share, source);
        let share = self.explaining(&of_share);
        let work = self.explaining(&Key::of_source(Topic::Work, source));
        let limits = self.explaining(&Key::about_agent(Topic::Limits, &source.agent));
        let of_certificate = Key::of_certificate(&holder(&source.agent));
        let certificate =
            self.explaining(&of_certificate).filter(|_| self.is_past(&of_certificate));
        let recovering = Recovering::explains(known.and_then(|k| k.recovering.as_ref()), now);
        // Once the agent has looked at all of its share, what it did not name does not wait.
        let is_unlooked = known.is_some_and(|known| {
            let since = known.recovering.as_ref();
            let since = since.map(|it| it.until.saturating_sub(self.settings.agent_deadline));
            known.looked < since
        });
        // A stray file on a share that works must not hide, for as long as it lies there, that a
        // workload of which nothing waits produced nothing.
        let is_out_of_use = known.is_some_and(|known| {
            !known.usable || known.is_silent(self.settings.agent_deadline, now)
        });
        OfSource {
            waiting: agent.or(share).or(work).or(limits).or(certificate).or(recovering),
            not_waiting: agent
                .filter(|_| !self.is_past(&of_agent))
                .or(share.filter(|_| is_out_of_use && !self.is_past(&of_share)))
                .or(recovering.filter(|_| is_unlooked)),
        }
    }

    /// The incident by which the end of an agent's certificate explains its silence: nobody lets it
    /// in any more.
    pub(super) fn ended_certificate(&self, agent: &str) -> Option<u64> {
        let open = self.state.open.get(&Key::of_certificate(&holder(agent)))?;
        let Cause::CertificateEnds { until, .. } = open.cause else { return None };
        (until <= self.state.head.now).then_some(open.id)
    }

    /// The incident of a repository that is missing, or was until a moment ago, of a workload from
    /// this source: most likely, it is what an agent whose share works complains of.
    pub(super) fn lost_repository(&self, source: &Source) -> Option<u64> {
        let now = self.state.head.now;
        let mut shaken = self.state.workloads.iter().filter(|(_, workload)| {
            (workload.missing.is_some() || workload.recovering.is_some())
                && workload.source.as_ref() == Some(source)
        });
        shaken.find_map(|(name, workload)| {
            let open = self.open_id(&Key::of_workload(Topic::Repository, name));
            open.or_else(|| Recovering::explains(workload.recovering.as_ref(), now))
        })
    }

    /// Whether a workload whose promise counts comes from this source.
    pub(super) fn is_depended_on(&self, source: &Source) -> bool {
        let now = self.state.head.now;
        self.state.workloads.values().any(|workload| {
            workload.source.as_ref() == Some(source) && workload.state(now) != State::Retired
        })
    }

    /// Whether anybody would miss a source: not if all that ever came from it is retired.
    pub(super) fn is_missed(&self, source: &Source) -> bool {
        let mut workloads = self.state.workloads.values();
        self.is_depended_on(source) || !workloads.any(|w| w.source.as_ref() == Some(source))
    }
}
