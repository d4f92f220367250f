//! When an instance drops, if nobody else tells it: at civil times of some time zone.
//!
//! Pure: times come in, times go out. Due times are the same for all instances that have the same
//! schedule, whenever they were started, so that an instance which has just been started knows
//! what was due before it.
//!
//! - A due time that the clocks skip in spring counts when the gap ends; one that they show twice
//!   in autumn counts the first time.
//! - What was begun for a due time is enough for it; a wall clock that is set back a little changes
//!   nothing about that. After a leap of the clock, rather one drop too many than none.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, ToSpan};
use outlast_types::{Backoff, Random, Timestamp};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The shortest interval.
const LEAST: Duration = Duration::from_secs(60);
/// Days of the longest interval.
const DAYS_MAX: i64 = 366;
/// A wait is at most so long, since a wall clock may be set meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How far the wall clock may go back without anybody taking its old time for wrong.
const SET_BACK_MAX: Duration = Duration::from_secs(3600);
/// Pauses between attempts that fail.
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_LONGEST: Duration = Duration::from_secs(30 * 60);

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    #[error(
        "an interval is a part of a day that divides it, such as 15m, 1h or 12h, or some days, such as 24h or 168h"
    )]
    Interval,
    #[error("the jitter must be shorter than the interval")]
    Jitter,
    #[error("{text:?} is no time of day such as 02:00")]
    Time { text: String },
    #[error("the time zone {name:?} is not known: {reason}")]
    Zone { name: String, reason: String },
}

/// Civil times that recur.
#[derive(Debug, Clone)]
pub struct Schedule {
    every: Every,
    /// The time of day from which on they are counted.
    at: Time,
    jitter: Duration,
    zone: TimeZone,
}

#[derive(Debug, Clone, Copy)]
enum Every {
    /// So many seconds, which divide a day.
    Seconds(i64),
    Days(i64),
}

impl Schedule {
    /// Every so often, counted from the time of day `at` (midnight without one), in the time zone of
    /// that name (the host's without one). Each drop comes up to `jitter` later.
    pub fn new(
        every: Duration,
        at: Option<&str>,
        jitter: Duration,
        zone: Option<&str>,
    ) -> Result<Self, InvalidSchedule> {
        let seconds = i64::try_from(every.as_secs()).map_err(|_| InvalidSchedule::Interval)?;
        let day = i64::try_from(DAY.as_secs()).unwrap_or(i64::MAX);
        let is_whole = every.subsec_nanos() == 0 && every >= LEAST;
        let every = match seconds {
            _ if !is_whole => return Err(InvalidSchedule::Interval),
            _ if seconds % day == 0 && seconds / day <= DAYS_MAX => Every::Days(seconds / day),
            _ if day % seconds == 0 => Every::Seconds(seconds),
            _ => return Err(InvalidSchedule::Interval),
        };
        if jitter.as_secs() >= seconds.unsigned_abs() {
            return Err(InvalidSchedule::Jitter);
        }
        let at = at.map_or(Ok(Time::midnight()), |text| {
            text.parse()
                .map_err(|_| InvalidSchedule::Time { text: text.chars().take(80).collect() })
        })?;
        let zone = match zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name).map_err(|error| InvalidSchedule::Zone {
                name: name.chars().take(80).collect(),
                reason: error.to_string(),
            })?,
        };
        Ok(Self { every, at, jitter, zone })
    }

    /// The time between two due times, but for what the clocks do.
    pub fn interval(&self) -> Duration {
        let seconds = match self.every {
            Every::Seconds(seconds) => seconds,
            Every::Days(days) => days.saturating_mul(24 * 3600),
        };
        Duration::from_secs(seconds.unsigned_abs())
    }

    /// The last due time that is not after `now`.
    pub fn last_due(&self, now: Timestamp) -> Timestamp {
        let at = to_jiff(now);
        // A day's times may fall on the next one where clocks leap over midnight.
        let mut date = self.date_of(at).tomorrow().unwrap_or(Date::MAX);
        for _ in 0..=DAYS_MAX + 2 {
            if let Some(due) = self.due_on(date).into_iter().rev().find(|due| *due <= at) {
                return from_jiff(due);
            }
            date = date.yesterday().unwrap_or(Date::MIN);
        }
        Timestamp::EPOCH
    }

    /// The first due time after `now`.
    pub fn next_due(&self, now: Timestamp) -> Timestamp {
        let at = to_jiff(now);
        let mut date = self.date_of(at).yesterday().unwrap_or(Date::MIN);
        for _ in 0..=DAYS_MAX + 2 {
            if let Some(due) = self.due_on(date).into_iter().find(|due| *due > at) {
                return from_jiff(due);
            }
            date = date.tomorrow().unwrap_or(Date::MAX);
        }
        now.saturating_add(self.interval())
    }

    fn date_of(&self, at: jiff::Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }

    /// The due times that belong to a civil day, in order.
    fn due_on(&self, date: Date) -> Vec<jiff::Timestamp> {
        let times: Vec<Time> = match self.every {
            Every::Days(days) if days_since_epoch(date).rem_euclid(days) == 0 => vec![self.at],
            Every::Days(_) => Vec::new(),
            Every::Seconds(seconds) => {
                let first = seconds_of(self.at).rem_euclid(seconds);
                let step = usize::try_from(seconds).unwrap_or(usize::MAX);
                (first..24 * 3600).step_by(step).map(at_second).collect()
            }
        };
        let instants = times.into_iter().filter_map(|time| self.instant(date.to_datetime(time)));
        let mut due: Vec<_> = instants.collect();
        // Several that the clocks skip count once, together with the one at the end of the gap.
        due.dedup();
        due
    }

    /// The moment of a civil time: the end of the gap that it is in, or the first of two.
    fn instant(&self, at: DateTime) -> Option<jiff::Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(at);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { after, .. } => {
                let before_gap = after.to_timestamp(at).ok()?;
                let transition = self.zone.following(before_gap).next()?;
                Some(transition.timestamp())
            }
            _ => ambiguous.earlier().ok(),
        }
    }
}

