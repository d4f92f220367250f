//! Promise classes: what is promised of all workloads of one kind.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use outlast_civil::{DaysOff, Holidays, Weekdays, Zone};
use outlast_types::{Safe, Timestamp, human};
use serde::{Deserialize, Serialize};

use crate::retention::Keep;
use crate::schedule::Schedule;
use crate::window::{self, Window};

/// Days off in a row that are believed; more would silence a workload by a slip of the pen.
const DAYS_OFF_MAX: usize = 31;

/// What one layer of policy says: the default, a class, a pattern over workloads, or one workload. What it
/// leaves out is for the next layer to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// How old the newest recovery point may be.
    pub rpo: Option<Duration>,
    /// When recovery points are made; it takes the place of an RPO, and an RPO that of it.
    pub schedule: Option<Schedule>,
    /// How long after its schedule one must be safe.
    pub deadline: Option<Duration>,
    /// In which clocks show what is said here.
    pub zone: Option<Zone>,
    pub weekdays: Option<Weekdays>,
    pub holidays: Option<Arc<Holidays>>,
    pub maintenance: Option<Vec<Window>>,
    /// What makes a drop count.
    pub safe: Option<Safe>,
    /// For how long at most a page waits for the first drop after a release.
    pub deploy_grace: Option<Duration>,
    pub owner: Option<String>,
    /// By which route the owner is told first; the routes' own rules, if none.
    pub route: Option<String>,
    /// Which snapshots stay.
    pub keep: Option<Keep>,
    /// For how long nobody can remove what comes from now on.
    pub immutable_for: Option<Duration>,
    /// Whether who restores must say why.
    pub restore_why: Option<bool>,
}

/// When the newest recovery point is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// When it is older than this.
    Rpo(Duration),
    /// When the schedule has fired after it, and the deadline has passed since.
    Schedule { schedule: Schedule, deadline: Duration },
}

/// What is promised of workloads, all that policy says of them put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// As policy calls it; `None` if it names none.
    pub name: Option<ClassName>,
    pub freshness: Freshness,
    pub zone: Zone,
    pub days_off: DaysOff,
    pub maintenance: Vec<Window>,
    pub safe: Safe,
    pub deploy_grace: Duration,
    pub owner: String,
    /// By which route the owner is told first; the routes' own rules, if none.
    pub route: Option<String>,
    /// Which snapshots stay; `None` if only the rules for all say so.
    pub keep: Option<Keep>,
    pub immutable_for: Option<Duration>,
    /// Whether who restores must say why.
    pub restore_why: bool,
}

/// The name of a class: 1 to 64 characters of `[a-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassName(String);

/// A text that cannot be the name of a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a class: use 1 to 64 characters of a-z, 0-9, '.', '_' and '-'"
)]
pub struct InvalidClassName(String);

/// Why a class cannot be promised, and the key that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct InvalidClass {
    pub key: &'static str,
    pub words: String,
}

/// A time in which pages wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// Then what is still so is paged at once.
    pub until: Timestamp,
    /// The reason of a maintenance window, the name of a holiday, or that it is a day off.
    pub why: String,
}

impl FromStr for ClassName {
    type Err = InvalidClassName;

    fn from_str(text: &str) -> Result<Self, InvalidClassName> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidClassName(text.chars().take(65).collect()))
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `nothing older than 26 h`, `one after 0 2 * * *, within 4 h`.
impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rpo(rpo) => write!(f, "nothing older than {}", human::duration(*rpo)),
            Self::Schedule { schedule, deadline } => {
                write!(f, "one after each {schedule}, within {}", human::duration(*deadline))
            }
        }
    }
}

impl Part {
    /// One that leaves all to others.
    pub(crate) const NOTHING: Self = Self {
        rpo: None,
        schedule: None,
        deadline: None,
        zone: None,
        weekdays: None,
        holidays: None,
        maintenance: None,
        safe: None,
        deploy_grace: None,
        owner: None,
        route: None,
        keep: None,
        immutable_for: None,
        restore_why: None,
    };

    /// This one, with what `below` says where it says nothing.
    pub fn over(mut self, below: &Self) -> Self {
        // They are two ways to say one thing.
        if self.rpo.is_none() && self.schedule.is_none() {
            (self.rpo, self.schedule) = (below.rpo, below.schedule.clone());
        }
        let below = below.clone();
        Self {
            rpo: self.rpo,
            schedule: self.schedule,
            deadline: self.deadline.or(below.deadline),
            zone: self.zone.or(below.zone),
            weekdays: self.weekdays.or(below.weekdays),
            holidays: self.holidays.or(below.holidays),
            maintenance: self.maintenance.or(below.maintenance),
            safe: self.safe.or(below.safe),
            deploy_grace: self.deploy_grace.or(below.deploy_grace),
            owner: self.owner.or(below.owner),
            route: self.route.or(below.route),
            keep: self.keep.or(below.keep),
            immutable_for: self.immutable_for.or(below.immutable_for),
            restore_why: self.restore_why.or(below.restore_why),
        }
    }
}

