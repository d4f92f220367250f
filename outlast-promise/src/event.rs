//! What the ledger is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use outlast_types::{ContentHash, Day, DropId, RejectionCode, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::handed::Handed;
use crate::limit::Excess;
use crate::promise::Declaration;
use crate::stopped::Stopped;
use crate::verification::{Damage, DrillTrouble, Shortening, Unread};

/// An agent, and the share of which it speaks. Two processes may bear one name, by mistake or
/// not: what one of them says about its share is nothing about the other's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    pub agent: String,
    /// `None` if it did not say.
    pub share: Option<ShareId>,
}

/// `road-1`, or `road-1/<share>`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.agent)?;
        self.share.iter().try_for_each(|share| write!(f, "/{share}"))
    }
}

/// How long a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Validity {
    /// Whether it is valid at `now`, or was.
    pub fn has_begun(&self, now: Timestamp) -> bool {
        self.from <= now
    }

    /// The moments at which time alone changes what is to be said of it.
    pub(crate) fn turning_points(&self) -> [Timestamp; 2] {
        [self.from, self.announced()]
    }

    /// When its end is announced: with a third of its life left, there is time to renew it.
    pub fn announced(&self) -> Timestamp {
        self.until.saturating_sub(self.until.since(self.from) / 3)
    }
}

/// What an operator orders of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nobody is paged for its recovery point before `until`.
    Pause { until: Timestamp },
    /// It drops no more. Drops until `until` are no surprise; a later one means that it lives.
    Retire { at: Timestamp, until: Timestamp },
    /// Its promise counts, whatever was ordered before.
    Resume,
    /// Its repository is lost for good and is begun anew; what was vaulted before counts no more.
    Recreate { at: Timestamp },
    /// A drop is a recovery point, whatever it looks like: one that the vault `received`, or one in
    /// quarantine.
    Accept { drop: DropId, received: Option<Timestamp> },
    /// A drop that only a backup product has is no more in doubt. That the product has it is told after this.
    AcceptHanded { drop: DropId },
}

