//! What is promised of a workload, and whether it is kept.

use std::time::Duration;

use outlast_types::{Timestamp, human};
use serde::{Deserialize, Serialize};

/// What is promised of one workload: how old its newest recovery point may become, and who is
/// asked when it is older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    rpo: Duration,
    owner: String,
}

/// Why something cannot be promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPromise {
    #[error(
        "a recovery point objective of {} is not possible: use 1 s to 366 d",
        human::duration(*rpo)
    )]
    Rpo { rpo: Duration },
    #[error(
        "an owner is 1 to {} printable characters, for example \"team-shop\"",
        Promise::OWNER_LENGTH_MAX
    )]
    Owner,
}

impl Promise {
    /// A day, and two hours for the backup to be made and to travel.
    pub const RPO_DEFAULT: Duration = Duration::from_secs(26 * 3600);
    /// Below this, evaluating once a second would page for its own rounding.
    pub const RPO_MIN: Duration = Duration::from_secs(1);
    /// Beyond a year a promise says nothing, and a slip of the pen would silence a workload.
    pub const RPO_MAX: Duration = Duration::from_secs(366 * 86400);
    /// Longest owner, in characters.
    pub const OWNER_LENGTH_MAX: usize = 128;

    /// Promises that a recovery point no older than `rpo` exists at all times; `owner` names, in
    /// the company's own words, the team that is asked when it does not.
    pub fn new(rpo: Duration, owner: &str) -> Result<Self, InvalidPromise> {
        if !(Self::RPO_MIN..=Self::RPO_MAX).contains(&rpo) {
            return Err(InvalidPromise::Rpo { rpo });
        }
        let length = owner.chars().count();
        if length == 0 || length > Self::OWNER_LENGTH_MAX || owner.chars().any(char::is_control) {
            return Err(InvalidPromise::Owner);
        }
        Ok(Self { rpo, owner: owner.to_owned() })
    }

    /// A promise of parts that were found valid before.
    pub(crate) fn of_valid_parts(rpo: Duration, owner: &str) -> Self {
        Self { rpo, owner: owner.to_owned() }
    }

    /// The recovery point objective: the age at which the newest vaulted drop breaks the promise.
    pub fn rpo(&self) -> Duration {
        self.rpo
    }

    /// The team that is asked, as the company calls it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The age at which a workload counts as late: the last sixteenth of the RPO. With the usual
    /// 26 h, a daily drop is late when it is some 20 minutes behind its hour of the day before.
    fn late_after(&self) -> Duration {
        self.rpo - self.rpo / 16
    }
}

impl Default for Promise {
    fn default() -> Self {
        Self { rpo: Self::RPO_DEFAULT, owner: "nobody named yet".to_owned() }
    }
}

/// What one layer says of a promise: policy for one workload, or a team on its share. What it leaves
/// out is for another layer to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    rpo: Option<Duration>,
    owner: Option<String>,
}

impl Declaration {
    /// Takes what is declared, each part by the rules of a promise.
    pub fn new(rpo: Option<Duration>, owner: Option<&str>) -> Result<Self, InvalidPromise> {
        let default = Promise::default();
        Promise::new(rpo.unwrap_or(default.rpo), owner.unwrap_or(&default.owner))?;
        Ok(Self { rpo, owner: owner.map(str::to_owned) })
    }

    pub fn rpo(&self) -> Option<Duration> {
        self.rpo
    }

    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// `default` with what is declared put in its place.
    pub fn over(&self, default: &Promise) -> Promise {
        let owner = self.owner().unwrap_or(default.owner());
        Promise::of_valid_parts(self.rpo.unwrap_or(default.rpo), owner)
    }
}

impl From<Promise> for Declaration {
    fn from(Promise { rpo, owner }: Promise) -> Self {
        Self { rpo: Some(rpo), owner: Some(owner) }
    }
}

/// How a workload stands with its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing was vaulted yet, and its first RPO, from the moment it became known, still runs.
    NeverSeen,
    /// The newest vaulted drop is younger than the RPO.
    Fresh,
    /// Still kept, but the last sixteenth of the RPO is running. Shown, never paged.
    Late,
    /// No drop was vaulted for a whole RPO, or what was vaulted is missing. An incident covers it.
    Broken,
    /// An operator paused it for a time; then its promise counts again.
    Paused,
    /// An operator retired it, and drops that were under way may still come.
    Retiring,
    /// It drops no more. If it does all the same, that is told, and its promise counts again.
    Retired,
}

impl State {
    /// As the API and the command line show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverSeen => "never-seen",
            Self::Fresh => "fresh",
            Self::Late => "late",
            Self::Broken => "broken",
            Self::Paused => "paused",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// How a workload stands at `now`, if it became known at `known_since` and its newest drop was
/// vaulted at `last_vaulted`. All times are the vault's. A time in the future counts as now.
///
/// The recovery point must be renewed *before* the RPO has passed: at its last moment it is broken.
pub fn evaluate(
    promise: &Promise,
    known_since: Timestamp,
    last_vaulted: Option<Timestamp>,
    now: Timestamp,
) -> State {
    let age = now.since(last_vaulted.unwrap_or(known_since));
    if age >= promise.rpo {
        State::Broken
    } else if last_vaulted.is_none() {
        State::NeverSeen
    } else if age >= promise.late_after() {
        State::Late
    } else {
        State::Fresh
    }
}
