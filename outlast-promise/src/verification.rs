//! What the vault learned of a workload by reading what it holds: damage that a scrub found, and whether a
//! drill brought a backup back. And when either is due, as arithmetic.

use std::time::Duration;

use outlast_types::{Owner, SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};

/// What is damaged of a workload's data, and what can still be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    pub found: Timestamp,
    /// The first thing that was found wrong, and how many there are.
    pub what: String,
    pub count: u64,
    /// The first of the snapshots that cannot be restored whole, with the vault's time of their arrival;
    /// and how many those are.
    pub snapshots: Vec<(SnapshotId, Timestamp)>,
    pub touched: u64,
    /// How many snapshots can be restored whole, and the newest of them.
    pub whole: u64,
    pub newest_whole: Option<(SnapshotId, Timestamp)>,
}

/// That somebody asks for less to be kept than was promised when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortening {
    /// What is asked, as the end of a sentence: `all that is here be kept by daily=7 only`.
    pub what: String,
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
}

/// Data that was not read within the period that policy names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    pub period: Duration,
    /// Since when some of it is unread.
    pub since: Timestamp,
    /// What kept the vault from reading it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is the matter with a workload's drills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DrillTrouble {
    /// The newest one did not bring the backup back.
    Failed {
        at: Timestamp,
        snapshot: SnapshotId,
        /// In which phase it ended: `read`, `restore`, `start`, `load`, `check`.
        phase: String,
        why: String,
        owner: Owner,
    },
    /// None succeeded within the time that policy gives.
    Overdue {
        every: Duration,
        /// The last one that was good.
        last: Option<Timestamp>,
        /// What is missing for the next one, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

/// When work that policy wants every `period` is to be done next: so long after it was `last` done, or
/// known to be needed, less a part of the period that `lot` (a number that stays the same for the one
/// concerned) picks. So what begins together spreads out, and a failed attempt has time for another.
pub fn due_within(period: Duration, last: Timestamp, lot: u64) -> Timestamp {
    // Between a half and three quarters of the period.
    let quarter = u64::try_from(period.as_millis() / 4).unwrap_or(u64::MAX).max(1);
    let part = Duration::from_millis(lot % quarter);
    last.saturating_add(period / 2).saturating_add(part)
}

/// When it is overdue: nobody knows any more what policy wants to be known.
pub fn overdue_after(period: Duration, last: Timestamp) -> Timestamp {
    last.saturating_add(period)
}

/// What policy wants of a workload's drills.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrillRule {
    /// A good drill within each such time; none are done by themselves without it.
    pub every: Option<Duration>,
    pub level: DrillLevel,
    pub pick: DrillPick,
    /// What the backup is, if its first bytes are not to tell.
    pub recipe: Option<String>,
    /// A query that the loaded database must answer with something else than nothing, 0 and false.
    pub check: Option<String>,
    /// A program of the vault's own host, with its arguments, in place of a recipe.
    pub command: Vec<String>,
}

/// How far a drill goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillLevel {
    /// Every byte is read, verified, and parsed as far as its kind is known.
    Stream,
    /// It is restored, loaded into a throw-away server, and asked.
    #[default]
    Load,
}

impl DrillLevel {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Load => "load",
        }
    }
}

/// Which snapshot a drill takes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DrillPick {
    #[default]
    Newest,
    /// Any, so that over time all of them are tried.
    Random,
}