/// Something that the vault saw happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What a share declares of a workload on it; `None` if nothing (any more).
    Declared { workload: WorkloadName, source: Source, declaration: Option<Declaration> },
    /// The vault published a snapshot of the workload that brings back the moment `at`: when an agent first
    /// saw the drop, as far as the vault believes it, and never later than the vault had it.
    Vaulted { workload: WorkloadName, at: Timestamp },
    /// A drop says by which release it was written, and whether it is the last one of its instance: what a
    /// writer claims, which moves no promise. Told before the same drop is told to be vaulted.
    Released { workload: WorkloadName, at: Timestamp, release: Option<String>, is_last: bool },
    /// Whoever releases says that it begins now, and perhaps until when it is over. It need not be said.
    Deploying { workload: WorkloadName, at: Timestamp, until: Option<Timestamp> },
    /// The vault published a snapshot at `at` that it does not take for a recovery point. It renews
    /// no promise.
    Suspected {
        workload: WorkloadName,
        drop: DropId,
        at: Timestamp,
        /// For people.
        why: String,
    },
    /// The vault looked at the workload's repository: all of it is there (`None`), or what is not.
    Repository { workload: WorkloadName, missing: Option<String> },
    /// The vault read data that it holds of the workload: what is damaged of it, and what is unread for
    /// too long. `None` if nothing.
    Scrubbed { workload: WorkloadName, damage: Option<Damage>, unread: Option<Unread> },
    /// Somebody asks for less to be kept of the workload than was promised; `None` if nobody does any more.
    Shortening { workload: WorkloadName, asked: Option<Shortening> },
    /// A drill of the workload ended, or one is overdue; `None` if all is well with them.
    Drilled { workload: WorkloadName, trouble: Option<DrillTrouble> },
    /// A workload of which nothing is left but an agent's word, and which is named no more, is forgotten.
    Forgotten { workload: WorkloadName },
    /// The vault found something about its own custody of drops.
    Custody(Finding),
    /// An operator gave an order, the `number`th. One that was heard before changes nothing.
    Ordered { number: u64, workload: WorkloadName, order: Order },
    /// An operator gave a workload another name, with the `number`th order.
    Renamed { number: u64, workload: WorkloadName, to: WorkloadName },
    /// Whether drops wait on an agent's share under a name that a workload had before, and that was accepted
    /// until `until`.
    FormerName {
        workload: WorkloadName,
        former: WorkloadName,
        source: Source,
        until: Timestamp,
        waits: bool,
    },
    /// An agent saw a sealed drop of the workload that is not vaulted yet. No freshness follows
    /// from it, only who is asked when the promise breaks all the same.
    Waiting { workload: WorkloadName, source: Source },
    /// An agent refused a sealed drop, which is in quarantine. May be repeated.
    Rejected {
        workload: WorkloadName,
        source: Source,
        drop: DropId,
        code: RejectionCode,
        /// For people.
        reason: String,
        /// The day under which it lies and its seal, if the agent says so: what an operator may
        /// accept.
        place: Option<(Day, ContentHash)>,
    },
    /// An agent spoke, about anything, and showed this certificate.
    AgentHeard { source: Source, certificate: Option<Validity> },
    /// An agent finished a look at its share: all is well (`None`), or what is not. `usable` says
    /// whether it could be looked over all the same: then the problem is of something on it, and
    /// explains nothing but drops that wait.
    ShareSeen { source: Source, problem: Option<String>, usable: bool },
    /// The same look: what keeps the agent from getting drops into the vault although its share is
    /// well, and what lies on the share and can be nobody's drop.
    Hindered { source: Source, work: Option<String>, stray: Option<String> },
    /// An agent told its time: by so many seconds its clock is ahead of the vault's, or behind it.
    ClockSeen { source: Source, ahead: i64 },
    /// The vault looked at its audit log: it is whole (`None`), or what is wrong with it.
    AuditLog { problem: Option<String> },
    /// The vault forgets what its rules let go (`None`), or why it forgets nothing.
    Forgetting { problem: Option<String> },
    /// An agent looked at what a workload's team has put on the share: all can be used (`None`), or
    /// what cannot.
    Content { workload: WorkloadName, source: Source, problem: Option<String> },
    /// An agent that makes a workload's drops itself told why it cannot; `None` if it can again. Nobody is
    /// paged for that, but it is told when the promise breaks of it.
    Failing { workload: WorkloadName, source: Source, why: Option<String> },
    /// An agent gave up waiting for a drop that was begun: its writer is gone. That is normal and no
    /// incident; it is told when the promise breaks of it.
    Stopped { workload: WorkloadName, source: Source, stopped: Stopped },
    /// An agent wants more than policy allows it, and does not get it. May be repeated.
    OverLimit { agent: String, excess: Excess },
    /// The vault was brought back, and withholds releases until these agents have reported, or until a
    /// moment at the latest; not any more if there is none.
    ReleasesWithheld { agents: Vec<String>, until: Option<Timestamp> },
    /// How a media server is doing: since when it is silent although it should speak, if it is, what
    /// keeps it from handing on what it holds, and the workloads of which something waits with it, by
    /// its last word; `None` if nothing was heard of that since the vault began, and what was known holds.
    MediaSeen {
        media: String,
        silent_since: Option<Timestamp>,
        problem: Option<String>,
        holds: Option<BTreeSet<WorkloadName>>,
    },
    /// How a way does by which people are told: it works, or why it does not.
    RouteSeen { route: String, problem: Option<String> },
    /// How much of a workload waits at an agent: sealed drops that are not vaulted, and bytes of them that
    /// are still to be read. May be repeated; with no drop, nothing waits.
    Backlog { workload: WorkloadName, source: Source, drops: u64, bytes: u64 },
    /// Something that waited at an agent moved, though no drop of it need have come whole.
    Moved { source: Source },
    /// All was heard that an agent saw in a look at its whole share, which it began at `began`, by the
    /// vault's clock: what it did not name does not wait.
    Looked { source: Source, began: Timestamp },
    /// A backup product that a drop was handed over to has all of it, by its own record; `at` is the moment that
    /// it brings back, as of a vaulted drop, and `vaulted` says whether the vault holds it, too. May be repeated.
    Confirmed { workload: WorkloadName, drop: DropId, at: Timestamp, vaulted: bool },
    /// A product has a drop no more that it had.
    Withdrawn {
        workload: WorkloadName,
        source: Source,
        handover: String,
        drop: DropId,
        /// For people.
        reason: String,
    },
    /// Whether drops of a workload lie in a hand-over of an agent and are not confirmed: in which one, and
    /// whether jobs have sent them all. May be repeated.
    Lying { workload: WorkloadName, source: Source, lies: Option<(String, bool)> },
    /// All hand-overs of an agent, as it sees them; those that it does not name are no more. What was confirmed
    /// until then was told before.
    HandedOver { source: Source, handovers: BTreeMap<String, Handed> },
    /// The vault itself, `vault hq`, shows this certificate and no other.
    OwnCertificate { holder: String, certificate: Validity },
}