fn days_since_epoch(date: Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days: Result<Span, _> = epoch.until((jiff::Unit::Day, date));
    days.map_or(0, |span| i64::from(span.get_days()))
}

fn seconds_of(time: Time) -> i64 {
    i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

fn at_second(second: i64) -> Time {
    Time::midnight().saturating_add(second.seconds())
}

fn to_jiff(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.unix_seconds()).unwrap_or_default()
}

fn from_jiff(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_unix(at.as_second(), 0).unwrap_or(Timestamp::EPOCH)
}

/// The next step of whoever keeps a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing for so long, at most.
    Wait(Duration),
    /// Drop, for this due time.
    Drop { due: Timestamp },
}

/// Keeps a schedule: for each due time one drop that is sealed.
#[derive(Debug, Clone)]
pub struct Agenda {
    schedule: Schedule,
    /// The last due time for which there is a drop.
    satisfied: Option<Timestamp>,
    /// The due time that is next, and when its turn comes.
    planned: Option<(Timestamp, Timestamp)>,
    backoff: Backoff,
    retry_at: Duration,
}

impl Agenda {
    pub fn new(schedule: Schedule) -> Self {
        let (satisfied, planned, backoff, retry_at) = Default::default();
        Self { schedule, satisfied, planned, backoff, retry_at }
    }

    /// The schedule that is kept.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What is to be done at `now`; `elapsed` is time that passes, whatever the wall clock shows.
    pub fn step(&mut self, now: Timestamp, elapsed: Duration, random: &dyn Random) -> Step {
        let due = self.schedule.last_due(now);
        if self.is_satisfied(due, now) {
            let next = self.schedule.next_due(now);
            return Step::Wait(next.since(now).min(WAIT_MAX));
        }
        let turn = match self.planned {
            Some((planned, turn)) if planned == due => turn,
            _ => {
                // Whoever starts late does not start at the same moment as others that do.
                let turn = due.max(now).saturating_add(jitter(self.schedule.jitter, random));
                self.planned = Some((due, turn));
                self.backoff.succeeded();
                self.retry_at = Duration::ZERO;
                turn
            }
        };
        let wait = turn.since(now).max(self.retry_at.saturating_sub(elapsed));
        if wait.is_zero() { Step::Drop { due } } else { Step::Wait(wait.min(WAIT_MAX)) }
    }

    fn is_satisfied(&self, due: Timestamp, now: Timestamp) -> bool {
        self.satisfied
            .is_some_and(|satisfied| satisfied >= due && satisfied.since(now) <= SET_BACK_MAX)
    }

    /// There is a drop for this due time.
    pub fn satisfied(&mut self, due: Timestamp) {
        self.satisfied = Some(due);
        self.planned = None;
        self.backoff.succeeded();
        self.retry_at = Duration::ZERO;
    }

    /// The drop for the due time failed; how long it is left alone. The next due time begins anew.
    pub fn failed(&mut self, elapsed: Duration, random: &dyn Random) -> Duration {
        let longest = RETRY_LONGEST.min(self.schedule.interval() / 4);
        let pause = self.backoff.failed(elapsed, RETRY_FIRST.min(longest), longest, random);
        self.retry_at = elapsed.saturating_add(pause);
        pause
    }

    /// How many attempts for the due time have failed.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }
}

/// Some time from nothing up to `most`.
fn jitter(most: Duration, random: &dyn Random) -> Duration {
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let part = (u128::from(millis) * u128::from(u32::from_le_bytes(bytes))) >> 32;
    Duration::from_millis(u64::try_from(part).unwrap_or(millis))
}

#[cfg(test)]
mod tests;
