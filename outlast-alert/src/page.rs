//! Pages: what broke of one cause for one team within moments, and what became of telling it.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::{Owner, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::message::{Line, Message, NAMED_MAX, What};
use crate::severity::Severity;

/// How long an acknowledgement lasts if nobody says otherwise, and at most.
pub const ACK_USUAL: Duration = Duration::from_secs(8 * 3600);
pub const ACK_MAX: Duration = Duration::from_secs(72 * 3600);
/// The newest words of people that are kept with a page; all of them are in the audit log.
const COMMENTS_MAX: usize = 50;

/// Incidents of one cause and one team that are told together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) code: String,
    pub(crate) owner: Owner,
    pub(crate) team: String,
    /// Who is told, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<String>,
    /// The only route of the first step, if the class of the workloads says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    pub(crate) opened: Timestamp,
    /// Until then, more of the same may join, and nobody is told.
    pub(crate) gathers_until: Timestamp,
    /// By the number of the incident.
    pub(crate) members: BTreeMap<u64, Member>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ack: Option<Acknowledged>,
    /// How many acknowledgements ended without an end of the page: each begins a new round, under a new
    /// key.
    #[serde(default)]
    pub(crate) round: u32,
    /// Steps up to this delay are reached, however young the page is.
    #[serde(default)]
    pub(crate) reached: Duration,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) comments: Vec<Comment>,
    /// By route.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) told: BTreeMap<String, Told>,
}

/// An incident in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workload: Option<WorkloadName>,
    pub(crate) words: String,
    pub(crate) opened: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resolved: Option<Timestamp>,
}

/// Somebody is at it, until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
}

/// What somebody said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    pub by: String,
    pub at: Timestamp,
    pub text: String,
}

/// What one route has delivered of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// When it was last told.
    pub(crate) last: Option<Timestamp>,
    /// How often: it numbers the messages.
    pub(crate) count: u32,
    /// The rounds in which it was told, each under its own key.
    pub(crate) rounds: Vec<u32>,
    /// Those of them whose end was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ended: Vec<u32>,
}

impl Told {
    /// The first round of which the end is still to be told.
    pub(crate) fn open_round(&self) -> Option<u32> {
        self.rounds.iter().find(|round| !self.ended.contains(round)).copied()
    }
}

impl Page {
    pub(crate) fn resolved(&self) -> Option<Timestamp> {
        let resolved = self.members.values().map(|member| member.resolved);
        resolved.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Whether somebody said that they are at it, and that still counts.
    pub(crate) fn is_acknowledged(&self, now: Timestamp) -> bool {
        self.ack.as_ref().is_some_and(|ack| now < ack.until)
    }

    /// Whether a step with this delay is reached.
    pub(crate) fn has_reached(&self, after: Duration, now: Timestamp) -> bool {
        after <= self.reached || self.opened.saturating_add(after) <= now
    }

    pub(crate) fn say(&mut self, comment: Comment) {
        if self.comments.len() == COMMENTS_MAX {
            self.comments.remove(0);
        }
        self.comments.push(comment);
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> {
        self.members.values().map(|member| Line {
            key: member.key.clone(),
            workload: member.workload.clone(),
            cause: member.words.clone(),
            opened: member.opened,
            resolved: member.resolved,
        })
    }

    /// What is said of it in a round. `key` is that of its first round.
    pub(crate) fn message(
        &self,
        what: What,
        id: String,
        key: &str,
        round: u32,
        vault: &str,
    ) -> Message {
        // What is still so, before what is not.
        let mut lines: Vec<Line> = self.lines().collect();
        if what != What::Resolved {
            lines.sort_by_key(|line| line.resolved.is_some());
        }
        let count = match what {
            What::Resolved => lines.len(),
            _ => lines.iter().filter(|line| line.resolved.is_none()).count().max(1),
        };
        lines.truncate(count.min(NAMED_MAX));
        Message {
            id,
            key: if round == 0 { key.to_owned() } else { format!("{key}/{round}") },
            what,
            vault: vault.to_owned(),
            severity: Severity::of(&self.code),
            code: self.code.clone(),
            owner: self.owner,
            team: self.team.clone(),
            since: self.opened,
            resolved: self.resolved(),
            count,
            incidents: lines,
        }
    }
}
