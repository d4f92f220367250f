//! What all that the vault does works on. What it does is in the modules above this one, each with
//! its part of `impl Vault`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outlast_promise::{self as promise, Validity};
use outlast_repo::lock::{Here, Holder};
use outlast_types::{Environment, Timestamp};
use outlast_wire::ca::CaError;
use outlast_wire::{CertificateAuthority, Identity, IdentityHandle, Peer, Role, Trust};

use super::admission::Admission;
use super::agreements::Agreements;
use super::alerts::Alerts;
use super::arrivals::Arrivals;
use super::audit::{AuditAction, AuditLog, Event, Outcome};
use super::certificates::Certificates;
use super::challenges::Challenges;
use super::counters::Counters;
use super::deliveries::Deliveries;
use super::drills::{DrillPolicy, Drills};
use super::error::VaultError;
use super::figures::Figures;
use super::former::FormerNames;
use super::jobs::Jobs;
use super::keepings::Keepings;
use super::kit::OpenedByKits;
use super::limits::{LimitPolicy, Limits};
use super::looks::Looks;
use super::month::noted::Months;
use super::occupied::Occupied;
use super::orders::Orders;
use super::policy::Policy;
use super::promise_monitor::PromiseMonitor;
use super::repositories::Repositories;
use super::restorable::Restorable;
use super::saves::Saves;
use super::scrubs::Scrubs;
use super::sequence::Sequence;
use super::shipments::Shipments;
use super::sights::Sights;
use super::slow_time::SlowTime;
use super::spools::Spools;
use super::storage::Storage;
use super::tenures::Tenures;
use super::tokens::Tokens;
use super::withheld::{End, Withheld, Withholding, not_withheld};

/// How long something may wait at a media server of which nothing is promised.
const MEDIA_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the promises hear that something moves: patience with a backlog is much longer.
const MOVED_INTERVAL: Duration = Duration::from_secs(30);

/// Opens the issuer: each time, so that one that was replaced issues from then on.
pub(crate) type OpenIssuer = Arc<dyn Fn() -> Result<CertificateAuthority, CaError> + Send + Sync>;

/// A process of this host.
pub(crate) struct Process {
    pub(crate) holder: Holder,
    /// Whether one with this number lives.
    pub(crate) lives: fn(u32) -> bool,
}

impl Process {
    pub(crate) fn here(&self) -> Here<'_> {
        Here { holder: self.holder.clone(), lives: &self.lives }
    }
}

/// All that a vault takes over of a policy while it is at work.
pub(crate) struct NewPolicy {
    pub(crate) settings: promise::Settings,
    pub(crate) policy: Policy,
    pub(crate) limits: LimitPolicy,
    pub(crate) drills: DrillPolicy,
}

/// What takes a policy over once it was read and written down, and the keys that change.
pub(crate) type TakePolicy<'a> = dyn FnMut(NewPolicy, &[String]) -> Result<(), VaultError> + 'a;

/// Where the policy of a running vault stands.
pub(crate) trait PolicyFile: Send + Sync {
    /// Reads the policy in `text`, which somebody calls `name`; writes it down, and hands it to `take`. The keys
    /// that say something else then; if there are none, nothing was done. If `take` fails, what was written is
    /// as before.
    fn apply(
        &self,
        name: &str,
        text: &str,
        take: &mut TakePolicy<'_>,
    ) -> Result<Vec<String>, VaultError>;

    /// The keys that would say something else by [`PolicyFile::apply`]; nothing is done.
    fn judge(&self, name: &str, text: &str) -> Result<Vec<String>, VaultError>;
}