impl Class {
    /// A day, and two hours for the backup to be made and to travel.
    pub const RPO_DEFAULT: Duration = Duration::from_secs(26 * 3600);
    /// The owner of what nobody named an owner for.
    pub const NOBODY: &str = "nobody named yet";
    /// How long after its schedule a recovery point must be safe if nobody says: what the usual RPO
    /// leaves a daily one.
    pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(2 * 3600);
    /// Schedules that come more often are RPOs.
    pub const DEADLINE_MIN: Duration = Duration::from_secs(60);
    /// The longest deadline.
    pub const DEADLINE_MAX: Duration = Duration::from_secs(31 * 86400);
    /// The longest deploy grace.
    pub const DEPLOY_GRACE_MAX: Duration = Duration::from_secs(7 * 86400);

    /// What all layers say together.
    pub fn of(name: Option<ClassName>, part: Part) -> Self {
        let freshness = match (part.schedule, part.rpo) {
            (Some(schedule), _) => {
                let deadline = part.deadline.unwrap_or(Self::DEADLINE_DEFAULT);
                Freshness::Schedule { schedule, deadline }
            }
            (None, rpo) => Freshness::Rpo(rpo.unwrap_or(Self::RPO_DEFAULT)),
        };
        Self {
            name,
            freshness,
            zone: part.zone.unwrap_or_default(),
            days_off: DaysOff {
                weekdays: part.weekdays.unwrap_or(Weekdays::ALL),
                holidays: part.holidays.unwrap_or_default(),
            },
            maintenance: part.maintenance.unwrap_or_default(),
            safe: part.safe.unwrap_or_default(),
            deploy_grace: part.deploy_grace.unwrap_or_default(),
            owner: part.owner.unwrap_or_else(|| Self::NOBODY.to_owned()),
            route: part.route,
            keep: part.keep,
            immutable_for: part.immutable_for,
            restore_why: part.restore_why.unwrap_or(false),
        }
    }

    /// Refuses what nobody can mean: a schedule that never fires, pages that wait for ever.
    pub fn judge(&self) -> Result<(), InvalidClass> {
        let wrong = |key, words| Err(InvalidClass { key, words });
        if let Freshness::Schedule { schedule, deadline } = &self.freshness {
            if !(Self::DEADLINE_MIN..=Self::DEADLINE_MAX).contains(deadline) {
                return wrong("deadline", "use 1 min to 31 d".to_owned());
            }
            let fires = schedule.next(Timestamp::EPOCH, &self.zone, &DaysOff::default());
            let weekdays = DaysOff { weekdays: self.days_off.weekdays, ..DaysOff::default() };
            if fires.is_none() {
                return wrong("schedule", format!("{schedule} never fires: there is no such day"));
            }
            if schedule.next(Timestamp::EPOCH, &self.zone, &weekdays).is_none() {
                let weekdays = self.days_off.weekdays;
                let words = format!("{schedule} never fires: its days are not among {weekdays}");
                return wrong("schedule", words);
            }
        }
        if self.deploy_grace > Self::DEPLOY_GRACE_MAX {
            return wrong("deploy_grace", "use at most 7 d".to_owned());
        }
        if self.days_off.longest() > DAYS_OFF_MAX {
            let words = format!("more than {DAYS_OFF_MAX} days in a row are off");
            return wrong("holidays", words);
        }
        match window::judge(&self.maintenance) {
            Ok(()) => Ok(()),
            Err(error) => wrong("maintenance", error.to_string()),
        }
    }

    /// The moment at which the newest recovery point, of `last`, is too old, unless another one follows.
    pub fn due_after(&self, last: Timestamp) -> Timestamp {
        match &self.freshness {
            Freshness::Rpo(rpo) => last.saturating_add(*rpo),
            Freshness::Schedule { schedule, deadline } => {
                // One that never fires again must not silence a workload.
                let fired = schedule.next(last, &self.zone, &self.days_off);
                let fired = fired.unwrap_or_else(|| last.saturating_add(Self::RPO_DEFAULT));
                fired.saturating_add(*deadline)
            }
        }
    }

    /// How long before it is due a recovery point counts as late.
    pub fn late_for(&self) -> Duration {
        match &self.freshness {
            // With the usual 26 h, a daily drop is late when it is some 20 minutes behind its hour of the
            // day before.
            Freshness::Rpo(rpo) => *rpo / 16,
            Freshness::Schedule { deadline, .. } => *deadline / 4,
        }
    }

    /// The time in which pages wait that a moment lies in: maintenance, and days off, without a break.
    pub fn quiet(&self, at: Timestamp) -> Option<Quiet> {
        if self.maintenance.is_empty() && self.days_off.is_empty() {
            return None;
        }
        let mut quiet: Option<Quiet> = None;
        for _ in 0..2 * (DAYS_OFF_MAX + 1) {
            let at = quiet.as_ref().map_or(at, |quiet| quiet.until);
            let Some((until, why)) = self.quiet_part(at).filter(|(until, _)| *until > at) else {
                break;
            };
            let why = quiet.map_or_else(|| why.to_owned(), |quiet| quiet.why);
            quiet = Some(Quiet { until, why });
        }
        quiet
    }

    fn quiet_part(&self, at: Timestamp) -> Option<(Timestamp, &str)> {
        let day = self.zone.civil(at).date();
        let off = self.days_off.why(day).and_then(|why| {
            let next = day.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight());
            Some((self.zone.moment(next)?, why))
        });
        off.or_else(|| window::open_at(&self.maintenance, at, &self.zone))
    }
}
