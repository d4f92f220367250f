//! Why incidents open, as data: what it is about, whose it is, and what was known then.

mod handed;
mod key;
mod sentence;

use std::time::Duration;

use outlast_types::{
    DropId, Owner, RejectionCode, Safe, ShareId, SnapshotId, Timestamp, WorkloadName,
};
use serde::{Deserialize, Serialize};

use crate::event::Source;
use crate::handed::{FailedJob, HandoverId};
use crate::limit::Excess;
use crate::promised::Promised;
use crate::verification::{Damage, Shortening, Unread};

pub use key::{Key, Subject, Topic};

/// Longest text taken over from a report, in characters.
const TEXT_LENGTH_MAX: usize = 500;

/// Why an incident is open, with what was known when it opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Cause {
    /// Nothing came: no sealed drop was seen since the last one that was vaulted.
    NothingDropped {
        workload: WorkloadName,
        #[serde(rename = "rpo")]
        promised: Promised,
        last_vaulted: Option<Timestamp>,
        known_since: Timestamp,
        /// Why, by the agent that makes its drops itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<String>,
        /// What would have been a recovery point.
        #[serde(default, skip_serializing_if = "Safe::is_vaulted")]
        safe: Safe,
    },
    /// The application did its part: a sealed drop waits on the share, but is not vaulted.
    NotVaulted {
        workload: WorkloadName,
        #[serde(rename = "rpo")]
        promised: Promised,
        waiting_since: Timestamp,
        #[serde(default, skip_serializing_if = "Safe::is_vaulted")]
        safe: Safe,
    },
    /// It was dropped, and the backup product has not confirmed it; no agent hands it over, if no hand-over is
    /// named.
    NotConfirmed {
        workload: WorkloadName,
        #[serde(rename = "rpo")]
        promised: Promised,
        handover: Option<HandoverId>,
        /// Whether a job has sent it.
        read: bool,
        since: Timestamp,
    },
    /// A job of a backup product failed, and drops that it should have taken are not confirmed.
    HandoverJobFailed { handover: HandoverId, product: Option<String>, failed: FailedJob },
    /// Nothing has read what lies in a hand-over since then.
    HandoverUnread {
        handover: HandoverId,
        product: Option<String>,
        since: Timestamp,
        within: Duration,
    },
    /// It was read, and the product has not said that it has it.
    HandoverUnconfirmed {
        handover: HandoverId,
        product: Option<String>,
        since: Timestamp,
        within: Duration,
    },
    /// A hand-over has no room for more drops.
    HandoverFull { handover: HandoverId, problem: String },
    /// The directory of a hand-over cannot be used.
    HandoverUnusable { handover: HandoverId, problem: String },
    /// What a product had confirmed it has no more.
    HandoverWithdrawn {
        handover: HandoverId,
        product: Option<String>,
        count: usize,
        /// Some of the workloads.
        workloads: Vec<WorkloadName>,
        reason: String,
    },
    /// Drops came and were vaulted, and none since then is a recovery point.
    OnlySuspect {
        workload: WorkloadName,
        #[serde(rename = "rpo")]
        promised: Promised,
        /// The newest of them.
        drop: DropId,
        received: Timestamp,
        why: String,
    },
    /// A sealed drop failed verification and is in quarantine.
    DropRejected {
        workload: WorkloadName,
        drop: DropId,
        /// Why, for programs; none if the agent or the ledger is older.
        #[serde(default, skip_serializing_if = "RejectionCode::is_none")]
        code: RejectionCode,
        /// Why, for people.
        reason: String,
    },
    /// A workload was retired, and drops all the same.
    RetiredDropped { workload: WorkloadName, retired: Timestamp, dropped: Timestamp },
    /// Drops wait on a share under a name that the workload had before, and that is not accepted any more.
    UnderFormerName {
        workload: WorkloadName,
        former: WorkloadName,
        agent: String,
        /// When that ended.
        until: Timestamp,
    },
    /// Nothing was heard of an agent for its whole deadline.
    AgentSilent { agent: String, last_heard: Timestamp, deadline: Duration },
    /// An agent is alive, but nothing was heard of one of its shares for its whole deadline.
    ShareSilent { source: Source, last_heard: Timestamp, deadline: Duration },
    /// An agent is alive but cannot read its share.
    ShareUnusable {
        agent: String,
        #[serde(default)]
        share: Option<ShareId>,
        problem: String,
    },
    /// An agent reads its share, but does not get drops into the vault.
    AgentHindered {
        agent: String,
        #[serde(default)]
        share: Option<ShareId>,
        problem: String,
    },
    /// Something lies on a share that can be nobody's drop.
    StrayOnShare {
        agent: String,
        #[serde(default)]
        share: Option<ShareId>,
        problem: String,
    },
    /// An agent wants more than policy allows it.
    OverLimit { agent: String, excess: Excess },
    /// An agent speaks of many workloads of which nothing was ever vaulted, and something is the
    /// matter with each: a new site where nothing works, or a flood of words.
    NeverVaulted { agent: String, count: usize },
    /// An agent's clock is too far ahead of the vault's, or behind it, by so many minutes.
    ClockOff {
        agent: String,
        #[serde(default)]
        share: Option<ShareId>,
        minutes: i64,
    },
    /// What a team has put on the share for its workload cannot be used.
    ContentUnusable { workload: WorkloadName, problem: String },
    /// Nothing was heard of a media server that should speak every minute, and was not drained.
    MediaSilent { media: String, last_heard: Timestamp },
    /// A media server is alive, and does not hand on what it holds as it should.
    MediaHindered { media: String, problem: String },
    /// People cannot be told of incidents by one of the ways that policy names.
    RouteFails { route: String, problem: String },
    /// A certificate ends soon, or has ended.
    CertificateEnds { holder: String, until: Timestamp },
    /// A certificate is not valid yet, so it was made under another clock.
    CertificateEarly { holder: String, from: Timestamp },
    /// The vault's repository of a workload is not there, or not all of it, though it is remembered.
    RepositoryMissing { workload: WorkloadName, what: String },
    /// Data that the vault holds of a workload is damaged.
    DataDamaged { workload: WorkloadName, damage: Damage },
    /// Data of a workload was not read within the time that policy names, so nobody knows.
    NotScrubbed { workload: WorkloadName, unread: Unread },
    /// A backup was to be brought back, to see whether that works, and did not come back.
    DrillFailed {
        workload: WorkloadName,
        at: Timestamp,
        snapshot: SnapshotId,
        phase: String,
        why: String,
        /// The team, if what it dropped does not load; else those who run the vault.
        owner: Owner,
    },
    /// That was not tried with success for longer than policy says.
    DrillOverdue {
        workload: WorkloadName,
        every: Duration,
        last: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Somebody asks for less to be kept of a workload than was promised: its owner is to know before it is done.
    ShorteningAsked { workload: WorkloadName, asked: Shortening },
    /// The vault itself was down while promises broke.
    VaultAbsent { from: Timestamp, until: Timestamp },
    /// The vault does not know drops that it signed for.
    VaultWentBack { lost: Vec<LostDrop>, count: usize },
    /// Entries of the vault's audit log are missing or were changed.
    AuditLogDamaged { problem: String },
    /// The vault was brought back, and lets nothing be released before these agents have reported.
    ReleasesWithheld { agents: Vec<String>, until: Timestamp },
    /// The vault forgets nothing that its rules let go: it does not trust its clock, or cannot read what
    /// it must keep.
    ForgettingStopped { problem: String },
    /// Two different drops were handed in under one id.
    DropContested { workload: WorkloadName, agent: String, drop: DropId, difference: String },
}