/// A vault that is open.
pub(crate) struct Vault {
    pub(crate) repositories: Repositories,
    pub(crate) admission: Admission,
    pub(crate) arrivals: Arrivals,
    /// What backup products have of what was handed over to them.
    pub(crate) deliveries: Deliveries,
    pub(crate) orders: Orders,
    /// The names that workloads had before this vault was opened.
    pub(crate) former: FormerNames,
    /// What is decided of single snapshots.
    pub(crate) keepings: Keepings,
    /// What two operators agreed on before policy may say it.
    pub(crate) agreements: Agreements,
    /// By which is forgotten.
    pub(crate) slow_time: SlowTime,
    /// What reports told of when drops were seen.
    pub(crate) sights: Sights,
    /// And how much of shares workloads take up.
    pub(crate) occupied: Occupied,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) certificates: Certificates,
    pub(crate) tokens: Tokens,
    pub(crate) promises: PromiseMonitor,
    /// Who is told.
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) jobs: Jobs,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) identity: IdentityHandle,
    /// Whom this vault believes.
    pub(crate) trust: Trust,
    /// Opens the authority by which this vault issues certificates, if it does.
    pub(crate) issuer: Option<OpenIssuer>,
    /// Held while a certificate is given on the grounds of another one or of a token, and while one is
    /// revoked: nobody gets one on grounds that have just gone.
    pub(crate) issuing: Mutex<()>,
    /// The identity whose certificate the promises know of.
    pub(crate) certified: Mutex<Arc<Identity>>,
    pub(crate) environment: Environment,
    /// Which workloads are left to which agents, and what is asked of content.
    pub(crate) policies: Mutex<Arc<Policy>>,
    /// Where policy stands.
    pub(crate) policy_file: Arc<dyn PolicyFile>,
    /// What is given out to be signed over.
    pub(crate) challenges: Challenges,
    pub(crate) storage: Storage,
    /// The repositories that kits are known to open.
    pub(crate) opened_by_kits: OpenedByKits,
    /// What agents told of themselves.
    pub(crate) figures: Figures,
    /// Which agents serve which shares.
    pub(crate) tenures: Tenures,
    /// Saves of the vault's own state.
    pub(crate) saves: Saves,
    /// Whether agents may let go of what is held here.
    pub(crate) withheld: Withheld,
    /// What was read of the repositories, and when.
    pub(crate) scrubs: Scrubs,
    /// What came of bringing backups back.
    pub(crate) drills: Drills,
    /// What was noted of the month that is under way.
    pub(crate) months: Months,
    /// Drops on their way.
    pub(crate) shipments: Shipments,
    /// When the promises last heard of what moves.
    pub(crate) moved: Mutex<Timestamp>,
    /// Which looks at shares were heard whole.
    pub(crate) looks: Looks,
    /// What media servers said of what waits with them.
    pub(crate) spools: Spools,
    /// The process of this vault, as others see that look at its locks.
    pub(crate) process: Process,
    /// What may be read for the sake of backups that are brought back.
    pub(crate) restorable: Restorable,
    /// Numbers the receipts.
    pub(crate) sequence: Sequence,
    /// Names this run of the vault, so that agents notice that another one began.
    pub(crate) run: String,
}

impl Vault {
    /// Which workloads are left to which agents, what is asked of content, and how long it is kept.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over another policy while the vault is at work. It is in the log, as `event`, before it counts.
    pub(crate) fn take_policy(&self, event: Event, mut new: NewPolicy) -> Result<(), VaultError> {
        new.carry_over(&self.former);
        let NewPolicy { settings, policy, limits, drills } = new;
        let named = settings.policy.workloads.len() + settings.policy.patterns.len();
        let classes = settings.policy.classes.len().to_string();
        self.audit
            .record(event.detail("workloads", named.to_string()).detail("classes", classes))?;
        self.promises.adopt(settings)?;
        self.limits.adopt(limits);
        self.drills.adopt(drills);
        *self.policies.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        Ok(())
    }

    /// The keys that would say something else by the policy in a text, or why it cannot hold. Nothing is done.
    pub(crate) fn judge_policy(&self, name: &str, text: &str) -> Result<Vec<String>, VaultError> {
        self.policy_file.judge(name, text)
    }

    /// Lets the policy in a text hold from now on, and after a start; the keys that say something else then.
    /// One that cannot be used changes nothing.
    pub(crate) fn apply_policy(
        &self,
        (by, reason): (&str, Option<&str>),
        (name, text): (&str, &str),
    ) -> Result<Vec<String>, VaultError> {
        let event = || {
            let event = Event::by_name(by.to_owned(), AuditAction::PolicyAdopted);
            reason.iter().fold(event, |event, reason| event.detail("reason", reason))
        };
        let applied = self.policy_file.apply(name, text, &mut |new, changes| {
            self.take_policy(event().detail("changes", changes.join("; ")), new)
        });
        applied.inspect_err(|error| self.note_failure(event(), error))
    }

    /// Notes that an agent reported, for whoever waits for that.
    pub(crate) fn note_report(&self, agent: &str) -> Result<(), VaultError> {
        match self.withheld.reported(agent, self.environment.clock.now())? {
            Some(left) => self.promises.noted(vec![left.event()]),
            None => Ok(()),
        }
    }

