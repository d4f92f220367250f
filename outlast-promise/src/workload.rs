//! What is known of one workload, and what follows from that alone.

mod delivered;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outlast_types::{ContentHash, Day, DropId, RejectionCode, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::class::Quiet;
use crate::event::Source;
use crate::handed::{Delivered, Lies, Withdrawn};
use crate::incident::Recovering;
use crate::layers::{Effective, Layers};
use crate::policy::Policy;
use crate::promise::{Declaration, Promise, State, evaluate};
use crate::promised::Promised;
use crate::releases::Releases;
use crate::stopped::Stopped;
use crate::verified::Verification;

/// How many rejected drops of one workload are remembered, so that an agent that reports its
/// quarantine again and again opens one incident for each and no more.
const REJECTED_REMEMBERED_MAX: usize = 1024;
/// Drops in quarantine of one workload that an operator may choose from.
const QUARANTINE_MAX: usize = 64;
/// Drops that are seen within this time are of one time: a good one makes up for a bad one.
const BESIDE: Duration = Duration::from_secs(3600);
/// Shares on which one workload is remembered to be declared; more are a mistake.
const DECLARATIONS_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    /// What holds: worked out from what is kept below and from policy, which is kept elsewhere.
    #[serde(skip)]
    promise: Effective,
    /// Whether policy names other workloads, and nobody this one.
    #[serde(skip)]
    is_stranger: bool,
    /// What each share declares.
    declared: BTreeMap<ShareId, Declaration>,
    /// What a ledger of version 1 held, until a share speaks.
    pub(crate) inherited: Option<Declaration>,
    pub(crate) known_since: Timestamp,
    pub(crate) last_vaulted: Option<Timestamp>,
    /// Since when a sealed drop that is newer than the last vaulted one is known to wait.
    pub(crate) waiting_since: Option<Timestamp>,
    /// The source that last spoke of a drop of it.
    pub(crate) source: Option<Source>,
    /// The rejected drop that nothing good has followed yet.
    pub(crate) rejected: Option<Rejected>,
    /// Rejected drops that were told already: agents repeat themselves, pages must not.
    pub(crate) rejected_before: VecDeque<DropId>,
    /// What is missing of its repository; nothing can be restored meanwhile.
    pub(crate) missing: Option<String>,
    /// After its repository was whole again: until when the backlog may arrive.
    pub(crate) recovering: Option<Recovering>,
    /// What its team has put on the share and cannot be used.
    #[serde(default)]
    pub(crate) content_problem: Option<String>,
    /// Why it is not dropped now, by the agent that makes its drops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failing: Option<String>,
    /// The media server with which something of it waits, while that is in trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_media: Option<String>,
    /// The newest drops that a backup product has, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) delivered: Vec<Delivered>,
    /// Where its drops are handed over, and whether one lies there that is not confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lies: Option<Lies>,
    /// The newest drop that a product had and has no more, while it has not got another one since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withdrawn: Option<Withdrawn>,
    /// Until when nobody is paged for its recovery point.
    pub(crate) paused_until: Option<Timestamp>,
    pub(crate) retirement: Option<Retirement>,
    pub(crate) revival: Option<Revival>,
    /// The name that it had before, under which drops wait although it is not accepted any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) under_former: Option<UnderFormer>,
    /// The newest drop that its writer gave up, while no good one has followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<Stopped>,
    /// What is known of its releases.
    #[serde(default, skip_serializing_if = "Releases::is_empty")]
    releases: Releases,
    /// When a report named it last, about; kept while nothing else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) named: Option<Timestamp>,
    /// The newest vaulted drop that is no recovery point, while no good one has followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suspect: Option<Suspect>,
    /// Drops in quarantine that an operator may accept, the newest last.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) quarantine: VecDeque<Quarantined>,
    /// What the vault learned by reading what it holds.
    #[serde(default, skip_serializing_if = "Verification::is_empty")]
    pub(crate) verification: Verification,
}

/// A vaulted drop that is no recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suspect {
    pub(crate) drop: DropId,
    pub(crate) at: Timestamp,
    pub(crate) why: String,
}

/// A drop that an agent refused for its content, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub drop: DropId,
    pub share: ShareId,
    pub day: Day,
    pub seal: ContentHash,
    pub code: RejectionCode,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rejected {
    pub(crate) drop: DropId,
    #[serde(default, skip_serializing_if = "RejectionCode::is_none")]
    pub(crate) code: RejectionCode,
    pub(crate) reason: String,
    /// When it was told, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
}