/// A drop that a vault signed for and does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostDrop {
    pub workload: WorkloadName,
    pub drop: DropId,
    /// When the vault received it, by its clock of then.
    pub received: Timestamp,
}

/// One line of the table of causes.
struct Line<'a> {
    code: &'static str,
    topic: Topic,
    owner: Owner,
    about: About<'a>,
}

/// A [`Subject`] where it lies.
enum About<'a> {
    Vault,
    Holder(&'a str),
    Agent(&'a str),
    Media(&'a str),
    Route(&'a str),
    Share(&'a str, Option<ShareId>),
    Handover(&'a HandoverId),
    Workload(&'a WorkloadName),
}

/// The parts of a line: its code, topic, owner, and what it is about.
type Entry<'a> = (&'static str, Topic, Owner, About<'a>);

/// The application's team is asked of a workload.
fn app<'a>(code: &'static str, topic: Topic, workload: &'a WorkloadName) -> Entry<'a> {
    (code, topic, Owner::App, About::Workload(workload))
}

/// The platform is.
fn ours<'a>(code: &'static str, topic: Topic, workload: &'a WorkloadName) -> Entry<'a> {
    (code, topic, Owner::Platform, About::Workload(workload))
}

fn of_agent<'a>(code: &'static str, topic: Topic, agent: &'a str) -> Entry<'a> {
    (code, topic, Owner::Platform, About::Agent(agent))
}

fn of_share<'a>(
    code: &'static str,
    topic: Topic,
    agent: &'a str,
    share: &Option<ShareId>,
) -> Entry<'a> {
    (code, topic, Owner::Platform, About::Share(agent, *share))
}

fn of_media<'a>(code: &'static str, topic: Topic, media: &'a str) -> Entry<'a> {
    (code, topic, Owner::Platform, About::Media(media))
}

fn of_vault(code: &'static str, topic: Topic) -> Entry<'static> {
    (code, topic, Owner::Platform, About::Vault)
}

fn certificate<'a>(code: &'static str, holder: &'a str) -> Entry<'a> {
    (code, Topic::Certificate, Owner::Platform, About::Holder(holder))
}

/// Those who run a backup product are asked of it.
fn product<'a>(code: &'static str, handover: &'a HandoverId) -> Entry<'a> {
    (code, Topic::Handover, Owner::Backup, About::Handover(handover))
}

/// The platform, of the directory that it reads.
fn room<'a>(code: &'static str, handover: &'a HandoverId) -> Entry<'a> {
    (code, Topic::HandoverRoom, Owner::Platform, About::Handover(handover))
}

impl Cause {
    /// The table of causes: by which code each is known, what it is about, and who has to act.
    fn line(&self) -> Line<'_> {
        use Topic as T;
        let (code, topic, owner, about) = match self {
            Self::NothingDropped { workload: w, .. } => app("nothing-dropped", T::RecoveryPoint, w),
            Self::NotVaulted { workload: w, .. } => ours("not-vaulted", T::RecoveryPoint, w),
            Self::NotConfirmed { workload: w, handover, .. } => {
                let owner = if handover.is_some() { Owner::Backup } else { Owner::Platform };
                ("not-confirmed", T::RecoveryPoint, owner, About::Workload(w))
            }
            Self::HandoverJobFailed { handover: h, .. } => product("handover-job-failed", h),
            Self::HandoverUnread { handover: h, .. } => product("handover-unread", h),
            Self::HandoverUnconfirmed { handover: h, .. } => product("handover-unconfirmed", h),
            Self::HandoverFull { handover: h, .. } => room("handover-full", h),
            Self::HandoverUnusable { handover: h, .. } => room("handover-unusable", h),
            Self::HandoverWithdrawn { handover: h, .. } => {
                ("handover-withdrawn", T::Withdrawn, Owner::Backup, About::Handover(h))
            }
            Self::OnlySuspect { workload: w, .. } => app("only-suspect", T::RecoveryPoint, w),
            Self::DropRejected { workload: w, .. } => app("drop-rejected", T::RejectedDrop, w),
            Self::RetiredDropped { workload: w, .. } => app("retired-dropped", T::Retired, w),
            Self::UnderFormerName { workload: w, .. } => app("under-former-name", T::FormerName, w),
            Self::ContentUnusable { workload: w, .. } => app("content-unusable", T::Content, w),
            Self::RepositoryMissing { workload: w, .. } => {
                ours("repository-missing", T::Repository, w)
            }
            Self::DataDamaged { workload: w, .. } => ours("data-damaged", T::Data, w),
            Self::NotScrubbed { workload: w, .. } => ours("not-scrubbed", T::Scrub, w),
            Self::DrillFailed { workload: w, owner, .. } => {
                ("drill-failed", T::Drill, *owner, About::Workload(w))
            }
            Self::DrillOverdue { workload: w, .. } => ours("drill-overdue", T::Drill, w),
            Self::ShorteningAsked { workload: w, .. } => app("shortening-asked", T::Shortening, w),
            Self::DropContested { workload: w, .. } => ours("drop-contested", T::ContestedDrop, w),
            Self::AgentSilent { agent: a, .. } => of_agent("agent-silent", T::Agent, a),
            Self::OverLimit { agent: a, .. } => of_agent("over-limit", T::Limits, a),
            Self::NeverVaulted { agent: a, .. } => of_agent("never-vaulted", T::NeverVaulted, a),
            Self::ShareSilent { source: Source { agent, share }, .. } => {
                of_share("share-silent", T::Share, agent, share)
            }
            Self::ShareUnusable { agent, share, .. } => {
                of_share("share-unusable", T::Share, agent, share)
            }
            Self::AgentHindered { agent, share, .. } => {
                of_share("agent-hindered", T::Work, agent, share)
            }
            Self::StrayOnShare { agent, share, .. } => {
                of_share("stray-on-share", T::Stray, agent, share)
            }
            Self::ClockOff { agent, share, .. } => of_share("clock-off", T::Clock, agent, share),
            Self::CertificateEnds { holder, .. } => certificate("certificate-ends", holder),
            Self::CertificateEarly { holder, .. } => certificate("certificate-early", holder),
            Self::MediaSilent { media, .. } => of_media("media-silent", T::Media, media),
            Self::MediaHindered { media, .. } => of_media("media-hindered", T::Spool, media),
            Self::RouteFails { route, .. } => {
                ("route-fails", T::Route, Owner::Platform, About::Route(route))
            }
            Self::VaultAbsent { .. } => of_vault("vault-absent", T::Vault),
            Self::VaultWentBack { .. } => of_vault("vault-went-back", T::VaultWentBack),
            Self::AuditLogDamaged { .. } => of_vault("audit-log-damaged", T::AuditLog),
            Self::ReleasesWithheld { .. } => of_vault("releases-withheld", T::ReleasesWithheld),
            Self::ForgettingStopped { .. } => of_vault("forgetting-stopped", T::Forgetting),
        };
        Line { code, topic, owner, about }
    }

    /// The name under which it is stored and shown: `nothing-dropped`.
    pub fn code(&self) -> &'static str {
        self.line().code
    }

    /// What the incident is about.
    pub fn key(&self) -> Key {
        let Line { topic, about, .. } = self.line();
        let subject = match about {
            About::Vault => Subject::Vault,
            About::Holder(holder) => Subject::Holder(holder.to_owned()),
            About::Agent(agent) => Subject::Agent(agent.to_owned()),
            About::Media(media) => Subject::Media(media.to_owned()),
            About::Route(route) => Subject::Route(route.to_owned()),
            About::Share(agent, share) => {
                Subject::Source(Source { agent: agent.to_owned(), share })
            }
            About::Handover(handover) => Subject::Handover(handover.clone()),
            About::Workload(workload) => Subject::Workload(workload.clone()),
        };
        Key { topic, subject }
    }

    /// The one who has to act.
    pub fn owner(&self) -> Owner {
        self.line().owner
    }

    /// The same of a workload that has another name now.
    pub(crate) fn renamed(mut self, to: &WorkloadName) -> Self {
        match &mut self {
            Self::NothingDropped { workload, .. }
            | Self::NotVaulted { workload, .. }
            | Self::NotConfirmed { workload, .. }
            | Self::OnlySuspect { workload, .. }
            | Self::DropRejected { workload, .. }
            | Self::RetiredDropped { workload, .. }
            | Self::UnderFormerName { workload, .. }
            | Self::ContentUnusable { workload, .. }
            | Self::RepositoryMissing { workload, .. }
            | Self::DataDamaged { workload, .. }
            | Self::NotScrubbed { workload, .. }
            | Self::DrillFailed { workload, .. }
            | Self::DrillOverdue { workload, .. }
            | Self::ShorteningAsked { workload, .. }
            | Self::DropContested { workload, .. } => workload.clone_from(to),
            _ => {}
        }
        self
    }

    /// The hand-over concerned, if there is one.
    pub fn handover(&self) -> Option<&HandoverId> {
        match self {
            Self::HandoverJobFailed { handover, .. }
            | Self::HandoverUnread { handover, .. }
            | Self::HandoverUnconfirmed { handover, .. }
            | Self::HandoverFull { handover, .. }
            | Self::HandoverUnusable { handover, .. }
            | Self::HandoverWithdrawn { handover, .. } => Some(handover),
            Self::NotConfirmed { handover, .. } => handover.as_ref(),
            _ => None,
        }
    }

    /// The workload concerned, if it is about one.
    pub fn workload(&self) -> Option<&WorkloadName> {
        match self.line().about {
            About::Workload(workload) => Some(workload),
            _ => None,
        }
    }
}

/// A text from outside, short and on one line, fit for a page.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_LENGTH_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