    /// Lets agents release again.
    pub(crate) fn resume_releases(&self, end: &End) -> Result<bool, VaultError> {
        let Some(Withholding { since, agents, .. }) = self.withheld.get() else { return Ok(false) };
        let event = match end {
            End::Answered => {
                Event::by_vault(AuditAction::ReleasesResumed).detail("why", "all agents reported")
            }
            End::TimedOut => Event::by_vault(AuditAction::ReleasesResumed)
                .detail("why", "the time is over that policy gives agents to report"),
            End::Ordered { by, reason } => {
                Event::by_name(by.clone(), AuditAction::ReleasesResumed).detail("reason", reason)
            }
        };
        let silent = agents.iter().filter(|(_, reported)| reported.is_none());
        let silent: Vec<&str> = silent.map(|(agent, _)| agent.as_str()).collect();
        let event =
            event.detail("withheld_since", since).detail("silent_agents", silent.join(", "));
        // First the entry: a kill in between says twice that it ended.
        self.audit.record(event)?;
        self.withheld.end()?;
        tracing::warn!(silent = silent.join(", "), "agents may release again what is held here");
        self.promises.noted(vec![not_withheld()])?;
        Ok(true)
    }

    /// Looks at the promises, which hear first of a certificate that was replaced.
    pub(crate) fn watch_promises(&self) -> Result<(), VaultError> {
        let current = self.identity.get();
        let mut certified = self.certified.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&certified, &current) {
            self.promises.noted(vec![own_certificate(&current)])?;
            *certified = current;
        }
        drop(certified);
        if let Some(end) = self.withheld.due(self.environment.clock.now()) {
            self.resume_releases(&end)?;
        }
        let now = self.environment.clock.now();
        let patience = |workload: &_| {
            let status = self.promises.status(workload);
            status.map_or(MEDIA_PATIENCE, |status| status.promise.time_after(now))
        };
        let is_revoked = |media: &str, last_heard| {
            let peer = Peer::new(Role::Media, media).ok();
            let revoked = peer.and_then(|peer| self.certificates.holder_revoked(&peer));
            revoked.is_some_and(|revoked| revoked >= last_heard)
        };
        self.spools.listen(now);
        let mut news = self.spools.news(now, &patience, &is_revoked);
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        if *moved > now || now.since(*moved) >= MOVED_INTERVAL {
            *moved = now;
            let sources = self.shipments.take_moved().into_iter();
            news.extend(sources.map(|source| promise::Event::Moved { source }));
        }
        drop(moved);
        news.extend(self.alerts.news(now));
        if !news.is_empty() {
            self.promises.noted(news)?;
        }
        // Whatever cannot be written: who is owed a word has it.
        let ticked = self.promises.tick();
        self.alerts.tick(now)?;
        ticked
    }

    /// Notes that something was not done. That it cannot be noted changes nothing of the answer.
    pub(crate) fn note_failure(&self, event: Event, error: &VaultError) {
        let outcome = if error.is_refusal() { Outcome::Refused } else { Outcome::Failed };
        let event = event.not_done(outcome, error.code()).detail("reason", error);
        // What only counts waits for no disk, and is no news.
        if self.audit.counts(&event) {
            return;
        }
        let noted = self.audit.record(event).and_then(|()| match error {
            VaultError::OverLimit { peer, excess } if peer.role() == Role::Agent => {
                let (agent, excess) = (peer.name().to_owned(), excess.clone());
                self.promises.noted(vec![promise::Event::OverLimit { agent, excess }])
            }
            _ => Ok(()),
        });
        if let Err(error) = noted {
            tracing::error!(%error, "cannot note what was not done");
        }
    }
}

impl NewPolicy {
    /// What is said of workloads by names that they had before holds for them all the same.
    pub(crate) fn carry_over(&mut self, former: &FormerNames) {
        for (name, it) in former.iter() {
            self.settings.policy.carry_over(name, &it.present);
            self.policy.retention.policy.carry_over(name, &it.present);
        }
        self.policy.carry_over(former);
        former.carry_over(&mut self.limits.workloads);
        former.carry_over(&mut self.drills.workloads);
    }
}

/// The vault's own certificate, for the promises.
pub(crate) fn own_certificate(identity: &Identity) -> promise::Event {
    let certificate = validity(identity.validity());
    promise::Event::OwnCertificate { holder: identity.peer().to_string(), certificate }
}

/// How long a certificate is valid, in the words of promises.
pub(crate) fn validity(of: outlast_wire::Validity) -> Validity {
    Validity { from: of.from, until: of.until }
}
