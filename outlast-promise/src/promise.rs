//! What is promised of a workload, and whether it is kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use outlast_types::{Timestamp, human};
use serde::{Deserialize, Serialize};

use crate::class::{Class, Freshness, Part};
use crate::promised::Promised;

/// What is promised of one workload: how old its newest recovery point may become, and who is
/// asked when it is older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// What policy says.
    class: Arc<Class>,
    /// What a share asks for that is less.
    tightened: Option<Duration>,
    owner: String,
    /// Who asked on a share to be told, too.
    also: Vec<String>,
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
    pub const RPO_DEFAULT: Duration = Class::RPO_DEFAULT;
    /// Below this, evaluating once a second would page for its own rounding.
    pub const RPO_MIN: Duration = Duration::from_secs(1);
    /// Beyond a year a promise says nothing, and a slip of the pen would silence a workload.
    pub const RPO_MAX: Duration = Duration::from_secs(366 * 86400);
    /// Longest owner, in characters.
    pub const OWNER_LENGTH_MAX: usize = 128;

    /// Promises that a recovery point no older than `rpo` exists at all times; `owner` names, in
    /// the company's own words, the team that is asked when it does not.
    pub fn new(rpo: Duration, owner: &str) -> Result<Self, InvalidPromise> {
        let said = Declaration::new(Some(rpo), Some(owner))?;
        let part = Part { rpo: said.rpo, owner: said.owner, ..Part::default() };
        Ok(Self::of(Arc::new(Class::of(None, part))))
    }

    /// What a class promises.
    pub(crate) fn of(class: Arc<Class>) -> Self {
        let owner = class.owner.clone();
        Self { class, tightened: None, owner, also: Vec::new() }
    }

    /// The same, with what shares make less of its RPO.
    pub(crate) fn tightened(self, rpo: Option<Duration>) -> Self {
        Self { tightened: rpo, ..self }
    }

    /// The same, for another owner, and others who are told, too.
    pub(crate) fn told(self, owner: &str, also: Vec<String>) -> Self {
        Self { owner: owner.to_owned(), also, ..self }
    }

    /// All that policy says of the workload.
    pub fn class(&self) -> &Arc<Class> {
        &self.class
    }

    /// The recovery point objective: the age at which the newest vaulted drop breaks the promise. `None`
    /// if only a schedule says when that is.
    pub fn rpo(&self) -> Option<Duration> {
        match self.class.freshness {
            Freshness::Rpo(rpo) => Some(self.tightened.map_or(rpo, |tighter| tighter.min(rpo))),
            Freshness::Schedule { .. } => self.tightened,
        }
    }

    /// The moment at which the newest recovery point, of `last`, is too old, unless another one follows.
    pub fn due_after(&self, last: Timestamp) -> Timestamp {
        let by_class = self.class.due_after(last);
        self.tightened.map_or(by_class, |rpo| by_class.min(last.saturating_add(rpo)))
    }

    /// What is promised of the recovery point that follows the one of `last`.
    pub(crate) fn promised(&self, last: Timestamp) -> Promised {
        let by = self.due_after(last);
        match (&self.class.freshness, self.tightened) {
            (Freshness::Schedule { schedule, .. }, tightened)
                if tightened.is_none_or(|rpo| by < last.saturating_add(rpo)) =>
            {
                let shown = self.class.zone.show(by);
                Promised::By { by, shown, schedule: schedule.to_string() }
            }
            (_, tightened) => Promised::Rpo(self.rpo().or(tightened).unwrap_or(Self::RPO_DEFAULT)),
        }
    }

    /// How long it allows between a recovery point of `last` and the next.
    pub fn time_after(&self, last: Timestamp) -> Duration {
        self.due_after(last).since(last)
    }

    /// The team that is asked, as the company calls it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Who is told, too, because a share says so.
    pub fn also(&self) -> &[String] {
        &self.also
    }

    /// The moment from which on a workload counts as late.
    fn late_after(&self, last: Timestamp) -> Timestamp {
        let late_for = match self.tightened {
            Some(rpo) => (rpo / 16).min(self.class.late_for()),
            None => self.class.late_for(),
        };
        self.due_after(last).saturating_sub(late_for)
    }
}

/// `nothing older than 26 h`.
impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.class.freshness, self.tightened) {
            (Freshness::Schedule { .. }, Some(rpo)) => {
                write!(
                    f,
                    "{}, and nothing older than {}",
                    self.class.freshness,
                    human::duration(rpo)
                )
            }
            (freshness @ Freshness::Schedule { .. }, None) => write!(f, "{freshness}"),
            (Freshness::Rpo(rpo), tightened) => {
                Freshness::Rpo(tightened.unwrap_or(*rpo).min(*rpo)).fmt(f)
            }
        }
    }
}

/// The usual RPO, and an owner whom nobody has named.
impl Default for Promise {
    fn default() -> Self {
        Self::of(Arc::new(Class::of(None, Part::default())))
    }
}

/// What somebody says of a promise, such as a team on its share. What it leaves out is for others to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    rpo: Option<Duration>,
    owner: Option<String>,
}

impl Declaration {
    /// Takes what is declared, each part by the rules of a promise.
    pub fn new(rpo: Option<Duration>, owner: Option<&str>) -> Result<Self, InvalidPromise> {
        let possible = Promise::RPO_MIN..=Promise::RPO_MAX;
        if let Some(rpo) = rpo.filter(|rpo| !possible.contains(rpo)) {
            return Err(InvalidPromise::Rpo { rpo });
        }
        let is_name = |owner: &str| {
            let length = owner.chars().count();
            (1..=Promise::OWNER_LENGTH_MAX).contains(&length)
                && !owner.chars().any(char::is_control)
        };
        if owner.is_some_and(|owner| !is_name(owner)) {
            return Err(InvalidPromise::Owner);
        }
        Ok(Self { rpo, owner: owner.map(str::to_owned) })
    }

    pub fn rpo(&self) -> Option<Duration> {
        self.rpo
    }

    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }
}

impl From<Promise> for Declaration {
    fn from(promise: Promise) -> Self {
        Self { rpo: promise.rpo(), owner: Some(promise.owner) }
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
    /// Its promise is kept as that of a fresh one, by the default, for policy names other workloads and
    /// nobody has declared it.
    Undeclared,
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
            Self::Undeclared => "undeclared",
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
    let last = last_vaulted.unwrap_or(known_since).min(now);
    if promise.due_after(last) <= now {
        State::Broken
    } else if last_vaulted.is_none() {
        State::NeverSeen
    } else if promise.late_after(last) <= now {
        State::Late
    } else {
        State::Fresh
    }
}