impl Event {
    /// The workload whose promise it may concern.
    pub(crate) fn workload(&self) -> Option<&WorkloadName> {
        match self {
            Self::Declared { workload, .. }
            | Self::Vaulted { workload, .. }
            | Self::Released { workload, .. }
            | Self::Stopped { workload, .. }
            | Self::Deploying { workload, .. }
            | Self::Suspected { workload, .. }
            | Self::Repository { workload, .. }
            | Self::Scrubbed { workload, .. }
            | Self::Drilled { workload, .. }
            | Self::Shortening { workload, .. }
            | Self::Forgotten { workload }
            | Self::Ordered { workload, .. }
            | Self::Renamed { workload, .. }
            | Self::FormerName { workload, .. }
            | Self::Waiting { workload, .. }
            | Self::Rejected { workload, .. }
            | Self::Failing { workload, .. }
            | Self::Backlog { workload, .. }
            | Self::Confirmed { workload, .. }
            | Self::Withdrawn { workload, .. }
            | Self::Lying { workload, .. }
            | Self::Content { workload, .. } => Some(workload),
            Self::Custody(_)
            | Self::OverLimit { .. }
            | Self::AgentHeard { .. }
            | Self::ShareSeen { .. }
            | Self::Hindered { .. }
            | Self::AuditLog { .. }
            | Self::Forgetting { .. }
            | Self::ClockSeen { .. }
            | Self::ReleasesWithheld { .. }
            | Self::MediaSeen { .. }
            | Self::RouteSeen { .. }
            | Self::Moved { .. }
            | Self::Looked { .. }
            | Self::HandedOver { .. }
            | Self::OwnCertificate { .. } => None,
        }
    }

    /// The workload of which an agent speaks in it.
    pub(crate) fn named(&self) -> Option<&WorkloadName> {
        match self {
            Self::Declared { workload, .. }
            | Self::Waiting { workload, .. }
            | Self::Rejected { workload, .. }
            | Self::Failing { workload, why: Some(_), .. }
            | Self::Lying { workload, lies: Some(_), .. }
            | Self::Content { workload, problem: Some(_), .. } => Some(workload),
            _ => None,
        }
    }
}

/// What speaks for or against the vault's custody of one drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The vault holds the drop, for the first time or again.
    Held { workload: WorkloadName, drop: DropId },
    /// The vault was shown a receipt that it signed, for a drop that it does not hold any more,
    /// received at `received` by its clock: its disk was put back from an older copy, or lost it.
    Lost { workload: WorkloadName, drop: DropId, received: Timestamp },
    /// An agent handed in a bill for a drop that the vault holds, but with other content or of
    /// another place: somebody used an id twice, or forged a bill. May be repeated.
    Contested { workload: WorkloadName, agent: String, drop: DropId, difference: String },
}