/// It drops no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retirement {
    pub(crate) at: Timestamp,
    /// Until then, drops that were under way are no surprise.
    pub(crate) until: Timestamp,
}

/// It was retired, and drops all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revival {
    pub(crate) retired: Timestamp,
    pub(crate) dropped: Timestamp,
}

/// It is dropped under a name that it had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnderFormer {
    pub(crate) name: WorkloadName,
    pub(crate) source: Source,
    pub(crate) until: Timestamp,
}

impl Workload {
    pub(crate) fn new(known_since: Timestamp) -> Self {
        Self {
            promise: Effective::default(),
            is_stranger: false,
            declared: BTreeMap::new(),
            inherited: None,
            known_since,
            last_vaulted: None,
            waiting_since: None,
            source: None,
            rejected: None,
            rejected_before: VecDeque::new(),
            missing: None,
            recovering: None,
            content_problem: None,
            failing: None,
            at_media: None,
            delivered: Vec::new(),
            lies: None,
            withdrawn: None,
            paused_until: None,
            retirement: None,
            revival: None,
            under_former: None,
            stopped: None,
            releases: Releases::default(),
            named: None,
            suspect: None,
            quarantine: VecDeque::new(),
            verification: Verification::default(),
        }
    }

    /// The promise that holds.
    pub(crate) fn promise(&self) -> &Promise {
        &self.promise.promise
    }

    /// The promise that holds, and where each part of it comes from.
    pub(crate) fn effective(&self) -> &Effective {
        &self.promise
    }

    /// Whether a team declared it on a share.
    pub(crate) fn is_declared(&self) -> bool {
        self.inherited.is_some() || !self.declared.is_empty()
    }

    /// Works out which promise holds under this policy.
    pub(crate) fn promise_anew(&mut self, name: &WorkloadName, policy: &Policy) {
        let (shares, inherited) = (&self.declared, self.inherited.as_ref());
        self.promise = Layers { policy, shares, inherited }.effective(name);
        self.is_stranger = policy.declares_any() && !self.promise.declared;
    }

    /// What each share declares.
    pub(crate) fn shares(&self) -> &BTreeMap<ShareId, Declaration> {
        &self.declared
    }

    /// What a share declares now, or declares no more.
    pub(crate) fn declare(&mut self, share: ShareId, declaration: Option<Declaration>) {
        self.inherited = None;
        match declaration {
            Some(declaration)
                if self.declared.len() < DECLARATIONS_MAX || self.declared.contains_key(&share) =>
            {
                self.declared.insert(share, declaration);
            }
            Some(_) => {}
            None => drop(self.declared.remove(&share)),
        }
    }

    /// Whether it is known by an agent's word alone: nothing of it was ever vaulted.
    pub(crate) fn is_hearsay(&self) -> bool {
        !self.was_ever_safe() && self.suspect.is_none() && self.source.is_some()
    }

    /// Whether a drop of it was ever vaulted, or is confirmed.
    pub(crate) fn was_ever_safe(&self) -> bool {
        self.last_vaulted.is_some() || !self.delivered.is_empty()
    }

    /// Whether nothing is left of it but an agent's word, and nobody ever decided anything about it.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.is_hearsay()
            && !self.is_declared()
            && self.missing.is_none()
            && self.retirement.is_none()
            && self.paused_until.is_none()
            && self.verification.is_empty()
    }

    /// When it was named last, as far as is known.
    pub(crate) fn last_named(&self) -> Timestamp {
        self.named.unwrap_or(self.known_since).max(self.known_since)
    }

    /// Whether nothing but policy can have spoken of it.
    pub(crate) fn is_of_policy_only(&self) -> bool {
        let Self { last_vaulted, waiting_since, source, rejected, missing, retirement, .. } = self;
        !self.is_declared()
            && last_vaulted.is_none()
            && self.delivered.is_empty()
            && self.suspect.is_none()
            && waiting_since.is_none()
            && source.is_none()
            && rejected.is_none()
            && missing.is_none()
            && retirement.is_none()
            && self.paused_until.is_none()
            && self.verification.is_empty()
    }

    /// A drop was vaulted at `at`, by the vault's clock.
    pub(crate) fn vaulted(&mut self, at: Timestamp) {
        // Told late, as after a rebuild: it was known when its first drop came.
        self.known_since = self.known_since.min(at);
        // Whichever of them it is: who still knows of one that waits says so in the next report.
        self.waiting_since = None;
        if self.last_vaulted.is_some_and(|last| at < last) {
            return;
        }
        self.last_vaulted = Some(at);
        self.produced(at);
    }

    /// A good drop of `at` is somewhere safe: whoever makes them has done his part, and it lives.
    fn produced(&mut self, at: Timestamp) {
        self.failing = None;
        self.stopped = None;
        // One that was seen long before it, and arrives or is confirmed only now, says nothing about it.
        let follows = at.saturating_add(BESIDE);
        self.rejected.take_if(|rejected| rejected.at.is_none_or(|told| told <= follows));
        self.suspect = None;
        // A pause that has ended is over when its promise was renewed; until then it tells when
        // the promise broke.
        let renewed = self.last_safe();
        self.paused_until.take_if(|until| renewed.is_some_and(|renewed| *until <= renewed));
        // Two drops at once are one sign of life; one that comes much later is another.
        let again = |dropped| self.promise.promise.time_after(dropped) / 2;
        self.revival.take_if(|revival| at.since(revival.dropped) >= again(revival.dropped));
        self.revive();
    }

    /// A drop was vaulted that is no recovery point: nothing waits any more, and nothing is renewed.
    pub(crate) fn suspect(&mut self, suspect: Suspect) {
        self.known_since = self.known_since.min(suspect.at);
        let is_newer = self.last_produced().is_none_or(|last| last < suspect.at)
            && self.suspect.as_ref().is_none_or(|known| known.at <= suspect.at);
        if is_newer {
            self.waiting_since = None;
            self.suspect = Some(suspect);
        }
    }

    /// An operator takes a drop for a recovery point.
    pub(crate) fn accept(&mut self, drop: DropId, received: Option<Timestamp>) {
        self.rejected.take_if(|rejected| rejected.drop == drop);
        self.quarantine.retain(|known| known.drop != drop);
        let is_suspect = |suspect: &mut Suspect| suspect.drop == drop;
        let suspect = self.suspect.take_if(is_suspect);
        let newer = self.suspect.take();
        if let Some(at) = received.or(suspect.map(|suspect| suspect.at)) {
            self.vaulted(at);
        }
        // One that came later is as doubtful as before.
        if let Some(newer) =
            newer.filter(|newer| self.last_produced().is_none_or(|at| at < newer.at))
        {
            self.suspect = Some(newer);
        }
    }

    /// An operator says that a drop, which the vault does not have, is no more in doubt.
    pub(crate) fn believe(&mut self, drop: DropId) {
        self.suspect.take_if(|suspect| suspect.drop == drop);
    }

    /// It was retired at `at`.
    pub(crate) fn retire(&mut self, retirement: Retirement) {
        self.paused_until = None;
        self.revival = None;
        self.retirement = Some(retirement);
        // Told late, as after a rebuild.
        self.revive();
    }

    /// A drop that came after its retirement means that it lives.
    fn revive(&mut self) {
        let Some(dropped) = self.last_produced() else { return };
        if let Some(over) = self.retirement.take_if(|retirement| retirement.until <= dropped) {
            self.revival = Some(Revival { retired: over.at, dropped });
        }
    }

    /// Its promise counts, whatever was ordered before.
    pub(crate) fn resume(&mut self) {
        self.paused_until = None;
        self.retirement = None;
        self.revival = None;
    }

    /// The moment at which its promise breaks, or broke.
    pub(crate) fn due(&self) -> Timestamp {
        let due = self.promise().due_after(self.last_safe().unwrap_or(self.known_since));
        self.paused_until.map_or(due, |until| due.max(until))
    }

    /// The moments at which time alone changes what follows.
    pub(crate) fn deadlines(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let quiet = self.quiet(now).map(|quiet| quiet.until);
        let recovering = self.recovering.as_ref().map(|recovering| recovering.until);
        // Its agent may be missed no more from then on.
        let retired = self.retirement.map(|retirement| retirement.until);
        [Some(self.due()), quiet, recovering, retired].into_iter().flatten()
    }

    pub(crate) fn state(&self, now: Timestamp) -> State {
        match (self.retirement, self.paused_until) {
            (Some(retirement), _) if now < retirement.until => State::Retiring,
            (Some(_), _) => State::Retired,
            (None, Some(until)) if now < until => State::Paused,
            _ if self.missing.is_some() => State::Broken,
            _ => match evaluate(self.promise(), self.known_since, self.last_safe(), now) {
                State::Fresh if self.is_stranger => State::Undeclared,
                state => state,
            },
        }
    }

    /// The maintenance, or the days off, in which all of its pages wait that is now.
    pub(crate) fn rests(&self, now: Timestamp) -> Option<Quiet> {
        self.promise().class().quiet(now)
    }

    /// The time in which a page for its recovery point waits that is now: the same, and a release.
    pub(crate) fn quiet(&self, now: Timestamp) -> Option<Quiet> {
        let class = self.promise().class();
        let quiet = self.rests(now);
        let grace = self.releases.grace(class.deploy_grace);
        let until = self.due().saturating_add(grace);
        let until = self.releases.ends().map_or(until, |ends| until.min(ends));
        let released = (!grace.is_zero() && self.due() <= now && now < until).then(|| {
            let why = "a release is under way, and its first drop gets its time".to_owned();
            Quiet { until, why }
        });
        match (quiet, released) {
            (Some(quiet), Some(released)) if quiet.until < released.until => Some(released),
            (quiet, released) => quiet.or(released),
        }
    }

    /// A drop of it says by which release it was written, and whether it is its instance's last.
    pub(crate) fn released(&mut self, at: Timestamp, release: Option<String>, is_last: bool) {
        // One that comes after newer ones tells of a release that is over.
        if self.last_produced().is_some_and(|last| at < last) {
            return;
        }
        let late_by = at.since(self.due());
        self.releases.dropped(at, release, is_last, late_by);
    }

    /// A release of it begins.
    pub(crate) fn deploying(&mut self, at: Timestamp, until: Option<Timestamp>) {
        self.releases.begin(at, until);
    }

    /// What was promised of the recovery point that is missing.
    pub(crate) fn promised(&self) -> Promised {
        self.promise().promised(self.last_safe().unwrap_or(self.known_since))
    }

    /// Notes a rejected drop, unless it was told before.
    pub(crate) fn reject(
        &mut self,
        rejected: Rejected,
        place: Option<(Day, ContentHash)>,
        source: Source,
    ) {
        let drop = rejected.drop;
        if let (Some((day, seal)), Some(share)) = (place, source.share) {
            let (code, reason) = (rejected.code.clone(), rejected.reason.clone());
            let quarantined = Quarantined { drop, share, day, seal, code, reason };
            // An agent that is started anew says it again, as of now.
            self.quarantine.retain(|known| known.drop != drop);
            if self.quarantine.len() == QUARANTINE_MAX {
                self.quarantine.pop_front();
            }
            self.quarantine.push_back(quarantined);
        }
        self.source = Some(source);
        if self.rejected_before.contains(&drop) {
            return;
        }
        if self.rejected_before.len() == REJECTED_REMEMBERED_MAX {
            self.rejected_before.pop_front();
        }
        self.rejected_before.push_back(drop);
        self.rejected = Some(rejected);
    }

    /// All moments that move when the clock is set back.
    pub(crate) fn moments(&mut self) -> Vec<&mut Timestamp> {
        let mut moments = vec![&mut self.known_since];
        moments.extend(&mut self.last_vaulted);
        moments.extend(&mut self.waiting_since);
        moments.extend(self.delivered.iter_mut().map(|known| &mut known.at));
        moments.extend(self.withdrawn.iter_mut().map(|gone| &mut gone.at));
        moments.extend(self.lies.iter_mut().filter_map(|lies| lies.unconfirmed.as_mut()));
        moments.extend(&mut self.paused_until);
        moments.extend(self.rejected.iter_mut().filter_map(|rejected| rejected.at.as_mut()));
        moments.extend(&mut self.named);
        moments.extend(self.releases.moments());
        moments.extend(self.verification.moments());
        moments.extend(self.suspect.iter_mut().map(|suspect| &mut suspect.at));
        moments.extend(self.recovering.iter_mut().map(|recovering| &mut recovering.until));
        if let Some(Retirement { at, until }) = &mut self.retirement {
            moments.extend([at, until]);
        }
        if let Some(Revival { retired, dropped }) = &mut self.revival {
            moments.extend([retired, dropped]);
        }
        moments
    }
}
